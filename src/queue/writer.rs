//! The pool of writer threads: a few for the whole box, however many partitions there are.
//!
//! A partition with waiting appends is in the channel once. Whoever takes it out drains all that wait, writes and syncs them as
//! one group, settles the tickets, and puts it back if more came meanwhile: so a group is as large as the last sync was long,
//! with no window added, several files are synced in parallel, and no partition starves another.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crossbeam_channel::Receiver;

use super::error::QueueError;
use super::partition::Partition;
use super::shared::{Job, sub};

/// What a writer thread does.
pub fn run(jobs: &Receiver<Job>) {
    while let Ok(Job::Commit(partition)) = jobs.recv() {
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
    let bytes = group.iter().map(|pending| pending.batch.len() as u64).sum();
    let result = if partition.is_gone() { Err(QueueError::Gone) } else { partition.write_group(&mut log, &group) };
    if result.is_err() {
        for stamp in group.iter().filter_map(|pending| pending.stamp.as_ref()) {
            log.producers.failed(stamp, now);
        }
    }
    drop(log);
    sub(&shared.gauges.pending, bytes);
    let moved = result.as_ref().is_ok_and(|committed| committed.moved);
    match result {
        Ok(committed) => {
            for (pending, place) in group.into_iter().zip(committed.places) {
                // Who dropped his ticket does not want to know.
                let _gone = pending.done.send(place);
            }
        }
        Err(error) => partition.fail_group(group, &error),
    }
    if moved {
        for hook in shared.on_durable.read().iter() {
            hook(partition);
        }
    }
    turn(partition);
}

/// Puts the partition back into the channel if more waits.
fn turn(partition: &Arc<Partition>) {
    let mut inbox = partition.inbox.lock();
    inbox.scheduled = !inbox.waiting.is_empty();
    if inbox.scheduled {
        let _gone = partition.shared.jobs.send(Job::Commit(partition.clone()));
    }
}
