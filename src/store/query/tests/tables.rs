//! Eight rows, and what questions about them are answered.

use super::memory::{MemorySource, Style, TestRow};
use super::*;
use crate::store::query::{OutValue, fields_of, histogram_of, parse, top_values_of};

fn text(text: &str) -> OutValue {
    OutValue::Str(text.as_bytes().into())
}

fn list(items: &[&str]) -> OutValue {
    OutValue::List(items.iter().map(|item| item.as_bytes().into()).collect())
}

/// One a minute from ten o'clock; the offset says which.
pub fn eight() -> Vec<TestRow> {
    use OutValue::{Float, Int};
    let rows: Vec<Vec<(&'static str, OutValue)>> = vec![
        vec![
            ("message", text("GET / ok")),
            ("app", text("shop")),
            ("status", Int(200)),
            ("reqtime", Float(0.1)),
            ("ip", text("10.0.0.1")),
        ],
        vec![
            ("message", text("GET /cart ok")),
            ("app", text("shop")),
            ("status", Int(200)),
            ("reqtime", Float(0.3)),
            ("ip", text("10.0.0.2")),
        ],
        vec![
            ("message", text("POST /cart failed")),
            ("app", text("shop")),
            ("status", Int(503)),
            ("reqtime", Float(2.5)),
            ("ip", text("10.0.0.1")),
            ("tags", list(&["slow", "zabbix-sender"])),
        ],
        vec![
            ("message", text("GET /post/1 ok")),
            ("app", text("blog")),
            ("status", Int(200)),
            ("reqtime", Float(0.2)),
            ("ip", text("192.168.1.9")),
        ],
        vec![
            ("message", text("GET /nothing missing")),
            ("app", text("blog")),
            ("status", Int(404)),
            ("reqtime", Float(0.05)),
            ("ip", text("192.168.1.9")),
        ],
        vec![("message", text("connection reset by peer")), ("app", text("proxy"))],
        vec![("message", text("GET /health ok")), ("app", text("shop")), ("status", text("200")), ("reqtime", Float(0.01))],
        vec![
            ("message", text("GET /cart/2 failed")),
            ("app", text("shop")),
            ("status", Int(503)),
            ("reqtime", Float(1.5)),
            ("ip", text("10.0.0.3")),
            ("tags", list(&["slow"])),
        ],
    ];
    (0u32..)
        .zip(rows)
        .map(|(at, fields)| TestRow {
            time: TEN + i64::from(at) * 60 * SECOND,
            partition: 0,
            offset: u64::from(at),
            n: 0,
            fields,
        })
        .collect()
}

pub fn every_way() -> Vec<Vec<Arc<dyn Source>>> {
    let mut ways: Vec<Vec<Arc<dyn Source>>> = Vec::new();
    for style in [Style::Sorted, Style::PerGroup, Style::Text] {
        for group_rows in [1, 3, 8] {
            ways.push(vec![Arc::new(MemorySource::new("access", eight(), group_rows, style))]);
            let (first, second) = (eight()[..5].to_vec(), eight()[5..].to_vec());
            ways.push(vec![
                Arc::new(MemorySource::new("access", second, group_rows, style)),
                Arc::new(MemorySource::new("access", first, group_rows, Style::Sorted)),
            ]);
        }
    }
    ways
}

/// Offsets of the rows, in the order of the answer.
pub fn check_rows(query: &str, expected: &str) {
    for sources in every_way() {
        let (rows, stats) = rows_of(&sources, &request(query));
        let offsets: Vec<String> = rows
            .iter()
            .map(|row| match row.get("_offset") {
                Some(OutValue::Int(offset)) => offset.to_string(),
                other => panic!("{query}: {other:?}"),
            })
            .collect();
        assert_eq!(offsets.join(" "), expected, "{query}");
        assert_eq!((stats.partial, stats.damaged), (false, 0), "{query}");
    }
}

/// The rows as JSON.
pub fn check(query: &str, expected: &[&str]) {
    for sources in every_way() {
        let rows: Vec<String> = rows_of(&sources, &request(query)).0.iter().map(OutRow::to_json).collect();
        assert_eq!(rows, expected, "{query}");
    }
}

#[test]
fn predicates_keep_rows_newest_first() {
    for (query, expected) in [
        ("", "7 6 5 4 3 2 1 0"),
        ("app:shop", "7 6 2 1 0"),
        ("app:shop status>=500", "7 2"),
        ("status:200", "6 3 1 0"),
        ("status=200", "6 3 1 0"),
        ("-status:200", "7 5 4 2"),
        ("status>=0", "7 6 4 3 2 1 0"),
        ("status:(404 or 503)", "7 4 2"),
        ("not status:*", "5"),
        ("failed", "7 2"),
        ("\"GET /cart\"", "7 1"),
        ("\"connection reset\" or post", "5 3 2"),
        ("message:=\"GET / ok\"", "0"),
        ("/cart*", "7 2 1"),
        ("message:~\"cart.*failed\"", "7 2"),
        ("tags:slow", "7 2"),
        ("tags:zabbix-sender", "2"),
        ("tags:=slow -tags:=zabbix-sender", "7"),
        ("ip:10.0.0.0/8 reqtime<2", "7 1 0"),
        ("ip:[10.0.0.2 TO 10.0.0.9]", "7 1"),
        ("reqtime:{0.1 TO 0.3]", "3 1"),
        ("*:zabbix-sender or *:404", "4 2"),
        ("_time>=2015-05-17T10:05:00Z", "7 6 5"),
        ("_time:2015-05-17T10:03", "3"),
        ("_time>-58m", "7 6 5 4 3"),
        ("_topic:access _offset<2", "1 0"),
        ("_topic:other", ""),
        ("_partition:0 _n:0 _generation:3 _offset:[3 TO 4]", "4 3"),
        ("nowhere", ""),
        ("* | limit 2", "7 6"),
        ("app:blog | where status:404", "4"),
        ("* | sort reqtime | limit 3", "6 4 0"),
        ("* | sort -status, reqtime | limit 4", "7 2 4 6"),
        ("* | sort app, -_offset | limit 4", "4 3 5 7"),
        ("* | sort -reqtime desc | limit 9", "2 7 1 3 0 4 6 5"),
        ("* | limit 4 | where app:shop", "7 6"),
        ("* | limit 3 | sort _offset", "5 6 7"),
    ] {
        check_rows(query, expected);
    }
}

#[test]
fn rows_show_their_fields_and_lineage() {
    check(
        "_offset:2",
        &[concat!(
            r#"{"_time":"2015-05-17T10:02:00Z","_topic":"access","_partition":0,"_offset":2,"_n":0,"_generation":3,"#,
            r#""message":"POST /cart failed","app":"shop","ip":"10.0.0.1","reqtime":2.5,"status":503,"tags":["slow","zabbix-sender"]}"#
        )],
    );
    check(
        "tags:* | fields app, tags, absent, _offset",
        &[r#"{"app":"shop","tags":["slow"],"_offset":7}"#, r#"{"app":"shop","tags":["slow","zabbix-sender"],"_offset":2}"#],
    );
}

#[test]
fn figures_are_grouped_by_value() {
    for (query, expected) in [
        ("* | stats count()", vec![r#"{"count()":8}"#]),
        ("nowhere | stats count(), sum(status), avg(reqtime)", vec![r#"{"count()":0,"sum(status)":null,"avg(reqtime)":null}"#]),
        (
            "* | stats count by app",
            vec![r#"{"app":"blog","count()":2}"#, r#"{"app":"proxy","count()":1}"#, r#"{"app":"shop","count()":5}"#],
        ),
        (
            "* | stats count() by status",
            vec![
                r#"{"status":200,"count()":4}"#,
                r#"{"status":404,"count()":1}"#,
                r#"{"status":503,"count()":2}"#,
                r#"{"status":null,"count()":1}"#,
            ],
        ),
        ("nowhere | stats count() by app", vec![]),
        // The box's own fields, where the name's pattern begins as they do; times as texts; names as they are written.
        ("_t?pic:* | stats count()", vec![r#"{"count()":8}"#]),
        ("not _to*:* | stats count() by app", vec![]),
        ("* | stats count() by bin(1d) as day | where day>=2015-01-01 | fields count()", vec![r#"{"count()":8}"#]),
        ("* | stats COUNT() by app | sort -COUNT() | limit 1", vec![r#"{"app":"shop","COUNT()":5}"#]),
        (
            "app:shop | stats sum(status), min(reqtime), max(reqtime), count(ip)",
            vec![r#"{"sum(status)":1606,"min(reqtime)":0.01,"max(reqtime)":2.5,"count(ip)":4}"#],
        ),
        (
            "app:blog | stats avg(status) as mean, p50(reqtime), p99(reqtime) by app",
            vec![r#"{"app":"blog","mean":302.0,"p50(reqtime)":0.125,"p99(reqtime)":0.1985}"#],
        ),
        (
            "* | stats count_distinct(ip), count_distinct(tags), count_distinct(app), count_values(tags)",
            vec![r#"{"count_distinct(ip)":4,"count_distinct(tags)":2,"count_distinct(app)":3,"count_values(tags)":3}"#],
        ),
        ("tags:* | stats count() by tags", vec![r#"{"tags":"slow","count()":2}"#, r#"{"tags":"zabbix-sender","count()":1}"#]),
        (
            "app:shop | stats count() by bin(5m), status",
            vec![
                r#"{"bin(5m)":"2015-05-17T10:00:00Z","status":200,"count()":2}"#,
                r#"{"bin(5m)":"2015-05-17T10:00:00Z","status":503,"count()":1}"#,
                r#"{"bin(5m)":"2015-05-17T10:05:00Z","status":200,"count()":1}"#,
                r#"{"bin(5m)":"2015-05-17T10:05:00Z","status":503,"count()":1}"#,
            ],
        ),
        (
            "* | stats count() by bin(status, 100) as class | where class:*",
            vec![r#"{"class":200,"count()":4}"#, r#"{"class":400,"count()":1}"#, r#"{"class":500,"count()":2}"#],
        ),
        (
            "* | stats count() by bin(_time, 4m, 2m) as t",
            vec![
                r#"{"t":"2015-05-17T09:58:00Z","count()":2}"#,
                r#"{"t":"2015-05-17T10:02:00Z","count()":4}"#,
                r#"{"t":"2015-05-17T10:06:00Z","count()":2}"#,
            ],
        ),
        (
            "* | stats min(_time) as first, max(_time) as last by app | where app:blog",
            vec![r#"{"app":"blog","first":"2015-05-17T10:03:00Z","last":"2015-05-17T10:04:00Z"}"#],
        ),
        (
            "* | stats count(), p99(reqtime) by app | sort -count | limit 1 | fields app, count()",
            vec![r#"{"app":"shop","count()":5}"#],
        ),
        (
            "* | stats count() by app | where count()>=2 | sort -count()",
            vec![r#"{"app":"shop","count()":5}"#, r#"{"app":"blog","count()":2}"#],
        ),
        (
            "* | rename app as \"the app\" | stats count(\"the app\") by status | where count(\"the app\")>=3 status:*",
            vec![r#"{"status":200,"count(\"the app\")":4}"#],
        ),
        (
            "* | stats count() by app, status | stats count() as kinds, sum(count()) as rows by app",
            vec![
                r#"{"app":"blog","kinds":2,"rows":2}"#,
                r#"{"app":"proxy","kinds":1,"rows":1}"#,
                r#"{"app":"shop","kinds":2,"rows":5}"#,
            ],
        ),
        ("* | top 2 ip", vec![r#"{"ip":"10.0.0.1","count()":2}"#, r#"{"ip":"192.168.1.9","count()":2}"#]),
        ("* | limit 3 | top app", vec![r#"{"app":"shop","count()":2}"#, r#"{"app":"proxy","count()":1}"#]),
        ("* | fields nothing | stats count()", vec![r#"{"count()":8}"#]),
    ] {
        check(query, &expected);
    }
}

#[test]
fn queries_print_as_they_parse() {
    for query in [
        "app:shop status>=500 | stats count(), p99(reqtime) as slow by bin(5m), app, bin(bytes, 1000) as b | sort -count, slow | limit 20",
        "* | where a:b | fields a, \"odd name\", count() | top 5 path",
        "x | stats count_distinct(a), min(a), max(a), avg(a), sum(a), count(a), p99.9(a) by bin(_time, 1d, -2h)",
    ] {
        let parsed = parse(query).unwrap();
        assert_eq!(parse(&parsed.to_string()), Ok(parsed.clone()), "{parsed}");
    }
}

#[test]
fn errors_point_at_the_pipe() {
    for (query, position, says) in [
        ("a |", 3, "after `|` comes"),
        ("a | frobnicate", 4, "after `|` comes"),
        ("a | limit x", 10, "whole number"),
        ("a | stats", 9, "name of a field"),
        ("a | stats foo(x)", 10, "no figure"),
        ("a | stats sum(x y)", 16, "`)` is expected"),
        ("a | stats sum()", 14, "needs a field"),
        ("a | stats p101(x)", 10, "no figure"),
        ("a | stats count() by", 20, "name of a field"),
        ("a | stats count() by bin(0s)", 25, "at least 1 wide"),
        ("a | stats count() by bin(5 parsecs)", 25, "span of time"),
        ("a | stats count(), count()", 4, "two columns"),
        ("a | stats count() by lower(b)", 21, "compute it before"),
        ("a | sort lower(b)", 9, "compute it before"),
        ("a | eval x = coalesce()", 13, "takes 1 to 64 arguments"),
        ("a | sort", 8, "name of a field"),
        ("a | limit 5 6", 12, "another pipe"),
        ("(a | b", 0, "never closed"),
        ("a | where b)", 11, "closes nothing"),
    ] {
        match parse(query) {
            Ok(read) => panic!("{query} was read as {read}"),
            Err(error) => {
                assert!(error.message.contains(says), "{query}: {error}");
                assert_eq!(error.position, position, "{query}: {error}");
            }
        }
    }
}

#[test]
fn requests_bound_time_topics_and_order() {
    let sources: Vec<Arc<dyn Source>> = vec![
        Arc::new(MemorySource::new("access", eight(), 3, Style::Sorted)),
        Arc::new(MemorySource::new("other", eight(), 3, Style::Text)),
    ];
    let ask = |change: &dyn Fn(&mut Request)| {
        let mut request = request("* | fields _topic, _offset");
        change(&mut request);
        let rows = rows_of(&sources, &request).0;
        let label = |row: &OutRow| row.to_json().replace(r#"{"_topic":""#, "").replace(r#"","_offset":"#, "").replace('}', "");
        rows.iter().map(label).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(ask(&|request| request.limit = 3), "other7 access7 other6");
    assert_eq!(
        ask(&|request| {
            request.limit = 3;
            request.newest_first = false;
        }),
        "access0 other0 access1"
    );
    assert_eq!(
        ask(&|request| {
            request.topics = Some(vec!["access".into()]);
            request.from_ns = Some(TEN + 120 * SECOND);
            request.to_ns = Some(TEN + 240 * SECOND);
        }),
        "access3 access2"
    );
    let all = ask(&|_| {});
    for page in 1..6 {
        assert_eq!(ask(&|request| request.limits.page = page), all, "pages of {page}");
    }
    assert_eq!(ask(&|request| request.limit = 0), "");
}

#[test]
fn facets_count_what_the_predicate_keeps() {
    for sources in every_way() {
        let histogram = histogram_of(&sources, &request("app:shop | stats count()"), 4, &cancel()).unwrap();
        assert_eq!((histogram.step, histogram.total, histogram.stats.partial), (120 * SECOND, 5, false));
        assert_eq!(histogram.buckets.iter().map(|(_, rows)| *rows).collect::<Vec<_>>(), [2, 1, 0, 2]);
        assert_eq!(histogram.buckets[0].0, TEN);
        let all = histogram_of(&sources, &request(""), 1, &cancel()).unwrap();
        assert_eq!((all.total, all.buckets.iter().map(|(_, rows)| rows).sum::<u64>()), (8, 8));
        let top = top_values_of(&sources, &request("*"), "status", 2, &cancel()).unwrap();
        assert_eq!((top.total, top.values), (8, vec![(OutValue::Int(200), 4), (OutValue::Int(503), 2)]));
        let (fields, _) = fields_of(&sources, &request("app:shop"), &cancel()).unwrap();
        let status = fields.iter().find(|field| *field.name == *"status").unwrap();
        assert_eq!((status.count, status.types.clone()), (5, vec!["integer", "string"]));
    }
}

#[test]
fn deleted_rows_are_not_there() {
    let mut source = MemorySource::new("access", eight(), 3, Style::Sorted);
    source.deleted = [1, 2, 7].into();
    let sources: Vec<Arc<dyn Source>> = vec![Arc::new(source)];
    let count = |query: &str| rows_of(&sources, &request(query)).0[0].to_json();
    assert_eq!(count("* | stats count()"), r#"{"count()":5}"#);
    assert_eq!(count("-status:503 | stats count()"), r#"{"count()":5}"#);
    assert_eq!(histogram_of(&sources, &request(""), 1, &cancel()).unwrap().total, 5);
}

#[test]
fn damage_costs_its_chunk_and_is_said() {
    let mut source = MemorySource::new("access", eight(), 8, Style::Sorted);
    source.damaged = Some("app");
    let sources: Vec<Arc<dyn Source>> = vec![Arc::new(source)];
    let (rows, stats) = rows_of(&sources, &request("status:503"));
    assert_eq!((rows.len(), stats.partial, stats.damaged), (2, true, 1));
    assert!(rows[0].get("app").is_none() && rows[0].get("ip").is_some());
}

#[test]
fn limits_are_honest() {
    let sources = &every_way()[0];
    let mut small = request("* | stats count() by _offset");
    small.limits.groups = 3;
    small.limits.threads = 1;
    let (rows, stats) = rows_of(sources, &small);
    assert_eq!((rows.len(), stats.partial), (3, true));
    let mut small = request("* | sort -_offset | limit 5");
    small.limits.sorted = 2;
    let (rows, stats) = rows_of(sources, &small);
    assert_eq!((rows.len(), stats.partial), (2, true));
    assert!(stats.note.is_some());
    let late = cancel().within(std::time::Duration::ZERO);
    let stats = search(sources, &request("*"), &late, &mut |_| ControlFlow::Continue(())).unwrap();
    assert_eq!((stats.partial, stats.rows_scanned), (true, 0));
    let gone = cancel();
    gone.cancel();
    assert_eq!(search(sources, &request("*"), &gone, &mut |_| ControlFlow::Continue(())), Err(QueryError::Cancelled));
    let mut seen = 0;
    let broken_off = search(sources, &request("*"), &cancel(), &mut |_| {
        seen += 1;
        ControlFlow::Break(())
    });
    assert_eq!((broken_off.is_ok(), seen), (true, 1));
}

#[test]
fn what_need_not_be_read_is_not() {
    let sources: Vec<Arc<dyn Source>> = vec![Arc::new(MemorySource::new("access", eight(), 1, Style::Sorted))];
    for (query, scanned) in [
        ("* | limit 2", 2),
        ("absent:x", 0),
        ("app:absent | stats count()", 0),
        ("status:503", 4), // where no number is, bounds are not known
        ("status>=600 | stats count()", 0),
        ("status:200 | stats count()", 0), // in one row a string
        ("* | stats count() by status", 0),
        ("* | stats count_distinct(status), count_values(status)", 0),
        ("_time<2015-05-17T10:02:00Z | stats count()", 2),
        ("_topic:other | stats count()", 0),
    ] {
        let mut request = request(query);
        request.limits.threads = 1;
        assert_eq!(rows_of(&sources, &request).1.groups_scanned, scanned, "{query}");
    }
}
