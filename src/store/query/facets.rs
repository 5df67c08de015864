//! What a search page shows beside rows: counts over time, the most frequent values of a field, which fields there are.
//!
//! All three ask the predicate of the query's head (with every `where` and computed column that stands before `stats` or `limit`)
//! and not its other pipes.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::cancel::Cancel;
use super::layers::Layers;
use super::out::OutValue;
use super::plan::{Bin, SortKey};
use super::scan::{Scan, Want};
use super::split::{split, top_stats};
use super::{QueryError, Request, Stats, stats, table};
use crate::store::source::{Chunk, Kind, Present, Source};

/// Counts of rows in equal steps of time.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// Start of the first bucket, nanoseconds since 1970.
    pub from: i64,
    /// End of the last bucket.
    pub to: i64,
    /// Width of a bucket, nanoseconds.
    pub step: i64,
    /// (start, rows), without gaps.
    pub buckets: Vec<(i64, u64)>,
    /// Rows in all.
    pub total: u64,
    /// What was read.
    pub stats: Stats,
}

/// The most frequent values of a field.
#[derive(Clone, Debug, PartialEq)]
pub struct TopValues {
    /// The field.
    pub field: String,
    /// Rows that were kept.
    pub total: u64,
    /// (value, rows), most frequent first.
    pub values: Vec<(OutValue, u64)>,
    /// What was read.
    pub stats: Stats,
}

/// A field of the kept rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldSummary {
    /// Its name.
    pub name: Arc<str>,
    /// Rows that have it, among those looked at.
    pub count: u64,
    /// What its values are: `string`, `list`, `integer`, `decimal`, `boolean`.
    pub types: Vec<&'static str>,
}

/// Groups that [`fields_of`] looks at: a quarter of a million rows.
const SAMPLED_GROUPS: usize = 32;

/// Steps that people read easily, in nanoseconds.
pub fn nice_step(span: i64, buckets: usize) -> i64 {
    const MS: i64 = 1_000_000;
    const S: i64 = 1000 * MS;
    const STEPS: [i64; 30] = [
        MS,
        2 * MS,
        5 * MS,
        10 * MS,
        20 * MS,
        50 * MS,
        100 * MS,
        200 * MS,
        500 * MS,
        S,
        2 * S,
        5 * S,
        10 * S,
        15 * S,
        30 * S,
        60 * S,
        120 * S,
        300 * S,
        600 * S,
        900 * S,
        1800 * S,
        3600 * S,
        7200 * S,
        10_800 * S,
        21_600 * S,
        43_200 * S,
        86_400 * S,
        172_800 * S,
        604_800 * S,
        2_592_000 * S,
    ];
    let buckets = i64::try_from(buckets.max(1)).unwrap_or(i64::MAX);
    // One bucket more than fits exactly may be touched at the ends.
    let least = span / buckets + 1;
    let year = 365 * 86_400 * S;
    STEPS.into_iter().find(|&step| step >= least).unwrap_or_else(|| (least / year).saturating_add(1).saturating_mul(year))
}

/// Counts kept rows in equal steps of time, at most about `buckets` of them.
///
/// # Errors
/// Cancelled.
pub fn histogram_of(
    sources: &[Arc<dyn Source>],
    request: &Request,
    buckets: usize,
    cancel: &Cancel,
) -> Result<Histogram, QueryError> {
    let start = cancel.elapsed();
    let layers = Layers::new(sources, &split(request)?, request);
    let scan = Scan::new(&layers, request, cancel);
    let least = scan.work.iter().map(|work| work.least).min();
    let greatest = scan.work.iter().map(|work| work.greatest).max();
    let from = request.from_ns.or(least).unwrap_or(0);
    let to = request.to_ns.or(greatest.map(|ns| ns.saturating_add(1))).unwrap_or(from).max(from);
    let step = nice_step(to.saturating_sub(from), buckets.clamp(1, 10_000));
    let bin = Bin { step, offset: 0 };
    let first = from.div_euclid(step);
    let count = usize::try_from((to.max(from.saturating_add(1)) - 1).div_euclid(step) - first + 1).unwrap_or(1).min(20_001);
    let index = |ns: i64| usize::try_from(ns.div_euclid(step) - first).unwrap_or(0).min(count - 1);
    let mut order: Vec<usize> = (0..scan.work.len()).collect();
    let mut counts = vec![0u64; count];
    // A group of which all rows are kept and lie within one bucket is counted without being read.
    order.retain(|&at| {
        let work = &scan.work[at];
        let read = index(work.least) != index(work.greatest) || !scan.keeps_all(work);
        if !read {
            let rows = scan.alive(work).count();
            counts[index(work.least)] += rows as u64;
            scan.note_unread(rows);
        }
        read
    });
    let results = scan.each_of_all(
        &order,
        || vec![0u64; count],
        |counts, found| {
            if index(found.work.least) == index(found.work.greatest) {
                counts[index(found.work.least)] += found.rows.count() as u64;
                return;
            }
            let times = found.view.times();
            // Rows lie about in order of time: mostly the bucket of the row before.
            let (mut start, mut end, mut bucket) = (1, 0, 0);
            for row in found.rows.iter() {
                let ns = times.get(row).copied().unwrap_or(found.work.least);
                if ns < start || ns >= end {
                    bucket = index(ns);
                    (start, end) = bin.around(ns);
                }
                counts[bucket] += 1;
            }
        },
    )?;
    for result in results {
        counts.iter_mut().zip(result).for_each(|(own, their)| *own += their);
    }
    let bucket_start = |at: usize| (first + i64::try_from(at).unwrap_or(0)).saturating_mul(step);
    let mut stats = Stats::default();
    scan.finish(&mut stats)?;
    stats.elapsed = cancel.elapsed().saturating_sub(start);
    Ok(Histogram {
        from: bucket_start(0),
        to: bucket_start(count),
        step,
        total: counts.iter().sum(),
        buckets: counts.into_iter().enumerate().map(|(at, rows)| (bucket_start(at), rows)).collect(),
        stats,
    })
}

/// The most frequent values of a field among kept rows.
///
/// # Errors
/// Cancelled.
pub fn top_values_of(
    sources: &[Arc<dyn Source>],
    request: &Request,
    field: &str,
    limit: usize,
    cancel: &Cancel,
) -> Result<TopValues, QueryError> {
    let start = cancel.elapsed();
    let layers = Layers::new(sources, &split(request)?, request);
    let scan = Scan::new(&layers, request, cancel);
    let mut stats = Stats::default();
    let (aggs, by) = top_stats(&[field.to_owned()]);
    let order = [SortKey::new("count()", true)];
    let mut rows = stats::grouped(&scan, (&aggs, &by), Some((&order, limit)), request, &mut stats)?;
    table::sort(&mut rows, &order);
    let value = |row: &super::OutRow| {
        let mut columns = row.fields.iter();
        let value = columns.next()?.1.clone();
        match columns.next()?.1 {
            OutValue::Int(count) => Some((value, u64::try_from(count).unwrap_or(0))),
            _ => None,
        }
    };
    let values = rows.iter().filter_map(value).take(limit).collect();
    scan.finish(&mut stats)?;
    stats.elapsed = cancel.elapsed().saturating_sub(start);
    Ok(TopValues { field: field.into(), total: stats.rows_matched, values, stats })
}

/// Which fields kept rows have, by the newest [`SAMPLED_GROUPS`] groups that hold any; most frequent first. `partial` where there
/// are more.
///
/// # Errors
/// Cancelled.
pub fn fields_of(
    sources: &[Arc<dyn Source>],
    request: &Request,
    cancel: &Cancel,
) -> Result<(Vec<FieldSummary>, Stats), QueryError> {
    type Seen = BTreeMap<Arc<str>, (u64, Vec<&'static str>)>;
    let start = cancel.elapsed();
    let layers = Layers::new(sources, &split(request)?, request);
    let scan = Scan::new(&layers, request, cancel);
    let mut order: Vec<usize> = (0..scan.work.len()).collect();
    order.sort_by_key(|&index| std::cmp::Reverse(scan.work[index].greatest));
    let sampled = std::sync::atomic::AtomicUsize::new(0);
    let left_out = std::sync::atomic::AtomicBool::new(false);
    let relaxed = std::sync::atomic::Ordering::Relaxed;
    let results = scan.each(
        &order,
        Seen::new,
        |_| {
            let done = sampled.load(relaxed) >= SAMPLED_GROUPS;
            left_out.fetch_or(done, relaxed);
            if done { Want::Done } else { Want::Read }
        },
        |seen, found| {
            sampled.fetch_add(1, relaxed);
            for (index, column) in found.view.source.columns().iter().enumerate() {
                if column.name.starts_with(super::program::HIDDEN) {
                    continue;
                }
                let Some(chunk) = found.view.chunk(index) else { continue };
                let having = |present: &Present| match present {
                    Present::All => found.rows.count(),
                    Present::Some(words) => {
                        let mut rows = found.rows.clone();
                        rows.and_words(words);
                        rows.count()
                    }
                };
                let rows = match &*chunk {
                    Chunk::Dict { codes, .. } => {
                        found.rows.iter().filter(|&row| codes.get(row).is_some_and(|&code| code != 0)).count()
                    }
                    other => other.present().map_or(0, having),
                };
                if rows > 0 {
                    let (count, types) = seen.entry(Arc::clone(&column.name)).or_default();
                    *count += rows as u64;
                    let name = kind_name(column.kind);
                    if !types.contains(&name) {
                        types.push(name);
                    }
                }
            }
        },
    )?;
    let mut all = Seen::new();
    for (name, (rows, kinds)) in results.into_iter().flatten() {
        let (count, types) = all.entry(name).or_default();
        *count += rows;
        types.extend(kinds);
        types.sort_unstable();
        types.dedup();
    }
    let mut fields: Vec<FieldSummary> =
        all.into_iter().map(|(name, (count, types))| FieldSummary { name, count, types }).collect();
    fields.sort_by_key(|field| std::cmp::Reverse(field.count));
    let mut stats = Stats::default();
    scan.finish(&mut stats)?;
    if left_out.load(relaxed) {
        stats.miss("only the newest rows were looked at");
    }
    stats.elapsed = cancel.elapsed().saturating_sub(start);
    Ok((fields, stats))
}

fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Str => "string",
        Kind::List => "list",
        Kind::Int => "integer",
        Kind::Float => "decimal",
        Kind::Bool => "boolean",
    }
}
