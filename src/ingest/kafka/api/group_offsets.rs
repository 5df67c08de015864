//! OffsetCommit, OffsetFetch, OffsetDelete: how far groups have come.
//!
//! Invariant: a commit is answered when it is durable, all its partitions by one entry of the journal. The lanes' and outputs'
//! offsets can be fetched like any group's, and not changed.

use std::collections::BTreeMap;
use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
use kafka_protocol::messages::offset_delete_response::{OffsetDeleteResponsePartition, OffsetDeleteResponseTopic};
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions, OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{
    OffsetCommitRequest, OffsetCommitResponse, OffsetDeleteRequest, OffsetDeleteResponse, OffsetFetchRequest,
    OffsetFetchResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use super::super::Caller;
use super::groups::{group_code, identity, now, text};
use crate::access::{Operation, Resource};
use crate::base::ids::{PartitionId, TopicId};
use crate::queue::coordinator::{CommitError, GroupView, subscribed_topics};
use crate::queue::groups::{Committed, METADATA_BYTES, Place};
use crate::queue::{QueueError, Topic};

/// How clients are told that a commit did not become durable: they ask who coordinates, and try again.
fn queue_code(error: &QueueError) -> i16 {
    let error = match error {
        QueueError::Refused(_) => ResponseError::InvalidCommitOffsetSize,
        _ => ResponseError::CoordinatorNotAvailable,
    };
    error.code()
}

fn commit_code(error: &CommitError) -> i16 {
    match error {
        CommitError::Group(error) => group_code(error),
        CommitError::Queue(error) => queue_code(error),
    }
}

/// A topic that the caller may read.
fn readable(caller: &Caller, operation: Operation, name: &str) -> Result<Arc<Topic>, i16> {
    caller.permit(operation, Resource::Topic(name)).map_err(|error| error.code())?;
    caller.server.queue.topic(name).ok_or(ResponseError::UnknownTopicOrPartition.code())
}

/// OffsetCommit.
pub(in super::super) async fn offset_commit(caller: &Caller, _: i16, request: OffsetCommitRequest) -> OffsetCommitResponse {
    let group = caller.permit(Operation::Read, Resource::Group(&request.group_id)).map_err(|error| error.code());
    let time_ms = caller.server.clock.now_ns() / 1_000_000;
    let mut offsets = Vec::new();
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let known = group.and_then(|()| readable(caller, Operation::Read, &topic.name));
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for said in topic.partitions {
            let committed = known.as_ref().map_err(|code| *code).and_then(|topic| {
                let number = PartitionId::try_from(said.partition_index).ok();
                let partition = number.and_then(|number| topic.partition(number));
                let partition = partition.ok_or(ResponseError::UnknownTopicOrPartition.code())?;
                let offset = u64::try_from(said.committed_offset).map_err(|_| ResponseError::OffsetOutOfRange.code())?;
                let metadata = said.committed_metadata.as_deref().unwrap_or_default();
                if metadata.len() > METADATA_BYTES {
                    return Err(ResponseError::OffsetMetadataTooLarge.code());
                }
                let committed = Committed {
                    offset,
                    leader_epoch: said.committed_leader_epoch,
                    metadata: Arc::from(metadata),
                    time_ms,
                    ahead: offset > partition.high_watermark(),
                };
                Ok(((topic.id(), partition.id()), committed))
            });
            let answer = OffsetCommitResponsePartition::default().with_partition_index(said.partition_index);
            partitions.push(match committed {
                Ok(committed) => {
                    offsets.push(committed);
                    answer
                }
                Err(code) => answer.with_error_code(code),
            });
        }
        topics.push(OffsetCommitResponseTopic::default().with_name(topic.name).with_partitions(partitions));
    }
    if group.is_ok() {
        let who = identity(&request.member_id, request.group_instance_id.as_ref(), request.generation_id_or_member_epoch);
        let code = match caller.server.queue.coordinator().commit(&request.group_id, &who, offsets, now(caller)) {
            Err(error) => commit_code(&error),
            Ok(done) => done.await.unwrap_or(Err(QueueError::Closed)).map_or_else(|error| queue_code(&error), |()| 0),
        };
        let taken = topics.iter_mut().flat_map(|topic| &mut topic.partitions).filter(|partition| partition.error_code == 0);
        taken.for_each(|partition| partition.error_code = code);
    }
    OffsetCommitResponse::default().with_topics(topics)
}

/// What is known of a partition: offset and what was said with it, or an error.
type Told = (i32, Result<Option<Committed>, i16>);

/// What a group has committed, of these topics or of all.
fn fetch(caller: &Caller, group: &str, asked: Option<Vec<(TopicName, Vec<i32>)>>) -> Result<Vec<(TopicName, Vec<Told>)>, i16> {
    caller.permit(Operation::Describe, Resource::Group(group)).map_err(|error| error.code())?;
    let queue = &caller.server.queue;
    let Some(asked) = asked else {
        let mut topics: BTreeMap<TopicId, Vec<Told>> = BTreeMap::new();
        for ((topic, partition), committed) in queue.committed_of(group) {
            topics.entry(topic).or_default().push((i32::try_from(partition).unwrap_or(-1), Ok(Some(committed))));
        }
        let named = topics.into_iter().filter_map(|(id, told)| Some((queue.topic_by_id(id)?, told)));
        let seen = named.filter(|(topic, _)| caller.sees(Operation::Describe, Resource::Topic(topic.name())));
        return Ok(seen.map(|(topic, told)| (TopicName(text(topic.name())), told)).collect());
    };
    let own = queue.is_own_group(group).then(|| queue.committed_of(group).into_iter().collect::<BTreeMap<_, _>>());
    let mut topics = Vec::with_capacity(asked.len());
    for (name, numbers) in asked {
        let topic = match readable(caller, Operation::Describe, &name) {
            Ok(topic) => Ok(Some(topic.id())),
            // Nothing is committed for a topic that is not there.
            Err(code) if code == ResponseError::UnknownTopicOrPartition.code() => Ok(None),
            Err(code) => Err(code),
        };
        let places: Vec<Place> = match topic {
            Ok(Some(id)) => {
                numbers.iter().map(|number| (id, PartitionId::try_from(*number).unwrap_or(PartitionId::MAX))).collect()
            }
            _ => Vec::new(),
        };
        let mut found = match &own {
            Some(own) => places.iter().map(|place| own.get(place).cloned()).collect(),
            None => queue.groups().look_up(group, &places),
        };
        found.resize(numbers.len(), None);
        let told = numbers.into_iter().zip(found).map(|(number, found)| (number, topic.map(|_| found)));
        topics.push((name, told.collect()));
    }
    Ok(topics)
}

/// Offset, leader epoch, metadata, error.
fn fields(told: Result<Option<Committed>, i16>, version: i16) -> (i64, i32, StrBytes, i16) {
    match told {
        Ok(Some(committed)) => (
            i64::try_from(committed.offset).unwrap_or(i64::MAX),
            if version >= 5 { committed.leader_epoch } else { -1 },
            text(&committed.metadata),
            0,
        ),
        Ok(None) => (-1, -1, StrBytes::default(), 0),
        Err(code) => (-1, -1, StrBytes::default(), code),
    }
}

/// OffsetFetch: of one group, or from version 8 on of many.
pub(in super::super) async fn offset_fetch(caller: &Caller, version: i16, request: OffsetFetchRequest) -> OffsetFetchResponse {
    if version >= 8 {
        let groups = request.groups.into_iter().map(|group| {
            let asked =
                group.topics.map(|topics| topics.into_iter().map(|topic| (topic.name, topic.partition_indexes)).collect());
            let answer = OffsetFetchResponseGroup::default();
            let answer = match fetch(caller, &group.group_id, asked) {
                Err(code) => answer.with_error_code(code),
                Ok(topics) => {
                    let partition = |(number, told): Told| {
                        let (offset, epoch, metadata, code) = fields(told, version);
                        OffsetFetchResponsePartitions::default()
                            .with_partition_index(number)
                            .with_committed_offset(offset)
                            .with_committed_leader_epoch(epoch)
                            .with_metadata(Some(metadata))
                            .with_error_code(code)
                    };
                    let topic = |(name, told): (TopicName, Vec<Told>)| {
                        let partitions = told.into_iter().map(partition).collect();
                        OffsetFetchResponseTopics::default().with_name(name).with_partitions(partitions)
                    };
                    answer.with_topics(topics.into_iter().map(topic).collect())
                }
            };
            answer.with_group_id(group.group_id)
        });
        return OffsetFetchResponse::default().with_groups(groups.collect());
    }
    let asked = request.topics.map(|topics| topics.into_iter().map(|topic| (topic.name, topic.partition_indexes)).collect());
    let names: Vec<(TopicName, Vec<i32>)> = asked.clone().unwrap_or_default();
    let (topics, code) = match fetch(caller, &request.group_id, asked) {
        Ok(topics) => (topics, 0),
        // Version 1 has no place for an error but the partitions.
        Err(code) if version < 2 => {
            let all = names
                .into_iter()
                .map(|(name, numbers)| (name, numbers.into_iter().map(|number| (number, Err(code))).collect()));
            (all.collect(), 0)
        }
        Err(code) => (Vec::new(), code),
    };
    let partition = |(number, told): Told| {
        let (offset, epoch, metadata, code) = fields(told, version);
        OffsetFetchResponsePartition::default()
            .with_partition_index(number)
            .with_committed_offset(offset)
            .with_committed_leader_epoch(epoch)
            .with_metadata(Some(metadata))
            .with_error_code(code)
    };
    let topic = |(name, told): (TopicName, Vec<Told>)| {
        OffsetFetchResponseTopic::default().with_name(name).with_partitions(told.into_iter().map(partition).collect())
    };
    OffsetFetchResponse::default().with_error_code(code).with_topics(topics.into_iter().map(topic).collect())
}

/// OffsetDelete: a group forgets partitions that its members have not subscribed to.
pub(in super::super) async fn offset_delete(caller: &Caller, _: i16, request: OffsetDeleteRequest) -> OffsetDeleteResponse {
    if let Err(error) = caller.permit(Operation::Delete, Resource::Group(&request.group_id)) {
        return OffsetDeleteResponse::default().with_error_code(error.code());
    }
    let mut places = Vec::new();
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let known = readable(caller, Operation::Read, &topic.name);
        let partitions = topic.partitions.iter().map(|asked| {
            let answer = OffsetDeleteResponsePartition::default().with_partition_index(asked.partition_index);
            let number =
                PartitionId::try_from(asked.partition_index).map_err(|_| ResponseError::UnknownTopicOrPartition.code());
            match known.as_ref().map_err(|code| *code).and_then(|topic| Ok((topic.id(), number?))) {
                Ok(place) => {
                    places.push(place);
                    answer
                }
                Err(code) => answer.with_error_code(code),
            }
        });
        let partitions = partitions.collect();
        topics.push(OffsetDeleteResponseTopic::default().with_name(topic.name).with_partitions(partitions));
    }
    if places.is_empty() {
        return OffsetDeleteResponse::default().with_topics(topics);
    }
    let queue = caller.server.queue.clone();
    let subscribed = |view: &GroupView, place: &Place| {
        let Some(topic) = queue.topic_by_id(place.0) else { return false };
        view.members.iter().any(|member| subscribed_topics(&member.metadata).any(|name| name == topic.name().as_bytes()))
    };
    let (fates, done) = match queue.coordinator().delete_offsets(&request.group_id, &places, subscribed) {
        Ok(going) => going,
        Err(error) => return OffsetDeleteResponse::default().with_error_code(group_code(&error)),
    };
    if let Err(error) = done.await.unwrap_or(Err(QueueError::Closed)) {
        return OffsetDeleteResponse::default().with_error_code(queue_code(&error));
    }
    let asked = topics.iter_mut().flat_map(|topic| &mut topic.partitions).filter(|partition| partition.error_code == 0);
    for (partition, fate) in asked.zip(fates) {
        partition.error_code = fate.map_or_else(|error| group_code(&error), |()| 0);
    }
    OffsetDeleteResponse::default().with_topics(topics)
}
