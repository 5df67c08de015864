//! The store and its queries against lists of rows, whatever the rows are like: three to ten thousand fields, dotted and odd names, types
//! that change from row to row, lists, nothing, a hundred kilobytes, bytes that are no text; with flushes, merges, deletions, and a
//! disk that fails, in any order.
//!
//! After every few steps: what is to be seen is what was given and not deleted, each once, as it was given; and random queries (rows in
//! order, counts, groups) answer as going through that list does. After a crash the same holds for what was durable.
//!
//! `SAWBOX_SEEDS` says how many histories are run; a failure names its seed, and `SAWBOX_SEED=<n>` runs that one alone.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use super::super::query::{Cancel, Limits, OutRow, OutValue, Request, parse, run};
use super::super::{Config, Store};
use super::{Owned, Place, Seen, SeenRow, SeenRows, TODAY, TestRow, rows, value};
use crate::base::clock::SimClock;
use crate::base::disk::sim::SimDisk;
use crate::base::ids::TopicId;
use crate::base::predicate::Number;
use crate::base::time::DAY_NS;

/// A die whose throws follow from its seed.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap()
    }

    fn one_in(&mut self, chance: u64) -> bool {
        self.below(chance) == 0
    }
}

const WORDS: [&str; 14] = [
    "GET",
    "POST",
    "timeout",
    "connection reset",
    "200",
    "5.0",
    "",
    "-",
    "ß",
    "a b",
    "10.0.0.7",
    "true",
    "x=y",
    "deadbeefdeadbeef",
];

fn a_value(dice: &mut Dice, sort: u64) -> Owned {
    let word = |dice: &mut Dice| Owned::Str(WORDS[dice.index(WORDS.len())].into());
    match sort {
        0 => word(dice),
        1 => Owned::Int(i64::try_from(dice.below(400)).unwrap() - 100),
        2 => Owned::Str(format!("{:016x}", dice.next()).into_bytes()),
        3 => Owned::Float(f64::from(u32::try_from(dice.below(9000)).unwrap()) / 8.0),
        4 => Owned::Bool(dice.one_in(2)),
        5 => Owned::Str((0..dice.below(30)).map(|_| dice.next().to_le_bytes()[0]).collect()),
        6 => Owned::Str(format!("10.{}.{}.{}", dice.below(3), dice.below(256), dice.below(256)).into_bytes()),
        7 => Owned::Int(dice.next().cast_signed()),
        8 => Owned::Float(Some(f64::from_bits(dice.next())).filter(|float| !float.is_nan()).unwrap_or(f64::NAN)),
        9 => Owned::Str(dice.below(100_000).to_string().into_bytes()),
        10 => Owned::Str(
            format!("{:08x}-{:04x}-4000-8000-{:012x}", dice.next() >> 32, dice.below(1 << 16), dice.next() >> 16).into_bytes(),
        ),
        11 => {
            let most = if dice.one_in(20) { 100_000 } else { 300 };
            let length = dice.below(most);
            Owned::Str((0..length).map(|_| b"abc ABC=,\n"[dice.index(10)]).collect())
        }
        // Types that change.
        _ => {
            let other = dice.below(10);
            a_value(dice, other)
        }
    }
}

struct Schema {
    /// Names, and what their values are like.
    names: Vec<(String, u64)>,
    /// Fields of a row, at most.
    most: u64,
    /// Whether messages are made of fields, so that parts need not have them.
    derived: bool,
}

impl Schema {
    fn new(dice: &mut Dice) -> Self {
        let count = [3, 20, 300, 10_000][dice.index(4)];
        let odd = ["ü.ö", "with blank", "", "\"quoted\"", "a.b.c", "a", "a.b", "*", "1", "-x", "_claimed", "tags"];
        let mut names: Vec<(String, u64)> = Vec::new();
        for at in 0..count {
            let name = match at {
                at if at < odd.len() && dice.one_in(2) => odd[at].to_owned(),
                at if at % 3 == 0 => format!("k{at}"),
                at => format!("k{}.sub{}.n{at}", at % 5, at % 2),
            };
            if names.iter().take(20).all(|(own, _)| *own != name) {
                names.push((name, dice.below(14)));
            }
        }
        Self { names, most: if count > 1000 { 40 } else { 10 }, derived: dice.one_in(2) }
    }

    fn row(&self, dice: &mut Dice) -> TestRow {
        let mut cells: Vec<(String, Owned)> = Vec::new();
        for _ in 0..dice.below(self.most + 1) {
            // Some fields are in most rows, most in few.
            let at = if dice.one_in(2) { dice.index(4.min(self.names.len())) } else { dice.index(self.names.len()) };
            let (name, sort) = &self.names[at];
            let value = a_value(dice, *sort);
            cells.push((name.clone(), value));
        }
        let second = i64::try_from(dice.below(86_400)).unwrap();
        let day = if dice.one_in(8) { -i64::try_from(dice.below(14)).unwrap() } else { 0 };
        let fraction = if dice.one_in(4) { i64::try_from(dice.below(1_000_000_000)).unwrap() } else { 0 };
        if self.derived && !dice.one_in(9) {
            let (word, number) = (WORDS[dice.index(5)], i64::try_from(dice.below(10_000)).unwrap());
            cells.push(("verb".into(), Owned::Str(word.into())));
            cells.push(("number".into(), Owned::Int(number)));
            cells.push(("message".into(), Owned::Str(format!("{word} of {number} done").into_bytes())));
        } else if !dice.one_in(3) {
            let sort = [0, 2, 11, 5][dice.index(4)];
            cells.push(("message".into(), a_value(dice, sort)));
        }
        TestRow { time_ns: TODAY + day * DAY_NS + second * 1_000_000_000 + fraction, arrival_ns: TODAY, offset: 0, n: 0, cells }
    }
}

type Lane = (usize, u32);

struct World {
    disk: Arc<SimDisk>,
    store: Arc<Store>,
    topics: [(TopicId, &'static str); 2],
    schema: Schema,
    /// What the queue has of every lane: batches, and the offset after each.
    queue: BTreeMap<Lane, Vec<(Vec<TestRow>, u64)>>,
    deleted: BTreeSet<(usize, u32, u64)>,
}

fn open(disk: &Arc<SimDisk>) -> Arc<Store> {
    let config = Config { merge_parts: 2, ..Config::default() };
    Store::open_idle(disk.clone(), Arc::new(SimClock::at(TODAY)), config).unwrap().0
}

/// Everything that is to be seen; a row seen twice fails.
fn visible(store: &Store) -> SeenRows {
    let mut all = SeenRows::new();
    for source in store.snapshot(None, None, None).sources {
        for group in 0..source.groups() {
            let (times, lineage, deleted) =
                (source.times(group).unwrap(), source.lineage(group).unwrap(), source.deleted(group));
            let mut fields: Vec<BTreeMap<String, Seen>> = vec![BTreeMap::new(); source.rows(group)];
            for (number, column) in source.columns().iter().enumerate() {
                let Some(chunk) = source.column(group, number).unwrap() else { continue };
                for (row, fields) in fields.iter_mut().enumerate() {
                    if let Some(value) = value(&chunk, row, column.kind) {
                        assert!(fields.insert(column.name.to_string(), value).is_none(), "{} twice in a row", column.name);
                    }
                }
            }
            for (row, fields) in fields.into_iter().enumerate() {
                if deleted.as_ref().is_some_and(|words| words[row / 64] >> (row % 64) & 1 == 1) {
                    continue;
                }
                let place = (source.topic(), lineage.partitions[row], lineage.offsets[row], lineage.ns[row]);
                let seen = SeenRow { time_ns: times[row], generation: lineage.generations[row], fields };
                assert!(all.insert(place, seen).is_none(), "{place:?} is seen twice");
            }
        }
    }
    all
}

fn out_value(seen: &Seen) -> OutValue {
    match seen {
        Seen::Str(bytes) => OutValue::Str(bytes.as_slice().into()),
        Seen::List(items) => OutValue::List(items.iter().map(|item| item.as_slice().into()).collect()),
        Seen::Int(int) => OutValue::Int(*int),
        Seen::Float(bits) => OutValue::Float(f64::from_bits(*bits)),
        Seen::Bool(bool) => OutValue::Bool(*bool),
    }
}

impl World {
    fn append(&mut self, dice: &mut Dice) {
        let (topic, partition) = (dice.index(2), u32::try_from(dice.below(2)).unwrap());
        let lane = self.queue.entry((topic, partition)).or_default();
        let mut offset = lane.last().map_or(0, |batch| batch.1) + dice.below(3);
        let count = [1, 5, 40, 300][dice.index(4)];
        let mut batch = Vec::new();
        for _ in 0..=dice.below(count) {
            let mut row = self.schema.row(dice);
            (row.offset, row.n) = (offset, 0);
            if dice.one_in(6) {
                batch.push(row.clone());
                row.n = 1;
            }
            batch.push(row);
            offset += 1 + u64::from(dice.one_in(10));
        }
        let (id, name) = self.topics[topic];
        self.store.append(id, name, partition, 1, &rows(&batch), offset).unwrap();
        lane.push((batch, offset));
    }

    fn delete(&mut self, dice: &mut Dice) {
        let (topic, partition) = (dice.index(2), u32::try_from(dice.below(2)).unwrap());
        let end = self.queue.get(&(topic, partition)).and_then(|lane| lane.last()).map_or(0, |batch| batch.1);
        let first = dice.below(end);
        let upto = (first + 1 + dice.below(20)).min(end);
        if first < upto {
            let (id, name) = self.topics[topic];
            self.store.delete_rows(id, name, &[(partition, first, upto)]).unwrap();
            self.deleted.extend((first..upto).map(|offset| (topic, partition, offset)));
        }
    }

    /// What is to be seen of each lane below an offset.
    fn expected(&self, below: impl Fn(Lane) -> u64) -> SeenRows {
        let mut all = SeenRows::new();
        for ((topic, partition), batches) in &self.queue {
            let below = below((*topic, *partition));
            for row in batches.iter().flat_map(|(batch, _)| batch).filter(|row| row.offset < below) {
                if !self.deleted.contains(&(*topic, *partition, row.offset)) {
                    let place: Place = (self.topics[*topic].0, *partition, row.offset, row.n);
                    assert!(all.insert(place, row.seen(1)).is_none());
                }
            }
        }
        all
    }

    fn crash(&mut self) {
        self.disk = self.disk.crash();
        self.store = open(&self.disk);
        let cursor = |(topic, partition): Lane| self.store.cursor(self.topics[topic].0, partition).unwrap_or(0);
        assert_eq!(visible(&self.store), self.expected(cursor), "what was durable");
        for ((topic, partition), batches) in &self.queue {
            let cursor = cursor((*topic, *partition));
            let (id, name) = self.topics[*topic];
            for (batch, next) in batches.iter().filter(|(_, next)| *next > cursor) {
                self.store.append(id, name, *partition, 1, &rows(batch), *next).unwrap();
            }
        }
    }

    fn step(&mut self, dice: &mut Dice) {
        match dice.below(20) {
            0..9 => self.append(dice),
            9..12 => self.store.flush_all().unwrap(),
            12..14 => {
                self.store.merge_all().unwrap();
            }
            14..16 => self.delete(dice),
            16 => self.crash(),
            17 => {
                self.disk.power_off_after(dice.below(60));
                let _ = self.store.flush_all().and_then(|()| self.store.merge_all());
                self.crash();
            }
            18 => {
                self.disk.fail_sync_after(dice.below(8));
                let _ = self.store.flush_all().and_then(|()| self.store.merge_all());
                self.disk.fail_sync_after(u64::MAX);
                self.store.flush_all().unwrap();
            }
            _ => {
                self.disk.fail_write_after(dice.below(8));
                let _ = self.store.flush_all().and_then(|()| self.store.merge_all());
                self.disk.fail_write_after(u64::MAX);
                self.store.flush_all().unwrap();
            }
        }
    }

    /// A predicate about what rows have, or nearly.
    fn predicate(&self, dice: &mut Dice, all: &SeenRows) -> String {
        let plain = |name: &&String| !name.is_empty() && name.starts_with(['a', 'k', 'n', 'v']) && name.is_ascii();
        let some = all.values().nth(dice.index(all.len()));
        let has: Vec<&String> = some.iter().flat_map(|row| row.fields.keys()).filter(plain).collect();
        let name = if has.is_empty() || dice.one_in(8) { "k0".to_owned() } else { has[dice.index(has.len())].clone() };
        let text = match some.and_then(|row| row.fields.get(&name)) {
            Some(Seen::Str(bytes)) => String::from_utf8_lossy(bytes).chars().take(60).collect(),
            Some(Seen::List(items)) => String::from_utf8_lossy(&items[dice.index(items.len())]).into_owned(),
            Some(Seen::Int(int)) => int.to_string(),
            Some(Seen::Float(bits)) => Number::text_of(f64::from_bits(*bits)),
            Some(Seen::Bool(bool)) => bool.to_string(),
            None => WORDS[dice.index(WORDS.len())].to_owned(),
        };
        let quoted = format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
        let word: String = text.chars().take_while(|c| c.is_ascii_alphanumeric()).collect();
        let number = i64::try_from(dice.below(600)).unwrap() - 150;
        match dice.below(12) {
            0 => "*".to_owned(),
            1 => format!("{name}:*"),
            2 => format!("{name}>={number}"),
            3 => format!("{name}:{quoted}"),
            4 if !word.is_empty() => format!("{name}:{}*", &word[..word.len().min(3)]),
            5 => format!("*={quoted}"),
            6 if !word.is_empty() => format!("\"{word}\""),
            7 => format!("not {name}:{quoted}"),
            8 => format!("({name}:{quoted} or {name}<{number})"),
            9 => format!("({} and {})", self.predicate(dice, all), self.predicate(dice, all)),
            10 => "message:~\"of [0-9]+ d\"".to_owned(),
            _ => format!("{name}={quoted}"),
        }
    }

    fn check(&self, dice: &mut Dice) {
        let all = self.expected(|_| u64::MAX);
        let seen = visible(&self.store);
        assert_eq!(seen.len(), all.len());
        for (place, row) in &all {
            assert_eq!(seen.get(place), Some(row), "{place:?}");
        }
        let name_of = |id: TopicId| self.topics.iter().find(|(own, _)| *own == id).unwrap().1;
        let mut listed: Vec<(i64, TopicId, u32, u64, u16, OutRow)> = Vec::new();
        for ((id, partition, offset, n), row) in &all {
            let mut fields: Vec<(Arc<str>, OutValue)> = vec![
                ("_time".into(), OutValue::Time(row.time_ns)),
                ("_topic".into(), OutValue::Str(name_of(*id).as_bytes().into())),
                ("_partition".into(), OutValue::Int(i64::from(*partition))),
                ("_offset".into(), OutValue::Int(offset.cast_signed())),
                ("_n".into(), OutValue::Int(i64::from(*n))),
                ("_generation".into(), OutValue::Int(1)),
            ];
            fields.extend(row.fields.iter().map(|(name, seen)| (Arc::from(name.as_str()), out_value(seen))));
            listed.push((row.time_ns, *id, *partition, *offset, *n, OutRow { fields }));
        }
        listed.sort_by(|a, b| (b.0, name_of(b.1), b.2, b.3, b.4).cmp(&(a.0, name_of(a.1), a.2, a.3, a.4)));
        for _ in 0..6 {
            let text = self.predicate(dice, &all);
            let predicate = crate::base::predicate::parse(&text).unwrap_or_else(|error| panic!("{text}: {error:?}"));
            let kept: Vec<_> = listed.iter().filter(|row| row.5.passes(&predicate)).collect();
            let limit = dice.index(60);
            let place =
                |row: &OutRow| format!("{:?}", ["_partition", "_offset", "_n", "_topic"].map(|name| row.get(name).cloned()));
            let expected: Vec<String> = kept.iter().take(limit).map(|row| place(&row.5)).collect();
            let found = self.ask(&text, limit);
            assert_eq!(found.iter().map(place).collect::<Vec<_>>(), expected, "{text}");
            for (own, (.., wanted)) in found.iter().zip(&kept) {
                for (name, value) in &wanted.fields {
                    // NaN is equal to nothing.
                    assert_eq!(format!("{:?}", own.get(name)), format!("{:?}", Some(value)), "{text}: {name}");
                }
            }
            let count = self.ask(&format!("{text} | stats count() as n"), 1);
            assert_eq!(count[0].get("n"), Some(&OutValue::Int(i64::try_from(kept.len()).unwrap())), "{text}");
            let by = self.ask(&format!("{text} | stats count() as n by _topic, _partition"), 10);
            let mut groups = BTreeMap::<String, i64>::new();
            for row in &kept {
                *groups.entry(format!("{:?}", (row.5.get("_topic"), row.5.get("_partition")))).or_default() += 1;
            }
            let own: BTreeMap<String, i64> = by
                .iter()
                .map(|row| {
                    let Some(OutValue::Int(count)) = row.get("n") else { panic!("{row:?}") };
                    (format!("{:?}", (row.get("_topic"), row.get("_partition"))), *count)
                })
                .collect();
            assert_eq!(own, groups, "{text}");
        }
    }

    fn ask(&self, text: &str, limit: usize) -> Vec<OutRow> {
        let limits = Limits { alone: Duration::ZERO, ..Limits::default() };
        let request =
            Request { limit, limits, ..Request::new(parse(text).unwrap_or_else(|error| panic!("{text}: {error:?}"))) };
        let mut found = Vec::new();
        let stats = run(&self.store, &request, &Cancel::new(Arc::new(SimClock::at(TODAY))), &mut |row| {
            found.push(row);
            ControlFlow::Continue(())
        });
        let stats = stats.unwrap();
        assert!(!stats.partial && stats.damaged == 0, "{text}: {stats:?}");
        found
    }
}

fn history(seed: u64) {
    let mut dice = Dice(seed);
    let disk = SimDisk::new(seed);
    let store = open(&disk);
    let topics = [(TopicId::from_bytes([1; 16]), "one"), (TopicId::from_bytes([2; 16]), "two")];
    let schema = Schema::new(&mut dice);
    let mut world = World { disk, store, topics, schema, queue: BTreeMap::new(), deleted: BTreeSet::new() };
    for step in 0..6 + dice.below(20) {
        world.step(&mut dice);
        if step % 5 == 4 {
            world.check(&mut dice);
        }
    }
    world.store.flush_all().unwrap();
    world.store.merge_all().unwrap();
    world.check(&mut dice);
    world.crash();
    world.check(&mut dice);
}

#[test]
fn any_rows_are_kept_and_found() {
    if let Some(seed) = std::env::var("SAWBOX_SEED").ok().and_then(|text| text.parse().ok()) {
        return history(seed);
    }
    let seeds = std::env::var("SAWBOX_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(12);
    for seed in 0..seeds {
        let done = std::panic::catch_unwind(|| history(seed));
        assert!(done.is_ok(), "SAWBOX_SEED={seed} runs this history alone");
    }
}
