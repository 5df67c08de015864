//! The queue against a model that knows only what was acknowledged and what was read, over random histories with crashes.
//!
//! What must hold, whatever the disk did: every acknowledged record is there, once, in order, at its offset; what was once read
//! stays; nothing is there that nobody sent; the emissions of a source, and the batches of an idempotent producer, are there once
//! however often they were sent; offsets are never used twice for what was seen; the log begins where retention or a deletion
//! may have left it; what groups committed is known; topics and partitions that were made are there; opening succeeds.
//!
//! Two modes: random histories with random faults, and histories where one fault is put at every place there is, one after the
//! other: the power fails at every change of the disk, every write stops half way, every sync fails.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::clients::{Client, in_order};
use super::{Random, batch, clock, config, open, seeds, try_read_all};
use crate::base::clock::SimClock;
use crate::base::disk::sim::{Done, SimDisk};
use crate::base::ids::{Offset, TopicId};
use crate::queue::batch::Compression;
use crate::queue::{Partition, Queue, QueueError, Source, Ticket, TopicSettings};

#[derive(Default)]
struct Model {
    /// Acknowledged or read: by offset.
    known: BTreeMap<Offset, Vec<u8>>,
    /// Sent, outcome unknown.
    maybe: HashSet<Vec<u8>>,
    /// Emissions acknowledged, by source offset.
    emitted: BTreeMap<Offset, Vec<u8>>,
    committed: Offset,
    /// Deleted up to here, for sure, and perhaps.
    deleted: Offset,
    perhaps_deleted: Offset,
    /// What the group committed for sure, and what it tried to since.
    group: Option<Offset>,
    tried: Vec<Offset>,
    clients: Vec<Client>,
}

struct World {
    random: Random,
    disk: Arc<SimDisk>,
    clock: Arc<SimClock>,
    queue: Option<Arc<Queue>>,
    models: HashMap<(String, u32), Model>,
    sent: u64,
    source: TopicId,
    next_source: Offset,
    /// Partitions that were acknowledged, by topic.
    made: HashMap<String, u32>,
    /// Ids that were given to producers.
    ids: HashSet<i64>,
    /// No faults but those that somebody else arms.
    calm: bool,
}

/// An append whose outcome is not known: its ticket, partition, payloads, and for an emission its source offset.
type Sent = (Ticket, (String, u32), Vec<Vec<u8>>, Option<Offset>);

const TOPICS: [&str; 2] = ["web", "db"];
/// Of a history that is run with a fault at every place.
const STEPS: u32 = 30;

impl World {
    fn new(seed: u64) -> Self {
        let (disk, clock) = (SimDisk::new(seed), clock());
        let (queue, _) = open(&disk, &clock, config());
        let settings = TopicSettings { partitions: 2, ..TopicSettings::of(&config()) };
        for name in TOPICS {
            queue.create_topic(name, settings.clone()).unwrap();
        }
        let made = TOPICS.iter().map(|name| ((*name).to_owned(), 2)).collect();
        let (random, queue, source) = (Random(seed), Some(queue), TopicId::new());
        let (models, ids, calm) = (HashMap::new(), HashSet::new(), false);
        Self { random, disk, clock, queue, models, sent: 0, source, next_source: 0, made, ids, calm }
    }

    fn queue(&self) -> &Arc<Queue> {
        self.queue.as_ref().unwrap()
    }

    fn partition(&mut self) -> (Arc<Partition>, (String, u32)) {
        let name = TOPICS[usize::try_from(self.random.below(2)).unwrap()];
        let topic = self.queue().topic(name).unwrap();
        let number = u32::try_from(self.random.below(topic.partitions().len() as u64)).unwrap();
        (topic.partition(number).unwrap(), (name.to_owned(), number))
    }

    fn payloads(&mut self) -> Vec<Vec<u8>> {
        let count = 1 + self.random.below(4);
        let large = self.random.one_in(4);
        (0..count)
            .map(|_| {
                self.sent += 1;
                let mut payload = format!("record {} ", self.sent).into_bytes();
                let more = if large { self.random.below(6000) } else { self.random.below(60) };
                payload.extend((0..more / 8).flat_map(|_| self.random.below(u64::MAX).to_le_bytes()));
                payload
            })
            .collect()
    }

    /// Several appends at once, some of them emissions, then their outcomes.
    fn append(&mut self) {
        let mut waiting: Vec<Sent> = Vec::new();
        for _ in 0..=self.random.below(6) {
            let (partition, key) = self.partition();
            let payloads = self.payloads();
            let compression = if self.random.one_in(2) { Compression::Lz4 } else { Compression::None };
            self.models.entry(key.clone()).or_default().maybe.extend(payloads.iter().cloned());
            waiting.push((partition.append(batch(&payloads, compression)), key, payloads, None));
        }
        if self.random.one_in(2) {
            // A lane that emits, and that may send again what it does not know to be there: always to the same partition.
            let key = ("db".to_owned(), 1);
            let partition = self.queue().topic("db").unwrap().partition(1).unwrap();
            let source = self.source();
            let model = self.models.entry(key.clone()).or_default();
            if self.random.one_in(3) {
                self.next_source = self.next_source.saturating_sub(3);
            }
            for _ in 0..3 {
                let payload = format!("emission {}", self.next_source).into_bytes();
                model.maybe.insert(payload.clone());
                let ticket = partition.append_emissions(
                    source,
                    self.next_source,
                    batch(std::slice::from_ref(&payload), Compression::None),
                );
                waiting.push((ticket, key.clone(), vec![payload], Some(self.next_source)));
                self.next_source += 1;
            }
        }
        let mut failed: Option<Offset> = None;
        for (ticket, key, payloads, emission) in waiting {
            let result = ticket.wait();
            let model = self.models.get_mut(&key).unwrap();
            match (result, emission) {
                (Ok(place), Some(source)) if place.base_offset == place.next_offset => {
                    assert!(failed.is_none(), "later emissions of a source cannot be there without the earlier ones");
                    model.emitted.insert(source, payloads[0].clone());
                }
                (Ok(place), emission) => {
                    assert_eq!(place.next_offset - place.base_offset, payloads.len() as u64);
                    if let Some(source) = emission {
                        model.emitted.insert(source, payloads[0].clone());
                    }
                    for (offset, payload) in (place.base_offset..).zip(payloads) {
                        assert!(model.known.insert(offset, payload).is_none(), "offset {offset} given twice");
                    }
                }
                (Err(QueueError::Refused(why)), _) => panic!("{why}"),
                (Err(_), Some(source)) => failed = Some(failed.unwrap_or(source).min(source)),
                (Err(_), None) => {}
            }
        }
        // A lane goes back to what failed first.
        self.next_source = failed.unwrap_or(self.next_source);
    }

    /// A client with an idempotent producer has its turn.
    fn produce(&mut self) {
        let (partition, key) = self.partition();
        let queue = self.queue().clone();
        let model = self.models.entry(key).or_default();
        if model.clients.len() < 2 {
            let Ok(id) = queue.new_producer_id() else { return };
            assert!(self.ids.insert(id), "id {id} again");
            model.clients.push(Client::new(id, &mut self.random));
        }
        let which = usize::try_from(self.random.below(model.clients.len() as u64)).unwrap();
        let (maybe, records) = (&mut model.maybe, &mut model.known);
        model.clients[which].round(
            &partition,
            &mut self.random,
            |payload| {
                maybe.insert(payload.to_vec());
            },
            |offset, payload| {
                // It may have been read, or acknowledged, before; but it is this one.
                let known = records.entry(offset).or_insert_with(|| payload.to_vec());
                assert_eq!(known, payload, "offset {offset}");
            },
        );
    }

    fn delete(&mut self) {
        let (partition, key) = self.partition();
        let before = self.random.below(partition.high_watermark() + 1);
        let model = self.models.entry(key).or_default();
        model.perhaps_deleted = model.perhaps_deleted.max(before);
        if let Ok(start) = partition.delete_records(before) {
            assert!(start >= before);
            model.deleted = model.deleted.max(before);
        }
    }

    fn commit(&mut self) {
        let (partition, key) = self.partition();
        let offset = self.random.below(1000);
        let committed = self.queue().groups().commit("group", partition.topic_id(), partition.id(), offset);
        let model = self.models.entry(key).or_default();
        if committed.is_ok() {
            model.group = Some(offset);
            model.tried.clear();
        } else {
            model.tried.push(offset);
        }
    }

    /// A topic that is made, or grows.
    fn make(&mut self) {
        if self.random.one_in(2) {
            let name = format!("more{}", self.made.len());
            if self.made.len() < 8 && self.queue().ensure_topic(&name).is_ok() {
                self.made.insert(name, 1);
            }
            return;
        }
        let name = TOPICS[usize::try_from(self.random.below(2)).unwrap()];
        let topic = self.queue().topic(name).unwrap();
        let more = TopicSettings { partitions: 4.min(topic.settings().partitions + 1), ..(*topic.settings()).clone() };
        let partitions = more.partitions;
        if topic.update_settings(more).is_ok() {
            self.made.insert(name.to_owned(), partitions);
        }
    }

    fn source(&self) -> Source {
        Source { topic: self.source, partition: 0, run: 0 }
    }

    /// Reads everything, and compares.
    fn check(&mut self) {
        if self.disk.is_off() {
            return;
        }
        let max_bytes = [1, 100, 5000, 1 << 20][usize::try_from(self.random.below(4)).unwrap()];
        let queue = self.queue.clone().unwrap();
        for name in TOPICS {
            for partition in queue.topic(name).unwrap().partitions() {
                let model = self.models.entry((name.to_owned(), partition.id())).or_default();
                let all = match try_read_all(&partition, max_bytes) {
                    Ok(all) => all,
                    // In the middle of it: what a lost connection left behind was still being written.
                    Err(_) if self.disk.is_off() => return,
                    Err(error) => panic!("{error}"),
                };
                assert!(all.is_sorted_by(|a, b| a.0 < b.0), "order");
                let (start, end) = (partition.log_start(), partition.high_watermark());
                assert!(all.iter().all(|(offset, _)| (start..end).contains(offset)));
                let may = model.committed.max(model.perhaps_deleted);
                assert!((model.deleted..=may).contains(&start), "{start} of {}..={may}", model.deleted);
                in_order(all.iter().map(|(_, payload)| payload.as_slice()));
                model.known.retain(|offset, _| *offset >= start);
                let found: BTreeMap<Offset, Vec<u8>> = all.iter().cloned().collect();
                for (offset, payload) in &model.known {
                    assert_eq!(found.get(offset), Some(payload), "{name}/{} offset {offset}", partition.id());
                }
                let payloads: HashSet<&[u8]> = all.iter().map(|(_, payload)| payload.as_slice()).collect();
                assert_eq!(payloads.len(), all.len(), "a record twice");
                for (offset, payload) in all {
                    assert!(model.maybe.contains(&payload), "nobody sent this");
                    model.known.insert(offset, payload);
                }
                if start == 0 {
                    let there: HashSet<&[u8]> = model.known.values().map(Vec::as_slice).collect();
                    for payload in model.emitted.values() {
                        assert!(there.contains(payload.as_slice()), "an acknowledged emission is missing");
                    }
                }
                // From any offset on, reading begins with the batch that holds it.
                if let Some((&offset, _)) = model.known.iter().nth(usize::try_from(self.random.below(200)).unwrap()) {
                    let Ok(batches) = partition.read(offset, 1) else { return assert!(self.disk.is_off()) };
                    let first = &batches[0];
                    assert!(first.base_offset <= offset && offset < first.next_offset);
                }
                let group = queue.groups().committed("group", partition.topic_id(), partition.id());
                let tried = group.is_some_and(|offset| model.tried.contains(&offset));
                assert!(group == model.group || tried, "{group:?}, not {:?}", model.group);
            }
        }
    }

    fn crash(&mut self) {
        let queue = self.queue.take().unwrap();
        if self.random.one_in(4) && !self.disk.is_off() {
            queue.shutdown();
        }
        // The power fails with the process running; only then may its threads end.
        self.disk = self.disk.crash();
        drop(queue);
        let (queue, report) = open(&self.disk, &self.clock, config());
        assert_eq!(report.damage, vec![], "nothing was damaged");
        assert_eq!(report.adopted, Vec::<String>::new());
        self.queue = Some(queue);
        for (name, partitions) in &self.made {
            let topic = self.queue().topic(name).expect("a topic that was made");
            assert!(topic.partitions().len() >= *partitions as usize, "{name}");
        }
        for (name, number) in self.models.keys().cloned().collect::<Vec<_>>() {
            let partition = self.queue().topic(&name).unwrap().partition(number).unwrap();
            partition.set_committed(self.models[&(name, number)].committed);
        }
        // A lane asks where to go on.
        let target = self.queue().topic("db").unwrap().partition(1).unwrap();
        let upto = target.emitted_upto(self.source());
        let model = self.models.entry(("db".to_owned(), 1)).or_default();
        let acknowledged = model.emitted.last_key_value().map(|(source, _)| *source);
        assert!(upto >= acknowledged, "{upto:?} < {acknowledged:?}");
    }

    fn step(&mut self) {
        let below = if self.calm { 36 } else { 44 };
        match self.random.below(below) {
            0..=7 => self.append(),
            8..=19 => self.produce(),
            20..=22 => self.check(),
            23 => self.delete(),
            24 | 25 => self.commit(),
            26 => self.make(),
            27 | 28 => {
                let (partition, key) = self.partition();
                let committed = self.random.below(partition.high_watermark() + 1);
                partition.set_committed(committed);
                let model = self.models.entry(key).or_default();
                model.committed = model.committed.max(committed);
            }
            29 | 30 => self.clock.advance(Duration::from_secs(3600 * self.random.below(5))),
            31..=35 => self.queue().tend(),
            36 => self.disk.fail_sync_after(self.random.below(4)),
            37 => self.disk.fail_write_after(self.random.below(4)),
            38 => self.disk.power_off_after(self.random.below(12)),
            39 => {
                let used: u64 = self.disk.files().iter().map(|(_, len)| len).sum();
                let more = self.random.below(200_000);
                self.disk.set_capacity((!self.random.one_in(2)).then_some(used + more));
            }
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

    fn end(mut self) {
        self.disk.set_capacity(None);
        self.check();
        self.crash();
        self.check();
        // And it goes on.
        for _ in 0..4 {
            self.produce();
            self.append();
        }
        self.check();
    }
}

fn only() -> Option<u64> {
    std::env::var("SAWBOX_SEED").ok().and_then(|text| text.parse().ok())
}

#[test]
fn acknowledged_records_survive_whatever_the_disk_does() {
    for seed in only().map_or(0..seeds(150), |seed| seed..seed + 1) {
        let run = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            for _ in 0..50 {
                world.step();
            }
            world.end();
        });
        assert!(run.is_ok(), "seed {seed}");
    }
}

/// Arms a fault.
type Arm<'a> = &'a dyn Fn(&SimDisk);

/// A history without faults of its own, with one that is armed before it begins.
fn calm(seed: u64, steps: u32, arm: impl FnOnce(&SimDisk)) -> (World, Done) {
    let mut world = World::new(seed);
    world.calm = true;
    let (before, disk) = (world.disk.done(), world.disk.clone());
    arm(&disk);
    for _ in 0..steps {
        world.step();
    }
    let after = disk.done();
    let [changes, writes, syncs] =
        [(after.changes, before.changes), (after.writes, before.writes), (after.syncs, before.syncs)].map(|(a, b)| a - b);
    (world, Done { changes, writes, syncs })
}

#[test]
fn a_fault_at_every_place_of_a_history_costs_nothing_that_was_acknowledged() {
    // A hundredth: each history is run some hundred times.
    let histories = (seeds(100) / 100).max(1);
    for seed in only().map_or(0..histories, |seed| seed..seed + 1) {
        let (world, done) = calm(seed, STEPS, |_| {});
        world.end();
        assert!(done.changes > 30 && done.writes > 10 && done.syncs > 10, "the history does nothing: {done:?}");
        // How the writers' thread cuts groups may differ from run to run: a little more than was counted.
        for nth in 0..done.changes + 4 {
            let faults: [(&str, Arm<'_>); 3] = [
                ("power", &|disk| disk.power_off_after(nth)),
                ("write", &|disk| disk.fail_write_after(nth)),
                ("sync", &|disk| disk.fail_sync_after(nth)),
            ];
            for (what, arm) in faults {
                if (what == "write" && nth > done.writes) || (what == "sync" && nth > done.syncs) {
                    continue;
                }
                let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| calm(seed, STEPS, arm).0.end()));
                assert!(run.is_ok(), "seed {seed}: {what} fails at {nth}");
            }
        }
    }
}
