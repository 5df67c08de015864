//! What a trial tells: counts, fields, examples, cost.
//!
//! Every record is in exactly one of the counts `same`, `changed`, `newly_dropped`, `newly_kept`, `newly_failed`, `mended`.
//! Limits: [`FIELDS`] fields, [`EXAMPLES`] examples of each, [`REASONS`] reasons, [`TOPICS`] targets, and examples of whole
//! records of [`EXAMPLE_BYTES`] in all; what is beyond is counted together. Which examples are kept follows from the records'
//! order, so the same trial keeps the same.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value as Json;

use crate::base::ids::{Offset, PartitionId};
use crate::sandbox::{Stats, Unsteady};

/// Fields that are told apart.
pub(super) const FIELDS: usize = 500;
/// Examples of each field.
pub(super) const EXAMPLES: usize = 3;
/// Reasons that are told apart.
pub(super) const REASONS: usize = 50;
/// Target topics that are told apart.
pub(super) const TOPICS: usize = 100;
/// Bytes of all examples of whole records.
pub(super) const EXAMPLE_BYTES: usize = 2 << 20;
/// Longest string in an example.
pub(super) const SHOWN_BYTES: usize = 2048;
/// What is beyond the limits is counted under this.
pub(super) const OTHERS: &str = "(others)";

/// What a chain cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Cost {
    /// Fuel, about one a Wasm instruction; the same at every run.
    pub fuel: u64,
    /// Fuel for each record.
    pub fuel_per_record: u64,
    /// Time for each record, nanoseconds, on a thread of low priority: compare it with the other chain's, not with a clock.
    pub ns_per_record: u64,
    /// Calls into filters.
    pub calls: u64,
    /// Of them, calls that trapped, ran out of fuel or gave no answer.
    pub traps: u64,
    /// Time, nanoseconds.
    #[serde(skip)]
    time_ns: u64,
}

impl Cost {
    /// Adds a call of the chain.
    pub(super) fn add(&mut self, stats: Stats, took: Duration) {
        self.fuel = self.fuel.saturating_add(stats.fuel);
        self.calls += u64::from(stats.calls);
        self.traps += u64::from(stats.traps);
        self.time_ns = self.time_ns.saturating_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Says what a record cost.
    fn of(&mut self, records: u64) {
        self.fuel_per_record = self.fuel / records.max(1);
        self.ns_per_record = self.time_ns / records.max(1);
    }
}

/// A value of a field, before and after.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FieldExample {
    /// The record's partition.
    pub partition: PartitionId,
    /// Its offset.
    pub offset: Offset,
    /// What the live chain makes; null where it makes none.
    pub old: Json,
    /// What the candidate makes; null where it makes none.
    pub new: Json,
}

/// How one field differs, over the records that both chains store.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct FieldDiff {
    /// Rows that have it only with the candidate.
    pub added: u64,
    /// Rows that have it only with the live chain.
    pub removed: u64,
    /// Rows in which it has another value, or another type.
    pub changed: u64,
    /// The first of them.
    pub examples: Vec<FieldExample>,
}

/// How much of something each chain made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Emitted {
    /// By the live chain.
    pub live: u64,
    /// By the candidate.
    pub candidate: u64,
}

/// A record that the chains treat differently.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Example {
    /// Which count it is in.
    pub kind: &'static str,
    /// Its partition.
    pub partition: PartitionId,
    /// Its offset.
    pub offset: Offset,
    /// What the live chain says: `verdict` (`store`, `drop`, `fail`), `fields` or `reason`, `emissions`.
    pub old: Json,
    /// What the candidate says.
    pub new: Json,
    /// The bytes that came: `text`, `bytes` (how many), and `base64` where they are not UTF-8.
    pub raw: Json,
}

/// What a trial tells.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// Records that both chains were given.
    pub records: u64,
    /// Of these: the same row and emissions, or dropped or failed by both.
    pub same: u64,
    /// Stored by both with other fields, or with the same but other emissions.
    pub changed: u64,
    /// Stored live, dropped by the candidate.
    pub newly_dropped: u64,
    /// Dropped live, stored by the candidate.
    pub newly_kept: u64,
    /// Failed by the candidate alone: they would become dead letters.
    pub newly_failed: u64,
    /// Failed live, but not by the candidate.
    pub mended: u64,
    /// Records whose emissions differ, whatever else.
    pub emissions_differ: u64,
    /// Offsets that could not be read: damaged, or deleted meanwhile.
    pub unreadable: u64,
    /// Records whose rows were deleted for good; they are in no other count and no example.
    pub deleted: u64,
    /// Of filters that remember: what they had held and gave when its time had come. It is of records in the other counts.
    pub waited: Emitted,
    /// By name; `(others)` where there are too many.
    pub fields: BTreeMap<String, FieldDiff>,
    /// Emissions by target topic.
    pub emissions: BTreeMap<String, Emitted>,
    /// Why the candidate drops what the live chain stores.
    pub drop_reasons: BTreeMap<String, u64>,
    /// Why the candidate fails.
    pub fail_reasons: BTreeMap<String, u64>,
    /// Records, some of each kind.
    pub examples: Vec<Example>,
    /// What the live chain cost.
    pub live: Cost,
    /// What the candidate cost.
    pub candidate: Cost,
    /// Set where the candidate does not always say the same of a record: then it must not be promoted.
    pub unsteady: Option<Unsteady>,
    /// Bytes of `examples`.
    #[serde(skip)]
    pub(super) example_bytes: usize,
}

impl Report {
    /// Counts a reason.
    pub(super) fn reason(reasons: &mut BTreeMap<String, u64>, reason: &str) {
        let reason = crate::relay::shown::text(reason.as_bytes(), 200);
        let reason = if reasons.contains_key(&reason) || reasons.len() < REASONS { reason } else { OTHERS.to_owned() };
        *reasons.entry(reason).or_default() += 1;
    }

    /// The entry of a name, or of the rest.
    pub(super) fn field(&mut self, name: &str) -> &mut FieldDiff {
        if !self.fields.contains_key(name) {
            let name = if self.fields.len() < FIELDS { name } else { OTHERS };
            return self.fields.entry(name.to_owned()).or_default();
        }
        self.fields.entry(name.to_owned()).or_default()
    }

    /// The count of a target topic.
    pub(super) fn emitted(&mut self, topic: &str) -> &mut Emitted {
        let topic = if self.emissions.contains_key(topic) || self.emissions.len() < TOPICS { topic } else { OTHERS };
        self.emissions.entry(topic.to_owned()).or_default()
    }

    /// Counts the records of a call.
    pub(super) fn count(&mut self, records: u64) {
        self.records += records;
        self.live.of(self.records);
        self.candidate.of(self.records);
    }
}
