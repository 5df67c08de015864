//! Writing a field of strings as several columns: `mixed.rs` says which value goes where.
//!
//! The main column is written group by group; codes of frequent values stand in memory until it is done, and so do the packed
//! bytes of the rest, which is little.

use super::Writer;
use crate::store::StoreError;
use crate::store::part::chunk;
use crate::store::part::directory::ChunkRef;
use crate::store::part::job::Mapping;
use crate::store::part::mixed::{Divided, Split};
use crate::store::part::{FIRST_FIELD, typed};
use crate::store::source::Column;

impl Writer<'_> {
    /// Writes a column of strings that has no dictionary of all its values, as `mixed.rs` draws it.
    pub(super) fn split(&mut self, column: &Column, mut split: Split, mapping: &Mapping) -> Result<(), StoreError> {
        let job = self.job;
        let (main, before) = (self.begin(column), self.out.at());
        let mut rest: Vec<(usize, u8, Vec<u8>)> = Vec::new();
        for (group, pieces) in job.groups.iter().enumerate() {
            if split.frequent.dict.is_empty() && self.copy_main(group, main, mapping, split.typed)? {
                continue;
            }
            let Divided { typed, text } = split.divide(job, pieces, mapping)?;
            if let Some((rows, values)) = &typed {
                let mut bytes = Vec::new();
                chunk::put_presence(&mut bytes, rows, job.rows(pieces));
                let encoding = values.put(&mut bytes);
                self.add_chunk(
                    group,
                    ChunkRef { column: main, encoding, offset: 0, length: 0, bounds: values.bounds() },
                    &bytes,
                )?;
            }
            if !text.dense.rows.is_empty() {
                let mut bytes = Vec::with_capacity(text.bytes.len() / 4);
                chunk::put_presence(&mut bytes, &text.dense.rows, text.dense.total);
                let encoding = chunk::put_text(&mut bytes, &text.dense.values, &text.bytes, &mut self.text);
                if split.typed {
                    rest.push((group, encoding, bytes));
                } else {
                    self.add_chunk(group, ChunkRef { column: main, encoding, offset: 0, length: 0, bounds: None }, &bytes)?;
                }
            }
        }
        if self.out.at() == before {
            self.columns.pop();
        }
        self.codes(column, split.frequent)?;
        if !rest.is_empty() {
            let number = self.begin(column);
            for (group, encoding, bytes) in rest {
                self.add_chunk(group, ChunkRef { column: number, encoding, offset: 0, length: 0, bounds: None }, &bytes)?;
            }
        }
        Ok(())
    }

    /// Copies a main column of a whole group of a part, if it is all there is of the column and what is wanted.
    fn copy_main(&mut self, group: usize, number: u32, mapping: &Mapping, typed: bool) -> Result<bool, StoreError> {
        let job = self.job;
        let Some(pieces @ [piece]) = job.groups.get(group).map(Vec::as_slice) else { return Ok(false) };
        let (Some((source, of)), Some(from)) = (job.verbatim(pieces), mapping.get(piece.input).copied().flatten()) else {
            return Ok(false);
        };
        let from_number = u32::try_from(from).unwrap_or(u32::MAX - FIRST_FIELD).saturating_add(FIRST_FIELD);
        let found = source.raw_chunk(of, from_number)?.map(|(chunk, _)| chunk.encoding);
        let wanted = found.is_some_and(|found| typed::is_typed(found) == typed);
        if wanted && source.siblings(from) == 0 { self.copy(group, number, from_number) } else { Ok(false) }
    }
}
