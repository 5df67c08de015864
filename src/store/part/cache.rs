//! What queries used last of parts: directories and decoded dictionaries, bounded by bytes.
//!
//! Least recently used goes first. What a query holds stays alive in its hands whatever the cache does. One entry may be
//! larger than the whole bound: it is kept alone, so that a query going group by group does not unpack it for each.

use std::sync::Arc;

use hashbrown::HashMap;
use parking_lot::Mutex;

use super::read::Directory;
use super::shape::Shapes;
use crate::store::source::Dict;

/// What a cache holds.
#[derive(Clone, Debug)]
pub enum Cached {
    /// A part's directory.
    Directory(Arc<Directory>),
    /// A column's dictionary.
    Dict(Arc<Dict>),
    /// The shapes of a column's texts.
    Shapes(Arc<Shapes>),
    /// How often each of its entries occurs.
    Counts(Arc<[u32]>),
}

/// Part number, and column (for its counts with the highest bit set), or `u32::MAX` for the directory.
pub type Key = (u64, u32);

/// See the module.
#[derive(Debug)]
pub struct Cache {
    limit: usize,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    entries: HashMap<Key, Entry>,
    bytes: usize,
    tick: u64,
}

#[derive(Debug)]
struct Entry {
    value: Cached,
    bytes: usize,
    used: u64,
}

impl Cache {
    /// A cache of so many bytes.
    pub fn new(limit: usize) -> Self {
        Self { limit, inner: Mutex::default() }
    }

    /// Something, if it is there.
    pub fn get(&self, key: Key) -> Option<Cached> {
        let mut inner = self.inner.lock();
        inner.tick += 1;
        let tick = inner.tick;
        let entry = inner.entries.get_mut(&key)?;
        entry.used = tick;
        Some(entry.value.clone())
    }

    /// Keeps something that takes so many bytes.
    pub fn put(&self, key: Key, value: Cached, bytes: usize) {
        let mut inner = self.inner.lock();
        inner.tick += 1;
        let used = inner.tick;
        if let Some(old) = inner.entries.insert(key, Entry { value, bytes, used }) {
            inner.bytes -= old.bytes;
        }
        inner.bytes += bytes;
        while inner.bytes > self.limit && inner.entries.len() > 1 {
            // Evicts down to seven eighths at a time, so that the search for the oldest is rare.
            let mut oldest: Vec<(u64, Key)> = inner.entries.iter().map(|(key, entry)| (entry.used, *key)).collect();
            oldest.sort_unstable();
            oldest.pop();
            for (_, key) in oldest {
                if inner.bytes <= self.limit / 8 * 7 {
                    break;
                }
                if let Some(entry) = inner.entries.remove(&key) {
                    inner.bytes -= entry.bytes;
                }
            }
        }
    }

    /// Forgets a part.
    pub fn forget(&self, part: u64) {
        let mut inner = self.inner.lock();
        let gone: usize = inner.entries.extract_if(|key, _| key.0 == part).map(|(_, entry)| entry.bytes).sum();
        inner.bytes -= gone;
    }
}
