//! Few large parts from many small ones, and old days dropped.
//!
//! Merging is lazy: `merge_parts` (8) parts of one topic and day whose sizes lie within the same factor of 8 become one, so a
//! row is rewritten once for every factor of 8 that its day's rows outgrow a flush. Never across days. Parts past
//! [`MERGED_ROWS`] stay as they are. A part that turns out damaged is left alone from then on: merging would spread nothing
//! and save nothing.
//!
//! A part with very many columns and chunks, whose directory takes much of what a merge may hold, is not merged with others either.
//!
//! A merge writes no row that a mask hides (`mask.rs`). A part that a mask meets is written anew alone where no merge is due, so
//! that what was deleted or replaced leaves the disk; masks that no part needs any more go with that commit.
//!
//! Crash story: as a flush's. The commit that adds the merged part removes the others; their files go when nobody reads them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::commits::{PartMeta, TopicChange};
use super::flush::{Change, Fresh, doom, joined};
use super::mask::{Masked, Masks};
use super::part::job::{Input, Piece};
use super::part::read::{PartFile, PartSource};
use super::source::Source;
use super::topic::TopicStore;
use super::{Store, StoreError};

/// Most rows of a merged part: bounds what a merge holds in memory.
pub const MERGED_ROWS: u64 = 4 << 20;
/// Share of the most bytes that a section of a directory may have, which the directories of all parts of a merge may take in memory:
/// a merge holds several times that, and what it writes is far from too large to be read back.
const DIRECTORY_SHARE: usize = 4;
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
        let room = self.room_for_a_merge();
        let chosen = self.all_topics().into_iter().find_map(|topic| {
            let files = candidates(topic.state.lock().parts.values(), self.config.merge_parts, room)?;
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
            Ok(merges) => {
                self.counters.merges.fetch_add(merges, Ordering::Relaxed);
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

    /// Finds parts of large directories among some that are to be merged; whether there are any, and these are not to be merged.
    fn finds_wide(&self, files: &[Arc<PartFile>]) -> Result<bool, StoreError> {
        let most = self.directory_bytes / DIRECTORY_SHARE;
        let sizes = files.iter().map(|file| Ok(file.directory()?.bytes())).collect::<Result<Vec<_>, StoreError>>()?;
        if files.len() < 2 || sizes.iter().sum::<usize>() <= most {
            return Ok(false);
        }
        // At least one has more than its share.
        let wide = files.iter().zip(sizes).filter(|(_, size)| *size > most / files.len());
        wide.for_each(|(file, _)| file.keep_single());
        Ok(true)
    }

    /// Merges these; how many merges that was.
    fn merge(&self, topic: &Arc<TopicStore>, files: &[Arc<PartFile>]) -> Result<u64, StoreError> {
        let (name, masks, swept) = {
            let mut state = topic.state.lock();
            (state.name.clone(), state.durable.masks.clone(), state.next_mask() - 1)
        };
        let sources: Vec<Arc<PartSource>> =
            files.iter().map(|file| Arc::new(PartSource::new(file.clone(), topic.id, name.clone()))).collect();
        for source in &sources {
            source.check()?;
        }
        if self.finds_wide(files)? {
            return Ok(0);
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
                let fresh = Fresh { topic: topic.id, name: &name, inputs: &inputs, day, raw_bytes, keep_day, swept };
                merged = self.write_parts(&fresh, groups)?;
                change.add = merged.iter().map(|file| file.meta.clone()).collect();
                change.remove = remove;
                if merged.len() > 1 {
                    // Together they would only be taken apart again.
                    merged.iter().for_each(|file| file.keep_single());
                }
            }
        }
        let _number = self.masking.lock();
        self.unmask(topic, &mut change);
        let changes = vec![Change { topic: topic.clone(), change, files: merged, keyed: Vec::new(), flushed: false }];
        self.sync_names(&changes).inspect_err(|_| doom(&changes))?;
        self.commit(changes)?;
        Ok(1)
    }

    /// Adds the masks that no part needs once a change is made. No other change may add parts meanwhile that need them: flushes
    /// do not, for masks that came after a memtable's first row are kept for it, and rows of earlier ones are not taken in, or the
    /// mask is kept for them ([`super::mask::ToCome`]). Who calls this holds `masking` until the commit: masks are forgotten by where
    /// they begin, and a new one may begin there.
    pub(super) fn unmask(&self, topic: &Arc<TopicStore>, change: &mut TopicChange) {
        let state = topic.state.lock();
        let durable = &state.durable;
        if durable.masks.is_empty() {
            return;
        }
        change.unmask = state.unneeded(&durable.masks, &change.remove, &change.add, None);
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

/// The parts to merge first, if any: enough of one day and of one order of size, that take at most `room` together.
///
/// Those of fewest rows first, so that a day never has more than `enough - 1` parts of one order of size, and beside them one for
/// each `MERGED_ROWS / enough` rows: of parts that are not merged for having too many rows all but so many have that many at least.
fn candidates<'a>(parts: impl Iterator<Item = &'a Arc<PartFile>>, enough: usize, room: u64) -> Option<Vec<Arc<PartFile>>> {
    let mut tiers = BTreeMap::<_, Vec<Arc<PartFile>>>::new();
    for file in parts.filter(|file| !file.is_left_alone() && !file.is_wide()) {
        let meta = &file.meta;
        // Late parts are merged only with those that are kept as long.
        let day = (meta.day, if meta.day.is_none() { meta.keep_day } else { 0 });
        tiers.entry((order_of_size(meta.bytes), day)).or_default().push(file.clone());
    }
    tiers.into_values().find_map(|mut files| {
        if files.len() < enough {
            return None;
        }
        files.sort_by_key(|file| (file.meta.rows, file.meta.id));
        files.truncate(enough);
        // In the order in which they were made.
        files.sort_by_key(|file| file.meta.id);
        let sum = |of: fn(&PartMeta) -> u64| files.iter().map(|file| of(&file.meta)).sum::<u64>();
        (sum(|meta| meta.rows) <= MERGED_ROWS && sum(|meta| meta.bytes) <= room).then_some(files)
    })
}

/// Parts of one order are at most eight times as large as each other.
pub(super) fn order_of_size(bytes: u64) -> u32 {
    (bytes / SMALL).max(1).ilog2() / 3
}
