//! Running filters between two calls.
//!
//! Starting a filter costs some ten microseconds and its `init`, so instances are kept, for any lane that runs the same module
//! with the same configuration. [`Guest`] is that pair; it lives as long as a chain uses it.
//!
//! Limits: [`Config::idle_instances`] and [`Config::idle_memory`], for the whole box; the one that was used longest ago goes
//! first. How many run at once is bounded by who calls: one thread runs one instance.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use super::Config;
use super::counters::Counters;
use super::host::{Compiled, Shared};
use super::instance::{Instance, Needs, Pre, Start, StartError};
use super::lookup::{LookupRecord, LookupTable, Lookups};
use parking_lot::Mutex;

/// A compiled module, ready to be started.
pub(super) struct Loaded {
    pub(super) sha256: Arc<str>,
    pub(super) pre: Pre,
    /// The functions of the host that it imports.
    pub(super) imports: Vec<String>,
    /// Whether it brings a runtime that needs more memory.
    pub(super) interpreter: bool,
    /// Whether it may open lookups.
    pub(super) looks_up: bool,
}

/// A module with a configuration.
pub(super) struct Guest {
    id: u64,
    pub(super) filter: Arc<str>,
    loaded: Arc<Loaded>,
    config: Arc<str>,
    /// The lookups that its generation knows.
    lookups: Option<Arc<[LookupRecord]>>,
    pub(super) needs: Needs,
    pub(super) counters: Arc<Counters>,
}

impl Guest {
    /// Whether it may call this function of the host.
    pub(super) fn imports(&self, name: &str) -> bool {
        self.loaded.imports.iter().any(|import| import == name)
    }
}

#[derive(Default)]
struct Idle {
    /// Used longest ago first.
    instances: VecDeque<(u64, Instance)>,
    bytes: usize,
}

/// Names a guest: (filter, module, configuration, lookups).
type Key = (Arc<str>, Arc<str>, Arc<str>, Option<Arc<[LookupRecord]>>);

impl Guest {
    fn start(&self) -> Start<'_> {
        Start {
            pre: &self.loaded.pre,
            filter: &self.filter,
            config: &self.config,
            pinned: self.lookups.as_ref(),
            interpreter: self.loaded.interpreter,
        }
    }
}

/// All instances of the box that do nothing just now.
pub(super) struct Pool {
    limits: Config,
    shared: Shared,
    guests: Mutex<HashMap<Key, Weak<Guest>>>,
    next_id: AtomicU64,
    idle: Mutex<Idle>,
}

impl Pool {
    pub(super) fn new(limits: Config, lookups: Arc<Lookups>) -> Self {
        Self {
            limits,
            shared: Shared { compiled: Compiled::default(), lookups },
            guests: Mutex::default(),
            next_id: AtomicU64::new(0),
            idle: Mutex::default(),
        }
    }

    /// Another one, with instances of its own and the same lookups.
    pub(super) fn beside(&self, limits: Config) -> Self {
        Self::new(limits, Arc::clone(&self.shared.lookups))
    }

    /// What a file held that chains look things up in.
    pub(super) fn lookup_bytes(&self, sha256: &str, most: u64) -> Option<Vec<u8>> {
        self.shared.lookups.bytes(sha256, most)
    }

    /// A table as it is now.
    pub(super) fn table(&self, name: &str) -> Result<LookupTable, String> {
        self.shared.lookups.table(name)
    }

    pub(super) fn limits(&self) -> &Config {
        &self.limits
    }

    /// The guest of this module with this configuration; started once to see whether it can be.
    pub(super) fn guest(
        &self,
        filter: &Arc<str>,
        loaded: &Arc<Loaded>,
        config: Arc<str>,
        lookups: Option<Arc<[LookupRecord]>>,
        counters: &Arc<Counters>,
    ) -> Result<Arc<Guest>, StartError> {
        let key = (Arc::clone(filter), Arc::clone(&loaded.sha256), Arc::clone(&config), lookups.clone());
        if let Some(guest) = self.guests.lock().get(&key).and_then(Weak::upgrade) {
            return Ok(guest);
        }
        let mut guest = Guest {
            id: self.next_id.fetch_add(1, Ordering::Relaxed),
            filter: Arc::clone(filter),
            loaded: Arc::clone(loaded),
            config,
            lookups,
            needs: Needs::default(),
            counters: Arc::clone(counters),
        };
        let (instance, needs) = Instance::start(&guest.start(), &self.shared, &self.limits)?;
        guest.needs = needs;
        let guest = Arc::new(guest);
        let mut guests = self.guests.lock();
        guests.retain(|_, guest| guest.strong_count() > 0);
        guests.insert(key, Arc::downgrade(&guest));
        drop(guests);
        self.give_back(&guest, instance);
        Ok(guest)
    }

    /// The lookups that this module opens with this configuration, as they are now.
    pub(super) fn lookups(
        &self,
        filter: &Arc<str>,
        loaded: &Loaded,
        config: &Arc<str>,
    ) -> Result<Vec<LookupRecord>, StartError> {
        if !loaded.looks_up {
            return Ok(Vec::new());
        }
        let start = Start { pre: &loaded.pre, filter, config, pinned: None, interpreter: loaded.interpreter };
        Instance::start(&start, &self.shared, &self.limits).map(|(instance, _)| instance.lookups().to_vec())
    }

    /// An instance to work with; kept, or fresh.
    pub(super) fn take(&self, guest: &Guest) -> Result<Instance, StartError> {
        let mut idle = self.idle.lock();
        // The one used last has its memory still in the processor's caches.
        if let Some(found) = idle.instances.iter().rposition(|(id, _)| *id == guest.id)
            && let Some((_, instance)) = idle.instances.remove(found)
        {
            idle.bytes = idle.bytes.saturating_sub(instance.memory_bytes());
            return Ok(instance);
        }
        drop(idle);
        self.fresh(guest)
    }

    /// A fresh instance.
    pub(super) fn fresh(&self, guest: &Guest) -> Result<Instance, StartError> {
        Counters::add(&guest.counters.starts, 1);
        Instance::start(&guest.start(), &self.shared, &self.limits).map(|(instance, _)| instance)
    }

    /// Keeps an instance whose last call went well, unless it has grown too large.
    pub(super) fn give_back(&self, guest: &Guest, instance: Instance) {
        let bytes = instance.memory_bytes();
        guest.counters.memory_bytes.fetch_max(bytes as u64, Ordering::Relaxed);
        if instance.has_grown(&self.limits) {
            return;
        }
        let mut gone = Vec::new();
        let mut idle = self.idle.lock();
        idle.bytes += bytes;
        idle.instances.push_back((guest.id, instance));
        while idle.instances.len() > self.limits.idle_instances || idle.bytes > self.limits.idle_memory.as_usize() {
            let Some((_, oldest)) = idle.instances.pop_front() else { break };
            idle.bytes = idle.bytes.saturating_sub(oldest.memory_bytes());
            gone.push(oldest);
        }
        drop(idle);
        // Unmapping memory takes time: not under the lock.
        drop(gone);
    }
}
