//! What a caller may: the questions that handlers ask before they do anything.
//!
//! Every API asks what Kafka asks:
//! ```text
//! Produce                                  write on the topic
//! Fetch                                    read on the topic
//! ListOffsets, OffsetForLeaderEpoch        describe on the topic
//! Metadata                                 describe on the topic; topics that may not be described are left out of the list;
//!                                          create on the cluster or the topic, to make it
//! InitProducerId                           idempotent_write on the cluster, or write on some topic
//! FindCoordinator, DescribeGroups          describe on the group
//! JoinGroup, SyncGroup, Heartbeat, LeaveGroup   read on the group
//! OffsetCommit                             read on the group, read on the topic
//! OffsetFetch                              describe on the group, describe on the topic
//! ListGroups                               describe on the cluster, or only the groups that may be described
//! DeleteGroups                             delete on the group
//! OffsetDelete                             delete on the group, read on the topic
//! CreateTopics                             create on the cluster or the topic
//! DeleteTopics, DeleteRecords              delete on the topic
//! CreatePartitions                         alter on the topic
//! DescribeConfigs                          describe_configs on the topic, or on the cluster
//! AlterConfigs, IncrementalAlterConfigs    alter_configs on the topic, or on the cluster
//! DescribeAcls, DescribeUserScramCredentials    describe on the cluster
//! CreateAcls, DeleteAcls, AlterUserScramCredentials   alter on the cluster
//! DescribeLogDirs                          describe on the cluster
//! DescribeCluster, ApiVersions, Sasl…      nothing
//! ```
//! Invariants: [`Caller::allows`] counts a denial and writes of one a second; [`Caller::sees`] is for what is only left out.
//! Asking takes no lock and no memory: it may be done per partition.

use kafka_protocol::error::ResponseError;
use tracing::warn;

use super::Caller;
use crate::access::{Operation, Resource, ResourceKind};

impl Caller {
    /// Whether this may be done. If not, somebody is told so: it is counted.
    pub(crate) fn allows(&self, operation: Operation, resource: Resource<'_>) -> bool {
        self.sees(operation, resource) || self.denied(operation, resource)
    }

    /// The same for what is left out of a list, or may be allowed by something else: nobody is told, nothing counted.
    pub(crate) fn sees(&self, operation: Operation, resource: Resource<'_>) -> bool {
        self.server.access.allows(&self.principal, self.peer, operation, resource, self.port.enforces())
    }

    /// Whether the topic of this name may be made.
    pub(crate) fn may_create(&self, topic: &str) -> bool {
        self.sees(Operation::Create, Resource::Cluster) || self.allows(Operation::Create, Resource::Topic(topic))
    }

    /// Whether they may have a producer id.
    pub(crate) fn may_have_producer_id(&self) -> bool {
        let (access, enforced) = (&self.server.access, self.port.enforces());
        self.sees(Operation::IdempotentWrite, Resource::Cluster)
            || access.allows_some(&self.principal, self.peer, Operation::Write, ResourceKind::Topic, enforced)
            || self.denied(Operation::IdempotentWrite, Resource::Cluster)
    }

    /// As [`Caller::allows`], with the error that Kafka has for it.
    ///
    /// # Errors
    /// Topic, group, cluster or transactional id: authorization failed.
    pub(crate) fn permit(&self, operation: Operation, resource: Resource<'_>) -> Result<(), ResponseError> {
        if self.allows(operation, resource) {
            return Ok(());
        }
        Err(match resource.kind() {
            ResourceKind::Topic => ResponseError::TopicAuthorizationFailed,
            ResourceKind::Group => ResponseError::GroupAuthorizationFailed,
            ResourceKind::Cluster => ResponseError::ClusterAuthorizationFailed,
            ResourceKind::TransactionalId => ResponseError::TransactionalIdAuthorizationFailed,
        })
    }

    /// What may be done to this, as Kafka's answers tell it when they are asked to.
    pub(crate) fn operations(&self, resource: Resource<'_>) -> i32 {
        self.server.access.operations(&self.principal, self.peer, resource, self.port.enforces())
    }

    /// Always `false`.
    fn denied(&self, operation: Operation, resource: Resource<'_>) -> bool {
        self.server.access.note_denied();
        if let Some(held) = self.server.denials.may_speak(&*self.server.clock) {
            let (kind, name) = (resource.kind(), resource.name());
            warn!(user = %self.principal, peer = %self.peer, %operation, %kind, ?name, held_back = held, "denied");
        }
        false
    }
}
