//! The store against a model that is a list: whatever is done to it, and whenever the power goes, the rows seen are those of
//! every lane up to its cursor, each once, exactly as they were given.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof, proptest};
use proptest::{collection, sample};

use super::super::{Config, Store};
use super::{Owned, SeenRows, TODAY, TestRow, read, rows};
use crate::base::clock::SimClock;
use crate::base::disk::sim::SimDisk;
use crate::base::ids::{PartitionId, TopicId};
use crate::base::time::DAY_NS;

type Lane = (TopicId, PartitionId);

#[derive(Clone, Debug)]
enum Step {
    Append {
        topic: usize,
        partition: PartitionId,
        rows: Vec<TestRow>,
        dropped: u64,
    },
    Flush(usize),
    FlushAll,
    Merge,
    Reopen,
    Crash,
    /// The power goes within so many disk operations of the flush and merge that follow.
    PowerOff(u64),
    FailSync(u64),
    Promote(usize),
}

fn a_value() -> impl Strategy<Value = Owned> {
    prop_oneof![
        4 => sample::select(vec!["GET", "POST", "200", "", "a rather longer value that repeats"]).prop_map(|s| Owned::Str(s.into())),
        2 => collection::vec(any::<u8>(), 0..40).prop_map(Owned::Str),
        1 => (any::<u8>(), 0usize..40_000).prop_map(|(byte, len)| Owned::Str(vec![byte; len])),
        2 => (-1000i64..100_000).prop_map(Owned::Int),
        1 => sample::select(vec![i64::MIN, i64::MAX, 0]).prop_map(Owned::Int),
        2 => (-100_000i32..100_000).prop_map(|n| Owned::Float(f64::from(n) / 1000.0)),
        1 => sample::select(vec![0.0, -0.0, f64::NAN, f64::INFINITY, 1e300, 0.1 + 0.2]).prop_map(Owned::Float),
        1 => any::<bool>().prop_map(Owned::Bool),
    ]
}

fn a_row() -> impl Strategy<Value = TestRow> {
    let name = prop_oneof![
        8 => sample::select(vec!["message", "app", "status", "tags", "a.b", "ü", "_time_claimed", "_payload"]).prop_map(String::from),
        1 => (0u32..3000).prop_map(|n| format!("field{n}")),
    ];
    let time = prop_oneof![
        8 => (0i64..DAY_NS).prop_map(|ns| ns / 1_000_000_000 * 1_000_000_000),
        2 => 0i64..DAY_NS,
        2 => (0i64..30).prop_map(|days| -days * DAY_NS),
        1 => Just(3 * DAY_NS),
    ];
    (collection::vec((name, a_value()), 0..8), time, 0u16..3).prop_map(|(cells, time, more)| TestRow {
        time_ns: TODAY + time,
        arrival_ns: TODAY + DAY_NS / 2,
        offset: 0,
        n: more,
        cells,
    })
}

fn a_step() -> impl Strategy<Value = Step> {
    let rows = prop_oneof![4 => collection::vec(a_row(), 0..12), 1 => collection::vec(a_row(), 60..140)];
    prop_oneof![
        12 => (0usize..2, 0u32..3, rows, 0u64..3)
            .prop_map(|(topic, partition, rows, dropped)| Step::Append { topic, partition, rows, dropped }),
        3 => (0usize..2).prop_map(Step::Flush),
        3 => Just(Step::FlushAll),
        2 => Just(Step::Merge),
        1 => Just(Step::Reopen),
        1 => Just(Step::Crash),
        2 => (0u64..40).prop_map(Step::PowerOff),
        1 => (0u64..6).prop_map(Step::FailSync),
        1 => (0usize..2).prop_map(Step::Promote),
    ]
}

struct World {
    disk: Arc<SimDisk>,
    store: Arc<Store>,
    topics: [TopicId; 2],
    /// What the queue has: every batch of every lane, its generation and the offset after it.
    queue: BTreeMap<Lane, Vec<(u32, Vec<TestRow>, u64)>>,
    generations: BTreeMap<TopicId, u32>,
}

fn open(disk: &Arc<SimDisk>) -> Arc<Store> {
    let config = Config { merge_parts: 2, ..Config::default() };
    Store::open_idle(disk.clone(), Arc::new(SimClock::at(TODAY)), config).unwrap().0
}

impl World {
    fn new(seed: u64) -> Self {
        let disk = SimDisk::new(seed);
        let store = open(&disk);
        let topics = [TopicId::new(), TopicId::new()];
        Self { disk, store, topics, queue: BTreeMap::new(), generations: BTreeMap::new() }
    }

    fn append(&mut self, topic: usize, partition: PartitionId, mut batch: Vec<TestRow>, dropped: u64) {
        let topic = self.topics[topic];
        let generation = self.generations.get(&topic).copied().unwrap_or(0);
        let lane = self.queue.entry((topic, partition)).or_default();
        let mut offset = lane.last().map_or(0, |batch| batch.2) + dropped;
        let mut n = 0;
        for row in &mut batch {
            // Some records give several rows.
            n = if row.n > 0 { 0 } else { n + 1 };
            offset += u64::from(n == 0);
            row.offset = offset;
            row.n = n;
        }
        let next = offset + 1;
        self.store.append(topic, "t", partition, generation, &rows(&batch), next).unwrap();
        lane.push((generation, batch, next));
    }

    /// The lanes start over at their cursors, as after a crash.
    fn resend(&self) {
        for ((topic, partition), batches) in &self.queue {
            let cursor = self.store.cursor(*topic, *partition).unwrap_or(0);
            for (generation, batch, next) in batches {
                if *next > cursor {
                    self.store.append(*topic, "t", *partition, *generation, &rows(batch), *next).unwrap();
                }
            }
        }
    }

    fn expected(&self, below: impl Fn(&Lane) -> u64) -> SeenRows {
        let mut all = SeenRows::new();
        for ((topic, partition), batches) in &self.queue {
            let below = below(&(*topic, *partition));
            for (generation, batch, _) in batches {
                for row in batch.iter().filter(|row| row.offset < below) {
                    all.insert((*topic, *partition, row.offset, row.n), row.seen(*generation));
                }
            }
        }
        all
    }

    fn check(&self) {
        let seen = read(&self.store.snapshot(None, None, None));
        assert_eq!(seen, self.expected(|_| u64::MAX));
        let stats: u64 = self.store.stats().iter().map(|topic| topic.rows).sum();
        assert_eq!(stats, seen.len() as u64);
    }

    /// After losing memory: rows are those below the cursors, and cursors stand at ends of batches.
    fn check_durable(&self) {
        let cursor = |(topic, partition): &Lane| self.store.cursor(*topic, *partition).unwrap_or(0);
        assert_eq!(read(&self.store.snapshot(None, None, None)), self.expected(cursor));
        for (lane, batches) in &self.queue {
            let cursor = cursor(lane);
            assert!(cursor == 0 || batches.iter().any(|batch| batch.2 == cursor));
        }
        for (topic, generation) in &self.generations {
            let known = self.store.generations(*topic);
            assert_eq!(known.last().map(|entry| entry.generation), Some(*generation));
        }
    }

    fn crash(&mut self) {
        self.disk = self.disk.crash();
        self.store = open(&self.disk);
        self.check_durable();
        self.resend();
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Append { topic, partition, rows, dropped } => self.append(topic, partition, rows, dropped),
            Step::Flush(topic) => {
                self.store.flush_topic(self.topics[topic]).unwrap();
                for ((id, partition), batches) in &self.queue {
                    if *id == self.topics[topic] {
                        assert_eq!(self.store.cursor(*id, *partition), batches.last().map(|batch| batch.2));
                    }
                }
            }
            Step::FlushAll => self.store.flush_all().unwrap(),
            Step::Merge => {
                self.store.merge_all().unwrap();
            }
            Step::Reopen => {
                self.store = open(&self.disk);
                self.check_durable();
                self.resend();
            }
            Step::Crash => self.crash(),
            Step::PowerOff(operations) => {
                self.disk.power_off_after(operations);
                let _ = self.store.flush_all();
                let _ = self.store.merge_all();
                self.crash();
            }
            Step::FailSync(syncs) => {
                self.disk.fail_sync_after(syncs);
                let _ = self.store.flush_all();
                let _ = self.store.merge_all();
                self.check();
                // A second try gets everything down, whatever the first left behind.
                self.store.flush_all().unwrap();
                self.check();
                self.store.flush_all().unwrap();
                self.crash();
            }
            Step::Promote(topic) => {
                let topic = self.topics[topic];
                let generation = self.generations.entry(topic).or_default();
                *generation += 1;
                self.store.promote(topic, "t", *generation, b"chain", &BTreeMap::new()).unwrap();
            }
        }
        self.check();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rows_are_seen_once_and_as_given(seed in any::<u64>(), steps in collection::vec(a_step(), 1..24)) {
        let mut world = World::new(seed);
        for step in steps {
            world.step(step);
        }
        world.crash();
        world.check();
        world.store.flush_all().unwrap();
        world.store.merge_all().unwrap();
        world.crash();
        world.check();
    }
}
