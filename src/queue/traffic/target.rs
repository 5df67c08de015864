//! Putting rules: those that send records elsewhere need a topic to send them to.
//!
//! Invariant: a rule holds once it is durable, whether its target could be made or not; what is missing is made with the first
//! batch that goes there, with the settings of the topic that the batch was meant for.

use std::sync::Arc;

use super::{Quota, Route, Traffic};
use crate::queue::{Queue, QueueError, Topic, TopicSettings};

impl Queue {
    /// Quotas and routes: receivers ask it before they append.
    pub fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// Puts a quota, durably; it holds from the next batch on. The topic it diverts to is made. Blocks for the disk.
    ///
    /// # Errors
    /// [`QueueError::Refused`] for one that cannot be (a circle, a name of the configuration file's), others from the disk.
    pub fn put_quota(&self, quota: Quota) -> Result<(), QueueError> {
        let (source, to) = (quota.topic.clone(), quota.to.clone());
        self.traffic.put_quota(quota)?;
        if let Some(to) = to {
            self.target_soon(source.as_deref().unwrap_or_default(), &to);
        }
        Ok(())
    }

    /// Puts a route, durably, and gives its name, which is made up if it has none. Its target is made. Blocks for the disk.
    ///
    /// # Errors
    /// As [`Queue::put_quota`].
    pub fn put_route(&self, route: Route) -> Result<String, QueueError> {
        let (source, to) = (route.topic.clone(), route.to.clone());
        let name = self.traffic.put_route(route)?;
        self.target_soon(&source, &to);
        Ok(name)
    }

    /// The rule holds already: what cannot be made now is made with the first batch that goes there.
    fn target_soon(&self, source: &str, to: &str) {
        if let Err(error) = self.target(source, to) {
            tracing::warn!(topic = to, %error, "the topic that a rule sends records to is not made yet");
        }
    }

    /// The topic that a rule sends records of `source` to; made with the settings of `source` if it is not there. Blocks for the
    /// disk if it is not.
    ///
    /// # Errors
    /// As [`Queue::create_topic`], but for the name being taken.
    pub fn target(&self, source: &str, to: &str) -> Result<Arc<Topic>, QueueError> {
        let settings = self.topic(source).map(|topic| TopicSettings::clone(&topic.settings()));
        let made = match (self.topic(to), settings) {
            (Some(topic), _) => return Ok(topic),
            (None, Some(settings)) => self.create_topic(to, settings),
            (None, None) => return self.ensure_topic(to),
        };
        // Somebody else may have made it in between.
        made.or_else(|error| self.topic(to).ok_or(error))
    }
}
