//! Replays of what the queue has no longer: records are made again of the rows that kept them.
//!
//! A row whose payload is kept (`keep_payload`) has all that its record was, byte for byte ([`KeptRecords`]). So where the queue's
//! retention is over, before a replay or while it runs, or a batch is damaged, the work goes on with records of rows. They are all
//! there is: a record that was dropped, only routed elsewhere, or buried left no row and does not come back; it had no row before
//! either.
//! Invariants: ranges cover only stretches in which every row's record can be made again; other rows stay exactly as they are, and are
//! counted. None lies where rows may be made of several records, by the generation that is there, and **filters that remember** get
//! nothing of the past: they would miss what was dropped.
//! Limits: the [`PIECES`] largest stretches of a partition, or of what was lost at once while a replay ran.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use crate::base::ids::{Offset, PartitionId};
use crate::relay::RelayError;
use crate::relay::generations::Generations;
use crate::relay::history::Range;
use crate::relay::replay::PIECES;
use crate::relay::replay::job::Job;
use crate::relay::replay::whole::Joining;
use crate::relay::shared::Shared;
use crate::store::{KeptRecords, StoreError};

/// What a replay would do past the queue's retention.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Past {
    /// What it would make anew of rows that kept their records.
    pub ranges: Vec<Range>,
    /// Records of these rows.
    pub records: u64,
    /// Rows that were asked for and stay as they are.
    pub rows_left: u64,
    /// What there is to know, in words.
    pub notes: Vec<String>,
}

/// Records that follow each other without a row that lacks its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Stretch {
    pub(super) records: u64,
    /// The offset behind the last row that is not in it, and that of the next such row.
    pub(super) begin: Offset,
    pub(super) end: Offset,
    /// Its first and last record.
    first: Offset,
    last: Offset,
}

/// Stretches as they are found, the largest few of them kept.
struct Stretches {
    most: usize,
    begin: Offset,
    end: Offset,
    open: Option<Stretch>,
    largest: BinaryHeap<Reverse<Stretch>>,
    /// Records of stretches that were not.
    left: u64,
}

impl Stretches {
    fn new((begin, end): (Offset, Offset), most: usize) -> Self {
        Self { most, begin, end, open: None, largest: BinaryHeap::new(), left: 0 }
    }

    fn record(&mut self, offset: Offset) {
        let (begin, end) = (self.begin, self.end);
        let open = self.open.get_or_insert(Stretch { records: 0, begin, end, first: offset, last: offset });
        open.records += 1;
        open.last = offset;
    }

    /// What lies from here on is another one, which begins at `next`.
    fn cut(&mut self, at: Offset, next: Offset) {
        if let Some(open) = self.open.take() {
            self.largest.push(Reverse(Stretch { end: at, ..open }));
            if self.largest.len() > self.most {
                self.left += self.largest.pop().map_or(0, |Reverse(least)| least.records);
            }
        }
        self.begin = next;
    }

    /// The largest, in order; and how many records the others had.
    fn all(mut self) -> (Vec<Stretch>, u64) {
        self.cut(self.end, self.end);
        let mut all: Vec<Stretch> = self.largest.into_iter().map(|Reverse(stretch)| stretch).collect();
        all.sort_by_key(|stretch| stretch.begin);
        (all, self.left)
    }
}

/// Of a partition's offsets, of which the queue has none any more, what can be made anew.
#[derive(Default)]
pub(super) struct Looked {
    /// The records, if any can be made again.
    kept: Option<KeptRecords>,
    stretches: Vec<Stretch>,
    /// Records that lie in more stretches than there may be.
    crowded: u64,
    /// Rows whose record was not kept.
    lacking: u64,
    /// Rows of generations whose rows may be made of several records.
    joined: u64,
}

/// Looks for stretches of `range`: of records that arrived in `[from, to)`, where that is said. Also gives what was looked at, in which
/// rows that arrived before or later are not.
pub(super) fn look(
    shared: &Shared,
    generations: &Generations,
    joining: &Joining,
    range: Range,
    arrived: (Option<i64>, Option<i64>),
) -> Result<(Looked, Range), RelayError> {
    let mut looked = Looked::default();
    let Some(kept) = shared.store.kept_records(generations.topic, range.partition, (range.first, range.end))? else {
        return Ok((looked, range));
    };
    let barred = barred(shared, generations, joining, range)?;
    let mut range = range;
    if arrived != (None, None) {
        // Offsets follow arrivals.
        kept.survey(&mut |told| {
            let Some(arrival_ns) = told.arrival_ns else { return };
            if arrived.0.is_some_and(|from| arrival_ns < from) {
                range.first = range.first.max(told.offset + 1);
            }
            if arrived.1.is_some_and(|to| arrival_ns >= to) {
                range.end = range.end.min(told.offset);
            }
        })?;
        range.first = range.first.min(range.end);
    }
    let mut stretches = Stretches::new((range.first, range.end), PIECES);
    let mut bars = barred.into_iter().peekable();
    kept.survey(&mut |told| {
        if !(range.first..range.end).contains(&told.offset) {
            return;
        }
        while let Some((first, end)) = bars.next_if(|(_, end)| *end <= told.offset) {
            stretches.cut(first.max(stretches.begin), end);
        }
        if let Some((first, end)) = bars.peek().copied().filter(|(first, _)| *first <= told.offset) {
            stretches.cut(first.max(stretches.begin), end);
            looked.joined += 1;
        } else if told.arrival_ns.is_none() {
            stretches.cut(told.offset, told.offset + 1);
            looked.lacking += 1;
        } else {
            stretches.record(told.offset);
        }
    })?;
    bars.for_each(|(first, end)| stretches.cut(first.max(stretches.begin), end));
    (looked.stretches, looked.crowded) = stretches.all();
    looked.kept = Some(kept);
    Ok((looked, range))
}

/// Offsets of generations whose rows may be made of several records.
fn barred(
    shared: &Shared,
    generations: &Generations,
    joining: &Joining,
    range: Range,
) -> Result<Vec<(Offset, Offset)>, RelayError> {
    let (mut all, mut at) = (Vec::new(), range.first);
    while at < range.end
        && let Some(handled) = generations.around(range.partition, at)
    {
        let next = generations.next_bound(range.partition, at).unwrap_or(range.end).min(range.end);
        if joining.of(shared, &handled)?.is_some() {
            all.push((at, next));
        }
        at = next;
    }
    Ok(all)
}

impl Past {
    /// Adds what was found of a partition.
    pub(super) fn add(&mut self, partition: PartitionId, looked: &Looked) {
        for stretch in &looked.stretches {
            self.ranges.push(Range { partition, first: stretch.first, end: stretch.last + 1 });
            self.records += stretch.records;
        }
        self.rows_left += looked.crowded + looked.lacking + looked.joined;
        let told = [
            (looked.lacking, "rows did not keep their record (`topics.NAME.keep_payload`, or an older Sawbox wrote them)"),
            (looked.joined, "rows are of a chain that makes rows of several records"),
            (looked.crowded, "records lie in too many stretches between rows that cannot be made anew: the largest are taken"),
        ];
        let told = told.into_iter().filter(|(count, _)| *count > 0);
        self.notes.extend(told.map(|(count, why)| format!("partition {partition}: {count} {why}")));
    }

    /// What is said once where something is asked that the queue has no longer.
    pub(super) fn end(&mut self) {
        if self.ranges.is_empty() {
            self.notes.push("of what the queue has no longer, nothing can be made anew: its rows stay as they are".to_owned());
            return;
        }
        self.notes.push(
            "records that filters had dropped, only routed elsewhere, or that became dead letters left no row: past the queue's \
             retention they do not come back"
                .to_owned(),
        );
        self.notes.push(
            "these rows are the last that is left of their records: what the chain drops now, or fails on, is gone for good"
                .to_owned(),
        );
    }
}

/// What a work is at, where the queue has a gap.
pub(super) struct AtPast {
    /// The gap's end.
    pub(super) until: Offset,
    pub(super) kept: Option<KeptRecords>,
    /// What is left to do of it.
    pub(super) stretches: VecDeque<Stretch>,
}

impl AtPast {
    /// Looks at a gap.
    pub(super) fn new(shared: &Shared, job: &Job, gap: Range) -> Result<Self, RelayError> {
        match look(shared, &job.generations, &job.joining, gap, (None, None)) {
            Ok((Looked { kept, stretches, .. }, _)) => Ok(Self { until: gap.end, kept, stretches: stretches.into() }),
            Err(RelayError::Store(error @ StoreError::Damaged { .. })) => {
                tracing::warn!(topic = %job.generations.name, replay = job.id, %error, "rows stay as they are");
                Ok(Self { until: gap.end, kept: None, stretches: VecDeque::new() })
            }
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_stretches_are_taken() {
        let found = |rows: &str, most| {
            let mut stretches = Stretches::new((10, 10 + rows.len() as u64), most);
            for (offset, row) in (10..).zip(rows.bytes()) {
                match row {
                    b'r' => stretches.record(offset),
                    b'x' => stretches.cut(offset, offset + 1),
                    _ => {}
                }
            }
            let (all, left) = stretches.all();
            (all.iter().map(|one| (one.begin, one.first, one.last, one.end, one.records)).collect::<Vec<_>>(), left)
        };
        assert_eq!(found("", 3), (vec![], 0));
        assert_eq!(found(" xx x", 3), (vec![], 0));
        assert_eq!(found(" rr r ", 3), (vec![(10, 11, 14, 16, 3)], 0));
        assert_eq!(found("rxrr rx rr", 2), (vec![(12, 12, 15, 16, 3), (17, 18, 19, 20, 2)], 1));
        assert_eq!(found("rxrxr", 1).1, 2);
    }
}
