//! Pairs of words and where they occur: what rules row groups out before any of their values is unpacked.
//!
//! ```text
//! PAIR INDEX: unpacked size u32 | zstd frame of: count, then each segment, by column:
//!   column - previous column, what u8 (0 groups, 1 blocks of the column's dictionary),
//!   sort u8 (0 words, 1 hexadecimal, 2 UUIDs, 3 words but those of numbers), power u8, slots, h u8, b u8, w u8, m u8, body, offset, open slots, gaps between them,
//!   runs, then each: first slot, slots, first group - last group so far, groups              (all varints but where said)
//! segments themselves stand among the chunks, behind those of their column                    segment.rs
//! ```
//! A **word** is what it is to a phrase: a run of letters, digits, `_` and bytes of 0x80 and above, ASCII letters small. Of
//! columns of text every word of every row is in, once a group; of columns of hexadecimal ids and UUIDs the values themselves,
//! once for 2^power groups, since such groups are cheap to look through; of dictionaries, words by block. Where most values are
//! numbers or IPv4 addresses, these are not in, and a search for nothing but digits is told nothing. Nor are messages that
//! templates make: their words are those of the fields. The columns of one field (`mixed.rs`) are in as one, under the first.
//! A slot that holds more than [`WORDS`] words is **open**: it may hold anything. So is whatever no segment covers: parts of
//! version 1 have none.
//!
//! Segments are by column, so that a word in one says nothing of another, and of at most [`SLOTS`] slots or [`PAIRS`] pairs, which
//! is what writing one takes of memory (8 MiB). A merge copies those whose groups it copies: a run says which of the new
//! groups the slots are. Hashes lie: who finds one verifies rows. Damage of a segment or of the directory means no index.

pub mod build;
pub mod copy;
pub mod segment;

use std::ops::Range;

use self::segment::{Reader, Shape};
use super::bits::{Reader as Bytes, put_varint};
use crate::base::predicate::{Wanted, is_word_byte};

/// Most slots of a segment.
pub const SLOTS: u32 = 256;
/// Most pairs of a segment.
pub const PAIRS: usize = 1 << 20;
/// Most words of a slot.
pub const WORDS: usize = 1 << 16;

/// What the hashes of a segment are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// Every word.
    Words,
    /// Values that are one word each, all of hexadecimal digits.
    Hex,
    /// UUIDs.
    Uuid,
    /// Every word, but of no value that is a number or an IPv4 address.
    Texts,
}

/// Bytes of a UUID.
pub const UUID_BYTES: usize = 36;

/// Slots that are groups of a part: slot `slot + i` is groups `group + (i << power)` and so on, up to `groups` of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// First slot.
    pub slot: u32,
    /// How many.
    pub slots: u32,
    /// First group.
    pub group: u32,
    /// How many.
    pub groups: u32,
}

/// Where a segment is, and what of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Number of the column, from 0.
    pub column: u32,
    /// Whether slots are blocks of the column's dictionary.
    pub dictionary: bool,
    /// What is hashed.
    pub sort: Sort,
    /// A slot is 2^power groups.
    pub power: u8,
    /// How it is read.
    pub shape: Shape,
    /// Where it begins.
    pub offset: u64,
    /// Slots that may hold anything, ascending.
    pub open: Vec<u32>,
    /// What the slots are.
    pub runs: Vec<Run>,
}

impl Segment {
    /// Its groups or blocks, slot by slot.
    pub fn places(&self) -> impl Iterator<Item = (u32, Range<u32>)> + '_ {
        let each = |run: &Run| {
            let (run, power) = (*run, self.power);
            (0..run.slots).map(move |at| {
                let first = run.group.saturating_add(at << power);
                let end = first.saturating_add(1 << power).min(run.group.saturating_add(run.groups));
                (run.slot + at, first..end)
            })
        };
        self.runs.iter().flat_map(each)
    }

    /// Its bytes in a file.
    pub fn reader<'a>(&self, file: &'a [u8]) -> Option<Reader<'a>> {
        let start = usize::try_from(self.offset).ok()?;
        let end = start.checked_add(usize::try_from(self.shape.bytes()).ok()?)?;
        Reader::new(file.get(start..end)?, self.shape)
    }

    /// Which slots may hold all that is wanted; `None` where nothing can be told.
    pub fn slots(&self, reader: &Reader<'_>, wanted: &Wanted) -> Option<Option<Vec<bool>>> {
        let mut hashes = Vec::with_capacity(wanted.words.len());
        let all = |is: fn(&[u8]) -> bool| wanted.words.iter().all(|word| is(word));
        match self.sort {
            Sort::Words => hashes.extend(wanted.words.iter().map(|word| hash(word))),
            Sort::Hex | Sort::Uuid if !all(|word| word.iter().all(u8::is_ascii_hexdigit)) => {
                return Some(Some(vec![false; self.shape.slots as usize]));
            }
            // A value is one word.
            Sort::Hex => hashes.extend(wanted.words.iter().map(|word| hash(word))),
            Sort::Uuid => match wanted.text.as_deref() {
                Some(text) if text.len() == UUID_BYTES => hashes.push(hash(text)),
                _ if !all(|word| [4, 8, 12].contains(&word.len())) => {
                    return Some(Some(vec![false; self.shape.slots as usize]));
                }
                _ => {}
            },
            Sort::Texts => {
                if !all(|word| word.iter().all(u8::is_ascii_digit)) {
                    hashes.extend(wanted.words.iter().map(|word| hash(word)));
                }
            }
        }
        if hashes.is_empty() {
            return Some(None);
        }
        let mut held = vec![true; self.shape.slots as usize];
        for hash in hashes {
            let mut found = vec![false; held.len()];
            reader.find(hash, |slot| {
                if let Some(place) = found.get_mut(slot) {
                    *place = true;
                }
            })?;
            held.iter_mut().zip(found).for_each(|(held, found)| *held &= found);
        }
        for slot in &self.open {
            if let Some(place) = held.get_mut(*slot as usize) {
                *place = true;
            }
        }
        Some(Some(held))
    }
}

/// The directory of pairs as bytes.
pub fn encode(segments: &[Segment]) -> Vec<u8> {
    let mut out = Vec::new();
    put_varint(&mut out, segments.len() as u64);
    let mut column = 0;
    for segment in segments {
        put_varint(&mut out, u64::from(segment.column.saturating_sub(column)));
        column = segment.column;
        let sort = match segment.sort {
            Sort::Words => 0,
            Sort::Hex => 1,
            Sort::Uuid => 2,
            Sort::Texts => 3,
        };
        let Shape { slots, hash_bits, bucket_bits, offset_bits, gap_bits, body } = segment.shape;
        out.extend_from_slice(&[u8::from(segment.dictionary), sort, segment.power]);
        put_varint(&mut out, u64::from(slots));
        out.extend_from_slice(&[hash_bits, bucket_bits, offset_bits, gap_bits]);
        put_varint(&mut out, body);
        put_varint(&mut out, segment.offset);
        put_varint(&mut out, segment.open.len() as u64);
        let mut last = 0;
        for slot in &segment.open {
            put_varint(&mut out, u64::from(slot - last));
            last = *slot;
        }
        put_varint(&mut out, segment.runs.len() as u64);
        let mut group = 0;
        for run in &segment.runs {
            put_varint(&mut out, u64::from(run.slot));
            put_varint(&mut out, u64::from(run.slots));
            put_varint(&mut out, u64::from(run.group.wrapping_sub(group)));
            put_varint(&mut out, u64::from(run.groups));
            group = run.group.wrapping_add(run.groups);
        }
    }
    out
}

/// Reads a directory of pairs of a part of so many groups.
pub fn decode(bytes: &[u8], groups: usize) -> Option<Vec<Segment>> {
    let mut reader = Bytes(bytes);
    let count = reader.size()?;
    let mut segments = Vec::with_capacity(reader.at_most(count, 14)?);
    let mut column = 0u32;
    for _ in 0..count {
        column = column.checked_add(reader.number()?)?;
        let dictionary = reader.u8()? == 1;
        let sort = match reader.u8()? {
            0 => Sort::Words,
            1 => Sort::Hex,
            2 => Sort::Uuid,
            3 => Sort::Texts,
            _ => return None,
        };
        let power = reader.u8().filter(|power| *power <= 16)?;
        let slots = reader.number()?;
        let (hash_bits, bucket_bits, offset_bits, gap_bits) = (reader.u8()?, reader.u8()?, reader.u8()?, reader.u8()?);
        let shape = Shape { slots, hash_bits, bucket_bits, offset_bits, gap_bits, body: reader.varint()? };
        let offset = reader.varint()?;
        let open_count = reader.size()?;
        let mut open = Vec::with_capacity(reader.at_most(open_count, 1)?);
        let mut last = 0u32;
        for _ in 0..open_count {
            last = last.checked_add(reader.number()?)?;
            open.push(last);
        }
        let run_count = reader.size()?;
        let mut runs = Vec::with_capacity(reader.at_most(run_count, 4)?);
        let (mut group, mut left) = (0u32, shape.slots);
        for _ in 0..run_count {
            let (slot, slots) = (reader.number()?, reader.number()?);
            let (first, own) = (group.wrapping_add(reader.number()?), reader.number()?);
            group = first.checked_add(own)?;
            let fits = slot.checked_add(slots)? <= shape.slots && slots == own.div_ceil(1 << power);
            (fits && slots > 0 && (dictionary || group as usize <= groups)).then_some(())?;
            // No slot is in two runs.
            left = left.checked_sub(slots)?;
            runs.push(Run { slot, slots, group: first, groups: own });
        }
        shape.is_sound().then_some(())?;
        segments.push(Segment { column, dictionary, sort, power, shape, offset, open, runs });
    }
    reader.0.is_empty().then_some(segments)
}

/// Hash of a word or an id; ASCII capitals count as small letters. Part of the format.
pub fn hash(text: &[u8]) -> u64 {
    let mut hasher = Hasher::default();
    text.iter().for_each(|byte| hasher.put(byte.to_ascii_lowercase()));
    hasher.finish()
}

/// See [`hash`]: eight bytes at a time, the last ones with the length above them.
#[derive(Clone, Copy, Debug)]
struct Hasher {
    state: u64,
    word: u64,
    bytes: u64,
}

impl Default for Hasher {
    fn default() -> Self {
        Self { state: 0x5a17_b0c5_93d1_4e2b, word: 0, bytes: 0 }
    }
}

impl Hasher {
    #[inline]
    fn put(&mut self, byte: u8) {
        self.word = self.word << 8 | u64::from(byte);
        self.bytes += 1;
        if self.bytes.is_multiple_of(8) {
            self.state = mix(self.state ^ self.word);
            self.word = 0;
        }
    }

    #[inline]
    fn finish(self) -> u64 {
        mix(self.state ^ self.word ^ self.bytes << 56)
    }
}

#[inline]
fn mix(value: u64) -> u64 {
    let product = u128::from(value ^ 0x2d35_8dcc_aa6c_78a5) * 0x8bb8_4b93_962e_acc9;
    #[allow(clippy::cast_possible_truncation)] // both halves are meant
    let (low, high) = (product as u64, (product >> 64) as u64);
    low ^ high
}

/// What a byte is in a word: itself, or its small letter; 0 where it is not of one.
const FOLDED: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0u8;
    loop {
        if is_word_byte(byte) {
            table[byte as usize] = byte.to_ascii_lowercase();
        }
        if byte == 255 {
            break table;
        }
        byte += 1;
    }
};

/// Gives the hash of every word of a text.
#[inline]
pub fn each_hash(text: &[u8], mut see: impl FnMut(u64)) {
    let mut hasher = Hasher::default();
    for byte in text {
        let folded = FOLDED[usize::from(*byte)];
        if folded != 0 {
            hasher.put(folded);
        } else if hasher.bytes > 0 {
            see(hasher.finish());
            hasher = Hasher::default();
        }
    }
    if hasher.bytes > 0 {
        see(hasher.finish());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base::predicate::words;

    #[test]
    fn hashes_are_of_the_format() {
        // Whoever changes these makes every index that was written useless.
        assert_eq!(hash(b"Timeout"), hash(b"tIMEOUT"));
        assert_ne!(hash(b"a"), hash(b"\0a"));
        assert_ne!(hash(b"12345678"), hash(b"1234567"));
    }

    #[test]
    fn directories_come_back() {
        let shape = Shape { slots: 9, hash_bits: 20, bucket_bits: 4, offset_bits: 12, gap_bits: 3, body: 77 };
        let run = |slot, slots, group, groups| Run { slot, slots, group, groups };
        let segments = vec![
            Segment {
                column: 2,
                dictionary: false,
                sort: Sort::Words,
                power: 0,
                shape,
                offset: 900,
                open: vec![1, 7],
                runs: vec![run(0, 4, 10, 4), run(6, 2, 3, 2)],
            },
            Segment {
                column: 2,
                dictionary: true,
                sort: Sort::Words,
                power: 0,
                shape,
                offset: 9,
                open: vec![],
                runs: vec![run(0, 9, 0, 9)],
            },
            Segment {
                column: 5,
                dictionary: false,
                sort: Sort::Uuid,
                power: 3,
                shape,
                offset: 1,
                open: vec![],
                runs: vec![run(0, 2, 0, 14)],
            },
        ];
        let bytes = encode(&segments);
        assert_eq!(decode(&bytes, 14), Some(segments.clone()));
        assert_eq!(decode(&bytes, 13), None, "groups that are not there");
        let odd = |change: fn(&mut Segment)| {
            let mut segments = segments.clone();
            change(&mut segments[0]);
            decode(&encode(&segments), 14)
        };
        assert_eq!(odd(|segment| segment.shape.body = u64::MAX), None, "more bytes than can be");
        assert_eq!(odd(|segment| segment.runs.extend([Run { slot: 0, slots: 9, group: 0, groups: 9 }])), None, "slots twice");
        assert!(odd(|segment| segment.runs.extend([Run { slot: 4, slots: 2, group: 5, groups: 2 }])).is_some());
        for cut in 0..bytes.len() {
            assert_eq!(decode(&bytes[..cut], 14), None);
        }
        let places: Vec<_> = segments[2].places().collect();
        assert_eq!(places, [(0, 0..8), (1, 8..14)]);
    }

    proptest! {
        #[test]
        fn words_are_those_of_phrases(text in prop::collection::vec(any::<u8>(), 0..80)) {
            let mut seen = Vec::new();
            each_hash(&text, |hash| seen.push(hash));
            let model: Vec<u64> = words(&text).map(|word| hash(&text[word])).collect();
            prop_assert_eq!(seen, model);
        }

        #[test]
        fn noise_is_no_directory(noise in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&noise, 100);
        }
    }
}
