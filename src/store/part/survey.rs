//! Going through a whole part: what it takes on the disk, column by column, and whether every byte of it is what was written.
//!
//! Both go by the part's own directory (every chunk of every group, every block of every dictionary) and by [`Source`], and know no
//! encoding: what a part may contain tomorrow is counted and checked without a change here. [`PartSource::check_all`] first tests a
//! chunk's checksum, then decodes it as a query would, so that it finds what any query could stumble over.
//!
//! Memory: one chunk and one dictionary at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::bits::Reader;
use super::chunk::{self, encoding};
use super::directory::Holds;
use super::read::{PartSource, slice};
use super::{FIRST_FIELD, MAGIC, N_COLUMN, OFFSET_COLUMN, TIME_COLUMN, VERSION};
use crate::base::disk::Disk;
use crate::base::ids::{Generation, Offset, PartitionId};
use crate::store::StoreError;
use crate::store::source::{Kind, Source};

/// Sections in the order of the file, as people name them.
const SECTIONS: [&str; 7] =
    ["column data", "dictionaries", "pair index", "templates", "group table", "column directory", "lineage"];

/// What is wrong with a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The byte where what is damaged begins.
    pub at: u64,
    /// What it is.
    pub what: String,
    /// Of which field; none where whole rows are lost.
    pub field: Option<Arc<str>>,
    /// Rows that it concerns, at most.
    pub rows: u64,
    /// Whether the part has any rows left that can be read.
    pub is_whole_part: bool,
}

/// What one column takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ColumnSize {
    /// Bytes of its chunks.
    pub chunk_bytes: u64,
    /// Bytes of its dictionary.
    pub dictionary_bytes: u64,
    /// Bytes of its pairs.
    pub pair_bytes: u64,
    /// Entries of its dictionary: its distinct values.
    pub entries: u64,
    /// Rows that have a value.
    pub rows: u64,
    /// Chunks and their bytes by encoding.
    pub encodings: BTreeMap<&'static str, (u64, u64)>,
}

/// How people call an encoding.
pub fn name_of(encoded: u8) -> &'static str {
    match encoded {
        encoding::CONST => "const",
        encoding::FRAME => "frame",
        encoding::DELTA => "delta",
        encoding::SCALED => "scaled",
        encoding::RAW => "raw",
        encoding::BITS => "bits",
        encoding::CODES => "codes",
        encoding::PLAIN => "plain",
        encoding::ZSTD => "zstd",
        encoding::DERIVED => "derived",
        encoding::PATCHED => "patched frame",
        encoding::RANKED => "ranked codes",
        encoding::SPLIT => "shapes",
        encoding::FIXED => "raw bytes",
        encoding::NUMBER.. => "numbers",
        _ => "other",
    }
}

/// How people call a kind.
pub fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Str => "string",
        Kind::List => "list",
        Kind::Int => "integer",
        Kind::Float => "decimal",
        Kind::Bool => "boolean",
    }
}

/// The version of a part that a newer Sawbox wrote.
pub fn newer_version(disk: &dyn Disk, path: &std::path::Path) -> Option<u16> {
    let mut head = [0; 10];
    disk.open(path, false).ok()?.read_at(&mut head, 0).ok()?;
    let (magic, version) = head.split_first_chunk::<8>()?;
    let version = u16::from_le_bytes([*version.first()?, *version.get(1)?]);
    (*magic == MAGIC && version > VERSION).then_some(version)
}

impl PartSource {
    /// Generations that made its rows.
    ///
    /// # Errors
    /// Damage.
    pub fn generations(&self) -> Result<BTreeSet<Generation>, StoreError> {
        Ok(self.directory()?.runs.iter().map(|run| run.generation).collect())
    }

    /// Each partition with the least and greatest offset of its rows.
    ///
    /// # Errors
    /// Damage.
    pub fn offsets(&self) -> Result<Vec<(PartitionId, Offset, Offset)>, StoreError> {
        let mut offsets = BTreeMap::<PartitionId, (Offset, Offset)>::new();
        for run in &self.directory()?.runs {
            let bounds = offsets.entry(run.partition).or_insert((run.first, run.last));
            *bounds = (bounds.0.min(run.first), bounds.1.max(run.last));
        }
        Ok(offsets.into_iter().map(|(partition, (first, last))| (partition, first, last)).collect())
    }

    /// What its footer says of itself: topic, topic's name, number, rows, least and greatest time.
    ///
    /// # Errors
    /// Damage.
    pub fn footer(&self) -> Result<super::directory::Footer, StoreError> {
        Ok(self.directory()?.footer.clone())
    }

    /// What its values take in memory, about.
    ///
    /// # Errors
    /// Damage.
    pub fn all_unpacked(&self) -> Result<u64, StoreError> {
        Ok(self.directory()?.groups.iter().fold(0, |all, group| all.saturating_add(group.unpacked)))
    }

    /// Bytes of each of its sections.
    ///
    /// # Errors
    /// Damage.
    pub fn sections(&self) -> Result<Vec<(&'static str, u64)>, StoreError> {
        let sections = self.directory()?.footer.sections;
        Ok(SECTIONS.into_iter().zip(sections.iter().map(|span| span.length)).collect())
    }

    /// What each of its columns takes, those of times and lineage among them, by name and kind.
    ///
    /// # Errors
    /// Damage of its directory. What is damaged else is not counted.
    pub fn column_sizes(&self) -> Result<BTreeMap<(Arc<str>, &'static str), ColumnSize>, StoreError> {
        let directory = self.directory()?;
        let mut all = BTreeMap::<(Arc<str>, &'static str), ColumnSize>::new();
        for group in &directory.groups {
            for chunk in &group.chunks {
                let name = match chunk.column {
                    TIME_COLUMN => ("_time".into(), "time"),
                    OFFSET_COLUMN => ("_offset".into(), "integer"),
                    N_COLUMN => ("_n".into(), "integer"),
                    field => match directory.dirs.get((field - FIRST_FIELD) as usize) {
                        Some(dir) => (dir.column.name.clone(), kind_name(dir.column.kind)),
                        None => continue,
                    },
                };
                let size = all.entry(name).or_default();
                let length = with_checksum(chunk.length);
                size.chunk_bytes = size.chunk_bytes.saturating_add(length);
                let encoded = size.encodings.entry(name_of(chunk.encoding)).or_default();
                *encoded = (encoded.0 + 1, encoded.1.saturating_add(length));
                // Only its first bytes are touched, so that counting does not read the whole part.
                let bytes = slice(&directory.mapped, chunk.offset, chunk.length).unwrap_or(&[]);
                let count = chunk::presence(&mut Reader(bytes), group.rows).map_or(0, |(_, count)| count);
                size.rows += count as u64;
            }
        }
        for dir in directory.dirs.iter().filter(|dir| !dir.blocks.is_empty()) {
            let size = all.entry((dir.column.name.clone(), kind_name(dir.column.kind))).or_default();
            size.dictionary_bytes =
                size.dictionary_bytes.saturating_add(total(dir.blocks.iter().map(|block| block.span.length)));
            size.entries += dir.blocks.iter().map(|block| u64::from(block.entries)).sum::<u64>();
        }
        for (number, dir) in directory.dirs.iter().enumerate() {
            let bytes: u64 = self.segments(number).unwrap_or(&[]).iter().map(|segment| segment.shape.bytes()).sum();
            if bytes > 0 {
                all.entry((dir.column.name.clone(), kind_name(dir.column.kind))).or_default().pair_bytes += bytes;
            }
        }
        Ok(all)
    }

    /// Reads everything, and tells of what is not as it was written. `read` hears how many bytes were done.
    pub fn check_all(&self, read: &mut dyn FnMut(u64)) -> Vec<Damage> {
        let rows = self.file.meta.rows;
        let whole = |error: &StoreError| {
            let (at, what) = parts_of(error);
            vec![Damage { at, what, field: None, rows, is_whole_part: true }]
        };
        let directory = match self.directory() {
            Ok(directory) => directory.clone(),
            Err(error) => return whole(&error),
        };
        if let Err(error) = self.check() {
            return whole(&error);
        }
        let mut found = Vec::new();
        if let Err(error) = self.check_index() {
            // Without them every group is looked into.
            let (at, what) = parts_of(&error);
            found.push(Damage { at, what, field: None, rows: 0, is_whole_part: false });
        }
        let mut lost = BTreeSet::new();
        for (number, dir) in directory.dirs.iter().enumerate() {
            if let Err(error) = self.dict_counts(number) {
                let concerned = directory.groups.iter().filter(|group| {
                    let column = u32::try_from(number).unwrap_or(u32::MAX).saturating_add(FIRST_FIELD);
                    group.chunks.binary_search_by_key(&column, |chunk| chunk.column).is_ok()
                });
                let (at, what) = parts_of(&error);
                // Numbers stand in their chunks: without their dictionary they are read, not lost.
                let is_needed = matches!(dir.column.kind, Kind::Str | Kind::List);
                let rows = if is_needed { concerned.map(|group| group.rows as u64).sum() } else { 0 };
                found.push(Damage { at, what, field: Some(dir.column.name.clone()), rows, is_whole_part: false });
                if is_needed {
                    lost.insert(number);
                }
            }
            read(total(dir.blocks.iter().map(|block| block.span.length)));
        }
        for (at, group) in directory.groups.iter().enumerate() {
            let rows = group.rows as u64;
            let mut note = |field: Option<&Arc<str>>, error: &StoreError| {
                let (at, what) = parts_of(error);
                found.push(Damage { at, what, field: field.cloned(), rows, is_whole_part: false });
            };
            if let Err(error) = self.times(at) {
                note(None, &error);
            }
            if let Err(error) = self.lineage(at) {
                note(None, &error);
            }
            for (number, dir) in directory.dirs.iter().enumerate().filter(|(number, _)| !lost.contains(number)) {
                // Payloads are no field: their templates are others than those of messages.
                let values = if dir.holds == Holds::Payloads { self.payload(at) } else { self.column(at, number) };
                if let Err(error) = values {
                    note(Some(&dir.column.name), &error);
                }
            }
            read(total(group.chunks.iter().map(|chunk| chunk.length)));
        }
        found
    }
}

/// Bytes of a piece with its checksum. What a directory says of lengths may be anything.
fn with_checksum(length: u64) -> u64 {
    length.saturating_add(4)
}

fn total(lengths: impl Iterator<Item = u64>) -> u64 {
    lengths.fold(0, |all, length| all.saturating_add(with_checksum(length)))
}

fn parts_of(error: &StoreError) -> (u64, String) {
    match error {
        StoreError::Damaged { at, what, .. } => (*at, what.clone()),
        other => (0, other.to_string()),
    }
}
