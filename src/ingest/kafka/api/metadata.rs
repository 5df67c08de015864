//! Metadata: the node, the topics and their partitions, by name or by id; topics are made on first use where that is allowed.
//!
//! Topics that the asker may not describe are left out of a list of all, and denied by name otherwise, as in Kafka.

use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::{MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic};
use kafka_protocol::messages::{BrokerId, MetadataRequest, MetadataResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::super::{Caller, LEADER_EPOCH, NODE, is_internal};
use crate::access::{Operation, Resource};
use crate::base::ids::TopicId;
use crate::base::limits::is_topic_name;
use crate::queue::{QueueError, Topic};

/// Metadata.
pub(in super::super) async fn metadata(caller: &Caller, version: i16, request: MetadataRequest) -> MetadataResponse {
    let (host, port) = caller.advertised();
    let node = MetadataResponseBroker::default()
        .with_node_id(BrokerId(NODE))
        .with_host(StrBytes::from_string(host))
        .with_port(i32::from(port));
    let mut response = MetadataResponse::default()
        .with_brokers(vec![node])
        .with_controller_id(BrokerId(NODE))
        .with_cluster_id(Some(StrBytes::from_string(caller.server.cluster_id.clone())));
    if request.include_cluster_authorized_operations {
        response.cluster_authorized_operations = caller.operations(Resource::Cluster);
    }
    let operations = request.include_topic_authorized_operations;
    response.topics = match request.topics {
        // Before version 1 an empty list stands for all.
        Some(topics) if version > 0 || !topics.is_empty() => {
            let create = version < 4 || request.allow_auto_topic_creation;
            let mut answers = Vec::with_capacity(topics.len());
            for topic in topics {
                answers.push(one(caller, topic, create).await);
            }
            answers
        }
        _ => {
            let seen = |topic: &Arc<Topic>| caller.sees(Operation::Describe, Resource::Topic(topic.name()));
            caller.server.queue.topics().iter().filter(|topic| seen(topic)).map(|topic| describe(topic)).collect()
        }
    };
    if operations {
        for topic in response.topics.iter_mut().filter(|topic| topic.error_code == 0) {
            let name = topic.name.as_ref().map_or("", |name| name.as_str());
            topic.topic_authorized_operations = caller.operations(Resource::Topic(name));
        }
    }
    response
}

async fn one(caller: &Caller, asked: MetadataRequestTopic, create: bool) -> MetadataResponseTopic {
    let answer = MetadataResponseTopic::default().with_name(asked.name.clone()).with_topic_id(asked.topic_id);
    let fail = |error: ResponseError| answer.clone().with_error_code(error.code());
    let Some(name) = asked.name else {
        let topic = caller.server.queue.topic_by_id(TopicId(asked.topic_id));
        return match topic {
            Some(topic) if caller.sees(Operation::Describe, Resource::Topic(topic.name())) => describe(&topic),
            // Who may not describe it is not told whether it is there.
            _ => fail(ResponseError::UnknownTopicId),
        };
    };
    if asked.topic_id != Uuid::nil() {
        return fail(ResponseError::InvalidRequest);
    }
    if !is_topic_name(&name) {
        return fail(ResponseError::InvalidTopicException);
    }
    if !caller.allows(Operation::Describe, Resource::Topic(&name)) {
        return fail(ResponseError::TopicAuthorizationFailed);
    }
    let found = match caller.server.queue.topic(&name) {
        None if create => caller.ensure_topic(&name).await,
        found => Ok(found),
    };
    match found {
        Ok(Some(topic)) => describe(&topic),
        Ok(None) if create && caller.port.config.auto_create && !is_internal(&name) && !caller.may_create(&name) => {
            fail(ResponseError::TopicAuthorizationFailed)
        }
        Ok(None) => fail(ResponseError::UnknownTopicOrPartition),
        Err(QueueError::Refused(_)) => fail(ResponseError::PolicyViolation),
        // It will be there when the disk is well again: clients ask again.
        Err(_) => fail(ResponseError::LeaderNotAvailable),
    }
}

fn describe(topic: &Topic) -> MetadataResponseTopic {
    let node = || vec![BrokerId(NODE)];
    let partition = |partition: &Arc<crate::queue::Partition>| {
        MetadataResponsePartition::default()
            .with_partition_index(i32::try_from(partition.id()).unwrap_or(i32::MAX))
            .with_leader_id(BrokerId(NODE))
            .with_leader_epoch(LEADER_EPOCH)
            .with_replica_nodes(node())
            .with_isr_nodes(node())
    };
    MetadataResponseTopic::default()
        .with_name(Some(TopicName(StrBytes::from_string(topic.name().to_string()))))
        .with_topic_id(topic.id().0)
        .with_is_internal(is_internal(topic.name()))
        .with_partitions(topic.partitions().iter().map(partition).collect())
}
