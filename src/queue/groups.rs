//! Consumer groups: how far each has come.
//!
//! Purpose: a durable map (group, topic, partition) → offset of the next record that the group wants, with what the client said
//! beside it. Groups whose names begin with `_out.` are outputs: what they have not taken is held back from retention.
//!
//! On disk: `queue/GROUPS`, a [`Journal`]; its entries, and all the file's bytes, are drawn in `groups/entry.rs`. The last one of
//! a key counts. When the file is several times its content it is written anew (a checkpoint).
//! Invariant: what [`Groups::commit`] or a [`Groups::submit`] called done is durable, and all changes of one call with it. Those
//! that come while one is being synced share the next sync; what is read is durable.
//! Limits: names of [`NAME_BYTES`], metadata of [`METADATA_BYTES`], [`KEYS`] keys, [`TEXT_BYTES`] of names and metadata in all.
//! Crash story: the journal's. An offset that was lost with a damaged entry is an older one: records come twice, none is missed.
//!
//! Why not a topic, as Kafka's `__consumer_offsets`: it needs compaction, and a box that has no other broker to ask has to read
//! all of it before the first answer.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use tokio::sync::oneshot;

use super::error::QueueError;
use crate::base::disk::Disk;
use crate::base::ids::{Offset, PartitionId, TopicId};
use crate::base::journal::Journal;

mod entry;

use entry::Change;

/// Longest group name.
pub const NAME_BYTES: usize = 255;
/// Longest text that a client may leave with an offset: Kafka's `offset.metadata.max.bytes`.
pub const METADATA_BYTES: usize = 4096;
/// Most (group, topic, partition) keys.
pub const KEYS: usize = 1_000_000;
/// Most bytes of names and metadata in all, a name counted with every key: they are in memory.
pub const TEXT_BYTES: usize = 64 << 20;
/// Groups with this beginning hold back retention.
pub const OUTPUT: &str = "_out.";
/// The name under which the lanes are shown beside groups.
pub const LANES: &str = "_lane";
/// The journal is written anew from this size on, if it is four times its content.
const REWRITE_BYTES: u64 = 1 << 20;
/// What is committed again unchanged is written again when it is this old: that it is still wanted must be durable too.
const REFRESH_MS: i64 = 60 * 60 * 1000;

/// Whether a group is the box's own: clients may look at it, no more.
pub fn is_own(group: &str) -> bool {
    group == LANES || group.starts_with(OUTPUT)
}

/// A place in a group: which partition.
pub type Place = (TopicId, PartitionId);

/// What a group has committed for a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The offset that it wants next.
    pub offset: Offset,
    /// The leader epoch that the client knew; -1 for none.
    pub leader_epoch: i32,
    /// What the client left with it.
    pub metadata: Arc<str>,
    /// When it was committed, or the group's last member left: milliseconds since 1970; 0 if nobody said,
    /// and then it is kept for ever.
    pub time_ms: i64,
    /// It was beyond the end of the log when it was committed: the client's own idea, which says nothing about the log.
    pub ahead: bool,
}

impl Committed {
    /// An offset, and nothing beside it.
    pub fn at(offset: Offset) -> Self {
        Self { offset, leader_epoch: -1, metadata: Arc::from(""), time_ms: 0, ahead: false }
    }

    fn same(&self, other: &Self) -> bool {
        (self.offset, self.leader_epoch, &self.metadata, self.ahead)
            == (other.offset, other.leader_epoch, &other.metadata, other.ahead)
            && other.time_ms.saturating_sub(self.time_ms) < REFRESH_MS
    }
}

type Map = BTreeMap<Arc<str>, BTreeMap<Place, Committed>>;
/// Tells that it is durable, or why not.
pub type Done = oneshot::Receiver<Result<(), QueueError>>;
type Wake = Box<dyn Fn() + Send + Sync>;

/// The committed offsets of all groups.
pub struct Groups {
    /// What is durable. Locked only for moments.
    durable: Mutex<Durable>,
    waiting: Mutex<Waiting>,
    /// Locked while syncing; whoever has it commits for all that wait.
    journal: Mutex<Journal>,
    /// Asks a writer thread for [`Groups::flush`].
    wake: RwLock<Option<Wake>>,
    closed: AtomicBool,
    commits: AtomicU64,
}

#[derive(Debug, Default)]
struct Durable {
    groups: Map,
    keys: usize,
    /// Bytes of their names and metadata.
    text: usize,
}

#[derive(Debug, Default)]
struct Waiting {
    changes: Vec<(Vec<Change>, oneshot::Sender<Result<(), QueueError>>)>,
    /// Somebody was asked to flush them.
    scheduled: bool,
}

impl Groups {
    pub(super) fn open(disk: Arc<dyn Disk>) -> io::Result<Self> {
        let (journal, entries, found) = Journal::open(disk, Path::new("queue/GROUPS"))?;
        if found.damaged > 0 {
            tracing::error!(places = found.damaged, "damage in queue/GROUPS: some groups go on at an older offset");
        }
        let mut durable = Durable::default();
        for entry in &entries {
            let mut rest = entry.as_slice();
            while let Some(change) = entry::decode(&mut rest) {
                durable.apply(change);
            }
        }
        Ok(Self {
            durable: Mutex::new(durable),
            waiting: Mutex::default(),
            journal: Mutex::new(journal),
            wake: RwLock::new(None),
            closed: AtomicBool::new(false),
            commits: AtomicU64::new(0),
        })
    }

    /// From now on submitted changes are flushed by whom this asks.
    pub(super) fn flushed_by(&self, wake: Wake) {
        *self.wake.write() = Some(wake);
    }

    /// Notes durably that `group` wants `offset` next. It may go back. Waits for the disk.
    ///
    /// # Errors
    /// [`QueueError::Refused`] for impossible names, [`QueueError::NotDurable`] or [`QueueError::Full`] from the disk.
    pub fn commit(&self, group: &str, topic: TopicId, partition: PartitionId, offset: Offset) -> Result<(), QueueError> {
        let mut done = self.enqueue(group, vec![((topic, partition), Committed::at(offset))], false)?;
        self.flush();
        // Whoever flushed, us or somebody before us, has answered.
        done.try_recv().unwrap_or(Err(QueueError::Closed))
    }

    /// The same for many partitions, all or none, without waiting: the receiver tells when it is durable.
    ///
    /// # Errors
    /// As [`Groups::commit`]; [`QueueError::Closed`] at shutdown.
    pub fn submit(&self, group: &str, offsets: Vec<(Place, Committed)>) -> Result<Done, QueueError> {
        self.enqueue(group, offsets, true)
    }

    fn enqueue(&self, group: &str, mut offsets: Vec<(Place, Committed)>, schedule: bool) -> Result<Done, QueueError> {
        if group.is_empty() || group.len() > NAME_BYTES {
            return Err(QueueError::Refused(format!("a group's name has 1 to {NAME_BYTES} bytes")));
        }
        if offsets.iter().any(|(_, committed)| committed.metadata.len() > METADATA_BYTES) {
            return Err(QueueError::Refused(format!("an offset's metadata has at most {METADATA_BYTES} bytes")));
        }
        let group: Arc<str> = {
            let durable = self.durable.lock();
            let known = durable.groups.get_key_value(group);
            let places = known.map(|(_, places)| places);
            // Most of what is committed is what is committed already, by consumers that have nothing to do.
            offsets.retain(|(place, new)| !places.and_then(|places| places.get(place)).is_some_and(|old| old.same(new)));
            let fresh = offsets.iter().filter(|(place, _)| !places.is_some_and(|places| places.contains_key(place))).count();
            let text: usize = offsets.iter().map(|(_, committed)| committed.metadata.len()).sum();
            if durable.keys + fresh > KEYS || durable.text + text + fresh * group.len() > TEXT_BYTES {
                return Err(QueueError::Refused("too many group offsets".into()));
            }
            known.map_or_else(|| group.into(), |(group, _)| group.clone())
        };
        self.commits.fetch_add(1, Ordering::Relaxed);
        Ok(self.put(
            offsets.into_iter().map(|(place, committed)| Change::Set(group.clone(), place, committed)).collect(),
            schedule,
        ))
    }

    /// Forgets what a group committed: all of it, or some partitions.
    pub fn forget(&self, group: &str, places: Option<&[Place]>) -> Done {
        let group: Arc<str> = group.into();
        self.put(
            match places {
                None => vec![Change::Forget(group)],
                Some(places) => places.iter().map(|place| Change::ForgetPlace(group.clone(), *place)).collect(),
            },
            true,
        )
    }

    /// Notes when a group's last member left: its offsets are kept for a while from then on.
    pub(super) fn emptied(&self, group: &str, time_ms: i64) {
        if self.durable.lock().groups.contains_key(group) {
            // Nobody waits for it; without it the offsets' own times count.
            let _done = self.put(vec![Change::Emptied(group.into(), time_ms)], true);
        }
    }

    fn put(&self, changes: Vec<Change>, schedule: bool) -> Done {
        let (done, receiver) = oneshot::channel();
        if changes.is_empty() {
            let _mine = done.send(Ok(()));
            return receiver;
        }
        let wake = {
            let mut waiting = self.waiting.lock();
            if schedule && self.closed.load(Ordering::Acquire) {
                let _mine = done.send(Err(QueueError::Closed));
                return receiver;
            }
            waiting.changes.push((changes, done));
            schedule && !std::mem::replace(&mut waiting.scheduled, true)
        };
        if wake {
            match &*self.wake.read() {
                Some(wake) => wake(),
                None => self.flush(),
            }
        }
        receiver
    }

    /// Makes durable whatever waits, and says so.
    pub(super) fn flush(&self) {
        let mut journal = self.journal.lock();
        let waiting = {
            let mut waiting = self.waiting.lock();
            waiting.scheduled = false;
            std::mem::take(&mut waiting.changes)
        };
        if waiting.is_empty() {
            return;
        }
        let (changes, tickets): (Vec<_>, Vec<_>) = waiting.into_iter().unzip();
        let result = self.write(&mut journal, changes.into_iter().flatten().collect());
        let result = result.map_err(QueueError::not_durable);
        for ticket in tickets {
            // Who dropped it does not want to know.
            let _gone = ticket.send(result.clone());
        }
    }

    /// Takes nothing more from clients; what waits is flushed.
    pub(super) fn close(&self) {
        {
            let _none_in_between = self.waiting.lock();
            self.closed.store(true, Ordering::Release);
        }
        self.flush();
    }

    fn write(&self, journal: &mut Journal, changes: Vec<Change>) -> io::Result<()> {
        let mut bytes = Vec::new();
        for change in &changes {
            entry::encode(&mut bytes, change);
        }
        if journal.append(&bytes).is_err() {
            // A poisoned journal is healed by a new file that says all.
            let mut next = Durable::default();
            for change in self.durable.lock().all() {
                next.apply(change);
            }
            for change in changes {
                next.apply(change);
            }
            journal.checkpoint(&[&next.encode()])?;
            *self.durable.lock() = next;
            return Ok(());
        }
        let mut durable = self.durable.lock();
        for change in changes {
            durable.apply(change);
        }
        if journal.len() > REWRITE_BYTES && journal.len() > durable.encoded_len() * 4 {
            let whole = durable.encode();
            drop(durable);
            // A failure leaves the old entries: next time.
            let _later = journal.checkpoint(&[&whole]);
        }
        Ok(())
    }

    /// The offset that `group` wants next, if it ever said so.
    pub fn committed(&self, group: &str, topic: TopicId, partition: PartitionId) -> Option<Offset> {
        self.durable.lock().groups.get(group)?.get(&(topic, partition)).map(|committed| committed.offset)
    }

    /// The same, with what the client said beside it, for some partitions.
    pub fn look_up(&self, group: &str, places: &[Place]) -> Vec<Option<Committed>> {
        let durable = self.durable.lock();
        let group = durable.groups.get(group);
        places.iter().map(|place| group.and_then(|group| group.get(place)).cloned()).collect()
    }

    /// All that a group has committed.
    pub fn of_group(&self, group: &str) -> Vec<(Place, Committed)> {
        let durable = self.durable.lock();
        let places = durable.groups.get(group).into_iter().flatten();
        places.map(|(place, committed)| (*place, committed.clone())).collect()
    }

    /// Whether a group has committed anything.
    pub fn has(&self, group: &str) -> bool {
        self.durable.lock().groups.contains_key(group)
    }

    /// All groups that have committed anything, by name.
    pub fn names(&self) -> Vec<Arc<str>> {
        self.durable.lock().groups.keys().cloned().collect()
    }

    /// All offsets of a topic that were once the log's: group, partition, offset.
    pub fn of_topic(&self, topic: TopicId) -> Vec<(Arc<str>, PartitionId, Offset)> {
        let durable = self.durable.lock();
        let mut found = Vec::new();
        for (group, places) in &durable.groups {
            let own = places.range((topic, 0)..=(topic, PartitionId::MAX)).filter(|(_, committed)| !committed.ahead);
            found.extend(own.map(|((_, partition), committed)| (group.clone(), *partition, committed.offset)));
        }
        found
    }

    /// How often clients and outputs committed.
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// Forgets offsets that are older than `before_ms` of groups that are not `live`, and those of topics that are not `there`.
    /// Tells of how many partitions.
    pub(super) fn expire(&self, before_ms: i64, live: impl Fn(&str) -> bool, there: impl Fn(TopicId) -> bool) -> usize {
        // Who is live is asked without our lock: whoever commits holds the other one first.
        let mut changes: Vec<(bool, Change)> = Vec::new();
        for (group, places) in &self.durable.lock().groups {
            for ((topic, partition), committed) in places {
                let gone = !there(*topic);
                if gone || (!is_own(group) && (1..before_ms).contains(&committed.time_ms)) {
                    changes.push((gone, Change::ForgetPlace(group.clone(), (*topic, *partition))));
                }
            }
        }
        let of = |change: &Change| matches!(change, Change::ForgetPlace(group, _) if live(group));
        let changes: Vec<Change> =
            changes.into_iter().filter(|(gone, change)| *gone || !of(change)).map(|(_, change)| change).collect();
        let count = changes.len();
        let _done = self.put(changes, true);
        count
    }

    /// Forgets a topic that was deleted. Its entries are left out when the journal is next written anew.
    pub(super) fn forget_topic(&self, topic: TopicId) {
        self.durable.lock().keep(&|id| id != topic);
    }

    /// Forgets what is of no topic that there is.
    pub(super) fn keep(&self, is_there: &dyn Fn(TopicId) -> bool) {
        self.durable.lock().keep(is_there);
    }

    /// The least offset that an output still wants, by partition.
    pub(super) fn holds(&self) -> HashMap<(TopicId, PartitionId), Offset> {
        let mut holds = HashMap::new();
        let durable = self.durable.lock();
        let outputs = durable
            .groups
            .range::<str, _>((Bound::Included(OUTPUT), Bound::Unbounded))
            .take_while(|(group, _)| group.starts_with(OUTPUT));
        for (place, committed) in outputs.flat_map(|(_, places)| places) {
            let least = holds.entry(*place).or_insert(committed.offset);
            *least = (*least).min(committed.offset);
        }
        holds
    }
}

impl Durable {
    fn apply(&mut self, change: Change) {
        match change {
            Change::Set(group, place, committed) => {
                let (name, text) = (group.len(), committed.metadata.len());
                match self.groups.entry(group).or_default().insert(place, committed) {
                    Some(former) => self.text = (self.text + text).saturating_sub(former.metadata.len()),
                    None => (self.keys, self.text) = (self.keys + 1, self.text + name + text),
                }
            }
            Change::Forget(group) => {
                for committed in self.groups.remove(&group).into_iter().flat_map(BTreeMap::into_values) {
                    self.forgot(&group, &committed);
                }
            }
            Change::ForgetPlace(group, place) => {
                let Some(places) = self.groups.get_mut(&group) else { return };
                let Some(former) = places.remove(&place) else { return };
                if places.is_empty() {
                    self.groups.remove(&group);
                }
                self.forgot(&group, &former);
            }
            Change::Emptied(group, time_ms) => {
                for committed in self.groups.get_mut(&group).into_iter().flat_map(BTreeMap::values_mut) {
                    committed.time_ms = committed.time_ms.max(time_ms);
                }
            }
        }
    }

    fn all(&self) -> Vec<Change> {
        let places = |(group, places): (&Arc<str>, &BTreeMap<Place, Committed>)| {
            let group = group.clone();
            let set = move |(place, committed): (&Place, &Committed)| Change::Set(group.clone(), *place, committed.clone());
            places.iter().map(set).collect::<Vec<_>>()
        };
        self.groups.iter().flat_map(places).collect()
    }

    fn encode(&self) -> Vec<u8> {
        let mut whole = Vec::new();
        for change in self.all() {
            entry::encode(&mut whole, &change);
        }
        whole
    }

    fn keep(&mut self, is_there: &dyn Fn(TopicId) -> bool) {
        let gone = |(group, places): (&Arc<str>, &BTreeMap<Place, Committed>)| {
            let group = group.clone();
            let gone = places.keys().filter(|(topic, _)| !is_there(*topic)).copied();
            gone.map(move |place| Change::ForgetPlace(group.clone(), place)).collect::<Vec<_>>()
        };
        for change in self.groups.iter().flat_map(gone).collect::<Vec<_>>() {
            self.apply(change);
        }
    }

    fn forgot(&mut self, group: &str, former: &Committed) {
        self.keys = self.keys.saturating_sub(1);
        self.text = self.text.saturating_sub(group.len() + former.metadata.len());
    }

    fn encoded_len(&self) -> u64 {
        (self.keys * entry::FIXED + self.text) as u64
    }
}

impl std::fmt::Debug for Groups {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Groups").field("keys", &self.durable.lock().keys).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
