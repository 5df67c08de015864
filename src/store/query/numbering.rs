//! From the values of a column to numbers of a [`KeyTable`], a column at a time: what every key of `stats` comes down to.

use std::rc::Rc;
use std::sync::Arc;

use super::binned::binned;
use super::key_table::{KeyTable, NONE, Translation};
use super::plan::{Bin, Key};
use super::scan::Found;
use super::view::Datum;
use crate::store::source::{Chunk, Dict, Kind, list_items};

/// Tables of dictionaries kept; sources are read one after the other, so few are in use at a time.
const TRANSLATIONS: usize = 4;
/// Ranges of integers up to this wide are numbered by an array instead of a hash table.
const DENSE_SPAN: usize = 4096;

/// The table of a dictionary.
pub fn translation<'t>(all: &'t mut Vec<Translation>, dict: &Arc<Dict>) -> &'t mut Translation {
    let at = all.iter().position(|own| own.is_of(dict)).unwrap_or_else(|| {
        if all.len() == TRANSLATIONS {
            all.remove(0);
        }
        all.push(Translation::new(dict));
        all.len() - 1
    });
    &mut all[at]
}

/// Numbers of the values of several columns of one field, of which at most one has a value in a row: strings of different forms.
/// `None` if one of them is of lists or of no strings or whole numbers.
pub fn mixed_numbers(
    chunks: &[(Kind, Rc<Chunk>)],
    rows: &mut Vec<u32>,
    groups: &mut Vec<u32>,
    key: &Key,
    translations: &mut Vec<Translation>,
    table: &mut KeyTable,
) -> Option<Vec<u32>> {
    if !chunks.iter().all(|(kind, _)| matches!(kind, Kind::Str | Kind::Int)) {
        return None;
    }
    // No value yet; more than any number.
    const UNSET: u32 = NONE - 1;
    let mut numbers = vec![UNSET; rows.len()];
    for (_, chunk) in chunks {
        let both = numbers.iter_mut().zip(rows.iter());
        match &**chunk {
            Chunk::Dict { codes, dict } => {
                let translation = translation(translations, dict);
                for (number, row) in both {
                    if let Some(&code @ 1..) = codes.get(*row as usize) {
                        *number = translation.number(code, table);
                    }
                }
            }
            Chunk::Number { values, digits, present } => {
                for (number, row) in both.filter(|(_, row)| present.has(**row as usize)) {
                    *number = table.of_number(values.get(*row as usize).copied().unwrap_or(0), *digits);
                }
            }
            Chunk::Int { values, present } => {
                for (number, row) in both.filter(|(_, row)| present.has(**row as usize)) {
                    *number = table.of_int(values.get(*row as usize).copied().unwrap_or(0));
                }
            }
            other => {
                let mut scratch = Vec::new();
                for (number, row) in both {
                    if let Some(text) = other.text_of(*row as usize, &mut scratch) {
                        *number = table.of_str(text);
                    }
                }
            }
        }
    }
    if key.skip_missing {
        let mut having = numbers.iter().map(|&number| number != UNSET);
        groups.retain(|_| having.next().unwrap_or(true));
        let mut having = numbers.iter().map(|&number| number != UNSET);
        rows.retain(|_| having.next().unwrap_or(true));
        numbers.retain(|&number| number != UNSET);
    } else if numbers.contains(&UNSET) {
        let missing = table.of_missing();
        numbers.iter_mut().filter(|number| **number == UNSET).for_each(|number| *number = missing);
    }
    Some(numbers)
}

/// The numbers that a row's value has: of a list those of its different items; none where a value must be there and is not.
pub fn value_numbers(datum: Datum<'_>, key: &Key, table: &mut KeyTable, out: &mut Vec<u32>) {
    out.clear();
    match datum {
        Datum::List(entry) => {
            let items = list_items(entry).map(|item| binned(Datum::Str(item), key));
            out.extend(items.filter(|item| *item != Datum::Missing).map(|item| table.of(item)));
            out.sort_unstable();
            out.dedup();
            // No item is a number.
            if out.is_empty() && !key.is_plain() && !key.skip_missing {
                out.push(table.of_missing());
            }
        }
        datum => match binned(datum, key) {
            Datum::Missing if key.skip_missing => {}
            datum => out.push(table.of(datum)),
        },
    }
}

/// Numbers of whole numbers: by an array where they lie close together.
pub fn int_numbers(values: &[i64], rows: &[u32], mut number: impl FnMut(i64) -> u32) -> Vec<u32> {
    let of = |row: &u32| values.get(*row as usize).copied().unwrap_or(0);
    let (least, greatest) =
        rows.iter().map(of).fold((i64::MAX, i64::MIN), |(least, greatest), value| (least.min(value), greatest.max(value)));
    let span = usize::try_from(greatest.saturating_sub(least)).unwrap_or(usize::MAX);
    if span >= DENSE_SPAN {
        return rows.iter().map(|row| number(of(row))).collect();
    }
    let mut dense: Vec<Option<u32>> = vec![None; span + 1];
    rows.iter()
        .map(|row| {
            let value = of(row);
            let slot = usize::try_from(value - least).ok().and_then(|at| dense.get_mut(at));
            match slot {
                Some(slot) => *slot.get_or_insert_with(|| number(value)),
                None => number(value),
            }
        })
        .collect()
}

/// Numbers of the bins of rows' times. Rows lie about in order of time, so bins come in runs; a group within one bin is not read.
pub fn time_bins(found: &Found<'_, '_>, bin: &Bin, rows: &[u32], table: &mut KeyTable) -> Vec<u32> {
    let (least, greatest) = (bin.floor(found.work.least), bin.floor(found.work.greatest));
    if least == greatest {
        return vec![table.of_time(least); rows.len()];
    }
    let times = found.view.times();
    // Of the row before: where its bin begins, where it ends, its number.
    let (mut start, mut end, mut number) = (1, 0, NONE);
    rows.iter()
        .map(|&row| {
            let ns = times.get(row as usize).copied().unwrap_or(found.work.least);
            if ns < start || ns >= end {
                // Past the end of time there is no other bin, only its last instant, which is then looked up each time.
                (start, end) = bin.around(ns);
                number = table.of_time(start);
            }
            number
        })
        .collect()
}
