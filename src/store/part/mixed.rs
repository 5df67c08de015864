//! Strings that no dictionary of all their values suits: what most of them are, those that come again and again, and the rest.
//!
//! ```text
//! one field of strings = up to three columns of its name, next to each other; a row has its value in one of them:
//!   main         numbers or raw bytes (typed.rs) where at least half of the strings are such; else text
//!   frequent     codes of a dictionary of the values that come often
//!   rest         text, where main is not
//! ```
//! A field may have several columns anyway (a number here, a string there), so nobody who reads it need know of this. Addresses
//! of which a third are new and the others are of a few thousand take 18 bits a row instead of 32, or 45 as text; one `-` among
//! numbers costs its own place, and leaves the others numbers.
//!
//! What a group's main column is is found group by group; which values are frequent is found for the part, from its first rows.
//! Templates and merges see such columns as one ([`super::job::Input::column`]), under the number of the first.

use super::chunk::Dense;
use super::dictionary::{DICT_BYTES, ENTRIES};
use super::job::{Job, Mapping, Piece, each_chunk, each_row};
use super::strings::{Coded, Judge, collect};
use super::typed::{Class, Values};
use crate::store::StoreError;
use crate::store::source::Chunk;

/// Groups that are looked into to see what strings are.
const SAMPLE_GROUPS: usize = 3;
/// Values of each.
const SAMPLES: usize = 512;
/// Values of a group that say what its main column is.
const VOTERS: usize = 64;
/// Bits of a code, about.
const CODE_BITS: u64 = 12;
/// Frequent values pay if they are at least this share of all (one in so many).
const LEAST_SHARE: u64 = 5;

/// How the strings of a field are kept.
#[derive(Debug)]
pub enum Kept {
    /// All under one dictionary.
    Dictionary(Coded),
    /// In several columns.
    Split(Split),
}

/// How strings are divided.
#[derive(Debug)]
pub struct Split {
    /// Whether the main column is of numbers or raw bytes.
    pub typed: bool,
    /// Whether those that come often are most of all.
    pub often: bool,
    /// The values that come often, and where they came.
    pub frequent: Coded,
}

/// A run of strings.
#[derive(Debug, Default)]
pub struct Text {
    /// Rows, and the end of each one's value.
    pub dense: Dense<u32>,
    /// The values, back to back.
    pub bytes: Vec<u8>,
}

impl Text {
    fn push(&mut self, row: u16, value: &[u8]) {
        self.bytes.extend_from_slice(value);
        self.dense.rows.push(row);
        // Groups are joined only while they are small; what is past 4 GiB all the same could not be read back.
        self.dense.values.push(u32::try_from(self.bytes.len()).unwrap_or(u32::MAX));
    }
}

/// A group's strings, divided.
#[derive(Debug)]
pub struct Divided {
    /// Rows and values that are what most are.
    pub typed: Option<(Vec<u16>, Values)>,
    /// The others, but for the frequent ones.
    pub text: Text,
}

/// Gives each string of a piece: its place in the piece, and the bytes.
fn each_text(chunk: &Chunk, piece: &Piece, rows: usize, mut each: impl FnMut(u16, &[u8])) {
    let mut none = Vec::new();
    each_row(piece, rows, |at, row| {
        if let Some(text) = chunk.text_of(row, &mut none) {
            each(at, text);
        }
    });
}

/// Finds out how a field of strings is best kept.
///
/// # Errors
/// Damage of an input.
pub fn kept(job: &Job<'_>, mapping: &Mapping) -> Result<Kept, StoreError> {
    let sample = sample(job, mapping)?;
    let typed = sample.as_ref().map(|(_, bits)| *bits);
    let judge = Judge::new(job, typed, matches!(sample, Some((Class::Fixed(_), _))));
    let (all, whole) = collect(job, mapping, Some(judge))?;
    if whole {
        return Ok(Kept::Dictionary(all));
    }
    let total = job.groups.iter().map(|pieces| job.rows(pieces) as u64).sum();
    Ok(Kept::Split(Split::new(&all, sample, total)))
}

/// What at least half of some values are, and the hundredths of a bit that one of these takes.
fn sample(job: &Job<'_>, mapping: &Mapping) -> Result<Option<(Class, u64)>, StoreError> {
    let (mut ends, mut bytes) = (vec![0usize], Vec::new());
    let step = job.groups.len().div_ceil(SAMPLE_GROUPS).max(1);
    for pieces in job.groups.iter().step_by(step) {
        let first = pieces.get(..1).unwrap_or(&[]);
        each_chunk(job, first, mapping, |_, piece, rows, chunk| {
            let chunk = chunk.into_text();
            let mut left = SAMPLES;
            each_text(&chunk, piece, rows, |_, text| {
                if left > 0 {
                    left -= 1;
                    bytes.extend_from_slice(text);
                    ends.push(bytes.len());
                }
            });
        })?;
    }
    let count = ends.len() - 1;
    let texts = ends.windows(2).filter_map(|two| bytes.get(two[0]..two[1]));
    let Some((class, _)) = Class::of_most(texts.clone()).filter(|(_, those)| those * 2 >= count) else { return Ok(None) };
    let mut values = Values::new(class);
    let taken = texts.filter(|text| values.take(text)).count();
    let mut out = Vec::new();
    values.put(&mut out);
    Ok(Some((class, out.len() as u64 * 800 / taken.max(1) as u64)))
}

impl Split {
    /// Divides strings of which `all` were the first, of `total` rows.
    fn new(all: &Coded, sample: Option<(Class, u64)>, total: u64) -> Self {
        let values = all.values().max(1);
        let class = sample.map(|(class, _)| class);
        let is_number = matches!(class, Some(Class::Number(_)));
        let entries = all.dict.len() as u64;
        // Text shrinks to about two fifths.
        let text_bits = all.dict.bytes.len() as u64 / entries.max(1) * 8 * 2 / 5;
        let most = class.map(Values::new);
        let mut often: Vec<(u64, u32, bool)> = Vec::new();
        let mut scratch = most;
        for (code, count) in (0u32..).zip(&all.counts) {
            if *count < 2 {
                continue;
            }
            let entry = all.dict.entry(code as usize);
            let fits = scratch.as_mut().is_some_and(|values| {
                values.clear();
                values.take(entry)
            });
            let bits = sample.filter(|_| fits).map_or(text_bits, |(_, bits)| bits / 100);
            let saved = (count * total / values).saturating_mul(bits.saturating_sub(CODE_BITS));
            // A number that comes often takes hardly more than its code.
            if saved > 24 + entry.len() as u64 * 4 && !(is_number && fits) {
                often.push((*count, code, fits));
            }
        }
        often.sort_unstable_by_key(|(count, code, _)| (std::cmp::Reverse(*count), *code));
        let share: u64 = often.iter().map(|(count, ..)| *count).sum();
        if share * LEAST_SHARE < values {
            // Too few to be worth a column; but what is not as the others are would be text.
            often.retain(|(count, _, fits)| class.is_some() && !fits && *count * 1000 > values);
        }
        let mut bytes = 0;
        let entries = often.iter().map(|(_, code, _)| all.dict.entry(*code as usize)).take(ENTRIES / 4).take_while(|entry| {
            bytes += entry.len();
            bytes <= DICT_BYTES / 4
        });
        Self { typed: class.is_some(), often: share * 2 > values, frequent: Coded::of_entries(entries) }
    }

    /// Divides the strings of a group; the frequent ones are noted.
    ///
    /// # Errors
    /// Damage of an input.
    pub fn divide(&mut self, job: &Job<'_>, pieces: &[Piece], mapping: &Mapping) -> Result<Divided, StoreError> {
        let total = job.rows(pieces);
        let mut chunks = Vec::new();
        each_chunk(job, pieces, mapping, |base, piece, rows, chunk| {
            chunks.push((base, piece.clone(), rows, chunk.into_text()))
        })?;
        let class = if self.typed { self.class(&chunks) } else { None };
        let mut typed = class.map(|class| (Vec::new(), Values::new(class)));
        let mut text = Text { dense: Dense { total, ..Dense::default() }, bytes: Vec::new() };
        let mut group = Dense { total, ..Dense::default() };
        let frequent = &mut self.frequent;
        let any_frequent = !frequent.dict.is_empty();
        for (base, piece, rows, chunk) in &chunks {
            each_text(chunk, piece, *rows, |at, value| {
                let row = base + at;
                if any_frequent && let Some(code) = frequent.find(value) {
                    frequent.note(&mut group, row, code);
                    return;
                }
                let taken = typed.as_mut().is_some_and(|(rows, values)| {
                    let taken = values.take(value);
                    rows.extend(taken.then_some(row));
                    taken
                });
                if !taken {
                    text.push(row, value);
                }
            });
        }
        group.rows.shrink_to_fit();
        group.values.shrink_to_fit();
        self.frequent.groups.push(group);
        Ok(Divided { typed: typed.filter(|(rows, _)| !rows.is_empty()), text })
    }

    /// What most values of a group are that are not frequent.
    fn class(&self, chunks: &[(u16, Piece, usize, Chunk)]) -> Option<Class> {
        let (mut ends, mut bytes) = (vec![0usize], Vec::new());
        for (_, piece, rows, chunk) in chunks {
            each_text(chunk, piece, *rows, |_, value| {
                if ends.len() <= VOTERS && (self.frequent.dict.is_empty() || self.frequent.find(value).is_none()) {
                    bytes.extend_from_slice(value);
                    ends.push(bytes.len());
                }
            });
        }
        Class::of_most(ends.windows(2).filter_map(|two| bytes.get(two[0]..two[1]))).map(|(class, _)| class)
    }
}
