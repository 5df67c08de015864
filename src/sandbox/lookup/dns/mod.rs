//! Names of addresses and addresses of names, for filters that ask.
//!
//! A resolver is neither quick nor does it say the same for ever; a filter's answer must be both. So threads of its own ask
//! ([`resolver`]), a call waits for them [`BUDGET`] in all, and what was said, even that nobody said anything, is kept for the
//! arrival times it was said for ([`answers`]) and durable before the call's rows are taken: a replay is told what live was told.
//! An answer that comes too late is not lost: the next record that asks has it.
//!
//! Limits: [`BUDGET`] a call; those of [`resolver`] and [`answers`]; [`FRESH`] answers that came and were not yet asked for.
//! Crash story: see [`answers`].

mod answers;
mod resolver;

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use parking_lot::{Condvar, Mutex};
use serde::Deserialize;

use self::answers::{Answer, Answers};
use self::resolver::{Ask, QUEUE, Servers, THREADS};
use super::Got;
use crate::base::clock::Clock;
use crate::base::disk::Disk;

/// How long a call of a filter waits for resolvers, in all.
pub(in super::super) const BUDGET: Duration = Duration::from_millis(50);
/// How long "no answer in time" stands: then a record may ask again.
const NO_ANSWER_NS: i64 = 1_000_000_000;
/// Most answers that nobody has asked for yet.
const FRESH: usize = 16_384;
/// Longest wait for one server.
const TIMEOUT: f64 = 5.0;
/// Most servers.
const SERVERS: usize = 8;

/// The argument of such a lookup: JSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Options {
    /// `reverse` or `resolve`.
    ask: String,
    /// Addresses of servers, with a port or without; the machine's own where there are none.
    nameserver: Vec<String>,
    /// Seconds to wait for a server.
    timeout: f64,
    /// How often to ask again.
    max_retries: u32,
    /// Seconds that an answer stands.
    hit_cache_ttl: f64,
    /// Seconds that "there is none" stands.
    failed_cache_ttl: f64,
}

impl Default for Options {
    fn default() -> Self {
        let (ask, nameserver) = (String::new(), Vec::new());
        Self { ask, nameserver, timeout: 0.5, max_retries: 2, hit_cache_ttl: 60.0, failed_cache_ttl: 5.0 }
    }
}

/// The resolver of the box.
pub(in super::super) struct Resolver {
    answers: Answers,
    clock: Arc<dyn Clock>,
    board: Arc<Board>,
    questions: Sender<Question>,
}

/// Where threads hang answers.
#[derive(Default)]
struct Board {
    state: Mutex<BoardState>,
    changed: Condvar,
}

#[derive(Default)]
struct BoardState {
    asked: HashSet<Arc<str>>,
    /// Answers, and when they came.
    fresh: HashMap<Arc<str>, (Answer, Duration)>,
}

struct Question {
    key: Arc<str>,
    ask: Ask,
    text: String,
    servers: Arc<Servers>,
}

/// An open lookup.
pub(in super::super) struct Dns {
    resolver: Arc<Resolver>,
    ask: Ask,
    servers: Arc<Servers>,
    /// Stands before a question, so that those who ask others are told others' answers.
    whom: String,
    hit_ns: i64,
    failed_ns: i64,
}

impl Resolver {
    /// Starts it.
    pub(super) fn start(disk: Arc<dyn Disk>, clock: Arc<dyn Clock>) -> Result<Arc<Self>, String> {
        let answers = Answers::open(disk).map_err(|error| format!("what the resolver answered cannot be read: {error}"))?;
        let (questions, waiting) = crossbeam_channel::bounded(QUEUE);
        let board = Arc::new(Board::default());
        for number in 0..THREADS {
            let (waiting, board, clock) = (waiting.clone(), Arc::clone(&board), Arc::clone(&clock));
            let started =
                std::thread::Builder::new().name(format!("dns-{number}")).spawn(move || work(&waiting, &board, &*clock));
            started.map_err(|error| format!("no thread for the resolver: {error}"))?;
        }
        Ok(Arc::new(Self { answers, clock, board, questions }))
    }

    /// Opens a lookup.
    pub(super) fn open(self: &Arc<Self>, argument: &str) -> Result<Dns, String> {
        let text = if argument.trim().is_empty() { "{}" } else { argument };
        let options: Options = serde_json::from_str(text).map_err(|error| format!("options of the lookup `dns`: {error}"))?;
        let ask = match options.ask.as_str() {
            "reverse" => Ask::Reverse,
            "resolve" => Ask::Resolve,
            other => return Err(format!("options of the lookup `dns`: `ask` is \"reverse\" or \"resolve\", not \"{other}\"")),
        };
        let mut addresses = Vec::new();
        for name in options.nameserver.iter().take(SERVERS) {
            let address = resolver::server(name);
            addresses.push(
                address.ok_or_else(|| format!("`nameserver`: `{name}` is no address, like 192.0.2.53 or [2001:db8::1]:53"))?,
            );
        }
        let whom = format!("{}{addresses:?} ", if ask == Ask::Reverse { "ptr" } else { "a" });
        if addresses.is_empty() {
            addresses = resolver::system_servers();
            addresses.truncate(SERVERS);
        }
        let timeout = Some(options.timeout).filter(|seconds| *seconds > 0.0 && *seconds <= TIMEOUT);
        let timeout = timeout.ok_or_else(|| format!("`timeout` must be more than 0 and at most {TIMEOUT} seconds"))?;
        let retries = options.max_retries.min(10);
        let servers =
            Servers { addresses, timeout: Duration::from_secs_f64(timeout), retries, hosts: resolver::system_hosts() };
        Ok(Dns {
            resolver: Arc::clone(self),
            ask,
            servers: Arc::new(servers),
            whom,
            hit_ns: nanoseconds("hit_cache_ttl", options.hit_cache_ttl)?,
            failed_ns: nanoseconds("failed_cache_ttl", options.failed_cache_ttl)?,
        })
    }
}

fn nanoseconds(name: &str, seconds: f64) -> Result<i64, String> {
    let duration = Some(seconds).filter(|seconds| (0.0..=31_536_000.0).contains(seconds)).map(Duration::from_secs_f64);
    let ns = duration.and_then(|duration| i64::try_from(duration.as_nanos()).ok());
    ns.ok_or_else(|| format!("`{name}` must be from 0 to a year, in seconds"))
}

/// A thread's life: it ends when the resolver does.
fn work(waiting: &Receiver<Question>, board: &Board, clock: &dyn Clock) {
    while let Ok(question) = waiting.recv() {
        let answer = match resolver::resolve(question.ask, &question.text, &question.servers) {
            Ok(Some(text)) => Answer::Text(text.into()),
            Ok(None) => Answer::Nothing,
            Err(()) => Answer::Late,
        };
        let mut state = board.state.lock();
        state.asked.remove(&question.key);
        if state.fresh.len() >= FRESH {
            state.fresh.clear();
        }
        state.fresh.insert(question.key, (answer, clock.monotonic()));
        drop(state);
        board.changed.notify_all();
    }
}

impl Dns {
    /// Asks, for a record that arrived at `now_ns`. What it waits is taken from `left`.
    pub(super) fn get<'l>(&self, key: &[u8], now_ns: i64, left: &mut Duration, room: &'l mut Vec<u8>) -> Got<'l> {
        let Some(text) = self.question(key) else { return Got::Nothing };
        let name: Arc<str> = format!("{}{text}", self.whom).into();
        let answer = match self.resolver.answers.get(&name, now_ns) {
            Some(answer) => answer,
            None => {
                let answer = self.ask(&name, text, left);
                self.resolver.answers.put(&name, now_ns, self.ttl_ns(&answer), answer)
            }
        };
        match answer {
            Answer::Text(text) => {
                room.clear();
                room.extend_from_slice(text.as_bytes());
                Got::Value(room)
            }
            Answer::Nothing => Got::Nothing,
            Answer::Late => Got::Late,
        }
    }

    /// Makes durable what was answered: before the rows of a call that asked are taken.
    pub(in super::super) fn settle(&self) {
        self.resolver.answers.settle();
    }

    /// How long an answer stands.
    fn ttl_ns(&self, answer: &Answer) -> i64 {
        match answer {
            Answer::Text(_) => self.hit_ns,
            Answer::Nothing => self.failed_ns,
            Answer::Late => NO_ANSWER_NS,
        }
    }

    /// The question as it is asked; `None` where nobody could answer it.
    fn question(&self, key: &[u8]) -> Option<String> {
        let text = std::str::from_utf8(key).ok()?.trim();
        match self.ask {
            Ask::Reverse => text.parse::<IpAddr>().ok().map(|address| address.to_canonical().to_string()),
            Ask::Resolve => {
                let name = text.strip_suffix('.').unwrap_or(text);
                let is_label = |label: &str| {
                    (1..64).contains(&label.len())
                        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
                };
                (name.len() < 254 && name.parse::<IpAddr>().is_err() && name.split('.').all(is_label))
                    .then(|| name.to_ascii_lowercase())
            }
        }
    }

    fn ask(&self, name: &Arc<str>, text: String, left: &mut Duration) -> Answer {
        let board = &self.resolver.board;
        let mut state = board.state.lock();
        if let Some((answer, came)) = state.fresh.remove(name) {
            let age = self.resolver.clock.monotonic().saturating_sub(came).as_nanos();
            if age <= u128::from(self.ttl_ns(&answer).unsigned_abs()) {
                return answer;
            }
        }
        if !state.asked.contains(name) {
            let question = Question { key: Arc::clone(name), ask: self.ask, text, servers: Arc::clone(&self.servers) };
            if self.resolver.questions.try_send(question).is_err() {
                return Answer::Late;
            }
            state.asked.insert(Arc::clone(name));
        }
        while !left.is_zero() {
            let before = self.resolver.clock.monotonic();
            let timed_out = board.changed.wait_for(&mut state, *left).timed_out();
            *left = if timed_out {
                Duration::ZERO
            } else {
                left.saturating_sub(self.resolver.clock.monotonic().saturating_sub(before))
            };
            if let Some((answer, _)) = state.fresh.get(name) {
                // It stays there for others who wait for the same; the next question takes it down, or finds it too old.
                return answer.clone();
            }
        }
        Answer::Late
    }
}

/// A made-up server, for tests of filters.
#[cfg(test)]
pub(in super::super) fn tests_server() -> std::net::SocketAddr {
    resolver::tests::start()
}

#[cfg(test)]
mod tests;
