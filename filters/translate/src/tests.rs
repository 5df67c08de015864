//! Every option, and any bytes against a plain model.

use proptest::prelude::*;
use sawbox_guest::testing::{Harness, Input, LookupAnswer, Outcome, Owned, set_lookup};

use super::Translate;
use super::parts::Parts;

fn run(config: &str, input: Input) -> Outcome {
    Harness::<Translate>::new(config).unwrap().run(&[input]).remove(0)
}

fn show(outcome: &Outcome) -> String {
    let fields: Vec<String> = outcome
        .fields
        .iter()
        .map(|(name, value)| match value {
            Owned::Str(bytes) => format!("{name}={}", String::from_utf8_lossy(bytes)),
            other => format!("{name}={other:?}"),
        })
        .collect();
    fields.join(" ")
}

#[test]
fn tables_in_the_configuration() {
    let codes = r#""dictionary":{"200":"OK","404":"not found","n":7,"y":true}"#;
    for (options, input, expected) in [
        ("", Input::new("").field("code", "404"), "code=404 translation=not found"),
        ("", Input::new("").field("code", 200), "code=Int(200) translation=OK"),
        ("", Input::new("").field("code", "n"), "code=n translation=Int(7)"),
        ("", Input::new("").field("code", "y"), "code=y translation=Bool(true)"),
        ("", Input::new("").field("code", "500"), "code=500"),
        ("", Input::new("").field("code", "20"), "code=20"),
        ("", Input::new(""), ""),
        (r#","fallback":"? %{code}""#, Input::new("").field("code", "500"), "code=500 translation=? 500"),
        (r#","target":"code""#, Input::new("").field("code", "200"), "code=OK"),
        (r#","target":"[http][text]""#, Input::new("").field("code", "200"), "code=200 http.text=OK"),
        (r#","ecs_compatibility":"v8""#, Input::new("").field("code", "200"), "code=OK"),
        ("", Input::new("").field("code", "200").field("translation", "x"), "code=200 translation=x"),
        (r#","override":true"#, Input::new("").field("code", "200").field("translation", "x"), "code=200 translation=OK"),
        (r#","target":"code","override":false"#, Input::new("").field("code", "200"), "code=200"),
        ("", Input::new("").field("code", "200").field("code", "404"), "code=200 code=404 translation=OK"),
        (
            r#","iterate_on":"code""#,
            Input::new("").field("code", "200").field("code", "5").field("code", "404"),
            "code=200 code=5 code=404 translation=OK translation=not found",
        ),
        (
            r#","iterate_on":"code","target":"code""#,
            Input::new("").field("code", "200").field("code", "5").field("code", "404"),
            "code=OK code=5 code=not found",
        ),
        (
            r#","iterate_on":"code","fallback":"-""#,
            Input::new("").field("code", "5").field("code", "404"),
            "code=5 code=404 translation=- translation=not found",
        ),
        (r#","tag_on_failure":"odd","add_tag":"done""#, Input::new("").field("code", "5"), "code=5 tags=odd"),
        (
            r#","tag_on_failure":"odd","add_tag":"done""#,
            Input::new("").field("code", "200"),
            "code=200 translation=OK tags=done",
        ),
        (r#","tag_on_failure":"odd""#, Input::new(""), ""),
    ] {
        let config = format!(r#"{{"source":"code",{codes}{options}}}"#);
        assert_eq!(show(&run(&config, input)), expected, "{config}");
    }
    let old = r#"{"field":"code","destination":"text","dictionary":["200","OK",404,"no"]}"#;
    assert_eq!(show(&run(old, Input::new("").field("code", 404))), "code=Int(404) text=no");
}

#[test]
fn parts_are_replaced_where_they_stand() {
    let config = r#"{"source":"message","target":"message","exact":false,"dictionary":{"foo":"bar","b":"","":"x","é":"e"}}"#;
    for (text, expected) in
        [("foofing", "message=barfing"), ("abc", "message=ac"), ("café", "message=cafe"), ("none", "message=none")]
    {
        assert_eq!(show(&run(config, Input::new("").field("message", text))), expected);
    }
    // the first of a list counts, as in an alternation
    let list = r#"{"source":"m","exact":false,"dictionary":["a","1","ab","2"]}"#;
    assert_eq!(show(&run(list, Input::new("").field("m", "abab"))), "m=abab translation=1b1b");
    let list = r#"{"source":"m","exact":false,"dictionary":["ab","2","a","1"]}"#;
    assert_eq!(show(&run(list, Input::new("").field("m", "abac"))), "m=abac translation=21c");
}

#[test]
fn tables_in_files() {
    set_lookup("table", "codes.csv", |key| match key {
        b"200" => LookupAnswer::Value(b"OK".to_vec()),
        b"\0" => LookupAnswer::Value(br#"{"200":"OK","b":"B"}"#.to_vec()),
        _ => LookupAnswer::Nothing,
    });
    let config = r#"{"source":"code","dictionary_path":"codes.csv","fallback":"-"}"#;
    for (code, expected) in [("200", "code=200 translation=OK"), ("201", "code=201 translation=-")] {
        assert_eq!(show(&run(config, Input::new("").field("code", code))), expected);
    }
    let config = r#"{"source":"code","dictionary_path":"codes.csv","exact":false}"#;
    assert_eq!(show(&run(config, Input::new("").field("code", "abc200"))), "code=abc200 translation=aBcOK");
    let missing = Harness::<Translate>::new(r#"{"source":"x","dictionary_path":"none.csv"}"#).unwrap_err();
    assert!(missing.contains("none.csv"), "{missing}");
}

#[test]
fn configurations_that_make_no_sense() {
    for (config, says) in [
        (r#"{"dictionary":{}}"#, "source"),
        (r#"{"source":"a","field":"b","dictionary":{}}"#, "mean the same"),
        (r#"{"source":"a"}"#, "dictionary"),
        (r#"{"source":"a","dictionary":{},"dictionary_path":"x.csv"}"#, "not both"),
        (r#"{"source":"a","dictionary":{"x":[1]}}"#, "dictionary.x"),
        (r#"{"source":"a","dictionary":["x"]}"#, "by turns"),
        (r#"{"source":"a","dictionary":5}"#, "table"),
        (r#"{"source":"a","dictionary":{},"iterate_on":"b"}"#, "iterate_on"),
        (r#"{"source":"a","dictionary":{},"refresh_interval":5}"#, "refreshing"),
        (r#"{"source":"a","dictionary":{},"fallback":5}"#, "fallback"),
        (r#"{"source":"a","dictionary":{},"target":"_origin"}"#, "_origin"),
        (r#"{"source":"a","dictionary":{},"colour":1}"#, "colour"),
    ] {
        let error = Harness::<Translate>::new(config).unwrap_err();
        assert!(error.contains(says), "{config}: {error}");
    }
}

#[test]
fn one_answer_in_whatever_company() {
    let config = r#"{"source":"n","target":"n","dictionary":{"1":"one","2":"two"},"fallback":"%{n}!"}"#;
    let inputs: Vec<Input> = (0..1024).map(|number| Input::new("").field("n", number % 5)).collect();
    let whole: Vec<_> = Harness::<Translate>::new(config).unwrap().run(&inputs).iter().map(show).collect();
    assert_eq!(&whole[..4], ["n=0!", "n=one", "n=two", "n=3!"]);
    for size in [1, 7] {
        let mut filter = Harness::<Translate>::new(config).unwrap();
        let parts: Vec<_> = inputs.chunks(size).flat_map(|chunk| filter.run(chunk)).map(|outcome| show(&outcome)).collect();
        assert_eq!(parts, whole, "in batches of {size}");
    }
}

/// The plain way: at each place the first key that fits.
fn model(pairs: &[(Vec<u8>, Vec<u8>)], text: &[u8]) -> Vec<u8> {
    let Some((first, rest)) = text.split_first() else { return Vec::new() };
    match pairs.iter().find(|(key, _)| !key.is_empty() && text.starts_with(key)) {
        Some((key, value)) => [value.clone(), model(pairs, &text[key.len()..])].concat(),
        None => [vec![*first], model(pairs, rest)].concat(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn parts_are_those_of_the_model(pairs in proptest::collection::vec(("[ab]{0,3}", "[abc]{0,2}"), 0..6), text in "[abc]{0,20}") {
        let pairs: Vec<(Vec<u8>, Vec<u8>)> = pairs.into_iter().map(|(key, value)| (key.into_bytes(), value.into_bytes())).collect();
        let mut out = Vec::new();
        Parts::new(pairs.iter().cloned()).replace(text.as_bytes(), &mut out);
        prop_assert_eq!(out, model(&pairs, text.as_bytes()));
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        for exact in ["true", "false"] {
            let config = format!(r#"{{"source":"m","exact":{exact},"dictionary":{{"a":"b","\u00ff":"c","0":1}}}}"#);
            run(&config, Input::new("").field("m", Owned::Str(bytes.clone())));
        }
    }
}
