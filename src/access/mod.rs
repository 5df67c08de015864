//! Who may do what: users and how they prove who they are, permissions, and the decision.
//!
//! Comes in: a principal, an address, an operation, a resource. Goes out: yes or no. Knows no protocol but SASL's own messages
//! (SCRAM's, and PLAIN's password), no topic and no group: names are names.
//!
//! Invariants: what nobody allowed is denied. Who is deleted has no rights from the moment the deletion returns, even if somebody
//! of the same name is added right after. A change is durable before anybody is judged by it. No password and no key is ever
//! written to a log or told to anybody.
//! Judging takes no lock: all that a decision needs is one immutable [`Snapshot`], replaced as a whole.
//! Everything on the disk is in [`ledger`].
//! Limits: [`ledger::USERS`], [`ledger::BINDINGS`], names and passwords as in [`binding`] and [`user`]. Memory: less than a KiB
//! for each user and each permission.
//!
//! Why not Kafka's storage of them (records in a topic of its own): they are needed before any topic is open, and one box has one
//! writer.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::base::clock::Clock;
use crate::base::disk::Disk;

pub mod binding;
mod brake;
pub mod error;
pub mod grant;
pub mod ledger;
mod rules;
pub mod scram;
#[cfg(test)]
mod tests;
pub mod user;

pub use binding::{Binding, BindingFilter, Operation, Principal, Resource, ResourceKind};
pub use error::{AccessError, SignInError};
pub use user::Mechanism;

use brake::Brake;
use ledger::{Change, Ledger};
use rules::Rules;
use user::{Credential, User};

/// The house.
#[derive(Debug)]
pub struct Access {
    /// Locked while the disk is waited for: whoever only looks asks `now`.
    ledger: Mutex<Ledger>,
    now: ArcSwap<Snapshot>,
    clock: Arc<dyn Clock>,
    brake: Brake,
    changes: watch::Sender<u64>,
    counted: Counted,
    /// Damaged places and torn bytes that were found in the journal.
    found: (u64, u64),
}

/// What decisions are made by.
#[derive(Debug)]
struct Snapshot {
    users: HashMap<String, Arc<User>>,
    /// What a password costs: of each mechanism as many iterations as whoever has the most.
    toil: [(Mechanism, u32); 2],
    rules: Rules,
    state: Arc<ledger::State>,
}

#[derive(Debug, Default)]
struct Counted {
    signed_in: AtomicU64,
    failed: AtomicU64,
    denied: AtomicU64,
}

/// Numbers for people who watch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Users.
    pub users: u64,
    /// Permissions, given or taken.
    pub bindings: u64,
    /// Sign-ins that went well.
    pub signed_in: u64,
    /// Sign-ins that did not.
    pub failed: u64,
    /// Requests, or parts of them, that were denied.
    pub denied: u64,
    /// Damaged places that were found in the journal.
    pub damaged: u64,
    /// Bytes of a last change in it that was not whole, and was never acknowledged.
    pub torn_bytes: u64,
}

/// A user, without what must stay secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserInfo {
    /// The name.
    pub name: String,
    /// Whether everything is allowed.
    pub admin: bool,
    /// When the user was added or changed.
    pub changed_ns: i64,
    /// The ways to sign in that have a credential, with their iterations.
    pub mechanisms: Vec<(Mechanism, u32)>,
}

/// A credential that was made elsewhere: Kafka's clients hash passwords themselves when they set one.
#[derive(Clone)]
pub struct Hashed {
    /// Of which mechanism.
    pub mechanism: Mechanism,
    /// The salt.
    pub salt: Vec<u8>,
    /// How often it was hashed.
    pub iterations: u32,
    /// The salted password.
    pub salted: Vec<u8>,
}

impl Access {
    /// Opens the journal below the disk's root.
    ///
    /// # Errors
    /// [`AccessError::Disk`]; damage is no error.
    pub fn open(disk: Arc<dyn Disk>, clock: Arc<dyn Clock>) -> Result<Arc<Self>, AccessError> {
        let ledger = Ledger::open(disk)?;
        let now = ArcSwap::from_pointee(Snapshot::of(&ledger));
        let (changes, _) = watch::channel(0);
        let found = (ledger.damaged, ledger.torn_bytes);
        let (ledger, brake, counted) = (Mutex::new(ledger), Brake::default(), Counted::default());
        Ok(Arc::new(Self { ledger, now, clock, brake, changes, counted, found }))
    }

    /// Whether `principal`, calling from `host`, may. Where the listener enforces nothing, everybody may everything.
    pub fn allows(
        &self,
        principal: &Principal,
        host: IpAddr,
        operation: Operation,
        resource: Resource<'_>,
        enforced: bool,
    ) -> bool {
        if !enforced {
            return true;
        }
        let now = self.now.load();
        match now.standing(principal) {
            Standing::Admin => true,
            Standing::Gone => false,
            Standing::Ordinary => now.rules.allow(principal.name(), host.to_canonical(), operation, resource),
        }
    }

    /// Whether there may be some resource of this kind to which they may: what Kafka asks before it gives out a producer id.
    pub fn allows_some(
        &self,
        principal: &Principal,
        host: IpAddr,
        operation: Operation,
        kind: ResourceKind,
        enforced: bool,
    ) -> bool {
        if !enforced {
            return true;
        }
        let now = self.now.load();
        match now.standing(principal) {
            Standing::Admin => true,
            Standing::Gone => false,
            Standing::Ordinary => now.rules.allow_some(principal.name(), host.to_canonical(), operation, kind),
        }
    }

    /// What they may do to this, as the bits by which Kafka tells it (1 << the operation's number).
    pub fn operations(&self, principal: &Principal, host: IpAddr, resource: Resource<'_>, enforced: bool) -> i32 {
        let may = |operation: &&Operation| self.allows(principal, host, **operation, resource, enforced);
        resource.kind().operations().iter().filter(may).fold(0, |bits, operation| bits | 1 << operation.code())
    }

    /// Whether a signed-in user is still one: ask when [`Access::changed`] says that something changed.
    pub fn is_current(&self, principal: &Principal) -> bool {
        !matches!(self.now.load().standing(principal), Standing::Gone)
    }

    /// Tells whenever users or permissions changed.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Counts a denial that somebody was told of.
    pub fn note_denied(&self) {
        self.counted.denied.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a sign-in that went well.
    pub fn note_signed_in(&self) {
        self.counted.signed_in.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a sign-in that failed, and says how long its answer has to wait.
    pub fn note_failed(&self, peer: IpAddr) -> Duration {
        self.counted.failed.fetch_add(1, Ordering::Relaxed);
        self.brake.failed(peer, self.clock.monotonic())
    }

    /// Numbers.
    pub fn counters(&self) -> Counters {
        let now = self.now.load();
        let (users, bindings) = (now.state.users.len() as u64, now.state.bindings.len() as u64);
        let (damaged, torn_bytes) = self.found;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Counted { signed_in, failed, denied } = &self.counted;
        let (signed_in, failed, denied) = (read(signed_in), read(failed), read(denied));
        Counters { users, bindings, signed_in, failed, denied, damaged, torn_bytes }
    }

    /// Starts a SCRAM conversation.
    pub fn scram(self: &Arc<Self>, mechanism: Mechanism) -> scram::Exchange {
        scram::Exchange::new(self.clone(), mechanism)
    }

    /// Verifies a password (PLAIN). Takes milliseconds of CPU on purpose: not on a thread that serves others.
    ///
    /// # Errors
    /// [`SignInError::Denied`], after the same work whether or not there is such a user.
    pub fn sign_in(&self, name: &str, password: &[u8]) -> Result<Principal, SignInError> {
        if password.len() > user::PASSWORD_BYTES {
            return Err(SignInError::Denied);
        }
        let (mechanism, toil) = {
            let now = self.now.load();
            (now.users.get(name).map_or(Mechanism::ScramSha256, |user| user.of_passwords()), now.toil)
        };
        let (credential, id) = self.credential(name, mechanism);
        let right = credential.is_of(mechanism, password);
        // Others may be hashed more often, or otherwise: the time is theirs, too, or it would tell who is here.
        for (other, most) in toil {
            let done = if other == mechanism { credential.iterations } else { 0 };
            user::toil(other, password, most.saturating_sub(done));
        }
        // Whoever was deleted, or got another password, while this was computed is not signed in.
        let (now, now_id) = self.credential(name, mechanism);
        match id {
            Some(id) if right && now == credential && now_id == Some(id) => Ok(Principal { name: Some(name.into()), id }),
            _ => Err(SignInError::Denied),
        }
    }

    /// What proves to be this user, and the user's number; of somebody who does not exist something that looks the same.
    fn credential(&self, name: &str, mechanism: Mechanism) -> (Credential, Option<u64>) {
        let now = self.now.load();
        let nobody = Credential::of_nobody(mechanism, &now.state.secret, name);
        match now.users.get(name).and_then(|user| Some((user.credential(mechanism)?.clone(), user.id))) {
            Some((credential, id)) => (credential, Some(id)),
            None => (nobody, None),
        }
    }

    /// All users, by name.
    pub fn users(&self) -> Vec<UserInfo> {
        self.now.load().state.users.values().map(|user| UserInfo::of(user)).collect()
    }

    /// Adds a user. Durable when it returns.
    ///
    /// # Errors
    /// [`AccessError::Refused`] for names and passwords that cannot be, and users that are there already.
    pub fn add_user(&self, name: &str, password: &str, admin: bool) -> Result<(), AccessError> {
        binding::check_user_name(name).map_err(AccessError::Refused)?;
        user::check_password(password).map_err(AccessError::Refused)?;
        let [sha256, sha512] = credentials(password);
        self.change(|state| {
            if state.users.contains_key(name) {
                return Err(AccessError::Refused(format!("there is a user `{name}` already")));
            }
            let changed_ns = self.clock.now_ns();
            let (name, id) = (name.to_owned(), state.next_id.max(1));
            let user = User { name, id, admin, changed_ns, sha256: Some(sha256), sha512: Some(sha512) };
            Ok((vec![Change::User(Box::new(user))], ()))
        })
    }

    /// Gives a user another password. Connections that are signed in stay, unless `disconnect`.
    ///
    /// # Errors
    /// [`AccessError::Missing`], [`AccessError::Refused`] for a password that cannot be.
    pub fn set_password(&self, name: &str, password: &str, disconnect: bool) -> Result<(), AccessError> {
        user::check_password(password).map_err(AccessError::Refused)?;
        let [sha256, sha512] = credentials(password);
        self.alter(name, |user, next_id| {
            (user.sha256, user.sha512) = (Some(sha256), Some(sha512));
            if disconnect {
                user.id = next_id;
            }
        })
    }

    /// Makes a user one who may everything, or an ordinary one again.
    ///
    /// # Errors
    /// [`AccessError::Missing`].
    pub fn set_admin(&self, name: &str, admin: bool) -> Result<(), AccessError> {
        self.alter(name, |user, _| user.admin = admin)
    }

    /// Deletes a user, and all that was bound to the name: who is called so later begins with nothing.
    ///
    /// # Errors
    /// [`AccessError::Missing`].
    pub fn delete_user(&self, name: &str) -> Result<(), AccessError> {
        self.change(|state| {
            if !state.users.contains_key(name) {
                return Err(AccessError::Missing(name.to_owned()));
            }
            Ok((vec![Change::Gone(name.to_owned())], ()))
        })
    }

    /// Sets and removes single credentials, all or none: what Kafka's own tools do. A new name makes a user; who has no credential
    /// left is deleted.
    ///
    /// # Errors
    /// [`AccessError::Missing`] for a removal of what is not there, [`AccessError::Refused`].
    pub fn alter_credentials(&self, set: &[(String, Hashed)], remove: &[(String, Mechanism)]) -> Result<(), AccessError> {
        for (name, hashed) in set {
            binding::check_user_name(name).map_err(AccessError::Refused)?;
            hashed.check().map_err(AccessError::Refused)?;
        }
        self.change(|state| {
            let mut users: HashMap<String, User> = HashMap::new();
            let mut next_id = state.next_id.max(1);
            for (name, mechanism) in remove {
                let known = state.users.get(name).map(|user| (**user).clone());
                let user = users.entry_ref(name.as_str()).or_insert_with(|| known.unwrap_or_else(|| User::empty(name, 0)));
                let credential = match mechanism {
                    Mechanism::ScramSha256 => &mut user.sha256,
                    Mechanism::ScramSha512 => &mut user.sha512,
                };
                if credential.take().is_none() {
                    return Err(AccessError::Missing(name.clone()));
                }
            }
            for (name, hashed) in set {
                let known = state.users.get(name).map(|user| (**user).clone());
                let user = users.entry_ref(name.as_str()).or_insert_with(|| {
                    known.unwrap_or_else(|| {
                        next_id += 1;
                        User::empty(name, next_id - 1)
                    })
                });
                let credential = Credential::of_salted(hashed.mechanism, &hashed.salt, hashed.iterations, &hashed.salted);
                match hashed.mechanism {
                    Mechanism::ScramSha256 => user.sha256 = Some(credential),
                    Mechanism::ScramSha512 => user.sha512 = Some(credential),
                }
            }
            let mut changes = Vec::new();
            for (name, mut user) in users {
                if user.sha256.is_none() && user.sha512.is_none() {
                    changes.push(Change::Gone(name));
                } else {
                    user.changed_ns = self.clock.now_ns();
                    changes.push(Change::User(Box::new(user)));
                }
            }
            Ok((changes, ()))
        })
    }

    /// The permissions that a filter means, in order.
    pub fn bindings(&self, filter: &BindingFilter) -> Vec<Binding> {
        let now = self.now.load();
        now.state.bindings.iter().filter(|own| filter.matches(own)).map(|own| (**own).clone()).collect()
    }

    /// Adds permissions, all or none; those that are there already stay. Durable when it returns. Says how many are new.
    ///
    /// # Errors
    /// [`AccessError::Refused`] for what cannot be kept, and over the cap.
    pub fn grant(&self, bindings: &[Binding]) -> Result<usize, AccessError> {
        for binding in bindings {
            binding.check().map_err(AccessError::Refused)?;
        }
        self.change(|state| {
            let new = bindings.iter().filter(|binding| !state.bindings.contains(*binding));
            let changes: Vec<Change> = new.cloned().map(Change::Grant).collect();
            let count = changes.len();
            Ok((changes, count))
        })
    }

    /// Removes the permissions that the filters mean, all or none. Says which, filter by filter.
    ///
    /// # Errors
    /// [`AccessError::Refused`] for too many at once.
    pub fn revoke(&self, filters: &[BindingFilter]) -> Result<Vec<Vec<Binding>>, AccessError> {
        self.change(|state| {
            let mut room = ledger::CHANGES;
            let mut meant: Vec<Vec<Binding>> = Vec::with_capacity(filters.len());
            for filter in filters {
                // One more than there is room for is enough to be too many.
                let own = state.bindings.iter().map(|own| &**own).filter(|own| filter.matches(own));
                let own: Vec<Binding> = own.take(room + 1).cloned().collect();
                room = room.checked_sub(own.len()).ok_or_else(ledger::too_many)?;
                meant.push(own);
            }
            let changes = meant.iter().flatten().cloned().map(Change::Revoke).collect();
            Ok((changes, meant))
        })
    }

    fn alter(&self, name: &str, alter: impl FnOnce(&mut User, u64)) -> Result<(), AccessError> {
        self.change(|state| {
            let known = state.users.get(name).ok_or_else(|| AccessError::Missing(name.to_owned()))?;
            let mut user = (**known).clone();
            alter(&mut user, state.next_id.max(1));
            user.changed_ns = self.clock.now_ns();
            Ok((vec![Change::User(Box::new(user))], ()))
        })
    }

    /// Plans changes on the state as it is, makes them durable, and only then true.
    fn change<T>(&self, plan: impl FnOnce(&ledger::State) -> Result<(Vec<Change>, T), AccessError>) -> Result<T, AccessError> {
        let mut ledger = self.ledger.lock();
        let (changes, outcome) = plan(&ledger.state)?;
        if changes.is_empty() {
            return Ok(outcome);
        }
        ledger.commit(&changes)?;
        self.now.store(Arc::new(Snapshot::of(&ledger)));
        self.changes.send_modify(|number| *number += 1);
        Ok(outcome)
    }
}

enum Standing {
    Admin,
    Ordinary,
    Gone,
}

impl Snapshot {
    fn of(ledger: &Ledger) -> Self {
        let state = &ledger.state;
        // Nobody is hashed as often as a new user.
        let mut toil = [(Mechanism::ScramSha256, *user::ITERATIONS.start()), (Mechanism::ScramSha512, 0)];
        for user in state.users.values() {
            let mechanism = user.of_passwords();
            for (other, most) in &mut toil {
                if *other == mechanism {
                    *most = user.credential(mechanism).map_or(*most, |own| own.iterations.max(*most));
                }
            }
        }
        Self {
            toil,
            users: state.users.iter().map(|(name, user)| (name.clone(), user.clone())).collect(),
            rules: Rules::new(state.bindings.iter().map(|own| &**own)),
            state: state.clone(),
        }
    }

    fn standing(&self, principal: &Principal) -> Standing {
        let Some(name) = &principal.name else { return Standing::Ordinary };
        match self.users.get(&**name) {
            Some(user) if user.id == principal.id => {
                if user.admin {
                    Standing::Admin
                } else {
                    Standing::Ordinary
                }
            }
            _ => Standing::Gone,
        }
    }
}

impl UserInfo {
    fn of(user: &User) -> Self {
        let own = |mechanism| Some((mechanism, user.credential(mechanism)?.iterations));
        let mechanisms = [Mechanism::ScramSha256, Mechanism::ScramSha512].into_iter().filter_map(own).collect();
        Self { name: user.name.clone(), admin: user.admin, changed_ns: user.changed_ns, mechanisms }
    }
}

fn credentials(password: &str) -> [Credential; 2] {
    [Mechanism::ScramSha256, Mechanism::ScramSha512].map(|mechanism| Credential::of_password(mechanism, password.as_bytes()))
}
