//! Lineage, checked against a model that knows nothing of how queue, store, sandbox and relay work.
//!
//! The model knows: which appends were acknowledged, which promotions succeeded and from which offsets. The real houses run over
//! a disk in memory that loses power in the middle of anything. After any interleaving of appends, lane steps, flushes,
//! promotions, growth and crashes:
//! * every acknowledged record is in the queue, with its bytes;
//! * the visible rows are exactly those of one generation per (partition, offset), each once, and it is the generation that the
//!   promotions say, whenever a crash happened;
//! * target topics, dead letters and outputs' topics hold each emission exactly once, though targets grow meanwhile;
//! * a cursor never passes what is durable: neither the log's end nor an emission of a record below it;
//! * a promotion that was acknowledged stays, with its offsets.
//!
//! Replays and deletions join the operations when the box has them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use sawbox::base::clock::{Clock, SimClock};
use sawbox::base::disk::Disk;
use sawbox::base::disk::sim::SimDisk;
use sawbox::base::ids::{Generation, Offset, PartitionId, TopicId};
use sawbox::base::record::header;
use sawbox::base::units::{Bytes, Span};
use sawbox::queue::batch::{self, BatchBuilder, Compression, Scratch};
use sawbox::queue::{self, Queue, Topic};
use sawbox::relay::codec::spec::CodecName;
use sawbox::relay::config::ZabbixConfig;
use sawbox::relay::{Change, Config, OutputConfig, Relay, Step, TopicConfig};
use sawbox::sandbox::{self, ChainSpec, Sandbox};
use sawbox::store::source::{Chunk, Source};
use sawbox::store::{self, Store, StoreError};

use crate::relay_guest;

const START_NS: i64 = 1_700_000_000_000_000_000;
const MARKS: [char; 3] = ['a', 'b', 'c'];
const PARTITIONS: u32 = 2;
/// Records are text: as MessagePack each but the shortest is a number and something behind it, and a dead letter.
const CODECS: [CodecName; 3] = [CodecName::Plain, CodecName::Plain, CodecName::Msgpack];

#[derive(Clone, Debug)]
enum Op {
    /// A batch of records, by their first bytes; waits for the acknowledgement or not.
    Append { partition: u32, kinds: Vec<u8>, wait: bool },
    /// Steps of the lanes, chosen by number.
    Steps(Vec<u8>),
    /// The store makes everything durable.
    Flush,
    /// The topic that filters emit to gets another partition, if lanes can be brought to a commit.
    Grow,
    /// The filter with this mark becomes the chain, and records are this from now on.
    Promote(usize, CodecName),
    /// The power fails after so many changes of the disk from now on, in the middle of whatever is done then.
    FailSoon(u64),
    /// The power fails, the box starts again.
    Crash,
}

fn op() -> impl Strategy<Value = Op> {
    let kinds = proptest::collection::vec(proptest::sample::select(b"xxxxeemdft".to_vec()), 1..12);
    prop_oneof![
        6 => (0..PARTITIONS, kinds, any::<bool>()).prop_map(|(partition, kinds, wait)| Op::Append { partition, kinds, wait }),
        8 => proptest::collection::vec(any::<u8>(), 1..12).prop_map(Op::Steps),
        3 => Just(Op::Flush),
        2 => Just(Op::Grow),
        2 => (0..MARKS.len(), proptest::sample::select(CODECS.to_vec())).prop_map(|(mark, codec)| Op::Promote(mark, codec)),
        1 => (0u64..30).prop_map(Op::FailSoon),
        2 => Just(Op::Crash),
    ]
}

/// One sandbox for all cases: it has no part in what a crash may lose.
fn sandbox() -> Arc<Sandbox> {
    static ONE: OnceLock<Arc<Sandbox>> = OnceLock::new();
    ONE.get_or_init(|| {
        let clock: Arc<dyn Clock> = Arc::new(SimClock::at(START_NS));
        let sandbox = Sandbox::open(SimDisk::new(1), clock, sandbox::Config::default()).expect("sandbox");
        for mark in MARKS {
            sandbox.put(&format!("mark-{mark}"), &relay_guest::wasm(mark)).expect("guest");
        }
        sandbox
    })
    .clone()
}

fn spec(mark: char) -> ChainSpec {
    serde_json::from_value(serde_json::json!([{ "filter": format!("mark-{mark}") }])).expect("spec")
}

/// The box's houses over one life of the disk.
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
    /// Appends that nobody waited for.
    pending: Vec<queue::Ticket>,
    /// Acknowledged payloads.
    acknowledged: BTreeMap<(PartitionId, Offset), Vec<u8>>,
    /// Promotions that succeeded: mark, codec and offsets.
    promoted: BTreeMap<Generation, (char, bool, BTreeMap<PartitionId, Offset>)>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut world = Self {
            disk: SimDisk::new(seed),
            clock: Arc::new(SimClock::at(START_NS)),
            life: None,
            serial: 0,
            pending: Vec::new(),
            acknowledged: BTreeMap::new(),
            promoted: BTreeMap::new(),
        };
        world.start();
        world
    }

    fn start(&mut self) {
        let disk: Arc<dyn Disk> = self.disk.clone();
        let clock: Arc<dyn Clock> = self.clock.clone();
        let config = queue::Config { writers: 1, segment_bytes: Bytes(1 << 20), ..queue::Config::default() };
        let (queue, _) = Queue::open(disk.clone(), clock.clone(), config).expect("the queue always opens");
        let (store, _) = Store::open_idle(disk, clock.clone(), store::Config::default()).expect("the store always opens");
        let web = TopicConfig { partitions: Some(PARTITIONS), chain: Some(spec(MARKS[0])), ..TopicConfig::default() };
        let side = TopicConfig { partitions: Some(PARTITIONS), ..TopicConfig::default() };
        let output = ZabbixConfig {
            name: "told".into(),
            topics: Some(vec!["web".into()]),
            when: Some("mark:b".into()),
            ..ZabbixConfig::default()
        };
        let config = Config {
            topics: [("web".to_owned(), web), ("side".to_owned(), side)].into(),
            outputs: vec![OutputConfig::Zabbix(output)],
            growth_wait: Span(Duration::from_millis(20)),
            ..Config::default()
        };
        let relay = Relay::open(queue.clone(), store.clone(), sandbox(), clock, config).expect("the relay opens");
        self.life = Some(Life { queue, store, relay });
        self.learn();
    }

    fn life(&self) -> &Life {
        self.life.as_ref().expect("between lives nothing is asked")
    }

    fn web(&self) -> Arc<Topic> {
        self.life().queue.topic("web").expect("configured")
    }

    /// The store's record of generations; the model knows which were acknowledged and what they said.
    fn learn(&mut self) {
        let web = self.web().id();
        for entry in self.life().store.generations(web) {
            let text = String::from_utf8_lossy(&entry.chain).into_owned();
            let mark = MARKS.into_iter().find(|mark| text.contains(&format!("mark-{mark}"))).expect("a mark");
            let decodes = !text.contains("\"codec\":\"msgpack\"");
            // A promotion whose answer was lost with the power may have happened; from now on it counts as promised.
            self.promoted.entry(entry.generation).or_insert((mark, decodes, entry.from.clone()));
        }
    }

    fn crash(&mut self) {
        self.disk_off();
        self.start();
    }

    fn disk_off(&mut self) {
        let survived = self.disk.crash();
        self.life = None;
        self.pending.clear();
        self.disk = survived;
    }

    fn append(&mut self, partition: u32, kinds: &[u8], wait: bool) {
        let mut builder = BatchBuilder::new();
        let mut payloads = Vec::new();
        for kind in kinds {
            self.serial += 1;
            let payload = format!("{} {}", *kind as char, self.serial).into_bytes();
            // Emissions have the key of their record: it chooses their partition.
            let key = format!("{}", self.serial % 7);
            builder.push(START_NS / 1_000_000, Some(key.as_bytes()), &payload, &[(b"app", b"shop")]).expect("small");
            payloads.push(payload);
        }
        let ticket = self.web().partition(partition).expect("configured").append(builder.finish(Compression::None));
        if !wait {
            self.pending.push(ticket);
            return;
        }
        if let Ok(appended) = ticket.wait() {
            for (offset, payload) in (appended.base_offset..).zip(payloads) {
                self.acknowledged.insert((partition, offset), payload);
            }
        }
    }

    fn lanes(&self) -> Vec<(TopicId, PartitionId)> {
        let mut topics = self.life().queue.topics();
        topics.sort_by(|a, b| a.name().cmp(b.name()));
        topics
            .iter()
            .flat_map(|topic| topic.partitions().into_iter().map(|p| (topic.id(), p.id())).collect::<Vec<_>>())
            .collect()
    }

    fn step(&self, lane: (TopicId, PartitionId)) -> Option<Step> {
        let step = self.life().relay.step(lane.0, lane.1);
        if let Some(Step::After(pause)) = step {
            self.clock.advance(pause);
        }
        step
    }

    fn promote(&mut self, mark: char, codec: CodecName) -> Result<(), TestCaseError> {
        let web = self.web().id();
        let change = Change { chain: Some(Some(spec(mark))), codec: Some(Some(codec.into())) };
        if let Ok(generation) = self.life().relay.change("web", change) {
            let entries = self.life().store.generations(web);
            let entry = entries.iter().find(|entry| entry.generation == generation);
            let entry = entry.ok_or_else(|| TestCaseError::fail("an acknowledged generation is not there"))?;
            let decodes = codec == CodecName::Plain;
            let before = self.promoted.insert(generation, (mark, decodes, entry.from.clone()));
            prop_assert!(before.is_none(), "a generation twice");
        }
        Ok(())
    }

    /// Cursor and log end of every lane.
    fn ends(&self) -> Vec<(TopicId, PartitionId, Option<Offset>, Option<Offset>)> {
        let end = |topic, number| Some(self.life().queue.topic_by_id(topic)?.partition(number)?.high_watermark());
        self.lanes().into_iter().map(|(t, p)| (t, p, self.life().store.cursor(t, p), end(t, p))).collect()
    }

    /// Lets every lane work until nothing is left.
    fn drain(&self) -> Result<(), TestCaseError> {
        for _ in 0..20_000 {
            // A lane that is not there yet is about to be made by the queue's callback; outputs' topics have none.
            let told = self.life().queue.topic("_out.told").map(|topic| topic.id());
            let lanes = self.lanes().into_iter().filter(|(topic, _)| Some(*topic) != told);
            let steps: Vec<Step> = lanes.map(|lane| self.step(lane).unwrap_or(Step::Waiting)).collect();
            if steps.iter().all(|step| *step == Step::Idle) {
                return Ok(());
            }
            if steps.iter().all(|step| !matches!(step, Step::Again)) {
                std::thread::sleep(Duration::from_micros(100));
            }
        }
        Err(TestCaseError::fail(format!("lanes never end: {:?}", self.life().relay.lanes())))
    }

    /// All records of a topic: (partition, offset, payload, origin).
    fn records(&self, name: &str) -> Vec<(PartitionId, Offset, Vec<u8>, Option<String>)> {
        let Some(topic) = self.life().queue.topic(name) else { return Vec::new() };
        let mut all = Vec::new();
        for partition in topic.partitions() {
            let mut at = partition.log_start();
            while at < partition.high_watermark() {
                for stored in partition.read(at, 1 << 20).expect("readable") {
                    let mut scratch = Scratch::new();
                    let records = batch::decode(&stored, &mut scratch).expect("whole");
                    for record in &records.records {
                        let origin = records.headers_of(record).iter().find(|(name, _)| *name == header::ORIGIN.as_bytes());
                        let origin = origin.map(|(_, value)| String::from_utf8_lossy(value).into_owned());
                        all.push((partition.id(), record.offset, record.payload.to_vec(), origin));
                    }
                    at = stored.next_offset;
                }
            }
        }
        all
    }

    /// The generation that the promotions say for an offset, its mark, and whether it can decode.
    fn mark_at(&self, partition: PartitionId, offset: Offset) -> (Generation, char, bool) {
        let of = |(generation, (mark, decodes, from)): (&Generation, &(char, bool, BTreeMap<PartitionId, Offset>))| {
            (from.get(&partition).copied().unwrap_or(0) <= offset).then_some((*generation, *mark, *decodes))
        };
        self.promoted.iter().rev().find_map(of).expect("the first generation is from offset 0")
    }

    /// What must hold at any time after a start.
    fn check_start(&self) -> Result<(), TestCaseError> {
        let web = self.web();
        let there: BTreeMap<_, _> = self.records("web").into_iter().map(|(p, o, payload, _)| ((p, o), payload)).collect();
        for (place, payload) in &self.acknowledged {
            prop_assert_eq!(there.get(place), Some(payload), "acknowledged, but not in the queue: {:?}", place);
        }
        let entries = self.life().store.generations(web.id());
        for (generation, (_, _, from)) in &self.promoted {
            let entry = entries.iter().find(|entry| entry.generation == *generation);
            prop_assert_eq!(entry.map(|entry| &entry.from), Some(from), "generation {} changed or went", generation);
        }
        for (name, kinds) in [("side", &b"em"[..]), ("_dead.web", b"ftu")] {
            let origins: BTreeSet<_> = self.records(name).into_iter().filter_map(|(_, _, _, origin)| origin).collect();
            for ((partition, offset), payload) in &there {
                let cursor = self.life().store.cursor(web.id(), *partition).unwrap_or(0);
                // One that cannot be decoded is a dead letter whatever it asks for.
                let kind = if self.mark_at(*partition, *offset).2 { payload[0] } else { b'u' };
                if *offset < cursor && kinds.contains(&kind) {
                    let origin = format!("{}/{partition}@{offset}#0", web.id());
                    prop_assert!(origins.contains(&origin), "cursor {} passed an emission to {}: {}", cursor, name, origin);
                }
            }
        }
        for (topic, partition) in self.lanes() {
            let cursor = self.life().store.cursor(topic, partition).unwrap_or(0);
            let end = self.life().queue.topic_by_id(topic).and_then(|t| t.partition(partition)).map(|p| p.high_watermark());
            prop_assert!(Some(cursor) <= end, "a cursor at {} passes the log's end {:?}", cursor, end);
        }
        Ok(())
    }

    /// What must hold once every lane is idle.
    fn check_drained(&self, when: &str) -> Result<(), TestCaseError> {
        let web = self.web();
        let there = self.records("web");
        let mut rows = BTreeMap::new();
        let (mut side, mut dead, mut told) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for (partition, offset, payload, _) in &there {
            let (generation, mark, decodes) = self.mark_at(*partition, *offset);
            let origin = format!("{}/{partition}@{offset}#0", web.id());
            let kind = if decodes { payload[0] } else { b'f' };
            if matches!(kind, b'x' | b'e') {
                rows.insert(("web".to_owned(), *partition, *offset), (generation, mark.to_string(), payload.clone()));
                if mark == 'b' {
                    told.insert(origin.clone(), 1);
                }
            }
            if matches!(kind, b'e' | b'm') {
                side.insert(origin.clone(), 1);
            }
            if matches!(kind, b'f' | b't') {
                dead.insert(origin, 1);
            }
        }
        for (name, expected) in [("side", side), ("_dead.web", dead), ("_out.told", told)] {
            let mut found = BTreeMap::new();
            for (partition, offset, payload, origin) in self.records(name) {
                *found.entry(origin.expect("an emission says where it is from")).or_insert(0) += 1;
                if name != "_out.told" {
                    rows.insert((name.to_owned(), partition, offset), (0, String::new(), payload));
                }
            }
            prop_assert_eq!(&found, &expected, "{}: emissions in {}; lanes: {:?}", when, name, self.life().relay.lanes());
        }
        let visible = visible(&self.life().store)?;
        for (place, row) in &rows {
            prop_assert_eq!(visible.get(place), Some(row), "{}: row of {:?}", when, place);
        }
        for place in visible.keys() {
            prop_assert!(rows.contains_key(place), "{}: a row of nothing: {:?}", when, place);
        }
        Ok(())
    }
}

pub type Visible = BTreeMap<(String, PartitionId, Offset), (Generation, String, Vec<u8>)>;

/// Every row of a store, read as queries read; fails where one is there twice.
pub fn visible(store: &Store) -> Result<Visible, TestCaseError> {
    let mut rows = BTreeMap::new();
    for source in store.snapshot(None, None, None).sources {
        for group in 0..source.groups() {
            let unread = |error: StoreError| TestCaseError::fail(error.to_string());
            let lineage = source.lineage(group).map_err(unread)?;
            let marks = column(&*source, group, "mark").map_err(unread)?;
            let messages = column(&*source, group, "message").map_err(unread)?;
            let deleted = source.deleted(group);
            for row in 0..source.rows(group) {
                if deleted.as_ref().is_some_and(|words| words[row / 64] >> (row % 64) & 1 == 1) {
                    continue;
                }
                prop_assert_eq!(lineage.ns[row], 0);
                let place = (source.topic_name().to_string(), lineage.partitions[row], lineage.offsets[row]);
                let mark = String::from_utf8_lossy(&marks[row]).into_owned();
                let before = rows.insert(place.clone(), (lineage.generations[row], mark, messages[row].clone()));
                prop_assert!(before.is_none(), "visible twice: {:?}", place);
            }
        }
    }
    Ok(rows)
}

/// A string column of a group; empty where a row has no value.
pub fn column(source: &dyn Source, group: usize, name: &str) -> Result<Vec<Vec<u8>>, StoreError> {
    let mut values = vec![Vec::new(); source.rows(group)];
    for (index, column) in source.columns().iter().enumerate() {
        if &*column.name != name {
            continue;
        }
        match source.column(group, index)? {
            Some(Chunk::Dict { codes, dict }) => {
                for (row, code) in codes.iter().enumerate().filter(|(_, code)| **code > 0) {
                    values[row] = dict.entry(*code as usize - 1).to_vec();
                }
            }
            Some(Chunk::Text { ends, bytes, present }) => {
                let mut begin = 0;
                for (row, end) in ends.iter().enumerate() {
                    if present.has(row) {
                        values[row] = bytes[begin..*end as usize].to_vec();
                    }
                    begin = *end as usize;
                }
            }
            _ => {}
        }
    }
    Ok(values)
}

fn run(seed: u64, ops: &[Op]) -> Result<(), TestCaseError> {
    let mut world = World::new(seed);
    for op in ops {
        match op {
            Op::Append { partition, kinds, wait } => world.append(*partition, kinds, *wait),
            Op::Steps(chosen) => {
                let lanes = world.lanes();
                for number in chosen {
                    world.step(lanes[usize::from(*number) % lanes.len()]);
                }
            }
            // A disk that is off refuses; the rows stay where they are.
            Op::Flush => drop(world.life().store.flush_all()),
            // It may fail, for lanes that cannot commit or a disk that is off: then nothing changes.
            Op::Grow => {
                let have = world.life().queue.topic("side").expect("configured").partitions().len();
                if have < 8 {
                    drop(world.life().queue.grow_topic("side", have as u32 + 1));
                }
            }
            Op::Promote(mark, codec) => world.promote(MARKS[*mark], *codec)?,
            Op::FailSoon(operations) => world.disk.power_off_after(*operations),
            Op::Crash => {
                world.crash();
                world.check_start()?;
            }
        }
    }
    // An armed failure must not strike the end, which is about what a healthy box comes to.
    if !world.disk.keep_on() {
        world.crash();
        world.check_start()?;
    }
    for ticket in std::mem::take(&mut world.pending) {
        // Whether it went well or not: nothing may arrive behind the lanes' backs.
        let _ = ticket.wait();
    }
    world.drain()?;
    world.check_drained("drained")?;
    world.life().store.flush_all().map_err(|e| TestCaseError::fail(e.to_string()))?;
    world.check_drained("flushed")?;
    let before = world.ends();
    world.crash();
    prop_assert_eq!(world.ends(), before, "what was durable went with the power; disk: {:?}", world.disk.files());
    world.check_start()?;
    for (topic, partition) in world.lanes() {
        let status = world.life().relay.lanes().into_iter().find(|lane| {
            let owner = world.life().queue.topic(&lane.topic).map(|t| t.id());
            owner == Some(topic) && lane.partition == partition
        });
        if let Some(status) = status {
            prop_assert_eq!(status.lag_records, 0, "all was durable, so nothing is left to do: {:?}", status);
        }
    }
    world.check_drained("started again")?;
    assert!(world.disk.list(Path::new("queue")).is_ok(), "the disk answers");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rows_and_emissions_are_exactly_once_through_crashes(seed in any::<u64>(), ops in proptest::collection::vec(op(), 1..40)) {
        run(seed, &ops)?;
    }
}
