//! What a new part is made of: which rows of which groups of memtables and parts, and how they are read.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::chunk::Dense;
use super::payload::Kept;
use super::read::PartSource;
use super::template::Template;
use crate::base::ids::TopicId;
use crate::store::StoreError;
use crate::store::look::MemSource;
use crate::store::source::{Chunk, Source};

/// Where rows come from.
#[derive(Clone, Debug)]
pub enum Input {
    /// A frozen memtable.
    Mem(Arc<MemSource>),
    /// A part.
    Part(Arc<PartSource>),
}

impl Input {
    /// As queries read it.
    pub fn source(&self) -> &dyn Source {
        match self {
            Self::Mem(source) => &**source,
            Self::Part(source) => &**source,
        }
    }

    /// A column of one of its groups; columns of the same name and kind (`mixed.rs`) as the one that they were, under the
    /// number of the first.
    ///
    /// # Errors
    /// Damage.
    pub fn column(&self, group: usize, column: usize) -> Result<Option<Chunk>, StoreError> {
        match self {
            Self::Mem(source) => source.column(group, column),
            Self::Part(source) => source.whole_column(group, column),
        }
    }

    /// How payloads of its rows are made, of its own columns.
    ///
    /// # Errors
    /// Damage.
    pub fn payload_templates(&self) -> Result<&[Template], StoreError> {
        match self {
            Self::Mem(source) => Ok(source.payload_templates()),
            Self::Part(source) => source.payload_templates(),
        }
    }

    /// How the payload of each row of a group is kept; `None` where no row's is.
    ///
    /// # Errors
    /// Damage.
    pub fn payloads(&self, group: usize) -> Result<Option<Kept>, StoreError> {
        match self {
            Self::Mem(source) => Ok(source.group(group).map(|group| group.payloads().clone()).filter(|kept| !kept.is_empty())),
            Self::Part(source) => source.payloads(group),
        }
    }

    /// What a group's values take in memory, about.
    pub fn unpacked(&self, group: usize) -> u64 {
        match self {
            Self::Mem(source) => source.group(group).map_or(0, |group| group.weight() as u64),
            Self::Part(source) => source.unpacked(group),
        }
    }
}

/// Rows of one input group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Which input.
    pub input: usize,
    /// Which of its groups.
    pub group: usize,
    /// Which of its rows, ascending; `None`: all.
    pub rows: Option<Vec<u16>>,
}

/// A part to be written.
#[derive(Debug)]
pub struct Job<'a> {
    /// Where rows come from.
    pub inputs: &'a [Input],
    /// What the new groups are made of.
    pub groups: &'a [Vec<Piece>],
    /// The topic.
    pub topic: TopicId,
    /// Its name.
    pub topic_name: Arc<str>,
    /// The new part's number.
    pub part: u64,
    /// Most bytes of a section of its directory, unpacked.
    pub directory_bytes: usize,
    /// Set when the store closes: the work is given up.
    pub stop: &'a AtomicBool,
}

/// A column's number in every input; of several of its name and kind, the first one's.
pub type Mapping = Vec<Option<usize>>;

impl Job<'_> {
    /// Rows of a piece.
    pub fn piece_rows(&self, piece: &Piece) -> usize {
        let all = || self.inputs.get(piece.input).map_or(0, |input| input.source().rows(piece.group));
        piece.rows.as_ref().map_or_else(all, Vec::len)
    }

    /// Rows of a group to be.
    pub fn rows(&self, pieces: &[Piece]) -> usize {
        pieces.iter().map(|piece| self.piece_rows(piece)).sum()
    }

    /// The times of a group to be.
    ///
    /// # Errors
    /// Damage of an input.
    pub fn times(&self, pieces: &[Piece]) -> Result<Vec<i64>, StoreError> {
        let mut times = Vec::with_capacity(self.rows(pieces));
        for piece in pieces {
            let Some(input) = self.inputs.get(piece.input) else { continue };
            let all = input.source().times(piece.group)?;
            each_row(piece, all.len(), |_, row| times.extend(all.get(row)));
        }
        Ok(times)
    }

    /// Whether rows of the inputs are left out: then nothing may stay that was known of them alone.
    pub fn leaves_out(&self) -> bool {
        self.groups.iter().flatten().any(|piece| piece.rows.is_some())
            || self.inputs.iter().enumerate().any(|(at, input)| {
                let groups = self.groups.iter().flatten().filter(|piece| piece.input == at).count();
                groups < input.source().groups()
            })
    }

    /// The part and group if a group to be is one whole group of a part.
    pub fn verbatim<'b>(&'b self, pieces: &[Piece]) -> Option<(&'b PartSource, usize)> {
        match pieces {
            [Piece { input, group, rows: None }] => match self.inputs.get(*input)? {
                Input::Part(source) => Some((source, *group)),
                Input::Mem(_) => None,
            },
            _ => None,
        }
    }
}

/// Gives a column's chunk of each piece to `each`, with the row of the new group where it begins and the rows it is of.
pub fn each_chunk(
    job: &Job<'_>,
    pieces: &[Piece],
    mapping: &Mapping,
    mut each: impl FnMut(u16, &Piece, usize, Chunk),
) -> Result<(), StoreError> {
    let mut base = 0u16;
    for piece in pieces {
        let Some(input) = job.inputs.get(piece.input) else { continue };
        if let Some(column) = mapping.get(piece.input).copied().flatten()
            && let Some(chunk) = input.column(piece.group, column)?
        {
            each(base, piece, input.source().rows(piece.group), chunk);
        }
        base = base.saturating_add(u16::try_from(job.piece_rows(piece)).unwrap_or(u16::MAX));
    }
    Ok(())
}

/// Gives each row of a piece: its place in the piece, its row in the input's group of `rows` rows.
#[inline]
pub fn each_row(piece: &Piece, rows: usize, mut each: impl FnMut(u16, usize)) {
    match &piece.rows {
        None => (0u16..).zip(0..rows).for_each(|(at, row)| each(at, row)),
        Some(some) => (0u16..).zip(some).for_each(|(at, row)| each(at, usize::from(*row))),
    }
}

/// The values of one column in a group to be.
pub fn gather<T>(
    job: &Job<'_>,
    pieces: &[Piece],
    mapping: &Mapping,
    value: impl Fn(&Chunk, usize) -> Option<T>,
) -> Result<Dense<T>, StoreError> {
    let mut dense = Dense { total: job.rows(pieces), rows: Vec::new(), values: Vec::new() };
    each_chunk(job, pieces, mapping, |base, piece, rows, chunk| {
        each_row(piece, rows, |at, row| {
            if let Some(value) = value(&chunk, row) {
                dense.rows.push(base + at);
                dense.values.push(value);
            }
        });
    })?;
    Ok(dense)
}
