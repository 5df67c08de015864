//! Opening and closing the store.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use hashbrown::HashMap;
use parking_lot::{Condvar, Mutex, RwLock};

use super::commits::CommitLog;
use super::stats::Counters;
use super::topic::TopicStore;
use super::{Config, Store, StoreError};
use crate::base::clock::Clock;
use crate::base::disk::Disk;

/// Directory of the store in the data directory.
pub const ROOT: &str = "store";

/// What opening found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenReport {
    /// Topics the log knows.
    pub topics: u64,
    /// Live parts.
    pub parts: u64,
    /// Rows in them.
    pub rows: u64,
    /// Bytes of a torn commit that were cut off; its rows come again from the queue.
    pub torn_bytes: u64,
    /// Damaged commits inside the log, each of which may hide parts.
    pub damaged_commits: u64,
    /// Files of flushes and merges that were never committed, removed.
    pub orphans_removed: u64,
    /// The same, kept because the log is damaged and may have named them.
    pub orphans_kept: u64,
    /// Parts the log lists whose files are not there.
    pub parts_missing: u64,
}

impl Store {
    /// Opens the store and starts its thread.
    ///
    /// # Errors
    /// The disk's, and files of a newer Sawbox. Damage is no error.
    pub fn open(disk: Arc<dyn Disk>, clock: Arc<dyn Clock>, config: Config) -> Result<(Arc<Self>, OpenReport), StoreError> {
        Self::open_idle(disk, clock, config)
    }

    /// Opens the store without its thread: nothing is flushed, merged or dropped but when asked. For tests.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_idle(
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        config: Config,
    ) -> Result<(Arc<Self>, OpenReport), StoreError> {
        disk.create_dir_all(Path::new(ROOT)).map_err(|error| StoreError::Disk { path: ROOT.into(), error })?;
        let (log, found) = CommitLog::open(disk.clone())?;
        let mut report = OpenReport { torn_bytes: found.torn_bytes, damaged_commits: found.damaged, ..OpenReport::default() };
        let mut topics = HashMap::new();
        for (id, state) in &log.topics {
            report.topics += 1;
            report.parts += state.parts.len() as u64;
            report.rows += state.parts.values().map(|part| part.rows).sum::<u64>();
            topics.insert(*id, Arc::new(TopicStore::from_log(*id, state.clone())));
        }
        let store = Self {
            disk,
            clock,
            config,
            topics: RwLock::new(topics),
            log: Mutex::new(log),
            flushing: Mutex::new(()),
            wake: Condvar::new(),
            wake_lock: Mutex::new(()),
            on_commit: RwLock::new(Vec::new()),
            closed: AtomicBool::new(false),
            next_part: AtomicU64::new(1),
            counters: Counters::default(),
        };
        Ok((Arc::new(store), report))
    }

    /// Makes all rows durable and takes no more.
    ///
    /// # Errors
    /// The flush's; the store is closed all the same, and the rows come again from the queue.
    pub fn shutdown(&self) -> Result<(), StoreError> {
        self.closed.store(true, Ordering::Release);
        self.wake_all();
        self.flush_all()
    }
}
