//! Free text comes back as it was, from parts and merged parts, and takes less than a compressor makes of it.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, any, prop_assert_eq, proptest};

use super::super::{Config, Store};
use super::damage::{every_bit_is_somebodys, open};
use super::pairs::{agree, quoted};
use super::{Owned, SeenRows, TODAY, TestRow, read, rows};
use crate::base::clock::SimClock;
use crate::base::disk::sim::SimDisk;
use crate::base::ids::TopicId;

fn noise(i: u64) -> u64 {
    (i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ i.wrapping_mul(0xc2b2_ae3d_27d4_eb4f) >> 7
}

/// What applications say: a few dozen lines of code, with numbers and identifiers in them.
fn line(i: u64) -> String {
    let (a, b) = (noise(i), noise(i ^ 0x5555));
    let place = a >> 59;
    match place % 8 {
        0 => format!("Received block blk_-{} of size 67108864 from /10.251.{}.{}", b >> 2, a & 255, b & 255),
        1 => format!("jk2_init() Found child {} in scoreboard slot {}", 10_000 + a % 20_000, b % 10),
        2 => format!("[instance: {:08x}-049b-41f6-9049-{:012x}] Took {}.{:02} seconds", a >> 32, b >> 16, a % 90, b % 100),
        3 => format!("pam_unix(sshd:auth): authentication failure; logname= uid=0 tty=ssh rhost=10.0.{}.{}", a & 3, b & 255),
        4 => format!("Finished task {}.0 in stage {}.0 (TID {}). {} bytes result sent", a % 90, b % 40, i, 2000 + b % 99),
        5 => "workerEnv.init() ok /etc/httpd/conf/workers2.properties".to_owned(),
        6 => format!("GET /v2/{a:016x}{b:016x}/servers status: {} len: {} trace {place}", 200 + a % 3, 1800 + b % 300),
        _ => format!("state.clipTopAmount:{}, i:{} of place {place}", a % 900, b % 3),
    }
}

fn row(i: u64, cells: Vec<(String, Owned)>) -> TestRow {
    let time_ns = TODAY + i as i64 * 1_000_000;
    TestRow { time_ns, arrival_ns: time_ns, offset: i, n: 0, cells }
}

fn expected(topic: TopicId, of: &[TestRow]) -> SeenRows {
    of.iter().map(|row| ((topic, 0, row.offset, row.n), row.seen(1))).collect()
}

fn part_bytes(disk: &SimDisk) -> u64 {
    disk.files().iter().filter(|(path, _)| path.extension().is_some()).map(|(_, bytes)| *bytes).sum()
}

/// Flushed in so many parts, then merged: what the parts take before and after.
fn stored(all: &[TestRow], parts: usize) -> (u64, u64) {
    let disk = SimDisk::new(1);
    let config = Config { merge_parts: parts.max(2), ..Config::default() };
    let store = Store::open_idle(disk.clone(), Arc::new(SimClock::at(TODAY)), config).unwrap().0;
    let topic = TopicId::new();
    for some in all.chunks(all.len().div_ceil(parts)) {
        store.append(topic, "t", 0, 1, &rows(some), some[some.len() - 1].offset + 1).unwrap();
        store.flush_all().unwrap();
    }
    assert_eq!(read(&store.snapshot(None, None, None)), expected(topic, all));
    let flushed = part_bytes(&disk);
    store.merge_all().unwrap();
    assert_eq!(read(&store.snapshot(None, None, None)), expected(topic, all));
    (flushed, part_bytes(&disk))
}

#[test]
fn lines_of_a_program_take_less_than_a_compressor_makes_of_them() {
    for name in ["message", "note"] {
        let lines: Vec<String> = (0..20_000).map(line).collect();
        let all: Vec<TestRow> = (0u64..)
            .zip(&lines)
            .map(|(i, line)| row(i, vec![(name.to_owned(), Owned::Str(line.clone().into_bytes()))]))
            .collect();
        let packed: usize =
            lines.chunks(8192).map(|some| zstd::bulk::compress(some.concat().as_bytes(), 1).unwrap().len()).sum();
        let (flushed, merged) = stored(&all, 2);
        // With the pairs of their words, which the compressor has not.
        let most = packed as u64;
        assert!(flushed < most, "{name}: {flushed} flushed, the texts alone {packed}");
        assert!(merged < most, "{name}: {merged} merged, the texts alone {packed}");
    }
}

#[test]
fn odd_rows_among_lines_come_back() {
    let cells = |i: u64| {
        let text = match i % 50 {
            1 => Vec::new(),
            2 => vec![0, 1, 2, 0],
            3 => b"\xff\xfe not text 12345".to_vec(),
            4 => format!("{} 777", "x".repeat(9000)).into_bytes(),
            5 => "1 22 333 ".repeat(60).into_bytes(),
            6 => {
                format!("only once: {}", ["a", "b", "c"].map(|word| word.repeat((noise(i) % 7) as usize)).concat()).into_bytes()
            }
            7 => return vec![("other".to_owned(), Owned::Int(7))],
            8 => return vec![("note".to_owned(), Owned::Int(i as i64))],
            9 => return ["a 12345", "b"].map(|text| ("note".to_owned(), Owned::Str(text.into()))).to_vec(),
            _ => line(i).into_bytes(),
        };
        vec![("note".to_owned(), Owned::Str(text))]
    };
    let all: Vec<TestRow> = (0..12_000).map(|i| row(i, cells(i))).collect();
    stored(&all, 3);
}

#[test]
fn parts_of_different_programs_are_merged() {
    // Shapes of one part are not the other's, and one of them has none at all.
    let text = |i: u64| match i / 4000 {
        0 => line(i),
        1 => format!("worker {} of pool-{} is idle since {} s", noise(i) % 64, noise(i) % 7, noise(i) % 5000),
        _ => ["red", "green", "blue"].map(|word| word.repeat((noise(i) >> 7) as usize % 4)).concat(),
    };
    let all: Vec<TestRow> = (0..12_000).map(|i| row(i, vec![("note".to_owned(), Owned::Str(text(i).into_bytes()))])).collect();
    stored(&all, 3);
}

#[test]
fn searches_ask_shapes_and_find_what_rows_say() {
    let odd = |i: u64| match i % 60 {
        7 => format!("once {} of its kind, Took {} seconds", "ab".repeat((noise(i) % 9) as usize), i),
        8 => "Took no time".to_owned(),
        _ => line(i),
    };
    let all: Vec<TestRow> = (0..9_000).map(|i| row(i, vec![("note".to_owned(), Owned::Str(odd(i).into_bytes()))])).collect();
    let mut questions: Vec<String> = [
        "found CHILD",
        "took",
        "Took no",
        "ound child",
        "2 seconds",
        "size 67108864",
        "67108864 from /10.251",
        "7108864 from",
        "trace",
        "status: 200 len",
        "e 200",
        "zz",
    ]
    .map(|phrase| format!("note:{}", quoted(phrase)))
    .into();
    questions.extend(
        ["note:~\"slot [0-9]$\"", "note:~\"bytes result\"", "note:~\"a|b\"", "note:=*slot\\ 7", "note:=Took\\ no*", "note:*"]
            .map(str::to_owned),
    );
    for i in (0..9_000).step_by(701) {
        let text = odd(i);
        questions.push(format!("note:={}", quoted(&text)));
        for (from, to) in [(0, 9), (3, 12), (12, 30), (20, 24), (text.len() - 4, text.len())] {
            let to = to.min(text.len());
            questions.push(format!("note:{}", quoted(text.get(from.min(to)..to).unwrap_or("x").trim())));
        }
    }
    let config = Config { merge_parts: 2, ..Config::default() };
    let store = Store::open_idle(SimDisk::new(1), Arc::new(SimClock::at(TODAY)), config).unwrap().0;
    let topic = TopicId::new();
    for half in all.chunks(4_500) {
        store.append(topic, "t", 0, 1, &rows(half), half[half.len() - 1].offset + 1).unwrap();
        store.flush_all().unwrap();
    }
    agree(&store, &all, &questions);
    assert_eq!(store.merge_all().unwrap(), 1);
    agree(&store, &all, &questions);
}

#[test]
fn flipped_bits_make_no_text_that_was_not_there() {
    let disk = SimDisk::new(2);
    let store = open(&disk);
    let all: Vec<TestRow> = (0..900).map(|i| row(i, vec![("note".to_owned(), Owned::Str(line(i).into_bytes()))])).collect();
    store.append(TopicId::new(), "t", 0, 1, &rows(&all), 900).unwrap();
    store.flush_all().unwrap();
    drop(store);
    every_bit_is_somebodys(&disk, 13, 2);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn texts_of_few_words_come_back(words in vec("[a-f0-9 .:x-]{0,9}", 3..12), picks in vec(any::<u16>(), 200..1500)) {
        let text = |pick: u16| {
            let word = |shift: u32| words[(pick >> shift) as usize % words.len()].as_str();
            format!("said {} {}/{} {pick}", word(0), word(4), word(8))
        };
        let all: Vec<TestRow> = (0u64..)
            .zip(&picks)
            .map(|(i, pick)| row(i, vec![("note".to_owned(), Owned::Str(text(*pick).into_bytes()))]))
            .collect();
        let sizes = stored(&all, 2);
        prop_assert_eq!(sizes.0 > 0, true);
    }
}
