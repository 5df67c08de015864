//! Offsets by time: by the time that producers gave their records, which Kafka's ListOffsets asks for, and by the time they came.
//!
//! Each segment knows its largest record time, and its index the largest before each entry, so a search opens one segment and
//! reads about 64 KiB of it before it looks into batches; where a time is not known (a mark of an earlier version) it reads.
//! A batch's largest time is what its header says; the record is found by decoding it. Times may go back and forth.

use super::batch::{Header, Scratch, StoredBatch, decode};
use super::error::QueueError;
use super::index::Index;
use super::partition::Partition;
use crate::base::ids::Offset;
use crate::base::record::RecordView;

/// How much is read at a time.
const READ: usize = 256 * 1024;

/// A stretch of offsets, its largest record time, and whether it is a sealed segment.
type Stretch = (Offset, Offset, i64, bool);

impl Partition {
    /// The first record of this time or a later one, milliseconds since 1970, with its time.
    ///
    /// # Errors
    /// [`QueueError::Disk`].
    pub fn offset_for_timestamp(&self, ms: i64) -> Result<Option<(Offset, i64)>, QueueError> {
        let start = self.log_start();
        for (base, next, newest, sealed) in self.stretches() {
            if next > start && newest >= ms {
                let from = self.floor_of_time(base, sealed, |index| index.floor_of_record_time(ms)).max(start);
                if let Some(found) = self.first_at(ms, from, next)? {
                    return Ok(Some(found));
                }
            }
        }
        Ok(None)
    }

    /// The offset of about the first batch that was appended at `ns` or later (not after it): where a replay by time begins.
    pub fn offset_at(&self, ns: i64) -> Offset {
        let place = {
            let view = self.view.read();
            let sealed = view.sealed.get(view.sealed.partition_point(|sealed| sealed.last_ns < ns));
            sealed.map(|sealed| (sealed.base, true)).or(view.tail.as_ref().map(|tail| (tail.base, false)))
        };
        let Some((base, sealed)) = place else { return self.high_watermark() };
        let mut from = self.floor_of_time(base, sealed, |index| index.floor_of_append_time(ns));
        while let Ok(batches) = self.read(from, READ) {
            let Some(last) = batches.last() else { break };
            if let Some(found) = batches.iter().find(|batch| batch.append_ns >= ns) {
                return found.base_offset;
            }
            from = last.next_offset;
        }
        from
    }

    /// The record with the largest time, and that time; the first one of several.
    pub fn max_timestamp(&self) -> Option<(Offset, i64)> {
        let start = self.log_start();
        let mut best: Option<(Offset, i64)> = None;
        for (base, next, newest, _) in self.stretches() {
            let better = |best: Option<(Offset, i64)>, time: i64| best.is_none_or(|(_, known)| time > known);
            if next <= start || !better(best, newest) {
                continue;
            }
            let walked = self.each_batch(base.max(start), next, |header, batch, scratch| {
                if better(best, header.max_timestamp)
                    && let Ok(records) = decode(batch, scratch)
                {
                    for record in &records.records {
                        if record.offset >= start && better(best, record.timestamp_ms) {
                            best = Some((record.offset, record.timestamp_ms));
                        }
                    }
                }
                better(best, newest)
            });
            if walked.is_err() {
                return best;
            }
        }
        best
    }

    /// Segments and the tail, oldest first.
    fn stretches(&self) -> Vec<Stretch> {
        let view = self.view.read();
        let sealed = view.sealed.iter().map(|sealed| (sealed.base, sealed.next, sealed.newest_ms, true));
        let tail = view.tail.iter().map(|tail| (tail.base, self.high_watermark(), tail.newest_ms, false));
        sealed.chain(tail).collect()
    }

    /// What the index of a segment says, or its base.
    fn floor_of_time(&self, base: Offset, sealed: bool, says: impl FnOnce(&Index) -> Option<Offset>) -> Offset {
        let floor = if sealed {
            let mapping = self.shared.files.map(self.key(base), &self.dir);
            mapping.ok().and_then(|mapping| says(&mapping.index.lock()))
        } else {
            self.view.read().tail.as_ref().and_then(|tail| says(&tail.index))
        };
        floor.unwrap_or(base)
    }

    /// The first record from `from` up to `end` with this time or a later one.
    fn first_at(&self, ms: i64, from: Offset, end: Offset) -> Result<Option<(Offset, i64)>, QueueError> {
        let mut found = None;
        self.each_batch(from, end, |header, batch, scratch| {
            if header.max_timestamp >= ms
                && let Ok(records) = decode(batch, scratch)
            {
                let fits = |record: &&RecordView<'_>| record.offset >= from && record.timestamp_ms >= ms;
                found = records.records.iter().find(fits).map(|record| (record.offset, record.timestamp_ms));
            }
            found.is_none()
        })?;
        Ok(found)
    }

    /// Shows each batch from the one with `from` on, until `more` says no. What does not decode was damaged after it was taken:
    /// passed over, here as anywhere.
    fn each_batch(
        &self,
        mut from: Offset,
        end: Offset,
        mut more: impl FnMut(&Header, &StoredBatch, &mut Scratch) -> bool,
    ) -> Result<(), QueueError> {
        let mut scratch = Scratch::new();
        while from < end {
            let batches = self.read(from, READ)?;
            let Some(last) = batches.last() else { break };
            from = last.next_offset;
            for batch in batches.iter().filter(|batch| batch.base_offset < end) {
                let Ok(header) = Header::parse(&batch.bytes) else { continue };
                if !more(&header, batch, &mut scratch) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}
