//! Filters dropped into the folder, wholly and half.
#![allow(clippy::disallowed_methods, reason = "the folder is the user's, and these tests are the user")]

use std::path::Path;
use std::time::Duration;

use sawbox::relay::{Config, TopicConfig};

use crate::lineage_model::visible;
use crate::relay_box::{Houses, eventually, spec};
use crate::relay_guest;

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
    eventually("the chain is made", || chain(&houses, "fresh") == Some((1, vec![("first".into(), None)])));
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
