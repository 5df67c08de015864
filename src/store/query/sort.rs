//! Rows in the order of their fields: the heap holds the sort keys of the best n rows, other columns are read for the winners.
//!
//! What a row lacks comes last in both directions; ties go by time as in any answer. Strings are compared by their first
//! [`KEY_BYTES`] bytes, so that a key is bounded.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::ops::ControlFlow;

use super::out::{OutRow, SortView};
use super::plan::SortKey;
use super::render::Renderer;
use super::rows::{Place, RowKey};
use super::scan::{Found, Scan, Want};
use super::view::FieldReader;
use super::{QueryError, Request, Stats};
use crate::base::predicate::Number;

/// Longest part of a string that orders rows.
const KEY_BYTES: usize = 256;

/// A sort key that owns its bytes.
#[derive(Clone, Debug)]
enum OwnedView {
    Number(Number),
    Bytes(Box<[u8]>),
    Missing,
}

impl OwnedView {
    fn new(view: SortView<'_>) -> Self {
        match view {
            SortView::Number(number) => Self::Number(number),
            SortView::Bytes(bytes) => Self::Bytes(clip(bytes).into()),
            SortView::Missing => Self::Missing,
        }
    }

    fn view(&self) -> SortView<'_> {
        match self {
            Self::Number(number) => SortView::Number(*number),
            Self::Bytes(bytes) => SortView::Bytes(bytes),
            Self::Missing => SortView::Missing,
        }
    }
}

fn clip(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len().min(KEY_BYTES)]
}

fn clipped(view: SortView<'_>) -> SortView<'_> {
    match view {
        SortView::Bytes(bytes) => SortView::Bytes(clip(bytes)),
        other => other,
    }
}

/// A row by its sort keys; the least comes first in the answer.
#[derive(Clone, Debug)]
pub struct Ranked {
    keys: Box<[(OwnedView, bool)]>,
    time: Reverse<RowKey>,
}

impl Ranked {
    /// A row of a group that was found, by what these readers of sort keys say.
    pub fn new(
        scan: &Scan<'_>,
        found: &Found<'_, '_>,
        row: usize,
        (readers, keys): (&[FieldReader], &[SortKey]),
        newest_first: bool,
    ) -> Self {
        let views = readers
            .iter()
            .zip(keys)
            .map(|(reader, key)| (OwnedView::new(found.view.get(reader, row).sort_view()), key.descending));
        Self { keys: views.collect(), time: Reverse(RowKey::new(scan, found, row, newest_first)) }
    }

    /// Whether a row with this value of the first key certainly comes after it.
    pub fn is_before(&self, view: SortView<'_>, descending: bool) -> bool {
        self.keys.first().is_some_and(|(own, _)| clipped(view).order_in(&own.view(), descending) == Ordering::Greater)
    }

    /// Where the row lies.
    pub fn place(&self) -> Place {
        self.time.0.place()
    }
}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Ordering {
        for ((own, descending), (their, _)) in self.keys.iter().zip(&other.keys) {
            let order = own.view().order_in(&their.view(), *descending);
            if order != Ordering::Equal {
                return order;
            }
        }
        self.time.cmp(&other.time)
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Ranked {}

/// Hands out the first `limit` rows in the order of these keys.
pub fn sorted(
    scan: &Scan<'_>,
    keys: &[SortKey],
    limit: usize,
    request: &Request,
    fields: Option<&[String]>,
    stats: &mut Stats,
    emit: &mut dyn FnMut(OutRow) -> ControlFlow<()>,
) -> Result<(), QueryError> {
    let most = limit.min(request.limits.sorted);
    if most == 0 {
        return Ok(());
    }
    let order: Vec<usize> = (0..scan.work.len()).collect();
    let heaps = scan.each(
        &order,
        BinaryHeap::<Ranked>::new,
        |_| Want::Read,
        |heap, found| {
            let readers: Vec<FieldReader> = keys.iter().map(|key| found.view.field(&key.field)).collect();
            let (Some(first), Some(first_key)) = (readers.first(), keys.first()) else { return };
            for row in found.rows.iter() {
                if heap.len() == most
                    && let Some(worst) = heap.peek()
                    && worst.is_before(found.view.get(first, row).sort_view(), first_key.descending)
                {
                    continue;
                }
                heap.push(Ranked::new(scan, found, row, (&readers, keys), request.newest_first));
                if heap.len() > most {
                    heap.pop();
                }
            }
        },
    )?;
    let mut ranked: Vec<Ranked> = heaps.into_iter().flatten().collect();
    ranked.sort_unstable();
    ranked.truncate(most);
    if most < limit && ranked.len() == most {
        stats.miss("more rows were to be sorted than memory allows; only the first are shown");
    }
    let places: Vec<Place> = ranked.iter().map(Ranked::place).collect();
    drop(ranked);
    let mut renderer = Renderer::new(scan, fields);
    renderer.render(&places, emit).map(|_| ())
}
