//! `filter`: what decides on records. `life.rs` has what becomes of a version: trial, promote, roll back.

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::{Map, Value};

use crate::cli::client::{Client, segment};
use crate::cli::topics::{bytes, print_table, word};
use crate::cli::{Remote, program};

mod author;
mod grok;
mod life;

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
    /// Say whether a module is a filter this box would take, without a running box: also whether it says the same of a record in
    /// any company, in calls of 1, 7 and 1024 records, fresh or not
    Check {
        /// A `.wasm` file
        file: PathBuf,
        /// Its configuration, as a JSON object
        #[arg(long, value_name = "JSON")]
        config: Option<String>,
        /// Records to try it on, one a line, instead of made-up ones
        #[arg(long, value_name = "FILE")]
        records: Option<PathBuf>,
    },
    /// Upload a filter under a name; every chain that uses the name goes over to it between two batches
    #[command(after_help = "Examples:
  sawbox filter put mine target/wasm32-unknown-unknown/release/mine.wasm
  sawbox filter put mine mine.wasm --no-promote     # keep it; `filter trial` says what it would change

A module that does not hold up is refused with the reason, and what runs goes on running.")]
    Put {
        /// The name that chains will use: letters, digits, `.`, `_`, `-`
        name: String,
        /// A `.wasm` file
        file: PathBuf,
        /// Fixtures that it must pass first, a TOML file; one that does not is kept, and waits
        #[arg(long, value_name = "FILE")]
        fixtures: Option<PathBuf>,
        /// Keep it as a version that waits: nothing that runs changes
        #[arg(long)]
        no_promote: bool,
        #[command(flatten)]
        remote: Remote,
    },
    #[command(flatten)]
    Life(life::LifeCommand),
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
            let mut table = vec![["FILTER", "KIND", "VERSION", "SIZE", "SHA256", "USED BY"].map(String::from)];
            for filter in answer["filters"].as_array().into_iter().flatten() {
                let topics: Vec<&str> = filter["used_by"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
                let kind = if filter["stock"].as_bool() == Some(true) { "stock" } else { "own" };
                let hash = word(&filter["sha256"]);
                table.push([
                    word(&filter["name"]),
                    kind.to_owned(),
                    if filter["version"].is_null() { "waits".to_owned() } else { word(&filter["version"]) },
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
        FilterCommand::Check { file, config, records } => {
            let wasm = read(file)?;
            let config: Map<String, Value> = match config {
                Some(config) => {
                    serde_json::from_str(config).with_context(|| format!("--config {config}: it is a JSON object"))?
                }
                None => Map::new(),
            };
            let report = crate::check_filter(&wasm, &config).with_context(|| format!("{} is no filter", file.display()))?;
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
                println!("  wants a configuration (`--config`): {why}");
                return Ok(());
            }
            let text = records.as_ref().map(|records| read(records)).transpose()?.unwrap_or_default();
            let mut lines: Vec<&[u8]> = text.split(|&byte| byte == b'\n').collect();
            // What is behind the last line's end is no line.
            lines.pop_if(|last| last.is_empty());
            let tried = crate::check_steady(&wasm, &config, &lines).with_context(|| file.display().to_string())?;
            println!("  says the same of {tried} records in calls of 1, 7 and 1024, fresh or not");
            Ok(())
        }
        FilterCommand::Put { name, file, fixtures, no_promote, remote } => {
            let client = Client::new(&remote.url);
            if let Some(fixtures) = fixtures {
                let answer = put(&client, name, file, false)?;
                pass(&client, name, &answer["version"], fixtures)?;
            }
            let answer = put(&client, name, file, !no_promote)?;
            let version = word(&answer["version"]);
            println!("filter {name} is kept as version {version}, sha256 {}", word(&answer["sha256"]));
            let opened = answer["generations"].as_array().map_or(&[][..], Vec::as_slice);
            for one in opened {
                println!("topic {} goes on with it, generation {}", word(&one["topic"]), word(&one["generation"]));
            }
            if *no_promote {
                let program = program();
                println!("it waits; to see what it would change, and then to use it:");
                println!("  {program} filter trial {name}@{version} --topic TOPIC");
                println!("  {program} filter promote {name}@{version} --topic TOPIC");
            } else if opened.is_empty() {
                println!("no chain uses it yet; to see what it would make of a topic's records, and then to use it there:");
                let program = program();
                println!("  {program} filter trial {name} --topic TOPIC");
                println!("  {program} filter promote {name} --topic TOPIC");
            }
            Ok(())
        }
        FilterCommand::Life(command) => life::run(command),
    }
}

/// Uploads a module.
fn put(client: &Client, name: &str, file: &Path, promote: bool) -> anyhow::Result<Value> {
    let wasm = read(file)?;
    let promote = if promote { "true" } else { "false" };
    let path = format!("/api/v1/filters/{}", segment(name));
    client.send("PUT", &path, &[("promote", promote)], "application/wasm", wasm.as_slice())
}

/// Runs a version over fixtures; says which cases are not as they should be.
fn pass(client: &Client, name: &str, version: &Value, fixtures: &Path) -> anyhow::Result<()> {
    let path = format!("/api/v1/filters/{}/fixtures", segment(name));
    let version = word(version);
    let answer = client.send("POST", &path, &[("version", &version)], "application/toml", read(fixtures)?.as_slice())?;
    let cases = answer["cases"].as_array().map_or(&[][..], Vec::as_slice);
    for case in cases {
        for difference in case["differences"].as_array().into_iter().flatten() {
            println!("{}: {}", word(&case["name"]), word(difference));
        }
    }
    if answer["passed"].as_bool() != Some(true) {
        anyhow::bail!(
            "{} does not hold for version {version} of {name}; it waits, and nothing that runs changed",
            fixtures.display()
        );
    }
    println!("all {} cases of {} hold", cases.len(), fixtures.display());
    Ok(())
}

/// A file of the person who types, not of the box.
#[allow(clippy::disallowed_methods)]
pub fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| path.display().to_string())
}
