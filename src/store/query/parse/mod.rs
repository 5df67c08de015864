//! The parser of queries: a predicate, then pipes.
//!
//! | pipe | |
//! | --- | --- |
//! | `where status>=500` | any predicate, also over columns that were computed |
//! | `stats count(), p99(reqtime) as slow by app, bin(5m)` | figures ([`figures::FIGURES`]); `bin(5m)` is `bin(_time, 5m)`, `bin(bytes, 1000)` rounds a number, a third argument moves the steps |
//! | `timeseries span 5m count() by app` | `stats` by time, without gaps; without `span` in some 60 steps |
//! | `top 10 path, app` `rare 10 path` | the most, the least frequent combinations |
//! | `sort -count(), app` | `-` greatest first (`desc` after it does the same); `-count` finds `count()` |
//! | `limit 20` | also `head 20` |
//! | `fields app, status` | what is shown, in this order |
//! | `dedup user, app` | of rows with the same values the first |
//! | `eval slow = reqtime > 1, kb = bytes / 1024` | computed columns: [`super::expr`] |
//! | `extract "user=<user> took <ms>ms" from message` | columns out of a text: [`super::extract`] |
//! | `rename sd.id as id` | |
//! | `lookup hosts.json on host fields owner, site as place` | members of a table's value; `lookup codes.csv on status as meaning` all of it |
//! | `patterns 20 of message` | texts clustered by shape: [`super::patterns`] |
//!
//! A column is named as it was written, or by `as name`. Errors point at the byte and name what is near to what was written.

mod cursor;
mod expression;
mod figures;

use cursor::Cursor;
pub use expression::SPECIAL;
pub use figures::FIGURES;

use super::extract::Extractor;
use super::near::meant;
use super::plan::{Agg, Function, Key, Lookup, Pipe, Query, Series, SortKey, Take};
use crate::base::predicate::{ParseError, parse_part};
use crate::base::row;

/// Most pipes of a query.
const PIPES: usize = 32;
/// Most columns that a query computes.
const COMPUTED: usize = 64;
/// Shapes that `patterns` shows where nothing is said.
const SHAPES: usize = 50;

/// Pipes and how they are used, for people.
pub const PIPE_NAMES: [(&str, &str); 15] = [
    ("where", "where status>=500"),
    ("stats", "stats count(), p99(reqtime) by app, bin(5m)"),
    ("timeseries", "timeseries count() by app"),
    ("top", "top 10 path"),
    ("rare", "rare 10 path"),
    ("sort", "sort -count()"),
    ("limit", "limit 20"),
    ("head", "head 20"),
    ("fields", "fields _time, app, message"),
    ("dedup", "dedup user"),
    ("eval", "eval kb = round(bytes / 1024, 1)"),
    ("extract", "extract \"user=<user> took <ms>ms\""),
    ("rename", "rename client as user"),
    ("lookup", "lookup hosts.json on host fields owner"),
    ("patterns", "patterns 20"),
];

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
    let mut pipes = Cursor { text, at, now_ns, computed: 0 };
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

impl Cursor<'_> {
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
            return self.counted(10).map(|(rows, fields)| Pipe::Top(rows, fields));
        }
        if self.keyword("rare") {
            return self.counted(10).map(|(rows, fields)| Pipe::Rare(rows, fields));
        }
        if self.keyword("dedup") {
            self.keyword("by");
            return self.list(Self::column).map(Pipe::Dedup);
        }
        if self.keyword("timeseries") {
            return self.timeseries(start).map(Pipe::Timeseries);
        }
        if self.keyword("patterns") {
            let most = self.number_or(SHAPES)?;
            let field = if self.keyword("of") { self.name()? } else { row::MESSAGE.to_owned() };
            return Ok(Pipe::Patterns(most, field));
        }
        if self.keyword("eval") {
            return self.list(Self::assignment).map(Pipe::Eval);
        }
        if self.keyword("extract") {
            return self.extract();
        }
        if self.keyword("rename") {
            return self.list(Self::renamed).map(Pipe::Rename);
        }
        if self.keyword("lookup") {
            return self.lookup().map(Pipe::Lookup);
        }
        let names = PIPE_NAMES.map(|(name, _)| name);
        let (last, others) = (names[names.len() - 1], &names[..names.len() - 1]);
        let message = format!("after `|` comes {} or {last}{}", others.join(", "), meant(self.word(), names));
        Err(self.error(start, message))
    }

    /// How many, and of which fields.
    fn counted(&mut self, otherwise: usize) -> Result<(usize, Vec<String>), ParseError> {
        let rows = self.number_or(otherwise)?;
        self.keyword("by");
        let fields = self.list(Self::column)?;
        Ok((rows, fields))
    }

    fn timeseries(&mut self, start: usize) -> Result<Series, ParseError> {
        let mut step = None;
        if self.keyword("span") {
            self.take("=");
            self.blanks();
            let at = self.at;
            let width = self.amount(row::TIME)?;
            if width <= 0 {
                return Err(self.error(at, "a step is at least a nanosecond"));
            }
            step = Some(width);
        }
        self.blanks();
        let at_end = self.rest().is_empty() || self.rest().starts_with('|');
        let by_next = self.rest().get(..2).is_some_and(|next| next.eq_ignore_ascii_case("by")) && self.word().len() == 2;
        let aggs = if at_end || by_next { vec![Agg::new(Function::Count)] } else { self.list(Self::agg)? };
        let by = if self.keyword("by") { self.list(Self::key)? } else { Vec::new() };
        let time = Key::field(row::TIME);
        self.distinct_columns(start, &aggs, &by.iter().chain([&time]).cloned().collect::<Vec<_>>())?;
        Ok(Series { aggs, by, step })
    }

    /// Counts columns that are computed: each costs memory for every group of rows that is read.
    fn compute(&mut self, columns: usize) -> Result<(), ParseError> {
        self.computed += columns;
        if self.computed > COMPUTED {
            return Err(self.error(self.at, format!("at most {COMPUTED} columns may be computed in one query")));
        }
        Ok(())
    }

    fn assignment(&mut self) -> Result<(String, super::expr::Expr), ParseError> {
        self.compute(1)?;
        let name = self.new_column()?;
        if !self.take("=") {
            return Err(self.error(self.at, "here `=` and an expression are expected, as in `eval kb = bytes / 1024`"));
        }
        Ok((name, expression::expression(self)?))
    }

    fn extract(&mut self) -> Result<Pipe, ParseError> {
        self.blanks();
        let at = self.at;
        let message = "here a pattern in quotes is expected, as in `extract \"user=<user> took <ms>ms\"`";
        let pattern = self.quoted('"')?.ok_or_else(|| self.error(at, message))?;
        let extractor = Extractor::new(&pattern).map_err(|message| self.error(at, message))?;
        self.compute(extractor.names().len())?;
        let from = if self.keyword("from") { self.column()? } else { row::MESSAGE.to_owned() };
        Ok(Pipe::Extract(extractor, from))
    }

    fn renamed(&mut self) -> Result<(String, String), ParseError> {
        self.blanks();
        let at = self.at;
        let from = self.column()?;
        if from.starts_with('_') {
            return Err(self.error(at, format!("`{from}` is the box's own; `eval name = {from}` makes a copy of it")));
        }
        if !self.keyword("as") {
            return Err(self.error(self.at, "here `as` and the new name are expected"));
        }
        Ok((from, self.new_column()?))
    }

    fn lookup(&mut self) -> Result<Lookup, ParseError> {
        let table = self.name()?;
        if !self.keyword("on") {
            return Err(
                self.error(self.at, "here `on` and a field are expected, as in `lookup hosts.json on host fields owner`")
            );
        }
        let on = self.column()?;
        let take = if self.keyword("as") {
            Take::Whole(self.new_column()?)
        } else if self.keyword("fields") {
            Take::Members(self.list(|cursor| {
                let member = cursor.name()?;
                let column = if cursor.keyword("as") { cursor.new_column()? } else { member.clone() };
                if column.starts_with('_') || column.is_empty() {
                    return Err(cursor.error(cursor.at, format!("`{column}` needs another name here, by `as`")));
                }
                Ok((member, column))
            })?)
        } else {
            let stem = table.rsplit_once('.').map_or(table.as_str(), |(stem, _)| stem).to_owned();
            if stem.starts_with('_') || stem.is_empty() {
                return Err(self.error(self.at, "here `as` and the name of the new column are expected"));
            }
            Take::Whole(stem)
        };
        self.compute(match &take {
            Take::Whole(_) => 1,
            Take::Members(members) => members.len(),
        })?;
        Ok(Lookup { table, on, take })
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

    fn sort_key(&mut self) -> Result<SortKey, ParseError> {
        let descending = self.take("-");
        if !descending {
            self.take("+");
        }
        let field = self.column()?;
        let descending = self.keyword("desc") || (!self.keyword("asc") && descending);
        Ok(SortKey::new(&field, descending))
    }
}
