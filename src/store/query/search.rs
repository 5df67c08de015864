//! Tests over strings that lie back to back: all entries of a dictionary, or the rows of a column of text.
//!
//! What a match must hold ([`Test::needle`]) is searched in all the bytes at once; only what is hit is looked at. A sorted
//! dictionary is asked for a whole value or a prefix by bisection.

use std::sync::Arc;

use super::bits::Bits;
use super::view::{Datum, text_value};
use crate::base::predicate::{Number, Test};
use crate::store::source::{Dict, Kind, list_items};

/// What a test said of each entry of a dictionary.
#[derive(Debug)]
pub struct DictVerdict {
    /// The dictionary.
    pub dict: Arc<Dict>,
    /// By code: entry 0 stands for "no value" and is 0.
    pub by_code: Vec<u8>,
    /// How many entries match.
    pub matching: usize,
    /// The code, if only one matches.
    pub only: Option<u32>,
}

impl DictVerdict {
    /// Of a dictionary of which these codes match.
    pub fn of(dict: Arc<Dict>, passing: &[(u32, u64)]) -> Self {
        let mut by_code = vec![0u8; dict.len() + 1];
        for (code, _) in passing {
            if let Some(yes) = by_code.get_mut(*code as usize) {
                *yes = 1;
            }
        }
        let only = if let [(code, _)] = passing { Some(*code) } else { None };
        Self { dict, by_code, matching: passing.len(), only }
    }

    /// Of a dictionary of which these entries match.
    pub fn of_entries(dict: Arc<Dict>, kept: &Bits) -> Self {
        let mut by_code = vec![0u8; dict.len() + 1];
        kept.iter().for_each(|entry| by_code[entry + 1] = 1);
        let matching = kept.count();
        let only = if matching == 1 { kept.iter().next().and_then(|entry| u32::try_from(entry + 1).ok()) } else { None };
        Self { dict, by_code, matching, only }
    }

    /// The rows of `among` whose codes match.
    pub fn rows(&self, codes: &[u32], among: &Bits) -> Bits {
        match (self.matching, self.only) {
            (0, _) => Bits::none(among.rows()),
            (_, Some(only)) => Bits::fill_equal(among, codes, only),
            (all, _) if all == self.dict.len() => Bits::fill_by(among, codes, |code| code != 0),
            _ => Bits::fill_by(among, codes, |code| self.by_code.get(code as usize).is_some_and(|&yes| yes != 0)),
        }
    }
}

/// Whether a chunk's dictionary is the one of the whole source. A source may have unpacked it twice; its codes are the same.
pub fn is_same(whole: &Arc<Dict>, own: &Arc<Dict>) -> bool {
    let ends = |dict: &Dict| (dict.len(), dict.bytes.len(), dict.ends.first().copied());
    Arc::ptr_eq(whole, own) || (ends(whole) == ends(own) && whole.sorted == own.sorted)
}

/// Whether a stored string or list passes.
fn passes(test: &Test, kind: Kind, value: &[u8]) -> bool {
    if kind == Kind::List { list_items(value).any(|item| test.matches_str(item)) } else { test.matches_str(value) }
}

/// Tries every entry of a dictionary.
pub fn judge(test: &Test, kind: Kind, dict: Arc<Dict>) -> DictVerdict {
    let entries = dict.len();
    let kept = match sorted_prefix(test, kind, &dict) {
        Some(prefix) => {
            let first = partition_point(entries, |entry| dict.entry(entry) < prefix);
            let mut kept = Bits::none(entries);
            for entry in (first..entries).take_while(|&entry| dict.entry(entry).starts_with(prefix)) {
                if test.matches_str(dict.entry(entry)) {
                    kept.set(entry);
                }
            }
            kept
        }
        None if matches!(kind, Kind::Int | Kind::Bool) => {
            Bits::pick(&Bits::all(entries), |entry| match Datum::of_entry(kind, dict.entry(entry)) {
                Datum::Int(int) => test.matches_number(Number::Int(int)),
                Datum::Bool(bool) => test.matches_bool(bool),
                _ => false,
            })
        }
        None => select_text(test, kind, &dict.ends, &dict.bytes, &Bits::all(entries)),
    };
    DictVerdict::of_entries(dict, &kept)
}

/// What matching entries of a sorted dictionary begin with, if that is known.
fn sorted_prefix<'a>(test: &'a Test, kind: Kind, dict: &Dict) -> Option<&'a [u8]> {
    if !dict.sorted || kind != Kind::Str {
        return None;
    }
    match test {
        Test::Exact(exact) => Some(exact.text.as_bytes()),
        Test::Like(glob) if !glob.prefix().is_empty() => Some(glob.prefix().as_bytes()),
        _ => None,
    }
}

fn partition_point(length: usize, before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, length);
    while low < high {
        let middle = low + (high - low) / 2;
        if before(middle) { low = middle + 1 } else { high = middle }
    }
    low
}

/// Asks `among` of values that lie back to back.
pub fn select_text(test: &Test, kind: Kind, ends: &[u32], bytes: &[u8], among: &Bits) -> Bits {
    let ask = |row: usize| passes(test, kind, text_value(ends, bytes, row));
    let Some(needle) = test.needle() else {
        if let (Test::Exact(exact), Kind::Str) = (test, kind) {
            let text = exact.text.as_bytes();
            return Bits::pick(among, |row| text_value(ends, bytes, row) == text);
        }
        if matches!(test, Test::Exists) {
            return among.clone();
        }
        return Bits::pick(among, ask);
    };
    // Few rows left: look at them. Else search all the bytes at once; what is hit in between costs less than the calls.
    if among.count() * 8 < among.rows() {
        return Bits::pick(among, ask);
    }
    let mut kept = Bits::none(among.rows());
    let (mut at, mut row) = (0usize, 0usize);
    while let Some(hit) = needle.find(bytes, at) {
        // The row that the hit begins in: hits come in order, so usually the next few.
        row += next_above(ends.get(row..).unwrap_or(&[]), hit.start);
        let Some(&end) = ends.get(row) else { break };
        let end = end as usize;
        if !among.has(row) {
            at = end;
            continue;
        }
        if hit.end > end {
            // Across two rows. Another may begin before this row ends.
            at = hit.start + 1;
            continue;
        }
        match test {
            Test::Words(words, _) if kind == Kind::Str => {
                let start = if row == 0 { 0 } else { ends.get(row - 1).copied().unwrap_or(0) as usize };
                let value = bytes.get(start..end).unwrap_or(&[]);
                if words.is_whole(value, &(hit.start - start..hit.end - start)) {
                    kept.set(row);
                    at = end;
                } else {
                    at = hit.start + 1;
                }
            }
            _ => {
                if ask(row) {
                    kept.set(row);
                }
                at = end;
            }
        }
    }
    kept
}

/// Index of the first end above a byte: steps that double, then halve.
fn next_above(ends: &[u32], byte: usize) -> usize {
    let above = |index: usize| ends.get(index).is_none_or(|&end| end as usize > byte);
    let mut step = 1;
    while !above(step - 1) {
        step *= 2;
    }
    let low = step / 2;
    low + partition_point(step - low, |index| !above(low + index))
}
