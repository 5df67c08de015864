//! CreateTopics, DeleteTopics, CreatePartitions: topics come, go and grow by clients' hands.
//!
//! Invariants: what is answered without an error is durable. The box's own topics (`_…`) are nobody's to make or change. Each
//! topic of a request has its own outcome, with a sentence; those behind one that failed are done all the same.
//! All of it waits for the disk, and growth for lanes: it runs on threads that may wait, never on those of the network.
//! Replicas: there is one node, so a factor of 1 or "whatever is usual" (-1) is taken, and an assignment counts partitions.

use std::collections::HashMap;
use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::{CreatableTopicConfigs, CreatableTopicResult};
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{
    BrokerId, CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse,
    DeleteTopicsRequest, DeleteTopicsResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use super::super::{Caller, NODE, Operation, Resource, is_internal};
use super::config_table::{self, Refusal};
use crate::base::ids::TopicId;
use crate::base::limits::is_topic_name;
use crate::queue::settings::PARTITIONS;
use crate::queue::{Queue, QueueError, Topic, TopicSettings};

/// What the queue refused, as a client is told.
pub(super) fn refusal(error: &QueueError) -> Refusal {
    let code = match error {
        QueueError::Refused(_) => ResponseError::PolicyViolation,
        QueueError::Gone => ResponseError::UnknownTopicOrPartition,
        // Tried again by clients, or by people.
        QueueError::Full(_) => ResponseError::RequestTimedOut,
        _ => ResponseError::KafkaStorageError,
    };
    Refusal::new(code, error.to_string())
}

/// Runs what waits for the disk where it may.
pub(super) async fn apart<T: Send + 'static>(work: impl FnOnce() -> Result<T, Refusal> + Send + 'static) -> Result<T, Refusal> {
    let ended = |_| Refusal::new(ResponseError::UnknownServerError, "the box is stopping");
    tokio::task::spawn_blocking(work).await.map_err(ended)?
}

/// Whether a client may change a topic of this name, as far as the name says.
pub(super) fn own_name(name: &str) -> Result<(), Refusal> {
    if is_internal(name) {
        let why = format!("`{name}` is the box's own: names that begin with `_` are not the clients' to make or change");
        return Err(Refusal::new(ResponseError::InvalidTopicException, why));
    }
    if !is_topic_name(name) {
        let name: String = name.chars().take(60).collect();
        let why = format!("`{name}` is no topic name: 1 to 249 letters, digits, `.`, `_` or `-`");
        return Err(Refusal::new(ResponseError::InvalidTopicException, why));
    }
    Ok(())
}

pub(super) fn denied(what: &str) -> Refusal {
    Refusal::new(ResponseError::TopicAuthorizationFailed, format!("not allowed to {what}"))
}

/// CreateTopics.
pub(in super::super) async fn create_topics(
    caller: &Caller,
    version: i16,
    request: CreateTopicsRequest,
) -> CreateTopicsResponse {
    let mut seen: HashMap<TopicName, usize> = HashMap::new();
    for topic in &request.topics {
        *seen.entry(topic.name.clone()).or_default() += 1;
    }
    let mut results = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let answer = CreatableTopicResult::default().with_name(topic.name.clone());
        let twice = seen.get(&topic.name).is_some_and(|times| *times > 1);
        let made = match planned(caller, &topic, twice) {
            Ok(settings) if request.validate_only => Ok((settings, None)),
            Ok(settings) => {
                let (queue, name, wanted) = (caller.server.queue.clone(), topic.name.to_string(), settings.clone());
                let made = apart(move || queue.create_topic(&name, wanted).map_err(|error| refusal(&error))).await;
                made.map(|topic| (settings, Some(topic)))
            }
            Err(refusal) => Err(refusal),
        };
        results.push(match made {
            Ok((settings, made)) => created(caller, version, answer, &settings, made.as_deref()),
            Err(Refusal { code, message }) => answer
                .with_error_code(code)
                .with_error_message(Some(StrBytes::from_string(message)))
                .with_configs(if version >= 5 { Some(Vec::new()) } else { None })
                .with_num_partitions(-1)
                .with_replication_factor(-1),
        });
    }
    CreateTopicsResponse::default().with_topics(results)
}

/// The settings that a topic would be made with.
fn planned(caller: &Caller, topic: &CreatableTopic, twice: bool) -> Result<TopicSettings, Refusal> {
    if !caller.may_create(&topic.name) {
        return Err(denied("create this topic"));
    }
    own_name(&topic.name)?;
    if twice {
        return Err(Refusal::new(ResponseError::InvalidRequest, "the topic stands twice in the request"));
    }
    let queue = &caller.server.queue;
    if queue.topic(&topic.name).is_some() {
        return Err(Refusal::new(ResponseError::TopicAlreadyExists, format!("there is a topic `{}` already", &*topic.name)));
    }
    if !matches!(topic.replication_factor, -1 | 1) {
        let why = format!("there is one node, so the replication factor is 1 (or -1), not {}", topic.replication_factor);
        return Err(Refusal::new(ResponseError::InvalidReplicationFactor, why));
    }
    let mut settings = TopicSettings::of(queue.config());
    if !topic.assignments.is_empty() {
        if topic.num_partitions != -1 || topic.replication_factor != -1 {
            let why = "a topic has either an assignment or a number of partitions and replicas";
            return Err(Refusal::new(ResponseError::InvalidRequest, why));
        }
        let mut numbers: Vec<i32> = topic.assignments.iter().map(|assignment| assignment.partition_index).collect();
        numbers.sort_unstable();
        let in_a_row = numbers.iter().zip(0..).all(|(number, nth)| *number == nth);
        let here = topic.assignments.iter().all(|assignment| assignment.broker_ids == [BrokerId(NODE)]);
        if !in_a_row || !here {
            let why = format!("partitions are counted from 0, and each lies on node {NODE}, the only one");
            return Err(Refusal::new(ResponseError::InvalidReplicaAssignment, why));
        }
        settings.partitions = partitions(i32::try_from(numbers.len()).unwrap_or(i32::MAX))?;
    } else if topic.num_partitions != -1 {
        settings.partitions = partitions(topic.num_partitions)?;
    }
    for config in &topic.configs {
        config_table::set(&mut settings, &config.name, config.value.as_deref(), queue.config())?;
    }
    Ok(settings)
}

fn partitions(count: i32) -> Result<u32, Refusal> {
    let count = u32::try_from(count).ok().filter(|count| (1..=PARTITIONS).contains(count));
    count.ok_or_else(|| Refusal::new(ResponseError::InvalidPartitions, format!("a topic has 1 to {PARTITIONS} partitions")))
}

fn created(
    caller: &Caller,
    version: i16,
    answer: CreatableTopicResult,
    settings: &TopicSettings,
    topic: Option<&Topic>,
) -> CreatableTopicResult {
    let answer = answer.with_topic_id(topic.map(|topic| topic.id().0).unwrap_or_default());
    if version < 5 {
        return answer;
    }
    if !caller.sees(Operation::DescribeConfigs, Resource::Topic(&answer.name)) {
        let denied = ResponseError::TopicAuthorizationFailed.code();
        return answer
            .with_topic_config_error_code(denied)
            .with_num_partitions(-1)
            .with_replication_factor(-1)
            .with_configs(None);
    }
    let configs = config_table::of_topic(settings, caller.server.queue.config()).into_iter().map(|entry| {
        CreatableTopicConfigs::default()
            .with_name(StrBytes::from_static_str(entry.name))
            .with_value(Some(StrBytes::from_string(entry.value)))
            .with_read_only(entry.read_only)
            .with_config_source(entry.source)
    });
    answer
        .with_num_partitions(i32::try_from(settings.partitions).unwrap_or(i32::MAX))
        .with_replication_factor(1)
        .with_configs(Some(configs.collect()))
}

/// DeleteTopics.
pub(in super::super) async fn delete_topics(
    caller: &Caller,
    version: i16,
    request: DeleteTopicsRequest,
) -> DeleteTopicsResponse {
    let mut results = Vec::new();
    let by_name = request.topic_names.into_iter().map(|name| (Some(name), TopicId::from_bytes([0; 16])));
    let by_either = request.topics.into_iter().map(|topic| (topic.name, TopicId(topic.topic_id)));
    for (name, id) in by_name.chain(by_either) {
        let found = doomed(caller, name.as_ref(), id);
        // Who may not see it is not told its name.
        let known = found.as_ref().map_or_else(|_| name.clone(), |topic| Some(topic_name(topic)));
        let id = found.as_ref().map_or(id, |topic| topic.id());
        let answer = DeletableTopicResult::default().with_name(known).with_topic_id(id.0);
        let gone = match found {
            Ok(topic) => {
                let queue = caller.server.queue.clone();
                apart(move || delete(&queue, &topic)).await
            }
            Err(refusal) => Err(refusal),
        };
        results.push(match gone {
            Ok(()) => answer,
            Err(Refusal { code, message }) => {
                let message = (version >= 5).then(|| StrBytes::from_string(message));
                answer.with_error_code(code).with_error_message(message)
            }
        });
    }
    DeleteTopicsResponse::default().with_responses(results)
}

/// Deletes this topic, and not another one that has its name by now.
fn delete(queue: &Queue, topic: &Arc<Topic>) -> Result<(), Refusal> {
    queue.delete(topic).map_err(|error| refusal(&error))
}

fn doomed(caller: &Caller, name: Option<&TopicName>, id: TopicId) -> Result<Arc<Topic>, Refusal> {
    let queue = &caller.server.queue;
    let topic = match name {
        Some(_) if id != TopicId::from_bytes([0; 16]) => {
            return Err(Refusal::new(ResponseError::InvalidRequest, "a topic has either its name or its id"));
        }
        Some(name) => {
            if !caller.allows(Operation::Delete, Resource::Topic(name)) {
                return Err(denied("delete this topic"));
            }
            let missing = || Refusal::new(ResponseError::UnknownTopicOrPartition, format!("there is no topic `{}`", &**name));
            queue.topic(name).ok_or_else(missing)?
        }
        None => {
            let missing = || Refusal::new(ResponseError::UnknownTopicId, "there is no topic of this id");
            let topic = queue.topic_by_id(id).ok_or_else(missing)?;
            if !caller.allows(Operation::Describe, Resource::Topic(topic.name())) {
                return Err(missing());
            }
            if !caller.allows(Operation::Delete, Resource::Topic(topic.name())) {
                return Err(denied("delete this topic"));
            }
            topic
        }
    };
    own_name(topic.name())?;
    Ok(topic)
}

fn topic_name(topic: &Topic) -> TopicName {
    TopicName(StrBytes::from_string(topic.name().to_string()))
}

/// CreatePartitions.
pub(in super::super) async fn create_partitions(
    caller: &Caller,
    _: i16,
    request: CreatePartitionsRequest,
) -> CreatePartitionsResponse {
    let mut results = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let grown = match growth(caller, &topic) {
            Ok(count) if !request.validate_only => {
                let (queue, name) = (caller.server.queue.clone(), topic.name.to_string());
                apart(move || match queue.grow_topic(&name, count) {
                    Ok(_) => Ok(()),
                    Err(QueueError::Refused(why)) => Err(Refusal::new(ResponseError::InvalidPartitions, why)),
                    Err(error) => Err(refusal(&error)),
                })
                .await
            }
            other => other.map(drop),
        };
        let answer = CreatePartitionsTopicResult::default().with_name(topic.name);
        results.push(match grown {
            Ok(()) => answer,
            Err(Refusal { code, message }) => {
                answer.with_error_code(code).with_error_message(Some(StrBytes::from_string(message)))
            }
        });
    }
    CreatePartitionsResponse::default().with_results(results)
}

fn growth(caller: &Caller, topic: &CreatePartitionsTopic) -> Result<u32, Refusal> {
    if !caller.allows(Operation::Alter, Resource::Topic(&topic.name)) {
        return Err(denied("alter this topic"));
    }
    let missing = || Refusal::new(ResponseError::UnknownTopicOrPartition, format!("there is no topic `{}`", &*topic.name));
    let known = caller.server.queue.topic(&topic.name).ok_or_else(missing)?;
    own_name(&topic.name)?;
    let count = partitions(topic.count)?;
    let have = known.settings().partitions;
    if count <= have {
        let why = format!("the topic has {have} partitions; they can only become more");
        return Err(Refusal::new(ResponseError::InvalidPartitions, why));
    }
    if let Some(assignments) = &topic.assignments {
        let here = assignments.iter().all(|assignment| assignment.broker_ids == [BrokerId(NODE)]);
        if assignments.len() != (count - have) as usize || !here {
            let why = format!("there must be one assignment for each new partition, to node {NODE}, the only one");
            return Err(Refusal::new(ResponseError::InvalidReplicaAssignment, why));
        }
    }
    Ok(count)
}
