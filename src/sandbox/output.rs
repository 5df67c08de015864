//! What a chain says of the records of one batch.

use std::borrow::Cow;
use std::sync::Arc;

use crate::base::ids::Offset;
use crate::base::record::Records;
use crate::base::row::Cell;

/// Verdicts on a batch, and the cells they refer to.
#[derive(Clone, Debug, Default)]
pub struct Output<'b> {
    /// Field names; cells refer to them by index. Some may be of no cell.
    pub names: Vec<Arc<str>>,
    /// Cells of all rows. Ranges of rows do not overlap; between them may lie cells that are no row's any more.
    pub cells: Vec<Cell<'b>>,
    /// One a record, in order.
    pub verdicts: Vec<Verdict<'b>>,
    /// What it took.
    pub stats: Stats,
}

/// What becomes of one record.
#[derive(Clone, Debug)]
pub struct Verdict<'b> {
    /// Store, drop or fail.
    pub kind: VerdictKind<'b>,
    /// Records to append to other topics, in the order the filters said so. A record that failed has none.
    pub emissions: Vec<Emission<'b>>,
    /// Where the verdict is not on the record itself, but on what a filter made of records that it had held.
    pub joined: Option<Joined<'b>>,
}

/// What a filter made of records that it had held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Joined<'b> {
    /// Offset of the last of them: the row's origin.
    pub offset: Offset,
    /// What they say together, as one payload.
    pub payload: &'b [u8],
}

/// What became of entries of the state that waited long enough; see [`super::Chain::expire`].
#[derive(Clone, Debug, Default)]
pub struct Expired<'b> {
    /// Each as a record: the value that waited, the offset of the last record it is made of, its deadline as the arrival time.
    pub records: Records<'b>,
    /// A verdict each.
    pub output: Output<'b>,
    /// Number of the first; the others follow. A number is given once in the life of a partition: what an expired entry emits
    /// is known by it.
    pub first: u64,
}

/// Store, drop or fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VerdictKind<'b> {
    /// A row is made of it.
    Store {
        /// The row's time, where a filter knew it.
        time_ns: Option<i64>,
        /// Range of its cells in [`Output::cells`].
        cells: (u32, u32),
    },
    /// A filter left it out.
    Drop {
        /// Why.
        reason: Cow<'b, str>,
    },
    /// A filter keeps it in its state: a row may be made of it and others later.
    Hold,
    /// A filter could not handle it.
    Fail {
        /// Which.
        filter: Arc<str>,
        /// Why.
        reason: Cow<'b, str>,
    },
}

/// A record for another topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emission<'b> {
    /// Which topic.
    pub topic: &'b str,
    /// Its payload.
    pub payload: &'b [u8],
    /// Its headers: name, value.
    pub headers: Vec<(&'b [u8], &'b [u8])>,
}

/// What running a batch took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Calls into filters.
    pub calls: u32,
    /// Of them, calls that ended in a trap or with an answer that was none.
    pub traps: u32,
    /// Fuel used by calls that came back.
    pub fuel: u64,
    /// Fuel used by calls that failed, or were undone to be done again record by record.
    pub lost: u64,
    /// Fuel that the last call might use.
    pub limit: u64,
}

impl<'b> Output<'b> {
    /// The cells of a row; none for records that make no row.
    pub fn cells_of(&self, verdict: &Verdict<'b>) -> &[Cell<'b>] {
        match verdict.kind {
            VerdictKind::Store { cells: (from, to), .. } => self.cells.get(from as usize..to as usize).unwrap_or(&[]),
            VerdictKind::Drop { .. } | VerdictKind::Hold | VerdictKind::Fail { .. } => &[],
        }
    }
}
