//! Query strings, as the language that everything else uses writes them.

use serde_json::json;

use crate::base::predicate::parse;
use crate::web::elastic::dsl;

const NOW: i64 = 1_431_857_103_000_000_000; // 2015-05-17T10:05:03Z

fn check_with(options: serde_json::Value, written: &str, expected: &str) {
    let mut body = json!({ "query": written });
    if let (Some(body), Some(options)) = (body.as_object_mut(), options.as_object()) {
        body.extend(options.clone());
    }
    let got = dsl::predicate(&json!({ "query_string": body }), NOW).map(|found| found.to_string());
    let expected = parse(expected).map(|found| found.to_string()).map_err(|error| error.to_string());
    assert_eq!(got, expected, "{written}");
}

fn check(written: &str, expected: &str) {
    check_with(json!({}), written, expected);
}

#[test]
fn terms_phrases_and_patterns() {
    check("*", "*");
    check("*:*", "*");
    check("app:shop", "app:shop");
    check("error", "*:error");
    check("\"connection reset\"", "*:\"connection reset\"");
    check("app:\"a \\\"b\\\"\"", r#"app:"a \"b\"""#);
    check("path:\\/health\\:8080", "path:\"/health:8080\"");
    check("host.name:web-*", "host.name:web-*");
    check("conn?ct*", "*:conn?ct*");
    check("auth:*", "auth:* or auth.*:*");
    check("_exists_:auth", "auth:* or auth.*:*");
    check("app.keyword:shop", "app:=shop");
    check("path:/[a-z]+\\/x/", r#"path:~"(?s)^(?:[a-z]+/x)$""#);
    check("app:shop^2", "app:shop");
    check("book.\\*:x", "book.*:x");
    check("@timestamp:\"2015-05-17\"", "_time:[2015-05-17T00:00:00Z TO 2015-05-18T00:00:00Z}");
}

#[test]
fn ranges() {
    check("status:[400 TO 499]", "status:[400 TO 499]");
    check("status:{400 TO *}", "status:{400 TO *}");
    check("status:>=500", "status:>=500");
    check("status:<500", "status:<500");
    check("status:(>=400 AND <500)", "status:>=400 status:<500");
    check("@timestamp:[now-1d/d TO now/d}", "_time:[2015-05-16T00:00:00Z TO 2015-05-17T00:00:00Z}");
    check("@timestamp:[2015-05-17T10:05 TO *]", "_time>=2015-05-17T10:05:00Z");
}

#[test]
fn operators_are_as_in_lucene() {
    check("a:1 AND b:2", "a:1 b:2");
    check("a:1 && b:2", "a:1 b:2");
    check("a:1 OR b:2", "a:1 or b:2");
    check("a:1 b:2", "a:1 or b:2");
    check("a:1 OR b:2 AND c:3", "b:2 c:3");
    check("+a:1 b:2", "a:1");
    check("a:1 AND NOT b:2", "a:1 -b:2");
    check("a:1 -b:2", "a:1 -b:2");
    check("NOT a:1", "-a:1");
    check("(a:1 OR b:2) AND c:3", "(a:1 or b:2) c:3");
    check("a:(1 OR 2)", "a:1 or a:2");
    check("a:(x -y)", "a:x -a:y");
    let and = || json!({ "default_operator": "AND" });
    check_with(and(), "a:1 b:2", "a:1 b:2");
    check_with(and(), "a:1 OR b:2", "a:1 or b:2");
    check_with(json!({ "default_field": "message" }), "x", "message:x");
    check_with(json!({ "fields": ["a^3", "b"] }), "x y:1", "(a:x or b:x) or y:1");
    check_with(json!({ "minimum_should_match": 2 }), "a:1 b:2", "a:1 b:2");
}

#[test]
fn what_is_wrong_is_pointed_at() {
    for (written, word) in [
        ("a AND", "clause"),
        ("(a", ")"),
        ("a)", ")"),
        ("a:", "value"),
        ("a:[1 TO", "end of a range"),
        ("a:[1 5]", "TO"),
        ("\"a", "\""),
        ("a~", "~"),
        ("\"a b\"~3", "~"),
        ("/abc", "/"),
        ("a:b:c", "\\"),
        ("a^x", "^"),
    ] {
        let why = dsl::predicate(&json!({ "query_string": { "query": written } }), 0).unwrap_err();
        assert!(why.contains(word), "{written}: {why}");
    }
}

#[test]
fn simple_queries_are_never_wrong() {
    let check = |options: serde_json::Value, written: &str, expected: &str| {
        let mut body = json!({ "query": written, "fields": ["m"] });
        if let (Some(body), Some(options)) = (body.as_object_mut(), options.as_object()) {
            body.extend(options.clone());
        }
        let got = dsl::predicate(&json!({ "simple_query_string": body }), NOW).map(|found| found.to_string());
        assert_eq!(got, Ok(parse(expected).unwrap().to_string()), "{written}");
    };
    check(json!({}), "a b", "m:a or m:b");
    check(json!({}), "a + b", "m:a m:b");
    check(json!({}), "a | b | c", "m:a or m:b or m:c");
    check(json!({ "default_operator": "and" }), "a b", "m:a m:b");
    check(json!({ "default_operator": "and" }), "a -b", "m:a -m:b");
    check(json!({}), "\"a b\" c*", "m:\"a b\" or m:c*");
    check(json!({}), "(a + b) | c", "(m:a m:b) or m:c");
    check(json!({}), "field:x", "m:\"field:x\"");
    check(json!({}), "((a", "m:a");
    check(json!({}), "a)) \"b", "m:a or m:b");
}
