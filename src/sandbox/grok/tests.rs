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
    check("%{WORD:a:string:string} %{INT:n:int:float}", "x 7", "a=x;n=7");
    check("%{INT;level}; %{INT:rule}", "3; 5", "rule=5");
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
fn characters_stay_whole() {
    check("^(?<a>.{3})", "äöü;ß", "a=äöü");
    check("^(?<a>[^;]{2})", "äöü;ß", "a=äö");
    check(r"^(?<a>\S{2})", "äöü;ß", "a=äö");
    check(r"^(?<a>...)(?<b>\W)(?<c>\D)", "aß€;ü", "a=aß€;b=;;c=ü");
    check("(?<a>;.)$", "äöü;😀", "a=;😀");
    check(r"(?<a>[\S\s])(?<b>.?)x", "äöx", "a=ä;b=ö");
    check(r"^(?<a>[^\S;])?(?<b>.{1,2}?)(?<c>[^\x00-\x7F])", "äöü", "b=ä;c=ö");
    check("(?<a>[^\u{e9}]{2})", "éäö", "a=äö");
    check(r"(?<=;)(?<a>.)(?!x)", "ä;öü", "a=ö");
    check(r"(?<a>.)(?<=\p{L})1", "äö1", "a=ö");
    check(r"^(?:(?:\\.|[^\\;])*)(?<a>.)$", "äö\\ü;", "a=;");
    check(r"(?-m:x(?<a>.))", "x\nxé", "a=é");
    // What is no UTF-8 is taken by the byte.
    let grok = compile("^(?<a>.{3})$", &Custom::new()).unwrap();
    let mut found = Vec::new();
    assert_eq!(grok.search(b"\xff\xc3\xc3\xbc", &mut grok.scratch(), &mut found), Ok(true));
    let lowered = |expression| compile(expression, &Custom::new()).unwrap().engine() == "lowered";
    assert!(lowered("^(?<a>.{3}) (?<b>[^;]);(?<c>\\S{1,8})$"), "still as plain steps");
}

#[test]
fn properties_and_characters_by_number_stand_anywhere() {
    check(r"(?<a>\p{L}+)", "1Jürgen2", "a=Jürgen");
    check(r"(?<a>[\p{Lu}ü]+)", "1Jürgen2", "a=Jü");
    check(r"(?<a>\P{L}+)", "ü12ü", "a=12");
    check(r"(?<a>\p{^L}+)(?<b>[\P{^L}]+)", "ü12ü", "a=12;b=ü");
    check(r"(?<a>\u{1F600}\x{e9}\x41\u00e9)", "😀éAé", "a=😀éAé");
    check(r"(?<=é)(?<a>\p{Alpha}+)\k<a>", "éää", "a=ä");
}

#[test]
fn standard_names_take_what_logstashs_take() {
    for date in [
        "04/Mai/2015",
        "04/März/2015",
        "04/Mrz/2015",
        "04/Mär/2015",
        "04/Okt/2015",
        "04/Dez/2015",
        "04/Juni/2015",
        "04/Jul/2015",
    ] {
        let line = format!("[{date}:13:17:15 +0200]");
        check(r"\[%{HTTPDATE:at}\]", &line, &format!("at={}", &line[1..line.len() - 1]));
    }
    for month in ["Januar", "January", "Februar", "March", "Mar", "Juli", "July", "Oktober", "October", "Sept", "Dezember"] {
        check("^%{MONTH:m}$", month, &format!("m={month}"));
    }
    check("%{MONTH:m}", "Mail Mars Decz", "-");
    for level in ["INF", "info", "Information", "WAR", "warn", "CRI", "Critical", "ER", "err", "ERROR"] {
        check("^%{LOGLEVEL:level}$", level, &format!("level={level}"));
    }
    check("%{HOSTNAME:host}", "nf_id", "host=nf");
    check("%{HOSTNAME:host}", "a.example.org. b", "host=a.example.org.");
    let matches = |flavour, name: &str, text: &str| {
        let grok = compile_as(&format!("^%{{{name}}}$"), &Custom::new(), flavour).unwrap();
        grok.search(text.as_bytes(), &mut grok.scratch(), &mut Vec::new()).unwrap()
    };
    let long = "ab".repeat(32);
    for (address, is_one) in [
        (format!("{long}@root.cz"), true),
        (format!("{long}a@root.cz"), false),
        (format!("{}@00.cz", "a.bc".repeat(16)), true),
        (format!("{}@00.cz", "a.bc".repeat(64)), false),
    ] {
        assert_eq!(matches(Flavour::Ecs, "EMAILADDRESS", &address), is_one, "{address}");
    }
    let combined = compile_as("%{COMBINEDAPACHELOG}", &Custom::new(), Flavour::Ecs).unwrap();
    assert_eq!(combined.engine(), "lowered");
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
        (r"\p{L", "closing brace"),
        (r"(?<a>\p{Nope})", "property not found"),
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

#[test]
fn ecs_has_no_field_that_the_schema_does_not_know() {
    let mut unknown = Vec::new();
    for name in patterns::names(Flavour::Ecs) {
        let grok = compile_as(&format!("%{{{name}}}"), &Custom::new(), Flavour::Ecs).unwrap();
        let fields = grok.fields().iter().filter(|field| !field.name.contains('.'));
        unknown.extend(
            fields.filter(|field| !matches!(&*field.name, "timestamp" | "message")).map(|field| (name, field.name.clone())),
        );
    }
    assert_eq!(unknown, []);
}

#[test]
fn ecs_lines_of_many_kinds() {
    for (pattern, line, expected) in [
        (
            "NAGIOSLOGLINE",
            "[1427925689] SERVICE ALERT: db1;Disk /;CRITICAL;HARD;3;97 % full",
            "timestamp=1427925689;nagios.log.type=SERVICE ALERT;host.hostname=db1;service.name=Disk /;service.state=CRITICAL;nagios.log.state_type=HARD;nagios.log.attempt=3;message=97 % full",
        ),
        (
            "BACULA_LOG",
            r#"09-Jan 00:40 bak-dir JobId 74: Ready to append to end of Volume "day-3" size=12"#,
            "timestamp=09-Jan 00:40;host.hostname=bak-dir;bacula.job.id=74;bacula.volume.name=day-3;bacula.volume.size=12",
        ),
        (
            "CISCOFW106023",
            r#"Deny tcp src out:10.1.2.3/64 dst in:host.example/443 by access-group "out_in" [0x2c1c6a65, 0x0]"#,
            "cisco.asa.outcome=Deny;cisco.asa.network.transport=tcp;observer.ingress.interface.name=out;source.ip=10.1.2.3;source.port=64;observer.egress.interface.name=in;destination.address=host.example;destination.port=443;cisco.asa.rule_name=out_in;@metadata.cisco.asa.hashcode1=0x2c1c6a65;@metadata.cisco.asa.hashcode2=0x0",
        ),
        (
            "RT_FLOW2",
            "RT_FLOW_SESSION_CREATE: session created 10.0.0.1/5->10.0.0.2/53 junos-dns 10.9.0.1/6->10.0.0.2/53 snat None 17 p1 trust untrust 42",
            "juniper.srx.tag=RT_FLOW_SESSION_CREATE;source.ip=10.0.0.1;source.port=5;destination.ip=10.0.0.2;destination.port=53;juniper.srx.service_name=junos-dns;source.nat.ip=10.9.0.1;source.nat.port=6;destination.nat.ip=10.0.0.2;destination.nat.port=53;juniper.srx.src_nat_rule_name=snat;network.iana_number=17;rule.name=p1;observer.ingress.zone=trust;observer.egress.zone=untrust;juniper.srx.session_id=42",
        ),
        (
            "ZEEK_DNS",
            "1.5\tCa1\t10.0.0.1\t5\t10.0.0.2\t53\tudp\t7\t-\ta.example\t1\tC_INTERNET\t1\tA\t-\t-\tF\tF\tT\tF\t0\t-\t-\tF",
            "timestamp=1.5;zeek.session_id=Ca1;source.ip=10.0.0.1;source.port=5;destination.ip=10.0.0.2;destination.port=53;network.transport=udp;dns.id=7;dns.question.name=a.example;zeek.dns.qclass=1;zeek.dns.qclass_name=C_INTERNET;zeek.dns.qtype=1;dns.question.type=A;zeek.dns.AA=F;zeek.dns.TC=F;zeek.dns.RD=T;zeek.dns.RA=F;zeek.dns.Z=0;zeek.dns.rejected=F",
        ),
        (
            "IPTABLES",
            "IN=eth0 OUT= MAC=00:11:22:33:44:55:66:77:88:99:aa:bb:08:00 SRC=10.0.0.1 DST=10.0.0.2 LEN=40 TOS=0x00 PREC=0x00 TTL=50 ID=7 DF PROTO=TCP SPT=1 DPT=2 WINDOW=3 RES=0x00 ACK FIN ",
            "observer.ingress.interface.name=eth0;destination.mac=00:11:22:33:44:55;source.mac=66:77:88:99:aa:bb;source.ip=10.0.0.1;destination.ip=10.0.0.2;iptables.length=40;iptables.tos=00;iptables.precedence_bits=00;iptables.ttl=50;iptables.id=7;iptables.fragment_flags=DF;network.transport=TCP;source.port=1;destination.port=2;iptables.tcp.window=3;iptables.tcp_reserved_bits=00;iptables.tcp.flags=ACK FIN ",
        ),
        (
            "ELB_ACCESS_LOG",
            r#"2026-01-02T03:04:05.678901Z lb1 10.0.0.1:55 - -1 -1 -1 504 - 0 12 "GET https://a.example:443/p?q=1 HTTP/1.1" "curl/8" - -"#,
            "timestamp=2026-01-02T03:04:05.678901Z;aws.elb.name=lb1;source.ip=10.0.0.1;source.port=55;http.response.status_code=504;http.request.body.bytes=0;http.response.body.bytes=12;http.request.method=GET;url.original=https://a.example:443/p?q=1;url.scheme=https;url.domain=a.example;url.port=443;url.path=/p;url.query=q=1;http.version=1.1;user_agent.original=curl/8",
        ),
        (
            "CATALINALOG",
            "Jan 9, 2013 7:13:13 AM org.apache.Core init\nSEVERE: went wrong",
            "timestamp=Jan 9, 2013 7:13:13 AM;java.log.origin.class.name=org.apache.Core;log.origin.function=init;log.level=SEVERE;message=went wrong",
        ),
        ("SYSLOGLINE", "Jan 11 22:33:44 su: no", "timestamp=Jan 11 22:33:44;process.name=su;message=no"),
        ("URIPATHPARAM:[url][original]", "/a?b", "url.original=/a?b"),
    ] {
        let grok = compile_as(&format!("^%{{{pattern}}}$"), &Custom::new(), Flavour::Ecs).unwrap();
        let mut found = Vec::new();
        grok.search(line.as_bytes(), &mut grok.scratch(), &mut found).unwrap();
        let got: Vec<_> = found
            .iter()
            .map(|capture| format!("{}={}", grok.fields()[capture.field].name, &line[capture.start..capture.end]))
            .collect();
        assert_eq!(got.join(";"), expected, "{pattern}");
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
