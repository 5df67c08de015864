//! Rows that no query sees: those of files that the commit log may have named before it lost entries, and that nothing else has.
//!
//! ```text
//! files kept for doubt ─→ of each, the rows whose origins no part of its topic has ─→ such files make answers partial
//! ```
//! Most such files hold nothing new: a crash leaves what a merge was made of, or what it made. Which, only the origins of their rows
//! tell, so the store's thread looks at them after the start, and now and then again: what a lane makes anew from the queue is seen.
//!
//! Invariants: a file whose rows are all in live parts, or were deleted or made anew, is not told of. One that cannot be read is.
//! Limits: rows still in memory do not count as seen until they are flushed. `store repair` is what brings unseen rows back.
//! Memory: the offsets of two parts, as bitmaps.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use roaring::RoaringTreemap;

use super::commits::PartMeta;
use super::mask::Masked;
use super::part::read::{PartFile, PartSource};
use super::source::Source;
use super::topic::TopicStore;
use super::{Store, StoreError};
use crate::base::ids::{Generation, Offset, PartitionId, TopicId};

/// A file that is kept for doubt.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The topic in whose folder it lies.
    pub topic: TopicId,
    /// Its number.
    pub id: u64,
    /// Where it lies.
    pub path: PathBuf,
}

impl Kept {
    /// The part of this number that lies here, if its folder is a topic's.
    pub fn at(path: &Path, id: u64) -> Option<Self> {
        let is_part = path.extension().is_some_and(|kind| kind == "part");
        let topic = path.parent()?.parent()?.file_name()?.to_str()?.parse().ok()?;
        is_part.then(|| Self { topic, id, path: path.to_owned() })
    }
}

/// A file with rows that nothing else has.
#[derive(Clone, Debug)]
struct Unseen {
    kept: Kept,
    /// The topic's name, and the times of its rows; none where it cannot be read.
    says: Option<(Arc<str>, i64, i64)>,
}

/// Which kept files have rows that nothing else has.
#[derive(Debug, Default)]
pub struct Look {
    /// Those that are not looked at yet.
    left: Vec<Kept>,
    found: Vec<Unseen>,
}

/// What a query must say of rows that it could not see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// There are none.
    Nothing,
    /// There may be some: files are still to be looked at.
    Unknown,
    /// There are some.
    Unseen,
}

impl Look {
    /// Nothing is known yet of these.
    pub fn of(left: Vec<Kept>) -> Self {
        Self { left, found: Vec::new() }
    }
}

impl Store {
    /// Whether files have rows of this time and these topics that queries do not see.
    pub fn unseen(&self, (from, to): (Option<i64>, Option<i64>), topics: Option<&[String]>, id: Option<TopicId>) -> Told {
        let look = self.unseen.read();
        let is_asked = |unseen: &Unseen| {
            let meets = |(name, first, last): &(Arc<str>, i64, i64)| {
                topics.is_none_or(|names| names.iter().any(|own| **own == **name))
                    && from.is_none_or(|from| *last >= from)
                    && to.is_none_or(|to| *first < to)
            };
            id.is_none_or(|id| unseen.kept.topic == id) && unseen.says.as_ref().is_none_or(meets)
        };
        match () {
            () if look.found.iter().any(is_asked) => Told::Unseen,
            () if look.left.is_empty() => Told::Nothing,
            () => Told::Unknown,
        }
    }

    /// Looks at the files that are kept and had news when they were last looked at.
    pub(super) fn look_at_kept(&self) {
        let mut left: Vec<Kept> = {
            let look = self.unseen.read();
            look.found.iter().map(|unseen| unseen.kept.clone()).chain(look.left.iter().cloned()).collect()
        };
        if left.is_empty() {
            return;
        }
        let mut found = Vec::new();
        while let Some(kept) = left.pop() {
            if self.is_closed() {
                return;
            }
            found.extend(self.news_of(&kept).map(|says| Unseen { kept, says }));
        }
        *self.unseen.write() = Look { left, found };
    }

    /// What a kept file says of itself if it has rows that nothing else has.
    #[allow(clippy::option_option)] // unseen, and what it says if it can be read
    fn news_of(&self, kept: &Kept) -> Option<Option<(Arc<str>, i64, i64)>> {
        let file = PartFile::new(
            PartMeta { id: kept.id, ..PartMeta::default() },
            kept.path.clone(),
            self.disk.clone(),
            self.cache.clone(),
        );
        let Ok(directory) = file.directory() else { return Some(None) };
        if (directory.footer.topic, directory.footer.part) != (kept.topic, kept.id) {
            return Some(None);
        }
        let (name, times) = (directory.footer.topic_name.clone(), directory.footer.time);
        let says = Some((name.clone(), times.0, times.1));
        let source = Arc::new(PartSource::new(Arc::new(file), kept.topic, name));
        match self.has_news(&source) {
            Ok(false) => None,
            Ok(true) | Err(_) => Some(says),
        }
    }

    fn has_news(&self, source: &Arc<PartSource>) -> Result<bool, StoreError> {
        let Some(topic) = self.topic(source.topic()) else { return Ok(true) };
        let offsets = source.offsets()?;
        let (masks, files) = seen_beside(&topic, &offsets);
        let meta = PartMeta { offsets, ..source.file.meta.clone() };
        let masked = masks.meets(&meta).then(|| Masked::new(source.clone(), masks, 0));
        let mut own = Origins::default();
        for group in 0..source.groups() {
            own.add(source, group, masked.as_ref())?;
        }
        for file in files {
            if own.0.is_empty() || self.is_closed() {
                break;
            }
            let listed = PartSource::new(file, topic.id, Arc::from(""));
            let mut seen = Origins::default();
            // What cannot be read is seen by nobody.
            for group in 0..listed.groups() {
                let _unread = seen.add(&listed, group, None);
            }
            own.remove(&seen);
        }
        Ok(!own.0.is_empty())
    }
}

/// What masks a topic has, and those of its parts that may have rows of these records.
fn seen_beside(topic: &TopicStore, offsets: &[(PartitionId, Offset, Offset)]) -> (Arc<super::mask::Masks>, Vec<Arc<PartFile>>) {
    let state = topic.state.lock();
    let meets = |file: &&Arc<PartFile>| {
        file.meta
            .offsets
            .iter()
            .any(|(partition, first, last)| offsets.iter().any(|own| own.0 == *partition && own.1 <= *last && *first <= own.2))
    };
    (state.durable.masks.clone(), state.parts.values().chain(state.staged.values()).filter(meets).cloned().collect())
}

/// Offsets of rows, by partition, generation and which of the record's rows.
#[derive(Debug, Default)]
struct Origins(BTreeMap<(PartitionId, Generation, u16), RoaringTreemap>);

impl Origins {
    /// Adds those of a group that are not masked.
    fn add(&mut self, source: &PartSource, group: usize, masked: Option<&Masked>) -> Result<(), StoreError> {
        let lineage = source.lineage(group)?;
        let hidden = masked.map(|masked| masked.hidden(group)).transpose()?.flatten();
        let is_hidden =
            |row: usize| hidden.as_ref().and_then(|words| words.get(row / 64)).is_some_and(|word| word >> (row % 64) & 1 == 1);
        let of = lineage.partitions.iter().zip(&lineage.generations).zip(&lineage.ns).zip(&lineage.offsets);
        for (row, (((partition, generation), n), offset)) in of.enumerate() {
            if !is_hidden(row) {
                self.0.entry((*partition, *generation, *n)).or_default().insert(*offset);
            }
        }
        Ok(())
    }

    /// Takes away what others have, and records that a later generation of others has.
    fn remove(&mut self, others: &Self) {
        for ((partition, generation, n), own) in &mut self.0 {
            for ((of, later, which), seen) in &others.0 {
                if of == partition && (later > generation || (later == generation && which == n)) {
                    *own -= seen;
                }
            }
        }
        self.0.retain(|_, own| !own.is_empty());
    }
}
