//! The distinct values of a column over a whole part, sorted, with how often each occurs.
//!
//! ```text
//! block = zstd frame of: for each of up to 4,096 entries: bytes shared with the entry before, further bytes;
//!                        for each: count;                              varints; the first entry of a block shares nothing
//!                        all the further bytes, back to back
//! ```
//! Sorted, so that a prefix is a range of codes and a lookup a binary search; with counts, so that a count or a top list over
//! a whole part needs no rows.
//! Limits: [`ENTRIES`] and [`DICT_BYTES`] a column and part; past either the column is text.

use super::bits::{Reader, put_varint};
use super::directory::BlockRef;
use super::packed;
use crate::store::source::Dict;

/// Most entries of a dictionary.
pub const ENTRIES: usize = 128 * 1024;
/// Most bytes of all its entries.
pub const DICT_BYTES: usize = 16 << 20;
/// Entries of a block.
pub const BLOCK_ENTRIES: usize = 4096;

/// One block's bytes before compression.
pub fn encode_block<'a>(entries: impl Iterator<Item = (&'a [u8], u64)> + Clone) -> Vec<u8> {
    let mut out = Vec::new();
    let mut suffixes = Vec::new();
    let mut last: &[u8] = &[];
    for (entry, _) in entries.clone() {
        let shared = entry.iter().zip(last).take_while(|(a, b)| a == b).count();
        put_varint(&mut out, shared as u64);
        put_varint(&mut out, (entry.len() - shared) as u64);
        suffixes.extend_from_slice(&entry[shared..]);
        last = entry;
    }
    for (_, count) in entries {
        put_varint(&mut out, count);
    }
    out.extend_from_slice(&suffixes);
    out
}

/// The entries of a block, one after the other.
pub struct Entries<'a> {
    heads: Reader<'a>,
    counts: Reader<'a>,
    suffixes: Reader<'a>,
    /// How many.
    pub len: usize,
    /// Bytes of all of them; not more than a dictionary has.
    pub bytes: usize,
}

impl<'a> Entries<'a> {
    /// So many, of a block that is unpacked.
    pub fn of(raw: &'a [u8], len: usize) -> Option<Self> {
        let heads = Reader(raw);
        heads.at_most(len, 3)?;
        let (mut counts, mut bytes) = (heads, 0usize);
        for _ in 0..len {
            let entry = counts.size()?.checked_add(counts.size()?)?;
            bytes = bytes.checked_add(entry).filter(|bytes| *bytes <= DICT_BYTES)?;
        }
        let mut suffixes = counts;
        for _ in 0..len {
            suffixes.varint()?;
        }
        Some(Self { heads, counts, suffixes, len, bytes })
    }

    /// Gives each to `see`, and how often it occurs, until that says no.
    pub fn each(mut self, mut see: impl FnMut(&[u8], u64) -> Option<()>) -> Option<()> {
        let mut entry = Vec::new();
        for _ in 0..self.len {
            let shared = self.heads.size().filter(|shared| *shared <= entry.len())?;
            let suffix = self.heads.size()?;
            entry.truncate(shared);
            entry.extend_from_slice(self.suffixes.take(suffix)?);
            see(&entry, self.counts.varint()?)?;
        }
        self.suffixes.0.is_empty().then_some(())
    }

    /// Adds all to `dict` and how often they occur to `counts`; about so many blocks are to come, with this one.
    pub fn add_to(self, dict: &mut Dict, counts: &mut Vec<u64>, blocks: usize) -> Option<()> {
        if dict.len() + self.len > ENTRIES || dict.bytes.len() + self.bytes > DICT_BYTES {
            return None;
        }
        // Room that has to grow is copied, and to touch memory for the first time costs more than to write to it.
        dict.bytes.reserve(self.bytes.saturating_mul(blocks).min(DICT_BYTES));
        dict.ends.reserve(self.len.saturating_mul(blocks).min(ENTRIES));
        counts.reserve(self.len.saturating_mul(blocks).min(ENTRIES));
        self.each(|entry, count| {
            dict.bytes.extend_from_slice(entry);
            dict.ends.push(u32::try_from(dict.bytes.len()).ok()?);
            counts.push(count);
            Some(())
        })
    }
}

/// Unpacks a block.
pub fn unpack_block(frame: &[u8], block: &BlockRef) -> Option<Vec<u8>> {
    // Heads and counts come on top of the entries: at most ten bytes for each of three numbers.
    let size = usize::try_from(block.unpacked).ok().filter(|size| *size <= DICT_BYTES + BLOCK_ENTRIES * 30)?;
    packed::unpack(frame, size).filter(|raw| raw.len() == size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_hold_no_more_entries_than_a_dictionary_has() {
        let entries: Vec<[u8; 2]> = (0..4096u16).map(u16::to_be_bytes).collect();
        let block = encode_block(entries.iter().map(|entry| (&entry[..], 1)));
        let (mut dict, mut counts) = (Dict::default(), Vec::new());
        let mut add = || Entries::of(&block, BLOCK_ENTRIES)?.add_to(&mut dict, &mut counts, 1);
        assert!((0..ENTRIES / BLOCK_ENTRIES).all(|_| add().is_some()));
        assert_eq!(add(), None);
    }
}
