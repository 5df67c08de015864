//! Messages that templates make, for searches: what they are made of, and some of them.

use super::PartSource;
use crate::store::StoreError;
use crate::store::part::bits::Reader;
use crate::store::part::chunk::{self, encoding};
use crate::store::part::derive;
use crate::store::part::template::Piece;
use crate::store::source::{Chunk, Made, Present, Source};

impl PartSource {
    /// As [`Source::made_of`].
    pub(super) fn pieces_of(&self, column: usize) -> Option<Vec<Vec<Made>>> {
        let directory = self.opened().filter(|directory| !directory.templates.messages.is_empty())?;
        let derived = |group: usize| self.encoding(group, column) == Some(encoding::DERIVED);
        (0..directory.groups.len()).any(derived).then_some(())?;
        let piece = |piece: &Piece| match piece {
            Piece::Literal(text) => Made::Text(text.as_slice().into()),
            Piece::Time(_) => Made::Time,
            Piece::Field(number) | Piece::Json(number) => {
                Made::Columns(*number as usize..*number as usize + 1 + self.siblings(*number as usize))
            }
        };
        Some(directory.templates.messages.iter().map(|template| template.pieces.iter().map(piece).collect()).collect())
    }

    /// As [`Source::made`].
    pub(super) fn some_made(
        &self,
        group: usize,
        column: usize,
        rows: &[u64],
        get: &mut dyn FnMut(usize) -> Option<Chunk>,
    ) -> Result<Option<Chunk>, StoreError> {
        if self.encoding(group, column) != Some(encoding::DERIVED) {
            return Ok(None);
        }
        let number = u32::try_from(column).unwrap_or(u32::MAX).saturating_add(super::FIRST_FIELD);
        let Some((chunk, bytes)) = self.raw_chunk(group, number)? else { return Ok(None) };
        let (templates, total) = (self.templates()?, self.rows(group));
        let mut fields = derive::Fields { columns: Vec::new(), times: Vec::new() };
        let pieces = || templates.iter().flat_map(|template| &template.pieces);
        let some = rows.iter().any(|word| *word != 0);
        fields.times = match some && pieces().any(|piece| matches!(piece, Piece::Time(_))) {
            true => self.times(group)?,
            false => vec![0; total],
        };
        for piece in pieces().filter(|_| some) {
            let Piece::Field(number) = piece else { continue };
            let at = *number as usize;
            if fields.columns.len() <= at {
                fields.columns.resize_with(at + 1, || None);
            }
            if fields.columns[at].is_none() {
                let mut own: Vec<Chunk> = (at..=at + self.siblings(at)).filter_map(&mut *get).collect();
                let one = if own.len() > 1 { Some(Chunk::joined(&own, total)) } else { own.pop() };
                fields.columns[at] = one.map(Chunk::into_text);
            }
        }
        let mut reader = Reader(bytes);
        let made = chunk::presence(&mut reader, total)
            .and_then(|(present, count)| derive::decode_some(&mut reader, count, &present, templates, &fields, Some(rows)));
        let (ends, bytes, kept) = made.ok_or_else(|| self.file.damaged(chunk.offset, "a chunk that makes no sense"))?;
        Ok(Some(Chunk::Text { ends, bytes, present: Present::Some(kept) }))
    }
}
