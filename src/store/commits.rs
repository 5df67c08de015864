//! The commit log of the whole store: the only place that says which parts are live and how far each lane has come.
//!
//! On disk: `store/COMMITS`, a [`Journal`] whose entries are JSON, one a commit:
//! ```text
//! {"v":1,"topics":[{"id":"<topic id>","name":"apache",
//!    "cursors":[[partition, next offset], …],            replaces what stood for those partitions
//!    "add":[{part}, …], "remove":[part id, …],           parts that are live, parts that are no longer
//!    "generations":[{"generation":1,"chain":"<base64>","from":[[partition, first offset], …],
//!                    "ranges":[[partition, first, end], …]}, …],     ranges: a replay's, which has no `from`
//!    "masks":[[seq, partition, first, end, generation or null], …],  see `mask.rs`
//!    "unmask":[[partition, first], …],                   stretches of masks that no part needs any more
//!    "stage":[[job, {part}], …],                         parts that are not seen yet: those of a replay under way
//!    "keyed":[[partition, {piece}], …],                  keyed state at those offsets; a piece is {"bytes":n} and where they are:
//!                                                        "inline":"<base64>" or "file":number; "whole":true replaces those before
//!    "jobs":[{"id":1,"generation":2,"open":true,"record":"<base64>"}, …]}, …]}
//! ```
//! A job that is no longer open has no staged parts: the entry that closes it adds those that become live. `v` is 1 in entries
//! without masks, staged parts, jobs, keyed state and ranges, which earlier versions read too; else 2.
//! The state is the fold of all entries, and a checkpoint is entries that add all of it, so there is one format, not two.
//!
//! Invariants: a part is named here only after its file and its name in the directory are durable. A lane's rows and its
//! cursor are in one entry. JSON because commits are rare (one a flush, a merge or a promote) and people read them when
//! something is wrong.
//!
//! Crash story: an entry is there whole or not at all. After a failed append nobody knows which, so a checkpoint writes down
//! what this process holds to be true, at once if the disk lets it; nothing more is appended and files that the entry named
//! are not removed before that.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::StoreError;
use super::keyed::{self, Piece};
use super::mask::{Mask, Masks};
use crate::base::disk::Disk;
use crate::base::ids::{Generation, Offset, PartitionId, TopicId};
use crate::base::journal::Journal;

mod look;

pub use self::look::Look;

/// Where the log lies, relative to the data directory.
pub const PATH: &str = "store/COMMITS";
/// The log is checkpointed when it has grown by this and doubled.
const CHECKPOINT_BYTES: u64 = 1 << 20;
/// Parts in one entry of a checkpoint, which keeps entries far below the journal's limit.
const PARTS_AN_ENTRY: usize = 10_000;
/// Masks in one entry of a checkpoint.
const MASKS_AN_ENTRY: usize = 50_000;
/// Bytes of chains, or of jobs' records, in one entry of a checkpoint, about.
const OPAQUE_BYTES: usize = 16 << 20;
/// Bytes of a range of offsets, about.
const RANGE_BYTES: usize = 32;
/// Closed jobs of a topic that are remembered.
pub const CLOSED_JOBS: usize = 16;
const VERSION: u32 = 2;

/// What the log says of a part.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartMeta {
    /// Its number, never used twice while its file may exist.
    pub id: u64,
    /// The UTC day of all its rows, in days since 1970; none when it holds late rows of many days.
    pub day: Option<i64>,
    /// The later of its last event's day and its last arrival's day: what retention counts from.
    pub keep_day: i64,
    /// Rows.
    pub rows: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// Bytes of what the rows were made of.
    pub raw_bytes: u64,
    /// Least event time.
    pub from_ns: i64,
    /// Greatest event time.
    pub to_ns: i64,
    /// Each partition with its least and greatest offset; empty where they are too many, or nobody noted them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub offsets: Vec<(PartitionId, Offset, Offset)>,
    /// The last mask that its rows were swept of.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub swept: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde asks for it so
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Work on a topic's history that goes on over restarts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobEntry {
    /// Its number in the topic.
    pub id: u64,
    /// The generation that its rows are of.
    pub generation: Generation,
    /// Whether it is under way: its staged parts are kept.
    pub open: bool,
    /// What it is and how far it has come, opaque to the store.
    pub record: Arc<[u8]>,
}

#[derive(Debug, Serialize, Deserialize)]
struct JobRecord {
    id: u64,
    generation: Generation,
    open: bool,
    record: String,
}

/// One promoted state of a topic's chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenerationEntry {
    /// Its number.
    pub generation: Generation,
    /// The chain, opaque to the store.
    pub chain: Arc<[u8]>,
    /// The first offset of each partition that it handles.
    pub from: BTreeMap<PartitionId, Offset>,
    /// What a replay made anew: partition, first offset, end. Such a generation handles nothing else, and `from` is empty.
    pub ranges: Vec<(PartitionId, Offset, Offset)>,
}

#[derive(Debug, Serialize, Deserialize)]
struct GenerationRecord {
    generation: Generation,
    chain: String,
    from: Vec<(PartitionId, Offset)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    ranges: Vec<(PartitionId, Offset, Offset)>,
}

/// What a commit changes in one topic.
#[derive(Clone, Debug, Default)]
pub struct TopicChange {
    /// Next offsets.
    pub cursors: Vec<(PartitionId, Offset)>,
    /// Parts that become live.
    pub add: Vec<PartMeta>,
    /// Parts that are no longer.
    pub remove: Vec<u64>,
    /// Generations promoted.
    pub generations: Vec<GenerationEntry>,
    /// Rows that are not to be seen any more.
    pub masks: Vec<Mask>,
    /// Where stretches of masks begin that are no longer needed.
    pub unmask: Vec<(PartitionId, Offset)>,
    /// Parts of jobs, not to be seen yet.
    pub stage: Vec<(u64, PartMeta)>,
    /// Jobs, new or changed. Taken in after the parts.
    pub jobs: Vec<JobEntry>,
    /// Keyed state, in the order in which pieces follow each other.
    pub keyed: Vec<(PartitionId, Piece)>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct TopicRecord {
    id: TopicId,
    name: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cursors: Vec<(PartitionId, Offset)>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    add: Vec<PartMeta>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    remove: Vec<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    generations: Vec<GenerationRecord>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    keyed: Vec<(PartitionId, Piece)>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    masks: Vec<Mask>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unmask: Vec<(PartitionId, Offset)>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stage: Vec<(u64, PartMeta)>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    jobs: Vec<JobRecord>,
}

impl TopicRecord {
    fn version(&self) -> u32 {
        let plain = self.masks.is_empty()
            && self.unmask.is_empty()
            && self.stage.is_empty()
            && self.jobs.is_empty()
            && self.keyed.is_empty()
            && self.generations.iter().all(|generation| generation.ranges.is_empty());
        if plain { 1 } else { VERSION }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct CommitRecord {
    v: u32,
    topics: Vec<TopicRecord>,
}

/// What the log says of a topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicState {
    /// Its name when it was last written.
    pub name: String,
    /// Next offset of every partition.
    pub cursors: BTreeMap<PartitionId, Offset>,
    /// Live parts by number.
    pub parts: BTreeMap<u64, PartMeta>,
    /// Generations, ascending.
    pub generations: Vec<GenerationEntry>,
    /// What its masks add up to.
    pub masks: Arc<Masks>,
    /// Parts that are not seen yet, by number, with their job.
    pub staged: BTreeMap<u64, (u64, PartMeta)>,
    /// Jobs by number: open ones and the last closed ones.
    pub jobs: BTreeMap<u64, JobEntry>,
    /// Keyed state of every partition that has any.
    pub keyed: BTreeMap<PartitionId, Vec<Piece>>,
}

impl TopicState {
    /// A number that no mask has, and no part was swept of.
    pub fn next_mask(&self) -> u64 {
        let staged = self.staged.values().map(|(_, part)| part);
        let swept = self.parts.values().chain(staged).map(|part| part.swept).max().unwrap_or(0);
        self.masks.last().max(swept).saturating_add(1)
    }

    /// Takes a change in.
    pub fn apply(&mut self, change: &TopicChange) {
        self.cursors.extend(change.cursors.iter().copied());
        for (partition, piece) in &change.keyed {
            keyed::fold(self.keyed.entry(*partition).or_default(), piece);
        }
        self.keyed.retain(|_, pieces| !pieces.is_empty());
        for id in &change.remove {
            self.parts.remove(id);
        }
        self.parts.extend(change.add.iter().map(|part| (part.id, part.clone())));
        for entry in &change.generations {
            self.generations.retain(|old| old.generation != entry.generation);
            self.generations.push(entry.clone());
        }
        self.generations.sort_by_key(|entry| entry.generation);
        if !change.masks.is_empty() || !change.unmask.is_empty() {
            let masks = Arc::make_mut(&mut self.masks);
            change.masks.iter().for_each(|mask| masks.add(mask));
            masks.forget(&change.unmask);
        }
        self.staged.extend(change.stage.iter().map(|(job, part)| (part.id, (*job, part.clone()))));
        for job in &change.jobs {
            if !job.open {
                self.staged.retain(|_, (owner, _)| *owner != job.id);
            }
            self.jobs.insert(job.id, job.clone());
        }
        let closed: Vec<u64> = self.jobs.values().filter(|job| !job.open).map(|job| job.id).collect();
        for id in closed.iter().take(closed.len().saturating_sub(CLOSED_JOBS)) {
            self.jobs.remove(id);
        }
    }
}

/// The open log and the state it adds up to.
#[derive(Debug)]
pub struct CommitLog {
    journal: Journal,
    /// What it adds up to.
    pub topics: BTreeMap<TopicId, TopicState>,
    checkpointed_bytes: u64,
    unsure: bool,
}

impl CommitLog {
    /// Opens it as it was found to be; its directory must exist.
    ///
    /// # Errors
    /// The disk's.
    pub fn open(disk: Arc<dyn Disk>, look: Look) -> Result<Self, StoreError> {
        let journal = Journal::go_on(disk, Path::new(PATH), &look.journal).map_err(refused)?;
        let checkpointed_bytes = journal.len() / 2;
        Ok(Self { journal, topics: look.topics, checkpointed_bytes, unsure: false })
    }

    /// Puts another state in the place of all that the log says; the old log stands until it is durable.
    ///
    /// # Errors
    /// The disk's.
    pub fn replace(disk: Arc<dyn Disk>, topics: BTreeMap<TopicId, TopicState>) -> Result<(), StoreError> {
        let look = Look::at(&*disk)?;
        let mut log = Self::open(disk, look)?;
        log.topics = topics;
        log.checkpoint()
    }

    /// Makes changes durable, all of them or none. When it fails, [`CommitLog::is_unsure`] says whether they may be
    /// durable all the same until the next commit succeeds.
    ///
    /// # Errors
    /// The disk's.
    pub fn commit(&mut self, changes: &[(TopicId, String, TopicChange)]) -> Result<(), StoreError> {
        if self.unsure {
            self.checkpoint()?;
        } else if self.journal.len() > (self.checkpointed_bytes + CHECKPOINT_BYTES) * 2
            && let Err(error) = self.checkpoint()
        {
            // Only to save space: on a full disk the entry that drops old parts may fit where the whole state does not.
            tracing::warn!(%error, "the store's commit log was not written anew");
        }
        let topics = changes.iter().map(|(id, name, change)| record_of(*id, name, change)).collect();
        let entry = encode(topics)?;
        self.unsure = true;
        if let Err(error) = self.journal.append(&entry) {
            // At once: a generation that may be durable or not must not become so while the lanes go on with the one before.
            // Where the disk refuses this too, the next commit tries again.
            let _ = self.checkpoint();
            return Err(refused(error));
        }
        self.unsure = false;
        for (id, name, change) in changes {
            let state = self.topics.entry(*id).or_default();
            state.name.clone_from(name);
            state.apply(change);
        }
        Ok(())
    }

    /// Has one that says nothing say so in an entry, which one that is lost has not. Where the disk refuses, the first commit does.
    pub fn begin(&mut self) {
        self.unsure = self.checkpoint().is_err();
    }

    /// Whether the last commit failed in a way that leaves open what is on the disk.
    pub fn is_unsure(&self) -> bool {
        self.unsure
    }

    /// Writes down the whole state anew.
    ///
    /// # Errors
    /// The disk's; the old log stands.
    pub fn checkpoint(&mut self) -> Result<(), StoreError> {
        let mut entries = Vec::new();
        for (id, state) in &self.topics {
            let parts: Vec<&PartMeta> = state.parts.values().collect();
            let mut first = TopicChange {
                cursors: state.cursors.iter().map(|(partition, next)| (*partition, *next)).collect(),
                ..TopicChange::default()
            };
            let mut runs = parts.chunks(PARTS_AN_ENTRY);
            loop {
                let run = runs.next();
                first.add = run.unwrap_or(&[]).iter().map(|part| (*part).clone()).collect();
                entries.push(encode(vec![record_of(*id, &state.name, &first)])?);
                first = TopicChange::default();
                if runs.len() == 0 {
                    break;
                }
            }
            let size = |entry: &GenerationEntry| entry.chain.len() + (entry.from.len() + entry.ranges.len()) * RANGE_BYTES;
            for run in by_bytes(&state.generations, size) {
                let change = TopicChange { generations: run.to_vec(), ..TopicChange::default() };
                entries.push(encode(vec![record_of(*id, &state.name, &change)])?);
            }
            let jobs: Vec<JobEntry> = state.jobs.values().cloned().collect();
            for run in by_bytes(&jobs, |job| job.record.len()) {
                let change = TopicChange { jobs: run.to_vec(), ..TopicChange::default() };
                entries.push(encode(vec![record_of(*id, &state.name, &change)])?);
            }
            // After the jobs: one that is closed takes no staged part with it, for there is none.
            let staged: Vec<(u64, PartMeta)> = state.staged.values().cloned().collect();
            for run in staged.chunks(PARTS_AN_ENTRY) {
                let change = TopicChange { stage: run.to_vec(), ..TopicChange::default() };
                entries.push(encode(vec![record_of(*id, &state.name, &change)])?);
            }
            for run in state.masks.all().chunks(MASKS_AN_ENTRY) {
                let change = TopicChange { masks: run.to_vec(), ..TopicChange::default() };
                entries.push(encode(vec![record_of(*id, &state.name, &change)])?);
            }
            for (partition, pieces) in &state.keyed {
                let keyed = pieces.iter().map(|piece| (*partition, piece.clone())).collect();
                let change = TopicChange { keyed, ..TopicChange::default() };
                entries.push(encode(vec![record_of(*id, &state.name, &change)])?);
            }
        }
        if entries.is_empty() {
            entries.push(encode(Vec::new())?);
        }
        let slices: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
        self.journal.checkpoint(&slices).map_err(refused)?;
        self.checkpointed_bytes = self.journal.len();
        self.unsure = false;
        Ok(())
    }
}

/// Runs of some things that each hold no more than [`OPAQUE_BYTES`], or one thing.
fn by_bytes<T>(all: &[T], bytes: impl Fn(&T) -> usize) -> impl Iterator<Item = &[T]> {
    let mut held = all.first().map_or(0, &bytes);
    all.chunk_by(move |_, next| {
        let own = bytes(next);
        let fits = held + own <= OPAQUE_BYTES;
        held = if fits { held + own } else { own };
        fits
    })
}

/// What entries add up to, and how many of them cannot be read.
///
/// # Errors
/// [`StoreError::Newer`].
pub fn fold<'e>(entries: impl Iterator<Item = &'e [u8]>) -> Result<(BTreeMap<TopicId, TopicState>, u64), StoreError> {
    let mut topics = BTreeMap::<TopicId, TopicState>::new();
    let mut unreadable = 0;
    for entry in entries {
        let Ok(record) = serde_json::from_slice::<CommitRecord>(entry) else {
            unreadable += 1;
            continue;
        };
        if record.v > VERSION {
            return Err(StoreError::Newer { path: PATH.into(), version: record.v });
        }
        for topic in record.topics {
            let state = topics.entry(topic.id).or_default();
            let (name, change) = read_record(topic);
            state.name = name;
            state.apply(&change);
        }
    }
    Ok((topics, unreadable))
}

fn refused(error: std::io::Error) -> StoreError {
    StoreError::Disk { path: PATH.into(), error }
}

fn encode(topics: Vec<TopicRecord>) -> Result<Vec<u8>, StoreError> {
    let v = topics.iter().map(TopicRecord::version).max().unwrap_or(1);
    serde_json::to_vec(&CommitRecord { v, topics }).map_err(|error| refused(std::io::Error::other(error)))
}

fn record_of(id: TopicId, name: &str, change: &TopicChange) -> TopicRecord {
    let generation = |entry: &GenerationEntry| GenerationRecord {
        generation: entry.generation,
        chain: STANDARD.encode(&entry.chain),
        from: entry.from.iter().map(|(partition, offset)| (*partition, *offset)).collect(),
        ranges: entry.ranges.clone(),
    };
    let job = |job: &JobEntry| JobRecord {
        id: job.id,
        generation: job.generation,
        open: job.open,
        record: STANDARD.encode(&job.record),
    };
    TopicRecord {
        id,
        name: name.to_owned(),
        cursors: change.cursors.clone(),
        add: change.add.clone(),
        remove: change.remove.clone(),
        generations: change.generations.iter().map(generation).collect(),
        masks: change.masks.clone(),
        unmask: change.unmask.clone(),
        stage: change.stage.clone(),
        jobs: change.jobs.iter().map(job).collect(),
        keyed: change.keyed.clone(),
    }
}

fn read_record(record: TopicRecord) -> (String, TopicChange) {
    let generation = |entry: GenerationRecord| GenerationEntry {
        generation: entry.generation,
        chain: STANDARD.decode(entry.chain).unwrap_or_default().into(),
        from: entry.from.into_iter().collect(),
        ranges: entry.ranges,
    };
    let job = |job: JobRecord| JobEntry {
        id: job.id,
        generation: job.generation,
        open: job.open,
        record: STANDARD.decode(job.record).unwrap_or_default().into(),
    };
    let change = TopicChange {
        cursors: record.cursors,
        add: record.add,
        remove: record.remove,
        generations: record.generations.into_iter().map(generation).collect(),
        masks: record.masks,
        unmask: record.unmask,
        stage: record.stage,
        jobs: record.jobs.into_iter().map(job).collect(),
        keyed: record.keyed,
    };
    (record.name, change)
}
