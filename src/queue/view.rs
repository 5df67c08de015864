//! The readers' side of a partition: which segments there are, and reading durable batches from them.
//!
//! Sealed segments are mapped and batches are slices of the mapping; the tail, which is still written, is read by `pread`,
//! never above the watermark. What is read is judged (frame and crc); a broken place is skipped, counted and logged, and reading
//! goes on at the next whole batch, so that one flipped bit costs one batch.

use std::collections::VecDeque;
use std::io;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::batch::StoredBatch;
use super::frame::{self, HEAD_MAX, MAGIC, NoFrame, Seed};
use super::index::{Index, NO_MS, UNKNOWN_MS};
use crate::base::disk::DiskFile;
use crate::base::ids::Offset;

/// A sealed segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// Offset of its first record.
    pub base: Offset,
    /// Offset behind its last.
    pub next: Offset,
    /// Its bytes.
    pub len: u64,
    /// Append time of its first batch.
    pub first_ns: i64,
    /// Append time of its last.
    pub last_ns: i64,
    /// Largest record time, milliseconds; not known of segments that an earlier version marked.
    #[serde(default = "unknown_ms")]
    pub newest_ms: i64,
}

/// What a mark without a record time means.
pub fn unknown_ms() -> i64 {
    UNKNOWN_MS
}

/// What there is to read.
#[derive(Debug, Default)]
pub struct View {
    /// Oldest first.
    pub sealed: VecDeque<Sealed>,
    /// The segment that is still written.
    pub tail: Option<Tail>,
}

/// The durable part of the segment that is still written.
#[derive(Debug)]
pub struct Tail {
    /// Its base offset.
    pub base: Offset,
    /// Where the durable part ends.
    pub end: u64,
    /// Largest record time in it.
    pub newest_ms: i64,
    /// Where to begin looking.
    pub index: Index,
    /// Where some readers stopped: offset and position. Lanes read on where they stopped.
    pub hints: [(Offset, u64); 4],
    turn: usize,
}

impl Tail {
    /// An empty one.
    pub fn new(base: Offset) -> Self {
        Self { base, end: 0, newest_ms: NO_MS, index: Index::default(), hints: [(base, 0); 4], turn: 0 }
    }

    /// One that was found by recovery.
    pub fn found(base: Offset, end: u64, newest_ms: i64, index: Index) -> Self {
        Self { end, newest_ms, index, ..Self::new(base) }
    }

    /// A position at or before the batch that holds `offset`.
    pub fn floor(&self, offset: Offset) -> u64 {
        let hints = self.hints.iter().filter(|(at, _)| *at <= offset).map(|(_, position)| *position);
        hints.max().unwrap_or(0).max(self.index.floor(offset))
    }

    /// Remembers where a reader stopped.
    pub fn hint(&mut self, offset: Offset, position: u64) {
        self.hints[self.turn] = (offset, position);
        self.turn = (self.turn + 1) % self.hints.len();
    }
}

/// Where a walk stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// At the end of the bytes.
    End,
    /// The next batch would be more than was asked for.
    Enough,
    /// The next frame is cut off here: it needs so many bytes.
    Need(usize),
}

/// A walk through the frames of a segment, or of a piece of one.
#[derive(Debug)]
pub struct Walk<'o> {
    /// Whose frames.
    pub seed: Seed,
    /// Batches that end at or before this are passed over.
    pub from: Offset,
    /// Stop before the batches are more than this, but not before the first.
    pub most: usize,
    /// The batches.
    pub out: &'o mut Vec<StoredBatch>,
    /// Their bytes.
    pub taken: usize,
    /// Broken places.
    pub damaged: u64,
    /// Of every frame: offset, position in the bytes, time.
    pub seen: Vec<(Offset, usize, i64)>,
}

impl Walk<'_> {
    /// Walks on from `at`, which it moves.
    pub fn go(&mut self, bytes: &Bytes, at: &mut usize) -> Stop {
        loop {
            let Some(rest) = bytes.get(*at..).filter(|rest| !rest.is_empty()) else { return Stop::End };
            match frame::parse(rest, self.seed) {
                Err(NoFrame::Short) => return Stop::Need(HEAD_MAX),
                Ok(frame) if frame.len() > rest.len() => return Stop::Need(frame.len()),
                // What is passed over is looked at too: of half a frame the head is whole, and its length leads past the next.
                Ok(frame) if frame::body_holds(&frame, rest) => {
                    if frame.next <= self.from {
                        self.see(frame.base, *at, frame.append_ns);
                        *at += frame.len();
                        continue;
                    }
                    if !self.out.is_empty() && self.taken + frame.batch.len > self.most {
                        return Stop::Enough;
                    }
                    self.see(frame.base, *at, frame.append_ns);
                    self.out.push(StoredBatch {
                        base_offset: frame.base,
                        next_offset: frame.next,
                        append_ns: frame.append_ns,
                        bytes: bytes.slice(*at + frame.head..*at + frame.len()),
                    });
                    self.taken += frame.batch.len;
                    self.from = frame.next;
                    *at += frame.len();
                }
                Ok(_) | Err(NoFrame::Wrong) => {
                    self.damaged += 1;
                    *at += 1;
                    self.resume(bytes, at);
                }
            }
        }
    }

    /// Moves `at` to the next frame, or to the end.
    fn resume(&self, bytes: &Bytes, at: &mut usize) {
        for hit in memchr::memmem::find_iter(&bytes[*at..], &MAGIC) {
            let rest = &bytes[*at + hit..];
            if !matches!(frame::parse(rest, self.seed), Err(NoFrame::Wrong)) {
                *at += hit;
                return;
            }
        }
        // A frame may begin with the last bytes, and go on behind them.
        let begun = (1..MAGIC.len()).rev().find(|count| bytes.ends_with(&MAGIC[..*count])).unwrap_or(0);
        *at = (*at).max(bytes.len() - begun);
    }

    fn see(&mut self, base: Offset, at: usize, append_ns: i64) {
        if self.seen.last().is_none_or(|(_, last, _)| at >= last + 32 * 1024) {
            self.seen.push((base, at, append_ns));
        }
    }
}

/// Reads `len` bytes at `position` for a walk; fewer only at the end of the file.
pub fn read_bytes(file: &dyn DiskFile, position: u64, len: usize) -> io::Result<Bytes> {
    let mut bytes = vec![0; len];
    let got = file.read_at(&mut bytes, position)?;
    bytes.truncate(got);
    Ok(bytes.into())
}
