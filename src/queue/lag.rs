//! How far groups are behind, and setting them elsewhere.
//!
//! Purpose: for each partition that a group reads: what it committed, what waits for it, in records, bytes and seconds. The lanes
//! are shown as a group like any other, `_lane`, by what the store has durably; outputs are groups anyway (`_out.…`). Both are
//! read-only.
//! Bytes are exact when what waits fits into [`LOOK`], else a share of the segments by records. Seconds are the age, since it was
//! appended, of the oldest record that waits. Both take a read: not for a network thread.
//! A reset is first a plan; carrying it out is refused while the group has members, because they would commit over it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::coordinator::{CommitError, GroupView, State};
use super::error::QueueError;
use super::groups::{Committed, LANES, OUTPUT, Place, is_own};
use super::partition::Partition;
use super::{Queue, Topic};
use crate::base::ids::{Offset, PartitionId};

/// Bytes read to see what waits first.
const LOOK: usize = 64 * 1024;

/// What waits in a partition from an offset on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Records.
    pub records: u64,
    /// Bytes of their batches.
    pub bytes: u64,
    /// When the first was appended, ns since 1970; none if nothing waits, or nobody looked.
    pub oldest_ns: Option<i64>,
}

/// How far a group is behind in a partition.
#[derive(Clone, Debug)]
pub struct PartitionLag {
    /// The topic.
    pub topic: Arc<Topic>,
    /// The partition.
    pub partition: PartitionId,
    /// What it committed; without it, it begins where its consumers choose to.
    pub committed: Option<Committed>,
    /// The first offset that is still there.
    pub start: Offset,
    /// The offset behind the last durable record.
    pub end: Offset,
    /// What waits for it.
    pub backlog: Backlog,
}

/// Where a group shall go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// At the first record that is still there.
    Earliest,
    /// Behind the last one.
    Latest,
    /// At this offset.
    Offset(Offset),
    /// At the first record with this time or a later one, ms since 1970.
    Time(i64),
    /// So many records on, or back.
    Shift(i64),
}

/// One step of a reset.
#[derive(Clone, Debug)]
pub struct Move {
    /// The topic.
    pub topic: Arc<Topic>,
    /// The partition.
    pub partition: PartitionId,
    /// Where the group is.
    pub from: Option<Offset>,
    /// Where it will be.
    pub to: Offset,
}

impl Partition {
    /// What waits from `from` on. Without `look` nothing is read: bytes are an estimate, and nobody knows since when.
    pub fn backlog(&self, from: Offset, look: bool) -> Backlog {
        let end = self.high_watermark();
        let from = from.max(self.log_start());
        if from >= end {
            return Backlog::default();
        }
        let records = end - from;
        let batches = if look { self.read(from, LOOK).unwrap_or_default() } else { Vec::new() };
        let oldest_ns = batches.first().map(|batch| batch.append_ns);
        let whole = batches.last().is_some_and(|batch| batch.next_offset >= end);
        let bytes = if whole {
            let share = |batch: &super::StoredBatch| {
                let wanted = batch.next_offset.saturating_sub(from.max(batch.base_offset));
                part(batch.bytes.len() as u64, wanted, batch.next_offset.saturating_sub(batch.base_offset))
            };
            batches.iter().map(share).sum()
        } else {
            self.bytes_from(from, end)
        };
        Backlog { records, bytes, oldest_ns }
    }

    fn bytes_from(&self, from: Offset, end: Offset) -> u64 {
        let view = self.view.read();
        let sealed = view.sealed.iter().map(|sealed| (sealed.base, sealed.next, sealed.len));
        let tail = view.tail.as_ref().map(|tail| (tail.base, end, tail.end));
        let segments = sealed.chain(tail).filter(|(_, next, _)| *next > from);
        segments.map(|(base, next, len)| part(len, next.saturating_sub(from.max(base)), next.saturating_sub(base))).sum()
    }
}

fn part(of: u64, wanted: u64, all: u64) -> u64 {
    let part = u128::from(of) * u128::from(wanted) / u128::from(all.max(1));
    u64::try_from(part).unwrap_or(of).min(of)
}

impl Queue {
    /// Whether a group is the box's own, and there.
    pub fn is_own_group(&self, group: &str) -> bool {
        group == LANES || (group.starts_with(OUTPUT) && self.groups().has(group))
    }

    /// All groups, the lanes among them; without their members.
    pub fn groups_seen(&self) -> Vec<GroupView> {
        let mut all = self.coordinator().list();
        for view in all.iter_mut().filter(|view| is_own(&view.group)) {
            view.state = State::Stable;
        }
        let at = all.partition_point(|view| *view.group < *LANES);
        all.insert(at, self.group_seen(LANES));
        all
    }

    /// One group, with its members; [`State::Dead`] if there is none.
    pub fn group_seen(&self, group: &str) -> GroupView {
        let mut view = self.coordinator().describe(group);
        if self.is_own_group(group) {
            view.state = State::Stable;
        }
        view
    }

    /// All that a group has committed; of the lanes, what the store has durably.
    pub fn committed_of(&self, group: &str) -> Vec<(Place, Committed)> {
        if group != LANES {
            return self.groups().of_group(group);
        }
        let lanes = self.topics().into_iter().filter(|topic| !topic.name().starts_with(OUTPUT) && topic.settings().store);
        let partitions = lanes.flat_map(|topic| topic.partitions());
        partitions.map(|partition| ((partition.topic_id(), partition.id()), Committed::at(partition.committed()))).collect()
    }

    /// How far a group is behind, in every partition of which it has committed an offset. `looks` is how many partitions may be
    /// read for it, and goes down. A lane may have `handled` more than is committed, and is not behind with that.
    pub fn group_lag(
        &self,
        group: &str,
        looks: &mut usize,
        handled: impl Fn(&Topic, PartitionId) -> Option<Offset>,
    ) -> Vec<PartitionLag> {
        let mut lags = Vec::new();
        for ((topic, number), committed) in self.committed_of(group) {
            let Some(topic) = self.topic_by_id(topic) else { continue };
            let Some(partition) = topic.partition(number) else { continue };
            let (start, end) = (partition.log_start(), partition.high_watermark());
            let from = handled(&topic, number).unwrap_or(0).max(committed.offset);
            let look = *looks > 0 && from < end;
            *looks -= usize::from(look);
            let backlog = partition.backlog(from, look);
            lags.push(PartitionLag { topic, partition: number, committed: Some(committed), start, end, backlog });
        }
        lags.sort_by(|a, b| (a.topic.name(), a.partition).cmp(&(b.topic.name(), b.partition)));
        lags
    }

    /// What a reset would do: of one topic, or of all that the group has committed for; of these partitions, or of all.
    ///
    /// # Errors
    /// [`QueueError::Refused`] with a sentence, [`QueueError::Disk`].
    pub fn plan_reset(
        &self,
        group: &str,
        topic: Option<&str>,
        partitions: Option<&[PartitionId]>,
        to: To,
    ) -> Result<Vec<Move>, QueueError> {
        let committed: BTreeMap<Place, Committed> = self.committed_of(group).into_iter().collect();
        let mut places: Vec<(Arc<Topic>, PartitionId)> = Vec::new();
        match topic {
            Some(name) => {
                let topic = self.topic(name).ok_or_else(|| QueueError::Refused(format!("there is no topic `{name}`")))?;
                places.extend(topic.partitions().iter().map(|partition| (topic.clone(), partition.id())));
            }
            None => {
                let known = committed.keys().filter_map(|(id, number)| Some((self.topic_by_id(*id)?, *number)));
                places.extend(known);
                places.sort_by(|a, b| (a.0.name(), a.1).cmp(&(b.0.name(), b.1)));
            }
        }
        if let Some(wanted) = partitions {
            if let (Some(name), Some(missing)) =
                (topic, wanted.iter().find(|wanted| !places.iter().any(|(_, number)| number == *wanted)))
            {
                return Err(QueueError::Refused(format!("topic `{name}` has no partition {missing}")));
            }
            places.retain(|(_, number)| wanted.contains(number));
        }
        if places.is_empty() {
            return Err(QueueError::Refused(format!("group `{group}` has committed nothing; say of which topic")));
        }
        let mut moves = Vec::with_capacity(places.len());
        for (topic, number) in places {
            let Some(partition) = topic.partition(number) else { continue };
            let from = committed.get(&(topic.id(), number)).map(|committed| committed.offset);
            let (start, end) = (partition.log_start(), partition.high_watermark());
            let to = match to {
                To::Earliest => start,
                To::Latest => end,
                To::Offset(offset) => offset,
                To::Time(ms) => partition.offset_for_timestamp(ms)?.map_or(end, |(offset, _)| offset),
                To::Shift(by) => {
                    let Some(from) = from else {
                        let name = topic.name();
                        let why =
                            format!("group `{group}` has committed nothing for `{name}` {number}, so it cannot be shifted");
                        return Err(QueueError::Refused(why));
                    };
                    from.saturating_add_signed(by)
                }
            };
            moves.push(Move { topic, partition: number, from, to: to.clamp(start, end) });
        }
        Ok(moves)
    }

    /// Carries out a plan, durably. Waits for the disk.
    ///
    /// # Errors
    /// [`CommitError::Group`] while the group has members, or if it is the box's own; [`CommitError::Queue`] from the disk.
    pub fn apply_reset(&self, group: &str, moves: &[Move]) -> Result<(), CommitError> {
        let time_ms = self.shared.clock.now_ns() / 1_000_000;
        let set = |step: &Move| ((step.topic.id(), step.partition), Committed { time_ms, ..Committed::at(step.to) });
        let done = self.coordinator().reset(group, moves.iter().map(set).collect())?;
        done.blocking_recv().unwrap_or(Err(QueueError::Closed))?;
        Ok(())
    }
}
