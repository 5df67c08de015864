//! Deleting the records before an offset, because a user said so.
//!
//! The offset becomes the log's start at once, though it may lie inside a segment or a batch: reads begin at the batch that holds
//! it (a reader drops what is below, as Kafka's clients do), and whole segments below it go with the keeper's next round, wanted
//! or not. What no lane had handled yet is counted as lost.
//! Crash story: the start is durable in a mark (`checkpoint.rs`) before anybody sees it. If writing that fails, the records stay;
//! but the entry may be on the disk after all, and count after a crash, unless a later mark follows.
//! A file whose records all are deleted is left for a new one, so that its bytes go too.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::error::QueueError;
use super::partition::Partition;
use crate::base::ids::Offset;

impl Partition {
    /// Deletes the records below `before`, durably, and gives the log's start, which never goes back. Waits for the disk.
    ///
    /// # Errors
    /// [`QueueError::Beyond`] if there is no such offset yet; [`QueueError::Gone`] if the topic was deleted; [`QueueError::NotDurable`] or [`QueueError::Full`] from the disk.
    pub fn delete_records(self: &Arc<Self>, before: Offset) -> Result<Offset, QueueError> {
        let mut checkpoints = self.shared.checkpoints.lock();
        let (start, end) = (self.log_start(), self.high_watermark());
        if before > end {
            return Err(QueueError::Beyond { end });
        }
        if before <= start {
            return Ok(start);
        }
        let mut log = self.log.lock();
        if self.is_gone() {
            return Err(QueueError::Gone);
        }
        self.sync_written(&mut log).map_err(QueueError::not_durable)?;
        if before == log.next {
            let rolled = self.seal(&mut log).and_then(|()| match log.active {
                None => self.begin_segment(&mut log).map(|_| ()),
                Some(_) => Ok(()),
            });
            if let Err(error) = rolled {
                tracing::warn!(topic = %self.topic_name, partition = self.number, %error, "no new segment; the old one stays a while");
            }
        }
        let (mut mark, unchecked) = (self.mark(&log), log.unchecked);
        // Nobody appends here meanwhile; but the disk may take its time.
        drop(log);
        mark.start = before;
        let next = mark.next;
        if let Err(error) = checkpoints.append(mark) {
            // The keeper writes the journal anew.
            self.shared.gauges.sealed.store(true, Ordering::Relaxed);
            return Err(QueueError::not_durable(error));
        }
        self.covered(next, unchecked);
        self.start.fetch_max(before, Ordering::AcqRel);
        // Nobody was to handle what is not stored.
        let lost = if self.settings.load().store { before.saturating_sub(start.max(self.committed())) } else { 0 };
        self.shared.gauges.lost_records.fetch_add(lost, Ordering::Relaxed);
        tracing::info!(topic = %self.topic_name, partition = self.number, from = start, to = before, unhandled = lost,
            "records deleted, as asked");
        Ok(before)
    }
}
