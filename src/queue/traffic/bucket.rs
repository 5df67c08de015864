//! Token buckets: so many bytes a second, so many at once, and a debt for who took more.
//!
//! A bucket fills by `rate` up to `burst`. Whoever finds anything in it takes a whole batch, however large, and leaves a debt if
//! it was more than there was: so a batch larger than the burst gets through, and over any stretch of time no more than
//! `rate × time + burst + one batch` does, but for what of a batch was forgiven: nobody owes more than [`DEBT`] at his rate.
//! Levels are whole byte-nanoseconds: nothing is lost to rounding.
//! Limits: [`DEBT`]; [`BUCKETS`] per quota. A full bucket is as good as none, so those are forgotten first; names beyond the limit
//! share one more bucket: making up names gains nobody anything.
//! Time is an argument: it comes from the box's `Clock`, so tests and models set it.
//! Why not the `governor` crate: its cells cannot be owed. It refuses for ever what is larger than the burst, counts in 32 bits,
//! and asks a clock of its own kind; what remains of it is the thirty lines below.

use std::collections::HashMap;
use std::time::Duration;

/// Buckets of one quota: one per principal, client and topic that its `*` stand for.
pub const BUCKETS: usize = 1024;
/// The longest debt: nobody is silenced longer for one large batch.
pub const DEBT: Duration = Duration::from_secs(3600);
const SECOND_NS: i128 = 1_000_000_000;

/// What all buckets of a quota have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Bytes a second, at least 1.
    pub rate: u64,
    /// Most bytes that gather.
    pub burst: u64,
}

/// One bucket.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    /// Byte-nanoseconds: bytes × 10⁹.
    level: i128,
    at: Duration,
    /// It was empty, and has not been full since: what is sent elsewhere goes there in long runs, not batch by batch.
    over: bool,
}

impl Bucket {
    /// A full one.
    pub fn full(size: Size, now: Duration) -> Self {
        Self { level: i128::from(size.burst) * SECOND_NS, at: now, over: false }
    }

    fn fill(&mut self, size: Size, now: Duration) {
        let passed = now.saturating_sub(self.at).as_nanos();
        self.at = self.at.max(now);
        let most = i128::from(size.burst) * SECOND_NS;
        let gained = i128::try_from(passed).unwrap_or(i128::MAX).saturating_mul(i128::from(size.rate));
        self.level = self.level.saturating_add(gained).min(most);
        if self.level == most {
            self.over = false;
        }
    }

    /// Whether there is nothing in it, and how long until there is.
    pub fn owed(&mut self, size: Size, now: Duration) -> Option<Duration> {
        self.fill(size, now);
        if self.level > 0 {
            return None;
        }
        // Until it is above nothing, not at nothing.
        let ns = (1 - self.level).div_euclid(i128::from(size.rate)) + 1;
        Some(Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX)))
    }

    /// Whether it was empty, and has not been full since.
    pub fn is_over(&mut self, size: Size, now: Duration) -> bool {
        self.over |= self.owed(size, now).is_some();
        self.over
    }

    /// Takes bytes, and says how long until the debt is paid that they leave.
    pub fn take(&mut self, size: Size, bytes: u64, now: Duration) -> Option<Duration> {
        self.fill(size, now);
        let least = -i128::from(size.rate).saturating_mul(i128::try_from(DEBT.as_nanos()).unwrap_or(i128::MAX));
        self.level = (self.level - i128::from(bytes) * SECOND_NS).max(least);
        self.owed(size, now)
    }
}

/// The buckets of one quota.
#[derive(Debug, Default)]
pub struct Buckets {
    by_key: HashMap<Box<str>, Bucket>,
    /// Shared by all that there was no room for.
    rest: Option<Bucket>,
}

impl Buckets {
    /// The bucket of this key.
    pub fn of(&mut self, key: &str, size: Size, now: Duration) -> &mut Bucket {
        if !self.by_key.contains_key(key) {
            if self.by_key.len() >= BUCKETS {
                self.by_key.retain(|_, bucket| {
                    bucket.fill(size, now);
                    bucket.level < i128::from(size.burst) * SECOND_NS
                });
            }
            if self.by_key.len() >= BUCKETS {
                return self.rest.get_or_insert(Bucket::full(size, now));
            }
        }
        self.by_key.entry(key.into()).or_insert_with(|| Bucket::full(size, now))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SIZE: Size = Size { rate: 1000, burst: 2000 };

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_debt_is_paid_by_waiting() {
        let mut bucket = Bucket::full(SIZE, at(0));
        assert_eq!(bucket.take(SIZE, 1500, at(0)), None);
        // 500 are left; 3,000 leave a debt of 2,500: two and a half seconds, and a moment more.
        let wait = bucket.take(SIZE, 3000, at(0)).unwrap();
        assert_eq!(wait.as_millis(), 2500);
        assert!(bucket.owed(SIZE, at(2499)).is_some());
        assert_eq!(bucket.owed(SIZE, wait), None);
        // It never holds more than the burst.
        assert_eq!(bucket.take(SIZE, 1999, at(100_000)), None);
        assert!(bucket.take(SIZE, 1, at(100_000)).is_some());
    }

    #[test]
    fn it_is_over_until_it_is_full_again() {
        let mut bucket = Bucket::full(SIZE, at(0));
        assert!(!bucket.is_over(SIZE, at(0)));
        bucket.take(SIZE, 2000, at(0));
        assert!(bucket.is_over(SIZE, at(0)));
        assert!(bucket.is_over(SIZE, at(1999)));
        assert!(!bucket.is_over(SIZE, at(2000)));
    }

    #[test]
    fn a_clock_that_goes_back_gives_nothing() {
        let mut bucket = Bucket::full(SIZE, at(1000));
        bucket.take(SIZE, 2000, at(1000));
        assert!(bucket.owed(SIZE, at(500)).is_some());
        assert!(bucket.owed(SIZE, at(1000)).is_some());
        assert!(bucket.owed(SIZE, at(1001)).is_none());
    }

    #[test]
    fn one_huge_batch_does_not_silence_for_ever() {
        let mut bucket = Bucket::full(Size { rate: 1, burst: 1 }, at(0));
        assert!(bucket.take(Size { rate: 1, burst: 1 }, u64::MAX, at(0)).unwrap() <= DEBT + at(1));
    }

    #[test]
    fn made_up_names_share_what_is_left() {
        let mut buckets = Buckets::default();
        for n in 0..BUCKETS {
            buckets.of(&n.to_string(), SIZE, at(0)).take(SIZE, 2000, at(0));
        }
        buckets.of("one more", SIZE, at(0)).take(SIZE, 2000, at(0));
        assert!(buckets.of("another", SIZE, at(0)).owed(SIZE, at(0)).is_some(), "they share a bucket");
        assert_eq!(buckets.by_key.len(), BUCKETS);
        // Those that filled up meanwhile are forgotten.
        assert!(buckets.of("another", SIZE, at(2000)).owed(SIZE, at(2000)).is_none());
        assert_eq!(buckets.by_key.len(), 1);
    }

    proptest! {
        /// Whoever waits as he is told gets no more than rate, burst and one batch, beside what was forgiven; and no less than
        /// the rate allows.
        #[test]
        fn the_rate_holds(
            batches in prop::collection::vec(1u64..5000, 1..60),
            rate in prop_oneof![1 => Just(1u64), 7 => 1u64..4000],
            burst in 1u64..4000,
        ) {
            let size = Size { rate, burst };
            let mut bucket = Bucket::full(size, at(0));
            // Byte-nanoseconds, as levels are.
            let (mut now, mut taken) = (at(0), 0i128);
            for batch in &batches {
                bucket.fill(size, now);
                let most = bucket.level + i128::from(rate) * i128::try_from(DEBT.as_nanos()).unwrap();
                taken += (i128::from(*batch) * SECOND_NS).min(most);
                now += bucket.take(size, *batch, now).unwrap_or_default();
            }
            let last = batches[batches.len() - 1];
            let gained = i128::try_from(now.as_nanos()).unwrap() * i128::from(rate);
            prop_assert!(taken <= gained + i128::from(burst + last) * SECOND_NS);
            prop_assert!(taken + i128::from(rate + 1) * SECOND_NS >= gained);
        }
    }
}
