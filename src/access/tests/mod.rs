//! The house's tests: decisions against a model, the journal against crashes, SASL's own examples, users' lives.

use std::net::IpAddr;
use std::sync::Arc;

use super::binding::{
    Binding, BindingFilter, CLUSTER, Host, Operation, PatternKind, Permission, Principal, Resource, ResourceKind,
};
use super::user::Mechanism;
use super::{Access, AccessError, Hashed, SignInError};
use crate::base::clock::SimClock;
use crate::base::disk::Disk;
use crate::base::disk::sim::SimDisk;

mod crashes;
mod decisions;
mod scram;

const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

fn open(disk: Arc<dyn Disk>) -> Arc<Access> {
    Access::open(disk, Arc::new(SimClock::at(1))).unwrap()
}

fn binding(user: &str, name: &str, operation: Operation) -> Binding {
    Binding {
        user: user.into(),
        host: Host::Any,
        kind: ResourceKind::Topic,
        pattern: PatternKind::Literal,
        name: name.into(),
        operation,
        permission: Permission::Allow,
    }
}

/// A user without the milliseconds that a password costs.
fn quick(access: &Access, name: &str) -> Principal {
    let hashed = Hashed { mechanism: Mechanism::ScramSha256, salt: vec![1; 16], iterations: 8192, salted: vec![2; 32] };
    access.alter_credentials(&[(name.into(), hashed)], &[]).unwrap();
    principal(access, name)
}

fn principal(access: &Access, name: &str) -> Principal {
    let id = access.ledger.lock().state.users[name].id;
    Principal { name: Some(name.into()), id }
}

#[test]
fn who_is_deleted_has_no_rights_and_leaves_none_behind() {
    let access = open(SimDisk::new(1));
    let a = quick(&access, "a");
    let topic = Resource::Topic("t");
    let may = |who: &Principal| access.allows(who, HERE, Operation::Read, topic, true);
    assert!(!may(&a), "nothing is allowed by itself");
    access.grant(&[binding("a", "t", Operation::Read)]).unwrap();
    assert!(may(&a) && access.is_current(&a));
    assert!(!may(&Principal::anonymous()));
    let mut changed = access.changed();
    changed.mark_unchanged();
    access.delete_user("a").unwrap();
    assert!(changed.has_changed().unwrap());
    assert!(!may(&a) && !access.is_current(&a));
    let again = quick(&access, "a");
    assert!(!may(&again), "another user of the name begins with nothing");
    access.grant(&[binding("a", "t", Operation::Read)]).unwrap();
    assert!(may(&again) && !may(&a), "and is somebody else");
    assert!(access.allows(&a, HERE, Operation::Read, topic, false), "unless nothing is enforced");
    // Everybody, and those who did not sign in.
    access.grant(&[binding("*", "all", Operation::Write)]).unwrap();
    assert!(access.allows(&Principal::anonymous(), HERE, Operation::Write, Resource::Topic("all"), true));
    assert!(!access.allows(&a, HERE, Operation::Write, Resource::Topic("all"), true), "a deleted user is not even everybody");
}

#[test]
fn an_admin_may_everything_until_no_more() {
    let access = open(SimDisk::new(1));
    let a = quick(&access, "a");
    access.set_admin("a", true).unwrap();
    let denial = Binding { permission: Permission::Deny, ..binding("a", "t", Operation::All) };
    access.grant(&[denial]).unwrap();
    for resource in [Resource::Topic("t"), Resource::Group("g"), Resource::Cluster] {
        assert!(access.allows(&a, HERE, Operation::Delete, resource, true));
    }
    assert_eq!(access.operations(&a, HERE, Resource::Group("g"), true), 1 << 3 | 1 << 6 | 1 << 8);
    access.set_admin("a", false).unwrap();
    assert!(!access.allows(&a, HERE, Operation::Delete, Resource::Group("g"), true));
    assert_eq!(access.operations(&a, HERE, Resource::Group("g"), true), 0);
    assert!(matches!(access.set_admin("b", true), Err(AccessError::Missing(_))));
}

#[test]
fn passwords_are_verified_and_replaced() {
    let access = open(SimDisk::new(1));
    access.add_user("ann", "correct horse", true).unwrap();
    assert!(matches!(access.add_user("ann", "correct horse", false), Err(AccessError::Refused(_))));
    let ann = access.sign_in("ann", b"correct horse").unwrap();
    assert_eq!((ann.name(), ann.to_string().as_str()), ("ann", "User:ann"));
    for (name, password) in
        [("ann", "correct horsf"), ("ann", ""), ("bob", "correct horse"), ("", ""), ("Ann", "correct horse")]
    {
        assert_eq!(access.sign_in(name, password.as_bytes()), Err(SignInError::Denied), "{name} {password}");
    }
    assert_eq!(access.sign_in("ann", &[b'x'; 5000]), Err(SignInError::Denied));
    access.set_password("ann", "battery staple", false).unwrap();
    assert!(access.is_current(&ann), "a new password does not end what is signed in");
    assert_eq!(access.sign_in("ann", b"correct horse"), Err(SignInError::Denied));
    access.set_password("ann", "third password", true).unwrap();
    assert!(!access.is_current(&ann), "unless told so");
    assert!(access.is_current(&access.sign_in("ann", b"third password").unwrap()));
    let shown = format!("{:?} {:?}", access.users(), access);
    assert!(shown.contains("ann") && !shown.contains("third"));
    assert!(!shown.contains("stored_key"), "{shown}");
    // Somebody with a SHA-512 credential alone can use PLAIN, too, and a stranger does not notice.
    let toil = || access.now.load().toil.map(|(_, iterations)| iterations);
    assert_eq!(toil(), [8192, 0]);
    access.alter_credentials(&[], &[("ann".into(), Mechanism::ScramSha256)]).unwrap();
    assert!(access.sign_in("ann", b"third password").is_ok());
    assert_eq!(toil(), [8192, 8192]);
    let often = Hashed { mechanism: Mechanism::ScramSha256, salt: vec![1; 16], iterations: 10_000, salted: vec![2; 32] };
    access.alter_credentials(&[("eve".into(), often)], &[]).unwrap();
    assert_eq!(toil(), [10_000, 8192]);
    assert!(access.sign_in("ann", b"third password").is_ok());
    access.delete_user("eve").unwrap();
    access.alter_credentials(&[], &[("ann".into(), Mechanism::ScramSha512)]).unwrap();
    assert!(access.users().is_empty(), "nobody can be without a credential");
    assert!(matches!(access.alter_credentials(&[], &[("ann".into(), Mechanism::ScramSha512)]), Err(AccessError::Missing(_))));
}

#[test]
fn what_cannot_be_kept_is_refused() {
    let access = open(SimDisk::new(1));
    let long = "n".repeat(129);
    for name in ["", "a b", "a\n", "*", "anonymous", long.as_str()] {
        assert!(matches!(access.add_user(name, "long enough", false), Err(AccessError::Refused(_))), "{name:?}");
    }
    let long = "p".repeat(1025);
    for password in ["", "short", "with\0nul and more", long.as_str()] {
        assert!(matches!(access.add_user("a", password, false), Err(AccessError::Refused(_))), "{password:?}");
    }
    let fine = Hashed { mechanism: Mechanism::ScramSha512, salt: vec![1; 16], iterations: 8192, salted: vec![2; 64] };
    for wrong in [
        Hashed { salt: vec![], ..fine.clone() },
        Hashed { salt: vec![1; 65], ..fine.clone() },
        Hashed { iterations: 4096, ..fine.clone() },
        Hashed { iterations: 20_000, ..fine.clone() },
        Hashed { salted: vec![2; 32], ..fine.clone() },
    ] {
        assert!(access.alter_credentials(&[("a".into(), wrong)], &[]).is_err());
    }
    assert!(access.alter_credentials(&[("a".into(), fine)], &[]).is_ok());
    let right = binding("a", "t", Operation::Read);
    for wrong in [
        Binding { user: "a b".into(), ..right.clone() },
        Binding { name: String::new(), ..right.clone() },
        Binding { name: "x".repeat(256), ..right.clone() },
        Binding { name: "x\0".into(), ..right.clone() },
        Binding { kind: ResourceKind::Cluster, ..right.clone() },
        Binding { kind: ResourceKind::Cluster, name: CLUSTER.into(), pattern: PatternKind::Prefixed, ..right.clone() },
    ] {
        assert!(matches!(access.grant(&[right.clone(), wrong]), Err(AccessError::Refused(_))));
    }
    assert!(access.bindings(&BindingFilter::default()).is_empty(), "all or none");
    assert_eq!(access.grant(&[right.clone(), right.clone()]).unwrap(), 2, "one of them is said twice");
    assert_eq!(access.bindings(&BindingFilter::default()), vec![right]);
}

#[test]
fn numbers_of_users_and_permissions_are_capped() {
    use super::ledger::{BINDINGS, CHANGES, USERS};
    let access = open(SimDisk::new(1));
    let hashed = Hashed { mechanism: Mechanism::ScramSha256, salt: vec![1], iterations: 8192, salted: vec![2; 32] };
    quick(&access, "first");
    {
        // As if they had been added one by one, up to the last but one.
        let mut ledger = access.ledger.lock();
        let state = Arc::make_mut(&mut ledger.state);
        let user = state.users["first"].clone();
        state.users.extend((0..USERS - 2).map(|n| (format!("u{n}"), user.clone())));
        state.bindings.extend((0..BINDINGS - 1).map(|n| Arc::new(binding("a", &format!("t{n}"), Operation::Read))));
    }
    let add = |name: &str| access.alter_credentials(&[(name.into(), hashed.clone())], &[]);
    let give = |name: &str| access.grant(&[binding("b", name, Operation::Read)]);
    add("last").unwrap();
    assert!(matches!(add("one-more"), Err(AccessError::Refused(_))));
    add("last").unwrap();
    access.delete_user("last").unwrap();
    add("instead").unwrap();
    give("t").unwrap();
    assert!(matches!(give("one more"), Err(AccessError::Refused(_))));
    assert_eq!(give("t").unwrap(), 0, "what is there already is no more");
    let many: Vec<Binding> = (0..=CHANGES).map(|n| binding("a", &format!("{n}"), Operation::Read)).collect();
    assert!(matches!(access.grant(&many), Err(AccessError::Refused(_))), "too many in one request");
    let counted = access.counters();
    assert_eq!((counted.users, counted.bindings), (USERS as u64, BINDINGS as u64));
    assert!(matches!(access.revoke(&[BindingFilter::default()]), Err(AccessError::Refused(_))));
    // A user goes with all permissions, more than one request may change.
    access.delete_user("instead").unwrap();
    add("a").unwrap();
    access.delete_user("a").unwrap();
    // However many filters mean the same.
    let t = BindingFilter { user: Some("b".into()), ..BindingFilter::default() };
    assert!(matches!(access.revoke(&vec![t.clone(); CHANGES + 1]), Err(AccessError::Refused(_))));
    assert_eq!(access.revoke(&vec![t; CHANGES]).unwrap().len(), CHANGES);
    assert!(access.bindings(&BindingFilter::default()).is_empty());
}
