//! A document like one before: the same names in the same order, and only scalars in between.
//!
//! Programs write their records with one statement, so that but for the values documents are equal, byte for byte. What stands
//! between the values, the *glue* (`{"time":`, `,"level":`, `}`), is learned from a document that was scanned and written; one with
//! the same glue needs no names made, looked up and told apart: each value goes where its predecessor went.
//!
//! Invariants: equal glue around scalars leads the scanner from state to state alike, so a document that fits means exactly what
//! scanning it would find; one that does not is scanned. What depends on values is not learned (`tags`), or asked again
//! ([`Act::Time`], [`Act::Message`]). So it is of no importance which documents came before.
//! Limits: [`STEPS`] values, [`GLUE`] bytes of glue, [`SHAPES`] shapes; where documents keep changing they are tried seldom.

use sawbox_guest::Remembered;

use crate::scan::{Doc, Scalar, Text, plain_end, scalar};

/// Most values of a document that is learned.
const STEPS: usize = 128;
/// Most bytes between them.
const GLUE: usize = 8192;
/// Shapes that are known at a time.
const SHAPES: usize = 4;
/// After so many more documents that were like none before than such that were…
const STRANGERS: u32 = 16;
/// … so many are not looked at.
const REST: u32 = 256;

/// What becomes of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Nothing.
    Skip,
    /// It is the row's time.
    Time,
    /// It is the message; and whether it is a container runtime's line.
    Message(bool),
    /// The first of its name; a later one.
    Put(Vec<u8>, bool),
}

/// A value's way.
#[derive(Debug)]
pub struct Step {
    /// Behind which glue it stands: an end in [`Shape::glue`], which begins where the step before ended.
    end: usize,
    /// What becomes of it.
    pub act: Act,
    /// The number of the field's name.
    pub name: Remembered,
}

/// The documents that are alike.
#[derive(Debug)]
pub struct Shape {
    glue: Vec<u8>,
    /// One for each value.
    pub steps: Vec<Step>,
}

/// A value that was found, and where.
pub type Found = (Scalar, (usize, usize));

/// What was learned.
#[derive(Debug, Default)]
pub struct Shapes {
    /// The last one that fitted comes first.
    known: Vec<Shape>,
    strangers: u32,
    rest: u32,
    /// Values of the document at hand.
    pub found: Vec<Found>,
}

impl Shapes {
    /// The shape that the text has, and its values in [`Shapes::found`]; strings with escapes are in `decoded`.
    pub fn fit(&mut self, text: &[u8], decoded: &mut Vec<u8>) -> Option<(&mut Shape, &[Found])> {
        if self.rest > 0 {
            return None;
        }
        let at = self.known.iter().position(|shape| shape.fits(text, &mut self.found, decoded))?;
        self.strangers = self.strangers.saturating_sub(1);
        self.known[..=at].rotate_right(1);
        Some((self.known.first_mut()?, &self.found))
    }

    /// Whether the document at hand, which fitted nothing, is to be learned.
    pub fn is_curious(&mut self) -> bool {
        if self.rest > 0 {
            self.rest -= 1;
            return false;
        }
        self.strangers += 1;
        if self.strangers == STRANGERS {
            (self.strangers, self.rest) = (0, REST);
        }
        true
    }

    /// Learns a document that was scanned, and what became of each of its cells.
    pub fn learn(&mut self, text: &[u8], doc: &Doc, acts: &[Act]) {
        let is_scalar = |at: usize| !matches!(text.get(at), Some(b'{' | b'[') | None);
        let (glue, cells) = (text.len(), &doc.cells);
        let values: usize = cells.iter().map(|cell| cell.raw.1 - cell.raw.0).sum();
        if cells.len() > STEPS || cells.len() != acts.len() || glue - values > GLUE || doc.is_cut {
            return;
        }
        if !cells.iter().all(|cell| is_scalar(cell.raw.0)) {
            return;
        }
        let mut shape = Shape { glue: Vec::new(), steps: Vec::new() };
        let mut at = 0;
        for (cell, act) in cells.iter().zip(acts) {
            shape.glue.extend_from_slice(&text[at..cell.raw.0]);
            at = cell.raw.1;
            shape.steps.push(Step { end: shape.glue.len(), act: act.clone(), name: Remembered::default() });
        }
        shape.glue.extend_from_slice(&text[at..]);
        self.known.truncate(SHAPES - 1);
        self.known.insert(0, shape);
    }
}

impl Shape {
    fn fits(&self, text: &[u8], found: &mut Vec<Found>, decoded: &mut Vec<u8>) -> bool {
        found.clear();
        decoded.clear();
        let (mut at, mut start) = (0, 0);
        for step in &self.steps {
            if !stands(text, at, &self.glue[start..step.end]) {
                return false;
            }
            at += step.end - start;
            start = step.end;
            // Most values are strings without escapes.
            if let Some(end) = plain_end(text, at) {
                found.push((Scalar::Str(Text::Source(at + 1, end)), (at, end + 1)));
                at = end + 1;
                continue;
            }
            let Ok((value, end)) = scalar(text, at, decoded) else { return false };
            found.push((value, (at, end)));
            at = end;
        }
        let tail = &self.glue[start..];
        text.len() - at == tail.len() && stands(text, at, tail)
    }
}

/// Whether `glue` stands in the text there. Word by word: what the language does for two slices is a call, and byte by byte.
#[inline]
fn stands(text: &[u8], at: usize, glue: &[u8]) -> bool {
    let Some(text) = text.get(at..at + glue.len()) else { return false };
    if let (Some(text_last), Some(glue_last)) = (text.last_chunk::<8>(), glue.last_chunk::<8>()) {
        let (words, _) = text.as_chunks::<8>();
        let (others, _) = glue.as_chunks::<8>();
        for (word, other) in words.iter().zip(others) {
            if u64::from_le_bytes(*word) != u64::from_le_bytes(*other) {
                return false;
            }
        }
        return u64::from_le_bytes(*text_last) == u64::from_le_bytes(*glue_last);
    }
    if let (Some(text_last), Some(glue_last)) = (text.last_chunk::<4>(), glue.last_chunk::<4>()) {
        let (Some(first), Some(other)) = (text.first_chunk::<4>(), glue.first_chunk::<4>()) else { return false };
        return u32::from_le_bytes(*first) == u32::from_le_bytes(*other)
            && u32::from_le_bytes(*text_last) == u32::from_le_bytes(*glue_last);
    }
    text.iter().zip(glue).all(|(byte, other)| byte == other)
}

/// The bytes of a string that was found.
pub fn bytes<'a>(text: &'a [u8], decoded: &'a [u8], place: Text) -> &'a [u8] {
    match place {
        Text::Source(start, end) => &text[start..end],
        Text::Decoded(start, end) => &decoded[start..end],
    }
}
