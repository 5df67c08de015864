//! Time zones by name: all of the IANA database from 1970 on, in `zones.bin` (52 KB), which `zones.py` makes.
//!
//! ```text
//! u8 length, version of the database; u16 zones, u16 names (little-endian)
//! zones, each: u16 length of what follows
//!   signed first offset; u8 n, n signed offsets; varint transitions, each: varint step, u8 offset
//!   rule: signed offset, u8 0   or   signed offset, u8 1, signed summer offset, 2 × (u8 month, u8 week, u8 weekday, signed time)
//! names, in the order of their lower-case spelling, each: u8 length, bytes, u16 zone
//! ```
//! Offsets and times are seconds; a step from the transition before is hours × 2, or seconds × 2 + 1; signed numbers are zigzag
//! varints. Before 1970 a zone has the offset that it had then. A filter that names no zone does not carry the table: the
//! linker leaves it out.
//!
//! Local times that a change of clocks skips are read with the offset before it, as `java.time` does (Joda refuses them); those
//! that occur twice are the first of the two, as with Joda.
//!
//! Not a crate (chrono-tz, jiff): guests are built without registry crates, offline and bit by bit the same, and those tables are
//! four to ten times the size.

use super::{Cursor, date_of, days_since_1970};

static ZONES: &[u8] = include_bytes!("zones.bin");

/// A fixed offset from UTC or a named zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    first: i64,
    /// From when on which offset.
    transitions: Vec<(i64, i64)>,
    rule: Rule,
    /// The last stretch of one offset that was asked about: a cache, from, to, offset.
    stretch: (i64, i64, i64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    Always(i64),
    /// Standard offset, summer offset, when summer begins and ends.
    Summer(i64, i64, Switch, Switch),
}

/// The `week`-th (5: the last) `weekday` of a month, and seconds since its midnight, which may be fewer than none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Switch {
    month: i64,
    week: i64,
    weekday: i64,
    time: i64,
}

impl Switch {
    /// In which second of the local clock.
    fn seconds(&self, year: i64) -> i64 {
        let first = days_since_1970(year, self.month, 1);
        // 1970 began on a Thursday.
        let weekday = (first + 4).rem_euclid(7);
        let mut day = first + (self.weekday - weekday).rem_euclid(7) + (self.week - 1) * 7;
        if day >= first + super::days_of_month(self.month, year) {
            day -= 7;
        }
        day * 86_400 + self.time
    }
}

const FOR_EVER: (i64, i64) = (i64::MIN / 4, i64::MAX / 4);

impl Zone {
    /// Greenwich.
    pub const fn utc() -> Self {
        Self::fixed(0)
    }

    /// So many seconds east of Greenwich.
    pub const fn fixed(seconds: i64) -> Self {
        Self {
            first: seconds,
            transitions: Vec::new(),
            rule: Rule::Always(seconds),
            stretch: (FOR_EVER.0, FOR_EVER.1, seconds),
        }
    }

    /// By name (`Europe/Berlin`, in any spelling of capitals), or by offset: `Z`, `+02:00`, `+0200`, `+02`, `UTC+02:00`.
    pub fn by_name(name: &str) -> Option<Self> {
        if name.eq_ignore_ascii_case("utc") || name.eq_ignore_ascii_case("gmt") {
            return Some(Self::utc());
        }
        let offset = name.strip_prefix("UTC").or_else(|| name.strip_prefix("GMT")).unwrap_or(name);
        let mut cursor = Cursor(offset.as_bytes());
        if let Some(seconds) = cursor.offset()
            && cursor.0.is_empty()
        {
            return Some(Self::fixed(seconds));
        }
        find(name)
    }

    /// The version of the table, like `2025b`.
    pub fn version() -> &'static str {
        let version = ZONES.split_first().and_then(|(len, rest)| rest.get(..usize::from(*len)));
        version.and_then(|version| core::str::from_utf8(version).ok()).unwrap_or("")
    }

    /// Seconds east of Greenwich at a time, seconds since 1970.
    pub fn offset_at(&mut self, utc: i64) -> i64 {
        if !(self.stretch.0..self.stretch.1).contains(&utc) {
            self.stretch = self.stretch_at(utc);
        }
        self.stretch.2
    }

    /// The time at which clocks showed this, seconds since 1970.
    pub fn utc_of(&mut self, local: i64) -> i64 {
        const DAY: i64 = 86_400;
        let (from, to, offset) = self.stretch;
        // Two days away from any change there is nothing to decide.
        if local > from + 2 * DAY && local < to - 2 * DAY {
            return local - offset;
        }
        let before = self.offset_at(local - DAY);
        let after = self.offset_at(local + DAY);
        if self.offset_at(local - before) != before && self.offset_at(local - after) == after {
            local - after
        } else {
            local - before
        }
    }

    fn stretch_at(&self, utc: i64) -> (i64, i64, i64) {
        let after = self.transitions.partition_point(|(from, _)| *from <= utc);
        if after < self.transitions.len() || self.transitions.is_empty() && self.rule == Rule::Always(self.first) {
            let to = self.transitions.get(after).map_or(FOR_EVER.1, |next| next.0);
            return match after.checked_sub(1).and_then(|at| self.transitions.get(at)) {
                Some((from, offset)) => (*from, to, *offset),
                None => (FOR_EVER.0, to, self.first),
            };
        }
        let last = self.transitions.last().map_or(FOR_EVER.0, |last| last.0);
        match self.rule {
            Rule::Always(offset) => (last, FOR_EVER.1, offset),
            Rule::Summer(standard, summer, begin, end) => {
                let year = date_of((utc + standard).div_euclid(86_400)).0;
                let mut stretch = (last, FOR_EVER.1, standard);
                for year in year - 1..=year + 1 {
                    let mut switches = [(begin.seconds(year) - standard, summer), (end.seconds(year) - summer, standard)];
                    switches.sort_unstable();
                    for (at, offset) in switches {
                        if at <= utc {
                            stretch.2 = offset;
                            stretch.0 = at.max(last);
                        } else if at < stretch.1 {
                            stretch.1 = at;
                        }
                    }
                }
                stretch
            }
        }
    }
}

/// Reads the table.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(front)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn u16(&mut self) -> Option<usize> {
        let two = self.take(2)?.first_chunk::<2>()?;
        Some(u16::from_le_bytes(*two).into())
    }

    fn varint(&mut self) -> Option<i64> {
        let (mut number, mut shift) = (0_i64, 0);
        loop {
            let byte = self.u8()?;
            number |= i64::from(byte & 127) << shift;
            if byte < 128 {
                return Some(number);
            }
            shift += 7;
            if shift > 56 {
                return None;
            }
        }
    }

    fn signed(&mut self) -> Option<i64> {
        let number = self.varint()?;
        Some(number >> 1 ^ -(number & 1))
    }

    fn switch(&mut self) -> Option<Switch> {
        let (month, week, weekday) = (self.u8()?.into(), self.u8()?.into(), self.u8()?.into());
        Some(Switch { month, week, weekday, time: self.signed()? })
    }
}

fn find(wanted: &str) -> Option<Zone> {
    let mut bytes = Bytes(ZONES);
    let version = bytes.u8()?;
    bytes.take(version.into())?;
    let (zones, names) = (bytes.u16()?, bytes.u16()?);
    let mut at = bytes.0;
    for _ in 0..zones {
        let len = bytes.u16()?;
        bytes.take(len)?;
    }
    for _ in 0..names {
        let len = bytes.u8()?;
        let name = bytes.take(len.into())?;
        let zone = bytes.u16()?;
        if name.eq_ignore_ascii_case(wanted.as_bytes()) {
            for _ in 0..zone {
                let mut skipped = Bytes(at);
                let len = skipped.u16()?;
                skipped.take(len)?;
                at = skipped.0;
            }
            return decode(&mut Bytes(at));
        }
    }
    None
}

fn decode(bytes: &mut Bytes<'_>) -> Option<Zone> {
    bytes.u16()?;
    let first = bytes.signed()?;
    let mut offsets = Vec::new();
    for _ in 0..bytes.u8()? {
        offsets.push(bytes.signed()?);
    }
    let (mut transitions, mut at) = (Vec::new(), 0);
    for _ in 0..bytes.varint()? {
        let step = bytes.varint()?;
        at += if step & 1 == 0 { (step >> 1) * 3600 } else { step >> 1 };
        transitions.push((at, *offsets.get(usize::from(bytes.u8()?))?));
    }
    let standard = bytes.signed()?;
    let rule = match bytes.u8()? {
        0 => Rule::Always(standard),
        _ => Rule::Summer(standard, bytes.signed()?, bytes.switch()?, bytes.switch()?),
    };
    // Nothing is known yet: an empty stretch.
    Some(Zone { first, transitions, rule, stretch: (0, 0, 0) })
}

/// Every name in the table.
#[cfg(test)]
pub(super) fn names() -> Vec<String> {
    let mut bytes = Bytes(ZONES);
    let version = bytes.u8().unwrap();
    bytes.take(version.into()).unwrap();
    let (zones, names) = (bytes.u16().unwrap(), bytes.u16().unwrap());
    for _ in 0..zones {
        let len = bytes.u16().unwrap();
        bytes.take(len).unwrap();
    }
    let mut all = Vec::new();
    for _ in 0..names {
        let len = bytes.u8().unwrap();
        all.push(String::from_utf8(bytes.take(len.into()).unwrap().to_vec()).unwrap());
        bytes.u16().unwrap();
    }
    assert!(bytes.0.is_empty());
    all
}
