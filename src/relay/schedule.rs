//! Lanes share a few plain threads, fairly.
//!
//! A lane that has something to do stands in the ready queue of its priority, once. A thread takes the first of the class whose
//! turn it is ([`super::shares`]), lets it work for a slice, and puts it back at the end if it has more to do. Within a class
//! fairness is deficit round robin over time: every turn earns a lane [`QUANTUM`]; what it took beyond that (a slow filter's call
//! cannot be cut short) it pays back in turns not taken while others wait.
//! An idle lane stands nowhere and costs nothing: it is queued again by its waker (new durable batches, an emission that became
//! durable, a promotion that ended) or by a timer (a full target is tried again).
//!
//! Why not tokio: lanes compute for milliseconds at a time, which would starve the network on two cores.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Wake, Waker};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::base::clock::Clock;
use crate::queue::Priority;
use crate::relay::lane::{Lane, Step};
use crate::relay::shares::{Shares, class};

/// How long a lane may work in one turn.
pub(crate) const QUANTUM: Duration = Duration::from_millis(20);
/// How long a lane rests whose code panicked: a bug, which must not spin.
const AFTER_PANIC: Duration = Duration::from_secs(30);

const IDLE: u8 = 0;
const QUEUED: u8 = 1;
const RUNNING: u8 = 2;
const RUNNING_AGAIN: u8 = 3;

/// A lane as the threads see it.
pub(crate) struct Task {
    pub(crate) lane: Mutex<Lane>,
    state: AtomicU8,
    /// Time taken beyond what was earned, nanoseconds.
    debt: Mutex<Duration>,
    /// Its topic's priority, as [`Shares`] counts them.
    class: AtomicUsize,
    pool: Weak<Pool>,
}

impl Task {
    pub(crate) fn new(lane: Lane, priority: Priority, pool: &Arc<Pool>) -> Arc<Self> {
        Arc::new(Self {
            lane: Mutex::new(lane),
            state: AtomicU8::new(IDLE),
            debt: Mutex::new(Duration::ZERO),
            class: AtomicUsize::new(class(priority)),
            pool: Arc::downgrade(pool),
        })
    }

    fn class(&self) -> usize {
        self.class.load(Ordering::Relaxed)
    }

    /// Its topic has this priority now. Holds from here on, also if the lane waits for its turn.
    pub(crate) fn set_priority(&self, priority: Priority) {
        if self.class.swap(class(priority), Ordering::Relaxed) != class(priority)
            && let Some(pool) = self.pool.upgrade()
        {
            pool.waiting.lock().ready.sort(|task| task.class());
        }
    }

    /// Says that the lane may have something to do.
    pub(crate) fn notify(self: &Arc<Self>) {
        loop {
            let (from, to) = match self.state.load(Ordering::SeqCst) {
                IDLE => (IDLE, QUEUED),
                RUNNING => (RUNNING, RUNNING_AGAIN),
                _ => return,
            };
            if self.state.compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
                if to == QUEUED
                    && let Some(pool) = self.pool.upgrade()
                {
                    pool.push(self.clone());
                }
                return;
            }
        }
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.notify();
    }
}

struct Timer {
    at: Duration,
    sequence: u64,
    task: Weak<Task>,
}

impl PartialEq for Timer {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.sequence) == (other.at, other.sequence)
    }
}
impl Eq for Timer {}
impl PartialOrd for Timer {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Timer {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}

#[derive(Default)]
struct Waiting {
    ready: Shares<Arc<Task>>,
    timers: BinaryHeap<Reverse<Timer>>,
    sequence: u64,
}

/// The ready queue and the threads' common state.
pub(crate) struct Pool {
    waiting: Mutex<Waiting>,
    work: Condvar,
    stop: AtomicBool,
    clock: Arc<dyn Clock>,
}

impl Pool {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self { waiting: Mutex::default(), work: Condvar::new(), stop: AtomicBool::new(false), clock })
    }

    /// Whether a lane is at work, or waits for a thread.
    pub(crate) fn is_busy(&self) -> bool {
        self.waiting.lock().ready.is_busy()
    }

    fn push(&self, task: Arc<Task>) {
        self.waiting.lock().ready.push(task.class(), task);
        self.work.notify_one();
    }

    /// Notifies a lane after a while.
    pub(crate) fn push_later(&self, task: &Arc<Task>, after: Duration) {
        let mut waiting = self.waiting.lock();
        waiting.sequence += 1;
        let timer = Timer { at: self.clock.monotonic() + after, sequence: waiting.sequence, task: Arc::downgrade(task) };
        waiting.timers.push(Reverse(timer));
        self.work.notify_one();
    }

    /// Ends [`Pool::run`] on all threads, each after the slice it is at.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
        let _held = self.waiting.lock();
        self.work.notify_all();
    }

    /// Whether [`Pool::stop`] was called.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// What a thread does.
    pub(crate) fn run(&self) {
        while let Some((task, class)) = self.take() {
            let took = self.turn(&task, class);
            self.waiting.lock().ready.ran(class, took);
        }
    }

    /// The next lane and its class; `None` once stopped.
    fn take(&self) -> Option<(Arc<Task>, usize)> {
        let mut waiting = self.waiting.lock();
        loop {
            if self.stop.load(Ordering::SeqCst) {
                return None;
            }
            let now = self.clock.monotonic();
            let mut due = Vec::new();
            while waiting.timers.peek().is_some_and(|Reverse(timer)| timer.at <= now) {
                due.extend(waiting.timers.pop().and_then(|Reverse(timer)| timer.task.upgrade()));
            }
            if !due.is_empty() {
                // Notifying takes the lock itself.
                parking_lot::MutexGuard::unlocked(&mut waiting, || due.iter().for_each(Task::notify));
                continue;
            }
            if let Some(next) = waiting.ready.pop() {
                return Some(next);
            }
            match waiting.timers.peek() {
                Some(Reverse(timer)) => {
                    let left = timer.at.saturating_sub(now);
                    self.work.wait_for(&mut waiting, left);
                }
                None => self.work.wait(&mut waiting),
            }
        }
    }

    /// Gives how long it took.
    fn turn(&self, task: &Arc<Task>, class: usize) -> Duration {
        {
            let mut debt = task.debt.lock();
            if !debt.is_zero() && self.waiting.lock().ready.has_ready(class) {
                *debt = debt.saturating_sub(QUANTUM);
                drop(debt);
                self.push(task.clone());
                return Duration::ZERO;
            }
        }
        task.state.store(RUNNING, Ordering::SeqCst);
        let begin = self.clock.monotonic();
        let waker = Waker::from(task.clone());
        let step = std::panic::catch_unwind(AssertUnwindSafe(|| task.lane.lock().step(&waker)));
        let took = self.clock.monotonic().saturating_sub(begin);
        {
            let mut debt = task.debt.lock();
            *debt = (*debt + took).saturating_sub(QUANTUM);
        }
        let step = step.unwrap_or_else(|_| {
            task.lane.lock().panicked();
            Step::After(AFTER_PANIC)
        });
        if let Step::After(pause) = step {
            self.push_later(task, pause);
        }
        let again = matches!(step, Step::Again);
        if again || task.state.compare_exchange(RUNNING, IDLE, Ordering::SeqCst, Ordering::SeqCst).is_err() {
            task.state.store(QUEUED, Ordering::SeqCst);
            self.push(task.clone());
        }
        took
    }
}
