//! How a consumer becomes a member, stays one through a rebalance, and comes back after a restart.

use std::sync::Arc;

use super::group::{Group, NEWCOMER_MS, Round};
use super::member::Member;
use super::types::{GroupError, Identity, Join, Joined, Reply, State};

impl Group {
    /// A wish to be a member. `fresh` is an id that nobody has; `most` is how many members there may be.
    pub(super) fn join(&mut self, join: &Join, fresh: Arc<str>, most: usize, reply: Reply<Joined>, now: u64) {
        match self.try_join(join, fresh, most, reply, now) {
            Ok(()) => self.try_complete(now),
            Err((error, reply)) => {
                let _gone = reply.send(Err(error));
            }
        }
    }

    fn try_join(
        &mut self,
        join: &Join,
        fresh: Arc<str>,
        most: usize,
        reply: Reply<Joined>,
        now: u64,
    ) -> Result<(), (GroupError, Reply<Joined>)> {
        let returning =
            join.instance.as_ref().filter(|_| join.member.is_empty()).and_then(|instance| self.statics.get(instance));
        let own: &str = returning.unwrap_or(&join.member);
        let (agrees, returning) = (self.agrees(&join.protocol_type, &join.protocols, own), returning.cloned());
        let promised = self.pending.contains_key(&join.member);
        // A promise of an id is a place; whoever has neither needs a free one.
        let has_place = promised || returning.is_some() || self.members.contains_key(&join.member);
        if !has_place && join.member.is_empty() && self.members.len() + self.pending.len() >= most {
            return Err((GroupError::Full, reply));
        }
        if !agrees {
            return Err((GroupError::InconsistentProtocol, reply));
        }
        if let Some(former) = returning {
            self.replace_static(&former, fresh, join, reply, now);
        } else if join.member.is_empty() {
            if join.id_first && join.instance.is_none() {
                self.pending.insert(fresh.clone(), now.saturating_add(join.session_ms));
                return Err((GroupError::MemberIdRequired(fresh), reply));
            }
            self.add(fresh, join, reply, now);
        } else if promised {
            self.add(join.member.clone(), join, reply, now);
        } else {
            let who = Identity { member: join.member.clone(), instance: join.instance.clone(), generation: -1 };
            if let Err(error) = self.known(&who) {
                return Err((error, reply));
            }
            self.rejoin(join, reply, now);
        }
        Ok(())
    }

    fn add(&mut self, id: Arc<str>, join: &Join, reply: Reply<Joined>, now: u64) {
        let mut member = Member::new(id, join);
        member.wait_for_generation(reply);
        member.deadline = now.saturating_add(NEWCOMER_MS);
        self.insert(member);
        self.protocol_type.get_or_insert_with(|| join.protocol_type.clone());
        if let Some(Round::First { more, .. }) = &mut self.round {
            *more = true;
        }
        self.rebalance(now);
    }

    /// A member joins that is one already.
    fn rejoin(&mut self, join: &Join, reply: Reply<Joined>, now: u64) {
        let same = self.members.get(&join.member).is_some_and(|member| member.protocols == join.protocols);
        let leads = self.is_leader(&join.member);
        let again = match self.state {
            State::Preparing => true,
            // It may not have got the answer; a changed subscription is something else.
            State::Completing => !same,
            // A leader that joins has seen something (a topic's new partitions) that needs assigning.
            State::Stable => leads || !same,
            State::Empty | State::Dead => {
                let _gone = reply.send(Err(GroupError::UnknownMember));
                return;
            }
        };
        if !again {
            let joined = self.joined(&join.member, leads && self.state == State::Completing);
            if let Some(member) = self.members.get_mut(&join.member) {
                member.touch(now);
            }
            let _gone = reply.send(Ok(joined));
            return;
        }
        self.change(&join.member, join, reply, now);
        self.rebalance(now);
    }

    fn change(&mut self, id: &str, join: &Join, reply: Reply<Joined>, now: u64) {
        let alone = self.members.len() == 1;
        let Some(member) = self.members.get_mut(id) else {
            let _gone = reply.send(Err(GroupError::UnknownMember));
            return;
        };
        let before = member.bytes();
        member.update(join);
        member.wait_for_generation(reply);
        if !member.new {
            member.touch(now);
        }
        self.bytes = (self.bytes + member.bytes()).saturating_sub(before);
        if alone {
            self.protocol_type = Some(join.protocol_type.clone());
        }
    }

    /// A static member's process was started anew: it takes the place of the one before, with a new id, so that the old process
    /// is fenced if it still runs. In a settled group nobody else notices.
    fn replace_static(&mut self, former: &Arc<str>, fresh: Arc<str>, join: &Join, reply: Reply<Joined>, now: u64) {
        let led = self.is_leader(former);
        let unsynced = self.unsynced.contains(former);
        let next_leader = self.leader.clone();
        let Some(old) = self.take(former, &GroupError::Fenced) else {
            let _gone = reply.send(Err(GroupError::UnknownMember));
            return;
        };
        let mut member = Member::new(fresh.clone(), join);
        member.assignment = old.assignment;
        member.new = old.new;
        member.deadline = now.saturating_add(if old.new { NEWCOMER_MS } else { join.session_ms });
        let kind = self.protocol_type.clone();
        self.insert(member);
        self.protocol_type = kind;
        if led {
            self.leader = Some(fresh.clone());
        }
        if self.members.len() == 1 {
            self.protocol_type = Some(join.protocol_type.clone());
        }
        if self.state == State::Stable && self.protocol.is_some() && self.select_protocol() == self.protocol {
            if unsynced {
                self.unsynced.insert(fresh.clone());
            }
            let mut joined = self.joined(&fresh, false);
            if join.may_skip {
                // The leader goes on watching topics, so it has to know that it leads, and whom.
                if led {
                    joined.members = self.joined(&fresh, true).members;
                }
                joined.skip_assignment = led;
            } else {
                // It must not take itself for the leader: what it would assign, nobody would hear of.
                joined.leader = next_leader.unwrap_or_default();
            }
            let _gone = reply.send(Ok(joined));
            return;
        }
        if let Some(member) = self.members.get_mut(&fresh) {
            member.wait_for_generation(reply);
        }
        self.rebalance(now);
    }
}
