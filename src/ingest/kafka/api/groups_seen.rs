//! ListGroups, DescribeGroups, DeleteGroups: groups, to whoever looks.
//!
//! The lanes and the outputs are among them: they never rest, and have no members.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::{
    DeleteGroupsRequest, DeleteGroupsResponse, DescribeGroupsRequest, DescribeGroupsResponse, GroupId, ListGroupsRequest,
    ListGroupsResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::super::Caller;
use super::groups::{group_code, text};
use crate::access::{Operation, Resource};
use crate::queue::QueueError;
use crate::queue::coordinator::{GroupView, State};

/// What Kafka calls groups of this protocol.
const CLASSIC: &str = "classic";

/// ListGroups.
pub(in super::super) async fn list_groups(caller: &Caller, version: i16, request: ListGroupsRequest) -> ListGroupsResponse {
    let all = caller.sees(Operation::Describe, Resource::Cluster);
    let wanted = |filter: &[StrBytes], is: &str| filter.is_empty() || filter.iter().any(|want| want.eq_ignore_ascii_case(is));
    let groups = caller.server.queue.groups_seen().into_iter().filter(|view| {
        wanted(&request.states_filter, view.state.name())
            && wanted(&request.types_filter, CLASSIC)
            && (all || caller.sees(Operation::Describe, Resource::Group(&view.group)))
    });
    let listed = groups.map(|view| {
        let listed =
            ListedGroup::default().with_group_id(GroupId(text(&view.group))).with_protocol_type(text(&view.protocol_type));
        let listed = if version >= 4 { listed.with_group_state(StrBytes::from_static_str(view.state.name())) } else { listed };
        // Clients compare it without case; Kafka writes it so.
        if version >= 5 { listed.with_group_type(StrBytes::from_static_str("Classic")) } else { listed }
    });
    ListGroupsResponse::default().with_groups(listed.collect())
}

/// DescribeGroups.
pub(in super::super) async fn describe_groups(
    caller: &Caller,
    version: i16,
    request: DescribeGroupsRequest,
) -> DescribeGroupsResponse {
    let groups = request.groups.into_iter().map(|group| {
        if let Err(error) = caller.permit(Operation::Describe, Resource::Group(&group)) {
            return DescribedGroup::default().with_error_code(error.code()).with_group_id(group);
        }
        let view = caller.server.queue.group_seen(&group);
        let mut described = described(view, version).with_group_id(group);
        if version >= 3 && request.include_authorized_operations {
            described.authorized_operations = caller.operations(Resource::Group(&described.group_id));
        }
        described
    });
    DescribeGroupsResponse::default().with_groups(groups.collect())
}

fn described(view: GroupView, version: i16) -> DescribedGroup {
    if view.state == State::Dead && version >= 6 {
        let why = StrBytes::from_string(format!("there is no group `{}`", view.group));
        return DescribedGroup::default()
            .with_error_code(ResponseError::GroupIdNotFound.code())
            .with_error_message(Some(why))
            .with_group_state(StrBytes::from_static_str(view.state.name()));
    }
    let members = view.members.iter().map(|member| {
        DescribedGroupMember::default()
            .with_member_id(text(&member.member))
            .with_group_instance_id(member.instance.as_ref().filter(|_| version >= 4).map(text))
            .with_client_id(text(&member.client_id))
            .with_client_host(text(&member.host))
            .with_member_metadata(member.metadata.clone())
            .with_member_assignment(member.assignment.clone())
    });
    DescribedGroup::default()
        .with_group_state(StrBytes::from_static_str(view.state.name()))
        .with_protocol_type(text(&view.protocol_type))
        .with_protocol_data(text(&view.protocol))
        .with_members(members.collect())
}

/// DeleteGroups.
pub(in super::super) async fn delete_groups(caller: &Caller, _: i16, request: DeleteGroupsRequest) -> DeleteGroupsResponse {
    // All go into the journal together.
    let going: Vec<_> = request
        .groups_names
        .into_iter()
        .map(|group| {
            let may = caller.permit(Operation::Delete, Resource::Group(&group)).map_err(|error| error.code());
            let done = may.and_then(|()| caller.server.queue.coordinator().delete(&group).map_err(|error| group_code(&error)));
            (group, done)
        })
        .collect();
    let mut results = Vec::with_capacity(going.len());
    for (group, done) in going {
        let code = match done {
            Err(code) => code,
            Ok(done) => match done.await.unwrap_or(Err(QueueError::Closed)) {
                Ok(()) => 0,
                Err(_) => ResponseError::CoordinatorNotAvailable.code(),
            },
        };
        results.push(DeletableGroupResult::default().with_group_id(group).with_error_code(code));
    }
    DeleteGroupsResponse::default().with_results(results)
}
