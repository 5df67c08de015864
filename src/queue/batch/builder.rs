//! Builds a record batch from records that did not come as one.
//!
//! Each record, behind the header:
//! ```text
//! length varint | attributes 0 | time delta varint | offset delta varint | key (length varint, -1 for none; bytes)
//! | value (length, bytes) | header count varint | each: name (length, bytes), value (length, bytes)
//! ```
//! A builder is used again and again: what it holds is bounded by one batch.

use bytes::Bytes;

use super::{CRC_FROM, Compression, HEADER_BYTES, lz4, varint};
use crate::base::limits::{BATCH_BYTES, HEADERS, RECORD_BYTES};
use crate::queue::error::QueueError;

/// Collects records into one batch.
#[derive(Debug, Default)]
pub struct BatchBuilder {
    /// Room for the header, then the records.
    bytes: Vec<u8>,
    count: u32,
    base_timestamp: i64,
    max_timestamp: i64,
}

impl BatchBuilder {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a record.
    ///
    /// # Errors
    /// [`QueueError::Refused`] if the record is over a limit (it will never fit), [`QueueError::Full`] if only this batch
    /// is: finish it and push again. Nothing was added then.
    pub fn push(
        &mut self,
        timestamp_ms: i64,
        key: Option<&[u8]>,
        payload: &[u8],
        headers: &[(&[u8], &[u8])],
    ) -> Result<(), QueueError> {
        if payload.len() > RECORD_BYTES {
            return Err(QueueError::Refused(format!("a record of {} bytes; the limit is {RECORD_BYTES}", payload.len())));
        }
        if headers.len() > HEADERS {
            return Err(QueueError::Refused(format!("a record with {} headers; the limit is {HEADERS}", headers.len())));
        }
        if self.count == 0 {
            self.base_timestamp = timestamp_ms;
            self.max_timestamp = timestamp_ms;
            self.bytes.clear();
            self.bytes.resize(HEADER_BYTES, 0);
        }
        let time = timestamp_ms.wrapping_sub(self.base_timestamp);
        let offset = i64::from(self.count);
        let sized = |bytes: &[u8]| varint::len(signed(bytes.len())) + bytes.len();
        let length = 1
            + varint::len(time)
            + varint::len(offset)
            + key.map_or(1, sized)
            + sized(payload)
            + varint::len(signed(headers.len()))
            + headers.iter().map(|(name, value)| sized(name) + sized(value)).sum::<usize>();
        // The frame format adds less than this to what cannot be compressed.
        let room = BATCH_BYTES - BATCH_BYTES / 128;
        if HEADER_BYTES + length + 10 > room {
            return Err(QueueError::Refused(format!("a record of {length} bytes; a batch holds {room}")));
        }
        if self.bytes.len() + length + 10 > room {
            return Err(QueueError::Full("the batch is full"));
        }
        let out = &mut self.bytes;
        out.reserve(length + 10);
        varint::put(out, signed(length));
        out.push(0);
        varint::put(out, time);
        varint::put(out, offset);
        match key {
            None => varint::put(out, -1),
            Some(key) => put_sized(out, key),
        }
        put_sized(out, payload);
        varint::put(out, signed(headers.len()));
        for (name, value) in headers {
            put_sized(out, name);
            put_sized(out, value);
        }
        self.count += 1;
        self.max_timestamp = self.max_timestamp.max(timestamp_ms);
        Ok(())
    }

    /// Bytes so far, uncompressed.
    pub fn len_bytes(&self) -> usize {
        if self.count == 0 { 0 } else { self.bytes.len() }
    }

    /// Records so far.
    pub fn records(&self) -> u32 {
        self.count
    }

    /// Bytes that it takes without growing.
    pub fn room(&self) -> usize {
        self.bytes.capacity()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Makes the batch and starts anew. What does not get smaller by compression is left as it is.
    /// Gzip and Zstandard are not made here: they stand for [`Compression::Lz4`].
    pub fn finish(&mut self, compression: Compression) -> Bytes {
        if self.count == 0 {
            self.bytes.clear();
            self.bytes.resize(HEADER_BYTES, 0);
        }
        let packed = (compression != Compression::None).then(|| packed(&self.bytes)).flatten();
        let (mut out, compression) = match packed {
            Some(packed) => (packed, Compression::Lz4),
            None => (std::mem::take(&mut self.bytes), Compression::None),
        };
        let length = i32::try_from(out.len() - 12).unwrap_or(i32::MAX);
        let count = i32::try_from(self.count).unwrap_or(i32::MAX);
        out[8..12].copy_from_slice(&length.to_be_bytes());
        out[16] = 2;
        out[21..23].copy_from_slice(&compression.attributes().to_be_bytes());
        out[23..27].copy_from_slice(&(count - 1).to_be_bytes());
        out[27..35].copy_from_slice(&self.base_timestamp.to_be_bytes());
        out[35..43].copy_from_slice(&self.max_timestamp.to_be_bytes());
        // No producer id, epoch or sequence.
        out[43..57].fill(0xff);
        out[57..61].copy_from_slice(&count.to_be_bytes());
        let crc = crc32c::crc32c(&out[CRC_FROM..]);
        out[17..21].copy_from_slice(&crc.to_be_bytes());
        self.count = 0;
        out.into()
    }
}

/// The records behind a header, compressed behind a header; `None` if that is no smaller.
fn packed(bytes: &[u8]) -> Option<Vec<u8>> {
    let records = bytes.get(HEADER_BYTES..)?;
    let mut out = Vec::with_capacity(HEADER_BYTES + records.len() / 3 + 64);
    out.resize(HEADER_BYTES, 0);
    lz4::put(&mut out, records);
    out.shrink_to(out.len() + out.len() / 4);
    (out.len() < bytes.len()).then_some(out)
}

fn put_sized(out: &mut Vec<u8>, bytes: &[u8]) {
    varint::put(out, signed(bytes.len()));
    out.extend_from_slice(bytes);
}

fn signed(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}
