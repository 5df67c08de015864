//! Our batches against an independent implementation, in both directions.

use bytes::{Bytes, BytesMut};
use kafka_protocol::indexmap::IndexMap;
use kafka_protocol::records::{self, Record, RecordBatchDecoder, RecordBatchEncoder, RecordEncodeOptions, TimestampType};
use proptest::prelude::{Strategy, any, prop, prop_assert, prop_assert_eq, proptest};

use super::START_NS;
use crate::queue::StoredBatch;
use crate::queue::batch::{BatchBuilder, Compression, Scratch, check, decode};

#[derive(Clone, Debug, PartialEq)]
struct Simple {
    timestamp: i64,
    key: Option<Vec<u8>>,
    payload: Vec<u8>,
    headers: Vec<(String, Vec<u8>)>,
}

fn simple() -> impl Strategy<Value = Simple> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..300);
    let headers = prop::collection::btree_map("[a-z_.]{0,12}", bytes(), 0..5);
    (any::<i32>(), prop::option::of(bytes()), bytes(), headers).prop_map(|(time, key, payload, headers)| Simple {
        timestamp: START_NS / 1_000_000 + i64::from(time),
        key,
        payload,
        headers: headers.into_iter().collect(),
    })
}

fn build(records: &[Simple], compression: Compression) -> Bytes {
    let mut builder = BatchBuilder::new();
    for record in records {
        let headers: Vec<(&[u8], &[u8])> =
            record.headers.iter().map(|(name, value)| (name.as_bytes(), value.as_slice())).collect();
        builder.push(record.timestamp, record.key.as_deref(), &record.payload, &headers).unwrap();
    }
    assert_eq!(builder.records() as usize, records.len());
    builder.finish(compression)
}

fn ours(bytes: Bytes) -> Vec<Simple> {
    let header = check(&bytes).unwrap();
    let batch = StoredBatch { base_offset: 100, next_offset: 100 + u64::from(header.count), append_ns: START_NS, bytes };
    let mut scratch = Scratch::new();
    let decoded = decode(&batch, &mut scratch).unwrap();
    let simple = |(nth, record): (usize, &crate::base::record::RecordView<'_>)| {
        assert_eq!(record.offset, 100 + nth as u64);
        let header = |(name, value): &(&[u8], &[u8])| (String::from_utf8(name.to_vec()).unwrap(), value.to_vec());
        Simple {
            timestamp: record.timestamp_ms,
            key: record.key.map(<[u8]>::to_vec),
            payload: record.payload.to_vec(),
            headers: decoded.headers_of(record).iter().map(header).collect(),
        }
    };
    decoded.records.iter().enumerate().map(simple).collect()
}

proptest! {
    #[test]
    fn theirs_reads_ours(some in prop::collection::vec(simple(), 1..40), compressed: bool) {
        let compression = if compressed { Compression::Lz4 } else { Compression::None };
        let bytes = build(&some, compression);
        prop_assert_eq!(&ours(bytes.clone()), &some);
        let theirs = RecordBatchDecoder::decode(&mut bytes.clone()).unwrap();
        prop_assert_eq!(theirs.records.len(), some.len());
        for (nth, (record, expected)) in theirs.records.iter().zip(&some).enumerate() {
            prop_assert_eq!(record.offset, nth as i64);
            prop_assert_eq!(record.timestamp, expected.timestamp);
            prop_assert_eq!(record.key.as_deref(), expected.key.as_deref());
            prop_assert_eq!(record.value.as_deref(), Some(expected.payload.as_slice()));
            prop_assert_eq!(record.producer_id, -1);
            let headers: Vec<(String, Vec<u8>)> = record.headers.iter()
                .map(|(name, value)| (name.to_string(), value.clone().unwrap_or_default().to_vec())).collect();
            prop_assert_eq!(&headers, &expected.headers);
        }
    }

    #[test]
    fn ours_reads_theirs(some in prop::collection::vec(simple(), 1..40), kind in 0..4_usize) {
        let compression = [
            records::Compression::None, records::Compression::Gzip, records::Compression::Lz4, records::Compression::Zstd,
        ][kind];
        let theirs: Vec<Record> = some.iter().enumerate().map(|(nth, record)| Record {
            transactional: false,
            control: false,
            delete_horizon: false,
            partition_leader_epoch: 0,
            producer_id: -1,
            producer_epoch: -1,
            timestamp_type: TimestampType::Creation,
            offset: nth as i64,
            sequence: nth as i32,
            timestamp: record.timestamp,
            key: record.key.clone().map(Bytes::from),
            value: Some(record.payload.clone().into()),
            headers: record.headers.iter()
                .map(|(name, value)| (name.clone().into(), Some(value.clone().into()))).collect::<IndexMap<_, _>>(),
        }).collect();
        let mut out = BytesMut::new();
        RecordBatchEncoder::encode(&mut out, &theirs, &RecordEncodeOptions { version: 2, compression }).unwrap();
        prop_assert!(check(&out).is_ok());
        prop_assert_eq!(ours(out.freeze()), some);
    }
}
