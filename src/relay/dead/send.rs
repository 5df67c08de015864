//! What letters that are tried again emit: sent as a run of its own.
//!
//! A record that failed has emitted nothing: what its call said went with the call. So what it emits now is new, and it is what
//! becomes of a record that a filter routes elsewhere and drops here. What cannot be sent is a letter of its own, as it is live.
//! Invariants: durable in the targets before the retry is committed. A run's number is above all that any target knows of the
//! topic, so a run that a crash cut short is never taken for another; who asks for the retry again sends again what that run had
//! sent. A record is sent wholly or not at all by one run.
//! Limits: all of it is in memory until [`Sender::flush`].

use std::collections::BTreeMap;

use crate::base::ids::{Generation, PartitionId, Run, TopicId};
use crate::base::record::Records;
use crate::queue::{Queue, QueueError, Source};
use crate::relay::RelayError;
use crate::relay::dead::Letter;
use crate::relay::generations::Generations;
use crate::relay::keyed::EXPIRED_RUN;
use crate::relay::outbox::{Blocked, Outbox, wait};
use crate::relay::shared::Shared;
use crate::relay::verdicts::Room;
use crate::sandbox::Emission;

/// The emissions of one retry.
pub(super) struct Sender<'s> {
    shared: &'s Shared,
    generations: &'s Generations,
    generation: Generation,
    run: Run,
    /// By the partition that the records stood in; entered until the retry is committed.
    outboxes: BTreeMap<PartitionId, Outbox>,
    /// Bytes that wait, about.
    pub(super) bytes: usize,
}

impl<'s> Sender<'s> {
    pub(super) fn new(shared: &'s Shared, generations: &'s Generations, generation: Generation) -> Self {
        let run = next_run(&shared.queue, generations.topic);
        Self { shared, generations, generation, run, outboxes: BTreeMap::new(), bytes: 0 }
    }

    /// Adds what a letter's record emits; records of a partition come in the order of their offsets. Whether all of it can be sent.
    pub(super) fn send<'b>(
        &mut self,
        letter: &Letter,
        partition: PartitionId,
        (call, emissions): (&Records<'b>, &[Emission<'b>]),
    ) -> Result<bool, RelayError> {
        let Some(record) = call.records.first().filter(|_| !emissions.is_empty()) else { return Ok(true) };
        let source = Source { topic: self.generations.topic, partition, run: self.run };
        let outbox = self.outboxes.entry(partition).or_insert_with(|| Outbox::new(source, record.offset, &self.shared.routes));
        self.bytes += emissions.iter().map(|emission| emission.payload.len()).sum::<usize>();
        let mut room = Room {
            shared: self.shared,
            generations: self.generations,
            partition,
            generation: self.generation,
            call,
            hops: letter.hops,
            outbox,
            position: record.offset,
            json: Vec::new(),
        };
        room.send(record, emissions).map_err(|error| match error {
            QueueError::Full(why) => {
                RelayError::Busy(format!("a topic that records are sent to takes none now: {why}; try again"))
            }
            error => error.into(),
        })
    }

    /// Makes all of it durable.
    pub(super) fn flush(&mut self) -> Result<(), RelayError> {
        for outbox in self.outboxes.values_mut() {
            wait(outbox.flush(|topic| self.shared.is_full(topic))).map_err(|Blocked { error, topic, .. }| {
                RelayError::Busy(format!(
                    "what the records emit cannot be sent to topic `{topic}` now: {error}; the letters stay, try again"
                ))
            })?;
        }
        Ok(())
    }
}

/// A number that no target knows a run of this topic by.
fn next_run(queue: &Queue, topic: TopicId) -> Run {
    let targets = queue.topics().into_iter().flat_map(|target| target.partitions());
    let sources = targets.flat_map(|target| target.sources()).map(|(source, _)| source);
    let own = sources.filter(|source| source.topic == topic && source.run != EXPIRED_RUN);
    own.map(|source| source.run).max().unwrap_or(0).saturating_add(1)
}
