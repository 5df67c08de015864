//! Filters swapped and misbehaving while records flow through real threads.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sawbox::relay::config::{Quarantine, Then};
use sawbox::relay::{Config, TopicConfig};
use sawbox::sandbox::ChainSpec;

use crate::lineage_model::visible;
use crate::relay_box::{Houses, eventually, spec};

#[test]
fn a_hundred_swaps_under_load_lose_and_double_nothing() {
    let web = TopicConfig { partitions: Some(2), chain: Some(spec("mark-a")), ..TopicConfig::default() };
    let houses = Houses::start(Config { topics: [("web".to_owned(), web)].into(), workers: 2, ..Config::default() });
    let (stop, appended) = (AtomicBool::new(false), [AtomicU64::new(0), AtomicU64::new(0)]);
    std::thread::scope(|threads| {
        for partition in 0..2u32 {
            let (houses, stop, appended) = (&houses, &stop, &appended);
            threads.spawn(move || {
                while !stop.load(Ordering::SeqCst) {
                    let lines: Vec<String> = (0..50).map(|n| format!("x line {n}")).collect();
                    let next = houses.append("web", partition, &lines);
                    appended[partition as usize].store(next, Ordering::SeqCst);
                }
            });
        }
        for swap in 0..100 {
            let generation =
                houses.relay.promote("web", spec(if swap % 2 == 0 { "mark-b" } else { "mark-a" })).expect("a good chain");
            assert_eq!(generation, swap + 2, "the configured chain was the first");
            std::thread::sleep(Duration::from_millis(2));
        }
        stop.store(true, Ordering::SeqCst);
    });
    houses.handled("web");
    let topic = houses.queue.topic("web").expect("configured").id();
    let generations = houses.store.generations(topic);
    let rows = visible(&houses.store).expect("each once");
    let mut used = BTreeMap::new();
    for partition in 0..2u32 {
        let end = appended[partition as usize].load(Ordering::SeqCst);
        assert!(end > 0);
        for offset in 0..end {
            let (generation, mark, _) = rows.get(&("web".to_owned(), partition, offset)).expect("a row of every record");
            let expected = generations.iter().rev().find(|entry| entry.from.get(&partition).copied().unwrap_or(0) <= offset);
            assert_eq!(Some(*generation), expected.map(|entry| entry.generation), "{partition}@{offset}");
            assert_eq!(mark, if generation % 2 == 1 { "a" } else { "b" }, "made by the filter of its generation");
            *used.entry(*generation).or_insert(0) += 1;
        }
    }
    assert_eq!(rows.len() as u64, appended[0].load(Ordering::SeqCst) + appended[1].load(Ordering::SeqCst));
    assert!(used.len() > 10, "the load ran through many generations: {used:?}");
    houses.stop();
}

#[test]
fn a_bad_chain_is_refused_and_the_running_one_stays() {
    let houses = Houses::start(Config::default());
    houses.append("web", 0, &["x one"]);
    houses.handled("web");
    let error = houses.relay.promote("web", spec("nowhere")).expect_err("no such filter");
    assert!(error.to_string().contains("nowhere"), "{error}");
    assert!(houses.relay.promote("nothing", spec("mark-a")).is_err(), "no such topic");
    houses.append("web", 0, &["x two"]);
    houses.handled("web");
    let rows = visible(&houses.store).expect("each once");
    assert_eq!(rows.get(&("web".to_owned(), 0, 1)).map(|row| (row.0, row.1.as_str())), Some((1, "a")));
    // A filter that is replaced in the catalog opens a generation in the chains that name it, and only there.
    houses.sandbox.put("mark-a", &crate::relay_guest::wasm('z')).expect("a good module");
    assert_eq!(houses.relay.filter_replaced("mark-a"), [("web".to_owned(), 2)]);
    assert_eq!(houses.relay.filter_replaced("mark-a"), [], "nothing changed since");
    houses.append("web", 0, &["x three"]);
    houses.handled("web");
    let rows = visible(&houses.store).expect("each once");
    assert_eq!(rows.get(&("web".to_owned(), 0, 2)).map(|row| (row.0, row.1.as_str())), Some((2, "z")));
    houses.stop();
}

#[test]
fn traps_and_loops_harm_their_own_records_only() {
    let houses = Houses::start(Config::default());
    houses.append("other", 0, &["{\"message\":\"fine\"}"]);
    houses.append("web", 0, &["x one", "t trap", "x two", "l loop", "f fail", "e emit", "d drop", "x three"]);
    houses.append("other", 0, &["{\"message\":\"fine too\"}"]);
    houses.handled("web");
    houses.handled("other");
    eventually("dead letters", || houses.queue.topic("_dead.web").is_some());
    houses.handled("_dead.web");
    let dead = houses.records("_dead.web");
    assert_eq!(dead.iter().map(|(payload, _)| payload.as_str()).collect::<Vec<_>>(), ["t trap", "l loop", "f fail"]);
    for (payload, headers) in &dead {
        let header = |name: &str| headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
        assert_eq!(
            (header("_filter"), header("_origin_generation"), header("host")),
            (Some("mark-a"), Some("1"), Some("web1"))
        );
        assert!(header("_reason").is_some_and(|reason| !reason.is_empty()), "{payload}: {headers:?}");
        assert!(header("_origin").is_some_and(|origin| origin.contains("/0@")), "{headers:?}");
    }
    let rows = visible(&houses.store).expect("each once");
    let count = |topic: &str| rows.keys().filter(|(name, _, _)| name == topic).count();
    assert_eq!((count("web"), count("other"), count("_dead.web")), (4, 2, 3), "dead letters are searchable");
    let lane = houses.lane("web", 0).expect("a lane");
    assert_eq!((lane.records, lane.stored, lane.dropped, lane.failed), (8, 4, 1, 3));
    houses.handled("side");
    assert_eq!(houses.records("side").len(), 1);
    houses.stop();
}

#[test]
fn a_filter_that_keeps_failing_is_quarantined() {
    let quarantine = |then| Config { quarantine: Quarantine { traps: 5, of: 10, then }, ..Config::default() };
    let bad: Vec<String> = (0..20).map(|n| format!("f {n}")).collect();

    let houses = Houses::start(quarantine(Then::Pass));
    houses.append("web", 0, &bad);
    eventually("the default chain takes over", || {
        houses.relay.chains().iter().any(|c| &*c.topic == "web" && c.generation == 2)
    });
    houses.append("web", 0, &bad);
    houses.handled("web");
    let lane = houses.lane("web", 0).expect("a lane");
    assert_eq!((lane.failed, lane.stored), (20, 20), "what came after passed as it is");
    assert!(houses.relay.quarantines() >= 1);
    houses.stop();

    let houses = Houses::start(quarantine(Then::Hold));
    houses.append("web", 0, &bad);
    houses.append("web", 0, &["x later"]);
    eventually("the lane holds", || houses.lane("web", 0).is_some_and(|lane| lane.state == "held" || lane.lag_records == 0));
    houses.append("web", 0, &["x later still"]);
    std::thread::sleep(Duration::from_millis(50));
    assert!(houses.lane("web", 0).is_some_and(|lane| lane.lag_records > 0), "held");
    houses.append("other", 0, &["fine"]);
    houses.handled("other");
    houses.relay.promote("web", spec("mark-b")).expect("a good chain");
    houses.handled("web");
    houses.stop();
}

#[test]
fn many_topics_share_two_threads_and_wake_at_once() {
    let houses = Houses::start(Config { workers: 2, ..Config::default() });
    for n in 0..200 {
        houses.queue.ensure_topic(&format!("t{n}")).expect("room");
    }
    let begin = Instant::now();
    for n in 0..200 {
        houses.append(&format!("t{n}"), 0, &["hello"]);
    }
    for n in 0..200 {
        houses.handled(&format!("t{n}"));
    }
    assert!(begin.elapsed() < Duration::from_secs(15));
    assert_eq!(houses.relay.lanes().iter().filter(|lane| lane.stored == 1).count(), 200);
    houses.stop();
}

/// Each of two chains may be promoted alone; with the other there they would send records round, whoever is first.
#[test]
fn routes_in_a_circle_are_refused_however_they_are_promoted() {
    let houses = Houses::start(Config::default());
    let route = |to: &str| -> ChainSpec {
        serde_json::from_value(serde_json::json!([{ "filter": "route", "config": { "to": to } }])).expect("spec")
    };
    for topic in ["a", "b"] {
        houses.append(topic, 0, &["x"]);
        houses.handled(topic);
    }
    for _ in 0..5 {
        let both = std::thread::scope(|scope| {
            let one = scope.spawn(|| houses.relay.promote("a", route("b")));
            let other = scope.spawn(|| houses.relay.promote("b", route("a")));
            [one.join().expect("no panic"), other.join().expect("no panic")]
        });
        let refused: Vec<String> = both.iter().filter_map(|made| made.as_ref().err().map(ToString::to_string)).collect();
        assert_eq!(refused.len(), 1, "{both:?}");
        assert!(refused[0].contains("a → b → a") || refused[0].contains("b → a → b"), "{refused:?}");
        for topic in ["a", "b"] {
            houses.relay.promote(topic, serde_json::from_str("[]").expect("spec")).expect("an empty chain");
        }
    }
    houses.stop();
}
