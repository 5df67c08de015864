//! What a member does between joining and leaving: asks for its assignment, says that it lives, commits, leaves.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::group::Group;
use super::types::{GroupError, Identity, Reply, State, Sync, Synced};

impl Group {
    /// A wish for one's assignment; the leader brings everybody's. `room` is how many bytes of them may be kept.
    pub(super) fn sync(&mut self, sync: &Sync, room: usize, reply: Reply<Synced>, now: u64) {
        let refused = self.may_sync(sync, room);
        let id = &sync.who.member;
        let leads = self.is_leader(id);
        let Some(member) = self.members.get_mut(id) else {
            let _gone = reply.send(Err(refused.err().unwrap_or(GroupError::UnknownMember)));
            return;
        };
        if let Err(error) = refused {
            let _gone = reply.send(Err(error));
            return;
        }
        member.touch(now);
        if self.state == State::Stable {
            let assignment = member.assignment.clone();
            self.has_synced(id);
            let _gone = reply.send(Ok(self.synced(assignment)));
            return;
        }
        member.wait_for_assignment(reply);
        self.has_synced(id);
        if leads {
            self.assign(&sync.assignments, now);
        }
    }

    fn may_sync(&self, sync: &Sync, room: usize) -> Result<(), GroupError> {
        self.current(&sync.who)?;
        let differs = |said: &Option<Arc<str>>, is: &Option<Arc<str>>| said.is_some() && said != is;
        if differs(&sync.protocol_type, &self.protocol_type) || differs(&sync.protocol, &self.protocol) {
            return Err(GroupError::InconsistentProtocol);
        }
        match self.state {
            State::Empty | State::Dead => Err(GroupError::UnknownMember),
            State::Preparing => Err(GroupError::Rebalancing),
            State::Completing if self.is_leader(&sync.who.member) => {
                let bytes: usize = sync.assignments.iter().map(|(_, assignment)| assignment.len()).sum();
                if bytes > room { Err(GroupError::TooLarge) } else { Ok(()) }
            }
            State::Completing | State::Stable => Ok(()),
        }
    }

    fn has_synced(&mut self, id: &str) {
        self.unsynced.remove(id);
        if self.unsynced.is_empty() {
            self.sync_by = None;
        }
    }

    /// The leader has assigned: everybody who waits hears, who comes later is told at once.
    fn assign(&mut self, assignments: &[(Arc<str>, Bytes)], now: u64) {
        let by_member: HashMap<&str, &Bytes> = assignments.iter().map(|(id, assignment)| (&**id, assignment)).collect();
        self.go(State::Stable, now);
        let (kind, protocol) = (self.protocol_type.clone().unwrap_or_default(), self.protocol.clone().unwrap_or_default());
        for member in self.members.values_mut() {
            let before = member.assignment.len();
            member.assignment = by_member.get(&*member.id).map(|assignment| (*assignment).clone()).unwrap_or_default();
            self.bytes = (self.bytes + member.assignment.len()).saturating_sub(before);
            if member.syncing.is_some() {
                member.touch(now);
                let assignment = member.assignment.clone();
                member.answer_sync(Ok(Synced { protocol_type: kind.clone(), protocol: protocol.clone(), assignment }));
            }
        }
    }

    /// A member lives.
    pub(super) fn heartbeat(&mut self, who: &Identity, now: u64) -> Result<(), GroupError> {
        self.current(who)?;
        let member = self.members.get_mut(&who.member).ok_or(GroupError::UnknownMember)?;
        if !member.new {
            member.touch(now);
        }
        if self.state == State::Preparing { Err(GroupError::Rebalancing) } else { Ok(()) }
    }

    /// A member leaves by itself, or, by its instance id alone, because somebody says so.
    pub(super) fn leave(&mut self, who: &Identity, now: u64) -> Result<(), GroupError> {
        if self.pending.remove(&who.member).is_some() {
            self.try_complete(now);
            return Ok(());
        }
        let id = match &who.instance {
            Some(instance) if who.member.is_empty() => self.statics.get(instance).cloned().ok_or(GroupError::UnknownMember)?,
            _ => {
                self.known(who)?;
                who.member.clone()
            }
        };
        self.lose(&id, now);
        Ok(())
    }

    /// Whether offsets may be committed by whoever that is. A member's commit says that it lives.
    pub(super) fn may_commit(&mut self, who: &Identity, now: u64) -> Result<(), GroupError> {
        if who.generation < 0 && self.state == State::Empty {
            // A consumer that assigns partitions to itself, or a tool.
            return Ok(());
        }
        if who.generation < 0 && who.member.is_empty() && who.instance.is_none() {
            return Err(GroupError::UnknownMember);
        }
        self.current(who)?;
        if self.state == State::Completing {
            // It may have lost the partition by now; it will know when it has its assignment.
            return Err(GroupError::Rebalancing);
        }
        if let Some(member) = self.members.get_mut(&who.member) {
            member.touch(now);
        }
        Ok(())
    }
}
