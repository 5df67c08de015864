//! What an operator may set about the store, and what makes no sense.

use serde::{Deserialize, Serialize};

use crate::base::units::{Bytes, Span};

/// Memtables cannot do with less.
const LEAST_MEMORY: u64 = 4 << 20;

/// The store's section of the configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Memory for rows that are not in a part yet, of all topics together. Lanes wait when it is full. On a disk of less than forty
    /// times as much it is less ([`Config::memory_on`]).
    pub memory: Bytes,
    /// Rows get into a part at the latest after this, however few they are.
    pub flush_after: Span,
    /// A topic is flushed when this many of its records would have to be handled again after a crash: about ten seconds of work.
    pub replay_records: u64,
    /// How long rows are kept, counted from the later of their day and the day they arrived.
    pub retention: Span,
    /// Most bytes of all parts; past it the oldest day goes. Unset: what the disk has beside `disk_reserve`.
    pub retention_bytes: Option<Bytes>,
    /// Free disk space below which the oldest day goes, where the queue has nothing more to yield (at most a twentieth of the disk).
    pub disk_reserve: Bytes,
    /// How many parts of a similar size of one topic and day are merged into one.
    pub merge_parts: usize,
    /// Memory for decoded dictionaries and part directories that queries use again.
    pub cache: Bytes,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            memory: Bytes(128 << 20),
            flush_after: Span(std::time::Duration::from_secs(3600)),
            replay_records: 1_000_000,
            retention: Span(std::time::Duration::from_secs(30 * 86_400)),
            retention_bytes: None,
            disk_reserve: Bytes(512 << 20),
            merge_parts: 8,
            cache: Bytes(64 << 20),
        }
    }
}

impl Config {
    /// The memory that there is on a disk of so many bytes: what was held when the disk got full must become parts in what is
    /// reserved of it, a twentieth at most, before anything else may go; and some rows hardly become smaller.
    pub fn memory_on(&self, total: u64) -> Bytes {
        Bytes(self.memory.0.min((total / 40).max(LEAST_MEMORY)))
    }

    /// Refuses values that parse but make no sense.
    ///
    /// # Errors
    /// A sentence that names the key and says what would do.
    pub fn check(&self) -> Result<(), String> {
        if self.memory.0 < LEAST_MEMORY {
            return Err(format!("store.memory = {} is too small; give it at least 4MiB", self.memory));
        }
        if self.flush_after.as_ns() < 1_000_000_000 {
            return Err(
                "store.flush_after below one second makes a part a second for every topic; give it at least \"1s\"".into()
            );
        }
        if self.retention.as_ns() < crate::base::time::DAY_NS {
            return Err("store.retention drops whole days; give it at least \"1d\"".into());
        }
        if !(2..=64).contains(&self.merge_parts) {
            return Err(format!("store.merge_parts = {} makes no sense; between 2 and 64", self.merge_parts));
        }
        if self.replay_records == 0 {
            return Err("store.replay_records = 0 would flush every batch; give it at least 1".into());
        }
        Ok(())
    }
}
