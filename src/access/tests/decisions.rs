//! Decisions against a model that follows the words of Kafka's rules, binding by binding.

use proptest::prelude::*;

use super::*;
use crate::access::rules::Rules;

fn names() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "ab", "abc", "b", "ä", "äb", "*"]).prop_map(String::from)
}

fn bindings() -> impl Strategy<Value = Vec<Binding>> {
    let users = prop::sample::select(vec!["ann", "bob", "*", "ANONYMOUS"]);
    let hosts = prop::sample::select(vec!["*", "10.0.0.1", "10.0.0.2", "::1"]);
    let kinds = prop::sample::select(vec![ResourceKind::Topic, ResourceKind::Group]);
    let patterns = prop::sample::select(PatternKind::ALL.to_vec());
    let permissions = prop::sample::select(vec![Permission::Allow, Permission::Allow, Permission::Deny]);
    let operations = prop::sample::select(Operation::ALL.to_vec());
    let one = (users, hosts, kinds, patterns, names(), operations, permissions).prop_map(
        |(user, host, kind, pattern, name, operation, permission)| {
            let (user, host) = (user.to_owned(), host.parse().unwrap());
            Binding { user, host, kind, pattern, name, operation, permission }
        },
    );
    prop::collection::vec(one, 0..12)
}

/// Kafka's rules as its documentation tells them.
fn model(bindings: &[Binding], user: &str, peer: IpAddr, asked: Operation, resource: Resource<'_>) -> bool {
    let relevant = |binding: &&Binding| {
        let user_matches = binding.user == user || binding.user == "*";
        let host_matches = binding.host == Host::Any || binding.host == Host::One(peer);
        let name_matches = match binding.pattern {
            PatternKind::Literal => binding.name == resource.name() || binding.name == "*",
            PatternKind::Prefixed => resource.name().starts_with(&binding.name),
        };
        user_matches && host_matches && binding.kind == resource.kind() && name_matches
    };
    let mut granting = vec![Operation::All, asked];
    match asked {
        Operation::Describe => granting.extend([Operation::Read, Operation::Write, Operation::Delete, Operation::Alter]),
        Operation::DescribeConfigs => granting.push(Operation::AlterConfigs),
        _ => {}
    }
    let denied = bindings
        .iter()
        .filter(relevant)
        .any(|binding| binding.permission == Permission::Deny && [Operation::All, asked].contains(&binding.operation));
    let allowed = bindings
        .iter()
        .filter(relevant)
        .any(|binding| binding.permission == Permission::Allow && granting.contains(&binding.operation));
    allowed && !denied
}

fn resource(kind: ResourceKind, name: &str) -> Resource<'_> {
    if kind == ResourceKind::Topic { Resource::Topic(name) } else { Resource::Group(name) }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn the_index_decides_as_the_rules_say(bindings in bindings()) {
        let rules = Rules::new(&bindings);
        let peers: [IpAddr; 3] = ["10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap(), "::1".parse().unwrap()];
        for user in ["ann", "ANONYMOUS"] {
            for peer in peers {
                for operation in Operation::ALL.iter().copied().filter(|operation| *operation != Operation::All) {
                    for kind in [ResourceKind::Topic, ResourceKind::Group] {
                        for name in ["a", "ab", "abcd", "b", "ä", "äb", "z", "*"] {
                            let (got, want) = (
                                rules.allow(user, peer, operation, resource(kind, name)),
                                model(&bindings, user, peer, operation, resource(kind, name)),
                            );
                            prop_assert_eq!(got, want, "{} {} {} {} {}", user, peer, operation, kind, name);
                        }
                        // Some resource: one that a binding names, one that goes on from there, or one that nobody named.
                        let mut names: Vec<String> = bindings.iter().map(|binding| binding.name.clone()).collect();
                        names.extend(bindings.iter().map(|binding| format!("{}~", binding.name)));
                        names.push("~".into());
                        let want = names.iter().any(|name| model(&bindings, user, peer, operation, resource(kind, name)));
                        let got = rules.allow_some(user, peer, operation, kind);
                        prop_assert_eq!(got, want, "some {} {} {} {}", user, peer, operation, kind);
                    }
                }
            }
        }
    }

    #[test]
    fn filters_find_what_bears_upon_a_name(bindings in bindings(), name in names()) {
        for binding in &bindings {
            let matching = BindingFilter { name: Some(name.clone()), matching: true, ..BindingFilter::default() };
            let bears = match binding.pattern {
                PatternKind::Literal => binding.name == name || binding.name == "*",
                PatternKind::Prefixed => name.starts_with(&binding.name),
            };
            prop_assert_eq!(matching.matches(binding), bears);
            let exact = BindingFilter {
                user: Some(binding.user.clone()), host: Some(binding.host), kind: Some(binding.kind),
                pattern: Some(binding.pattern), name: Some(binding.name.clone()), matching: false,
                operation: Some(binding.operation), permission: Some(binding.permission),
            };
            for other in &bindings {
                prop_assert_eq!(exact.matches(other), other == binding);
            }
        }
    }
}

#[test]
fn verbs_give_what_clients_need_and_no_more() {
    use crate::access::binding::PatternKind::{Literal, Prefixed};
    use crate::access::grant::{Verb, expand};
    let access = open(SimDisk::new(1));
    let ann = quick(&access, "ann");
    let give = |verb: Verb, kind, name: &str| {
        let resources = [(kind, name.to_owned())];
        let bindings = expand("ann", Host::Any, Permission::Allow, &resources, |kind| verb.operations(kind).to_vec());
        access.grant(&bindings).unwrap();
        bindings.into_iter().map(|binding| (binding.pattern, binding.name)).collect::<Vec<_>>()
    };
    assert_eq!(give(Verb::Produce, ResourceKind::Topic, "web-*"), [(Prefixed, "web-".into()), (Prefixed, "web-".into())]);
    assert_eq!(give(Verb::Consume, ResourceKind::Topic, "audit"), [(Literal, "audit".into())]);
    assert_eq!(give(Verb::Consume, ResourceKind::Group, "*"), [(Literal, "*".into())]);
    assert!(give(Verb::Produce, ResourceKind::Group, "g").is_empty(), "nobody produces to a group");
    let may = |operation, resource| access.allows(&ann, HERE, operation, resource, true);
    let table = [
        (Operation::Write, Resource::Topic("web-1"), true),
        (Operation::Create, Resource::Topic("web-1"), true),
        (Operation::Describe, Resource::Topic("web-1"), true),
        (Operation::Read, Resource::Topic("web-1"), false),
        (Operation::Write, Resource::Topic("web"), false),
        (Operation::Read, Resource::Topic("audit"), true),
        (Operation::Write, Resource::Topic("audit"), false),
        (Operation::Delete, Resource::Topic("audit"), false),
        (Operation::Read, Resource::Group("any"), true),
        (Operation::Delete, Resource::Group("any"), false),
        (Operation::Alter, Resource::Cluster, false),
    ];
    for (operation, resource, allowed) in table {
        assert_eq!(may(operation, resource), allowed, "{operation} {resource:?}");
    }
    give(Verb::Manage, ResourceKind::Group, "any");
    assert!(may(Operation::Delete, Resource::Group("any")));
    assert!(access.allows_some(&ann, HERE, Operation::Write, ResourceKind::Topic, true));
    assert!(!access.allows_some(&ann, HERE, Operation::Alter, ResourceKind::Topic, true));
}

#[test]
fn words_are_read_as_kafkas_tools_write_them() {
    for text in ["DescribeConfigs", "DESCRIBE_CONFIGS", "describe-configs", "describe_configs"] {
        assert_eq!(text.parse(), Ok(Operation::DescribeConfigs));
    }
    assert!("sudo".parse::<Operation>().unwrap_err().contains("idempotent_write"));
    for operation in Operation::ALL {
        assert_eq!(Operation::from_code(operation.code()), Some(*operation));
        assert_eq!(operation.word().parse(), Ok(*operation));
        assert_eq!(serde_json::to_string(operation).unwrap(), format!("\"{}\"", operation.word()));
    }
    assert_eq!(Operation::from_code(0), None);
    assert_eq!("::ffff:10.0.0.1".parse::<Host>().unwrap().to_string(), "10.0.0.1");
    assert!("example.com".parse::<Host>().is_err());
}
