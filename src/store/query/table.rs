//! Pipes over the rows of an answer: those that come after `stats`, or after a `limit`.

use std::cmp::Ordering;
use std::sync::Arc;

use super::out::{OutRow, OutValue};
use super::plan::{Pipe, SortKey};
use super::split::top_stats;
use super::stats::Grouping;
use super::{Limits, Stats};

/// Memory that a row takes, about.
pub fn bytes(row: &OutRow) -> usize {
    let value = |value: &OutValue| match value {
        OutValue::Str(bytes) => bytes.len() + 16,
        OutValue::List(items) => items.iter().map(|item| item.len() + 32).sum(),
        _ => 0,
    };
    row.fields.iter().map(|(_, own)| 48 + value(own)).sum()
}

/// Runs pipes over rows.
pub fn run(mut rows: Vec<OutRow>, pipes: &[Pipe], limits: &Limits, stats: &mut Stats) -> Vec<OutRow> {
    for pipe in pipes {
        match pipe {
            Pipe::Where(predicate) => rows.retain(|row| row.passes(predicate)),
            Pipe::Sort(keys) => sort(&mut rows, keys),
            Pipe::Limit(most) => rows.truncate(*most),
            Pipe::Fields(_) => {}
            Pipe::Stats(aggs, by) => {
                let mut grouping = Grouping::new(aggs, by, limits, 1);
                rows.iter().for_each(|row| grouping.add_row(row, aggs, by));
                rows = grouping.finish(aggs, by, None, stats);
            }
            Pipe::Top(most, field) => {
                let (aggs, by) = top_stats(field);
                let mut grouping = Grouping::new(&aggs, &by, limits, 1);
                rows.iter().for_each(|row| grouping.add_row(row, &aggs, &by));
                rows = grouping.finish(&aggs, &by, None, stats);
                // Keys are ascending already, and the sort is stable.
                sort(&mut rows, &[SortKey { field: "count()".into(), descending: true }]);
                rows.truncate(*most);
            }
        }
    }
    rows
}

/// Sorts rows; equal ones keep their order.
pub fn sort(rows: &mut [OutRow], keys: &[SortKey]) {
    let names: Vec<(String, bool)> = keys.iter().map(|key| (column(rows, &key.field), key.descending)).collect();
    rows.sort_by(|a, b| {
        for (name, descending) in &names {
            let (a, b) = (a.get(name).unwrap_or(&OutValue::Null), b.get(name).unwrap_or(&OutValue::Null));
            let order = a.sort_view().order_in(&b.sort_view(), *descending);
            if order != Ordering::Equal {
                return order;
            }
        }
        Ordering::Equal
    });
}

/// The column that a sort key means: `count` is `count()` where there is no column of that name.
fn column(rows: &[OutRow], name: &str) -> String {
    let has = |name: &str| rows.iter().any(|row| row.get(name).is_some());
    let call = format!("{name}()");
    if !has(name) && has(&call) { call } else { name.to_owned() }
}

/// Chooses and orders columns; one that a row lacks is left out.
pub fn project(rows: Vec<OutRow>, fields: Option<&[String]>) -> Vec<OutRow> {
    let Some(fields) = fields else { return rows };
    let names: Vec<Arc<str>> = fields.iter().map(|name| Arc::from(name.as_str())).collect();
    let choose = |row: OutRow| OutRow {
        fields: names.iter().filter_map(|name| Some((Arc::clone(name), row.get(name)?.clone()))).collect(),
    };
    rows.into_iter().map(choose).collect()
}
