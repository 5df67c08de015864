//! The receivers that speak HTTP, end to end: what was answered is in the queue, durable and whole.

use std::io::Write;

use serde_json::json;

use crate::ingest_rig::{Rig, config, lines};

#[test]
fn http_takes_lines_and_json_in_any_encoding() {
    let rig = Rig::new(&config());
    let sent = lines(5000);
    let body = sent.join("\n");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(body.as_bytes()).unwrap();
    let bodies = [
        ("", body.clone().into_bytes()),
        ("gzip", gzip.finish().unwrap()),
        ("zstd", zstd::encode_all(body.as_bytes(), 1).unwrap()),
    ];
    for (number, (encoding, body)) in bodies.iter().enumerate() {
        let (status, _, answer) = rig.request(
            "POST",
            &format!("/api/v1/ingest/web{number}?field.app=my+shop"),
            &[("content-encoding", encoding)],
            body,
        );
        assert_eq!((status, &answer), (200, &json!({ "accepted": 5000, "rejected": 0 })), "{encoding}");
        let got = rig.records(&format!("web{number}"));
        assert_eq!(got.iter().map(|got| got.payload.as_str()).collect::<Vec<_>>(), sent);
        assert_eq!((got[0].header("app"), got[0].header("_peer")), (Some("my shop"), Some("127.0.0.1")));
    }
    let documents = b"{\"ts\":\"2015-05-17T10:05:03Z\"}\nnot json\n\n[{\"a\":1},{\"a\":2}]\r\n{\"ts\":1431857103";
    let (status, _, answer) =
        rig.request("POST", "/api/v1/ingest/docs?timestamp_field=ts", &[("content-type", "application/x-ndjson")], documents);
    assert_eq!((status, &answer["accepted"], &answer["rejected"]), (200, &json!(3), &json!(2)));
    assert_eq!((&answer["errors"][0]["line"], &answer["errors"][1]["line"]), (&json!(2), &json!(5)));
    let got = rig.records("docs");
    assert_eq!((got[0].timestamp_ms, got[1].payload.as_str()), (1_431_857_103_000, "{\"a\":1}"));
    for (path, headers, body, wanted) in [
        ("/api/v1/ingest/_dead.x", &[][..], &b"a"[..], 400),
        ("/api/v1/ingest/a%20b", &[], b"a", 400),
        ("/api/v1/ingest/ok?field._x=1", &[], b"a", 400),
        ("/api/v1/ingest/ok?what=1", &[], b"a", 400),
        ("/api/v1/ingest/ok", &[("content-encoding", "br")], b"a", 415),
        ("/api/v1/ingest/ok", &[("content-encoding", "gzip")], b"not gzip at all", 400),
    ] {
        let (status, _, answer) = rig.request("POST", path, headers, body);
        assert_eq!(status, wanted, "{path}: {answer}");
        assert!(answer["error"]["message"].is_string(), "{path}: {answer}");
    }
    // A record over its limit is refused by number, the rest is taken.
    let long = [&b"a\n"[..], &vec![b'x'; (1 << 20) + 1], b"\nb\n"].concat();
    let (status, _, answer) = rig.request("POST", "/api/v1/ingest/long", &[], &long);
    assert_eq!((status, &answer["accepted"], &answer["errors"][0]["line"]), (200, &json!(2), &json!(2)));
    // Zeros without end stop at the ratio, long before the cap.
    let bomb = zstd::encode_all(&vec![b'\n'; 64 << 20][..], 3).unwrap();
    let (status, _, answer) = rig.request("POST", "/api/v1/ingest/bomb", &[("content-encoding", "zstd")], &bomb);
    assert_eq!(status, 400, "{answer}");
    rig.stop();
}

#[test]
fn elastic_bulk_is_answered_item_by_item() {
    let rig = Rig::new(&config());
    let media = "application/vnd.elasticsearch+json; compatible-with=9";
    let body = concat!(
        "{\"create\":{\"_index\":\"shop-2026.11.20\"}}\n{\"message\":\"one\"}\n",
        "{\"index\":{\"_index\":\"logs-x-default\",\"_id\":\"mine\"}}\n{\"message\":\"two\"}\n",
        "{\"delete\":{\"_index\":\"shop\",\"_id\":\"1\"}}\n",
        "{\"update\":{\"_index\":\"shop\",\"_id\":\"1\"}}\n{\"doc\":{}}\n",
        "{\"create\":{\"_index\":\"_own\"}}\n{}\n",
        "{\"create\":{\"_index\":\"shop\"}}\n17\n",
    );
    let (status, head, answer) = rig.request("PUT", "/_bulk", &[("accept", media), ("content-type", media)], body.as_bytes());
    assert_eq!(status, 200, "{answer}");
    assert!(head.contains("x-elastic-product: elasticsearch"), "{head}");
    assert!(head.contains("content-type: application/vnd.elasticsearch+json;compatible-with=9"), "{head}");
    let statuses: Vec<u64> = answer["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item.as_object().unwrap().values().next().unwrap()["status"].as_u64().unwrap())
        .collect();
    assert_eq!(statuses, [201, 201, 400, 400, 400, 400]);
    assert_eq!((&answer["errors"], &answer["items"][1]["index"]["_id"]), (&json!(true), &json!("mine")));
    assert_eq!(rig.records("shop")[0].payload, "{\"message\":\"one\"}");
    assert_eq!(rig.records("logs-x-default")[0].header("_id"), Some("mine"));

    let path = "/books/_bulk?filter_path=errors,items.*.error,items.*.status";
    let (_, _, answer) = rig.request("POST", path, &[], b"{\"create\":{}}\n{\"a\":1}\n");
    assert_eq!(answer, json!({ "errors": false, "items": [{ "create": { "status": 201 } }] }));
    for body in [&b""[..], b"nonsense\n{}\n", b"{\"create\":{}}\n{}\n", b"{\"create\":{\"_index\":\"a\"}}\n"] {
        let (status, _, answer) = rig.request("POST", "/_bulk", &[], body);
        assert_eq!((status, &answer["status"]), (400, &json!(400)), "{answer}");
    }
    let (status, _, answer) = rig.request("POST", "/books/_doc", &[], b"{\"a\":2}\n");
    assert_eq!((status, &answer["result"], &answer["_index"]), (201, &json!("created"), &json!("books")));
    let (status, _, answer) = rig.request("PUT", "/books/_create/7", &[], b"{\"a\":3}");
    assert_eq!((status, &answer["_id"]), (201, &json!("7")));
    assert_eq!(rig.records("books").len(), 3);
    rig.stop();
}

#[test]
fn elastic_clients_find_what_they_ask_for_at_start() {
    let rig = Rig::new(&config());
    for path in
        ["/", "/_license?human=false", "/_xpack", "/_nodes/http", "/_nodes/ingest", "/_nodes/_all/http", "/_cluster/health"]
    {
        let (status, head, answer) = rig.request("GET", path, &[], b"");
        assert!(status == 200 && answer.is_object() && head.contains("x-elastic-product"), "{path}: {status} {answer}");
    }
    assert_eq!(rig.request("HEAD", "/", &[], b"").0, 200);
    let (_, _, answer) = rig.request("GET", "/", &[], b"");
    assert!(answer["version"]["number"].as_str().unwrap().starts_with("8."));
    assert_eq!(rig.request("GET", "/_license", &[], b"").2["license"]["status"], "active");
    for (path, pointer) in [
        ("/_ilm/policy/filebeat", "/filebeat/policy"),
        ("/_index_template/filebeat-8.12.0", "/index_templates/0/index_template"),
        ("/_component_template/c", "/component_templates/0/component_template"),
        ("/_template/logstash", "/logstash"),
        ("/_data_stream/filebeat-8.12.0", "/data_streams/0/name"),
        ("/_ingest/pipeline/p", "/p"),
    ] {
        assert_eq!(rig.request("GET", path, &[], b"").0, 404, "{path}");
        assert_eq!(rig.request("HEAD", path, &[], b"").0, 404, "{path}");
        let (status, _, answer) = rig.request("PUT", path, &[], br#"{"policy":{},"template":{"mappings":{}}}"#);
        assert_eq!((status, answer), (200, json!({ "acknowledged": true })), "{path}");
        let (status, _, answer) = rig.request("GET", path, &[], b"");
        assert!(status == 200 && answer.pointer(pointer).is_some(), "{path}: {answer}");
        assert_eq!(rig.request("HEAD", path, &[], b"").0, 200, "{path}");
        assert_eq!(rig.request("PUT", path, &[], b"{").0, 400, "{path}");
    }
    rig.stop();
}
