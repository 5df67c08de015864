//! What can go wrong in the queue, by what the caller should do about it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::base::ids::Offset;

/// An error of the queue; each variant is a reaction of the caller's.
#[derive(Clone, Debug, thiserror::Error)]
pub enum QueueError {
    /// There is no room now: stop reading from the sender and try again later.
    #[error("the queue takes nothing now: {0}")]
    Full(&'static str),
    /// It will never be taken as it is: tell the sender what is wrong with it.
    #[error("refused: {0}")]
    Refused(String),
    /// Stored or sent bytes are no valid record batch: set this batch aside and go on behind it.
    #[error("malformed batch: {0}")]
    Malformed(&'static str),
    /// One record of a batch will never be taken: tell the sender which, and why. None of the batch was taken.
    #[error("record {index} of the batch: {reason}")]
    BadRecord {
        /// Its number in the batch, from 0.
        index: u32,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Batches of this producer before this one are missing: it sends those first. Nothing was taken.
    #[error("out of order: batches of this producer before this one are missing")]
    OutOfOrderSequence,
    /// A newer epoch of this producer has written: this one is a zombie and must stop (Kafka's INVALID_PRODUCER_EPOCH).
    #[error("a newer epoch of this producer has written here")]
    ProducerFenced,
    /// These offsets were never there: ask which are.
    #[error("offsets beyond {end} are not there yet")]
    Beyond {
        /// The offset behind the last durable record.
        end: Offset,
    },
    /// It did not become durable (or nobody knows): do not acknowledge; the sender sends it again.
    #[error("not durable: {0}")]
    NotDurable(Arc<io::Error>),
    /// Reading from the disk failed: try again, then tell the operator.
    #[error("disk: {0}")]
    Disk(Arc<io::Error>),
    /// These offsets are gone: go on at `start`.
    #[error("offsets below {start} are deleted")]
    Deleted {
        /// The first offset that is still there.
        start: Offset,
    },
    /// The sender is over a quota that refuses: tell him so, and when to come again. Nothing is wrong with the box.
    #[error("refused: {reason}; come again in {} s", .after.as_secs() + 1)]
    OverQuota {
        /// The sentence.
        reason: Arc<str>,
        /// When one would be taken.
        after: Duration,
    },
    /// The topic was deleted: forget it, or ask for one of its name again.
    #[error("the topic was deleted")]
    Gone,
    /// The queue is shutting down.
    #[error("the queue is closed")]
    Closed,
}

impl QueueError {
    /// A failure of the disk at something that has nothing to lose.
    pub(super) fn disk(error: io::Error) -> Self {
        Self::Disk(Arc::new(error))
    }

    /// A failure on the way to durability; a full disk is its own case.
    pub(super) fn not_durable(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::StorageFull {
            Self::Full("the disk is full")
        } else {
            Self::NotDurable(Arc::new(error))
        }
    }
}
