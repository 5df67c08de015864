//! What chains say: fields, order, conditions, lists, time, messages, emissions; versions that outlive a restart.

use super::guests::guest;
use super::{Arena, Config, FilterError, bench, open, plain, records, run};
use crate::sandbox::{ChainRecord, ChainSpec};

const LINE: &[u8] = br#"83.149.9.216 - - [17/May/2015:10:05:03 +0000] "GET /f5.txt HTTP/1.1" 503 2033 "-" "curl/7""#;

#[test]
fn the_chain_of_the_posts() {
    let bench = bench();
    let chain = bench.chain(
        r#"[
            {"filter": "access-log"},
            {"filter": "drop", "when": "request:\"/f5.txt\" -response:503"},
            {"filter": "tag", "when": "response:503", "config": {"add": ["zabbix-sender"]}}
        ]"#,
    );
    let healthy = String::from_utf8_lossy(LINE).replace("503", "200");
    let page = String::from_utf8_lossy(LINE).replace("503", "200").replace("/f5.txt", "/index.html");
    let records = records(&[
        (LINE, &[("host", "web-1"), ("app", "shop"), ("_peer", "10.0.0.7")]),
        (healthy.as_bytes(), &[("host", "web-1")]),
        (page.as_bytes(), &[("host", "web-2")]),
        (b"not a line of any access log", &[("host", "web-2")]),
    ]);
    let said = run(&chain, &records);
    assert!(said[0].starts_with("store @2015-05-17T10:05:03Z message=\"83.149.9.216"), "{}", said[0]);
    for part in ["host=\"web-1\"", "app=\"shop\"", "_peer=\"10.0.0.7\"", "response=503", "bytes=2033", "tags=\"zabbix-sender\""]
    {
        assert!(said[0].contains(part), "{part} is missing in {}", said[0]);
    }
    assert!(said[1].starts_with("drop "), "{}", said[1]);
    assert!(said[2].contains("request=\"/index.html\"") && !said[2].contains("tags="), "{}", said[2]);
    assert!(said[3].contains("not a line"), "{}", said[3]);
}

#[test]
fn what_is_cut_is_never_copied() {
    let bench = bench();
    let chain = bench.chain(r#"[{"filter": "access-log"}]"#);
    let records = plain(&[LINE]);
    let arena = Arena::new();
    let output = chain.run(&records, &arena, &mut crate::sandbox::State::default());
    let within = LINE.as_ptr_range();
    let cells = output.cells_of(&output.verdicts[0]);
    assert!(cells.len() > 6);
    for cell in cells {
        if let crate::base::row::Value::Str(bytes) = cell.value {
            assert!(within.contains(&bytes.as_ptr()), "{} was copied", output.names[cell.name as usize]);
        }
    }
    assert!(arena.is_empty());
}

#[test]
fn topics_without_a_chain_take_lines_and_documents() {
    let bench = bench();
    let record = bench.sandbox.unconfigured().unwrap();
    let chain = bench.sandbox.chain(&record).unwrap();
    let said = run(
        &chain,
        &plain(&[
            b"just a line",
            br#"{"@timestamp": "2015-05-17T10:05:03Z", "msg": "hello", "a": {"b": 7}, "ok": true, "x": [1, 2]}"#,
            br#"{"a": 1}"#,
            b"{broken",
            b"",
        ]),
    );
    assert_eq!(said[0], "store message=\"just a line\"");
    assert!(said[1].starts_with("store @2015-05-17T10:05:03Z"), "{}", said[1]);
    for part in ["message=\"hello\"", "a.b=7", "ok=true"] {
        assert!(said[1].contains(part), "{part} is missing in {}", said[1]);
    }
    assert!(!said[1].contains("msg="), "{}", said[1]);
    assert_eq!(said[2], "store a=1");
    assert_eq!(said[3], "store message=\"{broken\" tags=\"_jsonparsefailure\"");
    assert_eq!(said[4], "store message=\"\"");
}

#[test]
fn headers_are_fields_and_some_mean_more() {
    let bench = bench();
    let chain = bench.chain(r#"[{"filter": "tag", "config": {"add": ["seen"]}}]"#);
    let long: &'static str = Box::leak("n".repeat(300).into_boxed_str());
    let headers: super::Headers = Box::leak(Box::new([(long, "x"), ("", "y"), ("host", "h")]));
    let said = run(
        &chain,
        &records(&[
            (b"<13>raw", &[("message", "the part that people read"), ("app", "cron"), ("app", "again")]),
            (b"timed", &[("_time", "2015-05-17T10:05:03Z")]),
            (b"odd", headers),
        ]),
    );
    assert_eq!(said[0], "store message=\"the part that people read\" app=\"cron\" app=\"again\" tags=\"seen\"");
    assert_eq!(said[1], "store @2015-05-17T10:05:03Z message=\"timed\" tags=\"seen\"");
    assert_eq!(said[2], "store message=\"odd\" host=\"h\" tags=\"seen\"");
}

/// Applies values to record 0: names are `_time`, `message`, `tags`, `a`, `app` (numbers 0 to 4), the arena is `bytes`.
fn setter(values: &[(u32, u32, u64, u32)], consumed: bool) -> String {
    use std::fmt::Write as _;
    let mut body = String::new();
    let count = values.len();
    let _ = write!(body, "(i32.store (i32.const 4096) (i32.const {}))", if consumed { 256 } else { 0 });
    let _ = write!(body, "(i32.store (i32.const 4100) (i32.const {count}))");
    let _ = write!(body, "(i32.store (i32.const 80) (i32.const 8192)) (i32.store (i32.const 84) (i32.const {}))", count * 16);
    for (index, (head, len, value, _)) in values.iter().enumerate() {
        let at = 8192 + index * 16;
        let _ = write!(
            body,
            "(i32.store (i32.const {at}) (i32.const {head})) (i32.store (i32.const {}) (i32.const {len}))",
            at + 4
        );
        let _ = write!(body, "(i64.store (i32.const {}) (i64.const {value}))", at + 8);
    }
    let _ = write!(body, "(i32.store (i32.const 88) (i32.const 32)) (i32.store (i32.const 92) (i32.const 30))");
    let _ = write!(body, "(i32.store (i32.const 112) (i32.const 200)) (i32.store (i32.const 116) (i32.const 5))");
    guest(&body).replacen(
        "(func (export \"alloc\")",
        "(data (i32.const 32) \"\\05\\00_time\\07\\00message\\04\\00tags\\01\\00a\\03\\00app\")
         (data (i32.const 200) \"bytes\") (func (export \"alloc\")",
        1,
    )
}

#[test]
fn operations_mean_what_the_frame_says() {
    let bench = bench();
    let (set, add, remove, add_new) = (0u32, 1 << 28, 2 << 28, 3 << 28);
    let (none, string, int, truth) = (0u32, 1 << 24, 2 << 24, 4 << 24);
    let arena = 1u64;
    let cases = [
        (vec![(set | int | 3, 0, 7, 0)], false, "store message=\"line\" app=\"cron\" app=\"at\" a=7"),
        (vec![(set | string | 3, 5, arena, 0)], false, "store message=\"line\" app=\"cron\" app=\"at\" a=\"bytes\""),
        (vec![(set | string | 4, 5, arena, 0)], false, "store message=\"line\" app=\"bytes\""),
        (vec![(add | string | 4, 5, arena, 0)], false, "store message=\"line\" app=\"cron\" app=\"at\" app=\"bytes\""),
        (vec![(remove | none | 4, 0, 0, 0)], false, "store message=\"line\""),
        (vec![(remove | none | 4, 0, 0, 0), (add | truth | 4, 0, 1, 0)], false, "store message=\"line\" app=true"),
        (vec![(add_new | string | 2, 5, arena, 0); 2], false, "store message=\"line\" app=\"cron\" app=\"at\" tags=\"bytes\""),
        (
            vec![(add | string | 2, 5, arena, 0); 2],
            false,
            "store message=\"line\" app=\"cron\" app=\"at\" tags=\"bytes\" tags=\"bytes\"",
        ),
        (vec![(set | string | 1, 5, arena, 0)], false, "store message=\"bytes\" app=\"cron\" app=\"at\""),
        (vec![(add | string | 1, 5, arena, 0)], false, "store message=\"bytes\" app=\"cron\" app=\"at\""),
        (vec![(set | string | 1, 5, arena, 0)], true, "store app=\"cron\" app=\"at\" message=\"bytes\""),
        (vec![(remove | none | 1, 0, 0, 0)], false, "store app=\"cron\" app=\"at\""),
        (vec![], true, "store app=\"cron\" app=\"at\""),
        (vec![(set | int, 0, 0, 0)], false, "store @1970-01-01T00:00:00Z message=\"line\" app=\"cron\" app=\"at\""),
        (vec![(set | string | 3, 4, 0, 0)], false, "store message=\"line\" app=\"cron\" app=\"at\" a=\"line\""),
        (vec![(set | string | 3, 2, 1 << 32, 0)], false, "store message=\"line\" app=\"cron\" app=\"at\" a=\"in\""),
    ];
    for (index, (values, consumed, expected)) in cases.iter().enumerate() {
        let name = format!("setter-{index}");
        bench.put(&name, &setter(values, *consumed));
        let chain = bench.chain(&format!(r#"[{{"filter": "{name}"}}]"#));
        let said = run(&chain, &records(&[(b"line", &[("app", "cron"), ("app", "at")])]));
        assert_eq!(said, [*expected], "case {index}");
    }
}

#[test]
fn a_condition_sees_what_filters_before_it_set() {
    let bench = bench();
    let chain = bench.chain(
        r#"[
            {"filter": "tag", "when": "red", "config": {"add": ["colour"]}},
            {"filter": "tag", "when": "tags:colour and app:shop", "config": {"add": ["both"]}},
            {"filter": "drop", "when": "-tags:*"}
        ]"#,
    );
    let said = run(&chain, &records(&[(b"red light", &[("app", "shop")]), (b"red", &[]), (b"green", &[("app", "shop")])]));
    assert_eq!(said[0], "store message=\"red light\" app=\"shop\" tags=\"colour\" tags=\"both\"");
    assert_eq!(said[1], "store message=\"red\" tags=\"colour\"");
    assert!(said[2].starts_with("drop"), "{}", said[2]);
}

#[test]
fn too_many_fields_are_left_out_and_said() {
    let bench = bench();
    let record = bench.sandbox.unconfigured().unwrap();
    let chain = bench.sandbox.chain(&record).unwrap();
    let many: Vec<String> = (0..3000).map(|index| format!("\"f{index}\": {index}")).collect();
    let document = format!("{{{}}}", many.join(","));
    let headers: super::Headers = Vec::leak((0..100).map(|index| (&*String::leak(format!("header-{index}")), "x")).collect());
    let records = records(&[(document.as_bytes(), headers), (b"{\"a\": 1}", &[])]);
    let arena = Arena::new();
    let output = chain.run(&records, &arena, &mut crate::sandbox::State::default());
    assert!(output.cells_of(&output.verdicts[0]).len() <= crate::base::limits::FIELDS + 1);
    let said = super::line(&output, 0);
    assert!(said.contains(super::TAG_LEFT_OUT), "{} cells: {said}", output.cells_of(&output.verdicts[0]).len());
    assert_eq!(super::line(&output, 1), "store a=1");
    // Names of data do not pile up from batch to batch.
    let output = chain.run(&records, &arena, &mut crate::sandbox::State::default());
    assert!(output.names.len() < 3100, "{}", output.names.len());
}

#[test]
fn chains_are_refused_with_the_place() {
    let bench = bench();
    for (spec, expected) in [
        (
            r#"[{"filter": "nope"}]"#,
            "there is no filter `nope`; there is: access-log, csv, date, dedup, dissect, dns, drop, geoip, grok, json, kv, multiline",
        ),
        (r#"[{"filter": "tag", "config": {"colour": 1}}]"#, "filter 1 of the chain, `tag`: `colour` is unknown"),
        (
            r#"[{"filter": "drop"}, {"filter": "drop", "when": "a:("}]"#,
            "filter 2 of the chain, `drop`: its `when` is wrong at byte",
        ),
    ] {
        let why = bench.refused(spec);
        assert!(why.contains(expected), "{why}\nshould say: {expected}");
    }
    assert!(serde_json::from_str::<ChainSpec>(r#"[{"filter": "drop", "wen": "x"}]"#).is_err());
}

#[test]
#[allow(clippy::disallowed_methods)]
fn a_chain_outlives_restarts_and_new_versions() {
    let bench = bench();
    let path = bench.directory.path();
    let spec: ChainSpec = serde_json::from_str(r#"[{"filter": "mine"}]"#).unwrap();
    let int = |value: u64| setter(&[((2 << 24) | 3, 0, value, 0)], false);
    bench.put("mine", &int(1));
    let first = bench.sandbox.resolve(&spec).unwrap();
    bench.put("mine", &int(2));
    let second = bench.sandbox.resolve(&spec).unwrap();
    assert_ne!(first, second);
    let bytes = serde_json::to_vec(&first).unwrap();

    let again = open(path, Config::default());
    assert_eq!(again.filters(), bench.sandbox.filters());
    assert_eq!(again.resolve(&spec).unwrap(), second);
    let first: ChainRecord = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(run(&again.chain(&first).unwrap(), &plain(&[b"x"])), ["store message=\"x\" a=1"]);
    assert_eq!(run(&again.chain(&second).unwrap(), &plain(&[b"x"])), ["store message=\"x\" a=2"]);

    // A module that the disk lost, or changed, is missing; it is never run.
    let module = path.join(format!("sandbox/modules/{}.wasm", second.entries[0].sha256));
    let mut bytes = std::fs::read(&module).unwrap();
    bytes[200] ^= 1;
    std::fs::write(&module, bytes).unwrap();
    let damaged = open(path, Config::default());
    assert!(matches!(damaged.chain(&second), Err(FilterError::Missing(why)) if why.contains("damaged")));
    assert!(damaged.chain(&first).is_ok());
    std::fs::remove_file(&module).unwrap();
    let lost = open(path, Config::default());
    assert!(matches!(lost.chain(&second), Err(FilterError::Missing(_))));
    assert!(lost.filters().iter().all(|filter| filter.name != "mine"));
}

#[test]
fn stock_filters_are_steady_and_report_what_they_read() {
    let bench = bench();
    let config = |text: &str| serde_json::from_str::<serde_json::Map<_, _>>(text).unwrap();
    let payloads: Vec<Vec<u8>> = (0..60)
        .map(|index| match index % 4 {
            0 => LINE.to_vec(),
            1 => format!("{{\"a{index}\": {index}, \"msg\": \"x\\ny\"}}").into_bytes(),
            2 => format!("line {index}").into_bytes(),
            _ => Vec::new(),
        })
        .collect();
    let payloads: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
    let records = plain(&payloads);
    for (name, text) in [
        ("access-log", "{}"),
        ("json", "{}"),
        ("drop", "{}"),
        ("tag", r#"{"add": ["x"]}"#),
        ("grok", r#"{"match": {"message": "%{IP:client} %{GREEDYDATA:rest}"}}"#),
    ] {
        let wasm = &crate::sandbox::stock::module(name).unwrap();
        let report = bench.sandbox.check_with(wasm, &config(text)).unwrap();
        assert_eq!(report.refuses_config, None, "{name}");
        assert_eq!(report.bytes, wasm.len());
        bench.sandbox.check_steady(wasm, &config(text), &records).unwrap();
    }
    let report = bench.sandbox.check_with(&crate::sandbox::stock::module("dissect").unwrap(), &config(r#"{"no": 1}"#)).unwrap();
    assert!(report.refuses_config.unwrap().contains("`no` is unknown"));
}

#[test]
fn a_filter_that_remembers_is_not_steady() {
    let bench = bench();
    // Counts its calls and drops everything from the second one on.
    let counting = guest(
        "(i32.store (i32.const 256) (i32.add (i32.load (i32.const 256)) (i32.const 1)))
         (if (i32.gt_u (i32.load (i32.const 256)) (i32.const 1)) (then (i32.store8 (i32.const 4096) (i32.const 1))))",
    );
    let wasm = wat::parse_str(counting).unwrap();
    let records = plain(&[b"a", b"b", b"c"]);
    let why = bench.sandbox.check_steady(&wasm, &serde_json::Map::new(), &records).unwrap_err().to_string();
    assert!(why.contains("is not steady: of record 0"), "{why}");
    // Keeps the first offset it ever saw, and drops a record if that is not 100: in its life it always says the same, and only
    // one that was started later says something else.
    let keeping = guest(
        "(if (i64.eqz (i64.load (i32.const 256))) (then (i64.store (i32.const 256) (i64.load offset=24 (local.get $at)))))
         (if (i64.ne (i64.load (i32.const 256)) (i64.const 100)) (then (i32.store8 (i32.const 4096) (i32.const 1))))",
    );
    let wasm = wat::parse_str(keeping).unwrap();
    let why = bench.sandbox.check_steady(&wasm, &serde_json::Map::new(), &records).unwrap_err().to_string();
    assert!(why.contains("of record 1 it says store") && why.contains("each in a fresh instance"), "{why}");
    let steady = wat::parse_str(guest("")).unwrap();
    bench.sandbox.check_steady(&steady, &serde_json::Map::new(), &records).unwrap();
}

#[test]
fn a_large_record_has_the_fuel_it_needs() {
    let bench = super::bench_with(Config::default());
    let record = bench.sandbox.unconfigured().unwrap();
    let chain = bench.sandbox.chain(&record).unwrap();
    let document = format!("{{\"a\": \"{}\", \"message\": \"m\"}}", "x\\n".repeat(300_000));
    let said = run(&chain, &plain(&[document.as_bytes()]));
    assert!(said[0].contains("message=\"m\""), "{}", &said[0][..200.min(said[0].len())]);
}

#[test]
fn lanes_share_a_chain() {
    fn shared<T: Send + Sync>(_: &T) {}
    let bench = bench();
    let chain =
        bench.chain(r#"[{"filter": "access-log"}, {"filter": "tag", "when": "response:503", "config": {"add": ["x"]}}]"#);
    shared(&chain);
    shared(&bench.sandbox);
    let expected = run(&chain, &plain(&[LINE, b"other"]));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let records = plain(&[LINE, b"other"]);
                for _ in 0..50 {
                    assert_eq!(run(&chain, &records), expected);
                }
            });
        }
    });
    // Started once to see whether it can be, then as often as lanes ran at once.
    let counters = bench.sandbox.counters();
    assert!(counters.iter().all(|counters| counters.starts <= 4), "{counters:?}");
    assert_eq!(counters.iter().find(|counters| counters.filter == "access-log").unwrap().records, 2 + 4 * 50 * 2);
}
