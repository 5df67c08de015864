//! Which topics there are.
//!
//! On disk: `queue/TOPICS`, a journal of JSON objects, `{"id":…,"name":…,"settings":{…}}`; the last one of an id counts, but one
//! with `"deleted":true` counts for ever: ids are never used again. Each partition is a directory, `queue/<topic id>/<partition>/`,
//! made before the entry that names it.
//! Crash story: a deleted topic is gone once its entry is durable; what of its files is left then is removed at the next start,
//! and the entry is kept until there is nothing left. a directory without an entry that holds a segment lost its entry to damage: its topic comes back as
//! `_lost.<id>`, so that its records can be read. One that holds none was being made: it stays, empty, and costs nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};

use super::error::QueueError;
use super::log::Log;
use super::partition::Partition;
use super::recovery::{self, RecoveryReport};
use super::settings::{PARTITIONS, TopicSettings};
use super::shared::Shared;
use super::view::View;
use crate::base::disk::Disk;
use crate::base::ids::{PartitionId, TopicId};
use crate::base::journal::Journal;

/// An entry of the journal.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// The topic's id.
    pub id: TopicId,
    /// Its name.
    pub name: String,
    /// Its settings.
    pub settings: TopicSettings,
    /// It was deleted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
}

/// Where all of the queue lies.
pub const DIR: &str = "queue";
/// A journal of more bytes than this, per topic, is written anew at start.
const ENTRY_TYPICAL: u64 = 1024;

/// Directory of a partition.
pub fn partition_dir(id: TopicId, number: PartitionId) -> PathBuf {
    Path::new(DIR).join(id.to_string()).join(number.to_string())
}

/// Opens the journal.
pub fn open(
    disk: &Arc<dyn Disk>,
    defaults: &TopicSettings,
    report: &mut RecoveryReport,
) -> std::io::Result<(Journal, Vec<Entry>)> {
    disk.create_dir_all(Path::new(DIR))?;
    let (mut journal, raw, found) = Journal::open(disk.clone(), &Path::new(DIR).join("TOPICS"))?;
    report.damaged_entries += found.damaged;
    let mut entries: BTreeMap<TopicId, Entry> = BTreeMap::new();
    let mut deleted: BTreeMap<TopicId, Entry> = BTreeMap::new();
    for bytes in &raw {
        match serde_json::from_slice::<Entry>(bytes) {
            Ok(entry) if entry.deleted => drop(deleted.insert(entry.id, entry)),
            Ok(entry) => drop(entries.insert(entry.id, entry)),
            Err(_) => report.damaged_entries += 1,
        }
    }
    for id in deleted.keys() {
        entries.remove(id);
    }
    part_namesakes(disk, &mut entries, report)?;
    for dir in disk.list(Path::new(DIR))? {
        let Ok(id) = TopicId::from_str(&dir.name) else { continue };
        if dir.is_dir && deleted.contains_key(&id) {
            if let Err(error) = remove(disk, id) {
                tracing::warn!(topic = %id, %error, "a deleted topic's files could not be removed; the next start tries again");
            }
            continue;
        }
        if dir.is_dir && !entries.contains_key(&id) {
            let partitions = lost_partitions(disk, &dir.name)?;
            if partitions > 0 {
                let name = format!("_lost.{id}");
                report.adopted.push(name.clone());
                entries
                    .insert(id, Entry { id, name, settings: TopicSettings { partitions, ..defaults.clone() }, deleted: false });
            }
        }
    }
    let entries: Vec<Entry> = entries.into_values().collect();
    if journal.len() > (entries.len() as u64 + 64) * ENTRY_TYPICAL || !report.adopted.is_empty() {
        // Of a deleted topic whose directory is still there the entry must be kept, or it would come back as lost.
        let is_left =
            |entry: &&Entry| disk.list(Path::new(DIR)).is_ok_and(|all| all.iter().any(|e| e.name == entry.id.to_string()));
        let all = entries.iter().chain(deleted.values().filter(is_left));
        let encoded: Vec<Vec<u8>> = all.filter_map(|entry| serde_json::to_vec(entry).ok()).collect();
        let slices: Vec<&[u8]> = encoded.iter().map(Vec::as_slice).collect();
        // Only to save space; a full disk must not keep the box from starting.
        if let Err(error) = journal.checkpoint(&slices) {
            tracing::warn!(%error, "queue/TOPICS was not written anew");
        }
    }
    Ok((journal, entries))
}

/// A topic whose making failed may have become durable after all, and was made again under another id. The one without a
/// segment was never there for anybody; if both have one, the greater id keeps the name.
fn part_namesakes(
    disk: &Arc<dyn Disk>,
    entries: &mut BTreeMap<TopicId, Entry>,
    report: &mut RecoveryReport,
) -> std::io::Result<()> {
    let mut by_name: BTreeMap<String, Vec<TopicId>> = BTreeMap::new();
    for entry in entries.values() {
        by_name.entry(entry.name.clone()).or_default().push(entry.id);
    }
    for ids in by_name.into_values().filter(|ids| ids.len() > 1) {
        let mut used = Vec::new();
        for id in &ids {
            if lost_partitions(disk, &id.to_string())? > 0 {
                used.push(*id);
            }
        }
        let keeper = used.last().or(ids.last()).copied();
        for id in ids.into_iter().filter(|id| Some(*id) != keeper) {
            if let (true, Some(entry)) = (used.contains(&id), entries.get_mut(&id)) {
                entry.name = format!("_lost.{id}");
                report.adopted.push(entry.name.clone());
            } else {
                entries.remove(&id);
            }
        }
    }
    Ok(())
}

/// How many partitions a directory without an entry has: up to the last one with a segment.
fn lost_partitions(disk: &Arc<dyn Disk>, topic: &str) -> std::io::Result<u32> {
    let dir = Path::new(DIR).join(topic);
    let mut partitions = 0;
    for entry in disk.list(&dir)? {
        if let Ok(number) = entry.name.parse::<u32>()
            && number < PARTITIONS
            && disk.list(&dir.join(&entry.name))?.iter().any(|file| file.name.ends_with(".log") && file.len > 0)
        {
            partitions = partitions.max(number + 1);
        }
    }
    Ok(partitions)
}

/// Removes a deleted topic's files.
pub fn remove(disk: &Arc<dyn Disk>, id: TopicId) -> std::io::Result<()> {
    disk.remove_dir_all(&Path::new(DIR).join(id.to_string()))?;
    disk.sync_dir(Path::new(DIR))
}

/// Writes a topic's entry durably.
pub fn write(shared: &Shared, id: TopicId, name: &str, settings: &TopicSettings) -> Result<(), QueueError> {
    put(shared, &Entry { id, name: name.to_owned(), settings: settings.clone(), deleted: false })
}

/// Writes durably that a topic is deleted.
///
/// # Errors
/// Whether it is, nobody knows then, unless the inner value says that it is not: the journal was written anew without it.
pub fn bury(shared: &Shared, id: TopicId, name: &str, settings: &TopicSettings) -> Result<(), (QueueError, bool)> {
    let entry = Entry { id, name: name.to_owned(), settings: settings.clone(), deleted: true };
    let error = match put(shared, &entry) {
        Ok(()) => return Ok(()),
        Err(error) => error,
    };
    Err((error, rewrite(shared, |known| !(known.deleted && known.id == id), None).is_ok()))
}

fn put(shared: &Shared, entry: &Entry) -> Result<(), QueueError> {
    let bytes = serde_json::to_vec(entry).map_err(|error| QueueError::Refused(error.to_string()))?;
    let appended = shared.catalog.lock().append(&bytes);
    let Err(error) = appended else { return Ok(()) };
    // A failed sync poisons the journal; a new file with all entries heals it.
    tracing::warn!(%error, "queue/TOPICS is written anew after a failed write");
    rewrite(shared, |_| true, Some(&bytes))
}

/// Writes the journal anew with the entries that are wanted, and one more.
fn rewrite(shared: &Shared, wanted: impl Fn(&Entry) -> bool, more: Option<&[u8]>) -> Result<(), QueueError> {
    let mut catalog = shared.catalog.lock();
    let (_, entries, _) =
        Journal::open(shared.disk.clone(), &Path::new(DIR).join("TOPICS")).map_err(QueueError::not_durable)?;
    let is_wanted = |bytes: &&Vec<u8>| serde_json::from_slice::<Entry>(bytes).map_or(true, |entry| wanted(&entry));
    let mut slices: Vec<&[u8]> = entries.iter().filter(is_wanted).map(Vec::as_slice).collect();
    slices.extend(more);
    catalog.checkpoint(&slices).map_err(QueueError::not_durable)
}

/// Makes a partition that was never there.
pub fn make_partition(
    shared: &Arc<Shared>,
    id: TopicId,
    name: &Arc<str>,
    number: PartitionId,
    settings: &Arc<ArcSwap<TopicSettings>>,
) -> Result<Arc<Partition>, QueueError> {
    shared.disk.create_dir_all(&partition_dir(id, number)).map_err(QueueError::not_durable)?;
    let log = Log::new(None, 0, 0, std::collections::HashMap::new());
    let recovered = recovery::Recovered { log, view: View::default(), start: 0, bytes: 0 };
    Ok(Arc::new(Partition::new(shared.clone(), id, name.clone(), number, settings.clone(), recovered)))
}
