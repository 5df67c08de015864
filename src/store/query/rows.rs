//! The newest (or oldest) n kept rows.
//!
//! Groups are read in descending order of their latest time. Each thread keeps the n best keys it has seen in a heap; as soon as
//! some heap is full, no row before its worst can be part of the answer, and a group whose latest time is before that ends the
//! search. Answers longer than a page go on below the last key of the page before, so that memory does not grow with them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicI64, Ordering};

use super::render::Renderer;
use super::scan::{Found, Scan, Want, Work};
use super::{OutRow, QueryError, Request};

/// What orders rows; unique. Stored so that greater is better: complemented where the oldest come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowKey {
    /// Time.
    pub time: i64,
    topic: u32,
    partition: u32,
    offset: u64,
    n: u16,
    place: Place,
}

/// Where a row lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Index of the source.
    pub source: u32,
    /// Group of the source.
    pub group: u32,
    /// Row of the group.
    pub row: u32,
}

impl RowKey {
    /// The key of a row of a group that was found.
    pub fn new(scan: &Scan<'_>, found: &Found<'_, '_>, row: usize, newest_first: bool) -> Self {
        let small = |index: usize| u32::try_from(index).unwrap_or(u32::MAX);
        let time = found.view.times().get(row).copied().unwrap_or(0);
        let topic = scan.topic_ranks[found.work.source];
        let lineage = found.view.lineage();
        let partition = lineage.and_then(|lineage| lineage.partitions.get(row).copied()).unwrap_or(0);
        let offset = lineage.and_then(|lineage| lineage.offsets.get(row).copied()).unwrap_or(0);
        let n = lineage.and_then(|lineage| lineage.ns.get(row).copied()).unwrap_or(0);
        let place = Place { source: small(found.work.source), group: small(found.work.group), row: small(row) };
        if newest_first {
            Self { time, topic, partition, offset, n, place }
        } else {
            Self { time: !time, topic: !topic, partition: !partition, offset: !offset, n: !n, place }
        }
    }

    /// Where the row lies.
    pub fn place(&self) -> Place {
        self.place
    }
}

/// Hands out the first `limit` rows by time.
pub fn newest(
    scan: &Scan<'_>,
    limit: usize,
    request: &Request,
    fields: Option<&[String]>,
    emit: &mut dyn FnMut(OutRow) -> ControlFlow<()>,
) -> Result<(), QueryError> {
    let newest_first = request.newest_first;
    let best = |work: &Work| if newest_first { work.greatest } else { !work.least };
    let worst = |work: &Work| if newest_first { work.least } else { !work.greatest };
    let mut order: Vec<usize> = (0..scan.work.len()).collect();
    order.sort_by_key(|&index| Reverse((best(&scan.work[index]), scan.work[index].group)));
    let mut renderer = Renderer::new(scan, fields);
    let mut left = limit;
    let mut below: Option<RowKey> = None;
    while left > 0 {
        let page = left.min(request.limits.page.max(1));
        // No row before this can be part of the page.
        let bound = AtomicI64::new(i64::MIN);
        let heaps = scan.each(
            &order,
            BinaryHeap::<Reverse<RowKey>>::new,
            |work| {
                if best(work) < bound.load(Ordering::Relaxed) {
                    Want::Done
                } else if below.is_some_and(|below| worst(work) > below.time) {
                    Want::Skip
                } else {
                    Want::Read
                }
            },
            |heap, found| {
                let times = found.view.times();
                let mut see = |row: usize| {
                    let time = times.get(row).copied().unwrap_or(0);
                    let time = if newest_first { time } else { !time };
                    let full = heap.len() == page;
                    if time < bound.load(Ordering::Relaxed)
                        || (full && heap.peek().is_some_and(|Reverse(worst)| time < worst.time))
                    {
                        return;
                    }
                    let key = RowKey::new(scan, found, row, newest_first);
                    if below.is_some_and(|below| key >= below) {
                        return;
                    }
                    heap.push(Reverse(key));
                    if full {
                        heap.pop();
                    }
                    if heap.len() == page
                        && let Some(Reverse(worst)) = heap.peek()
                    {
                        bound.fetch_max(worst.time, Ordering::Relaxed);
                    }
                };
                // Rows lie about in order of time: best first fills the heap with what stays.
                if newest_first {
                    let rows: Vec<usize> = found.rows.iter().collect();
                    rows.into_iter().rev().for_each(&mut see);
                } else {
                    found.rows.iter().for_each(&mut see);
                }
            },
        )?;
        let mut keys: Vec<RowKey> = heaps.into_iter().flatten().map(|Reverse(key)| key).collect();
        keys.sort_unstable_by_key(|key| Reverse(*key));
        keys.truncate(page);
        let places: Vec<Place> = keys.iter().map(RowKey::place).collect();
        if renderer.render(&places, emit)?.is_break() {
            return Ok(());
        }
        if keys.len() < page || !scan.go()? {
            return Ok(());
        }
        below = keys.last().copied();
        left -= keys.len();
        // What lies wholly within the pages before is not looked at again.
        order.retain(|&index| below.is_none_or(|below| worst(&scan.work[index]) <= below.time));
    }
    Ok(())
}
