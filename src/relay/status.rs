//! What people and programs may know of lanes, chains and outputs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

use crate::base::ids::{Generation, Offset, PartitionId};
use crate::relay::codec::spec::CodecSpec;
use crate::relay::lane::LaneCore;
use crate::relay::verdicts::Handled;

/// A lane, now.
#[derive(Clone, Debug, Serialize)]
pub struct LaneStatus {
    /// Its topic.
    pub topic: Arc<str>,
    /// Its partition.
    pub partition: PartitionId,
    /// The first offset that it has not handled.
    pub next: Offset,
    /// The first offset whose rows are not durable in the store.
    pub committed: Offset,
    /// End of what is durable in the queue.
    pub high_watermark: Offset,
    /// Records between `next` and `high_watermark`.
    pub lag_records: u64,
    /// Generation that handles `next`.
    pub generation: Generation,
    /// `idle`, `running`, `waiting` (for the disk, a full target or the store), `schema` (waiting for a schema registry) or
    /// `held` (by its quarantine).
    pub state: &'static str,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// Records handled since the start.
    pub records: u64,
    /// Of these, stored as rows.
    pub stored: u64,
    /// Of these, dropped by a filter.
    pub dropped: u64,
    /// Of these, kept in a filter's state: a row may be made of several of them later.
    pub held: u64,
    /// Of these, put among the dead letters.
    pub failed: u64,
}

/// One filter of a chain.
#[derive(Clone, Debug, Serialize)]
pub struct ChainEntry {
    /// The filter's name.
    pub filter: String,
    /// Which version of it the module is; 0 is the box's own, none is a box's that is gone.
    pub version: Option<u32>,
    /// For which rows.
    pub when: Option<String>,
    /// Which module, hex.
    pub sha256: String,
    /// Its configuration.
    pub config: serde_json::Map<String, serde_json::Value>,
}

/// The chain that a topic has now.
#[derive(Clone, Debug, Serialize)]
pub struct ChainStatus {
    /// The topic.
    pub topic: Arc<str>,
    /// Its newest generation.
    pub generation: Generation,
    /// `default`, `config` or `hot`.
    pub made_by: &'static str,
    /// What its records are, if anybody said so.
    pub codec: Option<CodecSpec>,
    /// Its filters, in order.
    pub chain: Vec<ChainEntry>,
}

/// A schema registry that was asked.
#[derive(Clone, Debug, Serialize)]
pub struct RegistryStatus {
    /// Its address.
    pub url: Arc<str>,
    /// Schemas that the box knows, of all registries.
    pub schemas: u64,
    /// Schemas that lanes wait for.
    pub waiting: u64,
    /// Questions since the start.
    pub asked: u64,
    /// Of these, failed.
    pub failed: u64,
    /// Whether the last one went well.
    pub is_up: bool,
    /// Why not.
    pub last_error: Option<String>,
}

/// An output, now.
#[derive(Clone, Debug, Serialize)]
pub struct OutputStatus {
    /// Its name.
    pub name: String,
    /// `zabbix` or `webhook`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Rows that wait for it.
    pub lag_records: u64,
    /// Rows delivered since the start.
    pub sent: u64,
    /// Rows that the receiver refused for good, since the start.
    pub failed: u64,
    /// `running` or `failing`.
    pub state: &'static str,
    /// What went wrong last.
    pub last_error: Option<String>,
}

/// Counts of one lane.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) records: AtomicU64,
    pub(crate) stored: AtomicU64,
    pub(crate) dropped: AtomicU64,
    pub(crate) held: AtomicU64,
    pub(crate) failed: AtomicU64,
}

/// What the quarantine counts, of one generation: another one is not to answer for it.
#[derive(Debug, Default)]
pub(crate) struct Window {
    generation: Generation,
    records: u64,
    failed: u64,
}

impl Window {
    /// Counts records that were handled, and how many of them failed.
    fn add(&mut self, generation: Generation, records: u64, failed: u64) {
        if self.generation != generation {
            *self = Self { generation, ..Self::default() };
        }
        self.records += records;
        self.failed += failed;
    }
}

impl Counters {
    pub(crate) fn add(&self, records: u64, stored: u64, dropped: u64, failed: u64) {
        self.records.fetch_add(records, Ordering::Relaxed);
        self.stored.fetch_add(stored, Ordering::Relaxed);
        self.dropped.fetch_add(dropped, Ordering::Relaxed);
        self.failed.fetch_add(failed, Ordering::Relaxed);
    }
}

impl LaneCore {
    /// What people see of it.
    pub(crate) fn status(&self) -> LaneStatus {
        let next = self.next.load(Ordering::Relaxed);
        let high_watermark = self.partition.high_watermark();
        let shown = self.shown.lock();
        LaneStatus {
            topic: self.generations.name.clone(),
            partition: self.partition.id(),
            next,
            committed: self.committed.load(Ordering::Relaxed),
            high_watermark,
            lag_records: high_watermark.saturating_sub(next),
            generation: self.generations.at(self.partition.id(), next),
            state: shown.state.unwrap_or("idle"),
            last_error: shown.last_error.clone(),
            records: self.counters.records.load(Ordering::Relaxed),
            stored: self.counters.stored.load(Ordering::Relaxed),
            dropped: self.counters.dropped.load(Ordering::Relaxed),
            held: self.counters.held.load(Ordering::Relaxed),
            failed: self.counters.failed.load(Ordering::Relaxed),
        }
    }

    /// Counts what waited.
    pub(crate) fn count_expired(&self, generation: Generation, handled: &Handled<'_>) {
        self.counters.add(0, handled.rows.heads.len() as u64, handled.dropped, handled.failed);
        self.window.lock().add(generation, 0, handled.failed);
    }

    /// Counts a call, and acts when a filter fails too often.
    pub(crate) fn count(&self, generation: Generation, handled: &Handled<'_>, undecoded: u64) {
        let records = handled.records;
        self.counters.add(records, handled.rows.heads.len() as u64, handled.dropped, handled.failed);
        self.counters.held.fetch_add(handled.held, Ordering::Relaxed);
        let quarantine = &self.shared.config.quarantine;
        let mut window = self.window.lock();
        // What does not decode is the sender's doing, not a filter's.
        window.add(generation, records, handled.failed.saturating_sub(undecoded));
        if window.records < u64::from(quarantine.of) {
            return;
        }
        let Window { records: seen, failed, .. } = std::mem::take(&mut *window);
        drop(window);
        if failed.saturating_mul(u64::from(quarantine.of)) > seen.saturating_mul(u64::from(quarantine.traps)) {
            self.shared.quarantine(&self.generations, generation, failed, seen);
        }
    }
}
