//! The engine against a plain model: random rows in random encodings, random predicates and pipes, evaluated row by row.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::select;

use super::memory::{MemorySource, Style, TestRow};
use super::*;
use crate::base::predicate::Number;
use crate::store::query::{OutValue, histogram_of};

fn value() -> impl Strategy<Value = OutValue> {
    let word = || select(vec!["", "x", "Y", "5", "5.0", "0.5", "foo bar", "foo-BAR", "barfoo", "true"]);
    let typed = || {
        select(vec![
            "7",
            "-7",
            "70",
            "1.5",
            "-1.5",
            "0.25",
            "10.0.0.1",
            "10.0.0.9",
            "172.16.0.1",
            "00ff",
            "12ab",
            "1234",
            "12e4",
            "00000000-0000-0000-0000-0000000000ff",
        ])
    };
    prop_oneof![
        4 => word().prop_map(|word| OutValue::Str(word.as_bytes().into())),
        4 => typed().prop_map(|word| OutValue::Str(word.as_bytes().into())),
        3 => (-2i64..9).prop_map(OutValue::Int),
        1 => (-4i64..9).prop_map(|half| OutValue::Float(f64::from(i32::try_from(half).unwrap()) / 2.0)),
        1 => any::<bool>().prop_map(OutValue::Bool),
        1 => proptest::collection::vec(word(), 1..4)
            .prop_map(|words| OutValue::List(words.into_iter().map(|word| word.as_bytes().into()).collect())),
    ]
}

pub fn rows() -> impl Strategy<Value = Vec<TestRow>> {
    let row =
        (0i64..30, 0u32..2, proptest::option::of(value()), proptest::option::of(value()), proptest::option::of("[a-c ]{0,6}"));
    proptest::collection::vec(row, 0..150).prop_map(|rows| {
        let made = (0u64..).zip(rows).map(|(offset, (time, partition, a, b, message))| {
            let fields = [("a", a), ("b", b), ("message", message.map(|text| OutValue::Str(text.as_bytes().into())))];
            let fields = fields.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
            TestRow { time: TEN + time * SECOND / 4, partition, offset, n: 0, fields }
        });
        made.collect()
    })
}

fn predicate() -> impl Strategy<Value = String> {
    let test = select(vec![
        ":x",
        ":5",
        "=5",
        ":foo",
        ":\"foo bar\"",
        ":fo*",
        ":*o*",
        "=f*",
        ":*",
        ">3",
        "<=5.0",
        ":[0 TO 4}",
        ":~\"fo+\"",
        ":~\"o b\"",
        ":true",
        "=Y",
        "!=x",
        ">foo",
        "=\"\"",
        "=7",
        ":7",
        ":-7",
        "<0",
        ">=1.5",
        "=1.5",
        ":1",
        ":[0.1 TO 1.5}",
        ":10.0.0.0/8",
        ":10.0.0.1",
        "=10.0.0.9",
        ">10.0.0.1",
        ":10.0.*",
        ":00FF",
        "=12ab",
        ":1234",
        ":~\"f$\"",
        ":ff",
        "=00000000-0000-0000-0000-0000000000ff",
        ":0000",
    ]);
    let leaf = prop_oneof![
        6 => (select(vec!["a", "b", "*"]), test).prop_map(|(field, test)| format!("{field}{test}")),
        2 => select(vec!["a", "b", "ab", "\"a b\"", "c*", "~\"b.?c\""]).prop_map(str::to_owned),
        1 => select(vec!["_offset>40", "_partition:1", "_time>=2015-05-17T10:00:03Z", "_time<2015-05-17T10:00:06Z", "_topic:two", "*"]).prop_map(str::to_owned),
    ];
    leaf.prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 2..4).prop_map(|all| format!("({})", all.join(" and "))),
            proptest::collection::vec(inner.clone(), 2..4).prop_map(|any| format!("({})", any.join(" or "))),
            inner.prop_map(|one| format!("not {one}")),
        ]
    })
}

/// All rows, best first, as the engine shows them.
pub fn all_rows(sources: &[(&str, Vec<TestRow>)], gone: u64) -> Vec<OutRow> {
    let mut all: Vec<(i64, &str, u32, u64, OutRow)> = Vec::new();
    for (topic, rows) in sources {
        for row in rows.iter().filter(|row| row.offset % 17 != gone) {
            let mut fields: Vec<(Arc<str>, OutValue)> = vec![
                ("_time".into(), OutValue::Time(row.time)),
                ("_topic".into(), OutValue::Str(topic.as_bytes().into())),
                ("_partition".into(), OutValue::Int(i64::from(row.partition))),
                ("_offset".into(), OutValue::Int(i64::try_from(row.offset).unwrap())),
                ("_n".into(), OutValue::Int(0)),
                ("_generation".into(), OutValue::Int(3)),
            ];
            for name in ["message", "a", "b"] {
                fields.extend(
                    row.fields.iter().filter(|(own, _)| *own == name).map(|(name, value)| (Arc::from(*name), value.clone())),
                );
            }
            all.push((row.time, topic, row.partition, row.offset, OutRow { fields }));
        }
    }
    all.sort_by(|a, b| (b.0, b.1, b.2, b.3).cmp(&(a.0, a.1, a.2, a.3)));
    all.into_iter().map(|(.., row)| row).collect()
}

/// What a value is called as a key, item by item.
pub fn key_texts(value: Option<&OutValue>) -> Vec<String> {
    match value {
        None | Some(OutValue::Null) => vec!["null".into()],
        Some(OutValue::List(items)) => {
            let mut items: Vec<String> = items.iter().map(|item| String::from_utf8_lossy(item).into_owned()).collect();
            items.sort();
            items.dedup();
            items
        }
        Some(OutValue::Str(bytes)) => vec![String::from_utf8_lossy(bytes).into_owned()],
        Some(OutValue::Int(int) | OutValue::Time(int)) => vec![int.to_string()],
        Some(OutValue::Float(float)) => vec![Number::text_of(*float)],
        Some(OutValue::Bool(bool)) => vec![bool.to_string()],
    }
}

fn numbers(value: Option<&OutValue>) -> Vec<f64> {
    let read = |text: &[u8]| std::str::from_utf8(text).ok().and_then(|text| text.parse::<f64>().ok());
    match value {
        Some(OutValue::Int(int)) => vec![f64::from(i32::try_from(*int).unwrap())],
        Some(OutValue::Float(float)) => vec![*float],
        Some(OutValue::Bool(bool)) => vec![f64::from(u8::from(*bool))],
        Some(OutValue::Str(text)) => read(text).into_iter().collect(),
        Some(OutValue::List(items)) => items.iter().filter_map(|item| read(item)).collect(),
        _ => Vec::new(),
    }
}

fn as_f64(value: Option<&OutValue>) -> Option<f64> {
    numbers(value).first().copied()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_engine_answers_as_the_model(
        (one, two) in (rows(), rows()),
        (text, where_text) in (predicate(), proptest::option::of(predicate())),
        (size, style, other_style) in (select(vec![1usize, 7, 70, 200]), 0..4usize, 0..4usize),
        (gone, limit, newest_first, page, threads) in (0u64..20, 0usize..60, any::<bool>(), 1usize..80, 1usize..3),
        (sort_field, descending) in (select(vec!["a", "b", "_offset", "absent"]), any::<bool>()),
    ) {
        let styles = [Style::Sorted, Style::PerGroup, Style::Text, Style::Typed];
        let split = one.len() / 3;
        let pieces = [("one", one[split..].to_vec()), ("two", two), ("one", one[..split].to_vec())];
        let mut sources: Vec<Arc<dyn Source>> = Vec::new();
        for (index, (topic, rows)) in pieces.iter().enumerate() {
            let mut source = MemorySource::new(topic, rows.clone(), size, styles[if index == 1 { other_style } else { style }]);
            source.deleted = rows.iter().map(|row| row.offset).filter(|offset| offset % 17 == gone).collect();
            sources.push(Arc::new(source));
        }
        let filter = where_text.as_ref().map_or(String::new(), |text| format!(" | where {text}"));
        let ask = |pipes: &str| {
            let mut request = request(&format!("{text}{filter}{pipes}"));
            request.newest_first = newest_first;
            request.limit = limit;
            request.limits.page = page;
            request.limits.threads = threads;
            let (rows, stats) = rows_of(&sources, &request);
            assert!(!stats.partial, "{stats:?}");
            rows
        };
        let mut kept = all_rows(&pieces, gone);
        if !newest_first {
            kept.reverse();
        }
        for text in [Some(&text), where_text.as_ref()].into_iter().flatten() {
            let predicate = crate::base::predicate::parse(text).unwrap();
            kept.retain(|row| row.passes(&predicate));
        }

        // Rows by time.
        let expected: Vec<String> = kept.iter().take(limit).map(OutRow::to_json).collect();
        prop_assert_eq!(ask("").iter().map(OutRow::to_json).collect::<Vec<_>>(), expected, "{}{}", text, filter);

        // Rows by a field.
        let mut sorted: Vec<&OutRow> = kept.iter().collect();
        sorted.sort_by(|a, b| {
            let null = OutValue::Null;
            let view = |row: &'_ OutRow| row.get(sort_field).cloned().unwrap_or(OutValue::Null);
            let (a, b) = (view(a), view(b));
            let missing = (a == null).cmp(&(b == null));
            missing.then_with(|| if a == null { std::cmp::Ordering::Equal } else if descending { b.order(&a) } else { a.order(&b) })
        });
        let expected: Vec<String> = sorted.iter().take(limit).map(|row| row.to_json()).collect();
        let sign = if descending { "-" } else { "" };
        let found = ask(&format!(" | sort {sign}{sort_field}"));
        prop_assert_eq!(found.iter().map(OutRow::to_json).collect::<Vec<_>>(), expected, "{}{} sort {}{}", text, filter, sign, sort_field);

        // Figures by two keys.
        let mut groups: BTreeMap<(String, String), Vec<&OutRow>> = BTreeMap::new();
        for row in &kept {
            let Some(OutValue::Time(time)) = row.get("_time") else { panic!("no time") };
            let bin = (time.div_euclid(2 * SECOND) * 2 * SECOND).to_string();
            for a in key_texts(row.get("a")) {
                groups.entry((a, bin.clone())).or_default().push(row);
            }
        }
        let found = ask(" | stats count(), count(b), sum(b), min(b), max(b), p50(b), count_distinct(b), count_values(b) by a, bin(2s) as t");
        prop_assert_eq!(found.len(), groups.len(), "{}{}", text, filter);
        for row in &found {
            let key = (key_texts(row.get("a")).remove(0), key_texts(row.get("t")).remove(0));
            let Some(group) = groups.get(&key) else { return Err(TestCaseError::fail(format!("{key:?} is no group"))) };
            let mut all: Vec<f64> = group.iter().flat_map(|row| numbers(row.get("b"))).collect();
            all.sort_by(f64::total_cmp);
            let having = group.iter().filter(|row| row.get("b").is_some()).count();
            let mut values: Vec<String> = group.iter().filter_map(|row| row.get("b")).flat_map(|value| key_texts(Some(value))).collect();
            values.sort();
            values.dedup();
            let items: usize = group.iter().filter_map(|row| row.get("b")).map(|value| key_texts(Some(value)).len()).sum();
            let of = |count: usize| Some(OutValue::Int(i64::try_from(count).unwrap()));
            prop_assert_eq!(row.get("count()").cloned(), of(group.len()));
            prop_assert_eq!(row.get("count(b)").cloned(), of(having));
            prop_assert_eq!(row.get("count_distinct(b)").cloned(), of(values.len()));
            prop_assert_eq!(row.get("count_values(b)").cloned(), of(items));
            let sum = (!all.is_empty()).then(|| all.iter().sum::<f64>());
            prop_assert_eq!(as_f64(row.get("sum(b)")), sum);
            prop_assert_eq!(as_f64(row.get("min(b)")), all.first().copied());
            prop_assert_eq!(as_f64(row.get("max(b)")), all.last().copied());
            let middle = (!all.is_empty()).then(|| {
                let (below, above) = (all[(all.len() - 1) / 2], all[all.len() / 2]);
                if below == above { below } else { below * 0.5 + above * 0.5 }
            });
            prop_assert_eq!(as_f64(row.get("p50(b)")), middle);
        }

        // The same figures from rows of an answer: pipes after a limit are another implementation.
        let stats = " | stats count(), sum(b), count_distinct(b) by a, bin(2s) as t";
        let json = |rows: Vec<OutRow>| rows.iter().map(OutRow::to_json).collect::<Vec<_>>();
        prop_assert_eq!(json(ask(stats)), json(ask(&format!(" | limit 1000{stats}"))));

        // One key: where all is kept, dictionaries carry the counts.
        let found = ask(" | stats count() by a");
        let counted: i64 = found.iter().filter(|row| row.get("a").is_some_and(|key| *key != OutValue::Null)).map(|row| match row.get("count()") {
            Some(OutValue::Int(count)) => *count,
            _ => 0,
        }).sum();
        let values = ask(" | stats count_values(a) as n");
        prop_assert_eq!(values[0].get("n"), Some(&OutValue::Int(counted)));
        let total = |row: &OutRow| kept.iter().filter(|other| key_texts(other.get("a")).contains(&key_texts(row.get("a")).remove(0))).count();
        for row in &found {
            prop_assert_eq!(row.get("count()").cloned(), Some(OutValue::Int(i64::try_from(total(row)).unwrap())));
        }
        prop_assert_eq!(found.len(), groups.keys().map(|(a, _)| a).collect::<std::collections::BTreeSet<_>>().len());

        // The first few of many groups are chosen before they are made into rows.
        let stats = " | stats count(), max(b) by a, b";
        for (sort, most) in [("-count()", 3), ("-max(b), a", 2), ("b", 4)] {
            let few = json(ask(&format!("{stats} | sort {sort} | limit {most}")));
            let all = json(ask(&format!("{stats} | sort {sort}")));
            prop_assert_eq!(&few[..], &all[..all.len().min(most)], "{}{} sort {}", text, filter, sort);
        }

        // Counts over time.
        let histogram = histogram_of(&sources, &request(&format!("{text}{filter}")), 7, &cancel()).unwrap();
        prop_assert_eq!(histogram.total, kept.len() as u64);
        for (start, rows) in &histogram.buckets {
            let expected = kept.iter().filter(|row| matches!(row.get("_time"), Some(OutValue::Time(ns)) if ns - start < histogram.step && ns >= start)).count();
            prop_assert_eq!(*rows, expected as u64);
        }
    }

    /// No text breaks the parser of queries; what it accepts it prints so that it accepts it again, and it runs.
    #[test]
    fn any_query_is_understood_or_refused(text in "[ab:*]{0,3} ?\\| ?(stats|sort|limit|fields|top|rare|where|by|bin|count|[-()|,:0-9ab \"*]){0,8}") {
        match crate::store::query::parse(&text) {
            Ok(query) => {
                let shown = query.to_string();
                prop_assert_eq!(crate::store::query::parse(&shown), Ok(query), "{} as {}", text, shown);
                let rows = vec![TestRow { time: TEN, partition: 0, offset: 0, n: 0, fields: vec![("a", OutValue::Int(1))] }];
                let sources: Vec<Arc<dyn Source>> = vec![Arc::new(MemorySource::new("one", rows, 1, Style::Text))];
                rows_of(&sources, &request(&text));
            }
            Err(error) => prop_assert!(error.position <= text.len(), "{}: {}", text, error),
        }
    }

    /// Nor do any bytes.
    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..48)) {
        let text = format!("a | {}", String::from_utf8_lossy(&bytes));
        let _ = crate::store::query::parse(&text);
    }
}
