//! Masks, against a store that never had the rows: whatever is asked, both must answer alike, wherever the rows lie.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use proptest::prelude::*;

use super::{Owned, TODAY, TestRow, rows};
use crate::base::clock::SimClock;
use crate::base::disk::sim::SimDisk;
use crate::base::ids::{Generation, Offset, PartitionId, TopicId};
use crate::store::commits::GenerationEntry;
use crate::store::mask::ToCome;
use crate::store::query::{Cancel, Query, Request, fields, histogram, parse, run, top_values};
use crate::store::{Config, Given, JobEntry, Stage, Store};

const QUERIES: [&str; 9] = [
    "* | stats count()",
    "* | stats count() by status",
    "* | top 10 status",
    "* | stats count(), sum(bytes), max(bytes), count_distinct(status) by bin(10m)",
    "status:s3 | stats count()",
    "bytes>=40 | stats count() by status | sort -count, status | limit 5",
    "* | limit 1000",
    "* | sort -bytes | limit 20",
    "_generation:2 | stats count() by _partition",
];

/// A row that says where it is from and which generation made it.
fn row(partition: PartitionId, offset: Offset, generation: Generation) -> TestRow {
    let number = offset.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    let time_ns = TODAY + i64::try_from(offset % 200).unwrap() * 60_000_000_000 + i64::from(partition);
    let cells = vec![
        ("bytes".to_owned(), Owned::Int(i64::try_from(number % 100).unwrap())),
        ("message".to_owned(), Owned::Str(format!("{partition}@{offset} by {generation}").into_bytes())),
        ("status".to_owned(), Owned::Str(format!("s{}", (number + u64::from(generation)) % 5).into_bytes())),
    ];
    TestRow { time_ns, arrival_ns: time_ns, offset, n: 0, cells }
}

/// In the model: deleted.
const GONE: Generation = 0;
/// In the model: the filter dropped it.
const NO_ROW: Generation = u32::MAX;

/// A store and what its rows must be: the generation of every offset that has one.
struct Pair {
    topic: TopicId,
    store: Arc<Store>,
    disk: Arc<SimDisk>,
    next: BTreeMap<PartitionId, Offset>,
    model: BTreeMap<(PartitionId, Offset), Generation>,
    generation: Generation,
}

fn open(disk: &Arc<SimDisk>) -> Arc<Store> {
    let config = Config { merge_parts: 3, ..Config::default() };
    Store::open_idle(disk.clone(), Arc::new(SimClock::at(TODAY)), config).unwrap().0
}

impl Pair {
    fn new() -> Self {
        let disk = SimDisk::new(1);
        let (next, model) = (BTreeMap::new(), BTreeMap::new());
        Self { topic: TopicId::new(), store: open(&disk), disk, next, model, generation: 1 }
    }

    fn append(&mut self, partition: PartitionId, count: u64) {
        let next = self.next.entry(partition).or_default();
        let made: Vec<TestRow> = (*next..*next + count).map(|offset| row(partition, offset, 1)).collect();
        let end = *next + count;
        self.store.append(self.topic, "web", partition, 1, &rows(&made), end).unwrap();
        self.model.extend((*next..end).map(|offset| ((partition, offset), 1)));
        *next = end;
    }

    fn delete(&mut self, partition: PartitionId, first: Offset, end: Offset) {
        let end = end.min(self.next.get(&partition).copied().unwrap_or(0));
        if first < end {
            self.store.delete_rows(self.topic, "web", &[(partition, first, end)]).unwrap();
            self.model.extend((first..end).map(|offset| ((partition, offset), GONE)));
        }
    }

    /// A replay whose filter drops every fifth record, deletions in the midst of it among them.
    fn replay(&mut self, partition: PartitionId, first: Offset, end: Offset, delete: Option<Offset>) {
        self.store.flush_topic(self.topic).unwrap();
        let end = end.min(self.next.get(&partition).copied().unwrap_or(0));
        if first >= end {
            return;
        }
        self.generation += 1;
        let generation = self.generation;
        let entry = |open| JobEntry { id: u64::from(generation), generation, open, record: Arc::from(&b"{}"[..]) };
        self.store.put_job(self.topic, "web", entry(true)).unwrap();
        let mut stage = Stage::new(self.topic, &Arc::from("web"));
        let is_gone = |pair: &Self, offset| pair.model.get(&(partition, offset)) == Some(&GONE);
        let half = first + (end - first) / 2;
        for (from, upto) in [(first, half), (half, end)] {
            let made: Vec<TestRow> = (from..upto)
                .filter(|offset| !is_gone(self, *offset) && offset % 5 != 0)
                .map(|offset| row(partition, offset, generation))
                .collect();
            stage.append(partition, generation, &rows(&made));
            let staged = self.store.write_stage(&mut stage).unwrap();
            self.store.commit_stage(staged, entry(true)).unwrap();
            if let Some(offset) = delete {
                self.delete(partition, offset, offset + 3);
            }
        }
        let ranges = vec![(partition, first, end)];
        let record = GenerationEntry { generation, chain: Arc::from(&b""[..]), from: BTreeMap::new(), ranges };
        self.store.finish_job(&self.store.no_merge(), self.topic, "web", entry(false), record).unwrap();
        for offset in first..end {
            let seen = self.model.get_mut(&(partition, offset)).unwrap();
            if *seen != GONE {
                *seen = if offset % 5 == 0 { NO_ROW } else { generation };
            }
        }
    }

    /// A store that has what is to be seen and nothing else, in one go.
    fn plain(&self) -> Arc<Store> {
        let store = open(&SimDisk::new(2));
        for ((partition, offset), generation) in &self.model {
            if !matches!(*generation, GONE | NO_ROW) {
                let one = [row(*partition, *offset, *generation)];
                store.append(self.topic, "web", *partition, *generation, &rows(&one), offset + 1).unwrap();
            }
        }
        store
    }

    fn check(&self, when: &str) {
        let (own, plain) = (answers(&self.store), answers(&self.plain()));
        for (own, plain) in own.iter().zip(&plain) {
            assert_eq!(own, plain, "{when}");
        }
    }
}

/// Everything that can be asked, in a form that does not depend on where rows lie.
fn answers(store: &Store) -> Vec<(String, Vec<String>)> {
    let request = |query: Query| Request { limit: 100_000, ..Request::new(query) };
    let mut all = Vec::new();
    for text in QUERIES {
        let mut found = Vec::new();
        let stats = run(store, &request(parse(text).unwrap()), &Cancel::new(Arc::new(SimClock::at(TODAY))), &mut |row| {
            found.push(row.to_json());
            ControlFlow::Continue(())
        });
        assert_eq!(stats.unwrap().damaged, 0, "{text}");
        if text.contains("stats") && !text.contains("sort") {
            found.sort();
        }
        all.push((text.to_owned(), found));
    }
    let every = request(parse("*").unwrap());
    // Without bounds of its own it begins and ends with the groups' times, and these count masked rows.
    let hours = Request { from_ns: Some(TODAY), to_ns: Some(TODAY + 4 * 3_600_000_000_000), ..request(parse("*").unwrap()) };
    let counts = histogram(store, &hours, 20, &Cancel::new(Arc::new(SimClock::at(TODAY)))).unwrap();
    all.push((
        "histogram".into(),
        counts.buckets.iter().filter(|(_, rows)| *rows > 0).map(|bucket| format!("{bucket:?}")).collect(),
    ));
    for field in ["status", "bytes", "_generation"] {
        let mut top = top_values(store, &every, field, 100, &Cancel::new(Arc::new(SimClock::at(TODAY)))).unwrap();
        let mut values: Vec<String> = top.values.drain(..).map(|value| format!("{value:?}")).collect();
        values.sort();
        all.push((format!("top {field} of {}", top.total), values));
    }
    let (fields, _) = fields(store, &every, &Cancel::new(Arc::new(SimClock::at(TODAY)))).unwrap();
    let mut fields: Vec<String> = fields.into_iter().map(|field| format!("{field:?}")).collect();
    fields.sort();
    all.push(("fields".into(), fields));
    all
}

#[derive(Clone, Debug)]
enum Op {
    Append(PartitionId, u64),
    Flush,
    Merge,
    Reopen,
    Delete(PartitionId, Offset, u64),
    Replay(PartitionId, Offset, u64, Option<Offset>),
}

fn op() -> impl Strategy<Value = Op> {
    let place = || (0u32..2, 0u64..400);
    prop_oneof![
        5 => (0u32..2, 1u64..120).prop_map(|(partition, count)| Op::Append(partition, count)),
        3 => Just(Op::Flush),
        2 => Just(Op::Merge),
        1 => Just(Op::Reopen),
        2 => (place(), 1u64..30).prop_map(|((partition, first), len)| Op::Delete(partition, first, len)),
        3 => (place(), 1u64..300, prop::option::of(0u64..400))
            .prop_map(|((partition, first), len, delete)| Op::Replay(partition, first, len, delete)),
    ]
}

fn history(ops: &[Op]) {
    let mut pair = Pair::new();
    for op in ops {
        match *op {
            Op::Append(partition, count) => pair.append(partition, count),
            Op::Flush => pair.store.flush_all().unwrap(),
            Op::Merge => assert!(pair.store.merge_all().is_ok()),
            Op::Reopen => {
                pair.store.flush_all().unwrap();
                pair.store.shutdown().unwrap();
                pair.store = open(&pair.disk);
            }
            Op::Delete(partition, first, len) => pair.delete(partition, first, first + len),
            Op::Replay(partition, first, len, delete) => pair.replay(partition, first, first + len, delete),
        }
    }
    pair.check("as it came");
    pair.store.flush_all().unwrap();
    pair.check("flushed");
    pair.store.merge_all().unwrap();
    pair.check("merged");
    let all: BTreeMap<_, _> = pair.next.clone();
    pair.store.set_to_come(pair.topic, ToCome { starts: all, letters: false });
    pair.append(0, 1);
    pair.append(1, 1);
    pair.store.flush_all().unwrap();
    // What merges drop is dropped with what they write.
    pair.store.delete_rows(pair.topic, "web", &[(0, pair.next[&0] - 1, pair.next[&0])]).unwrap();
    let last = pair.next[&0] - 1;
    pair.model.insert((0, last), GONE);
    pair.store.merge_all().unwrap();
    pair.check("swept");
    let left = pair.store.masks(pair.topic).map(|masks| masks.all()).unwrap_or_default();
    assert_eq!(left.len(), 1, "the queue has only that record still: {left:?}");
    pair.store.shutdown().unwrap();
    pair.store = open(&pair.disk);
    pair.check("opened again");
    assert_eq!(pair.store.masks(pair.topic).map(|masks| masks.all()).unwrap_or_default(), left);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nobody_sees_what_is_masked(ops in prop::collection::vec(op(), 1..18)) {
        history(&ops);
    }
}

#[test]
fn a_replay_that_is_given_up_leaves_nothing() {
    let mut pair = Pair::new();
    pair.append(0, 50);
    pair.store.flush_all().unwrap();
    let entry = |open| JobEntry { id: 7, generation: 9, open, record: Arc::from(&b"{}"[..]) };
    pair.store.put_job(pair.topic, "web", entry(true)).unwrap();
    let mut stage = Stage::new(pair.topic, &Arc::from("web"));
    stage.append(0, 9, &rows(&[row(0, 3, 9)]));
    let staged = pair.store.write_stage(&mut stage).unwrap();
    pair.store.commit_stage(staged, entry(true)).unwrap();
    assert_eq!(pair.store.staged(pair.topic, 7).0, 1);
    pair.check("nobody sees it");
    let files = pair.disk.files().len();
    pair.store.shutdown().unwrap();
    pair.store = open(&pair.disk);
    assert_eq!((pair.store.staged(pair.topic, 7).0, pair.disk.files().len()), (1, files), "it is there after a start");
    pair.store.put_job(pair.topic, "web", entry(false)).unwrap();
    assert_eq!((pair.store.staged(pair.topic, 7), pair.disk.files().len()), ((0, 0), files - 1));
    // Written, but never committed.
    stage.append(0, 9, &rows(&[row(0, 3, 9)]));
    drop(pair.store.write_stage(&mut stage).unwrap());
    assert_eq!(pair.disk.files().len(), files - 1);
    pair.check("and then it is gone");
}

#[test]
fn what_was_deleted_does_not_come_back_with_a_job_that_was_under_way() {
    let mut pair = Pair::new();
    pair.append(0, 20);
    pair.store.flush_all().unwrap();
    let entry = |id, open| JobEntry { id, generation: 9, open, record: Arc::from(&b"{}"[..]) };
    let record = |generation, first, end| {
        let ranges = vec![(0, first, end)];
        GenerationEntry { generation, chain: Arc::from(&b""[..]), from: BTreeMap::new(), ranges }
    };
    pair.store.put_job(pair.topic, "web", entry(1, true)).unwrap();
    let mut stage = Stage::new(pair.topic, &Arc::from("web"));
    stage.append(0, 9, &rows(&[row(0, 3, 9), row(0, 4, 9)]));
    let staged = pair.store.write_stage(&mut stage).unwrap();
    pair.store.commit_stage(staged, entry(1, true)).unwrap();
    pair.delete(0, 3, 4);
    pair.store.merge_all().unwrap();
    // The queue gives none of them again, and no part that is seen has the row.
    pair.store.set_to_come(pair.topic, ToCome { starts: pair.next.clone(), letters: false });
    pair.store.put_job(pair.topic, "web", entry(2, true)).unwrap();
    pair.store.finish_job(&pair.store.no_merge(), pair.topic, "web", entry(2, false), record(10, 10, 20)).unwrap();
    pair.store.finish_job(&pair.store.no_merge(), pair.topic, "web", entry(1, false), record(9, 0, 10)).unwrap();
    for offset in (0..20).filter(|offset| *offset != 3) {
        pair.model.insert((0, offset), if offset == 4 { 9 } else { NO_ROW });
    }
    pair.check("both are done");
}

#[test]
fn a_deletion_is_known_while_there_are_dead_letters() {
    for letters in [true, false] {
        let mut pair = Pair::new();
        pair.append(0, 20);
        pair.store.flush_all().unwrap();
        pair.store.set_to_come(pair.topic, ToCome { starts: pair.next.clone(), letters });
        pair.delete(0, 3, 5);
        pair.store.merge_all().unwrap();
        assert_eq!(pair.store.masks(pair.topic).is_some_and(|masks| masks.is_gone(0, 4)), letters);
    }
}

#[test]
fn a_deletion_is_known_while_a_job_may_hold_its_rows() {
    let mut pair = Pair::new();
    pair.append(0, 20);
    pair.store.flush_all().unwrap();
    pair.store.set_to_come(pair.topic, ToCome { starts: pair.next.clone(), letters: false });
    for open in [true, false] {
        let job = JobEntry { id: 7, generation: 9, open, record: Arc::from(&b"{}"[..]) };
        pair.store.put_job(pair.topic, "web", job).unwrap();
        if open {
            pair.delete(0, 3, 5);
        }
        pair.store.merge_all().unwrap();
        pair.check("deleted");
        assert_eq!(pair.store.masks(pair.topic).is_some_and(|masks| masks.is_gone(0, 4)), open);
    }
}

#[test]
fn a_row_that_waited_does_not_come_beside_a_replays() {
    let mut pair = Pair::new();
    pair.append(0, 19);
    // The last record waits in the state: no row yet, but the lane is past it.
    let held = (Arc::from(&b"host"[..]), Some(Arc::from(&b"a line"[..])));
    let given = |rows, keyed| Given { rows, from: 20, next: 20, keyed };
    let none = rows(&[]);
    pair.store.append_keyed(pair.topic, "web", 0, 1, Given { from: 19, ..given(&none, vec![held.clone()]) }).unwrap();
    pair.next.insert(0, 20);
    pair.model.insert((0, 19), NO_ROW);
    pair.replay(0, 0, 20, None);
    pair.check("replayed");
    let late = [row(0, 19, 1)];
    pair.store.append_keyed(pair.topic, "web", 0, 1, given(&rows(&late), vec![(held.0, None)])).unwrap();
    pair.check("it came late");
    pair.store.flush_all().unwrap();
    pair.store.merge_all().unwrap();
    pair.check("merged");
    pair.store.set_to_come(pair.topic, ToCome { starts: pair.next.clone(), letters: false });
    pair.delete(0, 1, 2);
    pair.store.merge_all().unwrap();
    pair.check("and the mask is not needed any more");
    assert!(pair.store.masks(pair.topic).is_none());
}

#[test]
fn no_mask_gets_a_number_that_a_merge_under_way_has_swept_up_to() {
    let mut pair = Pair::new();
    pair.append(0, 20);
    pair.store.flush_all().unwrap();
    let starts = BTreeMap::from([(0, 20), (1, 20)]);
    pair.store.set_to_come(pair.topic, ToCome { starts, letters: false });
    let job = |open| JobEntry { id: 7, generation: 9, open, record: Arc::from(&b"{}"[..]) };
    pair.store.put_job(pair.topic, "web", job(true)).unwrap();
    pair.store.delete_rows(pair.topic, "web", &[(1, 3, 5)]).unwrap();
    // A merge begins…
    let swept = pair.store.topic(pair.topic).unwrap().state.lock().next_mask() - 1;
    // …the mask is forgotten, for only the job needed it, and another one comes.
    pair.store.put_job(pair.topic, "web", job(false)).unwrap();
    assert!(pair.store.masks(pair.topic).is_none());
    pair.delete(0, 3, 5);
    let masks = pair.store.masks(pair.topic).unwrap().all();
    assert!(masks[0].seq > swept, "what the merge writes would be taken for swept of {masks:?}");
}

#[test]
fn a_deletion_is_known_while_its_rows_are_in_memory_alone() {
    let mut pair = Pair::new();
    pair.append(1, 10);
    pair.store.flush_all().unwrap();
    pair.append(0, 20);
    pair.delete(0, 3, 5);
    // The disk was full: the queue let go what is not stored.
    pair.store.set_to_come(pair.topic, ToCome { starts: pair.next.clone(), letters: false });
    pair.delete(1, 2, 3);
    pair.store.merge_all().unwrap();
    pair.check("another part was swept");
    pair.store.flush_all().unwrap();
    pair.check("flushed");
    pair.store.merge_all().unwrap();
    pair.check("swept");
    assert!(pair.store.masks(pair.topic).is_none());
}
