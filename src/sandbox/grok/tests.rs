//! What the library promises, and the public cases of the standard names.

use super::*;
use crate::base::row::Value;

fn captured(expression: &str, text: &str) -> Result<Option<Vec<(String, String)>>, GrokError> {
    let grok = compile(expression, &Custom::new())?;
    let mut found = Vec::new();
    let matched = grok.search(text.as_bytes(), &mut grok.scratch(), &mut found)?;
    let fields =
        found.iter().map(|capture| (grok.fields()[capture.field].name.clone(), text[capture.start..capture.end].to_owned()));
    Ok(matched.then(|| fields.collect()))
}

/// `expected` as `name=value;name=value`, or `-` for no match.
fn check(expression: &str, text: &str, expected: &str) {
    let got = match captured(expression, text).unwrap() {
        None => "-".to_owned(),
        Some(fields) => fields.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(";"),
    };
    assert_eq!(got, expected, "{expression} on {text:?}");
}

#[test]
fn names_become_groups_and_fields() {
    check("%{WORD:verb} %{NOTSPACE:request}", "GET /a?b", "verb=GET;request=/a?b");
    check("%{WORD:[http][verb]} %{INT:n:int}", "GET 5", "http.verb=GET;n=5");
    check("%{WORD - the first} x", "a x", "");
    check("%{WORD:a}", "...", "-");
    check("(?<took:int>[0-9]+)ms", "in 12ms", "took=12");
    check("%{WORD:a} %{WORD:a}", "x y", "a=x;a=y");
}

#[test]
fn meaning_is_logstashs() {
    check("^b%{DATA:rest}$", "a\nb-c", "rest=-c"); // lines are anchors
    check("a%{GREEDYDATA:rest}", "a\nb", "rest=\nb"); // the dot is any byte
    check("a%{DATA:nothing}b(%{WORD:none})?", "ab", ""); // a capture of nothing is none
    check("(a|b)%{INT:n}", "b7", "n=7"); // a group without name captures nothing
    check(r"\h+\:(?#remark)%{WORD:a}\Z", "fF0:x\n", "a=x");
    check(r"{%{DATA:inside}}", "{x}", "inside=x");
    check("(?m:.)%{WORD:a}", "\nx", "a=x");
    check(r"\<%{WORD:a}\>", "<x>", "a=x");
}

#[test]
fn look_around_runs_bounded_and_atomic_groups_keep_their_meaning() {
    check(r"(?<![0-9])%{INT:n}(?!px)\b", "12px 34em 56", "n=56");
    check(r"(?<q>['x])%{DATA:a}\k<q>", "'it x'", "q=';a=it x");
    check(r"(?>a|ab)c", "abc", "-"); // gives nothing back
    check(r"%{WORD:w}++!", "ab!", "w=ab");
    check(r"(?>[0-9][0-9]){1,2}-", "1999-", "");
    let linear = |expression| compile(expression, &Custom::new()).unwrap().is_linear();
    assert!(linear(r"(?>[0-9][0-9]){1,2}"), "an atomic group without a choice is a plain one");
    assert!(!linear(r"(?>[0-9]+)x"));
    assert!(!linear(r"a(?=b)"));
    let slow = compile(r"(?=x)(?:x+x+)+y(?!z)", &Custom::new()).unwrap();
    let text = format!("{}yz", "x".repeat(200));
    assert_eq!(slow.search(text.as_bytes(), &mut slow.scratch(), &mut Vec::new()), Err(GrokError::Exhausted));
}

#[test]
fn a_search_is_paid_for_by_what_it_may_take() {
    // What some searches with one memory use up.
    let used = |expression: &str, text: &str, searches: u64| {
        let grok = compile(expression, &Custom::new()).unwrap();
        let mut scratch = grok.scratch();
        for _ in 0..searches {
            let _ = grok.search(text.as_bytes(), &mut scratch, &mut Vec::new());
            scratch.begin();
        }
        u64::MAX - scratch.fuel
    };
    let line = r#"10.0.0.7 - anna [17/May/2015:10:05:03 +0200] "GET /a?b=c HTTP/1.1" 200 2326 "http://example.org/" "curl/8""#;
    assert_eq!(used("%{COMBINEDAPACHELOG}", line, 1), 0, "steps are paid by the byte");
    let goes_back = (r"(?:(?<x>a|aa)+)+(?=y)(?!y)", &*format!("{}yzb", "a".repeat(30)));
    let long = (r"(?<x>(?:a?){3000})(?<y>b)$", &*"a".repeat(64));
    let gives_up = (r"(?<x>(?:a|b|ab)*)*c", &*"ab".repeat(600));
    for ((expression, text), least) in [(goes_back, 600_000), (long, 48_000), (gives_up, 1_000)] {
        let once = used(expression, text, 1);
        assert!(once >= least, "{expression} costs {once}");
        // However often: what was learned of a call's texts is nothing for the next.
        assert_eq!(used(expression, text, 100), 100 * once, "{expression}");
    }
    let grok = compile(goes_back.0, &Custom::new()).unwrap();
    let mut scratch = grok.scratch();
    scratch.fuel = 100_000;
    assert_eq!(grok.search(goes_back.1.as_bytes(), &mut scratch, &mut Vec::new()), Err(GrokError::Unpaid));
    assert_eq!(grok.search(b"aayaa", &mut scratch, &mut Vec::new()), Ok(false), "what it could not pay is not lost");
}

#[test]
fn mistakes_are_named() {
    for (expression, says) in [
        ("%{NOPE:x}", "NOPE"),
        ("%{WORD:x:date}", "date"),
        ("%{WORD", "brace"),
        ("%{WORD:a b", "brace"),
        ("%{WORD=x}", "write it as"),
        ("(a", "not closed"),
        ("a)", "not opened"),
        ("[a", "not closed"),
        (r"(a)\1", "name the group"),
        ("(?<\u{1}éa>b)", "no field name"),
        ("(?<\u{1}t>b)", "no field name"),
        ("a\\", "backslash"),
    ] {
        let error = compile(expression, &Custom::new()).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(says), "{expression}: {error}");
    }
    let mut custom = Custom::new();
    custom.insert("A".into(), "x%{B}".into());
    custom.insert("B".into(), "%{A}".into());
    assert!(compile("%{A}", &custom).is_err_and(|error| error.to_string().contains("itself")));
    custom.insert("BIG".into(), "%{D}%{D}%{D}%{D}%{D}%{D}%{D}%{D}".into());
    custom.insert("D".into(), "%{E}%{E}%{E}%{E}%{E}%{E}%{E}%{E}".into());
    custom.insert("E".into(), "x".repeat(10_000));
    assert!(compile("%{BIG}", &custom).is_err_and(|error| error.to_string().contains("grows")));
}

#[test]
fn custom_names_come_first_and_invalid_text_is_text() {
    let custom = Custom::from([("WORD".into(), "x+".into()), ("QUEUEID".into(), r"[0-9A-F]{10,11}".into())]);
    let grok = compile("%{QUEUEID:id}: %{WORD:x}", &custom).unwrap();
    let mut found = Vec::new();
    let text = b"\xff\xfe BEF25A72965: xxx \xff";
    assert_eq!(grok.search(text, &mut grok.scratch(), &mut found), Ok(true));
    assert_eq!(&text[found[0].start..found[0].end], b"BEF25A72965");
    assert_eq!(&text[found[1].start..found[1].end], b"xxx");
}

#[test]
fn types_read_as_far_as_the_digits_go() {
    for (kind, text, value) in [
        (Kind::Int, "42", Value::Int(42)),
        (Kind::Int, "-7x", Value::Int(-7)),
        (Kind::Int, "1.9", Value::Int(1)),
        (Kind::Int, "x", Value::Str(b"x")),
        (Kind::Int, "99999999999999999999", Value::Str(b"99999999999999999999")),
        (Kind::Float, "0.5s", Value::Float(0.5)),
        (Kind::Float, "1e3", Value::Float(1000.0)),
        (Kind::Float, "-.5", Value::Float(-0.5)),
        (Kind::Float, "-", Value::Str(b"-")),
        (Kind::Text, "42", Value::Str(b"42")),
    ] {
        assert_eq!(kind.value(text.as_bytes()), value, "{kind:?} {text}");
    }
}

#[test]
fn every_standard_name_compiles_to_the_linear_engine() {
    for flavour in [Flavour::Legacy, Flavour::Ecs] {
        let names = patterns::names(flavour);
        assert!(names.len() > 250, "{} names", names.len());
        for name in names {
            let grok = compile_as(&format!("%{{{name}}}"), &Custom::new(), flavour);
            assert!(grok.as_ref().is_ok_and(Grok::is_linear), "{name}: {:?}", grok.err());
        }
    }
}

/// Cases from the specifications of Logstash's patterns, each checked under Ruby. Not part of the project.
#[test]
#[allow(clippy::print_stderr, clippy::disallowed_methods)]
fn public_cases_of_the_legacy_names() {
    // Where ours differ on purpose, by how the line begins. They must match all the same.
    const EXPLAINED: [(&str, &str); 3] = [
        ("ASA-2-106006", "the case expects the interface at the end of the line to be lost, ours has it"),
        ("Built dynamic TCP", "the same of the port at the end of the line"),
        ("ASA-3-313001", "the same of the interface at the end of the line"),
    ];
    let beside = || "../shared/data".into();
    let path = std::path::PathBuf::from(std::env::var_os("SAWBOX_DATA").unwrap_or_else(beside)).join("grok_cases_legacy.json");
    let Ok(bytes) = std::fs::read(&path) else {
        assert!(std::env::var_os("SAWBOX_NO_SKIP").is_none(), "{} is missing, and skipping is not allowed", path.display());
        eprintln!("skipped: there is no {}; SAWBOX_DATA names the folder", path.display());
        return;
    };
    let cases: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    let cases = cases.as_array().unwrap();
    let (mut wrong, mut differ) = (Vec::new(), 0);
    for case in cases {
        let (expression, line) = (case["grok"].as_str().unwrap(), case["message"].as_str().unwrap());
        let explained = EXPLAINED.iter().any(|(start, _)| line.starts_with(start));
        match one_case(case) {
            Err(why) if explained && why.starts_with("ours") => differ += 1,
            Err(why) => wrong.push(format!(
                "{expression}
   {line:?}
   {why}"
            )),
            Ok(()) => {}
        }
    }
    eprintln!("{} of {} cases, {differ} more differ on purpose", cases.len() - wrong.len() - differ, cases.len());
    assert!(wrong.is_empty(), "{} cases differ:\n{}", wrong.len(), wrong.join("\n"));
}

fn one_case(case: &serde_json::Value) -> Result<(), String> {
    let text = case["message"].as_str().unwrap();
    let grok = compile(case["grok"].as_str().unwrap(), &Custom::new()).map_err(|error| error.to_string())?;
    let mut found = Vec::new();
    let matched = grok.search(text.as_bytes(), &mut grok.scratch(), &mut found).map_err(|error| error.to_string())?;
    if matched != case["matched"].as_bool().unwrap() {
        return Err(format!("matched: {matched}"));
    }
    let mut fields = serde_json::Map::new();
    for capture in found {
        let field = &grok.fields()[capture.field];
        let value = match field.kind.value(&text.as_bytes()[capture.start..capture.end]) {
            Value::Str(text) => String::from_utf8_lossy(text).into(),
            Value::Int(number) => number.into(),
            Value::Float(number) => number.into(),
            Value::Bool(yes) => yes.into(),
        };
        // The record that grok reads has its line as `message` already.
        let first = (field.name == "message").then(|| text.into());
        match fields.remove(&field.name).or(first) {
            None => fields.insert(field.name.clone(), value),
            Some(serde_json::Value::Array(mut list)) => {
                list.push(value);
                fields.insert(field.name.clone(), list.into())
            }
            Some(before) => fields.insert(field.name.clone(), vec![before, value].into()),
        };
    }
    let expected = case["fields"].as_object().cloned().unwrap_or_default();
    if !matched || expected == fields {
        return Ok(());
    }
    let differ = |a: &serde_json::Map<String, serde_json::Value>, b: &serde_json::Map<String, serde_json::Value>| {
        a.iter()
            .filter(|(name, value)| b.get(*name) != Some(value))
            .map(|(name, value)| format!("{name}={value}"))
            .collect::<Vec<_>>()
    };
    Err(format!("ours {:?}, expected {:?}", differ(&fields, &expected), differ(&expected, &fields)))
}
