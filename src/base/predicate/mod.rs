//! The search language: which rows a query keeps, when a filter of a chain runs, what an output is sent.
//!
//! One language, one meaning, three users: queries over the store, `when` in a chain, the selection of an output. It is parsed
//! once ([`parse()`]) into a [`Predicate`], which prints itself so that it parses to the same again, and is tried either on the
//! cells of one row ([`Predicate::bind`]) or, by the store, once per distinct value of a column ([`Test`]).
//!
//! # The language
//! | written | keeps rows |
//! | --- | --- |
//! | `timeout` | whose `message` holds the word; case does not matter |
//! | `"connection reset"` | whose `message` holds the phrase; case does not matter |
//! | `'Connection reset'` `app:'Shop'` | the same, but case matters |
//! | `app:shop` `request:"/f5.txt"` | whose field holds the word or phrase; a number equals it, a yes/no is it |
//! | `app:=shop` `app=shop` `app!=shop` | whose field is, byte for byte (case matters) or as a number, this; `!=`: all other rows |
//! | `path:/health*` `conn?ct` | where `*` stands for any characters and `?` for one; begins and ends as a phrase does, `?` being of a word |
//! | `path:=*.png` | the same on the whole value; case matters |
//! | `status>=500` `status:>=500` | that compare so: numbers as numbers, also where they are strings; addresses as addresses; else bytes |
//! | `status:[400 TO 499]` `{` `}` `*` | within both ends; braces leave an end out, a star leaves it open |
//! | `user:*` | that have the field |
//! | `path:~"[.](png\|jpg)$"` `path=~` `path!~` | whose value the regular expression finds (case matters; `(?i)` turns that off) |
//! | `ip:10.0.0.0/8` | whose address lies in the network |
//! | `status:(404 or >=500)` | where one field is asked several things |
//! | `*:shop` `sd.*:x` | where any such field does; names that begin with `_` only if the pattern does |
//! | `a b` `a and b` `a && b` | that both keep |
//! | `a or b` `a \|\| b` | that either keeps; binds less than `and` |
//! | `not a` `-a` `!a` | that `a` does not keep |
//! | `*`, nothing | every row |
//!
//! * A **word** is a run of letters, digits, `_` and bytes of 0x80 and above. A phrase is found anywhere in the value, but where it
//!   begins (ends) with a character of a word it begins (ends) with the word: `shop` is in `/shop/1` and not in `workshop`;
//!   `"/f5.txt"` is in `GET /f5.txt?x`.
//! * A row without the field fails every test on it, hence passes its negation: `-status:200` keeps rows without status.
//! * A list passes a test if any of its items does.
//! * `and`, `or`, `not` in any case are operators; quoted they are words. Outside quotes `\` makes the next character an ordinary
//!   one; inside, only the quote itself and `\` are so escaped, hence regular expressions keep their backslashes.
//! * `_time` takes RFC 3339, an epoch, or, in queries, `now` and spans relative to it (`_time>-1h`); a bare date, hour, minute or
//!   second (`_time:2015-05-17`) means all of it.
//!
//! # Limits
//! [`TEXT_BYTES`] of text, [`DEPTH`] parentheses deep, [`LEAVES`] tests, regular expressions of at most [`REGEX_BYTES`] compiled.
//! They only bound what a stranger's text may cost; predicates built by code have no cap but memory.
//!
//! Why not SQL or Lucene's grammar: people type this dozens of times a day into one line; it is what they know from KQL and Lucene,
//! without scores and without surprises in what `-` or a space means.

mod bound;
mod number;
mod parse;
mod regex_literal;
mod scan;
mod show;
mod test;
mod text;
mod wanted;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

pub use bound::Bound;
pub use number::Number;
pub use parse::{parse, parse_at, parse_part};
pub use test::{Exact, Literal, Net, Range, Sense, Test, TimeRange};
pub use text::{Glob, Needle, Pattern, Piece, Words, is_word_byte};
pub use wanted::{Wanted, words};

use crate::base::row;

/// Longest text of a predicate, bytes: a page of conditions.
pub const TEXT_BYTES: usize = 64 * 1024;
/// Deepest nesting of parentheses and negations; the parser and all evaluation recurse this deep.
pub const DEPTH: usize = 64;
/// Most tests in one text.
pub const LEAVES: usize = 4096;
/// Largest compiled regular expression, bytes.
pub const REGEX_BYTES: usize = 1 << 20;

/// What is wrong with a text, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at byte {position}: {message}")]
pub struct ParseError {
    /// Byte of the text at which it went wrong; at most its length.
    pub position: usize,
    /// A sentence that says what would have been understood.
    pub message: String,
}

/// Which rows are kept.
#[derive(Clone, Debug, PartialEq)]
pub enum Predicate {
    /// All.
    All,
    /// Those that each keeps.
    And(Vec<Predicate>),
    /// Those that any keeps.
    Or(Vec<Predicate>),
    /// Those that it does not keep.
    Not(Box<Predicate>),
    /// Those whose field passes a test.
    Leaf(Leaf),
}

/// A test of a field.
#[derive(Clone, Debug, PartialEq)]
pub struct Leaf {
    /// Of which field.
    pub field: Field,
    /// What is asked.
    pub test: Test,
}

/// Which field a test is about.
#[derive(Clone, Debug, PartialEq)]
pub enum Field {
    /// The one of this name.
    Named(Arc<str>),
    /// Any whose name is like this.
    Like(Glob),
}

impl Field {
    /// The field of this name.
    pub fn named(name: &str) -> Self {
        Self::Named(name.into())
    }

    /// Every field of a row but the box's own.
    pub fn any() -> Self {
        Self::Like(Glob::whole(vec![Piece::Run]))
    }

    /// Whether it is about this name.
    pub fn is(&self, name: &str) -> bool {
        match self {
            Self::Named(own) => **own == *name,
            // What a query names for itself (`_\0…`) is no field that anybody means.
            Self::Like(glob) => {
                let meant = !name.starts_with('_') || (glob.starts_with('_') && !name.starts_with("_\0"));
                meant && glob.matches(name.as_bytes())
            }
        }
    }

    /// Whether it is the row's time.
    pub fn is_time(&self) -> bool {
        matches!(self, Self::Named(name) if **name == *row::TIME)
    }
}

impl From<&str> for Field {
    fn from(name: &str) -> Self {
        Self::named(name)
    }
}

impl Predicate {
    /// Rows that all of these keep.
    pub fn and(mut all: Vec<Self>) -> Self {
        if all.len() > 1 { Self::And(all) } else { all.pop().unwrap_or(Self::All) }
    }

    /// Rows that any of these keeps; none, of none.
    pub fn or(mut any: Vec<Self>) -> Self {
        if any.len() > 1 { Self::Or(any) } else { any.pop().unwrap_or_else(Self::none) }
    }

    /// The range of time, both ends in it, outside of which it plainly keeps nothing.
    pub fn time_bounds(&self) -> (i64, i64) {
        let open = (i64::MIN, i64::MAX);
        match self {
            Self::Leaf(Leaf { test: Test::Time(range), .. }) => (range.from, range.to),
            Self::And(all) => {
                all.iter().map(Self::time_bounds).fold(open, |own, other| (own.0.max(other.0), own.1.min(other.1)))
            }
            _ => open,
        }
    }

    /// Rows that this does not keep.
    pub fn negate(self) -> Self {
        Self::Not(Box::new(self))
    }

    /// No row.
    pub fn none() -> Self {
        Self::All.negate()
    }

    /// A test of a field.
    pub fn leaf(field: impl Into<Field>, test: Test) -> Self {
        Self::Leaf(Leaf { field: field.into(), test })
    }

    /// `field:"text"`: the word or phrase.
    pub fn words(field: impl Into<Field>, text: &str) -> Self {
        Self::leaf(field, Test::words(text))
    }

    /// `field:=text`: the whole value.
    pub fn exact(field: impl Into<Field>, text: &str) -> Self {
        Self::leaf(field, Test::exact(text))
    }

    /// `field:=text*`: values that begin so; case matters.
    pub fn prefix(field: impl Into<Field>, text: &str) -> Self {
        Self::leaf(field, Test::Like(Glob::whole(vec![Piece::Text(text.into()), Piece::Run])))
    }

    /// `field:*`: rows that have it.
    pub fn exists(field: impl Into<Field>) -> Self {
        Self::leaf(field, Test::Exists)
    }

    /// `field:~"pattern"`.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the pattern.
    pub fn regex(field: impl Into<Field>, pattern: &str) -> Result<Self, String> {
        Ok(Self::leaf(field, Test::Regex(Pattern::new(pattern)?)))
    }

    /// `field:[lower TO upper]`, each end (text, whether it belongs to the range).
    pub fn range(field: impl Into<Field>, lower: Option<(&str, bool)>, upper: Option<(&str, bool)>) -> Self {
        let end = |end: Option<(&str, bool)>| end.map(|(text, inclusive)| (Literal::new(text), inclusive));
        Self::leaf(field, Test::Range(Range { lower: end(lower), upper: end(upper) }))
    }

    /// Rows of `from <= _time <= to`, nanoseconds since 1970.
    pub fn time(from: i64, to: i64) -> Self {
        Self::leaf(row::TIME, Test::Time(TimeRange { from, to }))
    }

    /// The row's verdict, given each test's.
    pub fn decide(&self, leaf: &mut dyn FnMut(&Leaf) -> bool) -> bool {
        match self {
            Self::All => true,
            Self::And(all) => all.iter().all(|one| one.decide(leaf)),
            Self::Or(any) => any.iter().any(|one| one.decide(leaf)),
            Self::Not(one) => !one.decide(leaf),
            Self::Leaf(one) => leaf(one),
        }
    }

    /// Its tests, left to right.
    pub fn leaves<'a>(&'a self, into: &mut Vec<&'a Leaf>) {
        match self {
            Self::All => {}
            Self::And(all) | Self::Or(all) => all.iter().for_each(|one| one.leaves(into)),
            Self::Not(one) => one.leaves(into),
            Self::Leaf(leaf) => into.push(leaf),
        }
    }

    /// Ready to be tried on cells whose names are indexes into `names`. Bind again when the table of names changes.
    pub fn bind(&self, names: &[Arc<str>]) -> Bound {
        Bound::new(self, names)
    }
}

impl std::str::FromStr for Predicate {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        parse(text)
    }
}

impl fmt::Display for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show::predicate(self, f)
    }
}
