//! Divides a query into what is done while rows are read (the head) and what is done with the answer's rows after (the tail).
//!
//! Predicates, orders and computed columns that stand before the first pipe which makes other rows belong to the head, so that
//! millions of rows stream through them. A predicate is asked of the columns as they were where it stood: mostly these are the
//! same at the end, and it waits; one whose field a later pipe changes becomes a [`Stage`] of its own on the columns before that.

use std::collections::HashSet;
use std::sync::Arc;

use super::plan::{Agg, Function, Key, Pipe, Series, SortKey};
use super::program::Program;
use super::{QueryError, Request};
use crate::base::predicate::Predicate;

/// A query, divided.
#[derive(Clone, Debug)]
pub struct Steps {
    /// Which rows are read, in the order in which it is asked.
    pub stages: Vec<Stage>,
    /// What names mean: for each stage, and last for the head.
    pub programs: Vec<Arc<Program>>,
    /// What is made of them while reading.
    pub head: Head,
    /// What is done with the result.
    pub tail: Vec<Pipe>,
    /// What is shown at the end.
    pub fields: Option<Vec<String>>,
}

/// A predicate, asked of columns.
#[derive(Clone, Debug)]
pub struct Stage {
    /// Which rows.
    pub predicate: Predicate,
    /// Index of the program that says what names mean.
    pub program: usize,
    /// Whether it asks for what is computed: then only of rows that are left.
    pub computed: bool,
}

/// The first step.
#[derive(Clone, Debug)]
pub enum Head {
    /// Rows, by time or by keys.
    Rows {
        /// By what; by time if empty.
        sort: Vec<SortKey>,
        /// How many.
        limit: usize,
    },
    /// One row for each combination of keys.
    Stats {
        /// Figures.
        aggs: Vec<Agg>,
        /// Keys.
        by: Vec<Key>,
    },
    /// The same by time, without gaps.
    Series(Series),
    /// The first row of each combination of values.
    Dedup {
        /// Of these fields.
        fields: Vec<String>,
        /// First by what; by time if empty.
        sort: Vec<SortKey>,
        /// How many.
        limit: usize,
    },
    /// Shapes of texts.
    Patterns {
        /// How many.
        most: usize,
        /// Of which field.
        field: String,
    },
}

/// Whether a pipe gives a row for each that it gets, or fewer in the same order.
fn is_row_by_row(pipe: &Pipe) -> bool {
    matches!(pipe, Pipe::Fields(_)) || Program::changed(pipe).is_some()
}

/// Divides a query.
///
/// # Errors
/// A table that it names is not there.
pub fn split(request: &Request) -> Result<Steps, QueryError> {
    let query = &request.query;
    let mut made = Stages { kept: vec![query.predicate.clone()], ..Stages::default() };
    let (mut sort, mut rows) = (Vec::<SortKey>::new(), None::<usize>);
    let mut head = None;
    let mut tail = Vec::new();
    let mut pipes = query.pipes.iter();
    for pipe in pipes.by_ref() {
        match pipe {
            Pipe::Fields(_) => {}
            Pipe::Limit(most) => rows = Some(rows.map_or(*most, |rows: usize| rows.min(*most))),
            // From here on the pipes are about the first rows only.
            other if rows.is_some() => {
                tail.push(other.clone());
                break;
            }
            Pipe::Where(predicate) => made.kept.push(predicate.clone()),
            // A later order comes first; the earlier one breaks its ties.
            Pipe::Sort(keys) => sort = keys.iter().cloned().chain(sort).collect(),
            Pipe::Eval(_) | Pipe::Extract(..) | Pipe::Rename(_) | Pipe::Lookup(_) => {
                let changed = Program::changed(pipe).unwrap_or_default();
                made.before(&changed);
                for key in sort.iter_mut().filter(|key| changed.contains(&key.field)) {
                    key.field = made.program.alias(&key.field);
                }
                made.program.add(pipe, request.tables.as_deref())?;
            }
            Pipe::Stats(aggs, by) => {
                head = Some(Head::Stats { aggs: aggs.clone(), by: by.clone() });
                break;
            }
            Pipe::Timeseries(series) => {
                head = Some(Head::Series(series.clone()));
                break;
            }
            Pipe::Top(most, fields) | Pipe::Rare(most, fields) => {
                let (aggs, by) = top_stats(fields);
                head = Some(Head::Stats { aggs, by });
                tail.extend(first_by_count(*most, fields, matches!(pipe, Pipe::Top(..))));
                break;
            }
            Pipe::Dedup(fields) => {
                let rest = || query.pipes.iter().skip_while(|other| !std::ptr::eq(*other, pipe)).skip(1);
                // The rows after it are as many as the answer shows, if nothing after it makes fewer of them.
                let next = rest().find(|pipe| !is_row_by_row(pipe));
                let limit = match next {
                    None => request.limit,
                    Some(Pipe::Limit(most)) => *most,
                    Some(_) => usize::MAX,
                };
                head = Some(Head::Dedup { fields: fields.clone(), sort: std::mem::take(&mut sort), limit });
                break;
            }
            Pipe::Patterns(most, field) => {
                head = Some(Head::Patterns { most: *most, field: field.clone() });
                break;
            }
        }
    }
    tail.extend(pipes.filter(|pipe| !matches!(pipe, Pipe::Fields(_))).cloned());
    let head = head.unwrap_or(Head::Rows { sort, limit: rows.unwrap_or(request.limit) });
    let (stages, programs) = made.finish();
    Ok(Steps { stages, programs, head, tail, fields: shown(&query.pipes) })
}

/// Predicates on their way to stages.
#[derive(Default)]
struct Stages {
    /// Those that mean the same until now.
    kept: Vec<Predicate>,
    program: Program,
    done: Vec<Stage>,
    programs: Vec<Arc<Program>>,
}

/// Whether a predicate asks about one of these names.
fn asks(predicate: &Predicate, names: &[String]) -> bool {
    let mut leaves = Vec::new();
    predicate.leaves(&mut leaves);
    leaves.iter().any(|leaf| names.iter().any(|name| leaf.field.is(name)))
}

impl Stages {
    /// These names are about to mean something else.
    fn before(&mut self, changed: &[String]) {
        let (asked, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut self.kept).into_iter().partition(|one| asks(one, changed));
        self.kept = kept;
        if !asked.is_empty() {
            let computed = !self.program.is_empty();
            self.programs.push(Arc::new(self.program.clone()));
            self.done.push(Stage { predicate: together(asked), program: self.programs.len() - 1, computed });
        }
    }

    fn finish(mut self) -> (Vec<Stage>, Vec<Arc<Program>>) {
        let made: Vec<String> = self.program.shown().iter().map(|(name, _)| name.clone()).collect();
        self.programs.push(Arc::new(self.program));
        let program = self.programs.len() - 1;
        let (asked, kept): (Vec<_>, Vec<_>) = self.kept.into_iter().partition(|one| asks(one, &made));
        // What is stored is asked first, wherever it stood.
        let mut stages = vec![Stage { predicate: together(kept), program, computed: false }];
        stages.extend(self.done);
        if !asked.is_empty() {
            stages.push(Stage { predicate: together(asked), program, computed: true });
        }
        (stages, self.programs)
    }
}

fn together(mut all: Vec<Predicate>) -> Predicate {
    // `*` before a `where` says nothing.
    all.retain(|predicate| *predicate != Predicate::All);
    Predicate::and(all)
}

/// What the last `fields` shows, where no pipe after it makes other rows: what is computed after it is shown too.
fn shown(pipes: &[Pipe]) -> Option<Vec<String>> {
    let mut shown: Option<Vec<String>> = None;
    for pipe in pipes {
        match pipe {
            Pipe::Fields(names) => shown = Some(names.clone()),
            Pipe::Stats(..) | Pipe::Top(..) | Pipe::Rare(..) | Pipe::Timeseries(_) | Pipe::Patterns(..) => shown = None,
            Pipe::Rename(columns) => {
                for (from, to) in columns {
                    shown.iter_mut().flatten().filter(|name| *name == from).for_each(|name| name.clone_from(to));
                }
                // One that took the name of another is in its place.
                let mut seen = HashSet::new();
                shown.iter_mut().for_each(|names| names.retain(|name| seen.insert(name.clone())));
            }
            pipe => {
                for name in Program::changed(pipe).unwrap_or_default() {
                    if let Some(names) = shown.as_mut().filter(|names| !names.contains(&name)) {
                        names.push(name);
                    }
                }
            }
        }
    }
    shown
}

/// The figures and keys of `top`.
pub fn top_stats(fields: &[String]) -> (Vec<Agg>, Vec<Key>) {
    (vec![Agg::new(Function::Count)], fields.iter().map(|field| Key::field(field).skip_missing()).collect())
}

/// The order and number of `top`, or `rare`.
pub fn first_by_count(most: usize, fields: &[String], top: bool) -> [Pipe; 2] {
    let count = SortKey::new("count()", top);
    let fields = fields.iter().map(|field| SortKey::new(field, false));
    [Pipe::Sort(std::iter::once(count).chain(fields).collect()), Pipe::Limit(most)]
}
