//! Fetch: durable batches as slices of the log, waiting for news if there is none.
//!
//! Invariants: only what is durable is given. The first batch of an answer is given however large it is, or a consumer would never
//! get past it; beyond it the limits of request and partition hold, and a share of the answers' memory (`waiters.rs`).
//! Batches are not copied, but for small ones, of which a slice each would cost more. Who waits is woken by the group commit.
//! Records far behind the end may have to come from the disk: they are read, and their pages touched, on a thread that may wait.
//! There are no fetch sessions: every answer says so (session 0), and clients then name all partitions each time.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{FetchRequest, TopicName};
use tokio::time::Instant;
use uuid::Uuid;

use super::super::frame::Reply;
use super::super::waiters::Share;
use super::super::{Caller, LEADER_EPOCH};
use super::code;
use crate::access::{Operation, Resource};
use crate::base::ids::{Offset, TopicId};
use crate::queue::{Partition, QueueError, StoredBatch, Topic};

/// Longest wait, whatever the client says.
const WAIT: Duration = Duration::from_secs(300);
/// Batches below this are copied into the answer.
const COPY: usize = 2 * 1024;
/// So many records behind the end, a read may have to wait for the disk.
const COLD: u64 = 100_000;
const PAGE: usize = 4096;
/// The first version whose clients can read zstd.
const ZSTD_FROM: i16 = 10;

/// One partition that is asked for.
struct Want {
    index: i32,
    partition: Option<Arc<Partition>>,
    error: i16,
    /// Where the next read begins.
    next: Offset,
    most: usize,
    bytes: usize,
    batches: Vec<StoredBatch>,
}

struct Wants {
    name: TopicName,
    id: Uuid,
    partitions: Vec<Want>,
}

/// Fetch.
pub(in super::super) async fn fetch(caller: &Caller, version: i16, request: FetchRequest) -> Result<Reply, String> {
    // A session that we never gave, or the next step of one.
    if request.session_epoch > 0 || (request.session_id != 0 && request.session_epoch != 0 && request.session_epoch != -1) {
        return Ok(encode(version, &request, ResponseError::FetchSessionIdNotFound.code(), &mut [], 0, 0).0);
    }
    let mut topics: Vec<Wants> = Vec::with_capacity(request.topics.len());
    for topic in &request.topics {
        let found = if version >= 13 {
            caller.server.queue.topic_by_id(TopicId(topic.topic_id)).ok_or(ResponseError::UnknownTopicId)
        } else {
            caller.server.queue.topic(&topic.topic).ok_or(ResponseError::UnknownTopicOrPartition)
        };
        let name = found.as_ref().map_or(topic.topic.as_str(), |topic| topic.name());
        let found = if version >= 13 && found.is_err() || caller.allows(Operation::Read, Resource::Topic(name)) {
            found
        } else {
            Err(ResponseError::TopicAuthorizationFailed)
        };
        let partitions = topic.partitions.iter().map(|asked| {
            let (most, next) = (usize::try_from(asked.partition_max_bytes).unwrap_or(0), asked.fetch_offset);
            let mut want =
                Want { index: asked.partition, partition: None, error: 0, next: 0, most, bytes: 0, batches: Vec::new() };
            match look(found.as_ref().map_err(|error| *error), asked.partition, asked.current_leader_epoch, next) {
                Ok((partition, next)) => (want.partition, want.next) = (Some(partition), next),
                Err((partition, error)) => (want.partition, want.error) = (partition, error.code()),
            }
            want
        });
        topics.push(Wants { name: topic.topic.clone(), id: topic.topic_id, partitions: partitions.collect() });
    }
    let wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0)).min(WAIT);
    let bytes = |bytes: i32| usize::try_from(bytes).unwrap_or(0);
    let share = gather(caller, &mut topics, bytes(request.max_bytes), bytes(request.min_bytes), wait).await;
    let given = topics.iter().flat_map(|topic| &topic.partitions).filter(|want| want.error == 0).map(|want| want.bytes as u64);
    let throttle = caller.server.queue.traffic().consumed(&caller.who(), given.sum(), caller.server.clock.monotonic());
    let throttle_ms = i32::try_from(throttle.as_millis()).unwrap_or(i32::MAX);
    let (mut reply, records, bytes) = encode(version, &request, 0, &mut topics, request.isolation_level, throttle_ms);
    reply.mute_ms = throttle_ms;
    caller.port.kafka.fetched_records.fetch_add(records, Ordering::Relaxed);
    caller.port.kafka.fetched_bytes.fetch_add(bytes, Ordering::Relaxed);
    reply.share = share;
    Ok(reply)
}

/// The partition that cannot be read, if there is one, and why not.
type Unread = (Option<Arc<Partition>>, ResponseError);

fn look(
    topic: Result<&Arc<Topic>, ResponseError>,
    index: i32,
    epoch: i32,
    offset: i64,
) -> Result<(Arc<Partition>, Offset), Unread> {
    let topic = topic.map_err(|error| (None, error))?;
    let number = u32::try_from(index).map_err(|_| (None, ResponseError::UnknownTopicOrPartition))?;
    let partition = topic.partition(number).ok_or((None, ResponseError::UnknownTopicOrPartition))?;
    if epoch > LEADER_EPOCH {
        return Err((Some(partition), ResponseError::UnknownLeaderEpoch));
    }
    let inside = partition.log_start()..=partition.high_watermark();
    match Offset::try_from(offset) {
        Ok(offset) if inside.contains(&offset) => Ok((partition, offset)),
        _ => Err((Some(partition), ResponseError::OffsetOutOfRange)),
    }
}

/// Reads until there is enough, or an error to tell, or no time left. What is read has a share of the answers' memory; who only
/// waits has none.
async fn gather(caller: &Caller, topics: &mut [Wants], most: usize, least: usize, wait: Duration) -> Option<Share> {
    let answers = &caller.server.answers;
    let mut failed = topics.iter().flat_map(|topic| &topic.partitions).any(|want| want.error != 0);
    let (mut taken, mut held, mut waiting) = (0, None, None);
    let until = Instant::now() + wait;
    loop {
        let (share, room) = held.take().unwrap_or_else(|| answers.share());
        let limit = most.min(room);
        failed |= read_all(topics, limit, &mut taken).await;
        if failed || taken >= least.min(limit) || wait.is_zero() {
            return Some(share);
        }
        held = (taken > 0).then_some((share, room));
        let Some(waiting) = &waiting else {
            let open = topics.iter().flat_map(|topic| &topic.partitions).filter_map(|want| want.partition.as_ref());
            waiting = Some(caller.server.waiters.register(open.map(|partition| (partition.topic_id(), partition.id()))));
            // Once more after registering: what came in between woke nobody.
            continue;
        };
        tokio::select! {
            () = waiting.moved() => {}
            () = tokio::time::sleep_until(until) => break,
            () = caller.ended() => break,
        }
    }
    held.map(|(share, _)| share)
}

/// Reads on where the last read ended; tells whether one failed.
async fn read_all(topics: &mut [Wants], limit: usize, taken: &mut usize) -> bool {
    let mut failed = false;
    for want in topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
        let Some(partition) = want.partition.as_ref().filter(|_| want.error == 0) else { continue };
        if partition.is_gone() {
            // Deleted while it was waited for: there will be no more.
            want.error = code(&QueueError::Gone);
            failed = true;
            continue;
        }
        let room = limit.saturating_sub(*taken).min(want.most.saturating_sub(want.bytes));
        let first = *taken == 0;
        if partition.high_watermark() <= want.next || (room == 0 && !first) {
            continue;
        }
        match read(partition, want.next, room).await {
            Ok(batches) => {
                for batch in batches {
                    let length = batch.bytes.len();
                    let over = want.bytes + length > want.most.min(limit) || *taken + length > limit;
                    if over && *taken > 0 {
                        break;
                    }
                    want.next = batch.next_offset;
                    want.bytes += length;
                    *taken += length;
                    want.batches.push(batch);
                }
            }
            Err(error) => {
                want.error = code(&error);
                failed = true;
            }
        }
    }
    failed
}

async fn read(partition: &Arc<Partition>, from: Offset, most: usize) -> Result<Vec<StoredBatch>, QueueError> {
    if partition.high_watermark().saturating_sub(from) < COLD {
        return partition.read(from, most);
    }
    let partition = partition.clone();
    let read = move || {
        let batches = partition.read(from, most)?;
        for batch in &batches {
            for byte in batch.bytes.iter().step_by(PAGE) {
                black_box(*byte);
            }
        }
        Ok(batches)
    };
    tokio::task::spawn_blocking(read).await.unwrap_or(Err(QueueError::Closed))
}

/// The answer, and how many records and bytes of them are in it.
fn encode(
    version: i16,
    request: &FetchRequest,
    error: i16,
    topics: &mut [Wants],
    isolation: i8,
    throttle_ms: i32,
) -> (Reply, u64, u64) {
    let flexible = version >= 12;
    let mut out = Parts { head: BytesMut::with_capacity(256), parts: Vec::new(), flexible };
    let (mut records, mut bytes) = (0, 0);
    out.head.put_i32(throttle_ms);
    if version >= 7 {
        out.head.put_i16(error);
        out.head.put_i32(if error == 0 { 0 } else { request.session_id });
    }
    out.count(topics.len());
    for topic in topics {
        if version >= 13 {
            out.head.put_slice(topic.id.as_bytes());
        } else {
            out.text(&topic.name);
        }
        out.count(topic.partitions.len());
        for want in &mut topic.partitions {
            if version < ZSTD_FROM && want.batches.iter().any(|batch| batch.bytes.get(22).is_some_and(|kind| kind & 7 == 4)) {
                want.error = ResponseError::UnsupportedCompressionType.code();
            }
            if want.error != 0 {
                want.batches.clear();
                want.bytes = 0;
            }
            out.head.put_i32(want.index);
            out.head.put_i16(want.error);
            let (start, end) = want.partition.as_ref().map_or((-1, -1), |partition| {
                let wide = |offset: Offset| i64::try_from(offset).unwrap_or(i64::MAX);
                (wide(partition.log_start()), wide(partition.high_watermark()))
            });
            out.head.put_i64(end);
            out.head.put_i64(end);
            if version >= 5 {
                out.head.put_i64(start);
            }
            // Aborted transactions: none, or not asked for.
            match (flexible, isolation) {
                (true, 0) => out.head.put_u8(0),
                (true, _) => out.head.put_u8(1),
                (false, 0) => out.head.put_i32(-1),
                (false, _) => out.head.put_i32(0),
            }
            if version >= 11 {
                out.head.put_i32(-1);
            }
            out.count(want.bytes);
            for batch in want.batches.drain(..) {
                records += batch.next_offset.saturating_sub(batch.base_offset);
                bytes += batch.bytes.len() as u64;
                out.slice(batch.bytes);
            }
            out.no_tags();
        }
        out.no_tags();
    }
    out.no_tags();
    (Reply { parts: out.done(), ..Reply::default() }, records, bytes)
}

/// An answer as it is written: small things copied, large ones as they lie.
struct Parts {
    head: BytesMut,
    parts: Vec<Bytes>,
    flexible: bool,
}

impl Parts {
    /// A length or a count: an i32, or a varint of one more.
    fn count(&mut self, count: usize) {
        if !self.flexible {
            // What is counted fits into an answer, which is below 2 GiB.
            self.head.put_i32(i32::try_from(count).unwrap_or(i32::MAX));
            return;
        }
        let mut rest = count + 1;
        while rest >= 0x80 {
            self.head.put_u8(u8::try_from(rest & 0x7f).unwrap_or(0) | 0x80);
            rest >>= 7;
        }
        self.head.put_u8(u8::try_from(rest).unwrap_or(0));
    }

    fn text(&mut self, text: &str) {
        if self.flexible {
            self.count(text.len());
        } else {
            // It came with such a length.
            self.head.put_i16(i16::try_from(text.len()).unwrap_or(i16::MAX));
        }
        self.head.put_slice(text.as_bytes());
    }

    fn slice(&mut self, bytes: Bytes) {
        if bytes.len() < COPY {
            return self.head.put_slice(&bytes);
        }
        if !self.head.is_empty() {
            self.parts.push(self.head.split().freeze());
        }
        self.parts.push(bytes);
    }

    fn no_tags(&mut self) {
        if self.flexible {
            self.head.put_u8(0);
        }
    }

    fn done(mut self) -> Vec<Bytes> {
        if !self.head.is_empty() {
            self.parts.push(self.head.freeze());
        }
        self.parts
    }
}
