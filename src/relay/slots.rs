//! How many may do at a time what takes filters of its own: memory for each of a chain's filters, and a thread that runs them.
//!
//! Who finds all places taken is refused and told when to ask again; nobody waits in the box, where a queue of requests would hold
//! its threads.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde::{Deserialize, Serialize};

use crate::relay::RelayError;

/// How much of what people ask for may go on at a time.
#[derive(Deserialize, Serialize, Clone, Copy, Debug)]
#[serde(deny_unknown_fields, default)]
pub struct AtOnce {
    /// Explanations, bundles of dead letters and plans of replays.
    pub explains: usize,
    /// Trials.
    pub trials: usize,
}

impl Default for AtOnce {
    fn default() -> Self {
        Self { explains: 4, trials: 2 }
    }
}

impl AtOnce {
    /// Refuses what makes no sense.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check(&self) -> Result<(), String> {
        if self.explains == 0 || self.trials == 0 {
            return Err("at_once: at least 1 of each, else there could be none".into());
        }
        Ok(())
    }
}

/// Places, of which each is taken by one at a time.
#[derive(Debug)]
pub(crate) struct Slots {
    of: usize,
    taken: AtomicUsize,
}

/// A place; it is free again once this is dropped.
#[derive(Debug)]
pub(crate) struct Slot<'s>(&'s Slots);

impl Slots {
    pub(crate) fn new(of: usize) -> Self {
        Self { of, taken: AtomicUsize::new(0) }
    }

    /// A place, for an explanation or the like.
    ///
    /// # Errors
    /// [`RelayError::Crowded`] where there is none.
    pub(crate) fn take(&self) -> Result<Slot<'_>, RelayError> {
        let more = |taken: usize| (taken < self.of).then_some(taken + 1);
        match self.taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, more) {
            Ok(_) => Ok(Slot(self)),
            Err(taken) => Err(RelayError::Crowded {
                why: format!(
                    "{taken} explanations, bundles or plans of replays are being made, which is as many as may at a time \
                     (`relay.at_once.explains`); ask again in a moment"
                ),
                seconds: 1,
            }),
        }
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::clock::{Clock, SimClock};
    use crate::base::disk::Disk;
    use crate::base::disk::sim::SimDisk;
    use crate::queue::{self, Queue};
    use crate::relay::{Config, Relay, ReplayChain, ReplayRequest, Which};
    use crate::sandbox::{self, Sandbox};
    use crate::store::{self, Store};

    #[test]
    fn who_is_too_many_is_refused_and_may_come_again() {
        let disk: Arc<dyn Disk> = SimDisk::new(1);
        let clock: Arc<dyn Clock> = Arc::new(SimClock::at(0));
        let (queue, _) = Queue::open(disk.clone(), clock.clone(), queue::Config::default()).unwrap();
        let (store, _) = Store::open_idle(disk.clone(), clock.clone(), store::Config::default()).unwrap();
        let sandbox = Sandbox::open(disk, clock.clone(), sandbox::Config::default()).unwrap();
        let config = Config { at_once: AtOnce { explains: 1, ..AtOnce::default() }, ..Config::default() };
        let relay = Relay::open(queue.clone(), store, sandbox, clock, config).unwrap();
        queue.ensure_topic("web").unwrap();
        let plan = ReplayRequest { which: Which::All, partitions: None, chain: ReplayChain::Newest, throttle: None };
        let all = || {
            let explained = relay.explain("web", 0, 0).map(drop);
            [explained, relay.bundle("web", 0, 0).map(drop), relay.plan_replay("web", &plan).map(drop)]
        };
        let one = relay.shared().explains.take().unwrap();
        assert!(all().iter().all(|said| matches!(said, Err(RelayError::Crowded { .. }))));
        drop(one);
        assert!(all().iter().all(|said| !matches!(said, Err(RelayError::Crowded { .. }))), "each gives its place back");
        queue.shutdown();
    }

    #[test]
    fn places_are_as_many_as_said_and_come_free() {
        let slots = Slots::new(2);
        let (one, two) = (slots.take().unwrap(), slots.take().unwrap());
        let Err(RelayError::Crowded { why, seconds: 1 }) = slots.take() else { panic!("a third of two") };
        assert!(why.starts_with("2 explanations") && why.contains("relay.at_once.explains"), "{why}");
        drop(one);
        let three = slots.take().unwrap();
        assert!(slots.take().is_err());
        drop((two, three));
        assert!(slots.take().is_ok());
        assert!(AtOnce { explains: 0, ..AtOnce::default() }.check().is_err() && AtOnce::default().check().is_ok());
    }
}
