//! Unpacking dictionaries.

use std::sync::Arc;

use super::{PartSource, checked};
use crate::store::StoreError;
use crate::store::part::cache::Cached;
use crate::store::part::dictionary::{self, Entries};
use crate::store::source::Dict;

impl PartSource {
    /// Unpacks a column's dictionary block by block, and says how many blocks are left with the one at hand. False where it has none.
    pub(super) fn each_block(
        &self,
        column: usize,
        mut see: impl FnMut(Entries<'_>, usize) -> Option<()>,
    ) -> Result<bool, StoreError> {
        let directory = self.directory()?;
        let Some(dir) = directory.dirs.get(column).filter(|dir| !dir.blocks.is_empty()) else { return Ok(false) };
        if let [first, .., last] = dir.blocks.as_slice() {
            let end = last.span.offset.saturating_add(last.span.length);
            directory.mapped.will_need(first.span.offset, end.saturating_sub(first.span.offset));
        }
        for (block, left) in dir.blocks.iter().zip((1..=dir.blocks.len()).rev()) {
            checked(&directory.mapped, block.span.offset, block.span.length)
                .and_then(|frame| dictionary::unpack_block(frame, block))
                .and_then(|raw| see(Entries::of(&raw, block.entries as usize)?, left))
                .ok_or_else(|| {
                    self.file.damaged(block.span.offset, "a dictionary does not fit its checksum, or makes no sense")
                })?;
        }
        Ok(true)
    }

    /// A dictionary and the counts of its entries, unpacked.
    pub(super) fn read_dict(&self, column: usize) -> Result<Option<(Dict, Vec<u64>)>, StoreError> {
        let mut dict = Dict { sorted: true, ..Dict::default() };
        let mut counts = Vec::new();
        let found = self.each_block(column, |entries, left| entries.add_to(&mut dict, &mut counts, left))?;
        Ok(found.then_some((dict, counts)))
    }

    /// A dictionary and its counts, which both stay in the cache.
    #[allow(clippy::type_complexity)]
    pub(super) fn unpacked_dict(&self, column: usize) -> Result<Option<(Arc<Dict>, Arc<[u32]>)>, StoreError> {
        let Some((dict, counts)) = self.read_dict(column)? else { return Ok(None) };
        let (dict, id) = (Arc::new(dict), self.file.meta.id);
        // A part has far fewer rows than that.
        let counts: Arc<[u32]> = counts.into_iter().map(|count| u32::try_from(count).unwrap_or(u32::MAX)).collect();
        let key = (id, u32::try_from(column).unwrap_or(u32::MAX - 1));
        self.file.cache.put((id, counts_key(column)), Cached::Counts(counts.clone()), counts.len() * 4 + 64);
        self.file.cache.put(key, Cached::Dict(dict.clone()), dict.bytes.len() + dict.ends.len() * 4 + 64);
        Ok(Some((dict, counts)))
    }

    /// The dictionary of a column, if that is of values.
    pub(super) fn cached_dict(&self, column: usize) -> Result<Option<Arc<Dict>>, StoreError> {
        let key = (self.file.meta.id, u32::try_from(column).unwrap_or(u32::MAX - 1));
        if let Some(Cached::Dict(found)) = self.file.cache.get(key) {
            return Ok(Some(found));
        }
        if self.has_shapes(column) {
            return Ok(None);
        }
        Ok(self.unpacked_dict(column)?.map(|(dict, _)| dict))
    }

    /// How often each of its entries occurs.
    pub(super) fn cached_counts(&self, column: usize) -> Result<Option<Vec<u64>>, StoreError> {
        if self.has_shapes(column) {
            return Ok(None);
        }
        let counts = match self.file.cache.get((self.file.meta.id, counts_key(column))) {
            Some(Cached::Counts(found)) => Some(found),
            _ => self.unpacked_dict(column)?.map(|(_, counts)| counts),
        };
        Ok(counts.map(|counts| counts.iter().map(|&count| u64::from(count)).collect()))
    }
}

/// Under which number the cache has the counts of a column's dictionary.
fn counts_key(column: usize) -> u32 {
    u32::try_from(column).map_or(u32::MAX - 1, |column| column | 1 << 31)
}
