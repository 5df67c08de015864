//! Memory of slices that wait for their emissions to become durable, counted over the whole box.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Payload bytes of slices that wait for emissions, in the whole box; past it a slice is given up and done again later.
const WAITING_BYTES: usize = 64 * 1024 * 1024;

/// Memory of a slice that waits.
pub(crate) struct Waiting<'c> {
    sum: &'c AtomicUsize,
    bytes: usize,
}

impl<'c> Waiting<'c> {
    /// Notes it, unless others hold too much.
    pub(crate) fn begin(sum: &'c AtomicUsize, bytes: usize) -> Option<Self> {
        let before = sum.fetch_add(bytes, Ordering::Relaxed);
        let waiting = Self { sum, bytes };
        (before == 0 || before + bytes <= WAITING_BYTES).then_some(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.sum.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
