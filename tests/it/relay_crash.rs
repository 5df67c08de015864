//! Crashes between two durable steps, and damage, seen from the lanes: step by step, without threads.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sawbox::base::clock::{Clock, SimClock};
use sawbox::base::disk::Disk;
use sawbox::base::disk::sim::SimDisk;
use sawbox::queue::batch::{BatchBuilder, Compression};
use sawbox::queue::{self, Queue, Topic};
use sawbox::relay::{Config, Relay, Step, TopicConfig};
use sawbox::sandbox::{self, Sandbox};
use sawbox::store::query::{self, Cancel, Request};
use sawbox::store::{self, Store};

use crate::lineage_model::visible;
use crate::relay_box::spec;
use crate::relay_guest;

const START_NS: i64 = 1_700_000_000_000_000_000;

struct Life {
    queue: Arc<Queue>,
    store: Arc<Store>,
    sandbox: Arc<Sandbox>,
    relay: Arc<Relay>,
    clock: Arc<SimClock>,
}

impl Life {
    /// `web` with the chain `mark-a`, and `side`, which it emits to.
    fn start(disk: &Arc<SimDisk>, web: u32, side: u32) -> Self {
        let sim = Arc::new(SimClock::at(START_NS));
        let clock: Arc<dyn Clock> = sim.clone();
        let config = queue::Config { writers: 1, ..queue::Config::default() };
        let (queue, _) = Queue::open(disk.clone(), clock.clone(), config).expect("queue");
        let (store, _) = Store::open_idle(disk.clone(), clock.clone(), store::Config::default()).expect("store");
        let sandbox = Sandbox::open(disk.clone(), clock.clone(), sandbox::Config::default()).expect("sandbox");
        if !sandbox.filters().iter().any(|filter| filter.name == "mark-a") {
            sandbox.put("mark-a", &relay_guest::wasm('a')).expect("guest");
        }
        let web = TopicConfig { partitions: Some(web), chain: Some(spec("mark-a")), ..TopicConfig::default() };
        let side = TopicConfig { partitions: Some(side), ..TopicConfig::default() };
        let config = Config { topics: [("web".to_owned(), web), ("side".to_owned(), side)].into(), ..Config::default() };
        let relay = Relay::open(queue.clone(), store.clone(), sandbox.clone(), clock, config).expect("relay");
        Self { queue, store, sandbox, relay, clock: sim }
    }

    fn topic(&self, name: &str) -> Arc<Topic> {
        self.queue.topic(name).expect("configured")
    }

    fn append(&self, partition: u32, payload: &str) {
        let mut builder = BatchBuilder::new();
        builder.push(0, None, payload.as_bytes(), &[]).expect("small");
        let partition = self.topic("web").partition(partition).expect("configured");
        partition.append(builder.finish(Compression::None)).wait().expect("acknowledged");
    }

    /// Lets the lanes of a topic work until they are idle.
    fn drain(&self, topic: &str) {
        let topic = self.topic(topic);
        for partition in topic.partitions() {
            let mut steps = 0;
            loop {
                match self.relay.step(topic.id(), partition.id()) {
                    Some(Step::Idle) => break,
                    Some(Step::After(pause)) => self.clock.advance(pause),
                    Some(Step::Waiting) => std::thread::sleep(std::time::Duration::from_millis(1)),
                    _ => {}
                }
                steps += 1;
                assert!(steps < 1000, "never idle: {:?}", self.relay.lanes());
            }
        }
    }

    fn side_records(&self) -> u64 {
        self.topic("side").partitions().iter().map(|partition| partition.high_watermark()).sum()
    }
}

/// The segment of a topic's first partition.
fn segment(disk: &SimDisk, topic: &Topic) -> PathBuf {
    let dir = Path::new("queue").join(topic.id().to_string()).join("0");
    let is_log = |path: &PathBuf| path.starts_with(&dir) && path.extension().is_some_and(|extension| extension == "log");
    disk.files().into_iter().map(|(path, _)| path).find(is_log).expect("a segment")
}

#[test]
fn a_lane_goes_on_behind_a_damaged_end() {
    let disk = SimDisk::new(1);
    let life = Life::start(&disk, 1, 1);
    life.append(0, "x one");
    life.append(0, "x two");
    let path = segment(&disk, &life.topic("web"));
    let mut bytes = vec![0; 1000];
    let got = disk.open(&path, false).and_then(|file| file.read_at(&mut bytes, 0)).expect("readable");
    let second = bytes[3..got].windows(3).position(|three| three == b"SWQ").expect("two frames") + 3;
    disk.flip_bit(&path, (second as u64 + 90) * 8);
    life.drain("web");
    life.append(0, "x three");
    life.drain("web");
    let rows = visible(&life.store).expect("each once");
    assert_eq!(rows.keys().map(|(_, _, offset)| *offset).collect::<Vec<_>>(), [0, 2]);
    let lane = life.relay.lanes().into_iter().find(|lane| &*lane.topic == "web").expect("a lane");
    assert_eq!((lane.next, lane.failed, lane.last_error.is_some()), (3, 1, true));
}

#[test]
fn a_target_grows_only_after_those_who_emitted_to_it_have_committed() {
    let disk = SimDisk::new(2);
    let life = Life::start(&disk, 8, 1);
    for partition in 0..8 {
        life.append(partition, "e emit");
    }
    life.drain("web");
    assert_eq!(life.side_records(), 8);
    // The rows are not committed, so the lanes will emit again.
    let disk = disk.crash();
    let life = Life::start(&disk, 8, 5);
    assert_eq!(life.topic("side").partitions().len(), 1, "not yet");
    life.drain("web");
    assert_eq!(life.side_records(), 8, "each emission once");
    life.store.shutdown().expect("the disk is fine");
    life.queue.shutdown();
    let life = Life::start(&disk.crash(), 8, 5);
    assert_eq!(life.topic("side").partitions().len(), 5, "now it can");
    life.drain("web");
    assert_eq!(life.side_records(), 8);
}

#[test]
fn a_start_that_could_not_grow_a_target_does_so_later() {
    let disk = SimDisk::new(4);
    let life = Life::start(&disk, 3, 1);
    for partition in 0..3 {
        life.append(partition, "e emit");
    }
    life.drain("web");
    let life = Life::start(&disk.crash(), 3, 4);
    assert_eq!(life.topic("side").partitions().len(), 1);
    // The lanes are brought to a commit, and no restart is needed.
    assert_eq!(life.relay.grow_configured(), 0, "{:?}", life.relay.lanes());
    assert_eq!(life.topic("side").partitions().len(), 4);
    life.append(0, "e more");
    life.drain("web");
    life.drain("side");
    assert_eq!(life.side_records(), 4, "each emission once");
    let lanes = life.relay.lanes().into_iter().filter(|lane| &*lane.topic == "side").count();
    assert_eq!(lanes, 4, "the new partitions have lanes");
}

#[test]
fn lanes_end_with_their_topic_and_begin_with_the_next_of_its_name() {
    let disk = SimDisk::new(5);
    let life = Life::start(&disk, 1, 1);
    life.append(0, "x one");
    life.append(0, "e two");
    life.drain("web");
    let old = life.queue.delete_topic("web").expect("it is there");
    assert!(life.relay.step(old, 0).is_none(), "its lane has ended");
    assert!(life.relay.lanes().iter().all(|lane| &*lane.topic != "web"));
    assert!(life.relay.chains().iter().all(|chain| &*chain.topic != "web"));
    let web = life.queue.ensure_topic("web").expect("a new one");
    assert_ne!(web.id(), old);
    life.append(0, "e three");
    life.drain("web");
    // Where an emission was to go is gone: it goes to the next of that name.
    life.append(0, "e four");
    life.queue.delete_topic("side").expect("it is there");
    life.drain("web");
    assert_eq!(life.side_records(), 1);
    // Rows of a deleted topic stay until their own retention; the new one's are of another id.
    let rows = |topic| life.store.stats().into_iter().find(|stats| stats.topic == topic).map(|stats| stats.rows);
    assert_eq!((rows(old), rows(web.id())), (Some(2), Some(2)));
    let chain = life.relay.chains().into_iter().find(|chain| &*chain.topic == "web").expect("a chain");
    assert_eq!(chain.chain[0].filter, "mark-a", "the configuration's, not the default");
    life.store.flush_all().expect("the disk is fine");
    let life = Life::start(&disk.crash(), 1, 1);
    assert!(life.queue.topic_by_id(old).is_none());
    assert_eq!(life.topic("web").partition(0).map(|partition| partition.high_watermark()), Some(2));
}

#[test]
fn a_topic_that_is_not_stored_has_no_lane_until_it_is() {
    let disk = SimDisk::new(6);
    let life = Life::start(&disk, 1, 1);
    let set = |store: bool| {
        let changed = life.queue.change_topic("web", |settings| {
            settings.store = store;
            Ok(())
        });
        changed.expect("the disk is fine");
    };
    life.append(0, "x one");
    life.drain("web");
    set(false);
    life.append(0, "x two");
    life.drain("web");
    assert_eq!(visible(&life.store).expect("each once").len(), 1);
    assert!(life.relay.lanes().iter().all(|lane| &*lane.topic != "web"));
    set(true);
    life.append(0, "x three");
    life.drain("web");
    assert_eq!(visible(&life.store).expect("each once").len(), 3, "it goes on where it was");
}

#[test]
fn a_filter_that_was_put_is_used_though_the_box_ended_before_the_promotion() {
    let disk = SimDisk::new(3);
    let life = Life::start(&disk, 1, 1);
    life.append(0, "x one");
    life.drain("web");
    life.store.flush_all().expect("the disk is fine");
    life.sandbox.put("mark-a", &relay_guest::wasm('z')).expect("a good module");
    let disk = disk.crash();
    let life = Life::start(&disk, 1, 1);
    life.append(0, "x two");
    life.drain("web");
    let rows = visible(&life.store).expect("each once");
    assert_eq!(rows.values().map(|row| (row.0, row.1.as_str())).collect::<Vec<_>>(), [(1, "a"), (2, "z")]);
    life.store.flush_all().expect("the disk is fine");
    // Once: not at every start.
    let life = Life::start(&disk.crash(), 1, 1);
    assert_eq!(life.store.generations(life.topic("web").id()).len(), 2);
}

#[test]
fn answers_are_partial_until_the_rows_of_before_the_crash_are_there_again() {
    let disk = SimDisk::new(31);
    let life = Life::start(&disk, 1, 1);
    for n in 0..3 {
        life.append(0, &format!("n{n}"));
    }
    life.drain("web");
    let answer = |life: &Life| {
        let request = Request::new(query::parse("*").expect("query"));
        let cancel = Cancel::new(life.clock.clone());
        query::run(&life.store, &request, &cancel, &mut |_| std::ops::ControlFlow::Continue(())).expect("answer")
    };
    assert!(!answer(&life).partial);
    drop(life);
    let life = Life::start(&disk.crash(), 1, 1);
    let stats = answer(&life);
    assert!(stats.partial && stats.note.is_some_and(|note| note.contains("restart")), "{stats:?}");
    life.drain("web");
    life.drain("side");
    assert!(!answer(&life).partial);
}
