//! Whether lanes have come as far as the queue was: for who wants to find what was acknowledged just before.

use crate::base::ids::{Offset, PartitionId, TopicId};
use crate::relay::Relay;
use crate::relay::shared::has_lanes;

/// Where lanes have still to come.
#[derive(Clone, Debug, Default)]
pub struct ToReach(Vec<(TopicId, PartitionId, Offset)>);

impl Relay {
    /// Up to where lanes have to come for the rows of all that is durable now in topics of these names. Topics that are not stored
    /// will never have rows, and are left out.
    pub fn to_reach(&self, wanted: impl Fn(&str) -> bool) -> ToReach {
        let topics = self.shared().queue.topics();
        let topics = topics.iter().filter(|topic| wanted(topic.name()) && has_lanes(topic));
        let mut ends = Vec::new();
        for topic in topics {
            let partitions = topic.partitions();
            let filled = partitions.iter().filter(|one| one.high_watermark() > one.log_start());
            ends.extend(filled.map(|one| (topic.id(), one.id(), one.high_watermark())));
        }
        ToReach(ends)
    }

    /// Whether lanes have come there, or will not any more because their topic is gone or not stored now.
    pub fn has_reached(&self, to_reach: &mut ToReach) -> bool {
        let shared = self.shared();
        to_reach.0.retain(|(topic, partition, end)| match shared.known_lane(*topic, *partition) {
            Some(lane) => lane.core.next() < *end && !lane.core.is_resting(),
            // It begins a moment after the topic's first record.
            None => shared.queue.topic_by_id(*topic).is_some_and(|topic| has_lanes(&topic)),
        });
        to_reach.0.is_empty()
    }
}
