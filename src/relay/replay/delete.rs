//! Rows deleted because a person may not keep them: now, and whatever is made of their records again.
//!
//! Invariants: durable when it is answered; queries, lanes that make rows again after a crash, and replays leave them out from then on.
//! The records' bytes go by themselves: from the store when the parts are written anew, from the queue and the dead letters when
//! their retention ends; the answer says when that is at the latest.

use serde::Serialize;

use crate::queue::Topic;
use crate::relay::history::{Range, joined};
use crate::relay::verdicts::DEAD_PREFIX;
use crate::relay::{Relay, RelayError};

/// What was deleted, and what of it is still on the disk for how long.
#[derive(Clone, Debug, Serialize)]
pub struct Deleted {
    /// Offsets whose rows are gone.
    pub offsets: u64,
    /// How many stretches of offsets they are.
    pub ranges: usize,
    /// Until when the queue keeps the records' bytes, at the latest; nanoseconds since 1970. None: for as long as its bytes allow.
    pub queue_until_ns: Option<i64>,
    /// Until when dead letters may have them; none where the topic has none, or they are kept for as long as bytes allow.
    pub dead_letters_until_ns: Option<i64>,
    /// Whether the topic has dead letters.
    pub has_dead_letters: bool,
    /// What there is to do beside.
    pub note: String,
}

impl Relay {
    /// Deletes the rows of these offsets for good.
    ///
    /// # Errors
    /// [`RelayError::NoTopic`]; [`RelayError::Config`] where an offset was never given away; the store's.
    pub fn delete_rows(&self, topic: &str, ranges: &[Range]) -> Result<Deleted, RelayError> {
        let shared = self.shared();
        let found = shared.queue.topic(topic).ok_or_else(|| RelayError::NoTopic(topic.to_owned()))?;
        for range in ranges {
            let Some(partition) = found.partition(range.partition) else {
                return Err(RelayError::Config(format!("topic `{topic}` has no partition {}", range.partition)));
            };
            if range.end > partition.high_watermark() || range.is_empty() {
                return Err(RelayError::Config(format!(
                    "partition {} of `{topic}` ends at offset {}: {} to {} are not there",
                    range.partition,
                    partition.high_watermark(),
                    range.first,
                    range.end
                )));
            }
        }
        let joined = joined(ranges.iter().map(|range| (range.partition, range.first, range.end)).collect());
        shared.store.delete_rows(found.id(), topic, &joined)?;
        let offsets = joined.iter().map(|(_, first, end)| end - first).sum();
        tracing::info!(topic, offsets, "rows deleted, as asked");
        let now = shared.clock.now_ns();
        let until = |topic: &Topic| {
            let retention = topic.settings().retention.unwrap_or(shared.queue.config().retention);
            // A segment goes when its newest record is that old; it is sealed after an eighth of that.
            now.checked_add(retention.as_ns())?.checked_add(retention.as_ns() / 8)
        };
        let dead = shared.queue.topic(&format!("{DEAD_PREFIX}{topic}"));
        Ok(Deleted {
            offsets,
            ranges: joined.len(),
            queue_until_ns: until(&found),
            dead_letters_until_ns: dead.as_deref().and_then(until),
            has_dead_letters: dead.is_some(),
            note: format!(
                "Queries no longer show them. The store's files are written anew without them soon; `sawbox topic trim {topic}` deletes the oldest records from the queue at once. Topics and outputs that they were sent to, and backups, have their own copies."
            ),
        })
    }
}
