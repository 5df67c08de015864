//! The first few rows of each group of rows, by sort keys: what "the latest reading of every host" asks.
//!
//! As in `sort`, a heap a group holds sort keys and places; rows are read for the winners alone. Groups are numbered as `stats`
//! numbers them. Built by code alone.

use std::collections::BinaryHeap;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::key_table::NONE;
use super::layers::Layers;
use super::out::{OutRow, OutValue};
use super::plan::{Key, SortKey};
use super::render::Renderer;
use super::rows::Place;
use super::scan::{Found, Scan, Want};
use super::sort::Ranked;
use super::split::split;
use super::stats::Grouping;
use super::view::FieldReader;
use super::{QueryError, Request, Stats};
use crate::store::source::Source;

/// About what a row in a heap takes.
const ENTRY_BYTES: usize = 160;

/// What is asked of the rows that the request's predicate keeps.
#[derive(Clone, Debug, PartialEq)]
pub struct Top {
    /// By what rows are grouped; one group without.
    pub by: Vec<Key>,
    /// Which come first in a group; by time, as the request says, without and among equals.
    pub sort: Vec<SortKey>,
    /// How many of a group.
    pub rows: usize,
    /// What is shown of them; all, if nothing is said.
    pub fields: Option<Vec<String>>,
}

/// The answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Tops {
    /// The values of each group's keys, and its rows.
    pub groups: Vec<(Vec<OutValue>, Vec<OutRow>)>,
    /// What was read.
    pub stats: Stats,
}

/// A thread's own groups, or the whole.
struct Heaps {
    grouping: Grouping,
    heaps: Vec<BinaryHeap<Ranked>>,
    entries: usize,
}

impl Heaps {
    fn new(request: &Request, top: &Top, threads: usize) -> Self {
        let grouping = Grouping::new(&[], &top.by, &request.limits, request.limits.bytes / threads.max(1));
        Self { grouping, heaps: Vec::new(), entries: 0 }
    }

    fn see(&mut self, scan: &Scan<'_>, found: &Found<'_, '_>, request: &Request, top: &Top) {
        let (rows, groups) = self.grouping.number_rows(found, &top.by);
        let most = (request.limits.bytes / scan.threads().max(1)).saturating_sub(self.grouping.held()) / ENTRY_BYTES;
        let readers: Vec<FieldReader> = top.sort.iter().map(|key| found.view.field(&key.field)).collect();
        for (&row, &group) in rows.iter().zip(&groups).filter(|(_, group)| **group != NONE) {
            let heap = heap_of(&mut self.heaps, group);
            let row = row as usize;
            if heap.len() == top.rows
                && let (Some(worst), Some(first), Some(key)) = (heap.peek(), readers.first(), top.sort.first())
                && worst.is_before(key.of_datum(found.view.get(first, row)), key.descending)
            {
                continue;
            }
            let full = heap.len() >= top.rows;
            if !full && self.entries >= most {
                self.grouping.lost = true;
                continue;
            }
            heap.push(Ranked::new(scan, found, row, (&readers, &top.sort), request.newest_first));
            if full {
                heap.pop();
            } else {
                self.entries += 1;
            }
        }
    }

    fn merge(&mut self, other: Self, top: &Top) {
        let groups = self.grouping.adopt(&other.grouping);
        for (theirs, group) in other.heaps.into_iter().zip(groups).filter(|(_, group)| *group != NONE) {
            let heap = heap_of(&mut self.heaps, group);
            for ranked in theirs {
                heap.push(ranked);
                if heap.len() > top.rows {
                    heap.pop();
                }
            }
        }
    }
}

fn heap_of(heaps: &mut Vec<BinaryHeap<Ranked>>, group: u32) -> &mut BinaryHeap<Ranked> {
    let index = group as usize;
    if index >= heaps.len() {
        heaps.resize_with(index + 1, BinaryHeap::new);
    }
    &mut heaps[index]
}

/// Finds the first rows of each group.
///
/// # Errors
/// Cancelled.
pub fn tops_of(sources: &[Arc<dyn Source>], request: &Request, top: &Top, cancel: &super::Cancel) -> Result<Tops, QueryError> {
    let start = cancel.elapsed();
    let layers = Layers::new(sources, &split(request)?, request);
    let scan = Scan::new(&layers, request, cancel);
    let mut stats = Stats::default();
    let order: Vec<usize> = (0..scan.work.len()).collect();
    let mut results = scan
        .each(
            &order,
            || Heaps::new(request, top, scan.threads()),
            |_| Want::Read,
            |heaps, found| {
                heaps.see(&scan, found, request, top);
            },
        )?
        .into_iter();
    let mut whole = results.next().unwrap_or_else(|| Heaps::new(request, top, 1));
    whole.grouping.allow(request.limits.bytes);
    for result in results {
        cancel.go_on(0)?;
        whole.merge(result, top);
    }
    if whole.grouping.lost {
        stats.miss("there are more groups or values than memory allows; some rows are left out");
    }
    let mut renderer = Renderer::new(&scan, top.fields.as_deref());
    let mut groups = Vec::with_capacity(whole.heaps.len());
    let mut bytes = 0;
    for (group, heap) in (0u32..).zip(whole.heaps) {
        cancel.go_on(group as usize)?;
        let places: Vec<Place> = heap.into_sorted_vec().iter().map(Ranked::place).collect();
        let mut rows = Vec::with_capacity(places.len());
        let _ = renderer.render(&places, &mut |row| {
            bytes += super::table::bytes(&row);
            rows.push(row);
            ControlFlow::Continue(())
        })?;
        groups.push((whole.grouping.key_values(group), rows));
        if bytes > request.limits.bytes {
            stats.miss("the rows did not fit into memory; some are left out");
            break;
        }
    }
    drop(renderer);
    scan.finish(&mut stats)?;
    stats.elapsed = cancel.elapsed().saturating_sub(start);
    Ok(Tops { groups, stats })
}
