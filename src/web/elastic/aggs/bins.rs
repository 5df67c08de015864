//! Steps of time and of numbers.

use sawbox_guest::time::Zone;

use crate::store::query::{Bin, Key, Rounding};
use crate::web::elastic::calendar::{SECOND, Unit};

/// Most steps of unequal length, with rows or without, from the first row to the last: 8 MiB.
const EDGES: usize = 1 << 20;

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
    /// So many nanoseconds by the clocks of the zone.
    Fixed(i64),
    /// As the calendar says: a day or more.
    Calendar(Unit),
}

impl Step {
    /// A unit of time.
    pub fn of(unit: Unit) -> Self {
        unit.fixed().map_or(Self::Calendar(unit), Self::Fixed)
    }
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
            Step::Calendar(_) => return None,
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
    pub fn key(&self, name: &str, range: (i64, i64)) -> Result<Key, String> {
        if let Some(bin) = self.equal() {
            return Ok(Key::time(bin.step, bin.offset, name));
        }
        let mut zone = self.zone.clone();
        let mut edges = vec![self.floor_by(range.0, &mut zone)];
        while let Some(&last) = edges.last() {
            let next = self.next_by(last, &mut zone);
            if next > range.1 || next <= last {
                break;
            }
            if edges.len() >= EDGES {
                return Err(format!(
                    "there are more than {EDGES} steps from the first row to the last; widen the interval or narrow the range"
                ));
            }
            edges.push(next);
        }
        let time = Key::field(crate::base::row::TIME).named(name).skip_missing();
        Ok(time.rounded(Rounding::Edges(edges.into())))
    }

    /// Where the step of an instant begins.
    pub fn floor(&self, ns: i64) -> i64 {
        self.floor_by(ns, &mut self.zone.clone())
    }

    /// Where the next step begins.
    pub fn next(&self, start: i64) -> i64 {
        self.next_by(start, &mut self.zone.clone())
    }

    fn floor_by(&self, ns: i64, zone: &mut Zone) -> i64 {
        if let Some(bin) = self.equal() {
            return bin.floor(ns);
        }
        let ns = ns.saturating_sub(self.offset);
        let start = match self.step {
            Step::Calendar(unit) => unit.floor(ns, zone),
            Step::Fixed(step) => clock_floor(step, ns, zone),
        };
        start.saturating_add(self.offset)
    }

    fn next_by(&self, start: i64, zone: &mut Zone) -> i64 {
        if let Some(bin) = self.equal() {
            return start.saturating_add(bin.step);
        }
        let start = start.saturating_sub(self.offset);
        let next = match self.step {
            Step::Calendar(unit) => unit.next(start, zone),
            Step::Fixed(step) => clock_next(step, start, zone),
        };
        next.saturating_add(self.offset)
    }
}

/// When the clocks of a zone showed the multiple of a step that is at or below what they show at an instant. If they were changed
/// since, it is when they showed it before the change, or the change, if that skipped it.
fn clock_floor(step: i64, ns: i64, zone: &mut Zone) -> i64 {
    let mut east = |ns: i64| zone.offset_at(ns.div_euclid(SECOND)).saturating_mul(SECOND);
    let now = east(ns);
    let shown = Bin { step, offset: 0 }.floor(ns.saturating_add(now));
    let start = shown.saturating_sub(now);
    let before = east(start);
    if before == now {
        return start;
    }
    let (mut from, mut change) = (start, ns);
    while change.saturating_sub(from) > 1 {
        let middle = from + (change - from) / 2;
        if east(middle) == now {
            change = middle;
        } else {
            from = middle;
        }
    }
    shown.saturating_sub(before).min(change)
}

/// Where the next step by the clocks of a zone begins: a day may have 23 hours or 25.
fn clock_next(step: i64, start: i64, zone: &mut Zone) -> i64 {
    let mut later = std::iter::successors(Some(start), |at| at.checked_add(step)).skip(1);
    let Some(mut next) = later.find_map(|at| Some(clock_floor(step, at, zone)).filter(|next| *next > start)) else {
        return i64::MAX;
    };
    // Several that are short, since clocks skipped time, may be less than a step together.
    loop {
        let before = clock_floor(step, next.saturating_sub(1), zone);
        if before <= start || before >= next {
            return next;
        }
        next = before;
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
