//! Kafka's wire over real sockets, spoken by `kafka-protocol`: every API in every version, order, waiting, and bytes of strangers.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use kafka_protocol::messages::{
    ApiKey, ApiVersionsRequest, ApiVersionsResponse, FetchRequest, InitProducerIdRequest, ListOffsetsRequest, MetadataRequest,
    MetadataResponse, OffsetForLeaderEpochRequest, ProduceRequest, RequestHeader, ResponseHeader, TopicName,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use sawbox::base::disk::sim::SimDisk;
use sawbox::ingest::config::{Config, Kafka};
use sawbox::queue::{BatchBuilder, Compression, TopicSettings};

use crate::ingest_rig::{Rig, any_port, config};

/// A client that does as it is told, right or wrong.
pub struct Client {
    stream: TcpStream,
    next: i32,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self { stream, next: 1 }
    }

    pub fn write<R: Request>(&mut self, version: i16, request: &R) -> i32 {
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(self.next)
            .with_client_id(Some(StrBytes::from_static_str("test")));
        let mut frame = BytesMut::from(&[0; 4][..]);
        header.encode(&mut frame, R::header_version(version)).unwrap();
        request.encode(&mut frame, version).unwrap();
        let length = u32::try_from(frame.len() - 4).unwrap().to_be_bytes();
        frame[..4].copy_from_slice(&length);
        self.stream.write_all(&frame).unwrap();
        self.next += 1;
        self.next - 1
    }

    pub fn read_frame(&mut self) -> std::io::Result<Bytes> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let mut frame = vec![0; u32::from_be_bytes(length) as usize];
        self.stream.read_exact(&mut frame)?;
        Ok(frame.into())
    }

    pub fn read<R: Request>(&mut self, version: i16) -> (i32, R::Response) {
        let mut frame = self.read_frame().unwrap();
        let header = ResponseHeader::decode(&mut frame, R::Response::header_version(version)).unwrap();
        let response = R::Response::decode(&mut frame, version).unwrap();
        assert!(frame.is_empty(), "{} bytes behind the answer to {} {version}", frame.len(), R::KEY);
        (header.correlation_id, response)
    }

    pub fn ask<R: Request>(&mut self, version: i16, request: &R) -> R::Response {
        let sent = self.write(version, request);
        let (answered, response) = self.read::<R>(version);
        assert_eq!(sent, answered);
        response
    }

    /// Sends bytes as they are, and says whether the box hung up without an answer.
    pub fn is_cut_by(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).unwrap();
        let _ = self.stream.shutdown(std::net::Shutdown::Write);
        let mut rest = Vec::new();
        let _ = self.stream.read_to_end(&mut rest);
        rest.is_empty()
    }
}

pub fn name(topic: &str) -> TopicName {
    TopicName(StrBytes::from_string(topic.to_owned()))
}

pub fn batch(payloads: &[&str], compression: Compression) -> Bytes {
    let mut builder = BatchBuilder::default();
    for (n, payload) in payloads.iter().enumerate() {
        builder.push(1_000_000 + n as i64, Some(b"key"), payload.as_bytes(), &[(b"name", b"value")]).unwrap();
    }
    builder.finish(compression)
}

pub fn produce_request(rig: &Rig, version: i16, topic: &str, partition: i32, acks: i16, batch: Bytes) -> ProduceRequest {
    let id = rig.queue.topic(topic).map(|topic| topic.id().0).unwrap_or_default();
    let data = PartitionProduceData::default().with_index(partition).with_records(Some(batch));
    let mut topic = TopicProduceData::default().with_name(name(topic)).with_partition_data(vec![data]);
    if version >= 13 {
        (topic.topic_id, topic.name) = (id, TopicName::default());
    }
    ProduceRequest::default().with_acks(acks).with_timeout_ms(5000).with_topic_data(vec![topic])
}

pub fn produce(rig: &Rig, client: &mut Client, topic: &str, partition: i32, batch: Bytes) -> PartitionProduceResponse {
    let answer = client.ask(9, &produce_request(rig, 9, topic, partition, -1, batch));
    answer.responses[0].partition_responses[0].clone()
}

pub fn fetch_request(rig: &Rig, version: i16, topic: &str, offset: i64, wait_ms: i32) -> FetchRequest {
    let id = rig.queue.topic(topic).map(|topic| topic.id().0).unwrap_or_default();
    let partition = FetchPartition::default().with_partition(0).with_fetch_offset(offset).with_partition_max_bytes(1 << 20);
    let mut topic = FetchTopic::default().with_topic(name(topic)).with_partitions(vec![partition]);
    if version >= 13 {
        (topic.topic_id, topic.topic) = (id, TopicName::default());
    }
    FetchRequest::default().with_max_wait_ms(wait_ms).with_min_bytes(1).with_max_bytes(50 << 20).with_topics(vec![topic])
}

fn fetch(rig: &Rig, client: &mut Client, version: i16, topic: &str, offset: i64) -> PartitionData {
    let answer = client.ask(version, &fetch_request(rig, version, topic, offset, 0));
    assert_eq!((answer.error_code, answer.session_id), (0, 0));
    answer.responses[0].partitions[0].clone()
}

pub fn make(rig: &Rig, topic: &str, partitions: u32) {
    let settings = TopicSettings { partitions, ..TopicSettings::of(&sawbox::queue::Config::default()) };
    rig.queue.create_topic(topic, settings).unwrap();
}

fn versions(client: &mut Client) -> Vec<ApiVersion> {
    client.ask(3, &ApiVersionsRequest::default()).api_keys
}

fn metadata(client: &mut Client, version: i16, topic: &str) -> MetadataResponse {
    let topic = MetadataRequestTopic::default().with_name(Some(name(topic)));
    let request = MetadataRequest::default().with_topics(Some(vec![topic])).with_allow_auto_topic_creation(true);
    client.ask(version, &request)
}

#[test]
fn every_version_of_what_producers_and_consumers_ask() {
    let rig = Rig::new(&config());
    let mut client = Client::connect(rig.address("kafka"));
    for version in 0..=4 {
        let answer = client.ask(version, &ApiVersionsRequest::default());
        let produce = answer.api_keys.iter().find(|api| api.api_key == ApiKey::Produce as i16).unwrap();
        // librdkafka does not compress for a broker that does not say 0; no client then uses it.
        assert_eq!((answer.error_code, produce.min_version, produce.max_version), (0, 0, 13));
        assert!(answer.api_keys.iter().all(|api| ![71, 72].contains(&api.api_key)), "telemetry is not taken");
    }
    for version in 0..=13 {
        let answer = metadata(&mut client, version, &format!("made-{version}"));
        let topic = &answer.topics[0];
        assert_eq!((answer.brokers.len(), answer.brokers[0].port), (1, i32::from(rig.address("kafka").port())));
        assert_eq!((topic.error_code, topic.partitions.len()), (0, 1), "version {version}");
        let own = rig.queue.topic(&format!("made-{version}")).unwrap();
        assert_eq!(topic.topic_id, if version >= 10 { own.id().0 } else { uuid::Uuid::nil() });
        let all = MetadataRequest::default().with_topics((version == 0).then(Vec::new));
        assert_eq!(client.ask(version, &all).topics.len(), 1 + usize::try_from(version).unwrap());
    }
    for version in 10..=13 {
        let own = rig.queue.topic("made-3").unwrap().id().0;
        let by_id = |id| vec![MetadataRequestTopic::default().with_name(None).with_topic_id(id)];
        let answer = client.ask(version, &MetadataRequest::default().with_topics(Some(by_id(own))));
        // Asking by id came with version 12, but it costs nothing to answer before.
        assert_eq!(answer.topics[0].name.as_ref().unwrap().as_str(), "made-3");
        if version >= 12 {
            let answer = client.ask(version, &MetadataRequest::default().with_topics(Some(by_id(uuid::Uuid::from_u128(7)))));
            assert_eq!(answer.topics[0].error_code, ResponseError::UnknownTopicId.code());
        }
    }

    make(&rig, "t", 1);
    for (nth, version) in (3..=13).enumerate() {
        let answer = client.ask(version, &produce_request(&rig, version, "t", 0, -1, batch(&["a", "b"], Compression::Lz4)));
        let one = &answer.responses[0].partition_responses[0];
        assert_eq!((one.error_code, one.base_offset), (0, 2 * i64::try_from(nth).unwrap()), "version {version}");
    }
    for version in 4..=18 {
        let got = fetch(&rig, &mut client, version, "t", 4);
        assert_eq!((got.error_code, got.high_watermark), (0, 22));
        assert_eq!(got.log_start_offset, if version >= 5 { 0 } else { -1 });
        let records = got.records.unwrap();
        let sent = batch(&["a", "b"], Compression::Lz4);
        assert_eq!(records.len(), 9 * sent.len());
        assert_eq!(records[12..sent.len()], sent[12..], "verbatim");
        assert_eq!(records[..8], 4_i64.to_be_bytes(), "but for the offset");
    }
    for version in 1..=10 {
        // The last four are times: of the first record, the second, none, and what only newer versions ask for.
        let max = if version >= 7 { 1 } else { -1 };
        for (time, offset) in [(-1, 22), (-2, 0), (0, 0), (1_000_001, 1), (1_000_002, -1), (-3, max)] {
            let partition = ListOffsetsPartition::default().with_partition_index(0).with_timestamp(time);
            let topic = ListOffsetsTopic::default().with_name(name("t")).with_partitions(vec![partition]);
            let answer = client.ask(version, &ListOffsetsRequest::default().with_topics(vec![topic]));
            let one = &answer.topics[0].partitions[0];
            let error = if time == -3 && version < 7 { ResponseError::UnsupportedVersion.code() } else { 0 };
            assert_eq!((one.error_code, one.offset), (error, offset), "version {version}, time {time}");
        }
    }
    for version in 2..=4 {
        let partition = OffsetForLeaderPartition::default().with_partition(0).with_leader_epoch(0);
        let topic = OffsetForLeaderTopic::default().with_topic(name("t")).with_partitions(vec![partition]);
        let answer = client.ask(version, &OffsetForLeaderEpochRequest::default().with_topics(vec![topic]));
        assert_eq!(answer.topics[0].partitions[0].end_offset, 22);
    }
    assert_eq!((rig.counter("kafka", "records"), rig.counter("kafka", "errors")), (22, 0));
}

#[test]
fn what_a_producer_does_wrong_is_told_by_partition() {
    let rig = Rig::new(&config());
    make(&rig, "t", 2);
    make(&rig, "_own", 1);
    let mut client = Client::connect(rig.address("kafka"));
    let good = batch(&["a"], Compression::None);
    let mut corrupt = good.to_vec();
    *corrupt.last_mut().unwrap() ^= 1;
    let code = |error: ResponseError| error.code();
    for (topic, partition, records, error) in [
        ("nowhere", 0, good.clone(), code(ResponseError::UnknownTopicOrPartition)),
        ("t", 2, good.clone(), code(ResponseError::UnknownTopicOrPartition)),
        ("t", -1, good.clone(), code(ResponseError::UnknownTopicOrPartition)),
        ("_own", 0, good.clone(), code(ResponseError::InvalidTopicException)),
        ("t", 0, corrupt.into(), code(ResponseError::CorruptMessage)),
        ("t", 0, Bytes::from_static(b"what is this?"), code(ResponseError::CorruptMessage)),
        ("t", 0, vec![0; 16 << 20 | 1].into(), code(ResponseError::MessageTooLarge)),
        ("t", 1, good, 0),
    ] {
        let answer = produce(&rig, &mut client, topic, partition, records);
        assert_eq!(answer.error_code, error, "{topic} {partition}: {:?}", answer.error_message);
    }
    let request = produce_request(&rig, 9, "t", 0, 2, batch(&["a"], Compression::None));
    assert_eq!(
        client.ask(9, &request).responses[0].partition_responses[0].error_code,
        ResponseError::InvalidRequiredAcks.code()
    );
    assert_eq!(rig.records("t").len(), 1);
}

/// A batch as an idempotent producer sends it.
fn numbered(payloads: &[&str], id: i64, epoch: i16, sequence: i32) -> Bytes {
    let mut batch = batch(payloads, Compression::None).to_vec();
    batch[43..51].copy_from_slice(&id.to_be_bytes());
    batch[51..53].copy_from_slice(&epoch.to_be_bytes());
    batch[53..57].copy_from_slice(&sequence.to_be_bytes());
    signed(batch)
}

fn signed(mut batch: Vec<u8>) -> Bytes {
    let crc = crc32c::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    batch.into()
}

#[test]
fn idempotent_producers_are_told_of_gaps_and_not_of_repetitions() {
    let rig = Rig::new(&config());
    make(&rig, "t", 1);
    let mut client = Client::connect(rig.address("kafka"));
    let mut ids = Vec::new();
    for version in 0..=5 {
        let answer = client.ask(version, &InitProducerIdRequest::default().with_transactional_id(None));
        assert_eq!((answer.error_code, answer.producer_epoch), (0, 0));
        ids.push(answer.producer_id.0);
        let named = InitProducerIdRequest::default().with_transactional_id(Some(StrBytes::from_static_str("mine").into()));
        assert_eq!(client.ask(version, &named).error_code, ResponseError::UnsupportedVersion.code());
    }
    let id = ids[0];
    ids.dedup();
    assert_eq!(ids.len(), 6, "nobody has another's");
    let code = |error: ResponseError| error.code();
    for (epoch, sequence, error, offset) in [
        (0, 0, 0, 0),
        (0, 2, 0, 2),
        (0, 0, 0, 0),
        (0, 6, code(ResponseError::OutOfOrderSequenceNumber), -1),
        (0, 4, 0, 4),
        (1, 0, 0, 6),
        (0, 6, code(ResponseError::InvalidProducerEpoch), -1),
    ] {
        let answer = produce(&rig, &mut client, "t", 0, numbered(&["a", "b"], id, epoch, sequence));
        assert_eq!((answer.error_code, answer.base_offset), (error, offset), "{epoch} {sequence}: {:?}", answer.error_message);
    }
    assert_eq!(rig.records("t").len(), 8);
}

#[test]
fn a_record_that_cannot_be_read_is_named() {
    let rig = Rig::new(&config());
    make(&rig, "t", 1);
    let mut client = Client::connect(rig.address("kafka"));
    let mut bad = batch(&["a", "b"], Compression::None).to_vec();
    // Behind the first record: length, attributes, time, and then what should be a one.
    let at = 61 + 1 + usize::from(bad[61] >> 1) + 3;
    assert_eq!(bad[at], 2);
    bad[at] = 6;
    let answer = produce(&rig, &mut client, "t", 0, signed(bad));
    assert_eq!((answer.error_code, answer.record_errors.len()), (ResponseError::InvalidRecord.code(), 1));
    assert_eq!(answer.record_errors[0].batch_index, 1);
    // What a compressed batch holds is looked at as well.
    let mut packed = batch(&["a", "b"], Compression::Lz4).to_vec();
    packed.truncate(70);
    let length = u32::try_from(packed.len() - 12).unwrap().to_be_bytes();
    packed[8..12].copy_from_slice(&length);
    let answer = produce(&rig, &mut client, "t", 0, signed(packed));
    assert_eq!(answer.error_code, ResponseError::CorruptMessage.code(), "{:?}", answer.error_message);
    let small = TopicSettings { max_record_bytes: Some(sawbox::base::units::Bytes(1024)), ..TopicSettings::default() };
    rig.queue.create_topic("small", TopicSettings { partitions: 1, ..small }).unwrap();
    let answer = produce(&rig, &mut client, "small", 0, batch(&["x".repeat(2000).as_str()], Compression::None));
    assert_eq!(answer.error_code, ResponseError::MessageTooLarge.code());
    assert!(rig.records("t").is_empty() && rig.records("small").is_empty());
}

#[test]
fn requests_that_are_not_waited_for_are_answered_in_order() {
    let rig = Rig::new(&config());
    make(&rig, "t", 1);
    let mut client = Client::connect(rig.address("kafka"));
    let sent: Vec<i32> = (0..200)
        .map(|n| {
            let text = n.to_string();
            client.write(7, &produce_request(&rig, 7, "t", 0, 1, batch(&[&text], Compression::None)))
        })
        .collect();
    for (nth, sent) in sent.into_iter().enumerate() {
        let (answered, response) = client.read::<ProduceRequest>(7);
        assert_eq!(answered, sent);
        assert_eq!(response.responses[0].partition_responses[0].base_offset, i64::try_from(nth).unwrap());
    }
    let payloads: Vec<String> = rig.records("t").into_iter().map(|got| got.payload).collect();
    assert_eq!(payloads, (0..200).map(|n| n.to_string()).collect::<Vec<_>>());

    // Without an answer: the next one is that of the next request.
    client.write(7, &produce_request(&rig, 7, "t", 0, 0, batch(&["silent"], Compression::None)));
    let asked = client.write(1, &MetadataRequest::default().with_topics(None));
    assert_eq!(client.read::<MetadataRequest>(1).0, asked);
    assert_eq!(rig.records("t").len(), 201);
    client.write(7, &produce_request(&rig, 7, "nowhere", 0, 0, batch(&["silent"], Compression::None)));
    assert!(client.read_frame().is_err(), "an error without an answer ends the connection");
    let malformed = || rig.ingest.kafka_counters().iter().map(|listener| listener.malformed).sum::<u64>();
    assert_eq!(malformed(), 0, "its bytes were in order");
    // A list of topics that is longer than its request.
    let metadata = b"\0\0\0\x0e\0\x03\0\x01\0\0\0\x07\xff\xff\x7f\xff\xff\xff";
    assert!(Client::connect(rig.address("kafka")).is_cut_by(metadata));
    assert_eq!(malformed(), 1);
}

#[test]
fn a_fetch_waits_until_there_is_something_durable() {
    let rig = Rig::new(&config());
    make(&rig, "t", 1);
    let (mut consumer, mut producer) = (Client::connect(rig.address("kafka")), Client::connect(rig.address("kafka")));
    // Longer than the client waits for its socket: it must be woken.
    let asked = consumer.write(12, &fetch_request(&rig, 12, "t", 0, 120_000));
    assert_eq!(produce(&rig, &mut producer, "t", 0, batch(&["news"], Compression::None)).error_code, 0);
    let (answered, response) = consumer.read::<FetchRequest>(12);
    assert_eq!(asked, answered);
    assert_eq!(response.responses[0].partitions[0].high_watermark, 1);
    assert!(!response.responses[0].partitions[0].records.as_ref().unwrap().is_empty());
    // More bytes than came: it waits for as long as it said.
    let mut request = fetch_request(&rig, 12, "t", 1, 50);
    request.min_bytes = 1 << 20;
    produce(&rig, &mut producer, "t", 0, batch(&["more"], Compression::None));
    let response = consumer.ask(12, &request);
    assert!(!response.responses[0].partitions[0].records.as_ref().unwrap().is_empty(), "what there is is given then");
    // One that waits does not keep the box from stopping.
    let fetches = || {
        let requests = rig.ingest.kafka_counters().into_iter().flat_map(|listener| listener.requests);
        requests.filter(|(api, _)| api == "Fetch").map(|(_, count)| count).sum::<u64>()
    };
    let before = fetches();
    consumer.write(12, &fetch_request(&rig, 12, "t", 2, 120_000));
    while fetches() == before {
        std::thread::yield_now();
    }
    rig.runtime.block_on(rig.ingest.shutdown());
    assert_eq!(consumer.read::<FetchRequest>(12).1.responses[0].partitions[0].error_code, 0);
}

#[test]
fn a_fetch_keeps_to_its_limits_but_for_the_first_batch() {
    let rig = Rig::new(&config());
    make(&rig, "t", 1);
    let mut client = Client::connect(rig.address("kafka"));
    let text = "x".repeat(10_000);
    for _ in 0..10 {
        produce(&rig, &mut client, "t", 0, batch(&[&text], Compression::None));
    }
    let one = batch(&[&text], Compression::None).len();
    let mut take = |max: usize, most: usize| {
        let mut request = fetch_request(&rig, 11, "t", 0, 0);
        request.max_bytes = i32::try_from(max).unwrap();
        request.topics[0].partitions[0].partition_max_bytes = i32::try_from(most).unwrap();
        client.ask(11, &request).responses[0].partitions[0].records.as_ref().unwrap().len() / one
    };
    assert_eq!((take(1, 1 << 20), take(1 << 20, 1), take(0, 0)), (1, 1, 1));
    // A little less is allowed: the log is read with what lies between its batches.
    for three in [take(3 * one, 1 << 20), take(1 << 20, 3 * one), take(1 << 20, 4 * one - 1)] {
        assert!((2..=3).contains(&three), "{three}");
    }
    assert_eq!(take(1 << 20, 1 << 20), 10);

    let code = |offset: i64, client: &mut Client| fetch(&rig, client, 12, "t", offset).error_code;
    assert_eq!(code(11, &mut client), ResponseError::OffsetOutOfRange.code());
    assert_eq!(code(-1, &mut client), ResponseError::OffsetOutOfRange.code());
    assert_eq!(code(10, &mut client), 0);
    let mut session = fetch_request(&rig, 12, "t", 0, 0);
    (session.session_id, session.session_epoch) = (9, 3);
    assert_eq!(client.ask(12, &session).error_code, ResponseError::FetchSessionIdNotFound.code());
}

#[test]
fn what_is_not_served_is_answered() {
    let rig = Rig::new(&config());
    let mut client = Client::connect(rig.address("kafka"));
    // ApiVersions of a version to come: answered in version 0, with what there is.
    client.stream.write_all(b"\0\0\0\x0d\0\x12\0\x63\0\0\0\x07\0\x02me\0").unwrap();
    let mut frame = client.read_frame().unwrap();
    assert_eq!(ResponseHeader::decode(&mut frame, 0).unwrap().correlation_id, 7);
    let answer = ApiVersionsResponse::decode(&mut frame, 0).unwrap();
    assert_eq!(answer.error_code, ResponseError::UnsupportedVersion.code());
    assert!(answer.api_keys.len() > 5);
    // An API that nobody knows, and a version of one that is known.
    for key in [b"\x03\xe7\0\0", b"\0\x03\0\x63", b"\0\0\0\x02", b"\0\x47\0\0"] {
        client.stream.write_all(&[&b"\0\0\0\x0b"[..], key, b"\0\0\0\x08\0\x01m"].concat()).unwrap();
        assert_eq!(client.read_frame().unwrap().as_ref(), b"\0\0\0\x08\0\x23", "{key:?}");
    }
    assert!(!versions(&mut client).is_empty(), "and the connection lives");
}

#[test]
fn hostile_bytes_cost_their_own_connection() {
    let rig =
        Rig::new(&Config { kafka: vec![Kafka { max_request: sawbox::base::units::Bytes(2 << 20), ..kafka() }], ..config() });
    let mut bystander = Client::connect(rig.address("kafka"));
    assert!(!versions(&mut bystander).is_empty());
    let frame = |body: &[u8]| [&u32::try_from(body.len()).unwrap().to_be_bytes()[..], body].concat();
    let all: Vec<Vec<u8>> = vec![
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        b"\xff\xff\xff\xff".to_vec(),
        b"\x7f\xff\xff\xff".to_vec(),
        b"\0\x20\0\x01".to_vec(),
        frame(b""),
        frame(b"\0\x03"),
        frame(b"\0\x03\0\x01\0\0\0\x01\0\x09me"),
        // Metadata with two thousand million topics, plain and compact.
        frame(b"\0\x03\0\x01\0\0\0\x01\xff\xff\x7f\xff\xff\xff\0\0"),
        frame(b"\0\x03\0\x0c\0\0\0\x01\xff\xff\0\xff\xff\xff\xff\x0f\0"),
        // Header tags without end.
        frame(b"\0\x03\0\x0c\0\0\0\x01\xff\xff\xff\xff\xff\xff\x0f"),
        // Produce with a batch longer than the request.
        frame(b"\0\0\0\x07\0\0\0\x01\xff\xff\xff\xff\xff\xff\0\0\0\0\0\0\0\x01\0\x01t\0\0\0\x01\0\0\0\0\x7f\xff\xff\xff"),
        // Half a request, and then nothing.
        b"\0\0\x10\0\0\x03".to_vec(),
    ];
    for bytes in &all {
        assert!(Client::connect(rig.address("kafka")).is_cut_by(bytes), "{bytes:?}");
    }
    rig.wait_for_counter("kafka", "errors", all.len() as u64);
    assert!(!versions(&mut bystander).is_empty(), "nobody else noticed");
    assert_eq!(rig.queue.topics().len(), 0);
}

#[test]
fn topics_are_made_on_first_use_only_where_that_is_wanted() {
    let rig = Rig::on(SimDisk::new(3), &Config { kafka: vec![Kafka { auto_create: false, ..kafka() }], ..config() });
    let mut client = Client::connect(rig.address("kafka"));
    let code = |client: &mut Client, topic: &str| metadata(client, 12, topic).topics[0].error_code;
    assert_eq!(code(&mut client, "t"), ResponseError::UnknownTopicOrPartition.code());
    assert_eq!(code(&mut client, "no/topic"), ResponseError::InvalidTopicException.code());
    let other = Rig::new(&config());
    let mut client = Client::connect(other.address("kafka"));
    assert_eq!(code(&mut client, "_own"), ResponseError::UnknownTopicOrPartition.code());
    assert_eq!(code(&mut client, "t"), 0);
    let topic = MetadataRequestTopic::default().with_name(Some(name("u")));
    let request = MetadataRequest::default().with_topics(Some(vec![topic])).with_allow_auto_topic_creation(false);
    assert_eq!(client.ask(12, &request).topics[0].error_code, ResponseError::UnknownTopicOrPartition.code());
    assert!(rig.queue.topics().is_empty() && other.queue.topics().len() == 1);
}

fn kafka() -> Kafka {
    Kafka { listen: any_port(), ..Kafka::default() }
}
