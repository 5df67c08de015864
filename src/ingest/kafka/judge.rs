//! Judges the batches of strangers before they reach the log, and packs them as their topic wants them.
//!
//! Invariants: every record of a batch that passes can be read by every reader. A batch that is plain and needs nothing is only
//! walked over, where it lies; what has to be decompressed or packed anew is that on a thread that may compute, unless it is too
//! small to matter, so that one client's large batches do not keep the network threads from all others.
//! Limits: [`SPARE`] scratch rooms are kept, of what `batch/decoder.rs` keeps in each.

use std::sync::Arc;

use bytes::Bytes;

use super::{Caller, Server};
use crate::queue::batch::{self, Header, Limits};
use crate::queue::settings::TopicCompression;
use crate::queue::{Compression, QueueError};

/// Compressed batches up to this size are judged at once.
const SMALL: usize = 2 * 1024;
/// Scratch rooms that are kept.
const SPARE: usize = 2;

/// Judges a batch, and gives it back as its topic wants it.
///
/// # Errors
/// What is wrong with it.
pub(super) async fn judge(caller: &Caller, bytes: Bytes, packed: TopicCompression) -> Result<(Header, Bytes), QueueError> {
    let header = Header::parse(&bytes)?;
    let plain = header.compression()? == Compression::None;
    let as_it_is = packed == TopicCompression::Producer || (plain && packed == TopicCompression::None);
    if as_it_is && (plain || bytes.len() <= SMALL) {
        return Ok((validate(&caller.server, &bytes)?, bytes));
    }
    let server = caller.server.clone();
    let apart = move || {
        let header = validate(&server, &bytes)?;
        let bytes = if as_it_is { bytes } else { batch::recompress(&bytes, packed)? };
        Ok((header, bytes))
    };
    tokio::task::spawn_blocking(apart).await.unwrap_or(Err(QueueError::Closed))
}

fn validate(server: &Arc<Server>, bytes: &[u8]) -> Result<Header, QueueError> {
    let mut scratch = server.scratches.lock().pop().unwrap_or_default();
    let judged = batch::validate(bytes, &mut scratch, &Limits::default());
    let mut spare = server.scratches.lock();
    if spare.len() < SPARE {
        spare.push(scratch);
    }
    judged
}
