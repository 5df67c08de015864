//! A disk that is full, fails or loses its log: the store goes on answering, and goes on writing when it can.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::super::{Config, OpenReport, Store, StoreError};
use super::{Owned, TODAY, TestRow, read, rows};
use crate::base::clock::{Clock, SimClock};
use crate::base::disk::Disk;
use crate::base::disk::sim::SimDisk;
use crate::base::ids::TopicId;
use crate::base::journal::Look;
use crate::base::units::Bytes;

fn some_rows(from: u64, count: u64) -> Vec<TestRow> {
    let row = |i: u64| TestRow {
        time_ns: TODAY,
        arrival_ns: TODAY,
        offset: i,
        n: 0,
        cells: vec![("message".into(), Owned::Str(format!("{:064x}", i.wrapping_mul(0x9e37_79b9_7f4a_7c15)).into_bytes()))],
    };
    (from..from + count).map(row).collect()
}

fn open(disk: &Arc<SimDisk>, config: Config) -> (Arc<Store>, OpenReport) {
    Store::open_idle(disk.clone(), Arc::new(SimClock::at(TODAY)), config).unwrap()
}

#[test]
fn a_full_disk_stops_flushes_not_searches() {
    let disk = SimDisk::new(1);
    let (store, _) = open(&disk, Config::default());
    let topic = TopicId::new();
    let durable = Arc::new(AtomicU64::new(0));
    let seen = durable.clone();
    store.on_commit(Box::new(move |_, _, next| seen.store(next, Ordering::SeqCst)));
    store.append(topic, "t", 0, 1, &rows(&some_rows(0, 100)), 100).unwrap();
    store.flush_all().unwrap();
    assert_eq!(durable.load(Ordering::SeqCst), 100);
    let used: u64 = disk.files().iter().map(|(_, len)| len).sum();
    disk.set_capacity(Some(used + 64));
    store.append(topic, "t", 0, 1, &rows(&some_rows(100, 100)), 200).unwrap();
    assert!(store.flush_all().is_err());
    assert!(store.flush_topic(topic).is_err());
    assert_eq!(store.counters().flush_errors.load(Ordering::Relaxed), 2);
    assert_eq!(store.cursor(topic, 0), Some(100));
    store.append(topic, "t", 0, 1, &rows(&some_rows(200, 100)), 300).unwrap();
    assert_eq!(read(&store.snapshot(None, None, None)).len(), 300, "what could not be written is still found");
    disk.set_capacity(None);
    store.flush_all().unwrap();
    assert_eq!((store.cursor(topic, 0), durable.load(Ordering::SeqCst)), (Some(300), 300));
    assert_eq!(store.counters().memory(), 0);
    drop(store);
    let (store, report) = open(&disk.crash(), Config::default());
    assert_eq!((report.rows, report.orphans_removed), (300, 0), "failed flushes left nothing behind");
    assert_eq!(read(&store.snapshot(None, None, None)).len(), 300);
}

#[test]
fn a_full_store_makes_lanes_wait_until_it_can_write_again() {
    let disk = SimDisk::new(2);
    let config = Config { memory: Bytes(256 << 10), ..Config::default() };
    let clock = Arc::new(SimClock::at(TODAY));
    let (store, _) = Store::open_idle(disk.clone(), clock.clone(), config).unwrap();
    let topic = TopicId::new();
    disk.set_capacity(Some(2048));
    let lane = store.clone();
    let thread = std::thread::spawn(move || {
        for batch in 0..40 {
            let next = (batch + 1) * 100;
            lane.append(topic, "t", 0, 1, &rows(&some_rows(batch * 100, 100)), next).unwrap();
        }
    });
    while store.counters().flush_errors.load(Ordering::Relaxed) == 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(100));
    assert!(!thread.is_finished(), "the lane waits");
    assert!(store.counters().memory() < 512 << 10);
    disk.set_capacity(None);
    clock.advance(Duration::from_secs(10));
    thread.join().unwrap();
    assert_eq!(read(&store.snapshot(None, None, None)).len(), 4000);
}

#[test]
fn a_lane_that_waits_for_memory_is_let_go_when_the_store_closes() {
    let disk = SimDisk::new(6);
    let config = Config { memory: Bytes(64 << 10), ..Config::default() };
    let (store, _) = open(&disk, config);
    let topic = TopicId::new();
    disk.set_capacity(Some(2048));
    let lane = store.clone();
    let thread = std::thread::spawn(move || {
        let append = |batch: u64| lane.append(topic, "t", 0, 1, &rows(&some_rows(batch * 100, 100)), (batch + 1) * 100);
        (0..40).find_map(|batch| append(batch).err())
    });
    while store.counters().flush_errors.load(Ordering::Relaxed) == 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    store.close();
    assert!(matches!(thread.join().unwrap(), Some(StoreError::Closed)));
}

#[test]
fn retention_runs_although_the_disk_is_too_full_to_flush() {
    let disk = SimDisk::new(7);
    let clock = Arc::new(SimClock::at(TODAY));
    let (store, _) = Store::open_idle(disk.clone(), clock.clone(), Config::default()).unwrap();
    let topic = TopicId::new();
    store.append(topic, "t", 0, 1, &rows(&some_rows(0, 3000)), 3000).unwrap();
    store.flush_all().unwrap();
    clock.advance(Duration::from_secs(40 * 86_400));
    let mut fresh = some_rows(3000, 2000);
    for row in &mut fresh {
        (row.time_ns, row.arrival_ns) = (clock.now_ns(), clock.now_ns());
    }
    store.append(topic, "t", 0, 1, &rows(&fresh), 5000).unwrap();
    let used: u64 = disk.files().iter().map(|(_, len)| len).sum();
    disk.set_capacity(Some(used + 4096));
    assert!(store.flush_all().is_err(), "there is no room");
    let _ = store.tick(0);
    assert_eq!(store.counters().parts_dropped.load(Ordering::Relaxed), 1);
    clock.advance(Duration::from_secs(10));
    store.flush_all().unwrap();
    assert_eq!(store.cursor(topic, 0), Some(5000), "what was dropped made room");
}

#[test]
fn retention_runs_though_not_a_byte_is_free() {
    let disk = SimDisk::new(9);
    let clock = Arc::new(SimClock::at(TODAY));
    let (store, _) = Store::open_idle(disk.clone(), clock.clone(), Config::default()).unwrap();
    let topic = TopicId::new();
    store.append(topic, "t", 0, 1, &rows(&some_rows(0, 3000)), 3000).unwrap();
    store.flush_all().unwrap();
    // Nothing is old; room is kept for the time when something is.
    store.tick(0).unwrap();
    let used: u64 = disk.files().iter().map(|(_, len)| len).sum();
    disk.set_capacity(Some(used));
    clock.advance(Duration::from_secs(40 * 86_400));
    store.tick(0).unwrap();
    assert_eq!(store.counters().parts_dropped.load(Ordering::Relaxed), 1);
    drop(store);
    let (store, report) = open(&disk.crash(), Config::default());
    assert_eq!((report.parts, store.cursor(topic, 0)), (0, Some(3000)));
}

#[test]
fn a_promotion_that_failed_is_not_there_after_a_crash() {
    for seed in 0..20 {
        let disk = SimDisk::new(seed);
        let (store, _) = open(&disk, Config::default());
        let topic = TopicId::new();
        store.promote(topic, "t", 1, b"one", &[(0, 0)].into()).unwrap();
        disk.fail_sync_after(0);
        assert!(store.promote(topic, "t", 2, b"two", &[(0, 5)].into()).is_err());
        // The lane goes on with the first one, and emits.
        let (store, _) = open(&disk.crash(), Config::default());
        assert_eq!(store.generations(topic).len(), 1, "seed {seed}");
    }
}

#[test]
fn days_that_retention_emptied_leave_no_directories() {
    let disk = SimDisk::new(8);
    let clock = Arc::new(SimClock::at(TODAY));
    let (store, _) = Store::open_idle(disk.clone(), clock.clone(), Config::default()).unwrap();
    let topic = TopicId::new();
    store.append(topic, "t", 0, 1, &rows(&some_rows(0, 10)), 10).unwrap();
    store.flush_all().unwrap();
    clock.advance(Duration::from_secs(40 * 86_400));
    store.drop_old().unwrap();
    drop(store);
    let (_store, report) = open(&disk, Config::default());
    assert_eq!((report.parts, report.orphans_removed), (0, 0));
    assert_eq!(disk.list(&Path::new("store").join(topic.to_string())).unwrap(), []);
}

#[test]
fn a_damaged_log_keeps_the_files_that_it_may_have_named() {
    let disk = SimDisk::new(3);
    let (store, _) = open(&disk, Config::default());
    let topic = TopicId::new();
    for i in 0..3 {
        store.append(topic, "t", 0, 1, &rows(&some_rows(i * 10, 10)), i * 10 + 10).unwrap();
        store.flush_all().unwrap();
    }
    drop(store);
    let first = Look::at(&*disk, Path::new("store/COMMITS")).unwrap().entries[0].1.len() as u64 + 20;
    disk.flip_bit(Path::new("store/COMMITS"), (first + 30) * 8);
    let (store, report) = open(&disk, Config::default());
    assert_eq!((report.damaged_commits, report.orphans_kept, report.orphans_removed), (1, 1, 0));
    assert_eq!(store.cursor(topic, 0), Some(30));
    let before: Vec<_> = disk.files();
    store.append(topic, "t", 0, 1, &rows(&some_rows(30, 10)), 40).unwrap();
    store.flush_all().unwrap();
    for (path, len) in before.iter().filter(|(path, _)| path.extension().is_some()) {
        assert!(disk.files().contains(&(path.clone(), *len)), "{} was overwritten", path.display());
    }
}

#[test]
fn the_thread_flushes_what_is_old_and_ends_with_the_store() {
    let disk = SimDisk::new(4);
    let clock = Arc::new(SimClock::at(TODAY));
    let (store, _) = Store::open(disk.clone(), clock.clone(), Config::default()).unwrap();
    let topic = TopicId::new();
    // All records dropped: the cursor alone becomes durable.
    store.append(topic, "t", 0, 1, &rows(&[]), 7).unwrap();
    clock.advance(Duration::from_secs(3601));
    for _ in 0..500 {
        if store.cursor(topic, 0) == Some(7) {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(store.cursor(topic, 0), Some(7));
    store.append(topic, "t", 1, 1, &rows(&some_rows(0, 5)), 5).unwrap();
    store.shutdown().unwrap();
    assert_eq!(store.cursor(topic, 1), Some(5));
    assert!(store.append(topic, "t", 1, 1, &rows(&some_rows(5, 5)), 10).is_err());
}

#[test]
fn a_long_log_is_checkpointed_and_says_the_same() {
    let disk = SimDisk::new(5);
    let (store, _) = open(&disk, Config::default());
    let topic = TopicId::new();
    let chain = vec![b'x'; 400_000];
    for generation in 1..=20 {
        store
            .append(
                topic,
                "t",
                0,
                generation,
                &rows(&some_rows(u64::from(generation) * 10, 10)),
                u64::from(generation) * 10 + 10,
            )
            .unwrap();
        store.flush_all().unwrap();
        store.promote(topic, "t", generation % 2, &chain, &[(0, 5)].into()).unwrap();
    }
    let before = (store.stats(), store.generations(topic), store.cursor(topic, 0));
    drop(store);
    let (_, log) = disk.files().into_iter().find(|(path, _)| path == Path::new("store/COMMITS")).unwrap();
    assert!(log < 15 * 400_000, "{log} bytes are more than a checkpoint and what came after");
    let (store, report) = open(&disk.crash(), Config::default());
    assert_eq!((report.rows, report.damaged_commits), (200, 0));
    let after = (store.stats(), store.generations(topic), store.cursor(topic, 0));
    assert_eq!(before, after);
}

#[test]
fn a_checkpoint_is_of_entries_that_stay_small() {
    let disk = SimDisk::new(20);
    let (store, _) = open(&disk, Config::default());
    let topic = TopicId::new();
    let chain = |generation: u32| vec![u8::try_from(generation).unwrap(); 9 << 20];
    for generation in 1..=5 {
        store.promote(topic, "t", generation, &chain(generation), &[(0, 7)].into()).unwrap();
    }
    let before = store.log.lock().topics.clone();
    store.log.lock().checkpoint().unwrap();
    drop(store);
    let entries = Look::at(&*disk, Path::new("store/COMMITS")).unwrap().entries;
    let largest = entries.iter().map(|(_, entry)| entry.len()).max().unwrap();
    assert!(largest < 16 << 20, "{largest} bytes in one of {} entries", entries.len());
    let (store, _) = open(&disk, Config::default());
    assert!(store.log.lock().topics == before);
    assert_eq!(store.generations(topic).iter().map(|entry| entry.generation).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
}
