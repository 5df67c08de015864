//! Reads the pieces of a query's text: words, quoted strings, signs. Knows where it is, byte by byte.
//!
//! What ends a bare word depends on where it stands (a name ends at `:`, an end of a range at `]`), so the parser asks for the
//! piece it expects rather than being handed tokens.

use super::ParseError;
use super::text::Piece;

/// A place in a text.
#[derive(Clone, Debug)]
pub struct Scanner<'a> {
    text: &'a str,
    /// Next byte to read; always at the start of a character.
    pub at: usize,
}

/// A run of characters that stood outside quotes (or inside: then it has no wildcards).
#[derive(Clone, Debug, Default)]
pub struct Word {
    /// Byte at which it began.
    pub start: usize,
    /// What it says, escapes resolved, wildcards as pieces.
    pub pieces: Vec<Piece>,
    /// Whether it stood in quotes.
    pub quoted: bool,
    /// Whether these were single ones: case matters.
    pub cased: bool,
    /// Whether some character was escaped.
    pub escaped: bool,
}

impl Word {
    /// Its characters, with wildcards as the characters they were.
    pub fn text(&self) -> String {
        self.pieces
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => text,
                Piece::Run => "*",
                Piece::One => "?",
            })
            .collect()
    }

    /// Whether it has wildcards.
    pub fn is_glob(&self) -> bool {
        self.pieces.iter().any(|piece| !matches!(piece, Piece::Text(_)))
    }
}

/// What ends a bare word, beside blanks, `"`, `(`, `)` and `|`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Nothing else.
    Value,
    /// The signs that follow a field's name.
    Name,
    /// The end of a range.
    Range,
}

impl<'a> Scanner<'a> {
    /// At a byte of a text, which must start a character.
    pub fn new(text: &'a str, at: usize) -> Self {
        Self { text, at }
    }

    /// What is left.
    pub fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or("")
    }

    /// The text from one byte to another.
    pub fn between(&self, from: usize, to: usize) -> &'a str {
        self.text.get(from..to).unwrap_or("")
    }

    /// The next character.
    pub fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Passes over blanks; whether there were any.
    pub fn blanks(&mut self) -> bool {
        let rest = self.rest();
        let skipped = rest.len() - rest.trim_start().len();
        self.at += skipped;
        skipped > 0
    }

    /// Takes this sign if it is next.
    pub fn take(&mut self, sign: &str) -> bool {
        let found = self.rest().starts_with(sign);
        if found {
            self.at += sign.len();
        }
        found
    }

    /// Takes this keyword (any case) if it is next and is not the name of a field.
    pub fn keyword(&mut self, word: &str) -> bool {
        let found = self.is_keyword(word);
        if found {
            self.at += word.len();
        }
        found
    }

    /// Whether this keyword is next.
    pub fn is_keyword(&self, word: &str) -> bool {
        let rest = self.rest();
        rest.get(..word.len()).is_some_and(|next| next.eq_ignore_ascii_case(word))
            && rest[word.len()..]
                .chars()
                .next()
                .is_none_or(|next| next.is_whitespace() || matches!(next, '(' | ')' | '"' | '|'))
    }

    /// An error at a byte.
    pub fn error(&self, position: usize, message: impl Into<String>) -> ParseError {
        ParseError { position: position.min(self.text.len()), message: message.into() }
    }

    /// A string in quotes, double or single, if one is next. A backslash before the quote or another one is an escape; any other
    /// is itself.
    ///
    /// # Errors
    /// The closing quote is missing.
    pub fn quoted(&mut self) -> Result<Option<Word>, ParseError> {
        let start = self.at;
        let Some(quote @ ('"' | '\'')) = self.peek() else { return Ok(None) };
        self.at += 1;
        let mut text = String::new();
        let mut chars = self.rest().char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                c if c == quote => {
                    self.at += at + 1;
                    let pieces = vec![Piece::Text(text.into())];
                    return Ok(Some(Word { start, pieces, quoted: true, cased: quote == '\'', escaped: false }));
                }
                '\\' => match chars.clone().next() {
                    Some((_, next)) if next == quote || next == '\\' => {
                        chars.next();
                        text.push(next);
                    }
                    _ => text.push(c),
                },
                c => text.push(c),
            }
        }
        Err(self.error(start, format!("this quote is never closed; end the phrase with another `{quote}`")))
    }

    /// A bare word; empty if a character that ends it is next.
    ///
    /// # Errors
    /// A backslash at the very end.
    pub fn bare(&mut self, stop: Stop) -> Result<Word, ParseError> {
        let mut word = Word { start: self.at, ..Word::default() };
        let mut text = String::new();
        let mut chars = self.rest().char_indices().peekable();
        let mut end = self.rest().len();
        while let Some((at, c)) = chars.next() {
            let ends = match c {
                '"' | '(' | ')' | '|' => true,
                ':' | '<' | '>' | '=' => stop == Stop::Name,
                '!' => stop == Stop::Name && matches!(chars.peek(), Some((_, '=' | '~'))),
                ']' | '}' => stop == Stop::Range,
                c => c.is_whitespace(),
            };
            if ends {
                end = at;
                break;
            }
            match c {
                '\\' => match chars.next() {
                    Some((_, escaped)) => {
                        word.escaped = true;
                        text.push(escaped);
                    }
                    None => {
                        let message = "a `\\` needs a character after it; write `\\\\` for the backslash itself";
                        return Err(self.error(self.at + at, message));
                    }
                },
                '*' | '?' => {
                    if !text.is_empty() {
                        word.pieces.push(Piece::Text(std::mem::take(&mut text).into()));
                    }
                    // Two stars say what one says.
                    if c == '?' || word.pieces.last() != Some(&Piece::Run) {
                        word.pieces.push(if c == '*' { Piece::Run } else { Piece::One });
                    }
                }
                c => text.push(c),
            }
        }
        if !text.is_empty() {
            word.pieces.push(Piece::Text(text.into()));
        }
        self.at += end;
        Ok(word)
    }

    /// A name with arguments, as the columns of `stats` have (`p99(reqtime)`), if one is next and a comparison follows it.
    pub fn call(&mut self) -> Option<Word> {
        let rest = self.rest();
        let open = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))?;
        if open == 0 || !rest[open..].starts_with('(') {
            return None;
        }
        let arguments = &rest[open + 1..];
        let close = open
            + 1
            + match arguments.strip_prefix('"') {
                Some(quoted) => quoted.find(['"', '\\'])? + 2,
                None => arguments.find([')', '"', '|', ':', '\\', '('])?,
            };
        let after = rest.get(close + 1..)?.trim_start();
        let compared = ["<", ">", "=", ":", "!=", "!~"].iter().any(|sign| after.starts_with(sign));
        if !rest[close..].starts_with(')') || !compared {
            return None;
        }
        let word = Word {
            start: self.at,
            pieces: vec![Piece::Text(rest[..=close].into())],
            quoted: true,
            cased: false,
            escaped: false,
        };
        self.at += close + 1;
        Some(word)
    }
}
