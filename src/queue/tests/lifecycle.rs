//! Topics that change and end: deletion, growth, settings, through crashes and with those who look on.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;

use super::{Random, clock, config, one, open, read_all, seeds, text};
use crate::base::disk::Disk;
use crate::base::disk::sim::SimDisk;
use crate::base::ids::TopicId;
use crate::base::units::{Bytes, Span};
use crate::queue::settings::Key;
use crate::queue::{Config, Queue, QueueError, Source, Ticket, TopicSettings};

/// Whether anything of a topic lies on the disk.
fn is_left(disk: &SimDisk, id: TopicId) -> bool {
    disk.list(Path::new("queue")).unwrap().iter().any(|entry| entry.name == id.to_string())
}

#[test]
fn a_deleted_topic_is_gone_and_a_new_one_shares_nothing() {
    let (disk, clock) = (SimDisk::new(1), clock());
    let (queue, _) = open(&disk, &clock, config());
    let (told, durable) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicU64::new(0)));
    let hears = told.clone();
    queue.on_delete(Box::new(move |topic| hears.lock().push((topic.id(), topic.is_gone()))));
    let counts = durable.clone();
    queue.on_durable(Box::new(move |_| {
        counts.fetch_add(1, Ordering::Relaxed);
    }));
    let settings = TopicSettings { partitions: 2, ..TopicSettings::of(&config()) };
    let old = queue.create_topic("web", settings).unwrap();
    let side = queue.ensure_topic("side").unwrap().partition(0).unwrap();
    let partition = old.partition(1).unwrap();
    for payload in ["a", "b"] {
        partition.append(one(payload)).wait().unwrap();
    }
    let source = Source { topic: old.id(), partition: 0, run: 0 };
    side.append_emissions(source, 7, one("e")).wait().unwrap();
    queue.groups().commit("g", old.id(), 1, 2).unwrap();
    let heard = durable.load(Ordering::Relaxed);
    assert!(queue.stats().bytes > 0);
    let bytes = queue.stats().bytes - side.size_bytes();
    assert_eq!(queue.delete_topic("web").unwrap(), old.id());
    assert_eq!(*told.lock(), [(old.id(), true)]);
    assert_eq!(durable.load(Ordering::Relaxed) - heard, 2, "who waits for more of a partition hears that there is none");
    assert!(matches!(partition.read(0, 1 << 20), Err(QueueError::Gone)));
    assert!(matches!(partition.append(one("late")).wait(), Err(QueueError::Gone)));
    assert!(matches!(partition.append_emissions(source, 1, one("late")).wait(), Err(QueueError::Gone)));
    assert!(matches!(old.update_settings(TopicSettings::of(&config())), Err(QueueError::Gone)));
    assert!(matches!(queue.delete_topic("web"), Err(QueueError::Gone)));
    assert!(matches!(queue.grow_topic("web", 9), Err(QueueError::Gone)));
    assert!(queue.topic("web").is_none() && queue.topic_by_id(old.id()).is_none());
    assert_eq!(queue.groups().of_topic(old.id()), []);
    assert_eq!(side.sources(), []);
    assert_eq!(queue.stats().bytes, side.size_bytes(), "{bytes} bytes were the topic's");
    assert!(!is_left(&disk, old.id()));
    queue.tend();
    let fresh = queue.ensure_topic("web").unwrap();
    assert_ne!(fresh.id(), old.id());
    assert_eq!(fresh.partition(0).unwrap().append(one("new")).wait().unwrap().base_offset, 0);
    let (queue, report) = open(&disk.crash(), &clock, config());
    assert_eq!((report.topics, report.adopted.len(), report.damaged_entries), (2, 0, 0));
    let web = queue.topic("web").unwrap();
    assert_eq!(web.id(), fresh.id());
    assert_eq!(text(&read_all(&web.partition(0).unwrap(), 1)), [(0, "new".to_owned())]);
    assert_eq!(queue.groups().of_topic(old.id()), []);
}

#[test]
fn appends_under_way_are_settled_one_way_or_the_other() {
    for seed in 0..40 {
        let (disk, clock) = (SimDisk::new(seed), clock());
        let (queue, _) = open(&disk, &clock, config());
        let partition = queue.ensure_topic("web").unwrap().partition(0).unwrap();
        let other = partition.clone();
        let sender = std::thread::spawn(move || {
            let tickets: Vec<_> = (0..50).map(|nth| other.append(one(&nth.to_string()))).collect();
            // Every ticket is answered.
            tickets.into_iter().map(|ticket| ticket.wait()).filter(|done| matches!(done, Err(QueueError::Gone))).count()
        });
        queue.delete_topic("web").unwrap();
        assert!(sender.join().unwrap() <= 50);
        assert_eq!(queue.stats().pending_bytes, 0);
        assert_eq!(queue.stats().bytes, 0);
    }
}

/// Histories of creating, writing, growing, deleting and crashing at any change of the disk.
#[test]
fn a_crash_leaves_a_topic_or_not_and_never_half() {
    let mut deleted = 0;
    for seed in 0..seeds(250) {
        let mut random = Random(seed);
        let mut disk = SimDisk::new(seed);
        let clock = clock();
        // What must be there: name → (id, partitions, records of partition 0); what nobody knows after a failure.
        let mut sure: std::collections::BTreeMap<String, (TopicId, u32, u64)> = Default::default();
        let mut gone: Vec<TopicId> = Vec::new();
        for _life in 0..4 {
            let (queue, _) = open(&disk, &clock, config());
            let mut unsure: Vec<String> = Vec::new();
            if random.one_in(2) {
                disk.power_off_after(random.below(60));
            }
            if random.one_in(3) {
                disk.fail_sync_after(random.below(30));
            }
            for _ in 0..random.below(25) {
                let name = format!("t{}", random.below(3));
                if unsure.contains(&name) {
                    continue;
                }
                let known = sure.get(&name).copied();
                match random.below(10) {
                    0..5 => match queue.ensure_topic(&name) {
                        Ok(topic) => {
                            if let Some((id, ..)) = known {
                                assert_eq!(topic.id(), id, "seed {seed}: another topic under the name");
                            }
                            let have = u32::try_from(topic.partitions().len()).unwrap();
                            let entry = sure.entry(name.clone()).or_insert((topic.id(), have, 0));
                            match topic.partition(0).unwrap().append(one("x")).wait() {
                                Ok(_) => entry.2 += 1,
                                Err(_) => unsure.push(name),
                            }
                        }
                        Err(_) => unsure.push(name),
                    },
                    5..7 if known.is_some() => {
                        let more = known.unwrap().1 + 1;
                        match queue.grow_topic(&name, more) {
                            Ok(topic) => sure.insert(name, (topic.id(), more, known.unwrap().2)),
                            Err(_) => {
                                unsure.push(name);
                                None
                            }
                        };
                    }
                    7..9 if known.is_some() => match queue.delete_topic(&name) {
                        Ok(id) => {
                            deleted += 1;
                            assert_eq!(sure.remove(&name).unwrap().0, id);
                            gone.push(id);
                        }
                        // If it takes appends, it was not deleted, and what it takes must stay.
                        Err(_) => match queue.topic(&name).unwrap().partition(0).unwrap().append(one("x")).wait() {
                            Ok(_) => sure.get_mut(&name).unwrap().2 += 1,
                            Err(_) => unsure.push(name),
                        },
                    },
                    _ => queue.tend(),
                }
            }
            drop(queue);
            disk = disk.crash();
            let (queue, report) = open(&disk, &clock, config());
            assert_eq!(report.adopted, Vec::<String>::new(), "seed {seed}: a deleted topic came back as lost");
            for id in &gone {
                assert!(queue.topic_by_id(*id).is_none(), "seed {seed}: a deleted topic is back");
                assert!(!is_left(&disk, *id), "seed {seed}: files of a deleted topic stay");
            }
            for name in unsure {
                // Whatever became of it, it is whole.
                let was = sure.remove(&name);
                if let Some(topic) = queue.topic(&name) {
                    let have = u32::try_from(topic.partitions().len()).unwrap();
                    let records = topic.partition(0).unwrap().high_watermark();
                    if let Some((id, partitions, acknowledged)) = was {
                        assert!(id != topic.id() || have >= partitions && records >= acknowledged, "seed {seed}: {name}");
                    }
                    sure.insert(name, (topic.id(), have, records));
                } else if let Some((id, ..)) = was {
                    gone.push(id);
                }
            }
            let names: Vec<String> = queue.topics().iter().map(|topic| topic.name().to_string()).collect();
            assert_eq!(names, sure.keys().cloned().collect::<Vec<_>>(), "seed {seed}");
            for (name, (id, partitions, records)) in &mut sure {
                let topic = queue.topic(name).unwrap();
                assert_eq!((topic.id(), topic.partitions().len()), (*id, *partitions as usize), "seed {seed}: {name}");
                let there = topic.partition(0).unwrap().high_watermark();
                assert!(there >= *records, "seed {seed}: {name} lost acknowledged records");
                *records = there;
            }
        }
    }
    assert!(deleted > 100, "{deleted} deletions show little");
}

#[test]
fn growth_waits_for_those_who_route_and_fails_with_them() {
    let (disk, clock) = (SimDisk::new(1), clock());
    let (queue, _) = open(&disk, &clock, config());
    queue.ensure_topic("web").unwrap();
    let steps = Arc::new(Mutex::new(Vec::new()));
    struct Told(Arc<Mutex<Vec<String>>>);
    impl Drop for Told {
        fn drop(&mut self) {
            self.0.lock().push("after".into());
        }
    }
    let (hears, refuse) = (steps.clone(), Arc::new(AtomicU64::new(0)));
    let refuses = refuse.clone();
    queue.around_growth(Box::new(move |topic| {
        if refuses.load(Ordering::Relaxed) > 0 {
            return Err(QueueError::Full("not now"));
        }
        hears.lock().push(format!("before {}", topic.partitions().len()));
        Ok(Box::new(Told(hears.clone())))
    }));
    let hears = steps.clone();
    queue.on_topic(Box::new(move |topic| hears.lock().push(format!("made {}", topic.partitions().len()))));
    refuse.store(1, Ordering::Relaxed);
    assert!(matches!(queue.grow_topic("web", 3), Err(QueueError::Full("not now"))));
    assert_eq!(queue.topic("web").unwrap().partitions().len(), 1);
    refuse.store(0, Ordering::Relaxed);
    queue.grow_topic("web", 3).unwrap();
    assert_eq!(*steps.lock(), ["before 1", "after", "made 3"]);
    for (partitions, why) in [(3, "more"), (2, "more"), (257, "1 to 256")] {
        let error = queue.grow_topic("web", partitions).unwrap_err().to_string();
        assert!(error.contains(why), "{partitions}: {error}");
    }
    let (queue, _) = open(&disk.crash(), &clock, config());
    assert_eq!(queue.topic("web").unwrap().partitions().len(), 3);
}

#[test]
fn settings_change_at_run_time_and_the_file_has_the_last_word() {
    let (disk, clock) = (SimDisk::new(1), clock());
    let (queue, _) = open(&disk, &clock, config());
    let web = queue.ensure_topic("web").unwrap();
    let defaults = TopicSettings::of(queue.config());
    let set = |queue: &Queue, name: &str, value: &str| {
        queue.change_topic("web", |settings| settings.set(name, Some(value), &defaults)).map(drop)
    };
    web.pin(&[Key::Retention], &TopicSettings { retention: Some("1d".parse().unwrap()), ..defaults.clone() });
    set(&queue, "retention", "1d").unwrap();
    assert_eq!(web.shadowed(), []);
    set(&queue, "retention.ms", "3600000").unwrap();
    set(&queue, "priority", "high").unwrap();
    assert_eq!(web.shadowed(), [Key::Retention], "the next start will say otherwise");
    assert!(matches!(set(&queue, "retention", "-3"), Err(QueueError::Refused(_))));
    let (queue, _) = open(&disk.crash(), &clock, config());
    let settings = queue.topic("web").unwrap().settings();
    assert_eq!(settings.retention, Some("1h".parse::<Span>().unwrap()));
    assert_eq!(settings.get(Key::Priority).as_deref(), Some("high"));
}

#[test]
fn what_is_not_stored_waits_for_nobody() {
    let (disk, clock) = (SimDisk::new(1), clock());
    let config = Config { retention_bytes: Some(Bytes(100_000)), ..config() };
    let (queue, _) = open(&disk, &clock, config.clone());
    let plain = TopicSettings { store: false, ..TopicSettings::of(&config) };
    let [plain, stored] = [queue.create_topic("plain", plain).unwrap(), queue.ensure_topic("stored").unwrap()]
        .map(|topic| topic.partition(0).unwrap());
    for nth in 0..20 {
        for partition in [&plain, &stored] {
            let payload = vec![nth; 20_000];
            partition.append(super::batch(&[payload], crate::queue::Compression::None)).wait().unwrap();
        }
    }
    queue.tend();
    assert_eq!(stored.log_start(), 0, "the store has not come so far");
    assert!(plain.log_start() > 10, "{}", plain.log_start());
}

#[test]
fn what_is_made_while_the_queue_closes_takes_nothing() {
    let (queue, _) = open(&SimDisk::new(1), &clock(), config());
    let topic = queue.ensure_topic("web").unwrap();
    queue.shutdown();
    // A topic does not know the queue that it belongs to: it may still grow.
    topic.update_settings(TopicSettings { partitions: 2, ..TopicSettings::of(&config()) }).unwrap();
    let tickets: Vec<Ticket> = topic.partitions().iter().map(|partition| partition.append(one("late"))).collect();
    for mut ticket in tickets {
        let settled = Pin::new(&mut ticket).poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(settled, Poll::Ready(Err(QueueError::Closed))), "{settled:?}");
    }
    assert!(matches!(queue.ensure_topic("more"), Err(QueueError::Closed)));
}

#[test]
fn a_hook_may_be_the_last_to_hold_the_queue() {
    let (queue, _) = open(&SimDisk::new(1), &clock(), config());
    let partition = queue.ensure_topic("web").unwrap().partition(0).unwrap();
    let last = Arc::new(Mutex::new(None));
    let takes = last.clone();
    queue.on_durable(Box::new(move |_| {
        let queue: Option<Arc<Queue>> = takes.lock().take();
        drop(queue);
    }));
    *last.lock() = Some(queue);
    partition.append(one("x")).wait().unwrap();
    let dropped = (0..20_000).any(|_| {
        std::thread::sleep(Duration::from_millis(1));
        Arc::strong_count(&last) == 1
    });
    assert!(dropped, "the writer waits for itself");
}

#[test]
fn nobody_hears_of_a_topic_after_its_end() {
    let (queue, _) = open(&SimDisk::new(1), &clock(), config());
    let heard = Arc::new(Mutex::new(Vec::new()));
    let (busy, go) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let (own, waits, made) = (busy.clone(), go.clone(), heard.clone());
    queue.on_topic(Box::new(move |_| {
        own.wait();
        waits.wait();
        made.lock().push("made");
    }));
    let gone = heard.clone();
    queue.on_delete(Box::new(move |_| gone.lock().push("gone")));
    std::thread::scope(|scope| {
        scope.spawn(|| queue.ensure_topic("web").unwrap());
        busy.wait();
        let deleting = scope.spawn(|| queue.delete_topic("web").unwrap());
        // It would be done by now if it waited for nobody.
        std::thread::sleep(Duration::from_millis(100));
        go.wait();
        deleting.join().unwrap();
    });
    assert_eq!(*heard.lock(), ["made", "gone"]);
}
