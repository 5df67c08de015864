//! What of consumer groups can be configured.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::units::{Bytes, Span};

/// Bounds of consumer groups.
#[derive(Deserialize, Serialize, Clone, Debug, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How long the first round of an empty group waits for more consumers.
    pub initial_delay: Span,
    /// Least `session.timeout.ms`.
    pub session_min: Span,
    /// Greatest `session.timeout.ms`.
    pub session_max: Span,
    /// Longest that a rebalance waits for a member, whatever `max.poll.interval.ms` says.
    pub rebalance_max: Span,
    /// Most members of a group.
    pub members: usize,
    /// Most groups with members.
    pub groups: usize,
    /// Most bytes that one member may say about itself.
    pub member_bytes: Bytes,
    /// Most bytes of all members and their assignments.
    pub memory: Bytes,
    /// How long the offsets of a group without members are kept.
    pub offsets_retention: Span,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            initial_delay: Span(Duration::from_millis(500)),
            session_min: Span(Duration::from_secs(6)),
            session_max: Span(Duration::from_secs(1800)),
            rebalance_max: Span(Duration::from_secs(1800)),
            members: 1000,
            groups: 10_000,
            member_bytes: Bytes(1 << 20),
            memory: Bytes(64 << 20),
            offsets_retention: Span(Duration::from_secs(7 * 24 * 3600)),
        }
    }
}

impl Config {
    /// Values that parse but make no sense.
    ///
    /// # Errors
    /// A sentence that names the key and what to write instead.
    pub fn check(&self) -> Result<(), String> {
        let session = (Span(Duration::from_millis(1)), Span(Duration::from_secs(24 * 3600)));
        if !(session.0..=session.1).contains(&self.session_min) || self.session_min > self.session_max {
            return Err("groups.session_min must be from 1ms to groups.session_max".into());
        }
        if self.session_max > session.1 || self.rebalance_max > session.1 || self.rebalance_max < session.0 {
            return Err("groups.session_max and groups.rebalance_max must be from 1ms to 1d".into());
        }
        if self.initial_delay > Span(Duration::from_secs(60)) {
            return Err("groups.initial_delay must be at most 1m".into());
        }
        if !(1..=10_000).contains(&self.members) || !(1..=1_000_000).contains(&self.groups) {
            return Err("groups.members must be from 1 to 10000, groups.groups from 1 to 1000000".into());
        }
        if self.member_bytes < Bytes(4096) || self.member_bytes > self.memory || self.memory > Bytes(1 << 30) {
            return Err("groups.member_bytes must be from 4KiB to groups.memory, and that at most 1GiB".into());
        }
        if self.offsets_retention < Span(Duration::from_secs(60)) {
            return Err("groups.offsets_retention must be at least 1m".into());
        }
        Ok(())
    }
}
