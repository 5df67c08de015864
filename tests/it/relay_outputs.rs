//! Outputs against receivers that are down, slow, choosy, or fine.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;

use sawbox::base::units::Span;
use sawbox::relay::config::{Format, WebhookConfig, ZabbixConfig};
use sawbox::relay::{Config, OutputConfig, OutputStatus};

use crate::relay_box::{Houses, eventually};

/// Serves connections one after the other, for the rest of the test run.
fn serve(listener: TcpListener, mut each: impl FnMut(TcpStream) + Send + 'static) {
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            each(stream);
        }
    });
}

fn output(houses: &Houses) -> OutputStatus {
    houses.relay.outputs().remove(0)
}

/// A trapper that takes what has no `bad` in its value, and keeps (clock, value) of what it took, and how often.
fn zabbix(listener: TcpListener) -> Arc<Mutex<BTreeMap<String, (i64, String, String)>>> {
    let taken = Arc::new(Mutex::new(BTreeMap::new()));
    let kept = taken.clone();
    serve(listener, move |mut stream| {
        let mut head = [0; 13];
        stream.read_exact(&mut head).expect("a request");
        assert_eq!(&head[..5], b"ZBXD\x01");
        let mut body = vec![0; u32::from_le_bytes(head[5..9].try_into().expect("four")) as usize];
        stream.read_exact(&mut body).expect("a whole request");
        let request: Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(request["request"], "sender data");
        let (mut processed, mut failed) = (0, 0);
        for item in request["data"].as_array().expect("items") {
            let text = |name: &str| item[name].as_str().expect("text").to_owned();
            assert!(item["ns"].is_i64());
            if text("value").contains("bad") {
                failed += 1;
            } else {
                processed += 1;
                kept.lock().insert(text("value"), (item["clock"].as_i64().expect("seconds"), text("host"), text("key")));
            }
        }
        let info = format!("processed: {processed}; failed: {failed}; total: {}; seconds spent: 0.1", processed + failed);
        let reply = serde_json::json!({"response": "success", "info": info}).to_string();
        let mut frame = b"ZBXD\x01".to_vec();
        frame.extend_from_slice(&u32::try_from(reply.len()).expect("short").to_le_bytes());
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(reply.as_bytes());
        stream.write_all(&frame).expect("an answer");
    });
    taken
}

#[test]
fn zabbix_gets_what_it_missed_and_one_bad_item_delays_nobody() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    drop(listener);
    let config = ZabbixConfig {
        name: "zbx".into(),
        address: address.to_string(),
        when: Some("message:tell".into()),
        host: "{host|web}".into(),
        key: "apache.error[{mark}]".into(),
        timeout: Span(Duration::from_secs(2)),
        ..ZabbixConfig::default()
    };
    let houses = Houses::start(Config { outputs: vec![OutputConfig::Zabbix(config)], ..Config::default() });
    let lines: Vec<String> = (0..40)
        .map(|n| match n {
            7 | 23 => format!("x tell bad {n}"),
            n if n % 2 == 1 => format!("x tell {n}"),
            n => format!("x quiet {n}"),
        })
        .collect();
    houses.append("web", 0, &lines);
    houses.handled("web");
    eventually("the output fails", || output(&houses).state == "failing");
    assert_eq!((output(&houses).lag_records, output(&houses).sent), (20, 0), "it waits; the lane did not");

    let taken = zabbix(TcpListener::bind(address).expect("the same port"));
    eventually("all is delivered", || output(&houses).lag_records == 0);
    let status = output(&houses);
    assert_eq!((status.sent, status.failed, status.state), (18, 2, "running"));
    let taken = taken.lock();
    assert_eq!(taken.len(), 18);
    assert!(
        taken.iter().all(|(value, (clock, host, key))| {
            value.starts_with("x tell") && *clock > 1_600_000_000 && host == "web1" && key == "apache.error[a]"
        }),
        "{taken:?}"
    );
    let dead = houses.records("_dead._out.zbx");
    assert_eq!(dead.len(), 2);
    for (row, headers) in dead {
        assert!(row.contains("bad"));
        assert!(headers.iter().any(|(name, value)| name == "_reason" && value.contains("apache.error[a]")), "{headers:?}");
    }
    houses.stop();
}

#[test]
fn a_zabbix_item_that_cannot_be_made_is_a_dead_letter() {
    let taken_by = TcpListener::bind("127.0.0.1:0").expect("a port");
    let config = ZabbixConfig {
        name: "zbx".into(),
        address: taken_by.local_addr().expect("bound").to_string(),
        host: "{nothing}".into(),
        ..ZabbixConfig::default()
    };
    let _taken = zabbix(taken_by);
    let houses = Houses::start(Config { outputs: vec![OutputConfig::Zabbix(config)], ..Config::default() });
    houses.append("web", 0, &["x one"]);
    eventually("it is refused", || output(&houses).failed == 1);
    let dead = houses.records("_dead._out.zbx");
    assert!(dead[0].1.iter().any(|(name, value)| name == "_reason" && value.contains("nothing")), "{dead:?}");
    houses.stop();
}

/// An HTTP server that answers by a function of (number of the request, body); keeps bodies answered with 200.
fn http(answer: impl Fn(usize, &str) -> &'static str + Send + 'static) -> (String, Arc<Mutex<Vec<String>>>, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/in", listener.local_addr().expect("bound"));
    let (taken, requests) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
    let (kept, counted) = (taken.clone(), requests.clone());
    serve(listener, move |stream| {
        let mut reader = BufReader::new(stream);
        let mut length = 0;
        let mut token = false;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            let line = line.trim().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length");
            }
            token |= line == "x-token: secret";
        }
        assert!(token, "the configured header comes along");
        let mut body = vec![0; length];
        reader.read_exact(&mut body).expect("a whole body");
        let body = String::from_utf8(body).expect("JSON is UTF-8");
        let status = answer(counted.fetch_add(1, Ordering::SeqCst), &body);
        if status.starts_with("200") {
            kept.lock().push(body);
        }
        let reply = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        reader.get_mut().write_all(reply.as_bytes()).expect("an answer");
    });
    (url, taken, requests)
}

fn webhook(url: String, format: Format) -> Config {
    let headers = [("x-token".to_owned(), "secret".to_owned())].into();
    let config = WebhookConfig { name: "hook".into(), url, format, headers, batch: 10, ..WebhookConfig::default() };
    Config { outputs: vec![OutputConfig::Webhook(config)], ..Config::default() }
}

#[test]
fn a_webhook_is_tried_again_and_each_row_has_its_id() {
    let (url, taken, requests) = http(|number, _| match number {
        0 => "503 Service Unavailable",
        1 => "429 Too Many Requests\r\nretry-after: 0",
        _ => "200 OK",
    });
    let houses = Houses::start(webhook(url, Format::Json));
    let lines: Vec<String> = (0..25).map(|n| format!("x {n}")).collect();
    houses.append("web", 0, &lines);
    eventually("all is delivered", || output(&houses).sent == 25);
    assert!(requests.load(Ordering::SeqCst) >= 5);
    let rows: Vec<Value> =
        taken.lock().iter().flat_map(|body| serde_json::from_str::<Vec<Value>>(body).expect("an array")).collect();
    let topic = houses.queue.topic("web").expect("configured").id();
    for (n, row) in rows.iter().enumerate() {
        assert_eq!(row["id"], format!("{topic}/0@{n}#0"));
        assert_eq!(
            (&row["message"], &row["_topic"], &row["_generation"]),
            (&format!("x {n}").into(), &"web".into(), &1.into())
        );
    }
    assert_eq!((rows.len(), output(&houses).failed), (25, 0));
    houses.stop();
}

#[test]
fn a_row_that_a_webhook_refuses_is_a_dead_letter_and_the_rest_is_taken() {
    let (url, taken, _) = http(|_, body| if body.contains("bad") { "400 Bad Request" } else { "200 OK" });
    let houses = Houses::start(webhook(url, Format::Ndjson));
    houses.append("web", 0, &["x 0", "x 1", "x bad", "x 3", "x 4"]);
    eventually("all is settled", || output(&houses).lag_records == 0 && output(&houses).sent == 4);
    assert_eq!(output(&houses).failed, 1);
    assert_eq!(taken.lock().iter().map(|body| body.lines().count()).sum::<usize>(), 4);
    let dead = houses.records("_dead._out.hook");
    assert!(dead.len() == 1 && dead[0].0.contains("bad"), "{dead:?}");
    houses.stop();
}
