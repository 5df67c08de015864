//! What becomes of a version: listed, tried on old records beside the live chain, promoted, rolled back.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Map, Value, json};

use super::put;
use crate::cli::client::{Client, segment};
use crate::cli::outlet::{line, redraw};
use crate::cli::topics::{bytes, print_table, word};
use crate::cli::{Remote, program, url_argument};

/// How often a trial is asked how far it is.
const LOOK: Duration = Duration::from_millis(200);

#[derive(Debug, clap::Subcommand)]
pub enum LifeCommand {
    /// Every version of a filter: when it came, by whom, which topics' generations use it
    Versions {
        /// The filter
        name: String,
        /// As JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        remote: Remote,
    },
    /// Every generation of a topic: its chain, who made it, where it begins; of a replay, which offsets it made anew
    Generations {
        /// The topic
        topic: String,
        /// As JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        remote: Remote,
    },
    /// Run a version over a topic's old records beside the live chain, and show what it would change. Writes nothing
    #[command(after_help = "Examples:
  sawbox filter trial mine --topic web                        # the newest version, on the last 100000 records
  sawbox filter trial mine@3 --topic web --last 1h
  sawbox filter trial mine --topic web --module mine.wasm     # uploads it first; it waits, nothing changes
  sawbox filter trial sample --topic web --when 'status:404' --config '{\"percentage\":10}'  # not in the chain yet: it comes last
  sawbox filter trial drop#2 --topic web --when 'status:404'  # of a chain that has one `drop`: another one, last in it

The candidate is the topic's live chain with the filter in that version; a filter that the chain does not have comes last.
Where the chain has several of that name, `#NUMBER` says which of them is meant, counted from 1.")]
    Trial {
        /// The filter, with `#NUMBER` if it is that one of several, with `@VERSION` if it is not to be the newest
        #[arg(value_name = "NAME[#NUMBER][@VERSION]")]
        name: String,
        /// The topic
        #[arg(long, short)]
        topic: String,
        /// Upload this `.wasm` file first, as a version that waits
        #[arg(long, value_name = "FILE")]
        module: Option<PathBuf>,
        /// Records of the last 30m, 1h, 2d …
        #[arg(long, value_name = "SPAN", conflicts_with = "records")]
        last: Option<String>,
        /// About the last so many records [default: 100000]
        #[arg(long)]
        records: Option<u64>,
        /// Which rows the filter is given, instead of what the chain says
        #[arg(long, value_name = "PREDICATE")]
        when: Option<String>,
        /// The filter's configuration, as a JSON object, instead of what the chain says
        #[arg(long, value_name = "JSON")]
        config: Option<String>,
        /// How many differing records of each kind are shown
        #[arg(long, default_value_t = 3)]
        sample: u64,
        /// The report as JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        remote: Remote,
    },
    /// Use a version: from its next batch on, in every chain that says the plain name, or in one topic's
    #[command(after_help = "Examples:
  sawbox filter promote mine              # the newest version; chains that say `mine` go over to it
  sawbox filter promote mine@2            # an older one again
  sawbox filter promote mine --topic web  # only there; it is added to the chain if the chain does not have it
  sawbox filter promote mutate#2 --topic web --config '{\"lowercase\":[\"app\"]}'   # of several, the second alone")]
    Promote {
        /// The filter, with `#NUMBER` if it is that one of a topic's several, with `@VERSION` if it is not to be the newest
        #[arg(value_name = "NAME[#NUMBER][@VERSION]")]
        name: String,
        /// Only in this topic's chain, which then stays with the version
        #[arg(long, short)]
        topic: Option<String>,
        /// Which rows the filter is given
        #[arg(long, value_name = "PREDICATE", requires = "topic")]
        when: Option<String>,
        /// The filter's configuration, as a JSON object
        #[arg(long, value_name = "JSON", requires = "topic")]
        config: Option<String>,
        #[command(flatten)]
        remote: Remote,
    },
    /// Give a topic the chain of an older generation again, from its next batch on
    #[command(after_help = "Examples:
  sawbox filter rollback web       # the last chain that was another one
  sawbox filter rollback web 4     # generation 4's; `sawbox filter generations web` lists them")]
    Rollback {
        /// The topic
        topic: String,
        /// The generation
        generation: Option<u32>,
        #[command(flatten)]
        remote: Remote,
    },
}

/// Does one of them.
pub fn run(command: &LifeCommand) -> anyhow::Result<()> {
    match command {
        LifeCommand::Versions { name, json, remote } => versions(name, *json, remote),
        LifeCommand::Generations { topic, json, remote } => generations(topic, *json, remote),
        LifeCommand::Trial { .. } => trial(command),
        LifeCommand::Promote { name, topic, when, config, remote } => {
            let (name, version) = split(name)?;
            let client = Client::new(&remote.url);
            match topic {
                Some(topic) => {
                    let body = wish(name, version, when.as_ref(), config.as_ref())?;
                    let path = format!("/api/v1/topics/{}/promote", segment(topic));
                    opened(&client.send("POST", &path, &[], "application/json", body.to_string().as_bytes())?);
                }
                None => {
                    let body = json!({ "version": version });
                    let path = format!("/api/v1/filters/{}/promote", segment(name));
                    let answer = client.send("POST", &path, &[], "application/json", body.to_string().as_bytes())?;
                    println!("filter {name} is version {} from now on", word(&answer["version"]));
                    let lists =
                        [&answer["generations"], &answer["kept"]].map(|list| list.as_array().map_or(&[][..], Vec::as_slice));
                    lists[0].iter().for_each(opened);
                    for one in lists[1] {
                        println!("topic {} stays with version {}", word(&one["topic"]), word(&one["version"]));
                    }
                    if lists.iter().all(|list| list.is_empty()) {
                        println!("no chain that uses it changed; `--topic TOPIC` puts it into one");
                    }
                }
            }
            Ok(())
        }
        LifeCommand::Rollback { topic, generation, remote } => {
            let body = json!({ "to": generation });
            let path = format!("/api/v1/topics/{}/rollback", segment(topic));
            let answer = Client::new(&remote.url).send("POST", &path, &[], "application/json", body.to_string().as_bytes())?;
            opened(&answer);
            Ok(())
        }
    }
}

/// A name and the version behind it.
fn split(text: &str) -> anyhow::Result<(&str, Option<u32>)> {
    let Some((name, version)) = text.split_once('@') else { return Ok((text, None)) };
    let version =
        version.parse().with_context(|| format!("`{text}`: behind the `@` stands a version's number, like {name}@3"))?;
    Ok((name, Some(version)))
}

/// The chain that is wished for, as the API takes it.
fn wish(name: &str, version: Option<u32>, when: Option<&String>, config: Option<&String>) -> anyhow::Result<Value> {
    let mut body = json!({ "filter": name, "version": version, "when": when });
    if let Some(config) = config {
        let config: Map<String, Value> =
            serde_json::from_str(config).with_context(|| format!("--config {config}: it is a JSON object"))?;
        body["config"] = config.into();
    }
    Ok(body)
}

/// A generation that was opened.
fn opened(answer: &Value) {
    println!("topic {} goes on with generation {}", word(&answer["topic"]), word(&answer["generation"]));
    for one in answer["from"].as_array().into_iter().flatten() {
        println!("  partition {} from offset {}", word(&one["partition"]), word(&one["offset"]));
    }
}

fn versions(name: &str, json: bool, remote: &Remote) -> anyhow::Result<()> {
    let answer = Client::new(&remote.url).get(&format!("/api/v1/filters/{}/versions", segment(name)), &[])?;
    if json {
        println!("{}", serde_json::to_string_pretty(&answer)?);
        return Ok(());
    }
    let mut table = vec![["VERSION", "", "PUT", "BY", "SIZE", "SHA256", "COMPILED IN", "USED BY"].map(String::from)];
    for version in answer["versions"].as_array().into_iter().flatten() {
        let used = version["used_by"].as_array().into_iter().flatten().map(|user| {
            let generations: Vec<String> = user["generations"].as_array().into_iter().flatten().map(word).collect();
            let live = if user["live"].as_bool() == Some(true) { ", live" } else { "" };
            format!("{} ({}{live})", word(&user["topic"]), generations.join(", "))
        });
        let hash = word(&version["sha256"]);
        table.push([
            word(&version["version"]),
            if version["current"].as_bool() == Some(true) { "current".to_owned() } else { String::new() },
            word(&version["at"]),
            if version["stock"].as_bool() == Some(true) { "the box".to_owned() } else { word(&version["by"]) },
            if version["bytes"].is_null() { "removed".to_owned() } else { bytes(&version["bytes"]) },
            hash.get(..12).unwrap_or(&hash).to_owned(),
            version["compile_ns"].as_u64().map_or("-".to_owned(), |ns| format!("{} ms", ns / 1_000_000)),
            used.collect::<Vec<_>>().join("; "),
        ]);
    }
    print_table(&table);
    Ok(())
}

/// A chain in a line.
fn chain(chain: &Value) -> String {
    let entry = |entry: &Value| match entry["version"].as_u64() {
        Some(0) | None => word(&entry["filter"]),
        Some(version) => format!("{}@{version}", word(&entry["filter"])),
    };
    chain.as_array().into_iter().flatten().map(entry).collect::<Vec<_>>().join(" → ")
}

fn generations(topic: &str, json: bool, remote: &Remote) -> anyhow::Result<()> {
    let answer = Client::new(&remote.url).get(&format!("/api/v1/topics/{}/generations", segment(topic)), &[])?;
    if json {
        println!("{}", serde_json::to_string_pretty(&answer)?);
        return Ok(());
    }
    let mut table = vec![["GENERATION", "", "MADE", "BY", "FROM", "CHAIN", "WHY"].map(String::from)];
    for one in answer["generations"].as_array().into_iter().flatten() {
        let from = one["from"].as_array().into_iter().flatten();
        let from = from.map(|first| format!("{}@{}", word(&first["partition"]), word(&first["offset"])));
        let anew = one["ranges"].as_array().into_iter().flatten();
        let anew = anew.map(|range| format!("{}@{}:{}", word(&range["partition"]), word(&range["first"]), word(&range["end"])));
        let places: Vec<String> = from.chain(anew).collect();
        table.push([
            word(&one["generation"]),
            if one["live"].as_bool() == Some(true) { "live".to_owned() } else { String::new() },
            word(&one["at"]),
            word(&one["made_by"]),
            if places.is_empty() { "the beginning".to_owned() } else { short(&places.join(" "), 100) },
            chain(&one["chain"]),
            one["why"].as_str().unwrap_or_default().to_owned(),
        ]);
    }
    print_table(&table);
    Ok(())
}

fn trial(command: &LifeCommand) -> anyhow::Result<()> {
    let LifeCommand::Trial { name, topic, module, last, records, when, config, sample, json, remote } = command else {
        return Ok(());
    };
    let client = Client::new(&remote.url);
    let (name, mut version) = split(name)?;
    if let Some(file) = module {
        if version.is_some() {
            bail!("`--module` makes a new version: say `{name}` without one");
        }
        let answer = put(&client, name.split('#').next().unwrap_or(name), file, false)?;
        version = answer["version"].as_u64().and_then(|version| u32::try_from(version).ok());
        eprintln!("{} is version {} of {name}", file.display(), word(&answer["version"]));
    }
    let mut body = wish(name, version, when.as_ref(), config.as_ref())?;
    body["sample"] = (*sample).into();
    if let Some(span) = last {
        body["last"] = json!({ "span": span });
    } else if let Some(records) = records {
        body["last"] = json!({ "records": records });
    }
    let path = format!("/api/v1/topics/{}/trial", segment(topic));
    let mut status = client.send("POST", &path, &[], "application/json", body.to_string().as_bytes())?;
    let path = format!("/api/v1/trials/{}", word(&status["id"]));
    let shows = std::io::stderr().is_terminal();
    while status["state"] == "running" {
        std::thread::sleep(LOOK);
        status = client.get(&path, &[])?;
        if shows {
            redraw(&format!("{} of {} records tried", word(&status["tried"]), word(&status["of"])));
        }
    }
    if shows {
        redraw("");
    }
    if *json {
        println!("{}", serde_json::to_string_pretty(&status)?);
    } else {
        report(&status);
        if status["state"] == "done" && status["report"]["unsteady"].is_null() {
            let version = version.map_or(String::new(), |version| format!("@{version}"));
            let url = url_argument(&remote.url);
            println!("\nTo use it from the next batch on:");
            let mut more = String::new();
            for (option, value) in [("when", when), ("config", config)] {
                if let Some(value) = value {
                    more.push_str(&format!(" --{option} '{}'", value.replace('\'', "'\\''")));
                }
            }
            println!("  {} filter promote {name}{version} --topic {topic}{more}{url}", program());
        }
    }
    match (status["state"].as_str(), status["error"].as_str()) {
        (Some("failed"), Some(error)) => bail!("the trial could not go on: {error}"),
        (Some("cancelled"), _) => bail!("the trial was cancelled"),
        _ => Ok(()),
    }
}

/// A trial for people.
fn report(status: &Value) {
    let report = &status["report"];
    let records = report["records"].as_u64().unwrap_or(0);
    println!("topic      {}, {records} records, {} ms", word(&status["topic"]), word(&status["took_ms"]));
    println!("live       {} (generation {})", chain(&status["live"]["chain"]), word(&status["live"]["generation"]));
    println!("candidate  {}", chain(&status["candidate"]["chain"]));
    println!();
    let counts = [
        ("same", "the same"),
        ("changed", "changed: other fields or emissions"),
        ("newly_dropped", "newly dropped"),
        ("newly_kept", "newly kept"),
        ("newly_failed", "newly failed: they would be dead letters"),
        ("mended", "mended: they failed before"),
        ("unreadable", "could not be read"),
    ];
    for (key, words) in counts {
        let count = report[key].as_u64().unwrap_or(0);
        if count > 0 || key == "same" {
            #[allow(clippy::cast_precision_loss)]
            let share = count as f64 * 100.0 / records.max(1) as f64;
            println!("{count:>12}  {share:>5.1} %  {words}");
        }
    }
    for (key, words) in [("drop_reasons", "dropped because"), ("fail_reasons", "failed because")] {
        for (reason, count) in report[key].as_object().into_iter().flatten() {
            println!("{:>12}           {words}: {}", word(count), line(reason));
        }
    }
    fields(report);
    let emissions = report["emissions"].as_object().into_iter().flatten().filter(|(_, one)| one["live"] != one["candidate"]);
    for (topic, one) in emissions {
        println!("\nemitted to {}: {} live, {} with the candidate", line(topic), word(&one["live"]), word(&one["candidate"]));
    }
    let cost = |side: &str, key: &str| report[side][key].as_u64().unwrap_or(0);
    println!(
        "\ncost       {} → {} fuel a record, {} → {} ns a record",
        cost("live", "fuel_per_record"),
        cost("candidate", "fuel_per_record"),
        cost("live", "ns_per_record"),
        cost("candidate", "ns_per_record")
    );
    if cost("candidate", "traps") > 0 {
        println!("traps      {} → {}", cost("live", "traps"), cost("candidate", "traps"));
    }
    if !report["unsteady"].is_null() {
        let unsteady = &report["unsteady"];
        println!(
            "\nThe candidate is NOT STEADY, and must not be promoted: of the record at offset {}",
            word(&unsteady["offset"])
        );
        println!("  it says   {}", word(&unsteady["before"]));
        println!("  but also  {}", word(&unsteady["now"]));
        println!("  in calls of {}: it remembers something from one record to the next", word(&unsteady["call_records"]));
    }
    for example in report["examples"].as_array().into_iter().flatten() {
        let place = format!("{}/{}@{}", word(&status["topic"]), word(&example["partition"]), word(&example["offset"]));
        println!("\n{} {place}", word(&example["kind"]).replace('_', " "));
        println!("  raw  {}", word(&example["raw"]["text"]));
        println!("  old  {}", line(&verdict(&example["old"], &example["new"])));
        println!("  new  {}", line(&verdict(&example["new"], &example["old"])));
    }
}

/// Which fields differ, most first.
fn fields(report: &Value) {
    let mut fields: Vec<(&String, &Value)> = report["fields"].as_object().into_iter().flatten().collect();
    if fields.is_empty() {
        return;
    }
    let count = |field: &Value, key: &str| field[key].as_u64().unwrap_or(0);
    fields.sort_by_key(|(_, one)| std::cmp::Reverse(count(one, "added") + count(one, "removed") + count(one, "changed")));
    println!();
    let mut table = vec![["FIELD", "ADDED", "REMOVED", "CHANGED", "FOR EXAMPLE"].map(String::from)];
    for (name, one) in fields {
        let example = &one["examples"][0];
        let value = |value: &Value| if value.is_null() { "(none)".to_owned() } else { value.to_string() };
        let example = short(&format!("{} → {}", value(&example["old"]), value(&example["new"])), 100);
        table.push([name.clone(), word(&one["added"]), word(&one["removed"]), word(&one["changed"]), example]);
    }
    print_table(&table);
}

/// A verdict in a line: of a row, the fields that are not the same in the other.
fn verdict(one: &Value, other: &Value) -> String {
    let mut text = match one["verdict"].as_str() {
        Some("store") => {
            let differs = |(name, value): &(&String, &Value)| other["fields"][name.as_str()] != **value;
            let fields = one["fields"].as_object().into_iter().flatten().filter(differs);
            let fields: Vec<String> = fields.map(|(name, value)| format!("{name}={value}")).collect();
            format!("stored {}", fields.join(" "))
        }
        Some("hold") => "held".to_owned(),
        Some("drop") => format!("dropped {}", word(&one["reason"])),
        _ => format!("failed in {}: {}", word(&one["filter"]), word(&one["reason"])),
    };
    for emission in one["emissions"].as_array().into_iter().flatten() {
        text.push_str(&format!(" → {}", word(&emission["topic"])));
    }
    short(text.trim_end(), 400)
}

fn short(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most).chain(Some('…')).collect()
}
