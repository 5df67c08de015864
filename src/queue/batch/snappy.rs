//! Snappy, raw as librdkafka and most clients write it, or framed as snappy-java ("xerial") does.
//!
//! The framing, big-endian; each block is raw snappy:
//! ```text
//! magic 82 "SNAPPY" 00 | version i32 | lowest compatible version i32 | blocks: length i32, bytes
//! ```
//! Raw snappy begins with its decompressed length, so what it will take is known before anything is allocated.

use crate::base::limits::BATCH_BYTES;
use crate::queue::error::QueueError;

const MAGIC: [u8; 8] = *b"\x82SNAPPY\0";
/// Magic and both versions.
const HEAD: usize = 16;

/// Appends the decompressed bytes to `out`.
pub fn unpack(body: &[u8], out: &mut Vec<u8>) -> Result<(), QueueError> {
    if !body.starts_with(&MAGIC) {
        return block(body, out);
    }
    let mut rest = body.get(HEAD..).ok_or(QueueError::Malformed("snappy"))?;
    while let Some((length, behind)) = rest.split_first_chunk::<4>() {
        let (packed, behind) =
            behind.split_at_checked(u32::from_be_bytes(*length) as usize).ok_or(QueueError::Malformed("snappy"))?;
        block(packed, out)?;
        rest = behind;
    }
    if rest.is_empty() { Ok(()) } else { Err(QueueError::Malformed("snappy")) }
}

fn block(packed: &[u8], out: &mut Vec<u8>) -> Result<(), QueueError> {
    let len = snap::raw::decompress_len(packed).map_err(|_| QueueError::Malformed("snappy"))?;
    let start = out.len();
    if len > BATCH_BYTES - start.min(BATCH_BYTES) {
        return Err(QueueError::Malformed("decompresses to more than a batch"));
    }
    // A byte of snappy stands for 64 at most (a copy of 64 bytes takes two or three): a lie about the length costs no memory.
    if len / 64 > packed.len() {
        return Err(QueueError::Malformed("snappy"));
    }
    out.resize(start + len, 0);
    let got = snap::raw::Decoder::new().decompress(packed, &mut out[start..]);
    if got.is_ok_and(|got| got == len) { Ok(()) } else { Err(QueueError::Malformed("snappy")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_framings_are_read_and_lies_are_not() {
        let plain: Vec<u8> = (0..100_000_u32).flat_map(|nth| (nth / 7).to_le_bytes()).collect();
        let packed = snap::raw::Encoder::new().compress_vec(&plain).unwrap();
        let mut out = Vec::new();
        unpack(&packed, &mut out).unwrap();
        assert_eq!(out, plain);
        let mut framed = [&MAGIC[..], &[0, 0, 0, 1, 0, 0, 0, 1]].concat();
        for some in plain.chunks(32 * 1024) {
            let block = snap::raw::Encoder::new().compress_vec(some).unwrap();
            framed.extend_from_slice(&u32::try_from(block.len()).unwrap().to_be_bytes());
            framed.extend_from_slice(&block);
        }
        out.clear();
        unpack(&framed, &mut out).unwrap();
        assert_eq!(out, plain);
        for wrong in [&framed[..framed.len() - 1], &framed[..12], &framed[..18], &packed[..packed.len() - 1], &[]] {
            assert!(unpack(wrong, &mut Vec::new()).is_err());
        }
        // It says 4 GB, or 15 MB, and has nothing.
        for lie in [&[0xff, 0xff, 0xff, 0xff, 0x0f, 0][..], &[0x80, 0x80, 0xc0, 0x07, 0]] {
            let mut out = Vec::new();
            assert!(unpack(lie, &mut out).is_err());
            assert!(out.capacity() < 1 << 20);
        }
    }
}
