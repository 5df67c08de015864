//! What starting costs, on a real disk: run by hand with `SAWBOX_MEASURE=<GB>`, and nothing otherwise. It prints; it claims no
//! times. Files are made in the temporary directory and removed.

use std::sync::Arc;
use std::time::Instant;

use super::{batch, one, stamped};
use crate::base::clock::RealClock;
use crate::base::disk::RealDisk;
use crate::queue::batch::Compression;
use crate::queue::{Config, Queue, TopicSettings};

fn asked() -> Option<u64> {
    std::env::var("SAWBOX_MEASURE").ok().and_then(|text| text.parse().ok())
}

#[allow(clippy::disallowed_methods)] // measured, not part of the box
fn now() -> Instant {
    Instant::now()
}

#[allow(clippy::disallowed_methods)]
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap() * 4096
}

fn opened(disk: &Arc<RealDisk>, what: &str) -> Arc<Queue> {
    let (begin, before) = (now(), resident());
    let (queue, report) = Queue::open(disk.clone(), Arc::new(RealClock::new()), Config::default()).unwrap();
    let took = begin.elapsed();
    let grown = resident().saturating_sub(before);
    println!(
        "{what}: {took:?}; {} partitions, {} MiB kept, {} MiB scanned, {} bytes of memory a partition",
        report.partitions,
        queue.stats().bytes >> 20,
        report.scanned_bytes >> 20,
        grown / report.partitions.max(1) as u64
    );
    assert!(report.damage.is_empty());
    queue
}

#[test]
fn what_a_start_costs_with_gigabytes() {
    let Some(gigabytes) = asked() else { return };
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(RealDisk::open(dir.path()).unwrap());
    let queue = opened(&disk, "empty");
    let settings = TopicSettings { partitions: 4, ..TopicSettings::of(&Config::default()) };
    let topic = queue.create_topic("web", settings).unwrap();
    let payloads: Vec<Vec<u8>> = (0..250_u8).map(|nth| vec![nth; 200]).collect();
    let plain = batch(&payloads, Compression::None);
    let begin = now();
    let mut waiting = std::collections::VecDeque::new();
    let batches = (gigabytes << 30) / plain.len() as u64;
    for nth in 0..batches {
        let sequence = i32::try_from(nth / 4 * 250 % (1 << 31)).unwrap();
        let partition = topic.partition(u32::try_from(nth % 4).unwrap()).unwrap();
        waiting.push_back(partition.append(stamped(&plain, 5, 0, sequence)));
        if waiting.len() > 400 {
            waiting.pop_front().unwrap().wait().unwrap();
        }
    }
    for ticket in waiting {
        ticket.wait().unwrap();
    }
    println!("wrote {gigabytes} GiB in {:?}", begin.elapsed());
    drop((topic, queue));
    let queue = opened(&disk, "after kill -9");
    drop(queue);
    opened(&disk, "once more").shutdown();
    opened(&disk, "after a shutdown");
}

#[test]
fn what_a_start_costs_with_thousands_of_partitions() {
    if asked().is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(RealDisk::open(dir.path()).unwrap());
    let queue = opened(&disk, "empty");
    let settings = TopicSettings { partitions: 4, ..TopicSettings::of(&Config::default()) };
    let begin = now();
    let topics: Vec<_> = (0..1000).map(|nth| queue.create_topic(&format!("topic{nth}"), settings.clone()).unwrap()).collect();
    println!("made 1,000 topics in {:?}", begin.elapsed());
    let tickets: Vec<_> =
        topics.iter().flat_map(|topic| topic.partitions()).map(|partition| partition.append(one("x"))).collect();
    for ticket in tickets {
        ticket.wait().unwrap();
    }
    println!("wrote to each after {:?}", begin.elapsed());
    drop((topics, queue));
    drop(opened(&disk, "after kill -9"));
    opened(&disk, "once more").shutdown();
    let queue = opened(&disk, "after a shutdown");
    let begin = now();
    queue.tend();
    println!("one round of the keeper: {:?}", begin.elapsed());
}

#[test]
fn an_idle_partition_is_small() {
    // Beside it: its path, its place in two lists, no thread and no buffer. A thousand topics of four are a few megabytes.
    let size = size_of::<crate::queue::Partition>();
    assert!(size <= 1024, "{size}");
}
