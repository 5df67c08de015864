//! DescribeAcls, CreateAcls, DeleteAcls: permissions, as Kafka's tools speak of them.
//!
//! Kafka names a user `User:ann`; other kinds of principals can be asked for and are not found, and cannot be given anything.
//! Changes take an fsync and are made on a thread that may wait. A request's changes are made one after the other: what can be
//! kept is, and each has its own answer, as in Kafka.

use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::create_acls_request::AclCreation;
use kafka_protocol::messages::create_acls_response::AclCreationResult;
use kafka_protocol::messages::delete_acls_response::{DeleteAclsFilterResult, DeleteAclsMatchingAcl};
use kafka_protocol::messages::describe_acls_response::{AclDescription, DescribeAclsResource};
use kafka_protocol::messages::{
    CreateAclsRequest, CreateAclsResponse, DeleteAclsRequest, DeleteAclsResponse, DescribeAclsRequest, DescribeAclsResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::super::{Caller, Operation, Resource};
use crate::access::binding::{Binding, BindingFilter, Host, PatternKind, Permission, ResourceKind};
use crate::access::{Access, AccessError};

/// Before the name of a user.
const USER: &str = "User:";
/// Kafka's number for "any of them", in every one of its lists.
const ANY: i8 = 1;
/// Its number for "whatever bears upon this name".
const MATCH: i8 = 2;

/// DescribeAcls.
pub(in super::super) async fn describe_acls(caller: &Caller, _: i16, request: DescribeAclsRequest) -> DescribeAclsResponse {
    let failed = |error: ResponseError, why: Option<String>| {
        let response = DescribeAclsResponse::default().with_error_code(error.code());
        response.with_error_message(why.map(StrBytes::from_string))
    };
    if let Err(error) = caller.permit(Operation::Describe, Resource::Cluster) {
        return failed(error, None);
    }
    let DescribeAclsRequest { resource_type_filter, resource_name_filter, pattern_type_filter, .. } = request;
    let DescribeAclsRequest { principal_filter, host_filter, operation, permission_type, .. } = request;
    let codes = [resource_type_filter, pattern_type_filter, operation, permission_type];
    let found = match filter(codes, resource_name_filter, principal_filter, host_filter) {
        Ok(Some(filter)) => caller.server.access.bindings(&filter),
        Ok(None) => Vec::new(),
        Err(why) => return failed(ResponseError::InvalidRequest, Some(why)),
    };
    let mut resources: Vec<DescribeAclsResource> = Vec::new();
    let mut places = hashbrown::HashMap::new();
    for binding in found {
        let place = *places.entry((binding.kind, binding.pattern, binding.name.clone())).or_insert_with(|| {
            resources.push(
                DescribeAclsResource::default()
                    .with_resource_type(binding.kind.code())
                    .with_resource_name(StrBytes::from_string(binding.name.clone()))
                    .with_pattern_type(binding.pattern.code()),
            );
            resources.len() - 1
        });
        resources[place].acls.push(
            AclDescription::default()
                .with_principal(principal(&binding))
                .with_host(StrBytes::from_string(binding.host.to_string()))
                .with_operation(binding.operation.code())
                .with_permission_type(binding.permission.code()),
        );
    }
    DescribeAclsResponse::default().with_resources(resources)
}

/// CreateAcls.
pub(in super::super) async fn create_acls(caller: &Caller, _: i16, request: CreateAclsRequest) -> CreateAclsResponse {
    let failed = |error: ResponseError, why: Option<String>| {
        let result = AclCreationResult::default().with_error_code(error.code());
        result.with_error_message(why.map(StrBytes::from_string))
    };
    if let Err(error) = caller.permit(Operation::Alter, Resource::Cluster) {
        let all = request.creations.iter().map(|_| failed(error, None)).collect();
        return CreateAclsResponse::default().with_results(all);
    }
    let wanted: Vec<Result<Binding, String>> = request.creations.into_iter().map(binding).collect();
    let kept: Vec<Binding> = wanted.iter().flatten().cloned().collect();
    let granted = blocking(caller, move |access| access.grant(&kept)).await;
    let result = |wanted| match (wanted, &granted) {
        (Err(why), _) => failed(ResponseError::InvalidRequest, Some(why)),
        (Ok(_), Ok(_)) => AclCreationResult::default(),
        (Ok(_), Err((error, why))) => failed(*error, Some(why.clone())),
    };
    CreateAclsResponse::default().with_results(wanted.into_iter().map(result).collect())
}

/// DeleteAcls.
pub(in super::super) async fn delete_acls(caller: &Caller, _: i16, request: DeleteAclsRequest) -> DeleteAclsResponse {
    let failed = |error: ResponseError, why: Option<String>| {
        let result = DeleteAclsFilterResult::default().with_error_code(error.code());
        result.with_error_message(why.map(StrBytes::from_string))
    };
    if let Err(error) = caller.permit(Operation::Alter, Resource::Cluster) {
        let all = request.filters.iter().map(|_| failed(error, None)).collect();
        return DeleteAclsResponse::default().with_filter_results(all);
    }
    let wanted: Vec<Result<Option<BindingFilter>, String>> = request
        .filters
        .into_iter()
        .map(|asked| {
            let codes = [asked.resource_type_filter, asked.pattern_type_filter, asked.operation, asked.permission_type];
            filter(codes, asked.resource_name_filter, asked.principal_filter, asked.host_filter)
        })
        .collect();
    let filters: Vec<BindingFilter> = wanted.iter().flatten().flatten().cloned().collect();
    let revoked = blocking(caller, move |access| access.revoke(&filters)).await;
    let mut revoked = match revoked {
        Ok(revoked) => Ok(revoked.into_iter()),
        Err(error) => Err(error),
    };
    let mut results = Vec::with_capacity(wanted.len());
    for wanted in wanted {
        results.push(match (wanted, &mut revoked) {
            (Err(why), _) => failed(ResponseError::InvalidRequest, Some(why)),
            (Ok(None), _) => DeleteAclsFilterResult::default(),
            (Ok(Some(_)), Ok(revoked)) => {
                let gone = revoked.next().unwrap_or_default().iter().map(gone).collect();
                DeleteAclsFilterResult::default().with_matching_acls(gone)
            }
            (Ok(Some(_)), Err((error, why))) => failed(*error, Some(why.clone())),
        });
    }
    DeleteAclsResponse::default().with_filter_results(results)
}

fn gone(binding: &Binding) -> DeleteAclsMatchingAcl {
    DeleteAclsMatchingAcl::default()
        .with_resource_type(binding.kind.code())
        .with_resource_name(StrBytes::from_string(binding.name.clone()))
        .with_pattern_type(binding.pattern.code())
        .with_principal(principal(binding))
        .with_host(StrBytes::from_string(binding.host.to_string()))
        .with_operation(binding.operation.code())
        .with_permission_type(binding.permission.code())
}

fn principal(binding: &Binding) -> StrBytes {
    StrBytes::from_string(format!("{USER}{}", binding.user))
}

/// Changes what is durable, where waiting disturbs nobody.
pub(super) async fn blocking<T: Send + 'static>(
    caller: &Caller,
    change: impl FnOnce(Arc<Access>) -> Result<T, AccessError> + Send + 'static,
) -> Result<T, (ResponseError, String)> {
    let access = caller.server.access.clone();
    let done = tokio::task::spawn_blocking(move || change(access)).await;
    let failed = |error: AccessError| {
        let kind = match &error {
            AccessError::Refused(_) => ResponseError::InvalidRequest,
            AccessError::Missing(_) => ResponseError::ResourceNotFound,
            AccessError::Disk(_) => ResponseError::KafkaStorageError,
        };
        (kind, error.to_string())
    };
    done.map_err(|_| (ResponseError::UnknownServerError, "the change failed".to_owned()))?.map_err(failed)
}

/// A binding as it is wanted.
fn binding(asked: AclCreation) -> Result<Binding, String> {
    let kind = ResourceKind::from_code(asked.resource_type)
        .ok_or("permissions are for topics, groups, the cluster and transactional ids")?;
    let pattern = PatternKind::from_code(asked.resource_pattern_type).ok_or("a pattern is literal or prefixed")?;
    let operation = Operation::from_code(asked.operation).ok_or("this operation is not known here")?;
    let permission = Permission::from_code(asked.permission_type).ok_or("a permission allows or denies")?;
    let user = asked.principal.strip_prefix(USER).ok_or("a principal is written `User:name`")?.to_owned();
    let host: Host = asked.host.parse()?;
    let binding = Binding { user, host, kind, pattern, name: asked.resource_name.to_string(), operation, permission };
    binding.check()?;
    Ok(binding)
}

/// What is asked for; `None` if it can be none that is kept here.
fn filter(
    [kind, pattern, operation, permission]: [i8; 4],
    name: Option<StrBytes>,
    principal: Option<StrBytes>,
    host: Option<StrBytes>,
) -> Result<Option<BindingFilter>, String> {
    let text = |text: Option<StrBytes>| text.map(|text| text.to_string());
    if [kind, pattern, operation, permission].iter().any(|code| *code <= 0) {
        return Err("a filter that this version of Kafka's protocol does not know".to_owned());
    }
    let mut filter = BindingFilter { name: text(name), matching: pattern == MATCH, ..BindingFilter::default() };
    // What is not known here is not kept here either.
    let known = (|| {
        if kind != ANY {
            filter.kind = Some(ResourceKind::from_code(kind)?);
        }
        if pattern != ANY && pattern != MATCH {
            filter.pattern = Some(PatternKind::from_code(pattern)?);
        }
        if operation != ANY {
            filter.operation = Some(Operation::from_code(operation)?);
        }
        if permission != ANY {
            filter.permission = Some(Permission::from_code(permission)?);
        }
        if let Some(principal) = text(principal) {
            filter.user = Some(principal.strip_prefix(USER)?.to_owned());
        }
        if let Some(host) = text(host) {
            filter.host = Some(host.parse().ok()?);
        }
        Some(())
    })();
    Ok(known.map(|()| filter))
}
