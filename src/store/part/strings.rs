//! Bringing a column of strings under one dictionary, as long as that is the best that can be done with it.
//!
//! Measured, not configured. Messages and lists that still bring new values half of the time after [`PROBE`] of them are text.
//! Other strings are watched group by group: what share of the values was new says how many there will be in the end; a
//! dictionary that would pass its limits, or take more than numbers or raw bytes do ([`Judge`]), is given up, and what was seen
//! so far tells which values come again and again (`mixed.rs`). The memtable and other parts give dictionaries per group or
//! part, so most values are looked up once per dictionary, not once per row.

use std::sync::Arc;

use hashbrown::HashTable;

use super::bits::width_of;
use super::chunk::Dense;
use super::dictionary::{DICT_BYTES, ENTRIES};
use super::job::{Job, Mapping, Piece, each_chunk, each_row};
use crate::store::StoreError;
use crate::store::column::hash;
use crate::store::source::{Chunk, Dict};

/// Values after which a column may be judged.
const PROBE: u64 = 2048;
/// A dictionary of so many entries is kept whatever its values are.
const SMALL: u64 = 256;
/// Bits that an entry takes, about.
const ENTRY_BITS: u64 = 32;
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

    /// With these entries and no rows.
    pub fn of_entries<'a>(entries: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut all = Self::default();
        entries.for_each(|entry| {
            all.intern(entry);
        });
        all
    }

    /// The number of a value that is an entry.
    pub fn find(&self, value: &[u8]) -> Option<u32> {
        self.table.find(hash(value), |code| self.dict.entry(*code as usize) == value).copied()
    }

    /// How many values were taken.
    pub fn values(&self) -> u64 {
        self.values
    }

    fn hardly_repeats(&self, least: u64) -> bool {
        self.values >= least && self.counts.len() as u64 > self.values / 2
    }

    /// Takes a value of a row that is an entry.
    pub fn note(&mut self, group: &mut Dense<u32>, row: u16, code: u32) {
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

/// Whether a dictionary of a column is worth going on with.
#[derive(Debug)]
pub struct Judge {
    /// Rows of the part to be.
    rows: u64,
    /// Bits that a value takes otherwise, in hundredths, where it is a number or raw bytes.
    typed: Option<u64>,
    /// Whether those that come often may have a dictionary beside.
    parted: bool,
    seen: u64,
    values: u64,
    entries: u64,
    /// New ones among a thousand values of the group before.
    rate: u64,
}

impl Judge {
    /// Nothing seen; `typed`: what a value takes as number or raw bytes, hundredths of a bit; `parted`: whether those that come
    /// often may have a dictionary beside.
    pub fn new(job: &Job<'_>, typed: Option<u64>, parted: bool) -> Self {
        let rows = job.groups.iter().map(|pieces| job.rows(pieces) as u64).sum();
        Self { rows, typed, parted, seen: 0, values: 0, entries: 0, rate: 1000 }
    }

    /// Whether to go on after a group of so many rows.
    fn goes_on(&mut self, all: &Coded, rows: usize) -> bool {
        let entries = all.counts.len() as u64;
        let (new, taken) = (entries - self.entries, all.values - self.values);
        let rate = new * 1000 / taken.max(1);
        let falling = rate * 100 < self.rate * 85;
        self.seen += rows as u64;
        (self.values, self.entries, self.rate) = (all.values, entries, rate);
        if all.values >= PROBE * 2 && rate > 900 {
            return false;
        }
        if all.values < PROBE * 16 || falling {
            return true;
        }
        let total = all.values.saturating_mul(self.rows) / self.seen.max(1);
        let in_the_end = entries + rate * total.saturating_sub(all.values) / 1000;
        let bytes = all.dict.bytes.len() as u64 / entries.max(1) * in_the_end;
        in_the_end <= ENTRIES as u64 && bytes <= DICT_BYTES as u64 && !self.takes_more(total, in_the_end)
    }

    /// Whether a dictionary of so many entries takes a tenth more than numbers or raw bytes. A small one is worth it all the
    /// same, and so is one that takes about as much: it answers counts without reading rows.
    fn takes_more(&self, values: u64, entries: u64) -> bool {
        let whole = values * u64::from(width_of(entries.saturating_sub(1))) + entries * ENTRY_BITS;
        entries > SMALL && self.typed.is_some_and(|typed| whole * 1000 > values * typed * 11)
    }

    /// Whether the dictionary is the best, now that it is whole.
    fn likes(&self, all: &Coded) -> bool {
        let entries = all.counts.len() as u64;
        !all.hardly_repeats(FEW) && !self.takes_more(all.values, entries) && !self.parts(all)
    }

    /// Whether it takes a quarter more than a dictionary of what comes again, and the rest as numbers or raw bytes.
    fn parts(&self, all: &Coded) -> bool {
        let (Some(typed), entries) = (self.typed, all.counts.len() as u64) else { return false };
        let again = || all.counts.iter().filter(|count| **count > 1);
        let (often, those) = (again().count() as u64, again().sum::<u64>());
        let parted = all.values + those * u64::from(width_of(often)) + often * ENTRY_BITS + (all.values - those) * typed / 100;
        let whole = all.values * u64::from(width_of(entries)) + entries * ENTRY_BITS;
        self.parted && entries > SMALL && parted * 5 < whole * 4
    }
}

/// The column under one dictionary; `None` if it is better kept as text.
///
/// # Errors
/// Damage of an input.
pub fn coded(job: &Job<'_>, mapping: &Mapping) -> Result<Option<Coded>, StoreError> {
    let (all, whole) = collect(job, mapping, None)?;
    Ok(whole.then_some(all))
}

/// The column under one dictionary, and whether that is whole and worth it; else its first values.
///
/// # Errors
/// Damage of an input.
pub fn collect(job: &Job<'_>, mapping: &Mapping, mut judge: Option<Judge>) -> Result<(Coded, bool), StoreError> {
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
                    fits &= judge.is_some() || all.values != PROBE || !all.hardly_repeats(PROBE);
                });
            }
            _ => {}
        })?;
        let goes_on = match &mut judge {
            Some(judge) => judge.goes_on(&all, group.total),
            None => !all.hardly_repeats(PROBE),
        };
        if !fits || !goes_on {
            return Ok((all, false));
        }
        all.groups.push(group);
    }
    let whole = judge.map_or_else(|| !all.hardly_repeats(FEW), |judge| judge.likes(&all));
    Ok((all, whole))
}
