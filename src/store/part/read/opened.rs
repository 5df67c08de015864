//! What is read when a part is opened: its directory, decoded, and the mapping of its file.

use super::super::bits::Reader;
use super::super::directory::{
    ChunkRef, ColumnDir, Footer, GroupDir, Holds, LineageRun, Span, decode_columns, decode_footer, decode_groups,
    decode_lineage, unpack_section,
};
use super::super::pairs;
use super::super::template::{self, Templates};
use super::super::{FIRST_FIELD, HEAD_BYTES, MAGIC, VERSION};
use super::ahead::{self, Ahead};
use super::slice;
use crate::base::disk::Mapped;
use crate::store::source::Column;

/// Segments of pairs whose heads are asked for when a part is opened, at most.
const HEADS: usize = 256;

/// A part's directory, decoded, and its mapping.
#[derive(Debug)]
pub struct Directory {
    /// What the footer says.
    pub footer: Footer,
    /// The file.
    pub mapped: Mapped,
    /// Fields.
    pub columns: Vec<Column>,
    /// Columns, payloads too.
    pub dirs: Vec<ColumnDir>,
    /// Groups.
    pub groups: Vec<GroupDir>,
    /// What messages and payloads are made by.
    pub templates: Templates,
    /// By column; none where they are damaged.
    pub pairs: Option<Vec<pairs::Segment>>,
    /// Rows before each group.
    pub starts: Vec<u64>,
    /// Lineage of the rows, one run behind the other.
    pub runs: Vec<LineageRun>,
    /// Rows up to the end of each run.
    pub run_ends: Vec<u64>,
    /// What was asked for.
    pub(super) ahead: Ahead,
}

impl Directory {
    /// Reads it; or where, and what is wrong there.
    pub fn read(mapped: Mapped) -> Result<Self, (u64, &'static str)> {
        let end = mapped.len() as u64;
        mapped.read_at_random();
        // Both ends at once: most directories lie in the last of it whole.
        mapped.will_need(0, HEAD_BYTES.min(end));
        mapped.will_need(end.saturating_sub(ahead::TAIL), ahead::TAIL.min(end));
        let mut head = Reader(&mapped);
        if head.take(8) != Some(&MAGIC) || head.u16().is_none_or(|version| version == 0 || version > VERSION) {
            return Err((0, "its first bytes are not a part's of a version known here"));
        }
        let footer = decode_footer(&mapped).ok_or((end, "its footer does not fit its checksum"))?;
        let section = |span: Span| {
            let bytes = slice(&mapped, span.offset, span.length).filter(|bytes| crc32c::crc32c(bytes) == span.crc);
            bytes.and_then(unpack_section).ok_or((span.offset, "a section of its directory does not fit its checksum"))
        };
        // Sections of the directory stand one behind the other, at the end.
        let begin = footer.sections.iter().skip(2).map(|span| span.offset).min().unwrap_or(end);
        mapped.will_need(begin, end.saturating_sub(begin));
        let [_, _, pair_index, templates, group_table, column_dir, lineage] = footer.sections;
        let odd = |span: Span| (span.offset, "its directory makes no sense");
        let dirs = decode_columns(&section(column_dir)?).ok_or(odd(column_dir))?;
        let templates = match templates.length {
            0 => Templates::default(),
            _ => template::decode(&section(templates)?, &dirs).ok_or(odd(templates))?,
        };
        let groups = decode_groups(&section(group_table)?, dirs.len()).ok_or(odd(group_table))?;
        let pairs = match pair_index.length {
            0 => Some(Vec::new()),
            _ => section(pair_index).ok().and_then(|raw| pairs::decode(&raw, groups.len())),
        };
        // What look-ups read first of segments, all at once and not one behind the other; where there are too many, when they are read.
        let segments = pairs.as_deref().filter(|segments| segments.len() <= HEADS).unwrap_or(&[]);
        segments.iter().for_each(|segment| mapped.will_need(segment.offset, segment.shape.head_bytes()));
        let runs = decode_lineage(&section(lineage)?).ok_or(odd(lineage))?;
        let mut rows = 0;
        let mut starts = Vec::with_capacity(groups.len());
        for group in &groups {
            starts.push(rows);
            rows += group.rows as u64;
        }
        let mut run_end = 0u64;
        let mut run_ends = Vec::with_capacity(runs.len());
        for run in &runs {
            run_end = run_end.saturating_add(run.rows);
            run_ends.push(run_end);
        }
        if rows != footer.rows || run_end != rows {
            return Err(odd(group_table));
        }
        let fields = dirs.iter().filter(|dir| dir.holds != Holds::Payloads);
        let columns = fields.map(|dir| dir.column.clone()).collect();
        let ahead = Ahead::new(&mapped, groups.len(), dirs.len() + FIRST_FIELD as usize);
        Ok(Self { footer, mapped, columns, dirs, groups, templates, pairs, starts, runs, run_ends, ahead })
    }

    /// Memory it takes, about; the mapping is the page cache's.
    pub fn bytes(&self) -> usize {
        let columns: usize = self.dirs.iter().map(|dir| 120 + dir.column.name.len() + dir.blocks.len() * 120).sum();
        let groups: usize = self.groups.iter().map(|group| 72 + group.chunks.len() * size_of::<ChunkRef>()).sum();
        let templates = self.templates.messages.iter().chain(&self.templates.payloads);
        let templates: usize = templates.map(|template| template.pieces.len() * 64).sum();
        let of_pairs = |pair: &pairs::Segment| 128 + pair.open.len() * 4 + pair.runs.len() * 16;
        let pairs: usize = self.pairs.iter().flatten().map(of_pairs).sum();
        256 + columns + groups + templates + pairs + self.runs.len() * 40 + self.ahead.bytes()
    }

    pub fn chunk_ref(&self, group: usize, column: u32) -> Option<&ChunkRef> {
        let chunks = &self.groups.get(group)?.chunks;
        chunks.get(chunks.binary_search_by_key(&column, |chunk| chunk.column).ok()?)
    }
}
