//! What an explanation says: see [`super`].

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value as Json};

use super::StepShown;
use crate::base::ids::{Generation, Offset, PartitionId, TopicId};
use crate::relay::ChainEntry;
use crate::relay::codec::spec::CodecSpec;

/// The record as it came.
#[derive(Clone, Debug, Serialize)]
pub struct RecordShown {
    /// Its bytes: `text`, `bytes` (how many), and `base64` where they are not UTF-8.
    pub payload: Json,
    /// Its key, likewise; null if it has none.
    pub key: Json,
    /// Its headers, each `[name, value]`, as they came and as the receiver added them.
    pub headers: Vec<(String, String)>,
    /// When it became the queue's, nanoseconds since 1970.
    pub arrival_ns: i64,
    /// The producer's own time, milliseconds since 1970.
    pub timestamp_ms: i64,
    /// Which receiver took it.
    pub receiver: Option<String>,
    /// From which address.
    pub peer: Option<String>,
}

/// The call that held the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct CallShown {
    /// Offset of its first record.
    pub first: Offset,
    /// Offset of its last record.
    pub last: Offset,
    /// How many.
    pub records: usize,
}

/// Where a record ended.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum EndedShown {
    /// A row is made of it.
    Stored {
        /// The row as the chain makes it.
        row: Map<String, Json>,
        /// The row as the store has it; null if it has none.
        stored: Json,
        /// Where the two differ: each a field with what `made` and `stored` say.
        differences: Vec<Json>,
        /// What is to be made of that: `same`, `pending` (not handled yet), `missing` or `different` (a bug in the box).
        is: &'static str,
    },
    /// A filter dropped it.
    Dropped {
        /// Which.
        filter: String,
        /// Why.
        reason: String,
        /// What the store has nevertheless, which is a bug in the box; null as it should be.
        stored: Json,
    },
    /// A filter keeps it in its state: a row may be made of it and others later, with the last one's offset.
    Held {
        /// Which.
        filter: String,
    },
    /// It is a dead letter.
    Failed {
        /// Which filter failed.
        filter: String,
        /// Why.
        reason: String,
        /// Topic of the dead letters.
        topic: String,
        /// The letter's row there; null where there is none (any more).
        letter: Json,
    },
    /// Nobody can tell: the record is gone.
    Gone {
        /// What the store has of it.
        stored: Vec<Json>,
        /// The bytes that came, where a row kept them.
        #[serde(skip_serializing_if = "Json::is_null")]
        payload: Json,
    },
}

/// Another topic that got something of the record.
#[derive(Clone, Debug, Serialize)]
pub struct SentShown {
    /// The topic.
    pub topic: String,
    /// What was sent.
    pub payload: Json,
    /// Its row there; null where none is found.
    pub row: Json,
}

/// Everything about one record.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// Its topic.
    pub topic: Arc<str>,
    /// The topic's id.
    pub topic_id: TopicId,
    /// Its partition.
    pub partition: PartitionId,
    /// Its offset.
    pub offset: Offset,
    /// What there is to know first, in a sentence.
    pub summary: String,
    /// The record; null if it is gone.
    pub record: Option<RecordShown>,
    /// The generation that handles it; null if it is gone, or no record was ever handled.
    pub generation: Option<Generation>,
    /// That generation's filters.
    pub chain: Vec<ChainEntry>,
    /// What the records were to it.
    pub codec: Option<CodecSpec>,
    /// What the codec made of the payload, where that is something else.
    pub document: Json,
    /// The call that held it.
    pub call: Option<CallShown>,
    /// The row before the first filter.
    pub before: Map<String, Json>,
    /// What each filter did.
    pub steps: Vec<StepShown>,
    /// Where it ended.
    pub ended: EndedShown,
    /// What it sent to other topics.
    pub sent: Vec<SentShown>,
    /// What is approximate, or wrong.
    pub notes: Vec<String>,
}
