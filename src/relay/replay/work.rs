//! The work of a replay on one range: stretch by stretch, from the queue through the chain to the stage.
//!
//! Invariants: a record's rows are in the stage before the progress passes it, and both become durable in one commit
//! ([`Work::checkpoint`]). What a commit that failed lost is made again, from the progress that is durable. Nothing at or above
//! the partition's committed cursor is handled: live rows of it might still come.
//! Emissions, dead letters and rows for outputs are not sent again: they were when the records were live. What another chain sends is
//! counted, and so are the records that it sends only elsewhere: these have no row any more.
//! Where the queue has a gap, the work goes on with records of rows that kept them ([`past`](super::past)); other rows stay.
//! **Filters that remember** begin with an empty state some [`WARM_OFFSETS`] offsets before the range, so that they know what they
//! would mostly know there; rows of that are nobody's. The range is to them like a generation of its own: what waits in the state
//! when it begins is not its own, and what waits when it ends becomes rows. The state is not kept over restarts or errors: it is
//! made again from that same place, which comes to the same, and nothing is staged twice.
//! Limits: a stage holds about [`STAGE_BYTES`]; a step reads one stretch.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::base::ids::Offset;
use crate::base::record::Records;
use crate::base::row::{KeepPayload, RowHead, Rows};
use crate::queue::Partition;
use crate::queue::batch::Scratch;
use crate::relay::RelayError;
use crate::relay::codec::{NotNow, Pending, Ran};
use crate::relay::generations::{Generations, Ready};
use crate::relay::history::{History, Range, Stretch, calls, decode, expire, without_gone};
use crate::relay::replay::job::{Job, Progress};
use crate::relay::replay::past::AtPast;
use crate::relay::replay::whole::may_join;
use crate::relay::shared::Shared;
use crate::relay::verdicts::{DEAD_PREFIX, store_as_it_is};
use crate::sandbox::{Arena, Output, State, VerdictKind};
use crate::store::Stage;
use crate::store::mask::Masks;

/// Memory of rows that one thread of a replay holds before it writes them to a part.
const STAGE_BYTES: usize = 24 * 1024 * 1024;

/// How many offsets before a range filters that remember are given.
const WARM_OFFSETS: u64 = 50_000;

/// What a step came to.
#[derive(Clone, Debug)]
pub(super) enum Did {
    /// There is more to do; so many bytes of payload were read.
    More(u64),
    /// The range is done, durably.
    All,
    /// The lane has not committed so far.
    WaitsForLane,
    /// A schema is not known yet.
    Waits(Pending),
}

/// A range at work.
pub(super) struct Work {
    progress: Progress,
    stage: Stage,
    documents: Vec<u8>,
    arena: Arena,
    /// Of filters that remember; none until it is known what they would know at `warm`.
    state: State,
    /// Up to where they were given records, when that is not the progress: before the range, and after a start.
    warm: Option<Offset>,
    /// Where the queue has a gap.
    past: Option<AtPast>,
}

impl Work {
    pub(super) fn new(generations: &Generations, progress: &Progress) -> Self {
        let stage = Stage::new(generations.topic, &generations.name);
        let (documents, arena, state) = (Vec::new(), Arena::new(), State::default());
        Self { progress: progress.clone(), stage, documents, arena, state, warm: None, past: None }
    }

    /// Forgets what is not durable.
    pub(super) fn start_over(&mut self, job: &Job, index: usize) {
        let durable = job.record.lock().parts.get(index).cloned();
        if let Some(progress) = durable {
            *self = Self::new(&job.generations, &progress);
        }
    }

    /// One step.
    pub(super) fn step(&mut self, shared: &Shared, job: &Job, index: usize) -> Result<Did, RelayError> {
        let range = self.progress.range;
        let Some(partition) =
            shared.queue.topic_by_id(job.generations.topic).and_then(|topic| topic.partition(range.partition))
        else {
            return Err(RelayError::NoTopic(job.generations.name.to_string()));
        };
        if self.progress.at >= range.end {
            self.checkpoint(shared, job, index)?;
            return Ok(Did::All);
        }
        let ready = job.ready(shared)?;
        if ready.chain.remembers()
            && let Some(did) = self.warm_up(shared, job, &partition, &ready)?
        {
            return Ok(did);
        }
        let committed = || shared.store.cursor(job.generations.topic, range.partition).unwrap_or(0);
        if committed() <= self.progress.at {
            shared.store.flush_topic(job.generations.topic)?;
        }
        let upto = committed().min(range.end);
        if upto <= self.progress.at {
            return Ok(Did::WaitsForLane);
        }
        let before = self.progress.bytes;
        let waits = self.stretch(shared, job, &partition, &ready, upto)?;
        if self.progress.at >= range.end {
            // What its filters still hold becomes rows, as where another generation begins.
            self.end(job, &ready);
        }
        if self.stage.bytes() >= STAGE_BYTES {
            self.checkpoint(shared, job, index)?;
        }
        Ok(match waits {
            Some(pending) => Did::Waits(pending),
            None => Did::More(self.progress.bytes - before),
        })
    }

    /// Brings the state to what it is at the progress: stretch by stretch, until it answers nothing.
    fn warm_up(
        &mut self,
        shared: &Shared,
        job: &Job,
        partition: &Arc<Partition>,
        ready: &Ready,
    ) -> Result<Option<Did>, RelayError> {
        let (range, at) = (self.progress.range, self.progress.at);
        let warm = match self.warm {
            Some(warm) if warm >= at => return Ok(None),
            Some(warm) => warm,
            None => range.first.saturating_sub(WARM_OFFSETS).max(partition.log_start()).min(range.first),
        };
        // Up to the range's first offset, where it begins anew; then up to the progress.
        let until = if warm < range.first { range.first } else { at };
        let mut next = warm;
        if warm < until {
            let mut history = History::new(partition, warm, until);
            let Some(Stretch { batches, gap }) = history.read()? else {
                self.warm = Some(until);
                return Ok(Some(Did::More(0)));
            };
            if let Some(gap) = gap.filter(|_| warm >= range.first) {
                self.refuse_gap(shared, job, ready, gap)?;
            }
            next = history.at();
            let masks = shared.store.masks(job.generations.topic);
            let mut scratch = Scratch::new();
            for stored in &batches {
                let Some(mut records) = decode(stored, &mut scratch) else { continue };
                let from = stored.base_offset.max(warm);
                let upto = stored.next_offset.min(until);
                without_gone(&mut records, (range.partition, masks.as_deref()), (from, upto));
                let ran = calls(&records, (from, upto), ready, &self.arena, &mut self.documents, &mut self.state, |_, _| true);
                self.arena.reset();
                match ran {
                    Ok(()) => {}
                    // From the beginning again: half a batch is in the state already.
                    Err(not_now) => {
                        (self.state, self.warm) = (State::default(), None);
                        return match not_now {
                            NotNow::Pending(pending) => Ok(Some(Did::Waits(pending))),
                            NotNow::Trouble(why) => Err(RelayError::Schemas(why)),
                        };
                    }
                }
            }
        }
        if next == range.first {
            expire(i64::MAX, ready, &self.arena, &mut self.state, |_| true);
            self.arena.reset();
            ready.chain.adopt(&mut self.state, job.generation);
        }
        // What was changed is kept nowhere.
        drop(self.state.take_changes());
        self.warm = Some(next);
        Ok((next < at).then_some(Did::More(0)))
    }

    /// Records that cannot be read stay as they are, each for itself; unless they may be parts of rows whose other parts can be.
    fn refuse_gap(&self, shared: &Shared, job: &Job, ready: &Ready, (first, end): (u64, u64)) -> Result<(), RelayError> {
        let range = self.progress.range;
        if !may_join(shared, &job.generations, &job.joining, range, ready)? {
            return Ok(());
        }
        Err(RelayError::Config(format!(
            "records {first} to {} of partition {} cannot be read any more, and a row may be made of several records: what lies on \
             both sides must be replayed by itself",
            end.saturating_sub(1),
            range.partition
        )))
    }

    /// The end of the range: what waits becomes rows.
    fn end(&mut self, job: &Job, ready: &Ready) {
        let is_dead = job.generations.name.starts_with(DEAD_PREFIX);
        let Self { progress, stage, arena, state, .. } = self;
        expire(i64::MAX, ready, arena, state, |ran| {
            let rows = rows(&ran.call, ran.output, is_dead, progress);
            stage.append(progress.range.partition, job.generation, &rows);
            true
        });
        self.arena.reset();
    }

    /// Reads a stretch and handles it; a schema that must be waited for ends it early.
    fn stretch(
        &mut self,
        shared: &Shared,
        job: &Job,
        partition: &Arc<Partition>,
        ready: &Ready,
        upto: u64,
    ) -> Result<Option<Pending>, RelayError> {
        let mut history = History::new(partition, self.progress.at, upto);
        let Some(Stretch { gap, batches }) = history.read()? else {
            // The log ends below what is committed: its end was lost.
            return self.gap(shared, job, ready, upto);
        };
        if let Some((_, end)) = gap {
            return self.gap(shared, job, ready, end);
        }
        let masks = shared.store.masks(job.generations.topic);
        let keep = shared.keep_payload(&job.generations.name, ready);
        let mut scratch = Scratch::new();
        for stored in &batches {
            let until = stored.next_offset.min(upto);
            let Some(records) = decode(stored, &mut scratch) else {
                return self.gap(shared, job, ready, until);
            };
            if let Err(not_now) = self.batch(job, ready, masks.as_deref(), records, until, keep) {
                return pending(not_now);
            }
        }
        Ok(None)
    }

    /// The queue has nothing from the progress up to `end`: goes on with what rows have kept, a step. What they have not stays.
    fn gap(&mut self, shared: &Shared, job: &Job, ready: &Ready, end: Offset) -> Result<Option<Pending>, RelayError> {
        let at = self.progress.at;
        let known = self.past.take().filter(|past| at < past.until);
        let mut past = match known {
            Some(past) => past,
            None => {
                self.refuse_gap(shared, job, ready, (at, end))?;
                if ready.chain.remembers() {
                    self.progress.miss(end);
                    return Ok(None);
                }
                AtPast::new(shared, job, Range { first: at, end, ..self.progress.range })?
            }
        };
        while past.stretches.front().is_some_and(|stretch| stretch.end <= at) {
            past.stretches.pop_front();
        }
        let (Some(stretch), Some(kept)) = (past.stretches.front().copied(), past.kept.as_mut()) else {
            self.progress.miss(past.until);
            return Ok(None);
        };
        if at < stretch.begin {
            self.progress.miss(stretch.begin);
            self.past = Some(past);
            return Ok(None);
        }
        let made = kept.read(at, stretch.end)?;
        let masks = shared.store.masks(job.generations.topic);
        let keep = shared.keep_payload(&job.generations.name, ready);
        let before = self.progress.records;
        let ran = self.batch(job, ready, masks.as_deref(), made.records(), made.next, keep);
        self.progress.rebuilt += self.progress.records - before;
        self.past = Some(past);
        if let Err(not_now) = ran {
            return pending(not_now);
        }
        if made.lacks {
            self.progress.miss(made.next + 1);
        }
        Ok(None)
    }

    fn batch(
        &mut self,
        job: &Job,
        ready: &Ready,
        masks: Option<&Masks>,
        mut records: Records<'_>,
        until: u64,
        keep: KeepPayload,
    ) -> Result<(), NotNow> {
        let Self { progress, stage, documents, arena, state, warm, .. } = self;
        let is_dead = job.generations.name.starts_with(DEAD_PREFIX);
        let partition = progress.range.partition;
        let from = progress.at;
        let gone = without_gone(&mut records, (partition, masks), (from, until));
        let ran = calls(&records, (from, until), ready, arena, documents, state, |ran, next| {
            let Ran { call, output, .. } = ran;
            if next > progress.at {
                progress.records += call.records.len() as u64;
                progress.bytes += call.records.iter().map(|record| record.payload.len() as u64).sum::<u64>();
            }
            let mut rows = rows(&call, output, is_dead, progress);
            rows.keep = keep;
            if keep != KeepPayload::Never {
                rows.records = call;
            }
            stage.append(partition, job.generation, &rows);
            progress.make(next);
            true
        });
        progress.deleted += gone.iter().filter(|offset| **offset < progress.at).count() as u64;
        if warm.is_some() {
            *warm = Some(progress.at);
            drop(state.take_changes());
        }
        self.arena.reset();
        ran
    }

    /// Makes what was staged durable, and the progress with it.
    pub(super) fn checkpoint(&mut self, shared: &Shared, job: &Job, index: usize) -> Result<(), RelayError> {
        // Parts that were merged meanwhile can go.
        self.past = None;
        let is_news = |progress: &Progress| job.record.lock().parts.get(index) != Some(progress);
        if self.stage.rows() == 0 && !is_news(&self.progress) {
            return Ok(());
        }
        let staged = shared.store.write_stage(&mut self.stage)?;
        let mut record = job.record.lock();
        if !record.state.is_open() {
            // Cancelled meanwhile: what was written goes.
            return Ok(());
        }
        let mut changed = record.clone();
        if let Some(part) = changed.parts.get_mut(index) {
            part.clone_from(&self.progress);
        }
        shared.store.commit_stage(staged, job.entry(&changed)?)?;
        *record = changed;
        Ok(())
    }

    /// Offsets and bytes that it has behind it.
    pub(super) fn behind(&self) -> (u64, u64) {
        (self.progress.at - self.progress.range.first, self.progress.bytes)
    }
}

impl Job {
    /// Notes what a work has behind it, of which `before` was noted.
    pub(super) fn note(&self, before: (u64, u64), after: (u64, u64)) {
        self.offsets.fetch_add(after.0.wrapping_sub(before.0), Ordering::Relaxed);
        self.bytes.fetch_add(after.1.wrapping_sub(before.1), Ordering::Relaxed);
    }
}

/// Waits, or gives up.
fn pending(not_now: NotNow) -> Result<Option<Pending>, RelayError> {
    match not_now {
        NotNow::Pending(pending) => Ok(Some(pending)),
        NotNow::Trouble(why) => Err(RelayError::Schemas(why)),
    }
}

/// What a chain's answer is in the store.
fn rows<'b>(call: &Records<'b>, output: Output<'b>, is_dead: bool, progress: &mut Progress) -> Rows<'b> {
    let Output { names, cells, verdicts, .. } = output;
    let mut rows = Rows { names, heads: Vec::with_capacity(verdicts.len()), cells, ..Rows::default() };
    for (record, verdict) in call.records.iter().zip(&verdicts) {
        // What a filter held has the origin of its last record, which a lane that came before may own.
        let offset = verdict.joined.map_or(record.offset, |joined| joined.offset);
        progress.emissions += verdict.emissions.len() as u64;
        if matches!(verdict.kind, VerdictKind::Drop { .. }) && !verdict.emissions.is_empty() {
            progress.routed += 1;
        }
        match &verdict.kind {
            VerdictKind::Store { time_ns, cells } => {
                let time_ns = time_ns.unwrap_or(record.arrival_ns);
                rows.heads.push(RowHead { time_ns, arrival_ns: record.arrival_ns, offset, n: 0, cells: *cells });
                rows.payloads.push(verdict.joined.is_none().then_some(record.payload));
            }
            VerdictKind::Drop { .. } => progress.dropped += 1,
            // A row may be made of it later.
            VerdictKind::Hold => {}
            VerdictKind::Fail { .. } => {
                progress.failed += 1;
                // Dead letters that fail again are stored as they are, live and here.
                if is_dead {
                    store_as_it_is(&mut rows, record);
                }
            }
        }
    }
    progress.stored += rows.heads.len() as u64;
    rows
}
