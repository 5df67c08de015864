//! Pipes over the rows of an answer: those that come after `stats`, after a `limit` or after another pipe that makes other rows.

use std::cmp::Ordering;
use std::sync::Arc;

use super::expr::Val;
use super::figures::Moment;
use super::out::{OutRow, OutValue, virtual_field};
use super::plan::{Agg, Key, Pipe, SortKey};
use super::program::{Binding, Program};
use super::split::{first_by_count, top_stats};
use super::stats::Grouping;
use super::{Cancel, QueryError, Request, Stats};
use crate::base::row;

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
///
/// # Errors
/// A table that a pipe names is not there, or cancelled.
pub fn run(
    mut rows: Vec<OutRow>,
    pipes: &[Pipe],
    request: &Request,
    stats: &mut Stats,
    cancel: &Cancel,
) -> Result<Vec<OutRow>, QueryError> {
    let limits = &request.limits;
    for pipe in pipes {
        cancel.go_on(0)?;
        match pipe {
            Pipe::Where(predicate) => {
                let kept = |(at, row): (usize, OutRow)| match cancel.go_on(at) {
                    Err(error) => Some(Err(error)),
                    Ok(()) => row.passes(predicate).then_some(Ok(row)),
                };
                rows = rows.into_iter().enumerate().filter_map(kept).collect::<Result<_, _>>()?;
            }
            Pipe::Sort(keys) => sort(&mut rows, keys),
            Pipe::Limit(most) => rows.truncate(*most),
            Pipe::Fields(_) => {}
            Pipe::Stats(aggs, by) => rows = grouped(&rows, aggs, by, request, stats, cancel)?,
            Pipe::Top(most, fields) | Pipe::Rare(most, fields) => {
                let (aggs, by) = top_stats(fields);
                rows = grouped(&rows, &aggs, &by, request, stats, cancel)?;
                for pipe in first_by_count(*most, fields, matches!(pipe, Pipe::Top(..))) {
                    match pipe {
                        Pipe::Sort(keys) => sort(&mut rows, &keys),
                        _ => rows.truncate(*most),
                    }
                }
            }
            Pipe::Timeseries(series) => rows = super::series::of_rows(&rows, series, request, stats, cancel)?,
            Pipe::Dedup(fields) => rows = super::dedup::of_rows(rows, fields, limits, stats, cancel)?,
            Pipe::Patterns(most, field) => rows = super::patterns::of_rows(&rows, field, *most, limits, cancel)?,
            Pipe::Eval(_) | Pipe::Extract(..) | Pipe::Rename(_) | Pipe::Lookup(_) => {
                let before: usize = rows.iter().map(bytes).sum();
                let mut program = Program::default();
                program.add(pipe, request.tables.as_deref())?;
                if let Pipe::Rename(columns) = pipe {
                    rename(&mut rows, columns);
                }
                // What was there may grow once by what the budget is.
                let mut left = before.saturating_add(limits.bytes.saturating_mul(2));
                let mut kept = 0;
                for row in &mut rows {
                    cancel.go_on(kept)?;
                    compute(row, &program);
                    let Some(rest) = left.checked_sub(bytes(row)) else { break };
                    left = rest;
                    kept += 1;
                }
                if kept < rows.len() {
                    stats.miss("the rows between two pipes did not fit into memory; some are left out");
                    rows.truncate(kept);
                }
            }
        }
    }
    Ok(rows)
}

fn grouped(
    rows: &[OutRow],
    aggs: &[Agg],
    by: &[Key],
    request: &Request,
    stats: &mut Stats,
    cancel: &Cancel,
) -> Result<Vec<OutRow>, QueryError> {
    let mut grouping = Grouping::new(aggs, by, &request.limits, request.limits.bytes);
    for (at, (row, moment)) in rows.iter().zip(moments(rows)).enumerate() {
        cancel.go_on(at)?;
        grouping.add_row(row, moment, by);
    }
    grouping.finish(aggs, by, None, request, stats, cancel)
}

/// When and where rows come from; those that do not say are in their own order.
pub fn moments(rows: &[OutRow]) -> Vec<Moment> {
    let topic = |row: &OutRow| match row.get(virtual_field::TOPIC) {
        Some(OutValue::Str(name)) => name.clone(),
        _ => Box::default(),
    };
    let mut topics: Vec<Box<[u8]>> = rows.iter().map(topic).collect();
    topics.sort_unstable();
    topics.dedup();
    let moment = |(at, row): (usize, &OutRow)| {
        let int = |name: &str| match row.get(name) {
            Some(OutValue::Int(int)) => u64::try_from(*int).ok(),
            _ => None,
        };
        let time = match row.get(row::TIME) {
            Some(OutValue::Time(ns)) => *ns,
            _ => 0,
        };
        Moment {
            time,
            topic: topics.binary_search(&topic(row)).map_or(0, |at| u32::try_from(at).unwrap_or(u32::MAX)),
            partition: int(virtual_field::PARTITION).and_then(|own| u32::try_from(own).ok()).unwrap_or(0),
            offset: int(virtual_field::OFFSET).unwrap_or(at as u64),
            n: int(virtual_field::N).and_then(|own| u16::try_from(own).ok()).unwrap_or(0),
        }
    };
    rows.iter().enumerate().map(moment).collect()
}

fn rename(rows: &mut [OutRow], columns: &[(String, String)]) {
    for (from, to) in columns.iter().filter(|(from, to)| from != to) {
        let name: Arc<str> = Arc::from(to.as_str());
        for row in rows.iter_mut() {
            row.fields.retain(|(own, _)| **own != *name);
            row.fields.iter_mut().filter(|(own, _)| **own == **from).for_each(|(own, _)| *own = Arc::clone(&name));
        }
    }
}

/// Runs a program's steps on one row.
fn compute(row: &mut OutRow, program: &Program) {
    if program.steps.is_empty() {
        return;
    }
    let mut made: Vec<Val<'static>> = vec![Val::Null; program.outputs()];
    for step in &program.steps {
        let owned: Vec<Val<'static>> = {
            let input = |(input, binding): (usize, &Binding)| match binding {
                Binding::Base(name) if step.maker.passes(input) => row.get(name).map_or(Val::Null, Val::whole_of),
                Binding::Base(name) => row.get(name).map_or(Val::Null, Val::from),
                // As it lies in a column for those that come after.
                Binding::Made(output) => made.get(*output).cloned().unwrap_or(Val::Null),
                Binding::Nothing => Val::Null,
            };
            let inputs: Vec<Val<'_>> = step.inputs.iter().enumerate().map(input).collect();
            let mut out = Vec::new();
            step.maker.run(&inputs, &mut out);
            out.into_iter().map(|value| value.settled().into_owned()).collect()
        };
        for (slot, value) in made[step.outputs.clone()].iter_mut().zip(owned) {
            *slot = value;
        }
    }
    for (name, binding) in program.shown() {
        let Binding::Made(output) = binding else { continue };
        let value = made.get(*output).cloned().and_then(Val::to_out);
        let at = row.fields.iter().position(|(own, _)| **own == **name);
        match (at, value) {
            (Some(at), Some(value)) => row.fields[at].1 = value,
            (Some(at), None) => {
                row.fields.remove(at);
            }
            (None, Some(value)) => row.fields.push((Arc::from(name.as_str()), value)),
            (None, None) => {}
        }
    }
}

/// Sorts rows; equal ones keep their order.
pub fn sort(rows: &mut [OutRow], keys: &[SortKey]) {
    let names: Vec<(String, &SortKey)> = keys.iter().map(|key| (column(rows, &key.field), key)).collect();
    rows.sort_by(|a, b| {
        for (name, key) in &names {
            let (a, b) = (a.get(name).unwrap_or(&OutValue::Null), b.get(name).unwrap_or(&OutValue::Null));
            let order = key.of_value(a).order_in(&key.of_value(b), key.descending);
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
