//! What the store counts of itself.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::Store;
use crate::base::ids::TopicId;

/// Counters since the store was opened; read with `load`.
#[derive(Debug, Default)]
pub struct Counters {
    /// Rows taken in.
    pub rows: AtomicU64,
    /// Rows left out because their offset was known already.
    pub repeated: AtomicU64,
    /// Flushes committed.
    pub flushes: AtomicU64,
    /// Flushes that failed; their rows are tried again.
    pub flush_errors: AtomicU64,
    /// Merges committed.
    pub merges: AtomicU64,
    /// Merges that failed; their parts stay as they are.
    pub merge_errors: AtomicU64,
    /// Parts that retention dropped.
    pub parts_dropped: AtomicU64,
    memory: AtomicUsize,
}

impl Counters {
    /// Memory of all memtables, those that are being flushed among them.
    pub fn memory(&self) -> usize {
        self.memory.load(Ordering::Relaxed)
    }

    /// Notes that something held `before` and now holds `after`; the sum.
    pub(super) fn add_memory(&self, before: usize, after: usize) -> usize {
        if after >= before {
            self.memory.fetch_add(after - before, Ordering::Relaxed) + (after - before)
        } else {
            self.memory.fetch_sub(before - after, Ordering::Relaxed) - (before - after)
        }
    }
}

/// What the store holds of one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicStats {
    /// The topic.
    pub topic: TopicId,
    /// Its name.
    pub name: String,
    /// Rows in parts and memtable.
    pub rows: u64,
    /// Rows in the memtable alone.
    pub memtable_rows: u64,
    /// Memory of the memtable.
    pub memtable_bytes: u64,
    /// Live parts.
    pub parts: u64,
    /// Bytes of their files.
    pub disk_bytes: u64,
    /// Bytes of what their rows were made of.
    pub raw_bytes: u64,
    /// Distinct days of its parts.
    pub days: u64,
}

impl Store {
    /// One entry a topic, by name.
    pub fn stats(&self) -> Vec<TopicStats> {
        let mut all: Vec<TopicStats> = self.all_topics().iter().map(|topic| topic.state.lock().stats(topic.id)).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name).then(a.topic.cmp(&b.topic)));
        all
    }

    /// The store's counters.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}

impl super::topic::State {
    fn stats(&self, topic: TopicId) -> TopicStats {
        let parts = self.durable.parts.values();
        let frozen = self.frozen.iter();
        let frozen_rows: u64 = frozen.clone().filter_map(|frozen| Some(frozen.source.as_ref()?.row_count())).sum();
        let memtable_rows = self.active.rows() + frozen_rows;
        let mut days: Vec<Option<i64>> = parts.clone().map(|part| part.day).collect();
        days.sort_unstable();
        days.dedup();
        TopicStats {
            topic,
            name: self.durable.name.clone(),
            rows: memtable_rows + parts.clone().map(|part| part.rows).sum::<u64>(),
            memtable_rows,
            memtable_bytes: (self.active_bytes + frozen.map(|frozen| frozen.bytes).sum::<usize>()) as u64,
            parts: parts.len() as u64,
            disk_bytes: parts.clone().map(|part| part.bytes).sum(),
            raw_bytes: parts.map(|part| part.raw_bytes).sum(),
            days: days.len() as u64,
        }
    }
}
