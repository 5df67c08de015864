//! Our frame before each record batch in a segment: what the batch itself cannot say.
//!
//! A batch knows only its producer's clock, and its base offset lies outside its crc. So each is preceded by, little-endian:
//! ```text
//!  0 magic "SWQ" | 3 flags u8 | 4 batch length u32 | 8 base offset u64 | 16 append time, ns since 1970, i64
//! 24 group u32: position in the file where the group commit began that wrote this | 28 crc32c u32
//! 32 only if flags has EMISSION: source topic id [16] | source partition u32 | run u64 | last source offset u64
//! 32 only if flags has STRAY: home topic id [16] | home partition u32: what an idempotent producer's batch was meant for (strays.rs)
//!    then the Kafka v2 record batch
//! ```
//! The crc covers topic id and partition (not stored), the frame's first 28 bytes, the source, and the batch's header as it
//! lies on the disk, so that neither a payload that looks like a frame nor a file in the wrong directory passes for ours; the
//! records are covered by Kafka's own crc in that header.
//!
//! `group` tells a torn tail from damage: a group is written only after the one before it is durable. So a whole frame says
//! that everything in its file below its `group` was once durable; broken bytes there are damage, to be reported. Broken bytes
//! with no such witness behind them were never acknowledged, and are cut.
//! Zeros are no frame: the magic is not zero.

use bytes::Bytes;

use super::batch::{self, HEADER_BYTES};
use crate::base::ids::{Offset, PartitionId, Run, TopicId};
use crate::base::limits::BATCH_BYTES;

/// First bytes of a frame.
pub const MAGIC: [u8; 3] = *b"SWQ";
/// Bytes of a frame without source.
pub const FRAME_BYTES: usize = 32;
/// Bytes of the source that emissions carry.
const SOURCE_BYTES: usize = 36;
/// Flag: a source follows.
const EMISSION: u8 = 1;
/// Flag: a home follows; never with the other.
const STRAY: u8 = 2;
/// Bytes of the home that strays carry.
const HOME_BYTES: usize = 20;
/// What must be there before a frame can be judged.
pub const HEAD_MAX: usize = FRAME_BYTES + SOURCE_BYTES + HEADER_BYTES;
/// Largest frame with its batch.
pub const WHOLE_MAX: usize = FRAME_BYTES + SOURCE_BYTES + BATCH_BYTES;

/// The partition and run of a lane that emitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Source {
    /// The topic the lane reads.
    pub topic: TopicId,
    /// The partition the lane reads.
    pub partition: PartitionId,
    /// Live, or which replay.
    pub run: Run,
}

/// The partition that an idempotent producer's batch was meant for, of one that a rule sent elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Home {
    /// Its topic.
    pub topic: TopicId,
    /// Its number.
    pub partition: PartitionId,
}

/// What a crc is seeded with: whose file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed(u32);

impl Seed {
    /// For the files of one partition.
    pub fn new(topic: TopicId, partition: PartitionId) -> Self {
        Self(crc32c::crc32c_append(crc32c::crc32c(topic.as_bytes()), &partition.to_le_bytes()))
    }
}

/// A frame that was judged whole.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    /// Offset of the batch's first record.
    pub base: Offset,
    /// Offset behind its last.
    pub next: Offset,
    /// When it was appended.
    pub append_ns: i64,
    /// Everything in the file before this position was durable when this was written.
    pub group: u64,
    /// For emissions: where from, and the last source offset it covers.
    pub source: Option<(Source, Offset)>,
    /// For strays: what it was meant for.
    pub home: Option<Home>,
    /// Bytes before the batch.
    pub head: usize,
    /// The batch's header.
    pub batch: batch::Header,
}

impl Frame {
    /// Bytes of frame and batch.
    pub fn len(&self) -> usize {
        self.head + self.batch.len
    }
}

/// Why bytes are not a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoFrame {
    /// They may be the beginning of one.
    Short,
    /// They are not.
    Wrong,
}

/// Judges the head of a frame: all but the batch's records.
///
/// # Errors
/// See [`NoFrame`].
pub fn parse(bytes: &[u8], seed: Seed) -> Result<Frame, NoFrame> {
    let Some(fixed) = bytes.first_chunk::<FRAME_BYTES>() else {
        let seen = bytes.len().min(MAGIC.len());
        return Err(if bytes[..seen] == MAGIC[..seen] { NoFrame::Short } else { NoFrame::Wrong });
    };
    if fixed[..3] != MAGIC {
        return Err(NoFrame::Wrong);
    }
    let (emission, stray) = (fixed[3] == EMISSION, fixed[3] == STRAY);
    let head = match fixed[3] {
        0 => FRAME_BYTES,
        EMISSION => FRAME_BYTES + SOURCE_BYTES,
        STRAY => FRAME_BYTES + HOME_BYTES,
        _ => return Err(NoFrame::Wrong),
    };
    let after = bytes.get(FRAME_BYTES..head + HEADER_BYTES).ok_or(NoFrame::Short)?;
    let crc = crc32c::crc32c_append(crc32c::crc32c_append(seed.0, &fixed[..28]), after);
    if crc != word(fixed, 28) {
        return Err(NoFrame::Wrong);
    }
    let batch = batch::Header::parse(&after[head - FRAME_BYTES..]).map_err(|_| NoFrame::Wrong)?;
    let base = long(fixed, 8);
    let next = base.checked_add(u64::from(batch.last_offset_delta) + 1).ok_or(NoFrame::Wrong)?;
    if batch.len != word(fixed, 4) as usize || batch.base_offset != base.cast_signed() {
        return Err(NoFrame::Wrong);
    }
    let topic = || {
        let mut id = [0; 16];
        id.copy_from_slice(&after[..16]);
        TopicId::from_bytes(id)
    };
    let home = stray.then(|| Home { topic: topic(), partition: word(after, 16) });
    let source = emission.then(|| {
        let source = Source { topic: topic(), partition: word(after, 16), run: long(after, 20) };
        (source, long(after, 28))
    });
    let (append_ns, group) = (long(fixed, 16).cast_signed(), u64::from(word(fixed, 24)));
    Ok(Frame { base, next, append_ns, group, source, home, head, batch })
}

/// Whether the records behind a judged head are whole too; `bytes` begins at the frame.
pub fn body_holds(frame: &Frame, bytes: &[u8]) -> bool {
    bytes.get(frame.head..frame.len()).is_some_and(|batch| frame.batch.crc_holds(batch))
}

/// What is written before `batch[PATCHED..]`: the frame, and the batch's first bytes with base offset and epoch set.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'b> {
    /// A batch that [`batch::check`] let pass.
    pub batch: &'b Bytes,
    /// Its offset.
    pub base: Offset,
    /// The time.
    pub append_ns: i64,
    /// Where this group commit begins in the file.
    pub group: u32,
    /// Where it came from.
    pub source: Option<(Source, Offset)>,
    /// What it was meant for, if that is another partition.
    pub home: Option<Home>,
}

/// Bytes of a batch that [`Plan::write`] writes anew: base offset, length, leader epoch.
pub const PATCHED: usize = 16;

impl Plan<'_> {
    /// Appends frame and patched beginning to `out`.
    pub fn write(&self, out: &mut Vec<u8>, seed: Seed) {
        let start = out.len();
        out.extend_from_slice(&MAGIC);
        out.push(match (self.source, self.home) {
            (Some(_), _) => EMISSION,
            (None, Some(_)) => STRAY,
            (None, None) => 0,
        });
        out.extend_from_slice(&u32::try_from(self.batch.len()).unwrap_or(u32::MAX).to_le_bytes());
        out.extend_from_slice(&self.base.to_le_bytes());
        out.extend_from_slice(&self.append_ns.to_le_bytes());
        out.extend_from_slice(&self.group.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        if let Some((source, last)) = &self.source {
            out.extend_from_slice(source.topic.as_bytes());
            out.extend_from_slice(&source.partition.to_le_bytes());
            out.extend_from_slice(&source.run.to_le_bytes());
            out.extend_from_slice(&last.to_le_bytes());
        } else if let Some(home) = &self.home {
            out.extend_from_slice(home.topic.as_bytes());
            out.extend_from_slice(&home.partition.to_le_bytes());
        }
        out.extend_from_slice(&self.base.to_be_bytes());
        out.extend_from_slice(self.batch.get(8..12).unwrap_or_default());
        out.extend_from_slice(&[0; 4]);
        let crc = crc32c::crc32c_append(seed.0, &out[start..start + 28]);
        let crc = crc32c::crc32c_append(crc, &out[start + FRAME_BYTES..]);
        let crc = crc32c::crc32c_append(crc, self.batch.get(PATCHED..HEADER_BYTES).unwrap_or_default());
        out[start + 28..start + 32].copy_from_slice(&crc.to_le_bytes());
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    let mut four = [0; 4];
    four.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(four)
}

fn long(bytes: &[u8], at: usize) -> u64 {
    let mut eight = [0; 8];
    eight.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(eight)
}
