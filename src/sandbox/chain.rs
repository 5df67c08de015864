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
use std::time::Duration;

use parking_lot::Mutex;

use super::counters::Counters;
use super::frame::{Given, KnownNames, Tally};
use super::host::Lent;
use super::instance::{CallError, Called, Instance, StartError};
use super::names::Names;
use super::output::{Expired, Output, Stats};
use super::pool::{Guest, Pool};
use super::rows::{Rows, State as RowState};
use super::state::{Scope, State};
use super::trace::Seen;
use super::{Arena, ChainRecord};
use crate::base::clock::Clock;
use crate::base::ids::Generation;
use crate::base::limits::CALL_RECORDS;
use crate::base::predicate::{Bound, Predicate};
use crate::base::record::{RecordView, Records};
use sawbox_guest::abi::import;

/// A call ends with the record that brings its payloads to this many bytes: so a guest's memory stays small.
pub const CALL_BYTES: usize = 2 << 20;
/// Working memories that a chain keeps: as many as lanes run at once on a small machine.
const SCRATCHES: usize = 4;

/// Log lines of one filter that are kept for whoever looks.
const HEARD: usize = 64;

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
    /// One a filter: whose keys its state has, where it asks for state at all, and whether it lets entries wait.
    scopes: Vec<Option<(Scope, bool)>>,
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
        let scopes = scopes(&record, &steps);
        Self { record, steps, pool, clock, scopes, scratches: Mutex::default() }
    }

    /// What it was made from.
    pub fn record(&self) -> &ChainRecord {
        &self.record
    }

    /// Runs the filters over the records of one batch, which arrived at one time. What they built is put into `arena`; what they
    /// remember is in `state`. [`Chain::expire`] comes before it.
    pub fn run<'b>(&self, records: &Records<'b>, arena: &'b Arena, state: &mut State) -> Output<'b> {
        self.run_cut(records, arena, state, CALL_RECORDS)
    }

    /// As [`Chain::run`], with at most `call_records` records a call: to see whether a filter cares.
    pub fn run_cut<'b>(&self, records: &Records<'b>, arena: &'b Arena, state: &mut State, call_records: usize) -> Output<'b> {
        if let Some(first) = records.records.first() {
            state.sweep(first.arrival_ns);
        }
        self.run_from((0, false), records, arena, state, call_records, None)
    }

    /// Gives filters back what waited in `state` until `now_ns`: some of it, the earliest first; to be called until nothing
    /// comes. Before records are run: with their arrival time. See [`super::state`].
    pub fn expire<'b>(&self, now_ns: i64, arena: &'b Arena, state: &mut State) -> Option<Expired<'b>> {
        state.next_deadline().filter(|deadline| *deadline <= now_ns)?;
        let waiting = self.scopes.iter().flatten().filter(|(_, waits)| *waits).count();
        let expired = state.take_expired(now_ns, CALL_RECORDS, CALL_BYTES, waiting <= 1);
        let first = expired.first()?;
        let step = self.scopes.iter().position(|scope| scope.as_ref().is_some_and(|(scope, _)| *scope == first.scope));
        let mut records = Records::default();
        for entry in &expired {
            records.records.push(RecordView {
                offset: entry.offset,
                arrival_ns: entry.deadline_ns,
                timestamp_ms: entry.deadline_ns.div_euclid(1_000_000),
                key: None,
                payload: arena.push(&entry.value),
                headers: (0, 0),
            });
        }
        let first = first.number;
        // Of a filter that is not in the chain nothing is left by now (`keep_only`); if it were, its rows are what it kept.
        let output = self.run_from((step.unwrap_or(self.steps.len()), true), &records, arena, state, CALL_RECORDS, None);
        Some(Expired { records, output, first })
    }

    /// Whether any of its filters asks for keyed state.
    pub fn remembers(&self) -> bool {
        self.scopes.iter().any(Option::is_some)
    }

    /// Whether any of its filters lets entries of its state wait: then a row may be made of several records.
    pub fn waits(&self) -> bool {
        self.scopes.iter().flatten().any(|(_, waits)| *waits)
    }

    /// Takes away what the state has of filters that are not in this chain, and says that this chain is at work from here on.
    /// Nothing waits any more by then.
    pub fn adopt(&self, state: &mut State, generation: Generation) {
        let scopes: Vec<Scope> = self.scopes.iter().flatten().map(|(scope, _)| scope.clone()).collect();
        state.keep_only(&scopes);
        // Who remembers nothing need not say so either.
        if !scopes.is_empty() || !state.is_empty() {
            state.set_generation(generation);
        }
    }

    /// From a filter on, with what waited or with records; perhaps while somebody looks at one of them.
    pub(super) fn run_from<'b>(
        &self,
        (begin, expired): (usize, bool),
        records: &Records<'b>,
        arena: &'b Arena,
        state: &mut State,
        call_records: usize,
        mut seen: Option<&mut Seen<'b>>,
    ) -> Output<'b> {
        let kept = self.scratches.lock().pop();
        let mut scratch = kept.unwrap_or_else(|| Scratch {
            names: Names::new(),
            steps: self.steps.iter().map(|_| StepScratch::default()).collect(),
        });
        scratch.names.begin_batch();
        let mut rows = Rows::new(records, &mut scratch.names);
        let mut stats = Stats::default();
        if let Some(seen) = seen.as_deref_mut() {
            seen.begin(&rows, &scratch.names);
        }
        let each = self.steps.iter().zip(&self.scopes).zip(&mut scratch.steps).enumerate().skip(begin);
        for (number, ((step, scope), of_step)) in each {
            // What waited is for its filter, whatever its `when` says of records.
            let given_back = expired && number == begin;
            let selected = match given_back {
                true => (0..rows.rows.len()).collect(),
                false => select(step, of_step, &scratch.names, records, &rows),
            };
            let (fuel, mut took, mut heard) = (stats.fuel + stats.lost, Duration::ZERO, Vec::new());
            if !selected.is_empty() {
                let mut run = Run {
                    step,
                    scope: scope.as_ref().map(|(scope, _)| scope),
                    state: &mut *state,
                    expired: given_back,
                    pool: &self.pool,
                    known: &mut of_step.known,
                    names: &mut scratch.names,
                    records,
                    arena,
                    rows: &mut rows,
                    stats: &mut stats,
                    heard: &mut heard,
                };
                let before = self.clock.monotonic();
                run.all(&selected, call_records.clamp(1, CALL_RECORDS));
                took = self.clock.monotonic().saturating_sub(before);
                Counters::add(&step.guest.counters.time_ns, u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
            }
            if let Some(seen) = seen.as_deref_mut() {
                seen.note(&selected, &rows, &scratch.names, (stats.fuel + stats.lost - fuel, took), heard);
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
    let alive = rows.rows.iter().enumerate().filter(|(_, row)| row.state == RowState::Alive);
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
        bound.matches(&rows.cells[row.cells()], time_ns)
    });
    let selected = kept.map(|(index, _)| index).collect();
    of_step.bound = Some((bound, state));
    selected
}

/// One filter on one batch.
struct Run<'r, 'b> {
    step: &'r Step,
    scope: Option<&'r Scope>,
    state: &'r mut State,
    /// Whether its records are expired entries of its state.
    expired: bool,
    pool: &'r Pool,
    known: &'r mut KnownNames,
    names: &'r mut Names,
    records: &'r Records<'b>,
    arena: &'b Arena,
    rows: &'r mut Rows<'b>,
    stats: &'r mut Stats,
    /// What the filter logged, where that is kept.
    heard: &'r mut Vec<(i32, String)>,
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
        if self.rows.bytes < CALL_BYTES {
            return selected.len().min(call_records);
        }
        let mut bytes = 0;
        for (count, &index) in selected.iter().take(call_records).enumerate() {
            bytes += self.rows.payload(index, self.records).len();
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
                match self.call(&mut running, call) {
                    Ok(true) => return Ok(running),
                    // It is well, but the records must come one by one.
                    Ok(false) => Ok(running),
                    Err(_) => {
                        drop(running);
                        self.fresh()
                    }
                }
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
                        Ok(_) => return Ok(running),
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
            self.rows.rows[index].state =
                RowState::Failed(Box::new((Arc::clone(&self.step.guest.filter), reason.0.clone().into())));
        }
        let counters = &self.step.guest.counters;
        Counters::add(&counters.records, record.len() as u64);
        Counters::add(&counters.failed, record.len() as u64);
        instance
    }

    fn fresh(&self) -> Result<Instance, CallError> {
        self.pool.fresh(&self.step.guest).map_err(start_error)
    }

    /// One call; what it changed is undone if it fails. It is undone also (false) where a record failed that state was written
    /// for, which must leave no trace for those after it.
    fn call(&mut self, instance: &mut Instance, call: &[usize]) -> Result<bool, CallError> {
        let counters = &self.step.guest.counters;
        Counters::add(&counters.calls, 1);
        self.stats.calls += 1;
        let called = self.try_call(instance, call);
        if self.pool.limits().quiet {
            self.heard.extend(instance.heard());
            self.heard.truncate(HEARD);
        }
        match called {
            Ok(None) => {
                self.stats.lost += instance.spent;
                Ok(false)
            }
            Ok(Some((tally, fuel))) => {
                self.stats.fuel += fuel;
                Counters::add(&counters.fuel, fuel);
                Counters::add(&counters.records, call.len() as u64);
                Counters::add(&counters.stored, tally.stored);
                Counters::add(&counters.dropped, tally.dropped);
                Counters::add(&counters.held, tally.held);
                Counters::add(&counters.failed, tally.failed);
                Counters::add(&counters.emissions, tally.emissions);
                Ok(true)
            }
            Err(error) => {
                self.stats.traps += 1;
                self.stats.lost += instance.spent;
                Counters::add(&counters.traps, 1);
                counters.memory_bytes.fetch_max(instance.memory_bytes() as u64, Ordering::Relaxed);
                Err(error)
            }
        }
    }

    fn try_call(&mut self, instance: &mut Instance, call: &[usize]) -> Result<Option<(Tally, u64)>, CallError> {
        let guest = &self.step.guest;
        let limits = self.pool.limits();
        let expired = if self.expired { call.len() } else { 0 };
        let given = Given::new(&guest.needs, self.names, self.records, self.rows, call, expired);
        let size = given.size();
        let for_records = limits.fuel_per_record.saturating_mul(call.len() as u64);
        let fuel = limits.fuel_per_byte.saturating_mul(size.bytes as u64).saturating_add(for_records);
        self.stats.limit = fuel;
        let rows = &*self.rows;
        instance.arrived(call.iter().map(|&index| self.records.records[index].arrival_ns));
        let Some(scope) = self.scope else {
            let called = instance.call(size, fuel, |writer| given.write(rows, writer))?;
            let answer = instance.answer(&called, call.len(), 0)?;
            let saved = self.rows.save(call);
            let answer = (&answer, called.answer_bytes(0));
            return match given.apply(&guest.filter, answer, self.known, self.names, self.rows, self.arena) {
                Ok(tally) => Ok(Some((tally, called.fuel))),
                Err(error) => {
                    self.rows.restore(call, saved);
                    Err(error)
                }
            };
        };
        let of = |&index: &usize| (self.records.records[index].offset, self.records.records[index].arrival_ns);
        let (records, limit) = (call.iter().map(of).collect(), limits.state.as_usize());
        self.state.begin_call();
        let state = std::mem::take(self.state);
        instance.lend(Lent { state, scope: scope.clone(), records, expired, limit, wrote: vec![false; call.len()], given: 0 });
        let called = instance.call(size, fuel, |writer| given.write(rows, writer));
        let (mut wrote, mut read) = (Vec::new(), 0);
        if let Some(lent) = instance.take_back() {
            *self.state = lent.state;
            (wrote, read) = (lent.wrote, lent.given);
        }
        let saved = self.rows.save(call);
        let mut apply = |called: Called| {
            let answer = instance.answer(&called, call.len(), read)?;
            let answer = (&answer, called.answer_bytes(read));
            let tally = given.apply(&guest.filter, answer, self.known, self.names, self.rows, self.arena)?;
            Ok((tally, called.fuel))
        };
        let outcome = called.and_then(&mut apply);
        let failed = |&index: &usize| matches!(self.rows.rows[index].state, RowState::Failed(..));
        let leaves_trace = outcome.is_ok() && call.iter().zip(&wrote).any(|(index, wrote)| *wrote && failed(index));
        self.state.end_call(outcome.is_ok() && !leaves_trace);
        if outcome.is_err() || (leaves_trace && call.len() > 1) {
            self.rows.restore(call, saved);
        }
        if leaves_trace && call.len() > 1 {
            return Ok(None);
        }
        outcome.map(Some)
    }
}

/// Whose keys each filter's state has.
fn scopes(record: &ChainRecord, steps: &[Step]) -> Vec<Option<(Scope, bool)>> {
    let mut scopes = Vec::with_capacity(steps.len());
    for (number, (entry, step)) in record.entries.iter().zip(steps).enumerate() {
        let waits = step.guest.imports(import::STATE_WAIT);
        let asks = waits || [import::STATE_GET, import::STATE_PUT].iter().any(|name| step.guest.imports(name));
        let before = record.entries[..number].iter().filter(|before| before.filter == entry.filter).count();
        let which = u8::try_from(before).unwrap_or(u8::MAX);
        scopes.push(asks.then(|| (Scope::new(&entry.filter, which, step.guest.needs.schema), waits)));
    }
    scopes
}

fn start_error(error: StartError) -> CallError {
    match error {
        StartError::Refused(why) => CallError(format!("refused its configuration: {why}")),
        StartError::Broken(why) => CallError(why),
    }
}
