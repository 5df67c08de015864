//! Receivers end to end, over real sockets, into a real queue: what was acknowledged is in the queue, durable and whole.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use kafka_protocol::messages::FetchRequest;
use kafka_protocol::protocol::StrBytes;
use sawbox::base::disk::sim::SimDisk;
use sawbox::base::units::Bytes;
use sawbox::ingest::IngestError;
use sawbox::ingest::config::{Beats, ClientAuth, Config, Tls};
use sawbox::queue::Compression;
use sawbox_appliance::lumberjack::{self, Client};
use serde_json::json;

use crate::ingest_rig::{Got, Rig, any_port, config, lines};
use crate::kafka_wire::{self, batch, fetch_request, make, produce};

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
    rig.wait_for_counter("syslog/tcp", "errors", 1);
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

#[test]
fn a_large_request_that_waits_keeps_no_records_out() {
    let rig = Rig::new(&Config { memory: Bytes(1 << 20), ..config() });
    make(&rig, "t", 1);
    let mut consumer = kafka_wire::Client::connect(rig.address("kafka"));
    let rack = StrBytes::from_string("r".repeat(4 << 20));
    consumer.write(12, &fetch_request(&rig, 12, "t", 0, 120_000).with_rack_id(rack));
    std::thread::sleep(Duration::from_millis(200));
    let mut producer = kafka_wire::Client::connect(rig.address("kafka"));
    let payload = "x".repeat(64 << 10);
    assert_eq!(produce(&rig, &mut producer, "t", 0, batch(&[&payload], Compression::None)).error_code, 0);
    let (_, response) = consumer.read::<FetchRequest>(12);
    assert_eq!(response.responses[0].partitions[0].high_watermark, 1);
}
