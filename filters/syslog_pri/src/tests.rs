//! Priorities as shippers and patterns give them.

use sawbox_guest::testing::{Harness, Input, Outcome, Owned};

use super::SyslogPri;

fn run(config: &str, input: Input) -> Outcome {
    Harness::<SyslogPri>::new(config).unwrap().run(&[input]).remove(0)
}

/// Codes, names and tags, `-` where there is none.
fn show(outcome: &Outcome, names: [&str; 4]) -> String {
    let number = |name| outcome.int(name).map_or_else(|| "-".to_owned(), |number| number.to_string());
    let text = |name| outcome.text(name).unwrap_or("-");
    let [facility_code, severity_code, facility, severity] = names;
    let codes = format!("{} {}", number(facility_code), number(severity_code));
    format!("{codes} {} {} {}", text(facility), text(severity), text("tags"))
}

const PLAIN: [&str; 4] = ["syslog_facility_code", "syslog_severity_code", "syslog_facility", "syslog_severity"];

fn of(config: &str, priority: impl Into<Owned>) -> String {
    show(&run(config, Input::new("").field("syslog_pri", priority)), PLAIN)
}

#[test]
fn priorities() {
    assert_eq!(of("{}", 34), "4 2 security/authorization critical -");
    assert_eq!(of("{}", "165"), "20 5 local4 notice -");
    assert_eq!(of("{}", 191.0), "23 7 local7 debug -");
    assert_eq!(of("{}", 0), "0 0 kernel emergency -");
    assert_eq!(of("{}", " 137>"), "17 1 local1 alert -");
    let both = Input::new("").field("syslog_pri", "14").field("syslog_pri", "15");
    assert_eq!(show(&run("{}", both), PLAIN), "1 6 user-level informational -");
}

#[test]
fn a_record_without_one_is_a_users_notice() {
    assert_eq!(show(&run("{}", Input::new("<34>x")), PLAIN), "1 5 user-level notice -");
    assert_eq!(show(&run(r#"{"syslog_pri_field_name":"other"}"#, Input::new("")), PLAIN), "1 5 user-level notice -");
}

#[test]
fn what_is_no_priority_is_tagged() {
    assert_eq!(of("{}", 193), "24 1 - - _syslogpriparsefailure");
    assert_eq!(of("{}", i64::MAX), "1152921504606846975 7 - - _syslogpriparsefailure");
    assert_eq!(of(r#"{"use_labels":false}"#, 193), "24 1 - - -");
    for wrong in [Owned::from("none"), Owned::from(-1), Owned::from(f64::MAX), Owned::Bool(true)] {
        assert_eq!(of(r#"{"tag_on_failure":"no", "add_tag":"done"}"#, wrong), "- - - - no");
    }
}

#[test]
fn names_of_ones_own() {
    let config = r#"{"facility_labels":["kern","user"],"severity_labels":["emerg"]}"#;
    assert_eq!(of(config, 8), "1 0 user emerg -");
    assert_eq!(of(config, 9), "1 1 user - -");
    assert_eq!(of(config, 16), "2 0 - - _syslogpriparsefailure");
}

#[test]
fn with_ecs_and_on_success() {
    let config =
        r#"{"ecs_compatibility":"v8","remove_field":"[log][syslog][priority]","add_tag":["%{[log][syslog][facility][name]}"]}"#;
    let outcome = run(config, Input::new("").field("log.syslog.priority", 13));
    let names =
        ["log.syslog.facility.code", "log.syslog.severity.code", "log.syslog.facility.name", "log.syslog.severity.name"];
    assert_eq!(show(&outcome, names), "1 5 user-level notice user-level");
    assert_eq!(outcome.get("log.syslog.priority"), None);
}

#[test]
fn wrong_options_are_refused() {
    for (config, part) in [
        (r#"{"labels":true}"#, "labels"),
        (r#"{"use_labels":"no"}"#, "use_labels"),
        (r#"{"ecs_compatibility":"v2"}"#, "ecs_compatibility"),
    ] {
        assert!(Harness::<SyslogPri>::new(config).unwrap_err().contains(part));
    }
}
