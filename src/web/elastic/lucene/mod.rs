//! `query_string` and `simple_query_string`: queries that people type, in Lucene's grammar, as predicates.
//!
//! ```text
//! query  = clause { ["AND" | "&&" | "OR" | "||"] clause }
//! clause = ["+" | "-" | "!" | "NOT"] [field ":"] ( term | phrase | "/" expression "/" | range | (">"|">="|"<"|"<=") term | "(" query ")" )
//! range  = ("[" | "{") end "TO" end ("]" | "}")
//! ```
//! As in Lucene there is no precedence: `AND` makes the clauses on both sides necessary, `OR` and nothing leave them as the default
//! operator says; of clauses that are not necessary one must hold, where no other is. `^2` is let pass, since there are no scores;
//! `~` is refused. What names no field asks the default fields; without any, all of them.
//!
//! Limits: [`super::dsl::DEPTH`] parentheses, [`TEXT_BYTES`] of text.

use serde_json::{Map, Value};

use super::dates::Dates;
use super::dsl::read::{each, flag, maybe_text, only, scalar, text, whole};
use super::dsl::{LEAVES, leaf, spend};
use crate::base::predicate::Predicate;

mod lex;
mod parse;
mod simple;

#[cfg(test)]
mod tests;

/// Longest query.
pub const TEXT_BYTES: usize = 32 * 1024;

/// What a query means where it does not say.
#[derive(Clone, Debug)]
pub struct Defaults {
    /// Fields of terms that name none.
    pub fields: Vec<String>,
    /// Whether clauses are necessary unless said otherwise.
    pub all: bool,
    /// How many of those that are not necessary must hold.
    pub least: Option<String>,
    /// How dates are read.
    pub dates: Dates,
    /// How many tests there may be.
    pub left: usize,
}

impl Defaults {
    /// Of all fields, any clause.
    pub fn new(now_ns: i64) -> Self {
        Self { fields: vec!["*".to_owned()], all: false, least: None, dates: Dates::new(now_ns), left: LEAVES }
    }

    /// Asks the default fields; each test counts as so many.
    fn any_field(
        &mut self,
        cost: usize,
        test: impl Fn(&str, &mut Dates) -> Result<Predicate, String>,
    ) -> Result<Predicate, String> {
        spend(&mut self.left, cost.saturating_mul(self.fields.len()))?;
        let dates = &mut self.dates;
        let any = self.fields.iter().map(|field| test(field, dates)).collect::<Result<_, _>>()?;
        Ok(Predicate::or(any))
    }

    /// Joins clauses: those that must hold, those that may, those that must not.
    fn join(&mut self, must: Vec<Predicate>, may: Vec<Predicate>, not: Vec<Predicate>) -> Result<Predicate, String> {
        let mut all = must;
        if !may.is_empty() {
            let needed = match &self.least {
                Some(least) => leaf::needed(least, may.len())?.max(usize::from(all.is_empty())),
                None => usize::from(all.is_empty()),
            };
            if needed > 0 {
                all.push(leaf::at_least(needed, may, &mut self.left)?);
            }
        }
        all.extend(not.into_iter().map(Predicate::negate));
        Ok(Predicate::and(all))
    }
}

/// Reads a query in Lucene's grammar.
///
/// # Errors
/// What is not understood, and where.
pub fn query(written: &str, defaults: &mut Defaults) -> Result<Predicate, String> {
    if written.len() > TEXT_BYTES {
        return Err(format!("a query has at most {TEXT_BYTES} bytes"));
    }
    parse::Parser::new(written, defaults).whole()
}

/// `query_string` or `simple_query_string` of the DSL.
///
/// # Errors
/// What is not understood, by name.
pub fn clause(kind: &str, body: &Map<String, Value>, now_ns: i64, left: &mut usize) -> Result<Predicate, String> {
    let known = [
        "query",
        "default_field",
        "fields",
        "default_operator",
        "minimum_should_match",
        "time_zone",
        "type",
        "flags",
        "phrase_slop",
        // What changes nothing here.
        "analyze_wildcard",
        "allow_leading_wildcard",
        "lenient",
        "boost",
        "enable_position_increments",
        "auto_generate_synonyms_phrase_query",
        "max_determinized_states",
        "fuzzy_max_expansions",
        "fuzzy_prefix_length",
        "fuzzy_transpositions",
        "rewrite",
        "tie_breaker",
        "escape",
        "_name",
    ];
    only(body, kind, &known)?;
    let written = text(body.get("query"), "query")?;
    if flag(body, "escape")? == Some(true) || whole(body, "phrase_slop")?.is_some_and(|slop| slop != 0) {
        return Err(format!("`escape` and `phrase_slop` of `{kind}` are not supported"));
    }
    if let Some(other) =
        maybe_text(body, "type")?.filter(|kind| !matches!(*kind, "best_fields" | "most_fields" | "cross_fields"))
    {
        return Err(format!("the type `{other}` of `{kind}` is not supported"));
    }
    if body.get("flags").is_some_and(|flags| !matches!(flags.to_string().as_str(), "\"ALL\"" | "\"all\"" | "-1" | "null")) {
        return Err(format!("`flags` of `{kind}` is supported as ALL alone"));
    }
    let mut defaults = Defaults { left: *left, ..Defaults::new(now_ns) };
    defaults.dates = defaults.dates.in_zone(maybe_text(body, "time_zone")?)?;
    if let Some(field) = maybe_text(body, "default_field")? {
        defaults.fields = vec![field.to_owned()];
    }
    if let Some(fields) = body.get("fields").map(each).filter(|fields| !fields.is_empty()) {
        let name = |one: &Value| text(Some(one), "fields").map(|name| name.split('^').next().unwrap_or_default().to_owned());
        defaults.fields = fields.iter().map(name).collect::<Result<_, _>>()?;
    }
    defaults.all = operator(maybe_text(body, "default_operator")?)?;
    defaults.least = body.get("minimum_should_match").map(|least| scalar(least, "minimum_should_match")).transpose()?;
    let ask = if kind == "query_string" { query } else { simple::query };
    let found = ask(written, &mut defaults);
    *left = defaults.left;
    found.map_err(|why| format!("`{kind}`: {why}"))
}

/// Whether an operator is `AND`.
///
/// # Errors
/// It is none.
pub fn operator(written: Option<&str>) -> Result<bool, String> {
    match written.map(str::to_ascii_lowercase).as_deref() {
        None | Some("or") => Ok(false),
        Some("and") => Ok(true),
        Some(other) => Err(format!("the operator `{other}` is not supported")),
    }
}
