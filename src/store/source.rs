//! How queries read rows: the same way from the memtable and from parts.
//!
//! A [`Source`] is an immutable run of row groups of one topic. Columns come out decoded but not rendered: dictionary columns as
//! codes, so that a predicate is tried once per distinct value and rows are compared as integers.
//!
//! A field may have several chunks in one group (a number here, a string there); at most one of them is present in any row.
//! Damage is an error of that chunk alone; the caller counts it and goes on.

use std::fmt::Debug;
use std::sync::Arc;

use crate::base::ids::{Generation, Offset, PartitionId, TopicId};
use crate::base::predicate::{Number, Test, Wanted};
use crate::store::StoreError;
pub use crate::store::list::{ListItems, list_items, push_list_item};
use crate::store::part::envelope::Envelopes;
use crate::store::part::shape::Shapes;
use crate::store::part::split::Split;
use crate::store::typed::put_number;

/// What a field's values are, in one column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Bytes, one value a row.
    Str,
    /// Bytes, several values a row; an entry is the list as [`list_items`] reads it.
    List,
    /// Whole numbers.
    Int,
    /// Decimal numbers.
    Float,
    /// Yes or no.
    Bool,
}

/// A column of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Dotted field name.
    pub name: Arc<str>,
    /// What its values are.
    pub kind: Kind,
}

/// Distinct values; entries are numbered from 0. Sorted bytewise in parts, in order of arrival in the memtable.
#[derive(Clone, Debug, Default)]
pub struct Dict {
    /// End of each entry in `bytes`.
    pub ends: Vec<u32>,
    /// The entries, back to back.
    pub bytes: Vec<u8>,
    /// Whether the entries are sorted bytewise.
    pub sorted: bool,
}

impl Dict {
    /// How many entries.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Adds an entry.
    pub fn push(&mut self, entry: &[u8]) {
        self.bytes.extend_from_slice(entry);
        self.ends.push(u32::try_from(self.bytes.len()).unwrap_or(u32::MAX));
    }

    /// One entry; empty where there is none (damage is caught by checksums before).
    pub fn entry(&self, index: usize) -> &[u8] {
        let start = if index == 0 { 0 } else { self.ends.get(index - 1).copied().unwrap_or(0) as usize };
        let end = self.ends.get(index).copied().unwrap_or(0) as usize;
        self.bytes.get(start..end).unwrap_or(&[])
    }
}

/// Values, and how many rows have each.
#[derive(Clone, Debug)]
pub struct Counted {
    /// The values, each once.
    pub dict: Arc<Dict>,
    /// By entry.
    pub counts: Vec<u64>,
}

/// What strings of one length are that are kept as raw bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// Lower-case hexadecimal digits, two for each of so many bytes.
    Hex {
        /// Raw bytes a value; at least one.
        width: u8,
    },
    /// A lower-case UUID, `8-4-4-4-12` digits: 16 bytes.
    Uuid,
    /// A dotted address as it is usually written: 4 bytes.
    Ipv4,
}

/// One column of one row group, decoded.
#[derive(Clone, Debug)]
pub enum Chunk {
    /// `codes[row]` is 0 where the row has no value, else 1 + the entry's number. Kind `Str` or `List`.
    Dict {
        /// One a row.
        codes: Vec<u32>,
        /// Shared by the whole source where it can be: compare with `Arc::ptr_eq` to reuse a predicate's verdict per entry.
        dict: Arc<Dict>,
    },
    /// Row `r` is `bytes[ends[r-1]..ends[r]]`. Kind `Str` or `List`.
    Text {
        /// One a row.
        ends: Vec<u32>,
        /// Back to back.
        bytes: Vec<u8>,
        /// Rows that have a value.
        present: Present,
    },
    /// Strings that all are numbers, written in the one usual way; undefined where not present. Kind `Str`.
    Number {
        /// One a row: the string is that number divided by 10^`digits`.
        values: Vec<i64>,
        /// Digits after the point, as many in each; without a point where 0.
        digits: u8,
        /// Rows that have a value.
        present: Present,
    },
    /// Strings that all have this form; undefined where not present. Kind `Str`.
    Fixed {
        /// What they are.
        form: Form,
        /// As many bytes a row as the form says.
        bytes: Vec<u8>,
        /// Rows that have a value.
        present: Present,
    },
    /// Whole numbers; undefined where not present.
    Int {
        /// One a row.
        values: Vec<i64>,
        /// Rows that have a value.
        present: Present,
    },
    /// Decimal numbers; undefined where not present.
    Float {
        /// One a row.
        values: Vec<f64>,
        /// Rows that have a value.
        present: Present,
    },
    /// Yes or no; undefined where not present.
    Bool {
        /// One a row.
        values: Vec<bool>,
        /// Rows that have a value.
        present: Present,
    },
}

impl Chunk {
    /// How many rows it is of.
    pub fn rows(&self) -> usize {
        match self {
            Self::Dict { codes, .. } => codes.len(),
            Self::Text { ends, .. } => ends.len(),
            Self::Fixed { form, bytes, .. } => bytes.len() / form.width(),
            Self::Number { values, .. } | Self::Int { values, .. } => values.len(),
            Self::Float { values, .. } => values.len(),
            Self::Bool { values, .. } => values.len(),
        }
    }

    /// Which rows have a value; `None` where the codes say it.
    pub fn present(&self) -> Option<&Present> {
        match self {
            Self::Dict { .. } => None,
            Self::Text { present, .. }
            | Self::Number { present, .. }
            | Self::Fixed { present, .. }
            | Self::Int { present, .. }
            | Self::Float { present, .. }
            | Self::Bool { present, .. } => Some(present),
        }
    }

    /// The string (or list entry) of a row; `scratch` is where it is written if it does not stand anywhere.
    pub fn text_of<'a>(&'a self, row: usize, scratch: &'a mut Vec<u8>) -> Option<&'a [u8]> {
        match self {
            Self::Dict { codes, dict } => Some(dict.entry(codes.get(row)?.checked_sub(1)? as usize)),
            Self::Text { ends, bytes, present } if present.has(row) => {
                let start = if row == 0 { 0 } else { *ends.get(row - 1)? };
                bytes.get(start as usize..*ends.get(row)? as usize)
            }
            Self::Number { values, digits, present } if present.has(row) => {
                scratch.clear();
                put_number(scratch, *values.get(row)?, *digits);
                Some(scratch)
            }
            Self::Fixed { form, bytes, present } if present.has(row) => {
                scratch.clear();
                form.put_text(scratch, bytes.get(row * form.width()..(row + 1) * form.width())?);
                Some(scratch)
            }
            _ => None,
        }
    }

    /// Chunks of strings, of which a row has a value in one, as one of text.
    #[must_use]
    pub fn joined(chunks: &[Self], rows: usize) -> Self {
        let (mut ends, mut bytes, mut scratch) = (Vec::with_capacity(rows), Vec::new(), Vec::new());
        let mut words = vec![0u64; rows.div_ceil(64)];
        for row in 0..rows {
            for chunk in chunks {
                if let Some(text) = chunk.text_of(row, &mut scratch) {
                    bytes.extend_from_slice(text);
                    words[row / 64] |= 1 << (row % 64);
                    break;
                }
            }
            ends.push(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        }
        Self::Text { ends, bytes, present: Present::Some(words) }
    }

    /// The same with strings as bytes that can be pointed to: numbers and fixed forms become text, others stay.
    #[must_use]
    pub fn into_text(self) -> Self {
        self.to_text().unwrap_or(self)
    }

    /// The text of strings that are kept as numbers or raw bytes; `None` of all else.
    pub fn to_text(&self) -> Option<Self> {
        let (mut ends, mut text) = (Vec::with_capacity(self.rows()), Vec::new());
        let present = match self {
            Self::Number { values, digits, present } => {
                for (row, value) in values.iter().enumerate() {
                    if present.has(row) {
                        put_number(&mut text, *value, *digits);
                    }
                    ends.push(u32::try_from(text.len()).unwrap_or(u32::MAX));
                }
                present
            }
            Self::Fixed { form, bytes, present } => {
                text.reserve(self.rows() * form.most_text());
                for (row, raw) in bytes.chunks_exact(form.width()).enumerate() {
                    if present.has(row) {
                        form.put_text(&mut text, raw);
                    }
                    ends.push(u32::try_from(text.len()).unwrap_or(u32::MAX));
                }
                present
            }
            _ => return None,
        };
        Some(Self::Text { ends, bytes: text, present: present.clone() })
    }
}

/// Which rows of a group have a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Present {
    /// Every row.
    All,
    /// Those whose bit is set; row r is bit r % 64 of word r / 64.
    Some(Vec<u64>),
}

impl Present {
    /// Whether this row has a value.
    pub fn has(&self, row: usize) -> bool {
        match self {
            Self::All => true,
            Self::Some(words) => words.get(row / 64).is_some_and(|word| word >> (row % 64) & 1 == 1),
        }
    }

    /// How many of `rows` rows have one.
    pub fn count(&self, rows: usize) -> usize {
        match self {
            Self::All => rows,
            Self::Some(words) => words.iter().map(|word| word.count_ones() as usize).sum(),
        }
    }
}

/// Lineage of the rows of a group, one entry a row.
#[derive(Clone, Debug, Default)]
pub struct Lineage {
    /// Partition of each row's record.
    pub partitions: Vec<PartitionId>,
    /// Offset of each row's record.
    pub offsets: Vec<Offset>,
    /// Which of the record's rows.
    pub ns: Vec<u16>,
    /// Which generation made it.
    pub generations: Vec<Generation>,
}

/// Rows that follow each other in a group, of one partition and generation, in the order of their offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// How many.
    pub rows: usize,
    /// Their partition.
    pub partition: PartitionId,
    /// Their generation.
    pub generation: Generation,
    /// No offset is less.
    pub first: Offset,
    /// None is greater.
    pub last: Offset,
}

impl Lineage {
    /// Its runs.
    pub fn runs(&self) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        for ((partition, generation), offset) in self.partitions.iter().zip(&self.generations).zip(&self.offsets) {
            match runs.last_mut() {
                Some(run) if run.partition == *partition && run.generation == *generation && run.last <= *offset => {
                    run.rows += 1;
                    run.last = *offset;
                }
                _ => runs.push(Run { rows: 1, partition: *partition, generation: *generation, first: *offset, last: *offset }),
            }
        }
        runs
    }
}

/// A piece of a string that is made of other columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Made {
    /// The same in every row.
    Text(Box<[u8]>),
    /// The value of one of these columns.
    Columns(std::ops::Range<usize>),
    /// The row's time.
    Time,
}

/// An immutable run of row groups of one topic: a part, or a frozen look at a memtable.
pub trait Source: Send + Sync + Debug {
    /// The topic.
    fn topic(&self) -> TopicId;
    /// The topic's name when the rows were written.
    fn topic_name(&self) -> Arc<str>;
    /// Every column that any group has.
    fn columns(&self) -> &[Column];
    /// How many row groups (at most 8,192 rows each).
    fn groups(&self) -> usize;
    /// Rows of a group.
    fn rows(&self, group: usize) -> usize;
    /// Least and greatest time of a group, both inclusive.
    fn time_bounds(&self, group: usize) -> (i64, i64);
    /// The rows' times, nanoseconds since 1970.
    ///
    /// # Errors
    /// Damage.
    fn times(&self, group: usize) -> Result<Vec<i64>, StoreError>;
    /// The chunks of one column (index into [`Source::columns`]); `None` where no row of the group has a value.
    ///
    /// # Errors
    /// Damage.
    fn column(&self, group: usize, column: usize) -> Result<Option<Chunk>, StoreError>;
    /// Least and greatest value of a column of numbers in a group, where known without decoding; then none of them is NaN. Where no
    /// row has a value, the least is the greater.
    fn bounds(&self, group: usize, column: usize) -> Option<(Number, Number)>;
    /// The same of a column of strings that are numbers, and how many digits after the point its strings have there.
    fn number_bounds(&self, _group: usize, _column: usize) -> Option<(i64, i64, u8)> {
        None
    }
    /// The dictionary of a column that has one for the whole source. That of numbers has them as they are written, and no chunk has
    /// its codes.
    ///
    /// # Errors
    /// Damage.
    fn dict(&self, column: usize) -> Result<Option<Arc<Dict>>, StoreError>;
    /// How many rows of the whole source have each entry of [`Source::dict`], where that is known without reading rows.
    ///
    /// # Errors
    /// Damage.
    fn dict_counts(&self, _column: usize) -> Result<Option<Vec<u64>>, StoreError> {
        Ok(None)
    }
    /// The values of a column (numbers as they are written), and how many rows of the whole source have each, where that is known
    /// without reading rows. They need not be those of [`Source::dict`].
    ///
    /// # Errors
    /// Damage.
    fn value_counts(&self, column: usize) -> Result<Option<Counted>, StoreError> {
        let Some(counts) = self.dict_counts(column)? else { return Ok(None) };
        Ok(self.dict(column)?.filter(|dict| dict.len() == counts.len()).map(|dict| Counted { dict, counts }))
    }
    /// Codes of the entries of [`Source::dict`] that pass, ascending, and how many rows have each, deleted ones too; `None` where no
    /// index tells. `wanted` is what the test wants of every string.
    ///
    /// # Errors
    /// Damage.
    fn dict_passing(&self, _column: usize, _test: &Test, _wanted: &Wanted) -> Result<Option<Vec<(u32, u64)>>, StoreError> {
        Ok(None)
    }
    /// Rows of a group with this code of [`Source::dict`], set bits as in [`Present`]; `None` where telling takes all codes, or damage.
    fn rows_of_code(&self, _group: usize, _column: usize, _code: u32) -> Option<Vec<u64>> {
        None
    }
    /// Groups that may hold a string of this column which passes, as far as an index tells: set bits as in [`Present`]; `None`
    /// where it tells nothing. `wanted` is what the test wants of every string.
    ///
    /// # Errors
    /// Damage; then nothing is told, and nothing is missing.
    fn groups_with(&self, _column: usize, _test: &Test, _wanted: &Wanted) -> Result<Option<Vec<u64>>, StoreError> {
        Ok(None)
    }
    /// How the strings of a column are made of other columns, in each way that there is; `None` where they are not.
    fn made_of(&self, _column: usize) -> Option<Vec<Vec<Made>>> {
        None
    }
    /// The strings of a group that are made of other columns, of those rows whose bits are set; the other rows have none. Those that
    /// are stored after all are all there. `get` gives the chunks of columns. `None` where the group's strings are not made.
    ///
    /// # Errors
    /// Damage.
    fn made(
        &self,
        _group: usize,
        _column: usize,
        _rows: &[u64],
        _get: &mut dyn FnMut(usize) -> Option<Chunk>,
    ) -> Result<Option<Chunk>, StoreError> {
        Ok(None)
    }
    /// The shapes of the texts of a column, where some are split into shapes and values (`part/split.rs`).
    ///
    /// # Errors
    /// Damage.
    fn shapes(&self, _column: usize) -> Result<Option<Arc<Shapes>>, StoreError> {
        Ok(None)
    }
    /// The texts of a group but for the values in their shapes; `None` where the group's texts are not split.
    ///
    /// # Errors
    /// Damage.
    fn split(&self, _group: usize, _column: usize) -> Result<Option<Split>, StoreError> {
        Ok(None)
    }
    /// Those texts whose rows' bits are set; the other rows have none.
    ///
    /// # Errors
    /// Damage.
    fn split_texts(&self, _group: usize, _column: usize, _rows: &[u64]) -> Result<Option<Chunk>, StoreError> {
        Ok(None)
    }
    /// Checks what answers hang on only in how fast they come.
    ///
    /// # Errors
    /// Damage.
    fn check_index(&self) -> Result<(), StoreError> {
        Ok(())
    }
    /// Where the rows of a group came from.
    ///
    /// # Errors
    /// Damage.
    fn lineage(&self, group: usize) -> Result<Lineage, StoreError>;
    /// The runs of a group's rows; their bounds may be wider than the group's.
    ///
    /// # Errors
    /// Damage.
    fn runs(&self, group: usize) -> Result<Vec<Run>, StoreError> {
        Ok(self.lineage(group)?.runs())
    }
    /// The bytes that the rows of a group were made of, where they are kept: no field, for nobody but who asks for it.
    ///
    /// # Errors
    /// Damage.
    fn payload(&self, _group: usize) -> Result<Option<Chunk>, StoreError> {
        Ok(None)
    }
    /// What the records had beside their payloads, of rows whose payload is kept; for who makes records of rows.
    ///
    /// # Errors
    /// Damage.
    fn envelopes(&self, _group: usize) -> Result<Option<Envelopes>, StoreError> {
        Ok(None)
    }
    /// Whether it cannot be opened: then no more is known of it than its one group's rows and time.
    fn is_shut(&self) -> bool {
        false
    }
    /// Rows of a group that are deleted and must not be seen: set bits as in [`Present`]; `None` where there are none.
    fn deleted(&self, group: usize) -> Option<Arc<[u64]>>;
}
