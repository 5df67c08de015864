//! What earlier versions wrote stays readable: data directories made by each of them, and everything that is to be seen in them.
//!
//! `fixtures/README.md` says what they are and how the next one is made. A fixture is never made anew: it is what it is because the
//! version that wrote it is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::super::append::Given;
use super::super::commits::GenerationEntry;
use super::super::part::FIRST_FIELD;
use super::super::part::read::PartSource;
use super::super::source::Source;
use super::super::{Config, JobEntry, Stage, Store};
use super::{Owned, Seen, TODAY, TestRow, rows, value};
use crate::base::clock::SimClock;
use crate::base::disk::sim::SimDisk;
use crate::base::disk::{Disk, RealDisk};
use crate::base::ids::TopicId;
use crate::base::journal::Journal;
use crate::base::time::DAY_NS;

const SECOND: i64 = 1_000_000_000;
const COMMITS: &str = "store/COMMITS";
const EXPECTED: &str = "expected.json";

fn fixtures() -> PathBuf {
    PathBuf::from("src/store/tests/fixtures")
}

pub fn bytes_of(disk: &dyn Disk, path: &Path) -> Vec<u8> {
    let file = disk.open(path, false).unwrap();
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    assert_eq!(file.read_at(&mut bytes, 0).unwrap(), bytes.len());
    bytes
}

fn files_below(disk: &dyn Disk, path: &Path, into: &mut Vec<PathBuf>) {
    for entry in disk.list(path).unwrap() {
        let path = path.join(entry.name);
        if entry.is_dir { files_below(disk, &path, into) } else { into.push(path) }
    }
}

fn copy(from: &dyn Disk, to: &dyn Disk, path: &Path) {
    to.create_dir_all(path.parent().unwrap()).unwrap();
    let bytes = bytes_of(from, path);
    let file = to.open(path, true).unwrap();
    file.set_len(0).unwrap();
    file.write_at(&bytes, 0).unwrap();
    file.sync_data().unwrap();
    to.sync_dir(path.parent().unwrap()).unwrap();
}

fn open(disk: &Arc<SimDisk>) -> (Arc<Store>, super::super::OpenReport) {
    let config = Config { merge_parts: 2, ..Config::default() };
    Store::open_idle(disk.clone(), Arc::new(SimClock::at(TODAY)), config).unwrap()
}

fn as_json(value: &Seen) -> Value {
    let bytes = |bytes: &[u8]| match std::str::from_utf8(bytes) {
        Ok(text) => json!(text),
        Err(_) => json!({ "base64": STANDARD.encode(bytes) }),
    };
    match value {
        Seen::Str(text) => bytes(text),
        Seen::List(items) => json!({ "list": items.iter().map(|item| bytes(item)).collect::<Vec<_>>() }),
        Seen::Int(int) => json!(int),
        Seen::Float(bits) => json!({ "bits": format!("{bits:016x}") }),
        Seen::Bool(bool) => json!(bool),
    }
}

/// Every row of every source, those that a mask hides marked; sorted, so that it does not matter where they lie.
fn all_rows(store: &Store) -> Vec<Value> {
    let mut all = BTreeMap::new();
    for source in store.snapshot(None, None, None).sources {
        for group in 0..source.groups() {
            let (times, lineage, deleted) =
                (source.times(group).unwrap(), source.lineage(group).unwrap(), source.deleted(group));
            let chunks: Vec<_> = (0..source.columns().len()).map(|column| source.column(group, column).unwrap()).collect();
            for row in 0..source.rows(group) {
                let mut fields = Map::new();
                for (column, chunk) in source.columns().iter().zip(&chunks) {
                    if let Some(seen) = chunk.as_ref().and_then(|chunk| value(chunk, row, column.kind)) {
                        assert!(fields.insert(column.name.to_string(), as_json(&seen)).is_none());
                    }
                }
                let hidden = deleted.as_ref().is_some_and(|words| words[row / 64] >> (row % 64) & 1 == 1);
                let (generation, offset) = (lineage.generations[row], lineage.offsets[row]);
                let place = (source.topic_name(), lineage.partitions[row], offset, lineage.ns[row], generation);
                let mut one = json!({ "row": place, "time": times[row], "fields": fields });
                if hidden {
                    one["hidden"] = json!(true);
                }
                assert!(all.insert(place, one).is_none());
            }
        }
    }
    all.into_values().collect()
}

fn visible(rows: &[Value]) -> Vec<&Value> {
    rows.iter().filter(|row| row["hidden"].is_null()).collect()
}

/// What the log says of topics.
fn all_topics(store: &Store) -> Vec<Value> {
    let log = store.log.lock();
    let generation =
        |entry: &GenerationEntry| json!([entry.generation, STANDARD.encode(&entry.chain), entry.from, entry.ranges]);
    let of = |(id, topic): (&TopicId, &super::super::commits::TopicState)| {
        let keyed = |partition: &u32| {
            let (next, state) = store.keyed(*id, *partition).unwrap();
            let text = |bytes: &[u8]| STANDARD.encode(bytes);
            json!([partition, next, state.iter().map(|(key, value)| (text(key), text(value))).collect::<Vec<_>>()])
        };
        let job = |job: &JobEntry| json!([job.id, job.generation, job.open, STANDARD.encode(&job.record)]);
        json!({
            "id": id.to_string(),
            "name": topic.name,
            "cursors": topic.cursors,
            "parts": topic.parts.values().collect::<Vec<_>>(),
            "staged": topic.staged.values().collect::<Vec<_>>(),
            "generations": topic.generations.iter().map(generation).collect::<Vec<_>>(),
            "masks": topic.masks.all(),
            "jobs": topic.jobs.values().map(job).collect::<Vec<_>>(),
            "keyed": topic.keyed.keys().map(keyed).collect::<Vec<_>>(),
        })
    };
    log.topics.iter().map(of).collect()
}

/// Encodings of all chunks of all parts.
fn encodings(store: &Store) -> BTreeSet<u8> {
    let mut all = BTreeSet::new();
    for topic in store.all_topics() {
        let files: Vec<_> = topic.state.lock().parts.values().cloned().collect();
        for file in files {
            let source = PartSource::new(file, topic.id, "".into());
            let columns = u32::try_from(source.columns().len()).unwrap() + FIRST_FIELD;
            for (group, column) in (0..source.groups()).flat_map(|group| (0..columns).map(move |column| (group, column))) {
                all.extend(source.raw_chunk(group, column).unwrap().map(|(chunk, _)| chunk.encoding));
            }
        }
    }
    all
}

/// The versions of the log's entries.
fn log_versions(disk: &Arc<SimDisk>) -> BTreeSet<u64> {
    let (_, entries, _) = Journal::open(disk.clone(), Path::new(COMMITS)).unwrap();
    entries.iter().map(|entry| serde_json::from_slice::<Value>(entry).unwrap()["v"].as_u64().unwrap()).collect()
}

fn shown(disk: &Arc<SimDisk>, store: &Store) -> Value {
    json!({
        "encodings": encodings(store),
        "log": log_versions(disk),
        "topics": all_topics(store),
        "rows": all_rows(store),
    })
}

#[test]
fn what_earlier_versions_wrote_is_read_as_it_was() {
    let real = RealDisk::open(&fixtures()).unwrap();
    let versions: Vec<String> =
        real.list(Path::new("")).unwrap().into_iter().filter(|entry| entry.is_dir).map(|entry| entry.name).collect();
    assert!(!versions.is_empty());
    for version in versions {
        let own = RealDisk::open(&fixtures().join(&version)).unwrap();
        let expected: Value = serde_json::from_slice(&bytes_of(&own, Path::new(EXPECTED))).unwrap();
        let disk = SimDisk::new(1);
        let mut files = Vec::new();
        files_below(&own, Path::new("store"), &mut files);
        files.iter().for_each(|path| copy(&own, &*disk, path));
        let (store, report) = open(&disk);
        assert_eq!(
            (report.damaged_commits, report.torn_bytes, report.orphans_removed, report.parts_missing),
            (0, 0, 0, 0),
            "{version}"
        );
        let seen = shown(&disk, &store);
        for name in ["encodings", "log", "topics"] {
            assert_eq!(seen[name], expected[name], "{version}: {name}");
        }
        let (all, wanted) = (seen["rows"].as_array().unwrap(), expected["rows"].as_array().unwrap());
        assert_eq!(all.len(), wanted.len(), "{version}");
        for (row, wanted) in all.iter().zip(wanted) {
            assert_eq!(row, wanted, "{version}");
        }
        // What is made of them now says the same.
        while store.merge_all().unwrap() > 0 {}
        assert_eq!(visible(&all_rows(&store)), visible(wanted), "{version}, merged");
    }
}

fn str(text: impl Into<String>) -> Owned {
    Owned::Str(text.into().into_bytes())
}

/// A row that has a bit of everything.
fn a_row(i: u64, offset: u64, n: u16) -> TestRow {
    let noise = (i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23).wrapping_mul(0xd6e8_feb8_6659_fd93);
    let time_ns = TODAY + 3600 * SECOND + i64::try_from(i).unwrap() * 3 * SECOND;
    let [client, request] = [format!("10.0.0.{}", noise & 15), format!("/item/{noise:016x}")];
    let (status, size) = ([200, 304, 404, 503][(noise >> 8 & 3) as usize], i64::try_from(noise >> 50).unwrap());
    let (minutes, seconds) = (time_ns / SECOND / 60 % 60, time_ns / SECOND % 60);
    let message = match i % 7 {
        3 => format!("{:x} is a line that nothing was cut from", noise >> 30),
        0 | 1 => format!("2026-11-20 01:{minutes:02}:{seconds:02},000 {client} asks {request} and gets {status}"),
        _ => format!("{client} - - [20/Nov/2026:01:{minutes:02}:{seconds:02} +0000] \"GET {request}\" {status} {size}"),
    };
    let mut cells = vec![
        ("message", str(message)),
        ("host", str("shop-1")),
        ("clientip", str(client)),
        ("request", str(request)),
        ("blob", Owned::Str(noise.to_le_bytes()[..6].to_vec())),
        ("status", if i % 11 == 4 { str("-") } else { Owned::Int(status) }),
        ("size", Owned::Int(size)),
        ("seven", Owned::Int(7)),
        ("far", Owned::Int(i64::try_from(i).unwrap() * 1_000_003 - 5_000_000_000)),
        ("took", Owned::Float((noise >> 40 & 0xfff) as f64 / 1000.0)),
        ("ratio", Owned::Float([f64::NAN, -0.0, 1e300, 1.0 / (i + 1) as f64][(i % 4) as usize])),
        ("ok", Owned::Bool(noise & 1 == 1)),
        ("empty", str("")),
        ("tags", str(["web", "cart"][(noise & 1) as usize])),
        ("tags", str(["a", "b", "c"][(noise % 3) as usize])),
        ("kubernetes.labels.app", str(["shop", "pay"][(noise >> 2 & 1) as usize])),
    ];
    if i.is_multiple_of(2) {
        cells.extend(["x", "y"].map(|which| ("ids", str(format!("{which}{:012x}", noise >> 16)))));
    }
    if i % 50 == 9 {
        cells.extend([("größe", Owned::Int(i64::MIN + size)), ("rare", str("a value"))]);
    }
    let cells = cells.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    TestRow { time_ns, arrival_ns: time_ns, offset, n, cells }
}

/// Two rows of every record.
fn batch(from: u64, records: u64) -> Vec<TestRow> {
    (from..from + records).flat_map(|offset| [0, 1].map(|n| a_row(offset * 2 + u64::from(n), offset, n))).collect()
}

/// Does to a store all that leaves a trace on the disk.
pub fn fill(store: &Store) {
    let [web, late, held] = [1u8, 2, 3].map(|byte| TopicId::from_bytes([byte; 16]));
    let no_rows = rows(&[]);
    // Rows of eight days whose parts go, for all of it is deleted; and of others, which share one.
    let day = |i: u64| TestRow {
        time_ns: TODAY - i64::try_from(if i < 16 { i % 8 } else { i }).unwrap() * DAY_NS,
        cells: vec![("message".into(), str(format!("record {i}, late")))],
        ..a_row(i, i, 0)
    };
    store.append(late, "late", 0, 1, &rows(&(0..19).map(day).collect::<Vec<_>>()), 19).unwrap();
    store.flush_all().unwrap();
    store.delete_rows(late, "late", &[(0, 0, 16)]).unwrap();
    assert_eq!((store.merge_all().unwrap(), store.stats()[0].parts), (8, 1));
    store.promote(web, "web", 1, b"a chain", &BTreeMap::from([(0, 0), (1, 0)])).unwrap();
    store.append(web, "web", 0, 1, &rows(&batch(0, 60)), 60).unwrap();
    store.flush_all().unwrap();
    store.promote(web, "web", 2, b"another", &BTreeMap::from([(0, 60), (1, 0)])).unwrap();
    store.append(web, "web", 1, 2, &rows(&batch(100, 20)), 120).unwrap();
    store.delete_rows(web, "web", &[(0, 7, 9)]).unwrap();
    store.flush_all().unwrap();
    assert_eq!(store.merge_all().unwrap(), 1, "one part of two, without what is deleted");
    store.append(web, "web", 0, 2, &rows(&batch(60, 4)), 64).unwrap();
    store.flush_all().unwrap();
    // A replay that is done, and straddles parts; then one that is under way.
    for (id, generation, ends) in [(1, 3, true), (2, 4, false)] {
        let entry = |open| JobEntry { id, generation, open, record: Arc::from(format!("job {id}").as_bytes()) };
        store.put_job(web, "web", entry(true)).unwrap();
        let mut stage = Stage::new(web, &Arc::from("web"));
        stage.append(0, generation, &rows(&batch(58, 4)));
        let staged = store.write_stage(&mut stage).unwrap();
        store.commit_stage(staged, entry(true)).unwrap();
        if ends {
            let ranges = vec![(0, 58, 62)];
            let made = GenerationEntry { generation, chain: Arc::from(&b"third"[..]), from: BTreeMap::new(), ranges };
            store.finish_job(&store.no_merge(), web, "web", entry(false), made).unwrap();
        }
    }
    store.delete_rows(web, "web", &[(1, 103, 104)]).unwrap();
    // Keyed state, small and large.
    for (partition, length) in [(0, 10), (1, 5000)] {
        let value = |byte: u8| Some(Arc::from(vec![byte; length]));
        let keyed = vec![(Arc::from(&b"gone"[..]), None), (Arc::from(&b"key"[..]), value(7))];
        store.append_keyed(held, "held", partition, 1, Given { rows: &no_rows, from: 0, next: 5, keyed }).unwrap();
    }
    store.flush_all().unwrap();
}

/// Writes the fixture of the version that this is, when asked: `SAWBOX_WRITE_FIXTURE=NAME cargo test --lib fixtures`.
#[test]
fn the_next_fixture_can_be_made() {
    let disk = SimDisk::new(1);
    let (store, _) = open(&disk);
    fill(&store);
    let before = shown(&disk, &store);
    drop(store);
    let (store, report) = open(&disk);
    assert_eq!((report.orphans_removed, report.parts_missing), (0, 0));
    let after = shown(&disk, &store);
    assert_eq!(after, before);
    assert_eq!(after["log"], json!([1, 2]));
    let Ok(name) = std::env::var("SAWBOX_WRITE_FIXTURE") else { return };
    drop(store);
    let own = RealDisk::open(&fixtures().join(name)).unwrap();
    for (path, _) in disk.files() {
        copy(&*disk, &own, &path);
    }
    // A row a line: a difference is found by eye.
    let mut text = String::from("{\n");
    for name in ["encodings", "log"] {
        text += &format!("\"{name}\": {},\n", after[name]);
    }
    for name in ["topics", "rows"] {
        let lines: Vec<String> = after[name].as_array().unwrap().iter().map(Value::to_string).collect();
        text += &format!("\"{name}\": [\n{}\n]{}", lines.join(",\n"), if name == "topics" { ",\n" } else { "\n}\n" });
    }
    let file = own.open(Path::new(EXPECTED), true).unwrap();
    file.set_len(0).unwrap();
    file.write_at(text.as_bytes(), 0).unwrap();
    file.sync_data().unwrap();
}
