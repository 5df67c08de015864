//! The threads of replays: they take ranges of running replays, the oldest replay's first, and give way to lanes.
//!
//! A thread is started when there is something to do and ends when there is not. What goes wrong for a while (a disk that refuses, a
//! schema that is not known) is tried again; what cannot come right (a filter that is gone) ends the replay as failed.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::base::ids::PartitionId;
use crate::base::low;
use crate::relay::history::{Manners, joined};
use crate::relay::replay::job::{Job, Record, ReplayState};
use crate::relay::replay::work::Did;
use crate::relay::shared::Shared;
use crate::relay::{Relay, RelayError};
use crate::store::{GenerationEntry, StoreError};

/// Most threads, however many cores there are: the rest is for those who live now.
pub(super) const THREADS: usize = 4;
/// How long a thread waits that can do nothing now.
const WAIT: Duration = Duration::from_millis(100);
/// How long after an error.
const AFTER_ERROR: Duration = Duration::from_secs(2);

/// What a step of a replay by hand came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayStep {
    /// There is more to do.
    Again,
    /// It waits for a lane, or a schema.
    Waiting,
    /// It is over.
    Over,
}

/// What a thread is to do.
enum Task {
    Work(Arc<Job>, usize),
    Finish(Arc<Job>),
    Wait,
    End,
}

impl Relay {
    /// Starts threads if replays want any.
    pub(crate) fn run_replays(&self) {
        let shared = self.shared();
        let replays = &shared.replays;
        if !replays.threaded.load(Ordering::Acquire) || replays.all().iter().all(|job| job.state() != ReplayState::Running) {
            return;
        }
        let wanted = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(THREADS);
        let mut threads = replays.threads.lock();
        threads.retain(|thread| !thread.is_finished());
        for number in threads.len()..wanted {
            let own = shared.clone();
            match std::thread::Builder::new().name(format!("replay-{number}")).spawn(move || run(&own)) {
                Ok(thread) => threads.push(thread),
                Err(error) => tracing::error!(%error, "no thread for replays"),
            }
        }
    }

    /// Has replays worked on by threads from now on; those that ran go on.
    pub(crate) fn start_replays(&self) {
        self.shared().replays.threaded.store(true, Ordering::Release);
        self.run_replays();
    }

    /// Ends the threads, each after the stretch it is at.
    pub(crate) fn stop_replays(&self) {
        let replays = &self.shared().replays;
        replays.threaded.store(false, Ordering::Release);
        replays.stop.store(true, Ordering::Release);
        let threads = std::mem::take(&mut *replays.threads.lock());
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a thread of replays panicked");
            }
        }
    }

    /// One step of a replay, by hand: of the range with this number, or its end if all are done. For tests.
    ///
    /// # Errors
    /// What a thread would try again after.
    pub fn step_replay(&self, id: u64, range: usize) -> Result<ReplayStep, RelayError> {
        let shared = self.shared();
        let job = shared.replays.get(id).ok_or(RelayError::NoReplay(id))?;
        if job.state() != ReplayState::Running {
            return Ok(ReplayStep::Over);
        }
        let open: Vec<usize> = (0..job.works.len()).filter(|at| !job.ended[*at].load(Ordering::Acquire)).collect();
        if open.is_empty() {
            return Ok(if job.finish(shared)? { ReplayStep::Over } else { ReplayStep::Waiting });
        }
        match job.step(shared, open[range % open.len()]) {
            Ok(Did::More(_) | Did::All) => Ok(ReplayStep::Again),
            Ok(Did::WaitsForLane | Did::Waits(_)) => Ok(ReplayStep::Waiting),
            Err(error) if !will_pass(&error) => {
                job.become_state(shared, ReplayState::Failed, Some(error.to_string()))?;
                shared.replays.hold(shared);
                Ok(ReplayStep::Over)
            }
            Err(error) => Err(error),
        }
    }

    /// Makes durable what the ranges of a replay have in memory. For tests: else it happens when that is much.
    ///
    /// # Errors
    /// The store's.
    pub fn checkpoint_replay(&self, id: u64) -> Result<(), RelayError> {
        let job = self.shared().replays.get(id).ok_or(RelayError::NoReplay(id))?;
        for (index, work) in job.works.iter().enumerate() {
            let done = work.lock().checkpoint(self.shared(), &job, index);
            if let Err(error) = done {
                work.lock().start_over(&job, index);
                return Err(error);
            }
        }
        Ok(())
    }

    /// The partitions that a replay is at.
    pub fn replay_partitions(&self, id: u64) -> Vec<PartitionId> {
        let job = self.shared().replays.get(id);
        job.map(|job| job.record.lock().parts.iter().map(|part| part.range.partition).collect()).unwrap_or_default()
    }
}

impl Job {
    /// A step of one range; after an error it is where it durably was.
    fn step(&self, shared: &Shared, index: usize) -> Result<Did, RelayError> {
        let Some(work) = self.works.get(index) else { return Ok(Did::All) };
        let mut work = work.lock();
        let before = work.behind();
        let did = work.step(shared, self, index);
        if did.is_err() {
            work.start_over(self, index);
        }
        self.note(before, work.behind());
        if let (Ok(Did::All), Some(ended)) = (&did, self.ended.get(index)) {
            ended.store(true, Ordering::Release);
            // What it worked with is not needed any more.
            work.start_over(self, index);
        }
        did
    }

    /// The last commit; false where lanes have not committed so far as the ranges go.
    fn finish(&self, shared: &Shared) -> Result<bool, RelayError> {
        let (topic, name) = (self.generations.topic, &self.generations.name);
        let ends: Vec<_> = self.record.lock().parts.iter().map(|part| (part.range.partition, part.range.end)).collect();
        let behind =
            || ends.iter().any(|(partition, end)| shared.store.cursor(topic, *partition).is_none_or(|cursor| cursor < *end));
        if behind() {
            shared.store.flush_topic(topic)?;
            if behind() {
                return Ok(false);
            }
        }
        // A merge may take minutes; who asks how far this is does not wait for it.
        let no_merge = shared.store.no_merge();
        let mut record = self.record.lock();
        if record.state != ReplayState::Running {
            return Ok(true);
        }
        let done = Record { state: ReplayState::Done, ended_ns: Some(shared.clock.now_ns()), ..record.clone() };
        let made = |part: &super::Progress| {
            let partition = part.range.partition;
            part.made.iter().map(|(first, end)| (partition, *first, *end)).collect::<Vec<_>>()
        };
        let ranges = joined(record.parts.iter().flat_map(made).collect());
        let entry = self.entry(&done)?;
        if ranges.is_empty() {
            shared.store.put_job(topic, name, entry)?;
        } else {
            let chain = serde_json::to_vec(&done.promoted).map_err(|error| RelayError::Config(error.to_string()))?;
            let (generation, from) = (self.generation, std::collections::BTreeMap::new());
            let generation = GenerationEntry { generation, chain: chain.into(), from, ranges: ranges.clone() };
            let stored = done.parts.iter().map(|part| part.stored).sum();
            if let Some(why) = shared.store.why_not_finish(topic, self.id, &generation, stored) {
                drop(record);
                tracing::error!(topic = %name, replay = self.id, %why, "a replay ends, and what was there before stays");
                self.become_state(
                    shared,
                    ReplayState::Failed,
                    Some(format!("{why}; what was there before stays, start it again")),
                )?;
                return Ok(true);
            }
            shared.store.finish_job(&no_merge, topic, name, entry, generation)?;
            self.generations.replayed(self.generation, ranges, done.promoted.clone());
        }
        let stored: u64 = done.parts.iter().map(|part| part.stored).sum();
        tracing::info!(topic = %name, replay = self.id, generation = self.generation, rows = stored, "replay is done");
        let routed: u64 = done.parts.iter().map(|part| part.routed).sum();
        if routed > 0 {
            tracing::warn!(topic = %name, replay = self.id, routed, "records that filters send only elsewhere have no row any more");
        }
        *record = done;
        Ok(true)
    }
}

/// What a thread does.
fn run(shared: &Arc<Shared>) {
    low::lower(low::HISTORY);
    let manners = Manners::new(shared, &shared.replays.stop);
    while !manners.is_stopped() {
        let mut task = next(shared);
        if matches!(task, Task::End) {
            let mut threads = shared.replays.threads.lock();
            // Who brings more work counts threads under this lock.
            task = next(shared);
            if matches!(task, Task::End) {
                threads.retain(|thread| thread.thread().id() != std::thread::current().id());
                return;
            }
        }
        match task {
            Task::End => return,
            Task::Wait => drop(manners.pause(WAIT)),
            Task::Finish(job) => {
                let finished = job.finish(shared);
                job.finishing.store(false, Ordering::Release);
                match finished {
                    Ok(true) => shared.replays.hold(shared),
                    Ok(false) => {
                        job.wait_for(Some("the topic's lanes have not committed so far".to_owned()));
                        drop(manners.pause(WAIT));
                    }
                    Err(error) => trouble(shared, &job, &error, &manners),
                }
            }
            Task::Work(job, index) => {
                work(shared, &job, index, &manners);
                if let Some(busy) = job.busy.get(index) {
                    busy.store(false, Ordering::Release);
                }
                shared.replays.hold(shared);
            }
        }
    }
}

/// What is most due: the oldest replay's.
fn next(shared: &Shared) -> Task {
    let mut any = false;
    for job in shared.replays.all() {
        if job.state() != ReplayState::Running {
            continue;
        }
        any = true;
        let is_done = |index: usize| job.ended[index].load(Ordering::Acquire);
        if (0..job.works.len()).all(is_done) {
            if !job.finishing.swap(true, Ordering::AcqRel) {
                return Task::Finish(job);
            }
            continue;
        }
        let free = |index: &usize| !is_done(*index) && !job.busy[*index].swap(true, Ordering::AcqRel);
        if let Some(index) = (0..job.works.len()).find(free) {
            return Task::Work(job, index);
        }
    }
    if any { Task::Wait } else { Task::End }
}

/// Works on a range until it is done, paused, or must wait.
fn work(shared: &Shared, job: &Arc<Job>, index: usize, manners: &Manners<'_>) {
    loop {
        let is_on = manners.give_way().is_ok() && job.state() == ReplayState::Running;
        if !is_on {
            // What is in memory need not be made again.
            if let Some(work) = job.works.get(index) {
                let mut work = work.lock();
                if !job.state().is_open() {
                    work.start_over(job, index);
                } else if let Err(error) = work.checkpoint(shared, job, index) {
                    tracing::debug!(replay = job.id, %error, "what was not durable is made again");
                    work.start_over(job, index);
                }
            }
            return;
        }
        let begin = shared.clock.monotonic();
        let did = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| job.step(shared, index)));
        let did = did.unwrap_or_else(|_| Err(RelayError::Config("a bug in the box; its log has the panic".to_owned())));
        match did {
            Ok(Did::More(bytes)) => {
                job.wait_for(None);
                let took = shared.clock.monotonic().saturating_sub(begin);
                if let Some(throttle) = job.throttle() {
                    // Several ranges at a time share it.
                    let at_work = job.busy.iter().filter(|busy| busy.load(Ordering::Relaxed)).count().max(1) as f64;
                    let due = Duration::from_secs_f64((bytes as f64 * at_work / throttle.max(1) as f64).min(60.0));
                    slow(job, due.saturating_sub(took), manners);
                }
            }
            Ok(Did::All) => return,
            Ok(Did::WaitsForLane) => {
                job.wait_for(Some("the topic's lanes have not committed so far".to_owned()));
                drop(manners.pause(WAIT));
                return;
            }
            Ok(Did::Waits(pending)) => {
                job.wait_for(Some(shared.registries.said(&pending.place)));
                if let Err(error) = manners.wait_for(&pending) {
                    trouble(shared, job, &error, manners);
                }
                return;
            }
            Err(error) => {
                trouble(shared, job, &error, manners);
                return;
            }
        }
    }
}

/// Keeps to a replay's throttle, but not past its end.
fn slow(job: &Job, time: Duration, manners: &Manners<'_>) {
    let mut left = time;
    while !left.is_zero() && job.state() == ReplayState::Running {
        let step = left.min(WAIT);
        if manners.pause(step).is_err() {
            return;
        }
        left -= step;
    }
}

/// Whether trying again may help.
fn will_pass(error: &RelayError) -> bool {
    matches!(
        error,
        RelayError::Closed
            | RelayError::Busy(_)
            | RelayError::Schemas(_)
            | RelayError::Queue(crate::queue::QueueError::Disk(_) | crate::queue::QueueError::Closed)
            | RelayError::Store(StoreError::Disk { .. } | StoreError::Closed)
    )
}

/// Something went wrong: waits a while, or ends the replay.
fn trouble(shared: &Shared, job: &Arc<Job>, error: &RelayError, manners: &Manners<'_>) {
    let why = error.to_string();
    if manners.is_stopped() {
        return;
    }
    if will_pass(error) {
        tracing::warn!(topic = %job.generations.name, replay = job.id, error = why, "replay waits");
        job.wait_for(Some(why));
        drop(manners.pause(AFTER_ERROR));
        return;
    }
    tracing::error!(topic = %job.generations.name, replay = job.id, error = why, "replay failed; nothing has changed");
    if let Err(error) = job.become_state(shared, ReplayState::Failed, Some(why)) {
        tracing::error!(replay = job.id, %error, "that it failed could not be kept");
        drop(manners.pause(AFTER_ERROR));
    }
    shared.replays.hold(shared);
}
