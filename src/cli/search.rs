//! `query`, `tail` and `send`: rows out of a box, records into it.

use std::fs::File;
use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::path::PathBuf;

use anyhow::Context;
use serde_json::Value;

use crate::base::limits::is_topic_name;
use crate::cli::Remote;
use crate::cli::ahead::Ahead;
use crate::cli::client::{Client, Refused, segment};
use crate::cli::outlet::{self, line};
use crate::cli::topics::word;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sawbox query 'hello'
  sawbox query 'app:shop response>=500 -request:\"/static\"' --from -1h --text
  sawbox query 'response:503 | stats count() by app | sort -count() | limit 10'

A word or \"a phrase\" is sought in the message.
Fields: app:shop, app:=Shop, response>=500, response:[400 TO 499], request:/a*,
  user:* (is there), agent:~\"regex\", clientip:10.0.0.0/8
Between them: and, or, not, -, parentheses.
Pipes: where, stats … by …, timeseries, top, rare, sort, limit, fields, dedup,
  eval name = …, extract \"user=<user> \", rename, lookup, patterns

  sawbox query 'timeout' --context 3            # with the rows around each
  sawbox query 'app:shop | top path' --explain  # what was read for it, and what not")]
pub struct QueryArguments {
    /// The query, as in the page; without one, everything
    #[arg(default_value = "*")]
    query: String,
    /// From this time on: 2026-11-20T08:00:00Z, an epoch, or back from now: -90s, -15m, -24h, -7d [default: the oldest row]
    #[arg(long, allow_hyphen_values = true, value_name = "TIME")]
    from: Option<String>,
    /// Before this time; written as --from [default: no end]
    #[arg(long, allow_hyphen_values = true, value_name = "TIME")]
    to: Option<String>,
    /// At most this many rows, the newest first
    #[arg(long, short = 'n', default_value_t = 100, value_name = "ROWS")]
    limit: usize,
    /// Print rows as text, `time topic message`, instead of JSON
    #[arg(long)]
    text: bool,
    /// Show so many rows before and after each in its partition, as they arrived
    #[arg(long, short = 'C', value_name = "ROWS", conflicts_with = "explain")]
    context: Option<usize>,
    /// Run the query and tell how: the plan, what was read and what was not
    #[arg(long)]
    explain: bool,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  sawbox tail 'app:shop response>=500' --text

Rows come as they are stored, until Ctrl-C. A reader that is too slow is told
how many rows it missed.")]
pub struct TailArguments {
    /// What a row must match: a query without pipes; without one, every row
    #[arg(default_value = "*")]
    query: String,
    /// Print rows as text, `time topic message`
    #[arg(long)]
    text: bool,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  echo 'hello, box' | sawbox send first
  sawbox send web /var/log/apache2/access.log --field app=shop --field host=web-1

A line that is a JSON object becomes fields, any other a message, unless the
topic has a chain of its own. The command ends when all records are on the disk,
and waits up to two seconds for their rows, so that a query finds them.")]
pub struct SendArguments {
    /// The topic; made where it is not there
    topic: String,
    /// Files with a record a line; standard input without any
    files: Vec<PathBuf>,
    /// A field for every record; may be given several times
    #[arg(long = "field", short, value_name = "NAME=VALUE")]
    fields: Vec<String>,
    #[command(flatten)]
    remote: Remote,
}

/// `sawbox query`
pub fn query(arguments: &QueryArguments) -> anyhow::Result<()> {
    let limit = arguments.limit.to_string();
    // What was sent a moment ago is to be found; no longer than nobody notices.
    let mut pairs = vec![("q", arguments.query.as_str()), ("limit", &limit), ("wait", "300ms")];
    pairs.extend(arguments.from.as_deref().map(|from| ("from", from)));
    pairs.extend(arguments.to.as_deref().map(|to| ("to", to)));
    let client = Client::new(&arguments.remote.url);
    if arguments.explain {
        pairs.push(("explain", "true"));
        let answer = client.get("/api/v1/query", &pairs).map_err(|error| pointed(error, &arguments.query))?;
        explained(&answer);
        return Ok(());
    }
    let rows = client.stream("/api/v1/query", &pairs).map_err(|error| pointed(error, &arguments.query))?;
    let rows = Ahead::of(rows)?;
    match arguments.context {
        Some(beside) => in_context(&client, rows, beside, arguments.text),
        None => print_rows(rows, arguments.text, io::stdout().is_terminal()),
    }
}

/// The plan of a query and what came of it.
fn explained(answer: &Value) {
    println!("{}", answer["query"].as_str().unwrap_or_default());
    for (index, step) in answer["plan"].as_array().into_iter().flatten().enumerate() {
        println!("{:>3}. {}", index + 1, step.as_str().unwrap_or_default());
    }
    let (stats, spent) = (&answer["stats"], &answer["stats"]["spent"]);
    println!();
    println!("rows answered   {}", answer["rows"]);
    println!("rows matched    {} of {} looked at", stats["rows_matched"], stats["rows_scanned"]);
    println!(
        "row groups      {} read of {} in {} parts and memtables",
        stats["groups_scanned"], answer["groups"], answer["sources"]
    );
    for (why, groups) in stats["left_out"].as_object().into_iter().flatten() {
        println!("  not read      {groups} ({})", why.replace('_', " "));
    }
    println!("bytes decoded   {}", stats["bytes_scanned"]);
    println!(
        "time            {} ms: reading {} (selecting {}, gathering {}, over all threads), pipes after {}",
        stats["elapsed_ms"], spent["read_ms"], spent["select_ms"], spent["gather_ms"], spent["after_ms"]
    );
    if let Some(note) = stats["note"].as_str() {
        println!("partial         {note}");
    }
}

/// Each row with those around it, as `grep -C` shows lines: no row twice where they follow one another, `--` between others.
fn in_context(client: &Client, rows: impl BufRead, beside: usize, as_text: bool) -> anyhow::Result<()> {
    let mut out = outlet::stdout();
    let beside = beside.to_string();
    let mut shown = std::collections::HashSet::new();
    for text in rows.lines() {
        let text = text.context("the answer broke off")?;
        let row: Value = serde_json::from_str(&text).context("the box sent something that is not JSON")?;
        let place = |row: &Value| ["_topic", "_partition", "_offset", "_n"].map(|name| row[name].to_string());
        let topic =
            row["_topic"].as_str().context("--context needs rows with their origin: no `stats`, `fields` or the like")?;
        if shown.contains(&place(&row)) {
            continue;
        }
        let [_, partition, offset, n] = place(&row);
        let pairs = [
            ("topic", topic),
            ("partition", &partition),
            ("offset", &offset),
            ("n", &n),
            ("before", &beside),
            ("after", &beside),
        ];
        let answer = client.get("/api/v1/context", &pairs)?;
        let [before, after] = ["before", "after"].map(|side| answer[side].as_array().cloned().unwrap_or_default());
        let fresh: Vec<Value> =
            before.into_iter().chain([row.clone()]).chain(after).filter(|row| shown.insert(place(row))).collect();
        if fresh.len() < shown.len() {
            writeln!(out, "--")?;
        }
        for one in fresh {
            if as_text {
                let mark = if place(&one) == place(&row) { '>' } else { ' ' };
                writeln!(out, "{mark} {}", as_line(&one))?;
            } else {
                writeln!(out, "{one}")?;
            }
        }
        out.flush()?;
    }
    Ok(())
}

/// Where the box can say where a query is wrong, so do we.
pub fn pointed(error: anyhow::Error, query: &str) -> anyhow::Error {
    match error.downcast_ref::<Refused>() {
        Some(refused) => anyhow::anyhow!(refused.pointed(query)),
        None => error,
    }
}

/// `sawbox tail`
pub fn tail(arguments: &TailArguments) -> anyhow::Result<()> {
    let rows = Client::new(&arguments.remote.url).stream("/api/v1/tail", &[("q", arguments.query.as_str())]);
    print_rows(rows.map_err(|error| pointed(error, &arguments.query))?, arguments.text, true)
}

/// `time topic message`, as far as a row has them; for a message that it has not, its other fields.
fn as_line(row: &Value) -> String {
    let text = |name: &str| row[name].as_str().map(line);
    let fields = |own: bool| {
        let fields = row.as_object().into_iter().flatten().filter(move |(name, _)| own || !name.starts_with('_'));
        fields.map(|(name, value)| format!("{}={}", line(name), word(value))).collect::<Vec<_>>()
    };
    let (time, topic) = (text("_time"), text("_topic"));
    let rest = match text("message") {
        Some(message) => vec![message],
        // What `stats` made has nothing that every row has.
        None if time.is_none() => return fields(true).join(" "),
        None => fields(false),
    };
    time.into_iter().chain(topic).chain(rest).collect::<Vec<_>>().join(" ")
}

/// `at_once`: each row is written when it comes, not when a buffer is full.
fn print_rows(rows: impl BufRead, as_text: bool, at_once: bool) -> anyhow::Result<()> {
    let mut out = outlet::stdout();
    for row in rows.lines() {
        let row = row.context("the answer broke off")?;
        if row.is_empty() {
            // A sign of life.
            out.flush()?;
            continue;
        }
        if row.starts_with("{\"error\":{\"message\":") {
            anyhow::bail!("the query broke off: {row}");
        }
        if as_text {
            let row: Value = serde_json::from_str(&row).context("the box sent something that is not JSON")?;
            writeln!(out, "{}", as_line(&row))?;
        } else {
            writeln!(out, "{row}")?;
        }
        if at_once {
            out.flush()?;
        }
    }
    out.flush()?;
    Ok(())
}

/// `sawbox send`
pub fn send(arguments: &SendArguments) -> anyhow::Result<()> {
    let client = Client::new(&arguments.remote.url);
    // The box would say so too, but perhaps not before it is sent more than it wants to read.
    anyhow::ensure!(
        is_topic_name(&arguments.topic) && !arguments.topic.starts_with('_'),
        "`{}` is no topic name: letters, digits, `.`, `_` and `-`, and no `_` at the beginning",
        arguments.topic
    );
    let path = format!("/api/v1/ingest/{}", segment(&arguments.topic));
    let mut fields = Vec::new();
    for field in &arguments.fields {
        let (name, value) = field.split_once('=').with_context(|| format!("--field {field}: write it as NAME=VALUE"))?;
        fields.push((format!("field.{name}"), value));
    }
    let pairs: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let (mut accepted, mut rejected) = (0, 0);
    let mut one = |body: &mut dyn Read| -> anyhow::Result<()> {
        let answer = client.send("POST", &path, &pairs, "text/plain", body)?;
        accepted += answer["accepted"].as_u64().unwrap_or(0);
        rejected += answer["rejected"].as_u64().unwrap_or(0);
        for error in answer["errors"].as_array().into_iter().flatten() {
            eprintln!("rejected: {error}");
        }
        Ok(())
    };
    if arguments.files.is_empty() {
        one(&mut io::stdin().lock())?;
    }
    for path in &arguments.files {
        // A file of the person who types, not of the box.
        #[allow(clippy::disallowed_methods)]
        let mut file = File::open(path).with_context(|| path.display().to_string())?;
        one(&mut file)?;
    }
    if accepted > 0 {
        wait_for_rows(&client, &arguments.topic);
    }
    let records = if accepted == 1 { "1 record is".to_owned() } else { format!("{accepted} records are") };
    println!("{records} durable in {}", arguments.topic);
    anyhow::ensure!(rejected == 0, "{rejected} of the lines were rejected");
    Ok(())
}

/// Durable records become rows a moment later. Who types `send` and then `query` should find them, so wait for that moment; not
/// long, for a box with a backlog has other things to do, and nothing depends on it.
fn wait_for_rows(client: &Client, topic: &str) {
    for _ in 0..50 {
        let Ok(answer) = client.get("/api/v1/topics", &[]) else { return };
        let own = answer["topics"].as_array().into_iter().flatten().find(|one| one["name"] == topic);
        let partitions = own.and_then(|own| own["partitions"].as_array());
        if partitions.is_none_or(|all| all.iter().all(|one| one["lag_records"].as_u64() == Some(0))) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(40));
    }
}
