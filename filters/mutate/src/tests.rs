//! Logstash's operations one by one, then their order, then bytes.

use proptest::prelude::*;
use sawbox_guest::testing::{Harness, Input, Outcome, Owned, set_patterns};

use crate::Mutate;

#[path = "../../redact/src/tests/host.rs"]
mod host;

fn show(outcome: &Outcome) -> String {
    let value = |value: &Owned| match value {
        Owned::Str(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        other => format!("{other:?}"),
    };
    outcome.fields.iter().map(|(name, field)| format!("{name}={}", value(field))).collect::<Vec<_>>().join("|")
}

fn run(config: &str, input: Input) -> Outcome {
    set_patterns(Box::<host::Host>::default());
    Harness::<Mutate>::new(config).unwrap().run(&[input.arrived(1_431_857_103_000_000_000)]).remove(0)
}

fn input() -> Input {
    let input = Input::new("payload").field("a", " One two ").field("n", 5).field("f", 2.75).field("b", true);
    input.field("l", "x").field("l", "y").field("s", "1,2,,3,,")
}

#[test]
fn operations() {
    let without = |names: &[&str]| {
        let all = [
            ("a", " One two "),
            ("n", "Int(5)"),
            ("f", "Float(2.75)"),
            ("b", "Bool(true)"),
            ("l", "x"),
            ("l", "y"),
            ("s", "1,2,,3,,"),
        ];
        all.iter().filter(|(name, _)| !names.contains(name)).map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>()
    };
    for (config, gone, added) in [
        (r#"{"coerce": {"a": "x", "new": "none of %{n}"}}"#, &[][..], &["new=none of 5"][..]),
        (r#"{"rename": {"a": "[x][y]", "gone": "z"}}"#, &["a"], &["x.y= One two "]),
        (r#"{"rename": {"l": "a"}}"#, &["a", "l"], &["a=x", "a=y"]),
        (r#"{"rename": {"a": "a"}}"#, &[], &[]),
        (r#"{"update": {"a": "%{l}-%{b}", "new": "x"}}"#, &["a"], &["a=x,y-true"]),
        (
            r#"{"replace": {"a": "%{none} %{f}", "new": 7, "l": ["p", 1.5]}}"#,
            &["a", "l"],
            &["a=%{none} 2.75", "new=Int(7)", "l=p", "l=Float(1.5)"],
        ),
        (r#"{"replace": {"message": "%{message}!"}}"#, &[], &["message=payload!"]),
        (
            r#"{"convert": {"n": "float", "f": "integer", "b": "integer"}}"#,
            &["n", "f", "b"],
            &["n=Float(5.0)", "f=Int(2)", "b=Int(1)"],
        ),
        (r#"{"convert": {"n": "string", "f": "string", "b": "string"}}"#, &["n", "f", "b"], &["n=5", "f=2.75", "b=true"]),
        (r#"{"convert": {"n": "boolean", "a": "boolean"}}"#, &[], &[]),
        (r#"{"convert": {"l": "integer", "f": "float"}}"#, &[], &["tags=_mutate_error"]),
        (r#"{"gsub": ["a", "o", "0", "l", "x", "%{n}"]}"#, &["a", "l"], &["a= One tw0 ", "l=5", "l=y"]),
        (r#"{"gsub": ["a", "(\\w)(\\w+)", "[\\2\\1|\\0\\\\]"]}"#, &["a"], &["a= [neO|One\\] [wot|two\\] "]),
        (r#"{"gsub": ["a", "(?<first>\\w)\\w+", "\\k<first>\\9"]}"#, &["a"], &["a= O t "]),
        (r#"{"gsub": ["a", "^ ", "", "a", "x+", "-"]}"#, &["a"], &["a=One two "]),
        (r#"{"gsub": ["n", "5", "6", "a", "zzz", "y"]}"#, &[], &[]),
        (r#"{"uppercase": ["a", "l", "n"]}"#, &["a", "l"], &["a= ONE TWO ", "l=X", "l=Y"]),
        (r#"{"lowercase": "a", "capitalize": ["l"]}"#, &["a", "l"], &["l=X", "l=Y", "a= one two "]),
        (r#"{"strip": ["a", "l", "n"]}"#, &["a"], &["a=One two"]),
        (r#"{"split": {"s": ",", "l": ",", "n": ","}}"#, &["s"], &["s=1", "s=2", "s=", "s=3"]),
        (r#"{"split": {"a": " "}}"#, &["a"], &["a=One", "a=two"]),
        (r#"{"join": {"l": ", ", "a": ","}}"#, &["l"], &["l=x, y"]),
        (
            r#"{"merge": {"l": "n", "a": ["b", "none"]}}"#,
            &["l", "a"],
            &["l=x", "l=y", "l=Int(5)", "a= One two ", "a=Bool(true)"],
        ),
        (r#"{"merge": {"new": "l"}}"#, &[], &["new=x", "new=y"]),
        (r#"{"copy": {"l": "n", "none": "a"}}"#, &["n"], &["n=x", "n=y"]),
        (r#"{"copy": {"@timestamp": "at"}}"#, &[], &["at=2015-05-17T10:05:03Z"]),
        (r#"{"add_field": {"a": "z"}, "remove_field": ["b", "none"], "add_tag": "t"}"#, &["b"], &["a=z", "tags=t"]),
    ] {
        let mut expected = without(gone);
        expected.extend(added.iter().map(|field| (*field).to_owned()));
        let mut got: Vec<_> = show(&run(config, input())).split('|').map(str::to_owned).collect();
        if config.contains("\\0") {
            got = vec![show(&run(config, input()))];
            assert!(got[0].ends_with("a= [neO|One\\] [wot|two\\] "), "{got:?}");
            continue;
        }
        expected.sort();
        got.sort();
        assert_eq!(got, expected, "{config}");
    }
}

#[test]
fn what_is_not_ascii_is_replaced_to_the_end() {
    for (pattern, text, expected) in [
        (r"[^\\x20-\\x7E]", "Jürgen war hier", "Jrgen war hier"),
        (r"[^a]", "üa€a", "aa"),
        (r"\\W", "für €5", "fr5"),
        ("..", "äö!", "!"),
    ] {
        let config = format!(r#"{{"gsub": ["message", "{pattern}", ""]}}"#);
        assert_eq!(run(&config, Input::new(text)).text("message"), Some(expected), "{pattern} {text}");
    }
}

#[test]
fn matches_of_nothing_are_places_between_characters() {
    // As Ruby's `gsub`.
    for (pattern, text, expected) in [
        ("^", "a\nb", "!a\n!b"),
        ("$", "a\nb", "a!\nb!"),
        ("^|$", "", "!"),
        ("$", "", "!"),
        ("$", "ü", "ü!"),
        ("^", "ü\nü", "!ü\n!ü"),
        (r"\\b", "ab cd", "!ab! !cd!"),
        (r"\\b", "für x", "!f!ü!r! !x!"),
        ("x*", "axx", "!a!!"),
        ("x*", "ü€x", "!ü!€!!"),
        (r"\\A", "ab", "!ab"),
        (r"\\z", "ab", "ab!"),
        ("x?$", "ax", "a!!"),
        (r"[\\p{L}]*", "ü1", "!!1!"),
        ("[^ ]*$", "a ü", "a !!"),
    ] {
        let config = format!(r#"{{"gsub": ["message", "{pattern}", "!"]}}"#);
        let outcome = run(&config, Input::new(text));
        assert_eq!(outcome.text("message").unwrap_or(text), expected, "{pattern} {text:?}");
    }
}

#[test]
fn the_order_is_logstashs_whatever_is_written_first() {
    let config = r#"{"copy": {"c": "d"}, "uppercase": ["b"], "replace": {"b": "%{b}x"}, "rename": {"a": "b"}, "split": {"c": "-"},
        "gsub": ["b", "x", "-y"], "merge": {"c": "b"}, "add_field": {"e": "%{d}"}}"#;
    let outcome = run(config, Input::new("").field("a", "1").field("c", "p-q"));
    assert_eq!(show(&outcome), "b=1-Y|c=p|c=q|c=1-Y|d=p|d=q|d=1-Y|e=p,q,1-Y");
}

#[test]
fn numbers_in_texts() {
    for (kind, text, expected) in [
        ("integer", "12", "Int(12)"),
        ("integer", " 1,000.7 ", "Int(1000)"),
        ("integer", "12kB", "Int(12)"),
        ("integer", "1e3", "Int(1000)"),
        ("integer", "-0x1A", "Int(-26)"),
        ("integer", "many", "many!"),
        ("integer", "", "!"),
        ("integer", "99999999999999999999", "99999999999999999999!"),
        ("integer_eu", "1.000,7", "Int(1000)"),
        ("float", "1,234.5", "Float(1234.5)"),
        ("float", "12kB", "12kB!"),
        ("float", "1e999", "1e999!"),
        ("float_eu", "1.234,56", "Float(1234.56)"),
        ("float_eu", "2.340", "Float(2340.0)"),
        ("boolean", "Yes", "Bool(true)"),
        ("boolean", "0.0", "Bool(false)"),
        ("boolean", "", "Bool(false)"),
        ("boolean", "maybe", "maybe"),
        ("string", "12", "12"),
    ] {
        let config = format!(r#"{{"convert": {{"v": "{kind}"}}, "tag_on_failure": "bad"}}"#);
        let outcome = run(&config, Input::new("").field("v", text));
        let mark = if outcome.text("tags") == Some("bad") { "!" } else { "" };
        let value = match outcome.get("v").unwrap() {
            Owned::Str(text) => String::from_utf8_lossy(text).into_owned(),
            other => format!("{other:?}"),
        };
        assert_eq!(value + mark, expected, "{kind} {text}");
    }
}

#[test]
fn what_is_not_changed_is_not_copied() {
    let outcome = run(r#"{"rename": {"a": "z"}, "strip": ["z"], "split": {"s": ","}, "lowercase": ["l"]}"#, input());
    assert_eq!((outcome.text("z"), outcome.built_bytes), (Some("One two"), 0));
}

#[test]
fn what_makes_no_sense_is_refused() {
    set_patterns(Box::<host::Host>::default());
    for (config, says) in [
        ("{}", "operation"),
        (r#"{"convert": {"a": "int"}}"#, "integer_eu"),
        (r#"{"gsub": ["a", "b"]}"#, "three"),
        (r#"{"gsub": ["a", "(", "c"]}"#, "`(`"),
        (r#"{"gsub": ["a", "%{b}", "c"]}"#, "compiled once"),
        (r#"{"rename": {"a": "%{b}"}}"#, "%{"),
        (r#"{"rename": {"a": "_offset"}}"#, "_offset"),
        (r#"{"rename": {"a": 5}}"#, "rename.a"),
        (r#"{"replace": {"a": {}}}"#, "replace.a"),
        (r#"{"split": ["a"]}"#, "table"),
        (r#"{"replace": {"a": "%{+QQ}"}}"#, "`Q`"),
        (r#"{"upper": ["a"]}"#, "upper"),
    ] {
        let error = Harness::<Mutate>::new(config).unwrap_err();
        assert!(error.contains(says), "{config}: {error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn splits_and_joins_are_each_others_opposites(parts in proptest::collection::vec("[a-z]{1,5}", 2..8)) {
        let outcome = run(r#"{"split": {"message": ", "}, "copy": {"message": "list"}}"#, Input::new(parts.join(", ")));
        let expected: Vec<Owned> = parts.iter().map(|part| Owned::from(part.as_str())).collect();
        prop_assert_eq!(outcome.all("list"), expected.iter().collect::<Vec<_>>());
    }

    /// The second pattern of a needle finds what one search over the whole text finds.
    #[test]
    fn replacing_is_what_the_engine_replaces(
        text in "[ab cü€\n]{0,30}",
        pattern in prop::sample::select(vec!["^a", "a$", "\\ba", "b+", "a|ab", "[^a]c?", "(a)b", "[^ -~]", "\\W", ".", "^.", "[\\p{L}]", "[^\\p{L}]"]),
    ) {
        let build = |unicode| regex::bytes::RegexBuilder::new(pattern).unicode(unicode).multi_line(true).build();
        let regex = build(false).or_else(|_| build(true)).unwrap();
        let expected = regex.replace_all(text.as_bytes(), &b"<X>"[..]).into_owned();
        let config = format!(r#"{{"gsub": ["message", "{}", "<X>"]}}"#, pattern.replace('\\', "\\\\"));
        let outcome = run(&config, Input::new(&text));
        let got = match outcome.get("message") {
            Some(Owned::Str(got)) => got,
            _ => text.as_bytes(),
        };
        prop_assert_eq!(got, expected);
    }

    #[test]
    fn no_bytes_panic(text in proptest::collection::vec(any::<u8>(), 0..40)) {
        let config = r#"{"convert": {"n": "integer", "o": "float_eu", "p": "boolean"}, "gsub": ["a", "\\w", "%{n}\\0", "a", "\\.", "é"],
            "capitalize": ["a"], "strip": ["n"], "split": {"n": "", "o": " "}, "join": {"n": "%"}, "merge": {"a": "o"}, "copy": {"a": "b"}}"#;
        let field = Owned::Str(text.clone());
        run(config, Input::new("").field("a", field.clone()).field("n", field.clone()).field("o", field.clone()).field("p", field));
    }
}
