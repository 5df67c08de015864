//! Writing a field of free text as shapes and values: `split.rs` draws it.

use super::Writer;
use crate::store::StoreError;
use crate::store::part::chunk::encoding;
use crate::store::part::directory::{ChunkRef, Holds};
use crate::store::part::free::Free;
use crate::store::part::job::Mapping;
use crate::store::source::Column;

impl Writer<'_> {
    /// Writes a column of texts as shapes and values; false where that does not pay, and then nothing is written.
    pub(super) fn free(&mut self, column: &Column, mapping: &Mapping) -> Result<bool, StoreError> {
        let job = self.job;
        let Some(mut free) = Free::of(job, mapping, &mut self.text)? else { return Ok(false) };
        let number = self.begin(column);
        let at = self.columns.len() - 1;
        for (group, pieces) in job.groups.iter().enumerate() {
            if let Some(bytes) = free.chunk(job, pieces, mapping, &mut self.text)? {
                let chunk = ChunkRef { column: number, encoding: encoding::SPLIT, offset: 0, length: 0, bounds: None };
                self.add_chunk(group, chunk, &bytes)?;
            }
        }
        let entries: Vec<_> = free.splitter.entries().collect();
        self.dictionary(at, &entries)?;
        if let Some(dir) = self.columns.get_mut(at) {
            dir.holds = Holds::Shapes;
        }
        Ok(true)
    }
}
