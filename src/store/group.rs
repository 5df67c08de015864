//! A group of the memtable: at most 8,192 rows of one partition in offset order.
//!
//! Groups are kept per partition so that rows stand in lane order, (partition, offset), without ever being sorted. An open one holds
//! the columns that it has met and, of each that its memtable has met, four bytes: senders make up names, and there are many groups.
//! Invariants: offsets go back within a group only for rows that a filter made of records it had held; a sealed group never changes.

use std::sync::Arc;

use super::column::{OpenColumn, SealedColumn};
use super::part::payload::Kept;
use super::source::{Chunk, Lineage};
use crate::base::ids::{Generation, Offset, PartitionId};

/// Most rows of a group. Changing it changes the part format.
pub const GROUP_ROWS: usize = 8192;
/// A group is sealed early when its values are this many bytes, so that columns stay far below 4 GiB.
pub const GROUP_BYTES: usize = 16 << 20;
/// How many times as large as that its values may be when each is written out, equal ones too: a part may have to write them so,
/// and reads back 256 MiB.
const TEXT_SHARE: usize = 4;
/// The place of a column that a group has not met.
const NOWHERE: u32 = u32::MAX;

/// A group that is being filled.
#[derive(Clone, Debug, Default)]
pub struct OpenGroup {
    head: Head,
    /// The columns that it has met, in that order, under the memtable's numbers.
    columns: Vec<(usize, OpenColumn)>,
    /// Where each of the memtable's columns is among them.
    places: Vec<u32>,
    /// How the rows' payloads are kept.
    pub payloads: Kept,
    /// Estimate of the memory it holds.
    pub bytes: usize,
    /// Bytes of its strings and payloads, equal ones counted again.
    pub text: usize,
}

/// What a group has beside its columns.
#[derive(Clone, Debug, Default)]
struct Head {
    partition: PartitionId,
    times: Vec<i64>,
    bounds: (i64, i64),
    offsets: Vec<Offset>,
    ns: Vec<u16>,
    /// (first row, generation) wherever the generation changes.
    generations: Vec<(u16, Generation)>,
    last_arrival_ns: i64,
    raw_bytes: u64,
}

impl OpenGroup {
    /// An empty group of a partition, with room for so many rows and columns.
    pub fn new(partition: PartitionId, rows: usize, columns: usize) -> Self {
        let head = Head {
            partition,
            times: Vec::with_capacity(rows),
            offsets: Vec::with_capacity(rows),
            ns: Vec::with_capacity(rows),
            ..Head::default()
        };
        let columns = Vec::with_capacity(columns);
        Self { head, columns, places: Vec::new(), payloads: Kept::default(), bytes: 0, text: 0 }
    }

    /// How many rows.
    pub fn rows(&self) -> usize {
        self.head.times.len()
    }

    /// The columns that it has met.
    pub fn columns(&self) -> &[(usize, OpenColumn)] {
        &self.columns
    }

    /// The column that has this number in the memtable.
    #[inline]
    pub fn column(&mut self, number: usize) -> &mut OpenColumn {
        let at = match self.places.get(number) {
            Some(&at) if at != NOWHERE => at as usize,
            _ => self.meet(number),
        };
        &mut self.columns[at].1
    }

    #[cold]
    fn meet(&mut self, number: usize) -> usize {
        if self.places.len() <= number {
            self.places.resize(number + 1, NOWHERE);
        }
        let at = self.columns.len();
        self.places[number] = u32::try_from(at).unwrap_or(NOWHERE);
        self.columns.push((number, OpenColumn::default()));
        at
    }

    /// Memory that it holds, about.
    pub fn held(&self) -> usize {
        // Vectors that grow by doubling hold up to twice what is in them: a half more on average.
        self.bytes + self.bytes / 2 + self.places.capacity() * size_of::<u32>() + 256
    }

    /// Whether the next row needs a new group.
    pub fn is_full(&self) -> bool {
        self.rows() >= GROUP_ROWS || self.bytes >= GROUP_BYTES || self.text >= GROUP_BYTES * TEXT_SHARE
    }

    /// Adds the row that the following pushes to columns belong to; its number.
    pub fn begin_row(&mut self, time_ns: i64, arrival_ns: i64, offset: Offset, n: u16, generation: Generation) -> u16 {
        let head = &mut self.head;
        #[allow(clippy::cast_possible_truncation)] // at most GROUP_ROWS
        let row = head.times.len() as u16;
        if row == 0 {
            head.bounds = (time_ns, time_ns);
            head.last_arrival_ns = arrival_ns;
        } else {
            head.bounds = (head.bounds.0.min(time_ns), head.bounds.1.max(time_ns));
            head.last_arrival_ns = head.last_arrival_ns.max(arrival_ns);
        }
        head.times.push(time_ns);
        head.offsets.push(offset);
        head.ns.push(n);
        if head.generations.last().is_none_or(|last| last.1 != generation) {
            head.generations.push((row, generation));
        }
        self.bytes += 20;
        row
    }

    /// Notes the size of what a row was made of.
    pub fn add_raw(&mut self, bytes: usize) {
        self.head.raw_bytes += bytes as u64;
    }

    /// The group as it stands; `self` goes on.
    pub fn frozen(&self) -> SealedGroup {
        let rows = self.rows();
        let columns = self.columns.iter().filter(|(_, column)| !column.is_empty());
        let columns = columns.map(|(number, column)| (*number, column.frozen(rows))).collect();
        SealedGroup::new(self.head.clone(), columns, self.payloads.clone(), self.text)
    }

    /// The group, finished.
    pub fn sealed(self) -> SealedGroup {
        let Self { mut head, columns, payloads, text, .. } = self;
        head.times.shrink_to_fit();
        head.offsets.shrink_to_fit();
        head.ns.shrink_to_fit();
        let rows = head.times.len();
        let columns = columns.into_iter().filter(|(_, column)| !column.is_empty());
        let columns = columns.map(|(number, column)| (number, column.sealed(rows))).collect();
        SealedGroup::new(head, columns, payloads, text)
    }
}

/// A group that no longer changes, shared by the memtable and whoever looks at it.
#[derive(Debug)]
pub struct SealedGroup {
    head: Head,
    /// Those that have a value, by the memtable's column numbers, ascending.
    columns: Vec<(usize, SealedColumn)>,
    payloads: Kept,
    bytes: usize,
    text: usize,
}

impl SealedGroup {
    fn new(head: Head, mut columns: Vec<(usize, SealedColumn)>, payloads: Kept, text: usize) -> Self {
        columns.sort_unstable_by_key(|(number, _)| *number);
        let bytes =
            256 + payloads.size() + head.times.len() * 18 + columns.iter().map(|(_, column)| column.bytes()).sum::<usize>();
        Self { head, columns, payloads, bytes, text }
    }

    /// Memory it holds.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// What counts when groups are joined: its memory, or more where its values written out are many times that.
    pub fn weight(&self) -> usize {
        self.bytes.max(self.text / TEXT_SHARE)
    }

    /// How the rows' payloads are kept.
    pub fn payloads(&self) -> &Kept {
        &self.payloads
    }

    /// How many rows.
    pub fn rows(&self) -> usize {
        self.head.times.len()
    }

    /// The rows' times.
    pub fn times(&self) -> &[i64] {
        &self.head.times
    }

    /// Least and greatest time.
    pub fn time_bounds(&self) -> (i64, i64) {
        self.head.bounds
    }

    /// Latest arrival of a row's record.
    pub fn last_arrival_ns(&self) -> i64 {
        self.head.last_arrival_ns
    }

    /// Bytes of what the rows were made of.
    pub fn raw_bytes(&self) -> u64 {
        self.head.raw_bytes
    }

    /// Where it stands in lane order.
    pub fn order(&self) -> (PartitionId, Offset) {
        (self.head.partition, self.head.offsets.first().copied().unwrap_or(0))
    }

    /// One column, if a row has a value there.
    pub fn column(&self, number: usize) -> Option<&SealedColumn> {
        let at = self.columns.binary_search_by_key(&number, |column| column.0).ok()?;
        self.columns.get(at).map(|column| &column.1)
    }

    /// One column, decoded.
    pub fn chunk(&self, number: usize) -> Option<Chunk> {
        Some(self.column(number)?.chunk(self.rows()))
    }

    /// The strings of a column back to back, or those of its dictionary.
    pub fn strings(&self, number: usize) -> Option<&[u8]> {
        self.column(number)?.strings()
    }

    /// Where the rows came from.
    pub fn lineage(&self) -> Lineage {
        let rows = self.rows();
        let mut generations = Vec::with_capacity(rows);
        for (at, (_, generation)) in self.head.generations.iter().enumerate() {
            let end = self.head.generations.get(at + 1).map_or(rows, |next| usize::from(next.0));
            generations.resize(end, *generation);
        }
        Lineage {
            partitions: vec![self.head.partition; rows],
            offsets: self.head.offsets.clone(),
            ns: self.head.ns.clone(),
            generations,
        }
    }
}

/// Shorthand of those that hold many.
pub type Groups = Vec<Arc<SealedGroup>>;
