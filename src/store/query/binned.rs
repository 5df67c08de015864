//! Values of keys, rounded down to their bins, and the numbers of many at a time: integers through an array, times in runs.

use super::key_table::{KeyTable, NONE};
use super::plan::{Bin, Key};
use super::scan::Found;
use super::view::Datum;
use crate::base::predicate::Number;
use crate::store::typed::as_number;

/// Ranges of integers up to this wide are numbered by an array instead of a hash table.
const DENSE_SPAN: usize = 4096;

/// A value, rounded down to its bin if the key has one; what is no number is then missing.
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
pub fn binned<'a>(datum: Datum<'a>, key: &Key) -> Datum<'a> {
    if let Some(rounding) = &key.rounding {
        let number = match datum {
            Datum::Time(ns) => return rounding.time(ns).map_or(Datum::Missing, Datum::Time),
            Datum::Int(int) => Some(Number::Int(int)),
            Datum::Float(float) => Some(Number::Float(float)),
            Datum::Number(value, digits) => Some(as_number(value, digits)),
            Datum::Str(bytes) => Number::parse(bytes),
            Datum::Missing | Datum::List(_) | Datum::Bool(_) => None,
        };
        let rounded = number.and_then(|number| rounding.number(number.as_f64()));
        return rounded.map_or(Datum::Missing, Datum::Float);
    }
    let Some(bin) = &key.bin else { return datum };
    let of_number = |number| match number {
        Number::Int(int) => Datum::Int(bin.floor(int)),
        // Saturates; a bin that wide holds all.
        Number::Float(float) => Datum::Int(bin.floor(float.floor() as i64)),
    };
    match datum {
        Datum::Time(ns) => Datum::Time(bin.floor(ns)),
        Datum::Int(int) => of_number(Number::Int(int)),
        Datum::Number(value, digits) => of_number(as_number(value, digits)),
        Datum::Float(float) if float.is_finite() => of_number(Number::Float(float)),
        Datum::Str(bytes) => Number::parse(bytes).map_or(Datum::Missing, of_number),
        _ => Datum::Missing,
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
                start = bin.floor(ns);
                // Past the end of time there is no other bin, only its last instant, which is then looked up each time.
                end = start.saturating_add(bin.step.max(1));
                number = table.of_time(start);
            }
            number
        })
        .collect()
}
