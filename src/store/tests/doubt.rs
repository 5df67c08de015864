//! A log that lost entries: what they may have named stays, over starts, commits and checkpoints, until a repair takes it in.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::super::query::{self, Cancel, Request, parse};
use super::super::unseen::Told;
use super::super::{Config, OpenReport, Store};
use super::fixtures::bytes_of;
use super::tools::{content, look, put, repaired};
use super::{Owned, SeenRows, TODAY, TestRow, read, rows};
use crate::base::clock::{Clock, SimClock};
use crate::base::disk::Disk;
use crate::base::disk::sim::SimDisk;
use crate::base::ids::TopicId;
use crate::base::journal::Look as JournalLook;

const COMMITS: &str = "store/COMMITS";
const DOUBT: &str = "store/DOUBT";
const DAY: Duration = Duration::from_secs(86_400);

fn open_at(disk: &Arc<SimDisk>, clock: &Arc<SimClock>) -> (Arc<Store>, OpenReport) {
    let config = Config { merge_parts: 3, ..Config::default() };
    Store::open_idle(disk.clone(), clock.clone(), config).unwrap()
}

fn open(disk: &Arc<SimDisk>) -> (Arc<Store>, OpenReport) {
    open_at(disk, &Arc::new(SimClock::at(TODAY)))
}

fn flush(store: &Store, topic: TopicId, from: u64) {
    let row = |offset: u64| {
        let cells = vec![("message".to_owned(), Owned::Str(format!("row {offset}").into_bytes()))];
        TestRow { time_ns: TODAY, arrival_ns: TODAY, offset, n: 0, cells }
    };
    let some: Vec<TestRow> = (from..from + 10).map(row).collect();
    store.append(topic, "t", 0, 1, &rows(&some), from + 10).unwrap();
    store.flush_all().unwrap();
}

/// A disk of a store that had so many flushes of ten rows and was closed, and what it showed.
fn filled(flushes: u64, merge: bool) -> (Arc<SimDisk>, TopicId, SeenRows) {
    let (disk, topic) = (SimDisk::new(7), TopicId::new());
    let (store, _) = open(&disk);
    (0..flushes).for_each(|nth| flush(&store, topic, nth * 10));
    if merge {
        store.merge_all().unwrap();
    }
    let seen = read(&store.snapshot(None, None, None));
    assert_eq!(seen.len() as u64, flushes * 10);
    (disk, topic, seen)
}

fn parts(disk: &SimDisk) -> BTreeSet<PathBuf> {
    content(disk).into_keys().filter(|path| path.extension().is_some_and(|kind| kind == "part")).collect()
}

fn is_doubted(disk: &SimDisk) -> bool {
    disk.files().iter().any(|(path, _)| path == Path::new(DOUBT))
}

/// What queries say of rows that are not seen: before kept files are looked at, and afterwards.
fn told(store: &Store) -> (Told, Told) {
    let tell = || store.unseen((None, None), None, None);
    let before = tell();
    store.look_at_kept();
    (before, tell())
}

/// Where each entry of the log begins, and where the last one ends.
fn entries(disk: &SimDisk) -> Vec<usize> {
    let look = JournalLook::at(disk, Path::new(COMMITS)).unwrap();
    let ends = look.entries.iter().scan(0, |at, (_, payload)| {
        *at += payload.len() + 20;
        Some(*at)
    });
    std::iter::once(0).chain(ends).collect()
}

/// Starts, works on and ends ordinarily a few times: files that an earlier start kept are there afterwards, and a repair shows all.
fn stays_until_repaired(disk: &Arc<SimDisk>, topic: TopicId, kept: u64, wanted: &SeenRows) {
    let before = parts(disk);
    assert!(!look(disk).log().is_whole(), "a repair before the start has something to do");
    let (store, report) = open(disk);
    assert_eq!((report.orphans_kept, report.orphans_removed), (kept, 0), "{report:?}");
    assert_eq!(told(&store), (Told::Unknown, Told::Unseen), "queries say so");
    flush(&store, topic, 1000);
    store.log.lock().checkpoint().unwrap();
    drop(store);
    let (store, report) = open(disk);
    assert_eq!((report.orphans_kept, report.orphans_removed, report.damaged_commits), (kept, 0, 0), "{report:?}");
    // What a crash leaves now goes.
    let last = parts(disk).into_iter().max_by_key(|path| path.file_name().unwrap().to_owned()).unwrap();
    let crashed = last.with_file_name(format!("{:016x}.part", 0x7777));
    put(disk, &crashed, &bytes_of(&**disk, &last));
    drop(store);
    let (store, report) = open(disk);
    assert_eq!((report.orphans_kept, report.orphans_removed), (kept, 1), "{report:?}");
    drop(store);
    assert!(parts(disk).is_superset(&before) && is_doubted(disk));
    let unnamed = look(disk).verify(&mut |_| {}).unwrap().findings;
    assert_eq!(unnamed.iter().filter(|one| one.costs.contains("store repair")).count() as u64, kept, "{unnamed:?}");
    repaired(disk, false);
    let (store, report) = open(disk);
    assert_eq!((report.orphans_kept, report.orphans_removed, report.parts_missing), (0, 0, 0), "{report:?}");
    assert_eq!(told(&store), (Told::Nothing, Told::Nothing));
    let seen = read(&store.snapshot(None, None, None));
    assert!(wanted.iter().all(|(place, row)| seen.get(place) == Some(row)), "{} rows of {}", seen.len(), wanted.len() + 10);
    assert_eq!(seen.len(), wanted.len() + 10, "none twice");
    assert!(!is_doubted(disk) && look(disk).log().is_whole());
}

#[test]
fn a_log_that_is_gone_takes_no_part_with_it() {
    let (disk, topic, wanted) = filled(4, false);
    disk.remove_file(Path::new(COMMITS)).unwrap();
    stays_until_repaired(&disk, topic, 4, &wanted);
}

#[test]
fn a_log_that_is_empty_takes_no_part_with_it() {
    let (disk, topic, wanted) = filled(4, false);
    put(&disk, Path::new(COMMITS), b"");
    let found = look(&disk).verify(&mut |_| {}).unwrap();
    assert!(found.damages() > 0, "{found:?}");
    stays_until_repaired(&disk, topic, 4, &wanted);
}

#[test]
fn a_bit_of_the_last_entry_costs_no_part() {
    for merge in [false, true] {
        let flushes = if merge { 3 } else { 4 };
        let (length, from) = {
            let places = entries(&filled(flushes, merge).0);
            (places[places.len() - 1] - places[places.len() - 2], places[places.len() - 2])
        };
        // Each bit of its head, some of what it says.
        for bit in (0..20 * 8).step_by(5).chain((20 * 8..length * 8).step_by(997)) {
            let (disk, topic, wanted) = filled(flushes, merge);
            disk.flip_bit(Path::new(COMMITS), (from * 8 + bit) as u64);
            stays_until_repaired(&disk, topic, 1, &wanted);
        }
    }
}

/// As a copy of a running box's directory may have it, or a log that lost its tail.
#[test]
fn a_log_that_is_older_than_its_parts_takes_none_with_it() {
    let (disk, topic, wanted) = filled(3, false);
    let older = log_of(&disk);
    let (store, _) = open(&disk);
    assert!(store.merge_all().is_ok());
    drop(store);
    assert_eq!(parts(&disk).len(), 1, "merged");
    put(&disk, Path::new(COMMITS), &older);
    let plan = look(&disk).plan_repair(false, TODAY, &mut |_| {}).unwrap();
    assert!(plan.steps.iter().any(|step| step.starts_with("take in")), "{:?}", plan.steps);
    stays_until_repaired(&disk, topic, 1, &wanted);
}

#[test]
fn damage_inside_is_remembered_when_the_log_is_written_anew() {
    let (disk, topic, wanted) = filled(4, false);
    disk.flip_bit(Path::new(COMMITS), (entries(&disk)[2] as u64 + 40) * 8);
    stays_until_repaired(&disk, topic, 1, &wanted);
}

#[test]
fn what_crashes_leave_goes_while_old_damage_is_still_in_the_log() {
    let (disk, topic, _) = filled(4, false);
    disk.flip_bit(Path::new(COMMITS), (entries(&disk)[2] as u64 + 40) * 8);
    for nth in 0..3 {
        let (store, report) = open(&disk);
        assert_eq!((report.damaged_commits, report.orphans_kept, report.orphans_removed), (1, 1, u64::from(nth > 0)));
        flush(&store, topic, 100 + nth * 10);
        drop(store);
        let last = parts(&disk).into_iter().max_by_key(|path| path.file_name().unwrap().to_owned()).unwrap();
        put(&disk, &last.with_file_name(format!("{:016x}.part", 0x100 * (nth + 1))), b"never whole");
    }
}

#[test]
fn ordinary_crashes_leave_nothing() {
    // In the first flush of all, too.
    let whole = filled(1, false).0;
    let path = parts(&whole).into_iter().next().unwrap();
    let disk = SimDisk::new(8);
    drop(open(&disk));
    put(&disk, &path, &bytes_of(&*whole, &path));
    let (_, report) = open(&disk);
    assert_eq!((report.orphans_kept, report.orphans_removed), (0, 1));
    // And where an entry was cut short.
    let (disk, ..) = filled(3, false);
    let log = bytes_of(&*disk, Path::new(COMMITS));
    let from = entries(&disk)[3];
    for cut in from + 1..log.len() {
        let (disk, topic, _) = filled(3, false);
        put(&disk, Path::new(COMMITS), &log_of(&disk)[..cut]);
        let (store, report) = open(&disk);
        assert_eq!((report.orphans_kept, report.orphans_removed), (0, 1), "cut at {cut}");
        assert_eq!(store.cursor(topic, 0), Some(20));
        assert!(!is_doubted(&disk));
    }
}

#[test]
fn queries_say_that_rows_are_not_seen_where_these_would_be() {
    let (disk, topic, _) = filled(2, false);
    disk.remove_file(Path::new(COMMITS)).unwrap();
    let (store, _) = open(&disk);
    let ask = |change: &dyn Fn(&mut Request)| {
        let mut request = Request::new(parse("*").unwrap());
        change(&mut request);
        let stats =
            query::run(&store, &request, &Cancel::new(Arc::new(SimClock::at(TODAY))), &mut |_| ControlFlow::Continue(()))
                .unwrap();
        (stats.partial, stats.note.unwrap_or_default())
    };
    assert!(ask(&|_| ()).1.contains("looked at"));
    store.look_at_kept();
    let (is_partial, note) = ask(&|_| ());
    assert!(is_partial && note.contains("`sawbox store repair`"), "{note}");
    assert!(ask(&|request| request.topic_id = Some(topic)).0 && !ask(&|request| request.topic_id = Some(TopicId::new())).0);
    assert!(ask(&|request| request.topics = Some(vec!["t".to_owned()])).0);
    assert!(!ask(&|request| request.topics = Some(vec!["other".to_owned()])).0);
    assert!(ask(&|request| request.from_ns = Some(TODAY)).0 && !ask(&|request| request.from_ns = Some(TODAY + 1)).0);
    assert!(!ask(&|request| request.to_ns = Some(TODAY)).0 && ask(&|request| request.to_ns = Some(TODAY + 1)).0);
    // A lane makes the records again that the queue still has: first those of one part, then the others, then by a later filter.
    flush(&store, topic, 0);
    assert_eq!(told(&store), (Told::Unseen, Told::Unseen));
    flush(&store, topic, 10);
    assert_eq!(told(&store), (Told::Unseen, Told::Nothing));
    assert!(!ask(&|_| ()).0);
}

#[test]
fn rows_that_were_deleted_or_that_others_have_are_not_missed() {
    // An entry of a merge was lost, and all it was made of is there.
    let (disk, ..) = filled(3, false);
    let before = content(&disk);
    let (store, _) = open(&disk);
    store.merge_all().unwrap();
    drop(store);
    let places = entries(&disk);
    let lost = places[places.len() - 2] as u64;
    for (path, bytes) in before.into_iter().filter(|(path, _)| path.extension().is_some_and(|kind| kind == "part")) {
        put(&disk, &path, &bytes);
    }
    disk.flip_bit(Path::new(COMMITS), (lost + 30) * 8);
    let (store, report) = open(&disk);
    assert_eq!((report.orphans_kept, report.orphans_removed, report.parts_missing), (1, 0, 0));
    assert_eq!(told(&store), (Told::Unknown, Told::Nothing));
    drop(store);
    // The entry of a flush was lost, and its rows are deleted before anybody looks.
    let (disk, topic, _) = filled(3, false);
    let lost = entries(&disk)[1] as u64;
    disk.flip_bit(Path::new(COMMITS), (lost + 30) * 8);
    let (store, _) = open(&disk);
    assert_eq!(told(&store), (Told::Unknown, Told::Unseen));
    store.delete_rows(topic, "t", &[(0, 0, 9)]).unwrap();
    assert_eq!(told(&store), (Told::Unseen, Told::Unseen), "one is left");
    store.delete_rows(topic, "t", &[(0, 9, 10)]).unwrap();
    assert_eq!(told(&store), (Told::Unseen, Told::Nothing));
}

#[test]
fn a_kept_file_that_cannot_be_read_may_hold_anything() {
    let (disk, ..) = filled(2, false);
    disk.remove_file(Path::new(COMMITS)).unwrap();
    for path in parts(&disk) {
        put(&disk, &path, b"nothing of a part");
    }
    let (store, _) = open(&disk);
    assert_eq!(told(&store), (Told::Unknown, Told::Unseen));
    assert_eq!(store.unseen((Some(TODAY + 1), None), Some(&["other".to_owned()]), None), Told::Unseen);
}

fn log_of(disk: &SimDisk) -> Vec<u8> {
    bytes_of(disk, Path::new(COMMITS))
}

#[test]
fn what_is_kept_goes_with_the_rows_of_its_time() {
    let (disk, topic, _) = filled(3, false);
    disk.remove_file(Path::new(COMMITS)).unwrap();
    let clock = Arc::new(SimClock::at(TODAY));
    for (days, kept) in [(0, 3), (25, 3), (5, 3), (3, 0)] {
        clock.advance(DAY * days);
        let (store, report) = open_at(&disk, &clock);
        assert_eq!((report.orphans_kept, report.orphans_removed), (kept, 3 - kept), "{}", clock.now_ns());
        store.append(topic, "t", 0, 1, &rows(&[]), 1000).unwrap();
        store.flush_all().unwrap();
    }
    assert!(!is_doubted(&disk));
}

#[test]
fn a_doubt_that_makes_no_sense_keeps_all() {
    let (disk, ..) = filled(3, false);
    let part = parts(&disk).into_iter().next().unwrap();
    put(&disk, &part.with_file_name(format!("{:016x}.part", 0x99)), b"whatever");
    put(&disk, Path::new(DOUBT), b"{\"v\":1,\"bel");
    let (_, report) = open(&disk);
    assert_eq!((report.orphans_kept, report.orphans_removed), (1, 0));
}

#[test]
fn a_directory_in_place_of_a_part_is_no_reason_not_to_start() {
    let (disk, topic, _) = filled(2, false);
    let path = parts(&disk).into_iter().next().unwrap();
    disk.remove_file(&path).unwrap();
    disk.create_dir_all(&path).unwrap();
    for repaired in [false, true] {
        let (store, report) = open(&disk);
        assert_eq!((report.parts_missing, report.orphans_removed), (u64::from(!repaired), 0));
        drop(store);
        super::tools::repaired(&disk, false);
    }
    let (store, _) = open(&disk);
    assert_eq!(store.cursor(topic, 0), Some(20));
    assert_eq!(read(&store.snapshot(None, None, None)).len(), 10);
}

#[test]
fn a_full_disk_is_no_reason_not_to_start() {
    let (disk, ..) = filled(3, false);
    disk.remove_file(Path::new(COMMITS)).unwrap();
    let used: u64 = disk.files().iter().map(|(_, bytes)| bytes).sum();
    disk.set_capacity(Some(used));
    for _ in 0..2 {
        let (_, report) = open(&disk);
        assert_eq!((report.orphans_kept, report.orphans_removed), (3, 0));
    }
}
