//! The letters of Lucene's grammar: terms with escapes and wildcards, phrases, expressions.

use crate::base::predicate::Piece;

/// A place in a query.
#[derive(Clone, Debug)]
pub struct Letters<'a> {
    text: &'a str,
    /// Byte.
    pub at: usize,
}

/// A term as it was written: pieces of text and wildcards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// Its pieces.
    pub pieces: Vec<Piece>,
    /// Without escapes, wildcards as letters.
    pub text: String,
    /// As it stands in the query.
    pub written: String,
}

impl Term {
    /// Whether it has wildcards.
    pub fn is_pattern(&self) -> bool {
        self.pieces.iter().any(|piece| !matches!(piece, Piece::Text(_)))
    }

    /// Whether it is `*` by itself.
    pub fn is_star(&self) -> bool {
        self.pieces == [Piece::Run]
    }
}

impl<'a> Letters<'a> {
    /// From the start.
    pub fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// What is left.
    pub fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or("")
    }

    /// The next letter.
    pub fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Takes a letter.
    pub fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    /// Takes this, if it is next.
    pub fn take(&mut self, sign: &str) -> bool {
        let is_next = self.rest().starts_with(sign);
        self.at += if is_next { sign.len() } else { 0 };
        is_next
    }

    /// Passes blanks; whether there were any.
    pub fn blanks(&mut self) -> bool {
        let before = self.at;
        self.at = self.text.len() - self.rest().trim_start().len();
        self.at > before
    }

    /// Takes a word of the grammar, if it is next and ends there.
    pub fn keyword(&mut self, word: &str) -> bool {
        let Some(after) = self.rest().strip_prefix(word) else { return false };
        let ends = after.chars().next().is_none_or(|next| next.is_whitespace() || "()[]{}\"+-!".contains(next));
        self.at += if ends { word.len() } else { 0 };
        ends
    }

    /// A term, perhaps empty: up to a blank or a sign that cannot be within one.
    pub fn term(&mut self, in_range: bool) -> Term {
        let start = self.at;
        let mut term = Term { pieces: Vec::new(), text: String::new(), written: String::new() };
        let mut text = String::new();
        while let Some(letter) = self.peek() {
            let ends = letter.is_whitespace()
                || if in_range {
                    matches!(letter, ']' | '}' | '"')
                } else {
                    matches!(letter, '(' | ')' | ':' | '^' | '[' | ']' | '{' | '}' | '"' | '~')
                };
            if ends {
                break;
            }
            self.next();
            let piece = match letter {
                '\\' => {
                    let next = self.next().unwrap_or('\\');
                    text.push(next);
                    term.text.push(next);
                    continue;
                }
                '*' => Piece::Run,
                '?' if !in_range => Piece::One,
                letter => {
                    text.push(letter);
                    term.text.push(letter);
                    continue;
                }
            };
            term.pieces.extend((!text.is_empty()).then(|| Piece::Text(std::mem::take(&mut text).into())));
            term.pieces.push(piece);
            term.text.push(letter);
        }
        term.pieces.extend((!text.is_empty()).then(|| Piece::Text(text.into())));
        term.written = self.text.get(start..self.at).unwrap_or_default().to_owned();
        term
    }

    /// What stands between this sign, which is next, and its like; escapes are resolved, but for those of expressions.
    pub fn enclosed(&mut self, sign: char) -> Option<String> {
        self.next();
        let mut text = String::new();
        loop {
            match self.next()? {
                '\\' => {
                    let next = self.next()?;
                    if sign == '/' && next != '/' {
                        text.push('\\');
                    }
                    text.push(next);
                }
                letter if letter == sign => return Some(text),
                letter => text.push(letter),
            }
        }
    }
}
