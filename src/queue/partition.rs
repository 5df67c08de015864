//! A partition: an ordered, durable log of record batches.
//!
//! Purpose: take batches, give each record an offset, tell when it is durable, and hand durable batches to readers.
//! Invariants: offsets are never used twice; nothing is read before it is durable; what was acknowledged is read once, in order,
//! until retention deletes it, which never passes what the store has committed or an output still wants (unless the
//! configuration chose that loss, which is counted).
//! Appending returns at once; the writers' pool does the work (`writer.rs`, `log.rs`). There is no thread and no buffer of a
//! partition's own: an idle one costs about a kilobyte.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use tokio::sync::oneshot;

use super::batch::{self, Header, StoredBatch};
use super::catalog::partition_dir;
use super::error::QueueError;
use super::files::Key;
use super::frame::{Home, Seed, Source, WHOLE_MAX};
use super::index::UNKNOWN_MS;
use super::log::Log;
use super::producers::Stamp;
use super::recovery::Recovered;
use super::settings::TopicSettings;
use super::shared::{Job, Shared, sub};
use super::ticket::{Appended, Ticket};
use super::view::{Sealed, Stop, View, Walk, read_bytes};
use crate::base::ids::{Offset, PartitionId, TopicId};

/// Most producers that are remembered for having been refused: a burst's worth.
const REFUSED: usize = 1_000;

/// An append that waits for a writer.
#[derive(Debug)]
pub(super) struct Pending {
    pub batch: Bytes,
    pub records: u32,
    /// Largest record time in it.
    pub newest_ms: i64,
    /// Who sent it, if he is idempotent.
    pub stamp: Option<Stamp>,
    pub source: Option<(Source, Offset)>,
    /// The partition it goes to, if a rule chose another than this one.
    pub to: Option<Arc<Partition>>,
    /// In that partition: the one it was meant for.
    pub home: Option<Home>,
    pub done: oneshot::Sender<Result<Appended, QueueError>>,
}

#[derive(Debug, Default)]
pub(super) struct Inbox {
    pub waiting: Vec<Pending>,
    /// A job for this partition is in the pool's channel, or a writer is at it.
    pub scheduled: bool,
    /// Its topic is deleted, or about to be.
    pub gone: bool,
    /// Sources of which an emission failed, and the least `last` of those that did.
    pub failed: HashMap<Source, Offset>,
    /// Partitions that failed to take a stray, and may still hold something of it.
    pub unsettled: Vec<Arc<Partition>>,
    /// Producers' batches that there was no room for; only of producers of which nothing waits.
    pub refused: Vec<Stamp>,
}

impl Inbox {
    /// An emission failed: whatever of that source comes behind it must fail too, or it would stand for the one that failed.
    fn fail(&mut self, (source, last): (Source, Offset)) {
        let least = self.failed.entry(source).or_insert(last);
        *least = (*least).min(last);
    }

    /// There was no room for a producer's batch: what comes behind it must not take its place.
    fn refuse(&mut self, stamp: Stamp) {
        let theirs = |other: &Stamp| other.id == stamp.id;
        let waits = self.waiting.iter().filter_map(|pending| pending.stamp.as_ref()).chain(&self.refused).any(theirs);
        if !waits && self.refused.len() < REFUSED {
            self.refused.push(stamp);
        }
    }
}

/// One partition of a topic.
#[derive(Debug)]
pub struct Partition {
    pub(super) topic: TopicId,
    pub(super) topic_name: Arc<str>,
    pub(super) number: PartitionId,
    pub(super) dir: PathBuf,
    pub(super) seed: Seed,
    pub(super) shared: Arc<Shared>,
    pub(super) settings: Arc<ArcSwap<TopicSettings>>,
    pub(super) inbox: Mutex<Inbox>,
    pub(super) log: Mutex<Log>,
    pub(super) view: RwLock<View>,
    /// First offset, and the one behind the last durable one.
    pub(super) start: AtomicU64,
    pub(super) end: AtomicU64,
    pub(super) last_ns: AtomicI64,
    pub(super) committed: AtomicU64,
    /// What is not to go for its age alone: somebody still reads it.
    pub(super) kept: AtomicU64,
    /// Covered by a checkpoint.
    pub(super) checked: AtomicU64,
    pub(super) bytes: AtomicU64,
    /// More is held than the topic may hold.
    pub(super) held: AtomicBool,
    /// Its topic was deleted.
    pub(super) gone: AtomicBool,
}

/// What a tail read asks of the disk at least, so that short batches do not cost a call each.
const READ_MIN: usize = 16 * 1024;

impl Partition {
    pub(super) fn new(
        shared: Arc<Shared>,
        topic: TopicId,
        topic_name: Arc<str>,
        number: PartitionId,
        settings: Arc<ArcSwap<TopicSettings>>,
        recovered: Recovered,
    ) -> Self {
        let (start, end) = (recovered.start, recovered.log.next);
        let checked = if recovered.log.unchecked > 0 { 0 } else { end };
        shared.gauges.bytes.fetch_add(recovered.bytes, Ordering::Relaxed);
        shared.gauges.unchecked.fetch_add(recovered.log.unchecked, Ordering::Relaxed);
        Self {
            topic,
            topic_name,
            number,
            dir: partition_dir(topic, number),
            seed: Seed::new(topic, number),
            shared,
            settings,
            inbox: Mutex::default(),
            last_ns: AtomicI64::new(recovered.log.last_ns),
            log: Mutex::new(recovered.log),
            view: RwLock::new(recovered.view),
            start: AtomicU64::new(start),
            end: AtomicU64::new(end),
            committed: AtomicU64::new(0),
            kept: AtomicU64::new(Offset::MAX),
            checked: AtomicU64::new(checked),
            bytes: AtomicU64::new(recovered.bytes),
            held: AtomicBool::new(false),
            gone: AtomicBool::new(false),
        }
    }

    /// The topic's id.
    pub fn topic_id(&self) -> TopicId {
        self.topic
    }

    /// The topic's name.
    pub fn topic_name(&self) -> &Arc<str> {
        &self.topic_name
    }

    /// Its number within the topic.
    pub fn id(&self) -> PartitionId {
        self.number
    }

    /// Appends a v2 record batch. Returns at once; the ticket tells when it is durable. The batch's records are not looked at:
    /// a receiver that takes batches from strangers lets [`batch::validate`] do that first. A batch of an idempotent producer is
    /// taken once and in order (`producers.rs`): if it is here already, the ticket gives the first time's offsets.
    pub fn append(self: &Arc<Self>, batch: Bytes) -> Ticket {
        self.submit(batch::check(&batch), batch, None, None)
    }

    /// Appends what a lane emitted for the source records up to and including `last`. Nothing is written, and the ticket
    /// succeeds, if this partition durably has that source's emissions up to `last`: so a lane sends again after a crash.
    ///
    /// A lane may send the next ones before it knows of the first. If one fails, all behind it fail as well, until the lane sends
    /// the one that failed again, or asks [`Partition::emitted_upto`].
    pub fn append_emissions(self: &Arc<Self>, source: Source, last: Offset, batch: Bytes) -> Ticket {
        self.submit(batch::check(&batch), batch, Some((source, last)), None)
    }

    /// The highest `last` of this source that is durable here. Where a lane goes on; it must have none in flight.
    pub fn emitted_upto(&self, source: Source) -> Option<Offset> {
        self.inbox.lock().failed.remove(&source);
        self.log.lock().sources.get(&source).copied()
    }

    /// As [`Partition::emitted_upto`], for who only wants to know: emissions may be in flight.
    pub fn emitted_so_far(&self, source: Source) -> Option<Offset> {
        self.log.lock().sources.get(&source).copied()
    }

    /// All sources that emitted to here, with the highest `last` that is durable.
    pub fn sources(&self) -> Vec<(Source, Offset)> {
        self.log.lock().sources.iter().map(|(source, last)| (*source, *last)).collect()
    }

    pub(super) fn submit(
        self: &Arc<Self>,
        checked: Result<Header, QueueError>,
        batch: Bytes,
        source: Option<(Source, Offset)>,
        to: Option<Arc<Self>>,
    ) -> Ticket {
        let header = match checked {
            Ok(header) => header,
            Err(error) => return Ticket::failed(error),
        };
        let (len, stamp, newest_ms) = (batch.len() as u64, Stamp::of(&header), header.max_timestamp);
        let mut inbox = self.inbox.lock();
        if self.shared.is_closed() {
            return Ticket::failed(QueueError::Closed);
        }
        if inbox.gone {
            return Ticket::failed(QueueError::Gone);
        }
        if let Some((source, last)) = source
            && let Some(failed) = inbox.failed.get(&source)
        {
            if last > *failed {
                return Ticket::failed(QueueError::not_durable(io::Error::other("an earlier emission of this lane failed")));
            }
            inbox.failed.remove(&source);
        }
        let room = match to.as_ref().unwrap_or(self).held.load(Ordering::Relaxed) {
            true => Err(QueueError::Full("the topic holds all it may; what reads it is behind")),
            false => self.shared.room_for(len, source.is_some()),
        };
        if let Err(error) = room {
            if let Some(source) = source {
                inbox.fail(source);
            } else if let Some(stamp) = stamp {
                inbox.refuse(stamp);
            }
            return Ticket::failed(error);
        }
        let (done, ticket) = Ticket::waiting();
        self.shared.gauges.pending.fetch_add(len, Ordering::Relaxed);
        inbox.waiting.push(Pending { batch, records: header.count, newest_ms, stamp, source, to, home: None, done });
        if !inbox.scheduled {
            inbox.scheduled = true;
            // The channel is unbounded, but a partition is in it at most once.
            let _gone = self.shared.jobs.send(Job::Commit(self.clone()));
        }
        ticket
    }

    /// A group failed, with these emissions: tells its tickets, and those of emissions that were sent behind one that failed.
    pub(super) fn fail(&self, emissions: &[(Source, Offset)], mut group: Vec<Pending>, error: &QueueError) {
        let mut inbox = self.inbox.lock();
        for emission in emissions {
            inbox.fail(*emission);
        }
        let waiting = std::mem::take(&mut inbox.waiting);
        for pending in waiting {
            let behind = pending.source.is_some_and(|(source, _)| inbox.failed.contains_key(&source));
            if behind {
                sub(&self.shared.gauges.pending, pending.batch.len() as u64);
                group.push(pending);
            } else {
                inbox.waiting.push(pending);
            }
        }
        drop(inbox);
        for pending in group {
            // Who dropped his ticket does not want to know.
            let _gone = pending.done.send(Err(error.clone()));
        }
    }

    /// The first offset that is still there.
    pub fn log_start(&self) -> Offset {
        self.start.load(Ordering::Acquire)
    }

    /// The offset behind the last durable record.
    pub fn high_watermark(&self) -> Offset {
        self.end.load(Ordering::Acquire)
    }

    /// Bytes of its segments on the disk.
    pub fn size_bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Append time of the last durable batch, nanoseconds since 1970; 0 if there never was one.
    pub fn last_append_ns(&self) -> i64 {
        self.last_ns.load(Ordering::Relaxed)
    }

    /// Tells how far the store has durably come. Retention does not pass it; until it is told, nothing is deleted.
    pub fn set_committed(&self, next: Offset) {
        self.committed.fetch_max(next, Ordering::AcqRel);
    }

    /// Keeps records from an offset on although they are past retention, for somebody who reads them again; not against a limit of
    /// bytes or a full disk. `None`: no longer.
    pub fn keep_from(&self, offset: Option<Offset>) {
        self.kept.store(offset.unwrap_or(Offset::MAX), Ordering::Release);
    }

    /// What [`Partition::set_committed`] was last told.
    pub fn committed(&self) -> Offset {
        self.committed.load(Ordering::Acquire)
    }

    /// Lets a log that ends below `offset` go on there: its end was lost, but a durable cursor has seen it, and offsets are
    /// never used twice. Tells whether that was so.
    ///
    /// # Errors
    /// [`QueueError::NotDurable`] or [`QueueError::Full`] from the disk.
    pub fn raise_to(&self, offset: Offset) -> Result<bool, QueueError> {
        let mut log = self.log.lock();
        if log.next >= offset || self.is_gone() {
            return Ok(false);
        }
        let lost_from = log.next;
        tracing::warn!(topic = %self.topic_name, partition = self.number, from = lost_from, to = offset,
            "the log ends below a durable cursor; going on there");
        let empty = log.active.filter(|active| active.position == 0);
        self.seal(&mut log).map_err(QueueError::not_durable)?;
        if let Some(active) = empty {
            self.shared.files.forget(&self.key(active.base));
            self.shared.disk.remove_file(&super::files::log_path(&self.dir, active.base)).map_err(QueueError::not_durable)?;
            log.active = None;
        }
        log.next = offset;
        self.begin_segment(&mut log).map_err(QueueError::not_durable)?;
        if self.view.read().sealed.is_empty() {
            self.start.store(offset, Ordering::Release);
        }
        self.end.store(offset, Ordering::Release);
        self.shared.gauges.sealed.store(true, Ordering::Relaxed);
        Ok(true)
    }

    pub(super) fn key(&self, base: Offset) -> Key {
        (self.topic, self.number, base)
    }

    pub(super) fn grew(&self, by: u64) {
        self.bytes.fetch_add(by, Ordering::Relaxed);
        self.shared.gauges.bytes.fetch_add(by, Ordering::Relaxed);
        self.shared.gauges.grown.fetch_add(by, Ordering::Relaxed);
    }

    /// Lets readers see what a group commit made durable.
    pub(super) fn publish(&self, base: Offset, starts: &[(Offset, u64, i64)], end: u64, next: Offset, now: i64) {
        // Kept until the watermark has moved: nobody reads beyond it.
        let mut view = self.view.write();
        if let Some(tail) = view.tail.as_mut().filter(|tail| tail.base == base) {
            for (offset, position, newest_ms) in starts {
                tail.index.note(*offset, *position, now, tail.newest_ms);
                tail.newest_ms = tail.newest_ms.max(*newest_ms);
            }
            tail.end = end;
        }
        self.last_ns.store(now, Ordering::Relaxed);
        self.end.store(next, Ordering::Release);
    }

    /// Durable batches from the one that holds `from` on, about `max_bytes` of them but at least one; empty when there is
    /// nothing new. Below [`Partition::log_start`] it begins there; the first batch's `base_offset` tells.
    ///
    /// # Errors
    /// [`QueueError::Disk`]; [`QueueError::Gone`] once the topic is deleted.
    pub fn read(&self, from: Offset, max_bytes: usize) -> Result<Vec<StoredBatch>, QueueError> {
        let read = self.read_there(from, max_bytes);
        // Whatever it came upon while the files went means nothing.
        if self.is_gone() { Err(QueueError::Gone) } else { read }
    }

    fn read_there(&self, from: Offset, max_bytes: usize) -> Result<Vec<StoredBatch>, QueueError> {
        let mut from = from;
        let mut out = Vec::new();
        loop {
            from = from.max(self.log_start());
            // Before the look at the tail, which so reaches at least that far.
            let watermark = self.high_watermark();
            if from >= watermark {
                return Ok(out);
            }
            // One look at both: a tail may be sealed at any moment.
            let (sealed, tail) = {
                let view = self.view.read();
                let at = view.sealed.partition_point(|sealed| sealed.next <= from);
                (view.sealed.get(at).copied(), view.tail.as_ref().map(|tail| (tail.base, tail.floor(from), tail.end)))
            };
            let next = match (sealed, tail) {
                (Some(sealed), _) => match self.read_sealed(&sealed, from, max_bytes, &mut out) {
                    Ok(()) => sealed.next,
                    // Retention took it while we looked.
                    Err(error) if error.kind() == io::ErrorKind::NotFound && self.log_start() > from => continue,
                    Err(error) => return Err(QueueError::disk(error)),
                },
                (None, Some(tail)) => {
                    let end = self.read_tail(tail, from, max_bytes, &mut out).map_err(QueueError::disk)?;
                    if end { watermark } else { from }
                }
                (None, None) => return Ok(out),
            };
            // Nothing readable from here to the end of the segment: what follows may be. Or it was deleted while we looked.
            if !out.is_empty() || next.max(self.log_start()) <= from {
                return Ok(out);
            }
            from = next;
        }
    }

    fn read_sealed(&self, sealed: &Sealed, from: Offset, most: usize, out: &mut Vec<StoredBatch>) -> io::Result<()> {
        let mapping = self.shared.files.map(self.key(sealed.base), &self.dir)?;
        let end = usize::try_from(sealed.len).unwrap_or(usize::MAX).min(mapping.bytes.len());
        let bytes = mapping.bytes.slice(..end);
        let mut at = usize::try_from(mapping.index.lock().floor(from)).unwrap_or(0);
        let mut walk = Walk { seed: self.seed, from, most, out, taken: 0, damaged: 0, seen: Vec::new() };
        if let Stop::Need(_) = walk.go(&bytes, &mut at) {
            walk.damaged += 1;
        }
        let (damaged, seen) = (walk.damaged, walk.seen);
        let mut index = mapping.index.lock();
        for (base, position, append_ns) in seen {
            index.note(base, position as u64, append_ns, UNKNOWN_MS);
        }
        drop(index);
        self.report_damage(damaged, sealed.base);
        Ok(())
    }

    /// Tells whether it came to the end.
    fn read_tail(
        &self,
        (base, mut position, end): (Offset, u64, u64),
        from: Offset,
        most: usize,
        out: &mut Vec<StoredBatch>,
    ) -> io::Result<bool> {
        let file = match self.shared.files.open(self.key(base), &self.dir) {
            Ok(file) => file,
            // Given up and gone: nothing durable was in it. Or sealed and deleted since.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        let mut want = most.clamp(READ_MIN, WHOLE_MAX.max(most));
        let mut walk = Walk { seed: self.seed, from, most, out, taken: 0, damaged: 0, seen: Vec::new() };
        while position < end {
            let len = want.min(usize::try_from(end - position).unwrap_or(usize::MAX));
            let bytes = read_bytes(file.as_ref(), position, len)?;
            let mut at = 0;
            let stop = walk.go(&bytes, &mut at);
            {
                let mut view = self.view.write();
                if let Some(tail) = view.tail.as_mut().filter(|tail| tail.base == base) {
                    for (offset, seen, append_ns) in walk.seen.drain(..) {
                        tail.index.note(offset, position + seen as u64, append_ns, UNKNOWN_MS);
                    }
                    if !walk.out.is_empty() {
                        tail.hint(walk.from, position + at as u64);
                    }
                }
            }
            if !walk.out.is_empty() {
                break;
            }
            let rest = bytes.len() - at.min(bytes.len());
            position += at as u64;
            if let Stop::Need(need) = stop {
                if position + rest as u64 >= end || need <= rest {
                    // Cut off although it is durable: damage.
                    walk.damaged += 1;
                    position += 1;
                }
                want = need.max(READ_MIN);
            }
        }
        let damaged = walk.damaged;
        self.report_damage(damaged, base);
        Ok(position >= end)
    }

    fn report_damage(&self, damaged: u64, base: Offset) {
        if damaged > 0 {
            self.shared.gauges.damaged.fetch_add(damaged, Ordering::Relaxed);
            tracing::error!(topic = %self.topic_name, partition = self.number, segment = base, places = damaged,
                "broken bytes in a segment; going on behind them");
        }
    }
}
