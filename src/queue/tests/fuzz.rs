//! Fuzz targets: what nobody vouches for, made by chance from parts that are almost right, so that it comes past the checksums.
//!
//! `cargo test` runs each for a moment; `tests/README.md` says how to run one for an hour, or with libFuzzer.
//! * **batches**: any records in a batch of any compression, judged, decoded and made anew;
//! * **frames**: any bytes as a frame, and every frame that was written comes back;
//! * **segments**: a log whose files were cut, overwritten and shuffled opens, serves nothing that was not written, and goes on;
//! * **journals**: the same for what lies beside the segments.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bolero::TypeGenerator;
use bytes::Bytes;

use super::{START_NS, batch, clock, config, one, open, read_all, stamped, text};
use crate::base::disk::Disk;
use crate::base::disk::sim::SimDisk;
use crate::base::ids::TopicId;
use crate::base::limits::{BATCH_BYTES, HEADERS, RECORD_BYTES};
use crate::queue::batch::{BatchBuilder, Compression, HEADER_BYTES, Limits, Scratch, check, decode, validate};
use crate::queue::frame::{self, Plan, Seed, Source};
use crate::queue::{Queue, QueueError, StoredBatch};

/// A change to bytes.
#[derive(Clone, Debug, TypeGenerator)]
enum Edit {
    Set(u16, u8),
    Cut(u16),
    Zero(u16, u8),
    Copy(u16, u16, u8),
    Insert(u16, Vec<u8>),
}

/// Places are taken modulo the length, so that every edit hits.
fn edit(bytes: &mut Vec<u8>, edits: &[Edit]) {
    for edit in edits.iter().take(6) {
        let len = bytes.len();
        if len == 0 {
            return;
        }
        let place = |at: &u16| usize::from(*at) % len;
        match edit {
            Edit::Set(at, byte) => bytes[place(at)] = *byte,
            Edit::Cut(at) => bytes.truncate(place(at)),
            Edit::Zero(at, count) => {
                let end = (place(at) + usize::from(*count)).min(len);
                bytes[place(at)..end].fill(0);
            }
            Edit::Copy(from, to, count) => {
                let count = usize::from(*count).min(len - place(from)).min(len - place(to));
                bytes.copy_within(place(from)..place(from) + count, place(to));
            }
            Edit::Insert(at, some) => {
                let at = place(at);
                bytes.splice(at..at, some.iter().copied().take(300));
            }
        }
    }
}

fn packed(plain: &[u8], kind: u8) -> Vec<u8> {
    use std::io::Write;
    match kind {
        1 => {
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gzip.write_all(plain).unwrap();
            gzip.finish().unwrap()
        }
        2 => snap::raw::Encoder::new().compress_vec(plain).unwrap(),
        3 => {
            let mut lz4 = lz4_flex::frame::FrameEncoder::new(Vec::new());
            lz4.write_all(plain).unwrap();
            lz4.finish().unwrap()
        }
        4 => zstd::stream::encode_all(plain, 1).unwrap(),
        5 => {
            let block = snap::raw::Encoder::new().compress_vec(plain).unwrap();
            let length = u32::try_from(block.len()).unwrap().to_be_bytes();
            [b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01".as_slice(), &length, &block].concat()
        }
        _ => plain.to_vec(),
    }
}

#[derive(Clone, Debug, TypeGenerator)]
struct FuzzBatch {
    records: Vec<(Vec<u8>, Option<Vec<u8>>, u8)>,
    /// Before and after compression.
    inside: Vec<Edit>,
    outside: Vec<Edit>,
    compression: u8,
    count: Option<u8>,
    /// Instead of all records.
    body: Option<Vec<u8>>,
}

impl FuzzBatch {
    fn bytes(&self) -> Vec<u8> {
        let mut builder = BatchBuilder::new();
        for (payload, key, headers) in self.records.iter().take(12) {
            let headers = vec![(b"name".as_slice(), b"value".as_slice()); usize::from(*headers % 4)];
            builder.push(START_NS / 1_000_000, key.as_deref(), payload, &headers).unwrap();
        }
        let count = self.count.map_or(builder.records(), u32::from);
        let whole = builder.finish(Compression::None);
        let (head, records) = whole.split_at(HEADER_BYTES);
        let mut plain = self.body.clone().unwrap_or_else(|| records.to_vec());
        edit(&mut plain, &self.inside);
        let kind = self.compression % 6;
        let mut body = packed(&plain, kind);
        edit(&mut body, &self.outside);
        let mut bytes = [head, &body].concat();
        bytes[22] = if kind == 5 { 2 } else { kind };
        let length = i32::try_from(bytes.len() - 12).unwrap();
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        bytes[23..27].copy_from_slice(&count.wrapping_sub(1).to_be_bytes());
        bytes[57..61].copy_from_slice(&count.to_be_bytes());
        let crc = crc32c::crc32c(&bytes[21..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        bytes
    }
}

#[test]
fn fuzz_batches() {
    let mut seen = [0_u32; 2];
    let counted = std::sync::Mutex::new(&mut seen);
    bolero::check!().with_iterations(8_000).with_type::<FuzzBatch>().for_each(|fuzz| {
        let bytes = fuzz.bytes();
        let checked = check(&bytes);
        let judged = validate(&bytes, &mut Scratch::new(), &Limits::default());
        let stored = StoredBatch { base_offset: 7, next_offset: 8, append_ns: START_NS, bytes: bytes.clone().into() };
        let mut scratch = Scratch::new();
        let decoded = decode(&stored, &mut scratch);
        if checked.is_ok() {
            assert_eq!(judged.is_ok(), decoded.is_ok(), "{judged:?} {:?}", decoded.err());
        } else {
            assert!(judged.is_err());
        }
        counted.lock().unwrap()[usize::from(judged.is_ok())] += 1;
        let Ok(records) = decoded else { return };
        assert!(records.records.iter().map(|record| record.payload.len()).sum::<usize>() <= BATCH_BYTES);
        let mut builder = BatchBuilder::new();
        for record in &records.records {
            assert!(record.payload.len() <= RECORD_BYTES);
            let headers = records.headers_of(record);
            assert!(headers.len() <= HEADERS);
            if builder.push(record.timestamp_ms, record.key, record.payload, headers).is_err() {
                return;
            }
        }
        // A narrower limit refuses more, and says which record.
        let narrow = Limits { record_bytes: 3, headers: 1, ..Limits::default() };
        let fits = records.records.iter().all(|record| record.payload.len() <= 3 && records.headers_of(record).len() <= 1);
        match validate(&bytes, &mut Scratch::new(), &narrow) {
            Ok(_) => assert!(fits),
            Err(QueueError::BadRecord { index, .. }) => assert!(!fits && (index as usize) < records.records.len()),
            Err(error) => assert!(checked.is_err(), "{error}"),
        }
    });
    assert!(seen.iter().all(|count| *count > 100), "the target does not hit: {seen:?}");
}

#[test]
fn fuzz_frames() {
    let (topic, other) = (TopicId::new(), TopicId::new());
    bolero::check!().with_iterations(5_000).with_type::<(u64, i64, u32, Option<(u64, u64)>, Vec<Edit>, Vec<u8>)>().for_each(
        |(base, append_ns, group, source, edits, any)| {
            let seed = Seed::new(topic, 3);
            let _any = frame::parse(any, seed);
            let source = source.map(|(run, last)| (Source { topic: other, partition: 9, run }, last));
            let batch = one("a record");
            let mut whole = Vec::new();
            Plan { batch: &batch, base: *base, append_ns: *append_ns, group: *group, source, home: None }.write(&mut whole, seed);
            whole.extend_from_slice(&batch[frame::PATCHED..]);
            if base.checked_add(1).is_some() {
                let back = frame::parse(&whole, seed).unwrap();
                assert_eq!(
                    (back.base, back.next, back.append_ns, back.group),
                    (*base, base + 1, *append_ns, u64::from(*group))
                );
                assert_eq!((back.source, back.len()), (source, whole.len()));
                assert!(frame::body_holds(&back, &whole));
            }
            assert!(frame::parse(&whole, Seed::new(topic, 4)).is_err(), "another partition's");
            let mut wrong = whole.clone();
            edit(&mut wrong, edits);
            if let Ok(frame) = frame::parse(&wrong, seed)
                && frame::body_holds(&frame, &wrong)
            {
                assert_eq!(wrong[..frame.len()], whole[..], "two different frames with the same checksums");
            }
        },
    );
}

/// A queue with two segments or more, and what is in it by offset. A checkpoint may know of a part.
fn filled(shape: &Shape) -> (Arc<SimDisk>, TopicId, Vec<String>) {
    let disk = SimDisk::new(1);
    let (queue, _) = open(&disk, &clock(), config());
    let topic = queue.ensure_topic("web").unwrap();
    let partition = topic.partition(0).unwrap();
    let mut sent = Vec::new();
    for (nth, (size, records)) in (0_u32..).zip(shape.batches.iter().take(14)) {
        let payload = |n: u8| format!("{nth}.{n} {}", "x".repeat(usize::from(*size) % 9_000));
        let payloads: Vec<String> = (0..=records % 3).map(payload).collect();
        let bytes: Vec<Vec<u8>> = payloads.iter().map(|payload| payload.clone().into_bytes()).collect();
        let batch = batch(&bytes, Compression::None);
        let batch = if records % 2 == 0 { stamped(&batch, 5, 0, i32::try_from(sent.len()).unwrap()) } else { batch };
        // A producer that leaves numbers out is refused.
        if partition.append(batch).wait().is_ok() {
            sent.extend(payloads);
        }
        if nth == u32::from(shape.tend) {
            queue.tend();
        }
        if Some(nth) == shape.fails.map(u32::from) {
            disk.fail_sync_after(0);
        }
    }
    queue.groups().commit("group", topic.id(), 0, 3).unwrap();
    if shape.shutdown {
        queue.shutdown();
    }
    let id = topic.id();
    drop((topic, partition, queue));
    (disk, id, sent)
}

#[derive(Clone, Debug, TypeGenerator)]
struct Shape {
    batches: Vec<(u16, u8)>,
    tend: u8,
    fails: Option<u8>,
    shutdown: bool,
}

fn rewrite(disk: &Arc<SimDisk>, path: &Path, edits: &[Edit]) {
    let file = disk.open(path, false).unwrap();
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    file.read_at(&mut bytes, 0).unwrap();
    edit(&mut bytes, edits);
    file.set_len(0).unwrap();
    file.write_at(&bytes, 0).unwrap();
    file.sync_data().unwrap();
}

/// Whatever was done to its files: what is served was written, at its offset, in order; and the queue goes on.
fn still_sound(queue: &Queue, name: &str, sent: &[String]) {
    let partition = queue.ensure_topic(name).unwrap().partition(0).unwrap();
    for most in [1, 10_000] {
        let there = text(&read_all(&partition, most));
        assert!(there.is_sorted_by(|a, b| a.0 < b.0));
        for (offset, payload) in &there {
            assert_eq!(sent.get(usize::try_from(*offset).unwrap()), Some(payload), "offset {offset}");
        }
    }
    let _any = (partition.offset_for_timestamp(START_NS / 1_000_000).unwrap(), partition.max_timestamp());
    let place = partition.append(stamped(&one("new"), 6, 0, 0)).wait().unwrap();
    let there = text(&read_all(&partition, 1));
    assert_eq!(there.last().unwrap(), &(place.base_offset, "new".to_owned()));
    assert_eq!(partition.delete_records(place.base_offset).unwrap(), place.base_offset);
    queue.tend();
    assert_eq!(text(&read_all(&partition, 1)), [(place.base_offset, "new".to_owned())]);
}

#[test]
fn fuzz_segments() {
    bolero::check!().with_iterations(150).with_type::<(Shape, Vec<(u8, Vec<Edit>)>)>().for_each(|(shape, edits)| {
        let (disk, _, sent) = filled(shape);
        let segments: Vec<PathBuf> =
            disk.files().into_iter().map(|(path, _)| path).filter(|path| path.components().count() > 2).collect();
        for (which, edits) in edits.iter().take(3).filter(|_| !segments.is_empty()) {
            rewrite(&disk, &segments[usize::from(*which) % segments.len()], edits);
        }
        let (queue, _) = open(&disk, &clock(), config());
        still_sound(&queue, "web", &sent);
        drop(queue);
        // What was found once is found again.
        let (queue, report) = open(&disk.crash(), &clock(), config());
        assert_eq!(report.torn_bytes, 0);
        assert_eq!(read_all(&queue.topic("web").unwrap().partition(0).unwrap(), 1).len(), 1);
    });
}

#[test]
fn fuzz_journals() {
    bolero::check!().with_iterations(150).with_type::<(Shape, Vec<(u8, Vec<Edit>)>, Option<(u8, Vec<u8>)>)>().for_each(
        |(shape, edits, entry)| {
            let (disk, id, sent) = filled(shape);
            let names = ["TOPICS", "GROUPS", "CHECKPOINTS", "PRODUCERS"].map(|name| Path::new("queue").join(name));
            if let Some((which, entry)) = entry {
                // An entry that is whole, and says nothing.
                let path = &names[usize::from(*which) % 4];
                let (mut journal, ..) = crate::base::journal::Journal::open(disk.clone(), path).unwrap();
                journal.append(entry).unwrap();
            }
            for (which, edits) in edits.iter().take(3) {
                rewrite(&disk, &names[usize::from(*which) % 4], edits);
            }
            let (queue, report) = open(&disk, &clock(), config());
            // It may have lost its name, but not its records.
            let topic = queue.topic_by_id(id);
            assert!(topic.is_some() || sent.is_empty());
            let name = topic.map_or_else(|| "web".to_owned(), |topic| topic.name().to_string());
            assert!(name == "web" || report.adopted.contains(&name));
            if name == "web" || !sent.is_empty() {
                let partition = queue.ensure_topic(&name).unwrap().partition(0).unwrap();
                assert_eq!(read_all(&partition, 1000).len(), sent.len());
            }
            still_sound(&queue, &name, &sent);
            queue.groups().commit("group", id, 0, 9).unwrap();
            assert!(queue.new_producer_id().unwrap() >= 0);
        },
    );
}

#[test]
fn a_bytes_type_for_targets() {
    // Kept small: the targets above lean on it.
    let mut bytes = vec![1, 2, 3, 4];
    edit(&mut bytes, &[Edit::Copy(0, 2, 9), Edit::Insert(1, vec![7]), Edit::Zero(4, 200), Edit::Set(9, 5), Edit::Cut(5)]);
    assert_eq!(Bytes::from(bytes), Bytes::new());
}
