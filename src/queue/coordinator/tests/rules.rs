//! Kafka's rules, one test each.

use super::*;

#[test]
fn consumers_that_start_together_share_a_generation() {
    let mut rig = rig();
    let mut first = rig.join(wish(""));
    rig.pass(300);
    let mut second = rig.join(wish(""));
    rig.pass(300);
    assert!(heard(&mut first).is_none(), "somebody came meanwhile, so it waits on");
    rig.pass(400);
    let (first, second) = (heard(&mut first).unwrap().unwrap(), heard(&mut second).unwrap().unwrap());
    assert_eq!((first.generation, second.generation), (1, 1));
    assert_eq!((&first.leader, &second.leader), (&first.member, &first.member));
    assert_eq!((first.members.len(), second.members.len()), (2, 0), "only the leader needs to know all");
    assert_eq!(&*first.protocol, "range");
    rig.settle(&[first, second]);
}

#[test]
fn a_newcomer_makes_the_others_join_again() {
    let mut rig = rig();
    let all = rig.settled(vec![wish(""), wish("")]);
    let mut third = rig.join(wish(""));
    assert_eq!(rig.state(), State::Preparing);
    let mut again = Vec::new();
    for one in &all {
        assert!(heard(&mut third).is_none());
        assert_eq!(rig.heartbeat(one), Err(GroupError::Rebalancing));
        again.push(rig.join(wish(&one.member)));
    }
    let third = heard(&mut third).unwrap().unwrap();
    let mut round: Vec<Joined> = again.iter_mut().map(|answer| heard(answer).unwrap().unwrap()).collect();
    assert_eq!((third.generation, &third.leader), (2, &all[0].leader), "who led goes on leading");
    round.push(third);
    rig.settle(&round);
    assert_eq!(rig.heartbeat(&all[0]), Err(GroupError::IllegalGeneration));
    assert_eq!(rig.heartbeat(&round[0]), Ok(()));
}

#[test]
fn an_id_comes_first_where_the_client_knows_that() {
    let mut rig = rig();
    let first = Join { id_first: true, ..wish("") };
    let Some(Err(GroupError::MemberIdRequired(given))) = heard(&mut rig.join(first.clone())) else { panic!() };
    assert!(given.starts_with("c-"));
    assert!(rig.coordinator.is_live("g"), "a promised place counts");
    let mut joined = rig.join(Join { id_first: true, ..wish(&given) });
    rig.pass(DELAY);
    assert_eq!(heard(&mut joined).unwrap().unwrap().member, given);
    // A promise ends with the session timeout.
    let Some(Err(GroupError::MemberIdRequired(late))) = heard(&mut rig.join(first)) else { panic!() };
    rig.pass(SESSION);
    assert_eq!(heard(&mut rig.join(wish(&late))), Some(Err(GroupError::UnknownMember)));
}

#[test]
fn a_silent_member_is_gone_after_its_session() {
    let mut rig = rig();
    let all = rig.settled(vec![wish(""), wish("")]);
    for _ in 0..4 {
        rig.pass(SESSION / 2);
        if rig.heartbeat(&all[1]) == Err(GroupError::Rebalancing) {
            break;
        }
    }
    assert_eq!(rig.state(), State::Preparing);
    let next = heard(&mut rig.join(wish(&all[1].member))).unwrap().unwrap();
    assert_eq!((next.leader.clone(), next.members.len()), (all[1].member.clone(), 1), "who is left leads");
    assert_eq!(heard(&mut rig.join(wish(&all[0].member))), Some(Err(GroupError::UnknownMember)));
    assert_eq!(rig.heartbeat(&all[0]), Err(GroupError::UnknownMember));
}

#[test]
fn who_does_not_join_in_time_is_out() {
    let mut rig = rig();
    let all = rig.settled(vec![wish(""), wish("")]);
    let mut third = rig.join(wish(""));
    let mut second = rig.join(wish(&all[1].member));
    // The leader lives and says so, but does not come.
    for _ in 0..(REBALANCE / 5000) - 1 {
        rig.pass(5000);
        assert_eq!(rig.heartbeat(&all[0]), Err(GroupError::Rebalancing));
    }
    assert!(heard(&mut third).is_none());
    rig.pass(5000);
    let (second, third) = (heard(&mut second).unwrap().unwrap(), heard(&mut third).unwrap().unwrap());
    assert_eq!(second.leader, third.leader);
    assert_ne!(second.leader, all[0].member);
    rig.settle(&[second, third]);
    assert_eq!(rig.heartbeat(&all[0]), Err(GroupError::UnknownMember));
}

#[test]
fn who_does_not_ask_for_its_assignment_is_out() {
    let mut rig = rig();
    let (mut one, mut two) = (rig.join(wish("")), rig.join(wish("")));
    rig.pass(DELAY * 4);
    let (one, two) = (heard(&mut one).unwrap().unwrap(), heard(&mut two).unwrap().unwrap());
    let (leader, other) = if one.leader == one.member { (one, two) } else { (two, one) };
    let mut waits = rig.sync(&other, &[]);
    for _ in 0..REBALANCE / 5000 {
        rig.pass(5000);
        let _either = rig.heartbeat(&leader);
    }
    assert_eq!(heard(&mut waits), Some(Err(GroupError::Rebalancing)), "the leader never assigned");
    let next = heard(&mut rig.join(wish(&other.member))).unwrap().unwrap();
    assert_eq!((next.generation, next.leader.clone()), (2, other.member));
}

#[test]
fn a_leader_that_leaves_is_replaced() {
    let mut rig = rig();
    let all = rig.settled(vec![wish(""), wish(""), wish("")]);
    assert_eq!(rig.coordinator.leave("g", &[id(&all[0].member, -1)], rig.now), Ok(vec![Ok(())]));
    let mut again: Vec<_> = all[1..].iter().map(|one| rig.join(wish(&one.member))).collect();
    let round: Vec<_> = again.iter_mut().map(|answer| heard(answer).unwrap().unwrap()).collect();
    assert!(round.iter().all(|one| one.leader != all[0].member && one.generation == 2));
    rig.settle(&round);
}

#[test]
fn all_that_leave_leave_an_empty_group() {
    let mut rig = rig();
    let all = rig.settled(vec![wish(""), wish("")]);
    let who: Vec<_> = all.iter().map(|one| id(&one.member, -1)).chain([id("nobody", -1)]).collect();
    let left = rig.coordinator.leave("g", &who, rig.now).unwrap();
    assert_eq!(left, [Ok(()), Ok(()), Err(GroupError::UnknownMember)]);
    assert_eq!(rig.state(), State::Empty);
    assert_eq!(rig.heartbeat(&all[0]), Err(GroupError::UnknownMember));
    assert!(rig.coordinator.tick(rig.now, 0), "to forget it later");
    rig.pass(EMPTY_KEPT_MS + 200);
    assert_eq!(rig.state(), State::Dead);
    assert_eq!(rig.coordinator.stats(), CoordinatorStats { rebalances: 2, ..CoordinatorStats::default() });
    assert!(!rig.coordinator.tick(rig.now, 0));
}

#[test]
fn the_protocol_is_one_that_all_know_and_most_prefer() {
    for (members, chosen) in [
        (vec![vec!["range", "sticky"], vec!["range", "sticky"]], "range"),
        (vec![vec!["range", "sticky"], vec!["sticky", "range"], vec!["sticky", "range"]], "sticky"),
        (vec![vec!["cooperative-sticky", "range"], vec!["range"]], "range"),
        (vec![vec!["a", "b", "c"], vec!["c", "b"], vec!["b", "x"]], "b"),
    ] {
        let mut rig = rig();
        let joins = members.iter().map(|protocols| knows(wish(""), protocols)).collect();
        assert_eq!(&*rig.settled(joins)[0].protocol, chosen, "{members:?}");
    }
}

#[test]
fn who_shares_no_protocol_is_refused() {
    let mut rig = rig();
    let all = rig.settled(vec![knows(wish(""), &["range", "sticky"]), knows(wish(""), &["range"])]);
    let refused = Some(Err(GroupError::InconsistentProtocol));
    assert_eq!(heard(&mut rig.join(knows(wish(""), &["sticky"]))), refused, "not all know it");
    assert_eq!(heard(&mut rig.join(knows(wish(""), &[]))), refused);
    assert_eq!(heard(&mut rig.join(Join { protocol_type: "connect".into(), ..wish("") })), refused);
    assert_eq!(rig.heartbeat(&all[0]), Ok(()), "nobody noticed");
    let mut wrong = Sync {
        group: "g".into(),
        who: id(&all[1].member, all[1].generation),
        protocol_type: None,
        protocol: Some("sticky".into()),
        assignments: vec![],
    };
    assert_eq!(heard(&mut rig.coordinator.sync(wrong.clone(), rig.now)), Some(Err(GroupError::InconsistentProtocol)));
    wrong.protocol = Some("range".into());
    assert!(heard(&mut rig.coordinator.sync(wrong, rig.now)).unwrap().is_ok());
}

#[test]
fn joining_again_unchanged_disturbs_nobody_but_the_leader_does() {
    let mut rig = rig();
    let all = rig.settled(vec![wish(""), wish("")]);
    let same = heard(&mut rig.join(wish(&all[1].member))).unwrap().unwrap();
    assert_eq!((same.generation, rig.state()), (1, State::Stable));
    let mut changed = rig.join(knows(wish(&all[1].member), &["range", "other"]));
    assert_eq!(rig.state(), State::Preparing);
    assert!(heard(&mut changed).is_none());
    let leader = heard(&mut rig.join(wish(&all[0].member))).unwrap().unwrap();
    rig.settle(&[leader.clone(), heard(&mut changed).unwrap().unwrap()]);
    let mut leader = rig.join(wish(&leader.member));
    assert_eq!((rig.state(), heard(&mut leader)), (State::Preparing, None), "it saw new partitions, say");
}

#[test]
fn an_answer_that_got_lost_is_given_again() {
    let mut rig = rig();
    let (mut one, mut two) = (rig.join(wish("")), rig.join(wish("")));
    rig.pass(DELAY * 4);
    let (one, two) = (heard(&mut one).unwrap().unwrap(), heard(&mut two).unwrap().unwrap());
    assert_eq!(heard(&mut rig.join(wish(&one.member))), Some(Ok(one.clone())));
    assert_eq!(heard(&mut rig.join(wish(&two.member))), Some(Ok(two)));
}

#[test]
fn a_second_connection_takes_the_place_of_the_first() {
    let mut rig = rig();
    let all = rig.settled(vec![wish(""), wish("")]);
    let _third = rig.join(wish(""));
    let mut before = rig.join(wish(&all[1].member));
    let mut after = rig.join(wish(&all[1].member));
    assert_eq!(heard(&mut before), Some(Err(GroupError::Rebalancing)));
    let _leader = rig.join(wish(&all[0].member));
    assert_eq!(heard(&mut after).unwrap().unwrap().generation, 2);
}

#[test]
fn a_static_member_that_restarts_keeps_its_assignment() {
    let mut rig = rig();
    let all = rig.settled(vec![fixed("one"), fixed("two")]);
    rig.pass(SESSION / 2);
    for old in all.iter().rev() {
        let instance = old.member[..3].to_owned();
        let again = heard(&mut rig.join(fixed(&instance))).unwrap().unwrap();
        assert_eq!((again.generation, rig.state()), (1, State::Stable), "nobody noticed");
        assert_ne!(again.member, old.member);
        let led = old.member == old.leader;
        assert_eq!((again.skip_assignment, again.members.len()), (led, if led { 2 } else { 0 }));
        assert_eq!(led, again.leader == again.member);
        let own = heard(&mut rig.sync(&again, &[])).unwrap().unwrap();
        assert_eq!(own.assignment, old.member.as_bytes(), "what the process before had");
        // The process before, if it still runs, has to stop.
        let former = Identity { instance: Some(instance.as_str().into()), ..id(&old.member, 1) };
        assert_eq!(rig.coordinator.heartbeat("g", &former, rig.now), Err(GroupError::Fenced));
        let join = Join { instance: Some(instance.as_str().into()), ..wish(&old.member) };
        assert_eq!(heard(&mut rig.join(join)), Some(Err(GroupError::Fenced)));
        assert!(matches!(rig.coordinator.commit("g", &former, vec![], rig.now), Err(CommitError::Group(GroupError::Fenced))));
        assert_eq!(rig.heartbeat(&again), Ok(()));
    }
}

#[test]
fn an_older_client_that_led_is_not_told_that_it_leads() {
    let mut rig = rig();
    let all = rig.settled(vec![fixed("one")]);
    let again = heard(&mut rig.join(Join { may_skip: false, ..fixed("one") })).unwrap().unwrap();
    assert_eq!((again.leader, again.skip_assignment), (all[0].member.clone(), false));
}

#[test]
fn two_processes_with_one_instance_id_fence_the_first() {
    let mut rig = rig();
    let mut first = rig.join(fixed("one"));
    let mut second = rig.join(fixed("one"));
    assert_eq!(heard(&mut first), Some(Err(GroupError::Fenced)));
    rig.pass(DELAY * 4);
    assert_eq!(heard(&mut second).unwrap().unwrap().members.len(), 1);
}

#[test]
fn a_static_member_is_waited_for_until_its_session_ends() {
    let mut rig = rig();
    let all = rig.settled(vec![fixed("one"), fixed("two")]);
    let mut third = rig.join(Join { rebalance_ms: 2000, ..wish("") });
    let one = Join { instance: Some(all[0].member[..3].into()), rebalance_ms: 2000, ..wish(&all[0].member) };
    let mut again = rig.join(one);
    rig.pass(SESSION - 200);
    assert!(heard(&mut third).is_none());
    rig.pass(400);
    assert_eq!(heard(&mut third).unwrap().unwrap().generation, 2);
    assert_eq!(heard(&mut again).unwrap().unwrap().members.len(), 2);
    let unknown = Identity { instance: Some(all[1].member[..3].into()), ..id("", -1) };
    assert_eq!(rig.coordinator.leave("g", &[unknown], rig.now), Ok(vec![Err(GroupError::UnknownMember)]));
    let known = Identity { instance: Some(all[0].member[..3].into()), ..id("", -1) };
    assert_eq!(rig.coordinator.leave("g", &[known], rig.now), Ok(vec![Ok(())]), "somebody says so for it");
}

#[test]
fn bounds_hold() {
    let mut rig = rig_with(Config { members: 2, groups: 2, ..Config::default() });
    let all = rig.settled(vec![wish(""), wish("")]);
    assert_eq!(heard(&mut rig.join(wish(""))), Some(Err(GroupError::Full)));
    assert_eq!(heard(&mut rig.join(Join { id_first: true, ..wish("") })), Some(Err(GroupError::Full)));
    let _second = rig.join(Join { group: "h".into(), ..wish("") });
    assert_eq!(heard(&mut rig.join(Join { group: "i".into(), ..wish("") })), Some(Err(GroupError::Full)));
    for (session_ms, error) in [(5999, GroupError::InvalidSession), (1_800_001, GroupError::InvalidSession)] {
        assert_eq!(heard(&mut rig.join(Join { session_ms, ..wish(&all[0].member) })), Some(Err(error)));
    }
    let names = ["", &"x".repeat(256), "_lane", "_out.zabbix"];
    for (name, error) in
        names.iter().zip([GroupError::InvalidGroup, GroupError::InvalidGroup, GroupError::ReadOnly, GroupError::ReadOnly])
    {
        assert_eq!(heard(&mut rig.join(Join { group: (*name).into(), ..wish("") })), Some(Err(error.clone())));
        assert_eq!(rig.coordinator.delete(name).err(), Some(error.clone()));
        assert_eq!(rig.coordinator.heartbeat(name, &id("m", 1), 0), Err(error));
    }
    let large = Protocol { name: "range".into(), metadata: vec![0; 1 << 20].into() };
    assert_eq!(heard(&mut rig.join(Join { protocols: vec![large], ..wish("") })), Some(Err(GroupError::TooLarge)));
    assert_eq!(rig.heartbeat(&all[0]), Ok(()));
}

#[test]
fn bytes_in_all_are_bounded() {
    let memory = crate::base::units::Bytes(100_000);
    let mut rig = rig_with(Config { memory, member_bytes: crate::base::units::Bytes(50_000), ..Config::default() });
    let large = |nth: usize| {
        let protocols = vec![Protocol { name: "range".into(), metadata: vec![0; 20_000].into() }];
        Join { group: format!("g{nth}").into(), protocols, ..wish("") }
    };
    let mut answers: Vec<_> = (0..20).map(|nth| rig.join(large(nth))).collect();
    let refused = answers.iter_mut().filter_map(heard).filter(|heard| *heard == Err(GroupError::Full)).count();
    assert_eq!(refused, 16);
    assert!(rig.coordinator.stats().bytes <= 100_000);
    rig.pass(DELAY);
    let leader = answers.iter_mut().find_map(|answer| answer.try_recv().ok()).unwrap().unwrap();
    let sync = Sync {
        group: "g0".into(),
        who: id(&leader.member, 1),
        protocol_type: None,
        protocol: None,
        assignments: vec![(leader.member.clone(), vec![0; 40_000].into())],
    };
    assert_eq!(heard(&mut rig.coordinator.sync(sync, rig.now)), Some(Err(GroupError::TooLarge)));
    rig.pass(NEWCOMERS_AND_SESSIONS);
    assert_eq!(rig.coordinator.stats().bytes, 0, "all are gone, and so are their bytes");
}

const NEWCOMERS_AND_SESSIONS: u64 = super::super::group::NEWCOMER_MS + REBALANCE + SESSION;

fn refused(rig: &Rig, who: &Identity) -> Option<GroupError> {
    let place = (TopicId::from_bytes([7; 16]), 0);
    match rig.coordinator.commit("g", who, vec![(place, Committed::at(5))], rig.now) {
        Ok(done) => {
            done.blocking_recv().unwrap().unwrap();
            None
        }
        Err(CommitError::Group(error)) => Some(error),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn who_may_commit() {
    let mut rig = rig();
    let nobody = id("", -1);
    assert_eq!(refused(&rig, &id("m", 3)), Some(GroupError::IllegalGeneration), "after a restart, say");
    assert_eq!(refused(&rig, &nobody), None, "a consumer that assigns partitions to itself");
    assert_eq!(rig.state(), State::Empty);
    let all = rig.settled(vec![wish(""), wish("")]);
    let member = |generation| id(&all[0].member, generation);
    for (who, error) in [
        (nobody.clone(), Some(GroupError::UnknownMember)),
        (id("other", 1), Some(GroupError::UnknownMember)),
        (member(0), Some(GroupError::IllegalGeneration)),
        (member(2), Some(GroupError::IllegalGeneration)),
        (member(-1), Some(GroupError::IllegalGeneration)),
        (member(1), None),
    ] {
        assert_eq!(refused(&rig, &who), error, "{who:?}");
    }
    let mut third = rig.join(wish(""));
    assert_eq!(refused(&rig, &member(1)), None, "before it joins again it says how far it came");
    let mut again: Vec<_> = all.iter().map(|one| rig.join(wish(&one.member))).collect();
    assert_eq!(refused(&rig, &member(1)), Some(GroupError::IllegalGeneration));
    assert_eq!(refused(&rig, &member(2)), Some(GroupError::Rebalancing));
    let mut round: Vec<_> = again.iter_mut().map(|answer| heard(answer).unwrap().unwrap()).collect();
    round.push(heard(&mut third).unwrap().unwrap());
    rig.settle(&round);
    assert_eq!(refused(&rig, &member(2)), None);
    assert!(matches!(rig.coordinator.reset("g", vec![]), Err(CommitError::Group(GroupError::NotEmpty))));
    assert_eq!(rig.coordinator.delete("g").err(), Some(GroupError::NotEmpty));
    let who: Vec<_> = round.iter().map(|one| id(&one.member, -1)).collect();
    rig.coordinator.leave("g", &who, rig.now).unwrap();
    assert_eq!(refused(&rig, &nobody), None);
    rig.coordinator.delete("g").unwrap().blocking_recv().unwrap().unwrap();
    assert_eq!(rig.state(), State::Dead);
    assert_eq!(rig.coordinator.delete("g").err(), Some(GroupError::NotFound));
}

#[test]
fn offsets_of_subscribed_topics_are_not_deleted() {
    let mut rig = rig();
    let places = [(TopicId::from_bytes([1; 16]), 0), (TopicId::from_bytes([2; 16]), 0)];
    let first = |_: &GroupView, place: &Place| *place == places[0];
    assert_eq!(rig.coordinator.delete_offsets("g", &places, first).err(), Some(GroupError::NotFound));
    let all = rig.settled(vec![wish("")]);
    let offsets = places.iter().map(|place| (*place, Committed::at(1))).collect();
    let done = rig.coordinator.commit("g", &id(&all[0].member, 1), offsets, rig.now).unwrap();
    done.blocking_recv().unwrap().unwrap();
    let (fates, done) = rig.coordinator.delete_offsets("g", &places, first).unwrap();
    assert_eq!(fates, [Err(GroupError::Subscribed), Ok(())]);
    done.blocking_recv().unwrap().unwrap();
    assert_eq!(rig.coordinator.offsets.look_up("g", &places), [Some(Committed::at(1)), None]);
}

#[test]
fn members_are_shown_when_the_group_is_settled() {
    let mut rig = rig();
    let all = rig.settled(vec![wish("")]);
    let view = rig.coordinator.describe("g");
    assert_eq!((&*view.protocol_type, &*view.protocol, view.generation), ("consumer", "range", 1));
    let [member] = view.members.as_slice() else { panic!() };
    assert_eq!((&*member.client_id, &member.metadata[..]), ("c", &b"topics"[..]));
    assert_eq!(member.assignment, all[0].member.as_bytes());
    let _newcomer = rig.join(wish(""));
    let view = rig.coordinator.describe("g");
    assert_eq!((&*view.protocol, view.members.len()), ("", 2));
    assert!(view.members.iter().all(|member| member.assignment.is_empty()));
    rig.coordinator.offsets.commit("offsets only", TopicId::new(), 0, 1).unwrap();
    let names: Vec<_> = rig.coordinator.list().into_iter().map(|view| (view.group, view.state, view.size)).collect();
    assert_eq!(names, [("g".into(), State::Preparing, 2), ("offsets only".into(), State::Empty, 0)]);
}
