//! Chains that would send records round in a circle.
//!
//! Where a filter sends records is its own affair, but for the stock filter `route`, whose configuration says it (`to`). So a
//! circle of routes is refused when the chain that would close it is promoted. What filters of others do is not seen here: there
//! the hop limit ends it, and a record that came through too many lanes is a dead letter.

use std::collections::BTreeMap;

use crate::relay::{Relay, RelayError};
use crate::sandbox::ChainRecord;

/// The stock filter that says where it sends records.
const ROUTE: &str = "route";

impl Relay {
    /// A chain that would send records round to its own topic is not promoted.
    pub(crate) fn refuse_circle(&self, topic: &str, record: &ChainRecord) -> Result<(), RelayError> {
        let own = targets(record);
        if own.is_empty() {
            return Ok(());
        }
        let others = self.shared.all_generations().into_iter().filter(|other| *other.name != *topic);
        let others = others.filter_map(|other| Some((other.name.to_string(), targets(&other.newest()?.1.chain)))).collect();
        match closed_by(topic, &own, &others) {
            None => Ok(()),
            Some(way) => Err(RelayError::Config(format!("records would go round in a circle: {}", way.join(" → ")))),
        }
    }
}

/// Where a chain sends records, as far as its configuration says.
pub(crate) fn targets(chain: &ChainRecord) -> Vec<String> {
    let routes = chain.entries.iter().filter(|entry| *entry.filter == *ROUTE);
    routes.filter_map(|entry| entry.config.get("to")?.as_str().map(str::to_owned)).collect()
}

/// The circle that a topic with these targets would close, given where other topics send records; from the topic to itself.
fn closed_by(topic: &str, targets: &[String], others: &BTreeMap<String, Vec<String>>) -> Option<Vec<String>> {
    // Each step with the way to it; a topic is looked at once.
    let mut ways: Vec<Vec<String>> = targets.iter().map(|target| vec![topic.to_owned(), target.clone()]).collect();
    let mut seen = Vec::new();
    while let Some(way) = ways.pop() {
        let Some(last) = way.last() else { continue };
        if last == topic {
            return Some(way);
        }
        if seen.contains(last) {
            continue;
        }
        seen.push(last.clone());
        for next in others.get(last).into_iter().flatten() {
            ways.push(way.iter().chain([next]).cloned().collect());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn circles_are_found_and_nothing_else() {
        let names = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let others: BTreeMap<String, Vec<String>> = [("b", "c d"), ("c", "e"), ("d", "e a"), ("x", "y"), ("y", "x")]
            .map(|(from, to)| (from.to_owned(), names(to)))
            .into();
        for (topic, targets, circle) in [
            ("a", "b", Some("a b d a")),
            ("a", "c", None),
            ("a", "a", Some("a a")),
            ("a", "", None),
            // A circle that is there already is not this one's.
            ("a", "x", None),
            ("e", "b", Some("e b d e")),
            ("f", "a b c d", None),
        ] {
            assert_eq!(closed_by(topic, &names(targets), &others), circle.map(names), "{topic} → {targets}");
        }
    }
}
