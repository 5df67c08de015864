//! Room that is kept for the commit which makes room.
//!
//! Dropping old parts frees space, but says so in the commit log first, and that takes a little. So a file of zeros lies beside
//! the log; when there is less room than it takes, it is let go before old parts are dropped, and laid down again when there is
//! plenty. Whatever becomes of it, nothing else depends on it: at worst a full disk stays full until a person makes room.
//! On disk: `store/BALLAST`, [`SIZE`] zeros.

use std::path::Path;
use std::sync::Arc;

use crate::base::disk::Disk;

/// More than a commit that drops some thousand parts, or a small checkpoint of the log.
const SIZE: usize = 2 << 20;
/// It is laid down when there is so much more room than it takes.
const PLENTY: u64 = 64;

const PATH: &str = "store/BALLAST";

/// Lets it go if there is less room than it takes.
pub fn let_go(disk: &Arc<dyn Disk>) {
    let short = disk.space().is_ok_and(|space| space.available < SIZE as u64);
    if short && disk.remove_file(Path::new(PATH)).is_ok() {
        tracing::warn!("the disk is full; the room kept for dropping old rows is used now");
    }
}

/// Lays it down if it is not there and there is plenty of room.
pub fn lay(disk: &Arc<dyn Disk>) {
    let plenty = disk.space().is_ok_and(|space| space.available > SIZE as u64 * PLENTY);
    if !plenty {
        return;
    }
    let laid = disk.open(Path::new(PATH), true).and_then(|file| {
        if file.len()? == SIZE as u64 {
            return Ok(());
        }
        // Zeros that are written, not a hole: a hole keeps no room.
        let zeros = vec![0; 64 * 1024];
        for at in (0..SIZE).step_by(zeros.len()) {
            file.write_at(&zeros, at as u64)?;
        }
        file.sync_data()
    });
    if let Err(error) = laid {
        tracing::debug!(%error, "no room is kept for dropping old rows");
    }
}
