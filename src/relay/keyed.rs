//! What the filters of a lane remember: its partition's keyed state, and the rows of records that waited in it.
//!
//! The state is loaded from the store when the lane first works, and is then the lane's: a slice takes it out ([`Work`]), and what
//! a call changed goes to the store together with the call's rows and next offset. A slice that ends early puts back what
//! was not given. After a panic nobody knows what it holds, and it is loaded again, with the offset it belongs to.
//!
//! Entries that wait ([`crate::sandbox::state`]) are given back to their filter
//! * before the first call whose records arrived at or past their deadline,
//! * at another generation's first offset, by the generation that put them,
//! * when the lane is idle and the wall clock has passed their deadline. The queue then promises that nothing more will be appended
//!   with an earlier arrival time, so that a lane which starts over comes to the same rows.
//!
//! Each time a step of its own, whose rows and changes are given with the offset that the lane stands at. What such rows emit
//! is known to targets as of the source's run [`EXPIRED_RUN`], by the entries' numbers: their origins lie below offsets that
//! targets have seen already. A number holds the lane's offset too, below which no later generation may begin (`Shared::emitted`).
//! Crash story: the step's rows are durable with its changes or not at all; then it comes again, with the same numbers.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::base::ids::{Generation, Offset, Run};
use crate::base::row::Rows;
use crate::queue::QueueError;
use crate::relay::RelayError;
use crate::relay::generations::Ready;
use crate::relay::lane::LaneCore;
use crate::relay::outbox::Outbox;
use crate::relay::verdicts::{Position, handle};
use crate::sandbox::state::{Bytes, Changes};
use crate::sandbox::{Arena, State};

/// The run under which emissions of rows that waited are known.
pub(crate) const EXPIRED_RUN: Run = Run::MAX;
const UNKNOWN: i64 = i64::MIN;
const NONE: i64 = i64::MAX;

/// The keyed state of a lane while no slice has it.
pub(crate) struct Keyed {
    state: Mutex<Option<State>>,
    /// When the next entry has waited long enough.
    deadline: AtomicI64,
    /// The least number that an entry which waits may be given back with; 0 while that is not known, the greatest where none waits.
    number: AtomicU64,
}

impl Keyed {
    fn note(&self, state: &State) {
        let deadline = state.next_deadline();
        self.deadline.store(deadline.unwrap_or(NONE), Ordering::Release);
        self.number.store(deadline.map_or(u64::MAX, |_| state.next_number()), Ordering::Release);
    }
}

impl Default for Keyed {
    fn default() -> Self {
        Self { state: Mutex::new(None), deadline: AtomicI64::new(UNKNOWN), number: AtomicU64::new(0) }
    }
}

/// Rows that may not be given before emissions are durable.
pub(crate) struct Held<'b> {
    pub(crate) rows: Rows<'b>,
    pub(crate) generation: Generation,
    pub(crate) from: Offset,
    pub(crate) next: Offset,
}

/// The state in the hands of a slice.
pub(crate) struct Work {
    core: Arc<LaneCore>,
    pub(crate) state: State,
    /// Changes that were not given yet, oldest first.
    open: std::collections::VecDeque<Changes>,
}

impl Work {
    /// Takes the state, from the store if need be.
    pub(crate) fn begin(core: &Arc<LaneCore>) -> Result<Self, RelayError> {
        core.load()?;
        let state = core.keyed.state.lock().take().unwrap_or_default();
        Ok(Self { core: core.clone(), state, open: Default::default() })
    }

    /// A call is over: what it changed goes with its rows.
    pub(crate) fn close_call(&mut self) {
        self.open.push_back(self.state.take_changes());
    }

    /// Gives the oldest call's rows to the store, with what it changed.
    pub(crate) fn give(&mut self, held: &Held<'_>) -> Result<(), RelayError> {
        let empty = Changes::default();
        let changes = self.open.front().unwrap_or(&empty);
        let keyed: Vec<(Bytes, Option<Bytes>)> = changes.0.iter().map(|(key, _, now)| (key.clone(), now.clone())).collect();
        self.core.give(held, keyed)?;
        self.open.pop_front();
        Ok(())
    }

    /// Makes rows of what waited until `now_ns`; they are added to `held`. How many bytes they were made of.
    pub(crate) fn expire<'b>(
        &mut self,
        now_ns: i64,
        (generation, ready): (Generation, &Ready),
        at: Offset,
        arena: &'b Arena,
        outbox: &mut Outbox,
        held: &mut Vec<Held<'b>>,
    ) -> Result<usize, QueueError> {
        let mut bytes = 0;
        if self.state.next_deadline().is_some_and(|deadline| deadline <= now_ns) {
            self.state.number_from(at);
        }
        while let Some(expired) = ready.chain.expire(now_ns, arena, &mut self.state) {
            bytes += expired.records.records.iter().map(|record| record.payload.len()).sum::<usize>();
            let position = Position::Numbers(expired.first);
            let handled = handle(&self.core, generation, &expired.records, expired.output, outbox, position)?;
            self.core.count_expired(generation, &handled);
            held.push(Held { rows: handled.rows, generation, from: at, next: at });
            self.close_call();
        }
        Ok(bytes)
    }

    /// What comes before a generation's call: the one before gives what waits, and what this one does not know is forgotten;
    /// then what waited until the call's records arrived.
    pub(crate) fn before_call<'b>(
        &mut self,
        (generation, ready): (Generation, &Ready),
        (at, arrival_ns): (Offset, i64),
        arena: &'b Arena,
        outbox: &mut Outbox,
        held: &mut Vec<Held<'b>>,
    ) -> Result<usize, RelayError> {
        let mut bytes = 0;
        if !ready.chain.remembers() && self.state.is_empty() {
            return Ok(bytes);
        }
        if self.state.generation() != Some(generation) {
            if self.state.next_deadline().is_some() {
                let (before, chain) = self.core.ready_of(self.state.generation().unwrap_or(generation), at)?;
                bytes += self.expire(NONE, (before, &chain), at, arena, outbox, held)?;
            }
            ready.chain.adopt(&mut self.state, generation);
        }
        bytes += self.expire(arrival_ns, (generation, ready), at, arena, outbox, held)?;
        Ok(bytes)
    }

    /// Gives back what the wall clock says has waited long enough, if the lane has handled all there is.
    pub(crate) fn reveal<'b>(
        &mut self,
        at: Offset,
        arena: &'b Arena,
        outbox: &mut Outbox,
        held: &mut Vec<Held<'b>>,
    ) -> Result<usize, RelayError> {
        let now_ns = self.core.shared.clock.now_ns();
        let Some(deadline) = self.state.next_deadline().filter(|deadline| *deadline <= now_ns) else { return Ok(0) };
        if self.core.generations.is_held() || !self.core.partition.not_before(deadline, at) {
            return Ok(0);
        }
        let (generation, chain) = self.core.ready_of(self.state.generation().unwrap_or_default(), at)?;
        // To this deadline: the queue's promise goes no further.
        Ok(self.expire(deadline, (generation, &chain), at, arena, outbox, held)?)
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        let mut state = std::mem::take(&mut self.state);
        state.undo(Changes::default());
        while let Some(changes) = self.open.pop_back() {
            state.undo(changes);
        }
        self.core.keyed.note(&state);
        *self.core.keyed.state.lock() = Some(state);
    }
}

impl LaneCore {
    /// Loads the state where it is not there, and goes on at the offset that it belongs to.
    fn load(&self) -> Result<(), RelayError> {
        if self.keyed.state.lock().is_some() {
            return Ok(());
        }
        let (next, entries) = self.shared.store.keyed(self.generations.topic, self.partition.id())?;
        self.go_on_at(next);
        let state = State::of(entries);
        self.keyed.note(&state);
        *self.keyed.state.lock() = Some(state);
        Ok(())
    }

    /// Nobody knows what it holds: it is loaded again.
    pub(crate) fn forget_state(&self) {
        *self.keyed.state.lock() = None;
        self.keyed.deadline.store(UNKNOWN, Ordering::Release);
        self.keyed.number.store(0, Ordering::Release);
    }

    /// Whether the lane may still send what a target knows as the last of one of its runs: it has not given the rows of that to
    /// the store. One that rests sends nothing.
    pub(crate) fn may_send_again(&self, run: Run, last: Offset) -> bool {
        let next = self.next();
        if run != EXPIRED_RUN {
            return next <= last;
        }
        let at = State::offset_of(last);
        let waits = || !self.is_resting() && self.keyed.number.load(Ordering::Acquire) <= last;
        next < at || (next == at && waits())
    }

    /// When an idle lane has something to do all the same, nanoseconds since 1970.
    pub(crate) fn deadline(&self) -> Result<Option<i64>, RelayError> {
        if self.keyed.deadline.load(Ordering::Acquire) == UNKNOWN {
            self.load()?;
        }
        let deadline = self.keyed.deadline.load(Ordering::Acquire);
        Ok((deadline != NONE).then_some(deadline))
    }

    /// What runs a generation; of one that is not known any more, the one that handles `at`.
    fn ready_of(&self, generation: Generation, at: Offset) -> Result<(Generation, Arc<Ready>), RelayError> {
        let (number, promoted, ready) = match self.generations.of(generation) {
            Some((promoted, ready)) => (generation, promoted, ready),
            None => {
                let now = self.generations.at(self.partition.id(), at);
                let (promoted, ready) = self.generations.of(now).ok_or_else(|| {
                    RelayError::Config(format!("no generation is known of topic `{}`", self.generations.name))
                })?;
                (now, promoted, ready)
            }
        };
        let ready = match ready {
            Some(ready) => ready,
            None => self.shared.ready(promoted.codec.as_ref(), &promoted.chain)?,
        };
        Ok((number, ready))
    }
}
