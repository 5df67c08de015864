//! Distinct strings with how often each was met, each stored once: what learning shapes counts.

use hashbrown::HashTable;

use crate::store::column::hash;
use crate::store::source::Dict;

/// Strings, numbered as they came, and counts.
#[derive(Debug)]
pub struct Tally {
    /// The strings.
    pub dict: Dict,
    /// How often each was met.
    pub counts: Vec<u32>,
    table: HashTable<u32>,
    /// Most strings, and most bytes of them.
    limits: (usize, usize),
}

impl Tally {
    /// None yet, and never more than this many strings and bytes.
    pub fn new(strings: usize, bytes: usize) -> Self {
        Self { dict: Dict::default(), counts: Vec::new(), table: HashTable::new(), limits: (strings, bytes) }
    }

    /// The number of a string that was met before.
    #[inline]
    pub fn find(&self, text: &[u8]) -> Option<u32> {
        self.table.find(hash(text), |number| self.dict.entry(*number as usize) == text).copied()
    }

    /// Counts a string; one that is new and no longer fits is not kept.
    pub fn add(&mut self, text: &[u8]) -> Option<u32> {
        if let Some(number) = self.find(text) {
            if let Some(count) = self.counts.get_mut(number as usize) {
                *count = count.saturating_add(1);
            }
            return Some(number);
        }
        if self.counts.len() >= self.limits.0 || self.dict.bytes.len() + text.len() > self.limits.1 {
            return None;
        }
        let number = u32::try_from(self.counts.len()).ok()?;
        self.dict.bytes.extend_from_slice(text);
        self.dict.ends.push(u32::try_from(self.dict.bytes.len()).ok()?);
        self.counts.push(1);
        let dict = &self.dict;
        self.table.insert_unique(hash(text), number, |number| hash(dict.entry(*number as usize)));
        Some(number)
    }
}
