//! Idempotent producers whose batches a rule sends now here, now there: exact, whatever the disk does.
//!
//! The model knows what each producer sent and what was acknowledged to it, and behaves as a Kafka client: at most five batches in
//! flight, the whole window again after any error, some batches twice without waiting. The way of each sending is random: home, one
//! target or another, and one producer's home is another's target.
//! What must hold: over all partitions together each batch is there once at most, and once if it was acknowledged, at the offset that
//! was told each time; in every partition a producer's batches are in order; nothing is acknowledged behind what failed; in the end
//! everything can be sent.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Random, batch, clock, config, one, open, read_all, seeds, via};
use crate::base::clock::SimClock;
use crate::base::disk::Disk;
use crate::base::disk::sim::SimDisk;
use crate::base::ids::{Offset, TopicId};
use crate::queue::batch::Compression;
use crate::queue::tests::stamped;
use crate::queue::{Partition, Queue, QueueError, Source, TopicSettings};

const TOPICS: [&str; 3] = ["web", "bursty", "other"];
const FLIGHT: usize = 5;

/// A producer's view of one partition.
struct Client {
    id: i64,
    epoch: i16,
    /// The topic it means.
    home: usize,
    /// Sizes of its batches so far; their first sequence numbers follow.
    sent: Vec<u32>,
    /// How many are acknowledged, from the first on, since the epoch began.
    acked: usize,
    /// Batches of the epochs before.
    before: usize,
}

struct World {
    random: Random,
    disk: Arc<SimDisk>,
    clock: Arc<SimClock>,
    queue: Option<Arc<Queue>>,
    clients: Vec<Client>,
    /// Where a batch was acknowledged: by producer and number.
    told: HashMap<(i64, usize), Offset>,
}

fn payloads(id: i64, number: usize, records: u32) -> Vec<Vec<u8>> {
    (0..records).map(|n| format!("{id} {number} {n}").into_bytes()).collect()
}

impl World {
    fn new(seed: u64) -> Self {
        let (disk, clock) = (SimDisk::new(seed), clock());
        let (queue, _) = open(&disk, &clock, config());
        for name in TOPICS {
            queue.create_topic(name, TopicSettings::default()).unwrap();
        }
        let client = |(id, home)| Client { id, epoch: 0, home, sent: Vec::new(), acked: 0, before: 0 };
        let clients = [(1, 0), (2, 0), (3, 1)].into_iter().map(client).collect();
        Self { random: Random(seed), disk, clock, queue: Some(queue), clients, told: HashMap::new() }
    }

    fn partition(&self, topic: usize) -> Arc<Partition> {
        self.queue.as_ref().unwrap().topic(TOPICS[topic]).unwrap().partition(0).unwrap()
    }

    /// Every producer sends its window, all mixed up; then they hear what became of it.
    fn send(&mut self, most_new: u64) {
        let mut queues: Vec<Vec<(usize, usize)>> = Vec::new();
        for at in 0..self.clients.len() {
            let new = self.random.below(most_new + 1);
            for _ in 0..new {
                let records = 1 + u32::try_from(self.random.below(4)).unwrap();
                self.clients[at].sent.push(records);
            }
            let client = &self.clients[at];
            let window = client.acked..client.sent.len().min(client.acked + FLIGHT);
            let mut queue: Vec<(usize, usize)> = window.map(|number| (at, number)).collect();
            if self.random.one_in(3) && !queue.is_empty() {
                // The connection broke, and all of it comes again.
                let again = queue.clone();
                queue.extend(again);
            }
            queues.push(queue);
        }
        let mut tickets = Vec::new();
        let mut way = usize::try_from(self.random.below(3)).unwrap();
        while queues.iter().any(|queue| !queue.is_empty()) {
            let at = usize::try_from(self.random.below(queues.len() as u64)).unwrap();
            if queues[at].is_empty() {
                continue;
            }
            let (client, number) = queues[at].remove(0);
            if self.random.one_in(3) {
                way = usize::try_from(self.random.below(3)).unwrap();
            }
            let Client { id, epoch, home, sent, before, .. } = &self.clients[client];
            let first: u32 = sent[..number].iter().sum();
            let bytes = batch(&payloads(*id, before + number, sent[number]), Compression::None);
            let bytes = stamped(&bytes, *id, *epoch, i32::try_from(first).unwrap());
            tickets.push((client, number, via(&self.partition(*home), &self.partition(way), bytes)));
        }
        let mut failed: HashMap<usize, usize> = HashMap::new();
        for (at, number, ticket) in tickets {
            let client = &mut self.clients[at];
            let key = (client.id, client.before + number);
            match ticket.wait() {
                Ok(place) => {
                    assert_eq!(place.next_offset - place.base_offset, u64::from(client.sent[number]));
                    let told = *self.told.entry(key).or_insert(place.base_offset);
                    assert_eq!(told, place.base_offset, "a batch has one place: {key:?}");
                    // What was durable before is known again, whatever failed now.
                    let in_order = failed.get(&at).is_none_or(|failed| number <= *failed);
                    assert!(place.duplicate || in_order, "{key:?} took the place of one that failed");
                    if number == client.acked {
                        client.acked += 1;
                    }
                    if failed.get(&at) == Some(&number) {
                        failed.remove(&at);
                    }
                }
                Err(QueueError::ProducerFenced | QueueError::Refused(_) | QueueError::Malformed(_)) => panic!("{key:?}"),
                // A repetition fails with the group that it came in.
                Err(_) if number < client.acked => {}
                Err(_) => {
                    let first = failed.entry(at).or_insert(number);
                    *first = (*first).min(number);
                }
            }
        }
    }

    fn check(&self) {
        if self.disk.is_off() {
            return;
        }
        let mut there: BTreeMap<Vec<u8>, (usize, Offset)> = BTreeMap::new();
        for topic in 0..TOPICS.len() {
            let mut last: HashMap<i64, (usize, u32)> = HashMap::new();
            for (offset, payload) in read_all(&self.partition(topic), 1 << 20) {
                let text = String::from_utf8(payload.clone()).unwrap();
                let numbers: Vec<u32> = text.split(' ').map(|word| word.parse().unwrap()).collect();
                let before = last.insert(i64::from(numbers[0]), (numbers[1] as usize, numbers[2]));
                assert!(before.is_none_or(|before| before < (numbers[1] as usize, numbers[2])), "order of {text}");
                let twice = there.insert(payload, (topic, offset));
                assert_eq!(twice, None, "{text} is in {topic} at {offset}, too");
            }
        }
        for ((id, number), base) in &self.told {
            let client = self.clients.iter().find(|client| client.id == *id).unwrap();
            let Some(records) = number.checked_sub(client.before).and_then(|at| client.sent.get(at)) else { continue };
            for (payload, offset) in payloads(*id, *number, *records).iter().zip(*base..) {
                assert_eq!(there.get(payload).map(|(_, offset)| *offset), Some(offset), "{id} {number}");
            }
        }
    }

    fn crash(&mut self) {
        let queue = self.queue.take().unwrap();
        if self.random.one_in(4) && !self.disk.is_off() {
            queue.shutdown();
        }
        self.disk = self.disk.crash();
        drop(queue);
        let (queue, report) = open(&self.disk, &self.clock, config());
        assert_eq!(report.damage, vec![], "nothing was damaged");
        self.queue = Some(queue);
    }

    /// A producer that begins anew: what was not acknowledged is forgotten, as a client's new epoch would send it under new numbers.
    fn anew(&mut self) {
        let at = usize::try_from(self.random.below(self.clients.len() as u64)).unwrap();
        let client = &mut self.clients[at];
        client.epoch += 1;
        // Those in doubt keep their payloads, which nobody sends again.
        client.before += client.sent.len();
        (client.sent, client.acked) = (Vec::new(), 0);
    }

    fn step(&mut self) {
        match self.random.below(20) {
            0..=10 => self.send(4),
            11 => self.disk.fail_sync_after(self.random.below(5)),
            12 => self.disk.power_off_after(self.random.below(14)),
            13 => {
                let used: u64 = self.disk.files().iter().map(|(_, len)| len).sum();
                let more = self.random.below(100_000);
                self.disk.set_capacity((!self.random.one_in(2)).then_some(used + more));
            }
            14 => self.queue.as_ref().unwrap().tend(),
            15 => self.anew(),
            16 | 17 => self.check(),
            _ => {
                self.crash();
                self.check();
            }
        }
        if self.disk.is_off() {
            self.crash();
            self.check();
        }
    }

    fn end(&mut self) {
        self.disk.set_capacity(None);
        self.crash();
        self.check();
        for _ in 0..100 {
            if self.clients.iter().all(|client| client.acked == client.sent.len()) {
                break;
            }
            self.send(0);
        }
        let left: Vec<_> = self.clients.iter().map(|client| client.sent.len() - client.acked).collect();
        assert_eq!(left, [0, 0, 0], "some batches can never be sent");
        self.check();
    }
}

#[test]
fn strays_are_there_once_and_in_order_whatever_the_disk_does() {
    let only = std::env::var("SAWBOX_SEED").ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = only.map_or(0..seeds(150), |seed| seed..seed + 1);
    for seed in seeds {
        let run = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            for _ in 0..40 {
                world.step();
            }
            world.end();
        });
        assert!(run.is_ok(), "seed {seed}");
    }
}

/// What the model's disk does only sometimes, on purpose: the write fails, the retry goes the other way, the power fails.
#[test]
fn what_failed_in_one_place_does_not_come_back_beside_its_repetition() {
    for seed in 0..60 {
        for (first, second) in [(0, 1), (1, 0), (1, 2)] {
            for durable_before in [false, true] {
                let mut world = World::new(seed);
                let send = |world: &World, number: usize, way: usize| {
                    let bytes =
                        stamped(&batch(&payloads(1, number, 2), Compression::None), 1, 0, i32::try_from(number * 2).unwrap());
                    via(&world.partition(0), &world.partition(way), bytes).wait()
                };
                let mut number = 0;
                if durable_before {
                    send(&world, 0, first).unwrap();
                    number = 1;
                }
                world.disk.fail_sync_after(0);
                assert!(send(&world, number, first).is_err());
                send(&world, number, second).unwrap();
                world.crash();
                let records: usize = (0..3).map(|topic| read_all(&world.partition(topic), 1 << 20).len()).sum();
                assert_eq!(records, 2 * (number + 1), "seed {seed}, {first} then {second}");
                // The repetition is known, wherever it is sent.
                for way in 0..3 {
                    assert!(send(&world, number, way).unwrap().duplicate);
                }
            }
        }
    }
}

#[test]
fn home_judges_what_goes_elsewhere() {
    let disk = SimDisk::new(1);
    let world = World { disk: disk.clone(), ..World::new(1) };
    let send = |way: usize, epoch: i16, first: i32| {
        let bytes = stamped(&batch(&[b"x".to_vec()], Compression::None), 9, epoch, first);
        via(&world.partition(0), &world.partition(way), bytes).wait()
    };
    assert_eq!(send(0, 0, 0).unwrap().base_offset, 0);
    assert_eq!(send(1, 0, 1).unwrap().base_offset, 0);
    assert_eq!(send(2, 0, 2).unwrap().base_offset, 0);
    assert_eq!(send(0, 0, 3).unwrap().base_offset, 1);
    assert!(matches!(send(1, 0, 5), Err(QueueError::OutOfOrderSequence)));
    assert!(send(0, 0, 1).unwrap().duplicate);
    assert_eq!(send(1, 1, 0).unwrap().base_offset, 1);
    assert!(matches!(send(0, 0, 4), Err(QueueError::ProducerFenced)));
    // Who writes to the target himself has numbers of his own there.
    let own = stamped(&batch(&[b"x".to_vec()], Compression::None), 9, 0, 0);
    assert!(!world.partition(1).append(own).wait().unwrap().duplicate);
    // A target that is deleted takes nothing, and the producer goes on elsewhere.
    let target = world.partition(2);
    world.queue.as_ref().unwrap().delete_topic("other").unwrap();
    let bytes = stamped(&batch(&[b"x".to_vec()], Compression::None), 9, 1, 1);
    assert!(matches!(via(&world.partition(0), &target, bytes).wait(), Err(QueueError::Gone)));
    assert_eq!(send(0, 1, 1).unwrap().base_offset, 2);
    drop(disk.list(std::path::Path::new("queue")));
}

#[test]
fn checkpoints_and_retention_keep_what_guests_are_known_by() {
    let mut world = World::new(5);
    let send = |world: &World, way: usize, first: i32| {
        let bytes = stamped(&batch(&[vec![b'x'; 40_000]], Compression::None), 9, 0, first);
        via(&world.partition(0), &world.partition(way), bytes).wait()
    };
    for first in 0..12 {
        send(&world, 1, first).unwrap();
    }
    let (home, target) = (world.partition(0), world.partition(1));
    target.set_committed(target.high_watermark());
    let queue = world.queue.clone().unwrap();
    queue.tend();
    world.clock.advance(std::time::Duration::from_secs(90_000));
    queue.tend();
    queue.tend();
    assert!(target.log_start() > 0, "the first strays are gone");
    assert_eq!(home.high_watermark(), 0);
    drop((home, target, queue));
    world.crash();
    assert!(send(&world, 0, 11).unwrap().duplicate);
    assert!(send(&world, 1, 8).unwrap().duplicate);
    assert!(matches!(send(&world, 0, 13), Err(QueueError::OutOfOrderSequence)));
    assert_eq!(send(&world, 0, 12).unwrap().base_offset, 0);
}

#[test]
fn a_panic_over_one_run_leaves_nothing_of_the_next_waiting() {
    let world = World::new(1);
    let queue = world.queue.as_ref().unwrap();
    let first = AtomicBool::new(true);
    queue.on_durable(Box::new(move |_| assert!(!first.swap(false, Ordering::Relaxed), "on purpose")));
    let home = world.partition(0);
    let [stray, own] = {
        // The writer waits for the log while both come in.
        let _busy = home.log.lock();
        let bytes = stamped(&batch(&[b"x".to_vec()], Compression::None), 1, 0, 0);
        [via(&home, &world.partition(1), bytes), home.append(one("y"))]
    };
    assert!(stray.wait().is_ok() && own.wait().is_err());
    assert_eq!(queue.stats().pending_bytes, 0);
    assert_eq!(home.append(one("z")).wait().unwrap().base_offset, 0);
}

#[test]
fn after_a_panic_nothing_takes_the_place_of_what_it_dropped() {
    let world = World::new(1);
    let queue = world.queue.as_ref().unwrap();
    let first = AtomicBool::new(true);
    queue.on_durable(Box::new(move |_| assert!(!first.swap(false, Ordering::Relaxed), "on purpose")));
    let home = world.partition(0);
    let source = Source { topic: TopicId::new(), partition: 0, run: 0 };
    let send = |id: i64, first: i32| stamped(&batch(&[vec![b'x']], Compression::None), id, 0, first);
    let [stray, own, emission] = {
        // The writer waits for the log while all come in.
        let _busy = home.log.lock();
        let stray = via(&home, &world.partition(1), send(1, 0));
        [stray, home.append(send(2, 0)), home.append_emissions(source, 0, one("y"))]
    };
    assert!(stray.wait().is_ok() && own.wait().is_err() && emission.wait().is_err());
    // The tickets are told a moment before it is noted who sent what.
    home.append(one("z")).wait().unwrap();
    assert!(matches!(home.append(send(2, 1)).wait(), Err(QueueError::OutOfOrderSequence)));
    assert!(home.append_emissions(source, 1, one("y1")).wait().is_err());
    assert!(home.append(send(1, 1)).wait().is_ok(), "what was durable before the panic stays so");
    for emitted in 0..2 {
        assert!(!home.append_emissions(source, emitted, one("y")).wait().unwrap().duplicate);
        assert!(!home.append(send(2, i32::try_from(emitted).unwrap())).wait().unwrap().duplicate);
    }
}
