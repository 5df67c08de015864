//! Replays of what the queue has no longer: over HTTP, by hand, and where retention overtakes them.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::{Value, json};

use sawbox::base::row::KeepPayload;
use sawbox::relay::{Config, Range, ReplayChain, ReplayRequest, ReplayState, TopicConfig, Which};
use sawbox::sandbox::ChainSpec;

use crate::lineage_model::visible;
use crate::relay_box::{Houses, eventually, spec};
use crate::support::TestBox;

fn line(n: u32) -> String {
    format!(
        "{{\"@timestamp\":\"2026-11-20T10:00:{:02}Z\",\"message\":\"request {n}\",\"user\":\"user{}\",\"n\":{n}}}\n",
        n % 60,
        n % 7
    )
}

fn body(text: (u16, String)) -> Value {
    assert!(text.0 < 300, "{}", text.1);
    serde_json::from_str(&text.1).unwrap()
}

/// Rows by offset, without what a replay changes.
fn rows(running: &TestBox, topic: &str) -> BTreeMap<u64, Value> {
    let rows = running.query(&format!("_topic:={topic}")).into_iter().map(|mut row| {
        let own = row.as_object_mut().unwrap();
        own.remove("_generation");
        own.remove("tags");
        (row["_offset"].as_u64().unwrap(), row)
    });
    rows.collect()
}

#[test]
fn rows_that_kept_their_records_are_made_anew_over_http() {
    let dir = tempfile::tempdir().unwrap();
    let topic = |name: &str, keep: &str| {
        format!("[topics.{name}]\nkeep_payload = \"{keep}\"\n[[topics.{name}.chain]]\nfilter = \"json\"\n")
    };
    let config = topic("kept", "derived") + &topic("gone", "never");
    let (before, again);
    {
        let running = TestBox::start(dir.path(), &config);
        for topic in ["kept", "gone"] {
            (0..4).for_each(|part| running.ingest(topic, &(0..100).map(|n| line(part * 100 + n)).collect::<String>()));
        }
        before = rows(&running, "kept");
        assert_eq!(before.len(), 400);
        let fields = running.get("/api/v1/fields", &[]).1;
        assert!(!fields.contains("_payload") && !fields.contains("envelope"), "{fields}");
        for topic in ["kept", "gone"] {
            let path = format!("/api/v1/topics/{topic}/trim");
            body(running.send("POST", &path, "application/json", br#"{"before":"latest"}"#));
            let chain = br#"{"chain":[{"filter":"json"},{"filter":"tag","config":{"add":["again"]}}]}"#;
            body(running.send("PUT", &format!("/api/v1/topics/{topic}/chain"), "application/json", chain));
        }
        running.ingest("kept", &line(400));
        // A record is explained as its row kept it, or not at all.
        let explained = |topic: &str| body(running.get(&format!("/api/v1/explain/{topic}/0/7"), &[]));
        let (kept, gone) = (explained("kept"), explained("gone"));
        assert_eq!(kept["record"]["payload"]["text"], line(7).trim_end(), "{kept}");
        assert_eq!((&kept["ended"]["is"], &gone["ended"]["kind"]), (&json!("same"), &json!("gone")), "{kept} {gone}");
        assert!(kept["record"]["peer"].is_string() && kept["notes"].to_string().contains("no longer"), "{kept}");
        let ask = |topic: &str, text: &str| {
            running.send("POST", &format!("/api/v1/topics/{topic}/replay"), "application/json", text.as_bytes())
        };
        let whole = json!({ "partition": 0, "first": 0, "end": 400 });
        let plan = body(ask("kept", r#"{"dry_run":true}"#))["plan"].clone();
        let past = &plan["past"];
        assert_eq!(
            (&plan["records"], &past["ranges"], &past["records"]),
            (&json!(400), &json!([whole]), &json!(400)),
            "{plan}"
        );
        assert_eq!((&plan["out_of_reach"], &past["rows_left"]), (&json!([]), &json!(0)), "{plan}");
        assert!(past["notes"].to_string().contains("left no row"), "{plan}");

        // Who remembers is given only what the queue has.
        let remembers =
            r#"{"dry_run":true,"chain":[{"filter":"json"},{"filter":"throttle","config":{"key":["user"],"after_count":5}}]}"#;
        let plan = body(ask("kept", remembers))["plan"].clone();
        assert_eq!((&plan["past"]["ranges"], &plan["out_of_reach"]), (&json!([]), &json!([whole])), "{plan}");
        assert!(plan["past"]["notes"].to_string().contains("remember"), "{plan}");

        // What kept nothing stays as it is.
        let plan = body(ask("gone", r#"{"dry_run":true}"#))["plan"].clone();
        assert_eq!((&plan["records"], &plan["out_of_reach"]), (&json!(0), &json!([whole])), "{plan}");
        let (status, why) = ask("gone", "{}");
        assert!(status == 400 && why.contains("retention") && why.contains("stay as they are"), "{status} {why}");

        let page = format!("http://{}", running.address("page"));
        let said = Command::new(env!("CARGO_BIN_EXE_sawbox"))
            .args(["replay", "start", "kept", "--dry-run", "--url", &page])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        assert!(said.contains("of rows that kept their records: partition 0, offsets 0 to 400"), "{said}");

        let id = body(ask("kept", r#"{"offsets":[{"partition":0,"first":50,"end":400}]}"#))["id"].as_u64().unwrap();
        let status = || body(running.get(&format!("/api/v1/replays/{id}"), &[]));
        eventually("the replay is over", || status()["state"] != "running");
        let status = status();
        assert_eq!(
            (&status["state"], &status["rebuilt"], &status["stored"]),
            (&json!("done"), &json!(350), &json!(350)),
            "{status}"
        );
        let mut now = rows(&running, "kept");
        now.retain(|offset, _| *offset < 400);
        assert_eq!(now, before, "the same but for the tag");
        again = "_topic:=kept tags:again n<400 | stats count() as n";
        assert_eq!(running.query(again)[0]["n"], 350);

        // Once more: what was made of rows kept its record, too.
        let back = r#"{"offsets":[{"partition":0,"first":0,"end":400}],"chain":[{"filter":"json"}]}"#;
        let id = body(ask("kept", back))["id"].as_u64().unwrap();
        let state = || body(running.get(&format!("/api/v1/replays/{id}"), &[]))["state"].clone();
        eventually("that one, too", || state() == "done");
        assert_eq!(running.query(again)[0]["n"], 0);
    }
    let running = TestBox::start(dir.path(), &config);
    running.settle();
    let mut now = rows(&running, "kept");
    now.retain(|offset, _| *offset < 400);
    assert_eq!((now, running.query(again)[0]["n"].as_u64()), (before, Some(0)));
}

#[test]
fn a_replay_that_retention_overtakes_goes_on_with_rows() {
    let web = TopicConfig { chain: Some(spec("mark-a")), keep_payload: Some(KeepPayload::Always), ..TopicConfig::default() };
    let houses = Houses::start(Config { topics: [("web".into(), web)].into(), ..Config::default() });
    // Some are dropped, some fail: these have no row.
    let batch: Vec<String> = (0..500).map(|n| format!("{} {n}", ["x", "x", "d", "x", "f"][n % 5])).collect();
    (0..8).for_each(|_| {
        houses.append("web", 0, &batch);
    });
    houses.handled("web");
    let asked = |which, chain: ChainSpec| ReplayRequest {
        which,
        partitions: None,
        chain: ReplayChain::Given(chain),
        throttle: Some(20_000),
    };
    let begun = houses.relay.replay("web", &asked(Which::All, spec("mark-b"))).expect("begins");
    assert_eq!(begun.offsets, 4000);
    let web = houses.queue.topic("web").expect("configured");
    // Paused, it keeps nothing from going.
    houses.relay.set_replay(begun.id, ReplayState::Paused).expect("paused");
    web.partition(0).expect("one").delete_records(3000).expect("trimmed");
    houses.relay.set_replay(begun.id, ReplayState::Running).expect("goes on");
    eventually("it is over", || !houses.relay.replay_status(begun.id).expect("known").state.is_open());
    let done = houses.relay.replay_status(begun.id).expect("known");
    assert_eq!((done.state, done.stored), (ReplayState::Done, 2400), "{done:?}");
    assert!(done.rebuilt > 0 && done.partitions.iter().all(|part| part.unread.is_empty()), "{done:?}");
    let seen = visible(&houses.store).expect("each once");
    let marks: Vec<_> = seen.into_iter().filter(|((topic, ..), _)| topic == "web").map(|(_, (_, mark, _))| mark).collect();
    assert_eq!((marks.len(), marks.iter().all(|mark| mark == "b")), (2400, true));

    // By time: all of it arrived before now.
    let which = Which::Arrived(None, Some(1));
    let plan = houses.relay.plan_replay("web", &asked(which, spec("mark-a"))).expect("a plan");
    assert_eq!((plan.records, plan.out_of_reach.len()), (0, 0), "nothing arrived in 1970: {plan:?}");
    let plan = houses.relay.plan_replay("web", &asked(Which::Arrived(Some(1), None), spec("mark-a"))).expect("a plan");
    let ends: Vec<Range> = plan.past.ranges.iter().chain(&plan.ranges).copied().collect();
    assert!(ends.iter().map(Range::len).sum::<u64>() >= 3998 && ends.len() == 2, "{plan:?}");
    houses.stop();
}
