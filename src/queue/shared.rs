//! What all partitions of a queue have in common.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crossbeam_channel::Sender;
use parking_lot::{Mutex, RwLock};

use super::checkpoint::Checkpoints;
use super::config::Config;
use super::coordinator::Coordinator;
use super::error::QueueError;
use super::files::Files;
use super::groups::Groups;
use super::partition::{Partition, Pending};
use super::producer_ids::ProducerIds;
use super::topic::Topic;
use crate::base::clock::Clock;
use crate::base::disk::Disk;
use crate::base::journal::Journal;

/// Called by a writer thread after each group commit; must be quick and must not wait for the queue.
pub type DurableHook = Box<dyn Fn(&Arc<Partition>) + Send + Sync>;
/// Called before a topic gets more partitions; what it gives is dropped afterwards.
pub type GrowthHook = Box<dyn Fn(&Arc<Topic>) -> Result<Box<dyn Send>, QueueError> + Send + Sync>;
/// Called while senders are refused until the store has made more of it durable.
pub type FullHook = Box<dyn Fn() + Send + Sync>;
/// Called after a topic was made or changed, or after one was deleted.
pub type TopicHook = Box<dyn Fn(&Arc<Topic>) + Send + Sync>;

/// Those who want to hear of something. They are called with nothing locked: one may add another, or drop the queue.
pub struct Hooks<T>(RwLock<Arc<Vec<Arc<T>>>>);

impl<T> Default for Hooks<T> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

impl<T> Hooks<T> {
    /// One more.
    pub fn add(&self, hook: T) {
        Arc::make_mut(&mut *self.0.write()).push(Arc::new(hook));
    }

    /// All of them, as they are now.
    pub fn all(&self) -> Arc<Vec<Arc<T>>> {
        self.0.read().clone()
    }

    /// None of them any more.
    pub fn clear(&self) {
        // What they refer to is dropped with nothing locked, too.
        let gone = std::mem::take(&mut *self.0.write());
        drop(gone);
    }
}

/// Work for a writer thread.
pub enum Job {
    /// The partition has appends waiting.
    Commit(Arc<Partition>),
    /// Groups have committed offsets.
    Groups,
    /// Go home.
    Stop,
}

/// Disk, clock, configuration, caches, gauges, hooks.
pub struct Shared {
    pub disk: Arc<dyn Disk>,
    pub clock: Arc<dyn Clock>,
    pub config: Config,
    pub jobs: Sender<Job>,
    pub files: Files,
    pub groups: Arc<Groups>,
    pub coordinator: Arc<Coordinator>,
    /// `queue/TOPICS`.
    pub catalog: Mutex<Journal>,
    /// `queue/CHECKPOINTS`.
    pub checkpoints: Mutex<Checkpoints>,
    /// `queue/PRODUCERS`.
    pub producer_ids: Mutex<ProducerIds>,
    pub on_durable: Hooks<DurableHook>,
    pub on_topic: Hooks<TopicHook>,
    pub on_delete: Hooks<TopicHook>,
    pub around_growth: Hooks<GrowthHook>,
    pub while_full: Hooks<FullHook>,
    pub gauges: Gauges,
    /// Nothing more is taken. Looked at with the inbox locked: what came before is still written.
    pub closed: AtomicBool,
}

/// Numbers of the whole queue.
#[derive(Debug, Default)]
pub struct Gauges {
    /// Bytes of batches that wait for a writer.
    pub pending: AtomicU64,
    /// Bytes of all segments.
    pub bytes: AtomicU64,
    /// Bytes appended since they were last covered by a checkpoint: what a restart would have to scan.
    pub unchecked: AtomicU64,
    /// A segment was sealed since the last checkpoint.
    pub sealed: AtomicBool,
    /// Bytes that segments have grown by since the start.
    pub grown: AtomicU64,
    /// What that was when the keeper looked last.
    pub looked: AtomicU64,
    /// Room that the store needs before the queue can let anything go, when the keeper looked last.
    pub wanted: AtomicU64,
    /// How much `grown` may become before the next look at the disk, by appends and by emissions.
    pub full_at: AtomicU64,
    pub spent_at: AtomicU64,
    /// The largest append that the disk had no room for since there was room for all.
    pub refused: AtomicU64,
    /// No room: appends are refused, but for emissions.
    pub full: AtomicBool,
    /// Not even for emissions.
    pub spent: AtomicBool,
    /// Records deleted before anybody took them, because the configuration chose that.
    pub lost_records: AtomicU64,
    /// Places where stored bytes were found broken while reading.
    pub damaged: AtomicU64,
    /// When offsets were last looked through for old ones, on the clock that does not go back.
    pub expired_ms: AtomicU64,
    /// Group commits, and fdatasyncs of segments.
    pub commits: AtomicU64,
    pub syncs: AtomicU64,
}

/// What of the disk is free, and is to stay so.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    pub available: u64,
    pub reserve: u64,
    pub total: u64,
}

impl Shared {
    /// Looks at the disk, and says with it how far segments may grow until the next look: a second is long where a disk is small.
    pub fn look(&self) -> Look {
        // Before the disk is asked: what is written meanwhile counts twice rather than not at all.
        let grown = self.gauges.grown.load(Ordering::Relaxed);
        let look = match self.disk.space() {
            Ok(space) => {
                let reserve = space.reserve(self.config.disk_reserve.0);
                Look { available: space.available, reserve, total: space.total }
            }
            Err(error) => {
                tracing::warn!(%error, "could not ask for the free space");
                Look { available: u64::MAX, reserve: 0, total: u64::MAX }
            }
        };
        let kept = look.reserve.saturating_add(self.gauges.wanted.load(Ordering::Relaxed));
        let more = look.available.saturating_sub(kept) / self.config.copies();
        self.gauges.full_at.store(grown.saturating_add(more), Ordering::Relaxed);
        let more = look.available.saturating_sub(look.reserve / 2);
        self.gauges.spent_at.store(grown.saturating_add(more), Ordering::Relaxed);
        look
    }

    /// Bytes that segments may still grow by before the next look at the disk, with appends or with emissions.
    pub fn left(&self, emission: bool) -> u64 {
        let gauges = &self.gauges;
        let upto = if emission { &gauges.spent_at } else { &gauges.full_at };
        let taken = gauges.grown.load(Ordering::Relaxed).saturating_add(gauges.pending.load(Ordering::Relaxed));
        upto.load(Ordering::Relaxed).saturating_sub(taken)
    }

    /// Whether it takes nothing more, because it shuts down.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Whether an append of `bytes` may be taken now. Emissions may go on a while when the door is shut: a lane that cannot
    /// emit commits nothing, and what is not committed cannot be deleted to make room.
    pub fn room_for(&self, bytes: u64, emission: bool) -> Result<(), QueueError> {
        let gauge = if emission { &self.gauges.spent } else { &self.gauges.full };
        if gauge.load(Ordering::Relaxed) {
            return Err(QueueError::Full("no disk space is left for it"));
        }
        if bytes > self.left(emission) {
            self.gauges.refused.fetch_max(bytes, Ordering::Relaxed);
            return Err(QueueError::Full("no disk space is left for it"));
        }
        let pending = self.gauges.pending.load(Ordering::Relaxed);
        if pending > 0 && pending + bytes > self.config.pending_bytes.0 {
            return Err(QueueError::Full("the disk is behind"));
        }
        Ok(())
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("gauges", &self.gauges).finish_non_exhaustive()
    }
}

/// Bytes that a writer took out to write them: no longer waiting once this is dropped, also by a panic.
pub(super) struct Taken<'s> {
    shared: &'s Shared,
    bytes: u64,
}

impl<'s> Taken<'s> {
    /// Of a group.
    pub(super) fn of(shared: &'s Shared, group: &[Pending]) -> Self {
        Self { shared, bytes: group.iter().map(|pending| pending.batch.len() as u64).sum() }
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        sub(&self.shared.gauges.pending, self.bytes);
    }
}

/// Subtracts without wrapping: a gauge that is a little wrong must not become huge.
pub fn sub(gauge: &AtomicU64, by: u64) {
    let _previous = gauge.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |value| Some(value.saturating_sub(by)));
}
