//! A named or written format of times: reads them, and writes them.
//!
//! What a text does not say is taken from where it arrived: the year such that a December that arrives in January is last year's,
//! and a January that arrives in December is next year's; a time of day alone is on the day that brings it nearest to its arrival.
//! What is smaller than anything the text says is the least there is: a date alone is its midnight. So nothing depends on a clock.
//!
//! Names are English, in any spelling of capitals. Where a format has a space the text has one or more.

use super::pattern::{self, Item, Part};
use super::{Civil, Cursor, SECOND, Zone, date_of, days_since_1970, names, nanoseconds, number};
use crate::record::Value;

/// How times are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Iso8601,
    Unix,
    UnixMs,
    Tai64n,
    Items(Vec<Item>),
}

/// What a text says.
#[derive(Clone, Debug, Default)]
struct Said {
    year: Option<i64>,
    is_short_year: bool,
    week_year: Option<i64>,
    week: Option<i64>,
    weekday: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
    day_of_year: Option<i64>,
    hour: Option<i64>,
    half_hour: Option<i64>,
    is_afternoon: Option<bool>,
    minute: Option<i64>,
    second: Option<i64>,
    nanosecond: Option<i64>,
    epoch: Option<i64>,
    offset: Option<i64>,
    zone: Option<Zone>,
}

impl Format {
    /// `ISO8601`, `UNIX`, `UNIX_MS`, `TAI64N`, a format of `strftime` (it has a `%`), or Joda's letters.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(written: &str) -> Result<Self, String> {
        Ok(Self(match written {
            "ISO8601" => Kind::Iso8601,
            "UNIX" => Kind::Unix,
            "UNIX_MS" => Kind::UnixMs,
            "TAI64N" => Kind::Tai64n,
            "" => return Err("a format is empty".into()),
            _ => {
                let made = if written.contains('%') { pattern::strftime(written) } else { pattern::joda(written) };
                Kind::Items(made.map_err(|error| format!("the format `{written}`: {error}"))?)
            }
        }))
    }

    /// Whether texts of this format need a zone to be a time.
    pub fn needs_zone(&self) -> bool {
        match &self.0 {
            Kind::Iso8601 => true,
            Kind::Unix | Kind::UnixMs | Kind::Tai64n => false,
            Kind::Items(items) => !items.iter().any(|item| matches!(item, Item::Offset(_) | Item::Zone)),
        }
    }

    /// Reads a time, all of the text or nothing. `zone` is for texts that name none, `arrival_ns` for what they leave out.
    pub fn parse(&self, text: &[u8], zone: &mut Zone, arrival_ns: i64) -> Option<i64> {
        let text = text.trim_ascii();
        match &self.0 {
            Kind::Iso8601 => iso8601(text, zone),
            Kind::Unix => unix(text),
            Kind::UnixMs => {
                let ms = core::str::from_utf8(text).ok()?.parse::<i64>().ok()?;
                ms.checked_mul(1_000_000)
            }
            Kind::Tai64n => tai64n(text),
            Kind::Items(items) => {
                let (mut said, mut cursor) = (Said::default(), Cursor(text));
                for item in items {
                    read(item, &mut cursor, &mut said)?;
                }
                if !cursor.0.is_empty() {
                    return None;
                }
                match said.zone.take() {
                    Some(mut named) => said.time(&mut named, arrival_ns),
                    None => said.time(zone, arrival_ns),
                }
            }
        }
    }

    /// The same of a value: numbers are times too.
    pub fn parse_value(&self, value: Value<'_>, zone: &mut Zone, arrival_ns: i64) -> Option<i64> {
        match (value, &self.0) {
            (Value::Str(text), _) => self.parse(text, zone, arrival_ns),
            (Value::Int(seconds), Kind::Unix) => seconds.checked_mul(SECOND),
            (Value::Int(ms), Kind::UnixMs) => ms.checked_mul(1_000_000),
            (Value::Int(digits), _) => self.parse(digits.to_string().as_bytes(), zone, arrival_ns),
            (Value::Float(seconds), Kind::Unix) => rounded(seconds * 1e6).and_then(|micros| micros.checked_mul(1000)),
            (Value::Float(ms), Kind::UnixMs) => rounded(ms * 1e3).and_then(|micros| micros.checked_mul(1000)),
            (Value::Float(_) | Value::Bool(_), _) => None,
        }
    }

    /// Writes a time as it is in a zone.
    pub fn write(&self, ns: i64, zone: &mut Zone, out: &mut Vec<u8>) {
        let (utc, nanosecond) = (ns.div_euclid(SECOND), ns.rem_euclid(SECOND));
        match &self.0 {
            Kind::Iso8601 | Kind::Tai64n => super::write(ns, out),
            Kind::Unix => number(utc, 1, out),
            Kind::UnixMs => number(ns.div_euclid(1_000_000), 1, out),
            Kind::Items(items) => {
                let offset = zone.offset_at(utc);
                let civil = Civil::of(utc + offset, nanosecond);
                for item in items {
                    put(item, &civil, utc, offset, out);
                }
            }
        }
    }
}

fn rounded(number: f64) -> Option<i64> {
    #[allow(clippy::cast_possible_truncation)] // bounded
    (number.abs() < 9.0e18).then_some(number.round() as i64)
}

fn read(item: &Item, cursor: &mut Cursor<'_>, said: &mut Said) -> Option<()> {
    match item {
        Item::Text(text) => cursor.0 = cursor.0.strip_prefix(text.as_slice())?,
        Item::Space => {
            cursor.take(b" \t")?;
            cursor.while_(|byte| matches!(byte, b' ' | b'\t'));
        }
        Item::Number { part, most, pad, .. } => {
            if *pad {
                cursor.while_(|byte| byte == b' ');
            }
            let is_negative = *part == Part::EpochSecond && cursor.take(b"-").is_some();
            let before = cursor.0.len();
            let value = cursor.number(1, *most)?;
            let digits = before - cursor.0.len();
            said.number(*part, if is_negative { -value } else { value }, digits)?;
        }
        Item::Month(_) => {
            let (month, len) = names::find_month(cursor.0)?;
            cursor.0 = &cursor.0[len..];
            said.month = Some(month);
        }
        Item::Weekday(_) => {
            let (weekday, len) = names::find_weekday(cursor.0)?;
            cursor.0 = &cursor.0[len..];
            said.weekday = Some(weekday);
        }
        Item::Half => {
            said.is_afternoon = Some(cursor.take(b"APap")?.eq_ignore_ascii_case(&b'p'));
            cursor.take(b"Mm")?;
        }
        Item::Fraction(most) => said.nanosecond = Some(cursor.fraction(*most)?),
        Item::DotFraction(most) => {
            if cursor.take(b".,").is_some() {
                said.nanosecond = Some(cursor.fraction(*most)?);
            }
        }
        Item::Offset(_) => said.offset = Some(cursor.offset()?),
        Item::Zone => {
            let is_offset = matches!(cursor.0, [b'+' | b'-', b'0'..=b'9', ..]);
            said.offset = Some(if is_offset { cursor.offset()? } else { return zone_name(cursor, said) });
        }
    }
    Some(())
}

/// A zone by its name. Rare enough in texts that looking it up each time will do.
fn zone_name(cursor: &mut Cursor<'_>, said: &mut Said) -> Option<()> {
    let name = cursor.while_(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'_' | b'-' | b'+'));
    if let Some(offset) = names::abbreviation(name) {
        said.offset = Some(offset);
        return Some(());
    }
    said.zone = Some(Zone::by_name(core::str::from_utf8(name).ok()?)?);
    Some(())
}

impl Said {
    fn number(&mut self, part: Part, value: i64, digits: usize) -> Option<()> {
        let within = |from: i64, to: i64| (from..=to).contains(&value).then_some(value);
        match part {
            Part::Year => self.year = Some(value),
            Part::ShortYear => {
                self.year = Some(value);
                self.is_short_year = digits == 2;
            }
            Part::WeekYear => self.week_year = Some(within(1, 9999)?),
            Part::Week => self.week = Some(within(1, 53)?),
            Part::DayOfWeek => self.weekday = Some(within(1, 7)?),
            Part::Month => self.month = Some(within(1, 12)?),
            Part::Day => self.day = Some(within(1, 31)?),
            Part::DayOfYear => self.day_of_year = Some(within(1, 366)?),
            Part::Hour => self.hour = Some(within(0, 23)?),
            Part::Hour1 => self.hour = Some(within(1, 24)? % 24),
            Part::HalfHour => self.half_hour = Some(within(0, 11)?),
            Part::HalfHour1 => self.half_hour = Some(within(1, 12)? % 12),
            Part::Minute => self.minute = Some(within(0, 59)?),
            Part::Second => self.second = Some(within(0, 60)?),
            Part::EpochSecond => self.epoch = Some(value.checked_mul(SECOND)?),
        }
        Some(())
    }

    /// The time of day.
    fn of_day(&self) -> i64 {
        let half = i64::from(self.is_afternoon == Some(true)) * 12;
        let hour = self.hour.or_else(|| self.half_hour.map(|hour| hour + half)).unwrap_or(0);
        hour * 3600 + self.minute.unwrap_or(0) * 60 + self.second.unwrap_or(0)
    }

    /// The date and time of day; `arrival` is in local seconds.
    fn civil(&self, arrival: i64) -> Option<Civil> {
        let now = Civil::of(arrival, 0);
        let of_day = self.of_day();
        let year = match self.year {
            Some(year) if self.is_short_year => {
                let from = now.year - 80;
                Some(from + (year - from).rem_euclid(100))
            }
            year => year,
        };
        let days = if let (Some(year), Some(week)) = (self.week_year.or(year), self.week) {
            // The week with the fourth of January is the first.
            let fourth = days_since_1970(year, 1, 4);
            fourth - (fourth + 3).rem_euclid(7) + (week - 1) * 7 + self.weekday.unwrap_or(1) - 1
        } else if let Some(day) = self.day_of_year {
            let year = year.unwrap_or(now.year);
            if day > 365 + i64::from(super::is_leap(year)) {
                return None;
            }
            days_since_1970(year, 1, 1) + day - 1
        } else {
            let (year, month, day) = match (year, self.month, self.day) {
                (Some(year), month, day) => (year, month.unwrap_or(1), day.unwrap_or(1)),
                (None, Some(month), day) => {
                    let year = match (month, now.month) {
                        (12, 1) => now.year - 1,
                        (1, 12) => now.year + 1,
                        _ => now.year,
                    };
                    (year, month, day.unwrap_or(1))
                }
                (None, None, Some(day)) => (now.year, now.month, day),
                (None, None, None) => {
                    let today = arrival.div_euclid(86_400);
                    let ahead = today * 86_400 + of_day - arrival;
                    date_of(today + i64::from(ahead < -43_200) - i64::from(ahead > 43_200))
                }
            };
            if day > super::days_of_month(month, year) || year.abs() > 200_000 {
                return None;
            }
            days_since_1970(year, month, day)
        };
        // A leap second is the next minute's first: so is what `Civil::of` makes of it.
        Some(Civil::of(days * 86_400 + of_day, self.nanosecond.unwrap_or(0)))
    }

    fn time(&self, zone: &mut Zone, arrival_ns: i64) -> Option<i64> {
        if let Some(epoch) = self.epoch {
            return epoch.checked_add(self.nanosecond.unwrap_or(0));
        }
        let arrival = arrival_ns.div_euclid(SECOND);
        let offset = self.offset.unwrap_or_else(|| zone.offset_at(arrival));
        let civil = self.civil(arrival + offset)?;
        let local = civil.seconds()?;
        let utc = match self.offset {
            Some(offset) => local - offset,
            None => zone.utc_of(local),
        };
        nanoseconds(utc, civil.nanosecond)
    }
}

/// Reads what the format `ISO8601` reads: a date, perhaps a time of day, perhaps an offset; in the extended or the basic form.
/// `zone` is for texts that have none.
pub fn iso8601(text: &[u8], zone: &mut Zone) -> Option<i64> {
    let mut cursor = Cursor(text);
    let mut civil = Civil { year: cursor.digits(4)?, month: 1, day: 1, hour: 0, minute: 0, second: 0, nanosecond: 0 };
    if cursor.take(b"-").is_some() {
        civil.month = cursor.digits(2)?;
        if cursor.take(b"-").is_some() {
            civil.day = cursor.digits(2)?;
        }
    } else if !cursor.0.is_empty() {
        (civil.month, civil.day) = (cursor.digits(2)?, cursor.digits(2)?);
    }
    if cursor.take(b"Tt ").is_some() {
        civil.hour = cursor.digits(2)?;
        let is_extended = cursor.take(b":").is_some();
        if is_extended || matches!(cursor.0.first(), Some(b'0'..=b'9')) {
            civil.minute = cursor.digits(2)?;
            let has_second =
                if is_extended { cursor.take(b":").is_some() } else { matches!(cursor.0.first(), Some(b'0'..=b'9')) };
            if has_second {
                civil.second = cursor.digits(2)?;
                if cursor.take(b".,").is_some() {
                    civil.nanosecond = cursor.fraction(usize::MAX)?;
                }
            }
        }
    }
    cursor.while_(|byte| byte == b' ');
    let local = civil.seconds()?;
    let utc = if cursor.0.is_empty() { zone.utc_of(local) } else { local - cursor.offset()? };
    cursor.0.is_empty().then(|| nanoseconds(utc, civil.nanosecond)).flatten()
}

/// Seconds, with or without a fraction.
fn unix(text: &[u8]) -> Option<i64> {
    let mut cursor = Cursor(text);
    let sign = if cursor.take(b"-").is_some() { -1 } else { 1 };
    let seconds = cursor.number(1, 18)?;
    let fraction = if cursor.take(b".").is_some() { cursor.fraction(usize::MAX)? } else { 0 };
    if cursor.0.is_empty() {
        return nanoseconds(sign * seconds, sign * fraction);
    }
    // 1.5e9
    rounded(core::str::from_utf8(text).ok()?.parse::<f64>().ok()? * 1e6)?.checked_mul(1000)
}

/// `@` and 24 hexadecimal digits, as daemontools writes them: ten seconds ahead of Unix.
fn tai64n(text: &[u8]) -> Option<i64> {
    let text = text.strip_prefix(b"@").unwrap_or(text);
    if text.len() != 24 || !text.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let text = core::str::from_utf8(text).ok()?;
    let seconds = i64::from_str_radix(&text[..16], 16).ok()? - (1 << 62) - 10;
    let nanosecond = i64::from_str_radix(&text[16..], 16).ok()?;
    (nanosecond < SECOND).then(|| nanoseconds(seconds, nanosecond)).flatten()
}

fn put(item: &Item, civil: &Civil, utc: i64, offset: i64, out: &mut Vec<u8>) {
    let days = (utc + offset).div_euclid(86_400);
    let weekday = (days + 3).rem_euclid(7) + 1;
    // The Thursday of a week is in the year that the week belongs to.
    let week_year = date_of(days - weekday + 4).0;
    match item {
        Item::Text(text) => out.extend_from_slice(text),
        Item::Space => out.push(b' '),
        Item::Number { part, width, pad, .. } => {
            let value = match part {
                Part::Year => civil.year,
                Part::ShortYear => civil.year.rem_euclid(100),
                Part::WeekYear => week_year,
                Part::Week => (days - weekday + 4 - days_since_1970(week_year, 1, 1)) / 7 + 1,
                Part::DayOfWeek => weekday,
                Part::Month => civil.month,
                Part::Day => civil.day,
                Part::DayOfYear => days - days_since_1970(civil.year, 1, 1) + 1,
                Part::Hour => civil.hour,
                Part::Hour1 => (civil.hour + 23) % 24 + 1,
                Part::HalfHour => civil.hour % 12,
                Part::HalfHour1 => (civil.hour + 11) % 12 + 1,
                Part::Minute => civil.minute,
                Part::Second => civil.second,
                Part::EpochSecond => utc,
            };
            if *pad && value < 10 {
                out.push(b' ');
            }
            number(value, if *pad { 1 } else { *width }, out);
        }
        Item::Month(is_full) => name(names::month(civil.month), *is_full, out),
        Item::Weekday(is_full) => name(names::weekday(weekday), *is_full, out),
        Item::Half => out.extend_from_slice(if civil.hour < 12 { b"AM" } else { b"PM" }),
        Item::Fraction(digits) | Item::DotFraction(digits) => {
            if matches!(item, Item::DotFraction(_)) {
                out.push(b'.');
            }
            let kept = u32::try_from(*digits).unwrap_or(9).min(9);
            number(civil.nanosecond / 10_i64.pow(9 - kept), kept, out);
        }
        Item::Offset(_) | Item::Zone => {
            out.push(if offset < 0 { b'-' } else { b'+' });
            number(offset.abs() / 3600, 2, out);
            if *item == Item::Offset(true) {
                out.push(b':');
            }
            number(offset.abs() / 60 % 60, 2, out);
        }
    }
}

fn name(full: &str, is_full: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(if is_full { full } else { full.get(..3).unwrap_or(full) }.as_bytes());
}
