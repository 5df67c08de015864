//! The coordinator: consumers that share topics agree, through it, on who reads what.
//!
//! Purpose: Kafka's classic group protocol. Comes in: wishes to join, assignments by leaders, signs of life, commits. Goes out:
//! generations, assignments, errors that make members join again; answers that must wait (for others to join, for the leader to
//! assign) go through a channel, and nobody's thread waits for them. What a group commits is kept by [`Groups`].
//!
//! ```text
//! group.rs   a group's states and rounds      join.rs    becoming a member       types.rs  questions and answers
//! member.rs  one member                       stay.rs    sync, heartbeat, leave, commits
//! subscription.rs  what consumers tell each other, as far as others may look
//! ```
//! Invariants: `group.rs` has those of a group. A commit is checked and put in line under one lock, so that what a member of an
//! older generation says never comes behind what its successor said.
//! Limits: [`Config`]: members of a group, groups, bytes of metadata and assignments in all; what is refused changes nothing.
//! Crash story: members are not kept. After a restart they hear [`GroupError::UnknownMember`] and join again; committed offsets
//! are durable, so they go on where they were.
//! Absent: clocks and threads. Whoever serves consumers calls [`Coordinator::tick`] while groups live ([`Coordinator::awake`]).
//!
//! Why one lock for all groups: each call is a few map look-ups, a round of the largest group some hundred microseconds, once;
//! and the bounds over all groups are then exact.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::error::QueueError;
use super::groups::{self, Committed, Done, Groups, Place};

mod config;
mod group;
mod join;
mod member;
mod stay;
mod subscription;
mod types;

pub use config::Config;
use group::Group;
pub use subscription::{assigned_partitions, subscribed_topics};
pub use types::{
    Answer, GroupError, GroupView, Identity, Join, Joined, MemberView, Protocol, State, Subscription, Sync, Synced,
};

/// How long an empty group is remembered, for those who look: beside its offsets nothing is in it.
const EMPTY_KEPT_MS: u64 = 10 * 60 * 1000;
/// Longest instance id; Kafka's clients have the same bound.
const INSTANCE_BYTES: usize = 249;
/// Of what a client calls itself so much is kept.
const CLIENT_BYTES: usize = 128;

/// The groups that have members, or had a moment ago.
#[derive(Debug)]
pub struct Coordinator {
    offsets: Arc<Groups>,
    config: Config,
    known: Mutex<Known>,
    /// Told when there is something to tick for.
    wake: Notify,
}

#[derive(Debug, Default)]
struct Known {
    groups: BTreeMap<Arc<str>, Group>,
    /// Bytes of all members.
    bytes: usize,
    members: usize,
    rebalances: u64,
    /// Before this time no tick has anything to do.
    next: Option<u64>,
}

/// Numbers of all groups, for `/metrics`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CoordinatorStats {
    /// Groups with members.
    pub live: usize,
    /// Members of all.
    pub members: usize,
    /// Rounds of joining begun.
    pub rebalances: u64,
    /// Bytes of what members said and were assigned.
    pub bytes: usize,
}

/// Why a commit was not even tried.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CommitError {
    /// The group says no.
    #[error(transparent)]
    Group(#[from] GroupError),
    /// The queue says no.
    #[error(transparent)]
    Queue(#[from] QueueError),
}

impl Coordinator {
    pub(super) fn new(offsets: Arc<Groups>, config: Config) -> Self {
        Self { offsets, config, known: Mutex::default(), wake: Notify::new() }
    }

    /// What may be.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Asks to be a member. The answer comes when the generation begins, or at once when it does not.
    pub fn join(&self, join: Join, now: u64) -> Answer<Joined> {
        let (reply, answer) = oneshot::channel();
        let bytes = join.group.len() + 2 * CLIENT_BYTES + member::weight(&join.protocols);
        let fits = |known: &Known| {
            let least = self.config.session_min.0.as_millis();
            let longest = self.config.session_max.0.as_millis();
            changeable(&join.group)?;
            if !(least..=longest).contains(&u128::from(join.session_ms)) {
                return Err(GroupError::InvalidSession);
            }
            if bytes > self.config.member_bytes.as_usize() || join.instance.as_ref().is_some_and(|id| id.len() > INSTANCE_BYTES)
            {
                return Err(GroupError::TooLarge);
            }
            if known.bytes + bytes > self.config.memory.as_usize() {
                return Err(GroupError::Full);
            }
            Ok(())
        };
        let mut known = self.known.lock();
        let refused = fits(&known).and_then(|()| match known.groups.contains_key(&join.group) {
            true => Ok(()),
            false if !join.member.is_empty() => Err(GroupError::UnknownMember),
            false => known.room_for_group(self.config.groups),
        });
        if let Err(error) = refused {
            let _mine = reply.send(Err(error));
            return answer;
        }
        let delay = u64::try_from(self.config.initial_delay.0.as_millis()).unwrap_or(0);
        let (name, most) = (join.group.clone(), self.config.members);
        let join = trimmed(join, u64::try_from(self.config.rebalance_max.0.as_millis()).unwrap_or(u64::MAX));
        let fresh = fresh_id(&join);
        known.groups.entry(name.clone()).or_insert_with(|| Group::new(name.clone(), delay, now));
        known.with(&name, now, |group| group.join(&join, fresh, most, reply, now));
        drop(known);
        self.wake.notify_one();
        answer
    }

    /// Asks for an assignment; of the leader, brings them. The answer comes when the leader has assigned.
    pub fn sync(&self, sync: Sync, now: u64) -> Answer<Synced> {
        let (reply, answer) = oneshot::channel();
        let mut known = self.known.lock();
        let room = self.config.memory.as_usize().saturating_sub(known.bytes);
        // A slice of the request would keep all of it.
        let assignments =
            sync.assignments.iter().map(|(id, assignment)| (id.clone(), Bytes::copy_from_slice(assignment))).collect();
        let name = sync.group.clone();
        let sync = Sync { assignments, ..sync };
        match changeable(&name).and_then(|()| known.groups.contains_key(&name).then_some(()).ok_or(GroupError::UnknownMember)) {
            Ok(()) => {
                known.with(&name, now, |group| group.sync(&sync, room, reply, now));
            }
            Err(error) => {
                let _mine = reply.send(Err(error));
            }
        }
        answer
    }

    /// A member lives.
    ///
    /// # Errors
    /// What it has to do now.
    pub fn heartbeat(&self, group: &str, who: &Identity, now: u64) -> Result<(), GroupError> {
        changeable(group)?;
        self.known.lock().with(group, now, |group| group.heartbeat(who, now)).unwrap_or(Err(GroupError::UnknownMember))
    }

    /// Members leave, each by its id, or by its instance id alone.
    ///
    /// # Errors
    /// If there is no such group; each member's own fate is in the list.
    pub fn leave(&self, group: &str, members: &[Identity], now: u64) -> Result<Vec<Result<(), GroupError>>, GroupError> {
        changeable(group)?;
        let mut known = self.known.lock();
        let left = known.with(group, now, |group| members.iter().map(|who| group.leave(who, now)).collect());
        left.ok_or(GroupError::UnknownMember)
    }

    /// Commits offsets for whoever that is, if its group lets it. The receiver tells when they are durable.
    ///
    /// # Errors
    /// If they were not even tried to be written.
    pub fn commit(&self, group: &str, who: &Identity, offsets: Vec<(Place, Committed)>, now: u64) -> Result<Done, CommitError> {
        changeable(group)?;
        let mut known = self.known.lock();
        match known.with(group, now, |group| group.may_commit(who, now)) {
            Some(may) => may?,
            // Who assigns partitions to itself needs no group.
            None if who.generation < 0 => {}
            None => return Err(GroupError::IllegalGeneration.into()),
        }
        Ok(self.offsets.submit(group, offsets)?)
    }

    /// Sets offsets of a group without members.
    ///
    /// # Errors
    /// [`GroupError::NotEmpty`] while it lives.
    pub fn reset(&self, group: &str, offsets: Vec<(Place, Committed)>) -> Result<Done, CommitError> {
        changeable(group)?;
        let known = self.known.lock();
        known.not_live(group)?;
        Ok(self.offsets.submit(group, offsets)?)
    }

    /// Forgets a group without members.
    ///
    /// # Errors
    /// [`GroupError::NotEmpty`] while it lives, [`GroupError::NotFound`].
    pub fn delete(&self, group: &str) -> Result<Done, GroupError> {
        changeable(group)?;
        let mut known = self.known.lock();
        known.not_live(group)?;
        if known.groups.remove(group).is_none() && !self.offsets.has(group) {
            return Err(GroupError::NotFound);
        }
        Ok(self.offsets.forget(group, None))
    }

    /// Forgets offsets of a group, unless members have `subscribed` to their topic.
    ///
    /// # Errors
    /// [`GroupError::NotEmpty`] if it has members that are no consumers, [`GroupError::NotFound`]. Of each place it tells
    /// whether it may go.
    pub fn delete_offsets(
        &self,
        group: &str,
        places: &[Place],
        subscribed: impl Fn(&GroupView, &Place) -> bool,
    ) -> Result<(Vec<Result<(), GroupError>>, Done), GroupError> {
        changeable(group)?;
        let known = self.known.lock();
        let view = known.groups.get(group).filter(|group| group.live()).map(|group| group.view(true));
        if view.is_none() && !known.groups.contains_key(group) && !self.offsets.has(group) {
            return Err(GroupError::NotFound);
        }
        if view.as_ref().is_some_and(|view| &*view.protocol_type != "consumer") {
            return Err(GroupError::NotEmpty);
        }
        let fate = |place: &Place| match &view {
            Some(view) if subscribed(view, place) => Err(GroupError::Subscribed),
            _ => Ok(()),
        };
        let fates: Vec<_> = places.iter().map(fate).collect();
        let gone: Vec<Place> = places.iter().zip(&fates).filter(|(_, fate)| fate.is_ok()).map(|(place, _)| *place).collect();
        let done = self.offsets.forget(group, Some(&gone));
        Ok((fates, done))
    }

    /// All groups, those too that have only offsets; without their members.
    pub fn list(&self) -> Vec<GroupView> {
        let known = self.known.lock();
        let mut all: BTreeMap<Arc<str>, GroupView> =
            known.groups.iter().map(|(name, group)| (name.clone(), group.view(false))).collect();
        drop(known);
        for name in self.offsets.names() {
            all.entry(name.clone()).or_insert_with(|| without_members(name, State::Empty));
        }
        all.into_values().collect()
    }

    /// One group; [`State::Dead`] if there is none.
    pub fn describe(&self, group: &str) -> GroupView {
        if let Some(group) = self.known.lock().groups.get(group) {
            return group.view(true);
        }
        without_members(group.into(), if self.offsets.has(group) { State::Empty } else { State::Dead })
    }

    /// Whether a group has members, or is about to.
    pub fn is_live(&self, group: &str) -> bool {
        self.known.lock().groups.get(group).is_some_and(Group::live)
    }

    /// Lets time pass. `wall_ms` is what time it is for people, milliseconds since 1970. To be called about ten times a second
    /// while it says true, or [`Coordinator::awake`] comes back at once.
    pub fn tick(&self, now: u64, wall_ms: i64) -> bool {
        let mut known = self.known.lock();
        if known.next.is_none_or(|next| next > now) {
            return known.members > 0 || known.next.is_some();
        }
        let due: Vec<Arc<str>> = known
            .groups
            .values()
            .filter(|group| group.wake().is_some_and(|wake| wake <= now) || !group.live())
            .map(|group| group.name.clone())
            .collect();
        for name in due {
            known.with(&name, now, |group| group.tick(now));
        }
        known.groups.retain(|_, group| group.live() || group.since.saturating_add(EMPTY_KEPT_MS) > now);
        for group in known.groups.values_mut().filter(|group| !group.live() && group.generation > 0 && !group.told_empty) {
            group.told_empty = true;
            self.offsets.emptied(&group.name, wall_ms);
        }
        known.next = known.groups.values().filter_map(Group::wake).min();
        let empty = known.groups.values().map(|group| group.since.saturating_add(EMPTY_KEPT_MS));
        known.next = known.next.or(empty.min());
        known.next.is_some()
    }

    /// Waits until there is something to tick for.
    pub async fn awake(&self) {
        if self.known.lock().groups.is_empty() {
            self.wake.notified().await;
        }
    }

    /// Numbers of all groups.
    pub fn stats(&self) -> CoordinatorStats {
        let known = self.known.lock();
        CoordinatorStats {
            live: known.groups.values().filter(|group| group.live()).count(),
            members: known.members,
            rebalances: known.rebalances,
            bytes: known.bytes,
        }
    }
}

impl Known {
    /// Does something with a group, and keeps the sums.
    fn with<T>(&mut self, name: &str, now: u64, work: impl FnOnce(&mut Group) -> T) -> Option<T> {
        let group = self.groups.get_mut(name)?;
        let before = (group.bytes, group.members.len(), group.rebalances, group.live());
        let done = work(group);
        self.bytes = (self.bytes + group.bytes).saturating_sub(before.0);
        self.members = (self.members + group.members.len()).saturating_sub(before.1);
        self.rebalances += group.rebalances - before.2;
        if group.live() {
            group.told_empty = false;
        }
        // An empty group is looked at once more, to note since when it is.
        let wake = group.wake().or((before.3 && !group.live()).then_some(now));
        self.next = self.next.into_iter().chain(wake).min();
        if !group.live() && group.generation == 0 {
            // Nobody ever was a member: nothing to remember.
            self.groups.remove(name);
        }
        Some(done)
    }

    /// Room for one group more; those that have no members yield.
    fn room_for_group(&mut self, most: usize) -> Result<(), GroupError> {
        if self.groups.len() >= most {
            self.groups.retain(|_, group| group.live());
        }
        if self.groups.len() >= most { Err(GroupError::Full) } else { Ok(()) }
    }

    fn not_live(&self, group: &str) -> Result<(), GroupError> {
        if self.groups.get(group).is_some_and(Group::live) { Err(GroupError::NotEmpty) } else { Ok(()) }
    }
}

fn changeable(group: &str) -> Result<(), GroupError> {
    if group.is_empty() || group.len() > groups::NAME_BYTES {
        return Err(GroupError::InvalidGroup);
    }
    if groups::is_own(group) { Err(GroupError::ReadOnly) } else { Ok(()) }
}

fn without_members(group: Arc<str>, state: State) -> GroupView {
    let nothing: Arc<str> = Arc::from("");
    GroupView { group, state, generation: 0, protocol_type: nothing.clone(), protocol: nothing, members: Vec::new(), size: 0 }
}

/// Without what would keep the request's bytes, or more of a name than is of use.
fn trimmed(join: Join, rebalance_max_ms: u64) -> Join {
    let protocols = join
        .protocols
        .iter()
        .map(|protocol| Protocol { name: protocol.name.clone(), metadata: Bytes::copy_from_slice(&protocol.metadata) })
        .collect();
    let rebalance_ms = join.rebalance_ms.clamp(1, rebalance_max_ms);
    Join { protocols, rebalance_ms, client_id: cut(&join.client_id), host: cut(&join.host), ..join }
}

fn cut(text: &Arc<str>) -> Arc<str> {
    if text.len() <= CLIENT_BYTES { text.clone() } else { text[..text.floor_char_boundary(CLIENT_BYTES)].into() }
}

/// An id that nobody has, which tells a person whose it is.
fn fresh_id(join: &Join) -> Arc<str> {
    let whose = join.instance.as_ref().unwrap_or(&join.client_id);
    format!("{whose}-{}", uuid::Uuid::new_v4()).into()
}

#[cfg(test)]
mod tests;
