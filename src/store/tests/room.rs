//! What the store may take: of a disk that gets full, and of parts when rows come in no order.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::super::merge::{MERGED_ROWS, order_of_size};
use super::super::{Config, Store};
use super::{Owned, TODAY, TestRow, read, rows};
use crate::base::clock::{Clock, SimClock};
use crate::base::disk::Disk;
use crate::base::disk::sim::SimDisk;
use crate::base::ids::TopicId;
use crate::base::time::DAY_NS;
use crate::base::units::Bytes;

fn row(offset: u64, time_ns: i64, arrival_ns: i64) -> TestRow {
    sized(offset, time_ns, arrival_ns, 2)
}

/// A row with so many words of noise.
fn sized(offset: u64, time_ns: i64, arrival_ns: i64, words: u64) -> TestRow {
    let word = |n: u64| {
        format!(
            "{:016x}",
            (offset * 64 + n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23).wrapping_mul(0x2545_f491_4f6c_dd1d)
        )
    };
    let text: String = (0..words).map(word).collect();
    TestRow { time_ns, arrival_ns, offset, n: 0, cells: vec![("message".into(), Owned::Str(text.into_bytes()))] }
}

/// Five days of a megabyte each; the clock stands at the last.
fn five_days(disk: &Arc<SimDisk>) -> (Arc<Store>, Arc<SimClock>) {
    let clock = Arc::new(SimClock::at(TODAY));
    let (store, _) = Store::open_idle(disk.clone(), clock.clone(), Config::default()).unwrap();
    let topic = TopicId::new();
    for day in 0..5u64 {
        let time = TODAY - (4 - day) as i64 * DAY_NS;
        let some: Vec<TestRow> = (day * 2000..(day + 1) * 2000).map(|offset| sized(offset, time, time, 60)).collect();
        store.append(topic, "t", 0, 1, &rows(&some), (day + 1) * 2000).unwrap();
        store.flush_all().unwrap();
    }
    store.tick(0).unwrap();
    (store, clock)
}

fn used(disk: &SimDisk) -> u64 {
    disk.files().iter().map(|(_, len)| len).sum()
}

fn dropped(store: &Store) -> u64 {
    store.counters().parts_dropped.load(Ordering::Relaxed)
}

#[test]
fn a_disk_that_gets_full_costs_the_oldest_day_after_a_while() {
    let disk = SimDisk::new(1);
    let (store, clock) = five_days(&disk);
    let before = store.room();
    assert!(before.bytes > 4_000_000 && before.limit > 1 << 30, "{before:?}");
    // Half of what a twentieth of the disk is.
    let capacity = used(&disk) * 40 / 39;
    disk.set_capacity(Some(capacity));
    assert!(store.room().limit < before.bytes);
    store.tick(1).unwrap();
    clock.advance(Duration::from_secs(5));
    store.tick(2).unwrap();
    assert_eq!(dropped(&store), 0, "the queue yields first");
    clock.advance(Duration::from_secs(6));
    store.tick(3).unwrap();
    assert!((1..4).contains(&dropped(&store)), "{}", dropped(&store));
    let room = store.room();
    assert!(room.bytes <= room.limit && disk.space().unwrap().available >= capacity / 20, "{room:?}");
    let seen = read(&store.snapshot(None, None, None));
    assert_eq!(seen.len() as u64, (5 - dropped(&store)) * 2000);
    assert!(seen.values().any(|row| row.time_ns == TODAY), "the newest day stays");
    // Enough now: nothing more goes.
    let before = dropped(&store);
    clock.advance(Duration::from_secs(60));
    store.tick(60).unwrap();
    assert_eq!(dropped(&store), before);
}

#[test]
fn not_a_byte_is_free_and_nothing_is_old() {
    let disk = SimDisk::new(2);
    let (store, clock) = five_days(&disk);
    disk.set_capacity(Some(used(&disk)));
    assert_eq!(disk.space().unwrap().available, 0);
    store.tick(1).unwrap();
    clock.advance(Duration::from_secs(11));
    store.tick(2).unwrap();
    assert!(dropped(&store) > 0, "the commit had the room that is kept for it");
    let room = store.room();
    drop(store);
    let (store, _) = Store::open_idle(disk.crash(), Arc::new(SimClock::at(TODAY)), Config::default()).unwrap();
    assert_eq!(store.room().bytes, room.bytes, "and it is durable");
}

#[test]
fn what_others_fill_does_not_take_all_rows() {
    let disk = SimDisk::new(3);
    let (store, clock) = five_days(&disk);
    let bytes = store.room().bytes;
    // A large disk, full of somebody else's.
    let other = disk.open(std::path::Path::new("other"), true).unwrap();
    other.write_at(&vec![7; usize::try_from(bytes * 12).unwrap()], 0).unwrap();
    disk.set_capacity(Some(used(&disk) + 100));
    store.tick(1).unwrap();
    for minute in 1..5 {
        clock.advance(Duration::from_secs(60));
        store.tick(minute * 60).unwrap();
    }
    assert_eq!(dropped(&store), 0, "it has less than a tenth of the disk");
}

#[test]
fn no_merge_begins_that_would_take_what_is_reserved() {
    let disk = SimDisk::new(4);
    let clock = Arc::new(SimClock::at(TODAY));
    let (store, _) = Store::open_idle(disk.clone(), clock, Config { merge_parts: 2, ..Config::default() }).unwrap();
    let topic = TopicId::new();
    for at in 0..2u64 {
        let some: Vec<TestRow> = (at * 2000..(at + 1) * 2000).map(|offset| row(offset, TODAY, TODAY)).collect();
        store.append(topic, "t", 0, 1, &rows(&some), (at + 1) * 2000).unwrap();
        store.flush_all().unwrap();
    }
    disk.set_capacity(Some(used(&disk) * 100 / 90));
    assert_eq!(store.merge_all().unwrap(), 0);
    disk.set_capacity(None);
    assert_eq!(store.merge_all().unwrap(), 1);
}

fn ballast(disk: &SimDisk) -> Option<u64> {
    disk.files().iter().find(|(path, _)| path.ends_with("BALLAST")).map(|(_, len)| *len)
}

#[test]
fn a_flush_that_finds_no_room_has_what_is_kept_for_it() {
    let disk = SimDisk::new(6);
    let (store, _) = five_days(&disk);
    assert_eq!(ballast(&disk), Some(2 << 20));
    let topic = TopicId::new();
    let some: Vec<TestRow> = (0..2000).map(|offset| sized(offset, TODAY, TODAY, 60)).collect();
    store.append(topic, "u", 0, 1, &rows(&some), 2000).unwrap();
    // More than a commit takes, less than the part.
    disk.set_capacity(Some(used(&disk) + 100_000));
    store.flush_all().unwrap();
    assert_eq!((store.cursor(topic, 0), ballast(&disk)), (Some(2000), None));
    assert_eq!(store.counters().flush_errors.load(Ordering::Relaxed), 0);
    // Once there is plenty again, so is this.
    disk.set_capacity(None);
    store.tick(0).unwrap();
    assert_eq!(ballast(&disk), Some(2 << 20));
}

#[test]
fn a_small_disk_has_room_kept_as_well() {
    let disk = SimDisk::new(7);
    disk.set_capacity(Some(60 << 20));
    let (store, _) = five_days(&disk);
    assert!(ballast(&disk).is_some_and(|len| len > 256 << 10 && len < 600 << 10), "{:?}", ballast(&disk));
    // Not a byte: a first commit of another topic.
    disk.set_capacity(Some(used(&disk)));
    store.promote(TopicId::new(), "u", 1, b"chain", &[(0, 0)].into()).unwrap();
    assert_eq!(ballast(&disk), None);
}

/// Parts of a topic are at most, for each day that has some, and for late ones for each day on which they came:
/// orders of size × (`merge_parts` - 1), and rows × `merge_parts` / [`MERGED_ROWS`].
#[test]
fn two_years_in_random_order_stay_within_memory_and_few_parts() {
    let disk = SimDisk::new(5);
    let clock = Arc::new(SimClock::at(TODAY));
    let config = Config { memory: Bytes(512 << 10), replay_records: 1500, ..Config::default() };
    let (merge_parts, memory) = (config.merge_parts as u64, config.memory.as_usize());
    let (store, _) = Store::open_idle(disk, clock.clone(), config).unwrap();
    let topic = TopicId::new();
    let (count, mut random, mut most) = (120_000u64, 88_172_645_463_325_252u64, 0);
    let mut next = 0;
    while next < count {
        let arrival = clock.now_ns();
        let some: Vec<TestRow> = (next..next + 500)
            .map(|offset| {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                row(offset, arrival - (random % (730 * 86_400)) as i64 * 1_000_000_000, arrival)
            })
            .collect();
        next += 500;
        store.append(topic, "t", 0, 1, &rows(&some), next).unwrap();
        assert!(store.counters().memory() < memory + memory / 2, "{} bytes", store.counters().memory());
        store.tick(1).unwrap();
        clock.advance(Duration::from_secs(700));
        let stats = &store.stats()[0];
        let arrivals = ((clock.now_ns() - TODAY) / DAY_NS) as u64 + 1;
        let orders = u64::from(order_of_size(stats.disk_bytes)) + 1;
        let late = arrivals * orders * (merge_parts - 1);
        let own = stats.days.saturating_sub(1) * orders * (merge_parts - 1);
        let bound = late + own + count * merge_parts / MERGED_ROWS + 1;
        assert!(stats.parts <= bound, "{} parts of {} days, {bound} may be", stats.parts, stats.days);
        most = most.max(stats.parts);
    }
    store.flush_all().unwrap();
    let flushes = store.counters().flushes.load(Ordering::Relaxed);
    assert!(flushes > 60 && most < flushes / 2, "{most} parts of {flushes} flushes");
    assert_eq!(store.stats()[0].rows, count);
    assert_eq!(read(&store.snapshot(None, None, None)).len() as u64, count);
}

#[test]
fn a_start_opens_the_newest_parts_within_its_share_of_the_cache() {
    let disk = SimDisk::new(1);
    drop(five_days(&disk));
    let opened = |config: Config| {
        let (store, _) = Store::open_idle(disk.clone(), Arc::new(SimClock::at(TODAY)), config).unwrap();
        store.tick(0).unwrap();
        // In the order of their days.
        let mut files: Vec<_> = store
            .all_topics()
            .iter()
            .flat_map(|topic| topic.state.lock().parts.values().cloned().collect::<Vec<_>>())
            .collect();
        files.sort_by_key(|file| file.meta.to_ns);
        files.iter().map(|file| store.cache.get((file.meta.id, u32::MAX)).is_some()).collect::<Vec<_>>()
    };
    assert_eq!(opened(Config::default()), [true; 5]);
    // Its share is a quarter: one is over.
    assert_eq!(opened(Config { cache: Bytes(4), ..Config::default() }), [false, false, false, false, true]);
}

#[test]
fn memtables_of_a_small_disk_fit_into_what_is_reserved_of_it() {
    let on = |total: u64| Config::default().memory_on(total).0;
    assert_eq!(
        [on(u64::MAX), on(8 << 30), on(1200 << 20), on(300 << 20), on(0)],
        [128 << 20, 128 << 20, 30 << 20, 7_864_320, 4 << 20]
    );
    let disk = SimDisk::new(31);
    disk.set_capacity(Some(400 << 20));
    let (store, _) = Store::open_idle(disk, Arc::new(SimClock::at(TODAY)), Config::default()).unwrap();
    assert_eq!(store.config.memory.0, 10 << 20);
}

#[test]
fn what_is_asked_for_is_in_a_file_with_the_next_round() {
    let (store, _) = Store::open_idle(SimDisk::new(9), Arc::new(SimClock::at(TODAY)), Config::default()).unwrap();
    let topic = TopicId::new();
    store.append(topic, "t", 0, 1, &rows(&[row(0, TODAY, TODAY)]), 1).unwrap();
    let parts = || store.stats()[0].parts;
    store.tick(1).unwrap();
    assert_eq!(parts(), 0);
    store.flush_soon();
    store.tick(2).unwrap();
    assert_eq!(parts(), 1);
    store.append(topic, "t", 0, 1, &rows(&[row(1, TODAY, TODAY)]), 2).unwrap();
    store.tick(3).unwrap();
    assert_eq!(parts(), 1, "asked once");
}
