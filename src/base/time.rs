//! Instants as people and shippers write them, to and from nanoseconds since 1970.
//!
//! Read: RFC 3339 (`T` or a space, any number of fraction digits, offset optional and then UTC), epoch seconds, milliseconds,
//! microseconds or nanoseconds (told apart by magnitude), and, for queries, `now` and spans relative to it (`-1h`, `now-15m`).

use chrono::{DateTime, NaiveDate, NaiveDateTime, SecondsFormat, Utc};

use crate::base::units::Span;

/// Nanoseconds in a day.
pub const DAY_NS: i64 = 86_400_000_000_000;

/// Reads an instant that stands by itself.
pub fn parse(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return time.timestamp_nanos_opt();
    }
    for format in ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M"] {
        if let Ok(time) = NaiveDateTime::parse_from_str(text, format) {
            return time.and_utc().timestamp_nanos_opt();
        }
    }
    if let Ok(date) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        return date.and_hms_opt(0, 0, 0)?.and_utc().timestamp_nanos_opt();
    }
    // Offsets without a colon, as Java's formatters write them.
    if let Ok(time) = DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f%z") {
        return time.timestamp_nanos_opt();
    }
    if let Ok(whole) = text.parse::<i64>() {
        return epoch(whole);
    }
    let seconds = text.parse::<f64>().ok().filter(|seconds| seconds.abs() < 9.0e9)?;
    #[allow(clippy::cast_possible_truncation)]
    let ns = (seconds * 1e6).round() as i64; // microseconds: what a double holds of today's epoch
    ns.checked_mul(1000)
}

/// A whole number as an instant: seconds, milliseconds, microseconds or nanoseconds by magnitude.
/// The bounds are the year 2286 in each unit.
pub fn epoch(number: i64) -> Option<i64> {
    match number.unsigned_abs() {
        0..10_000_000_000 => number.checked_mul(1_000_000_000),
        10_000_000_000..10_000_000_000_000 => number.checked_mul(1_000_000),
        10_000_000_000_000..10_000_000_000_000_000 => number.checked_mul(1000),
        _ => Some(number),
    }
}

/// Reads an instant of a query: as [`parse`], or relative to `now_ns`.
///
/// # Errors
/// A sentence that says what would have been understood.
pub fn parse_relative(text: &str, now_ns: i64) -> Result<i64, String> {
    let trimmed = text.trim();
    if trimmed == "now" {
        return Ok(now_ns);
    }
    let rest = trimmed.strip_prefix("now").unwrap_or(trimmed);
    if let Some(Ok(span)) = rest.strip_prefix('-').map(str::parse::<Span>) {
        return Ok(now_ns.saturating_sub(span.as_ns()));
    }
    if let Some(Ok(span)) = rest.strip_prefix('+').map(str::parse::<Span>) {
        return Ok(now_ns.saturating_add(span.as_ns()));
    }
    parse(trimmed).ok_or_else(|| {
        format!("`{text}` is no time; write RFC 3339 (2026-11-20T08:00:00Z), an epoch, or relative to now (-90s, -15m, -1h, -7d, -2w, now)")
    })
}

/// RFC 3339 in UTC, with as many fraction digits (0, 3, 6 or 9) as it needs.
pub fn format(ns: i64) -> String {
    DateTime::<Utc>::from_timestamp_nanos(ns).to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// The UTC day of an instant, days since 1970.
pub fn day(ns: i64) -> i64 {
    ns.div_euclid(DAY_NS)
}

/// `yyyymmdd` of a day.
pub fn day_name(day: i64) -> String {
    DateTime::<Utc>::from_timestamp_nanos(day.saturating_mul(DAY_NS)).format("%Y%m%d").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_read_as_shippers_write_them() {
        const SECOND: i64 = 1_431_857_103_000_000_000;
        for (text, ns) in [
            ("2015-05-17T10:05:03Z", SECOND),
            ("2015-05-17T10:05:03.000Z", SECOND),
            ("2015-05-17T12:05:03+02:00", SECOND),
            ("2015-05-17T12:05:03.5+0200", SECOND + 500_000_000),
            ("2015-05-17 10:05:03,", 0),
            ("2015-05-17 10:05:03", SECOND),
            ("2015-05-17T10:05:03.123456789", SECOND + 123_456_789),
            ("1431857103", SECOND),
            ("1431857103000", SECOND),
            ("1431857103000000", SECOND),
            ("1431857103000000000", SECOND),
            ("1431857103.25", SECOND + 250_000_000),
            ("2015-05-17", SECOND - 36_303_000_000_000),
        ] {
            assert_eq!(parse(text).unwrap_or(0), ns, "{text}");
        }
        assert_eq!(parse_relative("-1h", SECOND), Ok(SECOND - 3_600_000_000_000));
        assert_eq!(parse_relative("now-15m", SECOND), Ok(SECOND - 900_000_000_000));
        assert!(parse_relative("yesterday-ish", SECOND).is_err());
        assert_eq!(format(SECOND + 5_000_000), "2015-05-17T10:05:03.005Z");
        assert_eq!((day_name(day(SECOND)).as_str(), day(-1)), ("20150517", -1));
    }
}
