//! Times: the calendar, what documents write, named formats ([`Format`]) and time zones ([`Zone`]).
//!
//! A time is nanoseconds since 1970, UTC, in an `i64`: the years 1677 to 2262. The calendar is Gregorian throughout. Nothing here
//! reads a clock, allocates per call (but for what is written), or panics on any bytes.
//!
//! [`parse`] reads times as JSON documents and shippers write them. RFC 3339 with `T` or a space, up to any number of fraction
//! digits after `.` or `,` (nine count), an offset as `Z`, `+02:00`, `+0200` or `+02`, or none, which means UTC; and epoch numbers,
//! with or without a fraction, in seconds, milliseconds, microseconds or nanoseconds, told apart by magnitude: the bounds are the
//! year 2286 in each unit.

mod format;
mod names;
mod pattern;
#[cfg(test)]
mod tests;
mod zone;

pub use format::{Format, iso8601};
pub use zone::Zone;

/// Nanoseconds of a second.
pub const SECOND: i64 = 1_000_000_000;

/// Days of a month.
#[inline]
pub fn days_of_month(month: i64, year: i64) -> i64 {
    match month {
        2 => 28 + i64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Whether a year has 366 days.
#[inline]
pub fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// Days since 1970 of a date, counted in years that begin in March, so that the leap day is the last.
#[inline(always)] // a call costs a guest as much as this
pub fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let is_before_march = month <= 2;
    let year = year - i64::from(is_before_march);
    let month_from_march = if is_before_march { month + 9 } else { month - 3 };
    // Every 400 years the calendar is the same; within them the numbers are small, and dividing these costs little.
    let era = year.div_euclid(400);
    let (year, month) = (small(year - era * 400), small(month_from_march));
    era * 146_097 + i64::from(365 * year + year / 4 - year / 100 + (153 * month + 2) / 5) + day - 719_469
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // of what is below 400
const fn small(number: i64) -> u32 {
    number as u32
}

/// Year, month and day of days since 1970.
pub fn date_of(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

/// What a clock on a wall and a calendar beside it say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Civil {
    /// Of the Gregorian calendar.
    pub year: i64,
    /// 1 to 12.
    pub month: i64,
    /// 1 to 31.
    pub day: i64,
    /// 0 to 23.
    pub hour: i64,
    /// 0 to 59.
    pub minute: i64,
    /// 0 to 60; a leap second is the first second of the next minute, as everywhere in Unix.
    pub second: i64,
    /// 0 to 999,999,999.
    pub nanosecond: i64,
}

impl Civil {
    /// Seconds since 1970 as if this were UTC; `None` where there is no such day or time of day.
    pub fn seconds(&self) -> Option<i64> {
        let Self { year, month, day, hour, minute, second, nanosecond } = *self;
        let is_date = (1..=12).contains(&month) && day >= 1 && day <= days_of_month(month, year) && year.abs() < 300_000;
        let is_time = (0..24).contains(&hour)
            && (0..60).contains(&minute)
            && (0..=60).contains(&second)
            && (0..SECOND).contains(&nanosecond);
        (is_date && is_time).then(|| days_since_1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second)
    }

    /// What is shown that many seconds after 1970, to which an offset was already added.
    pub fn of(seconds: i64, nanosecond: i64) -> Self {
        let (year, month, day) = date_of(seconds.div_euclid(86_400));
        let of_day = seconds.rem_euclid(86_400);
        Self { year, month, day, hour: of_day / 3600, minute: of_day / 60 % 60, second: of_day % 60, nanosecond }
    }
}

/// Seconds and nanoseconds as one number; `None` outside of the years it can hold.
#[inline]
pub fn nanoseconds(seconds: i64, nanosecond: i64) -> Option<i64> {
    // Told by a comparison: multiplying with a check takes 128 bits, which Wasm does not have.
    const MOST: i64 = i64::MAX / SECOND;
    (-MOST..=MOST).contains(&seconds).then(|| seconds * SECOND)?.checked_add(nanosecond)
}

/// The month of an abbreviation, exactly as `Jan`.
#[inline]
pub fn month_of(name: [u8; 3]) -> Option<i64> {
    const fn number(name: &[u8; 3]) -> u32 {
        u32::from_le_bytes([name[0], name[1], name[2], 0])
    }
    const MONTHS: [u32; 12] = [
        number(b"Jan"),
        number(b"Feb"),
        number(b"Mar"),
        number(b"Apr"),
        number(b"May"),
        number(b"Jun"),
        number(b"Jul"),
        number(b"Aug"),
        number(b"Sep"),
        number(b"Oct"),
        number(b"Nov"),
        number(b"Dec"),
    ];
    let wanted = number(&name);
    (1..).zip(MONTHS).find(|(_, month)| *month == wanted).map(|(month, _)| month)
}

/// Reads a time, all of the text or nothing.
pub fn parse(text: &[u8]) -> Option<i64> {
    let text = text.trim_ascii();
    if text.get(4) == Some(&b'-') { usual(text).or_else(|| rfc3339(text)).or_else(|| begun(text)) } else { epoch(text) }
}

/// When a month, a day or an hour begins that is written as the beginning of [`usual`].
fn begun(text: &[u8]) -> Option<i64> {
    let mut whole = *b"0000-01-01T00:00:00Z";
    if !matches!(text.len(), 7 | 10 | 13) {
        return None;
    }
    whole[..text.len()].copy_from_slice(text);
    usual(&whole)
}

/// `2015-05-17T10:05:03Z`, with up to nine digits of a fraction or without, which is what almost everybody writes: read without looking for
/// anything. What is of another form, or no time, is for [`rfc3339`].
fn usual(text: &[u8]) -> Option<i64> {
    let (head, tail) = text.split_first_chunk::<19>()?;
    let [y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1, b'T', h0, h1, b':', i0, i1, b':', s0, s1] = *head else { return None };
    let digits = |bytes: &[u8]| {
        bytes.iter().try_fold(0_i64, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0')))
    };
    let nanosecond = match tail {
        [b'Z'] => 0,
        [b'.', fraction @ .., b'Z'] if (1..=9).contains(&fraction.len()) => {
            digits(fraction)? * 10_i64.pow(9 - u32::try_from(fraction.len()).unwrap_or(9))
        }
        _ => return None,
    };
    let (year, month, day) = (digits(&[y0, y1, y2, y3])?, digits(&[m0, m1])?, digits(&[d0, d1])?);
    let (hour, minute, second) = (digits(&[h0, h1])?, digits(&[i0, i1])?, digits(&[s0, s1])?);
    nanoseconds(Civil { year, month, day, hour, minute, second, nanosecond }.seconds()?, nanosecond)
}

/// Writes a time as `2015-05-17T10:05:03Z`, with as many groups of three fraction digits as it has.
pub fn write(ns: i64, out: &mut Vec<u8>) {
    let now = Civil::of(ns.div_euclid(SECOND), ns.rem_euclid(SECOND));
    number(now.year, 4, out);
    for (mark, value) in [(b'-', now.month), (b'-', now.day), (b'T', now.hour), (b':', now.minute), (b':', now.second)] {
        out.push(mark);
        number(value, 2, out);
    }
    if now.nanosecond > 0 {
        let digits = if now.nanosecond % 1_000_000 == 0 {
            3
        } else if now.nanosecond % 1000 == 0 {
            6
        } else {
            9
        };
        out.push(b'.');
        number(now.nanosecond / 10_i64.pow(9 - digits), digits, out);
    }
    out.push(b'Z');
}

/// Writes a number with at least so many digits.
fn number(value: i64, digits: u32, out: &mut Vec<u8>) {
    if value < 0 {
        out.push(b'-');
    }
    let mut text = [b'0'; 20];
    let (mut rest, mut at) = (value.unsigned_abs(), text.len());
    while rest > 0 {
        at -= 1;
        text[at] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
    }
    let at = at.min(text.len().saturating_sub(digits as usize));
    out.extend_from_slice(&text[at..]);
}

/// Takes pieces off the front.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a>(pub(crate) &'a [u8]);

impl<'a> Cursor<'a> {
    /// Exactly so many digits.
    pub(crate) fn digits(&mut self, count: usize) -> Option<i64> {
        self.number(count, count)
    }

    /// As many digits as there are, up to `most`, and at least `least`; `most` is 18 or less.
    pub(crate) fn number(&mut self, least: usize, most: usize) -> Option<i64> {
        let count = self.count(most.min(18));
        if count < least {
            return None;
        }
        let (digits, rest) = self.0.split_at(count);
        self.0 = rest;
        Some(digits.iter().fold(0, |sum, byte| sum * 10 + i64::from(byte - b'0')))
    }

    fn count(&self, most: usize) -> usize {
        self.0.iter().take(most).take_while(|byte| byte.is_ascii_digit()).count()
    }

    pub(crate) fn take(&mut self, bytes: &[u8]) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        bytes.contains(first).then(|| {
            self.0 = rest;
            *first
        })
    }

    /// What of the front is as `is` says.
    pub(crate) fn while_(&mut self, is: impl Fn(u8) -> bool) -> &'a [u8] {
        let count = self.0.iter().take_while(|byte| is(**byte)).count();
        let (front, rest) = self.0.split_at(count);
        self.0 = rest;
        front
    }

    /// Fraction digits as nanoseconds.
    pub(crate) fn fraction(&mut self, most: usize) -> Option<i64> {
        let count = self.count(most);
        let (digits, rest) = self.0.split_at(count);
        self.0 = rest;
        let nine = digits.iter().map(|byte| i64::from(byte - b'0')).chain(core::iter::repeat(0)).take(9);
        (count > 0).then(|| nine.fold(0, |sum, digit| sum * 10 + digit))
    }

    /// Seconds east of Greenwich: `Z`, `+02:00`, `+0200`, `+02`.
    pub(crate) fn offset(&mut self) -> Option<i64> {
        let sign = match self.take(b"Zz+-")? {
            b'+' => 1,
            b'-' => -1,
            _ => return Some(0),
        };
        let hours = self.digits(2)?;
        let has_colon = self.take(b":").is_some();
        let minutes = if has_colon || self.count(2) == 2 { self.digits(2)? } else { 0 };
        (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
    }
}

/// A date and time, all of the text or nothing.
fn rfc3339(text: &[u8]) -> Option<i64> {
    let mut cursor = Cursor(text);
    let (civil, offset) = date_and_time(&mut cursor)?;
    if !cursor.0.is_empty() {
        return None;
    }
    nanoseconds(civil.seconds()? - offset.unwrap_or(0), civil.nanosecond)
}

fn date_and_time(cursor: &mut Cursor<'_>) -> Option<(Civil, Option<i64>)> {
    let year = cursor.digits(4)?;
    cursor.take(b"-")?;
    let month = cursor.digits(2)?;
    cursor.take(b"-")?;
    let day = cursor.digits(2)?;
    cursor.take(b"Tt ")?;
    let hour = cursor.digits(2)?;
    cursor.take(b":")?;
    let minute = cursor.digits(2)?;
    let (mut second, mut nanosecond) = (0, 0);
    if cursor.take(b":").is_some() {
        second = cursor.digits(2)?;
        if cursor.take(b".,").is_some() {
            nanosecond = cursor.fraction(usize::MAX)?;
        }
    }
    let offset = if matches!(cursor.0.first(), Some(b'Z' | b'z' | b'+' | b'-')) { Some(cursor.offset()?) } else { None };
    Some((Civil { year, month, day, hour, minute, second, nanosecond }, offset))
}

fn epoch(text: &[u8]) -> Option<i64> {
    let mut cursor = Cursor(text);
    let sign = if cursor.take(b"-").is_some() { -1 } else { 1 };
    let count = cursor.count(usize::MAX);
    if !(1..=19).contains(&count) {
        return None;
    }
    // 19 digits may be more than 2^63 - 1; then it is no time of ours.
    let whole = core::str::from_utf8(&cursor.0[..count]).ok()?.parse::<i64>().ok()?;
    cursor.0 = &cursor.0[count..];
    let fraction = if cursor.take(b".").is_some() { cursor.fraction(usize::MAX)? } else { 0 };
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
