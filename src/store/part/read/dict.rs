//! Unpacking dictionaries.

use std::sync::Arc;

use super::{PartSource, checked};
use crate::store::StoreError;
use crate::store::part::cache::Cached;
use crate::store::part::dictionary;
use crate::store::source::Dict;

impl PartSource {
    /// A dictionary and the counts of its entries, unpacked.
    pub(super) fn read_dict(&self, column: usize) -> Result<Option<(Dict, Vec<u64>)>, StoreError> {
        let directory = self.directory()?;
        let Some(dir) = directory.dirs.get(column).filter(|dir| !dir.blocks.is_empty()) else { return Ok(None) };
        let mut dict = Dict { sorted: true, ..Dict::default() };
        let mut counts = Vec::new();
        for block in &dir.blocks {
            checked(&directory.mapped, block.span.offset, block.span.length)
                .and_then(|frame| dictionary::unpack_block(frame, block))
                .and_then(|raw| dictionary::decode_block(&raw, block.entries as usize, &mut dict, &mut counts))
                .ok_or_else(|| self.file.damaged(block.span.offset, "a dictionary does not fit its checksum"))?;
        }
        Ok(Some((dict, counts)))
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
}

/// Under which number the cache has the counts of a column's dictionary.
pub(super) fn counts_key(column: usize) -> u32 {
    u32::try_from(column).map_or(u32::MAX - 1, |column| column | 1 << 31)
}
