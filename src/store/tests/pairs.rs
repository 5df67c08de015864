//! What pairs rule out was never there: answers with them against a plain reading of the rows, after flushes and merges.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::{Just, ProptestConfig, Strategy, prop_assert_eq, proptest};
use proptest::sample::select;

use super::super::query::{Cancel, Request, Stats, parse, run};
use super::super::{Config, Store};
use super::damage::{every_bit_is_somebodys, open};
use super::{Owned, TODAY, TestRow, rows};
use crate::base::clock::SimClock;
use crate::base::disk::sim::SimDisk;
use crate::base::ids::TopicId;
use crate::base::predicate::{Predicate, words};
use crate::base::row::Value;

const SECOND: i64 = 1_000_000_000;

fn mix(number: u64) -> u64 {
    let mixed = (number ^ 0x1234_5678).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) ^ mixed >> 32
}

fn str(text: impl Into<String>) -> Owned {
    Owned::Str(text.into().into_bytes())
}

/// A row with every kind of column that pairs know.
fn row(i: u64) -> TestRow {
    let noise = mix(i);
    let id = format!("{noise:016x}");
    let uuid = format!("{:08x}-0000-4000-8000-{:012x}", noise >> 32, noise & 0xffff_ffff_ffff);
    let path = match i % 4 {
        0 => format!("/item/{}?sid={:08x}", i % 300, noise >> 31),
        1 => format!("/Images/photo_{}.png", i % 900),
        _ => "/favicon.ico".to_owned(),
    };
    let verb = if i.is_multiple_of(5) { "POST" } else { "GET" };
    let text = format!("Worker w{} of pool {} took {} ms, état {}", i % 7, i % 11, noise % 1000, mix(noise) % 100_000);
    let mut cells = vec![
        (
            "message".to_owned(),
            str(if i % 50 == 3 { text.clone() } else { format!("{verb} {path} id={id} took {}ms", i % 97) }),
        ),
        ("verb".to_owned(), str(verb)),
        ("path".to_owned(), str(path)),
        ("id".to_owned(), str(id)),
        ("uuid".to_owned(), str(uuid)),
        ("took".to_owned(), Owned::Int((i % 97) as i64)),
        ("size".to_owned(), str(if i.is_multiple_of(40) { "-".to_owned() } else { (noise % 1_000_000).to_string() })),
        ("client".to_owned(), str(format!("10.{}.{}.{}", noise >> 9 & 0xff, noise >> 20 & 0xff, noise >> 33 & 0xff))),
        ("text".to_owned(), str(text)),
    ];
    if i.is_multiple_of(9) {
        cells.extend([("tags".to_owned(), str("Slow")), ("tags".to_owned(), str(format!("t{}", noise % 5000)))]);
    }
    TestRow { time_ns: TODAY + i as i64 * SECOND / 100, arrival_ns: TODAY + i as i64 * SECOND / 100, offset: i, n: 0, cells }
}

fn matches(predicate: &Predicate, row: &TestRow) -> bool {
    predicate.decide(&mut |leaf| {
        row.cells.iter().any(|(name, value)| {
            leaf.field.is(name)
                && leaf.test.matches(&match value {
                    Owned::Str(bytes) => Value::Str(bytes),
                    Owned::Int(value) => Value::Int(*value),
                    Owned::Float(value) => Value::Float(*value),
                    Owned::Bool(value) => Value::Bool(*value),
                })
        })
    })
}

/// The offsets of the rows that a query keeps, ascending.
fn offsets(store: &Store, query: &str) -> (Vec<u64>, Stats) {
    let mut request = Request::new(parse(query).unwrap_or_else(|error| panic!("{query}: {error}")));
    request.limit = 100_000;
    request.limits.alone = Duration::ZERO;
    let mut found = Vec::new();
    let stats = run(store, &request, &Cancel::new(Arc::new(SimClock::at(TODAY))), &mut |row| {
        let text: serde_json::Value = serde_json::from_str(&row.to_json()).unwrap();
        found.push(text["_offset"].as_u64().unwrap());
        ControlFlow::Continue(())
    });
    found.sort_unstable();
    (found, stats.unwrap())
}

/// A text as queries quote it.
pub fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Questions about what is in some row, and about what is in none.
fn questions(of: &[TestRow]) -> Vec<String> {
    let mut all = Vec::new();
    for at in 0..8u64 {
        let row = &of[usize::try_from(mix(at) % of.len() as u64).unwrap()];
        let (name, value) = &row.cells[usize::try_from(at % row.cells.len() as u64).unwrap()];
        let Owned::Str(bytes) = value else { continue };
        let text = String::from_utf8_lossy(bytes).into_owned();
        let word = words(text.as_bytes()).nth(usize::try_from(at % 3).unwrap()).map(|word| text[word].to_uppercase());
        all.push(format!("{name}:={}", quoted(&text)));
        all.push(format!("{name}:={}*", quoted(&text[..text.len().min(9)])));
        if let Some(word) = word {
            all.extend([format!("{name}:{}", quoted(&word)), quoted(&word), format!("*:{}", quoted(&word))]);
            all.push(format!("{name}:~{} or verb:=POST", quoted(&format!("[^x]{}[^x]", word.to_lowercase()))));
            all.push(format!("not {name}:{} and took>90", quoted(&word)));
        }
    }
    all.extend(
        [
            "zzqqxx77yy",
            "id:=0000000000000000",
            "message:\"worker w3 of\"",
            "path:\"/favicon.ico\"",
            "étAT",
            "tags:slow",
            "tags:=Slow",
            "message:~\"oto_12\"",
            "message:~\"(?i)IMAGES/Ph\"",
            "message:~\"id=0\"",
            "message:~\"ok 77ms$\" or message:~\"pool 3\"",
            "message:~\"co id\" message:~\"favi\" -message:~\"ost\"",
            "message:=*vicon*",
            "message:avic*",
        ]
        .map(str::to_owned),
    );
    all
}

/// A store's answers are those of a plain reading of its rows.
pub fn agree(store: &Store, of: &[TestRow], questions: &[String]) {
    for question in questions {
        let predicate: Predicate = question.parse().unwrap();
        let model: Vec<u64> = of.iter().filter(|row| matches(&predicate, row)).map(|row| row.offset).collect();
        let (found, stats) = offsets(store, question);
        assert_eq!(found, model, "{question}");
        assert_eq!((stats.damaged, stats.partial), (0, false), "{question}");
        for span in [(None, None), (Some(0), Some(i64::MAX))] {
            assert_eq!(counted(store, question, span).0, model.len() as u64, "{question} {span:?}");
        }
    }
}

/// How many rows a query counts within a span of time: it may be told without reading one.
fn counted(store: &Store, query: &str, (from, to): (Option<i64>, Option<i64>)) -> (u64, Stats) {
    let mut request = Request::new(parse(&format!("{query} | stats count()")).unwrap());
    (request.from_ns, request.to_ns) = (from, to);
    let mut count = 0;
    let stats = run(store, &request, &Cancel::new(Arc::new(SimClock::at(TODAY))), &mut |row| {
        let text: serde_json::Value = serde_json::from_str(&row.to_json()).unwrap();
        count = text["count()"].as_u64().unwrap();
        ControlFlow::Continue(())
    });
    (count, stats.unwrap())
}

#[test]
fn rows_of_few_values_are_counted_unread() {
    let store = Store::open_idle(SimDisk::new(1), Arc::new(SimClock::at(TODAY)), Config::default()).unwrap().0;
    let topic = TopicId::new();
    let all: Vec<TestRow> = (0..18_000).map(row).collect();
    store.append(topic, "t", 0, 1, &rows(&all[..9_000]), 9_000).unwrap();
    store.flush_all().unwrap();
    store.append(topic, "t", 0, 1, &rows(&all[9_000..]), 18_000).unwrap();
    // Half of them in a part, half in the memtable.
    agree(&store, &all, &questions(&all));
    let (within, last) = (TODAY + 95 * SECOND, all[17_999].time_ns);
    let spans = [
        (None, None, false),
        (Some(TODAY), Some(last + 1), false),
        (Some(TODAY), Some(last), true),
        (Some(within), None, true),
    ];
    for (from, to, cuts) in spans {
        for query in ["verb:=POST", "verb:p*", "path:=/favicon.ico"] {
            let predicate: Predicate = query.parse().unwrap();
            let is_within =
                |row: &&TestRow| from.is_none_or(|from| row.time_ns >= from) && to.is_none_or(|to| row.time_ns < to);
            let model = all.iter().filter(is_within).filter(|row| matches(&predicate, row));
            let (count, stats) = counted(&store, query, (from, to));
            assert_eq!(count, model.count() as u64, "{query} {from:?} {to:?}");
            // The memtable has two groups, and keeps no counts of so many paths.
            let read = if cuts || query.starts_with("path") { 2 } else { 0 };
            assert_eq!(stats.groups_scanned, read, "{query} {from:?} {to:?}");
        }
    }
}

fn part_bytes(disk: &SimDisk) -> u64 {
    disk.files().iter().filter(|(path, _)| path.extension().is_some()).map(|(_, bytes)| *bytes).sum()
}

#[test]
fn answers_are_those_of_a_plain_reading() {
    let disk = SimDisk::new(1);
    let config = Config { merge_parts: 2, ..Config::default() };
    let store = Store::open_idle(disk.clone(), Arc::new(SimClock::at(TODAY)), config).unwrap().0;
    let topic = TopicId::new();
    let all: Vec<TestRow> = (0..18_000).map(row).collect();
    for half in all.chunks(9_000) {
        store.append(topic, "t", 0, 1, &rows(half), half[half.len() - 1].offset + 1).unwrap();
        store.flush_all().unwrap();
    }
    let questions = questions(&all);
    agree(&store, &all, &questions);
    let skips = |query: &str| {
        let stats = offsets(&store, query).1;
        (stats.groups_scanned, stats.groups_skipped)
    };
    assert_eq!(skips("zzqqxx77yy"), (0, 4), "a word that is nowhere");
    assert!(skips("*:zzqqxx77yy").0 <= 1, "in no field, but hashes lie");
    let shorter = (0..200).map(|n| skips(&format!("id:{:08x}", mix(n) >> 31)).0).sum::<u64>();
    assert_eq!(shorter, 0, "words of eight digits among identifiers of sixteen, whatever hashes say");
    assert_eq!(skips("path:=/item/nothing").0, 0, "a path that is nowhere");
    assert_eq!(skips(&format!("{:08x}", mix(16_004) >> 31)), (1, 3), "a word of one path, asked of messages");
    assert_eq!(store.merge_all().unwrap(), 1);
    agree(&store, &all, &questions[questions.len() / 2..]);
    let skips = |query: &str| offsets(&store, query).1.groups_scanned;
    assert_eq!((skips("zzqqxx77yy"), skips(&format!("{:08x}", mix(16_004) >> 31))), (0, 1), "after a merge");
    assert!(part_bytes(&disk) < 18_000 * 90);
}

/// The dictionary says how many rows have a value: when these are found, no other group is read.
#[test]
fn who_has_all_that_is_counted_stops() {
    let store = Store::open_idle(SimDisk::new(1), Arc::new(SimClock::at(TODAY)), Config::default()).unwrap().0;
    let topic = TopicId::new();
    let named = |i: u64| {
        let name = match i {
            3 | 30_000 => "user twice".to_owned(),
            39_000 => "user newest".to_owned(),
            2 => "user oldest".to_owned(),
            i => format!("user n{}", i % 3000),
        };
        let cells = vec![("name".to_owned(), str(name)), ("odd".to_owned(), str(if i % 2 == 1 { "yes" } else { "no" }))];
        // Some have none.
        TestRow { cells: if i % 10 == 7 { cells[1..].to_vec() } else { cells }, ..row(i) }
    };
    let all: Vec<TestRow> = (0..40_000).map(named).collect();
    store.append(topic, "t", 0, 1, &rows(&all), 40_000).unwrap();
    store.flush_all().unwrap();
    let questions = [
        "name:newest",
        "name:oldest",
        "name:twice",
        "name:=\"user newest\"",
        "name:twice odd:yes",
        "odd:no name:twice",
        "not name:twice",
        "name:n29 or name:oldest",
        "name:newest or name:twice",
        "-name:newest -name:twice -name:oldest odd:yes name:n2*",
        "name:n2999",
        "name:nowhere",
    ];
    let questions = questions.map(str::to_owned);
    agree(&store, &all, &questions);
    let scanned = |query: &str| {
        let mut request = Request::new(parse(query).unwrap());
        // One thread reads them, the newest first.
        request.limits.alone = Duration::from_secs(60);
        let stats = run(&store, &request, &Cancel::new(Arc::new(SimClock::at(TODAY))), &mut |_| ControlFlow::Continue(()));
        stats.unwrap().groups_scanned
    };
    assert_eq!((scanned("name:newest"), scanned("name:twice"), scanned("name:oldest")), (1, 5, 5));
    assert_eq!((scanned("name:newest odd:no"), scanned("name:=\"user newest\" or name:nowhere")), (1, 1));
    assert_eq!(scanned("odd:no name:newest"), 5, "rows that another test left out are not counted");
    // What is deleted is counted, and never found.
    store.delete_rows(topic, "t", &[(0, 3, 4)]).unwrap();
    let left: Vec<TestRow> = all.into_iter().filter(|row| row.offset != 3).collect();
    agree(&store, &left, &questions);
    assert_eq!(scanned("name:twice"), 5);
}

#[test]
fn damage_costs_speed_alone() {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    let all: Vec<TestRow> = (0..1500).map(row).collect();
    store.append(TopicId::new(), "t", 0, 1, &rows(&all), 1500).unwrap();
    store.flush_all().unwrap();
    let before = offsets(&store, "photo_1").0;
    drop(store);
    every_bit_is_somebodys(&disk, 1999, 4);
    // Wherever a bit of the file is another: whoever is found is one of those, and all are where no value is damaged.
    let (path, length) = disk.files().into_iter().find(|(path, _)| path.extension().is_some()).unwrap();
    for at in (16..length).step_by(2999) {
        let file = crate::base::disk::Disk::open(&*disk, &path, false).unwrap();
        let mut byte = [0];
        file.read_at(&mut byte, at).unwrap();
        file.write_at(&[byte[0] ^ 4], at).unwrap();
        let (found, stats) = offsets(&open(&disk), "photo_1");
        assert!(found.iter().all(|offset| before.contains(offset)), "byte {at}");
        assert!(stats.damaged > 0 || found == before, "byte {at}");
        file.write_at(&byte, at).unwrap();
    }
}

/// Pieces of values and phrases that meet in every way.
fn piece() -> impl Strategy<Value = String> {
    select(vec!["k", "K", "ab", "AB", "_", "7", "42", "-", " ", "/", ".", "é", "É", "ms", "", "inf", "00", "z"])
        .prop_map(str::to_owned)
}

fn phrase() -> impl Strategy<Value = String> {
    vec(piece(), 1..5).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Messages of which words may reach over the joints of the pieces that they are made of.
    #[test]
    fn words_over_joints_are_found(
        values in vec((phrase(), phrase(), 0i64..50), 40..120),
        joints in (piece(), piece(), piece(), piece()),
        asked in vec((select(vec!["", "a:", "b:", "*:", "message:", "n:"]), phrase(), Just(()), 0..4), 30),
    ) {
        let (head, between, after, tail) = joints;
        let all: Vec<TestRow> = (0u64..).zip(&values).map(|(offset, (a, b, n))| {
            let message = format!("{head}{a}{between}{b}{after}{n}{tail}");
            let cells = vec![
                ("message".to_owned(), str(message)),
                ("a".to_owned(), str(a)),
                ("b".to_owned(), str(b)),
                ("n".to_owned(), if offset % 3 == 0 { str(n.to_string()) } else { Owned::Int(*n) }),
            ];
            TestRow { time_ns: TODAY, arrival_ns: TODAY, offset, n: 0, cells }
        }).collect();
        let disk = SimDisk::new(1);
        let config = Config { merge_parts: 2, ..Config::default() };
        let store = Store::open_idle(disk, Arc::new(SimClock::at(TODAY)), config).unwrap().0;
        let topic = TopicId::new();
        for half in all.chunks(values.len().div_ceil(2)) {
            store.append(topic, "t", 0, 1, &rows(half), half[half.len() - 1].offset + 1).unwrap();
            store.flush_all().unwrap();
        }
        for merged in [false, true] {
            if merged {
                store.merge_all().unwrap();
            }
            for (field, text, (), how) in &asked {
                let question = match how {
                    0 => format!("{field}{}", quoted(text)),
                    1 if !field.is_empty() => format!("{field}={}", quoted(text)),
                    2 if !field.is_empty() => format!("{field}~{}", quoted(&regex::escape(text))),
                    _ => format!("{field}{}*", quoted(text)),
                };
                let Ok(predicate) = question.parse::<Predicate>() else { continue };
                let model: Vec<u64> = all.iter().filter(|row| matches(&predicate, row)).map(|row| row.offset).collect();
                prop_assert_eq!(offsets(&store, &question).0, model, "{} merged {}", question, merged);
            }
        }
    }
}
