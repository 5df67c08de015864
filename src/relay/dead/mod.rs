//! Dead letters: records that no filter could handle, what people may know of them, and what they may do about them.
//!
//! ```text
//! verdicts.rs buries → queue topic `_dead.<topic>` (a ring) → its lane → rows, searched like any
//! mod.rs  letters read from the queue, overview     bundle.rs  one letter as a file that fails anywhere     retry.rs  once more
//! send.rs what letters emit then
//! ```
//! A letter has the record's bytes, key and headers, and the box's: `_reason`, `_filter`, `_origin` (where the record stood),
//! `_origin_generation`, `_origin_arrival`, `_origin_timestamp`. So it stands for itself when the source's retention is over.
//! Invariants: a letter is **resolved** when its row is deleted for good (a mask of its own topic), and by nothing else; a resolved
//! letter is shown by nobody. Letters of what a filter could not emit (no `_filter`) have a row already and are not retried.
//! Limits: what lists of letters show is cut at [`SHOWN_BYTES`] a payload.
//! Crash story: nothing here is durable but what a retry commits, at once.

mod bundle;
mod retry;
mod send;

use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value as Json;

pub use retry::{Refailed, RetryReport, RetryRequest};

use crate::base::ids::{Generation, Offset, PartitionId, TopicId};
use crate::base::record::header;
use crate::queue::batch::Scratch;
use crate::queue::{Partition, Topic};
use crate::relay::codec;
use crate::relay::history::{History, Stretch, decode};
use crate::relay::verdicts::{DEAD_PREFIX, OWN};
use crate::relay::{Relay, RelayError, explain, shown};

/// Bytes of a payload that lists show.
const SHOWN_BYTES: usize = 4096;
/// Different reasons that an overview tells.
const REASONS: usize = 50;
/// Bytes of a reason by which letters are counted together.
const REASON_BYTES: usize = 160;

/// A letter, with everything.
#[derive(Clone, Debug)]
pub(crate) struct Letter {
    /// Where it stands in its own topic.
    pub(crate) partition: PartitionId,
    pub(crate) offset: Offset,
    /// When it was buried.
    pub(crate) buried_ns: i64,
    /// Topic id, partition and offset of the record.
    pub(crate) origin: Option<(TopicId, PartitionId, Offset)>,
    pub(crate) filter: String,
    pub(crate) reason: String,
    pub(crate) generation: Option<Generation>,
    /// Through how many lanes the record had come.
    pub(crate) hops: u32,
    pub(crate) arrival_ns: i64,
    pub(crate) timestamp_ms: i64,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) payload: Vec<u8>,
    /// Without the box's own.
    pub(crate) headers: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Letter {
    /// Whether the record has a row and only something that a filter sent could not be sent.
    pub(crate) fn is_of_emission(&self) -> bool {
        self.filter.is_empty()
    }

    /// What it holds, about.
    pub(crate) fn bytes(&self) -> usize {
        let headers: usize = self.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        self.payload.len() + self.key.as_ref().map_or(0, Vec::len) + self.filter.len() + self.reason.len() + headers
    }

    /// Whether the codec failed, and no filter.
    pub(crate) fn is_undecoded(&self) -> bool {
        self.filter == codec::FILTER
    }
}

/// A letter as people see it.
#[derive(Clone, Debug, Serialize)]
pub struct LetterShown {
    /// Where it stands in the dead letters' topic.
    pub partition: PartitionId,
    /// Likewise.
    pub offset: Offset,
    /// When it was buried, nanoseconds since 1970.
    pub buried_ns: i64,
    /// Where the record stood.
    pub origin: Option<String>,
    /// The filter that failed; empty where the record has its row, and only what a filter emitted could not be sent.
    pub filter: String,
    /// Why.
    pub reason: String,
    /// The generation that handled it.
    pub generation: Option<Generation>,
    /// When the record arrived.
    pub arrival_ns: i64,
    /// Its key.
    pub key: Json,
    /// Its bytes.
    pub payload: Json,
    /// Its headers.
    pub headers: Vec<(String, String)>,
}

/// Letters that have filter and reason in common.
#[derive(Clone, Debug, Serialize)]
pub struct Reason {
    /// The filter.
    pub filter: String,
    /// Why.
    pub reason: String,
    /// How many.
    pub letters: u64,
}

/// A topic's letters.
#[derive(Clone, Debug, Serialize)]
pub struct Graveyard {
    /// The topic whose records they are.
    pub topic: String,
    /// Letters that are not resolved.
    pub letters: u64,
    /// Bytes that the queue keeps of it, resolved ones among them.
    pub bytes: u64,
    /// When the first and the last of them was buried.
    pub oldest_ns: Option<i64>,
    /// Likewise.
    pub newest_ns: Option<i64>,
    /// By filter and reason, the most frequent first.
    pub reasons: Vec<Reason>,
}

impl Relay {
    /// The topics that have letters, with how many and why. To be called where waiting for the disk hurts nobody.
    ///
    /// # Errors
    /// The disk's.
    pub fn dead(&self) -> Result<Vec<Graveyard>, RelayError> {
        let topics = self.shared().queue.topics();
        let names = topics.iter().filter_map(|topic| topic.name().strip_prefix(DEAD_PREFIX).map(str::to_owned));
        let mut all: Vec<String> = names.collect();
        all.sort_unstable();
        all.iter().map(|name| self.graveyard(name)).collect()
    }

    /// One topic's.
    ///
    /// # Errors
    /// [`RelayError::Missing`] where it has none; the disk's.
    pub fn graveyard(&self, topic: &str) -> Result<Graveyard, RelayError> {
        let dead = self.dead_of(topic)?;
        let bytes = dead.partitions().iter().map(|partition| partition.size_bytes()).sum();
        let mut found =
            Graveyard { topic: topic.to_owned(), letters: 0, bytes, oldest_ns: None, newest_ns: None, reasons: Vec::new() };
        let mut reasons: BTreeMap<(String, String), u64> = BTreeMap::new();
        self.letters(&dead, |letter| {
            found.letters += 1;
            found.oldest_ns.get_or_insert(letter.buried_ns);
            found.newest_ns = Some(letter.buried_ns);
            let key = (letter.filter, shown::text(letter.reason.as_bytes(), REASON_BYTES));
            if reasons.len() < REASONS * 20 || reasons.contains_key(&key) {
                *reasons.entry(key).or_default() += 1;
            }
            ControlFlow::Continue(())
        })?;
        found.reasons = reasons.into_iter().map(|((filter, reason), letters)| Reason { filter, reason, letters }).collect();
        found.reasons.sort_by_key(|reason| std::cmp::Reverse(reason.letters));
        found.reasons.truncate(REASONS);
        Ok(found)
    }

    /// The last letters of a topic that are not resolved, the oldest of these first.
    ///
    /// # Errors
    /// As [`Relay::graveyard`].
    pub fn dead_letters(&self, topic: &str, most: usize) -> Result<Vec<LetterShown>, RelayError> {
        let dead = self.dead_of(topic)?;
        let mut last = VecDeque::new();
        self.letters(&dead, |letter| {
            if last.len() == most {
                last.pop_front();
            }
            if most > 0 {
                last.push_back(show(&letter));
            }
            ControlFlow::Continue(())
        })?;
        Ok(last.into())
    }

    /// One letter.
    ///
    /// # Errors
    /// [`RelayError::Missing`] where it is not there, or resolved.
    pub fn dead_letter(&self, topic: &str, partition: PartitionId, offset: Offset) -> Result<LetterShown, RelayError> {
        Ok(show(&self.letter(topic, partition, offset)?))
    }

    pub(super) fn dead_of(&self, topic: &str) -> Result<Arc<Topic>, RelayError> {
        let dead = self.shared().queue.topic(&format!("{DEAD_PREFIX}{topic}"));
        dead.ok_or_else(|| RelayError::Missing(format!("`{topic}` has no dead letters")))
    }

    fn letter(&self, topic: &str, partition: PartitionId, offset: Offset) -> Result<Letter, RelayError> {
        let dead = self.dead_of(topic)?;
        let missing = |why: &str| RelayError::Missing(format!("{partition}@{offset} of `{}`: {why}", dead.name()));
        let place = dead.partition(partition).ok_or_else(|| missing("there is no such partition"))?;
        let mut found = None;
        let _first = self.letters_of(&dead, &place, (offset, offset.saturating_add(1)), &mut |letter| {
            found = Some(letter);
            ControlFlow::Break(())
        })?;
        found.ok_or_else(|| missing("no letter is there: it is resolved, its retention is over, or it never was"))
    }

    /// Gives every letter of a topic that is not resolved, in the order of burial.
    fn letters(&self, dead: &Topic, mut each: impl FnMut(Letter) -> ControlFlow<()>) -> Result<(), RelayError> {
        for partition in dead.partitions() {
            let range = (partition.log_start(), partition.high_watermark());
            if self.letters_of(dead, &partition, range, &mut each)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    fn letters_of(
        &self,
        dead: &Topic,
        partition: &Arc<Partition>,
        (first, end): (Offset, Offset),
        each: &mut dyn FnMut(Letter) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, RelayError> {
        let masks = self.shared().store.masks(dead.id());
        let mut history = History::new(partition, first, end);
        while let Some(Stretch { batches, .. }) = history.read()? {
            for stored in &batches {
                let mut scratch = Scratch::new();
                let Some(records) = decode(stored, &mut scratch) else { continue };
                for record in records.records.iter().filter(|record| (first..end).contains(&record.offset)) {
                    if masks.as_ref().is_some_and(|masks| masks.is_gone(partition.id(), record.offset)) {
                        continue;
                    }
                    let headers = records.headers_of(record);
                    let own = |name: &str| {
                        let found = headers.iter().find(|(own, _)| *own == name.as_bytes());
                        found.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
                    };
                    let number = |name: &str| own(name).and_then(|text| text.parse::<i64>().ok());
                    // Letters of older boxes have the milliseconds alone.
                    let arrival_ns = number(header::ARRIVAL).unwrap_or_else(|| record.timestamp_ms.saturating_mul(1_000_000));
                    let others = headers.iter().filter(|(name, _)| !OWN.iter().any(|own| own.as_bytes() == *name));
                    let letter = Letter {
                        partition: partition.id(),
                        offset: record.offset,
                        buried_ns: record.arrival_ns,
                        origin: own(header::ORIGIN).as_deref().and_then(origin),
                        filter: own(header::FILTER).unwrap_or_default(),
                        reason: own(header::REASON).unwrap_or_default(),
                        generation: own(header::GENERATION).and_then(|text| text.parse().ok()),
                        hops: own(header::HOPS)
                            .and_then(|text| text.parse::<u32>().ok())
                            .map_or(0, |hops| hops.saturating_sub(1)),
                        arrival_ns,
                        timestamp_ms: number(header::TIMESTAMP).unwrap_or(record.timestamp_ms),
                        key: record.key.map(<[u8]>::to_vec),
                        payload: record.payload.to_vec(),
                        headers: others.map(|(name, value)| (name.to_vec(), value.to_vec())).collect(),
                    };
                    if each(letter).is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// `<topic id>/<partition>@<offset>#<n>`.
fn origin(text: &str) -> Option<(TopicId, PartitionId, Offset)> {
    let (topic, partition, offset) = explain::place(text).ok()?;
    Some((topic.parse().ok()?, partition, offset))
}

fn show(letter: &Letter) -> LetterShown {
    let text = |bytes: &[u8]| shown::text(bytes, SHOWN_BYTES);
    LetterShown {
        partition: letter.partition,
        offset: letter.offset,
        buried_ns: letter.buried_ns,
        origin: letter.origin.map(|(topic, partition, offset)| format!("{topic}/{partition}@{offset}")),
        filter: letter.filter.clone(),
        reason: letter.reason.clone(),
        generation: letter.generation,
        arrival_ns: letter.arrival_ns,
        key: letter.key.as_ref().map_or(Json::Null, |key| shown::bytes(key, SHOWN_BYTES)),
        payload: shown::bytes(&letter.payload, SHOWN_BYTES),
        headers: letter.headers.iter().map(|(name, value)| (text(name), text(value))).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::origin;
    use crate::base::ids::TopicId;

    #[test]
    fn origins_are_read_as_they_are_written() {
        let id: TopicId = "00000000000000000000000000000001".parse().unwrap_or_default();
        assert_eq!(origin(&format!("{id}/3@77#0")), Some((id, 3, 77)));
        for wrong in ["", "web/0@1#0", "x", &format!("{id}/3@x#0"), &format!("{id}/3")] {
            assert_eq!(origin(wrong), None, "{wrong}");
        }
    }
}
