//! The Kafka v2 record batch: the form in which records are received, stored and handed on, verbatim.
//!
//! On disk and wire, big-endian:
//! ```text
//!  0 base offset i64 | 8 length i32 (of what follows) | 12 leader epoch i32 | 16 magic i8 = 2 | 17 crc32c u32 (from 21 on)
//! 21 attributes i16 (0–2 compression, 3 time type, 4 transactional, 5 control) | 23 last offset delta i32
//! 27 base timestamp i64 | 35 max timestamp i64 | 43 producer id i64 | 51 producer epoch i16 | 53 base sequence i32
//! 57 record count i32 | 61 records, compressed as a whole
//! ```
//! Base offset and leader epoch lie outside the crc: the queue sets them and leaves the rest as it came.
//! Invariants: [`Header::parse`] accepts any bytes and never panics; a batch that [`check`] let pass has as many offsets as records.
//! Limits: [`BATCH_BYTES`], compressed and decompressed.
//! All of Kafka's compressions are read, snappy in both framings; LZ4 alone is made by our receivers. Control and transactional
//! batches are refused until there are transactions.

use bytes::Bytes;

use super::error::QueueError;
use crate::base::ids::Offset;
use crate::base::limits::BATCH_BYTES;

mod builder;
mod decoder;
mod lz4;
mod recompress;
mod snappy;
mod validate;
mod varint;

pub use builder::BatchBuilder;
pub use decoder::{Scratch, decode};
pub use recompress::recompress;
pub use validate::{Limits, validate};

/// Length of the batch header.
pub const HEADER_BYTES: usize = 61;
/// Where the crc's range begins.
const CRC_FROM: usize = 21;

/// How the records of a batch are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip; read, never made here.
    Gzip,
    /// snappy, raw or as snappy-java frames it; read, never made here.
    Snappy,
    /// LZ4 frames.
    Lz4,
    /// Zstandard; read, never made here.
    Zstd,
}

impl Compression {
    fn from_attributes(attributes: i16) -> Result<Self, QueueError> {
        match attributes & 7 {
            0 => Ok(Self::None),
            1 => Ok(Self::Gzip),
            2 => Ok(Self::Snappy),
            3 => Ok(Self::Lz4),
            4 => Ok(Self::Zstd),
            _ => Err(QueueError::Malformed("unknown compression")),
        }
    }

    fn attributes(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Gzip => 1,
            Self::Snappy => 2,
            Self::Lz4 => 3,
            Self::Zstd => 4,
        }
    }
}

/// A durable batch, as read from the log.
#[derive(Clone, Debug)]
pub struct StoredBatch {
    /// Offset of its first record.
    pub base_offset: Offset,
    /// Offset behind its last record.
    pub next_offset: Offset,
    /// When it was appended, nanoseconds since 1970. Never goes back within a partition.
    pub append_ns: i64,
    /// The v2 batch: a slice of the mapped segment, or of what was read.
    pub bytes: Bytes,
}

/// The header of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// As the batch says; producers send 0.
    pub base_offset: i64,
    /// Bytes of the whole batch, header and all.
    pub len: usize,
    /// crc32c over all from the attributes on.
    pub crc: u32,
    /// Compression, kind of time, transactional, control.
    pub attributes: i16,
    /// How many offsets the batch takes, less one.
    pub last_offset_delta: u32,
    /// Time of the first record, milliseconds.
    pub base_timestamp: i64,
    /// Largest time, milliseconds.
    pub max_timestamp: i64,
    /// Id of an idempotent producer, -1 if it is none.
    pub producer_id: i64,
    /// Its epoch.
    pub producer_epoch: i16,
    /// Its sequence number of the first record.
    pub base_sequence: i32,
    /// Records in it.
    pub count: u32,
}

impl Header {
    /// Reads a header; `bytes` may be longer or shorter than the batch.
    ///
    /// # Errors
    /// [`QueueError::Malformed`] where it cannot be one.
    pub fn parse(bytes: &[u8]) -> Result<Self, QueueError> {
        let head = bytes.first_chunk::<HEADER_BYTES>().ok_or(QueueError::Malformed("shorter than a batch header"))?;
        let length = usize::try_from(int(head, 8)).map_err(|_| QueueError::Malformed("negative length"))?;
        let len = length + 12;
        if !(HEADER_BYTES..=BATCH_BYTES).contains(&len) {
            return Err(QueueError::Malformed("length out of bounds"));
        }
        if head[16] != 2 {
            return Err(QueueError::Malformed("only record batches of magic 2 are taken"));
        }
        let last_offset_delta = u32::try_from(int(head, 23)).map_err(|_| QueueError::Malformed("negative offset delta"))?;
        let count = u32::try_from(int(head, 57)).map_err(|_| QueueError::Malformed("negative record count"))?;
        Ok(Self {
            base_offset: long(head, 0),
            len,
            crc: int(head, 17).cast_unsigned(),
            attributes: i16::from_be_bytes([head[21], head[22]]),
            last_offset_delta,
            base_timestamp: long(head, 27),
            max_timestamp: long(head, 35),
            producer_id: long(head, 43),
            producer_epoch: i16::from_be_bytes([head[51], head[52]]),
            base_sequence: int(head, 53),
            count,
        })
    }

    /// How the records are compressed.
    ///
    /// # Errors
    /// [`QueueError::Malformed`] for what nobody knows.
    pub fn compression(&self) -> Result<Compression, QueueError> {
        Compression::from_attributes(self.attributes)
    }

    /// Whether the crc of these bytes, which must be the whole batch, is right.
    pub fn crc_holds(&self, batch: &[u8]) -> bool {
        batch.len() == self.len && batch.get(CRC_FROM..).is_some_and(|bytes| crc32c::crc32c(bytes) == self.crc)
    }
}

/// Whether these bytes are one batch that may be appended. The records in it are not looked at.
///
/// # Errors
/// [`QueueError::Malformed`] or [`QueueError::Refused`], for good.
pub fn check(bytes: &[u8]) -> Result<Header, QueueError> {
    let header = Header::parse(bytes)?;
    if header.len != bytes.len() {
        return Err(QueueError::Malformed("not exactly one batch"));
    }
    header.compression()?;
    if header.attributes & 0b11_0000 != 0 {
        return Err(QueueError::Refused("transactional and control batches are not supported".into()));
    }
    if header.count == 0 || header.last_offset_delta != header.count - 1 {
        return Err(QueueError::Malformed("offsets and records do not agree"));
    }
    if header.producer_id >= 0 && (header.producer_epoch < 0 || header.base_sequence < 0) {
        return Err(QueueError::Malformed("a producer id without epoch or sequence"));
    }
    if !header.crc_holds(bytes) {
        return Err(QueueError::Malformed("checksum is wrong"));
    }
    Ok(header)
}

fn int(bytes: &[u8; HEADER_BYTES], at: usize) -> i32 {
    i32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn long(bytes: &[u8; HEADER_BYTES], at: usize) -> i64 {
    let mut eight = [0; 8];
    eight.copy_from_slice(&bytes[at..at + 8]);
    i64::from_be_bytes(eight)
}
