//! What each receiver counts, and the log line that does not repeat itself.
//!
//! Invariant: a record is counted in `records` only after the queue acknowledged it. Counters only grow, except
//! `connections_open`. Reading them takes no lock.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use crate::base::clock::Clock;

/// Counters of one receiver.
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections or requests being served now.
    pub connections_open: AtomicU64,
    /// Connections or requests ever taken.
    pub connections: AtomicU64,
    /// Connections not taken: over the cap, or a failed TLS handshake.
    pub refused: AtomicU64,
    /// Records that the queue acknowledged.
    pub records: AtomicU64,
    /// Their payloads, bytes.
    pub bytes: AtomicU64,
    /// Batches they travelled in.
    pub batches: AtomicU64,
    /// Records the sender was told to be wrong (or would have been, had the protocol an answer).
    pub rejected: AtomicU64,
    /// Records lost because the queue was full and the protocol cannot wait (UDP).
    pub dropped: AtomicU64,
    /// Connections or requests that ended by broken bytes or a failure of ours.
    pub errors: AtomicU64,
}

/// The counters at one moment, and whose they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// `beats`, `syslog`, `kafka`, `http` or `elastic`; `page` and `dialect`, where HTTP connections are counted and nothing else.
    pub receiver: &'static str,
    /// Where it listens; `-` for those on a shared port.
    pub listen: String,
    /// Name (as in `/metrics`, without prefix) and value; `connections_open` is a gauge.
    pub values: [(&'static str, u64); 9],
}

impl Counters {
    /// Adds.
    pub fn add(counter: &AtomicU64, number: u64) {
        counter.fetch_add(number, Ordering::Relaxed);
    }

    /// What they say now.
    pub fn read(&self, receiver: &'static str, listen: String) -> Reading {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let values = [
            ("connections_open", get(&self.connections_open)),
            ("connections", get(&self.connections)),
            ("refused", get(&self.refused)),
            ("records", get(&self.records)),
            ("bytes", get(&self.bytes)),
            ("batches", get(&self.batches)),
            ("rejected", get(&self.rejected)),
            ("dropped", get(&self.dropped)),
            ("errors", get(&self.errors)),
        ];
        Reading { receiver, listen, values }
    }

    /// Counts a connection as open until the guard is dropped.
    pub fn open(&self) -> Open<'_> {
        Self::add(&self.connections, 1);
        Self::add(&self.connections_open, 1);
        Open(self)
    }
}

/// A connection that is counted as open.
#[derive(Debug)]
pub struct Open<'a>(&'a Counters);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.connections_open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Lets one log line a second through, and knows how many it held back: a flood of bad clients must not become a flood of lines.
#[derive(Debug)]
pub struct Quiet {
    next_ms: AtomicI64,
    held: AtomicU64,
}

impl Default for Quiet {
    fn default() -> Self {
        Self { next_ms: AtomicI64::new(i64::MIN), held: AtomicU64::new(0) }
    }
}

impl Quiet {
    const EVERY: Duration = Duration::from_secs(1);

    /// `Some(lines held back since the last one)` if a line may be written now.
    pub fn may_speak(&self, clock: &dyn Clock) -> Option<u64> {
        let now = i64::try_from(clock.monotonic().as_millis()).unwrap_or(i64::MAX);
        let next = self.next_ms.load(Ordering::Relaxed);
        let later = now.saturating_add(i64::try_from(Self::EVERY.as_millis()).unwrap_or(i64::MAX));
        if now >= next && self.next_ms.compare_exchange(next, later, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            return Some(self.held.swap(0, Ordering::Relaxed));
        }
        self.held.fetch_add(1, Ordering::Relaxed);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::SimClock;

    #[test]
    fn one_line_a_second() {
        let clock = SimClock::at(5_000_000_000);
        let quiet = Quiet::default();
        assert_eq!(quiet.may_speak(&clock), Some(0));
        assert_eq!(quiet.may_speak(&clock), None);
        assert_eq!(quiet.may_speak(&clock), None);
        clock.advance(Duration::from_secs(1));
        assert_eq!(quiet.may_speak(&clock), Some(2));
        assert_eq!(quiet.may_speak(&clock), None);
    }

    #[test]
    fn open_connections_are_counted_while_they_last() {
        let counters = Counters::default();
        let open = counters.open();
        assert_eq!(counters.read("http", "-".into()).values[0], ("connections_open", 1));
        drop(open);
        assert_eq!(counters.read("http", "-".into()).values[..2], [("connections_open", 0), ("connections", 1)]);
    }
}
