//! Pairs in a text.
//!
//! A key is what stands before a value split, back to the last field split; a value is what is between quotes, or between brackets
//! of one kind, when a field split or the end follows, else what goes to the next field split. What is no pair is passed by.
//! A backslash takes what follows it out of all this, and stays. Time is linear in the text for classes of characters; each pattern
//! is asked for its next match when the last one was passed, so it too sees a text once.

use crate::split::{GaveUp, Splitter};

/// The rules of a text's pairs.
#[derive(Debug)]
pub struct Scanner {
    /// Between pairs.
    pub field_split: Splitter,
    /// Between the halves of one.
    pub value_split: Splitter,
    /// Whether spaces around the value split mean nothing.
    pub is_lenient: bool,
    /// Whether brackets hold values together.
    pub include_brackets: bool,
}

impl Scanner {
    /// Calls `each` with every key and its value, which may be empty.
    ///
    /// # Errors
    /// The host gave up on the text.
    pub fn scan<'a>(&mut self, text: &'a [u8], mut each: impl FnMut(&'a [u8], &'a [u8])) -> Result<(), GaveUp> {
        let (mut from, mut closes) = (0, [0; 5]);
        let mut next_field = self.field_split.find(text, 0)?;
        let mut next_value = self.value_split.find(text, 0)?;
        while let Some(mut value_split) = next_value {
            // The field split at or after `from`.
            if next_field.is_some_and(|(start, _)| start < from) {
                next_field = self.field_split.find(text, from)?;
            }
            if value_split.0 < from {
                next_value = self.value_split.find(text, from)?;
                continue;
            }
            // Words without a value split before this one are no keys. Spaces before it may belong to it.
            let before = if self.is_lenient { trim_spaces(&text[..value_split.0], from) } else { value_split.0 };
            while let Some((start, end)) = next_field.filter(|(start, _)| *start < before) {
                from = end.max(start + 1);
                next_field = self.field_split.find(text, from)?;
            }
            let key = &text[from.min(before)..before];
            if self.is_lenient {
                value_split.1 += text[value_split.1..].iter().take_while(|byte| **byte == b' ').count();
            }
            if key.is_empty() {
                // `==`, or a split right behind another.
                from = from.max(value_split.0 + 1);
                next_value = self.value_split.find(text, from)?;
                continue;
            }
            let at = value_split.1;
            let (value, end) = match self.wrapped(text, at, &mut closes)? {
                Some(found) => found,
                None => {
                    let (end, next) = self.field_split.find(text, at)?.unwrap_or((text.len(), text.len()));
                    (&text[at..end], next)
                }
            };
            each(key, value);
            from = end;
            next_value = self.value_split.find(text, from)?;
        }
        Ok(())
    }

    /// A value in quotes or brackets, without them, and where it goes on. `closes` remembers where each kind is closed next, or that
    /// it is nowhere any more ([`usize::MAX`]), so that a text of opening brackets is not searched to its end for each.
    fn wrapped<'a>(&mut self, text: &'a [u8], at: usize, closes: &mut [usize; 5]) -> Result<Option<(&'a [u8], usize)>, GaveUp> {
        let (close, kind) = match text.get(at) {
            Some(b'"') => (b'"', 0),
            Some(b'\'') => (b'\'', 1),
            Some(b'(') if self.include_brackets => (b')', 2),
            Some(b'[') if self.include_brackets => (b']', 3),
            Some(b'<') if self.include_brackets => (b'>', 4),
            _ => return Ok(None),
        };
        if closes[kind] <= at {
            let mut end = at + 1;
            closes[kind] = loop {
                match text.get(end) {
                    None => break usize::MAX,
                    Some(byte) if *byte == close => break end,
                    Some(b'\\') => end += 2,
                    Some(_) => end += 1,
                }
            };
        }
        let end = closes[kind];
        if end == usize::MAX {
            return Ok(None);
        }
        let after = end + 1;
        let next = match text.get(after) {
            None | Some(b'\n' | b'\r') => Some(after),
            Some(_) => match &self.field_split {
                Splitter::Class(class) => class.has(text[after]).then_some(after + 1),
                Splitter::Pattern(_) => {
                    self.field_split.find(text, after)?.filter(|(start, _)| *start == after).map(|(_, end)| end)
                }
            },
        };
        Ok(next.map(|next| (&text[at + 1..end], next)))
    }
}

/// Where the spaces at the end of a text begin, but not before `from`.
fn trim_spaces(text: &[u8], from: usize) -> usize {
    let spaces = text.iter().rev().take_while(|byte| **byte == b' ').count();
    (text.len() - spaces).max(from.min(text.len()))
}
