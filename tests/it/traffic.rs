//! Quotas and routes over real sockets: what every receiver does with who is over one, and where records go.

use std::net::UdpSocket;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use sawbox::base::units::Bytes as Size;
use sawbox::queue::Compression;
use sawbox::queue::traffic::{Action, Direction, Quota, Route};
use sawbox_appliance::lumberjack::Client as Shipper;
use serde_json::json;

use crate::ingest_rig::{Rig, config, lines};
use crate::kafka_wire::{Client, batch, fetch_request, make, produce, produce_request};

/// Of one topic: it takes one batch, and then nothing for as long as any test runs.
fn quota(topic: &str, action: Action) -> Quota {
    Quota {
        name: format!("q-{topic}"),
        topic: Some(topic.into()),
        principal: None,
        client_id: None,
        direction: Direction::Produce,
        bytes_per_second: Size(1),
        burst: Some(Size(1)),
        action,
        to: (action == Action::Divert).then(|| format!("{topic}.bursty")),
    }
}

fn route(topic: &str, when: &str, to: &str) -> Route {
    Route { name: String::new(), topic: topic.into(), when: when.into(), to: to.into() }
}

fn payloads(rig: &Rig, topic: &str) -> Vec<String> {
    rig.records(topic).into_iter().map(|got| got.payload).collect()
}

#[test]
fn http_is_told_who_is_over_what_and_when_to_come_again() {
    let mut config = config();
    config.http.patience.0 = Duration::from_millis(100);
    let rig = Rig::new(&config);
    for (topic, action) in [("refused", Action::Refuse), ("throttled", Action::Throttle)] {
        rig.queue.put_quota(quota(topic, action)).unwrap();
        let post = || rig.request("POST", &format!("/api/v1/ingest/{topic}"), &[], b"one\ntwo\n");
        assert_eq!(post().0, 200, "{topic}: there was something in the bucket");
        let (status, head, answer) = post();
        assert_eq!((status, &answer["accepted"]), (429, &json!(0)), "{topic}: {answer}");
        let reason = answer["error"]["message"].as_str().unwrap();
        assert!(reason.contains(&format!("`q-{topic}`")) && reason.contains("1 a second"), "{reason}");
        let after: u64 = head.split("retry-after: ").nth(1).unwrap().split("\r\n").next().unwrap().parse().unwrap();
        assert!((20..4000).contains(&after), "{head}");
        // A bulk, whole, in its own words.
        let bulk = b"{\"create\":{}}\n{\"a\":1}\n";
        let (status, head, answer) = rig.request("POST", &format!("/{topic}/_bulk"), &[], bulk);
        assert_eq!((status, answer["error"]["type"].as_str()), (429, Some("es_rejected_execution_exception")), "{answer}");
        assert!(head.contains("retry-after: "), "{head}");
        assert_eq!(rig.request("POST", "/api/v1/ingest/other", &[], b"one\n").0, 200, "others do not mind");
        assert!(rig.queue.traffic().remove_quota(&format!("q-{topic}")).unwrap());
        assert_eq!(post().0, 200, "{topic}: the rule is gone");
    }
    assert_eq!((payloads(&rig, "refused").len(), payloads(&rig, "throttled").len()), (4, 4));
    rig.stop();
}

#[test]
fn beats_over_a_quota_are_not_read_until_a_rule_changes() {
    for action in [Action::Refuse, Action::Throttle] {
        let rig = Rig::new(&config());
        rig.queue.put_quota(quota("beats", action)).unwrap();
        let mut shipper = Shipper::connect(rig.address("beats")).unwrap();
        shipper.send_lines(&[], &["first"]).unwrap();
        let queue = rig.queue.clone();
        let mut waiting = Shipper::connect(rig.address("beats")).unwrap();
        let second = std::thread::spawn(move || {
            waiting.send_lines(&[], &["second"]).unwrap();
            queue.traffic().quotas().is_empty()
        });
        if action == Action::Refuse {
            std::thread::sleep(Duration::from_millis(300));
            assert_eq!(payloads(&rig, "beats"), ["first"]);
            assert!(rig.queue.traffic().remove_quota("q-beats").unwrap());
            assert!(second.join().unwrap(), "it was answered only when the rule was gone");
            let mut more = Shipper::connect(rig.address("beats")).unwrap();
            more.send_lines(&[], &["third"]).unwrap();
            assert_eq!(payloads(&rig, "beats"), ["first", "second", "third"]);
        } else {
            // What was read before the bucket was looked at is taken, and paid for by waiting.
            second.join().unwrap();
            assert!(!rig.queue.traffic().quotas()[0].count.throttled.is_zero());
            assert_eq!(payloads(&rig, "beats"), ["first", "second"]);
        }
        rig.stop();
    }
}

#[test]
fn a_noisy_source_is_moved_by_hand_and_by_itself() {
    let rig = Rig::new(&config());
    // By hand: a header of one receiver, a field of the document of another, an address.
    rig.queue.put_route(route("web", "host:web-7", "web.bursty")).unwrap();
    let sent = lines(300);
    for (host, sent) in ["web-1", "web-7", "web-2"].iter().zip(sent.chunks(100)) {
        let path = format!("/api/v1/ingest/web?field.host={host}");
        assert_eq!(rig.request("POST", &path, &[], sent.join("\n").as_bytes()).0, 200);
    }
    assert_eq!(payloads(&rig, "web"), [&sent[..100], &sent[200..]].concat());
    assert_eq!(payloads(&rig, "web.bursty"), sent[100..200], "in order");
    let bulk: String = (0..40).map(|n| format!("{{\"create\":{{}}}}\n{{\"n\":{n},\"host\":\"web-{}\"}}\n", n % 10)).collect();
    let (status, _, answer) = rig.request("POST", "/web/_bulk", &[], bulk.as_bytes());
    assert_eq!((status, &answer["errors"]), (200, &json!(false)));
    assert_eq!((payloads(&rig, "web").len(), payloads(&rig, "web.bursty").len()), (236, 104));
    let count = rig.queue.traffic().routes()[0].count;
    assert_eq!(count.diverted_records, 104);
    rig.queue.put_route(route("syslog", "_peer:127.0.0.0/8", "local")).unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.send_to(b"<14>Oct 11 22:14:15 web-1 app: hello", rig.address("syslog/udp")).unwrap();
    assert_eq!(rig.wait_for("local", 1).len(), 1);
    assert!(rig.queue.traffic().remove_route("route-1").unwrap());
    rig.request("POST", "/api/v1/ingest/web?field.host=web-7", &[], b"home again");
    assert_eq!(payloads(&rig, "web").last().unwrap(), "home again");

    // By itself: past its quota, until it is quiet.
    rig.queue.put_quota(quota("shop", Action::Divert)).unwrap();
    for n in 0..5 {
        assert_eq!(rig.request("POST", "/api/v1/ingest/shop", &[], format!("line {n}").as_bytes()).0, 200);
    }
    assert_eq!(payloads(&rig, "shop"), ["line 0"]);
    assert_eq!(payloads(&rig, "shop.bursty"), ["line 1", "line 2", "line 3", "line 4"]);
    rig.stop();
}

#[test]
fn datagrams_over_a_quota_are_counted_as_lost() {
    let rig = Rig::new(&config());
    rig.queue.put_quota(quota("syslog", Action::Refuse)).unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for line in ["<14>first", "<14>second"] {
        socket.send_to(line.as_bytes(), rig.address("syslog/udp")).unwrap();
        rig.wait_for("syslog", 1);
    }
    rig.wait_for_counter("syslog/udp", "dropped", 1);
    assert_eq!(payloads(&rig, "syslog").len(), 1);
    rig.stop();
}

#[test]
fn kafka_clients_are_muted_refused_and_moved() {
    let rig = Rig::new(&config());
    for topic in ["t", "r", "d"] {
        make(&rig, topic, 3);
    }
    // Throttled: taken, told how long, and not read for so long. A second's worth is one byte: the client is told half a minute.
    rig.queue.put_quota(Quota { bytes_per_second: Size(1000), ..quota("t", Action::Throttle) }).unwrap();
    let mut client = Client::connect(rig.address("kafka"));
    let answer = client.ask(9, &produce_request(&rig, 9, "t", 2, -1, batch(&["a"; 20], Compression::None)));
    assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
    assert!((100..2000).contains(&answer.throttle_time_ms), "{}", answer.throttle_time_ms);
    let began = std::time::Instant::now();
    assert_eq!(produce(&rig, &mut client, "d", 0, batch(&["x"], Compression::None)).error_code, 0);
    assert!(began.elapsed() >= Duration::from_millis(50), "the connection was muted");

    // Refused, for good, with the reason.
    rig.queue.put_quota(quota("r", Action::Refuse)).unwrap();
    assert_eq!(produce(&rig, &mut client, "r", 0, batch(&["b"], Compression::None)).error_code, 0);
    let refused = produce(&rig, &mut client, "r", 0, batch(&["b"], Compression::None));
    assert_eq!(refused.error_code, ResponseError::PolicyViolation.code());
    assert!(refused.error_message.unwrap().contains("`q-r`"));

    // Sent elsewhere by what the client calls itself, to the partition of the same number, in a topic made like its source.
    rig.queue.put_route(route("d", "_client:te*", "d.moved")).unwrap();
    assert_eq!(produce(&rig, &mut client, "d", 2, batch(&["c", "d"], Compression::Lz4)).error_code, 0);
    let moved = rig.queue.topic("d.moved").unwrap();
    assert_eq!((moved.partitions().len(), moved.partition(2).unwrap().high_watermark()), (3, 2));
    assert_eq!(rig.queue.topic("d").unwrap().partition(2).unwrap().high_watermark(), 0);
    assert!(rig.queue.traffic().remove_route("route-1").unwrap());

    // By a field that all records of a batch have, header or document; a mixed batch stays.
    rig.queue.put_route(route("d", "host:web-7", "d.moved")).unwrap();
    for (records, to) in [
        (&[r#"{"host":"web-7"}"#, r#"{"host":"web-7","n":1}"#][..], "d.moved"),
        (&[r#"{"host":"web-7"}"#, r#"{"host":"web-8"}"#], "d"),
    ] {
        let before = rig.queue.topic(to).unwrap().partition(1).unwrap().high_watermark();
        assert_eq!(produce(&rig, &mut client, "d", 1, batch(records, Compression::Lz4)).error_code, 0);
        assert_eq!(rig.queue.topic(to).unwrap().partition(1).unwrap().high_watermark(), before + 2, "{to}");
    }
    rig.stop();
}

fn stamped(batch: &Bytes, sequence: i32) -> Bytes {
    let mut bytes = batch.to_vec();
    bytes[43..51].copy_from_slice(&7_i64.to_be_bytes());
    bytes[51..53].copy_from_slice(&0_i16.to_be_bytes());
    bytes[53..57].copy_from_slice(&sequence.to_be_bytes());
    let crc = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes.into()
}

#[test]
fn idempotent_producers_stay_exact_when_they_are_moved() {
    let rig = Rig::new(&config());
    make(&rig, "home", 1);
    let mut client = Client::connect(rig.address("kafka"));
    let mut send = |sequence: i32| {
        let one = stamped(&batch(&[&format!("n {sequence}")], Compression::None), sequence);
        let answer = produce(&rig, &mut client, "home", 0, one);
        (answer.error_code, answer.base_offset)
    };
    assert_eq!(send(0), (0, 0));
    let name = rig.queue.put_route(route("home", "*", "away")).unwrap();
    assert_eq!((send(1), send(2)), ((0, 0), (0, 1)));
    assert_eq!((send(0), send(1)), ((0, 0), (0, 0)), "known again, wherever they are");
    assert_eq!(send(4).0, ResponseError::OutOfOrderSequenceNumber.code());
    rig.queue.traffic().remove_route(&name).unwrap();
    assert_eq!((send(2), send(3)), ((0, 1), (0, 1)), "and from the other side");
    assert_eq!(payloads(&rig, "home"), ["n 0", "n 3"]);
    assert_eq!(payloads(&rig, "away"), ["n 1", "n 2"]);
    rig.stop();
}

#[test]
fn consumers_over_a_quota_wait_for_the_next_answer() {
    let rig = Rig::new(&config());
    make(&rig, "t", 1);
    let consume =
        Quota { topic: None, direction: Direction::Consume, bytes_per_second: Size(1000), ..quota("c", Action::Throttle) };
    rig.queue.put_quota(consume).unwrap();
    let mut client = Client::connect(rig.address("kafka"));
    produce(&rig, &mut client, "t", 0, batch(&["x"; 30], Compression::None));
    for version in [4, 12, 16] {
        let answer = client.ask(version, &fetch_request(&rig, version, "t", 0, 0));
        assert!(answer.responses[0].partitions[0].records.as_ref().is_some_and(|records| records.len() > 500));
        assert!((100..3000).contains(&answer.throttle_time_ms), "{} in version {version}", answer.throttle_time_ms);
    }
    assert!(!rig.queue.traffic().quotas()[0].count.throttled.is_zero());
    rig.stop();
}

#[test]
fn json_arrays_of_any_size_are_taken_apart() {
    let rig = Rig::new(&config());
    let json = [("content-type", "application/json")];
    // One line of many more records than a batch holds: each carries the fields of the request.
    let pad = "p".repeat(200);
    let many = 100_000;
    let line = format!("[{}0]", "1,".repeat(many - 1));
    let (status, _, answer) = rig.request("POST", &format!("/api/v1/ingest/one?field.pad={pad}"), &json, line.as_bytes());
    assert_eq!((status, &answer), (200, &json!({ "accepted": many, "rejected": 0 })));
    // An array of 17 MiB, over many lines, as programs print them.
    let elements: Vec<String> =
        (0..9000).map(|n| format!("  {{\n    \"n\": {n},\n    \"text\": \"{}\"\n  }}", "x".repeat(2000))).collect();
    let body = format!("[\n{}\n]\n", elements.join(",\n"));
    assert!(body.len() > 17 << 20);
    let (status, _, answer) = rig.request("POST", "/api/v1/ingest/large", &json, body.as_bytes());
    assert_eq!((status, &answer), (200, &json!({ "accepted": 9000, "rejected": 0 })));
    let got = payloads(&rig, "large");
    assert_eq!((got.len(), got[8999].trim()), (9000, elements[8999].trim()));
    // Broken inside: what came before is kept and counted, and the place is told.
    let (status, _, answer) = rig.request("POST", "/api/v1/ingest/broken", &json, b"[{\"a\":1},{\"a\":2} {\"a\":3}]");
    assert_eq!((status, &answer["accepted"]), (400, &json!(2)), "{answer}");
    assert!(answer["error"]["message"].as_str().unwrap().contains("element 3"), "{answer}");
    rig.stop();
}
