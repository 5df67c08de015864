//! The numbers of one field in one group of rows, read a column at a time: what figures are made of.
//!
//! A chunk of one kind is walked by one loop that knows the kind; strings of a dictionary are read as numbers once per entry and
//! not once per row. A field that has text or lists goes row by row
//! ([`Numbers::of`] gives none).
//!
//! Limits: a thread keeps what it read of [`PARSED`] dictionaries, 16 bytes an entry; sources are read one after the other.

use std::sync::Arc;

use super::view::{FieldReader, GroupView};
use crate::base::predicate::Number;
use crate::store::source::{Chunk, Dict, Kind, Present};
use crate::store::typed::as_number;

/// Dictionaries whose numbers a thread keeps.
const PARSED: usize = 8;

/// What an entry of a dictionary is as a number.
#[derive(Clone, Copy, Debug)]
enum Entry {
    Unread,
    None,
    Some(Number),
}

/// The entries of dictionaries as numbers, read when they are first met.
#[derive(Debug, Default)]
pub struct Parsed(Vec<(Arc<Dict>, Vec<Entry>)>);

impl Parsed {
    fn of(&mut self, dict: &Arc<Dict>) -> &mut [Entry] {
        let at = self.0.iter().position(|(own, _)| Arc::ptr_eq(own, dict)).unwrap_or_else(|| {
            if self.0.len() == PARSED {
                self.0.remove(0);
            }
            self.0.push((Arc::clone(dict), vec![Entry::Unread; dict.len() + 1]));
            self.0.len() - 1
        });
        &mut self.0[at].1
    }
}

/// A column of numbers.
#[derive(Debug)]
pub enum Numbers<'v> {
    /// Whole numbers, or instants.
    Ints(&'v [i64], &'v Present),
    /// Strings that are numbers with so many digits after the point.
    Decimals(&'v [i64], u8, &'v Present),
    /// Decimal numbers.
    Floats(&'v [f64], &'v Present),
    /// Entries of a dictionary.
    Codes(&'v [u32], &'v Arc<Dict>),
}

impl<'v> Numbers<'v> {
    /// A field's columns, at most one of which has a value in any row; `None` where not all are of single values that are numbers
    /// or in a dictionary.
    pub fn of(view: &'v GroupView<'_>, reader: &'v FieldReader) -> Option<Vec<Self>> {
        match reader {
            FieldReader::Time => Some(vec![Self::Ints(view.times(), &Present::All)]),
            FieldReader::Chunks(chunks) => chunks.iter().map(|(kind, chunk)| Self::of_chunk(*kind, chunk)).collect(),
            _ => None,
        }
    }

    fn of_chunk(kind: Kind, chunk: &'v Chunk) -> Option<Self> {
        match chunk {
            Chunk::Int { values, present } => Some(Self::Ints(values, present)),
            Chunk::Number { values, digits, present } => Some(Self::Decimals(values, *digits, present)),
            Chunk::Float { values, present } => Some(Self::Floats(values, present)),
            Chunk::Dict { codes, dict } if kind == Kind::Str => Some(Self::Codes(codes, dict)),
            _ => None,
        }
    }

    /// Gives each of `rows` that has a number, with what stands beside it in `beside`.
    pub fn each(&self, rows: &[u32], beside: &[u32], parsed: &mut Parsed, mut see: impl FnMut(u32, Number)) {
        let both = rows.iter().zip(beside);
        match self {
            Self::Ints(values, present) => walk(both, values, present, |group, value| see(group, Number::Int(value))),
            Self::Decimals(values, 0, present) => walk(both, values, present, |group, value| see(group, Number::Int(value))),
            Self::Decimals(values, digits, present) => {
                walk(both, values, present, |group, value| see(group, as_number(value, *digits)));
            }
            Self::Floats(values, present) => walk(both, values, present, |group, value| see(group, Number::Float(value))),
            Self::Codes(codes, dict) => {
                let entries = parsed.of(dict);
                for (row, group) in both {
                    let code = codes.get(*row as usize).copied().unwrap_or(0) as usize;
                    let Some(entry) = entries.get_mut(code) else { continue };
                    if let Entry::Unread = entry {
                        let number = code.checked_sub(1).and_then(|entry| Number::parse(dict.entry(entry)));
                        *entry = number.map_or(Entry::None, Entry::Some);
                    }
                    if let Entry::Some(number) = entry {
                        see(*group, *number);
                    }
                }
            }
        }
    }
}

fn walk<'r, T: Copy>(
    rows: impl Iterator<Item = (&'r u32, &'r u32)>,
    values: &[T],
    present: &Present,
    mut see: impl FnMut(u32, T),
) {
    match present {
        Present::All => {
            for (row, group) in rows {
                if let Some(value) = values.get(*row as usize) {
                    see(*group, *value);
                }
            }
        }
        Present::Some(_) => {
            for (row, group) in rows.filter(|(row, _)| present.has(**row as usize)) {
                if let Some(value) = values.get(*row as usize) {
                    see(*group, *value);
                }
            }
        }
    }
}
