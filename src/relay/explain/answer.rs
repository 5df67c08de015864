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

/// What there is to know first.
pub(super) fn summary(explanation: &Explanation) -> String {
    let last = explanation.steps.iter().rev().find(|step| step.outcome == "dropped" || step.outcome == "failed");
    let by = last.map_or(String::new(), |step| format!(" by `{}`", step.filter));
    let sent = match explanation.sent.len() {
        0 => String::new(),
        sent => format!("; {sent} sent to other topics"),
    };
    let what = match &explanation.ended {
        EndedShown::Stored { is: "same", .. } => "stored, as its chain makes it".to_owned(),
        EndedShown::Stored { is: "pending", .. } => "not handled yet; it will be stored".to_owned(),
        EndedShown::Stored { is: "missing", .. } => "to be stored, but the store has no row of it".to_owned(),
        EndedShown::Stored { .. } => "stored, but not as its chain makes it".to_owned(),
        EndedShown::Dropped { reason, .. } if reason.is_empty() => format!("dropped{by}"),
        EndedShown::Dropped { reason, .. } => format!("dropped{by}: {reason}"),
        EndedShown::Failed { filter, reason, letter: Json::Null, .. } => {
            format!("failed in `{filter}` ({reason}); no dead letter of it is found")
        }
        EndedShown::Failed { filter, reason, topic, .. } => {
            format!("failed in `{filter}` ({reason}); a dead letter in `{topic}`")
        }
        EndedShown::Held { filter } => format!("held by `{filter}`: a row may be made of it and others later"),
        EndedShown::Gone { .. } => "gone".to_owned(),
    };
    format!("{what}{sent}")
}
