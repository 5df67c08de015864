//! A row as it goes from the filters into the store, and the values it is made of.
//!
//! Values borrow: a string is a slice of the record's payload or of an arena of the sandbox, so the store can see by address
//! which parts of the message the fields were cut from. A name that occurs twice in a row makes a list.
//! Strings are bytes; invalid UTF-8 is kept.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::ids::Offset;
use crate::base::record::Records;

/// Name of the field that people read.
pub const MESSAGE: &str = "message";
/// Name under which a filter sets, and queries see, the row's time.
pub const TIME: &str = "_time";
/// Name of the list of tags.
pub const TAGS: &str = "tags";

/// Name under which queries see the bytes that a row was made of, where they ask for them and the store has them.
pub const PAYLOAD: &str = "_payload";
/// Field that keeps an event time more than a day ahead of its record's arrival; the row itself is found by arrival.
pub const TIME_CLAIMED: &str = "_time_claimed";
/// Fields that the store alone writes.
const STORES_OWN: [&str; 2] = [PAYLOAD, TIME_CLAIMED];

/// Whether the store alone writes the field of this name: what a row brings under it is left out.
pub fn is_stores_own(name: &str) -> bool {
    STORES_OWN.contains(&name)
}

/// Whether the store keeps the payloads of rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeepPayload {
    /// Every one, whatever it costs.
    Always,
    /// Those that can be made of the row's fields.
    Derived,
    /// None.
    #[default]
    Never,
}

/// One value of one field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// A string, as bytes.
    Str(&'a [u8]),
    /// A whole number.
    Int(i64),
    /// A decimal number; never NaN with a payload (NaNs are canonicalised).
    Float(f64),
    /// Yes or no.
    Bool(bool),
}

/// A value under a name, which is an index into a table of names that travels beside.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cell<'a> {
    /// Index into [`Rows::names`].
    pub name: u32,
    /// The value.
    pub value: Value<'a>,
}

/// What a row has beside its cells.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RowHead {
    /// Event time, nanoseconds since 1970.
    pub time_ns: i64,
    /// Arrival time of its record, nanoseconds since 1970.
    pub arrival_ns: i64,
    /// Offset of the record that it was made of.
    pub offset: Offset,
    /// Which of the record's rows.
    pub n: u16,
    /// Range of its cells in [`Rows::cells`].
    pub cells: (u32, u32),
}

/// Rows of one (topic, partition, generation): what a lane gives to the store in one call. In offset order, but for rows that are
/// made of several records, some of which came before: their offset is the last of those.
#[derive(Clone, Debug, Default)]
pub struct Rows<'a> {
    /// Field names; cells refer to them by index. Dotted, flattened, UTF-8.
    pub names: Vec<Arc<str>>,
    /// One a row.
    pub heads: Vec<RowHead>,
    /// All cells, row after row.
    pub cells: Vec<Cell<'a>>,
    /// What the row's record was, one a head, or none at all; no payload for rows that are made of several records.
    pub payloads: Vec<Option<&'a [u8]>>,
    /// The records that they were made of, in the order of their offsets, and others; none where it is not known what records had
    /// beside their payloads.
    pub records: Records<'a>,
    /// Whether the store is to keep them.
    pub keep: KeepPayload,
}

impl<'a> Rows<'a> {
    /// The cells of one of these rows.
    pub fn cells_of(&self, head: &RowHead) -> &[Cell<'a>] {
        &self.cells[head.cells.0 as usize..head.cells.1 as usize]
    }
}
