//! Exact counts of one field's values, however many there are: `top`, and `stats count() by field` of which only the most
//! frequent are wanted.
//!
//! Values are packed ([`Packed`]), dealt into 256 partitions by hash and counted in flat tables, one a partition, which all
//! threads share: a thread collects a handful of values for a partition before it takes that table's lock. So tables stay
//! small enough for the processor's cache, nothing is merged at the end, and only the winners become strings.
//!
//! Limits: the tables take [`super::Limits::bytes`]. When they are full the upper half of the partitions is given up, and the
//! rows are read again for it in a further pass: 64 MiB hold some four million ids of 16 digits a pass. Threads' buffers come
//! on top, at most 2 MiB a thread. Past 256 passes' worth the answer is partial.
//!
//! Ties are broken as in any answer of `stats`: by the key, numbers first.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use hashbrown::DefaultHashBuilder;
use parking_lot::Mutex;

use super::bits::Bits;
use super::flat::{Fixed, PARTITIONS, Pass, partition_of};
use super::out::{OutRow, OutValue, SortView};
use super::packed::Packed;
use super::plan::{Agg, Function, Key, SortKey};
use super::scan::{Found, Scan, Want};
use super::stats::{WholeSource, whole_sources};
use super::view::virtual_reader;
use super::{Limits, QueryError, Stats};
use crate::base::predicate::Number;
use crate::store::source::{Chunk, Dict, Kind};

/// Values that a thread collects for a partition before it locks that table.
const BUFFER: usize = 64;
/// More winners than this are left to the general way.
const MOST_WINNERS: usize = 10_000;

/// What a thread has collected and not yet put into tables.
struct Collector<'p> {
    pass: &'p Pass,
    narrow: Vec<Vec<(u64, u32)>>,
    wide: [Vec<Vec<(u128, u32)>>; 3],
    /// Rows by code of the dictionary that is being read.
    codes: Option<(Arc<Dict>, Vec<u32>)>,
    missing: u64,
}

impl<'p> Collector<'p> {
    fn new(pass: &'p Pass) -> Self {
        Self { pass, narrow: Vec::new(), wide: [const { Vec::new() }; 3], codes: None, missing: 0 }
    }

    /// Counts a value so many times.
    fn add(&mut self, value: Packed<'_>, count: u32) {
        fn push<K>(buffers: &mut Vec<Vec<(K, u32)>>, partition: usize, key: K, count: u32) -> Option<&mut Vec<(K, u32)>> {
            if buffers.is_empty() {
                buffers.resize_with(PARTITIONS, Vec::new);
            }
            let buffer = &mut buffers[partition];
            buffer.push((key, count));
            (buffer.len() >= BUFFER).then_some(buffer)
        }
        let pass = self.pass;
        match value {
            Packed::Hex16(key) => {
                let partition = partition_of(key.hash(pass.seed));
                if pass.counts(partition)
                    && let Some(full) = push(&mut self.narrow, partition, key, count)
                {
                    pass.with(partition, |table| {
                        full.iter().for_each(|(key, count)| table.narrow.add(*key, *count, pass.seed))
                    });
                    full.clear();
                }
            }
            Packed::Wide(class, key) => {
                let partition = partition_of(key.hash(pass.seed));
                let at = class as usize;
                if pass.counts(partition)
                    && let Some(full) = push(&mut self.wide[at], partition, key, count)
                {
                    pass.with(partition, |table| {
                        full.iter().for_each(|(key, count)| table.wide[at].add(*key, *count, pass.seed))
                    });
                    full.clear();
                }
            }
            Packed::Long(text) => {
                let partition = partition_of(pass.hasher.hash_one(text));
                if pass.counts(partition) {
                    pass.with(partition, |table| table.add_long(text, count));
                }
            }
        }
    }

    /// Puts everything into the tables, and gives the rows without a value.
    fn finish(mut self) -> u64 {
        self.finish_codes();
        let pass = self.pass;
        for (partition, buffer) in self.narrow.iter().enumerate().filter(|(_, buffer)| !buffer.is_empty()) {
            pass.with(partition, |table| buffer.iter().for_each(|(key, count)| table.narrow.add(*key, *count, pass.seed)));
        }
        for (at, buffers) in self.wide.iter().enumerate() {
            for (partition, buffer) in buffers.iter().enumerate().filter(|(_, buffer)| !buffer.is_empty()) {
                pass.with(partition, |table| {
                    buffer.iter().for_each(|(key, count)| table.wide[at].add(*key, *count, pass.seed))
                });
            }
        }
        self.missing
    }

    fn finish_codes(&mut self) {
        let Some((dict, counts)) = self.codes.take() else { return };
        for (code, &count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            match code.checked_sub(1) {
                None => self.missing += u64::from(count),
                Some(entry) => self.add(Packed::of(dict.entry(entry)), count),
            }
        }
    }

    /// Counts the kept rows of a group.
    fn see(&mut self, found: &Found<'_, '_>, column: Option<usize>) {
        let rows = found.rows;
        let chunk = column.and_then(|column| found.view.chunk(column));
        let Some(chunk) = chunk else {
            self.missing += rows.count() as u64;
            return;
        };
        match &*chunk {
            Chunk::Dict { codes, dict } => self.see_codes(codes, dict, rows),
            Chunk::Fixed { form, bytes, present } => {
                let mut text = Vec::new();
                for (row, raw) in bytes.chunks_exact(form.width()).enumerate().filter(|(row, _)| rows.has(*row)) {
                    if !present.has(row) {
                        self.missing += 1;
                    } else if let Some(packed) = Packed::of_raw(*form, raw) {
                        self.add(packed, 1);
                    } else {
                        text.clear();
                        form.put_text(&mut text, raw);
                        self.add(Packed::of(&text), 1);
                    }
                }
            }
            other => {
                let mut scratch = Vec::new();
                for row in rows.iter() {
                    match other.text_of(row, &mut scratch) {
                        Some(text) => self.add(Packed::of(text), 1),
                        None => self.missing += 1,
                    }
                }
            }
        }
    }

    fn see_codes(&mut self, codes: &[u32], dict: &Arc<Dict>, rows: &Bits) {
        if !self.codes.as_ref().is_some_and(|(own, _)| Arc::ptr_eq(own, dict)) {
            self.finish_codes();
        }
        let (_, counts) = self.codes.get_or_insert_with(|| (Arc::clone(dict), vec![0; dict.len() + 1]));
        for row in rows.iter() {
            if let Some(count) = codes.get(row).and_then(|&code| counts.get_mut(code as usize)) {
                *count += 1;
            }
        }
        // Counts are of 32 bits: they are put away long before they could be full.
        if self.codes.as_ref().is_some_and(|(_, counts)| counts.iter().any(|&count| count > u32::MAX / 2)) {
            self.finish_codes();
        }
    }
}

/// A value that may be among the most frequent; greater is worse.
#[derive(Debug, PartialEq, Eq)]
struct Candidate {
    count: u64,
    /// `None`: no value.
    text: Option<Box<[u8]>>,
}

fn order_of(a: Option<&[u8]>, b: Option<&[u8]>) -> Ordering {
    let view = |text: Option<&[u8]>| text.map_or(SortView::Missing, SortView::of_bytes).order(&SortView::Missing);
    match (a, b) {
        (Some(a), Some(b)) => SortView::of_bytes(a).order(&SortView::of_bytes(b)).then_with(|| a.cmp(b)),
        _ => view(a).cmp(&view(b)),
    }
}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        other.count.cmp(&self.count).then_with(|| order_of(self.text.as_deref(), other.text.as_deref()))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The most frequent values so far.
struct Winners {
    most: usize,
    heap: BinaryHeap<Candidate>,
    /// Whether the worst of a full heap is a number: then no other string can take its place at the same count.
    worst_is_number: bool,
    scratch: Vec<u8>,
}

impl Winners {
    fn new(most: usize) -> Self {
        Self { most, heap: BinaryHeap::new(), worst_is_number: false, scratch: Vec::new() }
    }

    fn offer(&mut self, value: Packed<'_>, count: u64) {
        if self.heap.len() >= self.most {
            let Some(worst) = self.heap.peek() else { return };
            if count < worst.count {
                return;
            }
            self.scratch.clear();
            value.put_text(&mut self.scratch);
            let is_worse = || {
                (self.worst_is_number && Number::parse(&self.scratch).is_none())
                    || order_of(Some(&self.scratch), worst.text.as_deref()) != Ordering::Less
            };
            if count == worst.count && is_worse() {
                return;
            }
        } else {
            self.scratch.clear();
            value.put_text(&mut self.scratch);
        }
        self.push(Candidate { count, text: Some(self.scratch.as_slice().into()) });
    }

    fn push(&mut self, candidate: Candidate) {
        self.heap.push(candidate);
        if self.heap.len() > self.most {
            self.heap.pop();
        }
        let text = self.heap.peek().and_then(|worst| worst.text.as_deref());
        self.worst_is_number = text.is_some_and(|text| Number::parse(text).is_some());
    }
}

/// How many of the most frequent values are wanted, if that is all that is asked.
pub fn wanted(scan: &Scan<'_>, (aggs, by): (&[Agg], &[Key]), first: Option<(&[SortKey], usize)>) -> Option<usize> {
    let (sort, most) = first.filter(|(_, most)| *most <= MOST_WINNERS)?;
    let [key] = by else { return None };
    let is_count = |name: &str| aggs.iter().any(|agg| agg.name == name || agg.name == format!("{name}()"));
    let by_count = match sort {
        [count] => count.descending && is_count(&count.field),
        [count, then] => count.descending && is_count(&count.field) && !then.descending && then.field == key.name,
        _ => false,
    };
    let only_counts = aggs.iter().all(|agg| agg.function == Function::Count && agg.name != key.name);
    let strings = scan.sources.iter().all(|source| {
        let mut columns = source.columns().iter().filter(|column| *column.name == *key.field);
        columns.next().is_none_or(|column| column.kind == Kind::Str) && columns.next().is_none()
    });
    let named = sort.iter().all(|sort| sort.field != key.name || sort.field == key.field);
    (by_count && only_counts && strings && named && key.is_plain() && virtual_reader(&key.field).is_none()).then_some(most)
}

/// The `most` most frequent values of a key, in the order of their keys.
pub fn most_frequent(
    scan: &Scan<'_>,
    (aggs, key): (&[Agg], &Key),
    most: usize,
    limits: &Limits,
    stats: &mut Stats,
) -> Result<Vec<OutRow>, QueryError> {
    let hasher = DefaultHashBuilder::default();
    let columns: Vec<Option<usize>> =
        scan.sources.iter().map(|source| source.columns().iter().position(|column| *column.name == *key.field)).collect();
    let (mut whole, mut order) = whole_sources(scan, key);
    let mut winners = Winners::new(most);
    let mut partitions = 0..PARTITIONS;
    loop {
        let pass = Pass::new(partitions.clone(), limits.bytes, hasher.clone());
        let (mut missing, unknown) = count_dictionaries(scan, &pass, &whole, limits);
        // What a dictionary could not tell is read, in this pass and all after it.
        whole.retain(|own| !unknown.contains(own));
        order.extend(unknown.into_iter().flat_map(|own| own.work));
        let collectors = scan.each(
            &order,
            || Collector::new(&pass),
            |_| Want::Read,
            |collector, found| collector.see(found, columns[found.work.source]),
        )?;
        missing += collectors.into_iter().map(Collector::finish).sum::<u64>();
        if pass.lost() {
            stats.miss("there are more groups or values than memory allows; some rows are not counted");
        }
        if partitions.start == 0 && missing > 0 && !key.skip_missing {
            winners.push(Candidate { count: missing, text: None });
        }
        let to = pass.to();
        let width = to - pass.from;
        choose(&pass, &mut winners, limits.threads);
        if to == PARTITIONS || !scan.go()? {
            break;
        }
        partitions = to..(to + width).min(PARTITIONS);
        scan.read_again();
    }
    let mut winners = winners.heap.into_vec();
    winners.sort_unstable_by(|a, b| order_of(a.text.as_deref(), b.text.as_deref()));
    let key_name: Arc<str> = Arc::from(key.name.as_str());
    let names: Vec<Arc<str>> = aggs.iter().map(|agg| Arc::from(agg.name.as_str())).collect();
    let row = |Candidate { count, text }: Candidate| {
        let value = (Arc::clone(&key_name), text.map_or(OutValue::Null, OutValue::Str));
        let count = OutValue::Int(i64::try_from(count).unwrap_or(i64::MAX));
        OutRow { fields: std::iter::once(value).chain(names.iter().map(|name| (Arc::clone(name), count.clone()))).collect() }
    };
    Ok(winners.into_iter().map(row).collect())
}

/// Runs something on up to so many threads, this one among them.
fn on_threads<T: Send>(threads: usize, run: impl Fn() -> T + Sync) -> Vec<T> {
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads.max(1)).map(|_| scope.spawn(&run)).collect();
        let mut results = vec![run()];
        for other in others {
            match other.join() {
                Ok(result) => results.push(result),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        results
    })
}

/// Adds what whole sources' dictionaries have counted. Gives the rows without a value, and the sources whose dictionaries can't
/// be read.
fn count_dictionaries(scan: &Scan<'_>, pass: &Pass, whole: &[WholeSource], limits: &Limits) -> (u64, Vec<WholeSource>) {
    if whole.is_empty() {
        return (0, Vec::new());
    }
    let next = AtomicUsize::new(0);
    let unknown = Mutex::new(Vec::new());
    let missing = on_threads(limits.threads.min(whole.len()), || {
        let mut collector = Collector::new(pass);
        let mut missing = 0;
        while let Some(own) = whole.get(next.fetch_add(1, Relaxed)) {
            let Some(counted) = own.read(scan) else {
                unknown.lock().push(own.clone());
                continue;
            };
            missing += counted.missing as u64;
            for (entry, &count) in counted.counts.iter().enumerate() {
                let value = Packed::of(counted.dict.entry(entry));
                let mut left = count;
                while left > 0 {
                    let some = u32::try_from(left).unwrap_or(u32::MAX);
                    collector.add(value, some);
                    left -= u64::from(some);
                }
            }
            if pass.from == 0 {
                own.note(scan);
            }
        }
        missing + collector.finish()
    });
    (missing.into_iter().sum(), unknown.into_inner())
}

/// Offers all that a pass has counted.
fn choose(pass: &Pass, winners: &mut Winners, threads: usize) {
    let to = pass.to();
    let threads = if pass.bytes() > 1 << 20 { threads } else { 1 };
    let next = AtomicUsize::new(pass.from);
    let most = winners.most;
    let all = on_threads(threads, || {
        let mut own = Winners::new(most);
        loop {
            let partition = next.fetch_add(1, Relaxed);
            if partition >= to {
                return own;
            }
            pass.tables[partition].lock().each(|value, count| own.offer(value, count));
        }
    });
    for candidate in all.into_iter().flat_map(|own| own.heap) {
        winners.push(candidate);
    }
}
