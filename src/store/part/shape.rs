//! Shapes of free text: what stays the same in messages that one line of a program wrote, and where they differ.
//!
//! ```text
//! shape = text, in which 0 and a class u8 stand for a value:
//!   1-18     so many digits
//!   19       one to eighteen digits                                  as a number: all shorter ones first, then by value
//!   20       an IPv4 address, written as everybody does
//!   33-48    so many of 0-9a-f, less 32          65-80   so many of 0-9A-F, less 64
//! ```
//! A text is cut at its numbers, addresses and identifiers; writing the values into the shape gives the text byte for byte, for
//! a class holds how long a value is written. A text with a 0 in it, or too many values, has no shape.
//! Two ways to cut, of which a part takes the better ([`Cut`]): digits are often what tells one line from another (`jk2_init`,
//! `error state 6`), and as often what differs in every row (a clock).

use std::ops::Range;

/// Says in a shape that a value stands here.
pub const MARK: u8 = 0;
/// One to eighteen digits.
pub const NUMBER: u8 = 19;
const ADDRESS: u8 = 20;
const LOWER: u8 = 32;
const UPPER: u8 = 64;
/// Classes are below this.
pub const CLASSES: usize = 81;
/// Most digits that one value holds.
const DIGITS: usize = 18;
/// Most hexadecimal digits.
const NIBBLES: usize = 16;
/// Shorter words of hexadecimal digits are words.
const LEAST_HEX: usize = 8;
/// Most values of a shape.
pub const SLOTS: usize = 96;
/// Longer texts have no shape.
const LONGEST: usize = 8 << 10;
const PAIRS: &[u8; 200] =
    b"0001020304050607080910111213141516171819202122232425262728293031323334353637383940414243444546474849\
5051525354555657585960616263646566676869707172737475767778798081828384858687888990919293949596979899";

/// Which digits are values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Three or more together; how many is part of the shape.
    Long,
    /// All of them.
    Every,
}

/// A value: its class, and its bits.
pub type Slot = (u8, u64);

/// Cuts texts, one after the other.
#[derive(Debug)]
pub struct Cutter {
    cut: Cut,
    /// Of the last text.
    pub shape: Vec<u8>,
    /// Of the last text, in order.
    pub slots: Vec<Slot>,
    /// Up to where the text at hand is in the shape.
    done: usize,
}

/// What a word is made of, beside digits.
struct Word {
    lower: bool,
    upper: bool,
    other: bool,
}

/// A bit for what a byte is in a word; as [`Word`] tells them apart.
const MADE_OF: [u8; 256] = {
    let mut table = [4; 256];
    let mut at = 0;
    while at < 256 {
        #[allow(clippy::cast_possible_truncation)] // of 256 numbers
        match at as u8 {
            b'0'..=b'9' => table[at] = 0,
            b'a'..=b'f' => table[at] = 1,
            b'A'..=b'F' => table[at] = 2,
            _ => {}
        }
        at += 1;
    }
    table
};

impl Word {
    fn of(word: &[u8]) -> Self {
        let made = word.iter().fold(0, |made, byte| made | MADE_OF[usize::from(*byte)]);
        Self { lower: made & 1 > 0, upper: made & 2 > 0, other: made & 4 > 0 }
    }

    /// The class that so many of these hexadecimal digits have, less how many.
    fn hex(&self) -> Option<u8> {
        match (self.other, self.lower, self.upper) {
            (true, ..) | (_, true, true) => None,
            (_, _, true) => Some(UPPER),
            _ => Some(LOWER),
        }
    }
}

impl Cutter {
    /// One that cuts so.
    pub fn new(cut: Cut) -> Self {
        Self { cut, shape: Vec::new(), slots: Vec::new(), done: 0 }
    }

    /// Cuts a text into [`Self::shape`] and [`Self::slots`]; whether it has a shape.
    pub fn cut(&mut self, text: &[u8]) -> bool {
        self.shape.clear();
        self.slots.clear();
        self.done = 0;
        if text.len() > LONGEST || memchr::memchr(MARK, text).is_some() {
            return false;
        }
        let mut at = 0;
        while let Some(found) = find_digit(&text[at..]) {
            let found = at + found;
            let before = text[self.done..found].iter().rev().take_while(|byte| byte.is_ascii_alphanumeric()).count();
            let from = found - before;
            let to = found + text[found..].iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
            at = self.word(text, from, to);
            if self.slots.len() >= SLOTS {
                return false;
            }
        }
        self.shape.extend_from_slice(&text[self.done..]);
        true
    }

    /// Takes a word that has digits; up to where the text is looked at then.
    fn word(&mut self, text: &[u8], from: usize, to: usize) -> usize {
        let word = &text[from..to];
        let made = Word::of(word);
        let is_number = !made.lower && !made.upper && !made.other;
        if is_number && let Some((address, end)) = address(text, from) {
            self.slot(text, from, end, (ADDRESS, u64::from(address)));
            return end;
        }
        if let Some(end) = uuid(text, from, to) {
            for (start, length) in [(0, 8), (9, 4), (14, 4), (19, 4), (24, 12)] {
                self.hex(text, from + start, from + start + length);
            }
            return end;
        }
        if word.len() > 2 && word.starts_with(b"0x") && Word::of(&word[2..]).hex().is_some() {
            self.hex(text, from + 2, to);
        } else if !is_number && word.len() >= LEAST_HEX && made.hex().is_some() {
            self.hex(text, from, to);
        } else {
            self.digits(text, from, to);
        }
        to
    }

    fn slot(&mut self, text: &[u8], from: usize, to: usize, slot: Slot) {
        self.shape.extend_from_slice(&text[self.done..from]);
        self.shape.extend_from_slice(&[MARK, slot.0]);
        self.slots.push(slot);
        self.done = to;
    }

    fn hex(&mut self, text: &[u8], mut from: usize, to: usize) {
        while from < to {
            let end = (from + NIBBLES).min(to);
            let part = &text[from..end];
            // A word that is lower case may have parts that are digits alone.
            let base = Word::of(&text[from..to]).hex().unwrap_or(LOWER);
            let value = part.iter().fold(0, |value, byte| value << 4 | u64::from(nibble(*byte)));
            self.slot(text, from, end, (base + u8::try_from(part.len()).unwrap_or(0), value));
            from = end;
        }
    }

    /// The digits of a word.
    fn digits(&mut self, text: &[u8], mut from: usize, to: usize) {
        while let Some(found) = text[from..to].iter().position(u8::is_ascii_digit) {
            let start = from + found;
            let end = start + text[start..to].iter().take_while(|byte| byte.is_ascii_digit()).count();
            from = end;
            if self.cut == Cut::Long && end - start < 3 {
                continue;
            }
            let mut start = start;
            while start < end {
                let part = &text[start..end.min(start + DIGITS)];
                let value = part.iter().fold(0, |value, byte| value * 10 + u64::from(byte - b'0'));
                let length = u8::try_from(part.len()).unwrap_or(0);
                let slot = match self.cut {
                    Cut::Long => (length, value),
                    Cut::Every => (NUMBER, value + shorter(length)),
                };
                self.slot(text, start, start + part.len(), slot);
                start += part.len();
            }
        }
    }
}

/// Where the first digit is. Eight bytes at a time: most of a text is none.
#[inline]
fn find_digit(text: &[u8]) -> Option<usize> {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let (words, tail) = text.as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        // 0 to 9 where there is a digit; then the top bit says of each byte that it is more.
        let value = u64::from_le_bytes(*word) ^ (EACH * u64::from(b'0'));
        let others = ((value & (EACH * 0x7f)) + EACH * (0x80 - 10)) | value;
        let digits = !others & (EACH * 0x80);
        if digits != 0 {
            return Some(at * 8 + digits.trailing_zeros() as usize / 8);
        }
    }
    tail.iter().position(u8::is_ascii_digit).map(|at| words.len() * 8 + at)
}

fn nibble(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => byte - b'0',
        b'a'..=b'f' => byte - b'a' + 10,
        b'A'..=b'F' => byte - b'A' + 10,
        _ => 0,
    }
}

/// How many strings of digits are shorter than this.
fn shorter(length: u8) -> u64 {
    (10u64.pow(u32::from(length.min(18))) - 10) / 9
}

/// An address that begins here and is written without needless zeros: it, and where it ends.
fn address(text: &[u8], from: usize) -> Option<(u32, usize)> {
    if from > 0 && text[from - 1] == b'.' {
        return None;
    }
    let (mut at, mut all) = (from, 0u32);
    for part in 0..4 {
        if part > 0 {
            at += usize::from(text.get(at) == Some(&b'.'));
        }
        let length = text[at..].iter().take(4).take_while(|byte| byte.is_ascii_digit()).count();
        let digits = &text[at..at + length];
        if !(1..=3).contains(&length) || (length > 1 && digits[0] == b'0') {
            return None;
        }
        let value = digits.iter().fold(0, |value, byte| value * 10 + u32::from(byte - b'0'));
        if value > 255 || (part > 0 && text[at - 1] != b'.') {
            return None;
        }
        all = all << 8 | value;
        at += length;
    }
    let goes_on = match text.get(at) {
        Some(b'.') => text.get(at + 1).is_some_and(u8::is_ascii_digit),
        Some(byte) => byte.is_ascii_alphanumeric(),
        None => false,
    };
    (!goes_on).then_some((all, at))
}

/// Where a UUID ends whose first word this is.
fn uuid(text: &[u8], from: usize, to: usize) -> Option<usize> {
    if to - from != 8 || text.get(to) != Some(&b'-') {
        return None;
    }
    let all = text.get(from..from + 36)?;
    let is_odd = |(at, byte): (usize, &u8)| match at {
        8 | 13 | 18 | 23 => *byte != b'-',
        _ => !byte.is_ascii_hexdigit(),
    };
    let mixed = Word::of(all);
    let ends = text.get(from + 36).is_none_or(|byte| !byte.is_ascii_alphanumeric());
    (ends && !(mixed.lower && mixed.upper) && !all.iter().enumerate().any(is_odd)).then_some(from + 36)
}

/// What the values of a class are written with, the fewest and the most bytes of one. The first and the last are of a word.
pub fn spelling(class: u8) -> (&'static [u8], usize, usize) {
    let length = |base: u8| usize::from(class.saturating_sub(base));
    match class {
        ..NUMBER => (b"0123456789", length(0), length(0)),
        NUMBER => (b"0123456789", 1, DIGITS),
        ADDRESS => (b"0123456789.", 7, 15),
        _ if class <= UPPER => (b"0123456789abcdef", length(LOWER), length(LOWER)),
        _ => (b"0123456789ABCDEF", length(UPPER), length(UPPER)),
    }
}

/// Writes a value as it stood.
#[inline]
pub fn put(out: &mut Vec<u8>, class: u8, value: u64) {
    match class {
        1..=18 => put_digits(out, usize::from(class), value),
        NUMBER => {
            let mut length = 1u8;
            while length < 18 && value >= shorter(length + 1) {
                length += 1;
            }
            put_digits(out, usize::from(length), value.saturating_sub(shorter(length)));
        }
        ADDRESS => {
            for (at, part) in value.to_be_bytes()[4..].iter().enumerate() {
                if at > 0 {
                    out.push(b'.');
                }
                let length = 1 + usize::from(*part > 9) + usize::from(*part > 99);
                put_digits(out, length, u64::from(*part));
            }
        }
        _ => {
            let (table, length) = match class.checked_sub(UPPER) {
                Some(length) => (b"0123456789ABCDEF", length),
                None => (b"0123456789abcdef", class.saturating_sub(LOWER)),
            };
            let mut text = [0; NIBBLES];
            let mut rest = value;
            for place in text.iter_mut().rev() {
                *place = table[(rest & 15) as usize];
                rest >>= 4;
            }
            out.extend_from_slice(&text[NIBBLES - usize::from(length).min(NIBBLES)..]);
        }
    }
}

#[inline]
fn put_digits(out: &mut Vec<u8>, length: usize, mut value: u64) {
    let mut text = [b'0'; DIGITS + 2];
    let mut at = text.len();
    while value > 0 && at >= 2 {
        let pair = (value % 100) as usize * 2;
        value /= 100;
        at -= 2;
        text[at..at + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
    }
    out.extend_from_slice(&text[text.len() - length.min(DIGITS)..]);
}

/// Shapes, ready to have values written into them.
#[derive(Debug, Default)]
pub struct Shapes {
    /// What stands between values, back to back.
    text: Vec<u8>,
    /// Up to where in `text`, and the class of the value behind it; 0: the shape ends.
    pieces: Vec<(u32, u8)>,
    /// Where each shape begins: in `pieces`, in `text`.
    starts: Vec<(u32, u32)>,
}

impl Shapes {
    /// Reads shapes; `None` where they are not.
    pub fn read<'a>(shapes: impl Iterator<Item = &'a [u8]>) -> Option<Self> {
        let mut all = Self::default();
        for shape in shapes {
            all.push(shape)?;
        }
        Some(all)
    }

    /// Makes room for so many, which have so many bytes.
    pub fn reserve(&mut self, shapes: usize, bytes: usize) {
        self.starts.reserve(shapes);
        self.text.reserve(bytes);
    }

    /// Adds one; `None` where it is none.
    pub fn push(&mut self, shape: &[u8]) -> Option<()> {
        self.starts.push((u32::try_from(self.pieces.len()).ok()?, u32::try_from(self.text.len()).ok()?));
        let mut rest = shape;
        while let Some(at) = memchr::memchr(MARK, rest) {
            self.text.extend_from_slice(&rest[..at]);
            let class = *rest.get(at + 1)?;
            if !is_class(class) {
                return None;
            }
            self.pieces.push((u32::try_from(self.text.len()).ok()?, class));
            rest = &rest[at + 2..];
        }
        self.text.extend_from_slice(rest);
        self.pieces.push((u32::try_from(self.text.len()).ok()?, 0));
        Some(())
    }

    /// How many.
    #[allow(clippy::len_without_is_empty)] // a column that has shapes has some
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// Memory it takes.
    pub fn bytes(&self) -> usize {
        self.text.len() + self.pieces.len() * 8 + self.starts.len() * 8
    }

    /// What stands in all of them between values, back to back.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// The pieces of a shape: where in [`Self::text`], and the class of the value behind it; 0: the shape ends.
    pub fn pieces(&self, shape: usize) -> impl Iterator<Item = (Range<usize>, u8)> + '_ {
        let (piece, mut from) = self.starts.get(shape).map_or((usize::MAX, 0), |start| (start.0 as usize, start.1 as usize));
        let mut over = false;
        self.pieces.get(piece..).unwrap_or(&[]).iter().map_while(move |(end, class)| {
            let end = *end as usize;
            let text = std::mem::replace(&mut from, end)..end;
            (!std::mem::replace(&mut over, *class == 0)).then_some((text, *class))
        })
    }

    /// The classes of a shape's values.
    #[inline]
    pub fn classes(&self, shape: usize) -> impl Iterator<Item = u8> + '_ {
        let first = self.starts.get(shape).map_or(usize::MAX, |start| start.0 as usize);
        let pieces = self.pieces.get(first..).unwrap_or(&[]);
        pieces.iter().map(|(_, class)| *class).take_while(|class| *class != 0)
    }

    /// Writes a shape with the values that `next` gives by class.
    #[inline]
    pub fn put(&self, out: &mut Vec<u8>, shape: usize, mut next: impl FnMut(u8) -> Option<u64>) -> Option<()> {
        let (piece, text) = *self.starts.get(shape)?;
        let mut from = text as usize;
        for (end, class) in self.pieces.get(piece as usize..)? {
            let end = *end as usize;
            out.extend_from_slice(self.text.get(from..end)?);
            if *class == 0 {
                return Some(());
            }
            put(out, *class, next(*class)?);
            from = end;
        }
        None
    }
}

fn is_class(class: u8) -> bool {
    matches!(class, 1..=20 | 33..=48 | 65..=80)
}

/// Bits that a value of a class takes, about.
pub fn bits(class: u8, value: u64) -> usize {
    match class {
        NUMBER => (64 - value.leading_zeros() as usize).div_ceil(7) * 8,
        ADDRESS => 32,
        1..=18 => (usize::from(class) * 10).div_ceil(3),
        _ => usize::from(class % 32) * 4,
    }
}

#[cfg(test)]
mod tests;
