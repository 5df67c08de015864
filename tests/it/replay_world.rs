//! The houses and the model that `replay_model.rs` drives.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use sawbox::base::clock::{Clock, SimClock};
use sawbox::base::disk::Disk;
use sawbox::base::disk::sim::SimDisk;
use sawbox::base::ids::{Generation, Offset, PartitionId};
use sawbox::base::record::header;
use sawbox::base::row::KeepPayload;
use sawbox::base::units::Bytes;
use sawbox::queue::batch::{self, BatchBuilder, Compression, Scratch};
use sawbox::queue::{self, Queue, Topic};
use sawbox::relay::{
    Config, Range, Relay, ReplayChain, ReplayRequest, ReplayState, ReplayStatus, ReplayStep, Step, TopicConfig, Which,
};
use sawbox::sandbox::{self, ChainSpec, Sandbox};
use sawbox::store::{self, Store};

use crate::lineage_model::visible;
use crate::relay_guest;

const START_NS: i64 = 1_700_000_000_000_000_000;
pub const MARKS: [char; 3] = ['a', 'b', 'c'];
pub const PARTITIONS: u32 = 2;

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

/// The filter with this mark; where rows are made of several lines, behind one that puts these together.
pub fn spec(mark: char, joins: bool) -> ChainSpec {
    let lines = serde_json::json!({ "filter": "multiline", "config": { "continues": "^\\s", "timeout": 3 } });
    let mark = serde_json::json!({ "filter": format!("mark-{mark}") });
    let chain: Vec<_> = joins.then_some(lines).into_iter().chain([mark]).collect();
    serde_json::from_value(chain.into()).expect("spec")
}

pub struct Life {
    pub queue: Arc<Queue>,
    pub store: Arc<Store>,
    pub relay: Arc<Relay>,
}

impl Drop for Life {
    fn drop(&mut self) {
        // What its threads still write is lost; but hooks keep the queue, and it its threads.
        self.queue.shutdown();
    }
}

/// A replay that was acknowledged.
#[derive(Clone, Debug)]
pub struct Promised {
    pub generation: Generation,
    pub mark: char,
    pub ranges: Vec<Range>,
    pub state: ReplayState,
}

/// Rows by their place: generation, and the offsets of their lines.
type Joined = BTreeMap<(PartitionId, Offset), (Generation, Vec<Offset>)>;

pub struct World {
    pub disk: Arc<SimDisk>,
    pub clock: Arc<SimClock>,
    pub life: Option<Life>,
    /// Whether rows are made of several lines, of two hosts that speak at the same time.
    pub joins: bool,
    /// Whether rows keep their records.
    pub keeps: bool,
    pub serial: u64,
    /// Every record that was ever durable, by its place.
    pub known: BTreeMap<(PartitionId, Offset), Vec<u8>>,
    /// Live generations: mark and first offsets.
    pub promoted: BTreeMap<Generation, (char, BTreeMap<PartitionId, Offset>)>,
    pub replays: BTreeMap<u64, Promised>,
    /// What each replay that is done made.
    pub made: BTreeMap<Generation, (char, Vec<(PartitionId, Offset, Offset)>)>,
    pub deleted: BTreeSet<(PartitionId, Offset)>,
    /// Deletions whose answer was lost with the power: all of one or none.
    pub unsure: Vec<BTreeSet<(PartitionId, Offset)>>,
}

impl World {
    pub fn new(seed: u64, joins: bool) -> Self {
        let mut world = Self {
            joins,
            keeps: seed.is_multiple_of(2),
            disk: SimDisk::new(seed),
            clock: Arc::new(SimClock::at(START_NS)),
            life: None,
            serial: 0,
            known: BTreeMap::new(),
            promoted: BTreeMap::new(),
            replays: BTreeMap::new(),
            made: BTreeMap::new(),
            deleted: BTreeSet::new(),
            unsure: Vec::new(),
        };
        world.start().expect("an empty disk");
        world
    }

    pub fn start(&mut self) -> Result<(), TestCaseError> {
        let disk: Arc<dyn Disk> = self.disk.clone();
        let clock: Arc<dyn Clock> = self.clock.clone();
        let config = queue::Config { writers: 1, segment_bytes: Bytes(1 << 20), ..queue::Config::default() };
        let (queue, _) = Queue::open(disk.clone(), clock.clone(), config).expect("the queue always opens");
        let store_config = store::Config { merge_parts: 3, ..store::Config::default() };
        let (store, _) = Store::open_idle(disk, clock.clone(), store_config).expect("the store always opens");
        let web = TopicConfig {
            partitions: Some(PARTITIONS),
            chain: Some(spec(MARKS[0], self.joins)),
            keep_payload: Some(if self.keeps { KeepPayload::Always } else { KeepPayload::Never }),
            ..TopicConfig::default()
        };
        let topics = [("web".to_owned(), web)].into();
        let config = Config { topics, replay_piece: 7, ..Config::default() };
        let relay = Relay::open(queue.clone(), store.clone(), sandbox(), clock, config).expect("the relay opens");
        self.life = Some(Life { queue, store, relay });
        self.learn()
    }

    pub fn life(&self) -> &Life {
        self.life.as_ref().expect("between lives nothing is asked")
    }

    pub fn web(&self) -> Arc<Topic> {
        self.life().queue.topic("web").expect("configured")
    }

    /// After a start or an answer: what became durable though nobody was told, and that what was told is durable.
    pub fn learn(&mut self) -> Result<(), TestCaseError> {
        if self.disk.is_off() {
            // What is durable will be seen after the crash.
            return Ok(());
        }
        let web = self.web().id();
        let life = self.life.as_ref().expect("alive");
        let mark_of = |chain: &[String]| chain[chain.len() - 1].chars().last().expect("a mark");
        let entries = life.store.generations(web);
        for entry in &entries {
            let text = String::from_utf8_lossy(&entry.chain).into_owned();
            let mark = MARKS.into_iter().find(|mark| text.contains(&format!("mark-{mark}"))).expect("a mark");
            if entry.ranges.is_empty() {
                let known = self.promoted.entry(entry.generation).or_insert((mark, entry.from.clone()));
                prop_assert_eq!(&known.1, &entry.from, "a generation's offsets changed");
            } else {
                self.made.entry(entry.generation).or_insert((mark, entry.ranges.clone()));
            }
        }
        for generation in self.promoted.keys().chain(self.made.keys()) {
            prop_assert!(entries.iter().any(|entry| entry.generation == *generation), "generation {} went", generation);
        }
        let there: Vec<ReplayStatus> = life.relay.replays();
        for status in &there {
            let mark = mark_of(&status.chain);
            let ranges: Vec<Range> = status.partitions.iter().map(|part| part.range).collect();
            let (generation, state) = (status.generation, status.state);
            let promised =
                self.replays.entry(status.id).or_insert(Promised { generation, mark, ranges: ranges.clone(), state });
            prop_assert_eq!((promised.generation, promised.mark, &promised.ranges), (generation, mark, &ranges));
            // One that is over stays over.
            prop_assert!(promised.state.is_open() || promised.state == state, "{:?} became {:?}", promised, state);
            promised.state = state;
            let made = self.made.get(&generation);
            let whole: u64 =
                status.partitions.iter().flat_map(|part| part.made.iter().chain(&part.unread)).map(|(a, b)| b - a).sum();
            let starts = |partition| self.web().partition(partition).map_or(0, |partition| partition.log_start());
            match state {
                ReplayState::Done => {
                    prop_assert_eq!(whole, ranges.iter().map(Range::len).sum::<u64>(), "done, but not whole: {:?}", status);
                    let all =
                        status.partitions.iter().flat_map(|part| part.made.iter().map(|(a, b)| (part.range.partition, *a, *b)));
                    let mut all: Vec<_> = all.collect();
                    all.sort_unstable();
                    all.dedup_by(|next, last| {
                        let follows = next.0 == last.0 && next.1 == last.2;
                        last.2 = if follows { next.2 } else { last.2 };
                        follows
                    });
                    prop_assert_eq!(&all, &made.map(|(_, ranges)| ranges.clone()).unwrap_or_default());
                    for part in &status.partitions {
                        // What was trimmed meanwhile comes of the rows.
                        let whole = part.unread.is_empty() || !self.keeps || self.joins || self.rowless(part);
                        prop_assert!(whole, "left though rows kept it: {:?}", part);
                        let gone = part.unread.iter().all(|(_, end)| *end <= starts(part.range.partition));
                        prop_assert!(gone, "not read though it was there: {:?}", part);
                    }
                }
                _ => prop_assert!(made.is_none(), "{:?}, but its generation is known", status),
            }
        }
        for (id, promised) in &self.replays {
            // Those long over may be forgotten.
            let is_there = there.iter().any(|status| status.id == *id);
            prop_assert!(is_there || !promised.state.is_open(), "replay {} went: {:?}", id, promised);
        }
        let masks = life.store.masks(web);
        // Below the log's start a deletion may be forgotten: nobody can make those rows again.
        let starts: BTreeMap<_, _> = self.web().partitions().iter().map(|one| (one.id(), one.log_start())).collect();
        let is_gone = |partition, offset| masks.as_ref().is_some_and(|masks| masks.is_gone(partition, offset));
        for unsure in std::mem::take(&mut self.unsure) {
            let open: Vec<_> = unsure.difference(&self.deleted).collect();
            let kept: Vec<_> = open.iter().filter(|(partition, offset)| *offset >= starts[partition]).collect();
            let gone = kept.iter().filter(|(partition, offset)| is_gone(*partition, *offset)).count();
            prop_assert!(gone == 0 || gone == kept.len(), "half a deletion");
            if open.iter().any(|(partition, offset)| is_gone(*partition, *offset)) {
                self.deleted.extend(unsure);
            }
        }
        for (partition, offset) in self.deleted.iter().filter(|(partition, offset)| *offset >= starts[partition]) {
            prop_assert!(is_gone(*partition, *offset), "a deletion was forgotten: {}@{}", partition, offset);
        }
        for (place, payload, _) in self.records("web") {
            self.known.insert(place, payload);
        }
        Ok(())
    }

    pub fn crash(&mut self) -> Result<(), TestCaseError> {
        let survived = self.disk.crash();
        self.life = None;
        self.disk = survived;
        let before = std::mem::take(&mut self.known);
        self.start()?;
        // What was not acknowledged may be gone; what was is found again, or was trimmed, also by a trim that could not say so.
        let starts: BTreeMap<_, _> = self.web().partitions().iter().map(|one| (one.id(), one.log_start())).collect();
        self.known.extend(before.into_iter().filter(|((partition, offset), _)| *offset < starts[partition]));
        self.check("after a crash").map(drop)
    }

    pub fn append(&mut self, partition: u32, kinds: &[u8]) {
        let mut builder = BatchBuilder::new();
        for kind in kinds {
            self.serial += 1;
            // Lines begin events, or continue them.
            let (kind, host) = match (self.joins, kind) {
                (true, b'e') => (' ', "a"),
                (true, b'd') => (' ', "b"),
                (true, b'f') => ('y', "b"),
                (_, kind) => (*kind as char, "a"),
            };
            let payload = format!("{kind} {}", self.serial).into_bytes();
            builder.push(START_NS / 1_000_000, None, &payload, &[(b"host", host.as_bytes())]).expect("small");
        }
        let ticket = self.web().partition(partition).expect("configured").append(builder.finish(Compression::None));
        // A disk that is off: nobody was told.
        let _ = ticket.wait();
    }

    pub fn records(&self, name: &str) -> Vec<((PartitionId, Offset), Vec<u8>, Option<String>)> {
        let Some(topic) = self.life().queue.topic(name) else { return Vec::new() };
        let mut all = Vec::new();
        for partition in topic.partitions() {
            let mut at = partition.log_start();
            let start = at;
            while at < partition.high_watermark() {
                let Ok(batches) = partition.read(at, 1 << 20) else { return all };
                for stored in batches {
                    let mut scratch = Scratch::new();
                    let records = batch::decode(&stored, &mut scratch).expect("whole");
                    for record in records.records.iter().filter(|record| record.offset >= start) {
                        let origin = records.headers_of(record).iter().find(|(name, _)| *name == header::ORIGIN.as_bytes());
                        let origin = origin.map(|(_, value)| String::from_utf8_lossy(value).into_owned());
                        all.push(((partition.id(), record.offset), record.payload.to_vec(), origin));
                    }
                    at = stored.next_offset;
                }
            }
        }
        all
    }

    pub fn step(&self, number: u8) -> Option<Step> {
        let mut lanes: Vec<_> = self
            .life()
            .queue
            .topics()
            .iter()
            .flat_map(|topic| topic.partitions().into_iter().map(|p| (topic.id(), p.id())).collect::<Vec<_>>())
            .collect();
        lanes.sort();
        let (topic, partition) = lanes[usize::from(number) % lanes.len()];
        let step = self.life().relay.step(topic, partition);
        if let Some(Step::After(pause)) = step {
            self.clock.advance(pause);
        }
        step
    }

    /// A replay that is open, by number.
    pub fn open(&self, which: u8) -> Option<u64> {
        let open: Vec<u64> = self.replays.iter().filter(|(_, promised)| promised.state.is_open()).map(|(id, _)| *id).collect();
        (!open.is_empty()).then(|| open[usize::from(which) % open.len()])
    }

    pub fn place(&self, partition: PartitionId, eighths: u8) -> Offset {
        let end = self.web().partition(partition).expect("configured").high_watermark();
        end * u64::from(eighths) / 8
    }

    pub fn replay(&mut self, from: u8, to: u8, mark: Option<usize>, all: bool) -> Result<(), TestCaseError> {
        let range = |partition| Range {
            partition,
            first: self.place(partition, from.min(to)),
            end: self.place(partition, from.max(to)),
        };
        let which = if all { Which::All } else { Which::Offsets((0..PARTITIONS).map(range).collect()) };
        let chain = mark.map_or(ReplayChain::Newest, |mark| ReplayChain::Given(spec(MARKS[mark], self.joins)));
        let request = ReplayRequest { which, partitions: None, chain, throttle: None };
        if let Ok(status) = self.life().relay.replay("web", &request) {
            prop_assert!(!self.replays.contains_key(&status.id), "a replay's number twice");
            let newest = self.promoted.iter().next_back().expect("configured").1.0;
            let mark = mark.map_or(newest, |mark| MARKS[mark]);
            let ranges: Vec<Range> = status.partitions.iter().map(|part| part.range).collect();
            if all {
                self.check_reach(&ranges, mark)?;
            }
            let promised = Promised { generation: status.generation, mark, ranges, state: ReplayState::Running };
            self.replays.insert(status.id, promised);
        }
        self.learn()
    }

    /// The generation whose rows an offset has, and its mark.
    pub fn at(&self, partition: PartitionId, offset: Offset) -> (Generation, char) {
        let has = |ranges: &[(PartitionId, Offset, Offset)]| {
            ranges.iter().any(|(own, first, end)| *own == partition && (*first..*end).contains(&offset))
        };
        if let Some((generation, (mark, _))) = self.made.iter().rfind(|(_, (_, ranges))| has(ranges)) {
            return (*generation, *mark);
        }
        let live = |(_, (_, from)): &(&Generation, &(char, BTreeMap<PartitionId, Offset>))| {
            from.get(&partition).copied().unwrap_or(0) <= offset
        };
        let (generation, (mark, _)) = self.promoted.iter().rfind(live).expect("the first is from offset 0");
        (*generation, *mark)
    }

    /// What must hold at any moment.
    pub fn check(&self, when: &str) -> Result<BTreeMap<(PartitionId, Offset), Generation>, TestCaseError> {
        if self.joins {
            return self
                .check_joined(when)
                .map(|rows| rows.into_iter().map(|(place, (generation, _))| (place, generation)).collect());
        }
        let mut seen = BTreeMap::new();
        for ((topic, partition, offset), (generation, mark, message)) in visible(&self.life().store)? {
            if topic != "web" {
                continue;
            }
            prop_assert!(
                !self.deleted.contains(&(partition, offset)),
                "{}: deleted, but visible: {}@{}",
                when,
                partition,
                offset
            );
            let expected = self.at(partition, offset);
            let expected = (expected.0, expected.1.to_string());
            prop_assert_eq!((generation, mark), expected, "{}: {}@{}", when, partition, offset);
            if let Some(payload) = self.known.get(&(partition, offset)) {
                prop_assert_eq!(&message, payload, "{}: {}@{}", when, partition, offset);
                prop_assert!(matches!(payload[0], b'x' | b'e'), "{}: a row of what has none: {}@{}", when, partition, offset);
            }
            seen.insert((partition, offset), generation);
        }
        Ok(seen)
    }

    /// The same of rows of several lines: whole lines, none of which two rows have. With the offsets of each row's lines.
    fn check_joined(&self, when: &str) -> Result<Joined, TestCaseError> {
        let places: BTreeMap<&[u8], (PartitionId, Offset)> =
            self.known.iter().map(|(place, payload)| (payload.as_slice(), *place)).collect();
        let (mut rows, mut lines) = (Joined::new(), BTreeSet::new());
        for ((topic, partition, offset), (generation, mark, message)) in visible(&self.life().store)? {
            if topic != "web" {
                continue;
            }
            let mut own = Vec::new();
            for line in message.split(|byte| *byte == b'\n') {
                let place = places.get(line).copied();
                let (of, line) = place.ok_or_else(|| TestCaseError::fail(format!("{when}: a line of no record: {line:?}")))?;
                prop_assert_eq!(of, partition, "{}: a line of another partition", when);
                let expected = self.at(partition, line);
                prop_assert_eq!(
                    (generation, &*mark),
                    (expected.0, &*expected.1.to_string()),
                    "{}: {}@{}",
                    when,
                    partition,
                    line
                );
                prop_assert!(lines.insert((partition, line)), "{}: a line twice: {}@{}", when, partition, line);
                own.push(line);
            }
            let gone = own.iter().find(|line| self.deleted.contains(&(partition, **line)));
            prop_assert!(gone.is_none(), "{}: deleted, but visible: {}@{:?} of {:?}", when, partition, gone, own);
            prop_assert!(own.is_sorted() && own.last() == Some(&offset), "{}: {:?} is {}@{}", when, own, partition, offset);
            rows.insert((partition, offset), (generation, own));
        }
        Ok(rows)
    }

    /// What goes with these records: whole rows, if they are of several lines.
    pub fn with_their_rows(&self, range: Range) -> Result<BTreeSet<(PartitionId, Offset)>, TestCaseError> {
        let mut all: BTreeSet<_> = (range.first..range.end).map(|offset| (range.partition, offset)).collect();
        if self.joins && !self.disk.is_off() {
            for ((partition, _), (_, lines)) in self.check_joined("before a deletion")? {
                let lines: BTreeSet<_> = lines.into_iter().map(|line| (partition, line)).collect();
                if !lines.is_disjoint(&all) {
                    all.extend(lines);
                }
            }
        }
        Ok(all)
    }

    /// What must hold once every lane and replay has done what it can.
    pub fn check_whole(&self, when: &str) -> Result<(), TestCaseError> {
        if self.joins {
            let rows = self.check_joined(when)?;
            let lines: usize = rows.values().map(|(_, lines)| lines.len()).sum();
            let known = self.known.keys().filter(|place| !self.deleted.contains(place)).count();
            prop_assert_eq!(lines, known, "{}: lines are missing: {:?}", when, rows);
            return Ok(());
        }
        let seen = self.check(when)?;
        for (place, payload) in &self.known {
            let wanted = matches!(payload[0], b'x' | b'e') && !self.deleted.contains(place);
            prop_assert_eq!(seen.contains_key(place), wanted, "{}: {:?} {}", when, place, String::from_utf8_lossy(payload));
        }
        prop_assert!(seen.keys().all(|place| self.known.contains_key(place)), "{}: rows of nothing", when);
        let mut sent = BTreeMap::<String, u32>::new();
        for origin in self.records("side").into_iter().filter_map(|(_, _, origin)| origin) {
            *sent.entry(origin).or_default() += 1;
        }
        prop_assert!(sent.values().all(|times| *times == 1), "{}: emitted again: {:?}", when, sent);
        let web = self.web().id();
        for ((partition, offset), payload) in self.known.iter().filter(|(place, _)| !self.deleted.contains(place)) {
            let origin = format!("{web}/{partition}@{offset}#0");
            prop_assert_eq!(sent.contains_key(&origin), payload[0] == b'e', "{}: {}", when, origin);
        }
        Ok(())
    }

    pub fn drain(&mut self) -> Result<(), TestCaseError> {
        for _ in 0..5_000 {
            let lanes: usize = self.life().queue.topics().iter().map(|topic| topic.partitions().len()).sum();
            let steps: Vec<_> = (0..lanes).map(|number| self.step(number as u8).unwrap_or(Step::Idle)).collect();
            if steps.iter().all(|step| *step == Step::Idle) {
                return Ok(());
            }
            if steps.iter().all(|step| !matches!(step, Step::Again)) {
                std::thread::sleep(std::time::Duration::from_micros(100));
            }
        }
        Err(TestCaseError::fail(format!("lanes never end: {:?}", self.life().relay.lanes())))
    }

    /// Lets every replay come to its end, those that are paused among them.
    pub fn finish(&mut self) -> Result<(), TestCaseError> {
        self.drain()?;
        while let Some(id) = self.open(0) {
            let relay = self.life().relay.clone();
            relay.set_replay(id, ReplayState::Running).map_err(|error| TestCaseError::fail(error.to_string()))?;
            let mut steps = 0;
            while relay.step_replay(id, steps).map_err(|error| TestCaseError::fail(error.to_string()))? != ReplayStep::Over {
                steps += 1;
                prop_assert!(steps < 1000, "a replay never ends: {:?}", relay.replay_status(id));
            }
            self.learn()?;
            // What cannot be read any more may be part of a row.
            let state = self.replays[&id].state;
            prop_assert!(
                state == ReplayState::Done || (self.joins && state == ReplayState::Failed),
                "{:?}",
                relay.replay_status(id)
            );
        }
        Ok(())
    }
}
