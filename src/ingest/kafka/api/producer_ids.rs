//! InitProducerId: a number for an idempotent producer.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse, ProducerId};

use super::super::Caller;
use super::code;
use crate::queue::QueueError;

/// InitProducerId. There are no transactions: who asks for them gets an error that no client tries again. A producer that has an id
/// and asks again gets another one, at epoch 0: without transactions nothing ties it to the old one.
pub(in super::super) async fn init_producer_id(
    caller: &Caller,
    _: i16,
    request: InitProducerIdRequest,
) -> InitProducerIdResponse {
    let failed = InitProducerIdResponse::default().with_producer_id(ProducerId(-1)).with_producer_epoch(-1);
    if request.transactional_id.is_some() {
        return failed.with_error_code(ResponseError::UnsupportedVersion.code());
    }
    if !caller.may_have_producer_id() {
        return failed.with_error_code(ResponseError::ClusterAuthorizationFailed.code());
    }
    // Now and then it takes a journal entry, which a network thread must not wait for.
    let queue = caller.server.queue.clone();
    match tokio::task::spawn_blocking(move || queue.new_producer_id()).await.unwrap_or(Err(QueueError::Closed)) {
        Ok(id) => InitProducerIdResponse::default().with_producer_id(ProducerId(id)).with_producer_epoch(0),
        Err(error) => failed.with_error_code(code(&error)),
    }
}
