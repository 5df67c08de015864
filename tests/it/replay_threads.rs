//! Replays with their threads: beside live traffic, paused, cancelled, and through filters that remember.

use std::collections::{BTreeMap, BTreeSet};

use sawbox::base::ids::{Generation, Offset, PartitionId};
use sawbox::relay::{Config, Range, ReplayChain, ReplayRequest, ReplayState, ReplayStatus, TopicConfig, Which};
use sawbox::sandbox::ChainSpec;

use crate::lineage_model::visible;
use crate::relay_box::{Houses, eventually, spec};

fn all() -> ReplayRequest {
    ReplayRequest { which: Which::All, partitions: None, chain: ReplayChain::Newest, throttle: None }
}

/// Of each row of `web`: generation, mark, message.
fn rows(houses: &Houses) -> BTreeMap<(PartitionId, Offset), (Generation, String, String)> {
    let rows = visible(&houses.store).expect("each once").into_iter().filter(|((topic, ..), _)| topic == "web");
    rows.map(|((_, partition, offset), (generation, mark, message))| {
        ((partition, offset), (generation, mark, String::from_utf8(message).expect("text")))
    })
    .collect()
}

fn over(houses: &Houses, id: u64) -> ReplayStatus {
    eventually("the replay is over", || !houses.relay.replay_status(id).expect("known").state.is_open());
    houses.relay.replay_status(id).expect("known")
}

#[test]
fn history_is_parsed_again_while_records_come() {
    let web = TopicConfig { partitions: Some(2), chain: Some(spec("mark-a")), ..TopicConfig::default() };
    let houses = Houses::start(Config { topics: [("web".into(), web)].into(), replay_piece: 500, ..Config::default() });
    let batch =
        |from: usize| (from..from + 500).map(|n| format!("{} {n}", if n % 50 == 0 { 'e' } else { 'x' })).collect::<Vec<_>>();
    for n in 0..8 {
        houses.append("web", n % 2, &batch(n as usize * 500));
    }
    houses.handled("web");
    houses.relay.promote("web", spec("mark-b")).expect("holds");
    let status = houses.relay.replay("web", &all()).expect("there is something");
    assert_eq!((status.state, status.offsets), (ReplayState::Running, 4000));
    for n in 8..16 {
        houses.append("web", n % 2, &batch(n as usize * 500));
    }
    let done = over(&houses, status.id);
    houses.handled("web");
    assert_eq!((done.state, done.stored, done.records, done.percent), (ReplayState::Done, 4000, 4000, 100.0), "{done:?}");
    let seen = rows(&houses);
    assert_eq!(seen.len(), 8000);
    assert!(seen.values().all(|(_, mark, _)| mark == "b"), "{:?}", seen.iter().find(|(_, (_, mark, _))| mark != "b"));
    let replayed = seen.values().filter(|(generation, ..)| *generation == done.generation).count();
    assert_eq!(replayed, 4000);
    eventually("all emissions", || houses.records("side").len() == 160);

    // What this chain made already is not made again.
    let again = houses.relay.replay("web", &all()).expect_err("nothing to do").to_string();
    assert!(again.contains("handled by the same chain already"), "{again}");

    // Back, of a part: the others stay.
    let chain = ReplayChain::Generation(houses.store.generations(houses.queue.topic("web").unwrap().id())[0].generation);
    let part = Range { partition: 1, first: 100, end: 300 };
    let request = ReplayRequest { which: Which::Offsets(vec![part]), chain, ..all() };
    let plan = houses.relay.plan_replay("web", &request).expect("plan");
    assert_eq!((plan.ranges.as_slice(), plan.records), (&[part][..], 200));
    let id = houses.relay.replay("web", &request).expect("begins").id;
    assert_eq!(over(&houses, id).state, ReplayState::Done);
    let seen = rows(&houses);
    assert_eq!(seen.len(), 8000);
    for ((partition, offset), (_, mark, _)) in &seen {
        let wanted = if *partition == 1 && (100..300).contains(offset) { "a" } else { "b" };
        assert_eq!(mark, wanted, "{partition}@{offset}");
    }

    // A throttled one is paused, and ended: nothing has changed, nothing is left.
    let slow = ReplayRequest { chain: ReplayChain::Given(spec("mark-a")), throttle: Some(1000), ..all() };
    let id = houses.relay.replay("web", &slow).expect("begins").id;
    let refused = houses.relay.replay("web", &ReplayRequest { chain: ReplayChain::Given(spec("mark-a")), ..all() });
    assert!(refused.expect_err("one at a time").to_string().contains("is at the same records"));
    assert_eq!(houses.relay.set_replay(id, ReplayState::Paused).expect("paused").state, ReplayState::Paused);
    assert_eq!(houses.relay.set_replay(id, ReplayState::Running).expect("goes on").state, ReplayState::Running);
    assert_eq!(houses.relay.set_replay(id, ReplayState::Cancelled).expect("ends").state, ReplayState::Cancelled);
    assert!(houses.relay.set_replay(id, ReplayState::Running).is_err(), "over is over");
    assert_eq!(rows(&houses), seen);
    let web = houses.queue.topic("web").unwrap().id();
    assert_eq!(houses.store.staged(web, id), (0, 0));

    // Deleted rows do not come back; a roll back is a promotion.
    houses.relay.delete_rows("web", &[Range { partition: 0, first: 0, end: 10 }]).expect("deleted");
    assert_eq!(rows(&houses).len(), 7990);
    let beyond = houses.relay.delete_rows("web", &[Range { partition: 0, first: 0, end: 1 << 40 }]).expect_err("not there");
    assert!(beyond.to_string().contains("ends at offset 4000"), "{beyond}");
    let generation = houses.relay.roll_back("web", 1).expect("there is one");
    assert!(generation > id as u32);
    let id = houses.relay.replay("web", &all()).expect("begins").id;
    let done = over(&houses, id);
    assert_eq!((done.state, done.deleted), (ReplayState::Done, 10), "{done:?}");
    let seen = rows(&houses);
    assert_eq!((seen.len(), seen.values().filter(|(_, mark, _)| mark == "a").count()), (7990, 7990));
    assert_eq!(houses.records("side").len(), 160, "nothing is emitted again");
    houses.stop();
}

#[test]
fn filters_that_remember_make_the_same_again() {
    let chain = |tag: &str| -> ChainSpec {
        serde_json::from_value(serde_json::json!([
            { "filter": "multiline", "config": { "preset": "indent", "tag": tag } },
            { "filter": "tag", "config": { "fields": { "mark": tag } } },
        ]))
        .expect("spec")
    };
    let web = TopicConfig { chain: Some(chain("one")), ..TopicConfig::default() };
    let houses = Houses::start(Config { topics: [("web".into(), web)].into(), ..Config::default() });
    let mut expected = BTreeSet::new();
    for event in 0..300 {
        let lines = (0..event % 4).map(|n| format!("  at {event}.{n}"));
        let lines: Vec<String> = std::iter::once(format!("event {event}")).chain(lines).collect();
        expected.insert(lines.join("\n"));
        // Some events lie in several batches.
        let (first, rest) = lines.split_at(lines.len().div_ceil(2));
        houses.append("web", 0, first);
        if !rest.is_empty() {
            houses.append("web", 0, rest);
        }
    }
    // What waits is given where another generation begins.
    houses.handled("web");
    houses.relay.promote("web", chain("two")).expect("holds");
    houses.append("web", 0, &["event last"]);
    houses.handled("web");
    let messages = |of: &str| {
        rows(&houses).into_values().filter(|(_, mark, _)| mark == of).map(|(_, _, message)| message).collect::<BTreeSet<_>>()
    };
    eventually("all rows", || messages("one").len() == 300);
    assert_eq!(messages("one"), expected);
    let origins: Vec<_> = rows(&houses).into_iter().filter(|(_, (_, mark, _))| mark == "one").map(|(place, _)| place).collect();

    let status = houses.relay.replay("web", &all()).expect("begins");
    assert_eq!(status.partitions.len(), 1, "in one piece: {status:?}");
    let done = over(&houses, status.id);
    assert_eq!((done.state, done.stored), (ReplayState::Done, 300), "{done:?}");
    assert!(messages("one").is_empty());
    assert_eq!(messages("two").into_iter().filter(|message| message != "event last").collect::<BTreeSet<_>>(), expected);
    let again: Vec<_> = rows(&houses)
        .into_iter()
        .filter(|(_, (generation, ..))| *generation == done.generation)
        .map(|(place, _)| place)
        .collect();
    assert_eq!(again, origins, "each row has the origin of its last line");

    // A part in the midst: what came before is warmed up, and is nobody's.
    let part = Range { partition: 0, first: 200, end: 400 };
    let request = ReplayRequest { which: Which::Offsets(vec![part]), chain: ReplayChain::Given(chain("three")), ..all() };
    let id = houses.relay.replay("web", &request).expect("begins").id;
    assert_eq!(over(&houses, id).state, ReplayState::Done);
    let three: Vec<_> =
        rows(&houses).into_iter().filter(|(_, (_, mark, _))| mark == "three").map(|((_, offset), _)| offset).collect();
    assert!(three.len() > 50 && three.iter().all(|offset| (200..400).contains(offset)), "{three:?}");
    let outside =
        rows(&houses).into_iter().filter(|((_, offset), (_, mark, _))| mark == "three" && !(200..400).contains(offset)).count();
    assert_eq!(outside, 0);
    houses.stop();
}

#[test]
fn a_replay_sends_nothing_and_says_what_loses_its_row_by_that() {
    let houses = Houses::start(Config::default());
    houses.append("web", 0, &["x one", "e two", "m three", "d four"]);
    houses.handled("web");
    houses.relay.promote("web", spec("mark-b")).expect("holds");
    assert_eq!(houses.relay.plan_replay("web", &all()).expect("a plan").sends_to, Vec::<String>::new());
    let id = houses.relay.replay("web", &all()).expect("begins").id;
    let done = over(&houses, id);
    assert_eq!(
        (done.state, done.stored, done.dropped, done.emissions, done.routed),
        (ReplayState::Done, 2, 2, 2, 1),
        "{done:?}"
    );
    assert_eq!(houses.records("side").len(), 2, "those of then");

    // What another chain sends only elsewhere was never there.
    let away = serde_json::json!([{ "filter": "route", "config": { "to": "far", "keep": false } }]);
    houses.relay.promote("web", serde_json::from_value(away).expect("a chain")).expect("holds");
    assert_eq!(houses.relay.plan_replay("web", &all()).expect("a plan").sends_to, ["far"]);
    let id = houses.relay.replay("web", &all()).expect("begins").id;
    let done = over(&houses, id);
    assert_eq!((done.state, done.stored, done.emissions, done.routed), (ReplayState::Done, 0, 4, 4), "{done:?}");
    assert!(houses.queue.topic("far").is_none());
    houses.stop();
}
