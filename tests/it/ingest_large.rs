//! Large records: who announces one and does not send it takes nobody's room for long, and room is had for one record at a time.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use sawbox::base::units::{Bytes, Span};
use sawbox::ingest::config::Config;
use sawbox_appliance::lumberjack::Client;

use crate::ingest_rig::{Rig, config};

/// Room for one record of the largest size, and for no other beside it.
fn narrow(arrival: Duration) -> Config {
    let mut config = config();
    config.memory = Bytes(4 << 20);
    config.arrival = Span(arrival);
    config.http.patience = Span(Duration::from_secs(1));
    config
}

fn window(count: u32, first: &[u8], announced: usize) -> Vec<u8> {
    let length = u32::try_from(announced).unwrap().to_be_bytes();
    [&b"2W"[..], &count.to_be_bytes(), b"2J", &1u32.to_be_bytes(), &length, first].concat()
}

fn begin_post(rig: &Rig, length: usize, some: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(rig.web).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let head = format!("POST /api/v1/ingest/slow HTTP/1.1\r\nhost: {}\r\ncontent-length: {length}\r\n\r\n", rig.web);
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(some).unwrap();
    stream
}

/// Asks again until it is taken.
fn post_large(rig: &Rig) -> Vec<u16> {
    let body = vec![b'x'; 300 * 1024];
    let begun = Instant::now();
    let mut heard = Vec::new();
    while heard.last() != Some(&200) && begun.elapsed() < Duration::from_secs(20) {
        let (status, head, answer) = rig.request("POST", "/api/v1/ingest/web", &[], &body);
        assert!(status == 200 || status == 429 && head.contains("retry-after"), "{status} {head} {answer}");
        heard.push(status);
    }
    heard
}

#[test]
fn a_record_that_was_announced_alone_holds_no_room_for_long() {
    let rig = Rig::new(&narrow(Duration::from_secs(2)));
    // Twenty bytes.
    let mut silent = TcpStream::connect(rig.address("beats")).unwrap();
    silent.write_all(&window(1, b"", 1 << 20)).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    let heard = post_large(&rig);
    assert_eq!((heard[0], heard.last()), (429, Some(&200)), "{heard:?}");
    rig.wait_for_counter("beats", "errors", 1);
    assert_eq!(silent.read(&mut [0; 8]).unwrap_or(0), 0, "its connection is at its end");

    // The other way round.
    let mut silent = begin_post(&rig, 1 << 20, &vec![b'x'; 70 * 1024]);
    std::thread::sleep(Duration::from_millis(300));
    let begun = Instant::now();
    let mut client = Client::connect(rig.address("beats")).unwrap();
    client.send_json(&[format!("{{\"message\":\"{}\"}}", "x".repeat(100 * 1024))]).unwrap();
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    let mut head = [0; 12];
    silent.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 408");
    rig.stop();
}

#[test]
fn room_is_given_back_after_each_large_record() {
    let rig = Rig::new(&narrow(Duration::from_secs(600)));
    let large = [&vec![b'x'; 100 * 1024][..], b"\n"].concat();
    // Their requests and windows go on, with nothing large.
    let mut post = begin_post(&rig, 2 * large.len(), &large);
    let mut bulk = TcpStream::connect(rig.web).unwrap();
    let head =
        "POST /_bulk HTTP/1.1\r\nhost: box\r\ncontent-length: 1000000\r\n\r\n{\"create\":{\"_index\":\"bulk\"}}\n{\"a\":\"";
    bulk.write_all(head.as_bytes()).unwrap();
    bulk.write_all(&vec![b'x'; 100 * 1024]).unwrap();
    bulk.write_all(b"\"}\n").unwrap();
    let mut beats = TcpStream::connect(rig.address("beats")).unwrap();
    beats.write_all(&window(2, &vec![b'x'; 200 * 1024], 200 * 1024)).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(post_large(&rig).last(), Some(&200));
    post.write_all(&large).unwrap();
    let mut head = [0; 12];
    post.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 200");
    assert_eq!(rig.records("slow").len(), 2);
    rig.stop();
}

#[test]
fn each_large_record_has_its_own_time() {
    let rig = Rig::new(&narrow(Duration::from_secs(2)));
    let large = [&vec![b'x'; 100 * 1024][..], b"\n"].concat();
    let mut post = begin_post(&rig, 10 * large.len(), b"");
    for _ in 0..10 {
        let (early, late) = large.split_at(80 * 1024);
        post.write_all(early).unwrap();
        std::thread::sleep(Duration::from_millis(400));
        post.write_all(late).unwrap();
    }
    let mut head = [0; 12];
    post.read_exact(&mut head).unwrap();
    assert_eq!((&head, rig.records("slow").len()), (b"HTTP/1.1 200", 10));
    rig.stop();
}
