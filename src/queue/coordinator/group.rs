//! One group: its members and the generations they go through.
//!
//! ```text
//!            a member joins                    all have joined, or the time is up
//!   Empty ─────────────────────► Preparing ─────────────────────────────────────► Completing
//!     ▲                           ▲  ▲   │ nobody is left                             │ the leader has assigned
//!     └───────────────────────────┼──┼───┘                                            ▼
//!                                 │  └── a member comes, goes or changes ────────── Stable
//!                                 └───── the same, or one does not ask for its assignment in time
//! ```
//! A generation is one round through it. Members are asked to join by the error that their heartbeats get; whoever has joined
//! waits (its answer is parked in [`Member`]) until the round ends. Nothing here knows a clock, a lock or a thread: time is an
//! argument, so the same calls give the same answers.
//!
//! Invariants: a member waits for at most one join and one sync, and gets an answer whatever becomes of it; in a generation
//! each member has at most one assignment, all from one leader; every wait ends at a deadline that [`Group::wake`] tells.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;

use super::member::Member;
use super::types::{GroupError, GroupView, Identity, Joined, Protocol, State, Subscription, Synced};

/// How long a newcomer may wait for its first generation.
pub(super) const NEWCOMER_MS: u64 = 5 * 60 * 1000;

/// When a round of joining ends, if not everybody has come before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Round {
    /// The first of an empty group: it waits a moment in any case, so that consumers that start together share a generation,
    /// and goes on waiting while more come.
    First { until: u64, left: u64, more: bool },
    /// Any other.
    Until(u64),
}

/// A group.
#[derive(Debug)]
pub(super) struct Group {
    pub name: Arc<str>,
    pub state: State,
    /// Since when.
    pub since: u64,
    pub generation: i32,
    pub protocol_type: Option<Arc<str>>,
    pub protocol: Option<Arc<str>>,
    pub leader: Option<Arc<str>>,
    pub members: BTreeMap<Arc<str>, Member>,
    /// Static members: instance id → member id.
    pub statics: BTreeMap<Arc<str>, Arc<str>>,
    /// Ids that were given to newcomers who have not come back with them yet, and until when they may.
    pub pending: BTreeMap<Arc<str>, u64>,
    /// While preparing.
    pub round: Option<Round>,
    /// Members of this generation that have not asked for their assignment, and until when they may.
    pub unsynced: BTreeSet<Arc<str>>,
    pub sync_by: Option<u64>,
    /// How long the first round waits.
    pub delay_ms: u64,
    /// Bytes of all members.
    pub bytes: usize,
    /// Rounds begun.
    pub rebalances: u64,
    /// That it is empty was noted with its offsets.
    pub told_empty: bool,
}

impl Group {
    pub(super) fn new(name: Arc<str>, delay_ms: u64, now: u64) -> Self {
        Self {
            name,
            state: State::Empty,
            since: now,
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            statics: BTreeMap::new(),
            pending: BTreeMap::new(),
            round: None,
            unsynced: BTreeSet::new(),
            sync_by: None,
            delay_ms,
            bytes: 0,
            rebalances: 0,
            told_empty: false,
        }
    }

    pub(super) fn go(&mut self, state: State, now: u64) {
        if self.state != state {
            self.state = state;
            self.since = now;
        }
    }

    /// Whether somebody is, or is about to be, a member.
    pub(super) fn live(&self) -> bool {
        !self.members.is_empty() || !self.pending.is_empty()
    }

    pub(super) fn is_leader(&self, member: &str) -> bool {
        self.leader.as_deref() == Some(member)
    }

    /// Whether a member with these protocols can work with those that are there (but for `except`).
    pub(super) fn agrees(&self, protocol_type: &str, protocols: &[Protocol], except: &str) -> bool {
        if protocol_type.is_empty() || protocols.is_empty() {
            return false;
        }
        let mut others = self.members.values().filter(|member| &*member.id != except).peekable();
        if others.peek().is_none() {
            return true;
        }
        let others: Vec<&Member> = others.collect();
        self.protocol_type.as_deref() == Some(protocol_type)
            && protocols.iter().any(|protocol| others.iter().all(|member| member.knows(&protocol.name)))
    }

    /// What all know and most like best.
    pub(super) fn select_protocol(&self) -> Option<Arc<str>> {
        let common = |name: &str| self.members.values().all(|member| member.knows(name));
        let first = self.members.values().next()?;
        // In the first member's order, which decides when there are as many votes for two.
        let mut votes: Vec<(&Arc<str>, usize)> =
            first.protocols.iter().filter(|protocol| common(&protocol.name)).map(|protocol| (&protocol.name, 0)).collect();
        for member in self.members.values() {
            let best = member.protocols.iter().find(|protocol| votes.iter().any(|(name, _)| **name == protocol.name));
            if let Some((_, count)) = best.and_then(|best| votes.iter_mut().find(|(name, _)| **name == best.name)) {
                *count += 1;
            }
        }
        let most = votes.iter().map(|(_, count)| *count).max()?;
        votes.into_iter().find(|(_, count)| *count == most).map(|(name, _)| name.clone())
    }

    /// The longest that a member lets a rebalance wait for it.
    pub(super) fn rebalance_ms(&self) -> u64 {
        self.members.values().map(|member| member.rebalance_ms).max().unwrap_or(0)
    }

    /// Whether that is a member, and the one it says it is.
    pub(super) fn known(&self, who: &Identity) -> Result<(), GroupError> {
        if let Some(instance) = &who.instance {
            match self.statics.get(instance) {
                None => return Err(GroupError::UnknownMember),
                Some(id) if *id != who.member => return Err(GroupError::Fenced),
                Some(_) => {}
            }
        }
        if self.members.contains_key(&who.member) { Ok(()) } else { Err(GroupError::UnknownMember) }
    }

    /// The same, and of this generation.
    pub(super) fn current(&self, who: &Identity) -> Result<(), GroupError> {
        self.known(who)?;
        if who.generation == self.generation { Ok(()) } else { Err(GroupError::IllegalGeneration) }
    }

    pub(super) fn insert(&mut self, member: Member) {
        self.pending.remove(&member.id);
        if self.members.is_empty() {
            // The last ones left, and with them what kind of group it was.
            self.protocol_type = None;
        }
        self.leader.get_or_insert_with(|| member.id.clone());
        if let Some(instance) = &member.instance {
            self.statics.insert(instance.clone(), member.id.clone());
        }
        self.bytes += member.bytes();
        self.members.insert(member.id.clone(), member);
    }

    /// Takes a member out, and answers what it waits for.
    pub(super) fn take(&mut self, id: &str, why: &GroupError) -> Option<Member> {
        let mut member = self.members.remove(id)?;
        self.bytes = self.bytes.saturating_sub(member.bytes());
        member.dismiss(why);
        self.unsynced.remove(id);
        if let Some(instance) = &member.instance
            && self.statics.get(instance).is_some_and(|holder| **holder == *id)
        {
            self.statics.remove(instance);
        }
        if self.is_leader(id) {
            self.leader = self.members.keys().next().cloned();
        }
        Some(member)
    }

    /// A member is gone: whatever the group was doing goes on without it.
    pub(super) fn lose(&mut self, id: &str, now: u64) {
        if self.take(id, &GroupError::UnknownMember).is_none() {
            return;
        }
        match self.state {
            State::Stable | State::Completing => self.rebalance(now),
            State::Preparing => self.try_complete(now),
            State::Empty | State::Dead => {}
        }
    }

    /// Begins a round, unless one is under way.
    pub(super) fn rebalance(&mut self, now: u64) {
        if self.state == State::Preparing {
            return;
        }
        if self.state == State::Completing {
            for member in self.members.values_mut() {
                self.bytes = self.bytes.saturating_sub(member.assignment.len());
                member.assignment = Bytes::new();
                if member.syncing.is_some() {
                    member.touch(now);
                    member.answer_sync(Err(GroupError::Rebalancing));
                }
            }
        }
        self.unsynced.clear();
        self.sync_by = None;
        let longest = self.rebalance_ms();
        self.round = Some(if self.state == State::Empty {
            let delay = self.delay_ms.min(longest);
            Round::First { until: now.saturating_add(delay), left: longest - delay, more: false }
        } else {
            Round::Until(now.saturating_add(longest))
        });
        self.rebalances += 1;
        self.go(State::Preparing, now);
        self.try_complete(now);
    }

    /// Ends the round if everybody has come.
    pub(super) fn try_complete(&mut self, now: u64) {
        let Some(round) = self.round.filter(|_| self.state == State::Preparing) else { return };
        let waits = match round {
            // Nobody is left to wait for.
            Round::First { until, .. } => until > now && self.live(),
            Round::Until(_) => false,
        };
        if !waits && self.pending.is_empty() && self.members.values().all(|member| member.joining.is_some()) {
            self.complete(now);
        }
    }

    /// The round's time is up, or everybody has come.
    pub(super) fn complete(&mut self, now: u64) {
        // Static members may be away for their session timeout; all others had their chance.
        let late: Vec<Arc<str>> = self
            .members
            .values()
            .filter(|member| member.joining.is_none() && member.instance.is_none())
            .map(|member| member.id.clone())
            .collect();
        for id in late {
            self.take(&id, &GroupError::UnknownMember);
        }
        if self.members.is_empty() {
            self.generation = self.generation.wrapping_add(1).max(0);
            (self.protocol, self.leader, self.round) = (None, None, None);
            return self.go(State::Empty, now);
        }
        let leads = |group: &Self| {
            let leader = group.leader.as_ref().and_then(|leader| group.members.get(leader));
            leader.is_some_and(|leader| leader.joining.is_some())
        };
        if !leads(self) {
            let Some(next) = self.members.values().find(|member| member.joining.is_some()) else {
                // Only static members that are away: until one comes back or their session ends.
                self.round = Some(Round::Until(now.saturating_add(self.rebalance_ms().max(1))));
                return;
            };
            self.leader = Some(next.id.clone());
        }
        self.round = None;
        // A client takes a generation below 0 for none.
        self.generation = self.generation.checked_add(1).unwrap_or(1);
        self.protocol = self.select_protocol();
        self.go(State::Completing, now);
        self.unsynced = self.members.keys().cloned().collect();
        self.sync_by = Some(now.saturating_add(self.rebalance_ms().max(1)));
        let ids: Vec<Arc<str>> = self.members.keys().cloned().collect();
        for id in ids {
            let joined = self.joined(&id, self.is_leader(&id));
            if let Some(member) = self.members.get_mut(&id) {
                member.new = false;
                member.touch(now);
                member.answer_join(Ok(joined));
            }
        }
    }

    /// What a member hears about this generation.
    pub(super) fn joined(&self, member: &Arc<str>, leads: bool) -> Joined {
        Joined {
            member: member.clone(),
            generation: self.generation,
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            protocol: self.protocol.clone().unwrap_or_default(),
            leader: self.leader.clone().unwrap_or_default(),
            members: if leads { self.subscriptions() } else { Vec::new() },
            skip_assignment: false,
        }
    }

    fn subscriptions(&self) -> Vec<Subscription> {
        self.members.values().map(|member| member.subscription(self.protocol.as_deref())).collect()
    }

    pub(super) fn synced(&self, assignment: Bytes) -> Synced {
        Synced {
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            protocol: self.protocol.clone().unwrap_or_default(),
            assignment,
        }
    }

    /// Lets time pass: members that fell silent are gone, rounds whose time is up end.
    pub(super) fn tick(&mut self, now: u64) {
        let pending = self.pending.len();
        self.pending.retain(|_, until| *until > now);
        let silent: Vec<Arc<str>> =
            self.members.values().filter(|member| member.expired(now)).map(|member| member.id.clone()).collect();
        for id in &silent {
            self.lose(id, now);
        }
        match self.round {
            Some(Round::First { until, left, more }) if until <= now => {
                if more && left > 0 && !self.members.is_empty() {
                    let delay = self.delay_ms.clamp(1, left);
                    self.round = Some(Round::First { until: now.saturating_add(delay), left: left - delay, more: false });
                } else {
                    self.complete(now);
                }
            }
            Some(Round::Until(until)) if until <= now => self.complete(now),
            _ if pending != self.pending.len() => self.try_complete(now),
            _ => {}
        }
        if self.sync_by.is_some_and(|by| by <= now) {
            self.sync_by = None;
            let late = std::mem::take(&mut self.unsynced);
            for id in &late {
                self.take(id, &GroupError::UnknownMember);
            }
            if !late.is_empty() && matches!(self.state, State::Completing | State::Stable) {
                self.rebalance(now);
            }
        }
    }

    /// When [`Group::tick`] next has something to do, at the earliest.
    pub(super) fn wake(&self) -> Option<u64> {
        let members =
            self.members.values().filter(|member| member.new || (member.joining.is_none() && member.syncing.is_none()));
        let round = self.round.map(|round| match round {
            Round::First { until, .. } | Round::Until(until) => until,
        });
        let pending = self.pending.values().copied();
        members.map(|member| member.deadline).chain(pending).chain(round).chain(self.sync_by).min()
    }

    pub(super) fn view(&self, members: bool) -> GroupView {
        // As Kafka: what a member said and got is told of a settled group only.
        let settled = (self.state == State::Stable).then_some(self.protocol.as_deref()).flatten();
        let show = |member: &Member| {
            let mut view = member.view(settled);
            if settled.is_none() {
                view.assignment = Bytes::new();
            }
            view
        };
        GroupView {
            group: self.name.clone(),
            state: self.state,
            generation: self.generation,
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            protocol: settled.map(Arc::from).unwrap_or_default(),
            members: if members { self.members.values().map(show).collect() } else { Vec::new() },
            size: self.members.len(),
        }
    }
}
