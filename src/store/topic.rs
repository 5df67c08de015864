//! What the store holds of one topic: parts, memtables, and how far its lanes have come.
//!
//! One lock a topic, held for as long as a batch of rows takes to be added or a look to be taken, never over disk work.
//! A flush takes the memtable away under the lock (it is then *frozen*, still searched) and puts parts in its place under
//! the lock again: that is why a look sees each row once.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;

use super::commits::{PartMeta, TopicState};
use super::keyed::Delta;
use super::look::MemSource;
use super::mask::{self, Masks, ToCome};
use super::memtable::Memtable;
use super::part::read::{PartFile, PartSource};
use super::source::Source;
use crate::base::ids::{Offset, PartitionId, TopicId};

/// One topic.
#[derive(Debug)]
pub struct TopicStore {
    /// Its id.
    pub id: TopicId,
    /// All else.
    pub state: Mutex<State>,
}

/// A memtable that a flush has taken and not committed yet.
#[derive(Clone, Debug)]
pub struct Frozen {
    /// Its rows; none when all records were dropped.
    pub source: Option<Arc<MemSource>>,
    /// Next offsets after its rows.
    pub cursors: Vec<(PartitionId, Offset)>,
    /// What changed of keyed state at those offsets.
    pub keyed: BTreeMap<PartitionId, Delta>,
    /// Memory it was counted with.
    pub bytes: usize,
    /// As [`State::active_masks`].
    pub masks: u64,
}

/// What the store knows of a topic.
#[derive(Debug)]
pub struct State {
    /// What the commit log says.
    pub durable: TopicState,
    /// The topic's name, shared with sources.
    pub name: Arc<str>,
    /// Files of the live parts, by number.
    pub parts: BTreeMap<u64, Arc<PartFile>>,
    /// Files of staged parts, by number.
    pub staged: BTreeMap<u64, Arc<PartFile>>,
    /// What was last said of records that may come again.
    pub to_come: ToCome,
    /// Next offsets with the memtable's rows.
    pub next: BTreeMap<PartitionId, Offset>,
    /// Rows as they come.
    pub active: Memtable,
    /// What changed of keyed state since the last flush.
    pub active_keyed: BTreeMap<PartitionId, Delta>,
    /// Memory of that.
    pub active_keyed_bytes: usize,
    /// Memory of `active` as it was last counted.
    pub active_bytes: usize,
    /// Records handled since the memtable was last empty: what a crash would cost to do again.
    pub active_records: u64,
    /// When the first of them came, by the monotonic clock; none when there is nothing to flush.
    pub since: Option<std::time::Duration>,
    /// The last mask before it: rows that those masks delete were not taken in.
    pub active_masks: u64,
    /// A number greater than that of any mask since the store was opened.
    next_mask: u64,
    /// Taken by a flush, oldest first.
    pub frozen: VecDeque<Frozen>,
}

impl TopicStore {
    /// A topic that has nothing.
    pub fn new(id: TopicId, name: &str) -> Self {
        let durable = TopicState { name: name.to_owned(), ..TopicState::default() };
        Self::from_log(id, durable, BTreeMap::new(), BTreeMap::new())
    }

    /// A topic as the log has it.
    pub fn from_log(
        id: TopicId,
        durable: TopicState,
        parts: BTreeMap<u64, Arc<PartFile>>,
        staged: BTreeMap<u64, Arc<PartFile>>,
    ) -> Self {
        let state = State {
            parts,
            staged,
            to_come: ToCome::default(),
            name: Arc::from(durable.name.as_str()),
            next: durable.cursors.clone(),
            durable,
            active: Memtable::default(),
            active_keyed: BTreeMap::new(),
            active_keyed_bytes: 0,
            active_bytes: 0,
            active_records: 0,
            since: None,
            active_masks: 0,
            next_mask: 0,
            frozen: VecDeque::new(),
        };
        Self { id, state: Mutex::new(state) }
    }
}

impl State {
    /// A number for a mask. None gets one that masks forgotten meanwhile had: what is being merged was swept up to them.
    pub fn next_mask(&mut self) -> u64 {
        self.next_mask = self.next_mask.max(self.durable.next_mask());
        self.next_mask
    }

    /// Notes that there is something to flush.
    pub fn begin(&mut self, now: impl FnOnce() -> std::time::Duration) {
        if self.since.is_none() {
            self.since = Some(now());
            self.active_masks = self.next_mask() - 1;
        }
    }

    /// Takes the memtable away for a flush, with the offsets after its rows.
    pub fn freeze(&mut self, id: TopicId) {
        if self.since.take().is_none() {
            return;
        }
        let active = std::mem::take(&mut self.active);
        let cursors = self.next.iter().map(|(partition, next)| (*partition, *next));
        // Only those that moved.
        let cursors = cursors.filter(|(partition, next)| self.durable.cursors.get(partition) != Some(next)).collect();
        let source = (active.rows() > 0).then(|| Arc::new(active.into_source(id, &self.name)));
        let bytes = std::mem::take(&mut self.active_bytes);
        self.active_records = 0;
        self.active_keyed_bytes = 0;
        let keyed = std::mem::take(&mut self.active_keyed);
        self.frozen.push_back(Frozen { source, cursors, keyed, bytes, masks: self.active_masks });
    }

    /// The stretches of these masks that nothing needs once some parts are gone, others are there and a job `ends`. Those of jobs
    /// under way count: a job that ends must not bring back what was deleted meanwhile.
    pub fn unneeded(&self, masks: &Masks, remove: &[u64], add: &[PartMeta], ends: Option<u64>) -> Vec<(PartitionId, Offset)> {
        let gone: BTreeSet<u64> = remove.iter().copied().chain(add.iter().map(|part| part.id)).collect();
        let staged = self.durable.staged.values().map(|(_, part)| part);
        let stays = self.durable.parts.values().chain(staged).filter(|part| !gone.contains(&part.id));
        let memtable = self.memtable();
        let mut to_come = self.to_come.clone();
        // A job holds rows that no part has yet, of records that may have left the queue since it read them.
        to_come.letters |= self.durable.jobs.values().any(|job| job.open && Some(job.id) != ends);
        masks.unneeded(stays.chain(add).chain(&memtable), &to_come, |partition| self.durable.keyed.contains_key(&partition))
    }

    /// What the memtables are to masks: a part that was swept before the first row came.
    fn memtable(&self) -> Option<PartMeta> {
        let active = self.since.is_some().then_some(self.active_masks);
        let swept = self.frozen.iter().map(|frozen| frozen.masks).chain(active).min()?;
        let of = |(partition, next): (&PartitionId, &Offset)| {
            let durable = self.durable.cursors.get(partition).copied().unwrap_or(0);
            // Rows of records that filters held may be older than all that is durable.
            let first = if self.durable.keyed.contains_key(partition) { 0 } else { durable };
            (first < *next).then(|| (*partition, first, *next - 1))
        };
        let offsets: Vec<_> = self.next.iter().filter_map(of).collect();
        (!offsets.is_empty()).then(|| PartMeta { swept, offsets, ..PartMeta::default() })
    }

    /// Adds this topic's sources that may have rows of `[from, to)`.
    pub fn look(&mut self, id: TopicId, range: (Option<i64>, Option<i64>), sources: &mut Vec<Arc<dyn Source>>) {
        for file in self.parts.values() {
            let touches = range.0.is_none_or(|from| file.meta.to_ns >= from) && range.1.is_none_or(|to| file.meta.from_ns < to);
            if touches {
                let source = Arc::new(PartSource::new(file.clone(), id, self.name.clone()));
                sources.push(mask::over_part(source, &file.meta, &self.durable.masks));
            }
        }
        for frozen in self.frozen.iter().filter_map(|frozen| frozen.source.as_ref()) {
            push_within(frozen, range, &self.durable.masks, sources);
        }
        if let Some(active) = self.active.look(id, &self.name) {
            push_within(&active, range, &self.durable.masks, sources);
        }
    }
}

fn push_within(
    source: &Arc<MemSource>,
    (from, to): (Option<i64>, Option<i64>),
    masks: &Arc<Masks>,
    sources: &mut Vec<Arc<dyn Source>>,
) {
    let touches = |group: usize| {
        let (least, greatest) = source.time_bounds(group);
        from.is_none_or(|from| greatest >= from) && to.is_none_or(|to| least < to)
    };
    if (0..source.groups()).any(touches) {
        sources.push(mask::over(source.clone(), masks));
    }
}
