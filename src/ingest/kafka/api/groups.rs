//! FindCoordinator, JoinGroup, SyncGroup, Heartbeat, LeaveGroup: consumers that share topics.
//!
//! What a group does is the queue's coordinator's; here its questions and answers are translated. A handler that waits for a
//! group is a parked future, no thread: it ends when the group answers or the client has hung up. Who is gone is missed by its
//! group after the session timeout, as everywhere.

use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::find_coordinator_response::Coordinator as Found;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::{
    BrokerId, FindCoordinatorRequest, FindCoordinatorResponse, HeartbeatRequest, HeartbeatResponse, JoinGroupRequest,
    JoinGroupResponse, LeaveGroupRequest, LeaveGroupResponse, SyncGroupRequest, SyncGroupResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::super::{Caller, NODE};
use crate::access::{Operation, Resource};
use crate::queue::coordinator::{Answer, GroupError, Identity, Join, Joined, Protocol, Sync};

/// FindCoordinator asks for a group's.
const GROUP: i8 = 0;

/// The clock of sessions: milliseconds, never back.
pub(in super::super) fn now(caller: &Caller) -> u64 {
    u64::try_from(caller.server.clock.monotonic().as_millis()).unwrap_or(u64::MAX)
}

/// How Kafka says what a group said.
pub(super) fn group_code(error: &GroupError) -> i16 {
    let error = match error {
        GroupError::InvalidGroup => ResponseError::InvalidGroupId,
        GroupError::ReadOnly => ResponseError::GroupAuthorizationFailed,
        GroupError::NotFound => ResponseError::GroupIdNotFound,
        GroupError::UnknownMember => ResponseError::UnknownMemberId,
        GroupError::MemberIdRequired(_) => ResponseError::MemberIdRequired,
        GroupError::Fenced => ResponseError::FencedInstanceId,
        GroupError::IllegalGeneration => ResponseError::IllegalGeneration,
        GroupError::Rebalancing => ResponseError::RebalanceInProgress,
        GroupError::InconsistentProtocol => ResponseError::InconsistentGroupProtocol,
        GroupError::InvalidSession => ResponseError::InvalidSessionTimeout,
        GroupError::Full => ResponseError::GroupMaxSizeReached,
        GroupError::TooLarge => ResponseError::InvalidRequest,
        GroupError::NotEmpty => ResponseError::NonEmptyGroup,
        GroupError::Subscribed => ResponseError::GroupSubscribedToTopic,
    };
    error.code()
}

pub(super) fn text(text: &Arc<str>) -> StrBytes {
    StrBytes::from_string(text.to_string())
}

fn own(text: &StrBytes) -> Arc<str> {
    Arc::from(&**text)
}

/// Who a member says it is.
pub(super) fn identity(member: &StrBytes, instance: Option<&StrBytes>, generation: i32) -> Identity {
    Identity { member: own(member), instance: instance.map(own), generation }
}

/// The group's answer; none if the client does not wait for it any more.
async fn answer<T>(caller: &Caller, answer: Answer<T>) -> Result<T, i16> {
    let gone = ResponseError::CoordinatorNotAvailable.code();
    tokio::select! {
        biased;
        said = answer => said.map_err(|_| gone)?.map_err(|error| group_code(&error)),
        () = caller.ended() => Err(gone),
    }
}

/// FindCoordinator: it is us. Transactions have none.
pub(in super::super) async fn find_coordinator(
    caller: &Caller,
    version: i16,
    request: FindCoordinatorRequest,
) -> FindCoordinatorResponse {
    let one = |key: &StrBytes| -> Result<(), (i16, &'static str)> {
        if request.key_type != GROUP {
            return Err((ResponseError::InvalidRequest.code(), "there are no transactions and no share groups here"));
        }
        if key.is_empty() {
            return Err((ResponseError::InvalidGroupId.code(), "a group needs a name"));
        }
        let may = caller.permit(Operation::Describe, Resource::Group(key));
        may.map_err(|error| (error.code(), "this user may not see that group"))
    };
    let (host, port) = caller.advertised();
    let (host, port) = (StrBytes::from_string(host), i32::from(port));
    if version < 4 {
        let response = FindCoordinatorResponse::default();
        return match one(&request.key) {
            Ok(()) => response.with_node_id(BrokerId(NODE)).with_host(host).with_port(port),
            Err((code, why)) => response
                .with_error_code(code)
                .with_error_message(Some(StrBytes::from_static_str(why)))
                .with_node_id(BrokerId(-1))
                .with_port(-1),
        };
    }
    let coordinators = request.coordinator_keys.iter().map(|key| {
        let found = Found::default().with_key(key.clone());
        match one(key) {
            Ok(()) => found.with_node_id(BrokerId(NODE)).with_host(host.clone()).with_port(port),
            Err((code, why)) => found
                .with_error_code(code)
                .with_error_message(Some(StrBytes::from_static_str(why)))
                .with_node_id(BrokerId(-1))
                .with_port(-1),
        }
    });
    FindCoordinatorResponse::default().with_coordinators(coordinators.collect())
}

/// JoinGroup. Answered when the generation begins.
pub(in super::super) async fn join_group(caller: &Caller, version: i16, request: JoinGroupRequest) -> JoinGroupResponse {
    let refused = |code: i16, member: StrBytes| {
        JoinGroupResponse::default()
            .with_error_code(code)
            .with_generation_id(-1)
            .with_member_id(member)
            // Null came with version 7.
            .with_protocol_name(if version >= 7 { None } else { Some(StrBytes::default()) })
    };
    if let Err(error) = caller.permit(Operation::Read, Resource::Group(&request.group_id)) {
        return refused(error.code(), request.member_id);
    }
    let session_ms = u64::try_from(request.session_timeout_ms).unwrap_or(0);
    let protocols = request.protocols.iter();
    let join = Join {
        group: own(&request.group_id),
        member: own(&request.member_id),
        instance: request.group_instance_id.as_ref().map(own),
        id_first: version >= 4,
        may_skip: version >= 9,
        client_id: Arc::from(caller.client_id.as_deref().unwrap_or_default()),
        host: format!("/{}", caller.peer.to_canonical()).into(),
        session_ms,
        // Version 0 knows one time for both.
        rebalance_ms: if version == 0 { session_ms } else { u64::try_from(request.rebalance_timeout_ms).unwrap_or(session_ms) },
        protocol_type: own(&request.protocol_type),
        protocols: protocols.map(|known| Protocol { name: own(&known.name), metadata: known.metadata.clone() }).collect(),
    };
    let waiting = caller.server.queue.coordinator().join(join, now(caller));
    let joined: Joined = tokio::select! {
        biased;
        said = waiting => match said {
            Ok(Ok(joined)) => joined,
            Ok(Err(GroupError::MemberIdRequired(member))) => {
                return refused(ResponseError::MemberIdRequired.code(), text(&member));
            }
            Ok(Err(error)) => return refused(group_code(&error), request.member_id),
            Err(_) => return refused(ResponseError::CoordinatorNotAvailable.code(), request.member_id),
        },
        () = caller.ended() => return refused(ResponseError::CoordinatorNotAvailable.code(), request.member_id),
    };
    let members = joined.members.iter().map(|member| {
        JoinGroupResponseMember::default()
            .with_member_id(text(&member.member))
            .with_group_instance_id(member.instance.as_ref().filter(|_| version >= 5).map(text))
            .with_metadata(member.metadata.clone())
    });
    JoinGroupResponse::default()
        .with_generation_id(joined.generation)
        .with_protocol_type((version >= 7).then(|| text(&joined.protocol_type)))
        .with_protocol_name(Some(text(&joined.protocol)))
        .with_leader(text(&joined.leader))
        .with_member_id(text(&joined.member))
        .with_skip_assignment(joined.skip_assignment)
        .with_members(members.collect())
}

/// SyncGroup. Answered when the leader has assigned.
pub(in super::super) async fn sync_group(caller: &Caller, version: i16, request: SyncGroupRequest) -> SyncGroupResponse {
    let refused = |code: i16| SyncGroupResponse::default().with_error_code(code);
    if let Err(error) = caller.permit(Operation::Read, Resource::Group(&request.group_id)) {
        return refused(error.code());
    }
    let assignments = request.assignments.iter();
    let sync = Sync {
        group: own(&request.group_id),
        who: identity(&request.member_id, request.group_instance_id.as_ref(), request.generation_id),
        protocol_type: request.protocol_type.as_ref().map(own),
        protocol: request.protocol_name.as_ref().map(own),
        assignments: assignments.map(|one| (own(&one.member_id), one.assignment.clone())).collect(),
    };
    match answer(caller, caller.server.queue.coordinator().sync(sync, now(caller))).await {
        Ok(synced) => SyncGroupResponse::default()
            .with_protocol_type((version >= 5).then(|| text(&synced.protocol_type)))
            .with_protocol_name((version >= 5).then(|| text(&synced.protocol)))
            .with_assignment(synced.assignment),
        Err(code) => refused(code),
    }
}

/// Heartbeat.
pub(in super::super) async fn heartbeat(caller: &Caller, _: i16, request: HeartbeatRequest) -> HeartbeatResponse {
    let code = match caller.permit(Operation::Read, Resource::Group(&request.group_id)) {
        Err(error) => error.code(),
        Ok(()) => {
            let who = identity(&request.member_id, request.group_instance_id.as_ref(), request.generation_id);
            let said = caller.server.queue.coordinator().heartbeat(&request.group_id, &who, now(caller));
            said.map_or_else(|error| group_code(&error), |()| 0)
        }
    };
    HeartbeatResponse::default().with_error_code(code)
}

/// LeaveGroup: one member, or from version 3 on many.
pub(in super::super) async fn leave_group(caller: &Caller, version: i16, request: LeaveGroupRequest) -> LeaveGroupResponse {
    if let Err(error) = caller.permit(Operation::Read, Resource::Group(&request.group_id)) {
        return LeaveGroupResponse::default().with_error_code(error.code());
    }
    let who: Vec<Identity> = if version < 3 {
        vec![identity(&request.member_id, None, -1)]
    } else {
        request.members.iter().map(|member| identity(&member.member_id, member.group_instance_id.as_ref(), -1)).collect()
    };
    let code = |fate: &Result<(), GroupError>| fate.as_ref().map_or_else(group_code, |()| 0);
    let fates = match caller.server.queue.coordinator().leave(&request.group_id, &who, now(caller)) {
        Ok(fates) => fates,
        Err(error) => return LeaveGroupResponse::default().with_error_code(group_code(&error)),
    };
    if version < 3 {
        return LeaveGroupResponse::default().with_error_code(fates.first().map_or(0, code));
    }
    let members = request.members.into_iter().zip(&fates).map(|(member, fate)| {
        MemberResponse::default()
            .with_member_id(member.member_id)
            .with_group_instance_id(member.group_instance_id)
            .with_error_code(code(fate))
    });
    LeaveGroupResponse::default().with_members(members.collect())
}
