//! How topics change and end while the box runs: settings, growth, deletion.
//!
//! Purpose: each change is durable in `queue/TOPICS` before anybody acts on it, and those who must know are told in the order
//! that keeps their promises.
//! * **Growth**: first those who route to the topic are paused ([`Queue::around_growth`]): with another number of partitions an
//!   emission would go to another one, which does not know that it has it. Then the entry, the partitions, and they go on.
//! * **Deletion**: the doors are shut, the entry is made durable, lanes and groups are told ([`Queue::on_delete`]), then the
//!   files go. Readers hear [`QueueError::Gone`]. A topic of the same name that is made later has another id and shares nothing.
//!
//! Crash story: a crash leaves the topic or not, never half of it: the entry decides, and files of a deleted topic are removed at
//! the next start. If it cannot be known whether the entry is durable, the doors stay shut: what was acknowledged behind it
//! could be lost with it.
//! Why files go last: until the entry is durable they are the topic.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::catalog;
use super::error::QueueError;
use super::partition::Partition;
use super::producers::Producers;
use super::settings::{PARTITIONS, TopicSettings};
use super::shared::{GrowthHook, TopicHook, sub};
use super::topic::Topic;
use super::{Queue, writer};
use crate::base::ids::{PartitionId, TopicId};

impl Queue {
    /// Changes a topic's settings, durably, while it runs; growth as [`Queue::grow_topic`]. Gives the topic as it is now.
    ///
    /// # Errors
    /// [`QueueError::Gone`] if there is no such topic; else as [`Topic::change_settings`].
    pub fn change_topic(
        &self,
        name: &str,
        change: impl FnOnce(&mut TopicSettings) -> Result<(), QueueError>,
    ) -> Result<Arc<Topic>, QueueError> {
        let topic = self.topic(name).ok_or(QueueError::Gone)?;
        topic.change_settings(change)?;
        Ok(topic)
    }

    /// Gives a topic more partitions. Takes as long as those who route to it need to commit what they have sent.
    ///
    /// # Errors
    /// [`QueueError::Refused`] for a number that is not larger, or too large; [`QueueError::Gone`] if there is no such topic;
    /// [`QueueError::Full`] if a lane that routes to it cannot come to a commit now; others from the disk.
    pub fn grow_topic(&self, name: &str, partitions: u32) -> Result<Arc<Topic>, QueueError> {
        self.change_topic(name, |settings| {
            if partitions <= settings.partitions {
                let have = settings.partitions;
                return Err(QueueError::Refused(format!("`{name}` has {have} partitions; they can only become more")));
            }
            settings.partitions = partitions;
            Ok(())
        })
    }

    /// Deletes a topic, durably, with all its records. What the store made of them stays until its own retention.
    ///
    /// # Errors
    /// [`QueueError::Gone`] if there is no such topic; [`QueueError::NotDurable`] or [`QueueError::Full`] from the disk: if it
    /// takes no more appends then, it is not known whether it is deleted; delete it again.
    pub fn delete_topic(&self, name: &str) -> Result<TopicId, QueueError> {
        let topic = self.topic(name).ok_or(QueueError::Gone)?;
        self.delete(&topic)?;
        Ok(topic.id)
    }

    /// As [`Queue::delete_topic`], this very topic: not another that has its name by now.
    ///
    /// # Errors
    /// As [`Queue::delete_topic`].
    pub fn delete(&self, topic: &Arc<Topic>) -> Result<(), QueueError> {
        let _no_other_change = topic.changing.lock();
        {
            let _one_at_a_time = self.making.lock();
            if self.shared.is_closed() {
                return Err(QueueError::Closed);
            }
            if topic.is_gone() {
                return Err(QueueError::Gone);
            }
            let partitions = topic.partitions();
            partitions.iter().for_each(|partition| partition.shut(true));
            if let Err((error, undone)) = catalog::bury(&self.shared, topic.id, &topic.name, &topic.settings()) {
                if undone {
                    partitions.iter().for_each(|partition| partition.shut(false));
                }
                return Err(error);
            }
            topic.gone.store(true, Ordering::Release);
            self.topics.remove(topic);
        }
        for hook in self.shared.on_delete.all().iter() {
            hook(topic);
        }
        self.shared.groups.forget_topic(topic.id);
        for other in self.topics.all().iter().flat_map(|other| other.partitions()) {
            let mut log = other.log.lock();
            log.sources.retain(|source, _| source.topic != topic.id);
            log.guests.forget(topic.id);
        }
        let partitions = topic.partitions();
        partitions.iter().for_each(|partition| partition.end());
        if let Err(error) = catalog::remove(&self.shared.disk, topic.id) {
            tracing::warn!(topic = %topic.name, %error, "the files of a deleted topic could not be removed; the next start tries again");
        }
        tracing::info!(topic = %topic.name, id = %topic.id, "topic deleted");
        // Who waits for more of it must hear that there will be none.
        for hook in self.shared.on_durable.all().iter() {
            partitions.iter().for_each(|partition| hook(partition));
        }
        Ok(())
    }

    /// From now on called before a topic gets more partitions, by the thread that does it, which may wait in it. The topic grows
    /// only if every hook agrees; what they give is dropped once it has grown, or failed to.
    pub fn around_growth(&self, hook: GrowthHook) {
        self.shared.around_growth.add(hook);
    }

    /// From now on called after a topic was deleted, and before its files are removed.
    pub fn on_delete(&self, hook: TopicHook) {
        self.shared.on_delete.add(hook);
    }
}

impl Topic {
    /// Sets the settings, durably, while the topic runs; see [`Topic::change_settings`].
    ///
    /// # Errors
    /// As [`Topic::change_settings`].
    pub fn update_settings(self: &Arc<Self>, settings: TopicSettings) -> Result<(), QueueError> {
        self.change_settings(|known| {
            *known = settings;
            Ok(())
        })
    }

    /// Changes the settings, durably, while the topic runs. Partitions can be added, not taken away.
    ///
    /// # Errors
    /// [`QueueError::Refused`] for settings that cannot be, [`QueueError::Gone`] if it was deleted,
    /// [`QueueError::NotDurable`] or [`QueueError::Full`] from the disk. Nothing changed then.
    pub fn change_settings(
        self: &Arc<Self>,
        change: impl FnOnce(&mut TopicSettings) -> Result<(), QueueError>,
    ) -> Result<(), QueueError> {
        let _one_at_a_time = self.changing.lock();
        if self.is_gone() {
            return Err(QueueError::Gone);
        }
        let known = self.settings.load_full();
        let mut settings = (*known).clone();
        change(&mut settings)?;
        settings.check()?;
        let have = PartitionId::try_from(self.partitions.read().len()).unwrap_or(PARTITIONS);
        if settings.partitions < have {
            return Err(QueueError::Refused(format!("`{}` has {have} partitions; they cannot become fewer", self.name)));
        }
        if *known == settings {
            return Ok(());
        }
        let mut paused = Vec::new();
        let mut fresh = Vec::new();
        if settings.partitions > have {
            for hook in self.shared.around_growth.all().iter() {
                paused.push(hook(self)?);
            }
            for number in have..settings.partitions {
                fresh.push(catalog::make_partition(&self.shared, self.id, &self.name, number, &self.settings)?);
            }
        }
        catalog::write(&self.shared, self.id, &self.name, &settings)?;
        self.settings.store(Arc::new(settings));
        self.partitions.write().append(&mut fresh);
        drop(paused);
        for hook in self.shared.on_topic.all().iter() {
            hook(self);
        }
        Ok(())
    }
}

impl Partition {
    /// Takes no more appends, or does again.
    fn shut(&self, shut: bool) {
        self.inbox.lock().gone = shut;
    }

    /// Whether its topic was deleted.
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// Lets go of everything, before the files are removed. It must be shut.
    fn end(self: &Arc<Self>) {
        let mut log = self.log.lock();
        self.gone.store(true, Ordering::Release);
        let mut view = self.view.write();
        let tail = view.tail.take().map(|tail| tail.base);
        let bases: Vec<_> = view.sealed.drain(..).map(|sealed| sealed.base).chain(tail).collect();
        drop(view);
        for base in bases {
            self.shared.files.forget(&self.key(base));
        }
        log.active = None;
        log.unsynced = false;
        log.sources.clear();
        log.producers = Producers::default();
        log.guests = Default::default();
        sub(&self.shared.gauges.unchecked, std::mem::take(&mut log.unchecked));
        sub(&self.shared.gauges.bytes, self.bytes.swap(0, Ordering::Relaxed));
        self.start.store(self.high_watermark(), Ordering::Release);
        drop(log);
        // What waits for a writer hears it from one.
        writer::commit(self);
    }
}
