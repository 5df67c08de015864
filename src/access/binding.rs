//! The vocabulary of permissions, which is Kafka's: who may, or may not, do what, on which resources, from where.
//!
//! Limits: names are at most [`NAME_BYTES`]; everything is checked by [`Binding::check`] before it is kept.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Longest name of a resource, as Kafka's longest group name; topics are shorter.
pub const NAME_BYTES: usize = 255;
/// Longest name of a user.
pub const USER_BYTES: usize = 128;
/// What Kafka calls somebody who did not sign in.
pub const ANONYMOUS: &str = "ANONYMOUS";

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Principal {
    pub(super) name: Option<Arc<str>>,
    /// The user's number: another user of the same name, later, is somebody else.
    pub(super) id: u64,
}

impl Principal {
    /// Somebody who did not sign in.
    pub const fn anonymous() -> Self {
        Self { name: None, id: 0 }
    }

    /// The user's name, or [`ANONYMOUS`].
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(ANONYMOUS)
    }

    /// Whether nobody signed in.
    pub const fn is_anonymous(&self) -> bool {
        self.name.is_none()
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "User:{}", self.name())
    }
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident: $what:literal { $($(#[$note:meta])* $variant:ident = $code:literal $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$note])* $variant,)* }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Kafka's number for it.
            pub const fn code(self) -> i8 {
                match self { $(Self::$variant => $code,)* }
            }

            /// What Kafka's number means, if it means something here.
            pub const fn from_code(code: i8) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)* _ => None }
            }

            /// The word for it.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.word())
            }
        }

        impl FromStr for $name {
            type Err = String;

            /// Reads it as Kafka's tools write it, too: `DescribeConfigs`, `DESCRIBE_CONFIGS`, `describe-configs`.
            fn from_str(text: &str) -> Result<Self, String> {
                let plain = |word: &str| word.replace(['_', '-'], "").to_ascii_lowercase();
                let found = Self::ALL.iter().find(|known| plain(known.word()) == plain(text));
                let known = || Self::ALL.iter().map(|known| known.word()).collect::<Vec<_>>().join(", ");
                found.copied().ok_or_else(|| format!("`{text}` is no {}; there are {}", $what, known()))
            }
        }
    };
}

words! {
    /// What one can do.
    Operation: "operation" {
        /// Everything.
        All = 2 "all",
        /// Fetch, or be in a group.
        Read = 3 "read",
        /// Produce.
        Write = 4 "write",
        /// Make topics.
        Create = 5 "create",
        /// Delete topics, records, groups.
        Delete = 6 "delete",
        /// Grow topics; change users and permissions.
        Alter = 7 "alter",
        /// See that it is there.
        Describe = 8 "describe",
        /// What Kafka's brokers do to each other.
        ClusterAction = 9 "cluster_action",
        /// See the configuration.
        DescribeConfigs = 10 "describe_configs",
        /// Change the configuration.
        AlterConfigs = 11 "alter_configs",
        /// Ask for a producer id, without a topic to write to.
        IdempotentWrite = 12 "idempotent_write",
    }
}

words! {
    /// What kind of thing it is done to.
    ResourceKind: "kind of resource" {
        /// A topic.
        Topic = 2 "topic",
        /// A consumer group.
        Group = 3 "group",
        /// The box itself.
        Cluster = 4 "cluster",
        /// A transactional id. There are no transactions yet; its permissions are kept for tools that set them.
        TransactionalId = 5 "transactional_id",
    }
}

words! {
    /// How a binding's resource name is meant.
    PatternKind: "kind of pattern" {
        /// This name; `*` alone is every name.
        Literal = 3 "literal",
        /// Every name that begins so.
        Prefixed = 4 "prefixed",
    }
}

words! {
    /// Whether a binding gives or takes. What takes wins.
    Permission: "permission" {
        /// It takes.
        Deny = 2 "deny",
        /// It gives.
        Allow = 3 "allow",
    }
}

/// The name of the one cluster there is.
pub const CLUSTER: &str = "kafka-cluster";
/// Every name, every user, every host.
pub const WILDCARD: &str = "*";

/// A thing that something is done to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource<'a> {
    /// The topic of this name.
    Topic(&'a str),
    /// The consumer group of this name.
    Group(&'a str),
    /// The box.
    Cluster,
    /// The transactional id.
    TransactionalId(&'a str),
}

impl<'a> Resource<'a> {
    /// Its kind.
    pub const fn kind(self) -> ResourceKind {
        match self {
            Self::Topic(_) => ResourceKind::Topic,
            Self::Group(_) => ResourceKind::Group,
            Self::Cluster => ResourceKind::Cluster,
            Self::TransactionalId(_) => ResourceKind::TransactionalId,
        }
    }

    /// Its name.
    pub const fn name(self) -> &'a str {
        match self {
            Self::Topic(name) | Self::Group(name) | Self::TransactionalId(name) => name,
            Self::Cluster => CLUSTER,
        }
    }
}

impl ResourceKind {
    /// What can be done to it: what Kafka tells of when it is asked which operations are authorized.
    pub const fn operations(self) -> &'static [Operation] {
        use Operation::{
            Alter, AlterConfigs, ClusterAction, Create, Delete, Describe, DescribeConfigs, IdempotentWrite, Read, Write,
        };
        match self {
            Self::Topic => &[Read, Write, Create, Describe, Delete, Alter, DescribeConfigs, AlterConfigs],
            Self::Group => &[Read, Describe, Delete],
            Self::Cluster => &[Create, ClusterAction, DescribeConfigs, AlterConfigs, IdempotentWrite, Alter, Describe],
            Self::TransactionalId => &[Describe, Write],
        }
    }
}

/// From where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Host {
    /// Anywhere.
    Any,
    /// This address alone.
    One(IpAddr),
}

impl Host {
    pub(super) fn matches(self, peer: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::One(address) => address == peer,
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str(WILDCARD),
            Self::One(address) => address.fmt(f),
        }
    }
}

impl FromStr for Host {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == WILDCARD {
            return Ok(Self::Any);
        }
        let address = text.parse::<IpAddr>().map_err(|_| format!("`{text}` is no IP address, and not `*`"))?;
        // A v4 client of a v6 port is a v4 client.
        Ok(Self::One(address.to_canonical()))
    }
}

impl TryFrom<String> for Host {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Host> for String {
    fn from(host: Host) -> Self {
        host.to_string()
    }
}

/// One permission, given or taken.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Binding {
    /// A user's name, or `*`.
    pub user: String,
    /// From where.
    pub host: Host,
    /// On what kind of resource.
    pub kind: ResourceKind,
    /// How `name` is meant.
    pub pattern: PatternKind,
    /// The resource's name, or the beginning of it, or `*`.
    pub name: String,
    /// What.
    pub operation: Operation,
    /// Given or taken.
    pub permission: Permission,
}

impl Binding {
    /// Whether this can be kept.
    ///
    /// # Errors
    /// A sentence that says what to change.
    pub fn check(&self) -> Result<(), String> {
        if self.user != WILDCARD && self.user != ANONYMOUS {
            check_user_name(&self.user)?;
        }
        if self.name.is_empty() || self.name.len() > NAME_BYTES {
            return Err(format!("a resource's name has 1 to {NAME_BYTES} bytes"));
        }
        if self.name.chars().any(char::is_control) {
            return Err("a resource's name has no control characters".to_owned());
        }
        if self.kind == ResourceKind::Cluster && (self.name != CLUSTER || self.pattern != PatternKind::Literal) {
            return Err(format!("the one cluster is the literal `{CLUSTER}`"));
        }
        Ok(())
    }
}

/// Which bindings are meant; what is `None` may be anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BindingFilter {
    /// The user's name.
    pub user: Option<String>,
    /// From where.
    pub host: Option<Host>,
    /// The kind of resource.
    pub kind: Option<ResourceKind>,
    /// How the name is meant.
    pub pattern: Option<PatternKind>,
    /// The name as it stands in the binding; with [`BindingFilter::matching`] the name of a resource.
    pub name: Option<String>,
    /// Which bindings would bear upon the resource of this name, instead of which are called so.
    pub matching: bool,
    /// What.
    pub operation: Option<Operation>,
    /// Given or taken.
    pub permission: Option<Permission>,
}

impl BindingFilter {
    /// Whether it means this one.
    pub fn matches(&self, binding: &Binding) -> bool {
        fn fits<T: PartialEq>(wanted: Option<&T>, is: &T) -> bool {
            wanted.is_none_or(|wanted| wanted == is)
        }
        let named = match &self.name {
            None => true,
            Some(name) if self.matching => match binding.pattern {
                PatternKind::Literal => binding.name == *name || binding.name == WILDCARD,
                PatternKind::Prefixed => name.starts_with(&binding.name),
            },
            Some(name) => binding.name == *name,
        };
        named
            && fits(self.user.as_ref(), &binding.user)
            && fits(self.host.as_ref(), &binding.host)
            && fits(self.kind.as_ref(), &binding.kind)
            && fits(self.pattern.as_ref(), &binding.pattern)
            && fits(self.operation.as_ref(), &binding.operation)
            && fits(self.permission.as_ref(), &binding.permission)
    }
}

/// Whether a user may be called so.
pub(super) fn check_user_name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > USER_BYTES {
        return Err(format!("a user's name has 1 to {USER_BYTES} bytes"));
    }
    if name.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err("a user's name has no blanks and no control characters".to_owned());
    }
    if name == WILDCARD || name.eq_ignore_ascii_case(ANONYMOUS) {
        return Err(format!("`{name}` means something else; give the user another name"));
    }
    Ok(())
}
