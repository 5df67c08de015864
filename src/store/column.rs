//! One column of one group of the memtable, while it is filled and when it is sealed.
//!
//! Values are kept sparse: beside them stand the rows they belong to, so a field that one row in thousands has costs that
//! one value. Strings are interned per group, which keeps the table in the cache and bounds what hostile strings can do
//! to it (8,192 colliding values cost milliseconds, once); a column that hardly repeats goes over to plain text after
//! [`PROBE`] values and is never hashed again.
//!
//! Limits: a group's strings of one column stay below 4 GiB because groups are sealed by bytes too (`group.rs`).

use std::hash::Hasher;
use std::sync::{Arc, OnceLock};

use rustc_hash::FxHasher;

use super::bounds;
use super::few::{self, FewCounts, of_few};
use super::source::{Chunk, Dict, Present};
use crate::base::predicate::Number;

/// Values after which a column of a group shows whether it repeats.
pub const PROBE: usize = 512;
/// A group counts the strings of a column where there are [`few::MOST`] of so many bytes at most: those of all groups are put together.
const COUNTED_BYTES: usize = 16 << 10;

/// Hash of a string; only ever used in memory.
pub fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write(bytes);
    hasher.finish()
}

/// Gives equal strings of a group one number. A slot is `hash (high 32) | number + 1 (low 32)`, 0 when free.
#[derive(Clone, Debug, Default)]
struct Interner {
    slots: Vec<u64>,
    dict: Dict,
    /// The number that was given last: neighbours are often alike, and that is found without a hash.
    last: u16,
}

impl Interner {
    /// The number of `value`, and whether it is new.
    #[inline]
    fn intern(&mut self, value: &[u8]) -> (u16, bool) {
        if !self.dict.is_empty() && self.dict.entry(usize::from(self.last)) == value {
            return (self.last, false);
        }
        let found = self.look_up(value);
        self.last = found.0;
        found
    }

    #[inline]
    fn look_up(&mut self, value: &[u8]) -> (u16, bool) {
        let hash = hash(value);
        if self.dict.ends.len() * 2 >= self.slots.len() {
            self.grow();
        }
        let tag = hash & !0xffff_ffff;
        let mask = self.slots.len() - 1;
        // Fx puts its entropy high; the tag takes the same bits, the place is folded from all of them.
        #[allow(clippy::cast_possible_truncation)]
        let mut at = (hash ^ (hash >> 29)) as usize & mask;
        loop {
            let slot = self.slots[at];
            if slot == 0 {
                let number = self.dict.ends.len();
                self.slots[at] = tag | (number as u64 + 1);
                self.dict.bytes.extend_from_slice(value);
                #[allow(clippy::cast_possible_truncation)] // groups are sealed long before 4 GiB
                self.dict.ends.push(self.dict.bytes.len() as u32);
                #[allow(clippy::cast_possible_truncation)] // at most 8,192 rows a group
                return (number as u16, true);
            }
            if slot & !0xffff_ffff == tag {
                #[allow(clippy::cast_possible_truncation)]
                let number = (slot & 0xffff_ffff) as usize - 1;
                if self.dict.entry(number) == value {
                    #[allow(clippy::cast_possible_truncation)] // at most 8,192 rows a group
                    return (number as u16, false);
                }
            }
            at = (at + 1) & mask;
        }
    }

    #[cold]
    fn grow(&mut self) {
        let size = (self.slots.len() * 4).max(16);
        self.slots = vec![0; size];
        for number in 0..self.dict.len() {
            let hash = hash(self.dict.entry(number));
            #[allow(clippy::cast_possible_truncation)]
            let mut at = (hash ^ (hash >> 29)) as usize & (size - 1);
            while self.slots[at] != 0 {
                at = (at + 1) & (size - 1);
            }
            self.slots[at] = (hash & !0xffff_ffff) | (number as u64 + 1);
        }
    }
}

/// A column that is being filled.
#[derive(Clone, Debug, Default)]
pub struct OpenColumn {
    rows: Vec<u16>,
    values: OpenValues,
}

#[derive(Clone, Debug, Default)]
enum OpenValues {
    #[default]
    Unused,
    Dict {
        codes: Vec<u16>,
        interner: Interner,
    },
    Text {
        ends: Vec<u32>,
        bytes: Vec<u8>,
    },
    Int(Vec<i64>),
    Float(Vec<f64>),
    Bool(Vec<bool>),
}

/// What the last full group showed of a column, so that the next need not find out again.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hint {
    /// Begin without a dictionary.
    pub text: bool,
    /// Values to make room for, and bytes of text.
    room: (usize, usize),
}

impl Hint {
    /// A full group went by; what [`OpenColumn::note`] does not say anew is no longer so.
    pub fn forget_room(&mut self) {
        self.room = (0, 0);
    }
}

/// What a column costs beyond its values: itself, its first allocations.
const COLUMN_BYTES: usize = 256;

impl OpenColumn {
    /// Adds a string (or a list's bytes); gives back what that cost in memory. `hint` says how to begin.
    #[inline]
    pub fn push_bytes(&mut self, row: u16, value: &[u8], hint: &mut Hint) -> usize {
        self.rows.push(row);
        match &mut self.values {
            OpenValues::Dict { codes, interner } => {
                let (code, new) = interner.intern(value);
                codes.push(code);
                let cost = if new { value.len() + 28 } else { 4 };
                if codes.len() == PROBE && interner.dict.len() > PROBE / 4 * 3 {
                    self.become_text();
                    hint.text = true;
                }
                cost
            }
            OpenValues::Text { ends, bytes } => {
                bytes.extend_from_slice(value);
                #[allow(clippy::cast_possible_truncation)] // groups are sealed long before 4 GiB
                ends.push(bytes.len() as u32);
                value.len() + 6
            }
            _ => {
                let (values, bytes) = hint.room;
                self.rows.reserve(values);
                self.values = if hint.text {
                    OpenValues::Text { ends: Vec::with_capacity(values), bytes: Vec::with_capacity(bytes) }
                } else {
                    OpenValues::Dict { codes: Vec::with_capacity(values), interner: Interner::default() }
                };
                self.rows.pop();
                COLUMN_BYTES + self.push_bytes(row, value, hint)
            }
        }
    }

    #[cold]
    fn become_text(&mut self) {
        if let OpenValues::Dict { codes, interner } = &self.values {
            let mut bytes = Vec::with_capacity(interner.dict.bytes.len() * 2);
            let mut ends = Vec::with_capacity(codes.len() * 2);
            for code in codes {
                bytes.extend_from_slice(interner.dict.entry(usize::from(*code)));
                #[allow(clippy::cast_possible_truncation)] // groups are sealed long before 4 GiB
                ends.push(bytes.len() as u32);
            }
            self.values = OpenValues::Text { ends, bytes };
        }
    }

    /// Adds a whole number.
    #[inline]
    pub fn push_int(&mut self, row: u16, value: i64) -> usize {
        self.rows.push(row);
        if let OpenValues::Int(values) = &mut self.values {
            values.push(value);
            return 10;
        }
        self.values = OpenValues::Int(vec![value]);
        COLUMN_BYTES
    }

    /// Adds a decimal number.
    #[inline]
    pub fn push_float(&mut self, row: u16, value: f64) -> usize {
        self.rows.push(row);
        if let OpenValues::Float(values) = &mut self.values {
            values.push(value);
            return 10;
        }
        self.values = OpenValues::Float(vec![value]);
        COLUMN_BYTES
    }

    /// Adds a yes or no.
    #[inline]
    pub fn push_bool(&mut self, row: u16, value: bool) -> usize {
        self.rows.push(row);
        if let OpenValues::Bool(values) = &mut self.values {
            values.push(value);
            return 3;
        }
        self.values = OpenValues::Bool(vec![value]);
        COLUMN_BYTES
    }

    /// Takes back the value of `row` if it was the last one given: it becomes an item of a list.
    pub fn pop(&mut self, row: u16) {
        if self.rows.last() != Some(&row) {
            return;
        }
        self.rows.pop();
        match &mut self.values {
            OpenValues::Unused => {}
            // The entry stays in the dictionary unused; parts keep only what is used.
            OpenValues::Dict { codes, .. } => {
                codes.pop();
            }
            OpenValues::Text { ends, bytes } => {
                ends.pop();
                bytes.truncate(ends.last().copied().unwrap_or(0) as usize);
            }
            OpenValues::Int(values) => {
                values.pop();
            }
            OpenValues::Float(values) => {
                values.pop();
            }
            OpenValues::Bool(values) => {
                values.pop();
            }
        }
    }

    /// Whether no row has a value.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// What the next group is told of this column; `full` says that this one had all its rows.
    pub fn note(&self, hint: &mut Hint, full: bool) {
        let bytes = match &self.values {
            OpenValues::Text { bytes, .. } => {
                hint.text = true;
                bytes.len()
            }
            OpenValues::Dict { codes, interner } => {
                // It hardly repeats: not worth a hash any more.
                hint.text |= codes.len() >= PROBE && interner.dict.len() > codes.len() / 5 * 3;
                0
            }
            _ => 0,
        };
        if full {
            hint.room = (self.rows.len(), bytes + bytes / 16);
        }
    }

    /// The column as it stands, for a group of `rows` rows; `self` is left as it is.
    pub fn frozen(&self, rows: usize) -> SealedColumn {
        let values = match &self.values {
            OpenValues::Unused => SealedValues::Bool(Vec::new(), OnceLock::new()),
            OpenValues::Dict { codes, interner } => {
                SealedValues::Dict { codes: codes.clone(), dict: Arc::new(interner.dict.clone()), counts: OnceLock::new() }
            }
            OpenValues::Text { ends, bytes } => SealedValues::Text { ends: ends.clone(), bytes: bytes.clone() },
            OpenValues::Int(values) => SealedValues::Int(values.clone(), OnceLock::new()),
            OpenValues::Float(values) => SealedValues::Float(values.clone()),
            OpenValues::Bool(values) => SealedValues::Bool(values.clone(), OnceLock::new()),
        };
        SealedColumn { rows: (self.rows.len() != rows).then(|| self.rows.clone()), values }
    }

    /// The column, finished: nothing is held that is not needed for reading.
    pub fn sealed(self, rows: usize) -> SealedColumn {
        let Self { rows: mut at, values } = self;
        let values = match values {
            OpenValues::Unused => SealedValues::Bool(Vec::new(), OnceLock::new()),
            OpenValues::Dict { mut codes, interner: Interner { mut dict, .. } } => {
                codes.shrink_to_fit();
                dict.ends.shrink_to_fit();
                dict.bytes.shrink_to_fit();
                SealedValues::Dict { codes, dict: Arc::new(dict), counts: OnceLock::new() }
            }
            OpenValues::Text { mut ends, mut bytes } => {
                ends.shrink_to_fit();
                bytes.shrink_to_fit();
                SealedValues::Text { ends, bytes }
            }
            OpenValues::Int(mut values) => {
                values.shrink_to_fit();
                SealedValues::Int(values, OnceLock::new())
            }
            OpenValues::Float(mut values) => {
                values.shrink_to_fit();
                SealedValues::Float(values)
            }
            OpenValues::Bool(mut values) => {
                values.shrink_to_fit();
                SealedValues::Bool(values, OnceLock::new())
            }
        };
        at.shrink_to_fit();
        SealedColumn { rows: (at.len() != rows).then_some(at), values }
    }
}

/// A column that no longer changes.
#[derive(Clone, Debug)]
pub struct SealedColumn {
    /// The rows that have a value; `None`: all.
    rows: Option<Vec<u16>>,
    values: SealedValues,
}

#[derive(Clone, Debug)]
enum SealedValues {
    Dict {
        codes: Vec<u16>,
        dict: Arc<Dict>,
        /// Rows by entry, once somebody asked.
        counts: OnceLock<Box<[u16]>>,
    },
    Text {
        ends: Vec<u32>,
        bytes: Vec<u8>,
    },
    Int(Vec<i64>, FewCounts),
    Float(Vec<f64>),
    Bool(Vec<bool>, FewCounts),
}

impl SealedColumn {
    /// Memory it holds.
    pub fn bytes(&self) -> usize {
        let rows = self.rows.as_ref().map_or(0, |rows| rows.len() * 2);
        let values = match &self.values {
            SealedValues::Dict { codes, dict, .. } => {
                let counts = if self.is_counted() { 2 * dict.len() } else { 0 };
                codes.len() * 2 + dict.ends.len() * 4 + dict.bytes.len() + counts
            }
            SealedValues::Text { ends, bytes } => ends.len() * 4 + bytes.len(),
            // What counts take is most where there is a value in every row; it is not worth asking before.
            SealedValues::Int(values, _) => values.len() * 8 + values.len().min(few::MOST) * 24,
            SealedValues::Float(values) => values.len() * 8,
            SealedValues::Bool(values, _) => values.len() + 64,
        };
        size_of::<Self>() + 64 + rows + values
    }

    fn present(&self, rows: usize) -> Present {
        match &self.rows {
            None => Present::All,
            Some(at) => {
                let mut words = vec![0u64; rows.div_ceil(64)];
                for row in at {
                    words[usize::from(*row) / 64] |= 1 << (row % 64);
                }
                Present::Some(words)
            }
        }
    }

    fn spread<T: Copy + Default>(&self, rows: usize, values: &[T]) -> Vec<T> {
        match &self.rows {
            None => values.to_vec(),
            Some(at) => {
                let mut all = vec![T::default(); rows];
                for (row, value) in at.iter().zip(values) {
                    all[usize::from(*row)] = *value;
                }
                all
            }
        }
    }

    /// The column as queries and part writers read it.
    pub fn chunk(&self, rows: usize) -> Chunk {
        match &self.values {
            SealedValues::Dict { codes, dict, .. } => {
                let codes = match &self.rows {
                    None => codes.iter().map(|code| u32::from(*code) + 1).collect(),
                    Some(at) => {
                        let mut all = vec![0; rows];
                        for (row, code) in at.iter().zip(codes) {
                            all[usize::from(*row)] = u32::from(*code) + 1;
                        }
                        all
                    }
                };
                Chunk::Dict { codes, dict: dict.clone() }
            }
            SealedValues::Text { ends, bytes } => {
                let ends = match &self.rows {
                    None => ends.clone(),
                    Some(at) => {
                        let mut all = Vec::with_capacity(rows);
                        let mut end = 0;
                        for (row, value_end) in at.iter().zip(ends) {
                            all.resize(usize::from(*row), end);
                            end = *value_end;
                            all.push(end);
                        }
                        all.resize(rows, end);
                        all
                    }
                };
                Chunk::Text { ends, bytes: bytes.clone(), present: self.present(rows) }
            }
            SealedValues::Int(values, _) => Chunk::Int { values: self.spread(rows, values), present: self.present(rows) },
            SealedValues::Float(values) => Chunk::Float { values: self.spread(rows, values), present: self.present(rows) },
            SealedValues::Bool(values, _) => Chunk::Bool { values: self.spread(rows, values), present: self.present(rows) },
        }
    }

    /// Whether [`Self::counts`] tells something, as far as that is known before it is asked.
    pub fn is_counted(&self) -> bool {
        match &self.values {
            SealedValues::Dict { dict, .. } => dict.len() <= few::MOST && dict.bytes.len() <= COUNTED_BYTES,
            SealedValues::Int(_, counts) | SealedValues::Bool(_, counts) => counts.get().is_none_or(Option::is_some),
            SealedValues::Text { .. } | SealedValues::Float(_) => false,
        }
    }

    /// Its values (strings, lists, or what `few.rs` says), and how many rows have each, where they are few and short. They are counted
    /// when first asked for: a page that is looked at asks again and again.
    pub fn counts(&self) -> Option<(&Dict, &[u16])> {
        match &self.values {
            SealedValues::Dict { codes, dict, counts } => {
                let count = || {
                    let mut counts = vec![0; dict.len()];
                    // The 8,192 rows of a group are no more than a count can be.
                    codes.iter().for_each(|code| counts[usize::from(*code)] += 1);
                    counts.into()
                };
                self.is_counted().then(|| (&**dict, &**counts.get_or_init(count)))
            }
            SealedValues::Int(values, counts) => of_few(counts, |few| few.add_ints(values.iter().copied())),
            SealedValues::Bool(values, counts) => of_few(counts, |few| few.add_bools(values.iter().copied())),
            SealedValues::Text { .. } | SealedValues::Float(_) => None,
        }
    }

    /// Its strings back to back, or those of its dictionary.
    pub fn strings(&self) -> Option<&[u8]> {
        match &self.values {
            SealedValues::Dict { dict, .. } => Some(&dict.bytes),
            SealedValues::Text { bytes, .. } => Some(bytes),
            _ => None,
        }
    }

    /// Least and greatest number; `None` where one is NaN.
    pub fn bounds(&self) -> Option<(Number, Number)> {
        match &self.values {
            SealedValues::Int(values, _) => Some((Number::Int(*values.iter().min()?), Number::Int(*values.iter().max()?))),
            SealedValues::Float(values) => {
                bounds::of_floats(values).map(|(least, greatest)| (Number::Float(least), Number::Float(greatest)))
            }
            _ => None,
        }
    }
}
