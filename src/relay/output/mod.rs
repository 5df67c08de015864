//! Outputs: where matching rows are also sent.
//!
//! Each output consumes its own topic `_out.<name>`, on a thread of its own and with its own cursor among the consumer groups
//! (group `_out.<name>`). So a dead receiver delays no lane and no other output, and what waits for it is as durable as any
//! record. Lanes put rows there as emissions, each once; delivery to the outside is at least once, with the row's origin as
//! `id` wherever the receiver can use one.
//!
//! Order: read → send → dead letters of what was refused for good, durable → commit the cursor. A crash in between sends again.

use std::time::Duration;

mod deliver;
pub(crate) mod row;
pub mod template;
pub(crate) mod webhook;
pub(crate) mod zabbix;

pub(crate) use deliver::{Delivery, GROUP_PREFIX};

/// One row on its way out.
pub(crate) struct Item<'a> {
    /// When its record arrived in the output's topic.
    pub(crate) arrival_ns: i64,
    /// The row as [`row::write_json`] wrote it.
    pub(crate) json: &'a [u8],
}

/// A row that the receiver will never take.
#[derive(Debug)]
pub(crate) struct Refused {
    /// Its place among the items sent.
    pub(crate) index: usize,
    /// What the receiver said.
    pub(crate) reason: String,
}

/// Why nothing is known to be delivered.
#[derive(Debug)]
pub(crate) enum SendError {
    /// Try the same again.
    Later {
        /// What happened.
        reason: String,
        /// How long the receiver asked to wait.
        after: Option<Duration>,
    },
}

impl SendError {
    pub(crate) fn later(reason: String) -> Self {
        Self::Later { reason, after: None }
    }
}

/// How rows leave the box; two implementations.
pub(crate) trait Sender: Send {
    /// Most items of one [`Sender::send`].
    fn batch(&self) -> usize;
    /// Sends these; all but the refused are delivered when it returns `Ok`.
    fn send(&mut self, items: &[Item<'_>], now_ns: i64) -> Result<Vec<Refused>, SendError>;
}
