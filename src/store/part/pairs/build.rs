//! Gathering pairs while a part is written.
//!
//! Values are read as they came in, not as they were encoded, so that this hangs on no encoding. Each entry of an input's
//! dictionary is taken apart once a group, whatever the number of its rows.
//!
//! Memory: one group's values, [`PAIRS`] pairs and the words of a slot (1 MiB at most).

use super::segment::{encode, pair};
use super::{PAIRS, Run, SLOTS, Segment, Sort, WORDS, copy, each_hash, hash};
use crate::store::StoreError;
use crate::store::part::job::{Job, Mapping, Piece, each_chunk, each_row};
use crate::store::part::out::Out;
use crate::store::source::{Chunk, Form, Kind, list_items};
use crate::store::typed::number;

/// Bits of a hash beyond those that tell words apart: one word in 32 segments is found where it is not.
const WORD_SPARE: u8 = 5;
/// The same of ids, whose groups are cheap to look through.
const ID_SPARE: u8 = 1;
/// Groups that make a slot of ids, as a power of two.
const ID_POWER: u8 = 3;
/// A longer value opens its slot unread: it has too many words anyway, or is none to be searched for by them.
const LONGEST: usize = 1 << 20;

/// The hashes of one slot, so that each is put in once.
#[derive(Debug, Default)]
struct Seen {
    /// High 48 bits of a hash, and the stamp of the slot it was seen in.
    table: Vec<u64>,
    stamp: u64,
    count: usize,
}

const STAMPS: u64 = 0xffff;

impl Seen {
    fn next_slot(&mut self) {
        self.stamp += 1;
        self.count = 0;
        if self.stamp > STAMPS || self.table.is_empty() {
            self.table.clear();
            self.table.resize(4096, 0);
            self.stamp = 1;
        }
    }

    /// Whether it is new in this slot.
    #[inline]
    fn insert(&mut self, hash: u64) -> bool {
        if self.count * 2 >= self.table.len() {
            self.grow();
        }
        let tagged = hash & !STAMPS | self.stamp;
        let mask = self.table.len() - 1;
        let mut at = place(hash) & mask;
        loop {
            let entry = self.table[at];
            if entry == tagged {
                return false;
            }
            if entry & STAMPS != self.stamp {
                self.table[at] = tagged;
                self.count += 1;
                return true;
            }
            at = (at + 1) & mask;
        }
    }

    #[cold]
    fn grow(&mut self) {
        let size = (self.table.len() * 2).max(4096);
        let old = std::mem::replace(&mut self.table, vec![0; size]);
        for entry in old.into_iter().filter(|entry| entry & STAMPS == self.stamp) {
            let mut at = place(entry) & (size - 1);
            while self.table[at] != 0 {
                at = (at + 1) & (size - 1);
            }
            self.table[at] = entry;
        }
    }
}

fn place(hash: u64) -> usize {
    usize::try_from(hash >> 40).unwrap_or(0)
}

/// Takes hashes slot by slot, and writes segments.
#[derive(Debug)]
pub struct Builder {
    column: u32,
    dictionary: bool,
    sort: Sort,
    power: u8,
    pairs: Vec<u64>,
    seen: Seen,
    /// Slots begun.
    slots: u32,
    /// Pairs before the slot.
    before: usize,
    is_open: bool,
    open: Vec<u32>,
    runs: Vec<Run>,
    done: Vec<Segment>,
}

impl Builder {
    /// Of a column of a part.
    pub fn new(column: u32, dictionary: bool) -> Self {
        Self {
            column,
            dictionary,
            sort: Sort::Words,
            power: 0,
            pairs: Vec::new(),
            seen: Seen::default(),
            slots: 0,
            before: 0,
            is_open: false,
            open: Vec::new(),
            runs: Vec::new(),
            done: Vec::new(),
        }
    }

    /// Goes on with a group (or a block), whose values are of this sort.
    pub fn begin(&mut self, place: u32, sort: Sort, out: &mut Out<'_>) -> Result<(), StoreError> {
        if sort != self.sort {
            self.flush(out)?;
            self.sort = sort;
            self.power = if matches!(sort, Sort::Hex | Sort::Uuid) { ID_POWER } else { 0 };
        }
        let next = |run: &Run| run.group + run.groups == place;
        let within = |run: &Run| !run.groups.is_multiple_of(1 << self.power);
        if self.runs.last().is_some_and(|run| next(run) && within(run)) {
            self.add_group();
            return Ok(());
        }
        if self.slots == SLOTS || self.pairs.len() > PAIRS - WORDS {
            self.flush(out)?;
        }
        if !self.runs.last().is_some_and(next) {
            self.runs.push(Run { slot: self.slots, slots: 0, group: place, groups: 0 });
        }
        if let Some(run) = self.runs.last_mut() {
            run.slots += 1;
        }
        self.slots += 1;
        self.before = self.pairs.len();
        self.is_open = false;
        self.seen.next_slot();
        self.add_group();
        Ok(())
    }

    fn add_group(&mut self) {
        if let Some(run) = self.runs.last_mut() {
            run.groups += 1;
        }
    }

    /// Puts a hash in.
    #[inline]
    fn put(&mut self, hash: u64) {
        if self.is_open || (self.power == 0 && !self.seen.insert(hash)) {
            return;
        }
        self.pairs.push(pair(hash, self.slots - 1));
        if self.pairs.len() - self.before > WORDS << self.power {
            self.open_slot();
        }
    }

    /// Puts a value in.
    #[inline]
    pub fn value(&mut self, kind: Kind, value: &[u8]) {
        match (self.sort, kind) {
            (Sort::Hex | Sort::Uuid, _) => self.put(hash(value)),
            (Sort::Texts, Kind::Str) if is_plain(value) => {}
            (_, Kind::List) => list_items(value).for_each(|item| self.words(item)),
            _ => self.words(value),
        }
    }

    /// Puts strings in that lie back to back.
    pub fn texts(&mut self, ends: &[u32], bytes: &[u8]) {
        let mut start = 0;
        for end in ends {
            self.value(Kind::Str, bytes.get(start..*end as usize).unwrap_or(&[]));
            start = *end as usize;
        }
    }

    fn words(&mut self, text: &[u8]) {
        if text.len() > LONGEST {
            self.open_slot();
        } else if !self.is_open {
            each_hash(text, |hash| self.put(hash));
        }
    }

    /// Says of the slot that it may hold anything.
    fn open_slot(&mut self) {
        self.pairs.truncate(self.before);
        if !self.is_open {
            self.is_open = true;
            self.open.push(self.slots - 1);
        }
    }

    fn flush(&mut self, out: &mut Out<'_>) -> Result<(), StoreError> {
        if self.slots == 0 {
            return Ok(());
        }
        let spare = if self.power > 0 { ID_SPARE } else { WORD_SPARE };
        let (bytes, shape) = encode(&mut self.pairs, self.slots, spare);
        self.pairs.clear();
        let offset = out.at();
        out.put(&bytes)?;
        self.done.push(Segment {
            column: self.column,
            dictionary: self.dictionary,
            sort: self.sort,
            power: self.power,
            shape,
            offset,
            open: std::mem::take(&mut self.open),
            runs: std::mem::take(&mut self.runs),
        });
        self.slots = 0;
        Ok(())
    }

    /// Writes what is left; all segments.
    pub fn finish(mut self, out: &mut Out<'_>) -> Result<Vec<Segment>, StoreError> {
        self.flush(out)?;
        Ok(self.done)
    }
}

/// Whether a value is a number or an IPv4 address.
fn is_plain(value: &[u8]) -> bool {
    value.first().is_some_and(|byte| byte.is_ascii_digit() || *byte == b'-')
        && (number(value).is_some() || Form::Ipv4.has(value))
}

/// Gives each value of a chunk that some row of `piece` has; of a dictionary's entries each once.
fn each_value(chunk: &Chunk, piece: &Piece, rows: usize, mut see: impl FnMut(&[u8])) {
    if let Chunk::Dict { codes, dict } = chunk {
        let mut used = vec![false; dict.len() + 1];
        each_row(piece, rows, |_, row| {
            if let Some(place) = codes.get(row).and_then(|code| used.get_mut(*code as usize)) {
                *place = true;
            }
        });
        for entry in (0..dict.len()).filter(|entry| used[entry + 1]) {
            see(dict.entry(entry));
        }
        return;
    }
    let mut scratch = Vec::new();
    each_row(piece, rows, |_, row| {
        if let Some(text) = chunk.text_of(row, &mut scratch) {
            see(text);
        }
    });
}

/// A chunk of an input, the piece that it is read for, and how many rows it has.
type Read = (Piece, usize, Chunk);

/// Gives the values of all of a group's chunks.
fn each_of(chunks: &[Read], mut see: impl FnMut(&[u8])) {
    chunks.iter().for_each(|(piece, rows, chunk)| each_value(chunk, piece, *rows, &mut see));
}

/// What the values of a group are, by the first of them and then by all.
fn sort_of(kind: Kind, chunks: &[Read]) -> Sort {
    if kind == Kind::List {
        return Sort::Words;
    }
    let mut form: Option<Option<Form>> = None;
    let (mut plain, mut all, mut alike) = (0u32, 0u32, true);
    each_of(chunks, |value| {
        let first = *form.get_or_insert_with(|| Form::of(value).filter(|form| *form != Form::Ipv4));
        all += 1;
        match first {
            Some(form) if alike => alike = form.has(value),
            _ => {
                alike = false;
                plain += u32::from(is_plain(value));
            }
        }
    });
    match form.flatten() {
        Some(Form::Hex { .. }) if alike => Sort::Hex,
        Some(Form::Uuid) if alike => Sort::Uuid,
        _ if plain * 2 > all => Sort::Texts,
        _ => Sort::Words,
    }
}

/// Pairs of those groups of a column (and of the others that hold values of the same field) that `wanted` names.
///
/// # Errors
/// Damage of an input, the disk's.
pub fn groups(
    job: &Job<'_>,
    mapping: &Mapping,
    (column, kind): (u32, Kind),
    wanted: impl Fn(usize) -> bool,
    out: &mut Out<'_>,
) -> Result<Vec<Segment>, StoreError> {
    let (mut segments, covered) = copy::copied(job, mapping, column, &wanted, out)?;
    let mut builder = Builder::new(column, false);
    for (place, (group, pieces)) in (0u32..).zip(job.groups.iter().enumerate()) {
        if !wanted(group) || covered.get(group).copied().unwrap_or(false) {
            continue;
        }
        let mut chunks = Vec::new();
        each_chunk(job, pieces, mapping, |_, piece, rows, chunk| chunks.push((piece.clone(), rows, chunk)))?;
        let sort = sort_of(kind, &chunks);
        builder.begin(place, sort, out)?;
        each_of(&chunks, |value| builder.value(kind, value));
    }
    segments.append(&mut builder.finish(out)?);
    Ok(segments)
}

/// Pairs of the blocks of a dictionary.
///
/// # Errors
/// The disk's.
pub fn dictionary<'a, B: Iterator<Item = &'a [u8]>>(
    (column, kind): (u32, Kind),
    blocks: impl Iterator<Item = B>,
    out: &mut Out<'_>,
) -> Result<Vec<Segment>, StoreError> {
    let mut builder = Builder::new(column, true);
    for (place, block) in (0u32..).zip(blocks) {
        builder.begin(place, Sort::Words, out)?;
        block.for_each(|entry| builder.value(kind, entry));
    }
    builder.finish(out)
}
