//! What the filter does with fields; the formats' own tables are in `sawbox_guest::time`.

use proptest::prelude::*;
use sawbox_guest::testing::{Harness, Input, Outcome, Owned};
use sawbox_guest::time;

use crate::Date;

/// Arrived 2015-05-17T10:05:03Z.
fn run(config: &str, input: Input) -> Outcome {
    Harness::<Date>::new(config).unwrap().run(&[input.arrived(1_431_857_103_000_000_000)]).remove(0)
}

fn at(outcome: &Outcome) -> String {
    match outcome.time_ns {
        Some(ns) => {
            let mut text = Vec::new();
            time::write(ns, &mut text);
            String::from_utf8(text).unwrap()
        }
        None => format!("{:?}", outcome.text("tags")),
    }
}

const FAILED: &str = "Some(\"_dateparsefailure\")";

#[test]
fn times_of_rows() {
    for (config, value, expected) in [
        (r#"{"match": ["t", "ISO8601"]}"#, "2011-04-19T03:44:01.103Z", "2011-04-19T03:44:01.103Z"),
        (r#"{"match": ["t", "MMM dd HH:mm:ss", "ISO8601"]}"#, "2011-04-19T03:44:01Z", "2011-04-19T03:44:01Z"),
        (r#"{"match": ["t", "MMM d HH:mm:ss", "MMM  d HH:mm:ss"]}"#, "Apr  7 09:32:01", "2015-04-07T09:32:01Z"),
        (
            r#"{"match": ["t", "MMM dd yyyy HH:mm:ss"], "timezone": "Europe/Berlin"}"#,
            "Aug 13 2010 00:03:44",
            "2010-08-12T22:03:44Z",
        ),
        (r#"{"match": ["t", "UNIX"]}"#, "1326149001.132", "2012-01-09T22:43:21.132Z"),
        (r#"{"match": ["t", "UNIX_MS"]}"#, "1366125117000", "2013-04-16T15:11:57Z"),
        (r#"{"match": ["t", "TAI64N"]}"#, "@4000000050d506482dbdf024", "2012-12-22T01:00:46.767422500Z"),
        (r#"{"match": ["t", "%d/%b/%Y:%H:%M:%S %z"]}"#, "19/Apr/2011:05:44:01 +0200", "2011-04-19T03:44:01Z"),
        (r#"{"match": ["t", "yyyy-MM-dd HH:mm"], "timezone": "+05:30"}"#, "2011-04-19 03:44", "2011-04-18T22:14:00Z"),
        (r#"{"match": ["t", "yyyy-MM-dd HH:mm Z"], "timezone": "+05:30"}"#, "2011-04-19 03:44 +0000", "2011-04-19T03:44:00Z"),
        (r#"{"match": ["t", "ISO8601"], "timezone": "America/New_York"}"#, "2011-04-19T03:44:01", "2011-04-19T07:44:01Z"),
        (r#"{"match": ["t", "ISO8601"]}"#, "soon", FAILED),
        (r#"{"match": ["t", "ISO8601"]}"#, "", FAILED),
        (r#"{"match": ["t", "ISO8601"], "tag_on_failure": ["bad"]}"#, "x", "Some(\"bad\")"),
        (r#"{"match": ["t", "yyyy"]}"#, "9999", FAILED),
        (r#"{"match": ["other", "ISO8601"]}"#, "x", "None"),
        (r#"{"match": {"a": "ISO8601", "t": ["UNIX", "yyyy"]}}"#, "2011", "1970-01-01T00:33:31Z"),
    ] {
        assert_eq!(at(&run(config, Input::new("").field("t", value))), expected, "{config} {value}");
    }
}

#[test]
fn numbers_are_times_too() {
    let config = r#"{"match": ["t", "UNIX_MS", "yyyyMMdd"]}"#;
    assert_eq!(at(&run(config, Input::new("").field("t", 1_366_125_117_000))), "2013-04-16T15:11:57Z");
    assert_eq!(at(&run(r#"{"match": ["t", "yyyyMMdd"]}"#, Input::new("").field("t", 20_110_419))), "2011-04-19T00:00:00Z");
    assert_eq!(
        at(&run(r#"{"match": ["t", "UNIX"]}"#, Input::new("").field("t", 1_326_149_001.25))),
        "2012-01-09T22:43:21.250Z"
    );
    assert_eq!(at(&run(config, Input::new("").field("t", true))), FAILED);
    assert_eq!(at(&run(r#"{"match": ["message", "UNIX"]}"#, Input::new("1326149001"))), "2012-01-09T22:43:21Z");
}

#[test]
fn targets_and_what_follows() {
    let config = r#"{"match": ["t", "ISO8601"], "target": "[event][at]", "remove_field": ["t"], "add_tag": ["timed"]}"#;
    let outcome = run(config, Input::new("").field("t", "2011-04-19T05:44:01+02:00"));
    assert_eq!((outcome.time_ns, outcome.text("event.at"), outcome.get("t")), (None, Some("2011-04-19T03:44:01Z"), None));
    assert_eq!(outcome.get("tags"), Some(&Owned::from("timed")));
    let outcome = run(config, Input::new("").field("t", "x"));
    assert_eq!((outcome.text("t"), outcome.text("tags")), (Some("x"), Some("_dateparsefailure")));
    // the time that was just set
    let config = r#"{"match": ["t", "UNIX"], "add_field": {"day": "%{+yyyy.MM.dd}", "iso": "%{@timestamp}"}}"#;
    let outcome = run(config, Input::new("").field("t", 86_400));
    assert_eq!((outcome.text("day"), outcome.text("iso")), (Some("1970.01.02"), Some("1970-01-02T00:00:00Z")));
}

#[test]
fn zones_that_records_name() {
    let config = r#"{"match": ["t", "yyyy-MM-dd HH:mm"], "timezone": "%{zone}"}"#;
    for (zone, expected) in [
        ("Europe/Berlin", "2015-01-01T11:00:00Z"),
        ("Asia/Tokyo", "2015-01-01T03:00:00Z"),
        ("-03:00", "2015-01-01T15:00:00Z"),
        ("nowhere", FAILED),
    ] {
        assert_eq!(at(&run(config, Input::new("").field("t", "2015-01-01 12:00").field("zone", zone))), expected, "{zone}");
    }
    let mut filter = Harness::<Date>::new(config).unwrap();
    let inputs: Vec<_> = (0..200)
        .map(|number| {
            let zone = format!("+{:02}:{:02}", number / 60 % 24, number % 60);
            Input::new("").field("t", "2015-01-01 12:00").field("zone", zone.as_str())
        })
        .collect();
    assert!(filter.run(&inputs).iter().all(|outcome| outcome.time_ns.is_some()));
}

#[test]
fn what_makes_no_sense_is_refused() {
    for (config, says) in [
        ("{}", "match"),
        (r#"{"match": []}"#, "match"),
        (r#"{"match": ["t"]}"#, "no format"),
        (r#"{"match": ["t", "yyyy-QQ"]}"#, "`Q`"),
        (r#"{"match": ["t", 5]}"#, "match"),
        (r#"{"match": ["t", "UNIX"], "timezone": "Europe/Atlantis"}"#, "Atlantis"),
        (r#"{"match": ["t", "UNIX"], "locale": "de"}"#, "English"),
        (r#"{"match": ["t", "UNIX"], "target": "_offset"}"#, "_offset"),
        (r#"{"match": ["t", "UNIX"], "tz": "x"}"#, "tz"),
    ] {
        let error = Harness::<Date>::new(config).unwrap_err();
        assert!(error.contains(says), "{config}: {error}");
    }
    assert!(Harness::<Date>::new(r#"{"match": ["t", "UNIX"], "locale": "en-US"}"#).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    /// What a format writes it reads.
    #[test]
    fn what_is_written_is_read(seconds in 0_i64..4_000_000_000, format in prop::sample::select(vec![
        "yyyy-MM-dd HH:mm:ss", "yyyyMMddHHmmss", "EEE, d MMM yyyy hh:mm:ss a", "dd/MMMM/yyyy:H:m:s Z", "xxxx ww e k:mm:ss", "yyyy D HH mm ss",
        "%Y-%m-%dT%H:%M:%S%z", "%a %b %e %T %Y", "%s", "%I:%M:%S %p %j %Y", "ISO8601", "UNIX",
    ])) {
        let format = time::Format::new(format).unwrap();
        let mut text = Vec::new();
        let mut zone = time::Zone::utc();
        format.write(seconds * time::SECOND, &mut zone, &mut text);
        prop_assert_eq!(format.parse(&text, &mut zone, 0), Some(seconds * time::SECOND), "{}", String::from_utf8_lossy(&text));
    }

    #[test]
    fn no_bytes_panic(text in proptest::collection::vec(any::<u8>(), 0..40), arrival in any::<i64>()) {
        let config = r#"{"match": ["message", "ISO8601", "UNIX", "MMM d HH:mm:ss", "yy D ZZZ", "%H %p"], "timezone": "%{message}"}"#;
        Harness::<Date>::new(config).unwrap().run(&[Input::new(&text).arrived(arrival)]);
    }
}
