//! Kafka's admin APIs over real sockets, in every version: topics come, go, grow and change while clients look on.

use std::time::Duration;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::alter_configs_request as alter;
use kafka_protocol::messages::create_partitions_request::{CreatePartitionsAssignment, CreatePartitionsTopic};
use kafka_protocol::messages::create_topics_request::{CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::DescribeConfigsResourceResult;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::incremental_alter_configs_request as incremental;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    AlterConfigsRequest, BrokerId, CreatePartitionsRequest, CreateTopicsRequest, DeleteRecordsRequest, DeleteTopicsRequest,
    DescribeClusterRequest, DescribeConfigsRequest, DescribeLogDirsRequest, FetchRequest, IncrementalAlterConfigsRequest,
    ProduceRequest,
};
use kafka_protocol::protocol::StrBytes;
use sawbox::queue::batch::Header;
use sawbox::queue::{Compression, TopicSettings};

use crate::ingest_rig::{Rig, config};
use crate::kafka_wire::{Client, batch, name};

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn wanted(topic: &str, partitions: i32, replicas: i16) -> CreatableTopic {
    CreatableTopic::default().with_name(name(topic)).with_num_partitions(partitions).with_replication_factor(replicas)
}

fn with_config(topic: CreatableTopic, key: &str, value: &str) -> CreatableTopic {
    let config = CreatableTopicConfig::default().with_name(text(key)).with_value(Some(text(value)));
    topic.with_configs(vec![config])
}

fn make(rig: &Rig, topic: &str) -> uuid::Uuid {
    rig.queue.create_topic(topic, TopicSettings::default()).unwrap().id().0
}

/// Makes one topic; its error and message.
fn create(client: &mut Client, version: i16, topic: CreatableTopic) -> (i16, String) {
    let request = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(5000);
    let answer = client.ask(version, &request).topics.remove(0);
    (answer.error_code, answer.error_message.map(|text| text.to_string()).unwrap_or_default())
}

fn configs(client: &mut Client, version: i16, kind: i8, resource: &str) -> Vec<DescribeConfigsResourceResult> {
    let resource = DescribeConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(resource))
        .with_configuration_keys(None);
    let request = DescribeConfigsRequest::default()
        .with_resources(vec![resource])
        .with_include_synonyms(true)
        .with_include_documentation(version >= 3);
    let answer = client.ask(version, &request).results.remove(0);
    assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
    answer.configs
}

fn value(client: &mut Client, topic: &str, key: &str) -> String {
    let entry = configs(client, 4, 2, topic).into_iter().find(|entry| &*entry.name == key).unwrap();
    entry.value.unwrap().to_string()
}

/// Sets one configuration; its error and message.
fn set(client: &mut Client, topic: &str, operation: i8, key: &str, value: Option<&str>) -> (i16, String) {
    let config = incremental::AlterableConfig::default()
        .with_name(text(key))
        .with_config_operation(operation)
        .with_value(value.map(text));
    let resource = incremental::AlterConfigsResource::default()
        .with_resource_type(2)
        .with_resource_name(text(topic))
        .with_configs(vec![config]);
    let answer = client.ask(1, &IncrementalAlterConfigsRequest::default().with_resources(vec![resource])).responses.remove(0);
    (answer.error_code, answer.error_message.map(|text| text.to_string()).unwrap_or_default())
}

#[test]
fn topics_are_made_in_every_version() {
    let rig = Rig::new(&config());
    let mut client = Client::connect(rig.address("kafka"));
    for version in 2..=7 {
        let topic = format!("made-{version}");
        let wanted = with_config(wanted(&topic, 3, 1), "retention.ms", "60000");
        let request = CreateTopicsRequest::default().with_topics(vec![wanted]).with_timeout_ms(5000);
        let checked = client.ask(version, &request.clone().with_validate_only(true)).topics.remove(0);
        assert_eq!((checked.error_code, rig.queue.topic(&topic).is_some()), (0, false), "only looked at");
        let answer = client.ask(version, &request).topics.remove(0);
        let made = rig.queue.topic(&topic).unwrap();
        assert_eq!((answer.error_code, made.partitions().len()), (0, 3), "version {version}");
        assert_eq!(answer.topic_id, if version >= 7 { made.id().0 } else { uuid::Uuid::nil() });
        if version >= 5 {
            let shown = answer.configs.unwrap();
            let retention = shown.iter().find(|entry| &*entry.name == "retention.ms").unwrap();
            assert_eq!((retention.value.as_deref(), retention.config_source), (Some("60000"), 1));
            assert_eq!((answer.num_partitions, answer.replication_factor), (3, 1));
        }
        assert_eq!(client.ask(version, &request).topics[0].error_code, ResponseError::TopicAlreadyExists.code());
    }
}

#[test]
fn what_cannot_be_made_is_refused_with_a_sentence() {
    use ResponseError::{
        InvalidConfig, InvalidPartitions, InvalidReplicaAssignment, InvalidReplicationFactor, InvalidRequest,
        InvalidTopicException,
    };
    let rig = Rig::new(&config());
    let mut client = Client::connect(rig.address("kafka"));
    let on = |nodes: &[i32], number: i32| {
        let nodes = nodes.iter().map(|node| BrokerId(*node)).collect();
        CreatableReplicaAssignment::default().with_partition_index(number).with_broker_ids(nodes)
    };
    let assigned = |assignments| wanted("t", -1, -1).with_assignments(assignments);
    for (topic, error, says) in [
        (wanted("_own", 1, 1), InvalidTopicException, "the box's own"),
        (wanted("a/b", 1, 1), InvalidTopicException, "no topic name"),
        (wanted("", 1, 1), InvalidTopicException, "no topic name"),
        (wanted("t", 0, 1), InvalidPartitions, "1 to 256"),
        (wanted("t", 1000, 1), InvalidPartitions, "1 to 256"),
        (wanted("t", i32::MIN, 1), InvalidPartitions, "1 to 256"),
        (wanted("t", 1, 3), InvalidReplicationFactor, "one node"),
        (with_config(wanted("t", 1, 1), "cleanup.policy", "compact"), InvalidConfig, "compact"),
        (with_config(wanted("t", 1, 1), "min.insync.replicas", "2"), InvalidConfig, "min.insync.replicas"),
        (with_config(wanted("t", 1, 1), "retention.ms", "soon"), InvalidConfig, "soon"),
        (with_config(wanted("t", 1, 1), "colour", "red"), InvalidConfig, "colour"),
        (wanted("t", 2, -1).with_assignments(vec![on(&[1], 0)]), InvalidRequest, "either"),
        (assigned(vec![on(&[2], 0)]), InvalidReplicaAssignment, "node 1"),
        (assigned(vec![on(&[1], 1)]), InvalidReplicaAssignment, "counted from 0"),
        (assigned(vec![on(&[1], 0), on(&[1], 0)]), InvalidReplicaAssignment, "counted from 0"),
    ] {
        let shown = format!("{topic:?}");
        let (code, message) = create(&mut client, 7, topic);
        assert_eq!(code, error.code(), "{shown}: {message}");
        assert!(message.contains(says), "{message}");
    }
    assert!(rig.queue.topics().is_empty());
    assert_eq!(create(&mut client, 7, assigned(vec![on(&[1], 1), on(&[1], 0)])).0, 0);
    assert_eq!(rig.queue.topic("t").unwrap().partitions().len(), 2);
    assert_eq!(create(&mut client, 7, wanted("usual", -1, -1)).0, 0);
    let twice = CreateTopicsRequest::default().with_topics(vec![wanted("x", 1, 1), wanted("x", 1, 1), wanted("y", 1, 1)]);
    let codes: Vec<i16> = client.ask(7, &twice).topics.iter().map(|topic| topic.error_code).collect();
    assert_eq!(codes, [InvalidRequest.code(), InvalidRequest.code(), 0]);
}

#[test]
fn topics_go_by_name_and_by_id() {
    let rig = Rig::new(&config());
    let mut client = Client::connect(rig.address("kafka"));
    for version in 1..=5 {
        make(&rig, "t");
        let request = DeleteTopicsRequest::default().with_topic_names(vec![name("t"), name("none"), name("_own")]);
        let answer = client.ask(version, &request.with_timeout_ms(5000)).responses;
        let codes: Vec<i16> = answer.iter().map(|one| one.error_code).collect();
        assert_eq!(codes, [0, ResponseError::UnknownTopicOrPartition.code(), ResponseError::UnknownTopicOrPartition.code()]);
        assert!(rig.queue.topic("t").is_none());
    }
    let by_id = |id| DeleteTopicState::default().with_name(None).with_topic_id(id);
    let by_name = |topic| DeleteTopicState::default().with_name(Some(name(topic)));
    let id = make(&rig, "t");
    let kept = make(&rig, "_own");
    make(&rig, "u");
    let states = vec![by_id(id), by_name("u"), by_id(kept), by_id(uuid::Uuid::from_u128(7)), by_id(id)];
    let answer = client.ask(6, &DeleteTopicsRequest::default().with_topics(states)).responses;
    let codes: Vec<i16> = answer.iter().map(|one| one.error_code).collect();
    let (unknown, own) = (ResponseError::UnknownTopicId.code(), ResponseError::InvalidTopicException.code());
    assert_eq!(codes, [0, 0, own, unknown, unknown]);
    assert_eq!(answer[0].name.as_ref().unwrap().as_str(), "t", "asked by id, told by name");
    assert!(answer[3].name.is_none());
    assert_eq!(rig.queue.topics().len(), 1);
    // A new one is another one.
    assert_ne!(make(&rig, "t"), id);
}

#[test]
fn a_fetch_that_waits_on_a_topic_ends_with_it() {
    let rig = Rig::new(&config());
    let id = make(&rig, "t");
    let mut client = Client::connect(rig.address("kafka"));
    for version in [11, 16] {
        let id = if version == 11 { id } else { make(&rig, "t") };
        let partition = FetchPartition::default().with_partition(0).with_fetch_offset(0).with_partition_max_bytes(1 << 20);
        let mut topic = FetchTopic::default().with_topic(name("t")).with_partitions(vec![partition]);
        if version >= 13 {
            (topic.topic_id, topic.topic) = (id, Default::default());
        }
        // Much longer than the test may take.
        let request = FetchRequest::default().with_max_wait_ms(600_000).with_min_bytes(1).with_max_bytes(1 << 20);
        client.write(version, &request.with_topics(vec![topic]));
        std::thread::sleep(Duration::from_millis(50));
        rig.queue.delete_topic("t").unwrap();
        let (_, answer) = client.read::<FetchRequest>(version);
        let code = answer.responses[0].partitions[0].error_code;
        let gone = [ResponseError::UnknownTopicOrPartition.code(), ResponseError::UnknownTopicId.code()];
        assert!(gone.contains(&code), "version {version}: {code}");
    }
}

#[test]
fn topics_grow_in_every_version() {
    let rig = Rig::new(&config());
    make(&rig, "t");
    make(&rig, "_own");
    let mut client = Client::connect(rig.address("kafka"));
    for (version, count) in (0..=3).zip(2..) {
        let topic = CreatePartitionsTopic::default().with_name(name("t")).with_count(count).with_assignments(None);
        let request = CreatePartitionsRequest::default().with_topics(vec![topic]);
        let checked = client.ask(version, &request.clone().with_validate_only(true)).results.remove(0);
        assert_eq!((checked.error_code, rig.queue.topic("t").unwrap().partitions().len() as i32), (0, count - 1));
        assert_eq!(client.ask(version, &request).results[0].error_code, 0);
        assert_eq!(rig.queue.topic("t").unwrap().partitions().len() as i32, count);
        assert_eq!(client.ask(version, &request).results[0].error_code, ResponseError::InvalidPartitions.code());
    }
    let to = |node: i32| CreatePartitionsAssignment::default().with_broker_ids(vec![BrokerId(node)]);
    for (topic, count, assignments, error) in [
        ("none", 3, None, ResponseError::UnknownTopicOrPartition),
        ("_own", 3, None, ResponseError::InvalidTopicException),
        ("t", 2, None, ResponseError::InvalidPartitions),
        ("t", 999, None, ResponseError::InvalidPartitions),
        ("t", 7, Some(vec![to(1)]), ResponseError::InvalidReplicaAssignment),
        ("t", 6, Some(vec![to(2)]), ResponseError::InvalidReplicaAssignment),
    ] {
        let topic = CreatePartitionsTopic::default().with_name(name(topic)).with_count(count).with_assignments(assignments);
        let answer = client.ask(3, &CreatePartitionsRequest::default().with_topics(vec![topic])).results.remove(0);
        assert_eq!(answer.error_code, error.code(), "{:?}", answer.error_message);
        assert!(answer.error_message.is_some_and(|message| !message.is_empty()));
    }
}

#[test]
fn configurations_are_shown_and_set_in_every_version() {
    let rig = Rig::new(&config());
    make(&rig, "t");
    let mut client = Client::connect(rig.address("kafka"));
    for version in 1..=4 {
        let shown = configs(&mut client, version, 2, "t");
        let find = |name: &str| shown.iter().find(|entry| &*entry.name == name).unwrap();
        let retention = find("retention.ms");
        assert_eq!((retention.value.as_deref(), retention.read_only, retention.config_source), (Some("86400000"), false, 5));
        assert_eq!(retention.synonyms.len(), 1);
        let told = retention.documentation.as_ref().is_some_and(|about| !about.is_empty());
        assert_eq!((told, retention.config_type), if version >= 3 { (true, 5) } else { (false, 0) });
        assert!(find("min.insync.replicas").read_only);
        let broker = configs(&mut client, version, 4, "1");
        assert!(broker.iter().any(|entry| &*entry.name == "auto.create.topics.enable" && entry.read_only));
    }
    for version in 0..=1 {
        let retention = incremental::AlterableConfig::default().with_name(text("retention.ms")).with_value(Some(text("5000")));
        let resource = incremental::AlterConfigsResource::default()
            .with_resource_type(2)
            .with_resource_name(text("t"))
            .with_configs(vec![retention]);
        let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
        assert_eq!(client.ask(version, &request.clone().with_validate_only(true)).responses[0].error_code, 0);
        assert_eq!(value(&mut client, "t", "retention.ms"), "86400000", "only looked at");
        assert_eq!(client.ask(version, &request).responses[0].error_code, 0);
        assert_eq!(value(&mut client, "t", "retention.ms"), "5000");
        assert_eq!(set(&mut client, "t", 1, "retention.ms", None).0, 0);
    }
    for version in 0..=2 {
        assert_eq!(set(&mut client, "t", 0, "retention.bytes", Some("1000")).0, 0);
        let priority = alter::AlterableConfig::default().with_name(text("sawbox.priority")).with_value(Some(text("high")));
        let resource = alter::AlterConfigsResource::default()
            .with_resource_type(2)
            .with_resource_name(text("t"))
            .with_configs(vec![priority]);
        let request = AlterConfigsRequest::default().with_resources(vec![resource]);
        assert_eq!(client.ask(version, &request).responses[0].error_code, 0);
        assert_eq!(value(&mut client, "t", "sawbox.priority"), "high");
        assert_eq!(value(&mut client, "t", "retention.bytes"), "-1", "what is not said goes back to the default");
    }
    make(&rig, "_own");
    for (topic, operation, key, wanted, error) in [
        ("t", 0, "cleanup.policy", Some("compact"), ResponseError::InvalidConfig),
        ("t", 0, "retention.ms", None, ResponseError::InvalidRequest),
        ("t", 2, "cleanup.policy", Some("compact"), ResponseError::InvalidConfig),
        ("t", 0, "max.message.bytes", Some("999999999"), ResponseError::InvalidConfig),
        ("none", 0, "retention.ms", Some("1000"), ResponseError::UnknownTopicOrPartition),
        ("_own", 0, "retention.ms", Some("1000"), ResponseError::InvalidTopicException),
    ] {
        let (code, message) = set(&mut client, topic, operation, key, wanted);
        assert_eq!(code, error.code(), "{topic} {key}: {message}");
        assert!(!message.is_empty());
    }
    let broker = incremental::AlterConfigsResource::default().with_resource_type(4).with_resource_name(text("1"));
    let answer = client.ask(1, &IncrementalAlterConfigsRequest::default().with_resources(vec![broker])).responses.remove(0);
    assert_eq!(answer.error_code, ResponseError::InvalidRequest.code());
}

#[test]
fn what_is_set_holds_for_the_next_batch() {
    let rig = Rig::new(&config());
    make(&rig, "t");
    let mut client = Client::connect(rig.address("kafka"));
    let payload = "x".repeat(3000);
    let produce = |client: &mut Client| {
        let data = PartitionProduceData::default().with_index(0).with_records(Some(batch(&[&payload], Compression::None)));
        let topic = TopicProduceData::default().with_name(name("t")).with_partition_data(vec![data]);
        let request = ProduceRequest::default().with_acks(-1).with_timeout_ms(5000).with_topic_data(vec![topic]);
        client.ask(9, &request).responses[0].partition_responses[0].error_code
    };
    assert_eq!(produce(&mut client), 0);
    assert_eq!(set(&mut client, "t", 0, "compression.type", Some("zstd")).0, 0);
    assert_eq!(produce(&mut client), 0);
    assert_eq!(set(&mut client, "t", 0, "max.message.bytes", Some("2000")).0, 0);
    assert_eq!(produce(&mut client), ResponseError::MessageTooLarge.code());
    let partition = rig.queue.topic("t").unwrap().partition(0).unwrap();
    let kept: Vec<Compression> = partition
        .read(0, 1 << 20)
        .unwrap()
        .iter()
        .map(|batch| Header::parse(&batch.bytes).unwrap().compression().unwrap())
        .collect();
    assert_eq!(kept, [Compression::None, Compression::Zstd]);
    assert!(rig.records("t").iter().all(|record| record.payload == payload && record.header("name") == Some("value")));
}

#[test]
fn records_are_deleted_in_every_version() {
    let rig = Rig::new(&config());
    make(&rig, "t");
    let partition = rig.queue.topic("t").unwrap().partition(0).unwrap();
    for _ in 0..6 {
        partition.append(batch(&["a"], Compression::None)).wait().unwrap();
    }
    let mut client = Client::connect(rig.address("kafka"));
    let mut delete = |version: i16, topic: &str, number: i32, offset: i64| {
        let one = DeleteRecordsPartition::default().with_partition_index(number).with_offset(offset);
        let topic = DeleteRecordsTopic::default().with_name(name(topic)).with_partitions(vec![one]);
        let answer = client.ask(version, &DeleteRecordsRequest::default().with_topics(vec![topic]).with_timeout_ms(5000));
        (answer.topics[0].partitions[0].error_code, answer.topics[0].partitions[0].low_watermark)
    };
    for version in 0..=2 {
        assert_eq!(delete(version, "t", 0, i64::from(version) + 1), (0, i64::from(version) + 1));
    }
    assert_eq!(delete(2, "t", 0, 1), (0, 3), "the beginning never goes back");
    assert_eq!(delete(2, "t", 0, 7), (ResponseError::OffsetOutOfRange.code(), -1));
    assert_eq!(delete(2, "t", 0, -2), (ResponseError::OffsetOutOfRange.code(), -1));
    assert_eq!(delete(2, "t", 1, 1), (ResponseError::UnknownTopicOrPartition.code(), -1));
    assert_eq!(delete(2, "t", 0, -1), (0, 6));
    assert_eq!(partition.log_start(), 6);
}

#[test]
fn the_cluster_is_one_node_and_its_disk() {
    let rig = Rig::new(&config());
    make(&rig, "t");
    let mut client = Client::connect(rig.address("kafka"));
    for version in 0..=2 {
        let request = DescribeClusterRequest::default().with_endpoint_type(1).with_include_cluster_authorized_operations(true);
        let answer = client.ask(version, &request);
        assert_eq!((answer.error_code, answer.brokers.len(), answer.controller_id), (0, 1, BrokerId(1)), "version {version}");
        assert_eq!(answer.brokers[0].port, i32::from(rig.address("kafka").port()));
        assert_ne!(answer.cluster_authorized_operations, i32::MIN);
    }
    let answer = client.ask(1, &DescribeClusterRequest::default().with_endpoint_type(2));
    assert_eq!(answer.error_code, ResponseError::UnsupportedEndpointType.code());
    rig.queue.topic("t").unwrap().partition(0).unwrap().append(batch(&["a"], Compression::None)).wait().unwrap();
    for version in 1..=4 {
        let answer = client.ask(version, &DescribeLogDirsRequest::default().with_topics(None));
        let topic = &answer.results[0].topics[0];
        assert_eq!((topic.name.as_str(), topic.partitions.len()), ("t", 1));
        assert!(topic.partitions[0].partition_size > 0);
        if version >= 4 {
            assert!(answer.results[0].total_bytes > 0 && answer.results[0].usable_bytes > 0);
        }
    }
}
