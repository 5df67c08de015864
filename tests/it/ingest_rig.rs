//! A box that receives and nothing else, for the tests of the receivers.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use sawbox::access::Access;
use sawbox::base::clock::{Clock, RealClock};
use sawbox::base::disk::sim::SimDisk;
use sawbox::ingest::config::{Beats, Config, Kafka, Syslog};
use sawbox::ingest::ports::Ports;
use sawbox::ingest::{Ingest, elastic, http};
use sawbox::queue::{Queue, Scratch, decode};
use serde_json::Value;

/// A box that receives, and nothing else.
pub struct Rig {
    pub runtime: tokio::runtime::Runtime,
    pub queue: Arc<Queue>,
    pub access: Arc<Access>,
    pub ingest: Arc<Ingest>,
    pub web: SocketAddr,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Got {
    pub payload: String,
    pub headers: Vec<(String, String)>,
    pub timestamp_ms: i64,
}

impl Got {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }
}

pub fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

pub fn config() -> Config {
    let beats = Beats { listen: any_port(), ..Beats::default() };
    let syslog = Syslog { listen: any_port(), ..Syslog::default() };
    let kafka = Kafka { listen: any_port(), ..Kafka::default() };
    Config { beats: vec![beats], syslog: vec![syslog], kafka: vec![kafka], ..Config::default() }
}

impl Rig {
    pub fn new(config: &Config) -> Self {
        Self::on(SimDisk::new(7), config)
    }

    pub fn on(disk: Arc<SimDisk>, config: &Config) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(RealClock::new());
        let (queue, _) = Queue::open(disk.clone(), clock.clone(), sawbox::queue::Config::default()).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let access = Access::open(disk, clock.clone()).unwrap();
        let ports = runtime.block_on(Ports::bind(clock, config)).unwrap();
        let guard = runtime.enter();
        let ingest = Ingest::start(queue.clone(), access.clone(), config, ports);
        drop(guard);
        let listener = runtime.block_on(tokio::net::TcpListener::bind(any_port())).unwrap();
        let web = listener.local_addr().unwrap();
        let dialect = elastic::router(&ingest).layer(axum::middleware::from_fn(elastic::stamp));
        let router = http::router(&ingest).merge(dialect);
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        runtime.spawn(async move { axum::serve(listener, service).await });
        Self { runtime, queue, access, ingest, web }
    }

    pub fn address(&self, receiver: &str) -> SocketAddr {
        self.ingest.addresses().iter().find(|(name, _)| *name == receiver).unwrap().1
    }

    /// Everything that is durable in a topic.
    pub fn records(&self, topic: &str) -> Vec<Got> {
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
    pub fn wait_for(&self, topic: &str, count: usize) -> Vec<Got> {
        for _ in 0..500 {
            let records = self.records(topic);
            if records.len() >= count {
                return records;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.records(topic)
    }

    pub fn counter(&self, receiver: &str, name: &str) -> u64 {
        let readings = self.ingest.counters();
        let own = readings.iter().filter(|reading| reading.receiver == receiver);
        own.map(|reading| reading.values.iter().find(|(own, _)| *own == name).unwrap().1).sum()
    }

    /// Waits until a counter is there: it is counted after the connection's end is seen.
    pub fn wait_for_counter(&self, receiver: &str, name: &str, value: u64) {
        for _ in 0..500 {
            if self.counter(receiver, name) == value {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("{name} of {receiver} is {}, not {value}", self.counter(receiver, name));
    }

    /// One HTTP/1.1 request; status, headers and body of the answer.
    pub fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> (u16, String, Value) {
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

    pub fn stop(&self) {
        self.runtime.block_on(self.ingest.shutdown());
    }
}

/// Access lines, all different.
pub fn lines(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("10.0.0.{} - - [17/May/2015:10:05:03 +0000] \"GET /{n} HTTP/1.1\" 200 {n}", n % 250)).collect()
}
