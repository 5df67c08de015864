//! The filter over a host that knows three names: what the names mean is tested where they are defined.

use std::collections::HashMap;

use regex::bytes::{Captures, Regex};
use sawbox_guest::testing::{Harness, Input, Outcome, Owned, Patterns, set_patterns};

use crate::Grok;

/// Enough of a host: `%{NAME:field:type}` and `(?<field:type>…)` to a regular expression with one named group each.
#[derive(Default)]
struct Host {
    patterns: Vec<(Regex, Vec<String>)>,
    error: String,
}

impl Host {
    fn expression(&self, kind: u32, text: &str, fields: &mut Vec<String>) -> Result<String, String> {
        let mut parts = text.split('\0');
        let text = parts.next().unwrap();
        let parts: Vec<_> = parts.collect();
        let own: HashMap<_, _> = parts.chunks(2).map(|pair| (pair[0], pair[1])).collect();
        let mut wrong = None;
        let tokens = regex::Regex::new(r"%\{(\w+)(?::([\w.:]+))?\}").unwrap();
        let text = tokens.replace_all(text, |found: &regex::Captures<'_>| {
            let name = &found[1];
            let standard = match name {
                "WORD" if kind == 2 => "[A-Z]+",
                "WORD" => r"\w+",
                "NUMBER" => r"-?\d+(?:\.\d+)?",
                "GREEDYDATA" => "(?s:.*)",
                other => {
                    wrong = (!own.contains_key(other)).then(|| format!("no pattern is called `{other}`"));
                    ""
                }
            };
            let body = own.get(name).unwrap_or(&standard);
            match found.get(2) {
                None => format!("(?:{body})"),
                Some(field) => {
                    fields.push(field.as_str().to_owned());
                    format!("(?<g{}>{body})", fields.len())
                }
            }
        });
        wrong.map_or(Ok(text.into_owned()), Err)
    }
}

impl Patterns for Host {
    fn compile(&mut self, kind: u32, text: &str) -> i32 {
        assert!(kind == 0 || kind == 2);
        let mut fields = Vec::new();
        let compiled =
            self.expression(kind, text, &mut fields).and_then(|text| Regex::new(&text).map_err(|error| error.to_string()));
        match compiled {
            Ok(regex) => {
                self.patterns.push((regex, fields));
                i32::try_from(self.patterns.len()).unwrap() - 1
            }
            Err(error) => {
                self.error = error;
                -1
            }
        }
    }

    fn describe(&mut self, handle: i32, out: &mut [u8]) -> i32 {
        let mut text = Vec::new();
        match usize::try_from(handle) {
            Err(_) => text.extend_from_slice(self.error.as_bytes()),
            Ok(handle) => {
                for (number, name) in (0u16..).zip(&self.patterns[handle].1) {
                    text.extend_from_slice(&number.to_le_bytes());
                    text.extend_from_slice(&u16::try_from(name.len()).unwrap().to_le_bytes());
                    text.extend_from_slice(name.as_bytes());
                }
            }
        }
        if text.len() <= out.len() {
            out[..text.len()].copy_from_slice(&text);
        }
        i32::try_from(text.len()).unwrap()
    }

    fn find(&mut self, handle: i32, bytes: &[u8], out: &mut [u8]) -> i32 {
        if bytes == b"slow" {
            return -2;
        }
        let regex = &self.patterns[usize::try_from(handle).unwrap()].0;
        let Some(captures): Option<Captures<'_>> = regex.captures(bytes) else { return -1 };
        let mut count = 0;
        for (number, found) in (0u32..).zip(captures.iter().skip(1)) {
            if let Some(found) = found.filter(|found| !found.is_empty()) {
                let end = |at: usize| u32::try_from(at).unwrap().to_le_bytes();
                let span = [number.to_le_bytes(), end(found.start()), end(found.end())].concat();
                out[count * 12..][..12].copy_from_slice(&span);
                count += 1;
            }
        }
        i32::try_from(count).unwrap()
    }
}

fn make(config: &str) -> Result<Harness<Grok>, String> {
    set_patterns(Box::new(Host::default()));
    Harness::new(config)
}

fn show(outcome: &Outcome) -> String {
    let value = |value: &Owned| match value {
        Owned::Str(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        other => format!("{other:?}"),
    };
    outcome.fields.iter().map(|(name, field)| format!("{name}={}", value(field))).collect::<Vec<_>>().join(" ")
}

fn check(config: &str, input: Input, fields: &str) {
    assert_eq!(show(&make(config).unwrap().run(&[input])[0]), fields, "{config}");
}

#[test]
fn captures_become_fields_with_types() {
    let config = r#"{"pattern": "%{WORD:verb} %{NUMBER:n:int} %{NUMBER:x:float}(?: %{WORD:none})?"}"#;
    check(config, Input::new("GET 12 0.5"), "verb=GET n=Int(12) x=Float(0.5)");
    check(config, Input::new("GET -1.9 7"), "verb=GET n=Int(-1) x=Float(7.0)");
    check(config, Input::new("no"), "tags=_grokparsefailure");
    let built = make(config).unwrap().one("GET 12 0.5").built_bytes;
    assert_eq!(built, 0, "captures are slices");
}

#[test]
fn a_second_value_makes_a_list_unless_it_overwrites() {
    check(r#"{"pattern": "%{WORD:w} %{WORD:w}"}"#, Input::new("a b"), "w=a w=b");
    check(r#"{"pattern": "%{WORD:w}"}"#, Input::new("a").field("w", "old"), "w=old w=a");
    check(r#"{"pattern": "%{WORD:w}", "overwrite": ["w"]}"#, Input::new("a").field("w", "old"), "w=a");
    check(
        r#"{"match": {"[in]": "%{WORD:w}"}, "overwrite": ["[w]"]}"#,
        Input::new("").field("in", "a").field("w", "old"),
        "in=a w=a",
    );
    // The line is the message already, even where no field says so yet.
    let config = r#"{"pattern": "%{WORD:w} %{GREEDYDATA:message}"}"#;
    check(config, Input::new("a the rest"), "w=a message=a the rest message=the rest");
    check(config, Input::new("a the rest").field("message", "b own"), "w=b message=b own message=own");
    check(r#"{"pattern": "%{WORD} %{GREEDYDATA:message}", "overwrite": "message"}"#, Input::new("a rest"), "message=rest");
}

#[test]
fn fields_and_patterns_in_order() {
    let config = r#"{"match": {"body": ["x%{WORD:x}", "y%{WORD:y}"], "message": "%{WORD:first}"}}"#;
    check(config, Input::new("line").field("body", "yes"), "body=yes y=es");
    check(config, Input::new("line").field("body", "no"), "body=no first=line");
    check(config, Input::new("line").field("message", "given"), "message=given first=given");
    let all = r#"{"patterns": ["%{WORD:a}", "%{WORD:b}"], "break_on_match": false}"#;
    check(all, Input::new("w"), "a=w b=w");
    check(r#"{"match": {"body": "%{WORD:w}"}}"#, Input::new("w"), "tags=_grokparsefailure");
}

#[test]
fn numbers_are_read_as_text_and_lists_value_by_value() {
    let config = r#"{"match": {"status": "^40%{NUMBER:rest}$"}}"#;
    check(config, Input::new("").field("status", 403), "status=Int(403) rest=3");
    check(config, Input::new("").field("status", 40.5), "status=Float(40.5) tags=_grokparsefailure");
    check(r#"{"match": {"f": "^1%{GREEDYDATA:r}"}}"#, Input::new("").field("f", 1.5), "f=Float(1.5) r=.5");
    check(r#"{"match": {"b": "^t%{WORD:r}"}}"#, Input::new("").field("b", true), "b=Bool(true) r=rue");
    let list = || Input::new("").field("l", "hello 12345").field("l", "none").field("l", "world 23456");
    let config = r#"{"match": {"l": ["%{WORD:w} %{NUMBER:n:int}", "%{WORD:w}"]}}"#;
    check(config, list(), "l=hello 12345 l=none l=world 23456 w=hello n=Int(12345) w=none w=world n=Int(23456)");
    check(r#"{"match": {"l": "^w%{WORD:w}", "message": "%{WORD:m}"}}"#, list(), "l=hello 12345 l=none l=world 23456 w=orld");
}

#[test]
fn captures_go_under_a_target() {
    let config = r#"{"pattern": "%{WORD:w} %{NUMBER:message:int}", "target": "[in][it]"}"#;
    check(config, Input::new("a 5"), "in.it.w=a in.it.message=Int(5)");
    check(config, Input::new("a 5").field("in.it.w", "old"), "in.it.w=old in.it.w=a in.it.message=Int(5)");
    let config = r#"{"pattern": "%{WORD:w}", "target": "in", "overwrite": ["w"], "add_field": {"w": "%{[in][w]}"}}"#;
    check(config, Input::new("a").field("in.w", "old"), "in.w=a w=a");
}

#[test]
fn own_names_come_first() {
    let config = r#"{"pattern": "%{ID:id:int} %{PAIR}", "pattern_definitions": {"ID": "\\d+", "PAIR": "[a-z]=\\d"}}"#;
    check(config, Input::new("7 a=9"), "id=Int(7)");
    check(config, Input::new("7 -"), "tags=_grokparsefailure");
    check(r#"{"pattern": "%{WORD:w}", "ecs_compatibility": "v8"}"#, Input::new("lower UPPER"), "w=UPPER");
}

#[test]
fn giving_up_is_not_a_mismatch() {
    check(r#"{"pattern": "%{WORD:w}"}"#, Input::new("slow"), "tags=_groktimeout");
    check(r#"{"pattern": "%{WORD:w}", "tag_on_timeout": "late"}"#, Input::new("slow"), "tags=late");
    check(r#"{"pattern": "%{NUMBER:n}", "tag_on_failure": ["a", "b"]}"#, Input::new("x"), "tags=a tags=b");
    check(r#"{"pattern": "%{NUMBER:n}", "tag_on_failure": []}"#, Input::new("x"), "");
}

#[test]
fn success_does_what_every_filter_can_and_failure_does_not() {
    let config =
        r#"{"pattern": "%{WORD:w}!", "add_field": {"seen": "%{w}ed"}, "add_tag": "ok", "remove_tag": "_grokparsefailure"}"#;
    let failed_before = |line: &str| Input::new(line).field("tags", "_grokparsefailure");
    check(config, failed_before("kick!"), "w=kick seen=kicked tags=ok");
    check(config, failed_before("kick"), "tags=_grokparsefailure");
    check(r#"{"pattern": "x", "remove_field": "a"}"#, Input::new("x").field("a", "1"), "");
    check(r#"{"pattern": "x", "remove_field": "a"}"#, Input::new("y").field("a", "1"), "a=1 tags=_grokparsefailure");
}

#[test]
fn what_makes_no_sense_is_refused() {
    for (config, says) in [
        ("{}", "give `match`"),
        (r#"{"match": "%{WORD}"}"#, "table"),
        (r#"{"match": {"a": []}}"#, "at least one"),
        (r#"{"match": {"a": 5}}"#, "match"),
        (r#"{"pattern": "%{NOPE:x}"}"#, "no pattern is called `NOPE`"),
        (r#"{"pattern": "(a"}"#, "(a"),
        (r#"{"pattern": "a", "pattern_definitions": {"A B": "x"}}"#, "A B"),
        (r#"{"pattern": "a", "ecs_compatibility": "v2"}"#, "v2"),
        (r#"{"pattern": "a", "target": "[a][]"}"#, "[a][]"),
        (r#"{"pattern": "a", "target": "_offset"}"#, "_offset"),
        (r#"{"pattern": "a", "patern": "b"}"#, "patern"),
    ] {
        let error = make(config).unwrap_err();
        assert!(error.contains(says), "{config}: {error}");
    }
}
