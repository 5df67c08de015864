//! Traffic: who may send how much, and what goes to another topic than the one that was meant.
//!
//! Purpose: receivers ask [`Traffic::admit`] once a batch. Routes are looked at first, the first that applies wins; then quotas,
//! all that apply; at the topic that a batch is sent on to it begins anew, at most [`HOPS`] times.
//! Comes in: topic, sender ([`Who`]), records and bytes, the time. Goes out: [`Admit`].
//! Invariants: rules change at run time, durably (`book.rs`), and hold from the next batch on, for a batch as a whole. Without
//! rules asking costs two loads. A batch that is refused or sent elsewhere by a quota takes nothing from it; one that is taken
//! counts whole, so that the next waits (`bucket.rs`). What is sent elsewhere goes there in runs: until the bucket is full again.
//! Order: records of one key keep theirs within a topic; those that a rule sends elsewhere are in order there, and nothing is
//! said about the two topics beside one another.
//! Routes that look at a record's header, document or peer cannot be judged by a batch's envelope: receivers ask
//! [`Rules::by_record`] for topics that have such, and for no others.
//! Limits: `rules.rs`, `bucket.rs`. Why not in the receivers: there are five of them, and one rule.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::error::QueueError;
use crate::base::disk::Disk;
use book::Book;
use bucket::Buckets;
use pattern::globs;

pub mod book;
pub mod bucket;
pub mod pattern;
pub mod rules;

mod target;

pub use book::{Ruled, check_file};
pub use pattern::Condition;
pub use rules::{Action, Direction, Quota, Route};

/// How often a batch may be sent on. Rules hold no circle; this ends what a change of rules in between might make.
pub const HOPS: usize = 8;
/// The longest that a sender is told to wait at a time; what it owes beyond that it is told with the next batch. Kafka clients give
/// a request up after 30 s.
pub const LONGEST: Duration = Duration::from_secs(10);
/// What of a name tells buckets apart: clients make up their own.
const KEY_BYTES: usize = 256;
/// What a principal is called that has not signed in.
pub const ANONYMOUS: &str = "ANONYMOUS";

/// Who sends, or takes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Who<'a> {
    /// The principal, if somebody signed in.
    pub principal: Option<&'a str>,
    /// What a Kafka client calls itself.
    pub client_id: Option<&'a str>,
    /// Where it comes from; left out where records of many senders come together.
    pub peer: Option<IpAddr>,
    /// Its protocol has no refusal: where others are refused it waits, and that is counted as waiting.
    pub waits: bool,
}

/// What is to be done with a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admit {
    /// It goes where it was meant to.
    Go,
    /// So does this one, but nothing more is read from the sender for so long.
    Throttle(Duration),
    /// It is not taken: why, and how long until one would be.
    Refuse {
        /// A sentence for the sender.
        reason: String,
        /// When to come again.
        after: Duration,
    },
    /// It goes to this topic; then nothing is read for so long.
    Divert {
        /// The topic.
        to: Arc<str>,
        /// As for `Throttle`; zero most of the time.
        throttle: Duration,
    },
}

/// What a rule has done since the start.
#[derive(Debug, Default)]
struct Counted {
    throttled_ns: AtomicU64,
    refused_records: AtomicU64,
    refused_bytes: AtomicU64,
    diverted_records: AtomicU64,
    diverted_bytes: AtomicU64,
}

/// What a rule has done since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// How long senders were told to wait, in all.
    pub throttled: Duration,
    /// Records refused.
    pub refused_records: u64,
    /// Their bytes.
    pub refused_bytes: u64,
    /// Records sent elsewhere.
    pub diverted_records: u64,
    /// Their bytes.
    pub diverted_bytes: u64,
}

impl Counted {
    fn throttled(&self, wait: Duration) {
        self.throttled_ns.fetch_add(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn refused(&self, records: u64, bytes: u64) {
        self.refused_records.fetch_add(records, Ordering::Relaxed);
        self.refused_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn diverted(&self, records: u64, bytes: u64) {
        self.diverted_records.fetch_add(records, Ordering::Relaxed);
        self.diverted_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn read(&self) -> Count {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Count {
            throttled: Duration::from_nanos(get(&self.throttled_ns)),
            refused_records: get(&self.refused_records),
            refused_bytes: get(&self.refused_bytes),
            diverted_records: get(&self.diverted_records),
            diverted_bytes: get(&self.diverted_bytes),
        }
    }
}

/// A quota that holds, and its buckets.
#[derive(Debug)]
struct Limit {
    quota: Quota,
    to: Option<Arc<str>>,
    buckets: Mutex<Buckets>,
    counted: Arc<Counted>,
}

/// A route that holds.
#[derive(Debug)]
pub struct Way {
    route: Route,
    condition: Condition,
    to: Arc<str>,
    counted: Arc<Counted>,
}

impl Way {
    /// The topic it leads to.
    pub fn to(&self) -> &Arc<str> {
        &self.to
    }

    /// Whether it looks at where records come from, which of a whole batch the envelope says.
    pub fn is_of_peer(&self) -> bool {
        matches!(self.condition, Condition::Peer(_))
    }

    /// Whether it applies to a record; `field` finds a header or a field of its document.
    pub fn applies<'a>(&self, field: &mut dyn FnMut(&str) -> Option<std::borrow::Cow<'a, [u8]>>) -> bool {
        match &self.condition {
            Condition::Field(name, pattern) => field(name).is_some_and(|value| globs(pattern.as_bytes(), &value)),
            Condition::Peer(peer) => {
                let value = field(crate::base::record::header::PEER);
                let address = value.as_deref().and_then(|value| std::str::from_utf8(value).ok()?.parse().ok());
                address.is_some_and(|address| peer.holds(address))
            }
            Condition::Always | Condition::Principal(_) | Condition::Client(_) => false,
        }
    }

    /// Counts what it sent elsewhere.
    pub fn count(&self, records: u64, bytes: u64) {
        self.counted.diverted(records, bytes);
    }
}

/// The rules that hold at one moment.
#[derive(Debug, Default)]
pub struct Rules {
    produce: Vec<Arc<Limit>>,
    consume: Vec<Arc<Limit>>,
    ways: Vec<Arc<Way>>,
    /// Those of a topic for which records must be looked into.
    by_record: HashMap<Arc<str>, Vec<Arc<Way>>>,
}

impl Rules {
    /// Whether nothing that is sent has to be asked about.
    pub fn is_empty(&self) -> bool {
        self.produce.is_empty() && self.ways.is_empty()
    }

    /// The routes of a topic that look at each record; empty for almost all topics.
    pub fn by_record(&self, topic: &str) -> &[Arc<Way>] {
        if self.by_record.is_empty() {
            return &[];
        }
        self.by_record.get(topic).map_or(&[], Vec::as_slice)
    }
}

/// Quotas and routes; one for the box.
#[derive(Debug)]
pub struct Traffic {
    rules: ArcSwap<Rules>,
    book: Mutex<Book>,
    counted: Mutex<HashMap<(bool, String), Arc<Counted>>>,
}

/// A rule with what it has done, for listing.
#[derive(Clone, Debug)]
pub struct Listed<R> {
    /// The rule, and where it comes from.
    pub ruled: Ruled<R>,
    /// What it has done.
    pub count: Count,
}

impl Traffic {
    pub(super) fn open(disk: Arc<dyn Disk>) -> io::Result<(Self, u64)> {
        let (book, damaged) = Book::open(disk)?;
        let own = Self { rules: ArcSwap::default(), book: Mutex::new(book), counted: Mutex::default() };
        own.renew(&own.book.lock());
        Ok((own, damaged))
    }

    /// Takes the rules of the configuration file, which [`check_file`] has seen.
    pub fn configure(&self, quotas: Vec<Quota>, routes: Vec<Route>) {
        let mut book = self.book.lock();
        book.configure(quotas, routes);
        self.renew(&book);
    }

    /// Puts a quota, durably. Blocks for the disk. Use [`super::Queue::put_quota`], which makes the target topic.
    pub(super) fn put_quota(&self, quota: Quota) -> Result<(), QueueError> {
        let mut book = self.book.lock();
        book.put_quota(quota)?;
        self.renew(&book);
        Ok(())
    }

    /// Puts a route, durably, and gives its name.
    pub(super) fn put_route(&self, route: Route) -> Result<String, QueueError> {
        let mut book = self.book.lock();
        let name = book.put_route(route)?;
        self.renew(&book);
        Ok(name)
    }

    /// Removes a quota, durably; false if there is none of that name. Blocks for the disk.
    ///
    /// # Errors
    /// [`QueueError::Refused`] if the file has it, others from the disk.
    pub fn remove_quota(&self, name: &str) -> Result<bool, QueueError> {
        let mut book = self.book.lock();
        let removed = book.remove_quota(name)?;
        self.renew(&book);
        Ok(removed)
    }

    /// Removes a route, durably; false if there is none of that name. Blocks for the disk.
    ///
    /// # Errors
    /// [`QueueError::Refused`] if the file has it, others from the disk.
    pub fn remove_route(&self, name: &str) -> Result<bool, QueueError> {
        let mut book = self.book.lock();
        let removed = book.remove_route(name)?;
        self.renew(&book);
        Ok(removed)
    }

    /// All quotas, in the order in which they are listed.
    pub fn quotas(&self) -> Vec<Listed<Quota>> {
        let quotas = self.book.lock().rules().0;
        let count = |ruled: Ruled<Quota>| Listed { count: self.counted(true, &ruled.rule.name).read(), ruled };
        quotas.into_iter().map(count).collect()
    }

    /// All routes, in the order in which they are tried.
    pub fn routes(&self) -> Vec<Listed<Route>> {
        let routes = self.book.lock().rules().1;
        let count = |ruled: Ruled<Route>| Listed { count: self.counted(false, &ruled.rule.name).read(), ruled };
        routes.into_iter().map(count).collect()
    }

    fn counted(&self, quota: bool, name: &str) -> Arc<Counted> {
        self.counted.lock().entry((quota, name.to_owned())).or_default().clone()
    }

    /// Lets the rules of the book hold. A quota that did not change keeps its buckets.
    fn renew(&self, book: &Book) {
        let (quotas, routes) = book.rules();
        let before = self.rules.load_full();
        let mut rules = Rules::default();
        for quota in quotas.into_iter().filter(|ruled| !ruled.shadowed).map(|ruled| ruled.rule) {
            let same = before.produce.iter().chain(&before.consume).find(|limit| limit.quota == quota);
            let limit = same.cloned().unwrap_or_else(|| {
                let (to, counted) = (quota.to.as_deref().map(Arc::from), self.counted(true, &quota.name));
                Arc::new(Limit { quota, to, buckets: Mutex::default(), counted })
            });
            match limit.quota.direction {
                Direction::Produce => rules.produce.push(limit),
                Direction::Consume => rules.consume.push(limit),
            }
        }
        for route in routes.into_iter().filter(|ruled| !ruled.shadowed).map(|ruled| ruled.rule) {
            // It was checked when it was put; a condition that this version no longer reads does not hold.
            let Ok(condition) = route.check() else { continue };
            let (to, counted) = (Arc::from(route.to.as_str()), self.counted(false, &route.name));
            let way = Arc::new(Way { route, condition, to, counted });
            if way.condition.is_of_records() {
                rules.by_record.entry(way.route.topic.as_str().into()).or_default().push(way.clone());
            }
            rules.ways.push(way);
        }
        let kept = |(quota, name): &(bool, String), _: &mut Arc<Counted>| match quota {
            true => rules.produce.iter().chain(&rules.consume).any(|limit| limit.quota.name == *name),
            false => rules.ways.iter().any(|way| way.route.name == *name),
        };
        self.counted.lock().retain(kept);
        self.rules.store(Arc::new(rules));
    }

    /// The rules that hold now: hold on to them for a batch, not for longer.
    pub fn rules(&self) -> Arc<Rules> {
        self.rules.load_full()
    }

    /// What is to be done with a batch for `topic`. `now` is the clock's monotonic time.
    pub fn admit(&self, topic: &str, who: &Who<'_>, records: u64, bytes: u64, now: Duration) -> Admit {
        let rules = self.rules.load();
        if rules.is_empty() {
            return Admit::Go;
        }
        let mut at: &str = topic;
        let mut to: Option<&Arc<str>> = None;
        let mut key = String::new();
        'hops: for _ in 0..HOPS {
            if let Some(way) = rules.ways.iter().find(|way| way.route.topic == at && by_envelope(&way.condition, who)) {
                way.counted.diverted(records, bytes);
                (at, to) = (&way.to, Some(&way.to));
                continue;
            }
            for limit in rules.produce.iter().filter(|limit| limit.quota.action != Action::Throttle) {
                if !limit.is_of(at, who, &mut key) {
                    continue;
                }
                let mut buckets = limit.buckets.lock();
                let bucket = buckets.of(&key, limit.quota.size(), now);
                match &limit.to {
                    None => {
                        if let Some(after) = bucket.owed(limit.quota.size(), now) {
                            drop(buckets);
                            match who.waits {
                                true => limit.counted.throttled(after),
                                false => limit.counted.refused(records, bytes),
                            }
                            return Admit::Refuse { reason: limit.reason(at), after };
                        }
                    }
                    Some(target) => {
                        if bucket.is_over(limit.quota.size(), now) {
                            drop(buckets);
                            limit.counted.diverted(records, bytes);
                            (at, to) = (target, Some(target));
                            continue 'hops;
                        }
                    }
                }
            }
            break;
        }
        let throttle = take(&rules.produce, at, who, bytes, now);
        match to {
            Some(to) => Admit::Divert { to: to.clone(), throttle },
            None if throttle.is_zero() => Admit::Go,
            None => Admit::Throttle(throttle),
        }
    }

    /// How long until a batch for `topic` would go without waiting, and the quota's sentence: what a sender is told that cannot
    /// be made to wait behind its batch. Takes nothing.
    pub fn owed(&self, topic: &str, who: &Who<'_>, now: Duration) -> Option<(Duration, String)> {
        let rules = self.rules.load();
        let mut key = String::new();
        let mut longest: Option<(Duration, &Arc<Limit>)> = None;
        for limit in rules.produce.iter().filter(|limit| limit.quota.action == Action::Throttle) {
            if limit.is_of(topic, who, &mut key) {
                let owed = limit.buckets.lock().of(&key, limit.quota.size(), now).owed(limit.quota.size(), now);
                longest = owed.map(|owed| (owed, limit)).into_iter().chain(longest).max_by_key(|(owed, _)| *owed);
            }
        }
        longest.map(|(owed, limit)| (owed, limit.reason(topic)))
    }

    /// Takes what a consumer was given from its quotas, and says how long it is to wait.
    pub fn consumed(&self, who: &Who<'_>, bytes: u64, now: Duration) -> Duration {
        let rules = self.rules.load();
        if rules.consume.is_empty() { Duration::ZERO } else { take(&rules.consume, "", who, bytes, now) }
    }
}

/// Takes from all that apply; the longest wait.
fn take(limits: &[Arc<Limit>], topic: &str, who: &Who<'_>, bytes: u64, now: Duration) -> Duration {
    let mut key = String::new();
    let mut longest = Duration::ZERO;
    for limit in limits {
        if !limit.is_of(topic, who, &mut key) {
            continue;
        }
        let owed = limit.buckets.lock().of(&key, limit.quota.size(), now).take(limit.quota.size(), bytes, now);
        if let (Action::Throttle, Some(owed)) = (limit.quota.action, owed) {
            let wait = owed.min(LONGEST);
            limit.counted.throttled(wait);
            longest = longest.max(wait);
        }
    }
    longest
}

/// Whether a condition holds that needs no look into the records. A peer's does where the sender is one.
fn by_envelope(condition: &Condition, who: &Who<'_>) -> bool {
    let text = |pattern: &str, value: Option<&str>| value.is_some_and(|value| globs(pattern.as_bytes(), value.as_bytes()));
    match condition {
        Condition::Always => true,
        Condition::Principal(pattern) => text(pattern, who.principal.or(Some(ANONYMOUS))),
        Condition::Client(pattern) => text(pattern, who.client_id),
        Condition::Peer(peer) => who.peer.is_some_and(|address| peer.holds(address)),
        Condition::Field(..) => false,
    }
}

impl Limit {
    /// Whether it is about this sender and topic; `key` then says which bucket of it.
    fn is_of(&self, topic: &str, who: &Who<'_>, key: &mut String) -> bool {
        key.clear();
        if !self.quota.is_of(topic) {
            return false;
        }
        let mut holds = |pattern: &Option<String>, value: Option<&str>| {
            let Some(pattern) = pattern else { return true };
            if !value.is_some_and(|value| globs(pattern.as_bytes(), value.as_bytes())) {
                return false;
            }
            if pattern.contains('*') {
                // A zero byte is in no name that could be confused with another; names that begin alike for so long are one.
                let value = value.unwrap_or_default();
                key.push_str(&value[..value.floor_char_boundary(KEY_BYTES)]);
                key.push('\0');
            }
            true
        };
        holds(&self.quota.topic, Some(topic))
            && holds(&self.quota.principal, who.principal.or(Some(ANONYMOUS)))
            && holds(&self.quota.client_id, who.client_id)
    }

    fn reason(&self, topic: &str) -> String {
        let Quota { name, bytes_per_second, .. } = &self.quota;
        format!("over the quota `{name}` of {bytes_per_second} a second for what is sent to `{topic}`")
    }
}

#[cfg(test)]
mod tests;
