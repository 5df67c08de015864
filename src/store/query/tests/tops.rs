//! The first rows of each group, beside sorting them all.

use std::collections::BTreeMap;

use super::memory::{MemorySource, Style, TestRow};
use super::*;
use crate::store::query::{Key, OutValue, SortKey, Top, tops_of};

const STYLES: [Style; 4] = [Style::Sorted, Style::PerGroup, Style::Text, Style::Typed];

fn str(text: &str) -> OutValue {
    OutValue::Str(text.as_bytes().into())
}

/// Rows of which some lack the key, some what they are sorted by, and some have several keys. Each has a time of its own.
fn rows(count: u64) -> Vec<TestRow> {
    let row = |offset: u64| {
        let mixed = offset.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        let mut fields = vec![("id", OutValue::Int(i64::try_from(offset).unwrap()))];
        match mixed % 9 {
            0 => {}
            1 => fields.push(("kind", OutValue::List(vec![(*b"a").into(), (*b"list").into()]))),
            kind => fields.push(("kind", str(["a", "b", "c", "d"][usize::try_from(kind % 4).unwrap()]))),
        }
        match mixed % 7 {
            0 => {}
            1 => fields.push(("n", str("words"))),
            2 => fields.push(("n", OutValue::Float(0.5))),
            _ => fields.push(("n", OutValue::Int(i64::try_from(mixed % 23).unwrap() - 11))),
        }
        let time = TEN + i64::try_from(mixed % 1000 * 10_000 + offset).unwrap();
        TestRow { time, partition: 0, offset, n: 0, fields }
    };
    (0..count).map(row).collect()
}

fn sources(rows: &[TestRow], style: Style) -> Vec<Arc<dyn Source>> {
    let (first, second) = rows.split_at(rows.len() / 3);
    vec![
        Arc::new(MemorySource::new("one", first.to_vec(), 70, style)),
        Arc::new(MemorySource::new("one", second.to_vec(), 110, Style::Text)),
    ]
}

fn get<'r>(row: &'r TestRow, name: &str) -> &'r OutValue {
    row.fields.iter().find(|(own, _)| *own == name).map_or(&OutValue::Null, |(_, value)| value)
}

/// The numbers of the first rows of each group, by the group's key.
type Found = BTreeMap<String, Vec<i64>>;

fn expected(rows: &[TestRow], by: bool, sort: Option<bool>, newest_first: bool, most: usize) -> Found {
    let mut groups: BTreeMap<String, Vec<&TestRow>> = BTreeMap::new();
    for row in rows {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let keys = match get(row, "kind") {
            _ if !by => vec![String::new()],
            OutValue::Str(bytes) => vec![text(bytes)],
            OutValue::List(items) => items.iter().map(|item| text(item)).collect(),
            _ => Vec::new(),
        };
        keys.into_iter().for_each(|key| groups.entry(key).or_default().push(row));
    }
    let first = |mut rows: Vec<&TestRow>| {
        rows.sort_by(|a, b| {
            let by_field = sort.map(|descending| get(a, "n").sort_view().order_in(&get(b, "n").sort_view(), descending));
            let by_time = if newest_first { b.time.cmp(&a.time) } else { a.time.cmp(&b.time) };
            by_field.unwrap_or(std::cmp::Ordering::Equal).then(by_time)
        });
        rows.into_iter().take(most).map(|row| i64::try_from(row.offset).unwrap()).collect::<Vec<_>>()
    };
    groups.into_iter().map(|(key, rows)| (key, first(rows))).collect()
}

#[test]
fn the_first_rows_of_each_group_are_those_of_the_whole_order() {
    let rows = rows(900);
    for style in STYLES {
        let sources = sources(&rows, style);
        for (by, sort, newest_first, most, threads) in [
            (true, None, true, 1, 2),
            (true, None, false, 3, 1),
            (true, Some(true), true, 4, 2),
            (true, Some(false), false, 400, 2),
            (false, Some(true), false, 5, 2),
            (false, None, true, 2, 1),
        ] {
            let mut request = request("*");
            (request.newest_first, request.limits.threads) = (newest_first, threads);
            let keys = by.then(|| Key::field("kind").named("kind").skip_missing());
            let sort_keys = sort.map(|descending| SortKey::new("n", descending));
            let top = Top {
                by: keys.into_iter().collect(),
                sort: sort_keys.into_iter().collect(),
                rows: most,
                fields: Some(vec!["id".to_owned()]),
            };
            let found = tops_of(&sources, &request, &top, &cancel()).unwrap();
            assert!(!found.stats.partial, "{:?}", found.stats);
            let of = |rows: &[OutRow]| {
                rows.iter()
                    .map(|row| match row.get("id") {
                        Some(OutValue::Int(id)) => *id,
                        other => panic!("{other:?}"),
                    })
                    .collect::<Vec<_>>()
            };
            let key = |keys: &[OutValue]| match keys {
                [] => String::new(),
                [OutValue::Str(bytes)] => String::from_utf8_lossy(bytes).into_owned(),
                other => panic!("{other:?}"),
            };
            let found: Found = found.groups.iter().map(|(keys, rows)| (key(keys), of(rows))).collect();
            assert_eq!(found, expected(&rows, by, sort, newest_first, most), "{style:?} {by} {sort:?} {newest_first} {most}");
        }
    }
}

#[test]
fn what_does_not_fit_is_said() {
    let rows = rows(900);
    let sources = sources(&rows, Style::Sorted);
    let top = Top { by: vec![Key::field("id").named("id")], sort: Vec::new(), rows: 2, fields: None };
    let whole = tops_of(&sources, &request("*"), &top, &cancel()).unwrap();
    assert_eq!((whole.groups.len(), whole.stats.partial), (900, false));
    let limits: [fn(&mut Request); 2] = [|request| request.limits.groups = 40, |request| request.limits.bytes = 20_000];
    for limit in limits {
        let mut request = request("*");
        limit(&mut request);
        let some = tops_of(&sources, &request, &top, &cancel()).unwrap();
        assert!(some.stats.partial && some.groups.len() < 900, "{} {:?}", some.groups.len(), some.stats);
    }
    assert!(tops_of(&sources, &request("id<0"), &top, &cancel()).unwrap().groups.is_empty());
    let stopped = cancel();
    stopped.cancel();
    assert!(tops_of(&sources, &request("*"), &top, &stopped).is_err());
}
