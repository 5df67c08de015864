//! The stock filters useragent, syslog, syslog_pri, translate, geoip and dns through the whole sandbox: their lookups, the host's
//! expressions, and that they say the same in batches of any size.
//!
//! The MaxMind file is made here, by [`Mmdb`]: nothing of MaxMind's is in it.

use serde_json::{Value as Json, json};

use super::{Bench, bench_with, plain, run};
use crate::sandbox::Config;
use crate::sandbox::lab::fixtures;

/// A chain, a payload, and the row.
const CASES: &[(&str, &str, &str)] = &[
    (
        r#"[{"filter": "access-log"}, {"filter": "useragent", "config": {"target": "ua", "remove_field": ["agent", "message", "referrer", "httpversion", "bytes", "verb", "request"]}}]"#,
        r#"h - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 5 "r" "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_9_1) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/33.0.1750.91 Safari/537.36""#,
        r#"store @2015-05-17T10:05:03Z clientip="h" response=200 ua.name="Chrome" ua.version="33.0.1750.91" ua.major="33" ua.minor="0" ua.patch="1750" ua.build="91" ua.os="Mac OS X" ua.os_name="Mac OS X" ua.os_version="10.9.1" ua.os_major="10" ua.os_minor="9" ua.os_patch="1" ua.os_full="Mac OS X 10.9.1" ua.device="Mac""#,
    ),
    (
        r#"[{"filter": "syslog", "config": {"timezone": "Europe/Berlin", "remove_field": ["timestamp"]}}]"#,
        "<34>Nov 11 22:14:15 mymachine su[230]: 'su root' failed",
        r#"store @2023-11-11T21:14:15Z message="'su root' failed" facility="auth" severity="crit" host="mymachine" app="su" pid="230""#,
    ),
    (
        r#"[{"filter": "grok", "config": {"match": {"message": "^<%{POSINT:syslog_pri}>%{GREEDYDATA:rest}"}}}, {"filter": "syslog_pri", "config": {"remove_field": ["message", "syslog_pri"]}}]"#,
        "<165>link down",
        r#"store rest="link down" syslog_facility_code=20 syslog_severity_code=5 syslog_facility="local4" syslog_severity="notice""#,
    ),
    (r#"[{"filter": "syslog"}]"#, "no such thing", r#"store message="no such thing" tags="_syslogparsefailure""#),
    (
        r#"[{"filter": "syslog"}, {"filter": "translate", "config": {"source": "severity", "target": "severity", "dictionary": {"crit": 2}, "remove_field": ["timestamp", "facility"]}}]"#,
        "<34>1 2023-10-11T22:14:15.003Z - su - ID47 [a b=\"c\\]\"] m",
        r#"store @2023-10-11T22:14:15.003Z message="m" severity=2 app="su" msgid="ID47" sd.a.b="c]""#,
    ),
    (
        r#"[{"filter": "translate", "config": {"source": "message", "target": "kind", "regex": true, "dictionary": ["^5\\d\\d ", "server", "(?i)error", "error"]}}]"#,
        "an ERROR",
        r#"store message="an ERROR" kind="error""#,
    ),
    (
        r#"[{"filter": "translate", "config": {"source": "message", "dictionary_path": "codes.csv"}}]"#,
        "404",
        r#"store message="404" translation="not found""#,
    ),
    (
        r#"[{"filter": "translate", "config": {"source": "message", "target": "message", "exact": false, "dictionary_path": "codes.csv"}}]"#,
        "a 200, a 404",
        r#"store message="a OK, a not found""#,
    ),
    (
        r#"[{"filter": "translate", "config": {"source": "message", "regex": true, "dictionary_path": "codes.csv", "fallback": "-"}}]"#,
        "a 200, a 404",
        r#"store message="a 200, a 404" translation="OK""#,
    ),
    (
        r#"[{"filter": "geoip", "config": {"source": "message", "database": "city.mmdb", "fields": ["city_name", "location", "region_iso_code", "ip"], "language": "de"}}]"#,
        "81.2.69.142",
        r#"store message="81.2.69.142" geoip.ip="81.2.69.142" geoip.city_name="Musterstadt" geoip.region_iso_code="DE-BE" geoip.location.lat=51.5 geoip.location.lon=-0.25"#,
    ),
    (
        r#"[{"filter": "geoip", "config": {"source": "message", "database": "city.mmdb", "ecs_compatibility": "v8", "target": "client"}}]"#,
        "::ffff:82.9.9.9",
        r#"store message="::ffff:82.9.9.9" client.ip="::ffff:82.9.9.9" client.as.number=64500 client.as.organization.name="Sample Net""#,
    ),
    (
        r#"[{"filter": "geoip", "config": {"source": "message", "database": "city.mmdb", "tag_on_private": "inside"}}]"#,
        "10.0.0.1",
        r#"store message="10.0.0.1" tags="inside""#,
    ),
    (
        r#"[{"filter": "geoip", "config": {"source": "message", "database": "city.mmdb"}}]"#,
        "9.9.9.9",
        r#"store message="9.9.9.9" tags="_geoip_lookup_failure""#,
    ),
    (
        r#"[{"filter": "dns", "config": {"resolve": "message", "tag_on_failure": "no_address"}}]"#,
        "no name at all",
        r#"store message="no name at all" tags="no_address""#,
    ),
];

/// A sandbox with the operator's files.
fn bench() -> Bench {
    let there = bench_with(Config::default());
    let folder = there.directory.path().join("lookups");
    std::fs::create_dir_all(&folder).unwrap();
    write(&there, "codes.csv", b"200,OK\n404,not found\n");
    let mut file = Mmdb::default();
    file.put(
        [81, 2],
        &json!({
            "city": {"names": {"de": "Musterstadt", "en": "Sample Town"}},
            "country": {"iso_code": "DE"},
            "location": {"latitude": 51.5, "longitude": -0.25},
            "subdivisions": [{"iso_code": "X"}, {"iso_code": "BE"}],
        }),
    );
    file.put([82, 9], &json!({"autonomous_system_number": 64500, "autonomous_system_organization": "Sample Net"}));
    write(&there, "city.mmdb", &file.bytes());
    there
}

#[allow(clippy::disallowed_methods)] // the operator's hand
fn write(there: &Bench, name: &str, bytes: &[u8]) {
    std::fs::write(there.directory.path().join("lookups").join(name), bytes).unwrap();
}

#[test]
fn stock_filters_say_what_their_pages_say() {
    let there = bench();
    let wrong: Vec<String> = CASES
        .iter()
        .filter_map(|(chain, payload, expected)| {
            let got = run(&there.chain(chain), &plain(&[payload.as_bytes()])).remove(0);
            (got != *expected).then(|| format!("{chain}\n{payload}\n  wanted {expected}\n  got    {got}\n"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.concat());
}

#[test]
fn batches_of_any_size_say_the_same() {
    let there = bench();
    let payloads: Vec<&[u8]> = (0..1024).map(|index| CASES[index * 7 % CASES.len()].1.as_bytes()).collect();
    for (chain, ..) in CASES {
        let chain = there.chain(chain);
        // Arrival times belong to records, wherever batches are cut.
        let all = plain(&payloads);
        let whole = run(&chain, &all);
        for size in [1, 7] {
            let mut parts = Vec::new();
            for from in (0..payloads.len()).step_by(size).take(60) {
                let mut part = plain(&payloads[from..payloads.len().min(from + size)]);
                part.records = all.records[from..from + part.records.len()].to_vec();
                parts.extend(run(&chain, &part));
            }
            assert_eq!(parts, whole[..parts.len()], "in batches of {size}");
        }
    }
}

/// A made-up server; see the lookup's own tests for what it does not answer.
#[test]
fn names_are_looked_up_and_kept_for_a_replay() {
    let there = bench();
    let server = crate::sandbox::lookup::dns::tests_server();
    let chain = |server: &str| {
        format!(
            r#"[{{"filter": "dns", "config": {{"reverse": "message", "action": "replace", "nameserver": "{server}", "tag_on_failure": "none", "timeout": 0.2, "max_retries": 0}}}}]"#
        )
    };
    let live = there.chain(&chain(&server.to_string()));
    let records = plain(&[b"1.2.3.4", b"1.2.3.6", b"1.2.3.4", b"1.2.3.9", b"x"]);
    let first = run(&live, &records);
    // How quick a machine is decides what live says; what it said stands.
    assert!(
        first[0] == r#"store message="host.example.com""# || first[0] == r#"store message="1.2.3.4" tags="_dnstimeout""#,
        "{first:?}"
    );
    assert_eq!(first[2], first[0]);
    assert_eq!(first[3], r#"store message="1.2.3.9" tags="_dnstimeout""#);
    assert_eq!(first[4], r#"store message="x" tags="none""#);
    // Time goes by, and the server could say anything now.
    std::thread::sleep(std::time::Duration::from_millis(100));
    assert_eq!(run(&live, &records), first);
    drop(live);
    let directory = there.directory;
    drop(there.sandbox);
    let sandbox = super::open(directory.path(), Config::default());
    let again = Bench { sandbox, directory };
    assert_eq!(run(&again.chain(&chain(&server.to_string())), &records), first, "after a restart");
}

#[test]
fn fixtures_are_as_expected() {
    for (name, fixtures_text) in [
        ("useragent", include_str!("../../../filters/useragent/fixtures.toml")),
        ("syslog", include_str!("../../../filters/syslog/fixtures.toml")),
        ("syslog_pri", include_str!("../../../filters/syslog_pri/fixtures.toml")),
        ("translate", include_str!("../../../filters/translate/fixtures.toml")),
        ("geoip", include_str!("../../../filters/geoip/fixtures.toml")),
        ("dns", include_str!("../../../filters/dns/fixtures.toml")),
    ] {
        let there = bench_with(Config::default());
        let wasm = filter_dist::module(name).unwrap();
        let report = fixtures::run(&there.sandbox, &wasm, fixtures_text).unwrap();
        assert!(report.passed(), "{name}\n{report}");
    }
}

/// A small writer of MaxMind's format: networks of 16 bits, records of 24 bits.
#[derive(Default)]
struct Mmdb {
    /// Left and right of each node: 0 is nothing, below a million a node, else data.
    nodes: Vec<[usize; 2]>,
    data: Vec<u8>,
}

const DATA: usize = 1_000_000;

impl Mmdb {
    fn put(&mut self, network: [u8; 2], value: &Json) {
        let at = DATA + self.data.len();
        encode(value, &mut self.data);
        if self.nodes.is_empty() {
            self.nodes.push([0, 0]);
        }
        let bits: Vec<usize> =
            network.iter().flat_map(|byte| (0..8).rev().map(move |bit| usize::from(byte >> bit & 1))).collect();
        let mut node = 0;
        for (depth, side) in bits.iter().enumerate() {
            if depth + 1 == bits.len() {
                self.nodes[node][*side] = at;
            } else {
                if self.nodes[node][*side] == 0 {
                    self.nodes.push([0, 0]);
                    self.nodes[node][*side] = self.nodes.len() - 1;
                }
                node = self.nodes[node][*side];
            }
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let count = self.nodes.len();
        let mut file = Vec::new();
        for record in self.nodes.iter().flatten() {
            let value = match *record {
                0 => count,
                data if data >= DATA => data - DATA + count + 16,
                node => node,
            };
            file.extend_from_slice(&u32::try_from(value).unwrap().to_be_bytes()[1..]);
        }
        file.extend_from_slice(&[0; 16]);
        file.extend_from_slice(&self.data);
        file.extend_from_slice(b"\xab\xcd\xefMaxMind.com");
        // What describes it: name, control byte (type and length), value.
        file.push(0xe9);
        let numbers: [(&str, &[u8], u64); 6] = [
            ("node_count", &[0xc4], count as u64),
            ("record_size", &[0xa2], 24),
            ("ip_version", &[0xa2], 4),
            ("binary_format_major_version", &[0xa2], 2),
            ("binary_format_minor_version", &[0xa2], 0),
            ("build_epoch", &[0x08, 0x02], 1),
        ];
        for (name, control, value) in numbers {
            encode(&json!(name), &mut file);
            file.extend_from_slice(control);
            let len = usize::from(control[0] & 0x1f);
            file.extend_from_slice(&value.to_be_bytes()[8 - len..]);
        }
        for (name, value) in [("database_type", json!("Test")), ("languages", json!([])), ("description", json!({}))] {
            encode(&json!(name), &mut file);
            encode(&value, &mut file);
        }
        file
    }
}

/// Control byte (type, length), then the value; all here are shorter than 285 bytes.
fn encode(value: &Json, out: &mut Vec<u8>) {
    let mut head = |kind: u8, len: usize| {
        let small = u8::try_from(len.min(29)).unwrap();
        if kind < 8 {
            out.push(kind << 5 | small);
        } else {
            out.extend_from_slice(&[small, kind - 7]);
        }
        if len >= 29 {
            out.push(u8::try_from(len - 29).unwrap());
        }
    };
    match value {
        Json::String(text) => {
            head(2, text.len());
            out.extend_from_slice(text.as_bytes());
        }
        Json::Number(number) if number.is_u64() => {
            head(6, 4);
            out.extend_from_slice(&u32::try_from(number.as_u64().unwrap()).unwrap().to_be_bytes());
        }
        Json::Number(number) => {
            head(3, 8);
            out.extend_from_slice(&number.as_f64().unwrap().to_be_bytes());
        }
        Json::Object(members) => {
            head(7, members.len());
            for (name, value) in members {
                encode(&Json::String(name.clone()), out);
                encode(value, out);
            }
        }
        Json::Array(elements) => {
            head(11, elements.len());
            elements.iter().for_each(|value| encode(value, out));
        }
        other => panic!("{other} is not needed"),
    }
}
