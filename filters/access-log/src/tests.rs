//! Tables of lines, a reference written as one regular expression, and the public sample.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use proptest::prelude::*;
use regex::bytes::Regex;
use sawbox_guest::testing::{Harness, Input, Outcome, Owned};

use crate::AccessLog;
use crate::line::{self, Line, Request};

fn show(outcome: &Outcome) -> String {
    let value = |value: &Owned| match value {
        Owned::Str(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        other => format!("{other:?}"),
    };
    let mut fields: Vec<_> = outcome.fields.iter().map(|(name, field)| format!("{name}={}", value(field))).collect();
    if let Some(ns) = outcome.time_ns {
        fields.insert(0, format!("@{}", ns / 1_000_000_000));
    }
    fields.join(" ")
}

fn check(line: &str, fields: &str) {
    let outcome = Harness::<AccessLog>::new("{}").unwrap().one(line);
    assert_eq!(show(&outcome), fields, "{line}");
    assert!(!outcome.consumed, "the line stays the message");
    if !fields.starts_with("tags") {
        assert_eq!(outcome.built_bytes, 0, "strings are slices of the line");
    }
}

#[test]
fn formats() {
    // common
    check(
        r#"127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] "GET /apache_pb.gif HTTP/1.0" 200 2326"#,
        "@971211336 clientip=127.0.0.1 auth=frank verb=GET request=/apache_pb.gif httpversion=1.0 response=Int(200) bytes=Int(2326)",
    );
    // combined, and nginx's default
    check(
        r#"::1 - - [17/May/2015:10:05:03 +0000] "POST /a?b=%22 HTTP/2.0" 304 - "http://x/" "Mozilla/5.0 (\"q\")""#,
        r#"@1431857103 clientip=::1 verb=POST request=/a?b=%22 httpversion=2.0 response=Int(304) referrer=http://x/ agent=Mozilla/5.0 (\"q\")"#,
    );
    // extended with request times, bare and between asterisks
    for time in ["0/12345", "**0/12345**"] {
        check(
            &format!(r#"10.0.0.1 id u [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 503 0 "-" "curl/8" {time}"#),
            "@1431857103 clientip=10.0.0.1 ident=id auth=u verb=GET request=/ httpversion=1.1 response=Int(503) bytes=Int(0) agent=curl/8 reqsec=Int(0) reqms=Int(12345)",
        );
    }
    // common with request times
    check(
        r#"h - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 5 3/3000001"#,
        "@1431857103 clientip=h verb=GET request=/ httpversion=1.1 response=Int(200) bytes=Int(5) reqsec=Int(3) reqms=Int(3000001)",
    );
    // virtual host first
    check(
        r#"shop.example:443 10.0.0.1 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 5 "-" "-""#,
        "@1431857103 clientip=10.0.0.1 vhost=shop.example verb=GET request=/ httpversion=1.1 response=Int(200) bytes=Int(5)",
    );
    // more after the agent is no field
    check(
        r#"10.0.0.1 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 5 "-" "a" "10.9.9.9, 10.8.8.8" rt=0.1"#,
        "@1431857103 clientip=10.0.0.1 verb=GET request=/ httpversion=1.1 response=Int(200) bytes=Int(5) agent=a",
    );
}

#[test]
fn what_people_and_attackers_send() {
    let with = |request: &str| format!(r#"10.0.0.1 - - [17/May/2015:10:05:03 +0000] "{request}" 400 0 "-" "-""#);
    let start = "@1431857103 clientip=10.0.0.1";
    let end = "response=Int(400) bytes=Int(0)";
    for (request, fields) in [
        ("GET /", "verb=GET request=/"),
        ("PROPFIND /x HTTP/1.1", "verb=PROPFIND request=/x httpversion=1.1"),
        ("-", "rawrequest=-"),
        (r"\x16\x03\x01", r"rawrequest=\x16\x03\x01"),
        ("GET /a b HTTP/1.1", "rawrequest=GET /a b HTTP/1.1"),
        ("GET / FTP/1.1", "rawrequest=GET / FTP/1.1"),
        (r#"GET /\"x HTTP/1.1"#, r#"verb=GET request=/\"x httpversion=1.1"#),
        // Apache escapes quotes, others may not: only a status after it makes a quote the end.
        (r#"GET /"x" HTTP/1.1"#, r#"verb=GET request=/"x" httpversion=1.1"#),
        // A forged end with its quotes escaped changes nothing.
        (r#"GET /\" 200 5 \"x HTTP/1.1"#, r#"rawrequest=GET /\" 200 5 \"x HTTP/1.1"#),
        (r"GET /\\ HTTP/1.1", r"verb=GET request=/\\ httpversion=1.1"),
    ] {
        check(&with(request), &format!("{start} {fields} {end}"));
    }
    check(&with(""), &format!("{start} {end}"));
    // a user with a space; a line that was cut off; carriage return
    check(
        "h - John Doe [17/May/2015:10:05:03 +0000] \"GET / HTTP/1.1\" 200 5 \"r\" \"half an ag\r\n",
        "@1431857103 clientip=h auth=John Doe verb=GET request=/ httpversion=1.1 response=Int(200) bytes=Int(5) referrer=r agent=half an ag",
    );
    // a bracket before the time
    check(
        r#"h - a [b] [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" - -"#,
        "@1431857103 clientip=h auth=a [b] verb=GET request=/ httpversion=1.1",
    );
}

#[test]
fn other_lines_are_tagged() {
    for line in [
        "",
        "[",
        "hello",
        r#"h - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200"#,
        r#"h - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" x 5"#,
        r#"h - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 5x"#,
        r#"h - - [17/Mai/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 5"#,
        r#"h - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 5"#,
        r#"[17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 5"#,
        r#"h - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1 200 5"#,
    ] {
        check(line, "tags=_accesslogparsefailure");
    }
    let mut own = Harness::<AccessLog>::new(r#"{"tag_on_failure": "odd"}"#).unwrap();
    assert_eq!(show(&own.one("x")), "tags=odd");
    assert!(Harness::<AccessLog>::new(r#"{"feild": "x"}"#).unwrap_err().contains("feild"));
}

#[test]
fn the_field_that_is_read() {
    let line = r#"h - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 5"#;
    let run = |config: &str, input: Input| Harness::<AccessLog>::new(config).unwrap().run(&[input]).remove(0);
    // a message that an earlier filter or a receiver cut out comes before the payload
    let outcome = run("{}", Input::new("<13>x").field("message", line));
    assert_eq!((outcome.text("verb"), outcome.text("message"), outcome.built_bytes), (Some("GET"), Some(line), 0));
    let outcome = run(r#"{"field": "log"}"#, Input::new(line).field("log", "x"));
    assert_eq!(show(&outcome), "log=x tags=_accesslogparsefailure");
    let outcome = run(r#"{"field": "log"}"#, Input::new(line));
    assert_eq!(show(&outcome), "", "a record without the field is not looked at");
}

/// The meaning of a line, said a second time.
static REFERENCE: LazyLock<Regex> = LazyLock::new(|| {
    let quoted = r#"((?:[^"\\]|\\.)*)""#;
    let pattern = format!(
        r#"(?s-u)^(\S+) (\S+) (.+?) \[(\d\d/[A-Z][a-z]{{2}}/\d{{4}}:\d\d:\d\d:\d\d [+-]\d{{4}})\] "{quoted} (\d{{1,5}}|-) (\d{{1,18}}|-)(?: "{quoted} "{quoted})?(?: .*?)??(?: (?:\*\*)?(\d{{1,18}})/(\d{{1,18}})(?:\*\*)?)?$"#
    );
    Regex::new(&pattern).unwrap()
});

static REQUEST: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(?s-u)^(\w+) (\S+)(?: HTTP/(\d(?:\.\d)?))?$").unwrap());

fn reference(line: &[u8]) -> Option<Line<'_>> {
    let captures = REFERENCE.captures(line)?;
    let get = |group: usize| captures.get(group).map(|found| found.as_bytes());
    let said = |group| get(group).filter(|text: &&[u8]| !text.is_empty() && *text != b"-");
    let number = |group| said(group).map(|text| std::str::from_utf8(text).unwrap().parse::<i64>().unwrap());
    let request = match REQUEST.captures(get(5)?) {
        Some(found) => Request::Good {
            verb: found.get(1)?.as_bytes(),
            target: found.get(2)?.as_bytes(),
            version: found.get(3).map(|version| version.as_bytes()),
        },
        None => Request::Raw(get(5)?),
    };
    Some(Line {
        vhost: None,
        clientip: get(1)?,
        ident: said(2),
        auth: said(3),
        time_ns: crate::time::parse(get(4)?.try_into().unwrap())?,
        request,
        response: number(6),
        bytes: number(7),
        referrer: said(8),
        agent: said(9),
        reqsec: number(10),
        reqms: number(11),
    })
}

fn lines() -> impl Strategy<Value = String> {
    let token = "[0-9A-Za-z.:_-]{1,12}";
    let request = prop_oneof![
        4 => r"(GET|POST|HEAD) /[!#-\[\]-~é]{0,20} HTTP/(1\.[01]|2|2\.0)",
        1 => r"[A-Z]{1,4} /[a-z]{0,5}",
        1 => r#"(\\"|\\\\|[ !#-\[\]-~]){0,20}"#,
    ];
    let quoted = r#"(\\"|\\\\|[ !#-\[\]-~é]){0,24}"#;
    let number = "(-|[0-9]{1,9})";
    let status = "(-|[1-5][0-9]{2})";
    let zone = r"[+-](0[0-9]|1[0-4])(00|30|45)";
    let tail = prop_oneof![3 => Just(String::new()), 2 => r" [0-9]{1,3}/[0-9]{1,9}", 1 => r" \*\*[0-9]{1,3}/[0-9]{1,9}\*\*"];
    let time = (1u8..=31, 0usize..12, 1970u16..2200, 0u8..24, 0u8..60, 0u8..=60, zone);
    let agent = proptest::option::of((quoted, quoted));
    ((token, token, token), time, request, (status, number), agent, tail).prop_map(
        |((client, ident, auth), (day, month, year, hour, minute, second, zone), request, (status, bytes), agent, tail)| {
            let month = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"][month];
            let agent = agent.map_or(String::new(), |(referrer, agent)| format!(r#" "{referrer}" "{agent}""#));
            let time = format!("{day:02}/{month}/{year}:{hour:02}:{minute:02}:{second:02} {zone}");
            format!(r#"{client} {ident} {auth} [{time}] "{request}" {status} {bytes}{agent}{tail}"#)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn generated_lines_mean_what_the_reference_says(line in lines()) {
        prop_assert_eq!(line::parse(line.as_bytes()), reference(line.as_bytes()), "{}", line);
    }

    #[test]
    fn no_bytes_panic_and_slices_are_of_the_line(mut line in lines().prop_map(String::into_bytes), cuts in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4), end in any::<prop::sample::Index>()) {
        for (at, byte) in cuts {
            let at = at.index(line.len());
            line[at] = byte;
        }
        line.truncate(end.index(line.len() + 1));
        if let Some(parsed) = line::parse(&line) {
            let inside = line.as_ptr_range();
            prop_assert!(inside.contains(&parsed.clientip.as_ptr()));
        }
    }

    #[test]
    fn no_garbage_panics(line in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = line::parse(&line);
    }
}

/// Ten thousand real lines, counted a second way. Not part of the project.
#[test]
#[allow(clippy::print_stderr, clippy::disallowed_methods)]
fn the_public_sample_is_cut_whole() {
    let beside = || "../../../shared/data".into();
    let path = std::path::PathBuf::from(std::env::var_os("SAWBOX_DATA").unwrap_or_else(beside)).join("apache_sample.log");
    let Ok(bytes) = std::fs::read(&path) else {
        assert!(std::env::var_os("SAWBOX_NO_SKIP").is_none(), "{} is missing, and skipping is not allowed", path.display());
        eprintln!("skipped: there is no {}; SAWBOX_DATA names the folder", path.display());
        return;
    };
    // As awk would: words of the line, whatever the quotes say.
    let words = Regex::new(r#"(?-u)^(\S+) \S+ \S+ \[([^:]+:\d\d)[^\]]*\] "(\S+) .*?" (\d{3}) (\d+|-)"#).unwrap();
    let (mut ours, mut theirs) = (BTreeMap::<String, u64>::new(), BTreeMap::<String, u64>::new());
    let mut filter = Harness::<AccessLog>::new("{}").unwrap();
    let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    for batch in lines.chunks(1024) {
        let inputs: Vec<Input> = batch.iter().map(Input::new).collect();
        for (outcome, line) in filter.run(&inputs).iter().zip(batch) {
            let found = words.captures(line).unwrap();
            let word = |group: usize| String::from_utf8_lossy(found.get(group).unwrap().as_bytes()).into_owned();
            let hour = outcome.time_ns.unwrap() / 3_600_000_000_000 % 24;
            let ours_of = [
                format!("client {}", outcome.text("clientip").unwrap()),
                format!("verb {}", outcome.text("verb").unwrap()),
                format!("status {}", outcome.int("response").unwrap()),
                format!("hour {hour:02}"),
                format!("bytes {}", outcome.int("bytes").map_or("-".into(), |bytes| bytes.to_string())),
            ];
            let theirs_of = [
                format!("client {}", word(1)),
                format!("verb {}", word(3)),
                format!("status {}", word(4)),
                format!("hour {}", &word(2)[word(2).len() - 2..]),
                format!("bytes {}", word(5)),
            ];
            ours_of.into_iter().for_each(|key| *ours.entry(key).or_default() += 1);
            theirs_of.into_iter().for_each(|key| *theirs.entry(key).or_default() += 1);
        }
    }
    assert_eq!(lines.len(), 10_000);
    assert_eq!(ours, theirs);
}
