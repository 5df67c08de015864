//! A column of free text of a part to be: shapes are learned from some groups, or taken over from the parts that are merged.
//!
//! A group that is one whole group of a part keeps its chunk but for the numbers of its shapes; others are taken apart anew.

use super::FIRST_FIELD;
use super::chunk::{Dense, encoding, put_text};
use super::job::{Input, Job, Mapping, Piece, each_chunk, each_row};
use super::learn::{LEARNED, Learner};
use super::split::{self, Splitter, Taken};
use crate::store::StoreError;
use crate::store::source::Chunk;

/// Shapes of a column of a part to be.
#[derive(Debug)]
pub struct Free {
    /// It takes texts apart.
    pub splitter: Splitter,
    /// By input, the place of each of its shapes.
    places: Vec<Vec<u32>>,
}

/// Gives each text of a group to be, with its row.
fn each_text(job: &Job<'_>, pieces: &[Piece], mapping: &Mapping, mut each: impl FnMut(u16, &[u8])) -> Result<(), StoreError> {
    each_chunk(job, pieces, mapping, |base, piece, rows, chunk| match chunk.into_text() {
        Chunk::Dict { codes, dict } => each_row(piece, rows, |at, row| {
            if let Some(code) = codes.get(row).and_then(|code| code.checked_sub(1)) {
                each(base + at, dict.entry(code as usize));
            }
        }),
        Chunk::Text { ends, bytes, present } => each_row(piece, rows, |at, row| {
            if present.has(row) {
                let start = if row == 0 { 0 } else { ends.get(row - 1).copied().unwrap_or(0) };
                let end = ends.get(row).copied().unwrap_or(0);
                each(base + at, bytes.get(start as usize..end as usize).unwrap_or(&[]));
            }
        }),
        _ => {}
    })
}

impl Free {
    /// What is known of a column, or can be learned; `None` where it is not worth it.
    ///
    /// # Errors
    /// Damage of an input.
    pub fn of(job: &Job<'_>, mapping: &Mapping, zstd: &mut zstd::bulk::Compressor<'_>) -> Result<Option<Self>, StoreError> {
        if let Some(known) = Self::known(job, mapping)? {
            return Ok(Some(known));
        }
        let step = job.groups.len().div_ceil(LEARNED).max(1);
        let mut learner = Learner::default();
        let (mut seen, mut rows) = (0usize, 0usize);
        for (number, pieces) in job.groups.iter().step_by(step).enumerate() {
            each_text(job, pieces, mapping, |_, text| learner.add(text))?;
            seen += job.rows(pieces);
            if number == 1 && !learner.choose() {
                return Ok(None);
            }
        }
        job.groups.iter().for_each(|pieces| rows += job.rows(pieces));
        let Some(splitter) = learner.learned(rows / seen.max(1)) else { return Ok(None) };
        let mut own = Self { splitter, places: Vec::new() };
        Ok(own.pays(job, mapping, zstd)?.then_some(own))
    }

    /// The shapes of all inputs, if all of them have some and all of their rows stay.
    fn known(job: &Job<'_>, mapping: &Mapping) -> Result<Option<Self>, StoreError> {
        if job.leaves_out() {
            return Ok(None);
        }
        let mut dicts = Vec::new();
        for (at, input) in job.inputs.iter().enumerate() {
            let Some(column) = mapping.get(at).copied().flatten() else {
                dicts.push(None);
                continue;
            };
            let Input::Part(source) = input else { return Ok(None) };
            let Some(dict) = source.shape_dict(column)? else { return Ok(None) };
            dicts.push(Some(dict));
        }
        let all = dicts.iter().flatten().flat_map(|dict| (0..dict.len()).map(|at| dict.entry(at)));
        let Some(splitter) = Splitter::of(all) else { return Ok(None) };
        let place = |shape: &[u8]| splitter.place(shape).unwrap_or(u32::MAX);
        let places = dicts.iter().map(|dict| {
            let Some(dict) = dict else { return Vec::new() };
            (0..dict.len()).map(|at| place(dict.entry(at))).collect()
        });
        let places = places.collect();
        Ok(Some(Self { splitter, places }))
    }

    /// Whether the first group comes out smaller by an eighth.
    fn pays(&mut self, job: &Job<'_>, mapping: &Mapping, zstd: &mut zstd::bulk::Compressor<'_>) -> Result<bool, StoreError> {
        for pieces in job.groups {
            let (mut ends, mut bytes) = (Vec::new(), Vec::new());
            each_text(job, pieces, mapping, |_, text| {
                bytes.extend_from_slice(text);
                ends.push(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
            })?;
            if ends.is_empty() {
                continue;
            }
            let mut plain = Vec::new();
            put_text(&mut plain, &ends, &bytes, zstd);
            let split = self.anew(job, pieces, mapping, zstd)?.map_or(0, |chunk| chunk.len());
            self.splitter.forget_uses();
            return Ok(split < plain.len() - plain.len() / 8);
        }
        Ok(false)
    }

    /// The chunk of a group; nothing where no row has a text.
    ///
    /// # Errors
    /// Damage of an input.
    pub fn chunk(
        &mut self,
        job: &Job<'_>,
        pieces: &[Piece],
        mapping: &Mapping,
        zstd: &mut zstd::bulk::Compressor<'_>,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        if let (Some((source, group)), [piece]) = (job.verbatim(pieces), pieces)
            && let Some(places) = self.places.get(piece.input)
            && let Some(column) = mapping.get(piece.input).copied().flatten()
        {
            let number = u32::try_from(column).unwrap_or(u32::MAX).saturating_add(FIRST_FIELD);
            match source.raw_chunk(group, number)? {
                None => return Ok(None),
                Some((chunk, bytes)) if chunk.encoding == encoding::SPLIT => {
                    if let Some((chunk, codes)) = split::recode(bytes, job.rows(pieces), places) {
                        codes.iter().filter_map(|code| code.checked_sub(1)).for_each(|place| self.splitter.note(place));
                        return Ok(Some(chunk));
                    }
                }
                Some(_) => {}
            }
        }
        self.anew(job, pieces, mapping, zstd)
    }

    fn anew(
        &mut self,
        job: &Job<'_>,
        pieces: &[Piece],
        mapping: &Mapping,
        zstd: &mut zstd::bulk::Compressor<'_>,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let mut dense = Dense { total: job.rows(pieces), rows: Vec::new(), values: Vec::new() };
        let mut taken = Taken::default();
        each_text(job, pieces, mapping, |row, text| {
            dense.rows.push(row);
            self.splitter.take(text, &mut taken);
        })?;
        Ok((!dense.rows.is_empty()).then(|| self.splitter.encode(&dense, &taken, zstd)))
    }
}
