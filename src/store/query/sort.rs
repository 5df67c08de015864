//! Rows in the order of their fields: the heap holds the sort keys of the best n rows, other columns are read for the winners.
//!
//! What a row lacks comes last in both directions; ties go by time as in any answer. Strings are compared by their first
//! [`KEY_CHARACTERS`] characters, so that a key is bounded; by characters, not bytes, so that what is equal can be said as text.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use hashbrown::HashMap;

use super::merit::{self, Merits};
use super::out::{OutRow, SortView};
use super::plan::SortKey;
use super::render::Renderer;
use super::rows::{Place, RowKey};
use super::scan::{Found, Scan, Want, Work};
use super::view::FieldReader;
use super::{QueryError, Request, Stats};
use crate::base::predicate::Number;

/// Longest part of a string that orders rows, in characters of UTF-8.
pub const KEY_CHARACTERS: usize = 256;
/// The same in bytes, for those that are not UTF-8.
const KEY_BYTES: usize = 4 * KEY_CHARACTERS;

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

/// The part of a string that orders rows.
fn clip(bytes: &[u8]) -> &[u8] {
    if bytes.len() <= KEY_CHARACTERS {
        return bytes;
    }
    let bytes = &bytes[..bytes.len().min(KEY_BYTES)];
    let is_first = |byte: u8| byte & 0b1100_0000 != 0b1000_0000;
    let mut next = bytes.iter().enumerate().filter(|(_, byte)| is_first(**byte)).skip(KEY_CHARACTERS);
    next.next().map_or(bytes, |(end, _)| &bytes[..end])
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
            .map(|(reader, key)| (OwnedView::new(key.of_datum(found.view.get(reader, row))), key.descending));
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

/// Whether this order is the one that rows have anyway.
pub fn is_by_time(keys: &[SortKey], newest_first: bool) -> bool {
    match keys {
        [] => true,
        [key] => key.field == crate::base::row::TIME && key.descending == newest_first,
        _ => false,
    }
}

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
    let Some(first_key) = keys.first() else { return Ok(()) };
    let descending = first_key.descending;
    // Groups that may hold the best come first, so that the others need not be read.
    let merit_of = |work: &Work| merit::of_group(&*scan.sources[work.source], work.group, &first_key.field, descending);
    let merits: Vec<u64> = scan.work.iter().map(merit_of).collect();
    let mut order: Vec<usize> = (0..scan.work.len()).collect();
    order.sort_by_key(|&index| Reverse(merits[index]));
    let ordered: HashMap<(usize, usize), u64> =
        scan.work.iter().zip(&merits).map(|(work, &merit)| ((work.source, work.group), merit)).collect();
    // No row of less merit can be part of the answer: some thread has enough that have as much.
    let needed = AtomicU64::new(0);
    let heaps = scan.each(
        &order,
        || (BinaryHeap::<Ranked>::new(), Merits::default()),
        |work| {
            let most = ordered.get(&(work.source, work.group)).copied().unwrap_or(merit::ANY);
            if most < needed.load(Relaxed) { Want::Done } else { Want::Read }
        },
        |(heap, merits), found| {
            let readers: Vec<FieldReader> = keys.iter().map(|key| found.view.field(&key.field)).collect();
            let Some(first) = readers.first() else { return };
            let rows = merits.select(found.view, first, descending, needed.load(Relaxed), found.rows);
            for row in rows.iter() {
                if heap.len() == most
                    && let Some(worst) = heap.peek()
                    && worst.is_before(first_key.of_datum(found.view.get(first, row)), first_key.descending)
                {
                    continue;
                }
                heap.push(Ranked::new(scan, found, row, (&readers, keys), request.newest_first));
                if heap.len() > most {
                    heap.pop();
                }
                if heap.len() == most
                    && let Some((worst, _)) = heap.peek().and_then(|worst| worst.keys.first())
                {
                    needed.fetch_max(merit::needed(first_key.last_of(worst.view()), descending), Relaxed);
                }
            }
        },
    )?;
    let mut ranked: Vec<Ranked> = heaps.into_iter().flat_map(|(heap, _)| heap).collect();
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
