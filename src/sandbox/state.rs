//! Keyed state of one topic partition: what filters remember from one record to the next.
//!
//! A filter's memory is a cache; what it must not forget it puts here, under keys of its own, for as long as it says. The lane
//! commits what changed together with the offsets and rows that it came with (`store/keyed.rs`), so after a crash filters go on
//! with what they knew at the committed offset, and make the same rows.
//!
//! **Time** is the arrival time of the record that a call is for, never a clock: an entry put by a record that arrived at `t`
//! with a time to live `d` is there for records that arrive before `t + d`. Entries that are past it are seen by nobody; they
//! are taken away when a put needs their room, and some at every call.
//!
//! **Waiting entries** (`state_wait`) are not forgotten when their time has come, but given back to their filter as a record
//! that has the entry's value as its payload: what multiline holds becomes a row that way. When:
//! * before the first call whose records arrived at or past the deadline ([`super::Chain::expire`] with that arrival time), or
//! * when the wall clock is past the deadline and the lane has handled all there is: it then makes sure that no record can be
//!   appended any more with an earlier arrival time (`Partition::not_before`), and does the same with the deadline as the time;
//! * at the first offset of another generation: by the chain that put them. No entry waits across generations.
//!
//! So what is given back, in which order, and between which records follows from the log alone; the wall clock only shows it
//! sooner. The row's origin is the last record of the entry, whose own verdict was Hold; the entry goes in the same commit
//! that brings the row. Each has a number ([`Expired::number`], counted in the state) that its emissions are known by.
//!
//! **A call that fails** leaves nothing: its writes are undone ([`State::end_call`]). A verdict Fail is the filter's own word,
//! and its writes stand: else they would depend on how calls are cut.
//!
//! As bytes, for the store and in memory:
//! ```text
//! key    u8 length of the filter's name, name, u8 which entry of that name in the chain, u32 schema, the filter's key
//!        (of length 0 and nothing else: the state's own entry)
//! entry  u8 flags: 1 = waits; i64 deadline, ns since 1970, i64::MAX = none;
//!        where it waits: u64 offset of its last record; the value
//! own    u32 generation + 1 that ran last, 0 = none; u64 number of the next expired entry: 2^20 * offset of the lane, and on
//! ```
//! Limits: [`super::Config::state`] bytes a partition, [`ENTRY_BYTES`] counted for an entry beside its bytes. A put that does not
//! fit even when all that is expired is gone is refused, and the filter is told.
//! Why copy on write and not a log-structured map: a lane has its state for itself; copies are made for trial and explain only.

use std::collections::BTreeSet;
use std::sync::Arc;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry as Place;

/// Counted for every entry beside its bytes: tables and indexes.
pub const ENTRY_BYTES: usize = 160;
/// Entries past their time that a call takes away.
const SWEEP: usize = 64;
/// Longest filter name in a key; names are far shorter.
const NAME_BYTES: usize = 255;
/// Numbers of entries that are given back at one offset; more take those of the next.
const NUMBERS: u64 = 1 << 20;
const WAITS: u8 = 1;
/// The key of the state's own entry.
const OWN: [u8; 1] = [0];

/// Shared bytes.
pub type Bytes = Arc<[u8]>;

/// Keyed state of one topic partition. The default is empty; a clone is a private copy and cheap until it is written to.
#[derive(Clone, Debug, Default)]
pub struct State {
    inner: Arc<Inner>,
    /// Of the call at hand.
    undo: Before,
    in_call: bool,
    /// Since [`State::take_changes`].
    changed: Before,
}

/// What stood under each key before it was first written. A key that was not there and is not there again is in none, so this is
/// at most as large as the state was and is, however often a guest writes.
type Before = HashMap<Bytes, Option<Bytes>>;

#[derive(Clone, Debug, Default)]
struct Inner {
    /// Hashed with a secret: keys come from strangers' records.
    entries: HashMap<Bytes, Bytes>,
    /// (deadline, key) of entries that are forgotten at their time.
    forgotten: BTreeSet<(i64, Bytes)>,
    /// The same of those that wait.
    waiting: BTreeSet<(i64, Bytes)>,
    bytes: usize,
}

/// What changed: `(key, what stood before, what stands now)`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes(
    /// In the order of keys.
    pub Vec<(Bytes, Option<Bytes>, Option<Bytes>)>,
);

/// Whose keys: a filter, as the how-many-th of its name in the chain, with its schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scope(Bytes);

/// An entry that waited long enough.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Expired {
    pub(super) scope: Scope,
    /// Its value.
    pub(super) value: Vec<u8>,
    /// When.
    pub(super) deadline_ns: i64,
    /// Its last record.
    pub(super) offset: u64,
    /// Counted from 0.
    pub(super) number: u64,
}

impl Scope {
    pub(super) fn new(filter: &str, which: u8, schema: u32) -> Self {
        let name = &filter.as_bytes()[..filter.len().min(NAME_BYTES)];
        let mut bytes = Vec::with_capacity(name.len() + 6);
        bytes.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
        bytes.extend_from_slice(name);
        bytes.push(which);
        bytes.extend_from_slice(&schema.to_le_bytes());
        Self(bytes.into())
    }

    fn key(&self, key: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.0.len() + key.len());
        bytes.extend_from_slice(&self.0);
        bytes.extend_from_slice(key);
        bytes
    }

    /// Of a key.
    fn of(key: &[u8]) -> Option<Self> {
        let len = usize::from(*key.first()?);
        if len == 0 {
            return None;
        }
        key.get(..len + 6).map(|bytes| Self(bytes.into()))
    }
}

/// An entry as it is kept.
#[derive(Clone, Copy)]
struct Entry<'a> {
    deadline_ns: i64,
    waits: Option<u64>,
    value: &'a [u8],
}

impl<'a> Entry<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let (&flags, rest) = bytes.split_first()?;
        let (deadline, rest) = rest.split_first_chunk()?;
        let deadline_ns = i64::from_le_bytes(*deadline);
        if flags & WAITS == 0 {
            return Some(Self { deadline_ns, waits: None, value: rest });
        }
        let (offset, value) = rest.split_first_chunk()?;
        Some(Self { deadline_ns, waits: Some(u64::from_le_bytes(*offset)), value })
    }

    fn write(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(17 + self.value.len());
        bytes.push(if self.waits.is_some() { WAITS } else { 0 });
        bytes.extend_from_slice(&self.deadline_ns.to_le_bytes());
        if let Some(offset) = self.waits {
            bytes.extend_from_slice(&offset.to_le_bytes());
        }
        bytes.extend_from_slice(self.value);
        bytes.into()
    }
}

fn cost(key: &[u8], bytes: &[u8]) -> usize {
    key.len() + bytes.len() + ENTRY_BYTES
}

impl Inner {
    /// Puts, or takes away; what stood there.
    fn set(&mut self, key: &Bytes, bytes: Option<Bytes>) -> Option<Bytes> {
        let before = match bytes {
            Some(bytes) => {
                self.index(key, &bytes, true);
                self.bytes += cost(key, &bytes);
                self.entries.insert(key.clone(), bytes)
            }
            None => self.entries.remove(key),
        };
        if let Some(before) = &before {
            self.bytes = self.bytes.saturating_sub(cost(key, before));
            // Not what the new one has just put there.
            let same = self.entries.get(key).map(|now| place(now)) == Some(place(before));
            if !same {
                self.index(key, before, false);
            }
        }
        before
    }

    fn index(&mut self, key: &Bytes, bytes: &[u8], add: bool) {
        if key.len() == OWN.len() {
            return;
        }
        let (deadline, waits) = place(bytes);
        if deadline == i64::MAX && !waits {
            return;
        }
        let index = if waits { &mut self.waiting } else { &mut self.forgotten };
        match add {
            true => index.insert((deadline, key.clone())),
            false => index.remove(&(deadline, key.clone())),
        };
    }
}

/// Notes what stood under a key before a write, after which something is there or not.
fn remember(all: &mut Before, key: &Bytes, before: Option<Bytes>, there: bool) {
    match all.entry(key.clone()) {
        Place::Vacant(place) => {
            place.insert(before);
        }
        Place::Occupied(place) if place.get().is_none() && !there => {
            place.remove();
        }
        Place::Occupied(_) => {}
    }
}

/// Until when an entry waits, and the offset of its last record; none where it does not wait.
pub fn waits(entry: &[u8]) -> Option<(i64, u64)> {
    let entry = Entry::read(entry)?;
    Some((entry.deadline_ns, entry.waits?))
}

/// Where the indexes have an entry.
fn place(bytes: &[u8]) -> (i64, bool) {
    Entry::read(bytes).map_or((i64::MAX, false), |entry| (entry.deadline_ns, entry.waits.is_some()))
}

impl State {
    /// The state that the store kept: keys and entries as [`Changes`] had them. What is none is left out.
    pub fn of(entries: impl IntoIterator<Item = (Bytes, Bytes)>) -> Self {
        let mut inner = Inner::default();
        for (key, bytes) in entries {
            if *key == OWN || (Scope::of(&key).is_some() && Entry::read(&bytes).is_some()) {
                inner.set(&key, Some(bytes));
            }
        }
        Self { inner: Arc::new(inner), ..Self::default() }
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.inner.entries.is_empty()
    }

    /// How many entries, its own among them.
    pub fn len(&self) -> usize {
        self.inner.entries.len()
    }

    /// What it counts against its limit.
    pub fn bytes(&self) -> usize {
        self.inner.bytes
    }

    /// The earliest time at which an entry waits no longer, nanoseconds since 1970.
    pub fn next_deadline(&self) -> Option<i64> {
        self.inner.waiting.first().map(|(deadline, _)| *deadline)
    }

    /// The last records of the entries that wait.
    pub fn waiting(&self) -> impl Iterator<Item = u64> {
        self.inner.waiting.iter().filter_map(|(_, key)| waits(self.inner.entries.get(key)?)).map(|(_, last)| last)
    }

    /// The number of the next entry that is given back.
    pub fn next_number(&self) -> u64 {
        self.own().1
    }

    /// Entries that are given back from here on are numbered as those of a lane that stands at this offset: so that a number tells,
    /// after a crash, how far the lane had come ([`State::offset_of`]).
    pub fn number_from(&mut self, at: u64) {
        let (generation, number) = self.own();
        let least = at.checked_mul(NUMBERS).unwrap_or(number);
        if number < least {
            self.set_own(generation, least);
        }
    }

    /// The offset that a lane stood at when it gave back the entry of this number.
    pub fn offset_of(number: u64) -> u64 {
        number / NUMBERS
    }

    /// The generation that wrote to it last.
    pub fn generation(&self) -> Option<u32> {
        self.own().0.checked_sub(1)
    }

    /// Says which generation's chain is the next to write to it.
    pub fn set_generation(&mut self, generation: u32) {
        if self.generation() != Some(generation) {
            self.set_own(generation.saturating_add(1), self.own().1);
        }
    }

    /// What changed since the last time this was asked.
    pub fn take_changes(&mut self) -> Changes {
        let mut changes = Vec::with_capacity(self.changed.len());
        for (key, before) in self.changed.drain() {
            let now = self.inner.entries.get(&key).cloned();
            if before != now {
                changes.push((key, before, now));
            }
        }
        changes.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        Changes(changes)
    }

    /// Takes changes back, the last ones first, and all that changed since them.
    pub fn undo(&mut self, changes: Changes) {
        for (key, before) in self.changed.drain().collect::<Vec<_>>() {
            Arc::make_mut(&mut self.inner).set(&key, before);
        }
        for (key, before, _) in changes.0 {
            Arc::make_mut(&mut self.inner).set(&key, before);
        }
    }

    fn own(&self) -> (u32, u64) {
        let own = self.inner.entries.get(&OWN[..]);
        let numbers = own.and_then(|own| Some((own.first_chunk()?, own.get(4..)?.first_chunk()?)));
        numbers.map_or((0, 0), |(generation, number)| (u32::from_le_bytes(*generation), u64::from_le_bytes(*number)))
    }

    fn set_own(&mut self, generation: u32, number: u64) {
        let mut bytes = generation.to_le_bytes().to_vec();
        bytes.extend_from_slice(&number.to_le_bytes());
        self.set(&OWN[..].into(), Some(bytes.into()));
    }

    fn set(&mut self, key: &Bytes, bytes: Option<Bytes>) {
        let there = bytes.is_some();
        let before = Arc::make_mut(&mut self.inner).set(key, bytes);
        if self.in_call {
            remember(&mut self.undo, key, before.clone(), there);
        }
        remember(&mut self.changed, key, before, there);
    }

    /// A call begins; nothing was written since the last ended.
    pub(super) fn begin_call(&mut self) {
        self.undo.clear();
        self.in_call = true;
    }

    /// A call ended; unless it went well, what it wrote is undone.
    pub(super) fn end_call(&mut self, well: bool) {
        self.in_call = false;
        if well {
            self.undo.clear();
            return;
        }
        for (key, before) in std::mem::take(&mut self.undo) {
            self.set(&key, before);
        }
    }

    /// How many keys would have to be put back if the call at hand failed.
    #[cfg(test)]
    pub(super) fn undo_len(&self) -> usize {
        self.undo.len()
    }

    /// The value of a key, for a record that arrived at `now_ns`.
    pub(super) fn get(&self, scope: &Scope, key: &[u8], now_ns: i64) -> Option<&[u8]> {
        let entry = Entry::read(self.inner.entries.get(&scope.key(key)[..])?)?;
        // What waits is there until it is given back.
        (entry.waits.is_some() || now_ns < entry.deadline_ns).then_some(entry.value)
    }

    /// Puts a value until `deadline_ns`, of a record that arrived at `now_ns`; with `waits`, the offset of that record, to be
    /// given back then. False where it does not fit into `limit` bytes.
    pub(super) fn put(
        &mut self,
        scope: &Scope,
        key: &[u8],
        value: &[u8],
        (now_ns, deadline_ns): (i64, i64),
        waits: Option<u64>,
        limit: usize,
    ) -> bool {
        let key: Bytes = scope.key(key).into();
        let entry = Entry { deadline_ns, waits, value };
        let adds = key.len() + value.len() + 17 + ENTRY_BYTES;
        let had = |state: &Self| state.inner.entries.get(&key).map_or(0, |bytes| cost(&key, bytes));
        if (self.inner.bytes + adds).saturating_sub(had(self)) > limit {
            self.sweep_some(now_ns, usize::MAX);
            if (self.inner.bytes + adds).saturating_sub(had(self)) > limit {
                return false;
            }
        }
        self.set(&key, Some(entry.write()));
        true
    }

    /// Takes a key away.
    pub(super) fn remove(&mut self, scope: &Scope, key: &[u8]) {
        let key: Bytes = scope.key(key).into();
        if self.inner.entries.contains_key(&key) {
            self.set(&key, None);
        }
    }

    /// Takes away some of what is past its time.
    pub(super) fn sweep(&mut self, now_ns: i64) {
        self.sweep_some(now_ns, SWEEP);
    }

    fn sweep_some(&mut self, now_ns: i64, most: usize) {
        for _ in 0..most {
            let Some((_, key)) = self.inner.forgotten.first().filter(|(deadline, _)| *deadline <= now_ns) else { return };
            let key = key.clone();
            self.set(&key, None);
        }
    }

    /// Takes away all that is not of these scopes: the chain has changed.
    pub(super) fn keep_only(&mut self, scopes: &[Scope]) {
        let of_others = |key: &&Bytes| Scope::of(key).is_some_and(|scope| !scopes.contains(&scope));
        let mut gone: Vec<Bytes> = self.inner.entries.keys().filter(of_others).cloned().collect();
        gone.sort_unstable();
        for key in gone {
            self.set(&key, None);
        }
    }

    /// Takes the entries away that wait no longer at `now_ns`: the earliest, and those after it that are of the same filter
    /// and, unless `alone`, of the same deadline; at most `most` and about `bytes` of them. `alone` says that no later filter of the
    /// chain waits for anything, so that what it makes of one does not bear on when the next is due.
    pub(super) fn take_expired(&mut self, now_ns: i64, most: usize, bytes: usize, alone: bool) -> Vec<Expired> {
        let mut expired: Vec<Expired> = Vec::new();
        let mut size = 0;
        while expired.len() < most && size < bytes {
            let Some((deadline_ns, key)) = self.inner.waiting.first().filter(|(deadline, _)| *deadline <= now_ns) else {
                break;
            };
            let (deadline_ns, key) = (*deadline_ns, key.clone());
            let scope = Scope::of(&key);
            let entry = self.inner.entries.get(&key).and_then(|bytes| Entry::read(bytes));
            let (Some(scope), Some(entry)) = (scope, entry) else { break };
            if expired.first().is_some_and(|first| first.scope != scope || (!alone && first.deadline_ns != deadline_ns)) {
                break;
            }
            size += entry.value.len();
            let (generation, number) = self.own();
            expired.push(Expired { value: entry.value.to_vec(), offset: entry.waits.unwrap_or(0), scope, deadline_ns, number });
            self.set(&key, None);
            self.set_own(generation, number.wrapping_add(1));
        }
        expired
    }
}
