//! The door to the queue: every receiver's records go through it, and its memory is bounded here.
//!
//! What comes in: records, one by one, in a [`Gather`] per connection or request. What goes out: record batches, appended to
//! partitions, and a [`Flight`] that lands when all of them are durable. Only then may a receiver acknowledge.
//!
//! Invariants: batches on their way to the disk hold permits of one budget, so a slow disk makes receivers stop reading, not
//! memory grow. Gathers that hold records share a quarter: the more there are, the sooner each is sent off ([`Gather::is_ripe`]).
//! Each batch has a small task that waits for it and then gives its permit back, whatever its connection does meanwhile: a
//! client that stops in the middle of a window holds nothing that others wait for.
//! Limits: `ingest.memory` in all; a batch is sent off between 64 KiB and 1 MiB; records above 64 KiB need room ([`Door::large`]);
//! beside that a few empty builders of at most 2 MiB.
//! Quotas and routes stand before it ([`super::gate`]).
//! Crash story: none; what is here was not acknowledged.
//! Why not a channel of records to one appender: it would move every record twice and know nothing of who waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

use super::counters::Counters;
use super::gate::{Gate, Pass};
use super::room::{Arrival, Rooms};
use crate::base::clock::Clock;
use crate::base::ids::Offset;
use crate::base::low;
use crate::queue::batch::{BatchBuilder, Compression};
use crate::queue::partitioner::partition_of;
use crate::queue::{Partition, Queue, QueueError, Ticket, Topic};

/// A batch is sent off at this size at the latest.
const LARGEST: usize = 1024 * 1024;
/// And not before this one, unless its window or body ends.
const SMALLEST: usize = 64 * 1024;
/// Batches below this are not compressed.
const COMPRESS_FROM: usize = 1024;
/// Topics that one gather keeps open at a time.
const BUCKETS: usize = 64;
/// Builders that are kept for the next batches, and the largest that is.
const SPARE: usize = 4;
const SPARE_BYTES: usize = 2 * LARGEST;
/// How soon a full queue is asked again.
const AGAIN: Duration = Duration::from_millis(250);
pub(super) const KIB: usize = 1024;

/// The door; one for the box.
#[derive(Debug)]
pub struct Door {
    queue: Arc<Queue>,
    clock: Arc<dyn Clock>,
    /// KiB of batches on their way to the disk.
    in_flight: Arc<Semaphore>,
    in_flight_kib: usize,
    /// For records that are larger than what every connection has.
    large: Rooms,
    gathers: AtomicUsize,
    gather_bytes: usize,
    /// Builders that have room already: a batch that grows from nothing is copied a dozen times.
    spare: Mutex<Vec<BatchBuilder>>,
}

impl Door {
    /// A door that lets through at most `memory` bytes at a time: half on the way to the disk, a quarter being gathered, a
    /// quarter for large records, which must arrive in time.
    pub fn new(queue: Arc<Queue>, clock: Arc<dyn Clock>, memory: usize, arrival: Arrival) -> Arc<Self> {
        // A record at its limit must fit; a semaphore counts to 2^61.
        let kib = (memory / KIB).clamp(4 * KIB, 1 << 40);
        let in_flight_kib = kib / 2;
        Arc::new(Self {
            queue,
            clock,
            in_flight: Arc::new(Semaphore::new(in_flight_kib)),
            in_flight_kib,
            large: Rooms::new(kib / 4, arrival),
            gathers: AtomicUsize::new(0),
            gather_bytes: memory / 4,
            spare: Mutex::default(),
        })
    }

    /// The clock, for record times and quiet log lines.
    pub fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// Now, as records carry it.
    pub fn now_ms(&self) -> i64 {
        self.clock.now_ns() / 1_000_000
    }

    /// Room for large records.
    pub fn large(&self) -> &Rooms {
        &self.large
    }

    /// Waits until `size` bytes more may be on their way to the disk; hold what comes back until they are there.
    pub async fn in_flight(&self, size: usize) -> Option<OwnedSemaphorePermit> {
        permits(&self.in_flight, size, self.in_flight_kib).await
    }

    /// The topic, made if it is not there: that takes an fsync, for which a thread of the network must not be kept.
    fn topic(&self, name: &str) -> Result<Arc<Topic>, QueueError> {
        if let Some(topic) = self.queue.topic(name) {
            return Ok(topic);
        }
        low::aside(|| self.queue.ensure_topic(name))
    }

    /// Makes a topic; whether it was not there.
    ///
    /// # Errors
    /// As [`Queue::ensure_topic`].
    pub fn make_topic(&self, name: &str) -> Result<bool, QueueError> {
        let is_new = self.queue.topic(name).is_none();
        self.topic(name).map(|_| is_new)
    }

    fn builder(&self) -> BatchBuilder {
        self.spare.lock().pop().unwrap_or_default()
    }

    fn give_back(&self, builder: BatchBuilder) {
        let mut spare = self.spare.lock();
        if spare.len() < SPARE && (1..=SPARE_BYTES).contains(&builder.room()) {
            spare.push(builder);
        }
    }

    /// Starts gathering. A full queue is asked again until `patience` ends (`None`: never).
    pub fn gather(self: &Arc<Self>, counters: &Arc<Counters>, patience: Option<Duration>) -> Gather {
        let (door, counters) = (self.clone(), counters.clone());
        let gate = Gate::new(self.queue.clone(), self.clock.clone());
        let (buckets, sent) = (Vec::new(), Vec::new());
        Gather { door, counters, patience, gate, resume: None, buckets, held: 0, last: 0, numbers: 0, sent }
    }
}

/// Waits for permits of one KiB each, of `all` that there are.
pub(super) async fn permits(of: &Arc<Semaphore>, size: usize, all: usize) -> Option<OwnedSemaphorePermit> {
    let kib = size.div_ceil(KIB).clamp(1, all);
    // The semaphore is never closed.
    of.clone().acquire_many_owned(u32::try_from(kib).unwrap_or(u32::MAX)).await.ok()
}

struct Bucket {
    name: Arc<str>,
    /// Nothing if the queue is too full even to make the topic: then it is made when the batch is appended.
    topic: Option<Arc<Topic>>,
    /// Chosen by key, or when the batch is sent off.
    partition: Option<Arc<Partition>>,
    builder: BatchBuilder,
    number: u32,
    payload: u64,
    /// A record more than it holds came.
    brimful: bool,
}

fn partition_for(topic: &Topic, key: &[u8]) -> Option<Arc<Partition>> {
    let count = u32::try_from(topic.partitions().len()).unwrap_or(1);
    topic.partition(partition_of(key, count))
}

/// A batch on its way, and the task that waits for it.
struct Sent {
    records: u64,
    task: JoinHandle<Landed>,
}

impl Drop for Sent {
    fn drop(&mut self) {
        // Nobody waits for it any more: it shall not knock at a full queue for ever.
        self.task.abort();
    }
}

/// Where a record is: which batch of its gather, and which record of that batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat {
    /// Number of the batch.
    pub batch: u32,
    /// Number of the record in it.
    pub n: u32,
}

/// Records of one sender, on their way into batches: one open batch per topic (and partition, where keys choose it).
pub struct Gather {
    door: Arc<Door>,
    counters: Arc<Counters>,
    patience: Option<Duration>,
    /// Quotas and routes.
    gate: Gate,
    /// Before this the sender is not to be read: it owes.
    resume: Option<tokio::time::Instant>,
    buckets: Vec<Bucket>,
    /// Bytes in all open batches.
    held: usize,
    last: usize,
    numbers: u32,
    sent: Vec<Sent>,
}

impl Drop for Gather {
    fn drop(&mut self) {
        self.emptied();
    }
}

impl Gather {
    /// Adds a record.
    ///
    /// # Errors
    /// [`QueueError::Refused`] if the topic or the record will never be taken. Others as the queue says.
    pub fn push(
        &mut self,
        topic: &str,
        key: Option<&[u8]>,
        timestamp_ms: i64,
        payload: &[u8],
        headers: &[(&[u8], &[u8])],
    ) -> Result<Seat, QueueError> {
        if self.held == 0 {
            self.gate.turn();
        }
        let routed = self.gate.place(topic, payload, headers);
        let topic = routed.as_deref().unwrap_or(topic);
        let mut at = self.bucket(topic, key)?;
        let mut before = self.buckets[at].builder.len_bytes();
        match self.buckets[at].builder.push(timestamp_ms, key, payload, headers) {
            // One line can hold many records: what a batch cannot take is the next batch's, and no reason to come again.
            Err(QueueError::Full(_)) if before > 0 => {
                self.buckets[at].brimful = true;
                at = self.bucket(topic, key)?;
                before = 0;
                self.buckets[at].builder.push(timestamp_ms, key, payload, headers)?;
            }
            pushed => pushed?,
        }
        let bucket = &mut self.buckets[at];
        bucket.payload += payload.len() as u64;
        if self.held == 0 {
            self.door.gathers.fetch_add(1, Ordering::Relaxed);
        }
        self.held += bucket.builder.len_bytes() - before;
        Ok(Seat { batch: bucket.number, n: bucket.builder.records() - 1 })
    }

    fn bucket(&mut self, name: &str, key: Option<&[u8]>) -> Result<usize, QueueError> {
        let is_it = |bucket: &Bucket| {
            bucket.name.as_ref() == name
                && !bucket.brimful
                && match (&bucket.topic, &bucket.partition, key) {
                    (None, ..) | (_, None, None) => true,
                    (Some(topic), Some(own), Some(key)) => {
                        partition_for(topic, key).is_some_and(|other| own.id() == other.id())
                    }
                    _ => false,
                }
        };
        if self.buckets.get(self.last).is_some_and(is_it) {
            return Ok(self.last);
        }
        if let Some(at) = self.buckets.iter().position(is_it) {
            self.last = at;
            return Ok(at);
        }
        let topic = match self.door.topic(name) {
            Ok(topic) => Some(topic),
            Err(QueueError::Full(_)) => None,
            Err(error) => return Err(error),
        };
        let partition = topic.as_ref().zip(key).and_then(|(topic, key)| partition_for(topic, key));
        let name = topic.as_ref().map_or_else(|| Arc::from(name), |topic| topic.name().clone());
        let (builder, number) = (self.door.builder(), self.numbers);
        self.buckets.push(Bucket { name, topic, partition, builder, number, payload: 0, brimful: false });
        self.numbers += 1;
        self.last = self.buckets.len() - 1;
        Ok(self.last)
    }

    /// Whether the records should be sent off before more are added.
    pub fn is_ripe(&self) -> bool {
        let share = self.door.gather_bytes / self.door.gathers.load(Ordering::Relaxed).max(1);
        self.held >= share.clamp(SMALLEST, LARGEST) || self.buckets.len() >= BUCKETS
    }

    /// Whether nothing is gathered that was not sent off.
    pub fn is_empty(&self) -> bool {
        self.held == 0
    }

    /// Sends off what was gathered. Waits while too much is on its way already: whoever calls it stops reading meanwhile.
    pub async fn send(&mut self) {
        self.rest().await;
        self.last = 0;
        self.gate.turn();
        let mut pause = Duration::ZERO;
        for mut bucket in std::mem::take(&mut self.buckets) {
            let (length, records) = (bucket.builder.len_bytes(), bucket.builder.records());
            if records == 0 {
                continue;
            }
            let number = u64::from(records);
            // Before anything is taken that other senders wait for.
            let passed = match self.gate.pass(&bucket.name, number, length as u64, self.patience).await {
                Ok(Pass { to: Some(to), pause }) => {
                    let there = self.gate.elsewhere(&bucket.name, bucket.partition.as_ref(), &to).await;
                    there.map(|there| (bucket.name, bucket.topic, bucket.partition) = there).map(|()| pause)
                }
                Ok(Pass { to: None, pause }) => Ok(pause),
                Err(error) => Err(error),
            };
            let mut landed = Landed {
                batch: bucket.number,
                topic: bucket.name.clone(),
                partition: 0,
                records: number,
                base: Err(QueueError::Closed),
            };
            match passed {
                Ok(owed) => pause = pause.max(owed),
                Err(error) => {
                    landed.base = Err(error);
                    self.sent.push(Sent { records: number, task: tokio::spawn(async move { landed }) });
                    continue;
                }
            }
            // Counted uncompressed: the queue's reader will need it so, and the ratio is not known before.
            let permit = permits(&self.door.in_flight, length, self.door.in_flight_kib).await;
            let mut finish =
                || bucket.builder.finish(if length < COMPRESS_FROM { Compression::None } else { Compression::Lz4 });
            // A millisecond where it is large, in which nobody else's requests would be read.
            let batch = if length < SMALLEST { finish() } else { low::aside(finish) };
            self.door.give_back(bucket.builder);
            let mut arriving = Arriving {
                landed,
                queue: self.door.queue.clone(),
                name: bucket.name,
                partition: bucket.partition,
                ticket: None,
                batch,
                payload: bucket.payload,
                patience: self.patience,
                counters: self.counters.clone(),
                permit,
            };
            if let Some(topic) = &bucket.topic {
                // Here and not in its task: batches of one sender keep their order.
                arriving.append(topic);
            }
            self.sent.push(Sent { records: number, task: tokio::spawn(arriving.land()) });
        }
        self.emptied();
        self.resume = (!pause.is_zero()).then(|| tokio::time::Instant::now() + pause);
    }

    /// Waits as long as the sender owes: call it before more is read, when what was sent off is on its way to be answered.
    pub async fn rest(&mut self) {
        if let Some(at) = self.resume.take() {
            tokio::time::sleep_until(at).await;
        }
    }

    fn emptied(&mut self) {
        if std::mem::take(&mut self.held) > 0 {
            self.door.gathers.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// What was sent off since the last flight.
    pub fn flight(&mut self) -> Flight {
        Flight(std::mem::take(&mut self.sent))
    }
}

/// A batch that is not durable yet.
struct Arriving {
    landed: Landed,
    queue: Arc<Queue>,
    name: Arc<str>,
    partition: Option<Arc<Partition>>,
    /// The last try, if there was one.
    ticket: Option<Ticket>,
    batch: Bytes,
    payload: u64,
    patience: Option<Duration>,
    counters: Arc<Counters>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Arriving {
    fn append(&mut self, topic: &Topic) {
        let partition = self.partition.get_or_insert_with(|| topic.next_partition());
        (self.landed.topic, self.landed.partition) = (topic.name().clone(), partition.id());
        self.ticket = Some(partition.append(self.batch.clone()));
    }

    async fn topic(&self) -> Result<Arc<Topic>, QueueError> {
        if let Some(topic) = self.queue.topic(&self.name) {
            return Ok(topic);
        }
        let (queue, name) = (self.queue.clone(), self.name.clone());
        tokio::task::spawn_blocking(move || queue.ensure_topic(&name)).await.unwrap_or(Err(QueueError::Closed))
    }

    async fn land(mut self) -> Landed {
        let deadline = self.patience.map(|patience| tokio::time::Instant::now() + patience);
        self.landed.base = loop {
            let tried = match self.ticket.take() {
                Some(ticket) => ticket.await,
                None => match self.topic().await {
                    Ok(topic) => {
                        self.append(&topic);
                        continue;
                    }
                    Err(error) => Err(error),
                },
            };
            match tried {
                Ok(appended) => break Ok(appended.base_offset),
                // Deleted meanwhile: it is made anew, as for any record of its name.
                Err(QueueError::Gone) if deadline.is_none_or(|deadline| tokio::time::Instant::now() < deadline) => {
                    self.partition = None;
                    tokio::time::sleep(AGAIN).await;
                }
                Err(QueueError::Full(_)) if deadline.is_none_or(|deadline| tokio::time::Instant::now() < deadline) => {
                    tokio::time::sleep(AGAIN).await;
                }
                Err(error) => break Err(error),
            }
        };
        if self.landed.base.is_ok() {
            Counters::add(&self.counters.records, self.landed.records);
            Counters::add(&self.counters.bytes, self.payload);
            Counters::add(&self.counters.batches, 1);
        }
        drop(self.permit);
        self.landed
    }
}

/// Where a batch came to lie.
#[derive(Clone, Debug)]
pub struct Landed {
    /// Its number in the gather.
    pub batch: u32,
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition's number.
    pub partition: u32,
    /// Records in it.
    pub records: u64,
    /// Offset of its first record, or why it is not durable.
    pub base: Result<Offset, QueueError>,
}

/// Batches on their way to the disk.
#[must_use = "what has not landed may not be acknowledged"]
pub struct Flight(Vec<Sent>);

impl Flight {
    /// Waits for every batch.
    pub async fn each(mut self) -> Vec<Landed> {
        let mut landed = Vec::with_capacity(self.0.len());
        for sent in &mut self.0 {
            // The task ends early only when the runtime does.
            landed.extend((&mut sent.task).await.ok());
        }
        landed
    }

    /// Waits for every batch; the first failure fails all.
    ///
    /// # Errors
    /// As the queue says.
    pub async fn land(self) -> Result<(), QueueError> {
        let sent = self.0.len();
        let landed = self.each().await;
        if landed.len() < sent {
            return Err(QueueError::Closed);
        }
        landed.into_iter().try_for_each(|landed| landed.base.map(drop))
    }

    /// Records that are waited for.
    pub fn records(&self) -> u64 {
        self.0.iter().map(|sent| sent.records).sum()
    }

    /// Adds what was sent off later.
    pub fn join(&mut self, mut later: Self) {
        self.0.append(&mut later.0);
    }
}
