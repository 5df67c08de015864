//! The parser of queries: a predicate, then pipes.
//!
//! | pipe | |
//! | --- | --- |
//! | `stats count(), p99(reqtime) as slow by app, bin(5m)` | `count() count(f) count_distinct(f) sum avg min max p0 … p100`; `bin(5m)` is `bin(_time, 5m)`, `bin(bytes, 1000)` rounds a number, a third argument moves the steps |
//! | `sort -count(), app` | `-` greatest first (`desc` after it does the same); `-count` finds `count()` |
//! | `limit 20` | also `head 20` |
//! | `fields app, status` | |
//! | `where status>=500` | any predicate, also over the columns of `stats` |
//! | `top 10 path` | |
//!
//! A column is named as it was written, or by `as name`. Errors point at the byte.

use super::plan::{Agg, Bin, Function, Key, Pipe, Query, SortKey};
use crate::base::predicate::{ParseError, parse_part};
use crate::base::row;
use crate::base::units::Span;

/// Most pipes of a query.
const PIPES: usize = 32;
/// Most figures, keys or fields in one pipe.
const ITEMS: usize = 64;

/// Parses a query. Relative times (`_time>-1h`) are refused: there is no now.
///
/// # Errors
/// Where and why it can't be understood.
pub fn parse(text: &str) -> Result<Query, ParseError> {
    query(text, None)
}

/// Parses a query in which relative times mean those before or after `now_ns`.
///
/// # Errors
/// Where and why it can't be understood.
pub fn parse_at(text: &str, now_ns: i64) -> Result<Query, ParseError> {
    query(text, Some(now_ns))
}

fn query(text: &str, now_ns: Option<i64>) -> Result<Query, ParseError> {
    let (predicate, at) = parse_part(text, 0, now_ns)?;
    let mut pipes = Pipes { text, at, now_ns };
    let mut query = Query::new(predicate);
    while pipes.take("|") {
        if query.pipes.len() == PIPES {
            return Err(pipes.error(pipes.at, format!("at most {PIPES} pipes may follow one another")));
        }
        query.pipes.push(pipes.pipe()?);
        pipes.blanks();
        if pipes.at < text.len() && !pipes.rest().starts_with('|') {
            return Err(pipes.error(pipes.at, "here `|` and another pipe, or the end, is expected"));
        }
    }
    Ok(query)
}

struct Pipes<'a> {
    text: &'a str,
    at: usize,
    now_ns: Option<i64>,
}

impl<'a> Pipes<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn error(&self, position: usize, message: impl Into<String>) -> ParseError {
        ParseError { position: position.min(self.text.len()), message: message.into() }
    }

    fn blanks(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    fn take(&mut self, sign: &str) -> bool {
        self.blanks();
        let found = self.rest().starts_with(sign);
        self.at += if found { sign.len() } else { 0 };
        found
    }

    /// Takes a keyword in any case, if a whole word says it.
    fn keyword(&mut self, keyword: &str) -> bool {
        self.blanks();
        let rest = self.rest();
        let found = rest.get(..keyword.len()).is_some_and(|next| next.eq_ignore_ascii_case(keyword))
            && rest[keyword.len()..].chars().next().is_none_or(|next| !is_name_char(next));
        self.at += if found { keyword.len() } else { 0 };
        found
    }

    fn pipe(&mut self) -> Result<Pipe, ParseError> {
        self.blanks();
        let start = self.at;
        if self.keyword("where") || self.keyword("search") {
            let (predicate, end) = parse_part(self.text, self.at, self.now_ns)?;
            self.at = end;
            return Ok(Pipe::Where(predicate));
        }
        if self.keyword("stats") {
            let aggs = self.list(Self::agg)?;
            let by = if self.keyword("by") { self.list(Self::key)? } else { Vec::new() };
            return self.distinct_columns(start, &aggs, &by).map(|()| Pipe::Stats(aggs, by));
        }
        if self.keyword("sort") {
            self.keyword("by");
            return self.list(Self::sort_key).map(Pipe::Sort);
        }
        if self.keyword("limit") || self.keyword("head") {
            return self.whole_number().map(Pipe::Limit);
        }
        if self.keyword("fields") {
            return self.list(Self::column).map(Pipe::Fields);
        }
        if self.keyword("top") {
            self.blanks();
            let rows = if self.rest().starts_with(|next: char| next.is_ascii_digit()) { self.whole_number()? } else { 10 };
            self.keyword("by");
            return self.name().map(|field| Pipe::Top(rows, field));
        }
        Err(self.error(start, "after `|` comes stats, sort, limit, fields, where or top"))
    }

    fn distinct_columns(&self, start: usize, aggs: &[Agg], by: &[Key]) -> Result<(), ParseError> {
        let mut names: Vec<&str> =
            aggs.iter().map(|agg| agg.name.as_str()).chain(by.iter().map(|key| key.name.as_str())).collect();
        names.sort_unstable();
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => {
                Err(self.error(start, format!("two columns would be named `{}`; name one of them with `as`", pair[0])))
            }
            None => Ok(()),
        }
    }

    fn list<T>(&mut self, one: fn(&mut Self) -> Result<T, ParseError>) -> Result<Vec<T>, ParseError> {
        let mut all = vec![one(self)?];
        while self.take(",") {
            if all.len() == ITEMS {
                return Err(self.error(self.at, format!("at most {ITEMS} may stand in one list")));
            }
            all.push(one(self)?);
        }
        Ok(all)
    }

    fn whole_number(&mut self) -> Result<usize, ParseError> {
        self.blanks();
        let length = self.rest().find(|next: char| !next.is_ascii_digit()).unwrap_or(self.rest().len());
        let number = self.rest()[..length].parse().map_err(|_| self.error(self.at, "here a whole number is expected"))?;
        self.at += length;
        Ok(number)
    }

    /// A field's name, bare or in quotes.
    fn name(&mut self) -> Result<String, ParseError> {
        self.blanks();
        let start = self.at;
        if self.take("\"") {
            let mut name = String::new();
            let mut chars = self.rest().char_indices();
            while let Some((at, c)) = chars.next() {
                match c {
                    '"' => {
                        self.at += at + 1;
                        return Ok(name);
                    }
                    '\\' => match chars.clone().next() {
                        Some((_, next @ ('"' | '\\'))) => {
                            chars.next();
                            name.push(next);
                        }
                        _ => name.push(c),
                    },
                    c => name.push(c),
                }
            }
            return Err(self.error(start, "this quote is never closed"));
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
    fn column(&mut self) -> Result<String, ParseError> {
        self.blanks();
        let start = self.at;
        let name = self.name()?;
        if !self.text[start..].starts_with('"') && self.rest().starts_with('(') {
            let length = self.rest().find(')').ok_or_else(|| self.error(self.at, "this `(` is never closed"))?;
            self.at += length + 1;
            return Ok(self.text[start..self.at].to_owned());
        }
        Ok(name)
    }

    fn alias(&mut self, written: &str) -> Result<String, ParseError> {
        if self.keyword("as") { self.name() } else { Ok(written.trim().to_owned()) }
    }

    fn agg(&mut self) -> Result<Agg, ParseError> {
        self.blanks();
        let start = self.at;
        let name = self.name()?.to_ascii_lowercase();
        let mut field = None;
        if self.take("(") {
            if !self.take(")") {
                field = Some(self.column()?);
                if !self.take(")") {
                    return Err(self.error(self.at, "here `)` is expected"));
                }
            }
        } else if name != "count" {
            return Err(self.error(self.at, "here `(` and a field are expected, as in `avg(reqtime)`"));
        }
        let end = self.at;
        let function = match (name.as_str(), field) {
            ("count", None) => Function::Count,
            ("count", Some(field)) => Function::CountOf(field),
            (name, None) if is_figure(name) => {
                return Err(self.error(end.saturating_sub(1), format!("`{name}` needs a field, as in `{name}(reqtime)`")));
            }
            ("count_distinct", Some(field)) => Function::Distinct(field),
            ("sum", Some(field)) => Function::Sum(field),
            ("avg", Some(field)) => Function::Avg(field),
            ("min", Some(field)) => Function::Min(field),
            ("max", Some(field)) => Function::Max(field),
            ("count_numbers", Some(field)) => Function::Numbers(field),
            ("sum_squares", Some(field)) => Function::Squares(field),
            (other, field) => match (percentile(other), field) {
                (Some(hundredths), Some(field)) => Function::Percentile(field, hundredths),
                _ => {
                    let message =
                        format!("`{name}` is no figure; there are count, count_distinct, sum, avg, min, max and p0 to p100");
                    return Err(self.error(start, message));
                }
            },
        };
        let written = if function == Function::Count { "count()" } else { &self.text[start..end] };
        let name = self.alias(written)?;
        Ok(Agg { function, name })
    }

    fn key(&mut self) -> Result<Key, ParseError> {
        self.blanks();
        let start = self.at;
        let field = self.name()?;
        if !(field.eq_ignore_ascii_case("bin") && self.rest().starts_with('(')) {
            self.at = start;
            let field = self.column()?;
            let name = self.alias(&field)?;
            return Ok(Key::field(&field).named(&name));
        }
        self.take("(");
        self.blanks();
        let first = self.at;
        let mut field = row::TIME.to_owned();
        if !self.rest().starts_with(|next: char| next.is_ascii_digit()) {
            field = self.name()?;
            if !self.take(",") {
                return Err(self.error(first, "a bin has a width, as in `bin(5m)` or `bin(bytes, 1000)`"));
            }
        }
        let step = self.amount(&field)?;
        if step <= 0 {
            return Err(self.error(first, "a bin is at least 1 wide"));
        }
        let offset = if self.take(",") { self.amount(&field)? } else { 0 };
        if !self.take(")") {
            return Err(self.error(self.at, "here `)` is expected"));
        }
        let written = &self.text[start..self.at];
        let name = self.alias(written)?;
        Ok(Key { bin: Some(Bin { step, offset }), ..Key::field(&field).named(&name) })
    }

    /// A width: a span of time for `_time`, else a whole number.
    fn amount(&mut self, field: &str) -> Result<i64, ParseError> {
        self.blanks();
        let start = self.at;
        let negative = self.take("-");
        self.blanks();
        let length = self.rest().find(|next: char| !(next.is_ascii_alphanumeric() || next == '.')).unwrap_or(self.rest().len());
        let text = &self.rest()[..length];
        let amount = if field == row::TIME {
            let small = [("us", 1000), ("ns", 1)].iter().find_map(|(unit, length)| {
                text.strip_suffix(unit)
                    .and_then(|number| number.parse::<i64>().ok())
                    .and_then(|number| number.checked_mul(*length))
            });
            small
                .or_else(|| text.parse::<Span>().ok().map(Span::as_ns))
                .ok_or("here a span of time is expected, like `30s`, `5m`, `1h` or `1d`")
        } else {
            text.parse::<i64>().map_err(|_| "here a whole number is expected")
        };
        let amount = amount.map_err(|message| self.error(start, message))?;
        self.at += length;
        Ok(if negative { -amount } else { amount })
    }

    fn sort_key(&mut self) -> Result<SortKey, ParseError> {
        let descending = self.take("-");
        if !descending {
            self.take("+");
        }
        let field = self.column()?;
        let descending = self.keyword("desc") || (!self.keyword("asc") && descending);
        Ok(SortKey { field, descending })
    }
}

fn is_name_char(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '@' | '/')
}

/// `p99` of `p99(reqtime)`.
fn percentile(name: &str) -> Option<f64> {
    let hundredths = name.strip_prefix('p')?.parse::<f64>().ok()?;
    (0.0..=100.0).contains(&hundredths).then_some(hundredths)
}

/// Whether it is a figure over a field.
fn is_figure(name: &str) -> bool {
    matches!(name, "count_distinct" | "sum" | "avg" | "min" | "max" | "count_numbers" | "sum_squares")
        || percentile(name).is_some()
}
