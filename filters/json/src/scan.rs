//! A JSON object, flattened in one pass: dotted names and scalar values, borrowed from the text where they can be.
//!
//! * Not recursive: nesting costs entries of a vector, at most [`NESTING`], never stack.
//! * A string without escapes is a span of the text; one with escapes is decoded into [`Doc::decoded`].
//! * A list of scalars gives one cell an element, all of one name. A list that holds a list or an object, and an object deeper
//!   than [`FLATTENED`], is one string: its own JSON text.
//! * `null`, `{}` and `[]` give nothing. A whole number is an integer where it fits 64 bits, else a decimal where that is
//!   exactly the same number, else a string: no digit is lost.
//! * More lenient than the standard where that loses nothing: raw control characters and invalid UTF-8 in strings are kept as
//!   they are, half a surrogate pair becomes U+FFFD. Everything else that is not JSON is refused as a whole.
//!
//! Limits: [`CELLS`] cells and names of [`NAME_BYTES`]; what is beyond is left out and [`Doc::is_cut`] says so. A `Doc` is used
//! again for the next text, and its memory with it. No input panics, and time is linear in the text.

use sawbox_guest::find;

/// Most cells of one document.
pub const CELLS: usize = 1000;
/// Longest dotted name.
pub const NAME_BYTES: usize = 256;
/// Deepest nesting that is read at all.
pub const NESTING: usize = 128;
/// Deepest object that is flattened.
pub const FLATTENED: usize = 16;

/// Where a string is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Text {
    /// In the text that was scanned.
    Source(usize, usize),
    /// In [`Doc::decoded`].
    Decoded(usize, usize),
}

/// A scalar.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scalar {
    /// A string.
    Str(Text),
    /// A whole number.
    Int(i64),
    /// A decimal number.
    Float(f64),
    /// Yes or no.
    Bool(bool),
}

/// One value with its name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cell {
    /// Its dotted name, in [`Doc::names`].
    pub name: (usize, usize),
    /// Its value.
    pub value: Scalar,
    /// Where it stands in the text, quotes included.
    pub raw: (usize, usize),
    /// Whether it is a member of the document itself, not of an object or list in it.
    pub top: bool,
}

/// A flattened document.
#[derive(Debug, Default)]
pub struct Doc {
    /// The cells, in the order of the text.
    pub cells: Vec<Cell>,
    /// All names, back to back.
    pub names: Vec<u8>,
    /// Strings that had escapes.
    pub decoded: Vec<u8>,
    /// Whether something was left out.
    pub is_cut: bool,
    path: Vec<u8>,
    open: Vec<Open>,
    /// Index in `open` of what will be one string.
    whole: Option<usize>,
}

/// An object or list that is not closed yet.
#[derive(Debug)]
struct Open {
    is_list: bool,
    /// Length of its own name in `path`.
    path: usize,
    /// Where it begins in the text.
    start: usize,
    /// What there was before it: cells, names, decoded.
    before: (usize, usize, usize),
    is_empty: bool,
}

/// The text is no JSON object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotJson;

impl Doc {
    /// Scans `text`, which must be one object and nothing else but space.
    ///
    /// # Errors
    /// It is not.
    pub fn scan(&mut self, text: &[u8]) -> Result<(), NotJson> {
        self.cells.clear();
        self.names.clear();
        self.decoded.clear();
        self.path.clear();
        self.open.clear();
        (self.is_cut, self.whole) = (false, None);
        let mut at = space(text, 0);
        if text.get(at) != Some(&b'{') {
            return Err(NotJson);
        }
        at = self.begin(at, false)?;
        while let Some(open) = self.open.last_mut() {
            at = space(text, at);
            let (is_list, path, is_first) = (open.is_list, open.path, open.is_empty);
            let byte = *text.get(at).ok_or(NotJson)?;
            if byte == if is_list { b']' } else { b'}' } {
                at += 1;
                self.end(at);
                continue;
            }
            if !is_first {
                if byte != b',' {
                    return Err(NotJson);
                }
                at = space(text, at + 1);
            }
            open.is_empty = false;
            if !is_list {
                at = self.key(text, at, path)?;
            }
            at = self.value(text, at)?;
        }
        if space(text, at) == text.len() { Ok(()) } else { Err(NotJson) }
    }

    /// The name of a cell.
    pub fn name(&self, cell: &Cell) -> &[u8] {
        &self.names[cell.name.0..cell.name.1]
    }

    /// The bytes of a string.
    pub fn text<'a>(&'a self, source: &'a [u8], text: Text) -> &'a [u8] {
        match text {
            Text::Source(start, end) => &source[start..end],
            Text::Decoded(start, end) => &self.decoded[start..end],
        }
    }

    fn begin(&mut self, at: usize, is_list: bool) -> Result<usize, NotJson> {
        if self.open.len() == NESTING {
            return Err(NotJson);
        }
        if self.whole.is_none() {
            let depth = self.open.len();
            match self.open.last() {
                // A list that holds more than scalars: forget its scalars, it will be text.
                Some(list) if list.is_list => {
                    let (cells, names, decoded) = list.before;
                    self.cells.truncate(cells);
                    self.names.truncate(names);
                    self.decoded.truncate(decoded);
                    self.whole = Some(depth - 1);
                }
                _ if !is_list && depth >= FLATTENED => self.whole = Some(depth),
                _ => {}
            }
        }
        let before = (self.cells.len(), self.names.len(), self.decoded.len());
        self.open.push(Open { is_list, path: self.path.len(), start: at, before, is_empty: true });
        Ok(at + 1)
    }

    fn end(&mut self, at: usize) {
        let Some(open) = self.open.pop() else { return };
        if self.whole == Some(self.open.len()) {
            self.whole = None;
            self.path.truncate(open.path);
            let raw = (open.start, at);
            self.push(Scalar::Str(Text::Source(raw.0, raw.1)), raw);
        }
    }

    fn key(&mut self, text: &[u8], at: usize, path: usize) -> Result<usize, NotJson> {
        let (start, end, escaped) = string(text, at)?;
        if self.whole.is_none() {
            self.path.truncate(path);
            if path > 0 {
                self.path.push(b'.');
            }
            let from = self.path.len();
            if escaped {
                decode(&text[start..end], &mut self.path);
            } else {
                self.path.extend_from_slice(&text[start..end]);
            }
            if self.path.len() == from {
                self.path.push(b'_'); // a name must have a byte
            }
            if !self.path[from..].is_ascii() && core::str::from_utf8(&self.path[from..]).is_err() {
                let valid = String::from_utf8_lossy(&self.path[from..]).into_owned();
                self.path.truncate(from);
                self.path.extend_from_slice(valid.as_bytes());
            }
        }
        let at = space(text, end + 1);
        if text.get(at) == Some(&b':') { Ok(space(text, at + 1)) } else { Err(NotJson) }
    }

    fn value(&mut self, text: &[u8], at: usize) -> Result<usize, NotJson> {
        let (value, end) = match text.get(at).ok_or(NotJson)? {
            b'{' => return self.begin(at, false),
            b'[' => return self.begin(at, true),
            b'n' => return word(text, at, b"null"),
            b'"' if self.whole.is_some() => {
                let (start, end, _) = string(text, at)?;
                (Scalar::Str(Text::Source(start, end)), end + 1) // belongs to a list that will be text
            }
            _ => scalar(text, at, &mut self.decoded)?,
        };
        if self.whole.is_none() {
            self.push(value, (at, end));
        }
        Ok(end)
    }

    fn push(&mut self, value: Scalar, raw: (usize, usize)) {
        if self.cells.len() >= CELLS || self.path.len() > NAME_BYTES {
            self.is_cut = true;
            return;
        }
        let top = self.open.len() == 1;
        // The elements of a list share one name.
        let name = match self.cells.last() {
            Some(last) if !top && self.names[last.name.0..last.name.1] == self.path[..] => last.name,
            _ => {
                let start = self.names.len();
                self.names.extend_from_slice(&self.path);
                (start, self.names.len())
            }
        };
        self.cells.push(Cell { name, value, raw, top });
    }
}

/// A string, a number, yes or no: its value and its end. A string with escapes is appended to `decoded`.
#[inline]
pub fn scalar(text: &[u8], at: usize, decoded: &mut Vec<u8>) -> Result<(Scalar, usize), NotJson> {
    match text.get(at).ok_or(NotJson)? {
        b'"' => {
            let (start, end, escaped) = string(text, at)?;
            let place = if escaped {
                let from = decoded.len();
                decode(&text[start..end], decoded);
                Text::Decoded(from, decoded.len())
            } else {
                Text::Source(start, end)
            };
            Ok((Scalar::Str(place), end + 1))
        }
        b'-' | b'0'..=b'9' => number(text, at),
        b't' => Ok((Scalar::Bool(true), word(text, at, b"true")?)),
        b'f' => Ok((Scalar::Bool(false), word(text, at, b"false")?)),
        _ => Err(NotJson),
    }
}

fn space(text: &[u8], mut at: usize) -> usize {
    while matches!(text.get(at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
        at += 1;
    }
    at
}

fn word(text: &[u8], at: usize, word: &[u8]) -> Result<usize, NotJson> {
    if text[at..].starts_with(word) { Ok(at + word.len()) } else { Err(NotJson) }
}

/// From an opening quote: where the string begins and ends, and whether it holds escapes.
fn string(text: &[u8], at: usize) -> Result<(usize, usize, bool), NotJson> {
    if text.get(at) != Some(&b'"') {
        return Err(NotJson);
    }
    let (start, mut at, mut escaped) = (at + 1, at + 1, false);
    loop {
        at = find::either(text, at, b'"', b'\\').ok_or(NotJson)?;
        if text[at] == b'"' {
            return Ok((start, at, escaped));
        }
        escaped = true;
        at += match text.get(at + 1).ok_or(NotJson)? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => 2,
            b'u' if text.get(at + 2..at + 6).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)) => 6,
            _ => return Err(NotJson),
        };
    }
}

/// Where the string that begins at a place ends, if it has no escapes.
#[inline]
pub fn plain_end(text: &[u8], at: usize) -> Option<usize> {
    if text.get(at) != Some(&b'"') {
        return None;
    }
    find::either(text, at + 1, b'"', b'\\').filter(|end| text[*end] == b'"')
}

/// Appends the meaning of a string whose escapes [`string`] has checked.
fn decode(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
        out.extend_from_slice(&rest[..at]);
        let escape = rest.get(at + 1).copied().unwrap_or(b'\\');
        let mut used = at + 2;
        match escape {
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'u' => {
                let unit = hex(rest, at + 2);
                used = at + 6;
                let low = if rest[used.min(rest.len())..].starts_with(b"\\u") { hex(rest, used + 2) } else { 0 };
                let code = if (0xD800..0xDC00).contains(&unit) && (0xDC00..0xE000).contains(&low) {
                    used += 6;
                    0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00)
                } else {
                    unit
                };
                let char = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
                out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
            }
            other => out.push(other),
        }
        rest = rest.get(used..).unwrap_or(&[]);
    }
    out.extend_from_slice(rest);
}

fn hex(text: &[u8], at: usize) -> u32 {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).unwrap_or(0);
    text.get(at..at + 4).map_or(0, |four| four.iter().fold(0, |sum, byte| sum << 4 | digit(byte)))
}

/// A number: its value and its end.
fn number(text: &[u8], start: usize) -> Result<(Scalar, usize), NotJson> {
    let digits = |at: usize| text[at.min(text.len())..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let is_negative = text[start] == b'-';
    let mut at = start + usize::from(is_negative);
    let whole = digits(at);
    if whole == 0 || (whole > 1 && text[at] == b'0') {
        return Err(NotJson);
    }
    let (first, mut is_whole) = (at, true);
    at += whole;
    if text.get(at) == Some(&b'.') {
        let fraction = digits(at + 1);
        if fraction == 0 {
            return Err(NotJson);
        }
        (at, is_whole) = (at + 1 + fraction, false);
    }
    if matches!(text.get(at), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(text.get(at + 1), Some(b'+' | b'-')));
        let exponent = digits(at + 1 + sign);
        if exponent == 0 {
            return Err(NotJson);
        }
        (at, is_whole) = (at + 1 + sign + exponent, false);
    }
    if is_whole && whole <= 18 && !(is_negative && text[first] == b'0') {
        let value = text[first..at].iter().fold(0_i64, |sum, digit| sum * 10 + i64::from(digit - b'0'));
        return Ok((Scalar::Int(if is_negative { -value } else { value }), at));
    }
    let raw = core::str::from_utf8(&text[start..at]).map_err(|_| NotJson)?;
    let value = match raw.parse::<i64>() {
        Ok(value) if is_whole && value != 0 => Scalar::Int(value),
        _ => match raw.parse::<f64>() {
            Ok(value) if value.is_finite() && !(is_whole && loses_digits(value, raw)) => Scalar::Float(value),
            _ => Scalar::Str(Text::Source(start, at)),
        },
    };
    Ok((value, at))
}

/// Whether a decimal is not exactly the whole number that was written.
fn loses_digits(value: f64, raw: &str) -> bool {
    // An `f64` of this size is a whole number, and is printed with all its digits.
    format!("{value:.0}") != raw
}
