//! Finding text in values: phrases at the boundaries of words, wildcards, regular expressions.
//!
//! All three can name a [`Needle`], a piece of text without which nothing matches, so that whoever holds a whole column of bytes
//! searches that first, over all of it at once, and tries only what it hits.

use std::ops::Range;

use memchr::memmem::Finder;
use regex::bytes::{Regex, RegexBuilder};

use super::REGEX_BYTES;
use super::regex_literal::required_literal;

/// Whether a byte belongs to a word.
pub const fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// Text to be found, wherever it is.
#[derive(Clone, Debug)]
pub struct Needle {
    text: Box<str>,
    how: How,
}

#[derive(Clone, Debug)]
enum How {
    /// Byte for byte.
    Bytes(Box<Finder<'static>>),
    /// ASCII in any case: look for the rarest byte, then compare around it.
    AnyCase { rare: usize, low: u8, high: u8 },
    /// Beyond ASCII, in any case.
    Folded(Regex),
}

impl PartialEq for Needle {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && matches!(self.how, How::Bytes(_)) == matches!(other.how, How::Bytes(_))
    }
}

/// How common a byte is in logs; only the order matters.
fn commonness(byte: u8) -> usize {
    const RARE_FIRST: &[u8] = b"zqjxkvbywgfpumcdhlrnisoate";
    match byte.to_ascii_lowercase() {
        letter @ b'a'..=b'z' => RARE_FIRST.iter().position(|&other| other == letter).unwrap_or(0),
        b'0'..=b'9' => 24,
        b' ' | b'/' | b'.' | b'"' | b'-' | b':' => 27,
        _ => 8,
    }
}

impl Needle {
    /// Byte for byte.
    pub fn bytes(text: &str) -> Self {
        Self { text: text.into(), how: How::Bytes(Box::new(Finder::new(text.as_bytes()).into_owned())) }
    }

    /// In any case.
    pub fn any_case(text: &str) -> Self {
        if !text.is_ascii()
            && let Ok(regex) = RegexBuilder::new(&regex::escape(text)).case_insensitive(true).size_limit(REGEX_BYTES).build()
        {
            return Self { text: text.into(), how: How::Folded(regex) };
        }
        let rarest = text.bytes().enumerate().min_by_key(|&(_, byte)| commonness(byte));
        match rarest {
            Some((rare, byte)) if text.bytes().any(|byte| byte.is_ascii_alphabetic()) => {
                let how = How::AnyCase { rare, low: byte.to_ascii_lowercase(), high: byte.to_ascii_uppercase() };
                Self { text: text.into(), how }
            }
            _ => Self::bytes(text),
        }
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Where it is next, at or after `from`.
    pub fn find(&self, hay: &[u8], from: usize) -> Option<Range<usize>> {
        let length = self.text.len();
        match &self.how {
            How::Bytes(finder) => finder.find(hay.get(from..)?).map(|at| from + at..from + at + length),
            How::AnyCase { rare, low, high } => {
                let mut at = from.checked_add(*rare)?;
                loop {
                    at += memchr::memchr2(*low, *high, hay.get(at..)?)?;
                    let start = at - rare;
                    if hay.get(start..start + length)?.eq_ignore_ascii_case(self.text.as_bytes()) {
                        return Some(start..start + length);
                    }
                    at += 1;
                }
            }
            How::Folded(regex) => (from <= hay.len()).then(|| regex.find_at(hay, from)).flatten().map(|found| found.range()),
        }
    }
}

/// A word or phrase: a needle that begins and ends where words do.
#[derive(Clone, Debug, PartialEq)]
pub struct Words {
    needle: Needle,
    cased: bool,
    word_first: bool,
    word_last: bool,
}

impl Words {
    /// A phrase; case does not matter.
    pub fn new(text: &str) -> Self {
        Self::of(text, Needle::any_case(text), false)
    }

    /// A phrase of which case matters.
    pub fn cased(text: &str) -> Self {
        Self::of(text, Needle::bytes(text), true)
    }

    fn of(text: &str, needle: Needle, cased: bool) -> Self {
        let is_word = |byte: Option<&u8>| byte.is_some_and(|&byte| is_word_byte(byte));
        let (word_first, word_last) = (is_word(text.as_bytes().first()), is_word(text.as_bytes().last()));
        Self { needle, cased, word_first, word_last }
    }

    /// Whether case matters.
    pub fn is_cased(&self) -> bool {
        self.cased
    }

    /// What is to be found.
    pub fn needle(&self) -> &Needle {
        &self.needle
    }

    /// Whether a hit of the needle within a value is at the boundaries of words.
    pub fn is_whole(&self, value: &[u8], hit: &Range<usize>) -> bool {
        let before = hit.start.checked_sub(1).and_then(|at| value.get(at));
        let after = value.get(hit.end);
        let goes_on = |at: Option<&u8>| at.is_some_and(|&byte| is_word_byte(byte));
        (!self.word_first || !goes_on(before)) && (!self.word_last || !goes_on(after))
    }

    /// Whether a value holds it.
    pub fn matches(&self, value: &[u8]) -> bool {
        let mut from = 0;
        while let Some(hit) = self.needle.find(value, from) {
            if self.is_whole(value, &hit) {
                return true;
            }
            from = hit.start + 1;
        }
        false
    }
}

/// A piece of a pattern with wildcards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// This text.
    Text(Box<str>),
    /// `*`: any characters.
    Run,
    /// `?`: one character.
    One,
}

/// A pattern with wildcards.
#[derive(Clone, Debug)]
pub struct Glob {
    pieces: Box<[Piece]>,
    whole: bool,
    /// The second: of values that are not UTF-8, where `?` may be a byte.
    regex: Option<Box<(Regex, Option<Regex>)>>,
    needle: Option<Needle>,
}

impl PartialEq for Glob {
    fn eq(&self, other: &Self) -> bool {
        self.whole == other.whole && self.pieces == other.pieces
    }
}

impl Glob {
    /// Matches the whole value; case matters.
    pub fn whole(pieces: Vec<Piece>) -> Self {
        Self::new(pieces, true)
    }

    /// Matches at the boundaries of words as a phrase does; case does not matter.
    pub fn within(pieces: Vec<Piece>) -> Self {
        Self::new(pieces, false)
    }

    fn new(pieces: Vec<Piece>, whole: bool) -> Self {
        // Neighbours that say the same are one, so that equal patterns are equal.
        let mut joined: Vec<Piece> = Vec::with_capacity(pieces.len());
        for piece in pieces {
            match (joined.last_mut(), piece) {
                (Some(Piece::Run), Piece::Run) => {}
                (Some(Piece::Text(last)), Piece::Text(text)) => *last = format!("{last}{text}").into(),
                (_, Piece::Text(text)) if text.is_empty() => {}
                (_, piece) => joined.push(piece),
            }
        }
        let longest = joined.iter().filter_map(|piece| match piece {
            Piece::Text(text) => Some(text),
            _ => None,
        });
        let needle =
            longest.max_by_key(|text| text.len()).map(|text| if whole { Needle::bytes(text) } else { Needle::any_case(text) });
        let regex = |one: &str| {
            RegexBuilder::new(&expression(&joined, whole, one))
                .case_insensitive(!whole)
                .dot_matches_new_line(true)
                .size_limit(REGEX_BYTES)
                .build()
                .ok()
        };
        let odd = joined.contains(&Piece::One).then(|| regex("(?:(?u:.)|(?-u:.))")).flatten();
        let regex = regex("(?u:.)").map(|regex| Box::new((regex, odd)));
        Self { pieces: joined.into(), whole, regex, needle }
    }

    /// Its pieces.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// Whether it is about whole values.
    pub fn is_whole(&self) -> bool {
        self.whole
    }

    /// What a whole value must begin with.
    pub fn prefix(&self) -> &str {
        match self.pieces.first() {
            Some(Piece::Text(text)) if self.whole => text,
            _ => "",
        }
    }

    /// Whether its first character is this one.
    pub fn starts_with(&self, first: char) -> bool {
        matches!(self.pieces.first(), Some(Piece::Text(text)) if text.starts_with(first))
    }

    /// Text without which nothing matches.
    pub fn needle(&self) -> Option<&Needle> {
        self.needle.as_ref()
    }

    /// Whether a value is like it.
    pub fn matches(&self, value: &[u8]) -> bool {
        match (&*self.pieces, self.whole) {
            ([Piece::Run], _) => true,
            ([Piece::Text(text), Piece::Run], true) => value.starts_with(text.as_bytes()),
            ([Piece::Run, Piece::Text(text)], true) => value.ends_with(text.as_bytes()),
            _ => {
                let Some((regex, odd)) = self.regex.as_deref() else { return false };
                odd.as_ref().filter(|_| std::str::from_utf8(value).is_err()).unwrap_or(regex).is_match(value)
            }
        }
    }
}

/// `one`: what is said of one character.
fn expression(pieces: &[Piece], whole: bool, one: &str) -> String {
    /// Any number of them: as many bytes.
    const ANY_RUN: &str = "(?-u:.)*?";
    const NO_WORD: &str = r"(?-u:[^0-9A-Za-z_\x80-\xff])";
    let mut out = String::new();
    let edge = |piece: Option<&Piece>, last: bool| match piece {
        Some(Piece::Text(text)) => {
            let byte = if last { text.bytes().last() } else { text.bytes().next() };
            byte.is_some_and(is_word_byte)
        }
        Some(Piece::One) => true,
        Some(Piece::Run) | None => false,
    };
    if whole {
        out.push_str(r"\A");
    } else if edge(pieces.first(), false) {
        out.push_str(&format!(r"(?:\A|{NO_WORD})"));
    }
    for piece in pieces {
        match piece {
            // Without Unicode where it isn't needed: otherwise `k` would also be the Kelvin sign.
            Piece::Text(text) if text.is_ascii() => out.push_str(&format!("(?-u:{})", regex::escape(text))),
            Piece::Text(text) => out.push_str(&regex::escape(text)),
            Piece::Run => out.push_str(ANY_RUN),
            Piece::One => out.push_str(one),
        }
    }
    if whole {
        out.push_str(r"\z");
    } else if edge(pieces.last(), true) {
        out.push_str(&format!(r"(?:\z|{NO_WORD})"));
    }
    out
}

/// The longest piece of a literal that in any Unicode case is in ASCII: `k` is also the Kelvin sign, `s` the long s.
fn any_case_needle(literal: &str) -> Option<Needle> {
    let is_more = |c: char| !c.is_ascii() || matches!(c.to_ascii_lowercase(), 'k' | 's');
    literal.split(is_more).max_by_key(|piece| piece.len()).filter(|piece| piece.len() >= 2).map(Needle::any_case)
}

/// A regular expression.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: Box<str>,
    regex: Regex,
    needle: Option<Needle>,
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Pattern {
    /// Compiles it.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn new(text: &str) -> Result<Self, String> {
        let regex = RegexBuilder::new(text).size_limit(REGEX_BYTES).nest_limit(64).build().map_err(|error| match error {
            regex::Error::CompiledTooBig(limit) => {
                format!("this regular expression is too big (over {limit} bytes compiled); make its repetitions smaller")
            }
            // The crate's report draws the pattern over several lines and ends with what is wrong.
            other => {
                let report = other.to_string();
                let last = report.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
                format!("this regular expression does not compile: {last}")
            }
        })?;
        let needle = match text.strip_prefix("(?i)") {
            Some(rest) => required_literal(rest).and_then(|literal| any_case_needle(&literal)),
            None => required_literal(text).map(|literal| Needle::bytes(&literal)),
        };
        Ok(Self { text: text.into(), regex, needle })
    }

    /// As written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Text without which nothing matches, where that is plain to see.
    pub fn needle(&self) -> Option<&Needle> {
        self.needle.as_ref()
    }

    /// Whether it is found in a value.
    pub fn matches(&self, value: &[u8]) -> bool {
        self.regex.is_match(value)
    }
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    #[test]
    fn what_an_expression_of_any_case_needs() {
        for (pattern, needle) in [
            ("(?i)FAVICON", Some("FAVICON")),
            ("(?i)password", Some("word")),
            (r"(?i)\bFAVICON\b", Some("FAVICON")),
            ("(?i)kiss", None),
            ("(?i)café au lait", Some(" au lait")),
            ("(?i)a|b", None),
            ("favicon", Some("favicon")),
        ] {
            let pattern = Pattern::new(pattern).unwrap();
            assert_eq!(pattern.needle().map(super::Needle::text), needle, "{pattern:?}");
            for value in ["/Favicon.ico", "PASSWORD", "pa\u{17f}\u{17f}word", "CAF\u{c9} AU LAIT", "nothing"] {
                let found = pattern.needle().is_none_or(|needle| needle.find(value.as_bytes(), 0).is_some());
                assert!(found || !pattern.matches(value.as_bytes()), "{pattern:?} {value}");
            }
        }
    }
}
