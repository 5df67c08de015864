//! Records are made again of rows byte for byte or not at all: whatever they had beside their payload, wherever their rows lie.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::test_runner::TestCaseError;

use super::super::part::envelope::Envelopes;
use super::super::{Config, KeptRow, MadeRecords, Store};
use super::TODAY;
use super::damage::every_bit_is_somebodys;
use crate::base::clock::SimClock;
use crate::base::disk::sim::SimDisk;
use crate::base::ids::{Offset, PartitionId, TopicId};
use crate::base::record::{RecordView, Records};
use crate::base::row::{Cell, KeepPayload, RowHead, Rows, Value};
use crate::base::time::DAY_NS;

type Headers = Vec<(Vec<u8>, Vec<u8>)>;

/// A record, and the time of its row.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Record {
    payload: Vec<u8>,
    key: Option<Vec<u8>>,
    headers: Headers,
    timestamp_ms: i64,
    arrival_ns: i64,
    time_ns: i64,
}

#[derive(Clone, Debug)]
enum Op {
    /// Whether it is told what was beside the payloads; how many rows each record has.
    Append(PartitionId, KeepPayload, bool, u16, Vec<Record>),
    Flush,
    Merge,
    Delete(PartitionId, u64, u64),
    Reopen,
}

fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![vec(any::<u8>(), 0..most), "[a-z0-9 ]{0,12}".prop_map(String::into_bytes)]
}

fn headers() -> impl Strategy<Value = Headers> {
    let usual = (0u8..3).prop_map(|host| {
        vec![(b"_peer".to_vec(), format!("10.0.0.{host}").into_bytes()), (b"_receiver".to_vec(), b"http".to_vec())]
    });
    prop_oneof![3 => usual, 1 => Just(Vec::new()), 1 => vec((bytes(9), bytes(40)), 0..4)]
}

fn time() -> impl Strategy<Value = i64> {
    prop_oneof![
        6 => (0i64..3 * DAY_NS).prop_map(|ns| TODAY - ns),
        3 => (0i64..9).prop_map(|seconds| TODAY + seconds * 1_000_000_000),
        1 => any::<i64>(),
    ]
}

fn record() -> impl Strategy<Value = Record> {
    let payload =
        prop_oneof![(0u32..50).prop_map(|number| format!("{{\"n\":\"{number}\",\"of\":\"shop\"}}").into_bytes()), bytes(60)];
    let key = proptest::option::weighted(0.3, bytes(10));
    (payload, key, headers(), time(), time()).prop_map(|(payload, key, headers, arrival_ns, time_ns)| {
        let timestamp_ms = arrival_ns.div_euclid(1_000_000);
        Record { payload, key, headers, timestamp_ms, arrival_ns, time_ns }
    })
}

/// Records as they come: mostly a batch has what is beside them once.
fn records() -> impl Strategy<Value = Vec<Record>> {
    let mixed = (vec((record(), time()), 1..12), 0u8..4);
    let alike = |(mut all, how): (Vec<(Record, i64)>, u8)| {
        let first = all[0].0.clone();
        for (record, stamp) in &mut all {
            if how > 0 {
                (record.headers, record.key) = (first.headers.clone(), first.key.clone());
                (record.arrival_ns, record.timestamp_ms) = (first.arrival_ns, first.timestamp_ms);
            }
            match how {
                2 => record.time_ns = record.arrival_ns,
                3 => record.timestamp_ms = *stamp,
                _ => {}
            }
        }
        all.into_iter().map(|(record, _)| record).collect()
    };
    mixed.prop_map(alike)
}

fn op() -> impl Strategy<Value = Op> {
    let keep = prop_oneof![4 => Just(KeepPayload::Always), 2 => Just(KeepPayload::Derived), 1 => Just(KeepPayload::Never)];
    prop_oneof![
        6 => (0..2u32, keep, proptest::bool::weighted(0.9), 1u16..3, records())
            .prop_map(|(partition, keep, told, rows, records)| Op::Append(partition, keep, told, rows, records)),
        2 => Just(Op::Flush),
        2 => Just(Op::Merge),
        1 => (0..2u32, 0u64..60, 1u64..6).prop_map(|(partition, first, count)| Op::Delete(partition, first, count)),
        1 => Just(Op::Reopen),
    ]
}

fn open(disk: &Arc<SimDisk>) -> Arc<Store> {
    let config = Config { merge_parts: 2, ..Config::default() };
    Store::open_idle(disk.clone(), Arc::new(SimClock::at(TODAY)), config).unwrap().0
}

fn views<'r>(from: Offset, records: &'r [Record]) -> Records<'r> {
    let mut all = Records::default();
    for (offset, record) in (from..).zip(records) {
        let first = u32::try_from(all.headers.len()).unwrap();
        all.headers.extend(record.headers.iter().map(|(name, value)| (&name[..], &value[..])));
        let headers = (first, u32::try_from(all.headers.len()).unwrap());
        let Record { timestamp_ms, arrival_ns, .. } = *record;
        all.records.push(RecordView {
            offset,
            arrival_ns,
            timestamp_ms,
            key: record.key.as_deref(),
            payload: &record.payload,
            headers,
        });
    }
    all
}

fn append(store: &Store, topic: TopicId, partition: PartitionId, from: Offset, op: (KeepPayload, bool, u16, &[Record])) {
    let (keep, told, count, records) = op;
    let mut rows = Rows { keep, names: vec!["n".into(), "of".into()], ..Rows::default() };
    for (offset, record) in (from..).zip(records) {
        for n in 0..count {
            let start = u32::try_from(rows.cells.len()).unwrap();
            let text = &record.payload;
            // Of what looks like an object the fields are cut out.
            let cut =
                text.windows(8).position(|at| at == b"\",\"of\":\"").filter(|at| text.starts_with(b"{\"n\":\"") && *at >= 6);
            match cut {
                Some(at) => rows.cells.extend([
                    Cell { name: 0, value: Value::Str(&text[6..at]) },
                    Cell { name: 1, value: Value::Str(&text[at + 8..text.len() - 2]) },
                ]),
                None => rows.cells.push(Cell { name: 1, value: Value::Int(i64::from(n)) }),
            }
            let cells = (start, u32::try_from(rows.cells.len()).unwrap());
            rows.heads.push(RowHead { time_ns: record.time_ns, arrival_ns: record.arrival_ns, offset, n, cells });
            rows.payloads.push(Some(&record.payload));
        }
    }
    if told {
        rows.records = views(from, records);
    }
    store.append(topic, "t", partition, 1, &rows, from + records.len() as u64).unwrap();
}

fn owned(made: &MadeRecords) -> Vec<(Offset, Record)> {
    let records = made.records();
    let one = |record: &RecordView<'_>| {
        let headers = records.headers_of(record).iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
        let (payload, key) = (record.payload.to_vec(), record.key.map(<[u8]>::to_vec));
        let (timestamp_ms, arrival_ns) = (record.timestamp_ms, record.arrival_ns);
        (record.offset, Record { payload, key, headers, timestamp_ms, arrival_ns, time_ns: 0 })
    };
    records.records.iter().map(one).collect()
}

/// What a row's record must be: the record, and how it was kept.
type Model = BTreeMap<(PartitionId, Offset), (Record, KeepPayload, bool)>;

fn check(store: &Store, topic: TopicId, model: &Model, ends: [Offset; 2]) -> Result<(), TestCaseError> {
    for (partition, end) in [(0, ends[0]), (1, ends[1])] {
        for (from, until) in [(0, end), (end / 3, end - end / 4)] {
            let own = || model.range((partition, from)..(partition, until)).map(|((_, offset), of)| (*offset, of));
            let Some(mut kept) = store.kept_records(topic, partition, (from, until)).unwrap() else {
                let one = own().find(|(_, (_, keep, told))| *keep == KeepPayload::Always && *told);
                prop_assert!(one.is_none(), "nothing is kept, they say, but {:?}", one);
                continue;
            };
            let mut told = Vec::<KeptRow>::new();
            kept.survey(&mut |one| told.push(one)).unwrap();
            let offsets: Vec<Offset> = told.iter().map(|told| told.offset).collect();
            prop_assert_eq!(offsets, own().map(|(offset, _)| offset).collect::<Vec<_>>());
            let mut read = BTreeMap::new();
            let mut at = from;
            while at < until {
                let made = kept.read(at, until).unwrap();
                for (offset, record) in owned(&made) {
                    prop_assert!((at..made.next).contains(&offset) && read.insert(offset, record).is_none());
                }
                prop_assert!(made.next > at || made.lacks);
                at = made.next + u64::from(made.lacks);
            }
            for ((offset, (record, keep, was_told)), told) in own().zip(&told) {
                let expected = Record { time_ns: 0, ..record.clone() };
                let found = read.remove(&offset);
                prop_assert_eq!(told.arrival_ns, found.as_ref().map(|found| found.arrival_ns));
                match keep {
                    KeepPayload::Always => prop_assert_eq!(found.is_some(), *was_told, "of {}", offset),
                    KeepPayload::Never => prop_assert!(found.is_none()),
                    KeepPayload::Derived => prop_assert!(found.is_none() || *was_told),
                }
                prop_assert!(found.is_none_or(|found| found == expected), "of {}", offset);
            }
            prop_assert!(read.is_empty(), "records of no row");
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn records_come_back_exactly_or_not_at_all(ops in vec(op(), 1..25)) {
        let disk = SimDisk::new(1);
        let (mut store, topic) = (open(&disk), TopicId::new());
        let (mut model, mut ends) = (Model::new(), [0u64; 2]);
        for op in &ops {
            match op {
                Op::Append(partition, keep, told, rows, records) => {
                    let end = &mut ends[*partition as usize];
                    append(&store, topic, *partition, *end, (*keep, *told, *rows, records));
                    for record in records {
                        model.insert((*partition, *end), (record.clone(), *keep, *told));
                        *end += 1;
                    }
                }
                Op::Flush => store.flush_all().unwrap(),
                Op::Merge => drop(store.merge_all().unwrap()),
                Op::Delete(partition, first, count) => {
                    let end = (first + count).min(ends[*partition as usize]);
                    if *first < end {
                        store.delete_rows(topic, "t", &[(*partition, *first, end)]).unwrap();
                        model.retain(|(own, offset), _| own != partition || !(*first..end).contains(offset));
                    }
                }
                Op::Reopen => {
                    store.flush_all().unwrap();
                    store = open(&disk);
                }
            }
            check(&store, topic, &model, ends)?;
        }
        store.flush_all().unwrap();
        store.merge_all().unwrap();
        check(&store, topic, &model, ends)?;
    }

    #[test]
    fn bytes_that_are_no_envelopes_are_refused(bytes in vec(any::<u8>(), 0..200), rows in 0u16..100) {
        let rows: Vec<u16> = (0..rows).collect();
        let times = vec![i64::MAX; rows.len()];
        let read = Envelopes::decode::<()>(&bytes, &rows, || Ok(times)).unwrap();
        if let Some(read) = read {
            rows.iter().filter_map(|row| read.at(usize::from(*row))).for_each(|of| drop(of.open().1.collect::<Vec<_>>()));
        }
    }
}

/// A batch of one sender.
fn batch(number: u64, count: u64) -> Vec<Record> {
    let arrival_ns = TODAY + number.cast_signed() * 1_234_567_891;
    let peer = || (b"_peer".to_vec(), b"192.0.2.7".to_vec());
    let one = |at: u64| Record {
        payload: format!("{{\"n\":\"{}\",\"of\":\"shop\"}}", number * count + at).into_bytes(),
        key: None,
        headers: vec![peer(), (b"_receiver".to_vec(), b"lumberjack".to_vec())],
        timestamp_ms: arrival_ns / 1_000_000,
        arrival_ns,
        time_ns: TODAY + (number * count + at).cast_signed() * 1_000_000,
    };
    (0..count).map(one).collect()
}

/// Records of a batch, for who needs some.
pub fn some_records(count: u64) -> Records<'static> {
    static BATCH: std::sync::OnceLock<Vec<Record>> = std::sync::OnceLock::new();
    views(0, &BATCH.get_or_init(|| batch(0, 100))[..usize::try_from(count).unwrap()])
}

fn filled(told: bool) -> (Arc<SimDisk>, u64) {
    let disk = SimDisk::new(1);
    let (store, topic) = (open(&disk), TopicId::from_bytes([7; 16]));
    (0..16).for_each(|number| append(&store, topic, 0, number * 500, (KeepPayload::Derived, told, 1, &batch(number, 500))));
    store.flush_all().unwrap();
    let bytes = store.stats().iter().map(|stats| stats.disk_bytes).sum();
    (disk, bytes)
}

#[test]
fn what_batches_have_in_common_costs_hardly_anything() {
    let (bytes, more) = (filled(false).1, filled(true).1);
    assert!(more < bytes + 400, "8,000 rows in {bytes} bytes, {more} with envelopes");
}

#[test]
fn every_flipped_bit_is_missed_and_costs_what_it_is_in() {
    every_bit_is_somebodys(&filled(true).0, 61, 3);
}

#[test]
fn nothing_of_a_row_that_is_swept_stays() {
    let disk = SimDisk::new(1);
    let (store, topic) = (open(&disk), TopicId::new());
    let mut records = batch(0, 40);
    records[7].headers.push((b"trace".to_vec(), b"a-name-that-must-go".to_vec()));
    append(&store, topic, 0, 0, (KeepPayload::Always, true, 1, &records));
    store.flush_all().unwrap();
    store.delete_rows(topic, "t", &[(0, 7, 8)]).unwrap();
    store.merge_all().unwrap();
    assert!(!super::payload::is_on_disk(&disk, b"a-name-that-must-go") && super::payload::is_on_disk(&disk, b"lumberjack"));
}
