//! Emissions of a slice on their way to other topics.
//!
//! Invariants: all emissions of one record for one partition lie in one batch; batches of one (source, target) go one after the
//! other, the next only when the one before is durable; a record at or below what the target has of this source is left out
//! (it was sent before a crash). So a target holds each emission once, whatever the batches were before the crash and are now.
//! The target partition follows from the record's key, or without one from the source's topic and partition, so that order
//! holds and the same record always goes the same way.
//! While a topic grows, a slice that does not route to it yet cannot begin to (`growth.rs`).
//! Limits: a batch is sealed at [`BATCH_BYTES`]; what a slice emits is bounded by what filters may answer.
//! A target that takes nothing ends the slice, whose memory is given back; the lane tries again later, others go on.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use bytes::Bytes;

use crate::base::ids::{Offset, TopicId};
use crate::queue::batch::{BatchBuilder, Compression};
use crate::queue::partitioner::partition_of;
use crate::queue::{Partition, QueueError, Source, Ticket, Topic};
use crate::relay::growth::{Route, Routes};

/// A batch is sent when it has grown to this.
const BATCH_BYTES: usize = 4 * 1024 * 1024;
/// A batch is sent when it has this many records.
const BATCH_RECORDS: usize = 8192;
/// Largest batch that a waiting lane keeps.
const PROBE_BYTES: usize = 64 * 1024;

/// What is emitted.
pub(crate) struct Sending<'a> {
    /// The record that caused it.
    pub(crate) offset: Offset,
    pub(crate) timestamp_ms: i64,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) payload: &'a [u8],
    pub(crate) headers: &'a [(&'a [u8], &'a [u8])],
}

struct Target {
    topic: Arc<Topic>,
    partition: Arc<Partition>,
    upto: Option<Offset>,
    sealed: VecDeque<(Offset, Bytes)>,
    open: BatchBuilder,
    last: Option<Offset>,
}

impl Target {
    fn seal(&mut self) {
        if let Some(last) = self.last.take() {
            let mut batch = std::mem::take(&mut self.open);
            self.sealed.push_back((last, batch.finish(Compression::Lz4)));
        }
    }
}

/// The emissions of one slice.
pub(crate) struct Outbox {
    source: Source,
    /// Where the slice begins.
    from: Offset,
    targets: Vec<Target>,
    routes: Arc<Routes>,
    /// Held until the slice has given its rows.
    entered: Vec<(TopicId, Route)>,
}

impl Outbox {
    /// Of a slice that begins at `from`.
    pub(crate) fn new(source: Source, from: Offset, routes: &Arc<Routes>) -> Self {
        Self { source, from, targets: Vec::new(), routes: routes.clone(), entered: Vec::new() }
    }

    /// Says that the slice routes to a topic.
    ///
    /// # Errors
    /// [`QueueError::Full`] while it grows.
    pub(crate) fn enter(&mut self, topic: &Topic) -> Result<(), QueueError> {
        if !self.entered.iter().any(|(known, _)| *known == topic.id()) {
            let route = self.routes.enter(topic, self.source, self.from).ok_or(QueueError::Full(GROWING))?;
            self.entered.push((topic.id(), route));
        }
        Ok(())
    }

    /// Whether anything has to become durable before rows may be committed.
    pub(crate) fn is_empty(&self) -> bool {
        self.targets.iter().all(|target| target.last.is_none() && target.sealed.is_empty())
    }

    /// Adds an emission to a topic.
    ///
    /// # Errors
    /// [`QueueError::Refused`] where it can never be taken; nothing was added then. [`QueueError::Full`] while the topic grows.
    pub(crate) fn push(&mut self, topic: &Arc<Topic>, sending: &Sending<'_>) -> Result<(), QueueError> {
        self.enter(topic)?;
        let number = pick(sending.key, &self.source, topic.partitions().len());
        let known = self.targets.iter().position(|t| t.topic.id() == topic.id() && t.partition.id() == number);
        let at = match known {
            Some(at) => at,
            None => {
                let Some(partition) = topic.partition(number) else { return Ok(()) };
                let upto = partition.emitted_upto(self.source);
                self.targets.push(Target {
                    topic: topic.clone(),
                    partition,
                    upto,
                    sealed: VecDeque::new(),
                    open: BatchBuilder::new(),
                    last: None,
                });
                self.targets.len() - 1
            }
        };
        let target = &mut self.targets[at];
        if target.upto.is_some_and(|upto| sending.offset <= upto) {
            return Ok(());
        }
        let full = target.open.len_bytes() >= BATCH_BYTES || target.open.records() as usize >= BATCH_RECORDS;
        if full && target.last != Some(sending.offset) {
            target.seal();
        }
        let add = |open: &mut BatchBuilder| open.push(sending.timestamp_ms, sending.key, sending.payload, sending.headers);
        match add(&mut target.open) {
            Err(QueueError::Full(_)) if target.last != Some(sending.offset) => {
                target.seal();
                add(&mut target.open)?;
            }
            // Never split over two batches: the target would take the second for a repetition.
            Err(QueueError::Full(what)) => return Err(QueueError::Refused(format!("one record emits too much: {what}"))),
            other => other?,
        }
        target.last = Some(sending.offset);
        Ok(())
    }

    /// Makes all of it durable. `full` is asked whether a topic has its cap.
    pub(crate) async fn flush(&mut self, full: impl Fn(&Topic) -> bool) -> Result<(), Blocked> {
        self.targets.iter_mut().for_each(Target::seal);
        loop {
            let mut blocked = None;
            let mut sent = Vec::new();
            for (at, target) in self.targets.iter().enumerate() {
                let Some((last, batch)) = target.sealed.front() else { continue };
                let probe = Probe {
                    topic: target.topic.clone(),
                    partitions: target.topic.partitions().len(),
                    partition: target.partition.clone(),
                    source: self.source,
                    last: *last,
                    batch: batch.clone(),
                };
                if full(&target.topic) {
                    blocked = Some(Blocked::by(CAPPED, probe));
                } else {
                    sent.push((at, probe.send(), probe));
                }
            }
            if sent.is_empty() && blocked.is_none() {
                return Ok(());
            }
            // All of them are waited for, so that none is on its way when it is sent again.
            for (at, ticket, probe) in sent {
                match ticket.await {
                    Ok(_) => {
                        let target = &mut self.targets[at];
                        target.upto = target.sealed.pop_front().map(|(last, _)| last);
                    }
                    Err(error) => blocked = Some(Blocked::by(error, probe)),
                }
            }
            if let Some(blocked) = blocked {
                return Err(blocked);
            }
        }
    }
}

/// Waits for something on a thread that may.
pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(done) => return done,
            Poll::Pending => std::thread::park(),
        }
    }
}

/// What a lane hears of a topic that it cannot begin to route to now.
pub(crate) const GROWING: &str = "it is growing";
/// What a lane says about an output's topic that holds as much as it may.
pub(crate) const CAPPED: QueueError = QueueError::Full("what reads it is too far behind");

/// An emission that could not be made durable.
pub(crate) struct Blocked {
    pub(crate) error: QueueError,
    pub(crate) topic: Arc<str>,
    /// What to try next, if it is small enough to be kept.
    pub(crate) probe: Option<Probe>,
}

impl Blocked {
    pub(crate) fn by(error: QueueError, probe: Probe) -> Self {
        let topic = probe.topic.name().clone();
        let keep = probe.batch.len() <= PROBE_BYTES && !matches!(error, QueueError::Gone);
        Self { error, topic, probe: keep.then_some(probe) }
    }
}

/// A batch that a target did not take: sent alone until it does, so that a lane need not run its filters to find out.
pub(crate) struct Probe {
    pub(crate) topic: Arc<Topic>,
    /// How many there were when the partition was chosen.
    partitions: usize,
    partition: Arc<Partition>,
    source: Source,
    last: Offset,
    batch: Bytes,
}

impl Probe {
    /// Whether the topic is there no more, or has grown meanwhile: the records may belong elsewhere.
    pub(crate) fn is_stale(&self) -> bool {
        self.partition.is_gone() || self.topic.partitions().len() != self.partitions
    }

    /// Sends it; it may be there already.
    pub(crate) fn send(&self) -> Ticket {
        self.partition.append_emissions(self.source, self.last, self.batch.clone())
    }
}

/// The target partition: of the key as Kafka's clients do it, else of the source.
fn pick(key: Option<&[u8]>, source: &Source, partitions: usize) -> u32 {
    let partitions = u32::try_from(partitions).unwrap_or(u32::MAX).max(1);
    if partitions == 1 {
        return 0;
    }
    match key {
        Some(key) => partition_of(key, partitions),
        None => partition_of(&source_bytes(source.topic, source.partition), partitions),
    }
}

fn source_bytes(topic: TopicId, partition: u32) -> [u8; 20] {
    let mut bytes = [0; 20];
    bytes[..16].copy_from_slice(topic.as_bytes());
    bytes[16..].copy_from_slice(&partition.to_le_bytes());
    bytes
}
