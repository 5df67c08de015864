//! Open segment files and mapped sealed segments, few at a time however many topics there are.
//!
//! Invariant: a file that is evicted has no unsynced bytes of ours (a writer syncs before it lets go), so closing it loses no
//! error report. A mapping stays whole for who still holds it.
//! Eviction takes the one that was used longest ago, found by looking at all: there are hundreds, and an open costs more.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::index::Index;
use crate::base::disk::{Disk, DiskFile};
use crate::base::ids::{Offset, PartitionId, TopicId};

/// Which segment.
pub type Key = (TopicId, PartitionId, Offset);
/// Most mapped segments at a time.
const MAPPED: usize = 64;

/// Name of a segment's file.
pub fn log_path(dir: &Path, base: Offset) -> PathBuf {
    dir.join(format!("{base:020}.log"))
}

/// Name of a segment's index.
pub fn index_path(dir: &Path, base: Offset) -> PathBuf {
    dir.join(format!("{base:020}.index"))
}

/// A sealed segment, mapped.
#[derive(Debug)]
pub struct Mapping {
    /// All of the file.
    pub bytes: Bytes,
    /// Where to begin looking; grows while a segment without an index is read.
    pub index: Mutex<Index>,
}

/// The cache of both.
#[derive(Debug)]
pub struct Files {
    disk: Arc<dyn Disk>,
    open: Mutex<Lru<Arc<dyn DiskFile>>>,
    mapped: Mutex<Lru<Arc<Mapping>>>,
}

#[derive(Debug)]
struct Lru<T> {
    most: usize,
    tick: u64,
    held: HashMap<Key, (T, u64)>,
}

impl<T: Clone> Lru<T> {
    fn new(most: usize) -> Self {
        Self { most, tick: 0, held: HashMap::new() }
    }

    fn get(&mut self, key: &Key) -> Option<T> {
        self.tick += 1;
        let (held, used) = self.held.get_mut(key)?;
        *used = self.tick;
        Some(held.clone())
    }

    fn put(&mut self, key: Key, value: T) {
        while self.held.len() >= self.most
            && let Some(oldest) = self.held.iter().min_by_key(|(_, (_, used))| *used).map(|(key, _)| *key)
        {
            self.held.remove(&oldest);
        }
        self.tick += 1;
        self.held.insert(key, (value, self.tick));
    }
}

impl Files {
    /// At most `most` open files.
    pub fn new(disk: Arc<dyn Disk>, most: usize) -> Self {
        Self { disk, open: Mutex::new(Lru::new(most)), mapped: Mutex::new(Lru::new(MAPPED)) }
    }

    /// The open file of a segment.
    pub fn open(&self, key: Key, dir: &Path) -> io::Result<Arc<dyn DiskFile>> {
        if let Some(file) = self.open.lock().get(&key) {
            return Ok(file);
        }
        let file = self.disk.open(&log_path(dir, key.2), false)?;
        self.open.lock().put(key, file.clone());
        Ok(file)
    }

    /// Keeps a file that was just made.
    pub fn keep(&self, key: Key, file: Arc<dyn DiskFile>) {
        self.open.lock().put(key, file);
    }

    /// The mapping of a sealed segment.
    pub fn map(&self, key: Key, dir: &Path) -> io::Result<Arc<Mapping>> {
        if let Some(mapping) = self.mapped.lock().get(&key) {
            return Ok(mapping);
        }
        let bytes = Bytes::from_owner(self.disk.map(&log_path(dir, key.2))?);
        let index = self.disk.map(&index_path(dir, key.2)).ok().and_then(|bytes| Index::decode(&bytes)).unwrap_or_default();
        let mapping = Arc::new(Mapping { bytes, index: Mutex::new(index) });
        self.mapped.lock().put(key, mapping.clone());
        Ok(mapping)
    }

    /// Closes what there is of a segment.
    pub fn forget(&self, key: &Key) {
        self.open.lock().held.remove(key);
        self.mapped.lock().held.remove(key);
    }
}
