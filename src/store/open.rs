//! Opening and closing the store, and its one thread.
//!
//! Opening reads the commit log and lists directories; no part is opened, the newest are by the thread right after. Files that the
//! log does not list are what a flush or merge left that never was committed, and go; unless the log has lost something and may have
//! named them (`doubt.rs`).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::{self, Relaxed};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::sync::{Arc, Weak};
use std::time::Duration;

use hashbrown::{HashMap, HashSet};
use parking_lot::{Condvar, Mutex, RwLock};

use super::ballast;
use super::commits::{CommitLog, Look, TopicState};
use super::doubt::Doubt;
use super::keyed;
use super::part::cache::Cache;
use super::part::directory::DIRECTORY_BYTES;
use super::part::read::PartFile;
use super::stats::Counters;
use super::topic::TopicStore;
use super::unseen::{self, Kept};
use super::{Config, Store, StoreError};
use crate::base::clock::Clock;
use crate::base::disk::Disk;
use crate::base::ids::TopicId;
use crate::base::low;
use crate::base::time;

/// Directory of the store in the data directory.
pub const ROOT: &str = "store";
/// Directory of parts that hold late rows of many days.
const LATE: &str = "late";
/// How often the thread looks for what has become due.
const TICK: Duration = Duration::from_secs(1);
/// Ticks between looks at retention.
const DROP_TICKS: u64 = 60;
/// What part of the cache is filled at a start, and from how many parts at most: flushes wait for it.
const AHEAD_SHARE: usize = 4;
const AHEAD_PARTS: usize = 256;
/// How long merges rest after one that the disk refused.
const MERGE_REST_NS: u64 = 60_000_000_000;

/// What opening found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenReport {
    /// Topics the log knows.
    pub topics: u64,
    /// Live parts.
    pub parts: u64,
    /// Rows in them.
    pub rows: u64,
    /// Bytes of a torn commit that were cut off; its rows come again from the queue.
    pub torn_bytes: u64,
    /// The commit log was lost: it says nothing, and there was a store.
    pub log_lost: bool,
    /// Damaged commits inside the log, each of which may hide parts.
    pub damaged_commits: u64,
    /// Files of flushes and merges that were never committed, removed.
    pub orphans_removed: u64,
    /// Files that the log does not list, kept because it has lost entries that may have: now, or before an earlier start.
    pub orphans_kept: u64,
    /// Parts the log lists whose files are not there.
    pub parts_missing: u64,
}

/// Where a part lies.
pub fn part_path(topic: TopicId, day: Option<i64>, id: u64) -> PathBuf {
    let day = day.map_or_else(|| LATE.to_owned(), time::day_name);
    Path::new(ROOT).join(topic.to_string()).join(day).join(format!("{id:016x}.part"))
}

fn refused(path: &Path, error: std::io::Error) -> StoreError {
    StoreError::Disk { path: path.display().to_string(), error }
}

impl Store {
    /// Opens the store and starts its thread, which ends when the store is dropped or shut down.
    ///
    /// # Errors
    /// The disk's, and files of a newer Sawbox. Damage is no error.
    pub fn open(disk: Arc<dyn Disk>, clock: Arc<dyn Clock>, config: Config) -> Result<(Arc<Self>, OpenReport), StoreError> {
        let (store, report) = Self::open_idle(disk, clock, config)?;
        let weak = Arc::downgrade(&store);
        let work = move || {
            low::lower(low::LANES);
            run(&weak);
        };
        let thread = std::thread::Builder::new().name("store".into()).spawn(work);
        thread.map_err(|error| refused(Path::new(ROOT), error))?;
        Ok((store, report))
    }

    /// Opens the store without its thread: nothing is flushed, merged or dropped but when asked or when memory is full.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_idle(
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        mut config: Config,
    ) -> Result<(Arc<Self>, OpenReport), StoreError> {
        if let Ok(space) = disk.space() {
            config.memory = config.memory_on(space.total);
        }
        let root = Path::new(ROOT);
        disk.create_dir_all(root).map_err(|error| refused(root, error))?;
        let look = Look::at(&*disk)?;
        let mut listed = listed(&look.topics);
        let mut lying = Lying::at(&*disk).map_err(|error| refused(root, error))?;
        let greatest = lying.files.values().max().copied().unwrap_or(0);
        lying.files.retain(|path, _| !listed.remove(path));
        let found = look.journal.found;
        let mut report = OpenReport {
            torn_bytes: found.torn_bytes,
            damaged_commits: found.damaged + look.unreadable,
            parts_missing: listed.len() as u64,
            log_lost: look.is_empty() && (!lying.files.is_empty() || ballast::is_there(&*disk)),
            ..OpenReport::default()
        };
        // Before the log is opened, which cuts off what is doubtful.
        let mut doubt = Doubt::at(&*disk, &look, &lying.files, listed.len(), clock.now_ns())?;
        doubt.expire(clock.now_ns(), config.retention.as_ns());
        let saved = doubt.save(&*disk);
        if let Err(error) = &saved {
            // A full disk is no reason not to start; what makes room begins with it.
            tracing::warn!(%error, "files that the commit log may have named are kept now, but not over the next start");
        }
        let is_empty = look.is_empty();
        let mut log = CommitLog::open(disk.clone(), look)?;
        if is_empty && saved.is_ok() {
            log.begin();
        }
        let cache = Arc::new(Cache::new(config.cache.as_usize()));
        let mut topics = HashMap::new();
        for (id, state) in &log.topics {
            let mut files = BTreeMap::new();
            for part in state.parts.values() {
                report.parts += 1;
                report.rows += part.rows;
                let path = part_path(*id, part.day, part.id);
                files.insert(part.id, Arc::new(PartFile::new(part.clone(), path, disk.clone(), cache.clone())));
            }
            let mut staged = BTreeMap::new();
            for (_, part) in state.staged.values() {
                let path = part_path(*id, part.day, part.id);
                staged.insert(part.id, Arc::new(PartFile::new(part.clone(), path, disk.clone(), cache.clone())));
            }
            report.topics += 1;
            topics.insert(*id, Arc::new(TopicStore::from_log(*id, state.clone(), files, staged)));
        }
        let kept = lying.sweep(&*disk, &doubt, &mut report).map_err(|error| refused(root, error))?;
        let parts = log.topics.values().flat_map(|topic| topic.parts.keys().chain(topic.staged.keys()).copied());
        let pieces = log.topics.values().flat_map(|topic| topic.keyed.values().flatten()).filter_map(|piece| piece.file);
        let named = parts.chain(pieces).max();
        let store = Self {
            disk,
            clock,
            config,
            topics: RwLock::new(topics),
            log: Mutex::new(log),
            flushing: Mutex::new(()),
            merging: Mutex::new(()),
            masking: Mutex::new(()),
            limbo: Mutex::new(Vec::new()),
            keyed_limbo: Mutex::new(Vec::new()),
            cache,
            wake: Condvar::new(),
            wake_lock: Mutex::new(()),
            on_commit: RwLock::new(Vec::new()),
            closed: AtomicBool::new(false),
            stop_merges: AtomicBool::new(false),
            watchers: Arc::default(),
            next_part: AtomicU64::new(greatest.max(named.unwrap_or(0)).saturating_add(1)),
            behind: AtomicUsize::new(0),
            unseen: RwLock::new(unseen::Look::of(kept)),
            flush_asked: AtomicBool::new(false),
            retry_at: AtomicU64::new(0),
            merge_at: AtomicU64::new(0),
            short_since: Mutex::new(None),
            counters: Counters::default(),
            directory_bytes: DIRECTORY_BYTES,
        };
        Ok((Arc::new(store), report))
    }

    /// Takes no more rows: lanes that wait for memory are told so, and the thread ends.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.wake_all();
    }

    /// Makes all rows durable and takes no more.
    ///
    /// # Errors
    /// The flush's; the store is closed all the same, and the rows come again from the queue.
    pub fn shutdown(&self) -> Result<(), StoreError> {
        self.close();
        self.stop_merges.store(true, Ordering::Release);
        // A merge that is running gives up; then the flush may write.
        drop(self.merging.lock());
        self.stop_merges.store(false, Ordering::Release);
        self.flush_all()
    }

    /// One round of the thread: what must be flushed, what is to be merged, what is too old.
    pub(super) fn tick(&self, number: u64) -> Result<(), StoreError> {
        // First, and whatever else fails: on a full disk it is what makes room again.
        let due = (number.is_multiple_of(DROP_TICKS) || self.is_short()) && !self.is_closed();
        let dropped = if due { self.drop_old().map(drop) } else { Ok(()) };
        if number == 0 {
            self.open_newest();
        }
        // Now, and after one minute, two, four and so on: what is looked at may be all there is.
        if number == 0 || (number.is_multiple_of(DROP_TICKS) && (number / DROP_TICKS).is_power_of_two()) {
            self.look_at_kept();
        }
        self.write_due().and(dropped)
    }

    /// Opens the newest parts, so that the first queries after a start find their directories in memory; how many it opened.
    pub(super) fn open_newest(&self) -> usize {
        let mut files = Vec::new();
        for topic in self.all_topics() {
            files.extend(topic.state.lock().parts.values().cloned());
        }
        files.sort_unstable_by_key(|file| Reverse(file.meta.to_ns));
        let mut left = self.config.cache.as_usize() / AHEAD_SHARE;
        let mut opened = 0;
        for file in files.into_iter().take(AHEAD_PARTS) {
            // One that can't be opened says why to who asks it for something.
            let Ok(directory) = file.directory() else { continue };
            opened += 1;
            match left.checked_sub(directory.bytes()) {
                Some(rest) if !self.is_closed() => left = rest,
                _ => break,
            }
        }
        opened
    }

    fn write_due(&self) -> Result<(), StoreError> {
        if self.is_resting() {
            return Ok(());
        }
        while self.counters.memory() > self.flush_mark() && !self.is_closed() {
            let guard = self.flushing.lock();
            if self.counters.memory() <= self.flush_mark() {
                break;
            }
            self.flush_largest(&guard)?;
        }
        let (now, all) = (self.clock.monotonic(), self.flush_asked.swap(false, Relaxed));
        let due = |topic: &Arc<TopicStore>| {
            let state = topic.state.lock();
            let old = state.since.is_some_and(|since| now.saturating_sub(since) >= self.config.flush_after.0);
            all || old || state.active_records >= self.config.replay_records || !state.frozen.is_empty()
        };
        let due: Vec<_> = self.all_topics().into_iter().filter(due).collect();
        if !due.is_empty() && !self.is_closed() {
            let guard = self.flushing.lock();
            self.flush(&guard, due)?;
        }
        while self.counters.memory() <= self.flush_mark() && !self.is_closed() && self.now() >= self.merge_at.load(Relaxed) {
            match self.merge_one() {
                Ok(true) => {}
                Ok(false) | Err(StoreError::Closed) => break,
                Err(error) => {
                    // A merge writes much before it finds the disk full: not every second.
                    self.merge_at.store(self.now().saturating_add(MERGE_REST_NS), Relaxed);
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

/// The store's thread: holds the store only while it works, so that dropping the last handle ends it.
fn run(store: &Weak<Store>) {
    let mut failing = false;
    for number in 0u64.. {
        let Some(store) = store.upgrade() else { return };
        if store.is_closed() {
            return;
        }
        let ticked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| store.tick(number)));
        let ticked = ticked.unwrap_or_else(|_| {
            // A bug must not end flushes and retention for good.
            tracing::error!("the store's thread panicked; it goes on");
            Ok(())
        });
        match ticked {
            Ok(()) if failing && !store.is_resting() => {
                failing = false;
                tracing::info!("the store writes again");
            }
            Ok(()) => {}
            // Said when it begins, not every second that it lasts; the counters go on.
            Err(error) if !failing => {
                failing = true;
                tracing::error!(%error, "the store cannot write; rows stay in memory and lanes wait when it is full");
            }
            Err(_) => {}
        }
        let mut lock = store.wake_lock.lock();
        if store.is_resting() || store.counters.memory() <= store.flush_mark() {
            store.wake.wait_for(&mut lock, TICK);
        }
    }
}

/// Every file that a log lists: parts, live and staged, and keyed state.
pub(super) fn listed(topics: &BTreeMap<TopicId, TopicState>) -> HashSet<PathBuf> {
    let of = |(id, topic): (&TopicId, &TopicState)| {
        let id = *id;
        let parts = topic.parts.values().chain(topic.staged.values().map(|(_, part)| part));
        let parts = parts.map(|part| part_path(id, part.day, part.id));
        let pieces = topic.keyed.values().flatten().filter_map(|piece| piece.file).map(|piece| keyed::path(id, piece));
        parts.chain(pieces).collect::<Vec<_>>()
    };
    topics.iter().flat_map(of).collect()
}

/// What lies in the directories of topics.
#[derive(Debug, Default)]
pub(super) struct Lying {
    /// Parts and keyed state, with the number of each.
    pub files: BTreeMap<PathBuf, u64>,
    /// Days that have none.
    empty: Vec<PathBuf>,
}

impl Lying {
    /// Looks for it.
    pub fn at(disk: &dyn Disk) -> std::io::Result<Self> {
        let mut all = Self::default();
        let root = Path::new(ROOT);
        for topic in disk.list(root)?.into_iter().filter(|entry| entry.is_dir) {
            let topic = root.join(topic.name);
            for day in disk.list(&topic)?.into_iter().filter(|entry| entry.is_dir) {
                let day = topic.join(day.name);
                let files = disk.list(&day)?;
                if files.is_empty() {
                    all.empty.push(day);
                    continue;
                }
                // What is no file is not the store's.
                for file in files.into_iter().filter(|entry| !entry.is_dir) {
                    let number = file.name.strip_suffix(".part").or_else(|| file.name.strip_suffix(".state"));
                    if let Some(number) = number.and_then(|number| u64::from_str_radix(number, 16).ok()) {
                        all.files.insert(day.join(&file.name), number);
                    }
                }
            }
        }
        Ok(all)
    }

    /// Removes the files, of which the log lists none, but for those in doubt; which of these are parts.
    fn sweep(&self, disk: &dyn Disk, doubt: &Doubt, report: &mut OpenReport) -> std::io::Result<Vec<Kept>> {
        let (mut changed, mut kept) = (BTreeSet::new(), Vec::new());
        // Days that retention emptied: a directory a topic and day would add up.
        for day in &self.empty {
            disk.remove_dir_all(day)?;
            changed.extend(day.parent());
        }
        for (path, number) in &self.files {
            if doubt.keeps(*number) {
                report.orphans_kept += 1;
                kept.extend(Kept::at(path, *number));
            } else {
                disk.remove_file(path)?;
                report.orphans_removed += 1;
                changed.extend(path.parent());
            }
        }
        // Before somebody makes such names again.
        changed.into_iter().try_for_each(|path| disk.sync_dir(path))?;
        Ok(kept)
    }
}
