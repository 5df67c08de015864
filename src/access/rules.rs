//! The decision: may this user do this to that?
//!
//! Kafka's rules. A binding bears upon a request if user, host, kind and name match. If one of those denies the operation, or all
//! operations, the answer is no. Else it is yes if one allows it, or all, or something that includes it: who may read, write,
//! delete or alter may describe; who may alter a configuration may see it. Else it is no.
//!
//! Cheap, since it is asked per partition of a request: bindings are indexed by user, kind and name; prefixes by their length, so
//! that a name is looked up once per length in use. No cache that could be wrong.

use std::net::IpAddr;

use hashbrown::HashMap;

use super::binding::{Binding, Host, Operation, PatternKind, Permission, Resource, ResourceKind, WILDCARD};

/// All bindings, indexed. Built anew when they change.
#[derive(Debug, Default)]
pub(super) struct Rules {
    users: HashMap<String, Own>,
}

/// What is bound to one user, or to everybody.
#[derive(Debug, Default)]
struct Own {
    kinds: HashMap<ResourceKind, Named>,
}

#[derive(Debug, Default)]
struct Named {
    literal: HashMap<String, Vec<Rule>>,
    prefixed: HashMap<String, Vec<Rule>>,
    /// Lengths of prefixes, ascending.
    lengths: Vec<usize>,
}

#[derive(Clone, Copy, Debug)]
struct Rule {
    host: Host,
    operation: Operation,
    permission: Permission,
}

impl Rule {
    /// Whether it denies (`Some(false)`), allows (`Some(true)`) or does not speak of this.
    fn says(self, operation: Operation, peer: IpAddr) -> Option<bool> {
        if !self.host.matches(peer) {
            return None;
        }
        let same = self.operation == operation || self.operation == Operation::All;
        match self.permission {
            Permission::Deny => same.then_some(false),
            Permission::Allow => (same || includes(self.operation, operation)).then_some(true),
        }
    }
}

/// Whether who may do `given` may also do `asked`.
fn includes(given: Operation, asked: Operation) -> bool {
    match asked {
        Operation::Describe => {
            matches!(given, Operation::Read | Operation::Write | Operation::Delete | Operation::Alter)
        }
        Operation::DescribeConfigs => given == Operation::AlterConfigs,
        _ => false,
    }
}

impl Rules {
    pub(super) fn new<'a>(bindings: impl IntoIterator<Item = &'a Binding>) -> Self {
        let mut rules = Self::default();
        for binding in bindings {
            let own = rules.users.entry_ref(binding.user.as_str()).or_insert_with(Own::default);
            let named = own.kinds.entry(binding.kind).or_default();
            let names = match binding.pattern {
                PatternKind::Literal => &mut named.literal,
                PatternKind::Prefixed => {
                    if let Err(at) = named.lengths.binary_search(&binding.name.len()) {
                        named.lengths.insert(at, binding.name.len());
                    }
                    &mut named.prefixed
                }
            };
            let Binding { host, operation, permission, .. } = *binding;
            names.entry_ref(binding.name.as_str()).or_default().push(Rule { host, operation, permission });
        }
        rules
    }

    /// Whether the user of this name may.
    pub(super) fn allow(&self, user: &str, peer: IpAddr, operation: Operation, resource: Resource<'_>) -> bool {
        let mut allowed = false;
        for own in [user, WILDCARD].iter().filter_map(|user| self.users.get(*user)) {
            let Some(named) = own.kinds.get(&resource.kind()) else { continue };
            for rules in named.about(resource.name()) {
                for rule in rules {
                    match rule.says(operation, peer) {
                        Some(false) => return false,
                        Some(true) => allowed = true,
                        None => {}
                    }
                }
            }
        }
        allowed
    }

    /// Whether there is some resource of this kind, by whatever name, to which the user may.
    pub(super) fn allow_some(&self, user: &str, peer: IpAddr, operation: Operation, kind: ResourceKind) -> bool {
        let own: Vec<&Named> = [user, WILDCARD].iter().filter_map(|user| self.users.get(*user)?.kinds.get(&kind)).collect();
        let denied = |name: &str, prefixes_only: bool| {
            let denies = |rules: &Vec<Rule>| rules.iter().any(|rule| rule.says(operation, peer) == Some(false));
            own.iter().any(|named| {
                named.literal.get(WILDCARD).is_some_and(denies)
                    || !prefixes_only && named.literal.get(name).is_some_and(denies)
                    || named.starts_of(name).any(denies)
            })
        };
        let allows = |rules: &Vec<Rule>| rules.iter().any(|rule| rule.says(operation, peer) == Some(true));
        own.iter().any(|named| {
            // `*` is the empty prefix: only what denies everything takes it whole.
            let literal = named.literal.iter().filter(|(_, rules)| allows(rules));
            let prefixed = named.prefixed.iter().filter(|(_, rules)| allows(rules));
            literal.map(|(name, _)| name.as_str()).any(
                |name| {
                    if name == WILDCARD { !denied("", true) } else { !denied(name, false) }
                },
            ) || prefixed.map(|(name, _)| name.as_str()).any(|name| !denied(name, true))
        })
    }
}

impl Named {
    fn about<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Vec<Rule>> {
        let wildcard = if name == WILDCARD { None } else { self.literal.get(WILDCARD) };
        self.literal.get(name).into_iter().chain(wildcard).chain(self.starts_of(name))
    }

    fn starts_of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Vec<Rule>> {
        let starts = self.lengths.iter().map_while(move |length| (*length <= name.len()).then(|| name.get(..*length)));
        starts.flatten().filter_map(|start| self.prefixed.get(start))
    }
}
