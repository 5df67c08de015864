//! Which APIs are served, in which versions, by whom: one row each.
//!
//! Invariants: what is advertised is what this table holds. A body is checked by `guard.rs` before it is decoded. A version that
//! is not served gets an error, not a closed connection; bytes that are no request of their version cost their connection.
//! An API is added by a row here and a handler `async fn(&Caller, version, Request) -> Response` in `api/`.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::ApiKey;
use kafka_protocol::protocol::{Decodable, Request};
use tokio::sync::OwnedSemaphorePermit;

use super::frame::{Head, Reply};
use super::{Caller, api, guard};

/// An answer under way; its error ends the connection.
pub(super) type Answer = Pin<Box<dyn Future<Output = Result<Reply, String>> + Send>>;

/// Requests of up to so many elements are decoded without asking for room.
const LIGHT: usize = 1024;

/// One API.
pub(super) struct Row {
    /// Which.
    pub key: ApiKey,
    /// The first version that is served,
    pub min: i16,
    /// and the last.
    pub max: i16,
    /// The first version that is advertised.
    pub advertised: i16,
    /// Decodes, handles, encodes.
    pub run: fn(Arc<Caller>, i16, Bytes) -> Answer,
}

macro_rules! row {
    ($key:ident $min:literal..=$max:literal, $($handler:tt)+) => {
        Row {
            key: ApiKey::$key,
            min: $min,
            max: $max,
            advertised: $min,
            run: |caller, version, body| Box::pin(async move {
                let (request, _room) = take(&caller, ApiKey::$key, version, body).await?;
                let response = $($handler)+(&caller, version, request).await;
                Reply::of(&response, version)
            }),
        }
    };
}

/// All of them.
pub(super) static TABLE: &[Row] = &[
    // Version 0 is advertised and not served: without it librdkafka takes the broker for one that cannot decompress.
    // A connection runs it itself, for its order.
    Row { key: ApiKey::Produce, min: 3, max: 13, advertised: 0, run: |_, _, _| Box::pin(std::future::ready(nowhere())) },
    Row {
        key: ApiKey::Fetch,
        min: 4,
        max: 18,
        advertised: 4,
        run: |caller, version, body| {
            Box::pin(async move {
                let (request, _room) = take(&caller, ApiKey::Fetch, version, body).await?;
                api::fetch::fetch(&caller, version, request).await
            })
        },
    },
    row!(ListOffsets 1..=10, api::offsets::list_offsets),
    row!(Metadata 0..=13, api::metadata::metadata),
    row!(OffsetCommit 2..=9, api::group_offsets::offset_commit),
    row!(OffsetFetch 1..=9, api::group_offsets::offset_fetch),
    row!(FindCoordinator 0..=6, api::groups::find_coordinator),
    row!(JoinGroup 0..=9, api::groups::join_group),
    row!(Heartbeat 0..=4, api::groups::heartbeat),
    row!(LeaveGroup 0..=5, api::groups::leave_group),
    row!(SyncGroup 0..=5, api::groups::sync_group),
    row!(DescribeGroups 0..=6, api::groups_seen::describe_groups),
    row!(ListGroups 0..=5, api::groups_seen::list_groups),
    row!(ApiVersions 0..=4, api::versions::api_versions),
    row!(InitProducerId 0..=5, api::producer_ids::init_producer_id),
    // What these two do, a connection does itself: they change what it is.
    Row { key: ApiKey::SaslHandshake, min: 0, max: 1, advertised: 0, run: |_, _, _| Box::pin(std::future::ready(nowhere())) },
    Row {
        key: ApiKey::SaslAuthenticate,
        min: 0,
        max: 2,
        advertised: 0,
        run: |_, _, _| Box::pin(std::future::ready(nowhere())),
    },
    row!(DescribeAcls 1..=3, api::acls::describe_acls),
    row!(CreateAcls 1..=3, api::acls::create_acls),
    row!(DeleteAcls 1..=3, api::acls::delete_acls),
    row!(DescribeUserScramCredentials 0..=0, api::scram_users::describe),
    row!(AlterUserScramCredentials 0..=0, api::scram_users::alter),
    row!(OffsetForLeaderEpoch 2..=4, api::offsets::offset_for_leader_epoch),
    row!(CreateTopics 2..=7, api::topics::create_topics),
    row!(DeleteTopics 1..=6, api::topics::delete_topics),
    row!(CreatePartitions 0..=3, api::topics::create_partitions),
    row!(DeleteRecords 0..=2, api::records::delete_records),
    row!(DescribeConfigs 1..=4, api::configs::describe_configs),
    row!(AlterConfigs 0..=2, api::configs::alter_configs),
    row!(IncrementalAlterConfigs 0..=1, api::configs::incremental_alter_configs),
    row!(DeleteGroups 0..=2, api::groups_seen::delete_groups),
    row!(OffsetDelete 0..=0, api::group_offsets::offset_delete),
    row!(DescribeCluster 0..=2, api::cluster::describe_cluster),
    row!(DescribeLogDirs 1..=4, api::cluster::describe_log_dirs),
];

fn nowhere() -> Result<Reply, String> {
    Err("what a connection does itself was left to its table".to_owned())
}

/// A row's place, which is also its counter's.
pub(super) fn find(key: i16) -> Option<(usize, &'static Row)> {
    TABLE.iter().enumerate().find(|(_, row)| row.key as i16 == key)
}

/// Checks a body and decodes it.
///
/// # Errors
/// What is wrong with it.
pub(super) fn decode<R: Request>(key: ApiKey, version: i16, body: Bytes) -> Result<R, String> {
    check(key, version, &body)?;
    decode_checked(key, version, body)
}

/// The same for requests that are kept while they are handled: one with many elements waits for room for its decoded form, which is
/// larger than what arrived. Hold what comes with it as long.
async fn take<R: Request>(
    caller: &Caller,
    key: ApiKey,
    version: i16,
    body: Bytes,
) -> Result<(R, Option<OwnedSemaphorePermit>), String> {
    let malformed = |why| {
        caller.port.kafka.malformed.fetch_add(1, Ordering::Relaxed);
        why
    };
    let elements = check(key, version, &body).map_err(malformed)?;
    let room = if elements <= LIGHT { None } else { caller.server.room_for(elements).await };
    Ok((decode_checked(key, version, body).map_err(malformed)?, room))
}

fn check(key: ApiKey, version: i16, body: &Bytes) -> Result<usize, String> {
    guard::check(key, version, body).map_err(|why| wrong(key, version, &why))
}

fn decode_checked<R: Request>(key: ApiKey, version: i16, mut body: Bytes) -> Result<R, String> {
    <R as Decodable>::decode(&mut body, version).map_err(|why| wrong(key, version, &why))
}

fn wrong(key: ApiKey, version: i16, why: &dyn std::fmt::Display) -> String {
    format!("a broken {key:?} request of version {version}: {why}")
}

/// The answer to what is not served.
pub(super) fn unsupported(head: &Head) -> Result<Reply, String> {
    if head.key == ApiKey::ApiVersions as i16 {
        return Reply::of(&api::versions::all(ResponseError::UnsupportedVersion.code()), 0);
    }
    let mut body = BytesMut::with_capacity(2);
    body.put_i16(ResponseError::UnsupportedVersion.code());
    Ok(Reply { parts: vec![body.freeze()], ..Reply::default() })
}
