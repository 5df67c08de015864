//! Logstash's own examples, and texts that mean harm.

use proptest::prelude::*;
use sawbox_guest::testing::{Harness, Input, Outcome, Owned};

use crate::Dissect;
use crate::pattern::{KEYS, Pattern};

fn show(outcome: &Outcome) -> String {
    let value = |value: &Owned| match value {
        Owned::Str(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        other => format!("{other:?}"),
    };
    outcome.fields.iter().map(|(name, field)| format!("{name}={}", value(field))).collect::<Vec<_>>().join("|")
}

fn run(config: &str, input: Input) -> Outcome {
    Harness::<Dissect>::new(config).unwrap().run(&[input]).remove(0)
}

#[test]
fn shapes() {
    for (mapping, text, expected) in [
        (
            "%{ts} %{+ts} %{+ts} %{src} %{} %{prog}[%{pid}]: %{msg}",
            "Mar 16 00:01:25 evita skip postfix/smtpd[1713]: connect from x[1.2.3.4]",
            "src=evita|prog=postfix/smtpd|pid=1713|msg=connect from x[1.2.3.4]|ts=Mar 16 00:01:25",
        ),
        ("[%{a}] %{b}", "[x y] z", "a=x y|b=z"),
        ("%{a},%{b},%{c}", "1,,3", "a=1|b=|c=3"),
        ("%{a},%{b}", "1,2,3", "a=1|b=2,3"),
        ("%{id} %{f->} %{s}", "43 View     machine", "id=43|f=View|s=machine"),
        ("%{id->} %{f} %{s}", "43     View machine", "id=43|f=View|s=machine"),
        ("%{+a/2} %{+a/1} %{+a/4} %{+a/3}", "1 2 3 go", "a=2 1 go 3"),
        ("%{a} %{b} %{+a}", "1 2 3", "b=2|a=1 3"),
        ("%{+a}, %{+a}", "1, 2", "a=1, 2"),
        ("error: %{?err}, %{&err}", "error: some_error, why", "some_error=why"),
        ("%{*k}=%{&k} %{*l}=%{&l}", "a=1 b=2", "a=1|b=2"),
        ("%{k}=%{&k}", "a=1", "k=a|a=1"),
        ("%{*k}=%{&k}", "_origin=1", "dissect._origin=1"),
        ("%{*k}=%{&k}", "=1", ""),
        ("%{[http][code]} %{a.b}", "200 x", "http.code=200|a.b=x"),
        ("%{a}%", "50%", "a=50"),
        ("%{a}]%{}", "x] rest", "a=x"),
        ("%{a} - %{b}", "x - y - z", "a=x|b=y - z"),
        ("%{a}aab%{b}", "xaaaabz", "a=xaa|b=z"),
        ("é%{a}é%{b}", "éxéy", "a=x|b=y"),
        ("%{a}", "", "a="),
        ("[%{a}] %{b}", "x] y", "tags=_dissectfailure"),
        ("%{a} %{b}", "word", "tags=_dissectfailure"),
        ("%{a}]", "x", "tags=_dissectfailure"),
        ("%{a}: %{b}", "", "tags=_dissectfailure"),
    ] {
        let config = format!("{{\"mapping\": {{\"message\": {}}}}}", json(mapping));
        assert_eq!(show(&run(&config, Input::new(text))), expected, "{mapping}");
    }
}

fn json(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[test]
fn slices_are_not_copied() {
    let config = r#"{"mapping": {"message": "%{ts} %{+ts} %{+ts} %{a} %{b}"}}"#;
    let outcome = run(config, Input::new("Mar 16 00:01:25 x y"));
    assert_eq!((outcome.text("ts"), outcome.built_bytes), (Some("Mar 16 00:01:25"), 0));
}

#[test]
fn mappings_follow_each_other() {
    let config =
        r#"{"mapping": {"message": "%{a} %{rest}", "rest": "%{b} %{c}", "other": "%{x}:%{y}"}, "add_tag": ["ok-%{b}"]}"#;
    assert_eq!(show(&run(config, Input::new("1 2 3"))), "a=1|rest=2 3|b=2|c=3|tags=ok-2");
    // one that fails does not undo the others, and nothing is done on success
    assert_eq!(show(&run(config, Input::new("1 2"))), "a=1|rest=2|tags=_dissectfailure");
    let outcome = run(config, Input::new("1 2 3").field("other", "p:q"));
    assert_eq!((outcome.text("x"), outcome.text("y")), (Some("p"), Some("q")));
    assert_eq!(show(&run(r#"{"mapping": {"body": "%{a} %{b}"}, "add_tag": "x"}"#, Input::new("1 2"))), "");
    // the order in which they are written means nothing
    let turned = r#"{"mapping": {"rest": "%{b} %{c}", "message": "%{a} %{rest}"}}"#;
    assert_eq!(show(&run(turned, Input::new("1 2 3"))), "a=1|rest=2 3|b=2|c=3");
    let round = r#"{"mapping": {"a": "%{b} x", "b": "%{a} x"}}"#;
    assert_eq!(show(&run(round, Input::new("").field("a", "1 x"))), "a=1 x|b=1|tags=_dissectfailure");
    let config = r#"{"mapping": {"message": "%{+a} %{&k}"}}"#;
    assert_eq!(show(&run(config, Input::new("1 2").field("a", "0").field("k", "name"))), "k=name|a=0 1|name=2");
}

#[test]
fn types_are_converted() {
    let config = r#"{"mapping": {"message": "[%{at}] %{code} %{?ic}=%{&ic}% %{n}"},
        "convert_datatype": {"cpu": "float", "code": "int", "n": "int", "other": "int", "gone": "float"}}"#;
    let outcome = run(config, Input::new("[x] 00000001 cpu=95.43% many").field("other", 2.9));
    assert_eq!(
        show(&outcome),
        "at=x|code=Int(1)|tags=_dataconversionuncoercible_n_int|n=many|cpu=Float(95.43)|other=Int(2)|tags=_dataconversionnullvalue_gone_float"
    );
    assert_eq!(show(&run(r#"{"convert_datatype": {"a": "int"}}"#, Input::new("").field("a", "12.7"))), "a=Int(12)");
}

#[test]
fn what_makes_no_sense_is_refused() {
    for (config, says) in [
        (r#"{}"#, "mapping"),
        (r#"{"mapping": {"message": "plain"}}"#, "no `%{key}`"),
        (r#"{"mapping": {"message": "%{a}%{b}"}}"#, "nothing between"),
        (r#"{"mapping": {"message": "%{+&a}"}}"#, "go together"),
        (r#"{"mapping": {"message": "%{&+a}"}}"#, "go together"),
        (r#"{"mapping": {"message": "%{+a/x}"}}"#, "number"),
        (r#"{"mapping": {"message": "%{&}"}}"#, "without a name"),
        (r#"{"mapping": {"message": "%{a"}}"#, "closes"),
        (r#"{"mapping": {"message": "%{_offset}"}}"#, "_offset"),
        (r#"{"mapping": {"message": 1}}"#, "string"),
        (r#"{"mapping": ["message", "%{a}"]}"#, "table"),
        (r#"{"mapping": {"message": "%{a}"}, "convert_datatype": {"a": "integer"}}"#, "int"),
        (r#"{"mappings": {}}"#, "mappings"),
    ] {
        let error = Harness::<Dissect>::new(config).unwrap_err();
        assert!(error.contains(says), "{config}: {error}");
    }
    let many = "%{a} ".repeat(KEYS + 1);
    assert!(Pattern::new(&many).unwrap_err().contains("64"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    /// Texts without the delimiters come back as they were put together.
    #[test]
    fn what_is_joined_is_cut(parts in proptest::collection::vec("[a-z0-9 ]{0,8}", 2..9), delimiter in "[,;|]{1,3}") {
        let mapping: Vec<String> = (0..parts.len()).map(|number| format!("%{{k{number}}}")).collect();
        let pattern = Pattern::new(&mapping.join(&delimiter)).unwrap();
        let text = parts.join(&delimiter);
        let mut found = [&[] as &[u8]; KEYS];
        prop_assert!(pattern.find(text.as_bytes(), &mut found).is_some());
        let got: Vec<_> = found[..parts.len()].iter().map(|part| std::str::from_utf8(part).unwrap()).collect();
        prop_assert_eq!(got, parts);
    }

    #[test]
    fn no_bytes_panic(mapping in "[%{}a+&?*/>, -]{0,30}", text in proptest::collection::vec(any::<u8>(), 0..60)) {
        if let Ok(pattern) = Pattern::new(&format!("{mapping}%{{x}}")) {
            let mut found = [&[] as &[u8]; KEYS];
            let _ = pattern.find(&text, &mut found);
        }
        let _ = Pattern::new(&mapping);
        let _ = run(r#"{"mapping": {"message": "%{a->} %{+a/2},%{*k}=%{&k}"}}"#, Input::new(&text));
    }
}
