//! Tables of times, and zones against what is known of them.

use super::{Civil, Format, SECOND, Zone, date_of, days_of_month, days_since_1970, parse, write, zone};

const NOON: i64 = 1_431_857_103; // 2015-05-17T10:05:03Z

#[test]
fn times_as_shippers_write_them() {
    const NS: i64 = NOON * SECOND;
    for (text, ns) in [
        ("2015-05-17T10:05:03Z", Some(NS)),
        ("2015-05-17T10:05:03.000Z", Some(NS)),
        ("2015-05-17t12:05:03+02:00", Some(NS)),
        ("2015-05-17 12:05:03.5+0200", Some(NS + 500_000_000)),
        ("2015-05-17 10:05:03,123", Some(NS + 123_000_000)),
        ("2015-05-17T08:05:03.123456789123-02", Some(NS + 123_456_789)),
        ("2015-05-17T10:05", Some(NS - 3_000_000_000)),
        ("1431857103", Some(NS)),
        ("1431857103.25", Some(NS + 250_000_000)),
        ("1431857103000", Some(NS)),
        ("1431857103000.5", Some(NS + 500_000)),
        ("1431857103000000", Some(NS)),
        ("1431857103000000000", Some(NS)),
        ("1.431857103e9", Some(NS)),
        ("1.431857103e12", Some(NS)),
        ("-1", Some(-1_000_000_000)),
        ("99999999999999999999", None),
        ("9223372036854775808", None),
        ("2015-02-29T00:00:00Z", None),
        ("2015-05-17T25:00:00Z", None),
        ("2015-05-17T10:05:03Zjunk", None),
        ("2015-05-17", Some(1_431_820_800_000_000_000)),
        ("2015-05", Some(1_430_438_400_000_000_000)),
        ("2015-05-17T10", Some(1_431_856_800_000_000_000)),
        ("2015-05-32", None),
        ("2015-13", None),
        ("2015-5-17", None),
        ("2015-05-1", None),
        ("9999-05-17T10:05:03Z", None),
        ("yesterday", None),
        ("12s", None),
        ("", None),
        ("1e999", None),
    ] {
        assert_eq!(parse(text.as_bytes()), ns, "{text}");
    }
}

#[test]
fn every_day_of_four_centuries_follows_the_one_before() {
    let mut before = days_since_1970(1899, 12, 31);
    for year in 1900..2300 {
        for month in 1..=12 {
            for day in 1..=days_of_month(month, year) {
                let days = days_since_1970(year, month, day);
                assert_eq!(days, before + 1, "{year}-{month}-{day}");
                assert_eq!(date_of(days), (year, month, day));
                before = days;
            }
        }
    }
    assert_eq!(days_since_1970(1970, 1, 1), 0);
    assert_eq!(date_of(-719_468), (0, 3, 1));
}

#[test]
fn what_is_written_is_read() {
    for ns in [0, 1, -1, NOON * SECOND, NOON * SECOND + 120_000_000, NOON * SECOND + 1000, i64::MAX, i64::MIN + SECOND] {
        let mut text = Vec::new();
        write(ns, &mut text);
        assert_eq!(parse(&text), Some(ns), "{}", String::from_utf8_lossy(&text));
    }
}

/// Reads with a format, in a zone, arrived at 2015-05-17T10:05:03Z.
fn read(format: &str, text: &str, zone: &str) -> Option<i64> {
    let mut zone = Zone::by_name(zone).unwrap();
    Format::new(format).unwrap().parse(text.as_bytes(), &mut zone, NOON * SECOND)
}

#[test]
fn formats_read() {
    for (format, text, ns) in [
        ("ISO8601", "2015-05-17T10:05:03Z", Some(NOON * SECOND)),
        ("ISO8601", "2015-05-17T10:05:03,25Z", Some(NOON * SECOND + 250_000_000)),
        ("ISO8601", "2015-05-17 12:05:03 +0200", Some(NOON * SECOND)),
        ("ISO8601", "20150517T100503Z", Some(NOON * SECOND)),
        ("ISO8601", "2015-05-17T10:05", Some((NOON - 3) * SECOND)),
        ("ISO8601", "2015-05-17", Some(1_431_820_800 * SECOND)),
        ("ISO8601", "2015-05", Some(1_430_438_400 * SECOND)),
        ("ISO8601", "2015-13-01", None),
        ("ISO8601", "2015-05-17T10:05:03Zx", None),
        ("UNIX", "1431857103", Some(NOON * SECOND)),
        ("UNIX", "1431857103.123456", Some(NOON * SECOND + 123_456_000)),
        ("UNIX", "1.431857103e9", Some(NOON * SECOND)),
        ("UNIX", "soon", None),
        ("UNIX_MS", "1431857103250", Some(NOON * SECOND + 250_000_000)),
        ("UNIX_MS", "1.5", None),
        ("TAI64N", "@40000000555867d9075bcd15", Some(NOON * SECOND + 123_456_789)),
        ("TAI64N", "40000000555867d9075bcd15", Some(NOON * SECOND + 123_456_789)),
        ("TAI64N", "@40", None),
        ("yyyy-MM-dd HH:mm:ss,SSS", "2015-05-17 10:05:03,250", Some(NOON * SECOND + 250_000_000)),
        ("yyyy-MM-dd'T'HH:mm:ssZZ", "2015-05-17T12:05:03+02:00", Some(NOON * SECOND)),
        ("dd/MMM/yyyy:HH:mm:ss Z", "17/May/2015:05:05:03 -0500", Some(NOON * SECOND)),
        ("MMM dd yyyy HH:mm:ss", "may 17 2015 10:05:03", Some(NOON * SECOND)),
        ("EEEE, d MMMM yyyy h:mm:ss a", "Sunday, 17 May 2015 10:05:03 AM", Some(NOON * SECOND)),
        ("EEE MMM dd HH:mm:ss z yyyy", "Sun May 17 12:05:03 CEST 2015", Some(NOON * SECOND)),
        ("yyyy-MM-dd HH:mm:ss ZZZ", "2015-05-17 06:05:03 America/New_York", Some(NOON * SECOND)),
        ("HH:mm:ss ZZZ yyyy-MM-dd", "06:05:03 America/New_York 2015-05-17", Some(NOON * SECOND)),
        ("yyyyMMddHHmmss", "20150517100503", Some(NOON * SECOND)),
        ("yyMMdd HH:mm:ss", "150517 10:05:03", Some(NOON * SECOND)),
        ("d/M/yy H:m:s", "17/5/15 10:5:3", Some(NOON * SECOND)),
        ("d/M/yy H:m:s", "17/5/2015 10:5:3", Some(NOON * SECOND)),
        ("yyyy-DDD HH:mm:ss", "2015-137 10:05:03", Some(NOON * SECOND)),
        ("xxxx-'W'ww-e HH:mm:ss", "2015-W20-7 10:05:03", Some(NOON * SECOND)),
        ("h:mm:ss a 'on' yyyy-MM-dd", "12:00:00 PM on 2015-05-17", Some(1_431_864_000 * SECOND)),
        ("h 'o''clock' a, yyyy-MM-dd", "12 o'clock am, 2015-05-17", Some(1_431_820_800 * SECOND)),
        ("yyyy-MM-dd", "2015-02-29", None),
        ("yyyy-MM-dd", "2015-02-28 ", Some(1_425_081_600 * SECOND)),
        ("yyyy-MM-dd", "2015-02-28x", None),
        ("yyyy", "99999999", None),
        ("%Y-%m-%d %H:%M:%S.%f", "2015-05-17 10:05:03.25", Some(NOON * SECOND + 250_000_000)),
        ("%d/%b/%Y:%T %z", "17/May/2015:12:05:03 +0200", Some(NOON * SECOND)),
        ("%F %T%.f", "2015-05-17 10:05:03", Some(NOON * SECOND)),
        ("%F %T%.3f", "2015-05-17 10:05:03.250", Some(NOON * SECOND + 250_000_000)),
        ("%s", "1431857103", Some(NOON * SECOND)),
        ("%s.%3N", "1431857103.250", Some(NOON * SECOND + 250_000_000)),
        ("%a %b %e %H:%M:%S %Y", "Sun May 17 10:05:03 2015", Some(NOON * SECOND)),
        ("%I:%M:%S %p %D", "10:05:03 am 05/17/15", Some(NOON * SECOND)),
        ("%d%%", "17%", Some(1_431_820_800 * SECOND)),
    ] {
        assert_eq!(read(format, text, "UTC"), ns, "{format} {text}");
    }
    // Short years are those from 80 before the arrival on.
    for (text, year) in [("34", 2034), ("35", 1935)] {
        assert_eq!(read("yy", text, "UTC").map(|ns| Civil::of(ns.div_euclid(SECOND), 0).year), Some(year));
    }
    for (format, says) in [("yyyy-QQ", "`Q`"), ("yyyy 'x", "quote"), ("%Q", "%Q"), ("%", "%"), ("", "empty"), ("G yyyy", "era")]
    {
        assert!(Format::new(format).unwrap_err().contains(says), "{format}");
    }
}

#[test]
fn what_is_left_out_comes_from_the_arrival() {
    let at = |format: &str, text: &str, arrived: &str| {
        let arrived = parse(arrived.as_bytes()).unwrap();
        let ns = Format::new(format).unwrap().parse(text.as_bytes(), &mut Zone::utc(), arrived)?;
        let mut out = Vec::new();
        write(ns, &mut out);
        Some(String::from_utf8(out).unwrap())
    };
    for (format, text, arrived, expected) in [
        ("MMM dd HH:mm:ss", "May 17 10:05:03", "2015-05-17T10:05:04Z", Some("2015-05-17T10:05:03Z")),
        ("MMM  d HH:mm:ss", "May  7 10:05:03", "2015-05-17T10:05:04Z", Some("2015-05-07T10:05:03Z")),
        ("MMM d HH:mm:ss", "Dec 31 23:59:59", "2016-01-01T00:00:01Z", Some("2015-12-31T23:59:59Z")),
        ("MMM d HH:mm:ss", "Jan  1 00:00:01", "2015-12-31T23:59:59Z", Some("2016-01-01T00:00:01Z")),
        ("MMM d HH:mm:ss", "Feb 29 00:00:01", "2015-03-01T00:00:00Z", None),
        ("HH:mm:ss", "10:05:03", "2015-05-17T10:05:04Z", Some("2015-05-17T10:05:03Z")),
        ("HH:mm:ss", "23:59:59", "2015-05-17T00:00:01Z", Some("2015-05-16T23:59:59Z")),
        ("HH:mm:ss", "00:00:01", "2015-05-17T23:59:59Z", Some("2015-05-18T00:00:01Z")),
    ] {
        assert_eq!(at(format, text, arrived).as_deref(), expected, "{format} {text} {arrived}");
    }
}

#[test]
fn zones_know_their_history() {
    for (zone, text, utc) in [
        ("Europe/Berlin", "2015-05-17 12:05:03", "2015-05-17T10:05:03Z"),
        ("europe/berlin", "2015-01-17 12:05:03", "2015-01-17T11:05:03Z"),
        // by rule, long after the table ends
        ("Europe/Berlin", "2093-07-01 00:00:00", "2093-06-30T22:00:00Z"),
        ("Europe/Berlin", "2093-12-01 00:00:00", "2093-11-30T23:00:00Z"),
        // no summer time in 1975, summer time from 1980
        ("Europe/Berlin", "1975-07-01 00:00:00", "1975-06-30T23:00:00Z"),
        ("Europe/Berlin", "1980-07-01 00:00:00", "1980-06-30T22:00:00Z"),
        // skipped, and twice
        ("Europe/Berlin", "2015-03-29 02:30:00", "2015-03-29T01:30:00Z"),
        ("Europe/Berlin", "2015-10-25 02:30:00", "2015-10-25T00:30:00Z"),
        ("Europe/Berlin", "2015-10-25 03:00:00", "2015-10-25T02:00:00Z"),
        ("America/New_York", "2007-03-20 00:00:00", "2007-03-20T04:00:00Z"),
        ("America/New_York", "2006-03-20 00:00:00", "2006-03-20T05:00:00Z"),
        ("Australia/Lord_Howe", "2020-12-01 00:00:00", "2020-11-30T13:00:00Z"),
        ("Australia/Lord_Howe", "2020-07-01 00:00:00", "2020-06-30T13:30:00Z"),
        ("America/Sao_Paulo", "2018-12-01 00:00:00", "2018-12-01T02:00:00Z"),
        ("America/Sao_Paulo", "2023-12-01 00:00:00", "2023-12-01T03:00:00Z"),
        ("Pacific/Apia", "2011-12-31 00:00:00", "2011-12-30T10:00:00Z"),
        ("Asia/Kathmandu", "2020-01-01 00:00:00", "2019-12-31T18:15:00Z"),
        ("Asia/Calcutta", "2020-01-01 00:00:00", "2019-12-31T18:30:00Z"),
        ("Europe/Dublin", "2020-07-01 00:00:00", "2020-06-30T23:00:00Z"),
        ("UTC", "2020-01-01 00:00:00", "2020-01-01T00:00:00Z"),
        ("+05:30", "2020-01-01 00:00:00", "2019-12-31T18:30:00Z"),
        ("GMT-03", "2020-01-01 00:00:00", "2020-01-01T03:00:00Z"),
    ] {
        assert_eq!(read("yyyy-MM-dd HH:mm:ss", text, zone), parse(utc.as_bytes()), "{zone} {text}");
    }
    assert!(Zone::by_name("Mars/Olympus").is_none() && Zone::by_name("").is_none());
    assert!(Zone::version().starts_with("20"));
}

#[test]
fn every_zone_goes_there_and_back() {
    let names = zone::names();
    assert!(names.len() > 500 && names.contains(&"Europe/Berlin".to_owned()));
    for name in names {
        let mut zone = Zone::by_name(&name).unwrap();
        for days in (0..40_000).step_by(61) {
            let utc = days * 86_400 + days % 24 * 3600;
            let offset = zone.offset_at(utc);
            assert!(offset.abs() <= 15 * 3600 + 3600, "{name}");
            let back = zone.utc_of(utc + offset);
            // Where a local time occurs twice it is the first of the two.
            assert!(back == utc || back < utc && utc - back <= 3 * 3600, "{name} {utc} {back}");
            // What a cache answers is what there is without one.
            assert_eq!(Zone::by_name("UTC").map(|mut zone| zone.utc_of(utc)), Some(utc));
        }
    }
}

#[test]
fn formats_write() {
    for (format, zone, text) in [
        ("yyyy.MM.dd", "UTC", "2015.05.17"),
        ("yy-M-d H:m:s.SSS", "UTC", "15-5-17 10:5:3.250"),
        ("EEE, dd MMM yyyy hh:mm:ss a Z", "Europe/Berlin", "Sun, 17 May 2015 12:05:03 PM +0200"),
        ("EEEE MMMM ZZ", "America/New_York", "Sunday May -04:00"),
        ("xxxx.ww e DDD", "UTC", "2015.20 7 137"),
        ("%Y-%m-%dT%H:%M:%S%z %e %j %s", "UTC", "2015-05-17T10:05:03+0000 17 137 1431857103"),
        ("ISO8601", "Europe/Berlin", "2015-05-17T10:05:03.250Z"),
        ("UNIX_MS", "UTC", "1431857103250"),
    ] {
        let mut out = Vec::new();
        Format::new(format).unwrap().write(NOON * SECOND + 250_000_000, &mut Zone::by_name(zone).unwrap(), &mut out);
        assert_eq!(String::from_utf8_lossy(&out), text, "{format}");
    }
}

#[test]
fn no_bytes_panic() {
    let mut state = 1_u64;
    let formats = [
        "ISO8601",
        "UNIX",
        "UNIX_MS",
        "TAI64N",
        "yyyy-MM-dd HH:mm:ss.SSS ZZZ",
        "EEE MMM d yy h a Z",
        "xxxx ww e",
        "%s%.f",
        "%j %y %p%Z",
    ];
    let formats: Vec<Format> = formats.iter().map(|format| Format::new(format).unwrap()).collect();
    let letters = b"0123456789-+:. TZzapm/@MayDecSun\xffEuropeBrlin,e";
    let mut zone = Zone::by_name("Europe/Berlin").unwrap();
    for _ in 0..40_000 {
        let mut text = Vec::new();
        loop {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let drawn = (state >> 33) as usize;
            if drawn.is_multiple_of(20) {
                break;
            }
            text.push(letters[drawn % letters.len()]);
        }
        let arrival = i64::from_ne_bytes(state.to_ne_bytes());
        for format in &formats {
            let _ = format.parse(&text, &mut zone, arrival);
        }
        let _ = parse(&text);
    }
    for arrival in [i64::MIN, i64::MAX, 0] {
        let mut out = Vec::new();
        for format in &formats {
            format.write(arrival, &mut zone, &mut out);
            let _ = format.parse(b"Mon Jan 1 99 12 pm Z", &mut zone, arrival);
        }
    }
}

#[test]
fn the_usual_form_is_read_as_every_form_is() {
    for text in [
        "2015-05-17T10:05:03Z",
        "2015-05-17T10:05:03.1Z",
        "2015-05-17T10:05:03.123456789Z",
        "2016-02-29T23:59:60Z",
        "0000-01-01T00:00:00Z",
        "9999-12-31T23:59:59.999Z",
        "1969-12-31T23:59:59.5Z",
    ] {
        let usual = super::usual(text.as_bytes());
        // Beyond what nanoseconds of 64 bits reach it is no time in either way.
        assert_eq!(usual, super::rfc3339(text.as_bytes()), "{text}");
    }
    for text in [
        "2015-02-29T10:05:03Z",
        "2015-05-17T24:05:03Z",
        "2015-05-17T10:05:0xZ",
        "2015-05-17T10:05:03.Z",
        "2015-05-17T10:05:03.1234567890Z",
    ] {
        assert_eq!(super::usual(text.as_bytes()), None, "{text}");
    }
}
