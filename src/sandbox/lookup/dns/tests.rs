//! A server that answers, one that does not, and a crash between.

use std::sync::Arc;
use std::time::Duration;

use super::{BUDGET, Dns, Resolver, resolver};
use crate::base::clock::RealClock;
use crate::base::disk::sim::SimDisk;
use crate::sandbox::lookup::Got;

const SECOND: i64 = 1_000_000_000;

fn start(disk: &Arc<SimDisk>) -> Arc<Resolver> {
    let disk: Arc<SimDisk> = Arc::clone(disk);
    Resolver::start(disk, Arc::new(RealClock::new())).unwrap()
}

/// With room enough: what is told must not depend on how busy the machine is.
fn ask(dns: &Dns, key: &str, at: i64) -> String {
    ask_within(dns, key, at, Duration::from_secs(5))
}

fn ask_within(dns: &Dns, key: &str, at: i64, mut left: Duration) -> String {
    let mut room = Vec::new();
    match dns.get(key.as_bytes(), at, &mut left, &mut room) {
        Got::Value(value) => String::from_utf8(value.to_vec()).unwrap(),
        Got::Nothing => "nothing".into(),
        Got::Late => "no answer".into(),
    }
}

#[test]
fn a_record_is_told_what_it_was_told_before() {
    let disk = SimDisk::new(1);
    let server = resolver::tests::start();
    let argument = format!(r#"{{"ask":"reverse","nameserver":["{server}"],"timeout":4,"max_retries":0}}"#);
    let first = start(&disk).open(&argument).unwrap();
    assert_eq!(ask(&first, "1.2.3.4", 10 * SECOND), "host.example.com");
    assert_eq!(ask(&first, "::ffff:1.2.3.4", 69 * SECOND), "host.example.com");
    assert_eq!(ask(&first, "1.2.3.6", 10 * SECOND), "nothing");
    assert_eq!(ask_within(&first, "1.2.3.9", 10 * SECOND, Duration::from_millis(20)), "no answer");
    assert_eq!(ask(&first, "hello", 10 * SECOND), "nothing");
    first.settle();
    drop(first);
    let disk = disk.crash();
    // Nobody listens there any more; what was said is said again, and nothing else.
    let again = start(&disk);
    let argument = argument.replace(":4,", ":0.01,");
    let again = again.open(&argument).unwrap();
    assert_eq!(again.resolver.answers.len(), 3);
    assert_eq!(ask_within(&again, "1.2.3.4", 69 * SECOND, Duration::ZERO), "host.example.com");
    assert_eq!(ask_within(&again, "1.2.3.6", 14 * SECOND, Duration::ZERO), "nothing");
    assert_eq!(ask_within(&again, "1.2.3.9", 10 * SECOND, Duration::ZERO), "no answer");
    assert_eq!(ask_within(&again, "1.2.3.4", 70 * SECOND, Duration::ZERO), "no answer", "its time is over, and nobody waits");
}

#[test]
fn an_answer_that_comes_late_is_there_for_the_next() {
    let disk = SimDisk::new(1);
    let server = resolver::tests::start();
    let dns = start(&disk).open(&format!(r#"{{"ask":"resolve","nameserver":["{server}"]}}"#)).unwrap();
    assert_eq!(ask_within(&dns, "Host.Example.com.", 0, Duration::ZERO), "no answer");
    // The thread has it before long; a record of the same second is told what the first one was.
    while dns.resolver.board.state.lock().fresh.is_empty() {
        std::thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(ask_within(&dns, "host.example.com", SECOND - 1, Duration::ZERO), "no answer");
    assert_eq!(ask_within(&dns, "host.example.com", SECOND, Duration::ZERO), "1.2.3.4");
    assert_eq!(ask(&dns, "a b", 0), "nothing");
    assert_eq!(ask(&dns, "", 0), "nothing");
}

#[test]
fn a_budget_is_for_all_questions_of_a_call() {
    let disk = SimDisk::new(1);
    let server = resolver::tests::start();
    let dns = start(&disk).open(&format!(r#"{{"ask":"resolve","nameserver":["{server}"]}}"#)).unwrap();
    let mut left = BUDGET;
    for number in 0..50 {
        let mut room = Vec::new();
        assert!(matches!(dns.get(format!("slow.{number}").as_bytes(), 0, &mut left, &mut room), Got::Late));
    }
    assert!(left.is_zero());
}

#[test]
fn options_that_make_no_sense() {
    let resolver = start(&SimDisk::new(1));
    for (argument, says) in [
        ("", "ask"),
        ("{", "options"),
        (r#"{"ask":"x"}"#, "resolve"),
        (r#"{"ask":"reverse","nameserver":["example.com"]}"#, "example.com"),
        (r#"{"ask":"reverse","timeout":0}"#, "timeout"),
        (r#"{"ask":"reverse","hit_cache_ttl":-1}"#, "hit_cache_ttl"),
        (r#"{"ask":"reverse","colour":1}"#, "colour"),
    ] {
        let Err(error) = resolver.open(argument) else { panic!("{argument} was taken") };
        assert!(error.contains(says), "{argument}: {error}");
    }
}
