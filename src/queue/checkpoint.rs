//! What a restart need not find out again.
//!
//! On disk: `queue/CHECKPOINTS`, a journal of JSON arrays of [`Mark`]s; the last one of a partition counts. One entry covers
//! all partitions that need it: a thousand topics cost one sync.
//! Invariant: a mark says only what is durable. Recovery trusts it as far as the files agree (a sealed segment has at least the
//! length it says); without it everything is scanned. So it bounds the start-up time and never decides what is there, but for
//! what segments alone lose when retention deletes them (the next offset, the sources of emissions, the producers), and for the
//! start that a user set inside a segment (`trim.rs`). Marks are taken and written under the journal's lock, so that an older one
//! never comes behind a newer.
//! Crash story: a damaged entry makes recovery use an older mark, and scan more.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::frame::Source;
use super::producers::Producer;
use super::view::{Sealed, unknown_ms};
use crate::base::disk::Disk;
use crate::base::ids::{Offset, PartitionId, Run, TopicId};
use crate::base::journal::Journal;

/// What is known of a partition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The topic.
    pub topic: TopicId,
    /// The partition.
    pub partition: PartitionId,
    /// The first offset that is still there.
    pub start: Offset,
    /// Sealed segments, oldest first.
    pub sealed: Vec<Sealed>,
    /// The segment that is written: base offset, durable end, append time of its first batch.
    pub active: Option<(Offset, u64, i64)>,
    /// The next offset.
    pub next: Offset,
    /// Append time of the last batch.
    pub last_ns: i64,
    /// Emission sources: topic, partition, run, last offset.
    pub sources: Vec<(TopicId, PartitionId, Run, Offset)>,
    /// Idempotent producers.
    #[serde(default)]
    pub producers: Vec<Producer>,
    /// Idempotent producers whose batches were meant for another partition: that one's topic and number, and they.
    #[serde(default)]
    pub guests: Vec<(TopicId, PartitionId, Vec<Producer>)>,
    /// Largest record time of the segment that is written, before `active`'s end.
    #[serde(default = "unknown_ms")]
    pub newest_ms: i64,
}

impl Mark {
    /// The sources, as the log keeps them.
    pub fn sources(&self) -> HashMap<Source, Offset> {
        let source = |(topic, partition, run, last): &(TopicId, PartitionId, Run, Offset)| {
            (Source { topic: *topic, partition: *partition, run: *run }, *last)
        };
        self.sources.iter().map(source).collect()
    }
}

/// The last mark of each partition.
pub type Marks = HashMap<(TopicId, PartitionId), Mark>;

/// The open journal.
#[derive(Debug)]
pub struct Checkpoints {
    journal: Journal,
    /// An append failed: only a journal written anew heals it.
    broken: bool,
    /// Bytes when it was last written anew.
    anew: u64,
}

/// It is written anew when it has grown by this, and is four times what it was.
const REWRITE_BYTES: u64 = 1 << 20;

impl Checkpoints {
    /// Opens it, and gives what it says, and how many entries are broken.
    pub fn open(disk: Arc<dyn Disk>) -> io::Result<(Self, Marks, u64)> {
        let (journal, entries, found) = Journal::open(disk, Path::new("queue/CHECKPOINTS"))?;
        let mut damaged = found.damaged;
        let mut marks = HashMap::new();
        for entry in &entries {
            match serde_json::from_slice::<Vec<Mark>>(entry) {
                Ok(some) => marks.extend(some.into_iter().map(|mark| ((mark.topic, mark.partition), mark))),
                Err(_) => damaged += 1,
            }
        }
        let anew = journal.len();
        Ok((Self { journal, broken: false, anew }, marks, damaged))
    }

    /// Writes one mark, without ever writing the journal anew.
    pub fn append(&mut self, mark: Mark) -> io::Result<()> {
        let appended = self.journal.append(&serde_json::to_vec(&[mark])?);
        self.broken |= appended.is_err();
        appended
    }

    /// Whether it must be written anew, though there may be nothing new to say.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// Writes these marks; `all` gives every partition's, asked only when the journal is written anew.
    pub fn write(&mut self, some: &[Mark], all: impl FnOnce() -> Vec<Mark>) -> io::Result<()> {
        let bytes = serde_json::to_vec(some)?;
        let appended = self.journal.append(&bytes);
        self.broken |= appended.is_err();
        if appended.is_err() || self.journal.len() > self.anew.saturating_mul(4).max(REWRITE_BYTES) {
            let bytes = serde_json::to_vec(&all())?;
            self.journal.checkpoint(&[&bytes])?;
            self.anew = self.journal.len();
            self.broken = false;
        }
        Ok(())
    }
}
