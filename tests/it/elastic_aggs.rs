//! The Elasticsearch dialect's aggregations over the documents of [`crate::elastic`]: a request, and what is at some places of its answer.

use serde_json::{Value, json};

use crate::elastic::{Elastic, hits};

/// Some members of each bucket.
fn buckets(list: &Value, members: &[&str]) -> Vec<Vec<Value>> {
    let all: Vec<&Value> = match &list["buckets"] {
        Value::Array(all) => all.iter().collect(),
        Value::Object(named) => named.values().collect(),
        _ => panic!("no buckets: {list}"),
    };
    all.into_iter()
        .map(|bucket| members.iter().map(|path| bucket.pointer(path).cloned().unwrap_or(Value::Null)).collect())
        .collect()
}

fn rows(rows: Value) -> Vec<Vec<Value>> {
    serde_json::from_value(rows).unwrap()
}

#[test]
fn buckets_by_values() {
    let elastic = Elastic::start();
    let terms = |terms: Value, inside: Value| elastic.aggs(json!({ "a": { "terms": terms, "aggs": inside } }))["a"].take();
    let plain = terms(json!({ "field": "app", "size": 2 }), json!({}));
    assert_eq!(buckets(&plain, &["/key", "/doc_count"]), rows(json!([["shop", 3], ["api", 2]])));
    assert_eq!(plain["sum_other_doc_count"], 2);
    let by_key = terms(json!({ "field": "app", "order": { "_key": "desc" } }), json!({}));
    assert_eq!(buckets(&by_key, &["/key"]), rows(json!([["shop"], ["blog"], ["api"]])));
    let sum = json!({ "1": { "sum": { "field": "bytes" } } });
    let by_metric = terms(json!({ "field": "app", "size": 2, "order": { "1": "desc" } }), sum);
    assert_eq!(buckets(&by_metric, &["/key", "/1/value"]), rows(json!([["blog", 1000], ["shop", 530]])));
    let percentile = json!({ "1": { "percentiles": { "field": "bytes", "percents": ["99"] } } });
    let by_percentile = terms(json!({ "field": "app", "size": 1, "order": { "1.99": "asc" } }), percentile);
    assert_eq!(buckets(&by_percentile, &["/key", "/1/values/99.0"]), rows(json!([["api", 49.7]])));
    let numbers = terms(json!({ "field": "status", "order": { "_key": "asc" }, "min_doc_count": 2 }), json!({}));
    assert_eq!(buckets(&numbers, &["/key", "/doc_count"]), rows(json!([[200, 4]])));
    let missing = terms(json!({ "field": "user.name", "missing": "nobody" }), json!({}));
    assert_eq!(buckets(&missing, &["/key", "/doc_count"]), rows(json!([["nobody", 5], ["ann", 1], ["bob", 1]])));
    let chosen = terms(json!({ "field": "app", "include": "s.*|a.*", "exclude": ["api"] }), json!({}));
    assert_eq!((buckets(&chosen, &["/key"]), &chosen["sum_other_doc_count"]), (rows(json!([["shop"]])), &json!(0)));
    // In Lucene's grammar: `^` is a letter, `@` any letters.
    let like = terms(json!({ "field": "app", "include": "^api|sh@" }), json!({}));
    assert_eq!(buckets(&like, &["/key"]), rows(json!([["shop"]])));
    let first = terms(json!({ "field": "app", "include": ["shop", "api"], "size": 1 }), json!({}));
    assert_eq!((buckets(&first, &["/key"]), &first["sum_other_doc_count"]), (rows(json!([["shop"]])), &json!(2)));
    // A number is meant however it is spelt.
    for (field, wanted, found) in
        [("status", json!([404.0, "5e2"]), json!([[404], [500]])), ("took", json!([0.50]), json!([[0.5]]))]
    {
        let some = terms(json!({ "field": field, "include": wanted, "order": { "_key": "asc" } }), json!({}));
        assert_eq!(buckets(&some, &["/key"]), rows(found), "{wanted}");
    }
    let others = terms(json!({ "field": "status", "exclude": ["200.0", 301], "order": { "_key": "asc" } }), json!({}));
    assert_eq!(buckets(&others, &["/key"]), rows(json!([[404], [500]])));
    let lists = terms(json!({ "field": "tags" }), json!({}));
    assert_eq!(buckets(&lists, &["/key", "/doc_count"]), rows(json!([["slow", 2], ["retry", 1]])));
    // A row of a list is in several, and so among the others too.
    let few = |missing: Value, others: u64| {
        let few = terms(json!({ "field": "tags", "size": 1, "missing": missing }), json!({}));
        assert_eq!(few["sum_other_doc_count"], others, "{few}");
    };
    few(Value::Null, 1);
    few("none".into(), 3);
    let yes = terms(json!({ "field": "vip" }), json!({}));
    assert_eq!(buckets(&yes, &["/key", "/key_as_string"]), rows(json!([[1, "true"]])));
    let nested = terms(json!({ "field": "app", "size": 1 }), json!({ "s": { "terms": { "field": "status", "size": 1 } } }));
    assert_eq!(buckets(&nested["buckets"][0]["s"], &["/key", "/doc_count"]), rows(json!([[200, 2]])));
    assert_eq!(nested["buckets"][0]["s"]["sum_other_doc_count"], 1);

    let histogram = elastic
        .aggs(json!({ "h": { "histogram": { "field": "bytes", "interval": 100, "hard_bounds": { "min": 0, "max": 350 } } } }));
    assert_eq!(buckets(&histogram["h"], &["/key", "/doc_count"]), rows(json!([[0.0, 3], [100.0, 2], [200.0, 0], [300.0, 1]])));
    let halves =
        elastic.aggs(json!({ "h": { "histogram": { "field": "took", "interval": 0.5, "missing": 1.2, "min_doc_count": 1 } } }));
    assert_eq!(buckets(&halves["h"], &["/key", "/doc_count"]), rows(json!([[0.0, 2], [0.5, 1], [1.0, 3], [1.5, 1]])));

    let sources = json!([{ "app": { "terms": { "field": "app" } } }, { "day": { "date_histogram": { "field": "@timestamp", "calendar_interval": "1d", "format": "yyyy-MM-dd" } } }]);
    let first = elastic.aggs(json!({ "c": { "composite": { "sources": sources, "size": 2 } } }));
    assert_eq!(
        buckets(&first["c"], &["/key/app", "/key/day", "/doc_count"]),
        rows(json!([["api", "2025-11-20", 2], ["blog", "2025-11-21", 1]]))
    );
    let next =
        elastic.aggs(json!({ "c": { "composite": { "sources": sources, "size": 9, "after": first["c"]["after_key"] } } }));
    assert_eq!(buckets(&next["c"], &["/key/app", "/key/day"]), rows(json!([["blog", "2025-12-01"], ["shop", "2025-11-20"]])));
    // Page by page as all at once, whichever way and however far what lies before a page is left unread.
    for order in ["asc", "desc"] {
        let app = json!({ "app": { "terms": { "field": "app", "order": order } } });
        for first in [
            app.clone(),
            json!({ "x": { "terms": { "field": "tags", "order": order } } }),
            json!({ "x": { "terms": { "field": "took", "order": order, "missing_bucket": true } } }),
            json!({ "x": { "histogram": { "field": "bytes", "interval": 70, "order": order } } }),
            json!({ "x": { "histogram": { "field": "took", "interval": 0.1, "order": order } } }),
            json!({ "x": { "date_histogram": { "field": "@timestamp", "calendar_interval": "month", "time_zone": "Europe/Berlin", "order": order } } }),
            json!({ "x": { "date_histogram": { "field": "@timestamp", "fixed_interval": "1m", "order": order } } }),
            json!({ "x": { "terms": { "field": "status", "order": order } } }),
            json!({ "x": { "terms": { "field": "@timestamp", "order": order } } }),
        ] {
            let sources = json!([first, { "last": { "terms": { "field": "status" } } }]);
            let page = |body: Value| elastic.aggs(json!({ "c": { "composite": body } }))["c"].take();
            let whole = page(json!({ "sources": sources, "size": 100 }));
            let (mut paged, mut after) = (Vec::new(), Value::Null);
            while paged.len() < 20 {
                let one = page(json!({ "sources": sources, "size": 1, "after": after }));
                let Some(last) = one["buckets"].as_array().unwrap().first() else { break };
                paged.push(last.clone());
                after = one["after_key"].clone();
            }
            assert_eq!(whole["buckets"], json!(paged), "{sources}");
        }
    }
}

#[test]
fn buckets_by_time() {
    let elastic = Elastic::start();
    let dates = |histogram: Value| {
        let mut histogram = histogram;
        histogram["field"] = "@timestamp".into();
        elastic.aggs(json!({ "d": { "date_histogram": histogram } }))["d"].take()
    };
    let day = json!({ "range": { "@timestamp": { "lte": "2025-11-20" } } });
    let minutes = elastic.search(json!({ "size": 0, "query": day, "aggs": { "d": {
        "date_histogram": { "field": "@timestamp", "fixed_interval": "1m" }, "aggs": { "b": { "avg": { "field": "bytes" } }, "n": { "cumulative_sum": { "buckets_path": "_count" } } } } } }));
    let expected = json!([
        ["2025-11-20T10:00:00.000Z", 2, 200.0, 2],
        ["2025-11-20T10:01:00.000Z", 1, 50.0, 3],
        ["2025-11-20T10:02:00.000Z", 0, null, 3],
        ["2025-11-20T10:03:00.000Z", 2, 75.0, 5]
    ]);
    assert_eq!(
        buckets(&minutes["aggregations"]["d"], &["/key_as_string", "/doc_count", "/b/value", "/n/value"]),
        rows(expected)
    );
    let months = dates(json!({ "calendar_interval": "month", "format": "yyyy-MM" }));
    assert_eq!(buckets(&months, &["/key_as_string", "/doc_count"]), rows(json!([["2025-11", 6], ["2025-12", 1]])));
    // Half past midnight in London is last month in New York, and the day before in each zone west.
    let zoned = dates(json!({ "calendar_interval": "1M", "time_zone": "America/New_York" }));
    assert_eq!(buckets(&zoned, &["/key_as_string", "/doc_count"]), rows(json!([["2025-11-01T00:00:00.000-04:00", 7]])));
    let days = dates(json!({ "calendar_interval": "day", "time_zone": "+02:00", "min_doc_count": 1, "format": "dd.MM." }));
    assert_eq!(buckets(&days, &["/key_as_string", "/doc_count"]), rows(json!([["20.11.", 5], ["22.11.", 1], ["01.12.", 1]])));
    let weeks = dates(json!({ "calendar_interval": "week", "min_doc_count": 1, "format": "yyyy-MM-dd" }));
    assert_eq!(buckets(&weeks, &["/key_as_string", "/doc_count"]), rows(json!([["2025-11-17", 6], ["2025-12-01", 1]])));
    let quarters = dates(json!({ "calendar_interval": "quarter", "keyed": true, "format": "yyyy-MM" }));
    assert_eq!(quarters["buckets"]["2025-10"]["doc_count"], 7);
    let shifted = dates(json!({ "fixed_interval": "1d", "offset": "+10h", "min_doc_count": 1, "format": "epoch_millis" }));
    assert_eq!(buckets(&shifted, &["/key_as_string", "/doc_count"])[0], [json!("1763632800000"), json!(5)]);
    let bounds = json!({ "min": 1_763_632_740_000i64, "max": "1763633160000" });
    let extended = elastic.search(json!({ "size": 0, "query": day, "aggs": { "d": { "date_histogram": {
        "field": "@timestamp", "fixed_interval": "60s", "min_doc_count": 0, "format": "epoch_millis", "extended_bounds": bounds, "hard_bounds": { "max": "now+50y" } } } } }));
    let counts: Vec<Value> = buckets(&extended["aggregations"]["d"], &["/doc_count"]).concat();
    assert_eq!(counts, [0, 2, 1, 0, 2, 0, 0, 0].map(Value::from));
    let rate = elastic
        .aggs(json!({ "d": { "date_histogram": { "field": "@timestamp", "fixed_interval": "1d", "min_doc_count": 1 },
        "aggs": { "r": { "rate": { "unit": "hour" } }, "s": { "rate": { "field": "bytes", "unit": "day" } } } } }));
    let first = buckets(&rate["d"], &["/r/value", "/s/value"]).remove(0);
    assert!(first[0].as_f64().is_some_and(|an_hour| (an_hour * 24.0 - 5.0).abs() < 1e-9), "{first:?}");
    assert_eq!(first[1], json!(600));
}

#[test]
fn buckets_by_predicates() {
    let elastic = Elastic::start();
    let answer = elastic.aggs(json!({
        "shop": { "filter": { "term": { "app": "shop" } }, "aggs": { "b": { "max": { "field": "bytes" } } } },
        "named": { "filters": { "filters": { "bad": { "query_string": { "query": "status:>=400" } }, "good": { "term": { "status": 200 } } }, "other_bucket_key": "rest" } },
        "listed": { "filters": { "filters": [{ "term": { "app": "api" } }, { "match_none": {} }] }, "aggs": { "s": { "terms": { "field": "status" } } } },
        "anonymous": { "missing": { "field": "user.name" } },
        "size": { "range": { "field": "bytes", "ranges": [{ "to": 100 }, { "from": 100, "to": 500, "key": "middle" }, { "from": 500 }] } },
        "when": { "date_range": { "field": "@timestamp", "format": "yyyy-MM-dd", "ranges": [{ "to": "2025-11-21" }, { "from": "2025-11-21||/d" }] } },
    }));
    assert_eq!((&answer["shop"]["doc_count"], &answer["shop"]["b"]["value"]), (&json!(3), &json!(300)));
    assert_eq!(answer["named"]["buckets"]["bad"]["doc_count"], 2);
    assert_eq!(answer["named"]["buckets"]["rest"]["doc_count"], 1);
    assert_eq!(buckets(&answer["listed"], &["/doc_count"]), rows(json!([[2], [0]])));
    assert_eq!(answer["listed"]["buckets"][1]["s"]["buckets"], json!([]));
    assert_eq!(answer["anonymous"]["doc_count"], 5);
    assert_eq!(buckets(&answer["size"], &["/key", "/doc_count"]), rows(json!([["*-100.0", 3], ["middle", 3], ["500.0-*", 1]])));
    assert_eq!(buckets(&answer["when"], &["/key", "/doc_count"]), rows(json!([["*-2025-11-21", 5], ["2025-11-21-*", 2]])));
    let past = elastic.search(json!({ "size": 0, "query": { "term": { "app": "api" } }, "aggs": { "all": { "global": {}, "aggs": { "n": { "value_count": { "field": "app" } } } } } }));
    assert_eq!((&past["hits"]["total"]["value"], &past["aggregations"]["all"]["n"]["value"]), (&json!(2), &json!(7)));
    let filtered = elastic.search(
        json!({ "size": 9, "post_filter": { "term": { "app": "api" } }, "aggs": { "n": { "terms": { "field": "app" } } } }),
    );
    assert_eq!((hits(&filtered), &filtered["hits"]["total"]["value"]), (vec![3, 2], &json!(2)));
    assert_eq!(filtered["aggregations"]["n"]["buckets"].as_array().map(Vec::len), Some(3));
}

#[test]
fn figures_over_rows() {
    let elastic = Elastic::start();
    let answer = elastic.aggs(json!({
        "avg": { "avg": { "field": "took" } },
        "sum": { "sum": { "field": "bytes" } },
        "none": { "sum": { "field": "absent" } },
        "first": { "min": { "field": "@timestamp" } },
        "count": { "value_count": { "field": "tags" } },
        "apps": { "cardinality": { "field": "app", "precision_threshold": "100" } },
        "stats": { "stats": { "field": "took" } },
        "filled": { "avg": { "field": "took", "missing": 0 } },
        "more": { "extended_stats": { "field": "took", "sigma": 3 } },
        "parts": { "percentiles": { "field": "bytes", "percents": [50, 99.9], "keyed": false } },
        "ranks": { "percentile_ranks": { "field": "bytes", "values": [100, 1000] } },
        "top": { "top_hits": { "size": 1, "sort": [{ "bytes": "desc" }], "_source": ["bytes"] } },
        "last": { "top_metrics": { "metrics": [{ "field": "bytes" }, { "field": "app" }], "sort": { "@timestamp": "desc" } } },
    }));
    let near = |value: &Value, expected: f64| assert!((value.as_f64().unwrap() - expected).abs() < 1e-9, "{value} {expected}");
    near(&answer["avg"]["value"], 0.5875);
    assert_eq!((&answer["sum"]["value"], &answer["none"]["value"]), (&json!(1600), &json!(0)));
    assert_eq!(answer["first"], json!({ "value": 1_763_632_800_000i64, "value_as_string": "2025-11-20T10:00:00.000Z" }));
    assert_eq!((&answer["count"]["value"], &answer["apps"]["value"]), (&json!(3), &json!(3)));
    assert_eq!((&answer["stats"]["count"], &answer["stats"]["max"]), (&json!(4), &json!(1.5)));
    near(&answer["filled"]["value"], 2.35 / 7.0);
    let squares = 0.25 + 2.25 + 0.0625 + 0.01;
    let variance = squares / 4.0 - 0.5875 * 0.5875;
    near(&answer["more"]["sum_of_squares"], squares);
    near(&answer["more"]["variance"], variance);
    near(&answer["more"]["std_deviation_bounds"]["upper"], 0.5875 + 3.0 * variance.sqrt());
    assert_eq!(answer["parts"]["values"][0], json!({ "key": 50.0, "value": 100.0 }));
    near(&answer["parts"]["values"][1]["value"], 995.8);
    near(&answer["ranks"]["values"]["100.0"], 4.0 / 7.0 * 100.0);
    assert_eq!(answer["top"]["hits"]["hits"][0]["_source"], json!({ "bytes": 1000 }));
    assert_eq!(
        answer["last"]["top"][0],
        json!({ "sort": ["2025-12-01T00:30:00.000Z"], "metrics": { "bytes": 0, "app": "blog" } })
    );
    let nested = elastic.aggs(json!({ "a": { "terms": { "field": "app", "order": { "_key": "asc" } }, "aggs": {
        "last": { "top_metrics": { "metrics": { "field": "status" }, "sort": [{ "@timestamp": "desc" }] } },
        "two": { "top_hits": { "size": 2, "sort": ["bytes"], "_source": false } },
        "r": { "percentile_ranks": { "field": "bytes", "values": [130] } },
    } } }));
    let expected = json!([["api", 404, 2, 100], ["blog", 301, 2, 50], ["shop", 200, 3, null]]);
    let mut found = buckets(&nested["a"], &["/key", "/last/top/0/metrics/status", "/two/hits/total/value", "/r/values/130.0"]);
    near(&found[2][3], 200.0 / 3.0);
    found[2][3] = Value::Null;
    assert_eq!(found, rows(expected));
    let formatted = elastic.aggs(json!({
        "sum": { "sum": { "field": "bytes", "format": "#,##0.00" } },
        "none": { "min": { "field": "absent", "format": "0" } },
        "day": { "max": { "field": "@timestamp", "format": "yyyy-MM-dd" } },
        "middle": { "percentiles": { "field": "@timestamp", "percents": [50], "format": "HH:mm" } },
        "parts": { "percentiles": { "field": "bytes", "percents": [50], "keyed": false, "format": "0.0" } },
        "stats": { "stats": { "field": "bytes", "format": "0 B" } },
        "a": { "terms": { "field": "app", "size": 1 }, "aggs": {
            "m": { "max": { "field": "bytes", "format": "0.0" } },
            "twice": { "bucket_script": { "buckets_path": { "m": "m" }, "script": "params.m * 2", "format": "0.00" } } } },
        "best": { "max_bucket": { "buckets_path": "a>m", "format": "000000" } },
    }));
    assert_eq!(formatted["sum"], json!({ "value": 1600, "value_as_string": "1,600.00" }));
    assert_eq!(formatted["none"], json!({ "value": null }));
    assert_eq!(formatted["day"]["value_as_string"], "2025-12-01");
    assert_eq!(formatted["middle"]["values"]["50.0_as_string"], "10:03");
    assert_eq!(formatted["parts"]["values"], json!([{ "key": 50.0, "value": 100.0, "value_as_string": "100.0" }]));
    assert_eq!(
        (&formatted["stats"]["max_as_string"], &formatted["stats"]["count_as_string"]),
        (&json!("1000 B"), &Value::Null)
    );
    let own = &formatted["a"]["buckets"][0];
    assert_eq!((&own["m"]["value_as_string"], &own["twice"]["value_as_string"]), (&json!("300.0"), &json!("600.00")));
    assert_eq!(formatted["best"]["value_as_string"], "000300");
    elastic.refuses("/web/_search", json!({ "aggs": { "s": { "sum": { "field": "bytes", "format": "0E0" } } } }), "0E0");
    let typed = elastic.post("/web/_search?typed_keys=true", &json!({ "size": 0, "aggs": { "a": { "terms": { "field": "app" }, "aggs": { "m": { "max": { "field": "bytes" } } } } } }));
    assert_eq!(typed.1["aggregations"]["sterms#a"]["buckets"][0]["max#m"]["value"], 300);
}

#[test]
fn pipelines_over_buckets() {
    let elastic = Elastic::start();
    let day = json!({ "range": { "@timestamp": { "lte": "2025-11-20" } } });
    let run = |inside: Value, beside: Value| {
        let mut aggs = json!({ "d": { "date_histogram": { "field": "@timestamp", "fixed_interval": "1m" }, "aggs": inside } });
        aggs.as_object_mut().unwrap().extend(beside.as_object().unwrap().clone());
        elastic.search(json!({ "size": 0, "query": day, "aggs": aggs }))["aggregations"].take()
    };
    let inside = json!({
        "1": { "sum": { "field": "bytes" } },
        "2": { "derivative": { "buckets_path": "1", "unit": "1s" } },
        "3": { "cumulative_sum": { "buckets_path": "1" } },
        "4": { "moving_fn": { "buckets_path": "1", "window": "2", "script": "MovingFunctions.unweightedAvg(values)" } },
        "5": { "serial_diff": { "buckets_path": "_count", "lag": 2 } },
        "6": { "bucket_script": { "buckets_path": { "a": "1", "n": "_count" }, "script": { "source": "params.a / params.n" } } },
        "7": { "moving_avg": { "buckets_path": "3", "window": 2 } },
    });
    let answer = run(
        inside,
        json!({ "mean": { "avg_bucket": { "buckets_path": "d>1" } }, "best": { "max_bucket": { "buckets_path": "d>1" } }, "all": { "stats_bucket": { "buckets_path": "d._count" } } }),
    );
    let paths = ["/1/value", "/2/value", "/2/normalized_value", "/3/value", "/4/value", "/5/value", "/6/value", "/7/value"];
    let expected = json!([
        [400, null, null, 400, null, null, 200, null],
        [50, -350, -5.833333333333333, 450, 400, null, 50, 400],
        [0, null, null, 450, null, -2, null, null],
        [150, null, null, 600, 225, 1, 75, 425],
    ]);
    assert_eq!(buckets(&answer["d"], &paths), rows(expected));
    assert_eq!((&answer["mean"]["value"], &answer["best"]["keys"]), (&json!(200), &json!(["2025-11-20T10:00:00.000Z"])));
    assert_eq!((&answer["all"]["count"], &answer["all"]["sum"]), (&json!(4), &json!(5)));
    let chosen = run(
        json!({ "n": { "sum": { "field": "bytes" } }, "keep": { "bucket_selector": { "buckets_path": { "x": "n" }, "script": "params.x > 60" } } }),
        json!({}),
    );
    assert_eq!(buckets(&chosen["d"], &["/n/value"]), rows(json!([[400], [150]])));
    let best = run(
        json!({ "n": { "sum": { "field": "bytes" } }, "best": { "bucket_sort": { "sort": [{ "n": { "order": "desc" } }], "size": 1 } } }),
        json!({}),
    );
    assert_eq!(buckets(&best["d"], &["/n/value"]), rows(json!([[400]])));
    // What has no value to sort by is left out; keys are sorted as they are.
    let ranked = run(
        json!({ "n": { "avg": { "field": "bytes" } }, "best": { "bucket_sort": { "sort": [{ "n": { "order": "asc" } }] } } }),
        json!({}),
    );
    assert_eq!(buckets(&ranked["d"], &["/n/value"]), rows(json!([[50.0], [75.0], [200.0]])));
    let apps = json!({ "a": { "terms": { "field": "app" }, "aggs": { "s": { "bucket_sort": { "sort": [{ "_key": { "order": "asc" } }], "size": 2 } } } } });
    assert_eq!(buckets(&elastic.aggs(apps)["a"], &["/key"]), rows(json!([["api"], ["blog"]])));
    let several = json!({ "aggs": { "a": { "terms": { "field": "app" }, "aggs": { "s": { "bucket_sort": { "sort": [{ "_key": "asc", "_count": "asc" }] } } } } } });
    elastic.refuses("/web/_search", several, "is a list");
    elastic.refuses("/web/_search", json!({ "aggs": { "d": { "date_histogram": { "field": "@timestamp", "fixed_interval": "1m" }, "aggs": { "x": { "derivative": { "buckets_path": "nope" } } } } } }), "nope");
    elastic.refuses("/web/_search", json!({ "aggs": { "x": { "avg_bucket": { "buckets_path": "nope>y" } } } }), "nope");
}
