//! The group protocol, step by step: who joins, stays, leaves and comes back, and what everybody hears.

use std::path::Path;

use tokio::sync::oneshot::error::TryRecvError;

use super::*;
use crate::base::disk::Disk;
use crate::base::disk::sim::SimDisk;
use crate::base::ids::TopicId;

mod model;
mod rules;

const SESSION: u64 = 10_000;
const REBALANCE: u64 = 60_000;
const DELAY: u64 = 500;

/// A coordinator and its clock.
struct Rig {
    coordinator: Coordinator,
    now: u64,
}

fn rig() -> Rig {
    rig_with(Config::default())
}

fn rig_with(config: Config) -> Rig {
    let disk = SimDisk::new(1);
    disk.create_dir_all(Path::new("queue")).unwrap();
    config.check().unwrap();
    Rig { coordinator: Coordinator::new(Arc::new(Groups::open(disk).unwrap()), config), now: 1000 }
}

fn wish(member: &str) -> Join {
    let protocol = |name: &str| Protocol { name: name.into(), metadata: Bytes::from_static(b"topics") };
    Join {
        group: "g".into(),
        member: member.into(),
        instance: None,
        id_first: false,
        may_skip: true,
        client_id: "c".into(),
        host: "/127.0.0.1".into(),
        session_ms: SESSION,
        rebalance_ms: REBALANCE,
        protocol_type: "consumer".into(),
        protocols: vec![protocol("range"), protocol("roundrobin")],
    }
}

fn knows(join: Join, protocols: &[&str]) -> Join {
    let protocols = protocols.iter().map(|name| Protocol { name: (*name).into(), metadata: Bytes::from_static(b"t") });
    Join { protocols: protocols.collect(), ..join }
}

fn fixed(instance: &str) -> Join {
    Join { instance: Some(instance.into()), ..wish("") }
}

fn id(member: &str, generation: i32) -> Identity {
    Identity { member: member.into(), instance: None, generation }
}

/// What came; none if nothing has yet.
fn heard<T>(answer: &mut Answer<T>) -> Option<Result<T, GroupError>> {
    match answer.try_recv() {
        Ok(heard) => Some(heard),
        Err(TryRecvError::Empty) => None,
        Err(TryRecvError::Closed) => panic!("a question was dropped without an answer"),
    }
}

impl Rig {
    fn join(&self, join: Join) -> Answer<Joined> {
        self.coordinator.join(join, self.now)
    }

    fn sync(&self, who: &Joined, assignments: &[(&str, &'static str)]) -> Answer<Synced> {
        let assignments = assignments.iter().map(|(id, said)| ((*id).into(), Bytes::from_static(said.as_bytes())));
        let sync = Sync {
            group: "g".into(),
            who: id(&who.member, who.generation),
            protocol_type: None,
            protocol: None,
            assignments: assignments.collect(),
        };
        self.coordinator.sync(sync, self.now)
    }

    fn heartbeat(&self, who: &Joined) -> Result<(), GroupError> {
        self.coordinator.heartbeat("g", &id(&who.member, who.generation), self.now)
    }

    fn pass(&mut self, ms: u64) {
        let until = self.now + ms;
        while self.now < until {
            self.now = (self.now + 100).min(until);
            self.coordinator.tick(self.now, i64::try_from(self.now).unwrap());
        }
    }

    fn state(&self) -> State {
        self.coordinator.describe("g").state
    }

    /// So many members in a settled group; the first leads.
    fn settled(&mut self, joins: Vec<Join>) -> Vec<Joined> {
        let mut answers: Vec<_> = joins.into_iter().map(|join| self.join(join)).collect();
        self.pass(DELAY * 4);
        let mut all: Vec<Joined> = answers.iter_mut().map(|answer| heard(answer).unwrap().unwrap()).collect();
        all.sort_by_key(|joined| joined.member != joined.leader);
        self.settle(&all);
        all
    }

    /// Everybody of a round asks for its assignment, and the leader gives each its own id.
    fn settle(&mut self, all: &[Joined]) {
        let mut answers: Vec<_> = all.iter().filter(|one| one.member != one.leader).map(|one| self.sync(one, &[])).collect();
        assert!(answers.iter_mut().all(|answer| heard(answer).is_none()), "only the leader knows");
        let leader = all.iter().find(|one| one.member == one.leader).unwrap();
        let assignments = leader.members.iter().map(|one| (one.member.clone(), Bytes::copy_from_slice(one.member.as_bytes())));
        let sync = Sync {
            group: "g".into(),
            who: id(&leader.member, leader.generation),
            protocol_type: Some("consumer".into()),
            protocol: Some(leader.protocol.clone()),
            assignments: assignments.collect(),
        };
        answers.insert(0, self.coordinator.sync(sync, self.now));
        let own: Vec<_> = answers.iter_mut().map(|answer| heard(answer).unwrap().unwrap().assignment).collect();
        let mut expected: Vec<&Joined> = all.iter().collect();
        expected.sort_by_key(|one| one.member != one.leader);
        let expected: Vec<_> = expected.iter().map(|one| Bytes::copy_from_slice(one.member.as_bytes())).collect();
        assert_eq!(own, expected);
        assert_eq!(self.state(), State::Stable);
    }
}
