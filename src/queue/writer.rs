//! The pool of writer threads: a few for the whole box, however many partitions there are.
//!
//! A partition with waiting appends is in the channel once. Whoever takes it out drains all that wait, writes and syncs them as
//! one group, settles the tickets, and puts it back if more came meanwhile: so a group is as large as the last sync was long,
//! with no window added, several files are synced in parallel, and no partition starves another. A group in which some batches
//! go to another partition is written in runs (`strays.rs`).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crossbeam_channel::Receiver;

use super::error::QueueError;
use super::frame::Source;
use super::groups::Groups;
use super::partition::{Partition, Pending};
use super::producers::Stamp;
use super::shared::{Job, Taken};
use super::strays;
use crate::base::ids::Offset;

/// What a writer thread does.
pub fn run(jobs: &Receiver<Job>, groups: &Groups) {
    loop {
        let partition = match jobs.recv() {
            Ok(Job::Commit(partition)) => partition,
            Ok(Job::Groups) => {
                if catch_unwind(AssertUnwindSafe(|| groups.flush())).is_err() {
                    tracing::error!("a writer of the queue panicked over queue/GROUPS; it goes on");
                }
                continue;
            }
            Ok(Job::Stop) | Err(_) => return,
        };
        // A bug must not take a writer away, nor leave the partition waiting for one: its senders hear that it was not durable.
        if catch_unwind(AssertUnwindSafe(|| commit(&partition))).is_err() {
            tracing::error!(topic = %partition.topic_name, partition = partition.id(), "a writer of the queue panicked; it goes on");
            turn(&partition);
        }
    }
}

/// Commits what waits, if anything does.
pub fn commit(partition: &Arc<Partition>) {
    let shared = &partition.shared;
    let mut log = partition.log.lock();
    let (group, refused) = {
        let mut inbox = partition.inbox.lock();
        (std::mem::take(&mut inbox.waiting), std::mem::take(&mut inbox.refused))
    };
    let now = shared.clock.now_ns();
    for stamp in &refused {
        log.producers.failed(stamp, now);
    }
    if group.is_empty() {
        drop(log);
        return turn(partition);
    }
    drop(log);
    let runs = if strays::any(&group) { strays::runs(group) } else { vec![group] };
    let _if_it_panics = Unsettled::of(partition, runs.iter().flatten());
    // All of them counted first: a panic over one drops those behind it.
    let runs: Vec<(Taken<'_>, Vec<Pending>)> = runs.into_iter().map(|run| (Taken::of(shared, &run), run)).collect();
    for (taken, run) in runs {
        match run.first().and_then(|first| first.to.clone()) {
            Some(to) => strays::commit(partition, &to, taken, run),
            None => write(partition, taken, run),
        }
    }
    turn(partition);
}

/// Who sent what a writer took out. A panic drops it, and its tickets with it: then nothing that is sent behind may take its place.
struct Unsettled<'p> {
    partition: &'p Arc<Partition>,
    stamps: Vec<Stamp>,
    sources: Vec<(Source, Offset)>,
}

impl<'p> Unsettled<'p> {
    fn of<'g>(partition: &'p Arc<Partition>, group: impl Iterator<Item = &'g Pending> + Clone) -> Self {
        let stamps = group.clone().filter_map(|pending| pending.stamp).collect();
        Self { partition, stamps, sources: group.filter_map(|pending| pending.source).collect() }
    }
}

impl Drop for Unsettled<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let now = self.partition.shared.clock.now_ns();
        let mut log = self.partition.log.lock();
        // Of what is durable already, this changes nothing.
        self.stamps.iter().for_each(|stamp| log.producers.failed(stamp, now));
        self.sources.retain(|(source, last)| log.sources.get(source).is_none_or(|durable| durable < last));
        drop(log);
        self.partition.fail(&self.sources, Vec::new(), &QueueError::Closed);
    }
}

/// Writes a group, and tells its tickets and whoever waits for news.
fn write(partition: &Arc<Partition>, taken: Taken<'_>, group: Vec<Pending>) {
    let shared = &partition.shared;
    let settled = strays::settled(partition);
    let mut log = partition.log.lock();
    let now = shared.clock.now_ns();
    let result = match settled {
        _ if partition.is_gone() => Err(QueueError::Gone),
        Ok(()) => partition.write_group(&mut log, &group),
        Err(error) => Err(error),
    };
    if result.is_err() {
        for stamp in group.iter().filter_map(|pending| pending.stamp.as_ref()) {
            log.producers.failed(stamp, now);
        }
    }
    drop(log);
    drop(taken);
    let moved = result.as_ref().is_ok_and(|committed| committed.moved);
    match result {
        Ok(committed) => {
            for (pending, place) in group.into_iter().zip(committed.places) {
                // Who dropped his ticket does not want to know.
                let _gone = pending.done.send(place);
            }
        }
        Err(error) => {
            let sources: Vec<_> = group.iter().filter_map(|pending| pending.source).collect();
            partition.fail(&sources, group, &error);
        }
    }
    if moved {
        for hook in shared.on_durable.all().iter() {
            hook(partition);
        }
    }
}

/// Puts the partition back into the channel if more waits.
fn turn(partition: &Arc<Partition>) {
    let mut inbox = partition.inbox.lock();
    inbox.scheduled = !inbox.waiting.is_empty();
    if inbox.scheduled {
        let _gone = partition.shared.jobs.send(Job::Commit(partition.clone()));
    }
}
