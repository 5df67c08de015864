//! Idempotent producers: the judgement of Kafka's broker, in flight, after failures, crashes, retention and damage.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{batch, clock, config, one, open, read_all, stamped, text};
use crate::base::clock::SimClock;
use crate::base::disk::sim::SimDisk;
use crate::queue::batch::Compression;
use crate::queue::{Appended, Config, Partition, Queue, QueueError, RecoveryReport};

struct Box {
    disk: Arc<SimDisk>,
    clock: Arc<SimClock>,
    config: Config,
    queue: Arc<Queue>,
    partition: Arc<Partition>,
}

impl Box {
    fn new(seed: u64) -> Self {
        Self::on(SimDisk::new(seed), clock(), config()).0
    }

    fn on(disk: Arc<SimDisk>, clock: Arc<SimClock>, config: Config) -> (Self, RecoveryReport) {
        let (queue, report) = open(&disk, &clock, config.clone());
        let partition = queue.ensure_topic("web").unwrap().partition(0).unwrap();
        (Self { disk, clock, config, queue, partition }, report)
    }

    fn crash(self) -> Self {
        Self::on(self.disk.crash(), self.clock.clone(), self.config.clone()).0
    }

    /// Sends a batch of `records` records; tells its outcome in short.
    fn send(&self, epoch: i16, sequence: i32, records: usize) -> String {
        short(self.partition.append(of(7, epoch, sequence, records)).wait())
    }

    /// `(epoch, sequence, records, outcome)` one after the other.
    fn script(&self, steps: &[(i16, i32, usize, &str)]) {
        for (nth, (epoch, sequence, records, outcome)) in steps.iter().enumerate() {
            assert_eq!(&self.send(*epoch, *sequence, *records), outcome, "step {nth}");
        }
    }
}

fn of(id: i64, epoch: i16, sequence: i32, records: usize) -> Bytes {
    let payloads: Vec<Vec<u8>> = (0..records).map(|nth| format!("{id}.{epoch}.{sequence}.{nth}").into_bytes()).collect();
    stamped(&batch(&payloads, Compression::None), id, epoch, sequence)
}

fn short(outcome: Result<Appended, QueueError>) -> String {
    match outcome {
        Ok(Appended { base_offset, next_offset, duplicate: false }) => format!("{base_offset}..{next_offset}"),
        Ok(Appended { base_offset, next_offset, duplicate: true }) => format!("again {base_offset}..{next_offset}"),
        Err(QueueError::OutOfOrderSequence) => "out of order".into(),
        Err(QueueError::ProducerFenced) => "fenced".into(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn batches_are_taken_once_and_in_order() {
    Box::new(1).script(&[
        (0, 0, 3, "0..3"),
        (0, 0, 3, "again 0..3"),
        (0, 3, 1, "3..4"),
        (0, 5, 1, "out of order"),
        // The beginning is the same, the batch is not.
        (0, 0, 2, "out of order"),
        (0, 4, 1, "4..5"),
        (0, 5, 1, "5..6"),
        (0, 6, 1, "6..7"),
        (0, 7, 1, "7..8"),
        (0, 3, 1, "again 3..4"),
        // Six batches ago is forgotten.
        (0, 0, 3, "out of order"),
        // A newer epoch begins at 0, and the older one is fenced, even where it sends again.
        (1, 8, 1, "out of order"),
        (0, 8, 1, "8..9"),
        (1, 0, 2, "9..11"),
        (0, 8, 1, "fenced"),
        (0, 9, 1, "fenced"),
        (1, 2, 1, "11..12"),
    ]);
}

#[test]
fn an_unknown_producer_begins_anywhere_and_numbers_go_round() {
    let last = i32::MAX;
    Box::new(1).script(&[
        (3, last - 1, 1, "0..1"),
        (3, last, 1, "1..2"),
        (3, 0, 1, "2..3"),
        (3, last, 1, "again 1..2"),
        (3, 1, 1, "3..4"),
    ]);
    // Over the end within a batch.
    Box::new(1).script(&[(0, last, 3, "0..3"), (0, 2, 1, "3..4"), (0, last, 3, "again 0..3")]);
}

#[test]
fn a_batch_again_while_the_first_is_in_flight_shares_its_fate() {
    for fails in [false, true] {
        let it = Box::new(3);
        it.send(0, 0, 1);
        let tickets: Vec<_> = {
            let _busy = it.partition.log.lock();
            if fails {
                it.disk.fail_sync_after(0);
            }
            [1, 1, 2].map(|sequence| it.partition.append(of(7, 0, sequence, 1))).into()
        };
        let outcomes: Vec<String> = tickets.into_iter().map(|ticket| short(ticket.wait())).collect();
        if fails {
            assert!(outcomes.iter().all(|outcome| outcome.starts_with("not durable")), "{outcomes:?}");
            // No sequence is left behind: the same ones come again.
            it.script(&[(0, 2, 1, "out of order"), (0, 1, 1, "1..2"), (0, 2, 1, "2..3")]);
        } else {
            assert_eq!(outcomes, ["1..2", "again 1..2", "2..3"]);
        }
    }
}

#[test]
fn what_comes_behind_a_first_batch_that_failed_does_not_take_its_place() {
    let it = Box::new(3);
    it.disk.fail_sync_after(0);
    assert!(it.send(0, 0, 2).starts_with("not durable"));
    it.script(&[(0, 2, 1, "out of order"), (0, 0, 2, "0..2"), (0, 2, 1, "2..3")]);
    // And a first batch that there was no room for.
    let it = Box::new(3);
    it.partition.held.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(it.send(0, 0, 2).contains("holds"));
    it.partition.held.store(false, std::sync::atomic::Ordering::Relaxed);
    it.script(&[(0, 2, 1, "out of order"), (0, 0, 2, "0..2"), (0, 2, 1, "2..3")]);
}

#[test]
fn producers_survive_a_crash_with_and_without_a_checkpoint_and_retention() {
    for seed in 0..12 {
        let it = Box::new(seed);
        let config = it.config.clone();
        it.script(&[(0, 0, 1, "0..1"), (2, 0, 3, "1..4"), (2, 3, 1, "4..5")]);
        if seed % 3 > 0 {
            it.queue.tend();
        }
        if seed % 3 == 2 {
            // Everything goes but the mark.
            it.partition.set_committed(5);
            it.clock.advance(Duration::from_secs(25 * 3600));
            it.queue.tend();
            it.queue.tend();
            assert_eq!(it.partition.log_start(), 5);
        }
        let it = it.crash();
        it.script(&[(2, 3, 1, "again 4..5"), (1, 4, 1, "fenced"), (2, 0, 3, "again 1..4"), (2, 5, 1, "out of order")]);
        it.script(&[(2, 4, 2, "5..7")]);
        it.queue.shutdown();
        let (it, report) = Box::on(it.disk.crash(), it.clock.clone(), config);
        assert_eq!(report.damage, vec![]);
        it.script(&[(2, 4, 2, "again 5..7"), (2, 6, 1, "7..8")]);
    }
}

#[test]
fn an_old_mark_does_not_turn_back_what_was_scanned_twice() {
    let it = Box::new(1);
    it.script(&[(0, 0, 1, "0..1"), (0, 1, 1, "1..2")]);
    it.queue.shutdown();
    // The mark knows the end of the file; a file that is shorter is scanned from its start, and batches are met again.
    let (path, len) = it.disk.files().into_iter().find(|(path, _)| path.extension().is_some_and(|it| it == "log")).unwrap();
    let position = it.partition.log.lock().active.map(|active| active.position).unwrap();
    assert!(position < len);
    let file = crate::base::disk::Disk::open(it.disk.as_ref(), &path, false).unwrap();
    file.set_len(position - 1).unwrap();
    file.sync_data().unwrap();
    let it = it.crash();
    // The second batch is gone: the next one may begin anywhere, and those that are known are known.
    it.script(&[(0, 0, 1, "again 0..1"), (0, 7, 1, "2..3"), (0, 8, 1, "3..4"), (0, 7, 1, "again 2..3")]);
}

#[test]
fn producers_that_are_silent_are_forgotten_and_there_are_not_too_many() {
    let it = Box::new(1);
    it.script(&[(5, 0, 1, "0..1")]);
    it.clock.advance(Duration::from_secs(8 * 24 * 3600));
    it.script(&[(0, 77, 1, "1..2"), (0, 78, 1, "2..3")]);
    let tickets: Vec<_> = (100..5_000).map(|id| it.partition.append(of(id, 0, 0, 1))).collect();
    for ticket in tickets {
        ticket.wait().unwrap();
    }
    assert!((1_000..=2_000).contains(&it.partition.log.lock().producers.len()));
    assert_eq!(short(it.partition.append(of(4_999, 0, 0, 1)).wait()), "again 4902..4903");
    it.queue.tend();
}

#[test]
fn ids_are_given_once_and_batches_without_are_as_before() {
    let it = Box::new(1);
    let first = it.queue.new_producer_id().unwrap();
    assert_eq!(it.queue.new_producer_id().unwrap(), first + 1);
    it.partition.append(of(50_000, 0, 0, 1)).wait().unwrap();
    for _ in 0..2 {
        assert!(!it.partition.append(one("same")).wait().unwrap().duplicate);
    }
    let mut without = of(3, 0, 0, 1).to_vec();
    without[51..57].fill(0xff);
    let crc = crc32c::crc32c(&without[21..]);
    without[17..21].copy_from_slice(&crc.to_be_bytes());
    assert!(matches!(it.partition.append(without.into()).wait(), Err(QueueError::Malformed(_))));
    let it = it.crash();
    assert!(it.queue.new_producer_id().unwrap() > 50_000);
    assert_eq!(text(&read_all(&it.partition, 1)).len(), 3);
}

#[test]
fn in_doubt_a_batch_that_failed_is_what_must_come_next() {
    let it = Box::new(1);
    it.script(&[(0, 0, 1, "0..1"), (0, 1, 1, "1..2")]);
    it.partition.log.lock().producers.doubt();
    // A repetition that fails along with others says nothing of what comes next.
    it.disk.fail_sync_after(0);
    let [again, other] = {
        let _busy = it.partition.log.lock();
        [of(7, 0, 1, 1), of(8, 0, 0, 1)].map(|batch| it.partition.append(batch))
    };
    assert!(again.wait().is_err() && other.wait().is_err());
    it.disk.fail_sync_after(0);
    assert!(it.partition.append(of(7, 0, 5, 1)).wait().is_err());
    it.script(&[(0, 6, 1, "out of order"), (0, 5, 1, "2..3"), (0, 6, 1, "3..4")]);
}
