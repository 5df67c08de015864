//! What the queue promises beside durability: retention and its holds, back-pressure, topics, order of acknowledgement.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::{batch, by_offset, by_payload, clock, config, one, open, read_all, text};
use crate::base::clock::Clock;
use crate::base::disk::Disk;
use crate::base::disk::sim::SimDisk;
use crate::base::ids::TopicId;
use crate::base::units::Bytes;
use crate::queue::batch::Compression;
use crate::queue::config::WhenFull;
use crate::queue::{Config, Durability, QueueError, Source, TopicSettings};

fn big(nth: u64) -> bytes::Bytes {
    batch(&[vec![u8::try_from(nth % 251).unwrap(); 20_000]], Compression::None)
}

#[test]
fn topics_come_back_with_their_settings() {
    let (disk, clock) = (SimDisk::new(1), clock());
    let (queue, _) = open(&disk, &clock, config());
    let made = Arc::new(AtomicU64::new(0));
    let count = made.clone();
    queue.on_topic(Box::new(move |topic| {
        count.fetch_add(topic.partitions().len() as u64, Ordering::Relaxed);
    }));
    let web = queue.ensure_topic("web").unwrap();
    assert_eq!(queue.ensure_topic("web").unwrap().id(), web.id());
    let mut settings = (*web.settings()).clone();
    settings.partitions = 3;
    settings.retention_bytes = Some(Bytes(1 << 30));
    web.update_settings(settings.clone()).unwrap();
    assert_eq!(made.load(Ordering::Relaxed), 4);
    settings.partitions = 2;
    assert!(matches!(web.update_settings(settings), Err(QueueError::Refused(_))));
    for name in ["", "a/b", "..", "x\n"] {
        assert!(matches!(queue.ensure_topic(name), Err(QueueError::Refused(_))), "{name}");
    }
    assert!(matches!(queue.create_topic("web", TopicSettings::of(&config())), Err(QueueError::Refused(_))));
    let turns: Vec<u32> = (0..6).map(|_| web.next_partition().id()).collect();
    assert_eq!(turns, [0, 1, 2, 0, 1, 2]);
    let id = web.id();
    web.partition(2).unwrap().append(one("x")).wait().unwrap();
    queue.shutdown();
    assert!(matches!(web.partition(0).unwrap().append(one("late")).wait(), Err(QueueError::Closed)));
    let (queue, report) = open(&disk.crash(), &clock, config());
    assert_eq!((report.topics, report.partitions), (1, 3));
    let web = queue.topic_by_id(id).unwrap();
    assert_eq!(web.settings().retention_bytes, Some(Bytes(1 << 30)));
    assert_eq!(text(&read_all(&web.partition(2).unwrap(), 1)), [(0, "x".to_owned())]);
}

#[test]
fn too_many_topics_are_refused() {
    let (disk, clock) = (SimDisk::new(1), clock());
    let (queue, _) = open(&disk, &clock, Config { max_topics: 3, ..config() });
    for name in ["a", "b", "c"] {
        queue.ensure_topic(name).unwrap();
    }
    assert!(matches!(queue.ensure_topic("d"), Err(QueueError::Refused(_))));
    queue.ensure_topic("a").unwrap();
}

#[test]
fn retention_deletes_whole_segments_but_never_past_the_store() {
    let (disk, clock) = (SimDisk::new(1), clock());
    let (queue, _) = open(&disk, &clock, config());
    let partition = queue.ensure_topic("web").unwrap().partition(0).unwrap();
    for nth in 0..20 {
        partition.append(big(nth)).wait().unwrap();
    }
    clock.advance(Duration::from_secs(25 * 3600));
    queue.tend();
    assert_eq!(partition.log_start(), 0, "the store has committed nothing");
    partition.set_committed(10);
    queue.tend();
    let start = partition.log_start();
    assert!((7..=10).contains(&start), "{start}");
    let first = &partition.read(0, 1).unwrap()[0];
    assert_eq!(first.base_offset, start, "below the start reading begins there");
    partition.set_committed(20);
    queue.tend();
    assert_eq!((partition.log_start(), partition.high_watermark()), (20, 20));
    assert!(partition.read(0, 1000).unwrap().is_empty());
    assert!(partition.size_bytes() < 1000, "{}", partition.size_bytes());
    // The next offset outlives all segments that held records.
    drop((queue, partition));
    let (queue, report) = open(&disk.crash(), &clock, config());
    assert_eq!(report.damage, vec![]);
    let partition = queue.topic("web").unwrap().partition(0).unwrap();
    assert_eq!(partition.append(one("x")).wait().unwrap().base_offset, 20);
}

#[test]
fn retention_by_bytes_takes_the_oldest() {
    let (disk, clock) = (SimDisk::new(1), clock());
    let (queue, _) = open(&disk, &clock, config());
    let settings = TopicSettings { retention_bytes: Some(Bytes(200_000)), ..TopicSettings::of(&config()) };
    let partition = queue.create_topic("web", settings).unwrap().partition(0).unwrap();
    for nth in 0..40 {
        partition.append(big(nth)).wait().unwrap();
    }
    partition.set_committed(40);
    queue.tend();
    assert!(partition.size_bytes() <= 200_000 && partition.size_bytes() > 60_000, "{}", partition.size_bytes());
    assert!(partition.log_start() > 25);
}

#[test]
fn an_output_holds_back_its_topic_and_past_the_cap_its_door() {
    let (disk, clock) = (SimDisk::new(1), clock());
    let (queue, _) = open(&disk, &clock, Config { hold_bytes: Bytes(300_000), ..config() });
    let topic = queue.ensure_topic("_out.zabbix").unwrap();
    let partition = topic.partition(0).unwrap();
    let other = queue.ensure_topic("web").unwrap().partition(0).unwrap();
    for nth in 0..20 {
        partition.append(big(nth)).wait().unwrap();
    }
    clock.advance(Duration::from_secs(25 * 3600));
    queue.tend();
    assert_eq!(partition.log_start(), 0, "the output has taken nothing");
    assert!(matches!(partition.append(one("x")).wait(), Err(QueueError::Full(_))));
    other.append(one("nobody else notices")).wait().unwrap();
    queue.groups().commit("_out.zabbix", topic.id(), 0, 15).unwrap();
    queue.tend();
    assert!(partition.log_start() > 9 && partition.log_start() <= 15, "{}", partition.log_start());
    partition.append(one("x")).wait().unwrap();
}

#[test]
fn a_full_queue_pushes_back_or_drops_the_oldest() {
    for when_full in [WhenFull::PushBack, WhenFull::DropOldest] {
        let (disk, clock) = (SimDisk::new(1), clock());
        let config = Config { max_bytes: Some(Bytes(200_000)), when_full, ..config() };
        let (queue, _) = open(&disk, &clock, config);
        let partition = queue.ensure_topic("web").unwrap().partition(0).unwrap();
        for nth in 0..20 {
            partition.append(big(nth)).wait().unwrap();
        }
        queue.tend();
        let pushed_back = matches!(queue.append_space(), Err(QueueError::Full(_)));
        assert_eq!(pushed_back, when_full == WhenFull::PushBack);
        assert_eq!(partition.append(one("x")).wait().is_err(), pushed_back);
        assert_eq!(queue.stats().lost_records > 0, !pushed_back);
        partition.set_committed(20);
        queue.tend();
        partition.append(one("y")).wait().unwrap();
    }
}

#[test]
fn a_full_disk_is_full_and_nothing_else() {
    let (disk, clock) = (SimDisk::new(1), clock());
    let (queue, _) = open(&disk, &clock, config());
    let partition = queue.ensure_topic("web").unwrap().partition(0).unwrap();
    partition.append(one("before")).wait().unwrap();
    let used: u64 = disk.files().iter().map(|(_, len)| len).sum();
    disk.set_capacity(Some(used + 3000));
    let error = partition.append(batch(&[vec![1; 90_000]], Compression::None)).wait().unwrap_err();
    assert!(matches!(error, QueueError::Full(_)), "{error}");
    assert_eq!(text(&read_all(&partition, 1)), [(0, "before".to_owned())]);
    disk.set_capacity(None);
    assert_eq!(partition.append(one("after")).wait().unwrap().base_offset, 1);
    let (queue, report) = open(&disk.crash(), &clock, config());
    assert_eq!(report.damage, vec![]);
    let partition = queue.topic("web").unwrap().partition(0).unwrap();
    assert_eq!(text(&read_all(&partition, 1)), [(0, "before".to_owned()), (1, "after".to_owned())]);
}

#[test]
fn a_failed_sync_fails_its_tickets_and_the_log_goes_on_in_a_new_file() {
    let (disk, clock) = (SimDisk::new(4), clock());
    let (queue, _) = open(&disk, &clock, config());
    let partition = queue.ensure_topic("web").unwrap().partition(0).unwrap();
    partition.append(one("a")).wait().unwrap();
    disk.fail_sync_after(0);
    assert!(matches!(partition.append(one("b")).wait(), Err(QueueError::NotDurable(_))));
    assert_eq!(text(&read_all(&partition, 1)), [(0, "a".to_owned())], "not served");
    assert_eq!(partition.append(one("c")).wait().unwrap().base_offset, 1);
    assert_eq!(disk.files().iter().filter(|(path, _)| path.extension().is_some_and(|it| it == "log")).count(), 2);
    let (queue, _) = open(&disk.crash(), &clock, config());
    let partition = queue.topic("web").unwrap().partition(0).unwrap();
    assert_eq!(text(&read_all(&partition, 1)), [(0, "a".to_owned()), (1, "c".to_owned())]);
}

#[test]
fn emissions_are_taken_once_per_source_and_run() {
    let (disk, clock) = (SimDisk::new(1), clock());
    let (queue, _) = open(&disk, &clock, config());
    let partition = queue.ensure_topic("_out.a").unwrap().partition(0).unwrap();
    let live = Source { topic: TopicId::new(), partition: 2, run: 0 };
    let replay = Source { run: 7, ..live };
    assert_eq!(partition.emitted_upto(live), None);
    partition.append_emissions(live, 10, one("ten")).wait().unwrap();
    partition.append_emissions(replay, 3, one("replayed")).wait().unwrap();
    let again = partition.append_emissions(live, 10, one("ten")).wait().unwrap();
    assert_eq!(again.base_offset, again.next_offset);
    for stop in [false, true] {
        if stop {
            queue.shutdown();
        }
        let (queue, _) = open(&disk.crash(), &clock, config());
        let partition = queue.topic("_out.a").unwrap().partition(0).unwrap();
        assert_eq!((partition.emitted_upto(live), partition.emitted_upto(replay)), (Some(10), Some(3)));
        let both = by_payload(&read_all(&partition, 1));
        assert_eq!((both[b"ten".as_slice()], both[b"replayed".as_slice()]), (0, 1));
        if !stop {
            return;
        }
    }
}

#[test]
fn a_log_that_ends_below_a_cursor_goes_on_there() {
    let (disk, clock) = (SimDisk::new(1), clock());
    let (queue, _) = open(&disk, &clock, config());
    let partition = queue.ensure_topic("web").unwrap().partition(0).unwrap();
    partition.append(one("a")).wait().unwrap();
    assert!(!partition.raise_to(1).unwrap());
    assert!(partition.raise_to(100).unwrap());
    assert_eq!(partition.high_watermark(), 100);
    assert!(partition.read(1, 1000).unwrap().is_empty());
    assert_eq!(partition.append(one("b")).wait().unwrap().base_offset, 100);
    assert_eq!(text(&read_all(&partition, 1)), [(0, "a".to_owned()), (100, "b".to_owned())]);
    queue.tend();
    let (queue, report) = open(&disk.crash(), &clock, config());
    assert_eq!(report.damage, vec![], "a gap that was made is no damage");
    let partition = queue.topic("web").unwrap().partition(0).unwrap();
    assert_eq!(text(&read_all(&partition, 1 << 20)), [(0, "a".to_owned()), (100, "b".to_owned())]);
    assert_eq!(partition.offset_at(0), 0);
    assert_eq!(partition.offset_at(i64::MAX), 101);
}

#[test]
fn a_restart_reads_what_the_checkpoint_does_not_know() {
    let (disk, clock) = (SimDisk::new(1), clock());
    let config = Config { segment_bytes: Bytes(1 << 20), ..config() };
    let (queue, _) = open(&disk, &clock, config.clone());
    let partition = queue.ensure_topic("web").unwrap().partition(0).unwrap();
    for nth in 0..200 {
        partition.append(big(nth)).wait().unwrap();
    }
    queue.shutdown();
    drop((queue, partition));
    let (queue, report) = open(&disk, &clock, config.clone());
    let whole = queue.stats().bytes;
    assert!(whole > 4_000_000 && report.scanned_bytes < 1_100_000, "{} of {whole}", report.scanned_bytes);
    assert_eq!(read_all(&queue.topic("web").unwrap().partition(0).unwrap(), 1 << 20).len(), 200);
    // Without it everything is scanned, and is there.
    drop(queue);
    disk.remove_file(Path::new("queue/CHECKPOINTS")).unwrap();
    let (queue, report) = open(&disk, &clock, config);
    assert!(report.scanned_bytes > 4_000_000);
    assert_eq!(read_all(&queue.topic("web").unwrap().partition(0).unwrap(), 1 << 20).len(), 200);
}

#[test]
fn written_durability_acknowledges_without_a_sync() {
    let (disk, clock) = (SimDisk::new(1), clock());
    let (queue, _) = open(&disk, &clock, config());
    let settings = TopicSettings { durability: Durability::Written, ..TopicSettings::of(&config()) };
    let partition = queue.create_topic("fast", settings).unwrap().partition(0).unwrap();
    let before = disk.syncs();
    for _ in 0..10 {
        partition.append(one("x")).wait().unwrap();
    }
    assert_eq!(disk.syncs(), before);
    queue.tend();
    let (queue, _) = open(&disk.crash(), &clock, config());
    assert_eq!(read_all(&queue.topic("fast").unwrap().partition(0).unwrap(), 1).len(), 10, "the keeper synced it");
}

#[test]
fn what_could_not_be_synced_is_not_vouched_for() {
    let mut lost = 0;
    for seed in 0..20 {
        let (disk, clock) = (SimDisk::new(seed), clock());
        let (queue, _) = open(&disk, &clock, config());
        let settings = TopicSettings { durability: Durability::Written, ..TopicSettings::of(&config()) };
        let partition = queue.create_topic("fast", settings).unwrap().partition(0).unwrap();
        for _ in 0..10 {
            partition.append(batch(&[vec![7; 2_000]], Compression::None)).wait().unwrap();
        }
        disk.fail_sync_after(0);
        queue.tend();
        assert_eq!(read_all(&partition, 1).len(), 10, "nobody has lost it yet");
        // From now on the disk says that all is well.
        assert_eq!(partition.append(one("behind")).wait().unwrap().base_offset, 10);
        queue.shutdown();
        let (queue, report) = open(&disk.crash(), &clock, config());
        let all = read_all(&queue.topic("fast").unwrap().partition(0).unwrap(), 1);
        let there = by_offset(&all);
        assert!(there.contains_key(&10), "what came behind was synced");
        for offset in (0..10).filter(|offset| !there.contains_key(offset)) {
            lost += 1;
            let said = report.damage.iter().any(|damage| (damage.from..damage.to).contains(&offset));
            assert!(said, "seed {seed}: {offset} is gone, and nobody said so: {:?}", report.damage);
        }
    }
    assert!(lost > 0, "nothing was tried");
}

#[test]
fn a_time_of_append_leads_to_its_batch() {
    let (disk, clock) = (SimDisk::new(1), clock());
    let (queue, _) = open(&disk, &clock, Config { segment_bytes: Bytes(1 << 20), ..config() });
    let partition = queue.ensure_topic("web").unwrap().partition(0).unwrap();
    let mut times = Vec::new();
    for nth in 0..70 {
        clock.advance(Duration::from_secs(1));
        times.push(clock.now_ns());
        partition.append(big(nth)).wait().unwrap();
    }
    assert!(partition.view.read().sealed.len() == 1, "both kinds of segments");
    for (nth, time) in (0..).zip(times) {
        assert_eq!([-1, 0, 1].map(|by| partition.offset_at(time + by)), [nth, nth, nth + 1]);
    }
}

#[test]
fn hooks_hear_of_what_is_durable_and_groups_share_a_sync() {
    let (disk, clock) = (SimDisk::new(1), clock());
    let (queue, _) = open(&disk, &clock, Config { writers: 1, ..config() });
    let seen = Arc::new(AtomicU64::new(0));
    let high = seen.clone();
    queue.on_durable(Box::new(move |partition| {
        high.fetch_max(partition.high_watermark(), Ordering::SeqCst);
    }));
    let partition = queue.ensure_topic("web").unwrap().partition(0).unwrap();
    let tickets: Vec<_> = {
        // The writer waits for the log while all of them come in.
        let _busy = partition.log.lock();
        (0..50).map(|nth| partition.append(one(&nth.to_string()))).collect()
    };
    for (nth, ticket) in tickets.into_iter().enumerate() {
        assert_eq!(ticket.wait().unwrap().base_offset, nth as u64);
    }
    queue.shutdown();
    assert_eq!(seen.load(Ordering::SeqCst), 50);
    assert!(queue.stats().syncs <= 2, "{}", queue.stats().syncs);
    let texts = text(&read_all(&partition, 1 << 20));
    assert!(texts.iter().all(|(offset, payload)| *payload == offset.to_string()));
}

#[test]
fn emissions_go_on_when_the_door_is_shut() {
    let (disk, clock) = (SimDisk::new(1), clock());
    let config = Config { max_bytes: Some(Bytes(2_000_000)), ..config() };
    let (queue, _) = open(&disk, &clock, config);
    let web = queue.ensure_topic("web").unwrap().partition(0).unwrap();
    let side = queue.ensure_topic("side").unwrap().partition(0).unwrap();
    while queue.stats().bytes <= 2_000_000 {
        web.append(big(1)).wait().unwrap();
        queue.tend();
    }
    assert!(matches!(web.append(one("x")).wait(), Err(QueueError::Full(_))));
    // What `web` holds goes only when its lane commits, which it does only after its emissions.
    let source = Source { topic: web.topic_id(), partition: 0, run: 0 };
    side.append_emissions(source, 0, one("emitted")).wait().unwrap();
    let mut last = 0;
    let refused = loop {
        last += 1;
        assert!(last < 1000, "emissions have an end, too");
        queue.tend();
        if let Err(error) = side.append_emissions(source, last, big(last)).wait() {
            break error;
        }
    };
    assert!(matches!(refused, QueueError::Full(_)), "{refused}");
}

#[test]
fn a_topic_whose_making_failed_does_not_take_the_name_of_the_one_that_was_made() {
    for seed in 0..6 {
        let (disk, clock) = (SimDisk::new(seed), clock());
        let (queue, _) = open(&disk, &clock, config());
        queue.ensure_topic("other").unwrap();
        let used: u64 = disk.files().iter().map(|(_, len)| len).sum();
        // The entry fits and its sync fails; the new file that would heal the journal does not fit.
        disk.set_capacity(Some(used + 350));
        disk.fail_sync_after(0);
        assert!(queue.ensure_topic("web").is_err());
        disk.set_capacity(None);
        let partition = queue.ensure_topic("web").unwrap().partition(0).unwrap();
        partition.append(one("kept")).wait().unwrap();
        let (queue, _) = open(&disk.crash(), &clock, config());
        assert_eq!(queue.topics().len(), 2);
        let partition = queue.topic("web").unwrap().partition(0).unwrap();
        assert_eq!(text(&read_all(&partition, 1)), [(0, "kept".to_owned())]);
    }
}

#[test]
fn a_checkpoint_and_a_reader_do_not_wait_for_each_other() {
    let (disk, clock) = (SimDisk::new(1), clock());
    let (queue, _) = open(&disk, &clock, config());
    let partition = queue.ensure_topic("web").unwrap().partition(0).unwrap();
    partition.append(one("x")).wait().unwrap();
    std::thread::scope(|scope| {
        // What a reader of the tail does to note where it stopped.
        scope.spawn(|| (0..50_000).for_each(|_| drop(partition.view.write())));
        for _ in 0..20_000 {
            let log = partition.log.lock();
            assert_eq!(partition.mark(&log).next, 1);
        }
    });
}
