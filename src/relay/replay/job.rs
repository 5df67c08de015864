//! A replay as it is kept: what it is to do, how far it has come, and how people see it.
//!
//! On disk, in the store's commit log, per job: the JSON of [`Record`]. It is written anew with every staged part, in one commit, so
//! after a crash the staged rows are exactly those below each stretch's `at`.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::base::ids::{Generation, Offset};
use crate::relay::RelayError;
use crate::relay::generations::{Generations, Promoted, Ready};
use crate::relay::history::Range;
use crate::relay::replay::whole::Joining;
use crate::relay::replay::work::Work;
use crate::relay::shared::Shared;
use crate::store::JobEntry;

/// What has become of a replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplayState {
    /// Under way.
    Running,
    /// Waits for a person.
    Paused,
    /// Its rows are in place of the old ones.
    Done,
    /// A person ended it: nothing has changed.
    Cancelled,
    /// It could not go on: nothing has changed.
    Failed,
}

impl ReplayState {
    /// Whether it may still go on.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Running | Self::Paused)
    }

    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }
}

/// How far a replay is with one range.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// What it is to make anew.
    #[serde(flatten)]
    pub range: Range,
    /// Where it goes on; all below is staged.
    pub at: Offset,
    /// What it made: `[first, end)`, ascending.
    #[serde(default)]
    pub made: Vec<(Offset, Offset)>,
    /// What it could not read any more: deleted meanwhile, or damaged. The rows of these stay as they are.
    #[serde(default)]
    pub unread: Vec<(Offset, Offset)>,
    /// Records that the chain was given.
    #[serde(default)]
    pub records: u64,
    /// Bytes of their payloads.
    #[serde(default)]
    pub bytes: u64,
    /// Of these records, those that were made of rows: the queue has them no longer.
    #[serde(default)]
    pub rebuilt: u64,
    /// Rows made of them.
    #[serde(default)]
    pub stored: u64,
    /// Those that filters dropped.
    #[serde(default)]
    pub dropped: u64,
    /// Those that no filter could handle: they have no row.
    #[serde(default)]
    pub failed: u64,
    /// Those whose rows a person had deleted.
    #[serde(default)]
    pub deleted: u64,
    /// What they emitted; it was not sent.
    #[serde(default)]
    pub emissions: u64,
    /// Those that filters dropped and that emitted: they have no row, and were not sent.
    #[serde(default)]
    pub routed: u64,
}

impl Progress {
    /// Nothing done yet.
    pub fn new(range: Range) -> Self {
        let (made, unread) = (Vec::new(), Vec::new());
        Self {
            range,
            at: range.first,
            made,
            unread,
            records: 0,
            bytes: 0,
            rebuilt: 0,
            stored: 0,
            dropped: 0,
            failed: 0,
            deleted: 0,
            emissions: 0,
            routed: 0,
        }
    }

    /// Everything up to `next` was made.
    pub(super) fn make(&mut self, next: Offset) {
        extend(&mut self.made, self.at, next);
        self.at = next;
    }

    /// Nothing up to `next` can be read.
    pub(super) fn miss(&mut self, next: Offset) {
        extend(&mut self.unread, self.at, next);
        self.at = next;
    }
}

/// Adds `[first, end)`, which lies behind all others.
fn extend(ranges: &mut Vec<(Offset, Offset)>, first: Offset, end: Offset) {
    match ranges.last_mut() {
        _ if first >= end => {}
        Some(last) if last.1 == first => last.1 = end,
        _ => ranges.push((first, end)),
    }
}

/// What the store keeps of a replay.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) state: ReplayState,
    /// Codec and chain.
    pub(crate) promoted: Promoted,
    pub(crate) parts: Vec<Progress>,
    /// What was asked for, but was past the queue's retention at the beginning.
    #[serde(default)]
    pub(crate) out_of_reach: Vec<Range>,
    /// Most bytes of payload a second.
    #[serde(default)]
    pub(crate) throttle: Option<u64>,
    pub(crate) began_ns: i64,
    #[serde(default)]
    pub(crate) ended_ns: Option<i64>,
    /// Why it failed.
    #[serde(default)]
    pub(crate) why: Option<String>,
}

/// A replay in this life of the box.
pub(crate) struct Job {
    pub(crate) id: u64,
    pub(crate) generation: Generation,
    pub(crate) generations: Arc<Generations>,
    pub(super) ready: OnceLock<Arc<Ready>>,
    pub(super) joining: Joining,
    /// As the store has it. Locked over every commit of the job, so that records follow each other.
    pub(super) record: Mutex<Record>,
    /// One for each of the record's parts.
    pub(super) works: Vec<Mutex<Work>>,
    /// Whether a thread is at it, and whether its range is done, for each of the works.
    pub(super) busy: Vec<AtomicBool>,
    pub(super) ended: Vec<AtomicBool>,
    pub(super) finishing: AtomicBool,
    /// What is not in the record yet: offsets and bytes of all works.
    pub(super) offsets: AtomicU64,
    pub(super) bytes: AtomicU64,
    /// When this life began with it, and how many offsets and bytes it had by then.
    pub(super) since: Mutex<(Duration, u64, u64)>,
    /// What it waits for.
    pub(super) waits: Mutex<Option<String>>,
}

impl Job {
    /// What runs its chain, started once.
    pub(super) fn ready(&self, shared: &Shared) -> Result<Arc<Ready>, RelayError> {
        if let Some(ready) = self.ready.get() {
            return Ok(ready.clone());
        }
        let promoted = self.record.lock().promoted.clone();
        let ready = shared.ready(promoted.codec.as_ref(), &promoted.chain)?;
        Ok(self.ready.get_or_init(|| ready).clone())
    }

    /// Of a record as it stands in the store, or is about to.
    pub(super) fn new(
        id: u64,
        generation: Generation,
        generations: Arc<Generations>,
        record: Record,
        now: Duration,
    ) -> Arc<Self> {
        let works = record.parts.iter().map(|part| Mutex::new(Work::new(&generations, part))).collect::<Vec<_>>();
        let flags = || record.parts.iter().map(|_| AtomicBool::new(false)).collect::<Vec<_>>();
        let done = |of: fn(&Progress) -> u64| record.parts.iter().map(of).sum::<u64>();
        let (offsets, bytes) = (done(|part| part.at - part.range.first), done(|part| part.bytes));
        Arc::new(Self {
            id,
            generation,
            generations,
            ready: OnceLock::new(),
            joining: Joining::default(),
            busy: flags(),
            ended: flags(),
            works,
            record: Mutex::new(record),
            finishing: AtomicBool::new(false),
            offsets: AtomicU64::new(offsets),
            bytes: AtomicU64::new(bytes),
            since: Mutex::new((now, offsets, bytes)),
            waits: Mutex::new(None),
        })
    }

    pub(super) fn entry(&self, record: &Record) -> Result<JobEntry, RelayError> {
        let bytes = serde_json::to_vec(record).map_err(|error| RelayError::Config(error.to_string()))?;
        Ok(JobEntry { id: self.id, generation: self.generation, open: record.state.is_open(), record: bytes.into() })
    }

    pub(super) fn throttle(&self) -> Option<u64> {
        self.record.lock().throttle
    }

    pub(crate) fn state(&self) -> ReplayState {
        self.record.lock().state
    }

    /// Makes another state durable. What was staged of one that ends so goes.
    pub(super) fn become_state(&self, shared: &Shared, state: ReplayState, why: Option<String>) -> Result<(), RelayError> {
        let mut record = self.record.lock();
        if !record.state.is_open() || record.state == state {
            return Ok(());
        }
        let mut changed = Record { state, why, ..record.clone() };
        if !state.is_open() {
            changed.ended_ns = Some(shared.clock.now_ns());
        }
        shared.store.put_job(self.generations.topic, &self.generations.name, self.entry(&changed)?)?;
        *record = changed;
        drop(record);
        if !state.is_open() {
            // Rows in memory go too; a thread that is at some lets go of these itself.
            for (index, work) in self.works.iter().enumerate() {
                if let Some(mut work) = work.try_lock() {
                    work.start_over(self, index);
                }
            }
        }
        Ok(())
    }

    pub(super) fn wait_for(&self, what: Option<String>) {
        *self.waits.lock() = what;
    }

    /// Whether this replay and another work on the same records.
    pub(super) fn touches(&self, ranges: &[Range]) -> bool {
        let record = self.record.lock();
        let mut own = record.parts.iter().map(|part| part.range);
        own.any(|own| {
            ranges.iter().any(|range| range.partition == own.partition && range.first < own.end && own.first < range.end)
        })
    }

    /// As people see it.
    pub(super) fn status(&self, shared: &Shared) -> ReplayStatus {
        let record = self.record.lock().clone();
        let total: u64 = record.parts.iter().map(|part| part.range.len()).sum();
        let sum = |of: fn(&Progress) -> u64| record.parts.iter().map(of).sum::<u64>();
        let (offsets, bytes) = match record.state {
            ReplayState::Running => (self.offsets.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed)),
            _ => (sum(|part| part.at - part.range.first), sum(|part| part.bytes)),
        };
        let (since, offsets_then, bytes_then) = *self.since.lock();
        let seconds = shared.clock.monotonic().saturating_sub(since).as_secs_f64();
        let rate = |now: u64, then: u64| {
            let is_known = record.state == ReplayState::Running && seconds > 0.5;
            is_known.then(|| now.saturating_sub(then) as f64 / seconds)
        };
        let records_per_second = rate(offsets, offsets_then);
        let left = total.saturating_sub(offsets) as f64;
        ReplayStatus {
            id: self.id,
            topic: self.generations.name.to_string(),
            state: record.state,
            generation: self.generation,
            chain: record.promoted.chain.entries.iter().map(|entry| entry.filter.to_string()).collect(),
            percent: if total == 0 { 100.0 } else { offsets as f64 * 100.0 / total as f64 },
            offsets: total,
            offsets_done: offsets,
            bytes,
            records_per_second,
            bytes_per_second: rate(bytes, bytes_then),
            eta_seconds: records_per_second.filter(|rate| *rate > 0.0).map(|rate| left / rate),
            throttle: record.throttle,
            records: sum(|part| part.records),
            rebuilt: sum(|part| part.rebuilt),
            stored: sum(|part| part.stored),
            dropped: sum(|part| part.dropped),
            failed: sum(|part| part.failed),
            deleted: sum(|part| part.deleted),
            emissions: sum(|part| part.emissions),
            routed: sum(|part| part.routed),
            began_ns: record.began_ns,
            ended_ns: record.ended_ns,
            waits_for: self.waits.lock().clone().filter(|_| record.state == ReplayState::Running),
            why: record.why,
            out_of_reach: record.out_of_reach,
            partitions: record.parts,
        }
    }
}

/// A replay as people see it.
#[derive(Clone, Debug, Serialize)]
pub struct ReplayStatus {
    /// Its number.
    pub id: u64,
    /// The topic.
    pub topic: String,
    /// What has become of it.
    pub state: ReplayState,
    /// The generation that its rows are of.
    pub generation: Generation,
    /// The filters of its chain.
    pub chain: Vec<String>,
    /// How much of the offsets is done.
    pub percent: f64,
    /// Offsets of all ranges.
    pub offsets: u64,
    /// Of these so many are done, not all of them durably.
    pub offsets_done: u64,
    /// Bytes of payload that were read.
    pub bytes: u64,
    /// Since the box works on it.
    pub records_per_second: Option<f64>,
    /// Likewise.
    pub bytes_per_second: Option<f64>,
    /// How long it will take at this rate.
    pub eta_seconds: Option<f64>,
    /// Most bytes of payload a second.
    pub throttle: Option<u64>,
    /// Records that the chain was given, durably so.
    pub records: u64,
    /// Of these records, those that were made of rows: the queue has them no longer.
    pub rebuilt: u64,
    /// Rows made of them.
    pub stored: u64,
    /// Those that filters dropped.
    pub dropped: u64,
    /// Those that no filter could handle.
    pub failed: u64,
    /// Those whose rows a person had deleted.
    pub deleted: u64,
    /// What filters emitted: it is not sent.
    pub emissions: u64,
    /// Records that filters dropped and that emitted: they have no row any more, and are sent nowhere.
    pub routed: u64,
    /// When it began, nanoseconds since 1970.
    pub began_ns: i64,
    /// When it ended.
    pub ended_ns: Option<i64>,
    /// What it waits for right now.
    pub waits_for: Option<String>,
    /// Why it failed.
    pub why: Option<String>,
    /// What was asked for, but is past the queue's retention: its rows stay as they are.
    pub out_of_reach: Vec<Range>,
    /// Each range.
    pub partitions: Vec<Progress>,
}

/// The ranges of some progress that are not done, from the least offset on that each still has to read.
pub(super) fn holds(parts: &[Progress]) -> Vec<Range> {
    let open = parts.iter().filter(|part| part.at < part.range.end);
    open.map(|part| Range { first: part.at, ..part.range }).collect()
}
