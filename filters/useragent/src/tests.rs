//! Well-known agents, the sample's agents, and hostile ones.

use std::collections::BTreeMap;

use proptest::prelude::*;
use sawbox_guest::testing::{Harness, Input, Outcome};

use super::UserAgent;
use super::agent;

fn run(config: &str, agent: &str) -> Outcome {
    Harness::<UserAgent>::new(config).unwrap().run(&[Input::new("").field("agent", agent)]).remove(0)
}

fn show(agent: &str) -> String {
    let outcome = run("{}", agent);
    let text = |name: &str| outcome.text(name).unwrap_or("-").to_owned();
    format!("{} {} | {} {} | {}", text("name"), text("version"), text("os"), text("os_version"), text("device"))
}

/// Agent, and: name version | os version | device.
const AGENTS: [(&str, &str); 85] = include!("agents.in");

#[test]
fn well_known_agents() {
    let wrong: Vec<String> = AGENTS
        .iter()
        .filter(|(agent, expected)| show(agent) != *expected)
        .map(|(agent, expected)| format!("{agent}\n  wanted {expected}\n  got    {}\n", show(agent)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.concat());
}

#[test]
fn fields_and_their_names() {
    let safari = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_1_2 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.1 Mobile/15E148 Safari/604.1";
    let show = |outcome: &Outcome| {
        let fields: Vec<String> = outcome
            .fields
            .iter()
            .filter(|(name, _)| name != "agent" && !name.ends_with("original"))
            .map(|(name, _)| format!("{name}={}", outcome.text(name).unwrap()))
            .collect();
        fields.join(" ")
    };
    let legacy = "name=Mobile Safari version=17.1 major=17 minor=1 os=iOS os_name=iOS os_version=17.1.2 os_major=17 os_minor=1 os_patch=2 os_full=iOS 17.1.2 device=iPhone";
    assert_eq!(show(&run("{}", safari)), legacy);
    let prefixed = legacy.split(' ').map(|part| if part.contains('=') { format!("ua.x_{part}") } else { part.to_owned() });
    assert_eq!(show(&run(r#"{"target":"ua","prefix":"x_"}"#, safari)), prefixed.collect::<Vec<_>>().join(" "));
    let ecs = "user_agent.name=Mobile Safari user_agent.version=17.1 user_agent.os.name=iOS user_agent.os.version=17.1.2 user_agent.os.full=iOS 17.1.2 user_agent.device.name=iPhone";
    let outcome = run(r#"{"source":"agent","ecs_compatibility":"v8"}"#, safari);
    assert_eq!(show(&outcome), ecs);
    assert_eq!(outcome.text("user_agent.original"), Some(safari));
    let outcome = run(r#"{"target":"agent","add_tag":"%{agent.name}","add_field":{"b":"%{[agent][os]}"}}"#, safari);
    assert_eq!((outcome.text("agent"), outcome.text("agent.name")), (None, Some("Mobile Safari")));
    assert_eq!((outcome.text("tags"), outcome.text("b")), (Some("Mobile Safari"), Some("iOS")));
}

#[test]
fn what_is_nothing_stays_nothing() {
    for agent in ["", "-"] {
        assert_eq!(run(r#"{"tag_on_failure":"odd"}"#, agent).fields.len(), 1);
    }
    assert_eq!(run(r#"{"tag_on_failure":"odd"}"#, "Mozilla/4.0 (compatible;)").text("tags"), Some("odd"));
    assert_eq!(run(r#"{"tag_on_failure":"odd"}"#, "curl/8").text("tags"), None);
    let mut filter = Harness::<UserAgent>::new("{}").unwrap();
    assert_eq!(filter.run(&[Input::new("x").field("agent", 5)])[0].fields.len(), 1, "a number is no agent");
    assert_eq!(filter.run(&[Input::new("x")])[0].fields.len(), 0);
}

#[test]
fn configurations_that_make_no_sense() {
    for (config, says) in [
        (r#"{"regexes":"x.yaml"}"#, "built in"),
        (r#"{"ecs_compatibility":"v2"}"#, "v8"),
        (r#"{"ecs_compatibility":"v1","prefix":"x"}"#, "prefix"),
        (r#"{"lru_cache_size":0}"#, "lru_cache_size"),
        (r#"{"target":"_origin"}"#, "_origin"),
        (r#"{"feild":"x"}"#, "feild"),
    ] {
        let error = Harness::<UserAgent>::new(config).unwrap_err();
        assert!(error.contains(says), "{config}: {error}");
    }
}

#[test]
fn one_answer_in_whatever_company() {
    let inputs: Vec<Input> = (0..1024).map(|index| Input::new("").field("agent", AGENTS[index * 7 % AGENTS.len()].0)).collect();
    let whole: Vec<_> =
        Harness::<UserAgent>::new("{}").unwrap().run(&inputs).into_iter().map(|outcome| outcome.fields).collect();
    for size in [1, 7] {
        // One place for all: each throws out the one before.
        let mut filter = Harness::<UserAgent>::new(r#"{"lru_cache_size":1}"#).unwrap();
        let parts: Vec<_> = inputs.chunks(size).flat_map(|chunk| filter.run(chunk)).map(|outcome| outcome.fields).collect();
        assert!(parts == whole, "in batches of {size}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        agent::parse(&bytes);
    }

    #[test]
    fn no_broken_agent_panics(which in 0..AGENTS.len(), cuts in proptest::collection::vec((any::<prop::sample::Index>(), "[();/ \\[\\]._0-9a-zA-Zé]"), 0..6), end in any::<prop::sample::Index>()) {
        let mut bytes = AGENTS[which].0.as_bytes().to_vec();
        for (at, with) in cuts {
            let at = at.index(bytes.len());
            bytes.splice(at..=at, with.bytes());
        }
        bytes.truncate(end.index(bytes.len() + 1));
        let parsed = agent::parse(&bytes);
        prop_assert!(!parsed.name.of(&bytes).is_empty() && !parsed.os.of(&bytes).is_empty() && !parsed.device.of(&bytes).is_empty());
        let mut filter = Harness::<UserAgent>::new("{}").unwrap();
        filter.run(&[Input::new("").field("agent", sawbox_guest::testing::Owned::Str(bytes))]);
    }
}

#[test]
fn hostile_agents_cost_no_more_than_others() {
    for piece in ["(", ")", ";", "a/1 ", "(a;", "bot", "Android ", "/", "http://", "Mozilla/5.0 (compatible; ", " Build/"] {
        let agent = piece.repeat(200_000 / piece.len());
        agent::parse(agent.as_bytes());
    }
}

/// Which part of the sample's lines gets a family. Not part of the project.
#[test]
#[allow(clippy::print_stderr, clippy::disallowed_methods)]
fn the_public_sample_is_mostly_known() {
    let beside = || "../../../shared/data".into();
    let path = std::path::PathBuf::from(std::env::var_os("SAWBOX_DATA").unwrap_or_else(beside)).join("apache_sample.log");
    let Ok(bytes) = std::fs::read(&path) else {
        assert!(std::env::var_os("SAWBOX_NO_SKIP").is_none(), "{} is missing, and skipping is not allowed", path.display());
        eprintln!("skipped: there is no {}; SAWBOX_DATA names the folder", path.display());
        return;
    };
    let (mut lines, mut named, mut with_os) = (0_u32, 0_u32, 0_u32);
    let (mut unknown, mut families) = (BTreeMap::<String, u32>::new(), BTreeMap::<String, u32>::new());
    for line in bytes.split(|byte| *byte == b'\n') {
        let Some(agent) = line.split(|byte| *byte == b'"').nth(5).filter(|agent| *agent != b"-") else { continue };
        let parsed = agent::parse(agent);
        lines += 1;
        with_os += u32::from(parsed.os != agent::OTHER);
        if parsed.name == agent::OTHER {
            *unknown.entry(String::from_utf8_lossy(agent).into_owned()).or_default() += 1;
        } else {
            named += 1;
            *families.entry(String::from_utf8_lossy(parsed.name.of(agent)).into_owned()).or_default() += 1;
        }
    }
    eprintln!(
        "{named} of {lines} lines with an agent have a family, {with_os} an operating system; {} families",
        families.len()
    );
    eprintln!("families: {families:?}\nwithout: {unknown:?}");
    assert!(f64::from(named) >= f64::from(lines) * 0.98 && f64::from(with_os) >= f64::from(lines) * 0.7);
}
