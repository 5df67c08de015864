//! Opening all partitions at start, several at a time.
//!
//! Each is judged for itself (`recovery.rs`); the time goes into waiting for the disk and, for who was busy, into checksums. So as
//! many threads as there are writers take one partition after the other. What they report comes in the order of the topics.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use arc_swap::ArcSwap;

use super::catalog::{Entry, partition_dir};
use super::checkpoint::Marks;
use super::partition::Partition;
use super::recovery::{Recovered, Recovery, RecoveryReport};
use super::settings::TopicSettings;
use super::shared::Shared;
use super::topic::Topic;
use crate::base::ids::{PartitionId, TopicId};

type Opened = (usize, Recovered, RecoveryReport);

/// Recovers the partitions of these topics.
pub fn topics(
    shared: &Arc<Shared>,
    entries: Vec<Entry>,
    marks: &Marks,
    report: &mut RecoveryReport,
) -> io::Result<Vec<Arc<Topic>>> {
    let mut places: Vec<(TopicId, PartitionId)> = Vec::new();
    for entry in &entries {
        places.extend((0..entry.settings.partitions).map(|number| (entry.id, number)));
    }
    let mut opened = all(shared, &places, marks)?.into_iter();
    let mut topics = Vec::with_capacity(entries.len());
    for entry in entries {
        let name: Arc<str> = entry.name.into();
        let count = entry.settings.partitions;
        let settings: Arc<ArcSwap<TopicSettings>> = Arc::new(ArcSwap::from_pointee(entry.settings));
        let mut partitions = Vec::with_capacity(count as usize);
        for (number, (_, recovered, found)) in (0..count).zip(opened.by_ref()) {
            report.add(found);
            if let Some(id) = recovered.log.producers.highest() {
                shared.producer_ids.lock().seen(id);
            }
            let partition = Partition::new(shared.clone(), entry.id, name.clone(), number, settings.clone(), recovered);
            partitions.push(Arc::new(partition));
        }
        report.topics += 1;
        report.partitions += partitions.len();
        topics.push(Arc::new(Topic::new(entry.id, name, shared.clone(), settings, partitions)));
    }
    Ok(topics)
}

/// Every place's outcome, in their order.
fn all(shared: &Shared, places: &[(TopicId, PartitionId)], marks: &Marks) -> io::Result<Vec<Opened>> {
    let turn = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let nth = turn.fetch_add(1, Ordering::Relaxed);
            let Some((topic, partition)) = places.get(nth).copied() else { return Ok(done) };
            let mut report = RecoveryReport::default();
            let (disk, dir) = (shared.disk.as_ref(), partition_dir(topic, partition));
            let mark = marks.get(&(topic, partition));
            let recovered = Recovery { disk, dir: &dir, topic, partition, mark, report: &mut report }.run()?;
            done.push((nth, recovered, report));
        }
    };
    let threads = shared.config.writers.min(places.len());
    if threads < 2 {
        return work();
    }
    let outcomes: Vec<io::Result<Vec<Opened>>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let joined = threads.into_iter().map(|thread| thread.join());
        joined.map(|outcome| outcome.unwrap_or_else(|_| Err(io::Error::other("a thread of recovery panicked")))).collect()
    });
    let mut opened = Vec::with_capacity(places.len());
    for outcome in outcomes {
        opened.extend(outcome?);
    }
    opened.sort_unstable_by_key(|(nth, ..)| *nth);
    Ok(opened)
}
