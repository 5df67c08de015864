//! Strays: batches of idempotent producers that a rule sends to another partition than the one they were meant for, their home.
//!
//! A producer numbers its batches per partition, and knows nothing of rules: some go home, some elsewhere, and one that it did
//! not hear the end of may be sent the other way the second time. So home remains the judge of them all. They wait in home's
//! inbox, in their order; home's writer takes a group apart into runs that go the same way, judges each run by home's own
//! sequence numbers, writes it where it goes, and only then comes to the next. The stray's frame carries its home (`frame.rs`).
//! Invariants: of a home's producers nothing is written anywhere before what came earlier is durable or has failed; where it
//! failed, it is settled that nothing of it comes back (a new segment begins, durably) before the same batch is taken elsewhere.
//! A stray's acknowledgement gives its offsets in the partition where it lies, also the second time.
//! Durable with the batches: what a partition took of others' producers are its [`Guests`], learnt by scan and kept in marks as
//! its own are. At start every home takes in what guests of other partitions say ([`bring_home`]): both together are what it
//! knew. Limits: [`HOMES`] a partition, and those of `producers.rs`; a deleted target takes its strays' numbers along, so a
//! producer that was just writing there begins anew after the next start.
//! Locks: one log at a time, so that rules that changed direction in between cannot make two writers wait for one another.
//! Crash story: a stray is durable in its target, or nowhere; home learns which when the box starts.
//! Why not a note of each stray in home's log: two fsyncs a batch, and a crash between them would have to be told apart.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::Topics;
use super::batch::Header;
use super::error::QueueError;
use super::frame::Home;
use super::partition::{Partition, Pending};
use super::producer_ids::ProducerIds;
use super::producers::{Fresh, Producer, Producers, Stamp};
use super::shared::Taken;
use super::ticket::{Appended, Ticket};
use crate::base::ids::{Offset, PartitionId, TopicId};

/// Homes whose producers one partition remembers. Whoever wrote longest ago is forgotten first.
const HOMES: usize = 256;
/// Offsets from here on stand for the n-th batch of the run that is being judged.
const UNWRITTEN: Offset = 1 << 63;

/// Producers whose batches were meant for other partitions, by those.
#[derive(Clone, Debug, Default)]
pub struct Guests(HashMap<Home, Producers>);

impl Guests {
    /// As a mark says.
    pub fn of(marked: &[(TopicId, PartitionId, Vec<Producer>)]) -> Self {
        let one = |(topic, partition, producers): &(TopicId, PartitionId, Vec<Producer>)| {
            (Home { topic: *topic, partition: *partition }, Producers::of(producers))
        };
        Self(marked.iter().map(one).collect())
    }

    /// For a mark.
    pub fn marked(&self, now: i64) -> Vec<(TopicId, PartitionId, Vec<Producer>)> {
        let all = self.0.iter().map(|(home, producers)| (home.topic, home.partition, producers.marked(now)));
        all.filter(|(.., producers)| !producers.is_empty()).collect()
    }

    /// A durable stray.
    pub fn found(&mut self, home: Home, stamp: &Stamp, base: Offset, append_ns: i64) {
        if self.0.len() >= HOMES && !self.0.contains_key(&home) {
            let oldest = self.0.iter().min_by_key(|(_, producers)| producers.last_ns()).map(|(home, _)| *home);
            oldest.map(|oldest| self.0.remove(&oldest));
        }
        self.0.entry(home).or_default().found(stamp, base, append_ns);
    }

    /// Batches may be missing behind what is known.
    pub fn doubt(&mut self) {
        self.0.values_mut().for_each(Producers::doubt);
    }

    /// A topic was deleted.
    pub fn forget(&mut self, topic: TopicId) {
        self.0.retain(|home, _| home.topic != topic);
    }
}

/// Tells every partition, before anything is appended, what became of its producers' batches elsewhere.
pub(super) fn bring_home(topics: &Topics, ids: &mut ProducerIds) {
    let by_id = topics.by_id.read();
    for partition in by_id.values().flat_map(|topic| topic.partitions()) {
        let guests = partition.log.lock().guests.clone();
        for (home, producers) in guests.0 {
            if let Some(id) = producers.highest() {
                ids.seen(id);
            }
            if let Some(home) = by_id.get(&home.topic).and_then(|topic| topic.partition(home.partition)) {
                home.log.lock().producers.join(&producers);
            }
        }
    }
}

impl Partition {
    /// As [`Partition::append`], for a batch that [`batch::validate`] has let pass, with the header that it gave: the batch is not
    /// looked at again. Compressed otherwise since, it has the same header but for length, checksum and compression.
    pub fn append_judged(self: &Arc<Self>, header: Header, batch: Bytes) -> Ticket {
        self.submit(Ok(header), batch, None, None)
    }

    /// As [`Partition::append_judged`], for a batch that was meant for this partition and goes to another one, because a rule says
    /// so. A batch of an idempotent producer stays exact: it is taken once, here or there, and in order (`strays.rs`).
    pub fn append_via(self: &Arc<Self>, to: &Arc<Self>, header: Header, batch: Bytes) -> Ticket {
        match Stamp::of(&header) {
            Some(_) if !Arc::ptr_eq(self, to) => self.submit(Ok(header), batch, None, Some(to.clone())),
            _ => to.append_judged(header, batch),
        }
    }

    /// Makes sure that nothing of a failed write comes back after a crash.
    fn settle_doubt(&self) -> Result<(), QueueError> {
        let mut log = self.log.lock();
        match log.doubtful {
            true => self.begin_segment(&mut log).map(drop).map_err(QueueError::not_durable),
            false => Ok(()),
        }
    }
}

/// Where a pending append goes, if not home.
fn way(pending: &Pending) -> Option<Home> {
    pending.to.as_ref().map(|to| Home { topic: to.topic, partition: to.number })
}

/// Whether a group has strays, and must be taken apart.
pub(super) fn any(group: &[Pending]) -> bool {
    group.iter().any(|pending| pending.to.is_some())
}

/// Takes a group apart into runs that go the same way.
pub(super) fn runs(group: Vec<Pending>) -> Vec<Vec<Pending>> {
    let mut runs: Vec<Vec<Pending>> = Vec::new();
    for pending in group {
        match runs.last_mut().filter(|run| run.first().is_some_and(|first| way(first) == way(&pending))) {
            Some(run) => run.push(pending),
            None => runs.push(vec![pending]),
        }
    }
    runs
}

/// Judges a run of strays, writes it where it goes, tells the tickets.
pub(super) fn commit(home: &Arc<Partition>, to: &Arc<Partition>, taken: Taken<'_>, run: Vec<Pending>) {
    let outcome = write(home, to, &run);
    drop(taken);
    match outcome {
        Ok(places) => {
            let moved = places.iter().any(|place| matches!(place, Ok(Appended { duplicate: false, .. })));
            for (pending, place) in run.into_iter().zip(places) {
                // Who dropped his ticket does not want to know.
                let _gone = pending.done.send(place);
            }
            if moved {
                for hook in home.shared.on_durable.all().iter() {
                    hook(to);
                }
            }
        }
        Err(error) => {
            let now = home.shared.clock.now_ns();
            let mut log = home.log.lock();
            for stamp in run.iter().filter_map(|pending| pending.stamp.as_ref()) {
                log.producers.failed(stamp, now);
            }
            drop(log);
            for pending in run {
                let _gone = pending.done.send(Err(error.clone()));
            }
        }
    }
}

fn write(home: &Arc<Partition>, to: &Arc<Partition>, run: &[Pending]) -> Result<Vec<Result<Appended, QueueError>>, QueueError> {
    let own = Home { topic: home.topic, partition: home.number };
    home.settle_doubt()?;
    settled(home)?;
    let now = home.shared.clock.now_ns();
    let mut places = Vec::with_capacity(run.len());
    let mut written = Vec::new();
    {
        let log = home.log.lock();
        if home.is_gone() {
            return Err(QueueError::Gone);
        }
        let mut fresh = Fresh::default();
        for (nth, pending) in run.iter().enumerate() {
            let Some(stamp) = &pending.stamp else { return Err(QueueError::Malformed("a batch without a producer strays")) };
            let judged = log.producers.admit(&mut fresh, stamp, UNWRITTEN + nth as u64, now);
            places.push(judged.map(|there| there.unwrap_or(Appended { base_offset: 0, next_offset: 0, duplicate: false })));
            if matches!(places.last(), Some(Ok(Appended { duplicate: false, .. }))) {
                let (batch, records, newest_ms) = (pending.batch.clone(), pending.records, pending.newest_ms);
                let (done, _nobody) = Ticket::waiting();
                let stray =
                    Pending { batch, records, newest_ms, stamp: Some(*stamp), source: None, to: None, home: Some(own), done };
                written.push((nth, *stamp, stray));
            }
        }
    }
    if !written.is_empty() {
        let (judged, strays): (Vec<_>, Vec<_>) = written.into_iter().map(|(nth, stamp, stray)| ((nth, stamp), stray)).unzip();
        let committed = write_there(home, to, &strays)?;
        let mut log = home.log.lock();
        for ((nth, stamp), place) in judged.into_iter().zip(committed) {
            if let Ok(place) = &place {
                log.producers.found(&stamp, place.base_offset, now);
            }
            places[nth] = place;
        }
    }
    // A repetition within the run is where the first one came to lie.
    for nth in 0..places.len() {
        if let Ok(place) = &places[nth]
            && let Some(first) = place.base_offset.checked_sub(UNWRITTEN).and_then(|first| usize::try_from(first).ok())
        {
            places[nth] = places[first].clone().map(|place| Appended { duplicate: true, ..place });
        }
    }
    Ok(places)
}

/// Writes strays as a group of the partition that they go to.
fn write_there(
    home: &Arc<Partition>,
    to: &Arc<Partition>,
    strays: &[Pending],
) -> Result<Vec<Result<Appended, QueueError>>, QueueError> {
    let outcome = {
        let mut log = to.log.lock();
        match to.is_gone() {
            true => Err(QueueError::Gone),
            false => to.write_group(&mut log, strays),
        }
    };
    if outcome.is_err() && to.settle_doubt().is_err() {
        // Home's next writes wait until it is settled.
        home.inbox.lock().unsettled.push(to.clone());
    }
    Ok(outcome?.places)
}

/// Whether all that failed elsewhere is settled, so that the same batches may be written now.
pub(super) fn settled(home: &Partition) -> Result<(), QueueError> {
    let doubtful = std::mem::take(&mut home.inbox.lock().unsettled);
    let mut left = Vec::new();
    let mut outcome = Ok(());
    for to in doubtful {
        if !to.is_gone()
            && let Err(error) = to.settle_doubt()
        {
            outcome = Err(error);
            left.push(to);
        }
    }
    home.inbox.lock().unsettled.append(&mut left);
    outcome
}
