//! Random members, losses and timeouts, against what must always hold:
//! each member has at most one assignment in a generation, all from one leader, no partition twice; every question is answered,
//! in time; a group whose members behave settles; who is gone leaves no byte behind.
//!
//! The consumers are simple ones: they join, sync, beat, leave, crash and lose their answers as chance has it, and believe what
//! they are told. Time moves in steps, so the same seed gives the same run.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::{ProptestConfig, Strategy, any, prop, proptest};

use super::*;

const PARTITIONS: u32 = 7;
/// No question may wait longer: a newcomer's patience, and the rounds that others may take meanwhile.
const PATIENCE: u64 = super::super::group::NEWCOMER_MS + 4 * REBALANCE;

enum Doing {
    Nothing,
    Joining(Answer<Joined>, u64),
    Syncing(Answer<Synced>, u64),
    Member,
    Crashed,
}

struct Consumer {
    instance: Option<Arc<str>>,
    id: Arc<str>,
    generation: i32,
    joined: Option<Joined>,
    doing: Doing,
    protocols: usize,
    last_beat: u64,
}

/// What chance does to one consumer in a step.
#[derive(Clone, Copy, Debug)]
enum Luck {
    Well,
    Leaves,
    Crashes,
    Restarts,
    LosesAnswer,
    Changes,
    Commits,
    Hostile,
}

struct World {
    rig: Rig,
    consumers: Vec<Consumer>,
    /// What each member was given, by generation.
    given: BTreeMap<i32, BTreeMap<Arc<str>, Vec<u8>>>,
    parked: Vec<(Answer<Joined>, u64)>,
}

impl World {
    fn new(consumers: usize) -> Self {
        let consumer = |nth: usize| Consumer {
            instance: (nth % 3 == 2).then(|| Arc::from(format!("i{nth}"))),
            id: Arc::from(""),
            generation: -1,
            joined: None,
            doing: Doing::Nothing,
            protocols: nth % 2,
            last_beat: 0,
        };
        let config = Config { members: 6, ..Config::default() };
        Self {
            rig: rig_with(config),
            consumers: (0..consumers).map(consumer).collect(),
            given: BTreeMap::new(),
            parked: Vec::new(),
        }
    }

    fn join(&mut self, nth: usize) {
        let one = &self.consumers[nth];
        let protocols: &[&str] = if one.protocols == 0 { &["range", "sticky"] } else { &["sticky", "range"] };
        let join = Join { instance: one.instance.clone(), id_first: nth.is_multiple_of(2), ..knows(wish(&one.id), protocols) };
        let answer = self.rig.join(join);
        self.consumers[nth].doing = Doing::Joining(answer, self.rig.now);
    }

    fn step(&mut self, nth: usize, luck: Luck) {
        let now = self.rig.now;
        match luck {
            Luck::Leaves if matches!(self.consumers[nth].doing, Doing::Member) => {
                let one = &self.consumers[nth];
                let who = Identity { member: one.id.clone(), instance: one.instance.clone(), generation: -1 };
                let _either = self.rig.coordinator.leave("g", &[who], now);
                self.forget(nth);
            }
            Luck::Crashes => self.consumers[nth].doing = Doing::Crashed,
            Luck::Restarts => self.forget(nth),
            Luck::LosesAnswer => {
                // The connection broke; the answer goes nowhere, and it asks again with the id it knows.
                if let Doing::Joining(answer, since) = std::mem::replace(&mut self.consumers[nth].doing, Doing::Nothing) {
                    self.parked.push((answer, since));
                }
            }
            Luck::Changes => self.consumers[nth].protocols ^= 1,
            Luck::Commits => {
                let one = &self.consumers[nth];
                let who = Identity { member: one.id.clone(), instance: one.instance.clone(), generation: one.generation };
                let place = (TopicId::from_bytes([1; 16]), 0);
                if let Ok(done) = self.rig.coordinator.commit("g", &who, vec![(place, Committed::at(1))], now) {
                    done.blocking_recv().unwrap().unwrap();
                    assert!(self.given.keys().next_back().is_none_or(|newest| one.generation >= *newest || one.generation < 0));
                }
            }
            Luck::Hostile => {
                for id_first in [true, false] {
                    let stranger = Join { id_first, protocol_type: "x".into(), ..wish("") };
                    let _answer = self.rig.join(stranger);
                }
                let _answer = self.rig.join(knows(wish("made up"), &["range"]));
            }
            Luck::Well | Luck::Leaves => {}
        }
        self.go_on(nth);
    }

    fn forget(&mut self, nth: usize) {
        let one = &mut self.consumers[nth];
        if let Doing::Joining(answer, since) = std::mem::replace(&mut one.doing, Doing::Nothing) {
            self.parked.push((answer, since));
        }
        one.id = Arc::from("");
        one.generation = -1;
        one.joined = None;
    }

    /// What a consumer does by itself.
    fn go_on(&mut self, nth: usize) {
        let now = self.rig.now;
        let one = &mut self.consumers[nth];
        match &mut one.doing {
            Doing::Crashed => {}
            Doing::Nothing => self.join(nth),
            Doing::Joining(answer, since) => match heard(answer) {
                None => assert!(now - *since <= PATIENCE, "waits since {since}, it is {now}"),
                Some(Ok(joined)) => {
                    one.id = joined.member.clone();
                    one.generation = joined.generation;
                    assert!(joined.generation > 0 && !joined.protocol.is_empty());
                    let assignments = assign(&joined);
                    let sync = Sync {
                        group: "g".into(),
                        who: Identity { member: one.id.clone(), instance: one.instance.clone(), generation: one.generation },
                        protocol_type: Some("consumer".into()),
                        protocol: Some(joined.protocol.clone()),
                        assignments,
                    };
                    one.joined = Some(joined);
                    one.doing = Doing::Syncing(self.rig.coordinator.sync(sync, now), now);
                }
                Some(Err(GroupError::MemberIdRequired(id))) => {
                    one.id = id;
                    one.doing = Doing::Nothing;
                }
                Some(Err(error)) => {
                    one.doing = Doing::Nothing;
                    if error != GroupError::Rebalancing {
                        self.forget(nth);
                    }
                }
            },
            Doing::Syncing(answer, since) => match heard(answer) {
                None => assert!(now - *since <= PATIENCE, "waits since {since}, it is {now}"),
                Some(Ok(synced)) => {
                    one.doing = Doing::Member;
                    one.last_beat = now;
                    let given = self.given.entry(one.generation).or_default();
                    // A static member that came back has the assignment of its former id: the same one.
                    let key = one.instance.clone().unwrap_or_else(|| one.id.clone());
                    let before = given.insert(key, synced.assignment.to_vec());
                    assert!(before.is_none_or(|before| before == synced.assignment), "two assignments in one generation");
                    let all: Vec<u8> = given.values().flatten().copied().collect();
                    let once: BTreeSet<u8> = all.iter().copied().collect();
                    assert_eq!(all.len(), once.len(), "a partition twice in generation {}: {given:?}", one.generation);
                }
                Some(Err(GroupError::Rebalancing)) => one.doing = Doing::Nothing,
                Some(Err(_)) => self.forget(nth),
            },
            Doing::Member if now - one.last_beat >= SESSION / 3 => {
                one.last_beat = now;
                let who = Identity { member: one.id.clone(), instance: one.instance.clone(), generation: one.generation };
                match self.rig.coordinator.heartbeat("g", &who, now) {
                    Ok(()) => {}
                    Err(GroupError::Rebalancing) => one.doing = Doing::Nothing,
                    Err(_) => self.forget(nth),
                }
            }
            Doing::Member => {}
        }
    }

    fn check(&mut self) {
        let now = self.rig.now;
        self.parked.retain_mut(|(answer, since)| {
            let waits = heard(answer).is_none();
            assert!(!waits || now - *since <= PATIENCE, "a lost question waits since {since}, it is {now}");
            waits
        });
        let known = self.rig.coordinator.known.lock();
        if let Some(group) = known.groups.get("g") {
            assert!(group.members.len() <= 6 && group.pending.len() <= 6);
            assert_eq!(group.bytes, group.members.values().map(super::member::Member::bytes).sum::<usize>());
            assert!(group.statics.values().all(|id| group.members.contains_key(id)));
            assert!(group.leader.as_ref().is_none_or(|leader| group.members.contains_key(leader)));
            assert_eq!(group.leader.is_none(), group.members.is_empty(), "{:?}", group.state);
            assert!(group.state != State::Empty || group.members.is_empty());
            assert!(!group.live() || group.wake().is_some_and(|wake| wake > now), "somebody waits for nothing");
        }
        assert_eq!(known.bytes, known.groups.values().map(|group| group.bytes).sum::<usize>());
        assert_eq!(known.members, known.groups.values().map(|group| group.members.len()).sum::<usize>());
    }
}

/// What a leader does: partitions one after the other to the members.
fn assign(joined: &Joined) -> Vec<(Arc<str>, Bytes)> {
    if joined.members.is_empty() || joined.skip_assignment {
        return Vec::new();
    }
    let mut shares: Vec<Vec<u8>> = vec![Vec::new(); joined.members.len()];
    for partition in 0..PARTITIONS {
        let at = partition as usize % shares.len();
        shares[at].push(u8::try_from(partition).unwrap());
    }
    joined.members.iter().zip(shares).map(|(member, share)| (member.member.clone(), share.into())).collect()
}

fn luck() -> impl Strategy<Value = Luck> {
    any::<u8>().prop_map(|chance| match chance {
        0..=5 => Luck::Leaves,
        6..=11 => Luck::Crashes,
        12..=20 => Luck::Restarts,
        21..=30 => Luck::LosesAnswer,
        31..=36 => Luck::Changes,
        37..=60 => Luck::Commits,
        61..=66 => Luck::Hostile,
        _ => Luck::Well,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 2000, ..ProptestConfig::default() })]

    #[test]
    fn groups_keep_their_promises(
        consumers in 1_usize..9,
        steps in prop::collection::vec((any::<prop::sample::Index>(), luck(), 1_u64..3000), 1..300),
    ) {
        let mut world = World::new(consumers);
        for (who, luck, ms) in steps {
            let nth = who.index(consumers);
            world.step(nth, luck);
            for other in 0..consumers {
                world.go_on(other);
            }
            world.rig.pass(ms);
            world.check();
        }
        // From here on nothing goes wrong any more: who is alive must come to rest, and those who crashed must not hinder them.
        for _ in 0..(PATIENCE * 2 / 1000) {
            for nth in 0..consumers {
                world.go_on(nth);
            }
            world.rig.pass(1000);
            world.check();
        }
        let alive = world.consumers.iter().filter(|one| !matches!(one.doing, Doing::Crashed)).count();
        let view = world.rig.coordinator.describe("g");
        if alive > 0 {
            assert_eq!((view.state, view.size), (State::Stable, alive.min(6)));
            let given: BTreeSet<u8> = view.members.iter().flat_map(|member| member.assignment.to_vec()).collect();
            assert_eq!(given.len(), PARTITIONS as usize, "all partitions are read: {view:?}");
        }
        // And when all are gone, nothing is left.
        for one in &mut world.consumers {
            one.doing = Doing::Crashed;
        }
        world.rig.pass(PATIENCE * 2);
        let stats = world.rig.coordinator.stats();
        assert_eq!((stats.live, stats.members, stats.bytes), (0, 0, 0));
    }
}
