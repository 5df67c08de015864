//! Schema registries: each has a desk with a thread of its own, so that no lane waits for HTTP and no registry for another.
//!
//! A lane that meets a number which is not known leaves it at the desk with its waker and gives its thread back; the desk asks,
//! makes the answer durable ([`super::answers`]), and wakes it. While a registry cannot be asked its lanes wait and say so: an
//! outage makes no dead letters. It is asked again with growing pauses.
//!
//! Limits: a desk asks one question at a time; a lane waits for one number at a time, so numbers that wait are no more than lanes.
//! Threads are made when a registry is first asked, and are as many as registries. They end with their question at the latest
//! (`timeout`); the box does not wait for that.
//! Crash story: nothing here is durable but the answers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Waker;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use serde::{Deserialize, Serialize};

use super::answers::{Answers, Known, Place};
use super::fetch::{self, Fetch, Http};
use crate::base::clock::Clock;
use crate::base::disk::Disk;
use crate::base::units::Span;
use crate::relay::status::RegistryStatus;

/// The first pause after a question that failed, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How much longer a refusal counts than it took: a number that is not there is asked for once in this time.
const REFUSED_NS: i64 = 30_000_000_000;

/// A schema registry.
#[derive(Deserialize, Serialize, Clone, Debug)]
#[serde(deny_unknown_fields, default)]
pub struct RegistryConfig {
    /// Its address, as topics name it.
    pub url: String,
    /// Who asks.
    pub user: Option<String>,
    /// The password.
    pub password: Option<String>,
    /// How long one question may take.
    pub timeout: Span,
}

impl Default for RegistryConfig {
    fn default() -> Self {
        Self { url: String::new(), user: None, password: None, timeout: Span(Duration::from_secs(10)) }
    }
}

/// All registries.
pub(crate) struct Registries {
    disk: Option<Arc<dyn Disk>>,
    clock: Arc<dyn Clock>,
    configs: Vec<RegistryConfig>,
    answers: OnceLock<Arc<Answers>>,
    opening: Mutex<()>,
    desks: Mutex<BTreeMap<Arc<str>, Arc<Desk>>>,
    stopped: AtomicBool,
}

/// What waits for one registry.
pub(super) struct Desk {
    url: Arc<str>,
    fetch: Box<dyn Fetch>,
    state: Mutex<State>,
    changed: Condvar,
    asked: AtomicU64,
    failed: AtomicU64,
}

#[derive(Default)]
struct State {
    waiting: BTreeMap<u32, Vec<Waker>>,
    is_running: bool,
    /// Failures in a row, the last one's reason, and when to ask again.
    failures: u32,
    last_error: Option<String>,
    not_before: Duration,
    stopped: bool,
}

impl Registries {
    /// Registries whose answers are kept on this disk.
    pub(crate) fn new(disk: Option<Arc<dyn Disk>>, clock: Arc<dyn Clock>, configs: Vec<RegistryConfig>) -> Arc<Self> {
        Arc::new(Self {
            disk,
            clock,
            configs,
            answers: OnceLock::new(),
            opening: Mutex::default(),
            desks: Mutex::default(),
            stopped: AtomicBool::new(false),
        })
    }

    /// The answers; opened when they are first needed.
    fn answers(&self) -> Result<&Arc<Answers>, String> {
        if let Some(answers) = self.answers.get() {
            return Ok(answers);
        }
        let _one_at_a_time = self.opening.lock();
        if let Some(answers) = self.answers.get() {
            return Ok(answers);
        }
        let disk = self.disk.clone().ok_or_else(|| "this box has no place for the answers of schema registries".to_owned())?;
        let opened = Answers::open(disk).map_err(|error| format!("relay/SCHEMAS cannot be opened: {error}"))?;
        Ok(self.answers.get_or_init(|| Arc::new(opened)))
    }

    fn desk(&self, url: &Arc<str>) -> Arc<Desk> {
        let mut desks = self.desks.lock();
        let desk = desks.entry(url.clone()).or_insert_with(|| {
            let own = self.configs.iter().find(|config| config.url.trim_end_matches('/') == &**url).cloned();
            let config = own.unwrap_or_else(|| RegistryConfig { url: url.to_string(), ..RegistryConfig::default() });
            Desk::new(url.clone(), Box::new(Http::new(&config)))
        });
        desk.clone()
    }

    /// What is known of a schema for a record that arrived then.
    pub(super) fn known(&self, place: &Place, arrival_ns: i64) -> Result<Known, String> {
        Ok(self.answers()?.of(place, arrival_ns))
    }

    /// Asks for a schema; `waker` is woken when it is known, and when there is something else to say. Gives what there is to say
    /// meanwhile.
    ///
    /// # Errors
    /// Why it cannot even be asked for.
    pub(crate) fn ask(&self, place: &Place, waker: &Waker) -> Result<String, String> {
        let answers = self.answers()?.clone();
        let desk = self.desk(&place.0);
        desk.wait(place.1, waker);
        let mut state = desk.state.lock();
        if !state.is_running && !state.stopped && !self.stopped.load(Ordering::SeqCst) {
            let (working, clock) = (desk.clone(), self.clock.clone());
            let run = move || working.run(&answers, &*clock);
            let started = std::thread::Builder::new().name("schemas".to_owned()).spawn(run);
            started.map_err(|error| format!("no thread to ask {} with: {error}", place.0))?;
            state.is_running = true;
        }
        drop(state);
        Ok(desk.said(place.1))
    }

    /// Whether this is still being asked for.
    pub(crate) fn is_waiting(&self, place: &Place) -> bool {
        self.desks.lock().get(&place.0).is_some_and(|desk| desk.is_waiting(place.1))
    }

    /// What to say about a schema that is waited for.
    pub(crate) fn said(&self, place: &Place) -> String {
        self.desk(&place.0).said(place.1)
    }

    /// Ends the desks, each after the question it is at.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        for desk in self.desks.lock().values() {
            desk.state.lock().stopped = true;
            desk.changed.notify_all();
        }
    }

    /// Every registry that was asked.
    pub(crate) fn status(&self) -> Vec<RegistryStatus> {
        let schemas = self.answers.get().map_or(0, |answers| answers.schemas());
        self.desks.lock().values().map(|desk| desk.status(schemas)).collect()
    }
}

impl Desk {
    fn new(url: Arc<str>, fetch: Box<dyn Fetch>) -> Arc<Self> {
        Arc::new(Self {
            url,
            fetch,
            state: Mutex::default(),
            changed: Condvar::new(),
            asked: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        })
    }

    fn wait(&self, id: u32, waker: &Waker) {
        let mut state = self.state.lock();
        let wakers = state.waiting.entry(id).or_default();
        if !wakers.iter().any(|known| known.will_wake(waker)) {
            wakers.push(waker.clone());
        }
        self.changed.notify_all();
    }

    fn is_waiting(&self, id: u32) -> bool {
        self.state.lock().waiting.contains_key(&id)
    }

    fn said(&self, id: u32) -> String {
        match &self.state.lock().last_error {
            Some(error) => format!("schema {id} is not known yet: {} cannot be asked: {error}", self.url),
            None => format!("schema {id} is not known yet: {} is being asked", self.url),
        }
    }

    fn status(&self, schemas: usize) -> RegistryStatus {
        let state = self.state.lock();
        RegistryStatus {
            url: self.url.clone(),
            schemas: schemas as u64,
            waiting: state.waiting.len() as u64,
            asked: self.asked.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            is_up: state.last_error.is_none(),
            last_error: state.last_error.clone(),
        }
    }

    /// What its thread does.
    fn run(&self, answers: &Answers, clock: &dyn Clock) {
        loop {
            {
                let mut state = self.state.lock();
                loop {
                    let now = clock.monotonic();
                    if state.stopped {
                        return;
                    }
                    if state.waiting.is_empty() {
                        self.changed.wait(&mut state);
                    } else if now < state.not_before {
                        let left = state.not_before.saturating_sub(now);
                        self.changed.wait_for(&mut state, left);
                    } else {
                        break;
                    }
                }
            }
            self.work(answers, clock);
        }
    }

    /// Asks for the first number that waits.
    fn work(&self, answers: &Answers, clock: &dyn Clock) {
        let Some(id) = self.state.lock().waiting.keys().next().copied() else { return };
        self.asked.fetch_add(1, Ordering::Relaxed);
        let outcome = fetch::ask(&*self.fetch, id, clock.now_ns().saturating_add(REFUSED_NS)).and_then(|answer| {
            if self.state.lock().stopped {
                // The disk may be somebody else's by now.
                return Err("the box is stopping".to_owned());
            }
            let kept = answers.keep((self.url.clone(), id), answer);
            kept.map_err(|error| format!("its answer cannot be kept: {error}"))
        });
        let mut state = self.state.lock();
        let wakers = match outcome {
            Ok(()) => {
                if state.last_error.take().is_some() {
                    tracing::info!(registry = %self.url, "schema registry answers again");
                }
                state.failures = 0;
                state.waiting.remove(&id).unwrap_or_default()
            }
            Err(error) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
                if state.last_error.is_none() {
                    tracing::warn!(registry = %self.url, error, "schema registry cannot be asked; records wait for it");
                }
                let pause = FIRST_PAUSE.saturating_mul(1 << state.failures.min(10)).min(LONGEST_PAUSE);
                state.failures = state.failures.saturating_add(1);
                state.not_before = clock.monotonic() + pause;
                state.last_error = Some(error);
                // They do not go on, but have something else to say.
                state.waiting.values().flatten().cloned().collect()
            }
        };
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }
}
