//! Files that nobody refers to any more: modules, their compiled forms, and copies of what filters look things up in.
//!
//! Who knows generations says what they refer to ([`Referred`]); the sandbox adds what only it knows: chains that run, the
//! versions of each name that are kept, and what was put, resolved or opened a short while ago ([`Recent`]), of which somebody may
//! be making a generation just now. All else goes.
//!
//! Invariants: a file that is referred to is never removed. What a sweep decides about a file and its removal happen under the
//! lock that who puts or names the file takes too, so that nothing comes to be referred to in between.
//! Crash story: each file goes by itself, and its going need not be durable: one that is back after a crash goes with the next
//! sweep. A version whose module went stays in the lists, without bytes, and is whole again once the same module is put.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::versions;
use super::{Chain, ChainRecord, ChainSpec, FilterError, Sandbox};
use crate::base::clock::Clock;

/// How long a file stays that somebody has just put, resolved or opened. What is done with it after that (a generation made durable,
/// a chain made) takes seconds.
const RECENT: Duration = Duration::from_secs(24 * 3600);

/// What generations, replays and configurations refer to.
#[derive(Clone, Debug, Default)]
pub struct Referred {
    modules: HashSet<Arc<str>>,
    lookups: HashSet<String>,
    versions: HashSet<(String, u32)>,
}

impl Referred {
    /// By a chain as it was resolved.
    pub fn chain(&mut self, record: &ChainRecord) {
        for entry in &record.entries {
            self.modules.insert(Arc::clone(&entry.sha256));
            self.lookups.extend(entry.lookups.iter().map(|lookup| lookup.sha256.clone()));
        }
    }

    /// By a chain that may be resolved later: the versions that it names.
    pub fn spec(&mut self, spec: &ChainSpec) {
        for entry in &spec.0 {
            if let Ok((name, Some(number))) = versions::split(&entry.filter) {
                self.versions.insert((name.to_owned(), number));
            }
        }
    }

    pub(super) fn has_module(&self, sha256: &str) -> bool {
        self.modules.contains(sha256)
    }

    pub(super) fn has_lookup(&self, sha256: &str) -> bool {
        self.lookups.contains(sha256)
    }

    pub(super) fn has_version(&self, name: &str, number: u32) -> bool {
        self.versions.contains(&(name.to_owned(), number))
    }
}

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// How many files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Swept {
    pub(super) fn add(&mut self, bytes: u64) {
        self.files += 1;
        self.bytes += bytes;
    }
}

/// What was used a short while ago, by hash.
pub(super) struct Recent {
    clock: Arc<dyn Clock>,
    used: Mutex<HashMap<Box<str>, Duration>>,
}

impl Recent {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, used: Mutex::default() }
    }

    /// It is used now.
    pub(super) fn touch(&self, sha256: &str) {
        let now = self.clock.monotonic();
        let mut used = self.used.lock();
        match used.get_mut(sha256) {
            Some(last) => *last = now,
            None => {
                used.insert(sha256.into(), now);
            }
        }
    }

    /// Forgets what is long ago, and tells the rest.
    pub(super) fn all(&self) -> HashSet<Box<str>> {
        let now = self.clock.monotonic();
        let mut used = self.used.lock();
        used.retain(|_, last| now.saturating_sub(*last) < RECENT);
        used.keys().cloned().collect()
    }
}

impl Sandbox {
    /// Removes files that nobody refers to. Lanes need not stop for it; what is put or resolved meanwhile stays.
    ///
    /// # Errors
    /// [`FilterError::Disk`]: what is left goes with the next sweep.
    pub fn sweep(&self, referred: &Referred) -> Result<Swept, FilterError> {
        let mut referred = referred.clone();
        let running: Vec<Arc<Chain>> = self.chains.lock().iter().filter_map(std::sync::Weak::upgrade).collect();
        running.iter().for_each(|chain| referred.chain(chain.record()));
        let mut swept = Swept::default();
        let outcome = self.catalog.sweep(&referred, self.pool.limits().versions, &mut swept);
        let outcome = outcome.and_then(|modules| self.cache.sweep(&modules, &mut swept));
        let outcome = outcome.and_then(|()| self.pool.sweep_lookups(&referred, &mut swept));
        let mut total = self.swept.lock();
        total.files += swept.files;
        total.bytes += swept.bytes;
        outcome?;
        Ok(swept)
    }

    /// What all sweeps since the start removed.
    pub fn swept(&self) -> Swept {
        *self.swept.lock()
    }
}
