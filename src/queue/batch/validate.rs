//! Judges a batch from a stranger, records and all, before it is appended: what is in the log can be read by everybody.
//!
//! The walk takes nothing out and allocates nothing; a compressed batch is decompressed into the caller's [`Scratch`].
//! It accepts exactly what [`decode`](super::decode) reads (a test holds them together), within the caller's [`Limits`].

use super::decoder::{RECORD_MIN, Scratch, unpacked};
use super::{Header, check, varint};
use crate::base::limits::{BATCH_BYTES, HEADERS, RECORD_BYTES};
use crate::queue::error::QueueError;

/// What a batch may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the batch as it came: a topic's `max.message.bytes`.
    pub batch_bytes: usize,
    /// Bytes of a record's payload; at most [`RECORD_BYTES`].
    pub record_bytes: usize,
    /// Headers of a record; at most [`HEADERS`].
    pub headers: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { batch_bytes: BATCH_BYTES, record_bytes: RECORD_BYTES, headers: HEADERS }
    }
}

/// Whether these bytes are one batch that may be appended, and every record in it can be read.
///
/// # Errors
/// [`QueueError::BadRecord`] for the first record that is wrong, [`QueueError::Malformed`] or [`QueueError::Refused`] for the
/// batch; all of them for good.
pub fn validate(bytes: &[u8], scratch: &mut Scratch, limits: &Limits) -> Result<Header, QueueError> {
    if bytes.len() > limits.batch_bytes {
        return Err(QueueError::Refused(format!("a batch of {} bytes; the limit is {}", bytes.len(), limits.batch_bytes)));
    }
    let header = check(bytes)?;
    let mut body = unpacked(bytes, &header, scratch)?;
    if header.count as usize > body.len() / RECORD_MIN {
        return Err(QueueError::Malformed("more records than bytes for them"));
    }
    for index in 0..header.count {
        let record = varint::take_bytes(&mut body).flatten();
        let record = record.ok_or(QueueError::BadRecord { index, reason: "its length is wrong" })?;
        judge(record, index, limits).map_err(|reason| QueueError::BadRecord { index, reason })?;
    }
    if body.is_empty() { Ok(header) } else { Err(QueueError::Malformed("bytes behind the last record")) }
}

#[inline]
fn judge(record: &[u8], index: u32, limits: &Limits) -> Result<(), &'static str> {
    let (_attributes, mut rest) = record.split_first().ok_or("it is empty")?;
    varint::take(&mut rest).ok_or("its time is cut off")?;
    if varint::take(&mut rest) != Some(i64::from(index)) {
        return Err("its offset is not its place in the batch");
    }
    varint::take_bytes(&mut rest).ok_or("its key is cut off")?;
    let value = varint::take_bytes(&mut rest).ok_or("its value is cut off")?;
    if value.is_some_and(|value| value.len() > limits.record_bytes.min(RECORD_BYTES)) {
        return Err("its value is over the limit of bytes");
    }
    let count = varint::take(&mut rest).and_then(|count| usize::try_from(count).ok()).ok_or("its headers are cut off")?;
    if count > limits.headers.min(HEADERS) {
        return Err("it has too many headers");
    }
    for _ in 0..count {
        varint::take_bytes(&mut rest).flatten().ok_or("a header has no name")?;
        varint::take_bytes(&mut rest).ok_or("a header is cut off")?;
    }
    if rest.is_empty() { Ok(()) } else { Err("bytes behind its headers") }
}
