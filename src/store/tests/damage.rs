//! Bytes that are not what was written: an error of what they belong to, never a panic, never a wrong row.

use std::path::PathBuf;
use std::sync::Arc;

use proptest::collection;
use proptest::prelude::{ProptestConfig, any, proptest};

use super::super::part::bits::Reader;
use super::super::part::dictionary::Entries;
use super::super::part::shape::Shapes;
use super::super::part::{chunk, directory, ranked, split, typed};
use super::super::source::{Dict, Present, Source};
use super::super::{Config, Store, StoreError};
use super::{Owned, TODAY, TestRow, rows};
use crate::base::clock::SimClock;
use crate::base::disk::Disk;
use crate::base::disk::sim::SimDisk;
use crate::base::ids::TopicId;

pub fn open(disk: &Arc<SimDisk>) -> Arc<Store> {
    Store::open_idle(disk.clone(), Arc::new(SimClock::at(TODAY)), Config::default()).unwrap().0
}

/// A store with one part of many kinds of columns; the disk, and the part's path.
fn one_part() -> (Arc<SimDisk>, PathBuf) {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    let row = |i: i64| TestRow {
        time_ns: TODAY + i * 1_000_000_000,
        arrival_ns: TODAY + i * 1_000_000_000,
        offset: i.unsigned_abs(),
        n: 0,
        cells: vec![
            ("message".into(), Owned::Str(format!("line {} of {i}", i * 7919 % 1000).into_bytes())),
            ("verb".into(), Owned::Str(if i % 3 == 0 { b"GET".to_vec() } else { b"POST".to_vec() })),
            ("status".into(), if i % 5 == 0 { Owned::Str(b"-".to_vec()) } else { Owned::Int(200 + i % 7) }),
            ("time".into(), Owned::Float(i as f64 / 8.0)),
            ("ok".into(), Owned::Bool(i % 2 == 0)),
            ("id".into(), Owned::Str(format!("{:016x}", (i + 1).wrapping_mul(0x1e37_79b9_7f4a_7c15)).into_bytes())),
            ("size".into(), Owned::Str(if i % 9 == 0 { "-".into() } else { (i * i * i).to_string() }.into_bytes())),
            ("tags".into(), Owned::Str(b"a".to_vec())),
            ("tags".into(), Owned::Str(b"b".to_vec())),
        ],
    };
    let all: Vec<TestRow> = (0..700).map(row).collect();
    store.append(TopicId::new(), "t", 0, 1, &rows(&all), 700).unwrap();
    store.flush_all().unwrap();
    drop(store);
    let (path, _) = disk.files().into_iter().find(|(path, _)| path.extension().is_some()).unwrap();
    (disk, path)
}

/// Reads everything; how many chunks came, and how many were damaged.
fn read_all(source: &dyn Source) -> (Vec<String>, usize) {
    let mut good = Vec::new();
    let mut damaged = 0;
    let mut note = |what: Result<String, StoreError>| match what {
        Ok(text) => good.push(text),
        Err(StoreError::Damaged { .. }) => damaged += 1,
        Err(other) => panic!("{other}"),
    };
    note(source.check_index().map(|()| "index".to_owned()));
    for group in 0..source.groups() {
        let at = group;
        note(source.times(group).map(|times| format!("times {at} {times:?}")));
        note(source.lineage(group).map(|lineage| format!("lineage {at} {lineage:?}")));
        note(source.payload(group).map(|payload| format!("payload {at} {payload:?}")));
        note(
            source
                .envelopes(group)
                .map(|kept| format!("envelopes {at} {:?}", kept.map(|kept| kept.listed(source.rows(group))))),
        );
        for (number, column) in source.columns().iter().enumerate() {
            note(source.column(group, number).map(|chunk| format!("{at} {column:?} {chunk:?}")));
            note(source.dict_counts(number).map(|counts| format!("{at} {column:?} {counts:?}")));
        }
    }
    (good, damaged)
}

#[test]
fn every_flipped_bit_is_found_and_costs_only_what_it_is_in() {
    let (disk, _) = one_part();
    // A whole column, once as chunk and once as counts.
    every_bit_is_somebodys(&disk, 7, 2);
}

/// Flips bits of every so manieth byte of the one part, one after the other: each is missed, makes no wrong answer, and costs at
/// most so many answers, or all when it is the directory's.
pub fn every_bit_is_somebodys(disk: &Arc<SimDisk>, step: usize, most: usize) {
    let (path, _) = disk.files().into_iter().find(|(path, _)| path.extension().is_some()).unwrap();
    let before = read_all(&*open(disk).snapshot(None, None, None).sources[0]);
    assert_eq!(before.1, 0);
    let length = disk.files().into_iter().find(|(file, _)| *file == path).unwrap().1;
    let mut total = 0;
    for at in (0..length).step_by(step) {
        let file = disk.open(&path, false).unwrap();
        let mut byte = [0];
        file.read_at(&mut byte, at).unwrap();
        file.write_at(&[byte[0] ^ 1 << (at % 8)], at).unwrap();
        let store = open(disk);
        let (good, damaged) = read_all(&*store.snapshot(None, None, None).sources[0]);
        for text in &good {
            assert!(before.0.contains(text), "byte {at} made a wrong answer");
        }
        // Padding of the head is nobody's; everything else is somebody's.
        assert!(damaged > 0 || at < 16, "byte {at} was not missed");
        assert!(damaged <= most || good.is_empty(), "byte {at} cost {damaged}");
        total += damaged;
        file.write_at(&byte, at).unwrap();
    }
    assert!(total > 0);
    assert_eq!(read_all(&*open(disk).snapshot(None, None, None).sources[0]), before);
}

#[test]
fn merges_leave_damaged_parts_alone() {
    let disk = SimDisk::new(2);
    let config = Config { merge_parts: 2, ..Config::default() };
    let open = || Store::open_idle(disk.clone(), Arc::new(SimClock::at(TODAY)), config.clone()).unwrap().0;
    let store = open();
    let topic = TopicId::new();
    for i in 0..4u64 {
        let row = TestRow {
            time_ns: TODAY,
            arrival_ns: TODAY,
            offset: i,
            n: 0,
            cells: vec![("message".into(), Owned::Str(format!("row {i}").into_bytes()))],
        };
        store.append(topic, "t", 0, 1, &rows(&[row]), i + 1).unwrap();
        store.flush_all().unwrap();
    }
    drop(store);
    let (path, _) = disk.files().into_iter().find(|(path, _)| path.extension().is_some()).unwrap();
    let file = disk.open(&path, false).unwrap();
    file.write_at(&[0xff; 8], 20).unwrap();
    let store = open();
    store.merge_all().unwrap();
    assert_eq!(store.stats()[0].parts, 2, "three merged into one, the damaged one as it was");
    let readable: usize =
        store.snapshot(None, None, None).sources.iter().filter(|part| part.times(0).is_ok()).map(|part| part.rows(0)).sum();
    assert_eq!(readable, 3);
}

#[test]
fn a_missing_file_is_reported_and_costs_its_rows() {
    let (disk, path) = one_part();
    disk.remove_file(&path).unwrap();
    let (store, report) = Store::open_idle(disk, Arc::new(SimClock::at(TODAY)), Config::default()).unwrap();
    assert_eq!(report.parts_missing, 1);
    let snapshot = store.snapshot(None, None, None);
    assert!(snapshot.sources[0].times(0).is_err());
}

#[test]
fn a_missing_file_keeps_merges_from_nothing() {
    let (disk, path) = one_part();
    let config = Config { merge_parts: 2, ..Config::default() };
    let open = || Store::open_idle(disk.clone(), Arc::new(SimClock::at(TODAY)), config.clone()).unwrap().0;
    let store = open();
    let topics = [store.stats()[0].topic, TopicId::new()];
    for (topic, offset) in topics.into_iter().flat_map(|topic| (1000..1003u64).map(move |offset| (topic, offset))) {
        let cells = vec![("message".into(), Owned::Str(b"more".to_vec()))];
        let row = TestRow { time_ns: TODAY, arrival_ns: TODAY, offset, n: 0, cells };
        store.append(topic, "t", 0, 1, &rows(&[row]), offset + 1).unwrap();
        store.flush_all().unwrap();
    }
    drop(store);
    disk.remove_file(&path).unwrap();
    let store = open();
    store.merge_all().unwrap();
    let parts: Vec<u64> = store.stats().iter().map(|topic| topic.parts).collect();
    assert!(parts.iter().sum::<u64>() <= 4, "{parts:?}: what is there was merged");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    /// What no checksum can guard against: bytes made to fit. Decoders give up, they do not fall over.
    #[test]
    fn decoders_take_any_bytes(bytes in collection::vec(any::<u8>(), 0..200), total in 0usize..9000, encoding in 0u8..120) {
        let mut reader = Reader(&bytes);
        if let Some((_, count)) = chunk::presence(&mut reader, total) {
            let _ = chunk::ints(&mut reader.clone(), encoding, count);
            let _ = chunk::floats(&mut reader.clone(), encoding, count);
            let _ = chunk::bools(&mut reader.clone(), encoding, count);
            let _ = ranked::codes(&mut reader.clone(), encoding, count, total);
            let _ = ranked::having(&mut Reader(&bytes), encoding, total, u32::from(encoding));
            let _ = chunk::text(&mut reader.clone(), encoding, count);
            let shapes = Shapes::read([&b"a \0\x03 b"[..], &b"\0\x13"[..], &b"c"[..]].into_iter()).unwrap();
            let _ = split::decode(&mut reader.clone(), count, total, Present::All, &shapes, None);
            let _ = split::decode(&mut reader.clone(), count, total, Present::All, &shapes, Some(&[0x5555_aaaa]));
            let _ = split::decode_codes(&mut reader.clone(), count, total, &Present::All, &shapes);
            let _ = split::recode(&bytes, total, &[2, 1, 0]);
            let all = Present::Some(vec![u64::MAX; total.div_ceil(64)]);
            let _ = typed::decode(&mut reader.clone(), encoding, count, all, total);
        }
        let _ = directory::decode_groups(&bytes, total);
        let _ = directory::decode_columns(&bytes);
        let _ = directory::decode_lineage(&bytes);
        let _ = directory::decode_footer(&bytes);
        let _ = directory::unpack_section(&bytes);
        let _ = Entries::of(&bytes, total).and_then(|entries| entries.add_to(&mut Dict::default(), &mut Vec::new(), 3));
    }

    #[test]
    fn codes_come_back(codes in collection::vec((any::<u32>(), 0u32..32), 1..1500), base in 0u32..1000) {
        let codes: Vec<u32> = codes.into_iter().map(|(code, shift)| base + (code >> shift) % 5000).collect();
        let mut out = Vec::new();
        let encoding = ranked::put(&mut out, &codes);
        let back = ranked::codes(&mut Reader(&out), encoding, codes.len(), 6000);
        assert_eq!(back, Some(codes.iter().map(|code| code + 1).collect()));
        assert_eq!(ranked::codes(&mut Reader(&out), encoding, codes.len(), codes.iter().max().map_or(0, |most| *most as usize)), None);
        // As a chunk, whole or with a row before each that has none.
        for gaps in [false, true] {
            let total = if gaps { codes.len() * 2 } else { codes.len() };
            let mut chunk = vec![u8::from(gaps)];
            chunk.extend(vec![0xaa; if gaps { total.div_ceil(8) } else { 0 }]);
            if let (true, Some(last), rest @ 1..) = (gaps, chunk.last_mut(), total % 8) {
                *last &= 0xff >> (8 - rest);
            }
            chunk.extend_from_slice(&out);
            for code in [codes[0], codes[codes.len() / 2], base, base + 5000, u32::MAX - 1] {
                let Some(words) = ranked::having(&mut Reader(&chunk), encoding, total, code + 1).unwrap() else {
                    assert!(encoding == 31 && codes.contains(&code));
                    continue;
                };
                let row = |at: usize| if gaps { at * 2 + 1 } else { at };
                let model: Vec<usize> = codes.iter().enumerate().filter(|(_, own)| **own == code).map(|(at, _)| row(at)).collect();
                let found: Vec<usize> = (0..total).filter(|row| words[row / 64] >> (row % 64) & 1 == 1).collect();
                assert_eq!(found, model);
            }
        }
    }

    #[test]
    fn whole_numbers_and_decimals_come_back(ints in collection::vec(any::<i64>(), 1..300), scale in 0u32..60, step in any::<i32>()) {
        let shapes: [Vec<i64>; 4] = [
            // Small, but for a few.
            ints.iter().map(|value| if value % 19 == 0 { *value } else { value % 100 }).collect(),
            ints.iter().map(|value| value >> scale).collect(),
            (0..ints.len() as i64).map(|i| i * i64::from(step) * 1_000_000).collect(),
            ints.clone(),
        ];
        for values in shapes {
            let mut out = Vec::new();
            let encoding = chunk::put_ints(&mut out, &values);
            assert_eq!(chunk::ints(&mut Reader(&out), encoding, values.len()), Some(values.clone()));
            let floats: Vec<f64> = values.iter().map(|value| *value as f64 / 1000.0).collect();
            let mut out = Vec::new();
            let encoding = chunk::put_floats(&mut out, &floats);
            assert_eq!(chunk::floats(&mut Reader(&out), encoding, floats.len()), Some(floats));
        }
    }
}
