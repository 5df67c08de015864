//! `topic`: what the box holds.

use std::io::IsTerminal;

use anyhow::Context;
use clap::ArgGroup;
use serde_json::Value;

use crate::cli::Remote;
use crate::cli::client::{Client, segment};
use crate::cli::outlet::line;

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
    /// Everything about one topic: settings, partitions, lanes
    Show {
        /// The topic
        topic: String,
        /// As JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        remote: Remote,
    },
    /// Make a topic ahead of its first record
    #[command(after_help = SETTINGS)]
    Create {
        /// Its name: letters, digits, `.`, `_`, `-`
        topic: String,
        /// How many partitions it has
        #[arg(long, short)]
        partitions: Option<u32>,
        /// Settings, each as KEY=VALUE
        #[arg(value_name = "KEY=VALUE")]
        settings: Vec<String>,
        #[command(flatten)]
        remote: Remote,
    },
    /// Change settings while the topic runs
    #[command(after_help = SETTINGS)]
    Set {
        /// The topic
        topic: String,
        /// Settings, each as KEY=VALUE; KEY= without a value is the default again
        #[arg(value_name = "KEY=VALUE", required = true)]
        settings: Vec<String>,
        #[command(flatten)]
        remote: Remote,
    },
    /// Give a topic more partitions: more lanes and consumers at the same time. They never become fewer
    Grow {
        /// The topic
        topic: String,
        /// How many it shall have
        partitions: u32,
        #[command(flatten)]
        remote: Remote,
    },
    /// Delete a topic with all its records. Rows in the store stay until their own retention
    Delete {
        /// The topic
        topic: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
        #[command(flatten)]
        remote: Remote,
    },
    /// Delete a topic's oldest records. Rows in the store stay
    #[command(after_help = "Examples:
  sawbox topic trim web --older-than 2h
  sawbox topic trim web --before 120000 --partition 0
  sawbox topic trim web --before latest            # all that there are now",
        group = ArgGroup::new("which").args(["before", "older_than"]).required(true))]
    Trim {
        /// The topic
        topic: String,
        /// Those below this offset, or `latest`
        #[arg(long, value_name = "OFFSET")]
        before: Option<String>,
        /// Those that came longer ago than this
        #[arg(long, value_name = "SPAN")]
        older_than: Option<String>,
        /// Only this partition's
        #[arg(long)]
        partition: Option<u32>,
        #[command(flatten)]
        remote: Remote,
    },
}

/// Which settings there are.
const SETTINGS: &str = "Settings:
  retention=7d              how long records are kept; -1 is for ever
  retention_bytes=10GiB     how many bytes are kept, over all partitions; -1 is no limit
  max_record_bytes=1MiB     largest record batch of Kafka's clients
  compression=zstd          of batches from Kafka's clients: producer, none, gzip, snappy, lz4, zstd
  durability=fsync          when an append is acknowledged: fsync or written
  priority=high             whose lanes go first: high, medium, low
  store=false               keep records in the queue only: no filters, no rows
Kafka's names (retention.ms, retention.bytes, max.message.bytes, compression.type) are taken, too.";

/// `sawbox topic …`
pub fn topic(command: &TopicCommand) -> anyhow::Result<()> {
    let path = |topic: &str| format!("/api/v1/topics/{}", segment(topic));
    let send = |remote: &Remote, method: &str, path: &str, body: &Value| {
        Client::new(&remote.url).send(method, path, &[], "application/json", body.to_string().as_bytes())
    };
    match command {
        TopicCommand::Ls { all, json, remote } => list(*all, *json, &Client::new(&remote.url)),
        TopicCommand::Show { topic, json, remote } => {
            let answer = Client::new(&remote.url).get(&path(topic), &[])?;
            if *json {
                println!("{}", serde_json::to_string_pretty(&answer)?);
            } else {
                show(&answer);
            }
            Ok(())
        }
        TopicCommand::Create { topic, partitions, settings, remote } => {
            let mut body = parse(settings)?;
            if let Some(partitions) = partitions {
                body["partitions"] = (*partitions).into();
            }
            show(&send(remote, "POST", &path(topic), &body)?);
            Ok(())
        }
        TopicCommand::Set { topic, settings, remote } => {
            show(&send(remote, "PATCH", &path(topic), &parse(settings)?)?);
            Ok(())
        }
        TopicCommand::Grow { topic, partitions, remote } => {
            show(&send(remote, "PATCH", &path(topic), &serde_json::json!({ "partitions": partitions }))?);
            Ok(())
        }
        TopicCommand::Delete { topic, yes, remote } => {
            if !yes && !confirmed(&format!("Delete the topic `{topic}` with all its records?"))? {
                anyhow::bail!("nothing was deleted");
            }
            let answer = Client::new(&remote.url).delete(&path(topic))?;
            println!("topic {topic} is deleted");
            if let Some(note) = answer["note"].as_str() {
                println!("  {}", line(note));
            }
            Ok(())
        }
        TopicCommand::Trim { topic, before, older_than, partition, remote } => {
            let before = before.as_deref().map(|before| match before.parse::<u64>() {
                Ok(offset) => Value::from(offset),
                Err(_) => Value::from(before),
            });
            let body = [
                ("before", before),
                ("older_than", older_than.clone().map(Value::from)),
                ("partition", partition.map(Value::from)),
            ];
            let body: Value = body.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
            let answer = send(remote, "POST", &format!("{}/trim", path(topic)), &body)?;
            for one in answer["partitions"].as_array().into_iter().flatten() {
                let (number, deleted) = (word(&one["partition"]), word(&one["deleted"]));
                println!("partition {number}: {deleted} records deleted; it begins at {}", word(&one["log_start"]));
            }
            Ok(())
        }
    }
}

/// KEY=VALUE, as the API takes it.
fn parse(settings: &[String]) -> anyhow::Result<Value> {
    let one = |setting: &String| {
        let (key, value) = setting.split_once('=').with_context(|| format!("`{setting}`: write it as KEY=VALUE"))?;
        Ok((key.trim().to_owned(), if value.is_empty() { Value::Null } else { value.trim().into() }))
    };
    settings.iter().map(one).collect::<anyhow::Result<serde_json::Map<_, _>>>().map(Value::Object)
}

/// Asks a person; without one the answer is no.
fn confirmed(question: &str) -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        anyhow::bail!("this cannot be undone; say `--yes` if it is meant");
    }
    eprint!("{question} [y/N] ");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// One topic.
fn show(topic: &Value) {
    println!("topic       {}", word(&topic["name"]));
    println!("id          {}", word(&topic["id"]));
    println!("queue       {}", bytes(&topic["queue_bytes"]));
    println!("store       {} in {} rows", bytes(&topic["store_bytes"]), word(&topic["rows"]));
    let filters = topic["chain"].as_array().into_iter().flatten().filter_map(|entry| entry["filter"].as_str());
    let codec = topic["codec"].as_str().unwrap_or("none (JSON objects become fields, all else messages)");
    println!("codec       {}", line(codec));
    println!("chain       {} (generation {})", line(&filters.collect::<Vec<_>>().join(" → ")), word(&topic["generation"]));
    let has = |list: &str, name: &str| topic[list].as_array().is_some_and(|names| names.iter().any(|known| known == name));
    println!("settings");
    for (name, value) in topic["settings"].as_object().into_iter().flatten() {
        let note = match (has("shadowed", name), has("set", name)) {
            (true, _) => "  (the configuration file says otherwise: it holds again from the next start)",
            (false, true) => "",
            (false, false) => "  (default)",
        };
        println!("  {:<18}{}{note}", line(name), word(value));
    }
    let mut table = vec![["PARTITION", "BEGINS", "ENDS", "LAG", "COMMITTED", "SIZE", "LANE"].map(String::from)];
    for one in topic["partitions"].as_array().into_iter().flatten() {
        let names = ["partition", "log_start", "high_watermark", "lag_records", "committed"];
        let [number, begins, ends, lag, committed] = names.map(|name| word(&one[name]));
        let lane = match one["last_error"].as_str() {
            Some(error) => format!("{}: {error}", word(&one["state"])),
            None => word(&one["state"]),
        };
        table.push([number, begins, ends, lag, committed, bytes(&one["bytes"]), lane]);
    }
    print_table(&table);
}

fn list(all: bool, json: bool, client: &Client) -> anyhow::Result<()> {
    let answer = client.get("/api/v1/topics", &[])?;
    if json {
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

/// A value within a line.
pub fn word(value: &Value) -> String {
    match value {
        Value::String(text) => line(text),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}

pub fn bytes(value: &Value) -> String {
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
    let table: Vec<_> = table.iter().map(|row| row.each_ref().map(|cell| line(cell))).collect();
    let widths: Vec<usize> =
        (0..N).map(|column| table.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)).collect();
    for row in &table {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        println!("{}", cells.join("  ").trim_end());
    }
}
