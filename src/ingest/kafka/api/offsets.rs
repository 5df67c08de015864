//! ListOffsets and OffsetForLeaderEpoch: where a partition begins, ends, and where a time is.

use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::list_offsets_request::ListOffsetsPartition;
use kafka_protocol::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use kafka_protocol::messages::offset_for_leader_epoch_response::{EpochEndOffset, OffsetForLeaderTopicResult};
use kafka_protocol::messages::{
    ListOffsetsRequest, ListOffsetsResponse, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse,
};

use super::super::{Caller, LEADER_EPOCH};
use super::code;
use crate::access::{Operation, Resource};
use crate::queue::{Partition, QueueError};

/// Times that are none: what the client wants to know instead.
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;

/// ListOffsets.
pub(in super::super) async fn list_offsets(caller: &Caller, version: i16, request: ListOffsetsRequest) -> ListOffsetsResponse {
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let allowed = caller.allows(Operation::Describe, Resource::Topic(&topic.name));
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for asked in topic.partitions {
            let found = place(caller, &topic.name, asked.partition_index, asked.current_leader_epoch, allowed);
            let answer = match found {
                Ok(partition) => by_time(&partition, &asked, version).await,
                Err(error) => Err(error.code()),
            };
            let empty = ListOffsetsPartitionResponse::default().with_partition_index(asked.partition_index);
            partitions.push(match answer {
                Ok(Some((offset, timestamp))) => {
                    // Leader epochs came with version 4.
                    let epoch = if version >= 4 { LEADER_EPOCH } else { -1 };
                    empty.with_offset(offset).with_timestamp(timestamp).with_leader_epoch(epoch)
                }
                Ok(None) => empty,
                Err(code) => empty.with_error_code(code),
            });
        }
        topics.push(ListOffsetsTopicResponse::default().with_name(topic.name).with_partitions(partitions));
    }
    ListOffsetsResponse::default().with_topics(topics)
}

async fn by_time(partition: &Arc<Partition>, asked: &ListOffsetsPartition, version: i16) -> Result<Option<(i64, i64)>, i16> {
    let plain = |offset: u64| Ok(Some((i64::try_from(offset).unwrap_or(i64::MAX), -1)));
    match asked.timestamp {
        LATEST => plain(partition.high_watermark()),
        EARLIEST => plain(partition.log_start()),
        EARLIEST_LOCAL if version >= 8 => plain(partition.log_start()),
        // Nothing is kept elsewhere.
        LATEST_TIERED if version >= 9 => Ok(None),
        timestamp if timestamp < 0 && (timestamp != MAX_TIMESTAMP || version < 7) => {
            Err(ResponseError::UnsupportedVersion.code())
        }
        timestamp => {
            let partition = partition.clone();
            // It reads from the disk.
            let found = tokio::task::spawn_blocking(move || match timestamp {
                MAX_TIMESTAMP => Ok(partition.max_timestamp()),
                timestamp => partition.offset_for_timestamp(timestamp),
            });
            match found.await.unwrap_or(Err(QueueError::Closed)) {
                Ok(found) => Ok(found.map(|(offset, time)| (i64::try_from(offset).unwrap_or(i64::MAX), time))),
                Err(error) => Err(code(&error)),
            }
        }
    }
}

/// OffsetForLeaderEpoch: there is one epoch, which has not ended.
pub(in super::super) async fn offset_for_leader_epoch(
    caller: &Caller,
    _: i16,
    request: OffsetForLeaderEpochRequest,
) -> OffsetForLeaderEpochResponse {
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let allowed = caller.allows(Operation::Describe, Resource::Topic(&topic.topic));
        let one = |asked: kafka_protocol::messages::offset_for_leader_epoch_request::OffsetForLeaderPartition| {
            let empty = EpochEndOffset::default().with_partition(asked.partition);
            match place(caller, &topic.topic, asked.partition, asked.current_leader_epoch, allowed) {
                Ok(partition) if asked.leader_epoch == LEADER_EPOCH => empty
                    .with_leader_epoch(LEADER_EPOCH)
                    .with_end_offset(i64::try_from(partition.high_watermark()).unwrap_or(i64::MAX)),
                // An epoch that never was has no end.
                Ok(_) => empty,
                Err(error) => empty.with_error_code(error.code()),
            }
        };
        let partitions = topic.partitions.into_iter().map(one).collect();
        topics.push(OffsetForLeaderTopicResult::default().with_topic(topic.topic.clone()).with_partitions(partitions));
    }
    OffsetForLeaderEpochResponse::default().with_topics(topics)
}

/// A partition by topic name and number, if the client may know of it and does not think of another leader.
fn place(caller: &Caller, topic: &str, partition: i32, epoch: i32, allowed: bool) -> Result<Arc<Partition>, ResponseError> {
    if !allowed {
        return Err(ResponseError::TopicAuthorizationFailed);
    }
    let number = u32::try_from(partition).map_err(|_| ResponseError::UnknownTopicOrPartition)?;
    let found = caller.server.queue.topic(topic).and_then(|topic| topic.partition(number));
    let found = found.ok_or(ResponseError::UnknownTopicOrPartition)?;
    if epoch > LEADER_EPOCH { Err(ResponseError::UnknownLeaderEpoch) } else { Ok(found) }
}
