//! Finding out, at start, what is there.
//!
//! For each partition: the sealed segments the last checkpoint knows are taken as they are; the rest is scanned, every frame and
//! batch checked, from where the checkpoint says everything was durable.
//! * A torn tail (broken bytes with no witness behind them that they were ever durable, see `frame.rs`) is cut off.
//! * Broken bytes inside stay where they are, are passed over, and reported with the offsets they held.
//! * Zeros ahead are the ground that the writer laid, and are kept.
//! * What a segment holds past the next one's base offset is the tail of an append that failed: ignored.
//!
//! What survives is synced before anybody reads it: it may be in the page cache alone.
//! It always starts: damage is reported, never an error. Errors are those of a disk that does not answer.

use std::io;
use std::path::Path;

use super::checkpoint::Mark;
use super::files::log_path;
use super::frame::Seed;
use super::log::{Active, Log};
use super::producers::Producers;
use super::scan::{Found, Scan, Window};
use super::strays::Guests;
use super::view::{Sealed, Tail, View};
use crate::base::disk::Disk;
use crate::base::ids::{Offset, PartitionId, TopicId};

/// What opening the queue found.
#[derive(Clone, Debug, Default)]
pub struct RecoveryReport {
    /// Topics and partitions there are.
    pub topics: usize,
    /// Their partitions.
    pub partitions: usize,
    /// Bytes that were read to find out.
    pub scanned_bytes: u64,
    /// Bytes of torn tails that were cut: nothing in them was acknowledged.
    pub torn_bytes: u64,
    /// Broken places: these records were acknowledged and are lost.
    pub damage: Vec<Damage>,
    /// Broken entries of the journals.
    pub damaged_entries: u64,
    /// Topics that lost their name to damage, and the names they go by now.
    pub adopted: Vec<String>,
}

impl RecoveryReport {
    /// Adds what was found elsewhere.
    pub(super) fn add(&mut self, other: Self) {
        self.topics += other.topics;
        self.partitions += other.partitions;
        self.scanned_bytes += other.scanned_bytes;
        self.torn_bytes += other.torn_bytes;
        self.damage.extend(other.damage);
        self.damaged_entries += other.damaged_entries;
        self.adopted.extend(other.adopted);
    }
}

/// A broken place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The topic.
    pub topic: TopicId,
    /// The partition.
    pub partition: PartitionId,
    /// The segment's base offset, which names its file.
    pub segment: Offset,
    /// Where in the file it begins.
    pub position: u64,
    /// How many bytes are passed over.
    pub bytes: u64,
    /// The offsets that were there: from …
    pub from: Offset,
    /// … up to, exclusive.
    pub to: Offset,
}

/// What was found of one partition.
#[derive(Debug)]
pub struct Recovered {
    /// For the writer.
    pub log: Log,
    /// For readers.
    pub view: View,
    /// The first offset.
    pub start: Offset,
    /// Bytes of its files.
    pub bytes: u64,
}

/// One partition's recovery.
pub struct Recovery<'r> {
    /// The disk.
    pub disk: &'r dyn Disk,
    /// The partition's directory.
    pub dir: &'r Path,
    /// Whose.
    pub topic: TopicId,
    /// Which.
    pub partition: PartitionId,
    /// What the last checkpoint said.
    pub mark: Option<&'r Mark>,
    /// Where to tell what was found.
    pub report: &'r mut RecoveryReport,
}

impl Recovery<'_> {
    /// Finds out.
    pub fn run(mut self) -> io::Result<Recovered> {
        let nothing = Mark::default();
        let mark = self.mark.unwrap_or(&nothing);
        let mut segments: Vec<(Offset, u64)> = Vec::new();
        for entry in self.disk.list(self.dir)? {
            if let Some(base) =
                entry.name.strip_suffix(".log").filter(|name| name.len() == 20).and_then(|name| name.parse().ok())
            {
                segments.push((base, entry.len));
            }
        }
        if segments.is_empty() {
            self.disk.create_dir_all(self.dir)?;
        }
        segments.sort_unstable();
        let mut view = View::default();
        let mut log = Log::new(None, 0, mark.last_ns, mark.sources());
        log.producers = Producers::of(&mark.producers);
        log.guests = Guests::of(&mark.guests);
        let mut bytes = 0;
        let start = segments.first().map_or(mark.next, |(base, _)| *base);
        let mut expected = start;
        let mut known_end = false;
        for (nth, &(base, len)) in segments.iter().enumerate() {
            let seen =
                mark.sealed.iter().any(|known| known.base == base) || mark.active.is_some_and(|(known, ..)| known == base);
            if base > expected && nth > 0 && !(known_end && seen) {
                self.lost(base, 0, expected, base);
                log.producers.doubt();
                log.guests.doubt();
            }
            let ceiling = segments.get(nth + 1).map_or(Offset::MAX, |(next, _)| *next);
            let known = mark.sealed.iter().find(|known| known.base == base && known.len <= len && known.next <= ceiling);
            // A gap behind a segment that the mark knows was made by `raise_to`, and told then.
            known_end = known.is_some();
            if let Some(known) = known {
                view.sealed.push_back(*known);
                bytes += known.len;
                expected = known.next;
                continue;
            }
            let known = (std::mem::take(&mut log.producers), std::mem::take(&mut log.guests));
            let (mut found, durable) = self.scan(mark, base, len, ceiling, known)?;
            (log.producers, log.guests) = (std::mem::take(&mut found.producers), std::mem::take(&mut found.guests));
            for (source, last) in &found.sources {
                let known = log.sources.entry(*source).or_insert(*last);
                *known = (*known).max(*last);
            }
            log.last_ns = log.last_ns.max(found.last_ns);
            log.unchecked += found.end.saturating_sub(durable);
            expected = found.next;
            let (first_ns, last_ns, newest_ms) = (found.first_ns, found.last_ns, found.newest_ms);
            let sealed = Sealed { base, next: found.next, len: found.end, first_ns, last_ns, newest_ms };
            if ceiling != Offset::MAX || !found.damage.is_empty() {
                if ceiling == Offset::MAX {
                    self.settle(base, &found, len, true)?;
                }
                if found.end > 0 {
                    bytes += found.end;
                    view.sealed.push_back(sealed);
                }
                continue;
            }
            let allocated = self.settle(base, &found, len, found.end > durable)?;
            bytes += allocated;
            log.active = Some(Active { base, position: found.end, allocated, first_ns: found.first_ns });
            view.tail = Some(Tail::found(base, found.end, newest_ms, found.index));
        }
        if mark.next > expected {
            // The last checkpoint saw more than there is: acknowledged records are gone from the end.
            let last = segments.last().map_or(start, |(base, _)| *base);
            self.lost(last, 0, expected, mark.next);
            log.producers.doubt();
            log.guests.doubt();
            expected = mark.next;
        }
        log.next = expected;
        // A user may have set it inside a segment, and whole ones may be gone since.
        let start = start.max(mark.start).min(expected);
        Ok(Recovered { log, view, start, bytes })
    }

    fn scan(
        &mut self,
        mark: &Mark,
        base: Offset,
        len: u64,
        ceiling: Offset,
        known: (Producers, Guests),
    ) -> io::Result<(Found, u64)> {
        let file = self.disk.open(&log_path(self.dir, base), false)?;
        let (begin, position, first_ns) = match mark.active {
            Some((active, position, first_ns)) if active == base && position <= len && mark.next <= ceiling => {
                (Found::begin(position, mark.next, mark.newest_ms, known), position, first_ns)
            }
            _ => (Found::from_start(base, known), 0, 0),
        };
        let mut window = Window::new(file.as_ref(), len);
        let seed = Seed::new(self.topic, self.partition);
        let scan = Scan { seed, ceiling, all_durable: ceiling != Offset::MAX, marked: mark.next };
        let mut found = scan.run(&mut window, begin)?;
        if position > 0 {
            found.first_ns = first_ns;
            found.last_ns = found.last_ns.max(mark.last_ns);
        }
        self.report.scanned_bytes += window.read_bytes;
        for (position, bytes, from, to) in &found.damage {
            self.report.damage.push(Damage {
                topic: self.topic,
                partition: self.partition,
                segment: base,
                position: *position,
                bytes: *bytes,
                from: *from,
                to: *to,
            });
        }
        Ok((found, position))
    }

    /// Cuts a torn tail, and makes durable what survived. Gives the file's length.
    fn settle(&mut self, base: Offset, found: &Found, len: u64, sync: bool) -> io::Result<u64> {
        let keep_ground = found.clean && found.damage.is_empty();
        if keep_ground && !sync {
            // As the last checkpoint left it: most partitions of a box are.
            return Ok(len);
        }
        let file = self.disk.open(&log_path(self.dir, base), false)?;
        if !keep_ground && len > found.end {
            if !found.clean {
                self.report.torn_bytes += len - found.end;
            }
            file.set_len(found.end)?;
        }
        if sync || !found.clean {
            file.sync_data()?;
        }
        Ok(if keep_ground { len } else { found.end })
    }

    fn lost(&mut self, segment: Offset, position: u64, from: Offset, to: Offset) {
        let (topic, partition) = (self.topic, self.partition);
        self.report.damage.push(Damage { topic, partition, segment, position, bytes: 0, from, to });
    }
}
