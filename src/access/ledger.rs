//! The journal of users and permissions, and the state that it folds to.
//!
//! `access/USERS` is a [`Journal`] whose entries are JSON lists of changes, applied together:
//! ```text
//! [{"secret":"<base64>"},                                    what made-up credentials are made of; once
//!  {"user":{"name":"a","id":3,"admin":false,"changed_ns":0,  takes the place of the user of this name
//!           "SCRAM-SHA-256":{"salt":"<base64>","iterations":8192,"stored_key":"<base64>","server_key":"<base64>"},
//!           "SCRAM-SHA-512":{…}}},
//!  {"next_id":4},                                            ids below it were given
//!  {"gone":"a"},                                             the user, and all that was bound to the name
//!  {"grant":{"user":"a","host":"*","kind":"topic","pattern":"literal","name":"t","operation":"read","permission":"allow"}},
//!  {"revoke":{…}}]
//! ```
//! Invariants: a change is durable before anybody is judged by it. Changes that take something away (a user, a permission, an old
//! password) rewrite the file, so that what was taken is not in it any more and no damage can bring it back; what only adds is
//! appended. So the file never holds more than what is. An id is never given twice.
//! Limits: [`USERS`], [`BINDINGS`], and a request changes at most [`CHANGES`] things.
//! Crash story: the journal's. Of a change that failed the disk may have the new state after a crash, and has the old or the new,
//! nothing between. Damage costs the entries it is in: reported, since a lost denial gives rights. What does not parse is counted
//! as damage.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::binding::Binding;
use super::error::AccessError;
use super::user::{Octets, User, random};
use crate::base::disk::Disk;
use crate::base::journal::Journal;

/// Most users.
pub const USERS: usize = 10_000;
/// Most permissions.
pub const BINDINGS: usize = 100_000;
/// Most things that one request may change.
pub const CHANGES: usize = 10_000;
/// Bindings that a snapshot keeps in one entry: what one damaged place may cost.
const TOGETHER: usize = 64;

/// What happened.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Change {
    Secret(Octets),
    User(Box<User>),
    NextId(u64),
    Gone(String),
    Grant(Binding),
    Revoke(Binding),
}

impl std::fmt::Debug for Octets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

/// The fold of all changes.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    pub secret: Vec<u8>,
    pub users: BTreeMap<String, Arc<User>>,
    pub bindings: BTreeSet<Arc<Binding>>,
    pub next_id: u64,
}

impl State {
    pub(super) fn apply(&mut self, change: &Change) {
        match change {
            Change::Secret(secret) => self.secret.clone_from(&secret.0),
            Change::User(user) => {
                self.next_id = self.next_id.max(user.id + 1);
                self.users.insert(user.name.clone(), Arc::new((**user).clone()));
            }
            Change::NextId(id) => self.next_id = self.next_id.max(*id),
            Change::Gone(name) => {
                self.users.remove(name);
                self.bindings.retain(|binding| binding.user != *name);
            }
            Change::Grant(binding) => {
                self.bindings.insert(Arc::new(binding.clone()));
            }
            Change::Revoke(binding) => {
                self.bindings.remove(binding);
            }
        }
    }

    fn snapshot(&self) -> io::Result<Vec<Vec<u8>>> {
        let first = [Change::Secret(Octets(self.secret.clone())), Change::NextId(self.next_id)];
        let mut entries = vec![encode(&first)?];
        for user in self.users.values() {
            entries.push(encode(&[Change::User(Box::new((**user).clone()))])?);
        }
        let bindings: Vec<Change> = self.bindings.iter().map(|binding| Change::Grant((**binding).clone())).collect();
        for together in bindings.chunks(TOGETHER) {
            entries.push(encode(together)?);
        }
        Ok(entries)
    }
}

/// The journal and its state.
#[derive(Debug)]
pub(super) struct Ledger {
    journal: Journal,
    pub state: Arc<State>,
    /// Places that were damaged when it was opened.
    pub damaged: u64,
    /// Bytes of a last entry that was not whole.
    pub torn_bytes: u64,
}

impl Ledger {
    pub(super) fn open(disk: Arc<dyn Disk>) -> io::Result<Self> {
        disk.create_dir_all(Path::new("access"))?;
        let (journal, entries, found) = Journal::open(disk, Path::new("access/USERS"))?;
        let mut state = State::default();
        let mut damaged = found.damaged;
        for entry in &entries {
            match serde_json::from_slice::<Vec<Change>>(entry) {
                Ok(changes) => changes.iter().for_each(|change| state.apply(change)),
                Err(_) => damaged += 1,
            }
        }
        if damaged > 0 {
            tracing::error!(
                places = damaged,
                "damage in access/USERS: users or permissions are missing; compare `sawbox user ls` and `sawbox acl ls` \
                 with what you granted, above all with what you denied"
            );
        }
        if found.torn_bytes > 0 {
            tracing::warn!(bytes = found.torn_bytes, "access/USERS ended in a change that was never acknowledged: dropped");
        }
        let state = Arc::new(state);
        let mut ledger = Self { journal, state, damaged, torn_bytes: found.torn_bytes };
        if ledger.state.secret.is_empty() {
            let secret = Change::Secret(Octets(random::<32>().to_vec()));
            let mut next = (*ledger.state).clone();
            next.apply(&secret);
            ledger.write(&[secret], next)?;
        }
        Ok(ledger)
    }

    /// Makes changes durable, then true. All of them, or none.
    pub(super) fn commit(&mut self, changes: &[Change]) -> Result<(), AccessError> {
        if changes.len() > CHANGES {
            return Err(too_many());
        }
        if changes.is_empty() {
            return Ok(());
        }
        let mut next = (*self.state).clone();
        changes.iter().for_each(|change| next.apply(change));
        if next.users.len() > USERS.max(self.state.users.len()) {
            return Err(AccessError::Refused(format!("there may be at most {USERS} users")));
        }
        if next.bindings.len() > BINDINGS.max(self.state.bindings.len()) {
            return Err(AccessError::Refused(format!(
                "there may be at most {BINDINGS} permissions; patterns (`web-*`) need fewer"
            )));
        }
        Ok(self.write(changes, next)?)
    }

    fn write(&mut self, changes: &[Change], next: State) -> io::Result<()> {
        let takes = changes.iter().any(|change| match change {
            Change::User(user) => self.state.users.contains_key(&user.name),
            Change::Gone(_) | Change::Revoke(_) => true,
            Change::Secret(_) | Change::NextId(_) | Change::Grant(_) => false,
        });
        // A poisoned journal is healed by a new file, too.
        if takes || self.journal.append(&encode(changes)?).is_err() {
            self.rewrite(&next)?;
        }
        self.state = Arc::new(next);
        Ok(())
    }

    fn rewrite(&mut self, state: &State) -> io::Result<()> {
        let entries = state.snapshot()?;
        let entries: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
        self.journal.checkpoint(&entries)
    }
}

/// More than [`CHANGES`].
pub(super) fn too_many() -> AccessError {
    AccessError::Refused(format!("a request may change at most {CHANGES} users and permissions"))
}

fn encode(changes: &[Change]) -> io::Result<Vec<u8>> {
    serde_json::to_vec(changes).map_err(io::Error::other)
}
