//! Parts that nobody sees yet, and the one commit that puts them in the place of others: what a replay writes.
//!
//! ```text
//! put_job ─→ stage, append … commit_stage ─→ … ─→ finish_job     or, at any time: put_job with open = false
//!   │              rows in memory   │ parts staged + how far          parts live, masks, covered parts gone,
//!   job known                       │ it has come, in one commit      generation known: in one commit
//! ```
//! Invariants: a staged part and the record that says how far the job came are one commit, so a job that goes on after a crash makes
//! no row twice and leaves none out. Nothing of a job is seen before [`Store::finish_job`] returned, all of it from then on.
//! Limits: a [`Stage`] is as large as its caller lets it grow; it is not part of the memtables' budget.
//! Crash story: as a flush's. Staged files are named in the log; those that are not are orphans.

use std::sync::Arc;

use super::commits::{GenerationEntry, JobEntry, PartMeta, TopicChange};
use super::flush::{Change, doom};
use super::mask::{MASKS, Mask, Masks, ToCome};
use super::memtable::Memtable;
use super::part::read::PartFile;
use super::topic::TopicStore;
use super::{Store, StoreError};
use crate::base::ids::{Generation, Offset, PartitionId, TopicId};
use crate::base::row::Rows;

/// Rows of a job that are in no part yet.
#[derive(Debug)]
pub struct Stage {
    topic: TopicId,
    name: Arc<str>,
    table: Memtable,
}

impl Stage {
    /// An empty one.
    pub fn new(topic: TopicId, name: &Arc<str>) -> Self {
        Self { topic, name: name.clone(), table: Memtable::default() }
    }

    /// Adds rows of one partition in offset order.
    pub fn append(&mut self, partition: PartitionId, generation: Generation, rows: &Rows<'_>) {
        self.table.append(partition, generation, rows, 0);
    }

    /// Memory that it holds, about.
    pub fn bytes(&self) -> usize {
        self.table.bytes()
    }

    /// Rows in it.
    pub fn rows(&self) -> u64 {
        self.table.rows()
    }
}

/// Parts that were written for a job; gone when they are dropped uncommitted.
#[derive(Debug)]
pub struct Staged {
    topic: TopicId,
    name: Arc<str>,
    files: Vec<Arc<PartFile>>,
    known: bool,
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.known {
            self.files.iter().for_each(|file| file.doom());
        }
    }
}

/// While it lives, no merge begins.
#[derive(Debug)]
pub struct NoMerge<'s> {
    _one: parking_lot::MutexGuard<'s, ()>,
}

impl Store {
    /// The jobs of all topics: open ones, and the last closed ones.
    pub fn jobs(&self) -> Vec<(TopicId, JobEntry)> {
        let jobs = |topic: Arc<TopicStore>| {
            let state = topic.state.lock();
            state.durable.jobs.values().map(|job| (topic.id, job.clone())).collect::<Vec<_>>()
        };
        self.all_topics().into_iter().flat_map(jobs).collect()
    }

    /// Rows and bytes that a job has staged.
    pub fn staged(&self, topic: TopicId, job: u64) -> (u64, u64) {
        let Some(topic) = self.topic(topic) else { return (0, 0) };
        let state = topic.state.lock();
        let own = state.durable.staged.values().filter(|(owner, _)| *owner == job);
        own.fold((0, 0), |(rows, bytes), (_, part)| (rows + part.rows, bytes + part.bytes))
    }

    /// Makes a job known, or what it has become. One that is no longer open loses its staged parts, and the masks that were only
    /// kept for them go.
    ///
    /// # Errors
    /// The disk's; then it is as before.
    pub fn put_job(&self, topic: TopicId, name: &str, job: JobEntry) -> Result<(), StoreError> {
        let topic = self.topic_or_new(topic, name);
        let (id, open) = (job.id, job.open);
        let mut change = TopicChange { jobs: vec![job], ..TopicChange::default() };
        let _number = (!open).then(|| self.masking.lock());
        if !open {
            let state = topic.state.lock();
            let own = state.durable.staged.values().filter(|(owner, _)| *owner == id);
            let own: Vec<u64> = own.map(|(_, part)| part.id).collect();
            change.unmask = state.unneeded(&state.durable.masks, &own, &[], Some(id));
        }
        self.commit(vec![Change { topic, change, files: Vec::new(), keyed: Vec::new(), flushed: false }])
    }

    /// Writes the rows to parts that nobody knows yet; [`Store::commit_stage`] makes them known. `stage` is empty afterwards, whatever
    /// the outcome.
    ///
    /// # Errors
    /// The disk's, [`StoreError::Closed`]; the rows are to be made again then.
    pub fn write_stage(&self, stage: &mut Stage) -> Result<Staged, StoreError> {
        let table = std::mem::take(&mut stage.table);
        let mut staged = Staged { topic: stage.topic, name: stage.name.clone(), files: Vec::new(), known: false };
        if table.rows() > 0 {
            let source = Arc::new(table.into_source(stage.topic, &stage.name));
            staged.files = self.write_days(stage.topic, &stage.name, source)?;
        }
        Ok(staged)
    }

    /// Makes written parts known as staged, and says with them how far their job has come.
    ///
    /// # Errors
    /// The disk's; then neither is so, and the rows are to be made again.
    pub fn commit_stage(&self, mut staged: Staged, job: JobEntry) -> Result<(), StoreError> {
        let topic = self.topic_or_new(staged.topic, &staged.name);
        staged.known = true;
        let files = std::mem::take(&mut staged.files);
        let stage = files.iter().map(|file| (job.id, file.meta.clone())).collect();
        let change = TopicChange { stage, jobs: vec![job], ..TopicChange::default() };
        let changes = vec![Change { topic, change, files, keyed: Vec::new(), flushed: false }];
        self.sync_names(&changes).inspect_err(|_| doom(&changes))?;
        self.commit(changes)
    }

    /// Waits for the merge that is under way, and lets none begin while the answer lives.
    pub fn no_merge(&self) -> NoMerge<'_> {
        NoMerge { _one: self.merging.lock() }
    }

    /// Why what a job staged, of so many rows, must not take the place of what is there, though by the log it is under way: the log lost
    /// what it said of it, or the disk what it staged. No two jobs of the same records are under way at once, so one that is overtaken
    /// has ended.
    pub fn why_not_finish(&self, topic: TopicId, job: u64, generation: &GenerationEntry, rows: u64) -> Option<String> {
        let topic = self.topic(topic)?;
        let (files, staged) = {
            let state = topic.state.lock();
            let touches = |(partition, first, end): &(PartitionId, Offset, Offset)| {
                generation.ranges.iter().any(|(own, from, to)| own == partition && first < to && from < end)
            };
            let mut later = state.durable.generations.iter().filter(|other| other.generation > generation.generation);
            if let Some(other) = later.find(|other| other.ranges.iter().any(touches)) {
                return Some(format!(
                    "rows of generation {} are in the place of its own already: the commit log has lost that it ended",
                    other.generation
                ));
            }
            let own = state.durable.staged.values().filter(|(owner, _)| *owner == job).map(|(_, part)| part);
            let files: Vec<_> = own.clone().filter_map(|part| state.staged.get(&part.id).cloned()).collect();
            (files, own.map(|part| part.rows).sum::<u64>())
        };
        if staged < rows {
            return Some(format!("of {rows} rows that it made {staged} are left"));
        }
        let unread = files.iter().find_map(|file| file.directory().err());
        unread.map(|error| format!("rows that it made cannot be read: {error}"))
    }

    /// Puts what a job staged in the place of what was there: of the generation's ranges only its own rows are seen from here on.
    /// No merge may take parts away that this drops: who calls this has waited for it, before taking locks of its own. Every offset
    /// of the ranges must be below the partition's durable next one. Durable when it returns.
    ///
    /// # Errors
    /// The disk's; then nothing has changed, and it may be tried again.
    pub fn finish_job(
        &self,
        _no_merge: &NoMerge<'_>,
        topic: TopicId,
        name: &str,
        job: JobEntry,
        generation: GenerationEntry,
    ) -> Result<(), StoreError> {
        let topic = self.topic_or_new(topic, name);
        // No other mask may take the number that this one takes.
        let _number = self.masking.lock();
        let change = {
            let mut state = topic.state.lock();
            let seq = state.next_mask();
            let durable = &state.durable;
            let ranges = &generation.ranges;
            let covered = |part: &&PartMeta| {
                let within = |(partition, first, last): &(PartitionId, Offset, Offset)| {
                    ranges.iter().any(|(own, from, end)| own == partition && from <= first && last < end)
                };
                !part.offsets.is_empty() && part.offsets.iter().all(within)
            };
            let remove: Vec<u64> = durable.parts.values().filter(covered).map(|part| part.id).collect();
            let staged = durable.staged.values().filter(|(owner, _)| *owner == job.id).map(|(_, part)| part);
            let add = staged.map(|part| {
                // The mask to come lets all of its rows be seen; only a deletion while it was made says more.
                let swept = if durable.masks.deletes_of(part) { part.swept } else { seq };
                PartMeta { swept, ..part.clone() }
            });
            let add: Vec<PartMeta> = add.collect();
            let mask = |&(partition, first, end): &(PartitionId, Offset, Offset)| Mask {
                seq,
                partition,
                first,
                end,
                keep: Some(generation.generation),
            };
            let masks: Vec<Mask> = ranges.iter().map(mask).collect();
            let mut after = (*durable.masks).clone();
            masks.iter().for_each(|mask| after.add(mask));
            let unmask = state.unneeded(&after, &remove, &add, Some(job.id));
            TopicChange { add, remove, masks, unmask, generations: vec![generation], jobs: vec![job], ..TopicChange::default() }
        };
        self.commit(vec![Change { topic, change, files: Vec::new(), keyed: Vec::new(), flushed: false }])
    }

    /// Makes what was written live in one commit with what it stands for: of the generation's ranges only its own rows are seen from
    /// here on, and the rows of `letters`, another topic's, are gone for good. Every offset of the ranges must be below the
    /// partition's durable next one. Durable when it returns.
    ///
    /// # Errors
    /// The disk's; [`StoreError::Crowded`]. Then nothing has changed, and what was staged is gone.
    pub fn finish_retry(
        &self,
        topic: TopicId,
        name: &str,
        mut staged: Vec<Staged>,
        generation: Option<GenerationEntry>,
        letters: (TopicId, &str, &[(PartitionId, Offset, Offset)]),
    ) -> Result<(), StoreError> {
        let (own, dead) = (self.topic_or_new(topic, name), self.topic_or_new(letters.0, letters.1));
        let _one = self.merging.lock();
        let _number = self.masking.lock();
        let (seq, known) = {
            let mut state = dead.state.lock();
            (state.next_mask(), state.durable.masks.len())
        };
        if letters.2.len().saturating_mul(2).saturating_add(known) > MASKS {
            return Err(StoreError::Crowded { what: "resolved dead letters", most: MASKS });
        }
        let mask = |&(partition, first, end): &(PartitionId, Offset, Offset)| Mask { seq, partition, first, end, keep: None };
        let resolved = TopicChange { masks: letters.2.iter().map(mask).collect(), ..TopicChange::default() };
        let mut files = Vec::new();
        let made = generation.map(|generation| {
            let mut state = own.state.lock();
            let seq = state.next_mask();
            let durable = &state.durable;
            for staged in &mut staged {
                staged.known = true;
                for file in std::mem::take(&mut staged.files) {
                    // As in `finish_job`: only a deletion meanwhile says more than the mask to come.
                    let swept = if durable.masks.deletes_of(&file.meta) { file.meta.swept } else { seq };
                    files.push(Arc::new(file.as_meant(PartMeta { swept, ..file.meta.clone() })));
                }
            }
            let mask = |&(partition, first, end): &(PartitionId, Offset, Offset)| Mask {
                seq,
                partition,
                first,
                end,
                keep: Some(generation.generation),
            };
            let masks: Vec<Mask> = generation.ranges.iter().map(mask).collect();
            let add: Vec<PartMeta> = files.iter().map(|file: &Arc<PartFile>| file.meta.clone()).collect();
            let mut after = (*durable.masks).clone();
            masks.iter().for_each(|mask| after.add(mask));
            let unmask = state.unneeded(&after, &[], &add, None);
            TopicChange { add, masks, unmask, generations: vec![generation], ..TopicChange::default() }
        });
        let of = |topic, change, files| Change { topic, change, files, keyed: Vec::new(), flushed: false };
        let mut changes = vec![of(dead, resolved, Vec::new())];
        changes.extend(made.map(|change| of(own, change, files)));
        self.sync_names(&changes).inspect_err(|_| doom(&changes))?;
        self.commit(changes)
    }

    /// Deletes the rows of these offsets, `(partition, first, end)`, for good: those that are there, and those that a lane or a
    /// replay would make of them again. Durable when it returns; the parts that have them are written anew later.
    ///
    /// # Errors
    /// The disk's; [`StoreError::Crowded`] where a topic has too many of them already. Nothing is deleted then.
    pub fn delete_rows(&self, topic: TopicId, name: &str, offsets: &[(PartitionId, Offset, Offset)]) -> Result<(), StoreError> {
        let topic = self.topic_or_new(topic, name);
        let _number = self.masking.lock();
        let (seq, known) = {
            let mut state = topic.state.lock();
            (state.next_mask(), state.durable.masks.len())
        };
        // One in the midst of another makes three.
        if offsets.len().saturating_mul(2).saturating_add(known) > MASKS {
            return Err(StoreError::Crowded { what: "deleted stretches of offsets", most: MASKS });
        }
        let mask = |&(partition, first, end): &(PartitionId, Offset, Offset)| Mask { seq, partition, first, end, keep: None };
        let masks = offsets.iter().map(mask).collect();
        let change = TopicChange { masks, ..TopicChange::default() };
        self.commit(vec![Change { topic, change, files: Vec::new(), keyed: Vec::new(), flushed: false }])
    }

    /// What is masked of a topic, for those who make rows: [`Masks::is_gone`] says which are not to be made.
    pub fn masks(&self, topic: TopicId) -> Option<Arc<Masks>> {
        let topic = self.topic(topic)?;
        let masks = topic.state.lock().durable.masks.clone();
        (!masks.is_empty()).then_some(masks)
    }

    /// Says which of a topic's records may come again: masks of others are forgotten once no part needs them.
    pub fn set_to_come(&self, topic: TopicId, to_come: ToCome) {
        if let Some(topic) = self.topic(topic) {
            topic.state.lock().to_come = to_come;
        }
    }
}
