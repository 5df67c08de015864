//! The Elasticsearch dialect's reading half over a box with seven documents: a request, and what is at some places of its answer.

use std::io::Read;

use serde_json::{Value, json};

use crate::support::TestBox;

/// A box and what it was asked at.
pub struct Elastic {
    pub sawbox: TestBox,
    pub url: String,
    _dir: tempfile::TempDir,
}

pub const DOCUMENTS: [&str; 7] = [
    r#"{"@timestamp":"2025-11-20T10:00:00Z","app":"shop","status":200,"bytes":100,"took":0.5,"message":"GET /cart ok"}"#,
    r#"{"@timestamp":"2025-11-20T10:00:30Z","app":"shop","status":500,"bytes":300,"took":1.5,"tags":["slow","retry"],"message":"POST /cart failed: connection reset"}"#,
    r#"{"@timestamp":"2025-11-20T10:01:10Z","app":"api","status":200,"bytes":50,"took":0.25,"message":"GET /users ok"}"#,
    r#"{"@timestamp":"2025-11-20T10:03:00Z","app":"api","status":404,"bytes":20,"took":0.1,"message":"GET /nothing missing"}"#,
    r#"{"@timestamp":"2025-11-20T10:03:20Z","app":"shop","status":200,"bytes":130,"tags":["slow"],"message":"GET /cart/2 ok"}"#,
    r#"{"@timestamp":"2025-11-21T23:30:00Z","app":"blog","status":200,"bytes":1000,"user":{"name":"ann"},"vip":true,"message":"GET /post ok"}"#,
    r#"{"@timestamp":"2025-12-01T00:30:00Z","app":"blog","status":301,"bytes":0,"user":{"name":"bob"},"message":"GET /old moved"}"#,
];

impl Elastic {
    pub fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let sawbox = TestBox::start(dir.path(), "");
        let url = format!("http://{}", sawbox.address("Elasticsearch"));
        let body: String =
            DOCUMENTS.iter().map(|document| format!("{{\"create\":{{\"_index\":\"web\"}}}}\n{document}\n")).collect();
        let (status, text) = sawbox.send("POST", &format!("{url}/_bulk"), "application/x-ndjson", body.as_bytes());
        assert!(status == 200 && text.contains("\"errors\":false"), "{text}");
        sawbox.settle();
        Self { sawbox, url, _dir: dir }
    }

    pub fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let (status, text) =
            self.sawbox.send("POST", &format!("{}{path}", self.url), "application/json", body.to_string().as_bytes());
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    pub fn send(&self, method: &str, path: &str) -> (u16, Value) {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
        let url = format!("{}{path}", self.url);
        let answer = match method {
            "GET" => agent.get(&url).call(),
            "HEAD" => agent.head(&url).call(),
            _ => agent.delete(&url).call(),
        };
        let answer = answer.unwrap();
        let status = answer.status().as_u16();
        let mut text = String::new();
        answer.into_body().into_reader().read_to_string(&mut text).unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    pub fn search(&self, body: Value) -> Value {
        let (status, answer) = self.post("/web/_search", &body);
        assert_eq!(status, 200, "{body}: {answer}");
        answer
    }

    /// The number of the document of each hit.
    pub fn found(&self, body: Value) -> Vec<usize> {
        let answer = self.search(body);
        hits(&answer)
    }

    /// What aggregations say of all.
    pub fn aggs(&self, aggs: Value) -> Value {
        self.search(json!({ "size": 0, "aggs": aggs }))["aggregations"].take()
    }

    pub fn refuses(&self, path: &str, body: Value, word: &str) {
        let (status, answer) = self.post(path, &body);
        assert_eq!(status, 400, "{body}: {answer}");
        let why = answer["error"]["reason"].as_str().unwrap_or_default();
        assert!(why.contains(word), "{body}: {why}");
    }
}

pub fn hits(answer: &Value) -> Vec<usize> {
    let hits = answer["hits"]["hits"].as_array().unwrap();
    let number = |hit: &Value| hit["_id"].as_str().unwrap().split('-').nth(2).unwrap().parse().unwrap();
    hits.iter().map(number).collect()
}

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
fn queries_keep_what_they_say() {
    let elastic = Elastic::start();
    let check = |query: Value, expected: &[usize]| {
        let found = elastic.found(json!({ "query": query, "sort": [{ "@timestamp": "asc" }] }));
        assert_eq!(found, expected, "{query}");
        let (_, count) = elastic.post("/web/_count", &json!({ "query": query }));
        assert_eq!(count["count"], expected.len(), "{query}");
    };
    check(json!({ "match_all": {} }), &[0, 1, 2, 3, 4, 5, 6]);
    check(json!({ "term": { "app": "shop" } }), &[0, 1, 4]);
    check(json!({ "term": { "app": { "value": "SHOP", "case_insensitive": true } } }), &[0, 1, 4]);
    check(json!({ "terms": { "status": [404, "500"] } }), &[1, 3]);
    check(json!({ "range": { "bytes": { "gt": 50, "lte": 130 } } }), &[0, 4]);
    check(json!({ "range": { "@timestamp": { "gte": "2025-11-20T10:01", "lte": "2025-11-20" } } }), &[2, 3, 4]);
    check(json!({ "range": { "@timestamp": { "gte": "2025-11-22", "time_zone": "+02:00" } } }), &[5, 6]);
    check(json!({ "exists": { "field": "tags" } }), &[1, 4]);
    check(json!({ "bool": { "must_not": { "exists": { "field": "took" } } } }), &[4, 5, 6]);
    check(json!({ "prefix": { "app": "s" } }), &[0, 1, 4]);
    check(json!({ "wildcard": { "app": "?l*" } }), &[5, 6]);
    check(json!({ "regexp": { "app": "(shop|api)" } }), &[0, 1, 2, 3, 4]);
    check(json!({ "match": { "message": "reset moved" } }), &[1, 6]);
    check(json!({ "match": { "message": { "query": "get ok", "operator": "and" } } }), &[0, 2, 4, 5]);
    check(json!({ "match_phrase": { "message": "connection reset" } }), &[1]);
    check(json!({ "match_phrase_prefix": { "message": "connection re" } }), &[1]);
    check(json!({ "multi_match": { "query": "shop", "fields": ["app", "user.name"] } }), &[0, 1, 4]);
    check(json!({ "query_string": { "query": "app:shop AND status:>=500" } }), &[1]);
    check(json!({ "query_string": { "query": "ann" } }), &[5]);
    check(json!({ "query_string": { "query": "-app:shop AND NOT moved" } }), &[2, 3, 5]);
    check(json!({ "query_string": { "query": "tags:slow" } }), &[1, 4]);
    check(json!({ "query_string": { "query": "mov* OR user.name:/a.n/" } }), &[5, 6]);
    check(json!({ "simple_query_string": { "query": "\"connection reset\" | moved", "fields": ["message"] } }), &[1, 6]);
    check(json!({ "ids": { "values": ["web-0-3-0", "web-0-99-0", "nonsense"] } }), &[3]);
    let two = json!({ "bool": { "should": [{ "term": { "app": "shop" } }, { "term": { "status": 200 } }, { "term": { "tags": "slow" } }], "minimum_should_match": 2 } });
    check(two, &[0, 1, 4]);
    check(json!({ "term": { "vip": true } }), &[5]);
    elastic.refuses("/web/_search", json!({ "query": { "fuzzy": { "app": "shop" } } }), "fuzzy");
    elastic.refuses("/web/_search", json!({ "query": { "match_all": {} }, "collapse": { "field": "app" } }), "collapse");
    elastic.refuses("/web/_search", json!({ "script_fields": { "a": {} } }), "script_fields");
    elastic.refuses("/web/_search?frobnicate=1", json!({}), "frobnicate");
    let (status, answer) = elastic.send("GET", "/web/_search?q=app:api+AND+status:200&sort=@timestamp:asc");
    assert_eq!((status, hits(&answer)), (200, vec![2]), "{answer}");
}

#[test]
fn rows_are_ordered_and_paged() {
    let elastic = Elastic::start();
    let found = |body: Value| elastic.found(body);
    assert_eq!(found(json!({ "size": 3 })), [6, 5, 4]);
    assert_eq!(found(json!({ "size": 2, "from": 1, "sort": [{ "bytes": "desc" }] })), [1, 4]);
    assert_eq!(found(json!({ "sort": ["status", { "bytes": { "order": "desc" } }] })), [5, 4, 0, 2, 6, 3, 1]);
    let took = json!([{ "took": { "order": "asc", "missing": "_first" } }]);
    assert_eq!(found(json!({ "sort": took })), [6, 5, 4, 3, 2, 0, 1]);
    assert_eq!(found(json!({ "sort": [{ "took": { "order": "asc", "unmapped_type": "double" } }] })), [3, 2, 0, 1, 6, 5, 4]);
    // Page by page, by any order, each row comes once.
    for sort in [
        json!([{ "@timestamp": "desc" }, { "_doc": "desc" }]),
        json!([{ "@timestamp": { "order": "asc", "format": "strict_date_optional_time_nanos" } }]),
        json!([{ "app": "asc" }, { "_doc": "asc" }]),
        json!([{ "took": "desc" }, { "_doc": "asc" }]),
        json!([{ "took": { "order": "asc", "missing": "_first" } }, { "_doc": "asc" }]),
        json!([{ "vip": "asc" }, { "status": "desc" }, { "_doc": "asc" }]),
        json!(["_doc"]),
    ] {
        let whole = found(json!({ "sort": sort }));
        let (mut paged, mut after) = (Vec::new(), None);
        loop {
            let mut body = json!({ "sort": sort, "size": 2 });
            if let Some(after) = after {
                body["search_after"] = after;
            }
            let answer = elastic.search(body);
            let Some(last) = answer["hits"]["hits"].as_array().unwrap().last() else { break };
            after = Some(last["sort"].clone());
            paged.extend(hits(&answer));
            assert!(paged.len() <= 7, "{sort}: {paged:?}");
        }
        assert_eq!(paged, whole, "{sort}");
    }
    let answer = elastic.search(json!({ "sort": [{ "@timestamp": "desc" }], "size": 1 }));
    assert_eq!(answer["hits"]["hits"][0]["sort"], json!([1_764_549_000_000i64]));
    elastic.refuses("/web/_search", json!({ "search_after": [1], "sort": ["a", "b"] }), "search_after");
    elastic.refuses("/web/_search", json!({ "size": 10_001 }), "10000");
    let total = |body: Value| elastic.search(body)["hits"]["total"].clone();
    assert_eq!(total(json!({})), json!({ "value": 7, "relation": "eq" }));
    assert_eq!(total(json!({ "track_total_hits": 3 })), json!({ "value": 3, "relation": "gte" }));
    assert_eq!(total(json!({ "track_total_hits": false })), Value::Null);
}

#[test]
fn documents_are_shown_as_asked() {
    let elastic = Elastic::start();
    let hit = |body: Value| {
        let mut body = body;
        body["query"] = json!({ "ids": { "values": ["web-0-1-0"] } });
        elastic.search(body)["hits"]["hits"][0].take()
    };
    let whole = hit(json!({}));
    assert_eq!(whole["_index"], "web");
    assert_eq!(whole["_source"]["tags"], json!(["slow", "retry"]));
    assert_eq!(whole["_source"]["@timestamp"], "2025-11-20T10:00:30Z");
    assert_eq!(hit(json!({ "_source": false })).get("_source"), None);
    assert_eq!(hit(json!({ "_source": ["app", "st*"] }))["_source"], json!({ "app": "shop", "status": 500 }));
    let excludes = json!({ "_source": { "includes": ["app", "tags"], "excludes": "tags" } });
    assert_eq!(hit(excludes)["_source"], json!({ "app": "shop" }));
    let fields = hit(json!({ "fields": ["tags", { "field": "@timestamp", "format": "epoch_millis" }], "_source": false }));
    assert_eq!(fields["fields"], json!({ "tags": ["slow", "retry"], "@timestamp": ["1763632830000"] }));
    let doc_values = hit(json!({ "docvalue_fields": ["@timestamp", "took"] }));
    assert_eq!(doc_values["fields"], json!({ "@timestamp": ["2025-11-20T10:00:30.000Z"], "took": [1.5] }));
    let none = hit(json!({ "stored_fields": "_none_" }));
    assert_eq!((none.get("_source"), none.get("_id")), (None, None));
    // A list of one is a list where the store can tell: tags.
    let answer = elastic.search(json!({ "query": { "ids": { "values": ["web-0-4-0"] } } }));
    assert_eq!(answer["hits"]["hits"][0]["_source"]["tags"], json!(["slow"]));
    let marked = json!({
        "query": { "query_string": { "query": "reset AND app:shop" } },
        "highlight": { "fields": { "*": {} }, "pre_tags": ["<b>"], "post_tags": ["</b>"], "fragment_size": 2147483647 },
    });
    let marked = elastic.search(marked);
    let highlight = json!({ "app": ["<b>shop</b>"], "message": ["POST /cart failed: connection <b>reset</b>"] });
    assert_eq!(marked["hits"]["hits"][0]["highlight"], highlight);

    let (status, document) = elastic.send("GET", "/web/_doc/web-0-2-0");
    assert_eq!((status, document["found"].as_bool(), document["_source"]["app"].as_str()), (200, Some(true), Some("api")));
    let (status, document) = elastic.send("GET", "/web/_doc/web-0-77-0");
    assert_eq!((status, document["found"].as_bool()), (404, Some(false)));
    let (status, source) = elastic.send("GET", "/web/_source/web-0-2-0?_source=status");
    assert_eq!((status, source), (200, json!({ "status": 200 })));
    let (_, many) = elastic.post("/web/_mget", &json!({ "ids": ["web-0-0-0", "x", "web-0-6-0"] }));
    let found: Vec<_> = many["docs"].as_array().unwrap().iter().map(|document| document["found"].as_bool()).collect();
    assert_eq!(found, [Some(true), Some(false), Some(true)]);
}

#[test]
fn scrolls_points_in_time_and_several_searches() {
    let elastic = Elastic::start();
    for sort in [json!(null), json!([{ "bytes": "asc" }]), json!(["_doc"])] {
        let mut body = json!({ "size": 3, "query": { "range": { "bytes": { "gt": 0 } } } });
        if !sort.is_null() {
            body["sort"] = sort;
        }
        let (status, mut page) = elastic.post("/web/_search?scroll=1m", &body);
        let mut seen = Vec::new();
        while !page["hits"]["hits"].as_array().unwrap().is_empty() {
            assert_eq!((status, page["hits"]["total"]["value"].as_u64()), (200, Some(6)), "{page}");
            seen.extend(hits(&page));
            assert!(seen.len() < 10, "{seen:?}");
            (_, page) = elastic.post("/_search/scroll", &json!({ "scroll": "1m", "scroll_id": page["_scroll_id"] }));
        }
        seen.sort_unstable();
        assert_eq!(seen, [0, 1, 2, 3, 4, 5]);
    }
    let (status, _) = elastic.send("DELETE", "/_search/scroll");
    assert_eq!(status, 200);
    let (status, answer) = elastic.post("/_search/scroll", &json!({ "scroll_id": "bm9uc2Vuc2U" }));
    assert_eq!((status, answer["error"]["type"].as_str()), (404, Some("search_context_missing_exception")));
    let (_, pit) = elastic.post("/web/_pit?keep_alive=1m", &json!({}));
    let body = json!({ "pit": { "id": pit["id"], "keep_alive": "1m" }, "sort": ["@timestamp"], "size": 2 });
    let (status, page) = elastic.post("/_search", &body);
    assert_eq!((status, hits(&page), page["pit_id"].is_string()), (200, vec![0, 1], true));
    assert_eq!(page["hits"]["hits"][1]["sort"].as_array().map(Vec::len), Some(2));

    let lines = [
        json!({ "index": "web" }),
        json!({ "size": 0, "query": { "term": { "app": "shop" } } }),
        json!({ "index": ["web"], "ignore_unavailable": true }),
        json!({ "query": { "fuzzy": {} } }),
        json!({ "index": "nowhere" }),
        json!({}),
        json!({ "index": "nowhere", "ignore_unavailable": true }),
        json!({}),
    ];
    let body: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let (status, text) =
        elastic.sawbox.send("POST", &format!("{}/_msearch", elastic.url), "application/x-ndjson", body.as_bytes());
    let answer: Value = serde_json::from_str(&text).unwrap();
    let statuses: Vec<_> = answer["responses"].as_array().unwrap().iter().map(|one| one["status"].as_u64()).collect();
    assert_eq!((status, statuses), (200, vec![Some(200), Some(400), Some(404), Some(200)]), "{text}");
    assert_eq!(answer["responses"][0]["hits"]["total"]["value"], 3);
    assert!(answer["responses"][1]["error"]["reason"].as_str().unwrap().contains("fuzzy"));
    assert_eq!(answer["responses"][3]["hits"]["total"]["value"], 0);
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
    assert_eq!(buckets(&by_percentile, &["/key", "/1/values/99.0"]), rows(json!([["api", 50.0]])));
    let numbers = terms(json!({ "field": "status", "order": { "_key": "asc" }, "min_doc_count": 2 }), json!({}));
    assert_eq!(buckets(&numbers, &["/key", "/doc_count"]), rows(json!([[200, 4]])));
    let missing = terms(json!({ "field": "user.name", "missing": "nobody" }), json!({}));
    assert_eq!(buckets(&missing, &["/key", "/doc_count"]), rows(json!([["nobody", 5], ["ann", 1], ["bob", 1]])));
    let chosen = terms(json!({ "field": "app", "include": "s.*|a.*", "exclude": ["api"] }), json!({}));
    assert_eq!(buckets(&chosen, &["/key"]), rows(json!([["shop"]])));
    let lists = terms(json!({ "field": "tags" }), json!({}));
    assert_eq!(buckets(&lists, &["/key", "/doc_count"]), rows(json!([["slow", 2], ["retry", 1]])));
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
    assert_eq!(buckets(&rate["d"], &["/r/value", "/s/value"])[0], [json!(5.0 / 24.0), json!(600)]);
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
    assert_eq!((&answer["count"]["value"], &answer["apps"]["value"]), (&json!(2), &json!(3)));
    assert_eq!((&answer["stats"]["count"], &answer["stats"]["max"]), (&json!(4), &json!(1.5)));
    near(&answer["filled"]["value"], 2.35 / 7.0);
    let squares = 0.25 + 2.25 + 0.0625 + 0.01;
    let variance = squares / 4.0 - 0.5875 * 0.5875;
    near(&answer["more"]["sum_of_squares"], squares);
    near(&answer["more"]["variance"], variance);
    near(&answer["more"]["std_deviation_bounds"]["upper"], 0.5875 + 3.0 * variance.sqrt());
    assert_eq!(answer["parts"]["values"], json!([{ "key": 50.0, "value": 100.0 }, { "key": 99.9, "value": 1000.0 }]));
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
        [150, 100, 0.8333333333333334, 600, 225, 1, 75, 425],
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
    elastic.refuses("/web/_search", json!({ "aggs": { "d": { "date_histogram": { "field": "@timestamp", "fixed_interval": "1m" }, "aggs": { "x": { "derivative": { "buckets_path": "nope" } } } } } }), "nope");
    elastic.refuses("/web/_search", json!({ "aggs": { "x": { "avg_bucket": { "buckets_path": "nope>y" } } } }), "nope");
}

#[test]
fn indices_and_fields() {
    let elastic = Elastic::start();
    for (path, status) in [("/web", 200), ("/nowhere", 404), ("/web-2026.11.20", 200), ("/web-*", 200)] {
        assert_eq!(elastic.send("HEAD", path).0, status, "{path}");
    }
    let (_, mapping) = elastic.send("GET", "/web/_mapping");
    let types = |name: &str| mapping["web"]["mappings"]["properties"][name]["type"].as_str();
    assert_eq!((types("@timestamp"), types("message"), types("app")), (Some("date"), Some("text"), Some("keyword")));
    assert_eq!(
        (types("bytes"), types("took"), types("vip"), types("user.name")),
        (Some("long"), Some("double"), Some("boolean"), Some("keyword"))
    );
    let (_, one) = elastic.send("GET", "/web/_mapping/field/us*");
    assert_eq!(
        one["web"]["mappings"],
        json!({ "user.name": { "full_name": "user.name", "mapping": { "name": { "type": "keyword" } } } })
    );
    let (_, capabilities) = elastic.send("GET", "/web/_field_caps?fields=*");
    assert_eq!(
        capabilities["fields"]["bytes"]["long"],
        json!({ "type": "long", "metadata_field": false, "searchable": true, "aggregatable": true })
    );
    assert_eq!(capabilities["indices"], json!(["web"]));
    let (_, few) = elastic
        .post("/web/_field_caps", &json!({ "fields": ["b*", "@timestamp"], "index_filter": { "term": { "app": "shop" } } }));
    assert_eq!(few["fields"].as_object().map(serde_json::Map::len), Some(2));
    let (_, list) = elastic.send("GET", "/_cat/indices?format=json&h=index,docs.count");
    assert_eq!(list, json!([{ "index": "web", "docs.count": "7" }]));
    let (_, table) = elastic.send("GET", "/_cat/indices/web?v&h=i,health");
    assert_eq!(table, "index health\nweb   green\n");
    assert_eq!(elastic.send("GET", "/_cat/indices?h=nonsense").0, 400);
    let (_, resolved) = elastic.send("GET", "/_resolve/index/w*");
    assert_eq!(resolved["indices"][0]["name"], "web");
    let (_, whole) = elastic.send("GET", "/web");
    assert_eq!(whole["web"]["settings"]["index"]["number_of_shards"], "1");
    assert_eq!(elastic.send("GET", "/web/_settings").1["web"]["settings"]["index"]["provided_name"], "web");
    assert_eq!(elastic.send("GET", "/_alias").1, json!({ "web": { "aliases": {} } }));
    assert_eq!(elastic.send("HEAD", "/_alias/x").0, 404);
    let (_, valid) = elastic.post("/web/_validate/query", &json!({ "query": { "fuzzy": {} } }));
    assert_eq!(valid["valid"], false);
    let (status, refused) = elastic.post("/web/_explain/1", &json!({}));
    assert!(status == 404 && refused["error"]["reason"].as_str().unwrap().contains("_explain"), "{refused}");
}
