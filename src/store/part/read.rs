//! Reading a part: a [`Source`] over its mapped file.
//!
//! A part is opened when it is first asked for something, not when the store is (but for the newest): thousands of parts cost
//! nothing until a query's time range touches them. Directories and dictionaries are kept in the store's [`Cache`].
//!
//! Crash story: a file that is replaced or dropped is removed when the last look at it ends.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

pub use self::opened::Directory;
use super::bits::Reader;
use super::cache::{Cache, Cached};
use super::chunk::{self, encoding};
use super::directory::{ChunkRef, ColumnDir};
use super::envelope::Envelopes;
use super::shape::Shapes;
use super::split::Split;
use super::template::Template;
use super::{FIRST_FIELD, TIME_COLUMN, derive, ranked, split, typed};
use crate::base::disk::Disk;
use crate::base::ids::TopicId;
use crate::base::predicate::{Number, Test, Wanted};
use crate::store::commits::PartMeta;
use crate::store::group::GROUP_ROWS;
use crate::store::source::{Chunk, Column, Dict, Kind, Lineage, Made, Run, Source};
use crate::store::{StoreError, bounds};

mod ahead;
mod dict;
mod index;
mod lineage;
mod made;
mod opened;
mod payload;
mod shapes;
mod whole;

/// A live part's file.
#[derive(Debug)]
pub struct PartFile {
    /// What the log says of it.
    pub meta: PartMeta,
    /// Relative to the data directory.
    pub path: PathBuf,
    disk: Arc<dyn Disk>,
    cache: Arc<Cache>,
    removal: Arc<Removal>,
    left_alone: AtomicBool,
    is_wide: AtomicBool,
}

/// Removes a file that is doomed when nobody has it any more.
#[derive(Debug)]
struct Removal {
    part: u64,
    path: PathBuf,
    disk: Arc<dyn Disk>,
    cache: Arc<Cache>,
    doomed: AtomicBool,
}

impl PartFile {
    /// A part as the log lists it.
    pub fn new(meta: PartMeta, path: PathBuf, disk: Arc<dyn Disk>, cache: Arc<Cache>) -> Self {
        let (part, doomed) = (meta.id, AtomicBool::new(false));
        let removal = Arc::new(Removal { part, path: path.clone(), disk: disk.clone(), cache: cache.clone(), doomed });
        Self { meta, path, disk, cache, removal, left_alone: AtomicBool::new(false), is_wide: AtomicBool::new(false) }
    }

    /// The same file with what the log says of it now.
    #[must_use]
    pub fn as_meant(&self, meta: PartMeta) -> Self {
        Self {
            meta,
            path: self.path.clone(),
            disk: self.disk.clone(),
            cache: self.cache.clone(),
            removal: self.removal.clone(),
            left_alone: AtomicBool::new(self.is_left_alone()),
            is_wide: AtomicBool::new(self.is_wide()),
        }
    }

    /// Has the file removed when nobody reads it any more.
    pub fn doom(&self) {
        self.removal.doomed.store(true, Ordering::Release);
    }

    /// Keeps merges away from it.
    pub fn leave_alone(&self) {
        self.left_alone.store(true, Ordering::Release);
    }

    /// Whether merges keep away from it.
    pub fn is_left_alone(&self) -> bool {
        self.left_alone.load(Ordering::Acquire)
    }

    /// Keeps it out of merges with others: its directory is large as it is. Alone it is still written anew where a mask meets it.
    pub fn keep_single(&self) {
        self.is_wide.store(true, Ordering::Release);
    }

    /// Whether its directory is too large for merges with others.
    pub fn is_wide(&self) -> bool {
        self.is_wide.load(Ordering::Acquire)
    }

    fn damaged(&self, at: u64, what: &str) -> StoreError {
        StoreError::Damaged { path: self.path.display().to_string(), at, what: what.to_owned() }
    }

    /// The part's directory, from the cache or the file.
    ///
    /// # Errors
    /// Damage, or the disk's.
    pub fn directory(&self) -> Result<Arc<Directory>, StoreError> {
        let key = (self.meta.id, u32::MAX);
        if let Some(Cached::Directory(found)) = self.cache.get(key) {
            return Ok(found);
        }
        let directory = Arc::new(self.read()?);
        // Tools that take in what the log does not name know of no rows.
        if self.meta.rows > 0 && (directory.footer.part, directory.footer.rows) != (self.meta.id, self.meta.rows) {
            return Err(self.damaged(0, "it is another part than the log names"));
        }
        self.cache.put(key, Cached::Directory(directory.clone()), directory.bytes());
        Ok(directory)
    }

    /// Whether the file, as it is read back, is the part that the log is to name.
    ///
    /// # Errors
    /// Damage, or the disk's.
    pub fn check_written(&self) -> Result<(), StoreError> {
        let footer = self.read()?.footer;
        if (footer.part, footer.rows) == (self.meta.id, self.meta.rows) {
            return Ok(());
        }
        Err(self.damaged(0, "it is not what was written"))
    }

    fn read(&self) -> Result<Directory, StoreError> {
        let mapped = self.disk.map(&self.path);
        let mapped = mapped.map_err(|error| match error.kind() {
            // It costs what it had, and keeps merges of others from nothing.
            std::io::ErrorKind::NotFound => self.damaged(0, "it is not there"),
            _ => StoreError::Disk { path: self.path.display().to_string(), error },
        })?;
        Directory::read(mapped).map_err(|(at, what)| self.damaged(at, what))
    }
}

impl Drop for Removal {
    fn drop(&mut self) {
        if self.doomed.load(Ordering::Acquire) {
            self.cache.forget(self.part);
            // What can't be removed now is an orphan at the next start.
            let _ = self.disk.remove_file(&self.path);
        }
    }
}

pub(super) fn slice(bytes: &[u8], offset: u64, length: u64) -> Option<&[u8]> {
    let start = usize::try_from(offset).ok()?;
    bytes.get(start..start.checked_add(usize::try_from(length).ok()?)?)
}

/// The bytes before which a checksum of them stands.
fn checked(bytes: &[u8], offset: u64, length: u64) -> Option<&[u8]> {
    let with_crc = slice(bytes, offset, length.checked_add(4)?)?;
    let (body, crc) = with_crc.split_last_chunk::<4>()?;
    (crc32c::crc32c(body) == u32::from_le_bytes(*crc)).then_some(body)
}

/// A look at one part.
#[derive(Debug)]
pub struct PartSource {
    /// Its file.
    pub file: Arc<PartFile>,
    topic: TopicId,
    topic_name: Arc<str>,
    /// Opened at the first question; where it can't be, every read says why again.
    directory: OnceLock<Option<Arc<Directory>>>,
    /// Whether what is damaged counts as not there.
    skips_damage: bool,
}

impl PartSource {
    /// A look at a part, which is not opened yet.
    pub fn new(file: Arc<PartFile>, topic: TopicId, topic_name: Arc<str>) -> Self {
        Self { file, topic, topic_name, directory: OnceLock::new(), skips_damage: false }
    }

    /// A look that takes what is damaged as not there: columns lack values, and messages are not derived but made.
    #[must_use]
    pub fn skipping_damage(self) -> Self {
        Self { skips_damage: true, ..self }
    }

    fn opened(&self) -> Option<&Arc<Directory>> {
        self.directory.get_or_init(|| self.file.directory().ok()).as_ref()
    }

    pub(super) fn directory(&self) -> Result<&Arc<Directory>, StoreError> {
        match self.opened() {
            Some(directory) => Ok(directory),
            None => Err(self.file.directory().err().unwrap_or_else(|| self.file.damaged(0, "it could not be opened before"))),
        }
    }

    /// Whether it can be opened and is the part that the log means.
    ///
    /// # Errors
    /// Damage, or the disk's.
    pub fn check(&self) -> Result<(), StoreError> {
        let directory = self.directory()?;
        let rows: u64 = directory.groups.iter().map(|group| group.rows as u64).sum();
        if rows == self.file.meta.rows { Ok(()) } else { Err(self.file.damaged(0, "it is not the part the log lists")) }
    }

    /// A chunk as it stands in the file, checked.
    pub fn raw_chunk(&self, group: usize, column: u32) -> Result<Option<(ChunkRef, &[u8])>, StoreError> {
        let directory = self.directory()?;
        let Some(chunk) = directory.chunk_ref(group, column) else { return Ok(None) };
        directory.ahead.read(&directory.mapped, group, chunk, |group| directory.chunk_ref(group, column).copied());
        let bytes = checked(&directory.mapped, chunk.offset, chunk.length);
        if bytes.is_none() && self.skips_damage {
            return Ok(None);
        }
        Ok(Some((*chunk, bytes.ok_or_else(|| self.file.damaged(chunk.offset, "a chunk does not fit its checksum"))?)))
    }

    /// What a group's values take in memory, about.
    pub fn unpacked(&self, group: usize) -> u64 {
        self.opened().and_then(|directory| directory.groups.get(group)).map_or(0, |group| group.unpacked)
    }

    fn system_ints(&self, group: usize, column: u32) -> Result<Vec<i64>, StoreError> {
        let Some((chunk, bytes)) = self.raw_chunk(group, column)? else {
            return Err(self.file.damaged(0, "a group lacks its times or lineage"));
        };
        let mut reader = Reader(bytes);
        chunk::presence(&mut reader, self.rows(group))
            .filter(|(_, count)| *count == self.rows(group))
            .and_then(|(_, count)| chunk::ints(&mut reader, chunk.encoding, count))
            .ok_or_else(|| self.file.damaged(chunk.offset, "times or lineage that make no sense"))
    }

    /// How its messages are made.
    ///
    /// # Errors
    /// Damage.
    pub fn templates(&self) -> Result<&[Template], StoreError> {
        Ok(if self.skips_damage { &[] } else { &self.directory()?.templates.messages })
    }

    /// What templates of messages or payloads are made of, in one group.
    fn fields(&self, group: usize, templates: &[Template], of_messages: bool) -> Result<derive::Fields, StoreError> {
        let mut fields = derive::Fields { columns: Vec::new(), times: self.times(group)? };
        for number in templates.iter().flat_map(Template::columns) {
            let at = number as usize;
            if fields.columns.len() <= at {
                fields.columns.resize_with(at + 1, || None);
            }
            if fields.columns[at].is_some() {
                continue;
            }
            // With the columns beside it that have the field's other values.
            let derived = |column| self.encoding(group, column) == Some(encoding::DERIVED);
            if of_messages && (at..=at.saturating_add(self.siblings(at))).any(derived) {
                return Err(self.file.damaged(0, "a template that is made of messages"));
            }
            fields.columns[at] = self.whole_column(group, at)?.map(Chunk::into_text);
        }
        Ok(fields)
    }

    fn decode(&self, dir: &ColumnDir, column: usize, group: usize, chunk: ChunkRef, bytes: &[u8]) -> Result<Chunk, StoreError> {
        let total = self.rows(group);
        let odd = || self.file.damaged(chunk.offset, "a chunk that makes no sense");
        let mut reader = Reader(bytes);
        let (present, count) = chunk::presence(&mut reader, total).ok_or_else(odd)?;
        Ok(match dir.column.kind {
            Kind::Int => {
                let values = chunk::ints(&mut reader, chunk.encoding, count).ok_or_else(odd)?;
                Chunk::Int { values: chunk::spread(values, &present, total), present }
            }
            Kind::Float => {
                let values = chunk::floats(&mut reader, chunk.encoding, count).ok_or_else(odd)?;
                Chunk::Float { values: chunk::spread(values, &present, total), present }
            }
            Kind::Bool => {
                let values = chunk::bools(&mut reader, chunk.encoding, count).ok_or_else(odd)?;
                Chunk::Bool { values: chunk::spread(values, &present, total), present }
            }
            Kind::Str | Kind::List if matches!(chunk.encoding, encoding::CODES | encoding::RANKED) => {
                let dict = self.dict(column)?.ok_or_else(odd)?;
                let codes = ranked::codes(&mut reader, chunk.encoding, count, dict.len()).ok_or_else(odd)?;
                Chunk::Dict { codes: chunk::spread(codes, &present, total), dict }
            }
            Kind::Str if chunk.encoding == encoding::DERIVED => {
                let templates = &self.directory()?.templates.messages;
                let fields = self.fields(group, templates, true)?;
                derive::decode(&mut reader, count, present, templates, &fields).ok_or_else(odd)?
            }
            Kind::Str if chunk.encoding == encoding::SPLIT => {
                let shapes = self.cached_shapes(column)?.ok_or_else(odd)?;
                split::decode(&mut reader, count, total, present, &shapes, None).ok_or_else(odd)?
            }
            Kind::Str if typed::is_typed(chunk.encoding) => {
                typed::decode(&mut reader, chunk.encoding, count, present, total).ok_or_else(odd)?
            }
            Kind::Str | Kind::List => {
                let (ends, bytes) = chunk::text(&mut reader, chunk.encoding, count).ok_or_else(odd)?;
                Chunk::Text { ends: chunk::spread_ends(ends, &present, total), bytes, present }
            }
        })
    }
}

impl Source for PartSource {
    fn topic(&self) -> TopicId {
        self.topic
    }

    fn topic_name(&self) -> Arc<str> {
        self.topic_name.clone()
    }

    fn columns(&self) -> &[Column] {
        self.opened().map_or(&[], |directory| &directory.columns)
    }

    fn groups(&self) -> usize {
        // A part that can't be opened shows one group, so that reading it tells of the damage.
        self.opened().map_or(1, |directory| directory.groups.len())
    }

    fn rows(&self, group: usize) -> usize {
        match self.opened() {
            Some(directory) => directory.groups.get(group).map_or(0, |group| group.rows),
            None => usize::try_from(self.file.meta.rows).unwrap_or(GROUP_ROWS).min(GROUP_ROWS),
        }
    }

    fn time_bounds(&self, group: usize) -> (i64, i64) {
        let bounds = self.opened().and_then(|directory| directory.groups.get(group)).map(|group| group.time);
        bounds.unwrap_or((self.file.meta.from_ns, self.file.meta.to_ns))
    }

    fn times(&self, group: usize) -> Result<Vec<i64>, StoreError> {
        self.system_ints(group, TIME_COLUMN)
    }

    fn column(&self, group: usize, column: usize) -> Result<Option<Chunk>, StoreError> {
        let directory = self.directory()?;
        let Some(dir) = directory.dirs.get(column) else { return Ok(None) };
        let number = u32::try_from(column).unwrap_or(u32::MAX).saturating_add(FIRST_FIELD);
        let Some((chunk, bytes)) = self.raw_chunk(group, number)? else { return Ok(None) };
        match self.decode(dir, column, group, chunk, bytes) {
            Err(StoreError::Damaged { .. }) if self.skips_damage => Ok(None),
            decoded => decoded.map(Some),
        }
    }

    fn bounds(&self, group: usize, column: usize) -> Option<(Number, Number)> {
        let number = u32::try_from(column).ok()?.checked_add(FIRST_FIELD)?;
        let directory = self.opened()?;
        let kind = directory.columns.get(column)?.kind;
        let Some(chunk) = directory.chunk_ref(group, number) else {
            return matches!(kind, Kind::Int | Kind::Float).then_some(bounds::NOWHERE);
        };
        match (kind, chunk.bounds?) {
            (Kind::Int, (least, greatest)) => Some((Number::Int(least), Number::Int(greatest))),
            (Kind::Float, bits) => bounds::from_bits(bits),
            _ => None,
        }
    }

    fn number_bounds(&self, group: usize, column: usize) -> Option<(i64, i64, u8)> {
        let number = u32::try_from(column).ok()?.checked_add(FIRST_FIELD)?;
        let chunk = self.opened()?.chunk_ref(group, number)?;
        let (least, greatest) = chunk.bounds?;
        Some((least, greatest, typed::digits_of(chunk.encoding)?))
    }

    fn dict(&self, column: usize) -> Result<Option<Arc<Dict>>, StoreError> {
        self.cached_dict(column)
    }

    fn dict_counts(&self, column: usize) -> Result<Option<Vec<u64>>, StoreError> {
        self.cached_counts(column)
    }

    fn dict_passing(&self, column: usize, test: &Test, wanted: &Wanted) -> Result<Option<Vec<(u32, u64)>>, StoreError> {
        self.passing(column, test, wanted)
    }

    fn rows_of_code(&self, group: usize, column: usize, code: u32) -> Option<Vec<u64>> {
        let number = u32::try_from(column).ok()?.checked_add(FIRST_FIELD)?;
        let (chunk, bytes) = self.raw_chunk(group, number).ok()??;
        let has_codes = matches!(chunk.encoding, encoding::CODES | encoding::RANKED);
        if has_codes { ranked::having(&mut Reader(bytes), chunk.encoding, self.rows(group), code)? } else { None }
    }

    fn lineage(&self, group: usize) -> Result<Lineage, StoreError> {
        self.lineage_of(group)
    }

    fn runs(&self, group: usize) -> Result<Vec<Run>, StoreError> {
        self.runs_of(group)
    }

    fn groups_with(&self, column: usize, test: &Test, wanted: &Wanted) -> Result<Option<Vec<u64>>, StoreError> {
        self.may_hold(column, test, wanted)
    }

    fn made_of(&self, column: usize) -> Option<Vec<Vec<Made>>> {
        self.pieces_of(column)
    }

    fn made(
        &self,
        group: usize,
        column: usize,
        rows: &[u64],
        get: &mut dyn FnMut(usize) -> Option<Chunk>,
    ) -> Result<Option<Chunk>, StoreError> {
        self.some_made(group, column, rows, get)
    }

    fn shapes(&self, column: usize) -> Result<Option<Arc<Shapes>>, StoreError> {
        if self.has_shapes(column) { self.cached_shapes(column) } else { Ok(None) }
    }

    fn split(&self, group: usize, column: usize) -> Result<Option<Split>, StoreError> {
        self.codes_of_shapes(group, column)
    }

    fn split_texts(&self, group: usize, column: usize, rows: &[u64]) -> Result<Option<Chunk>, StoreError> {
        self.some_texts(group, column, rows)
    }

    fn check_index(&self) -> Result<(), StoreError> {
        self.check_pairs()
    }

    fn payload(&self, group: usize) -> Result<Option<Chunk>, StoreError> {
        self.rendered_payloads(group)
    }

    fn envelopes(&self, group: usize) -> Result<Option<Envelopes>, StoreError> {
        self.envelopes_of(group)
    }

    fn is_shut(&self) -> bool {
        self.opened().is_none()
    }

    fn deleted(&self, _group: usize) -> Option<Arc<[u64]>> {
        None
    }
}
