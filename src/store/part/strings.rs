//! Choosing between dictionary and text for a column of strings, and bringing its values under one dictionary.
//!
//! Measured, not configured: a column that still brings new values half of the time after [`PROBE`] of them is text, as is
//! one past the limits of a dictionary. The memtable and other parts give dictionaries per group or part, so most values
//! are looked up once per dictionary, not once per row.

use std::sync::Arc;

use hashbrown::HashTable;

use super::chunk::Dense;
use super::dictionary::{DICT_BYTES, ENTRIES};
use super::job::{Job, Mapping, Piece, each_chunk, each_row};
use crate::store::StoreError;
use crate::store::column::hash;
use crate::store::source::{Chunk, Dict};

/// Values after which a column may be judged.
const PROBE: u64 = 2048;
/// Values below which a dictionary costs nothing worth thinking about.
const FEW: u64 = 64;

/// All distinct values, and the codes of every group.
#[derive(Debug, Default)]
pub struct Coded {
    /// Values in order of arrival; `rank` sorts them.
    pub dict: Dict,
    /// Rows of each.
    pub counts: Vec<u64>,
    /// By output group.
    pub groups: Vec<Dense<u32>>,
    table: HashTable<u32>,
    values: u64,
}

impl Coded {
    fn intern(&mut self, value: &[u8]) -> Option<u32> {
        let hashed = hash(value);
        let dict = &self.dict;
        if let Some(found) = self.table.find(hashed, |code| dict.entry(*code as usize) == value) {
            return Some(*found);
        }
        if self.dict.ends.len() >= ENTRIES || self.dict.bytes.len() + value.len() > DICT_BYTES {
            return None;
        }
        let code = u32::try_from(self.dict.ends.len()).ok()?;
        self.dict.bytes.extend_from_slice(value);
        self.dict.ends.push(u32::try_from(self.dict.bytes.len()).ok()?);
        self.counts.push(0);
        let dict = &self.dict;
        self.table.insert_unique(hashed, code, |code| hash(dict.entry(*code as usize)));
        Some(code)
    }

    fn hardly_repeats(&self, least: u64) -> bool {
        self.values >= least && self.counts.len() as u64 > self.values / 2
    }

    fn note(&mut self, group: &mut Dense<u32>, row: u16, code: u32) {
        group.rows.push(row);
        group.values.push(code);
        if let Some(count) = self.counts.get_mut(code as usize) {
            *count += 1;
        }
        self.values += 1;
    }

    /// Entry numbers in the order of their bytes, and each entry's place in that order.
    pub fn sorted(&self) -> (Vec<u32>, Vec<u32>) {
        let prefix = |entry: &[u8]| {
            let mut eight = [0; 8];
            let len = entry.len().min(8);
            eight[..len].copy_from_slice(&entry[..len]);
            u64::from_be_bytes(eight)
        };
        let count = u32::try_from(self.dict.len()).unwrap_or(u32::MAX);
        let mut keyed: Vec<(u64, u32)> = (0..count).map(|code| (prefix(self.dict.entry(code as usize)), code)).collect();
        let entry = |code: u32| self.dict.entry(code as usize);
        keyed.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| entry(a.1).cmp(entry(b.1))));
        let order: Vec<u32> = keyed.into_iter().map(|(_, code)| code).collect();
        let mut rank = vec![0; order.len()];
        for (place, code) in (0u32..).zip(&order) {
            if let Some(rank) = rank.get_mut(*code as usize) {
                *rank = place;
            }
        }
        (order, rank)
    }
}

/// Codes of a source's dictionary as codes of the union; `u32::MAX` where not met yet.
struct Remap {
    of: Arc<Dict>,
    codes: Vec<u32>,
}

/// The column under one dictionary; `None` if it is better kept as text.
///
/// # Errors
/// Damage of an input.
pub fn coded(job: &Job<'_>, mapping: &Mapping) -> Result<Option<Coded>, StoreError> {
    let mut all = Coded::default();
    let mut remap: Option<Remap> = None;
    let most = |piece: &Piece| piece.rows.as_ref().map_or(usize::MAX, Vec::len);
    for pieces in job.groups {
        let mut group = Dense { total: job.rows(pieces), ..Dense::default() };
        let mut fits = true;
        each_chunk(job, pieces, mapping, |base, piece, rows, chunk| match chunk.into_text() {
            Chunk::Dict { codes, dict } => {
                let known = remap.as_ref().is_some_and(|remap| Arc::ptr_eq(&remap.of, &dict));
                if !known {
                    remap = Some(Remap { codes: vec![u32::MAX; dict.len()], of: dict });
                }
                let Some(Remap { of, codes: map }) = remap.as_mut() else { return };
                group.reserve(codes.iter().filter(|code| **code > 0).count().min(most(piece)));
                each_row(piece, rows, |at, row| {
                    let Some(code) = codes.get(row).and_then(|code| code.checked_sub(1)) else { return };
                    let Some(mapped) = map.get_mut(code as usize) else { return };
                    if *mapped == u32::MAX {
                        match all.intern(of.entry(code as usize)) {
                            Some(code) => *mapped = code,
                            None => {
                                fits = false;
                                return;
                            }
                        }
                    }
                    all.note(&mut group, base + at, *mapped);
                });
            }
            Chunk::Text { ends, bytes, present } => {
                group.reserve(present.count(rows).min(most(piece)));
                each_row(piece, rows, |at, row| {
                    if !fits || !present.has(row) {
                        return;
                    }
                    let start = if row == 0 { 0 } else { ends.get(row - 1).copied().unwrap_or(0) };
                    let end = ends.get(row).copied().unwrap_or(0);
                    match all.intern(bytes.get(start as usize..end as usize).unwrap_or(&[])) {
                        Some(code) => all.note(&mut group, base + at, code),
                        None => fits = false,
                    }
                    fits &= !(all.values == PROBE && all.hardly_repeats(PROBE));
                });
            }
            _ => {}
        })?;
        if !fits || all.hardly_repeats(PROBE) {
            return Ok(None);
        }
        all.groups.push(group);
    }
    Ok((!all.hardly_repeats(FEW)).then_some(all))
}
