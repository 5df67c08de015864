//! `dedup a, b`: of rows with the same values the first, by time or by the order that stands before it.
//!
//! Each thread numbers the combinations that it meets and keeps the best row's place of each; only rows of the answer are made.
//! What a row lacks is a value like any other, a list is one value. Bounded by [`Limits`]: further combinations are left out, and
//! the answer says so.

use std::ops::ControlFlow;

use super::key_table::{KeyTable, NONE, PairTable};
use super::out::OutRow;
use super::plan::SortKey;
use super::render::Renderer;
use super::rows::Place;
use super::scan::{Scan, Want};
use super::sort::Ranked;
use super::stats::datum_in;
use super::view::{Datum, FieldReader};
use super::{Cancel, Limits, QueryError, Request, Stats};

const LOST: &str = "there are more different values than memory allows; some rows are left out";

/// Numbers combinations of values.
#[derive(Debug)]
struct Combinations {
    keys: Vec<KeyTable>,
    pairs: Vec<PairTable>,
}

impl Combinations {
    fn new(keys: usize, limits: &Limits, threads: usize) -> Self {
        let bytes = limits.bytes / threads.max(1) / keys.max(1);
        Self {
            keys: (0..keys).map(|_| KeyTable::new(limits.groups, bytes)).collect(),
            pairs: (1..keys).map(|_| PairTable::new(limits.groups)).collect(),
        }
    }

    /// The number of a combination; [`NONE`] past the limits.
    fn of<'d>(&mut self, values: impl Iterator<Item = Datum<'d>>) -> u32 {
        let numbers = self.keys.iter_mut().zip(values).map(|(keys, value)| keys.of(value));
        joined(&mut self.pairs, numbers)
    }

    /// The numbers here of all combinations of another.
    fn adopt(&mut self, other: &Self) -> Vec<u32> {
        let small = |number: usize| u32::try_from(number).unwrap_or(NONE);
        let adopted: Vec<Vec<u32>> = self
            .keys
            .iter_mut()
            .zip(&other.keys)
            .map(|(own, theirs)| (0..theirs.len()).map(|number| own.adopt(theirs, small(number))).collect())
            .collect();
        let count = other.pairs.last().map_or_else(|| other.keys.last().map_or(0, KeyTable::len), PairTable::len);
        (0..count)
            .map(|number| {
                let mut group = small(number);
                let mut members = Vec::with_capacity(adopted.len());
                for pairs in other.pairs.iter().rev() {
                    let (before, value) = pairs.pair(group);
                    members.push(value);
                    group = before;
                }
                members.push(group);
                let own = adopted.iter().zip(members.iter().rev());
                let own: Vec<u32> = own.map(|(own, &member)| own.get(member as usize).copied().unwrap_or(NONE)).collect();
                joined(&mut self.pairs, own.into_iter())
            })
            .collect()
    }
}

fn joined(pairs: &mut [PairTable], mut numbers: impl Iterator<Item = u32>) -> u32 {
    let mut group = numbers.next().unwrap_or(NONE);
    for (pairs, number) in pairs.iter_mut().zip(numbers) {
        group = if group == NONE || number == NONE { NONE } else { pairs.of(group, number) };
    }
    group
}

/// A thread's best rows.
#[derive(Debug)]
struct Firsts {
    combinations: Combinations,
    best: Vec<Option<Ranked>>,
    lost: bool,
}

impl Firsts {
    fn new(keys: usize, limits: &Limits, threads: usize) -> Self {
        Self { combinations: Combinations::new(keys, limits, threads), best: Vec::new(), lost: false }
    }

    fn put(&mut self, group: u32, ranked: Ranked) {
        if group == NONE {
            self.lost = true;
            return;
        }
        let group = group as usize;
        if group >= self.best.len() {
            self.best.resize(group + 1, None);
        }
        let own = &mut self.best[group];
        if own.as_ref().is_none_or(|own| ranked < *own) {
            *own = Some(ranked);
        }
    }
}

/// Hands out the first row of each combination, in their order, at most `limit`.
#[allow(clippy::too_many_arguments)]
pub fn first_of_each(
    scan: &Scan<'_>,
    keys: &[String],
    sort: &[SortKey],
    limit: usize,
    request: &Request,
    fields: Option<&[String]>,
    stats: &mut Stats,
    emit: &mut dyn FnMut(OutRow) -> ControlFlow<()>,
) -> Result<(), QueryError> {
    let mut order: Vec<usize> = (0..scan.work.len()).collect();
    // Best first: what is met later is mostly no better.
    order.sort_by_key(|&index| {
        let work = &scan.work[index];
        std::cmp::Reverse(if request.newest_first { work.greatest } else { !work.least })
    });
    let limits = &request.limits;
    let results = scan.each(
        &order,
        || Firsts::new(keys.len(), limits, limits.threads),
        |_| Want::Read,
        |firsts, found| {
            let readers: Vec<FieldReader> = keys.iter().map(|key| found.view.field(key)).collect();
            let sorters: Vec<FieldReader> = sort.iter().map(|key| found.view.field(&key.field)).collect();
            for row in found.rows.iter() {
                let group = firsts.combinations.of(readers.iter().map(|reader| found.view.get(reader, row)));
                firsts.put(group, Ranked::new(scan, found, row, (&sorters, sort), request.newest_first));
            }
        },
    )?;
    let mut results = results.into_iter();
    let Some(mut whole) = results.next() else { return Ok(()) };
    let each = limits.bytes / keys.len().max(1);
    whole.combinations.keys.iter_mut().for_each(|keys| keys.allow(each));
    for other in results {
        scan.cancel.go_on(0)?;
        let groups = whole.combinations.adopt(&other.combinations);
        whole.lost |= other.lost;
        for (group, ranked) in groups.into_iter().zip(other.best) {
            if let Some(ranked) = ranked {
                whole.put(group, ranked);
            }
        }
    }
    if whole.lost {
        stats.miss(LOST);
    }
    let mut ranked: Vec<Ranked> = whole.best.into_iter().flatten().collect();
    ranked.sort_unstable();
    ranked.truncate(limit);
    let places: Vec<Place> = ranked.iter().map(Ranked::place).collect();
    drop(ranked);
    Renderer::new(scan, fields).render(&places, emit).map(|_| ())
}

/// Keeps the first row of each combination of an answer's rows.
pub fn of_rows(
    rows: Vec<OutRow>,
    keys: &[String],
    limits: &Limits,
    stats: &mut Stats,
    cancel: &Cancel,
) -> Result<Vec<OutRow>, QueryError> {
    let mut combinations = Combinations::new(keys.len(), limits, 1);
    let mut kept: Vec<OutRow> = Vec::new();
    let mut lost = false;
    let mut entries = vec![Vec::new(); keys.len()];
    for (at, row) in rows.into_iter().enumerate() {
        cancel.go_on(at)?;
        let values = keys.iter().zip(&mut entries);
        let values = values.map(|(key, entry)| match row.get(key) {
            None => Datum::Missing,
            Some(value) => datum_in(value, entry),
        });
        let group = combinations.of(values);
        lost |= group == NONE;
        // Numbers are given in order of arrival.
        if group != NONE && group as usize == kept.len() {
            kept.push(row);
        }
    }
    if lost {
        stats.miss(LOST);
    }
    Ok(kept)
}
