//! Reading a partition's retained records again: what trial, replay, explain and retry have in common.
//!
//! ```text
//! History::read → Stretch (about 1 MiB of batches) → each batch, decoded → calls(): codec and chain, cut as a lane cuts
//! ```
//! Invariants: calls are cut from the log alone, as a lane cuts them (`cut.rs`): a chain sees the same calls as live, however often
//! it is run. Nothing is read above the watermark; what cannot be read (damage, deleted) is told as a gap, never passed over in
//! silence. Who reads history works on a thread of his own that lets lanes go first ([`Manners`]).
//! Limits: a stretch is [`READ_BYTES`] as it lies in the queue, or one batch.
//! Nothing here is durable.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::base::ids::{Offset, PartitionId};
use crate::base::record::Records;
use crate::queue::batch::{self, Scratch, StoredBatch};
use crate::queue::{Partition, QueueError, Topic};
use crate::relay::RelayError;
use crate::relay::codec::{NotNow, Pending, Ran};
use crate::relay::cut::cut;
use crate::relay::generations::Ready;
use crate::relay::shared::Shared;
use crate::sandbox::{Arena, Expired, State};
use crate::store::mask::Masks;

/// Bytes of batches that are read at a time.
const READ_BYTES: usize = 1024 * 1024;
/// How long one waits at most for lanes that have something to do, before each stretch: slow, but never for ever.
const YIELD: Duration = Duration::from_millis(20);
const LOOK: Duration = Duration::from_millis(1);

/// Offsets of one partition, `[first, end)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Range {
    /// The partition.
    pub partition: PartitionId,
    /// Its first offset.
    pub first: Offset,
    /// The offset after the last.
    pub end: Offset,
}

impl Range {
    /// How many offsets.
    pub fn len(&self) -> u64 {
        self.end.saturating_sub(self.first)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Which records of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// All that are retained.
    All,
    /// About the last so many that the queue retains, of all partitions together.
    Last(u64),
    /// Those that arrived in `[from, to)`, nanoseconds since 1970.
    Arrived(Option<i64>, Option<i64>),
    /// These.
    Offsets(Vec<Range>),
}

/// How far back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// To what the queue retains.
    Retained,
    /// To the beginning: what arrived when below the queue's first record is not known here.
    Past,
}

/// The ranges of a topic that hold these records, one a partition at most but for [`Which::Offsets`], which stay as they are said;
/// empty ones are left out. Times are those of batches: a range holds whole batches, never fewer.
pub(crate) fn ranges(topic: &Topic, which: &Which, partitions: Option<&[PartitionId]>, reach: Reach) -> Vec<Range> {
    let wanted = |partition: &Arc<Partition>| partitions.is_none_or(|some| some.contains(&partition.id()));
    let chosen: Vec<_> = topic.partitions().into_iter().filter(wanted).collect();
    let least = |p: &Arc<Partition>| if reach == Reach::Past { 0 } else { p.log_start() };
    let whole = |p: &Arc<Partition>| Range { partition: p.id(), first: least(p), end: p.high_watermark() };
    let mut ranges: Vec<Range> = match which {
        Which::All => chosen.iter().map(whole).collect(),
        // Of those that are sure to be there.
        Which::Last(count) => {
            let retained = |p: &Arc<Partition>| Range { first: p.log_start(), ..whole(p) };
            last(chosen.iter().map(retained).collect(), *count)
        }
        Which::Arrived(from, to) => {
            let of = |p: &Arc<Partition>| {
                let (Range { partition, first, end }, start) = (whole(p), p.log_start());
                let is_behind = |ns: &i64| p.offset_at(*ns) > start;
                let first = from.filter(is_behind).map_or(first, |ns| p.offset_at(ns).clamp(first, end));
                Range { partition, first, end: to.map_or(end, |ns| p.offset_at(ns).clamp(first.max(start), end)) }
            };
            chosen.iter().map(of).collect()
        }
        Which::Offsets(ranges) => {
            ranges.iter().filter(|range| chosen.iter().any(|p| p.id() == range.partition)).copied().collect()
        }
    };
    ranges.retain(|range| !range.is_empty());
    ranges
}

/// The ends of these ranges with `count` offsets in all: evenly, and what one lacks the others give.
fn last(mut ranges: Vec<Range>, count: u64) -> Vec<Range> {
    ranges.sort_by_key(Range::len);
    let mut left = count;
    let mut others = ranges.len() as u64;
    for range in &mut ranges {
        let take = range.len().min(left.div_ceil(others.max(1)));
        range.first = range.end - take;
        left -= take;
        others -= 1;
    }
    ranges.sort_by_key(|range| range.partition);
    ranges
}

/// Ranges in order, those that touch as one.
pub(crate) fn joined(mut all: Vec<(PartitionId, Offset, Offset)>) -> Vec<(PartitionId, Offset, Offset)> {
    all.sort_unstable();
    all.dedup_by(|next, last| {
        let touches = next.0 == last.0 && next.1 <= last.2;
        if touches {
            last.2 = last.2.max(next.2);
        }
        touches
    });
    all
}

/// A partition's retained batches of a range, in order.
pub(crate) struct History {
    partition: Arc<Partition>,
    at: Offset,
    end: Offset,
}

/// What was read at once.
pub(crate) struct Stretch {
    /// Offsets before the first batch that cannot be read: below the log's start, or damaged.
    pub(crate) gap: Option<(Offset, Offset)>,
    /// Batches; the first may begin, and the last may end, outside the range.
    pub(crate) batches: Vec<StoredBatch>,
}

impl History {
    /// Of `[first, end)`; what lies above the watermark is left out.
    pub(crate) fn new(partition: &Arc<Partition>, first: Offset, end: Offset) -> Self {
        Self { partition: partition.clone(), at: first, end: end.min(partition.high_watermark()) }
    }

    /// Where it goes on.
    pub(crate) fn at(&self) -> Offset {
        self.at
    }

    /// Reads on; `None` at the end. Every offset of the range is in exactly one stretch, as a gap or within a batch.
    ///
    /// # Errors
    /// [`QueueError::Disk`]; [`QueueError::Gone`] once the topic is deleted.
    pub(crate) fn read(&mut self) -> Result<Option<Stretch>, QueueError> {
        if self.at >= self.end {
            return Ok(None);
        }
        let from = self.at;
        let mut batches = match self.partition.read(from, READ_BYTES) {
            Err(QueueError::Deleted { start }) => {
                self.at = start.clamp(from + 1, self.end);
                return Ok(Some(Stretch { gap: Some((from, self.at)), batches: Vec::new() }));
            }
            other => other?,
        };
        batches.retain(|batch| batch.base_offset < self.end && batch.next_offset > from);
        // What is broken in between is the next stretch's gap.
        let whole = batches.windows(2).position(|pair| pair[0].next_offset != pair[1].base_offset);
        batches.truncate(whole.map_or(batches.len(), |last| last + 1));
        let (first, next) = match (batches.first(), batches.last()) {
            // Below the log's start records are deleted, though their batch may still be there.
            (Some(first), Some(last)) => {
                (first.base_offset.max(from).max(self.partition.log_start().min(self.end)), last.next_offset)
            }
            // Nothing readable to the end.
            _ => (self.end, self.end),
        };
        self.at = next.min(self.end);
        batches.retain(|batch| batch.next_offset > first);
        Ok(Some(Stretch { gap: (first > from).then_some((from, first)), batches }))
    }
}

/// Decodes a batch; `None` where it is damaged since it was taken.
pub(crate) fn decode<'a>(stored: &'a StoredBatch, scratch: &'a mut Scratch) -> Option<Records<'a>> {
    batch::decode(stored, scratch).ok()
}

/// Takes out the records that were deleted for good: no chain is given them again, since a row made of several records would have
/// what they said. Those of `[from, until)` come back.
pub(crate) fn without_gone(
    records: &mut Records<'_>,
    (partition, masks): (PartitionId, Option<&Masks>),
    (from, until): (Offset, Offset),
) -> Vec<Offset> {
    let Some(masks) = masks.filter(|masks| masks.any_gone(partition, from, until)) else { return Vec::new() };
    let mut gone = Vec::new();
    records.records.retain(|record| {
        let is_gone = (from..until).contains(&record.offset) && masks.is_gone(partition, record.offset);
        gone.extend(is_gone.then_some(record.offset));
        !is_gone
    });
    gone
}

/// Runs a codec and chain over `[from, until)` of a decoded batch, call by call as a lane would, and gives each call with the
/// offset after it. What waited in the keyed state until a call's records arrived comes before it, as a call of its own whose
/// records are what the filters had held; the offset after that is where the call begins. Ends early where `each` says so.
///
/// # Errors
/// [`NotNow`] where a schema is not known yet: what came before was given.
pub(crate) fn calls<'b>(
    records: &Records<'b>,
    (from, until): (Offset, Offset),
    ready: &Ready,
    arena: &'b Arena,
    documents: &mut Vec<u8>,
    state: &mut State,
    mut each: impl FnMut(Ran<'b>, Offset) -> bool,
) -> Result<(), NotNow> {
    let mut at = from;
    while at < until {
        let (call, mut next) = cut(records, at, until);
        let given = call.records.len();
        if let Some(first) = call.records.first()
            && !expire(first.arrival_ns, ready, arena, state, |ran| each(ran, at))
        {
            break;
        }
        let ran = ready.codec.run(&ready.chain, call, arena, documents, state)?;
        if ran.call.records.len() < given {
            // Its documents were many: the rest is the next call.
            let first = records.records.partition_point(|record| record.offset < at);
            next = records.records.get(first + ran.call.records.len()).map_or(next, |left| left.offset);
        }
        at = next;
        if !each(ran, next) {
            break;
        }
    }
    Ok(())
}

/// Gives filters back what waited in their state until `now_ns` (`i64::MAX`: all of it, as at another generation's first offset).
/// False where `each` says that it is enough.
pub(crate) fn expire<'b>(
    now_ns: i64,
    ready: &Ready,
    arena: &'b Arena,
    state: &mut State,
    mut each: impl FnMut(Ran<'b>) -> bool,
) -> bool {
    while let Some(Expired { records, output, .. }) = ready.chain.expire(now_ns, arena, state) {
        if !each(Ran { call: records, output, undecoded: 0, bytes: 0 }) {
            return false;
        }
    }
    true
}

/// How a thread that reads history behaves towards live lanes.
pub(crate) struct Manners<'s> {
    shared: &'s Shared,
    stop: &'s AtomicBool,
}

impl<'s> Manners<'s> {
    /// For work that ends when `stop` is set, or the relay stops.
    pub(crate) fn new(shared: &'s Shared, stop: &'s AtomicBool) -> Self {
        Self { shared, stop }
    }

    /// Whether to end.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire) || self.shared.pool.is_stopped()
    }

    /// Waits a moment while lanes have something to do. To be called between calls or stretches.
    ///
    /// # Errors
    /// [`RelayError::Closed`] when it is to end.
    pub(crate) fn give_way(&self) -> Result<(), RelayError> {
        let mut looks = YIELD.as_micros() / LOOK.as_micros();
        while looks > 0 && !self.is_stopped() && self.shared.pool.is_busy() {
            std::thread::sleep(LOOK);
            looks -= 1;
        }
        if self.is_stopped() { Err(RelayError::Closed) } else { Ok(()) }
    }

    /// Sleeps, but not past the end.
    ///
    /// # Errors
    /// [`RelayError::Closed`] when it is to end.
    pub(crate) fn pause(&self, time: Duration) -> Result<(), RelayError> {
        let mut left = time;
        while !left.is_zero() {
            if self.is_stopped() {
                return Err(RelayError::Closed);
            }
            let step = left.min(Duration::from_millis(50));
            std::thread::sleep(step);
            left -= step;
        }
        Ok(())
    }

    /// Has a schema asked for, and waits a while for it; then the caller tries again.
    ///
    /// # Errors
    /// [`RelayError::Schemas`] where it cannot be asked for, [`RelayError::Closed`] when it is to end.
    pub(crate) fn wait_for(&self, pending: &Pending) -> Result<(), RelayError> {
        let registries = &self.shared.registries;
        registries.ask(&pending.place, std::task::Waker::noop()).map_err(RelayError::Schemas)?;
        for _ in 0..20 {
            self.pause(Duration::from_millis(50))?;
            if !registries.is_waiting(&pending.place) {
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_become_one() {
        for (ranges, expected) in [
            (&[][..], &[][..]),
            (&[(0, 5, 6), (0, 3, 4)], &[(0, 3, 4), (0, 5, 6)]),
            (&[(0, 5, 6), (0, 6, 7), (1, 7, 8)], &[(0, 5, 7), (1, 7, 8)]),
            (&[(0, 1, 9), (0, 2, 3), (0, 9, 10)], &[(0, 1, 10)]),
            (&[(1, 4, 5), (0, 7, 8), (0, 6, 7), (0, 9, 10)], &[(0, 6, 8), (0, 9, 10), (1, 4, 5)]),
        ] {
            assert_eq!(joined(ranges.to_vec()), expected);
        }
    }

    #[test]
    fn the_last_records_are_taken_evenly() {
        let ranges = |all: &[(u64, u64)]| {
            let each = (0u32..).zip(all).map(|(partition, (first, end))| Range { partition, first: *first, end: *end });
            each.collect::<Vec<_>>()
        };
        for (all, count, expected) in [
            (&[(0, 10), (0, 10)][..], 6, &[(7, 10), (7, 10)][..]),
            (&[(0, 10), (5, 6)], 6, &[(5, 10), (5, 6)]),
            (&[(0, 10), (5, 6)], 100, &[(0, 10), (5, 6)]),
            (&[(3, 10)], 2, &[(8, 10)]),
            (&[(0, 10), (0, 10), (0, 1)], 4, &[(9, 10), (8, 10), (0, 1)]),
            (&[(7, 7), (0, 10)], 3, &[(7, 7), (7, 10)]),
            (&[], 3, &[]),
        ] {
            let got = last(ranges(all), count);
            assert_eq!(
                got.iter().map(Range::len).sum::<u64>(),
                ranges(expected).iter().map(Range::len).sum::<u64>(),
                "{all:?} {count}"
            );
            assert!(got.iter().zip(ranges(all)).all(|(range, whole)| range.end == whole.end && range.first >= whole.first));
            if all.len() < 3 {
                assert_eq!(got, ranges(expected), "{all:?} {count}");
            }
        }
    }
}
