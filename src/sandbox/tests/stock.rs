//! The stock filters through the whole sandbox: what they say to a line, and that they say it in batches of any size.
//!
//! Their own tables are beside their sources, where they run natively; here is what only the boundary can get wrong: patterns of the
//! host, the message that is merely the payload, lists, the row's time, fields that a filter before set.

use super::{bench_with, plain, run};
use crate::sandbox::Config;

/// A chain, a payload, and the row.
const CASES: &[(&str, &str, &str)] = &[
    (
        r#"[{"filter": "dissect", "config": {"mapping": {"message": "%{ts} %{+ts} %{a->} %{b}", "b": "%{c}:%{d}"}, "convert_datatype": {"d": "int"}}}]"#,
        "Mar 16 x   y:7",
        r#"store message="Mar 16 x   y:7" a="x" b="y:7" ts="Mar 16" c="y" d=7"#,
    ),
    (
        r#"[{"filter": "dissect", "config": {"mapping": {"message": "[%{a}]"}, "remove_field": ["message"]}}]"#,
        "none",
        r#"store message="none" tags="_dissectfailure""#,
    ),
    (
        r#"[{"filter": "kv", "config": {"field_split_pattern": "[;&] *", "remove_field": ["message"], "add_field": {"n": "%{b}!"}}}]"#,
        "a=1; b=\"2 3\"&c=x=y",
        r#"store a="1" b="2 3" c="x=y" n="2 3!""#,
    ),
    (
        r#"[{"filter": "csv", "config": {"columns": ["at", "n"], "convert": {"n": "integer"}}}, {"filter": "date", "config": {"match": ["at", "yyyy-MM-dd HH:mm"], "timezone": "Europe/Berlin", "remove_field": ["at"]}}]"#,
        "2015-05-17 12:05,7",
        r#"store @2015-05-17T10:05:00Z message="2015-05-17 12:05,7" n=7"#,
    ),
    (
        r#"[{"filter": "date", "config": {"match": ["message", "UNIX"]}}, {"filter": "mutate", "config": {"copy": {"@timestamp": "at"}, "replace": {"day": "%{+yyyy.MM.dd}"}}}]"#,
        "1431857103.25",
        r#"store @2015-05-17T10:05:03.250Z message="1431857103.25" day="2015.05.17" at="2015-05-17T10:05:03.250Z""#,
    ),
    (
        r#"[{"filter": "mutate", "config": {"replace": {"@timestamp": "2015-05-17T10:05:03Z"}}}]"#,
        "x",
        r#"store @2015-05-17T10:05:03Z message="x""#,
    ),
    // A search that goes on behind a match sees what stands before it: `^` is not found at every place.
    (
        r#"[{"filter": "mutate", "config": {"gsub": ["message", "^a", "b", "message", "\\b(\\w)(\\w+)", "\\2-\\1", "message", "(?<=-)x", "é"]}}]"#,
        "aac xy",
        r#"store message="ac-b y-é""#,
    ),
    (
        r#"[{"filter": "mutate", "config": {"split": {"message": ","}, "uppercase": ["message"], "merge": {"message": "host"}, "rename": {"app": "host"}}}]"#,
        "a,b",
        r#"store message="A" message="B""#,
    ),
    (
        r#"[{"filter": "tag", "config": {"fields": {"n": "1.000,5", "b": "yes", "l": ["1", "2"]}}}, {"filter": "mutate", "config": {"convert": {"n": "float_eu", "b": "boolean", "l": "integer"}, "join": {"l": "+"}}}]"#,
        "x",
        r#"store message="x" b=true l="1+2" n=1000.5"#,
    ),
    (
        r#"[{"filter": "redact", "config": {"patterns": {"customer": "C-(\\d+)"}, "add_tag": ["redacted"]}}]"#,
        "ann@example.org paid 4111111111111111, C-17 password=x",
        r#"store message="[email] paid [card], C-[customer] password=[password]" tags="redacted""#,
    ),
    // Once the fields say all that the payload says, there is no message to redact, and none comes back.
    (
        r#"[{"filter": "json"}, {"filter": "redact"}, {"filter": "kv"}]"#,
        r#"{"user": "ann@example.org", "n": 4111111111111111}"#,
        r#"store user="[email]" n=4111111111111111"#,
    ),
    (r#"[{"filter": "redact"}]"#, "nothing of the kind", r#"store message="nothing of the kind""#),
    (r#"[{"filter": "sample", "config": {"rate": 0}}]"#, "x", r#"drop "sampled""#),
    (
        r#"[{"filter": "sample", "config": {"rate": 1, "key": "message", "add_tag": "kept"}}]"#,
        "x",
        r#"store message="x" tags="kept""#,
    ),
    (r#"[{"filter": "drop", "config": {"percentage": 0}}]"#, "x", r#"store message="x""#),
    (
        r#"[{"filter": "tag", "config": {"add": ["a", "b"], "add_field": {"message": "more"}, "remove_tag": ["a"]}}]"#,
        "x",
        r#"store message="x" message="more" tags="b""#,
    ),
];

#[test]
fn rows_are_as_said() {
    let bench = bench_with(Config::default());
    for (chain, payload, row) in CASES {
        let said = run(&bench.chain(chain), &plain(&[payload.as_bytes()]));
        assert_eq!(said[0], *row, "{chain}");
    }
}

/// Guests look at text in blocks, which they do not where their own tests run: wherever a text ends in a block, it is found.
#[test]
fn texts_of_any_length_end_where_they_end() {
    let bench = bench_with(Config::default());
    let (access, json) = (bench.chain(r#"[{"filter": "access-log"}]"#), bench.chain(r#"[{"filter": "json"}]"#));
    for length in 1..100 {
        let text = "é/x_".chars().cycle().take(length).collect::<String>();
        for tail in ["", " 0/12"] {
            let line = format!(
                r#"10.0.0.1 - {text} [17/May/2015:10:05:03 +0000] "GET /{text} HTTP/1.1" 200 5 "{text}" "{text}\\"{tail}"#
            );
            let said = run(&access, &plain(&[line.as_bytes()])).remove(0);
            for field in ["auth=\"", "request=\"/", "referrer=\""] {
                assert!(said.contains(&format!("{field}{text}\"")), "{said}");
            }
            assert!(said.contains("agent=") && said.contains("reqms=12") != tail.is_empty(), "{said}");
        }
        let document = format!(r#"{{"a":"{text}","b\u0062":1,"c":"{text}\u0021","d":""}}"#);
        let said = run(&json, &plain(&[document.as_bytes(), document.as_bytes(), &document.as_bytes()[..length]]));
        assert_eq!(said[0], format!(r#"store a="{text}" bb=1 c="{text}!" d="""#));
        assert_eq!(said[1], said[0], "a document like one before");
    }
}

/// A record gets the same row in whatever company.
#[test]
fn batches_of_any_size_say_the_same() {
    let bench = bench_with(Config::default());
    let payloads: Vec<String> = (0..1024)
        .map(|number| match number % 5 {
            0 => format!("a={number} b=\"x,y\" t=2015-05-17 card 4111 1111 1111 1111"),
            1 => format!("{number},\"q\"\"{number}\",x"),
            2 => format!("May {:2} 10:05:03 host prog[{number}]: a@b.org", number % 28 + 1),
            3 => "\u{fffd}=\"(\"".repeat(number % 7),
            _ => String::new(),
        })
        .collect();
    for chain in [
        r#"[{"filter": "kv", "config": {"add_tag": ["k-%{a}"]}}, {"filter": "sample", "config": {"rate": 0.5, "key": "a"}}, {"filter": "redact"}]"#,
        r#"[{"filter": "csv"}, {"filter": "drop", "config": {"percentage": 30}}]"#,
        r#"[{"filter": "dissect", "config": {"mapping": {"message": "%{t} %{+t->} %{+t} %{host} %{p}[%{pid}]: %{m}"}}}, {"filter": "date", "config": {"match": ["t", "MMM d HH:mm:ss"], "timezone": "America/New_York"}}]"#,
        r#"[{"filter": "mutate", "config": {"gsub": ["message", "(\\d)(\\d)", "\\2%{message}\\1"], "split": {"message": " "}, "capitalize": ["message"]}}]"#,
    ] {
        let chain = bench.chain(chain);
        let all: Vec<&[u8]> = payloads.iter().map(String::as_bytes).collect();
        let whole = run(&chain, &plain(&all));
        for size in [1, 7] {
            let mut said = Vec::new();
            for (index, _) in all.iter().enumerate().step_by(size) {
                let mut records = plain(&all);
                records.records = records.records.split_off(index);
                records.records.truncate(size);
                said.extend(run(&chain, &records));
            }
            assert!(said == whole, "batches of {size} say something else");
        }
    }
}
