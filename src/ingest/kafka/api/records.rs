//! DeleteRecords: clients move the beginning of a partition.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::delete_records_response::{DeleteRecordsPartitionResult, DeleteRecordsTopicResult};
use kafka_protocol::messages::{DeleteRecordsRequest, DeleteRecordsResponse};

use super::super::{Caller, Operation, Resource};
use super::code;
use super::config_table::Refusal;
use super::topics::{apart, own_name};
use crate::queue::QueueError;

/// All that there are.
const LATEST: i64 = -1;

/// DeleteRecords.
pub(in super::super) async fn delete_records(caller: &Caller, _: i16, request: DeleteRecordsRequest) -> DeleteRecordsResponse {
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for asked in topic.partitions {
            let answer = DeleteRecordsPartitionResult::default().with_partition_index(asked.partition_index);
            partitions.push(match delete(caller, &topic.name, asked.partition_index, asked.offset).await {
                Ok(start) => answer.with_low_watermark(i64::try_from(start).unwrap_or(i64::MAX)),
                Err(code) => answer.with_error_code(code).with_low_watermark(-1),
            });
        }
        topics.push(DeleteRecordsTopicResult::default().with_name(topic.name).with_partitions(partitions));
    }
    DeleteRecordsResponse::default().with_topics(topics)
}

async fn delete(caller: &Caller, topic: &str, number: i32, offset: i64) -> Result<u64, i16> {
    if !caller.allows(Operation::Delete, Resource::Topic(topic)) {
        return Err(ResponseError::TopicAuthorizationFailed.code());
    }
    let number = u32::try_from(number).map_err(|_| ResponseError::UnknownTopicOrPartition.code())?;
    let partition = caller.server.queue.topic(topic).and_then(|topic| topic.partition(number));
    let partition = partition.ok_or(ResponseError::UnknownTopicOrPartition.code())?;
    own_name(topic).map_err(|refusal| refusal.code)?;
    let end = partition.high_watermark();
    let before = match offset {
        LATEST => end,
        offset => u64::try_from(offset).ok().filter(|offset| *offset <= end).ok_or(ResponseError::OffsetOutOfRange.code())?,
    };
    let deleted = apart(move || {
        partition.delete_records(before).map_err(|error: QueueError| Refusal { code: code(&error), message: error.to_string() })
    });
    deleted.await.map_err(|refusal| refusal.code)
}
