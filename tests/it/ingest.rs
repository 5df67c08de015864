//! Receivers end to end, over real sockets, into a real queue: what was acknowledged is in the queue, durable and whole.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use sawbox::base::clock::{Clock, RealClock};
use sawbox::base::disk::sim::SimDisk;
use sawbox::ingest::config::{Beats, ClientAuth, Config, Syslog, Tls};
use sawbox::ingest::{Ingest, IngestError, elastic, http};
use sawbox::queue::{Queue, Scratch, decode};
use sawbox_appliance::lumberjack::{self, Client};
use serde_json::{Value, json};

/// A box that receives, and nothing else.
struct Rig {
    runtime: tokio::runtime::Runtime,
    queue: Arc<Queue>,
    ingest: Arc<Ingest>,
    web: SocketAddr,
}

#[derive(Clone, Debug, PartialEq)]
struct Got {
    payload: String,
    headers: Vec<(String, String)>,
    timestamp_ms: i64,
}

impl Got {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }
}

fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn config() -> Config {
    let beats = Beats { listen: any_port(), ..Beats::default() };
    let syslog = Syslog { listen: any_port(), ..Syslog::default() };
    Config { beats: vec![beats], syslog: vec![syslog], ..Config::default() }
}

impl Rig {
    fn new(config: &Config) -> Self {
        Self::on(SimDisk::new(7), config)
    }

    fn on(disk: Arc<SimDisk>, config: &Config) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(RealClock::new());
        let (queue, _) = Queue::open(disk, clock.clone(), sawbox::queue::Config::default()).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let ingest = runtime.block_on(Ingest::start(queue.clone(), clock, config)).unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind(any_port())).unwrap();
        let web = listener.local_addr().unwrap();
        let router = http::router(&ingest).merge(elastic::router(&ingest));
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        runtime.spawn(async move { axum::serve(listener, service).await });
        Self { runtime, queue, ingest, web }
    }

    fn address(&self, receiver: &str) -> SocketAddr {
        self.ingest.addresses().iter().find(|(name, _)| *name == receiver).unwrap().1
    }

    /// Everything that is durable in a topic.
    fn records(&self, topic: &str) -> Vec<Got> {
        let mut all = Vec::new();
        let Some(topic) = self.queue.topic(topic) else { return all };
        for partition in topic.partitions() {
            let mut from = partition.log_start();
            loop {
                let batches = partition.read(from, 1 << 20).unwrap();
                let Some(last) = batches.last() else { break };
                from = last.next_offset;
                for batch in &batches {
                    let mut scratch = Scratch::new();
                    let records = decode(batch, &mut scratch).unwrap();
                    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                    all.extend(records.records.iter().map(|record| Got {
                        payload: text(record.payload),
                        headers: records.headers_of(record).iter().map(|(name, value)| (text(name), text(value))).collect(),
                        timestamp_ms: record.timestamp_ms,
                    }));
                }
            }
        }
        all
    }

    /// For protocols without answers.
    fn wait_for(&self, topic: &str, count: usize) -> Vec<Got> {
        for _ in 0..500 {
            let records = self.records(topic);
            if records.len() >= count {
                return records;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.records(topic)
    }

    fn counter(&self, receiver: &str, name: &str) -> u64 {
        let readings = self.ingest.counters();
        let own = readings.iter().filter(|reading| reading.receiver == receiver);
        own.map(|reading| reading.values.iter().find(|(own, _)| *own == name).unwrap().1).sum()
    }

    /// One HTTP/1.1 request; status, headers and body of the answer.
    fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> (u16, String, Value) {
        let mut stream = TcpStream::connect(self.web).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-length: {}\r\n",
            self.web,
            body.len()
        );
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        stream.write_all(format!("{head}\r\n").as_bytes()).unwrap();
        // A server that refuses may close before it has read all.
        let _ = stream.write_all(body);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let text = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        (status, head.to_lowercase(), serde_json::from_str(body).unwrap_or(Value::Null))
    }

    fn stop(&self) {
        self.runtime.block_on(self.ingest.shutdown());
    }
}

fn lines(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("10.0.0.{} - - [17/May/2015:10:05:03 +0000] \"GET /{n} HTTP/1.1\" 200 {n}", n % 250)).collect()
}

#[test]
fn lumberjack_of_both_versions() {
    let rig = Rig::new(&config());
    let mut client = Client::connect(rig.address("beats")).unwrap();
    let sent = lines(3000);
    for window in sent.chunks(1000) {
        client.send_lines(&[("host", b"web-1"), ("app", b"shop"), ("_own", b"x")], window).unwrap();
    }
    let got = rig.records("beats");
    assert_eq!(got.iter().map(|got| got.payload.as_str()).collect::<Vec<_>>(), sent);
    assert_eq!(got[7].header("app"), Some("shop"));
    assert_eq!((got[7].header("_peer"), got[7].header("_receiver")), (Some("127.0.0.1"), Some("lumberjack")));
    assert_eq!((got[7].header("_own"), got[7].header("own")), (None, Some("x")), "names of our own are not taken");

    let mut client = Client::connect(rig.address("beats")).unwrap().compressed(false);
    client.send(&[]).unwrap();
    let documents: Vec<String> = (0..500).map(|n| json!({ "message": format!("hello {n}"), "n": n }).to_string()).collect();
    for window in documents.chunks(100) {
        client.post(&window.iter().map(|one| lumberjack::Record::Json(one.as_bytes())).collect::<Vec<_>>()).unwrap();
    }
    for _ in 0..5 {
        client.wait().unwrap();
    }
    let got = rig.records("beats");
    assert_eq!(got[3000..].iter().map(|got| got.payload.as_str()).collect::<Vec<_>>(), documents);
    assert_eq!((rig.counter("beats", "records"), rig.counter("beats", "errors")), (3500, 0));
    rig.stop();
}

#[test]
fn hostile_bytes_cost_their_own_connection_alone() {
    let rig = Rig::new(&config());
    let mut honest = Client::connect(rig.address("beats")).unwrap();
    honest.send_json(&[r#"{"n":1}"#]).unwrap();
    for (number, bytes) in
        [&b"GET / HTTP/1.1\r\n\r\n"[..], b"2J\0\0\0\x01\0\0\0\x02{}", b"2C\xff\xff\xff\xff", b"\x16\x03\x01\x02\x00"]
            .into_iter()
            .enumerate()
    {
        let mut hostile = Client::connect(rig.address("beats")).unwrap();
        hostile.raw(bytes).unwrap();
        assert_eq!(hostile.rest().unwrap(), b"", "connection {number}");
    }
    // What came before the nonsense is answered.
    let mut mixed = Client::connect(rig.address("beats")).unwrap();
    mixed.raw(b"2W\0\0\0\x012J\0\0\0\x01\0\0\0\x02{}nonsense").unwrap();
    assert_eq!(mixed.rest().unwrap(), b"2A\0\0\0\x01");
    honest.send_json(&[r#"{"n":2}"#]).unwrap();
    assert_eq!(rig.counter("beats", "errors"), 5);
    assert_eq!(rig.records("beats").len(), 3);
    rig.stop();
}

#[test]
fn a_broken_window_leaves_nothing_behind() {
    let rig = Rig::new(&config());
    let mut client = Client::connect(rig.address("beats")).unwrap();
    client.raw(b"2W\0\0\0\x022J\0\0\0\x01\0\0\0\x02{}").unwrap();
    drop(client);
    for _ in 0..200 {
        if rig.counter("beats", "errors") == 1 {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!((rig.counter("beats", "errors"), rig.records("beats").len()), (1, 0));
    rig.stop();
}

#[test]
fn connections_over_the_cap_are_refused() {
    let mut config = config();
    config.beats[0].max_connections = 1;
    let rig = Rig::new(&config);
    let mut first = Client::connect(rig.address("beats")).unwrap();
    first.send_json(&["{}"]).unwrap();
    let mut second = Client::connect(rig.address("beats")).unwrap();
    assert_eq!(second.rest().unwrap(), b"");
    assert_eq!(rig.counter("beats", "refused"), 1);
    first.send_json(&["{}"]).unwrap();
    rig.stop();
}

#[test]
fn a_stopping_box_finishes_what_it_took() {
    let rig = Rig::new(&config());
    let mut idle = Client::connect(rig.address("beats")).unwrap();
    let mut half = Client::connect(rig.address("beats")).unwrap();
    idle.send_json(&["{}"]).unwrap();
    // Two of three: a v2 client is told how far it came.
    half.raw(b"2W\0\0\0\x032J\0\0\0\x01\0\0\0\x02{}2J\0\0\0\x02\0\0\0\x02{}").unwrap();
    std::thread::sleep(Duration::from_millis(100));
    rig.stop();
    assert_eq!(half.rest().unwrap(), b"2A\0\0\0\x02");
    assert_eq!(idle.rest().unwrap(), b"");
    assert_eq!(rig.records("beats").len(), 3);
    assert!(TcpStream::connect(rig.address("beats")).is_err());
}

#[test]
fn tls_with_and_without_client_certificates() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    #[allow(clippy::disallowed_methods)] // a test's own files
    let write = |name: &str, text: String| std::fs::write(path(name), text).unwrap();
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["authority".into()]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    write("ca.pem", params.self_signed(&ca_key).unwrap().pem());
    let issuer = rcgen::Issuer::new(params, ca_key);
    for name in ["localhost", "client"] {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(vec![name.into()]).unwrap().signed_by(&key, &issuer).unwrap();
        write(&format!("{name}.pem"), certificate.pem());
        write(&format!("{name}.key"), key.serialize_pem());
    }
    let tls = |client_auth, client_ca: bool| {
        let client_ca = client_ca.then(|| path("ca.pem"));
        Some(Tls { cert: path("localhost.pem"), key: path("localhost.key"), client_ca, client_auth })
    };
    let mut config = config();
    config.beats[0].tls = tls(ClientAuth::None, false);
    config.beats.push(Beats {
        listen: any_port(),
        tls: tls(ClientAuth::Required, true),
        topic: "secret".into(),
        ..Beats::default()
    });
    let rig = Rig::new(&config);
    let ports: Vec<SocketAddr> =
        rig.ingest.addresses().iter().filter(|(name, _)| *name == "beats").map(|(_, at)| *at).collect();
    let without = lumberjack::tls(&path("ca.pem"), None).unwrap();
    let with = lumberjack::tls(&path("ca.pem"), Some((&path("client.pem"), &path("client.key")))).unwrap();

    let sent = lines(2000);
    let mut client = Client::connect_tls(ports[0], "localhost", without.clone()).unwrap();
    client.send_lines(&[("host", b"web-1")], &sent).unwrap();
    assert_eq!(rig.records("beats").iter().map(|got| got.payload.as_str()).collect::<Vec<_>>(), sent);
    let mut client = Client::connect_tls(ports[1], "localhost", with).unwrap();
    client.send_json(&["{}"]).unwrap();
    assert_eq!(rig.records("secret").len(), 1);
    drop(client);
    for _ in 0..100 {
        if rig.counter("beats", "connections_open") == 1 {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(rig.counter("beats", "errors"), 0, "leaving without a goodbye is no error");

    // In TLS 1.3 the client learns of its refusal when it first reads.
    let refused = Client::connect_tls(ports[1], "localhost", without).and_then(|mut client| client.send_json(&["{}"]));
    assert!(refused.is_err());
    let mut plain = Client::connect(ports[0]).unwrap();
    plain.raw(b"2W\0\0\0\0").unwrap();
    assert!(!plain.rest().unwrap().starts_with(b"2A"), "plaintext is not spoken here");
    assert_eq!(rig.records("secret").len(), 1);
    rig.stop();

    config.beats[0].tls = Some(Tls { cert: path("nowhere.pem"), key: path("localhost.key"), ..Tls::default() });
    let error = sawbox::ingest::check(&config).unwrap_err();
    assert!(matches!(error, IngestError::Tls { .. }) && error.to_string().contains("nowhere.pem"), "{error}");
}

#[test]
fn syslog_over_both_transports_and_framings() {
    let rig = Rig::new(&config());
    let line = |n: usize| format!("<134>Oct 11 22:14:15 web-{n} app[{n}]: request {n}");
    let mut newline = TcpStream::connect(rig.address("syslog/tcp")).unwrap();
    let mut counted = TcpStream::connect(rig.address("syslog/tcp")).unwrap();
    for n in 0..100 {
        newline.write_all(format!("{}\n", line(n)).as_bytes()).unwrap();
        let own = format!("{}\n", line(n + 100));
        counted.write_all(format!("{} {own}", own.len()).as_bytes()).unwrap();
    }
    // The last line of a connection needs no end.
    newline.write_all(line(200).as_bytes()).unwrap();
    drop((newline, counted));
    let datagrams = UdpSocket::bind(any_port()).unwrap();
    for n in 201..300 {
        datagrams.send_to(line(n).as_bytes(), rig.address("syslog/udp")).unwrap();
    }
    let mut got = rig.wait_for("syslog", 300);
    assert_eq!(got.len(), 300);
    let number = |got: &Got| got.header("pid").unwrap().parse::<usize>().unwrap();
    got.sort_by_key(number);
    for (n, got) in got.iter().enumerate() {
        assert_eq!(got.payload, line(n));
        let wanted = [
            ("host", format!("web-{n}")),
            ("app", "app".into()),
            ("severity", "info".into()),
            ("facility", "local0".into()),
            ("message", format!("request {n}")),
        ];
        for (name, value) in wanted {
            assert_eq!(got.header(name), Some(value.as_str()), "{name} of {n}");
        }
    }
    assert!(rig.counter("syslog/udp", "batches") < 50, "datagrams share batches");
    // A count that is none ends its connection.
    let mut broken = TcpStream::connect(rig.address("syslog/tcp")).unwrap();
    broken.write_all(b"7 <13>one\x00oops").unwrap();
    let mut nothing = Vec::new();
    let _ = broken.read_to_end(&mut nothing);
    assert_eq!(rig.counter("syslog/tcp", "errors"), 1);
    rig.stop();
}

#[test]
fn fields_choose_the_topic() {
    let mut config = config();
    config.beats[0].topic_field = Some("app".into());
    let rig = Rig::new(&config);
    let mut client = Client::connect(rig.address("beats")).unwrap();
    client.send_json(&[r#"{"app":"shop"}"#, r#"{"app":"_dead.x"}"#, r#"{"app":"blog"}"#, "{}"]).unwrap();
    let mut client = Client::connect(rig.address("beats")).unwrap();
    client.send_lines(&[("app", b"shop")], &["a", "b"]).unwrap();
    assert_eq!([rig.records("shop").len(), rig.records("blog").len(), rig.records("beats").len()], [3, 1, 2]);
    rig.stop();
}

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

#[test]
fn a_full_queue_pushes_back_and_v2_is_told_to_wait() {
    let disk = SimDisk::new(7);
    let mut config = config();
    config.beats[0].keepalive = sawbox::base::units::Span(Duration::from_millis(50));
    config.http.patience = sawbox::base::units::Span(Duration::from_millis(100));
    let rig = Rig::on(disk.clone(), &config);
    assert_eq!(rig.request("POST", "/api/v1/ingest/web", &[], b"first\n").0, 200);
    disk.set_capacity(Some(disk.files().iter().map(|(_, len)| *len).sum()));
    rig.queue.tend();
    let (status, head, answer) = rig.request("POST", "/api/v1/ingest/web", &[], b"second\n");
    assert_eq!((status, &answer["accepted"]), (429, &json!(0)), "{answer}");
    assert!(head.contains("retry-after"));
    let (status, _, answer) = rig.request("POST", "/web/_bulk", &[], b"{\"create\":{}}\n{}\n");
    assert_eq!(status, 429, "{answer}");

    let address = rig.address("beats");
    let waiting = std::thread::spawn(move || {
        let mut client = Client::connect(address).unwrap();
        client.send_json(&["{}"]).map(|()| client.keepalives())
    });
    // A v1 client hears nothing until its records are durable.
    let mut old = TcpStream::connect(address).unwrap();
    old.write_all(b"1W\0\0\0\x011D\0\0\0\x01\0\0\0\0").unwrap();
    old.set_read_timeout(Some(Duration::from_millis(400))).unwrap();
    assert!(old.read(&mut [0; 6]).is_err());
    assert!(!waiting.is_finished() && rig.records("beats").is_empty());
    disk.set_capacity(None);
    rig.queue.tend();
    let mut ack = [0; 6];
    old.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    old.read_exact(&mut ack).unwrap();
    assert_eq!(&ack, b"1A\0\0\0\x01");
    assert_eq!(rig.wait_for("beats", 2).len(), 2);
    assert!(waiting.join().unwrap().unwrap() > 2);
    rig.stop();
}
