//! The three verbs that people think in, as the bindings that Kafka's clients need for them.
//!
//! * `produce` to a topic: write, and create, so that the first record may make the topic.
//! * `consume` a topic: read; as a group: read on the group, too, without which nothing can be committed.
//! * `manage` a topic or a group: everything that can be done to it.
//!
//! A name that ends with `*` means every name that begins so.

use super::binding::{Binding, Host, Operation, PatternKind, Permission, ResourceKind};

/// A verb.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Send records.
    Produce,
    /// Fetch records, alone or in a group.
    Consume,
    /// Everything.
    Manage,
}

impl Verb {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Produce, Self::Consume, Self::Manage];

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Produce => "produce",
            Self::Consume => "consume",
            Self::Manage => "manage",
        }
    }

    /// What it needs on a resource of this kind.
    pub const fn operations(self, kind: ResourceKind) -> &'static [Operation] {
        match (self, kind) {
            (Self::Produce, ResourceKind::Topic) => &[Operation::Write, Operation::Create],
            (Self::Consume, ResourceKind::Topic | ResourceKind::Group) => &[Operation::Read],
            (Self::Manage, _) => &[Operation::All],
            _ => &[],
        }
    }
}

impl std::str::FromStr for Verb {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|verb| verb.word() == text);
        found.ok_or_else(|| format!("`{text}` is no verb; there are produce, consume and manage"))
    }
}

/// `web-*` begins with `web-`; `*` is everything; everything else is itself.
pub fn pattern(text: &str) -> (PatternKind, &str) {
    match text.strip_suffix('*') {
        Some("") | None => (PatternKind::Literal, text),
        Some(start) => (PatternKind::Prefixed, start),
    }
}

/// A binding for each operation on each resource.
pub fn expand(
    user: &str,
    host: Host,
    permission: Permission,
    resources: &[(ResourceKind, String)],
    operations: impl Fn(ResourceKind) -> Vec<Operation>,
) -> Vec<Binding> {
    let mut bindings = Vec::new();
    for (kind, text) in resources {
        let (pattern, name) = pattern(text);
        for operation in operations(*kind) {
            let (user, name) = (user.to_owned(), name.to_owned());
            bindings.push(Binding { user, host, kind: *kind, pattern, name, operation, permission });
        }
    }
    bindings
}
