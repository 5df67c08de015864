//! Time, as a seam: real, or set by a test.
//!
//! Nothing outside this file asks the operating system what time it is (`clippy.toml` enforces it).

use std::fmt::Debug;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Tells the time.
pub trait Clock: Send + Sync + Debug {
    /// Wall clock: nanoseconds since 1970-01-01T00:00:00Z. May jump.
    fn now_ns(&self) -> i64;
    /// Never goes back; only differences mean something.
    fn monotonic(&self) -> Duration;
}

/// The machine's clock.
#[derive(Debug)]
pub struct RealClock {
    start: Instant,
}

impl RealClock {
    /// The machine's clock.
    #[allow(clippy::disallowed_methods)]
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for RealClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for RealClock {
    #[allow(clippy::disallowed_methods)]
    fn now_ns(&self) -> i64 {
        // A clock before 1970 reads as 1970; one past 2262 as 2262.
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}

/// A clock that moves only when a test moves it.
#[derive(Debug)]
pub struct SimClock {
    now_ns: AtomicI64,
}

impl SimClock {
    /// A clock that stands at `now_ns`.
    pub fn at(now_ns: i64) -> Self {
        Self { now_ns: AtomicI64::new(now_ns) }
    }

    /// Moves it on.
    pub fn advance(&self, by: Duration) {
        self.now_ns.fetch_add(i64::try_from(by.as_nanos()).unwrap_or(i64::MAX), Ordering::SeqCst);
    }
}

impl Clock for SimClock {
    fn now_ns(&self) -> i64 {
        self.now_ns.load(Ordering::SeqCst)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_nanos(self.now_ns().unsigned_abs())
    }
}
