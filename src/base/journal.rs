//! An append-only, checksummed log of small entries with checkpoints: what commit logs are kept in.
//!
//! Purpose: a caller keeps a state in memory that is the fold of its entries; after a crash the entries come back in order.
//!
//! On disk, little-endian, back to back in one file:
//! ```text
//! magic "SWBJ" | length u32 | crc32c u32 over (sequence, payload) | sequence u64 | payload
//! ```
//! Invariants: [`Journal::append`] returned means the entry is durable. Sequence numbers grow by one; a checkpoint is a fresh
//! file that begins with the caller's snapshot and takes the old one's place by rename.
//! Limits: an entry is at most [`ENTRY_BYTES`].
//! Crash story: a torn last entry is cut off. A damaged entry inside is skipped by looking for the next whole one, and counted:
//! opening never fails for damage. After a failed write or sync the journal is poisoned; only a checkpoint (a new file) heals it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::disk::{Disk, DiskFile};

/// Largest payload of an entry: a commit that drops a store of a million parts still fits.
pub const ENTRY_BYTES: usize = 256 * 1024 * 1024;
const MAGIC: [u8; 4] = *b"SWBJ";
const HEAD: usize = 20;

/// What opening found beside the entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Bytes of a torn tail that were cut off.
    pub torn_bytes: u64,
    /// Places inside where bytes were damaged and skipped.
    pub damaged: u64,
    /// Whether the tail is not the beginning of an entry and nothing else: the power may have gone within a write and left some of
    /// its sectors, or it was an entry that is damaged now.
    pub doubtful: bool,
}

/// What a journal's file has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Sequence numbers and payloads, in order; a number that is left out was an entry that is lost.
    pub entries: Vec<(u64, Vec<u8>)>,
    /// What is beside them.
    pub found: Found,
    /// The next sequence number.
    sequence: u64,
    /// Where the last whole entry ends.
    end: u64,
}

impl Look {
    /// Looks at the journal at `path`, and changes nothing.
    ///
    /// # Errors
    /// The disk's; damage is no error.
    pub fn at(disk: &dyn Disk, path: &Path) -> io::Result<Self> {
        Self::of(&*disk.open(path, false)?)
    }

    fn of(file: &dyn DiskFile) -> io::Result<Self> {
        let len = usize::try_from(file.len()?).map_err(|_| io::Error::other("journal larger than memory"))?;
        let mut bytes = vec![0; len];
        let got = file.read_at(&mut bytes, 0)?;
        bytes.truncate(got);
        let mut look = Self::default();
        let (mut at, mut end) = (0, 0);
        while at < bytes.len() {
            if let Some((number, payload)) = entry_at(&bytes[at..]) {
                if at > end {
                    look.found.damaged += 1;
                }
                at += HEAD + payload.len();
                end = at;
                // An older entry behind a newer one is left over from a file that was cut: not ours any more.
                if number >= look.sequence {
                    look.sequence = number + 1;
                    look.entries.push((number, payload.to_vec()));
                }
            } else {
                at += 1 + memchr::memmem::find(&bytes[at + 1..], &MAGIC).unwrap_or(bytes.len() - at - 1);
            }
        }
        look.found.torn_bytes = (bytes.len() - end) as u64;
        look.found.doubtful = !is_beginning(bytes.get(end..).unwrap_or(&[]));
        look.end = end as u64;
        Ok(look)
    }
}

/// An open journal.
#[derive(Debug)]
pub struct Journal {
    disk: Arc<dyn Disk>,
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    end: u64,
    sequence: u64,
    poisoned: bool,
}

impl Journal {
    /// Opens the journal at `path` (its directory must exist), or starts an empty one, and gives back its entries in order.
    ///
    /// # Errors
    /// The disk's; damage is no error.
    pub fn open(disk: Arc<dyn Disk>, path: &Path) -> io::Result<(Self, Vec<Vec<u8>>, Found)> {
        let look = match Look::at(&*disk, path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Look::default(),
            look => look?,
        };
        let (journal, found) = (Self::go_on(disk, path, &look)?, look.found);
        Ok((journal, look.entries.into_iter().map(|(_, payload)| payload).collect(), found))
    }

    /// Opens the journal at `path`, as a look at it found it to be: cuts off a torn tail.
    ///
    /// # Errors
    /// The disk's.
    pub fn go_on(disk: Arc<dyn Disk>, path: &Path, look: &Look) -> io::Result<Self> {
        let file = disk.open(path, true)?;
        if look.found.torn_bytes > 0 {
            file.set_len(look.end)?;
        }
        // What survived may only be in the page cache of a process that died: make it durable before anybody builds on it.
        file.sync_data()?;
        disk.sync_dir(path.parent().unwrap_or(Path::new("")))?;
        Ok(Self { disk, file, path: path.to_owned(), end: look.end, sequence: look.sequence, poisoned: false })
    }

    /// Adds an entry; when it returns, the entry is durable.
    ///
    /// # Errors
    /// The disk's. The journal is then poisoned: every further append fails until a [`Journal::checkpoint`] succeeds.
    pub fn append(&mut self, payload: &[u8]) -> io::Result<()> {
        if self.poisoned {
            return Err(io::Error::other(format!("{}: an earlier write failed", self.path.display())));
        }
        let entry = encode(self.sequence, payload)?;
        self.poisoned = true;
        self.file.write_at(&entry, self.end)?;
        self.file.sync_data()?;
        self.poisoned = false;
        self.end += entry.len() as u64;
        self.sequence += 1;
        Ok(())
    }

    /// Replaces all entries by these, which must say the same in fewer bytes. Durable and atomic.
    ///
    /// # Errors
    /// The disk's; then the old entries stand.
    pub fn checkpoint(&mut self, snapshot: &[&[u8]]) -> io::Result<()> {
        let mut bytes = Vec::new();
        let mut sequence = self.sequence;
        for payload in snapshot {
            bytes.extend_from_slice(&encode(sequence, payload)?);
            sequence += 1;
        }
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(".new");
        let fresh = self.path.with_file_name(name);
        let file = self.write_beside(&fresh, &bytes).inspect_err(|_| {
            // On a full disk half a snapshot would take the room that an entry needs. What stays is overwritten next time.
            let _ = self.disk.remove_file(&fresh);
        })?;
        // From the rename on the new file is the journal, whatever the sync of its name says.
        self.file = file;
        self.end = bytes.len() as u64;
        self.sequence = sequence;
        self.poisoned = true;
        self.disk.sync_dir(self.path.parent().unwrap_or(Path::new("")))?;
        self.poisoned = false;
        Ok(())
    }

    fn write_beside(&self, fresh: &Path, bytes: &[u8]) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.disk.open(fresh, true)?;
        file.set_len(0)?;
        file.write_at(bytes, 0)?;
        file.sync_data()?;
        self.disk.rename(fresh, &self.path)?;
        Ok(file)
    }

    /// Bytes of the file: when to checkpoint.
    pub fn len(&self) -> u64 {
        self.end
    }

    /// Whether nothing was ever appended.
    pub fn is_empty(&self) -> bool {
        self.end == 0
    }
}

fn encode(sequence: u64, payload: &[u8]) -> io::Result<Vec<u8>> {
    let length = u32::try_from(payload.len()).ok().filter(|_| payload.len() <= ENTRY_BYTES);
    let length = length.ok_or_else(|| io::Error::other("journal entry over its limit"))?;
    let mut entry = Vec::with_capacity(HEAD + payload.len());
    entry.extend_from_slice(&MAGIC);
    entry.extend_from_slice(&length.to_le_bytes());
    entry.extend_from_slice(&checksum(sequence, payload).to_le_bytes());
    entry.extend_from_slice(&sequence.to_le_bytes());
    entry.extend_from_slice(payload);
    Ok(entry)
}

fn entry_at(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (magic, rest) = bytes.split_first_chunk::<4>()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (crc, rest) = rest.split_first_chunk::<4>()?;
    let (sequence, rest) = rest.split_first_chunk::<8>()?;
    let payload = rest.get(..u32::from_le_bytes(*length) as usize)?;
    let sequence = u64::from_le_bytes(*sequence);
    (*magic == MAGIC && checksum(sequence, payload) == u32::from_le_bytes(*crc)).then_some((sequence, payload))
}

/// Whether this is the beginning of an entry and nothing else: what a write leaves that was cut short.
fn is_beginning(bytes: &[u8]) -> bool {
    let Some((magic, rest)) = bytes.split_first_chunk::<4>() else { return MAGIC.starts_with(bytes) };
    let head = || {
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (crc, rest) = rest.split_first_chunk::<4>()?;
        let (sequence, payload) = rest.split_first_chunk::<8>()?;
        // A whole payload behind a length that is damaged is none.
        let is_whole = checksum(u64::from_le_bytes(*sequence), payload) == u32::from_le_bytes(*crc);
        Some(payload.len() < u32::from_le_bytes(*length) as usize && !is_whole)
    };
    *magic == MAGIC && head().unwrap_or(true)
}

fn checksum(sequence: u64, payload: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&sequence.to_le_bytes()), payload)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::base::disk::RealDisk;
    use crate::base::disk::sim::SimDisk;

    fn disk() -> (tempfile::TempDir, Arc<dyn Disk>) {
        let dir = tempfile::tempdir().unwrap();
        let disk = Arc::new(RealDisk::open(dir.path()).unwrap());
        (dir, disk)
    }

    fn entries(disk: &Arc<dyn Disk>) -> (Vec<Vec<u8>>, Found) {
        let (_, entries, found) = Journal::open(disk.clone(), Path::new("J")).unwrap();
        (entries, found)
    }

    #[test]
    fn entries_come_back_in_order() {
        let (_dir, disk) = disk();
        let (mut journal, none, _) = Journal::open(disk.clone(), Path::new("J")).unwrap();
        assert!(none.is_empty());
        journal.append(b"one").unwrap();
        journal.append(b"").unwrap();
        journal.append(b"three").unwrap();
        assert_eq!(entries(&disk), (vec![b"one".to_vec(), vec![], b"three".to_vec()], Found::default()));
        journal.checkpoint(&[b"all"]).unwrap();
        journal.append(b"more").unwrap();
        assert_eq!(entries(&disk).0, vec![b"all".to_vec(), b"more".to_vec()]);
    }

    #[test]
    fn a_torn_tail_is_cut_and_damage_costs_only_its_entry() {
        let (_dir, disk) = disk();
        let (mut journal, _, _) = Journal::open(disk.clone(), Path::new("J")).unwrap();
        for payload in [b"aaaa", b"bbbb", b"cccc"] {
            journal.append(payload).unwrap();
        }
        let file = disk.open(Path::new("J"), false).unwrap();
        let len = file.len().unwrap();
        for cut in (len - 23)..len {
            let mut whole = vec![0; usize::try_from(len).unwrap()];
            file.read_at(&mut whole, 0).unwrap();
            file.set_len(cut).unwrap();
            let (some, found) = entries(&disk);
            assert_eq!(some, vec![b"aaaa".to_vec(), b"bbbb".to_vec()], "cut at {cut}");
            assert_eq!(found, Found { torn_bytes: cut + 24 - len, damaged: 0, doubtful: false });
            file.write_at(&whole, 0).unwrap();
        }
        for flipped in 24..48 {
            let mut byte = [0];
            file.read_at(&mut byte, flipped).unwrap();
            file.write_at(&[byte[0] ^ 0x10], flipped).unwrap();
            let (some, found) = entries(&disk);
            assert_eq!(some, vec![b"aaaa".to_vec(), b"cccc".to_vec()], "flipped at {flipped}");
            assert_eq!(found, Found { torn_bytes: 0, damaged: 1, doubtful: false });
            file.write_at(&byte, flipped).unwrap();
        }
        let mut whole = vec![0; usize::try_from(len).unwrap()];
        file.read_at(&mut whole, 0).unwrap();
        for bit in 48 * 8..72 * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            file.write_at(&flipped, 0).unwrap();
            let (some, found) = entries(&disk);
            assert_eq!(some, vec![b"aaaa".to_vec(), b"bbbb".to_vec()]);
            assert_eq!(found, Found { torn_bytes: 24, damaged: 0, doubtful: true }, "bit {bit} of the last entry");
        }
        file.set_len(48).unwrap();
        file.set_len(60).unwrap();
        assert!(entries(&disk).1.doubtful, "a file that grew without what was written");
    }

    /// What a caller does: appends, checkpoints when it may, heals a poisoned journal by a checkpoint. The power fails anywhere.
    #[test]
    fn what_was_acknowledged_survives_every_crash() {
        let mut lives = 0;
        for seed in 0..300_u64 {
            let mut disk = SimDisk::new(seed);
            // What must be there, and what may be there behind it: an entry whose append failed.
            let (mut sure, mut perhaps): (Vec<Vec<u8>>, Option<Vec<u8>>) = (Vec::new(), None);
            for life in 0..4_u64 {
                let (journal, entries, found) = Journal::open(disk.clone(), Path::new("J")).unwrap();
                let mut with = sure.clone();
                with.extend(perhaps.take());
                assert!(entries == sure || entries == with, "seed {seed}, life {life}: {entries:?}, not {sure:?} or {with:?}");
                assert_eq!(found.damaged, 0, "seed {seed}: a crash is no damage");
                sure = entries;
                lives += 1;
                let mut journal = journal;
                disk.power_off_after((seed * 7 + life * 5) % 23);
                if seed % 3 == 0 {
                    disk.fail_sync_after((seed + life) % 5);
                }
                for nth in 0..8_u64 {
                    if nth % 4 == 3 {
                        let all: Vec<&[u8]> = sure.iter().map(Vec::as_slice).collect();
                        if journal.checkpoint(&all).is_ok() {
                            perhaps = None;
                        }
                        continue;
                    }
                    let length = usize::try_from((seed + nth * 97) % 1500).unwrap();
                    let entry = [format!("{life}.{nth}").into_bytes(), vec![b'.'; length]].concat();
                    match journal.append(&entry) {
                        Ok(()) => {
                            assert!(perhaps.is_none(), "seed {seed}: a poisoned journal took an entry");
                            sure.push(entry);
                        }
                        // The first to fail may be durable; those behind it were refused.
                        Err(_) => perhaps = perhaps.or(Some(entry)),
                    }
                }
                disk = disk.crash();
            }
        }
        assert_eq!(lives, 1200);
    }

    #[test]
    fn a_checkpoint_that_finds_no_room_takes_none() {
        let disk = SimDisk::new(1);
        let (mut journal, _, _) = Journal::open(disk.clone(), Path::new("J")).unwrap();
        journal.append(b"one").unwrap();
        disk.set_capacity(Some(journal.len() * 2 + 100));
        assert!(journal.checkpoint(&[&[7; 1000]]).is_err());
        assert_eq!(disk.files().len(), 1, "{:?}", disk.files());
        journal.append(b"two").unwrap();
        let (_, entries, _) = Journal::open(disk.crash(), Path::new("J")).unwrap();
        assert_eq!(entries, vec![b"one".to_vec(), b"two".to_vec()]);
    }
}
