//! Filters dropped into the folder, wholly and half.
#![allow(clippy::disallowed_methods, reason = "the folder is the user's, and these tests are the user")]

use std::path::Path;
use std::time::Duration;

use sawbox::relay::{Change, Config, TopicConfig};

use crate::lineage_model::visible;
use crate::relay_box::{Houses, eventually, spec};
use crate::relay_guest;
use crate::support::TestBox;

fn start(folder: &Path) -> Houses {
    Houses::start(Config { filters_dir: Some(folder.to_owned()), ..Config::default() })
}

fn chain(houses: &Houses, topic: &str) -> Option<(u32, Vec<(String, Option<String>)>)> {
    let chain = houses.relay.chains().into_iter().find(|chain| &*chain.topic == topic)?;
    Some((chain.generation, chain.chain.into_iter().map(|entry| (entry.filter, entry.when)).collect()))
}

fn mark(houses: &Houses, topic: &str, offset: u64) -> Option<(u32, String)> {
    let rows = visible(&houses.store).expect("each once");
    rows.get(&(topic.to_owned(), 0, offset)).map(|(generation, mark, _)| (*generation, mark.clone()))
}

#[test]
fn a_dropped_filter_opens_a_generation_and_half_a_file_does_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let houses = start(folder.path());
    houses.append("web", 0, &["x one"]);
    houses.handled("web");

    // A copy that stops half way: what runs stays, and the reason stands beside the file.
    let topic = folder.path().join("web");
    std::fs::create_dir_all(&topic).expect("a folder");
    let whole = relay_guest::wasm('q');
    std::fs::write(topic.join("mark-a.wasm"), &whole[..whole.len() / 2]).expect("half");
    eventually("the reason is written", || topic.join("mark-a.error.txt").exists());
    assert_eq!(chain(&houses, "web"), Some((1, vec![("mark-a".into(), None)])));
    houses.append("web", 0, &["x two"]);
    houses.handled("web");
    assert_eq!(mark(&houses, "web", 1), Some((1, "a".into())));

    // The rest of it.
    std::fs::write(topic.join("mark-a.wasm"), &whole).expect("whole");
    eventually("the filter is replaced", || chain(&houses, "web").is_some_and(|(generation, _)| generation == 2));
    eventually("the reason goes", || !topic.join("mark-a.error.txt").exists());
    houses.append("web", 0, &["x three"]);
    houses.handled("web");
    assert_eq!(mark(&houses, "web", 2), Some((2, "q".into())));

    // Another name comes last; what stands beside it is its condition.
    std::fs::write(topic.join("late.toml"), "when = 'message:never'\n").expect("settings");
    std::fs::write(topic.join("late.wasm"), relay_guest::wasm('r')).expect("whole");
    let expected = vec![("mark-a".to_owned(), None), ("late".to_owned(), Some("message:never".to_owned()))];
    eventually("it is appended", || chain(&houses, "web") == Some((3, expected.clone())));

    // For the catalog: every chain that names it.
    std::fs::write(folder.path().join("late.wasm"), relay_guest::wasm('s')).expect("whole");
    eventually("its chains are renewed", || chain(&houses, "web").is_some_and(|(generation, _)| generation == 4));

    // Nothing more happens by itself.
    std::thread::sleep(Duration::from_millis(700));
    assert_eq!(chain(&houses, "web").map(|(generation, _)| generation), Some(4));
    assert!(houses.lane("web", 0).is_some_and(|lane| lane.failed == 0));
    houses.stop();
}

#[test]
fn a_filter_for_a_topic_that_is_not_there_makes_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let topic = folder.path().join("fresh");
    std::fs::create_dir_all(&topic).expect("a folder");
    std::fs::write(topic.join("first.wasm"), relay_guest::wasm('f')).expect("whole");
    std::fs::create_dir_all(folder.path().join("_dead.web")).expect("a folder");
    std::fs::write(folder.path().join("_dead.web").join("no.wasm"), relay_guest::wasm('n')).expect("whole");
    // Dropped while the box was down.
    let houses = start(folder.path());
    // Behind what a topic without a chain of its own has.
    eventually("the chain is made", || {
        chain(&houses, "fresh") == Some((1, vec![("json".into(), None), ("first".into(), None)]))
    });
    houses.append("fresh", 0, &["x one"]);
    houses.handled("fresh");
    assert_eq!(mark(&houses, "fresh", 0), Some((1, "f".into())));
    eventually("the box's own topics are refused", || folder.path().join("_dead.web").join("no.error.txt").exists());
    houses.stop();
}

#[test]
fn a_chain_of_the_configuration_may_name_what_only_lies_in_the_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("own.wasm"), relay_guest::wasm('o')).expect("whole");
    std::fs::write(folder.path().join("half.wasm"), &relay_guest::wasm('h')[..100]).expect("half");
    let mut config = Config { filters_dir: Some(folder.path().to_owned()), ..Config::default() };
    config.topics.insert("fresh".into(), TopicConfig { chain: Some(spec("own")), ..TopicConfig::default() });
    let houses = Houses::start(config);
    houses.append("fresh", 0, &["x one"]);
    houses.handled("fresh");
    assert_eq!(mark(&houses, "fresh", 0).map(|(_, mark)| mark), Some("o".into()));
    eventually("what is no filter is said", || folder.path().join("half.error.txt").exists());
    houses.stop();
}

/// Marks of records that are appended one after the other, each when the topic has this generation.
fn marks(houses: &Houses, file: &Path, dropped: &[char]) -> Vec<String> {
    let generation = || chain(houses, "web").map_or(0, |(generation, _)| generation);
    let each = dropped.iter().map(|letter| {
        let before = generation();
        std::fs::write(file, relay_guest::wasm(*letter)).expect("whole");
        eventually("it is taken", || generation() > before);
        let next = houses.append("web", 0, &["x record"]);
        houses.handled("web");
        mark(houses, "web", next - 1).expect("a row").1
    });
    each.collect()
}

#[test]
fn a_module_that_was_there_before_is_taken_when_it_is_dropped_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let houses = start(folder.path());
    houses.append("web", 0, &["x one"]);
    houses.handled("web");
    // The first look is over.
    std::fs::write(folder.path().join("unused.wasm"), relay_guest::wasm('u')).expect("whole");
    eventually("looked at", || houses.sandbox.filters().iter().any(|filter| filter.name == "unused"));
    for file in [folder.path().join("mark-a.wasm"), folder.path().join("web").join("mark-a.wasm")] {
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
        assert_eq!(marks(&houses, &file, &['q', 'r', 'q', 'a']), ["q", "r", "q", "a"]);
    }
    // The same bytes again are no other chain.
    let generation = chain(&houses, "web").expect("there").0;
    std::fs::write(folder.path().join("web").join("mark-a.wasm"), relay_guest::wasm('a')).expect("whole");
    std::thread::sleep(Duration::from_millis(900));
    assert_eq!(chain(&houses, "web").expect("there").0, generation);
    houses.stop();
}

#[test]
fn a_filter_comes_last_in_the_chain_that_there_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let houses = start(folder.path());
    let names =
        |topic: &str| chain(&houses, topic).map(|(_, chain)| chain.into_iter().map(|(name, _)| name).collect::<Vec<_>>());
    let drop_into = |topic: &str| {
        std::fs::create_dir_all(folder.path().join(topic)).expect("a folder");
        std::fs::write(folder.path().join(topic).join("late.wasm"), relay_guest::wasm('l')).expect("whole");
    };
    // Of a topic that nobody configured.
    houses.append("plain", 0, &["{\"level\":\"warn\",\"message\":\"x one\"}"]);
    houses.handled("plain");
    drop_into("plain");
    eventually("behind the default", || names("plain") == Some(vec!["json".to_owned(), "late".to_owned()]));

    // Of one that is configured, was deleted and made again, and has had no record yet.
    let again = || {
        let web = houses.queue.topic("web").expect("configured");
        houses.queue.delete(&web).expect("deleted");
        houses.queue.ensure_topic("web").expect("made again");
    };
    again();
    drop_into("web");
    eventually("behind the configured", || names("web") == Some(vec!["mark-a".to_owned(), "late".to_owned()]));
    again();
    let codec = serde_json::from_str(r#"{"codec":"json"}"#).expect("a codec");
    let change = Change { chain: None, codec: Some(Some(codec)) };
    houses.relay.change("web", change).expect("a good codec");
    assert_eq!(names("web"), Some(vec!["mark-a".to_owned()]), "the codec alone is another");

    // Which of several is meant the folder cannot say.
    let twice = serde_json::json!([{ "filter": "mark-a" }, { "filter": "mark-a", "when": "message:two" }]);
    houses.relay.promote("web", serde_json::from_value(twice).expect("a chain")).expect("a good chain");
    std::fs::write(folder.path().join("web").join("mark-a.toml"), "when = 'message:one'\n").expect("settings");
    std::fs::write(folder.path().join("web").join("mark-a.wasm"), relay_guest::wasm('z')).expect("whole");
    eventually("refused", || folder.path().join("web").join("mark-a.error.txt").exists());
    houses.stop();
}

#[test]
fn who_rolled_back_meant_it_though_the_file_still_lies_there() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("data").join("filters").join("slow.wasm");
    std::fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
    std::fs::write(&file, relay_guest::wasm('q')).expect("whole");
    let chain = "[[topics.web.chain]]\nfilter = \"slow\"\n";
    let marks = |sawbox: &TestBox| {
        sawbox.ingest("web", "x record\n");
        let rows = sawbox.query("_topic:=web | sort _offset");
        rows.iter().map(|row| row["mark"].as_str().expect("a mark").to_owned()).collect::<String>()
    };
    {
        let sawbox = TestBox::start(dir.path(), chain);
        assert_eq!(marks(&sawbox), "q");
        std::fs::write(&file, relay_guest::wasm('r')).expect("whole");
        eventually("it is taken", || marks(&sawbox).ends_with('r'));
        let (status, text) = sawbox.send("POST", "/api/v1/topics/web/rollback", "application/json", b"{}");
        assert_eq!(status, 200, "{text}");
        assert!(marks(&sawbox).ends_with("rq"));
    }
    let sawbox = TestBox::start(dir.path(), chain);
    std::thread::sleep(Duration::from_millis(900));
    assert!(marks(&sawbox).ends_with("rqq"), "left where it lies");
    // Dropped again it is wanted.
    std::fs::write(&file, relay_guest::wasm('r')).expect("whole");
    eventually("it is taken", || marks(&sawbox).ends_with('r'));
}
