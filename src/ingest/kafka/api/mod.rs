//! The handlers, one file per family of APIs. Each is given a decoded request and gives its answer; none knows the wire.

use kafka_protocol::error::ResponseError;

use crate::queue::QueueError;

pub(super) mod acls;
pub(super) mod cluster;
mod config_table;
pub(super) mod configs;
pub(super) mod fetch;
pub(super) mod group_offsets;
pub(super) mod groups;
pub(super) mod groups_seen;
pub(super) mod metadata;
pub(super) mod offsets;
pub(super) mod produce;
pub(super) mod producer_ids;
pub(super) mod records;
pub(super) mod scram_users;
pub(super) mod topics;
pub(super) mod versions;

/// How Kafka says what the queue said. Each code makes clients do what the queue's error asks for.
pub(super) fn code(error: &QueueError) -> i16 {
    let error = match error {
        // Both are tried again by every client.
        QueueError::Full(_) | QueueError::NotDurable(_) | QueueError::Disk(_) => ResponseError::KafkaStorageError,
        QueueError::Refused(_) | QueueError::BadRecord { .. } => ResponseError::InvalidRecord,
        QueueError::OutOfOrderSequence => ResponseError::OutOfOrderSequenceNumber,
        QueueError::ProducerFenced => ResponseError::InvalidProducerEpoch,
        QueueError::Malformed(_) => ResponseError::CorruptMessage,
        QueueError::Deleted { .. } | QueueError::Beyond { .. } => ResponseError::OffsetOutOfRange,
        // Clients ask for metadata again, and learn what there is.
        QueueError::Gone => ResponseError::UnknownTopicOrPartition,
        QueueError::OverQuota { .. } => ResponseError::PolicyViolation,
        QueueError::Closed => ResponseError::NotLeaderOrFollower,
    };
    error.code()
}
