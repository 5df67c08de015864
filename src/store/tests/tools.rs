//! The tools: what they list adds up to what is there, every flipped bit is found, and what a repair leaves is sound.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proptest::prelude::*;

use super::super::query::{Cancel, Request, complete_of, parse, search};
use super::super::tools::{Look, State, repair};
use super::super::{Config, Snapshot, Store};
use super::fixtures::{bytes_of, fill};
use super::{Owned, SeenRows, TODAY, TestRow, read, rows};
use crate::base::clock::SimClock;
use crate::base::disk::Disk;
use crate::base::disk::sim::SimDisk;
use crate::base::ids::TopicId;
use crate::base::time::DAY_NS;

const COMMITS: &str = "store/COMMITS";

fn open(disk: &Arc<SimDisk>) -> Arc<Store> {
    let config = Config { merge_parts: 2, ..Config::default() };
    Store::open_idle(disk.clone(), Arc::new(SimClock::at(TODAY)), config).unwrap().0
}

pub fn look(disk: &Arc<SimDisk>) -> Look {
    Look::at(disk.clone()).unwrap()
}

fn row(offset: u64, time_ns: i64) -> TestRow {
    let noise = offset.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let cells = vec![
        ("message".to_owned(), Owned::Str(format!("{:x} of {offset}", noise >> 20).into_bytes())),
        ("app".to_owned(), Owned::Str([b"shop", b"cart"][(noise >> 60 & 1) as usize].to_vec())),
        ("size".to_owned(), Owned::Int(i64::try_from(noise >> 50).unwrap())),
        ("code".to_owned(), Owned::Int(200 + i64::try_from(noise >> 62).unwrap())),
        ("tags".to_owned(), Owned::Str(b"a".to_vec())),
        ("tags".to_owned(), Owned::Str(b"b".to_vec())),
    ];
    TestRow { time_ns, arrival_ns: TODAY, offset, n: 0, cells }
}

pub fn content(disk: &SimDisk) -> BTreeMap<PathBuf, Vec<u8>> {
    disk.files().into_iter().map(|(path, _)| (path.clone(), bytes_of(disk, &path))).collect()
}

pub fn put(disk: &SimDisk, path: &Path, bytes: &[u8]) {
    disk.create_dir_all(path.parent().unwrap()).unwrap();
    let file = disk.open(path, true).unwrap();
    file.set_len(0).unwrap();
    file.write_at(bytes, 0).unwrap();
    file.sync_data().unwrap();
    disk.sync_dir(path.parent().unwrap()).unwrap();
}

pub fn repaired(disk: &Arc<SimDisk>, rewrite: bool) -> (Vec<String>, Vec<String>) {
    let look = look(disk);
    let before = content(disk);
    let plan = look.plan_repair(rewrite, TODAY, &mut |_| {}).unwrap();
    assert_eq!(content(disk), before, "a plan changes nothing");
    let said = (plan.steps.clone(), plan.unknown.clone());
    repair::apply(&look, plan).unwrap();
    for (path, bytes) in before.into_iter().filter(|(path, _)| path.extension().is_some_and(|kind| kind == "part")) {
        let aside = Path::new(repair::QUARANTINE).join(&path);
        assert!(disk.files().iter().any(|(own, _)| *own == path || *own == aside), "{} is gone", path.display());
        if disk.files().iter().any(|(own, _)| *own == path) {
            assert_eq!(bytes_of(&**disk, &path), bytes, "{} was changed", path.display());
        }
    }
    said
}

#[test]
fn lists_and_sizes_add_up() {
    let disk = SimDisk::new(1);
    fill(&open(&disk));
    let before = content(&disk);
    let look = look(&disk);
    let parts = look.parts().unwrap();
    let files: BTreeMap<String, u64> = disk
        .files()
        .into_iter()
        .filter(|(path, _)| path.extension().is_some_and(|kind| kind == "part"))
        .map(|(path, bytes)| (path.display().to_string(), bytes))
        .collect();
    assert_eq!(parts.iter().map(|part| (part.path.clone(), part.bytes)).collect::<BTreeMap<_, _>>(), files);
    let staged: Vec<_> = parts.iter().filter(|part| part.state == State::Staged).collect();
    assert_eq!((staged.len(), staged[0].replay, &staged[0].generations), (1, Some(2), &vec![4]));
    let late: Vec<_> = parts.iter().filter(|part| part.day.is_none()).collect();
    assert_eq!((late.len(), late[0].topic.as_str(), late[0].rows), (1, "late", 3));
    assert!(parts.iter().any(|part| part.masked) && parts.iter().any(|part| part.generations == [1, 2]));
    let store = open(&disk);
    for topic in look.columns(None) {
        let own = store.stats().into_iter().find(|own| own.name == topic.topic).unwrap();
        assert_eq!((topic.rows, topic.bytes, topic.parts, topic.unreadable), (own.rows, own.disk_bytes, own.parts, 0));
        let of = |name: &str| topic.sections.get(name).copied().unwrap_or(0);
        let columns: u64 = topic.columns.iter().map(|column| column.bytes).sum();
        assert_eq!(columns, of("column data") + of("dictionaries"), "{}", topic.topic);
        let frame: u64 = topic.sections.values().sum();
        assert!(frame <= topic.bytes && topic.bytes - frame <= topic.parts * 350, "{frame} of {}", topic.bytes);
        for column in &topic.columns {
            let beside = column.dictionary_bytes + column.pair_bytes;
            assert_eq!(column.encodings.values().sum::<u64>() + beside, column.bytes);
            assert!(!column.encodings.contains_key("other"), "name the encodings of `{}` in survey.rs", column.name);
        }
    }
    let web = look.columns(Some("web")).remove(0);
    let column = |name: &str, kind: &str| web.columns.iter().find(|own| *own.name == *name && own.kind == kind).unwrap();
    let count = |name: &str, strings: bool| {
        let snapshot = Snapshot { sources: look.sources((None, None), Some(&["web".into()])) };
        let mut values = BTreeSet::new();
        let mut rows = 0;
        for source in snapshot.sources {
            for (at, column) in source.columns().iter().enumerate().filter(|(_, column)| *column.name == *name) {
                for group in 0..source.groups() {
                    let Some(chunk) = source.column(group, at).unwrap() else { continue };
                    for row in 0..source.rows(group) {
                        let Some(value) = super::value(&chunk, row, column.kind) else { continue };
                        if matches!(value, super::Seen::Str(_)) == strings {
                            rows += 1;
                            values.insert(format!("{value:?}"));
                        }
                    }
                }
            }
        }
        (rows, values.len() as u64)
    };
    assert_eq!((column("clientip", "string").rows, column("clientip", "string").distinct), {
        let (rows, values) = count("clientip", true);
        (rows, Some(values))
    });
    assert_eq!(column("status", "integer").rows, count("status", false).0);
    assert_eq!(column("status", "string").rows, count("status", true).0);
    assert_eq!(column("_time", "time").rows, web.rows);
    drop(store);
    assert_eq!(content(&disk), before, "who looks changes nothing");
}

#[test]
fn every_flipped_bit_is_reported() {
    let disk = SimDisk::new(2);
    fill(&open(&disk));
    assert_eq!(look(&disk).verify(&mut |_| {}).unwrap().findings, []);
    let mut checked = 0;
    for (path, bytes) in content(&disk) {
        let step = if bytes.len() > 3000 { 37 } else { 11 };
        for at in (0..bytes.len()).step_by(step) {
            let is_part = path.extension().is_some_and(|kind| kind == "part");
            if is_part && (10..16).contains(&at) {
                // Padding of the head is nobody's.
                continue;
            }
            let mut wrong = bytes.clone();
            wrong[at] ^= 1 << (at % 8);
            put(&disk, &path, &wrong);
            let Ok(look) = Look::at(disk.clone()) else { panic!("{} at {at}", path.display()) };
            let report = look.verify(&mut |_| {}).unwrap();
            let named = report.findings.iter().any(|finding| finding.path == path.display().to_string());
            // The last entry of the log may be one that was torn.
            assert!(named && (report.damages() > 0 || !is_part), "{} at {at}: {report:?}", path.display());
            checked += 1;
        }
        put(&disk, &path, &bytes);
    }
    assert!(checked > 500, "{checked}");
    let mut last = 0;
    let report = look(&disk).verify(&mut |now| last = now.bytes.0).unwrap();
    assert!(report.findings.is_empty() && last > report.bytes / 2 && last <= report.bytes);
}

/// A store with parts of several days, some of them merged.
fn days(disk: &Arc<SimDisk>, topic: TopicId) -> SeenRows {
    let store = open(disk);
    for batch in 0..7u64 {
        let some: Vec<TestRow> =
            (batch * 100..batch * 100 + 100).map(|i| row(i, TODAY + i64::try_from(i % 3).unwrap() * DAY_NS / 3)).collect();
        store.append(topic, "web", 0, 1, &rows(&some), batch * 100 + 100).unwrap();
        store.flush_all().unwrap();
    }
    store.merge_all().unwrap();
    read(&store.snapshot(None, None, None))
}

#[test]
fn a_lost_log_is_made_of_what_parts_say() {
    let (disk, topic) = (SimDisk::new(3), TopicId::new());
    let before = days(&disk, topic);
    disk.remove_file(Path::new(COMMITS)).unwrap();
    assert!(look(&disk).verify(&mut |_| {}).unwrap().damages() > 0);
    let (steps, unknown) = repaired(&disk, false);
    assert!(steps.iter().any(|step| step.starts_with("take in ")), "{steps:?}");
    assert!(unknown.iter().any(|unknown| unknown.contains("delet")), "{unknown:?}");
    let store = open(&disk);
    assert_eq!(read(&store.snapshot(None, None, None)), before);
    assert_eq!((store.cursor(topic, 0), store.stats()[0].name.as_str()), (Some(700), "web"));
    assert_eq!(store.generations(topic).len(), 1, "its number is not given away again");
    store.merge_all().unwrap();
    assert_eq!(read(&store.snapshot(None, None, None)), before);
    drop(store);
    assert_eq!(look(&disk).verify(&mut |_| {}).unwrap().findings, []);
    assert!(look(&disk).plan_repair(false, TODAY, &mut |_| {}).unwrap().is_empty());
}

#[test]
fn a_part_that_cannot_be_opened_moves_aside() {
    let (disk, topic) = (SimDisk::new(4), TopicId::new());
    let before = days(&disk, topic);
    let part = look(&disk).parts().unwrap().remove(0);
    let path = PathBuf::from(&part.path);
    let mut bytes = bytes_of(&*disk, &path);
    let end = bytes.len() - 30;
    bytes[end] ^= 1;
    put(&disk, &path, &bytes);
    let (steps, unknown) = repaired(&disk, false);
    assert_eq!((steps.len(), unknown.len()), (1, 0), "{steps:?}");
    let store = open(&disk);
    let seen = read(&store.snapshot(None, None, None));
    assert_eq!(seen.len() as u64 + part.rows, before.len() as u64);
    assert!(seen.iter().all(|(place, row)| before.get(place) == Some(row)));
    assert_eq!(store.cursor(topic, 0), Some(700), "what is lost is not made again by itself");
    drop(store);
    assert_eq!(bytes_of(&*disk, &Path::new(repair::QUARANTINE).join(path)), bytes);
}

#[test]
fn a_part_that_cannot_be_opened_is_told_of_by_any_query() {
    let (disk, topic) = (SimDisk::new(7), TopicId::new());
    days(&disk, topic);
    let parts = look(&disk).parts().unwrap();
    let path = PathBuf::from(&parts[0].path);
    let mut bytes = bytes_of(&*disk, &path);
    let end = bytes.len() - 30;
    bytes[end] ^= 1;
    put(&disk, &path, &bytes);
    let store = open(&disk);
    for (text, told) in [
        ("*", 1),
        ("* | stats count()", 1),
        ("app:shop", 1),
        ("app:shop | stats count()", 1),
        ("app:shop | stats count() by code", 1),
        ("not app:shop | limit 500", 1),
        ("none:x", 1),
        ("* | top 3 code", 1),
        ("* | stats count() by code", 1),
        ("* | stats count() by code | sort -count() | limit 3", 1),
        ("not app:none | stats count()", 1),
        ("* | eval big = size > 5 | where big:true", 1),
        ("* | sort -size | limit 3", 1),
        ("_topic:other app:shop", 0),
        ("_time<2001-01-01T00:00:00Z app:shop", 0),
    ] {
        let cancel = Cancel::new(Arc::new(SimClock::at(TODAY)));
        let request = Request { limit: 1000, ..Request::new(parse(text).unwrap()) };
        let sources = store.snapshot(None, None, None).sources;
        let stats = search(&sources, &request, &cancel, &mut |_| ControlFlow::Continue(())).unwrap();
        assert_eq!((stats.damaged, stats.partial), (told, told > 0), "{text}: {stats:?}");
    }
    let cancel = Cancel::new(Arc::new(SimClock::at(TODAY)));
    let request = Request::new(parse("*").unwrap());
    let sources = store.snapshot(None, None, None).sources;
    assert!(complete_of(&sources, &request, "app:", 4, &cancel).unwrap().partial);
}

#[test]
fn a_part_in_the_place_of_another_is_damaged() {
    let disk = SimDisk::new(9);
    let store = open(&disk);
    for (name, count) in [("web", 100u64), ("api", 100), ("shop", 300)] {
        let some: Vec<TestRow> = (0..count).map(|offset| row(offset, TODAY)).collect();
        store.append(TopicId::new(), name, 0, 1, &rows(&some), count).unwrap();
    }
    store.flush_all().unwrap();
    drop(store);
    let parts = look(&disk).parts().unwrap();
    let [one, two] = [&parts[0], &parts[1]].map(|part| PathBuf::from(&part.path));
    let (first, second) = (bytes_of(&*disk, &one), bytes_of(&*disk, &two));
    put(&disk, &one, &second);
    put(&disk, &two, &first);
    let cancel = Cancel::new(Arc::new(SimClock::at(TODAY)));
    let request = Request { limit: 1000, ..Request::new(parse("*").unwrap()) };
    let mut seen = 0;
    let sources = open(&disk).snapshot(None, None, None).sources;
    let stats = search(&sources, &request, &cancel, &mut |_| {
        seen += 1;
        ControlFlow::Continue(())
    });
    let stats = stats.unwrap();
    assert_eq!((seen, stats.damaged, stats.partial), (500 - parts[0].rows - parts[1].rows, 2, true));
}

#[test]
fn a_repair_says_which_rows_it_costs() {
    let (disk, topic) = (SimDisk::new(10), TopicId::new());
    days(&disk, topic);
    let part = look(&disk).parts().unwrap().remove(0);
    let path = PathBuf::from(&part.path);
    let mut bytes = bytes_of(&*disk, &path);
    // The first chunk of a part is of times.
    bytes[16] ^= 1;
    put(&disk, &path, &bytes);
    let steps = repaired(&disk, true).0.join("; ");
    assert!(steps.contains(&format!("without up to {} rows of which nobody knows", part.rows)), "{steps}");
}

#[test]
fn what_a_newer_sawbox_wrote_is_left_alone() {
    let (disk, topic) = (SimDisk::new(5), TopicId::new());
    days(&disk, topic);
    let path = PathBuf::from(&look(&disk).parts().unwrap()[0].path);
    let mut bytes = bytes_of(&*disk, &path);
    bytes[8] = 200;
    put(&disk, &path, &bytes);
    let refused = look(&disk).plan_repair(true, TODAY, &mut |_| {});
    assert!(matches!(refused, Err(super::super::StoreError::Newer { version: 200, .. })), "{refused:?}");
}

#[test]
fn damaged_chunks_cost_their_values_and_no_more() {
    let (disk, topic) = (SimDisk::new(6), TopicId::new());
    let before = days(&disk, topic);
    let part = look(&disk).parts().unwrap().remove(0);
    let path = PathBuf::from(&part.path);
    let whole = bytes_of(&*disk, &path);
    let mut kinds = BTreeSet::new();
    for at in (16..whole.len()).step_by((whole.len() / 150).max(1)) {
        let mut bytes = whole.clone();
        bytes[at] ^= 4;
        put(&disk, &path, &bytes);
        let found = look(&disk).verify(&mut |_| {}).unwrap().findings;
        let fields: BTreeSet<String> =
            found.iter().filter_map(|one| one.field.as_ref()).map(|(name, _)| name.to_string()).collect();
        if found.iter().any(|one| one.rows_lost > 0) {
            kinds.insert("rows".to_owned());
            continue;
        }
        kinds.extend(fields.iter().cloned());
        let state = content(&disk);
        repaired(&disk, true);
        assert_eq!(look(&disk).verify(&mut |_| {}).unwrap().findings, [], "at {at}");
        let seen = read(&open(&disk).snapshot(None, None, None));
        assert_eq!(seen.len(), before.len(), "at {at}");
        for (place, wanted) in &before {
            let mut wanted = wanted.clone();
            let mut own = seen[place].clone();
            // Values of other parts are all there; of this one the damaged fields are not.
            wanted.fields.retain(|name, _| !fields.contains(name) || own.fields.contains_key(name));
            own.fields.retain(|name, _| wanted.fields.contains_key(name));
            assert_eq!(own, wanted, "at {at}");
        }
        for (file, _) in disk.files() {
            disk.remove_file(&file).unwrap();
        }
        state.iter().for_each(|(path, bytes)| put(&disk, path, bytes));
    }
    for kind in ["message", "app", "rows", "code"] {
        assert!(kinds.contains(kind), "{kinds:?}");
    }
}

#[test]
fn damaged_counts_of_numbers_cost_no_row() {
    let disk = SimDisk::new(8);
    let code = |offset: u64| Owned::Int(200 + i64::try_from(offset % 3).unwrap());
    let row = |offset: u64| TestRow { cells: vec![("code".into(), code(offset))], ..row(offset, TODAY) };
    let store = open(&disk);
    store.append(TopicId::new(), "web", 0, 1, &rows(&(0..600).map(row).collect::<Vec<_>>()), 600).unwrap();
    store.flush_all().unwrap();
    drop(store);
    let path = PathBuf::from(&look(&disk).parts().unwrap()[0].path);
    let whole = bytes_of(&*disk, &path);
    let mut counts = 0;
    for at in 16..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        put(&disk, &path, &bytes);
        let found = look(&disk).verify(&mut |_| {}).unwrap().findings;
        assert!(found.iter().all(|one| !one.costs.contains("in up to 0 rows")), "{found:?}");
        if found.iter().any(|one| one.costs.starts_with("no rows: what is counted of `code`")) {
            let cancel = Cancel::new(Arc::new(SimClock::at(TODAY)));
            let request = Request::new(parse("* | stats count() by code | sort code").unwrap());
            let mut answer = String::new();
            let sources = open(&disk).snapshot(None, None, None).sources;
            let stats = search(&sources, &request, &cancel, &mut |row| {
                answer.push_str(&row.to_json());
                ControlFlow::Continue(())
            });
            assert_eq!(answer, r#"{"code":200,"count()":200}{"code":201,"count()":200}{"code":202,"count()":200}"#);
            assert_eq!(stats.unwrap().damaged, 0);
            counts += 1;
        }
    }
    assert!(counts > 10, "{counts}");
}

#[derive(Clone, Debug)]
enum Op {
    Append(u32, u64),
    Flush,
    Merge,
    /// The power goes within so many operations of a flush and a merge.
    PowerOff(u64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0u32..2, 1u64..80).prop_map(|(partition, count)| Op::Append(partition, count)),
        3 => Just(Op::Flush),
        2 => Just(Op::Merge),
        1 => (0u64..60).prop_map(Op::PowerOff),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever part of the log is lost, and whatever merges left behind: what was durable is seen, each row once.
    #[test]
    fn no_row_is_lost_or_doubled_with_the_log(ops in prop::collection::vec(op(), 1..20), lost in any::<prop::sample::Index>(), all in any::<bool>()) {
        let topic = TopicId::new();
        let mut disk = SimDisk::new(9);
        let mut store = open(&disk);
        let mut next = BTreeMap::<u32, u64>::new();
        // Files that merges have removed may be there still.
        let mut removed = BTreeMap::<PathBuf, Vec<u8>>::new();
        for op in &ops {
            removed.extend(content(&disk).into_iter().filter(|(path, _)| path.extension().is_some_and(|kind| kind == "part")));
            match *op {
                Op::Append(partition, count) => {
                    let from = *next.entry(partition).or_default();
                    let some: Vec<TestRow> = (from..from + count).map(|i| row(i, TODAY - (i / 3 % 4).cast_signed() * DAY_NS)).collect();
                    store.append(topic, "web", partition, 1, &rows(&some), from + count).unwrap();
                    next.insert(partition, from + count);
                }
                Op::Flush => store.flush_all().unwrap(),
                Op::Merge => { store.merge_all().unwrap(); }
                Op::PowerOff(operations) => {
                    disk.power_off_after(operations);
                    let _ = store.flush_all().and_then(|()| store.merge_all());
                    disk = disk.crash();
                    store = open(&disk);
                    next = next.keys().map(|partition| (*partition, store.cursor(topic, *partition).unwrap_or(0))).collect();
                }
            }
        }
        store.flush_all().unwrap();
        let before = read(&store.snapshot(None, None, None));
        drop(store);
        // Parts of the merges that are no longer named; a crash within a flush may have left others, which were swept.
        let known: BTreeSet<(u32, u64)> = before.keys().map(|(_, partition, offset, _)| (*partition, *offset)).collect();
        for (path, bytes) in removed {
            put(&disk, &path, &bytes);
        }
        let path = Path::new(COMMITS);
        if all {
            disk.remove_file(path).unwrap();
        } else {
            let mut bytes = bytes_of(&*disk, path);
            if !bytes.is_empty() {
                let at = lost.index(bytes.len());
                bytes[at] ^= 0x20;
                put(&disk, path, &bytes);
            }
        }
        if look(&disk).log().is_whole() {
            return Ok(());
        }
        repaired(&disk, false);
        let seen = read(&open(&disk).snapshot(None, None, None));
        for (place, row) in &before {
            prop_assert_eq!(seen.get(place), Some(row));
        }
        // What is more than was durable was written by flushes that no commit followed: of records that are the same.
        prop_assert!(seen.len() >= known.len());
        prop_assert_eq!(look(&disk).verify(&mut |_| {}).unwrap().damages(), 0);
    }
}
