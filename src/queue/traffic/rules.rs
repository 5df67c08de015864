//! Quotas and routes as people write them, and whether they make sense, alone and together.
//!
//! Both have a name, by which they are changed and counted. Together they must hold no circle: topics that send records on to one
//! another would never take one.
//! Limits: [`RULES`] of each kind.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::bucket::Size;
use super::pattern::{Condition, globs};
use crate::base::limits::{TOPIC_NAME_BYTES, is_topic_name};
use crate::base::units::Bytes;

/// Most quotas, and most routes: each batch is held against all of them.
pub const RULES: usize = 256;
/// Longest name, and longest pattern of a principal or client.
const NAME_BYTES: usize = 128;

/// What happens to who is over a quota.
#[derive(Deserialize, Serialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// The sender waits: Kafka clients are told how long, other senders are not read.
    #[default]
    Throttle,
    /// The batch is refused, with the reason.
    Refuse,
    /// The batch goes to another topic.
    Divert,
}

/// Which way the bytes go.
#[derive(Deserialize, Serialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Into the queue.
    #[default]
    Produce,
    /// Out of it, to Kafka's consumers.
    Consume,
}

/// How many bytes a second somebody may send or take. What is not said holds for all together; a pattern with `*` holds for each
/// that it matches, alone.
#[derive(Deserialize, Serialize, Clone, Debug, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    /// What it is called.
    #[serde(default)]
    pub name: String,
    /// Of which topic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// Of which principal; who has not signed in is `ANONYMOUS`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// Of which Kafka client id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// Sent or taken.
    #[serde(default)]
    pub direction: Direction,
    /// The rate.
    pub bytes_per_second: Bytes,
    /// How many bytes may come at once after a silence; a second's worth if it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<Bytes>,
    /// What happens past it.
    #[serde(default)]
    pub action: Action,
    /// The topic that `divert` sends to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// A route: records of a topic for which a condition holds go to another one.
#[derive(Deserialize, Serialize, Clone, Debug, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// What it is called.
    #[serde(default)]
    pub name: String,
    /// The topic that was meant.
    pub topic: String,
    /// The condition: `host:web-7`, `_peer:10.0.0.0/8`, `_client:noisy*`, `_principal:alice`, `*`.
    pub when: String,
    /// The topic they go to.
    pub to: String,
}

impl Quota {
    /// Rate and burst.
    pub fn size(&self) -> Size {
        let rate = self.bytes_per_second.0.max(1);
        Size { rate, burst: self.burst.map_or(rate, |burst| burst.0).max(1) }
    }

    /// Whether it can be.
    ///
    /// # Errors
    /// A sentence that names what is wrong.
    pub fn check(&self) -> Result<(), String> {
        named(&self.name)?;
        for (what, pattern) in [("principal", &self.principal), ("client_id", &self.client_id)] {
            if pattern.as_ref().is_some_and(|pattern| pattern.is_empty() || pattern.len() > NAME_BYTES) {
                return Err(format!(
                    "{what}: 1 to {NAME_BYTES} bytes, or leave it out for all together, or `*` for each alone"
                ));
            }
        }
        if let Some(topic) = &self.topic {
            source(topic)?;
        }
        if self.bytes_per_second.0 == 0 || self.burst.is_some_and(|burst| burst.0 == 0) {
            return Err("bytes_per_second and burst are at least 1; to keep somebody out use permissions".into());
        }
        if self.direction == Direction::Consume && (self.action != Action::Throttle || self.topic.is_some()) {
            return Err("a quota on what is consumed has no topic, and its action is throttle".into());
        }
        match (self.action, &self.to) {
            (Action::Divert, None) => Err("to: divert needs the topic that it sends to".into()),
            (Action::Divert, Some(to)) => target(to),
            (_, Some(_)) => Err("to: only action = \"divert\" sends elsewhere".into()),
            (_, None) => Ok(()),
        }
    }

    /// Whether it is about this topic.
    pub fn is_of(&self, topic: &str) -> bool {
        self.topic.as_ref().is_none_or(|pattern| globs(pattern.as_bytes(), topic.as_bytes()))
            && self.to.as_deref() != Some(topic)
    }
}

impl Route {
    /// Whether it can be; gives its condition.
    ///
    /// # Errors
    /// A sentence that names what is wrong.
    pub fn check(&self) -> Result<Condition, String> {
        named(&self.name)?;
        if self.topic.contains('*') {
            return Err("topic: a route is of one topic".into());
        }
        source(&self.topic)?;
        target(&self.to)?;
        Condition::read(&self.when).map_err(|why| format!("when: {why}"))
    }
}

fn named(name: &str) -> Result<(), String> {
    if is_topic_name(name) && name.len() <= NAME_BYTES {
        return Ok(());
    }
    Err(format!("name: 1 to {NAME_BYTES} letters, digits, `.`, `_` or `-`"))
}

fn source(pattern: &str) -> Result<(), String> {
    let shaped = pattern == "*" || is_topic_name(&pattern.replace('*', "x"));
    if shaped && pattern.len() <= TOPIC_NAME_BYTES && !pattern.starts_with('_') {
        return Ok(());
    }
    Err(format!("topic: `{pattern}` is no topic that is sent to; those that begin with `_` are the box's own"))
}

fn target(name: &str) -> Result<(), String> {
    if is_topic_name(name) && !name.starts_with('_') {
        return Ok(());
    }
    Err(format!("to: `{name}` is no topic name: letters, digits, `.`, `_` and `-`, and no `_` at the beginning"))
}

/// Whether these rules together hold no circle.
///
/// # Errors
/// The circle.
pub fn check_circles<'r>(
    quotas: impl Iterator<Item = &'r Quota> + Clone,
    routes: impl Iterator<Item = &'r Route> + Clone,
) -> Result<(), String> {
    let diverts = quotas.filter_map(|quota| Some((quota.topic.as_deref().unwrap_or("*"), quota.to.as_deref()?)));
    let edges: BTreeSet<(&str, &str)> = diverts.chain(routes.map(|route| (route.topic.as_str(), route.to.as_str()))).collect();
    // Every circle runs through targets alone: what is behind each of them.
    let mut behind: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let targets: BTreeSet<&str> = edges.iter().map(|(_, to)| *to).collect();
    for from in &targets {
        // A pattern is not about its own target.
        let next = edges
            .iter()
            .filter(|(pattern, to)| (!pattern.contains('*') || to != from) && globs(pattern.as_bytes(), from.as_bytes()));
        behind.insert(from, next.map(|(_, to)| *to).collect());
    }
    for start in &targets {
        let mut seen = BTreeSet::new();
        let mut ways = vec![vec![*start]];
        while let Some(way) = ways.pop() {
            let Some(last) = way.last() else { continue };
            for next in behind.get(last).into_iter().flatten() {
                if next == start {
                    let way: Vec<&str> = way.iter().chain([next]).copied().collect();
                    return Err(format!("the rules would send records in a circle: {}", way.join(" → ")));
                }
                if seen.insert(*next) {
                    ways.push(way.iter().chain([next]).copied().collect());
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quota(text: &str) -> Quota {
        let quota: Quota = serde_json::from_str(text).unwrap();
        Quota { name: "q".into(), ..quota }
    }

    fn route(topic: &str, to: &str) -> Route {
        Route { name: "r".into(), topic: topic.into(), when: "*".into(), to: to.into() }
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        for (text, word) in [
            (r#"{"bytes_per_second":0}"#, "bytes_per_second"),
            (r#"{"bytes_per_second":1,"burst":0}"#, "burst"),
            (r#"{"bytes_per_second":1,"topic":"_dead"}"#, "topic"),
            (r#"{"bytes_per_second":1,"topic":"a b"}"#, "topic"),
            (r#"{"bytes_per_second":1,"principal":""}"#, "principal"),
            (r#"{"bytes_per_second":1,"action":"divert"}"#, "to"),
            (r#"{"bytes_per_second":1,"action":"divert","to":"_own"}"#, "to"),
            (r#"{"bytes_per_second":1,"to":"b"}"#, "divert"),
            (r#"{"bytes_per_second":1,"direction":"consume","action":"refuse"}"#, "consumed"),
            (r#"{"bytes_per_second":1,"direction":"consume","topic":"a"}"#, "consumed"),
        ] {
            let why = quota(text).check().unwrap_err();
            assert!(why.contains(word), "{text}: {why}");
        }
        for text in [
            r#"{"bytes_per_second":"1MiB"}"#,
            r#"{"bytes_per_second":1,"topic":"*","principal":"*","client_id":"app-*"}"#,
            r#"{"bytes_per_second":1,"topic":"web.*","action":"divert","to":"bursty"}"#,
            r#"{"bytes_per_second":1,"direction":"consume","principal":"*"}"#,
        ] {
            assert_eq!(quota(text).check(), Ok(()), "{text}");
        }
        assert!(Quota { name: "a b".into(), ..quota(r#"{"bytes_per_second":1}"#) }.check().is_err());
        assert!(route("web*", "b").check().is_err());
        assert!(route("web", "_b").check().is_err());
        assert!(Route { when: "x".into(), ..route("web", "b") }.check().unwrap_err().starts_with("when: "));
    }

    #[test]
    fn circles_are_found_and_named() {
        let circle = |quotas: &[Quota], routes: &[Route]| check_circles(quotas.iter(), routes.iter());
        assert_eq!(circle(&[], &[route("a", "b"), route("b", "c"), route("a", "c")]), Ok(()));
        let why = circle(&[], &[route("a", "b"), route("b", "c"), route("c", "a")]).unwrap_err();
        assert!(why.ends_with("a → b → c → a"), "{why}");
        assert!(circle(&[], &[route("a", "a")]).is_err());
        let divert = |topic: Option<&str>, to: &str| Quota {
            topic: topic.map(str::to_owned),
            action: Action::Divert,
            to: Some(to.into()),
            ..quota(r#"{"bytes_per_second":1}"#)
        };
        assert_eq!(circle(&[divert(None, "bursty")], &[route("web", "other")]), Ok(()), "a quota is not about its own target");
        assert_eq!(circle(&[divert(Some("*"), "bursty")], &[]), Ok(()));
        assert!(circle(&[divert(None, "bursty")], &[route("bursty", "web")]).is_err());
        assert!(circle(&[divert(None, "one"), divert(None, "two")], &[]).is_err());
        assert!(circle(&[divert(Some("web.*"), "web.bursty")], &[route("web.bursty", "web.shop")]).is_err());
    }
}
