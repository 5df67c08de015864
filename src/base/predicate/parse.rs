//! The parser of the search language: recursive descent over [`Scanner`], one function a level of binding.
//!
//! Never panics and never recurses deeper than [`DEPTH`]; an error names the byte and says what would have been understood.

use super::scan::{Scanner, Stop, Word};
use super::test::{Literal, Net, Range, Test, TimeRange};
use super::text::{Glob, Pattern, Piece};
use super::{DEPTH, Field, LEAVES, Leaf, ParseError, Predicate, TEXT_BYTES};
use crate::base::{row, time};

/// Parses a predicate. Relative times (`-1h`) are refused: there is no now.
///
/// # Errors
/// Where and why it can't be understood.
pub fn parse(text: &str) -> Result<Predicate, ParseError> {
    whole(text, None)
}

/// Parses a predicate in which relative times mean those before or after `now_ns`.
///
/// # Errors
/// Where and why it can't be understood.
pub fn parse_at(text: &str, now_ns: i64) -> Result<Predicate, ParseError> {
    whole(text, Some(now_ns))
}

fn whole(text: &str, now_ns: Option<i64>) -> Result<Predicate, ParseError> {
    let (predicate, end) = parse_part(text, 0, now_ns)?;
    if end < text.len() {
        return Err(ParseError { position: end, message: "only a query can go on with `|`; quote it to search for it".into() });
    }
    Ok(predicate)
}

/// Parses the predicate that begins at byte `from` and ends at the text's end or at a single `|`; also gives where that is.
///
/// # Errors
/// Where and why it can't be understood.
pub fn parse_part(text: &str, from: usize, now_ns: Option<i64>) -> Result<(Predicate, usize), ParseError> {
    if text.len() > TEXT_BYTES {
        let message = format!("this query has {} bytes; at most {TEXT_BYTES} are read", text.len());
        return Err(ParseError { position: TEXT_BYTES, message });
    }
    let mut parser = Parser { scan: Scanner::new(text, from), now_ns, depth: 0, leaves: 0, field: None };
    parser.scan.blanks();
    if parser.at_end() {
        return Ok((Predicate::All, parser.scan.at));
    }
    let predicate = parser.or()?;
    if parser.scan.peek() == Some(')') {
        return Err(parser.scan.error(parser.scan.at, "this `)` closes nothing"));
    }
    Ok((predicate, parser.scan.at))
}

struct Parser<'a> {
    scan: Scanner<'a>,
    now_ns: Option<i64>,
    depth: usize,
    leaves: usize,
    /// The field that a parenthesis after a colon is about.
    field: Option<Field>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    Holds,
    Is,
    IsNot,
    Finds,
    FindsNot,
    Above { inclusive: bool },
    Below { inclusive: bool },
}

/// Longer signs stand before those they begin with.
const SIGNS: &[(&str, Sign)] = &[
    (">=", Sign::Above { inclusive: true }),
    (">", Sign::Above { inclusive: false }),
    ("<=", Sign::Below { inclusive: true }),
    ("<", Sign::Below { inclusive: false }),
    ("==", Sign::Is),
    ("=~", Sign::Finds),
    ("=", Sign::Is),
    ("!=", Sign::IsNot),
    ("!~", Sign::FindsNot),
    ("~", Sign::Finds),
];

const QUOTE_REGEX: &str = "put the regular expression in quotes, as in `path:~\"[.](png|jpg)$\"`";

impl Parser<'_> {
    fn at_end(&self) -> bool {
        self.scan.peek().is_none() || (self.scan.peek() == Some('|') && !self.scan.rest().starts_with("||"))
    }

    fn or(&mut self) -> Result<Predicate, ParseError> {
        let mut any = vec![self.and()?];
        loop {
            self.scan.blanks();
            if !(self.scan.keyword("or") || self.scan.take("||")) {
                return Ok(Predicate::or(any));
            }
            any.push(self.and()?);
        }
    }

    fn and(&mut self) -> Result<Predicate, ParseError> {
        let mut all = vec![self.operand()?];
        loop {
            self.scan.blanks();
            if !(self.scan.keyword("and") || self.scan.take("&&")) {
                let done = self.at_end() || self.scan.is_keyword("or") || matches!(self.scan.peek(), Some(')' | '|'));
                if done {
                    return Ok(Predicate::and(all));
                }
            }
            all.push(self.operand()?);
        }
    }

    fn operand(&mut self) -> Result<Predicate, ParseError> {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(self
                .scan
                .error(self.scan.at, format!("at most {DEPTH} parentheses and negations may stand in one another")));
        }
        let one = self.negated_or_plain();
        self.depth -= 1;
        one
    }

    fn negated_or_plain(&mut self) -> Result<Predicate, ParseError> {
        self.scan.blanks();
        let start = self.scan.at;
        if self.scan.keyword("not") {
            return Ok(self.operand()?.negate());
        }
        // In a group of values `-5` is a number.
        let is_number = self.field.is_some() && self.scan.rest().chars().nth(1).is_some_and(|next| next.is_ascii_digit());
        let is_sign = self.field.is_some() && ["!=", "!~"].iter().any(|sign| self.scan.rest().starts_with(sign));
        if !is_sign && (self.scan.take("!") || (!is_number && self.scan.take("-"))) {
            if self.scan.peek().is_none_or(|next| next.is_whitespace() || matches!(next, '|' | ')')) {
                let message = "a sign that stands alone excludes nothing; put it before what is to be left out, or quote it";
                return Err(self.scan.error(start, message));
            }
            return Ok(self.operand()?.negate());
        }
        if self.scan.take("(") {
            let inner = self.or()?;
            return if self.scan.take(")") { Ok(inner) } else { Err(self.scan.error(start, "this `(` is never closed")) };
        }
        match self.scan.peek() {
            None => Err(self.scan.error(start, "here a word, a field or a parenthesis is expected, not the end")),
            Some(')') => Err(self.scan.error(start, "here a word, a field or a parenthesis is expected before the `)`")),
            Some('|') => Err(self.scan.error(start, "here a word, a field or a parenthesis is expected before the `|`")),
            Some(_) => match self.field.clone() {
                Some(field) => self.value(&field),
                None => self.named(),
            },
        }
    }

    /// A field and what is asked of it, or a word that asks the message.
    fn named(&mut self) -> Result<Predicate, ParseError> {
        let start = self.scan.at;
        for word in ["and", "or"] {
            if self.scan.is_keyword(word) {
                return Err(self
                    .scan
                    .error(start, format!("`{word}` needs something on both sides; quote it to search for the word")));
            }
        }
        let message = Field::named(row::MESSAGE);
        if self.scan.peek() == Some('~') {
            return self.value(&message);
        }
        let word = match self.scan.quoted()? {
            Some(word) => word,
            None => match self.scan.call() {
                Some(word) => word,
                None => self.scan.bare(Stop::Name)?,
            },
        };
        let after = self.scan.clone();
        self.scan.blanks();
        let has_sign = self.scan.take(":") || SIGNS.iter().any(|(sign, _)| *sign != "~" && self.scan.rest().starts_with(sign));
        if !has_sign {
            self.scan = after;
            return self.words(&message, &word);
        }
        if word.pieces.is_empty() {
            return Err(self
                .scan
                .error(start, "here the name of a field is expected; quote the text to search for it as it is"));
        }
        let name = word.text();
        if name == "_exists_" {
            // Lucene's way to ask for a field.
            let field = self.scalar(Stop::Value)?.text();
            return self.leaf(Field::named(&field), Test::Exists);
        }
        let field = if word.is_glob() { Field::Like(Glob::whole(word.pieces)) } else { Field::named(&name) };
        self.value(&field)
    }

    /// What is asked of a field.
    fn value(&mut self, field: &Field) -> Result<Predicate, ParseError> {
        self.scan.blanks();
        let start = self.scan.at;
        if self.field.is_none() && self.scan.take("(") {
            self.field = Some(field.clone());
            let inner = self.or();
            self.field = None;
            let inner = inner?;
            return if self.scan.take(")") { Ok(inner) } else { Err(self.scan.error(start, "this `(` is never closed")) };
        }
        if matches!(self.scan.peek(), Some('[' | '{')) {
            return self.range(field);
        }
        let sign = SIGNS.iter().find(|(sign, _)| self.scan.take(sign)).map_or(Sign::Holds, |(_, sign)| *sign);
        self.scan.blanks();
        if matches!(sign, Sign::Finds | Sign::FindsNot) && self.scan.peek() == Some('(') {
            return Err(self.scan.error(self.scan.at, QUOTE_REGEX));
        }
        let word = self.scalar(Stop::Value)?;
        match sign {
            Sign::Holds => self.words(field, &word),
            Sign::Is | Sign::IsNot => {
                let test = self.exact(field, &word)?;
                let leaf = self.leaf(field.clone(), test)?;
                Ok(if sign == Sign::IsNot { leaf.negate() } else { leaf })
            }
            Sign::Finds | Sign::FindsNot => {
                if field.is_time() {
                    return Err(self.scan.error(start, "`_time` is compared, not searched; write `_time>=2026-11-20`"));
                }
                if !word.quoted && matches!(self.scan.peek(), Some('(' | '|' | '"')) {
                    return Err(self.scan.error(word.start, QUOTE_REGEX));
                }
                // A bare expression keeps its backslashes, stars and question marks as they were written.
                let text = if word.quoted { word.text() } else { self.written(&word) };
                let pattern = Pattern::new(&text).map_err(|message| self.scan.error(word.start, message))?;
                let leaf = self.leaf(field.clone(), Test::Regex(pattern))?;
                Ok(if sign == Sign::FindsNot { leaf.negate() } else { leaf })
            }
            Sign::Above { inclusive } => self.between(field, Some((word, inclusive)), None),
            Sign::Below { inclusive } => self.between(field, None, Some((word, inclusive))),
        }
    }

    /// The text of a bare word as it stands.
    fn written(&self, word: &Word) -> String {
        self.scan.between(word.start, self.scan.at).to_owned()
    }

    fn scalar(&mut self, stop: Stop) -> Result<Word, ParseError> {
        if let Some(word) = self.scan.quoted()? {
            return Ok(word);
        }
        let word = self.scan.bare(stop)?;
        if word.pieces.is_empty() {
            return Err(self.scan.error(word.start, "here a value is expected; quote it if it is made of signs"));
        }
        Ok(word)
    }

    fn words(&mut self, field: &Field, word: &Word) -> Result<Predicate, ParseError> {
        if word.quoted {
            let test = if field.is_time() {
                self.instant(word)?
            } else if word.cased {
                Test::cased_words(&word.text())
            } else {
                Test::words(&word.text())
            };
            return self.leaf(field.clone(), test);
        }
        if matches!(*word.pieces, [Piece::Run]) {
            // A star by itself keeps every row, with or without a message.
            let is_bare = self.field.is_none()
                && matches!(field, Field::Named(name) if **name == *row::MESSAGE)
                && !self.follows_colon(word);
            return if is_bare { Ok(Predicate::All) } else { self.leaf(field.clone(), Test::Exists) };
        }
        let test = if field.is_time() {
            self.instant(word)?
        } else if word.is_glob() {
            Test::Like(Glob::within(word.pieces.clone()))
        } else {
            let text = word.text();
            match Net::parse(&text).filter(|_| !word.escaped) {
                Some(net) => Test::Net(net),
                None => Test::words(&text),
            }
        };
        self.leaf(field.clone(), test)
    }

    /// Whether a word is the value of a field that was named.
    fn follows_colon(&self, word: &Word) -> bool {
        self.scan.between(0, word.start).trim_end().ends_with([':', '='])
    }

    fn exact(&self, field: &Field, word: &Word) -> Result<Test, ParseError> {
        if field.is_time() {
            return self.instant(word);
        }
        if matches!(*word.pieces, [Piece::Run]) {
            return Ok(Test::Exists);
        }
        if word.is_glob() {
            return Ok(Test::Like(Glob::whole(word.pieces.clone())));
        }
        Ok(Test::exact(&word.text()))
    }

    fn range(&mut self, field: &Field) -> Result<Predicate, ParseError> {
        let start = self.scan.at;
        let lower_inclusive = self.scan.take("[");
        if !lower_inclusive {
            self.scan.take("{");
        }
        self.scan.blanks();
        let lower = self.scalar(Stop::Range)?;
        self.scan.blanks();
        if !self.scan.keyword("to") {
            return Err(self
                .scan
                .error(self.scan.at, "a range is written `[1 TO 5]`, with `*` for an open end; here `TO` is missing"));
        }
        self.scan.blanks();
        let upper = self.scalar(Stop::Range)?;
        self.scan.blanks();
        let upper_inclusive = self.scan.take("]");
        if !upper_inclusive && !self.scan.take("}") {
            return Err(self.scan.error(start, "this range is never closed; end it with `]`, or `}` to leave the end out"));
        }
        let end =
            |word: Word, inclusive: bool| (word.quoted || !matches!(*word.pieces, [Piece::Run])).then_some((word, inclusive));
        self.between(field, end(lower, lower_inclusive), end(upper, upper_inclusive))
    }

    fn between(
        &mut self,
        field: &Field,
        lower: Option<(Word, bool)>,
        upper: Option<(Word, bool)>,
    ) -> Result<Predicate, ParseError> {
        if lower.is_none() && upper.is_none() {
            return self.leaf(field.clone(), Test::Exists);
        }
        if !field.is_time() {
            let end = |end: Option<(Word, bool)>| end.map(|(word, inclusive)| (Literal::new(&word.text()), inclusive));
            return self.leaf(field.clone(), Test::Range(Range { lower: end(lower), upper: end(upper) }));
        }
        let from = match lower {
            Some((word, inclusive)) => self.ns(&word)?.saturating_add(i64::from(!inclusive)),
            None => i64::MIN,
        };
        let to = match upper {
            Some((word, inclusive)) => self.ns(&word)?.saturating_sub(i64::from(!inclusive)),
            None => i64::MAX,
        };
        self.leaf(field.clone(), Test::Time(TimeRange { from, to }))
    }

    fn ns(&self, word: &Word) -> Result<i64, ParseError> {
        let text = word.text();
        if let Some(TimeRange { from, .. }) = named(&text) {
            return Ok(from);
        }
        let relative = text.starts_with("now") || text.starts_with(['-', '+']);
        let ns = match self.now_ns {
            Some(now_ns) => time::parse_relative(&text, now_ns),
            None if relative => Err("times relative to now have no meaning here; write an absolute one".to_owned()),
            None => time::parse(&text)
                .ok_or_else(|| format!("`{text}` is no time; write RFC 3339 (2026-11-20T08:00:00Z) or an epoch")),
        };
        ns.map_err(|message| self.scan.error(word.start, message))
    }

    /// An instant, or all of the day, hour, minute or second that is named.
    fn instant(&self, word: &Word) -> Result<Test, ParseError> {
        if let Some(range) = named(&word.text()) {
            return Ok(Test::Time(range));
        }
        let ns = self.ns(word)?;
        Ok(Test::Time(TimeRange { from: ns, to: ns }))
    }

    fn leaf(&mut self, field: Field, test: Test) -> Result<Predicate, ParseError> {
        self.leaves += 1;
        if self.leaves > LEAVES {
            return Err(self
                .scan
                .error(self.scan.at, format!("at most {LEAVES} words and comparisons may stand in one query")));
        }
        Ok(Predicate::Leaf(Leaf { field, test }))
    }
}

/// All of the day, hour, minute or second that a text names.
fn named(text: &str) -> Option<TimeRange> {
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    let (whole, length_s) = match shape.trim_end_matches('Z').replace(' ', "T").as_str() {
        "0000-00-00" => (format!("{text}T00:00:00"), 86_400),
        "0000-00-00T00" => (format!("{}:00:00", text.trim_end_matches('Z')), 3600),
        "0000-00-00T00:00" => (format!("{}:00", text.trim_end_matches('Z')), 60),
        "0000-00-00T00:00:00" => (text.to_owned(), 1),
        _ => return None,
    };
    let from = time::parse(&whole)?;
    Some(TimeRange { from, to: from.saturating_add(length_s * 1_000_000_000 - 1) })
}
