//! Queries: the search language's predicate and pipes, run over the sources of a snapshot.
//!
//! In: a [`Request`] (from text by [`parse()`], or built from [`Query`]'s public parts) and the sources. Out: [`OutRow`]s in the
//! order asked for, and [`Stats`], which say what was read and whether the answer is whole.
//!
//! # How
//! * **Which rows** (`select`): groups are ruled out by bounds and dictionaries; the rest is decided on codes and whole columns.
//! * **Newest n** (`rows`): groups in descending order of their latest time; a heap of n keys; done when no group can add one.
//!   Long answers come in pages of keys, so memory does not grow with them.
//! * **Sort** (`sort`, `merit`): groups with the best bounds first; the heap holds sort keys, whole columns are compared with its
//!   worst; other columns are read for the winners alone. `sort -_time` is the newest n.
//! * **Stats** (`stats`): groups of rows are numbered by their keys' values, a column at a time (`numbering`), through a table per
//!   dictionary; figures are arrays (`figures`, `numbers`). Counts by value and time go by runs of rows (`runs`).
//! * **The most frequent values** (`counts`, `flat`, `packed`): exact for any number of values, in as many passes as memory asks.
//! * **Computed columns** (`program`, `computed`): a source seen through the pipes that compute looks like any other.
//! * **First of each** (`dedup`), **shapes** (`patterns`) and **series** stream as figures do.
//! * Pipes after these (`table`) work on the rows of the answer.
//! * Two threads take groups from one list, each with its own heap or table; the results are merged by value.
//!
//! # Invariants
//! Each row of the sources counts once; deleted rows never. Rows are ordered by (time, topic, partition, offset, n), newest first
//! unless asked otherwise, so answers do not depend on threads. What could not be read or kept is counted and said in [`Stats`].
//!
//! # Limits
//! [`Limits`] bound groups of rows, sort keys and bytes (what a thread reads and collects on its way comes on top: `counts`,
//! `numbers`, `merit`); past them the answer is marked `partial`, with a note. A deadline ([`Cancel::within`]) ends a query early
//! the same way; a cancelled one ends with [`QueryError::Cancelled`].
//!
//! Why no planner or vectorised expression engine: every query has this one shape, and what makes it fast is not reading.

mod answer;
mod binned;
pub mod bits;
mod builder;
mod cancel;
mod cluster;
mod complete;
mod computed;
mod context;
mod counts;
mod deal;
mod dedup;
mod derived;
mod distinct;
mod explain;
pub mod expr;
mod extract;
mod facets;
mod figures;
mod flat;
mod kept;
mod key_table;
mod layers;
mod made;
mod mapped;
mod merit;
mod near;
mod numbering;
mod numbers;
mod out;
mod packed;
mod parse;
mod patterns;
mod pick;
mod plan;
mod program;
mod render;
mod rounding;
mod rows;
mod runs;
mod scan;
mod search;
mod select;
mod series;
mod shape;
mod shaped;
mod show;
mod sketch;
mod sort;
mod split;
mod stats;
mod sums;
mod table;
mod tops;
mod typed;
mod view;
mod whole;

#[cfg(test)]
mod tests;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use serde::{Serialize, Serializer};

pub use cancel::{Cancel, Go};
pub use complete::{Completion, Hint};
pub use context::{Around, Context};
pub use explain::{Explanation, LeftOut, Spent, Why};
pub use facets::{FieldSummary, Histogram, TopValues};
pub use out::{OutRow, OutValue, SortView, virtual_field, write_string, write_time};
pub use parse::{parse, parse_at};
pub use pick::Pick;
pub use plan::{Agg, Bin, Function, Key, Lookup, Pipe, Query, Series, SortKey, Take};
pub use program::{Table, Tables};
pub use rounding::Rounding;
pub use sort::KEY_CHARACTERS;
pub use tops::{Top, Tops};

use crate::base::ids::TopicId;
use crate::store::Store;
use crate::store::source::Source;
use crate::store::unseen::Told;

/// What is asked, of when, and how much of it.
#[derive(Clone, Debug)]
pub struct Request {
    /// Predicate and pipes.
    pub query: Query,
    /// Rows at or after this instant, nanoseconds since 1970.
    pub from_ns: Option<i64>,
    /// Rows before this instant.
    pub to_ns: Option<i64>,
    /// How many rows, where the query's own pipes do not say. The rows of `stats` are not cut by it.
    pub limit: usize,
    /// Of which topics; all if none are named.
    pub topics: Option<Vec<String>>,
    /// Of this topic alone: a name may have been another's before.
    pub topic_id: Option<TopicId>,
    /// Whether the latest rows come first.
    pub newest_first: bool,
    /// What it may cost.
    pub limits: Limits,
    /// Where `lookup` finds its tables.
    pub tables: Option<Arc<dyn Tables>>,
}

impl Request {
    /// The newest hundred rows of all time and topics.
    pub fn new(query: Query) -> Self {
        let (limits, tables, topic_id) = (Limits::default(), None, None);
        Self { query, from_ns: None, to_ns: None, limit: 100, topics: None, topic_id, newest_first: true, limits, tables }
    }
}

/// What one query may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Threads that read.
    pub threads: usize,
    /// How long one of them reads alone: another must be begun. Where all cores are busy, longer.
    pub alone: Duration,
    /// Groups of rows that `stats` may tell apart.
    pub groups: usize,
    /// Bytes for the values of their keys, and for figures.
    pub bytes: usize,
    /// Rows that `sort` may keep.
    pub sorted: usize,
    /// Row keys held at a time while rows stream out.
    pub page: usize,
}

impl Default for Limits {
    fn default() -> Self {
        // 64 MiB and a million keys of some 50 bytes: what a box of 1 GiB can give to one query.
        Self {
            threads: 2,
            alone: Duration::from_micros(200),
            groups: 1_000_000,
            bytes: 64 << 20,
            sorted: 100_000,
            page: 32_768,
        }
    }
}

/// What a query read, and whether the answer is whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Rows whose predicate was evaluated.
    pub rows_scanned: u64,
    /// Rows that it kept, among those that had to be looked at.
    pub rows_matched: u64,
    /// Row groups that were read.
    pub groups_scanned: u64,
    /// Row groups that were ruled out unread.
    pub groups_skipped: u64,
    /// Row groups that were not read, by reason; `enough` and those of other topics are not among `groups_skipped`.
    pub left_out: LeftOut,
    /// Bytes of the columns that were decoded.
    pub bytes_scanned: u64,
    /// Chunks that could not be read and were taken as absent.
    pub damaged: u64,
    /// Whether something is missing from the answer; `note` says what.
    pub partial: bool,
    /// Whether a figure is an estimate.
    pub approximate: bool,
    /// What is missing, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<&'static str>,
    /// How long it took.
    #[serde(rename = "elapsed_ms", serialize_with = "milliseconds")]
    pub elapsed: Duration,
    /// Where the time went.
    pub spent: Spent,
}

fn milliseconds<S: Serializer>(elapsed: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((elapsed.as_secs_f64() * 1e6).round() / 1e3)
}

impl Stats {
    /// Marks the answer as not whole.
    fn miss(&mut self, note: &'static str) {
        self.partial = true;
        self.note.get_or_insert(note);
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum QueryError {
    /// Whoever asked has gone.
    #[error("the query was cancelled")]
    Cancelled,
    /// The question itself: say it to the person.
    #[error("{0}")]
    Refused(String),
}

/// Runs a query over the store, handing out rows until the receiver breaks off.
///
/// # Errors
/// Cancelled, or refused with a reason.
pub fn run(
    store: &Store,
    request: &Request,
    cancel: &Cancel,
    emit: &mut dyn FnMut(OutRow) -> ControlFlow<()>,
) -> Result<Stats, QueryError> {
    let whole = Whole::of(store, request);
    Ok(whole.mark(search(&sources(store, request), request, cancel, emit)?))
}

/// Counts kept rows in equal steps of time, at most `buckets` of them.
///
/// # Errors
/// As [`run`].
pub fn histogram(store: &Store, request: &Request, buckets: usize, cancel: &Cancel) -> Result<Histogram, QueryError> {
    let whole = Whole::of(store, request);
    let mut histogram = histogram_of(&sources(store, request), request, buckets, cancel)?;
    histogram.stats = whole.mark(histogram.stats);
    Ok(histogram)
}

/// The most frequent values of a field among kept rows.
///
/// # Errors
/// As [`run`].
pub fn top_values(
    store: &Store,
    request: &Request,
    field: &str,
    limit: usize,
    cancel: &Cancel,
) -> Result<TopValues, QueryError> {
    let whole = Whole::of(store, request);
    let mut top = top_values_of(&sources(store, request), request, field, limit, cancel)?;
    top.stats = whole.mark(top.stats);
    Ok(top)
}

/// Which fields kept rows have, by a sample of the newest groups.
///
/// # Errors
/// As [`run`].
pub fn fields(store: &Store, request: &Request, cancel: &Cancel) -> Result<(Vec<FieldSummary>, Stats), QueryError> {
    let whole = Whole::of(store, request);
    let (fields, stats) = fields_of(&sources(store, request), request, cancel)?;
    Ok((fields, whole.mark(stats)))
}

pub use complete::complete_of;
pub use context::context_of;
pub use explain::explain_of;
/// The first few kept rows of each group.
///
/// # Errors
/// As [`run`].
pub fn tops(store: &Store, request: &Request, top: &Top, cancel: &Cancel) -> Result<Tops, QueryError> {
    let whole = Whole::of(store, request);
    let mut found = tops_of(&sources(store, request), request, top, cancel)?;
    found.stats = whole.mark(found.stats);
    Ok(found)
}

pub use facets::{fields_of, histogram_of, top_values_of};
pub use tops::tops_of;

/// Runs a query and says how it was done.
///
/// # Errors
/// As [`run`].
pub fn explain(store: &Store, request: &Request, cancel: &Cancel) -> Result<Explanation, QueryError> {
    let whole = Whole::of(store, request);
    let mut explanation = explain_of(&sources(store, request), request, cancel)?;
    explanation.stats = whole.mark(explanation.stats);
    Ok(explanation)
}

/// The rows before and after one in its partition.
///
/// # Errors
/// As [`run`].
pub fn context(store: &Store, request: &Request, around: &Around, cancel: &Cancel) -> Result<Context, QueryError> {
    context_of(&sources(store, request), request, around, cancel)
}

/// What could stand at a place of a query that is being typed.
///
/// # Errors
/// As [`run`].
pub fn complete(store: &Store, request: &Request, text: &str, at: usize, cancel: &Cancel) -> Result<Completion, QueryError> {
    complete_of(&sources(store, request), request, text, at, cancel)
}

/// What the store lacked when a query began; asked before its snapshot is taken.
#[derive(Clone, Copy)]
struct Whole {
    is_behind: bool,
    unseen: Told,
}

impl Whole {
    fn of(store: &Store, request: &Request) -> Self {
        let unseen = store.unseen((request.from_ns, request.to_ns), request.topics.as_deref(), request.topic_id);
        Self { is_behind: store.lanes_behind() > 0, unseen }
    }

    fn mark(self, mut stats: Stats) -> Stats {
        if self.is_behind {
            stats.miss("rows that were not on the disk before the restart are being made again; ask again in a moment");
        }
        match self.unseen {
            Told::Nothing => {}
            Told::Unknown => stats.miss("files that store/COMMITS may have lost are being looked at; ask again in a moment"),
            Told::Unseen => stats.miss(
                "store/COMMITS lost entries, and files that they named have rows which are not seen: stop the box and run `sawbox \
                 store repair`",
            ),
        }
        stats
    }
}

fn sources(store: &Store, request: &Request) -> Vec<Arc<dyn Source>> {
    let mut sources = store.snapshot(request.from_ns, request.to_ns, request.topics.as_deref()).sources;
    sources.retain(|source| request.topic_id.is_none_or(|id| source.topic() == id));
    sources
}

/// Runs a query over sources, handing out rows until the receiver breaks off.
///
/// # Errors
/// Cancelled, or refused with a reason.
pub fn search(
    sources: &[Arc<dyn Source>],
    request: &Request,
    cancel: &Cancel,
    emit: &mut dyn FnMut(OutRow) -> ControlFlow<()>,
) -> Result<Stats, QueryError> {
    search_within(sources, request, &split::split(request)?, cancel, emit)
}

fn search_within(
    sources: &[Arc<dyn Source>],
    request: &Request,
    steps: &split::Steps,
    cancel: &Cancel,
    emit: &mut dyn FnMut(OutRow) -> ControlFlow<()>,
) -> Result<Stats, QueryError> {
    let start = cancel.elapsed();
    let layers = layers::Layers::new(sources, steps, request);
    let scan = scan::Scan::new(&layers, request, cancel);
    let mut stats = Stats::default();
    if steps.tail.is_empty() && matches!(steps.head, split::Head::Rows { .. } | split::Head::Dedup { .. }) {
        head(&scan, steps, request, &mut stats, emit)?;
        stats.spent.read = cancel.elapsed().saturating_sub(start);
    } else {
        let mut rows = Vec::new();
        let mut bytes = 0usize;
        let mut over = false;
        head(&scan, steps, request, &mut stats, &mut |row| {
            bytes += table::bytes(&row);
            over = bytes > request.limits.bytes.saturating_mul(2);
            if over {
                return ControlFlow::Break(());
            }
            rows.push(row);
            ControlFlow::Continue(())
        })?;
        if over {
            stats.miss("the rows between two pipes did not fit into memory; some are left out");
        }
        let read = cancel.elapsed();
        let mut rows = table::run(rows, &steps.tail, request, &mut stats, cancel)?;
        if !says_how_many(steps) {
            rows.truncate(request.limit);
        }
        for row in table::project(rows, steps.fields.as_deref()) {
            if emit(row).is_break() {
                break;
            }
        }
        stats.spent.read = read.saturating_sub(start);
        stats.spent.after = cancel.elapsed().saturating_sub(read);
    }
    scan.finish(&mut stats)?;
    stats.elapsed = cancel.elapsed().saturating_sub(start);
    Ok(stats)
}

/// Whether pipes say how many rows there are, or make others of them: else the request does.
fn says_how_many(steps: &split::Steps) -> bool {
    let says = |pipe: &Pipe| {
        matches!(
            pipe,
            Pipe::Limit(_) | Pipe::Stats(..) | Pipe::Top(..) | Pipe::Rare(..) | Pipe::Timeseries(_) | Pipe::Patterns(..)
        )
    };
    !matches!(steps.head, split::Head::Dedup { .. }) || steps.tail.iter().any(says)
}

fn head(
    scan: &scan::Scan<'_>,
    steps: &split::Steps,
    request: &Request,
    stats: &mut Stats,
    emit: &mut dyn FnMut(OutRow) -> ControlFlow<()>,
) -> Result<(), QueryError> {
    let fields = if steps.tail.is_empty() { steps.fields.as_deref() } else { None };
    let rows = match &steps.head {
        split::Head::Rows { sort, limit } if sort::is_by_time(sort, request.newest_first) => {
            return rows::newest(scan, *limit, request, fields, emit);
        }
        split::Head::Rows { sort, limit } => return sort::sorted(scan, sort, *limit, request, fields, stats, emit),
        split::Head::Dedup { fields: keys, sort, limit } => {
            return dedup::first_of_each(scan, keys, sort, *limit, request, fields, stats, emit);
        }
        split::Head::Stats { aggs, by } => {
            let first = match steps.tail.as_slice() {
                [Pipe::Sort(keys), Pipe::Limit(most), ..] => Some((keys.as_slice(), *most)),
                [Pipe::Limit(most), ..] => Some((&[][..], *most)),
                _ => None,
            };
            stats::grouped(scan, (aggs, by), first, request, stats)?
        }
        split::Head::Series(series) => series::of_scan(scan, series, request, stats)?,
        split::Head::Patterns { most, field } => patterns::of_scan(scan, field, *most, request)?,
    };
    for row in rows {
        if emit(row).is_break() {
            break;
        }
    }
    Ok(())
}
