//! What all lanes share: the houses around, the topics' generations, the outputs' selections, and the registry of lanes.
//!
//! Invariant: a partition has one lane at most, for ever; `_out.` topics have none (their output consumes them), nor those that
//! are not to be stored: their lanes rest, if there were any, and go on where they were if they are stored again.
//! Lanes are made when a partition is first seen, here or by the queue's callbacks, and cost some hundred bytes while idle.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use crossbeam_channel::Sender;
use hashbrown::HashMap;
use parking_lot::{Mutex, RwLock};

use crate::base::clock::Clock;
use crate::base::ids::{Generation, Offset, PartitionId, TopicId};
use crate::base::predicate::{self, Bound, Predicate};
use crate::base::row::KeepPayload;
use crate::base::units::Bytes;
use crate::queue::{Partition, Queue, QueueError, Source, Topic, TopicSettings};
use crate::relay::RelayError;
use crate::relay::codec::Codec;
use crate::relay::codec::registry::Registries;
use crate::relay::codec::spec::CodecRecord;
use crate::relay::config::{Config, Then, TopicConfig};
use crate::relay::control::Control;
use crate::relay::generations::{Generations, MadeBy, Promoted, Ready};
use crate::relay::growth::Routes;
use crate::relay::keyed::EXPIRED_RUN;
use crate::relay::lane::{Lane, LaneCore};
use crate::relay::output::{Delivery, GROUP_PREFIX};
use crate::relay::replay::Replays;
use crate::relay::schedule::{Pool, Task};
use crate::relay::slots::Slots;
use crate::relay::verdicts::DEAD_PREFIX;
use crate::sandbox::{ChainRecord, ChainSpec, Sandbox, State};
use crate::store::Store;
use crate::store::mask::ToCome;

/// The filter that takes away what nobody is to see.
const REDACT: &str = "redact";
/// What is kept of payloads where nothing is set: it takes no room, but comparing costs a twentieth of ingest.
const KEEP: KeepPayload = KeepPayload::Never;

/// Whether lanes take a topic's records into the store.
pub(crate) fn has_lanes(topic: &Topic) -> bool {
    !topic.is_gone() && !topic.name().starts_with(GROUP_PREFIX) && topic.settings().store
}

/// Which rows an output wants.
pub(crate) struct Selection {
    name: String,
    topics: Option<Vec<String>>,
    when: Option<Predicate>,
    hold_bytes: Bytes,
}

/// A lane, its scheduling and what is to be seen of it.
#[derive(Clone)]
pub(crate) struct Registered {
    pub(crate) task: Arc<Task>,
    pub(crate) core: Arc<LaneCore>,
}

/// See the module.
pub(crate) struct Shared {
    pub(crate) queue: Arc<Queue>,
    pub(crate) store: Arc<Store>,
    pub(crate) sandbox: Arc<Sandbox>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) config: Config,
    pub(crate) pool: Arc<Pool>,
    pub(crate) control: Sender<Control>,
    pub(crate) quarantines: AtomicU64,
    /// Dead letters that retries resolved.
    pub(crate) retried: AtomicU64,
    /// Payload bytes of slices that wait for emissions.
    pub(crate) waiting_bytes: AtomicUsize,
    pub(crate) deliveries: OnceLock<Vec<Arc<Delivery>>>,
    selections: Vec<Selection>,
    topics: RwLock<HashMap<TopicId, Arc<Generations>>>,
    lanes: RwLock<HashMap<(TopicId, PartitionId), Registered>>,
    default_chain: Mutex<Option<ChainRecord>>,
    pub(crate) registries: Arc<Registries>,
    pub(crate) replays: Replays,
    /// One promotion at a time, from the look for circles until it is made.
    pub(crate) promotions: Mutex<()>,
    /// For explanations and the like.
    pub(crate) explains: Slots,
    /// Which slices route where.
    pub(crate) routes: Arc<Routes>,
    /// Topics that the configuration wants to have more partitions than they could be given at the start.
    pub(crate) to_grow: Mutex<Vec<(String, u32)>>,
}

impl Shared {
    pub(crate) fn new(
        queue: Arc<Queue>,
        store: Arc<Store>,
        sandbox: Arc<Sandbox>,
        clock: Arc<dyn Clock>,
        config: Config,
        control: Sender<Control>,
    ) -> Result<Arc<Self>, RelayError> {
        let mut selections = Vec::new();
        for output in &config.outputs {
            let select = output.select();
            let when = select.when.map(predicate::parse).transpose();
            selections.push(Selection {
                name: select.name.to_owned(),
                topics: select.topics.map(<[String]>::to_vec),
                when: when.map_err(|e| RelayError::Config(format!("outputs.{}.when: {}", select.name, e.message)))?,
                hold_bytes: select.hold_bytes,
            });
        }
        let explains = Slots::new(config.at_once.explains);
        Ok(Arc::new(Self {
            registries: Registries::new(config.disk.clone(), clock.clone(), config.schema_registries.clone()),
            pool: Pool::new(clock.clone()),
            queue,
            store,
            sandbox,
            clock,
            config,
            control,
            quarantines: AtomicU64::new(0),
            retried: AtomicU64::new(0),
            waiting_bytes: AtomicUsize::new(0),
            deliveries: OnceLock::new(),
            selections,
            topics: RwLock::default(),
            lanes: RwLock::default(),
            default_chain: Mutex::new(None),
            replays: Replays::default(),
            promotions: Mutex::default(),
            explains,
            routes: Arc::default(),
            to_grow: Mutex::default(),
        }))
    }

    /// What a topic without generations is handled by. The configuration's, if it has one: the topic was deleted and made again.
    pub(crate) fn first(&self, topic: &str) -> Result<Promoted, RelayError> {
        let (spec, codec) = self.configured(topic)?;
        let made_by = if spec.is_some() || codec.is_some() { MadeBy::Config } else { MadeBy::Default };
        let chain = match &spec {
            Some(spec) => self.sandbox.resolve(spec)?,
            None => self.default_chain(codec.as_ref())?,
        };
        Ok(Promoted { at_ns: Some(self.clock.now_ns()), ..Promoted::new(made_by, spec, chain, codec) })
    }

    /// What the configuration says of a topic's chain and codec.
    pub(crate) fn configured(&self, topic: &str) -> Result<(Option<ChainSpec>, Option<CodecRecord>), RelayError> {
        let config = self.config.topics.get(topic);
        let codec = config.map(TopicConfig::codec).transpose();
        let codec = codec.map_err(|why| RelayError::Config(format!("topics.{topic}.{why}")))?.flatten();
        Ok((config.and_then(|topic| topic.chain.clone()), codec))
    }

    /// What runs a generation.
    pub(crate) fn ready(&self, codec: Option<&CodecRecord>, chain: &ChainRecord) -> Result<Arc<Ready>, RelayError> {
        let codec = Codec::new(codec, &self.registries).map_err(|why| RelayError::Config(format!("codec: {why}")))?;
        Ok(Arc::new(Ready { codec, chain: self.sandbox.chain(chain)?, redacts: chain.uses(REDACT) }))
    }

    /// What runs a generation or a chain that is none yet, with instances of its own, beside the lanes.
    pub(crate) fn apart(&self, codec: Option<&CodecRecord>, chain: &ChainRecord) -> Result<Ready, RelayError> {
        let codec = Codec::new(codec, &self.registries).map_err(|why| RelayError::Config(format!("codec: {why}")))?;
        Ok(Ready { codec, chain: self.sandbox.apart(chain, true)?, redacts: chain.uses(REDACT) })
    }

    /// Whether the store keeps the payloads of a topic's rows. What a chain blackens must not come back by itself.
    pub(crate) fn keep_payload(&self, topic: &str, ready: &Ready) -> KeepPayload {
        let set = self.config.topics.get(topic).and_then(|topic| topic.keep_payload);
        match set.unwrap_or(KEEP) {
            KeepPayload::Derived if ready.redacts => KeepPayload::Never,
            keep => keep,
        }
    }

    /// The chain of topics that have none, resolved once. Of plain records nobody makes fields.
    pub(crate) fn default_chain(&self, codec: Option<&CodecRecord>) -> Result<ChainRecord, RelayError> {
        if codec == Some(&CodecRecord::Plain) {
            return Ok(self.sandbox.resolve(&ChainSpec::default())?);
        }
        let mut known = self.default_chain.lock();
        if let Some(record) = &*known {
            return Ok(record.clone());
        }
        let record = self.sandbox.unconfigured()?;
        *known = Some(record.clone());
        Ok(record)
    }

    /// The default chain, where it was resolved.
    pub(crate) fn known_default(&self) -> Option<ChainRecord> {
        self.default_chain.lock().clone()
    }

    /// A filter was replaced: the default chain may be another.
    pub(crate) fn forget_default(&self) {
        *self.default_chain.lock() = None;
    }

    /// The generations of a topic.
    pub(crate) fn generations(&self, topic: &Topic) -> Arc<Generations> {
        if let Some(known) = self.topics.read().get(&topic.id()) {
            return known.clone();
        }
        let mut topics = self.topics.write();
        let made = topics.entry(topic.id()).or_insert_with(|| {
            let (generations, wrong) = Generations::load(topic.id(), topic.name().clone(), self.store.generations(topic.id()));
            for (generation, error) in wrong {
                tracing::error!(topic = %topic.name(), generation, error, "a generation's record cannot be read");
            }
            Arc::new(generations)
        });
        made.clone()
    }

    /// All topics that have lanes.
    pub(crate) fn all_generations(&self) -> Vec<Arc<Generations>> {
        let mut all: Vec<_> = self.topics.read().values().cloned().collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// The lane of a partition; made if it is not there, except for outputs' topics.
    pub(crate) fn lane(self: &Arc<Self>, topic: &Topic, partition: &Arc<Partition>) -> Option<Registered> {
        let key = (topic.id(), partition.id());
        if let Some(known) = self.lanes.read().get(&key) {
            return Some(known.clone());
        }
        if !has_lanes(topic) {
            return None;
        }
        // Before the lock: a writer of the queue that holds the partition may be asking for its lane.
        let generations = self.generations(topic);
        let committed = self.store.cursor(key.0, key.1).unwrap_or(0);
        partition.set_committed(committed);
        let mut lanes = self.lanes.write();
        let made = lanes.entry(key).or_insert_with(|| {
            let lane = Lane::new(self.clone(), generations, partition.clone(), committed);
            let core = lane.core();
            let task = Task::new(lane, topic.settings().priority, &self.pool);
            Registered { task, core }
        });
        Some(made.clone())
    }

    /// A topic was made or changed: every partition of it has a lane that works, or none does.
    pub(crate) fn follow(self: &Arc<Self>, topic: &Topic) {
        let (works, priority) = (has_lanes(topic), topic.settings().priority);
        for partition in topic.partitions() {
            if let Some(known) = self.known_lane(topic.id(), partition.id()) {
                known.core.rest(!works);
                known.task.set_priority(priority);
                known.task.notify();
            } else if let Some(made) = self.lane(topic, &partition) {
                made.task.notify();
            }
        }
    }

    /// A topic was deleted: its lanes end, each at the next look of its thread.
    pub(crate) fn forget(&self, topic: TopicId) {
        self.topics.write().remove(&topic);
        self.lanes.write().retain(|(owner, _), registered| {
            if *owner == topic {
                registered.core.rest(true);
                registered.task.notify();
            }
            *owner != topic
        });
        if let Err(error) = self.store.forget_keyed(topic) {
            tracing::warn!(%topic, %error, "the keyed state of a deleted topic is still there");
        }
    }

    /// A lane that is there.
    pub(crate) fn known_lane(&self, topic: TopicId, partition: PartitionId) -> Option<Registered> {
        self.lanes.read().get(&(topic, partition)).cloned()
    }

    /// All lanes, by topic and partition.
    pub(crate) fn all_lanes(&self) -> Vec<Registered> {
        let mut all: Vec<_> = self.lanes.read().values().cloned().collect();
        all.sort_by(|a, b| {
            (&a.core.generations.name, a.core.partition.id()).cmp(&(&b.core.generations.name, b.core.partition.id()))
        });
        all
    }

    /// Batches became durable in a partition.
    pub(crate) fn durable(self: &Arc<Self>, partition: &Arc<Partition>) {
        if let Some(known) = self.known_lane(partition.topic_id(), partition.id()) {
            known.task.notify();
            return;
        }
        if let Some(delivery) =
            self.deliveries.get().and_then(|all| all.iter().find(|d| d.topic().id() == partition.topic_id()))
        {
            delivery.notify();
            return;
        }
        if let Some(topic) = self.queue.topic_by_id(partition.topic_id())
            && let Some(made) = self.lane(&topic, partition)
        {
            made.task.notify();
        }
    }

    /// Rows became durable in the store: retention may go so far.
    pub(crate) fn committed(&self, topic: TopicId, partition: PartitionId, next: Offset) {
        if let Some(known) = self.known_lane(topic, partition) {
            known.core.committed.store(next, Ordering::Relaxed);
            known.core.partition.set_committed(next);
        }
        if self.store.masks(topic).is_some()
            && let Some(topic) = self.queue.topic_by_id(topic)
        {
            let starts = topic.partitions().iter().map(|partition| (partition.id(), partition.log_start())).collect();
            let dead = self.queue.topic(&format!("{DEAD_PREFIX}{}", topic.name()));
            let letters =
                dead.is_some_and(|dead| dead.partitions().iter().any(|ring| ring.log_start() < ring.high_watermark()));
            self.store.set_to_come(topic.id(), ToCome { starts, letters });
        }
    }

    /// Wakes the lanes of a topic.
    pub(crate) fn wake_topic(&self, topic: TopicId) {
        for ((owner, _), registered) in &*self.lanes.read() {
            if *owner == topic {
                registered.task.notify();
            }
        }
    }

    /// The offset behind the last record of a partition whose emissions are durable in any topic.
    pub(crate) fn emitted(&self, topic: TopicId, partition: PartitionId) -> Offset {
        let source = Source { topic, partition, run: 0 };
        let expired = Source { run: EXPIRED_RUN, ..source };
        let targets = self.queue.topics().into_iter().flat_map(|target| target.partitions());
        let behind = targets.map(|target| {
            let of_records = target.emitted_upto(source).map_or(0, |last| last + 1);
            of_records.max(target.emitted_upto(expired).map_or(0, State::offset_of))
        });
        behind.max().unwrap_or(0)
    }

    /// The topic a filter emits to; made with defaults if it is not there.
    pub(crate) fn target(&self, name: &str) -> Result<Arc<Topic>, QueueError> {
        match self.queue.topic(name) {
            Some(topic) => Ok(topic),
            None => self.queue.ensure_topic(name),
        }
    }

    fn own_topic(&self, name: &str, settings: impl FnOnce() -> TopicSettings) -> Result<Arc<Topic>, QueueError> {
        match self.queue.topic(name) {
            Some(topic) => Ok(topic),
            None => match self.queue.create_topic(name, settings()) {
                Ok(topic) => Ok(topic),
                // Another lane was quicker.
                Err(error) => self.queue.topic(name).ok_or(error),
            },
        }
    }

    /// The topic of a topic's dead letters.
    pub(crate) fn dead_topic(&self, name: &str) -> Result<Arc<Topic>, QueueError> {
        self.own_topic(&format!("{DEAD_PREFIX}{name}"), || TopicSettings {
            partitions: 1,
            retention: Some(self.config.dead_letters.keep),
            retention_bytes: Some(self.config.dead_letters.bytes),
            ..TopicSettings::default()
        })
    }

    /// At the start: what the configuration says of dead letters holds for those that are there.
    pub(crate) fn bound_dead_letters(&self) {
        for topic in self.queue.topics().into_iter().filter(|topic| topic.name().starts_with(DEAD_PREFIX)) {
            let there = topic.settings();
            let (keep, bytes) = (Some(self.config.dead_letters.keep), Some(self.config.dead_letters.bytes));
            let settings = TopicSettings { retention: keep, retention_bytes: bytes, ..(*there).clone() };
            if *there != settings
                && let Err(error) = topic.update_settings(settings)
            {
                tracing::warn!(topic = %topic.name(), %error, "the bounds of its dead letters stay as they were");
            }
        }
    }

    /// The topic of an output.
    pub(crate) fn output_topic(&self, output: &str) -> Result<Arc<Topic>, QueueError> {
        let hold = self.selections.iter().find(|s| s.name == output).map(|s| s.hold_bytes);
        self.own_topic(&format!("{GROUP_PREFIX}{output}"), || TopicSettings {
            partitions: 1,
            // What was delivered goes early, so that what is held counts against the cap alone.
            retention: None,
            retention_bytes: hold.map(|hold| Bytes(hold.0 / 2)),
            ..TopicSettings::default()
        })
    }

    /// Whether a topic is an output's that holds as much as it may.
    pub(crate) fn is_full(&self, topic: &Topic) -> bool {
        let Some(output) = topic.name().strip_prefix(GROUP_PREFIX) else { return false };
        let Some(selection) = self.selections.iter().find(|s| s.name == output) else { return false };
        let Some(delivery) = self.deliveries.get().and_then(|all| all.iter().find(|d| d.topic().id() == topic.id())) else {
            return false;
        };
        delivery.lag() > 0 && topic.partition(0).is_some_and(|partition| partition.size_bytes() > selection.hold_bytes.0)
    }

    /// The outputs that want rows of this topic, with their predicates for rows of these names.
    pub(crate) fn bind_outputs(&self, topic: &str, names: &[Arc<str>]) -> Vec<(&str, Option<Bound>)> {
        self.selections
            .iter()
            .filter(|selection| match &selection.topics {
                Some(topics) => topics.iter().any(|name| name == topic),
                None => !topic.starts_with('_'),
            })
            .map(|selection| (selection.name.as_str(), selection.when.as_ref().map(|when| when.bind(names))))
            .collect()
    }

    /// A filter of this generation failed too often.
    pub(crate) fn quarantine(&self, generations: &Arc<Generations>, generation: Generation, failed: u64, of: u64) {
        if generations.newest().is_some_and(|(newest, _)| newest != generation) {
            // Records from before, made again after a crash: somebody has promoted another chain since.
            return;
        }
        self.quarantines.fetch_add(1, Ordering::Relaxed);
        let chosen = self.config.topics.get(&*generations.name).and_then(|topic| topic.quarantine);
        let then = chosen.unwrap_or(self.config.quarantine.then);
        let (topic, name) = (generations.topic, &generations.name);
        let what = match then {
            Then::DeadLetter => "they are dead letters",
            Then::Pass => "records pass without the chain",
            Then::Previous => "the chain before takes over",
            Then::Hold => "the topic's lanes are held",
        };
        let todo =
            format!("look with `sawbox dead ls {name}`, mend the filter, `sawbox filter promote`, `sawbox dead retry {name}`");
        tracing::error!(topic = %name, generation, failed, of, what, todo, "a filter fails too often");
        // Not here: what must be durable waits for the disk, and this is a lane. If the relay is closing, the next start finds out.
        match then {
            Then::DeadLetter => {}
            Then::Hold => {
                let why = format!(
                    "held: generation {generation} failed on {failed} of {of} records; mend the filter and promote a chain (`sawbox filter promote`, `sawbox filter rollback {name}`)"
                );
                if generations.hold(generation, why) {
                    drop(self.control.send(Control::Hold { topic, generation }));
                }
            }
            Then::Previous => drop(self.control.send(Control::Previous { topic, generation })),
            Then::Pass => drop(self.control.send(Control::Pass { topic, generation })),
        }
    }
}
