//! Counts by value: of more values than memory holds, by dictionaries, over time.

use std::collections::{BTreeMap, BTreeSet};

use super::memory::{MemorySource, Style, TestRow};
use super::*;
use crate::store::query::{OutValue, complete_of, top_values_of};

const STYLES: [Style; 3] = [Style::Sorted, Style::PerGroup, Style::Text];

fn str(text: &str) -> OutValue {
    OutValue::Str(text.as_bytes().into())
}

fn row(offset: u64, time: i64, fields: Vec<(&'static str, OutValue)>) -> TestRow {
    TestRow { time, partition: 0, offset, n: 0, fields }
}

/// A value as unlike the others as those of logs are.
fn id(at: u64) -> String {
    let mixed = at.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    match at % 6 {
        0 | 1 => format!("{mixed:016x}"),
        2 => format!("{mixed:016x}{at:016x}"),
        3 => format!("{:08x}-0000-4000-8000-{at:012x}", mixed >> 32),
        4 => format!("10.0.{}.{}", at / 250 % 250, at % 250),
        _ => format!("session {mixed:x} of somebody with a long name"),
    }
}

fn ids(rows: u64) -> Vec<TestRow> {
    let made = (0..rows).map(|offset| {
        // Some values come often, most once or twice.
        let at = if offset % 5 == 0 { offset % 35 } else { offset * 7 % (rows / 2 + 1) + 35 };
        let mut fields = vec![("kind", str(if offset % 3 == 0 { "a" } else { "b" }))];
        if offset % 11 != 0 {
            fields.push(("id", str(&id(at))));
        }
        row(offset, TEN + i64::try_from(offset).unwrap(), fields)
    });
    made.collect()
}

fn text_of(value: Option<&OutValue>) -> Option<String> {
    match value {
        Some(OutValue::Str(bytes)) => Some(String::from_utf8_lossy(bytes).into_owned()),
        Some(OutValue::Null) | None => None,
        other => panic!("{other:?} is no string"),
    }
}

/// Counts, most first, then by the value as it is sorted: numbers, other strings, nothing.
fn expected(rows: &[TestRow], keep: impl Fn(&TestRow) -> bool, with_missing: bool) -> Vec<(Option<String>, i64)> {
    let mut counts: BTreeMap<Option<String>, i64> = BTreeMap::new();
    for row in rows.iter().filter(|row| keep(row)) {
        let value = row.fields.iter().find(|(name, _)| *name == "id").map(|(_, value)| value);
        if value.is_some() || with_missing {
            *counts.entry(text_of(value)).or_default() += 1;
        }
    }
    let mut all: Vec<(Option<String>, i64)> = counts.into_iter().collect();
    let value = |text: &Option<String>| text.as_deref().map_or(OutValue::Null, str);
    all.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| value(&a.0).order(&value(&b.0))).then_with(|| a.0.cmp(&b.0)));
    all
}

#[test]
fn the_most_frequent_are_exact_however_many_passes_that_takes() {
    let rows = ids(1200);
    let mut checked = 0;
    for style in STYLES {
        let (first, second) = rows.split_at(500);
        let sources: Vec<Arc<dyn Source>> = vec![
            Arc::new(MemorySource::new("one", first.to_vec(), 150, style)),
            Arc::new(MemorySource::new("one", second.to_vec(), 150, Style::Text)),
        ];
        for (query, keep, with_missing) in [
            ("* | top 40 id", None, false),
            ("kind:a | top 2000 id", Some("a"), false),
            ("* | stats count() by id | sort -count() | limit 60", None, true),
            ("kind:b | stats count() as n by id | sort -n, id | limit 3000", Some("b"), true),
        ] {
            let keep = |row: &TestRow| keep.is_none_or(|kind| row.fields[0].1 == str(kind));
            for (bytes, threads) in [(64 << 20, 2), (60_000, 2), (12_000, 1)] {
                let mut request = request(query);
                request.limits.threads = threads;
                request.limits.bytes = bytes;
                let (found, stats) = rows_of(&sources, &request);
                // Rows between pipes may take twice the bytes; where that is too little for them this says nothing about counts.
                if stats.note.is_some_and(|note| note.starts_with("the rows between")) && bytes < 1 << 20 {
                    continue;
                }
                checked += 1;
                assert!(!stats.partial && !stats.approximate, "{query}: {stats:?}");
                let matched = rows.iter().filter(|row| keep(row)).count();
                assert_eq!(stats.rows_matched, matched as u64, "{query}");
                let found: Vec<(Option<String>, i64)> = found
                    .iter()
                    .map(|row| match &row.fields[1].1 {
                        OutValue::Int(count) => (text_of(Some(&row.fields[0].1)), *count),
                        other => panic!("{other:?}"),
                    })
                    .collect();
                let mut all = expected(&rows, keep, with_missing);
                all.truncate(found.len());
                assert!(found.len() >= 40);
                assert_eq!(found, all, "{query} in {bytes} bytes, {style:?}");
            }
        }
        let mut request = request("*");
        request.limits.bytes = 20_000;
        let top = top_values_of(&sources, &request, "id", 10, &cancel()).unwrap();
        let values: Vec<(Option<String>, i64)> =
            top.values.iter().map(|(value, count)| (text_of(Some(value)), i64::try_from(*count).unwrap())).collect();
        let mut all = expected(&rows, |_| true, false);
        all.truncate(10);
        assert_eq!((values, top.total, top.stats.partial), (all, 1200, false));
    }
    assert!(checked > 24, "{checked}");
}

#[test]
fn deleted_rows_and_fields_that_some_sources_lack_are_not_counted() {
    let rows = ids(900);
    for style in STYLES {
        let mut with = MemorySource::new("one", rows.clone(), 100, style);
        with.deleted = rows.iter().map(|row| row.offset).filter(|offset| offset % 3 == 0).collect();
        let other: Vec<TestRow> = (0..50).map(|offset| row(offset, TEN, vec![("other", str("x"))])).collect();
        let sources: Vec<Arc<dyn Source>> = vec![Arc::new(with), Arc::new(MemorySource::new("two", other, 20, style))];
        let (found, stats) = rows_of(&sources, &request("* | stats count() by id | sort -count() | limit 7"));
        let all = expected(&rows, |row| row.offset % 3 != 0, true);
        assert!(!stats.partial);
        let null = all.iter().find(|(text, _)| text.is_none()).map_or(0, |(_, count)| *count) + 50;
        assert_eq!((found[0].get("id"), found[0].get("count()")), (Some(&OutValue::Null), Some(&OutValue::Int(null))));
        // Without a key: what a dictionary counts of whole sources, and what has to be read.
        let most = all.iter().find_map(|(text, count)| Some((text.clone()?, *count))).unwrap();
        let (found, _) = rows_of(&sources, &request(&format!("id:=\"{}\" | stats count()", most.0)));
        assert_eq!(found[0].get("count()"), Some(&OutValue::Int(most.1)));
        let (found, stats) = rows_of(&sources[..1], &request("kind:=a | stats count()"));
        assert_eq!(found[0].get("count()"), Some(&OutValue::Int(0)));
        assert_eq!(stats.rows_matched, 0);
        let (found, stats) = rows_of(&sources, &request("other:x | stats count()"));
        assert_eq!((found[0].get("count()"), stats.rows_matched), (Some(&OutValue::Int(50)), 50));
    }
}

#[test]
fn bins_of_times_before_1970_out_of_order_and_from_an_offset() {
    let apps = ["a", "b", "c"];
    let rows: Vec<TestRow> = (0..700u64)
        .map(|offset| {
            let jitter = i64::try_from(offset * 7919 % 13).unwrap() - 6;
            let time = (i64::try_from(offset).unwrap() - 350 + jitter * (i64::from(offset % 3 == 0))) * SECOND / 4;
            let mut fields = vec![("n", OutValue::Int(1))];
            if offset % 10 != 0 {
                fields.push(("app", str(apps[usize::try_from(offset % 3).unwrap()])));
            }
            row(offset, time, fields)
        })
        .chain([row(700, i64::MIN, vec![("app", str("a"))]), row(701, i64::MAX, vec![("app", str("a"))])])
        .collect();
    let (step, offset) = (7 * SECOND, 3 * SECOND);
    let mut expected: BTreeMap<(Option<String>, i64), i64> = BTreeMap::new();
    for row in &rows {
        let app = row.fields.iter().find(|(name, _)| *name == "app").map(|(_, value)| value);
        let floor =
            (i128::from(row.time) - i128::from(offset)).div_euclid(i128::from(step)) * i128::from(step) + i128::from(offset);
        *expected.entry((text_of(app), i64::try_from(floor).unwrap_or(i64::MIN))).or_default() += 1;
    }
    for style in STYLES {
        for group_rows in [1, 90, 1000] {
            let sources: Vec<Arc<dyn Source>> = vec![Arc::new(MemorySource::new("one", rows.clone(), group_rows, style))];
            for by in ["app, bin(_time, 7s, 3s) as t", "bin(_time, 7s, 3s) as t, app"] {
                // The second has figures besides, and so takes the general way.
                for figures in ["count()", "count(), sum(n)"] {
                    let (found, stats) = rows_of(&sources, &request(&format!("* | stats {figures} by {by}")));
                    assert!(!stats.partial);
                    let found: BTreeMap<(Option<String>, i64), i64> = found
                        .iter()
                        .map(|row| match (row.get("t"), row.get("count()")) {
                            (Some(OutValue::Time(bin)), Some(OutValue::Int(count))) => {
                                ((text_of(row.get("app")), *bin), *count)
                            }
                            other => panic!("{other:?}"),
                        })
                        .collect();
                    assert_eq!(found, expected, "{figures} by {by}, {group_rows} rows a group, {style:?}");
                }
            }
        }
    }
}

#[test]
fn groups_that_cannot_hold_the_first_are_not_read_to_sort() {
    let rows: Vec<TestRow> = (0..1000u64)
        .map(|offset| row(offset, TEN, vec![("v", OutValue::Int(i64::try_from(offset * 37 % 1000 / 10).unwrap()))]))
        .collect();
    let mut sorted = rows.clone();
    sorted.sort_by_key(|row| match &row.fields[0].1 {
        OutValue::Int(int) => *int,
        _ => 0,
    });
    for (query, newest_wins) in [("* | sort -v | limit 5", true), ("* | sort v | limit 5", false)] {
        let sources: Vec<Arc<dyn Source>> = vec![Arc::new(MemorySource::new("one", sorted.clone(), 10, Style::Text))];
        let mut request = request(query);
        request.limits.threads = 1;
        let (found, stats) = rows_of(&sources, &request);
        let value = OutValue::Int(if newest_wins { 99 } else { 0 });
        let offsets: BTreeSet<i64> = found
            .iter()
            .map(|row| match row.get("_offset") {
                Some(OutValue::Int(offset)) => *offset,
                other => panic!("{other:?}"),
            })
            .collect();
        // Of ten rows of that value the five with the greatest offsets.
        let mut with: Vec<i64> = (0..1000i64).filter(|offset| OutValue::Int(offset * 37 % 1000 / 10) == value).collect();
        let with = with.split_off(with.len() - 5);
        assert_eq!(offsets, with.into_iter().collect(), "{query}");
        assert!(stats.groups_scanned <= 3, "{query}: {stats:?}");
    }
}

#[test]
fn keys_of_any_size_are_sorted_as_numbers() {
    let keys = [1e300, -1e300, 5.0, 1e-40, 1e40, 0.1, 1.000_000_000_000_000_2e-25, 5e-324];
    let mut sorted = keys;
    sorted.sort_by(f64::total_cmp);
    let rows: Vec<TestRow> = (0u64..).zip(keys).map(|(at, key)| row(at, TEN, vec![("k", OutValue::Float(key))])).collect();
    let sources: Vec<Arc<dyn Source>> = vec![Arc::new(MemorySource::new("one", rows, 3, Style::Text))];
    for most in [1, 3, 8] {
        for query in
            ["stats count() by k | sort k", "stats count() by k", "top 8 k", "eval k = k * 1 | stats count() by k | sort k"]
        {
            let (found, _) = rows_of(&sources, &request(&format!("* | {query} | limit {most}")));
            let found: Vec<OutValue> = found.iter().filter_map(|row| row.get("k").cloned()).collect();
            assert_eq!(found, sorted.map(OutValue::Float)[..most], "{query}");
        }
    }
}

#[test]
fn what_is_deleted_is_not_proposed() {
    for style in STYLES {
        let rows = vec![
            row(0, TEN, vec![("user", str("alice"))]),
            row(1, TEN, vec![("user", str("bob"))]),
            row(2, TEN, vec![("user", str("albert"))]),
        ];
        let mut source = MemorySource::new("one", rows, 2, style);
        source.deleted = [0].into();
        let sources: Vec<Arc<dyn Source>> = vec![Arc::new(source)];
        let found = complete_of(&sources, &request("*"), "user:", 5, &cancel()).unwrap();
        let mut texts: Vec<&str> = found.items.iter().map(|hint| hint.text.as_str()).collect();
        texts.sort_unstable();
        assert_eq!(texts, ["albert", "bob"], "{style:?}");
    }
}
