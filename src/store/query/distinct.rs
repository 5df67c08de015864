//! What `count_distinct` counts: hashes of values, of a dictionary's entries once and not once a row.
//!
//! An entry is added to a group's set when it is met there; while the rows that follow belong to the same group (all of them
//! without keys, those of a bin of time) it is not added again.
//!
//! Limits: what is known of [`DICTIONARIES`] is kept, 12 bytes an entry; sources are read one after the other.

use std::rc::Rc;
use std::sync::Arc;

use super::key_table::NONE;
use super::sketch::hash;
use super::view::Datum;
use crate::store::source::{Chunk, Dict, Kind, list_items};
use crate::store::typed::put_number;

/// Dictionaries of which something is known.
const DICTIONARIES: usize = 4;

/// What is known of dictionaries' entries.
#[derive(Debug, Default)]
pub struct Known(Vec<Entries>);

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
    fn of(&mut self, dict: &Arc<Dict>) -> &mut Entries {
        let at = self.0.iter().position(|own| Arc::ptr_eq(&own.dict, dict)).unwrap_or_else(|| {
            if self.0.len() == DICTIONARIES {
                self.0.remove(0);
            }
            let (hashes, added) = (vec![0; dict.len() + 1], vec![0; dict.len() + 1]);
            self.0.push(Entries { dict: Arc::clone(dict), hashes, added });
            self.0.len() - 1
        });
        &mut self.0[at]
    }

    /// Gives the hashes of rows' values, each with the row's group; not all of those that were given for the group before.
    pub fn each_new(
        &mut self,
        dict: &Arc<Dict>,
        codes: &[u32],
        (rows, groups): (&[u32], &[u32]),
        mut see: impl FnMut(u32, u64),
    ) {
        let Entries { hashes, added, .. } = self.of(dict);
        for (&row, &group) in rows.iter().zip(groups).filter(|(_, group)| **group != NONE) {
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
}

/// The codes of a chunk of strings that has a dictionary.
pub fn codes_of((kind, chunk): &(Kind, Rc<Chunk>)) -> Option<(&[u32], &Arc<Dict>)> {
    match &**chunk {
        Chunk::Dict { codes, dict } if *kind == Kind::Str => Some((codes.as_slice(), dict)),
        _ => None,
    }
}

/// The hashes of a value: of a list those of its items.
pub fn each_hash(datum: Datum<'_>, mut see: impl FnMut(u64)) {
    match datum {
        Datum::Missing => {}
        Datum::Str(bytes) => see(hash(bytes)),
        Datum::List(entry) => list_items(entry).for_each(|item| see(hash(item))),
        Datum::Number(value, digits) => {
            let mut text = Vec::with_capacity(24);
            put_number(&mut text, value, digits);
            see(hash(&text));
        }
        Datum::Int(int) => see(hash(int.to_string().as_bytes())),
        Datum::Time(ns) => see(hash(&ns.to_le_bytes())),
        Datum::Float(float) => see(hash(float.to_string().as_bytes())),
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
