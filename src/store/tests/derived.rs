//! Messages that parts do not store: they come back as they were, whatever rows are like and whatever happens to bytes.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, prop_assert_eq, proptest};

use super::super::{Config, Store};
use super::damage::{every_bit_is_somebodys, open};
use super::{Owned, SeenRows, TODAY, TestRow, read, rows};
use crate::base::clock::SimClock;
use crate::base::disk::sim::SimDisk;
use crate::base::ids::TopicId;

const SECOND: i64 = 1_000_000_000;

fn str(text: impl Into<String>) -> Owned {
    Owned::Str(text.into().into_bytes())
}

/// An access line and the fields cut from it; every 97th is a line that no field was cut from.
fn access(i: u64) -> TestRow {
    let noise = i.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let second = i as i64 / 7;
    let (client, id) = (format!("10.0.{}.{}", noise >> 58, noise >> 40 & 0xff), format!("{noise:016x}"));
    let (status, bytes, took) = ([200, 304, 404, 503][(noise & 3) as usize], noise >> 50, noise & 3);
    let stamp = format!("20/Nov/2026:{:02}:{:02}:{:02} +0100", 1 + second / 3600, second / 60 % 60, second % 60);
    let user = (noise >> 8 & 3 == 0).then(|| format!("user{}", noise >> 10 & 0xff));
    let shown = user.as_deref().unwrap_or("-");
    let line =
        format!("{client} - {shown} [{stamp}] \"GET /item/{id} HTTP/1.1\" {status} {bytes} \"-\" {took}/{}", noise & 0xff);
    let mut cells = vec![("message".to_owned(), if i % 97 == 5 { str(format!("{line} and more")) } else { str(&line) })];
    cells.extend([
        ("host".to_owned(), str("shop-1")),
        ("clientip".to_owned(), str(client)),
        ("verb".to_owned(), str("GET")),
        ("request".to_owned(), str(format!("/item/{id}"))),
        ("httpversion".to_owned(), str("1.1")),
        ("response".to_owned(), Owned::Int(status)),
        ("bytes".to_owned(), Owned::Int(bytes as i64)),
        ("reqsec".to_owned(), Owned::Int(took as i64)),
        ("reqms".to_owned(), Owned::Int((noise & 0xff) as i64)),
    ]);
    cells.extend(user.map(|user| ("auth".to_owned(), str(user))));
    TestRow { time_ns: TODAY + second * SECOND, arrival_ns: TODAY + second * SECOND, offset: i, n: 0, cells }
}

fn expected(topic: TopicId, of: &[TestRow]) -> SeenRows {
    of.iter().map(|row| ((topic, 0, row.offset, row.n), row.seen(1))).collect()
}

fn part_bytes(disk: &SimDisk) -> u64 {
    disk.files().iter().filter(|(path, _)| path.extension().is_some()).map(|(_, bytes)| *bytes).sum()
}

#[test]
fn a_line_that_fields_were_cut_from_costs_nothing_and_comes_back() {
    let sizes = ["message", "elsewhere"].map(|name| {
        let disk = SimDisk::new(1);
        let config = Config { merge_parts: 2, ..Config::default() };
        let store = Store::open_idle(disk.clone(), Arc::new(SimClock::at(TODAY)), config).unwrap().0;
        let topic = TopicId::new();
        let mut all: Vec<TestRow> = (0..20_000).map(access).collect();
        all.iter_mut().for_each(|row| row.cells[0].0 = name.to_owned());
        for half in all.chunks(10_000) {
            store.append(topic, "t", 0, 1, &rows(half), half[half.len() - 1].offset + 1).unwrap();
            store.flush_all().unwrap();
        }
        assert_eq!(read(&store.snapshot(None, None, None)), expected(topic, &all));
        let flushed = part_bytes(&disk);
        assert_eq!(store.merge_all().unwrap(), 1);
        assert_eq!(read(&store.snapshot(None, None, None)), expected(topic, &all));
        (flushed, part_bytes(&disk))
    });
    // The same lines under another name are stored: the identifier in them alone is 8 bytes a row that no one can shorten.
    let [derived, stored] = sizes;
    assert!(derived.0 + 20_000 * 8 < stored.0, "flushed: {derived:?} against {stored:?}");
    assert!(derived.1 + 20_000 * 8 < stored.1, "merged: {derived:?} against {stored:?}");
}

#[test]
fn flipped_bits_make_no_message_that_was_not_there() {
    let disk = SimDisk::new(2);
    let store = open(&disk);
    let all: Vec<TestRow> = (0..700).map(access).collect();
    store.append(TopicId::new(), "t", 0, 1, &rows(&all), 700).unwrap();
    store.flush_all().unwrap();
    drop(store);
    // A message goes with any of the columns that it is made of.
    every_bit_is_somebodys(&disk, 13, 3);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Values that are alike, so that a template that is guessed wrong is the rule.
    #[test]
    fn wrong_guesses_cost_no_truth(shapes in vec((0usize..6, vec(0usize..9, 3)), 100..400)) {
        const WORDS: [&str; 9] = ["0", "1", "10", "a", "a b", "", "-", "b", "1.5"];
        let row = |(i, (shape, words)): (usize, &(usize, Vec<usize>))| {
            let [a, b, c] = [WORDS[words[0]], WORDS[words[1]], WORDS[words[2]]];
            let message = match shape {
                0 => format!("{a} {b} {c} {i}"),
                1 => format!("{c}/{b} [{a}] {i}"),
                2 => format!("{a}{b}{c}{i}"),
                3 => format!("{i}: a {b} 10 {c}"),
                4 => format!("2026-11-20T00:00:{:02}Z {a} {i}", i % 60),
                _ => format!("{i}"),
            };
            let mut cells = vec![("message".to_owned(), str(message)), ("i".to_owned(), Owned::Int(i as i64))];
            cells.extend([("a", a), ("b", b)].map(|(name, value)| (name.to_owned(), str(value))));
            cells.push(("c".to_owned(), c.parse().map_or_else(|_| str(c), Owned::Float)));
            let time_ns = TODAY + i as i64 % 60 * SECOND;
            TestRow { time_ns, arrival_ns: TODAY, offset: i as u64, n: 0, cells }
        };
        let all: Vec<TestRow> = shapes.iter().enumerate().map(row).collect();
        let disk = SimDisk::new(3);
        let config = Config { merge_parts: 2, ..Config::default() };
        let store = Store::open_idle(disk.clone(), Arc::new(SimClock::at(TODAY)), config).unwrap().0;
        let topic = TopicId::new();
        for half in all.chunks(all.len() / 2 + 1) {
            store.append(topic, "t", 0, 1, &rows(half), half[half.len() - 1].offset + 1).unwrap();
            store.flush_all().unwrap();
        }
        prop_assert_eq!(read(&store.snapshot(None, None, None)), expected(topic, &all));
        store.merge_all().unwrap();
        prop_assert_eq!(read(&store.snapshot(None, None, None)), expected(topic, &all));
    }
}
