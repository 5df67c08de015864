//! What still refers to filters' modules and to copies of looked-up files, so that the sandbox may remove the rest.
//!
//! Referred to by: every generation of every topic that is there (a roll back, an explanation, a dead letter's bundle or a replay may
//! want any of them) and of every deleted topic that still has rows; replays that are not over; the default chain; versions that the
//! configuration names. Chains that run, trials' among them, the sandbox knows itself.
//!
//! Invariants: whatever cannot be read may refer to anything, so nothing is removed then. What is made while this looks was resolved a
//! moment ago, and the sandbox leaves that.
//! Crash story: `sandbox/sweep.rs`. A sweep follows every start, and then one a day.

use crate::relay::generations::Promoted;
use crate::relay::replay::Record;
use crate::relay::{Relay, RelayError};
use crate::sandbox::{Referred, Swept};

impl Relay {
    /// Removes modules, compiled forms and copies of looked-up files that nobody refers to.
    ///
    /// # Errors
    /// [`RelayError::Config`] where something cannot be read that may refer to them: nothing was removed; [`RelayError::Filter`] for
    /// the disk's.
    pub fn sweep(&self) -> Result<Swept, RelayError> {
        let shared = self.shared();
        let mut referred = Referred::default();
        for stats in shared.store.stats() {
            // Of a topic that is neither in the queue nor has rows nobody can ask anything.
            if shared.queue.topic_by_id(stats.topic).is_none() && stats.rows == 0 && stats.parts == 0 {
                continue;
            }
            for entry in shared.store.generations(stats.topic) {
                let promoted: Promoted = serde_json::from_slice(&entry.chain)
                    .map_err(|error| unread(&format!("generation {} of `{}`", entry.generation, stats.name), &error))?;
                referred.chain(&promoted.chain);
            }
        }
        for (_, job) in shared.store.jobs().into_iter().filter(|(_, job)| job.open) {
            let record: Record =
                serde_json::from_slice(&job.record).map_err(|error| unread(&format!("replay {}", job.id), &error))?;
            referred.chain(&record.promoted.chain);
        }
        if let Some(chain) = shared.known_default() {
            referred.chain(&chain);
        }
        for spec in shared.config.topics.values().filter_map(|topic| topic.chain.as_ref()) {
            referred.spec(spec);
        }
        let swept = shared.sandbox.sweep(&referred)?;
        if swept.files > 0 {
            let (files, bytes) = (swept.files, swept.bytes);
            tracing::info!(
                files,
                bytes,
                "removed modules, compiled filters and looked-up files that nothing refers to any more"
            );
        }
        Ok(swept)
    }
}

fn unread(what: &str, error: &serde_json::Error) -> RelayError {
    RelayError::Config(format!("{what} cannot be read ({error}): what it refers to is not known"))
}
