//! A disk in memory that breaks as real ones do, driven by a seed: what crash tests of queue and store run on.
//!
//! It keeps, for every file and name, what a program sees (the page cache) and what would survive (the platter).
//! * [`SimDisk::crash`] takes the power away. Of the unsynced sectors (512 bytes) of a file none, all, a first run or any may
//!   have reached the platter, and so may a new length; of the unsynced names of a directory (made, removed, renamed) any first
//!   run. The old disk answers nothing but errors from then on, the new one holds what survived.
//! * [`SimDisk::power_off_after`] does that in the middle of somebody's work.
//! * [`SimDisk::fail_sync_after`]: one failing fsync, after which the page cache lies: reads show the bytes, the next sync says
//!   `Ok`, and a crash loses them.
//! * [`SimDisk::fail_write_after`]: one write that stops half way.
//! * [`SimDisk::set_capacity`]: a disk that gets full, in the middle of a write.
//! * [`SimDisk::flip_bit`]: silent damage on the platter.
//!
//! Invariant: what was synced, and named durably, survives everything but `flip_bit`.
//! Left out: sectors that are half written (drives don't), renames of directories (nobody here does), permissions.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::file::SimFile;
use super::{Disk, DiskFile, Entry, Mapped, Space};

mod file;

const SECTOR: usize = 512;

/// A disk with faults. Clones of the `Arc` are the same disk.
#[derive(Debug)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    random: u64,
    off: bool,
    off_after: Option<u64>,
    fail_sync_after: Option<u64>,
    fail_write_after: Option<u64>,
    capacity: Option<u64>,
    done: Done,
    next_inode: u64,
    inodes: HashMap<u64, Inode>,
    /// Names as a program sees them, and as they would survive.
    names: BTreeMap<PathBuf, Node>,
    durable_names: BTreeMap<PathBuf, Node>,
    /// Changes of names that no `sync_dir` has made durable, oldest first.
    pending: Vec<Change>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    Dir,
    File(u64),
}

#[derive(Clone, Debug)]
struct Change {
    unset: Option<PathBuf>,
    set: Option<(PathBuf, Node)>,
}

/// How many operations a disk has done: where a fault can be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// All that change something.
    pub changes: u64,
    /// Of those, writes.
    pub writes: u64,
    /// Of those, `sync_data`s.
    pub syncs: u64,
}

#[derive(Debug, Default)]
struct Inode {
    live: Vec<u8>,
    durable: Vec<u8>,
    dirty: BTreeSet<usize>,
}

impl SimDisk {
    /// An empty disk whose faults follow from `seed`.
    pub fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self { state: Arc::new(Mutex::new(State { random: seed, ..State::default() })) })
    }

    /// Takes the power away. This disk is dead from now on; the one given back holds what survived, without further faults.
    pub fn crash(&self) -> Arc<Self> {
        let mut state = self.lock();
        state.off = true;
        let survived = state.survivors();
        Arc::new(Self { state: Arc::new(Mutex::new(survived)) })
    }

    /// Lets the power fail at the operation after the next `operations` ones that change something.
    pub fn power_off_after(&self, operations: u64) {
        self.lock().off_after = Some(operations);
    }

    /// Calls off a failure that is yet to come; whether the power is still on. One step: with threads at work, it could fail between a
    /// question and a call.
    pub fn keep_on(&self) -> bool {
        let mut state = self.lock();
        state.off_after = None;
        !state.off
    }

    /// Whether the power has failed.
    pub fn is_off(&self) -> bool {
        self.lock().off
    }

    /// Lets one `sync_data` fail, after the next `syncs` good ones; its bytes may never reach the platter.
    pub fn fail_sync_after(&self, syncs: u64) {
        self.lock().fail_sync_after = Some(syncs);
    }

    /// Lets one write fail half way, after the next `writes` good ones.
    pub fn fail_write_after(&self, writes: u64) {
        self.lock().fail_write_after = Some(writes);
    }

    /// Limits the disk to so many bytes, or to none.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.lock().capacity = bytes;
    }

    /// Flips one bit of a file, both as seen and on the platter; no-op past its end.
    pub fn flip_bit(&self, path: &Path, bit: u64) {
        let mut state = self.lock();
        if let Some(Node::File(id)) = state.names.get(path).copied()
            && let Some(inode) = state.inodes.get_mut(&id)
        {
            let at = usize::try_from(bit / 8).unwrap_or(usize::MAX);
            for bytes in [&mut inode.live, &mut inode.durable] {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << (bit % 8);
                }
            }
        }
    }

    /// All files and their lengths, by path.
    pub fn files(&self) -> Vec<(PathBuf, u64)> {
        let state = self.lock();
        let file = |(path, node): (&PathBuf, &Node)| match node {
            Node::File(id) => state.inodes.get(id).map(|inode| (path.clone(), inode.live.len() as u64)),
            Node::Dir => None,
        };
        state.names.iter().filter_map(file).collect()
    }

    /// How many times `sync_data` was asked for.
    pub fn syncs(&self) -> u64 {
        self.lock().done.syncs
    }

    /// What it has done.
    pub fn done(&self) -> Done {
        self.lock().done
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, if the power is on.
    fn on(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.lock();
        if state.off { Err(power()) } else { Ok(state) }
    }

    /// The state, for one operation that changes something.
    fn change(&self) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.lock();
        state.step()?;
        Ok(state)
    }
}

impl State {
    fn random(&mut self, below: usize) -> usize {
        // splitmix64
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        usize::try_from(z % (below.max(1) as u64)).unwrap_or(0)
    }

    fn step(&mut self) -> io::Result<()> {
        match &mut self.off_after {
            Some(0) => self.off = true,
            Some(left) => *left -= 1,
            None => {}
        }
        self.done.changes += 1;
        if self.off { Err(power()) } else { Ok(()) }
    }

    fn used(&self) -> u64 {
        let files = self.names.values().filter_map(|node| match node {
            Node::File(id) => self.inodes.get(id),
            Node::Dir => None,
        });
        files.map(|inode| inode.live.len() as u64).sum()
    }

    fn parent_exists(&self, path: &Path) -> bool {
        match path.parent() {
            Some(parent) if parent != Path::new("") => self.names.get(parent) == Some(&Node::Dir),
            _ => true,
        }
    }

    fn rename_now(&mut self, unset: Option<PathBuf>, set: Option<(PathBuf, Node)>) {
        let change = Change { unset, set };
        apply(&mut self.names, &change);
        self.pending.push(change);
    }

    fn survivors(&mut self) -> State {
        let mut names = std::mem::take(&mut self.durable_names);
        let pending = std::mem::take(&mut self.pending);
        // Of each directory a first run of the changes is on the platter.
        let mut left: HashMap<PathBuf, usize> = HashMap::new();
        for change in &pending {
            *left.entry(change.place()).or_default() += 1;
        }
        let places: BTreeSet<PathBuf> = left.keys().cloned().collect();
        for place in places {
            let count = left.get(&place).copied().unwrap_or(0);
            let kept = self.random(count + 1);
            left.insert(place, kept);
        }
        for change in &pending {
            if let Some(kept) = left.get_mut(&change.place())
                && *kept > 0
            {
                *kept -= 1;
                apply(&mut names, change);
            }
        }
        drop_orphans(&mut names);
        let mut inodes = HashMap::new();
        let kept: BTreeSet<u64> =
            names.values().filter_map(|node| if let Node::File(id) = node { Some(*id) } else { None }).collect();
        for id in kept {
            if let Some(inode) = self.inodes.remove(&id) {
                let bytes = self.survivor(&inode);
                inodes.insert(id, Inode { live: bytes.clone(), durable: bytes, dirty: BTreeSet::new() });
            }
        }
        let random = self.random ^ 0x5bd1_e995;
        let (durable_names, next_inode) = (names.clone(), self.next_inode);
        State { random, capacity: self.capacity, next_inode, inodes, names, durable_names, ..State::default() }
    }

    fn survivor(&mut self, inode: &Inode) -> Vec<u8> {
        let mut bytes = inode.durable.clone();
        let (low, high) = (bytes.len().min(inode.live.len()), bytes.len().max(inode.live.len()));
        let len = match self.random(4) {
            0 => bytes.len(),
            1 => low + self.random(high - low + 1),
            _ => inode.live.len(),
        };
        bytes.resize(len, 0);
        let mode = self.random(4);
        let first = self.random(inode.dirty.len() + 1);
        for (nth, sector) in inode.dirty.iter().enumerate() {
            let kept = match mode {
                0 => false,
                1 => true,
                2 => nth < first,
                _ => self.random(2) == 0,
            };
            if kept {
                copy_sector(&inode.live, &mut bytes, *sector);
            }
        }
        bytes
    }
}

impl Change {
    /// The directory whose sync makes it durable.
    fn place(&self) -> PathBuf {
        let path = self.set.as_ref().map(|(path, _)| path).or(self.unset.as_ref());
        path.and_then(|path| path.parent()).unwrap_or(Path::new("")).to_owned()
    }
}

fn apply(names: &mut BTreeMap<PathBuf, Node>, change: &Change) {
    if let Some(path) = &change.unset {
        names.remove(path);
    }
    if let Some((path, node)) = &change.set {
        names.insert(path.clone(), *node);
    }
}

fn drop_orphans(names: &mut BTreeMap<PathBuf, Node>) {
    // Sorted by path, so a directory is judged before what lies in it.
    let mut dirs: BTreeSet<PathBuf> = BTreeSet::from([PathBuf::new()]);
    names.retain(|path, node| {
        let kept = path.parent().is_none_or(|parent| dirs.contains(parent));
        if kept && *node == Node::Dir {
            dirs.insert(path.clone());
        }
        kept
    });
}

fn copy_sector(from: &[u8], to: &mut [u8], sector: usize) {
    let start = sector * SECTOR;
    let end = (start + SECTOR).min(from.len()).min(to.len());
    if start < end {
        to[start..end].copy_from_slice(&from[start..end]);
    }
}

fn power() -> io::Error {
    io::Error::other("simulated: the power is off")
}

fn missing(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("simulated: {} is not there", path.display()))
}

impl Disk for SimDisk {
    fn open(&self, path: &Path, create: bool) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.on()?;
        let id = match state.names.get(path) {
            Some(Node::File(id)) => *id,
            Some(Node::Dir) => return Err(io::Error::new(io::ErrorKind::IsADirectory, "simulated: a directory")),
            None if create && state.parent_exists(path) => {
                state.step()?;
                let id = state.next_inode;
                state.next_inode += 1;
                state.inodes.insert(id, Inode::default());
                state.rename_now(None, Some((path.to_owned(), Node::File(id))));
                id
            }
            None => return Err(missing(path)),
        };
        Ok(Arc::new(SimFile { state: self.state.clone(), id }))
    }

    fn map(&self, path: &Path) -> io::Result<Mapped> {
        let state = self.on()?;
        match state.names.get(path).and_then(|node| if let Node::File(id) = node { state.inodes.get(id) } else { None }) {
            Some(inode) => Ok(Mapped::Held(inode.live.as_slice().into())),
            None => Err(missing(path)),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.change()?;
        match state.names.get(from).copied() {
            Some(node @ Node::File(_)) if state.parent_exists(to) => {
                state.rename_now(Some(from.to_owned()), Some((to.to_owned(), node)));
                Ok(())
            }
            _ => Err(missing(from)),
        }
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.change()?;
        match state.names.get(path) {
            Some(Node::File(_)) => {
                state.rename_now(Some(path.to_owned()), None);
                Ok(())
            }
            _ => Err(missing(path)),
        }
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut state = self.change()?;
        let mut doomed: Vec<PathBuf> = state.names.keys().filter(|name| name.starts_with(path)).cloned().collect();
        if doomed.is_empty() {
            return Err(missing(path));
        }
        doomed.reverse();
        for name in doomed {
            state.rename_now(Some(name), None);
        }
        Ok(())
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut state = self.change()?;
        let mut sofar = PathBuf::new();
        for part in path.components() {
            sofar.push(part);
            match state.names.get(&sofar) {
                Some(Node::Dir) => {}
                Some(Node::File(_)) => return Err(io::Error::new(io::ErrorKind::AlreadyExists, "simulated: a file")),
                None => {
                    state.names.insert(sofar.clone(), Node::Dir);
                    state.durable_names.insert(sofar.clone(), Node::Dir);
                }
            }
        }
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.change()?;
        let pending = std::mem::take(&mut state.pending);
        for change in pending {
            if change.place() == path {
                apply(&mut state.durable_names, &change);
            } else {
                state.pending.push(change);
            }
        }
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let state = self.on()?;
        let mut entries = Vec::new();
        for (name, node) in &state.names {
            if name.parent() == Some(path)
                && let Some(last) = name.file_name()
            {
                let len = match node {
                    Node::File(id) => state.inodes.get(id).map_or(0, |inode| inode.live.len() as u64),
                    Node::Dir => 0,
                };
                entries.push(Entry { name: last.to_string_lossy().into_owned(), is_dir: *node == Node::Dir, len });
            }
        }
        entries.sort();
        Ok(entries)
    }

    fn space(&self) -> io::Result<Space> {
        let state = self.on()?;
        let total = state.capacity.unwrap_or(1 << 40);
        Ok(Space { available: total.saturating_sub(state.used()), total })
    }
}

#[cfg(test)]
mod tests;
