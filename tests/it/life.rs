//! The life of a version, through real houses: trial, promote, roll back, explain; and what is left of it after a restart.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use sawbox::base::clock::{Clock, SimClock};
use sawbox::base::disk::Disk;
use sawbox::base::disk::sim::SimDisk;
use sawbox::queue::{self, Queue};
use sawbox::relay::trial::{Report, TrialRequest, TrialState, TrialStatus};
use sawbox::relay::{Config, Relay, RelayError, Which, Wish};
use sawbox::sandbox::{self, ChainSpec, PutBy, Sandbox};
use sawbox::store::{self, Store};
use serde_json::{Value, json};

use crate::lineage_model::visible;
use crate::relay_box::{Houses, eventually};
use crate::relay_guest::wasm;
use crate::support::TestBox;

fn chain(chain: Value) -> Wish {
    Wish { chain: Some(serde_json::from_value::<ChainSpec>(chain).unwrap()), ..Wish::default() }
}

fn version(filter: &str, version: u32) -> Wish {
    Wish { filter: Some(filter.into()), version: Some(version), ..Wish::default() }
}

fn ended(relay: &Relay, id: &str) -> TrialStatus {
    eventually("the trial ends", || relay.trial(id).unwrap().state != TrialState::Running);
    relay.trial(id).unwrap()
}

fn tried(houses: &Houses, wish: Wish) -> Report {
    let request = TrialRequest { wish, which: Which::All, sample: 5 };
    let begun = houses.relay.begin_trial("web", request).expect("a good chain");
    let status = ended(&houses.relay, &begun.id);
    assert_eq!((status.state, status.error, status.tried), (TrialState::Done, None, status.of));
    status.report
}

/// same, changed, newly dropped, newly kept, newly failed, mended.
fn counts(report: &Report) -> [u64; 6] {
    let all = [report.same, report.changed, report.newly_dropped, report.newly_kept, report.newly_failed, report.mended];
    assert_eq!(all.iter().sum::<u64>(), report.records, "each record in one count");
    all
}

const RECORDS: [&str; 8] = ["x one", "x two", "d noise", "f bad", "t trap", "e both", "m side", "x three"];

#[test]
fn a_trial_says_what_would_change_and_changes_nothing() {
    let houses = Houses::start(Config::default());
    houses.append("web", 0, &RECORDS);
    houses.handled("web");
    eventually("dead letters", || houses.queue.topic("_dead.web").is_some());
    houses.handled("_dead.web");
    houses.handled("side");
    let before = (visible(&houses.store).expect("each once"), houses.relay.chains().len());
    let figures = houses.sandbox.counters();

    // The same chain again.
    let report = tried(&houses, chain(json!([{ "filter": "mark-a" }])));
    assert_eq!(counts(&report), [8, 0, 0, 0, 0, 0]);
    assert!(report.fields.is_empty() && report.examples.is_empty() && report.unsteady.is_none());
    assert_eq!((report.live.fuel, report.live.calls), (report.candidate.fuel, report.candidate.calls));
    assert!(report.live.fuel_per_record > 0 && report.live.traps == report.candidate.traps && report.live.traps > 0);

    // Another version of its filter: one field is another.
    let put = houses.sandbox.put_version("mark-a", &wasm('z'), PutBy::Api, false).expect("a good module");
    assert_eq!((put.version, put.current), (2, false));
    let report = tried(&houses, version("mark-a", 2));
    assert_eq!(counts(&report), [4, 4, 0, 0, 0, 0]);
    let mark = &report.fields["mark"];
    assert_eq!((report.fields.len(), mark.added, mark.removed, mark.changed), (1, 0, 0, 4));
    let first = &mark.examples[0];
    assert_eq!((first.offset, &first.old, &first.new), (0, &json!("a"), &json!("z")));
    let example = &report.examples[1];
    assert_eq!((example.kind, example.offset, &example.raw["text"]), ("changed", 1, &json!("x two")));
    assert_eq!(example.new["fields"]["mark"], "z");
    assert_eq!(report.emissions_differ, 0);

    // A filter more, behind it.
    let more = Wish { filter: Some("drop".into()), when: Some("message:one OR message:two".into()), ..Wish::default() };
    let report = tried(&houses, more);
    assert_eq!(counts(&report), [6, 0, 2, 0, 0, 0]);
    assert_eq!(report.drop_reasons.values().sum::<u64>(), 2);

    // None at all: what was dropped is kept, what failed is mended, nothing is emitted.
    let report = tried(&houses, chain(json!([])));
    assert_eq!(counts(&report), [0, 4, 0, 2, 0, 2]);
    assert_eq!((report.fields["mark"].removed, report.emissions_differ), (4, 2));
    assert_eq!((report.emissions["side"].live, report.emissions["side"].candidate), (2, 0));

    // The other way round.
    houses.relay.promote_wish("web", chain(json!([]))).expect("a good chain");
    let report = tried(&houses, chain(json!([{ "filter": "mark-a" }])));
    assert_eq!(counts(&report), [0, 4, 2, 0, 2, 0]);
    assert!(report.fail_reasons.keys().any(|reason| reason.contains("asked to fail")), "{:?}", report.fail_reasons);
    let again = tried(&houses, chain(json!([{ "filter": "mark-a" }])));
    let timeless = |report: &Report| {
        let mut json = serde_json::to_value(report).unwrap();
        for side in ["live", "candidate"] {
            json[side]["ns_per_record"].take();
        }
        json
    };
    assert_eq!(timeless(&report), timeless(&again), "the same at every run");

    let after = (visible(&houses.store).expect("each once"), houses.relay.chains().len());
    assert_eq!(before, after, "no row, no topic");
    assert_eq!(houses.records("side").len(), 2);
    let calls = |figures: &[sawbox::sandbox::FilterCounters]| {
        figures.iter().filter(|one| one.calls > 0).map(|one| (one.filter.clone(), one.calls)).collect::<Vec<_>>()
    };
    assert_eq!(calls(&figures), calls(&houses.sandbox.counters()), "not in the filters' figures");
    houses.stop();
}

#[test]
fn trials_are_few_can_be_cancelled_and_say_what_is_wrong() {
    let houses = Houses::start(Config::default());
    let lines: Vec<String> = (0..1000).map(|n| format!("x {n}")).collect();
    for _ in 0..60 {
        houses.append("web", 0, &lines);
    }
    houses.handled("web");
    let request = |wish| TrialRequest { wish, which: Which::All, sample: 1 };
    let wrong = houses.relay.begin_trial("web", request(version("mark-a", 9))).expect_err("no such version");
    assert!(wrong.to_string().contains("there is no version 9 of `mark-a`"), "{wrong}");
    let wrong = houses.relay.begin_trial("web", request(Wish::default())).expect_err("nothing");
    assert!(matches!(wrong, RelayError::Config(_)), "{wrong}");
    assert!(matches!(houses.relay.begin_trial("no", request(version("mark-a", 1))), Err(RelayError::NoTopic(_))));
    let last = TrialRequest { which: Which::Last(5), ..request(version("mark-b", 1)) };
    let begun = houses.relay.begin_trial("web", last).expect("a good chain");
    let status = ended(&houses.relay, &begun.id);
    assert_eq!((status.of, status.ranges[0].first, status.report.records), (5, 59_995, 5));

    let one = houses.relay.begin_trial("web", request(version("mark-b", 1))).expect("a good chain");
    let two = houses.relay.begin_trial("web", request(version("mark-b", 1))).expect("a good chain");
    // They may be done before the third is asked for; while both run, it is refused.
    match houses.relay.begin_trial("web", request(version("mark-b", 1))) {
        Err(RelayError::Crowded { why, .. }) => assert!(why.contains("2 trials"), "{why}"),
        Err(error) => panic!("{error}"),
        Ok(_) => assert!([&one, &two].iter().any(|trial| houses.relay.trial(&trial.id).unwrap().state != TrialState::Running)),
    }
    houses.relay.cancel_trial(&one.id).expect("it is there");
    let status = ended(&houses.relay, &one.id);
    if status.state == TrialState::Cancelled {
        assert!(status.tried < status.of && status.report.records == status.tried);
    }
    ended(&houses.relay, &two.id);
    houses.relay.cancel_trial(&two.id).expect("it is there");
    assert!(matches!(houses.relay.trial(&two.id), Err(RelayError::Missing(_))), "forgotten");
    assert!(houses.relay.trial_figures().begun >= 3);
    // One that runs while the box stops does not hold it up.
    let _ = houses.relay.begin_trial("web", request(version("mark-b", 1)));
    houses.stop();
}

#[test]
fn promotions_and_rollbacks_begin_where_they_say() {
    let houses = Houses::start(Config::default());
    houses.append("web", 0, &["x 0", "x 1", "x 2"]);
    houses.handled("web");
    houses.sandbox.put_version("mark-a", &wasm('z'), PutBy::Api, false).expect("a good module");
    let opened = houses.relay.promote_wish("web", version("mark-a", 2)).expect("a good chain");
    assert_eq!((opened.generation, opened.from.iter().map(|f| (f.partition, f.offset)).collect::<Vec<_>>()), (2, vec![(0, 3)]));
    houses.append("web", 0, &["x 3", "x 4"]);
    houses.handled("web");
    let back = houses.relay.go_back("web", None).expect("there was another");
    assert_eq!((back.generation, back.from[0].offset), (3, 5));
    houses.append("web", 0, &["x 5"]);
    houses.handled("web");
    // The one before had another chain; and by number.
    let forth = houses.relay.go_back("web", None).expect("there was another");
    assert_eq!((forth.generation, forth.from[0].offset), (4, 6));
    assert!(matches!(houses.relay.go_back("web", Some(9)), Err(RelayError::Missing(_))));
    assert!(matches!(houses.relay.go_back("web", Some(4)), Err(RelayError::Config(_))));
    houses.append("web", 0, &["x 6"]);
    houses.handled("web");
    let rows = visible(&houses.store).expect("each once");
    let seen: Vec<(u32, &str)> = (0..7)
        .map(|offset| rows.get(&("web".to_owned(), 0, offset)).map(|row| (row.0, row.1.as_str())).expect("a row"))
        .collect();
    assert_eq!(seen, [(1, "a"), (1, "a"), (1, "a"), (2, "z"), (2, "z"), (3, "a"), (4, "z")]);
    let listed = houses.relay.generations("web").expect("a topic");
    let why: Vec<_> = listed.iter().map(|one| (one.generation, one.live, one.chain[0].version, one.why.as_deref())).collect();
    assert_eq!(
        why,
        [
            (1, false, Some(1), None),
            (2, false, Some(2), Some("promoted: version 2 of `mark-a`")),
            (3, false, Some(1), Some("rolled back to generation 1")),
            (4, true, Some(2), Some("rolled back to generation 2")),
        ]
    );
    // For the whole box: chains that say the plain name go over, the one that names its version stays.
    houses.relay.promote_wish("other", chain(json!([{ "filter": "mark-a" }]))).expect_err("no such topic");
    houses.append("other", 0, &["x"]);
    houses.handled("other");
    houses.relay.promote_wish("other", chain(json!([{ "filter": "mark-a" }]))).expect("a good chain");
    houses.sandbox.put_version("mark-a", &wasm('y'), PutBy::Api, false).expect("a good module");
    let promoted = houses.relay.promote_version("mark-a", None).expect("version 3");
    assert_eq!((promoted.version, promoted.generations.len()), (3, 1));
    assert_eq!(&*promoted.generations[0].topic, "other");
    assert_eq!(promoted.kept.iter().map(|kept| (&*kept.topic, kept.version)).collect::<Vec<_>>(), [("web", Some(2))]);
    houses.stop();
}

#[test]
fn every_end_of_a_record_is_explained() {
    let houses = Houses::start(Config::default());
    let wanted = chain(json!([
        { "filter": "mark-a" },
        { "filter": "tag", "when": "message:one", "config": { "add": ["first"] } },
        { "filter": "drop", "when": "message:two" },
    ]));
    houses.append("web", 0, &["x before"]);
    houses.handled("web");
    houses.relay.promote_wish("web", wanted).expect("a good chain");
    houses.append("web", 0, &RECORDS);
    houses.handled("web");
    eventually("dead letters", || houses.queue.topic("_dead.web").is_some());
    houses.handled("_dead.web");
    houses.handled("side");
    let explain = |offset: u64| serde_json::to_value(houses.relay.explain("web", 0, offset).expect("a record")).unwrap();
    let outcomes = |one: &Value| -> Vec<String> {
        one["steps"].as_array().unwrap().iter().map(|step| step["outcome"].as_str().unwrap().to_owned()).collect()
    };

    let old = explain(0);
    assert_eq!((&old["generation"], old["steps"].as_array().unwrap().len()), (&json!(1), 1), "by the generation of its offset");
    assert_eq!((&old["ended"]["kind"], &old["ended"]["is"]), (&json!("stored"), &json!("same")), "{old:#}");

    let stored = explain(1);
    assert_eq!(outcomes(&stored), ["passed", "passed", "not_selected"]);
    assert_eq!(stored["record"]["payload"]["text"], "x one");
    assert_eq!(stored["record"]["headers"], json!([["host", "web1"]]));
    assert_eq!(stored["steps"][0]["added"], json!({ "mark": "a" }));
    assert_eq!(stored["steps"][1]["added"], json!({ "tags": "first" }));
    assert!(stored["steps"][0]["fuel"].as_u64().unwrap() > 0 && stored["steps"][2]["fuel"] == 0);
    assert_eq!(stored["steps"][0]["records"], 8, "run with its call");
    assert_eq!(stored["call"], json!({ "first": 1, "last": 8, "records": 8 }));
    assert_eq!((&stored["ended"]["is"], &stored["ended"]["differences"]), (&json!("same"), &json!([])), "{stored:#}");
    assert_eq!((&stored["ended"]["stored"]["mark"], &stored["ended"]["row"]["mark"]), (&json!("a"), &json!("a")));

    let dropped = explain(2);
    assert_eq!(outcomes(&dropped), ["passed", "not_selected", "dropped"]);
    assert_eq!((&dropped["ended"]["kind"], &dropped["ended"]["filter"]), (&json!("dropped"), &json!("drop")));
    assert_eq!(dropped["ended"]["stored"], Value::Null);
    let dropped = explain(3);
    assert_eq!(outcomes(&dropped), ["dropped", "not_reached", "not_reached"]);

    for (offset, why) in [(4, "asked to fail"), (5, "unreachable")] {
        let failed = explain(offset);
        assert_eq!((&failed["ended"]["kind"], &failed["ended"]["topic"]), (&json!("failed"), &json!("_dead.web")));
        assert!(failed["ended"]["reason"].as_str().unwrap().contains(why), "{failed:#}");
        assert_eq!(failed["ended"]["letter"]["_filter"], "mark-a", "{failed:#}");
        assert_eq!(outcomes(&failed)[0], "failed");
    }

    let both = explain(6);
    assert_eq!((&both["ended"]["kind"], both["sent"].as_array().unwrap().len()), (&json!("stored"), 1));
    assert_eq!((&both["sent"][0]["topic"], &both["sent"][0]["payload"]["text"]), (&json!("side"), &json!("e both")));
    assert_eq!(both["sent"][0]["row"]["_topic"], "side", "{both:#}");
    assert_eq!(both["steps"][0]["emissions"][0]["topic"], "side");
    let side = explain(7);
    assert_eq!((&side["ended"]["kind"], &side["sent"][0]["row"]["_offset"]), (&json!("dropped"), &json!(1)), "{side:#}");
    for offset in 0..9 {
        assert_eq!(explain(offset)["notes"], json!([]), "{offset}");
    }

    assert!(matches!(houses.relay.explain("web", 0, 99), Err(RelayError::Missing(why)) if why.contains("ends at 9")));
    assert!(matches!(houses.relay.explain("web", 7, 0), Err(RelayError::Missing(why)) if why.contains("1 partitions")));
    // Gone from the queue: the store's rows are left.
    let partition = houses.queue.topic("web").and_then(|topic| topic.partition(0)).expect("a partition");
    partition.delete_records(3).expect("durable");
    let gone = explain(1);
    assert_eq!((&gone["record"], &gone["ended"]["kind"], &gone["generation"]), (&Value::Null, &json!("gone"), &json!(2)));
    assert_eq!(gone["ended"]["stored"][0]["mark"], "a");
    assert!(gone["summary"].as_str().unwrap().contains("the queue's retention took it"), "{gone:#}");
    houses.stop();
}

fn sawbox(page: &str, arguments: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_sawbox")).args(arguments).env("SAWBOX_URL", page).output().unwrap();
    (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

#[test]
fn a_version_lives_through_api_and_command_line_and_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let module = dir.path().join("mine.wasm");
    let (versions, generations);
    {
        let running = TestBox::start(dir.path(), "");
        let page = format!("http://{}", running.address("page"));
        let fine = |arguments: &[&str]| {
            let (well, said) = sawbox(&page, arguments);
            assert!(well, "{arguments:?}: {said}");
            said
        };
        let json = |text: (u16, String)| -> Value {
            assert!(text.0 < 300, "{}", text.1);
            serde_json::from_str(&text.1).unwrap()
        };
        running.ingest("shop", "x one\nx two\nd three\n");
        std::fs::write(&module, wasm('a')).unwrap();
        let file = module.to_str().unwrap();

        // Fixtures come first, if there are some; a filter that does not hold to them waits.
        let fixtures = dir.path().join("fixtures.toml");
        let case = |mark: &str| format!("[[case]]\npayload = \"x\"\nexpect = {{ fields = {{ mark = \"{mark}\" }} }}\n");
        std::fs::write(&fixtures, case("q")).unwrap();
        let (well, said) = sawbox(&page, &["filter", "put", "mine", file, "--fixtures", fixtures.to_str().unwrap()]);
        assert!(!well && said.contains("case 1") && said.contains("it waits"), "{said}");
        std::fs::write(&fixtures, case("a")).unwrap();
        let said = fine(&["filter", "put", "mine", file, "--fixtures", fixtures.to_str().unwrap(), "--no-promote"]);
        assert!(said.contains("all 1 cases"), "{said}");
        assert!(fine(&["filter", "check", file]).contains("says the same of 2100 records"));

        // First: put, looked at, promoted into the topic.
        let said = fine(&["filter", "put", "mine", file, "--no-promote"]);
        assert!(said.contains("version 1") && said.contains("filter trial mine@1"), "{said}");
        assert!(fine(&["filter", "ls"]).lines().any(|line| line.starts_with("mine") && line.contains("waits")));
        let said = fine(&["filter", "trial", "mine", "--topic", "shop"]);
        assert!(said.contains("newly dropped") && said.contains("mark") && said.contains("filter promote mine"), "{said}");
        let said = fine(&["filter", "promote", "mine", "--topic", "shop"]);
        assert!(said.contains("partition 0 from offset 3"), "{said}");
        running.ingest("shop", "x four\n");
        assert_eq!(running.query("_topic:=shop mark:a | stats count() as n")[0]["n"], 1);

        // Another, through the API.
        std::fs::write(&module, wasm('b')).unwrap();
        let said = fine(&["filter", "trial", "mine", "--topic", "shop", "--module", file, "--json"]);
        let status: Value = serde_json::from_str(&said[said.find('{').unwrap()..said.rfind('}').unwrap() + 1]).unwrap();
        assert_eq!(
            (&status["state"], &status["report"]["changed"], &status["report"]["same"]),
            (&json!("done"), &json!(3), &json!(1))
        );
        let answer = json(running.send("PUT", "/api/v1/filters/mine?promote=false", "application/wasm", &wasm('b')));
        assert_eq!((&answer["version"], &answer["current"]), (&json!(2), &json!(false)), "the same bytes are the same version");
        let body = br#"{"filter":"mine","version":2,"last":{"records":10}}"#;
        let trial = json(running.send("POST", "/api/v1/topics/shop/trial", "application/json", body));
        let id = trial["id"].as_str().unwrap().to_owned();
        let mut status = trial;
        while status["state"] == "running" {
            std::thread::sleep(Duration::from_millis(10));
            status = json(running.get(&format!("/api/v1/trials/{id}"), &[]));
        }
        assert_eq!(status["report"]["fields"]["mark"]["changed"], 3, "{status:#}");
        assert_eq!(json(running.get("/api/v1/trials", &[]))["trials"].as_array().unwrap().len(), 3);
        assert_eq!(running.delete(&format!("/api/v1/trials/{id}")).0, 200);
        assert_eq!(running.get(&format!("/api/v1/trials/{id}"), &[]).0, 404);
        let opened = json(running.send("POST", "/api/v1/topics/shop/promote", "application/json", br#"{"filter":"mine"}"#));
        assert_eq!(opened["from"], json!([{ "partition": 0, "offset": 4 }]));
        running.ingest("shop", "x five\n");
        assert!(fine(&["filter", "rollback", "shop"]).contains("from offset 5"));
        running.ingest("shop", "x six\n");

        let said = fine(&["explain", "shop/0@4"]);
        assert!(said.contains("+ mark = \"b\"") && said.contains("the store's row is the same"), "{said}");
        let explained = json(running.get("/api/v1/explain/shop/0/5", &[]));
        assert_eq!(
            (&explained["steps"][1]["version"], &explained["ended"]["is"]),
            (&json!(1), &json!("same")),
            "{explained:#}"
        );
        assert!(explained["record"]["arrival"].as_str().unwrap().ends_with('Z'));
        assert_eq!(running.get("/api/v1/explain/shop/0/x", &[]).0, 400);
        let (well, said) = sawbox(&page, &["explain", "shop"]);
        assert!(!well && said.contains("TOPIC/PARTITION@OFFSET"), "{said}");

        for (path, body, status) in [
            ("/api/v1/topics/shop/trial", &b"{}"[..], 400),
            ("/api/v1/topics/shop/trial", br#"{"filter":"mine","last":{}}"#, 400),
            ("/api/v1/topics/none/trial", br#"{"filter":"mine"}"#, 404),
            (
                "/api/v1/topics/shop/trial",
                br#"{"filter":"mine","offsets":[{"partition":0,"from":1000,"to":18446744073709551615}]}"#,
                404,
            ),
            ("/api/v1/topics/shop/rollback", br#"{"to":77}"#, 404),
            ("/api/v1/topics/_dead.shop/promote", br#"{"filter":"mine"}"#, 400),
            ("/api/v1/filters/mine/promote", br#"{"version":77}"#, 404),
            ("/api/v1/filters/none/promote", b"", 404),
        ] {
            assert_eq!(running.send("POST", path, "application/json", body).0, status, "{path}");
        }
        for (path, parameters, status) in
            [("/api/v1/replays/first", &[][..], 404), ("/api/v1/dead/shop", &[("limt", "1")], 400)]
        {
            let (said, text) = running.get(path, parameters);
            assert_eq!((said, text.starts_with("{\"error\":")), (status, true), "{path}: {text}");
        }
        let (_, metrics) = running.get("/metrics", &[]);
        assert!(metrics.contains("sawbox_trials_total 3") && metrics.contains("sawbox_trials_running 0"), "{metrics}");
        versions = json(running.get("/api/v1/filters/mine/versions", &[]));
        generations = json(running.get("/api/v1/topics/shop/generations", &[]));
        assert_eq!(versions["current"], Value::Null, "both wait: the topic's chain names them");
        let seen: Vec<_> =
            versions["versions"].as_array().unwrap().iter().map(|v| (&v["version"], &v["by"], &v["used_by"])).collect();
        let used = |generations: Value, live: bool| json!([{ "topic": "shop", "generations": generations, "live": live }]);
        let (first, second) = (used(json!([1, 3]), true), used(json!([2]), false));
        assert_eq!(seen, [(&json!(1), &json!("cli"), &first), (&json!(2), &json!("cli"), &second)]);
        let said = fine(&["filter", "generations", "shop"]);
        assert!(said.contains("rolled back to generation 1") && said.contains("json → mine@2"), "{said}");
        assert!(fine(&["filter", "versions", "mine"]).contains("shop (1, 3, live)"));
    }
    let running = TestBox::start(dir.path(), "");
    running.settle();
    let json = |path: &str| serde_json::from_str::<Value>(&running.get(path, &[]).1).unwrap();
    assert_eq!(json("/api/v1/filters/mine/versions"), versions);
    assert_eq!(json("/api/v1/topics/shop/generations"), generations);
    running.ingest("shop", "x seven\n");
    assert_eq!(running.query("_topic:=shop mark:a | stats count() as n")[0]["n"], 3);
}

/// What generations of topics that are there were made of stays, over a restart too; what only a deleted topic had goes.
#[test]
fn a_sweep_leaves_what_any_generation_can_want() {
    let disk = SimDisk::new(7);
    let clock = Arc::new(SimClock::at(1_700_000_000_000_000_000));
    let chain = |filter: &str| serde_json::from_value::<ChainSpec>(json!([{ "filter": filter }])).unwrap();
    let start = || {
        let (disk, clock): (Arc<dyn Disk>, Arc<dyn Clock>) = (disk.clone(), clock.clone());
        let (queue, _) = Queue::open(disk.clone(), clock.clone(), queue::Config::default()).expect("queue");
        let (store, _) = Store::open_idle(disk.clone(), clock.clone(), store::Config::default()).expect("store");
        let config = sandbox::Config { versions: 1, ..sandbox::Config::default() };
        let sandbox = Sandbox::open(disk, clock.clone(), config).expect("sandbox");
        let relay = Relay::open(queue.clone(), store.clone(), sandbox.clone(), clock, Config::default()).expect("relay");
        (queue, store, sandbox, relay)
    };
    let (queue, _store, sandbox, relay) = start();
    queue.ensure_topic("web").expect("a topic");
    queue.ensure_topic("gone").expect("a topic");
    for mark in ['a', 'b', 'c', 'd'] {
        sandbox.put_version("f", &wasm(mark), PutBy::Api, true).expect("a good module");
    }
    relay.promote("web", chain("f@1")).expect("a good chain");
    let other = relay.promote("web", chain("f")).expect("a good chain");
    relay.promote("gone", chain("f@2")).expect("a good chain");
    let there = |sandbox: &Sandbox| {
        let versions = sandbox.versions("f").into_iter();
        versions.filter(|version| version.bytes.is_some()).map(|version| version.version).collect::<Vec<_>>()
    };
    clock.advance(Duration::from_secs(25 * 3600));
    assert!(relay.sweep().expect("readable").files > 0, "version 3");
    assert_eq!(there(&sandbox), [1, 2, 4]);
    queue.delete_topic("gone").expect("a topic");
    drop((queue, _store, sandbox, relay));

    let (_queue, _store, sandbox, relay) = start();
    assert!(relay.sweep().expect("readable").bytes > 0);
    assert_eq!(there(&sandbox), [1, 4], "nobody can ask for what a topic had that is gone, with all its rows");
    assert_eq!(relay.sweep().expect("readable").files, 0);
    assert!(relay.go_back("web", None).expect("its module is there").generation > other);
}

#[test]
fn of_several_filters_of_a_name_the_one_that_is_meant_changes() {
    let houses = Houses::start(Config::default());
    houses.append("web", 0, &["x one"]);
    houses.handled("web");
    let both = json!([
        { "filter": "mark-a" },
        { "filter": "tag", "config": { "add": ["one"] } },
        { "filter": "tag", "when": "message:two", "config": { "add": ["two"] } },
    ]);
    houses.relay.promote_wish("web", chain(both)).expect("a good chain");
    let tags = || {
        let chains = houses.relay.chains();
        let web = chains.iter().find(|chain| &*chain.topic == "web").expect("there");
        let tags = web.chain.iter().filter(|entry| entry.filter == "tag");
        tags.map(|entry| (entry.when.clone(), entry.config["add"][0].as_str().unwrap().to_owned())).collect::<Vec<_>>()
    };
    let before = vec![(None, "one".to_owned()), (Some("message:two".to_owned()), "two".to_owned())];
    assert_eq!(tags(), before);
    let config = |tag: &str| json!({ "add": [tag] }).as_object().cloned();
    let wish = |filter: &str, tag: &str| Wish { filter: Some(filter.into()), config: config(tag), ..Wish::default() };
    for (filter, said) in [("tag", "`tag#1`, `tag#2`, or `tag#3`"), ("tag#4", "filters 2, 3 of 3"), ("tag#0", "behind the `#`")]
    {
        let wrong = houses.relay.promote_wish("web", wish(filter, "x")).expect_err("which?").to_string();
        assert!(wrong.contains(said), "{filter}: {wrong}");
        assert_eq!(tags(), before);
    }
    houses.relay.promote_wish("web", wish("tag#2", "zwei")).expect("one of them");
    assert_eq!(tags(), [before[0].clone(), (Some("message:two".to_owned()), "zwei".to_owned())]);
    houses.relay.promote_wish("web", wish("tag#3", "three")).expect("another");
    assert_eq!(tags()[2], (None, "three".to_owned()));
    // Without a word of what shall be other about them it is their version: all of them.
    houses.relay.promote_wish("web", version("tag", 0)).expect("as it is");
    assert_eq!(tags().len(), 3);
    houses.stop();
}
