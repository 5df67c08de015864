//! Sawbox as a Kafka broker beside librdkafka's in-memory mock, in one run, with librdkafka as the client of both.
//!
//! Both brokers are processes of their own on loopback; the kernel says what CPU time and memory they take. The mock keeps the last 5 MB
//! of a partition and syncs nothing: it is what the client can reach at most, not a broker to use. `run.sh` builds and starts this.

mod broker;
mod machine;
mod measures;
mod native;
mod table;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::ensure;
use clap::{Parser, Subcommand};

use broker::Sawbox;
use measures::Load;
use table::Table;

#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measures and prints the table
    Run(Box<Run>),
    /// The mock broker, for `run`
    #[command(hide = true)]
    Mock,
}

#[derive(Debug, clap::Args)]
struct Run {
    /// The box's program
    #[arg(long, default_value = "target/release/sawbox")]
    sawbox: PathBuf,
    /// Where the box keeps its data meanwhile; must not exist, and is removed afterwards
    #[arg(long, default_value = "./kafka-bench-data")]
    data_dir: PathBuf,
    /// Records of one round of the throughput measurement
    #[arg(long, default_value_t = 5_000_000)]
    records: u64,
    /// Rounds; the median counts
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// GB of memory that are touched before each producer; without it all that is free but for one. 0: none
    #[arg(long)]
    touch_gb: Option<u64>,
    /// GB that the queue retains at the kill -9
    #[arg(long, default_value_t = 10.0)]
    retained_gb: f64,
    /// Topics of the idle measurement
    #[arg(long, default_value_t = 1000)]
    topics: usize,
    /// Seconds of the latency and of the idle measurement
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Only these: throughput, consume, latency, startup, idle
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// The throughput's producer hands over a thousand records a call, which makes it three times as fast
    #[arg(long)]
    batches: bool,
    /// Configuration of the throughput's producer, as librdkafka calls it: compression.type=lz4
    #[arg(long = "set", value_name = "NAME=VALUE")]
    settings: Vec<String>,
}

/// Topics of the boxes: without a lane `bare`, `calm`, and `steady`, which deletes while it is written, as a queue does that has been there
/// for longer than its retention.
const CONFIG: &str = r#"
[queue]
retention = "1d"
max_topics = 20000
[topics.bare]
store = false
[topics.calm]
store = false
[topics.steady]
store = false
retention_bytes = "512MiB"
"#;

fn main() -> anyhow::Result<ExitCode> {
    match Arguments::parse().command {
        Command::Mock => broker::serve_mock().map(|()| ExitCode::SUCCESS),
        Command::Run(run) => {
            ensure!(!run.data_dir.exists(), "{} exists; `--data-dir` names another", run.data_dir.display());
            let done = measure(&run);
            let _ = fs::remove_dir_all(&run.data_dir);
            // A missed target is a failure, said in the table.
            Ok(if done? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    }
}

fn measure(run: &Run) -> anyhow::Result<bool> {
    let wanted = |name: &str| run.only.is_empty() || run.only.iter().any(|only| only == name);
    let settings: Vec<(&str, String)> = run
        .settings
        .iter()
        .filter_map(|setting| setting.split_once('='))
        .map(|(name, value)| (name, value.to_owned()))
        .collect();
    let mut table = Table::default();
    fs::create_dir_all(&run.data_dir)?;
    let mut sawbox = Sawbox::new(&run.sawbox, &run.data_dir.join("box"), CONFIG)?;
    sawbox.start()?;
    if wanted("latency") {
        measures::latency(&mut table, &sawbox, &run.data_dir, run.seconds)?;
    }
    if wanted("throughput") || wanted("consume") {
        measures::throughput(
            &mut table,
            &sawbox,
            run.records,
            run.rounds,
            &Load { settings: &settings, batches: run.batches, touch_gb: run.touch_gb },
        )?;
        measures::consume(&mut table, &sawbox, run.records, run.rounds)?;
    }
    if wanted("startup") {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        measures::startup(&mut table, &mut sawbox, (run.retained_gb * 1e9) as u64)?;
    }
    drop(sawbox);
    if wanted("idle") {
        let config = format!("{CONFIG}\n").replace("[queue]", "[queue]\npartitions = 4");
        let mut sawbox = Sawbox::new(&run.sawbox, &run.data_dir.join("idle"), &config)?;
        sawbox.start()?;
        measures::idle(&mut table, &mut sawbox, run.topics, run.seconds)?;
    }
    Ok(table.print())
}
