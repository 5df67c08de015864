//! Percentiles and counts of distinct values in bounded memory: exact while small, estimates with a known error beyond.
//!
//! * [`Quantiles`] keeps up to [`EXACT_VALUES`] numbers; more are counted in buckets. A bucket is the top bits of the double, so no
//!   logarithm is taken: 64 to each power of two, so that an estimate is within 1/128 of the value, and finer ones while all numbers
//!   lie in [`FINE`] of them, so that it is within some hundredth of their spread too: of times all are much alike. The least and the
//!   greatest are kept, and no estimate lies beyond them.
//! * [`Distinct`] keeps up to [`EXACT_HASHES`] hashes; more go into 2^16 HyperLogLog registers (standard error 0.4 %), which
//!   take no more memory than so many hashes.
//!
//! Both can be added to one another, which is how threads' results are merged; the result does not depend on the order.

use rustc_hash::{FxHashMap, FxHashSet};

/// Numbers kept one by one.
const EXACT_VALUES: usize = 1000;
/// Hashes kept one by one.
const EXACT_HASHES: usize = 4096;
/// Bits of a hash that choose a register.
const REGISTER_BITS: u32 = 16;
/// Most buckets between the least and the greatest that are counted in an array: 32 powers of two.
const WINDOW: usize = 2048;
/// Bits of a double below its bucket at the most: 52 of fraction less the 6 that divide a power of two.
const COARSE: u32 = 46;
/// Most buckets between the least and the greatest that are finer.
const FINE: usize = 512;

/// The numbers of a group, for percentiles.
#[derive(Clone, Debug)]
pub struct Quantiles {
    exact: Vec<f64>,
    /// Whether there are too many to be kept one by one.
    spilled: bool,
    /// The least and the greatest number.
    ends: (f64, f64),
    /// Bits of a double below its bucket.
    shift: u32,
    /// The bucket that `counts` begins with.
    first: i64,
    /// By bucket: those that lie close together, as those of one measure do.
    counts: Vec<u64>,
    /// Zeros, whose bucket is far from all others.
    zeros: u64,
    /// By bucket: the rest, where buckets are coarse. Negative numbers have negative buckets.
    far: FxHashMap<i64, u64>,
}

impl Default for Quantiles {
    fn default() -> Self {
        let (exact, counts, far) = (Vec::new(), Vec::new(), FxHashMap::default());
        let ends = (f64::INFINITY, f64::NEG_INFINITY);
        Self { exact, spilled: false, ends, shift: 0, first: 0, counts, zeros: 0, far }
    }
}

fn bucket(value: f64, shift: u32) -> i64 {
    let magnitude = i64::try_from(value.abs().to_bits() >> shift).unwrap_or(i64::MAX);
    if value < 0.0 { -magnitude } else { magnitude }
}

/// The bucket that one of finer buckets lies in.
fn coarser(bucket: i64, by: u32) -> i64 {
    if bucket < 0 { -(-bucket >> by) } else { bucket >> by }
}

fn middle(bucket: i64, shift: u32) -> f64 {
    if bucket == 0 {
        return 0.0;
    }
    let bits = (bucket.unsigned_abs() << shift) + (1 << shift >> 1);
    let value = f64::from_bits(bits);
    if bucket < 0 { -value } else { value }
}

impl Quantiles {
    /// Adds a number; NaN is passed over.
    pub fn add(&mut self, value: f64) {
        if value.is_nan() {
            return;
        }
        self.ends = (self.ends.0.min(value), self.ends.1.max(value));
        if !self.spilled {
            if self.exact.len() < EXACT_VALUES {
                self.exact.push(value);
                return;
            }
            self.spill();
        }
        self.count(bucket(value, self.shift), 1);
    }

    fn spill(&mut self) {
        self.spilled = true;
        for value in std::mem::take(&mut self.exact) {
            self.count(bucket(value, self.shift), 1);
        }
    }

    fn place(&self, bucket: i64) -> usize {
        bucket.checked_sub(self.first).and_then(|place| usize::try_from(place).ok()).unwrap_or(usize::MAX)
    }

    fn count(&mut self, bucket: i64, count: u64) {
        let place = self.place(bucket);
        match self.counts.get_mut(place) {
            Some(own) => *own += count,
            None if bucket == 0 => self.zeros += count,
            None => self.count_outside(bucket, count),
        }
    }

    /// Counts in a bucket that the array does not have yet.
    #[cold]
    fn count_outside(&mut self, bucket: i64, count: u64) {
        if self.counts.is_empty() {
            self.first = bucket;
        }
        let last = self.first.saturating_add(i64::try_from(self.counts.len()).unwrap_or(i64::MAX) - 1);
        let (least, greatest) = (self.first.min(bucket), last.max(bucket));
        let width =
            greatest.checked_sub(least).and_then(|width| usize::try_from(width).ok()).map_or(usize::MAX, |width| width + 1);
        if self.shift < COARSE && width > FINE {
            let by = width.div_ceil(FINE).next_power_of_two().trailing_zeros().clamp(1, COARSE - self.shift);
            let before = self.shift;
            self.coarsen(before + by);
            return self.count(coarser(bucket, self.shift - before), count);
        }
        if width > WINDOW {
            *self.far.entry(bucket).or_default() += count;
            return;
        }
        let before = usize::try_from(self.first - least).unwrap_or(0);
        self.counts.splice(0..0, std::iter::repeat_n(0, before));
        self.counts.resize(width, 0);
        self.first = least;
        let place = self.place(bucket);
        if let Some(own) = self.counts.get_mut(place) {
            *own += count;
        }
    }

    /// Counts in buckets as coarse as those of this shift. Only coarse ones have any that are far.
    fn coarsen(&mut self, shift: u32) {
        let before = std::mem::replace(&mut self.shift, shift);
        let (first, counts) = (self.first, std::mem::take(&mut self.counts));
        for (bucket, count) in (first..).zip(counts).filter(|(_, count)| *count > 0) {
            // To count one may make all coarser still.
            self.count(coarser(bucket, self.shift - before), count);
        }
    }

    /// What is counted: buckets, ascending; one may come twice.
    fn buckets(&self) -> Vec<(i64, u64)> {
        let own = (self.first..).zip(self.counts.iter().copied()).filter(|(_, count)| *count > 0);
        let zeros = (self.zeros > 0).then_some((0, self.zeros));
        let mut all: Vec<(i64, u64)> =
            own.chain(zeros).chain(self.far.iter().map(|(&bucket, &count)| (bucket, count))).collect();
        all.sort_unstable();
        all
    }

    /// Adds all numbers of another.
    pub fn merge(&mut self, other: &Self) {
        other.exact.iter().for_each(|&value| self.add(value));
        if other.spilled {
            if !self.spilled {
                self.spill();
            }
            self.ends = (self.ends.0.min(other.ends.0), self.ends.1.max(other.ends.1));
            if self.shift < other.shift {
                self.coarsen(other.shift);
            }
            for (bucket, count) in other.buckets() {
                self.count(coarser(bucket, self.shift - other.shift), count);
            }
        }
    }

    /// Whether an answer is an estimate.
    pub fn is_estimate(&self) -> bool {
        self.spilled
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> usize {
        (self.exact.capacity() + self.counts.capacity()) * 8 + self.far.capacity() * 17
    }

    /// The number below which so many hundredths of them are: between two of them, where it falls between their places.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    pub fn percentile(&self, hundredths: f64) -> Option<f64> {
        let share = (hundredths / 100.0).clamp(0.0, 1.0);
        if !self.spilled {
            let mut sorted = self.exact.clone();
            sorted.sort_unstable_by(f64::total_cmp);
            let place = share * sorted.len().checked_sub(1)? as f64;
            let (below, above) = (*sorted.get(place as usize)?, *sorted.get(place.ceil() as usize)?);
            let part = place.fract();
            return Some(if part == 0.0 || below == above { below } else { below * (1.0 - part) + above * part });
        }
        let buckets = self.buckets();
        let count = buckets.iter().map(|(_, count)| count).sum::<u64>();
        let rank = ((share * count as f64).ceil() as u64).clamp(1, count.max(1));
        if rank == 1 || rank == count {
            return Some(if rank == 1 { self.ends.0 } else { self.ends.1 });
        }
        let mut seen = 0;
        let found = buckets.into_iter().find(|(_, count)| {
            seen += count;
            seen >= rank
        });
        found.map(|(bucket, _)| middle(bucket, self.shift).clamp(self.ends.0, self.ends.1))
    }
}

/// The different values of a group, by hash.
#[derive(Clone, Debug, Default)]
pub struct Distinct {
    exact: FxHashSet<u64>,
    registers: Option<Box<[u8]>>,
}

/// A hash fit for [`Distinct`]: the same in every thread and run.
pub fn hash(bytes: &[u8]) -> u64 {
    use std::hash::Hasher;
    let mut hasher = rustc_hash::FxHasher::default();
    hasher.write(bytes);
    // FxHash leaves some bits weak; registers need all of them good (the finish of MurmurHash3).
    let mut hash = hasher.finish();
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

impl Distinct {
    /// Adds a value by its hash.
    pub fn add(&mut self, hash: u64) {
        match &mut self.registers {
            Some(registers) => register(registers, hash),
            None => {
                self.exact.insert(hash);
                if self.exact.len() > EXACT_HASHES {
                    self.spill();
                }
            }
        }
    }

    fn spill(&mut self) -> &mut [u8] {
        let exact = std::mem::take(&mut self.exact);
        let registers = self.registers.get_or_insert_with(|| vec![0; 1 << REGISTER_BITS].into());
        exact.into_iter().for_each(|hash| register(registers, hash));
        registers
    }

    /// Adds all values of another.
    pub fn merge(&mut self, other: &Self) {
        other.exact.iter().for_each(|&hash| self.add(hash));
        if let Some(theirs) = &other.registers {
            for (own, their) in self.spill().iter_mut().zip(theirs) {
                *own = (*own).max(*their);
            }
        }
    }

    /// Whether the count is an estimate.
    pub fn is_estimate(&self) -> bool {
        self.registers.is_some()
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> usize {
        self.exact.capacity() * 9 + self.registers.as_ref().map_or(0, |registers| registers.len())
    }

    /// How many different values.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    pub fn count(&self) -> u64 {
        let Some(registers) = &self.registers else { return self.exact.len() as u64 };
        let m = registers.len() as f64;
        let sum: f64 = registers.iter().map(|&register| (-f64::from(register)).exp2()).sum();
        let estimate = 0.7213 / (1.0 + 1.079 / m) * m * m / sum;
        let empty = registers.iter().filter(|&&register| register == 0).count() as f64;
        let estimate = if estimate <= 2.5 * m && empty > 0.0 { m * (m / empty).ln() } else { estimate };
        estimate.round() as u64
    }
}

fn register(registers: &mut [u8], hash: u64) {
    let index = usize::try_from(hash >> (64 - REGISTER_BITS)).unwrap_or(0);
    let rank = u8::try_from((hash << REGISTER_BITS | 1 << (REGISTER_BITS - 1)).leading_zeros() + 1).unwrap_or(u8::MAX);
    if let Some(register) = registers.get_mut(index) {
        *register = (*register).max(rank);
    }
}

#[cfg(test)]
#[allow(clippy::cast_precision_loss)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_exact_then_within_a_hundredth() {
        let mut few = Quantiles::default();
        (1..=100).for_each(|value| few.add(f64::from(value)));
        for (hundredths, expected) in [(0.0, 1.0), (50.0, 50.5), (95.0, 95.05), (99.0, 99.01), (100.0, 100.0)] {
            assert_eq!(few.percentile(hundredths), Some(expected));
        }
        assert_eq!(Quantiles::default().percentile(50.0), None);
        let (mut one, mut two) = (Quantiles::default(), Quantiles::default());
        for value in 0..100_000 {
            let value = f64::from(value) - 20_000.0;
            if value < 3000.0 { one.add(value) } else { two.add(value) }
        }
        one.merge(&two);
        for (hundredths, expected) in [(10.0, -10_001.0), (20.0, -1.0), (50.0, 29_999.0), (99.0, 78_999.0)] {
            let found = one.percentile(hundredths).unwrap_or(f64::NAN);
            assert!((found - expected).abs() <= f64::abs(expected) / 100.0 + 1.0, "p{hundredths}: {found} for {expected}");
        }
    }

    /// Times, say: all within a hundredth of one another, or all the same.
    #[test]
    fn numbers_that_are_much_alike_are_told_apart() {
        let start = 1_735_689_600_000.0;
        let (mut up, mut down, mut same) = (Quantiles::default(), Quantiles::default(), Quantiles::default());
        for value in 0..10_000u32 {
            up.add(start + f64::from(value) * 1000.0);
            down.add(start + f64::from(9_999 - value) * 1000.0);
            same.add(100.0);
        }
        let mut both = Quantiles::default();
        both.merge(&up);
        both.merge(&down);
        for hundredths in [0.0, 1.0, 25.0, 50.0, 99.0, 100.0] {
            let expected = start + hundredths * 100_000.0;
            for quantiles in [&up, &down, &both] {
                let found = quantiles.percentile(hundredths).unwrap_or(f64::NAN);
                assert!((found - expected).abs() <= 10_000_000.0 / 200.0, "p{hundredths}: {found} for {expected}");
            }
            assert_eq!(same.percentile(hundredths), Some(100.0));
        }
        assert_eq!((up.percentile(0.0), up.percentile(100.0)), (Some(start), Some(start + 9_999_000.0)));
    }

    /// However they come, and however they were dealt out.
    #[test]
    fn the_order_changes_nothing() {
        let numbers: Vec<f64> = (0..20_000u64)
            .map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as f64 / 1000.0 - f64::from((n % 7 == 0) as u8))
            .collect();
        let mut forth = Quantiles::default();
        numbers.iter().for_each(|number| forth.add(*number));
        let mut back = [Quantiles::default(), Quantiles::default(), Quantiles::default()];
        numbers.iter().rev().enumerate().for_each(|(at, number)| back[at % 3].add(*number));
        let mut all = Quantiles::default();
        back.iter().for_each(|some| all.merge(some));
        for tenths in 0..=1000 {
            assert_eq!(forth.percentile(f64::from(tenths) / 10.0), all.percentile(f64::from(tenths) / 10.0), "p{tenths}/10");
        }
    }

    #[test]
    fn numbers_far_from_one_another_are_counted_too() {
        let mut all = Quantiles::default();
        for value in 0..3000 {
            all.add([0.0, -5.0, 1e-200, 1e200, 0.25, f64::INFINITY][value % 6]);
        }
        let mut twice = Quantiles::default();
        twice.add(0.25);
        twice.merge(&all);
        for quantiles in [all, twice] {
            for (hundredths, expected) in [(10.0, -5.0), (30.0, 0.0), (45.0, 1e-200), (60.0, 0.25), (80.0, 1e200)] {
                let found = quantiles.percentile(hundredths).unwrap_or(f64::NAN);
                assert!((found - expected).abs() <= f64::abs(expected) / 100.0, "p{hundredths}: {found} for {expected}");
            }
        }
    }

    #[test]
    fn distinct_values_are_exact_then_within_two_hundredths() {
        let (mut one, mut two) = (Distinct::default(), Distinct::default());
        for value in 0..4000u32 {
            one.add(hash(value.to_string().as_bytes()));
        }
        assert_eq!((one.count(), one.is_estimate()), (4000, false));
        for value in 3000..200_000u32 {
            two.add(hash(value.to_string().as_bytes()));
        }
        two.merge(&one);
        one.merge(&two);
        assert!((one.count() as f64 - 200_000.0).abs() < 4000.0, "{}", one.count());
        assert_eq!(one.count(), two.count());
    }
}
