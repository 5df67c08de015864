//! What the boundary costs, in processor time of this thread (Linux).
//!
//! `SAWBOX_MEASURE=1 cargo test --release --lib sandbox::tests::measure -- --nocapture`; without the variable it only shows that
//! every chain runs.
#![allow(clippy::disallowed_methods)]

use super::guests::guest;
use super::{Arena, Config, bench_with, records};

const LINE: &str = r#"83.149.9.216 - - [17/May/2015:10:05:03 +0000] "GET /presentations/logstash-monitorama-2013/images/kibana-search.png HTTP/1.1" 200 203023 "http://semicomplete.com/presentations/logstash-monitorama-2013/" "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_9_1) AppleWebKit/537.36""#;

#[test]
fn nanoseconds_a_record() {
    let measures = std::env::var_os("SAWBOX_MEASURE").is_some();
    let bench = bench_with(Config::default());
    bench.put("nothing", &guest(""));
    let lines: Vec<String> = (0..1024).map(|index| LINE.replace("203023", &format!("{}", 1000 + index))).collect();
    let all: Vec<(&[u8], super::Headers)> = lines
        .iter()
        .map(|line| {
            (
                line.as_bytes(),
                &[("_peer", "10.0.0.1"), ("_receiver", "lumberjack"), ("host", "web-1"), ("app", "shop")] as super::Headers,
            )
        })
        .collect();
    for (what, spec) in [
        ("no filter", "[]"),
        ("a guest that does nothing", r#"[{"filter": "nothing"}]"#),
        ("access-log", r#"[{"filter": "access-log"}]"#),
        (
            "access-log, drop and tag with conditions",
            r#"[{"filter": "access-log"}, {"filter": "drop", "when": "request:\"/f5.txt\""},
                {"filter": "tag", "when": "response:503", "config": {"add": ["zabbix-sender"]}}]"#,
        ),
        ("json, on lines that are none", r#"[{"filter": "json"}]"#),
        ("grok", r#"[{"filter": "grok", "config": {"match": {"message": "%{COMBINEDAPACHELOG}"}}}]"#),
    ] {
        let chain = bench.chain(spec);
        for size in [1, 64, 1024] {
            let records = records(&all[..size]);
            let mut arena = Arena::new();
            let rounds = (if measures { 200_000 } else { 2_048 } / if spec.contains("grok") { 10 } else { 1 } / size).max(1);
            let mut fuel = 0;
            let mut best = f64::MAX;
            for _ in 0..if measures { 5 } else { 1 } {
                let start = on_cpu_ns();
                for _ in 0..rounds {
                    let output = chain.run(&records, &arena, &mut crate::sandbox::State::default());
                    fuel = output.stats.fuel / size as u64;
                    assert_eq!(output.stats.traps, 0);
                    drop(output);
                    arena.reset();
                }
                best = best.min((on_cpu_ns() - start) as f64 / (rounds * size) as f64);
            }
            println!("{what}, batches of {size}: {best:.0} ns of CPU and {fuel} fuel a record of {} bytes", LINE.len());
        }
    }
}

/// Time that this thread has run, nanoseconds: other load on the machine does not count.
fn on_cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}
