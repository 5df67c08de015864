//! What is brought from the disk before it is read.
//!
//! A part is mapped for reads here and there ([`Mapped::read_at_random`]): its directory and index are read by pages. Chunks are
//! not: those of [`WINDOW`] groups of a column, which are neighbours in the file, are asked for at once when one of them is read.
//! Who goes through the column comes to the next, and for who wants one the time is that of one read from the device.
//!
//! Asking is a system call that looks at every page, so that a window is asked for again only after [`AGAIN_SECONDS`]: pages that
//! were evicted sooner come one by one, which costs time and nothing else.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use crate::base::disk::Mapped;
use crate::store::part::directory::ChunkRef;

/// Groups whose chunks of a column are brought together: about a megabyte of ids, some kilobytes of codes.
const WINDOW: usize = 16;
/// Bytes at the end of a part that are asked for when it is opened.
pub(super) const TAIL: u64 = 64 << 10;
/// How long what was asked for is taken to be there.
const AGAIN_SECONDS: u32 = 10;
/// Most windows of a part that are kept in mind; one that has more is read without this.
const WINDOWS: usize = 1 << 20;

/// When each window of each column may be asked for again, in seconds since the part was opened.
#[derive(Debug)]
pub(super) struct Ahead {
    since: Instant,
    windows: usize,
    again: Vec<AtomicU32>,
}

impl Ahead {
    #[allow(clippy::disallowed_methods)] // how long the kernel keeps pages is not the box's time, and decides nothing but speed
    pub(super) fn new(mapped: &Mapped, groups: usize, columns: usize) -> Self {
        let windows = groups.div_ceil(WINDOW);
        let all = windows.saturating_mul(columns);
        // What is in memory anyway is not brought there.
        let all = if matches!(mapped, Mapped::Held(_)) || all > WINDOWS { 0 } else { all };
        Self { since: Instant::now(), windows, again: (0..all).map(|_| AtomicU32::new(0)).collect() }
    }

    /// Memory it takes.
    pub(super) fn bytes(&self) -> usize {
        self.again.len() * size_of::<AtomicU32>()
    }

    /// Has a chunk brought in that is about to be read, and those that will be read next. `at` says where its column has another
    /// group's chunk.
    pub(super) fn read(&self, mapped: &Mapped, group: usize, chunk: &ChunkRef, at: impl Fn(usize) -> Option<ChunkRef>) {
        let Some(again) = self.again.get(chunk.column as usize * self.windows + group / WINDOW) else { return };
        let now = u32::try_from(self.since.elapsed().as_secs()).unwrap_or(u32::MAX);
        if now < again.load(Ordering::Relaxed) {
            return;
        }
        again.store(now.saturating_add(AGAIN_SECONDS), Ordering::Relaxed);
        let first = group - group % WINDOW;
        let begin = (first..group).find_map(&at).unwrap_or(*chunk);
        let end = (group..first + WINDOW).rev().find_map(&at).unwrap_or(*chunk);
        mapped.will_need(begin.offset, end.offset.saturating_add(end.length).saturating_sub(begin.offset));
    }
}
