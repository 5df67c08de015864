//! The log store: columns, dictionaries, groups, parts, merges, days, and the queries over them.
//!
//! In come rows from the lanes ([`Store::append`]), out go [`Snapshot`]s for queries and the offsets that became durable
//! ([`Store::on_commit`]). Rows are columns from the moment they arrive, in the memtable of their topic; a flush makes parts
//! of them, a merge makes one part of many, retention drops whole days.
//!
//! ```text
//! append ─→ memtable ─flush─→ parts ─merge─→ parts ─retention─→ gone
//!              └──────────┬──────┘
//!                     snapshot (each row once)
//! ```
//!
//! Invariants: a row is in exactly one source of a snapshot; rows and the offset after them become durable in one record of
//! one log (`commits.rs`); an offset below a partition's next is never taken again, so a lane may always start over.
//!
//! Limits: all memtables share `store.memory`; past it a lane waits, after helping to flush. One thread flushes and merges,
//! however many topics there are.
//!
//! Crash story: there is no write-ahead log. What was not committed comes again from the queue; files that the log does not
//! list are removed when the store opens, unless the log has lost something (`doubt.rs`).

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use hashbrown::HashMap;
use parking_lot::{Condvar, Mutex, RwLock};

use self::commits::CommitLog;
use self::part::cache::Cache;
use self::part::read::PartFile;
use self::source::Source;
use self::topic::TopicStore;
use crate::base::clock::Clock;
use crate::base::disk::Disk;
use crate::base::ids::{Offset, PartitionId, TopicId};

mod append;
mod ballast;
mod bounds;
mod column;
mod commits;
pub mod config;
mod doubt;
pub mod export;
pub mod few;
mod flush;
mod group;
mod keyed;
mod list;
mod look;
pub mod mask;
mod memtable;
mod merge;
mod open;
mod part;
mod payload;
pub mod query;
mod records;
mod retention;
pub mod source;
mod stage;
mod stats;
#[cfg(test)]
mod tests;
pub mod tools;
mod topic;
pub mod typed;
mod unseen;
pub mod watch;

pub use append::Given;
pub use commits::{CLOSED_JOBS, GenerationEntry, JobEntry};
pub use config::Config;
pub use open::OpenReport;
pub use records::{KeptRecords, KeptRow, MadeRecords};
pub use retention::Room;
pub use stage::{NoMerge, Stage, Staged};
pub use stats::{Counters, TopicStats};

/// What can go wrong in the store; a variant is the caller's reaction.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Bytes on the disk are not what was written. Costs the chunk they are in.
    #[error("{path} is damaged at byte {at}: {what}")]
    Damaged {
        /// The file.
        path: String,
        /// Where.
        at: u64,
        /// What does not fit.
        what: String,
    },
    /// The disk refused.
    #[error("{path}: {error}")]
    Disk {
        /// The file.
        path: String,
        /// What the disk said.
        error: std::io::Error,
    },
    /// A newer Sawbox wrote this.
    #[error("{path} has version {version}, which this Sawbox does not know; start a newer one")]
    Newer {
        /// The file.
        path: String,
        /// Its version.
        version: u32,
    },
    /// A part's directory would be larger than what is read back: its rows are too many for one part.
    #[error("{path} would have a directory of more than {most} bytes; its rows need several parts")]
    Wide {
        /// The file.
        path: String,
        /// How many bytes a section of a directory may have.
        most: usize,
    },
    /// There is no room for more of something.
    #[error("there may be at most {most} {what} in a topic")]
    Crowded {
        /// Of what.
        what: &'static str,
        /// How many there may be.
        most: usize,
    },
    /// The store is closing.
    #[error("the store is shutting down")]
    Closed,
}

impl StoreError {
    /// Whether the disk had no room.
    fn is_full(&self) -> bool {
        matches!(self, Self::Disk { error, .. } if error.kind() == std::io::ErrorKind::StorageFull)
    }
}

/// Called with a partition's next offset when it became durable.
pub type OnCommit = Box<dyn Fn(TopicId, PartitionId, Offset) + Send + Sync>;

/// The store of all topics.
pub struct Store {
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    config: Config,
    topics: RwLock<HashMap<TopicId, Arc<TopicStore>>>,
    /// Held over every durable change; taken before any topic's lock.
    log: Mutex<CommitLog>,
    /// One flush at a time; taken before `log`.
    flushing: Mutex<()>,
    /// One merge or drop at a time; taken before `log`.
    merging: Mutex<()>,
    /// One new mask at a time: each has a number of its own. Taken after `merging`, before `log`.
    masking: Mutex<()>,
    /// Files of a commit that failed without saying whether it is durable.
    limbo: Mutex<Vec<Arc<PartFile>>>,
    /// The same of files of keyed state.
    keyed_limbo: Mutex<Vec<Arc<keyed::KeyedFile>>>,
    cache: Arc<Cache>,
    /// Wakes the store's thread, and lanes that wait for memory.
    wake: Condvar,
    wake_lock: Mutex<()>,
    on_commit: RwLock<Vec<OnCommit>>,
    closed: AtomicBool,
    /// Gives up the merge that is running; the flush at shutdown runs with it unset.
    stop_merges: AtomicBool,
    next_part: AtomicU64,
    watchers: Arc<watch::Watchers>,
    /// The next round of the thread flushes all.
    flush_asked: AtomicBool,
    /// When a flush that failed may be tried again, nanoseconds of the monotonic clock.
    retry_at: AtomicU64,
    /// When merges may be tried again, likewise.
    merge_at: AtomicU64,
    /// Since when too little of the disk is free, by the monotonic clock.
    short_since: Mutex<Option<std::time::Duration>>,
    counters: Counters,
    /// Most bytes of a section of a part's directory; that of `part/directory.rs` but in tests.
    directory_bytes: usize,
    /// Files that are kept for doubt and have rows which nothing else has.
    unseen: RwLock<unseen::Look>,
    /// Lanes that have not yet made again what a crash took from the memtable.
    behind: AtomicUsize,
}

impl Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("config", &self.config).finish_non_exhaustive()
    }
}

/// A consistent look at topics: every row is in exactly one source. Holding it holds its parts and memory.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Oldest parts first, then the memtable, topic by topic.
    pub sources: Vec<Arc<dyn Source>>,
}

impl Store {
    fn topic(&self, topic: TopicId) -> Option<Arc<TopicStore>> {
        self.topics.read().get(&topic).cloned()
    }

    fn topic_or_new(&self, topic: TopicId, name: &str) -> Arc<TopicStore> {
        if let Some(found) = self.topic(topic) {
            return found;
        }
        let mut topics = self.topics.write();
        topics.entry(topic).or_insert_with(|| Arc::new(TopicStore::new(topic, name))).clone()
    }

    fn all_topics(&self) -> Vec<Arc<TopicStore>> {
        self.topics.read().values().cloned().collect()
    }

    /// The durable next offset of a partition: where its lane goes on.
    pub fn cursor(&self, topic: TopicId, partition: PartitionId) -> Option<Offset> {
        self.topic(topic)?.state.lock().durable.cursors.get(&partition).copied()
    }

    /// The generations of a topic, ascending.
    pub fn generations(&self, topic: TopicId) -> Vec<GenerationEntry> {
        self.topic(topic).map(|topic| topic.state.lock().durable.generations.clone()).unwrap_or_default()
    }

    /// Those who follow rows as they are added.
    pub fn watchers(&self) -> &Arc<watch::Watchers> {
        &self.watchers
    }

    /// Has `hook` called whenever a next offset became durable, by the thread that made it so; it must be quick.
    pub fn on_commit(&self, hook: OnCommit) {
        self.on_commit.write().push(hook);
    }

    /// Says how many lanes have to make rows again that were acknowledged before this start; until each has said
    /// [`Store::lane_caught_up`], answers are marked as partial.
    pub fn set_lanes_behind(&self, lanes: usize) {
        self.behind.store(lanes, Ordering::Release);
    }

    /// One of those lanes has.
    pub fn lane_caught_up(&self) {
        let _none_left = self.behind.fetch_update(Ordering::AcqRel, Ordering::Acquire, |lanes| lanes.checked_sub(1));
    }

    /// How many of them still have to.
    pub fn lanes_behind(&self) -> usize {
        self.behind.load(Ordering::Acquire)
    }

    /// A consistent look at the rows of `[from_ns, to_ns)`: all topics, or those of these names. Sources may hold rows
    /// outside that time too.
    pub fn snapshot(&self, from_ns: Option<i64>, to_ns: Option<i64>, topics: Option<&[String]>) -> Snapshot {
        let mut chosen = self.all_topics();
        chosen.sort_by_key(|topic| topic.id);
        let mut sources = Vec::new();
        for topic in chosen {
            let mut state = topic.state.lock();
            if topics.is_none_or(|names| names.contains(&state.durable.name)) {
                state.look(topic.id, (from_ns, to_ns), &mut sources);
            }
        }
        Snapshot { sources }
    }

    /// The topics of this name that have had rows: one that is, and those that were deleted before it.
    pub fn topics_named(&self, name: &str) -> Vec<TopicId> {
        let named = self.all_topics().into_iter().filter(|topic| topic.state.lock().durable.name == *name);
        named.map(|topic| topic.id).collect()
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    fn wake_all(&self) {
        drop(self.wake_lock.lock());
        self.wake.notify_all();
    }
}
