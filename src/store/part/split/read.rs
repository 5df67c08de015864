//! Reading chunks of texts that are split: which shapes they have, all of them, or those of some rows.
//!
//! For some rows only the values of their shapes are unpacked; what lies between is passed over.

use super::{PACKED_VARINTS, VARINTS};
use crate::store::part::bits::Reader;
use crate::store::part::chunk::{self, CHUNK_BYTES, encoding};
use crate::store::part::packed;
use crate::store::part::shape::{CLASSES, SLOTS, Shapes};
use crate::store::source::{Chunk, Present};

fn numbers(reader: &mut Reader<'_>, count: usize) -> Option<Vec<i64>> {
    let encoded = reader.u8()?;
    let mut body = Reader(reader.bytes()?);
    let unpacked;
    match encoded {
        VARINTS => {}
        PACKED_VARINTS => {
            let size = body.size().filter(|size| *size <= count.saturating_mul(10))?;
            unpacked = packed::unpack(body.0, size)?;
            body = Reader(&unpacked);
        }
        _ => return chunk::ints(&mut body, encoded, count),
    }
    (0..count).map(|_| body.varint().map(u64::cast_signed)).collect()
}

/// As [`numbers`]; none where nobody needs them.
fn numbers_if(needed: bool, reader: &mut Reader<'_>, count: usize) -> Option<Vec<i64>> {
    if needed {
        return numbers(reader, count);
    }
    reader.u8()?;
    reader.bytes()?;
    Some(Vec::new())
}

/// Values of a class, in the order of the rows.
#[derive(Default)]
struct Lane {
    values: Vec<i64>,
    at: usize,
}

impl Lane {
    #[inline]
    fn next(&mut self) -> Option<u64> {
        let value = self.values.get(self.at)?.cast_unsigned();
        self.at += 1;
        Some(value)
    }
}

/// Values of a shape that has columns of its own.
#[derive(Clone, Copy)]
struct Own {
    /// The first of its columns.
    first: u32,
    /// Its rows so far.
    rows: u32,
}

/// Texts of a group, without the values of their shapes.
#[derive(Clone, Debug)]
pub struct Split {
    /// By row: 0 it has none, 1 it is stored as it is, else 2 and the number of its shape.
    pub codes: Vec<u32>,
    /// Ends of those that are stored as they are, in the order of their rows.
    pub ends: Vec<u32>,
    /// They, back to back.
    pub bytes: Vec<u8>,
}

fn codes(reader: &mut Reader<'_>, count: usize, total: usize, present: &Present, shapes: &Shapes) -> Option<Vec<u32>> {
    let codes = chunk::codes(&mut Reader(reader.bytes()?), encoding::CODES, count, shapes.len() + 1)?;
    Some(chunk::spread(codes, present, total))
}

/// Reads of a chunk of encoding 51, behind its presence, what takes no values.
pub fn decode_codes(reader: &mut Reader<'_>, count: usize, total: usize, present: &Present, shapes: &Shapes) -> Option<Split> {
    let codes = codes(reader, count, total, present, shapes)?;
    // In 32 bits many are compared at once.
    let stored = codes.iter().map(|code| u32::from(*code == 1)).sum::<u32>() as usize;
    for _ in 0..reader.size()? {
        reader.number()?;
        for _ in 0..reader.u8()? {
            numbers_if(false, reader, 0)?;
        }
    }
    for _ in 0..reader.u8()? {
        reader.u8()?;
        reader.size()?;
        numbers_if(false, reader, 0)?;
    }
    let encoded = reader.u8()?;
    let (ends, bytes) = chunk::text(reader, encoded, stored)?;
    Some(Split { codes, ends, bytes })
}

/// Reads a chunk of encoding 51 behind its presence: `count` texts, each in a row of `present`, of `total` rows. Where `rows` has
/// bits, the texts of those rows; the others have none.
pub fn decode(
    reader: &mut Reader<'_>,
    count: usize,
    total: usize,
    present: Present,
    shapes: &Shapes,
    rows: Option<&[u64]>,
) -> Option<Chunk> {
    let codes = codes(reader, count, total, &present, shapes)?;
    let is_wanted = |row: usize| rows.is_none_or(|words| words.get(row / 64).is_some_and(|word| word >> (row % 64) & 1 == 1));
    let mut counts = vec![0u32; shapes.len() + 2];
    codes.iter().for_each(|code| counts[*code as usize] += 1);
    let mut needed = vec![rows.is_none(); counts.len()];
    if rows.is_some() {
        codes.iter().enumerate().filter(|(row, _)| is_wanted(*row)).for_each(|(_, code)| needed[*code as usize] = true);
    }
    let needs_values = needed[2..].contains(&true);
    let owners = reader.size().filter(|owners| *owners <= shapes.len())?;
    let mut own: Vec<Option<Own>> = vec![None; if owners > 0 { counts.len() } else { 0 }];
    let mut columns: Vec<Vec<i64>> = Vec::new();
    let mut code = 0u32;
    for _ in 0..owners {
        // The codes above came with one added.
        code = code.checked_add(reader.number().filter(|gap| *gap > 0)?)?;
        let place = (code as usize).checked_add(1)?;
        let (count, first) = (*counts.get(place)? as usize, u32::try_from(columns.len()).ok()?);
        *own.get_mut(place)? = Some(Own { first, rows: 0 });
        for _ in 0..reader.u8()? {
            columns.push(numbers_if(needed[place], reader, count)?);
        }
    }
    let has_lanes = |code: usize| own.get(code).is_none_or(Option::is_none);
    let mut classes = [rows.is_none(); CLASSES];
    if rows.is_some() {
        for shape in (0..shapes.len()).filter(|shape| needed[shape + 2] && has_lanes(shape + 2)) {
            shapes.classes(shape).for_each(|class| classes[usize::from(class)] = true);
        }
    }
    let mut lanes: Vec<Lane> = Vec::new();
    lanes.resize_with(CLASSES, Lane::default);
    let mut left = count.saturating_mul(SLOTS + 1);
    for _ in 0..reader.u8()? {
        let class = usize::from(reader.u8()?);
        let count = reader.size().filter(|values| *values <= left)?;
        left -= count;
        let needed = classes.get(class).copied()?;
        lanes.get_mut(class)?.values = numbers_if(needed, reader, count)?;
    }
    let encoded = reader.u8()?;
    let (stored_ends, stored) = match needed[1] {
        true => chunk::text(reader, encoded, counts[1] as usize)?,
        false => (Vec::new(), Vec::new()),
    };
    let mut stored_ends = stored_ends.into_iter();
    let mut stored_from = 0;
    let mut kept = rows.map(|_| vec![0u64; total.div_ceil(64)]);
    let (mut ends, mut bytes) = (Vec::with_capacity(total), Vec::with_capacity(stored.len()));
    if rows.is_none() {
        bytes.reserve(count * 64);
    }
    for (row, &code) in codes.iter().enumerate() {
        let wanted = code > 0 && is_wanted(row);
        match code.checked_sub(2) {
            None if code > 0 && needed[1] => {
                let end = stored_ends.next()? as usize;
                if wanted {
                    bytes.extend_from_slice(stored.get(stored_from..end)?);
                }
                stored_from = end;
            }
            Some(shape) if needs_values => match own.get_mut(code as usize) {
                Some(Some(own)) => {
                    let mut column = own.first as usize;
                    if wanted {
                        shapes.put(&mut bytes, shape as usize, |_| {
                            column += 1;
                            columns.get(column - 1)?.get(own.rows as usize).map(|value| value.cast_unsigned())
                        })?;
                    }
                    own.rows += 1;
                }
                _ if wanted => shapes.put(&mut bytes, shape as usize, |class| lanes.get_mut(usize::from(class))?.next())?,
                _ => shapes.classes(shape as usize).for_each(|class| lanes[usize::from(class)].at += 1),
            },
            _ => {}
        }
        if let Some(word) = kept.as_mut().filter(|_| wanted).and_then(|kept| kept.get_mut(row / 64)) {
            *word |= 1 << (row % 64);
        }
        if bytes.len() > CHUNK_BYTES {
            return None;
        }
        ends.push(u32::try_from(bytes.len()).ok()?);
    }
    Some(Chunk::Text { ends, bytes, present: kept.map_or(present, Present::Some) })
}
