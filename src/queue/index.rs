//! Where in a segment an offset is, roughly: one entry for every 64 KiB of it.
//!
//! Never evidence: an entry only says where to begin looking, and what lies there is judged as if nobody had pointed at it.
//! Without the file (lost, broken, never written) a reader walks the segment from its start and learns the entries again.
//!
//! On disk, little-endian, `<base offset>.index` beside a sealed `<base offset>.log`:
//! ```text
//! magic "SWQJ" | crc32c u32 of what follows
//! | each entry: base offset u64 | position u32 | append time, ns since 1970, i64 | largest record time before it, ms, i64
//! ```
//! The largest record time is [`UNKNOWN_MS`] in entries that a reader learnt, who had not seen all before them. Files of earlier
//! versions ("SWQI", without it) count as missing.

use crate::base::ids::Offset;

/// Distance of entries in the segment, bytes.
const EVERY: u64 = 64 * 1024;
const MAGIC: [u8; 4] = *b"SWQJ";
const ENTRY: usize = 28;
/// A record time that nobody knows: there may be any.
pub const UNKNOWN_MS: i64 = i64::MAX;
/// The largest record time of nothing.
pub const NO_MS: i64 = i64::MIN;

/// The sparse index of one segment.
#[derive(Clone, Debug, Default)]
pub struct Index {
    entries: Vec<Entry>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    base: Offset,
    position: u32,
    append_ns: i64,
    before_ms: i64,
}

impl Index {
    /// Tells of a batch, and of the largest record time in the segment before it. Kept only if no entry is near before it; may
    /// be told in any order.
    pub fn note(&mut self, base: Offset, position: u64, append_ns: i64, before_ms: i64) {
        let Ok(short) = u32::try_from(position) else { return };
        let at = self.entries.partition_point(|entry| entry.base <= base);
        let before = at.checked_sub(1).and_then(|at| self.entries.get(at)).map_or(0, |entry| u64::from(entry.position));
        if position >= before + EVERY {
            self.entries.insert(at, Entry { base, position: short, append_ns, before_ms });
        }
    }

    /// A position at or before the batch that holds `offset`.
    pub fn floor(&self, offset: Offset) -> u64 {
        let at = self.entries.partition_point(|entry| entry.base <= offset);
        at.checked_sub(1).and_then(|at| self.entries.get(at)).map_or(0, |entry| u64::from(entry.position))
    }

    /// Offset of a batch before the first one that was appended at `ns` or later; none if only the segment's first will do.
    pub fn floor_of_append_time(&self, ns: i64) -> Option<Offset> {
        let at = self.entries.partition_point(|entry| entry.append_ns < ns);
        at.checked_sub(1).and_then(|at| self.entries.get(at)).map(|entry| entry.base)
    }

    /// Offset of a batch at or before the first one with a record of this time or a later one; none if only the segment's first
    /// will do.
    pub fn floor_of_record_time(&self, ms: i64) -> Option<Offset> {
        self.entries.iter().rev().find(|entry| entry.before_ms < ms).map(|entry| entry.base)
    }

    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// As a file.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(8 + self.entries.len() * ENTRY);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&[0; 4]);
        for entry in &self.entries {
            out.extend_from_slice(&entry.base.to_le_bytes());
            out.extend_from_slice(&entry.position.to_le_bytes());
            out.extend_from_slice(&entry.append_ns.to_le_bytes());
            out.extend_from_slice(&entry.before_ms.to_le_bytes());
        }
        let crc = crc32c::crc32c(&out[8..]);
        out[4..8].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// From a file, if it is whole.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (magic, rest) = bytes.split_first_chunk::<4>()?;
        let (crc, rest) = rest.split_first_chunk::<4>()?;
        if *magic != MAGIC || crc32c::crc32c(rest) != u32::from_le_bytes(*crc) || !rest.len().is_multiple_of(ENTRY) {
            return None;
        }
        let mut entries = Vec::with_capacity(rest.len() / ENTRY);
        for chunk in rest.chunks_exact(ENTRY) {
            let (base, chunk) = chunk.split_first_chunk::<8>()?;
            let (position, chunk) = chunk.split_first_chunk::<4>()?;
            let (time, before) = chunk.split_first_chunk::<8>()?;
            entries.push(Entry {
                base: u64::from_le_bytes(*base),
                position: u32::from_le_bytes(*position),
                append_ns: i64::from_le_bytes(*time),
                before_ms: i64::from_le_bytes(*before.first_chunk::<8>()?),
            });
        }
        Some(Self { entries })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_points_at_or_before_and_survives_its_file() {
        let mut index = Index::default();
        for nth in 0..100_u64 {
            let time = i64::try_from(nth).unwrap();
            index.note(nth * 10, nth * 10_000, time * 5, if nth < 50 { time } else { UNKNOWN_MS });
        }
        for offset in 0..1000 {
            let floor = index.floor(offset);
            assert!(floor <= offset / 10 * 10_000, "{offset}");
            assert!(floor + EVERY + 10_000 > offset / 10 * 10_000, "{offset}");
        }
        assert_eq!(index.floor_of_append_time(0), None);
        assert!(index.floor_of_append_time(250).is_some_and(|floor| floor < 500 && floor > 400));
        let floor = |ms| index.floor_of_record_time(ms);
        assert_eq!((floor(0), floor(7), floor(8), floor(60)), (None, None, Some(70), Some(490)));
        let bytes = index.encode();
        assert_eq!(Index::decode(&bytes).map(|index| index.entries), Some(index.entries));
        for at in 0..bytes.len() {
            let mut wrong = bytes.clone();
            wrong[at] ^= 4;
            assert!(Index::decode(&wrong).is_none());
            assert!(Index::decode(&bytes[..at]).is_none());
        }
    }

    #[test]
    fn what_is_learnt_late_fits_in() {
        let mut index = Index::default();
        index.note(900, 900_000, 9, 0);
        index.note(100, 100_000, 1, 0);
        index.note(101, 100_100, 1, 0);
        assert_eq!((index.floor(99), index.floor(500), index.floor(1000)), (0, 100_000, 900_000));
        assert_eq!(index.entries.len(), 2);
    }
}
