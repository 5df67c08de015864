//! Queries over the store itself: the same answers from memory and from parts, and after a merge.
//!
//! To measure: `SAWBOX_QUERY_ROWS=2000000 cargo test --release --lib store::query::tests::stored -- --nocapture`

use std::time::Instant;

use super::*;
use crate::base::clock::RealClock;
use crate::base::disk::RealDisk;
use crate::base::ids::TopicId;
use crate::base::row::{Cell, RowHead, Rows, Value};
use crate::store::query::run;
use crate::store::{Config, Store};

const QUERIES: [&str; 18] = [
    "* | stats count()",
    "* | stats count() by status",
    "* | top 10 path",
    "* | top 3 trace",
    "* | stats count(), sum(bytes), p99(reqtime) by app, bin(5m)",
    "status:503 | stats count()",
    "app:app-3 status>=500 | stats count() by path | sort -count, path | limit 5",
    "googlebot | stats count()",
    "message:~\"[a-z]+[0-9]{3,}[.]png\" | stats count()",
    "message:~\"zqxjkv\" | stats count()",
    "trace:=000000000000002a",
    "tags:slow | stats count() by tags",
    "* | limit 100",
    "googlebot | limit 100",
    "* | sort -reqtime | limit 100",
    "* | fields _time, reqtime | sort -reqtime | limit 100",
    "* | stats values(status), min(status), max(status), count_distinct(status)",
    "reqtime<2 | stats count_distinct(reqtime), min(reqtime), max(reqtime)",
];

#[allow(clippy::disallowed_methods, clippy::print_stdout)]
fn answers(store: &Store, print: Option<&str>) -> Vec<Vec<String>> {
    let ask = |query: &&str| {
        let request = request(query);
        let mut rows = Vec::new();
        let start = Instant::now();
        let stats = run(store, &request, &cancel(), &mut |row| {
            rows.push(row.to_json());
            ControlFlow::Continue(())
        });
        let stats = stats.unwrap();
        if let Some(state) = print {
            println!("{state:<8} {query:<75} {:>9.2} ms  {} scanned", start.elapsed().as_secs_f64() * 1e3, stats.rows_scanned);
        }
        assert_eq!((stats.damaged, stats.partial), (0, false), "{query}: {stats:?}");
        rows
    };
    QUERIES.iter().map(ask).collect()
}

#[test]
fn answers_do_not_depend_on_where_rows_lie() {
    let wanted = std::env::var("SAWBOX_QUERY_ROWS").ok().and_then(|text| text.parse().ok());
    let (total, measured) = (wanted.unwrap_or(20_000u64), wanted.is_some());
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(RealDisk::open(dir.path()).unwrap());
    let (store, _) = Store::open(disk, Arc::new(RealClock::new()), Config::default()).unwrap();
    let topic = TopicId::new();
    let names: Vec<Arc<str>> =
        ["app", "status", "path", "bytes", "reqtime", "trace", "message", "tags"].iter().map(|name| Arc::from(*name)).collect();
    let mix =
        |number: u64| number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 20;
    let mut next = 0;
    while next < total {
        let batch: Vec<[String; 4]> = (next..total.min(next + 1000))
            .map(|at| {
                let random = mix(at);
                let path = format!("/section/{}/page{}.{}", random % 40, random % 977, if random.is_multiple_of(7) { "png" } else { "html" });
                let agent = if random.is_multiple_of(50) { "Googlebot/2.1" } else { "Mozilla/5.0 (X11; Linux x86_64) Chrome/32.0.1700.107" };
                let status = [200, 200, 200, 304, 404, 503][usize::try_from(random % 6).unwrap()];
                let line = format!(
                    "10.{}.{}.7 - - [17/May/2015:10:05:03 +0000] \"GET {path} HTTP/1.1\" {status} {} \"http://shop.example/\" \"{agent}\"",
                    random % 200,
                    at % 250,
                    random % 100_000
                );
                [format!("app-{}", random % 12), path, format!("{at:016x}"), line]
            })
            .collect();
        let mut rows = Rows { names: names.clone(), ..Rows::default() };
        for (at, [app, path, trace, line]) in (next..).zip(&batch) {
            let random = mix(at);
            let start = u32::try_from(rows.cells.len()).unwrap();
            let status = [200, 200, 200, 304, 404, 503][usize::try_from(random % 6).unwrap()];
            let values = [
                Value::Str(app.as_bytes()),
                Value::Int(status),
                Value::Str(path.as_bytes()),
                Value::Int(i64::try_from(random % 100_000).unwrap()),
                Value::Float(f64::from(u32::try_from(random % 5000).unwrap()) / 1000.0),
                Value::Str(trace.as_bytes()),
                Value::Str(line.as_bytes()),
            ];
            rows.cells.extend((0u32..).zip(values).map(|(name, value)| Cell { name, value }));
            if random.is_multiple_of(100) {
                rows.cells.extend([&b"slow"[..], b"zabbix-sender"].map(|tag| Cell { name: 7, value: Value::Str(tag) }));
            }
            let time_ns = TEN + i64::try_from(at).unwrap() * SECOND / 100;
            let cells = (start, u32::try_from(rows.cells.len()).unwrap());
            rows.heads.push(RowHead { time_ns, arrival_ns: time_ns, offset: at, n: 0, cells });
        }
        next += batch.len() as u64;
        store.append(topic, "access", 0, 1, &rows, next).unwrap();
    }
    let in_memory = answers(&store, measured.then_some("memory"));
    assert_eq!(in_memory[0], [format!(r#"{{"count()":{total}}}"#)]);
    assert_eq!((in_memory[10].len(), in_memory[12].len(), in_memory[14].len()), (1, 100, 100));
    let statuses =
        r#"{"values(status)":["200","304","404","503"],"min(status)":200,"max(status)":503,"count_distinct(status)":4}"#;
    let different =
        (0..total).map(|at| mix(at) % 5000).filter(|ms| *ms < 2000).collect::<std::collections::BTreeSet<u64>>().len();
    let times = format!(r#"{{"count_distinct(reqtime)":{different},"min(reqtime)":0.0,"max(reqtime)":1.999}}"#);
    assert_eq!(&in_memory[16..], [[statuses.to_owned()], [times]]);
    store.flush_all().unwrap();
    let in_parts = answers(&store, measured.then_some("parts"));
    if measured {
        answers(&store, Some("again"));
    }
    // The directory says that no decimal is as large, or as small.
    for (query, groups) in [
        ("reqtime>4.999", 0),
        ("reqtime<0", 0),
        ("reqtime>=0 | limit 1000000", total.div_ceil(8192)),
        ("reqtime>4.999 or bytes<0", 0),
    ] {
        let stats = run(&store, &request(query), &cancel(), &mut |_| ControlFlow::Continue(())).unwrap();
        assert_eq!(stats.groups_scanned, groups, "{query}: {stats:?}");
        assert_eq!(stats.left_out.of(Why::Bounds), stats.groups_skipped, "{query}: {stats:?}");
    }
    // Columns that are computed leave the others their indexes.
    for query in ["trace:=000000000000002a", "googlebot", "bytes>99990"] {
        let scanned = |pipes: &str| {
            let mut rows = 0;
            let mut request = request(&format!("{query}{pipes}"));
            request.limits.threads = 1;
            let stats = run(&store, &request, &cancel(), &mut |_| {
                rows += 1;
                ControlFlow::Continue(())
            });
            let stats = stats.unwrap();
            (rows, stats.groups_scanned, stats.left_out, stats.damaged)
        };
        assert_eq!(scanned(" | eval z = len(app), app = z | fields path"), scanned(" | fields path"), "{query}");
    }
    for ((query, memory), parts) in QUERIES.iter().zip(&in_memory).zip(&in_parts) {
        assert_eq!(memory, parts, "{query}");
    }
}
