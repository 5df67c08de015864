//! Quotas and routes for Kafka's clients: asked once a batch, before it is appended.
//!
//! Invariants: a batch goes whole. A route that looks at fields takes it if all its records have them, for what the producer
//! made one batch cannot be acknowledged as two; batches are looked into for topics with such routes alone, on a thread that may
//! compute. The partition in the target has the number of the one that was meant (modulo how many there are), so that keys keep
//! their order there.
//! A batch of an idempotent producer that goes elsewhere stays exact: see [`Partition::append_via`].

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::Caller;
use crate::ingest::gate::field;
use crate::queue::traffic::{Admit, HOPS, Rules, Who};
use crate::queue::{Partition, QueueError, Scratch, StoredBatch, Topic, decode};

/// Where a batch may go, and how long its sender is to wait.
#[derive(Debug, Default)]
pub(super) struct Passed {
    /// Another partition than the one that was meant.
    pub to: Option<Arc<Partition>>,
    /// Nothing is read for so long.
    pub throttle: Duration,
}

impl Caller {
    /// As quotas and routes know it.
    pub(super) fn who(&self) -> Who<'_> {
        let principal = Some(self.principal.name());
        Who { principal, client_id: self.client_id.as_deref(), peer: Some(self.peer), waits: false }
    }
}

/// Asks for a batch of so many records.
///
/// # Errors
/// [`QueueError::OverQuota`]; others if the target cannot be made.
pub(super) async fn pass(caller: &Caller, meant: &Arc<Partition>, batch: &Bytes, records: u64) -> Result<Passed, QueueError> {
    let traffic = caller.server.queue.traffic();
    let rules = traffic.rules();
    if rules.is_empty() {
        return Ok(Passed::default());
    }
    let mut name = meant.topic_name().clone();
    if !rules.by_record(&name).is_empty() {
        let (rules, batch, topic) = (rules.clone(), batch.clone(), name.clone());
        let routed = tokio::task::spawn_blocking(move || by_fields(&rules, &topic, &batch)).await;
        name = routed.map_err(|_| QueueError::Closed)?.unwrap_or(name);
    }
    let (to, throttle) = match traffic.admit(&name, &caller.who(), records, batch.len() as u64, caller.server.clock.monotonic())
    {
        Admit::Go => (None, Duration::ZERO),
        Admit::Throttle(throttle) => (None, throttle),
        Admit::Divert { to, throttle } => (Some(to), throttle),
        Admit::Refuse { reason, after } => return Err(QueueError::OverQuota { reason: reason.into(), after }),
    };
    let to = to.or_else(|| Some(name).filter(|name| name != meant.topic_name()));
    let to = match to {
        None => None,
        Some(to) => Some(partition(caller, meant, &to).await?),
    };
    Ok(Passed { to, throttle })
}

/// The partition of another topic that takes the place of this one.
async fn partition(caller: &Caller, meant: &Arc<Partition>, to: &Arc<str>) -> Result<Arc<Partition>, QueueError> {
    let queue = &caller.server.queue;
    let topic: Arc<Topic> = match queue.topic(to) {
        Some(topic) => topic,
        None => {
            let (queue, source, to) = (queue.clone(), meant.topic_name().clone(), to.clone());
            let made = tokio::task::spawn_blocking(move || queue.target(&source, &to)).await;
            made.unwrap_or(Err(QueueError::Closed))?
        }
    };
    let partitions = topic.partitions();
    let count = partitions.len().max(1);
    partitions.get(meant.id() as usize % count).cloned().ok_or(QueueError::Gone)
}

/// The topic that all records of a batch are sent to, if there is one.
fn by_fields(rules: &Rules, topic: &Arc<str>, batch: &Bytes) -> Option<Arc<str>> {
    let stored = StoredBatch { base_offset: 0, next_offset: 0, append_ns: 0, bytes: batch.clone() };
    let mut scratch = Scratch::new();
    // What cannot be read is judged elsewhere.
    let records = decode(&stored, &mut scratch).ok()?;
    let mut at = topic.clone();
    for _ in 0..HOPS {
        let way = rules.by_record(&at).iter().filter(|way| !way.is_of_peer()).find(|way| {
            let mut all = records.records.iter();
            all.all(|record| way.applies(&mut |name| field(name, record.payload, records.headers_of(record))))
        });
        let Some(way) = way else { break };
        way.count(records.records.len() as u64, batch.len() as u64);
        at = way.to().clone();
    }
    (at != *topic).then_some(at)
}
