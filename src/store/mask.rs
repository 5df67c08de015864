//! Masks: which rows of a topic are not to be seen any more, though a part still has them.
//!
//! A mask says of a range of offsets of one partition: only the rows of generation `keep` count (a replay made them anew), or none
//! at all (they were deleted). Masks stand in the commit log; what they add up to is kept here, as disjoint stretches.
//!
//! Invariants: deleted stays deleted, whatever is replayed later; of two replays the later one counts. A part knows up to which
//! mask its rows were swept ([`PartMeta::swept`]): masks up to that one say nothing about it. Sources without a mask of theirs
//! are not wrapped and pay nothing; of those that are, only groups that a stretch touches do.
//! Limits: [`MASKS`] stretches a topic, for new deletions.
//! Why ranges of offsets and not bitmaps a part: merges and flushes go on while a replay runs, and a mask holds for whatever
//! parts there will be.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::StoreError;
use super::commits::PartMeta;
use super::part::envelope::Envelopes;
use super::part::shape::Shapes;
use super::part::split::Split;
use super::source::{Chunk, Column, Counted, Dict, Lineage, Made, Run, Source};
use crate::base::ids::{Generation, Offset, PartitionId, TopicId};
use crate::base::predicate::{Number, Test, Wanted};

/// Most stretches of a topic that a deletion may bring about: they are kept in memory and gone through by who reads.
pub const MASKS: usize = 1_000_000;

/// One mask, as the log has it: `[seq, partition, first, end, keep]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Tuple", into = "Tuple")]
pub struct Mask {
    /// Its number in the topic; a later one has a greater.
    pub seq: u64,
    /// The partition.
    pub partition: PartitionId,
    /// The first offset.
    pub first: Offset,
    /// The offset after the last.
    pub end: Offset,
    /// The generation whose rows are seen; none: deleted for good.
    pub keep: Option<Generation>,
}

type Tuple = (u64, PartitionId, Offset, Offset, Option<Generation>);

impl From<Tuple> for Mask {
    fn from((seq, partition, first, end, keep): Tuple) -> Self {
        Self { seq, partition, first, end, keep }
    }
}

impl From<Mask> for Tuple {
    fn from(mask: Mask) -> Self {
        (mask.seq, mask.partition, mask.first, mask.end, mask.keep)
    }
}

/// What holds from an offset on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stretch {
    end: Offset,
    keep: Option<Generation>,
    seq: u64,
}

/// Stretches of one partition, by their first offset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Stretches {
    by_first: BTreeMap<Offset, Stretch>,
    /// The greatest number of any.
    last: u64,
}

impl Stretches {
    /// Those that touch `[first, end)`, ascending.
    fn touching(&self, first: Offset, end: Offset) -> impl Iterator<Item = (Offset, Stretch)> + '_ {
        let before = self.by_first.range(..first).next_back().filter(|(_, stretch)| stretch.end > first);
        let within = self.by_first.range(first..end.max(first));
        before.into_iter().chain(within).map(|(first, stretch)| (*first, *stretch))
    }

    fn add(&mut self, mask: &Mask) {
        let Mask { seq, first, end, keep, .. } = *mask;
        self.last = self.last.max(seq);
        let old: Vec<_> = self.touching(first, end).collect();
        let mut at = first;
        for (begin, stretch) in old {
            self.by_first.remove(&begin);
            if begin < first {
                self.by_first.insert(begin, Stretch { end: first, ..stretch });
            }
            let (inner, upto) = (begin.max(first), stretch.end.min(end));
            if stretch.keep.is_none() {
                // Deleted stays deleted.
                if at < inner {
                    self.by_first.insert(at, Stretch { end: inner, keep, seq });
                }
                self.by_first.insert(inner, Stretch { end: upto, ..stretch });
                at = upto;
            }
            if stretch.end > end {
                self.by_first.insert(end, stretch);
            }
        }
        if at < end {
            self.by_first.insert(at, Stretch { end, keep, seq });
        }
    }
}

/// Which rows may still come of records that a mask knows already. A deletion is needed as long as the queue or a dead letter may
/// give its record again. A replay's is needed where filters remember: a row that waited in their state has the origin of a
/// record far below the lane's next offset, and comes when the replay has long made another of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToCome {
    /// Where each partition of the queue begins; of those that are not here nobody knows, and masks stay.
    pub starts: BTreeMap<PartitionId, Offset>,
    /// Whether there are dead letters, or rows that are still being made: their records may be older than the queue's.
    pub letters: bool,
}

/// What the masks of a topic add up to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Masks {
    partitions: BTreeMap<PartitionId, Stretches>,
}

impl Masks {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.partitions.is_empty()
    }

    /// How many stretches.
    pub fn len(&self) -> usize {
        self.partitions.values().map(|stretches| stretches.by_first.len()).sum()
    }

    /// The greatest number of any mask; 0 where there is none.
    pub fn last(&self) -> u64 {
        self.partitions.values().map(|stretches| stretches.last).max().unwrap_or(0)
    }

    /// Takes a mask in. Empty ones say nothing.
    pub fn add(&mut self, mask: &Mask) {
        if mask.first < mask.end {
            self.partitions.entry(mask.partition).or_default().add(mask);
        }
    }

    /// Forgets the stretches that begin at these offsets.
    pub fn forget(&mut self, firsts: &[(PartitionId, Offset)]) {
        for (partition, first) in firsts {
            if let Some(stretches) = self.partitions.get_mut(partition) {
                stretches.by_first.remove(first);
            }
        }
        self.partitions.retain(|_, stretches| !stretches.by_first.is_empty());
    }

    /// As masks that add up to the same.
    pub fn all(&self) -> Vec<Mask> {
        let of = |(partition, stretches): (&PartitionId, &Stretches)| {
            let partition = *partition;
            let mask = move |(first, stretch): (&Offset, &Stretch)| Mask {
                seq: stretch.seq,
                partition,
                first: *first,
                end: stretch.end,
                keep: stretch.keep,
            };
            stretches.by_first.iter().map(mask).collect::<Vec<_>>()
        };
        self.partitions.iter().flat_map(of).collect()
    }

    /// Whether rows of this offset are deleted for good.
    pub fn is_gone(&self, partition: PartitionId, offset: Offset) -> bool {
        let Some(stretches) = self.partitions.get(&partition) else { return false };
        stretches.touching(offset, offset.saturating_add(1)).any(|(_, stretch)| stretch.keep.is_none())
    }

    /// Whether any offset of `[first, end)` is deleted for good.
    pub fn any_gone(&self, partition: PartitionId, first: Offset, end: Offset) -> bool {
        let Some(stretches) = self.partitions.get(&partition) else { return false };
        stretches.touching(first, end).any(|(_, stretch)| stretch.keep.is_none())
    }

    /// Whether a mask that is news to a part says something about offsets that it may have.
    pub fn meets(&self, part: &PartMeta) -> bool {
        self.meets_any(part, |_| true)
    }

    /// [`Masks::meets`], of deletions alone.
    pub fn deletes_of(&self, part: &PartMeta) -> bool {
        self.meets_any(part, |stretch| stretch.keep.is_none())
    }

    fn meets_any(&self, part: &PartMeta, which: impl Fn(&Stretch) -> bool) -> bool {
        let news = |stretches: &Stretches| stretches.last > part.swept;
        let is_it = |stretch: &Stretch| stretch.seq > part.swept && which(stretch);
        if part.offsets.is_empty() {
            let mut all = self.partitions.values().filter(|stretches| news(stretches));
            return all.any(|stretches| stretches.by_first.values().any(is_it));
        }
        part.offsets.iter().any(|(partition, first, last)| {
            self.partitions
                .get(partition)
                .filter(|stretches| news(stretches))
                .is_some_and(|stretches| stretches.touching(*first, last.saturating_add(1)).any(|(_, stretch)| is_it(&stretch)))
        })
    }

    /// The stretches that none of these parts needs any more, nor rows that are still to come: as [`ToCome`] tells.
    pub fn unneeded<'p>(
        &self,
        parts: impl Iterator<Item = &'p PartMeta> + Clone,
        to_come: &ToCome,
        remembers: impl Fn(PartitionId) -> bool,
    ) -> Vec<(PartitionId, Offset)> {
        let mut found = Vec::new();
        for (partition, stretches) in &self.partitions {
            // The least number that some part has not been swept of, by place: parts are few beside rows.
            let unswept: Vec<(Offset, Offset, u64)> = parts
                .clone()
                .filter(|part| part.swept < stretches.last)
                .filter_map(|part| {
                    if part.offsets.is_empty() {
                        return Some((0, Offset::MAX, part.swept));
                    }
                    let own = part.offsets.iter().find(|(own, ..)| own == partition)?;
                    Some((own.1, own.2, part.swept))
                })
                .collect();
            let start = to_come.starts.get(partition).copied().unwrap_or(0);
            let remembers = remembers(*partition);
            for (first, stretch) in &stretches.by_first {
                let held = match stretch.keep {
                    None => stretch.end > start || to_come.letters,
                    Some(_) => stretch.end > start && remembers,
                };
                let needs = |(least, greatest, swept): &(Offset, Offset, u64)| {
                    *swept < stretch.seq && *least < stretch.end && *greatest >= *first
                };
                if !held && !unswept.iter().any(needs) {
                    found.push((*partition, *first));
                }
            }
        }
        found
    }
}

/// A source some of whose rows are not to be seen.
#[derive(Debug)]
pub struct Masked {
    inner: Arc<dyn Source>,
    masks: Arc<Masks>,
    swept: u64,
}

impl Masked {
    /// Wraps a source whose rows were swept up to a mask.
    pub fn new(inner: Arc<dyn Source>, masks: Arc<Masks>, swept: u64) -> Self {
        Self { inner, masks, swept }
    }

    /// As [`Source::deleted`].
    ///
    /// # Errors
    /// Damage of what says where rows came from.
    pub fn hidden(&self, group: usize) -> Result<Option<Arc<[u64]>>, StoreError> {
        let rows = self.inner.rows(group);
        let mut words = vec![0u64; rows.div_ceil(64)];
        let mut any = false;
        let mut offsets: Option<Vec<Offset>> = None;
        let mut start = 0;
        for run in self.inner.runs(group)? {
            let end = (start + run.rows).min(rows);
            let Some(stretches) = self.masks.partitions.get(&run.partition) else {
                start = end;
                continue;
            };
            let hides = |stretch: &Stretch| stretch.seq > self.swept && stretch.keep != Some(run.generation);
            let touching = stretches.touching(run.first, run.last.saturating_add(1));
            for (first, stretch) in touching.filter(|(_, stretch)| hides(stretch)) {
                any = true;
                if first <= run.first && stretch.end > run.last {
                    (start..end).for_each(|row| words[row / 64] |= 1 << (row % 64));
                    continue;
                }
                let known = match &mut offsets {
                    Some(known) => known,
                    None => offsets.insert(self.inner.lineage(group)?.offsets),
                };
                // Rows of a run stand in the order of their offsets.
                let own = known.get(start..end).unwrap_or(&[]);
                let from = start + own.partition_point(|offset| *offset < first);
                let upto = start + own.partition_point(|offset| *offset < stretch.end);
                (from..upto).for_each(|row| words[row / 64] |= 1 << (row % 64));
            }
            start = end;
        }
        Ok((any && words.iter().any(|word| *word != 0)).then(|| words.into()))
    }
}

impl Source for Masked {
    fn topic(&self) -> TopicId {
        self.inner.topic()
    }

    fn topic_name(&self) -> Arc<str> {
        self.inner.topic_name()
    }

    fn columns(&self) -> &[Column] {
        self.inner.columns()
    }

    fn groups(&self) -> usize {
        self.inner.groups()
    }

    fn rows(&self, group: usize) -> usize {
        self.inner.rows(group)
    }

    fn is_shut(&self) -> bool {
        self.inner.is_shut()
    }

    fn time_bounds(&self, group: usize) -> (i64, i64) {
        self.inner.time_bounds(group)
    }

    fn times(&self, group: usize) -> Result<Vec<i64>, StoreError> {
        self.inner.times(group)
    }

    fn column(&self, group: usize, column: usize) -> Result<Option<Chunk>, StoreError> {
        self.inner.column(group, column)
    }

    fn bounds(&self, group: usize, column: usize) -> Option<(Number, Number)> {
        self.inner.bounds(group, column)
    }

    fn number_bounds(&self, group: usize, column: usize) -> Option<(i64, i64, u8)> {
        self.inner.number_bounds(group, column)
    }

    fn dict(&self, column: usize) -> Result<Option<Arc<Dict>>, StoreError> {
        self.inner.dict(column)
    }

    // No `dict_counts`, and so no counts of values: they count rows that are not to be seen.

    fn value_counts(&self, _column: usize) -> Result<Option<Counted>, StoreError> {
        Ok(None)
    }

    fn dict_passing(&self, column: usize, test: &Test, wanted: &Wanted) -> Result<Option<Vec<(u32, u64)>>, StoreError> {
        self.inner.dict_passing(column, test, wanted)
    }

    fn lineage(&self, group: usize) -> Result<Lineage, StoreError> {
        self.inner.lineage(group)
    }

    fn runs(&self, group: usize) -> Result<Vec<Run>, StoreError> {
        self.inner.runs(group)
    }

    fn groups_with(&self, column: usize, test: &Test, wanted: &Wanted) -> Result<Option<Vec<u64>>, StoreError> {
        self.inner.groups_with(column, test, wanted)
    }

    fn made_of(&self, column: usize) -> Option<Vec<Vec<Made>>> {
        self.inner.made_of(column)
    }

    fn made(
        &self,
        group: usize,
        column: usize,
        rows: &[u64],
        get: &mut dyn FnMut(usize) -> Option<Chunk>,
    ) -> Result<Option<Chunk>, StoreError> {
        self.inner.made(group, column, rows, get)
    }

    fn shapes(&self, column: usize) -> Result<Option<Arc<Shapes>>, StoreError> {
        self.inner.shapes(column)
    }

    fn split(&self, group: usize, column: usize) -> Result<Option<Split>, StoreError> {
        self.inner.split(group, column)
    }

    fn split_texts(&self, group: usize, column: usize, rows: &[u64]) -> Result<Option<Chunk>, StoreError> {
        self.inner.split_texts(group, column, rows)
    }

    fn check_index(&self) -> Result<(), StoreError> {
        self.inner.check_index()
    }

    fn payload(&self, group: usize) -> Result<Option<Chunk>, StoreError> {
        self.inner.payload(group)
    }

    fn envelopes(&self, group: usize) -> Result<Option<Envelopes>, StoreError> {
        self.inner.envelopes(group)
    }

    fn deleted(&self, group: usize) -> Option<Arc<[u64]>> {
        let hidden = match self.hidden(group) {
            Ok(hidden) => hidden,
            // Which of its rows are to be seen cannot be told: none, rather than one that was deleted.
            Err(_) => Some(vec![u64::MAX; self.inner.rows(group).div_ceil(64)].into()),
        };
        match (hidden, self.inner.deleted(group)) {
            (Some(own), Some(inner)) => Some(own.iter().zip(inner.iter()).map(|(a, b)| a | b).collect()),
            (own, inner) => own.or(inner),
        }
    }
}

/// A memtable's source as it is to be seen: no sweep ever came by it.
pub fn over(source: Arc<dyn Source>, masks: &Arc<Masks>) -> Arc<dyn Source> {
    if masks.is_empty() { source } else { Arc::new(Masked::new(source, masks.clone(), 0)) }
}

/// A part's source as it is to be seen.
pub fn over_part(source: Arc<dyn Source>, part: &PartMeta, masks: &Arc<Masks>) -> Arc<dyn Source> {
    if masks.is_empty() || !masks.meets(part) { source } else { Arc::new(Masked::new(source, masks.clone(), part.swept)) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn damage_is_one_row_at_most() {
        // A mask as people may meet it in the log.
        let mask = Mask { seq: 3, partition: 1, first: 5, end: 9, keep: None };
        assert_eq!(serde_json::to_string(&mask).unwrap(), "[3,1,5,9,null]");
        assert_eq!(serde_json::from_str::<Mask>("[3,1,5,9,7]").unwrap().keep, Some(7));
    }

    proptest! {
        /// Stretches against the plain rule: what is deleted stays so, else the latest mask counts.
        #[test]
        fn add_up(ops in prop::collection::vec((0u64..20, 0u64..12, prop::option::of(0u32..4), any::<bool>()), 0..40)) {
            let mut masks = Masks::default();
            let mut model: BTreeMap<Offset, (Option<Generation>, u64)> = BTreeMap::new();
            for (seq, (first, len, keep, reread)) in (1u64..).zip(ops) {
                masks.add(&Mask { seq, partition: 2, first, end: first + len, keep });
                for offset in first..first + len {
                    let entry = model.entry(offset).or_insert((keep, seq));
                    if entry.0.is_some() {
                        *entry = (keep, seq);
                    }
                }
                if reread {
                    // What a checkpoint writes adds up to the same.
                    let mut again = Masks::default();
                    masks.all().iter().for_each(|mask| again.add(mask));
                    prop_assert_eq!(again.all(), masks.all());
                    masks = again;
                }
            }
            let mut seen = BTreeMap::new();
            for mask in masks.all() {
                for offset in mask.first..mask.end {
                    prop_assert!(seen.insert(offset, (mask.keep, mask.seq)).is_none(), "stretches overlap");
                }
            }
            prop_assert_eq!(&seen, &model);
            for offset in 0..40 {
                prop_assert_eq!(masks.is_gone(2, offset), model.get(&offset).is_some_and(|(keep, _)| keep.is_none()));
                prop_assert!(!masks.is_gone(1, offset));
            }
            for swept in 0..42 {
                for first in 0..33 {
                    let part = PartMeta { offsets: vec![(2, first, first + 2)], swept, ..PartMeta::default() };
                    let expected = (first..=first + 2).any(|offset| model.get(&offset).is_some_and(|(_, seq)| *seq > swept));
                    prop_assert_eq!(masks.meets(&part), expected);
                }
            }
        }
    }
}
