//! A full disk, over real sockets: no receiver acknowledges, each says so in its own way, what frees room works, and everything
//! goes on by itself when there is room again.

use std::io::Write;
use std::net::{TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::error::ResponseError;
use sawbox::base::clock::{Clock, RealClock};
use sawbox::base::disk::sim::SimDisk;
use sawbox::base::units::{Bytes, Span};
use sawbox::queue::config::WhenFull;
use sawbox::queue::traffic::Quota;
use sawbox::queue::{Compression, Queue};
use sawbox::relay;
use sawbox_appliance::lumberjack::Client as Shipper;
use serde_json::json;

use crate::ingest_rig::{Rig, config};
use crate::kafka_wire::{Client, batch, make, produce, produce_request};
use crate::relay_box::Houses;

fn quota() -> Quota {
    serde_json::from_value(json!({ "topic": "never", "bytes_per_second": 1 })).unwrap()
}

/// Leaves less than the reserve, which is there for what makes room: a few journal entries.
fn fill(disk: &SimDisk) {
    disk.set_capacity(Some(disk.files().iter().map(|(_, len)| *len).sum::<u64>() + 4096));
}

#[test]
fn every_receiver_pushes_back_and_goes_on() {
    let disk = SimDisk::new(3);
    let mut config = config();
    config.http.patience = Span(Duration::from_millis(200));
    let rig = Rig::on(disk.clone(), &config);
    make(&rig, "t", 1);
    make(&rig, "old", 1);
    let mut client = Client::connect(rig.address("kafka"));
    assert_eq!(produce(&rig, &mut client, "t", 0, batch(&["before"], Compression::None)).error_code, 0);
    assert_eq!(produce(&rig, &mut client, "old", 0, batch(&["x"; 5000], Compression::None)).error_code, 0);
    for topic in ["beats", "syslog", "web"] {
        make(&rig, topic, 1);
    }
    fill(&disk);
    rig.queue.tend();
    assert!(rig.queue.stats().full);

    // Kafka: an error that every client tries again, and a while to wait.
    let answer = client.ask(9, &produce_request(&rig, 9, "t", 0, -1, batch(&["during"], Compression::None)));
    assert_eq!(answer.responses[0].partition_responses[0].error_code, ResponseError::KafkaStorageError.code());
    assert!(answer.throttle_time_ms > 0);
    // HTTP and the dialect: 429.
    let (status, head, answer) = rig.request("POST", "/api/v1/ingest/web", &[], b"during\n");
    assert_eq!((status, &answer["accepted"]), (429, &json!(0)), "{answer}");
    assert!(head.contains("retry-after: 5"), "{head}");
    assert_eq!(rig.request("POST", "/web/_bulk", &[], b"{\"create\":{}}\n{}\n").0, 429);
    // Beats and syslog over TCP are not answered, or not read; datagrams are lost and counted.
    let mut shipper = Shipper::connect(rig.address("beats")).unwrap();
    let shipped = std::thread::spawn(move || shipper.send_lines(&[], &["shipped"]).map_err(|error| error.to_string()));
    let mut line = TcpStream::connect(rig.address("syslog/tcp")).unwrap();
    line.write_all(b"<14>line\n").unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.send_to(b"<14>datagram", rig.address("syslog/udp")).unwrap();
    rig.wait_for_counter("syslog/udp", "dropped", 1);
    assert!(!shipped.is_finished(), "nothing is acknowledged");
    for topic in ["beats", "syslog", "web"] {
        assert_eq!(rig.records(topic), [], "{topic}");
    }
    // What is there can be read, and what nobody wants can be deleted.
    assert_eq!(rig.records("t").len(), 1);
    let used = rig.queue.stats().bytes;
    let old = rig.queue.topic("old").unwrap();
    old.partition(0).unwrap().delete_records(5000).unwrap();
    rig.queue.put_quota(Quota { name: "q".into(), ..quota() }).unwrap();
    rig.queue.delete_topic("old").unwrap();
    assert!(rig.queue.stats().bytes < used);

    disk.set_capacity(None);
    assert_eq!(shipped.join().unwrap(), Ok(()));
    assert_eq!(rig.wait_for("beats", 1)[0].payload, "shipped");
    assert_eq!(rig.wait_for("syslog", 1)[0].payload, "<14>line");
    assert!(!rig.queue.stats().full, "the keeper saw it by itself");
    assert_eq!(produce(&rig, &mut client, "t", 0, batch(&["after"], Compression::None)).error_code, 0);
    assert_eq!(rig.request("POST", "/api/v1/ingest/web", &[], b"after\n").0, 200);
    let sent: Vec<String> = rig.records("t").into_iter().map(|got| got.payload).collect();
    assert_eq!(sent, ["before", "after"], "what was refused is not there");
    rig.stop();
}

#[test]
fn drop_oldest_makes_room_and_counts_what_was_lost() {
    let disk = SimDisk::new(4);
    let clock: Arc<dyn Clock> = Arc::new(RealClock::new());
    let config = sawbox::queue::Config {
        when_full: WhenFull::DropOldest,
        segment_bytes: Bytes(64 << 10),
        max_bytes: Some(Bytes(256 << 10)),
        ..Default::default()
    };
    let (queue, _) = Queue::open(disk, clock, config).unwrap();
    let partition = queue.ensure_topic("web").unwrap().partition(0).unwrap();
    let text = "x".repeat(2000);
    let mut taken = 0;
    for _ in 0..200 {
        match partition.append(batch(&[text.as_str(); 10], Compression::None)).wait() {
            Ok(_) => taken += 10,
            Err(error) => panic!("nothing is refused: {error}"),
        }
        queue.tend();
    }
    let stats = queue.stats();
    assert!(!stats.full && stats.bytes <= 320 << 10, "{stats:?}");
    assert_eq!(stats.lost_records, partition.log_start(), "nobody had taken them");
    assert_eq!(partition.high_watermark(), taken);
}

/// More than the disk holds in the queue and in the store at once, in records that hardly become smaller, and faster than lanes take
/// them: what is stored must go from the queue in time for the store to have room for the rest.
#[test]
fn a_small_disk_does_not_get_stuck() {
    const DISK: u64 = 48 << 20;
    let disk = SimDisk::new(5);
    disk.set_capacity(Some(DISK));
    let houses = Houses::on(disk.clone(), relay::Config::default());
    let topics: Vec<_> = ["a", "b", "c"].iter().map(|name| houses.queue.ensure_topic(name).unwrap()).collect();
    let (mut noise, mut sent) = (0x9e37_79b9_7f4a_7c15_u64, 0);
    let since = std::time::Instant::now();
    // Half of the disk is in the store then, and as much had been in the queue.
    while sent < DISK * 6 / 10 {
        let lines: Vec<String> = (0..200)
            .map(|_| {
                let word = |_| {
                    noise = noise.wrapping_mul(0x2545_f491_4f6c_dd1d).rotate_left(23) ^ 0x9e37_79b9;
                    format!("{noise:016x}")
                };
                (0..30).map(word).collect()
            })
            .collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        for topic in &topics {
            let appended = || topic.partition(0).unwrap().append(batch(&lines, Compression::None)).wait();
            while appended().is_err() {
                assert!(since.elapsed() < Duration::from_secs(60), "stuck after {sent} bytes");
                std::thread::sleep(Duration::from_millis(20));
            }
            sent += 480 * 200;
        }
    }
    for topic in ["a", "b", "c"] {
        houses.handled(topic);
    }
    houses.stop();
}
