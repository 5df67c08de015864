//! Times as JSON documents write them, to nanoseconds since 1970.
//!
//! RFC 3339 with `T` or a space, up to any number of fraction digits after `.` or `,` (nine count), an offset as `Z`, `+02:00`,
//! `+0200` or `+02`, or none, which means UTC; and epoch numbers, with or without a fraction, in seconds, milliseconds,
//! microseconds or nanoseconds, told apart by magnitude: the bounds are the year 2286 in each unit.

/// Reads a time, all of the text or nothing.
pub fn parse(text: &[u8]) -> Option<i64> {
    let text = text.trim_ascii();
    if text.get(4) == Some(&b'-') { rfc3339(text) } else { epoch(text) }
}

/// Takes digits off the front.
struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn digits(&mut self, count: usize) -> Option<i64> {
        let (digits, rest) = self.0.split_at_checked(count)?;
        let value =
            digits.iter().try_fold(0_i64, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0')))?;
        self.0 = rest;
        Some(value)
    }

    fn take(&mut self, bytes: &[u8]) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        bytes.contains(first).then(|| {
            self.0 = rest;
            *first
        })
    }

    /// Fraction digits as nanoseconds.
    fn fraction(&mut self) -> Option<i64> {
        let count = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = self.0.split_at(count);
        self.0 = rest;
        let nine = digits.iter().map(|byte| i64::from(byte - b'0')).chain(core::iter::repeat(0)).take(9);
        (count > 0).then(|| nine.fold(0, |sum, digit| sum * 10 + digit))
    }
}

fn rfc3339(text: &[u8]) -> Option<i64> {
    let mut cursor = Cursor(text);
    let year = cursor.digits(4)?;
    cursor.take(b"-")?;
    let month = cursor.digits(2)?;
    cursor.take(b"-")?;
    let day = cursor.digits(2)?;
    cursor.take(b"Tt ")?;
    let hour = cursor.digits(2)?;
    cursor.take(b":")?;
    let minute = cursor.digits(2)?;
    let (mut second, mut fraction) = (0, 0);
    if cursor.take(b":").is_some() {
        second = cursor.digits(2)?;
        if cursor.take(b".,").is_some() {
            fraction = cursor.fraction()?;
        }
    }
    if !(1..=12).contains(&month) || day < 1 || day > days_of(month, year) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let offset = offset(&mut cursor)?;
    if !cursor.0.is_empty() {
        return None;
    }
    let seconds = days_since_1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset;
    seconds.checked_mul(1_000_000_000)?.checked_add(fraction)
}

/// Seconds east of Greenwich.
fn offset(cursor: &mut Cursor<'_>) -> Option<i64> {
    let sign = match cursor.take(b"Zz+-") {
        Some(b'+') => 1,
        Some(b'-') => -1,
        _ => return Some(0),
    };
    let hours = cursor.digits(2)?;
    let has_colon = cursor.take(b":").is_some();
    let minutes = if has_colon || !cursor.0.is_empty() { cursor.digits(2)? } else { 0 };
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

fn epoch(text: &[u8]) -> Option<i64> {
    let mut cursor = Cursor(text);
    let sign = if cursor.take(b"-").is_some() { -1 } else { 1 };
    let count = cursor.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=19).contains(&count) {
        return None;
    }
    // 19 digits may be more than 2^63 - 1; then it is no time of ours.
    let whole = core::str::from_utf8(&cursor.0[..count]).ok()?.parse::<i64>().ok()?;
    cursor.0 = &cursor.0[count..];
    let fraction = if cursor.take(b".").is_some() { cursor.fraction()? } else { 0 };
    if let Some(b'e' | b'E') = cursor.0.first() {
        return exponential(text);
    }
    if !cursor.0.is_empty() {
        return None;
    }
    let unit = match whole {
        0..10_000_000_000 => 1_000_000_000,
        10_000_000_000..10_000_000_000_000 => 1_000_000,
        10_000_000_000_000..10_000_000_000_000_000 => 1000,
        _ => 1,
    };
    Some(sign * whole.checked_mul(unit)?.checked_add(fraction / (1_000_000_000 / unit))?)
}

/// `1.7e9`, as some encoders write large numbers: to microseconds, which is what such a number holds.
fn exponential(text: &[u8]) -> Option<i64> {
    let number = core::str::from_utf8(text).ok()?.parse::<f64>().ok().filter(|number| number.abs() < 9.0e18)?;
    #[allow(clippy::cast_possible_truncation)] // bounded above
    let whole = number as i64;
    if whole.unsigned_abs() < 10_000_000_000 {
        #[allow(clippy::cast_possible_truncation)]
        let micros = (number * 1e6).round() as i64;
        return micros.checked_mul(1000);
    }
    epoch(whole.to_string().as_bytes())
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
    use super::parse;

    #[test]
    fn times_as_shippers_write_them() {
        const SECOND: i64 = 1_431_857_103_000_000_000;
        for (text, ns) in [
            ("2015-05-17T10:05:03Z", Some(SECOND)),
            ("2015-05-17T10:05:03.000Z", Some(SECOND)),
            ("2015-05-17t12:05:03+02:00", Some(SECOND)),
            ("2015-05-17 12:05:03.5+0200", Some(SECOND + 500_000_000)),
            ("2015-05-17 10:05:03,123", Some(SECOND + 123_000_000)),
            ("2015-05-17T08:05:03.123456789123-02", Some(SECOND + 123_456_789)),
            ("2015-05-17T10:05", Some(SECOND - 3_000_000_000)),
            ("1431857103", Some(SECOND)),
            ("1431857103.25", Some(SECOND + 250_000_000)),
            ("1431857103000", Some(SECOND)),
            ("1431857103000.5", Some(SECOND + 500_000)),
            ("1431857103000000", Some(SECOND)),
            ("1431857103000000000", Some(SECOND)),
            ("1.431857103e9", Some(SECOND)),
            ("1.431857103e12", Some(SECOND)),
            ("-1", Some(-1_000_000_000)),
            ("99999999999999999999", None),
            ("9223372036854775808", None),
            ("2015-02-29T00:00:00Z", None),
            ("2015-05-17T25:00:00Z", None),
            ("2015-05-17T10:05:03Zjunk", None),
            ("2015-05-17", None),
            ("9999-05-17T10:05:03Z", None),
            ("yesterday", None),
            ("12s", None),
            ("", None),
            ("1e999", None),
        ] {
            assert_eq!(parse(text.as_bytes()), ns, "{text}");
        }
    }
}
