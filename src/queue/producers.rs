//! Idempotent producers of one partition: which of their batches are here already, and which must come next.
//!
//! A producer numbers its batches; what it did not hear the end of it sends again, up to five at a time. So for each are kept its
//! epoch and the last [`BATCHES`] batches, as Kafka's broker does, with the same judgement:
//! * one of those batches again: answered with its first offsets, and not written;
//! * an older epoch: fenced; a newer one: begins at sequence 0, and takes the older one's place;
//! * else it must begin where the last one ended (`i32::MAX` is followed by 0);
//! * a producer that nobody knows here, or that was silent for [`SILENT`], may begin anywhere.
//!
//! Invariants: a batch is judged under the log's lock, behind everything that was taken before it, and counts only once it is
//! durable; so its repetition in the same group shares its fate, and a group that failed leaves no sequence behind. What it
//! leaves, in memory, is where the producer must begin: else a batch that was sent behind the failed one would take its place.
//! Durable with the batches themselves: the scan of a start learns them from the headers, and marks of CHECKPOINTS carry what
//! retention deletes. Behind damage nobody knows what the last batch was: the next may begin anywhere.
//! Limits: [`MOST`] producers a partition; those that wrote longest ago are forgotten first.
//! Why not a journal: the batch is the entry, and is synced anyway.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::batch::Header;
use super::error::QueueError;
use super::ticket::Appended;
use crate::base::ids::Offset;

/// Batches of a producer that are known again: as many as a client may have in flight.
const BATCHES: usize = 5;
/// Most producers that are kept.
const MOST: usize = 2_000;
/// How long a producer may be silent, nanoseconds: 7 days.
const SILENT: i64 = 7 * 24 * 3600 * 1_000_000_000;

/// What a batch says of its producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The producer's id, not negative.
    pub id: i64,
    epoch: i16,
    first: i32,
    records: u32,
}

impl Stamp {
    /// Of a batch that has one.
    pub fn of(header: &Header) -> Option<Self> {
        let (epoch, first) = (header.producer_epoch, header.base_sequence);
        (header.producer_id >= 0).then_some(Self { id: header.producer_id, epoch, first, records: header.count })
    }

    /// The sequence number behind its last record.
    fn next(&self) -> i32 {
        let next = (i64::from(self.first) + i64::from(self.records)) % (i64::from(i32::MAX) + 1);
        i32::try_from(next).unwrap_or(0)
    }
}

/// A batch that is here: first sequence number, records, first offset.
type Taken = (i32, u32, Offset);

/// A producer, as kept and as a mark says it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Producer {
    id: i64,
    epoch: i16,
    /// The sequence number that must come next; none if nobody knows.
    next: Option<i32>,
    /// Append time of its last batch.
    last_ns: i64,
    /// Its last batches, oldest first.
    batches: Vec<Taken>,
}

impl Producer {
    fn new(stamp: &Stamp, next: Option<i32>, last_ns: i64) -> Self {
        Self { id: stamp.id, epoch: stamp.epoch, next, last_ns, batches: Vec::new() }
    }

    /// What is to be done with a batch: `Some` if it is here.
    fn judge(&self, stamp: &Stamp) -> Result<Option<Appended>, QueueError> {
        if stamp.epoch < self.epoch {
            return Err(QueueError::ProducerFenced);
        }
        let expected = if stamp.epoch > self.epoch {
            Some(0)
        } else {
            let same = |(first, records, _): &&Taken| *first == stamp.first && *records == stamp.records;
            if let Some((_, records, base)) = self.batches.iter().find(same) {
                let next_offset = base + u64::from(*records);
                return Ok(Some(Appended { base_offset: *base, next_offset, duplicate: true }));
            }
            self.next
        };
        if expected.is_none_or(|expected| expected == stamp.first) { Ok(None) } else { Err(QueueError::OutOfOrderSequence) }
    }

    /// Of the same producer, from two places: every batch is in one of them, and in each in order.
    fn join(&mut self, other: &Self) {
        if other.epoch != self.epoch {
            if other.epoch > self.epoch {
                self.clone_from(other);
            }
            return;
        }
        self.batches.extend(other.batches.iter().filter(|taken| !self.batches.contains(taken)).copied().collect::<Vec<_>>());
        // Where either is in doubt, both are.
        let ends = self.next.zip(other.next);
        self.next = ends.map(|(own, other)| if is_later(other, own) { other } else { own });
        if let Some(next) = self.next {
            // Those that end last come last: the distance to what comes next is what is left.
            self.batches.sort_unstable_by_key(|(first, ..)| std::cmp::Reverse(distance(*first, next)));
        }
        let most = self.batches.len().saturating_sub(BATCHES);
        self.batches.drain(..most);
        self.last_ns = self.last_ns.max(other.last_ns);
    }

    fn take(&mut self, stamp: &Stamp, base: Offset, now: i64) {
        if stamp.epoch != self.epoch {
            self.epoch = stamp.epoch;
            self.batches.clear();
        }
        if self.batches.len() >= BATCHES {
            self.batches.remove(0);
        }
        if self.batches.capacity() == 0 {
            self.batches.reserve_exact(BATCHES);
        }
        self.batches.push((stamp.first, stamp.records, base));
        self.next = Some(stamp.next());
        self.last_ns = now;
    }
}

/// The producers of a partition.
#[derive(Clone, Debug, Default)]
pub struct Producers {
    known: HashMap<i64, Producer>,
}

/// What a group commit would add: its producers as they will be, if it becomes durable.
#[derive(Debug, Default)]
pub struct Fresh(HashMap<i64, Producer>);

impl Producers {
    /// As a mark says.
    pub fn of(marked: &[Producer]) -> Self {
        Self { known: marked.iter().map(|producer| (producer.id, producer.clone())).collect() }
    }

    /// For a mark; what was silent too long is left out.
    pub fn marked(&self, now: i64) -> Vec<Producer> {
        let mut all: Vec<Producer> = self.known.values().filter(|producer| lives(producer, now)).cloned().collect();
        all.sort_unstable_by_key(|producer| producer.id);
        all
    }

    /// Judges a batch of a group, behind those that `fresh` has. `Some`: it is here, or will be with this group. `None`: it is
    /// to be written at `base`, and `fresh` has it now.
    ///
    /// # Errors
    /// [`QueueError::OutOfOrderSequence`] or [`QueueError::ProducerFenced`].
    pub fn admit(&self, fresh: &mut Fresh, stamp: &Stamp, base: Offset, now: i64) -> Result<Option<Appended>, QueueError> {
        let producer = fresh.0.entry(stamp.id).or_insert_with(|| {
            let known = self.known.get(&stamp.id).filter(|producer| lives(producer, now));
            known.cloned().unwrap_or_else(|| Producer::new(stamp, None, now))
        });
        let there = producer.judge(stamp)?;
        if there.is_none() {
            producer.take(stamp, base, now);
        }
        Ok(there)
    }

    /// The group became durable.
    pub fn settle(&mut self, fresh: Fresh) {
        self.known.extend(fresh.0);
        self.bound();
    }

    /// A batch did not become durable. If nobody knows otherwise what its producer must go on with, it is that batch.
    pub fn failed(&mut self, stamp: &Stamp, now: i64) {
        match self.known.get_mut(&stamp.id).filter(|producer| lives(producer, now)) {
            // A newer epoch begins at 0 anyhow, and what is here already need not come again.
            Some(producer) if producer.next.is_none() && producer.epoch == stamp.epoch => {
                if let Ok(None) = producer.judge(stamp) {
                    producer.next = Some(stamp.first);
                }
            }
            Some(_) => {}
            None => {
                self.known.insert(stamp.id, Producer::new(stamp, Some(stamp.first), now));
                self.bound();
            }
        }
    }

    /// A durable batch that a scan found.
    pub fn found(&mut self, stamp: &Stamp, base: Offset, append_ns: i64) {
        self.known.entry(stamp.id).or_insert_with(|| Producer::new(stamp, None, append_ns)).take(stamp, base, append_ns);
        self.bound();
    }

    /// Batches may be missing behind what is known.
    pub fn doubt(&mut self) {
        for producer in self.known.values_mut() {
            producer.next = None;
        }
    }

    /// Takes in what another partition knows of the same producers: the later batches count, of both.
    pub fn join(&mut self, other: &Self) {
        for producer in other.known.values() {
            match self.known.get_mut(&producer.id) {
                Some(own) => own.join(producer),
                None => drop(self.known.insert(producer.id, producer.clone())),
            }
        }
        self.bound();
    }

    /// When a batch last came.
    pub fn last_ns(&self) -> i64 {
        self.known.values().map(|producer| producer.last_ns).max().unwrap_or(i64::MIN)
    }

    /// How many there are.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// The highest id.
    pub fn highest(&self) -> Option<i64> {
        self.known.keys().max().copied()
    }

    fn bound(&mut self) {
        if self.known.len() <= MOST {
            return;
        }
        // A tenth more than must be, so that it is rare.
        let spare = self.known.len() - MOST + MOST / 10;
        let mut order: Vec<(i64, i64)> = self.known.values().map(|producer| (producer.last_ns, producer.id)).collect();
        let (older, ..) = order.select_nth_unstable(spare);
        for (_, id) in older {
            self.known.remove(id);
        }
    }
}

/// How far it is from one sequence number on to another; `i32::MAX` is followed by 0.
fn distance(from: i32, to: i32) -> i64 {
    (i64::from(to) - i64::from(from)).rem_euclid(i64::from(i32::MAX) + 1)
}

fn is_later(one: i32, than: i32) -> bool {
    one != than && distance(than, one) < (1 << 30)
}

fn lives(producer: &Producer, now: i64) -> bool {
    now.saturating_sub(producer.last_ns) <= SILENT
}
