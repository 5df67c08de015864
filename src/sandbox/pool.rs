//! Running filters between two calls.
//!
//! Starting a filter costs some ten microseconds and its `init`, so instances are kept, for any lane that runs the same module
//! with the same configuration. [`Guest`] is that pair; it lives as long as a chain uses it.
//!
//! Limits: [`Config::idle_instances`] and [`Config::idle_memory`], for the whole box; those of guests that are gone go at once. When
//! there is no room, second ones of the same guest go first, then one that nobody used for [`UNUSED`], the one used longest ago first.
//! If there is none of these, the one that comes is not kept: guests that together want more room than there is must not drive each
//! other out in turn, or none would ever be found again. Its guest is then started for every batch: the log says so of large ones,
//! with how much room they want, and [`Counters::crowded`] counts it. How many run at once is bounded by who calls: one thread runs
//! one instance.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::Config;
use super::FilterError;
use super::counters::Counters;
use super::host::{Compiled, Shared};
use super::instance::{Instance, Needs, Pre, Start, StartError};
use super::lookup::{LookupRecord, LookupTable, Lookups};
use super::sweep::{Referred, Swept};
use crate::base::units::Bytes;
use parking_lot::Mutex;

/// How long an instance is kept that nobody uses, while others want its room.
const UNUSED: Duration = Duration::from_secs(60);

/// What part of the room an instance takes that is worth a word.
const LARGE: usize = 16;

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
    pub(super) filter: Arc<str>,
    loaded: Arc<Loaded>,
    config: Arc<str>,
    /// The lookups that its generation knows.
    lookups: Option<Arc<[LookupRecord]>>,
    pub(super) needs: Needs,
    pub(super) counters: Arc<Counters>,
    /// Whether the log has it that there is no room for it.
    told: AtomicBool,
}

impl Guest {
    /// Whether it may call this function of the host.
    pub(super) fn imports(&self, name: &str) -> bool {
        self.loaded.imports.iter().any(|import| import == name)
    }
}

/// An instance that waits for the next call.
struct Kept {
    of: Weak<Guest>,
    instance: Instance,
    /// When its last call ended.
    used: Duration,
}

#[derive(Default)]
struct Idle {
    /// Used longest ago first.
    instances: VecDeque<Kept>,
    bytes: usize,
}

impl Idle {
    fn remove(&mut self, at: usize) -> Option<Instance> {
        let kept = self.instances.remove(at)?;
        self.bytes = self.bytes.saturating_sub(kept.instance.memory_bytes());
        Some(kept.instance)
    }

    /// Which may go so that one of this guest is kept.
    fn to_go(&self, guest: &Arc<Guest>, now: Duration) -> Option<usize> {
        let more = |kept: &Kept| self.instances.iter().filter(|other| Weak::ptr_eq(&other.of, &kept.of)).count() > 1;
        let second = self.instances.iter().position(more);
        let is_second = self.instances.iter().any(|kept| kept.of.as_ptr() == Arc::as_ptr(guest));
        let unused = || self.instances.iter().position(|kept| !is_second && now.saturating_sub(kept.used) >= UNUSED);
        second.or_else(unused)
    }
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
    idle: Mutex<Idle>,
}

impl Pool {
    pub(super) fn new(limits: Config, lookups: Arc<Lookups>) -> Self {
        Self {
            limits,
            shared: Shared { compiled: Compiled::default(), lookups },
            guests: Mutex::default(),
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

    /// Removes copies of looked-up files that nobody refers to.
    pub(super) fn sweep_lookups(&self, referred: &Referred, swept: &mut Swept) -> Result<(), FilterError> {
        Ok(self.shared.lookups.sweep(referred, swept)?)
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
            filter: Arc::clone(filter),
            loaded: Arc::clone(loaded),
            config,
            lookups,
            needs: Needs::default(),
            counters: Arc::clone(counters),
            told: AtomicBool::new(false),
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
    pub(super) fn take(&self, guest: &Arc<Guest>) -> Result<Instance, StartError> {
        let mut idle = self.idle.lock();
        // The one used last has its memory still in the processor's caches.
        if let Some(found) = idle.instances.iter().rposition(|kept| kept.of.as_ptr() == Arc::as_ptr(guest))
            && let Some(instance) = idle.remove(found)
        {
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

    /// Keeps an instance whose last call went well, unless it has grown too large or there is no room.
    pub(super) fn give_back(&self, guest: &Arc<Guest>, instance: Instance) {
        let bytes = instance.memory_bytes();
        guest.counters.memory_bytes.fetch_max(bytes as u64, Ordering::Relaxed);
        let (room, most) = (self.limits.idle_memory.as_usize(), self.limits.idle_instances);
        // Who wants none kept, as explanations do, need not be told.
        if most == 0 || instance.has_grown(&self.limits) {
            return;
        }
        let now = self.shared.lookups.clock().monotonic();
        let mut gone = Vec::new();
        let mut idle = self.idle.lock();
        while let Some(dead) = idle.instances.iter().position(|kept| kept.of.strong_count() == 0) {
            gone.extend(idle.remove(dead));
        }
        let crowded = |idle: &Idle| idle.instances.len() >= most || idle.bytes.saturating_add(bytes) > room;
        while crowded(&idle) {
            // One that is too large for the whole room would only drive all others out.
            let Some(at) = idle.to_go(guest, now).filter(|_| bytes <= room) else { break };
            gone.extend(idle.remove(at));
        }
        if crowded(&idle) {
            let wanted = idle.bytes.saturating_add(bytes);
            let has_other = idle.instances.iter().any(|kept| kept.of.as_ptr() == Arc::as_ptr(guest));
            drop(idle);
            if !has_other {
                Counters::add(&guest.counters.crowded, 1);
            }
            // Small ones start in no time; of these there may be a thousand.
            if !has_other && bytes >= room / LARGE {
                self.tell(guest, bytes, wanted);
            }
        } else {
            idle.bytes += bytes;
            idle.instances.push_back(Kept { of: Arc::downgrade(guest), instance, used: now });
            drop(idle);
        }
        // Unmapping memory takes time: not under the lock.
        drop(gone);
    }

    /// Says, once for a guest, that there is no room for it.
    fn tell(&self, guest: &Guest, bytes: usize, wanted: usize) {
        if self.limits.quiet || guest.told.swap(true, Ordering::Relaxed) {
            return;
        }
        let Config { idle_memory, idle_instances, .. } = &self.limits;
        let (memory, wanted) = (Bytes(bytes as u64), Bytes(wanted as u64));
        tracing::warn!(
            filter = &*guest.filter, %memory, %idle_memory, idle_instances, %wanted,
            "there is no room to keep this filter ready: it is started anew for every batch; give `sandbox.idle_memory` what is wanted, or more `idle_instances`"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{plain, run};
    use super::super::{ChainSpec, Sandbox};
    use super::*;
    use crate::base::clock::{Clock, SimClock};
    use crate::base::disk::sim::SimDisk;

    const PAGES: usize = 400;
    const SIZE: usize = PAGES * 65536;

    /// A sandbox with room for so many bytes, and chains of one large filter each.
    fn large(room: usize, names: &[&str]) -> (Arc<SimClock>, Arc<Sandbox>, Vec<Arc<super::super::Chain>>) {
        let clock = Arc::new(SimClock::at(0));
        let config = Config { idle_memory: Bytes(room as u64), ..Config::default() };
        let sandbox = Sandbox::open(SimDisk::new(1), clock.clone() as Arc<dyn Clock>, config).unwrap();
        let chains = names.iter().map(|name| {
            let text = format!(
                r#"(module (memory (export "memory") {PAGES}) (data (i32.const 512) "\00\01\00\00") (data (i32.const 700) "{name}")
                (func (export "sawbox_abi") (result i32) (i32.const 1)) (func (export "alloc") (param i32) (result i32) (i32.const 65536))
                (func (export "init") (param i32 i32) (result i64) (i64.const 0x400000200))
                (func (export "process") (param i32 i32) (result i64) (unreachable)))"#
            );
            sandbox.put(name, &wat::parse_str(text).unwrap()).unwrap();
            let spec: ChainSpec = serde_json::from_value(serde_json::json!([{ "filter": name }])).unwrap();
            sandbox.chain(&sandbox.resolve(&spec).unwrap()).unwrap()
        });
        let chains = chains.collect();
        (clock, sandbox, chains)
    }

    /// Has each guest work in turn, so many times; how often each was started, and not kept.
    fn in_turn(sandbox: &Sandbox, guests: &[Arc<Guest>], times: usize) -> Vec<(u64, u64)> {
        let count = |guest: &Arc<Guest>| {
            let counters = &guest.counters;
            (counters.starts.load(Ordering::Relaxed), counters.crowded.load(Ordering::Relaxed))
        };
        let before: Vec<_> = guests.iter().map(count).collect();
        for _ in 0..times {
            for guest in guests {
                let instance = sandbox.pool.take(guest).unwrap();
                sandbox.pool.give_back(guest, instance);
                assert!(sandbox.pool.idle.lock().bytes <= sandbox.pool.limits.idle_memory.as_usize());
            }
        }
        guests.iter().map(count).zip(before).map(|(now, before)| (now.0 - before.0, now.1 - before.1)).collect()
    }

    fn guests(sandbox: &Sandbox) -> Vec<Arc<Guest>> {
        let mut all: Vec<_> = sandbox.pool.guests.lock().values().filter_map(Weak::upgrade).collect();
        all.sort_by(|a, b| a.filter.cmp(&b.filter));
        all
    }

    #[test]
    fn large_guests_do_not_drive_each_other_out() {
        let (_, sandbox, chains) = large(2 * SIZE, &["a", "b"]);
        assert_eq!(in_turn(&sandbox, &guests(&sandbox), 10), [(0, 0), (0, 0)], "there is room for both");
        // A failing call drops its instance, as ever.
        assert!(run(&chains[0], &plain(&[b"x"]))[0].starts_with("fail a"));

        let (clock, sandbox, _chains) = large(2 * SIZE - 1, &["a", "b"]);
        let both = guests(&sandbox);
        assert_eq!(in_turn(&sandbox, &both, 10), [(0, 0), (10, 10)], "for one: that one stays");
        clock.advance(UNUSED);
        assert_eq!(in_turn(&sandbox, &both[1..], 10), [(1, 0)], "whom nobody uses makes room");
        assert_eq!(in_turn(&sandbox, &both[..1], 10), [(10, 10)]);
    }

    #[test]
    fn what_is_too_large_and_what_is_second_goes_first() {
        let (_, sandbox, chains) = large(3 * SIZE, &["a", "b", "c"]);
        let all = guests(&sandbox);
        let (one, two) = (sandbox.pool.take(&all[0]).unwrap(), sandbox.pool.take(&all[0]).unwrap());
        let c = sandbox.pool.take(&all[2]).unwrap();
        sandbox.pool.give_back(&all[0], one);
        sandbox.pool.give_back(&all[0], two);
        sandbox.pool.give_back(&all[2], c);
        assert_eq!(in_turn(&sandbox, &all, 3), [(0, 0), (0, 0), (0, 0)], "the second of `a` made room for `c`");
        let idle = || sandbox.pool.idle.lock().instances.len();
        drop((chains, all));
        assert_eq!(idle(), 3);
        let (_, small, _chains) = large(SIZE - 1, &["a"]);
        assert_eq!(in_turn(&small, &guests(&small), 3), [(3, 3)], "larger than all the room");
    }
}
