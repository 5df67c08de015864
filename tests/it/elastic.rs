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
        // Of equal rows none is passed over either.
        json!([{ "app": "asc" }]),
        json!([{ "status": "desc" }, { "@timestamp": "asc" }]),
        json!(["tags"]),
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
    // The values of the keys, and which row it is.
    let place = &answer["hits"]["hits"][0]["sort"];
    assert_eq!((&place[0], place.as_array().map(Vec::len)), (&json!(1_764_549_000_000i64), Some(2)));
    let after = json!({ "sort": [{ "@timestamp": "desc" }], "size": 1, "search_after": [place[0]] });
    assert_eq!(found(after), [5]);
    elastic.refuses("/web/_search", json!({ "search_after": [1], "sort": ["a", "b"] }), "search_after");
    elastic.refuses("/web/_search", json!({ "size": 10_001 }), "10000");
    let total = |body: Value| elastic.search(body)["hits"]["total"].clone();
    assert_eq!(total(json!({})), json!({ "value": 7, "relation": "eq" }));
    assert_eq!(total(json!({ "track_total_hits": 3 })), json!({ "value": 3, "relation": "gte" }));
    assert_eq!(total(json!({ "track_total_hits": false })), Value::Null);
    // Enough are enough, and not more than there are.
    for (enough, expected) in [(2, (2, true, 2)), (7, (7, false, 5)), (20_000, (7, false, 5)), (0, (7, false, 5))] {
        let answer = elastic.search(json!({ "terminate_after": enough, "size": 5 }));
        let found = (answer["hits"]["total"]["value"].clone(), answer["terminated_early"] == true, hits(&answer).len());
        assert_eq!(found, (json!(expected.0), expected.1, expected.2), "{enough}");
        let (_, count) = elastic.post(&format!("/web/_count?terminate_after={enough}"), &json!({}));
        assert_eq!((&count["count"], count["terminated_early"] == true), (&json!(expected.0), expected.1), "{enough}");
    }
    let aggs = json!({ "terminate_after": 2, "aggs": { "a": { "avg": { "field": "took" } } } });
    elastic.refuses("/web/_search", aggs, "terminate_after");
    elastic.refuses("/web/_search?scroll=1m", json!({ "terminate_after": 2 }), "terminate_after");
    elastic.refuses("/web/_search?scroll=1m&from=3", json!({}), "from");
    let named = |many: usize| elastic.send("GET", &format!("/{}/_count", vec!["we*"; many].join(",")));
    assert_eq!((named(10_000).1["count"].clone(), named(10_001).0), (json!(7), 400));
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
    // An object is there where a field of it is.
    let of = |field: &str| elastic.found(json!({ "query": { "exists": { "field": field } } }));
    assert_eq!(of("user"), of("user.name"));
    let named = elastic
        .search(json!({ "query": { "exists": { "field": "user.name" } }, "_source": ["user", "app"], "fields": ["user.*"] }));
    assert_eq!(named["hits"]["hits"][1]["_source"], json!({ "app": "blog", "user": { "name": "ann" } }));
    assert_eq!(named["hits"]["hits"][1]["fields"], json!({ "user.name": ["ann"] }));
    assert_eq!(hit(json!({ "_source": ["app", "st*"] }))["_source"], json!({ "app": "shop", "status": 500 }));
    let excludes = json!({ "_source": { "includes": ["app", "tags"], "excludes": "tags" } });
    assert_eq!(hit(excludes)["_source"], json!({ "app": "shop" }));
    let fields = hit(json!({ "fields": ["tags", { "field": "@timestamp", "format": "epoch_millis" }], "_source": false }));
    assert_eq!(fields["fields"], json!({ "tags": ["slow", "retry"], "@timestamp": ["1763632830000"] }));
    let doc_values = hit(json!({ "docvalue_fields": ["@timestamp", "took"] }));
    assert_eq!(doc_values["fields"], json!({ "@timestamp": ["2025-11-20T10:00:30.000Z"], "took": [1.5] }));
    let numbers = json!([{ "field": "took", "format": "0.000" }, { "field": "status", "format": "#,##0.0" }, { "field": "app", "format": "0" }]);
    let shown = hit(json!({ "docvalue_fields": numbers }));
    assert_eq!(shown["fields"], json!({ "took": ["1.500"], "status": ["500.0"], "app": ["shop"] }));
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
    let beginnings = json!({
        "query": { "query_string": { "query": "reset AND app:shop" } },
        "highlight": { "fields": { "*": {} }, "max_analyzed_offset": 20 },
    });
    assert_eq!(elastic.search(beginnings)["hits"]["hits"][0]["highlight"], json!({ "app": ["<em>shop</em>"] }));
    for (key, says) in [("long", Some("numeric_type")), ("date_nanos", Some("numeric_type")), ("double", None)] {
        let sorted = json!({ "sort": [{ "took": { "order": "asc", "numeric_type": key } }] });
        let (status, answer) = elastic.post("/web/_search", &sorted);
        assert_eq!(status, if says.is_some() { 400 } else { 200 }, "{answer}");
        assert!(says.is_none_or(|says| answer.to_string().contains(says)), "{answer}");
    }

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
fn lists_have_a_place_and_rows_of_one_millisecond_too() {
    let elastic = Elastic::start();
    let numbers = ["[\"3\",\"10\"]", "[\"5\"]", "[\"1\",\"20\"]", "7"];
    let document = |(at, n): (usize, &&str)| {
        let time = format!("2025-11-20T10:00:00.000{at}00Z");
        format!("{{\"create\":{{\"_index\":\"nums\"}}}}\n{{\"@timestamp\":\"{time}\",\"n\":{n},\"message\":\"m\"}}\n")
    };
    let body: String = numbers.iter().enumerate().map(document).collect();
    let (status, text) =
        elastic.sawbox.send("POST", &format!("{}/_bulk", elastic.url), "application/x-ndjson", body.as_bytes());
    assert!(status == 200 && text.contains("\"errors\":false"), "{text}");
    elastic.sawbox.settle();
    let ask = |body: Value| {
        let (status, answer) = elastic.post("/nums/_search", &body);
        assert_eq!(status, 200, "{body}: {answer}");
        answer
    };
    for (sort, expected, is_paged) in [
        (json!([{ "@timestamp": "asc" }]), [0, 1, 2, 3], true),
        (json!([{ "@timestamp": "desc" }]), [3, 2, 1, 0], true),
        (json!([{ "n": "asc" }]), [2, 0, 1, 3], true),
        (json!([{ "n": "desc" }]), [2, 0, 3, 1], true),
        (json!([{ "n": { "order": "asc", "mode": "max" } }]), [1, 3, 0, 2], true),
        (json!([{ "n": { "order": "desc", "mode": "min" } }]), [3, 1, 0, 2], true),
        (json!([{ "n": { "order": "asc", "mode": "avg" } }]), [1, 0, 3, 2], false),
        (json!([{ "n": { "order": "asc", "mode": "sum" } }]), [1, 3, 0, 2], false),
        (json!([{ "n": { "order": "desc", "mode": "median" } }]), [2, 3, 0, 1], false),
    ] {
        assert_eq!(hits(&ask(json!({ "sort": sort }))), expected, "{sort}");
        if !is_paged {
            elastic.refuses("/nums/_search", json!({ "sort": sort, "search_after": [1] }), "mode");
            elastic.refuses("/nums/_search?scroll=1m", json!({ "sort": sort }), "mode");
            continue;
        }
        let (mut paged, mut after) = (Vec::new(), Value::Null);
        while paged.len() < 5 {
            let answer = ask(json!({ "sort": sort, "size": 1, "search_after": after }));
            let Some(last) = answer["hits"]["hits"].as_array().unwrap().last() else { break };
            after = last["sort"].clone();
            paged.extend(hits(&answer));
        }
        assert_eq!(paged, expected, "{sort}");
    }
    let answer = ask(json!({ "sort": [{ "n": { "order": "asc", "mode": "avg" } }] }));
    assert_eq!(answer["hits"]["hits"][1]["sort"][0], 6.5);
    elastic.refuses("/nums/_search", json!({ "sort": [{ "n": { "mode": "first" } }] }), "first");
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
    assert_eq!(["none", "none*"].map(|name| elastic.send("GET", &format!("/_cat/indices/{name}")).0), [404, 200]);
    let (_, resolved) = elastic.send("GET", "/_resolve/index/w*");
    assert_eq!(resolved["indices"][0]["name"], "web");
    let (_, whole) = elastic.send("GET", "/web");
    assert_eq!(whole["web"]["settings"]["index"]["number_of_shards"], "1");
    assert_eq!(elastic.send("GET", "/web/_settings").1["web"]["settings"]["index"]["provided_name"], "web");
    assert_eq!(elastic.send("GET", "/_alias").1, json!({ "web": { "aliases": {} } }));
    assert_eq!(elastic.send("HEAD", "/_alias/x").0, 404);
    // Of what `filter_path` names, no more; a list is passed through.
    let (_, part) = elastic.send("GET", "/web/_mapping?filter_path=*.mappings.properties.b*");
    assert_eq!(part, json!({ "web": { "mappings": { "properties": { "bytes": { "type": "long" } } } } }));
    assert_eq!(elastic.send("HEAD", "/web?filter_path=web").0, 200);
    assert_eq!(elastic.send("GET", "/_cat/indices/web?h=i&filter_path=x").1, "web\n");
    let search = |path: &str, body: Value| elastic.post(&format!("/web/_search?filter_path={path}"), &body);
    let (status, part) = search(
        "hits.total.value,hits.hits._source.app,**.doc_count",
        json!({ "size": 2, "aggs": { "a": { "terms": { "field": "vip" } } } }),
    );
    let expected = json!({
        "hits": { "total": { "value": 7 }, "hits": [{ "_source": { "app": "blog" } }, { "_source": { "app": "blog" } }] },
        "aggregations": { "a": { "buckets": [{ "doc_count": 1 }] } },
    });
    assert_eq!((status, part), (200, expected));
    let (_, part) = search("hits.hits,-**._source,-hits.hits._score", json!({ "size": 1 }));
    assert_eq!(part, json!({ "hits": { "hits": [{ "_index": "web", "_id": "web-0-6-0" }] } }));
    assert_eq!(search("nothing", json!({})).1, json!({}));
    let (status, refused) = search("took", json!({ "query": { "fuzzy": {} } }));
    assert!(status == 400 && refused["error"]["reason"].as_str().unwrap().contains("fuzzy"), "{refused}");
    let (_, valid) = elastic.post("/web/_validate/query", &json!({ "query": { "fuzzy": {} } }));
    assert_eq!(valid["valid"], false);
    let (status, refused) = elastic.post("/web/_explain/1", &json!({}));
    assert!(status == 404 && refused["error"]["reason"].as_str().unwrap().contains("_explain"), "{refused}");
}
