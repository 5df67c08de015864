//! Which chain handles which offset of a topic.
//!
//! A generation is promoted in three steps: no lane of the topic may begin a batch ([`Generations::begin`]); the store commits
//! "generation g from offset o" for every partition, o being the end of what the lane ever began; lanes go on
//! ([`Generations::finish`]). So a record is handled by g only after that is durable, and which generation handles an offset
//! never depends on when a crash happened. Batches under way below o are finished by the old generation: nothing waits for a
//! lane whose target is full.
//! "Ever" reaches back over crashes as far as anybody could tell: what an earlier life emitted is durable in its target, with the
//! offset it came from, and no later generation may begin below that. (What it only had in the memtable nobody keeps.)
//!
//! On disk, in the store's commit log, per generation: the JSON of [`Promoted`]. Entries from before there were codecs have none.
//! A partition that a generation does not name (it was added later) counts as named from offset 0.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::base::ids::{Generation, Offset, PartitionId, TopicId};
use crate::relay::RelayError;
use crate::relay::codec::Codec;
use crate::relay::codec::spec::CodecRecord;
use crate::sandbox::{Chain, ChainRecord, ChainSpec};
use crate::store::{GenerationEntry, Store};

/// Who made a generation.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MadeBy {
    /// Nobody configured a chain.
    Default,
    /// The configuration file.
    Config,
    /// A person or program, while the box ran.
    Hot,
}

impl MadeBy {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Config => "config",
            Self::Hot => "hot",
        }
    }
}

/// What the store keeps of a generation.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub(crate) struct Promoted {
    pub(crate) made_by: MadeBy,
    /// As people wrote it; none is the default chain.
    pub(crate) spec: Option<ChainSpec>,
    /// As it was resolved.
    pub(crate) chain: ChainRecord,
    /// What makes the chain's payload of a record's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) codec: Option<CodecRecord>,
}

/// What runs a generation.
pub(crate) struct Ready {
    pub(crate) codec: Codec,
    pub(crate) chain: Arc<Chain>,
}

struct Entry {
    generation: Generation,
    from: BTreeMap<PartitionId, Offset>,
    promoted: Arc<Promoted>,
    ready: Option<Arc<Ready>>,
}

impl Entry {
    fn from(&self, partition: PartitionId) -> Offset {
        self.from.get(&partition).copied().unwrap_or(0)
    }
}

/// What a lane may do with a batch.
pub(crate) enum Claim {
    /// Handle it below `until`.
    Go { generation: Generation, ready: Arc<Ready>, until: Offset },
    /// Load this generation's codec and chain first.
    Load { generation: Generation, promoted: Arc<Promoted> },
    /// The topic has no generation yet: make its first.
    First,
    /// A promotion is being made durable; it wakes the lanes.
    Wait,
    /// Quarantined until a person promotes a chain.
    Held,
}

#[derive(Default)]
struct Inner {
    entries: Vec<Entry>,
    claimed: BTreeMap<PartitionId, Offset>,
    promoting: bool,
    held: bool,
}

/// The generations of one topic.
pub(crate) struct Generations {
    pub(crate) topic: TopicId,
    pub(crate) name: Arc<str>,
    inner: Mutex<Inner>,
    // One promotion at a time; never held together with a wait for a lane. Whether earlier lives' emissions are known.
    promotion: Mutex<bool>,
}

impl Generations {
    /// What the store knows of a topic. Entries that cannot be read are left out and given back for the log.
    pub(crate) fn load(topic: TopicId, name: Arc<str>, entries: Vec<GenerationEntry>) -> (Self, Vec<(Generation, String)>) {
        let mut wrong = Vec::new();
        let mut known = Vec::new();
        for entry in entries {
            match serde_json::from_slice::<Promoted>(&entry.chain) {
                Ok(promoted) => known.push(Entry {
                    generation: entry.generation,
                    from: entry.from,
                    promoted: Arc::new(promoted),
                    ready: None,
                }),
                Err(error) => wrong.push((entry.generation, error.to_string())),
            }
        }
        known.sort_by_key(|entry| entry.generation);
        let inner = Inner { entries: known, ..Inner::default() };
        (Self { topic, name, inner: Mutex::new(inner), promotion: Mutex::new(false) }, wrong)
    }

    /// A lane says where it starts.
    pub(crate) fn start(&self, partition: PartitionId, next: Offset) {
        let mut inner = self.inner.lock();
        let claimed = inner.claimed.entry(partition).or_default();
        *claimed = next.max(*claimed);
    }

    /// A lane is about to handle `[at, end)`, which is one batch or the rest of one.
    pub(crate) fn claim(&self, partition: PartitionId, at: Offset, end: Offset) -> Claim {
        let mut inner = self.inner.lock();
        if inner.promoting {
            return Claim::Wait;
        }
        if inner.held {
            return Claim::Held;
        }
        let Some(index) = inner.entries.iter().rposition(|entry| entry.from(partition) <= at).or({
            // Below the first generation there is nothing that could have handled it: the first one does.
            if inner.entries.is_empty() { None } else { Some(0) }
        }) else {
            return Claim::First;
        };
        let until = inner.entries[index + 1..].iter().map(|later| later.from(partition)).filter(|&o| o > at).min();
        let until = until.unwrap_or(Offset::MAX).min(end);
        let entry = &inner.entries[index];
        let generation = entry.generation;
        let Some(ready) = entry.ready.clone() else {
            return Claim::Load { generation, promoted: entry.promoted.clone() };
        };
        let claimed = inner.claimed.entry(partition).or_default();
        *claimed = until.max(*claimed);
        Claim::Go { generation, ready, until }
    }

    /// A lane did not handle what it claimed from here on.
    pub(crate) fn release(&self, partition: PartitionId, at: Offset) {
        let mut inner = self.inner.lock();
        if !inner.promoting
            && let Some(claimed) = inner.claimed.get_mut(&partition)
        {
            *claimed = at.min(*claimed);
        }
    }

    /// The codec and chain of a generation were loaded.
    pub(crate) fn loaded(&self, generation: Generation, ready: Arc<Ready>) {
        let mut inner = self.inner.lock();
        if let Some(entry) = inner.entries.iter_mut().find(|entry| entry.generation == generation) {
            entry.ready = Some(ready);
        }
    }

    /// Stops the lanes at their next batch until a chain is promoted.
    pub(crate) fn hold(&self) {
        self.inner.lock().held = true;
    }

    /// Whether [`Generations::hold`] is in force.
    pub(crate) fn is_held(&self) -> bool {
        self.inner.lock().held
    }

    /// The newest generation.
    pub(crate) fn newest(&self) -> Option<(Generation, Arc<Promoted>)> {
        self.inner.lock().entries.last().map(|entry| (entry.generation, entry.promoted.clone()))
    }

    /// The newest generation that no person made while the box ran.
    pub(crate) fn newest_configured(&self) -> Option<Arc<Promoted>> {
        let inner = self.inner.lock();
        inner.entries.iter().rev().find(|entry| entry.promoted.made_by != MadeBy::Hot).map(|entry| entry.promoted.clone())
    }

    /// Whether any generation satisfies this.
    pub(crate) fn any(&self, test: impl Fn(&Promoted) -> bool) -> bool {
        self.inner.lock().entries.iter().any(|entry| test(&entry.promoted))
    }

    /// Whether a generation was ever made of this module under this name.
    pub(crate) fn made_of(&self, filter: &str, sha256: &str) -> bool {
        self.any(|made| made.chain.entries.iter().any(|entry| *entry.filter == *filter && *entry.sha256 == *sha256))
    }

    /// What a generation is, and what runs it where that is loaded.
    pub(crate) fn of(&self, generation: Generation) -> Option<(Arc<Promoted>, Option<Arc<Ready>>)> {
        let inner = self.inner.lock();
        let entry = inner.entries.iter().find(|entry| entry.generation == generation)?;
        Some((entry.promoted.clone(), entry.ready.clone()))
    }

    /// The generation that handles an offset.
    pub(crate) fn at(&self, partition: PartitionId, offset: Offset) -> Generation {
        let inner = self.inner.lock();
        inner.entries.iter().rfind(|entry| entry.from(partition) <= offset).map_or(0, |entry| entry.generation)
    }

    /// Makes a generation: durable when it returns. The caller wakes the topic's lanes, whatever the outcome.
    ///
    /// `first` makes generation 0, and nothing if there is a generation by now. `emitted` tells the offset behind the last one
    /// of a partition whose emissions are durable anywhere.
    pub(crate) fn promote(
        &self,
        store: &Store,
        emitted: impl Fn(PartitionId) -> Offset,
        promoted: Promoted,
        ready: Arc<Ready>,
        first: bool,
    ) -> Result<Generation, RelayError> {
        let mut known = self.promotion.lock();
        if !*known {
            let partitions: Vec<PartitionId> = self.inner.lock().claimed.keys().copied().collect();
            for partition in partitions {
                self.start(partition, emitted(partition));
            }
            *known = true;
        }
        let (generation, from) = {
            let mut inner = self.inner.lock();
            let newest = inner.entries.last().map(|entry| entry.generation);
            if let (true, Some(newest)) = (first, newest) {
                return Ok(newest);
            }
            inner.promoting = true;
            let generation = if first { 0 } else { newest.map_or(1, |newest| newest.saturating_add(1)) };
            (generation, inner.claimed.clone())
        };
        let outcome = serde_json::to_vec(&promoted)
            .map_err(|e| RelayError::Config(e.to_string()))
            .and_then(|bytes| Ok(store.promote(self.topic, &self.name, generation, &bytes, &from)?));
        let mut inner = self.inner.lock();
        inner.promoting = false;
        outcome?;
        inner.held = false;
        // Compiled chains of generations that no lane needs any more give their memory back.
        for entry in &mut inner.entries {
            entry.ready = None;
        }
        inner.entries.push(Entry { generation, from, promoted: Arc::new(promoted), ready: Some(ready) });
        Ok(generation)
    }
}
