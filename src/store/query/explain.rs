//! How a query was answered: the plan in words, why row groups were not read, and where the time went.
//!
//! The counts are those of [`Stats`], kept while the query runs; to explain is to run it and to say more, not to guess.

use std::sync::Arc;
use std::time::Duration;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::layers::Layers;
use super::plan::{Pipe, SortKey};
use super::program::{Binding, Maker, Program};
use super::scan::Scan;
use super::split::{Head, Steps, split};
use super::{Cancel, QueryError, Request, Stats, search_within};
use crate::store::source::Source;

/// Why a row group was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It lies before or after.
    Time,
    /// It is of another topic.
    Topic,
    /// None of its rows has the field, or the field another value for the whole source.
    Absent,
    /// Its numbers are smaller or larger.
    Bounds,
    /// No entry of a dictionary matches.
    Dictionary,
    /// What knows words says so.
    Index,
    /// All of its rows were counted without reading them.
    Counted,
    /// The answer was full before.
    Enough,
}

impl Why {
    /// All of them.
    pub const ALL: [Self; 8] =
        [Self::Time, Self::Topic, Self::Absent, Self::Bounds, Self::Dictionary, Self::Index, Self::Counted, Self::Enough];

    /// Its place among all.
    pub fn index(self) -> usize {
        Self::ALL.iter().position(|own| *own == self).unwrap_or(0)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Topic => "topic",
            Self::Absent => "no_such_field",
            Self::Bounds => "bounds",
            Self::Dictionary => "dictionary",
            Self::Index => "index",
            Self::Counted => "counted_unread",
            Self::Enough => "enough",
        }
    }
}

/// Row groups that were not read, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut([u64; Why::ALL.len()]);

impl LeftOut {
    /// Adds some.
    pub fn add(&mut self, why: Why, groups: u64) {
        self.0[why.index()] += groups;
    }

    /// How many.
    pub fn of(&self, why: Why) -> u64 {
        self.0[why.index()]
    }
}

impl Serialize for LeftOut {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let some = || Why::ALL.iter().filter(|why| self.of(**why) > 0);
        let mut map = serializer.serialize_map(Some(some().count()))?;
        for why in some() {
            map.serialize_entry(why.name(), &self.of(*why))?;
        }
        map.end()
    }
}

/// Where the time went; of reading, the sum over threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Spent {
    /// Deciding which rows are kept.
    #[serde(rename = "select_ms", serialize_with = "super::milliseconds")]
    pub select: Duration,
    /// Making keys, figures or columns of them.
    #[serde(rename = "gather_ms", serialize_with = "super::milliseconds")]
    pub gather: Duration,
    /// The head from beginning to end, rows included.
    #[serde(rename = "read_ms", serialize_with = "super::milliseconds")]
    pub read: Duration,
    /// The pipes after it.
    #[serde(rename = "after_ms", serialize_with = "super::milliseconds")]
    pub after: Duration,
}

/// A query's plan, and what came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// The query as it was understood.
    pub query: String,
    /// What is done, in order.
    pub plan: Vec<String>,
    /// Memtables and parts that the span of time and the topics leave.
    pub sources: usize,
    /// Their row groups that the span of time leaves.
    pub groups: usize,
    /// Rows of the answer.
    pub rows: u64,
    /// What was read.
    pub stats: Stats,
}

/// Runs a query and says how.
///
/// # Errors
/// As [`super::run`].
pub fn explain_of(sources: &[Arc<dyn Source>], request: &Request, cancel: &Cancel) -> Result<Explanation, QueryError> {
    let steps = split(request)?;
    let (plan, groups) = {
        let layers = Layers::new(sources, &steps, request);
        let scan = Scan::new(&layers, request, cancel);
        (words(&steps, &scan.order(), request), scan.work.len())
    };
    let mut rows = 0;
    let stats = search_within(sources, request, &steps, cancel, &mut |_| {
        rows += 1;
        std::ops::ControlFlow::Continue(())
    })?;
    Ok(Explanation { query: request.query.to_string(), plan, sources: sources.len(), groups, rows, stats })
}

fn words(steps: &Steps, order: &[String], request: &Request) -> Vec<String> {
    let mut plan = Vec::new();
    for (at, part) in order.iter().enumerate() {
        plan.push(if at == 0 { format!("keep rows where {part}") } else { format!("of these, where {part}") });
    }
    if order.is_empty() {
        plan.push("keep every row".into());
    }
    if let Some(program) = steps.programs.last() {
        plan.extend(computed(program));
    }
    plan.push(match &steps.head {
        Head::Rows { sort, limit } if sort.is_empty() => {
            let end = if request.newest_first { "newest" } else { "oldest" };
            format!("take the {end} {limit} rows, reading the {end} groups first")
        }
        Head::Rows { sort, limit } => format!("take the first {limit} rows by {}", keys(sort)),
        Head::Stats { aggs, by } => format!("while reading: {}", Pipe::Stats(aggs.clone(), by.clone())),
        Head::Series(series) => format!("while reading: {}", Pipe::Timeseries(series.clone())),
        Head::Dedup { fields, sort, limit } => {
            let order = if sort.is_empty() { "time".to_owned() } else { keys(sort) };
            let most = if *limit == usize::MAX { String::new() } else { format!(", at most {limit}") };
            format!("while reading: {}, first by {order}{most}", Pipe::Dedup(fields.clone()))
        }
        Head::Patterns { most, field } => format!("while reading: {}", Pipe::Patterns(*most, field.clone())),
    });
    plan.extend(steps.tail.iter().map(|pipe| format!("then, on those rows: {pipe}")));
    if let Some(fields) = &steps.fields {
        plan.push(format!("show {}", fields.join(", ")));
    }
    plan
}

fn computed(program: &Program) -> impl Iterator<Item = String> {
    program.steps.iter().enumerate().map(|(at, step)| {
        let what = match &step.maker {
            Maker::Expr(_) => "an expression".to_owned(),
            Maker::Extract(extractor) => format!("extract {:?}", extractor.text()),
            Maker::Lookup(..) => "a lookup".to_owned(),
        };
        let of: Vec<&str> = step
            .inputs
            .iter()
            .filter_map(|input| match input {
                Binding::Base(name) => Some(name.as_str()),
                Binding::Made(_) | Binding::Nothing => None,
            })
            .collect();
        let of = if of.is_empty() { String::new() } else { format!(" of {}", of.join(", ")) };
        let how = if step.inputs.len() == 1 { "; once an entry where that is a dictionary" } else { "" };
        format!("compute ({}) {what}{of}, for the rows that are left{how}", at + 1)
    })
}

fn keys(sort: &[SortKey]) -> String {
    Pipe::Sort(sort.to_vec()).to_string().trim_start_matches("sort ").replace(super::program::HIDDEN, "")
}
