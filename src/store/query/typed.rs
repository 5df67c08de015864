//! Tests of strings that are kept as numbers or raw bytes, without writing them out.
//!
//! What a string has to be is known from the test in most cases: this number, one of this range, these raw bytes, an address of
//! this network. Then numbers are compared as numbers, and raw bytes are searched in the whole chunk at once. All else (parts of
//! strings, patterns) is asked of the text, which is written in one run; or, where few rows are left, row by row.

use memchr::memmem::Finder;

use super::bits::Bits;
use super::search::select_text;
use crate::base::predicate::{Literal, Number, Range, Sense, Test};
use crate::store::source::{Chunk, Form, Kind};
use crate::store::typed::{as_number, ipv4, number};

/// The numbers (without their points) whose strings pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Numbers {
    /// These, both ends included; none where the first is greater.
    Between(i64, i64),
    /// This one and its negative.
    Either(i64),
}

const NONE: Numbers = Numbers::Between(1, 0);

/// What raw bytes pass.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Raw {
    /// These.
    Is(Vec<u8>),
    /// Addresses of these, both ends included.
    Between(u32, u32),
}

const NOTHING: Raw = Raw::Between(1, 0);

/// Whether a text has a byte, in any case, that is none of these.
fn strays(text: &str, alphabet: &[u8]) -> bool {
    text.bytes().any(|byte| !alphabet.contains(&byte.to_ascii_lowercase()))
}

/// Which numbers with so many digits after the point pass; `None` where that takes their text.
fn numbers(test: &Test, digits: u8) -> Option<Numbers> {
    if test.needle().is_some_and(|needle| strays(needle.text(), b"0123456789.-")) {
        return Some(NONE);
    }
    match test {
        Test::Exists => Some(Numbers::Between(i64::MIN, i64::MAX)),
        Test::Exact(exact) => Some(match number(exact.text.as_bytes()) {
            Some((value, own)) if own == digits => Numbers::Between(value, value),
            _ => NONE,
        }),
        Test::Words(words, _) => {
            // A point and a sign are where words end; letters and digits are not.
            let text = words.needle().text();
            match number(text.as_bytes()) {
                Some((value, own)) if own == digits && value >= 0 => Some(Numbers::Either(value)),
                Some((value, own)) if own == digits => Some(Numbers::Between(value, value)),
                Some((_, own)) if own > 0 => Some(NONE),
                _ => None,
            }
        }
        Test::Range(range) => between(range, digits),
        Test::Net(_) | Test::Time(_) => Some(NONE),
        Test::Like(_) | Test::Regex(_) => None,
    }
}

/// The numbers of a range; `None` where it is one of texts.
fn between(range: &Range, digits: u8) -> Option<Numbers> {
    let above = |literal: &Literal, inclusive: bool, value: i64| match &literal.sense {
        Sense::Number(end) => {
            as_number(value, digits).compare(*end).is_some_and(|order| order.is_gt() || (inclusive && order.is_eq()))
        }
        _ => false,
    };
    let is_of_text = |end: &Option<(Literal, bool)>| end.as_ref().is_some_and(|(literal, _)| literal.sense == Sense::Bytes);
    if is_of_text(&range.lower) || is_of_text(&range.upper) {
        return None;
    }
    let is_of_number =
        |end: &Option<(Literal, bool)>| end.as_ref().is_none_or(|(literal, _)| matches!(literal.sense, Sense::Number(_)));
    if !is_of_number(&range.lower) || !is_of_number(&range.upper) {
        return Some(NONE);
    }
    let guess = |literal: &Literal| match &literal.sense {
        Sense::Number(Number::Int(int)) => 10i64.checked_pow(u32::from(digits)).and_then(|unit| int.checked_mul(unit)),
        #[allow(clippy::cast_possible_truncation)] // saturates, and is only where to look first
        Sense::Number(Number::Float(float)) => Some((float * 10f64.powi(i32::from(digits))) as i64),
        _ => None,
    };
    // The first number above an end, and the last that is not: the order of numbers is that of their strings' values.
    let least = match &range.lower {
        None => i64::MIN,
        Some((literal, inclusive)) => match first(guess(literal), |value| above(literal, *inclusive, value)) {
            Some(least) => least,
            None => return Some(NONE),
        },
    };
    let greatest = match &range.upper {
        None => i64::MAX,
        Some((literal, inclusive)) => match first(guess(literal), |value| above(literal, !inclusive, value)) {
            Some(beyond) => match beyond.checked_sub(1) {
                Some(greatest) => greatest,
                None => return Some(NONE),
            },
            None => i64::MAX,
        },
    };
    Some(Numbers::Between(least, greatest))
}

/// The first number that passes, where all greater ones pass too; looked for near a guess, and everywhere if it is not there.
fn first(guess: Option<i64>, passes: impl Fn(i64) -> bool) -> Option<i64> {
    let (mut low, mut high) = (i64::MIN, i64::MAX);
    if !passes(high) {
        return None;
    }
    if let Some(guess) = guess {
        let (under, over) = (guess.saturating_sub(4), guess.saturating_add(4));
        if passes(over) {
            high = over;
        }
        if !passes(under) {
            low = under;
        }
    }
    // The first is in low..=high.
    while low < high {
        let middle = low.midpoint(high);
        let middle = if middle == high { low } else { middle };
        if passes(middle) { high = middle } else { low = middle + 1 }
    }
    Some(high)
}

/// Whether some string of a chunk may pass that are numbers between these, with so many digits after the point.
pub fn may_match(test: &Test, (least, greatest, digits): (i64, i64, u8)) -> bool {
    match numbers(test, digits) {
        None => true,
        Some(Numbers::Between(from, to)) => from <= greatest && least <= to && from <= to,
        Some(Numbers::Either(value)) => [value, -value].iter().any(|value| (least..=greatest).contains(value)),
    }
}

/// The rows of `among` whose strings pass, of numbers with so many digits after the point; `None` where that takes their text.
pub fn select_numbers(test: &Test, values: &[i64], digits: u8, among: &Bits) -> Option<Bits> {
    Some(match numbers(test, digits)? {
        Numbers::Between(i64::MIN, i64::MAX) => among.clone(),
        Numbers::Between(from, to) if from > to => Bits::none(among.rows()),
        Numbers::Between(from, to) => {
            Bits::fill(among, |row| values.get(row).is_some_and(|value| from <= *value && *value <= to))
        }
        Numbers::Either(own) => Bits::fill(among, |row| values.get(row).is_some_and(|value| *value == own || *value == -own)),
    })
}

/// Which raw bytes pass; `None` where that takes their text.
fn raw(test: &Test, form: Form) -> Option<Raw> {
    let alphabet: &[u8] = match form {
        Form::Hex { .. } => b"0123456789abcdef",
        Form::Uuid => b"0123456789abcdef-",
        Form::Ipv4 => b"0123456789.",
    };
    if test.needle().is_some_and(|needle| strays(needle.text(), alphabet)) {
        return Some(NOTHING);
    }
    let is = |text: &str| {
        let mut bytes = Vec::new();
        form.put_raw(&mut bytes, text.as_bytes()).then_some(Raw::Is(bytes))
    };
    match (test, form) {
        (Test::Exact(exact), _) => Some(is(&exact.text).unwrap_or(NOTHING)),
        (Test::Words(words, _), _) => match is(&words.needle().text().to_ascii_lowercase()) {
            // All of it is one word, or begins and ends where words do.
            None if matches!(form, Form::Hex { .. }) => Some(NOTHING),
            found => found,
        },
        (Test::Net(net), Form::Ipv4) => Some(net.of_ipv4().map_or(NOTHING, |(from, to)| Raw::Between(from, to))),
        (Test::Net(_) | Test::Time(_), _) => Some(NOTHING),
        (Test::Range(range), Form::Ipv4) => addresses(range),
        _ => None,
    }
}

/// The addresses of a range; `None` where it is one of texts.
fn addresses(range: &Range) -> Option<Raw> {
    let end = |end: &Option<(Literal, bool)>, open: u32| match end {
        None => Ok(Some((open, true))),
        Some((Literal { sense: Sense::Bytes, .. }, _)) => Err(()),
        Some((literal, inclusive)) => Ok(ipv4(literal.text.as_bytes()).map(|address| (address, *inclusive))),
    };
    let (Ok(lower), Ok(upper)) = (end(&range.lower, 0), end(&range.upper, u32::MAX)) else { return None };
    // Numbers and addresses of the other version are no addresses of this one.
    let from = lower.and_then(|(address, inclusive)| if inclusive { Some(address) } else { address.checked_add(1) });
    let to = upper.and_then(|(address, inclusive)| if inclusive { Some(address) } else { address.checked_sub(1) });
    Some(from.zip(to).map_or(NOTHING, |(from, to)| Raw::Between(from, to)))
}

/// The rows of `among` whose strings pass, of raw bytes; `None` where that takes their text.
pub fn select_fixed(test: &Test, form: Form, bytes: &[u8], among: &Bits) -> Option<Bits> {
    if matches!(test, Test::Exists) {
        return Some(among.clone());
    }
    let width = form.width();
    let mut kept = Bits::none(among.rows());
    match raw(test, form)? {
        Raw::Between(from, to) if from > to => {}
        Raw::Between(from, to) => {
            let addresses: Vec<u32> = bytes.as_chunks::<4>().0.iter().map(|four| u32::from_be_bytes(*four)).collect();
            return Some(Bits::fill(among, |row| addresses.get(row).is_some_and(|own| from <= *own && *own <= to)));
        }
        Raw::Is(needle) => {
            let finder = Finder::new(&needle);
            let mut at = 0;
            while let Some(hit) = bytes.get(at..).and_then(|rest| finder.find(rest)) {
                let hit = at + hit;
                at = hit + 1;
                if hit % width == 0 {
                    if among.has(hit / width) {
                        kept.set(hit / width);
                    }
                    at = hit + width;
                }
            }
        }
    }
    Some(kept)
}

/// The rows of `among` whose strings pass, of any chunk that is no text.
pub fn select_written(test: &Test, chunk: &Chunk, among: &Bits) -> Bits {
    if among.count() * 8 < among.rows() {
        let mut kept = Bits::none(among.rows());
        let mut scratch = Vec::new();
        for row in among.iter() {
            if chunk.text_of(row, &mut scratch).is_some_and(|text| test.matches_str(text)) {
                kept.set(row);
            }
        }
        return kept;
    }
    match chunk.to_text() {
        Some(Chunk::Text { ends, bytes, .. }) => select_text(test, Kind::Str, &ends, &bytes, among),
        _ => Bits::none(among.rows()),
    }
}
