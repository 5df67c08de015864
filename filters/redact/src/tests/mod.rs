//! What is found, what is not, and that what was found is gone.

mod around;
mod host;

use around::Around;
use host::Host;
use proptest::prelude::*;
use sawbox_guest::testing::{Harness, Input, Outcome, set_patterns};

use crate::Redact;
use crate::find::{Finder, luhn};

fn run(config: &str, input: Input) -> Outcome {
    set_patterns(Box::<Host>::default());
    Harness::<Redact>::new(config).unwrap().run(&[input]).remove(0)
}

fn message(config: &str, text: &str) -> String {
    let outcome = run(config, Input::new(text));
    outcome.text("message").unwrap_or(text).to_owned()
}

#[test]
fn what_is_taken_out() {
    let all = r#"{"detect": ["card", "email", "ip", "secrets"]}"#;
    for (text, expected) in [
        ("paid 4111 1111 1111 1111 by x", "paid [card] by x"),
        ("card=4111111111111111;", "card=[card];"),
        ("5500-0000-0000-0004 378282246310005 6011111111111117", "[card] [card] [card]"),
        ("4111111111111111 42", "[card] 42"),
        ("30569309025904,3530111333300000", "[card],[card]"),
        ("ann.b+c@mail.example.org, <x@y.de>.", "[email], <[email]>."),
        ("from 10.0.0.7:8080 to [2001:db8::1]:53", "from [ipv4]:8080 to [[ipv6]]:53"),
        ("fe80::1%eth0 ::1 1:2:3:4:5:6:7:8", "[ipv6]%eth0 [ipv6] [ipv6]"),
        ("Authorization: Bearer abcdef0123456789.x", "Authorization: Bearer [bearer]"),
        ("authorization: basic dXNlcjpwYXNz", "authorization: basic [basic]"),
        ("password=hunter2&user=x", "password=[password]&user=x"),
        ("db_password = \"two words\" next", "db_password = \"[password]\" next"),
        (r#"{"password":"a\"b","n":1}"#, r#"{"password":"[password]","n":1}"#),
        (r#"{\"api_key\":\"xyz\",\"n\":1}"#, r#"{\"api_key\":\"[password]\",\"n\":1}"#),
        ("token: Bearer abc rest", "token: Bearer [password] rest"),
        ("{secret => 'x y'}", "{secret => '[password]'}"),
        ("pwd=x,passphrase=y", "pwd=[password],passphrase=[password]"),
        ("postgres://app:s3cret@db/x", "postgres://app:[password]@db/x"),
        ("AKIAIOSFODNN7EXAMPLE in", "[aws] in"),
        ("aws_secret_access_key=wJalrXUtnFEMI/K7MDENG", "aws_secret_access_key=[password]"),
        ("a -----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY----- b", "a [private_key] b"),
        ("-----BEGIN PRIVATE KEY-----\nMIIE cut", "[private_key]"),
        ("jwt eyJhbGciOiJI.eyJzdWIiOiIx.SflKxw-rJ_ end", "jwt [jwt] end"),
    ] {
        assert_eq!(message(all, text), expected, "{text}");
    }
}

#[test]
fn what_is_left_alone() {
    let all = r#"{"detect": ["card", "email", "ip", "secrets"]}"#;
    for text in [
        "",
        "4111 1111 1111 1112",
        "1431857103000 1431857103000000000",
        "41111111111111111111111111",
        "x4111111111111111 4111111111111111x",
        "order 4111.1111.1111.1111",
        "user@localhost @home a@b. c@d.1e",
        "1.2.3 1.2.3.4.5 256.1.1.1 v1.2.3.4x",
        "10:05:03 aa:bb:cc:dd:ee:ff std::vector ::",
        "bearer of bad news, basic authentication failed",
        "password: ",
        "passwordless=1 tokens=5 secretary: Ann",
        "GET /token HTTP/1.1",
        "http://host:80/x@y",
        "AKIAIOSFODNN7EXAMPLEX -----BEGIN CERTIFICATE-----",
        "eyJhbGciOiJI eyJ.a.b",
    ] {
        let outcome = run(all, Input::new(text));
        assert_eq!(outcome.text("message"), None, "{text}");
    }
}

#[test]
fn replacements() {
    let text = "4111111111111111 C-12345678";
    for (config, expected) in [
        (r#"{"replace": "***"}"#, "*** C-12345678"),
        (r#"{"replace": "<{kind}!>", "patterns": {"customer": "C-(\\d{8})"}}"#, "<card!> C-<customer!>"),
        (r#"{"detect": [], "patterns": {"customer": "C-\\d{4}", "one": "\\b4"}}"#, "[one]111111111111111 [customer]5678"),
        (
            r#"{"detect": ["email"], "patterns": {"ones": "1"}}"#,
            "4[ones][ones][ones][ones][ones][ones][ones][ones][ones][ones][ones][ones][ones][ones][ones] C-[ones]2345678",
        ),
        (r#"{"detect": [], "patterns": {"front": "^."}}"#, "[front]111111111111111 C-12345678"),
    ] {
        assert_eq!(message(config, text), expected, "{config}");
    }
    let hashed = message(r#"{"hash_key": "0123456789abcdef"}"#, "4111111111111111 4111111111111111 5500000000000004");
    let parts: Vec<&str> = hashed.split(' ').collect();
    assert!(parts[0].starts_with("[card:") && parts[0].len() == 23, "{hashed}");
    assert!(parts[0] == parts[1] && parts[0] != parts[2], "{hashed}");
    assert_ne!(message(r#"{"hash_key": "0123456789abcdeg"}"#, "4111111111111111"), parts[0]);
}

#[test]
fn every_field_or_some() {
    let input = || {
        let input = Input::new("x@y.org").field("user", "a@b.org").field("list", "one").field("list", "c@d.org");
        input.field("n", 5).field("list", 7).field("_peer", "e@f.org")
    };
    let outcome = run(r#"{"add_tag": ["redacted"]}"#, input());
    assert_eq!((outcome.text("message"), outcome.text("user")), (Some("[email]"), Some("[email]")));
    assert_eq!(outcome.all("list"), [&"one".into(), &"[email]".into(), &7.into()]);
    assert_eq!((outcome.text("_peer"), outcome.text("tags")), (Some("e@f.org"), Some("redacted")));
    let outcome = run(r#"{"fields": ["user", "other"]}"#, input());
    assert_eq!((outcome.text("message"), outcome.text("user")), (None, Some("[email]")));
    let outcome = run(r#"{"fields": ["message"]}"#, Input::new("raw a@b.org").field("message", "cut c@d.org"));
    assert_eq!(outcome.text("message"), Some("cut [email]"));
}

#[test]
fn groups_of_look_arounds_are_taken_out_wherever_they_stand() {
    for (is_behind, pattern, text, expected) in [
        (false, "k(?=(.))", "kkab", "k[x][x]b"),
        (false, "k(?=(.))", "akb ck", "ak[x] ck"),
        (true, "(?<=(k)).", "kkk", "[x][x]k"),
        (true, "(?<=(k)).", "a kb", "a [x]b"),
    ] {
        set_patterns(Box::new(Around { is_behind, compiled: 0 }));
        let config = format!(r#"{{"detect": [], "patterns": {{"x": "{pattern}"}}}}"#);
        let outcome = Harness::<Redact>::new(&config).unwrap().run(&[Input::new(text)]).remove(0);
        assert_eq!(outcome.text("message"), Some(expected), "{pattern} {text}");
    }
}

#[test]
fn what_is_not_ascii_is_taken_out() {
    let config = r#"{"detect": [], "patterns": {"x": "[^ -~]+"}}"#;
    assert_eq!(message(config, "Jürgen war über €5"), "J[x]rgen war [x]ber [x]5");
    let config = r#"{"detect": [], "replace": "", "patterns": {"x": "[^ -~]"}}"#;
    assert_eq!(message(config, "Jürgen war über €5"), "Jrgen war ber 5");
}

#[test]
fn what_makes_no_sense_is_refused() {
    set_patterns(Box::<Host>::default());
    for (config, says) in [
        (r#"{"detect": ["cards"]}"#, "cards"),
        (r#"{"detect": []}"#, "nothing"),
        (r#"{"hash_key": "short"}"#, "16"),
        (r#"{"hash_key": "0123456789abcdef", "replace": "x"}"#, "{kind}"),
        (r#"{"patterns": {"a": "("}}"#, "patterns.a"),
        (r#"{"fields": ["_origin"]}"#, "_origin"),
        (r#"{"keep": 1}"#, "keep"),
    ] {
        let error = Harness::<Redact>::new(config).unwrap_err();
        assert!(error.contains(says), "{config}: {error}");
    }
}

#[test]
fn long_hostile_texts_take_linear_time() {
    for piece in
        ["4", "4 ", "@", "a@", "::", "password=", "-----BEGIN PRIVATE KEY", "eyJ", "eyJa.eyJ", "1.", "Basic ", "=\"", "://a:"]
    {
        let text = piece.repeat(50_000 / piece.len());
        Finder::new(text.as_bytes(), u16::MAX).count();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any number of an issuer with a right check digit is found, however it is grouped.
    #[test]
    fn cards_are_found(body in "4[0-9]{14}", dashes in any::<bool>(), before in "[a-z ,;(]{0,5}[ (]", after in "[ ,;)][a-z ]{0,5}") {
        let mut digits: Vec<u8> = body.bytes().map(|digit| digit - b'0').collect();
        let check = (0..10).find(|digit| { let mut all = digits.clone(); all.push(*digit); luhn(&all) }).unwrap();
        digits.push(check);
        // One of 13 digits may stand in front of it.
        prop_assume!(!luhn(&digits[..13]));
        let mut number = String::new();
        for (index, digit) in digits.iter().enumerate() {
            if dashes && index > 0 && index % 4 == 0 {
                number.push('-');
            }
            number.push(char::from(b'0' + digit));
        }
        prop_assert_eq!(message("{}", &format!("{before}{number}{after}")), format!("{before}[card]{after}"));
    }

    #[test]
    fn no_bytes_panic_and_finds_are_in_order(text in "[04a-f:.@=\"'\\\\ eyJ./Basic Bearer password=-]{0,60}", tail in proptest::collection::vec(any::<u8>(), 0..20)) {
        let mut bytes = text.into_bytes();
        bytes.extend(tail);
        let mut from = 0;
        for found in Finder::new(&bytes, u16::MAX) {
            prop_assert!(from <= found.start && found.start < found.end && found.end <= bytes.len());
            from = found.end;
        }
        run("{\"hash_key\": \"0123456789abcdef\"}", Input::new(&bytes));
    }
}
