//! How good a value is for `sort`, as one number: which rows of a group may still be among the first n is then a comparison of
//! whole columns, and which groups may, a comparison of their bounds.
//!
//! Merit follows the order of [`SortView::order_in`], coarsely: of two values the better one has no less of it. So a row with
//! less merit than the worst of n kept rows is out, and one with as much has to be looked at.

use std::sync::Arc;

use super::bits::Bits;
use super::out::SortView;
use super::view::{FieldReader, GroupView, virtual_reader};
use crate::base::predicate::Number;
use crate::store::source::{Chunk, Dict, Kind, Present, Source};
use crate::store::typed::as_number;

/// Of what may be anything.
pub const ANY: u64 = u64::MAX;
/// Of no value: last in both directions.
const MISSING: u64 = 0;
/// Dictionaries whose merits a thread keeps.
const KEPT: usize = 8;

/// The merit of a value.
pub fn of(view: SortView<'_>, descending: bool) -> u64 {
    match view {
        SortView::Missing => MISSING,
        SortView::Number(number) => of_number(number, descending),
        // After all numbers, ascending.
        SortView::Bytes(_) => {
            if descending {
                ANY
            } else {
                1
            }
        }
    }
}

fn of_number(number: Number, descending: bool) -> u64 {
    let float = number.as_f64();
    if float.is_nan() {
        return ANY;
    }
    // Zero has one sign only.
    let bits = (if descending { float } else { -float } + 0.0).to_bits();
    // Doubles are ordered as these whole numbers are; none is 0, 1 or the greatest.
    if bits >> 63 == 0 { bits | 1 << 63 } else { !bits }
}

/// The merit that a row needs where this is the worst that is kept.
pub fn needed(worst: SortView<'_>, descending: bool) -> u64 {
    match worst {
        SortView::Number(Number::Float(float)) if float.is_nan() => MISSING,
        worst => of(worst, descending),
    }
}

/// The most merit that a row of a group can have, by what is known without reading it.
pub fn of_group(source: &dyn Source, group: usize, field: &str, descending: bool) -> u64 {
    let best = |least: i64, greatest: i64| if descending { greatest } else { least };
    if let Some(reader) = virtual_reader(field) {
        let (least, greatest) = source.time_bounds(group);
        return match reader {
            FieldReader::Time => of_number(Number::Int(best(least, greatest)), descending),
            _ => ANY,
        };
    }
    let columns = source.columns().iter().enumerate().filter(|(_, column)| *column.name == *field);
    let merits = columns.map(|(column, own)| match own.kind {
        Kind::Int | Kind::Float => source
            .bounds(group, column)
            .map_or(ANY, |(least, greatest)| of_number(if descending { greatest } else { least }, descending)),
        Kind::Str => source
            .number_bounds(group, column)
            .map_or(ANY, |(least, greatest, digits)| of_number(as_number(best(least, greatest), digits), descending)),
        _ => ANY,
    });
    merits.max().unwrap_or(MISSING)
}

/// The merits of dictionaries' entries, by code.
#[derive(Debug, Default)]
pub struct Merits(Vec<(Arc<Dict>, Vec<u64>)>);

impl Merits {
    fn of(&mut self, dict: &Arc<Dict>, descending: bool) -> &[u64] {
        let at = self.0.iter().position(|(own, _)| Arc::ptr_eq(own, dict)).unwrap_or_else(|| {
            if self.0.len() == KEPT {
                self.0.remove(0);
            }
            let entries = (0..dict.len()).map(|entry| of(SortView::of_bytes(dict.entry(entry)), descending));
            self.0.push((Arc::clone(dict), std::iter::once(MISSING).chain(entries).collect()));
            self.0.len() - 1
        });
        &self.0[at].1
    }

    /// The rows of `among` that may have at least this merit.
    pub fn select(&mut self, view: &GroupView<'_>, reader: &FieldReader, descending: bool, least: u64, among: &Bits) -> Bits {
        if least == MISSING {
            return among.clone();
        }
        match reader {
            FieldReader::Time => select_ints(view.times(), &Present::All, Number::Int, descending, least, among),
            FieldReader::Chunks(chunks) => {
                let mut kept = Bits::none(among.rows());
                for (kind, chunk) in chunks {
                    kept.or(&self.select_chunk(*kind, chunk, descending, least, among));
                }
                kept
            }
            _ => among.clone(),
        }
    }

    fn select_chunk(&mut self, kind: Kind, chunk: &Chunk, descending: bool, least: u64, among: &Bits) -> Bits {
        match chunk {
            Chunk::Int { values, present } => select_ints(values, present, Number::Int, descending, least, among),
            Chunk::Number { values, digits, present } => {
                select_ints(values, present, |value| as_number(value, *digits), descending, least, among)
            }
            Chunk::Float { values, present } => only(
                present,
                Bits::fill(among, |row| {
                    values.get(row).is_some_and(|&value| of_number(Number::Float(value), descending) >= least)
                }),
            ),
            Chunk::Dict { codes, dict } if kind == Kind::Str => {
                let merits = self.of(dict, descending);
                Bits::fill(among, |row| {
                    codes.get(row).and_then(|&code| merits.get(code as usize)).is_some_and(|&merit| merit >= least)
                })
            }
            other => match other.present() {
                Some(present) => only(present, among.clone()),
                None => among.clone(),
            },
        }
    }
}

fn only(present: &Present, mut rows: Bits) -> Bits {
    if let Present::Some(words) = present {
        rows.and_words(words);
    }
    rows
}

/// Numbers are compared as they are stored: the least (or greatest) that has the merit is found first.
fn select_ints(
    values: &[i64],
    present: &Present,
    number: impl Fn(i64) -> Number,
    descending: bool,
    least: u64,
    among: &Bits,
) -> Bits {
    let enough = |value: i64| of_number(number(value), descending) >= least;
    // By halves: merit only grows in one direction.
    let (mut low, mut high) = (i128::from(i64::MIN), i128::from(i64::MAX) + 1);
    while low < high {
        // Rounded down, also below zero.
        let middle = low + (high - low) / 2;
        let is_enough = i64::try_from(middle).is_ok_and(&enough);
        if is_enough == descending { high = middle } else { low = middle + 1 }
    }
    // Descending: all from `low` have it. Ascending: all before `low`.
    let rows = match i64::try_from(low) {
        Ok(low) if descending => Bits::fill(among, |row| values.get(row).is_some_and(|value| *value >= low)),
        Ok(low) => Bits::fill(among, |row| values.get(row).is_some_and(|value| *value < low)),
        Err(_) if descending => Bits::none(among.rows()),
        Err(_) => among.clone(),
    };
    only(present, rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merit_follows_the_order_of_values() {
        let words: [&[u8]; 3] = [b"", b"abc", b"zz"];
        let numbers = [f64::NEG_INFINITY, -1e9, -0.5, -0.0, 0.0, 0.5, 3.0, 1e300, f64::INFINITY].map(Number::Float);
        let ints = [i64::MIN, -3, 0, 3, i64::MAX - 1, i64::MAX].map(Number::Int);
        let views = numbers.into_iter().chain(ints).map(SortView::Number);
        let views: Vec<SortView<'_>> = views.chain(words.map(SortView::Bytes)).chain([SortView::Missing]).collect();
        for descending in [false, true] {
            for a in &views {
                for b in &views {
                    let order = a.order_in(b, descending);
                    let merits = (of(*a, descending), needed(*b, descending));
                    assert!(order.is_gt() || merits.0 >= merits.1, "{a:?} {b:?} {descending}");
                    assert!(order.is_lt() || merits.0 <= of(*b, descending), "{a:?} {b:?} {descending}");
                }
            }
            let values = [i64::MIN, -7, -1, 0, 1, 2, 7, i64::MAX];
            for digits in [0, 2] {
                for worst in values {
                    let least = needed(SortView::Number(as_number(worst, digits)), descending);
                    let number = |value| as_number(value, digits);
                    let kept = select_ints(&values, &Present::All, number, descending, least, &Bits::all(values.len()));
                    let expected = (0..values.len()).filter(|&at| of_number(number(values[at]), descending) >= least);
                    assert!(kept.iter().eq(expected), "{worst} {digits} {descending}");
                }
            }
        }
    }

    #[test]
    fn what_is_rounded_to_the_worst_is_looked_at() {
        use crate::store::query::plan::{Bin, SortKey};
        let view = |ns: i64| SortView::Number(Number::Int(ns));
        for descending in [false, true] {
            let key = SortKey { bin: Some(Bin { step: 1_000_000, offset: 0 }), ..SortKey::new("_time", descending) };
            let worst = key.of_value(&crate::store::query::OutValue::Time(1_704_067_200_001_500_000));
            let least = needed(key.last_of(worst), descending);
            for ns in [0, 1_000_000 - 1].map(|rest| 1_704_067_200_001_000_000 + rest) {
                assert!(of(view(ns), descending) >= least, "{ns} {descending}");
            }
            let beyond = 1_704_067_200_001_000_000 + if descending { -1000 } else { 1_001_000 };
            assert!(of(view(beyond), descending) < least, "{descending}");
        }
    }
}
