//! `filter grok`: a pattern tried on lines, before it goes into a chain.
//!
//! What the host does for the `grok` filter, in this process: the same expressions, names, engines and limits.
#![allow(clippy::disallowed_methods)] // the files of the person who types, not of the box

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Map, Value as Json, json};

use crate::base::row::Value;
use crate::cli::filter::author::clock;
use crate::sandbox::grok::{Custom, Flavour, Grok, GrokError, compile_as};

/// Lines that do not match and are shown.
const SHOWN: usize = 5;
/// Rounds of which the best counts.
const ROUNDS: u32 = 5;
/// How long lines are searched again and again, to measure.
const MEASURED: Duration = Duration::from_millis(500);

#[derive(Debug, clap::Args)]
pub struct GrokArguments {
    /// The expression
    expression: String,
    /// Lines to try it on
    lines: Vec<String>,
    /// A file with a line each: how many match, which do not, and what a line costs
    #[arg(long, value_name = "FILE")]
    records: Option<PathBuf>,
    /// A name of your own; may be repeated
    #[arg(long, value_name = "NAME=PATTERN")]
    define: Vec<String>,
    /// The Elastic Common Schema's field names
    #[arg(long)]
    ecs: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &GrokArguments) -> anyhow::Result<()> {
    let mut own = Custom::new();
    for definition in &arguments.define {
        let (name, pattern) =
            definition.split_once('=').with_context(|| format!("--define {definition}: write NAME=PATTERN"))?;
        own.insert(name.to_owned(), pattern.to_owned());
    }
    let flavour = if arguments.ecs { Flavour::Ecs } else { Flavour::Legacy };
    let grok = compile_as(&arguments.expression, &own, flavour)?;
    let mut answer = json!({ "engine": grok.engine() });
    if let Some(path) = &arguments.records {
        let text = std::fs::read(path).with_context(|| path.display().to_string())?;
        let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
        if lines.is_empty() {
            bail!("{} has no lines", path.display());
        }
        answer["file"] = over(&grok, &lines);
    }
    let tried: Vec<Json> = arguments.lines.iter().map(|line| one(&grok, line)).collect();
    if arguments.json {
        answer["lines"] = Json::from(tried);
        println!("{}", serde_json::to_string_pretty(&answer)?);
        return Ok(());
    }
    for (line, tried) in arguments.lines.iter().zip(&tried) {
        println!("{line}");
        match tried["fields"].as_object() {
            None => println!("  {}", tried["outcome"].as_str().unwrap_or_default()),
            Some(fields) => fields.iter().for_each(|(name, value)| println!("  {name} = {value}")),
        }
    }
    println!("engine: {}", grok.engine());
    if let Some(file) = answer.get("file") {
        println!(
            "{} of {} lines match, {} were given up; {} ns a line, {} lines a second on one core",
            file["matched"], file["lines"], file["gave_up"], file["ns"], file["lines_a_second"]
        );
        for line in file["do_not_match"].as_array().into_iter().flatten() {
            println!("  does not match: {}", line.as_str().unwrap_or_default());
        }
    }
    Ok(())
}

fn one(grok: &Grok, line: &str) -> Json {
    let mut found = Vec::new();
    match grok.search(line.as_bytes(), &mut grok.scratch(), &mut found) {
        Err(GrokError::Exhausted) => json!({ "outcome": "given up: too much backtracking" }),
        Err(error) => json!({ "outcome": error.to_string() }),
        Ok(false) => json!({ "outcome": "does not match" }),
        Ok(true) => {
            let mut fields = Map::new();
            for capture in found {
                let Some(field) = grok.fields().get(capture.field) else { continue };
                let text = line.as_bytes().get(capture.start..capture.end).unwrap_or_default();
                let value = match field.kind.value(text) {
                    Value::Int(number) => Json::from(number),
                    Value::Float(number) => Json::from(number),
                    Value::Bool(yes) => Json::from(yes),
                    Value::Str(text) => Json::from(String::from_utf8_lossy(text)),
                };
                match fields.get_mut(&field.name) {
                    Some(Json::Array(list)) => list.push(value),
                    Some(first) => *first = Json::Array(vec![first.take(), value]),
                    None => drop(fields.insert(field.name.clone(), value)),
                }
            }
            json!({ "outcome": "matches", "fields": fields })
        }
    }
}

/// How many of a file's lines match, and what one costs.
fn over(grok: &Grok, lines: &[&[u8]]) -> Json {
    let (mut scratch, mut found) = (grok.scratch(), Vec::new());
    let (mut matched, mut gave_up, mut not) = (0u64, 0u64, Vec::new());
    for line in lines {
        found.clear();
        match grok.search(line, &mut scratch, &mut found) {
            Ok(true) => matched += 1,
            Ok(false) if not.len() < SHOWN => not.push(String::from_utf8_lossy(line).into_owned()),
            Ok(false) => {}
            Err(_) => gave_up += 1,
        }
    }
    let mut now = clock();
    let mut best = u64::MAX;
    for _ in 0..ROUNDS {
        let (begin, mut searched) = (now(), 0u64);
        let took = loop {
            for line in lines {
                found.clear();
                let _ = std::hint::black_box(grok.search(line, &mut scratch, &mut found));
            }
            searched += lines.len() as u64;
            let took = now().saturating_sub(begin);
            if u128::from(took) >= MEASURED.as_nanos() / u128::from(ROUNDS) {
                break took;
            }
        };
        best = best.min(took / searched.max(1));
    }
    json!({
        "lines": lines.len(), "matched": matched, "gave_up": gave_up, "do_not_match": not,
        "ns": best, "lines_a_second": 1_000_000_000 / best.max(1),
    })
}
