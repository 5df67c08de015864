//! The time of an access line, `17/May/2015:10:05:03 +0000`, to nanoseconds since 1970.
//!
//! Exactly 26 bytes, English months, four digits of year: what Apache's `%t` and nginx's `$time_local` write. A day that the
//! month does not have is refused. A leap second is the first second of the next minute, as everywhere in Unix.

use sawbox_guest::time::{days_of_month, days_since_1970, month_of};

/// Bytes of such a time.
pub const LENGTH: usize = 26;

/// Reads it.
pub fn parse(text: &[u8; LENGTH]) -> Option<i64> {
    let two = |at: usize| {
        let (tens, units) = (text[at].wrapping_sub(b'0'), text[at + 1].wrapping_sub(b'0'));
        (tens < 10 && units < 10).then_some(i64::from(tens) * 10 + i64::from(units))
    };
    let marks = (text[2], text[6], text[11], text[14], text[17], text[20]);
    if marks != (b'/', b'/', b':', b':', b':', b' ') {
        return None;
    }
    let (day, month, year) = (two(0)?, month_of([text[3], text[4], text[5]])?, two(7)? * 100 + two(9)?);
    let (hour, minute, second) = (two(12)?, two(15)?, two(18)?);
    let (zone_hour, zone_minute) = (two(22)?, two(24)?);
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
    (local - sign * (zone_hour * 3600 + zone_minute * 60)).checked_mul(1_000_000_000)
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
