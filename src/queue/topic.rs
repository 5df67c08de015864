//! A topic: a name, an id for ever, settings, partitions. How it changes and ends is `lifecycle.rs`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use arc_swap::ArcSwap;
use parking_lot::{Mutex, RwLock};

use super::partition::Partition;
use super::settings::{Key, TopicSettings};
use super::shared::Shared;
use crate::base::ids::{PartitionId, TopicId};

/// A topic.
#[derive(Debug)]
pub struct Topic {
    pub(super) id: TopicId,
    pub(super) name: Arc<str>,
    pub(super) shared: Arc<Shared>,
    pub(super) settings: Arc<ArcSwap<TopicSettings>>,
    pub(super) partitions: RwLock<Vec<Arc<Partition>>>,
    /// One change at a time; taken before the queue's lock for making topics.
    pub(super) changing: Mutex<()>,
    pub(super) gone: AtomicBool,
    /// What the configuration file says: it holds again at the next start, whatever is set meanwhile.
    pins: Mutex<Vec<(Key, TopicSettings)>>,
    turn: AtomicU32,
}

impl Topic {
    pub(super) fn new(
        id: TopicId,
        name: Arc<str>,
        shared: Arc<Shared>,
        settings: Arc<ArcSwap<TopicSettings>>,
        partitions: Vec<Arc<Partition>>,
    ) -> Self {
        Self {
            id,
            name,
            shared,
            settings,
            partitions: RwLock::new(partitions),
            changing: Mutex::new(()),
            gone: AtomicBool::new(false),
            pins: Mutex::default(),
            turn: AtomicU32::new(0),
        }
    }

    /// Its id, which no other topic ever has.
    pub fn id(&self) -> TopicId {
        self.id
    }

    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Its settings.
    pub fn settings(&self) -> Arc<TopicSettings> {
        self.settings.load_full()
    }

    /// Its partitions, by number.
    pub fn partitions(&self) -> Vec<Arc<Partition>> {
        self.partitions.read().clone()
    }

    /// One of them.
    pub fn partition(&self, number: PartitionId) -> Option<Arc<Partition>> {
        self.partitions.read().get(number as usize).cloned()
    }

    /// The partition for the next batch that has no key: one after the other.
    pub fn next_partition(&self) -> Arc<Partition> {
        let partitions = self.partitions.read();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) as usize;
        // A topic has at least one.
        partitions[turn % partitions.len()].clone()
    }

    /// Whether it was deleted. A topic of the same name that is made later is another one.
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// Says which settings stand in the configuration file: these win again at the next start.
    pub fn pin(&self, keys: &[Key], settings: &TopicSettings) {
        *self.pins.lock() = keys.iter().map(|key| (*key, settings.clone())).collect();
    }

    /// The settings in force that the configuration file will take back at the next start.
    pub fn shadowed(&self) -> Vec<Key> {
        let now = self.settings();
        let differs = |(key, pinned): &(Key, TopicSettings)| (now.get(*key) != pinned.get(*key)).then_some(*key);
        self.pins.lock().iter().filter_map(differs).collect()
    }
}
