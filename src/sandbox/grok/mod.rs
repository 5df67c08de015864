//! Grok: names for patterns, patterns for fields.
//!
//! **Purpose.** `%{IPORHOST:clientip} %{NUMBER:bytes:int}` becomes a compiled matcher that cuts a line into fields. Filters
//! reach it through the host imports; it knows nothing of guests.
//! In: an expression, the names that configuration added, a flavour (legacy or ECS field names). Out: [`Grok`], which gives
//! spans of the text it is shown, never copies.
//!
//! **Meaning**, which is Logstash's: the expression is not anchored; `.` matches a line feed and `^`, `$` match at lines (Ruby's
//! MULTILINE); only named groups capture; a capture of nothing is no capture; two captures of one name are a list, in the
//! order in which they stand in the expression; `:int` and `:float` read as far as the digits go; `[a][b]` is the field `a.b`.
//! `\w`, `\d` and `\s` are ASCII, as in Ruby, and text is bytes: invalid UTF-8 neither fails nor is lost. What takes any character
//! takes all its bytes, where it stands once or is counted; [`syntax`] tells where not. Unlike in Ruby `\b` and `[[:alpha:]]` are
//! ASCII's, too, and `(?i)` knows no letters beyond it, unless the expression itself has a class beyond ASCII: then all are Unicode's.
//!
//! **Engines.** Most expressions are lowered to plain steps ([`lower`]), which cut a line at hand-written speed and mean what the
//! linear-time engine (`regex::bytes`) means; that engine takes what cannot be lowered, and texts on which the steps give up. An expression with look-around, a back reference or an
//! atomic group that matters runs on the backtracking engine, but only on texts that its *superset* matches in linear time:
//! the same expression with assertions left out and atomic groups made plain, which matches wherever the exact one does.
//! Backtracking is bounded by [`BACKTRACK_STEPS`]; a text that exhausts them is an error that the filter can tag, never a
//! silent "no match".
//!
//! **What a search costs** is paid before it is done, out of [`Scratch::fuel`]: a hostile expression takes an engine some
//! thousand times as long for a byte as a plain one does. The automaton costs by its size ([`weigh`]), and only where the steps gave
//! up; backtracking costs by its steps, [`FIRST_STEPS`] to begin with and the rest where these are not enough. The lowered form's
//! own budget is linear in the text. So the price is worked out of the expression and the text alone, and the same at every run.
//!
//! **Limits.** An expanded expression has at most [`EXPANDED_BYTES`] and [`FIELDS`] captures, names nest at most [`DEPTH`]
//! deep (so a name defined by itself is an error, not a loop), and a compiled program is bounded by [`PROGRAM_BYTES`].
//!
//! **Why not** the `grok` or `onig` crates: a C library in the path of hostile bytes, unbounded backtracking, and a
//! fifteenth of the speed. Why not only `fancy-regex`: most expressions need none of it, and linear time is a promise.

mod expand;
mod lower;
pub mod patterns;
mod syntax;
#[cfg(test)]
mod tests;
mod weigh;

use std::collections::BTreeMap;
use std::fmt;

use crate::base::row::Value;

use lower::{Lowered, Outcome};
pub use patterns::Flavour;
use syntax::Units;

/// Longest expression after all names are replaced.
pub const EXPANDED_BYTES: usize = 256 * 1024;
/// Most captures of one expression.
pub const FIELDS: usize = 512;
/// How deep names may stand for names.
pub const DEPTH: usize = 32;
/// Memory that one compiled program may take.
pub const PROGRAM_BYTES: usize = 8 << 20;
/// Steps that the backtracking engine may take back on one text: a millisecond.
pub const BACKTRACK_STEPS: usize = 50_000;
/// Steps that it is given to begin with: most texts need far fewer.
pub const FIRST_STEPS: usize = 4_000;
/// Fuel for a step back, and for how many bytes of the text one more: a step may look at much of it.
const STEP_FUEL: u64 = 12;
const STEP_BYTES: u64 = 256;
/// States of an automaton that a byte of text passes for a unit of fuel, where it keeps all ways in mind.
const STATES: u64 = 4;
/// The same where it only has to say whether there is a match.
const STATES_OF_SUPERSET: u64 = 16;

/// Patterns that configuration adds, or puts in place of a standard one.
pub type Custom = BTreeMap<String, String>;

/// Why an expression is refused, or a text was given up. The sentence is for the person who wrote the expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrokError {
    /// The expression cannot be compiled: configuration is refused.
    #[error("{0}")]
    Expression(String),
    /// This text took more steps than allowed: the record is tagged.
    #[error("the pattern went back more than {BACKTRACK_STEPS} steps on this text")]
    Exhausted,
    /// There is not enough fuel for the search.
    #[error("there is not enough fuel left for the search")]
    Unpaid,
}

/// What a captured text becomes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// The text itself.
    #[default]
    Text,
    /// `:int`.
    Int,
    /// `:float`.
    Float,
}

/// One field that an expression may capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Dotted name.
    pub name: String,
    /// What it becomes.
    pub kind: Kind,
}

/// One capture: which field, and where in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Index into [`Grok::fields`].
    pub field: usize,
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

/// A compiled expression. Cheap to share between threads.
pub struct Grok {
    engine: Engine,
    /// One a named group, in the order of the groups; a name may occur twice.
    fields: Vec<Field>,
}

enum Engine {
    /// The lowered form answers; the automaton where there is none, or where it gave up.
    Linear { regex: regex::bytes::Regex, states: u64, lowered: Option<Box<Lowered>> },
    Bounded {
        /// With its states.
        superset: Option<(regex::bytes::Regex, u64)>,
        /// The same but for the steps that it may take back.
        first: Box<fancy_regex::Regex>,
        exact: Box<fancy_regex::Regex>,
    },
}

/// What a search needs; keep one per expression and thread.
#[derive(Debug)]
pub struct Scratch {
    /// Fuel that searches may still use for what is dear about them; see the module.
    pub fuel: u64,
    locations: Option<regex::bytes::CaptureLocations>,
    lowered: Option<lower::Memory>,
}

impl Scratch {
    /// Forgets how searches went so far: what comes is searched, and paid for, as if it were the first.
    pub fn begin(&mut self) {
        if let Some(lowered) = &mut self.lowered {
            lowered.begin();
        }
    }

    fn pay(&mut self, price: u64) -> Result<(), GrokError> {
        self.fuel = self.fuel.checked_sub(price).ok_or(GrokError::Unpaid)?;
        Ok(())
    }
}

/// Compiles an expression with Logstash's legacy names and those of `custom`.
///
/// # Errors
/// [`GrokError::Expression`], with the name or the place that is wrong.
pub fn compile(expression: &str, custom: &Custom) -> Result<Grok, GrokError> {
    compile_as(expression, custom, Flavour::Legacy)
}

/// Compiles an expression with the standard names of a flavour and those of `custom`.
///
/// # Errors
/// [`GrokError::Expression`], with the name or the place that is wrong.
pub fn compile_as(expression: &str, custom: &Custom, flavour: Flavour) -> Result<Grok, GrokError> {
    let expanded = expand::expand(expression, custom, flavour).map_err(GrokError::Expression)?;
    let mut parts = syntax::translate(&expanded, Units::Bytes).map_err(GrokError::Expression)?;
    if parts.fields.len() > FIELDS {
        return Err(GrokError::Expression(format!("the expression captures more than {FIELDS} fields")));
    }
    let mut linear = automaton(&parts.superset, false).map(|regex| (regex, true));
    if linear.is_err() {
        parts = syntax::translate(&expanded, Units::Characters).map_err(GrokError::Expression)?;
        linear = automaton(&parts.superset, true).map(|regex| (regex, false));
    }
    let engine = match linear {
        Ok((regex, is_ascii)) if !parts.needs_exact => {
            let lowered = if is_ascii { Lowered::new(&parts.superset).map(Box::new) } else { None };
            Engine::Linear { regex, states: weigh::states(&parts.superset, !is_ascii), lowered }
        }
        superset => {
            let characters = || syntax::translate(&expanded, Units::Characters).map(|parts| parts.exact).unwrap_or_default();
            let build = |steps| {
                let exact = bounded(&parts.exact, fancy_regex::BytesMode::Ascii, steps);
                let exact = exact.or_else(|_| bounded(&characters(), fancy_regex::BytesMode::UnicodeBytes, steps));
                exact.map(Box::new).map_err(|error| match &superset {
                    Err(regex::Error::Syntax(said)) => refused(said),
                    _ => refused(&error.to_string()),
                })
            };
            let (first, exact) = (build(FIRST_STEPS)?, build(BACKTRACK_STEPS)?);
            let weighed = |(regex, is_ascii): (_, bool)| (regex, weigh::states(&parts.superset, !is_ascii));
            Engine::Bounded { superset: superset.ok().map(weighed), first, exact }
        }
    };
    Ok(Grok { engine, fields: parts.fields })
}

/// A regular expression in Ruby's dialect as the `regex` crate reads it, where that can mean the same.
///
/// # Errors
/// [`GrokError::Expression`]: what is wrong, or beyond a linear-time engine.
pub fn linear_form(expression: &str) -> Result<String, GrokError> {
    let parts = syntax::translate(expression, Units::Characters).map_err(GrokError::Expression)?;
    if parts.needs_exact {
        let why = "look-around, a back reference or an atomic group";
        return Err(GrokError::Expression(format!("a regular expression with {why}")));
    }
    Ok(parts.superset)
}

/// The automaton. ASCII classes are what Ruby means and what is fast; an expression that names a class beyond gets Unicode's.
fn automaton(pattern: &str, unicode: bool) -> Result<regex::bytes::Regex, regex::Error> {
    regex::bytes::RegexBuilder::new(pattern)
        .unicode(unicode)
        .multi_line(true)
        .dot_matches_new_line(true)
        .size_limit(PROGRAM_BYTES)
        .build()
}

fn bounded(pattern: &str, mode: fancy_regex::BytesMode, steps: usize) -> Result<fancy_regex::Regex, fancy_regex::Error> {
    fancy_regex::RegexBuilder::new(pattern)
        .bytes_mode(mode)
        .multi_line(true)
        .dot_matches_new_line(true)
        .backtrack_limit(steps)
        .delegate_size_limit(PROGRAM_BYTES)
        .max_prog_size(PROGRAM_BYTES / 64)
        .build()
}

/// Of what an engine says, its last line: those before show the expression as it was translated.
fn refused(said: &str) -> GrokError {
    let why = said.lines().next_back().unwrap_or(said);
    GrokError::Expression(format!("the expression cannot be compiled: {}", why.strip_prefix("error: ").unwrap_or(why)))
}

impl Grok {
    /// The fields that it may capture, one a named group.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// Whether it runs in linear time on every text.
    pub fn is_linear(&self) -> bool {
        matches!(self.engine, Engine::Linear { .. })
    }

    /// What runs it, in a word or two for people.
    pub fn engine(&self) -> &'static str {
        match &self.engine {
            Engine::Linear { lowered: Some(_), .. } => "lowered",
            Engine::Linear { lowered: None, .. } => "linear",
            Engine::Bounded { .. } => "backtracking, bounded",
        }
    }

    /// Memory for searches with this expression.
    pub fn scratch(&self) -> Scratch {
        let lowered = match &self.engine {
            Engine::Linear { lowered, .. } => lowered.as_ref().map(|lowered| lowered.memory()),
            Engine::Bounded { .. } => None,
        };
        Scratch { fuel: u64::MAX, locations: None, lowered }
    }

    /// Searches `text`. On a match appends what was captured to `found`, in the order of the expression, and says true.
    ///
    /// # Errors
    /// [`GrokError::Exhausted`] when the bounded engine gave up, [`GrokError::Unpaid`] when the fuel does not do; nothing is appended
    /// then.
    pub fn search(&self, text: &[u8], scratch: &mut Scratch, found: &mut Vec<Found>) -> Result<bool, GrokError> {
        let bytes = text.len() as u64;
        match &self.engine {
            Engine::Linear { regex, states, lowered } => {
                if let (Some(lowered), Some(memory)) = (lowered, &mut scratch.lowered) {
                    match lowered.search(text, memory) {
                        Outcome::NotFound => return Ok(false),
                        Outcome::Found => {
                            self.collect(found, |group| memory.get(group));
                            return Ok(true);
                        }
                        Outcome::GaveUp => {}
                    }
                }
                scratch.pay((states / STATES).saturating_mul(bytes))?;
                let locations = scratch.locations.get_or_insert_with(|| regex.capture_locations());
                if regex.captures_read(locations, text).is_none() {
                    return Ok(false);
                }
                self.collect(found, |group| locations.get(group));
            }
            Engine::Bounded { superset, first, exact } => {
                if let Some((superset, states)) = superset {
                    scratch.pay((states / STATES_OF_SUPERSET).saturating_mul(bytes))?;
                    if !superset.is_match(text) {
                        return Ok(false);
                    }
                }
                let price = |steps: usize| (STEP_FUEL + bytes / STEP_BYTES).saturating_mul(steps as u64);
                scratch.pay(price(FIRST_STEPS))?;
                let captures = match first.captures(text) {
                    Ok(captures) => captures,
                    Err(_) => {
                        scratch.pay(price(BACKTRACK_STEPS))?;
                        exact.captures(text).map_err(|_| GrokError::Exhausted)?
                    }
                };
                let Some(captures) = captures else { return Ok(false) };
                self.collect(found, |group| captures.get(group).map(|capture| (capture.start(), capture.end())));
            }
        }
        Ok(true)
    }

    fn collect(&self, found: &mut Vec<Found>, get: impl Fn(usize) -> Option<(usize, usize)>) {
        for field in 0..self.fields.len() {
            // Group 0 is the whole match; every later group is named, so group and field differ by one.
            if let Some((start, end)) = get(field + 1).filter(|(start, end)| start < end) {
                found.push(Found { field, start, end });
            }
        }
    }
}

impl fmt::Debug for Grok {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grok").field("linear", &self.is_linear()).field("fields", &self.fields).finish()
    }
}

impl Kind {
    /// What a captured text becomes: a number as far as its digits go, as Ruby's `to_i` and `to_f` read it. A text without
    /// any digits, or a whole number that does not fit, stays a text: no capture is lost for its type.
    pub fn value(self, text: &[u8]) -> Value<'_> {
        match self {
            Kind::Text => Value::Str(text),
            Kind::Int => whole(text).map_or(Value::Str(text), Value::Int),
            Kind::Float => decimal(text).map_or(Value::Str(text), Value::Float),
        }
    }
}

fn digits_from(text: &[u8], from: usize) -> usize {
    text.get(from..).map_or(0, |rest| rest.iter().take_while(|byte| byte.is_ascii_digit()).count())
}

fn sign(text: &[u8]) -> usize {
    usize::from(matches!(text.first(), Some(b'+' | b'-')))
}

fn whole(text: &[u8]) -> Option<i64> {
    let sign = sign(text);
    let digits = digits_from(text, sign);
    std::str::from_utf8(text.get(..sign + digits)?).ok()?.parse().ok()
}

fn decimal(text: &[u8]) -> Option<f64> {
    let mut end = sign(text);
    end += digits_from(text, end);
    if text.get(end) == Some(&b'.') {
        let fraction = digits_from(text, end + 1);
        end += if fraction > 0 { fraction + 1 } else { 0 };
    }
    if matches!(text.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(text.get(end + 1), Some(b'+' | b'-')));
        let exponent = digits_from(text, end + 1 + sign);
        end += if exponent > 0 { 1 + sign + exponent } else { 0 };
    }
    std::str::from_utf8(text.get(..end)?).ok()?.parse::<f64>().ok().filter(|number| number.is_finite())
}
