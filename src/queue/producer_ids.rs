//! Ids for idempotent producers: each is given once, for ever.
//!
//! On disk: `queue/PRODUCERS`, a journal of numbers, each 8 bytes little-endian: ids below the last one may be in use. A thousand
//! are taken at a time, so a client that starts costs no sync.
//! Crash story: what of a thousand was not given yet is left out. If an entry is damaged, or the journal is gone, ids go on far
//! above what is known of it, and above every id that a partition has seen.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::error::QueueError;
use crate::base::disk::Disk;
use crate::base::journal::Journal;

/// Ids that are taken at a time.
const BLOCK: i64 = 1_000;
/// What is left out when nobody knows how many entries were damaged.
const LEAP: i64 = 1 << 32;
/// The journal is written anew at this size.
const REWRITE_BYTES: u64 = 64 * 1024;
/// A partition may have seen ids that a client made up; above this they say nothing of ours, which never come so far.
const PLAUSIBLE: i64 = 1 << 60;

/// The open journal.
#[derive(Debug)]
pub struct ProducerIds {
    journal: Journal,
    next: i64,
    /// Durably taken up to here.
    taken: i64,
}

impl ProducerIds {
    /// Opens it; gives how many entries are broken, too.
    pub fn open(disk: Arc<dyn Disk>) -> io::Result<(Self, u64)> {
        let (journal, entries, found) = Journal::open(disk, Path::new("queue/PRODUCERS"))?;
        let mut damaged = found.damaged;
        let mut next = 0;
        for entry in &entries {
            match entry.as_slice().try_into().map(i64::from_le_bytes) {
                Ok(number) => next = next.max(number.min(PLAUSIBLE)),
                Err(_) => damaged += 1,
            }
        }
        if damaged > 0 {
            next += LEAP;
        }
        Ok((Self { journal, next, taken: next }, damaged))
    }

    /// A partition has seen this id.
    pub fn seen(&mut self, id: i64) {
        if (self.taken..PLAUSIBLE).contains(&id) {
            self.next = id + 1;
            self.taken = id + 1;
        }
    }

    /// One that nobody has.
    ///
    /// # Errors
    /// [`QueueError::NotDurable`] or [`QueueError::Full`] from the disk.
    pub fn give(&mut self) -> Result<i64, QueueError> {
        if self.next >= self.taken {
            let upto = self.next + BLOCK;
            let bytes = upto.to_le_bytes();
            // A poisoned journal is healed by a new file; the last number says all.
            if self.journal.len() > REWRITE_BYTES || self.journal.append(&bytes).is_err() {
                self.journal.checkpoint(&[&bytes]).map_err(QueueError::not_durable)?;
            }
            self.taken = upto;
        }
        self.next += 1;
        Ok(self.next - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::disk::sim::SimDisk;

    #[test]
    fn an_id_is_given_once_whatever_the_disk_does() {
        for seed in 0..50 {
            let mut disk = SimDisk::new(seed);
            disk.create_dir_all(Path::new("queue")).unwrap();
            disk.sync_dir(Path::new("")).unwrap();
            let mut last = -1;
            for round in 0..6 {
                let (mut ids, _) = ProducerIds::open(disk.clone()).unwrap();
                if (seed + round) % 3 == 0 {
                    disk.fail_sync_after(round % 2);
                }
                disk.power_off_after((seed * 7 + round) % 9);
                for _ in 0..2_500 {
                    let Ok(id) = ids.give() else { continue };
                    assert!(id > last, "seed {seed}: {id} again");
                    last = id;
                }
                disk = disk.crash();
            }
        }
    }

    #[test]
    fn a_lost_journal_does_not_give_ids_again() {
        let disk = SimDisk::new(1);
        disk.create_dir_all(Path::new("queue")).unwrap();
        let (mut ids, _) = ProducerIds::open(disk.clone()).unwrap();
        for id in [7, 5000, i64::MAX] {
            ids.seen(id);
        }
        assert_eq!(ids.give().unwrap(), 5001);
        for _ in 0..1_500 {
            ids.give().unwrap();
        }
        disk.flip_bit(Path::new("queue/PRODUCERS"), 8 * 22);
        let (mut ids, damaged) = ProducerIds::open(disk).unwrap();
        assert_eq!(damaged, 1);
        assert!(ids.give().unwrap() > LEAP);
    }
}
