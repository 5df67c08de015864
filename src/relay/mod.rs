//! From the queue through the filters into the store, and sideways to other topics, dead letters and outputs.
//!
//! In come durable batches ([`crate::queue`] says when), out go rows with the offsets they stand for ([`crate::store`]), and
//! emissions as appends to the queue. Which chain handles which offset is a generation's, made durable before it is used.
//!
//! ```text
//! lane.rs         one partition: read → chain → emissions durable → rows and next offset
//! schedule.rs     lanes share a few threads (shares.rs: by priority)       generations.rs  offsets → chains; promotion
//! codec/          records that are no text        promote.rs      new generations   cut.rs  where calls begin and end
//! verdicts.rs     verdicts → rows, dead letters   outbox.rs       emissions, each once
//! growth.rs       targets get more partitions   history.rs  retained records, read again
//! output/         Zabbix, webhooks                watch.rs        filters dropped into a folder
//! trial/          a chain beside the live one     explain/        what became of a record, and why
//! dead/           dead letters: shown, as a file that fails anywhere, tried again
//! slots.rs        how many of these at a time
//! life.rs         versions and generations: listed, promoted, rolled back
//! replay/         history parsed again            sweep.rs  what still refers to modules and looked-up files
//! catch_up.rs     whether rows are there of what was durable a moment ago
//! ```
//! Invariants: of every record the queue acknowledged the store has the rows of exactly one generation, each once; a target
//! topic has each emission once (`tests/it/lineage_model.rs` checks both through crashes).
//! Limits: threads are `workers` and one per output, however many topics; memory is one slice a thread, and what waits for
//! emissions to become durable.
//! Crash story: nothing here is durable. A start takes cursors and generations from the store, outputs' cursors from the
//! queue's groups, and goes on.
//! Absent: how a record is stored (store), what a filter may do (sandbox), who sends records (ingest).

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;

use crossbeam_channel::{Receiver, Sender};
use parking_lot::Mutex;

use crate::base::clock::Clock;
use crate::base::ids::{PartitionId, TopicId};
use crate::base::limits;
use crate::base::low;
use crate::queue::Queue;
use crate::sandbox::Sandbox;
use crate::store::Store;

mod catch_up;
mod circle;
pub mod codec;
pub mod config;
mod configured;
mod control;
mod cut;
pub mod dead;
mod error;
pub mod explain;
mod generations;
mod growth;
mod history;
mod keyed;
mod lane;
mod life;
mod outbox;
mod output;
mod promote;
mod promoted;
mod replay;
mod schedule;
mod shared;
mod shares;
mod shown;
pub mod slots;
mod status;
mod sweep;
pub mod trial;
mod verdicts;
mod waiting;
mod watch;

use control::Control;
use generations::{Generations, MadeBy};
use output::Delivery;
use output::webhook::Webhook;
use output::zabbix::Zabbix;
use shared::Shared;

pub use config::{Config, OutputConfig, TopicConfig};
pub use error::RelayError;
pub use history::{Range, Which};
pub use lane::Step;
pub use life::{GenerationStatus, Kept, Opened, Promotion, Wish};
pub use promote::Change;
pub use replay::{
    Deleted, NamedRows, Past, Progress, ReplayChain, ReplayPlan, ReplayRequest, ReplayState, ReplayStatus, ReplayStep,
};
pub use status::{ChainEntry, ChainStatus, LaneStatus, OutputStatus, RegistryStatus};
pub use watch::provide;

/// All lanes, their generations, and the outputs.
pub struct Relay {
    shared: Arc<Shared>,
    asked: Receiver<Control>,
    threads: Mutex<Vec<std::thread::JoinHandle<()>>>,
    watcher: Mutex<Option<notify::RecommendedWatcher>>,
    trials: trial::Trials,
}

impl std::fmt::Debug for Relay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Relay").finish_non_exhaustive()
    }
}

impl Relay {
    /// Opens the relay and starts its threads.
    ///
    /// # Errors
    /// A configuration that cannot be carried out, or a disk that refuses.
    pub fn start(
        queue: Arc<Queue>,
        store: Arc<Store>,
        sandbox: Arc<Sandbox>,
        clock: Arc<dyn Clock>,
        config: Config,
    ) -> Result<Arc<Self>, RelayError> {
        let relay = Self::open(queue, store, sandbox, clock, config)?;
        relay.start_threads()?;
        Ok(relay)
    }

    /// The relay without threads: lanes move only by [`Relay::step`]. For tests.
    ///
    /// # Errors
    /// As [`Relay::start`].
    pub fn open(
        queue: Arc<Queue>,
        store: Arc<Store>,
        sandbox: Arc<Sandbox>,
        clock: Arc<dyn Clock>,
        config: Config,
    ) -> Result<Arc<Self>, RelayError> {
        config.check().map_err(RelayError::Config)?;
        let (control, asked): (Sender<Control>, _) = crossbeam_channel::unbounded();
        let shared = Shared::new(queue.clone(), store.clone(), sandbox, clock, config, control)?;
        for (name, topic) in &shared.config.topics {
            if let Some(partitions) = configured::ensure(&queue, &store, name, topic)? {
                shared.to_grow.lock().push((name.clone(), partitions));
            }
        }
        let mut deliveries = Vec::new();
        for output in &shared.config.outputs {
            let topic = shared.output_topic(output.name())?;
            deliveries.push(Arc::new(Delivery::new(output.name(), output.kind(), &queue, &shared.clock, topic)?));
        }
        // Set once, here.
        let _ = shared.deliveries.set(deliveries);
        shared.bound_dead_letters();
        for topic in queue.topics() {
            for partition in topic.partitions() {
                let groups = queue.groups().of_topic(topic.id()).into_iter();
                let cursors = groups.filter(|(_, number, _)| *number == partition.id()).map(|(_, _, offset)| offset);
                if let Some(cursor) = cursors.chain(store.cursor(topic.id(), partition.id())).max()
                    && partition.high_watermark() < cursor
                {
                    tracing::warn!(topic = %topic.name(), partition = partition.id(), cursor, "the log ends below what is stored; it goes on there");
                    partition.raise_to(cursor)?;
                }
                shared.lane(&topic, &partition);
            }
        }
        let (threads, watcher, trials) = (Mutex::default(), Mutex::new(None), trial::Trials::default());
        let relay = Arc::new(Self { shared, asked, threads, watcher, trials });
        // Before anything is promoted: a replay's number is not to be given away twice.
        relay.shared.replays.load(&relay.shared);
        if let Some(folder) = &relay.shared().config.filters_dir {
            watch::provide(folder, &relay.shared().sandbox);
        }
        relay.promote_configured()?;
        // Weak: the queue and the store outlive the relay, and must not keep it.
        let lanes = Arc::downgrade(&relay.shared);
        queue.on_durable(Box::new(move |partition| {
            if let Some(shared) = lanes.upgrade() {
                shared.durable(partition);
            }
        }));
        let lanes = Arc::downgrade(&relay.shared);
        store.on_commit(Box::new(move |topic, partition, next| {
            if let Some(shared) = lanes.upgrade() {
                shared.committed(topic, partition, next);
            }
        }));
        let lanes = Arc::downgrade(&relay.shared);
        queue.on_topic(Box::new(move |topic| {
            if let Some(shared) = lanes.upgrade() {
                shared.follow(topic);
            }
        }));
        let lanes = Arc::downgrade(&relay.shared);
        queue.on_delete(Box::new(move |topic| {
            if let Some(shared) = lanes.upgrade() {
                shared.forget(topic.id());
            }
        }));
        let lanes = Arc::downgrade(&relay.shared);
        queue.while_full(Box::new(move || {
            if let Some(shared) = lanes.upgrade() {
                shared.store.flush_soon();
            }
        }));
        let lanes = Arc::downgrade(&relay.shared);
        queue.around_growth(Box::new(move |topic| match lanes.upgrade() {
            Some(shared) => growth::prepare(&shared, topic),
            None => Ok(Box::new(())),
        }));
        let lanes = relay.shared.all_lanes();
        store.set_lanes_behind(lanes.iter().filter(|registered| registered.core.note_remake()).count());
        for registered in lanes {
            registered.task.notify();
        }
        Ok(relay)
    }

    fn start_threads(self: &Arc<Self>) -> Result<(), RelayError> {
        let shared = &self.shared;
        let mut threads = self.threads.lock();
        let workers = match shared.config.workers {
            0 => std::thread::available_parallelism().map_or(2, std::num::NonZero::get),
            workers => workers,
        };
        for number in 0..workers {
            let pool = shared.pool.clone();
            let run = move || {
                low::lower(low::LANES);
                pool.run();
            };
            threads.push(std::thread::Builder::new().name(format!("lanes-{number}")).spawn(run)?);
        }
        let deliveries = shared.deliveries.get().map(Vec::as_slice).unwrap_or_default();
        for (delivery, config) in deliveries.iter().zip(&shared.config.outputs) {
            let sender: Box<dyn output::Sender> = match config {
                OutputConfig::Zabbix(zabbix) => Box::new(Zabbix::new(zabbix).map_err(RelayError::Config)?),
                OutputConfig::Webhook(webhook) => Box::new(Webhook::new(webhook)),
            };
            let delivery = delivery.clone();
            let name = format!("out-{}", config.name());
            threads.push(std::thread::Builder::new().name(name).spawn(move || delivery.run(sender))?);
        }
        let watch = shared.config.filters_dir.clone().map(watch::Watch::new);
        if let Some(watch) = &watch {
            *self.watcher.lock() = watch.start(shared.control.clone());
        }
        let (relay, asked) = (self.clone(), self.asked.clone());
        threads.push(std::thread::Builder::new().name("relay".into()).spawn(move || control::run(&relay, &asked, watch))?);
        drop(threads);
        self.start_replays();
        Ok(())
    }

    /// One step of one lane, by hand; `None` if there is no such lane.
    pub fn step(&self, topic: TopicId, partition: PartitionId) -> Option<Step> {
        let registered = self.shared.known_lane(topic, partition)?;
        let step = registered.task.lane.lock().step(Waker::noop());
        Some(step)
    }

    /// Every lane, now.
    pub fn lanes(&self) -> Vec<LaneStatus> {
        let lanes = self.shared.all_lanes();
        lanes.iter().filter(|lane| !lane.core.is_resting()).map(|lane| lane.core.status()).collect()
    }

    /// The newest chain of every topic; a topic that never had a record has the default chain, as generation 0.
    pub fn chains(&self) -> Vec<ChainStatus> {
        let mut chains = Vec::new();
        for generations in self.shared.all_generations() {
            let (generation, made_by, record, codec) = match generations.newest() {
                Some((generation, newest)) => {
                    let codec = newest.codec.as_ref().map(|codec| codec.spec());
                    (generation, newest.made_by, newest.chain.clone(), codec)
                }
                None => match self.shared.default_chain(None) {
                    Ok(record) => (0, MadeBy::Default, record, None),
                    Err(_) => continue,
                },
            };
            let (topic, chain) = (generations.name.clone(), self.entries(&record));
            chains.push(ChainStatus { topic, generation, made_by: made_by.name(), codec, chain });
        }
        chains
    }

    /// Every schema registry that was asked, now.
    pub fn registries(&self) -> Vec<RegistryStatus> {
        self.shared.registries.status()
    }

    /// Whether the configuration names a topic: then a start makes it, whatever became of it.
    pub fn is_configured(&self, topic: &str) -> bool {
        self.shared.config.topics.contains_key(topic)
    }

    /// Every output, now.
    pub fn outputs(&self) -> Vec<OutputStatus> {
        let deliveries = self.shared.deliveries.get().map(Vec::as_slice).unwrap_or_default();
        deliveries.iter().map(|delivery| delivery.status()).collect()
    }

    /// Dead letters that were resolved by retries since the start.
    pub fn retried(&self) -> u64 {
        self.shared.retried.load(Ordering::Relaxed)
    }

    /// How often a filter failed too often.
    pub fn quarantines(&self) -> u64 {
        self.shared.quarantines.load(Ordering::Relaxed)
    }

    /// Stops the outputs and lanes, each after the request or slice it is at, and waits for them. What is not handled yet
    /// waits in the queue. The store is flushed by its own shutdown, after this.
    pub fn shutdown(&self) {
        drop(self.watcher.lock().take());
        self.trials.stop();
        self.stop_replays();
        // Nobody listens any more where no threads were started.
        let _ = self.shared.control.send(Control::Stop);
        for delivery in self.shared.deliveries.get().map(Vec::as_slice).unwrap_or_default() {
            delivery.stop();
        }
        self.shared.pool.stop();
        self.shared.registries.stop();
        let threads = std::mem::take(&mut *self.threads.lock());
        for thread in threads {
            let name = thread.thread().name().unwrap_or_default().to_owned();
            if thread.join().is_err() {
                tracing::error!(thread = name, "a thread of the relay panicked");
            }
        }
    }

    /// The topic, made with defaults if it is not there: for filters dropped into a folder of its name.
    pub(crate) fn ensure_topic(&self, name: &str) -> Result<Arc<Generations>, RelayError> {
        if name.starts_with('_') || !limits::is_topic_name(name) {
            return Err(RelayError::Config(format!("`{name}` cannot be a topic's name")));
        }
        let topic = self.shared.target(name)?;
        for partition in topic.partitions() {
            self.shared.lane(&topic, &partition);
        }
        Ok(self.shared.generations(&topic))
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}
