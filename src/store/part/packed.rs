//! Zstandard frames of a part: unpacking one.
//!
//! Whoever reads unpacks some frame of every row group, each a few kilobytes. What zstd needs for that takes longer to set up than
//! to use, so that each thread keeps its own (160 KiB). A frame that was damaged leaves nothing behind in it.

use std::cell::RefCell;

use zstd::bulk::Decompressor;

thread_local! {
    static OWN: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// The bytes of a frame, which are `most` at most; `None` where it is none, or holds more.
pub fn unpack(frame: &[u8], most: usize) -> Option<Vec<u8>> {
    OWN.with_borrow_mut(|own| {
        if own.is_none() {
            *own = Decompressor::new().ok();
        }
        own.as_mut()?.decompress(frame, most).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::unpack;

    #[test]
    fn damage_does_not_last() {
        let bytes: Vec<u8> = (0..5000u32).flat_map(|n| (n * n % 1000).to_le_bytes()).collect();
        let frame = zstd::bulk::compress(&bytes, 1).unwrap();
        assert_eq!(unpack(&frame, bytes.len()), Some(bytes.clone()));
        for at in 1..frame.len() {
            let mut wrong = frame.clone();
            wrong[at] ^= 0x55;
            let _ = unpack(&wrong, bytes.len());
            assert_eq!(unpack(&frame[..at], bytes.len()), None, "cut off at {at}");
            assert_eq!(unpack(&frame, bytes.len()).as_ref(), Some(&bytes), "behind damage at {at}");
        }
        assert_eq!(unpack(&frame, bytes.len() - 1), None, "too long");
    }
}
