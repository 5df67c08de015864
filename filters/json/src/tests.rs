//! Tables of documents, and serde_json as the reference of what JSON is.

use proptest::prelude::*;
use sawbox_guest::testing::{Harness, Input, Outcome, Owned};
use serde_json::Value;

use crate::JsonFilter;
use crate::scan::{CELLS, Doc, FLATTENED, NESTING, Scalar};

fn show(outcome: &Outcome) -> String {
    let value = |value: &Owned| match value {
        Owned::Str(bytes) => format!("{:?}", String::from_utf8_lossy(bytes)),
        Owned::Int(number) => number.to_string(),
        Owned::Float(number) => format!("{number:?}"),
        Owned::Bool(yes) => yes.to_string(),
    };
    let mut fields: Vec<_> = outcome.fields.iter().map(|(name, field)| format!("{name}={}", value(field))).collect();
    if let Some(ns) = outcome.time_ns {
        fields.insert(0, format!("@{}", ns / 1_000_000));
    }
    fields.join(" ")
}

fn run(config: &str, input: Input) -> Outcome {
    Harness::<JsonFilter>::new(config).unwrap().run(&[input]).remove(0)
}

fn check(document: &str, fields: &str) {
    let outcome = run("{}", Input::new(document));
    assert_eq!(show(&outcome), fields, "{document}");
    assert_eq!(outcome.consumed, !fields.contains("_jsonparsefailure") && document.trim_start().starts_with('{'), "{document}");
}

#[test]
fn documents_become_fields() {
    check(r#"{"a":{"b":1,"c":{"d":"x"}},"e":true}"#, r#"a.b=1 a.c.d="x" e=true"#);
    check(r#" {"n":null,"o":{},"l":[],"s":""} "#, r#"s="""#);
    check(r#"{"l":["a",2,null,1.5,false]}"#, r#"l="a" l=2 l=1.5 l=false"#);
    check(r#"{"l":["a",{"b": 1}],"m":[[1],2],"z":0}"#, r#"l="[\"a\",{\"b\": 1}]" m="[[1],2]" z=0"#);
    check(r#"{"a":1,"a":"2","b":{"c":3},"b.c":4}"#, r#"a=1 a="2" b.c=3 b.c=4"#);
    check(r#"{"":1,"a":{"":2}}"#, "_=1 a._=2");
    check(
        r#"{"k\u00e9\n":"\ud83d\ude00\\\/\"\b\f\r\t","half":"\ud83d!"}"#,
        "ké\n=\"😀\\\\/\\\"\\u{8}\\u{c}\\r\\t\" half=\"\u{fffd}!\"",
    );
    check("{\"raw\":\"a\tb\nc\"}", r#"raw="a\tb\nc""#);
}

#[test]
fn numbers_lose_no_digit() {
    check(
        r#"{"a":9223372036854775807,"b":-9223372036854775808,"c":9223372036854775808,"d":9223372036854775809}"#,
        r#"a=9223372036854775807 b=-9223372036854775808 c=9.223372036854776e18 d="9223372036854775809""#,
    );
    check(r#"{"a":1e3,"b":-0,"c":0.1,"d":1e999,"e":-12,"f":0}"#, r#"a=1000.0 b=-0.0 c=0.1 d="1e999" e=-12 f=0"#);
}

#[test]
fn time_and_message_are_found() {
    check(r#"{"@timestamp":"2015-05-17T10:05:03.123Z","message":"m","time":1}"#, r#"@1431857103123 message="m" time=1"#);
    check(r#"{"ts":1431857103.5,"msg":"m","level":"info"}"#, r#"@1431857103500 message="m" level="info""#);
    check(r#"{"time":"soon","ts":1431857103000}"#, r#"@1431857103000 time="soon""#);
    check(r#"{"timestamp":"1431857103","_msg":"a","msg":"b"}"#, r#"@1431857103000 message="a" msg="b""#);
    check(
        r#"{"log":"line\n","stream":"stdout","time":"2015-05-17T10:05:03Z"}"#,
        r#"@1431857103000 message="line" stream="stdout""#,
    );
    check(r#"{"log":{"level":"info"},"message":"m"}"#, r#"message="m" log.level="info""#);
    check(r#"{"message":42}"#, r#"message="42""#);
    check(r#"{"msg":42}"#, "msg=42");
    check(r#"{"a":{"message":"m","time":1}}"#, r#"a.message="m" a.time=1"#);
    check(r#"{"message":["a","b"]}"#, r#"message="a" message="b""#);
}

#[test]
fn names_of_the_box_are_not_forged() {
    check(
        r#"{"_time":"never","_topic":"x","_n":[1,2],"_mine":1}"#,
        r#"json._time="never" json._topic="x" json._n=1 json._n=2 _mine=1"#,
    );
}

#[test]
fn a_filebeat_document_comes_out_well() {
    let document = r#"{"@timestamp":"2026-11-20T08:00:00.000Z","@metadata":{"beat":"filebeat","version":"8.19.0"},
        "log":{"offset":1022,"file":{"path":"/var/log/app.log"}},"message":"GET /","input":{"type":"log"},
        "fields":{"app":"shop"},"tags":["web","prod"],"ecs":{"version":"8.0.0"},"host":{"name":"web1","ip":["10.0.0.1","fe80::1"]},"agent":{"type":"filebeat"}}"#;
    let fields = concat!(
        r#"@1795161600000 message="GET /" log.offset=1022 log.file.path="/var/log/app.log" input.type="log" fields.app="shop" "#,
        r#"tags="web" tags="prod" ecs.version="8.0.0" host.name="web1" host.ip="10.0.0.1" host.ip="fe80::1" agent.type="filebeat""#
    );
    check(document, fields);
    assert_eq!(run("{}", Input::new(document)).built_bytes, 0, "strings are slices of the payload");
}

#[test]
fn what_failed_has_the_tags_that_were_asked_for() {
    let config = r#"{"mode": "strict", "tag_on_failure": ["no", "json"]}"#;
    assert_eq!(show(&run(config, Input::new("plain"))), r#"tags="no" tags="json""#);
    assert_eq!(show(&run(r#"{"tag_on_failure": []}"#, Input::new("{"))), "");
}

#[test]
fn an_object_takes_the_place_of_its_text_where_that_is_the_target() {
    let config = r#"{"source": "doc", "target": "[doc]"}"#;
    let mut harness = Harness::<JsonFilter>::new(config).unwrap();
    let input = || Input::new("").field("doc", r#"{"a": 5}"#);
    // The second is known from the first.
    for outcome in harness.run(&[input(), input()]) {
        assert_eq!(show(&outcome), "doc.a=5");
    }
    assert_eq!(show(&run(config, Input::new("").field("doc", "plain"))), r#"doc="plain""#);
    let input = Input::new("").field("doc", r#"{"a": 5}"#);
    assert_eq!(show(&run(r#"{"source": "doc", "target": "doc.in"}"#, input)), r#"doc="{\"a\": 5}" doc.in.a=5"#);
}

#[test]
fn what_is_no_object_is_a_message() {
    for text in ["", "plain", "[1,2]", "\"x\"", "12", "null", "\u{feff}x", "}"] {
        check(text, "");
        assert_eq!(show(&run(r#"{"mode":"strict"}"#, Input::new(text))), "tags=\"_jsonparsefailure\"");
    }
    for text in [
        "{",
        "{}x",
        "{a:1}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{,}",
        "{\"a\":1 \"b\":2}",
        "{\"a\":01}",
        "{\"a\":1.}",
        "{\"a\":.5}",
        "{\"a\":+1}",
        "{\"a\":1e}",
        "{\"a\":tru}",
        "{\"a\":\"x}",
        "{\"a\":\"\\x\"}",
        "{\"a\":\"\\u12g4\"}",
        "{\"a\":[1,]}",
        "{\"a\":[1}",
        "{\"a\":{]}",
        "{\"a\":NaN}",
        "{{}}",
        "{\"a\":1}{\"b\":2}",
    ] {
        check(text, "tags=\"_jsonparsefailure\"");
    }
}

#[test]
fn configuration_is_honoured() {
    let line = r#"{"a":1,"time":"2015-05-17T10:05:03Z","message":"m","_n":1}"#;
    let outcome = run(r#"{"source":"[body]"}"#, Input::new("payload").field("body", line));
    assert_eq!(show(&outcome), format!("@1431857103000 body={line:?} message=\"m\" a=1 json._n=1"));
    assert!(!outcome.consumed);
    assert_eq!(show(&run(r#"{"target":"[app][log]"}"#, Input::new("{\"a\":1}"))), "app.log.a=1");
    let outcome = run(r#"{"target":"app"}"#, Input::new(line));
    assert_eq!(show(&outcome), r#"app.a=1 app.time="2015-05-17T10:05:03Z" app.message="m" app._n=1"#);
    assert_eq!(show(&run(r#"{"source":"body"}"#, Input::new("{\"a\":1}"))), "");
    let done = r#"{"source":"body","remove_field":["body"],"add_field":{"b":"%{a}!"}}"#;
    assert_eq!(show(&run(done, Input::new("").field("body", "{\"a\":1}"))), "a=1 b=\"1!\"");
    assert_eq!(show(&run(done, Input::new("").field("body", "{"))), "body=\"{\" tags=\"_jsonparsefailure\"");
    for (config, says) in [
        (r#"{"mode":"loose"}"#, "loose"),
        (r#"{"field":"x"}"#, "field"),
        (r#"{"target":1}"#, "target"),
        (r#"{"target":"_origin"}"#, "_origin"),
    ] {
        assert!(Harness::<JsonFilter>::new(config).unwrap_err().contains(says));
    }
}

#[test]
fn tags_and_fields_that_came_before() {
    let outcome = run("{}", Input::new(r#"{"host":"b","tags":["x","y"]}"#).field("host", "a").field("tags", "x"));
    assert_eq!(show(&outcome), r#"tags="x" host="b" tags="y""#);
    check(r#"{"tags":["secret",7]}"#, r#"tags="secret" tags=7"#);
    check(r#"{"tags":["x",true,"y","x",1.5]}"#, r#"tags="x" tags=true tags="y" tags=1.5"#);
    check(r#"{"tags":7}"#, "tags=7");
}

#[test]
fn limits_cut_and_say_so() {
    let many: Vec<_> = (0..CELLS + 5).map(|number| format!("\"k{number}\":{number}")).collect();
    let outcome = run("{}", Input::new(format!("{{{}}}", many.join(","))));
    assert_eq!(outcome.fields.len(), CELLS + 1);
    assert_eq!(outcome.text("tags"), Some("_jsoncut"));
    let long = format!("{{\"{}\":1,\"b\":2}}", "x".repeat(300));
    assert_eq!(show(&run("{}", Input::new(long))), "b=2 tags=\"_jsoncut\"");
    let deep = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
    let outcome = run("{}", Input::new(deep(FLATTENED + 2)));
    assert_eq!(show(&outcome), format!("{}={:?}", vec!["a"; FLATTENED].join("."), deep(2)));
    assert!(run("{}", Input::new(deep(NESTING))).consumed);
    assert!(!run("{}", Input::new(deep(NESTING + 1))).consumed);
    assert!(!run("{}", Input::new("{\"a\":".to_owned() + &"[".repeat(1_000_000))).consumed);
}

#[test]
fn bytes_are_kept_as_they_are() {
    let outcome = run("{}", Input::new(b"{\"a\xff\":\"b\xfe\"}"));
    assert_eq!(outcome.fields, [("a\u{fffd}".to_owned(), Owned::Str(b"b\xfe".to_vec()))]);
}

/// A document of one of some shapes, with these values.
fn alike(shape: usize, values: &[usize]) -> String {
    const VALUES: [&str; 22] = [
        "1",
        "-2.5",
        "true",
        "null",
        "{}",
        "[]",
        "[1,\"x\"]",
        "[{\"a\":1}]",
        "{\"b\":2}",
        "\"\"",
        "\"x\"",
        "\"eight by\"",
        "\"\\u00e9\\n\"",
        "\"2015-05-17T10:05:03Z\"",
        "\"soon\"",
        "1431857103",
        "12345678901234567890123",
        "\"line\\n\"",
        "false",
        "01",
        "\"open",
        "1,\"z\":2",
    ];
    const SHAPES: [[&str; 6]; 9] = [
        ["time", "message", "level", "a", "b", "c"],
        ["time", "message", "level", "a", "b", "d"],
        ["_time", "_msg", "ip", "ua", "a_longer_name", "x"],
        ["ts", "log", "a.b", "a", "tags", "@metadata"],
        ["message", "msg", "ts", "ts", "_topic", "message"],
        ["@timestamp", "_time", "a", "a", "a", ""],
        ["log", "stream", "time", "log", "k\\u00e9", "@metadata.x"],
        ["q", "r", "s", "t", "u", "v"],
        ["tags", "q", "r", "s", "t", "u"],
    ];
    let members = SHAPES[shape].iter().zip(values).map(|(name, value)| format!("\"{name}\":{}", VALUES[*value]));
    let members: Vec<String> = members.collect();
    // Some within another object.
    if shape == 7 {
        return format!("{{\"o\": {{{}}},\"after\":[{},{}]}}", members[..3].join(","), VALUES[values[3]], VALUES[values[4]]);
    }
    format!("{{{}}}", members.join(","))
}

/// Flattened as the rules say, from a tree.
fn flatten(name: &str, depth: usize, value: &Value, out: &mut Vec<(String, Value)>) {
    match value {
        Value::Null => {}
        Value::Object(members) if depth <= FLATTENED => {
            for (key, value) in members {
                let key = if key.is_empty() { "_" } else { key };
                let full = if name.is_empty() { key.to_owned() } else { format!("{name}.{key}") };
                flatten(&full, depth + 1, value, out);
            }
        }
        Value::Array(elements) if elements.iter().any(|element| element.is_array() || element.is_object()) => {
            out.push((name.to_owned(), Value::String(value.to_string())));
        }
        Value::Array(elements) => elements.iter().for_each(|element| flatten(name, depth, element, out)),
        Value::Object(_) => out.push((name.to_owned(), Value::String(value.to_string()))),
        scalar => out.push((name.to_owned(), scalar.clone())),
    }
}

fn scanned(text: &str) -> Option<Vec<(String, Value)>> {
    let mut doc = Doc::default();
    doc.scan(text.as_bytes()).ok()?;
    let cells = doc.cells.iter().map(|cell| {
        let value = match cell.value {
            Scalar::Str(place) => Value::String(String::from_utf8(doc.text(text.as_bytes(), place).to_vec()).unwrap()),
            Scalar::Int(number) => number.into(),
            Scalar::Float(number) => number.into(),
            Scalar::Bool(yes) => yes.into(),
        };
        (String::from_utf8(doc.name(cell).to_vec()).unwrap(), value)
    });
    Some(cells.collect())
}

fn documents() -> impl Strategy<Value = Value> {
    let key = prop_oneof![3 => "[a-z@_.]{0,6}", 1 => any::<String>().prop_map(|key| key.chars().take(8).collect())];
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e300..1e300f64).prop_map(Value::from),
        any::<f32>().prop_filter("finite", |number| number.is_finite()).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "[ -~]{0,20}".prop_map(Value::from),
    ];
    let value = scalar.prop_recursive(6, 40, 6, {
        let key = key.clone();
        move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                proptest::collection::vec((key.clone(), inner), 0..5)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        }
    });
    proptest::collection::vec((key, value), 0..8).prop_map(|members| Value::Object(members.into_iter().collect()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn documents_are_what_serde_json_reads(document in documents()) {
        let mut expected = Vec::new();
        flatten("", 1, &document, &mut expected);
        prop_assert_eq!(scanned(&document.to_string()), Some(expected), "{}", document);
    }

    /// Layout changes nothing but the texts of lists and deep objects, which these have none of.
    #[test]
    fn space_means_nothing(number in any::<i64>(), text in any::<String>(), list in proptest::collection::vec(any::<i64>(), 1..4)) {
        let document = serde_json::json!({"a": {"n": number, "t": text}, "l": list});
        prop_assert_eq!(scanned(&serde_json::to_string_pretty(&document).unwrap()), scanned(&document.to_string()));
    }

    /// What serde_json takes we take; what it refuses we refuse, but for what [`crate::scan`] names as lenient.
    #[test]
    fn broken_documents_are_refused(document in documents(), at in any::<prop::sample::Index>(), with in "[\\[\\]{}:,\"a0.eE\\\\ -]") {
        let mut text = document.to_string();
        let at = at.index(text.len());
        if text.is_char_boundary(at) && text.is_char_boundary(at + 1) {
            text.replace_range(at..=at, &with);
        }
        let theirs = serde_json::from_str::<serde_json::Map<String, Value>>(&text);
        let lenient = text.contains("\\u") || theirs.as_ref().is_err_and(|error| error.to_string().contains("out of range"));
        if !lenient {
            prop_assert_eq!(scanned(&text).is_some(), theirs.is_ok(), "{} {:?}", text, theirs.err());
        }
    }

    /// Whatever came before, a document means the same: one filter that learns, and a new one for each.
    #[test]
    fn documents_alike_mean_what_they_mean_alone(
        order in proptest::collection::vec((0usize..9, proptest::collection::vec(0usize..22, 6)), 1..80),
        config in proptest::sample::select(vec!["{}", r#"{"target":"t"}"#, r#"{"mode":"strict"}"#]),
    ) {
        let inputs: Vec<Input> = order.iter().map(|(shape, values)| Input::new(alike(*shape, values))).collect();
        let mut learned = Harness::<JsonFilter>::new(config).unwrap();
        let (one, another) = inputs.split_at(inputs.len() / 2);
        let together: Vec<Outcome> = [learned.run(one), learned.run(another)].into_iter().flatten().collect();
        for (input, outcome) in inputs.iter().zip(&together) {
            let alone = run(config, input.clone());
            prop_assert_eq!((show(outcome), outcome.consumed), (show(&alone), alone.consumed), "{:?}", input);
        }
    }

    #[test]
    fn no_bytes_panic(text in "[\\[\\]{}:,\"a0.eEtn\\\\ud8-]{0,60}", tail in proptest::collection::vec(any::<u8>(), 0..20)) {
        let mut bytes = format!("{{\"a\":{text}").into_bytes();
        bytes.extend(tail);
        let outcome = run("{}", Input::new(&bytes));
        prop_assert!(outcome.consumed || outcome.text("tags") == Some("_jsonparsefailure"));
    }
}
