//! Files that a start must not remove though the commit log does not list them: it may have lost the entries that did.
//!
//! What the log does not list a start removes: crashes leave it of flushes, merges and replays that were never committed, whose rows
//! are made again, and of parts whose rows others have by now. But where the log was lost, is empty, is damaged inside, ends in
//! an entry that is as long as it should be and not what its checksum says, or lists parts that are gone, such a file may be the
//! only copy of its rows. It stays then, unseen (`unseen.rs` tells queries), until `store repair` has found out; and so that no later start
//! forgets, before anything is changed:
//!
//! ```text
//! store/DOUBT   JSON: {"v":1,"below":number,"since_ns":time,"marks":count}
//!               below: unlisted files of lesser numbers stay; since_ns: when that was found; marks: what was seen of it in the log,
//!               and how many of its parts were gone
//! ```
//! Invariants: numbers of files only grow, so what crashes leave after that is removed as ever. What was found once in the log is no
//! news at the next start.
//! Limits: it ends with a repair, when nothing is left that it keeps, or when all that it keeps is older than rows are kept.
//! Crash story: it takes the old one's place by rename. One that makes no sense keeps every file.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::StoreError;
use super::commits;
use crate::base::disk::Disk;
use crate::base::time::DAY_NS;

/// Where it lies, relative to the data directory.
const PATH: &str = "store/DOUBT";
const FRESH: &str = "store/DOUBT.new";
/// No more than this is in one.
const BYTES: usize = 4096;
const VERSION: u32 = 1;
/// A row's day may be the one after its arrival's, and days go whole.
const SLACK_NS: i64 = 2 * DAY_NS;

/// Which files are kept for doubt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doubt {
    v: u32,
    below: u64,
    since_ns: i64,
    marks: u64,
}

impl Default for Doubt {
    fn default() -> Self {
        Self { v: VERSION, below: 0, since_ns: 0, marks: 0 }
    }
}

impl Doubt {
    /// The doubt there is once this log was looked at, beside which there are these files that it does not list, by their numbers,
    /// and not there are so many that it does list: a merge takes away what it was made of when its own entry is durable, so that
    /// an entry was lost then, wherever the log ends.
    ///
    /// # Errors
    /// The disk's.
    pub fn at(
        disk: &dyn Disk,
        log: &commits::Look,
        unlisted: &BTreeMap<PathBuf, u64>,
        missing: usize,
        now_ns: i64,
    ) -> Result<Self, StoreError> {
        let mut doubt = Self::known(disk)?;
        let marks = log.marks().saturating_add(missing as u64);
        if log.is_empty() || log.journal.found.doubtful || marks > doubt.marks {
            let above = unlisted.values().max().map_or(0, |greatest| greatest.saturating_add(1));
            doubt.below = doubt.below.max(above);
            doubt.since_ns = now_ns;
        }
        doubt.marks = marks;
        doubt.forget(unlisted);
        Ok(doubt)
    }

    /// Whether it keeps any file.
    pub fn keeps_some(&self) -> bool {
        self.below > 0
    }

    /// Whether it keeps a file of this number.
    pub fn keeps(&self, number: u64) -> bool {
        number < self.below
    }

    /// Ends it where all that it keeps is older than rows are kept.
    pub fn expire(&mut self, now_ns: i64, retention_ns: i64) {
        if self.since_ns.saturating_add(retention_ns).saturating_add(SLACK_NS) < now_ns {
            self.below = 0;
        }
    }

    fn forget(&mut self, unlisted: &BTreeMap<PathBuf, u64>) {
        if !unlisted.values().any(|number| self.keeps(*number)) {
            self.below = 0;
        }
    }

    /// Makes it durable where it is another than the one that is.
    ///
    /// # Errors
    /// The disk's; then the one that was stands.
    pub fn save(&self, disk: &dyn Disk) -> Result<(), StoreError> {
        if *self == Self::known(disk)? {
            return Ok(());
        }
        if self.below == 0 && self.marks == 0 {
            return Self::remove(disk);
        }
        let write = || {
            let file = disk.open(Path::new(FRESH), true)?;
            file.set_len(0)?;
            file.write_at(&serde_json::to_vec(self)?, 0)?;
            file.sync_data()?;
            disk.rename(Path::new(FRESH), Path::new(PATH))?;
            disk.sync_dir(Path::new(super::open::ROOT))
        };
        write().map_err(refused)
    }

    /// Ends it: no file is kept any more.
    ///
    /// # Errors
    /// The disk's.
    pub fn remove(disk: &dyn Disk) -> Result<(), StoreError> {
        match disk.remove_file(Path::new(PATH)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            removed => removed.map_err(refused)?,
        }
        disk.sync_dir(Path::new(super::open::ROOT)).map_err(refused)
    }

    fn known(disk: &dyn Disk) -> Result<Self, StoreError> {
        let file = match disk.open(Path::new(PATH), false) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            file => file.map_err(refused)?,
        };
        let mut bytes = vec![0; BYTES];
        let got = file.read_at(&mut bytes, 0).map_err(refused)?;
        let read: Option<Self> = serde_json::from_slice(bytes.get(..got).unwrap_or(&[])).ok();
        let any = Self { v: VERSION, below: u64::MAX, since_ns: i64::MAX, marks: 0 };
        Ok(read.filter(|doubt| doubt.v == VERSION).unwrap_or(any))
    }
}

fn refused(error: std::io::Error) -> StoreError {
    StoreError::Disk { path: PATH.into(), error }
}
