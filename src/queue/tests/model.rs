//! The queue against a model that knows only what was acknowledged and what was read, over random histories with crashes.
//!
//! What must hold, whatever the disk did: every acknowledged record is there, once, in order, at its offset; what was once read
//! stays; nothing is there that nobody sent; the emissions of a source are there once, however often they were sent; offsets are
//! never used twice for what was seen; retention does not pass what is committed; opening succeeds.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::{Random, batch, clock, config, open, read_all, seeds};
use crate::base::clock::SimClock;
use crate::base::disk::sim::SimDisk;
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
}

/// An append whose outcome is not known: its ticket, partition, payloads, and for an emission its source offset.
type Sent = (Ticket, (String, u32), Vec<Vec<u8>>, Option<Offset>);

const TOPICS: [&str; 2] = ["web", "db"];

impl World {
    fn new(seed: u64) -> Self {
        let (disk, clock) = (SimDisk::new(seed), clock());
        let (queue, _) = open(&disk, &clock, config());
        let settings = TopicSettings { partitions: 2, ..TopicSettings::default() };
        for name in TOPICS {
            queue.create_topic(name, settings.clone()).unwrap();
        }
        let (random, queue) = (Random(seed), Some(queue));
        Self { random, disk, clock, queue, models: HashMap::new(), sent: 0, source: TopicId::new(), next_source: 0 }
    }

    fn partition(&mut self) -> (Arc<Partition>, (String, u32)) {
        let name = TOPICS[usize::try_from(self.random.below(2)).unwrap()];
        let number = u32::try_from(self.random.below(2)).unwrap();
        let partition = self.queue.as_ref().unwrap().topic(name).unwrap().partition(number).unwrap();
        (partition, (name.to_owned(), number))
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
            let partition = self.queue.as_ref().unwrap().topic("db").unwrap().partition(1).unwrap();
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
                let all = read_all(&partition, max_bytes);
                assert!(all.is_sorted_by(|a, b| a.0 < b.0), "order");
                let (start, end) = (partition.log_start(), partition.high_watermark());
                assert!(all.iter().all(|(offset, _)| (start..end).contains(offset)));
                assert!(start <= model.committed, "deleted from {start}, committed {}", model.committed);
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
                    let first = &partition.read(offset, 1).unwrap()[0];
                    assert!(first.base_offset <= offset && offset < first.next_offset);
                }
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
        for (name, number) in self.models.keys().cloned().collect::<Vec<_>>() {
            let partition = self.queue.as_ref().unwrap().topic(&name).unwrap().partition(number).unwrap();
            partition.set_committed(self.models[&(name, number)].committed);
        }
        // A lane asks where to go on.
        let target = self.queue.as_ref().unwrap().topic("db").unwrap().partition(1).unwrap();
        let upto = target.emitted_upto(self.source());
        let model = self.models.entry(("db".to_owned(), 1)).or_default();
        let acknowledged = model.emitted.last_key_value().map(|(source, _)| *source);
        assert!(upto >= acknowledged, "{upto:?} < {acknowledged:?}");
    }

    fn step(&mut self) {
        match self.random.below(24) {
            0..=11 => self.append(),
            12..=14 => self.check(),
            15 => self.disk.fail_sync_after(self.random.below(4)),
            16 => self.disk.power_off_after(self.random.below(12)),
            17 => {
                let used: u64 = self.disk.files().iter().map(|(_, len)| len).sum();
                let more = self.random.below(200_000);
                self.disk.set_capacity((!self.random.one_in(2)).then_some(used + more));
            }
            18 => {
                let (partition, key) = self.partition();
                let committed = self.random.below(partition.high_watermark() + 1);
                partition.set_committed(committed);
                let model = self.models.entry(key).or_default();
                model.committed = model.committed.max(committed);
            }
            19 => self.clock.advance(Duration::from_secs(3600 * self.random.below(12))),
            20 => self.queue.as_ref().unwrap().tend(),
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
}

#[test]
fn acknowledged_records_survive_whatever_the_disk_does() {
    let only = std::env::var("SAWBOX_SEED").ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = only.map_or(0..seeds(150), |seed| seed..seed + 1);
    for seed in seeds {
        let run = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            for _ in 0..40 {
                world.step();
            }
            world.disk.set_capacity(None);
            world.crash();
            world.check();
        });
        assert!(run.is_ok(), "seed {seed}");
    }
}
