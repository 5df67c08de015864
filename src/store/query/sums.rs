//! Sums that several figures are made of.

use crate::base::predicate::Number;

/// Count, mean and the sum of squares of distances from it (Welford's way, which does not lose small spreads of large numbers).
#[derive(Clone, Copy, Debug, Default)]
pub struct Spread {
    pub count: u64,
    pub mean: f64,
    pub squares: f64,
}

impl Spread {
    #[allow(clippy::cast_precision_loss)]
    pub fn add(&mut self, value: f64) {
        self.count += 1;
        let before = value - self.mean;
        self.mean += before / self.count as f64;
        self.squares += before * (value - self.mean);
    }

    #[allow(clippy::cast_precision_loss)]
    pub fn merge(&mut self, other: &Self) {
        let count = self.count + other.count;
        if count == 0 {
            return;
        }
        let (own, their, all) = (self.count as f64, other.count as f64, count as f64);
        let apart = other.mean - self.mean;
        self.mean += apart * their / all;
        self.squares += other.squares + apart * apart * own * their / all;
        self.count = count;
    }

    #[allow(clippy::cast_precision_loss)]
    pub fn deviation(&self) -> Option<f64> {
        (self.count > 0).then(|| (self.squares / self.count as f64).max(0.0).sqrt())
    }
}

/// Whole numbers are added exactly, the others as doubles.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum {
    pub whole: i128,
    pub rest: f64,
    pub decimals: bool,
    pub count: u64,
}

impl Sum {
    pub fn add(&mut self, number: Number) {
        self.count += 1;
        match number {
            Number::Int(int) => self.whole += i128::from(int),
            Number::Float(float) => {
                self.rest += float;
                self.decimals = true;
            }
        }
    }

    pub fn merge(&mut self, other: &Self) {
        self.whole += other.whole;
        self.rest += other.rest;
        self.decimals |= other.decimals;
        self.count += other.count;
    }

    #[allow(clippy::cast_precision_loss)]
    pub fn as_f64(&self) -> f64 {
        self.whole as f64 + self.rest
    }
}
