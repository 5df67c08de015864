//! Tables that count packed strings: one for each of 256 partitions by hash, so that each fits the processor's cache, two threads
//! seldom want the same, and what does not fit into memory can be left to another pass.
//!
//! Limits: [`Pass::new`]'s budget, which a table that doubles may exceed by itself until the pass gives up half its partitions.
//! Hashes have a seed of their own in every query, so that nobody can choose values that collide.

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};

use hashbrown::{DefaultHashBuilder, HashMap};
use parking_lot::Mutex;

use super::packed::{Class, Packed};

/// Into how many pieces values are dealt; a pass is some of them.
pub const PARTITIONS: usize = 256;
/// What a value that is not packed takes beside its bytes.
const LONG_BESIDE: usize = 64;

/// A key of fixed width.
pub trait Fixed: Copy + Eq + Default {
    /// Its hash.
    fn hash(self, seed: u64) -> u64;
}

/// Both halves of a product of 128 bits, folded: every bit of the operands reaches every bit of it.
#[allow(clippy::cast_possible_truncation)] // its halves
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

impl Fixed for u64 {
    fn hash(self, seed: u64) -> u64 {
        fold(fold(self ^ seed, 0x9e37_79b9_7f4a_7c15), 0xc4ce_b9fe_1a85_ec53)
    }
}

impl Fixed for u128 {
    #[allow(clippy::cast_possible_truncation)] // its halves
    fn hash(self, seed: u64) -> u64 {
        let high = fold((self >> 64) as u64 ^ seed, 0x9e37_79b9_7f4a_7c15);
        fold(self as u64 ^ high, 0xc4ce_b9fe_1a85_ec53)
    }
}

/// Which partition a hash falls into: its upper bits; the lower ones choose the slot.
pub fn partition_of(hash: u64) -> usize {
    usize::try_from(hash >> 56).unwrap_or(0)
}

/// Counts by key in open slots; a count of 0 is an empty slot.
#[derive(Debug)]
pub struct Flat<K> {
    keys: Vec<K>,
    counts: Vec<u32>,
    len: usize,
    /// What did not fit into 32 bits.
    over: Vec<(K, u64)>,
}

impl<K> Default for Flat<K> {
    fn default() -> Self {
        Self { keys: Vec::new(), counts: Vec::new(), len: 0, over: Vec::new() }
    }
}

impl<K: Fixed> Flat<K> {
    fn bytes(&self) -> usize {
        self.keys.len() * (size_of::<K>() + 4)
    }

    fn slot(&self, key: K, seed: u64) -> usize {
        let mask = self.keys.len().wrapping_sub(1);
        #[allow(clippy::cast_possible_truncation)] // only its lower bits are meant
        let mut slot = key.hash(seed) as usize & mask;
        while self.counts[slot] != 0 && self.keys[slot] != key {
            slot = (slot + 1) & mask;
        }
        slot
    }

    /// Counts a key so many times.
    pub fn add(&mut self, key: K, count: u32, seed: u64) {
        if self.len >= self.keys.len() / 8 * 7 {
            self.grow(seed);
        }
        let slot = self.slot(key, seed);
        let own = &mut self.counts[slot];
        if *own == 0 {
            self.keys[slot] = key;
            self.len += 1;
        }
        match own.checked_add(count) {
            Some(sum) => *own = sum,
            None => self.over.push((key, u64::from(count))),
        }
    }

    fn grow(&mut self, seed: u64) {
        let slots = (self.keys.len() * 2).max(16);
        let keys = std::mem::replace(&mut self.keys, vec![K::default(); slots]);
        let counts = std::mem::replace(&mut self.counts, vec![0; slots]);
        for (key, count) in keys.into_iter().zip(counts).filter(|(_, count)| *count != 0) {
            let slot = self.slot(key, seed);
            self.keys[slot] = key;
            self.counts[slot] = count;
        }
    }

    fn each(&self, mut see: impl FnMut(K, u64)) {
        for (key, &count) in self.keys.iter().zip(&self.counts).filter(|(_, count)| **count != 0) {
            let over = self.over.iter().filter(|(own, _)| own == key).map(|(_, count)| count).sum::<u64>();
            see(*key, u64::from(count) + over);
        }
    }
}

/// The values of one partition.
#[derive(Debug, Default)]
pub struct Table {
    /// Keys of 8 bytes.
    pub narrow: Flat<u64>,
    /// Keys of 16 bytes, by class.
    pub wide: [Flat<u128>; 3],
    long: HashMap<Box<[u8]>, u64>,
    long_bytes: usize,
}

const CLASSES: [Class; 3] = [Class::Short, Class::Hex32, Class::Uuid];

impl Table {
    fn bytes(&self) -> usize {
        self.narrow.bytes() + self.wide.iter().map(Flat::bytes).sum::<usize>() + self.long_bytes
    }

    /// Counts a value that is not packed.
    pub fn add_long(&mut self, text: &[u8], count: u32) {
        match self.long.get_mut(text) {
            Some(own) => *own += u64::from(count),
            None => {
                self.long_bytes += text.len() + LONG_BESIDE;
                self.long.insert(text.into(), u64::from(count));
            }
        }
    }

    /// Gives every value and its count.
    pub fn each(&self, mut see: impl FnMut(Packed<'_>, u64)) {
        self.narrow.each(|key, count| see(Packed::Hex16(key), count));
        for (class, flat) in CLASSES.into_iter().zip(&self.wide) {
            flat.each(|key, count| see(Packed::Wide(class, key), count));
        }
        self.long.iter().for_each(|(text, &count)| see(Packed::Long(text), count));
    }
}

/// One reading of the rows: the partitions that are counted in it, and their tables.
#[derive(Debug)]
pub struct Pass {
    /// Its first partition.
    pub from: usize,
    /// Lowered when memory is full.
    to: AtomicUsize,
    /// By partition.
    pub tables: Vec<Mutex<Table>>,
    bytes: AtomicUsize,
    budget: usize,
    /// Not even one partition fits.
    lost: AtomicBool,
    /// For the hashes of packed values.
    pub seed: u64,
    /// For those of others.
    pub hasher: DefaultHashBuilder,
}

impl Pass {
    /// A pass over these partitions, whose tables may take so many bytes.
    pub fn new(partitions: std::ops::Range<usize>, budget: usize, hasher: DefaultHashBuilder) -> Self {
        Self {
            from: partitions.start,
            to: AtomicUsize::new(partitions.end),
            tables: (0..PARTITIONS).map(|_| Mutex::default()).collect(),
            bytes: AtomicUsize::new(0),
            budget,
            lost: AtomicBool::new(false),
            seed: hasher.hash_one(0u64),
            hasher,
        }
    }

    /// Whether a partition is counted in this pass.
    pub fn counts(&self, partition: usize) -> bool {
        partition >= self.from && partition < self.to.load(Relaxed)
    }

    /// Adds to a partition's table under its lock.
    pub fn with(&self, partition: usize, add: impl FnOnce(&mut Table)) {
        if self.lost.load(Relaxed) {
            return;
        }
        let grown = {
            let mut table = self.tables[partition].lock();
            // It may have been given up since; who gives up says so before taking the lock.
            if partition >= self.to.load(SeqCst) {
                return;
            }
            let before = table.bytes();
            add(&mut table);
            table.bytes() - before
        };
        // What was given up meanwhile may have been taken off before it is added here: that is less than nothing for a moment.
        let bytes = self.bytes.fetch_add(grown, SeqCst).wrapping_add(grown);
        if grown > 0 && bytes > self.budget && bytes <= usize::MAX / 2 {
            self.give_up_half();
        }
    }

    /// The partition after its last.
    pub fn to(&self) -> usize {
        self.to.load(SeqCst)
    }

    /// Bytes of its tables.
    pub fn bytes(&self) -> usize {
        self.bytes.load(SeqCst)
    }

    /// Whether a single partition did not fit, and values are missing.
    pub fn lost(&self) -> bool {
        self.lost.load(SeqCst)
    }

    fn give_up_half(&self) {
        let to = self.to.load(SeqCst);
        if to - self.from <= 1 {
            self.lost.store(true, SeqCst);
            return;
        }
        let half = self.from + (to - self.from) / 2;
        if self.to.compare_exchange(to, half, SeqCst, SeqCst).is_ok() {
            for table in &self.tables[half..to] {
                let gone = std::mem::take(&mut *table.lock());
                self.bytes.fetch_sub(gone.bytes(), SeqCst);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_counted_and_what_is_over_32_bits_too() {
        let mut flat = Flat::<u64>::default();
        for round in 0..3u32 {
            for key in 0..5000u64 {
                flat.add(key * key, round + 1, 7);
            }
        }
        (0..3).for_each(|_| flat.add(4, u32::MAX, 7));
        let mut all = Vec::new();
        flat.each(|key, count| all.push((key, count)));
        all.sort_unstable();
        let over = 3 * u64::from(u32::MAX);
        let expected: Vec<(u64, u64)> = (0..5000).map(|key| (key * key, if key == 2 { 6 + over } else { 6 })).collect();
        assert_eq!(all, expected);
    }

    #[test]
    fn a_full_pass_keeps_its_lower_partitions_whole() {
        let pass = Pass::new(0..PARTITIONS, 100_000, DefaultHashBuilder::default());
        for key in 0..50_000u64 {
            let partition = partition_of(key.hash(pass.seed));
            if pass.counts(partition) {
                pass.with(partition, |table| table.narrow.add(key, 1, pass.seed));
            }
        }
        assert!(pass.bytes() <= 100_000 && pass.to() < PARTITIONS && !pass.lost());
        let mut kept = 0;
        pass.tables.iter().for_each(|table| table.lock().each(|_, _| kept += 1));
        assert_eq!(kept, (0..50_000u64).filter(|key| partition_of(key.hash(pass.seed)) < pass.to()).count());
    }
}
