//! What is refused, by name, and what the calendar makes of steps. What aggregations answer is tested over a box.

use serde_json::{Value, json};

use super::parse;

#[test]
fn what_is_not_supported_is_named() {
    let refused = |aggs: Value, name: &str| {
        let why = parse(&aggs, 0).unwrap_err();
        assert!(why.contains(name), "{aggs}: {why}");
    };
    refused(json!({ "a": { "significant_terms": { "field": "x" } } }), "significant_terms");
    refused(json!({ "a": { "nested": { "path": "x" } } }), "nested");
    refused(json!({ "a": { "terms": { "field": "x", "sizzle": 1 } } }), "sizzle");
    refused(json!({ "a": { "terms": { "field": "x", "order": { "_count": "up" } } } }), "up");
    refused(json!({ "a": { "terms": { "field": "x", "size": 0 } } }), "size");
    refused(json!({ "a": { "terms": { "script": "doc.x" } } }), "script");
    refused(json!({ "a": { "date_histogram": { "field": "@timestamp", "calendar_interval": "2M" } } }), "2M");
    refused(json!({ "a": { "date_histogram": { "field": "born", "fixed_interval": "1d" } } }), "@timestamp");
    refused(
        json!({ "a": { "date_histogram": { "field": "@timestamp", "fixed_interval": "1d", "time_zone": "Mars" } } }),
        "Mars",
    );
    let narrow =
        json!({ "field": "@timestamp", "fixed_interval": "1ms", "extended_bounds": { "min": 0, "max": 1_000_000_000 } });
    refused(json!({ "a": { "date_histogram": narrow } }), "buckets");
    let wide = json!({ "min": -9_223_372_036_854i64, "max": 9_223_372_036_854i64 });
    let all = json!({ "field": "@timestamp", "fixed_interval": "1h", "extended_bounds": wide });
    refused(json!({ "a": { "date_histogram": all } }), "buckets");
    refused(json!({ "a": { "avg": { "field": "x" }, "max": { "field": "x" } } }), "one aggregation");
    refused(json!({ "a": { "avg": { "field": "x" }, "aggs": { "b": { "max": { "field": "x" } } } } }), "figure");
    refused(json!({ "a": { "avg": { "field": "x", "script": "_value * 2" } } }), "script");
    refused(json!({ "a": { "derivative": { "buckets_path": "b" } } }), "within buckets");
    refused(json!({ "a": { "rate": { "unit": "hour" } } }), "date_histogram");
    let script = |script: &str| json!({ "h": { "histogram": { "field": "x", "interval": 1 }, "aggs": { "s": { "bucket_script": { "buckets_path": { "a": "_count" }, "script": script } } } } });
    refused(script("Math.log(params.a)"), "Math.log");
    assert!(parse(&script("params.a * 2"), 0).is_ok());
    refused(json!({ "a>b": { "avg": { "field": "x" } } }), "a>b");
    let sums = |first: &str, second: &str| {
        json!({ "h": { "histogram": { "field": "x", "interval": 1 }, "aggs": {
        "a": { "cumulative_sum": { "buckets_path": first } }, "b": { "cumulative_sum": { "buckets_path": second } } } } })
    };
    refused(sums("b", "a"), "circle");
    refused(sums("_count", "c"), "`c`");
    assert!(parse(&sums("b", "_count"), 0).is_ok());
}
