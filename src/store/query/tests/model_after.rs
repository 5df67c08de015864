//! Pipes after pipes, against a plain model: figures of what was computed, predicates and orders of figures, over lists, values of
//! several kinds, and times near both ends of time.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::select;

use super::memory::{MemorySource, Style, TestRow};
use super::model::{all_rows, key_texts, rows};
use super::*;
use crate::base::predicate::{Number, parse as parse_predicate};
use crate::store::query::OutValue;
use crate::store::query::layers::Layers;
use crate::store::query::split::split;

const STYLES: [Style; 4] = [Style::Sorted, Style::PerGroup, Style::Text, Style::Typed];

/// The items of a value as numbers.
fn numbers(value: Option<&OutValue>) -> Vec<Number> {
    match value {
        Some(OutValue::Int(int) | OutValue::Time(int)) => vec![Number::Int(*int)],
        Some(OutValue::Float(float)) => vec![Number::Float(*float)],
        Some(OutValue::Str(text)) => Number::parse(text).into_iter().collect(),
        Some(OutValue::List(items)) => items.iter().filter_map(|item| Number::parse(item)).collect(),
        _ => Vec::new(),
    }
}

/// What figures are made of: to them yes is 1 and no is 0.
fn figured(value: Option<&OutValue>) -> Vec<Number> {
    match value {
        Some(OutValue::Bool(bool)) => vec![Number::Int(i64::from(*bool))],
        value => numbers(value),
    }
}

/// Multiples of a step at or below a value's numbers, as texts; `null` without.
fn bins(value: Option<&OutValue>, step: i64) -> Vec<String> {
    let floor = |number: &Number| match number {
        Number::Int(int) => {
            let floor = i128::from(*int).div_euclid(step.into()) * i128::from(step);
            i64::try_from(floor).unwrap_or(i64::MIN).to_string()
        }
        #[allow(clippy::cast_possible_truncation)]
        Number::Float(float) => ((float.floor() as i64).div_euclid(step) * step).to_string(),
    };
    let mut all: Vec<String> = numbers(value).iter().map(floor).collect();
    all.sort();
    all.dedup();
    if all.is_empty() { vec!["null".into()] } else { all }
}

/// What comes before `stats`, and what rows are grouped by.
type Keyed = (&'static str, &'static str, fn(Vec<OutRow>) -> Vec<OutRow>, fn(&OutRow) -> Vec<String>);

const KEYED: [Keyed; 9] = [
    ("", "a as k", |rows| rows, |row| key_texts(row.get("a"))),
    ("", "bin(b, 2) as k", |rows| rows, |row| bins(row.get("b"), 2)),
    ("", "bin(a, 5) as k", |rows| rows, |row| bins(row.get("a"), 5)),
    ("", "bin(2s) as k", |rows| rows, |row| bins(row.get("_time"), 2 * SECOND)),
    ("", "bin(_time, 3500000000ns) as k", |rows| rows, |row| bins(row.get("_time"), 3_500_000_000)),
    (" | rename a as k | where k:*", "k", |rows| having(rows, "a"), |row| key_texts(row.get("a"))),
    (
        " | eval c = b * 2",
        "bin(c, 4) as k",
        |rows| rows,
        |row| {
            // Of a list the first item is computed with.
            let first = match row.get("b") {
                Some(OutValue::List(items)) => items.first().map(|item| OutValue::Str(item.clone())),
                other => other.cloned(),
            };
            let doubled = numbers(first.as_ref()).first().map(|number| match number {
                Number::Int(int) => OutValue::Int(int * 2),
                Number::Float(float) => OutValue::Float(float * 2.0),
            });
            bins(doubled.as_ref(), 4)
        },
    ),
    (" | sort b | dedup a", "a as k", |rows| firsts(rows, "b"), |row| key_texts(row.get("a"))),
    (
        " | where a:x or b:* | sort -b | dedup a | where b:*",
        "a as k",
        |rows| {
            let predicate = parse_predicate("a:x or b:*").unwrap();
            let mut rows: Vec<OutRow> = rows.into_iter().filter(|row| row.passes(&predicate)).collect();
            rows.sort_by(|a, b| by_value(a.get("b"), b.get("b"), true));
            having(firsts(rows, ""), "b")
        },
        |row| key_texts(row.get("a")),
    ),
];

fn having(rows: Vec<OutRow>, name: &str) -> Vec<OutRow> {
    rows.into_iter().filter(|row| row.get(name).is_some()).collect()
}

/// What is absent comes last in both directions.
fn by_value(a: Option<&OutValue>, b: Option<&OutValue>, descending: bool) -> Ordering {
    let (a, b) = (a.filter(|value| **value != OutValue::Null), b.filter(|value| **value != OutValue::Null));
    match (a, b) {
        (Some(a), Some(b)) if descending => b.order(a),
        (Some(a), Some(b)) => a.order(b),
        (a, b) => a.is_none().cmp(&b.is_none()),
    }
}

/// The first row of each `a`, by a field if there is one.
fn firsts(mut rows: Vec<OutRow>, sort: &str) -> Vec<OutRow> {
    if !sort.is_empty() {
        rows.sort_by(|a, b| by_value(a.get(sort), b.get(sort), false));
    }
    let mut seen = std::collections::BTreeSet::new();
    let key = |row: &OutRow| match row.get("a") {
        Some(OutValue::List(items)) => format!("{items:?}"),
        None => "nothing".into(),
        value => format!("text {}", key_texts(value).remove(0)),
    };
    rows.into_iter().filter(|row| seen.insert(key(row))).collect()
}

/// Rows, numbers of `b`, their sum, the least and the greatest.
type Figures = (usize, usize, f64, Option<f64>, Option<f64>);

fn figures(rows: &[&OutRow]) -> Figures {
    let all: Vec<f64> = rows.iter().flat_map(|row| figured(row.get("b"))).map(Number::as_f64).collect();
    let (least, greatest) = (all.iter().copied().reduce(f64::min), all.iter().copied().reduce(f64::max));
    (rows.len(), all.len(), all.iter().sum(), least, greatest)
}

fn found_figures(row: &OutRow) -> Figures {
    let float = |name: &str| numbers(row.get(name)).first().map(|number| number.as_f64());
    let count = |name: &str| match row.get(name) {
        Some(OutValue::Int(int)) => usize::try_from(*int).unwrap(),
        other => panic!("{name} is {other:?}"),
    };
    (count("n"), count("m"), float("s").unwrap_or(0.0), float("l"), float("g"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn figures_of_computed_rows_are_those_of_the_model(
        (mut one, mut two) in (rows(), rows()),
        (size, style, other_style) in (select(vec![1usize, 7, 70, 200]), 0..4usize, 0..4usize),
        (gone, newest_first, threads) in (0u64..20, any::<bool>(), 1usize..3),
        base in select(vec![TEN, 0, -3 * SECOND, -TEN, i64::MIN, i64::MAX - 8 * SECOND]),
        (keyed, least, most) in (select(KEYED.to_vec()), 0usize..4, 0usize..5),
        (sort, descending) in (select(vec!["n", "s", "k", "l"]), any::<bool>()),
    ) {
        for row in one.iter_mut().chain(&mut two) {
            row.time = base.saturating_add(row.time - TEN);
        }
        let sources: Vec<Arc<dyn Source>> = [("one", &one, style), ("two", &two, other_style)]
            .into_iter()
            .map(|(topic, rows, style)| {
                let mut source = MemorySource::new(topic, rows.clone(), size, STYLES[style]);
                source.deleted = rows.iter().map(|row| row.offset).filter(|offset| offset % 17 == gone).collect();
                Arc::new(source) as Arc<dyn Source>
            })
            .collect();
        let ask = |query: &str| {
            let mut request = request(query);
            (request.newest_first, request.limit, request.limits.threads) = (newest_first, 1000, threads);
            let (rows, stats) = rows_of(&sources, &request);
            assert!(!stats.partial, "{query}: {stats:?}");
            rows
        };
        let (before, by, prepare, keys_of) = keyed;
        let mut kept = all_rows(&[("one", one), ("two", two)], gone);
        if !newest_first {
            kept.reverse();
        }
        let kept = prepare(kept);
        let mut groups: BTreeMap<String, Vec<&OutRow>> = BTreeMap::new();
        for row in &kept {
            for key in keys_of(row) {
                groups.entry(key).or_default().push(row);
            }
        }
        let expected: BTreeMap<String, Figures> = groups.iter().map(|(key, rows)| (key.clone(), figures(rows))).collect();
        let stats = format!("stats count() as n, count_numbers(b) as m, sum(b) as s, min(b) as l, max(b) as g by {by}");
        let key = |row: &OutRow| key_texts(row.get("k")).remove(0);
        for start in ["*", "* | limit 1000"] {
            let query = format!("{start}{before} | {stats}");
            let all = ask(&query);
            let found: BTreeMap<String, Figures> = all.iter().map(|row| (key(row), found_figures(row))).collect();
            prop_assert_eq!(found.len(), all.len(), "{}", query);
            prop_assert_eq!(&found, &expected, "{}", query);

            // Predicates, orders and limits of figures.
            let sign = if descending { "-" } else { "" };
            let after = format!("{query} | where n>{least} | eval t = n - m | sort {sign}{sort} | limit {most}");
            let mut want: Vec<&OutRow> = all.iter().filter(|row| found_figures(row).0 > least).collect();
            want.sort_by(|a, b| by_value(a.get(sort), b.get(sort), descending));
            want.truncate(most);
            let few = ask(&after);
            prop_assert_eq!(few.iter().map(key).collect::<Vec<_>>(), want.into_iter().map(key).collect::<Vec<_>>(), "{}", after);
            for row in &few {
                let (n, m, ..) = found_figures(row);
                let difference = i64::try_from(n).unwrap() - i64::try_from(m).unwrap();
                prop_assert_eq!(row.get("t"), Some(&OutValue::Int(difference)), "{}", after);
            }
        }
    }
}

#[test]
fn nothing_is_as_many_rows_as_no_limit_allows() {
    for sources in super::tables::every_way() {
        for query in [
            "* | limit 0",
            "* | sort status | limit 0",
            "* | dedup app | limit 0",
            "* | stats count() by app | limit 0",
            "* | stats count() by app | sort -count() | limit 0",
            "* | top 0 app",
            "* | rare 0 app, ip",
            "* | patterns 0",
            "* | limit 0 | stats count() by app",
            "* | limit 0 | eval a = 1 | dedup app",
            "* | limit 0 | timeseries by app",
        ] {
            assert!(rows_of(&sources, &request(query)).0.is_empty(), "{query}");
        }
        let none = rows_of(&sources, &request("* | limit 0 | stats count(), sum(status), values(app)")).0;
        assert_eq!(
            none.iter().map(OutRow::to_json).collect::<Vec<_>>(),
            [r#"{"count()":0,"sum(status)":null,"values(app)":[]}"#]
        );
    }
}

#[test]
fn without_a_limit_of_its_own_dedup_gives_as_many_rows_as_are_asked() {
    for sources in super::tables::every_way() {
        let count = |query: &str| {
            let mut request = request(query);
            request.limit = 2;
            rows_of(&sources, &request).0.len()
        };
        for query in
            ["* | dedup app", "* | dedup app | where message:*", "* | dedup app | sort app", "* | dedup ip | eval x = 1"]
        {
            assert_eq!(count(query), 2, "{query}");
        }
        assert_eq!(count("* | dedup app | where message:* | limit 3"), 3);
        assert_eq!(count("* | dedup app | stats count() by app"), 3);
    }
}

#[test]
fn a_key_named_count_is_what_sort_means() {
    let rows = [5, 1, 5, 5, 9, 1].map(|count: i64| OutValue::Str(count.to_string().into_bytes().into()));
    let rows = (0u64..).zip(rows).map(|(offset, count)| {
        let fields = vec![("count", count)];
        TestRow { time: TEN, partition: 0, offset, n: 0, fields }
    });
    for style in STYLES {
        let sources: Vec<Arc<dyn Source>> = vec![Arc::new(MemorySource::new("one", rows.clone().collect(), 2, style))];
        for (sort, expected) in [("-count", "9 5"), ("-count()", "5 1"), ("count()", "9 1")] {
            let (found, _) = rows_of(&sources, &request(&format!("* | stats count() by count | sort {sort} | limit 2")));
            let found: Vec<String> = found.iter().map(|row| key_texts(row.get("count")).remove(0)).collect();
            assert_eq!(found.join(" "), expected, "{sort} {style:?}");
        }
    }
}

#[test]
fn steps_that_began_before_what_is_asked_stay() {
    let sources = &super::tables::every_way()[0];
    let mut request = request("* | stats count() as n by bin(1h) as _time | timeseries span 10m sum(n) as n");
    (request.from_ns, request.to_ns) = (Some(TEN + 150 * SECOND), Some(TEN + 660 * SECOND));
    let rows: Vec<String> = rows_of(sources, &request).0.iter().map(OutRow::to_json).collect();
    assert_eq!(rows, [r#"{"_time":"2015-05-17T10:00:00Z","n":5}"#, r#"{"_time":"2015-05-17T10:10:00Z","n":null}"#]);
    // The same from the middle of the hour.
    request.from_ns = Some(TEN + 250 * SECOND);
    request.query = parse_at("* | stats count() as n by bin(1h) as _time | timeseries span 4m sum(n) as n", TEN).unwrap();
    let rows = rows_of(sources, &request).0;
    assert_eq!(rows.first().map(OutRow::to_json).as_deref(), Some(r#"{"_time":"2015-05-17T10:00:00Z","n":3}"#));
}

#[test]
fn computed_columns_leave_the_others_what_they_have() {
    let row = |offset: u64| {
        let a = OutValue::Str((offset * 100).to_string().into_bytes().into());
        TestRow { time: TEN, partition: 0, offset, n: 0, fields: vec![("a", a)] }
    };
    let mut source = MemorySource::new("one", (0..40).map(row).collect(), 4, Style::Typed);
    source.payloads = true;
    let sources: Vec<Arc<dyn Source>> = vec![Arc::new(source)];
    let (rows, _) = rows_of(&sources, &request("a:700 | eval b = a + 1 | fields _payload, b"));
    assert_eq!(rows.iter().map(OutRow::to_json).collect::<Vec<_>>(), [r#"{"_payload":"raw 7","b":701}"#]);
    // Bounds, under the name that the column has then.
    let renamed = request("* | eval b = 1 | rename a as c");
    let layers = Layers::new(&sources, &split(&renamed).unwrap(), &renamed);
    let seen = &layers.sources[0];
    let place = |name: &str| seen.columns().iter().position(|column| &*column.name == name).unwrap();
    assert_eq!(seen.number_bounds(9, place("c")), Some((3600, 3900, 0)));
    assert_eq!(seen.number_bounds(9, place("b")), None);
}

#[test]
fn a_field_named_as_payloads_are_hides_none() {
    let forged = |offset: u64| (offset == 2).then(|| ("_payload", OutValue::Str((*b"forged").into())));
    let row = |offset: u64| TestRow { time: TEN, partition: 0, offset, n: 0, fields: forged(offset).into_iter().collect() };
    let mut source = MemorySource::new("one", (0..4).map(row).collect(), 4, Style::Typed);
    let asked = request("* | sort _offset | fields _payload");
    let ask = |source: MemorySource| {
        let sources: Vec<Arc<dyn Source>> = vec![Arc::new(source)];
        rows_of(&sources, &asked).0.iter().map(|row| row.get("_payload").cloned()).collect::<Vec<_>>()
    };
    source.payloads = true;
    assert_eq!(ask(source), (0..4).map(|at| Some(OutValue::Str(format!("raw {at}").into_bytes().into()))).collect::<Vec<_>>());
    // Where payloads are not kept, it is not taken for one.
    assert_eq!(ask(MemorySource::new("one", (0..4).map(row).collect(), 4, Style::Typed)), [const { None }; 4]);
}

#[test]
fn dictionaries_computed_twice_keep_their_order_apart() {
    // More sources than dictionaries are kept of: what is computed again is computed of other entries first.
    let str = |text: &str| OutValue::Str(text.as_bytes().into());
    let sources: Vec<Arc<dyn Source>> = (0u64..140)
        .map(|at| {
            let own = format!("z{at}");
            let of = |(place, text): (u64, &str)| {
                let time = TEN + i64::try_from(place / 3).unwrap() * SECOND;
                TestRow { time, partition: 0, offset: at * 10 + place, n: 0, fields: vec![("a", str(text))] }
            };
            let rows = (0u64..).zip(["B", "a", own.as_str(), "A", "b", "b"]).map(of).collect();
            Arc::new(MemorySource::new("one", rows, 3, Style::Sorted)) as Arc<dyn Source>
        })
        .collect();
    let mut request = request("* | eval c = lower(a) | where c:=b");
    request.limit = 1000;
    request.limits.threads = 1;
    let (rows, _) = rows_of(&sources, &request);
    assert_eq!(rows.len(), 3 * 140);
    assert!(rows.iter().all(|row| row.get("c") == Some(&str("b"))));
}

#[test]
fn lists_do_not_multiply_without_end() {
    let items: Vec<Box<[u8]>> = (0..60).map(|item| item.to_string().into_bytes().into()).collect();
    let rows = (0u64..8).map(|offset| {
        let fields = vec![("tags", OutValue::List(items.clone()))];
        TestRow { time: TEN, partition: 0, offset, n: 0, fields }
    });
    let sources: Vec<Arc<dyn Source>> = vec![Arc::new(MemorySource::new("one", rows.collect(), 8, Style::Text))];
    let keys: Vec<String> = (0..20).map(|at| format!("tags as t{at}")).collect();
    for start in ["*", "* | limit 10"] {
        let mut request = request(&format!("{start} | stats count() by {}", keys.join(", ")));
        request.limits.bytes = 1 << 20;
        assert!(rows_of(&sources, &request).1.partial, "{start}");
    }
}

#[test]
fn nan_is_no_least_and_no_greatest() {
    for values in [[f64::NAN, 2.0, 3.0], [2.0, f64::NAN, 3.0], [3.0, 2.0, f64::NAN]] {
        let row = |(offset, value): (u64, f64)| TestRow {
            time: TEN,
            partition: 0,
            offset,
            n: 0,
            fields: vec![("f", OutValue::Float(value))],
        };
        let rows = (0u64..).zip(values).map(row).collect();
        let sources: Vec<Arc<dyn Source>> = vec![Arc::new(MemorySource::new("one", rows, 2, Style::Text))];
        for start in ["*", "* | limit 10"] {
            let (rows, _) = rows_of(&sources, &request(&format!("{start} | stats min(f) as l, max(f) as g, p50(f) as m")));
            assert_eq!(rows[0].to_json(), r#"{"l":2.0,"g":3.0,"m":2.5}"#);
        }
    }
}
