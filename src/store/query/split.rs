//! Divides a query into what is done while rows are read (the head) and what is done with the answer's rows after (the tail).

use super::plan::{Agg, Function, Key, Pipe, Query, SortKey};
use crate::base::predicate::Predicate;

/// A query, divided.
#[derive(Clone, Debug)]
pub struct Steps {
    /// Which rows are read.
    pub predicate: Predicate,
    /// What is made of them while reading.
    pub head: Head,
    /// What is done with the result.
    pub tail: Vec<Pipe>,
    /// What is shown at the end.
    pub fields: Option<Vec<String>>,
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
}

/// Divides a query. `limit` holds where its pipes set none.
pub fn split(query: &Query, limit: usize) -> Steps {
    let mut kept = vec![query.predicate.clone()];
    let (mut sort, mut rows, mut fields) = (Vec::<SortKey>::new(), None::<usize>, None);
    let mut pipes = query.pipes.iter();
    let mut head = None;
    let mut tail = Vec::new();
    for pipe in pipes.by_ref() {
        match pipe {
            Pipe::Fields(names) => fields = Some(names.clone()),
            Pipe::Limit(most) => rows = Some(rows.map_or(*most, |rows: usize| rows.min(*most))),
            // From here on the pipes are about the first rows only.
            other if rows.is_some() => {
                tail.push(other.clone());
                break;
            }
            Pipe::Where(predicate) => kept.push(predicate.clone()),
            // A later order comes first; the earlier one breaks its ties.
            Pipe::Sort(keys) => sort = keys.iter().cloned().chain(sort).collect(),
            Pipe::Stats(aggs, by) => {
                head = Some(Head::Stats { aggs: aggs.clone(), by: by.clone() });
                break;
            }
            Pipe::Top(most, field) => {
                let (stats, rest) = top(*most, field);
                head = Some(stats);
                tail.extend(rest);
                break;
            }
        }
    }
    for pipe in pipes {
        match pipe {
            Pipe::Fields(names) => fields = Some(names.clone()),
            other => tail.push(other.clone()),
        }
    }
    if !fields_after_stats(query) {
        fields = None;
    }
    // `*` before a `where` says nothing.
    kept.retain(|predicate| *predicate != Predicate::All);
    let head = head.unwrap_or(Head::Rows { sort, limit: rows.unwrap_or(limit) });
    Steps { predicate: Predicate::and(kept), head, tail, fields }
}

/// Whether the query's last `fields` stands after its last `stats` or `top`: before it, it chose columns that are gone.
fn fields_after_stats(query: &Query) -> bool {
    let last = |is: fn(&Pipe) -> bool| query.pipes.iter().rposition(is);
    last(|pipe| matches!(pipe, Pipe::Fields(_))) > last(|pipe| matches!(pipe, Pipe::Stats(..) | Pipe::Top(..)))
}

/// What `top` is made of.
pub fn top(most: usize, field: &str) -> (Head, Vec<Pipe>) {
    let (aggs, by) = top_stats(field);
    let sort = vec![SortKey { field: "count()".into(), descending: true }, SortKey { field: field.into(), descending: false }];
    (Head::Stats { aggs, by }, vec![Pipe::Sort(sort), Pipe::Limit(most)])
}

/// The figures and keys of `top`.
pub fn top_stats(field: &str) -> (Vec<Agg>, Vec<Key>) {
    (vec![Agg::new(Function::Count)], vec![Key::field(field).skip_missing()])
}
