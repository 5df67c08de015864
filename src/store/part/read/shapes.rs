//! Reading the shapes of a field of free text (`split.rs`).

use std::sync::Arc;

use super::PartSource;
use crate::store::StoreError;
use crate::store::part::FIRST_FIELD;
use crate::store::part::bits::Reader;
use crate::store::part::cache::Cached;
use crate::store::part::chunk::{self, encoding};
use crate::store::part::dictionary::{DICT_BYTES, ENTRIES};
use crate::store::part::directory::{ChunkRef, Holds};
use crate::store::part::shape::Shapes;
use crate::store::part::split::{self, Split};
use crate::store::source::{Chunk, Dict, Source};

impl PartSource {
    /// Whether a column's dictionary is of shapes, not of values.
    pub(super) fn has_shapes(&self, column: usize) -> bool {
        self.opened().and_then(|directory| directory.dirs.get(column)).is_some_and(|dir| dir.holds == Holds::Shapes)
    }

    /// The shapes of a column's texts, as they are kept; `None` where it has none.
    ///
    /// # Errors
    /// Damage.
    pub fn shape_dict(&self, column: usize) -> Result<Option<Dict>, StoreError> {
        if self.has_shapes(column) { Ok(self.read_dict(column)?.map(|(dict, _)| dict)) } else { Ok(None) }
    }

    /// The shapes of a column's texts.
    pub(super) fn cached_shapes(&self, column: usize) -> Result<Option<Arc<Shapes>>, StoreError> {
        let key = (self.file.meta.id, u32::try_from(column).unwrap_or(u32::MAX - 1));
        if let Some(Cached::Shapes(found)) = self.file.cache.get(key) {
            return Ok(Some(found));
        }
        let mut shapes = Shapes::default();
        let has_some = self.has_shapes(column)
            && self.each_block(column, |entries, left| {
                let fits = shapes.len() + entries.len <= ENTRIES && shapes.text().len() + entries.bytes <= DICT_BYTES;
                shapes.reserve(entries.len * left, (entries.bytes * left).min(DICT_BYTES));
                if fits { entries.each(|shape, _| shapes.push(shape)) } else { None }
            })?;
        if !has_some {
            return Ok(None);
        }
        let shapes = Arc::new(shapes);
        self.file.cache.put(key, Cached::Shapes(shapes.clone()), shapes.bytes() + 64);
        Ok(Some(shapes))
    }

    /// A group's chunk of texts that are split, with their shapes.
    #[allow(clippy::type_complexity)]
    fn split_chunk(&self, group: usize, column: usize) -> Result<Option<(ChunkRef, &[u8], Arc<Shapes>)>, StoreError> {
        if self.encoding(group, column) != Some(encoding::SPLIT) {
            return Ok(None);
        }
        let number = u32::try_from(column).unwrap_or(u32::MAX).saturating_add(FIRST_FIELD);
        let Some((chunk, bytes)) = self.raw_chunk(group, number)? else { return Ok(None) };
        Ok(self.cached_shapes(column)?.map(|shapes| (chunk, bytes, shapes)))
    }

    /// As [`Source::split`].
    pub(super) fn codes_of_shapes(&self, group: usize, column: usize) -> Result<Option<Split>, StoreError> {
        let Some((chunk, bytes, shapes)) = self.split_chunk(group, column)? else { return Ok(None) };
        let (mut reader, total) = (Reader(bytes), self.rows(group));
        let split = chunk::presence(&mut reader, total)
            .and_then(|(present, count)| split::decode_codes(&mut reader, count, total, &present, &shapes));
        split.map(Some).ok_or_else(|| self.file.damaged(chunk.offset, "a chunk that makes no sense"))
    }

    /// As [`Source::split_texts`].
    pub(super) fn some_texts(&self, group: usize, column: usize, rows: &[u64]) -> Result<Option<Chunk>, StoreError> {
        let Some((chunk, bytes, shapes)) = self.split_chunk(group, column)? else { return Ok(None) };
        let (mut reader, total) = (Reader(bytes), self.rows(group));
        let texts = chunk::presence(&mut reader, total)
            .and_then(|(present, count)| split::decode(&mut reader, count, total, present, &shapes, Some(rows)));
        texts.map(Some).ok_or_else(|| self.file.damaged(chunk.offset, "a chunk that makes no sense"))
    }
}
