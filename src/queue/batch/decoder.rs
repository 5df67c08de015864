//! Cuts a batch into record views, without copying where it is not compressed.
//!
//! Every length is checked against the bytes that remain before anything is allocated or read; any bytes give records or
//! [`QueueError::Malformed`]. Decompression stops at [`BATCH_BYTES`].
//! The offset delta of the n-th record must be n: an offset names exactly one record.

use std::io::{BufRead, Read};

use super::{Compression, HEADER_BYTES, Header, StoredBatch, lz4, snappy, varint};
use crate::base::limits::{BATCH_BYTES, HEADERS, RECORD_BYTES};
use crate::base::record::{RecordView, Records};
use crate::queue::error::QueueError;

/// What one reader keeps between batches: room for decompressed records.
#[derive(Debug, Default)]
pub struct Scratch {
    bytes: Vec<u8>,
}

/// Shortest record: length, attributes, three deltas, two lengths, no headers.
pub(super) const RECORD_MIN: usize = 7;
/// A scratch that grew past this is given back before the next batch.
const SCRATCH_KEPT: usize = 1 << 20;
/// How much larger a batch mostly is when it is decompressed, at most.
const USUAL_RATIO: usize = 8;

impl Scratch {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }
}

/// The records of a stored batch, borrowed from it or from `scratch`.
///
/// # Errors
/// [`QueueError::Malformed`] if it is not what its header says.
pub fn decode<'a>(batch: &'a StoredBatch, scratch: &'a mut Scratch) -> Result<Records<'a>, QueueError> {
    let header = Header::parse(&batch.bytes)?;
    let body = unpacked(&batch.bytes, &header, scratch)?;
    records(body, &header, batch)
}

/// The records' bytes of a batch, decompressed into `scratch` if need be.
pub(super) fn unpacked<'a>(batch: &'a [u8], header: &Header, scratch: &'a mut Scratch) -> Result<&'a [u8], QueueError> {
    let body = batch.get(HEADER_BYTES..header.len).ok_or(QueueError::Malformed("batch is cut off"))?;
    match header.compression()? {
        Compression::None => Ok(body),
        Compression::Gzip => scratch.fill(flate2::read::MultiGzDecoder::new(body), body.len()),
        Compression::Snappy => {
            scratch.begin(0);
            snappy::unpack(body, &mut scratch.bytes)?;
            Ok(&scratch.bytes)
        }
        Compression::Lz4 if scratch.fill_from_own(body) => Ok(&scratch.bytes),
        Compression::Lz4 => scratch.fill_from(lz4_flex::frame::FrameDecoder::new(body), body.len()),
        Compression::Zstd => {
            let mut reader = zstd::stream::read::Decoder::with_buffer(body).map_err(|_| QueueError::Malformed("zstd"))?;
            // A window of 2^24 covers the largest batch.
            reader.window_log_max(24).map_err(|_| QueueError::Malformed("zstd"))?;
            scratch.fill(reader, body.len())
        }
    }
}

impl Scratch {
    fn begin(&mut self, packed: usize) {
        if self.bytes.capacity() > SCRATCH_KEPT {
            self.bytes = Vec::new();
        }
        self.bytes.clear();
        // Logs seldom shrink to less than this; room that is not used is never touched, room that is missing is copied for.
        self.bytes.reserve(packed.saturating_mul(USUAL_RATIO).min(BATCH_BYTES));
    }

    fn fill(&mut self, reader: impl Read, packed: usize) -> Result<&[u8], QueueError> {
        self.begin(packed);
        let most = BATCH_BYTES as u64 + 1;
        let got = reader.take(most).read_to_end(&mut self.bytes).map_err(|_| QueueError::Malformed("compressed bytes"))?;
        if got > BATCH_BYTES { Err(QueueError::Malformed("decompresses to more than a batch")) } else { Ok(&self.bytes) }
    }

    /// As [`Scratch::fill`], for frames as they are made here; whether it was one.
    fn fill_from_own(&mut self, frame: &[u8]) -> bool {
        self.begin(frame.len());
        lz4::take(&mut self.bytes, frame, BATCH_BYTES)
    }

    /// As [`Scratch::fill`], for readers that show what they have: room for it need not be zeroed before.
    fn fill_from(&mut self, mut reader: impl BufRead, packed: usize) -> Result<&[u8], QueueError> {
        self.begin(packed);
        loop {
            let some = reader.fill_buf().map_err(|_| QueueError::Malformed("compressed bytes"))?;
            if some.is_empty() {
                return Ok(&self.bytes);
            }
            if some.len() > BATCH_BYTES - self.bytes.len() {
                return Err(QueueError::Malformed("decompresses to more than a batch"));
            }
            self.bytes.extend_from_slice(some);
            let taken = some.len();
            reader.consume(taken);
        }
    }
}

fn records<'a>(mut body: &'a [u8], header: &Header, batch: &StoredBatch) -> Result<Records<'a>, QueueError> {
    let count = header.count as usize;
    if count > body.len() / RECORD_MIN {
        return Err(QueueError::Malformed("more records than bytes for them"));
    }
    // Log append time, if a broker set it, stands in the header alone.
    let one_time = (header.attributes & 8 != 0).then_some(header.max_timestamp);
    let mut out = Records { records: Vec::with_capacity(count), headers: Vec::new() };
    for nth in 0..count {
        let record = varint::take_bytes(&mut body).flatten().ok_or(QueueError::Malformed("record length"))?;
        let (delta, key, payload, headers) = record_parts(record, nth, &mut out.headers)?;
        let timestamp_ms = one_time.unwrap_or_else(|| header.base_timestamp.wrapping_add(delta));
        let offset = batch.base_offset.wrapping_add(nth as u64);
        out.records.push(RecordView { offset, arrival_ns: batch.append_ns, timestamp_ms, key, payload, headers });
    }
    if body.is_empty() { Ok(out) } else { Err(QueueError::Malformed("bytes behind the last record")) }
}

type Parts<'a> = (i64, Option<&'a [u8]>, &'a [u8], (u32, u32));

fn record_parts<'a>(
    mut record: &'a [u8],
    nth: usize,
    headers: &mut Vec<(&'a [u8], &'a [u8])>,
) -> Result<Parts<'a>, QueueError> {
    let wrong = || QueueError::Malformed("record");
    let (_attributes, rest) = record.split_first().ok_or_else(wrong)?;
    record = rest;
    let delta = varint::take(&mut record).ok_or_else(wrong)?;
    if varint::take(&mut record) != i64::try_from(nth).ok() {
        return Err(QueueError::Malformed("offset delta"));
    }
    let key = varint::take_bytes(&mut record).ok_or_else(wrong)?;
    // A tombstone has no value: an empty payload here.
    let payload = varint::take_bytes(&mut record).ok_or_else(wrong)?.unwrap_or_default();
    if payload.len() > RECORD_BYTES {
        return Err(QueueError::Malformed("payload over its limit"));
    }
    let count = varint::take(&mut record).and_then(|count| usize::try_from(count).ok()).ok_or_else(wrong)?;
    if count > HEADERS {
        return Err(QueueError::Malformed("too many headers"));
    }
    let start = headers.len();
    for _ in 0..count {
        let name = varint::take_bytes(&mut record).flatten().ok_or_else(wrong)?;
        let value = varint::take_bytes(&mut record).ok_or_else(wrong)?.unwrap_or_default();
        headers.push((name, value));
    }
    if !record.is_empty() {
        return Err(QueueError::Malformed("bytes behind a record's headers"));
    }
    // At most BATCH_BYTES / 2 headers: fits.
    let range = (u32::try_from(start).map_err(|_| wrong())?, u32::try_from(headers.len()).map_err(|_| wrong())?);
    Ok((delta, key, payload, range))
}
