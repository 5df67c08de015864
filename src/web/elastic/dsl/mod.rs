//! The dialect's query DSL, as a predicate of the language that everything else uses.
//!
//! What is not understood is refused by name; nothing is silently ignored, since a query that quietly means something else is worse
//! than an error. Scores do not exist here: `must` and `filter` are the same, `should` only decides whether a row is kept, and
//! `boost` is let pass.
//!
//! Limits: [`DEPTH`] of nesting, [`LEAVES`] tests.

use serde_json::{Map, Value};

use super::dates::Dates;
use super::lucene;
use crate::base::predicate::Predicate;

pub mod leaf;
pub mod names;
pub mod read;
mod text;

#[cfg(test)]
mod tests;

use names::{ID, field_name};
use read::{each, flag, maybe_text, object, only, scalar, single, text};

/// Deepest nesting of clauses.
pub const DEPTH: usize = 32;
/// Most tests of one query.
pub const LEAVES: usize = 16_384;
/// What a pattern or an expression counts as: compiled, it takes memory.
pub const PATTERN: usize = 64;

/// Reads queries.
#[derive(Debug)]
pub struct Reader {
    now_ns: i64,
    left: usize,
}

/// Turns a `query` into a predicate.
///
/// # Errors
/// What is not understood, by name.
pub fn predicate(query: &Value, now_ns: i64) -> Result<Predicate, String> {
    Reader::new(now_ns).clause(query, 0)
}

impl Reader {
    /// At this time.
    pub fn new(now_ns: i64) -> Self {
        Self { now_ns, left: LEAVES }
    }

    fn spend(&mut self, tests: usize) -> Result<(), String> {
        spend(&mut self.left, tests)
    }

    fn dates(&self) -> Dates {
        Dates::new(self.now_ns)
    }

    /// A clause.
    ///
    /// # Errors
    /// What is not understood, by name.
    pub fn clause(&mut self, query: &Value, depth: usize) -> Result<Predicate, String> {
        if depth > DEPTH {
            return Err(format!("queries nest at most {DEPTH} deep"));
        }
        let (kind, body) = single(query, "query")?;
        self.spend(1)?;
        match kind {
            "match_all" => object(body, kind).and_then(|body| only(body, kind, &["boost", "_name"])).map(|()| Predicate::All),
            "match_none" => {
                object(body, kind).and_then(|body| only(body, kind, &["boost", "_name"])).map(|()| Predicate::none())
            }
            "bool" => self.boolean(object(body, kind)?, depth),
            "constant_score" => {
                let body = object(body, kind)?;
                only(body, kind, &["filter", "boost", "_name"])?;
                self.clause(body.get("filter").ok_or("`constant_score` wants `filter`")?, depth + 1)
            }
            "dis_max" => {
                let body = object(body, kind)?;
                only(body, kind, &["queries", "tie_breaker", "boost", "_name"])?;
                let queries = body.get("queries").ok_or("`dis_max` wants `queries`")?;
                let any = each(queries).iter().map(|one| self.clause(one, depth + 1)).collect::<Result<_, _>>()?;
                Ok(Predicate::or(any))
            }
            "exists" => {
                let body = object(body, kind)?;
                only(body, kind, &["field", "boost", "_name"])?;
                Ok(leaf::exists(text(body.get("field"), "exists.field")?))
            }
            "ids" => {
                let body = object(body, kind)?;
                only(body, kind, &["values", "boost", "_name"])?;
                let values = each(body.get("values").ok_or("`ids` wants `values`")?);
                self.spend(values.len())?;
                let rows = values.iter().map(|id| Ok(names::row_of(text(Some(id), "ids.values")?)));
                Ok(Predicate::or(rows.collect::<Result<_, String>>()?))
            }
            "query_string" | "simple_query_string" => {
                let body = object(body, kind)?;
                lucene::clause(kind, body, self.now_ns, &mut self.left)
            }
            "term" => {
                let known = ["value", "boost", "case_insensitive", "_name"];
                let (field, value, options) = one_field(body, kind, &known, "value")?;
                let any_case = any_case(options)?;
                self.spend(if any_case { PATTERN } else { 0 })?;
                leaf::term(field, &value, any_case, &mut self.dates())
            }
            "terms" => self.terms(object(body, kind)?),
            "match" | "match_phrase" | "match_phrase_prefix" | "match_bool_prefix" | "multi_match" => {
                let mut dates = self.dates();
                text::clause(kind, body, &mut dates, &mut self.left)
            }
            "prefix" => {
                self.spend(PATTERN)?;
                let known = ["value", "boost", "case_insensitive", "rewrite", "_name"];
                let (field, value, options) = one_field(body, kind, &known, "value")?;
                let pieces = vec![crate::base::predicate::Piece::Text(value.into()), crate::base::predicate::Piece::Run];
                leaf::like(field, pieces, any_case(options)?)
            }
            "wildcard" => {
                self.spend(PATTERN)?;
                let known = ["value", "wildcard", "boost", "case_insensitive", "rewrite", "_name"];
                let inner = if body.as_object().is_some_and(|body| body.values().any(|one| one.get("wildcard").is_some())) {
                    "wildcard"
                } else {
                    "value"
                };
                let (field, value, options) = one_field(body, kind, &known, inner)?;
                leaf::wildcard(field, &value, any_case(options)?)
            }
            "regexp" => {
                self.spend(PATTERN)?;
                let known = ["value", "flags", "boost", "case_insensitive", "max_determinized_states", "rewrite", "_name"];
                let (field, value, options) = one_field(body, kind, &known, "value")?;
                let flags = options.and_then(|options| options.get("flags")).filter(|flags| !flags.is_null());
                // Without them signs that mean something would be letters.
                if flags.is_some_and(|flags| flags != "ALL") && value.contains(['@', '~', '&', '#', '<', '>']) {
                    return Err("`flags` of `regexp` is supported as ALL alone".to_owned());
                }
                leaf::regexp(field, &value, any_case(options)?)
            }
            "range" => self.range(object(body, kind)?),
            other => Err(format!("the query `{other}` is not supported")),
        }
    }

    fn boolean(&mut self, body: &Map<String, Value>, depth: usize) -> Result<Predicate, String> {
        let known = ["must", "filter", "should", "must_not", "minimum_should_match", "boost", "adjust_pure_negative", "_name"];
        only(body, "bool", &known)?;
        let mut clauses = |name: &str| -> Result<Vec<Predicate>, String> {
            let written = body.get(name).map_or(&[][..], each);
            written.iter().map(|one| self.clause(one, depth + 1)).collect()
        };
        let mut all = clauses("must")?;
        all.extend(clauses("filter")?);
        let should = clauses("should")?;
        let excluded = clauses("must_not")?;
        let is_pure = all.is_empty() && should.is_empty() && !excluded.is_empty();
        if is_pure && flag(body, "adjust_pure_negative")? == Some(false) {
            return Ok(Predicate::none());
        }
        let needed = match body.get("minimum_should_match") {
            None | Some(Value::Null) => 0,
            Some(written) => leaf::needed(&scalar(written, "minimum_should_match")?, should.len())?,
        };
        // Where nothing else is asked one of them is, whatever is written.
        let needed = needed.max(usize::from(all.is_empty() && !should.is_empty()));
        if needed > 0 {
            all.push(leaf::at_least(needed, should, &mut self.left)?);
        }
        all.extend(excluded.into_iter().map(Predicate::negate));
        // `match_all` beside others says nothing.
        if all.len() > 1 {
            all.retain(|one| *one != Predicate::All);
        }
        Ok(Predicate::and(all))
    }

    fn terms(&mut self, body: &Map<String, Value>) -> Result<Predicate, String> {
        let mut fields = body.iter().filter(|(name, _)| !matches!(name.as_str(), "boost" | "_name"));
        let (Some((field, values)), None) = (fields.next(), fields.next()) else {
            return Err("`terms` wants one field".to_owned());
        };
        let values = values.as_array().ok_or("`terms` wants a list of values; a look-up is not supported")?;
        self.spend(values.len())?;
        let mut dates = self.dates();
        let any = values.iter().map(|value| leaf::term(field, &scalar(value, "terms")?, false, &mut dates));
        Ok(Predicate::or(any.collect::<Result<_, _>>()?))
    }

    fn range(&mut self, body: &Map<String, Value>) -> Result<Predicate, String> {
        let mut fields = body.iter().filter(|(name, _)| !matches!(name.as_str(), "boost" | "_name"));
        let (Some((field, ends)), None) = (fields.next(), fields.next()) else {
            return Err("`range` wants one field".to_owned());
        };
        let ends = object(ends, "range")?;
        let known = [
            "gt",
            "gte",
            "lt",
            "lte",
            "from",
            "to",
            "include_lower",
            "include_upper",
            "format",
            "time_zone",
            "boost",
            "relation",
            "_name",
        ];
        only(ends, "range", &known)?;
        if field == ID {
            return Err("a range of `_id` is not supported".to_owned());
        }
        let is_time = field_name(field) == crate::base::row::TIME;
        if let Some(name) = ["format", "time_zone", "relation"].into_iter().find(|name| !is_time && ends.contains_key(*name)) {
            return Err(format!("`{name}` of a range is supported on @timestamp, not on `{field}`, which has no dates"));
        }
        let end = |names: [&str; 3], inclusive: &str| -> Result<Option<(String, bool)>, String> {
            let legacy = flag(ends, inclusive)?.unwrap_or(true);
            let found = names.iter().zip([true, false, legacy]).find_map(|(name, inclusive)| match ends.get(*name) {
                None | Some(Value::Null) => None,
                Some(value) => Some(scalar(value, name).map(|text| (text, inclusive))),
            });
            found.transpose()
        };
        let (lower, upper) = (end(["gte", "gt", "from"], "include_lower")?, end(["lte", "lt", "to"], "include_upper")?);
        let mut dates = self.dates().in_zone(maybe_text(ends, "time_zone")?)?.format(maybe_text(ends, "format")?)?;
        leaf::range(
            field,
            lower.as_ref().map(|(text, inclusive)| (text.as_str(), *inclusive)),
            upper.as_ref().map(|(text, inclusive)| (text.as_str(), *inclusive)),
            &mut dates,
        )
    }
}

/// Takes tests from those that are left.
///
/// # Errors
/// There are none left.
pub fn spend(left: &mut usize, tests: usize) -> Result<(), String> {
    *left = left.checked_sub(tests).ok_or_else(|| {
        format!("a query has at most {LEAVES} tests, of which a pattern or an expression counts as {PATTERN}")
    })?;
    Ok(())
}

fn any_case(options: Option<&Map<String, Value>>) -> Result<bool, String> {
    options.map_or(Ok(false), |options| Ok(flag(options, "case_insensitive")?.unwrap_or(false)))
}

/// A field, a value and what stands beside it.
type OneField<'a> = (&'a str, String, Option<&'a Map<String, Value>>);

/// `{field: value}` or `{field: {inner: value, …}}`.
fn one_field<'a>(body: &'a Value, kind: &str, known: &[&str], inner: &str) -> Result<OneField<'a>, String> {
    let (field, value) = single(body, kind)?;
    match value {
        Value::Object(options) => {
            only(options, kind, known)?;
            let value = options.get(inner).ok_or_else(|| format!("`{kind}` wants `{inner}`"))?;
            Ok((field, scalar(value, kind)?, Some(options)))
        }
        value => Ok((field, scalar(value, kind)?, None)),
    }
}
