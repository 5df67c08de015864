//! The writer's side of a partition: group commit, sealing, what happens when the disk says no.
//!
//! A group commit takes all appends that wait, writes them with one `pwritev` (frames, batches, and zeros ahead of them where
//! the file has to grow), syncs once, and only then moves the watermark and settles the tickets.
//! Invariants: one writer at a time (the log's lock); nothing is written before the group before it is durable (what `group`
//! in `frame.rs` rests on); readers see nothing above the watermark.
//! Zero-filled ground ahead: an fdatasync into it need not commit the file's new length, which is what makes it slow beside a
//! busy neighbour. It costs writing those bytes twice; it begins at 64 KiB and doubles while it lasts less than a second. A group
//! of 256 KiB or more takes long enough by itself that the length is not what it waits for: then there is no ground. Nor is there
//! where the disk has room for no more than what is to come.
//! Crash story: a write or sync that failed poisons the segment. Nobody knows what of it is on the disk, and the page cache may
//! lie, so the segment ends at the watermark, its tail is cut, and the next append begins a new file. What of it was only written
//! before (`Durability::Written`) no mark vouches for: the next start looks.

use std::collections::HashMap;
use std::io::{self, IoSlice};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::config::Durability;
use super::error::QueueError;
use super::files::{index_path, log_path};
use super::frame::{PATCHED, Plan, Source};
use super::index::NO_MS;
use super::partition::{Partition, Pending};
use super::producers::{Fresh, Producers};
use super::strays::Guests;
use super::ticket::Appended;
use super::view::{Sealed, Tail};
use crate::base::ids::Offset;

static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];
const GROUND_MIN: u64 = 64 * 1024;
const GROUND_MAX: u64 = 4 * 1024 * 1024;
/// A group of so many bytes grows the file by itself.
const BULK: u64 = 256 * 1024;

/// What only the writer knows.
#[derive(Debug)]
pub struct Log {
    /// The segment that is written, if there is one.
    pub active: Option<Active>,
    /// The offset that the next record gets.
    pub next: Offset,
    /// Append time of the last batch.
    pub last_ns: i64,
    /// For every lane that emits to here: the last source offset that is durable.
    pub sources: HashMap<Source, Offset>,
    /// Idempotent producers, and which of their batches are durable.
    pub producers: Producers,
    /// Producers whose batches were meant for other partitions and came here.
    pub guests: Guests,
    /// A write failed, and it is not settled yet that nothing of it comes back.
    pub doubtful: bool,
    /// Bytes since the last checkpoint.
    pub unchecked: u64,
    /// Something is written and not synced (`Durability::Written`).
    pub unsynced: bool,
    /// Sealed segments of which something was never synced, and the disk has said no: they may lack it.
    pub unvouched: Vec<Offset>,
    ground: u64,
    ground_at: Duration,
}

/// The segment that is written.
#[derive(Clone, Copy, Debug)]
pub struct Active {
    /// Its base offset.
    pub base: Offset,
    /// Where the next frame goes: the end of what is durable.
    pub position: u64,
    /// Length of the file; zeros from `position` on.
    pub allocated: u64,
    /// Append time of its first batch; 0 if there is none.
    pub first_ns: i64,
}

impl Log {
    /// A log that goes on at `next`.
    pub fn new(active: Option<Active>, next: Offset, last_ns: i64, sources: HashMap<Source, Offset>) -> Self {
        let (producers, guests, ground_at) = (Producers::default(), Guests::default(), Duration::ZERO);
        let (doubtful, unsynced) = (false, false);
        Self {
            active,
            next,
            last_ns,
            sources,
            producers,
            guests,
            doubtful,
            unchecked: 0,
            unsynced,
            unvouched: Vec::new(),
            ground: GROUND_MIN,
            ground_at,
        }
    }
}

/// What a group commit did.
pub struct Committed {
    /// For each append, where it went, or why it was not taken.
    pub places: Vec<Result<Appended, QueueError>>,
    /// Whether anything new became durable.
    pub moved: bool,
}

impl Partition {
    /// Sees to it that nothing is appended from here on with an arrival time before `ns`, and tells whether `end` is the end of
    /// the log at that: then nothing is on its way either. Holds until the box ends.
    pub fn not_before(&self, ns: i64, end: Offset) -> bool {
        let mut log = self.log.lock();
        log.last_ns = log.last_ns.max(ns);
        log.next == end
    }

    /// Writes a group and makes it durable.
    pub(super) fn write_group(&self, log: &mut Log, group: &[Pending]) -> Result<Committed, QueueError> {
        let bytes: u64 = group.iter().map(|pending| pending.batch.len() as u64 + 100).sum();
        let active = self.make_room(log, bytes).map_err(QueueError::not_durable)?;
        let now = self.shared.clock.now_ns().max(log.last_ns);
        let position = u32::try_from(active.position).map_err(io::Error::other).map_err(QueueError::not_durable)?;

        let mut heads = Vec::with_capacity(group.len() * 48);
        let mut tails: Vec<(usize, &[u8])> = Vec::with_capacity(group.len());
        let mut places = Vec::with_capacity(group.len());
        let mut fresh: HashMap<Source, Offset> = HashMap::new();
        let mut producing = Fresh::default();
        let mut starts: Vec<(Offset, u64, i64)> = Vec::new();
        let mut next = log.next;
        let mut end = active.position;
        for pending in group {
            if let Some((source, last)) = pending.source {
                let known = fresh.get(&source).or_else(|| log.sources.get(&source));
                if known.is_some_and(|known| *known >= last) {
                    // Sent again after a crash of the lane: it is here already.
                    places.push(Ok(Appended { base_offset: next, next_offset: next, duplicate: true }));
                    continue;
                }
                fresh.insert(source, last);
            } else if let Some(stamp) = pending.stamp.as_ref().filter(|_| pending.home.is_none()) {
                match log.producers.admit(&mut producing, stamp, next, now) {
                    Ok(None) => {}
                    Ok(Some(there)) => {
                        places.push(Ok(there));
                        continue;
                    }
                    Err(error) => {
                        places.push(Err(error));
                        continue;
                    }
                }
            }
            let plan = Plan {
                batch: &pending.batch,
                base: next,
                append_ns: now,
                group: position,
                source: pending.source,
                home: pending.home,
            };
            let start = heads.len();
            plan.write(&mut heads, self.seed);
            let tail = pending.batch.get(PATCHED..).unwrap_or_default();
            tails.push((heads.len(), tail));
            starts.push((next, end, pending.newest_ms));
            end += (heads.len() - start + tail.len()) as u64;
            let base_offset = next;
            next += u64::from(pending.records);
            places.push(Ok(Appended { base_offset, next_offset: next, duplicate: false }));
        }
        if tails.is_empty() {
            return Ok(Committed { places, moved: false });
        }
        // After a panic, too, nobody knows what of it is on the disk.
        let written = catch_unwind(AssertUnwindSafe(|| self.write_and_sync(log, active, &heads, &tails, end)));
        if let Err(error) = written.unwrap_or_else(|_| Err(io::Error::other("the write panicked"))) {
            tracing::error!(topic = %self.topic_name, partition = self.number, %error, "append failed; going on in a new segment");
            self.poison(log, active);
            return Err(QueueError::not_durable(error));
        }
        let first_ns = if active.position == 0 { now } else { active.first_ns };
        if let Some(active) = &mut log.active {
            active.position = end;
            active.first_ns = first_ns;
        }
        log.next = next;
        log.last_ns = now;
        log.sources.extend(fresh);
        log.producers.settle(producing);
        for (pending, place) in group.iter().zip(&places) {
            if let (Some(home), Some(stamp), Ok(place)) = (pending.home, &pending.stamp, place) {
                log.guests.found(home, stamp, place.base_offset, now);
            }
        }
        let grown = end - active.position;
        log.unchecked += grown;
        self.shared.gauges.unchecked.fetch_add(grown, Ordering::Relaxed);
        self.publish(active.base, &starts, end, next, now);
        Ok(Committed { places, moved: true })
    }

    /// The active segment, with room for so many bytes: the one there is, or a new one.
    fn make_room(&self, log: &mut Log, bytes: u64) -> io::Result<Active> {
        if let Some(active) = log.active {
            if active.position == 0 || active.position + bytes <= self.shared.config.segment_bytes.0 {
                return Ok(active);
            }
            self.seal(log)?;
        }
        self.begin_segment(log)
    }

    fn write_and_sync(
        &self,
        log: &mut Log,
        active: Active,
        heads: &[u8],
        tails: &[(usize, &[u8])],
        end: u64,
    ) -> io::Result<()> {
        let file = self.shared.files.open(self.key(active.base), &self.dir)?;
        let mut slices = Vec::with_capacity(tails.len() * 2 + 64);
        let mut from = 0;
        for (to, tail) in tails {
            slices.push(IoSlice::new(&heads[from..*to]));
            slices.push(IoSlice::new(tail));
            from = *to;
        }
        let own = slices.len();
        let mut allocated = active.allocated.max(end);
        if end > active.allocated {
            let most = self.shared.config.segment_bytes.0.max(end);
            let bulk = end - active.position >= BULK;
            allocated =
                if bulk { end } else { (end + self.ground(log).min(self.shared.left(false))).next_multiple_of(4096).min(most) };
            let mut left = usize::try_from(allocated - end).unwrap_or(0);
            while left > 0 {
                let some = left.min(ZEROS.len());
                slices.push(IoSlice::new(&ZEROS[..some]));
                left -= some;
            }
        }
        match file.write_vectored_at(&slices, active.position) {
            // Without the ground ahead it may just fit.
            Err(error) if error.kind() == io::ErrorKind::StorageFull && slices.len() > own => {
                file.write_vectored_at(&slices[..own], active.position)?;
                allocated = file.len()?;
            }
            other => other?,
        }
        if self.settings.load().durability == Durability::Fsync {
            file.sync_data()?;
            self.shared.gauges.syncs.fetch_add(1, Ordering::Relaxed);
            log.unsynced = false;
        } else {
            log.unsynced = true;
        }
        self.shared.gauges.commits.fetch_add(1, Ordering::Relaxed);
        if let Some(active) = &mut log.active {
            self.grew(allocated.saturating_sub(active.allocated));
            active.allocated = allocated;
        }
        Ok(())
    }

    /// How many zeros to write ahead: more, the faster they are used up.
    fn ground(&self, log: &mut Log) -> u64 {
        let now = self.shared.clock.monotonic();
        let lasted = now.saturating_sub(log.ground_at);
        if lasted < Duration::from_secs(1) {
            log.ground = (log.ground * 2).min(GROUND_MAX);
        } else if lasted > Duration::from_secs(60) {
            log.ground = GROUND_MIN;
        }
        log.ground_at = now;
        log.ground
    }

    /// Begins a new segment at the next offset.
    pub(super) fn begin_segment(&self, log: &mut Log) -> io::Result<Active> {
        let base = log.next;
        let file = self.shared.disk.open(&log_path(&self.dir, base), true)?;
        // Left over from an append that failed before anything was durable.
        if log.doubtful || file.len()? > 0 {
            file.set_len(0)?;
        }
        if log.doubtful {
            // Its length may be cut already, but only in the page cache.
            file.sync_data()?;
        }
        self.shared.disk.sync_dir(&self.dir)?;
        log.doubtful = false;
        self.shared.files.keep(self.key(base), file);
        let active = Active { base, position: 0, allocated: 0, first_ns: 0 };
        log.active = Some(active);
        self.view.write().tail = Some(Tail::new(base));
        Ok(active)
    }

    /// Ends the active segment: cuts the zeros, syncs, writes the index.
    pub(super) fn seal(&self, log: &mut Log) -> io::Result<()> {
        let Some(active) = log.active else { return Ok(()) };
        if active.position == 0 {
            return Ok(());
        }
        let sealed = self.shared.files.open(self.key(active.base), &self.dir).and_then(|file| {
            file.set_len(active.position)?;
            file.sync_data()
        });
        if let Err(error) = &sealed {
            // What was durable stays so. What was only written (`Durability::Written`) may be lost, as its name says.
            tracing::error!(topic = %self.topic_name, partition = self.number, %error, "sealing a segment failed");
        }
        self.retire(log, active, sealed.is_ok());
        Ok(())
    }

    /// Gives the active segment up after a failed write or sync.
    fn poison(&self, log: &mut Log, active: Active) {
        log.doubtful = true;
        let key = self.key(active.base);
        self.shared.files.forget(&key);
        if active.position == 0 {
            // Nothing durable in it: the next append cuts it to nothing and begins again.
            let _later = self.shared.disk.open(&log_path(&self.dir, active.base), false).and_then(|file| file.set_len(0));
            log.active = None;
            self.view.write().tail = None;
            super::shared::sub(&self.bytes, active.allocated);
            super::shared::sub(&self.shared.gauges.bytes, active.allocated);
            return;
        }
        // If the cut fails too, recovery still ends the segment where the next one begins.
        let cut = self.shared.disk.open(&log_path(&self.dir, active.base), false).and_then(|file| {
            file.set_len(active.position)?;
            file.sync_data()
        });
        if let Err(error) = cut {
            tracing::warn!(topic = %self.topic_name, partition = self.number, %error, "could not cut the failed tail");
        }
        self.retire(log, active, false);
    }

    /// Moves the active segment among the sealed ones.
    fn retire(&self, log: &mut Log, active: Active, synced: bool) {
        log.active = None;
        if std::mem::take(&mut log.unsynced) && !synced {
            let first = self.view.read().sealed.front().map_or(active.base, |first| first.base);
            log.unvouched.retain(|base| *base >= first);
            log.unvouched.push(active.base);
        }
        let (base, next, len) = (active.base, log.next, active.position);
        let index = {
            let mut view = self.view.write();
            let tail = view.tail.take();
            let newest_ms = tail.as_ref().map_or(NO_MS, |tail| tail.newest_ms);
            let (first_ns, last_ns) = (active.first_ns, log.last_ns);
            view.sealed.push_back(Sealed { base, next, len, first_ns, last_ns, newest_ms });
            tail.map(|tail| tail.index)
        };
        if let Some(index) = index.filter(|index| !index.is_empty()) {
            // Not synced and not checked: it is only a hint.
            let path = index_path(&self.dir, active.base);
            let written = self.shared.disk.open(&path, true).and_then(|file| file.write_at(&index.encode(), 0));
            if let Err(error) = written {
                tracing::debug!(%error, "index not written; it will be learnt again");
            }
        }
        self.shared.files.forget(&self.key(active.base));
        let freed = active.allocated.saturating_sub(active.position);
        super::shared::sub(&self.bytes, freed);
        super::shared::sub(&self.shared.gauges.bytes, freed);
        self.shared.gauges.sealed.store(true, Ordering::Relaxed);
    }

    /// Syncs what `Durability::Written` left. If that fails, the segment ends here: the next sync would say that all is well,
    /// and what comes behind a gap would be taken for what it follows.
    pub(super) fn sync_written(&self, log: &mut Log) -> io::Result<()> {
        let (true, Some(active)) = (log.unsynced, log.active) else { return Ok(()) };
        let synced = self.shared.files.open(self.key(active.base), &self.dir).and_then(|file| file.sync_data());
        match synced {
            Ok(()) => log.unsynced = false,
            Err(_) => self.poison(log, active),
        }
        synced
    }
}
