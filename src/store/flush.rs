//! From memtable to parts, and the commit that makes it so.
//!
//! 1. Under the topic's lock the memtable and its next offsets are taken away together; it stays searchable.
//! 2. Its rows are split by UTC day: a part for each of the 8 days with most rows, if they have more than a few, and one *late* part
//!    for all other days: rows of two years in random order make one part a flush, not a part a day.
//! 3. Parts are written and synced, then their names.
//! 4. One record in the commit log says: these parts are live, these offsets are next. It covers all topics of the flush.
//! 5. Under the topic's lock the parts take the memtable's place.
//!
//! Crash story: before 4 nothing happened (the files are orphans), after it all of it did. When a step fails the memtable
//! stays where it is, counted against the budget, and the next flush begins with it: a full disk stops the lanes, not the
//! searches. Where the disk was full, the room that is kept for it (`ballast.rs`) is used first.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::MutexGuard;

use super::commits::{PartMeta, TopicChange};
use super::group::{GROUP_BYTES, GROUP_ROWS, SealedGroup};
use super::keyed::KeyedFile;
use super::look::MemSource;
use super::open::part_path;
use super::part::job::{Input, Job, Piece};
use super::part::read::PartFile;
use super::part::write::write;
use super::source::Source;
use super::topic::{State, TopicStore};
use super::{Store, StoreError, ballast};
use crate::base::ids::TopicId;
use crate::base::time;

/// Days that get a part of their own in one flush…
const DAY_PARTS: usize = 8;
/// …if they have more than this share of its rows.
const DAY_SHARE: usize = 64;
/// Partitions of a part whose offsets the log lists; of parts with more, nobody knows without opening them.
const PARTITIONS_LISTED: usize = 16;
/// How long the store rests after a flush that failed, unless it is asked: a full disk does not empty in milliseconds.
const RETRY_NS: u64 = 2_000_000_000;

/// A durable change of one topic, and the files that come with it.
pub(super) struct Change {
    pub topic: Arc<TopicStore>,
    pub change: TopicChange,
    pub files: Vec<Arc<PartFile>>,
    /// Files of keyed state that come with it; durable already.
    pub keyed: Vec<Arc<KeyedFile>>,
    /// Whether the oldest frozen memtable is in the files.
    pub flushed: bool,
}

/// What is known of parts to be, whatever rows each will have.
pub(super) struct Fresh<'a> {
    pub topic: TopicId,
    pub name: &'a Arc<str>,
    /// Where the rows come from.
    pub inputs: &'a [Input],
    pub day: Option<i64>,
    /// Of all rows.
    pub raw_bytes: u64,
    pub keep_day: i64,
    pub swept: u64,
}

impl Fresh<'_> {
    fn rows<'p>(&self, pieces: impl Iterator<Item = &'p Piece>) -> u64 {
        let all = |piece: &Piece| self.inputs.get(piece.input).map_or(0, |input| input.source().rows(piece.group));
        pieces.map(|piece| piece.rows.as_ref().map_or_else(|| all(piece), Vec::len) as u64).sum()
    }

    /// The groups in two, which both have rows where there are two rows: groups stay whole but for one that is alone.
    fn halved(&self, mut groups: Vec<Vec<Piece>>) -> (Vec<Vec<Piece>>, Vec<Vec<Piece>>) {
        if groups.len() > 1 {
            let rest = groups.split_off(groups.len() / 2);
            return (groups, rest);
        }
        let mut pieces = groups.pop().unwrap_or_default();
        if pieces.len() > 1 {
            let rest = pieces.split_off(pieces.len() / 2);
            return (vec![pieces], vec![rest]);
        }
        let halves = pieces.into_iter().map(|piece| {
            let rows = u16::try_from(self.rows(std::iter::once(&piece))).unwrap_or(u16::MAX);
            let mut first = piece.rows.unwrap_or_else(|| (0..rows).collect());
            let rest = first.split_off(first.len() / 2);
            let of = |rows| vec![Piece { input: piece.input, group: piece.group, rows: Some(rows) }];
            (of(first), of(rest))
        });
        halves.unzip()
    }
}

impl Store {
    /// Makes all rows of a topic durable.
    ///
    /// # Errors
    /// The disk's; the rows stay searchable and are tried again.
    pub fn flush_topic(&self, topic: TopicId) -> Result<(), StoreError> {
        let Some(topic) = self.topic(topic) else { return Ok(()) };
        let guard = self.flushing.lock();
        self.flush(&guard, vec![topic])
    }

    /// Makes all rows durable.
    ///
    /// # Errors
    /// As [`Store::flush_topic`].
    pub fn flush_all(&self) -> Result<(), StoreError> {
        let guard = self.flushing.lock();
        self.flush(&guard, self.all_topics())
    }

    /// Has the store's thread make all rows durable, within a second: somebody waits for that, not for this call.
    pub fn flush_soon(&self) {
        self.flush_asked.store(true, Ordering::Relaxed);
    }

    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.clock.monotonic().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Whether a flush failed a moment ago.
    pub(super) fn is_resting(&self) -> bool {
        self.now() < self.retry_at.load(Ordering::Relaxed)
    }

    /// Flushes the largest topics until a quarter of the budget is free again: one large one, or hundreds of small ones in
    /// one commit.
    pub(super) fn flush_largest(&self, flushing: &MutexGuard<'_, ()>) -> Result<(), StoreError> {
        let sized = |topic: Arc<TopicStore>| {
            let state = topic.state.lock();
            let bytes = state.active_bytes + state.frozen.iter().map(|frozen| frozen.bytes).sum::<usize>();
            drop(state);
            (bytes, topic)
        };
        let mut topics: Vec<_> = self.all_topics().into_iter().map(sized).filter(|(bytes, _)| *bytes > 0).collect();
        topics.sort_by_key(|(bytes, topic)| (std::cmp::Reverse(*bytes), topic.id));
        let mut freed = 0;
        let enough = self.config.memory.as_usize() / 4;
        let mut chosen = Vec::new();
        for (bytes, topic) in topics {
            if freed >= enough {
                break;
            }
            freed += bytes;
            chosen.push(topic);
        }
        self.flush(flushing, chosen)
    }

    /// Flushes these topics: first what an earlier flush left frozen, then the memtables.
    pub(super) fn flush(&self, _flushing: &MutexGuard<'_, ()>, topics: Vec<Arc<TopicStore>>) -> Result<(), StoreError> {
        loop {
            match self.flush_once(&topics) {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                // Once more, with the room that was kept for this.
                Err(error) if error.is_full() && ballast::let_go(&self.disk) => {}
                Err(error) => {
                    self.counters.flush_errors.fetch_add(1, Ordering::Relaxed);
                    self.retry_at.store(self.now().saturating_add(RETRY_NS), Ordering::Relaxed);
                    self.wake_all();
                    return Err(error);
                }
            }
        }
    }

    /// One commit; whether anything was left frozen so that there is more to do.
    fn flush_once(&self, topics: &[Arc<TopicStore>]) -> Result<bool, StoreError> {
        let mut changes = Vec::new();
        let mut more = false;
        for topic in topics {
            let mut state = topic.state.lock();
            let left_over = !state.frozen.is_empty();
            if !left_over {
                state.freeze(topic.id);
            }
            let Some(frozen) = state.frozen.front().cloned() else { continue };
            more |= state.frozen.len() > 1 || (left_over && state.since.is_some());
            let name = state.name.clone();
            drop(state);
            let mut change = TopicChange { cursors: frozen.cursors, ..TopicChange::default() };
            let mut files = Vec::new();
            if let Some(source) = frozen.source {
                let written = self.write_days(topic.id, &name, source);
                for file in written.inspect_err(|_| doom(&changes))? {
                    change.add.push(file.meta.clone());
                    files.push(file);
                }
            }
            let mut keyed = Vec::new();
            for (partition, delta) in &frozen.keyed {
                let piece = self.write_piece(topic, *partition, delta, &mut keyed).inspect_err(|_| {
                    doom_all(&files);
                    keyed.iter().for_each(|file| file.doom());
                    doom(&changes);
                })?;
                change.keyed.push((*partition, piece));
            }
            changes.push(Change { topic: topic.clone(), change, files, keyed, flushed: true });
        }
        if changes.is_empty() {
            return Ok(false);
        }
        self.sync_names(&changes).inspect_err(|_| doom(&changes))?;
        self.commit(changes)?;
        self.counters.flushes.fetch_add(1, Ordering::Relaxed);
        self.wake_all();
        Ok(more)
    }

    pub(super) fn sync_names(&self, changes: &[Change]) -> Result<(), StoreError> {
        let files = changes.iter().flat_map(|change| &change.files);
        let mut dirs: Vec<PathBuf> = files.filter_map(|file| file.path.parent().map(PathBuf::from)).collect();
        dirs.sort_unstable();
        dirs.dedup();
        for dir in dirs {
            self.disk.sync_dir(&dir).map_err(|error| StoreError::Disk { path: dir.display().to_string(), error })?;
        }
        Ok(())
    }

    pub(super) fn write_days(
        &self,
        topic: TopicId,
        name: &Arc<str>,
        source: Arc<MemSource>,
    ) -> Result<Vec<Arc<PartFile>>, StoreError> {
        let days = split(&source);
        let inputs = [Input::Mem(source.clone())];
        let mut files: Vec<Arc<PartFile>> = Vec::new();
        for (day, pieces) in days {
            let last_arrival =
                pieces.iter().filter_map(|piece| source.group(piece.group)).map(SealedGroup::last_arrival_ns).max();
            let raw_bytes = pieces.iter().map(|piece| raw_bytes(&source, piece)).sum();
            let keep_day = last_arrival.map_or(0, time::day);
            let fresh = Fresh { topic, name, inputs: &inputs, day, raw_bytes, keep_day, swept: 0 };
            match self.write_parts(&fresh, joined(&inputs, pieces)) {
                Ok(written) => files.extend(written),
                Err(error) => {
                    files.iter().for_each(|file| file.doom());
                    return Err(error);
                }
            }
        }
        Ok(files)
    }

    /// Writes one part of these groups, or several where the directory of one would be too large to be read back. Their names are
    /// not durable yet.
    pub(super) fn write_parts(&self, fresh: &Fresh<'_>, groups: Vec<Vec<Piece>>) -> Result<Vec<Arc<PartFile>>, StoreError> {
        let rows = |groups: &[Vec<Piece>]| fresh.rows(groups.iter().flatten());
        let all = u128::from(rows(&groups)).max(1);
        let mut files: Vec<Arc<PartFile>> = Vec::new();
        let mut left = vec![groups];
        while let Some(groups) = left.pop() {
            let share = u128::from(fresh.raw_bytes) * u128::from(rows(&groups)) / all;
            match self.write_part(fresh, &groups, u64::try_from(share).unwrap_or(fresh.raw_bytes)) {
                Ok(file) => files.push(file),
                Err(StoreError::Wide { .. }) if rows(&groups) > 1 => {
                    let (first, rest) = fresh.halved(groups);
                    left.extend([rest, first]);
                }
                Err(error) => {
                    doom_all(&files);
                    return Err(error);
                }
            }
        }
        Ok(files)
    }

    fn write_part(&self, fresh: &Fresh<'_>, groups: &[Vec<Piece>], raw_bytes: u64) -> Result<Arc<PartFile>, StoreError> {
        let &Fresh { topic, name, inputs, day, keep_day, swept, .. } = fresh;
        let id = self.next_part.fetch_add(1, Ordering::Relaxed);
        let path = part_path(topic, day, id);
        let refused = |error| StoreError::Disk { path: path.display().to_string(), error };
        if let Some(dir) = path.parent() {
            self.disk.create_dir_all(dir).map_err(refused)?;
        }
        let (directory_bytes, stop) = (self.directory_bytes, &self.stop_merges);
        let job = Job { inputs, groups, topic, topic_name: name.clone(), part: id, directory_bytes, stop };
        let written = write(&self.disk, &path, &job).inspect_err(|_| {
            // What can't be removed now is an orphan at the next start.
            let _ = self.disk.remove_file(&path);
        })?;
        let (from_ns, to_ns) = written.time;
        let keep_day = keep_day.max(time::day(to_ns));
        let offsets = if written.offsets.len() <= PARTITIONS_LISTED { written.offsets } else { Vec::new() };
        let (rows, bytes) = (written.rows, written.bytes);
        let meta = PartMeta { id, day, keep_day, rows, bytes, raw_bytes, from_ns, to_ns, offsets, swept };
        let file = Arc::new(PartFile::new(meta, path, self.disk.clone(), self.cache.clone()));
        // Once it is committed, those that it was made of go: what cannot be read back must not come so far.
        file.check_written().inspect_err(|_| file.doom())?;
        Ok(file)
    }

    /// One durable record for all these changes; then memory is put in step, topic by topic, under their locks.
    pub(super) fn commit(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        ballast::let_go_if_short(&self.disk);
        let mut log = self.log.lock();
        let record = |change: &Change| (change.topic.id, change.topic.state.lock().durable.name.clone(), change.change.clone());
        let records: Vec<_> = changes.iter().map(record).collect();
        if let Err(error) = log.commit(&records) {
            if log.is_unsure() {
                // The record may be durable and name these files: they stay until the log says otherwise for certain.
                self.keyed_limbo.lock().extend(changes.iter().flat_map(|change| change.keyed.iter().cloned()));
                self.limbo.lock().extend(changes.into_iter().flat_map(|change| change.files));
            } else {
                doom(&changes);
            }
            return Err(error);
        }
        doom_all(&std::mem::take(&mut *self.limbo.lock()));
        std::mem::take(&mut *self.keyed_limbo.lock()).iter().for_each(|file| file.doom());
        let mut replaced = Vec::new();
        for change in &changes {
            let mut state = change.topic.state.lock();
            replaced.extend(self.replaced_pieces(change.topic.id, &state.durable.keyed, &change.change.keyed));
            state.durable.apply(&change.change);
            for id in &change.change.remove {
                if let Some(file) = state.parts.remove(id) {
                    file.doom();
                }
            }
            for file in &change.files {
                let is_staged = change.change.stage.iter().any(|(_, part)| part.id == file.meta.id);
                let files = if is_staged { &mut state.staged } else { &mut state.parts };
                files.insert(file.meta.id, file.clone());
            }
            // Parts that are there already: staged ones become live, others are known to be swept.
            for part in change.change.add.iter().filter(|part| change.files.iter().all(|file| file.meta.id != part.id)) {
                if let Some(file) = state.staged.remove(&part.id).or_else(|| state.parts.remove(&part.id)) {
                    state.parts.insert(part.id, Arc::new(file.as_meant(part.clone())));
                }
            }
            let State { durable, staged, .. } = &mut *state;
            staged.retain(|id, file| {
                let keep = durable.staged.contains_key(id);
                if !keep {
                    file.doom();
                }
                keep
            });
            if change.flushed
                && let Some(frozen) = state.frozen.pop_front()
            {
                self.counters.add_memory(frozen.bytes, 0);
            }
        }
        drop(log);
        replaced.iter().for_each(KeyedFile::doom);
        let hooks = self.on_commit.read();
        for change in &changes {
            for (partition, next) in &change.change.cursors {
                hooks.iter().for_each(|hook| hook(change.topic.id, *partition, *next));
            }
        }
        Ok(())
    }
}

/// Has the files of changes removed that will not be committed.
pub(super) fn doom(changes: &[Change]) {
    for change in changes {
        doom_all(&change.files);
        change.keyed.iter().for_each(|file| file.doom());
    }
}

fn doom_all(files: &[Arc<PartFile>]) {
    files.iter().for_each(|file| file.doom());
}

fn raw_bytes(source: &MemSource, piece: &Piece) -> u64 {
    let Some(group) = source.group(piece.group) else { return 0 };
    let rows = piece.rows.as_ref().map_or(group.rows(), Vec::len) as u64;
    group.raw_bytes() * rows / (group.rows() as u64).max(1)
}

/// Which rows go into the part of which day; `None` is the late part.
fn split(source: &MemSource) -> BTreeMap<Option<i64>, Vec<Piece>> {
    let mut by_day = BTreeMap::<i64, Vec<Piece>>::new();
    let mut counts = BTreeMap::<i64, usize>::new();
    for number in 0..source.groups() {
        let Some(group) = source.group(number) else { continue };
        let (first, last) = group.time_bounds();
        if time::day(first) == time::day(last) {
            by_day.entry(time::day(first)).or_default().push(Piece { input: 0, group: number, rows: None });
            *counts.entry(time::day(first)).or_default() += group.rows();
            continue;
        }
        let mut rows = BTreeMap::<i64, Vec<u16>>::new();
        for (row, time_ns) in (0u16..).zip(group.times()) {
            rows.entry(time::day(*time_ns)).or_default().push(row);
        }
        for (day, rows) in rows {
            *counts.entry(day).or_default() += rows.len();
            by_day.entry(day).or_default().push(Piece { input: 0, group: number, rows: Some(rows) });
        }
    }
    let mut largest: Vec<(usize, i64)> = counts.iter().map(|(day, count)| (*count, *day)).collect();
    largest.sort_unstable_by(|a, b| b.cmp(a));
    let few = counts.values().sum::<usize>() / DAY_SHARE;
    let own: Vec<i64> = largest.iter().take(DAY_PARTS).filter(|(count, _)| *count > few).map(|(_, day)| *day).collect();
    // One odd day needs no late part: it is a part either way.
    let own = if largest.len() == DAY_PARTS + 1 { largest.iter().map(|(_, day)| *day).collect() } else { own };
    let mut parts = BTreeMap::<Option<i64>, Vec<Piece>>::new();
    for (day, pieces) in by_day {
        parts.entry(own.contains(&day).then_some(day)).or_default().extend(pieces);
    }
    for pieces in parts.values_mut() {
        // Lane order: rows of one group that went to several late days come together again.
        pieces.sort_by_key(|piece| piece.group);
        pieces.dedup_by(|next, piece| {
            let same = next.group == piece.group;
            if same && let (Some(rows), Some(more)) = (&mut piece.rows, &mut next.rows) {
                rows.append(more);
                rows.sort_unstable();
            }
            same
        });
    }
    parts
}

/// Neighbouring pieces joined to groups as large as may be.
pub(super) fn joined(inputs: &[Input], pieces: Vec<Piece>) -> Vec<Vec<Piece>> {
    let mut groups: Vec<Vec<Piece>> = Vec::new();
    let (mut rows, mut bytes) = (GROUP_ROWS, 0);
    for piece in pieces {
        let Some(input) = inputs.get(piece.input) else { continue };
        let all = input.source().rows(piece.group);
        let piece_rows = piece.rows.as_ref().map_or(all, Vec::len);
        let piece_bytes = input.unpacked(piece.group) * piece_rows as u64 / (all as u64).max(1);
        match groups.last_mut().filter(|_| rows + piece_rows <= GROUP_ROWS && bytes + piece_bytes <= GROUP_BYTES as u64) {
            Some(group) => {
                group.push(piece);
                rows += piece_rows;
                bytes += piece_bytes;
            }
            None => {
                groups.push(vec![piece]);
                (rows, bytes) = (piece_rows, piece_bytes);
            }
        }
    }
    groups
}
