//! Consumer groups over real sockets, spoken by `kafka-protocol`, in every version; then the box's own view of them.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    DeleteGroupsRequest, DescribeGroupsRequest, FindCoordinatorRequest, GroupId, HeartbeatRequest, JoinGroupRequest,
    JoinGroupResponse, LeaveGroupRequest, ListGroupsRequest, OffsetCommitRequest, OffsetDeleteRequest, OffsetFetchRequest,
    SyncGroupRequest,
};
use kafka_protocol::protocol::StrBytes;
use sawbox::base::disk::sim::SimDisk;
use serde_json::{Value, json};

use crate::ingest_rig::{Rig, config};
use crate::kafka_wire::{Client, name};
use crate::support::TestBox;

/// A consumer's subscription to the topic `t`.
const SUBSCRIPTION: &[u8] = b"\x00\x00\x00\x00\x00\x01\x00\x01t\xff\xff\xff\xff";
/// Partition 0 of it, assigned.
const ASSIGNMENT: &[u8] = b"\x00\x00\x00\x00\x00\x01\x00\x01t\x00\x00\x00\x01\x00\x00\x00\x00\xff\xff\xff\xff";

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn group(name: &str) -> GroupId {
    GroupId(text(name))
}

fn join_request(group_name: &str, member: &str) -> JoinGroupRequest {
    let protocol = JoinGroupRequestProtocol::default().with_name(text("range")).with_metadata(Bytes::from_static(SUBSCRIPTION));
    JoinGroupRequest::default()
        .with_group_id(group(group_name))
        .with_session_timeout_ms(10_000)
        .with_member_id(text(member))
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol])
}

fn join(client: &mut Client, version: i16, group: &str, member: &str) -> JoinGroupResponse {
    let request = join_request(group, member);
    let request = if version >= 1 { request.with_rebalance_timeout_ms(20_000) } else { request };
    let answer = client.ask(version, &request);
    if version >= 4 && member.is_empty() {
        assert_eq!(answer.error_code, ResponseError::MemberIdRequired.code(), "version {version}");
        return join(client, version, group, &answer.member_id);
    }
    answer
}

fn commit_request(group_name: &str, member: &str, generation: i32, offset: i64) -> OffsetCommitRequest {
    let partition = |index, offset| {
        OffsetCommitRequestPartition::default()
            .with_partition_index(index)
            .with_committed_offset(offset)
            .with_committed_metadata(Some(text("where I was")))
    };
    let topic =
        |topic: &str, partitions| OffsetCommitRequestTopic::default().with_name(name(topic)).with_partitions(partitions);
    OffsetCommitRequest::default()
        .with_group_id(group(group_name))
        .with_member_id(text(member))
        .with_generation_id_or_member_epoch(generation)
        .with_topics(vec![
            topic("t", vec![partition(0, offset), partition(7, offset)]),
            topic("nowhere", vec![partition(0, 1)]),
        ])
}

fn commit(client: &mut Client, version: i16, group: &str, member: &str, generation: i32, offset: i64) -> [i16; 3] {
    let answer = client.ask(version, &commit_request(group, member, generation, offset));
    let codes: Vec<i16> = answer.topics.iter().flat_map(|topic| topic.partitions.iter().map(|one| one.error_code)).collect();
    codes.try_into().unwrap()
}

/// Offset and metadata of partition 0 of `t`.
fn committed(client: &mut Client, version: i16, group_name: &str, all: bool) -> (i64, String) {
    if version >= 8 {
        let topic = OffsetFetchRequestTopics::default().with_name(name("t")).with_partition_indexes(vec![0]);
        let one = |name: &str| {
            let topics = if all { None } else { Some(vec![topic.clone()]) };
            OffsetFetchRequestGroup::default().with_group_id(group(name)).with_topics(topics)
        };
        let answer = client.ask(version, &OffsetFetchRequest::default().with_groups(vec![one("another"), one(group_name)]));
        let found = &answer.groups[1].topics[0].partitions[0];
        return (found.committed_offset, found.metadata.clone().unwrap().to_string());
    }
    let topic = OffsetFetchRequestTopic::default().with_name(name("t")).with_partition_indexes(vec![0]);
    let topics = if all { None } else { Some(vec![topic]) };
    let request = OffsetFetchRequest::default().with_group_id(group(group_name)).with_topics(topics);
    let answer = client.ask(version, &request);
    let found = &answer.topics[0].partitions[0];
    (found.committed_offset, found.metadata.clone().unwrap().to_string())
}

fn rig() -> Rig {
    let rig = Rig::new(&config());
    rig.queue.ensure_topic("t").unwrap();
    rig
}

#[test]
fn a_consumer_in_every_version() {
    let rig = rig();
    let mut client = Client::connect(rig.address("kafka"));
    let none = ResponseError::UnknownTopicOrPartition.code();
    for version in 0..=9_i16 {
        let name = format!("g{version}");
        let found = client.ask(version.min(3), &FindCoordinatorRequest::default().with_key(text(&name)));
        assert_eq!((found.error_code, *found.node_id), (0, 1));
        if (4..=6).contains(&version) {
            let request = FindCoordinatorRequest::default().with_coordinator_keys(vec![text(&name), text("")]);
            let found = client.ask(version, &request).coordinators;
            assert_eq!((found[0].error_code, found[0].port), (0, i32::from(rig.address("kafka").port())));
            assert_eq!(found[1].error_code, ResponseError::InvalidGroupId.code());
        }
        let joined = join(&mut client, version, &name, "");
        assert_eq!((joined.error_code, joined.generation_id), (0, 1), "version {version}");
        assert_eq!((&joined.leader, joined.members.len()), (&joined.member_id, 1));
        assert_eq!(joined.members[0].metadata, SUBSCRIPTION);
        let assignment = SyncGroupRequestAssignment::default()
            .with_member_id(joined.member_id.clone())
            .with_assignment(Bytes::from_static(ASSIGNMENT));
        let sync = SyncGroupRequest::default()
            .with_group_id(group(&name))
            .with_generation_id(1)
            .with_member_id(joined.member_id.clone())
            .with_assignments(vec![assignment]);
        let sync = if version >= 5 {
            sync.with_protocol_type(Some(text("consumer"))).with_protocol_name(Some(text("range")))
        } else {
            sync
        };
        let synced = client.ask(version.min(5), &sync);
        assert_eq!((synced.error_code, &synced.assignment[..]), (0, ASSIGNMENT));
        let beat = |generation| {
            let request = HeartbeatRequest::default().with_group_id(group(&name)).with_member_id(joined.member_id.clone());
            request.with_generation_id(generation)
        };
        assert_eq!(client.ask(version.min(4), &beat(1)).error_code, 0);
        assert_eq!(client.ask(version.min(4), &beat(2)).error_code, ResponseError::IllegalGeneration.code());

        let offset = i64::from(version) + 100;
        assert_eq!(commit(&mut client, version.max(2), &name, &joined.member_id, 1, offset), [0, none, none]);
        let strangers = ResponseError::UnknownMemberId.code();
        assert_eq!(commit(&mut client, version.max(2), &name, "", -1, 5), [strangers, none, none]);
        for fetch in 1..=9 {
            let is = (offset, "where I was".to_owned());
            assert_eq!(committed(&mut client, fetch, &name, false), is, "version {fetch}");
            assert_eq!(committed(&mut client, fetch, &name, fetch >= 2), is, "version {fetch}");
        }

        let described = client.ask(version.min(6), &DescribeGroupsRequest::default().with_groups(vec![group(&name)]));
        let one = &described.groups[0];
        assert_eq!((one.group_state.as_str(), one.protocol_data.as_str()), ("Stable", "range"));
        assert_eq!((one.members[0].client_id.as_str(), &one.members[0].member_assignment[..]), ("test", ASSIGNMENT));
        let listed = client.ask(version.min(5), &ListGroupsRequest::default());
        assert!(
            listed.groups.iter().any(|listed| listed.group_id.as_str() == name && listed.protocol_type.as_str() == "consumer")
        );

        let delete = DeleteGroupsRequest::default().with_groups_names(vec![group(&name)]);
        let refused = client.ask(version.min(2), &delete);
        assert_eq!(refused.results[0].error_code, ResponseError::NonEmptyGroup.code());
        let leave = LeaveGroupRequest::default().with_group_id(group(&name));
        let leave = if version < 3 {
            leave.with_member_id(joined.member_id.clone())
        } else {
            leave.with_members(vec![MemberIdentity::default().with_member_id(joined.member_id.clone())])
        };
        assert_eq!(client.ask(version.min(5), &leave).error_code, 0);
        assert_eq!(commit(&mut client, version.max(2), &name, "", -1, 5), [0, none, none], "who assigns itself");
        assert_eq!(client.ask(version.min(2), &delete).results[0].error_code, 0);
        assert_eq!(client.ask(version.min(2), &delete).results[0].error_code, ResponseError::GroupIdNotFound.code());
        assert_eq!(committed(&mut client, 5, &name, false), (-1, String::new()));
        let described = client.ask(5, &DescribeGroupsRequest::default().with_groups(vec![group(&name)]));
        assert_eq!(described.groups[0].group_state.as_str(), "Dead");
    }
}

#[test]
fn two_consumers_wait_for_each_other() {
    let rig = rig();
    let mut first = Client::connect(rig.address("kafka"));
    let one = join(&mut first, 9, "g", "");
    let address = rig.address("kafka");
    let (said, second) = mpsc::channel();
    let other = thread::spawn(move || {
        let mut client = Client::connect(address);
        let joined = join(&mut client, 9, "g", "");
        let sync = SyncGroupRequest::default().with_group_id(group("g")).with_generation_id(joined.generation_id);
        let synced = client.ask(5, &sync.with_member_id(joined.member_id.clone()));
        said.send((joined, synced)).unwrap();
    });
    // The first hears of it by its heartbeats.
    let beat =
        HeartbeatRequest::default().with_group_id(group("g")).with_generation_id(1).with_member_id(one.member_id.clone());
    let rebalances = ResponseError::RebalanceInProgress.code();
    while first.ask(4, &beat).error_code != rebalances {
        thread::sleep(Duration::from_millis(10));
    }
    let again = join(&mut first, 9, "g", &one.member_id);
    assert_eq!((again.generation_id, again.members.len(), &again.leader), (2, 2, &one.member_id));
    let assignments = again.members.iter().map(|member| {
        let own = member.member_id.as_bytes().to_vec();
        SyncGroupRequestAssignment::default().with_member_id(member.member_id.clone()).with_assignment(own.into())
    });
    let sync =
        SyncGroupRequest::default().with_group_id(group("g")).with_generation_id(2).with_member_id(one.member_id.clone());
    let synced = first.ask(5, &sync.with_assignments(assignments.collect()));
    assert_eq!(synced.assignment, one.member_id.as_bytes());
    let (joined, synced) = second.recv_timeout(Duration::from_secs(20)).unwrap();
    assert_eq!((joined.generation_id, joined.members.len()), (2, 0));
    assert_eq!(synced.assignment, joined.member_id.as_bytes());
    other.join().unwrap();
}

#[test]
fn members_are_lost_with_the_box_and_offsets_are_not() {
    let disk = SimDisk::new(5);
    let (member, generation);
    {
        let rig = Rig::on(disk.clone(), &config());
        rig.queue.ensure_topic("t").unwrap();
        let mut client = Client::connect(rig.address("kafka"));
        let joined = join(&mut client, 9, "g", "");
        (member, generation) = (joined.member_id, joined.generation_id);
        let sync = SyncGroupRequest::default().with_group_id(group("g")).with_generation_id(1).with_member_id(member.clone());
        assert_eq!(client.ask(5, &sync).error_code, 0);
        assert_eq!(commit(&mut client, 9, "g", &member, 1, 42)[0], 0);
    }
    let rig = Rig::on(disk.crash(), &config());
    let mut client = Client::connect(rig.address("kafka"));
    let beat = HeartbeatRequest::default().with_group_id(group("g")).with_generation_id(1).with_member_id(member.clone());
    assert_eq!(client.ask(4, &beat).error_code, ResponseError::UnknownMemberId.code());
    assert_eq!(commit(&mut client, 9, "g", &member, generation, 50)[0], ResponseError::IllegalGeneration.code());
    assert_eq!(join(&mut client, 9, "g", &member).error_code, ResponseError::UnknownMemberId.code());
    assert_eq!(join(&mut client, 9, "g", "").error_code, 0);
    assert_eq!(committed(&mut client, 9, "g", false), (42, "where I was".to_owned()));
    // The log ends at 0, and must go on there: 42 is only the client's idea.
    assert_eq!(rig.queue.groups().of_topic(rig.queue.topic("t").unwrap().id()), vec![]);
}

#[test]
fn the_boxs_own_groups_are_seen_and_not_touched() {
    let rig = rig();
    let topic = rig.queue.topic("t").unwrap();
    rig.queue.groups().commit("_out.zabbix", topic.id(), 0, 0).unwrap();
    let mut client = Client::connect(rig.address("kafka"));
    let listed = client.ask(5, &ListGroupsRequest::default()).groups;
    let names: Vec<_> = listed.iter().map(|one| (one.group_id.to_string(), one.group_state.to_string())).collect();
    assert_eq!(names, [("_lane".into(), "Stable".into()), ("_out.zabbix".into(), "Stable".into())]);
    let refused = ResponseError::GroupAuthorizationFailed.code();
    for own in ["_lane", "_out.zabbix"] {
        assert_eq!(committed(&mut client, 8, own, false).0, 0);
        assert_eq!(committed(&mut client, 8, own, true).0, 0);
        assert_eq!(commit(&mut client, 9, own, "", -1, 9)[0], refused);
        assert_eq!(client.ask(9, &join_request(own, "")).error_code, refused);
        let delete = DeleteGroupsRequest::default().with_groups_names(vec![group(own)]);
        assert_eq!(client.ask(2, &delete).results[0].error_code, refused);
    }
    // What members have subscribed to stays; a group that nobody reads may forget.
    assert_eq!(commit(&mut client, 9, "g", "", -1, 9)[0], 0);
    let partition = OffsetDeleteRequestPartition::default();
    let forget = OffsetDeleteRequestTopic::default().with_name(name("t")).with_partitions(vec![partition]);
    let forget = OffsetDeleteRequest::default().with_group_id(group("g")).with_topics(vec![forget]);
    let joined = join(&mut client, 9, "g", "");
    let sync =
        SyncGroupRequest::default().with_group_id(group("g")).with_generation_id(1).with_member_id(joined.member_id.clone());
    assert_eq!(client.ask(5, &sync).error_code, 0);
    let code = |client: &mut Client| client.ask(0, &forget).topics[0].partitions[0].error_code;
    assert_eq!(code(&mut client), ResponseError::GroupSubscribedToTopic.code());
    let leave = vec![MemberIdentity::default().with_member_id(joined.member_id)];
    client.ask(5, &LeaveGroupRequest::default().with_group_id(group("g")).with_members(leave));
    assert_eq!((code(&mut client), committed(&mut client, 8, "g", false).0), (0, -1));
}

#[test]
fn groups_over_the_api() {
    let dir = tempfile::tempdir().unwrap();
    let sawbox = TestBox::start(dir.path(), "");
    let lines: String = (0..100).map(|n| format!("line {n}\n")).collect();
    sawbox.ingest("t", &lines);
    sawbox.settle();
    let kafka = sawbox.address("Kafka").parse().unwrap();
    let mut client = Client::connect(kafka);
    assert_eq!(commit(&mut client, 9, "g", "", -1, 60)[0], 0);
    let read = |path: &str| -> (u16, Value) {
        let (status, text) = sawbox.get(path, &[]);
        (status, serde_json::from_str(&text).unwrap())
    };
    let (_, all) = read("/api/v1/groups");
    let one = |name: &str| all["groups"].as_array().unwrap().iter().find(|one| one["group"] == name).unwrap().clone();
    assert_eq!((one("g")["lag_records"].clone(), one("g")["state"].clone()), (json!(40), json!("Empty")));
    assert!(one("g")["lag_bytes"].as_u64().unwrap() > 0 && one("g")["lag_seconds"].as_f64().is_some());
    assert_eq!((one("_lane")["kind"].clone(), one("_lane")["state"].clone()), (json!("lanes"), json!("Stable")));
    let (_, shown) = read("/api/v1/groups/g");
    assert_eq!((shown["offsets"][0]["committed"].clone(), shown["offsets"][0]["end"].clone()), (json!(60), json!(100)));
    assert_eq!(read("/api/v1/groups/nobody").0, 404);
    let (_, metrics) = sawbox.get("/metrics", &[]);
    assert!(metrics.contains("sawbox_group_lag_records{group=\"g\",topic=\"t\"} 40"), "{metrics}");

    let reset = |body: Value| -> (u16, Value) {
        let (status, text) = sawbox.send("POST", "/api/v1/groups/g/reset", "application/json", body.to_string().as_bytes());
        (status, serde_json::from_str(&text).unwrap())
    };
    for (to, lands) in [
        (json!("earliest"), 0),
        (json!("latest"), 100),
        (json!({"offset": 7}), 7),
        (json!({"offset": 7000}), 100),
        (json!({"shift": -10}), 50),
        (json!({"shift": 1000}), 100),
        (json!({"time": "-1h"}), 0),
        (json!({"time": "+1h"}), 100),
    ] {
        let (status, plan) = reset(json!({"to": to}));
        assert_eq!((status, &plan["offsets"][0]["to"], &plan["applied"]), (200, &json!(lands), &json!(false)), "{to}");
    }
    assert_eq!(committed(&mut client, 8, "g", false).0, 60, "plans change nothing");
    let joined = join(&mut client, 9, "g", "");
    let (status, refused) = reset(json!({"to": "earliest", "apply": true}));
    let why = refused["error"]["message"].as_str().unwrap();
    assert!(status == 409 && why.contains("test at 127.0.0.1"), "{status} {why}");
    let leave = vec![MemberIdentity::default().with_member_id(joined.member_id)];
    client.ask(5, &LeaveGroupRequest::default().with_group_id(group("g")).with_members(leave));
    assert_eq!(reset(json!({"to": {"offset": 5}, "topic": "t", "apply": true})).0, 200);
    assert_eq!(committed(&mut client, 8, "g", false).0, 5);
    for wrong in
        [json!({"to": "somewhere"}), json!({"to": {"time": "soon"}}), json!({"to": "latest", "topic": "no"}), json!({})]
    {
        assert_eq!(reset(wrong.clone()).0, 400, "{wrong}");
    }
    assert_eq!(sawbox.delete("/api/v1/groups/_lane").0, 409);
    assert_eq!(sawbox.delete("/api/v1/groups/g").0, 200);
    assert_eq!(sawbox.delete("/api/v1/groups/g").0, 404);
}
