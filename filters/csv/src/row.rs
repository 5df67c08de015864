//! One row of separated values, cut into its cells.
//!
//! RFC 4180: a cell may stand between quotes, then a quote in it is doubled, and it may hold separators and line ends; after the
//! closing quote comes a separator or the end. A quote elsewhere makes the row malformed, as in Ruby's reader, which is what
//! Logstash has. The row ends at the first line end outside of quotes; what follows is left out.

/// Most cells of a row.
pub const CELLS: usize = 1024;

/// A cell: where its text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    start: usize,
    end: usize,
    is_built: bool,
    /// Between quotes: then nothing is an empty text.
    pub is_quoted: bool,
}

/// How rows are written.
#[derive(Clone, Debug)]
pub struct Reader {
    separator: Vec<u8>,
    /// Empty: there is no quoting.
    quote: Vec<u8>,
    /// Cells with doubled quotes, undoubled.
    built: Vec<u8>,
    /// The cells of the last row.
    pub cells: Vec<Cell>,
}

/// It is no row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl Reader {
    /// For rows of this kind; `separator` is not empty.
    pub fn new(separator: &str, quote: &str) -> Self {
        Self { separator: separator.into(), quote: quote.into(), built: Vec::new(), cells: Vec::new() }
    }

    /// The text of a cell of the last row, which was read from `text`.
    pub fn text<'t>(&'t self, text: &'t [u8], cell: &Cell) -> &'t [u8] {
        let whole = if cell.is_built { &self.built } else { text };
        whole.get(cell.start..cell.end).unwrap_or(&[])
    }

    /// Reads a row.
    ///
    /// # Errors
    /// A quote where none may be, or one that is not closed; more than [`CELLS`] cells.
    pub fn read(&mut self, text: &[u8]) -> Result<(), Malformed> {
        self.cells.clear();
        self.built.clear();
        let mut at = 0;
        loop {
            if self.cells.len() == CELLS {
                return Err(Malformed);
            }
            let is_quoted = !self.quote.is_empty() && text[at..].starts_with(&self.quote);
            let (cell, next) = if is_quoted { self.quoted(text, at + self.quote.len())? } else { self.plain(text, at)? };
            self.cells.push(cell);
            if text[next..].starts_with(&self.separator) {
                at = next + self.separator.len();
                continue;
            }
            return match &text[next..] {
                [] | [b'\n', ..] | [b'\r', b'\n', ..] | [b'\r'] => Ok(()),
                _ => Err(Malformed),
            };
        }
    }

    fn quoted(&mut self, text: &[u8], start: usize) -> Result<(Cell, usize), Malformed> {
        let quote = self.quote.len();
        let first = self.quote[0];
        let (mut at, mut from, mut built) = (start, start, None);
        loop {
            at += text.get(at..).and_then(|rest| rest.iter().position(|byte| *byte == first)).ok_or(Malformed)?;
            if !text[at..].starts_with(&self.quote) {
                at += 1;
                continue;
            }
            let after = at + quote;
            if text[after..].starts_with(&self.quote) {
                // Two are one: what is before goes with the first of them.
                built.get_or_insert(self.built.len());
                self.built.extend_from_slice(&text[from..after]);
                at = after + quote;
                from = at;
                continue;
            }
            let cell = match built {
                None => Cell { start, end: at, is_built: false, is_quoted: true },
                Some(start) => {
                    self.built.extend_from_slice(&text[from..at]);
                    Cell { start, end: self.built.len(), is_built: true, is_quoted: true }
                }
            };
            return Ok((cell, after));
        }
    }

    fn plain(&self, text: &[u8], start: usize) -> Result<(Cell, usize), Malformed> {
        let (separator, quote) = (self.separator[0], self.quote.first());
        let mut end = start;
        while let Some(byte) = text.get(end) {
            if *byte == separator && text[end..].starts_with(&self.separator) || *byte == b'\n' {
                break;
            }
            if *byte == b'\r' && matches!(text.get(end + 1), None | Some(b'\n')) {
                break;
            }
            if Some(byte) == quote && text[end..].starts_with(&self.quote) {
                return Err(Malformed);
            }
            end += 1;
        }
        Ok((Cell { start, end, is_built: false, is_quoted: false }, end))
    }
}
