//! The rows around a row: those before and after it in its partition, perhaps only those that agree with it in some fields.
//!
//! In the order of offsets, which is that of arrival, whatever their times are. The nearest offsets are looked at first; only where
//! these hold too few rows, all of the partition: runs of offsets say which groups that is, so most are never read.
//!
//! Limits: [`MOST`] rows on either side, and [`super::Limits::bytes`] for each of them.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::cancel::Cancel;
use super::out::{OutRow, OutValue, virtual_field};
use super::plan::{Pipe, Query, SortKey};
use super::{QueryError, Request, Stats, search, table};
use crate::base::predicate::{Predicate, Test};
use crate::store::source::Source;

/// Most rows on either side.
pub const MOST: usize = 1000;

/// A row, and what is wanted around it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Around {
    /// Its topic.
    pub topic: String,
    /// Its partition.
    pub partition: u32,
    /// Its offset.
    pub offset: u64,
    /// Which of the record's rows.
    pub n: u16,
    /// How many before it.
    pub before: usize,
    /// How many after it.
    pub after: usize,
    /// Fields in which they must agree with it.
    pub same: Vec<String>,
}

/// The rows around a row, all in the order of their offsets.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Context {
    /// Those before it.
    pub before: Vec<OutRow>,
    /// The row, if it is (still) there.
    pub row: Option<OutRow>,
    /// Those after it.
    pub after: Vec<OutRow>,
    /// What was read.
    pub stats: Stats,
}

fn number(field: &str, least: Option<u64>, greatest: Option<u64>) -> Predicate {
    let text = |end: Option<u64>| end.map(|end| end.to_string());
    let (least, greatest) = (text(least), text(greatest));
    Predicate::range(field, least.as_deref().map(|end| (end, true)), greatest.as_deref().map(|end| (end, true)))
}

/// What a row must be like to agree with another in a field.
fn agrees(field: &str, value: Option<&OutValue>) -> Predicate {
    let exact = |text: &[u8]| Predicate::leaf(field, Test::exact(&String::from_utf8_lossy(text)));
    match value {
        None | Some(OutValue::Null) => Predicate::exists(field).negate(),
        Some(OutValue::List(items)) => Predicate::and(items.iter().map(|item| exact(item)).collect()),
        Some(OutValue::Time(ns)) => Predicate::time(*ns, *ns),
        Some(value) => super::expr::Val::from(value).text().map_or(Predicate::All, |text| exact(&text)),
    }
}

/// The rows around a row. Of the request, limits and the span of time count.
///
/// # Errors
/// Cancelled.
pub fn context_of(
    sources: &[Arc<dyn Source>],
    request: &Request,
    around: &Around,
    cancel: &Cancel,
) -> Result<Context, QueryError> {
    let start = cancel.elapsed();
    let mut stats = Stats::default();
    let mut ask = |parts: Vec<Predicate>, limit: usize, descending: bool| -> Result<Vec<OutRow>, QueryError> {
        let key = |field: &str| SortKey::new(field, descending);
        let order = Pipe::Sort(vec![key(virtual_field::OFFSET), key(virtual_field::N)]);
        let mut own = request.clone();
        own.query = Query::new(Predicate::and(parts)).pipe(order);
        own.topics = Some(vec![around.topic.clone()]);
        own.limit = limit;
        let (mut rows, mut bytes, mut full) = (Vec::new(), 0, false);
        let part = search(sources, &own, cancel, &mut |row| {
            bytes += table::bytes(&row);
            full = bytes > request.limits.bytes && !rows.is_empty();
            if full {
                return ControlFlow::Break(());
            }
            rows.push(row);
            ControlFlow::Continue(())
        })?;
        if full {
            stats.miss("the rows did not fit into memory; some are left out");
        }
        stats.rows_scanned += part.rows_scanned;
        stats.groups_scanned += part.groups_scanned;
        stats.bytes_scanned += part.bytes_scanned;
        stats.damaged += part.damaged;
        if let (true, Some(note)) = (part.partial, part.note) {
            stats.miss(note);
        }
        Ok(rows)
    };
    let partition = number(virtual_field::PARTITION, Some(around.partition.into()), Some(around.partition.into()));
    let here = number(virtual_field::OFFSET, Some(around.offset), Some(around.offset));
    let n = u64::from(around.n);
    let row = ask(vec![partition.clone(), here.clone(), number(virtual_field::N, Some(n), Some(n))], 1, false)?.pop();
    let same: Vec<Predicate> =
        around.same.iter().map(|field| agrees(field, row.as_ref().and_then(|row| row.get(field)))).collect();
    let mut side = |wanted: usize, before: bool| -> Result<Vec<OutRow>, QueryError> {
        let wanted = wanted.min(MOST);
        if wanted == 0 || (before && around.offset == 0 && n == 0) {
            return Ok(Vec::new());
        }
        let near = 64 + 4 * wanted as u64;
        for width in [Some(near), None] {
            let beyond = if before {
                let least = width.map_or(0, |width| around.offset.saturating_sub(width));
                let others = (around.offset > 0).then(|| number(virtual_field::OFFSET, Some(least), Some(around.offset - 1)));
                let own = (n > 0).then(|| Predicate::and(vec![here.clone(), number(virtual_field::N, None, Some(n - 1))]));
                Predicate::or(others.into_iter().chain(own).collect())
            } else {
                let greatest = width.map(|width| around.offset.saturating_add(width));
                let others = number(virtual_field::OFFSET, Some(around.offset.saturating_add(1)), greatest);
                Predicate::or(vec![others, Predicate::and(vec![here.clone(), number(virtual_field::N, Some(n + 1), None)])])
            };
            let parts = [partition.clone(), beyond].into_iter().chain(same.iter().cloned()).collect();
            let rows = ask(parts, wanted, before)?;
            if rows.len() == wanted || width.is_none() {
                return Ok(rows);
            }
        }
        Ok(Vec::new())
    };
    let mut before = side(around.before, true)?;
    before.reverse();
    let after = side(around.after, false)?;
    stats.elapsed = cancel.elapsed().saturating_sub(start);
    Ok(Context { before, row, after, stats })
}
