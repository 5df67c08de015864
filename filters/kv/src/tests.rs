//! Logstash's own examples, and texts that mean harm.

use proptest::prelude::*;
use regex::bytes::Regex;
use sawbox_guest::testing::{Harness, Input, Outcome, Owned, Patterns, set_patterns};

use crate::Kv;

/// A host with regular expressions: its one group is `split`.
struct Host(Vec<Regex>);

impl Patterns for Host {
    fn compile(&mut self, _: u32, text: &str) -> i32 {
        match Regex::new(text) {
            Ok(regex) => {
                self.0.push(regex);
                i32::try_from(self.0.len()).unwrap() - 1
            }
            Err(_) => -1,
        }
    }

    fn describe(&mut self, handle: i32, out: &mut [u8]) -> i32 {
        let text: &[u8] = if handle < 0 { b"no expression" } else { b"\x01\0\x05\0split" };
        out[..text.len()].copy_from_slice(text);
        i32::try_from(text.len()).unwrap()
    }

    fn find(&mut self, handle: i32, bytes: &[u8], out: &mut [u8]) -> i32 {
        let Some(found) = self.0[usize::try_from(handle).unwrap()].find(bytes) else { return -1 };
        let span = [1, u32::try_from(found.start()).unwrap(), u32::try_from(found.end()).unwrap()];
        span.iter().zip(out.chunks_mut(4)).for_each(|(number, out)| out.copy_from_slice(&number.to_le_bytes()));
        1
    }
}

fn show(outcome: &Outcome) -> String {
    let value = |value: &Owned| match value {
        Owned::Str(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        other => format!("{other:?}"),
    };
    outcome.fields.iter().map(|(name, field)| format!("{name}={}", value(field))).collect::<Vec<_>>().join("|")
}

fn run(config: &str, input: Input) -> Outcome {
    set_patterns(Box::new(Host(Vec::new())));
    Harness::<Kv>::new(config).unwrap().run(&[input]).remove(0)
}

#[test]
fn pairs_take_the_place_of_their_text_where_that_is_the_target() {
    let config = r#"{"source": "happy", "target": "[happy]"}"#;
    assert_eq!(show(&run(config, Input::new("").field("happy", "foo=bar a=1"))), "happy.foo=bar|happy.a=1");
    assert_eq!(show(&run(config, Input::new("").field("happy", "none"))), "happy=none");
    let config = r#"{"source": "happy", "target": "happy.in"}"#;
    assert_eq!(show(&run(config, Input::new("").field("happy", "a=1"))), "happy=a=1|happy.in.a=1");
}

#[test]
fn pairs() {
    for (config, text, expected) in [
        ("{}", "ip=1.2.3.4 error=REFUSED", "ip=1.2.3.4|error=REFUSED"),
        ("{}", "hello world a=1 rest", "a=1"),
        ("{}", "no pairs here", ""),
        ("{}", "", ""),
        ("{}", "a = 1 b =2 c= 3", "a=1|b=2|c=3"),
        (r#"{"whitespace": "strict"}"#, "a = 1 b=2 c= d=4", "b=2|d=4"),
        ("{}", "a=1 a=2 b=3 a=4", "a=1|a=2|b=3|a=4"),
        (r#"{"allow_duplicate_values": false}"#, "a=1 a=1 a=2", "a=1|a=2"),
        ("{}", r#"a="two words" b='it is' c="say \"x\"" d=x"#, r#"a=two words|b=it is|c=say \"x\"|d=x"#),
        ("{}", "a=(hello world) b=[hello world] c=<hello world>", "a=hello world|b=hello world|c=hello world"),
        (r#"{"include_brackets": false}"#, "a=(hello world) b=<x>", "a=(hello|b=<x>"),
        ("{}", r#"a="open b=2"#, r#"a="open|b=2"#),
        ("{}", r#"a="x"y b=2"#, r#"a="x"y|b=2"#),
        ("{}", "a=(b c=(d)e f=(g) h=1", "a=(b|c=(d)e|f=g|h=1"),
        ("{}", "a=x=y b=2", "a=x=y|b=2"),
        ("{}", "=x ==y a=1", "x==y|a=1"),
        ("{}", r"a\ b=1 c=2\ 3", r"a\ b=1|c=2\ 3"),
        (r#"{"field_split": "&?"}"#, "?pin=12345~0&d=123&e=foo@bar.com&oq=bobo", "pin=12345~0|d=123|e=foo@bar.com|oq=bobo"),
        (r#"{"field_split": "&"}"#, "a=two words&b =x", "a=two words|b=x"),
        (r#"{"value_split": ":", "field_split": ","}"#, "k1:v1,k2: v2", "k1=v1|k2=v2"),
        (r#"{"field_split": "\\t\\|", "whitespace": "strict"}"#, "a=1\tb=2|c=3 4", "a=1|b=2|c=3 4"),
        (r#"{"field_split_pattern": ":+"}"#, "k1=v1:k2=v2::k3=v3:::k4=v4", "k1=v1|k2=v2|k3=v3|k4=v4"),
        (r#"{"field_split_pattern": "\\+\\+"}"#, "k1=v1++k2=v2++k3=v3", "k1=v1|k2=v2|k3=v3"),
        (r#"{"value_split_pattern": "=>|:"}"#, "a=>1 b:2 c=3", "a=1|b=2"),
        (r#"{"field_split_pattern": "; ", "value_split_pattern": ": "}"#, "a: \"x; y\"; b: z", "a=x; y|b=z"),
        (r#"{"prefix": "arg_"}"#, "a=1 b=2", "arg_a=1|arg_b=2"),
        (r#"{"target": "[kv][x]"}"#, "a=1", "kv.x.a=1"),
        (r#"{"include_keys": ["a", "c"]}"#, "a=1 b=2 c=3", "a=1|c=3"),
        (r#"{"exclude_keys": ["a", "c"]}"#, "a=1 b=2 c=3", "b=2"),
        (r#"{"trim_value": "<>\\[\\],"}"#, "from=<abc>, to=def,", "from=abc|to=def"),
        (r#"{"trim_key": "<>"}"#, "<a>=1 <>=2", "a=1"),
        (r#"{"remove_char_value": ",", "remove_char_key": "^a-z"}"#, "a1b=1,000,000", "ab=1000000"),
        (r#"{"transform_key": "uppercase", "transform_value": "capitalize"}"#, "abc=xYZ", "ABC=Xyz"),
        (r#"{"default_keys": {"a": "none", "b": 5}}"#, "a=1", "a=1|b=Int(5)"),
        (r#"{"default_keys": {"a": "none"}, "add_tag": ["%{a}"]}"#, "x", "a=none|tags=none"),
        (r#"{"allow_empty_values": true}"#, "a= b=\"\" c=1", "a=b=\"\"|c=1"),
        (r#"{"allow_empty_values": true, "whitespace": "strict"}"#, "a= b=\"\" c=1", "a=|b=|c=1"),
        (
            r#"{"recursive": true}"#,
            r#"IKE="Quick Mode" IKE2="method=IKE DN=12 x" z=1"#,
            "IKE=Quick Mode|IKE2.method=IKE|IKE2.DN=12|z=1",
        ),
        ("{}", "_topic=x _time=1 _own=2", "kv._topic=x|kv._time=1|_own=2"),
        (r#"{"prefix": "_"}"#, "origin=x", "kv._origin=x"),
        (r#"{"remove_field": ["a"], "add_field": {"n": "%{b}!"}}"#, "a=1 b=2", "b=2|n=2!"),
    ] {
        assert_eq!(show(&run(config, Input::new(text))), expected, "{config} {text}");
    }
}

#[test]
fn fields_of_the_record() {
    let config = r#"{"source": "body", "prefix": "%{app}_", "exclude_keys": ["%{skip}"]}"#;
    let input = Input::new("x").field("body", "a=1 b=2").field("body", "c=3").field("app", "shop").field("skip", "b");
    assert_eq!(show(&run(config, input)), "body=a=1 b=2|body=c=3|app=shop|skip=b|shop_a=1|shop_c=3");
    // replaced, not appended
    assert_eq!(show(&run("{}", Input::new("a=1").field("a", "0"))), "a=1");
    assert_eq!(run("{}", Input::new("a=1 b=\"2 3\"")).built_bytes, 0, "values are slices");
}

#[test]
fn many_keys() {
    let text: Vec<String> = (0..200).map(|number| format!("k{}={number}", number % 100)).collect();
    let outcome = run("{}", Input::new(text.join(" ")));
    assert_eq!(outcome.fields.len(), 200);
    assert_eq!(outcome.all("k99").len(), 2);
}

#[test]
fn what_makes_no_sense_is_refused() {
    set_patterns(Box::new(Host(Vec::new())));
    for (config, says) in [
        (r#"{"field_split": ""}"#, "empty"),
        (r#"{"value_split_pattern": ""}"#, "empty"),
        (r#"{"value_split_pattern": "("}"#, "value_split_pattern"),
        (r#"{"field_split": "、"}"#, "ASCII"),
        (r#"{"whitespace": "some"}"#, "strict"),
        (r#"{"transform_key": "upper"}"#, "uppercase"),
        (r#"{"target": "_offset"}"#, "_offset"),
        (r#"{"default_keys": {"a": {}}}"#, "default_keys.a"),
        (r#"{"trim": "x"}"#, "trim"),
    ] {
        let error = Harness::<Kv>::new(config).unwrap_err();
        assert!(error.contains(says), "{config}: {error}");
    }
}

#[test]
fn long_hostile_texts_take_linear_time() {
    for piece in ["a=( ", "a=\"", "= ", "a ", "\\", "a=[<('\""] {
        let text = piece.repeat(1_000_000 / piece.len());
        run(r#"{"include_keys": ["nothing"]}"#, Input::new(&text));
        // Closed at last, but not where a value ends.
        run(r#"{"include_keys": ["nothing"]}"#, Input::new(format!("{text})]>'x")));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_joined_is_found(pairs in proptest::collection::btree_map("[a-z]{1,6}", "[a-z0-9./:]{1,8}|\"[a-z =]{1,8}\"", 1..8)) {
        let text: Vec<String> = pairs.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let outcome = run("{}", Input::new(text.join(" ")));
        prop_assert_eq!(outcome.fields.len(), pairs.len());
        for (key, value) in &pairs {
            prop_assert_eq!(outcome.text(key), Some(value.trim_matches('"')));
        }
    }

    #[test]
    fn no_bytes_panic(text in "[a-c=\"'()<>\\[\\] \\\\,:;&é\n]{0,60}", tail in proptest::collection::vec(any::<u8>(), 0..10)) {
        let mut bytes = text.into_bytes();
        bytes.extend(tail);
        for config in [
            "{}",
            r#"{"whitespace": "strict", "recursive": true, "allow_empty_values": true, "trim_value": "\"", "transform_key": "uppercase"}"#,
            r#"{"field_split_pattern": "[,;]|  ", "value_split_pattern": ":|=>?", "recursive": true}"#,
        ] {
            run(config, Input::new(&bytes));
        }
    }
}
