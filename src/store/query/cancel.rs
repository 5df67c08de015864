//! How a running query is told to stop, and when it must.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::QueryError;
use crate::base::clock::Clock;

/// Steps of a loop between two questions whether anybody still listens.
const STEPS: usize = 1024;

/// Stops a query: by hand, or when its time is up. Clones share the hand.
#[derive(Clone, Debug)]
pub struct Cancel {
    flag: Arc<AtomicBool>,
    clock: Arc<dyn Clock>,
    deadline: Option<Duration>,
}

/// Whether to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Go {
    /// Yes.
    On,
    /// No: give what there is.
    Late,
    /// No: nobody listens.
    Cancelled,
}

impl Cancel {
    /// Without a deadline.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { flag: Arc::default(), clock, deadline: None }
    }

    /// The same with a deadline so far from now.
    #[must_use]
    pub fn within(mut self, time: Duration) -> Self {
        self.deadline = Some(self.clock.monotonic().saturating_add(time));
        self
    }

    /// Stops the query.
    pub fn cancel(&self) {
        self.flag.store(true, Ordering::Relaxed);
    }

    /// Whether to go on. Asked once a row group.
    pub fn go(&self) -> Go {
        if self.flag.load(Ordering::Relaxed) {
            Go::Cancelled
        } else if self.deadline.is_some_and(|deadline| self.clock.monotonic() >= deadline) {
            Go::Late
        } else {
            Go::On
        }
    }

    /// For loops over rows or groups of an answer, which a deadline does not end: what was found by then is still to be given.
    ///
    /// # Errors
    /// Cancelled; asked once in some thousand steps.
    pub fn go_on(&self, step: usize) -> Result<(), QueryError> {
        let cancelled = step.is_multiple_of(STEPS) && self.flag.load(Ordering::Relaxed);
        if cancelled { Err(QueryError::Cancelled) } else { Ok(()) }
    }

    /// A running time, of which only differences mean something.
    pub fn elapsed(&self) -> Duration {
        self.clock.monotonic()
    }
}
