//! A syslog line's parts, as headers.
//!
//! What comes in: the line as it came. What goes out: `facility`, `severity`, `timestamp`, `host`, `app`, `pid`, `msgid`,
//! `sd.<id>.<name>` and `message`, as far as the line has them, and the time it says. The line itself stays the payload.
//!
//! Invariants: any bytes give some answer; a line that is no syslog has no headers but `message`, which then is all of it.
//! Bytes that are no UTF-8 are kept in `message`. RFC 3164 says neither year nor zone: the year is the one that puts the line
//! nearest to now, the zone is the box's.

use std::borrow::Cow;

use chrono::{DateTime, Datelike, Local, Utc};
use syslog_loose::{IncompleteDate, ProcId, Variant, parse_message_with_year_tz};

/// Most structured data that becomes headers.
const STRUCTURED: usize = 128;

/// Names and values.
pub type Headers<'a> = Vec<(Cow<'a, [u8]>, Cow<'a, [u8]>)>;

/// The parts.
#[derive(Debug)]
pub struct Parts<'a> {
    /// Names and values.
    pub headers: Headers<'a>,
    /// When the line says it was written, milliseconds since 1970.
    pub timestamp_ms: Option<i64>,
}

/// Takes a line apart.
pub fn parse(line: &[u8], now_ns: i64) -> Parts<'_> {
    match simdutf8::basic::from_utf8(line) {
        Ok(text) => parts(text, line, now_ns),
        Err(_) => {
            // The same length, so that the message is found at the same place in the original.
            let clean: Vec<u8> = ascii_for_invalid(line);
            let text = std::str::from_utf8(&clean).unwrap_or_default();
            let parts = parts(text, line, now_ns);
            let own = |bytes: Cow<'_, [u8]>| Cow::Owned(bytes.into_owned());
            let headers = parts.headers.into_iter().map(|(name, value)| (own(name), own(value))).collect();
            Parts { headers, timestamp_ms: parts.timestamp_ms }
        }
    }
}

fn ascii_for_invalid(line: &[u8]) -> Vec<u8> {
    let mut clean = Vec::with_capacity(line.len());
    for piece in line.utf8_chunks() {
        clean.extend_from_slice(piece.valid().as_bytes());
        clean.resize(clean.len() + piece.invalid().len(), b'?');
    }
    clean
}

/// `text` and `line` have the same length; the message is cut from `line`.
fn parts<'a>(text: &'a str, line: &'a [u8], now_ns: i64) -> Parts<'a> {
    let message = parse_message_with_year_tz::<_, Local>(text, |date| year(date, now_ns), None, Variant::Either);
    let mut headers: Headers<'a> = Vec::with_capacity(9);
    let mut put = |name: &'static str, value: &'a str| {
        headers.push((Cow::Borrowed(name.as_bytes()), Cow::Borrowed(value.as_bytes())));
    };
    if let Some(facility) = message.facility {
        put("facility", facility.as_str());
    }
    if let Some(severity) = message.severity {
        put("severity", severity.as_str());
    }
    for (name, value) in [("host", message.hostname), ("app", message.appname), ("msgid", message.msgid)] {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            put(name, value);
        }
    }
    let own = |name: &'static str, value: String| (Cow::Borrowed(name.as_bytes()), Cow::Owned(value.into_bytes()));
    match message.procid {
        Some(ProcId::PID(pid)) => headers.push(own("pid", pid.to_string())),
        Some(ProcId::Name(name)) => headers.push((Cow::Borrowed(b"pid"), Cow::Borrowed(name.as_bytes()))),
        None => {}
    }
    for element in &message.structured_data {
        for (name, value) in element.params() {
            if headers.len() < STRUCTURED {
                headers.push((Cow::Owned(format!("sd.{}.{name}", element.id).into_bytes()), Cow::Owned(value.into_bytes())));
            }
        }
    }
    let timestamp_ms = message.timestamp.map(|time| time.timestamp_millis());
    if let Some(time) = message.timestamp.and_then(|time| time.timestamp_nanos_opt()) {
        headers.push(own("timestamp", crate::base::time::format(time)));
    }
    // The message is a part of the text: the same part of the line has the bytes that came.
    let start = (message.msg.as_ptr() as usize).wrapping_sub(text.as_ptr() as usize);
    let body = line.get(start..start.wrapping_add(message.msg.len())).unwrap_or(message.msg.as_bytes());
    let body = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body);
    headers.push((Cow::Borrowed(b"message"), Cow::Borrowed(body)));
    Parts { headers, timestamp_ms }
}

/// Of last year, this one and the next the one in which the date is nearest to now.
fn year((month, day, ..): IncompleteDate, now_ns: i64) -> i32 {
    let now = DateTime::<Utc>::from_timestamp_nanos(now_ns);
    let distance = |year: i32| {
        let date = chrono::NaiveDate::from_ymd_opt(year, month, day.clamp(1, 28));
        date.map_or(i64::MAX, |date| (date - now.date_naive()).num_days().abs())
    };
    [now.year(), now.year() - 1, now.year() + 1].into_iter().min_by_key(|year| distance(*year)).unwrap_or(now.year())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: i64 = 1_790_000_000_000_000_000; // 2026-09-21

    fn header(parts: &Parts<'_>, name: &str) -> Option<String> {
        let found = parts.headers.iter().find(|(own, _)| own.as_ref() == name.as_bytes());
        found.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
    }

    #[test]
    fn lines_of_both_standards() {
        let old = parse(b"<34>Oct 11 22:14:15 mymachine su[230]: 'su root' failed for lonvick on /dev/pts/8", NOW);
        for (name, value) in [
            ("facility", "auth"),
            ("severity", "crit"),
            ("host", "mymachine"),
            ("app", "su"),
            ("pid", "230"),
            ("message", "'su root' failed for lonvick on /dev/pts/8"),
        ] {
            assert_eq!(header(&old, name).as_deref(), Some(value), "{name}");
        }
        assert!(header(&old, "timestamp").unwrap().starts_with("2026-10-11T"));
        let new = b"<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog 17 ID47 [exampleSDID@32473 iut=\"3\" eventSource=\"Ap\\\"p\"] \xef\xbb\xbfAn application";
        let new = parse(new, NOW);
        for (name, value) in [
            ("facility", "local4"),
            ("severity", "notice"),
            ("host", "mymachine.example.com"),
            ("app", "evntslog"),
            ("pid", "17"),
            ("msgid", "ID47"),
            ("sd.exampleSDID@32473.iut", "3"),
            ("sd.exampleSDID@32473.eventSource", "Ap\"p"),
            ("timestamp", "2003-10-11T22:14:15.003Z"),
            ("message", "An application"),
        ] {
            assert_eq!(header(&new, name).as_deref(), Some(value), "{name}");
        }
        assert_eq!(new.timestamp_ms, Some(1_065_910_455_003));
    }

    #[test]
    fn what_is_no_syslog_is_all_message() {
        let parts = parse(b"just some words", NOW);
        assert_eq!(header(&parts, "message").as_deref(), Some("just some words"));
        assert_eq!(header(&parts, "severity"), None);
    }

    #[test]
    fn bytes_that_are_no_text_are_kept() {
        let parts = parse(b"<34>Oct 11 22:14:15 mymachine su: caf\xe9 \xff", NOW);
        assert_eq!(header(&parts, "app").as_deref(), Some("su"));
        let message = parts.headers.iter().find(|(name, _)| name.as_ref() == b"message").unwrap();
        assert_eq!(message.1.as_ref(), b"caf\xe9 \xff");
    }

    #[test]
    fn december_read_in_january_is_last_year() {
        let january = 1_799_000_000_000_000_000; // 2027-01-03
        assert_eq!(year((12, 31, 23, 59, 59), january), 2026);
        assert_eq!(year((1, 1, 0, 0, 0), january), 2027);
        assert_eq!(year((1, 1, 0, 0, 0), january - 5 * crate::base::time::DAY_NS), 2027);
    }

    proptest! {
        #[test]
        fn any_bytes_give_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(header(&parse(&bytes, NOW), "message").is_some());
        }

        #[test]
        fn nearly_syslog_gives_an_answer(text in "<[0-9]{1,4}>1? ?(Oct|Feb|[0-9]{4}-[0-9]{2}-[0-9]{2}T)? ?[0-9]{1,10} [0-9:]{0,9}[ a-zé\\[\\]\"=@\\\\:-]{0,40}") {
            prop_assert!(header(&parse(text.as_bytes(), NOW), "message").is_some());
        }
    }
}
