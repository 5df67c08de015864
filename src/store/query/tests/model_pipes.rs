//! Pipes that compute, against a plain model: random chains of them over random rows in random encodings, evaluated row by row by
//! code that shares nothing with the engine but how predicates and orders of values are defined.

use proptest::prelude::*;
use proptest::sample::select;

use super::memory::{MemorySource, Style, TestRow};
use super::model::{all_rows, key_texts, rows};
use super::*;
use crate::base::predicate::{Number, Predicate, parse as parse_predicate};
use crate::store::query::OutValue;

/// What a pipe does to an answer.
type Naive = fn(Vec<OutRow>, &str) -> Vec<OutRow>;

fn first_item(value: Option<&OutValue>) -> Option<OutValue> {
    match value? {
        OutValue::List(items) => items.first().map(|item| OutValue::Str(item.clone())),
        other => Some(other.clone()),
    }
}

fn get(row: &OutRow, name: &str) -> Option<OutValue> {
    first_item(row.get(name))
}

fn set(row: &mut OutRow, name: &str, value: Option<OutValue>) {
    row.fields.retain(|(own, _)| **own != *name);
    row.fields.extend(value.map(|value| (Arc::from(name), value)));
}

fn number(value: Option<&OutValue>) -> Option<Number> {
    match value? {
        OutValue::Int(int) => Some(Number::Int(*int)),
        OutValue::Float(float) => Some(Number::Float(*float)),
        OutValue::Str(text) => Number::parse(text),
        _ => None,
    }
}

fn words(value: Option<&OutValue>) -> Option<String> {
    value.map(|value| key_texts(Some(value)).remove(0))
}

fn string(text: impl Into<String>) -> Option<OutValue> {
    Some(OutValue::Str(text.into().into_bytes().into()))
}

fn is_big(value: Option<&OutValue>) -> bool {
    number(value).is_some_and(|number| number.as_f64() > 3.0)
}

fn each(mut rows: Vec<OutRow>, name: &str, value: impl Fn(&OutRow) -> Option<OutValue>) -> Vec<OutRow> {
    for row in &mut rows {
        let made = value(row);
        set(row, name, made);
    }
    rows
}

fn passing(rows: Vec<OutRow>, text: &str) -> Vec<OutRow> {
    let predicate: Predicate = parse_predicate(text.trim_start_matches("where ")).unwrap();
    rows.into_iter().filter(|row| row.passes(&predicate)).collect()
}

fn sorted(mut rows: Vec<OutRow>, text: &str) -> Vec<OutRow> {
    let key = text.trim_start_matches("sort ");
    let (name, descending) = key.strip_prefix('-').map_or((key, false), |name| (name, true));
    rows.sort_by(|a, b| match (a.get(name), b.get(name)) {
        (Some(a), Some(b)) if descending => b.order(a),
        (Some(a), Some(b)) => a.order(b),
        (a, b) => a.is_none().cmp(&b.is_none()),
    });
    rows
}

fn renamed(mut rows: Vec<OutRow>, text: &str) -> Vec<OutRow> {
    for pair in text.trim_start_matches("rename ").split(", ") {
        let (from, to) = pair.split_once(" as ").unwrap();
        for row in &mut rows {
            let value = row.get(from).cloned();
            set(row, from, None);
            set(row, to, value);
        }
    }
    rows
}

fn deduped(rows: Vec<OutRow>, text: &str) -> Vec<OutRow> {
    let mut seen = std::collections::BTreeSet::new();
    let key = |row: &OutRow, name: &str| match row.get(name) {
        // A list is one value, and not the text that it may look like.
        Some(OutValue::List(items)) => format!("{items:?}"),
        value => words(value).map_or_else(|| "nothing".into(), |text| format!("text {text}")),
    };
    let names: Vec<&str> = text.trim_start_matches("dedup ").split(", ").collect();
    rows.into_iter().filter(|row| seen.insert(names.iter().map(|name| key(row, name)).collect::<Vec<_>>())).collect()
}

/// Pipes and what they do.
const PIPES: [(&str, Naive); 26] = [
    ("eval c = b + 1", |rows, _| {
        each(rows, "c", |row| match number(get(row, "b").as_ref())? {
            Number::Int(int) => Some(OutValue::Int(int + 1)),
            Number::Float(float) => Some(OutValue::Float(float + 1.0)),
        })
    }),
    ("eval a = lower(a)", |rows, _| each(rows, "a", |row| string(words(get(row, "a").as_ref())?.to_lowercase()))),
    ("eval c = len(message)", |rows, _| {
        each(rows, "c", |row| Some(OutValue::Int(i64::try_from(words(get(row, "message").as_ref())?.chars().count()).unwrap())))
    }),
    ("eval b = if(b > 3, \"big\", a)", |rows, _| {
        each(rows, "b", |row| if is_big(get(row, "b").as_ref()) { string("big") } else { get(row, "a") })
    }),
    ("eval c = coalesce(a, b, \"none\")", |rows, _| {
        each(rows, "c", |row| get(row, "a").or_else(|| get(row, "b")).or_else(|| string("none")))
    }),
    ("eval c = concat(a, \"-\", b)", |rows, _| {
        let text = |row: &OutRow, name: &str| words(get(row, name).as_ref()).unwrap_or_default();
        each(rows, "c", |row| string(format!("{}-{}", text(row, "a"), text(row, "b"))))
    }),
    ("eval b = null", |rows, _| each(rows, "b", |_| None)),
    ("eval a = b, b = c", |rows, _| {
        let rows = each(rows, "a", |row| get(row, "b"));
        each(rows, "b", |row| get(row, "c"))
    }),
    ("eval c = b % 2 = 0", |rows, _| {
        each(rows, "c", |row| {
            let rest = number(get(row, "b").as_ref()).map(|number| number.as_f64() % 2.0);
            Some(OutValue::Bool(rest == Some(0.0)))
        })
    }),
    ("eval c = _offset - 5", |rows, _| {
        each(rows, "c", |row| match row.get("_offset") {
            Some(OutValue::Int(int)) => Some(OutValue::Int(int - 5)),
            _ => None,
        })
    }),
    ("extract \"<c> b\"", |rows, _| {
        each(rows, "c", |row| {
            let message = words(get(row, "message").as_ref()).unwrap_or_default();
            message.find(" b").and_then(|at| string(&message[..at])).or_else(|| row.get("c").cloned())
        })
    }),
    ("extract \"(?<a>[ab]+)\" from message", |rows, _| {
        each(rows, "a", |row| {
            let message = words(get(row, "message").as_ref()).unwrap_or_default();
            let run = message.split(|c| c != 'a' && c != 'b').find(|run| !run.is_empty()).map(str::to_owned);
            run.and_then(string).or_else(|| row.get("a").cloned())
        })
    }),
    ("extract \"(?<d>[0-9])\" from b", |rows, _| {
        each(rows, "d", |row| {
            let text = words(get(row, "b").as_ref()).unwrap_or_default();
            text.chars().find(char::is_ascii_digit).and_then(string).or_else(|| row.get("d").cloned())
        })
    }),
    ("rename a as c", renamed),
    ("rename b as a, c as b", renamed),
    ("where c:x", passing),
    ("where b>3", passing),
    ("where a:*", passing),
    ("where -c:*", passing),
    ("where *:big or *:5", passing),
    ("where a:~\"o\"", passing),
    ("sort b", sorted),
    ("sort -a", sorted),
    ("sort c", sorted),
    ("dedup a", deduped),
    ("dedup c, b", deduped),
];

/// An answer without the order of its columns.
fn plain(rows: Vec<OutRow>) -> Vec<String> {
    let one = |mut row: OutRow| {
        row.fields.sort_by(|a, b| a.0.cmp(&b.0));
        row.to_json()
    };
    rows.into_iter().map(one).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn computed_columns_are_what_the_model_computes(
        (one, two) in (rows(), rows()),
        (size, style, other_style) in (select(vec![1usize, 7, 70, 200]), 0..4usize, 0..4usize),
        (gone, newest_first, page, threads) in (0u64..20, any::<bool>(), 1usize..80, 1usize..3),
        text in select(vec!["*", "b", "a:*", "*:x or c", "a:=x or b>2", "not a:5", "_offset>40"]),
        chain in proptest::collection::vec(select(PIPES.to_vec()), 1..6),
        fields in select(vec!["", " | fields c, a, _offset"]),
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
        let ask = |query: &str| {
            let mut request = request(query);
            request.newest_first = newest_first;
            request.limit = 1000;
            request.limits.page = page;
            request.limits.threads = threads;
            let (rows, stats) = rows_of(&sources, &request);
            assert!(!stats.partial, "{stats:?}");
            rows
        };
        let mut model = all_rows(&pieces, gone);
        if !newest_first {
            model.reverse();
        }
        let predicate = parse_predicate(text).unwrap();
        model.retain(|row| row.passes(&predicate));
        let mut pipes = String::new();
        for (pipe, naive) in &chain {
            pipes.push_str(" | ");
            pipes.push_str(pipe);
            model = naive(model, pipe);
        }
        if !fields.is_empty() {
            model = model.into_iter().map(|row| OutRow {
                fields: ["c", "a", "_offset"].iter().filter_map(|name| Some((Arc::from(*name), row.get(name)?.clone()))).collect(),
            }).collect();
        }
        let model = plain(model);
        let query = format!("{text}{pipes}{fields}");
        prop_assert_eq!(&plain(ask(&query)), &model, "{}", query);
        // The same pipes over rows of an answer are another implementation.
        let after = format!("{text} | limit 1000{pipes}{fields}");
        prop_assert_eq!(&plain(ask(&after)), &model, "{}", after);

        for last in [
            "stats count(), values(c), values(b, 2), first(b), last(a), rate(), rate(b) by a",
            "stats count(), first(c), last(c), median(b) by c, bin(1s)",
            "stats count(), values(a), min(a), max(a), count_distinct(a)",
            "stats values(b, 2), count_distinct(b), min(b)",
            "timeseries span 2s count(), sum(b) by a",
            "top 3 c, a",
            "rare 3 b",
            "patterns 5",
            "patterns of c",
        ] {
            let (head, tail) = (format!("{text}{pipes} | {last}"), format!("{text} | limit 1000{pipes} | {last}"));
            prop_assert_eq!(plain(ask(&head)), plain(ask(&tail)), "{}", head);
        }
        let shown = request(&query).query.to_string();
        prop_assert_eq!(crate::store::query::parse(&shown).unwrap(), request(&query).query, "{} as {}", query, shown);
        // To say how a query was answered is to answer it.
        let mut asked = request(&query);
        (asked.newest_first, asked.limit) = (newest_first, 1000);
        let explained = explain_of(&sources, &asked, &cancel()).unwrap();
        prop_assert_eq!(explained.rows, model.len() as u64, "{}", query);
    }

    /// No text of the new pipes breaks the parser; what it accepts it prints so that it accepts it again, and it runs.
    #[test]
    fn any_computing_query_is_understood_or_refused(
        text in "(eval|extract|rename|lookup|dedup|patterns|timeseries|rare|stats) ?(a|b|x = |span |5m |on |as |of |from |fields |by |if\\(|lower\\(|bin\\(|match\\(|now\\(\\)|null|not |and |first\\(|values\\(|\"<a> b\"|\"(?<a>x)\"|'a'|[-+*/%()=<>!,|0-9.\"' ]){0,9}"
    ) {
        let text = format!("* | {text}");
        match crate::store::query::parse_at(&text, TEN) {
            Ok(query) => {
                let shown = query.to_string();
                prop_assert_eq!(crate::store::query::parse(&shown), Ok(query), "{} as {}", text, shown);
                let rows = vec![TestRow { time: TEN, partition: 0, offset: 0, n: 0, fields: vec![("a", OutValue::Int(1))] }];
                let sources: Vec<Arc<dyn Source>> = vec![Arc::new(MemorySource::new("one", rows, 1, Style::Text))];
                let _ = search(&sources, &request(&text), &cancel(), &mut |_| ControlFlow::Continue(()));
            }
            Err(error) => prop_assert!(error.position <= text.len(), "{}: {}", text, error),
        }
    }
}

/// No bytes harm the parser of queries; what it accepts it prints so that it accepts it again.
#[test]
fn fuzz_queries() {
    bolero::check!().with_iterations(20_000).with_max_len(200).for_each(|bytes: &[u8]| {
        for start in ["", "* | ", "* | eval x = ", "* | stats "] {
            let text = format!("{start}{}", String::from_utf8_lossy(bytes));
            match crate::store::query::parse_at(&text, TEN) {
                Ok(query) => assert_eq!(crate::store::query::parse(&query.to_string()), Ok(query), "{text:?}"),
                Err(error) => {
                    assert!(error.position <= text.len() && text.is_char_boundary(error.position), "{text:?}: {error}")
                }
            }
        }
    });
}
