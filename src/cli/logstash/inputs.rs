//! What inputs give their events besides what came: `type`, `tags` and `add_field`.
//!
//! Conditions of the filters ask for it, and here no receiver gives it: without it branches would never be taken. Where all inputs of a
//! pipeline give the same, that becomes the beginning of the chain. Where they differ, each is said, for whose records come to a topic
//! only a person can tell.

use serde_json::{Map, Value as Json, json};

use super::chain::{Entry, Note};
use super::options::config;
use super::tree::Plugin;

/// The options that do.
pub(super) const OPTIONS: [&str; 3] = ["type", "tags", "add_field"];

/// Something, with the file it stands in.
type In<T> = (String, T);

/// The chain's beginning, and what must be said.
pub(super) fn translate(inputs: &[In<Plugin>]) -> (Vec<In<Entry>>, Vec<In<Note>>) {
    let given: Vec<Vec<Entry>> = inputs.iter().map(|(_, input)| entries(input)).collect();
    let (Some((file, _)), Some((first, others))) = (inputs.first(), given.split_first()) else { return Default::default() };
    if others.iter().all(|other| is_same(first, other)) {
        return (first.iter().map(|entry| (file.clone(), entry.clone())).collect(), Vec::new());
    }
    let notes = inputs.iter().zip(&given).filter(|(_, given)| !given.is_empty()).map(|((file, input), given)| {
        let configs: Vec<String> = given.iter().map(|entry| Json::Object(entry.config.clone()).to_string()).collect();
        let text = format!(
            "not all inputs give their events what `{}` gives its. Where this topic's records are of that input, begin the chain with the \
             filter `tag` and the configuration {}",
            input.name,
            configs.join(", and once more with ")
        );
        (file.clone(), Note { line: input.line, text })
    });
    (Vec::new(), notes.collect())
}

fn entries(input: &Plugin) -> Vec<Entry> {
    let mut given = config(input);
    let entry = |when: Option<&str>, config| Entry {
        filter: "tag".to_owned(),
        when: when.map(str::to_owned),
        config,
        line: input.line,
    };
    // A shipper's own type stays; the rest is added to what is there.
    let kind = given.remove("type").map(|kind| Map::from_iter([("fields".to_owned(), json!({"type": kind}))]));
    let mut entries: Vec<Entry> = kind.into_iter().map(|config| entry(Some("not type:*"), config)).collect();
    if let Some(tags) = given.remove("tags") {
        given.insert("add_tag".to_owned(), tags);
    }
    if !given.is_empty() {
        entries.push(entry(None, given));
    }
    entries
}

/// Whether they are the same, wherever they stand.
fn is_same(some: &[Entry], others: &[Entry]) -> bool {
    let bare = |entries: &[Entry]| entries.iter().map(|entry| Entry { line: 0, ..entry.clone() }).collect::<Vec<_>>();
    bare(some) == bare(others)
}
