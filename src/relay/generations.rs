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
//! A replay is a generation too, but handles nothing live: its number is taken when it begins ([`Generations::reserve`]), and it is
//! known with the ranges that it made anew once it is done ([`Generations::replayed`]). What chain a topic has it does not change.
//!
//! On disk, in the store's commit log, per generation: the JSON of [`Promoted`].
//! A partition that a generation does not name (it was added later) counts as named from offset 0.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::base::ids::{Generation, Offset, PartitionId, TopicId};
use crate::relay::RelayError;
use crate::relay::codec::Codec;
pub(crate) use crate::relay::promoted::{MadeBy, Promoted};
use crate::sandbox::Chain;
use crate::store::{GenerationEntry, Store};

/// A generation, and where it begins.
#[derive(Clone)]
pub(crate) struct Listed {
    pub(crate) generation: Generation,
    pub(crate) from: BTreeMap<PartitionId, Offset>,
    /// Of a replay, what it made anew; a live one has none.
    pub(crate) ranges: Vec<(PartitionId, Offset, Offset)>,
    pub(crate) promoted: Arc<Promoted>,
}

/// The stretch of a partition that one generation handles.
#[derive(Clone)]
pub(crate) struct Handled {
    pub(crate) generation: Generation,
    pub(crate) promoted: Arc<Promoted>,
    /// Its first offset, and the one behind its last.
    pub(crate) first: Offset,
    pub(crate) end: Offset,
    /// Whether it is a replay: then what went to other topics is the live one's.
    pub(crate) is_replay: bool,
}

/// What runs a generation.
pub(crate) struct Ready {
    pub(crate) codec: Codec,
    pub(crate) chain: Arc<Chain>,
    /// Whether it takes away what nobody is to see.
    pub(crate) redacts: bool,
}

struct Entry {
    generation: Generation,
    from: BTreeMap<PartitionId, Offset>,
    promoted: Arc<Promoted>,
    ready: Option<Arc<Ready>>,
}

/// What a replay made anew.
struct Replayed {
    generation: Generation,
    /// Ascending, none within another.
    ranges: Vec<(PartitionId, Offset, Offset)>,
    promoted: Arc<Promoted>,
}

impl Replayed {
    fn has(&self, partition: PartitionId, offset: Offset) -> bool {
        self.range(partition, offset).is_some()
    }

    /// The range that holds an offset: a retry has thousands.
    fn range(&self, partition: PartitionId, offset: Offset) -> Option<(PartitionId, Offset, Offset)> {
        let behind = self.ranges.partition_point(|(own, first, _)| (*own, *first) <= (partition, offset));
        let range = *self.ranges.get(behind.checked_sub(1)?)?;
        (range.0 == partition && offset < range.2).then_some(range)
    }
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

/// What a new generation takes the place of: where that is another by now, nothing is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// Whatever there is.
    Any,
    /// Nothing: it is the topic's first.
    Nothing,
    /// This one.
    This(Generation),
}

#[derive(Default)]
struct Inner {
    /// Live ones, ascending.
    entries: Vec<Entry>,
    /// Replays, ascending: a later one counts where they overlap.
    replays: Vec<Replayed>,
    /// The greatest number that was ever given away, as far as anybody knows.
    highest: Option<Generation>,
    claimed: BTreeMap<PartitionId, Offset>,
    promoting: bool,
    /// Why, where a quarantine holds them.
    held: Option<String>,
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
        let mut replays = Vec::new();
        let highest = entries.iter().map(|entry| entry.generation).max();
        for entry in entries {
            match serde_json::from_slice::<Promoted>(&entry.chain) {
                Ok(promoted) if !entry.ranges.is_empty() => {
                    let (generation, mut ranges, promoted) = (entry.generation, entry.ranges, Arc::new(promoted));
                    ranges.sort_unstable();
                    replays.push(Replayed { generation, ranges, promoted });
                }
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
        replays.sort_by_key(|entry| entry.generation);
        let held = known.last().and_then(|entry| entry.promoted.held.clone());
        let inner = Inner { held, entries: known, replays, highest, ..Inner::default() };
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
        if inner.held.is_some() {
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

    /// Stops the lanes at their next batch until a chain is promoted; false, and nothing, where one was since this generation.
    pub(crate) fn hold(&self, generation: Generation, why: String) -> bool {
        let mut inner = self.inner.lock();
        let is_newest = !inner.promoting && inner.entries.last().is_some_and(|entry| entry.generation == generation);
        if is_newest {
            inner.held = Some(why);
        }
        is_newest
    }

    /// Makes [`Generations::hold`] outlive this life of the box; nothing where a chain was promoted meanwhile.
    pub(crate) fn keep_held(&self, store: &Store, generation: Generation) -> Result<(), RelayError> {
        let _one = self.promotion.lock();
        let (promoted, from) = {
            let inner = self.inner.lock();
            let Some(entry) = inner.entries.last().filter(|entry| entry.generation == generation) else { return Ok(()) };
            if inner.held.is_none() || entry.promoted.held == inner.held {
                return Ok(());
            }
            (Promoted { held: inner.held.clone(), ..Promoted::clone(&entry.promoted) }, entry.from.clone())
        };
        let bytes = serde_json::to_vec(&promoted).map_err(|error| RelayError::Config(error.to_string()))?;
        store.promote(self.topic, &self.name, generation, &bytes, &from)?;
        if let Some(entry) = self.inner.lock().entries.iter_mut().find(|entry| entry.generation == generation) {
            entry.promoted = Arc::new(promoted);
        }
        Ok(())
    }

    /// Why the lanes are held, where they are.
    pub(crate) fn held(&self) -> Option<String> {
        self.inner.lock().held.clone()
    }

    /// Whether [`Generations::hold`] is in force.
    pub(crate) fn is_held(&self) -> bool {
        self.inner.lock().held.is_some()
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
        let inner = self.inner.lock();
        let replays = inner.replays.iter().map(|entry| &entry.promoted);
        inner.entries.iter().map(|entry| &entry.promoted).chain(replays).any(|promoted| test(promoted))
    }

    /// What a generation is.
    pub(crate) fn get(&self, generation: Generation) -> Option<Arc<Promoted>> {
        let inner = self.inner.lock();
        let replays = inner.replays.iter().map(|entry| (entry.generation, &entry.promoted));
        let mut all = inner.entries.iter().map(|entry| (entry.generation, &entry.promoted)).chain(replays);
        all.find(|(number, _)| *number == generation).map(|(_, promoted)| promoted.clone())
    }

    /// A number that no other generation has had, nor will.
    pub(crate) fn reserve(&self) -> Generation {
        let mut inner = self.inner.lock();
        let number = inner.highest.map_or(1, |highest| highest.saturating_add(1));
        inner.highest = Some(number);
        number
    }

    /// This number is taken: by a replay that an earlier life of the box began.
    pub(crate) fn is_taken(&self, generation: Generation) {
        let mut inner = self.inner.lock();
        inner.highest = inner.highest.max(Some(generation));
    }

    /// A replay is done, durably.
    pub(crate) fn replayed(&self, generation: Generation, ranges: Vec<(PartitionId, Offset, Offset)>, promoted: Promoted) {
        let mut inner = self.inner.lock();
        inner.replays.push(Replayed { generation, ranges, promoted: Arc::new(promoted) });
        inner.replays.sort_by_key(|entry| entry.generation);
    }

    /// The first offset of which the newest live generation is sure to be the one that handles it: none above was ever begun
    /// by another. None while there is no generation.
    pub(crate) fn newest_from(&self, partition: PartitionId) -> Option<Offset> {
        self.inner.lock().entries.last().map(|entry| entry.from(partition))
    }

    /// The least offset of `[first, end)` from which on everything was made by this codec and chain already.
    pub(crate) fn same_from(&self, partition: PartitionId, first: Offset, end: Offset, wanted: &Promoted) -> Offset {
        let mut bounds: Vec<Offset> = {
            let inner = self.inner.lock();
            let live = inner.entries.iter().map(|entry| entry.from(partition));
            let replays = inner.replays.iter().flat_map(|entry| &entry.ranges);
            let replays = replays.filter(|(own, ..)| *own == partition).flat_map(|(_, first, end)| [*first, *end]);
            live.chain(replays).filter(|bound| (first..end).contains(bound)).collect()
        };
        bounds.push(first);
        bounds.sort_unstable();
        bounds.dedup();
        let mut same = end;
        // What holds at a bound holds up to the next.
        for bound in bounds.into_iter().rev() {
            let is_same =
                self.get(self.at(partition, bound)).is_some_and(|it| it.chain == wanted.chain && it.codec == wanted.codec);
            if !is_same {
                break;
            }
            same = bound;
        }
        same
    }

    /// The least offset above this one at which another generation may handle a partition.
    pub(crate) fn next_bound(&self, partition: PartitionId, offset: Offset) -> Option<Offset> {
        let inner = self.inner.lock();
        let live = inner.entries.iter().map(|entry| entry.from(partition));
        let replays = inner.replays.iter().flat_map(|entry| &entry.ranges);
        let replays = replays.filter(|(own, ..)| *own == partition).flat_map(|(_, first, end)| [*first, *end]);
        live.chain(replays).filter(|bound| *bound > offset).min()
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

    /// The generation whose rows an offset has, or will have.
    pub(crate) fn at(&self, partition: PartitionId, offset: Offset) -> Generation {
        let inner = self.inner.lock();
        if let Some(replayed) = inner.replays.iter().rfind(|entry| entry.has(partition, offset)) {
            return replayed.generation;
        }
        inner.entries.iter().rfind(|entry| entry.from(partition) <= offset).map_or(0, |entry| entry.generation)
    }

    /// All of them, the oldest first.
    pub(crate) fn list(&self) -> Vec<Listed> {
        let listed = |entry: &Entry| Listed {
            generation: entry.generation,
            from: entry.from.clone(),
            ranges: Vec::new(),
            promoted: entry.promoted.clone(),
        };
        let replayed = |entry: &Replayed| Listed {
            generation: entry.generation,
            from: BTreeMap::new(),
            ranges: entry.ranges.clone(),
            promoted: entry.promoted.clone(),
        };
        let inner = self.inner.lock();
        let mut all: Vec<Listed> = inner.entries.iter().map(listed).chain(inner.replays.iter().map(replayed)).collect();
        all.sort_by_key(|listed| listed.generation);
        all
    }

    /// The generation whose rows an offset has, or will have, with the offsets around it that it handles too.
    pub(crate) fn around(&self, partition: PartitionId, offset: Offset) -> Option<Handled> {
        let inner = self.inner.lock();
        if let Some(replayed) = inner.replays.iter().rfind(|entry| entry.has(partition, offset)) {
            let (_, first, end) = replayed.range(partition, offset)?;
            let promoted = replayed.promoted.clone();
            return Some(Handled { generation: replayed.generation, promoted, first, end, is_replay: true });
        }
        // As a lane claims it: below the first generation there is nothing that could have handled it, so the first one does.
        let index = inner.entries.iter().rposition(|entry| entry.from(partition) <= offset).unwrap_or(0);
        let entry = inner.entries.get(index)?;
        let end = inner.entries[index + 1..].iter().map(|later| later.from(partition)).filter(|&from| from > offset).min();
        let first = if entry.from(partition) <= offset { entry.from(partition) } else { 0 };
        Some(Handled {
            generation: entry.generation,
            promoted: entry.promoted.clone(),
            first,
            end: end.unwrap_or(Offset::MAX),
            is_replay: false,
        })
    }

    /// Makes a generation: durable when it returns. The caller wakes the topic's lanes, whatever the outcome.
    ///
    /// `emitted` tells the offset behind the last one of a partition whose emissions are durable anywhere. Of [`After::Nothing`] it is
    /// generation 0, or what there is by now; [`RelayError::Config`] where what it is to come after is not the newest any more.
    pub(crate) fn promote(
        &self,
        store: &Store,
        emitted: impl Fn(PartitionId) -> Offset,
        promoted: Promoted,
        ready: Arc<Ready>,
        after: After,
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
            match (after, newest) {
                (After::Nothing, Some(newest)) => return Ok(newest),
                (After::This(wanted), newest) if newest != Some(wanted) => {
                    return Err(RelayError::Config(format!("another generation than {wanted} is live by now; it stays")));
                }
                _ => {}
            }
            inner.promoting = true;
            let generation =
                if after == After::Nothing { 0 } else { inner.highest.map_or(1, |highest| highest.saturating_add(1)) };
            inner.highest = inner.highest.max(Some(generation));
            (generation, inner.claimed.clone())
        };
        let outcome = serde_json::to_vec(&promoted)
            .map_err(|e| RelayError::Config(e.to_string()))
            .and_then(|bytes| Ok(store.promote(self.topic, &self.name, generation, &bytes, &from)?));
        let mut inner = self.inner.lock();
        inner.promoting = false;
        outcome?;
        inner.held = None;
        // Compiled chains of generations that no lane needs any more give their memory back.
        for entry in &mut inner.entries {
            entry.ready = None;
        }
        inner.entries.push(Entry { generation, from, promoted: Arc::new(promoted), ready: Some(ready) });
        Ok(generation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::ChainRecord;

    #[test]
    fn what_failed_before_a_promotion_does_not_hold_what_came_of_it() {
        let chain = ChainRecord { entries: Vec::new(), engine: String::new() };
        let promoted = serde_json::to_vec(&Promoted::new(MadeBy::Hot, None, chain, None)).unwrap();
        let entry = |generation| GenerationEntry {
            generation,
            chain: promoted.clone().into(),
            from: BTreeMap::new(),
            ranges: Vec::new(),
        };
        let (generations, wrong) = Generations::load(TopicId::default(), "web".into(), vec![entry(1), entry(2)]);
        assert!(wrong.is_empty(), "{wrong:?}");
        assert!(!generations.hold(1, "of an older one".to_owned()) && !generations.is_held());
        assert!(generations.hold(2, "of this".to_owned()) && generations.is_held());
    }
}
