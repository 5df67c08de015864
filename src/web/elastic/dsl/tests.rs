//! Queries of the DSL, as the language that everything else uses writes them.

use serde_json::{Value, json};

use super::predicate;
use crate::base::predicate::parse;

const NOW: i64 = 1_431_857_103_000_000_000; // 2015-05-17T10:05:03Z

fn check(query: Value, expected: &str) {
    let got = predicate(&query, NOW).map(|predicate| predicate.to_string());
    let expected = parse(expected).map(|predicate| predicate.to_string()).map_err(|error| error.to_string());
    assert_eq!(got, expected, "{query}");
}

#[test]
fn the_dsl_is_the_native_language_in_other_clothes() {
    check(json!({ "match_all": {} }), "*");
    check(json!({ "match_none": {} }), "not *");
    check(json!({ "term": { "response": 503 } }), "response:=503");
    check(json!({ "term": { "verb.keyword": { "value": "GET" } } }), "verb:=GET");
    check(json!({ "term": { "message": "reset" } }), "reset");
    check(json!({ "term": { "ip": "10.0.0.0/8" } }), "ip:=\"10.0.0.0/8\" or ip:10.0.0.0/8");
    for kind in ["match", "match_phrase"] {
        check(json!({ kind: { "ip": "10.0.0.0/8" } }), "ip:\"10.0.0.0/8\" or ip:10.0.0.0/8");
        check(json!({ kind: { "message": "10.0.0.0/8" } }), "message:\"10.0.0.0/8\"");
    }
    check(json!({ "regexp": { "ip": { "value": "a.b", "flags": "NONE" } } }), "ip:~\"(?s)^(?:a.b)$\"");
    check(json!({ "term": { "app": { "value": "a.b", "case_insensitive": true } } }), r#"app:~"(?is)^(?:a\.b)$""#);
    check(json!({ "terms": { "app": ["shop", "api"], "boost": 2 } }), "app:=shop or app:=api");
    check(json!({ "exists": { "field": "auth" } }), "auth:* or auth.*:*");
    check(json!({ "exists": { "field": "@timestamp" } }), "*");
    check(json!({ "prefix": { "path": "/he" } }), "path:=/he*");
    check(json!({ "prefix": { "message": "conn" } }), "message:conn*");
    check(json!({ "wildcard": { "path": { "value": "/a*.p?g" } } }), "path:=/a*.p?g");
    check(json!({ "wildcard": { "path": { "wildcard": "A*", "case_insensitive": true } } }), r#"path:~"(?is)^A.*$""#);
    check(json!({ "regexp": { "path": "/a[0-9]+@" } }), r#"path:~"(?s)^(?:/a[0-9]+.*)$""#);
    check(json!({ "constant_score": { "filter": { "term": { "a": 1 } } } }), "a:=1");
    check(json!({ "dis_max": { "queries": [{ "term": { "a": 1 } }, { "term": { "b": 2 } }] } }), "a:=1 or b:=2");
    let origin = |topic: &str, offset: u64| format!("_topic:={topic} _partition:=0 _offset:={offset} _n:=1");
    check(json!({ "ids": { "values": ["my-app-0-7-1"] } }), &origin("my-app", 7));
    check(json!({ "term": { "_id": "no id" } }), "not *");
    check(json!({ "term": { "_index": "web" } }), "_topic:=web");
}

#[test]
fn words_are_asked_together_or_apart() {
    check(json!({ "match": { "message": "connection reset" } }), "message:connection or message:reset");
    check(
        json!({ "match": { "message": { "query": "connection reset", "operator": "and" } } }),
        "message:connection message:reset",
    );
    let two_of_three = json!({ "match": { "message": { "query": "a b c", "minimum_should_match": "67%" } } });
    check(two_of_three, "(message:a (message:b or message:c)) or (message:b message:c)");
    check(json!({ "match_phrase": { "message": "connection reset" } }), "message:\"connection reset\"");
    check(json!({ "match_phrase_prefix": { "message": "connection re" } }), "message:connection\\ re*");
    check(json!({ "match_bool_prefix": { "message": "connection re" } }), "message:connection or message:re*");
    check(json!({ "match": { "app.keyword": "a b" } }), "app:=\"a b\"");
    check(json!({ "multi_match": { "query": "x", "fields": ["a^2", "b"] } }), "a:x or b:x");
    let cross = json!({ "multi_match": { "query": "x y", "fields": ["a", "b"], "type": "cross_fields", "operator": "and" } });
    check(cross, "(a:x or b:x) (a:y or b:y)");
    check(json!({ "multi_match": { "query": "x y", "type": "phrase" } }), "*:\"x y\"");
}

#[test]
fn bool_joins_clauses() {
    check(
        json!({ "bool": { "must": [{ "term": { "a": 1 } }], "must_not": { "term": { "b": 2 } }, "should": [{ "term": { "c": 3 } }] } }),
        "a:=1 -b:=2",
    );
    check(json!({ "bool": { "should": [{ "term": { "c": 3 } }, { "term": { "d": 4 } }] } }), "c:=3 or d:=4");
    let should = json!([{ "term": { "a": 1 } }, { "term": { "b": 2 } }, { "term": { "c": 3 } }]);
    check(json!({ "bool": { "should": should, "minimum_should_match": 3 } }), "a:=1 b:=2 c:=3");
    check(json!({ "bool": { "should": should, "minimum_should_match": "-1" } }), "(a:=1 (b:=2 or c:=3)) or (b:=2 c:=3)");
    check(json!({ "bool": { "should": should, "minimum_should_match": 4 } }), "not *");
    for none in [json!(0), json!("30%"), json!("-100%"), json!("1<0")] {
        let two = json!([{ "term": { "a": 1 } }, { "term": { "b": 2 } }]);
        check(json!({ "bool": { "should": two, "minimum_should_match": none } }), "a:=1 or b:=2");
        let excluded = json!({ "bool": { "should": two, "must_not": { "term": { "c": 3 } }, "minimum_should_match": none } });
        check(excluded, "(a:=1 or b:=2) -c:=3");
        check(json!({ "bool": { "should": two, "filter": { "term": { "c": 3 } }, "minimum_should_match": none } }), "c:=3");
        check(json!({ "bool": { "minimum_should_match": none } }), "*");
    }
    check(json!({ "bool": {} }), "*");
    let without = |pure: Value| json!({ "bool": { "must_not": { "term": { "b": 2 } }, "adjust_pure_negative": pure } });
    check(without(json!(true)), "-b:=2");
    check(without(json!(false)), "not *");
    let one = json!({ "term": { "a": 1 } });
    check(
        json!({ "bool": { "filter": one, "must_not": { "term": { "b": 2 } }, "adjust_pure_negative": false } }),
        "a:=1 -b:=2",
    );
    check(json!({ "bool": { "filter": [{ "match_all": {} }, { "term": { "a": 1 } }] } }), "a:=1");
}

#[test]
fn choices_within_choices_do_not_multiply_without_end() {
    let (a, b) = (json!({ "term": { "a": 1 } }), json!({ "term": { "b": 2 } }));
    let nested = |depth: usize| {
        (0..depth).fold(
            json!({ "term": { "c": 3 } }),
            |inner, _| json!({ "bool": { "should": [a.clone(), b.clone(), inner], "minimum_should_match": 2 } }),
        )
    };
    assert!(predicate(&nested(3), NOW).is_ok());
    assert!(predicate(&nested(30), NOW).is_err_and(|why| why.contains("tests")));
    let text = format!("{}c{}", "(a b ".repeat(30), ")".repeat(30));
    let query = json!({ "query_string": { "query": text, "minimum_should_match": 2 } });
    assert!(predicate(&query, NOW).is_err_and(|why| why.contains("tests")));
}

#[test]
fn ranges_are_of_numbers_or_of_times() {
    check(json!({ "range": { "bytes": { "gte": 10, "lt": 20 } } }), "bytes:[10 TO 20}");
    check(json!({ "range": { "bytes": { "from": 10, "to": 20, "include_upper": false } } }), "bytes:[10 TO 20}");
    check(json!({ "range": { "title": { "gte": "nowhere", "lt": "o" } } }), "title:[nowhere TO o}");
    let time = |ends: Value, expected: &str| check(json!({ "range": { "@timestamp": ends } }), expected);
    time(
        json!({ "gte": "1431857103000", "lte": "1431857103000", "format": "epoch_millis" }),
        "_time:[1431857103000000000 TO 1431857103000999999]",
    );
    time(json!({ "gte": "now-1d/d", "lt": "now/d" }), "_time:[2015-05-16T00:00:00Z TO 2015-05-17T00:00:00Z}");
    time(json!({ "gt": "2015-05-16", "lte": "2015-05-17" }), "_time:[2015-05-17T00:00:00Z TO 2015-05-18T00:00:00Z}");
    time(json!({ "gte": "2015-05-17", "time_zone": "+02:00" }), "_time>=2015-05-16T22:00:00Z");
    time(json!({ "gte": "17.05.2015", "format": "dd.MM.yyyy" }), "_time>=2015-05-17T00:00:00Z");
    check(json!({ "term": { "_index": "web-2015.05.17" } }), "_topic:=web-2015.05.17 or _topic:=web");
    check(json!({ "term": { "@timestamp": "2015-05-17" } }), "_time:[2015-05-17T00:00:00Z TO 2015-05-18T00:00:00Z}");
}

#[test]
fn what_is_not_understood_is_named() {
    for (query, name) in [
        (json!({ "regexp": { "a": { "value": "x@", "flags": "NONE" } } }), "`flags`"),
        (json!({ "fuzzy": { "a": "b" } }), "fuzzy"),
        (json!({ "nested": { "path": "a", "query": { "match_all": {} } } }), "nested"),
        (json!({ "bool": { "musst": [] } }), "musst"),
        (json!({ "range": { "a": { "geq": 1 } } }), "geq"),
        (json!({ "range": { "a": { "gte": "x", "format": "yyyy" } } }), "format"),
        (json!({ "range": { "@timestamp": { "gte": "soon" } } }), "soon"),
        (json!({ "range": { "created": { "gte": "now-7d" } } }), "now-7d"),
        (json!({ "range": { "created": { "gte": "2024-01-01", "lt": "now" } } }), "now"),
        (json!({ "range": { "created": { "gte": "2024-01-01||/d" } } }), "2024-01-01||/d"),
        (json!({ "query_string": { "query": "created:[now-7d TO *]" } }), "now-7d"),
        (json!({ "query_string": { "query": "created:>=now\\/d" } }), "now/d"),
        (json!({ "term": { "a": { "value": "b", "boots": 2 } } }), "boots"),
        (json!({ "match": { "a": { "query": "b", "fuzziness": "AUTO" } } }), "fuzziness"),
        (json!({ "match_phrase": { "a": { "query": "b c", "slop": 2 } } }), "slop"),
        (json!({ "match_phrase": { "a": { "query": "b c", "operator": "and" } } }), "operator"),
        (json!({ "match_phrase_prefix": { "a": { "query": "b c", "minimum_should_match": 1 } } }), "minimum_should_match"),
        (json!({ "regexp": { "a": "~(b)" } }), "~"),
        (json!({ "regexp": { "a": "(?i)b" } }), "(?"),
        (json!({ "regexp": { "a": "a)|(b" } }), "ends nothing"),
        (json!({ "terms": { "a": { "index": "i", "id": "1", "path": "p" } } }), "look-up"),
        (json!({ "query_string": { "query": "a~2" } }), "~"),
        (json!({ "query_string": { "query": "a", "frobnicate": 1 } }), "frobnicate"),
        (json!({ "match_all": { "a": 1 } }), "`a`"),
    ] {
        let why = predicate(&query, 0).unwrap_err();
        assert!(why.contains(name), "{query}: {why}");
    }
}
