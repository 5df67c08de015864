//! DescribeCluster and DescribeLogDirs: the one node, and what lies on its disk.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use kafka_protocol::messages::{
    BrokerId, DescribeClusterRequest, DescribeClusterResponse, DescribeLogDirsRequest, DescribeLogDirsResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use super::super::{Caller, NODE, Operation, Resource};
use crate::queue::Topic;

/// Endpoints that are brokers; controllers (2) have none of their own here.
const BROKERS: i8 = 1;

/// DescribeCluster.
pub(in super::super) async fn describe_cluster(
    caller: &Caller,
    version: i16,
    request: DescribeClusterRequest,
) -> DescribeClusterResponse {
    let response = DescribeClusterResponse::default()
        .with_cluster_id(StrBytes::from_string(caller.server.cluster_id.clone()))
        .with_controller_id(BrokerId(NODE))
        .with_endpoint_type(BROKERS);
    if version >= 1 && request.endpoint_type != BROKERS {
        let why = StrBytes::from_static_str("there are no controllers of their own: ask for brokers");
        return response.with_error_code(ResponseError::UnsupportedEndpointType.code()).with_error_message(Some(why));
    }
    let (host, port) = caller.advertised();
    let node = DescribeClusterBroker::default()
        .with_broker_id(BrokerId(NODE))
        .with_host(StrBytes::from_string(host))
        .with_port(i32::from(port));
    let operations = match request.include_cluster_authorized_operations {
        true => caller.operations(Resource::Cluster),
        false => i32::MIN,
    };
    response.with_brokers(vec![node]).with_cluster_authorized_operations(operations)
}

/// DescribeLogDirs.
pub(in super::super) async fn describe_log_dirs(
    caller: &Caller,
    _: i16,
    request: DescribeLogDirsRequest,
) -> DescribeLogDirsResponse {
    if !caller.allows(Operation::Describe, Resource::Cluster) {
        return DescribeLogDirsResponse::default().with_error_code(ResponseError::ClusterAuthorizationFailed.code());
    }
    let queue = &caller.server.queue;
    let topics: Vec<DescribeLogDirsTopic> = match request.topics {
        None => queue.topics().iter().map(|topic| sizes(topic, |_| true)).collect(),
        Some(asked) => {
            let known = asked.into_iter().filter_map(|asked| {
                let topic = queue.topic(&asked.topic)?;
                Some(sizes(&topic, |number| asked.partitions.contains(&number)))
            });
            known.collect()
        }
    };
    let space = queue.space();
    let bytes = |value: Option<u64>| value.and_then(|value| i64::try_from(value).ok()).unwrap_or(-1);
    let dir = DescribeLogDirsResult::default()
        .with_log_dir(StrBytes::from_static_str("queue"))
        .with_topics(topics)
        .with_total_bytes(bytes(space.map(|space| space.total)))
        .with_usable_bytes(bytes(space.map(|space| space.available)));
    DescribeLogDirsResponse::default().with_results(vec![dir])
}

fn sizes(topic: &Topic, wanted: impl Fn(i32) -> bool) -> DescribeLogDirsTopic {
    let partitions = topic.partitions().into_iter().filter_map(|partition| {
        let number = i32::try_from(partition.id()).ok().filter(|number| wanted(*number))?;
        let size = i64::try_from(partition.size_bytes()).unwrap_or(i64::MAX);
        Some(DescribeLogDirsPartition::default().with_partition_index(number).with_partition_size(size))
    });
    DescribeLogDirsTopic::default()
        .with_name(TopicName(StrBytes::from_string(topic.name().to_string())))
        .with_partitions(partitions.collect())
}
