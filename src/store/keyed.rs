//! Keyed state of partitions: what filters remember, as the store keeps it.
//!
//! Keys and values are opaque here. A lane gives what changed together with the rows and the next offset that it belongs to
//! ([`Store::append_keyed`]); a flush commits all of that in one entry of the commit log, so what is durable is always the state
//! at exactly the durable next offset. A lane that starts asks for the whole ([`Store::keyed`]).
//!
//! In the commit log a partition's state is a list of *pieces*, applied one after the other, as `commits.rs` draws them: what
//! changed in one flush, or (`whole`) everything, which replaces the pieces before. The bytes of a piece:
//! ```text
//! u32 version, 1 | u32 crc32c of what follows | entries: u32 key length, key, u32 value length + 1 (0 = the key is gone), value
//! ```
//! Pieces up to [`INLINE_BYTES`] stand in the log's entry itself (base64); larger ones are files, `store/<topic>/state/<id>.state`,
//! written and fsynced with their name before the entry that names them.
//! A partition's state is written whole when the pieces since the last whole one are more than [`PIECES`], or hold more than
//! it did and [`SLACK_BYTES`]: so what is written is a small multiple of what changed.
//!
//! Limits: what a lane's state may hold (`[sandbox] state`); reading a piece never asks for memory beyond its file's length.
//! Crash story: as the parts of a flush. Before the entry is durable its files are orphans, which the next start removes;
//! a replaced piece's file goes when the entry that replaces it is durable.
//! Damage: a piece that cannot be read is left out and logged; filters then have forgotten what it said.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::open::ROOT;
use super::topic::TopicStore;
use super::{Store, StoreError};
use crate::base::disk::Disk;
use crate::base::ids::{Offset, PartitionId, TopicId};

/// Pieces up to this stand in the log.
const INLINE_BYTES: usize = 4096;
/// Most pieces of a partition.
const PIECES: usize = 32;
/// How much more than the whole its changes may hold before it is written anew.
const SLACK_BYTES: u64 = 64 * 1024;
/// Directory of a topic's files.
pub const DIRECTORY: &str = "state";
/// What a changed entry is counted with in memory beside its bytes.
const ENTRY_BYTES: usize = 96;
const VERSION: u32 = 1;
const HEAD: usize = 8;
/// How often reading is tried again when a flush replaced pieces meanwhile.
const TRIES: usize = 8;

/// Shared bytes.
pub type Bytes = Arc<[u8]>;
/// Keys that changed: their values now, or none where they are gone.
pub type Delta = BTreeMap<Bytes, Option<Bytes>>;

/// A piece of a partition's state, as the commit log names it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Piece {
    /// Whether it replaces all pieces before it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub whole: bool,
    /// Its bytes, where they are few.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inline: Option<String>,
    /// Number of its file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<u64>,
    /// How many bytes.
    pub bytes: u64,
}

/// A file of a piece.
#[derive(Debug)]
pub struct KeyedFile {
    disk: Arc<dyn Disk>,
    path: PathBuf,
}

impl KeyedFile {
    /// Removes it; what can't be removed now is an orphan at the next start.
    pub fn doom(&self) {
        let _ = self.disk.remove_file(&self.path);
    }
}

/// Where a piece's file lies.
pub fn path(topic: TopicId, id: u64) -> PathBuf {
    Path::new(ROOT).join(topic.to_string()).join(DIRECTORY).join(format!("{id:016x}.state"))
}

/// Whether a piece's file can be read.
pub fn is_sound(disk: &dyn Disk, path: &Path) -> bool {
    let read = || {
        let file = disk.open(path, false)?;
        let mut bytes = vec![0; usize::try_from(file.len()?).map_err(std::io::Error::other)?];
        let got = file.read_at(&mut bytes, 0)?;
        bytes.truncate(got);
        std::io::Result::Ok(bytes)
    };
    read().is_ok_and(|bytes| decode(&bytes, &mut BTreeMap::new()))
}

/// Adds a piece to those of a partition.
pub fn fold(pieces: &mut Vec<Piece>, piece: &Piece) {
    if piece.whole {
        pieces.clear();
    }
    if piece.bytes > 0 {
        pieces.push(piece.clone());
    }
}

/// Adds later changes to a delta; how much more memory it holds, about.
pub fn extend(delta: &mut Delta, later: Vec<(Bytes, Option<Bytes>)>) -> isize {
    let size = |value: &Option<Bytes>| value.as_ref().map_or(0, |value| value.len()).cast_signed();
    let mut added = 0;
    for (key, value) in later {
        added += size(&value);
        let len = (key.len() + ENTRY_BYTES).cast_signed();
        added += match delta.insert(key, value) {
            Some(before) => -size(&before),
            None => len,
        };
    }
    added
}

fn encode<'a>(entries: impl Iterator<Item = (&'a Bytes, Option<&'a Bytes>)>) -> Vec<u8> {
    let mut bytes = VERSION.to_le_bytes().to_vec();
    bytes.extend_from_slice(&[0; 4]);
    // No key or value is near 4 GiB.
    let small = |len: usize| u32::try_from(len).unwrap_or(u32::MAX - 1);
    for (key, value) in entries {
        bytes.extend_from_slice(&small(key.len()).to_le_bytes());
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(&value.map_or(0, |value| small(value.len()) + 1).to_le_bytes());
        if let Some(value) = value {
            bytes.extend_from_slice(value);
        }
    }
    let crc = crc32c::crc32c(&bytes[HEAD..]);
    bytes[4..HEAD].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// Reads a piece into a state; false where it is damaged, and then nothing of it is taken.
fn decode(bytes: &[u8], into: &mut BTreeMap<Bytes, Bytes>) -> bool {
    let number = |at: &mut &[u8]| -> Option<u32> {
        let (four, rest) = at.split_first_chunk::<4>()?;
        *at = rest;
        Some(u32::from_le_bytes(*four))
    };
    let take = |at: &mut &[u8], len: u32| -> Option<Bytes> {
        let (taken, rest) = at.split_at_checked(len as usize)?;
        *at = rest;
        Some(taken.into())
    };
    let mut at = bytes;
    let (Some(VERSION), Some(crc)) = (number(&mut at), number(&mut at)) else { return false };
    if crc32c::crc32c(at) != crc {
        return false;
    }
    let mut entries = Vec::new();
    while !at.is_empty() {
        let entry = (|| {
            let len = number(&mut at)?;
            let key = take(&mut at, len)?;
            let value = match number(&mut at)?.checked_sub(1) {
                Some(len) => Some(take(&mut at, len)?),
                None => None,
            };
            Some((key, value))
        })();
        let Some(entry) = entry else { return false };
        entries.push(entry);
    }
    for (key, value) in entries {
        match value {
            Some(value) => into.insert(key, value),
            None => into.remove(&key),
        };
    }
    true
}

impl Store {
    /// The state of a partition with everything that was given so far, and the next offset that it belongs to; 0 where the store
    /// knows nothing of the partition.
    ///
    /// # Errors
    /// The disk's.
    pub fn keyed(&self, topic: TopicId, partition: PartitionId) -> Result<(Offset, BTreeMap<Bytes, Bytes>), StoreError> {
        let Some(known) = self.topic(topic) else { return Ok(Default::default()) };
        for left in (0..TRIES).rev() {
            let state = known.state.lock();
            let next = state.next.get(&partition).copied().unwrap_or(0);
            let pieces = state.durable.keyed.get(&partition).cloned().unwrap_or_default();
            let frozen = state.frozen.iter().filter_map(|frozen| frozen.keyed.get(&partition));
            let deltas: Vec<Delta> = frozen.chain(state.active_keyed.get(&partition)).cloned().collect();
            drop(state);
            let mut all = match self.read_pieces(topic, partition, &pieces) {
                Ok(all) => all,
                // A flush has just replaced them.
                Err(_) if left > 0 && known.state.lock().durable.keyed.get(&partition) != Some(&pieces) => continue,
                Err(error) => return Err(error),
            };
            for (key, value) in deltas.into_iter().flatten() {
                match value {
                    Some(value) => all.insert(key, value),
                    None => all.remove(&key),
                };
            }
            return Ok((next, all));
        }
        Ok(Default::default())
    }

    fn read_pieces(
        &self,
        topic: TopicId,
        partition: PartitionId,
        pieces: &[Piece],
    ) -> Result<BTreeMap<Bytes, Bytes>, StoreError> {
        let mut all = BTreeMap::new();
        for piece in pieces {
            let bytes = match (&piece.inline, piece.file) {
                (Some(text), _) => STANDARD.decode(text).unwrap_or_default(),
                (None, Some(id)) => self.read_piece(&path(topic, id))?,
                (None, None) => continue,
            };
            if !decode(&bytes, &mut all) {
                tracing::error!(%topic, partition, file = piece.file, "a piece of keyed state is damaged and left out");
            }
        }
        Ok(all)
    }

    fn read_piece(&self, path: &Path) -> Result<Vec<u8>, StoreError> {
        let read = || {
            let file = self.disk.open(path, false)?;
            let mut bytes = vec![0; usize::try_from(file.len()?).map_err(std::io::Error::other)?];
            let got = file.read_at(&mut bytes, 0)?;
            bytes.truncate(got);
            Ok(bytes)
        };
        read().map_err(|error| StoreError::Disk { path: path.display().to_string(), error })
    }

    /// Makes a piece of what changed in a partition since the last flush. Its file is durable when this returns.
    pub(super) fn write_piece(
        &self,
        topic: &TopicStore,
        partition: PartitionId,
        delta: &Delta,
        files: &mut Vec<Arc<KeyedFile>>,
    ) -> Result<Piece, StoreError> {
        let pieces = topic.state.lock().durable.keyed.get(&partition).cloned().unwrap_or_default();
        let mut bytes = encode(delta.iter().map(|(key, value)| (key, value.as_ref())));
        let first = pieces.first().map_or(0, |piece| piece.bytes);
        let since: u64 = pieces.iter().skip(1).map(|piece| piece.bytes).sum();
        let mut whole = false;
        if pieces.len() >= PIECES || since + bytes.len() as u64 > first + SLACK_BYTES {
            // Where it cannot be read the pieces stay as they are.
            if let Ok(mut all) = self.read_pieces(topic.id, partition, &pieces) {
                whole = true;
                for (key, value) in delta {
                    match value {
                        Some(value) => all.insert(key.clone(), value.clone()),
                        None => all.remove(key),
                    };
                }
                bytes = encode(all.iter().map(|(key, value)| (key, Some(value))));
            }
        }
        let len = bytes.len() as u64;
        if bytes.len() <= INLINE_BYTES {
            return Ok(Piece { whole, inline: Some(STANDARD.encode(&bytes)), file: None, bytes: len });
        }
        let id = self.next_part.fetch_add(1, Ordering::Relaxed);
        let path = path(topic.id, id);
        let file = KeyedFile { disk: self.disk.clone(), path };
        let write = || {
            let path = &file.path;
            let directory = path.parent().unwrap_or(Path::new(ROOT));
            self.disk.create_dir_all(directory)?;
            let out = self.disk.open(path, true)?;
            out.set_len(0)?;
            out.write_at(&bytes, 0)?;
            out.sync_data()?;
            self.disk.sync_dir(directory)
        };
        if let Err(error) = write() {
            file.doom();
            return Err(StoreError::Disk { path: file.path.display().to_string(), error });
        }
        files.push(Arc::new(file));
        Ok(Piece { whole, inline: None, file: Some(id), bytes: len })
    }

    /// Files that a change of a topic makes superfluous.
    pub(super) fn replaced_pieces(
        &self,
        topic: TopicId,
        known: &BTreeMap<PartitionId, Vec<Piece>>,
        changed: &[(PartitionId, Piece)],
    ) -> Vec<KeyedFile> {
        let whole = changed.iter().filter(|(_, piece)| piece.whole);
        let gone = whole.filter_map(|(partition, _)| known.get(partition)).flatten().filter_map(|piece| piece.file);
        gone.map(|id| KeyedFile { disk: self.disk.clone(), path: path(topic, id) }).collect()
    }

    /// Forgets the keyed state of all partitions of a topic: it was deleted.
    ///
    /// # Errors
    /// The disk's; the state is there as before.
    pub fn forget_keyed(&self, topic: TopicId) -> Result<(), StoreError> {
        let Some(topic) = self.topic(topic) else { return Ok(()) };
        // No flush may write pieces in between.
        let _flushing = self.flushing.lock();
        let partitions: Vec<PartitionId> = topic.state.lock().durable.keyed.keys().copied().collect();
        if !partitions.is_empty() {
            let gone = |partition| (partition, Piece { whole: true, ..Piece::default() });
            let change = super::commits::TopicChange {
                keyed: partitions.into_iter().map(gone).collect(),
                ..super::commits::TopicChange::default()
            };
            let change =
                super::flush::Change { topic: topic.clone(), change, files: Vec::new(), keyed: Vec::new(), flushed: false };
            self.commit(vec![change])?;
        }
        let mut state = topic.state.lock();
        state.active_keyed.clear();
        state.active_keyed_bytes = 0;
        for frozen in &mut state.frozen {
            frozen.keyed.clear();
        }
        Ok(())
    }
}
