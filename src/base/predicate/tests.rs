//! What the search language means, as tables; and that no text breaks it.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::base::row::{Cell, Value};

/// Rows as (name, value) pairs; a name may repeat.
fn keeps(predicate: &Predicate, row: &[(&str, Value<'_>)], time_ns: i64) -> bool {
    let names: Vec<Arc<str>> = row.iter().map(|(name, _)| Arc::from(*name)).collect();
    let cells: Vec<Cell<'_>> = (0u32..).zip(row).map(|(name, (_, value))| Cell { name, value: *value }).collect();
    predicate.bind(&names).matches(&cells, time_ns)
}

const NOON: i64 = 1_431_864_000_000_000_000; // 2015-05-17T12:00:00Z

fn access() -> Vec<(&'static str, Value<'static>)> {
    vec![
        ("message", Value::Str(b"83.149.9.216 - - GET /workshop/f5.txt?x HTTP/1.1 Connection reset")),
        ("app", Value::Str(b"shop-eu")),
        ("request", Value::Str(b"GET /f5.txt?x=1 HTTP/1.1")),
        ("path", Value::Str(b"/health/live.png")),
        ("ip", Value::Str(b"83.149.9.216")),
        ("status", Value::Int(503)),
        ("code", Value::Str(b"404")),
        ("reqtime", Value::Float(0.25)),
        ("secure", Value::Bool(true)),
        ("tags", Value::Str(b"slow")),
        ("tags", Value::Str(b"zabbix-sender")),
        ("who", Value::Str("Änne".as_bytes())),
        ("odd name", Value::Str(b"x")),
        ("sd.a.id", Value::Str(b"7")),
        ("_peer", Value::Str(b"10.1.2.3")),
        ("bad", Value::Str(b"\xff\xfe ok")),
        ("count()", Value::Int(9)),
        ("p99(reqtime)", Value::Float(1.5)),
        ("sum(\"a-b (c)\")", Value::Int(7)),
    ]
}

fn check(text: &str, kept: bool) {
    let predicate = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(keeps(&predicate, &access(), NOON), kept, "{text}");
    let shown = predicate.to_string();
    assert_eq!(parse(&shown).as_ref(), Ok(&predicate), "{text} shown as {shown}");
}

#[test]
fn what_a_row_passes() {
    for text in [
        "",
        "*",
        "  ",
        // words of the message, in any case
        "get",
        "GET",
        "reset",
        "connection",
        "\"connection reset\"",
        "\"CONNECTION RESET\"",
        "83.149.9.216",
        "f5.txt",
        "/workshop/",
        // in single quotes case matters
        "'GET'",
        "'Connection reset'",
        "app:'shop'",
        "who:'Änne'",
        "who:=?nne",
        "who:=????",
        "who:?nne",
        "bad:=??\\ ok",
        "bad:=*?ok",
        "'get' or \"get\"",
        "'odd name':x",
        "status:'503'",
        "app:='shop-eu'",
        // fields
        "app:shop",
        "app:SHOP",
        "app:eu",
        "app:shop-eu",
        "app:\"shop-eu\"",
        "app: shop",
        "request:\"/f5.txt\"",
        "request:/f5.txt",
        "status:503",
        "status:\"503\"",
        "status:503.0",
        "code:404",
        "secure:true",
        "secure:TRUE",
        "\"odd name\":x",
        r"odd\ name:x",
        // lists, invalid UTF-8, beyond ASCII
        "tags:slow",
        "tags:zabbix-sender",
        "tags:=zabbix-sender",
        "bad:ok",
        "who:änne",
        "who:ÄNNE",
        // exact
        "app:=shop-eu",
        "app=shop-eu",
        "app==shop-eu",
        "app!=shop",
        "status=503",
        "status:=503",
        "status!=200",
        "nothing!=x",
        "code=404",
        // wildcards
        "app:sho*",
        "app:*eu",
        "app:s*u",
        "app:sh?p",
        "path:/health*",
        "path:*.png",
        "path:=/health*",
        "path:=*.png",
        "conn*",
        "work*txt",
        "status:5*",
        "app:*",
        "status:*",
        // comparisons
        "status>=500",
        "status:>=500",
        "status > 502",
        "status<504",
        "status<=503",
        "code>=400",
        "code<1e3",
        "reqtime>0.2",
        "reqtime<1",
        "app>shop",
        "ip>=83.149.9.200",
        "ip<100.0.0.0",
        "status:[500 TO 599]",
        "status:[503 TO 503]",
        "status:{502 TO 504}",
        "status:[* TO 503]",
        "status:[503 TO *]",
        "status:{502 TO *}",
        "reqtime:[0.1 to 0.3]",
        "status:[* TO *]",
        "ip:[83.149.9.1 TO 83.149.10.0]",
        // expressions and networks
        "path:~\"[.](png|jpg)$\"",
        "path=~png",
        "path!~gif",
        "app:~^shop-..$",
        "~\"GET .*f5\"",
        "status:~^5",
        r#"path:~"live\.png""#,
        "ip:83.149.0.0/16",
        "ip:83.149.9.216/32",
        "ip:0.0.0.0/0",
        // operators
        "get reset",
        "get and reset",
        "get AND reset",
        "get && reset",
        "get or nothing",
        "nothing || get",
        "not nothing",
        "-nothing",
        "!nothing",
        "-app:blog",
        "(get or nothing) reset",
        "nothing or get reset",
        "not (nothing or nowhere)",
        "status:(200 or 503)",
        "status:(>=500 <600)",
        "app:(shop -blog)",
        "status:(not 200)",
        "status:(!=200)",
        "status:(-5 or 503)",
        "app:(shop or (blog eu))",
        "not not get",
        "-status:200",
        "-absent:x",
        "\"not\" or get",
        // any field
        "*:blog or *:shop",
        "sd.*:7",
        "_*:10.1.2.3",
        "_exists_:app",
        "-_exists_:absent",
        // time
        "_time:2015-05-17",
        "_time:2015-05-17T12",
        "_time:2015-05-17T12:00",
        "_time:2015-05-17T12:00:00Z",
        "_time>=2015-05-17",
        "_time>=2015-05-17T12",
        "_time:[2015-05-17T12:00 TO 2015-05-17T13]",
        "_time:>=1431864000",
        "_time<2015-05-18",
        "_time:[2015-05-17 TO 2015-05-18]",
        "_time<=2015-05-17T12:00:00Z",
        "_time:*",
        // columns of stats
        "count()>5",
        "count() >= 9",
        "sum(\"a-b (c)\")>6",
        "(sum(\"a-b (c)\") = 7)",
        "p99(reqtime)<2",
        "\"count()\":9",
        "(count()>5)",
    ] {
        check(text, true);
    }
}

#[test]
fn what_a_row_fails() {
    for text in [
        "who:=??nne",
        "who:=?????",
        "who:??nne",
        "bad:=???\\ ok",
        "'get'",
        "'connection reset'",
        "app:'Shop'",
        "who:'änne'",
        "'onnection reset'",
        "shop",
        "rese",
        "onnection",
        "\"reset connection\"",
        "not get",
        "-get",
        "nothing",
        "app:sho",
        "app:hop",
        "app:shop_eu",
        "request:\"f5.tx\"",
        "status:50",
        "status:\"5 03\"",
        "secure:false",
        "secure:1",
        "absent:x",
        "app:=shop",
        "app=SHOP-EU",
        "app!=shop-eu",
        "status=503x",
        "secure=TRUE",
        "tags:=zabbix",
        "app:op*",
        "app:sh?",
        "path:=health*",
        "path:=*.PNG",
        "app:sho?_",
        "absent:*",
        "path:*.pn",
        "status>503",
        "status<503",
        "app>=zebra",
        "status>abc",
        "app>5",
        "status:{503 TO 600]",
        "status:[400 TO 503}",
        "secure>0",
        "ip<9.0.0.0",
        "path:~^png",
        "path:~PNG",
        "status:~^4",
        "ip:10.0.0.0/8",
        "app:10.0.0.0/8",
        "ip:83.149.9.217/32",
        "ip:2001:db8::/32",
        "get nothing",
        "nothing or nowhere",
        "-(get or nothing)",
        "status:(200 or 404)",
        "tags:(slow fast)",
        "*:10.1.2.3",
        "*:blog",
        "sd.*:8",
        "_exists_:absent",
        "_time:2015-05-16",
        "_time:2015-05-17T11",
        "_time>2015-05-17T12:00:00Z",
        "_time<2015-05-17T12:00:00Z",
        "-_time:*",
        "_time!=2015-05-17",
        "count()>9",
        "count()<5",
    ] {
        check(text, false);
    }
}

#[test]
fn errors_point_and_say_what_to_do() {
    for (text, position, says) in [
        ("a (b", 2, "never closed"),
        ("a)", 1, "closes nothing"),
        ("\"abc", 0, "never closed"),
        ("status:", 7, "value is expected"),
        ("status>= ", 9, "value is expected"),
        ("status:[1 5]", 10, "`TO` is missing"),
        ("status:[1 TO 5", 7, "never closed"),
        ("a or", 4, "not the end"),
        ("or a", 0, "both sides"),
        ("a - b", 2, "stands alone"),
        ("path:~(a|b)", 6, "in quotes"),
        ("path:~\"(\"", 6, "does not compile"),
        ("path:~\"(a{1000}){1000}\"", 6, "too big"),
        (":x", 0, "name of a field"),
        ("a | b", 2, "only a query"),
        ("x _time>tomorrow", 8, "no time"),
        ("_time>-1h", 6, "no meaning here"),
        ("_time:~x", 6, "compared, not searched"),
        ("()", 1, "expected before"),
        ("ab\\", 2, "needs a character"),
    ] {
        match parse(text) {
            Ok(predicate) => panic!("{text} was read as {predicate}"),
            Err(error) => {
                assert!(error.message.contains(says), "{text}: {error}");
                assert_eq!(error.position, position, "{text}: {error}");
            }
        }
    }
    assert!(parse(&"(".repeat(100_000)).is_err());
    assert!(parse(&"(".repeat(5000)).is_err());
    assert!(parse(&"not ".repeat(5000)).is_err());
    assert!(parse(&"a ".repeat(LEAVES + 1)).is_err());
}

#[test]
fn relative_times_need_a_now() {
    let predicate = parse_at("_time>-1h", NOON + 1_800_000_000_000).unwrap();
    assert!(keeps(&predicate, &[], NOON));
    assert!(!keeps(&predicate, &[], NOON - 1_800_000_000_000));
    assert_eq!(parse(&predicate.to_string()), Ok(predicate));
}

#[test]
fn bare_words_print_bare() {
    for (text, shown) in [
        (
            "app:shop status>=500 \"connection reset\" -path:/health*",
            "app:shop and status>=500 and \"connection reset\" and not path:/health*",
        ),
        ("a b or c", "(a and b) or c"),
        ("f:\"x\"", "f:x"),
        ("f=\"x y\"", "f:=\"x y\""),
        ("f:(a or b)", "f:a or f:b"),
        ("ip:\"10.0.0.0/8\"", "ip:\"10.0.0.0/8\""),
        (r#"f:"a\"b\d""#, r#"f:"a\"b\\d""#),
        ("f:a\\*b*", "f:a\\*b*"),
    ] {
        assert_eq!(parse(text).unwrap().to_string(), shown);
    }
}

/// Predicates with all that makes printing hard.
fn predicates() -> impl Strategy<Value = Predicate> {
    let text = prop_oneof![
        "[a-z0-9]{1,4}",
        "[ -~]{1,6}",
        "\\PC{1,4}",
        Just("not".to_owned()),
        Just("10.0.0.0/8".to_owned()),
        "-?[0-9]{1,3}"
    ];
    let name = prop_oneof!["[a-z.]{1,5}", "[ -~]{1,4}", Just("message".to_owned()), Just("or".to_owned())];
    let leaf =
        (name, text.clone(), text, 0..9u8, any::<(bool, bool)>()).prop_filter_map("a pattern", |(name, a, b, kind, (x, y))| {
            let name = name.as_str();
            if name == "_time" {
                return None;
            }
            Some(match kind {
                0 => Predicate::words(name, &a),
                1 => Predicate::exact(name, &a),
                2 => Predicate::prefix(name, &a),
                3 => Predicate::exists(name),
                4 => Predicate::regex(name, &a).ok()?,
                5 => Predicate::range(name, Some((&a, x)), Some((&b, y))),
                6 => Predicate::range(name, Some((&a, x)), None),
                7 => Predicate::leaf(
                    name,
                    Test::Like(Glob::within(vec![Piece::Run, Piece::Text(a.as_str().into()), Piece::One])),
                ),
                _ => Predicate::time(a.len() as i64 * 77, NOON),
            })
        });
    leaf.prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 2..4).prop_map(Predicate::And),
            proptest::collection::vec(inner.clone(), 2..4).prop_map(Predicate::Or),
            inner.prop_map(Predicate::negate),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// What is printed parses to the same.
    #[test]
    fn shown_predicates_parse_to_themselves(predicate in predicates()) {
        let shown = predicate.to_string();
        prop_assert_eq!(parse(&shown), Ok(predicate), "{}", shown);
    }

    /// No text breaks the parser; what it accepts, it prints so that it accepts it again.
    #[test]
    fn any_text_is_understood_or_refused(text in "[-a-c0-9 :\"()|*?\\\\<>=!~\\[\\]{}/.ä&TO]{0,24}") {
        match parse(&text) {
            Ok(predicate) => {
                let shown = predicate.to_string();
                keeps(&predicate, &access(), NOON);
                prop_assert_eq!(parse(&shown), Ok(predicate), "{} as {}", text, shown);
            }
            Err(error) => prop_assert!(error.position <= text.len() && text.is_char_boundary(error.position)),
        }
    }

    /// No bytes break it either, nor matching against them.
    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..64), value in proptest::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(predicate) = parse(&String::from_utf8_lossy(&bytes)) {
            keeps(&predicate, &[("message", Value::Str(&value)), ("a", Value::Str(&bytes))], 0);
        }
    }

    /// A phrase is found where a plain reading of its definition finds it.
    #[test]
    fn phrases_are_found_at_words(text in "[ab_ ./]{1,4}", value in "[abAB_ ./]{0,12}") {
        let (needle, hay) = (text.to_ascii_lowercase().into_bytes(), value.to_ascii_lowercase().into_bytes());
        let whole = |at: usize| {
            let before = at == 0 || !is_word_byte(needle[0]) || !is_word_byte(hay[at - 1]);
            let end = at + needle.len();
            before && (end == hay.len() || !is_word_byte(needle[needle.len() - 1]) || !is_word_byte(hay[end]))
        };
        let plain = (0..=hay.len().saturating_sub(needle.len())).any(|at| hay[at..].starts_with(&needle) && whole(at));
        prop_assert_eq!(Test::words(&text).matches_str(value.as_bytes()), plain);
    }

    /// A needle is in all that its test keeps.
    #[test]
    fn needles_are_required(pattern in "[ab.?+*()|\\[\\]]{1,8}", value in "[ab.]{0,10}") {
        if let Ok(pattern) = Pattern::new(&pattern)
            && pattern.matches(value.as_bytes())
            && let Some(needle) = pattern.needle() {
            prop_assert!(needle.find(value.as_bytes(), 0).is_some(), "{}", pattern.text());
        }
    }
}

/// What one piece of a wildcard took another does not take again.
#[test]
fn the_pieces_of_a_wildcard_do_not_overlap() {
    for (pattern, text, expected) in [
        ("5*5", "5 of 5", true),
        ("5*5", "10.0.0.5", false),
        ("1*1*", "1 and 1", true),
        ("1*1*", "100ms", false),
        ("50*0*00", "error 500", false),
        ("0*00", "shop-00", false),
        ("10*00ms", "timeout 100ms", false),
        ("err*r*r", "error", false),
        ("err*r*r", "error or", true),
    ] {
        let Ok(Predicate::Leaf(leaf)) = format!("w:{pattern}").parse::<Predicate>() else { panic!("{pattern}") };
        assert_eq!(leaf.test.matches_str(text.as_bytes()), expected, "{pattern} in {text}");
    }
}
