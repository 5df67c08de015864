//! What inputs give their events besides what came: `type`, `tags` and `add_field`.
//!
//! Conditions of the filters ask for it, and here no receiver gives it: without it branches would never be taken. Where all inputs of
//! a pipeline give the same, that becomes the beginning of its filters. Where they differ, each is said, for whose records come to a
//! topic only a person can tell.

use serde_json::Value as Json;

use super::chain::Note;
use super::options::config;
use super::tree::{Condition, Item, Operand, Plugin, Value};

/// The options that do.
pub(super) const OPTIONS: [&str; 3] = ["type", "tags", "add_field"];

/// What begins the filters, or what must be said; each with its file.
#[derive(Debug, PartialEq)]
pub(super) enum Given {
    /// Plugins and branches, as if they stood before all filters.
    Items(String, Vec<Item>),
    /// Where inputs differ, one for each that gives something.
    Notes(Vec<(String, Note)>),
}

/// Of the inputs of all files, with their files.
pub(super) fn given(inputs: &[(String, Plugin)]) -> Given {
    let Some(((file, first), others)) = inputs.split_first() else { return Given::Notes(Vec::new()) };
    if others.iter().all(|(_, other)| items(other, 0) == items(first, 0)) {
        return Given::Items(file.clone(), items(first, first.line));
    }
    let notes = inputs.iter().filter(|(_, input)| !input.options.is_empty()).map(|(file, input)| {
        let text = format!(
            "not all inputs give their events what `{}` gives its. Where this topic's records are of that input, begin the chain with \
             the filter `mutate` and the configuration {}",
            input.name,
            Json::Object(config(&mutate(added(input, &OPTIONS), 0)))
        );
        (file.clone(), Note { line: input.line, text })
    });
    Given::Notes(notes.collect())
}

/// As filters would say it.
fn items(input: &Plugin, line: usize) -> Vec<Item> {
    let mut items = Vec::new();
    let kind = added(input, &["type"]);
    if !kind.is_empty() {
        // A shipper's own type stays.
        let has_none = Condition::Not(Box::new(Condition::Truth(Operand::Field("type".to_owned()))));
        items.push(Item::Branch(vec![(Some(has_none), vec![Item::Plugin(mutate(kind, line))])]));
    }
    let others = added(input, &["tags", "add_field"]);
    if !others.is_empty() {
        items.push(Item::Plugin(mutate(others, line)));
    }
    items
}

/// Some of what the input gives, in this order, as the options that every filter of Logstash has.
fn added(input: &Plugin, options: &[&str]) -> Vec<(String, Value)> {
    let of = |(name, value): &(String, Value)| match name.as_str() {
        "type" => ("add_field".to_owned(), Value::Table(vec![("type".to_owned(), value.clone())])),
        "tags" => ("add_tag".to_owned(), value.clone()),
        name => (name.to_owned(), value.clone()),
    };
    options.iter().flat_map(|wanted| input.options.iter().filter(move |(name, _)| name == wanted)).map(of).collect()
}

fn mutate(options: Vec<(String, Value)>, line: usize) -> Plugin {
    Plugin { name: "mutate".to_owned(), line, options }
}
