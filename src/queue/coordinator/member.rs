//! One member of a group.

use std::sync::Arc;

use bytes::Bytes;

use super::types::{GroupError, Join, Joined, MemberView, Protocol, Reply, Subscription, Synced};

/// What a member costs beside its strings, roughly.
const OVERHEAD: usize = 512;

/// A member, and the answers that it waits for.
#[derive(Debug)]
pub(super) struct Member {
    pub id: Arc<str>,
    pub instance: Option<Arc<str>>,
    pub client_id: Arc<str>,
    pub host: Arc<str>,
    pub session_ms: u64,
    pub rebalance_ms: u64,
    pub protocols: Vec<Protocol>,
    pub assignment: Bytes,
    /// It has not been in a generation yet.
    pub new: bool,
    /// When it is gone if nothing is heard of it.
    pub deadline: u64,
    pub joining: Option<Reply<Joined>>,
    pub syncing: Option<Reply<Synced>>,
}

impl Member {
    pub(super) fn new(id: Arc<str>, join: &Join) -> Self {
        Self {
            id,
            instance: join.instance.clone(),
            client_id: join.client_id.clone(),
            host: join.host.clone(),
            session_ms: join.session_ms,
            rebalance_ms: join.rebalance_ms,
            protocols: join.protocols.clone(),
            assignment: Bytes::new(),
            new: true,
            deadline: 0,
            joining: None,
            syncing: None,
        }
    }

    /// Takes over what it says now.
    pub(super) fn update(&mut self, join: &Join) {
        self.session_ms = join.session_ms;
        self.rebalance_ms = join.rebalance_ms;
        self.protocols.clone_from(&join.protocols);
        self.client_id = join.client_id.clone();
        self.host = join.host.clone();
    }

    /// Waits for the next generation. Who waited before in its name (a connection that broke) hears to try again.
    pub(super) fn wait_for_generation(&mut self, reply: Reply<Joined>) {
        if let Some(former) = self.joining.replace(reply) {
            // Who went away does not want to know; so everywhere here.
            let _gone = former.send(Err(GroupError::Rebalancing));
        }
    }

    pub(super) fn wait_for_assignment(&mut self, reply: Reply<Synced>) {
        if let Some(former) = self.syncing.replace(reply) {
            let _gone = former.send(Err(GroupError::Rebalancing));
        }
    }

    pub(super) fn answer_join(&mut self, answer: Result<Joined, GroupError>) {
        if let Some(reply) = self.joining.take() {
            let _gone = reply.send(answer);
        }
    }

    pub(super) fn answer_sync(&mut self, answer: Result<Synced, GroupError>) {
        if let Some(reply) = self.syncing.take() {
            let _gone = reply.send(answer);
        }
    }

    /// Ends whatever it waits for.
    pub(super) fn dismiss(&mut self, why: &GroupError) {
        self.answer_join(Err(why.clone()));
        self.answer_sync(Err(why.clone()));
    }

    /// Heard of.
    pub(super) fn touch(&mut self, now: u64) {
        self.deadline = now.saturating_add(self.session_ms);
    }

    /// Whether its time is up. A member that waits for an answer of ours cannot speak, so it lives; but a newcomer of whom
    /// nothing but one request was ever heard must not keep a group waiting for ever.
    pub(super) fn expired(&self, now: u64) -> bool {
        self.deadline <= now && (self.new || (self.joining.is_none() && self.syncing.is_none()))
    }

    pub(super) fn knows(&self, protocol: &str) -> bool {
        self.protocols.iter().any(|known| &*known.name == protocol)
    }

    pub(super) fn metadata(&self, protocol: Option<&str>) -> Bytes {
        let said = self.protocols.iter().find(|known| Some(&*known.name) == protocol);
        said.map(|known| known.metadata.clone()).unwrap_or_default()
    }

    pub(super) fn subscription(&self, protocol: Option<&str>) -> Subscription {
        Subscription { member: self.id.clone(), instance: self.instance.clone(), metadata: self.metadata(protocol) }
    }

    pub(super) fn view(&self, protocol: Option<&str>) -> MemberView {
        MemberView {
            member: self.id.clone(),
            instance: self.instance.clone(),
            client_id: self.client_id.clone(),
            host: self.host.clone(),
            metadata: self.metadata(protocol),
            assignment: self.assignment.clone(),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        let instance = self.instance.as_ref().map_or(0, |instance| instance.len());
        OVERHEAD
            + self.id.len()
            + instance
            + self.client_id.len()
            + self.host.len()
            + weight(&self.protocols)
            + self.assignment.len()
    }
}

/// Bytes that keeping these takes.
pub(super) fn weight(protocols: &[Protocol]) -> usize {
    protocols.iter().map(|protocol| 64 + protocol.name.len() + protocol.metadata.len()).sum()
}
