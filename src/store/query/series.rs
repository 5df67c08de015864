//! `timeseries`: `stats` by steps of time, with a row for every step and every combination of the other keys.
//!
//! Steps are counted from 1970, as bins are. Where no width is said it is one that people read easily, some [`STEPS`] of them over
//! the span that is asked, or over the rows where that is open. Gaps are filled from the first step of the asked span (else of the
//! rows) to the last; figures there are what they are of no rows. More than [`ROWS`] rows are not filled up, which is said.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::facets::nice_step;
use super::figures::Figure;
use super::out::{OutRow, OutValue};
use super::plan::{Bin, Key, Series};
use super::scan::Scan;
use super::stats::{Grouping, grouped};
use super::table::moments;
use super::{Cancel, QueryError, Request, Stats};
use crate::base::row;

/// Steps where no width is said.
const STEPS: usize = 60;
/// Most rows.
const ROWS: usize = 100_000;

/// The series of stored rows.
pub fn of_scan(scan: &Scan<'_>, series: &Series, request: &Request, stats: &mut Stats) -> Result<Vec<OutRow>, QueryError> {
    let (least, greatest) = match scan.span() {
        Some((least, greatest)) if series.step.is_none() => (Some(least), Some(greatest)),
        _ => (None, None),
    };
    let (by, step) = keys(series, least, greatest, request);
    let rows = grouped(scan, (&series.aggs, &by), None, request, stats)?;
    Ok(filled(rows, series, step, request, stats))
}

/// The series of an answer's rows; those without a time are left out.
pub fn of_rows(
    rows: &[OutRow],
    series: &Series,
    request: &Request,
    stats: &mut Stats,
    cancel: &Cancel,
) -> Result<Vec<OutRow>, QueryError> {
    let times = || rows.iter().filter_map(time_of);
    let (by, step) = keys(series, times().min(), times().max(), request);
    let mut grouping = Grouping::new(&series.aggs, &by, &request.limits, request.limits.bytes);
    let dated = rows.iter().zip(moments(rows)).filter(|(row, _)| time_of(row).is_some());
    for (at, (row, moment)) in dated.enumerate() {
        cancel.go_on(at)?;
        grouping.add_row(row, moment, &by);
    }
    Ok(filled(grouping.finish(&series.aggs, &by, None, request, stats, cancel)?, series, step, request, stats))
}

fn time_of(row: &OutRow) -> Option<i64> {
    match row.get(row::TIME) {
        Some(OutValue::Time(ns)) => Some(*ns),
        _ => None,
    }
}

fn keys(series: &Series, least: Option<i64>, greatest: Option<i64>, request: &Request) -> (Vec<Key>, i64) {
    let from = request.from_ns.or(least).unwrap_or(0);
    let to = request.to_ns.or(greatest.map(|ns| ns.saturating_add(1))).unwrap_or(from).max(from);
    let step = series.step.unwrap_or_else(|| nice_step(to.saturating_sub(from), STEPS)).max(1);
    let by = std::iter::once(Key::time(step, 0, row::TIME)).chain(series.by.iter().cloned()).collect();
    (by, step)
}

/// Rows come by time, then by their keys, and leave so.
fn filled(rows: Vec<OutRow>, series: &Series, step: i64, request: &Request, stats: &mut Stats) -> Vec<OutRow> {
    let bin = Bin { step, offset: 0 };
    // Rows of an answer may lie outside of what was asked, as bins that began before it do.
    let asked = [request.from_ns, request.to_ns.map(|ns| ns.saturating_sub(1))].map(|ns| ns.map(|ns| bin.floor(ns)));
    let least = rows.first().and_then(time_of).into_iter().chain(asked[0]).min();
    let greatest = rows.last().and_then(time_of).into_iter().chain(asked[1]).max();
    let (Some(first), Some(last)) = (least, greatest) else { return rows };
    let name_of = |row: &OutRow| {
        let mut name = Vec::new();
        for key in &series.by {
            row.get(&key.name).unwrap_or(&OutValue::Null).write_json(&mut name);
            name.push(b',');
        }
        name
    };
    let mut names: FxHashMap<Vec<u8>, usize> = FxHashMap::default();
    let mut lines: Vec<Vec<(Arc<str>, OutValue)>> = Vec::new();
    for row in &rows {
        names.entry(name_of(row)).or_insert_with(|| {
            lines.push(row.fields.iter().skip(1).take(series.by.len()).cloned().collect());
            lines.len() - 1
        });
    }
    if series.by.is_empty() && lines.is_empty() {
        names.insert(Vec::new(), 0);
        lines.push(Vec::new());
    }
    let steps = i128::from(last).saturating_sub(i128::from(first)) / i128::from(step) + 1;
    let count = steps.saturating_mul(i128::try_from(lines.len()).unwrap_or(i128::MAX));
    if steps <= 0 || lines.is_empty() {
        return rows;
    }
    if count > i128::try_from(ROWS).unwrap_or(0) {
        stats.miss("there would be too many steps and series to fill the gaps; widen `span`, or group by less");
        return rows;
    }
    lines_in_order(&mut lines, &mut names);
    let seconds = super::answer::step_seconds(step);
    let none: Vec<(Arc<str>, OutValue)> = series
        .aggs
        .iter()
        .map(|agg| (Arc::from(agg.name.as_str()), Figure::new(agg, 0).value(&agg.function, 0, seconds)))
        .collect();
    let mut out = Vec::with_capacity(usize::try_from(count).unwrap_or(0));
    let mut rows = rows.into_iter().peekable();
    let mut time = first;
    while time <= last {
        let mut here: Vec<Option<OutRow>> = vec![None; lines.len()];
        while let Some(row) = rows.next_if(|row| time_of(row).is_none_or(|ns| ns <= time)) {
            if time_of(&row) == Some(time)
                && let Some(slot) = names.get(&name_of(&row)).and_then(|line| here.get_mut(*line))
            {
                *slot = Some(row);
            }
        }
        for (line, own) in lines.iter().zip(here) {
            out.push(own.unwrap_or_else(|| {
                let time = std::iter::once((Arc::from(row::TIME), OutValue::Time(time)));
                OutRow { fields: time.chain(line.iter().cloned()).chain(none.iter().cloned()).collect() }
            }));
        }
        let next = bin.around(time).1;
        if next <= time {
            break;
        }
        time = next;
    }
    out
}

/// Orders series by their keys: which was met first is no order.
fn lines_in_order(lines: &mut Vec<Vec<(Arc<str>, OutValue)>>, names: &mut FxHashMap<Vec<u8>, usize>) {
    let mut order: Vec<usize> = (0..lines.len()).collect();
    order.sort_by(|&a, &b| {
        let orders = lines[a].iter().zip(&lines[b]).map(|((_, a), (_, b))| a.order(b));
        let json = |line: &[(Arc<str>, OutValue)]| {
            let mut text = Vec::new();
            line.iter().for_each(|(_, value)| value.write_json(&mut text));
            text
        };
        orders.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then).then_with(|| json(&lines[a]).cmp(&json(&lines[b])))
    });
    let mut places = vec![0; lines.len()];
    order.iter().enumerate().for_each(|(place, &line)| places[line] = place);
    names.values_mut().for_each(|line| *line = places[*line]);
    *lines = order.into_iter().map(|line| std::mem::take(&mut lines[line])).collect();
}
