//! The time of an access line, `17/May/2015:10:05:03 +0000`, to nanoseconds since 1970.
//!
//! Exactly 26 bytes, English months, four digits of year: what Apache's `%t` and nginx's `$time_local` write. A day that the
//! month does not have is refused. A leap second is the first second of the next minute, as everywhere in Unix.

use sawbox_guest::time::{days_of_month, days_since_1970, month_of, nanoseconds};

/// Bytes of such a time.
pub const LENGTH: usize = 26;

/// Eight bytes of a time: digits, marks, and bytes that others look at.
struct Shape {
    marks: u64,
    looked_at: u64,
    bounds: u64,
}

impl Shape {
    /// `0` stands for any digit, `_` for any byte, anything else for itself.
    const fn new(shape: &[u8; 8]) -> Self {
        let (mut looked_at, mut bounds) = ([0xff; 8], [0x7f; 8]);
        let mut at = 0;
        while at < 8 {
            match shape[at] {
                b'0' => bounds[at] = 0x7f - 9,
                b'_' => (looked_at[at], bounds[at]) = (0, 0),
                _ => {}
            }
            at += 1;
        }
        let looked_at = u64::from_le_bytes(looked_at);
        Self { marks: u64::from_le_bytes(*shape) & looked_at, looked_at, bounds: u64::from_le_bytes(bounds) }
    }

    /// The digits' values, each where it stands; and something, if the bytes are not of this shape.
    fn read(&self, text: &[u8; LENGTH], at: usize) -> (u64, u64) {
        let bytes = text.get(at..).and_then(<[u8]>::first_chunk).map_or(u64::MAX, |bytes| u64::from_le_bytes(*bytes));
        // A digit differs from `0` by its value, a mark from itself by nothing: what differs by more reaches the top bit.
        let values = (bytes & self.looked_at) ^ self.marks;
        (values, (values | values.wrapping_add(self.bounds)) & 0x8080_8080_8080_8080)
    }
}

const DAY: Shape = Shape::new(b"00/___/_");
const YEAR: Shape = Shape::new(b"__/0000:");
const CLOCK: Shape = Shape::new(b"00:00:00");
const ZONE: Shape = Shape::new(b"__ _0000");

/// Reads it.
pub fn parse(text: &[u8; LENGTH]) -> Option<i64> {
    let ((day, no_day), (year, no_year)) = (DAY.read(text, 0), YEAR.read(text, 4));
    let ((clock, no_clock), (zone, no_zone)) = (CLOCK.read(text, 12), ZONE.read(text, 18));
    if no_day | no_year | no_clock | no_zone != 0 {
        return None;
    }
    let two = |values: u64, at: u32| ((values >> (8 * at) & 15) * 10 + (values >> (8 * at + 8) & 15)).cast_signed();
    let (day, month, year) = (two(day, 0), month_of([text[3], text[4], text[5]])?, two(year, 3) * 100 + two(year, 5));
    let (hour, minute, second) = (two(clock, 0), two(clock, 3), two(clock, 6));
    let (zone_hour, zone_minute) = (two(zone, 4), two(zone, 6));
    let sign = match text[21] {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    if day < 1
        || day > days_of_month(month, year)
        || hour > 23
        || minute > 59
        || second > 60
        || zone_hour > 23
        || zone_minute > 59
    {
        return None;
    }
    let local = days_since_1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    nanoseconds(local - sign * (zone_hour * 3600 + zone_minute * 60), 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_access_lines() {
        for (text, seconds) in [
            ("17/May/2015:10:05:03 +0000", Some(1_431_857_103)),
            ("17/May/2015:12:05:03 +0200", Some(1_431_857_103)),
            ("17/May/2015:04:35:03 -0530", Some(1_431_857_103)),
            ("01/Jan/1970:00:00:00 +0000", Some(0)),
            ("29/Feb/2024:23:59:60 +0000", Some(1_709_251_200)),
            ("29/Feb/2100:00:00:00 +0000", None),
            ("31/Apr/2015:00:00:00 +0000", None),
            ("17/Mai/2015:10:05:03 +0000", None),
            ("17/May/2015:24:05:03 +0000", None),
            ("17/May/2015:10:05:03 +000x", None),
            ("17/May/2015 10:05:03 +0000", None),
            ("17/May/9999:10:05:03 +0000", None),
        ] {
            let ns = parse(text.as_bytes().try_into().unwrap());
            assert_eq!(ns, seconds.map(|seconds: i64| seconds * 1_000_000_000), "{text}");
        }
    }
}
