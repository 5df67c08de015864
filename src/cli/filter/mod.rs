//! `filter`: what decides on records.

use std::path::PathBuf;

use anyhow::Context;
use serde_json::Value;

use crate::cli::Remote;
use crate::cli::client::{Client, segment};
use crate::cli::topics::{bytes, print_table, word};

mod author;
mod grok;

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
    #[command(flatten)]
    Author(author::AuthorCommand),
    /// Try a grok expression on lines: what it captures, which engine runs it, what a line costs
    #[command(after_help = "Examples:
  sawbox filter grok '%{IP:client} %{WORD:verb} %{NUMBER:took:float}' '10.0.0.1 GET 0.25'
  sawbox filter grok '%{COMBINEDAPACHELOG}' --records access.log")]
    Grok(grok::GrokArguments),
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

/// `sawbox filter …`
pub fn run(command: &FilterCommand) -> anyhow::Result<()> {
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
        FilterCommand::Author(command) => author::run(command),
        FilterCommand::Grok(arguments) => grok::run(arguments),
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
