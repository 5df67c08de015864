//! What each filter did, summed over all topics that use it. Kept per name, from the box's start.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

/// Counters of one filter.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) records: AtomicU64,
    pub(super) stored: AtomicU64,
    pub(super) dropped: AtomicU64,
    pub(super) held: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) emissions: AtomicU64,
    pub(super) calls: AtomicU64,
    pub(super) traps: AtomicU64,
    pub(super) fuel: AtomicU64,
    pub(super) time_ns: AtomicU64,
    pub(super) memory_bytes: AtomicU64,
    pub(super) starts: AtomicU64,
    pub(super) crowded: AtomicU64,
}

/// How the counters of one filter stood.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FilterCounters {
    /// The filter.
    pub filter: String,
    /// Records it was given.
    pub records: u64,
    /// Verdicts: store.
    pub stored: u64,
    /// Verdicts: drop.
    pub dropped: u64,
    /// Verdicts: hold.
    pub held: u64,
    /// Verdicts: fail, and records it could not handle.
    pub failed: u64,
    /// Records it appended to other topics.
    pub emissions: u64,
    /// Calls.
    pub calls: u64,
    /// Calls that ended in a trap or with an answer that was none.
    pub traps: u64,
    /// Fuel used.
    pub fuel: u64,
    /// Time spent in calls, nanoseconds.
    pub time_ns: u64,
    /// Largest memory after a call, bytes.
    pub memory_bytes: u64,
    /// How often it was started afresh.
    pub starts: u64,
    /// How often it was not kept for the next batch because others take all the room.
    pub crowded: u64,
}

impl Counters {
    pub(super) fn add(counter: &AtomicU64, by: u64) {
        counter.fetch_add(by, Ordering::Relaxed);
    }

    pub(super) fn snapshot(&self, filter: &str) -> FilterCounters {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        FilterCounters {
            filter: filter.to_owned(),
            records: get(&self.records),
            stored: get(&self.stored),
            dropped: get(&self.dropped),
            held: get(&self.held),
            failed: get(&self.failed),
            emissions: get(&self.emissions),
            calls: get(&self.calls),
            traps: get(&self.traps),
            fuel: get(&self.fuel),
            time_ns: get(&self.time_ns),
            memory_bytes: get(&self.memory_bytes),
            starts: get(&self.starts),
            crowded: get(&self.crowded),
        }
    }
}
