//! InitProducerId: a number for an idempotent producer.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse, ProducerId};

use super::super::Caller;

/// InitProducerId. There are no transactions: who asks for them gets an error that no client tries again.
pub(in super::super) async fn init_producer_id(_: &Caller, _: i16, request: InitProducerIdRequest) -> InitProducerIdResponse {
    let failed = InitProducerIdResponse::default().with_producer_id(ProducerId(-1)).with_producer_epoch(-1);
    if request.transactional_id.is_some() {
        return failed.with_error_code(ResponseError::UnsupportedVersion.code());
    }
    failed.with_error_code(ResponseError::UnsupportedVersion.code())
}
