//! Every option against a resolver that is made up.

use proptest::prelude::*;
use sawbox_guest::testing::{Harness, Input, LookupAnswer, Outcome, Owned, set_lookup};

use super::Dns;

fn resolvers(options: &str) {
    set_lookup("dns", &format!(r#"{{"ask":"reverse"{options}}}"#), |key| match key {
        b"192.0.2.7" => LookupAnswer::Value(b"host.example.com".to_vec()),
        b"192.0.2.9" => LookupAnswer::NoAnswer,
        _ => LookupAnswer::Nothing,
    });
    set_lookup("dns", &format!(r#"{{"ask":"resolve"{options}}}"#), |key| match key {
        b"host.example.com" => LookupAnswer::Value(b"192.0.2.7".to_vec()),
        b"slow.example.com" => LookupAnswer::NoAnswer,
        _ => LookupAnswer::Nothing,
    });
}

fn run(config: &str, input: Input) -> Outcome {
    resolvers("");
    Harness::<Dns>::new(config).unwrap().run(&[input]).remove(0)
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
fn addresses_and_names() {
    let ip = |text: &str| Input::new("").field("ip", text);
    for (config, input, expected) in [
        (r#"{"reverse":"ip"}"#, ip("192.0.2.7"), "ip=192.0.2.7 ip=host.example.com"),
        (r#"{"reverse":["ip"],"action":"replace"}"#, ip("192.0.2.7"), "ip=host.example.com"),
        (r#"{"resolve":["[ip]"],"action":"replace"}"#, ip("host.example.com"), "ip=192.0.2.7"),
        (r#"{"reverse":"ip"}"#, ip("192.0.2.8"), "ip=192.0.2.8"),
        (r#"{"reverse":"ip","tag_on_failure":"none"}"#, ip("192.0.2.8"), "ip=192.0.2.8 tags=none"),
        (r#"{"reverse":"ip","tag_on_failure":"none"}"#, ip("192.0.2.9"), "ip=192.0.2.9 tags=_dnstimeout"),
        (r#"{"reverse":"ip","tag_on_timeout":[]}"#, ip("192.0.2.9"), "ip=192.0.2.9"),
        (r#"{"reverse":"ip","add_tag":"done"}"#, ip("192.0.2.7"), "ip=192.0.2.7 ip=host.example.com tags=done"),
        (r#"{"reverse":"ip","add_tag":"done"}"#, ip("192.0.2.8"), "ip=192.0.2.8"),
        (r#"{"reverse":"ip","add_tag":"done"}"#, Input::new(""), ""),
        (r#"{"reverse":"ip"}"#, ip("192.0.2.7").field("ip", "x"), "ip=192.0.2.7 ip=x"),
        (r#"{"reverse":"ip"}"#, Input::new("").field("ip", 5), "ip=Int(5)"),
        (r#"{"reverse":"ip","add_tag":"done"}"#, ip(" "), "ip= "),
        (
            r#"{"reverse":"ip","resolve":"name","action":"replace"}"#,
            ip("192.0.2.7").field("name", "slow.example.com"),
            "name=slow.example.com ip=host.example.com tags=_dnstimeout",
        ),
        (r#"{"reverse":"message"}"#, Input::new("192.0.2.7"), "message=192.0.2.7 message=host.example.com"),
    ] {
        assert_eq!(show(&run(config, input)), expected, "{config}");
    }
}

#[test]
fn options_go_to_the_resolver() {
    resolvers(
        r#","nameserver":["192.0.2.53","[2001:db8::1]:53"],"timeout":0.2,"max_retries":1,"hit_cache_ttl":30,"failed_cache_ttl":1"#,
    );
    let config = r#"{"reverse":"ip","nameserver":["192.0.2.53","[2001:db8::1]:53"],"timeout":0.2,"max_retries":1,"hit_cache_ttl":30,"failed_cache_ttl":1,"hit_cache_size":500,"failed_cache_size":50}"#;
    assert!(Harness::<Dns>::new(config).is_ok());
    resolvers(r#","nameserver":["192.0.2.53"]"#);
    assert!(Harness::<Dns>::new(r#"{"resolve":"n","nameserver":{"address":"192.0.2.53"}}"#).is_ok());
    for (config, says) in [
        ("{}", "reverse"),
        (r#"{"reverse":"ip","action":"add"}"#, "append"),
        (r#"{"reverse":"ip","hostsfile":["/etc/hosts"]}"#, "hosts file"),
        (r#"{"reverse":"ip","timeout":"5"}"#, "timeout"),
        (r#"{"reverse":"ip","nameserver":["\"}"]}"#, "no address"),
        (r#"{"reverse":"ip","nameserver":{"search":["x"]}}"#, "search"),
        (r#"{"reverse":"_peer"}"#, "_peer"),
        (r#"{"reverse":"ip","colour":1}"#, "colour"),
    ] {
        let error = Harness::<Dns>::new(config).unwrap_err();
        assert!(error.contains(says), "{config}: {error}");
    }
}

#[test]
fn one_answer_in_whatever_company() {
    resolvers("");
    let config = r#"{"reverse":"ip"}"#;
    let inputs: Vec<Input> =
        (0..1024).map(|number| Input::new("").field("ip", format!("192.0.2.{}", number % 11).as_str())).collect();
    let whole: Vec<_> = Harness::<Dns>::new(config).unwrap().run(&inputs).iter().map(show).collect();
    for size in [1, 7] {
        let mut filter = Harness::<Dns>::new(config).unwrap();
        let parts: Vec<_> = inputs.chunks(size).flat_map(|chunk| filter.run(chunk)).map(|outcome| show(&outcome)).collect();
        assert_eq!(parts, whole, "in batches of {size}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        run(r#"{"reverse":"ip","resolve":"ip"}"#, Input::new("").field("ip", Owned::Str(bytes)));
    }
}
