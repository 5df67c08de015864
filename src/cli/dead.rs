//! `dead`: records that no filter could handle. Who they are, why, the failure on one's own machine, and once more.
#![allow(clippy::disallowed_methods)] // the files of the person who types, not of the box

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use serde_json::{Map, Value, json};

use crate::base::clock::RealClock;
use crate::base::disk::sim::SimDisk;
use crate::cli::client::{Client, segment};
use crate::cli::outlet::line;
use crate::cli::topics::{bytes, print_table, word};
use crate::cli::{Remote, program, url_argument};
use crate::sandbox::lab::bundle::{self, Outcome};

#[derive(Debug, clap::Subcommand)]
pub enum DeadCommand {
    /// List topics with dead letters and why; with a topic, its letters
    Ls {
        /// The topic
        topic: Option<String>,
        /// Most letters, the last ones
        #[arg(long, short, default_value_t = 50, value_name = "NUMBER")]
        limit: usize,
        /// As JSON, with everything
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        remote: Remote,
    },
    /// Show one letter
    Show {
        /// The topic
        topic: String,
        /// The letter, as `dead ls TOPIC` shows it
        #[arg(value_name = "PARTITION@OFFSET")]
        letter: String,
        /// As JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        remote: Remote,
    },
    /// Fetch a letter's bundle and run it here: does it fail in the same way
    Reproduce {
        /// The topic
        topic: String,
        /// The letter
        #[arg(value_name = "PARTITION@OFFSET")]
        letter: String,
        /// The report as JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        remote: Remote,
    },
    /// Write a letter's bundle to a file: record, filters, configuration, limits. It holds the record's data
    Bundle {
        /// The topic
        topic: String,
        /// The letter
        #[arg(value_name = "PARTITION@OFFSET")]
        letter: String,
        /// The file
        #[arg(long, short, value_name = "FILE")]
        output: PathBuf,
        #[command(flatten)]
        remote: Remote,
    },
    /// Try letters again with the chain that the topic has now; what succeeds becomes rows where they belong
    #[command(after_help = "Examples:
  sawbox dead retry web --all --dry-run
  sawbox dead retry web --filter parse
  sawbox dead retry web --reason 'no such field'
  sawbox dead retry web 0@17 0@20:30")]
    Retry {
        /// The topic
        topic: String,
        /// Letters, PARTITION@OFFSET or PARTITION@FIRST:END (END is the one after the last)
        #[arg(value_name = "PARTITION@OFFSET")]
        letters: Vec<String>,
        /// Only letters of this filter
        #[arg(long)]
        filter: Option<String>,
        /// Only letters whose reason has this in it
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        /// Every letter
        #[arg(long, conflicts_with_all = ["letters", "filter", "reason"])]
        all: bool,
        /// Only say what would come of it
        #[arg(long)]
        dry_run: bool,
        /// The report as JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        remote: Remote,
    },
}

/// `sawbox dead …`
pub fn run(command: &DeadCommand) -> anyhow::Result<()> {
    match command {
        DeadCommand::Ls { topic: None, json, remote, .. } => overview(remote, *json),
        DeadCommand::Ls { topic: Some(topic), limit, json, remote } => list(topic, *limit, *json, remote),
        DeadCommand::Show { topic, letter, json, remote } => show(topic, letter, *json, remote),
        DeadCommand::Reproduce { topic, letter, json, remote } => {
            reproduce(&fetch(topic, letter, remote)?, &format!("{letter} of {topic}"), *json)
        }
        DeadCommand::Bundle { topic, letter, output, remote } => {
            let bundle = fetch(topic, letter, remote)?;
            std::fs::write(output, &bundle).with_context(|| output.display().to_string())?;
            println!(
                "{} has {} bytes, the record's among them; anybody with a sawbox can run it:",
                output.display(),
                bundle.len()
            );
            println!("  {} filter reproduce {}", program(), output.display());
            Ok(())
        }
        DeadCommand::Retry { .. } => retry(command),
    }
}

/// `sawbox filter reproduce BUNDLE`
pub fn reproduce_file(file: &Path, json: bool) -> anyhow::Result<()> {
    let bytes = std::fs::read(file).with_context(|| file.display().to_string())?;
    reproduce(&bytes, &file.display().to_string(), json)
}

/// People may name either topic.
fn of(topic: &str) -> String {
    segment(topic.strip_prefix("_dead.").unwrap_or(topic))
}

fn place(letter: &str) -> anyhow::Result<(u32, &str)> {
    let wrong = || format!("`{letter}`: write a letter as PARTITION@OFFSET, like 0@17 (`dead ls TOPIC` shows them)");
    let (partition, offset) = letter.split_once('@').with_context(wrong)?;
    Ok((partition.parse().with_context(wrong)?, offset))
}

fn path(topic: &str, letter: &str) -> anyhow::Result<String> {
    let (partition, offset) = place(letter)?;
    let offset: u64 = offset.parse().with_context(|| format!("`{letter}`: `{offset}` is no offset"))?;
    Ok(format!("/api/v1/dead/{}/{partition}/{offset}", of(topic)))
}

fn fetch(topic: &str, letter: &str, remote: &Remote) -> anyhow::Result<Vec<u8>> {
    let mut bundle = Vec::new();
    Client::new(&remote.url).stream(&format!("{}/bundle", path(topic, letter)?), &[])?.read_to_end(&mut bundle)?;
    Ok(bundle)
}

fn print_json(value: &Value) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}

fn overview(remote: &Remote, as_json: bool) -> anyhow::Result<()> {
    let answer = Client::new(&remote.url).get("/api/v1/dead", &[])?;
    if as_json {
        return print_json(&answer);
    }
    let mut table = vec![["TOPIC", "LETTERS", "BYTES", "NEWEST", "FILTER", "REASON"].map(String::from)];
    for one in answer["topics"].as_array().into_iter().flatten().filter(|one| one["letters"] != 0) {
        let mut first = [word(&one["topic"]), word(&one["letters"]), bytes(&one["bytes"]), word(&one["newest"])];
        for reason in one["reasons"].as_array().into_iter().flatten().take(5) {
            let [topic, letters, bytes, newest] = std::mem::take(&mut first);
            let why = format!("{} ({}x)", word(&reason["reason"]), word(&reason["letters"]));
            table.push([topic, letters, bytes, newest, word(&reason["filter"]), why]);
        }
    }
    if table.len() == 1 {
        println!("there are no dead letters");
        return Ok(());
    }
    print_table(&table);
    Ok(())
}

fn list(topic: &str, limit: usize, as_json: bool, remote: &Remote) -> anyhow::Result<()> {
    let limit = limit.to_string();
    let answer = Client::new(&remote.url).get(&format!("/api/v1/dead/{}", of(topic)), &[("limit", &limit)])?;
    if as_json {
        return print_json(&answer);
    }
    let mut table = vec![["LETTER", "BURIED", "GENERATION", "FILTER", "REASON", "RECORD"].map(String::from)];
    for letter in answer["last"].as_array().into_iter().flatten() {
        let text: String = word(&letter["payload"]["text"]).chars().take(60).collect();
        table.push([
            format!("{}@{}", word(&letter["partition"]), word(&letter["offset"])),
            word(&letter["buried"]),
            word(&letter["generation"]),
            word(&letter["filter"]),
            word(&letter["reason"]),
            text,
        ]);
    }
    if table.len() == 1 {
        println!("{topic} has no dead letters");
        return Ok(());
    }
    print_table(&table);
    let shown = (table.len() - 1) as u64;
    if let Some(all) = answer["letters"].as_u64().filter(|all| *all > shown) {
        println!("the last {shown} of {all}");
    }
    Ok(())
}

fn show(topic: &str, letter: &str, as_json: bool, remote: &Remote) -> anyhow::Result<()> {
    let one = Client::new(&remote.url).get(&path(topic, letter)?, &[])?;
    if as_json {
        return print_json(&one);
    }
    println!("letter      {letter} of {topic}, buried {}", word(&one["buried"]));
    println!("origin      {}, came {}", word(&one["origin"]), word(&one["arrival"]));
    match one["filter"].as_str() {
        Some("") | None => println!("reason      {} (the record has its row)", word(&one["reason"])),
        Some(filter) => {
            println!("failed in   {}, generation {}", line(filter), word(&one["generation"]));
            println!("reason      {}", word(&one["reason"]));
        }
    }
    for header in one["headers"].as_array().into_iter().flatten() {
        println!("header      {}: {}", word(&header[0]), word(&header[1]));
    }
    if !one["key"].is_null() {
        println!("key         {}", word(&one["key"]["text"]));
    }
    println!("payload     {}", word(&one["payload"]["text"]));
    println!("\n  {} dead reproduce {topic} {letter}{}", program(), url_argument(&remote.url));
    Ok(())
}

fn reproduce(bytes: &[u8], what: &str, as_json: bool) -> anyhow::Result<()> {
    let report =
        bundle::run(bytes, SimDisk::new(0), Arc::new(RealClock::new())).with_context(|| format!("cannot run {what}"))?;
    if as_json {
        print_json(&json!(report))?;
    } else {
        outcome("now", &report.now);
        if !report.same {
            outcome("then", &report.before);
        }
        for note in &report.notes {
            println!("note    {}", line(note));
        }
        if report.same {
            println!("the same: verdict, reason and fuel are what the box had");
        }
    }
    if !report.same {
        bail!("{what} does not end here as it did on the box");
    }
    Ok(())
}

fn outcome(when: &str, one: &Outcome) {
    let filter = match one.entry {
        Some(entry) => format!(" in filter {} of the chain, `{}`", entry + 1, one.filter),
        None => String::new(),
    };
    println!("{when:<7} {}{}: {}", one.verdict, line(&filter), line(&one.reason));
    println!("        fuel {} of {}", one.fuel, one.fuel_limit);
    for text in &one.log {
        println!("        {}", line(text));
    }
}

fn retry(command: &DeadCommand) -> anyhow::Result<()> {
    let DeadCommand::Retry { topic, letters, filter, reason, all, dry_run, json: as_json, remote } = command else {
        bail!("not a retry");
    };
    if letters.is_empty() && filter.is_none() && reason.is_none() && !all {
        bail!("say which letters: PARTITION@OFFSET, --filter, --reason, or --all");
    }
    let mut body = Map::new();
    if !letters.is_empty() {
        body.insert("offsets".into(), letters.iter().map(|letter| stretch(letter)).collect::<anyhow::Result<Vec<_>>>()?.into());
    }
    for (name, value) in [("filter", filter), ("reason", reason)] {
        if let Some(value) = value {
            body.insert(name.into(), value.clone().into());
        }
    }
    body.insert("dry_run".into(), (*dry_run).into());
    let client = Client::new(&remote.url);
    let path = format!("/api/v1/dead/{}/retry", of(topic));
    let answer = client.send("POST", &path, &[], "application/json", Value::Object(body).to_string().as_bytes())?;
    if *as_json {
        return print_json(&answer);
    }
    let [tried, stored, dropped, failed] = ["tried", "stored", "dropped", "failed"].map(|name| word(&answer[name]));
    let would = if *dry_run { "would be " } else { "" };
    println!("{tried} letters tried: {stored} {would}stored, {dropped} {would}dropped by a filter, {failed} failed again");
    if let Some(emissions) = answer["emissions"].as_u64().filter(|emissions| *emissions > 0) {
        println!(
            "{emissions} records {} to other topics, as filters of the chain say",
            if *dry_run { "would be sent" } else { "were sent" }
        );
    }
    if let Some(generation) = answer["generation"].as_u64() {
        println!("the rows are of generation {generation}; the letters are resolved");
    }
    let mut table = vec![["LETTER", "FILTER", "REASON"].map(String::from)];
    for one in answer["failures"].as_array().into_iter().flatten() {
        table.push([
            format!("{}@{}", word(&one["partition"]), word(&one["offset"])),
            word(&one["filter"]),
            word(&one["reason"]),
        ]);
    }
    if table.len() > 1 {
        print_table(&table);
    }
    for note in answer["notes"].as_array().into_iter().flatten() {
        println!("note: {}", word(note));
    }
    Ok(())
}

/// PARTITION@OFFSET or PARTITION@FIRST:END.
fn stretch(letter: &str) -> anyhow::Result<Value> {
    let (partition, offsets) = place(letter)?;
    let wrong = || format!("`{letter}`: write letters as PARTITION@OFFSET or PARTITION@FIRST:END");
    let (first, end) = match offsets.split_once(':') {
        Some((first, end)) => (first.parse::<u64>().with_context(wrong)?, end.parse::<u64>().with_context(wrong)?),
        None => {
            let first: u64 = offsets.parse().with_context(wrong)?;
            (first, first.saturating_add(1))
        }
    };
    Ok(json!({ "partition": partition, "first": first, "end": end }))
}

#[cfg(test)]
mod tests {
    use super::stretch;

    #[test]
    fn letters_read_as_written() {
        assert_eq!(stretch("0@17").unwrap(), serde_json::json!({ "partition": 0, "first": 17, "end": 18 }));
        assert_eq!(stretch("1@5:9").unwrap(), serde_json::json!({ "partition": 1, "first": 5, "end": 9 }));
        for wrong in ["", "17", "a@1", "0@", "0@a", "0@1:", "0@1:b"] {
            assert!(stretch(wrong).is_err(), "{wrong}");
        }
    }
}
