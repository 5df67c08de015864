//! Committed offsets through crashes, failing disks and older files.

use super::*;
use crate::base::disk::sim::SimDisk;

fn disk(seed: u64) -> Arc<SimDisk> {
    let disk = SimDisk::new(seed);
    disk.create_dir_all(Path::new("queue")).unwrap();
    disk
}

fn said(offset: Offset, metadata: &str, time_ms: i64) -> Committed {
    Committed { leader_epoch: 3, metadata: metadata.into(), time_ms, ..Committed::at(offset) }
}

#[test]
fn commits_survive_and_those_of_outputs_hold() {
    let disk = disk(1);
    let (one, two) = (TopicId::new(), TopicId::new());
    let groups = Groups::open(disk.clone()).unwrap();
    groups.commit("g", one, 0, 5).unwrap();
    groups.commit("_out.a", two, 1, 7).unwrap();
    groups.commit("_out.b", two, 1, 9).unwrap();
    groups.commit("g", one, 0, 3).unwrap();
    assert!(matches!(groups.commit("", one, 0, 3), Err(QueueError::Refused(_))));
    let groups = Groups::open(disk.crash()).unwrap();
    assert_eq!(groups.committed("g", one, 0), Some(3));
    assert_eq!(groups.committed("g", one, 1), None);
    assert_eq!(groups.holds(), HashMap::from([((two, 1), 7)]));
    assert_eq!(groups.of_topic(one), vec![("g".into(), 0, 3)]);
}

#[test]
fn what_clients_say_beside_an_offset_survives() {
    let disk = disk(1);
    let topic = TopicId::new();
    let groups = Groups::open(disk.clone()).unwrap();
    let ahead = Committed { ahead: true, ..said(1 << 60, "", 0) };
    let offsets = vec![((topic, 0), said(5, "müde", 1000)), ((topic, 1), ahead.clone())];
    groups.submit("g", offsets).unwrap().blocking_recv().unwrap().unwrap();
    let groups = Groups::open(disk.crash()).unwrap();
    assert_eq!(groups.look_up("g", &[(topic, 1), (topic, 0), (topic, 2)]), [Some(ahead), Some(said(5, "müde", 1000)), None]);
    // What is ahead of the log must not make the log go on there.
    assert_eq!(groups.of_topic(topic), vec![("g".into(), 0, 5)]);
    let long = said(1, &"x".repeat(METADATA_BYTES + 1), 0);
    assert!(matches!(groups.submit("g", vec![((topic, 0), long)]), Err(QueueError::Refused(_))));
}

#[test]
fn files_of_older_boxes_are_read() {
    let disk = disk(1);
    let topic = TopicId::new();
    let mut old = Vec::new();
    for (group, partition, offset) in [("g", 0_u32, 5_u64), ("_out.a", 1, 7), ("g", 0, 6)] {
        old.extend_from_slice(&u16::try_from(group.len()).unwrap().to_le_bytes());
        old.extend_from_slice(group.as_bytes());
        old.extend_from_slice(topic.as_bytes());
        old.extend_from_slice(&partition.to_le_bytes());
        old.extend_from_slice(&offset.to_le_bytes());
    }
    let (mut journal, _, _) = Journal::open(disk.clone(), Path::new("queue/GROUPS")).unwrap();
    journal.append(&old).unwrap();
    let groups = Groups::open(disk.clone()).unwrap();
    assert_eq!((groups.committed("g", topic, 0), groups.committed("_out.a", topic, 1)), (Some(6), Some(7)));
    groups.commit("g", topic, 0, 8).unwrap();
    assert_eq!(Groups::open(disk.crash()).unwrap().committed("g", topic, 0), Some(8));
}

#[test]
fn nonsense_in_an_entry_ends_it_and_nothing_else() {
    let mut whole = Vec::new();
    let place = (TopicId::new(), 7);
    let changes = [
        Change::Set("g".into(), place, said(5, "m", 9)),
        Change::ForgetPlace("g".into(), place),
        Change::Emptied("g".into(), 77),
        Change::Forget("g".into()),
    ];
    for change in &changes {
        entry::encode(&mut whole, change);
    }
    for cut in 0..whole.len() {
        let mut rest = &whole[..cut];
        let mut got = Vec::new();
        while let Some(change) = entry::decode(&mut rest) {
            got.push(change);
        }
        assert!(got.len() < changes.len() && got == changes[..got.len()], "{cut}: {got:?}");
    }
    let mut rest = whole.as_slice();
    assert_eq!(std::iter::from_fn(|| entry::decode(&mut rest)).collect::<Vec<_>>(), changes);
}

#[test]
fn what_is_forgotten_stays_forgotten() {
    let disk = disk(1);
    let topic = TopicId::new();
    let groups = Groups::open(disk.clone()).unwrap();
    for group in ["a", "b"] {
        groups.commit(group, topic, 0, 1).unwrap();
        groups.commit(group, topic, 1, 1).unwrap();
    }
    groups.forget("a", None).blocking_recv().unwrap().unwrap();
    groups.forget("b", Some(&[(topic, 1)])).blocking_recv().unwrap().unwrap();
    let groups = Groups::open(disk.crash()).unwrap();
    assert_eq!(groups.names(), vec![Arc::from("b")]);
    assert_eq!(groups.of_group("b").len(), 1);
    let durable = groups.durable.lock();
    assert_eq!((durable.keys, durable.text), (1, 1));
}

#[test]
fn offsets_expire_when_nobody_wants_them() {
    let disk = disk(1);
    let (topic, gone) = (TopicId::new(), TopicId::new());
    let groups = Groups::open(disk.clone()).unwrap();
    let commit = |group: &str, topic, time| {
        groups.submit(group, vec![((topic, 0), said(1, "", time))]).unwrap().blocking_recv().unwrap().unwrap();
    };
    commit("old", topic, 10);
    commit("live", topic, 10);
    commit("young", topic, 30);
    commit("left", topic, 10);
    commit("young", gone, 30);
    groups.commit("_out.x", topic, 0, 1).unwrap();
    groups.emptied("left", 25);
    assert_eq!(groups.expire(20, |group| group == "live", |id| id == topic), 2);
    let groups = Groups::open(disk.crash()).unwrap();
    assert_eq!(groups.names(), ["_out.x", "left", "live", "young"].map(Arc::from));
    assert_eq!(groups.of_group("young").len(), 1);
}

#[test]
fn a_failed_sync_is_healed_by_a_new_file() {
    let disk = disk(3);
    let topic = TopicId::new();
    let groups = Groups::open(disk.clone()).unwrap();
    groups.commit("g", topic, 0, 1).unwrap();
    disk.fail_sync_after(0);
    groups.commit("g", topic, 0, 2).unwrap();
    assert_eq!(Groups::open(disk.crash()).unwrap().committed("g", topic, 0), Some(2));
}

#[test]
fn a_full_disk_says_so_and_what_was_durable_stays() {
    let disk = disk(3);
    let topic = TopicId::new();
    let groups = Groups::open(disk.clone()).unwrap();
    groups.commit("g", topic, 0, 1).unwrap();
    disk.set_capacity(Some(disk.files()[0].1));
    assert!(matches!(groups.commit("g", topic, 0, 2), Err(QueueError::Full(_))));
    assert_eq!(groups.committed("g", topic, 0), Some(1));
    disk.set_capacity(None);
    groups.commit("g", topic, 0, 3).unwrap();
    assert_eq!(Groups::open(disk.crash()).unwrap().committed("g", topic, 0), Some(3));
}

#[test]
fn many_at_once_share_a_sync() {
    let disk = disk(1);
    let topic = TopicId::new();
    let groups = Groups::open(disk.clone()).unwrap();
    groups.flushed_by(Box::new(|| {}));
    let waiting: Vec<Done> = (0..100).map(|nth| groups.submit("g", vec![((topic, nth), said(9, "", 0))]).unwrap()).collect();
    assert_eq!(groups.of_group("g").len(), 0, "nothing is seen before it is durable");
    groups.flush();
    assert!(waiting.into_iter().all(|done| done.blocking_recv().unwrap().is_ok()));
    assert_eq!(Groups::open(disk.crash()).unwrap().of_group("g").len(), 100);
    groups.close();
    let late = groups.submit("g", vec![((topic, 0), said(10, "", 0))]).unwrap();
    assert!(matches!(late.blocking_recv().unwrap(), Err(QueueError::Closed)));
}

#[test]
fn the_journal_does_not_grow_with_commits() {
    let disk = disk(1);
    let groups = Groups::open(disk.clone()).unwrap();
    let topic = TopicId::new();
    let name = "n".repeat(200);
    for offset in 0..20_000 {
        groups.commit(&name, topic, 0, offset).unwrap();
    }
    assert!(disk.files()[0].1 < REWRITE_BYTES * 2, "{:?}", disk.files());
    assert_eq!(Groups::open(disk.crash()).unwrap().committed(&name, topic, 0), Some(19_999));
}
