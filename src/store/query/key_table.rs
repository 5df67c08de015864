//! Numbers the values of a key, and combinations of keys, from 0 in order of arrival, so that figures are arrays.
//!
//! A value is known by its text: 503 the number and "503" the string are one group, shown as the number; a list is known by its
//! items and is never the same as a string. Values lie back to back in
//! one buffer; the table holds only their numbers. Growth past the given limits is refused, and counted by the caller.

use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};
use rustc_hash::FxHashMap;

use super::out::{OutValue, SortView};
use super::view::Datum;
use crate::base::predicate::Number;
use crate::store::source::{Dict, list_items};
use crate::store::typed::put_number;

/// No number: past the limits.
pub const NONE: u32 = u32::MAX;

/// What a value costs beside its bytes.
const BESIDE: usize = 32;

/// What a value was, at its most telling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Shape {
    List,
    Str,
    Bool,
    Float,
    Int,
    Time,
    Missing,
}

/// Values of one key, numbered.
#[derive(Debug)]
pub struct KeyTable {
    hasher: DefaultHashBuilder,
    table: HashTable<u32>,
    bytes: Vec<u8>,
    ends: Vec<u32>,
    shapes: Vec<Shape>,
    /// Numbers seen as numbers, so that they need not be written as text each time.
    ints: FxHashMap<i64, u32>,
    times: FxHashMap<i64, u32>,
    /// The same of strings that are numbers.
    strings: FxHashMap<(i64, u8), u32>,
    missing: Option<u32>,
    most: usize,
    most_bytes: usize,
}

impl KeyTable {
    /// For at most so many values of so many bytes.
    pub fn new(most: usize, most_bytes: usize) -> Self {
        Self {
            hasher: DefaultHashBuilder::default(),
            table: HashTable::new(),
            bytes: Vec::new(),
            ends: Vec::new(),
            shapes: Vec::new(),
            ints: FxHashMap::default(),
            times: FxHashMap::default(),
            strings: FxHashMap::default(),
            missing: None,
            most,
            most_bytes: most_bytes.min(u32::MAX as usize),
        }
    }

    /// From now on it may take so many bytes.
    pub fn allow(&mut self, bytes: usize) {
        self.most_bytes = bytes.min(u32::MAX as usize);
    }

    /// Bytes that its values take, about.
    pub fn held(&self) -> usize {
        self.bytes.len() + self.len() * BESIDE
    }

    /// How many values.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// The text that tells a value from others.
    pub fn text(&self, number: u32) -> &[u8] {
        let number = number as usize;
        let start = if number == 0 { 0 } else { self.ends.get(number - 1).copied().unwrap_or(0) as usize };
        let end = self.ends.get(number).copied().unwrap_or(0) as usize;
        self.bytes.get(start..end).unwrap_or(&[])
    }

    fn push(&mut self, text: &[u8], shape: Shape) -> u32 {
        let end = self.bytes.len() + text.len();
        if self.len() >= self.most || self.held() + text.len() > self.most_bytes || end > u32::MAX as usize {
            return NONE;
        }
        let (Ok(end), Ok(number)) = (u32::try_from(end), u32::try_from(self.len())) else { return NONE };
        self.bytes.extend_from_slice(text);
        self.ends.push(end);
        self.shapes.push(shape);
        number
    }

    fn of_text(&mut self, text: &[u8], shape: Shape) -> u32 {
        let hash = self.hasher.hash_one(text);
        let is_list = |number: u32| self.shapes.get(number as usize) == Some(&Shape::List);
        let is_same = |&number: &u32| self.text(number) == text && is_list(number) == (shape == Shape::List);
        if let Some(&number) = self.table.find(hash, is_same) {
            let own = &mut self.shapes[number as usize];
            *own = (*own).max(shape);
            return number;
        }
        let number = self.push(text, shape);
        if number != NONE {
            let mut table = std::mem::take(&mut self.table);
            table.insert_unique(hash, number, |&number| self.hasher.hash_one(self.text(number)));
            self.table = table;
        }
        number
    }

    /// The number of a string.
    pub fn of_str(&mut self, text: &[u8]) -> u32 {
        self.of_text(text, Shape::Str)
    }

    /// The number of a whole number.
    pub fn of_int(&mut self, int: i64) -> u32 {
        if let Some(&number) = self.ints.get(&int) {
            return number;
        }
        let number = self.of_text(int.to_string().as_bytes(), Shape::Int);
        if number != NONE {
            self.ints.insert(int, number);
        }
        number
    }

    /// The number of a string that is a number with so many digits after the point.
    pub fn of_number(&mut self, value: i64, digits: u8) -> u32 {
        if let Some(&number) = self.strings.get(&(value, digits)) {
            return number;
        }
        let mut text = Vec::with_capacity(24);
        put_number(&mut text, value, digits);
        let number = self.of_text(&text, Shape::Str);
        if number != NONE {
            self.strings.insert((value, digits), number);
        }
        number
    }

    /// The number of an instant.
    pub fn of_time(&mut self, ns: i64) -> u32 {
        if let Some(&number) = self.times.get(&ns) {
            return number;
        }
        let number = self.push(&ns.to_le_bytes(), Shape::Time);
        if number != NONE {
            self.times.insert(ns, number);
        }
        number
    }

    /// The number of no value.
    pub fn of_missing(&mut self) -> u32 {
        if let Some(number) = self.missing {
            return number;
        }
        let number = self.push(&[], Shape::Missing);
        if number != NONE {
            self.missing = Some(number);
        }
        number
    }

    /// The number of a value; a list is one.
    pub fn of(&mut self, datum: Datum<'_>) -> u32 {
        match datum {
            Datum::Missing => self.of_missing(),
            Datum::Str(bytes) => self.of_str(bytes),
            Datum::List(entry) => self.of_text(entry, Shape::List),
            Datum::Number(value, digits) => self.of_number(value, digits),
            Datum::Int(int) => self.of_int(int),
            Datum::Float(float) => self.of_text(Number::text_of(float).as_bytes(), Shape::Float),
            Datum::Bool(bool) => self.of_text(if bool { b"true" } else { b"false" }, Shape::Bool),
            Datum::Time(ns) => self.of_time(ns),
        }
    }

    /// The number here of a value of another table.
    pub fn adopt(&mut self, other: &Self, number: u32) -> u32 {
        let text = other.text(number);
        match other.shapes.get(number as usize) {
            Some(Shape::Missing) | None => self.of_missing(),
            Some(Shape::Time) => self.of_time(<[u8; 8]>::try_from(text).map_or(0, i64::from_le_bytes)),
            Some(&shape) => self.of_text(text, shape),
        }
    }

    /// A value as it is sorted.
    pub fn sort_view(&self, number: u32) -> SortView<'_> {
        let text = self.text(number);
        match self.shapes.get(number as usize) {
            None | Some(Shape::Missing) => SortView::Missing,
            Some(Shape::Time) => SortView::Number(Number::Int(<[u8; 8]>::try_from(text).map_or(0, i64::from_le_bytes))),
            Some(Shape::List) => Datum::List(text).sort_view(),
            Some(_) => SortView::of_bytes(text),
        }
    }

    /// A value, by its number.
    pub fn value(&self, number: u32) -> OutValue {
        let text = self.text(number);
        let read = |text: &[u8]| std::str::from_utf8(text).ok().map(str::to_owned).unwrap_or_default();
        match self.shapes.get(number as usize) {
            None | Some(Shape::Missing) => OutValue::Null,
            Some(Shape::Str) => OutValue::Str(text.into()),
            Some(Shape::List) => OutValue::List(list_items(text).map(Into::into).collect()),
            Some(Shape::Bool) => OutValue::Bool(text == b"true"),
            Some(Shape::Int) => read(text).parse().map_or_else(|_| OutValue::Str(text.into()), OutValue::Int),
            Some(Shape::Float) => read(text).parse().map_or_else(|_| OutValue::Str(text.into()), OutValue::Float),
            Some(Shape::Time) => OutValue::Time(<[u8; 8]>::try_from(text).map_or(0, i64::from_le_bytes)),
        }
    }
}

/// From a dictionary's codes to the numbers of a [`KeyTable`], filled in as codes are met.
#[derive(Debug)]
pub struct Translation {
    dict: Arc<Dict>,
    numbers: Vec<u32>,
}

/// Not looked up yet.
const UNKNOWN: u32 = u32::MAX - 1;

impl Translation {
    /// Of a dictionary.
    pub fn new(dict: &Arc<Dict>) -> Self {
        Self { dict: Arc::clone(dict), numbers: vec![UNKNOWN; dict.len() + 1] }
    }

    /// Whether it is of this dictionary.
    pub fn is_of(&self, dict: &Arc<Dict>) -> bool {
        Arc::ptr_eq(&self.dict, dict)
    }

    /// The number of a code.
    #[inline]
    pub fn number(&mut self, code: u32, keys: &mut KeyTable) -> u32 {
        match self.numbers.get(code as usize) {
            Some(&number) if number != UNKNOWN => number,
            _ => self.number_of_new(code, keys),
        }
    }

    #[cold]
    fn number_of_new(&mut self, code: u32, keys: &mut KeyTable) -> u32 {
        let Some(place) = self.numbers.get_mut(code as usize) else { return NONE };
        *place = if code == 0 { keys.of_missing() } else { keys.of_str(self.dict.entry(code as usize - 1)) };
        *place
    }
}

/// Most cells of a [`PairTable`]'s grid: 4 MiB.
const CELLS: usize = 1 << 20;

/// Pairs of numbers, numbered: through a grid of all pairs while that is small, by hash beyond.
#[derive(Debug)]
pub struct PairTable {
    /// By first number, then second: rows of `1 << bits` cells; [`NONE`] where the pair was not seen.
    grid: Vec<u32>,
    bits: u32,
    /// By pair, once the grid would be too large.
    numbers: Option<FxHashMap<u64, u32>>,
    pairs: Vec<(u32, u32)>,
    most: usize,
}

impl PairTable {
    /// For at most so many pairs.
    pub fn new(most: usize) -> Self {
        Self { grid: Vec::new(), bits: 4, numbers: None, pairs: Vec::new(), most }
    }

    /// The number of a pair.
    #[inline]
    pub fn of(&mut self, first: u32, second: u32) -> u32 {
        match self.cell(first, second).and_then(|cell| self.grid.get(cell)) {
            Some(&number) if number != NONE => number,
            _ => self.of_new(first, second),
        }
    }

    fn cell(&self, first: u32, second: u32) -> Option<usize> {
        (second >> self.bits == 0).then_some((first as usize) << self.bits | second as usize)
    }

    #[cold]
    fn of_new(&mut self, first: u32, second: u32) -> u32 {
        let pair = u64::from(first) << 32 | u64::from(second);
        if let Some(&number) = self.numbers.as_ref().and_then(|numbers| numbers.get(&pair)) {
            return number;
        }
        if self.pairs.len() >= self.most {
            return NONE;
        }
        let number = u32::try_from(self.pairs.len()).unwrap_or(NONE);
        self.pairs.push((first, second));
        if self.numbers.is_none() && !self.reach(first, second) {
            self.grid = Vec::new();
            self.numbers =
                Some((0..).zip(&self.pairs).map(|(number, (a, b))| (u64::from(*a) << 32 | u64::from(*b), number)).collect());
        }
        match &mut self.numbers {
            Some(numbers) => {
                numbers.insert(pair, number);
            }
            None => {
                if let Some(cell) = self.cell(first, second).and_then(|cell| self.grid.get_mut(cell)) {
                    *cell = number;
                }
            }
        }
        number
    }

    /// Makes the grid large enough for a pair; `false` if it may not be.
    fn reach(&mut self, first: u32, second: u32) -> bool {
        let bits = self.bits.max(u32::BITS - second.leading_zeros());
        let Some(cells) =
            (first as usize + 1).checked_shl(bits).filter(|cells| cells >> bits == first as usize + 1 && *cells <= CELLS)
        else {
            return false;
        };
        if bits != self.bits {
            let rows = self.grid.len() >> self.bits;
            if rows << bits > CELLS {
                return false;
            }
            self.bits = bits;
            self.grid.clear();
            self.grid.resize(rows << bits, NONE);
            for (number, (first, second)) in (0..).zip(&self.pairs) {
                if let Some(cell) = self.grid.get_mut((*first as usize) << bits | *second as usize) {
                    *cell = number;
                }
            }
        }
        if cells > self.grid.len() {
            self.grid.resize(cells, NONE);
        }
        true
    }

    /// The pair of a number.
    pub fn pair(&self, number: u32) -> (u32, u32) {
        self.pairs.get(number as usize).copied().unwrap_or((NONE, NONE))
    }

    /// How many pairs.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_numbered_in_order_of_arrival_on_a_grid_and_by_hash() {
        // Narrow enough for the grid to the end; wide from the start; first narrow, then wide; a new row late.
        let narrow = (0..9000u32).map(|at| (at * 7 % 40, at * 13 % 900));
        let wide = (0..9000u32).map(|at| (at * 7919 % 70_000, at * 104_729 % 5000));
        for (name, pairs) in [
            ("narrow", narrow.clone().collect::<Vec<_>>()),
            ("wide", wide.clone().collect()),
            ("both", narrow.clone().chain(wide).collect()),
            ("late", narrow.chain([(3, NONE - 1), (NONE - 1, 3), (3, 0), (30_000, 1)]).collect()),
        ] {
            let mut table = PairTable::new(20_000);
            let mut expected: Vec<(u32, u32)> = Vec::new();
            let mut known = std::collections::HashMap::new();
            for &(first, second) in &pairs {
                let number = *known.entry((first, second)).or_insert_with(|| {
                    expected.push((first, second));
                    u32::try_from(expected.len() - 1).unwrap()
                });
                assert_eq!(table.of(first, second), number, "{name}: {first} {second}");
            }
            assert_eq!(table.len(), expected.len());
            for (number, pair) in (0u32..).zip(&expected) {
                assert_eq!(table.pair(number), *pair, "{name}");
            }
        }
    }

    #[test]
    fn no_more_pairs_than_allowed() {
        let mut table = PairTable::new(3);
        let numbers: Vec<u32> =
            [(0, 0), (0, 1), (1, 0), (1, 1), (0, 1), (2, 9)].map(|(first, second)| table.of(first, second)).into();
        assert_eq!(numbers, [0, 1, 2, NONE, 1, NONE]);
    }
}
