//! Writing a part from groups of memtables and other parts: what flush and merge have in common.
//!
//! A [`Job`] says which rows of which input groups make each group of the new part. Column by column, each group's values are
//! gathered and written; chunks of whole groups that hang on no dictionary are copied as they are.
//!
//! Memory: one column's dictionary and codes (6 bytes a row), one group's values, and the packed dictionaries.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::chunk::{self, Dense, encoding};
use super::derive::{self, Known};
use super::dictionary::{BLOCK_ENTRIES, encode_block};
use super::directory::{
    BlockRef, ChunkRef, ColumnDir, Footer, GroupDir, Holds, LineageRun, Span, encode_columns, encode_footer, encode_groups,
    encode_lineage, pack_section,
};
use super::inherit::Inherited;
use super::job::{Job, Mapping, each_chunk, each_row, gather};
use super::mixed::{self, Kept};
use super::out::{Out, refused};
use super::pairs::{self, build};
use super::strings::{Coded, coded};
use super::template::{self, Templates};
use super::{FIRST_FIELD, HEAD_BYTES, MAGIC, N_COLUMN, OFFSET_COLUMN, TIME_COLUMN, VERSION, ranked};
use crate::base::disk::Disk;
use crate::base::ids::{Offset, PartitionId};
use crate::base::row::MESSAGE;
use crate::store::source::{Chunk, Column, Kind};
use crate::store::{StoreError, bounds};

mod few;
mod free;
mod index;
mod payload;
mod split;

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Bytes of the file.
    pub bytes: u64,
    /// Rows.
    pub rows: u64,
    /// Least and greatest time.
    pub time: (i64, i64),
    /// Each partition with its least and greatest offset.
    pub offsets: Vec<(PartitionId, Offset, Offset)>,
}

/// A dictionary block, packed.
type Block = (Vec<u8>, BlockRef);

struct Writer<'a> {
    job: &'a Job<'a>,
    out: Out<'a>,
    groups: Vec<GroupDir>,
    columns: Vec<ColumnDir>,
    /// Packed dictionary blocks of each column, written when all columns are.
    dictionaries: Vec<(usize, Vec<Block>)>,
    runs: Vec<LineageRun>,
    templates: Templates,
    pairs: Vec<pairs::Segment>,
    text: zstd::bulk::Compressor<'static>,
    dict: zstd::bulk::Compressor<'static>,
}

/// Writes a part and makes its bytes durable; its name is the caller's to make durable.
///
/// # Errors
/// The disk's, damage of an input, [`StoreError::Wide`], [`StoreError::Closed`]; the file is then useless.
pub fn write(disk: &Arc<dyn Disk>, path: &Path, job: &Job<'_>) -> Result<Written, StoreError> {
    let broken = |error| refused(path, error);
    let mut writer = Writer {
        job,
        out: Out::create(disk, path)?,
        groups: job.groups.iter().map(|pieces| GroupDir { rows: job.rows(pieces), ..GroupDir::default() }).collect(),
        columns: Vec::new(),
        dictionaries: Vec::new(),
        runs: Vec::new(),
        templates: Templates::default(),
        pairs: Vec::new(),
        text: zstd::bulk::Compressor::new(1).map_err(broken)?,
        dict: zstd::bulk::Compressor::new(3).map_err(broken)?,
    };
    writer.head()?;
    writer.times()?;
    writer.lineage()?;
    let mut fields = BTreeMap::<(Arc<str>, Kind), Mapping>::new();
    for (at, input) in job.inputs.iter().enumerate() {
        for (number, column) in input.source().columns().iter().enumerate() {
            let mapping = fields.entry((column.name.clone(), column.kind));
            let mapping = mapping.or_insert_with(|| vec![None; job.inputs.len()]);
            if let Some(place) = mapping.get_mut(at) {
                place.get_or_insert(number);
            }
        }
    }
    // The message comes last: it may be made of the others.
    let message = fields.remove_entry(&(Arc::from(MESSAGE), Kind::Str));
    let mut written = Vec::with_capacity(fields.len());
    for ((name, kind), mapping) in fields {
        if job.stop.load(Ordering::Acquire) {
            return Err(StoreError::Closed);
        }
        if let Some(number) = writer.field(Column { name, kind }, &mapping)?
            && kind != Kind::List
        {
            written.push((number, mapping, kind));
        }
    }
    if let Some(((name, kind), mapping)) = message {
        let known = written.iter().filter(|(.., kind)| *kind != Kind::Bool);
        let known: Vec<_> = known.map(|(number, mapping, _)| Known { number: *number, mapping }).collect();
        if let Some(number) = writer.message(Column { name, kind }, &mapping, &known)? {
            written.push((number, mapping, kind));
        }
    }
    let known: Vec<_> = written.iter().map(|(number, mapping, _)| Known { number: *number, mapping }).collect();
    writer.payloads(&known)?;
    writer.finish()
}

impl Writer<'_> {
    fn head(&mut self) -> Result<(), StoreError> {
        self.out.put(&MAGIC)?;
        self.out.put(&VERSION.to_le_bytes())?;
        self.out.put(&[0; 6])
    }

    fn add_chunk(&mut self, group: usize, chunk: ChunkRef, bytes: &[u8]) -> Result<(), StoreError> {
        let span = self.out.put_checked(bytes)?;
        if let Some(group) = self.groups.get_mut(group) {
            group.chunks.push(ChunkRef { offset: span.offset, length: span.length, ..chunk });
        }
        Ok(())
    }

    /// Writes what `fill` appends after the rows' presence; it says the encoding.
    fn put_chunk<T>(
        &mut self,
        group: usize,
        column: u32,
        dense: &Dense<T>,
        bounds: Option<(i64, i64)>,
        fill: impl FnOnce(&mut Vec<u8>, &[T]) -> u8,
    ) -> Result<(), StoreError> {
        let mut bytes = Vec::new();
        chunk::put_presence(&mut bytes, &dense.rows, dense.total);
        let encoding = fill(&mut bytes, &dense.values);
        self.add_chunk(group, ChunkRef { column, encoding, offset: 0, length: 0, bounds }, &bytes)
    }

    /// Copies a chunk as it stands if the group is one whole group of a part.
    fn copy(&mut self, group: usize, column: u32, from: u32) -> Result<bool, StoreError> {
        let job = self.job;
        let Some((source, source_group)) = job.groups.get(group).and_then(|pieces| job.verbatim(pieces)) else {
            return Ok(false);
        };
        if let Some((chunk, bytes)) = source.raw_chunk(source_group, from)? {
            let hangs = [encoding::CODES, encoding::RANKED, encoding::DERIVED, encoding::SPLIT];
            if hangs.contains(&chunk.encoding) {
                return Ok(false);
            }
            self.add_chunk(group, ChunkRef { column, ..chunk }, bytes)?;
        }
        Ok(true)
    }

    fn put_system(&mut self, group: usize, column: u32, values: Vec<i64>) -> Result<(), StoreError> {
        let mut bytes = vec![0];
        let encoding = chunk::put_ints(&mut bytes, &values);
        self.add_chunk(group, ChunkRef { column, encoding, offset: 0, length: 0, bounds: None }, &bytes)
    }

    fn times(&mut self) -> Result<(), StoreError> {
        let job = self.job;
        for (at, pieces) in job.groups.iter().enumerate() {
            let mut times = Vec::new();
            let mut unpacked = 0;
            for piece in pieces {
                let Some(input) = job.inputs.get(piece.input) else { continue };
                let all = input.source().times(piece.group)?;
                let size = input.unpacked(piece.group);
                match &piece.rows {
                    None => {
                        unpacked += size;
                        times.extend_from_slice(&all);
                    }
                    Some(rows) => {
                        unpacked += size * rows.len() as u64 / (all.len() as u64).max(1);
                        times.extend(rows.iter().filter_map(|row| all.get(usize::from(*row))));
                    }
                }
            }
            if let Some(group) = self.groups.get_mut(at) {
                group.unpacked = unpacked;
                group.time = (times.iter().min().copied().unwrap_or(0), times.iter().max().copied().unwrap_or(0));
            }
            self.put_system(at, TIME_COLUMN, times)?;
        }
        Ok(())
    }

    fn lineage(&mut self) -> Result<(), StoreError> {
        let job = self.job;
        for (at, pieces) in job.groups.iter().enumerate() {
            let (mut offsets, mut ns) = (Vec::new(), Vec::new());
            for piece in pieces {
                let Some(input) = job.inputs.get(piece.input) else { continue };
                let lineage = input.source().lineage(piece.group)?;
                let runs = &mut self.runs;
                each_row(piece, lineage.offsets.len(), |_, row| {
                    let get = (lineage.offsets.get(row), lineage.partitions.get(row), lineage.generations.get(row));
                    let (Some(&offset), Some(&partition), Some(&generation)) = get else { return };
                    offsets.push(offset.cast_signed());
                    ns.push(i64::from(lineage.ns.get(row).copied().unwrap_or(0)));
                    match runs.last_mut() {
                        Some(run) if run.partition == partition && run.generation == generation && run.last <= offset => {
                            run.rows += 1;
                            run.last = offset;
                        }
                        _ => runs.push(LineageRun { rows: 1, partition, generation, first: offset, last: offset }),
                    }
                });
            }
            self.put_system(at, OFFSET_COLUMN, offsets)?;
            self.put_system(at, N_COLUMN, ns)?;
        }
        Ok(())
    }

    /// Writes a column; its number among the fields, if any row has it.
    fn field(&mut self, column: Column, mapping: &Mapping) -> Result<Option<u32>, StoreError> {
        let at = self.columns.len();
        let place = u32::try_from(at).unwrap_or(u32::MAX - FIRST_FIELD);
        let kind = column.kind;
        if kind == Kind::Str {
            match mixed::kept(self.job, mapping)? {
                Kept::Dictionary(coded) => self.codes(&column, coded)?,
                // What comes often is better found as codes.
                Kept::Split(split) if !split.typed && !split.often && self.free(&column, mapping)? => {}
                Kept::Split(split) => self.split(&column, split, mapping)?,
            }
        } else if kind == Kind::List
            && let Some(coded) = coded(self.job, mapping)?
        {
            self.codes(&column, coded)?;
        } else {
            self.columns.push(ColumnDir { column, blocks: Vec::new(), holds: Holds::Values });
            self.values(place + FIRST_FIELD, kind, mapping)?;
            if matches!(kind, Kind::Int | Kind::Bool) && self.columns.len() > at {
                self.few(at, mapping)?;
            }
        }
        self.index(at, kind, mapping)?;
        Ok((self.columns.len() > at).then_some(place))
    }

    /// Writes messages: as any strings, or as templates make them of the columns before. Their number among the fields.
    fn message(&mut self, column: Column, mapping: &Mapping, known: &[Known<'_>]) -> Result<Option<u32>, StoreError> {
        let at = self.columns.len();
        self.messages(column, mapping, known)?;
        Ok((self.columns.len() > at).then(|| u32::try_from(at).unwrap_or(u32::MAX - FIRST_FIELD)))
    }

    fn messages(&mut self, column: Column, mapping: &Mapping, known: &[Known<'_>]) -> Result<(), StoreError> {
        let job = self.job;
        if let Some(coded) = coded(job, mapping)? {
            return self.codes(&column, coded);
        }
        let inherited = Inherited::of(job, known)?;
        self.templates.messages = match inherited.templates.is_empty() {
            true => derive::learn(job, mapping, known)?,
            false => inherited.templates.clone(),
        };
        if self.templates.messages.is_empty() {
            let at = self.columns.len();
            if !self.free(&column, mapping)? {
                let number = self.begin(&column);
                self.values(number, Kind::Str, mapping)?;
            }
            return self.index(at, Kind::Str, mapping);
        }
        let number = self.begin(&column);
        let mut builder = build::Builder::new(number - FIRST_FIELD, false);
        for (group, pieces) in job.groups.iter().enumerate() {
            let bytes = match inherited.recode(job, pieces, mapping)? {
                Some(bytes) => Some(bytes),
                None => derive::encode(job, pieces, mapping, known, &self.templates.messages, &mut self.text)?,
            };
            if let Some(bytes) = bytes {
                let chunk = ChunkRef { column: number, encoding: encoding::DERIVED, offset: 0, length: 0, bounds: None };
                self.add_chunk(group, chunk, &bytes)?;
                if let Some((ends, texts)) = derive::stored(&bytes, job.rows(pieces), self.templates.messages.len()) {
                    builder.begin(u32::try_from(group).unwrap_or(u32::MAX), pairs::Sort::Words, &mut self.out)?;
                    builder.texts(&ends, &texts);
                }
            }
        }
        self.pairs.append(&mut builder.finish(&mut self.out)?);
        Ok(())
    }

    /// Writes the values of the column that was begun last, group by group.
    fn values(&mut self, number: u32, kind: Kind, mapping: &Mapping) -> Result<(), StoreError> {
        let job = self.job;
        let before = self.out.at();
        for (group, pieces) in job.groups.iter().enumerate() {
            let from = match pieces.as_slice() {
                [piece] => mapping.get(piece.input).copied().flatten(),
                _ => None,
            };
            if let Some(from) = from.and_then(|from| u32::try_from(from).ok())
                && self.copy(group, number, from.saturating_add(FIRST_FIELD))?
            {
                continue;
            }
            match kind {
                Kind::Int => self.ints(group, number, mapping)?,
                Kind::Float => {
                    let dense = gather(job, pieces, mapping, |chunk, row| match chunk {
                        Chunk::Float { values, present } if present.has(row) => values.get(row).copied(),
                        _ => None,
                    })?;
                    if !dense.rows.is_empty() {
                        let bounds = bounds::of_floats(&dense.values).map(bounds::to_bits);
                        self.put_chunk(group, number, &dense, bounds, chunk::put_floats)?;
                    }
                }
                Kind::Bool => {
                    let dense = gather(job, pieces, mapping, |chunk, row| match chunk {
                        Chunk::Bool { values, present } if present.has(row) => values.get(row).copied(),
                        _ => None,
                    })?;
                    if !dense.rows.is_empty() {
                        self.put_chunk(group, number, &dense, None, chunk::put_bools)?;
                    }
                }
                Kind::Str | Kind::List => self.text(group, number, mapping)?,
            }
        }
        if self.out.at() == before {
            // No row of this part has it.
            self.columns.pop();
        }
        Ok(())
    }

    fn ints(&mut self, group: usize, number: u32, mapping: &Mapping) -> Result<(), StoreError> {
        let Some(pieces) = self.job.groups.get(group) else { return Ok(()) };
        let dense = gather(self.job, pieces, mapping, |chunk, row| match chunk {
            Chunk::Int { values, present } if present.has(row) => values.get(row).copied(),
            _ => None,
        })?;
        let (Some(least), Some(greatest)) = (dense.values.iter().min(), dense.values.iter().max()) else { return Ok(()) };
        let bounds = Some((*least, *greatest));
        self.put_chunk(group, number, &dense, bounds, chunk::put_ints)
    }

    fn text(&mut self, group: usize, number: u32, mapping: &Mapping) -> Result<(), StoreError> {
        let Some(pieces) = self.job.groups.get(group) else { return Ok(()) };
        let mut dense = Dense { total: self.job.rows(pieces), ..Dense::<u32>::default() };
        let mut bytes = Vec::new();
        let mut add = |row: u16, value: &[u8]| {
            bytes.extend_from_slice(value);
            dense.rows.push(row);
            // Groups are joined only while they are small; what is past 4 GiB all the same could not be read back.
            dense.values.push(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        };
        each_chunk(self.job, pieces, mapping, |base, piece, rows, chunk| match chunk.into_text() {
            Chunk::Dict { codes, dict } => each_row(piece, rows, |at, row| {
                if let Some(code) = codes.get(row).and_then(|code| code.checked_sub(1)) {
                    add(base + at, dict.entry(code as usize));
                }
            }),
            Chunk::Text { ends, bytes, present } => each_row(piece, rows, |at, row| {
                if present.has(row) {
                    let start = if row == 0 { 0 } else { ends.get(row - 1).copied().unwrap_or(0) };
                    let end = ends.get(row).copied().unwrap_or(0);
                    add(base + at, bytes.get(start as usize..end as usize).unwrap_or(&[]));
                }
            }),
            _ => {}
        })?;
        if dense.rows.is_empty() {
            return Ok(());
        }
        let mut out = Vec::with_capacity(bytes.len() / 4);
        chunk::put_presence(&mut out, &dense.rows, dense.total);
        let encoding = chunk::put_text(&mut out, &dense.values, &bytes, &mut self.text);
        self.add_chunk(group, ChunkRef { column: number, encoding, offset: 0, length: 0, bounds: None }, &out)
    }

    /// Begins a column; its number among all.
    fn begin(&mut self, column: &Column) -> u32 {
        self.columns.push(ColumnDir { column: column.clone(), blocks: Vec::new(), holds: Holds::Values });
        u32::try_from(self.columns.len() - 1).unwrap_or(u32::MAX - FIRST_FIELD) + FIRST_FIELD
    }

    /// Writes a column that has a dictionary, if any row has a value in it.
    fn codes(&mut self, column: &Column, mut coded: Coded) -> Result<(), StoreError> {
        if coded.dict.is_empty() {
            return Ok(());
        }
        let number = self.begin(column);
        let at = self.columns.len() - 1;
        let (order, rank) = coded.sorted();
        for (group, mut dense) in std::mem::take(&mut coded.groups).into_iter().enumerate() {
            if dense.rows.is_empty() {
                continue;
            }
            for code in &mut dense.values {
                *code = rank.get(*code as usize).copied().unwrap_or(0);
            }
            self.put_chunk(group, number, &dense, None, ranked::put)?;
        }
        let entry = |code: &u32| {
            let code = *code as usize;
            (coded.dict.entry(code), coded.counts.get(code).copied().unwrap_or(0))
        };
        let entries: Vec<_> = order.iter().map(entry).collect();
        self.dictionary(at, &entries)?;
        self.index_entries(number, column.kind, &entries)
    }

    /// Packs the sorted entries of a column's dictionary, with their counts.
    fn dictionary(&mut self, at: usize, entries: &[(&[u8], u64)]) -> Result<(), StoreError> {
        let mut blocks = Vec::new();
        for some in entries.chunks(BLOCK_ENTRIES) {
            let raw = encode_block(some.iter().copied());
            let frame = self.dict.compress(&raw).map_err(|error| refused(self.out.path(), error))?;
            let first_key = some.first().map(|entry| entry.0.to_vec()).unwrap_or_default();
            let entries = u32::try_from(some.len()).unwrap_or(0);
            blocks.push((frame, BlockRef { span: Span::default(), unpacked: raw.len() as u64, entries, first_key }));
        }
        self.dictionaries.push((at, blocks));
        Ok(())
    }

    fn finish(mut self) -> Result<Written, StoreError> {
        let path = self.out.path();
        let broken = |error| refused(path, error);
        let mut sections = [Span::default(); 7];
        sections[0] = Span { offset: HEAD_BYTES, length: self.out.at() - HEAD_BYTES, crc: 0 };
        let dict_start = self.out.at();
        for (column, blocks) in std::mem::take(&mut self.dictionaries) {
            for (frame, mut block) in blocks {
                block.span = self.out.put_checked(&frame)?;
                if let Some(dir) = self.columns.get_mut(column) {
                    dir.blocks.push(block);
                }
            }
        }
        sections[1] = Span { offset: dict_start, length: self.out.at() - dict_start, crc: 0 };
        self.pairs.sort_by_key(|segment| (segment.column, segment.dictionary));
        let pairs = if self.pairs.is_empty() { Vec::new() } else { pairs::encode(&self.pairs) };
        let templates = template::encode(&self.templates);
        let bodies = [pairs, templates, encode_groups(&self.groups), encode_columns(&self.columns), encode_lineage(&self.runs)];
        if bodies.iter().any(|body| body.len() > self.job.directory_bytes) {
            return Err(StoreError::Wide { path: path.display().to_string(), most: self.job.directory_bytes });
        }
        for (section, body) in sections.iter_mut().skip(2).zip(&bodies) {
            let packed = if body.is_empty() { Vec::new() } else { pack_section(body).map_err(broken)? };
            *section = Span { offset: self.out.at(), length: packed.len() as u64, crc: crc32c::crc32c(&packed) };
            self.out.put(&packed)?;
        }
        let rows = self.groups.iter().map(|group| group.rows as u64).sum();
        let least = self.groups.iter().map(|group| group.time.0).min().unwrap_or(0);
        let greatest = self.groups.iter().map(|group| group.time.1).max().unwrap_or(0);
        let (topic, topic_name, part) = (self.job.topic, self.job.topic_name.clone(), self.job.part);
        let footer = Footer { sections, topic, topic_name, part, rows, time: (least, greatest) };
        self.out.put(&encode_footer(&footer))?;
        let bytes = self.out.finish()?;
        let mut offsets = BTreeMap::<PartitionId, (Offset, Offset)>::new();
        for run in &self.runs {
            let bounds = offsets.entry(run.partition).or_insert((run.first, run.last));
            *bounds = (bounds.0.min(run.first), bounds.1.max(run.last));
        }
        let offsets = offsets.into_iter().map(|(partition, (first, last))| (partition, first, last)).collect();
        Ok(Written { bytes, rows, time: (least, greatest), offsets })
    }
}
