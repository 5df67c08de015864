//! Percentiles and counts of distinct values in bounded memory: exact while small, estimates with a known error beyond.
//!
//! * [`Quantiles`] keeps up to [`EXACT_VALUES`] numbers; more are counted in buckets, 64 to each power of two, so an estimate is
//!   within 1/128 of the value. A bucket is the top bits of the double, so no logarithm is taken.
//! * [`Distinct`] keeps up to [`EXACT_HASHES`] hashes; more go into 2^14 HyperLogLog registers (standard error 0.8 %).
//!
//! Both can be added to one another, which is how threads' results are merged; the result does not depend on the order.

use rustc_hash::{FxHashMap, FxHashSet};

/// Numbers kept one by one.
const EXACT_VALUES: usize = 1000;
/// Hashes kept one by one.
const EXACT_HASHES: usize = 4096;
/// Bits of a hash that choose a register.
const REGISTER_BITS: u32 = 14;
/// Most buckets between the least and the greatest that are counted in an array: 32 powers of two.
const WINDOW: usize = 2048;
/// Bits of a double below its bucket: 52 of fraction less the 6 that divide a power of two.
const BUCKET_SHIFT: u32 = 46;

/// The numbers of a group, for percentiles.
#[derive(Clone, Debug, Default)]
pub struct Quantiles {
    exact: Vec<f64>,
    /// Whether there are too many to be kept one by one.
    spilled: bool,
    /// The bucket that `counts` begins with.
    first: i32,
    /// By bucket: those that lie close together, as those of one measure do.
    counts: Vec<u64>,
    /// Zeros, whose bucket is far from all others.
    zeros: u64,
    /// By bucket: the rest. Negative numbers have negative buckets.
    far: FxHashMap<i32, u64>,
}

fn bucket(value: f64) -> i32 {
    let magnitude = i32::try_from(value.abs().to_bits() >> BUCKET_SHIFT).unwrap_or(i32::MAX);
    if value < 0.0 { -magnitude } else { magnitude }
}

fn middle(bucket: i32) -> f64 {
    if bucket == 0 {
        return 0.0;
    }
    let bits = (u64::from(bucket.unsigned_abs()) << BUCKET_SHIFT) + (1 << (BUCKET_SHIFT - 1));
    let value = f64::from_bits(bits);
    if bucket < 0 { -value } else { value }
}

impl Quantiles {
    /// Adds a number; NaN is passed over.
    pub fn add(&mut self, value: f64) {
        if value.is_nan() {
            return;
        }
        if !self.spilled {
            if self.exact.len() < EXACT_VALUES {
                self.exact.push(value);
                return;
            }
            self.spill();
        }
        self.count(bucket(value), 1);
    }

    fn spill(&mut self) {
        self.spilled = true;
        for value in std::mem::take(&mut self.exact) {
            self.count(bucket(value), 1);
        }
    }

    fn place(&self, bucket: i32) -> usize {
        usize::try_from(i64::from(bucket) - i64::from(self.first)).unwrap_or(usize::MAX)
    }

    fn count(&mut self, bucket: i32, count: u64) {
        let place = self.place(bucket);
        match self.counts.get_mut(place) {
            Some(own) => *own += count,
            None if bucket == 0 => self.zeros += count,
            None => self.count_outside(bucket, count),
        }
    }

    /// Counts in a bucket that the array does not have yet.
    #[cold]
    fn count_outside(&mut self, bucket: i32, count: u64) {
        if self.counts.is_empty() {
            self.first = bucket;
        }
        let last = i64::from(self.first) + self.counts.len() as i64 - 1;
        let (least, greatest) = (self.first.min(bucket), last.max(i64::from(bucket)));
        match usize::try_from(greatest - i64::from(least) + 1) {
            Ok(width) if width <= WINDOW => {
                let before = usize::try_from(self.first - least).unwrap_or(0);
                self.counts.splice(0..0, std::iter::repeat_n(0, before));
                self.counts.resize(width, 0);
                self.first = least;
                let place = self.place(bucket);
                if let Some(own) = self.counts.get_mut(place) {
                    *own += count;
                }
            }
            _ => *self.far.entry(bucket).or_default() += count,
        }
    }

    /// What is counted: buckets, ascending; one may come twice.
    fn buckets(&self) -> Vec<(i32, u64)> {
        let own = (self.first..).zip(self.counts.iter().copied()).filter(|(_, count)| *count > 0);
        let zeros = (self.zeros > 0).then_some((0, self.zeros));
        let mut all: Vec<(i32, u64)> =
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
            for (bucket, count) in other.buckets() {
                self.count(bucket, count);
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

    /// The least number that at least so many hundredths of the numbers do not exceed.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    pub fn percentile(&self, hundredths: f64) -> Option<f64> {
        let buckets = self.buckets();
        let count = self.exact.len() as u64 + buckets.iter().map(|(_, count)| count).sum::<u64>();
        if count == 0 {
            return None;
        }
        let rank = ((hundredths / 100.0 * count as f64).ceil() as u64).clamp(1, count);
        if !self.spilled {
            let mut sorted = self.exact.clone();
            sorted.sort_unstable_by(f64::total_cmp);
            return sorted.get(usize::try_from(rank - 1).unwrap_or(usize::MAX)).copied();
        }
        let mut seen = 0;
        let found = buckets.into_iter().find(|(_, count)| {
            seen += count;
            seen >= rank
        });
        found.map(|(bucket, _)| middle(bucket))
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
        for hundredths in [50.0, 95.0, 99.0, 100.0] {
            assert_eq!(few.percentile(hundredths), Some(hundredths));
        }
        assert_eq!((few.percentile(0.0), Quantiles::default().percentile(50.0)), (Some(1.0), None));
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
