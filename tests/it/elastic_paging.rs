//! Pages of the Elasticsearch dialect, through its port: one after the other they are the whole list, by `search_after`, by scroll and
//! by `composite`.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::elastic::Elastic;

/// Decimals that a reader of numbers which is off by one in the last digit does not find again.
const DECIMALS: [f64; 12] = [
    0.1,
    0.30000000000000004,
    3.9000000000000004,
    5.5,
    2203.795067557747,
    0.0005741218642436,
    91.0357,
    1.1,
    7.000000000000001,
    123456.78901234567,
    1e-7,
    4.35,
];

/// Rows of mixed values in two topics, within a few milliseconds.
fn start() -> Elastic {
    let elastic = Elastic::start();
    let long = |end: &str| format!("{}{end}", "ä".repeat(255));
    let mut values: Vec<Value> = DECIMALS.iter().map(|number| json!(number)).collect();
    values.extend(["1.1", "1.10", "1.2", "1.20", "2.0", "2", "007", "7", "1.0", "1", "0x", "1.00"].map(Value::from));
    values.extend(["timeout", "reset", "unreachable", "true", "", "tr", "10.0.0.1"].map(Value::from));
    values.extend(["a", "ab", "ac", "€", "", "b"].map(|end| long(end).into()));
    values.extend([json!(true), json!(false), json!(true), json!(2), json!(1), json!(-3), json!(["2", "10"]), Value::Null]);
    values.extend([json!(9_007_199_254_740_993_i64), json!(9_007_199_254_740_992_i64), json!(1e300), Value::Null]);
    let mut body = String::new();
    for (at, value) in values.iter().enumerate() {
        // Neighbours in time are not neighbours in `i`.
        let i = at * 17 % values.len();
        let time = format!("2025-11-20T10:00:00.{:06}Z", 1000 * (at / 14) + at * 37 % 1000);
        let mut document = json!({ "@timestamp": time, "i": i, "g": at % 3, "message": "m" });
        if !value.is_null() {
            document["v"] = value.clone();
        }
        if let Some(decimal) = DECIMALS.get(at) {
            document["d"] = json!(decimal);
        }
        body.push_str(&format!("{{\"create\":{{\"_index\":\"page-{}\"}}}}\n{document}\n", at % 2));
    }
    let (status, text) =
        elastic.sawbox.send("POST", &format!("{}/_bulk", elastic.url), "application/x-ndjson", body.as_bytes());
    assert!(status == 200 && text.contains("\"errors\":false"), "{text}");
    elastic.sawbox.settle();
    elastic
}

fn ask(elastic: &Elastic, path: &str, body: &Value) -> Value {
    let (status, answer) = elastic.post(path, body);
    assert_eq!(status, 200, "{body}: {answer}");
    answer
}

fn ids(answer: &Value) -> Vec<String> {
    let hits = answer["hits"]["hits"].as_array().unwrap();
    hits.iter().map(|hit| hit["_id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn pages_of_rows_are_the_whole_list() {
    let elastic = start();
    let rows = ask(&elastic, "/page-*/_count", &json!({}))["count"].as_u64().unwrap() as usize;
    for sort in [
        json!([{ "v": "asc" }]),
        json!([{ "v": "desc" }]),
        json!([{ "v": { "order": "asc", "missing": "_first" } }]),
        json!([{ "@timestamp": "desc" }]),
        json!([{ "@timestamp": "asc" }, { "i": "asc" }]),
        json!([{ "@timestamp": "desc" }, { "i": "asc" }]),
        json!([{ "@timestamp": { "order": "desc", "format": "epoch_second" } }, { "i": "asc" }]),
        json!([{ "@timestamp": { "order": "desc", "format": "strict_date_optional_time_nanos" } }, { "i": "desc" }]),
        json!([{ "g": "asc" }, { "@timestamp": "desc" }, { "v": "asc" }]),
    ] {
        let whole = ids(&ask(&elastic, "/page-*/_search", &json!({ "sort": sort, "size": 1000 })));
        assert_eq!((whole.len(), whole.iter().collect::<BTreeSet<_>>().len()), (rows, rows), "{sort}");
        for size in 1..4 {
            let (mut paged, mut after) = (Vec::new(), Value::Null);
            while paged.len() <= rows {
                let page = ask(&elastic, "/page-*/_search", &json!({ "sort": sort, "size": size, "search_after": after }));
                let Some(last) = page["hits"]["hits"].as_array().unwrap().last() else { break };
                after = last["sort"].clone();
                paged.extend(ids(&page));
            }
            assert_eq!(paged, whole, "search_after {size} {sort}");
        }
        let mut page = ask(&elastic, "/page-*/_search?scroll=1m", &json!({ "sort": sort, "size": 2 }));
        let mut paged = Vec::new();
        while paged.len() <= rows && !ids(&page).is_empty() {
            paged.extend(ids(&page));
            page = ask(&elastic, "/_search/scroll", &json!({ "scroll": "1m", "scroll_id": page["_scroll_id"] }));
        }
        assert_eq!(paged, whole, "scroll {sort}");
    }
    // Without the row itself, as who makes up a place writes it.
    let body = json!({ "sort": [{ "@timestamp": "asc" }, { "i": "asc" }], "size": 1000 });
    let whole = ask(&elastic, "/page-*/_search", &body);
    let hits = whole["hits"]["hits"].as_array().unwrap();
    for (at, hit) in hits.iter().enumerate() {
        let mut body = body.clone();
        body["search_after"] = hit["sort"].as_array().unwrap()[..2].into();
        assert_eq!(ids(&ask(&elastic, "/page-*/_search", &body)), ids(&whole)[at + 1..], "{hit}");
    }
}

#[test]
fn keys_of_one_object_count_as_written() {
    let elastic = start();
    let sorted = |sort: &str| {
        let body = format!(r#"{{"sort":{sort},"size":1000}}"#);
        let (status, text) =
            elastic.sawbox.send("POST", &format!("{}/page-*/_search", elastic.url), "application/json", body.as_bytes());
        assert_eq!(status, 200, "{sort}: {text}");
        ids(&serde_json::from_str(&text).unwrap())
    };
    let g_first = sorted(r#"[{"g":"desc"},{"@timestamp":"asc"}]"#);
    let time_first = sorted(r#"[{"@timestamp":"asc"},{"g":"desc"}]"#);
    assert_ne!(g_first, time_first);
    assert_eq!(sorted(r#"{"g":"desc","@timestamp":{"order":"asc"}}"#), g_first);
    assert_eq!(sorted(r#"{"@timestamp":{"order":"asc"},"g":"desc"}"#), time_first);
    assert_eq!(sorted(r#"[{"g":"desc","@timestamp":"asc"},"_doc"]"#), g_first);
}

#[test]
fn decimals_of_requests_are_those_of_rows() {
    let elastic = start();
    for decimal in DECIMALS {
        for value in [json!(decimal), json!(decimal.to_string())] {
            let count = ask(&elastic, "/page-*/_count", &json!({ "query": { "term": { "d": value } } }));
            assert_eq!(count["count"], 1, "{value}");
        }
    }
}

/// Keys and counts of buckets. `true` and `"true"` are one key, of whichever kind is among the rows that are read.
fn spelt(buckets: &[Value]) -> Vec<(Vec<String>, u64)> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let keys = |bucket: &Value| bucket["key"].as_object().unwrap().values().map(text).collect();
    buckets.iter().map(|bucket| (keys(bucket), bucket["doc_count"].as_u64().unwrap())).collect()
}

#[test]
fn pages_of_buckets_are_the_whole_list() {
    let elastic = start();
    let page = |sources: &Value, size: usize, after: &Value| {
        let mut composite = json!({ "sources": sources, "size": size });
        if !after.is_null() {
            composite["after"] = after.clone();
        }
        ask(&elastic, "/page-*/_search", &json!({ "size": 0, "aggs": { "c": { "composite": composite } } }))["aggregations"]["c"]
            .take()
    };
    for sources in [
        json!([{ "k": { "terms": { "field": "v" } } }]),
        json!([{ "k": { "terms": { "field": "v", "order": "desc" } } }]),
        json!([{ "k": { "terms": { "field": "v", "missing_bucket": true } } }]),
        json!([{ "k": { "terms": { "field": "@timestamp" } } }]),
        json!([{ "k": { "terms": { "field": "@timestamp", "order": "desc" } } }]),
        json!([{ "k": { "terms": { "field": "@timestamp", "order": "desc" } } }, { "l": { "terms": { "field": "v" } } }]),
        json!([{ "k": { "terms": { "field": "g" } } }, { "l": { "terms": { "field": "v", "order": "desc" } } }]),
        json!([{ "k": { "histogram": { "field": "d", "interval": 0.1 } } }]),
    ] {
        let whole = page(&sources, 1000, &Value::Null)["buckets"].as_array().unwrap().clone();
        let keys: BTreeSet<String> = whole.iter().map(|bucket| bucket["key"].to_string()).collect();
        assert_eq!(keys.len(), whole.len(), "{sources}");
        for size in 1..4 {
            let (mut paged, mut after) = (Vec::new(), Value::Null);
            while paged.len() <= whole.len() {
                let mut answer = page(&sources, size, &after);
                let Value::Array(buckets) = answer["buckets"].take() else { panic!("{answer}") };
                if buckets.is_empty() {
                    break;
                }
                paged.extend(buckets);
                after = answer["after_key"].take();
            }
            assert_eq!(spelt(&paged), spelt(&whole), "{size} {sources}");
        }
    }
    let terms = json!({ "size": 0, "aggs": { "t": { "terms": { "field": "@timestamp", "order": { "_key": "asc" } } } } });
    let answer = ask(&elastic, "/page-*/_search", &terms);
    let buckets = answer["aggregations"]["t"]["buckets"].as_array().unwrap();
    let counts: Vec<u64> = buckets.iter().map(|bucket| bucket["doc_count"].as_u64().unwrap()).collect();
    assert_eq!(counts[..3], [14, 14, 14], "{buckets:?}");
}
