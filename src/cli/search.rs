//! `query`, `tail` and `send`: rows out of a box, records into it.

use std::fs::File;
use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::path::PathBuf;

use anyhow::Context;
use serde_json::Value;

use crate::cli::Remote;
use crate::cli::client::Client;

#[derive(Debug, clap::Args)]
pub struct QueryArguments {
    /// The query, as in the page: `app:shop status>=500 | stats count() by path`
    #[arg(default_value = "*")]
    query: String,
    /// From when on: RFC 3339, an epoch, or relative like -1h
    #[arg(long, allow_hyphen_values = true)]
    from: Option<String>,
    /// Until when
    #[arg(long, allow_hyphen_values = true)]
    to: Option<String>,
    /// At most this many rows
    #[arg(long, short = 'n', default_value_t = 100)]
    limit: usize,
    /// Print rows as text, `time topic message`; the default on a terminal is JSON too
    #[arg(long)]
    text: bool,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, clap::Args)]
pub struct TailArguments {
    /// The predicate, as in the page
    #[arg(default_value = "*")]
    query: String,
    /// Print rows as text, `time topic message`
    #[arg(long)]
    text: bool,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, clap::Args)]
pub struct SendArguments {
    /// The topic; made where it is not there
    topic: String,
    /// Files with a record a line; standard input without any
    files: Vec<PathBuf>,
    /// A field for every record, `name=value`
    #[arg(long = "field", short, value_name = "NAME=VALUE")]
    fields: Vec<String>,
    #[command(flatten)]
    remote: Remote,
}

/// `sawbox query`
pub fn query(arguments: &QueryArguments) -> anyhow::Result<()> {
    let limit = arguments.limit.to_string();
    let mut pairs = vec![("q", arguments.query.as_str()), ("limit", &limit)];
    pairs.extend(arguments.from.as_deref().map(|from| ("from", from)));
    pairs.extend(arguments.to.as_deref().map(|to| ("to", to)));
    let rows = Client::new(&arguments.remote.url).stream("/api/v1/query", &pairs)?;
    print_rows(rows, arguments.text)
}

/// `sawbox tail`
pub fn tail(arguments: &TailArguments) -> anyhow::Result<()> {
    let rows = Client::new(&arguments.remote.url).stream("/api/v1/tail", &[("q", arguments.query.as_str())])?;
    print_rows(rows, arguments.text)
}

fn print_rows(rows: impl BufRead, as_text: bool) -> anyhow::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let follows = io::stdout().is_terminal();
    for line in rows.lines() {
        let line = line.context("the answer broke off")?;
        if line.is_empty() {
            // A sign of life.
            out.flush()?;
            continue;
        }
        if line.starts_with("{\"error\":{\"message\":") {
            anyhow::bail!("the query broke off: {line}");
        }
        if as_text {
            let row: Value = serde_json::from_str(&line).context("the box sent something that is not JSON")?;
            let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
            writeln!(out, "{} {} {}", text("_time"), text("_topic"), text("message"))?;
        } else {
            writeln!(out, "{line}")?;
        }
        if follows || as_text {
            out.flush()?;
        }
    }
    out.flush()?;
    Ok(())
}

/// `sawbox send`
pub fn send(arguments: &SendArguments) -> anyhow::Result<()> {
    let client = Client::new(&arguments.remote.url);
    let path = format!("/api/v1/ingest/{}", arguments.topic);
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
    println!(
        "{accepted} records are durable in {}{}",
        arguments.topic,
        if rejected > 0 { format!(", {rejected} rejected") } else { String::new() }
    );
    anyhow::ensure!(rejected == 0, "{rejected} records were rejected");
    Ok(())
}
