//! Two consumer groups, a lane and an output read one topic, each at its own speed.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::{Condvar, Mutex};

use sawbox::base::ids::Offset;
use sawbox::queue::Queue;
use sawbox::queue::batch::{self, Scratch};
use sawbox::relay::config::{Format, WebhookConfig};
use sawbox::relay::{Config, OutputConfig};

use crate::relay_box::{Houses, eventually};

const RECORDS: usize = 2000;

/// Something that is let through by one and one, or altogether.
#[derive(Default)]
struct Gate {
    passes: Mutex<usize>,
    changed: Condvar,
}

impl Gate {
    fn open(&self, passes: usize) {
        *self.passes.lock() = passes;
        self.changed.notify_all();
    }

    fn pass(&self) {
        let mut passes = self.passes.lock();
        while *passes == 0 {
            self.changed.wait(&mut passes);
        }
        *passes -= 1;
    }
}

/// A receiver that answers when its gate lets it; counts rows.
fn webhook(gate: Arc<Gate>) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/in", listener.local_addr().expect("bound"));
    let rows = Arc::new(AtomicUsize::new(0));
    let counted = rows.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(stream);
            let mut length = 0;
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap_or(0) == 0 || line.trim().is_empty() {
                    break;
                }
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().expect("a length");
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).expect("a whole body");
            gate.pass();
            counted.fetch_add(body.iter().filter(|byte| **byte == b'\n').count(), Ordering::SeqCst);
            let reply = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            reader.get_mut().write_all(reply).expect("an answer");
        }
    });
    (url, rows)
}

/// A group that reads on from where it committed, a batch at a time.
fn consume(queue: &Queue, group: &str, gate: &Gate) -> Vec<String> {
    let topic = queue.topic("web").expect("configured");
    let partition = topic.partition(0).expect("one");
    let mut read = Vec::new();
    while read.len() < RECORDS {
        let at: Offset = queue.groups().committed(group, topic.id(), 0).unwrap_or(0);
        let Some(stored) = partition.read(at, 1).expect("readable").into_iter().next() else {
            std::thread::sleep(std::time::Duration::from_millis(1));
            continue;
        };
        gate.pass();
        let mut scratch = Scratch::new();
        let records = batch::decode(&stored, &mut scratch).expect("whole");
        read.extend(records.records.iter().map(|record| String::from_utf8_lossy(record.payload).into_owned()));
        queue.groups().commit(group, topic.id(), 0, stored.next_offset).expect("durable");
    }
    read
}

#[test]
fn the_slow_delay_nobody() {
    let (hook_gate, slow_gate, fast_gate) = (Arc::new(Gate::default()), Gate::default(), Gate::default());
    let (url, rows) = webhook(hook_gate.clone());
    let config = WebhookConfig { name: "hook".into(), url, format: Format::Ndjson, batch: 20, ..WebhookConfig::default() };
    let houses = Houses::start(Config { outputs: vec![OutputConfig::Webhook(config)], workers: 1, ..Config::default() });
    let expected: Vec<String> = (0..RECORDS).map(|n| format!("x {n}")).collect();
    fast_gate.open(usize::MAX);
    // One batch of a hundred.
    slow_gate.open(1);
    std::thread::scope(|threads| {
        let slow = threads.spawn(|| consume(&houses.queue, "slow", &slow_gate));
        let fast = threads.spawn(|| consume(&houses.queue, "fast", &fast_gate));
        for some in expected.chunks(100) {
            houses.append("web", 0, some);
        }
        // Those who can are through while the others have hardly begun.
        assert_eq!(fast.join().expect("no panic"), expected);
        houses.handled("web");
        let topic = houses.queue.topic("web").expect("configured").id();
        eventually("the slow group's first batch", || houses.queue.groups().committed("slow", topic, 0).is_some());
        assert_eq!(houses.queue.groups().committed("slow", topic, 0), Some(100));
        assert_eq!((rows.load(Ordering::SeqCst), houses.relay.outputs()[0].sent), (0, 0), "the output has sent nothing");
        assert_eq!(houses.relay.outputs()[0].lag_records as usize, RECORDS);
        // And they miss nothing.
        slow_gate.open(usize::MAX);
        assert_eq!(slow.join().expect("no panic"), expected);
        assert_eq!(rows.load(Ordering::SeqCst), 0, "the output still stands");
        hook_gate.open(usize::MAX);
        eventually("the output is through", || houses.relay.outputs()[0].lag_records == 0);
    });
    assert_eq!((rows.load(Ordering::SeqCst), houses.relay.outputs()[0].sent as usize), (RECORDS, RECORDS));
    houses.stop();
}
