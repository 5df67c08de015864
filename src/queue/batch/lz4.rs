//! LZ4 frames as they are made here: of independent blocks, as Kafka's Java client requires, each compressed at once into its place.
//!
//! ```text
//! 04 22 4d 18 | 60 independent blocks, no sums | 40 of 64 KiB | 82 sum of these two | blocks | u32 0
//! block: u32 length, top bit: not compressed | bytes          (little endian)
//! ```
//! Why not the crate's own encoder: it copies every block through buffers of its own, made anew for each frame, which takes half
//! as long again as compressing. Blocks of 256 KiB would save a fifteenth of the bytes and take a fifth longer.
//!
//! Frames of just this form, which Java's clients send too, are read without detours as well ([`take`]); others with the crate's decoder.
//! Any bytes may be given to it: every length is checked before it is used.

use lz4_flex::block::{compress_into, decompress_into, get_maximum_output_size};

const HEAD: [u8; 7] = [0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82];
/// Most bytes of a block.
const BLOCK: usize = 64 * 1024;
/// Flag of a block's length.
const PLAIN: u32 = 1 << 31;

/// Appends a frame of these bytes.
pub fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&HEAD);
    let mut room = vec![0; get_maximum_output_size(bytes.len().min(BLOCK))];
    for block in bytes.chunks(BLOCK) {
        let packed = compress_into(block, &mut room).ok().and_then(|length| room.get(..length));
        let (flag, stored) = match packed {
            Some(packed) if packed.len() < block.len() => (0, packed),
            Some(_) | None => (PLAIN, block),
        };
        #[allow(clippy::cast_possible_truncation)] // at most BLOCK
        let length = stored.len() as u32 | flag;
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(stored);
    }
    out.extend_from_slice(&[0; 4]);
}

/// Puts the bytes of a frame behind `out`, which becomes `most` long at most. False, and nothing is said of `out`: it is a frame of
/// another form, damaged or too long, which is for the crate's decoder to tell.
pub fn take(out: &mut Vec<u8>, frame: &[u8], most: usize) -> bool {
    let Some(mut rest) = frame.strip_prefix(&HEAD) else { return false };
    loop {
        let Some((length, behind)) = rest.split_first_chunk::<4>() else { return false };
        let length = u32::from_le_bytes(*length);
        if length == 0 {
            return behind.is_empty();
        }
        let is_plain = length & PLAIN != 0;
        let Some((block, behind)) = behind.split_at_checked((length & !PLAIN) as usize) else { return false };
        rest = behind;
        let start = out.len();
        // Each block says how long it is only by what comes out of it.
        if start >= most || block.len() > get_maximum_output_size(BLOCK) {
            return false;
        }
        if is_plain {
            out.extend_from_slice(block);
        } else {
            out.resize(start + BLOCK, 0);
            let Some(Ok(length)) = out.get_mut(start..).map(|room| decompress_into(block, room)) else { return false };
            out.truncate(start + length);
        }
        if out.len() > most || !(1..=BLOCK).contains(&(out.len() - start)) {
            return false;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use proptest::prelude::*;

    use super::{BLOCK, HEAD, put, take};

    fn check(bytes: &[u8]) {
        let mut out = vec![7];
        put(&mut out, bytes);
        let mut back = Vec::new();
        lz4_flex::frame::FrameDecoder::new(&out[1..]).read_to_end(&mut back).unwrap();
        assert!(back == bytes, "{} bytes", bytes.len());
        back.clear();
        assert!(take(&mut back, &out[1..], bytes.len()) && back == bytes, "{} bytes", bytes.len());
        if !bytes.is_empty() {
            assert!(!take(&mut Vec::new(), &out[1..], bytes.len() - 1), "too long");
            assert!(!take(&mut Vec::new(), &out[1..out.len() - 1], bytes.len()), "cut off");
        }
    }

    #[test]
    fn what_was_put_is_read() {
        for length in [0, 1, 100, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 5] {
            check(&vec![b'a'; length]);
            let noise: Vec<u8> = (0..length as u64).map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect();
            check(&noise);
        }
    }

    proptest! {
        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..2000), times in 1usize..80) {
            check(&bytes.repeat(times));
        }

        /// What it takes from any bytes is what the crate takes.
        #[test]
        fn any_frame(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in any::<prop::sample::Index>(), to in any::<u8>(), noise: bool) {
            let mut frame = Vec::new();
            if noise {
                frame.extend_from_slice(&HEAD);
                frame.extend_from_slice(&bytes);
            } else {
                put(&mut frame, &bytes.repeat(3));
            }
            let at = at.index(frame.len());
            frame[at] = to;
            let mut ours = Vec::new();
            if take(&mut ours, &frame, 1 << 20) {
                let mut theirs = Vec::new();
                lz4_flex::frame::FrameDecoder::new(frame.as_slice()).read_to_end(&mut theirs).unwrap();
                prop_assert_eq!(ours, theirs);
            }
        }
    }
}
