//! What an HTTP body is cut into: lines, or the elements of a JSON array.
//!
//! A body of JSON that begins with `[` is cut into elements ([`super::elements`]); every other one into lines, of which those
//! that are arrays are cut once more. So whatever came, one record's bytes are given at a time, and who takes them can send off
//! what was gathered in between: one line can be half a million records.
//! Limits: a line or element of [`RECORD_BYTES`]; a copy of the line that is an array.

use super::elements::{Element, Elements};
use super::lines::{Line, Lines};
use crate::base::limits::RECORD_BYTES;

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A line, or a value that should be JSON.
    Whole(&'a [u8]),
    /// One that was too long; it is gone.
    TooLong,
    /// A line that only holds others: ask again.
    Again,
    /// The rest makes no sense, and why.
    Broken(&'static str),
}

/// A body being cut.
#[derive(Debug)]
pub struct Pieces {
    is_json: bool,
    /// Whether anything but white space came.
    begun: bool,
    lines: Lines,
    /// Instead of the lines, if the body is an array.
    body: Option<Elements>,
    /// Of the line of this number, which is an array.
    line: Option<(u64, Elements)>,
}

impl Pieces {
    /// Of a body that says it is JSON, or of text.
    pub fn new(is_json: bool) -> Self {
        Self { is_json, begun: !is_json, lines: Lines::new(RECORD_BYTES), body: None, line: None }
    }

    /// Where to append `count` bytes that came.
    pub fn space(&mut self, count: usize) -> &mut Vec<u8> {
        match &mut self.body {
            Some(body) => body.space(count),
            None => self.lines.space(count),
        }
    }

    /// Bytes of a piece that has not ended.
    pub fn pending(&self) -> usize {
        self.body.as_ref().map_or(self.lines.pending().len(), Elements::pending)
    }

    /// Gives back memory that what has not ended does not need.
    pub fn rest(&mut self) {
        match &mut self.body {
            Some(body) => body.rest(),
            None => self.lines.rest(),
        }
    }

    /// The next piece, and the number of its line or element; `end` says that no more will come.
    #[allow(clippy::should_implement_trait)] // it lends
    pub fn next(&mut self, end: bool) -> Option<(u64, Piece<'_>)> {
        if !self.begun {
            self.begin();
        }
        if self.line.as_mut().is_some_and(|(_, elements)| !elements.is_done()) {
            let (number, elements) = self.line.as_mut()?;
            return Some((*number, elements.next(true).map_or(Piece::Again, Piece::from)));
        }
        self.line = None;
        if let Some(body) = &mut self.body {
            let number = body.number() + 1;
            return body.next(end).map(|element| (number, element.into()));
        }
        let number = self.lines.number() + 1;
        Some((
            number,
            match self.lines.next(end)? {
                Line::TooLong => Piece::TooLong,
                Line::Whole(line) if self.is_json && is_array(line) => {
                    let mut elements = Elements::new(RECORD_BYTES);
                    elements.space(line.len()).extend_from_slice(line);
                    self.line = Some((number, elements));
                    Piece::Again
                }
                Line::Whole(line) => Piece::Whole(line),
            },
        ))
    }

    fn begin(&mut self) {
        let read = self.lines.pending();
        let first = read.trim_ascii_start().first().copied();
        if first == Some(b'[') {
            let mut elements = Elements::new(RECORD_BYTES);
            elements.space(read.len()).extend_from_slice(read);
            self.body = Some(elements);
        }
        self.begun = first.is_some();
    }
}

/// Whether a line is an array, whole: one that is not is a line that is no JSON.
fn is_array(line: &[u8]) -> bool {
    line.trim_ascii_start().first() == Some(&b'[') && serde_json::from_slice::<serde::de::IgnoredAny>(line).is_ok()
}

impl<'a> From<Element<'a>> for Piece<'a> {
    fn from(element: Element<'a>) -> Self {
        match element {
            Element::Whole(bytes) => Self::Whole(bytes),
            Element::TooLong => Self::TooLong,
            Element::Broken(why) => Self::Broken(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(body: &str, is_json: bool, step: usize) -> Vec<(u64, String)> {
        let mut pieces = Pieces::new(is_json);
        let mut out = Vec::new();
        let parts: Vec<&[u8]> = body.as_bytes().chunks(step).collect();
        for (nth, part) in parts.iter().enumerate() {
            pieces.space(part.len()).extend_from_slice(part);
            while let Some((number, piece)) = pieces.next(nth + 1 == parts.len()) {
                match piece {
                    // Whoever takes them passes over empty lines.
                    Piece::Whole(b"") => {}
                    Piece::Whole(bytes) => out.push((number, String::from_utf8_lossy(bytes).into_owned())),
                    Piece::Again => {}
                    other => out.push((number, format!("{other:?}"))),
                }
            }
        }
        out
    }

    #[test]
    fn bodies_of_every_kind() {
        let two = [(1, "1".to_owned()), (2, "2".to_owned())];
        for step in [1, 3, 1000] {
            assert_eq!(cut("1\n2\n", true, step), two);
            assert_eq!(cut("\n [1,\n2]", true, step), two);
            assert_eq!(cut("[1\n2\n", false, step), [(1, "[1".to_owned()), two[1].clone()], "text is text");
            let lines = cut("{}\n[1,[2]]\n[3\n[]\n4", true, step);
            let numbers: Vec<(u64, &str)> = lines.iter().map(|(number, line)| (*number, line.as_str())).collect();
            assert_eq!(numbers, [(1, "{}"), (2, "1"), (2, "[2]"), (3, "[3"), (5, "4")]);
            assert_eq!(cut("[1,,2]", true, step)[1], (2, "Broken(\"a value is missing\")".to_owned()));
        }
    }
}
