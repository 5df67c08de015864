//! A topic's chain as people write it ([`ChainSpec`]) and as a generation keeps it ([`ChainRecord`]).

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::lookup::LookupRecord;

/// The filters of a topic, in order, as they stand in the configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ChainSpec(
    /// The filters.
    pub Vec<EntrySpec>,
);

/// One filter of a chain.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EntrySpec {
    /// Its name in the catalog; with `@` and a number behind it, that version and no other.
    pub filter: String,
    /// Which rows it is given, in the search language; without it, all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// Its configuration, as the filter's own page says.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub config: Map<String, Value>,
}

impl ChainSpec {
    /// The chain of a topic that nobody configured: JSON objects become fields, anything else a message.
    pub fn unconfigured() -> Self {
        let config = Map::from_iter([("mode".to_owned(), Value::String("lenient".to_owned()))]);
        Self(vec![EntrySpec { filter: "json".to_owned(), when: None, config }])
    }
}

impl EntrySpec {
    /// Its name without the version that may be pinned.
    pub fn name(&self) -> &str {
        self.filter.split_once('@').map_or(&self.filter, |(name, _)| name)
    }
}

/// A chain with everything that decides what it does. What a generation is; never changed once it is promoted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChainRecord {
    /// The filters, in order.
    pub entries: Vec<EntryRecord>,
    /// The engine that ran them.
    pub engine: String,
}

/// One filter of a resolved chain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EntryRecord {
    /// Its name when the chain was resolved.
    pub filter: Arc<str>,
    /// Its module.
    pub sha256: Arc<str>,
    /// The version of the frame it speaks.
    pub abi: u32,
    /// Which rows it is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// Its configuration; members in alphabetical order, so equal ones are equal bytes.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub config: Map<String, Value>,
    /// The files that it looks things up in, as they were when the chain was resolved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lookups: Vec<LookupRecord>,
}

impl ChainRecord {
    /// Whether a filter of this name is in it.
    pub fn uses(&self, filter: &str) -> bool {
        self.entries.iter().any(|entry| &*entry.filter == filter)
    }

    /// The chain as it would be written.
    pub fn spec(&self) -> ChainSpec {
        let entry = |entry: &EntryRecord| EntrySpec {
            filter: entry.filter.to_string(),
            when: entry.when.clone(),
            config: entry.config.clone(),
        };
        ChainSpec(self.entries.iter().map(entry).collect())
    }
}
