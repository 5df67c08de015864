//! What a Kafka listener counts beside what every receiver counts.
//!
//! Invariants: counters only grow; reading them takes no lock.

use std::sync::atomic::{AtomicU64, Ordering};

use super::dispatch::TABLE;

/// Counters of one Kafka listener.
#[derive(Debug)]
pub struct KafkaCounters {
    requests: Vec<AtomicU64>,
    /// Requests for APIs or versions that are not served.
    pub(super) unsupported: AtomicU64,
    /// Requests that could not be decoded.
    pub(super) malformed: AtomicU64,
    /// Milliseconds that clients were asked to wait.
    pub(super) throttled_ms: AtomicU64,
    /// Records handed to fetches; those of a batch that is fetched from its middle count whole.
    pub(super) fetched_records: AtomicU64,
    /// Bytes of them.
    pub(super) fetched_bytes: AtomicU64,
}

/// The counters at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KafkaReading {
    /// Where it listens.
    pub listen: String,
    /// Requests by the API's name.
    pub requests: Vec<(String, u64)>,
    /// Requests for APIs or versions that are not served.
    pub unsupported: u64,
    /// Requests that could not be decoded.
    pub malformed: u64,
    /// Milliseconds that clients were asked to wait.
    pub throttled_ms: u64,
    /// Records handed to fetches.
    pub fetched_records: u64,
    /// Bytes of them.
    pub fetched_bytes: u64,
}

impl Default for KafkaCounters {
    fn default() -> Self {
        Self {
            requests: TABLE.iter().map(|_| AtomicU64::new(0)).collect(),
            unsupported: AtomicU64::new(0),
            malformed: AtomicU64::new(0),
            throttled_ms: AtomicU64::new(0),
            fetched_records: AtomicU64::new(0),
            fetched_bytes: AtomicU64::new(0),
        }
    }
}

impl KafkaCounters {
    pub(super) fn request(&self, row: usize) {
        if let Some(counter) = self.requests.get(row) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What they say now.
    pub fn read(&self, listen: String) -> KafkaReading {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let requests = TABLE.iter().zip(&self.requests).map(|(row, count)| (format!("{:?}", row.key), get(count))).collect();
        KafkaReading {
            listen,
            requests,
            unsupported: get(&self.unsupported),
            malformed: get(&self.malformed),
            throttled_ms: get(&self.throttled_ms),
            fetched_records: get(&self.fetched_records),
            fetched_bytes: get(&self.fetched_bytes),
        }
    }
}
