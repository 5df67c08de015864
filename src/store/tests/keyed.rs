//! Keyed state: what is durable is always the state at the durable next offset, whatever fails.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::super::append::Given;
use super::super::keyed::Bytes;
use super::super::{Config, OpenReport, Store};
use super::TODAY;
use crate::base::clock::SimClock;
use crate::base::disk::sim::SimDisk;
use crate::base::ids::{Offset, TopicId};
use crate::base::row::{RowHead, Rows};

#[derive(Clone, Debug)]
enum Op {
    /// Changes of a partition: key, and length of the value or none. With a row of a record long gone, or without rows at all.
    Give {
        partition: u32,
        changes: Vec<(u8, Option<usize>)>,
        row: bool,
        moves: bool,
    },
    Flush,
    Checkpoint,
    FailSoon(u64),
    FailSync(u64),
    Crash,
}

fn op() -> impl Strategy<Value = Op> {
    let length = prop_oneof![3 => 0usize..50, 1 => 3000usize..6000];
    let change = (0u8..12, proptest::option::weighted(0.8, length));
    let give = (0u32..2, proptest::collection::vec(change, 0..6), any::<bool>(), any::<bool>());
    prop_oneof![
        8 => give.prop_map(|(partition, changes, row, moves)| Op::Give { partition, changes, row, moves }),
        6 => Just(Op::Flush),
        1 => Just(Op::Checkpoint),
        1 => (0u64..12).prop_map(Op::FailSoon),
        1 => (0u64..6).prop_map(Op::FailSync),
        2 => Just(Op::Crash),
    ]
}

type State = BTreeMap<Bytes, Bytes>;

#[derive(Default)]
struct Partition {
    /// State and number of rows at every (next, how many were given there).
    at: Vec<(Offset, State, usize)>,
}

impl Partition {
    fn now(&self) -> (Offset, State, usize) {
        self.at.last().cloned().unwrap_or_default()
    }
}

fn open(disk: &Arc<SimDisk>) -> (Arc<Store>, OpenReport) {
    Store::open_idle(disk.clone(), Arc::new(SimClock::at(TODAY)), Config::default()).unwrap()
}

fn rows_of(store: &Store, partition: u32) -> usize {
    let sources = store.snapshot(None, None, None).sources;
    let groups = sources.iter().flat_map(|source| (0..source.groups()).map(move |group| source.lineage(group).unwrap()));
    groups.map(|lineage| lineage.partitions.iter().filter(|of| **of == partition).count()).sum()
}

fn run(seed: u64, ops: &[Op]) -> Result<(), TestCaseError> {
    let mut disk = SimDisk::new(seed);
    let (mut store, _) = open(&disk);
    let topic = TopicId::new();
    let mut model = [Partition::default(), Partition::default()];
    let mut serial = 0u8;
    for op in ops.iter().chain([&Op::Flush, &Op::Crash]) {
        match op {
            // Nothing is given to a store whose disk is gone: what it has on it cannot be asked for.
            Op::Give { .. } if disk.is_off() => {}
            Op::Give { partition, changes, row, moves } => {
                let (from, mut state, mut count) = model[*partition as usize].now();
                let next = from + u64::from(*moves);
                let mut keyed = Vec::new();
                for (key, value) in changes {
                    serial = serial.wrapping_add(1);
                    let key: Bytes = vec![*key; usize::from(*key) + 1].into();
                    let value: Option<Bytes> = value.map(|len| vec![serial; len].into());
                    match &value {
                        Some(value) => state.insert(key.clone(), value.clone()),
                        None => state.remove(&key),
                    };
                    keyed.push((key, value));
                }
                // Where nothing moves, the store knows a repetition by nothing: rows come with changes.
                let row = *row && (*moves || !keyed.is_empty());
                let mut rows = Rows::default();
                if row {
                    count += 1;
                    let offset = from / 2;
                    rows.heads.push(RowHead { time_ns: TODAY, arrival_ns: TODAY, offset, n: 0, cells: (0, 0) });
                }
                let known = store.keyed(topic, *partition).unwrap().0;
                prop_assert_eq!(known, from);
                store.append_keyed(topic, "t", *partition, 1, Given { rows: &rows, from, next, keyed }).unwrap();
                model[*partition as usize].at.push((next, state, count));
            }
            Op::Flush => drop(store.flush_all()),
            Op::Checkpoint => drop(store.log.lock().checkpoint()),
            Op::FailSoon(operations) => disk.power_off_after(*operations),
            Op::FailSync(syncs) => disk.fail_sync_after(*syncs),
            Op::Crash => {
                drop(store);
                disk = disk.crash();
                let report;
                (store, report) = open(&disk);
                prop_assert_eq!((report.damaged_commits, report.parts_missing), (0, 0), "{:?}", disk.files());
                for (number, of) in (0u32..).zip(&mut model) {
                    let (next, state) = store.keyed(topic, number).unwrap();
                    let rows = rows_of(&store, number);
                    let place = of.at.iter().rposition(|(at, then, count)| (*at, then, *count) == (next, &state, rows));
                    let never = next == 0 && state.is_empty() && rows == 0;
                    prop_assert!(
                        place.is_some() || never,
                        "partition {}: at {} there was never this state: {:?}",
                        number,
                        next,
                        state
                    );
                    of.at.truncate(place.map_or(0, |place| place + 1));
                }
            }
        }
        if !disk.is_off() {
            for (number, of) in (0u32..).zip(&model) {
                let (next, state, rows) = of.now();
                prop_assert_eq!(store.keyed(topic, number).unwrap(), (next, state));
                prop_assert_eq!(rows_of(&store, number), rows);
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn state_and_offsets_are_durable_together(seed in any::<u64>(), ops in proptest::collection::vec(op(), 1..60)) {
        run(seed, &ops)?;
    }
}

fn give(store: &Store, topic: TopicId, at: Offset, key: &[u8], value: &[u8]) {
    let keyed = vec![(Bytes::from(key), Some(Bytes::from(value)))];
    store.append_keyed(topic, "t", 0, 1, Given { rows: &Rows::default(), from: at, next: at + 1, keyed }).unwrap();
}

/// What a flush writes follows what changed, not what there is; and old pieces do not add up.
#[test]
fn little_is_written_for_a_little_change() {
    let disk = SimDisk::new(5);
    let (store, _) = open(&disk);
    let topic = TopicId::new();
    for key in 0..1000u64 {
        give(&store, topic, key, &key.to_le_bytes(), &[7; 1000]);
    }
    store.flush_all().unwrap();
    let size = |disk: &SimDisk| disk.files().iter().map(|(_, len)| len).sum::<u64>();
    let whole = size(&disk);
    assert!(whole > 1_000_000, "{whole}");
    for round in 0..20 {
        give(&store, topic, 1000 + round, b"one", &[1; 10]);
        store.flush_all().unwrap();
    }
    assert!(size(&disk) < whole + 20_000, "twenty small changes took {} bytes", size(&disk) - whole);
    for round in 0..400 {
        give(&store, topic, 1020 + round, &(round % 10).to_le_bytes(), &[2; 5000]);
        store.flush_all().unwrap();
    }
    let states = disk.files().into_iter().filter(|(path, _)| path.extension().is_some_and(|kind| kind == "state")).count();
    assert!(states <= 40, "{states} files of state");
    let before = store.keyed(topic, 0).unwrap();
    drop(store);
    let (store, report) = open(&disk.crash());
    assert_eq!((store.keyed(topic, 0).unwrap(), report.orphans_removed), (before, 0));
    store.forget_keyed(topic).unwrap();
    assert!(store.keyed(topic, 0).unwrap().1.is_empty());
}

#[test]
fn what_was_given_already_is_left_out() {
    let disk = SimDisk::new(6);
    let (store, _) = open(&disk);
    let topic = TopicId::new();
    give(&store, topic, 0, b"k", b"1");
    give(&store, topic, 1, b"k", b"2");
    give(&store, topic, 0, b"k", b"1");
    let (next, state) = store.keyed(topic, 0).unwrap();
    assert_eq!((next, state.values().next().map(|value| &value[..])), (2, Some(&b"2"[..])));
}
