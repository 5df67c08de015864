//! One column of one group as bytes.
//!
//! ```text
//! chunk    = presence | body                    followed in the file by crc32c u32 over both
//! presence = 0                                  every row has a value
//!          | 1, one bit a row, padded           row r is bit r % 8 of byte r / 8
//!          | 2, count, first row, gaps - 1 …    varints; for columns few rows have
//! body, by the encoding that the group table names; k values, those of the rows that have one:
//!   1 const    zigzag value
//!   2 frame    base i64, width u8, packed value - base
//!   3 delta    unit u8 (power of ten), first i64, then for every 128 values after the first:
//!              least delta zigzag, width u8, packed delta - least           values are divided by the unit
//!   4 patched  base i64, width u8, packed low bits of value - base; count varint of those that are wider,
//!              wide u8, their places (gaps - 1, varints), packed high bits                  since version 2
//!   10 scaled  power of ten u8, encoding u8 (1-4), its body                 value = number / 10^power, exactly
//!   11 raw     k × f64 little-endian
//!   20 bits    k bits, padded
//!   30 codes   least code varint, width u8, packed code - least             numbers of dictionary entries from 0
//!   31 ranked  codes by how often they come                                since version 2, ranked.rs
//!   40 plain   encoding u8 (1-4), size varint and body of the lengths; the values back to back
//!   41 zstd    as plain; but the values' size varint, and a zstd frame of them
//!   60 fixed   strings of one form as raw bytes                             since version 2, typed.rs
//!   100 + d    strings that are numbers with d digits after the point       since version 2, typed.rs
//!   50 derived which template makes the message of the row's other fields, and the messages that none makes   derive.rs
//!   52 kept    payloads, and what their records had beside them                since version 2, payload.rs
//!   51 split   which shape a text has, and what differs in it               since version 2, split.rs
//! ```
//! Times, offsets and n are columns of whole numbers like any other.
//! Limits: 8,192 values a chunk; [`CHUNK_BYTES`] of text.

use super::bits::{Reader, pack, packed_len, put_bytes, put_varint, put_zigzag, unpack, unpack_u32, width_of};
use super::packed;
use crate::store::group::GROUP_ROWS;
use crate::store::source::Present;

/// Most bytes of text in one chunk that a reader unpacks.
pub const CHUNK_BYTES: usize = 256 << 20;
/// Values that share a width in a delta chunk.
const MINIBLOCK: usize = 128;
/// Largest power of ten that decimals are scaled by.
const MOST_SCALE: u8 = 15;
/// Powers of ten; all exact, so that a reader on any machine divides by the same.
const POWERS: [f64; 16] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

/// How a body is written.
pub mod encoding {
    /// One value for all.
    pub const CONST: u8 = 1;
    /// Frame of reference.
    pub const FRAME: u8 = 2;
    /// Deltas.
    pub const DELTA: u8 = 3;
    /// Frame of reference of most values, and the rest of the others.
    pub const PATCHED: u8 = 4;
    /// Decimals as whole numbers.
    pub const SCALED: u8 = 10;
    /// Decimals as they are.
    pub const RAW: u8 = 11;
    /// Yes or no.
    pub const BITS: u8 = 20;
    /// Dictionary entries.
    pub const CODES: u8 = 30;
    /// Dictionary entries, the frequent ones in fewer bits.
    pub const RANKED: u8 = 31;
    /// Text as it is.
    pub const PLAIN: u8 = 40;
    /// Text, compressed.
    pub const ZSTD: u8 = 41;
    /// Messages that templates make.
    pub const DERIVED: u8 = 50;
    /// Texts as shapes and values.
    pub const SPLIT: u8 = 51;
    /// Payloads with envelopes.
    pub const KEPT: u8 = 52;
    /// Strings of one form.
    pub const FIXED: u8 = 60;
    /// Strings that are whole numbers; with a digit more after the point each, the next.
    pub const NUMBER: u8 = 100;
}

/// The values of the rows that have one, for a group of `total` rows.
#[derive(Clone, Debug, Default)]
pub struct Dense<T> {
    /// Rows of the group.
    pub total: usize,
    /// The rows that have a value, ascending.
    pub rows: Vec<u16>,
    /// Their values.
    pub values: Vec<T>,
}

impl<T> Dense<T> {
    /// Makes room for so many more values, and no more: groups of a dictionary stand in memory all at once.
    pub fn reserve(&mut self, values: usize) {
        self.rows.reserve_exact(values);
        self.values.reserve_exact(values);
    }
}

/// Appends which rows have a value.
pub fn put_presence(out: &mut Vec<u8>, rows: &[u16], total: usize) {
    if rows.len() == total {
        out.push(0);
    } else if rows.len() * 12 >= total {
        out.push(1);
        let start = out.len();
        out.resize(start + total.div_ceil(8), 0);
        for row in rows {
            out[start + usize::from(*row) / 8] |= 1 << (row % 8);
        }
    } else {
        out.push(2);
        put_varint(out, rows.len() as u64);
        let mut next = 0;
        for row in rows {
            put_varint(out, u64::from(*row) - next);
            next = u64::from(*row) + 1;
        }
    }
}

/// Reads which of `total` rows have a value, and how many.
pub fn presence(reader: &mut Reader<'_>, total: usize) -> Option<(Present, usize)> {
    if total > GROUP_ROWS {
        return None;
    }
    match reader.u8()? {
        0 => Some((Present::All, total)),
        1 => {
            let bytes = reader.take(total.div_ceil(8))?;
            let mut words = vec![0u64; total.div_ceil(64)];
            for (at, byte) in bytes.iter().enumerate() {
                words[at / 8] |= u64::from(*byte) << (at % 8 * 8);
            }
            if let (Some(last), rest @ 1..) = (words.last_mut(), total % 64) {
                *last &= u64::MAX >> (64 - rest);
            }
            let count = words.iter().map(|word| word.count_ones() as usize).sum();
            Some((Present::Some(words), count))
        }
        2 => {
            let count = reader.size().filter(|count| *count <= total)?;
            let mut words = vec![0u64; total.div_ceil(64)];
            let mut next = 0usize;
            for _ in 0..count {
                let row = next.checked_add(reader.size()?).filter(|row| *row < total)?;
                words[row / 64] |= 1 << (row % 64);
                next = row + 1;
            }
            Some((Present::Some(words), count))
        }
        _ => None,
    }
}

/// Puts `k` values where they belong among `total` rows.
pub fn spread<T: Copy + Default>(values: Vec<T>, present: &Present, total: usize) -> Vec<T> {
    let Present::Some(words) = present else { return values };
    let mut all = vec![T::default(); total];
    let mut values = values.into_iter();
    for (at, word) in words.iter().enumerate() {
        let mut rest = *word;
        while rest != 0 {
            let row = at * 64 + rest.trailing_zeros() as usize;
            if let (Some(place), Some(value)) = (all.get_mut(row), values.next()) {
                *place = value;
            }
            rest &= rest - 1;
        }
    }
    all
}

/// Ends of values as ends of rows: a row without a value ends where the one before it does.
pub fn spread_ends(ends: Vec<u32>, present: &Present, total: usize) -> Vec<u32> {
    if matches!(present, Present::All) {
        return ends;
    }
    let mut ends = ends.into_iter();
    let mut end = 0;
    let next = |row| {
        if present.has(row) {
            end = ends.next().unwrap_or(end);
        }
        end
    };
    (0..total).map(next).collect()
}

/// Appends whole numbers in the smallest of their encodings, and says which.
pub fn put_ints(out: &mut Vec<u8>, values: &[i64]) -> u8 {
    let least = values.iter().min().copied().unwrap_or(0);
    let greatest = values.iter().max().copied().unwrap_or(0);
    if least == greatest {
        put_zigzag(out, least);
        return encoding::CONST;
    }
    let width = width_of(greatest.wrapping_sub(least).cast_unsigned());
    let (low, size) = patched_width(values, least, width).unzip();
    let framed = 9 + size.unwrap_or_else(|| packed_len(values.len(), width));
    // Deltas can only win where neighbours are nearer to each other than the whole is wide.
    let nearest: u64 = values.windows(2).take(256).map(|two| two[1].abs_diff(two[0])).max().unwrap_or(0);
    if width > 10 && width_of(nearest) < width {
        let start = out.len();
        put_deltas(out, values);
        if out.len() - start < framed {
            return encoding::DELTA;
        }
        out.truncate(start);
    }
    if let Some(low) = low {
        put_patched(out, values, least, low);
        return encoding::PATCHED;
    }
    out.extend_from_slice(&least.to_le_bytes());
    out.push(width);
    pack(out, values.iter().map(|value| value.wrapping_sub(least).cast_unsigned()), width);
    encoding::FRAME
}

/// The width with which most values are packed if a few that are wider are patched, where that is a tenth smaller; and about
/// how many bytes that takes.
fn patched_width(values: &[i64], least: i64, width: u8) -> Option<(u8, usize)> {
    let mut of_width = [0usize; 65];
    for value in values {
        of_width[usize::from(width_of(value.wrapping_sub(least).cast_unsigned()))] += 1;
    }
    let plain = packed_len(values.len(), width);
    let mut best = (plain - plain / 10, None);
    let mut wider = 0;
    for low in (0..width).rev() {
        wider += of_width[usize::from(low) + 1];
        // A place takes a byte or two.
        let size = packed_len(values.len(), low) + 3 + wider * 5 / 4 + packed_len(wider, width - low);
        if size < best.0 {
            best = (size, Some((low, size)));
        }
    }
    best.1
}

fn put_patched(out: &mut Vec<u8>, values: &[i64], least: i64, low: u8) {
    let above = |value: &i64| value.wrapping_sub(least).cast_unsigned();
    out.extend_from_slice(&least.to_le_bytes());
    out.push(low);
    let mask = (1u64 << low) - 1;
    pack(out, values.iter().map(|value| above(value) & mask), low);
    let wider: Vec<(usize, u64)> =
        values.iter().enumerate().map(|(at, value)| (at, above(value) >> low)).filter(|(_, high)| *high > 0).collect();
    let wide = width_of(wider.iter().map(|(_, high)| *high).max().unwrap_or(0));
    put_varint(out, wider.len() as u64);
    out.push(wide);
    let mut next = 0;
    for (at, _) in &wider {
        put_varint(out, (at - next) as u64);
        next = at + 1;
    }
    pack(out, wider.iter().map(|(_, high)| *high), wide);
}

fn patched(reader: &mut Reader<'_>, count: usize) -> Option<Vec<i64>> {
    let base = reader.u64()?.cast_signed();
    let low = reader.u8().filter(|low| *low < 64)?;
    let bytes = reader.take(packed_len(count, low))?;
    let mut values = Vec::with_capacity(count);
    unpack(bytes, count, low, |block| values.extend(block.iter().map(|value| base.wrapping_add(value.cast_signed()))))?;
    let wider = reader.size().filter(|wider| *wider <= count)?;
    let wide = reader.u8().filter(|wide| *wide <= 64 - low)?;
    let mut places = Vec::with_capacity(wider);
    let mut next = 0usize;
    for _ in 0..wider {
        let place = next.checked_add(reader.size()?).filter(|place| *place < count)?;
        places.push(place);
        next = place + 1;
    }
    let bytes = reader.take(packed_len(wider, wide))?;
    let mut places = places.into_iter();
    unpack(bytes, wider, wide, |block| {
        for (high, place) in block.iter().zip(&mut places) {
            if let Some(value) = values.get_mut(place) {
                *value = value.wrapping_add((high << low).cast_signed());
            }
        }
    })?;
    Some(values)
}

fn put_deltas(out: &mut Vec<u8>, values: &[i64]) {
    let unit = [9u8, 6, 3].into_iter().find(|power| {
        let unit = 10i64.pow(u32::from(*power));
        values.iter().all(|value| value % unit == 0)
    });
    let unit = unit.unwrap_or(0);
    let divisor = 10i64.pow(u32::from(unit));
    let scaled: Vec<i64> = if unit == 0 { values.to_vec() } else { values.iter().map(|value| value / divisor).collect() };
    out.push(unit);
    out.extend_from_slice(&scaled.first().copied().unwrap_or(0).to_le_bytes());
    let deltas: Vec<i64> = scaled.windows(2).map(|two| two[1].wrapping_sub(two[0])).collect();
    for block in deltas.chunks(MINIBLOCK) {
        let least = block.iter().min().copied().unwrap_or(0);
        let widest = block.iter().map(|delta| delta.wrapping_sub(least).cast_unsigned()).max().unwrap_or(0);
        let width = width_of(widest);
        put_zigzag(out, least);
        out.push(width);
        pack(out, block.iter().map(|delta| delta.wrapping_sub(least).cast_unsigned()), width);
    }
}

/// Reads `count` whole numbers.
pub fn ints(reader: &mut Reader<'_>, encoded: u8, count: usize) -> Option<Vec<i64>> {
    match encoded {
        encoding::CONST => Some(vec![reader.zigzag()?; count]),
        encoding::FRAME => {
            let base = reader.u64()?.cast_signed();
            let width = reader.u8().filter(|width| *width <= 64)?;
            let bytes = reader.take(packed_len(count, width))?;
            let mut values = Vec::with_capacity(count);
            unpack(bytes, count, width, |block| {
                values.extend(block.iter().map(|value| base.wrapping_add(value.cast_signed())))
            })?;
            Some(values)
        }
        encoding::DELTA => {
            let unit = 10i64.checked_pow(u32::from(reader.u8().filter(|unit| *unit <= 9)?))?;
            let mut value = reader.u64()?.cast_signed();
            let mut values = Vec::with_capacity(count);
            values.extend((count > 0).then(|| value.wrapping_mul(unit)));
            while values.len() < count {
                let run = (count - values.len()).min(MINIBLOCK);
                let least = reader.zigzag()?;
                let width = reader.u8().filter(|width| *width <= 64)?;
                let bytes = reader.take(packed_len(run, width))?;
                unpack(bytes, run, width, |block| {
                    values.extend(block.iter().map(|delta| {
                        value = value.wrapping_add(least).wrapping_add(delta.cast_signed());
                        value.wrapping_mul(unit)
                    }));
                })?;
            }
            Some(values)
        }
        encoding::PATCHED => patched(reader, count),
        _ => None,
    }
}

/// Appends decimals, scaled to whole numbers if every one comes back bit for bit.
pub fn put_floats(out: &mut Vec<u8>, values: &[f64]) -> u8 {
    if let Some((power, scaled)) = scaled(values) {
        out.push(power);
        let tag = out.len();
        out.push(0);
        out[tag] = put_ints(out, &scaled);
        return encoding::SCALED;
    }
    for value in values {
        out.extend_from_slice(&value.to_le_bytes());
    }
    encoding::RAW
}

fn scaled(values: &[f64]) -> Option<(u8, Vec<i64>)> {
    let exact = |value: f64, power: u8| {
        let number = (value * POWERS[usize::from(power)]).round();
        #[allow(clippy::cast_possible_truncation)] // below 2^53 by the filter
        let whole = Some(number).filter(|number| number.abs() < 9.0e15).map(|number| number as i64)?;
        (unscaled(whole, power).to_bits() == value.to_bits()).then_some(whole)
    };
    let mut power = 0;
    for value in values {
        while exact(*value, power).is_none() {
            power += 1;
            if power > MOST_SCALE {
                return None;
            }
        }
    }
    let numbers = values.iter().map(|value| exact(*value, power)).collect::<Option<Vec<i64>>>()?;
    Some((power, numbers))
}

#[allow(clippy::cast_precision_loss)] // below 2^53
fn unscaled(whole: i64, power: u8) -> f64 {
    whole as f64 / POWERS[usize::from(power)]
}

/// Reads `count` decimals.
pub fn floats(reader: &mut Reader<'_>, encoded: u8, count: usize) -> Option<Vec<f64>> {
    match encoded {
        encoding::SCALED => {
            let power = reader.u8().filter(|power| *power <= MOST_SCALE)?;
            let inner = reader.u8()?;
            Some(ints(reader, inner, count)?.into_iter().map(|whole| unscaled(whole, power)).collect())
        }
        encoding::RAW => {
            let bytes = reader.take(count.checked_mul(8)?)?;
            Some(bytes.chunks_exact(8).filter_map(|eight| Some(f64::from_le_bytes(eight.try_into().ok()?))).collect())
        }
        _ => None,
    }
}

/// Appends bits.
pub fn put_bools(out: &mut Vec<u8>, values: &[bool]) -> u8 {
    pack(out, values.iter().map(|value| u64::from(*value)), 1);
    encoding::BITS
}

/// Reads `count` bits.
pub fn bools(reader: &mut Reader<'_>, encoded: u8, count: usize) -> Option<Vec<bool>> {
    if encoded != encoding::BITS {
        return None;
    }
    let mut values = Vec::with_capacity(count);
    unpack(reader.take(packed_len(count, 1))?, count, 1, |block| values.extend(block.iter().map(|bit| *bit == 1)))?;
    Some(values)
}

/// Appends dictionary codes.
pub fn put_codes(out: &mut Vec<u8>, codes: &[u32]) -> u8 {
    let least = codes.iter().min().copied().unwrap_or(0);
    let width = width_of(u64::from(codes.iter().max().copied().unwrap_or(0) - least));
    put_varint(out, u64::from(least));
    out.push(width);
    pack(out, codes.iter().map(|code| u64::from(code - least)), width);
    encoding::CODES
}

/// Reads `count` dictionary codes, each below `entries`, and adds one to each.
pub fn codes(reader: &mut Reader<'_>, encoded: u8, count: usize, entries: usize) -> Option<Vec<u32>> {
    if encoded != encoding::CODES {
        return None;
    }
    let base = reader.varint()?;
    let width = reader.u8().filter(|width| *width <= 32)?;
    let mut codes = unpack_u32(reader.take(packed_len(count, width))?, count, width)?;
    let first = u32::try_from(base.checked_add(1)?).ok()?;
    let mut greatest = 0;
    for code in &mut codes {
        greatest = greatest.max(*code);
        *code = code.wrapping_add(first);
    }
    let fits = (entries as u64).checked_sub(base).is_some_and(|most| u64::from(greatest) < most);
    (fits || codes.is_empty()).then_some(codes)
}

/// Appends strings, given by their ends, compressed where that helps.
pub fn put_text(out: &mut Vec<u8>, ends: &[u32], bytes: &[u8], zstd: &mut zstd::bulk::Compressor<'_>) -> u8 {
    let lengths: Vec<i64> = ends.iter().scan(0, |last, end| Some(i64::from(*end - std::mem::replace(last, *end)))).collect();
    let mut body = Vec::new();
    out.push(put_ints(&mut body, &lengths));
    put_bytes(out, &body);
    // A tiny text is not worth a frame, and what does not shrink by an eighth is not worth unpacking.
    if bytes.len() > 64
        && let Ok(frame) = zstd.compress(bytes)
        && frame.len() < bytes.len() - bytes.len() / 8
    {
        put_varint(out, bytes.len() as u64);
        out.extend_from_slice(&frame);
        return encoding::ZSTD;
    }
    out.extend_from_slice(bytes);
    encoding::PLAIN
}

/// Reads `count` strings: their ends, and the bytes.
pub fn text(reader: &mut Reader<'_>, encoded: u8, count: usize) -> Option<(Vec<u32>, Vec<u8>)> {
    let inner = reader.u8()?;
    let lengths = ints(&mut Reader(reader.bytes()?), inner, count)?;
    let mut ends = Vec::with_capacity(count);
    let mut end = 0u32;
    for length in lengths {
        end = end.checked_add(u32::try_from(length).ok()?)?;
        ends.push(end);
    }
    let bytes = match encoded {
        encoding::PLAIN => reader.0.to_vec(),
        encoding::ZSTD => {
            let size = reader.size().filter(|size| *size <= CHUNK_BYTES)?;
            packed::unpack(reader.0, size)?
        }
        _ => return None,
    };
    (bytes.len() == end as usize).then_some((ends, bytes))
}
