//! What a consumer asks of its group, and what it hears.
//!
//! Plain values, without any wire: the door that speaks Kafka translates. Times are milliseconds of a clock that never goes
//! back, which the caller reads.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;

/// Why a group says no; each variant is a reaction of the consumer's, as Kafka's clients know them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    /// The name cannot be a group's.
    #[error("a group's name has 1 to {} bytes", crate::queue::groups::NAME_BYTES)]
    InvalidGroup,
    /// The group belongs to the box: it can be looked at, no more.
    #[error("this group is the box's own; it can be read, not changed")]
    ReadOnly,
    /// There is no such group.
    #[error("there is no such group")]
    NotFound,
    /// Who says so is no member (any more): begin anew without an id.
    #[error("no such member of the group")]
    UnknownMember,
    /// Join again with this id.
    #[error("join again with the given member id")]
    MemberIdRequired(Arc<str>),
    /// Another process has the same instance id: stop.
    #[error("another member has this group.instance.id")]
    Fenced,
    /// The generation is over: join again.
    #[error("the group is at another generation")]
    IllegalGeneration,
    /// Members come or go: join again.
    #[error("the group rebalances")]
    Rebalancing,
    /// There is no protocol that all members know.
    #[error("no protocol that the other members know too")]
    InconsistentProtocol,
    /// The session timeout is outside the configured bounds.
    #[error("session.timeout.ms is outside the bounds that the box allows")]
    InvalidSession,
    /// The group, or the box, has all the members it may have.
    #[error("no room for another member")]
    Full,
    /// More bytes than a group may keep.
    #[error("more metadata or assignment than a group may keep")]
    TooLarge,
    /// The group has members.
    #[error("the group has members")]
    NotEmpty,
    /// Members of the group have subscribed to the topic.
    #[error("members of the group have subscribed to the topic")]
    Subscribed,
}

/// Where an answer goes.
pub type Reply<T> = oneshot::Sender<Result<T, GroupError>>;
/// Where an answer comes from, when it does.
pub type Answer<T> = oneshot::Receiver<Result<T, GroupError>>;

/// A way to assign that a member knows, with what it says to whoever assigns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protocol {
    /// Its name: `range`, `cooperative-sticky` …
    pub name: Arc<str>,
    /// The member's subscription, opaque to us.
    pub metadata: Bytes,
}

/// A wish to be a member.
#[derive(Clone, Debug)]
pub struct Join {
    /// The group.
    pub group: Arc<str>,
    /// The id that the coordinator gave; empty for none yet.
    pub member: Arc<str>,
    /// `group.instance.id`, of a static member.
    pub instance: Option<Arc<str>>,
    /// Whether a newcomer is first told an id, to join again with (protocol version 4 on).
    pub id_first: bool,
    /// Whether a leader understands that it need not assign (version 9 on).
    pub may_skip: bool,
    /// What the client calls itself.
    pub client_id: Arc<str>,
    /// Where it is.
    pub host: Arc<str>,
    /// Silence after which it is gone, ms.
    pub session_ms: u64,
    /// How long a rebalance may wait for it, ms.
    pub rebalance_ms: u64,
    /// What kind of group: `consumer`, `connect` …
    pub protocol_type: Arc<str>,
    /// Ways to assign, the best first.
    pub protocols: Vec<Protocol>,
}

/// A member, to the leader that assigns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// Its id.
    pub member: Arc<str>,
    /// Its instance id.
    pub instance: Option<Arc<str>>,
    /// What it said under the chosen protocol.
    pub metadata: Bytes,
}

/// A generation has begun, and this is your place in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// Your id.
    pub member: Arc<str>,
    /// The generation.
    pub generation: i32,
    /// What kind of group.
    pub protocol_type: Arc<str>,
    /// The chosen way to assign.
    pub protocol: Arc<str>,
    /// Who assigns.
    pub leader: Arc<str>,
    /// All members, for the leader; else empty.
    pub members: Vec<Subscription>,
    /// The leader need not assign: what is assigned stands.
    pub skip_assignment: bool,
}

/// A wish for one's assignment; of the leader, with everybody's.
#[derive(Clone, Debug)]
pub struct Sync {
    /// The group.
    pub group: Arc<str>,
    /// Who asks.
    pub who: Identity,
    /// The kind of group that it believes in.
    pub protocol_type: Option<Arc<str>>,
    /// The way to assign that it believes in.
    pub protocol: Option<Arc<str>>,
    /// By member; of the leader only.
    pub assignments: Vec<(Arc<str>, Bytes)>,
}

/// An assignment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synced {
    /// What kind of group.
    pub protocol_type: Arc<str>,
    /// The way it was assigned.
    pub protocol: Arc<str>,
    /// Opaque to us.
    pub assignment: Bytes,
}

/// Who a member says it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Its id; empty for somebody who is no member.
    pub member: Arc<str>,
    /// Its instance id.
    pub instance: Option<Arc<str>>,
    /// The generation that it knows; below 0 for none.
    pub generation: i32,
}

/// What a group is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It has no members; perhaps offsets.
    Empty,
    /// Members are asked to join.
    Preparing,
    /// They have joined; the leader assigns.
    Completing,
    /// Everybody knows what to read.
    Stable,
    /// There is none.
    Dead,
}

impl State {
    /// As Kafka's tools call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Preparing => "PreparingRebalance",
            Self::Completing => "CompletingRebalance",
            Self::Stable => "Stable",
            Self::Dead => "Dead",
        }
    }
}

/// A member, to whoever looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberView {
    /// Its id.
    pub member: Arc<str>,
    /// Its instance id.
    pub instance: Option<Arc<str>>,
    /// What the client calls itself.
    pub client_id: Arc<str>,
    /// Where it is.
    pub host: Arc<str>,
    /// What it said under the chosen protocol; empty while there is none.
    pub metadata: Bytes,
    /// What it was assigned.
    pub assignment: Bytes,
}

/// A group, to whoever looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupView {
    /// Its name.
    pub group: Arc<str>,
    /// What it is doing.
    pub state: State,
    /// Its generation.
    pub generation: i32,
    /// What kind of group; empty if no member ever said.
    pub protocol_type: Arc<str>,
    /// The chosen way to assign; empty while there is none.
    pub protocol: Arc<str>,
    /// Its members; empty where only a list was asked for.
    pub members: Vec<MemberView>,
    /// How many there are.
    pub size: usize,
}
