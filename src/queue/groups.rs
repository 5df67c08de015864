//! Consumer groups: how far each has come.
//!
//! Purpose: a durable map (group, topic, partition) → offset of the next record that the group wants. Groups whose names begin
//! with `_out.` are outputs: what they have not taken is held back from retention.
//!
//! On disk: `queue/GROUPS`, a [`Journal`] of entries, little-endian, each commits back to back:
//! ```text
//! group name length u16 | name | topic id [16] | partition u32 | offset u64
//! ```
//! The last one of a key counts. When the file is several times its content it is written anew (a checkpoint).
//! Invariant: [`Groups::commit`] returned `Ok` means durable. Commits that come while one is being synced share the next sync.
//! Limits: names of [`NAME_BYTES`], [`KEYS`] keys.
//! Crash story: the journal's. An offset that was lost with a damaged entry is an older one: records come twice, none is missed.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use super::error::QueueError;
use crate::base::disk::Disk;
use crate::base::ids::{Offset, PartitionId, TopicId};
use crate::base::journal::Journal;

/// Longest group name.
pub const NAME_BYTES: usize = 255;
/// Most (group, topic, partition) keys.
pub const KEYS: usize = 1_000_000;
/// Groups with this beginning hold back retention.
pub const OUTPUT: &str = "_out.";
/// The journal is written anew from this size on, if it is four times its content.
const REWRITE_BYTES: u64 = 1 << 20;

type Place = (Arc<str>, TopicId, PartitionId);

/// The committed offsets of all groups.
#[derive(Debug)]
pub struct Groups {
    /// What is durable. Locked only for moments.
    durable: Mutex<HashMap<Place, Offset>>,
    waiting: Mutex<Waiting>,
    /// Locked while syncing; whoever has it commits for all that wait.
    journal: Mutex<Journal>,
}

#[derive(Debug, Default)]
struct Waiting {
    commits: Vec<(Place, Offset)>,
    /// Number of the flush that these will go with, and the outcome of the last few.
    flush: u64,
    failed: HashMap<u64, Arc<io::Error>>,
}

impl Groups {
    pub(super) fn open(disk: Arc<dyn Disk>) -> io::Result<Self> {
        let (journal, entries, found) = Journal::open(disk, Path::new("queue/GROUPS"))?;
        if found.damaged > 0 {
            tracing::error!(places = found.damaged, "damage in queue/GROUPS: some groups go on at an older offset");
        }
        let mut durable = HashMap::new();
        for entry in &entries {
            let mut rest = entry.as_slice();
            while let Some((place, offset)) = decode(&mut rest) {
                durable.insert(place, offset);
            }
        }
        Ok(Self { durable: Mutex::new(durable), waiting: Mutex::default(), journal: Mutex::new(journal) })
    }

    /// Notes durably that `group` wants `offset` next. It may go back.
    ///
    /// # Errors
    /// [`QueueError::Refused`] for impossible names, [`QueueError::NotDurable`] or [`QueueError::Full`] from the disk.
    pub fn commit(&self, group: &str, topic: TopicId, partition: PartitionId, offset: Offset) -> Result<(), QueueError> {
        if group.is_empty() || group.len() > NAME_BYTES {
            return Err(QueueError::Refused(format!("a group's name has 1 to {NAME_BYTES} bytes")));
        }
        let place: Place = (group.into(), topic, partition);
        {
            let durable = self.durable.lock();
            match durable.get(&place) {
                Some(known) if *known == offset => return Ok(()),
                None if durable.len() >= KEYS => return Err(QueueError::Refused("too many group offsets".into())),
                _ => {}
            }
        }
        let mine = {
            let mut waiting = self.waiting.lock();
            waiting.commits.push((place, offset));
            waiting.flush
        };
        let mut journal = self.journal.lock();
        let commits = {
            let mut waiting = self.waiting.lock();
            if waiting.flush > mine {
                // Somebody before us took ours along.
                return match waiting.failed.get(&mine) {
                    Some(error) => Err(QueueError::NotDurable(error.clone())),
                    None => Ok(()),
                };
            }
            waiting.flush += 1;
            std::mem::take(&mut waiting.commits)
        };
        let result = self.write(&mut journal, &commits);
        let mut waiting = self.waiting.lock();
        // Who waits for an outcome waits at the journal's lock, so he asks before many flushes have passed.
        waiting.failed.retain(|flush, _| flush + 10_000 > mine);
        if let Err(error) = result {
            let error = Arc::new(error);
            waiting.failed.insert(mine, error.clone());
            return Err(QueueError::NotDurable(error));
        }
        Ok(())
    }

    fn write(&self, journal: &mut Journal, commits: &[(Place, Offset)]) -> io::Result<()> {
        let mut bytes = Vec::new();
        for (place, offset) in commits {
            encode(&mut bytes, place, *offset);
        }
        let appended = journal.append(&bytes);
        if appended.is_err() {
            // A poisoned journal is healed by a new file that says all.
            let mut next = self.durable.lock().clone();
            next.extend(commits.iter().cloned());
            journal.checkpoint(&[&encode_all(&next)])?;
            *self.durable.lock() = next;
            return Ok(());
        }
        let mut durable = self.durable.lock();
        durable.extend(commits.iter().cloned());
        if journal.len() > REWRITE_BYTES {
            let whole = encode_all(&durable);
            drop(durable);
            if journal.len() > whole.len() as u64 * 4 {
                // A failure leaves the old entries: next time.
                let _later = journal.checkpoint(&[&whole]);
            }
        }
        Ok(())
    }

    /// The offset that `group` wants next, if it ever said so.
    pub fn committed(&self, group: &str, topic: TopicId, partition: PartitionId) -> Option<Offset> {
        self.durable.lock().get(&(group.into(), topic, partition)).copied()
    }

    /// All offsets of a topic: group, partition, offset.
    pub fn of_topic(&self, topic: TopicId) -> Vec<(Arc<str>, PartitionId, Offset)> {
        let durable = self.durable.lock();
        let own = durable.iter().filter(|((_, id, _), _)| *id == topic);
        own.map(|((group, _, partition), offset)| (group.clone(), *partition, *offset)).collect()
    }

    /// Forgets a topic that was deleted. Its entries are left out when the journal is next written anew.
    pub(super) fn forget(&self, topic: TopicId) {
        self.durable.lock().retain(|(_, id, _), _| *id != topic);
    }

    /// Forgets what is of no topic that there is.
    pub(super) fn keep(&self, is_there: &dyn Fn(TopicId) -> bool) {
        self.durable.lock().retain(|(_, id, _), _| is_there(*id));
    }

    /// The least offset that an output still wants, by partition.
    pub(super) fn holds(&self) -> HashMap<(TopicId, PartitionId), Offset> {
        let mut holds = HashMap::new();
        for ((group, topic, partition), offset) in &*self.durable.lock() {
            if group.starts_with(OUTPUT) {
                let least = holds.entry((*topic, *partition)).or_insert(*offset);
                *least = (*least).min(*offset);
            }
        }
        holds
    }
}

fn encode_all(places: &HashMap<Place, Offset>) -> Vec<u8> {
    let mut whole = Vec::new();
    for (place, offset) in places {
        encode(&mut whole, place, *offset);
    }
    whole
}

fn encode(out: &mut Vec<u8>, (group, topic, partition): &Place, offset: Offset) {
    out.extend_from_slice(&u16::try_from(group.len()).unwrap_or(0).to_le_bytes());
    out.extend_from_slice(group.as_bytes());
    out.extend_from_slice(topic.as_bytes());
    out.extend_from_slice(&partition.to_le_bytes());
    out.extend_from_slice(&offset.to_le_bytes());
}

fn decode(bytes: &mut &[u8]) -> Option<(Place, Offset)> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    let (name, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
    let (topic, rest) = rest.split_first_chunk::<16>()?;
    let (partition, rest) = rest.split_first_chunk::<4>()?;
    let (offset, rest) = rest.split_first_chunk::<8>()?;
    *bytes = rest;
    let place = (std::str::from_utf8(name).ok()?.into(), TopicId::from_bytes(*topic), u32::from_le_bytes(*partition));
    Some((place, u64::from_le_bytes(*offset)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::disk::sim::SimDisk;

    #[test]
    fn commits_survive_and_those_of_outputs_hold() {
        let disk = SimDisk::new(1);
        disk.create_dir_all(Path::new("queue")).unwrap();
        let (one, two) = (TopicId::new(), TopicId::new());
        let groups = Groups::open(disk.clone()).unwrap();
        groups.commit("g", one, 0, 5).unwrap();
        groups.commit("_out.a", two, 1, 7).unwrap();
        groups.commit("_out.b", two, 1, 9).unwrap();
        groups.commit("g", one, 0, 3).unwrap();
        assert!(matches!(groups.commit("", one, 0, 3), Err(QueueError::Refused(_))));
        let groups = Groups::open(disk.crash()).unwrap();
        assert_eq!(groups.committed("g", one, 0), Some(3));
        assert_eq!(groups.committed("g", one, 1), None);
        assert_eq!(groups.holds(), HashMap::from([((two, 1), 7)]));
        assert_eq!(groups.of_topic(one), vec![("g".into(), 0, 3)]);
    }

    #[test]
    fn a_failed_sync_is_healed_by_a_new_file() {
        let disk = SimDisk::new(3);
        disk.create_dir_all(Path::new("queue")).unwrap();
        let topic = TopicId::new();
        let groups = Groups::open(disk.clone()).unwrap();
        groups.commit("g", topic, 0, 1).unwrap();
        disk.fail_sync_after(0);
        groups.commit("g", topic, 0, 2).unwrap();
        assert_eq!(Groups::open(disk.crash()).unwrap().committed("g", topic, 0), Some(2));
    }

    #[test]
    fn the_journal_does_not_grow_with_commits() {
        let disk = SimDisk::new(1);
        disk.create_dir_all(Path::new("queue")).unwrap();
        let groups = Groups::open(disk.clone()).unwrap();
        let topic = TopicId::new();
        let name = "n".repeat(200);
        for offset in 0..20_000 {
            groups.commit(&name, topic, 0, offset).unwrap();
        }
        assert!(disk.files()[0].1 < REWRITE_BYTES * 2, "{:?}", disk.files());
        assert_eq!(Groups::open(disk.crash()).unwrap().committed(&name, topic, 0), Some(19_999));
    }
}
