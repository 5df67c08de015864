//! Taking rows in: into the memtable, within the one budget of all topics.
//!
//! A lane that finds the memory full helps to flush if nobody does, else waits: back-pressure reaches the shippers through
//! the queue. Rows below a partition's next offset are left out, so that a lane which starts over after an error adds
//! nothing twice; but for rows made of records that filters had held, which come with the change of keyed state that let them go.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::commits::TopicChange;
use super::flush::Change;
use super::keyed;
use super::mask::Masks;
use super::{GenerationEntry, Store, StoreError, watch};
use crate::base::ids::{Generation, Offset, PartitionId, TopicId};
use crate::base::row::Rows;

/// How long a lane waits at a time for memory.
const WAIT: Duration = Duration::from_millis(50);

/// What a lane gives to the store in one call.
#[derive(Clone, Debug)]
pub struct Given<'r> {
    /// The rows.
    pub rows: &'r Rows<'r>,
    /// The first offset that was handled for them.
    pub from: Offset,
    /// The offset after the last one; the same as `from` where it is only about what was held before.
    pub next: Offset,
    /// What changed of the keyed state: key, and value or nothing.
    pub keyed: Vec<(keyed::Bytes, Option<keyed::Bytes>)>,
}

impl Store {
    /// Adds rows of one partition, made by one generation, in offset order, and moves the partition on to `next`, the offset
    /// after the last record handled. The rows are found by queries when this returns; [`Store::on_commit`] tells when they
    /// are durable. `rows` may be empty: every record was dropped.
    ///
    /// Waits while memory is full.
    ///
    /// # Errors
    /// [`StoreError::Closed`], and then nothing was added.
    pub fn append(
        &self,
        topic: TopicId,
        topic_name: &str,
        partition: PartitionId,
        generation: Generation,
        rows: &Rows<'_>,
        next: Offset,
    ) -> Result<(), StoreError> {
        let given = Given { rows, from: 0, next, keyed: Vec::new() };
        self.append_keyed(topic, topic_name, partition, generation, given)
    }

    /// As [`Store::append`], with what changed of the partition's keyed state. Rows may then have offsets below the partition's
    /// next: they are made of records that the state held. All of it becomes durable at once.
    ///
    /// What was given already (its `next`, or where it has such rows its `from`, lies below the partition's) is left out.
    ///
    /// # Errors
    /// As [`Store::append`].
    pub fn append_keyed(
        &self,
        topic: TopicId,
        topic_name: &str,
        partition: PartitionId,
        generation: Generation,
        given: Given<'_>,
    ) -> Result<(), StoreError> {
        let Given { rows, from, next, keyed } = given;
        self.wait_for_memory()?;
        let topic = self.topic_or_new(topic, topic_name);
        let mut state = topic.state.lock();
        if *state.name != *topic_name {
            state.name = topic_name.into();
            topic_name.clone_into(&mut state.durable.name);
        }
        let known = state.next.get(&partition).copied();
        let without = without_gone(rows, partition, &state.durable.masks);
        let rows = without.as_ref().unwrap_or(rows);
        let held = rows.heads.iter().any(|head| head.offset < from);
        let whole = held || !keyed.is_empty();
        let skip = match known {
            Some(known) if whole && from < known => rows.heads.len(),
            Some(known) if !whole => rows.heads.partition_point(|head| head.offset < known),
            Some(_) | None => 0,
        };
        let repeated = whole && known.is_some_and(|known| from < known);
        if skip > 0 {
            self.counters.repeated.fetch_add(skip as u64, Ordering::Relaxed);
        }
        state.active.append(partition, generation, rows, skip);
        if skip < rows.heads.len() || (!keyed.is_empty() && !repeated) || known.is_none_or(|known| next > known) {
            let next = known.map_or(next, |known| known.max(next));
            state.next.insert(partition, next);
            let first = known.or_else(|| rows.heads.first().map(|head| head.offset)).unwrap_or(next);
            state.active_records += next - first.min(next);
            state.begin(|| self.clock.monotonic());
        }
        if !repeated && !keyed.is_empty() {
            let added = keyed::extend(state.active_keyed.entry(partition).or_default(), keyed);
            state.active_keyed_bytes = state.active_keyed_bytes.saturating_add_signed(added);
        }
        let bytes = state.active.bytes() + state.active_keyed_bytes;
        let before = std::mem::replace(&mut state.active_bytes, bytes);
        let replay = state.active_records >= self.config.replay_records;
        drop(state);
        self.counters.rows.fetch_add((rows.heads.len() - skip) as u64, Ordering::Relaxed);
        let memory = self.counters.add_memory(before, bytes);
        if replay || memory > self.flush_mark() {
            self.wake_all();
        }
        self.watchers.tell(&watch::Added { topic: topic_name, partition, generation, rows });
        Ok(())
    }

    /// Memory at which flushing begins: early enough that lanes need not wait while it runs.
    pub(super) fn flush_mark(&self) -> usize {
        self.config.memory.as_usize() / 4 * 3
    }

    fn wait_for_memory(&self) -> Result<(), StoreError> {
        loop {
            if self.is_closed() {
                return Err(StoreError::Closed);
            }
            if self.counters.memory() < self.config.memory.as_usize() {
                return Ok(());
            }
            if !self.is_resting()
                && let Some(guard) = self.flushing.try_lock()
            {
                // A failure is counted and logged there; waiting a moment is all a lane can do about it.
                if self.flush_largest(&guard).is_ok() {
                    continue;
                }
            }
            let mut lock = self.wake_lock.lock();
            self.wake.wait_for(&mut lock, WAIT);
        }
    }

    /// Makes a generation known: which chain it is and which offset of each partition is the first that it handles.
    /// Durable when it returns; no record may be handled by it before.
    ///
    /// # Errors
    /// The disk's; then the generation is not.
    pub fn promote(
        &self,
        topic: TopicId,
        name: &str,
        generation: Generation,
        chain: &[u8],
        from: &BTreeMap<PartitionId, Offset>,
    ) -> Result<(), StoreError> {
        let entry = GenerationEntry { generation, chain: chain.into(), from: from.clone(), ranges: Vec::new() };
        let change = TopicChange { generations: vec![entry], ..TopicChange::default() };
        let topic = self.topic_or_new(topic, name);
        self.commit(vec![Change { topic, change, files: Vec::new(), keyed: Vec::new(), flushed: false }])
    }
}

/// Rows of records that were not deleted, where some were.
fn without_gone<'a>(rows: &Rows<'a>, partition: PartitionId, masks: &Masks) -> Option<Rows<'a>> {
    if masks.is_empty() || !rows.heads.iter().any(|head| masks.is_gone(partition, head.offset)) {
        return None;
    }
    let mut left = rows.clone();
    let kept = rows.heads.iter().zip(&rows.payloads).filter(|(head, _)| !masks.is_gone(partition, head.offset));
    left.payloads = kept.map(|(_, payload)| *payload).collect();
    left.heads.retain(|head| !masks.is_gone(partition, head.offset));
    Some(left)
}
