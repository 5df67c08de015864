//! What a page and the command line ask beside rows: the plan of a query, rows around a row, proposals, tables of the box.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::TestBox;

#[test]
fn an_answer_of_fewer_rows_than_were_asked_for_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let sawbox = TestBox::start_with(dir.path(), "web.query_rows = 3\n", "");
    sawbox.ingest("web", "a\nb\nc\nd\n");
    for (asked, came) in [("10", 3), ("2", 2)] {
        let (_, text) = sawbox.get("/api/v1/query", &[("q", "*"), ("limit", asked), ("stats", "true"), ("wait", "9s")]);
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((lines.len(), &lines[came]["_stats"]["limit"]), (came + 1, &came.into()), "{text}");
    }
}

#[test]
fn a_query_is_explained_completed_and_set_in_context() {
    let dir = tempfile::tempdir().unwrap();
    let sawbox = TestBox::start(dir.path(), "");
    let lookups = dir.path().join("data/lookups");
    std::fs::create_dir_all(&lookups).unwrap();
    std::fs::write(lookups.join("apps.json"), r#"{"shop": {"owner": "ann"}}"#).unwrap();
    let lines: String = (0..40)
        .map(|at| {
            format!("{{\"app\":\"{}\",\"ms\":{at},\"message\":\"user=u{} took {at}ms\"}}\n", ["shop", "blog"][at % 2], at % 3)
        })
        .collect();
    sawbox.ingest("web", &lines);
    let ask = |path: &str, query: &[(&str, &str)]| -> Value {
        let (status, text) = sawbox.get(path, query);
        assert_eq!(status, 200, "{path}: {text}");
        serde_json::from_str(&text).unwrap()
    };

    let rows = sawbox
        .query("app:shop | extract \"user=<user> took <took>ms\" | eval twice = took * 2 | stats max(twice), values(user)");
    assert_eq!((rows[0]["max(twice)"].as_f64(), rows[0]["values(user)"].as_array().map(Vec::len)), (Some(76.0), Some(3)));
    let rows = sawbox.query("* | lookup apps.json on app fields owner | stats count() by owner");
    assert_eq!(
        (rows[0]["owner"].as_str(), rows[0]["count()"].as_u64(), rows[1]["owner"].is_null()),
        (Some("ann"), Some(20), true)
    );
    let owners = "* | lookup apps.json on app fields owner | stats count() by owner";
    let (status, text) = sawbox.get("/api/v1/export", &[("q", owners), ("format", "csv")]);
    assert!(status == 200 && text.contains("ann"), "exports have the tables too: {status} {text}");
    let (_, text) = sawbox.get("/api/v1/query", &[("q", "* | lookup nothing.csv on app")]);
    assert!(text.contains("there is no file `nothing.csv`"), "{text}");

    let plan = ask("/api/v1/query", &[("q", "app:shop ms>=10 | stats count()"), ("explain", "true")]);
    assert_eq!((plan["rows"].as_u64(), plan["plan"].as_array().map(Vec::len)), (Some(1), Some(3)), "{plan}");
    assert!(plan["stats"]["bytes_scanned"].as_u64() > Some(0), "{plan}");

    let found = ask("/api/v1/complete", &[("q", "app:s")]);
    assert_eq!((found["kind"].as_str(), found["items"][0]["insert"].as_str()), (Some("value"), Some("shop ")), "{found}");
    let found = ask("/api/v1/complete", &[("q", "ap | stats"), ("at", "2")]);
    assert_eq!((found["items"][0]["insert"].as_str(), found["end"].as_u64()), (Some("app:"), Some(2)), "{found}");

    let row = &sawbox.query("ms:20")[0];
    let [partition, offset] = ["_partition", "_offset"].map(|name| row[name].to_string());
    let pairs =
        [("topic", "web"), ("partition", &partition), ("offset", &offset), ("before", "2"), ("after", "1"), ("same", "app")];
    let around = ask("/api/v1/context", &pairs);
    let ms = |side: &str| around[side].as_array().unwrap().iter().map(|row| row["ms"].as_u64().unwrap()).collect::<Vec<_>>();
    assert_eq!((ms("before"), around["row"]["ms"].as_u64(), ms("after")), (vec![16, 18], Some(20), vec![22]), "{around}");
}

#[test]
fn what_was_just_acknowledged_is_found_by_who_waits_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let sawbox = TestBox::start(dir.path(), "[topics.raw]\nstore = false\n");
    let acknowledge = |topic: &str, line: &str| {
        let (status, text) = sawbox.send("POST", &format!("/api/v1/ingest/{topic}"), "text/plain", line.as_bytes());
        assert_eq!(status, 200, "{text}");
    };
    // Nobody waits for rows of a topic that is not stored.
    acknowledge("raw", "never a row");
    for at in 0..50 {
        acknowledge(&format!("web-{}", at % 5), &format!("line{at}"));
        let (_, text) = sawbox.get("/api/v1/query", &[("q", &format!("line{at}")), ("wait", "10s")]);
        assert_eq!(text.lines().count(), 1, "{text}");
    }
    let begun = std::time::Instant::now();
    let url = format!("http://{}/_refresh", sawbox.address("Elasticsearch"));
    let text = ureq::get(&url).call().unwrap().body_mut().read_to_string().unwrap();
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["_shards"]["failed"], 0, "{text}");
    assert!(begun.elapsed() < std::time::Duration::from_secs(5), "it waited for nothing");
}

#[test]
fn who_reads_no_answer_does_not_keep_others_from_asking() {
    let dir = tempfile::tempdir().unwrap();
    let sawbox = TestBox::start_with(dir.path(), "web.queries = 1\nweb.query_timeout = \"3s\"\n", "");
    // More than sockets hold.
    let line = "x".repeat(1000);
    for _ in 0..4 {
        sawbox.ingest("web", &format!("{line}\n").repeat(5000));
    }
    let address: std::net::SocketAddr = sawbox.address("page").parse().unwrap();
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&address.into()).unwrap();
    let mut slow = std::net::TcpStream::from(socket);
    slow.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    write!(slow, "GET /api/v1/query?limit=100000 HTTP/1.1\r\nhost: {address}\r\n\r\n").unwrap();
    let mut head = [0; 12];
    slow.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 200");

    // It has the only turn now. Who asks waits as long as a query may take, and is told; and the turn comes.
    let url = format!("http://{}/web/_search", sawbox.address("Elasticsearch"));
    let begun = Instant::now();
    let (status, text) = sawbox.send("POST", &url, "application/json", b"{}");
    assert_eq!(status, 429, "{text}");
    assert!(text.contains("es_rejected_execution_exception") && text.contains("web.queries"), "{text}");
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    let answered = (0..10).map(|_| sawbox.get("/api/v1/histogram", &[])).find(|(status, _)| *status != 429);
    assert_eq!(answered.map(|(status, _)| status), Some(200));

    // What was broken off does not look whole.
    let mut rest = Vec::new();
    let read = slow.read_to_end(&mut rest);
    assert!(!rest.ends_with(b"0\r\n\r\n"), "{read:?}: {} bytes", rest.len());
}
