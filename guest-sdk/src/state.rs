//! Keyed state: what a filter remembers from record to record, kept by the host and made durable together with the rows.
//!
//! In Wasm these are imports. Natively (tests) the state is a map of the thread's; see [`crate::testing::clear_state`].

use crate::abi::import::NOTHING;
use crate::host::{last_error, raw};

/// Room that is tried first for a value.
const FIRST_ROOM: usize = 256;

/// The state, as one record sees it.
#[derive(Clone, Copy, Debug)]
pub struct State {
    #[cfg_attr(not(target_arch = "wasm32"), allow(dead_code))]
    pub(crate) record: u32,
    #[cfg_attr(target_arch = "wasm32", allow(dead_code))]
    pub(crate) arrival_ns: i64,
}

impl State {
    /// What was put under this key; nothing once its time is over.
    pub fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        let mut value = vec![0; FIRST_ROOM];
        // Twice at most: the second time there is room.
        for _ in 0..2 {
            let len = raw::state_get(self, key, &mut value);
            if len == NOTHING {
                return None;
            }
            let len = usize::try_from(len).ok()?;
            if len <= value.len() {
                value.truncate(len);
                return Some(value);
            }
            value.resize(len, 0);
        }
        None
    }

    /// Keeps a value under a key, for so many milliseconds from the record's arrival; without a number, for good.
    ///
    /// # Errors
    /// The topic's state is full: tag the record, or forget something.
    pub fn put(&self, key: &[u8], value: &[u8], ttl_ms: Option<u64>) -> Result<(), String> {
        let ttl_ms = ttl_ms.map_or(-1, |ms| i64::try_from(ms).unwrap_or(i64::MAX));
        match raw::state_put(self, key, value, ttl_ms) {
            0 => Ok(()),
            _ => Err(last_error()),
        }
    }

    /// Forgets a key.
    pub fn remove(&self, key: &[u8]) {
        raw::state_remove(self, key);
    }
}
