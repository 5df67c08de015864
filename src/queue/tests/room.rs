//! A small disk: what is reserved stays free between two looks of the keeper, and who sends steadily never notices.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::super::batch::Compression;
use super::super::config::WhenFull;
use super::super::frame::Source;
use super::super::{Config, Queue, QueueError};
use super::{batch, clock, config, open};
use crate::base::disk::Disk;
use crate::base::disk::sim::SimDisk;
use crate::base::ids::TopicId;
use crate::base::units::Bytes;

const DISK: u64 = 4 << 20;
const RESERVE: u64 = DISK / 20;
const SEGMENT: u64 = DISK / 64;
const BODY: usize = 20_000;

fn some(nth: u64) -> bytes::Bytes {
    batch(&[vec![(nth % 251) as u8; BODY]], Compression::None)
}

fn small_disk() -> Arc<SimDisk> {
    let disk = SimDisk::new(1);
    disk.set_capacity(Some(DISK));
    disk
}

#[test]
fn what_is_reserved_stays_free_between_two_looks() {
    let (disk, clock) = (small_disk(), clock());
    let (queue, _) = open(&disk, &clock, config());
    let topic = queue.ensure_topic("web").unwrap();
    let partition = topic.partition(0).unwrap();
    let mut taken = 0;
    while !queue.stats().full {
        match partition.append(some(taken)).wait() {
            Ok(_) => taken += 1,
            Err(error) => {
                assert!(matches!(error, QueueError::Full(_)), "{error}");
                let available = disk.space().unwrap().available;
                // Indexes of segments and journals are not in the account.
                assert!(available >= RESERVE / 10 * 9, "{available} of {RESERVE} after {taken}");
                queue.tend();
            }
        }
    }
    let available = disk.space().unwrap().available;
    // The store's room for what waits for it, about a segment at a time, and for what was refused.
    assert!(available <= RESERVE + SEGMENT + BODY as u64 * 2, "{available} are left unused");
    // A lane may take from the reserve, so that it comes to its commit, but not all of it.
    let source = Source { topic: TopicId::new(), partition: 0, run: 1 };
    let mut emitted = 0;
    while partition.append_emissions(source, emitted, some(emitted)).wait().is_ok() {
        emitted += 1;
    }
    let available = disk.space().unwrap().available;
    assert!(emitted > 0 && available >= RESERVE / 10 * 4, "{available} after {emitted}");
    // The keeper says so to those who ask, and what is refused fits once the store has what came before.
    queue.tend();
    assert!(queue.append_space().is_err());
    partition.set_committed(partition.high_watermark());
    queue.tend();
    assert!(!queue.stats().full);
    partition.append(some(taken)).wait().unwrap();
}

#[test]
fn who_sends_steadily_to_a_full_disk_is_not_refused() {
    let (disk, clock) = (small_disk(), clock());
    let (queue, _) = open(&disk, &clock, config());
    let partition = queue.ensure_topic("web").unwrap().partition(0).unwrap();
    for second in 0..150u64 {
        for nth in 0..4 {
            partition.append(some(second * 4 + nth)).wait().unwrap_or_else(|error| panic!("in second {second}: {error}"));
        }
        partition.set_committed(partition.high_watermark());
        queue.tend();
    }
    assert!(partition.log_start() > 0 && disk.space().unwrap().available >= RESERVE);
}

#[test]
fn the_oldest_goes_for_what_was_refused_where_that_is_chosen() {
    let (disk, clock) = (small_disk(), clock());
    let (queue, _) = open(&disk, &clock, Config { when_full: WhenFull::DropOldest, ..config() });
    let partition = queue.ensure_topic("web").unwrap().partition(0).unwrap();
    let mut refused = 0;
    for nth in 0..600 {
        if partition.append(some(nth)).wait().is_err() {
            refused += 1;
            queue.tend();
            partition.append(some(nth)).wait().unwrap();
        }
    }
    assert!(refused > 0 && queue.stats().lost_records > 0);
    assert!(disk.space().unwrap().available >= RESERVE / 10 * 9);
}

#[test]
fn while_it_is_full_the_store_is_asked_for_more() {
    let asked = Arc::new(AtomicU64::new(0));
    let hook = |queue: &Queue| {
        let asked = asked.clone();
        queue.while_full(Box::new(move || {
            asked.fetch_add(1, Ordering::Relaxed);
        }));
    };
    let asked_for = || asked.swap(0, Ordering::Relaxed) > 0;
    // A disk, and a topic that holds as much as it may.
    let (disk, clock) = (small_disk(), clock());
    let (queue, _) = open(&disk, &clock, config());
    hook(&queue);
    let partition = queue.ensure_topic("web").unwrap().partition(0).unwrap();
    queue.tend();
    assert!(!asked_for());
    while !queue.stats().full {
        assert!(!asked_for());
        if partition.append(some(0)).wait().is_err() {
            queue.tend();
        }
    }
    assert!(asked_for());
    partition.set_committed(partition.high_watermark());
    queue.tend();
    assert!(!queue.stats().full && !asked_for());
    let (queue, _) = open(&SimDisk::new(2), &clock, Config { hold_bytes: Bytes(1 << 20), ..config() });
    hook(&queue);
    let partition = queue.ensure_topic("web").unwrap().partition(0).unwrap();
    (0..60).for_each(|nth| drop(partition.append(some(nth)).wait()));
    queue.tend();
    assert!(!queue.stats().full && asked_for());
}
