//! The dialect's dates: formats, time zones and date maths (`now-1d/d`, `2026-11-20||+1M/M`).
//!
//! A date stands for a stretch of time, as long as the least that it names: `2026-11` is a month, a number of milliseconds is a
//! millisecond, and maths that rounds is a unit. What is compared with it decides which end counts ([`Stretch`]).

use std::ops::RangeInclusive;

use sawbox_guest::time::{Civil, Format, Zone};

use super::calendar::{SECOND, Unit, iso};

const MS: i64 = 1_000_000;

/// First and last nanosecond.
pub type Stretch = RangeInclusive<i64>;

/// What dates are read and written as.
#[derive(Clone, Debug)]
pub struct Dates {
    now_ns: i64,
    /// Of dates that name no zone, and of rounding.
    pub zone: Zone,
    formats: Vec<How>,
}

#[derive(Clone, Debug)]
enum How {
    Millis,
    Seconds,
    /// A date, and as much of a time of day as there is; written with all digits of a second, if the flag says so.
    Iso(bool),
    /// By letters, of which the unit is the least.
    Letters(Format, Option<Unit>),
}

/// Names of formats, and what they are in letters.
const NAMED: [(&str, &str); 18] = [
    ("basic_date", "yyyyMMdd"),
    ("basic_date_time", "yyyyMMdd'T'HHmmss.SSSZ"),
    ("basic_date_time_no_millis", "yyyyMMdd'T'HHmmssZ"),
    ("date", "yyyy-MM-dd"),
    ("date_hour", "yyyy-MM-dd'T'HH"),
    ("date_hour_minute", "yyyy-MM-dd'T'HH:mm"),
    ("date_hour_minute_second", "yyyy-MM-dd'T'HH:mm:ss"),
    ("date_hour_minute_second_millis", "yyyy-MM-dd'T'HH:mm:ss.SSS"),
    ("date_time", "yyyy-MM-dd'T'HH:mm:ss.SSSZZ"),
    ("date_time_no_millis", "yyyy-MM-dd'T'HH:mm:ssZZ"),
    ("hour", "HH"),
    ("hour_minute", "HH:mm"),
    ("hour_minute_second", "HH:mm:ss"),
    ("ordinal_date", "yyyy-DDD"),
    ("week_date", "xxxx-'W'ww-e"),
    ("year", "yyyy"),
    ("year_month", "yyyy-MM"),
    ("year_month_day", "yyyy-MM-dd"),
];

fn how(name: &str) -> Result<How, String> {
    let plain = name.strip_prefix("strict_").unwrap_or(name);
    Ok(match plain {
        "epoch_millis" => How::Millis,
        "epoch_second" => How::Seconds,
        "date_optional_time" | "iso8601" => How::Iso(false),
        "date_optional_time_nanos" => How::Iso(true),
        _ => {
            let named = NAMED.iter().find(|(own, _)| *own == plain);
            let letters = named.map_or(name, |(_, letters)| letters);
            // Zones are written otherwise than by filters, which have them from Logstash: what is three times `X` here is `ZZ` there.
            let offset = "X".repeat(3);
            let own = letters.replace(&offset, "ZZ");
            let letters = if named.is_none() { own.as_str() } else { letters };
            let bare: String = name.split('\'').step_by(2).collect();
            if named.is_none() && (bare.contains("ZZ") || bare.replace(&offset, "").contains(['x', 'X', 'z', 'V', 'O'])) {
                return Err(format!("the date format `{name}` is not supported: of zones `Z` and `{offset}` are"));
            }
            if letters.contains('%') || ["ISO8601", "UNIX", "UNIX_MS", "TAI64N"].contains(&letters) {
                return Err(format!("the date format `{name}` is not supported"));
            }
            let format = Format::new(letters).map_err(|why| format!("the date format `{name}` is not supported: {why}"))?;
            How::Letters(format, least(letters))
        }
    })
}

/// The least unit that letters name; none below a second.
fn least(letters: &str) -> Option<Unit> {
    let bare: String = letters.split('\'').step_by(2).collect();
    let units = [
        ("s", Unit::Second),
        ("m", Unit::Minute),
        ("HhKk", Unit::Hour),
        ("dDeE", Unit::Day),
        ("w", Unit::Week),
        ("M", Unit::Month),
    ];
    let has = |letters: &str| bare.contains(|letter| letters.contains(letter));
    if has("Sn") {
        return None;
    }
    Some(units.into_iter().find(|(letters, _)| has(letters)).map_or(Unit::Year, |(_, unit)| unit))
}

/// A time zone by name or offset.
///
/// # Errors
/// There is none of this name.
pub fn zone(name: &str) -> Result<Zone, String> {
    Zone::by_name(name).ok_or_else(|| format!("there is no time zone `{name}`"))
}

/// Whether a text is date maths.
pub fn is_maths(text: &str) -> bool {
    text.contains("||") || text.strip_prefix("now").is_some_and(|rest| rest.is_empty() || rest.starts_with(['+', '-', '/']))
}

impl Dates {
    /// As dates are read without a word: ISO 8601 or milliseconds, UTC.
    pub fn new(now_ns: i64) -> Self {
        Self { now_ns, zone: Zone::utc(), formats: vec![How::Iso(false), How::Millis] }
    }

    /// In a zone.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn in_zone(mut self, name: Option<&str>) -> Result<Self, String> {
        if let Some(name) = name {
            self.zone = zone(name)?;
        }
        Ok(self)
    }

    /// In a format, or several with `||` between them.
    ///
    /// # Errors
    /// It is not understood.
    pub fn format(mut self, written: Option<&str>) -> Result<Self, String> {
        if let Some(written) = written {
            self.formats = written.split("||").map(how).collect::<Result<_, _>>()?;
        }
        Ok(self)
    }

    /// Reads a date.
    ///
    /// # Errors
    /// It is none.
    pub fn read(&mut self, text: &str) -> Result<Stretch, String> {
        let (anchor, maths) = match (text.strip_prefix("now"), text.split_once("||")) {
            (Some(rest), _) => (self.now_ns..=self.now_ns, rest),
            (None, Some((date, rest))) => (self.plain(date)?, rest),
            (None, None) => return self.plain(text),
        };
        if maths.is_empty() {
            return Ok(anchor);
        }
        self.maths(*anchor.start(), maths).ok_or_else(|| format!("`{text}` is no date: maths are like `-1d`, `+2M` or `/d`"))
    }

    /// Reads an instant: where a date begins.
    ///
    /// # Errors
    /// It is none.
    pub fn instant(&mut self, text: &str) -> Result<i64, String> {
        self.read(text).map(|stretch| *stretch.start())
    }

    fn maths(&mut self, mut ns: i64, maths: &str) -> Option<Stretch> {
        let mut rest = maths.chars().peekable();
        let mut last = None;
        while let Some(sign) = rest.next() {
            let mut digits = String::new();
            while let Some(digit) = rest.next_if(char::is_ascii_digit) {
                digits.push(digit);
            }
            let unit = Unit::of_letter(rest.next()?)?;
            match sign {
                '+' | '-' if digits.len() <= 9 => {
                    let count: i64 = if digits.is_empty() { 1 } else { digits.parse().ok()? };
                    ns = unit.add(ns, if sign == '-' { -count } else { count }, &mut self.zone);
                    last = None;
                }
                '/' if digits.is_empty() => {
                    ns = unit.floor(ns, &mut self.zone);
                    last = Some(unit.next(ns, &mut self.zone).saturating_sub(1));
                }
                _ => return None,
            }
        }
        Some(ns..=last.unwrap_or(ns).max(ns))
    }

    fn plain(&mut self, text: &str) -> Result<Stretch, String> {
        let text = text.trim();
        for how in &self.formats {
            let read = match how {
                How::Millis => scaled(text, MS),
                How::Seconds => scaled(text, SECOND),
                How::Iso(_) => read_iso(text, &mut self.zone),
                How::Letters(format, unit) => format.parse(text.as_bytes(), &mut self.zone, self.now_ns).map(|ns| {
                    let end = unit.map_or(ns.saturating_add(MS), |unit| unit.next(ns, &mut self.zone));
                    ns..=end.saturating_sub(1).max(ns)
                }),
            };
            if let Some(stretch) = read {
                return Ok(stretch);
            }
        }
        Err(format!("`{text}` is no date of the format that is asked for (without one: ISO 8601, milliseconds, or date maths)"))
    }

    /// Whether what it writes is told to the nanosecond.
    pub fn is_exact(&self) -> bool {
        matches!(self.formats.first(), Some(How::Iso(true)))
    }

    /// Writes an instant in the first of its formats.
    pub fn write(&mut self, ns: i64) -> String {
        match self.formats.first() {
            Some(How::Millis) => ns.div_euclid(MS).to_string(),
            Some(How::Seconds) => ns.div_euclid(SECOND).to_string(),
            Some(How::Iso(nanoseconds)) => iso(ns, &mut self.zone, *nanoseconds),
            Some(How::Letters(format, _)) => {
                let mut out = Vec::new();
                format.write(ns, &mut self.zone, &mut out);
                String::from_utf8_lossy(&out).into_owned()
            }
            None => String::new(),
        }
    }
}

/// A number of units since 1970.
fn scaled(text: &str, unit: i64) -> Option<Stretch> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let start = whole.parse::<i64>().ok()?.checked_mul(unit)?;
    Some(start..=start.checked_add(unit - 1)?)
}

/// `2015`, `2015-05`, `2015-05-17`, `2015-05-17T10`, … `2015-05-17T10:05:03.123456+02:00`.
fn read_iso(text: &str, zone: &mut Zone) -> Option<Stretch> {
    let mut rest = text;
    let digits = |rest: &mut &str, count: usize| -> Option<i64> {
        let (front, back) = rest.split_at_checked(count)?;
        let number = front.bytes().all(|byte| byte.is_ascii_digit()).then(|| front.parse().ok()).flatten()?;
        *rest = back;
        Some(number)
    };
    let sign = |rest: &mut &str, signs: &[char]| match rest.strip_prefix(signs) {
        Some(back) => {
            *rest = back;
            true
        }
        None => false,
    };
    let mut date = Civil { year: digits(&mut rest, 4)?, month: 1, day: 1, hour: 0, minute: 0, second: 0, nanosecond: 0 };
    let mut unit = Some(Unit::Year);
    if sign(&mut rest, &['-']) {
        (date.month, unit) = (digits(&mut rest, 2)?, Some(Unit::Month));
        if sign(&mut rest, &['-']) {
            (date.day, unit) = (digits(&mut rest, 2)?, Some(Unit::Day));
        }
    }
    let mut length = SECOND;
    // `T` may stand alone behind a date.
    if unit == Some(Unit::Day) && sign(&mut rest, &['T', 't', ' ']) && rest.starts_with(|c: char| c.is_ascii_digit()) {
        (date.hour, unit) = (digits(&mut rest, 2)?, Some(Unit::Hour));
        if sign(&mut rest, &[':']) {
            (date.minute, unit) = (digits(&mut rest, 2)?, Some(Unit::Minute));
            if sign(&mut rest, &[':']) {
                (date.second, unit) = (digits(&mut rest, 2)?, Some(Unit::Second));
                if sign(&mut rest, &['.', ',']) {
                    let count = rest.bytes().take_while(u8::is_ascii_digit).count();
                    let kept = count.min(9);
                    let shift = 10i64.pow(u32::try_from(9 - kept).ok()?);
                    date.nanosecond = digits(&mut rest, kept)? * shift;
                    rest = rest.get(count - kept..)?;
                    (unit, length) = (None, if count <= 3 { MS } else { 1 });
                }
            }
        }
    }
    let mut named = if rest.is_empty() { None } else { Some(Zone::by_name(rest).filter(|_| rest.len() <= 6)?) };
    let zone = named.as_mut().unwrap_or(zone);
    let start = zone.utc_of(date.seconds()?).checked_mul(SECOND)?.checked_add(date.nanosecond)?;
    let end = match unit {
        Some(unit) => unit.next(start, zone),
        None => start.checked_add(length)?,
    };
    Some(start..=end.saturating_sub(1).max(start))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time;

    const NOW: i64 = 1_431_857_103_000_000_000; // 2015-05-17T10:05:03Z, a Sunday

    fn check(mut dates: Dates, text: &str, expected: Option<(&str, &str)>) {
        let found = dates.read(text).ok().map(|stretch| (time::format(*stretch.start()), time::format(*stretch.end() + 1)));
        let expected = expected.map(|(from, to)| (from.to_owned(), to.to_owned()));
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn a_date_is_as_long_as_the_least_it_names() {
        for (text, from, to) in [
            ("2015", "2015-01-01T00:00:00Z", "2016-01-01T00:00:00Z"),
            ("2015-05", "2015-05-01T00:00:00Z", "2015-06-01T00:00:00Z"),
            ("2015-05-17", "2015-05-17T00:00:00Z", "2015-05-18T00:00:00Z"),
            ("2015-05-17T10:05", "2015-05-17T10:05:00Z", "2015-05-17T10:06:00Z"),
            ("2015-05-17T10:05:03Z", "2015-05-17T10:05:03Z", "2015-05-17T10:05:04Z"),
            ("2015-05-17T12:05:03.250+02:00", "2015-05-17T10:05:03.250Z", "2015-05-17T10:05:03.251Z"),
            ("1431857103005", "2015-05-17T10:05:03.005Z", "2015-05-17T10:05:03.006Z"),
            ("now/d", "2015-05-17T00:00:00Z", "2015-05-18T00:00:00Z"),
            ("now-1d/d", "2015-05-16T00:00:00Z", "2015-05-17T00:00:00Z"),
            ("now/w", "2015-05-11T00:00:00Z", "2015-05-18T00:00:00Z"),
            ("now-1M/M", "2015-04-01T00:00:00Z", "2015-05-01T00:00:00Z"),
            ("2015-05-17||+1M/d", "2015-06-17T00:00:00Z", "2015-06-18T00:00:00Z"),
            ("now-15m", "2015-05-17T09:50:03Z", "2015-05-17T09:50:03.000000001Z"),
        ] {
            check(Dates::new(NOW), text, Some((from, to)));
        }
        for text in [
            "soon",
            "now-",
            "now-1",
            "now-1x",
            "now/2d",
            "2015-13-01",
            "2015-05-17T25",
            "",
            "99999999999999999999",
            "20150517T",
        ] {
            check(Dates::new(NOW), text, None);
        }
    }

    #[test]
    fn zones_and_formats_are_followed() {
        let berlin = Dates::new(NOW).in_zone(Some("Europe/Berlin")).unwrap();
        check(berlin.clone(), "2015-05-17", Some(("2015-05-16T22:00:00Z", "2015-05-17T22:00:00Z")));
        check(berlin, "now/d", Some(("2015-05-16T22:00:00Z", "2015-05-17T22:00:00Z")));
        // Where clocks skip a midnight the day is short, and ends at the next one.
        let cairo = Dates::new(NOW).in_zone(Some("Africa/Cairo")).unwrap();
        for text in ["2024-04-26", "2024-04-26||/d", "2024-04-25||+1d/d"] {
            check(cairo.clone(), text, Some(("2024-04-25T22:00:00Z", "2024-04-26T21:00:00Z")));
        }
        let written = cairo.format(Some("dd.MM.yyyy")).unwrap();
        check(written, "26.04.2024", Some(("2024-04-25T22:00:00Z", "2024-04-26T21:00:00Z")));
        let seconds = Dates::new(NOW).format(Some("epoch_second")).unwrap();
        check(seconds, "1431857103", Some(("2015-05-17T10:05:03Z", "2015-05-17T10:05:04Z")));
        let letters = Dates::new(NOW).format(Some("dd/MM/yyyy||yyyy")).unwrap();
        check(letters, "17/05/2015", Some(("2015-05-17T00:00:00Z", "2015-05-18T00:00:00Z")));
        assert!(Dates::new(NOW).format(Some("qq-nonsense")).is_err_and(|why| why.contains("qq-nonsense")));
        assert!(Dates::new(NOW).in_zone(Some("Europe/Atlantis")).is_err_and(|why| why.contains("Atlantis")));
        for (format, text) in [
            ("epoch_millis", "1431857103000"),
            ("yyyy-MM-dd", "2015-05-17"),
            ("strict_date_optional_time", "2015-05-17T10:05:03.000Z"),
            ("HH:mm", "10:05"),
        ] {
            assert_eq!(Dates::new(0).format(Some(format)).unwrap().write(NOW), text);
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_harms(text in "(now|[0-9]{0,20})?[-+|/.:TZ0-9yMwdhms]{0,24}|\\PC{0,20}") {
            let mut dates = Dates::new(NOW).in_zone(Some("Europe/Berlin")).unwrap();
            if let Ok(stretch) = dates.read(&text) {
                proptest::prop_assert!(stretch.start() <= stretch.end());
            }
        }
    }
}
