//! Makes chunks of computed values: one for each kind of value that occurs.

use super::expr::Val;
use crate::store::source::{Chunk, Kind, Present};

/// Most bytes of text in one column of a group of rows.
pub const GROUP_BYTES: usize = 64 << 20;

/// The values of one column, row after row.
#[derive(Debug)]
pub struct Builder {
    rows: usize,
    texts: Texts,
    lists: Texts,
    ints: Option<(Vec<i64>, Vec<u64>)>,
    floats: Option<(Vec<f64>, Vec<u64>)>,
    bools: Option<(Vec<bool>, Vec<u64>)>,
    cut: bool,
}

/// Strings or lists of some rows.
#[derive(Debug, Default)]
struct Texts {
    ends: Vec<u32>,
    bytes: Vec<u8>,
    present: Vec<u64>,
}

impl Texts {
    fn push(&mut self, rows: usize, row: usize, entry: &[u8]) {
        if self.present.is_empty() {
            self.present = vec![0; rows.div_ceil(64)];
        }
        self.fill(row);
        self.bytes.extend_from_slice(entry);
        self.ends.push(u32::try_from(self.bytes.len()).unwrap_or(u32::MAX));
        set(&mut self.present, row);
    }

    fn fill(&mut self, rows: usize) {
        let end = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        self.ends.resize(rows.max(self.ends.len()), end);
    }
}

fn set(words: &mut [u64], row: usize) {
    if let Some(word) = words.get_mut(row / 64) {
        *word |= 1 << (row % 64);
    }
}

fn put<T: Copy + Default>(column: &mut Option<(Vec<T>, Vec<u64>)>, rows: usize, row: usize, value: T) {
    let (values, present) = column.get_or_insert_with(|| (vec![T::default(); rows], vec![0; rows.div_ceil(64)]));
    if let Some(slot) = values.get_mut(row) {
        *slot = value;
        set(present, row);
    }
}

impl Builder {
    /// For a group of so many rows.
    pub fn new(rows: usize) -> Self {
        let (texts, lists) = (Texts::default(), Texts::default());
        Self { rows, texts, lists, ints: None, floats: None, bools: None, cut: false }
    }

    /// Adds the value of a row; rows come in ascending order, and those left out have none.
    pub fn push(&mut self, row: usize, value: Val<'_>) {
        match value.settled() {
            Val::Null | Val::Time(_) => {}
            Val::Int(int) => put(&mut self.ints, self.rows, row, int),
            Val::Float(float) => put(&mut self.floats, self.rows, row, float),
            Val::Bool(bool) => put(&mut self.bools, self.rows, row, bool),
            Val::Str(text) => self.push_entry(row, &text, false),
            Val::List(entry) => self.push_entry(row, &entry, true),
        }
    }

    fn push_entry(&mut self, row: usize, entry: &[u8], is_list: bool) {
        if self.texts.bytes.len() + self.lists.bytes.len() + entry.len() > GROUP_BYTES {
            self.cut = true;
            return;
        }
        let own = if is_list { &mut self.lists } else { &mut self.texts };
        own.push(self.rows, row, entry);
    }

    /// Whether some text had no room.
    pub fn is_cut(&self) -> bool {
        self.cut
    }

    /// A chunk for each kind of value that occurred.
    pub fn finish(self) -> Vec<(Kind, Chunk)> {
        let rows = self.rows;
        let present = |words: Vec<u64>| {
            let count: usize = words.iter().map(|word| word.count_ones() as usize).sum();
            if count == rows { Present::All } else { Present::Some(words) }
        };
        let mut chunks = Vec::new();
        for (kind, mut own) in [(Kind::Str, self.texts), (Kind::List, self.lists)] {
            if !own.present.is_empty() {
                own.fill(rows);
                chunks.push((kind, Chunk::Text { ends: own.ends, bytes: own.bytes, present: present(own.present) }));
            }
        }
        if let Some((values, words)) = self.ints {
            chunks.push((Kind::Int, Chunk::Int { values, present: present(words) }));
        }
        if let Some((values, words)) = self.floats {
            chunks.push((Kind::Float, Chunk::Float { values, present: present(words) }));
        }
        if let Some((values, words)) = self.bools {
            chunks.push((Kind::Bool, Chunk::Bool { values, present: present(words) }));
        }
        chunks
    }
}
