//! Hostile bytes: batches and segments that were made to hurt never panic, never cost more memory than a batch may, and
//! harm nobody beside themselves.

use bytes::Bytes;
use proptest::prelude::{Just, Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::{START_NS, batch, clock, config, one, open, read_all, text};
use crate::base::disk::Disk;
use crate::base::disk::sim::SimDisk;
use crate::queue::batch::{BatchBuilder, Compression, HEADER_BYTES, Scratch, check, decode};
use crate::queue::{QueueError, StoredBatch};

fn stored(bytes: impl Into<Bytes>) -> StoredBatch {
    StoredBatch { base_offset: 0, next_offset: 1, append_ns: START_NS, bytes: bytes.into() }
}

fn mutations() -> impl Strategy<Value = Vec<(usize, u8)>> {
    let byte = prop_oneof![any::<u8>(), Just(0), Just(0x7f), Just(0x80), Just(0xff)];
    prop::collection::vec((any::<usize>(), byte), 1..6)
}

proptest! {
    #[test]
    fn any_bytes_decode_or_are_refused(mut bytes in prop::collection::vec(any::<u8>(), 0..400), magic: bool) {
        if magic && bytes.len() > 16 {
            bytes[16] = 2;
            let length = i32::try_from(bytes.len() - 12).unwrap();
            bytes[8..12].copy_from_slice(&length.to_be_bytes());
        }
        let _any = check(&bytes);
        let _any = decode(&stored(bytes), &mut Scratch::new());
    }

    #[test]
    fn a_mutated_batch_decodes_or_is_refused(changes in mutations(), kind in 0..4_u8, cut in any::<usize>(), cuts: bool) {
        let payloads: Vec<Vec<u8>> = (0..20_u8).map(|nth| vec![nth; 40]).collect();
        let whole = batch(&payloads, if kind == 0 { Compression::None } else { Compression::Lz4 });
        let mut bytes = whole.to_vec();
        if kind > 1 {
            // What claims to be gzip or zstd.
            bytes[22] = if kind == 2 { 1 } else { 4 };
        }
        for (at, byte) in changes {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        if cuts {
            bytes.truncate(cut % bytes.len());
        }
        if check(&bytes).is_ok() {
            // Base offset and leader epoch lie outside the checksum; nothing else may differ.
            prop_assert_eq!((&bytes[8..12], &bytes[16..]), (&whole[8..12], &whole[16..]));
        }
        if let Ok(records) = decode(&stored(bytes), &mut Scratch::new()) {
            let all: usize = records.records.iter().map(|record| record.payload.len()).sum();
            prop_assert!(all <= crate::base::limits::BATCH_BYTES);
        }
    }

    #[test]
    fn any_segment_opens(bytes in prop::collection::vec(any::<u8>(), 0..3000), changes in mutations(), whole: bool) {
        let disk = SimDisk::new(1);
        let clock = clock();
        let (queue, _) = open(&disk, &clock, config());
        let topic = queue.ensure_topic("web").unwrap();
        let partition = topic.partition(0).unwrap();
        for nth in 0..5 {
            partition.append(one(&format!("record {nth}"))).wait().unwrap();
        }
        let path = super::super::files::log_path(&super::super::catalog::partition_dir(topic.id(), 0), 0);
        drop((queue, topic, partition));
        let file = disk.open(&path, false).unwrap();
        if whole {
            file.set_len(0).unwrap();
            file.write_at(&bytes, 0).unwrap();
        } else {
            for (at, byte) in changes {
                file.write_at(&[byte], (at % 1000) as u64).unwrap();
            }
        }
        let (queue, _) = open(&disk, &clock, config());
        let partition = queue.topic("web").unwrap().partition(0).unwrap();
        let there = text(&read_all(&partition, 1000));
        prop_assert!(there.len() <= 5);
        for (offset, payload) in &there {
            prop_assert_eq!(payload, &format!("record {offset}"));
        }
        let next = partition.append(one("new")).wait().unwrap().base_offset;
        prop_assert!(there.last().is_none_or(|(offset, _)| *offset < next));
        let there = text(&read_all(&partition, 1));
        prop_assert_eq!(there.last().unwrap(), &(next, "new".to_owned()));
    }
}

#[test]
fn what_may_not_be_appended_is_refused_with_a_reason() {
    let good = one("x").to_vec();
    let with_crc = |mut bytes: Vec<u8>| {
        let crc = crc32c::crc32c(&bytes[21..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        bytes
    };
    let changed = |at: usize, value: &[u8]| {
        let mut bytes = good.clone();
        bytes[at..at + value.len()].copy_from_slice(value);
        with_crc(bytes)
    };
    assert!(check(&good).is_ok());
    for (bytes, why) in [
        (changed(21, &[0, 7]), "unknown compression"),
        (changed(21, &[0, 16]), "transactional"),
        (changed(21, &[0, 32]), "control"),
        (changed(57, &[0, 0, 0, 2]), "agree"),
        (changed(23, &[0, 0, 0, 1]), "agree"),
        (changed(16, &[1]), "magic 2"),
        (changed(8, &[0x7f, 0xff, 0xff, 0xff]), "bounds"),
        (good[..good.len() - 1].to_vec(), "exactly one"),
        (good[..HEADER_BYTES - 1].to_vec(), "shorter"),
        ([good.as_slice(), good.as_slice()].concat(), "exactly one"),
    ] {
        let error = check(&bytes).unwrap_err().to_string();
        assert!(error.contains(why), "{error}, not {why}");
    }
    let mut flipped = good.clone();
    flipped[70] ^= 1;
    assert!(check(&flipped).unwrap_err().to_string().contains("checksum"));
}

#[test]
fn a_bomb_stops_at_the_limit_of_a_batch() {
    let plain = vec![0; 64 << 20];
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, &plain).unwrap();
    let zstd = zstd::stream::encode_all(plain.as_slice(), 1).unwrap();
    for (attributes, body) in [(1, gzip.finish().unwrap()), (4, zstd)] {
        let mut bytes = one("x").slice(..HEADER_BYTES).to_vec();
        bytes.extend_from_slice(&body);
        let length = i32::try_from(bytes.len() - 12).unwrap();
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        bytes[22] = attributes;
        let error = decode(&stored(bytes), &mut Scratch::new()).unwrap_err();
        assert!(matches!(error, QueueError::Malformed(_)), "{error}");
    }
}

#[test]
fn records_over_their_limits_are_refused_by_the_builder() {
    use crate::base::limits::{HEADERS, RECORD_BYTES};
    let mut builder = BatchBuilder::new();
    assert!(matches!(builder.push(0, None, &vec![0; RECORD_BYTES + 1], &[]), Err(QueueError::Refused(_))));
    let many: Vec<(&[u8], &[u8])> = vec![(b"a", b"b"); HEADERS + 1];
    assert!(matches!(builder.push(0, None, b"", &many), Err(QueueError::Refused(_))));
    assert!(builder.is_empty());
    let mut pushed = 0;
    let full = loop {
        match builder.push(0, None, &vec![7; RECORD_BYTES], &[]) {
            Ok(()) => pushed += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(full, QueueError::Full(_)) && pushed == 15, "{full} {pushed}");
    assert!(check(&builder.finish(Compression::None)).is_ok());
    assert!(builder.push(0, None, b"again", &[]).is_ok());
}
