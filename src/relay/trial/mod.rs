//! Trials: a chain that somebody thinks of, run beside the live one over records that the queue retains.
//!
//! ```text
//! history → each call → live chain ──┐
//!                     → candidate ───┴→ compare.rs → report.rs: counts, fields, examples, cost
//! ```
//! Both chains are made anew with instances of their own, and begin each partition with empty state (they warm up as they go); neither writes anything: no row, no
//! emission, no dead letter, no figure of a filter. What is compared is what each would do with the record if it came now: the
//! live chain is the one that new records get, whatever handled the old ones.
//!
//! Invariants: the report follows from the records, the offsets it names and the two chains, and from nothing else; its times
//! alone do not. Lanes go first.
//! Limits: `relay.at_once.trials` at a time, the last [`KEPT`] reports; a report by `report.rs`; one stretch of history in memory.
//! Crash story: none. A trial lives in memory; a box that starts anew knows none.

mod compare;
mod report;
mod run;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use parking_lot::Mutex;
use serde::Serialize;

use crate::base::ids::Generation;
use crate::base::low;
use crate::relay::history::{self, Range, Which};
use crate::relay::life::Wish;
use crate::relay::{ChainEntry, Relay, RelayError};
pub use report::{Cost, Emitted, Example, FieldDiff, FieldExample, Report};

/// Trials that are remembered when they have ended.
const KEPT: usize = 16;
/// Examples of each kind, where nobody says how many.
pub const SAMPLE: usize = 5;
/// Most of them.
pub const SAMPLE_MOST: usize = 50;

/// What is to be tried.
#[derive(Clone, Debug)]
pub struct TrialRequest {
    /// The chain.
    pub wish: Wish,
    /// On which records.
    pub which: Which,
    /// How many examples of each kind of difference are kept.
    pub sample: usize,
}

/// How a trial is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TrialState {
    /// It runs.
    Running,
    /// All records were tried.
    Done,
    /// Somebody ended it; the report is of what was tried until then.
    Cancelled,
    /// It could not go on; `error` says why.
    Failed,
}

/// One of the two chains.
#[derive(Clone, Debug, Serialize)]
pub struct Side {
    /// Its generation; the candidate has none.
    pub generation: Option<Generation>,
    /// Its filters, in order.
    pub chain: Vec<ChainEntry>,
}

/// A trial as people see it.
#[derive(Clone, Debug, Serialize)]
pub struct TrialStatus {
    /// Names it until the box starts anew.
    pub id: String,
    /// The topic.
    pub topic: Arc<str>,
    /// What is tried, in words.
    pub what: String,
    /// How it is.
    pub state: TrialState,
    /// Why it failed.
    pub error: Option<String>,
    /// Offsets that were looked at.
    pub tried: u64,
    /// Offsets in all.
    pub of: u64,
    /// When it began, nanoseconds since 1970.
    pub at_ns: i64,
    /// How long it has been running, or ran.
    pub took_ms: u64,
    /// The live chain.
    pub live: Side,
    /// The chain that is tried.
    pub candidate: Side,
    /// The offsets.
    pub ranges: Vec<Range>,
    /// What was found so far.
    pub report: Report,
}

/// Figures of all trials since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrialFigures {
    /// Begun.
    pub begun: u64,
    /// Running now.
    pub running: u64,
    /// Ended before all records were tried.
    pub cut_short: u64,
    /// Records tried.
    pub records: u64,
}

/// What a trial's thread and those who look at it share.
struct Job {
    id: String,
    topic: Arc<str>,
    what: String,
    live: Side,
    candidate: Side,
    ranges: Vec<Range>,
    of: u64,
    at_ns: i64,
    begun: std::time::Duration,
    stop: AtomicBool,
    tried: AtomicU64,
    progress: Mutex<Progress>,
}

struct Progress {
    state: TrialState,
    error: Option<String>,
    /// Set when it ended.
    took: Option<std::time::Duration>,
    report: Report,
}

impl Job {
    fn is_running(&self) -> bool {
        self.progress.lock().state == TrialState::Running
    }

    fn status(&self, now: std::time::Duration) -> TrialStatus {
        let progress = self.progress.lock();
        let took = progress.took.unwrap_or_else(|| now.saturating_sub(self.begun));
        TrialStatus {
            id: self.id.clone(),
            topic: self.topic.clone(),
            what: self.what.clone(),
            state: progress.state,
            error: progress.error.clone(),
            tried: self.tried.load(Ordering::Relaxed),
            of: self.of,
            at_ns: self.at_ns,
            took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            live: self.live.clone(),
            candidate: self.candidate.clone(),
            ranges: self.ranges.clone(),
            report: progress.report.clone(),
        }
    }
}

#[derive(Default)]
struct Known {
    jobs: Vec<Arc<Job>>,
    threads: Vec<JoinHandle<()>>,
    closed: bool,
}

impl Known {
    fn refuse_crowd(&self, most: usize) -> Result<(), RelayError> {
        let running = self.jobs.iter().filter(|job| job.is_running()).count();
        if running >= most {
            let why = format!(
                "{running} trials run already, which is as many as may (`relay.at_once.trials`); wait for one, or cancel it"
            );
            return Err(RelayError::Crowded { why, seconds: 5 });
        }
        Ok(())
    }
}

/// All trials of the box.
#[derive(Default)]
pub(crate) struct Trials {
    known: Mutex<Known>,
    begun: AtomicU64,
    cut_short: AtomicU64,
    records: AtomicU64,
}

impl Trials {
    /// Ends those that run and waits for them; none begins any more.
    pub(crate) fn stop(&self) {
        let threads = {
            let mut known = self.known.lock();
            known.closed = true;
            known.jobs.iter().for_each(|job| job.stop.store(true, Ordering::Release));
            std::mem::take(&mut known.threads)
        };
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a trial panicked");
            }
        }
    }

    fn find(&self, id: &str) -> Result<Arc<Job>, RelayError> {
        let found = self.known.lock().jobs.iter().find(|job| job.id == id).cloned();
        found.ok_or_else(|| RelayError::Missing(format!("there is no trial `{id}`, or not any more: the last {KEPT} are kept")))
    }
}

impl Relay {
    /// Begins a trial; everything that can be wrong with the chain is found before this returns.
    ///
    /// # Errors
    /// [`RelayError::Filter`] where the chain does not hold; [`RelayError::Crowded`] while as many run as may;
    /// [`RelayError::Missing`] where there are no such records.
    pub fn begin_trial(self: &Arc<Self>, topic: &str, request: TrialRequest) -> Result<TrialStatus, RelayError> {
        // Before anything is compiled.
        let most = self.shared().config.at_once.trials;
        self.trials.known.lock().refuse_crowd(most)?;
        let generations = self.topic(topic)?;
        let shared = self.shared();
        let in_queue = shared.queue.topic(topic).ok_or_else(|| RelayError::NoTopic(topic.to_owned()))?;
        let (generation, live) = self.live(&generations)?;
        let (spec, what) = self.wished(&generations, request.wish)?;
        let record = shared.sandbox.resolve(&spec)?;
        let codec = live.codec.as_ref();
        let chains = run::Chains { live: shared.apart(codec, &live.chain)?, candidate: shared.apart(codec, &record)? };
        let mut ranges = history::ranges(&in_queue, &request.which, None, history::Reach::Retained);
        for range in &mut ranges {
            // Offsets that somebody names may be past the last record: these are none.
            range.end = range.end.min(in_queue.partition(range.partition).map_or(0, |partition| partition.high_watermark()));
        }
        ranges.retain(|range| !range.is_empty());
        let of: u64 = ranges.iter().map(Range::len).sum();
        if of == 0 {
            return Err(RelayError::Missing(format!("`{topic}` has no such records in the queue to try a chain on")));
        }
        let job = Arc::new(Job {
            id: uuid::Uuid::new_v4().simple().to_string(),
            topic: generations.name.clone(),
            what,
            live: Side { generation: Some(generation), chain: self.entries(&live.chain) },
            candidate: Side { generation: None, chain: self.entries(&record) },
            ranges,
            of,
            at_ns: shared.clock.now_ns(),
            begun: shared.clock.monotonic(),
            stop: AtomicBool::new(false),
            tried: AtomicU64::new(0),
            progress: Mutex::new(Progress { state: TrialState::Running, error: None, took: None, report: Report::default() }),
        });
        let sample = request.sample.min(SAMPLE_MOST);
        let (relay, own) = (self.clone(), job.clone());
        // Job and thread become known together, so that who stops all trials waits for this one too.
        let mut known = self.trials.known.lock();
        if known.closed {
            return Err(RelayError::Closed);
        }
        known.refuse_crowd(most)?;
        let thread = std::thread::Builder::new().name("trial".to_owned()).spawn(move || {
            low::lower(low::HISTORY);
            let ended = run::run(&relay, &in_queue, &own, &chains, &record, sample);
            relay.trial_ended(&own, ended);
        })?;
        known.threads.retain(|thread| !thread.is_finished());
        known.threads.push(thread);
        let ended = known.jobs.iter().filter(|job| !job.is_running()).count();
        if let Some(oldest) = known.jobs.iter().position(|job| !job.is_running()).filter(|_| ended >= KEPT) {
            known.jobs.remove(oldest);
        }
        known.jobs.push(job.clone());
        drop(known);
        self.trials.begun.fetch_add(1, Ordering::Relaxed);
        tracing::info!(topic, trial = job.id, what = job.what, records = of, "trial begun");
        Ok(job.status(shared.clock.monotonic()))
    }

    fn trial_ended(&self, job: &Job, ended: Result<(), RelayError>) {
        let took = self.shared().clock.monotonic().saturating_sub(job.begun);
        self.trials.records.fetch_add(job.tried.load(Ordering::Relaxed), Ordering::Relaxed);
        let mut progress = job.progress.lock();
        progress.took = Some(took);
        (progress.state, progress.error) = match ended {
            Ok(()) => (TrialState::Done, None),
            Err(RelayError::Closed) => (TrialState::Cancelled, None),
            Err(error) => (TrialState::Failed, Some(error.to_string())),
        };
        if progress.state != TrialState::Done {
            self.trials.cut_short.fetch_add(1, Ordering::Relaxed);
        }
        tracing::info!(topic = %job.topic, trial = job.id, state = ?progress.state, error = progress.error, "trial ended");
    }

    /// All trials that are remembered, the oldest first.
    pub fn trials(&self) -> Vec<TrialStatus> {
        let now = self.shared().clock.monotonic();
        let jobs = self.trials.known.lock().jobs.clone();
        jobs.iter().map(|job| job.status(now)).collect()
    }

    /// One of them.
    ///
    /// # Errors
    /// [`RelayError::Missing`].
    pub fn trial(&self, id: &str) -> Result<TrialStatus, RelayError> {
        Ok(self.trials.find(id)?.status(self.shared().clock.monotonic()))
    }

    /// Ends a trial after the call it is at; one that has ended is forgotten.
    ///
    /// # Errors
    /// [`RelayError::Missing`].
    pub fn cancel_trial(&self, id: &str) -> Result<TrialStatus, RelayError> {
        let job = self.trials.find(id)?;
        if job.is_running() {
            job.stop.store(true, Ordering::Release);
        } else {
            self.trials.known.lock().jobs.retain(|other| other.id != id);
        }
        Ok(job.status(self.shared().clock.monotonic()))
    }

    /// Figures for those who watch the box.
    pub fn trial_figures(&self) -> TrialFigures {
        let running = self
            .trials
            .known
            .lock()
            .jobs
            .iter()
            .filter(|job| job.is_running())
            .map(|job| job.tried.load(Ordering::Relaxed))
            .collect::<Vec<_>>();
        TrialFigures {
            begun: self.trials.begun.load(Ordering::Relaxed),
            running: running.len() as u64,
            cut_short: self.trials.cut_short.load(Ordering::Relaxed),
            records: self.trials.records.load(Ordering::Relaxed) + running.iter().sum::<u64>(),
        }
    }
}
