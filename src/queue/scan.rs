//! Walking a segment file that nobody vouches for.

use std::collections::HashMap;
use std::io;

use super::frame::{self, Frame, HEAD_MAX, MAGIC, Seed, Source};
use super::index::{Index, NO_MS};
use super::producers::{Producers, Stamp};
use super::strays::Guests;
use crate::base::disk::DiskFile;
use crate::base::ids::Offset;

/// How much is read at a time.
const AHEAD: usize = 1 << 20;
/// A place that the device cannot read is taken for zeros in pieces of this.
const PIECE: usize = 4096;
static ZEROS: [u8; 4096] = [0; 4096];

/// A file read forward, a piece at a time.
#[derive(Debug)]
pub struct Window<'f> {
    file: &'f dyn DiskFile,
    len: u64,
    start: u64,
    bytes: Vec<u8>,
    /// How much was read in all.
    pub read_bytes: u64,
}

impl<'f> Window<'f> {
    /// A window on the first `len` bytes.
    pub fn new(file: &'f dyn DiskFile, len: u64) -> Self {
        Self { file, len, start: 0, bytes: Vec::new(), read_bytes: 0 }
    }

    /// `want` bytes at `at`, fewer at the end.
    fn get(&mut self, at: u64, want: usize) -> io::Result<&[u8]> {
        let left = usize::try_from(self.len.saturating_sub(at)).unwrap_or(usize::MAX);
        let want = want.min(left);
        let inside = at.checked_sub(self.start).and_then(|skip| usize::try_from(skip).ok());
        if let Some(skip) = inside.filter(|skip| skip + want <= self.bytes.len()) {
            return Ok(&self.bytes[skip..skip + want]);
        }
        self.bytes.resize(want.max(AHEAD).min(left), 0);
        self.start = at;
        let got = match self.file.read_at(&mut self.bytes, at) {
            Ok(got) => got,
            Err(error) => self.piecewise(at, error)?,
        };
        self.read_bytes += got as u64;
        self.bytes.truncate(got);
        Ok(&self.bytes[..want.min(got)])
    }

    /// Reads around what the device cannot read.
    fn piecewise(&mut self, at: u64, error: io::Error) -> io::Result<usize> {
        let mut any = false;
        for (nth, piece) in self.bytes.chunks_mut(PIECE).enumerate() {
            match self.file.read_at(piece, at + (nth * PIECE) as u64) {
                Ok(_) => any = true,
                Err(_) => piece.fill(0),
            }
        }
        if any { Ok(self.bytes.len()) } else { Err(error) }
    }

    fn whole_at(&mut self, at: u64, seed: Seed) -> io::Result<Option<Frame>> {
        let Ok(frame) = frame::parse(self.get(at, HEAD_MAX)?, seed) else { return Ok(None) };
        let bytes = self.get(at, frame.len())?;
        Ok(frame::body_holds(&frame, bytes).then_some(frame))
    }

    /// Where the magic is next, at `at` or later.
    fn find(&mut self, mut at: u64) -> io::Result<Option<u64>> {
        while at < self.len {
            let bytes = self.get(at, AHEAD)?;
            if let Some(hit) = memchr::memmem::find(bytes, &MAGIC) {
                return Ok(Some(at + hit as u64));
            }
            if bytes.len() < MAGIC.len() {
                return Ok(None);
            }
            at += (bytes.len() - (MAGIC.len() - 1)) as u64;
        }
        Ok(None)
    }

    fn zeros_from(&mut self, mut at: u64) -> io::Result<bool> {
        while at < self.len {
            let bytes = self.get(at, AHEAD)?;
            if bytes.is_empty() {
                break;
            }
            if bytes.chunks(ZEROS.len()).any(|chunk| *chunk != ZEROS[..chunk.len()]) {
                return Ok(false);
            }
            at += bytes.len() as u64;
        }
        Ok(true)
    }
}

/// How to walk.
#[derive(Clone, Copy, Debug)]
pub struct Scan {
    /// Whose segment.
    pub seed: Seed,
    /// Base offset of the next segment: what lies above is the tail of an append that failed.
    pub ceiling: Offset,
    /// There is a next segment, so all of this one was durable.
    pub all_durable: bool,
    /// Below this offset the producers are known already.
    pub marked: Offset,
}

/// What a walk found.
#[derive(Debug)]
pub struct Found {
    /// Where the last whole batch ends.
    pub end: u64,
    /// The offset behind it.
    pub next: Offset,
    /// Append time of the first batch, 0 if there is none.
    pub first_ns: i64,
    /// Append time of the last.
    pub last_ns: i64,
    /// Broken places: position, bytes, offsets from and to.
    pub damage: Vec<(u64, u64, Offset, Offset)>,
    /// Sources of emissions, with the last offset.
    pub sources: HashMap<Source, Offset>,
    /// Idempotent producers: those that were known before, and what the walk learnt.
    pub producers: Producers,
    /// The same of those whose batches were meant for other partitions.
    pub guests: Guests,
    /// Largest record time.
    pub newest_ms: i64,
    /// Where to begin looking.
    pub index: Index,
    /// Nothing but zeros behind the end.
    pub clean: bool,
}

impl Found {
    /// Where a walk begins.
    pub fn begin(position: u64, next: Offset, newest_ms: i64, (producers, guests): (Producers, Guests)) -> Self {
        let (sources, index, damage) = (HashMap::new(), Index::default(), Vec::new());
        Self {
            end: position,
            next,
            first_ns: 0,
            last_ns: 0,
            damage,
            sources,
            producers,
            guests,
            newest_ms,
            index,
            clean: false,
        }
    }

    /// The walk begins with an empty segment at `base`.
    pub fn from_start(base: Offset, known: (Producers, Guests)) -> Self {
        Self::begin(0, base, NO_MS, known)
    }

    fn broken(&mut self, position: u64, bytes: u64, to: Offset) {
        self.damage.push((position, bytes, self.next, to));
        self.producers.doubt();
        self.guests.doubt();
    }
}

impl Scan {
    /// Walks on from what `found` says, where the batch with its next offset or a later one is expected.
    pub fn run(self, window: &mut Window<'_>, mut found: Found) -> io::Result<Found> {
        loop {
            let at = found.end;
            let whole = window.whole_at(at, self.seed)?.filter(|frame| self.fits(frame, found.next));
            if let Some(frame) = whole {
                self.take(&mut found, &frame, at);
                continue;
            }
            if window.zeros_from(at)? {
                found.clean = true;
                return Ok(found);
            }
            let Some((position, base)) = self.resume(window, at, found.next)? else { return Ok(found) };
            found.broken(at, position - at, base);
            found.end = position;
        }
    }

    fn fits(self, frame: &Frame, next: Offset) -> bool {
        frame.base >= next && frame.next <= self.ceiling
    }

    fn take(self, found: &mut Found, frame: &Frame, at: u64) {
        if frame.base > found.next {
            // Whole frames, but offsets between them are missing: only a lost write can do that.
            let reported = found.damage.last().is_some_and(|(.., to)| *to == frame.base);
            if !reported {
                found.broken(at, 0, frame.base);
            }
        }
        if found.first_ns == 0 {
            found.first_ns = frame.append_ns;
        }
        found.last_ns = frame.append_ns;
        found.index.note(frame.base, at, frame.append_ns, found.newest_ms);
        found.newest_ms = found.newest_ms.max(frame.batch.max_timestamp);
        if let Some((source, last)) = frame.source {
            found.sources.insert(source, last);
        } else if let Some(stamp) = Stamp::of(&frame.batch).filter(|_| frame.base >= self.marked) {
            match frame.home {
                Some(home) => found.guests.found(home, &stamp, frame.base, frame.append_ns),
                None => found.producers.found(&stamp, frame.base, frame.append_ns),
            }
        }
        found.end = at + frame.len() as u64;
        found.next = frame.next;
    }

    /// The next whole frame behind a broken place at `broken`, if it or a later one proves that the place was durable once.
    fn resume(self, window: &mut Window<'_>, broken: u64, next: Offset) -> io::Result<Option<(u64, Offset)>> {
        let mut first = None;
        let mut at = broken + 1;
        while let Some(hit) = window.find(at)? {
            at = hit + 1;
            if let Some(frame) = window.whole_at(hit, self.seed)?.filter(|frame| self.fits(frame, next)) {
                let first = *first.get_or_insert((hit, frame.base));
                if self.all_durable || frame.group > broken {
                    return Ok(Some(first));
                }
                at = hit + frame.len() as u64;
            }
        }
        Ok(None)
    }
}
