//! `topic` and `filter`: what the box holds and what decides on it.

use std::path::PathBuf;

use anyhow::Context;
use serde_json::Value;

use crate::cli::Remote;
use crate::cli::client::{Client, segment};

#[derive(Debug, clap::Subcommand)]
pub enum TopicCommand {
    /// List topics: records in the queue, rows in the store, lag of the lanes
    Ls {
        /// The box's own topics too (dead letters, outputs)
        #[arg(long, short)]
        all: bool,
        /// As JSON, with everything
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        remote: Remote,
    },
}

#[derive(Debug, clap::Subcommand)]
pub enum FilterCommand {
    /// List filters and the topics whose chains use them
    Ls {
        /// As JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        remote: Remote,
    },
    /// Say whether a module is a filter this box would take, without a running box
    Check {
        /// A `.wasm` file
        file: PathBuf,
    },
    /// Upload a filter under a name; every chain that uses the name goes over to it between two batches
    #[command(after_help = "Example:
  sawbox filter put mine target/wasm32-unknown-unknown/release/mine.wasm

A module that does not hold up is refused with the reason, and what runs goes on running.")]
    Put {
        /// The name that chains will use: letters, digits, `.`, `_`, `-`
        name: String,
        /// A `.wasm` file
        file: PathBuf,
        #[command(flatten)]
        remote: Remote,
    },
}

/// `sawbox topic …`
pub fn topic(command: &TopicCommand) -> anyhow::Result<()> {
    let TopicCommand::Ls { all, json, remote } = command;
    let answer = Client::new(&remote.url).get("/api/v1/topics", &[])?;
    if *json {
        println!("{}", serde_json::to_string_pretty(&answer)?);
        return Ok(());
    }
    let mut table =
        vec![["TOPIC", "PARTITIONS", "RECORDS", "LAG", "ROWS", "QUEUE", "STORE", "GENERATION", "CHAIN"].map(String::from)];
    for topic in answer["topics"].as_array().into_iter().flatten() {
        if topic["internal"].as_bool() == Some(true) && !all {
            continue;
        }
        let partitions = topic["partitions"].as_array().map_or(&[][..], Vec::as_slice);
        let sum = |name: &str| partitions.iter().filter_map(|partition| partition[name].as_u64()).sum::<u64>();
        let chain: Vec<&str> =
            topic["chain"].as_array().into_iter().flatten().filter_map(|entry| entry["filter"].as_str()).collect();
        table.push([
            word(&topic["name"]),
            partitions.len().to_string(),
            (sum("high_watermark") - sum("log_start")).to_string(),
            sum("lag_records").to_string(),
            word(&topic["rows"]),
            bytes(&topic["queue_bytes"]),
            bytes(&topic["store_bytes"]),
            word(&topic["generation"]),
            chain.join(" → "),
        ]);
    }
    print_table(&table);
    Ok(())
}

/// `sawbox filter …`
pub fn filter(command: &FilterCommand) -> anyhow::Result<()> {
    match command {
        FilterCommand::Ls { json, remote } => {
            let answer = Client::new(&remote.url).get("/api/v1/filters", &[])?;
            if *json {
                println!("{}", serde_json::to_string_pretty(&answer)?);
                return Ok(());
            }
            let mut table = vec![["FILTER", "KIND", "SIZE", "SHA256", "USED BY"].map(String::from)];
            for filter in answer["filters"].as_array().into_iter().flatten() {
                let topics: Vec<&str> = filter["used_by"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
                let kind = if filter["stock"].as_bool() == Some(true) { "stock" } else { "own" };
                let hash = word(&filter["sha256"]);
                table.push([
                    word(&filter["name"]),
                    kind.to_owned(),
                    bytes(&filter["bytes"]),
                    hash.get(..12).unwrap_or(&hash).to_owned(),
                    topics.join(", "),
                ]);
            }
            print_table(&table);
            Ok(())
        }
        FilterCommand::Check { file } => {
            let report = crate::check_filter(&read(file)?).with_context(|| format!("{} is no filter", file.display()))?;
            println!(
                "{} is a filter: {} bytes, frame version {}, sha256 {}",
                file.display(),
                report.bytes,
                report.abi,
                report.sha256
            );
            let reads = if report.reads_all { "every field".to_owned() } else { report.reads.join(", ") };
            let payload = if report.needs_payload { Some("the payload".to_owned()) } else { None };
            let all: Vec<String> = payload.into_iter().chain(Some(reads).filter(|reads| !reads.is_empty())).collect();
            println!("  reads {}", if all.is_empty() { "nothing".to_owned() } else { all.join("; ") });
            if !report.imports.is_empty() {
                println!("  uses {}", report.imports.join(", "));
            }
            if let Some(why) = report.refuses_config {
                println!("  wants a configuration: {why}");
            }
            Ok(())
        }
        FilterCommand::Put { name, file, remote } => {
            let wasm = read(file)?;
            let client = Client::new(&remote.url);
            let answer =
                client.send("PUT", &format!("/api/v1/filters/{}", segment(name)), &[], "application/wasm", wasm.as_slice())?;
            println!("filter {name} is kept, sha256 {}", word(&answer["sha256"]));
            let opened = answer["generations"].as_array().map_or(&[][..], Vec::as_slice);
            for one in opened {
                println!("topic {} goes on with it, generation {}", word(&one["topic"]), word(&one["generation"]));
            }
            if opened.is_empty() {
                println!("no chain uses it yet; a topic gets one with");
                println!(
                    "  curl -X PUT -d '[{{\"filter\":\"{name}\"}}]' {}/api/v1/topics/TOPIC/chain",
                    remote.url.trim_end_matches('/')
                );
            }
            Ok(())
        }
    }
}

/// A file of the person who types, not of the box.
#[allow(clippy::disallowed_methods)]
fn read(path: &PathBuf) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| path.display().to_string())
}

pub fn word(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}

fn bytes(value: &Value) -> String {
    let Some(bytes) = value.as_u64() else { return "-".to_owned() };
    #[allow(clippy::cast_precision_loss)]
    let mut size = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if size < 1024.0 {
            return if unit == "B" { format!("{size} {unit}") } else { format!("{size:.1} {unit}") };
        }
        size /= 1024.0;
    }
    format!("{size:.1} TiB")
}

pub fn print_table<const N: usize>(table: &[[String; N]]) {
    let widths: Vec<usize> =
        (0..N).map(|column| table.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)).collect();
    for row in table {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        println!("{}", cells.join("  ").trim_end());
    }
}
