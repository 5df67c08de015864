//! One run of pairs as bytes: which slots (groups, or blocks of a dictionary) hold which hash.
//!
//! ```text
//! segment    = crc32c u32 of each block of BLOCK_BYTES of the body | crc32c u32 of those | body
//! body       = bucket directory | entries, bit by bit
//! directory  = 2^b + 1 packed numbers of w bits: where each bucket's entries begin, in bits
//! bucket q   = hashes whose first b of h bits are q, ascending, by what is left of them:
//!              gap to the one before (the first: itself): unary above m bits, m bits | postings
//! postings   = count - 1 + 1 in Elias gamma | count slots of g bits each, or, where that is no more, one bit a slot
//! ```
//! h = bits of the number of hashes, and some to spare: a hash that was never put in is found in one of 2^spare segments.
//! b, w, h, m and the number of slots stand in the directory of pairs (`mod.rs`). About 14 bits for a hash of one slot;
//! a hash that all slots hold costs a bit a slot. What is read is checked block by block, so a look-up touches four or so.

use std::ops::Range;

use super::super::bits::{pack, packed_len, width_of};

/// Bytes that share a checksum.
pub const BLOCK_BYTES: usize = 4096;
/// Bits of a hash that are kept at most, and so many are sorted by.
const HASH_BITS: u8 = 48;
/// Hashes of a bucket, about, as a power of two.
const BUCKET_POWER: u8 = 5;

/// No body is near so many bytes: where entries begin would not fit the directory.
const MOST_BODY: u64 = 1 << 40;

/// How a segment is read; checked when it is made or decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Slots.
    pub slots: u32,
    /// h.
    pub hash_bits: u8,
    /// b.
    pub bucket_bits: u8,
    /// w.
    pub offset_bits: u8,
    /// m.
    pub gap_bits: u8,
    /// Bytes of the body.
    pub body: u64,
}

impl Shape {
    /// Whether it can be read at all.
    pub fn is_sound(&self) -> bool {
        (1..=HASH_BITS).contains(&self.hash_bits)
            && self.bucket_bits <= self.hash_bits.min(32)
            && self.offset_bits <= 40
            && self.gap_bits <= self.hash_bits
            && (1..=super::SLOTS).contains(&self.slots)
            && self.body <= MOST_BODY
    }

    fn slot_bits(&self) -> u8 {
        width_of(u64::from(self.slots - 1))
    }

    fn blocks(&self) -> u64 {
        self.body.div_ceil(BLOCK_BYTES as u64)
    }

    /// Bytes of what every look-up reads: checksums, and the bucket directory.
    pub fn head_bytes(&self) -> u64 {
        let bits = ((1u64 << self.bucket_bits.min(40)) + 1).saturating_mul(u64::from(self.offset_bits));
        ((self.blocks() + 1) * 4 + bits.div_ceil(8)).min(self.bytes())
    }

    /// Bytes of the whole segment.
    pub fn bytes(&self) -> u64 {
        (self.blocks() + 1) * 4 + self.body
    }
}

/// A hash that is to be put in, and its slot.
pub fn pair(hash: u64, slot: u32) -> u64 {
    hash >> (64 - HASH_BITS) << (64 - HASH_BITS) | u64::from(slot)
}

/// Appends bits, the first in the lowest of the first byte.
#[derive(Debug, Default)]
struct BitWriter {
    out: Vec<u8>,
    word: u64,
    filled: u32,
}

impl BitWriter {
    fn bits(&self) -> u64 {
        self.out.len() as u64 * 8 + u64::from(self.filled)
    }

    fn put(&mut self, value: u64, width: u8) {
        let width = u32::from(width);
        if width == 0 {
            return;
        }
        self.word |= value << self.filled;
        if self.filled + width >= 64 {
            self.out.extend_from_slice(&self.word.to_le_bytes());
            let used = 64 - self.filled;
            self.word = if used == 64 { 0 } else { value >> used };
            self.filled = width - used;
        } else {
            self.filled += width;
        }
    }

    fn unary(&mut self, mut zeros: u64) {
        while zeros >= 32 {
            self.put(0, 32);
            zeros -= 32;
        }
        self.put(1 << zeros, u8::try_from(zeros + 1).unwrap_or(0));
    }

    fn gamma(&mut self, value: u64) {
        let power = width_of(value) - 1;
        self.unary(u64::from(power));
        self.put(value & ((1 << power) - 1), power);
    }

    fn finish(mut self) -> Vec<u8> {
        let rest = self.word.to_le_bytes();
        self.out.extend_from_slice(&rest[..(self.filled as usize).div_ceil(8)]);
        self.out
    }
}

/// A segment of pairs, which are sorted here; as bytes, and how to read them.
pub fn encode(pairs: &mut Vec<u64>, slots: u32, spare_bits: u8) -> (Vec<u8>, Shape) {
    pairs.sort_unstable();
    pairs.dedup();
    let slot_mask = (1u64 << (64 - HASH_BITS)) - 1;
    let mut hashes = 0u64;
    let mut last = None;
    for hash in pairs.iter().map(|pair| pair & !slot_mask) {
        hashes += u64::from(last != Some(hash));
        last = Some(hash);
    }
    let size = if hashes <= 1 { 0 } else { width_of(hashes - 1) };
    let hash_bits = (size + spare_bits).clamp(1, HASH_BITS);
    let bucket_bits = size.saturating_sub(BUCKET_POWER);
    // A gap is (2^h / hashes) wide on the average; m is best near 0.69 of that.
    let gap_bits = width_of(((1u64 << hash_bits) * 69 / 100).checked_div(hashes).unwrap_or(0)).saturating_sub(1);
    let mut shape = Shape { slots, hash_bits, bucket_bits, offset_bits: 0, gap_bits, body: 0 };
    let slot_bits = shape.slot_bits();
    let rest_bits = hash_bits - bucket_bits;
    let mut starts: Vec<u64> = Vec::with_capacity((1 << bucket_bits) + 1);
    let mut writer = BitWriter::default();
    let (mut at, mut before) = (0, None);
    let mut postings: Vec<u64> = Vec::new();
    while let Some(first) = pairs.get(at) {
        let hash = first >> (64 - hash_bits);
        postings.clear();
        while let Some(pair) = pairs.get(at).filter(|pair| *pair >> (64 - hash_bits) == hash) {
            postings.push(pair & slot_mask);
            at += 1;
        }
        postings.sort_unstable();
        postings.dedup();
        let (bucket, rest) = (hash >> rest_bits, hash & ((1 << rest_bits) - 1));
        while starts.len() as u64 <= bucket {
            starts.push(writer.bits());
            before = None;
        }
        let gap = before.map_or(rest, |before: u64| rest - before - 1);
        before = Some(rest);
        writer.unary(gap >> gap_bits);
        writer.put(gap & ((1 << gap_bits) - 1), gap_bits);
        writer.gamma(postings.len() as u64);
        if postings.len() as u64 * u64::from(slot_bits) < u64::from(slots) {
            postings.iter().for_each(|slot| writer.put(*slot, slot_bits));
        } else {
            let mut slot = 0;
            for held in &postings {
                (slot..*held).for_each(|_| writer.put(0, 1));
                writer.put(1, 1);
                slot = held + 1;
            }
            (slot..u64::from(slots)).for_each(|_| writer.put(0, 1));
        }
    }
    let end = writer.bits();
    starts.resize((1 << bucket_bits) + 1, end);
    shape.offset_bits = width_of(end);
    let mut body = Vec::new();
    pack(&mut body, starts.into_iter(), shape.offset_bits);
    body.extend_from_slice(&writer.finish());
    shape.body = body.len() as u64;
    let mut out = Vec::with_capacity(body.len() + body.len() / 1000 + 8);
    for block in body.chunks(BLOCK_BYTES) {
        out.extend_from_slice(&crc32c::crc32c(block).to_le_bytes());
    }
    let crc = crc32c::crc32c(&out);
    out.extend_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(&body);
    (out, shape)
}

/// Reads a segment that may be damaged: every answer is `None` then.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    shape: Shape,
    crcs: &'a [u8],
    body: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Of the segment's bytes.
    pub fn new(bytes: &'a [u8], shape: Shape) -> Option<Self> {
        let blocks = usize::try_from(shape.blocks()).ok()?;
        let (crcs, rest) = bytes.split_at_checked(blocks.checked_mul(4)?)?;
        let (crc, body) = rest.split_first_chunk::<4>()?;
        let fits = crc32c::crc32c(crcs) == u32::from_le_bytes(*crc) && body.len() as u64 == shape.body;
        (fits && shape.is_sound()).then_some(Self { shape, crcs, body })
    }

    /// Checks the blocks that these bits are in.
    fn check(&self, bits: Range<u64>) -> Option<()> {
        let first = usize::try_from(bits.start / 8).ok()? / BLOCK_BYTES;
        let last = usize::try_from(bits.end.div_ceil(8)).ok()?.div_ceil(BLOCK_BYTES);
        for block in first..last {
            let bytes = self.body.get(block * BLOCK_BYTES..)?;
            let bytes = bytes.get(..BLOCK_BYTES).unwrap_or(bytes);
            let crc = self.crcs.get(block * 4..block * 4 + 4)?;
            if crc32c::crc32c(bytes).to_le_bytes() != *crc {
                return None;
            }
        }
        Some(())
    }

    /// Checks all.
    pub fn check_all(&self) -> Option<()> {
        self.check(0..self.body.len() as u64 * 8)
    }

    /// 57 bits or more from here; past the end zeros.
    #[inline]
    fn word(&self, bit: u64) -> u64 {
        let byte = usize::try_from(bit / 8).unwrap_or(usize::MAX);
        let rest = self.body.get(byte..).unwrap_or(&[]);
        let word = match rest.first_chunk::<8>() {
            Some(eight) => u64::from_le_bytes(*eight),
            None => {
                let mut eight = [0; 8];
                eight[..rest.len()].copy_from_slice(rest);
                u64::from_le_bytes(eight)
            }
        };
        word >> (bit % 8)
    }

    fn bits(&self, at: &mut u64, width: u8) -> u64 {
        let value = self.word(*at) & ((1u64 << width.min(56)) - 1);
        *at += u64::from(width);
        value
    }

    fn zeros(&self, at: &mut u64, end: u64) -> Option<u64> {
        let start = *at;
        while *at < end {
            let zeros = (self.word(*at) | 1 << 56).trailing_zeros();
            *at += u64::from(zeros);
            if zeros < 56 {
                *at += 1;
                return (*at <= end).then(|| *at - 1 - start);
            }
        }
        None
    }

    fn gamma(&self, at: &mut u64, end: u64) -> Option<u64> {
        let power = u8::try_from(self.zeros(at, end)?).ok().filter(|power| *power < 32)?;
        Some(1 << power | self.bits(at, power))
    }

    /// Gives the slots that may hold this hash; `None` where bytes are damaged.
    pub fn find(&self, hash: u64, mut held: impl FnMut(usize)) -> Option<()> {
        let Shape { slots, hash_bits, bucket_bits, offset_bits, gap_bits, .. } = self.shape;
        let hash = hash >> (64 - hash_bits);
        let rest_bits = hash_bits - bucket_bits;
        let (bucket, wanted) = (hash >> rest_bits, hash & ((1 << rest_bits) - 1));
        let mut at = bucket * u64::from(offset_bits);
        self.check(at..at + 2 * u64::from(offset_bits))?;
        let (start, end) = (self.bits(&mut at, offset_bits), self.bits(&mut at, offset_bits));
        let base = packed_len((1usize << bucket_bits) + 1, offset_bits) as u64 * 8;
        let (mut at, end) = (base.checked_add(start)?, base.checked_add(end)?);
        if at > end || end > self.body.len() as u64 * 8 {
            return None;
        }
        self.check(at..end)?;
        let slot_bits = self.shape.slot_bits();
        let mut before: Option<u64> = None;
        while at < end {
            let gap = self.zeros(&mut at, end)?.checked_shl(u32::from(gap_bits))? | self.bits(&mut at, gap_bits);
            let rest = before.map_or(gap, |before| before.saturating_add(1).saturating_add(gap));
            if rest > wanted {
                return Some(());
            }
            before = Some(rest);
            let count = self.gamma(&mut at, end)?;
            let listed = count.saturating_mul(u64::from(slot_bits));
            let length = listed.min(u64::from(slots));
            if at.checked_add(length)? > end {
                return None;
            }
            if rest < wanted {
                at += length;
                continue;
            }
            if listed < u64::from(slots) {
                for _ in 0..count {
                    held(usize::try_from(self.bits(&mut at, slot_bits)).ok()?);
                }
            } else {
                for slot in 0..slots {
                    if self.bits(&mut at, 1) == 1 {
                        held(slot as usize);
                    }
                }
            }
            return Some(());
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    fn found(reader: &Reader<'_>, hash: u64) -> Option<BTreeSet<usize>> {
        let mut slots = BTreeSet::new();
        reader.find(hash, |slot| {
            slots.insert(slot);
        })?;
        Some(slots)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn what_was_put_in_is_found_and_little_else(
            hashes in prop::collection::vec((any::<u64>(), prop::collection::vec(0u32..200, 1..200)), 0..60),
            many in 0u64..3000,
            slots in 200u32..256,
        ) {
            let mut model: BTreeMap<u64, BTreeSet<usize>> = BTreeMap::new();
            let more = (0..many).map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15), vec![u32::try_from(at % 199).unwrap()]));
            let mut pairs = Vec::new();
            for (hash, held) in hashes.into_iter().chain(more) {
                for slot in held {
                    pairs.push(pair(hash, slot));
                    model.entry(hash).or_default().insert(slot as usize);
                }
            }
            let (bytes, shape) = encode(&mut pairs, slots, 6);
            prop_assert_eq!(bytes.len() as u64, shape.bytes());
            let reader = Reader::new(&bytes, shape).unwrap();
            prop_assert_eq!(reader.check_all(), Some(()));
            for (hash, held) in &model {
                let found = found(&reader, *hash).unwrap();
                prop_assert!(held.is_subset(&found));
            }
            let absent = (0..500u64).map(|at| ((at + 1) << 20).wrapping_mul(0xbf58_476d_1ce4_e5b9));
            let wrong: usize = absent.map(|hash| found(&reader, hash).unwrap().len().min(1)).sum();
            prop_assert!(wrong <= 40, "{wrong} of 500 that were never put in");
        }

        /// Bytes that no Sawbox wrote, under checksums that fit.
        #[test]
        fn noise_is_survived(
            noise in prop::collection::vec(any::<u8>(), 0..6000),
            (slots, hash_bits, bucket_bits, offset_bits, gap_bits) in (0u32..300, 0u8..60, 0u8..20, 0u8..50, 0u8..60),
            hash in any::<u64>(),
        ) {
            let shape = Shape { slots, hash_bits, bucket_bits, offset_bits, gap_bits, body: noise.len() as u64 };
            let mut bytes: Vec<u8> = noise.chunks(BLOCK_BYTES).flat_map(|block| crc32c::crc32c(block).to_le_bytes()).collect();
            bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
            bytes.extend_from_slice(&noise);
            if let Some(reader) = Reader::new(&bytes, shape) {
                let _ = found(&reader, hash);
            }
        }
    }

    #[test]
    fn damage_is_no_answer() {
        let hash = |at: u64| at.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut pairs: Vec<u64> = (0..8000u64).map(|at| pair(hash(at), u32::try_from(at % 100).unwrap())).collect();
        let (mut bytes, shape) = encode(&mut pairs, 100, 4);
        assert!(bytes.len() > 3 * BLOCK_BYTES);
        for at in (0..bytes.len()).step_by(997) {
            bytes[at] ^= 1 << (at % 8);
            let mut missed = 0;
            match Reader::new(&bytes, shape) {
                None => missed += 1,
                Some(reader) => {
                    assert_eq!(reader.check_all(), None);
                    for at in (0..8000u64).step_by(13) {
                        match found(&reader, hash(at)) {
                            Some(found) => assert!(found.contains(&usize::try_from(at % 100).unwrap())),
                            None => missed += 1,
                        }
                    }
                }
            }
            assert!(missed > 0, "byte {at}");
            bytes[at] ^= 1 << (at % 8);
        }
    }

    #[test]
    fn sizes_are_as_promised() {
        let mut pairs: Vec<u64> = (0..300_000u64)
            .map(|at| pair((at + 1).wrapping_mul(0xbf58_476d_1ce4_e5b9), u32::try_from(at / 3000).unwrap()))
            .collect();
        let (bytes, _) = encode(&mut pairs, 100, 4);
        let bits = bytes.len() * 8 / 300_000;
        assert!(bits <= 15, "{bits} bits a hash of one slot");
        let mut everywhere: Vec<u64> = (0..100_000u64)
            .map(|at| pair((at % 1000).wrapping_mul(0xbf58_476d_1ce4_e5b9), u32::try_from(at / 1000).unwrap()))
            .collect();
        let (bytes, _) = encode(&mut everywhere, 100, 4);
        assert!(bytes.len() < 1000 * 16, "{} bytes for 1,000 hashes that all slots hold", bytes.len());
    }
}
