//! Buffers that requests are read into, used again and again: a megabyte fresh from the system costs more to touch for the first time
//! than to receive.
//!
//! A frame is handed on as slices of its buffer; the buffer comes back when the last slice is dropped, wherever that happens.
//! Limits: [`KEPT`] buffers of at most [`LARGEST`] are kept; the last one returned is the next one given, while it is in the caches.
//! What is under way is bounded elsewhere: what brings records by the receivers' memory (`door.rs`), the rest by the server's.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

/// Buffers that are kept.
const KEPT: usize = 8;
/// Larger ones go back to the system.
const LARGEST: usize = 2 * 1024 * 1024;
/// Buffers are made in steps of this size, so that they fit the next frame, too.
const STEP: usize = 256 * 1024;

/// The buffers that nobody uses.
#[derive(Debug, Default)]
pub(super) struct Pool(Mutex<Vec<Vec<u8>>>);

impl Pool {
    /// An empty buffer with room for `size` bytes.
    pub(super) fn take(&self, size: usize) -> Vec<u8> {
        let mut spare = self.0.lock();
        if let Some(at) = spare.iter().rposition(|buffer| buffer.capacity() >= size) {
            return spare.remove(at);
        }
        drop(spare);
        Vec::with_capacity(if size > LARGEST { size } else { size.next_multiple_of(STEP) })
    }

    /// What was read into a buffer; the buffer comes back behind the last use of it.
    pub(super) fn lend(self: &Arc<Self>, bytes: Vec<u8>) -> Bytes {
        Bytes::from_owner(Lent { bytes, pool: self.clone() })
    }
}

struct Lent {
    bytes: Vec<u8>,
    pool: Arc<Pool>,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        let mut spare = self.pool.0.lock();
        if spare.len() < KEPT && bytes.capacity() <= LARGEST {
            bytes.clear();
            spare.push(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_with_its_last_slice() {
        let pool = Arc::new(Pool::default());
        let mut buffer = pool.take(100_000);
        let place = buffer.as_ptr();
        buffer.extend_from_slice(b"abcdef");
        let whole = pool.lend(buffer);
        let slice = whole.slice(2..4);
        drop(whole);
        let other = pool.take(100_000);
        assert_ne!(other.as_ptr(), place, "still in use");
        assert_eq!(slice.as_ref(), b"cd");
        drop(slice);
        let again = pool.take(200_000);
        assert_eq!((again.as_ptr(), again.len()), (place, 0));
        // Too large to be kept, and too many.
        drop(pool.lend(pool.take(LARGEST + 1)));
        assert!(pool.0.lock().is_empty());
        drop((0..KEPT * 2).map(|_| pool.lend(pool.take(1))).collect::<Vec<_>>());
        assert_eq!(pool.0.lock().len(), KEPT);
    }
}
