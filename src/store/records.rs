//! Records made again of the rows that were made of them: their payload is the row's, what was beside it the row's envelope.
//!
//! ```text
//! Store::kept_records ─→ KeptRecords: which groups of which sources have rows of these offsets
//!                           ├─ survey: every row's offset, and whether its record can be made again      no payload is read
//!                           └─ read:   records, in the order of offsets, some at a time
//! ```
//! Invariants: a record is what the queue gave, byte for byte, or it is not made, as where bytes are damaged. Only rows that are seen
//! count, so those of the newest generation; a record that made several rows comes once.
//! Limits: a look holds the offsets of its groups that lie at the same place, and, to read, their payloads; groups overlap where rows
//! of one partition are of several days. [`READ_BYTES`] or [`READ_RECORDS`] at a time.
//! Rows that come later are not in it, nor is what a later mask hides: who takes long looks again.

use std::sync::Arc;

use super::part::envelope::Envelopes;
use super::source::{Chunk, Source};
use super::{Store, StoreError};
use crate::base::ids::{Offset, PartitionId, TopicId};
use crate::base::record::{RecordView, Records};

/// Bytes of payloads that are read at a time, about.
const READ_BYTES: usize = 1024 * 1024;
/// Records likewise.
const READ_RECORDS: usize = 8192;

/// A group that has rows of the offsets that were asked for: none below `first`, none above `last`.
#[derive(Clone, Debug)]
struct Place {
    source: Arc<dyn Source>,
    group: usize,
    first: Offset,
    last: Offset,
}

/// Rows of a partition that records may be made of.
#[derive(Debug)]
pub struct KeptRecords {
    partition: PartitionId,
    /// By their first offset.
    places: Vec<Place>,
    /// How many of them were opened.
    opened: usize,
    open: Vec<Arc<Open>>,
}

/// A row as a survey tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptRow {
    /// Its record's offset.
    pub offset: Offset,
    /// When that arrived, if it can be made again.
    pub arrival_ns: Option<i64>,
}

/// A group to read records of.
#[derive(Debug)]
struct Open {
    last: Offset,
    /// Offsets and rows, ascending.
    rows: Vec<(Offset, usize)>,
    payloads: Option<Chunk>,
    envelopes: Envelopes,
}

/// Some records.
#[derive(Debug)]
pub struct MadeRecords {
    /// The offset after them: below it there are no others.
    pub next: Offset,
    /// Whether there is a row of `next` of which no record can be made.
    pub lacks: bool,
    groups: Vec<Arc<Open>>,
    picks: Vec<Pick>,
}

/// A row to make a record of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Pick {
    offset: Offset,
    lacks: bool,
    group: usize,
    row: usize,
}

impl MadeRecords {
    /// The records.
    pub fn records(&self) -> Records<'_> {
        let mut records = Records::default();
        for Pick { offset, group, row, .. } in self.picks.iter().copied() {
            let Some(open) = self.groups.get(group) else { continue };
            let Some((payload, envelope)) = open.text(row).zip(open.envelopes.at(row)) else { continue };
            let (key, own) = envelope.open();
            let place = |headers: &[(&[u8], &[u8])]| u32::try_from(headers.len()).unwrap_or(u32::MAX);
            let from = place(&records.headers);
            records.headers.extend(own);
            let headers = (from, place(&records.headers));
            let (arrival_ns, timestamp_ms) = (envelope.arrival_ns, envelope.timestamp_ms);
            records.records.push(RecordView { offset, arrival_ns, timestamp_ms, key, payload, headers });
        }
        records
    }
}

impl Open {
    /// The payload of a row. Payloads are texts, which stand where they are.
    fn text(&self, row: usize) -> Option<&[u8]> {
        match self.payloads.as_ref()? {
            Chunk::Text { ends, bytes, present } if present.has(row) => {
                let start = row.checked_sub(1).map_or(Some(&0), |before| ends.get(before))?;
                bytes.get(*start as usize..*ends.get(row)? as usize)
            }
            _ => None,
        }
    }
}

impl Store {
    /// The rows of `[first, end)` of a partition, as they stand, for who makes records of them; `None` where no row of them can have
    /// kept its record.
    ///
    /// # Errors
    /// Damage of what says where rows came from; the disk's.
    pub fn kept_records(
        &self,
        topic: TopicId,
        partition: PartitionId,
        (first, end): (Offset, Offset),
    ) -> Result<Option<KeptRecords>, StoreError> {
        let (mut places, mut any) = (Vec::new(), false);
        let Some(topic) = self.topic(topic) else { return Ok(None) };
        let mut sources = Vec::new();
        topic.state.lock().look(topic.id, (None, None), &mut sources);
        for source in sources {
            for group in 0..source.groups() {
                let runs = source.runs(group)?;
                let own = runs.iter().filter(|run| run.partition == partition && run.first < end && first <= run.last);
                let bounds = own.map(|run| (run.first.max(first), run.last.min(end.saturating_sub(1))));
                if let Some((first, last)) = bounds.reduce(|one, other| (one.0.min(other.0), one.1.max(other.1))) {
                    // Where nothing is kept, which is mostly so, no row is read.
                    any = any || !matches!(source.envelopes(group), Ok(None));
                    places.push(Place { source: source.clone(), group, first, last });
                }
            }
        }
        if !any {
            return Ok(None);
        }
        places.sort_by_key(|place| (place.first, place.last));
        Ok(Some(KeptRecords { partition, places, opened: 0, open: Vec::new() }))
    }
}

/// What is damaged is not kept.
fn unless_damaged<T>(read: Result<Option<T>, StoreError>) -> Result<Option<T>, StoreError> {
    match read {
        Err(StoreError::Damaged { .. }) => Ok(None),
        read => read,
    }
}

/// Offsets and rows of a group that are seen, ascending.
fn rows_of(
    source: &dyn Source,
    group: usize,
    partition: PartitionId,
    (first, end): (Offset, Offset),
) -> Result<Vec<(Offset, usize)>, StoreError> {
    let lineage = source.lineage(group)?;
    let deleted = source.deleted(group);
    let is_seen = |row: usize| {
        let word = deleted.as_ref().and_then(|words| words.get(row / 64));
        lineage.partitions.get(row) == Some(&partition) && word.is_none_or(|word| word >> (row % 64) & 1 == 0)
    };
    let all = lineage.offsets.iter().enumerate().map(|(row, offset)| (*offset, row));
    let mut rows: Vec<_> = all.filter(|(offset, row)| (first..end).contains(offset) && is_seen(*row)).collect();
    rows.sort_unstable();
    Ok(rows)
}

impl KeptRecords {
    /// Gives every row's record once, in the order of offsets. What is damaged of payloads cannot be made again.
    ///
    /// # Errors
    /// Damage of what says where rows came from; the disk's.
    pub fn survey(&self, each: &mut dyn FnMut(KeptRow)) -> Result<(), StoreError> {
        // Rows of groups that lie at the same place.
        let mut waiting: Vec<KeptRow> = Vec::new();
        for (at, place) in self.places.iter().enumerate() {
            let rows = rows_of(&*place.source, place.group, self.partition, (place.first, place.last + 1))?;
            let envelopes = unless_damaged(place.source.envelopes(place.group))?.unwrap_or_default();
            let told =
                |(offset, row): (Offset, usize)| KeptRow { offset, arrival_ns: envelopes.at(row).map(|of| of.arrival_ns) };
            waiting.extend(rows.into_iter().map(told));
            waiting.sort_by_key(|told| (told.offset, told.arrival_ns.is_none()));
            // One of several rows of a record is enough.
            waiting.dedup_by_key(|told| told.offset);
            let bound = self.places.get(at + 1).map_or(Offset::MAX, |next| next.first);
            let ready = waiting.partition_point(|told| told.offset < bound);
            waiting.drain(..ready).for_each(&mut *each);
        }
        Ok(())
    }

    /// Records from an offset on, which must not be below the one before: those up to [`MadeRecords::next`], which is `until` at most.
    ///
    /// # Errors
    /// As [`KeptRecords::survey`].
    pub fn read(&mut self, from: Offset, until: Offset) -> Result<MadeRecords, StoreError> {
        self.open.retain(|open| open.last >= from);
        while let Some(place) = self.places.get(self.opened).filter(|place| place.first <= from) {
            if place.last >= from {
                let rows = rows_of(&*place.source, place.group, self.partition, (place.first, place.last + 1))?;
                let payloads = unless_damaged(place.source.payload(place.group))?;
                let envelopes = unless_damaged(place.source.envelopes(place.group))?.unwrap_or_default();
                self.open.push(Arc::new(Open { last: place.last, rows, payloads, envelopes }));
            }
            self.opened += 1;
        }
        // Groups that begin further on are opened when that is read.
        let bound = self.places.get(self.opened).map_or(until, |place| place.first.min(until));
        let mut picks: Vec<Pick> = Vec::new();
        for (group, open) in self.open.iter().enumerate() {
            let start = open.rows.partition_point(|(offset, _)| *offset < from);
            let own = open.rows.get(start..).unwrap_or(&[]).iter().take_while(|(offset, _)| *offset < bound);
            let pick = |(offset, row): &(Offset, usize)| Pick {
                offset: *offset,
                lacks: open.text(*row).is_none() || open.envelopes.at(*row).is_none(),
                group,
                row: *row,
            };
            picks.extend(own.map(pick));
        }
        picks.sort_unstable();
        // One of several rows of a record is enough.
        picks.dedup_by_key(|pick| pick.offset);
        let mut bytes = 0usize;
        let full = picks.iter().enumerate().position(|(at, pick)| {
            let is_full = pick.lacks || at >= READ_RECORDS || bytes >= READ_BYTES;
            bytes += self.open.get(pick.group).and_then(|open| open.text(pick.row)).map_or(0, <[u8]>::len);
            is_full
        });
        let last = full.and_then(|at| picks.get(at).copied());
        picks.truncate(full.unwrap_or(picks.len()));
        let (next, lacks) = last.map_or((bound, false), |pick| (pick.offset, pick.lacks));
        Ok(MadeRecords { next, lacks, groups: self.open.clone(), picks })
    }
}
