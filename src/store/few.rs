//! Columns of whole numbers, or of yes and no, that have few values: each once, and how many rows have it.
//!
//! States, levels and kinds are asked for all the time. With this a count of them needs no rows: groups of the memtable count theirs
//! when somebody asks, and parts have them in the column's dictionary, whose chunks stay numbers.
//!
//! Values stand as they are written: in decimal, `true`, `false`. Limits: [`MOST`] values.

use std::sync::OnceLock;

use rustc_hash::FxHashMap;

use super::source::{Chunk, Dict};

/// More values than this are not few: it is no less work then to read the rows.
pub const MOST: usize = 256;

/// Values, and how many rows have each.
#[derive(Debug, Default)]
pub struct Few {
    counts: FxHashMap<i64, u64>,
    is_bool: bool,
}

impl Few {
    /// How many rows have a value.
    pub fn rows(&self) -> u64 {
        self.counts.values().sum()
    }

    /// Counts a row's value; says no where they are too many.
    fn add(&mut self, value: i64) -> bool {
        if let Some(count) = self.counts.get_mut(&value) {
            *count += 1;
            return true;
        }
        self.counts.insert(value, 1);
        self.counts.len() <= MOST
    }

    /// Counts whole numbers; says no where they are too many.
    pub fn add_ints(&mut self, values: impl IntoIterator<Item = i64>) -> bool {
        values.into_iter().all(|value| self.add(value))
    }

    /// Counts yes and no.
    pub fn add_bools(&mut self, values: impl IntoIterator<Item = bool>) -> bool {
        self.is_bool = true;
        values.into_iter().all(|value| self.add(i64::from(value)))
    }

    /// Counts rows of a chunk; says no where their values are too many, or of another kind.
    pub fn add_chunk(&mut self, chunk: &Chunk, rows: impl Iterator<Item = usize>) -> bool {
        match chunk {
            Chunk::Int { values, present } => {
                self.add_ints(rows.filter(|row| present.has(*row)).filter_map(|row| values.get(row).copied()))
            }
            Chunk::Bool { values, present } => {
                self.add_bools(rows.filter(|row| present.has(*row)).filter_map(|row| values.get(row).copied()))
            }
            _ => false,
        }
    }

    /// The values, sorted bytewise, and the rows of each.
    pub fn into_entries(self) -> (Dict, Vec<u64>) {
        let text = |value: i64| match self.is_bool {
            true => (value != 0).to_string(),
            false => value.to_string(),
        };
        let mut entries: Vec<(String, u64)> = self.counts.iter().map(|(&value, &count)| (text(value), count)).collect();
        entries.sort_unstable();
        let mut dict = Dict { sorted: true, ..Dict::default() };
        let counts = entries.iter().map(|(text, count)| (dict.push(text.as_bytes()), *count).1).collect();
        dict.ends.shrink_to_fit();
        dict.bytes.shrink_to_fit();
        (dict, counts)
    }
}

/// Values of a group that are few, and the rows of each, once somebody asked; `None` where they are not few.
pub type FewCounts = OnceLock<Option<Box<(Dict, Box<[u16]>)>>>;

/// Counts values if that was not done before; `count` says no where they are not few.
pub fn of_few(counts: &FewCounts, count: impl FnOnce(&mut Few) -> bool) -> Option<(&Dict, &[u16])> {
    let few = || {
        let mut few = Few::default();
        let (dict, counts) = count(&mut few).then(|| few.into_entries())?;
        // The 8,192 rows of a group are no more than a count can be.
        let counts = counts.into_iter().map(|count| u16::try_from(count).unwrap_or(u16::MAX)).collect();
        Some(Box::new((dict, counts)))
    };
    counts.get_or_init(few).as_deref().map(|(dict, counts)| (dict, &**counts))
}
