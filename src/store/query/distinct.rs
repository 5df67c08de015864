//! What `count_distinct` counts: hashes of values, of a dictionary's entries once and not once a row, and of numbers,
//! which take long to be written, once while they are met again soon.
//!
//! An entry is added to a group's set when it is met there; while the rows that follow belong to the same group (all of them
//! without keys, those of a bin of time) it is not added again.
//!
//! Limits: what is known of [`DICTIONARIES`] is kept, 12 bytes an entry, and of [`NUMBERS`]; sources are read one after the
//! other.

use std::rc::Rc;
use std::sync::Arc;

use super::key_table::NONE;
use super::sketch::hash;
use super::view::Datum;
use crate::base::predicate::Number;
use crate::store::source::{Chunk, Dict, Kind, Present, list_items};
use crate::store::typed::put_number;

/// Dictionaries of which something is known.
const DICTIONARIES: usize = 4;
/// Numbers whose hashes are known, 24 bytes each.
const NUMBERS: usize = 1 << 12;

/// What is known of dictionaries' entries and of numbers.
#[derive(Debug, Default)]
pub struct Known {
    dicts: Vec<Entries>,
    /// Each where its bits say, with its hash; empty until the first is met.
    numbers: Vec<(Digits, u64)>,
}

/// A chunk whose values are worth knowing.
#[derive(Clone, Copy, Debug)]
pub enum Repeating<'a> {
    /// Codes of a dictionary's entries.
    Codes(&'a [u32], &'a Arc<Dict>),
    /// Whole numbers, divided by ten to the power of so many.
    Numbers(&'a [i64], u8, &'a Present),
    /// Decimals.
    Decimals(&'a [f64], &'a Present),
}

/// A number that is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Digits {
    /// Divided by ten to the power of the second.
    Number(i64, u8),
    /// A decimal's bits.
    Decimal(u64),
}

impl Digits {
    fn hash(self) -> u64 {
        match self {
            Self::Number(value, places) => {
                let mut text = Vec::with_capacity(24);
                put_number(&mut text, value, places);
                hash(&text)
            }
            Self::Decimal(bits) => hash(Number::text_of(f64::from_bits(bits)).as_bytes()),
        }
    }
}

/// Of one dictionary, by code.
#[derive(Debug)]
struct Entries {
    dict: Arc<Dict>,
    /// 0: not taken yet.
    hashes: Vec<u64>,
    /// To which group it was added last, and one more; 0: to none.
    added: Vec<u32>,
}

impl Known {
    fn of_dict(&mut self, dict: &Arc<Dict>) -> &mut Entries {
        let at = self.dicts.iter().position(|own| Arc::ptr_eq(&own.dict, dict)).unwrap_or_else(|| {
            if self.dicts.len() == DICTIONARIES {
                self.dicts.remove(0);
            }
            let (hashes, added) = (vec![0; dict.len() + 1], vec![0; dict.len() + 1]);
            self.dicts.push(Entries { dict: Arc::clone(dict), hashes, added });
            self.dicts.len() - 1
        });
        &mut self.dicts[at]
    }

    /// Gives the hashes of rows' values, each with the row's group; not all of those that were given for the group before.
    pub fn each_new(&mut self, values: Repeating<'_>, (rows, groups): (&[u32], &[u32]), mut see: impl FnMut(u32, u64)) {
        let asked = rows.iter().zip(groups).filter(|(_, group)| **group != NONE);
        match values {
            Repeating::Codes(codes, dict) => {
                let Entries { hashes, added, .. } = self.of_dict(dict);
                for (&row, &group) in asked {
                    let Some(&code @ 1..) = codes.get(row as usize) else { continue };
                    let code = code as usize;
                    let (Some(known), Some(added)) = (hashes.get_mut(code), added.get_mut(code)) else { continue };
                    if *added == group + 1 {
                        continue;
                    }
                    *added = group + 1;
                    if *known == 0 {
                        *known = hash(dict.entry(code - 1));
                    }
                    see(group, *known);
                }
            }
            Repeating::Numbers(values, places, present) => {
                let at = |row: usize| values.get(row).map(|&value| Digits::Number(value, places));
                self.each_number(asked, present, at, see);
            }
            Repeating::Decimals(values, present) => {
                let at = |row: usize| values.get(row).map(|value| Digits::Decimal(value.to_bits()));
                self.each_number(asked, present, at, see);
            }
        }
    }

    fn each_number<'r>(
        &mut self,
        asked: impl Iterator<Item = (&'r u32, &'r u32)>,
        present: &Present,
        at: impl Fn(usize) -> Option<Digits>,
        mut see: impl FnMut(u32, u64),
    ) {
        if self.numbers.is_empty() {
            // The hash 0 says that a place is free; a number that has it is written each time.
            self.numbers = vec![(Digits::Decimal(0), 0); NUMBERS];
        }
        for (&row, &group) in asked.filter(|(row, _)| present.has(**row as usize)) {
            let Some(number) = at(row as usize) else { continue };
            let bits = match number {
                Digits::Number(value, _) => value.cast_unsigned(),
                Digits::Decimal(bits) => bits,
            };
            // The upper bits of the product depend on all of the number's.
            let place = bits.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - NUMBERS.ilog2());
            let Some(known) = usize::try_from(place).ok().and_then(|place| self.numbers.get_mut(place)) else { continue };
            if known.1 == 0 || known.0 != number {
                *known = (number, number.hash());
            }
            see(group, known.1);
        }
    }
}

impl<'a> Repeating<'a> {
    /// That of a chunk; `None` of those that are no quicker to know than to hash.
    pub fn of((kind, chunk): &'a (Kind, Rc<Chunk>)) -> Option<Self> {
        match &**chunk {
            Chunk::Dict { codes, dict } if *kind == Kind::Str => Some(Self::Codes(codes, dict)),
            Chunk::Number { values, digits, present } => Some(Self::Numbers(values, *digits, present)),
            Chunk::Int { values, present } => Some(Self::Numbers(values, 0, present)),
            Chunk::Float { values, present } => Some(Self::Decimals(values, present)),
            _ => None,
        }
    }
}

/// The hashes of a value: of a list those of its items.
pub fn each_hash(datum: Datum<'_>, mut see: impl FnMut(u64)) {
    match datum {
        Datum::Missing => {}
        Datum::Str(bytes) => see(hash(bytes)),
        Datum::List(entry) => list_items(entry).for_each(|item| see(hash(item))),
        Datum::Number(value, digits) => see(Digits::Number(value, digits).hash()),
        Datum::Int(int) => see(Digits::Number(int, 0).hash()),
        Datum::Time(ns) => see(hash(&ns.to_le_bytes())),
        Datum::Float(float) => see(Digits::Decimal(float.to_bits()).hash()),
        Datum::Bool(bool) => see(hash(if bool { b"true" } else { b"false" })),
    }
}

/// How many values a row has: of a list its different items.
pub fn values_in(datum: Datum<'_>) -> u64 {
    match datum {
        Datum::Missing => 0,
        Datum::List(entry) => {
            let mut items: Vec<&[u8]> = list_items(entry).collect();
            items.sort_unstable();
            items.dedup();
            items.len() as u64
        }
        _ => 1,
    }
}
