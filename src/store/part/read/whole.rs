//! Reading a field of strings that stands in several columns (`mixed.rs`) as the one that it was.

use super::PartSource;
use crate::store::StoreError;
use crate::store::source::{Chunk, Source};

impl PartSource {
    /// How many columns of the same name and kind follow a column (`mixed.rs`).
    pub fn siblings(&self, column: usize) -> usize {
        let Some((first, rest)) = self.opened().and_then(|directory| directory.columns.get(column..)?.split_first()) else {
            return 0;
        };
        rest.iter().take_while(|next| *next == first).count()
    }

    /// A column with those of the same name and kind that follow it, as one.
    ///
    /// # Errors
    /// Damage.
    pub fn whole_column(&self, group: usize, column: usize) -> Result<Option<Chunk>, StoreError> {
        let siblings = self.siblings(column);
        let mut chunks = Vec::with_capacity(siblings + 1);
        for column in column..=column + siblings {
            chunks.extend(self.column(group, column)?);
        }
        Ok(match chunks.len() {
            0 | 1 => chunks.pop(),
            _ => Some(Chunk::joined(&chunks, self.rows(group))),
        })
    }
}
