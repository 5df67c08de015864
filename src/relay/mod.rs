//! From the queue through the filters into the store, and sideways to other topics, dead letters and outputs.
//!
//! In come durable batches ([`crate::queue`] says when), out go rows with the offsets they stand for ([`crate::store`]), and
//! emissions as appends to the queue. Which chain handles which offset is a generation's, made durable before it is used.
//!
//! ```text
//! lane.rs         one partition: read → chain → emissions durable → rows and next offset
//! schedule.rs     lanes share a few threads       generations.rs  offsets → chains; promotion
//! verdicts.rs     verdicts → rows, dead letters   outbox.rs       emissions, each once
//! growth.rs       targets get more partitions
//! output/         Zabbix, webhooks                watch.rs        filters dropped into a folder
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
use crate::base::ids::{Generation, PartitionId, TopicId};
use crate::base::limits;
use crate::queue::Queue;
use crate::sandbox::{ChainRecord, ChainSpec, FilterInfo, Sandbox};
use crate::store::Store;

mod circle;
pub mod config;
mod configured;
mod control;
mod cut;
mod error;
mod generations;
mod growth;
mod lane;
mod outbox;
mod output;
mod schedule;
mod shared;
mod status;
mod verdicts;
mod watch;

use control::Control;
use generations::{Generations, MadeBy, Promoted};
use output::webhook::Webhook;
use output::zabbix::Zabbix;
use output::{Delivery, GROUP_PREFIX};
use shared::Shared;

pub use config::{Config, OutputConfig, TopicConfig};
pub use error::RelayError;
pub use lane::Step;
pub use status::{ChainEntry, ChainStatus, LaneStatus, OutputStatus};

/// All lanes, their generations, and the outputs.
pub struct Relay {
    shared: Arc<Shared>,
    asked: Receiver<Control>,
    threads: Mutex<Vec<std::thread::JoinHandle<()>>>,
    watcher: Mutex<Option<notify::RecommendedWatcher>>,
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
        let relay = Arc::new(Self { shared, asked, threads: Mutex::default(), watcher: Mutex::new(None) });
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
            threads.push(std::thread::Builder::new().name(format!("lanes-{number}")).spawn(move || pool.run())?);
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
        Ok(())
    }

    /// Gives a topic another chain, from a batch boundary on. Durable when it returns; on an error the running chain stays.
    ///
    /// # Errors
    /// [`RelayError::Filter`] where the chain does not hold.
    pub fn promote(&self, topic: &str, spec: ChainSpec) -> Result<Generation, RelayError> {
        let record = self.shared.sandbox.resolve(&spec)?;
        self.promote_resolved(&self.topic(topic)?, Some(spec), record, MadeBy::Hot)
    }

    /// Opens a new generation in every topic whose chain names this filter, if that makes a difference. A topic where it
    /// fails keeps its chain; that is logged.
    pub fn filter_replaced(&self, name: &str) -> Vec<(String, Generation)> {
        self.replace(name, |_| true)
    }

    /// [`Relay::filter_replaced`] for some topics.
    pub(crate) fn replace(&self, name: &str, wanted: impl Fn(&Generations) -> bool) -> Vec<(String, Generation)> {
        self.shared.forget_default();
        let mut made = Vec::new();
        for generations in self.shared.all_generations() {
            let Some((_, newest)) = generations.newest() else { continue };
            if !newest.chain.uses(name) || !wanted(&generations) {
                continue;
            }
            match self.again(&generations, &newest, MadeBy::Hot) {
                Ok(Some(generation)) => made.push((generations.name.to_string(), generation)),
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(topic = %generations.name, filter = name, %error, "the topic keeps the chain it has");
                }
            }
        }
        made
    }

    /// Resolves what a topic has anew; promotes it if that is something else now.
    fn again(&self, generations: &Arc<Generations>, newest: &Promoted, by: MadeBy) -> Result<Option<Generation>, RelayError> {
        let record = match &newest.spec {
            Some(spec) => self.shared.sandbox.resolve(spec)?,
            None => self.shared.default_chain()?,
        };
        if record == newest.chain {
            return Ok(None);
        }
        self.promote_resolved(generations, newest.spec.clone(), record, by).map(Some)
    }

    fn topic(&self, name: &str) -> Result<Arc<Generations>, RelayError> {
        let topic = self.shared.queue.topic(name).ok_or_else(|| RelayError::NoTopic(name.to_owned()))?;
        if name.starts_with(GROUP_PREFIX) {
            return Err(RelayError::Config(format!("`{name}` belongs to an output and has no chain")));
        }
        Ok(self.shared.generations(&topic))
    }

    fn promote_resolved(
        &self,
        generations: &Arc<Generations>,
        spec: Option<ChainSpec>,
        record: ChainRecord,
        made_by: MadeBy,
    ) -> Result<Generation, RelayError> {
        self.refuse_circle(generations, &record)?;
        // Off the lanes: compiling takes as long as it takes.
        let chain = self.shared.sandbox.chain(&record)?;
        let promoted = Promoted { made_by, spec, chain: record };
        let emitted = |partition| self.shared.emitted(generations.topic, partition);
        let made = generations.promote(&self.shared.store, emitted, promoted, chain, false);
        self.shared.wake_topic(generations.topic);
        let generation = made?;
        tracing::info!(topic = %generations.name, generation, by = made_by.name(), "generation promoted");
        Ok(generation)
    }

    /// At the start: chains of the configuration that are not the ones recorded.
    fn promote_configured(&self) -> Result<(), RelayError> {
        let all = self.shared.all_generations();
        let is_used = |filter: &FilterInfo| all.iter().any(|topic| topic.made_of(&filter.name, &filter.sha256));
        let filters = self.shared.sandbox.filters().into_iter();
        let unused: Vec<String> = filters.filter(|f| !f.stock && !is_used(f)).map(|f| f.name).collect();
        for generations in self.shared.all_generations() {
            let wanted = self.shared.config.topics.get(&*generations.name).and_then(|topic| topic.chain.clone());
            let made_by = if wanted.is_some() { MadeBy::Config } else { MadeBy::Default };
            let changed = match generations.newest_configured() {
                Some(recorded) => recorded.spec != wanted,
                None => wanted.is_some(),
            };
            if changed {
                let record = match &wanted {
                    Some(spec) => self
                        .shared
                        .sandbox
                        .resolve(spec)
                        .map_err(|error| RelayError::Config(format!("topics.{}.chain: {error}", generations.name)))?,
                    None => self.shared.default_chain()?,
                };
                self.promote_resolved(&generations, wanted, record, made_by)?;
                continue;
            }
            // The box ended between keeping a filter that was put and using it: nobody was told that it is in use.
            if let Some((_, newest)) = generations.newest()
                && unused.iter().any(|name| newest.chain.uses(name))
                && let Err(error) = self.again(&generations, &newest, MadeBy::Hot)
            {
                tracing::warn!(topic = %generations.name, %error, "the topic keeps the chain it has");
            }
            // The same words, but another box: its own filters may be newer ones. A person's replacement stays.
            if let Some((_, newest)) = generations.newest()
                && newest.made_by != MadeBy::Hot
                && self.is_all_stock(&newest.chain)
                && let Err(error) = self.again(&generations, &newest, made_by)
            {
                tracing::warn!(topic = %generations.name, %error, "the topic keeps the chain it has");
            }
        }
        Ok(())
    }

    fn is_all_stock(&self, chain: &ChainRecord) -> bool {
        let filters = self.shared.sandbox.filters();
        chain.entries.iter().all(|entry| filters.iter().any(|filter| filter.stock && *filter.name == *entry.filter))
    }

    /// A quarantined topic's records pass as they are, unless its chain was replaced meanwhile.
    pub(crate) fn pass(&self, topic: TopicId, generation: Generation) {
        let Some(generations) = self.shared.all_generations().into_iter().find(|g| g.topic == topic) else { return };
        if generations.newest().is_none_or(|(newest, _)| newest != generation) {
            return;
        }
        let outcome = self.shared.default_chain().and_then(|record| {
            if generations.newest().is_some_and(|(_, newest)| newest.chain == record) {
                return Ok(generation);
            }
            self.promote_resolved(&generations, None, record, MadeBy::Hot)
        });
        if let Err(error) = outcome {
            tracing::error!(topic = %generations.name, %error, "cannot let records pass");
        }
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
            let (generation, made_by, record) = match generations.newest() {
                Some((generation, newest)) => (generation, newest.made_by, newest.chain.clone()),
                None => match self.shared.default_chain() {
                    Ok(record) => (0, MadeBy::Default, record),
                    Err(_) => continue,
                },
            };
            let entries = record.entries.iter().map(|entry| ChainEntry {
                filter: entry.filter.to_string(),
                when: entry.when.clone(),
                sha256: entry.sha256.to_string(),
                config: entry.config.clone(),
            });
            let (topic, chain) = (generations.name.clone(), entries.collect());
            chains.push(ChainStatus { topic, generation, made_by: made_by.name(), chain });
        }
        chains
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

    /// How often a filter failed too often.
    pub fn quarantines(&self) -> u64 {
        self.shared.quarantines.load(Ordering::Relaxed)
    }

    /// Stops the outputs and lanes, each after the request or slice it is at, and waits for them. What is not handled yet
    /// waits in the queue. The store is flushed by its own shutdown, after this.
    pub fn shutdown(&self) {
        drop(self.watcher.lock().take());
        // Nobody listens any more where no threads were started.
        let _ = self.shared.control.send(Control::Stop);
        for delivery in self.shared.deliveries.get().map(Vec::as_slice).unwrap_or_default() {
            delivery.stop();
        }
        self.shared.pool.stop();
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
