//! The queue under many threads at once: what the histories of `model.rs`, one step after the other, cannot come upon.
//!
//! Producers of every kind, readers of the tail and of sealed segments, keepers, deletion of records, growth, settings, topics that
//! come and go: all at the same time, without faults of the disk. At the end, and once more after the power failed, every
//! acknowledged record that nobody deleted is there, once, at its offset and in order.
//! A thread that gets nowhere for [`STUCK`] fails the test, which then says which they are and what each was doing. Threads of the
//! queue's own are not watched: those that wait for them are.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::clients::{Client, in_order};
use super::{Random, batch, by_offset, clock, config, one, open, read_all, seeds, stamped, via};
use crate::base::clock::SimClock;
use crate::base::disk::sim::SimDisk;
use crate::base::ids::{Offset, TopicId};
use crate::base::units::Bytes;
use crate::queue::batch::{Compression, Scratch, decode};
use crate::queue::{Appended, Durability, Partition, Queue, QueueError, Source, Ticket, Topic, TopicSettings};

const TICK: Duration = Duration::from_millis(20);
/// Ticks, half a minute: far more than anything takes on a busy machine.
const STUCK: u32 = 1_500;
/// Topics that stay, and how many partitions they come to have.
const TOPICS: [&str; 2] = ["web", "db"];
const PARTITIONS: u32 = 4;
/// Hours that pass in all: fewer than producers are remembered.
const HOURS: u64 = 100;

type Place = (String, u32);

/// What is known of a partition.
#[derive(Default)]
struct Known {
    acknowledged: BTreeMap<Offset, Vec<u8>>,
    /// What the reader of its tail saw.
    read: HashMap<Offset, Vec<u8>>,
    /// Up to here records may be deleted: a lane has committed so far, or somebody asked for it.
    may_go: Offset,
}

struct World {
    queue: Arc<Queue>,
    clock: Arc<SimClock>,
    known: Mutex<HashMap<Place, Known>>,
    news: Mutex<u64>,
    came: Condvar,
    over: AtomicBool,
}

/// A thread, as the watch sees it.
struct Beat {
    name: String,
    doing: Mutex<&'static str>,
    beats: AtomicU64,
    world: Arc<World>,
}

impl Beat {
    /// What it does from now on.
    fn now(&self, doing: &'static str) {
        *self.doing.lock() = doing;
        self.beats.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether to go on.
    fn goes_on(&self) -> bool {
        !self.world.over.load(Ordering::Relaxed)
    }
}

fn place(partition: &Partition) -> Place {
    (partition.topic_name().to_string(), partition.id())
}

impl World {
    fn topic(&self, name: &str) -> Arc<Topic> {
        self.queue.topic(name).unwrap()
    }

    fn some(&self, random: &mut Random) -> Arc<Partition> {
        let topic = self.topic(TOPICS[usize::try_from(random.below(2)).unwrap()]);
        let partitions = topic.partitions();
        partitions[usize::try_from(random.below(partitions.len() as u64)).unwrap()].clone()
    }

    fn on<T>(&self, partition: &Partition, act: impl FnOnce(&mut Known) -> T) -> T {
        act(self.known.lock().entry(place(partition)).or_default())
    }

    fn acknowledged(&self, partition: &Partition, outcome: &Appended, payloads: &[Vec<u8>]) {
        assert_eq!(outcome.next_offset - outcome.base_offset, payloads.len() as u64);
        self.on(partition, |known| {
            for (offset, payload) in (outcome.base_offset..).zip(payloads) {
                let before = known.acknowledged.insert(offset, payload.clone());
                assert!(before.is_none(), "offset {offset} given twice");
            }
        });
    }
}

/// Sends several batches at a time, and hears of them in order.
fn produce(world: &World, beat: &Beat, random: &mut Random) {
    let mut sent = 0_u64;
    while beat.goes_on() {
        beat.now("appending");
        let partition = world.some(random);
        let mut waiting: Vec<(Ticket, Vec<Vec<u8>>)> = Vec::new();
        for _ in 0..=random.below(8) {
            let large = if random.one_in(6) { 3_000 } else { 10 };
            let payload = |nth: u64| format!("{} {nth} {}", beat.name, "x".repeat(large)).into_bytes();
            let payloads: Vec<Vec<u8>> = (0..=random.below(3)).map(|nth| payload(sent + nth)).collect();
            sent += payloads.len() as u64;
            let compression = if random.one_in(4) { Compression::Lz4 } else { Compression::None };
            waiting.push((partition.append(batch(&payloads, compression)), payloads));
        }
        beat.now("waiting for acknowledgements");
        let mut last = None;
        for (ticket, payloads) in waiting {
            let outcome = ticket.wait().unwrap();
            assert!(last < Some(outcome.base_offset) && !outcome.duplicate);
            last = Some(outcome.base_offset);
            world.acknowledged(&partition, &outcome, &payloads);
        }
    }
}

/// Idempotent clients, one for each partition: with repetitions, lost answers, new epochs.
fn repeat(world: &World, beat: &Beat, random: &mut Random) {
    let mut clients: HashMap<Place, Client> = HashMap::new();
    while beat.goes_on() {
        beat.now("appending as an idempotent client");
        let partition = world.some(random);
        let fresh = |random: &mut Random| Client::new(world.queue.new_producer_id().unwrap(), random);
        let client = clients.entry(place(&partition)).or_insert_with(|| fresh(random));
        let known = |offset: Offset, payload: &[u8]| {
            world.on(&partition, |known| {
                let there = known.acknowledged.entry(offset).or_insert_with(|| payload.to_vec());
                assert_eq!(there, payload, "offset {offset}");
            });
        };
        client.round(&partition, random, |_| {}, known);
    }
}

/// An idempotent producer whose batches a rule sends elsewhere now and then, and some of them twice.
fn stray(world: &World, beat: &Beat, random: &mut Random, (home, away): (&str, &str)) {
    let [home, away] = [home, away].map(|name| world.topic(name).partition(0).unwrap());
    let id = world.queue.new_producer_id().unwrap();
    let mut sequence = 0;
    while beat.goes_on() {
        let payload = format!("{} {sequence}", beat.name).into_bytes();
        let bytes = stamped(&batch(std::slice::from_ref(&payload), Compression::None), id, 0, sequence);
        let send = |strays: bool| {
            beat.now("waiting for a stray");
            if strays { via(&home, &away, bytes.clone()) } else { home.append(bytes.clone()) }.wait().unwrap()
        };
        let strays = random.one_in(2);
        let first = send(strays);
        assert!(!first.duplicate);
        world.acknowledged(if strays { &away } else { &home }, &first, &[payload]);
        if random.one_in(4) {
            assert_eq!(send(random.one_in(2)), Appended { duplicate: true, ..first });
        }
        sequence += 1;
    }
}

/// A lane that emits, and goes back a little every now and then.
fn emit(world: &World, beat: &Beat, random: &mut Random) {
    let source = Source { topic: TopicId::new(), partition: 0, run: 0 };
    let to = world.topic("db").partition(1).unwrap();
    let (mut next, mut done) = (0, 0);
    while beat.goes_on() {
        beat.now("emitting");
        let tickets: Vec<(Offset, Ticket)> =
            (next..next + 4).map(|last| (last, to.append_emissions(source, last, one(&format!("emission {last}"))))).collect();
        for (last, ticket) in tickets {
            let outcome = ticket.wait().unwrap();
            assert_eq!(outcome.duplicate, last < done, "emission {last}");
            if !outcome.duplicate {
                world.acknowledged(&to, &outcome, &[format!("emission {last}").into_bytes()]);
            }
        }
        next += 4;
        done = done.max(next);
        assert_eq!(to.emitted_upto(source), Some(done - 1));
        if random.one_in(3) {
            next -= random.below(4);
        }
    }
}

/// Follows the tail of one partition, and sleeps only when it is told that there is nothing new.
fn follow(world: &World, beat: &Beat, random: &mut Random, (name, number): (&str, u32)) {
    let partition = loop {
        beat.now("waiting for the partition to be made");
        match world.topic(name).partition(number) {
            Some(partition) => break partition,
            None if !beat.goes_on() => return,
            None => std::thread::sleep(TICK),
        }
    };
    let (mut from, mut scratch) = (0, Scratch::new());
    while beat.goes_on() {
        let told = *world.news.lock();
        beat.now("reading the tail");
        let end = partition.high_watermark();
        let batches = partition.read(from, 1 << random.below(18)).unwrap();
        if batches.is_empty() {
            assert!(end <= from.max(partition.log_start()), "nothing from {from}, though there is something up to {end}");
            beat.now("waiting for news");
            let mut news = world.news.lock();
            while *news == told && beat.goes_on() && partition.high_watermark() <= from.max(partition.log_start()) {
                world.came.wait(&mut news);
            }
            continue;
        }
        for stored in batches {
            assert!(stored.base_offset <= from || stored.base_offset <= partition.log_start(), "{} is missing", from);
            from = stored.next_offset;
            let records = decode(&stored, &mut scratch).unwrap().records;
            world.on(&partition, |known| {
                known.read.extend(records.iter().map(|record| (record.offset, record.payload.to_vec())));
            });
        }
        assert!(from <= partition.high_watermark(), "read before it was durable");
    }
}

/// Reads here and there: mostly sealed segments, by offset and by time.
fn look(world: &World, beat: &Beat, random: &mut Random) {
    while beat.goes_on() {
        let partition = world.some(random);
        let (start, end) = (partition.log_start(), partition.high_watermark());
        if start >= end {
            continue;
        }
        let from = start + random.below(end - start);
        beat.now("reading somewhere");
        let batches = partition.read(from, 1 << random.below(18)).unwrap();
        match batches.first() {
            Some(first) => assert!(first.base_offset <= from.max(partition.log_start()) && from < first.next_offset),
            None => assert!(partition.log_start() >= end, "nothing at {from}"),
        }
        assert!(batches.windows(2).all(|two| two[0].next_offset == two[1].base_offset));
        beat.now("looking for a time");
        if let Some((newest, ms)) = partition.max_timestamp() {
            let found = partition.offset_for_timestamp(ms).unwrap();
            assert!(found.is_some_and(|(_, found)| found >= ms) || newest < partition.log_start(), "{found:?}");
        }
        if let Some(stored) = batches.last() {
            let found = partition.offset_at(stored.append_ns);
            assert!(found <= stored.base_offset.max(partition.log_start()), "{found}, not up to {}", stored.base_offset);
        }
    }
}

/// Does the keeper's work beside it.
fn tend(world: &World, beat: &Beat, random: &mut Random) {
    for nth in 0_u64.. {
        if !beat.goes_on() {
            return;
        }
        beat.now("tending the queue");
        world.queue.tend();
        if nth < HOURS / 2 {
            world.clock.advance(Duration::from_secs(3600));
        }
        std::thread::sleep(Duration::from_millis(random.below(4)));
    }
}

/// Lets records go: a lane commits, a user deletes.
fn let_go(world: &World, beat: &Beat, random: &mut Random) {
    while beat.goes_on() {
        let partition = world.some(random);
        let (start, end) = (partition.log_start(), partition.high_watermark());
        let upto = start + random.below((end - start) / 2 + 1);
        world.on(&partition, |known| known.may_go = known.may_go.max(upto));
        if random.one_in(3) {
            beat.now("deleting records");
            assert!(partition.delete_records(upto).unwrap() >= upto);
            assert!(partition.log_start() >= upto);
        } else {
            beat.now("committing");
            partition.set_committed(upto);
        }
        std::thread::sleep(Duration::from_millis(random.below(8)));
    }
}

/// Changes topics, and gives them more partitions.
fn change(world: &World, beat: &Beat, random: &mut Random) {
    while beat.goes_on() {
        let name = TOPICS[usize::try_from(random.below(2)).unwrap()];
        beat.now("changing settings");
        let (few, written) = (random.one_in(2), random.one_in(4));
        let changed = world.queue.change_topic(name, |settings| {
            settings.retention_bytes = few.then_some(Bytes(256 << 10));
            settings.durability = if written { Durability::Written } else { Durability::Fsync };
            Ok(())
        });
        changed.unwrap();
        let have = world.topic(name).settings().partitions;
        if have < PARTITIONS && random.one_in(4) {
            beat.now("growing a topic");
            world.queue.grow_topic(name, have + 1).unwrap();
        }
        std::thread::sleep(Duration::from_millis(random.below(30)));
    }
}

/// Uses topics that others delete, and deletes them: all else than what is there or gone is a mistake.
fn come_and_go(world: &World, beat: &Beat, random: &mut Random) {
    while beat.goes_on() {
        let name = format!("temp{}", random.below(2));
        beat.now("making a topic");
        let topic = world.queue.ensure_topic(&name).unwrap();
        let partition = topic.partition(0).unwrap();
        beat.now("using a topic that goes");
        let tickets: Vec<Ticket> = (0..random.below(6)).map(|nth| partition.append(one(&nth.to_string()))).collect();
        if random.one_in(2) {
            beat.now("deleting a topic");
            let outcome = world.queue.delete(&topic);
            assert!(matches!(outcome, Ok(()) | Err(QueueError::Gone)), "{outcome:?}");
            assert!(matches!(partition.read(0, 1), Err(QueueError::Gone)));
        }
        beat.now("waiting at a topic that goes");
        for ticket in tickets {
            let outcome = ticket.wait();
            assert!(matches!(outcome, Ok(_) | Err(QueueError::Gone)), "{outcome:?}");
        }
        let read = partition.read(0, 1 << 16);
        assert!(matches!(read, Ok(_) | Err(QueueError::Gone)), "{read:?}");
    }
}

/// Waits until all are done; tells them when. Panics if one gets nowhere, or panicked.
fn watch(world: &World, threads: Vec<(Arc<Beat>, JoinHandle<()>)>, ticks: u64) {
    let mut still = vec![(0, 0); threads.len()];
    for tick in 0_u64.. {
        std::thread::sleep(TICK);
        let failed = threads.iter().any(|(_, thread)| tick < ticks && thread.is_finished());
        if tick >= ticks || failed {
            world.over.store(true, Ordering::Relaxed);
            let _news = world.news.lock();
            world.came.notify_all();
        }
        if threads.iter().all(|(_, thread)| thread.is_finished()) {
            break;
        }
        for ((beat, thread), (beats, since)) in threads.iter().zip(&mut still) {
            let now = beat.beats.load(Ordering::Relaxed);
            *since = if now == *beats && !thread.is_finished() { *since + 1 } else { 0 };
            *beats = now;
        }
        if still.iter().any(|(_, since)| *since >= STUCK) {
            // Some wait for others: whoever is still by now is part of it.
            let stuck = threads.iter().zip(&still).filter(|(_, (_, since))| *since >= STUCK / 2);
            let stuck: Vec<String> = stuck.map(|((beat, _), _)| format!("{} ({})", beat.name, *beat.doing.lock())).collect();
            panic!("stuck for {:?}: {}", TICK * STUCK, stuck.join(", "));
        }
    }
    for (beat, thread) in threads {
        assert!(thread.join().is_ok(), "{} failed, {}", beat.name, *beat.doing.lock());
    }
}

/// What must hold once nobody does anything any more.
fn check(queue: &Queue, known: &HashMap<Place, Known>) -> usize {
    let mut seen: HashSet<Vec<u8>> = HashSet::new();
    for partition in TOPICS.iter().flat_map(|name| queue.topic(name).unwrap().partitions()) {
        let all = read_all(&partition, 1 << 14);
        let place = place(&partition);
        assert!(all.is_sorted_by(|a, b| a.0 + 1 == b.0), "{place:?}: in order, and nothing left out");
        in_order(all.iter().map(|(_, payload)| payload.as_slice()));
        let Some(known) = known.get(&place) else { continue };
        let start = partition.log_start();
        assert!(start <= known.may_go, "{place:?} begins at {start}: nobody let go of more than {}", known.may_go);
        let there = by_offset(&all);
        for (offset, payload) in known.acknowledged.range(start..) {
            assert_eq!(there.get(offset), Some(&payload.as_slice()), "{place:?} offset {offset}");
        }
        for (offset, payload) in &known.acknowledged {
            // What the reader of the tail passed over was deleted before it came there.
            assert!(known.read.get(offset).is_none_or(|read| read == payload), "{place:?} offset {offset}: read otherwise");
        }
        for (_, payload) in all {
            assert!(seen.insert(payload.clone()), "twice: {}", String::from_utf8_lossy(&payload));
        }
    }
    seen.len()
}

type Work = Box<dyn FnOnce(&World, &Beat, &mut Random) + Send>;

#[test]
fn threads_at_everything_at_once_lose_nothing_and_do_not_wait_for_each_other() {
    let (disk, clock) = (SimDisk::new(1), clock());
    let (queue, _) = open(&disk, &clock, config());
    for name in TOPICS {
        queue.create_topic(name, TopicSettings { partitions: 2, ..TopicSettings::of(&config()) }).unwrap();
    }
    let (known, news, came, over) = Default::default();
    let world = Arc::new(World { queue: queue.clone(), clock: clock.clone(), known, news, came, over });
    let told = Arc::downgrade(&world);
    queue.on_durable(Box::new(move |_| {
        if let Some(world) = told.upgrade() {
            *world.news.lock() += 1;
            world.came.notify_all();
        }
    }));
    let mut work: Vec<(String, Work)> = vec![
        ("producer 0".into(), Box::new(produce)),
        ("producer 1".into(), Box::new(produce)),
        ("client".into(), Box::new(repeat)),
        ("stray 0".into(), Box::new(|world, beat, random| stray(world, beat, random, ("web", "db")))),
        ("stray 1".into(), Box::new(|world, beat, random| stray(world, beat, random, ("db", "web")))),
        ("lane".into(), Box::new(emit)),
        ("looker".into(), Box::new(look)),
        ("keeper 0".into(), Box::new(tend)),
        ("keeper 1".into(), Box::new(tend)),
        ("deleter".into(), Box::new(let_go)),
        ("changer".into(), Box::new(change)),
        ("guest 0".into(), Box::new(come_and_go)),
        ("guest 1".into(), Box::new(come_and_go)),
    ];
    for place in TOPICS.iter().flat_map(|name| (0..PARTITIONS).map(move |number| (*name, number))) {
        let name = format!("reader of {} {}", place.0, place.1);
        work.push((name, Box::new(move |world, beat, random| follow(world, beat, random, place))));
    }
    let start = |(nth, (name, work)): (u64, (String, Work))| {
        let beat = Beat { name: name.clone(), doing: Mutex::new("starting"), beats: AtomicU64::new(0), world: world.clone() };
        let (beat, world) = (Arc::new(beat), world.clone());
        let watched = beat.clone();
        let thread = std::thread::Builder::new().name(name);
        (watched, thread.spawn(move || work(&world, &beat, &mut Random(nth))).unwrap())
    };
    let threads = (0..).zip(work).map(start).collect();
    // Two seconds, unless more is asked for.
    watch(&world, threads, seeds(100));
    for name in TOPICS {
        let changed = queue.change_topic(name, |settings| {
            settings.durability = Durability::Fsync;
            Ok(())
        });
        changed.unwrap();
    }
    // What a client did not wait for is on its way.
    let settled = (0..STUCK).any(|_| {
        std::thread::sleep(TICK);
        queue.stats().pending_bytes == 0
    });
    assert!(settled, "appends are left over");
    queue.tend();
    for partition in TOPICS.iter().flat_map(|name| world.topic(name).partitions()) {
        // The keeper passes over who is busy.
        partition.sync_written(&mut partition.log.lock()).unwrap();
    }
    let known = std::mem::take(&mut *world.known.lock());
    assert!(check(&queue, &known) > 0 && known.values().any(|known| !known.read.is_empty()), "nothing was done");
    assert_eq!(queue.stats().damaged, 0);
    let (queue, report) = open(&disk.crash(), &clock, config());
    assert_eq!((report.damage, report.adopted, report.damaged_entries), (vec![], vec![], 0));
    check(&queue, &known);
}
