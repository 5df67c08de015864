//! A topic's filters at work: a batch of records in, verdicts out.
//!
//! Each filter sees the rows that are left by those before it and that its `when` keeps, at most [`CALL_RECORDS`] records and
//! about [`CALL_BYTES`] of them a call. Where calls are cut follows from the log alone.
//!
//! **When a call fails** (a trap, too much fuel or memory, an answer that is none) its instance is dropped, everything that the
//! call changed is undone, and its records are given to the filter one by one, the first to a fresh instance. A record that
//! fails alone, in a fresh instance, is the culprit: its verdict is Fail, with the reason. All others are as if it had not been
//! there. This is the same at every run: an instance's memory is a cache at most, and fuel is counted, not timed.
//!
//! Why one by one and not halves: a call that loops costs all its fuel. Halving runs the loop again in every half that holds it,
//! with half the fuel each time: twice the whole call's; one by one costs one record's share more. Calls of one record cost
//! a microsecond each.
//!
//! Why filter by filter and not record by record: a call's price is paid once for all records.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;

use super::counters::Counters;
use super::frame::{Given, KnownNames, Tally};
use super::instance::{CallError, Instance, StartError};
use super::names::Names;
use super::output::{Output, Stats};
use super::pool::{Guest, Pool};
use super::rows::{Rows, State};
use super::{Arena, ChainRecord};
use crate::base::clock::Clock;
use crate::base::limits::CALL_RECORDS;
use crate::base::predicate::{Bound, Predicate};
use crate::base::record::Records;

/// A call ends with the record that brings its payloads to this many bytes: so a guest's memory stays small.
pub const CALL_BYTES: usize = 2 << 20;
/// Working memories that a chain keeps: as many as lanes run at once on a small machine.
const SCRATCHES: usize = 4;

/// One filter of a chain.
pub(super) struct Step {
    pub(super) guest: Arc<Guest>,
    pub(super) when: Option<Predicate>,
}

/// A chain that can be run, by any number of lanes at once.
pub struct Chain {
    record: ChainRecord,
    steps: Vec<Step>,
    pool: Arc<Pool>,
    clock: Arc<dyn Clock>,
    scratches: Mutex<Vec<Scratch>>,
}

/// What is worth keeping between batches.
struct Scratch {
    names: Names,
    steps: Vec<StepScratch>,
}

#[derive(Default)]
struct StepScratch {
    known: KnownNames,
    /// The condition bound to the names, and which names: (age, how many).
    bound: Option<(Bound, (u32, usize))>,
}

impl std::fmt::Debug for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chain").field("record", &self.record).finish_non_exhaustive()
    }
}

impl Chain {
    pub(super) fn new(record: ChainRecord, steps: Vec<Step>, pool: Arc<Pool>, clock: Arc<dyn Clock>) -> Self {
        Self { record, steps, pool, clock, scratches: Mutex::default() }
    }

    /// What it was made from.
    pub fn record(&self) -> &ChainRecord {
        &self.record
    }

    /// Runs the filters over the records of one batch. What they built is put into `arena`.
    pub fn run<'b>(&self, records: &Records<'b>, arena: &'b Arena) -> Output<'b> {
        self.run_cut(records, arena, CALL_RECORDS)
    }

    /// As [`Chain::run`], with at most `call_records` records a call: to see whether a filter cares.
    pub fn run_cut<'b>(&self, records: &Records<'b>, arena: &'b Arena, call_records: usize) -> Output<'b> {
        let kept = self.scratches.lock().pop();
        let mut scratch = kept.unwrap_or_else(|| Scratch {
            names: Names::new(),
            steps: self.steps.iter().map(|_| StepScratch::default()).collect(),
        });
        scratch.names.begin_batch();
        let mut rows = Rows::new(records, &mut scratch.names);
        let mut stats = Stats::default();
        for (step, of_step) in self.steps.iter().zip(&mut scratch.steps) {
            let selected = select(step, of_step, &scratch.names, records, &rows);
            if !selected.is_empty() {
                let mut run = Run {
                    step,
                    pool: &self.pool,
                    known: &mut of_step.known,
                    names: &mut scratch.names,
                    records,
                    arena,
                    rows: &mut rows,
                    stats: &mut stats,
                };
                let before = self.clock.monotonic();
                run.all(&selected, call_records.clamp(1, CALL_RECORDS));
                let took = self.clock.monotonic().saturating_sub(before);
                Counters::add(&step.guest.counters.time_ns, u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
            }
        }
        let output = rows.finish_all(&scratch.names, stats);
        let mut scratches = self.scratches.lock();
        if scratches.len() < SCRATCHES {
            scratches.push(scratch);
        }
        output
    }
}

/// The rows that a filter is given.
fn select(step: &Step, of_step: &mut StepScratch, names: &Names, records: &Records<'_>, rows: &Rows<'_>) -> Vec<usize> {
    let alive = rows.rows.iter().enumerate().filter(|(_, row)| row.state == State::Alive);
    let Some(when) = &step.when else {
        return alive.map(|(index, _)| index).collect();
    };
    let state = (names.age, names.list.len());
    let bound = match of_step.bound.take() {
        Some((bound, of)) if of == state => bound,
        _ => when.bind(&names.list),
    };
    let kept = alive.filter(|(index, row)| {
        let time_ns = row.time_ns.unwrap_or(records.records[*index].arrival_ns);
        bound.matches(&rows.cells[row.cells.0..row.cells.1], time_ns)
    });
    let selected = kept.map(|(index, _)| index).collect();
    of_step.bound = Some((bound, state));
    selected
}

/// One filter on one batch.
struct Run<'r, 'b> {
    step: &'r Step,
    pool: &'r Pool,
    known: &'r mut KnownNames,
    names: &'r mut Names,
    records: &'r Records<'b>,
    arena: &'b Arena,
    rows: &'r mut Rows<'b>,
    stats: &'r mut Stats,
}

impl Run<'_, '_> {
    fn all(&mut self, selected: &[usize], call_records: usize) {
        let mut instance = self.pool.take(&self.step.guest).map_err(start_error);
        let mut rest = selected;
        while !rest.is_empty() {
            let (call, later) = rest.split_at(self.cut(rest, call_records));
            rest = later;
            instance = self.call_or_single_out(instance, call);
        }
        if let Ok(instance) = instance {
            self.pool.give_back(&self.step.guest, instance);
        }
    }

    /// How many of these records make one call.
    fn cut(&self, selected: &[usize], call_records: usize) -> usize {
        let mut bytes = 0;
        for (count, &index) in selected.iter().take(call_records).enumerate() {
            bytes += self.records.records[index].payload.len();
            if bytes >= CALL_BYTES {
                return count + 1;
            }
        }
        selected.len().min(call_records)
    }

    /// Gives records to the filter; if that fails, one by one. Gives back an instance that is good for the next call.
    fn call_or_single_out(&mut self, instance: Result<Instance, CallError>, call: &[usize]) -> Result<Instance, CallError> {
        let mut instance = match instance {
            Ok(mut running) if call.len() > 1 => {
                if self.call(&mut running, call).is_ok() {
                    return Ok(running);
                }
                drop(running);
                self.fresh()
            }
            other => other,
        };
        for record in call {
            instance = self.single(instance, std::slice::from_ref(record));
        }
        instance
    }

    /// One record: what fails in a fresh instance has failed.
    fn single(&mut self, instance: Result<Instance, CallError>, record: &[usize]) -> Result<Instance, CallError> {
        let mut instance = instance;
        let reason = loop {
            match instance {
                Ok(mut running) => {
                    let used = running.used;
                    match self.call(&mut running, record) {
                        Ok(()) => return Ok(running),
                        Err(error) => {
                            drop(running);
                            instance = self.fresh();
                            if !used {
                                break error;
                            }
                        }
                    }
                }
                Err(error) => {
                    // It did start when the chain was made, so this is the machine's fault; the record says so.
                    instance = Err(error.clone());
                    break error;
                }
            }
        };
        for &index in record {
            self.rows.rows[index].state = State::Failed(Arc::clone(&self.step.guest.filter), reason.0.clone().into());
        }
        let counters = &self.step.guest.counters;
        Counters::add(&counters.records, record.len() as u64);
        Counters::add(&counters.failed, record.len() as u64);
        instance
    }

    fn fresh(&self) -> Result<Instance, CallError> {
        self.pool.fresh(&self.step.guest).map_err(start_error)
    }

    /// One call; what it changed is undone if it fails.
    fn call(&mut self, instance: &mut Instance, call: &[usize]) -> Result<(), CallError> {
        let counters = &self.step.guest.counters;
        Counters::add(&counters.calls, 1);
        self.stats.calls += 1;
        match self.try_call(instance, call) {
            Ok((tally, fuel)) => {
                self.stats.fuel += fuel;
                Counters::add(&counters.fuel, fuel);
                Counters::add(&counters.records, call.len() as u64);
                Counters::add(&counters.stored, tally.stored);
                Counters::add(&counters.dropped, tally.dropped);
                Counters::add(&counters.failed, tally.failed);
                Counters::add(&counters.emissions, tally.emissions);
                Ok(())
            }
            Err(error) => {
                self.stats.traps += 1;
                Counters::add(&counters.traps, 1);
                counters.memory_bytes.fetch_max(instance.memory_bytes() as u64, Ordering::Relaxed);
                Err(error)
            }
        }
    }

    fn try_call(&mut self, instance: &mut Instance, call: &[usize]) -> Result<(Tally, u64), CallError> {
        let guest = &self.step.guest;
        let limits = self.pool.limits();
        let given = Given::new(&guest.needs, self.names, self.records, self.rows, call);
        let size = given.size();
        let for_records = limits.fuel_per_record.saturating_mul(call.len() as u64);
        let fuel = limits.fuel_per_byte.saturating_mul(size.bytes as u64).saturating_add(for_records);
        let rows = &*self.rows;
        let called = instance.call(size, fuel, |writer| given.write(rows, writer))?;
        let answer = instance.answer(&called, call.len())?;
        let saved = self.rows.save(call);
        match given.apply(&guest.filter, &answer, self.known, self.names, self.rows, self.arena) {
            Ok(tally) => Ok((tally, called.fuel)),
            Err(error) => {
                self.rows.restore(call, saved);
                Err(error)
            }
        }
    }
}

fn start_error(error: StartError) -> CallError {
    match error {
        StartError::Refused(why) => CallError(format!("refused its configuration: {why}")),
        StartError::Broken(why) => CallError(why),
    }
}
