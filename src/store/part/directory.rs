//! The tail of a part: where everything is. Read once when a part is first asked for something.
//!
//! ```text
//! GROUP TABLE, COLUMN DIR, LINEAGE: unpacked size u32 | zstd frame of:
//!
//! groups:  count, then each: rows, least time zigzag, greatest - least, unpacked bytes, chunks, then each chunk:
//!          column - previous column, encoding u8, bounded u8, offset, length; if bounded: least zigzag, greatest - least
//!          (of decimals their bits, since version 2)
//! columns: count, then each: name (length, bytes), kind u8 (0 string, 1 list, 2 whole, 3 decimal, 4 bool; since version 2
//!          5 string whose dictionary is of shapes, 6 payloads), blocks,
//!          then each dictionary block: offset, length, unpacked size, entries, first key (length, at most 64 bytes of it)
//! lineage: count, then each: rows, partition, generation, first offset, last - first
//!          (all varints but where said)
//!
//! FOOTER:  7 × (offset u64, length u64, crc32c u32) in the order of the file; crc 0 for the first two, whose pieces have
//!          their own, and for what is empty | topic id 16 | part number u64 | rows u64 | least time i64 | greatest time i64 |
//!          name (length, bytes) | crc32c u32 of all before | length u32 of all before | magic
//! ```
//! Limits: [`DIRECTORY_BYTES`] unpacked a section; no part is written that has more.

use std::sync::Arc;

use super::bits::{Reader, put_bytes, put_varint, put_zigzag};
use super::{FIRST_FIELD, HEAD_BYTES, MAGIC, packed};
use crate::base::ids::{Generation, Offset, PartitionId, TopicId};
use crate::store::group::GROUP_ROWS;
use crate::store::source::{Column, Kind};

/// Most unpacked bytes of one section of the directory.
pub const DIRECTORY_BYTES: usize = 256 << 20;
/// Bytes of a dictionary block's first key that the directory keeps.
pub const KEY_BYTES: usize = 64;
/// Columns of one name and kind next to each other: those of `mixed.rs`.
const OF_A_FIELD: usize = 3;
const SECTIONS: usize = 7;

/// A run of the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Where it begins.
    pub offset: u64,
    /// Its bytes, without their checksum.
    pub length: u64,
    /// Its checksum, where the directory keeps it.
    pub crc: u32,
}

/// Where a chunk lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkRef {
    /// [`super::TIME_COLUMN`] and so on, or a field.
    pub column: u32,
    /// [`super::chunk::encoding`].
    pub encoding: u8,
    /// Where it begins.
    pub offset: u64,
    /// Its bytes without the checksum.
    pub length: u64,
    /// Least and greatest number; of decimals their bits.
    pub bounds: Option<(i64, i64)>,
}

/// A group of a part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupDir {
    /// Rows.
    pub rows: usize,
    /// Least and greatest time.
    pub time: (i64, i64),
    /// What its values take in memory, about: groups are joined only while they stay small.
    pub unpacked: u64,
    /// By column, ascending.
    pub chunks: Vec<ChunkRef>,
}

/// A block of a dictionary.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockRef {
    /// Where it lies.
    pub span: Span,
    /// Its bytes when unpacked.
    pub unpacked: u64,
    /// Its entries.
    pub entries: u32,
    /// The beginning of its first entry.
    pub first_key: Vec<u8>,
}

/// A column of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnDir {
    /// Name and kind.
    pub column: Column,
    /// Its dictionary, if it has one.
    pub blocks: Vec<BlockRef>,
    /// What it holds.
    pub holds: Holds,
}

/// What a column, or its dictionary, holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Holds {
    /// A field's values.
    #[default]
    Values,
    /// A field's values; but its dictionary has their shapes.
    Shapes,
    /// Payloads: no field, and the last column.
    Payloads,
}

/// Rows in a row of one partition and generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineageRun {
    /// How many.
    pub rows: u64,
    /// Partition of all.
    pub partition: PartitionId,
    /// Generation of all.
    pub generation: Generation,
    /// Offset of the first.
    pub first: Offset,
    /// Offset of the last.
    pub last: Offset,
}

/// What a footer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Footer {
    /// In the order of the file.
    pub sections: [Span; SECTIONS],
    /// The topic.
    pub topic: TopicId,
    /// Its name when this was written.
    pub topic_name: Arc<str>,
    /// The part's number.
    pub part: u64,
    /// Rows.
    pub rows: u64,
    /// Least and greatest time.
    pub time: (i64, i64),
}

/// Packs a section of the directory, which its caller has found small enough to be read back.
pub fn pack_section(raw: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut out = u32::try_from(raw.len()).map_err(std::io::Error::other)?.to_le_bytes().to_vec();
    out.extend_from_slice(&zstd::bulk::compress(raw, 1)?);
    Ok(out)
}

/// Unpacks a section of the directory.
pub fn unpack_section(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut reader = Reader(bytes);
    let size = usize::try_from(reader.u32()?).ok().filter(|size| *size <= DIRECTORY_BYTES)?;
    packed::unpack(reader.0, size).filter(|raw| raw.len() == size)
}

/// The group table as bytes.
pub fn encode_groups(groups: &[GroupDir]) -> Vec<u8> {
    let mut out = Vec::new();
    put_varint(&mut out, groups.len() as u64);
    for group in groups {
        put_varint(&mut out, group.rows as u64);
        put_bounds(&mut out, group.time);
        put_varint(&mut out, group.unpacked);
        put_varint(&mut out, group.chunks.len() as u64);
        let mut column = 0;
        for chunk in &group.chunks {
            put_varint(&mut out, u64::from(chunk.column - column));
            column = chunk.column;
            out.push(chunk.encoding);
            out.push(u8::from(chunk.bounds.is_some()));
            put_varint(&mut out, chunk.offset);
            put_varint(&mut out, chunk.length);
            if let Some(bounds) = chunk.bounds {
                put_bounds(&mut out, bounds);
            }
        }
    }
    out
}

fn put_bounds(out: &mut Vec<u8>, (least, greatest): (i64, i64)) {
    put_zigzag(out, least);
    put_varint(out, greatest.wrapping_sub(least).cast_unsigned());
}

fn bounds(reader: &mut Reader<'_>) -> Option<(i64, i64)> {
    let least = reader.zigzag()?;
    Some((least, least.wrapping_add(reader.varint()?.cast_signed())))
}

/// Reads a group table of a part of so many columns.
pub fn decode_groups(bytes: &[u8], columns: usize) -> Option<Vec<GroupDir>> {
    let mut reader = Reader(bytes);
    let count = reader.size()?;
    let mut groups = Vec::with_capacity(reader.at_most(count, 5)?);
    let last_column = u64::from(FIRST_FIELD) + columns as u64;
    for _ in 0..count {
        let rows = reader.size().filter(|rows| (1..=GROUP_ROWS).contains(rows))?;
        let time = bounds(&mut reader)?;
        // It is added up and multiplied by rows; no group is anywhere near.
        let unpacked = reader.varint()?.min(1 << 40);
        let chunk_count = reader.size()?;
        let mut chunks = Vec::with_capacity(reader.at_most(chunk_count, 5)?);
        let mut column = 0u32;
        for _ in 0..chunk_count {
            column = column.checked_add(reader.number()?).filter(|column| u64::from(*column) < last_column)?;
            let encoding = reader.u8()?;
            let bounded = reader.u8()? == 1;
            let offset = reader.varint()?;
            let length = reader.varint()?;
            let bounds = if bounded { Some(bounds(&mut reader)?) } else { None };
            chunks.push(ChunkRef { column, encoding, offset, length, bounds });
        }
        groups.push(GroupDir { rows, time, unpacked, chunks });
    }
    Some(groups)
}

/// The column directory as bytes.
pub fn encode_columns(columns: &[ColumnDir]) -> Vec<u8> {
    let mut out = Vec::new();
    put_varint(&mut out, columns.len() as u64);
    for dir in columns {
        put_bytes(&mut out, dir.column.name.as_bytes());
        out.push(match dir.column.kind {
            Kind::Str if dir.holds == Holds::Shapes => 5,
            Kind::Str if dir.holds == Holds::Payloads => 6,
            Kind::Str => 0,
            Kind::List => 1,
            Kind::Int => 2,
            Kind::Float => 3,
            Kind::Bool => 4,
        });
        put_varint(&mut out, dir.blocks.len() as u64);
        for block in &dir.blocks {
            put_varint(&mut out, block.span.offset);
            put_varint(&mut out, block.span.length);
            put_varint(&mut out, block.unpacked);
            put_varint(&mut out, u64::from(block.entries));
            put_bytes(&mut out, block.first_key.get(..KEY_BYTES).unwrap_or(&block.first_key));
        }
    }
    out
}

/// Reads a column directory.
pub fn decode_columns(bytes: &[u8]) -> Option<Vec<ColumnDir>> {
    let mut reader = Reader(bytes);
    let count = reader.size()?;
    let mut columns = Vec::with_capacity(reader.at_most(count, 3)?);
    for _ in 0..count {
        let name: Arc<str> = Arc::from(std::str::from_utf8(reader.bytes()?).ok()?);
        let tag = reader.u8()?;
        let kind = match tag {
            0 | 5 | 6 => Kind::Str,
            1 => Kind::List,
            2 => Kind::Int,
            3 => Kind::Float,
            4 => Kind::Bool,
            _ => return None,
        };
        let holds = match tag {
            5 => Holds::Shapes,
            6 => Holds::Payloads,
            _ => Holds::Values,
        };
        if columns.last().is_some_and(|last: &ColumnDir| last.holds == Holds::Payloads) {
            return None;
        }
        let column = Column { name, kind };
        let is_same = |dir: &&ColumnDir| dir.column == column;
        if holds != Holds::Payloads && columns.iter().rev().take(OF_A_FIELD).take_while(is_same).count() == OF_A_FIELD {
            return None;
        }
        let block_count = reader.size()?;
        let mut blocks = Vec::with_capacity(reader.at_most(block_count, 5)?);
        for _ in 0..block_count {
            let span = Span { offset: reader.varint()?, length: reader.varint()?, crc: 0 };
            let unpacked = reader.varint()?;
            let entries = reader.number()?;
            blocks.push(BlockRef { span, unpacked, entries, first_key: reader.bytes()?.to_vec() });
        }
        columns.push(ColumnDir { column, blocks, holds });
    }
    Some(columns)
}

/// Lineage as bytes.
pub fn encode_lineage(runs: &[LineageRun]) -> Vec<u8> {
    let mut out = Vec::new();
    put_varint(&mut out, runs.len() as u64);
    for run in runs {
        put_varint(&mut out, run.rows);
        put_varint(&mut out, u64::from(run.partition));
        put_varint(&mut out, u64::from(run.generation));
        put_varint(&mut out, run.first);
        put_varint(&mut out, run.last.wrapping_sub(run.first));
    }
    out
}

/// Reads lineage.
pub fn decode_lineage(bytes: &[u8]) -> Option<Vec<LineageRun>> {
    let mut reader = Reader(bytes);
    let count = reader.size()?;
    let mut runs = Vec::with_capacity(reader.at_most(count, 5)?);
    for _ in 0..count {
        let (rows, partition, generation) = (reader.varint()?, reader.number()?, reader.number()?);
        let first = reader.varint()?;
        runs.push(LineageRun { rows, partition, generation, first, last: first.wrapping_add(reader.varint()?) });
    }
    Some(runs)
}

/// A footer as bytes, to the end of the file.
pub fn encode_footer(footer: &Footer) -> Vec<u8> {
    let mut out = Vec::new();
    for span in &footer.sections {
        out.extend_from_slice(&span.offset.to_le_bytes());
        out.extend_from_slice(&span.length.to_le_bytes());
        out.extend_from_slice(&span.crc.to_le_bytes());
    }
    out.extend_from_slice(footer.topic.as_bytes());
    out.extend_from_slice(&footer.part.to_le_bytes());
    out.extend_from_slice(&footer.rows.to_le_bytes());
    out.extend_from_slice(&footer.time.0.to_le_bytes());
    out.extend_from_slice(&footer.time.1.to_le_bytes());
    put_bytes(&mut out, footer.topic_name.as_bytes());
    let length = u32::try_from(out.len()).unwrap_or(0); // a name is at most 249 bytes
    out.extend_from_slice(&crc32c::crc32c(&out).to_le_bytes());
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&MAGIC);
    out
}

/// Reads the footer at the end of a file.
pub fn decode_footer(file: &[u8]) -> Option<Footer> {
    let (rest, magic) = file.split_last_chunk::<8>()?;
    let (rest, length) = rest.split_last_chunk::<4>()?;
    let (rest, crc) = rest.split_last_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let start = rest.len().checked_sub(length)?;
    let body = rest.get(start..)?;
    if *magic != MAGIC || crc32c::crc32c(body) != u32::from_le_bytes(*crc) {
        return None;
    }
    let mut reader = Reader(body);
    let mut sections = [Span::default(); SECTIONS];
    for span in &mut sections {
        *span = Span { offset: reader.u64()?, length: reader.u64()?, crc: reader.u32()? };
        let end = span.offset.checked_add(span.length)?;
        if span.offset < HEAD_BYTES || end > start as u64 {
            return None;
        }
    }
    let topic = TopicId::from_bytes(reader.take(16)?.try_into().ok()?);
    let (part, rows) = (reader.u64()?, reader.u64()?);
    let time = (reader.u64()?.cast_signed(), reader.u64()?.cast_signed());
    let topic_name = Arc::from(std::str::from_utf8(reader.bytes()?).ok()?);
    Some(Footer { sections, topic, topic_name, part, rows, time })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_has_three_columns_of_a_kind_at_most() {
        let dir = |holds| ColumnDir { column: Column { name: "_payload".into(), kind: Kind::Str }, blocks: Vec::new(), holds };
        let mut dirs = vec![dir(Holds::Values), dir(Holds::Values), dir(Holds::Values), dir(Holds::Payloads)];
        assert_eq!(decode_columns(&encode_columns(&dirs)), Some(dirs.clone()));
        dirs.insert(0, dir(Holds::Values));
        assert_eq!(decode_columns(&encode_columns(&dirs)), None);
    }
}
