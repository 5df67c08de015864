//! What goes: rows that are older than they are kept, and the oldest where there is no room for all.
//!
//! * Parts whose keep day (the later of their last event's day and last arrival's) is older than `retention`.
//! * The oldest day while all parts together are larger than `retention_bytes`.
//! * The oldest day while less of the disk is free than `disk_reserve` (at most a twentieth of the disk) and a quarter of it: what
//!   the queue leaves free, and room for what it is sent. The queue yields first: it lets go at once what is stored; the store lets
//!   go what is still missing after [`PATIENCE`]. It never goes below a tenth of the disk for that: a disk that others fill is no
//!   reason to forget. Then the door is shut, and nothing is lost.
//!
//! Days go whole but for the newest, of which parts go, oldest first: that day is being written.
//! Invariant: a merge is not begun where it would take what is reserved ([`Store::room_for_a_merge`]); a part is written anew
//! without what was deleted or replaced all the same, and is smaller then.
//! Crash story: as a flush's; on a disk without a free byte the commit has the room of the ballast (`ballast.rs`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::commits::{PartMeta, TopicChange};
use super::flush::Change;
use super::topic::TopicStore;
use super::{Store, StoreError, ballast};
use crate::base::disk::Space;
use crate::base::time;

/// How long the disk must be short of room before rows go for it.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the store takes of the disk, and what it may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Bytes of all parts.
    pub bytes: u64,
    /// Past this the oldest day goes: `retention_bytes`, or what the disk has beside what is reserved.
    pub limit: u64,
}

impl Store {
    /// What it takes of the disk, and may take.
    pub fn room(&self) -> Room {
        let parts = |topic: &Arc<TopicStore>| topic.state.lock().durable.parts.values().map(|part| part.bytes).sum::<u64>();
        let bytes = self.all_topics().iter().map(parts).sum();
        let by_disk = self.disk.space().map_or(u64::MAX, |space| self.by_disk(bytes, space, 0));
        Room { bytes, limit: self.by_config().min(by_disk) }
    }

    fn by_config(&self) -> u64 {
        self.config.retention_bytes.map_or(u64::MAX, |bytes| bytes.0)
    }

    /// What is to stay free: a quarter more than the queue keeps free, so that of the two the store yields.
    fn reserve(&self, space: Space) -> u64 {
        let reserve = space.reserve(self.config.disk_reserve.0);
        reserve + reserve / 4
    }

    /// What parts that take `bytes` may take so that the reserve is free, and `more`.
    fn by_disk(&self, bytes: u64, space: Space, more: u64) -> u64 {
        bytes.saturating_add(space.available).saturating_sub(self.reserve(space) + more).max(space.total / 10)
    }

    /// What a merge may write beside what it merges.
    pub(super) fn room_for_a_merge(&self) -> u64 {
        self.disk.space().map_or(u64::MAX, |space| space.available.saturating_sub(self.reserve(space)))
    }

    /// Whether less of the disk is free than is reserved, for long enough that the queue has yielded what it can.
    pub(super) fn is_short(&self) -> bool {
        let short = self.disk.space().is_ok_and(|space| space.available < self.reserve(space));
        let mut since = self.short_since.lock();
        if !short {
            *since = None;
            return false;
        }
        let now = self.clock.monotonic();
        now.saturating_sub(*since.get_or_insert(now)) >= PATIENCE
    }

    /// Drops what is older than the store keeps, or more than it may take; how many parts that were.
    ///
    /// # Errors
    /// The disk's; then nothing was dropped.
    pub fn drop_old(&self) -> Result<u64, StoreError> {
        let _one = self.merging.lock();
        let first_day = time::day(self.clock.now_ns().saturating_sub(self.config.retention.as_ns()));
        let mut by_day = BTreeMap::<i64, Vec<(Arc<TopicStore>, PartMeta)>>::new();
        let mut bytes = 0;
        for topic in self.all_topics() {
            for part in topic.state.lock().durable.parts.values() {
                bytes += part.bytes;
                by_day.entry(part.keep_day).or_default().push((topic.clone(), part.clone()));
            }
        }
        let mut limit = self.by_config();
        let short = if self.is_short() { self.disk.space().ok() } else { None };
        if let Some(space) = short {
            // A little more, lest it be short again with the next flush.
            limit = limit.min(self.by_disk(bytes, space, self.reserve(space) / 4));
        }
        let (before, mut aged) = (bytes, 0);
        let mut dropped = Vec::new();
        let last_day = by_day.keys().next_back().copied();
        for (day, mut parts) in by_day {
            let too_old = day < first_day;
            if !too_old && bytes <= limit {
                break;
            }
            parts.sort_by_key(|(_, part)| part.id);
            for (topic, part) in parts {
                if !too_old && Some(day) == last_day && bytes <= limit {
                    break;
                }
                bytes -= part.bytes;
                aged += if too_old { part.bytes } else { 0 };
                dropped.push((topic, part.id));
            }
        }
        let mut changes = BTreeMap::new();
        for (topic, part) in &dropped {
            let change = || Change {
                topic: topic.clone(),
                change: TopicChange::default(),
                files: Vec::new(),
                keyed: Vec::new(),
                flushed: false,
            };
            changes.entry(topic.id).or_insert_with(change).change.remove.push(*part);
        }
        let _number = self.masking.lock();
        for change in changes.values_mut() {
            let topic = change.topic.clone();
            self.unmask(&topic, &mut change.change);
        }
        if changes.is_empty() {
            ballast::lay(&self.disk);
        } else {
            self.commit(changes.into_values().collect())?;
        }
        self.counters.parts_dropped.fetch_add(dropped.len() as u64, Ordering::Relaxed);
        if short.is_some() && before - bytes > aged {
            let freed = before - bytes - aged;
            tracing::warn!(
                freed,
                kept = bytes,
                "the disk is nearly full: the oldest rows went; store.retention_bytes bounds them"
            );
        }
        Ok(dropped.len() as u64)
    }
}
