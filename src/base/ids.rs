//! Names of things that must never be mistaken for one another.
//!
//! A [`TopicId`] is made with the topic and is never used again: a topic that is deleted and made anew has a new one, so
//! origins, cursors and deduplication can't be confused by a reused name. Offsets and generations only grow.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Identifies a topic for ever; part of directories, origins and cursors.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TopicId(pub Uuid);

impl TopicId {
    /// A fresh id that no other topic has.
    pub fn new() -> Self {
        Self(Uuid::new_v4())
    }

    /// The sixteen bytes that stand for it on disk.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// The id these sixteen bytes stand for.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }
}

impl Default for TopicId {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.simple())
    }
}

impl fmt::Debug for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for TopicId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::try_parse(text).map(Self)
    }
}

/// A partition's number within its topic, from 0.
pub type PartitionId = u32;

/// A record's place within its partition, from 0, never used twice.
pub type Offset = u64;

/// One promoted state of a topic's chain, from 1; 0 is the chain a topic has when nobody configured one.
pub type Generation = u32;

/// Live handling is run 0; every replay or retry is a run of its own.
pub type Run = u64;

/// Where a row came from. `n` counts the rows that one record gave, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    /// The topic, by id.
    pub topic: TopicId,
    /// The partition.
    pub partition: PartitionId,
    /// The record's offset.
    pub offset: Offset,
    /// Which of the record's rows.
    pub n: u16,
}
