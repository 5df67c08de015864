//! The rows that `stats` answers with: in the order of their keys, and no more than the pipes after it will keep.
//!
//! Where `sort` and `limit` follow, the first few groups are chosen by their figures before any row is made: of a million
//! groups of which ten are wanted, ten become rows.

use std::cmp::Ordering;
use std::sync::Arc;

use super::figures::Figure;
use super::key_table::NONE;
use super::out::{OutRow, OutValue, SortView};
use super::plan::{Agg, Key, SortKey};
use super::stats::Grouping;
use super::{Cancel, QueryError, Request, Stats};
use crate::base::row;

/// A column of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Key(usize),
    Figure(usize),
}

/// A span in seconds; rows of one instant are those of a second.
#[allow(clippy::cast_precision_loss)]
pub fn step_seconds(ns: i64) -> f64 {
    if ns > 0 { ns as f64 / 1e9 } else { 1.0 }
}

impl Grouping {
    /// One row for each group, in the order of its keys; where only the first few in another order are wanted, at least those.
    pub fn finish(
        self,
        aggs: &[Agg],
        by: &[Key],
        first: Option<(&[SortKey], usize)>,
        request: &Request,
        stats: &mut Stats,
        cancel: &Cancel,
    ) -> Result<Vec<OutRow>, QueryError> {
        if self.figures.iter().any(Figure::is_cut) {
            stats.miss("there is no memory for all values of `first`, `last` or `values`; some are left out");
        }
        if self.lost {
            stats.miss("there are more groups or values than memory allows; some rows are not counted");
        }
        stats.approximate |= self.figures.iter().any(Figure::is_estimate);
        let seconds = self.seconds(by, request);
        let key_names: Vec<Arc<str>> = by.iter().map(|key| Arc::from(key.name.as_str())).collect();
        let names: Vec<Arc<str>> = aggs.iter().map(|agg| Arc::from(agg.name.as_str())).collect();
        let row = |group: u32| {
            let values = self.values_of(group);
            let keys = key_names.iter().zip(&self.keys).zip(&values);
            let keys = keys.map(|((name, keys), value)| (Arc::clone(name), keys.value(*value)));
            let figures = names.iter().enumerate().map(|(at, name)| (Arc::clone(name), self.value(at, group, seconds)));
            OutRow { fields: keys.chain(figures).collect() }
        };
        let groups = self.ordered(aggs, by, first, seconds);
        groups.into_iter().enumerate().map(|(step, group)| cancel.go_on(step).map(|()| row(group))).collect()
    }

    /// Groups in the order of their keys; if only some are wanted, those.
    fn ordered(&self, aggs: &[Agg], by: &[Key], first: Option<(&[SortKey], usize)>, seconds: f64) -> Vec<u32> {
        let width = self.keys.len();
        let mut groups: Vec<u32> = (0..u32::try_from(self.groups()).unwrap_or(NONE)).collect();
        let members: Vec<u32> = groups.iter().flat_map(|&group| self.values_of(group)).collect();
        // Read as numbers once, not at every comparison.
        let views: Vec<Vec<SortView<'_>>> = self
            .keys
            .iter()
            .map(|keys| (0..keys.len()).map(|number| keys.sort_view(u32::try_from(number).unwrap_or(NONE))).collect())
            .collect();
        let member = |group: u32, key: usize| members.get(group as usize * width + key).copied().unwrap_or(NONE);
        let view = |group: u32, key: usize| views[key].get(member(group, key) as usize).copied().unwrap_or(SortView::Missing);
        let by_keys = |a: &u32, b: &u32| {
            let orders = (0..width).map(|key| {
                let by_value = view(*a, key).order(&view(*b, key));
                // `5` and `5.0` are as large as one another and yet two groups.
                by_value.then_with(|| self.keys[key].text(member(*a, key)).cmp(self.keys[key].text(member(*b, key))))
            });
            orders.fold(Ordering::Equal, Ordering::then)
        };
        if let Some((sort, most)) = first
            && most < groups.len()
            && let Some(sort) = self.sort_columns(aggs, by, sort)
        {
            let figures: Vec<Vec<OutValue>> = sort
                .iter()
                .map(|(column, _)| match column {
                    Column::Figure(index) => groups.iter().map(|&group| self.value(*index, group, seconds)).collect(),
                    Column::Key(_) => Vec::new(),
                })
                .collect();
            let best_first = |a: &u32, b: &u32| {
                let orders = sort.iter().enumerate().map(|(at, (column, descending))| match column {
                    Column::Key(key) => view(*a, *key).order_in(&view(*b, *key), *descending),
                    Column::Figure(_) => {
                        let figure =
                            |group: u32| figures[at].get(group as usize).map_or(SortView::Missing, OutValue::sort_view);
                        figure(*a).order_in(&figure(*b), *descending)
                    }
                });
                orders.fold(Ordering::Equal, Ordering::then).then_with(|| by_keys(a, b))
            };
            if most > 0 {
                groups.select_nth_unstable_by(most - 1, best_first);
            }
            groups.truncate(most);
        }
        groups.sort_unstable_by(by_keys);
        groups
    }

    /// Of how many seconds a rate is: of its bin of time, else of the span that is asked, as far as that is open of the rows'.
    fn seconds(&self, by: &[Key], request: &Request) -> f64 {
        let bin = by.iter().find(|key| key.field == row::TIME).and_then(|key| key.bin);
        let (least, greatest) = self.span.unwrap_or((0, 0));
        let (from, to) = (request.from_ns.unwrap_or(least), request.to_ns.unwrap_or(greatest));
        let ns = bin.map_or_else(|| to.saturating_sub(from), |bin| bin.step);
        step_seconds(ns)
    }

    /// What sort keys mean here; `None` if one names no column.
    fn sort_columns(&self, aggs: &[Agg], by: &[Key], sort: &[SortKey]) -> Option<Vec<(Column, bool)>> {
        let column = |name: &str| {
            let key = by.iter().position(|key| key.name == name).map(Column::Key);
            let figure = || aggs.iter().position(|agg| agg.name == name).map(Column::Figure);
            key.or_else(figure)
        };
        let find = |key: &SortKey| Some((column(&key.field).or_else(|| column(&format!("{}()", key.field)))?, key.descending));
        sort.iter().map(find).collect()
    }
}
