//! Free text that is split: its shapes once a part, and for each row the number of a shape and the values in it.
//!
//! ```text
//! chunk of encoding 51, behind the rows' presence; k texts:                                    since version 2
//!   codes      size varint, codes of all k (as encoding 30): 0 stored as it is, n of shape n - 1 of the column's dictionary
//!   own        count varint, then each: code - code before varint, values u8, then for each of the shape's values:
//!              encoding u8, size varint, body: those of the rows of this shape                     (shapes of 64 rows and more)
//!   classes    count u8, then each: class u8, count varint, encoding u8, size varint, body: the other values, as rows have them
//!   rest       encoding u8 (40 or 41), texts stored as they are
//! values are whole numbers of encoding 1 to 4 or 70: varints, or 71: their size varint, and a zstd frame of them
//! ```
//! The column's dictionary has shapes (`shape.rs`) instead of values; the column directory says so. Texts that come again and
//! again are shapes without values.
//! Learned when a part is written (`learn.rs`); what parts that are merged know is kept (`free.rs`). Used only where a group that is tried comes out an eighth smaller than zstd makes it. A text whose shape was
//! not learned is stored as it is: a wrong guess costs space, never truth.
//!
//! Limits: [`SHAPES`] and [`SHAPE_BYTES`] a column and part.
//! Crash story: none; what is read depends on the part alone.
//! Why not one table a shape: mixed logs have thousands of shapes, and a group of 8,192 rows one or two rows of each.

mod read;

pub use read::{Split, decode, decode_codes};

use super::bits::{Reader, put_bytes, put_varint};
use super::chunk::{self, Dense, encoding};
use super::shape::{CLASSES, Cut, Cutter, MARK, NUMBER, Slot};
use super::tally::Tally;

/// Most shapes of a column.
pub const SHAPES: usize = 64 << 10;
/// Most bytes of all its shapes.
pub const SHAPE_BYTES: usize = 4 << 20;
/// Rows of a group that a shape needs for columns of its own.
const OWN_ROWS: u32 = 64;
/// Whole numbers as varints.
const VARINTS: u8 = 70;
/// Compressed.
const PACKED_VARINTS: u8 = 71;

/// Splits texts into shapes that are known.
#[derive(Debug)]
pub struct Splitter {
    cutter: Cutter,
    shapes: Tally,
    /// Each shape's place in the order of their bytes.
    rank: Vec<u32>,
    order: Vec<u32>,
    /// How many values each place's shape has.
    slots: Vec<u8>,
    /// How often each was used.
    used: Vec<u64>,
}

/// Texts of a group, taken apart.
#[derive(Debug, Default)]
pub struct Taken {
    codes: Vec<u32>,
    slots: Vec<Slot>,
    ends: Vec<u32>,
    bytes: Vec<u8>,
}

impl Splitter {
    /// One that cuts so, and knows these shapes.
    pub fn new(cutter: Cutter, shapes: Tally) -> Self {
        let mut order: Vec<u32> = (0u32..).take(shapes.counts.len()).collect();
        order.sort_unstable_by(|a, b| shapes.dict.entry(*a as usize).cmp(shapes.dict.entry(*b as usize)));
        let mut rank = vec![0; order.len()];
        for (place, number) in (0u32..).zip(&order) {
            rank[*number as usize] = place;
        }
        let count = |number: &u32| memchr::memchr_iter(MARK, shapes.dict.entry(*number as usize)).count();
        let slots = order.iter().map(|number| u8::try_from(count(number)).unwrap_or(u8::MAX)).collect();
        let used = vec![0; order.len()];
        Self { cutter, shapes, rank, order, slots, used }
    }

    /// One that knows all of these shapes; `None` where they are too many, or were cut in different ways.
    pub fn of<'a>(shapes: impl Iterator<Item = &'a [u8]>) -> Option<Self> {
        let mut tally = Tally::new(SHAPES, SHAPE_BYTES);
        let (mut every, mut long) = (false, false);
        for shape in shapes {
            tally.add(shape)?;
            for at in memchr::memchr_iter(MARK, shape) {
                match shape.get(at + 1)? {
                    &NUMBER => every = true,
                    1..NUMBER => long = true,
                    _ => {}
                }
            }
        }
        let cut = match (every, long) {
            (true, true) => return None,
            (true, false) => Cut::Every,
            (false, _) => Cut::Long,
        };
        (!tally.counts.is_empty()).then(|| Self::new(Cutter::new(cut), tally))
    }

    /// Which place a shape has, if it is known.
    pub fn place(&self, shape: &[u8]) -> Option<u32> {
        self.rank.get(self.shapes.find(shape)? as usize).copied()
    }

    /// Shapes in the order of their bytes, with how often each was used.
    pub fn entries(&self) -> impl Iterator<Item = (&[u8], u64)> + Clone {
        let entry = |number: &u32| {
            let number = *number as usize;
            (self.shapes.dict.entry(number), self.used.get(number).copied().unwrap_or(0))
        };
        self.order.iter().map(entry)
    }

    /// Counts a use of the shape at a place.
    pub fn note(&mut self, place: u32) {
        if let Some(used) = self.order.get(place as usize).and_then(|number| self.used.get_mut(*number as usize)) {
            *used += 1;
        }
    }

    /// Nothing was used so far.
    pub fn forget_uses(&mut self) {
        self.used.fill(0);
    }

    /// Takes a text of a group apart.
    pub fn take(&mut self, text: &[u8], taken: &mut Taken) {
        let cut = self.cutter.cut(text);
        let whole = cut && !self.cutter.slots.is_empty();
        let whole = if whole { self.shapes.find(text) } else { None };
        let number = match whole {
            Some(number) => Some(number),
            None if cut => self.shapes.find(&self.cutter.shape),
            None => None,
        };
        match number {
            Some(number) => {
                if whole.is_none() {
                    taken.slots.extend_from_slice(&self.cutter.slots);
                }
                self.used[number as usize] += 1;
                taken.codes.push(self.rank[number as usize] + 1);
            }
            None => {
                taken.bytes.extend_from_slice(text);
                // As chunks of text: groups are joined only while they are small.
                taken.ends.push(u32::try_from(taken.bytes.len()).unwrap_or(u32::MAX));
                taken.codes.push(0);
            }
        }
    }

    /// A group's chunk.
    pub fn encode(&self, dense: &Dense<()>, taken: &Taken, zstd: &mut zstd::bulk::Compressor<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        chunk::put_presence(&mut out, &dense.rows, dense.total);
        let mut body = Vec::new();
        chunk::put_codes(&mut body, &taken.codes);
        put_bytes(&mut out, &body);
        self.put_values(&mut out, taken, zstd);
        let at = out.len();
        out.push(0);
        out[at] = chunk::put_text(&mut out, &taken.ends, &taken.bytes, zstd);
        out
    }

    fn put_values(&self, out: &mut Vec<u8>, taken: &Taken, zstd: &mut zstd::bulk::Compressor<'_>) {
        let mut rows = vec![0u32; self.order.len() + 1];
        for code in &taken.codes {
            rows[*code as usize] += 1;
        }
        // Values of each slot of the shapes that have columns of their own, from `own[code]` on.
        let mut own: Vec<u32> = vec![u32::MAX; rows.len()];
        let mut columns: Vec<Vec<i64>> = Vec::new();
        let mut owners = Vec::new();
        for (code, count) in (0u32..).zip(&rows).skip(1) {
            let slots = self.slots(code);
            if *count >= OWN_ROWS && slots > 0 {
                own[code as usize] = u32::try_from(columns.len()).unwrap_or(u32::MAX);
                columns.resize_with(columns.len() + slots, || Vec::with_capacity(*count as usize));
                owners.push((code, slots));
            }
        }
        let mut classes: Vec<Vec<i64>> = vec![Vec::new(); CLASSES];
        let mut slots = taken.slots.iter();
        for code in taken.codes.iter().filter(|code| **code > 0) {
            let of_row = slots.by_ref().take(self.slots(*code));
            match own[*code as usize] {
                u32::MAX => of_row.for_each(|slot| classes[usize::from(slot.0)].push(slot.1.cast_signed())),
                first => {
                    of_row.zip(&mut columns[first as usize..]).for_each(|(slot, column)| column.push(slot.1.cast_signed()))
                }
            }
        }
        put_varint(out, owners.len() as u64);
        let (mut last, mut columns) = (0, columns.into_iter());
        for (code, slots) in owners {
            put_varint(out, u64::from(code - last));
            last = code;
            out.push(u8::try_from(slots).unwrap_or(0));
            columns.by_ref().take(slots).for_each(|values| put_numbers(out, &values, zstd));
        }
        let used = classes.iter().filter(|values| !values.is_empty()).count();
        out.push(u8::try_from(used).unwrap_or(0));
        for (class, values) in (0u8..).zip(&classes).filter(|(_, values)| !values.is_empty()) {
            out.push(class);
            put_varint(out, values.len() as u64);
            put_numbers(out, values, zstd);
        }
    }

    /// How many values the shape of a code has.
    fn slots(&self, code: u32) -> usize {
        code.checked_sub(1).and_then(|place| self.slots.get(place as usize)).copied().map_or(0, usize::from)
    }
}

fn put_numbers(out: &mut Vec<u8>, values: &[i64], zstd: &mut zstd::bulk::Compressor<'_>) {
    let mut body = Vec::new();
    let mut encoded = chunk::put_ints(&mut body, values);
    let mut varints = Vec::new();
    values.iter().for_each(|value| put_varint(&mut varints, value.cast_unsigned()));
    if varints.len() > 256
        && let Ok(frame) = zstd.compress(&varints)
        && frame.len() + 4 < body.len().min(varints.len())
    {
        body.clear();
        put_varint(&mut body, varints.len() as u64);
        body.extend_from_slice(&frame);
        encoded = PACKED_VARINTS;
    } else if varints.len() < body.len() {
        body = varints;
        encoded = VARINTS;
    }
    out.push(encoded);
    put_bytes(out, &body);
}

/// A chunk of encoding 51 with the numbers that its shapes have in another dictionary; `None` if it makes no sense, or one of
/// them is not there.
pub fn recode(bytes: &[u8], rows: usize, places: &[u32]) -> Option<(Vec<u8>, Vec<u32>)> {
    let mut reader = Reader(bytes);
    let (_, count) = chunk::presence(&mut reader, rows)?;
    let presence = bytes.get(..bytes.len() - reader.0.len())?;
    let mut codes = chunk::codes(&mut Reader(reader.bytes()?), encoding::CODES, count, places.len() + 1)?;
    let place = |code: u32| places.get(code as usize).filter(|place| **place != u32::MAX).map(|place| place + 1);
    for code in &mut codes {
        // They come with one added.
        *code = code.checked_sub(2).map_or(Some(0), place)?;
    }
    let mut out = Vec::with_capacity(bytes.len() + 16);
    out.extend_from_slice(presence);
    let mut packed = Vec::new();
    chunk::put_codes(&mut packed, &codes);
    put_bytes(&mut out, &packed);
    // Places keep the order of the shapes, so the columns of single shapes stay in theirs.
    let owners = reader.size().filter(|owners| *owners <= places.len())?;
    put_varint(&mut out, owners as u64);
    let (mut code, mut last) = (0u32, 0);
    for _ in 0..owners {
        code = code.checked_add(reader.number()?)?;
        let new = place(code.checked_sub(1)?)?;
        put_varint(&mut out, u64::from(new.checked_sub(last)?));
        last = new;
        let slots = reader.u8()?;
        out.push(slots);
        for _ in 0..slots {
            out.push(reader.u8()?);
            put_bytes(&mut out, reader.bytes()?);
        }
    }
    out.extend_from_slice(reader.0);
    Some((out, codes))
}
