//! Queue, store, sandbox and relay with their threads, for tests: over a disk in memory, with the machine's clock.

use std::sync::Arc;
use std::time::Duration;

use sawbox::base::clock::{Clock, RealClock};
use sawbox::base::disk::Disk;
use sawbox::base::disk::sim::SimDisk;
use sawbox::base::ids::Offset;
use sawbox::queue::batch::{self, BatchBuilder, Compression, Scratch};
use sawbox::queue::{self, Queue};
use sawbox::relay::{Config, LaneStatus, Relay, TopicConfig};
use sawbox::sandbox::{self, ChainSpec, Sandbox};
use sawbox::store::{self, Store};

use crate::relay_guest;

/// The houses, running.
pub struct Houses {
    pub queue: Arc<Queue>,
    pub store: Arc<Store>,
    pub sandbox: Arc<Sandbox>,
    pub relay: Arc<Relay>,
}

/// A chain of one filter.
pub fn spec(filter: &str) -> ChainSpec {
    serde_json::from_value(serde_json::json!([{ "filter": filter }])).expect("spec")
}

impl Houses {
    /// Starts them with the guests `mark-a` and `mark-b`, and the topic `web` with the chain `mark-a`.
    pub fn start(config: Config) -> Self {
        Self::on(SimDisk::new(7), config)
    }

    /// Likewise, over this disk.
    pub fn on(disk: Arc<dyn Disk>, mut config: Config) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(RealClock::new());
        let queue_config = queue::Config { writers: 2, ..queue::Config::default() };
        let (queue, _) = Queue::open(disk.clone(), clock.clone(), queue_config).expect("queue");
        config.disk.get_or_insert(disk.clone());
        let (store, _) = Store::open(disk.clone(), clock.clone(), store::Config::default()).expect("store");
        let sandbox = Sandbox::open(disk, clock.clone(), sandbox::Config::default()).expect("sandbox");
        for mark in ['a', 'b'] {
            sandbox.put(&format!("mark-{mark}"), &relay_guest::wasm(mark)).expect("guest");
        }
        config
            .topics
            .entry("web".into())
            .or_insert_with(|| TopicConfig { chain: Some(spec("mark-a")), ..TopicConfig::default() });
        let relay = Relay::start(queue.clone(), store.clone(), sandbox.clone(), clock, config).expect("relay");
        Self { queue, store, sandbox, relay }
    }

    /// Appends records to a partition of a topic and waits for the acknowledgement.
    pub fn append<P: AsRef<[u8]>>(&self, topic: &str, partition: u32, payloads: &[P]) -> Offset {
        let mut builder = BatchBuilder::new();
        for payload in payloads {
            builder.push(0, None, payload.as_ref(), &[(b"host", b"web1")]).expect("small");
        }
        let topic = self.queue.ensure_topic(topic).expect("a topic");
        let ticket = topic.partition(partition).expect("a partition").append(builder.finish(Compression::None));
        ticket.wait().expect("acknowledged").next_offset
    }

    /// Payloads and headers of all records of a topic, partition after partition.
    pub fn records(&self, topic: &str) -> Vec<(String, Vec<(String, String)>)> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut all = Vec::new();
        for partition in self.queue.topic(topic).map(|topic| topic.partitions()).unwrap_or_default() {
            let mut at = partition.log_start();
            while at < partition.high_watermark() {
                for stored in partition.read(at, 1 << 20).expect("readable") {
                    let mut scratch = Scratch::new();
                    let records = batch::decode(&stored, &mut scratch).expect("whole");
                    for record in &records.records {
                        let headers = records.headers_of(record).iter().map(|(name, value)| (text(name), text(value)));
                        all.push((text(record.payload), headers.collect()));
                    }
                    at = stored.next_offset;
                }
            }
        }
        all
    }

    /// The lane of a partition.
    pub fn lane(&self, topic: &str, partition: u32) -> Option<LaneStatus> {
        self.relay.lanes().into_iter().find(|lane| &*lane.topic == topic && lane.partition == partition)
    }

    /// Waits until a topic's lanes have handled everything.
    pub fn handled(&self, topic: &str) {
        let lanes = || self.relay.lanes().into_iter().filter(|lane| &*lane.topic == topic).collect::<Vec<_>>();
        let done = |lanes: &[LaneStatus]| !lanes.is_empty() && lanes.iter().all(|lane| lane.lag_records == 0);
        for _ in 0..2000 {
            if done(&lanes()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("not handled: {:?}", lanes());
    }

    /// Ends them.
    pub fn stop(self) {
        self.relay.shutdown();
        self.store.shutdown().expect("the disk is fine");
        self.queue.shutdown();
    }
}

/// Waits for something that happens soon; fails after 10 seconds.
pub fn eventually(what: &str, mut happened: impl FnMut() -> bool) {
    for _ in 0..2000 {
        if happened() {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("never: {what}");
}
