//! What is admitted, and where to: tables over an open queue, and rules that survive.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::{Action, Admit, Direction, LONGEST, Quota, Route, Traffic, Who};
use crate::base::clock::SimClock;
use crate::base::disk::Disk;
use crate::base::disk::sim::SimDisk;
use crate::base::units::Bytes;
use crate::queue::{Config, Queue, QueueError, TopicSettings};

fn quota(name: &str, rate: u64, action: Action) -> Quota {
    let to = (action == Action::Divert).then(|| "bursty".to_owned());
    Quota {
        name: name.into(),
        topic: None,
        principal: None,
        client_id: None,
        direction: Direction::Produce,
        bytes_per_second: Bytes(rate),
        burst: None,
        action,
        to,
    }
}

fn route(topic: &str, when: &str, to: &str) -> Route {
    Route { name: String::new(), topic: topic.into(), when: when.into(), to: to.into() }
}

fn traffic(quotas: &[Quota], routes: &[Route]) -> Traffic {
    let disk = SimDisk::new(1);
    disk.create_dir_all(std::path::Path::new("queue")).unwrap();
    let traffic = Traffic::open(disk).unwrap().0;
    for quota in quotas {
        traffic.put_quota(quota.clone()).unwrap();
    }
    for route in routes {
        traffic.put_route(route.clone()).unwrap();
    }
    traffic
}

fn open(disk: &Arc<SimDisk>) -> Arc<Queue> {
    Queue::open(disk.clone(), Arc::new(SimClock::at(1)), Config::default()).unwrap().0
}

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn to(topic: &str) -> Admit {
    Admit::Divert { to: topic.into(), throttle: Duration::ZERO }
}

const NOBODY: Who<'_> = Who { principal: None, client_id: None, peer: None, waits: false };

fn alice() -> Who<'static> {
    Who { principal: Some("alice"), client_id: Some("app-1"), peer: Some("10.0.0.7".parse().unwrap()), waits: false }
}

#[test]
fn without_rules_everything_goes() {
    let traffic = traffic(&[], &[]);
    assert_eq!(traffic.admit("web", &alice(), 1, u64::MAX, s(0)), Admit::Go);
    assert_eq!(traffic.owed("web", &alice(), s(0)), None);
    assert_eq!(traffic.consumed(&alice(), u64::MAX, s(0)), Duration::ZERO);
    assert!(traffic.rules().is_empty() && traffic.rules().by_record("web").is_empty());
}

#[test]
fn a_throttled_batch_is_taken_and_paid_for_by_waiting() {
    let traffic = traffic(&[quota("all", 1000, Action::Throttle)], &[]);
    assert_eq!(traffic.admit("web", &NOBODY, 1, 900, s(0)), Admit::Go);
    let Admit::Throttle(wait) = traffic.admit("db", &alice(), 1, 2100, s(0)) else { panic!("not throttled") };
    assert_eq!(wait.as_secs(), 2);
    let (owed, why) = traffic.owed("web", &NOBODY, s(1)).unwrap();
    assert_eq!(owed.as_secs(), 1);
    assert!(why.contains("`all`") && why.contains("`web`"), "{why}");
    assert_eq!(traffic.owed("web", &NOBODY, s(3)), None);
    assert_eq!(traffic.quotas()[0].count.throttled, wait);
    // A long debt is told in pieces.
    assert_eq!(traffic.admit("web", &NOBODY, 1, 1_000_000, s(3)), Admit::Throttle(LONGEST));
}

#[test]
fn refusing_takes_nothing_from_the_quota() {
    let traffic = traffic(&[quota("all", 1000, Action::Refuse)], &[]);
    assert_eq!(traffic.admit("web", &NOBODY, 1, 1500, s(0)), Admit::Go, "larger than what there is, but there is something");
    for _ in 0..3 {
        let Admit::Refuse { reason, after } = traffic.admit("web", &NOBODY, 10, 700, s(0)) else { panic!("not refused") };
        assert!(reason.contains("`all`") && reason.contains("1000"), "{reason}");
        assert_eq!(after.as_millis(), 500);
    }
    assert_eq!(traffic.admit("web", &NOBODY, 1, 700, s(1)), Admit::Go);
    let count = traffic.quotas()[0].count;
    assert_eq!((count.refused_records, count.refused_bytes), (30, 2100));
}

#[test]
fn diverting_goes_in_runs_and_ends_when_the_bucket_is_full() {
    let web = Quota { topic: Some("web".into()), ..quota("noisy", 1000, Action::Divert) };
    let traffic = traffic(&[web], &[]);
    assert_eq!(traffic.admit("db", &NOBODY, 1, 5000, s(0)), Admit::Go);
    assert_eq!(traffic.admit("web", &NOBODY, 1, 1000, s(0)), Admit::Go);
    for ms in [0, 1, 500, 999] {
        assert_eq!(traffic.admit("web", &NOBODY, 2, 100, Duration::from_millis(ms)), to("bursty"), "{ms}");
    }
    assert_eq!(traffic.admit("bursty", &NOBODY, 1, 9000, s(0)), Admit::Go, "who sends to the target himself is not meant");
    assert_eq!(traffic.admit("web", &NOBODY, 1, 100, s(1)), Admit::Go);
    let count = traffic.quotas()[0].count;
    assert_eq!((count.diverted_records, count.diverted_bytes), (8, 400));
}

#[test]
fn stars_are_each_for_himself() {
    let each = Quota { principal: Some("*".into()), ..quota("each", 1000, Action::Refuse) };
    let app = Quota { client_id: Some("app-1".into()), ..quota("app", 1_000_000, Action::Refuse) };
    let traffic = traffic(&[each, app], &[]);
    let bob = Who { principal: Some("bob"), ..NOBODY };
    assert_eq!(traffic.admit("web", &alice(), 1, 1000, s(0)), Admit::Go);
    assert!(matches!(traffic.admit("db", &alice(), 1, 1, s(0)), Admit::Refuse { .. }));
    assert_eq!(traffic.admit("web", &bob, 1, 1000, s(0)), Admit::Go);
    assert_eq!(traffic.admit("web", &NOBODY, 1, 1000, s(0)), Admit::Go, "nobody is somebody, too");
    assert!(matches!(traffic.admit("web", &NOBODY, 1, 1, s(0)), Admit::Refuse { .. }));
}

#[test]
fn routes_by_envelope_and_on_to_the_next() {
    let throttle = Quota { topic: Some("b".into()), ..quota("b", 1000, Action::Throttle) };
    let routes = [
        route("web", "_client:app-*", "a"),
        route("web", "_principal:alice", "unused"),
        route("web", "_peer:10.0.0.0/8", "net"),
        route("a", "*", "b"),
    ];
    let traffic = traffic(&[throttle], &routes);
    assert_eq!(traffic.admit("web", &alice(), 3, 300, s(0)), to("b"));
    assert_eq!(traffic.admit("web", &Who { client_id: None, principal: None, ..alice() }, 1, 1, s(0)), to("net"));
    assert_eq!(traffic.admit("web", &NOBODY, 1, 1, s(0)), Admit::Go);
    let Admit::Divert { to, throttle } = traffic.admit("a", &NOBODY, 1, 2700, s(0)) else { panic!("not diverted") };
    assert_eq!((&*to, throttle.as_secs()), ("b", 2));
    let listed: Vec<_> =
        traffic.routes().iter().map(|route| (route.ruled.rule.name.clone(), route.count.diverted_records)).collect();
    let listed: Vec<_> = listed.iter().map(|(name, records)| (name.as_str(), *records)).collect();
    assert_eq!(listed, [("route-1", 3), ("route-2", 0), ("route-3", 1), ("route-4", 4)]);
}

#[test]
fn routes_by_record_are_asked_for_alone() {
    let traffic = traffic(
        &[],
        &[route("web", "host:web-7", "noisy"), route("web", "_peer:10.0.0.0/8", "net"), route("web", "*", "rest")],
    );
    let rules = traffic.rules();
    assert!(rules.by_record("db").is_empty());
    let find = |host: Option<&'static str>, peer: &'static str| {
        let mut field = |name: &str| match name {
            "host" => host.map(|host| Cow::Borrowed(host.as_bytes())),
            "_peer" => Some(Cow::Borrowed(peer.as_bytes())),
            _ => None,
        };
        rules.by_record("web").iter().find(|way| way.applies(&mut field)).map(|way| way.to().to_string())
    };
    assert_eq!(find(Some("web-7"), "10.0.0.1").as_deref(), Some("noisy"));
    assert_eq!(find(Some("web-8"), "10.0.0.1").as_deref(), Some("net"));
    assert_eq!(find(None, "192.168.0.1"), None);
    assert_eq!(find(None, "rubbish"), None);
}

#[test]
fn consumers_have_quotas_of_their_own() {
    let out = Quota { direction: Direction::Consume, principal: Some("*".into()), ..quota("out", 1000, Action::Throttle) };
    let traffic = traffic(&[out], &[]);
    assert_eq!(traffic.admit("web", &alice(), 1, 1 << 40, s(0)), Admit::Go);
    assert_eq!(traffic.consumed(&alice(), 500, s(0)), Duration::ZERO);
    assert_eq!(traffic.consumed(&alice(), 1500, s(0)).as_secs(), 1);
    assert_eq!(traffic.consumed(&NOBODY, 500, s(0)), Duration::ZERO);
}

#[test]
fn a_change_keeps_the_buckets_of_the_others() {
    let one = Quota { topic: Some("a".into()), ..quota("one", 1000, Action::Refuse) };
    let traffic = traffic(std::slice::from_ref(&one), &[]);
    traffic.admit("a", &NOBODY, 1, 2000, s(0));
    traffic.put_quota(Quota { topic: Some("b".into()), ..quota("two", 1000, Action::Refuse) }).unwrap();
    assert!(matches!(traffic.admit("a", &NOBODY, 1, 1, s(0)), Admit::Refuse { .. }));
    traffic.put_quota(Quota { bytes_per_second: Bytes(1001), ..one }).unwrap();
    assert_eq!(traffic.admit("a", &NOBODY, 1, 1, s(0)), Admit::Go);
    assert!(traffic.remove_quota("one").unwrap());
    assert!(!traffic.remove_quota("one").unwrap());
    assert_eq!(traffic.quotas().len(), 1);
}

#[test]
fn rules_survive_and_the_file_comes_first() {
    let disk = SimDisk::new(3);
    let queue = open(&disk);
    queue.put_quota(quota("one", 1000, Action::Divert)).unwrap();
    queue.put_quota(quota("one", 2000, Action::Divert)).unwrap();
    queue.put_quota(quota("gone", 1, Action::Refuse)).unwrap();
    assert_eq!(queue.put_route(route("web", "host:x", "other")).unwrap(), "route-1");
    assert!(queue.traffic().remove_quota("gone").unwrap());
    assert!(queue.topic("bursty").is_some() && queue.topic("other").is_some(), "targets are made");
    drop(queue);
    let queue = open(&disk.crash());
    let names = |queue: &Queue| -> Vec<(String, u64, bool, bool)> {
        let listed = queue.traffic().quotas().into_iter().map(|one| one.ruled);
        listed.map(|ruled| (ruled.rule.name, ruled.rule.bytes_per_second.0, ruled.fixed, ruled.shadowed)).collect()
    };
    assert_eq!(names(&queue), [("one".to_owned(), 2000, false, false)]);
    assert_eq!(queue.traffic().routes()[0].ruled.rule.when, "host:x");
    // The file takes the name, and a way that makes a circle with the one that was put.
    queue
        .traffic()
        .configure(vec![quota("one", 5, Action::Refuse)], vec![Route { name: "back".into(), ..route("other", "*", "web") }]);
    assert_eq!(names(&queue), [("one".to_owned(), 5, true, false), ("one".to_owned(), 2000, false, true)]);
    assert!(queue.traffic().routes()[1].ruled.shadowed);
    assert!(queue.traffic().rules().by_record("web").is_empty(), "what is shadowed does not hold");
    for refused in [queue.put_quota(quota("one", 1, Action::Refuse)), queue.traffic().remove_quota("one").map(drop)] {
        assert!(matches!(refused, Err(QueueError::Refused(why)) if why.contains("configuration file")));
    }
    assert!(matches!(queue.put_route(route("web", "*", "other")), Err(QueueError::Refused(why)) if why.contains("circle")));
}

#[test]
fn a_target_is_made_like_its_source() {
    let disk = SimDisk::new(4);
    let queue = open(&disk);
    let settings = TopicSettings { partitions: 3, ..TopicSettings::of(&Config::default()) };
    queue.create_topic("web", settings).unwrap();
    queue.put_route(route("web", "host:x", "web.noisy")).unwrap();
    assert_eq!(queue.topic("web.noisy").unwrap().partitions().len(), 3);
    queue.put_route(route("nothing.yet", "host:x", "else")).unwrap();
    assert_eq!(queue.topic("else").unwrap().partitions().len(), 1);
    assert!(queue.put_route(route("web", "host:x", "_own")).is_err());
}

#[test]
fn a_failed_sync_is_healed_and_a_full_disk_changes_nothing() {
    let disk = SimDisk::new(5);
    let queue = open(&disk);
    disk.fail_sync_after(0);
    queue.put_quota(quota("one", 1, Action::Refuse)).unwrap();
    disk.set_capacity(Some(1));
    assert!(matches!(queue.put_quota(quota("two", 1, Action::Refuse)), Err(QueueError::Full(_))));
    assert_eq!(queue.traffic().quotas().len(), 1);
    disk.set_capacity(None);
    queue.put_quota(quota("two", 1, Action::Refuse)).unwrap();
    drop(queue);
    assert_eq!(open(&disk.crash()).traffic().quotas().len(), 2);
}

#[test]
fn the_journal_does_not_grow_with_changes() {
    let disk = SimDisk::new(6);
    let queue = open(&disk);
    for n in 0..2000 {
        queue.put_quota(quota("one", n + 1, Action::Refuse)).unwrap();
    }
    let (_, len) = disk.files().into_iter().find(|(path, _)| path.ends_with("TRAFFIC")).unwrap();
    assert!(len < 80 * 1024, "{len}");
    drop(queue);
    assert_eq!(open(&disk.crash()).traffic().quotas()[0].ruled.rule.bytes_per_second, Bytes(2000));
}

#[test]
fn there_is_a_limit_to_rules() {
    let traffic = traffic(&[], &[]);
    for n in 0..super::rules::RULES {
        traffic.put_route(route("web", &format!("host:{n}"), "other")).unwrap();
    }
    assert!(matches!(traffic.put_route(route("web", "host:x", "other")), Err(QueueError::Refused(_))));
    traffic.put_route(Route { name: "route-7".into(), ..route("web", "host:seven", "other") }).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is put, asked and removed: it ends, and what is admitted by refusal stays within the rate.
    #[test]
    fn any_history_of_asking(steps in prop::collection::vec((0u8..6, 0usize..4, 1u64..4000, 0u64..400), 1..80)) {
        let traffic = traffic(&[], &[]);
        let topics = ["a", "b", "c", "d"];
        let mut now = Duration::ZERO;
        for (kind, at, bytes, ms) in steps {
            now += Duration::from_millis(ms);
            let topic = topics[at];
            match kind {
                0 => drop(traffic.put_quota(Quota { topic: Some(topic.into()), ..quota(topic, bytes, Action::Refuse) })),
                1 => drop(traffic.put_quota(Quota { topic: Some(topic.into()), to: Some(topics[(at + 1) % 4].into()), ..quota("d", bytes, Action::Divert) })),
                2 => drop(traffic.put_route(Route { name: topic.into(), ..route(topic, "*", topics[(at + usize::try_from(bytes % 4).unwrap()) % 4]) })),
                3 => drop(traffic.remove_route(topic)),
                _ => {
                    if let Admit::Divert { to, .. } = traffic.admit(topic, &NOBODY, 1, bytes, now) {
                        prop_assert_ne!(&*to, topic);
                    }
                }
            }
            let rules: Vec<Quota> = traffic.quotas().into_iter().map(|one| one.ruled.rule).collect();
            let routes: Vec<Route> = traffic.routes().into_iter().map(|one| one.ruled.rule).collect();
            prop_assert_eq!(super::rules::check_circles(rules.iter(), routes.iter()), Ok(()));
        }
    }
}
