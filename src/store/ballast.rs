//! Room that is kept for the commit which makes room.
//!
//! Dropping old parts frees space, but says so in the commit log first, and that takes a little; and what a flush makes durable the
//! queue may let go, but the flush needs room before. So a file of zeros lies beside the log. It is let go when there is less room
//! than it takes and something is to be committed, or when a flush found none, and laid down again when there is plenty. Whatever
//! becomes of it, nothing else depends on it: at worst a full disk stays full until a person makes room.
//! On disk: `store/BALLAST`, [`SIZE`] zeros, or a smaller file on a small disk.

use std::path::Path;
use std::sync::Arc;

use crate::base::disk::{Disk, Space};

/// More than a commit that drops some thousand parts, or a small checkpoint of the log…
const SIZE: u64 = 2 << 20;
/// …but at most this share of the disk.
const SHARE: u64 = 128;
/// It is laid down when there is so much more room than it takes: at most half of the disk.
const PLENTY: u64 = SHARE / 2;

const PATH: &str = "store/BALLAST";

fn size(space: Space) -> u64 {
    SIZE.min(space.total / SHARE)
}

/// Whether it is there: then there was a store.
pub fn is_there(disk: &dyn Disk) -> bool {
    disk.open(Path::new(PATH), false).is_ok()
}

/// Lets it go if there is less room than it takes.
pub fn let_go_if_short(disk: &Arc<dyn Disk>) {
    if disk.space().is_ok_and(|space| space.available < size(space)) {
        let_go(disk);
    }
}

/// Lets it go; whether it was there.
pub fn let_go(disk: &Arc<dyn Disk>) -> bool {
    let was_there = disk.remove_file(Path::new(PATH)).is_ok();
    if was_there {
        tracing::warn!("the disk is full; the room kept for what makes room is used now");
    }
    was_there
}

/// Lays it down if it is not there and there is plenty of room.
pub fn lay(disk: &Arc<dyn Disk>) {
    let Ok(space) = disk.space() else { return };
    let size = size(space);
    if space.available <= size.saturating_mul(PLENTY) {
        return;
    }
    let laid = disk.open(Path::new(PATH), true).and_then(|file| {
        if file.len()? >= size {
            return Ok(());
        }
        // Zeros that are written, not a hole: a hole keeps no room.
        let zeros = vec![0; 64 * 1024];
        let mut at = 0;
        while at < size {
            let some = usize::try_from(size - at).map_or(zeros.len(), |left| left.min(zeros.len()));
            file.write_at(&zeros[..some], at)?;
            at += some as u64;
        }
        file.sync_data()
    });
    if let Err(error) = laid {
        tracing::debug!(%error, "no room is kept for what makes room");
    }
}
