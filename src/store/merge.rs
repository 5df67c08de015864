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
//! A merge writes no row that a mask hides (`mask.rs`). A part that a mask meets is written anew alone where no merge is due, so
//! that what was deleted or replaced leaves the disk; masks that no part needs any more go with that commit.
//!
//! Crash story: as a flush's. The commit that adds the merged part removes the others; their files go when nobody reads them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::commits::{PartMeta, TopicChange};
use super::flush::{Change, doom, joined};
use super::mask::{Masked, Masks};
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
        let chosen = chosen.or_else(|| {
            self.all_topics().into_iter().find_map(|topic| {
                let file = {
                    let state = topic.state.lock();
                    to_sweep(state.parts.values(), &state.durable.masks)?
                };
                Some((topic, vec![file]))
            })
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
        let (name, masks, swept) = {
            let state = topic.state.lock();
            (state.name.clone(), state.durable.masks.clone(), state.durable.next_mask() - 1)
        };
        let sources: Vec<Arc<PartSource>> =
            files.iter().map(|file| Arc::new(PartSource::new(file.clone(), topic.id, name.clone()))).collect();
        for source in &sources {
            source.check()?;
        }
        let inputs: Vec<Input> = sources.iter().map(|source| Input::Part(source.clone())).collect();
        let mut pieces = Vec::new();
        for (input, source) in sources.iter().enumerate() {
            swept_pieces(source, input, &masks, &mut pieces)?;
        }
        let rows: u64 = files.iter().map(|file| file.meta.rows).sum();
        let kept: u64 = pieces.iter().map(|piece| kept_rows(&sources, piece)).sum();
        let raw_bytes: u64 = files.iter().map(|file| file.meta.raw_bytes).sum();
        let remove: Vec<u64> = files.iter().map(|file| file.meta.id).collect();
        let (mut change, mut merged) = (TopicChange::default(), Vec::new());
        match files {
            // A mask met it, but none of its rows: nothing is to be written.
            [file] if kept == rows => change.add.push(PartMeta { swept, ..file.meta.clone() }),
            _ if kept == 0 => change.remove = remove,
            _ => {
                let groups = joined(&inputs, pieces);
                let raw_bytes =
                    u64::try_from(u128::from(raw_bytes) * u128::from(kept) / u128::from(rows.max(1))).unwrap_or(raw_bytes);
                let keep_day = files.iter().map(|file| file.meta.keep_day).max().unwrap_or(0);
                let day = files.first().and_then(|file| file.meta.day);
                let file = self.write_part(topic.id, &name, &inputs, &groups, day, raw_bytes, keep_day, swept)?;
                change.add.push(file.meta.clone());
                change.remove = remove;
                merged.push(file);
            }
        }
        self.unmask(topic, &mut change);
        let changes = vec![Change { topic: topic.clone(), change, files: merged, keyed: Vec::new(), flushed: false }];
        self.sync_names(&changes).inspect_err(|_| doom(&changes))?;
        self.commit(changes)
    }

    /// Adds the masks that no part needs once a change is made. No other change may add parts meanwhile that need them: flushes
    /// do not, for their rows are above every mask, or below one that is kept for them ([`super::mask::ToCome`]).
    fn unmask(&self, topic: &Arc<TopicStore>, change: &mut TopicChange) {
        let state = topic.state.lock();
        let durable = &state.durable;
        if durable.masks.is_empty() {
            return;
        }
        change.unmask = state.unneeded(&durable.masks, &change.remove, &change.add);
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
        for change in changes.values_mut() {
            let topic = change.topic.clone();
            self.unmask(&topic, &mut change.change);
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

/// The rows of a source that are to be written, group by group.
fn swept_pieces(source: &Arc<PartSource>, input: usize, masks: &Arc<Masks>, pieces: &mut Vec<Piece>) -> Result<(), StoreError> {
    let meta = &source.file.meta;
    let masked = masks.meets(meta).then(|| Masked::new(source.clone(), masks.clone(), meta.swept));
    for group in 0..source.groups() {
        let hidden = match &masked {
            Some(masked) => masked.hidden(group)?,
            None => None,
        };
        let Some(hidden) = hidden else {
            pieces.push(Piece { input, group, rows: None });
            continue;
        };
        let count = u16::try_from(source.rows(group)).unwrap_or(u16::MAX);
        let is_seen = |row: &u16| {
            let row = usize::from(*row);
            hidden.get(row / 64).is_none_or(|word| word >> (row % 64) & 1 == 0)
        };
        let rows: Vec<u16> = (0..count).filter(is_seen).collect();
        if !rows.is_empty() {
            pieces.push(Piece { input, group, rows: Some(rows) });
        }
    }
    Ok(())
}

fn kept_rows(sources: &[Arc<PartSource>], piece: &Piece) -> u64 {
    let all = || sources.get(piece.input).map_or(0, |source| source.rows(piece.group));
    piece.rows.as_ref().map_or_else(all, Vec::len) as u64
}

/// A part that has rows which a mask may hide, if any.
fn to_sweep<'a>(mut parts: impl Iterator<Item = &'a Arc<PartFile>>, masks: &Masks) -> Option<Arc<PartFile>> {
    if masks.is_empty() {
        return None;
    }
    parts.find(|file| !file.is_left_alone() && masks.meets(&file.meta)).cloned()
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
