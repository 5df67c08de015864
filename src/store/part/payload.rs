//! Payloads of rows: what arrived, made of the row's fields where it can be, never in the way of who does not ask for it.
//!
//! ```text
//! hidden last column of a part that has payloads, kind 6 in the column directory; a chunk of encoding 52:
//!   presence of the rows whose payload is kept; codes: 0 stored as it is, n made by payload template n; what their records had
//!   beside them (`envelope.rs`; not in chunks of encoding 50, which is no longer written); stored texts
//! TEMPLATES: behind the templates of messages: count and templates of payloads                             since version 2
//! ```
//! The templates are found when rows are added (`store/payload.rs`), where payload and fields are at hand, and each was tried on
//! the row that it stands for. Parts that are merged bring theirs. Here nothing is guessed: codes are carried along.
//! A record whose payload is its message costs the code alone, as does a JSON record that became fields: its shape is the
//! template's text (keys, separators, how numbers and escapes are written).
//!
//! Limits: [`PAYLOADS`] templates; where parts that are merged bring more, the payloads of those that find no room are stored,
//! whether they were to be kept at any price or only where that costs nothing: a part does not say.
//! What it costs: a payload needs the columns that it is made of, so damage to one of these is damage to it too.

use super::bits::put_bytes;
use super::chunk;
use super::derive::{Fields, Known, Pen};
use super::envelope::Envelopes;
use super::job::{Job, Piece as Rows, each_row};
use super::template::{Piece, Template};
use crate::store::StoreError;
use crate::store::source::{Chunk, Present};

/// Most templates of payloads: a code is a byte while rows are in memory.
pub const PAYLOADS: usize = 253;
/// The row's payload is stored.
pub const STORED: u8 = 1;

/// Payloads of a group's rows, as they are kept.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    /// By row: 0 none, 1 stored, n made by template n - 2. Rows beyond its end have none.
    pub codes: Vec<u8>,
    /// Ends of those that are stored.
    pub ends: Vec<u32>,
    /// Their bytes.
    pub bytes: Vec<u8>,
    /// What the records had beside them; of rows that are read from a part, not here.
    pub envelopes: Envelopes,
}

impl Kept {
    /// Notes how the payload of a row is made.
    pub fn note(&mut self, row: usize, code: u8) {
        self.codes.resize(row, 0);
        self.codes.push(code);
    }

    /// Stores the payload of a row; how many bytes it takes.
    pub fn store(&mut self, row: usize, payload: &[u8]) {
        self.bytes.extend_from_slice(payload);
        // A group is sealed long before.
        self.ends.push(u32::try_from(self.bytes.len()).unwrap_or(u32::MAX));
        self.note(row, STORED);
    }

    /// Drops those whose template makes nothing.
    pub fn drop_unsure(&mut self, templates: &[Template]) {
        let is_none =
            |code: u8| code.checked_sub(2).is_some_and(|at| templates.get(usize::from(at)).is_none_or(Template::is_none));
        self.codes.iter_mut().filter(|code| is_none(**code)).for_each(|code| *code = 0);
    }

    /// Whether no row has one.
    pub fn is_empty(&self) -> bool {
        self.codes.is_empty()
    }

    /// Memory it takes.
    pub fn size(&self) -> usize {
        self.codes.len() + self.ends.len() * 4 + self.bytes.len() + self.envelopes.size()
    }

    /// The payloads of `rows` rows; `None` where templates and fields do not make them.
    pub fn render(&self, rows: usize, templates: &[Template], fields: &Fields) -> Option<Chunk> {
        let mut words = vec![0u64; rows.div_ceil(64)];
        let (mut ends, mut bytes) = (Vec::with_capacity(rows), Vec::new());
        let mut stored = self.stored();
        let mut pen = Pen::default();
        for row in 0..rows {
            let code = self.codes.get(row).copied().unwrap_or(0);
            match code.checked_sub(2) {
                Some(template) => fields.write(templates.get(usize::from(template))?, row, &mut bytes, &mut pen)?,
                None if code == STORED => bytes.extend_from_slice(stored.next()??),
                None => {}
            }
            if code > 0 {
                words[row / 64] |= 1 << (row % 64);
            }
            if bytes.len() > chunk::CHUNK_BYTES {
                return None;
            }
            ends.push(u32::try_from(bytes.len()).ok()?);
        }
        Some(Chunk::Text { ends, bytes, present: Present::Some(words) })
    }

    fn stored(&self) -> impl Iterator<Item = Option<&[u8]>> {
        self.ends.iter().scan(0, |from, end| {
            let value = self.bytes.get(*from..*end as usize);
            *from = *end as usize;
            Some(value)
        })
    }

    /// As a chunk of a group whose rows have these times.
    pub fn encode(&self, times: &[i64], zstd: &mut zstd::bulk::Compressor<'_>) -> Vec<u8> {
        let with = |(row, code): (u16, &u8)| (*code > 0).then_some(row);
        let present: Vec<u16> = (0u16..).zip(&self.codes).filter_map(with).collect();
        let codes: Vec<u32> = self.codes.iter().filter(|code| **code > 0).map(|code| u32::from(*code) - 1).collect();
        let mut out = Vec::new();
        chunk::put_presence(&mut out, &present, times.len());
        let mut packed = Vec::new();
        chunk::put_codes(&mut packed, &codes);
        put_bytes(&mut out, &packed);
        put_bytes(&mut out, &self.envelopes.encode(&present, times, zstd));
        let at = out.len();
        out.push(0);
        out[at] = chunk::put_text(&mut out, &self.ends, &self.bytes, zstd);
        out
    }
}

/// The templates of all inputs in the numbers of the part to be, and which of them each input's are.
#[derive(Debug, Default)]
pub struct Payloads {
    /// Of the part to be.
    pub templates: Vec<Template>,
    /// By input: the code of each of its own; [`STORED`] where it has no room, 0 where it makes nothing.
    codes: Vec<Vec<u8>>,
}

impl Payloads {
    /// Gathers what the inputs have.
    ///
    /// # Errors
    /// Damage of an input.
    pub fn of(job: &Job<'_>, known: &[Known<'_>]) -> Result<Self, StoreError> {
        let mut all = Self::default();
        for (at, input) in job.inputs.iter().enumerate() {
            let mut codes = Vec::new();
            for template in input.payload_templates()? {
                let number = renumbered(template, at, known).and_then(|template| {
                    let found = all.templates.iter().position(|other| *other == template);
                    found.or_else(|| {
                        all.templates.push(template);
                        (all.templates.len() <= PAYLOADS).then(|| all.templates.len() - 1)
                    })
                });
                all.templates.truncate(PAYLOADS);
                let without = if template.is_none() { 0 } else { STORED };
                codes.push(number.and_then(|number| u8::try_from(number + 2).ok()).unwrap_or(without));
            }
            all.codes.push(codes);
        }
        if job.leaves_out() {
            all.drop_unused(job)?;
        }
        Ok(all)
    }

    /// Drops templates that no row needs any more: their literals are of rows that were deleted.
    fn drop_unused(&mut self, job: &Job<'_>) -> Result<(), StoreError> {
        let mut used = vec![false; self.templates.len()];
        for pieces in job.groups {
            for code in self.group(job, pieces)?.codes {
                if let Some(used) = code.checked_sub(2).and_then(|at| used.get_mut(usize::from(at))) {
                    *used = true;
                }
            }
        }
        let mut next = STORED;
        let new: Vec<u8> = used
            .iter()
            .map(|used| {
                next += u8::from(*used);
                if *used { next } else { 0 }
            })
            .collect();
        for code in self.codes.iter_mut().flatten().filter(|code| **code > STORED) {
            *code = code.checked_sub(2).and_then(|at| new.get(usize::from(at))).copied().unwrap_or(0);
        }
        let mut used = used.into_iter();
        self.templates.retain(|_| used.next().unwrap_or(false));
        Ok(())
    }

    /// The payloads of a group to be.
    ///
    /// # Errors
    /// Damage of an input.
    pub fn group(&self, job: &Job<'_>, pieces: &[Rows]) -> Result<Kept, StoreError> {
        let mut kept = Kept::default();
        let mut base = 0usize;
        for piece in pieces {
            if let (Some(input), Some(codes)) = (job.inputs.get(piece.input), self.codes.get(piece.input))
                && let Some(own) = input.payloads(piece.group)?
            {
                // Stored texts of rows that are left out are passed over.
                let (mut stored, mut passed) = (own.stored(), 0usize);
                let (envelopes, mut wraps) = (input.source().envelopes(piece.group)?.unwrap_or_default(), Vec::new());
                // Those whose template has no room are made here, once more and for good.
                let is_made = |code: &u8| code.checked_sub(2).is_some_and(|at| codes.get(usize::from(at)) == Some(&STORED));
                let made = if own.codes.iter().any(is_made) { input.source().payload(piece.group)? } else { None };
                let mut scratch = Vec::new();
                each_row(piece, input.source().rows(piece.group), |at, row| {
                    let row_of = base + usize::from(at);
                    let skipped = own.codes.get(passed..row).unwrap_or(&[]).iter().filter(|code| **code == STORED).count();
                    passed = row + 1;
                    if let Some(last) = skipped.checked_sub(1) {
                        let _ = stored.nth(last);
                    }
                    match own.codes.get(row).copied().unwrap_or(0) {
                        0 => {}
                        STORED => {
                            if let Some(Some(text)) = stored.next() {
                                kept.store(row_of, text);
                            }
                        }
                        code => match codes.get(usize::from(code) - 2) {
                            Some(0) | None => {}
                            Some(&STORED) => {
                                if let Some(text) = made.as_ref().and_then(|made| made.text_of(row, &mut scratch)) {
                                    kept.store(row_of, text);
                                }
                            }
                            Some(code) => kept.note(row_of, *code),
                        },
                    }
                    if kept.codes.len() > row_of {
                        kept.envelopes.copy(row_of, &envelopes, row, &mut wraps);
                    }
                });
            }
            base += job.piece_rows(piece);
        }
        Ok(kept)
    }
}

/// A template of one input with the numbers of the part to be.
pub fn renumbered(template: &Template, input: usize, known: &[Known<'_>]) -> Option<Template> {
    let number = |column: u32| {
        let is_it = |known: &&Known<'_>| known.mapping.get(input).copied().flatten() == usize::try_from(column).ok();
        known.iter().find(is_it).map(|known| known.number)
    };
    let piece = |piece: &Piece| {
        Some(match piece {
            Piece::Field(column) => Piece::Field(number(*column)?),
            Piece::Json(column) => Piece::Json(number(*column)?),
            other => other.clone(),
        })
    };
    Some(Template { pieces: template.pieces.iter().map(piece).collect::<Option<_>>()? })
}
