//! Few large parts from many small ones, and old days dropped.
//!
//! Merging is lazy: `merge_parts` (8) parts of one topic and day whose sizes lie within the same factor of 8 become one, so a
//! row is rewritten once for every factor of 8 that its day's rows outgrow a flush. Never across days. Parts past
//! [`MERGED_ROWS`] stay as they are. A part that turns out damaged is left alone from then on: merging would spread nothing
//! and save nothing.
//!
//! Retention drops parts whose keep day (the later of their last event's day and last arrival's) is older than `retention`,
//! and whole oldest days while all parts together are larger than `retention_bytes`.
//!
//! Crash story: as a flush's. The commit that adds the merged part removes the others; their files go when nobody reads them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::commits::{PartMeta, TopicChange};
use super::flush::{Change, doom, joined};
use super::part::job::{Input, Piece};
use super::part::read::{PartFile, PartSource};
use super::source::Source;
use super::topic::TopicStore;
use super::{Store, StoreError, ballast};
use crate::base::time;

/// Most rows of a merged part: bounds what a merge holds in memory.
pub const MERGED_ROWS: u64 = 4 << 20;
/// Size below which parts are all alike.
const SMALL: u64 = 64 << 10;

impl Store {
    /// Merges until nothing is left to merge; how many merges that were.
    ///
    /// # Errors
    /// The disk's; what was merged before stands.
    pub fn merge_all(&self) -> Result<u64, StoreError> {
        let mut merges = 0;
        while self.merge_one()? {
            merges += 1;
        }
        Ok(merges)
    }

    /// Does the merge that is most due; whether there was one.
    pub(super) fn merge_one(&self) -> Result<bool, StoreError> {
        let _one = self.merging.lock();
        let chosen = self.all_topics().into_iter().find_map(|topic| {
            let files = candidates(topic.state.lock().parts.values(), self.config.merge_parts)?;
            Some((topic, files))
        });
        let Some((topic, files)) = chosen else { return Ok(false) };
        match self.merge(&topic, &files) {
            Ok(()) => {
                self.counters.merges.fetch_add(1, Ordering::Relaxed);
                Ok(true)
            }
            Err(StoreError::Damaged { path, at, what }) => {
                self.counters.merge_errors.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(path, at, what, "a damaged part is left out of merges");
                // Left alone: the one that is named, or all of them if none is.
                let named = files.iter().filter(|file| file.path.display().to_string() == path);
                named.for_each(|file| file.leave_alone());
                if !files.iter().any(|file| file.is_left_alone()) {
                    files.iter().for_each(|file| file.leave_alone());
                }
                Ok(true)
            }
            Err(error) => {
                self.counters.merge_errors.fetch_add(1, Ordering::Relaxed);
                Err(error)
            }
        }
    }

    fn merge(&self, topic: &Arc<TopicStore>, files: &[Arc<PartFile>]) -> Result<(), StoreError> {
        let name = topic.state.lock().name.clone();
        let sources: Vec<Arc<PartSource>> =
            files.iter().map(|file| Arc::new(PartSource::new(file.clone(), topic.id, name.clone()))).collect();
        for source in &sources {
            source.check()?;
        }
        let inputs: Vec<Input> = sources.iter().map(|source| Input::Part(source.clone())).collect();
        let mut pieces = Vec::new();
        for (input, source) in sources.iter().enumerate() {
            pieces.extend((0..source.groups()).map(|group| Piece { input, group, rows: None }));
        }
        let groups = joined(&inputs, pieces);
        let raw_bytes = files.iter().map(|file| file.meta.raw_bytes).sum();
        let keep_day = files.iter().map(|file| file.meta.keep_day).max().unwrap_or(0);
        let day = files.first().and_then(|file| file.meta.day);
        let merged = self.write_part(topic.id, &name, &inputs, &groups, day, raw_bytes, keep_day)?;
        let remove: Vec<u64> = files.iter().map(|file| file.meta.id).collect();
        let change = TopicChange { add: vec![merged.meta.clone()], remove, ..TopicChange::default() };
        let changes = vec![Change { topic: topic.clone(), change, files: vec![merged], keyed: Vec::new(), flushed: false }];
        self.sync_names(&changes).inspect_err(|_| doom(&changes))?;
        self.commit(changes)
    }

    /// Drops what is older than the store keeps, or more than it may take; how many parts that were.
    ///
    /// # Errors
    /// The disk's; then nothing was dropped.
    pub fn drop_old(&self) -> Result<u64, StoreError> {
        let _one = self.merging.lock();
        let first_day = time::day(self.clock.now_ns().saturating_sub(self.config.retention.as_ns()));
        let mut by_day = BTreeMap::<i64, Vec<(Arc<TopicStore>, PartMeta)>>::new();
        let mut bytes = 0;
        for topic in self.all_topics() {
            for part in topic.state.lock().durable.parts.values() {
                bytes += part.bytes;
                by_day.entry(part.keep_day).or_default().push((topic.clone(), part.clone()));
            }
        }
        let limit = self.config.retention_bytes.map_or(u64::MAX, |bytes| bytes.0);
        let mut dropped = Vec::new();
        let last_day = by_day.keys().next_back().copied();
        for (day, mut parts) in by_day {
            let too_old = day < first_day;
            if !too_old && bytes <= limit {
                break;
            }
            // The newest day goes part by part: dropping the day that is being written would leave nothing.
            parts.sort_by_key(|(_, part)| part.id);
            for (topic, part) in parts {
                if !too_old && Some(day) == last_day && bytes <= limit {
                    break;
                }
                bytes -= part.bytes;
                dropped.push((topic, part.id));
            }
        }
        let mut changes = BTreeMap::new();
        for (topic, part) in &dropped {
            let change = || Change {
                topic: topic.clone(),
                change: TopicChange::default(),
                files: Vec::new(),
                keyed: Vec::new(),
                flushed: false,
            };
            changes.entry(topic.id).or_insert_with(change).change.remove.push(*part);
        }
        if changes.is_empty() {
            ballast::lay(&self.disk);
        } else {
            ballast::let_go(&self.disk);
            self.commit(changes.into_values().collect())?;
        }
        self.counters.parts_dropped.fetch_add(dropped.len() as u64, Ordering::Relaxed);
        Ok(dropped.len() as u64)
    }
}

/// The parts to merge first, if any: enough of one day and of one order of size.
fn candidates<'a>(parts: impl Iterator<Item = &'a Arc<PartFile>>, enough: usize) -> Option<Vec<Arc<PartFile>>> {
    let mut tiers = BTreeMap::<_, Vec<Arc<PartFile>>>::new();
    for file in parts.filter(|file| !file.is_left_alone()) {
        let meta = &file.meta;
        let tier = (meta.bytes / SMALL).max(1).ilog2() / 3;
        // Late parts are merged only with those that are kept as long.
        let day = (meta.day, if meta.day.is_none() { meta.keep_day } else { 0 });
        tiers.entry((tier, day)).or_default().push(file.clone());
    }
    tiers.into_values().find_map(|mut files| {
        files.truncate(enough);
        let rows: u64 = files.iter().map(|file| file.meta.rows).sum();
        (files.len() == enough && rows <= MERGED_ROWS).then_some(files)
    })
}
