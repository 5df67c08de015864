//! Produce: batches of strangers into the log, verbatim.
//!
//! Invariants: batches of one connection are appended in the order of their requests, before the first of them is durable;
//! the answer leaves when all of a request's batches are. A batch is a slice of the request it came in: it is not copied. The room
//! that the request holds in the receivers' memory is given back when its batches are durable, whatever its connection does.
//! acks=0 gets no answer; an error then ends the connection, so that the client asks for metadata again, as in Kafka.
//! When the queue is full the connection is not read for [`PATIENCE`]; then the client is told to come back and to wait a while.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::produce_request::PartitionProduceData;
use kafka_protocol::messages::produce_response::{BatchIndexAndErrorMessage, PartitionProduceResponse, TopicProduceResponse};
use kafka_protocol::messages::{ApiKey, ProduceRequest, ProduceResponse};
use kafka_protocol::protocol::StrBytes;
use tokio::sync::OwnedSemaphorePermit;

use super::super::dispatch::{Answer, decode};
use super::super::frame::Reply;
use super::super::{Caller, gate, is_internal, judge};
use super::code;
use crate::access::{Operation, Resource};
use crate::base::ids::TopicId;
use crate::ingest::counters::Counters;
use crate::queue::{Partition, QueueError, Ticket, Topic};

/// How long a full queue is waited for before the client is told.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often it is asked meanwhile.
const AGAIN: Duration = Duration::from_millis(100);
/// What clients are told to wait when it is full.
const THROTTLE_MS: i32 = 1000;

/// Why a batch is not taken.
struct Refusal {
    code: i16,
    reason: Option<String>,
    /// The record whose fault it is.
    record: Option<u32>,
}

impl From<ResponseError> for Refusal {
    fn from(error: ResponseError) -> Self {
        Self { code: error.code(), reason: None, record: None }
    }
}

impl From<QueueError> for Refusal {
    fn from(error: QueueError) -> Self {
        let record = if let QueueError::BadRecord { index, .. } = error { Some(index) } else { None };
        Self { code: code(&error), reason: Some(error.to_string()), record }
    }
}

/// A batch on its way.
struct Sent {
    index: i32,
    records: u64,
    bytes: u64,
    /// How long its sender is to wait for its sake.
    throttle: Duration,
    /// Where it goes, and the claim on its becoming durable.
    went: Result<(Arc<Partition>, Ticket), Refusal>,
}

/// Appends a request's batches, and gives back what will be its answer.
///
/// # Errors
/// What is wrong with its bytes.
pub(in super::super) async fn produce(
    caller: &Arc<Caller>,
    version: i16,
    body: Bytes,
    room: Option<OwnedSemaphorePermit>,
) -> Result<Answer, String> {
    let request: ProduceRequest = decode(ApiKey::Produce, version, body)?;
    let silent = request.acks == 0;
    let wrong = match request.acks {
        -1..=1 if request.transactional_id.is_none() => None,
        -1..=1 => Some(ResponseError::TransactionalIdAuthorizationFailed),
        _ => Some(ResponseError::InvalidRequiredAcks),
    };
    if wrong.is_none() {
        wait_for_room(caller, request.timeout_ms).await;
    }
    let mut topics = Vec::with_capacity(request.topic_data.len());
    for data in request.topic_data {
        let answer = TopicProduceResponse::default().with_name(data.name.clone()).with_topic_id(data.topic_id);
        let topic = match wrong {
            Some(error) => Err(error),
            None if version >= 13 => {
                let topic = caller.server.queue.topic_by_id(TopicId(data.topic_id));
                topic.ok_or(ResponseError::UnknownTopicId).and_then(|topic| writable(caller, topic))
            }
            None => known(caller, &data.name).and_then(|topic| writable(caller, topic)),
        };
        let mut sent = Vec::with_capacity(data.partition_data.len());
        for data in data.partition_data {
            sent.push(append(caller, topic.as_ref().map_err(|error| *error), data).await);
        }
        topics.push((answer, sent));
    }
    let caller = caller.clone();
    let landing = tokio::spawn(async move {
        let response = land(&caller, topics).await;
        drop(room);
        response
    });
    Ok(Box::pin(async move {
        let response = landing.await.map_err(|_| "produce ended early".to_owned())?;
        if silent {
            let failed = response.responses.iter().flat_map(|topic| &topic.partition_responses).find(|one| one.error_code != 0);
            return match failed {
                None => Ok(Reply::default()),
                Some(one) => Err(format!("a batch sent with acks=0 was not taken: error {}", one.error_code)),
            };
        }
        let mute_ms = response.throttle_time_ms;
        Ok(Reply { mute_ms, ..Reply::of(&response, version)? })
    }))
}

fn known(caller: &Caller, name: &str) -> Result<Arc<Topic>, ResponseError> {
    match caller.server.queue.topic(name) {
        Some(topic) => Ok(topic),
        // Who may not write there is not told whether it is there.
        None if !caller.allows(Operation::Write, Resource::Topic(name)) => Err(ResponseError::TopicAuthorizationFailed),
        None => Err(ResponseError::UnknownTopicOrPartition),
    }
}

fn writable(caller: &Caller, topic: Arc<Topic>) -> Result<Arc<Topic>, ResponseError> {
    if !caller.allows(Operation::Write, Resource::Topic(topic.name())) {
        return Err(ResponseError::TopicAuthorizationFailed);
    }
    if is_internal(topic.name()) { Err(ResponseError::InvalidTopicException) } else { Ok(topic) }
}

/// Stops reading while the queue is full, for a while.
async fn wait_for_room(caller: &Caller, timeout_ms: i32) {
    let patience = PATIENCE.min(Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0)) / 2);
    let until = tokio::time::Instant::now() + patience;
    while matches!(caller.server.queue.append_space(), Err(QueueError::Full(_))) && tokio::time::Instant::now() < until {
        tokio::time::sleep(AGAIN).await;
    }
}

async fn append(caller: &Caller, topic: Result<&Arc<Topic>, ResponseError>, data: PartitionProduceData) -> Sent {
    let (mut records, mut bytes, mut throttle) = (0, 0, Duration::ZERO);
    let went = async {
        let topic = topic?;
        let number = u32::try_from(data.index).map_err(|_| ResponseError::UnknownTopicOrPartition)?;
        let partition = topic.partition(number).ok_or(ResponseError::UnknownTopicOrPartition)?;
        let batch = data.records.filter(|batch| !batch.is_empty()).ok_or(ResponseError::InvalidRecord)?;
        let settings = topic.settings();
        let most = settings.largest_batch();
        if batch.len() > most {
            let reason = format!("a batch of {} bytes; `{}` takes at most {most}", batch.len(), topic.name());
            return Err(Refusal { code: ResponseError::MessageTooLarge.code(), reason: Some(reason), record: None });
        }
        let (header, batch) = judge::judge(caller, batch, settings.compression).await?;
        (records, bytes) = (u64::from(header.count), batch.len() as u64);
        let passed = gate::pass(caller, &partition, &batch, records).await?;
        throttle = passed.throttle;
        let Some(to) = passed.to else {
            let ticket = partition.append_judged(header, batch);
            return Ok((partition, ticket));
        };
        let ticket = partition.append_via(&to, header, batch);
        Ok((to, ticket))
    }
    .await;
    Sent { index: data.index, records, bytes, throttle, went }
}

/// Waits until every batch is durable, or known not to be.
async fn land(caller: &Caller, topics: Vec<(TopicProduceResponse, Vec<Sent>)>) -> ProduceResponse {
    let counters = &caller.port.counters;
    let mut throttle = 0;
    let owed = topics.iter().flat_map(|(_, sent)| sent).map(|one| one.throttle).max().unwrap_or_default();
    let mut responses = Vec::with_capacity(topics.len());
    for (topic, sent) in topics {
        let mut partitions = Vec::with_capacity(sent.len());
        for one in sent {
            let answer = PartitionProduceResponse::default().with_index(one.index).with_base_offset(-1);
            let landed = match one.went {
                Ok((partition, ticket)) => match ticket.await {
                    Ok(appended) => Ok((partition, appended)),
                    Err(error) => {
                        if matches!(error, QueueError::Full(_)) {
                            throttle = THROTTLE_MS;
                        }
                        Err(error.into())
                    }
                },
                Err(refusal) => Err(refusal),
            };
            partitions.push(match landed {
                Ok((partition, appended)) => {
                    Counters::add(&counters.records, one.records);
                    Counters::add(&counters.bytes, one.bytes);
                    Counters::add(&counters.batches, 1);
                    answer
                        .with_base_offset(i64::try_from(appended.base_offset).unwrap_or(i64::MAX))
                        .with_log_append_time_ms(-1)
                        .with_log_start_offset(i64::try_from(partition.log_start()).unwrap_or(i64::MAX))
                }
                Err(Refusal { code, reason, record }) => {
                    Counters::add(&counters.rejected, one.records.max(1));
                    let reason = reason.map(StrBytes::from_string);
                    let bad = record.and_then(|index| i32::try_from(index).ok()).map(|index| {
                        let bad = BatchIndexAndErrorMessage::default().with_batch_index(index);
                        bad.with_batch_index_error_message(reason.clone())
                    });
                    answer.with_error_code(code).with_error_message(reason).with_record_errors(bad.into_iter().collect())
                }
            });
        }
        responses.push(topic.with_partition_responses(partitions));
    }
    ProduceResponse::default()
        .with_responses(responses)
        .with_throttle_time_ms(throttle.max(i32::try_from(owed.as_millis()).unwrap_or(i32::MAX)))
}
