//! The time of an access line, `17/May/2015:10:05:03 +0000`, to nanoseconds since 1970.
//!
//! Exactly 26 bytes, English months, four digits of year: what Apache's `%t` and nginx's `$time_local` write. A day that the
//! month does not have is refused. A leap second is the first second of the next minute, as everywhere in Unix.

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
    let (day, month, year) = (two(0)?, month([text[3], text[4], text[5]])?, two(7)? * 100 + two(9)?);
    let (hour, minute, second) = (two(12)?, two(15)?, two(18)?);
    let (zone_hour, zone_minute) = (two(22)?, two(24)?);
    let sign = match text[21] {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    if day < 1 || day > days_of(month, year) || hour > 23 || minute > 59 || second > 60 || zone_hour > 23 || zone_minute > 59 {
        return None;
    }
    let local = days_since_1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    (local - sign * (zone_hour * 3600 + zone_minute * 60)).checked_mul(1_000_000_000)
}

fn month(name: [u8; 3]) -> Option<i64> {
    Some(match &name {
        b"Jan" => 1,
        b"Feb" => 2,
        b"Mar" => 3,
        b"Apr" => 4,
        b"May" => 5,
        b"Jun" => 6,
        b"Jul" => 7,
        b"Aug" => 8,
        b"Sep" => 9,
        b"Oct" => 10,
        b"Nov" => 11,
        b"Dec" => 12,
        _ => return None,
    })
}

fn days_of(month: i64, year: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days of the Gregorian calendar, counted in years that begin in March, so that the leap day is the last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - 719_468
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

    #[test]
    fn every_day_of_four_centuries_follows_the_one_before() {
        let mut before = days_since_1970(1899, 12, 31);
        for year in 1900..2300 {
            for month in 1..=12 {
                for day in 1..=days_of(month, year) {
                    let days = days_since_1970(year, month, day);
                    assert_eq!(days, before + 1, "{year}-{month}-{day}");
                    before = days;
                }
            }
        }
        assert_eq!(days_since_1970(1970, 1, 1), 0);
    }
}
