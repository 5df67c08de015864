//! The same records, compressed otherwise: for topics that want their batches compressed in one way whatever producers send.
//!
//! The records' bytes stay as they are, and so does all of the header but compression, length and crc: keys, headers, times,
//! producer id, epoch and sequence. So an idempotent producer's repetition is still known for one.
//! Limits: [`BATCH_BYTES`], compressed and not. Snappy is written in blocks behind xerial's head, as Java's clients want it.

use std::io::{self, Write};

use bytes::Bytes;

use super::decoder::{Scratch, unpacked};
use super::{CRC_FROM, Compression, HEADER_BYTES, Header, lz4};
use crate::base::limits::BATCH_BYTES;
use crate::queue::error::QueueError;
use crate::queue::settings::TopicCompression;

/// Head of a snappy stream as Java's clients frame it: magic, version 1, readable since 1.
const XERIAL: [u8; 16] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1];
const XERIAL_BLOCK: usize = 32 * 1024;

/// What a topic's setting asks of a batch; `None` where it is as it should be.
fn wanted(header: &Header, setting: TopicCompression) -> Result<Option<Compression>, QueueError> {
    let wanted = match setting {
        TopicCompression::Producer => return Ok(None),
        TopicCompression::None => Compression::None,
        TopicCompression::Gzip => Compression::Gzip,
        TopicCompression::Snappy => Compression::Snappy,
        TopicCompression::Lz4 => Compression::Lz4,
        TopicCompression::Zstd => Compression::Zstd,
    };
    Ok((header.compression()? != wanted).then_some(wanted))
}

/// The batch as the setting wants it; itself if it is so already. The batch must have been checked.
///
/// # Errors
/// [`QueueError::Malformed`] if its records cannot be read, [`QueueError::Refused`] if they are too large uncompressed.
pub fn recompress(batch: &Bytes, setting: TopicCompression) -> Result<Bytes, QueueError> {
    let header = Header::parse(batch)?;
    let Some(wanted) = wanted(&header, setting)? else { return Ok(batch.clone()) };
    let mut scratch = Scratch::new();
    let records = unpacked(batch, &header, &mut scratch)?;
    let mut out = Vec::with_capacity(HEADER_BYTES + records.len() / 2 + 64);
    out.extend_from_slice(batch.get(..HEADER_BYTES).unwrap_or_default());
    compress(wanted, records, &mut out).map_err(|_| QueueError::Malformed("cannot be compressed"))?;
    if out.len() > BATCH_BYTES {
        return Err(QueueError::Refused(format!("a batch of {} bytes uncompressed; the limit is {BATCH_BYTES}", out.len())));
    }
    let length = i32::try_from(out.len() - 12).unwrap_or(i32::MAX);
    out[8..12].copy_from_slice(&length.to_be_bytes());
    out[21..23].copy_from_slice(&((header.attributes & !7) | wanted.attributes()).to_be_bytes());
    let crc = crc32c::crc32c(&out[CRC_FROM..]);
    out[17..21].copy_from_slice(&crc.to_be_bytes());
    Ok(out.into())
}

fn compress(with: Compression, records: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    match with {
        Compression::None => out.extend_from_slice(records),
        Compression::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(out, flate2::Compression::fast());
            encoder.write_all(records)?;
            encoder.finish()?;
        }
        Compression::Lz4 => lz4::put(out, records),
        Compression::Snappy => {
            out.extend_from_slice(&XERIAL);
            let mut encoder = snap::raw::Encoder::new();
            for block in records.chunks(XERIAL_BLOCK) {
                let packed = encoder.compress_vec(block).map_err(io::Error::other)?;
                let length = u32::try_from(packed.len()).map_err(io::Error::other)?;
                out.extend_from_slice(&length.to_be_bytes());
                out.extend_from_slice(&packed);
            }
        }
        Compression::Zstd => {
            let mut encoder = zstd::stream::write::Encoder::new(out, 1)?;
            encoder.write_all(records)?;
            encoder.finish()?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::batch::{BatchBuilder, StoredBatch, check, decode};

    fn stored(bytes: Bytes) -> StoredBatch {
        StoredBatch { base_offset: 40, next_offset: 43, append_ns: 7, bytes }
    }

    #[test]
    fn records_and_producer_stay_whatever_the_compression() {
        use TopicCompression::{Gzip, Lz4, None, Producer, Snappy, Zstd};
        let long = vec![b'x'; 100_000];
        let mut builder = BatchBuilder::new();
        for (nth, payload) in [&b"one"[..], &long, b""].into_iter().enumerate() {
            let key = (nth != 1).then_some(&b"key"[..]);
            builder.push(1000 + i64::try_from(nth).unwrap(), key, payload, &[(b"h", b"v"), (b"h", b"")]).unwrap();
        }
        let mut batch = builder.finish(Compression::Lz4).to_vec();
        // Of an idempotent producer.
        batch[43..57].copy_from_slice(&[0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 0, 0, 0, 77]);
        let crc = crc32c::crc32c(&batch[CRC_FROM..]);
        batch[17..21].copy_from_slice(&crc.to_be_bytes());
        let batch = Bytes::from(batch);
        let original = stored(batch.clone());
        let mut scratch = Scratch::new();
        let wanted = decode(&original, &mut scratch).unwrap();
        let mut last = batch.clone();
        for setting in [Producer, Gzip, Snappy, Zstd, None, Lz4, Snappy] {
            last = recompress(&last, setting).unwrap();
            let header = check(&last).unwrap();
            if setting != Producer {
                assert_eq!(super::wanted(&header, setting).unwrap(), Option::None, "{setting:?}");
            }
            assert_eq!(last[43..57], batch[43..57], "{setting:?}: producer id, epoch, sequence");
            assert_eq!(last[23..43], batch[23..43], "{setting:?}: offsets and times");
            let (now, mut scratch) = (stored(last.clone()), Scratch::new());
            let found = decode(&now, &mut scratch).unwrap();
            assert_eq!(format!("{:?}", found.records), format!("{:?}", wanted.records), "{setting:?}");
            assert_eq!(found.headers, wanted.headers, "{setting:?}");
        }
        assert_eq!(recompress(&batch, Lz4).unwrap(), batch, "as it is already");
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        let mut builder = BatchBuilder::new();
        builder.push(1, Option::None, &[b'x'; 1000], &[]).unwrap();
        let mut batch = builder.finish(Compression::Lz4).to_vec();
        let middle = batch.len() / 2;
        batch.truncate(middle);
        assert!(recompress(&batch.into(), TopicCompression::Zstd).is_err());
        assert!(recompress(&Bytes::new(), TopicCompression::Zstd).is_err());
    }
}
