//! Deleting records up to an offset, and finding offsets by record time.

use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::{any, prop, prop_assert_eq, proptest};

use super::{Random, batch, clock, config, one, open, read_all, text};
use crate::base::disk::sim::SimDisk;
use crate::queue::batch::{BatchBuilder, Compression};
use crate::queue::{Config, Durability, Partition, QueueError, TopicSettings, keeper};

fn timed(times: &[i64], compression: Compression) -> Bytes {
    let mut builder = BatchBuilder::new();
    for time in times {
        builder.push(*time, None, &[7; 900], &[]).unwrap();
    }
    builder.finish(compression)
}

#[test]
fn deleted_records_stay_deleted() {
    for seed in 0..10 {
        let (disk, clock) = (SimDisk::new(seed), clock());
        let (queue, _) = open(&disk, &clock, config());
        let partition = queue.ensure_topic("web").unwrap().partition(0).unwrap();
        for nth in 0..20_u8 {
            partition.append(batch(&[vec![nth; 10_000], vec![nth; 10_000]], Compression::None)).wait().unwrap();
        }
        assert!(matches!(partition.delete_records(41), Err(QueueError::Beyond { end: 40 })));
        // Inside a batch, inside a segment.
        assert_eq!(partition.delete_records(15).unwrap(), 15);
        assert_eq!(partition.delete_records(9).unwrap(), 15, "it never goes back");
        assert_eq!(queue.stats().lost_records, 15, "no lane had handled them");
        let first = &partition.read(0, 1).unwrap()[0];
        assert_eq!((first.base_offset, first.next_offset), (14, 16));
        let before = partition.size_bytes();
        queue.tend();
        assert!(partition.size_bytes() < before, "whole segments go though the store has taken nothing");
        assert_eq!(partition.log_start(), 15);
        drop((queue, partition));
        let (queue, report) = open(&disk.crash(), &clock, config());
        assert_eq!(report.damage, vec![]);
        let partition = queue.topic("web").unwrap().partition(0).unwrap();
        assert_eq!((partition.log_start(), partition.high_watermark()), (15, 40));
        // All of it, and no byte is left.
        assert_eq!(partition.delete_records(40).unwrap(), 40);
        queue.tend();
        assert_eq!(partition.size_bytes(), 0);
        assert!(partition.read(0, 1000).unwrap().is_empty());
        assert_eq!(partition.append(one("next")).wait().unwrap().base_offset, 40);
        assert_eq!(text(&read_all(&partition, 1)), [(40, "next".to_owned())]);
    }
}

#[test]
fn a_journal_written_anew_knows_also_those_that_cannot_be_synced() {
    let (disk, clock) = (SimDisk::new(1), clock());
    let (queue, _) = open(&disk, &clock, config());
    let settings = TopicSettings { durability: Durability::Written, ..TopicSettings::of(&config()) };
    let fast = queue.create_topic("fast", settings).unwrap().partition(0).unwrap();
    let busy = queue.ensure_topic("busy").unwrap().partition(0).unwrap();
    for nth in 0..10 {
        fast.append(one(&nth.to_string())).wait().unwrap();
    }
    fast.delete_records(4).unwrap();
    fast.append(one("written")).wait().unwrap();
    busy.append(batch(&[vec![7; 10_000]], Compression::None)).wait().unwrap();
    // The entry of the busy one fails half way, and then what was only written cannot be synced.
    disk.fail_write_after(0);
    disk.fail_sync_after(0);
    keeper::checkpoint(&queue.shared, &|| queue.topics(), 5_000);
    let (queue, report) = open(&disk.crash(), &clock, config());
    assert_eq!(report.damaged_entries, 0, "it is written anew");
    assert_eq!(queue.topic("fast").unwrap().partition(0).unwrap().log_start(), 4);
}

#[test]
fn a_deletion_that_was_told_holds_and_one_that_failed_deletes_nothing_yet() {
    for seed in 0..40 {
        let (disk, clock) = (SimDisk::new(seed), clock());
        let (queue, _) = open(&disk, &clock, config());
        let partition = queue.ensure_topic("web").unwrap().partition(0).unwrap();
        for nth in 0..10 {
            partition.append(one(&nth.to_string())).wait().unwrap();
        }
        if seed % 2 == 0 {
            disk.fail_sync_after(0);
        } else {
            disk.power_off_after(seed % 5);
        }
        let told = partition.delete_records(4);
        if told.is_err() && !disk.is_off() {
            assert_eq!(partition.log_start(), 0);
            assert_eq!(read_all(&partition, 1).len(), 10);
            // The journal is healed, and the next try works.
            queue.tend();
            assert_eq!(partition.delete_records(5).unwrap(), 5);
        }
        let start = partition.log_start();
        let (queue, _) = open(&disk.crash(), &clock, config());
        let partition = queue.topic("web").unwrap().partition(0).unwrap();
        let there = partition.log_start();
        assert!(there >= start && [0, 4, 5].contains(&there), "seed {seed}: {there} < {start}");
        assert_eq!(read_all(&partition, 1).len() as u64, 10 - there);
    }
}

#[test]
fn a_checkpoint_does_not_bring_deleted_records_back() {
    let (disk, clock) = (SimDisk::new(1), clock());
    let (queue, _) = open(&disk, &clock, config());
    let partition = queue.ensure_topic("web").unwrap().partition(0).unwrap();
    for nth in 0..10 {
        partition.append(one(&nth.to_string())).wait().unwrap();
    }
    partition.delete_records(4).unwrap();
    clock.advance(Duration::from_secs(4 * 3600));
    queue.tend();
    partition.append(one("10")).wait().unwrap();
    queue.shutdown();
    let (queue, _) = open(&disk.crash(), &clock, config());
    assert_eq!(queue.topic("web").unwrap().partition(0).unwrap().log_start(), 4);
}

fn by_hand(all: &[i64], start: u64, ms: i64) -> Option<(u64, i64)> {
    (0..).zip(all.iter().copied()).find(|(offset, time)| *offset >= start && *time >= ms)
}

fn agree(partition: &Partition, all: &[i64], random: &mut Random) {
    let start = partition.log_start();
    let some = |random: &mut Random| all[usize::try_from(random.below(all.len() as u64)).unwrap()];
    for ms in [i64::MIN, 0, some(random), some(random) + 1, some(random) - 1, i64::MAX] {
        assert_eq!(partition.offset_for_timestamp(ms).unwrap(), by_hand(all, start, ms), "{ms} from {start}");
    }
    let left = (0..).zip(all.iter().copied()).filter(|(offset, _)| *offset >= start);
    let newest = left.fold(None, |best: Option<(u64, i64)>, (offset, time)| match best {
        Some((_, known)) if known >= time => best,
        _ => Some((offset, time)),
    });
    assert_eq!(partition.max_timestamp(), newest);
}

proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(24))]
    #[test]
    fn offsets_by_record_time_agree_with_a_list(
        batches in prop::collection::vec((prop::collection::vec(0_i64..500, 1..30), any::<bool>()), 1..30),
        seed: u64,
    ) {
        let (disk, clock) = (SimDisk::new(seed), clock());
        let config = Config { segment_bytes: "256KiB".parse().unwrap(), ..config() };
        let (queue, _) = open(&disk, &clock, config.clone());
        let mut random = Random(seed);
        let partition = queue.ensure_topic("web").unwrap().partition(0).unwrap();
        prop_assert_eq!((partition.offset_for_timestamp(0).unwrap(), partition.max_timestamp()), (None, None));
        let mut all = Vec::new();
        for (nth, (times, packed)) in (0..).zip(&batches) {
            let times: Vec<i64> = times.iter().map(|time| time + nth * 37).collect();
            let compression = if *packed { Compression::Lz4 } else { Compression::None };
            partition.append(timed(&times, compression)).wait().unwrap();
            all.extend(times);
            if random.one_in(12) {
                partition.delete_records(random.below(all.len() as u64)).unwrap();
            }
            if random.one_in(8) {
                queue.tend();
            }
        }
        agree(&partition, &all, &mut random);
        if random.one_in(2) {
            queue.shutdown();
        }
        drop((queue, partition));
        let (queue, _) = open(&disk.crash(), &clock, config);
        let partition = queue.topic("web").unwrap().partition(0).unwrap();
        agree(&partition, &all, &mut random);
        partition.append(timed(&[3, 40_000, 5], Compression::None)).wait().unwrap();
        all.extend([3, 40_000, 5]);
        agree(&partition, &all, &mut random);
    }
}
