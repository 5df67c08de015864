//! A lane takes one partition from the queue to the store.
//!
//! ```text
//! read durable batches → claim (which generation) → calls of at most 1,024 records → chain → verdicts
//!    → emissions, dead letters, rows for outputs: appended and durable → rows and next offset into the store
//! ```
//! Invariants: calls are cut from the log alone (one record batch, at multiples of [`CALL_RECORDS`](crate::base::limits::CALL_RECORDS) within it, never across a
//! generation's boundary). Rows reach the store only after every emission of theirs, and of all rows before, is durable: a
//! committed offset never leaves an emission behind. The store is the lane's only commit.
//! A lane has no thread: [`Lane::step`] works for a slice or until it must wait, then gives its thread back. What a slice holds
//! while it waits for emissions lives in the slice's future; an idle lane holds nothing.
//! Limits: a slice reads [`READ_BYTES`] of batches and stops at [`SLICE_BYTES`] inflated or after the scheduler's quantum.
//! Crash story: starts at the store's cursor, makes the same rows again, sends the same emissions, which targets know.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;

use crate::base::ids::{Generation, Offset};
use crate::base::row::{KeepPayload, Rows};
use crate::queue::batch::{self, Scratch};
use crate::queue::{Partition, QueueError, Source};
use crate::relay::RelayError;
use crate::relay::codec::{NotNow, Pending, Ran};
use crate::relay::cut::cut;
use crate::relay::generations::{After, Claim, Generations, Ready};
use crate::relay::keyed::{EXPIRED_RUN, Held, Keyed, Work};
use crate::relay::outbox::{Blocked, CAPPED, GROWING, Outbox, Probe};
use crate::relay::schedule::QUANTUM;
use crate::relay::shared::Shared;
use crate::relay::status::{Counters, Window};
use crate::relay::verdicts::{Position, handle};
use crate::relay::waiting::Waiting;
use crate::sandbox::Arena;
use crate::sandbox::state::Bytes;
use crate::store::Given;

/// Most bytes of batches that a slice reads, as they lie in the queue.
const READ_BYTES: usize = 1024 * 1024;
/// Inflated bytes after which a slice ends.
const SLICE_BYTES: usize = 8 * 1024 * 1024;
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A target that was full is not left alone longer than this.
const LONGEST_FULL_PAUSE: Duration = Duration::from_secs(1);

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing to do until new batches are durable.
    Idle,
    /// There is more to do at once.
    Again,
    /// Waits to be woken.
    Waiting,
    /// Waits to be woken, at the latest after this time.
    After(Duration),
}

#[derive(Default)]
pub(crate) struct Shown {
    pub(crate) state: Option<&'static str>,
    pub(crate) last_error: Option<String>,
}

/// What a lane shares with its slices and with those who look at it.
pub(crate) struct LaneCore {
    pub(crate) shared: Arc<Shared>,
    pub(crate) generations: Arc<Generations>,
    pub(crate) partition: Arc<Partition>,
    pub(crate) counters: Counters,
    pub(crate) next: AtomicU64,
    pub(crate) committed: AtomicU64,
    /// End of what was acknowledged before the start and has no rows yet; 0 once they are made again.
    remake: AtomicU64,
    pub(crate) shown: Mutex<Shown>,
    pub(crate) window: Mutex<Window>,
    /// Its topic was deleted, or is not to be stored: the lane does nothing.
    resting: AtomicBool,
    pub(crate) keyed: Keyed,
}

type Slice = Pin<Box<dyn Future<Output = Result<End, Trouble>> + Send>>;

/// A lane.
pub(crate) struct Lane {
    core: Arc<LaneCore>,
    slice: Option<Slice>,
    pause: Duration,
    // After trouble: not to be tried before, whoever wakes it.
    rest_until: Option<Duration>,
    probe: Option<Probe>,
    /// The schema that the next record needs, and the generation that says so.
    awaited: Option<(Pending, Generation)>,
}

/// How a slice ended.
#[derive(Clone, Debug)]
enum End {
    /// It did something, or found nothing.
    Done,
    /// A promotion is under way, or the lane is held.
    Stopped,
    /// The next record needs a schema that this generation's registry was not asked for yet.
    Awaits(Pending, Generation),
}

/// Why a slice must be done again.
enum Trouble {
    Failed(RelayError),
    Blocked(Box<Blocked>),
    /// Too much waits already, or a target is growing.
    Crowded,
}

impl Trouble {
    fn blocked(why: Blocked) -> Self {
        Self::Blocked(Box::new(why))
    }
}

impl<E: Into<RelayError>> From<E> for Trouble {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl Lane {
    pub(crate) fn new(
        shared: Arc<Shared>,
        generations: Arc<Generations>,
        partition: Arc<Partition>,
        committed: Offset,
    ) -> Self {
        generations.start(partition.id(), committed);
        let core = LaneCore {
            shared,
            generations,
            partition,
            counters: Counters::default(),
            next: AtomicU64::new(committed),
            committed: AtomicU64::new(committed),
            remake: AtomicU64::new(0),
            shown: Mutex::default(),
            window: Mutex::default(),
            resting: AtomicBool::new(false),
            keyed: Keyed::default(),
        };
        Self { core: Arc::new(core), slice: None, pause: FIRST_PAUSE, rest_until: None, probe: None, awaited: None }
    }

    pub(crate) fn core(&self) -> Arc<LaneCore> {
        self.core.clone()
    }

    /// Works for a slice, or until it must wait; `waker` says when to come again.
    pub(crate) fn step(&mut self, waker: &Waker) -> Step {
        let core = &self.core;
        if core.is_resting() {
            self.slice = None;
            self.probe = None;
            core.show("idle");
            return Step::Idle;
        }
        if self.slice.is_none() && core.partition.high_watermark() <= core.next.load(Ordering::Relaxed) {
            // What waits in its filters' state may be due.
            let left = core.deadline().map(|deadline| deadline.map(|at| at.saturating_sub(core.shared.clock.now_ns())));
            match left {
                Ok(Some(left)) if left <= 0 && !core.generations.is_held() => {}
                Ok(Some(left)) if left > 0 => {
                    core.show("idle");
                    return Step::After(Duration::from_nanos(left.unsigned_abs()));
                }
                Ok(_) => {
                    core.show("idle");
                    return Step::Idle;
                }
                Err(error) => {
                    core.trouble(&error.to_string());
                    return Step::After(LONGEST_PAUSE);
                }
            }
        }
        if self.rest_until.is_some_and(|until| core.shared.clock.monotonic() < until) {
            // Its timer runs.
            return Step::Waiting;
        }
        self.rest_until = None;
        if let Some((pending, generation)) = &self.awaited {
            // Another generation may do without it.
            let same = core.generations.at(core.partition.id(), core.next()) == *generation;
            if same && core.shared.registries.is_waiting(&pending.place) {
                core.trouble(&core.shared.registries.said(&pending.place));
                core.show("schema");
                return Step::Waiting;
            }
            self.awaited = None;
        }
        core.show("running");
        let slice = self.slice.get_or_insert_with(|| Box::pin(slice(core.clone(), self.probe.take())));
        let Poll::Ready(outcome) = slice.as_mut().poll(&mut Context::from_waker(waker)) else {
            core.show("waiting");
            return Step::Waiting;
        };
        self.slice = None;
        let (why, longest) = match outcome {
            Ok(End::Done) => {
                self.pause = FIRST_PAUSE;
                return Step::Again;
            }
            Ok(End::Stopped) => {
                let held = core.generations.held();
                core.show(if held.is_some() { "held" } else { "waiting" });
                if let Some(why) = held {
                    core.trouble(&why);
                }
                return Step::Waiting;
            }
            Ok(End::Awaits(pending, generation)) => {
                let asked = core.shared.registries.ask(&pending.place, waker);
                self.awaited = Some((pending, generation));
                core.show("schema");
                match asked {
                    Ok(said) => {
                        core.trouble(&said);
                        return Step::Waiting;
                    }
                    Err(why) => (Some(why), LONGEST_PAUSE),
                }
            }
            Err(Trouble::Failed(error)) => (Some(error.to_string()), LONGEST_PAUSE),
            Err(Trouble::Blocked(why)) => {
                let Blocked { error, topic, probe } = *why;
                self.probe = probe;
                (Some(format!("topic `{topic}`: {error}")), LONGEST_FULL_PAUSE)
            }
            Err(Trouble::Crowded) => (None, FIRST_PAUSE),
        };
        if self.awaited.is_none() {
            core.show("waiting");
        }
        if let Some(why) = why {
            core.trouble(&why);
        }
        let pause = self.pause.min(longest);
        self.pause = (pause * 2).min(longest);
        self.rest_until = Some(core.shared.clock.monotonic() + pause);
        Step::After(pause)
    }

    /// Its code panicked: start over from where the store knows it.
    pub(crate) fn panicked(&mut self) {
        self.slice = None;
        self.core.forget_state();
        self.core.show("waiting");
        self.core.trouble("a bug in the box stopped this lane for a while; the log has the panic");
    }
}

impl LaneCore {
    /// Ends what the lane does, or lets it go on where it was.
    pub(crate) fn rest(&self, resting: bool) {
        if self.resting.load(Ordering::Acquire) && !resting {
            // What went meanwhile is no loss: nobody wanted it stored. The oldest record that is left is the next.
            self.next.fetch_max(self.partition.log_start(), Ordering::AcqRel);
        }
        self.resting.store(resting, Ordering::Release);
        if resting {
            // Nobody is to wait for rows that it will not make.
            self.remade(Offset::MAX);
        }
    }

    /// Whether it was told to do nothing.
    pub(crate) fn is_resting(&self) -> bool {
        self.resting.load(Ordering::Acquire)
    }

    /// The first offset that it has not finished.
    pub(crate) fn next(&self) -> Offset {
        self.next.load(Ordering::Acquire)
    }

    fn show(&self, state: &'static str) {
        self.shown.lock().state = Some(state);
    }

    /// Keeps an error for the status, and logs it unless it is the same as before.
    pub(crate) fn trouble(&self, error: &str) {
        let mut shown = self.shown.lock();
        if shown.last_error.as_deref() != Some(error) {
            tracing::warn!(topic = %self.generations.name, partition = self.partition.id(), error, "lane waits");
            shown.last_error = Some(error.to_owned());
        }
    }

    /// The chain for `[at, end)`; loads or makes what is missing. `None` where the lane must wait.
    fn claim(&self, at: Offset, end: Offset) -> Result<Option<(u32, Arc<Ready>, Offset)>, RelayError> {
        loop {
            match self.generations.claim(self.partition.id(), at, end) {
                Claim::Go { generation, ready, until } => return Ok(Some((generation, ready, until))),
                Claim::Wait | Claim::Held => return Ok(None),
                Claim::Load { generation, promoted } => {
                    let ready = self.shared.ready(promoted.codec.as_ref(), &promoted.chain)?;
                    self.generations.loaded(generation, ready);
                }
                Claim::First => {
                    let promoted = self.shared.first(&self.generations.name)?;
                    let ready = self.shared.ready(promoted.codec.as_ref(), &promoted.chain)?;
                    let made = self.generations.promote(&self.shared.store, |_| 0, promoted, ready, After::Nothing);
                    self.shared.wake_topic(self.generations.topic);
                    made?;
                }
            }
        }
    }

    pub(crate) fn give(&self, held: &Held<'_>, keyed: Vec<(Bytes, Option<Bytes>)>) -> Result<(), RelayError> {
        let Held { rows, generation, from, next } = held;
        let (generations, next) = (&self.generations, *next);
        let given = Given { rows, from: *from, next, keyed };
        self.shared.store.append_keyed(generations.topic, &generations.name, self.partition.id(), *generation, given)?;
        self.next.store(next, Ordering::Release);
        self.remade(next);
        Ok(())
    }

    /// There are no rows of these offsets.
    fn pass(&self, from: Offset, next: Offset) -> Result<(), RelayError> {
        let generation = self.generations.at(self.partition.id(), from);
        self.give(&Held { rows: Rows::default(), generation, from, next }, Vec::new())
    }

    /// The store has come so far.
    pub(crate) fn go_on_at(&self, next: Offset) {
        self.next.fetch_max(next, Ordering::AcqRel);
    }

    /// Rows are there up to `next`, or will never be: says so once what a crash took is there again.
    pub(crate) fn remade(&self, next: Offset) {
        let of = self.remake.fetch_update(Ordering::AcqRel, Ordering::Acquire, |end| (end > 0 && next >= end).then_some(0));
        if of.is_ok() {
            self.shared.store.lane_caught_up();
        }
    }

    /// Notes at the start what the lane has to make again; tells whether there is anything. Nothing runs yet.
    pub(crate) fn note_remake(&self) -> bool {
        let end = self.partition.high_watermark();
        let behind = self.next.load(Ordering::Relaxed) < end;
        self.remake.store(if behind { end } else { 0 }, Ordering::Relaxed);
        behind
    }
}

async fn slice(core: Arc<LaneCore>, probe: Option<Probe>) -> Result<End, Trouble> {
    let source = Source { topic: core.generations.topic, partition: core.partition.id(), run: 0 };
    let mut work = Work::begin(&core)?;
    let mut at = core.next();
    let mut outbox = Outbox::new(source, at, &core.shared.routes);
    let expired = Source { run: EXPIRED_RUN, ..source };
    let mut expired = Outbox::new(expired, work.state.next_number(), &core.shared.routes);
    if let Some(probe) = probe {
        if outbox.enter(&probe.topic).is_err() {
            return Err(Trouble::Crowded);
        }
        // Only now: until here the topic could grow.
        if probe.is_stale() {
            return Ok(End::Done);
        }
        if core.shared.is_full(&probe.topic) {
            return Err(Trouble::blocked(Blocked::by(CAPPED, probe)));
        }
        if let Err(error) = probe.send().await {
            return Err(Trouble::blocked(Blocked::by(error, probe)));
        }
    }
    let (start, durable) = (core.partition.log_start(), core.partition.high_watermark());
    let batches = match core.partition.read(at, READ_BYTES) {
        // Nothing readable up to the watermark: damage, a lost end, or a loss that the configuration chose. The lane must not
        // ask for it again and again. If the start moved meanwhile it is not known what was looked at.
        Ok(batches) if batches.is_empty() && at < durable && core.partition.log_start() == start => {
            core.trouble(&format!("offsets {at} to {durable} cannot be read: they are damaged or deleted"));
            core.counters.add(0, 0, 0, durable - at);
            core.pass(at, durable)?;
            return Ok(End::Done);
        }
        Ok(batches) => batches,
        Err(QueueError::Deleted { start }) => {
            // Retention was forced past the lane: a loss that configuration chose. The queue counts it; here it is shown.
            core.trouble(&format!("offsets {at} to {start} were deleted before they were handled"));
            core.pass(at, start)?;
            return Ok(End::Done);
        }
        // It was deleted while its lane was made.
        Err(QueueError::Gone) => {
            core.rest(true);
            return Ok(End::Stopped);
        }
        Err(error) => return Err(error.into()),
    };
    // The first batch may begin below it, if a user deleted records.
    at = at.max(start);
    let begin = core.shared.clock.monotonic();
    let arena = Arena::new();
    let mut scratches: Vec<Scratch> = batches.iter().map(|_| Scratch::new()).collect();
    let mut documents = Vec::new();
    let mut held: Vec<Held<'_>> = Vec::new();
    let mut end = End::Done;
    let mut bytes = 0;
    if batches.is_empty() {
        bytes += crowded(work.reveal(at, &arena, &mut expired, &mut held))?;
    }
    'slice: for (stored, scratch) in batches.iter().zip(&mut scratches) {
        at = at.max(stored.base_offset);
        let records = match batch::decode(stored, scratch) {
            Ok(records) => records,
            Err(error) => {
                // It was whole when it was taken, so this is damage: it costs this batch, and is shown.
                core.trouble(&format!("offsets {at} to {} cannot be read: {error}", stored.next_offset));
                core.counters.add(0, 0, 0, stored.next_offset - at);
                let generation = core.generations.at(core.partition.id(), at);
                held.push(Held { rows: Rows::default(), generation, from: at, next: stored.next_offset });
                work.close_call();
                at = stored.next_offset;
                continue;
            }
        };
        while at < stored.next_offset {
            let Some((generation, ready, until)) = core.claim(at, stored.next_offset)? else {
                end = End::Stopped;
                break 'slice;
            };
            let (call, mut next) = cut(&records, at, until);
            let given = call.records.len();
            if let Some(first) = call.records.first() {
                let arrived = (at, first.arrival_ns);
                bytes += crowded(work.before_call((generation, &ready), arrived, &arena, &mut expired, &mut held))?;
            }
            let Ran { call, output, undecoded, bytes: decoded } =
                match ready.codec.run(&ready.chain, call, &arena, &mut documents, &mut work.state) {
                    Ok(ran) => ran,
                    Err(NotNow::Pending(pending)) => {
                        // Nothing from here on was handled by this generation, so another may.
                        let emitted = core.shared.emitted(core.generations.topic, core.partition.id());
                        core.generations.release(core.partition.id(), at.max(emitted));
                        end = End::Awaits(pending, generation);
                        break 'slice;
                    }
                    Err(NotNow::Trouble(why)) => return Err(RelayError::Schemas(why).into()),
                };
            if call.records.len() < given {
                // Its documents were many: the rest is the next call.
                let first = records.records.partition_point(|record| record.offset < at);
                next = records.records.get(first + call.records.len()).map_or(next, |left| left.offset);
            }
            bytes += call.records.iter().map(|record| record.payload.len()).sum::<usize>() + decoded;
            let handled = handle(&core, generation, &call, output, &mut outbox, Position::Offsets);
            let mut handled = crowded(handled.map_err(RelayError::from))?;
            handled.rows.keep = core.shared.keep_payload(&core.generations.name, &ready);
            if handled.rows.keep != KeepPayload::Never {
                handled.rows.records = call;
            }
            core.count(generation, &handled, undecoded);
            work.close_call();
            let done = Held { rows: handled.rows, generation, from: at, next };
            at = next;
            if held.is_empty() && outbox.is_empty() {
                work.give(&done)?;
            } else {
                held.push(done);
            }
            if bytes >= SLICE_BYTES || core.shared.clock.monotonic().saturating_sub(begin) >= QUANTUM {
                break 'slice;
            }
        }
    }
    if !outbox.is_empty() || !expired.is_empty() {
        let _waiting = Waiting::begin(&core.shared.waiting_bytes, bytes).ok_or(Trouble::Crowded)?;
        expired.flush(|topic| core.shared.is_full(topic)).await.map_err(Trouble::blocked)?;
        outbox.flush(|topic| core.shared.is_full(topic)).await.map_err(Trouble::blocked)?;
    }
    for held in &held {
        work.give(held)?;
    }
    Ok(end)
}

/// A topic that grows is no failure.
fn crowded<T>(outcome: Result<T, RelayError>) -> Result<T, Trouble> {
    outcome.map_err(|error| match error {
        RelayError::Queue(QueueError::Full(GROWING)) => Trouble::Crowded,
        error => Trouble::Failed(error),
    })
}
