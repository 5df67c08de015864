//! Lines as daemons, routers and libraries write them, broken ones, and any bytes.

use proptest::prelude::*;
use sawbox_guest::testing::{Harness, Input, Outcome, Owned};

use super::Syslog;

/// 2026-11-01T00:00:00Z
const ARRIVAL: i64 = 1_793_491_200_000_000_000;

fn run(config: &str, line: impl AsRef<[u8]>) -> Outcome {
    Harness::<Syslog>::new(config).unwrap().run(&[Input::new(line).arrived(ARRIVAL)]).remove(0)
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
    fields.join("|")
}

const LINES: [(&str, &str); 30] = [
    (
        "<34>Oct 11 22:14:15 mymachine su[230]: 'su root' failed for lonvick on /dev/pts/8",
        "facility=auth|severity=crit|timestamp=2026-10-11T22:14:15Z|host=mymachine|app=su|pid=230|message='su root' failed for lonvick on /dev/pts/8",
    ),
    (
        "<13>Feb  5 17:32:18 10.0.0.99 Use the BFG!",
        "facility=user|severity=notice|timestamp=2027-02-05T17:32:18Z|host=10.0.0.99|message=Use the BFG!",
    ),
    (
        "<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog 17 ID47 [exampleSDID@32473 iut=\"3\" eventSource=\"Ap\\\"p\\]\\x\"][b c=\"\"] \u{feff}An application",
        "facility=local4|severity=notice|timestamp=2003-10-11T22:14:15.003Z|host=mymachine.example.com|app=evntslog|pid=17|msgid=ID47|sd.exampleSDID@32473.iut=3|sd.exampleSDID@32473.eventSource=Ap\"p]\\x|sd.b.c=|message=An application",
    ),
    ("<34>1 - - - - - -", "facility=auth|severity=crit|message="),
    (
        "<34>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 - - %% It's time",
        "facility=auth|severity=crit|timestamp=2003-08-24T12:14:15.000003Z|host=192.0.2.1|app=myproc|pid=8710|message=%% It's time",
    ),
    (
        "<34>1 2003-08-24T05:14:15Z h a - - [x y=\"1\"]",
        "facility=auth|severity=crit|timestamp=2003-08-24T05:14:15Z|host=h|app=a|sd.x.y=1|message=",
    ),
    (
        "<34>1 2003-08-24T05:14:15Z h a - - [x]  two",
        "facility=auth|severity=crit|timestamp=2003-08-24T05:14:15Z|host=h|app=a|message= two",
    ),
    (
        "<34>1 2003-08-24T05:14:15Z h a - - [x y=1] t",
        "facility=auth|severity=crit|timestamp=2003-08-24T05:14:15Z|host=h|app=a|message=[x y=1] t",
    ),
    (
        "<34>1 2003-08-24T05:14:15Z h a - - [x y=\"1] t",
        "facility=auth|severity=crit|timestamp=2003-08-24T05:14:15Z|host=h|app=a|message=[x y=\"1] t",
    ),
    // rsyslog's file format and journald's; no priority
    (
        "2026-10-31T12:00:00.123456+02:00 web1 sshd[99]: Accepted publickey",
        "timestamp=2026-10-31T10:00:00.123456Z|host=web1|app=sshd|pid=99|message=Accepted publickey",
    ),
    (
        "Oct 31 12:00:00 web1 CRON[1]: (root) CMD (x)",
        "timestamp=2026-10-31T12:00:00Z|host=web1|app=CRON|pid=1|message=(root) CMD (x)",
    ),
    (
        "Oct 31 12:00:00 web1 kernel: [    0.00] Linux",
        "timestamp=2026-10-31T12:00:00Z|host=web1|app=kernel|message=[    0.00] Linux",
    ),
    (
        "Oct 31 12:00:00 web1 sshd(pam_unix)[19939]: failure",
        "timestamp=2026-10-31T12:00:00Z|host=web1|app=sshd(pam_unix)|pid=19939|message=failure",
    ),
    (
        "Oct 31 12:00:00 web1 last message repeated 2 times",
        "timestamp=2026-10-31T12:00:00Z|host=web1|message=last message repeated 2 times",
    ),
    (
        "Oct 31 12:00:00 web1 postfix/smtpd[12]: connect\r\n",
        "timestamp=2026-10-31T12:00:00Z|host=web1|app=postfix/smtpd|pid=12|message=connect",
    ),
    // a local daemon that leaves out the host
    (
        "<30>Oct 31 12:00:00 dhcpd: DHCPACK",
        "facility=daemon|severity=info|timestamp=2026-10-31T12:00:00Z|app=dhcpd|message=DHCPACK",
    ),
    ("<30>Oct 31 12:00:00 cron[7]: x", "facility=daemon|severity=info|timestamp=2026-10-31T12:00:00Z|app=cron|pid=7|message=x"),
    (
        "<30>2026-10-31T12:00:00Z h app: x",
        "facility=daemon|severity=info|timestamp=2026-10-31T12:00:00Z|host=h|app=app|message=x",
    ),
    // a priority and little else
    ("<13>just words", "facility=user|severity=notice|message=just words"),
    (
        "<189>date=2024-01-02 time=10:00:00 devname=fw",
        "facility=local7|severity=notice|message=date=2024-01-02 time=10:00:00 devname=fw",
    ),
    ("<13>app[3]: words", "facility=user|severity=notice|app=app|pid=3|message=words"),
    ("<0>", "facility=kern|severity=emerg|message="),
    ("57 <34>Oct 11 22:14:15 h su: x", "facility=auth|severity=crit|timestamp=2026-10-11T22:14:15Z|host=h|app=su|message=x"),
    // Cisco
    (
        "<189>237: *Mar  1 18:46:11.123 UTC: %SYS-5-CONFIG_I: Configured from console",
        "facility=local7|severity=notice|timestamp=2027-03-01T18:46:11.123Z|app=%SYS-5-CONFIG_I|sequence=237|message=Configured from console",
    ),
    (
        "<189>29: router1: Mar  1 18:46:11: %LINK-3-UPDOWN: Interface up",
        "facility=local7|severity=notice|timestamp=2027-03-01T18:46:11Z|host=router1|app=%LINK-3-UPDOWN|sequence=29|message=Interface up",
    ),
    (
        "<166>Jun 01 2018 10:00:00 fw1 : %ASA-6-302013: Built outbound TCP",
        "facility=local4|severity=info|timestamp=2018-06-01T10:00:00Z|host=fw1|app=%ASA-6-302013|message=Built outbound TCP",
    ),
    (
        "<166>Jun 01 2018 10:00:00: %ASA-6-302013: Built",
        "facility=local4|severity=info|timestamp=2018-06-01T10:00:00Z|app=%ASA-6-302013|message=Built",
    ),
    (
        "<189>Oct 31 10:00:00 gw 000123: *Mar  1 18:46:11: %SYS-5-X: m",
        "facility=local7|severity=notice|timestamp=2026-10-31T10:00:00Z|host=gw|app=%SYS-5-X|sequence=000123|message=m",
    ),
    ("<189>45: %SYS-5-X: m", "facility=local7|severity=notice|app=%SYS-5-X|sequence=45|message=m"),
    ("<13>1 not really new", "facility=user|severity=notice|message=1 not really new"),
];

#[test]
fn lines_of_all_kinds() {
    let wrong: Vec<String> = LINES
        .iter()
        .filter(|(line, expected)| show(&run("{}", line)) != *expected)
        .map(|(line, expected)| format!("{line}\n  wanted {expected}\n  got    {}\n", show(&run("{}", line))))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.concat());
}

#[test]
fn what_is_no_syslog_is_tagged() {
    for line in [
        "",
        "hello world",
        "<192>x",
        "<>x",
        "<1234>x",
        "<a>x",
        "<13",
        "12 hello",
        "{\"a\":1}",
        "Oct 32 10:00:00 h x",
        "\u{feff}",
    ] {
        let outcome = run("{}", line);
        assert_eq!(show(&outcome), "tags=_syslogparsefailure", "{line}");
    }
    assert_eq!(show(&run(r#"{"tag_on_failure":["a","b"]}"#, "x")), "tags=a|tags=b");
}

#[test]
fn the_row_has_the_lines_time_and_bytes_stay_as_they_are() {
    let outcome = run("{}", b"<34>Oct 11 22:14:15 h su: caf\xe9 \xff".as_slice());
    assert_eq!(outcome.time_ns, Some(1_791_756_855_000_000_000));
    assert_eq!(outcome.get("message"), Some(&Owned::Str(b"caf\xe9 \xff".to_vec())));
    assert_eq!(run(r#"{"timezone":"Europe/Berlin"}"#, "<34>Oct 11 22:14:15 h x").time_ns, Some(1_791_749_655_000_000_000));
}

#[test]
fn options() {
    let line = "<34>1 2003-10-11T22:14:15Z h su 230 ID47 [a@1 b=\"c\"] m";
    assert_eq!(
        show(&run(r#"{"ecs_compatibility":"v8"}"#, line)),
        "log.syslog.facility.name=auth|log.syslog.severity.name=crit|log.syslog.priority=Int(34)|log.syslog.facility.code=Int(4)|log.syslog.severity.code=Int(2)|host.hostname=h|process.name=su|process.pid=Int(230)|log.syslog.msgid=ID47|log.syslog.structured_data.a@1.b=c|message=m"
    );
    assert_eq!(
        show(&run(r#"{"target":"syslog","codes":true,"add_tag":"%{[syslog][app]}"}"#, line)),
        "syslog.facility=auth|syslog.severity=crit|syslog.priority=Int(34)|syslog.facility_code=Int(4)|syslog.severity_code=Int(2)|syslog.timestamp=2003-10-11T22:14:15Z|syslog.host=h|syslog.app=su|syslog.pid=230|syslog.msgid=ID47|syslog.sd.a@1.b=c|message=m|tags=su"
    );
    assert!(
        show(&run(r#"{"use_labels":false}"#, line))
            .starts_with("priority=Int(34)|facility_code=Int(4)|severity_code=Int(2)|timestamp")
    );
    let labels = r#"{"facility_labels":["a","b","c","d","security"],"severity_labels":["0","1"]}"#;
    assert!(show(&run(labels, line)).starts_with("facility=security|timestamp"));
    let outcome = Harness::<Syslog>::new(r#"{"source":"[log][line]"}"#)
        .unwrap()
        .run(&[Input::new("x").field("log.line", "<13>y")])
        .remove(0);
    assert_eq!(show(&outcome), "log.line=<13>y|facility=user|severity=notice|message=y");
    assert_eq!(outcome.built_bytes, 10, "facility and severity; the message is a part of the field");
    for (config, says) in [
        (r#"{"timezone":"Mars/Olympus"}"#, "Mars/Olympus"),
        (r#"{"ecs_compatibility":"v9"}"#, "v8"),
        (r#"{"field":"x"}"#, "field"),
        (r#"{"facility_labels":3}"#, "facility_labels"),
    ] {
        assert!(Harness::<Syslog>::new(config).unwrap_err().contains(says), "{config}");
    }
}

#[test]
fn parameters_are_limited() {
    let many: String = (0..500).map(|number| format!(" p{number}=\"{number}\"")).collect();
    let outcome = run("{}", format!("<34>1 2003-10-11T22:14:15Z h a - - [x{many}] m"));
    assert_eq!(outcome.fields.iter().filter(|(name, _)| name.starts_with("sd.")).count(), super::PARAMETERS);
    assert_eq!(outcome.text("message"), Some("m"));
}

#[test]
fn one_answer_in_whatever_company() {
    let inputs: Vec<Input> = (0..1024)
        .map(|index| Input::new(LINES[index * 7 % LINES.len()].0).arrived(ARRIVAL + index as i64 * 40_000_000_000_000))
        .collect();
    let config = r#"{"timezone":"America/New_York"}"#;
    let fields = |outcomes: Vec<Outcome>| outcomes.into_iter().map(|outcome| (outcome.fields, outcome.time_ns));
    let whole: Vec<_> = fields(Harness::<Syslog>::new(config).unwrap().run(&inputs)).collect();
    for size in [1, 7] {
        let mut filter = Harness::<Syslog>::new(config).unwrap();
        let parts: Vec<_> = inputs.chunks(size).flat_map(|chunk| fields(filter.run(chunk))).collect();
        assert!(parts == whole, "in batches of {size}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), arrival in any::<i64>()) {
        let mut filter = Harness::<Syslog>::new("{}").unwrap();
        filter.run(&[Input::new(bytes).arrived(arrival)]);
    }

    #[test]
    fn nearly_syslog_is_syslog_or_tagged(text in "<[0-9]{1,4}>1? ?(Oct|Feb|[0-9]{4}-[0-9]{2}-[0-9]{2}T)? ?[0-9]{1,10} [0-9:]{0,9}[ a-zé\\[\\]\"=@\\\\:%-]{0,40}") {
        let outcome = run("{}", &text);
        prop_assert!(outcome.text("message").is_some() || outcome.text("tags").is_some());
    }

    #[test]
    fn broken_lines_do_not_panic(which in 0..LINES.len(), cuts in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..5), end in any::<prop::sample::Index>()) {
        let mut bytes = LINES[which].0.as_bytes().to_vec();
        for (at, byte) in cuts {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(end.index(bytes.len() + 1));
        run("{}", bytes);
    }

    /// Whatever the parts are, a line that is written of them is read as them.
    #[test]
    fn new_lines_are_read_as_they_were_written(priority in 0_u8..192, host in "[a-z0-9.-]{2,12}", app in "[A-Za-z/_-]{2,8}", pid in "[0-9]{1,6}", id in "[a-z@0-9]{1,8}", name in "[a-z]{1,6}", value in "[ -~é]{0,12}", message in "[a-z][ -~]{0,20}") {
        let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace(']', "\\]");
        let line = format!("<{priority}>1 2026-10-31T12:00:00Z {host} {app} {pid} - [{id} {name}=\"{escaped}\"] {message}");
        let outcome = run(r#"{"codes":true}"#, line);
        prop_assert_eq!(outcome.int("priority"), Some(i64::from(priority)));
        for (field, expected) in [("host", &host), ("app", &app), ("pid", &pid), (&*format!("sd.{id}.{name}"), &value), ("message", &message)] {
            prop_assert_eq!(outcome.text(field), Some(expected.as_str()));
        }
    }
}
