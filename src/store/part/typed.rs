//! Strings that are numbers, addresses or identifiers, as bytes: chunks of the encodings 60 and 100 to 118.
//!
//! ```text
//! body of 60:       form u8 (0 UUID, 1 IPv4, 2 hexadecimal, then its bytes a value u8), inner u8, and k values:
//!                   inner 0: raw bytes, back to back; else as whole numbers of that encoding (1-4), most significant byte first
//! body of 100 + d:  encoding u8 (1-4), its body: k whole numbers, each the string without its point
//! ```
//! What a string is is found value by value (`store/typed.rs`); only what is written again byte for byte is kept like this.
//! The group table has the least and greatest of numbers.

use super::bits::Reader;
use super::chunk::{self, encoding};
use crate::store::source::{Chunk, Form, Present};
use crate::store::typed::{MOST_DIGITS, number};

/// Values of these many bytes may be packed as whole numbers.
const AS_NUMBERS: usize = 8;
/// Most bytes of a value.
const MOST_WIDTH: usize = 64;

/// What the strings of a chunk are, or most of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Numbers with so many digits after the point.
    Number(u8),
    /// Of this form.
    Fixed(Form),
}

impl Class {
    /// What most of some strings are, and how many of them.
    pub fn of_most<'a>(texts: impl Iterator<Item = &'a [u8]> + Clone) -> Option<(Self, usize)> {
        let mut votes: Vec<(Self, usize)> = Vec::new();
        for text in texts.clone() {
            let form = Form::of(text).map(Self::Fixed);
            let number = number(text).map(|(_, digits)| Self::Number(digits));
            for class in [form, number].into_iter().flatten() {
                match votes.iter().position(|(own, _)| *own == class) {
                    Some(at) => votes[at].1 += 1,
                    None if votes.len() < 64 => votes.push((class, 1)),
                    None => {}
                }
            }
        }
        // Of two that hold as many, the number: it is smaller, and can be added up.
        votes.into_iter().max_by_key(|(class, count)| (*count, matches!(class, Self::Number(_))))
    }
}

/// Values of a group, as they are taken.
#[derive(Debug)]
pub enum Values {
    /// Numbers.
    Number(u8, Vec<i64>),
    /// Raw bytes.
    Fixed(Form, Vec<u8>),
}

impl Values {
    /// None yet.
    pub fn new(class: Class) -> Self {
        match class {
            Class::Number(digits) => Self::Number(digits, Vec::new()),
            Class::Fixed(form) => Self::Fixed(form, Vec::new()),
        }
    }

    /// Forgets those that were taken.
    pub fn clear(&mut self) {
        match self {
            Self::Number(_, values) => values.clear(),
            Self::Fixed(_, bytes) => bytes.clear(),
        }
    }

    /// Takes a string; says no where it is something else.
    pub fn take(&mut self, text: &[u8]) -> bool {
        match self {
            Self::Number(digits, values) => match number(text) {
                Some((value, own)) if own == *digits => {
                    values.push(value);
                    true
                }
                _ => false,
            },
            Self::Fixed(form, bytes) => form.put_raw(bytes, text),
        }
    }

    /// Least and greatest, of numbers.
    pub fn bounds(&self) -> Option<(i64, i64)> {
        match self {
            Self::Number(_, values) => Some((*values.iter().min()?, *values.iter().max()?)),
            Self::Fixed(..) => None,
        }
    }

    /// Appends them, and says how.
    pub fn put(&self, out: &mut Vec<u8>) -> u8 {
        match self {
            Self::Number(digits, values) => {
                let tag = out.len();
                out.push(0);
                out[tag] = chunk::put_ints(out, values);
                encoding::NUMBER + digits
            }
            Self::Fixed(form, bytes) => {
                match form {
                    Form::Uuid => out.push(0),
                    Form::Ipv4 => out.push(1),
                    Form::Hex { width } => out.extend_from_slice(&[2, *width]),
                }
                let tag = out.len();
                out.push(0);
                if form.width() <= AS_NUMBERS {
                    out[tag] = chunk::put_ints(out, &as_ints(bytes, form.width()));
                    if out.len() - tag - 1 + bytes.len() / 16 < bytes.len() {
                        return encoding::FIXED;
                    }
                    out.truncate(tag);
                    out.push(0);
                }
                out.extend_from_slice(bytes);
                encoding::FIXED
            }
        }
    }
}

fn as_ints(bytes: &[u8], width: usize) -> Vec<i64> {
    let int = |raw: &[u8]| raw.iter().fold(0u64, |int, byte| int << 8 | u64::from(*byte)).cast_signed();
    bytes.chunks_exact(width).map(int).collect()
}

/// Whether an encoding is one of these.
pub fn is_typed(encoded: u8) -> bool {
    digits_of(encoded).is_some() || encoded == encoding::FIXED
}

/// Digits after the point, of a chunk of numbers.
pub fn digits_of(encoded: u8) -> Option<u8> {
    encoded.checked_sub(encoding::NUMBER).filter(|digits| *digits <= MOST_DIGITS)
}

/// Reads a chunk of `count` strings, which stand in the rows of `present`, of `total`.
pub fn decode(reader: &mut Reader<'_>, encoded: u8, count: usize, present: Present, total: usize) -> Option<Chunk> {
    if let Some(digits) = digits_of(encoded) {
        let inner = reader.u8()?;
        let values = chunk::ints(reader, inner, count)?;
        return Some(Chunk::Number { values: chunk::spread(values, &present, total), digits, present });
    }
    let form = form(reader)?;
    let width = form.width();
    let bytes = match reader.u8()? {
        0 => spread_bytes(reader.take(count.checked_mul(width)?)?, width, &present, total),
        inner if width <= AS_NUMBERS => {
            let ints = chunk::spread(chunk::ints(reader, inner, count)?, &present, total);
            let mut bytes = Vec::with_capacity(total * width);
            match width {
                4 => ints.iter().for_each(|int| bytes.extend_from_slice(&int.to_be_bytes()[4..])),
                8 => ints.iter().for_each(|int| bytes.extend_from_slice(&int.to_be_bytes())),
                _ => ints.iter().for_each(|int| bytes.extend_from_slice(&int.to_be_bytes()[8 - width..])),
            }
            bytes
        }
        _ => return None,
    };
    Some(Chunk::Fixed { form, bytes, present })
}

/// What the values of a chunk of raw bytes are; what follows is their bytes.
pub fn form(reader: &mut Reader<'_>) -> Option<Form> {
    Some(match reader.u8()? {
        0 => Form::Uuid,
        1 => Form::Ipv4,
        2 => Form::Hex { width: reader.u8().filter(|width| (1..=MOST_WIDTH).contains(&usize::from(*width)))? },
        _ => return None,
    })
}

/// Puts values of so many bytes where they belong among `total` rows.
fn spread_bytes(bytes: &[u8], width: usize, present: &Present, total: usize) -> Vec<u8> {
    match (present, width) {
        (Present::All, _) => bytes.to_vec(),
        // Copies of a length that is known are one instruction or two.
        (Present::Some(words), 4) => spread_of::<4>(bytes, words, total),
        (Present::Some(words), 8) => spread_of::<8>(bytes, words, total),
        (Present::Some(words), 16) => spread_of::<16>(bytes, words, total),
        (Present::Some(_), _) => {
            let mut all = vec![0; total * width];
            let places = all.chunks_exact_mut(width).enumerate().filter(|(row, _)| present.has(*row));
            for ((_, place), value) in places.zip(bytes.chunks_exact(width)) {
                place.copy_from_slice(value);
            }
            all
        }
    }
}

fn spread_of<const N: usize>(bytes: &[u8], words: &[u64], total: usize) -> Vec<u8> {
    let mut all = vec![0; total * N];
    let mut values = bytes.as_chunks::<N>().0.iter();
    let (places, _) = all.as_chunks_mut::<N>();
    for (at, word) in words.iter().enumerate() {
        let mut rest = *word;
        while rest != 0 {
            let row = at * 64 + rest.trailing_zeros() as usize;
            if let (Some(place), Some(value)) = (places.get_mut(row), values.next()) {
                *place = *value;
            }
            rest &= rest - 1;
        }
    }
    all
}
