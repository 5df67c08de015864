//! Topics that the configuration names: made at the start, brought up to date, grown when that may be.
//!
//! What the file says holds again at every start; what it does not say stays as it was set at run time.

use crate::queue::{Queue, QueueError, Topic, TopicSettings};
use crate::relay::config::TopicConfig;
use crate::relay::output::GROUP_PREFIX;
use crate::relay::{Relay, RelayError};
use crate::store::Store;

impl Relay {
    /// Tries to give topics the partitions that the configuration wants and a start could not give them, because lanes would
    /// have emitted again what they have. Tells how many still wait. The relay's own thread does so every few seconds.
    pub fn grow_configured(&self) -> usize {
        let wanted = self.shared.to_grow.lock().clone();
        for (name, partitions) in wanted {
            match self.shared.queue.grow_topic(&name, partitions) {
                Err(QueueError::Full(why)) => tracing::debug!(topic = name, why, "cannot grow yet"),
                Err(error) if !matches!(error, QueueError::Refused(_) | QueueError::Gone) => {
                    tracing::warn!(topic = name, %error, "cannot grow yet");
                }
                // Done; or somebody was quicker, or it is gone.
                outcome => {
                    if outcome.is_ok() {
                        tracing::info!(topic = name, partitions, "has the partitions that the configuration wants");
                    }
                    self.shared.to_grow.lock().retain(|(waiting, _)| *waiting != name);
                }
            }
        }
        self.shared.to_grow.lock().len()
    }
}

/// Makes a configured topic, or brings its settings up to date. Gives the partitions that it cannot have yet.
pub(crate) fn ensure(queue: &Queue, store: &Store, name: &str, config: &TopicConfig) -> Result<Option<u32>, RelayError> {
    let (keys, pinned) = config.explicit(&TopicSettings::of(queue.config()));
    let mut later = None;
    let topic = match queue.topic(name) {
        None => queue.create_topic(name, pinned.clone())?,
        Some(topic) => {
            let there = topic.settings();
            let mut settings = (*there).clone();
            for key in &keys {
                settings.take(*key, &pinned);
            }
            // A topic never loses a partition: offsets and rows name it.
            let mut partitions = config.partitions.unwrap_or(1).max(there.partitions);
            if partitions > there.partitions && is_awaited(queue, store, &topic) {
                tracing::warn!(
                    topic = name,
                    partitions = there.partitions,
                    wanted = partitions,
                    "lanes will emit again what this topic has; it gets more partitions when they have committed"
                );
                later = Some(partitions);
                partitions = there.partitions;
            }
            let settings = TopicSettings { partitions, ..settings };
            if *there != settings {
                topic.update_settings(settings)?;
            }
            topic
        }
    };
    // Pins them, too, and holds for a topic that is deleted and made again.
    queue.plan_topic(topic.name(), keys, pinned);
    Ok(later)
}

/// Whether a lane will send a topic again what it has: emitted before a crash, by records whose rows were not committed. With
/// another number of partitions it would go to another one, which does not know it.
fn is_awaited(queue: &Queue, store: &Store, target: &Topic) -> bool {
    target.partitions().iter().flat_map(|partition| partition.sources()).any(|(source, last)| {
        // Outputs bury what is refused into one partition whatever their number.
        let has_lane = queue.topic_by_id(source.topic).is_some_and(|topic| !topic.name().starts_with(GROUP_PREFIX));
        has_lane && last >= store.cursor(source.topic, source.partition).unwrap_or(0)
    })
}
