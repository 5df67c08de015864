//! Sawbox's filters beside native code, on the same lines, in one run.
//!
//! Native code and the grok crate run here; what the box does is measured by the box's own program (`filter bench`, `filter grok`,
//! `bench`), in time of the working thread, so that other load on the machine does not count. Every time is the best of several rounds.

#[path = "../../kafka-bench/src/table.rs"]
mod table;

mod live;

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, ensure};
use clap::Parser;
use filter_access_log::line::{self, Request};
use serde_json::Value;

use table::Table;

const ROUNDS: u32 = 9;
/// How long a round lasts at least.
const ROUND_NS: f64 = 200e6;
/// What everybody writes for Apache's lines.
const COMBINED: &str = "%{COMBINEDAPACHELOG}";
/// Parses, leaves out, marks.
const CHAIN: &str = r#"[{"filter": "access-log"}, {"filter": "drop", "when": "request:\"/f5.txt\""},
    {"filter": "tag", "when": "response:503", "config": {"add": ["zabbix-sender"]}}]"#;

#[derive(Debug, Parser)]
struct Arguments {
    /// The box's program
    #[arg(long)]
    sawbox: PathBuf,
    /// The folder of the stock filters' modules
    #[arg(long)]
    dist: PathBuf,
    /// A file with lines of Apache's combined format
    #[arg(long)]
    lines: PathBuf,
    /// Leave out what needs a running box
    #[arg(long)]
    quick: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let text = std::fs::read(&arguments.lines).with_context(|| arguments.lines.display().to_string())?;
    let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    ensure!(!lines.is_empty(), "{} has no lines", arguments.lines.display());
    let mut table = Table::default();
    boundary(&arguments, &lines, &mut table)?;
    patterns(&arguments, &lines, &mut table)?;
    if !arguments.quick {
        live::measure(&arguments.sawbox, &arguments.dist, &text, &mut table)?;
    }
    Ok(if table.print() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// The filter `access-log`: native, through the boundary, and in a chain of three.
fn boundary(arguments: &Arguments, lines: &[&[u8]], table: &mut Table) -> anyhow::Result<()> {
    let native = native_ns(lines);
    let records = arguments.lines.display().to_string();
    let module = arguments.dist.join("access-log.wasm").display().to_string();
    let one = bench(&arguments.sawbox, &[&module, "--records", &records])?;
    let folder = tempfile::tempdir()?;
    let chain_file = folder.path().join("chain.json");
    std::fs::write(&chain_file, CHAIN)?;
    let chain = bench(&arguments.sawbox, &["--chain", &chain_file.display().to_string(), "--records", &records])?;
    table.row("access-log, native", &per_second(native), "", None);
    table.row(
        "access-log, through the boundary with fuel",
        &per_second(one),
        &format!("{:.2} x native", one / native),
        Some(("at most 2.2 x native, at least 1.5 M/s".into(), one <= 2.2 * native && one <= 1e9 / 1.5e6)),
    );
    table.row(
        "chain: access-log, drop, tag",
        &per_second(chain),
        &format!("{:.2} x access-log alone", chain / one),
        Some(("at most 1.6 x".into(), chain <= 1.6 * one)),
    );
    Ok(())
}

/// Grok: ours beside the grok crate.
fn patterns(arguments: &Arguments, lines: &[&[u8]], table: &mut Table) -> anyhow::Result<()> {
    let records = arguments.lines.display().to_string();
    let ours = sawbox(&arguments.sawbox, &["filter", "grok", COMBINED, "--records", &records, "--json"])?;
    let ns = ours["file"]["ns"].as_f64().context("`filter grok` gave no time")?;
    let onig = onig_ns(lines)?;
    table.row("grok crate on Oniguruma, COMBINEDAPACHELOG", &per_second(onig), "", None);
    table.row(
        &format!("grok, COMBINEDAPACHELOG ({})", ours["engine"].as_str().unwrap_or("?")),
        &per_second(ns),
        &format!("{:.1} x as many; {} of {} lines match", onig / ns, ours["file"]["matched"], ours["file"]["lines"]),
        Some(("at least 2 M/s".into(), ns <= 500.0)),
    );
    Ok(())
}

fn per_second(ns: f64) -> String {
    format!("{ns:.0} ns, {:.2} M/s", 1e3 / ns)
}

/// Nanoseconds a record in calls of 1,024, as `filter bench` says.
fn bench(program: &Path, arguments: &[&str]) -> anyhow::Result<f64> {
    let mut all = vec!["filter", "bench", "--json"];
    all.extend(arguments);
    let report = sawbox(program, &all)?;
    let calls = report["calls"].as_array().context("`filter bench` gave no calls")?;
    let largest = calls.iter().find(|call| call["call_records"] == 1024).context("no calls of 1024")?;
    largest["ns"].as_f64().context("no time")
}

fn sawbox(program: &Path, arguments: &[&str]) -> anyhow::Result<Value> {
    let output = Command::new(program).args(arguments).output().with_context(|| program.display().to_string())?;
    ensure!(output.status.success(), "sawbox {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Time that this thread has worked.
fn worked_ns() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0.0)
}

fn best_of(lines: &[&[u8]], mut round: impl FnMut()) -> f64 {
    let mut best = f64::MAX;
    for _ in 0..ROUNDS {
        let (begun, mut times) = (worked_ns(), 0u32);
        // The kernel counts what a thread worked in milliseconds.
        while worked_ns() - begun < ROUND_NS {
            round();
            times += 1;
        }
        #[allow(clippy::cast_precision_loss)]
        let each = (worked_ns() - begun) / f64::from(times) / lines.len() as f64;
        best = best.min(each);
    }
    best
}

/// A field as a row would hold it.
enum Cell<'a> {
    Text(&'a [u8]),
    Number(i64),
}

/// The same parser, compiled for this machine, into cells as a row has them.
fn native_ns(lines: &[&[u8]]) -> f64 {
    let mut cells: Vec<(u16, Cell<'_>)> = Vec::with_capacity(lines.len() * 16);
    best_of(lines, || {
        cells.clear();
        for text in lines {
            let Some(line) = line::parse(text) else { continue };
            put(&mut cells, 0, Some(Cell::Text(line.clientip)));
            put(&mut cells, 1, line.vhost.map(Cell::Text));
            put(&mut cells, 2, line.ident.map(Cell::Text));
            put(&mut cells, 3, line.auth.map(Cell::Text));
            put(&mut cells, 4, Some(Cell::Number(line.time_ns)));
            match line.request {
                Request::Good { verb, target, version } => {
                    put(&mut cells, 5, Some(Cell::Text(verb)));
                    put(&mut cells, 6, Some(Cell::Text(target)));
                    put(&mut cells, 7, version.map(Cell::Text));
                }
                Request::Raw(raw) => put(&mut cells, 8, Some(Cell::Text(raw))),
            }
            put(&mut cells, 9, line.response.map(Cell::Number));
            put(&mut cells, 10, line.bytes.map(Cell::Number));
            put(&mut cells, 11, line.referrer.map(Cell::Text));
            put(&mut cells, 12, line.agent.map(Cell::Text));
            put(&mut cells, 13, line.reqsec.map(Cell::Number));
            put(&mut cells, 14, line.reqms.map(Cell::Number));
        }
        for (name, cell) in &cells {
            match cell {
                Cell::Text(text) => drop(black_box((name, text.len()))),
                Cell::Number(number) => drop(black_box((name, number))),
            }
        }
    })
}

fn put<'a>(cells: &mut Vec<(u16, Cell<'a>)>, name: u16, cell: Option<Cell<'a>>) {
    cells.extend(cell.map(|cell| (name, cell)));
}

fn onig_ns(lines: &[&[u8]]) -> anyhow::Result<f64> {
    let patterns = grok::Grok::with_default_patterns();
    let pattern = patterns.compile(COMBINED, false)?;
    let texts: Vec<String> = lines.iter().map(|line| String::from_utf8_lossy(line).into_owned()).collect();
    Ok(best_of(lines, || {
        for text in &texts {
            if let Some(matches) = pattern.match_against(text) {
                for field in matches.iter() {
                    black_box(field);
                }
            }
        }
    }))
}
