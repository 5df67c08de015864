//! Rows by the ten thousand: groups that fill, columns that change their encoding, days that part, memory that runs out.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::super::source::{Chunk, Source};
use super::super::{Config, Snapshot, Store};
use super::{Owned, Seen, SeenRows, TODAY, TestRow, read, rows};
use crate::base::clock::SimClock;
use crate::base::disk::sim::SimDisk;
use crate::base::ids::TopicId;
use crate::base::time::DAY_NS;
use crate::base::units::{Bytes, Span};

fn store_on(disk: &Arc<SimDisk>, config: Config) -> (Arc<Store>, Arc<SimClock>) {
    let clock = Arc::new(SimClock::at(TODAY));
    (Store::open_idle(disk.clone(), clock.clone(), config).unwrap().0, clock)
}

fn row(i: u64, time_ns: i64, cells: Vec<(String, Owned)>) -> TestRow {
    TestRow { time_ns, arrival_ns: TODAY, offset: i, n: 0, cells }
}

fn str(text: impl Into<String>) -> Owned {
    Owned::Str(text.into().into_bytes())
}

fn many(from: u64, to: u64) -> Vec<TestRow> {
    (from..to)
        .map(|i| {
            let cells = vec![
                ("message".into(), str(format!("{i} {:x}", i.wrapping_mul(0x9e37_79b9_7f4a_7c15)))),
                ("app".into(), str(["shop", "cart", "pay"][(i % 3) as usize])),
                ("user".into(), str(format!("user{}", i % 4000))),
                ("late".into(), if i % 977 == 0 { str("x") } else { Owned::Int(i as i64) }),
            ];
            row(i, TODAY + i as i64 * 1_000_000, cells)
        })
        .collect()
}

fn expected(topic: TopicId, of: &[TestRow]) -> SeenRows {
    of.iter().map(|row| ((topic, 0, row.offset, row.n), row.seen(1))).collect()
}

#[test]
fn full_groups_text_and_dictionaries_survive_flush_and_merge() {
    let disk = SimDisk::new(3);
    let (store, _) = store_on(&disk, Config { merge_parts: 2, ..Config::default() });
    let topic = TopicId::new();
    let all = many(0, 20_000);
    for (some, next) in all.chunks(1000).zip((1000u64..).step_by(1000)) {
        store.append(topic, "t", 0, 1, &rows(some), next).unwrap();
        if next == 10_000 {
            store.flush_all().unwrap();
        }
    }
    assert_eq!(read(&store.snapshot(None, None, None)), expected(topic, &all));
    let known = |source: &Arc<dyn Source>, name: &str| {
        let number = source.columns().iter().position(|column| *column.name == *name).unwrap();
        source.value_counts(number).unwrap().map(|own| own.counts.len())
    };
    let both = |source: Arc<dyn Source>| (known(&source, "app"), known(&source, "user"));
    let counted: BTreeSet<_> = store.snapshot(None, None, None).sources.into_iter().map(both).collect();
    // The memtable counts few values, a part many too.
    assert_eq!(counted, BTreeSet::from([(Some(3), None), (Some(3), Some(4000))]));
    store.flush_all().unwrap();
    let column = |source: &dyn Source, name: &str| {
        let number = source.columns().iter().position(|column| *column.name == *name).unwrap();
        (number, source.column(0, number).unwrap().unwrap())
    };
    let check = || {
        let snapshot = store.snapshot(None, None, None);
        assert_eq!(read(&snapshot), expected(topic, &all));
        for source in &snapshot.sources {
            assert!(matches!(column(&**source, "message").1, Chunk::Text { .. }));
            let (app, chunk) = column(&**source, "app");
            let dict = source.dict(app).unwrap().unwrap();
            assert!(matches!(chunk, Chunk::Dict { dict: of, .. } if Arc::ptr_eq(&of, &dict)));
            assert!(dict.sorted && dict.len() == 3);
            let rows: usize = (0..source.groups()).map(|group| source.rows(group)).sum();
            assert_eq!(source.dict_counts(app).unwrap().unwrap().iter().sum::<u64>(), rows as u64);
        }
        snapshot.sources.len()
    };
    assert_eq!(check(), 2);
    assert_eq!(store.merge_all().unwrap(), 1);
    assert_eq!(check(), 1);
    drop(store);
    assert_eq!(disk.files().iter().filter(|(path, _)| path.extension().is_some()).count(), 1, "the merged parts are gone");
}

#[test]
fn few_numbers_are_counted_where_they_lie() {
    let disk = SimDisk::new(3);
    let (store, _) = store_on(&disk, Config { merge_parts: 2, ..Config::default() });
    let all: Vec<TestRow> = (0..30_000u64)
        .map(|i| {
            let mut cells = vec![
                ("status".into(), Owned::Int([200, 404, -1, i64::MIN][(i % 4) as usize])),
                ("bytes".into(), Owned::Int(i as i64 * 37)),
                ("ok".into(), Owned::Bool(i % 4 == 0)),
                ("share".into(), Owned::Float(0.5)),
            ];
            // Few at first, then too many; and in some rows only.
            cells.extend((i % 3 == 0).then(|| ("port".into(), Owned::Int(if i < 15_000 { 80 } else { i as i64 }))));
            row(i, TODAY + i as i64 * 1_000_000, cells)
        })
        .collect();
    let topic = TopicId::new();
    let known = || {
        let mut all = BTreeSet::new();
        for source in store.snapshot(None, None, None).sources {
            for (number, column) in source.columns().iter().enumerate() {
                let counts = source.value_counts(number).unwrap().map(|own| (own.counts.len(), own.counts.iter().sum::<u64>()));
                all.insert((column.name.to_string(), counts));
            }
        }
        all
    };
    let of = |names: &[(&str, Option<(usize, u64)>)]| -> BTreeSet<_> {
        names.iter().map(|(name, counts)| ((*name).to_owned(), *counts)).collect()
    };
    store.append(topic, "t", 0, 1, &rows(&all[..15_000]), 15_000).unwrap();
    let half = of(&[
        ("status", Some((4, 15_000))),
        ("bytes", None),
        ("ok", Some((2, 15_000))),
        ("share", None),
        ("port", Some((1, 5000))),
    ]);
    assert_eq!(known(), half, "in the memtable");
    store.flush_all().unwrap();
    assert_eq!(known(), half, "in a part");
    store.append(topic, "t", 0, 1, &rows(&all[15_000..]), 30_000).unwrap();
    store.flush_all().unwrap();
    store.merge_all().unwrap();
    let whole = [("status", Some((4, 30_000))), ("bytes", None), ("ok", Some((2, 30_000))), ("share", None), ("port", None)];
    assert_eq!(known(), of(&whole), "in what parts were merged into");
    // `read` compares counts with what rows say.
    assert_eq!(read(&store.snapshot(None, None, None)), expected(topic, &all));
    store.append(topic, "t", 0, 1, &rows(&many(30_000, 30_050)), 30_050).unwrap();
    store.flush_all().unwrap();
    assert!(known().contains(&("late".into(), None)), "too few rows to be worth a dictionary");
}

#[test]
fn a_snapshot_stands_still_while_rows_and_merges_go_on() {
    let disk = SimDisk::new(4);
    let (store, _) = store_on(&disk, Config { merge_parts: 2, ..Config::default() });
    let topic = TopicId::new();
    let all = many(0, 3000);
    store.append(topic, "t", 0, 1, &rows(&all[..1000]), 1000).unwrap();
    store.flush_all().unwrap();
    store.append(topic, "t", 0, 1, &rows(&all[1000..2000]), 2000).unwrap();
    let before = store.snapshot(None, None, None);
    store.flush_all().unwrap();
    store.merge_all().unwrap();
    store.append(topic, "t", 0, 1, &rows(&all[2000..]), 3000).unwrap();
    assert_eq!(read(&before), expected(topic, &all[..2000]), "parts that were merged away are still read");
    assert_eq!(read(&store.snapshot(None, None, None)), expected(topic, &all));
}

#[test]
fn looks_are_whole_while_everything_moves() {
    let disk = SimDisk::new(11);
    let (store, _) = store_on(&disk, Config { merge_parts: 2, ..Config::default() });
    let topic = TopicId::new();
    let all = many(0, 12_000);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let lanes: Vec<_> = (0..2)
            .map(|partition| {
                let (store, all) = (&store, &all);
                scope.spawn(move || {
                    for some in all.chunks(97) {
                        let next = some[some.len() - 1].offset + 1;
                        store.append(topic, "t", partition, 1, &rows(some), next).unwrap();
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                store.flush_all().unwrap();
                store.merge_all().unwrap();
            }
        });
        let (store, done) = (&store, &done);
        scope.spawn(move || {
            lanes.into_iter().for_each(|lane| lane.join().unwrap());
            done.store(true, Ordering::Relaxed);
        });
        let mut seen_before = 0;
        while !done.load(Ordering::Relaxed) {
            let seen = read_origins(&store.snapshot(None, None, None));
            assert!(seen.len() >= seen_before, "rows do not go away");
            seen_before = seen.len();
            for partition in 0..2 {
                let offsets: Vec<u64> = seen.iter().filter(|origin| origin.0 == partition).map(|origin| origin.1).collect();
                assert!(offsets.iter().copied().eq(0..offsets.len() as u64), "each row once and none left out");
            }
        }
    });
    assert_eq!(read_origins(&store.snapshot(None, None, None)).len(), 24_000);
}

/// (partition, offset) of every row, in order; each at most once.
fn read_origins(snapshot: &Snapshot) -> BTreeSet<(u32, u64)> {
    let mut all = BTreeSet::new();
    for source in &snapshot.sources {
        for group in 0..source.groups() {
            let lineage = source.lineage(group).unwrap();
            for origin in lineage.partitions.iter().zip(&lineage.offsets) {
                assert!(all.insert((*origin.0, *origin.1)), "{origin:?} is seen twice");
            }
        }
    }
    all
}

#[test]
fn late_rows_make_eight_day_parts_and_one_for_the_rest() {
    let disk = SimDisk::new(5);
    let (store, _) = store_on(&disk, Config::default());
    let topic = TopicId::new();
    let all: Vec<TestRow> =
        (0..2000u64).map(|i| row(i, TODAY - (i % 20) as i64 * DAY_NS, vec![("i".into(), Owned::Int(i as i64))])).collect();
    store.append(topic, "t", 0, 1, &rows(&all), 2000).unwrap();
    store.flush_all().unwrap();
    let stats = &store.stats()[0];
    assert_eq!((stats.parts, stats.days), (9, 9));
    assert_eq!(read(&store.snapshot(None, None, None)), expected(topic, &all));
    let day = store.snapshot(Some(TODAY - DAY_NS), Some(TODAY), None);
    assert!(day.sources.len() <= 2, "other days are not looked at");
    assert_eq!(read(&store.snapshot(None, None, Some(&["other".into()]))), SeenRows::new());
}

#[test]
fn retention_counts_from_arrival_for_late_rows() {
    let disk = SimDisk::new(6);
    let config = Config { retention: Span(std::time::Duration::from_secs(3 * 86_400)), ..Config::default() };
    let (store, clock) = store_on(&disk, config);
    let topic = TopicId::new();
    let mut old = row(0, TODAY - 10 * DAY_NS, vec![]);
    old.arrival_ns = TODAY - 10 * DAY_NS;
    store.append(topic, "t", 0, 1, &rows(&[old]), 1).unwrap();
    store.flush_all().unwrap();
    store.append(topic, "t", 0, 1, &rows(&[row(1, TODAY - 10 * DAY_NS, vec![]), row(2, TODAY, vec![])]), 3).unwrap();
    store.flush_all().unwrap();
    assert_eq!(store.drop_old().unwrap(), 1, "what arrived ten days ago goes");
    assert_eq!(store.stats()[0].rows, 2, "what arrived today stays, whatever its time");
    clock.advance(std::time::Duration::from_secs(5 * 86_400));
    assert_eq!(store.drop_old().unwrap(), 2);
    assert_eq!(store.cursor(topic, 0), Some(3), "cursors outlive rows");
}

#[test]
fn the_oldest_day_goes_when_bytes_run_out() {
    let disk = SimDisk::new(7);
    let (store, _) = store_on(&disk, Config { retention_bytes: Some(Bytes(1)), ..Config::default() });
    let topic = TopicId::new();
    for day in 0..3i64 {
        let mut one = row(day as u64, TODAY - (2 - day) * DAY_NS, vec![]);
        one.arrival_ns = one.time_ns;
        store.append(topic, "t", 0, 1, &rows(&[one]), day as u64 + 1).unwrap();
        store.flush_all().unwrap();
    }
    assert_eq!(store.drop_old().unwrap(), 3);
}

#[test]
fn memory_is_bounded_and_lanes_flush_what_they_fill() {
    let disk = SimDisk::new(8);
    let (store, _) = store_on(&disk, Config { memory: Bytes(1 << 20), ..Config::default() });
    let topics: Vec<TopicId> = (0..20).map(|_| TopicId::new()).collect();
    let all = many(0, 20_000);
    for (at, some) in all.chunks(100).enumerate() {
        let topic = topics[at % topics.len()];
        store.append(topic, &format!("t{}", at % topics.len()), 0, 1, &rows(some), some[99].offset + 1).unwrap();
        assert!(store.counters().memory() < 3 << 19);
    }
    assert_eq!(read(&store.snapshot(None, None, None)).len(), 20_000);
    store.flush_all().unwrap();
    assert_eq!(store.counters().memory(), 0, "what is flushed is not counted any more");
}

#[test]
fn thousands_of_fields_cost_what_their_values_cost() {
    let disk = SimDisk::new(9);
    let (store, _) = store_on(&disk, Config { merge_parts: 2, ..Config::default() });
    let topic = TopicId::new();
    let wide: Vec<TestRow> = (0..200u64)
        .map(|i| row(i, TODAY, (0..20).map(|f| (format!("f{}", i * 20 + f), Owned::Int(f as i64))).collect()))
        .collect();
    for half in 0..2usize {
        store.append(topic, "t", 0, 1, &rows(&wide[half * 100..half * 100 + 100]), half as u64 * 100 + 100).unwrap();
        store.flush_all().unwrap();
    }
    store.merge_all().unwrap();
    assert_eq!(read(&store.snapshot(None, None, None)), expected(topic, &wide));
    let bytes = store.stats()[0].disk_bytes;
    assert!(bytes < 4000 * 40, "{bytes} bytes for 4,000 fields of one value");
}

#[test]
fn a_time_far_ahead_is_kept_as_a_field() {
    let disk = SimDisk::new(10);
    let (store, _) = store_on(&disk, Config::default());
    let topic = TopicId::new();
    store.append(topic, "t", 0, 1, &rows(&[row(0, TODAY + 2 * DAY_NS, vec![])]), 1).unwrap();
    let seen = read(&store.snapshot(None, None, None));
    let only = &seen[&(topic, 0, 0, 0)];
    assert_eq!(only.time_ns, TODAY);
    assert_eq!(only.fields["_time_claimed"], Seen::Str(b"2026-11-22T00:00:00Z".to_vec()));
}

#[test]
fn nobody_forges_the_time_that_a_row_claims() {
    let disk = SimDisk::new(12);
    let (store, _) = store_on(&disk, Config::default());
    let (topic, ahead) = (TopicId::new(), TODAY + 2 * DAY_NS);
    let claim = |value: Owned| ("_time_claimed".to_owned(), value);
    let message = |text: &str| ("message".to_owned(), Owned::Str(text.into()));
    let some = [
        row(0, ahead, vec![claim(Owned::Str(b"x".to_vec())), message("A")]),
        row(1, TODAY, vec![message("B")]),
        row(2, ahead, vec![claim(Owned::Int(-5)), message("C")]),
        row(3, ahead, vec![claim(Owned::Int(1)), message("D"), claim(Owned::Str(b"y".to_vec()))]),
        row(4, TODAY, vec![claim(Owned::Str(b"z".to_vec())), message("E")]),
        row(5, ahead, vec![message("F")]),
    ];
    store.append(topic, "t", 0, 1, &rows(&some), 6).unwrap();
    let check = |seen: &super::SeenRows| {
        for (at, text) in ["A", "B", "C", "D", "E", "F"].iter().enumerate() {
            let one = &seen[&(topic, 0, at as u64, 0)];
            assert_eq!(one.fields["message"], Seen::Str(text.as_bytes().to_vec()));
            let claimed = (some[at].time_ns == ahead).then(|| Seen::Str(b"2026-11-22T00:00:00Z".to_vec()));
            assert_eq!(one.fields.get("_time_claimed"), claimed.as_ref(), "row {at}");
        }
    };
    check(&read(&store.snapshot(None, None, None)));
    store.flush_all().unwrap();
    check(&read(&store.snapshot(None, None, None)));
}

#[test]
fn a_long_value_of_many_rows_is_read_back_where_no_dictionary_holds_it() {
    let disk = SimDisk::new(13);
    let (store, _) = store_on(&disk, Config { merge_parts: 2, ..Config::default() });
    let (topic, long) = (TopicId::new(), vec![b'x'; (1 << 20) + 1]);
    // More than a reader unpacks of one chunk, and half of the values new.
    let message = |i: u64| if i.is_multiple_of(2) && i < 540 { long.clone() } else { format!("line {i}").into_bytes() };
    for i in 0..600 {
        let one = [row(i, TODAY, vec![("message".into(), Owned::Str(message(i)))])];
        store.append(topic, "t", 0, 1, &rows(&one), i + 1).unwrap();
    }
    store.flush_all().unwrap();
    let mut read = 0;
    for source in store.snapshot(None, None, None).sources {
        let (mut scratch, column) = (Vec::new(), source.columns().iter().position(|column| &*column.name == "message"));
        for group in 0..source.groups() {
            let chunk = source.column(group, column.unwrap()).unwrap().unwrap();
            for row in 0..chunk.rows() {
                assert!(chunk.text_of(row, &mut scratch).unwrap() == message(read), "row {read}");
                read += 1;
            }
        }
    }
    assert_eq!(read, 600);
}

/// Prints what a thousand quiet topics hold; fails when one costs more than a few times its rows.
#[test]
fn a_thousand_small_topics_cost_little() {
    let disk = SimDisk::new(12);
    let (store, _) = store_on(&disk, Config::default());
    let all = many(0, 5);
    for at in 0..1000 {
        store.append(TopicId::new(), &format!("t{at}"), 0, 1, &rows(&all), 5).unwrap();
    }
    assert!(store.counters().memory() < 6 << 20, "{} bytes", store.counters().memory());
    let syncs = disk.syncs();
    store.flush_all().unwrap();
    let flushes = store.counters().flushes.load(Ordering::Relaxed);
    println!("1,000 topics of 5 rows: {} syncs of {} flush", disk.syncs() - syncs, flushes);
    assert_eq!(flushes, 1, "one commit for all of them");
}
