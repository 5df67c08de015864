//! The times of syslog lines, off the front of what is left of one.
//!
//! * `Oct 11 22:14:15`, the day with one digit or two, with a fraction, with a year before the time of day or behind it, with the
//!   name of a zone behind it (`UTC`, `GMT` count; of others nobody can tell which is meant, so the filter's own zone does);
//! * RFC 3339, with or without an offset.
//!
//! A line that says no year is of the one that puts it nearest to its arrival.

use sawbox_guest::time::{Civil, SECOND, Zone, month_of, nanoseconds};

/// Reads a time off the front; gives it and what follows.
pub fn take<'a>(text: &'a [u8], zone: &mut Zone, arrival_ns: i64) -> Option<(i64, &'a [u8])> {
    match text.first()? {
        b'0'..=b'9' => iso(text, zone),
        _ => bsd(text, zone, arrival_ns),
    }
}

/// Digits off the front, from `least` to `most` of them.
fn number<'a>(text: &mut &'a [u8], least: usize, most: usize) -> Option<(i64, &'a [u8])> {
    let count = text.iter().take(most).take_while(|byte| byte.is_ascii_digit()).count();
    if count < least {
        return None;
    }
    let (digits, rest) = text.split_at(count);
    *text = rest;
    Some((digits.iter().fold(0, |sum, byte| sum * 10 + i64::from(byte - b'0')), digits))
}

fn digits(text: &mut &[u8], count: usize) -> Option<i64> {
    number(text, count, count).map(|(number, _)| number)
}

fn take_byte(text: &mut &[u8], byte: u8) -> Option<()> {
    *text = text.strip_prefix(&[byte])?;
    Some(())
}

/// `22:14:15.003`, as hour, minute, second, nanosecond.
fn clock(text: &mut &[u8]) -> Option<(i64, i64, i64, i64)> {
    let (hour, _) = number(text, 1, 2)?;
    take_byte(text, b':')?;
    let minute = digits(text, 2)?;
    take_byte(text, b':')?;
    let second = digits(text, 2)?;
    let mut nanosecond = 0;
    if matches!(text, [b'.' | b',', next, ..] if next.is_ascii_digit()) {
        // Of any length: more digits than a number holds.
        let count = text[1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (fraction, rest) = text[1..].split_at(count);
        let nine = fraction.iter().map(|byte| i64::from(byte - b'0')).chain(core::iter::repeat(0)).take(9);
        nanosecond = nine.fold(0, |sum, digit| sum * 10 + digit);
        *text = rest;
    }
    Some((hour, minute, second, nanosecond))
}

fn bsd<'a>(mut text: &'a [u8], zone: &mut Zone, arrival_ns: i64) -> Option<(i64, &'a [u8])> {
    let rest = &mut text;
    let month = month_of(*rest.first_chunk::<3>()?)?;
    *rest = &rest[3..];
    take_byte(rest, b' ')?;
    while let [b' ', next @ ..] = *rest {
        *rest = next;
    }
    let (day, _) = number(rest, 1, 2)?;
    take_byte(rest, b' ')?;
    let mut year = None;
    if rest.get(4) == Some(&b' ')
        && let Some(number) = digits(rest, 4)
    {
        year = Some(number);
        *rest = &rest[1..];
    }
    let (hour, minute, second, nanosecond) = clock(rest)?;
    // `22:14:15 2024 host`: a year behind the time; a host could be a number, but hardly one that is a year near the arrival.
    let arrived = Civil::of(arrival_ns.div_euclid(SECOND), 0).year;
    if year.is_none()
        && let [b' ', a, b, c, d, b' ' | b':', ..] = **rest
        && [a, b, c, d].iter().all(u8::is_ascii_digit)
    {
        let number = [a, b, c, d].iter().fold(0, |sum, byte| sum * 10 + i64::from(*byte - b'0'));
        if (arrived - 10..=arrived + 1).contains(&number) {
            year = Some(number);
            *rest = &rest[5..];
        }
    }
    let mut is_utc = false;
    for name in [&b" UTC"[..], b" GMT"] {
        if let Some(after) = rest.strip_prefix(name)
            && matches!(after.first(), None | Some(b' ' | b':'))
        {
            (is_utc, *rest) = (true, after);
        }
    }
    // `Mar  1 18:46:11.123 CEST: %SYS-5-CONFIG_I: …`
    let letters =
        rest.strip_prefix(b" ").map_or(0, |name| name.iter().take(6).take_while(|byte| byte.is_ascii_uppercase()).count());
    if letters >= 2 && rest.get(letters + 1) == Some(&b':') && rest.get(letters + 2) == Some(&b' ') {
        *rest = &rest[letters + 1..];
    }
    if !matches!(rest.first(), None | Some(b' ' | b':')) {
        return None;
    }
    let mut at = |year| {
        let local = Civil { year, month, day, hour, minute, second, nanosecond }.seconds()?;
        nanoseconds(if is_utc { local } else { zone.utc_of(local) }, nanosecond)
    };
    let ns = match year {
        Some(year) => at(year)?,
        None => [arrived, arrived - 1, arrived + 1].into_iter().filter_map(&mut at).min_by_key(|ns| ns.abs_diff(arrival_ns))?,
    };
    Some((ns, text))
}

fn iso<'a>(mut text: &'a [u8], zone: &mut Zone) -> Option<(i64, &'a [u8])> {
    let rest = &mut text;
    let year = digits(rest, 4)?;
    take_byte(rest, b'-')?;
    let month = digits(rest, 2)?;
    take_byte(rest, b'-')?;
    let day = digits(rest, 2)?;
    *rest = match *rest {
        [b'T' | b't' | b' ', next @ ..] => next,
        _ => return None,
    };
    let (hour, minute, second, nanosecond) = clock(rest)?;
    let local = Civil { year, month, day, hour, minute, second, nanosecond }.seconds()?;
    let sign = match rest.first() {
        Some(b'Z' | b'z') => {
            *rest = &rest[1..];
            Some(0)
        }
        Some(b'+') => Some(1),
        Some(b'-') => Some(-1),
        _ => None,
    };
    let seconds = match sign {
        None => zone.utc_of(local),
        Some(0) => local,
        Some(sign) => {
            *rest = &rest[1..];
            let hours = digits(rest, 2)?;
            *rest = rest.strip_prefix(b":").unwrap_or(rest);
            let minutes = digits(rest, 2)?;
            if hours > 23 || minutes > 59 {
                return None;
            }
            local - sign * (hours * 3600 + minutes * 60)
        }
    };
    if !matches!(rest.first(), None | Some(b' ' | b':')) {
        return None;
    }
    Some((nanoseconds(seconds, nanosecond)?, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_off_the_front() {
        // 2024-01-03T00:00:00Z
        const ARRIVAL: i64 = 1_704_240_000 * SECOND;
        let text = |ns: i64| {
            let mut out = Vec::new();
            sawbox_guest::time::write(ns, &mut out);
            String::from_utf8(out).unwrap()
        };
        for (line, expected) in [
            ("Jan  2 03:04:05 host", "2024-01-02T03:04:05Z| host"),
            ("Jan 2 03:04:05 host", "2024-01-02T03:04:05Z| host"),
            ("Jan 02 03:04:05.25 host", "2024-01-02T03:04:05.250Z| host"),
            ("Jan 02 03:04:05.12345678999999999999999 host", "2024-01-02T03:04:05.123456789Z| host"),
            ("Dec 31 23:59:59 host", "2023-12-31T23:59:59Z| host"),
            ("Jan 20 00:00:00 host", "2024-01-20T00:00:00Z| host"),
            ("Feb 29 00:00:00 host", "2024-02-29T00:00:00Z| host"),
            ("Jun  1 2018 10:00:00 host", "2018-06-01T10:00:00Z| host"),
            ("Jun  1 2018 10:00:00: %ASA", "2018-06-01T10:00:00Z|: %ASA"),
            ("Jun  1 10:00:00 2023: %ASA", "2023-06-01T10:00:00Z|: %ASA"),
            ("Mar  1 18:46:11.123 UTC: %SYS", "2024-03-01T18:46:11.123Z|: %SYS"),
            ("Mar  1 18:46:11 CEST: %SYS", "2024-03-01T18:46:11Z|: %SYS"),
            ("2024-01-02T03:04:05+02:00 h", "2024-01-02T01:04:05Z| h"),
            ("2024-01-02T03:04:05.123456-0130 h", "2024-01-02T04:34:05.123456Z| h"),
            ("2024-01-02 03:04:05 h", "2024-01-02T03:04:05Z| h"),
            ("2024-01-02T03:04:05Z", "2024-01-02T03:04:05Z|"),
            ("Jan 32 03:04:05 host", "-"),
            ("Jan 2 03:04 host", "-"),
            ("Jan 2 03:04:05x host", "-"),
            ("Feb 30 03:04:05 host", "-"),
            ("2024-01-02T03:04:05+2 h", "-"),
            ("2024-13-02T03:04:05Z h", "-"),
            ("hello", "-"),
            ("", "-"),
        ] {
            let got = take(line.as_bytes(), &mut Zone::utc(), ARRIVAL);
            let got = got.map_or("-".to_owned(), |(ns, rest)| format!("{}|{}", text(ns), String::from_utf8_lossy(rest)));
            assert_eq!(got, expected, "{line}");
        }
        let mut berlin = Zone::by_name("Europe/Berlin").unwrap();
        let (ns, _) = take(b"Jul  1 12:00:00 h", &mut berlin, ARRIVAL).unwrap();
        assert_eq!(text(ns), "2024-07-01T10:00:00Z");
        let (ns, _) = take(b"Jul  1 12:00:00 UTC: h", &mut berlin, ARRIVAL).unwrap();
        assert_eq!(text(ns), "2024-07-01T12:00:00Z");
    }
}
