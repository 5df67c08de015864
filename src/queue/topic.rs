//! A topic: a name, an id for ever, settings, partitions.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use arc_swap::ArcSwap;
use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};

use super::catalog;
use super::config::{Config, Durability};
use super::error::QueueError;
use super::partition::Partition;
use super::shared::Shared;
use crate::base::ids::{PartitionId, TopicId};
use crate::base::units::{Bytes, Span};

/// Most partitions of a topic: each is a lane and a file.
pub const PARTITIONS: u32 = 256;

/// What may be set for one topic; what is not set follows the queue's configuration.
#[derive(Deserialize, Serialize, Clone, Debug, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct TopicSettings {
    /// How many partitions; they only grow.
    pub partitions: u32,
    /// How long records are kept.
    pub retention: Option<Span>,
    /// How many bytes are kept, over all partitions.
    pub retention_bytes: Option<Bytes>,
    /// When an append counts as done.
    pub durability: Durability,
}

impl TopicSettings {
    /// What a topic gets that nobody configured.
    pub fn of(config: &Config) -> Self {
        Self { partitions: config.partitions, retention: None, retention_bytes: None, durability: config.durability }
    }

    pub(super) fn check(&self) -> Result<(), QueueError> {
        if (1..=PARTITIONS).contains(&self.partitions) {
            return Ok(());
        }
        Err(QueueError::Refused(format!("a topic has 1 to {PARTITIONS} partitions, not {}", self.partitions)))
    }
}

/// A topic.
#[derive(Debug)]
pub struct Topic {
    id: TopicId,
    name: Arc<str>,
    shared: Arc<Shared>,
    settings: Arc<ArcSwap<TopicSettings>>,
    partitions: RwLock<Vec<Arc<Partition>>>,
    changing: Mutex<()>,
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
        let (partitions, turn) = (RwLock::new(partitions), AtomicU32::new(0));
        Self { id, name, shared, settings, partitions, changing: Mutex::new(()), turn }
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

    /// Changes the settings, durably, while the topic runs. Partitions can be added, not taken away.
    ///
    /// # Errors
    /// [`QueueError::Refused`] for settings that cannot be, [`QueueError::NotDurable`] or [`QueueError::Full`] from the disk.
    pub fn update_settings(self: &Arc<Self>, settings: TopicSettings) -> Result<(), QueueError> {
        settings.check()?;
        let _one_at_a_time = self.changing.lock();
        let have = PartitionId::try_from(self.partitions.read().len()).unwrap_or(PARTITIONS);
        if settings.partitions < have {
            return Err(QueueError::Refused(format!("`{}` has {have} partitions; they cannot become fewer", self.name)));
        }
        if **self.settings.load() == settings {
            return Ok(());
        }
        let mut fresh = Vec::new();
        for number in have..settings.partitions {
            fresh.push(catalog::make_partition(&self.shared, self.id, &self.name, number, &self.settings)?);
        }
        catalog::write(&self.shared, self.id, &self.name, &settings)?;
        self.settings.store(Arc::new(settings));
        if !fresh.is_empty() {
            self.partitions.write().append(&mut fresh);
            for hook in self.shared.on_topic.read().iter() {
                hook(self);
            }
        }
        Ok(())
    }
}
