//! `replay`: history parsed again, and rows deleted.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Map, Value, json};

use crate::cli::Remote;
use crate::cli::client::{Client, segment};
use crate::cli::outlet::redraw;
use crate::cli::topics::{bytes, print_table, word};

/// Characters of a progress bar.
const BAR: usize = 30;
const LOOK: Duration = Duration::from_millis(500);

#[derive(Debug, clap::Subcommand)]
pub enum ReplayCommand {
    /// Parse a topic's records again, through its chain of now or another one
    #[command(after_help = "Examples:
  sawbox replay start web --dry-run                # what would be done
  sawbox replay start web --from -2h               # what arrived in the last two hours, through the chain of now
  sawbox replay start web --last 100000 --watch
  sawbox replay start web --partition 0 --offsets 1000:2000
  sawbox replay start web --generation 3           # as generation 3 would have it
  sawbox replay start web --chain chain.json --throttle 5MiB

The old rows stay until all is done; then the new ones take their place at once. Where a filter makes one row of several
records (multiline), a range is widened to whole rows. Records that filters send to other topics are not sent again. It goes
on over restarts of the box.

What the queue has no longer is made anew of rows that kept their records (topics.NAME.keep_payload), unless the chain
remembers; --dry-run says what stays as it is, and why.")]
    Start {
        /// The topic
        topic: String,
        /// Records that arrived then or later: 2026-11-20T08:00:00Z, an epoch, -2h
        #[arg(long, allow_hyphen_values = true)]
        from: Option<String>,
        /// Records that arrived before
        #[arg(long, allow_hyphen_values = true)]
        to: Option<String>,
        /// About the last so many records
        #[arg(long, conflicts_with_all = ["from", "to", "offsets"])]
        last: Option<u64>,
        /// Offsets of the partition that --partition names, FIRST:END (END is the one after the last)
        #[arg(long, value_name = "FIRST:END", conflicts_with_all = ["from", "to"], requires = "partitions")]
        offsets: Vec<String>,
        /// Only of these partitions
        #[arg(long = "partition", value_name = "NUMBER")]
        partitions: Vec<u32>,
        /// The chain of this generation instead of the newest
        #[arg(long, conflicts_with = "chain")]
        generation: Option<u32>,
        /// A chain from a file: a JSON list of {"filter", "when", "config"}
        #[arg(long, value_name = "FILE")]
        chain: Option<PathBuf>,
        /// Most bytes of records a second, like 5MiB
        #[arg(long, value_name = "BYTES")]
        throttle: Option<String>,
        /// Only say what would be done
        #[arg(long)]
        dry_run: bool,
        /// Show its progress until it is done
        #[arg(long, short)]
        watch: bool,
        /// As JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        remote: Remote,
    },
    /// List replays, the newest first
    Ls {
        /// As JSON, with everything
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        remote: Remote,
    },
    /// Show one replay
    Show {
        /// Its number
        id: u64,
        /// Show its progress until it is done
        #[arg(long, short)]
        watch: bool,
        /// As JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        remote: Remote,
    },
    /// Pause a replay; it stays paused over restarts
    Pause {
        /// Its number
        id: u64,
        #[command(flatten)]
        remote: Remote,
    },
    /// Let a paused replay go on
    Resume {
        /// Its number
        id: u64,
        #[command(flatten)]
        remote: Remote,
    },
    /// End a replay; the rows stay as they were before it
    Cancel {
        /// Its number
        id: u64,
        #[command(flatten)]
        remote: Remote,
    },
    /// Delete rows for good, by a query or by offsets; a replay does not bring them back. Rows of several records go whole
    #[command(after_help = "Examples:
  sawbox replay delete-rows web --query 'user:alice' --dry-run
  sawbox replay delete-rows web --query 'user:alice' --yes
  sawbox replay delete-rows web --partition 0 --offsets 1000:1001 --yes")]
    DeleteRows {
        /// The topic
        topic: String,
        /// Rows that this query keeps
        #[arg(long, required_unless_present = "offsets", conflicts_with = "offsets")]
        query: Option<String>,
        /// Of this time or later
        #[arg(long, allow_hyphen_values = true, requires = "query")]
        from: Option<String>,
        /// Before this time
        #[arg(long, allow_hyphen_values = true, requires = "query")]
        to: Option<String>,
        /// Offsets of --partition, FIRST:END (END is the one after the last)
        #[arg(long, value_name = "FIRST:END", requires = "partition")]
        offsets: Vec<String>,
        /// The partition that --offsets are of
        #[arg(long, value_name = "NUMBER")]
        partition: Option<u32>,
        /// Only say how many records it would be
        #[arg(long)]
        dry_run: bool,
        /// Do it
        #[arg(long, short)]
        yes: bool,
        #[command(flatten)]
        remote: Remote,
    },
}

/// `sawbox replay …`
pub fn replay(command: &ReplayCommand) -> anyhow::Result<()> {
    match command {
        ReplayCommand::Start { .. } => start(command),
        ReplayCommand::Ls { json, remote } => list(*json, &Client::new(&remote.url)),
        ReplayCommand::Show { id, watch, json, remote } => {
            let client = Client::new(&remote.url);
            let path = format!("/api/v1/replays/{id}");
            match (*watch, *json) {
                (true, _) => follow(&client, *id),
                (false, true) => print_json(&client.get(&path, &[])?),
                (false, false) => {
                    show(&client.get(&path, &[])?);
                    Ok(())
                }
            }
        }
        ReplayCommand::Pause { id, remote } => act(remote, *id, "pause", "is paused"),
        ReplayCommand::Resume { id, remote } => act(remote, *id, "resume", "goes on"),
        ReplayCommand::Cancel { id, remote } => act(remote, *id, "cancel", "is cancelled; the rows are as they were"),
        ReplayCommand::DeleteRows { .. } => delete_rows(command),
    }
}

fn post(client: &Client, path: &str, body: &Value) -> anyhow::Result<Value> {
    client.send("POST", path, &[], "application/json", body.to_string().as_bytes())
}

fn act(remote: &Remote, id: u64, action: &str, became: &str) -> anyhow::Result<()> {
    post(&Client::new(&remote.url), &format!("/api/v1/replays/{id}/{action}"), &json!({}))?;
    println!("replay {id} {became}");
    Ok(())
}

fn print_json(value: &Value) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}

/// FIRST:END of these partitions.
fn stretches(partitions: &[u32], offsets: &[String]) -> anyhow::Result<Vec<Value>> {
    let mut all = Vec::new();
    for text in offsets {
        let wrong = || format!("`{text}`: write offsets as FIRST:END, like 1000:2000");
        let (first, end) = text.split_once(':').with_context(wrong)?;
        let (first, end) = (first.parse::<u64>().with_context(wrong)?, end.parse::<u64>().with_context(wrong)?);
        all.extend(partitions.iter().map(|partition| json!({ "partition": partition, "first": first, "end": end })));
    }
    Ok(all)
}

fn start(command: &ReplayCommand) -> anyhow::Result<()> {
    let ReplayCommand::Start {
        topic,
        from,
        to,
        last,
        offsets,
        partitions,
        generation,
        chain,
        throttle,
        dry_run,
        watch,
        json: as_json,
        remote,
    } = command
    else {
        bail!("not a start");
    };
    let mut body = Map::new();
    let mut say = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            body.insert(name.to_owned(), value);
        }
    };
    say("from", from.clone().map(Value::from));
    say("to", to.clone().map(Value::from));
    say("last", last.map(Value::from));
    say("generation", generation.map(Value::from));
    say("throttle", throttle.clone().map(Value::from));
    say("dry_run", dry_run.then_some(Value::Bool(true)));
    if !offsets.is_empty() {
        say("offsets", Some(stretches(partitions, offsets)?.into()));
    } else if !partitions.is_empty() {
        say("partitions", Some(json!(partitions)));
    }
    if let Some(file) = chain {
        let text = crate::cli::filter::read(file)?;
        let chain: Value = serde_json::from_slice(&text).with_context(|| format!("{} is no JSON", file.display()))?;
        say("chain", Some(chain));
    }
    let client = Client::new(&remote.url);
    let answer = post(&client, &format!("/api/v1/topics/{}/replay", segment(topic)), &Value::Object(body))?;
    if *as_json && !*watch {
        return print_json(&answer);
    }
    if *dry_run {
        let plan = &answer["plan"];
        println!("{} records through {}", word(&plan["records"]), filters(&plan["chain"]));
        ranges("  would be parsed again", &plan["ranges"]);
        ranges("  would be parsed again, of rows that kept their records", &plan["past"]["ranges"]);
        ranges("  were made by this chain already", &plan["same"]);
        ranges("  are past the queue's retention; their rows stay", &plan["out_of_reach"]);
        if let Some(rows) = plan["past"]["rows_left"].as_u64().filter(|rows| *rows > 0) {
            println!("  rows that stay as they are: {rows}");
        }
        for note in plan["past"]["notes"].as_array().into_iter().flatten() {
            println!("  {}", word(note));
        }
        let targets: Vec<&str> = plan["sends_to"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        if !targets.is_empty() {
            println!(
                "  nothing is sent to {}: records that the chain sends there and drops here lose their row",
                targets.join(", ")
            );
        }
        return Ok(());
    }
    let id = answer["id"].as_u64().context("the box gave no number")?;
    println!("replay {id} of {} records begins, as generation {}", word(&answer["offsets"]), word(&answer["generation"]));
    ranges("  past the queue's retention; their rows stay", &answer["out_of_reach"]);
    if *watch {
        return follow(&client, id);
    }
    println!("  sawbox replay show {id} --watch{}", crate::cli::url_argument(&remote.url));
    Ok(())
}

fn filters(chain: &Value) -> String {
    let names: Vec<&str> = chain.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if names.is_empty() { "no filter".to_owned() } else { names.join(" → ") }
}

fn ranges(what: &str, ranges: &Value) {
    for range in ranges.as_array().into_iter().flatten() {
        println!(
            "{what}: partition {}, offsets {} to {}",
            word(&range["partition"]),
            word(&range["first"]),
            word(&range["end"])
        );
    }
}

fn list(as_json: bool, client: &Client) -> anyhow::Result<()> {
    let answer = client.get("/api/v1/replays", &[])?;
    if as_json {
        return print_json(&answer);
    }
    let mut table =
        vec![["REPLAY", "TOPIC", "STATE", "DONE", "RECORDS", "LEFT", "GENERATION", "CHAIN", "BEGAN"].map(String::from)];
    for one in answer["replays"].as_array().into_iter().flatten() {
        table.push([
            word(&one["id"]),
            word(&one["topic"]),
            word(&one["state"]),
            percent(one),
            word(&one["offsets"]),
            eta(one),
            word(&one["generation"]),
            filters(&one["chain"]),
            word(&one["began"]),
        ]);
    }
    print_table(&table);
    Ok(())
}

fn percent(one: &Value) -> String {
    format!("{:.1} %", one["percent"].as_f64().unwrap_or(0.0))
}

fn eta(one: &Value) -> String {
    match one["eta_seconds"].as_f64() {
        None => "-".to_owned(),
        Some(seconds) if seconds < 90.0 => format!("{seconds:.0} s"),
        Some(seconds) if seconds < 5400.0 => format!("{:.0} min", seconds / 60.0),
        Some(seconds) => format!("{:.1} h", seconds / 3600.0),
    }
}

fn show(one: &Value) {
    println!("replay      {} of topic {}", word(&one["id"]), word(&one["topic"]));
    let why = if one["why"].is_null() { String::new() } else { format!(": {}", word(&one["why"])) };
    println!("state       {}{why}", word(&one["state"]));
    if !one["waits_for"].is_null() {
        println!("waits for   {}", word(&one["waits_for"]));
    }
    println!("chain       {} (generation {})", filters(&one["chain"]), word(&one["generation"]));
    println!("began       {}", word(&one["began"]));
    if let Some(ended) = one["ended"].as_str() {
        println!("ended       {ended}");
    }
    println!("done        {} of {} records, {}", percent(one), word(&one["offsets"]), bytes(&one["bytes"]));
    if let Some(rate) = one["records_per_second"].as_f64() {
        println!("rate        {rate:.0} records/s; {} left", eta(one));
    }
    let names = ["stored", "dropped", "failed", "deleted"];
    let [stored, dropped, failed, deleted] = names.map(|name| word(&one[name]));
    println!("rows        {stored} stored, {dropped} dropped, {failed} failed, {deleted} deleted before");
    if one["emissions"].as_u64() > Some(0) {
        println!(
            "not sent    {} emissions{}",
            word(&one["emissions"]),
            routed(one).map(|why| format!("; {why}")).unwrap_or_default()
        );
    }
    if let Some(rebuilt) = one["rebuilt"].as_u64().filter(|rebuilt| *rebuilt > 0) {
        println!("of rows     {rebuilt} records, which the queue has no longer");
    }
    ranges("  past the queue's retention; their rows stay", &one["out_of_reach"]);
    let mut table = vec![["PARTITION", "FIRST", "END", "AT", "STORED"].map(String::from)];
    for part in one["partitions"].as_array().into_iter().flatten() {
        table.push(["partition", "first", "end", "at", "stored"].map(|name| word(&part[name])));
        for gap in part["unread"].as_array().into_iter().flatten() {
            println!(
                "  not read any more: partition {}, offsets {} to {}",
                word(&part["partition"]),
                word(&gap[0]),
                word(&gap[1])
            );
        }
    }
    print_table(&table);
}

/// What became of records that the chain sends only elsewhere.
fn routed(one: &Value) -> Option<String> {
    let routed = one["routed"].as_u64().filter(|routed| *routed > 0)?;
    Some(format!("{routed} records that filters only send to other topics have no row now: a replay sends nothing"))
}

/// Shows its progress until it is over: a bar on a terminal, else a line now and then.
fn follow(client: &Client, id: u64) -> anyhow::Result<()> {
    let is_terminal = std::io::stderr().is_terminal();
    let mut last = String::new();
    loop {
        let one = client.get(&format!("/api/v1/replays/{id}"), &[])?;
        let state = word(&one["state"]);
        let line = format!("{} {}, {} left", bar(one["percent"].as_f64().unwrap_or(0.0)), percent(&one), eta(&one));
        if is_terminal {
            let waits = one["waits_for"].as_str().map(|what| format!(" (waits: {what})")).unwrap_or_default();
            redraw(&format!("{line}{waits}"));
        } else if line != last {
            eprintln!("{line}");
        }
        last = line;
        if state != "running" {
            if is_terminal {
                eprintln!();
            }
            return match state.as_str() {
                "done" => {
                    println!("replay {id} is done: {} rows, generation {}", word(&one["stored"]), word(&one["generation"]));
                    if one["failed"].as_u64() > Some(0) {
                        println!("  {} records failed, and have no row now: `sawbox explain` says why", word(&one["failed"]));
                    }
                    routed(&one).iter().for_each(|why| println!("  {why}"));
                    Ok(())
                }
                "failed" => bail!("replay {id} failed; nothing has changed: {}", word(&one["why"])),
                other => {
                    println!("replay {id} is {other}");
                    Ok(())
                }
            };
        }
        std::thread::sleep(LOOK);
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // of 0 to BAR
fn bar(percent: f64) -> String {
    let full = (percent.clamp(0.0, 100.0) / 100.0 * BAR as f64) as usize;
    format!("[{}{}]", "#".repeat(full), ".".repeat(BAR - full))
}

fn delete_rows(command: &ReplayCommand) -> anyhow::Result<()> {
    let ReplayCommand::DeleteRows { topic, query, from, to, offsets, partition, dry_run, yes, remote } = command else {
        bail!("not a deletion");
    };
    let mut body = Map::new();
    match query {
        Some(query) => drop(body.insert("query".into(), query.clone().into())),
        None => drop(body.insert("offsets".into(), stretches(partition.as_slice(), offsets)?.into())),
    }
    for (name, value) in [("from", from), ("to", to)] {
        if let Some(value) = value {
            body.insert(name.into(), value.clone().into());
        }
    }
    if *dry_run || !yes {
        body.insert("dry_run".into(), true.into());
    }
    let client = Client::new(&remote.url);
    let answer = post(&client, &format!("/api/v1/topics/{}/delete-rows", segment(topic)), &Value::Object(body))?;
    let count = word(&answer["offsets"]);
    let of_before = answer["of_before"].as_u64().filter(|before| *before > 0);
    let before = of_before
        .map(|before| format!("  {before} of them are of a deleted topic of this name: the queue has nothing of them"));
    if answer["deleted"].as_bool() != Some(true) {
        println!("the rows of {count} records would be deleted");
        before.iter().for_each(|before| println!("{before}"));
        if !dry_run && count != "0" {
            bail!("this cannot be undone; say `--yes` if it is meant");
        }
        return Ok(());
    }
    println!("the rows of {count} records are deleted");
    before.iter().for_each(|before| println!("{before}"));
    match answer["queue_keeps_until"].as_str() {
        Some(until) => println!("  the queue has the records' bytes until {until}, at the latest"),
        None if answer["of_before"] == answer["offsets"] => {}
        None => println!("  the queue has the records' bytes for as long as its limit allows"),
    }
    if let Some(until) = answer["dead_letters_keep_until"].as_str() {
        println!("  dead letters may have them until {until}");
    }
    println!("  {}", word(&answer["note"]));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{bar, stretches};

    #[test]
    fn offsets_read_as_written() {
        let all = stretches(&[1, 2], &["5:9".to_owned()]).unwrap();
        assert_eq!(all[1], serde_json::json!({ "partition": 2, "first": 5, "end": 9 }));
        for wrong in ["5", "5:", ":9", "a:b", "5:9:1"] {
            assert!(stretches(&[0], &[wrong.to_owned()]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn bars_are_as_long_as_they_should() {
        for (percent, full) in [(-1.0, 0), (0.0, 0), (50.0, 15), (99.9, 29), (100.0, 30), (f64::NAN, 0)] {
            assert_eq!((bar(percent).len(), bar(percent).matches('#').count()), (32, full), "{percent}");
        }
    }
}
