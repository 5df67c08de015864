//! Stock filters that remember, through the sandbox: what they say must not depend on how calls are cut, nor on which instance
//! is asked, and what waits must come back once.

use super::{Bench, bench_with, line, plain};
use crate::sandbox::{Arena, Chain, Config, FilterError, State};

/// A second after another.
const SECOND: i64 = 1_000_000_000;
const START: i64 = 1_700_000_000_000_000_000;

fn bench() -> Bench {
    bench_with(Config::default())
}

/// Runs batches of records, one a second, with what expires before each; a line for every verdict.
fn run_all(chain: &Chain, batches: &[Vec<&[u8]>], state: &mut State) -> Vec<String> {
    let mut said = Vec::new();
    let mut offset = 0;
    for (number, batch) in (0i64..).zip(batches) {
        let arena = Arena::new();
        let mut records = plain(batch);
        for record in &mut records.records {
            record.offset = offset;
            record.arrival_ns = START + number * SECOND;
            offset += 1;
        }
        expire(chain, START + number * SECOND, state, &mut said);
        let output = chain.run(&records, &arena, state);
        let at = |index: usize| output.verdicts[index].joined.map_or(String::new(), |joined| format!("@{} ", joined.offset));
        said.extend((0..output.verdicts.len()).map(|index| format!("{}{}", at(index), line(&output, index))));
    }
    said
}

fn expire(chain: &Chain, now_ns: i64, state: &mut State, said: &mut Vec<String>) {
    let arena = Arena::new();
    while let Some(expired) = chain.expire(now_ns, &arena, state) {
        for (index, record) in expired.records.records.iter().enumerate() {
            said.push(format!("#{} @{} {}", expired.first + index as u64, record.offset, line(&expired.output, index)));
        }
    }
}

#[test]
fn multiline_gives_rows_when_the_next_event_begins_and_when_it_has_waited() {
    let bench = bench();
    let chain = bench.chain(r#"[{"filter": "multiline", "config": {"continues": "^\\s", "timeout": 3, "tag": ""}}]"#);
    let mut state = State::default();
    let batches: [Vec<&[u8]>; 6] = [vec![b"a", b" 1"], vec![b" 2", b"b"], vec![], vec![], vec![b" 3"], vec![b"c"]];
    // The batch that comes three seconds after `b` comes too late for it.
    let mut said = run_all(&chain, &batches, &mut state);
    expire(&chain, i64::MAX, &mut state, &mut said);
    let first = "2023-11-14T22:13:20Z";
    assert_eq!(
        said,
        [
            "hold".to_owned(),
            "hold".to_owned(),
            "hold".to_owned(),
            format!("@2 store @{first} message=\"a\\n 1\\n 2\" multiline.lines=3 multiline.first_offset=0"),
            "#0 @3 store @2023-11-14T22:13:21Z message=\"b\"".to_owned(),
            "hold".to_owned(),
            "@4 store @2023-11-14T22:13:24Z message=\" 3\"".to_owned(),
            "#1 @5 store @2023-11-14T22:13:25Z message=\"c\"".to_owned(),
        ]
    );
    assert_eq!(state.next_deadline(), None);
}

#[test]
fn what_comes_after_multiline_sees_the_whole_event() {
    let bench = bench();
    let chain = bench.chain(
        r#"[{"filter": "multiline", "config": {"ends": "\\}$", "tag": ""}},
            {"filter": "json", "config": {}},
            {"filter": "tag", "when": "a:1", "config": {"add": ["one"]}},
            {"filter": "drop", "when": "a:2"}]"#,
    );
    let lines: Vec<&[u8]> = vec![b"{\"a\":", b"1}", b"{\"a\":2}", b"{\"a\":3", b"}"];
    let said = run_all(&chain, &[lines], &mut State::default());
    let expected = ["hold", "a=1", "drop", "hold", "a=3"];
    for (said, expected) in said.iter().zip(expected) {
        assert!(said.contains(expected), "{said}");
    }
    assert!(said[1].contains("tags=\"one\"") && !said[1].contains("message="), "{}", said[1]);
}

#[test]
fn two_filters_that_wait_come_one_after_the_other() {
    let bench = bench();
    let chain = bench.chain(
        r#"[{"filter": "multiline", "config": {"continues": "^\\s", "timeout": 2}},
            {"filter": "multiline", "config": {"continues": "^b", "timeout": 2}}]"#,
    );
    let mut state = State::default();
    let mut said = run_all(&chain, &[vec![b"a", b" 1", b"b", b" 2"]], &mut state);
    // Now or by the clock: the first gives its last event two seconds on, the second what it has two seconds after that.
    let mut by_steps = state.clone();
    let mut steps = said.clone();
    for now in [START + 2 * SECOND, START + 3 * SECOND, START + 4 * SECOND] {
        expire(&chain, now, &mut by_steps, &mut steps);
    }
    expire(&chain, START + 4 * SECOND, &mut state, &mut said);
    assert_eq!(steps, said);
    let last = said.last().unwrap();
    assert!(last.starts_with("#1 @3 ") && last.contains("\"a\\n 1\\nb\\n 2\""), "{said:#?}");
}

#[test]
fn stateful_filters_are_steady() {
    let bench = bench();
    let mut lines: Vec<Vec<u8>> = Vec::new();
    for number in 0..1500u32 {
        let text = match number % 7 {
            0 | 4 => format!("event {}", number / 40),
            3 => "  at same".to_owned(),
            _ => format!("  at {number}"),
        };
        lines.push(text.into_bytes());
    }
    let lines: Vec<&[u8]> = lines.iter().map(Vec::as_slice).collect();
    let records = plain(&lines);
    for (filter, config) in [
        ("multiline", r#"{"preset": "indent"}"#),
        ("multiline", r#"{"ends": "\\d$", "max_lines": 3}"#),
        ("throttle", r#"{"key": [], "after_count": 100, "before_count": 3}"#),
        ("dedup", r#"{"window": 5}"#),
        ("dedup", r#"{"then": "tag", "count_field": "n", "extend": true}"#),
        ("dedup", r#"{"summary": true}"#),
    ] {
        let wasm = stock(filter);
        let config = serde_json::from_str(config).unwrap();
        bench.sandbox.check_steady(&wasm, &config, &records).unwrap_or_else(|error: FilterError| panic!("{filter}: {error}"));
    }
}

fn stock(name: &str) -> Vec<u8> {
    crate::sandbox::stock::module(name).unwrap()
}

#[test]
fn a_full_state_loses_no_line() {
    let bench = bench_with(Config { state: crate::base::units::Bytes(4096), ..Config::default() });
    let chain = bench.chain(r#"[{"filter": "multiline", "config": {"continues": "^\\s"}}]"#);
    let long = vec![b' '; 1500];
    let lines: Vec<&[u8]> = vec![b"a", &long, &long, &long, b"b", b"c"];
    let mut state = State::default();
    let mut said = run_all(&chain, std::slice::from_ref(&lines), &mut state);
    expire(&chain, i64::MAX, &mut state, &mut said);
    let text = said.join("\n");
    assert!(text.contains("_multiline_state_full"), "{text}");
    let spaces = text.matches(' ').count();
    assert!(spaces >= 4500, "{spaces} of 4500 blanks are left");
    assert!(["\"a", "\"b\"", "\"c\""].iter().all(|line| text.contains(line)), "{text}");
}

#[test]
fn state_belongs_to_the_filter_its_place_and_its_schema() {
    let bench = bench();
    let throttle = r#"{"filter": "throttle", "config": {"key": [], "after_count": 1}}"#;
    let one = bench.chain(&format!("[{throttle}]"));
    let with_others = bench.chain(&format!(r#"[{{"filter": "tag", "config": {{"add": ["x"]}}}}, {throttle}, {throttle}]"#));
    let without = bench.chain(r#"[{"filter": "tag", "config": {"add": ["x"]}}]"#);
    let batch: [Vec<&[u8]>; 1] = [vec![b"1"]];
    let mut state = State::default();
    one.adopt(&mut state, 1);
    assert!(!run_all(&one, &batch, &mut state)[0].contains("throttled"));
    // A filter before it changes nothing; a second of the same name counts for itself.
    let mut copy = state.clone();
    with_others.adopt(&mut copy, 2);
    assert!(run_all(&with_others, &batch, &mut copy)[0].contains("throttled"));
    without.adopt(&mut state, 2);
    assert_eq!(state.generation(), Some(2));
    one.adopt(&mut state, 3);
    assert!(!run_all(&one, &batch, &mut state)[0].contains("throttled"), "it was forgotten meanwhile");
}
