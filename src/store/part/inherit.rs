//! Derived messages of parts that are merged: their templates stay, so no message is made only to be taken apart again.
//!
//! The new part has the templates of all its parts, with its own column numbers. A group that is one whole group of a part
//! gets its codes renumbered and what it stored copied; other groups are encoded anew, with these templates.

use super::FIRST_FIELD;
use super::bits::{Reader, put_bytes};
use super::chunk::{self, encoding};
use super::derive::Known;
use super::job::{Input, Job, Mapping, Piece as Rows};
use super::payload::renumbered;
use super::template::{TEMPLATES, Template};
use crate::store::StoreError;

/// Templates of a part to be, and which of them those of each input are.
#[derive(Debug, Default)]
pub struct Inherited {
    /// Of all inputs; none where they are too many, or there are none.
    pub templates: Vec<Template>,
    /// By input and by its own template.
    numbers: Vec<Vec<u32>>,
}

impl Inherited {
    /// Gathers what the inputs have.
    ///
    /// # Errors
    /// Damage of an input.
    pub fn of(job: &Job<'_>, known: &[Known<'_>]) -> Result<Self, StoreError> {
        let mut all = Self::default();
        if job.leaves_out() {
            return Ok(all);
        }
        for (at, input) in job.inputs.iter().enumerate() {
            let mut numbers = Vec::new();
            if let Input::Part(source) = input {
                for template in source.templates()? {
                    let Some(template) = renumbered(template, at, known) else { return Ok(Self::default()) };
                    let found = all.templates.iter().position(|other| *other == template).unwrap_or_else(|| {
                        all.templates.push(template);
                        all.templates.len() - 1
                    });
                    if all.templates.len() > TEMPLATES {
                        return Ok(Self::default());
                    }
                    numbers.push(u32::try_from(found).unwrap_or(u32::MAX));
                }
            }
            all.numbers.push(numbers);
        }
        Ok(all)
    }

    /// The chunk of a group whose messages are derived already; `None` where it must be encoded.
    ///
    /// # Errors
    /// Damage of an input.
    pub fn recode(&self, job: &Job<'_>, pieces: &[Rows], mapping: &Mapping) -> Result<Option<Vec<u8>>, StoreError> {
        let (Some((source, group)), [piece]) = (job.verbatim(pieces), pieces) else { return Ok(None) };
        let column = mapping.get(piece.input).copied().flatten().and_then(|column| u32::try_from(column).ok());
        let (Some(column), Some(numbers)) = (column, self.numbers.get(piece.input)) else { return Ok(None) };
        match source.raw_chunk(group, column.saturating_add(FIRST_FIELD))? {
            Some((chunk, bytes)) if chunk.encoding == encoding::DERIVED => Ok(renumber(bytes, job.rows(pieces), numbers)),
            _ => Ok(None),
        }
    }
}

/// A chunk with other numbers for its templates; `None` if it makes no sense, and whoever decodes it will say so.
fn renumber(bytes: &[u8], rows: usize, numbers: &[u32]) -> Option<Vec<u8>> {
    let mut reader = Reader(bytes);
    let (_, count) = chunk::presence(&mut reader, rows)?;
    let presence = bytes.get(..bytes.len() - reader.0.len())?;
    let mut codes = chunk::codes(&mut Reader(reader.bytes()?), encoding::CODES, count, numbers.len() + 1)?;
    for code in &mut codes {
        // Codes come with one added; 0 is what is stored as it is.
        *code = match code.checked_sub(2) {
            None => 0,
            Some(template) => numbers.get(template as usize)? + 1,
        };
    }
    let mut packed = Vec::new();
    chunk::put_codes(&mut packed, &codes);
    let mut out = Vec::with_capacity(bytes.len() + 16);
    out.extend_from_slice(presence);
    put_bytes(&mut out, &packed);
    out.extend_from_slice(reader.0);
    Some(out)
}
