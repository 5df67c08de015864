//! How payloads are made of rows, found as rows are added: the one moment when payload and fields are both at hand.
//!
//! A payload that is to be kept is tried against the templates that payloads before it had, the last one first. Only where none
//! fits is one made of this row: values that are slices of the payload say where they were cut from; others are looked for
//! behind their name, as JSON writes it, then anywhere as whole words; what is between is literal. What a template gives is
//! compared with the payload byte for byte, now: a wrong guess costs a template, never truth.
//!
//! Limits: [`PAYLOADS`] templates of [`PIECES`] pieces and [`LITERALS`] bytes in all for a memtable, made in at most [`TRIES`]
//! tries of rows of up to [`CELLS`] values, whose first [`PLACES`] places are looked at; payloads up to [`LONGEST`]; [`TRIED`]
//! templates are tried on a row.
//! What literals tell: what filters took out of a row is in them. A template that is found for one row alone is not used, so what
//! differs in every record does not come back; what is the same in many does. That is no redaction: who needs one says `never`,
//! and chains with `redact` have it said for them.

use std::sync::Arc;

use memchr::memmem;

use super::part::derive::{PLACES, Pen, is_word};
use super::part::json::put_json;
use super::part::payload::{PAYLOADS, STORED};
use super::part::template::{PIECES, Piece, Stamp, Template};
use crate::base::row::{Cell, Value};

/// Bytes of literals of all templates.
const LITERALS: usize = 256 << 10;
/// Rows that templates are made of.
const TRIES: u32 = 1024;
/// Templates that are tried on a row.
const TRIED: usize = 8;
/// Longer payloads are not looked into.
const LONGEST: usize = 64 << 10;
/// Rows with more values are not looked into.
const CELLS: usize = 256;

/// A row as it is stored.
#[derive(Clone, Copy, Debug)]
pub struct Row<'r> {
    /// Its values, no name twice.
    pub cells: &'r [Cell<'r>],
    /// The column of each.
    pub columns: &'r [u32],
    /// Its time.
    pub time_ns: i64,
    /// Each cell's name.
    pub names: &'r [Arc<str>],
}

impl<'r> Row<'r> {
    /// The value of a column, which is likely that of the cell `hint`.
    #[inline]
    fn value(&self, column: u32, hint: usize) -> Option<Value<'r>> {
        if self.columns.get(hint) == Some(&column) {
            return self.cells.get(hint).map(|cell| cell.value);
        }
        let at = self.columns.iter().position(|own| *own == column)?;
        self.cells.get(at).map(|cell| cell.value)
    }
}

/// What is known of a template beforehand.
#[derive(Debug)]
struct Hints {
    /// Of each piece, which cell it was.
    cells: Vec<usize>,
    /// Bytes of its literals that JSON does not write as they are.
    odd: usize,
}

impl Hints {
    fn of(template: &Template, cells: Vec<usize>) -> Self {
        let odd = |piece: &Piece| if let Piece::Literal(bytes) = piece { odd_bytes(bytes) } else { 0 };
        Self { cells, odd: template.pieces.iter().map(odd).sum() }
    }
}

/// Templates of a memtable's payloads.
#[derive(Debug, Default)]
pub struct Finder {
    templates: Vec<Template>,
    /// The same, for looks.
    shared: Option<Arc<[Template]>>,
    /// One a template.
    hints: Vec<Hints>,
    /// Those used last, first.
    recent: Vec<usize>,
    /// Rows that each was found for.
    uses: Vec<u32>,
    tries: u32,
    literals: usize,
    pen: Pen,
    scratch: Vec<u8>,
}

impl Finder {
    /// The templates, whose fields are the memtable's columns; none instead of those that were found for one row alone.
    pub fn shared(&mut self) -> Arc<[Template]> {
        let uses = self.uses.iter().map(|uses| *uses > 1);
        let known =
            self.templates.iter().zip(uses).map(|(template, sure)| if sure { template.clone() } else { Template::none() });
        self.shared.get_or_insert_with(|| known.collect()).clone()
    }

    /// Memory they take, about.
    pub fn bytes(&self) -> usize {
        self.literals + self.templates.iter().map(|template| template.pieces.len() * 40).sum::<usize>()
    }

    /// The code by which the row gives its payload, if there is one.
    pub fn code(&mut self, payload: &[u8], row: &Row<'_>) -> Option<u8> {
        if payload.len() > LONGEST {
            return None;
        }
        let tried = self.recent.iter().take(TRIED).position(|at| {
            let pieces = self.templates.get(*at).zip(self.hints.get(*at));
            pieces.is_some_and(|(template, hints)| makes(template, hints, payload, row, &mut self.pen, &mut self.scratch))
        });
        if let Some(place) = tried {
            self.recent[..=place].rotate_right(1);
            let found = self.recent[0];
            self.used(found);
            return code(found);
        }
        if self.templates.len() >= PAYLOADS || self.tries >= TRIES || self.literals >= LITERALS {
            return None;
        }
        self.tries += 1;
        let (template, cells) = self.suggestion(payload, row)?;
        let hints = Hints::of(&template, cells);
        if !makes(&template, &hints, payload, row, &mut self.pen, &mut self.scratch) {
            return None;
        }
        let found = self.templates.iter().position(|known| *known == template).unwrap_or_else(|| {
            let literal = |piece: &Piece| if let Piece::Literal(bytes) = piece { bytes.len() } else { 0 };
            self.literals += template.pieces.iter().map(literal).sum::<usize>();
            self.shared = None;
            self.templates.push(template);
            self.hints.push(hints);
            self.uses.push(0);
            self.templates.len() - 1
        });
        self.recent.retain(|at| *at != found);
        self.recent.insert(0, found);
        self.used(found);
        code(found)
    }

    fn used(&mut self, found: usize) {
        if let Some(uses) = self.uses.get_mut(found) {
            *uses = uses.saturating_add(1);
            if *uses == 2 {
                self.shared = None;
            }
        }
    }

    /// Whether a code is of a template that was found for one row so far.
    pub fn is_unsure(&self, code: u8) -> bool {
        self.uses.get(usize::from(code).wrapping_sub(2)).is_none_or(|uses| *uses < 2)
    }

    /// The template that a row suggests, and which cell each of its pieces was.
    fn suggestion(&mut self, payload: &[u8], row: &Row<'_>) -> Option<(Template, Vec<usize>)> {
        if row.cells.len() > CELLS {
            return None;
        }
        let is_json = matches!(payload.first(), Some(b'{' | b'['));
        let mut found: Vec<(usize, usize, Piece, usize)> = Vec::new();
        let is_free = |found: &[(usize, usize, Piece, usize)], from: usize, to: usize| {
            found.iter().all(|(start, end, ..)| to <= *start || *end <= from)
        };
        if let Some((from, to, stamp)) = Stamp::find(payload, row.time_ns) {
            found.push((from, to, Piece::Time(stamp), usize::MAX));
        }
        // Slices of the payload, longest first: they say where they were.
        let mut slices: Vec<(usize, &[u8])> = Vec::new();
        for (at, cell) in row.cells.iter().enumerate() {
            if let Value::Str(text) = cell.value {
                slices.push((at, text));
            }
        }
        slices.sort_by_key(|(at, text)| (std::cmp::Reverse(text.len()), *at));
        let mut rest: Vec<usize> = Vec::new();
        for (at, text) in slices {
            let from = (text.as_ptr() as usize).wrapping_sub(payload.as_ptr() as usize);
            let to = from.wrapping_add(text.len());
            if !text.is_empty() && from < payload.len() && payload.get(from..to) == Some(text) && is_free(&found, from, to) {
                found.push((from, to, field(payload, from, to, *row.columns.get(at)?, is_json), at));
            } else {
                rest.push(at);
            }
        }
        rest.extend((0..row.cells.len()).filter(|at| !matches!(row.cells[*at].value, Value::Str(_))));
        for at in rest {
            let (cell, column) = (row.cells.get(at)?, *row.columns.get(at)?);
            let name = row.names.get(cell.name as usize).map_or("", |name| name);
            let mut text = std::mem::take(&mut self.scratch);
            text.clear();
            match cell.value {
                Value::Str(bytes) if is_json => put_json(&mut text, bytes),
                other => text.extend_from_slice(self.pen.value(other)),
            }
            let quoted = is_json && matches!(cell.value, Value::Str(_));
            let place = self::place(payload, name, &text, quoted).filter(|from| is_free(&found, *from, from + text.len()));
            let place = place.or_else(|| {
                let free = |from: &usize| {
                    let to = from + text.len();
                    let quotes = payload.get(from.wrapping_sub(1)) == Some(&b'"') && payload.get(to) == Some(&b'"');
                    is_free(&found, *from, to) && is_word(payload, *from, to) && (quoted == quotes || !is_json)
                };
                if text.is_empty() { None } else { memmem::find_iter(payload, &text).take(PLACES).find(free) }
            });
            if let Some(from) = place {
                let to = from + text.len();
                let piece = if quoted { Piece::Json(column) } else { Piece::Field(column) };
                found.push((from, to, piece, at));
            }
            self.scratch = text;
        }
        if found.is_empty() || found.len() * 2 >= PIECES {
            return None;
        }
        found.sort_by_key(|(from, to, ..)| (*from, *to));
        let (mut template, mut hints, mut at) = (Template::default(), Vec::new(), 0);
        for (from, to, piece, hint) in found {
            if from > at {
                template.pieces.push(Piece::Literal(payload[at..from].to_vec()));
                hints.push(usize::MAX);
            }
            template.pieces.push(piece);
            hints.push(hint);
            at = to;
        }
        if at < payload.len() {
            template.pieces.push(Piece::Literal(payload[at..].to_vec()));
            hints.push(usize::MAX);
        }
        Some((template, hints))
    }
}

fn code(number: usize) -> Option<u8> {
    u8::try_from(number).ok()?.checked_add(STORED + 1)
}

/// A value that is a slice of the payload: within quotes of JSON it is written as JSON writes it.
fn field(payload: &[u8], from: usize, to: usize, column: u32, is_json: bool) -> Piece {
    let quotes = payload.get(from.wrapping_sub(1)) == Some(&b'"') && payload.get(to) == Some(&b'"');
    if is_json && quotes { Piece::Json(column) } else { Piece::Field(column) }
}

/// Where JSON writes this value behind its name.
fn place(payload: &[u8], name: &str, text: &[u8], quoted: bool) -> Option<usize> {
    let key = name.rsplit('.').next().unwrap_or(name);
    memmem::find_iter(payload, key.as_bytes()).find_map(|at| {
        let rest = payload.get(at + key.len()..)?.strip_prefix(b"\"")?;
        let rest = rest.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start();
        let rest = if quoted { rest.strip_prefix(b"\"")? } else { rest };
        let behind = rest.strip_prefix(text)?;
        let ends = if quoted {
            behind.first() == Some(&b'"')
        } else {
            behind.first().is_none_or(|byte| !byte.is_ascii_alphanumeric() && !matches!(byte, b'.' | b'+' | b'-'))
        };
        (at > 0 && payload[at - 1] == b'"' && ends).then(|| payload.len() - rest.len())
    })
}

/// Bytes that JSON does not write as they are.
fn odd_bytes(text: &[u8]) -> usize {
    let is_odd = |byte: &u8| u8::from((*byte < 0x20) | (*byte == b'"') | (*byte == b'\\'));
    // Sums of few enough bytes to be bytes: many are looked at in one step.
    text.chunks(255).map(|some| usize::from(some.iter().map(is_odd).fold(0, u8::wrapping_add))).sum()
}

/// The text without a value before it. A value that was cut out of just there need not be compared.
#[inline]
fn behind<'t>(text: &'t [u8], value: &[u8]) -> Option<&'t [u8]> {
    if std::ptr::eq(text.as_ptr(), value.as_ptr()) { text.get(value.len()..) } else { text.strip_prefix(value) }
}

/// Whether a template makes this payload of this row.
fn makes(template: &Template, hints: &Hints, payload: &[u8], row: &Row<'_>, pen: &mut Pen, scratch: &mut Vec<u8>) -> bool {
    let mut rest = payload;
    // Of the literals; the values of JSON are compared as they are at first.
    let mut odd = hints.odd;
    for (piece, hint) in template.pieces.iter().zip(&hints.cells) {
        let next = match piece {
            Piece::Literal(bytes) => rest.strip_prefix(&bytes[..]),
            Piece::Time(stamp) => rest.strip_prefix(pen.stamp(*stamp, row.time_ns)),
            Piece::Field(column) => row.value(*column, *hint).and_then(|value| {
                let value = pen.value(value);
                odd += odd_bytes(value);
                rest.strip_prefix(value)
            }),
            Piece::Json(column) => match row.value(*column, *hint) {
                Some(Value::Str(text)) => behind(rest, text).or_else(|| {
                    scratch.clear();
                    put_json(scratch, text);
                    odd += odd_bytes(scratch);
                    rest.strip_prefix(&scratch[..])
                }),
                _ => None,
            },
        };
        let Some(next) = next else { return false };
        rest = next;
    }
    // Then no value that was compared as it is has a byte that JSON writes otherwise.
    rest.is_empty() && odd == odd_bytes(payload)
}
