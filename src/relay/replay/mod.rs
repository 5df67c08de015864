//! Replays: a topic's records through a chain once more, whose rows take the old ones' place, all at once.
//!
//! ```text
//! plan.rs (which offsets, which chain) → job durable → threads: work.rs, range by range, rows staged → finish: one commit
//! job.rs   what is kept of one, what people see        runner.rs   the threads        whole.rs   where ranges may begin and end
//! past.rs  records that the queue has no longer, of the rows that kept them
//! ```
//! Invariants: a replay is a generation of its own, with ranges; until it is done its rows are seen by nobody, and then all of
//! them at once. Its ranges end below what its own chain made already, and below what a live lane may still make. No two that are
//! under way touch the same offsets, and none begins or ends amid a row of several records (`whole.rs`). Emissions are not sent again.
//! Limits: as many threads as cores, at most [`runner::THREADS`], at low priority and after the lanes; the first replay first. A
//! stage each. While one runs, the queue keeps what it has still to read, unless bytes run short.
//! Crash story: a replay that ran goes on where its last staged part ended; one that was paused stays so. After the last commit
//! there is nothing to do.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use parking_lot::Mutex;

use crate::base::ids::{Generation, Offset, PartitionId, TopicId};
use crate::queue::Topic;
use crate::relay::generations::{Generations, MadeBy, Promoted};
use crate::relay::history::{Range, Which};
use crate::relay::output::GROUP_PREFIX;
use crate::relay::shared::Shared;
use crate::relay::{Relay, RelayError};
use crate::sandbox::ChainSpec;
use crate::store::{CLOSED_JOBS, JobEntry};

mod delete;
mod job;
mod past;
mod plan;
mod runner;
mod whole;
mod work;

pub use delete::{Deleted, NamedRows};
pub use job::{Progress, ReplayState, ReplayStatus};
pub use past::Past;
pub use plan::ReplayPlan;
pub use runner::ReplayStep;

use job::Job;
pub(super) use job::Record;
use plan::split;

/// Most pieces of a range.
const PIECES: usize = 64;

/// By what records are to be handled.
#[derive(Clone, Debug, Default)]
pub enum ReplayChain {
    /// What the topic has now.
    #[default]
    Newest,
    /// What an older generation was.
    Generation(Generation),
    /// Another one; records are what they are now.
    Given(ChainSpec),
}

/// What is to be replayed.
#[derive(Clone, Debug)]
pub struct ReplayRequest {
    /// Which records.
    pub which: Which,
    /// Only of these partitions.
    pub partitions: Option<Vec<PartitionId>>,
    /// By what.
    pub chain: ReplayChain,
    /// Most bytes of payload a second.
    pub throttle: Option<u64>,
}

/// All replays that are known.
#[derive(Default)]
pub(crate) struct Replays {
    jobs: Mutex<BTreeMap<u64, Arc<Job>>>,
    /// One at a time becomes another.
    pub(crate) starting: Mutex<()>,
    /// Who tells the queue what to keep, so that nobody tells it what was true before.
    holding: Mutex<()>,
    threads: Mutex<Vec<std::thread::JoinHandle<()>>>,
    /// Whether threads are wanted: not where somebody moves replays by hand.
    threaded: AtomicBool,
    pub(crate) stop: AtomicBool,
}

impl Replays {
    fn all(&self) -> Vec<Arc<Job>> {
        self.jobs.lock().values().cloned().collect()
    }

    /// Whether a replay that is not over has this record.
    pub(crate) fn is_at(&self, topic: TopicId, (partition, offset): (PartitionId, Offset)) -> bool {
        let range = [Range { partition, first: offset, end: offset + 1 }];
        self.jobs.lock().values().any(|job| job.generations.topic == topic && job.state().is_open() && job.touches(&range))
    }

    fn get(&self, id: u64) -> Option<Arc<Job>> {
        self.jobs.lock().get(&id).cloned()
    }

    /// Adds one, and forgets those of its topic that ended long ago, as the store does.
    fn insert(&self, job: Arc<Job>) {
        let topic = job.generations.topic;
        let of_topic = |job: &&Arc<Job>| job.generations.topic == topic && !job.state().is_open();
        let mut jobs = self.jobs.lock();
        let over: Vec<u64> = jobs.values().filter(of_topic).map(|job| job.id).collect();
        for id in over.iter().take(over.len().saturating_sub(CLOSED_JOBS)) {
            jobs.remove(id);
        }
        jobs.insert(job.id, job);
    }

    /// Takes up what the store knows of earlier lives.
    pub(crate) fn load(&self, shared: &Arc<Shared>) {
        for (topic, entry) in shared.store.jobs() {
            let Some(topic) = shared.queue.topic_by_id(topic) else {
                // It was deleted meanwhile: what was staged for it goes.
                let over = JobEntry { open: false, ..entry.clone() };
                if entry.open
                    && let Err(error) = shared.store.put_job(topic, "", over)
                {
                    tracing::warn!(%error, "the rest of a replay of a deleted topic stays until the next start");
                }
                continue;
            };
            let generations = shared.generations(&topic);
            generations.is_taken(entry.generation);
            match serde_json::from_slice::<Record>(&entry.record) {
                Ok(record) => {
                    let job = Job::new(entry.id, entry.generation, generations, record, shared.clock.monotonic());
                    self.jobs.lock().insert(entry.id, job);
                }
                Err(error) => {
                    tracing::error!(topic = %topic.name(), replay = entry.id, %error, "a replay's record cannot be read; it is left alone");
                }
            }
        }
        self.hold(shared);
    }

    /// Has the queue keep what replays that run have still to read.
    fn hold(&self, shared: &Shared) {
        let _one = self.holding.lock();
        let mut holds = BTreeMap::<(TopicId, PartitionId), Vec<Range>>::new();
        for job in self.all() {
            let record = job.record.lock();
            if record.state == ReplayState::Running {
                for range in job::holds(&record.parts) {
                    holds.entry((job.generations.topic, range.partition)).or_default().push(range);
                }
            }
        }
        for topic in shared.queue.topics() {
            for partition in topic.partitions() {
                // What it has no longer it need not keep.
                let (own, start) = (holds.get(&(topic.id(), partition.id())), partition.log_start());
                let there = own.into_iter().flatten().filter(|range| range.end > start);
                partition.keep_from(there.map(|range| range.first).min());
            }
        }
    }
}

impl Relay {
    /// What a replay would do, without doing it.
    ///
    /// # Errors
    /// As [`Relay::replay`], but for the store's; [`RelayError::Crowded`] while as many plans are made as may.
    pub fn plan_replay(&self, topic: &str, request: &ReplayRequest) -> Result<ReplayPlan, RelayError> {
        let _one = self.shared().explains.take()?;
        let (topic, generations) = self.replayable(topic)?;
        let promoted = self.chain_of(&generations, &request.chain)?;
        let ready = self.shared().apart(promoted.codec.as_ref(), &promoted.chain)?;
        self.plan(&topic, &generations, request, &promoted, &ready)
    }

    /// Begins a replay. Durable when it returns; the rows change when it is done.
    ///
    /// # Errors
    /// [`RelayError::NoTopic`]; [`RelayError::Filter`] where the chain does not hold; [`RelayError::Config`] where there is nothing
    /// to replay or another replay is at it; the store's.
    pub fn replay(&self, topic: &str, request: &ReplayRequest) -> Result<ReplayStatus, RelayError> {
        let (topic, generations) = self.replayable(topic)?;
        let shared = self.shared();
        let promoted = self.chain_of(&generations, &request.chain)?;
        self.refuse_circle(&generations.name, &promoted.chain)?;
        // Before anything is durable: compiling takes as long as it takes, and may fail.
        let ready = shared.ready(promoted.codec.as_ref(), &promoted.chain)?;
        let _one = shared.replays.starting.lock();
        // Whatever lanes have handled may be replayed.
        shared.store.flush_topic(topic.id())?;
        let apart = shared.apart(promoted.codec.as_ref(), &promoted.chain)?;
        let plan = self.plan(&topic, &generations, request, &promoted, &apart)?;
        if let Some(why) = plan.nothing() {
            return Err(RelayError::Config(why));
        }
        for job in shared.replays.all() {
            if job.generations.topic == topic.id() && job.state().is_open() && plan.all().any(|range| job.touches(&[range])) {
                let why = format!("replay {} is at the same records; cancel it, or wait until it is done", job.id);
                return Err(RelayError::Config(why));
            }
        }
        // A filter that remembers wants all of a range, in order.
        let piece = if ready.chain.remembers() { u64::MAX } else { shared.config.replay_piece };
        let pieces = split(&topic, &plan, piece);
        // Not that of one whose record cannot be read either: what it staged would be this one's.
        let stored = shared.store.jobs().into_iter().map(|(_, job)| job.id).max();
        let known = shared.replays.jobs.lock().keys().next_back().copied();
        let id = stored.max(known).map_or(1, |last| last + 1);
        let record = Record {
            state: ReplayState::Running,
            promoted: Promoted {
                made_by: MadeBy::Replay,
                at_ns: Some(shared.clock.now_ns()),
                why: None,
                held: None,
                ..promoted
            },
            parts: pieces.into_iter().map(Progress::new).collect(),
            out_of_reach: plan.out_of_reach,
            throttle: request.throttle,
            began_ns: shared.clock.now_ns(),
            ended_ns: None,
            why: None,
        };
        let generation = generations.reserve();
        let job = Job::new(id, generation, generations, record, shared.clock.monotonic());
        let _ready_once = job.ready.set(ready);
        let entry = job.entry(&job.record.lock())?;
        shared.store.put_job(topic.id(), topic.name(), entry)?;
        tracing::info!(topic = %topic.name(), replay = id, generation, records = plan.records, "replay begins");
        shared.replays.insert(job.clone());
        shared.replays.hold(shared);
        self.run_replays();
        Ok(job.status(shared))
    }

    /// Every replay, those that ended among them as far as they are remembered; the newest first.
    pub fn replays(&self) -> Vec<ReplayStatus> {
        let shared = self.shared();
        let mut all: Vec<_> = shared.replays.all().iter().map(|job| job.status(shared)).collect();
        all.reverse();
        all
    }

    /// One replay.
    ///
    /// # Errors
    /// [`RelayError::NoReplay`].
    pub fn replay_status(&self, id: u64) -> Result<ReplayStatus, RelayError> {
        let job = self.shared().replays.get(id).ok_or(RelayError::NoReplay(id))?;
        Ok(job.status(self.shared()))
    }

    /// Pauses a replay, lets it go on, or ends it without a trace; durable when it returns. One that has ended stays as it is.
    ///
    /// # Errors
    /// [`RelayError::NoReplay`]; [`RelayError::Config`] where it is too late; the store's.
    pub fn set_replay(&self, id: u64, state: ReplayState) -> Result<ReplayStatus, RelayError> {
        let shared = self.shared();
        let job = shared.replays.get(id).ok_or(RelayError::NoReplay(id))?;
        let now = job.state();
        if !now.is_open() && now != state {
            return Err(RelayError::Config(format!("replay {id} is {}: it cannot be {} any more", now.name(), state.name())));
        }
        job.become_state(shared, state, None)?;
        // The last commit may have been quicker.
        let became = job.state();
        if became != state {
            return Err(RelayError::Config(format!(
                "replay {id} is {}: it cannot be {} any more",
                became.name(),
                state.name()
            )));
        }
        tracing::info!(topic = %job.generations.name, replay = id, state = state.name(), "replay is another");
        shared.replays.hold(shared);
        self.run_replays();
        Ok(job.status(shared))
    }

    /// Gives a topic the codec and chain of an older generation again, as a new one. Durable when it returns. Rows that are there
    /// stay; a replay makes them anew.
    ///
    /// # Errors
    /// [`RelayError::Config`] where there is no such generation; [`RelayError::Filter`] where a filter of it is gone.
    pub fn roll_back(&self, topic: &str, to: Generation) -> Result<Generation, RelayError> {
        let (_, generations) = self.replayable(topic)?;
        let old = self.generation(&generations, to)?;
        if let Some((newest, now)) = generations.newest()
            && now.chain == old.chain
            && now.codec == old.codec
        {
            return Ok(newest);
        }
        let why = Some(format!("rolled back to generation {to}"));
        let promoted = Promoted { made_by: MadeBy::Hot, why, ..Promoted::clone(&old) };
        self.promote_resolved(&generations, promoted)
    }

    fn generation(&self, generations: &Generations, number: Generation) -> Result<Arc<Promoted>, RelayError> {
        generations
            .get(number)
            .ok_or_else(|| RelayError::Config(format!("topic `{}` has no generation {number}", generations.name)))
    }

    fn replayable(&self, name: &str) -> Result<(Arc<Topic>, Arc<Generations>), RelayError> {
        let topic = self.shared().queue.topic(name).ok_or_else(|| RelayError::NoTopic(name.to_owned()))?;
        if name.starts_with(GROUP_PREFIX) {
            return Err(RelayError::Config(format!("`{name}` belongs to an output and has no rows")));
        }
        let generations = self.shared().generations(&topic);
        Ok((topic, generations))
    }

    fn chain_of(&self, generations: &Generations, chain: &ReplayChain) -> Result<Promoted, RelayError> {
        let newest = generations.newest().map(|(_, newest)| newest);
        let none = || RelayError::Config(format!("topic `{}` has had no record yet", generations.name));
        match chain {
            ReplayChain::Newest => newest.map(|newest| Promoted::clone(&newest)).ok_or_else(none),
            ReplayChain::Generation(number) => Ok(Promoted::clone(&*self.generation(generations, *number)?)),
            ReplayChain::Given(spec) => {
                let codec = newest.ok_or_else(none)?.codec.clone();
                let chain = self.shared().sandbox.resolve(spec)?;
                Ok(Promoted::new(MadeBy::Replay, Some(spec.clone()), chain, codec))
            }
        }
    }
}
