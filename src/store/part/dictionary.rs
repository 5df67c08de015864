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

/// Adds a block's entries to `dict` and their counts to `counts`.
pub fn decode_block(raw: &[u8], entries: usize, dict: &mut Dict, counts: &mut Vec<u64>) -> Option<()> {
    let mut heads = Reader(raw);
    heads.at_most(entries, 3).filter(|entries| dict.len() + entries <= ENTRIES)?;
    let mut reader = heads;
    for _ in 0..entries * 2 {
        reader.varint()?;
    }
    for _ in 0..entries {
        counts.push(reader.varint()?);
    }
    let mut last = dict.bytes.len()..dict.bytes.len();
    for _ in 0..entries {
        let shared = heads.size().filter(|shared| *shared <= last.len())?;
        let suffix = heads.size()?;
        let start = dict.bytes.len();
        dict.bytes.extend_from_within(last.start..last.start + shared);
        dict.bytes.extend_from_slice(reader.take(suffix)?);
        if dict.bytes.len() > DICT_BYTES {
            return None;
        }
        last = start..dict.bytes.len();
        dict.ends.push(u32::try_from(dict.bytes.len()).ok()?);
    }
    reader.0.is_empty().then_some(())
}

/// Unpacks a block.
pub fn unpack_block(frame: &[u8], block: &BlockRef) -> Option<Vec<u8>> {
    // Heads and counts come on top of the entries: at most ten bytes for each of three numbers.
    let size = usize::try_from(block.unpacked).ok().filter(|size| *size <= DICT_BYTES + BLOCK_ENTRIES * 30)?;
    zstd::bulk::decompress(frame, size).ok().filter(|raw| raw.len() == size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_hold_no_more_entries_than_a_dictionary_has() {
        let entries: Vec<[u8; 2]> = (0..4096u16).map(u16::to_be_bytes).collect();
        let block = encode_block(entries.iter().map(|entry| (&entry[..], 1)));
        let (mut dict, mut counts) = (Dict::default(), Vec::new());
        let mut add = || decode_block(&block, BLOCK_ENTRIES, &mut dict, &mut counts);
        assert!((0..ENTRIES / BLOCK_ENTRIES).all(|_| add().is_some()));
        assert_eq!(add(), None);
    }
}
