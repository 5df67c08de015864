//! What `queue/GROUPS` is made of: changes, back to back, in entries of the journal. Little-endian:
//! ```text
//! set           0x8001 u16 | group u16 + bytes | topic id [16] | partition u32 | offset u64 | leader epoch i32
//!               | time i64, ms since 1970 | flags u8: 1 ahead of the log | metadata u16 + bytes
//! forget        0x8002 u16 | group u16 + bytes
//! forget place  0x8003 u16 | group u16 + bytes | topic id [16] | partition u32
//! emptied       0x8004 u16 | group u16 + bytes | time i64
//! ```
//! Before there were kinds a change began with its group's length, which is below them all, and was a set:
//! ```text
//! group u16 + bytes | topic id [16] | partition u32 | offset u64
//! ```

use std::sync::Arc;

use super::{Committed, Place};
use crate::base::ids::{PartitionId, TopicId};

const SET: u16 = 0x8001;
const FORGET: u16 = 0x8002;
const FORGET_PLACE: u16 = 0x8003;
const EMPTIED: u16 = 0x8004;
/// Bytes of a set beside its texts.
pub(super) const FIXED: usize = 2 + 2 + 16 + 4 + 8 + 4 + 8 + 1 + 2;
const AHEAD: u8 = 1;

/// A change of what groups have committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// A group's offset.
    Set(Arc<str>, Place, Committed),
    /// A group committed nothing any more.
    Forget(Arc<str>),
    /// Nor for this partition.
    ForgetPlace(Arc<str>, Place),
    /// Its last member left.
    Emptied(Arc<str>, i64),
}

/// Appends a change.
pub(super) fn encode(out: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Set(group, place, committed) => {
            head(out, SET, group);
            put_place(out, place);
            out.extend_from_slice(&committed.offset.to_le_bytes());
            out.extend_from_slice(&committed.leader_epoch.to_le_bytes());
            out.extend_from_slice(&committed.time_ms.to_le_bytes());
            out.push(if committed.ahead { AHEAD } else { 0 });
            text(out, &committed.metadata);
        }
        Change::Forget(group) => head(out, FORGET, group),
        Change::ForgetPlace(group, place) => {
            head(out, FORGET_PLACE, group);
            put_place(out, place);
        }
        Change::Emptied(group, time_ms) => {
            head(out, EMPTIED, group);
            out.extend_from_slice(&time_ms.to_le_bytes());
        }
    }
}

fn head(out: &mut Vec<u8>, kind: u16, group: &str) {
    out.extend_from_slice(&kind.to_le_bytes());
    text(out, group);
}

/// The limits of names and metadata were checked when they came.
fn text(out: &mut Vec<u8>, text: &str) {
    let length = u16::try_from(text.len()).unwrap_or(0);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&text.as_bytes()[..usize::from(length)]);
}

fn put_place(out: &mut Vec<u8>, (topic, partition): &Place) {
    out.extend_from_slice(topic.as_bytes());
    out.extend_from_slice(&partition.to_le_bytes());
}

/// Takes the next change; none at the end, and none from bytes that make no sense on.
pub(super) fn decode(bytes: &mut &[u8]) -> Option<Change> {
    let mut rest = *bytes;
    let kind = u16::from_le_bytes(take(&mut rest)?);
    let change = match kind {
        SET => {
            let (group, place) = (take_text(&mut rest)?, take_place(&mut rest)?);
            let offset = u64::from_le_bytes(take(&mut rest)?);
            let leader_epoch = i32::from_le_bytes(take(&mut rest)?);
            let time_ms = i64::from_le_bytes(take(&mut rest)?);
            let [flags] = take(&mut rest)?;
            let metadata = take_text(&mut rest)?;
            Change::Set(group, place, Committed { offset, leader_epoch, metadata, time_ms, ahead: flags & AHEAD != 0 })
        }
        FORGET => Change::Forget(take_text(&mut rest)?),
        FORGET_PLACE => Change::ForgetPlace(take_text(&mut rest)?, take_place(&mut rest)?),
        EMPTIED => Change::Emptied(take_text(&mut rest)?, i64::from_le_bytes(take(&mut rest)?)),
        _ => {
            rest = bytes;
            let (group, place) = (take_text(&mut rest)?, take_place(&mut rest)?);
            Change::Set(group, place, Committed::at(u64::from_le_bytes(take(&mut rest)?)))
        }
    };
    *bytes = rest;
    Some(change)
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*taken)
}

fn take_text(bytes: &mut &[u8]) -> Option<Arc<str>> {
    let length = u16::from_le_bytes(take(bytes)?);
    let (text, rest) = bytes.split_at_checked(usize::from(length))?;
    *bytes = rest;
    Some(std::str::from_utf8(text).ok()?.into())
}

fn take_place(bytes: &mut &[u8]) -> Option<Place> {
    Some((TopicId::from_bytes(take(bytes)?), PartitionId::from_le_bytes(take(bytes)?)))
}
