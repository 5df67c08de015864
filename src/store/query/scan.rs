//! The list of row groups that a query has to read, and the threads that read them.
//!
//! Groups are taken one by one from one list in a given order, so that a query that has enough can stop early. Each thread keeps
//! its own result; the caller merges them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::bits::Bits;
use super::cancel::{Cancel, Go};
use super::deal::Deal;
use super::explain::Why;
use super::figures::Moment;
use super::layers::{Layer, Layers};
use super::select::{Selector, SourceSelector};
use super::view::GroupView;
use super::{QueryError, Request, Stats};
use crate::base::low;
use crate::store::source::Source;

/// After how many times [`super::Limits::alone`] another thread is begun though no core is idle.
const PATIENCE: u32 = 25;

/// A row group that may hold kept rows.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    /// Index of the source.
    pub source: usize,
    /// Group of the source.
    pub group: usize,
    /// Earliest time.
    pub least: i64,
    /// Latest time.
    pub greatest: i64,
}

/// A query's way through the sources.
#[derive(Debug)]
pub struct Scan<'a> {
    /// The sources.
    pub sources: &'a [Arc<dyn Source>],
    /// Their topics' names.
    pub topics: Vec<Arc<str>>,
    /// Place of each source's topic among the sorted names of topics.
    pub topic_ranks: Vec<u32>,
    /// What is to be read.
    pub work: Vec<Work>,
    layers: &'a Layers,
    stages: Vec<Stage<'a>>,
    /// Whether anybody still listens.
    pub cancel: &'a Cancel,
    threads: usize,
    alone: Duration,
    late: AtomicBool,
    rows_scanned: AtomicU64,
    rows_matched: AtomicU64,
    groups_scanned: AtomicU64,
    groups_skipped: AtomicU64,
    damaged: AtomicU64,
    /// Whether what is read now was read and counted before.
    again: AtomicBool,
    bytes: AtomicU64,
    /// Groups left out, by reason.
    why: [AtomicU64; Why::ALL.len()],
    select_ns: AtomicU64,
    gather_ns: AtomicU64,
}

/// A predicate on its way through the sources.
#[derive(Debug)]
struct Stage<'a> {
    layer: &'a Layer,
    sources: &'a [Arc<dyn Source>],
    selector: Selector,
    per_source: Vec<OnceLock<SourceSelector>>,
}

impl Stage<'_> {
    fn own(&self, source: usize) -> &SourceSelector {
        self.per_source[source].get_or_init(|| self.selector.for_source(&*self.sources[source]))
    }
}

/// A row group with the rows that are kept.
#[derive(Debug)]
pub struct Found<'a, 'v> {
    /// Which.
    pub work: Work,
    /// Its columns.
    pub view: &'v GroupView<'a>,
    /// The kept rows; at least one.
    pub rows: &'v Bits,
}

impl Found<'_, '_> {
    /// When and where a row comes from; `topic` is the place of its topic's name.
    pub fn moment(&self, row: usize, topic: u32) -> Moment {
        let time = self.view.times().get(row).copied().unwrap_or(0);
        let Some(lineage) = self.view.lineage() else { return Moment { time, topic, ..Moment::default() } };
        Moment {
            time,
            topic,
            partition: lineage.partitions.get(row).copied().unwrap_or(0),
            offset: lineage.offsets.get(row).copied().unwrap_or(0),
            n: lineage.ns.get(row).copied().unwrap_or(0),
        }
    }
}

impl<'a> Scan<'a> {
    /// Lists what is to be read.
    pub fn new(layers: &'a Layers, request: &Request, cancel: &'a Cancel) -> Self {
        let sources = layers.sources.as_slice();
        let topics: Vec<Arc<str>> = sources.iter().map(|source| source.topic_name()).collect();
        let mut names: Vec<&Arc<str>> = topics.iter().collect();
        names.sort_unstable();
        names.dedup();
        let topic_ranks = topics
            .iter()
            .map(|name| names.binary_search(&name).map_or(0, |at| u32::try_from(at).unwrap_or(u32::MAX)))
            .collect();
        let (from, to) = (request.from_ns.unwrap_or(i64::MIN), request.to_ns.unwrap_or(i64::MAX));
        let (mut work, mut skipped, mut elsewhere) = (Vec::new(), 0, 0);
        for (index, source) in sources.iter().enumerate() {
            let wanted = request.topics.as_ref().is_none_or(|wanted| wanted.iter().any(|name| **name == *topics[index]));
            elsewhere += if wanted { 0 } else { source.groups() as u64 };
            for group in 0..if wanted { source.groups() } else { 0 } {
                let (least, greatest) = source.time_bounds(group);
                let open = request.to_ns.is_none();
                if source.rows(group) == 0 || greatest < from || (!open && least >= to) {
                    skipped += 1;
                } else {
                    work.push(Work { source: index, group, least, greatest });
                }
            }
        }
        let stage = |layer: &'a Layer| Stage {
            layer,
            sources: layer.sources.as_deref().unwrap_or(sources),
            selector: Selector::new(&layer.predicate),
            per_source: sources.iter().map(|_| OnceLock::new()).collect(),
        };
        let scan = Self {
            sources,
            topics,
            topic_ranks,
            work,
            layers,
            stages: layers.stages.iter().map(stage).collect(),
            cancel,
            threads: request.limits.threads.max(1),
            alone: request.limits.alone,
            late: AtomicBool::new(false),
            rows_scanned: AtomicU64::new(0),
            rows_matched: AtomicU64::new(0),
            groups_scanned: AtomicU64::new(0),
            groups_skipped: AtomicU64::new(skipped),
            damaged: AtomicU64::new(0),
            again: AtomicBool::new(false),
            bytes: AtomicU64::new(0),
            why: Default::default(),
            select_ns: AtomicU64::new(0),
            gather_ns: AtomicU64::new(0),
        };
        scan.left_out(Why::Time, skipped);
        scan.left_out(Why::Topic, elsewhere);
        scan
    }

    fn left_out(&self, why: Why, groups: u64) {
        if let Some(count) = self.why.get(why.index()) {
            count.fetch_add(groups, Ordering::Relaxed);
        }
    }

    /// Least and greatest time of the groups that may hold kept rows, as far as that is plain before they are read.
    pub fn span(&self) -> Option<(i64, i64)> {
        let plain = |stage: &&Stage<'_>| !stage.layer.computed && stage.layer.sources.is_none();
        let asked = self.stages.iter().filter(plain).map(|stage| stage.layer.predicate.time_bounds());
        let (from, to) = asked.fold((i64::MIN, i64::MAX), |own, other| (own.0.max(other.0), own.1.min(other.1)));
        let may = |work: &&Work| {
            let source = &*self.sources[work.source];
            work.greatest >= from
                && work.least <= to
                && self
                    .stages
                    .iter()
                    .filter(plain)
                    .all(|stage| stage.selector.may_match(stage.own(work.source), source, work.group))
        };
        let mut spans = self.work.iter().filter(may).map(|work| (work.least.max(from), work.greatest.min(to)));
        let first = spans.next()?;
        Some(spans.fold(first, |own, other| (own.0.min(other.0), own.1.max(other.1))))
    }

    /// How many threads read so many groups.
    pub fn readers(&self, order: &[usize]) -> usize {
        self.threads.min(order.len().div_ceil(2)).max(1)
    }

    /// On how many threads groups are read at most.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Whether it is plain, without reading anything, that every row of the group is kept.
    pub fn keeps_all(&self, work: &Work) -> bool {
        let keeps = |stage: &Stage<'_>| {
            stage.selector.is_plain()
                && stage.selector.keeps_all(stage.own(work.source), &*stage.sources[work.source], work.group)
        };
        !self.sources[work.source].is_shut() && self.stages.iter().all(keeps)
    }

    /// The parts of the predicates in the order in which they are asked.
    pub fn order(&self) -> Vec<String> {
        self.stages.iter().flat_map(|stage| stage.selector.order()).collect()
    }

    /// Counts the kept rows of whole sources where dictionaries tell it, and gives what is left to be read.
    pub fn count_by_dictionaries(&self) -> (usize, Vec<usize>) {
        let [stage] = self.stages.as_slice() else { return (0, (0..self.work.len()).collect()) };
        let (mut counted, mut left) = (0, Vec::new());
        let mut from = 0;
        while let Some(index) = self.work.get(from).map(|work| work.source) {
            let source = &stage.sources[index];
            // The list is in the order of sources.
            let to = from + self.work[from..].iter().take_while(|work| work.source == index).count();
            if self.cancel.go() != Go::On {
                left.extend(from..self.work.len());
                break;
            }
            let is_whole = to - from == source.groups() && (0..to - from).all(|group| source.deleted(group).is_none());
            match is_whole.then(|| stage.selector.count(stage.own(index), &**source)).flatten() {
                Some(rows) => {
                    counted += rows;
                    self.groups_skipped.fetch_add((to - from) as u64, Ordering::Relaxed);
                    self.left_out(Why::Counted, (to - from) as u64);
                    self.rows_matched.fetch_add(rows as u64, Ordering::Relaxed);
                }
                None => left.extend(from..to),
            }
            from = to;
        }
        (counted, left)
    }

    /// A group, nothing of it read yet.
    pub fn view(&self, source: usize, group: usize) -> GroupView<'a> {
        GroupView::new(&*self.sources[source], Arc::clone(&self.topics[source]), group)
    }

    /// Adds what was read of a group, and what could not be.
    pub fn note_damage(&self, view: &GroupView<'_>) {
        let damaged = view.damaged.replace(0);
        if !self.again.load(Ordering::Relaxed) {
            self.damaged.fetch_add(damaged, Ordering::Relaxed);
        }
        self.bytes.fetch_add(view.bytes.replace(0), Ordering::Relaxed);
    }

    /// How many rows were kept so far.
    pub fn matched(&self) -> u64 {
        self.rows_matched.load(Ordering::Relaxed)
    }

    /// From now on what is read has been read before: it is not counted twice.
    pub fn read_again(&self) {
        self.again.store(true, Ordering::Relaxed);
    }

    /// Counts a group whose rows were counted without reading it.
    pub fn note_unread(&self, rows: usize) {
        self.groups_skipped.fetch_add(1, Ordering::Relaxed);
        self.left_out(Why::Counted, 1);
        self.rows_matched.fetch_add(rows as u64, Ordering::Relaxed);
    }

    /// Rows of a group that are not deleted.
    pub fn alive(&self, work: &Work) -> Bits {
        let source = &self.sources[work.source];
        let mut rows = Bits::all(source.rows(work.group));
        if let Some(deleted) = source.deleted(work.group) {
            rows.and_not_words(&deleted);
        }
        rows
    }

    /// Reads the groups of `order` (indexes into [`Scan::work`]) on up to the allowed threads. `wanted` is asked before a group is
    /// read and may end the whole, `see` gets what was found. Gives each thread's result.
    ///
    /// # Errors
    /// Cancelled.
    pub fn each<T: Send>(
        &self,
        order: &[usize],
        fresh: impl Fn() -> T + Sync,
        wanted: impl Fn(&Work) -> Want + Sync,
        see: impl Fn(&mut T, &Found<'_, '_>) + Sync,
    ) -> Result<Vec<T>, QueryError> {
        self.on_threads(order, &Deal::new(order.len(), false), fresh, wanted, see)
    }

    /// The same of all groups of `order`, whatever is found, and in any order.
    ///
    /// # Errors
    /// Cancelled.
    pub fn each_of_all<T: Send>(
        &self,
        order: &[usize],
        fresh: impl Fn() -> T + Sync,
        see: impl Fn(&mut T, &Found<'_, '_>) + Sync,
    ) -> Result<Vec<T>, QueryError> {
        self.on_threads(order, &Deal::new(order.len(), true), fresh, |_| Want::Read, see)
    }

    fn on_threads<T: Send>(
        &self,
        order: &[usize],
        deal: &Deal,
        fresh: impl Fn() -> T + Sync,
        wanted: impl Fn(&Work) -> Want + Sync,
        see: impl Fn(&mut T, &Found<'_, '_>) + Sync,
    ) -> Result<Vec<T>, QueryError> {
        let read = |thread: usize, between: &mut dyn FnMut()| {
            let mut result = fresh();
            while let Some(&index) = deal.take(thread).and_then(|at| order.get(at)) {
                between();
                match self.cancel.go() {
                    Go::On => {}
                    Go::Late => {
                        self.late.store(true, Ordering::Relaxed);
                        break;
                    }
                    Go::Cancelled => break,
                }
                let work = self.work[index];
                match wanted(&work) {
                    Want::Read => self.read(work, &mut result, &see),
                    Want::Skip => {
                        self.groups_skipped.fetch_add(1, Ordering::Relaxed);
                        self.left_out(Why::Enough, 1);
                    }
                    Want::Done => {
                        // This and all after it; the other thread may have taken one already.
                        self.left_out(Why::Enough, deal.stop() as u64);
                        break;
                    }
                }
            }
            result
        };
        let helpers = self.readers(order) - 1;
        let (read, begun) = (&read, self.cancel.elapsed());
        let results = std::thread::scope(|scope| {
            let mut threads = Vec::new();
            let mut ask = if helpers > 0 { self.alone } else { Duration::MAX };
            // Others are worth their beginning where this takes a while, and as much is left as was read.
            let mut between = || {
                let took = self.cancel.elapsed().saturating_sub(begun);
                if took < ask || !deal.is_young() {
                    return;
                }
                ask = took * 2;
                // Who is begun is waited for. On a busy machine that is longer than a short query.
                if took >= self.alone * PATIENCE || low::has_idle_core() {
                    threads.extend((1..=helpers).map(|thread| scope.spawn(move || read(thread, &mut || ()))));
                    ask = Duration::MAX;
                }
            };
            let mut results = vec![read(0, &mut between)];
            for thread in threads {
                match thread.join() {
                    Ok(result) => results.push(result),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            results
        });
        if self.cancel.go() == Go::Cancelled { Err(QueryError::Cancelled) } else { Ok(results) }
    }

    fn read<T>(&self, work: Work, result: &mut T, see: &impl Fn(&mut T, &Found<'_, '_>)) {
        let again = self.again.load(Ordering::Relaxed);
        let count = |counter: &AtomicU64, more: usize| {
            if !again {
                counter.fetch_add(more as u64, Ordering::Relaxed);
            }
        };
        let is_shut = self.sources[work.source].is_shut();
        for stage in &self.stages {
            let (own, source) = (stage.own(work.source), &*stage.sources[work.source]);
            if !stage.selector.may_match(own, source, work.group) {
                let why = stage.selector.why_not(own, source, work.group);
                if is_shut && !matches!(why, Why::Topic | Why::Time) {
                    break;
                }
                count(&self.groups_skipped, 1);
                self.left_out(why, u64::from(!again));
                return;
            }
        }
        if is_shut {
            // To show rows of which nothing is known helps nobody.
            return count(&self.damaged, 1);
        }
        let begin = self.cancel.elapsed();
        let view = self.view(work.source, work.group);
        let computed = self.layers.computed.get(work.source);
        let mut rows = self.alive(&work);
        for (index, stage) in self.stages.iter().enumerate() {
            let own = stage.own(work.source);
            if stage.layer.sources.is_some() {
                let earlier = GroupView::new(&*stage.sources[work.source], Arc::clone(&self.topics[work.source]), work.group);
                rows = stage.selector.select(own, &earlier, rows);
                self.note_damage(&earlier);
            } else {
                rows = stage.selector.select(own, &view, rows);
            }
            // What is computed from here on is computed of the rows that are left.
            let last = self.stages.get(index + 1).is_none_or(|next| next.layer.computed && next.layer.sources.is_none());
            if let Some(computed) = computed.filter(|_| last && !stage.layer.computed && rows.count() < view.rows) {
                computed.narrow(work.group, &rows);
            }
        }
        let selected = self.cancel.elapsed();
        count(&self.groups_scanned, 1);
        count(&self.rows_scanned, view.rows);
        let matched = rows.count();
        if matched > 0 {
            count(&self.rows_matched, matched);
            see(result, &Found { work, view: &view, rows: &rows });
        }
        self.note_damage(&view);
        let spent = |from: Duration, to: Duration| u64::try_from(to.saturating_sub(from).as_nanos()).unwrap_or(u64::MAX);
        self.select_ns.fetch_add(spent(begin, selected), Ordering::Relaxed);
        self.gather_ns.fetch_add(spent(selected, self.cancel.elapsed()), Ordering::Relaxed);
    }

    /// Whether the query should stop, for loops outside [`Scan::each`].
    ///
    /// # Errors
    /// Cancelled.
    pub fn go(&self) -> Result<bool, QueryError> {
        match self.cancel.go() {
            Go::On => Ok(true),
            Go::Cancelled => Err(QueryError::Cancelled),
            Go::Late => {
                self.late.store(true, Ordering::Relaxed);
                Ok(false)
            }
        }
    }

    /// Adds what was counted.
    ///
    /// # Errors
    /// Cancelled.
    pub fn finish(&self, stats: &mut Stats) -> Result<(), QueryError> {
        stats.rows_scanned += self.rows_scanned.load(Ordering::Relaxed);
        stats.rows_matched += self.rows_matched.load(Ordering::Relaxed);
        stats.groups_scanned += self.groups_scanned.load(Ordering::Relaxed);
        stats.groups_skipped += self.groups_skipped.load(Ordering::Relaxed);
        stats.damaged += self.damaged.load(Ordering::Relaxed);
        stats.bytes_scanned += self.bytes.load(Ordering::Relaxed);
        for (why, count) in Why::ALL.iter().zip(&self.why) {
            stats.left_out.add(*why, count.load(Ordering::Relaxed));
        }
        stats.spent.select += Duration::from_nanos(self.select_ns.load(Ordering::Relaxed));
        stats.spent.gather += Duration::from_nanos(self.gather_ns.load(Ordering::Relaxed));
        self.layers.finish(stats);
        if stats.damaged > 0 {
            stats.miss("some stored bytes are damaged; their values are left out, and for a time that of other rows stands");
        }
        if self.late.load(Ordering::Relaxed) {
            stats.miss("the time for this query was up before all was read");
        }
        if self.cancel.go() == Go::Cancelled { Err(QueryError::Cancelled) } else { Ok(()) }
    }
}

/// Whether a group is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// Yes.
    Read,
    /// Not this one.
    Skip,
    /// Neither this nor any after it.
    Done,
}
