//! Field names as numbers, within one chain, from batch to batch.
//!
//! A chain meets the same few dozen names again and again, so their table is kept. Filters that make names of data could fill it:
//! past [`KEPT`] names it is begun anew before the next batch, so it is bounded by what one batch can hold.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::base::limits::FIELD_NAME_BYTES;
use crate::base::row;

/// Number of `_time`.
pub(super) const TIME: u32 = 0;
/// Number of `message`.
pub(super) const MESSAGE: u32 = 1;
/// Number of `tags`.
pub(super) const TAGS: u32 = 2;
/// Names that are kept for the next batch.
const KEPT: usize = 512;

/// Names by number and numbers by name.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) list: Vec<Arc<str>>,
    /// Hashed with a secret: names come from strangers, who could make them all fall into one place.
    numbers: HashMap<Arc<str>, u32>,
    /// Counts how often the table was begun anew: numbers of another age mean nothing.
    pub(super) age: u32,
}

impl Names {
    pub(super) fn new() -> Self {
        let mut names = Self { list: Vec::new(), numbers: HashMap::default(), age: 0 };
        names.begin();
        names
    }

    fn begin(&mut self) {
        self.list.clear();
        self.numbers.clear();
        self.age = self.age.wrapping_add(1);
        for name in [row::TIME, row::MESSAGE, row::TAGS] {
            self.number(name.as_bytes());
        }
    }

    /// To be called before a batch.
    pub(super) fn begin_batch(&mut self) {
        if self.list.len() > KEPT {
            self.begin();
        }
    }

    /// The number of a name; `None` where it is none: empty, too long, or not UTF-8.
    pub(super) fn number(&mut self, name: &[u8]) -> Option<u32> {
        if name.is_empty() || name.len() > FIELD_NAME_BYTES {
            return None;
        }
        let name = std::str::from_utf8(name).ok()?;
        if let Some(&number) = self.numbers.get(name) {
            return Some(number);
        }
        let number = u32::try_from(self.list.len()).ok()?;
        let name: Arc<str> = Arc::from(name);
        self.list.push(Arc::clone(&name));
        self.numbers.insert(name, number);
        Some(number)
    }
}
