//! A place in a query's text behind the predicate, and the small pieces that are read there: signs, keywords, names, numbers.

use super::figures::is_figure;
use crate::base::predicate::ParseError;

/// Most figures, keys or fields in one pipe.
const ITEMS: usize = 64;

/// A place in a text.
pub struct Cursor<'a> {
    /// The whole query.
    pub text: &'a str,
    /// Next byte to read; always at the start of a character.
    pub at: usize,
    /// When it is, for relative times.
    pub now_ns: Option<i64>,
    /// Columns that are computed so far.
    pub computed: usize,
}

impl<'a> Cursor<'a> {
    /// What is left.
    pub fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or("")
    }

    /// An error at a byte.
    pub fn error(&self, position: usize, message: impl Into<String>) -> ParseError {
        ParseError { position: position.min(self.text.len()), message: message.into() }
    }

    /// Passes over blanks.
    pub fn blanks(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    /// Takes a sign if it is next.
    pub fn take(&mut self, sign: &str) -> bool {
        self.blanks();
        let found = self.rest().starts_with(sign);
        self.at += if found { sign.len() } else { 0 };
        found
    }

    /// Takes a sign that must be there.
    pub fn expect(&mut self, sign: &str) -> Result<(), ParseError> {
        if self.take(sign) { Ok(()) } else { Err(self.error(self.at, format!("here `{sign}` is expected"))) }
    }

    /// Takes a keyword in any case, if a whole word says it.
    pub fn keyword(&mut self, keyword: &str) -> bool {
        self.blanks();
        let rest = self.rest();
        let found = rest.get(..keyword.len()).is_some_and(|next| next.eq_ignore_ascii_case(keyword))
            && rest[keyword.len()..].chars().next().is_none_or(|next| !is_name_char(next));
        self.at += if found { keyword.len() } else { 0 };
        found
    }

    /// Things with commas between them.
    pub fn list<T>(&mut self, mut one: impl FnMut(&mut Self) -> Result<T, ParseError>) -> Result<Vec<T>, ParseError> {
        let mut all = vec![one(self)?];
        while self.take(",") {
            if all.len() == ITEMS {
                return Err(self.error(self.at, format!("at most {ITEMS} may stand in one list")));
            }
            all.push(one(self)?);
        }
        Ok(all)
    }

    /// Whether a digit is next.
    pub fn at_digit(&mut self) -> bool {
        self.blanks();
        self.rest().starts_with(|next: char| next.is_ascii_digit())
    }

    /// A number of rows or the like.
    pub fn whole_number(&mut self) -> Result<usize, ParseError> {
        self.blanks();
        let length = self.rest().find(|next: char| !next.is_ascii_digit()).unwrap_or(self.rest().len());
        let number = self.rest()[..length].parse().map_err(|_| self.error(self.at, "here a whole number is expected"))?;
        self.at += length;
        Ok(number)
    }

    /// A number, if one stands here.
    pub fn number_or(&mut self, otherwise: usize) -> Result<usize, ParseError> {
        self.blanks();
        // `9n` is a name.
        let behind = self.rest().trim_start_matches(|next: char| next.is_ascii_digit());
        let is_number = behind.len() < self.rest().len() && !behind.starts_with(is_name_char);
        if is_number { self.whole_number() } else { Ok(otherwise) }
    }

    /// Text in quotes, if it is next. `\` before the quote or another `\` takes it as it is; any other backslash is itself.
    pub fn quoted(&mut self, quote: char) -> Result<Option<String>, ParseError> {
        self.blanks();
        let start = self.at;
        if !self.rest().starts_with(quote) {
            return Ok(None);
        }
        let mut text = String::new();
        let mut chars = self.rest().char_indices().skip(1).peekable();
        while let Some((at, c)) = chars.next() {
            match c {
                c if c == quote => {
                    self.at += at + 1;
                    return Ok(Some(text));
                }
                '\\' => match chars.next_if(|(_, next)| *next == quote || *next == '\\') {
                    Some((_, next)) => text.push(next),
                    None => text.push(c),
                },
                c => text.push(c),
            }
        }
        Err(self.error(start, "this quote is never closed"))
    }

    /// A field's name, bare or in quotes.
    pub fn name(&mut self) -> Result<String, ParseError> {
        self.blanks();
        let start = self.at;
        for quote in ['"', '\''] {
            if let Some(name) = self.quoted(quote)? {
                return Ok(name);
            }
        }
        let length = self.rest().find(|next| !is_name_char(next)).unwrap_or(self.rest().len());
        if length == 0 {
            return Err(self.error(
                start,
                "here the name of a field is expected; quote it if it has other signs than letters, digits, `.`, `_` and `-`",
            ));
        }
        self.at += length;
        Ok(self.text[start..self.at].to_owned())
    }

    /// A name of a column: a field, or a figure as it was written.
    pub fn column(&mut self) -> Result<String, ParseError> {
        self.blanks();
        let start = self.at;
        let name = self.name()?;
        if !self.text[start..].starts_with(['"', '\'']) && self.rest().starts_with('(') {
            let figure = name.to_ascii_lowercase();
            if !is_figure(&figure) && !["count", "rate", "bin"].contains(&figure.as_str()) {
                let message = format!("there is no column `{name}(…)` here; compute it before, as in `eval x = {name}(…)`");
                return Err(self.error(start, message));
            }
            let length = self.rest().find(')').ok_or_else(|| self.error(self.at, "this `(` is never closed"))?;
            self.at += length + 1;
            return Ok(self.text[start..self.at].to_owned());
        }
        Ok(name)
    }

    /// The name of a column that a pipe makes.
    pub fn new_column(&mut self) -> Result<String, ParseError> {
        self.blanks();
        let start = self.at;
        let name = self.name()?;
        if name.starts_with('_') || name.is_empty() {
            return Err(self.error(start, "a new column needs a name of its own: those with `_` before them are the box's"));
        }
        Ok(name)
    }

    /// `as name`, or the name as it is written.
    pub fn alias(&mut self, written: &str) -> Result<String, ParseError> {
        if self.keyword("as") { self.name() } else { Ok(written.trim().to_owned()) }
    }

    /// The bare word that is next, for sentences about it.
    pub fn word(&self) -> &'a str {
        let rest = self.rest();
        &rest[..rest.find(|next| !is_name_char(next)).unwrap_or(rest.len())]
    }
}

/// Whether a character may stand in a bare name.
pub fn is_name_char(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '@' | '/')
}
