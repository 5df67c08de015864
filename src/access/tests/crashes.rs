//! The journal: what was said to be done is there after any crash, and what was taken away never comes back.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::*;

/// What users and permissions there are, by the model.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Model {
    users: BTreeMap<String, bool>,
    bindings: BTreeSet<Binding>,
}

impl Model {
    fn of(access: &Access) -> Self {
        let users = access.users().into_iter().map(|user| (user.name, user.admin)).collect();
        Self { users, bindings: access.bindings(&BindingFilter::default()).into_iter().collect() }
    }
}

/// Does the `nth` thing to both; `None` if it is refused for a reason of its own.
fn act(access: &Access, model: &mut Model, random: u64) -> Option<Result<(), AccessError>> {
    let name = ["a", "b", "c"][usize::try_from(random / 7 % 3).unwrap()];
    let given = binding(name, ["s", "t", "u"][usize::try_from(random / 11 % 3).unwrap()], Operation::Read);
    let missing = |done: &Result<(), AccessError>| matches!(done, Err(AccessError::Missing(_)));
    let done = match random % 5 {
        0 => {
            let hashed = Hashed { mechanism: Mechanism::ScramSha256, salt: vec![1; 16], iterations: 8192, salted: vec![2; 32] };
            let admin = model.users.get(name).copied().unwrap_or(false);
            model.users.insert(name.into(), admin);
            access.alter_credentials(&[(name.into(), hashed)], &[])
        }
        1 => {
            model.users.remove(name);
            model.bindings.retain(|binding| binding.user != name);
            access.delete_user(name)
        }
        2 => {
            model.bindings.insert(given.clone());
            access.grant(&[given]).map(|_| ())
        }
        3 => {
            model.bindings.remove(&given);
            let filter = BindingFilter { user: Some(given.user), name: Some(given.name), ..BindingFilter::default() };
            access.revoke(&[filter]).map(|_| ())
        }
        _ => {
            if let Some(admin) = model.users.get_mut(name) {
                *admin = random.is_multiple_of(2);
            }
            access.set_admin(name, random.is_multiple_of(2))
        }
    };
    (!missing(&done)).then_some(done)
}

#[test]
fn what_was_done_survives_every_crash() {
    let (mut failures, mut lives) = (0, 0);
    for seed in 0..250_u64 {
        let mut disk = SimDisk::new(seed);
        let mut random = seed;
        let mut next = || {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            random >> 33
        };
        let mut sure = Model::default();
        let mut perhaps: Vec<Model> = Vec::new();
        let mut ids = BTreeSet::new();
        for life in 0..4 {
            if life > 0 || seed % 3 == 0 {
                disk.power_off_after(next() % 60);
            }
            if let Ok(access) = Access::open(disk.clone(), Arc::new(SimClock::at(1))) {
                lives += 1;
                let is = Model::of(&access);
                assert!(is == sure || perhaps.contains(&is), "seed {seed}, life {life}: {is:?}, not {sure:?} or {perhaps:?}");
                (sure, perhaps) = (is, Vec::new());
                assert_eq!(access.counters().damaged, 0, "seed {seed}: a crash is no damage");
                if next() % 2 == 0 {
                    disk.fail_sync_after(next() % 8);
                }
                for _ in 0..12 {
                    let mut model = sure.clone();
                    match act(&access, &mut model, next()) {
                        None => {}
                        // What changes nothing asks nothing of the disk, and so says nothing about it.
                        Some(Ok(())) if model == sure => {}
                        Some(Ok(())) => (sure, perhaps) = (model, Vec::new()),
                        Some(Err(_)) => {
                            failures += 1;
                            perhaps.push(model);
                        }
                    }
                    assert_eq!(Model::of(&access), sure, "seed {seed}: nobody is judged by what is not durable");
                    for user in access.ledger.lock().state.users.values() {
                        ids.insert((user.id, user.name.clone()));
                    }
                }
            }
            disk = disk.crash();
        }
        let distinct: BTreeSet<u64> = ids.iter().map(|(id, _)| *id).collect();
        assert_eq!(distinct.len(), ids.len(), "seed {seed}: an id for two names: {ids:?}");
        assert!(Access::open(disk, Arc::new(SimClock::at(1))).is_ok(), "seed {seed}: it always opens");
    }
    assert!(failures > 500 && lives > 700, "{failures} failures in {lives} lives");
}

#[test]
fn nothing_brings_back_what_was_taken() {
    let disk = SimDisk::new(1);
    let access = open(disk.clone());
    for name in ["kept", "gone"] {
        quick(&access, name);
        access.grant(&[binding(name, "t", Operation::Read)]).unwrap();
    }
    let gone = principal(&access, "gone");
    access.delete_user("gone").unwrap();
    let file = disk.open(Path::new("access/USERS"), false).unwrap();
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    file.read_at(&mut bytes, 0).unwrap();
    assert!(memchr::memmem::find(&bytes, b"kept").is_some());
    assert!(memchr::memmem::find(&bytes, b"gone").is_none(), "the file has nothing of it any more");
    // Whatever bit rots, the box opens, and has at most what was there.
    let whole = Model::of(&access);
    for bit in (0..bytes.len() * 8).step_by(37) {
        let mut rotten = bytes.clone();
        rotten[bit / 8] ^= 1 << (bit % 8);
        let disk = SimDisk::new(1);
        disk.create_dir_all(Path::new("access")).unwrap();
        disk.open(Path::new("access/USERS"), true).unwrap().write_at(&rotten, 0).unwrap();
        let rotten = open(disk);
        let is = Model::of(&rotten);
        assert!(is.users.len() <= 1 && is.bindings.is_subset(&whole.bindings), "bit {bit}: {is:?}");
        // The last entry of a file cannot be told from one that was never written whole.
        let told = rotten.counters().damaged > 0 || rotten.counters().torn_bytes > 0;
        assert!(is == whole || told, "bit {bit}: lost and not told");
        assert!(!rotten.is_current(&gone));
    }
    assert_eq!(Model::of(&open(disk.clone())), whole);
}

#[test]
fn the_secret_stays_and_the_file_does_not_grow_for_ever() {
    let disk = SimDisk::new(1);
    let access = open(disk.clone());
    let secret = access.ledger.lock().state.secret.clone();
    for n in 0..400 {
        quick(&access, "a");
        access.grant(&[binding("a", &format!("t{}", n % 3), Operation::Read)]).unwrap();
    }
    let used: u64 = disk.files().iter().map(|(_, length)| length).sum();
    assert!(used < 16 * 1024, "{used}");
    let again = open(disk.crash());
    assert_eq!(again.ledger.lock().state.secret, secret);
    assert_eq!(Model::of(&again).bindings.len(), 3);
}
