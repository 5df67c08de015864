//! A topic that was deleted and made again is another one: the rows of the old one are nobody else's.

use serde_json::{Value, json};

use crate::support::TestBox;

fn lines(of: &[(&str, &str)]) -> String {
    of.iter().map(|(user, message)| format!("{}\n", json!({ "user": user, "message": message }))).collect()
}

/// Messages of a topic's rows, in order.
fn messages(sawbox: &TestBox, topic: &str) -> Vec<String> {
    let rows = sawbox.query(&format!("_topic:={topic}"));
    let mut all: Vec<String> = rows.iter().map(|row| row["message"].as_str().unwrap().to_owned()).collect();
    all.sort();
    all
}

fn delete(sawbox: &TestBox, topic: &str, body: &Value) -> (u16, Value) {
    let path = format!("/api/v1/topics/{topic}/delete-rows");
    let (status, text) = sawbox.send("POST", &path, "application/json", body.to_string().as_bytes());
    (status, serde_json::from_str(&text).unwrap())
}

#[test]
fn a_query_deletes_the_rows_that_it_finds_whichever_topic_of_that_name_they_are_of() {
    let dir = tempfile::tempdir().unwrap();
    {
        let sawbox = TestBox::start(dir.path(), "");
        sawbox.ingest("tw", &lines(&[("alice", "a1"), ("alice", "a2"), ("bob", "b1")]));
        sawbox.ingest("another", &lines(&[("alice", "not asked for")]));
        assert_eq!(sawbox.delete("/api/v1/topics/tw").0, 200);
        sawbox.ingest("tw", &lines(&[("carol", "c1"), ("carol", "c2"), ("alice", "c3")]));
        assert_eq!(messages(&sawbox, "tw"), ["a1", "a2", "b1", "c1", "c2", "c3"]);

        // Where a record stands says nothing of whose it was.
        let explain = |offset: u64| {
            let (_, text) = sawbox.get(&format!("/api/v1/explain/tw/0/{offset}"), &[]);
            text
        };
        assert!(explain(0).contains("c1") && explain(0).contains("was deleted has rows of 0@0 too"), "{}", explain(0));
        assert!(explain(7).contains("there is no record 7 yet") && !explain(7).contains("was deleted"), "{}", explain(7));

        let query = json!({ "query": "user:alice" });
        let (_, dry) = delete(&sawbox, "tw", &json!({ "query": "user:alice", "dry_run": true }));
        assert_eq!((&dry["offsets"], &dry["of_before"]), (&json!(3), &json!(2)), "{dry}");
        assert_eq!(messages(&sawbox, "tw").len(), 6);
        let (status, done) = delete(&sawbox, "tw", &query);
        assert_eq!((status, &done["offsets"], &done["of_before"]), (200, &json!(3), &json!(2)), "{done}");
        assert_eq!(messages(&sawbox, "tw"), ["b1", "c1", "c2"]);

        // By offsets they are those of the topic that is.
        let (status, done) = delete(&sawbox, "tw", &json!({ "offsets": [{ "partition": 0, "offset": 1 }] }));
        assert_eq!((status, &done["offsets"], &done["of_before"]), (200, &json!(1), &json!(0)), "{done}");
        assert_eq!(messages(&sawbox, "tw"), ["b1", "c1"]);

        // None is there any more: what is left of it can still be deleted.
        assert_eq!(sawbox.delete("/api/v1/topics/tw").0, 200);
        let (status, done) = delete(&sawbox, "tw", &json!({ "query": "user:bob" }));
        assert_eq!((status, &done["offsets"], &done["queue_keeps_until"]), (200, &json!(1), &Value::Null), "{done}");
        assert_eq!(delete(&sawbox, "tw", &json!({ "offsets": [{ "partition": 0, "offset": 0 }] })).0, 404);
        assert_eq!(delete(&sawbox, "never", &query).0, 404);
    }
    let sawbox = TestBox::start(dir.path(), "");
    sawbox.settle();
    assert_eq!(messages(&sawbox, "tw"), ["c1"]);
    assert_eq!(messages(&sawbox, "another"), ["not asked for"]);
}
