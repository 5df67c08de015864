//! Exact counts of one field's values, however many there are: `top`, and `stats count() by field` of which only the most
//! frequent are wanted.
//!
//! Values are packed ([`Packed`]), dealt into 256 partitions by hash and counted in flat tables, one a partition, which all
//! threads share: a thread collects values and puts those of a partition into its table together. So the table in use fits the
//! processor's cache, nothing is merged at the end, and only the winners become strings.
//!
//! Limits: the tables take [`super::Limits::bytes`]. When they are full the upper half of the partitions is given up, and the
//! rows are read again for it in a further pass: 64 MiB hold some four million ids of 16 digits a pass. What threads
//! collect comes on top, [`COLLECTED`] each. Past 256 passes' worth the answer is partial.
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
use super::cancel::Go;
use super::flat::{Fixed, PARTITIONS, Pass, partition_of};
use super::out::{OutRow, OutValue, SortView};
use super::packed::Packed;
use super::plan::{Agg, Function, Key, SortKey};
use super::scan::{Found, Scan};
use super::view::virtual_reader;
use super::{Limits, QueryError, Stats};
use crate::base::predicate::Number;
use crate::store::source::{Chunk, Counted, Dict, Kind};

/// Bytes of values that a thread collects before it puts them into tables, partition by partition: many for each, since
/// a table comes into the processor's cache once for all of them.
const COLLECTED: usize = 8 << 20;
/// More winners than this are left to the general way.
const MOST_WINNERS: usize = 10_000;

/// What a thread has collected and not yet put into tables.
struct Collector<'p> {
    pass: &'p Pass,
    narrow: Vec<Vec<(u64, u32)>>,
    wide: [Vec<Vec<(u128, u32)>>; 3],
    /// Bytes of both.
    bytes: usize,
    /// Rows by code of the dictionary that is being read.
    codes: Option<(Arc<Dict>, Vec<u32>)>,
    /// Rows that have a value.
    having: u64,
}

/// Adds to a partition's values, and says how many bytes that took.
fn collect<K>(all: &mut Vec<Vec<(K, u32)>>, partition: usize, key: K, count: u32) -> usize {
    if all.is_empty() {
        all.resize_with(PARTITIONS, Vec::new);
    }
    if let Some(own) = all.get_mut(partition) {
        if own.len() == own.capacity() {
            // Most get about their share; growing step by step would copy it again and again.
            own.reserve(if own.is_empty() { 64 } else { COLLECTED / PARTITIONS / size_of::<(K, u32)>() });
        }
        own.push((key, count));
    }
    size_of::<(K, u32)>()
}

impl<'p> Collector<'p> {
    fn new(pass: &'p Pass) -> Self {
        Self { pass, narrow: Vec::new(), wide: [const { Vec::new() }; 3], bytes: 0, codes: None, having: 0 }
    }

    /// Counts a value so many times.
    fn add(&mut self, value: Packed<'_>, count: u32) {
        self.having += u64::from(count);
        let pass = self.pass;
        let partition = partition_of(match value {
            Packed::Hex16(key) => key.hash(pass.seed),
            Packed::Wide(_, key) => key.hash(pass.seed),
            Packed::Long(text) => pass.hasher.hash_one(text),
        });
        if !pass.counts(partition) {
            return;
        }
        self.bytes += match value {
            Packed::Hex16(key) => collect(&mut self.narrow, partition, key, count),
            Packed::Wide(class, key) => collect(&mut self.wide[class as usize], partition, key, count),
            Packed::Long(text) => {
                pass.with(partition, |table| table.add_long(text, count));
                0
            }
        };
        if self.bytes >= COLLECTED {
            self.put_away();
        }
    }

    /// Puts what was collected into tables.
    fn put_away(&mut self) {
        let pass = self.pass;
        for (partition, own) in self.narrow.iter_mut().enumerate().filter(|(_, own)| !own.is_empty()) {
            pass.with(partition, |table| own.drain(..).for_each(|(key, count)| table.narrow.add(key, count, pass.seed)));
            own.clear();
        }
        for (class, all) in self.wide.iter_mut().enumerate() {
            for (partition, own) in all.iter_mut().enumerate().filter(|(_, own)| !own.is_empty()) {
                pass.with(partition, |table| {
                    own.drain(..).for_each(|(key, count)| table.wide[class].add(key, count, pass.seed))
                });
                own.clear();
            }
        }
        self.bytes = 0;
    }

    /// Puts everything into the tables, and gives how many rows had a value.
    fn finish(mut self) -> u64 {
        self.finish_codes();
        self.put_away();
        self.having
    }

    fn finish_codes(&mut self) {
        let Some((dict, counts)) = self.codes.take() else { return };
        // Code 0 is no value.
        for (entry, &count) in counts.iter().skip(1).enumerate().filter(|(_, count)| **count > 0) {
            self.add(Packed::of(dict.entry(entry)), count);
        }
    }

    /// Counts the kept rows of a group by these columns of one field.
    fn see(&mut self, found: &Found<'_, '_>, columns: &[usize]) {
        let rows = found.rows;
        for chunk in columns.iter().filter_map(|&column| found.view.chunk(column)) {
            match &*chunk {
                Chunk::Dict { codes, dict } => self.see_codes(codes, dict, rows),
                Chunk::Fixed { form, bytes, present } => {
                    let mut text = Vec::new();
                    for (row, raw) in bytes.chunks_exact(form.width()).enumerate() {
                        if !rows.has(row) || !present.has(row) {
                            continue;
                        }
                        if let Some(packed) = Packed::of_raw(*form, raw) {
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
                        if let Some(text) = other.text_of(row, &mut scratch) {
                            self.add(Packed::of(text), 1);
                        }
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
            if count < worst.count || (count == worst.count && self.worst_is_number && value.is_no_number()) {
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
    // A key of that name is meant first.
    let is_count = |name: &str| name != key.name && aggs.iter().any(|agg| agg.name == name || agg.name == format!("{name}()"));
    let by_count = match sort {
        [count] => count.descending && is_count(&count.field),
        [count, then] => count.descending && is_count(&count.field) && !then.descending && then.field == key.name,
        _ => false,
    };
    let only_counts = aggs.iter().all(|agg| agg.function == Function::Count && agg.name != key.name);
    let strings = scan.sources.iter().all(|source| {
        source.columns().iter().filter(|column| *column.name == *key.field).all(|column| column.kind == Kind::Str)
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
    let mut plan = Plan::new(scan, key);
    let mut winners = Winners::new(most);
    let mut partitions = 0..PARTITIONS;
    loop {
        let pass = Pass::new(partitions.clone(), limits.bytes, hasher.clone());
        let mut having = plan.count_dictionaries(scan, &pass, limits);
        let order: Vec<usize> = (0..scan.work.len()).filter(|&at| !plan.read[scan.work[at].source].is_empty()).collect();
        let collectors = scan.each_of_all(
            &order,
            || Collector::new(&pass),
            |collector, found| collector.see(found, &plan.read[found.work.source]),
        )?;
        let left = Mutex::new(collectors);
        let finish = || {
            let mut having = 0;
            loop {
                // Not in the condition, which would hold the lock.
                let next = left.lock().pop();
                match next {
                    Some(collector) => having += collector.finish(),
                    None => return having,
                }
            }
        };
        having += on_threads(limits.threads, finish).into_iter().sum::<u64>();
        if pass.lost() {
            stats.miss("there are more groups or values than memory allows; some rows are not counted");
        }
        if pass.from == 0 {
            for work in scan.work.iter().filter(|work| plan.read[work.source].is_empty()) {
                scan.note_unread(scan.sources[work.source].rows(work.group));
            }
            let missing = scan.matched().saturating_sub(having);
            if missing > 0 && !key.skip_missing {
                winners.push(Candidate { count: missing, text: None });
            }
        }
        let to = pass.to();
        let width = to - pass.from;
        scan.cancel.go_on(0)?;
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

/// How the columns of the field are counted, by source: a field may have several, at most one with a value in a row.
struct Plan {
    /// By the counts of their dictionaries: (source, column), of sources of which every row is kept.
    whole: Vec<(usize, usize)>,
    /// Row by row, columns by source.
    read: Vec<Vec<usize>>,
}

impl Plan {
    fn new(scan: &Scan<'_>, key: &Key) -> Self {
        let mut plan = Self { whole: Vec::new(), read: vec![Vec::new(); scan.sources.len()] };
        let mut from = 0;
        while from < scan.work.len() {
            let index = scan.work[from].source;
            let source = &scan.sources[index];
            // The list is in the order of sources.
            let to = from + scan.work[from..].iter().take_while(|work| work.source == index).count();
            let is_whole = to - from == source.groups()
                && scan.work[from..to].iter().all(|work| scan.keeps_all(work) && source.deleted(work.group).is_none());
            let columns = source.columns().iter().enumerate().filter(|(_, column)| *column.name == *key.field);
            for (column, _) in columns {
                if is_whole {
                    plan.whole.push((index, column));
                } else {
                    plan.read[index].push(column);
                }
            }
            if !is_whole && plan.read[index].is_empty() {
                // No such field: its rows are kept and counted without a value. No column has this number.
                plan.read[index].push(usize::MAX);
            }
            from = to;
        }
        plan
    }

    /// Adds what dictionaries have counted, and says of how many rows. Those that can't be read (or are none) are left to be
    /// read row by row, in this pass and all after it.
    fn count_dictionaries(&mut self, scan: &Scan<'_>, pass: &Pass, limits: &Limits) -> u64 {
        let whole = &self.whole;
        let next = AtomicUsize::new(0);
        let left = Mutex::new(Vec::new());
        let having = on_threads(limits.threads.min(whole.len()), || {
            let mut collector = Collector::new(pass);
            while let Some(&(source, column)) = whole.get(next.fetch_add(1, Relaxed)) {
                if scan.cancel.go() != Go::On {
                    // It is left to be read, which then ends at once and says so.
                    left.lock().push((source, column));
                    continue;
                }
                let Some(Counted { dict, counts }) = scan.sources[source].value_counts(column).ok().flatten() else {
                    left.lock().push((source, column));
                    continue;
                };
                for (entry, count) in counts.into_iter().enumerate() {
                    let value = Packed::of(dict.entry(entry));
                    let mut rest = count;
                    while rest > 0 {
                        let some = u32::try_from(rest).unwrap_or(u32::MAX);
                        collector.add(value, some);
                        rest -= u64::from(some);
                    }
                }
            }
            collector.finish()
        });
        let left = left.into_inner();
        self.whole.retain(|own| !left.contains(own));
        left.into_iter().for_each(|(source, column)| self.read[source].push(column));
        having.into_iter().sum()
    }
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
