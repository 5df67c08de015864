//! The queue: topics of durable, ordered record batches, embedded in the box.
//!
//! Comes in: Kafka v2 record batches, from receivers (built by [`batch::BatchBuilder`], or verbatim from a client) and from lanes
//! (emissions). Goes out: durable batches by offset, to lanes, outputs and clients, and the offsets that groups commit.
//! Knows nothing of filters, rows, the store or any wire but the batch itself.
//!
//! Invariants: an acknowledged append survives a crash; nothing is read before it is durable; every acknowledged record is
//! read once and in order until retention deletes it; opening always succeeds, whatever the disk holds.
//!
//! On disk, below `queue/`:
//! ```text
//! TOPICS        journal: which topics there are (catalog.rs)     <topic id>/<partition>/<base offset>.log    frames and batches (frame.rs)
//! GROUPS        journal: committed offsets (groups.rs)                                  <base offset>.index  a hint (index.rs)
//! TRAFFIC       journal: quotas and routes (traffic/book.rs)
//! CHECKPOINTS   journal: what need not be scanned (checkpoint.rs)   CLUSTER   journal: the cluster's id (cluster.rs)
//! PRODUCERS     journal: ids given to idempotent producers (producer_ids.rs)
//! ```
//! The way of an append: [`Partition::append`] → the pool of `writer.rs` → group commit in `log.rs` → ticket and hooks.
//! The way of a read: [`Partition::read`] → `view.rs`, over mapped segments and the tail. At start: `recovery.rs` and `scan.rs`.
//! Every second: `keeper.rs`. Who reads what among consumers: `coordinator/`.
//!
//! Why not a database, or one log for all topics: a fetch is then a slice of a mapped file, retention an unlink, and a noisy
//! topic does not push a quiet one's records out. The price, a file and an fdatasync per busy topic, is what the pool is for.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use arc_swap::ArcSwap;
use crossbeam_channel::{Sender, bounded, unbounded};
use parking_lot::{Mutex, RwLock};

use crate::base::clock::Clock;
use crate::base::disk::{Disk, Space};
use crate::base::ids::TopicId;
use crate::base::limits::is_topic_name;

pub mod batch;
pub mod config;
pub mod coordinator;
pub mod error;
pub mod groups;
pub mod lag;
pub mod partition;
pub mod partitioner;
pub mod recovery;
pub mod settings;
pub mod ticket;
pub mod topic;
pub mod traffic;

mod catalog;
mod checkpoint;
mod cluster;
mod files;
mod frame;
mod index;
mod keeper;
mod lifecycle;
mod log;
mod opening;
mod producer_ids;
mod producers;
mod scan;
mod shared;
mod strays;
mod times;
mod trim;
mod view;
mod writer;

pub use batch::{BatchBuilder, Compression, Limits, Scratch, StoredBatch, decode, validate};
pub use config::{Config, Durability};
pub use coordinator::Coordinator;
pub use error::QueueError;
pub use frame::Source;
pub use groups::Groups;
pub use partition::Partition;
pub use recovery::RecoveryReport;
use settings::Key;
pub use settings::{Priority, TopicCompression, TopicSettings};
pub use shared::{DurableHook, FullHook, GrowthHook, TopicHook};
pub use ticket::{Appended, Ticket};
pub use topic::Topic;
pub use traffic::Traffic;

use producer_ids::ProducerIds;
use shared::{Gauges, Hooks, Job, Shared};

/// The queue of the box.
#[derive(Debug)]
pub struct Queue {
    shared: Arc<Shared>,
    topics: Arc<Topics>,
    traffic: Traffic,
    making: Mutex<()>,
    /// What the configuration file says of topics, there or not.
    planned: RwLock<HashMap<String, (Vec<Key>, TopicSettings)>>,
    threads: Mutex<Threads>,
}

#[derive(Debug, Default)]
struct Threads {
    writers: Vec<JoinHandle<()>>,
    keeper: Option<(Sender<()>, JoinHandle<()>)>,
}

#[derive(Debug, Default)]
struct Topics {
    by_name: RwLock<HashMap<Arc<str>, Arc<Topic>>>,
    by_id: RwLock<HashMap<TopicId, Arc<Topic>>>,
}

/// Numbers of the whole queue, for `/metrics`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueStats {
    /// Bytes of all segments.
    pub bytes: u64,
    /// Bytes of appends that wait for the disk.
    pub pending_bytes: u64,
    /// Group commits.
    pub commits: u64,
    /// fdatasyncs of segments.
    pub syncs: u64,
    /// Records deleted before anybody took them.
    pub lost_records: u64,
    /// Broken places found while reading.
    pub damaged: u64,
    /// Whether there is no room.
    pub full: bool,
}

impl Queue {
    /// Opens the queue on a disk, recovers what is there, and starts its threads.
    ///
    /// # Errors
    /// [`QueueError::Refused`] for a configuration that makes no sense, [`QueueError::Disk`] if the disk does not answer.
    /// Damage is no error: see the report.
    pub fn open(
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        mut config: Config,
    ) -> Result<(Arc<Self>, RecoveryReport), QueueError> {
        config.check().map_err(QueueError::Refused)?;
        if let Ok(space) = disk.space() {
            config.segment_bytes = config.segment_bytes_on(space.total);
        }
        let mut report = RecoveryReport::default();
        let defaults = TopicSettings::of(&config);
        let (catalog, entries) = catalog::open(&disk, &defaults, &mut report).map_err(QueueError::disk)?;
        let groups = Arc::new(Groups::open(disk.clone()).map_err(QueueError::disk)?);
        let coordinator = Arc::new(Coordinator::new(groups.clone(), config.groups.clone()));
        let (checkpoints, marks, damaged) = checkpoint::Checkpoints::open(disk.clone()).map_err(QueueError::disk)?;
        report.damaged_entries += damaged;
        let (ids, damaged) = ProducerIds::open(disk.clone()).map_err(QueueError::disk)?;
        report.damaged_entries += damaged;
        let (traffic, damaged) = Traffic::open(disk.clone()).map_err(QueueError::disk)?;
        report.damaged_entries += damaged;
        let (jobs, work) = unbounded();
        let shared = Arc::new(Shared {
            files: files::Files::new(disk.clone(), config.open_files),
            disk,
            clock,
            jobs,
            groups,
            coordinator,
            catalog: Mutex::new(catalog),
            checkpoints: Mutex::new(checkpoints),
            producer_ids: Mutex::new(ids),
            on_durable: Hooks::default(),
            on_topic: Hooks::default(),
            on_delete: Hooks::default(),
            around_growth: Hooks::default(),
            while_full: Hooks::default(),
            gauges: Gauges::default(),
            closed: AtomicBool::new(false),
            config,
        });
        let flushes = shared.jobs.clone();
        shared.groups.flushed_by(Box::new(move || {
            let _gone = flushes.send(Job::Groups);
        }));
        let topics = Arc::new(Topics::default());
        // Offsets of topics that were deleted, or are gone by damage, mean nothing: their ids never come again.
        let there: HashSet<TopicId> = entries.iter().map(|entry| entry.id).collect();
        shared.groups.keep(&|id| there.contains(&id));
        for topic in opening::topics(&shared, entries, &marks, &mut report).map_err(QueueError::disk)? {
            topics.add(topic);
        }
        strays::bring_home(&topics, &mut shared.producer_ids.lock());
        let mut threads = Threads::default();
        for nth in 0..shared.config.writers {
            let work = work.clone();
            let writer = thread::Builder::new().name(format!("queue-{nth}")).stack_size(512 * 1024);
            threads.writers.push(
                writer
                    .spawn({
                        let groups = shared.groups.clone();
                        move || writer::run(&work, &groups)
                    })
                    .map_err(QueueError::disk)?,
            );
        }
        let (stop, stopped) = bounded(0);
        let (own, all) = (shared.clone(), topics.clone());
        let keeper = thread::Builder::new().name("queue-keeper".into()).stack_size(512 * 1024);
        let keeper = keeper.spawn(move || keeper::run(&own, &|| all.all(), &stopped)).map_err(QueueError::disk)?;
        threads.keeper = Some((stop, keeper));
        let queue =
            Self { shared, topics, traffic, making: Mutex::new(()), planned: RwLock::default(), threads: Mutex::new(threads) };
        queue.shared.gauges.sealed.store(true, Ordering::Relaxed);
        queue.tend();
        Ok((Arc::new(queue), report))
    }

    /// The topic of this name.
    pub fn topic(&self, name: &str) -> Option<Arc<Topic>> {
        self.topics.by_name.read().get(name).cloned()
    }

    /// The topic of this id.
    pub fn topic_by_id(&self, id: TopicId) -> Option<Arc<Topic>> {
        self.topics.by_id.read().get(&id).cloned()
    }

    /// All topics, by name.
    pub fn topics(&self) -> Vec<Arc<Topic>> {
        self.topics.all()
    }

    /// Makes a topic, durably.
    ///
    /// # Errors
    /// [`QueueError::Refused`] if the name is taken or cannot be one, or there are too many topics;
    /// [`QueueError::NotDurable`] or [`QueueError::Full`] from the disk.
    pub fn create_topic(&self, name: &str, settings: TopicSettings) -> Result<Arc<Topic>, QueueError> {
        let topic = {
            let _one_at_a_time = self.making.lock();
            if self.topic(name).is_some() {
                return Err(QueueError::Refused(format!("there is a topic `{name}` already")));
            }
            self.make(name, settings)?
        };
        self.tell(&topic);
        Ok(topic)
    }

    /// The topic of this name; made with the defaults if it is not there.
    ///
    /// # Errors
    /// As [`Queue::create_topic`], but for the name being taken.
    pub fn ensure_topic(&self, name: &str) -> Result<Arc<Topic>, QueueError> {
        if let Some(topic) = self.topic(name) {
            return Ok(topic);
        }
        let topic = {
            let _one_at_a_time = self.making.lock();
            if let Some(topic) = self.topic(name) {
                return Ok(topic);
            }
            let planned = self.planned.read().get(name).map(|(_, settings)| settings.clone());
            self.make(name, planned.unwrap_or_else(|| TopicSettings::of(&self.shared.config)))?
        };
        self.tell(&topic);
        Ok(topic)
    }

    fn make(&self, name: &str, settings: TopicSettings) -> Result<Arc<Topic>, QueueError> {
        if self.shared.is_closed() {
            return Err(QueueError::Closed);
        }
        if !is_topic_name(name) {
            return Err(QueueError::Refused(format!(
                "`{}` is no topic name: 1 to 249 letters, digits, `.`, `_` or `-`",
                name.chars().take(60).collect::<String>()
            )));
        }
        settings.check()?;
        if self.topics.by_id.read().len() >= self.shared.config.max_topics {
            return Err(QueueError::Refused(format!("there are {} topics already", self.shared.config.max_topics)));
        }
        let (id, name): (TopicId, Arc<str>) = (TopicId::new(), name.into());
        let shared_settings = Arc::new(ArcSwap::from_pointee(settings.clone()));
        let mut partitions = Vec::new();
        for number in 0..settings.partitions {
            partitions.push(catalog::make_partition(&self.shared, id, &name, number, &shared_settings)?);
        }
        catalog::write(&self.shared, id, &name, &settings)?;
        let topic = Arc::new(Topic::new(id, name, self.shared.clone(), shared_settings, partitions));
        if let Some((keys, settings)) = self.planned.read().get(&**topic.name()) {
            topic.pin(keys, settings);
        }
        self.topics.add(topic.clone());
        Ok(topic)
    }

    /// Says what the configuration file says of a topic: which settings, and all that it has if it is made on first use.
    pub fn plan_topic(&self, name: &str, keys: Vec<Key>, settings: TopicSettings) {
        if let Some(topic) = self.topic(name) {
            topic.pin(&keys, &settings);
        }
        self.planned.write().insert(name.to_owned(), (keys, settings));
    }

    /// Who deletes it waits meanwhile: nobody hears of a topic after its end.
    fn tell(&self, topic: &Arc<Topic>) {
        let _no_other_change = topic.changing.lock();
        if topic.is_gone() {
            return;
        }
        for hook in self.shared.on_topic.all().iter() {
            hook(topic);
        }
    }

    /// From now on called, by a writer thread, after each group commit that made something durable. It must be quick and must not
    /// wait for the queue.
    pub fn on_durable(&self, hook: DurableHook) {
        self.shared.on_durable.add(hook);
    }

    /// From now on called after a topic was made, got more partitions or other settings, by the thread that did it.
    pub fn on_topic(&self, hook: TopicHook) {
        self.shared.on_topic.add(hook);
    }

    /// What it was configured with.
    pub fn config(&self) -> &Config {
        &self.shared.config
    }

    /// An id for an idempotent producer, which no other ever has; its epoch begins at 0. May wait for the disk.
    ///
    /// # Errors
    /// [`QueueError::NotDurable`] or [`QueueError::Full`] from the disk.
    pub fn new_producer_id(&self) -> Result<i64, QueueError> {
        self.shared.producer_ids.lock().give()
    }

    /// What consumer groups have committed.
    pub fn groups(&self) -> &Groups {
        &self.shared.groups
    }

    /// The members of consumer groups.
    pub fn coordinator(&self) -> &Arc<Coordinator> {
        &self.shared.coordinator
    }

    /// Whether appends are taken now: receivers ask before they read on.
    ///
    /// # Errors
    /// [`QueueError::Full`] or [`QueueError::Closed`].
    pub fn append_space(&self) -> Result<(), QueueError> {
        if self.shared.is_closed() {
            return Err(QueueError::Closed);
        }
        self.shared.room_for(1, false)
    }

    /// Free and total bytes of its disk, if that answers.
    pub fn space(&self) -> Option<Space> {
        self.shared.disk.space().ok()
    }

    /// Numbers of the whole queue.
    pub fn stats(&self) -> QueueStats {
        let gauges = &self.shared.gauges;
        QueueStats {
            bytes: gauges.bytes.load(Ordering::Relaxed),
            pending_bytes: gauges.pending.load(Ordering::Relaxed),
            commits: gauges.commits.load(Ordering::Relaxed),
            syncs: gauges.syncs.load(Ordering::Relaxed),
            lost_records: gauges.lost_records.load(Ordering::Relaxed),
            damaged: gauges.damaged.load(Ordering::Relaxed),
            full: gauges.full.load(Ordering::Relaxed),
        }
    }

    /// From now on called every second in which senders are refused because the disk is full, or because a topic holds more than
    /// `hold_bytes`: nothing goes before its rows are durable.
    pub fn while_full(&self, hook: FullHook) {
        self.shared.while_full.add(hook);
    }

    /// Does at once what the keeper does every second: checkpoints, retention, a look at the free space.
    pub fn tend(&self) {
        keeper::tick(&self.shared, &|| self.topics.all());
    }

    /// Takes nothing more, finishes what was taken, writes a checkpoint, stops the threads. Reading still works.
    pub fn shutdown(&self) {
        self.stop();
        keeper::checkpoint(&self.shared, &|| self.topics.all(), 0);
    }

    /// Stops the threads; what waits is finished first.
    fn stop(&self) {
        self.shared.closed.store(true, Ordering::Release);
        let Threads { writers, keeper } = std::mem::take(&mut *self.threads.lock());
        for _ in &writers {
            let _gone = self.shared.jobs.send(Job::Stop);
        }
        let own = thread::current().id();
        let keeper = keeper.map(|(stop, keeper)| {
            drop(stop);
            keeper
        });
        for thread in writers.into_iter().chain(keeper) {
            // A hook may hold the last reference to the queue; its thread cannot wait for itself.
            if thread.thread().id() != own && thread.join().is_err() {
                tracing::error!("a thread of the queue had panicked");
            }
        }
        self.shared.groups.close();
        // A writer that was told to stop may have left what came in between. Who looks into an inbox after this finds it closed, and
        // so does who makes a partition that is not among these.
        for partition in self.topics.all().iter().flat_map(|topic| topic.partitions()) {
            writer::commit(&partition);
        }
    }
}

impl Drop for Queue {
    /// As a crash would, but for the threads: no checkpoint is written.
    fn drop(&mut self) {
        self.stop();
        // Topics, partitions and hooks refer to one another.
        self.topics.by_name.write().clear();
        self.topics.by_id.write().clear();
        self.shared.on_durable.clear();
        self.shared.on_topic.clear();
        self.shared.on_delete.clear();
        self.shared.around_growth.clear();
        self.shared.while_full.clear();
    }
}

impl Topics {
    fn add(&self, topic: Arc<Topic>) {
        self.by_id.write().insert(topic.id(), topic.clone());
        self.by_name.write().insert(topic.name().clone(), topic);
    }

    fn remove(&self, topic: &Topic) {
        self.by_name.write().remove(topic.name());
        self.by_id.write().remove(&topic.id());
    }

    fn all(&self) -> Vec<Arc<Topic>> {
        let mut all: Vec<Arc<Topic>> = self.by_name.read().values().cloned().collect();
        all.sort_unstable_by(|a, b| a.name().cmp(b.name()));
        all
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::cast_possible_truncation)]
mod tests;
