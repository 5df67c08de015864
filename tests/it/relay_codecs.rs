//! Codecs at the door of a topic: from bytes in the queue to rows and dead letters, through registries that fail, and at run time.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::json;

use sawbox::relay::codec::spec::{AvroSpec, CodecName, CodecSpec};
use sawbox::relay::{Change, Config, TopicConfig};

use crate::lineage_model::visible;
use crate::relay_box::{Houses, eventually, spec};
use crate::support::TestBox;

fn topic(codec: CodecName) -> TopicConfig {
    TopicConfig { codec: Some(codec), ..TopicConfig::default() }
}

fn avro(avro: AvroSpec) -> TopicConfig {
    TopicConfig { avro: Some(avro), ..topic(CodecName::Avro) }
}

/// Payload and reason of every dead letter of a topic.
fn dead(houses: &Houses, name: &str) -> Vec<(String, String)> {
    let reason = |headers: Vec<(String, String)>| {
        assert!(headers.iter().any(|(name, value)| name == "_filter" && value == "codec"), "{headers:?}");
        headers.into_iter().find(|(name, _)| name == "_reason").map(|(_, reason)| reason).unwrap_or_default()
    };
    houses.records(&format!("_dead.{name}")).into_iter().map(|(payload, headers)| (payload, reason(headers))).collect()
}

fn messages(houses: &Houses, name: &str) -> Vec<String> {
    let rows = visible(&houses.store).expect("each once");
    let own = rows.iter().filter(|((topic, ..), _)| topic == name);
    own.map(|(_, (_, _, message))| String::from_utf8_lossy(message).into_owned()).collect()
}

#[test]
fn records_become_documents_and_what_does_not_decode_is_a_dead_letter() {
    let schema = json!({ "type": "record", "name": "R", "fields": [{ "name": "message", "type": "string" }] }).to_string();
    let topics = [
        ("plain", topic(CodecName::Plain)),
        ("json", topic(CodecName::Json)),
        ("pack", topic(CodecName::Msgpack)),
        // Nothing takes the fields out: the message is the document.
        ("whole", TopicConfig { chain: Some(spec("mark-a")), ..topic(CodecName::Msgpack) }),
        ("own", avro(AvroSpec { schema: Some(schema), ..AvroSpec::default() })),
    ];
    let topics = topics.map(|(name, config)| (name.to_owned(), config)).into();
    let houses = Houses::start(Config { topics, ..Config::default() });
    houses.append("plain", 0, &["{\"message\":\"a\"}"]);
    houses.append("json", 0, &["{\"message\":\"a\"}", "{\"message\":", "[1]", "no"]);
    houses.append(
        "pack",
        0,
        &[&b"\x81\xa7message\xa1a"[..], b"\xc1", b"\x81\xa1a", b"\x82\xa7message\xa1b\xa1n\x07", b"\xa4text"],
    );
    houses.append("whole", 0, &[&b"\x82\xa1b\x01\xa1a\xc4\x02\xff\xfe"[..], b"\xa6e emit"]);
    houses.append("own", 0, &[&b"\x02a"[..], b"\x04a"]);
    for name in ["plain", "json", "pack", "whole", "own"] {
        houses.handled(name);
    }
    assert_eq!(messages(&houses, "plain"), ["{\"message\":\"a\"}"]);
    assert_eq!(messages(&houses, "json"), ["a", "[1]"]);
    assert_eq!(messages(&houses, "pack"), ["a", "b", "text"]);
    assert_eq!(messages(&houses, "whole"), ["{\"b\":1,\"a\":\"//4=\"}", "e emit"]);
    assert_eq!(messages(&houses, "own"), ["a"]);
    for (name, expected) in [
        ("json", &[("{\"message\":", "json: is no JSON"), ("no", "json: is no JSON")][..]),
        ("pack", &[("\u{fffd}", "msgpack: has the byte 0xc1"), ("\u{fffd}\u{fffd}a", "msgpack: is cut off")]),
        ("own", &[("\u{4}a", "avro: is cut off")]),
    ] {
        eventually("dead letters", || dead(&houses, name).len() == expected.len());
        for ((payload, reason), (sent, why)) in dead(&houses, name).iter().zip(expected) {
            if name != "pack" {
                assert_eq!(payload, sent);
            }
            assert!(reason.starts_with(why), "{reason}");
        }
    }
    // What a filter sends on whole are the bytes that came.
    assert_eq!(houses.records("side").into_iter().map(|(payload, _)| payload).collect::<Vec<_>>(), ["\u{fffd}e emit"]);
    houses.stop();
}

/// A schema registry: answers by path; what it does not know is 404; `None` is a machine that is down.
fn registry(answers: Arc<Mutex<Option<BTreeMap<String, String>>>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(stream);
            let mut path = String::new();
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap_or(0) == 0 || line.trim().is_empty() {
                    break;
                }
                if let Some(rest) = line.strip_prefix("GET ") {
                    rest.split(' ').next().unwrap_or_default().clone_into(&mut path);
                }
            }
            let (status, body) = match &*answers.lock() {
                None => ("503 Service Unavailable", String::new()),
                Some(known) => match known.get(&path) {
                    Some(body) => ("200 OK", body.clone()),
                    None => ("404 Not Found", json!({ "error_code": 40403, "message": "Schema not found" }).to_string()),
                },
            };
            let reply = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
            // Who asked may have given up.
            let _ = reader.get_mut().write_all(reply.as_bytes());
        }
    });
    url
}

fn schemas() -> BTreeMap<String, String> {
    let main =
        r#"{"type":"record","name":"m.Order","fields":[{"name":"message","type":"string"},{"name":"who","type":"m.Who"}]}"#;
    let who = r#"{"type":"record","name":"m.Who","fields":[{"name":"id","type":"int"}]}"#;
    [
        ("/schemas/ids/7", json!({ "schema": main, "references": [{ "name": "m.Who", "subject": "who", "version": 1 }] })),
        ("/subjects/who/versions/1", json!({ "schema": who, "subject": "who", "id": 3, "version": 1 })),
        ("/schemas/ids/8", json!({ "schema": "{}", "schemaType": "PROTOBUF" })),
    ]
    .map(|(path, body)| (path.to_owned(), body.to_string()))
    .into()
}

#[test]
fn an_outage_of_the_registry_makes_lanes_wait_and_no_dead_letters() {
    let answers = Arc::new(Mutex::new(None));
    let url = registry(answers.clone());
    let framed = |url: &str| avro(AvroSpec { schema_registry: Some(url.to_owned()), ..AvroSpec::default() });
    let topics = [("orders", framed(&url)), ("stuck", framed(&format!("{url}/")))];
    let topics = topics.map(|(name, config)| (name.to_owned(), config)).into();
    let houses = Houses::start(Config { topics, workers: 1, ..Config::default() });
    houses.append(
        "orders",
        0,
        &[&b"no frame"[..], b"\0\0\0\0\x07\x02a\x02", b"\0\0\0\0\x08\x02", b"\0\0\0\0\x09\x02", b"\0\0\0\0\x07\x02b\x04"],
    );
    houses.append("stuck", 0, &[&b"\0\0\0\0\x07\x02a\x02"[..]]);
    houses.append("web", 0, &["x others go on"]);
    houses.handled("web");
    eventually("the lane says why it waits", || {
        houses
            .lane("orders", 0)
            .is_some_and(|lane| lane.state == "schema" && lane.last_error.is_some_and(|why| why.contains("503")))
    });
    let lane = houses.lane("orders", 0).expect("a lane");
    assert_eq!((lane.next, lane.failed), (0, 0), "all of a call waits, or none: {lane:?}");
    let status = houses.relay.registries();
    assert!(status.len() == 1 && !status[0].is_up && status[0].waiting == 1 && status[0].failed > 0, "{status:?}");
    assert_eq!(houses.queue.topic("_dead.orders").map(|topic| topic.name().to_string()), None);
    // Who does not want to wait may say that the records are something else.
    houses.relay.change("stuck", Change { codec: Some(Some(CodecName::Plain.into())), chain: None }).expect("a codec");
    houses.handled("stuck");
    assert_eq!(messages(&houses, "stuck"), ["\0\0\0\0\u{7}\u{2}a\u{2}"]);

    *answers.lock() = Some(schemas());
    houses.handled("orders");
    assert_eq!(messages(&houses, "orders"), ["a", "b"]);
    eventually("dead letters", || dead(&houses, "orders").len() == 3);
    let reasons: Vec<String> = dead(&houses, "orders").into_iter().map(|(_, reason)| reason).collect();
    assert!(reasons[0].contains("0x00") && reasons[1].contains("PROTOBUF"), "{reasons:?}");
    assert!(reasons[2].contains("schema 9") && reasons[2].contains("Schema not found"), "{reasons:?}");
    assert!(houses.relay.registries()[0].is_up);
    // What is known is not asked for again.
    *answers.lock() = None;
    houses.append("orders", 0, &[&b"\0\0\0\0\x07\x02c\x02"[..], b"\0\0\0\0\x07\x02"]);
    houses.handled("orders");
    assert_eq!(messages(&houses, "orders").last().map(String::as_str), Some("c"));
    houses.stop();
}

#[test]
fn a_codec_that_does_not_hold_is_refused_and_the_running_one_stays() {
    let houses = Houses::start(Config::default());
    for (codec, why) in [
        (CodecSpec { codec: CodecName::Avro, avro: None }, "avro"),
        (
            CodecSpec { codec: CodecName::Avro, avro: Some(AvroSpec { schema: Some("{".into()), ..AvroSpec::default() }) },
            "avro.schema",
        ),
        (
            CodecSpec {
                codec: CodecName::Avro,
                avro: Some(AvroSpec { schema_file: Some("/etc/passwd".into()), ..AvroSpec::default() }),
            },
            "configuration file",
        ),
    ] {
        let error = houses.relay.change("web", Change { codec: Some(Some(codec)), chain: None }).expect_err("no codec");
        assert!(error.to_string().contains(why), "{error}");
    }
    houses.append("web", 0, &["x one"]);
    houses.handled("web");
    assert_eq!(houses.lane("web", 0).map(|lane| (lane.generation, lane.stored)), Some((1, 1)));
    houses.stop();
}

/// Over the API, and across a restart, where a registry that is down makes no difference any more.
#[test]
fn the_api_sets_codecs_and_they_stay() {
    let answers = Arc::new(Mutex::new(Some(schemas())));
    let url = registry(answers.clone());
    let dir = tempfile::tempdir().unwrap();
    {
        let sawbox = TestBox::start(dir.path(), "");
        let put = |body: serde_json::Value| {
            sawbox.send("PUT", "/api/v1/topics/orders/chain", "application/json", body.to_string().as_bytes())
        };
        let (status, text) = put(json!({ "codec": "avro", "avro": { "schema_registry": url } }));
        assert_eq!(status, 200, "{text}");
        for wrong in
            [json!({ "codec": "xml" }), json!({ "avro": {} }), json!({ "codec": "avro" }), json!({ "colour": 1 }), json!(7)]
        {
            assert_eq!(put(wrong.clone()).0, 400, "{wrong}");
        }
        let (_, text) = sawbox.get("/api/v1/topics/orders/chain", &[]);
        let chain: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (&chain["codec"], &chain["avro"], &chain["chain"][0]["filter"]),
            (&json!("avro"), &json!({ "schema_registry": url }), &json!("json"))
        );
        sawbox.ingest("orders", "\0\0\0\0\u{7}\u{2}a\u{2}");
        assert_eq!(sawbox.query("_topic:=orders")[0]["who.id"], 1);
        // The old form changes the filters alone.
        assert_eq!(put(json!([])).0, 200);
        sawbox.ingest("orders", "\0\0\0\0\u{7}\u{2}b\u{4}");
        assert_eq!(sawbox.query("_topic:=orders message:who")[0]["message"], "{\"message\":\"b\",\"who\":{\"id\":2}}");
        let (_, metrics) = sawbox.get("/metrics", &[]);
        assert!(metrics.contains("sawbox_schema_registry_up{registry="), "{metrics}");
        assert!(metrics.contains("sawbox_lane_awaits_schema{topic=\"orders\",partition=\"0\"} 0"), "{metrics}");
    }
    *answers.lock() = None;
    let sawbox = TestBox::start(dir.path(), "");
    sawbox.ingest("orders", "\0\0\0\0\u{7}\u{2}c\u{6}");
    assert_eq!(sawbox.query("_topic:=orders | stats count() as n")[0]["n"], 3);
    let (status, text) =
        sawbox.send("PUT", "/api/v1/topics/orders/chain", "application/json", b"{\"codec\":null,\"chain\":null}");
    assert_eq!(status, 200, "{text}");
    let (_, text) = sawbox.get("/api/v1/topics/orders/chain", &[]);
    assert!(text.contains("\"codec\":null") && text.contains("json"), "{text}");
}

/// Records of one key keep their order, through several partitions and batches, into the store.
#[test]
fn order_within_a_key_holds_into_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let topics = "[topics.http]\npartitions = 4\n[topics.bulk]\npartitions = 4\n[topics.text]\npartitions = 4";
    let sawbox = TestBox::start_with(dir.path(), "ingest.elastic.key_field = \"user.id\"", topics);
    let bulk = format!("http://{}/_bulk", sawbox.address("Elasticsearch"));
    for round in 0..20 {
        let numbers = round * 50..round * 50 + 50;
        let lines: Vec<String> =
            numbers.map(|n| json!({ "n": n, "user": { "id": format!("u{}", n % 7) } }).to_string()).collect();
        let body = lines.join("\n");
        let (status, text) = sawbox.send("POST", "/api/v1/ingest/http?key=user.id", "application/x-ndjson", body.as_bytes());
        assert_eq!(status, 200, "{text}");
        let body: String = lines.iter().map(|line| format!("{{\"index\":{{\"_index\":\"bulk\"}}}}\n{line}\n")).collect();
        let (status, text) = sawbox.send("POST", &bulk, "application/x-ndjson", body.as_bytes());
        assert!(status == 200 && text.contains("\"errors\":false"), "{text}");
        let (status, text) =
            sawbox.send("POST", &format!("/api/v1/ingest/text?key=host&field.host=h{}", round % 3), "text/plain", b"one\ntwo");
        assert_eq!(status, 200, "{text}");
    }
    sawbox.settle();
    for topic in ["http", "bulk"] {
        let rows = sawbox.query(&format!("_topic:={topic}"));
        assert_eq!(rows.len(), 1000);
        let mut of_key: BTreeMap<&str, Vec<(u64, u64, u64)>> = BTreeMap::new();
        for row in &rows {
            let number = |name: &str| row[name].as_u64().unwrap();
            of_key.entry(row["user.id"].as_str().unwrap()).or_default().push((
                number("_partition"),
                number("_offset"),
                number("n"),
            ));
        }
        let mut used = std::collections::BTreeSet::new();
        for (key, mut all) in of_key {
            all.sort_unstable();
            used.insert(all[0].0);
            assert!(all.iter().all(|(partition, ..)| *partition == all[0].0), "{topic}: {key} is in several partitions");
            assert!(all.is_sorted_by_key(|(_, _, n)| *n), "{topic}: {key} is out of order: {all:?}");
        }
        assert!(used.len() > 1, "{topic}: keys are spread");
    }
    for host in ["h0", "h1", "h2"] {
        let rows = sawbox.query(&format!("_topic:=text host:={host}"));
        assert!(!rows.is_empty() && rows.iter().all(|row| row["_partition"] == rows[0]["_partition"]), "{rows:?}");
    }
}
