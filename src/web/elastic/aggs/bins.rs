//! Steps of time and of numbers.

use sawbox_guest::time::Zone;

use crate::store::query::{Bin, Key, Rounding};
use crate::web::elastic::calendar::{SECOND, Unit};

/// Steps of time: fixed, or of a calendar.
#[derive(Clone, Debug)]
pub struct Dates {
    /// How long.
    pub step: Step,
    /// Where.
    pub zone: Zone,
    /// Moves all of them, nanoseconds.
    pub offset: i64,
}

/// How long a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// So many nanoseconds.
    Fixed(i64),
    /// As the calendar says.
    Calendar(Unit),
}

impl Dates {
    /// The steps as ones of equal length, where they are: length and offset.
    fn equal(&self) -> Option<Bin> {
        const DAY: i64 = 86_400 * SECOND;
        let east = self.zone.clone().offset_at(0);
        if self.zone != Zone::fixed(east) {
            return None;
        }
        let (step, from) = match self.step {
            Step::Fixed(step) => (step, 0),
            Step::Calendar(Unit::Day) => (DAY, 0),
            // 1970 began on a Thursday.
            Step::Calendar(Unit::Week) => (7 * DAY, 4 * DAY),
            Step::Calendar(unit) => (unit.fixed()?, 0),
        };
        Some(Bin { step, offset: from + self.offset - east * SECOND })
    }

    /// About how long a step is.
    pub fn length(&self) -> i64 {
        match self.step {
            Step::Fixed(step) => step,
            Step::Calendar(unit) => unit.length(),
        }
    }

    /// Whether a range of instants must be known to make the key.
    pub fn needs_range(&self) -> bool {
        self.equal().is_none()
    }

    /// The key for the engine; `range` is where the rows lie.
    pub fn key(&self, name: &str, range: (i64, i64), most: usize) -> Result<Key, String> {
        if let Some(bin) = self.equal() {
            return Ok(Key::time(bin.step, bin.offset, name));
        }
        let mut edges = vec![self.floor(range.0)];
        while let Some(&last) = edges.last() {
            let next = self.next(last);
            if next > range.1 || next <= last {
                break;
            }
            if edges.len() >= most {
                return Err(format!("there would be more than {most} buckets"));
            }
            edges.push(next);
        }
        let time = Key::field(crate::base::row::TIME).named(name).skip_missing();
        Ok(time.rounded(Rounding::Edges(edges.into())))
    }

    /// Where the step of an instant begins.
    pub fn floor(&self, ns: i64) -> i64 {
        if let Some(bin) = self.equal() {
            return bin.floor(ns);
        }
        let mut zone = self.zone.clone();
        match self.step {
            Step::Calendar(unit) => unit.floor(ns.saturating_sub(self.offset), &mut zone).saturating_add(self.offset),
            Step::Fixed(step) => {
                let east = zone.offset_at(ns.div_euclid(SECOND)).saturating_mul(SECOND);
                let local = Bin { step, offset: self.offset }.floor(ns.saturating_add(east));
                let utc = zone.utc_of(local.div_euclid(SECOND)).saturating_mul(SECOND).saturating_add(local.rem_euclid(SECOND));
                utc.min(ns)
            }
        }
    }

    /// Where the next step begins.
    pub fn next(&self, start: i64) -> i64 {
        if let Some(bin) = self.equal() {
            return start.saturating_add(bin.step);
        }
        let mut zone = self.zone.clone();
        match self.step {
            Step::Calendar(unit) => unit.next(start.saturating_sub(self.offset), &mut zone).saturating_add(self.offset),
            Step::Fixed(step) => {
                let next = self.floor(start.saturating_add(step));
                if next > start { next } else { start.saturating_add(step) }
            }
        }
    }
}

/// Steps of numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Numbers {
    /// How long; greater than 0.
    pub step: f64,
    /// Where a multiple lies.
    pub offset: f64,
}

impl Numbers {
    /// The key for the engine.
    pub fn key(&self, field: &str, name: &str) -> Key {
        let key = Key::field(field).named(name).skip_missing();
        match (whole(self.step), whole(self.offset)) {
            (Some(step), Some(offset)) if step > 0 => Key { bin: Some(Bin { step, offset }), ..key },
            _ => key.rounded(Rounding::Decimal { step: self.step, offset: self.offset }),
        }
    }

    /// Which step a number lies in.
    #[allow(clippy::cast_possible_truncation)]
    pub fn index(&self, number: f64) -> i64 {
        // Saturates; a tick more, for what was rounded down a tick.
        ((number - self.offset) / self.step + 1e-9).floor() as i64
    }

    /// Where a step begins.
    #[allow(clippy::cast_precision_loss)]
    pub fn start(&self, index: i64) -> f64 {
        index as f64 * self.step + self.offset + 0.0
    }
}

#[allow(clippy::cast_possible_truncation)]
fn whole(number: f64) -> Option<i64> {
    (number.fract() == 0.0 && number.abs() < 9e15).then_some(number as i64)
}
