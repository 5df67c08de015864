//! A trial's thread: reads history, runs both chains over each call, has them compared.

use std::sync::atomic::Ordering;

use super::Job;
use super::compare::{Seen, compare};
use super::report::Report;
use crate::base::ids::{Offset, PartitionId};
use crate::base::record::Records;
use crate::queue::Topic;
use crate::queue::batch::Scratch;
use crate::relay::codec::{Codec, NotNow};
use crate::relay::cut::cut;
use crate::relay::generations::Ready;
use crate::relay::history::{History, Manners, decode, expire, without_gone};
use crate::relay::{Relay, RelayError};
use crate::sandbox::{Arena, ChainRecord, State};

/// Records on which it is looked whether the candidate is steady.
const STEADY_RECORDS: usize = 256;
/// How often a schema is waited for before the trial gives up.
const SCHEMA_WAITS: u32 = 5;

/// Both chains, made for this trial.
pub(super) struct Chains {
    pub(super) live: Ready,
    pub(super) candidate: Ready,
}

/// Runs it to its end.
pub(super) fn run(
    relay: &Relay,
    topic: &Topic,
    job: &Job,
    chains: &Chains,
    record: &ChainRecord,
    sample: usize,
) -> Result<(), RelayError> {
    let shared = relay.shared();
    let manners = Manners::new(shared, &job.stop);
    let masks = shared.store.masks(topic.id());
    let mut run = Run { relay, job, chains, record, sample, states: Default::default(), is_steady_known: false, waits: 0 };
    for range in &job.ranges {
        let Some(partition) = topic.partition(range.partition) else { continue };
        run.states = Default::default();
        let mut history = History::new(&partition, range.first, range.end);
        let mut done = range.first;
        while let Some(stretch) = history.read()? {
            if let Some((from, to)) = stretch.gap {
                run.unreadable(to - from);
                done = to;
            }
            for stored in &stretch.batches {
                let until = stored.next_offset.min(range.end);
                let mut scratch = Scratch::new();
                match decode(stored, &mut scratch) {
                    Some(mut records) => {
                        let from = done.max(stored.base_offset);
                        let gone = without_gone(&mut records, (range.partition, masks.as_deref()), (from, until));
                        job.progress.lock().report.deleted += gone.len() as u64;
                        run.batch(&manners, range.partition, &records, (from, until))?;
                    }
                    None => run.unreadable(until - done.max(stored.base_offset)),
                }
                done = until;
            }
        }
        // What retention took meanwhile.
        run.unreadable(range.end.saturating_sub(done));
    }
    Ok(())
}

struct Run<'r> {
    relay: &'r Relay,
    job: &'r Job,
    chains: &'r Chains,
    record: &'r ChainRecord,
    sample: usize,
    /// What the filters of both chains remember of the partition; empty where its range begins.
    states: [State; 2],
    is_steady_known: bool,
    waits: u32,
}

impl Run<'_> {
    fn unreadable(&self, count: u64) {
        if count > 0 {
            self.job.tried.fetch_add(count, Ordering::Relaxed);
            self.job.progress.lock().report.unreadable += count;
        }
    }

    fn batch(
        &mut self,
        manners: &Manners<'_>,
        partition: PartitionId,
        records: &Records<'_>,
        (from, until): (Offset, Offset),
    ) -> Result<(), RelayError> {
        if !std::mem::replace(&mut self.is_steady_known, true) {
            self.look_whether_steady(records, (from, until))?;
        }
        let mut at = from;
        while at < until {
            manners.give_way()?;
            // One call at a time: lanes may want to work in between, and an arena is not for a whole batch.
            let arena = Arena::new();
            match self.call(partition, records, (at, until), &arena) {
                Ok(next) => {
                    self.job.tried.fetch_add(next - at, Ordering::Relaxed);
                    at = next;
                }
                Err(NotNow::Pending(pending)) => {
                    self.waits += 1;
                    if self.waits > SCHEMA_WAITS {
                        let why = self.relay.shared().registries.said(&pending.place);
                        return Err(RelayError::Schemas(why));
                    }
                    manners.wait_for(&pending)?;
                }
                Err(NotNow::Trouble(why)) => return Err(RelayError::Schemas(why)),
            }
        }
        Ok(())
    }

    /// The next call, by both chains; the offset after it.
    fn call(
        &mut self,
        partition: PartitionId,
        records: &Records<'_>,
        (at, until): (Offset, Offset),
        arena: &Arena,
    ) -> Result<Offset, NotNow> {
        let (call, mut next) = cut(records, at, until);
        let given = call.records.len();
        // What waited until then comes first, as on a lane. It is of records that came before, so it is counted alone.
        if let Some(first) = call.records.first() {
            let mut waited = [0, 0];
            let both = [&self.chains.live, &self.chains.candidate];
            for ((ready, state), waited) in both.into_iter().zip(&mut self.states).zip(&mut waited) {
                expire(first.arrival_ns, ready, arena, state, |ran| {
                    *waited += ran.call.records.len() as u64;
                    true
                });
            }
            let report = &mut self.job.progress.lock().report;
            report.waited.live += waited[0];
            report.waited.candidate += waited[1];
        }
        let mut documents = [Vec::new(), Vec::new()];
        let [of_live, of_candidate] = &mut documents;
        let [live_state, candidate_state] = &mut self.states;
        let Chains { live, candidate } = self.chains;
        let began = self.relay.shared().clock.monotonic();
        let old = live.codec.run(&live.chain, call.clone(), arena, of_live, live_state)?;
        let between = self.relay.shared().clock.monotonic();
        let new = candidate.codec.run(&candidate.chain, old.call.clone(), arena, of_candidate, candidate_state)?;
        let ended = self.relay.shared().clock.monotonic();
        if old.call.records.len() < given {
            // Its documents were many: the rest is the next call.
            next = call.records.get(old.call.records.len()).map_or(next, |left| left.offset);
        }
        // Nobody keeps what changed.
        self.states.iter_mut().for_each(|state| drop(state.take_changes()));
        let report = &mut self.job.progress.lock().report;
        report.live.add(old.output.stats, between.saturating_sub(began));
        report.candidate.add(new.output.stats, ended.saturating_sub(between));
        let seen = Seen { partition, call: &old.call, sample: self.sample };
        compare(report, &seen, &old.output, &new.output);
        Ok(next)
    }

    /// A filter whose verdicts depend on how calls are cut would make every replay differ; some records are enough to catch most.
    fn look_whether_steady(&self, records: &Records<'_>, (from, until): (Offset, Offset)) -> Result<(), RelayError> {
        // Of other codecs the chain sees documents, not payloads.
        if !matches!(self.chains.live.codec, Codec::Bytes | Codec::Json) {
            return Ok(());
        }
        let (mut call, _) = cut(records, from, until);
        call.records.truncate(STEADY_RECORDS);
        let unsteady = self.relay.shared().sandbox.unsteady(self.record, &call)?;
        let report: &mut Report = &mut self.job.progress.lock().report;
        report.unsteady = unsteady;
        Ok(())
    }
}
