//! ApiVersions: what is served. The first thing that every client asks.

use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};

use super::super::Caller;
use super::super::dispatch::TABLE;

/// ApiVersions.
pub(in super::super) async fn api_versions(_: &Caller, _: i16, _: ApiVersionsRequest) -> ApiVersionsResponse {
    all(0)
}

/// The table, with an error or none.
pub(in super::super) fn all(error: i16) -> ApiVersionsResponse {
    let row = |row: &super::super::dispatch::Row| {
        ApiVersion::default().with_api_key(row.key as i16).with_min_version(row.advertised).with_max_version(row.max)
    };
    ApiVersionsResponse::default().with_error_code(error).with_api_keys(TABLE.iter().map(row).collect())
}
