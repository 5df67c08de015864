//! Counts of a dictionary's values, by themselves or over time (the question behind every stacked histogram), without a number for
//! each row.
//!
//! Rows lie about in order of time, so bins come in runs. Within a run only codes are counted, in an array of the dictionary's
//! length; at its end each code that occurred becomes one addition to its group. Short runs go row by row.

use super::bits::Bits;
use super::key_table::NONE;
use super::plan::Key;
use super::scan::Found;
use super::stats::Grouping;
use super::view::FieldReader;
use crate::base::row;
use crate::store::source::{Chunk, Kind};

/// Longest dictionaries that are counted this way.
const ENTRIES: usize = 4096;

/// Up to so many codes are counted in [`LANES`] tables at once: where one value is that of most rows, a single counter would be
/// waited for at every row.
const FEW: usize = 256;
/// Tables.
const LANES: usize = 4;

fn count_codes(codes: impl Iterator<Item = u32>, counts: &mut [u32]) {
    for code in codes {
        if let Some(count) = counts.get_mut(code as usize) {
            *count += 1;
        }
    }
}

/// Counts the codes of kept rows.
fn count_rows(codes: &[u32], rows: &Bits, counts: &mut [u32]) {
    let Some(all) = codes.get(..rows.rows()).filter(|_| rows.count() == rows.rows()) else {
        return count_codes(rows.iter().map(|row| codes.get(row).copied().unwrap_or(0)), counts);
    };
    if counts.len() > FEW {
        return count_codes(all.iter().copied(), counts);
    }
    let mut lanes = [[0u32; FEW]; LANES];
    let (sets, rest) = all.as_chunks::<LANES>();
    for set in sets {
        for (lane, code) in lanes.iter_mut().zip(set) {
            if let Some(count) = lane.get_mut(*code as usize) {
                *count += 1;
            }
        }
    }
    for lane in lanes {
        counts.iter_mut().zip(lane).for_each(|(count, own)| *count += own);
    }
    count_codes(rest.iter().copied(), counts);
}

impl Grouping {
    /// Counts rows by a key whose values are in one dictionary; `false` if they are not, and nothing was counted.
    pub(super) fn see_codes(&mut self, found: &Found<'_, '_>, key: &Key) -> bool {
        let reader = found.view.field(&key.field);
        let FieldReader::Chunks(chunks) = &reader else { return false };
        let [(Kind::Str, chunk)] = chunks.as_slice() else { return false };
        let Chunk::Dict { codes, dict } = &**chunk else { return false };
        if !key.is_plain() || dict.len() > ENTRIES {
            return false;
        }
        let mut counts = vec![0u32; dict.len() + 1];
        count_rows(codes, found.rows, &mut counts);
        for (code, count) in (0u32..).zip(counts).filter(|(_, count)| *count > 0) {
            if code == 0 && key.skip_missing {
                continue;
            }
            let group = self.number_of_code(0, dict, code);
            if group == NONE {
                self.lost = true;
            } else {
                self.figures.iter_mut().for_each(|figure| figure.count_many(group, count as usize));
            }
        }
        true
    }

    /// Counts rows by a key whose values are in one dictionary and by bins of time, in either order; `false` if the keys are not
    /// that, and nothing was counted.
    pub(super) fn see_runs(&mut self, found: &Found<'_, '_>, by: &[Key]) -> bool {
        let is_time = |key: &Key| key.field == row::TIME && key.bin.is_some() && key.rounding.is_none();
        let (value_at, time_at) = match by {
            [value, time] if is_time(time) && value.is_plain() => (0, 1),
            [time, value] if is_time(time) && value.is_plain() => (1, 0),
            _ => return false,
        };
        let (Some(value_key), Some(bin)) = (by.get(value_at), by.get(time_at).and_then(|key| key.bin)) else { return false };
        let reader = found.view.field(&value_key.field);
        let FieldReader::Chunks(chunks) = &reader else { return false };
        let [(Kind::Str, chunk)] = chunks.as_slice() else { return false };
        let Chunk::Dict { codes, dict } = &**chunk else { return false };
        if dict.len() > ENTRIES {
            return false;
        }
        let rows = found.rows.to_rows();
        let one_bin = bin.floor(found.work.least) == bin.floor(found.work.greatest);
        let times = if one_bin { &[][..] } else { found.view.times() };
        let time_of = |row: u32| times.get(row as usize).copied().unwrap_or(found.work.least);
        let code_of = |row: u32| codes.get(row as usize).copied().unwrap_or(0);
        let mut counts = vec![0u32; dict.len() + 1];
        let mut rest = rows.as_slice();
        while let Some(&first) = rest.first() {
            let (start, end) = bin.around(time_of(first));
            let length = if one_bin {
                rest.len()
            } else {
                let outside = |row: &u32| !(start..end).contains(&time_of(*row));
                // The first is in its bin, but at the end of time, where bins have none.
                rest.iter().position(outside).unwrap_or(rest.len()).max(1)
            };
            let (run, after) = rest.split_at(length);
            rest = after;
            let Some(time) = self.keys.get_mut(time_at).map(|keys| keys.of_time(start)) else { return false };
            if run.len() * 4 < dict.len() {
                run.iter().for_each(|&row| self.count_code(value_at, value_key, dict, time, code_of(row), 1));
                continue;
            }
            for &row in run {
                if let Some(count) = counts.get_mut(code_of(row) as usize) {
                    *count += 1;
                }
            }
            for (code, count) in (0u32..).zip(&mut counts) {
                let count = std::mem::take(count);
                if count > 0 {
                    self.count_code(value_at, value_key, dict, time, code, count);
                }
            }
        }
        true
    }

    /// Adds rows of one code and bin.
    fn count_code(
        &mut self,
        value_at: usize,
        key: &Key,
        dict: &std::sync::Arc<crate::store::source::Dict>,
        time: u32,
        code: u32,
        rows: u32,
    ) {
        if code == 0 && key.skip_missing {
            return;
        }
        let value = self.number_of_code(value_at, dict, code);
        let (first, second) = if value_at == 0 { (value, time) } else { (time, value) };
        let group = match self.pairs.first_mut() {
            Some(pairs) if first != NONE && second != NONE => pairs.of(first, second),
            _ => NONE,
        };
        if group == NONE {
            self.lost = true;
        } else {
            self.figures.iter_mut().for_each(|figure| figure.count_many(group, rows as usize));
        }
    }
}
