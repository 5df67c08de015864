//! The parser of `query_string`: one function a level, clauses joined as Lucene's own parser joins them.

use super::Defaults;
use super::lex::{Letters, Term};
use crate::base::predicate::Predicate;
use crate::web::elastic::dsl::DEPTH;
use crate::web::elastic::dsl::leaf::{self, End};

/// A query that is being read.
#[derive(Debug)]
pub struct Parser<'a> {
    letters: Letters<'a>,
    defaults: Defaults,
    depth: usize,
}

/// Whether a clause must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Occurs {
    Must,
    May,
    Not,
}

impl<'a> Parser<'a> {
    /// At the start.
    pub fn new(text: &'a str, defaults: Defaults) -> Self {
        Self { letters: Letters::new(text), defaults, depth: 0 }
    }

    /// All of the text.
    pub fn whole(mut self) -> Result<Predicate, String> {
        self.letters.blanks();
        if self.letters.peek().is_none() {
            return Ok(Predicate::none());
        }
        let found = self.clauses(None)?;
        match self.letters.peek() {
            None => Ok(found),
            Some(_) => Err(self.wrong("this `)` closes nothing")),
        }
    }

    fn wrong(&self, why: &str) -> String {
        format!("at byte {}: {why}", self.letters.at)
    }

    fn clauses(&mut self, field: Option<&str>) -> Result<Predicate, String> {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(self.wrong(&format!("parentheses stand at most {DEPTH} deep")));
        }
        let mut all: Vec<(Occurs, Predicate)> = Vec::new();
        loop {
            self.letters.blanks();
            if self.letters.peek().is_none_or(|next| next == ')') {
                break;
            }
            let (mut and, mut or) = (false, false);
            if !all.is_empty() {
                and = self.letters.keyword("AND") || self.letters.take("&&");
                or = !and && (self.letters.keyword("OR") || self.letters.take("||"));
                self.letters.blanks();
            }
            let not = self.letters.keyword("NOT") || self.letters.take("!");
            self.letters.blanks();
            let must = !not && self.letters.take("+");
            let not = not || (!must && self.letters.take("-"));
            self.letters.blanks();
            let clause = self.clause(field)?;
            if let Some((before, _)) = all.last_mut()
                && *before != Occurs::Not
            {
                if and {
                    *before = Occurs::Must;
                } else if or && self.defaults.all {
                    *before = Occurs::May;
                }
            }
            let occurs = if not {
                Occurs::Not
            } else if must || and || (self.defaults.all && !or) {
                Occurs::Must
            } else {
                Occurs::May
            };
            all.push((occurs, clause));
        }
        self.depth -= 1;
        if all.is_empty() {
            return Err(self.wrong("a clause is expected"));
        }
        let mut lists = [Vec::new(), Vec::new(), Vec::new()];
        for (occurs, clause) in all {
            lists[match occurs {
                Occurs::Must => 0,
                Occurs::May => 1,
                Occurs::Not => 2,
            }]
            .push(clause);
        }
        let [must, may, not] = lists;
        self.defaults.join(must, may, not)
    }

    fn clause(&mut self, field: Option<&str>) -> Result<Predicate, String> {
        match self.letters.peek() {
            Some('(' | '"' | '/' | '[' | '{' | '<' | '>') => return self.value(field),
            None | Some(')') => return Err(self.wrong("a clause is expected")),
            _ => {}
        }
        let start = self.letters.at;
        let term = self.letters.term(false);
        if self.letters.peek() != Some(':') {
            if term.written.is_empty() {
                return Err(self.wrong("this sign means something here; put `\\` before it, or quotes around"));
            }
            return self.term(field, &term);
        }
        self.letters.next();
        if field.is_some() || term.text.is_empty() {
            self.letters.at = start;
            return Err(self.wrong("here a value is expected, not a field; put `\\` before a `:` that belongs to it"));
        }
        self.letters.blanks();
        self.value(Some(&term.text))
    }

    fn value(&mut self, field: Option<&str>) -> Result<Predicate, String> {
        match self.letters.peek() {
            Some('(') => {
                self.letters.next();
                let inner = self.clauses(field)?;
                if !self.letters.take(")") {
                    return Err(self.wrong("a `)` is missing"));
                }
                self.boost()?;
                Ok(inner)
            }
            Some('"') => {
                let Some(text) = self.letters.enclosed('"') else { return Err(self.wrong("a `\"` is missing")) };
                self.boost()?;
                if field == Some("_exists_") {
                    return Ok(leaf::exists(&text));
                }
                self.ask(field, |field, dates| leaf::phrase(field, &text, dates))
            }
            Some('/') => {
                let Some(expression) = self.letters.enclosed('/') else {
                    return Err(self.wrong("a `/` begins an expression and another one ends it; `\\/` is the letter"));
                };
                self.boost()?;
                self.ask(field, |field, _| leaf::regexp(field, &expression, false))
            }
            Some('[' | '{') => self.range(field),
            Some('<' | '>') => {
                let above = self.letters.next() == Some('>');
                let inclusive = self.letters.take("=");
                self.letters.blanks();
                let end = self.end()?;
                let end = (end.as_str(), inclusive);
                let (lower, upper) = if above { (Some(end), None) } else { (None, Some(end)) };
                self.ask(field, |field, dates| leaf::range(field, lower, upper, dates))
            }
            None | Some(')') => Err(self.wrong("a value is expected")),
            Some(_) => {
                let term = self.letters.term(false);
                if term.written.is_empty() || self.letters.peek() == Some(':') {
                    return Err(self.wrong("this sign means something here; put `\\` before it, or quotes around"));
                }
                self.term(field, &term)
            }
        }
    }

    fn end(&mut self) -> Result<String, String> {
        let text = if self.letters.peek() == Some('"') {
            self.letters.enclosed('"').ok_or_else(|| self.wrong("a `\"` is missing"))?
        } else {
            // `2015-05-17T10:05` has colons.
            let mut text = self.letters.term(true).text;
            while text.ends_with(')') {
                text.pop();
                self.letters.at -= 1;
            }
            text
        };
        if text.is_empty() { Err(self.wrong("an end of a range is expected")) } else { Ok(text) }
    }

    fn range(&mut self, field: Option<&str>) -> Result<Predicate, String> {
        let from = self.letters.next() == Some('[');
        self.letters.blanks();
        let lower = self.end()?;
        self.letters.blanks();
        if !self.letters.keyword("TO") {
            return Err(self.wrong("a range is `[1 TO 5]`; here `TO` is missing"));
        }
        self.letters.blanks();
        let upper = self.end()?;
        self.letters.blanks();
        let to = match self.letters.next() {
            Some(']') => true,
            Some('}') => false,
            _ => return Err(self.wrong("a range ends with `]` or `}`")),
        };
        self.boost()?;
        fn end(text: &str, inclusive: bool) -> End<'_> {
            (text != "*").then_some((text, inclusive))
        }
        let (lower, upper) = (end(&lower, from), end(&upper, to));
        self.ask(field, |field, dates| leaf::range(field, lower, upper, dates))
    }

    fn term(&mut self, field: Option<&str>, term: &Term) -> Result<Predicate, String> {
        if ["AND", "OR", "NOT", "&&", "||"].contains(&term.written.as_str()) {
            return Err(self.wrong("an operator wants a clause on both sides; quotes make it a word"));
        }
        self.boost()?;
        match field {
            Some("_exists_") => return Ok(leaf::exists(&term.text)),
            None | Some("*") if term.is_star() => return Ok(Predicate::All),
            Some(field) if term.is_star() => return Ok(leaf::exists(field)),
            _ => {}
        }
        if term.is_pattern() {
            return self.ask(field, |field, _| leaf::like_words(field, term.pieces.clone()));
        }
        self.ask(field, |field, dates| leaf::phrase(field, &term.text, dates))
    }

    /// `^2` means nothing without scores; `~` would mean something.
    fn boost(&mut self) -> Result<(), String> {
        if self.letters.peek() == Some('~') {
            return Err(self.wrong("`~` (fuzzy or near) is not supported"));
        }
        if self.letters.take("^") {
            let factor = self.letters.term(false);
            if !factor.text.parse::<f64>().is_ok_and(|factor| factor.is_finite() && factor >= 0.0) {
                return Err(self.wrong("behind `^` a number is expected"));
            }
        }
        Ok(())
    }

    fn ask(
        &mut self,
        field: Option<&str>,
        test: impl Fn(&str, &mut crate::web::elastic::dates::Dates) -> Result<Predicate, String>,
    ) -> Result<Predicate, String> {
        match field {
            Some(field) => test(field, &mut self.defaults.dates),
            None => self.defaults.any_field(test),
        }
    }
}
