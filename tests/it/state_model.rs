//! Filters that remember, checked against a model that knows only the log: which records arrived when, and which promotions
//! there were from which offsets.
//!
//! The real houses run over a disk in memory that loses power in the middle of anything, with a chain that counts records per
//! host (throttle), puts lines together (multiline) and marks rows. Lines arrive over time; what waits is shown by the clock, or found
//! in the log when the box was busy or off, or given at a promotion. Whatever happened: the rows, their origins, generations, lines
//! and counts are those that one uninterrupted reading of the log gives, and an output's topic holds each once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use sawbox::base::clock::{Clock, SimClock};
use sawbox::base::disk::Disk;
use sawbox::base::disk::sim::SimDisk;
use sawbox::base::ids::{Generation, Offset, PartitionId};
use sawbox::base::record::header;
use sawbox::base::units::Bytes;
use sawbox::queue::batch::{self, BatchBuilder, Compression, Scratch};
use sawbox::queue::{self, Queue};
use sawbox::relay::config::ZabbixConfig;
use sawbox::relay::{Change, Config, OutputConfig, Relay, Step, TopicConfig};
use sawbox::sandbox::{self, ChainSpec, Sandbox};
use sawbox::store::source::{Chunk, Source};
use sawbox::store::{self, Store};

use crate::lineage_model::column;

const START_NS: i64 = 1_700_000_000_000_000_000;
const MS: i64 = 1_000_000;
const PARTITIONS: u32 = 2;
const MARKS: [char; 3] = ['a', 'b', 'c'];
/// How long multiline waits, and how long throttle counts.
const WAIT_NS: i64 = 3000 * MS;
const PERIOD_NS: i64 = 7000 * MS;

#[derive(Clone, Debug)]
enum Op {
    /// A batch of lines: (host, whether it continues the one before).
    Append {
        partition: u32,
        lines: Vec<(u8, bool)>,
        wait: bool,
    },
    Steps(u8),
    Pass(u16),
    Flush,
    Promote(usize),
    FailSoon(u64),
    Crash,
}

fn op() -> impl Strategy<Value = Op> {
    let lines = proptest::collection::vec((0u8..2, any::<bool>()), 1..6);
    prop_oneof![
        6 => (0..PARTITIONS, lines, any::<bool>()).prop_map(|(partition, lines, wait)| Op::Append { partition, lines, wait }),
        6 => (1u8..6).prop_map(Op::Steps),
        4 => prop_oneof![0u16..500, 2900u16..3100, 0u16..9000].prop_map(Op::Pass),
        3 => Just(Op::Flush),
        1 => (0..MARKS.len()).prop_map(Op::Promote),
        1 => (0u64..40).prop_map(Op::FailSoon),
        2 => Just(Op::Crash),
    ]
}

fn sandbox() -> Arc<Sandbox> {
    static ONE: OnceLock<Arc<Sandbox>> = OnceLock::new();
    ONE.get_or_init(|| {
        let clock: Arc<dyn Clock> = Arc::new(SimClock::at(START_NS));
        Sandbox::open(SimDisk::new(1), clock, sandbox::Config::default()).expect("sandbox")
    })
    .clone()
}

fn spec(mark: char) -> ChainSpec {
    serde_json::from_value(serde_json::json!([
        { "filter": "throttle", "config": { "key": "host", "after_count": 1000, "period": PERIOD_NS / 1000 / MS, "count_field": "n" } },
        { "filter": "multiline", "config": { "continues": "^\\s", "timeout": WAIT_NS / 1000 / MS, "key": ["host"] } },
        { "filter": "tag", "config": { "fields": { "mark": mark.to_string() } } },
    ]))
    .expect("spec")
}

struct Life {
    queue: Arc<Queue>,
    store: Arc<Store>,
    relay: Arc<Relay>,
}

impl Drop for Life {
    fn drop(&mut self) {
        // What its threads still write is lost; but hooks keep the queue, and it its threads.
        self.queue.shutdown();
    }
}

struct World {
    disk: Arc<SimDisk>,
    clock: Arc<SimClock>,
    life: Option<Life>,
    serial: u64,
    pending: Vec<queue::Ticket>,
}

type Places = BTreeMap<(PartitionId, Offset), (Generation, String, i64, String)>;

impl World {
    fn new(seed: u64) -> Self {
        let clock = Arc::new(SimClock::at(START_NS));
        let mut world = Self { disk: SimDisk::new(seed), clock, life: None, serial: 0, pending: Vec::new() };
        world.start();
        world
    }

    fn start(&mut self) {
        let disk: Arc<dyn Disk> = self.disk.clone();
        let clock: Arc<dyn Clock> = self.clock.clone();
        let config = queue::Config { writers: 1, segment_bytes: Bytes(1 << 20), ..queue::Config::default() };
        let (queue, _) = Queue::open(disk.clone(), clock.clone(), config).expect("the queue always opens");
        let (store, _) = Store::open_idle(disk, clock.clone(), store::Config::default()).expect("the store always opens");
        let app = TopicConfig { partitions: Some(PARTITIONS), chain: Some(spec(MARKS[0])), ..TopicConfig::default() };
        let output = ZabbixConfig { name: "told".into(), topics: Some(vec!["app".into()]), ..ZabbixConfig::default() };
        let config = Config {
            topics: [("app".to_owned(), app)].into(),
            outputs: vec![OutputConfig::Zabbix(output)],
            ..Config::default()
        };
        let relay = Relay::open(queue.clone(), store.clone(), sandbox(), clock, config).expect("the relay opens");
        self.life = Some(Life { queue, store, relay });
    }

    fn life(&self) -> &Life {
        self.life.as_ref().expect("between lives nothing is asked")
    }

    fn crash(&mut self) {
        let survived = self.disk.crash();
        self.life = None;
        self.pending.clear();
        self.disk = survived;
        self.start();
    }

    fn append(&mut self, partition: u32, lines: &[(u8, bool)], wait: bool) {
        let mut builder = BatchBuilder::new();
        for (host, continues) in lines {
            self.serial += 1;
            let payload = format!("{}{}", if *continues { " " } else { "" }, self.serial);
            let host = format!("h{host}");
            builder.push(START_NS / MS, None, payload.as_bytes(), &[(b"host", host.as_bytes())]).expect("small");
        }
        let topic = self.life().queue.topic("app").expect("configured");
        let ticket = topic.partition(partition).expect("configured").append(builder.finish(Compression::None));
        if wait {
            drop(ticket.wait());
        } else {
            self.pending.push(ticket);
        }
    }

    fn step(&self, partition: u32) -> Step {
        let topic = self.life().queue.topic("app").expect("configured").id();
        self.life().relay.step(topic, partition).unwrap_or(Step::Waiting)
    }

    /// Lets the lanes work until nothing waits, neither in the log nor in their state.
    fn drain(&self) -> Result<(), TestCaseError> {
        for _ in 0..20_000 {
            let steps: Vec<Step> = (0..PARTITIONS).map(|partition| self.step(partition)).collect();
            if steps.iter().all(|step| *step == Step::Idle) {
                return Ok(());
            }
            if steps.iter().all(|step| !matches!(step, Step::Again)) {
                if let Some(pause) =
                    steps.iter().filter_map(|step| if let Step::After(pause) = step { Some(*pause) } else { None }).min()
                {
                    self.clock.advance(pause);
                }
                std::thread::sleep(Duration::from_micros(100));
            }
        }
        Err(TestCaseError::fail(format!("lanes never end: {:?}", self.life().relay.lanes())))
    }

    /// One reading of the log.
    fn expected(&self) -> Places {
        let topic = self.life().queue.topic("app").expect("configured");
        let generations = self.life().store.generations(topic.id());
        let mut rows = Places::new();
        for partition in topic.partitions() {
            let mut reading =
                Reading { partition: partition.id(), rows: &mut rows, open: BTreeMap::new(), counts: BTreeMap::new() };
            let mut at = 0;
            let mut before = None;
            while at < partition.high_watermark() {
                for stored in partition.read(at, 1 << 20).expect("readable") {
                    let mut scratch = Scratch::new();
                    let records = batch::decode(&stored, &mut scratch).expect("whole");
                    for record in &records.records {
                        let of = |entry: &&store::GenerationEntry| {
                            entry.from.get(&partition.id()).copied().unwrap_or(0) <= record.offset
                        };
                        let entry = generations.iter().rev().find(of).expect("the first begins at 0");
                        let text = String::from_utf8_lossy(&entry.chain).into_owned();
                        let mark =
                            MARKS.into_iter().find(|mark| text.contains(&format!("\"mark\":\"{mark}\""))).expect("marked");
                        if before.is_some_and(|before| before != entry.generation) {
                            reading.close(i64::MAX);
                        }
                        before = Some(entry.generation);
                        reading.close(record.arrival_ns);
                        let host = String::from_utf8_lossy(records.headers_of(record)[0].1).into_owned();
                        let line = String::from_utf8_lossy(record.payload).into_owned();
                        reading.line(&host, &line, record.offset, record.arrival_ns, (entry.generation, mark));
                    }
                    at = stored.next_offset;
                }
            }
            reading.close(i64::MAX);
        }
        rows
    }

    fn check(&self, when: &str) -> Result<(), TestCaseError> {
        let expected = self.expected();
        let mut found = Places::new();
        for source in self.life().store.snapshot(None, None, None).sources {
            for group in 0..source.groups() {
                let lineage = source.lineage(group).expect("whole");
                let of = |name| column(&*source, group, name).expect("whole");
                let (marks, messages) = (of("mark"), of("message"));
                let counts = numbers(&*source, group, "n");
                for row in 0..source.rows(group) {
                    let place = (lineage.partitions[row], lineage.offsets[row]);
                    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                    let row = (lineage.generations[row], text(&messages[row]), counts[row], text(&marks[row]));
                    prop_assert!(found.insert(place, row).is_none(), "{when}: visible twice: {place:?}");
                }
            }
        }
        prop_assert_eq!(&found, &expected, "{}", when);
        let topic = self.life().queue.topic("app").expect("configured").id();
        let mut told = BTreeSet::new();
        if let Some(output) = self.life().queue.topic("_out.told") {
            let partition = output.partition(0).expect("one");
            let mut at = partition.log_start();
            while at < partition.high_watermark() {
                for stored in partition.read(at, 1 << 20).expect("readable") {
                    let mut scratch = Scratch::new();
                    let records = batch::decode(&stored, &mut scratch).expect("whole");
                    for record in &records.records {
                        let origin = records.headers_of(record).iter().find(|(name, _)| *name == header::ORIGIN.as_bytes());
                        let origin = String::from_utf8_lossy(origin.expect("told where it is from").1).into_owned();
                        prop_assert!(told.insert(origin.clone()), "{when}: told twice: {origin}");
                    }
                    at = stored.next_offset;
                }
            }
        }
        let wanted: BTreeSet<String> =
            expected.keys().map(|(partition, offset)| format!("{topic}/{partition}@{offset}#0")).collect();
        prop_assert_eq!(&told, &wanted, "{}: what the output was told", when);
        Ok(())
    }
}

/// An event that is not over: its text, last offset, deadline, count of its first line, generation and mark.
struct Open {
    text: String,
    last: Offset,
    deadline: i64,
    count: i64,
    by: (Generation, char),
}

struct Reading<'r> {
    partition: PartitionId,
    rows: &'r mut Places,
    open: BTreeMap<String, Open>,
    /// Start of the period and how many.
    counts: BTreeMap<String, (i64, i64)>,
}

impl Reading<'_> {
    fn row(&mut self, open: Open) {
        let row = (open.by.0, open.text, open.count, open.by.1.to_string());
        assert!(self.rows.insert((self.partition, open.last), row).is_none(), "two rows of one record");
    }

    fn close(&mut self, now: i64) {
        let due: Vec<String> =
            self.open.iter().filter(|(_, open)| open.deadline <= now).map(|(host, _)| host.clone()).collect();
        for open in due.iter().filter_map(|host| self.open.remove(host)).collect::<Vec<_>>() {
            self.row(open);
        }
    }

    fn line(&mut self, host: &str, line: &str, offset: Offset, arrival: i64, by: (Generation, char)) {
        let count = self.counts.entry(host.to_owned()).or_insert((arrival, 0));
        if arrival >= count.0 + PERIOD_NS {
            *count = (arrival, 0);
        }
        count.1 += 1;
        let count = count.1;
        if line.starts_with(' ')
            && let Some(open) = self.open.get_mut(host)
        {
            open.text = format!("{}\n{line}", open.text);
            (open.last, open.deadline) = (offset, arrival + WAIT_NS);
            return;
        }
        let fresh = Open { text: line.to_owned(), last: offset, deadline: arrival + WAIT_NS, count, by };
        if let Some(before) = self.open.insert(host.to_owned(), fresh) {
            self.row(before);
        }
    }
}

fn numbers(source: &dyn Source, group: usize, name: &str) -> Vec<i64> {
    let mut all = vec![-1; source.rows(group)];
    for (index, column) in source.columns().iter().enumerate().filter(|(_, column)| &*column.name == name) {
        if let Some(Chunk::Int { values, present }) = source.column(group, index).expect("whole") {
            for row in (0..values.len()).filter(|row| present.has(*row)) {
                all[row] = values[row];
            }
        } else {
            panic!("{column:?} is not there or not of numbers");
        }
    }
    all
}

fn run(seed: u64, ops: &[Op]) -> Result<(), TestCaseError> {
    let mut world = World::new(seed);
    for op in ops {
        match op {
            Op::Append { partition, lines, wait } => world.append(*partition, lines, *wait),
            Op::Steps(steps) => {
                for number in 0..u32::from(*steps) {
                    world.step(number % PARTITIONS);
                }
            }
            Op::Pass(ms) => world.clock.advance(Duration::from_millis((*ms).into())),
            Op::Flush => drop(world.life().store.flush_all()),
            Op::Promote(mark) => {
                let change = Change { chain: Some(Some(spec(MARKS[*mark]))), ..Change::default() };
                drop(world.life().relay.change("app", change));
            }
            Op::FailSoon(operations) => world.disk.power_off_after(*operations),
            Op::Crash => world.crash(),
        }
    }
    // An armed failure must not strike the end, which is about what a healthy box comes to.
    if !world.disk.keep_on() {
        world.crash();
    }
    for ticket in std::mem::take(&mut world.pending) {
        let _ = ticket.wait();
    }
    world.drain()?;
    world.check("drained")?;
    world.life().store.flush_all().map_err(|error| TestCaseError::fail(error.to_string()))?;
    world.check("flushed")?;
    world.crash();
    world.drain()?;
    world.check("started again")
}

/// More of them where a person or CI asks for it.
fn cases() -> u32 {
    std::env::var("SAWBOX_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(40)
}

/// A chain that sends each event on.
fn sending() -> ChainSpec {
    serde_json::from_value(serde_json::json!([
        { "filter": "multiline", "config": { "continues": "^\\s", "timeout": WAIT_NS / 1000 / MS, "key": ["host"] } },
        { "filter": "route", "config": { "to": "side" } },
    ]))
    .expect("spec")
}

#[test]
fn what_waited_is_sent_once_though_its_target_grows_after_a_crash() {
    let mut world = World::new(7);
    let change = Change { chain: Some(Some(sending())), ..Change::default() };
    world.life().relay.change("app", change).expect("a good chain");
    let sent = |world: &World| {
        let partitions = world.life().queue.topic("side").map(|side| side.partitions()).unwrap_or_default();
        partitions.iter().map(|partition| partition.high_watermark()).sum::<u64>()
    };
    for partition in 0..PARTITIONS {
        world.append(partition, &[(0, false)], true);
        for _ in 0..3 {
            world.step(partition);
        }
    }
    world.life().store.flush_all().expect("durable");
    // The clock shows what waits; it is sent, but no row of it is durable.
    world.clock.advance(Duration::from_millis(9000));
    for _ in 0..1000 {
        for partition in 0..PARTITIONS {
            world.step(partition);
        }
        if sent(&world) == u64::from(PARTITIONS) {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(sent(&world), u64::from(PARTITIONS));
    world.crash();
    assert_eq!(sent(&world), u64::from(PARTITIONS), "it is durable where it was sent");
    world.life().queue.grow_topic("side", 64).expect("the lanes come to a commit");
    world.drain().expect("ends");
    assert_eq!(sent(&world), u64::from(PARTITIONS));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn filters_remember_through_crashes_what_one_reading_of_the_log_says(
        seed in any::<u64>(),
        ops in proptest::collection::vec(op(), 1..40),
    ) {
        run(seed, &ops)?;
    }
}
