//! One flipped bit anywhere on the disk costs at most one batch, and is told.

use std::collections::HashSet;

use super::{Random, batch, clock, config, open, read_all, seeds};
use crate::base::disk::sim::SimDisk;
use crate::queue::batch::Compression;

#[test]
fn a_flipped_bit_costs_one_batch() {
    let mut told = 0;
    let mut cost = 0;
    for seed in 0..seeds(150) {
        let mut random = Random(seed);
        let (disk, clock) = (SimDisk::new(seed), clock());
        let (queue, _) = open(&disk, &clock, config());
        let topic = queue.ensure_topic("web").unwrap();
        let partition = topic.partition(0).unwrap();
        let mut sent: Vec<Vec<Vec<u8>>> = Vec::new();
        for nth in 0..30_u64 {
            let payload = |n: u64| format!("{nth}.{n} {}", "x".repeat(usize::try_from(nth * 150).unwrap())).into_bytes();
            let payloads: Vec<Vec<u8>> = (0..3).map(payload).collect();
            partition.append(batch(&payloads, Compression::None)).wait().unwrap();
            sent.push(payloads);
            if nth == 20 && random.one_in(2) {
                queue.tend();
            }
        }
        if random.one_in(2) {
            queue.shutdown();
        }
        drop((queue, topic, partition));
        let files: Vec<_> = disk.files().into_iter().filter(|(_, len)| *len > 0).collect();
        let (path, len) = files[usize::try_from(random.below(files.len() as u64)).unwrap()].clone();
        disk.flip_bit(&path, random.below(len * 8));

        let (queue, report) = open(&disk, &clock, config());
        assert_eq!(queue.topics().len(), 1, "seed {seed}");
        let partition = queue.topics()[0].partition(0).unwrap();
        let all = read_all(&partition, 10_000);
        assert!(all.is_sorted_by(|a, b| a.0 < b.0));
        let there: HashSet<Vec<u8>> = all.into_iter().map(|(_, payload)| payload).collect();
        let lost = sent.iter().filter(|payloads| payloads.iter().any(|payload| !there.contains(payload))).count();
        assert!(lost <= 1, "seed {seed}: {lost} batches lost for a bit in {}", path.display());
        let clue = report.damage.len() as u64 + report.damaged_entries + queue.stats().damaged + report.torn_bytes;
        assert!(lost == 0 || clue > 0, "seed {seed}: lost and not told");
        told += u64::from(clue > 0);
        cost += lost;
        // And it goes on.
        let next = partition.append(super::one("new")).wait().unwrap().base_offset;
        assert_eq!(read_all(&partition, 1).last().unwrap(), &(next, b"new".to_vec()));
    }
    assert!(told > 10 && cost > 10, "the test does not hit: {told} {cost}");
}
