//! No request harms: whatever JSON comes is understood or refused.

mod paging;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::order::Order;
use super::shown::Shown;
use super::{aggs, dsl, lucene};

/// Words that requests are made of, so that random ones get somewhere.
const WORDS: [&str; 64] = [
    "bool",
    "must",
    "should",
    "filter",
    "must_not",
    "minimum_should_match",
    "term",
    "terms",
    "match",
    "match_phrase",
    "range",
    "gte",
    "lt",
    "exists",
    "field",
    "query_string",
    "query",
    "wildcard",
    "regexp",
    "prefix",
    "value",
    "ids",
    "values",
    "constant_score",
    "@timestamp",
    "message",
    "app",
    "aggs",
    "date_histogram",
    "fixed_interval",
    "calendar_interval",
    "histogram",
    "interval",
    "filters",
    "ranges",
    "from",
    "to",
    "avg",
    "stats",
    "percentiles",
    "percents",
    "top_hits",
    "top_metrics",
    "metrics",
    "sort",
    "order",
    "composite",
    "sources",
    "after",
    "derivative",
    "buckets_path",
    "bucket_script",
    "script",
    "moving_fn",
    "window",
    "size",
    "extended_bounds",
    "min",
    "max",
    "time_zone",
    "format",
    "offset",
    "missing",
    "rate",
];
const TEXTS: [&str; 20] = [
    "now-1d/d",
    "2026-11-20",
    "1m",
    "1M",
    "month",
    "Europe/Berlin",
    "a AND (b OR -c)",
    "app:[1 TO *]",
    "/a[b/",
    "75%",
    "-1",
    "*",
    "",
    "desc",
    "_count",
    "a>b.c",
    "params.a / 2",
    "MovingFunctions.max(values)",
    "epoch_millis",
    "top-0-12-0",
];

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        proptest::sample::select(&TEXTS[..]).prop_map(Value::from),
        proptest::sample::select(&WORDS[..]).prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 48, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec((proptest::sample::select(&WORDS[..]), inner), 0..4).prop_map(|members| members
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect::<Map<_, _>>()
                .into()),
        ]
    })
}

proptest! {
    #[test]
    fn no_json_harms_queries_aggregations_or_order(value in any_json()) {
        let _ = dsl::predicate(&value, 0);
        for word in ["query_string", "simple_query_string", "bool", "range", "multi_match", "terms"] {
            let _ = dsl::predicate(&json!({ word: value.clone() }), 0);
        }
        let _ = aggs::parse(&value, 0);
        for word in ["terms", "date_histogram", "histogram", "composite", "filters", "range", "top_hits", "percentiles"] {
            let _ = aggs::parse(&json!({ "a": { word: value.clone() } }), 0);
        }
        let _ = super::order::of_value(&value, 0).map(|order| order.after(std::slice::from_ref(&value), 0));
        let body: Map<String, Value> = value.as_object().cloned().unwrap_or_default();
        let _ = Shown::read(&body, &Default::default(), 0);
    }

    #[test]
    fn no_text_harms_query_strings(text in "[-+!()\\[\\]{}\"~^*?:/\\\\<>=& |.a-zA-Z0-9]{0,60}|(a|AND|OR|NOT|TO|\\(|\\)|:| ){0,40}|\\PC{0,40}") {
        for kind in ["query_string", "simple_query_string"] {
            for operator in ["and", "or"] {
                let body = json!({ kind: { "query": text, "default_operator": operator } });
                if let Ok(found) = dsl::predicate(&body, 0) {
                    // It is no deeper than what is printed and read elsewhere.
                    prop_assert!(!found.to_string().is_empty());
                }
            }
        }
        let _ = lucene::query(&text, &mut lucene::Defaults::new(0));
    }
}

#[test]
fn hostile_requests_are_refused() {
    let mut deep = json!({ "match_all": {} });
    for _ in 0..100 {
        deep = json!({ "bool": { "must": [deep] } });
    }
    assert!(dsl::predicate(&deep, 0).is_err_and(|why| why.contains("deep")));
    let many: Vec<Value> = (0..100_000).map(Value::from).collect();
    assert!(dsl::predicate(&json!({ "terms": { "a": many } }), 0).is_err_and(|why| why.contains("tests")));
    let patterns: Vec<Value> = (0..1000).map(|n| json!({ "wildcard": { "a": format!("*{n}*") } })).collect();
    assert!(dsl::predicate(&json!({ "bool": { "should": patterns } }), 0).is_err_and(|why| why.contains("pattern")));
    let expressions = "/a{900}/ ".repeat(3000);
    assert!(dsl::predicate(&json!({ "query_string": { "query": expressions } }), 0).is_err_and(|why| why.contains("pattern")));
    let fields: Vec<String> = (0..1000).map(|n| format!("f{n}")).collect();
    let many = json!({ "multi_match": { "query": "a ".repeat(1000), "fields": fields } });
    assert!(dsl::predicate(&many, 0).is_err_and(|why| why.contains("tests")));
    let mut nested = json!({ "a": { "avg": { "field": "x" } } });
    for _ in 0..30 {
        nested = json!({ "a": { "terms": { "field": "x" }, "aggs": nested } });
    }
    assert!(aggs::parse(&nested, 0).is_err_and(|why| why.contains("deep")));
    let wide: Map<String, Value> = (0..1000).map(|at| (format!("a{at}"), json!({ "avg": { "field": "x" } }))).collect();
    assert!(aggs::parse(&wide.into(), 0).is_err_and(|why| why.contains("at most")));
    let keys: Vec<(String, Value)> = (0..100).map(|at| (format!("a{at}"), Value::Null)).collect();
    assert!(Order::read(&keys, 0).is_err());
    for text in ["(".repeat(10_000), "a:(".repeat(10_000), "a|b+".repeat(5000), ")a".repeat(10_000), "a ".repeat(100_000)] {
        for kind in ["query_string", "simple_query_string"] {
            let _ = dsl::predicate(&json!({ kind: { "query": text } }), 0).map(|found| found.to_string());
        }
    }
}
