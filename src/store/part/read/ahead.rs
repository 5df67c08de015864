//! What is brought from the disk before it is read.
//!
//! A part is mapped for reads here and there ([`Mapped::read_at_random`]): its directory and index are read by pages. Chunks are
//! not: those of [`WINDOW`] groups of a column, which are neighbours in the file, are asked for at once when one of them is read.
//! For who wants one the time is that of one read from the device. Who goes through the column, up or down, has the next window
//! on its way while he reads one; more than that was measured to gain nothing.
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

/// What is known of each window of each column.
#[derive(Debug)]
pub(super) struct Ahead {
    since: Instant,
    windows: usize,
    /// Until when it is taken to be there, in seconds since the part was opened; in the lowest bit whether it was read and not only
    /// asked for.
    known: Vec<AtomicU32>,
}

/// Something of the window was read, and not only asked for.
const READ: u32 = 1;

impl Ahead {
    #[allow(clippy::disallowed_methods)] // how long the kernel keeps pages is not the box's time, and decides nothing but speed
    pub(super) fn new(mapped: &Mapped, groups: usize, columns: usize) -> Self {
        let windows = groups.div_ceil(WINDOW);
        let all = windows.saturating_mul(columns);
        // What is in memory anyway is not brought there.
        let all = if matches!(mapped, Mapped::Held(_)) || all > WINDOWS { 0 } else { all };
        Self { since: Instant::now(), windows, known: (0..all).map(|_| AtomicU32::new(0)).collect() }
    }

    /// Memory it takes.
    pub(super) fn bytes(&self) -> usize {
        self.known.len() * size_of::<AtomicU32>()
    }

    /// Has a chunk of a column brought in that is about to be read, and those that will be read next. `at` says where the column
    /// has another group's chunk.
    pub(super) fn read(&self, mapped: &Mapped, group: usize, chunk: &ChunkRef, at: impl Fn(usize) -> Option<ChunkRef>) {
        let column = chunk.column as usize * self.windows;
        let Some(windows) = self.known.get(column..column + self.windows) else { return };
        let now = u32::try_from(self.since.elapsed().as_secs()).unwrap_or(u32::MAX);
        let known =
            |window: usize| windows.get(window).map(|known| known.load(Ordering::Relaxed)).filter(|known| known >> 1 > now);
        let is_read = |window: usize| known(window).is_some_and(|known| known & READ > 0);
        let window = group / WINDOW;
        if is_read(window) {
            return;
        }
        let bring = |window: usize, read: u32| {
            if known(window).is_none() {
                let groups = window * WINDOW..(window + 1) * WINDOW;
                let Some(begin) = groups.clone().find_map(&at) else { return };
                let end = groups.rev().find_map(&at).unwrap_or(begin);
                mapped.will_need(begin.offset, end.offset.saturating_add(end.length).saturating_sub(begin.offset));
            }
            if let Some(known) = windows.get(window) {
                known.store(now.saturating_add(AGAIN_SECONDS) << 1 | read, Ordering::Relaxed);
            }
        };
        bring(window, READ);
        // Who comes from a neighbour goes on: what is next is on its way while this one is read.
        let before = window.checked_sub(1);
        if before.is_some_and(is_read) {
            bring(window + 1, 0);
        } else if let Some(before) = before.filter(|_| is_read(window + 1)) {
            bring(before, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::disk::{Disk, RealDisk};

    const WINDOWS: usize = 8;

    #[test]
    fn who_goes_on_has_the_next_window_on_its_way() {
        let dir = tempfile::tempdir().unwrap();
        let disk = RealDisk::open(dir.path()).unwrap();
        disk.open("file".as_ref(), true).unwrap().write_at(&[7; WINDOWS * WINDOW * 100], 0).unwrap();
        let mapped = disk.map("file".as_ref()).unwrap();
        let chunk = |group: usize| {
            let offset = group as u64 * 100;
            (group < WINDOWS * WINDOW).then_some(ChunkRef { column: 1, encoding: 0, offset, length: 96, bounds: None })
        };
        let after = |groups: &[usize]| {
            let ahead = Ahead::new(&mapped, WINDOWS * WINDOW, 2);
            groups.iter().for_each(|group| ahead.read(&mapped, *group, &chunk(*group).unwrap(), chunk));
            let known = ahead.known.iter().map(|known| known.load(Ordering::Relaxed));
            let said: String = known
                .map(|known| {
                    if known == 0 {
                        '.'
                    } else if known & READ > 0 {
                        'r'
                    } else {
                        'a'
                    }
                })
                .collect();
            assert_eq!(&said[..WINDOWS], "........", "the other column");
            said[WINDOWS..].to_owned()
        };
        assert_eq!(after(&[0, 15]), "r.......");
        assert_eq!(after(&[0, 15, 16, 31]), "rra.....");
        assert_eq!(after(&[0, 16, 32]), "rrra....");
        assert_eq!(after(&[5, 100]), "r.....r.");
        assert_eq!(after(&[127, 112, 111]), ".....arr", "downwards");
        assert_eq!(after(&[16, 0]), "rr......", "nothing is before the first");
        assert_eq!(after(&[100, 112]), "......rr", "nothing is behind the last");
    }
}
