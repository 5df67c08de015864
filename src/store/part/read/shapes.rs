//! Reading the shapes of a field of free text (`split.rs`).

use std::sync::Arc;

use super::PartSource;
use crate::store::StoreError;
use crate::store::part::cache::Cached;
use crate::store::part::directory::Holds;
use crate::store::part::shape::Shapes;
use crate::store::source::Dict;

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
    pub(super) fn shapes(&self, column: usize) -> Result<Option<Arc<Shapes>>, StoreError> {
        let key = (self.file.meta.id, u32::try_from(column).unwrap_or(u32::MAX - 1));
        if let Some(Cached::Shapes(found)) = self.file.cache.get(key) {
            return Ok(Some(found));
        }
        let Some(dict) = self.shape_dict(column)? else { return Ok(None) };
        let shapes = Shapes::read((0..dict.len()).map(|at| dict.entry(at)));
        let shapes = Arc::new(shapes.ok_or_else(|| self.file.damaged(0, "shapes that make no sense"))?);
        self.file.cache.put(key, Cached::Shapes(shapes.clone()), shapes.bytes() + 64);
        Ok(Some(shapes))
    }
}
