//! `store`: the store's files. What there is and what it takes, from a running box or the data directory of a stopped one; whether
//! it is sound, putting it in order, rows as files.
//!
//! A stopped box's directory is taken with the box's own lock, so that neither can begin while the other is at it.
#![allow(clippy::disallowed_methods)] // the files of the person who types, not of the box

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, ensure};

use crate::base::disk::{DirLock, Disk, RealDisk};
use crate::cli::{Remote, Source};
use crate::store::tools::Look;

mod export;
mod show;
mod sound;

#[derive(Debug, clap::Subcommand)]
pub enum StoreCommand {
    /// List parts: day, rows, bytes, time, generations; staged ones, and files that nobody names
    #[command(after_help = "Examples:
  sawbox store ls web
  sawbox store ls --data-dir /var/lib/sawbox     # the box is stopped")]
    Ls {
        /// Only of this topic
        topic: Option<String>,
        /// As JSON, with everything
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: Place,
    },
    /// What each column takes: bytes, encodings, distinct values, rows that have one
    Stats {
        /// Only of this topic
        topic: Option<String>,
        /// Columns shown of each topic, the largest first
        #[arg(long, short = 'n', default_value_t = 40, value_name = "COLUMNS")]
        limit: usize,
        /// As JSON, with everything
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Read every byte of a stopped box's store, and say what is damaged and what that costs
    Verify {
        /// The report as JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        source: Source,
    },
    /// Put a stopped box's damaged store in order; without --yes only say what would be done
    #[command(after_help = "Examples:
  sawbox store repair --data-dir /var/lib/sawbox
  sawbox store repair --data-dir /var/lib/sawbox --rewrite-damaged --yes

Nothing is deleted: what cannot be used moves to quarantine/ in the data
directory. A damaged or lost commit log is made anew of what is left of it and
of what the parts say of themselves; what nobody can know then is said.")]
    Repair {
        /// Write parts with damaged chunks anew, without them
        #[arg(long)]
        rewrite_damaged: bool,
        /// Do it
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        source: Source,
    },
    /// Write the rows that a query finds, oldest first, as NDJSON, CSV or Parquet
    #[command(after_help = "Examples:
  sawbox store export 'app:shop response>=500' --from -1d -o errors.parquet
  sawbox store export '* | stats count() by app' --format csv
  sawbox store export --topic web --data-dir /var/lib/sawbox -o web.ndjson     # the box is stopped

CSV and Parquet have the columns that the rows have, each of the narrowest type
that holds all of its values; a list is a JSON array in CSV, a LIST in Parquet.")]
    Export(export::ExportArguments),
}

/// A running box, or the directory of a stopped one.
#[derive(Debug, clap::Args)]
pub struct Place {
    /// Data directory of a stopped box; without it a running one is asked
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    #[command(flatten)]
    remote: Remote,
}

/// `sawbox store …`
pub fn run(command: &StoreCommand) -> anyhow::Result<()> {
    match command {
        StoreCommand::Ls { topic, json, place } => show::list(topic.as_deref(), *json, place),
        StoreCommand::Stats { topic, limit, json, place } => show::stats(topic.as_deref(), *limit, *json, place),
        StoreCommand::Verify { json, source } => sound::verify(*json, source),
        StoreCommand::Repair { rewrite_damaged, yes, source } => sound::repair(*rewrite_damaged, *yes, source),
        StoreCommand::Export(arguments) => export::export(arguments),
    }
}

/// The store of a stopped box, and the lock that keeps it stopped.
fn stopped(dir: &Path) -> anyhow::Result<(Look, DirLock)> {
    let shown = dir.display();
    ensure!(dir.join("store").is_dir(), "{shown} is no data directory of a Sawbox: there is no {shown}/store");
    let real = RealDisk::open(dir)?;
    let lock = real.lock().with_context(|| format!("a box is running on {shown}; stop it first"))?;
    let disk: Arc<dyn Disk> = Arc::new(real);
    Ok((Look::at(disk)?, lock))
}
