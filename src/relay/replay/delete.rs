//! Rows deleted because a person may not keep them: now, and whatever is made of their records again.
//!
//! A row made of several records goes as a whole, with all of them: whichever was named, none comes back in another row.
//! Which row a line was part of that the queue has no longer is not known: such a row goes by its own offset, or by a query.
//! Rows are named by the **id** of their topic: they stay when it is deleted, and another of its name may have come since. Of rows of a
//! topic that is no more nothing can come again, so what was named goes, and nothing else.
//! Invariants: durable when it is answered; queries, lanes that make rows again after a crash, and replays leave them out from then on.
//! The records' bytes go by themselves: from the store when the parts are written anew, from the queue and the dead letters when
//! their retention ends; the answer says when that is at the latest.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::base::ids::{Offset, PartitionId, TopicId};
use crate::queue::Topic;
use crate::relay::history::{Range, joined};
use crate::relay::replay::whole::{Joining, Whole};
use crate::relay::verdicts::DEAD_PREFIX;
use crate::relay::{Relay, RelayError};
use crate::store::mask::ToCome;

/// Offsets by the id of the topic that they are of.
pub type NamedRows = BTreeMap<TopicId, Vec<Range>>;

/// What was deleted, and what of it is still on the disk for how long.
#[derive(Clone, Debug, Serialize)]
pub struct Deleted {
    /// Offsets whose rows are gone.
    pub offsets: u64,
    /// Of these, such of topics of this name that were deleted before: the queue has nothing of them.
    pub of_before: u64,
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
    /// What is deleted with the rows of these offsets of topics that have this name or had it: they, and the other records of rows
    /// that are made of several, as far as the queue has them.
    ///
    /// # Errors
    /// [`RelayError::Config`] where an offset was never given away; [`RelayError::Busy`] where such a row is yet to come; the store's.
    pub fn to_delete(&self, topic: &str, rows: &NamedRows) -> Result<NamedRows, RelayError> {
        let live = self.shared().queue.topic(topic);
        let mut all = NamedRows::new();
        for (id, ranges) in rows {
            let own = match live.as_ref().filter(|live| live.id() == *id) {
                Some(live) => self.whole(live, ranges)?,
                None => joined(ranges.iter().map(|range| (range.partition, range.first, range.end)).collect()),
            };
            all.insert(*id, own.into_iter().map(|(partition, first, end)| Range { partition, first, end }).collect());
        }
        Ok(all)
    }

    /// These offsets with all that lies in one row with them. Ascending by partition and offset.
    fn whole(&self, topic: &Topic, ranges: &[Range]) -> Result<Vec<(PartitionId, Offset, Offset)>, RelayError> {
        let shared = self.shared();
        let generations = shared.generations(topic);
        let joining = Joining::default();
        for range in ranges {
            let Some(partition) = topic.partition(range.partition) else {
                return Err(RelayError::Config(format!("topic `{}` has no partition {}", topic.name(), range.partition)));
            };
            if range.end > partition.high_watermark() || range.is_empty() {
                return Err(RelayError::Config(format!(
                    "partition {} of `{}` ends at offset {}: {} to {} are not there",
                    range.partition,
                    topic.name(),
                    partition.high_watermark(),
                    range.first,
                    range.end
                )));
            }
        }
        let mut all = joined(ranges.iter().map(|range| (range.partition, range.first, range.end)).collect());
        let mut more = Vec::new();
        for own in all.chunk_by(|one, other| one.0 == other.0) {
            let Some(partition) = own.first().and_then(|(number, ..)| topic.partition(*number)) else { continue };
            let wanted: Vec<_> = own.iter().map(|(_, first, end)| (*first, *end)).collect();
            let settled = shared.store.cursor(topic.id(), partition.id()).unwrap_or(0);
            let whole = Whole { shared, generations: &generations, joining: &joining, partition: &partition, settled };
            more.extend(whole.records_of(&wanted)?.into_iter().map(|offset| (partition.id(), offset, offset + 1)));
        }
        all.append(&mut more);
        Ok(joined(all))
    }

    /// Deletes the rows of these offsets of a topic for good, with what lies in one row with them.
    ///
    /// # Errors
    /// [`RelayError::NoTopic`]; as [`Relay::delete_named`].
    pub fn delete_rows(&self, topic: &str, ranges: &[Range]) -> Result<Deleted, RelayError> {
        let found = self.shared().queue.topic(topic).ok_or_else(|| RelayError::NoTopic(topic.to_owned()))?;
        self.delete_named(topic, &NamedRows::from([(found.id(), ranges.to_vec())]))
    }

    /// Deletes the rows of these offsets of topics that have this name or had it, with what [`Relay::to_delete`] says.
    ///
    /// # Errors
    /// As there; [`RelayError::Busy`] while a replay makes rows of several records of the topic. Where the store's disk fails amid
    /// the rows of several topics, those of some may be gone: ask again.
    pub fn delete_named(&self, topic: &str, rows: &NamedRows) -> Result<Deleted, RelayError> {
        let shared = self.shared();
        // None begins before the deletion is there for it to see.
        let _none = shared.replays.starting.lock();
        let open = shared.replays.all().into_iter().filter(|job| job.state().is_open());
        for job in open.filter(|job| rows.contains_key(&job.generations.topic)) {
            if job.ready(shared)?.chain.waits() {
                return Err(RelayError::Busy(format!(
                    "replay {} is making rows of several records of `{topic}`, and may have taken some of these into one: cancel it, or \
                     wait until it is done",
                    job.id
                )));
            }
        }
        let live = shared.queue.topic(topic);
        let (mut offsets, mut of_before, mut count) = (0, 0, 0);
        for (id, ranges) in self.to_delete(topic, rows)? {
            let masked: Vec<_> = ranges.iter().map(|range| (range.partition, range.first, range.end)).collect();
            let own = ranges.iter().map(Range::len).sum::<u64>();
            shared.store.delete_rows(id, topic, &masked)?;
            (offsets, count) = (offsets + own, count + ranges.len());
            if live.as_ref().is_none_or(|live| live.id() != id) {
                of_before += own;
                // Nobody makes rows of its records again: once the parts are written anew, nothing need be remembered.
                let starts = ranges.iter().map(|range| (range.partition, Offset::MAX)).collect();
                shared.store.set_to_come(id, ToCome { starts, letters: false });
            }
        }
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
            of_before,
            ranges: count,
            queue_until_ns: live.as_deref().filter(|_| of_before < offsets).and_then(until),
            dead_letters_until_ns: dead.as_deref().and_then(until),
            has_dead_letters: dead.is_some(),
            note: format!(
                "Queries no longer show them. The store's files are written anew without them soon; `sawbox topic trim {topic}` deletes the oldest records from the queue at once. Topics and outputs that they were sent to, and backups, have their own copies."
            ),
        })
    }
}
