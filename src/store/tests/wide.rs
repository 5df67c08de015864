//! Very many columns: no part is written whose directory is not read back, and none is committed that cannot be.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::super::tools::State;
use super::super::{Config, Store, StoreError};
use super::payload::is_on_disk;
use super::tools::look;
use super::{Owned, TODAY, TestRow, read, rows};
use crate::base::clock::SimClock;
use crate::base::disk::sim::SimDisk;
use crate::base::disk::{Disk, DiskFile, Entry, Mapped, Space};
use crate::base::ids::TopicId;

fn open(disk: &Arc<dyn Disk>, directory_bytes: usize) -> Arc<Store> {
    let config = Config { merge_parts: 2, ..Config::default() };
    let (mut store, _) = Store::open_idle(disk.clone(), Arc::new(SimClock::at(TODAY)), config).unwrap();
    Arc::get_mut(&mut store).unwrap().directory_bytes = directory_bytes;
    store
}

/// A row with so many fields that no other row has, of names of 100 bytes.
fn row(offset: u64, fields: u64) -> TestRow {
    let field = |at: u64| (format!("{:=<100}", format!("f{offset}.{at}.")), Owned::Int(i64::try_from(at).unwrap()));
    let message = ("message".to_owned(), Owned::Str(format!("secret {offset}.").into_bytes()));
    let cells = (0..fields).map(field).chain([message]).collect();
    TestRow { time_ns: TODAY, arrival_ns: TODAY, offset, n: 0, cells }
}

fn append(store: &Store, topic: TopicId, from: u64, count: u64, fields: u64) -> Vec<TestRow> {
    let some: Vec<TestRow> = (from..from + count).map(|offset| row(offset, fields)).collect();
    store.append(topic, "t", 0, 1, &rows(&some), from + count).unwrap();
    some
}

fn is_sound(store: &Store, disk: &Arc<SimDisk>, topic: TopicId, all: &[TestRow]) {
    let wanted = all.iter().map(|row| ((topic, 0, row.offset, 0), row.seen(1))).collect();
    assert_eq!(read(&store.snapshot(None, None, None)), wanted);
    assert_eq!(look(disk).verify(&mut |_| {}).unwrap().findings, []);
    let raw: u64 = look(disk).parts().unwrap().iter().map(|part| part.rows).sum();
    assert_eq!(raw, all.len() as u64);
}

#[test]
fn a_flush_of_too_many_columns_makes_several_parts() {
    let disk = SimDisk::new(1);
    let (whole, topic) = (disk.clone() as Arc<dyn Disk>, TopicId::new());
    let store = open(&whole, 64 << 10);
    let all = append(&store, topic, 0, 101, 20);
    store.flush_all().unwrap();
    let parts = store.stats()[0].parts;
    assert!((4..=16).contains(&parts), "{parts} parts of 200 KiB of names, 64 KiB each");
    is_sound(&store, &disk, topic, &all);
    drop(store);
    let store = open(&(disk.crash() as Arc<dyn Disk>), 64 << 10);
    assert_eq!((store.cursor(topic, 0), read(&store.snapshot(None, None, None)).len()), (Some(101), 101));
}

#[test]
fn merges_end_before_a_directory_is_too_large_and_deleted_rows_go_all_the_same() {
    let disk = SimDisk::new(2);
    let (whole, topic) = (disk.clone() as Arc<dyn Disk>, TopicId::new());
    let store = open(&whole, 1 << 20);
    let mut all = Vec::new();
    for flush in 0..20 {
        all.extend(append(&store, topic, flush * 10, 10, 10));
        store.flush_all().unwrap();
    }
    store.merge_all().unwrap();
    let parts = store.stats()[0].parts;
    assert!((2..=10).contains(&parts), "{parts} parts: small ones are merged, large ones are not");
    is_sound(&store, &disk, topic, &all);
    let large = look(&disk).parts().unwrap().iter().map(|part| part.rows).max().unwrap();
    assert!(large >= 40, "{large} rows in the largest of {parts}");

    // Rows of few fields are merged beside them.
    for flush in 20..60 {
        all.extend(append(&store, topic, flush * 10, 10, 0));
        store.flush_all().unwrap();
    }
    store.merge_all().unwrap();
    assert!(store.stats()[0].parts <= parts + 4, "{} parts, {parts} before", store.stats()[0].parts);
    is_sound(&store, &disk, topic, &all);

    assert!(is_on_disk(&disk, b"f7.3.==="));
    store.delete_rows(topic, "t", &[(0, 0, 100)]).unwrap();
    store.merge_all().unwrap();
    assert!(!is_on_disk(&disk, b"f7.3.==="), "a part that is kept out of merges is written anew");
    is_sound(&store, &disk, topic, &all[100..]);
}

/// A disk that gives other bytes back than it was given, of parts that are written while it is bad.
#[derive(Debug)]
struct BadDisk {
    disk: Arc<SimDisk>,
    is_bad: AtomicBool,
}

impl BadDisk {
    fn sound(&self) -> BTreeSet<PathBuf> {
        let parts = look(&self.disk).parts().unwrap().into_iter();
        parts.filter(|part| part.state == State::Live).map(|part| part.path.into()).collect()
    }
}

impl Disk for BadDisk {
    fn map(&self, path: &Path) -> io::Result<Mapped> {
        let mapped = self.disk.map(path)?;
        if !self.is_bad.load(Ordering::Relaxed) || self.sound().contains(path) {
            return Ok(mapped);
        }
        // Within the sections of the directory.
        let mut bytes = mapped.to_vec();
        let at = bytes.len() - 300;
        bytes[at] ^= 1;
        Ok(Mapped::Held(bytes.into()))
    }

    fn open(&self, path: &Path, create: bool) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.open(path, create)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_dir_all(path)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir_all(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.sync_dir(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        self.disk.list(path)
    }

    fn space(&self) -> io::Result<Space> {
        self.disk.space()
    }
}

#[test]
fn a_part_that_cannot_be_read_back_takes_nothings_place() {
    let bad = Arc::new(BadDisk { disk: SimDisk::new(3), is_bad: AtomicBool::new(false) });
    let (disk, whole, topic) = (bad.disk.clone(), bad.clone() as Arc<dyn Disk>, TopicId::new());
    let store = open(&whole, 16 << 20);
    let mut all = append(&store, topic, 0, 50, 5);
    store.flush_all().unwrap();
    all.extend(append(&store, topic, 50, 50, 5));
    store.flush_all().unwrap();
    let before = bad.sound();
    bad.is_bad.store(true, Ordering::Relaxed);
    store.merge_all().unwrap();
    assert_eq!(store.counters().merge_errors.load(Ordering::Relaxed), 1);
    assert_eq!(bad.sound(), before, "what was to be merged stays");
    is_sound(&store, &disk, topic, &all);

    all.extend(append(&store, topic, 100, 50, 5));
    let refused = store.flush_all();
    assert!(matches!(refused, Err(StoreError::Damaged { .. })), "{refused:?}");
    assert_eq!((store.cursor(topic, 0), bad.sound()), (Some(100), before), "its rows come again");
    assert_eq!(read(&store.snapshot(None, None, None)).len(), 150);
    bad.is_bad.store(false, Ordering::Relaxed);
    store.flush_all().unwrap();
    assert_eq!(store.cursor(topic, 0), Some(150));
    is_sound(&store, &disk, topic, &all);
    let parts = disk.files().iter().filter(|(path, _)| path.extension().is_some_and(|kind| kind == "part")).count();
    assert_eq!(parts, 3, "{:?}", disk.files());
}
