//! Looking at a store from outside: what it has, whether it is sound, what its columns cost; and putting a damaged one in order.
//!
//! ```text
//! Look::at(disk)   a data directory whose box is stopped        list, columns, sources, verify, repair
//! Look::of(store)  a running box                                list, columns
//! ```
//! Invariants: a look changes nothing, not even a torn tail. Only `repair.rs` writes, and only what its plan said before.
//! Every size comes from the parts' own directories, so that what they may contain tomorrow is counted too.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use super::commits::{self, PartMeta, TopicState};
use super::doubt::Doubt;
use super::mask;
use super::open::{Lying, ROOT, listed, part_path};
use super::part::cache::Cache;
use super::part::read::{PartFile, PartSource};
use super::source::Source;
use super::{Store, StoreError};
use crate::base::disk::Disk;
use crate::base::ids::TopicId;

mod columns;
mod list;
pub mod repair;
pub mod verify;

pub use columns::{ColumnStats, TopicColumns};
pub use list::{ListedPart, State};

/// Memory for directories and dictionaries while everything is gone through.
const CACHE_BYTES: usize = 24 << 20;

/// What the commit log's file is like.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LogLook {
    /// Whether it is there.
    pub is_there: bool,
    /// Entries that were read.
    pub entries: u64,
    /// Bytes of an entry at the end that was never whole: nobody was told that it is durable.
    pub torn_bytes: u64,
    /// Places inside where bytes are damaged.
    pub damaged: u64,
    /// Entries that are whole and make no sense.
    pub unreadable: u64,
    /// Entries that are lost, by their numbers.
    pub lost: u64,
    /// Whether it has lost entries, now or before an earlier start, that may have named files which lie there.
    pub in_doubt: bool,
}

impl LogLook {
    /// Whether all that was ever committed is known, as far as that can be known.
    pub fn is_whole(&self) -> bool {
        self.is_there && !self.in_doubt && self.damaged == 0 && self.unreadable == 0 && self.lost == 0
    }
}

/// A look at a store.
#[derive(Debug)]
pub struct Look {
    disk: Arc<dyn Disk>,
    cache: Arc<Cache>,
    topics: BTreeMap<TopicId, TopicState>,
    log: LogLook,
    doubt: Doubt,
    is_running: bool,
}

impl Look {
    /// A look at a data directory that no box is running on.
    ///
    /// # Errors
    /// The disk's; [`StoreError::Newer`].
    pub fn at(disk: Arc<dyn Disk>) -> Result<Self, StoreError> {
        let look = commits::Look::at(&*disk)?;
        let mut listed = listed(&look.topics);
        let mut unlisted = Lying::at(&*disk).map_err(|error| StoreError::Disk { path: ROOT.into(), error })?.files;
        unlisted.retain(|path, _| !listed.remove(path));
        let doubt = Doubt::at(&*disk, &look, &unlisted, listed.len(), i64::MAX)?;
        let log = LogLook {
            is_there: look.is_there,
            entries: look.journal.entries.len() as u64,
            torn_bytes: look.journal.found.torn_bytes,
            damaged: look.journal.found.damaged,
            unreadable: look.unreadable,
            lost: look.lost(),
            in_doubt: doubt.keeps_some(),
        };
        let (topics, cache) = (look.topics, Arc::new(Cache::new(CACHE_BYTES)));
        Ok(Self { disk, cache, topics, log, doubt, is_running: false })
    }

    /// A look at the store of a running box: what is committed now.
    pub fn of(store: &Store) -> Self {
        let topics = store.log.lock().topics.clone();
        let cache = Arc::new(Cache::new(CACHE_BYTES));
        let (log, doubt) = (LogLook::default(), Doubt::default());
        Self { disk: store.disk.clone(), cache, topics, log, doubt, is_running: true }
    }

    /// What the commit log's file is like; of a running box nothing.
    pub fn log(&self) -> &LogLook {
        &self.log
    }

    /// The disk it is on.
    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    fn part(&self, id: TopicId, name: &str, meta: PartMeta, path: PathBuf) -> PartSource {
        let file = PartFile::new(meta, path, self.disk.clone(), self.cache.clone());
        PartSource::new(Arc::new(file), id, Arc::from(name))
    }

    /// The sources that queries read of these topics, or all: live parts, without what masks hide. What was in memory when the box
    /// ended is in the queue, and not here.
    pub fn sources(&self, (from, to): (Option<i64>, Option<i64>), topics: Option<&[String]>) -> Vec<Arc<dyn Source>> {
        let mut all: Vec<Arc<dyn Source>> = Vec::new();
        for (id, topic) in &self.topics {
            if topics.is_some_and(|names| !names.contains(&topic.name)) {
                continue;
            }
            for meta in topic.parts.values() {
                if from.is_none_or(|from| meta.to_ns >= from) && to.is_none_or(|to| meta.from_ns < to) {
                    let source = self.part(*id, &topic.name, meta.clone(), part_path(*id, meta.day, meta.id));
                    all.push(mask::over_part(Arc::new(source), meta, &topic.masks));
                }
            }
        }
        all
    }

    /// Every file that is a part by its name, its topic by its folder, and the number in it.
    fn part_files(&self) -> Result<BTreeMap<PathBuf, (Option<TopicId>, u64)>, StoreError> {
        self.files(".part")
    }

    fn files(&self, suffix: &str) -> Result<BTreeMap<PathBuf, (Option<TopicId>, u64)>, StoreError> {
        let root = Path::new(ROOT);
        let refused = |error: std::io::Error| StoreError::Disk { path: ROOT.into(), error };
        let mut all = BTreeMap::new();
        if !self.disk.list(Path::new("")).map_err(refused)?.iter().any(|entry| entry.is_dir && entry.name == ROOT) {
            return Ok(all);
        }
        let folders = |path: &Path| -> Result<Vec<String>, StoreError> {
            let entries = self.disk.list(path).map_err(refused)?;
            Ok(entries.into_iter().filter(|entry| entry.is_dir).map(|entry| entry.name).collect())
        };
        for topic in folders(root)? {
            for day in folders(&root.join(&topic))? {
                let folder = root.join(&topic).join(day);
                for file in self.disk.list(&folder).map_err(refused)?.into_iter().filter(|entry| !entry.is_dir) {
                    let number = file.name.strip_suffix(suffix).and_then(|id| u64::from_str_radix(id, 16).ok());
                    if let Some(number) = number {
                        all.insert(folder.join(&file.name), (topic.parse().ok(), number));
                    }
                }
            }
        }
        Ok(all)
    }
}
