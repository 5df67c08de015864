//! Every API of the Kafka port, and what it takes to be allowed it: nothing is served before signing in, nobody may anything by
//! himself, what the table says suffices, and nothing less does.

use kafka_protocol::messages::alter_user_scram_credentials_request::ScramCredentialDeletion;
use kafka_protocol::messages::create_acls_request::AclCreation;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::delete_acls_request::DeleteAclsFilter;
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use kafka_protocol::messages::offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    AlterConfigsRequest, AlterUserScramCredentialsRequest, ApiKey, ApiVersionsRequest, CreateAclsRequest,
    CreatePartitionsRequest, CreateTopicsRequest, DeleteAclsRequest, DeleteGroupsRequest, DeleteRecordsRequest,
    DeleteTopicsRequest, DescribeAclsRequest, DescribeConfigsRequest, DescribeGroupsRequest, DescribeLogDirsRequest,
    DescribeUserScramCredentialsRequest, FetchRequest, FindCoordinatorRequest, GroupId, HeartbeatRequest,
    IncrementalAlterConfigsRequest, InitProducerIdRequest, JoinGroupRequest, LeaveGroupRequest, ListGroupsRequest,
    ListOffsetsRequest, MetadataRequest, OffsetCommitRequest, OffsetDeleteRequest, OffsetFetchRequest,
    OffsetForLeaderEpochRequest, ProduceRequest, SaslAuthenticateRequest, SaslHandshakeRequest, SyncGroupRequest,
};
use kafka_protocol::messages::{alter_configs_request, incremental_alter_configs_request, offset_delete_request};
use kafka_protocol::protocol::StrBytes;
use sawbox::access::binding::{Binding, BindingFilter, CLUSTER, Host, PatternKind, Permission};
use sawbox::access::{Operation, ResourceKind};

use crate::ingest_rig::{Rig, config};
use crate::kafka_wire::{Client, batch, name};

use Operation::{Alter, AlterConfigs, Create, Delete, Describe, DescribeConfigs, IdempotentWrite, Read, Write};
use ResourceKind::{Cluster, Group, Topic};

/// Topic, group and cluster: authorization failed.
const DENIED: [i16; 3] = [29, 30, 31];

/// One API: what it takes, and a request that says whether it was denied.
struct Case {
    key: ApiKey,
    /// One of these lists, whole.
    needs: &'static [&'static [(ResourceKind, Operation)]],
    denied: fn(&mut Client) -> bool,
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn group() -> GroupId {
    GroupId(text("g"))
}

fn any_denied(codes: impl IntoIterator<Item = i16>) -> bool {
    codes.into_iter().any(|code| DENIED.contains(&code))
}

fn cases() -> Vec<Case> {
    vec![
        Case { key: ApiKey::Produce, needs: &[&[(Topic, Write)]], denied: produce },
        Case { key: ApiKey::Fetch, needs: &[&[(Topic, Read)]], denied: fetch },
        Case { key: ApiKey::ListOffsets, needs: &[&[(Topic, Describe)]], denied: list_offsets },
        Case { key: ApiKey::OffsetForLeaderEpoch, needs: &[&[(Topic, Describe)]], denied: leader_epoch },
        Case { key: ApiKey::Metadata, needs: &[&[(Topic, Describe)]], denied: metadata },
        Case {
            key: ApiKey::InitProducerId,
            needs: &[&[(Cluster, IdempotentWrite)], &[(Topic, Write)]],
            denied: |client| {
                any_denied([client.ask(4, &InitProducerIdRequest::default().with_transactional_id(None)).error_code])
            },
        },
        Case {
            key: ApiKey::FindCoordinator,
            needs: &[&[(Group, Describe)]],
            denied: |client| any_denied([client.ask(3, &FindCoordinatorRequest::default().with_key(text("g"))).error_code]),
        },
        Case { key: ApiKey::JoinGroup, needs: &[&[(Group, Read)]], denied: join },
        Case {
            key: ApiKey::SyncGroup,
            needs: &[&[(Group, Read)]],
            denied: |client| {
                let request = SyncGroupRequest::default().with_group_id(group()).with_member_id(text("m"));
                any_denied([client.ask(3, &request).error_code])
            },
        },
        Case {
            key: ApiKey::Heartbeat,
            needs: &[&[(Group, Read)]],
            denied: |client| {
                let request = HeartbeatRequest::default().with_group_id(group()).with_member_id(text("m"));
                any_denied([client.ask(3, &request).error_code])
            },
        },
        Case {
            key: ApiKey::LeaveGroup,
            needs: &[&[(Group, Read)]],
            denied: |client| {
                let request = LeaveGroupRequest::default().with_group_id(group()).with_member_id(text("m"));
                any_denied([client.ask(2, &request).error_code])
            },
        },
        Case { key: ApiKey::OffsetCommit, needs: &[&[(Group, Read), (Topic, Read)]], denied: offset_commit },
        Case { key: ApiKey::OffsetFetch, needs: &[&[(Group, Describe), (Topic, Describe)]], denied: offset_fetch },
        Case {
            key: ApiKey::DescribeGroups,
            needs: &[&[(Group, Describe)]],
            denied: |client| {
                let answer = client.ask(5, &DescribeGroupsRequest::default().with_groups(vec![group()]));
                any_denied(answer.groups.iter().map(|group| group.error_code))
            },
        },
        Case {
            key: ApiKey::ListGroups,
            needs: &[&[(Cluster, Describe)], &[(Group, Describe)]],
            // It is not told no; it is told nothing.
            denied: |client| client.ask(4, &ListGroupsRequest::default()).groups.is_empty(),
        },
        Case {
            key: ApiKey::DeleteGroups,
            needs: &[&[(Group, Delete)]],
            denied: |client| {
                let answer = client.ask(2, &DeleteGroupsRequest::default().with_groups_names(vec![GroupId(text("none"))]));
                any_denied(answer.results.iter().map(|group| group.error_code))
            },
        },
        Case { key: ApiKey::OffsetDelete, needs: &[&[(Group, Delete), (Topic, Read)]], denied: offset_delete },
        Case { key: ApiKey::CreateTopics, needs: &[&[(Topic, Create)], &[(Cluster, Create)]], denied: create_topics },
        Case {
            key: ApiKey::DeleteTopics,
            needs: &[&[(Topic, Delete)]],
            denied: |client| {
                let answer = client.ask(5, &DeleteTopicsRequest::default().with_topic_names(vec![name("none")]));
                any_denied(answer.responses.iter().map(|topic| topic.error_code))
            },
        },
        Case { key: ApiKey::DeleteRecords, needs: &[&[(Topic, Delete)]], denied: delete_records },
        Case { key: ApiKey::CreatePartitions, needs: &[&[(Topic, Alter)]], denied: create_partitions },
        Case {
            key: ApiKey::DescribeConfigs,
            needs: &[&[(Topic, DescribeConfigs)]],
            denied: |client| describe_configs(client, 2, "t"),
        },
        Case {
            key: ApiKey::DescribeConfigs,
            needs: &[&[(Cluster, DescribeConfigs)]],
            denied: |client| describe_configs(client, 4, "1"),
        },
        Case { key: ApiKey::AlterConfigs, needs: &[&[(Topic, AlterConfigs)]], denied: |client| alter_configs(client, 2, "t") },
        Case {
            key: ApiKey::AlterConfigs,
            needs: &[&[(Cluster, AlterConfigs)]],
            denied: |client| alter_configs(client, 4, "1"),
        },
        Case {
            key: ApiKey::IncrementalAlterConfigs,
            needs: &[&[(Topic, AlterConfigs)]],
            denied: |client| change_configs(client, 2, "t"),
        },
        Case {
            key: ApiKey::IncrementalAlterConfigs,
            needs: &[&[(Cluster, AlterConfigs)]],
            denied: |client| change_configs(client, 4, "1"),
        },
        Case {
            key: ApiKey::DescribeLogDirs,
            needs: &[&[(Cluster, Describe)]],
            denied: |client| {
                let answer = client.ask(3, &DescribeLogDirsRequest::default().with_topics(None));
                any_denied([answer.error_code]) || answer.results.is_empty()
            },
        },
        Case {
            key: ApiKey::DescribeAcls,
            needs: &[&[(Cluster, Describe)]],
            denied: |client| {
                let request = DescribeAclsRequest::default()
                    .with_resource_type_filter(1)
                    .with_pattern_type_filter(1)
                    .with_operation(1)
                    .with_permission_type(1);
                any_denied([client.ask(2, &request).error_code])
            },
        },
        Case { key: ApiKey::CreateAcls, needs: &[&[(Cluster, Alter)]], denied: create_acls },
        Case { key: ApiKey::DeleteAcls, needs: &[&[(Cluster, Alter)]], denied: delete_acls },
        Case {
            key: ApiKey::DescribeUserScramCredentials,
            needs: &[&[(Cluster, Describe)]],
            denied: |client| any_denied([client.ask(0, &DescribeUserScramCredentialsRequest::default()).error_code]),
        },
        Case {
            key: ApiKey::AlterUserScramCredentials,
            needs: &[&[(Cluster, Alter)]],
            denied: |client| {
                let deletion = ScramCredentialDeletion::default().with_name(text("nobody")).with_mechanism(1);
                let answer = client.ask(0, &AlterUserScramCredentialsRequest::default().with_deletions(vec![deletion]));
                any_denied(answer.results.iter().map(|user| user.error_code))
            },
        },
    ]
}

/// What needs no permission, and why.
const FREE: [ApiKey; 4] = [
    ApiKey::ApiVersions,
    ApiKey::SaslHandshake,
    ApiKey::SaslAuthenticate,
    /* who signed in may know where it is */ ApiKey::DescribeCluster,
];

fn produce(client: &mut Client) -> bool {
    let records = batch(&["x"], sawbox::queue::Compression::None);
    let data = PartitionProduceData::default().with_index(0).with_records(Some(records));
    let topic = TopicProduceData::default().with_name(name("t")).with_partition_data(vec![data]);
    let answer = client.ask(9, &ProduceRequest::default().with_acks(-1).with_timeout_ms(5000).with_topic_data(vec![topic]));
    any_denied(answer.responses[0].partition_responses.iter().map(|one| one.error_code))
}

fn fetch(client: &mut Client) -> bool {
    let partition = FetchPartition::default().with_partition_max_bytes(1000);
    let topic = FetchTopic::default().with_topic(name("t")).with_partitions(vec![partition]);
    let answer = client.ask(11, &FetchRequest::default().with_max_bytes(1000).with_topics(vec![topic]));
    let partitions = answer.responses.iter().flat_map(|topic| &topic.partitions);
    any_denied(partitions.map(|partition| partition.error_code).chain([answer.error_code]))
}

fn list_offsets(client: &mut Client) -> bool {
    let topic = ListOffsetsTopic::default()
        .with_name(name("t"))
        .with_partitions(vec![ListOffsetsPartition::default().with_timestamp(-1)]);
    let answer = client.ask(5, &ListOffsetsRequest::default().with_topics(vec![topic]));
    any_denied(answer.topics[0].partitions.iter().map(|one| one.error_code))
}

fn leader_epoch(client: &mut Client) -> bool {
    let topic = OffsetForLeaderTopic::default()
        .with_topic(name("t"))
        .with_partitions(vec![OffsetForLeaderPartition::default().with_current_leader_epoch(-1)]);
    let answer = client.ask(3, &OffsetForLeaderEpochRequest::default().with_topics(vec![topic]));
    any_denied(answer.topics[0].partitions.iter().map(|one| one.error_code))
}

fn metadata(client: &mut Client) -> bool {
    let topic = MetadataRequestTopic::default().with_name(Some(name("t")));
    let named = client.ask(9, &MetadataRequest::default().with_topics(Some(vec![topic])).with_allow_auto_topic_creation(false));
    let all = client.ask(9, &MetadataRequest::default().with_topics(None));
    let denied = any_denied(named.topics.iter().map(|topic| topic.error_code));
    assert_eq!(denied, all.topics.is_empty(), "what may not be described is not listed");
    assert!(denied || named.topics[0].partitions.len() == 1);
    denied
}

fn join(client: &mut Client) -> bool {
    let protocol = kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol::default().with_name(text("range"));
    let request = JoinGroupRequest::default()
        .with_group_id(group())
        .with_session_timeout_ms(10_000)
        .with_rebalance_timeout_ms(10_000)
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol]);
    any_denied([client.ask(5, &request).error_code])
}

fn offset_commit(client: &mut Client) -> bool {
    let partition = OffsetCommitRequestPartition::default().with_committed_offset(0);
    let topic = OffsetCommitRequestTopic::default().with_name(name("t")).with_partitions(vec![partition]);
    let request = OffsetCommitRequest::default()
        .with_group_id(GroupId(text("h")))
        .with_generation_id_or_member_epoch(-1)
        .with_topics(vec![topic]);
    let answer = client.ask(7, &request);
    any_denied(answer.topics.iter().flat_map(|topic| &topic.partitions).map(|one| one.error_code))
}

fn offset_fetch(client: &mut Client) -> bool {
    let topic = OffsetFetchRequestTopic::default().with_name(name("t")).with_partition_indexes(vec![0]);
    let answer = client.ask(7, &OffsetFetchRequest::default().with_group_id(group()).with_topics(Some(vec![topic])));
    let partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
    any_denied(partitions.map(|one| one.error_code).chain([answer.error_code]))
}

fn offset_delete(client: &mut Client) -> bool {
    let partition = offset_delete_request::OffsetDeleteRequestPartition::default();
    let topic =
        offset_delete_request::OffsetDeleteRequestTopic::default().with_name(name("t")).with_partitions(vec![partition]);
    let answer = client.ask(0, &OffsetDeleteRequest::default().with_group_id(GroupId(text("h"))).with_topics(vec![topic]));
    let partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
    any_denied(partitions.map(|one| one.error_code).chain([answer.error_code]))
}

fn create_topics(client: &mut Client) -> bool {
    let topic = CreatableTopic::default().with_name(name("new")).with_num_partitions(-1).with_replication_factor(-1);
    let request = CreateTopicsRequest::default().with_topics(vec![topic]).with_validate_only(true).with_timeout_ms(5000);
    any_denied(client.ask(4, &request).topics.iter().map(|topic| topic.error_code))
}

fn delete_records(client: &mut Client) -> bool {
    let partition = DeleteRecordsPartition::default().with_offset(0);
    let topic = DeleteRecordsTopic::default().with_name(name("t")).with_partitions(vec![partition]);
    let answer = client.ask(1, &DeleteRecordsRequest::default().with_topics(vec![topic]).with_timeout_ms(5000));
    any_denied(answer.topics[0].partitions.iter().map(|one| one.error_code))
}

fn create_partitions(client: &mut Client) -> bool {
    let topic = CreatePartitionsTopic::default().with_name(name("t")).with_count(2);
    let request = CreatePartitionsRequest::default().with_topics(vec![topic]).with_validate_only(true).with_timeout_ms(5000);
    any_denied(client.ask(1, &request).results.iter().map(|topic| topic.error_code))
}

fn describe_configs(client: &mut Client, kind: i8, name: &str) -> bool {
    let resource = DescribeConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_configuration_keys(None);
    let answer = client.ask(2, &DescribeConfigsRequest::default().with_resources(vec![resource]));
    any_denied(answer.results.iter().map(|one| one.error_code))
}

fn alter_configs(client: &mut Client, kind: i8, name: &str) -> bool {
    let resource =
        alter_configs_request::AlterConfigsResource::default().with_resource_type(kind).with_resource_name(text(name));
    let request = AlterConfigsRequest::default().with_resources(vec![resource]).with_validate_only(true);
    any_denied(client.ask(1, &request).responses.iter().map(|one| one.error_code))
}

fn change_configs(client: &mut Client, kind: i8, name: &str) -> bool {
    let resource = incremental_alter_configs_request::AlterConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(name));
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]).with_validate_only(true);
    any_denied(client.ask(0, &request).responses.iter().map(|one| one.error_code))
}

fn create_acls(client: &mut Client) -> bool {
    let creation = AclCreation::default()
        .with_resource_type(2)
        .with_resource_name(text("none"))
        .with_resource_pattern_type(3)
        .with_principal(text("User:nobody"))
        .with_host(text("*"))
        .with_operation(3)
        .with_permission_type(3);
    let answer = client.ask(2, &CreateAclsRequest::default().with_creations(vec![creation]));
    any_denied(answer.results.iter().map(|one| one.error_code))
}

fn delete_acls(client: &mut Client) -> bool {
    let filter = DeleteAclsFilter::default()
        .with_resource_type_filter(2)
        .with_resource_name_filter(Some(text("none")))
        .with_pattern_type_filter(3)
        .with_operation(1)
        .with_permission_type(1);
    let answer = client.ask(2, &DeleteAclsRequest::default().with_filters(vec![filter]));
    any_denied(answer.filter_results.iter().map(|one| one.error_code))
}

/// A client that has signed in by PLAIN.
pub fn signed_in(address: std::net::SocketAddr, user: &str, password: &str) -> Client {
    let mut client = Client::connect(address);
    let chosen = client.ask(1, &SaslHandshakeRequest::default().with_mechanism(text("PLAIN")));
    assert_eq!(chosen.error_code, 0, "{:?}", chosen.mechanisms);
    let message = format!("\0{user}\0{password}").into_bytes();
    let answer = client.ask(2, &SaslAuthenticateRequest::default().with_auth_bytes(message.into()));
    assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
    client
}

fn given(user: &str, needs: &[(ResourceKind, Operation)]) -> Vec<Binding> {
    let one = |(kind, operation): &(ResourceKind, Operation)| Binding {
        user: user.into(),
        host: Host::Any,
        kind: *kind,
        pattern: PatternKind::Literal,
        name: if *kind == Cluster { CLUSTER.into() } else { "*".into() },
        operation: *operation,
        permission: Permission::Allow,
    };
    needs.iter().map(one).collect()
}

/// What includes an operation: a grant of these is one of it.
fn includes(operation: Operation) -> Vec<Operation> {
    match operation {
        Describe => vec![Describe, Read, Write, Delete, Alter],
        DescribeConfigs => vec![DescribeConfigs, AlterConfigs],
        other => vec![other],
    }
}

#[test]
fn every_api_is_denied_until_what_it_needs_is_granted() {
    let mut config = config();
    config.kafka[0].sign_in = Some(true);
    let rig = Rig::new(&config);
    let address = rig.address("kafka");
    rig.queue.ensure_topic("t").unwrap();
    rig.access.add_user("ann", "correct horse", false).unwrap();
    rig.access.add_user("root", "correct horse", true).unwrap();
    let mut ann = signed_in(address, "ann", "correct horse");
    let mut root = signed_in(address, "root", "correct horse");
    let served: Vec<ApiKey> =
        ann.ask(3, &ApiVersionsRequest::default()).api_keys.iter().map(|api| ApiKey::try_from(api.api_key).unwrap()).collect();
    let all = cases();
    let without: Vec<_> =
        served.iter().filter(|key| !FREE.contains(key) && !all.iter().any(|case| case.key == **key)).collect();
    assert!(without.is_empty(), "add what these need to the table: {without:?}");
    let revoke = || rig.access.revoke(&[BindingFilter { user: Some("ann".into()), ..BindingFilter::default() }]).unwrap();
    for case in all.iter().filter(|case| served.contains(&case.key)) {
        let key = case.key;
        // There is a group to be seen, and to be deleted from.
        offset_commit(&mut root);
        assert!((case.denied)(&mut ann), "{key:?} is allowed to everybody");
        assert!(!(case.denied)(&mut root), "{key:?} is denied to an admin");
        for needs in case.needs {
            rig.access.grant(&given("ann", needs)).unwrap();
            assert!(!(case.denied)(&mut ann), "{key:?} is denied with {needs:?}");
            revoke();
        }
        // Everything but one thing of each list that would do.
        let mut lists: Vec<Vec<(ResourceKind, Operation)>> = vec![Vec::new()];
        for needs in case.needs {
            lists = lists.iter().flat_map(|list| needs.iter().map(move |need| [list.as_slice(), &[*need]].concat())).collect();
        }
        for missing in lists {
            let mut rest = Vec::new();
            for kind in [Topic, Group, Cluster] {
                for operation in Operation::ALL.iter().filter(|operation| **operation != Operation::All) {
                    let gives = |need: &(ResourceKind, Operation)| need.0 == kind && includes(need.1).contains(operation);
                    if !missing.iter().any(gives) {
                        rest.push((kind, *operation));
                    }
                }
            }
            rig.access.grant(&given("ann", &rest)).unwrap();
            offset_commit(&mut root);
            assert!((case.denied)(&mut ann), "{key:?} is allowed without {missing:?}");
            revoke();
        }
    }
    assert!(rig.access.counters().denied > all.len() as u64);
}

#[test]
fn before_signing_in_nothing_is_served() {
    let mut config = config();
    config.kafka[0].sign_in = Some(true);
    let rig = Rig::new(&config);
    let address = rig.address("kafka");
    let versions = Client::connect(address).ask(3, &ApiVersionsRequest::default());
    assert!(versions.api_keys.len() > 20);
    let mut cut = 0;
    for api in &versions.api_keys {
        let key = ApiKey::try_from(api.api_key).unwrap();
        if FREE.contains(&key) && key != ApiKey::DescribeCluster {
            continue;
        }
        for body in [&[][..], &[0; 64], &[0xff; 64]] {
            let mut client = Client::connect(address);
            client.ask(0, &ApiVersionsRequest::default());
            let head =
                [&api.api_key.to_be_bytes()[..], &api.max_version.to_be_bytes(), &[0, 0, 0, 9, 0xff, 0xff, 0], body].concat();
            let frame = [&u32::try_from(head.len()).unwrap().to_be_bytes()[..], &head].concat();
            assert!(client.is_cut_by(&frame), "{key:?} is answered to a stranger");
            cut += 1;
        }
    }
    assert!(cut > 50, "{cut}");
    // An API that nobody knows, and one far too long.
    assert!(Client::connect(address).is_cut_by(&[0, 0, 0, 10, 0x7f, 0, 0, 0, 0, 0, 0, 9, 0xff, 0xff]));
    let mut client = Client::connect(address);
    let long = [&20_000_u32.to_be_bytes()[..], &[0; 20_000]].concat();
    assert!(client.is_cut_by(&long), "a stranger's frame of 20 kB is read");
}
