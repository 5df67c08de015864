//! Strings that are kept as numbers and raw bytes, beside those that look like it and are not: all come back byte for byte, through
//! flush and merge, and what can be compared as a number is.

use std::sync::Arc;

use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof, proptest};
use proptest::{collection, sample};

use super::super::source::{Chunk, Form, Source};
use super::super::{Config, Store};
use super::{Owned, SeenRows, TODAY, TestRow, read, rows};
use crate::base::clock::SimClock;
use crate::base::disk::sim::SimDisk;
use crate::base::ids::TopicId;

const NAMES: [&str; 9] = ["ip", "path", "num", "dashed", "decimal", "hex", "uuid", "sparse", "message"];

fn mixed(i: u64) -> u64 {
    i.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ i.wrapping_mul(0xc2b2_ae3d_27d4_eb4f).rotate_left(31)
}

/// A row of columns that each are of one sort, but for a few values.
fn row(i: u64) -> TestRow {
    let (a, b) = (mixed(i), mixed(i + 1_000_003));
    let address = |of: u64| format!("{}.{}.{}.{}", of & 255, of >> 8 & 255, of >> 16 & 255, of >> 24 & 255);
    let odd = i % 701 == 5;
    let value = |name: &str| -> Option<String> {
        Some(match name {
            "ip" if odd => ["256.1.1.1", "1.2.3.04", "::1", ""][(a % 4) as usize].into(),
            "ip" => address(if a % 10 < 3 { b } else { mixed(b % 400) }),
            "path" => format!("/shop/{}", if a % 10 < 6 { format!("{b:x}") } else { (b % 300).to_string() }),
            "num" if odd => ["007", "-0", "1e5", " 1", "0x1f", "99999999999999999999"][(a % 6) as usize].into(),
            "num" => (b % 10_000_019).to_string(),
            "dashed" => {
                if i % 40 == 3 {
                    "-".into()
                } else {
                    (a % 1_000_003).to_string()
                }
            }
            "decimal" => format!("{}.{:03}", a % 900, b % 1000),
            "hex" if odd => format!("{a:016X}Z"),
            "hex" => format!("{a:016x}"),
            "uuid" => {
                format!("{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}", a >> 32, a & 0xffff, b & 0xfff, b >> 12 & 0xfff, b >> 16)
            }
            "sparse" if i % 61 != 7 => return None,
            "sparse" => (b % 1_000_000_007).to_string(),
            _ => format!("{a} of {b:x}"),
        })
    };
    let cells = NAMES.iter().filter_map(|name| Some(((*name).to_owned(), Owned::Str(value(name)?.into_bytes()))));
    TestRow { time_ns: TODAY + i as i64 * 1_000_000, arrival_ns: TODAY, offset: i, n: 0, cells: cells.collect() }
}

fn expected(topic: TopicId, of: &[TestRow]) -> SeenRows {
    of.iter().map(|row| ((topic, 0, row.offset, row.n), row.seen(1))).collect()
}

fn open(disk: &Arc<SimDisk>) -> Arc<Store> {
    let config = Config { merge_parts: 2, ..Config::default() };
    Store::open_idle(disk.clone(), Arc::new(SimClock::at(TODAY)), config).unwrap().0
}

/// The chunks of a field in a group.
fn chunks(source: &dyn Source, group: usize, name: &str) -> Vec<Chunk> {
    let columns = source.columns().iter().enumerate().filter(|(_, column)| *column.name == *name);
    columns.filter_map(|(number, _)| source.column(group, number).unwrap()).collect()
}

fn check(source: &dyn Source) {
    for group in 0..source.groups() {
        let is_dict = |chunk: &Chunk| matches!(chunk, Chunk::Dict { .. });
        let ip = chunks(source, group, "ip");
        assert!(matches!(&ip[0], Chunk::Fixed { form: Form::Ipv4, .. }));
        assert!(ip.iter().any(is_dict), "the frequent addresses have a dictionary");
        let path = chunks(source, group, "path");
        assert!(path.len() == 2 && is_dict(&path[1]), "so have the frequent paths");
        let dashed = chunks(source, group, "dashed");
        assert!(matches!(&dashed[0], Chunk::Number { digits: 0, .. }) && is_dict(&dashed[1]) && dashed.len() == 2);
        assert!(matches!(&chunks(source, group, "num")[0], Chunk::Number { digits: 0, .. }));
        assert!(matches!(&chunks(source, group, "decimal")[..], [Chunk::Number { digits: 3, .. }]));
        assert!(matches!(&chunks(source, group, "hex")[0], Chunk::Fixed { form: Form::Hex { width: 8 }, .. }));
        assert!(matches!(&chunks(source, group, "uuid")[..], [Chunk::Fixed { form: Form::Uuid, .. }]));
        let number = source.columns().iter().position(|column| &*column.name == "decimal").unwrap();
        let (least, greatest, digits) = source.number_bounds(group, number).unwrap();
        assert!(least < greatest && digits == 3 && greatest < 900_000);
    }
}

#[test]
fn strings_of_every_sort_survive_flush_and_merge() {
    let disk = SimDisk::new(5);
    let store = open(&disk);
    let topic = TopicId::new();
    let all: Vec<TestRow> = (0..22_000).map(row).collect();
    for (some, next) in all.chunks(1000).zip((1000u64..).step_by(1000)) {
        store.append(topic, "t", 0, 1, &rows(some), next).unwrap();
        if next == 11_000 {
            store.flush_all().unwrap();
        }
    }
    store.flush_all().unwrap();
    let look = || {
        let snapshot = store.snapshot(None, None, None);
        assert_eq!(read(&snapshot), expected(topic, &all));
        snapshot.sources.iter().for_each(|source| check(&**source));
        snapshot.sources.len()
    };
    assert_eq!(look(), 2);
    assert_eq!(store.merge_all().unwrap(), 1);
    assert_eq!(look(), 1);
}

/// Values that almost are what the others of their column are.
fn odd() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        sample::select(vec![
            "",
            "-",
            "0",
            "-0",
            "00",
            "-1",
            "1e5",
            " 1",
            "1 ",
            "+1",
            "1.",
            ".5",
            "0.50",
            "-0.0",
            "0x12",
            "1234abcd",
            "1234ABCD",
            "1.2.3.4",
            "256.1.1.1",
            "1.2.3.04",
            "1.2.3",
            "9223372036854775807",
            "-9223372036854775808",
            "9223372036854775808",
            "NaN",
            "00000000-0000-0000-0000-000000000000",
            "00000000-0000-0000-0000-00000000000G",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        collection::vec(any::<u8>(), 0..20),
        Just(vec![b'7'; 40_000]),
    ]
}

/// Values of one sort.
fn sort() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let bytes = |texts: Vec<String>| texts.into_iter().map(String::into_bytes).collect::<Vec<_>>();
    let of = |one: &'static str| collection::vec(one, 64..300).prop_map(bytes);
    prop_oneof![
        of("-?[1-9][0-9]{0,17}"),
        of("[0-9][.][0-9]{3}"),
        of("[1-9][0-9]{0,8}[.][0-9]{1,2}"),
        of("[0-9a-f]{16}"),
        of("[0-9a-f]{6}"),
        of("[0-9a-f]{130}"),
        of("[1-9][0-9][.][1-9][.][0-9][.]1[0-9]{2}"),
        of("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}"),
        of("[a-zA-Z0-9 ]{0,30}"),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_stands_among_them_comes_back(
        columns in collection::vec((sort(), collection::vec(odd(), 1..6), 1usize..80, 1usize..5), 1..4),
        count in 70usize..600,
    ) {
        let disk = SimDisk::new(6);
        let store = open(&disk);
        let topic = TopicId::new();
        let value = |i: usize, (values, odd, every, sparse): &(Vec<Vec<u8>>, Vec<Vec<u8>>, usize, usize)| {
            let value = if i.is_multiple_of(*every) { &odd[i / every % odd.len()] } else { &values[i % values.len()] };
            i.is_multiple_of(*sparse).then(|| Owned::Str(value.clone()))
        };
        let cells = |i: usize| columns.iter().enumerate().filter_map(move |(at, column)| Some((format!("c{at}"), value(i, column)?)));
        let all: Vec<TestRow> = (0..count)
            .map(|i| TestRow { time_ns: TODAY + i as i64, arrival_ns: TODAY, offset: i as u64, n: 0, cells: cells(i).collect() })
            .collect();
        let half = all.len() / 2;
        store.append(topic, "t", 0, 1, &rows(&all[..half]), half as u64).unwrap();
        store.flush_all().unwrap();
        store.append(topic, "t", 0, 1, &rows(&all[half..]), count as u64).unwrap();
        store.flush_all().unwrap();
        assert_eq!(read(&store.snapshot(None, None, None)), expected(topic, &all));
        store.merge_all().unwrap();
        assert_eq!(read(&store.snapshot(None, None, None)), expected(topic, &all));
    }
}
