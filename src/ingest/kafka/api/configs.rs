//! DescribeConfigs, AlterConfigs, IncrementalAlterConfigs: how a topic is set, and setting it while it runs.
//!
//! Invariants: what is answered without an error is durable and in force. All changes of one topic in a request hold, or none.
//! The node's own configuration is shown and cannot be set here: it stands in its file.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::alter_configs_response::AlterConfigsResourceResponse as Altered;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse as IncrementallyAltered;
use kafka_protocol::messages::{
    AlterConfigsRequest, AlterConfigsResponse, DescribeConfigsRequest, DescribeConfigsResponse, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::super::{Caller, NODE, Operation, Resource};
use super::config_table::{self, Entry, Refusal};
use super::topics::{apart, denied, own_name, refusal};
use crate::queue::{QueueError, TopicSettings};

/// Kinds of resources, by Kafka's numbers.
const TOPIC: i8 = 2;
const BROKER: i8 = 4;

/// What to do with one configuration, by Kafka's numbers.
const SET: i8 = 0;
const DELETE: i8 = 1;

/// DescribeConfigs.
pub(in super::super) async fn describe_configs(
    caller: &Caller,
    version: i16,
    request: DescribeConfigsRequest,
) -> DescribeConfigsResponse {
    let results = request.resources.into_iter().map(|resource| {
        let answer = DescribeConfigsResult::default()
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name.clone());
        match entries(caller, &resource) {
            Ok(entries) => {
                let wanted = |entry: &Entry| {
                    // An empty list stands for all, too: librdkafka sends it so.
                    let keys = resource.configuration_keys.as_ref().filter(|keys| !keys.is_empty());
                    keys.is_none_or(|keys| keys.iter().any(|key| **key == *entry.name))
                };
                let shown = entries.into_iter().filter(wanted);
                let (synonyms, about) = (request.include_synonyms, request.include_documentation && version >= 3);
                answer.with_configs(shown.map(|entry| show(entry, synonyms, about)).collect())
            }
            Err(Refusal { code, message }) => {
                answer.with_error_code(code).with_error_message(Some(StrBytes::from_string(message)))
            }
        }
    });
    DescribeConfigsResponse::default().with_results(results.collect())
}

fn entries(caller: &Caller, resource: &DescribeConfigsResource) -> Result<Vec<Entry>, Refusal> {
    let queue = &caller.server.queue;
    match resource.resource_type {
        TOPIC => {
            let name = &resource.resource_name;
            if !caller.allows(Operation::DescribeConfigs, Resource::Topic(name)) {
                return Err(denied("describe this topic"));
            }
            let topic = queue.topic(name).ok_or_else(|| missing(name))?;
            Ok(config_table::of_topic(&topic.settings(), queue.config()))
        }
        BROKER => {
            if !caller.allows(Operation::DescribeConfigs, Resource::Cluster) {
                return Err(Refusal::new(ResponseError::ClusterAuthorizationFailed, "not allowed to describe the node"));
            }
            if !matches!(&*resource.resource_name, "" | "1") {
                let why = format!("there is one node, {NODE}");
                return Err(Refusal::new(ResponseError::InvalidRequest, why));
            }
            let (host, port) = caller.advertised();
            let listener = format!("PLAINTEXT://{host}:{port}");
            Ok(config_table::of_broker(queue.config(), caller.port.config.auto_create, listener))
        }
        other => Err(unknown_kind(other)),
    }
}

fn missing(name: &str) -> Refusal {
    Refusal::new(ResponseError::UnknownTopicOrPartition, format!("there is no topic `{name}`"))
}

fn unknown_kind(kind: i8) -> Refusal {
    let why = format!("topics (2) and the node (4) have configurations here, not resources of type {kind}");
    Refusal::new(ResponseError::InvalidRequest, why)
}

fn show(entry: Entry, synonyms: bool, about: bool) -> DescribeConfigsResourceResult {
    let synonym = |(name, value, source)| {
        DescribeConfigsSynonym::default()
            .with_name(StrBytes::from_static_str(name))
            .with_value(Some(StrBytes::from_string(value)))
            .with_source(source)
    };
    let synonyms = if synonyms { entry.synonyms.into_iter().map(synonym).collect() } else { Vec::new() };
    DescribeConfigsResourceResult::default()
        .with_name(StrBytes::from_static_str(entry.name))
        .with_value(Some(StrBytes::from_string(entry.value)))
        .with_read_only(entry.read_only)
        .with_config_source(entry.source)
        .with_synonyms(synonyms)
        .with_config_type(entry.kind)
        .with_documentation(about.then(|| StrBytes::from_static_str(entry.about)))
}

/// One change: the configuration's name and its value, or none for the default.
type Change = (StrBytes, Option<StrBytes>);

/// IncrementalAlterConfigs.
pub(in super::super) async fn incremental_alter_configs(
    caller: &Caller,
    _: i16,
    request: IncrementalAlterConfigsRequest,
) -> IncrementalAlterConfigsResponse {
    let mut responses = Vec::with_capacity(request.resources.len());
    for resource in request.resources {
        let changes: Result<Vec<Change>, Refusal> = resource
            .configs
            .into_iter()
            .map(|config| match config.config_operation {
                SET if config.value.is_none() => {
                    Err(Refusal::new(ResponseError::InvalidRequest, format!("`{}` is to be set and has no value", config.name)))
                }
                SET => Ok((config.name, config.value)),
                DELETE => Ok((config.name, None)),
                _ => {
                    let why = format!("`{}` is no list that can be added to or taken from", config.name);
                    Err(Refusal::new(ResponseError::InvalidConfig, why))
                }
            })
            .collect();
        let done = match changes {
            Ok(changes) => {
                alter(caller, resource.resource_type, &resource.resource_name, changes, false, request.validate_only).await
            }
            Err(refusal) => Err(refusal),
        };
        let answer = IncrementallyAltered::default()
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name);
        responses.push(match done {
            Ok(()) => answer,
            Err(Refusal { code, message }) => {
                answer.with_error_code(code).with_error_message(Some(StrBytes::from_string(message)))
            }
        });
    }
    IncrementalAlterConfigsResponse::default().with_responses(responses)
}

/// AlterConfigs: what is not in the request goes back to its default.
pub(in super::super) async fn alter_configs(caller: &Caller, _: i16, request: AlterConfigsRequest) -> AlterConfigsResponse {
    let mut responses = Vec::with_capacity(request.resources.len());
    for resource in request.resources {
        let changes = resource.configs.into_iter().map(|config| (config.name, config.value)).collect();
        let done = alter(caller, resource.resource_type, &resource.resource_name, changes, true, request.validate_only).await;
        let answer = Altered::default().with_resource_type(resource.resource_type).with_resource_name(resource.resource_name);
        responses.push(match done {
            Ok(()) => answer,
            Err(Refusal { code, message }) => {
                answer.with_error_code(code).with_error_message(Some(StrBytes::from_string(message)))
            }
        });
    }
    AlterConfigsResponse::default().with_responses(responses)
}

async fn alter(
    caller: &Caller,
    kind: i8,
    name: &StrBytes,
    changes: Vec<Change>,
    whole: bool,
    only_check: bool,
) -> Result<(), Refusal> {
    match kind {
        TOPIC => {}
        BROKER => {
            if !caller.allows(Operation::AlterConfigs, Resource::Cluster) {
                return Err(Refusal::new(ResponseError::ClusterAuthorizationFailed, "not allowed to alter the node"));
            }
            let why = "the node's configuration stands in its file; change it there and start the box again";
            return Err(Refusal::new(ResponseError::InvalidRequest, why));
        }
        other => return Err(unknown_kind(other)),
    }
    if !caller.allows(Operation::AlterConfigs, Resource::Topic(name)) {
        return Err(denied("alter this topic"));
    }
    let queue = caller.server.queue.clone();
    let topic = queue.topic(name).ok_or_else(|| missing(name))?;
    own_name(name)?;
    let applied = move |settings: &mut TopicSettings| {
        if whole {
            *settings = TopicSettings { partitions: settings.partitions, ..TopicSettings::of(queue.config()) };
        }
        changes.iter().try_for_each(|(name, value)| config_table::set(settings, name, value.as_deref(), queue.config()))
    };
    if only_check {
        return applied(&mut (*topic.settings()).clone());
    }
    apart(move || {
        let mut why = None;
        let done = topic.change_settings(|settings| {
            applied(settings).map_err(|refused| {
                let error = QueueError::Refused(refused.message.clone());
                why = Some(refused);
                error
            })
        });
        done.map_err(|error| why.unwrap_or_else(|| refusal(&error)))
    })
    .await?;
    Ok(())
}
