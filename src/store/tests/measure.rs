//! What a row costs. Prints; fails only when rows are lost or the figures are absurd.
//!
//! By default a few generated access lines, so that it always runs. To measure:
//! `SAWBOX_MEASURE_LINES=2000000 SAWBOX_ACCESS_LOG=<file> cargo test --release --lib store::tests::measure -- --nocapture`
//! `SAWBOX_MEASURE_TEXTS=<file>` for lines of any log, or JSON objects a line, of which fields are made; what keeping payloads adds.

use std::sync::Arc;

use super::super::{Config, Store};
use super::TODAY;
use crate::base::clock::RealClock;
use crate::base::disk::RealDisk;
use crate::base::ids::TopicId;
use crate::base::record::RecordView;
use crate::base::row::{Cell, KeepPayload, RowHead, Rows, Value};
use crate::base::time::{self, DAY_NS};
use crate::base::units::Bytes;

const NAMES: [&str; 12] = [
    "clientip",
    "ident",
    "auth",
    "verb",
    "request",
    "httpversion",
    "response",
    "bytes",
    "referrer",
    "agent",
    "host",
    "message",
];
const BATCH: usize = 1024;

/// Names that senders make up, in many partitions: what the store says that it holds is what the process takes for it.
/// `SAWBOX_MEASURE_NAMES=100` says of how many partitions; measured with that test alone.
#[test]
fn what_made_up_names_take_is_counted() {
    let asked = std::env::var("SAWBOX_MEASURE_NAMES").ok().and_then(|text| text.parse().ok());
    let (partitions, records): (u32, u64) = asked.map_or((40, 80), |partitions| (partitions, 1000));
    let disk = tempfile::tempdir().unwrap();
    let config = Config { memory: Bytes(1 << 40), ..Config::default() };
    let store = Store::open_idle(Arc::new(RealDisk::open(disk.path()).unwrap()), Arc::new(RealClock::new()), config).unwrap().0;
    let (topic, before) = (TopicId::new(), resident());
    let mut met = 0;
    for record in 0..records {
        let mut rows = Rows::default();
        for name in 0..200u32 {
            rows.names.push(format!("{:08x}", record * 200 + u64::from(name)).into());
            rows.cells.push(Cell { name, value: Value::Str(b"value") });
        }
        let offset = record / u64::from(partitions);
        rows.heads.push(RowHead { time_ns: TODAY, arrival_ns: TODAY, offset, n: 0, cells: (0, 200) });
        let partition = u32::try_from(record % u64::from(partitions)).unwrap();
        store.append(topic, "t", partition, 1, &rows, offset + 1).unwrap();
        met += 200;
    }
    let (counted, held) = (store.counters().memory(), store.topic(topic).unwrap().state.lock().active.open_columns());
    println!("{met} names, {held} columns in open groups: {counted} bytes counted, {} taken", resident() - before);
    assert_eq!(held, met);
    // A column, its name, and a value.
    assert!(counted > met * 300 && counted < met * 1200, "{counted}");
}

/// Bytes of memory that the process has.
fn resident() -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<i64>().ok()).unwrap_or(0) * 1024
}

fn lines() -> Vec<String> {
    if let Some(path) = std::env::var_os("SAWBOX_ACCESS_LOG") {
        return std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect();
    }
    let line = |i: u64| {
        let (a, b) = (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40, i.wrapping_mul(0xc2b2_ae3d_27d4_eb4f) >> 44);
        format!(
            "10.0.{}.{} - - [17/May/2015:10:05:03 +0000] \"GET /item/{}?q={} HTTP/1.1\" {} {} \"http://shop.example/\" \"Mozilla/5.0 ({})\"",
            a % 7,
            b % 200,
            a % 500,
            b % 90,
            [200, 304, 404, 503][(b % 4) as usize],
            a,
            b % 60
        )
    };
    (0..2000).map(line).collect()
}

/// A line with its clock moved: what a real log of many days would be.
fn moved(line: &str, time_ns: i64) -> String {
    let Some((head, rest)) = line.split_once('[') else { return line.to_owned() };
    let Some((_, tail)) = rest.split_once(']') else { return line.to_owned() };
    let of_day = time_ns.rem_euclid(DAY_NS) / 1_000_000_000;
    format!("{head}[20/Nov/2026:{:02}:{:02}:{:02} +0000]{tail}", of_day / 3600, of_day / 60 % 60, of_day % 60)
}

fn cut(line: &str) -> Option<[&str; 9]> {
    let (ip, rest) = line.split_once(' ')?;
    let (ident, rest) = rest.split_once(' ')?;
    let (auth, rest) = rest.split_once(" [")?;
    let (_, rest) = rest.split_once("] \"")?;
    let (request, rest) = rest.split_once("\" ")?;
    let mut words = request.splitn(3, ' ');
    let (verb, path, version) = (words.next()?, words.next()?, words.next()?);
    let (response, rest) = rest.split_once(' ')?;
    let (bytes, rest) = rest.split_once(" \"")?;
    let (referrer, agent) = rest.split_once("\" \"")?;
    let _ = bytes;
    Some([ip, ident, auth, verb, path, version, response, referrer, agent.trim_end_matches('"')])
}

fn cells<'a>(line: &'a str, out: &mut Vec<Cell<'a>>) {
    let mut add = |name: u32, value: Value<'a>| out.push(Cell { name, value });
    if let Some([ip, ident, auth, verb, path, version, response, referrer, agent]) = cut(line) {
        for (name, text) in [(0, ip), (1, ident), (2, auth), (3, verb), (4, path), (5, version), (8, referrer), (9, agent)] {
            add(name, Value::Str(text.as_bytes()));
        }
        add(6, Value::Int(response.parse().unwrap_or(0)));
        if let Some(bytes) = line.split("\" ").nth(1).and_then(|rest| rest.split(' ').nth(1)?.parse().ok()) {
            add(7, Value::Int(bytes));
        }
    }
    add(10, Value::Str(b"web1"));
    add(11, Value::Str(line.as_bytes()));
}

/// CPU time of this thread, in nanoseconds.
fn cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(0)
}

#[test]
fn what_a_row_costs() {
    let wanted: usize = std::env::var("SAWBOX_MEASURE_LINES").ok().and_then(|text| text.parse().ok()).unwrap_or(20_000);
    let sample = lines();
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(RealDisk::open(dir.path()).unwrap());
    let (store, _) = Store::open_idle(disk, Arc::new(RealClock::new()), Config::default()).unwrap();
    let topic = TopicId::new();
    let names: Vec<Arc<str>> = NAMES.iter().map(|name| Arc::from(*name)).collect();
    let (mut append_ns, mut flush_ns, mut raw, mut done) = (0, 0, 0, 0usize);
    let step = (DAY_NS / 2) / i64::try_from(wanted).unwrap();
    while done < wanted {
        let batch: Vec<(String, i64)> = (done..(done + BATCH).min(wanted))
            .map(|i| {
                let time_ns = TODAY + i64::try_from(i).unwrap() * step / 1_000_000_000 * 1_000_000_000;
                (moved(&sample[i % sample.len()], time_ns), time_ns)
            })
            .collect();
        let mut rows = Rows { names: names.clone(), ..Rows::default() };
        for (at, (line, time_ns)) in batch.iter().enumerate() {
            let start = u32::try_from(rows.cells.len()).unwrap();
            cells(line, &mut rows.cells);
            raw += line.len() + 1;
            let cells = (start, u32::try_from(rows.cells.len()).unwrap());
            rows.heads.push(RowHead { time_ns: *time_ns, arrival_ns: *time_ns, offset: (done + at) as u64, n: 0, cells });
        }
        done += batch.len();
        let before = cpu_ns();
        store.append(topic, "access", 0, 1, &rows, done as u64).unwrap();
        append_ns += cpu_ns() - before;
        if store.counters().memory() > store.flush_mark() {
            let before = cpu_ns();
            store.flush_all().unwrap();
            flush_ns += cpu_ns() - before;
        }
    }
    let before = cpu_ns();
    store.flush_all().unwrap();
    flush_ns += cpu_ns() - before;
    let stats = store.stats().remove(0);
    assert_eq!(stats.rows, wanted as u64);
    let before = cpu_ns();
    let merges = store.merge_all().unwrap();
    let merge_ns = cpu_ns() - before;
    let rows = wanted as u64;
    println!(
        "{rows} rows, {raw} bytes raw: append {} ns/row, flush {} ns/row, {} parts, {} bytes on disk, ratio {:.1}; {merges} merges {} ns/row",
        append_ns / rows,
        flush_ns / rows,
        stats.parts,
        stats.disk_bytes,
        raw as f64 / stats.disk_bytes as f64,
        merge_ns / rows,
    );
    assert!(raw as u64 > stats.disk_bytes * 2);
}

/// A line as a lane gives it: an object's members, or the message.
fn members(line: &str) -> Vec<(String, serde_json::Value)> {
    match serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(line) {
        Ok(all) => {
            all.into_iter().map(|(name, value)| (if name == "_msg" { "message".to_owned() } else { name }, value)).collect()
        }
        Err(_) => vec![("message".to_owned(), line.into())],
    }
}

#[test]
fn what_texts_cost() {
    let path = std::env::var_os("SAWBOX_MEASURE_TEXTS");
    let lines = path.map_or_else(lines, |path| std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect());
    for keep in [KeepPayload::Never, KeepPayload::Derived] {
        let dir = tempfile::tempdir().unwrap();
        let disk = Arc::new(RealDisk::open(dir.path()).unwrap());
        let (store, _) = Store::open_idle(disk, Arc::new(RealClock::new()), Config::default()).unwrap();
        let (topic, mut raw, mut append_ns, mut flush_ns) = (TopicId::new(), 0, 0, 0);
        for (number, batch) in lines.chunks(BATCH).enumerate() {
            let made: Vec<_> = batch.iter().map(|line| members(line)).collect();
            let mut rows = Rows { keep, ..Rows::default() };
            for (at, (line, members)) in batch.iter().zip(&made).enumerate() {
                let start = u32::try_from(rows.cells.len()).unwrap();
                let mut time_ns = TODAY;
                for (name, value) in members {
                    if name == "_time" {
                        time_ns = value.as_str().and_then(time::parse).unwrap_or(TODAY);
                        continue;
                    }
                    let name = rows.names.iter().position(|own| **own == **name).unwrap_or_else(|| {
                        rows.names.push(name.as_str().into());
                        rows.names.len() - 1
                    });
                    let value = match value {
                        serde_json::Value::String(text) => Value::Str(text.as_bytes()),
                        serde_json::Value::Bool(value) => Value::Bool(*value),
                        serde_json::Value::Number(number) => {
                            number.as_i64().map_or(Value::Float(number.as_f64().unwrap()), Value::Int)
                        }
                        _ => continue,
                    };
                    rows.cells.push(Cell { name: u32::try_from(name).unwrap(), value });
                }
                let cells = (start, u32::try_from(rows.cells.len()).unwrap());
                rows.heads.push(RowHead { time_ns, arrival_ns: time_ns, offset: (number * BATCH + at) as u64, n: 0, cells });
                rows.payloads.push(Some(line.as_bytes()));
                rows.records.records.push(RecordView {
                    offset: (number * BATCH + at) as u64,
                    arrival_ns: TODAY + i64::try_from(number).unwrap() * 1_234_567,
                    timestamp_ms: TODAY / 1_000_000,
                    key: None,
                    payload: line.as_bytes(),
                    headers: (u32::try_from(2 * at).unwrap(), u32::try_from(2 * at + 2).unwrap()),
                });
                rows.records.headers.extend([(&b"_peer"[..], &b"192.0.2.7"[..]), (b"_receiver", b"http")]);
                raw += line.len() + 1;
            }
            let before = cpu_ns();
            store.append(topic, "t", 0, 1, &rows, (number * BATCH + batch.len()) as u64).unwrap();
            append_ns += cpu_ns() - before;
            if store.counters().memory() > store.flush_mark() {
                let before = cpu_ns();
                store.flush_all().unwrap();
                flush_ns += cpu_ns() - before;
            }
        }
        let before = cpu_ns();
        store.flush_all().unwrap();
        flush_ns += cpu_ns() - before;
        let (disk, rows) = (store.stats().iter().map(|topic| topic.disk_bytes).sum::<u64>(), lines.len() as u64);
        println!(
            "{keep:?}: {rows} rows, {raw} bytes raw, {disk} on disk; append {} ns/row, flush {} ns/row",
            append_ns / rows,
            flush_ns / rows
        );
        assert_eq!(store.stats().iter().map(|topic| topic.rows).sum::<u64>(), rows);
        assert!(disk < raw as u64);
    }
}
