//! `store verify` and `store repair`.

use std::io::IsTerminal;

use anyhow::bail;

use super::stopped;
use crate::base::clock::{Clock, RealClock};
use crate::cli::outlet::{line, redraw};
use crate::cli::topics::bytes;
use crate::cli::{Source, program};
use crate::store::tools::repair;
use crate::store::tools::verify::Progress;

/// Says how far it is, where somebody is looking.
fn progress() -> impl FnMut(Progress) {
    let is_seen = std::io::stderr().is_terminal();
    let mut last = u64::MAX;
    move |now| {
        let percent = (now.bytes.0 * 100).checked_div(now.bytes.1).unwrap_or(100).min(100);
        if is_seen && percent != last {
            last = percent;
            redraw(&format!("{percent:3} %, part {} of {}", now.parts.0, now.parts.1));
            if now.parts.0 == now.parts.1 {
                eprintln!();
            }
        }
    }
}

/// `sawbox store verify`
pub fn verify(as_json: bool, source: &Source) -> anyhow::Result<()> {
    let dir = source.load()?.config.data_dir;
    let (look, _lock) = stopped(&dir)?;
    let report = look.verify(&mut progress())?;
    if as_json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        for finding in &report.findings {
            let mark = if finding.is_damage { "DAMAGED" } else { "note   " };
            // A file as a whole has no place.
            let at = if finding.at > 0 { format!(" at byte {}", finding.at) } else { String::new() };
            println!("{mark}  {}{at}: {}", line(&finding.path), line(&finding.what));
            println!("         costs {}", line(&finding.costs));
        }
        println!("{} entries of the log and {} parts of {} read", report.entries, report.parts, bytes(&report.bytes.into()));
    }
    match report.damages() {
        0 => Ok(()),
        damages => bail!("{damages} damages; `{} store repair --data-dir {}` says what can be done", program(), dir.display()),
    }
}

/// `sawbox store repair`
pub fn repair(rewrite: bool, yes: bool, source: &Source) -> anyhow::Result<()> {
    let dir = source.load()?.config.data_dir;
    let (look, _lock) = stopped(&dir)?;
    let plan = look.plan_repair(rewrite, RealClock::new().now_ns(), &mut progress())?;
    if plan.is_empty() {
        println!("there is nothing to repair");
        return Ok(());
    }
    for step in &plan.steps {
        println!("{}  {step}", if yes { "does" } else { "would" });
    }
    if !plan.unknown.is_empty() {
        println!("what nobody can know {}:", if yes { "now" } else { "then" });
        for unknown in &plan.unknown {
            println!("  - {unknown}");
        }
    }
    if !yes {
        println!("nothing was done; --yes does it");
        return Ok(());
    }
    repair::apply(&look, plan)?;
    println!("done; `{} store verify --data-dir {}` reads it all again", program(), dir.display());
    Ok(())
}
