//! Growing a topic that lanes route to.
//!
//! A target's partition follows from an emission's key and the number of partitions. After a crash a lane sends again what it had
//! not committed, and the target knows by (source, offset) what it has: but each partition for itself. So before a topic grows,
//! every lane that routes to it must have committed whatever the topic has of it.
//!
//! 1. From now on no slice begins to route to the topic ([`Routes::enter`]), but for lanes that are *behind*: the topic has
//!    emissions of records that they have not finished (another target was full, the box had crashed). These must go on, with the
//!    old number, until they have.
//! 2. Slices that route to it end: emissions durable, rows given to the store.
//! 3. The store commits. Now no lane will ever send again what the topic has.
//! 4. The queue makes the growth durable; lanes go on with the new number.
//!
//! Invariant: between 3 and 4 no lane routes to the topic. Crash story: before 4 it has its old number and every lane that could
//! send again does so by it; after 4 none will.
//! Limits: a lane that cannot come to an end (held, or its other target full) makes the growth fail after
//! [`super::Config::growth_wait`]; nothing has changed then. Lanes that do not route to the topic never wait.
//! Why not a number of partitions by source offset: it would be one more thing to keep durable for ever, for an event this rare.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::base::ids::{Offset, PartitionId, TopicId};
use crate::queue::{QueueError, Source, Topic};
use crate::relay::keyed::EXPIRED_RUN;
use crate::relay::lane::Step;
use crate::relay::shared::{Registered, Shared};
use crate::sandbox::State;

/// How long to wait for lanes before looking again.
const LOOK: Duration = Duration::from_millis(2);

#[derive(Default)]
struct Inner {
    /// How many slices route to a topic.
    routing: HashMap<TopicId, usize>,
    growing: HashSet<TopicId>,
}

/// Which slices route where.
#[derive(Default)]
pub(crate) struct Routes {
    inner: Mutex<Inner>,
    left: Condvar,
}

/// A slice routes to a topic.
pub(crate) struct Route {
    routes: Arc<Routes>,
    topic: TopicId,
}

impl Routes {
    /// A slice that begins at `at` is about to route to a topic; `None` while that grows.
    pub(crate) fn enter(self: &Arc<Self>, topic: &Topic, source: Source, at: Offset) -> Option<Route> {
        let is_behind = || emitted(topic, source).is_some_and(|last| at <= last);
        let mut inner = self.inner.lock();
        if inner.growing.contains(&topic.id()) && !is_behind() {
            return None;
        }
        *inner.routing.entry(topic.id()).or_insert(0) += 1;
        Some(Route { routes: self.clone(), topic: topic.id() })
    }

    fn is_free(&self, topic: TopicId) -> bool {
        !self.inner.lock().routing.contains_key(&topic)
    }
}

impl Drop for Route {
    fn drop(&mut self) {
        let mut inner = self.routes.inner.lock();
        if let Some(slices) = inner.routing.get_mut(&self.topic) {
            *slices -= 1;
            if *slices == 0 {
                inner.routing.remove(&self.topic);
                self.routes.left.notify_all();
            }
        }
    }
}

/// The last record of a source of which a topic has emissions.
fn emitted(topic: &Topic, source: Source) -> Option<Offset> {
    topic.partitions().iter().filter_map(|partition| partition.emitted_so_far(source)).max()
}

/// A topic is about to grow; dropped when it has.
struct Growing {
    shared: Arc<Shared>,
    topic: TopicId,
}

impl Drop for Growing {
    fn drop(&mut self) {
        self.shared.routes.inner.lock().growing.remove(&self.topic);
        for registered in self.shared.all_lanes() {
            registered.task.notify();
        }
    }
}

/// Comes back when no lane will ever send again what the topic has, and none routes to it until the answer is dropped.
pub(crate) fn prepare(shared: &Arc<Shared>, topic: &Arc<Topic>) -> Result<Box<dyn Send>, QueueError> {
    if !shared.routes.inner.lock().growing.insert(topic.id()) {
        return Err(QueueError::Full("it is growing already"));
    }
    let growing = Growing { shared: shared.clone(), topic: topic.id() };
    let mut looks = shared.config.growth_wait.0.as_micros() / LOOK.as_micros();
    loop {
        let behind = behind(shared, topic);
        // In this order: who is behind may have entered after the first look, but not after he is no longer.
        if behind.is_empty() && shared.routes.is_free(topic.id()) {
            break;
        }
        if shared.pool.is_stopped() {
            return Err(QueueError::Closed);
        }
        if looks == 0 {
            let who = behind.first().map(|registered| registered.core.status());
            let (lane, why) = who.map_or((None, None), |lane| (Some(lane.topic), lane.last_error));
            tracing::warn!(topic = %topic.name(), ?lane, ?why, "cannot grow: a lane that routes to it does not come to a commit");
            return Err(QueueError::Full("a lane that routes to it does not come to a commit; try again when it does"));
        }
        looks -= 1;
        for registered in &behind {
            work(shared, registered);
        }
        shared.routes.left.wait_for(&mut shared.routes.inner.lock(), LOOK);
    }
    if sources(topic).is_empty() {
        return Ok(Box::new(growing));
    }
    shared.store.flush_all().map_err(|error| {
        tracing::warn!(topic = %topic.name(), %error, "cannot grow: the store did not commit");
        QueueError::Full("the store cannot commit what lanes have sent to it")
    })?;
    let is_committed = |((from, partition), last): (&(TopicId, PartitionId), &Offset)| {
        let has_lane = shared.known_lane(*from, *partition).is_some();
        !has_lane || shared.store.cursor(*from, *partition).is_some_and(|cursor| cursor > *last)
    };
    if !sources(topic).iter().all(is_committed) {
        return Err(QueueError::Full("a lane that routes to it has not committed; try again"));
    }
    Ok(Box::new(growing))
}

/// Who ever emitted to a topic, and how far.
fn sources(topic: &Topic) -> HashMap<(TopicId, PartitionId), Offset> {
    let mut sources = HashMap::new();
    for (source, last) in topic.partitions().iter().flat_map(|partition| partition.sources()) {
        // What had waited is known by numbers, which tell where the lane stood.
        let last = if source.run == EXPIRED_RUN { State::offset_of(last).saturating_sub(1) } else { last };
        let known = sources.entry((source.topic, source.partition)).or_insert(last);
        *known = last.max(*known);
    }
    sources
}

/// Lanes that have not finished what the topic has of them. Outputs bury to one partition whatever their number, and are none.
fn behind(shared: &Shared, topic: &Topic) -> Vec<Registered> {
    let mut lanes = HashMap::new();
    for (source, last) in topic.partitions().iter().flat_map(|partition| partition.sources()) {
        let lane = shared.known_lane(source.topic, source.partition);
        if let Some(lane) = lane.filter(|lane| lane.core.may_send_again(source.run, last)) {
            lanes.insert((source.topic, source.partition), lane);
        }
    }
    lanes.into_values().collect()
}

/// Lets a lane work on this thread: the lanes' own may be few, or none.
fn work(shared: &Shared, registered: &Registered) {
    let Some(mut lane) = registered.task.lane.try_lock() else { return };
    let step = lane.step(&Waker::from(registered.task.clone()));
    drop(lane);
    match step {
        Step::After(pause) => shared.pool.push_later(&registered.task, pause),
        _ => registered.task.notify(),
    }
}
