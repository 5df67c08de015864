//! Strings that are numbers, addresses or identifiers: reading them as such and writing them again, byte for byte.
//!
//! Only what has one way of being written is read: `7`, `-7`, `0.50`, `10.0.0.1`, `00ff`; not `007`, `-0`, `+7`, `1e5`, ` 7`,
//! `00FF`, `10.0.0.01`. So what is read and written again is what it was, and two strings are equal where their values are.

use crate::base::predicate::Number;
use crate::store::source::Form;

/// Most digits after the point.
pub const MOST_DIGITS: u8 = 18;
/// Most bytes of a hexadecimal string's value.
const MOST_HEX: usize = 64;
/// Whole numbers up to this one are doubles, exactly.
const EXACT: u64 = 1 << 53;
/// Powers of ten; all of them are doubles, exactly.
const POWERS: [f64; 19] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18];
/// Every byte in hexadecimal.
const HEX: [[u8; 2]; 256] = hex_table();
/// Every byte in decimal: its digits and a point, and how many digits.
const DECIMAL: [([u8; 4], usize); 256] = decimal_table();
/// What a digit is worth; 255 for what is none.
const NIBBLES: [u8; 256] = nibble_table();

#[allow(clippy::cast_possible_truncation)] // of 256 numbers and 16 digits
const fn hex_table() -> [[u8; 2]; 256] {
    let digits = *b"0123456789abcdef";
    let mut table = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = [digits[byte >> 4], digits[byte & 15]];
        byte += 1;
    }
    table
}

#[allow(clippy::cast_possible_truncation)]
const fn decimal_table() -> [([u8; 4], usize); 256] {
    let mut table = [([b'.'; 4], 0); 256];
    let mut byte = 0;
    while byte < 256 {
        let digits = [b'0' + (byte / 100) as u8, b'0' + (byte / 10 % 10) as u8, b'0' + (byte % 10) as u8];
        let length = if byte >= 100 {
            3
        } else if byte >= 10 {
            2
        } else {
            1
        };
        let mut at = 0;
        while at < length {
            table[byte].0[at] = digits[3 - length + at];
            at += 1;
        }
        table[byte].1 = length;
        byte += 1;
    }
    table
}

#[allow(clippy::cast_possible_truncation)]
const fn nibble_table() -> [u8; 256] {
    let digits = *b"0123456789abcdef";
    let mut table = [255; 256];
    let mut at = 0;
    while at < 16 {
        table[digits[at] as usize] = at as u8;
        at += 1;
    }
    table
}

/// Reads a number in its one usual way of being written: its digits as one whole number, and how many stand after the point.
pub fn number(text: &[u8]) -> Option<(i64, u8)> {
    let (negative, digits) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    // Any more could not fit.
    if digits.is_empty() || digits.len() > 20 {
        return None;
    }
    let point = memchr::memchr(b'.', digits);
    let whole = digits.get(..point.unwrap_or(digits.len()))?;
    let after = point.map_or(0, |point| digits.len() - point - 1);
    if whole.is_empty() || (whole.len() > 1 && whole[0] == b'0') || (point.is_some() && after == 0) {
        return None;
    }
    let mut value = 0u64;
    for (at, byte) in digits.iter().enumerate() {
        if Some(at) == point {
            continue;
        }
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    let places = u8::try_from(after).ok().filter(|places| *places <= MOST_DIGITS)?;
    match (negative, value) {
        (true, 0) => None,
        (true, _) => Some((0i64.checked_sub_unsigned(value)?, places)),
        (false, _) => Some((i64::try_from(value).ok()?, places)),
    }
}

/// Writes a number as [`number`] reads it.
pub fn put_number(out: &mut Vec<u8>, value: i64, places: u8) {
    let mut digits = [b'0'; 24];
    let mut at = digits.len();
    let mut rest = value.unsigned_abs();
    let mut put = |digit: u8| {
        at -= 1;
        digits[at] = digit;
    };
    let mut next = || {
        let digit = u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
        (b'0' + digit, rest == 0)
    };
    for _ in 0..places.min(MOST_DIGITS) {
        put(next().0);
    }
    if places > 0 {
        put(b'.');
    }
    loop {
        let (digit, last) = next();
        put(digit);
        if last {
            break;
        }
    }
    if value < 0 {
        put(b'-');
    }
    out.extend_from_slice(&digits[at..]);
}

/// The number that the string of a value is when it is compared: what [`Number::parse`] makes of it.
#[allow(clippy::cast_precision_loss)]
pub fn as_number(value: i64, places: u8) -> Number {
    if places == 0 {
        return Number::Int(value);
    }
    match POWERS.get(usize::from(places)) {
        // Both are exact, so their quotient is the double nearest to the decimal.
        Some(power) if value.unsigned_abs() <= EXACT => Number::Float(value as f64 / power),
        _ => {
            let mut text = Vec::with_capacity(24);
            put_number(&mut text, value, places);
            Number::parse(&text).unwrap_or(Number::Int(value))
        }
    }
}

impl Form {
    /// Bytes of a value.
    pub fn width(self) -> usize {
        match self {
            Self::Hex { width } => usize::from(width).max(1),
            Self::Uuid => 16,
            Self::Ipv4 => 4,
        }
    }

    /// Bytes of the longest string.
    pub fn most_text(self) -> usize {
        match self {
            Self::Hex { .. } => self.width() * 2,
            Self::Uuid => 36,
            Self::Ipv4 => 15,
        }
    }

    /// The form that a string has.
    pub fn of(text: &[u8]) -> Option<Self> {
        let hex = (text.len().is_multiple_of(2) && (2..=MOST_HEX * 2).contains(&text.len()))
            .then(|| u8::try_from(text.len() / 2).ok().map(|width| Self::Hex { width }))
            .flatten();
        [hex, Some(Self::Uuid), Some(Self::Ipv4)].into_iter().flatten().find(|form| form.has(text))
    }

    /// Whether a string has this form.
    pub fn has(self, text: &[u8]) -> bool {
        match self {
            Self::Hex { .. } => text.len() == self.width() * 2 && are_nibbles(text),
            Self::Uuid => uuid(text).is_some_and(|parts| parts.iter().all(|part| are_nibbles(part))),
            Self::Ipv4 => ipv4(text).is_some(),
        }
    }

    /// Appends the bytes that a string stands for; says no, and appends nothing, where it does not have this form.
    pub fn put_raw(self, out: &mut Vec<u8>, text: &[u8]) -> bool {
        match self {
            Self::Hex { .. } => text.len() == self.width() * 2 && put_nibbles(out, text),
            Self::Uuid => {
                let Some(parts) = uuid(text) else { return false };
                let before = out.len();
                let fits = parts.iter().all(|part| put_nibbles(out, part));
                if !fits {
                    out.truncate(before);
                }
                fits
            }
            Self::Ipv4 => match ipv4(text) {
                Some(address) => {
                    out.extend_from_slice(&address.to_be_bytes());
                    true
                }
                None => false,
            },
        }
    }

    /// Appends the string of a value of [`Form::width`] bytes.
    pub fn put_text(self, out: &mut Vec<u8>, raw: &[u8]) {
        match self {
            Self::Hex { .. } => put_hex(out, raw),
            Self::Uuid => {
                for (at, part) in [0..4, 4..6, 6..8, 8..10, 10..16].into_iter().enumerate() {
                    out.extend_from_slice(if at > 0 { b"-" } else { b"" });
                    put_hex(out, raw.get(part).unwrap_or(&[]));
                }
            }
            Self::Ipv4 => {
                // Each number is written with three bytes and a point; the next one begins where its digits end.
                let mut text = [b'.'; 17];
                let mut at = 0;
                for byte in raw.iter().take(4) {
                    let (digits, length) = DECIMAL[usize::from(*byte)];
                    text[at..at + 4].copy_from_slice(&digits);
                    at += length + 1;
                }
                out.extend_from_slice(&text[..at.saturating_sub(1)]);
            }
        }
    }
}

/// Appends bytes as hexadecimal digits.
fn put_hex(out: &mut Vec<u8>, raw: &[u8]) {
    let start = out.len();
    out.resize(start + raw.len() * 2, 0);
    for (two, byte) in out[start..].chunks_exact_mut(2).zip(raw) {
        two.copy_from_slice(&HEX[usize::from(*byte)]);
    }
}

/// What stands between the dashes of a text that has them where a UUID does.
fn uuid(text: &[u8]) -> Option<[&[u8]; 5]> {
    let dashed = text.len() == 36 && [8, 13, 18, 23].iter().all(|dash| text[*dash] == b'-');
    dashed.then(|| [&text[..8], &text[9..13], &text[14..18], &text[19..23], &text[24..]])
}

/// Whether all are lower-case hexadecimal digits.
fn are_nibbles(text: &[u8]) -> bool {
    text.iter().fold(0, |odd, byte| odd | NIBBLES[usize::from(*byte)]) < 16
}

/// Appends the bytes of lower-case hexadecimal digits, an even number of them.
fn put_nibbles(out: &mut Vec<u8>, text: &[u8]) -> bool {
    let before = out.len();
    let mut odd = 0u8;
    out.extend(text.chunks_exact(2).map(|two| {
        let (high, low) = (NIBBLES[usize::from(two[0])], NIBBLES[usize::from(two[1])]);
        odd |= high | low;
        high << 4 | low & 15
    }));
    // No digit is worth 16 or more.
    let fits = odd < 16;
    if !fits {
        out.truncate(before);
    }
    fits
}

/// Reads a dotted address: four numbers to 255 without leading zeros.
pub fn ipv4(text: &[u8]) -> Option<u32> {
    if !(7..=15).contains(&text.len()) {
        return None;
    }
    let (mut address, mut byte, mut digits, mut points) = (0u32, 0u32, 0, 0);
    for &at in text {
        if at == b'.' {
            if digits == 0 || points == 3 {
                return None;
            }
            address = address << 8 | byte;
            (byte, digits, points) = (0, 0, points + 1);
            continue;
        }
        let digit = at.wrapping_sub(b'0');
        if digit > 9 || (digits > 0 && byte == 0) {
            return None;
        }
        byte = byte * 10 + u32::from(digit);
        digits += 1;
        if byte > 255 {
            return None;
        }
    }
    (points == 3 && digits > 0).then_some(address << 8 | byte)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof, proptest};

    use super::{as_number, ipv4, number, put_number};
    use crate::base::predicate::Number;
    use crate::store::source::Form;

    fn check(text: &[u8]) {
        if let Some((value, places)) = number(text) {
            let mut out = Vec::new();
            put_number(&mut out, value, places);
            assert_eq!(out, text, "{value} {places}");
            assert_eq!(Number::parse(text), Some(as_number(value, places)));
        }
        if let Some(form) = Form::of(text) {
            let (mut raw, mut out) = (vec![7], Vec::new());
            assert!(form.put_raw(&mut raw, text) && form.has(text));
            assert_eq!(raw.len(), 1 + form.width());
            form.put_text(&mut out, &raw[1..]);
            assert_eq!(out, text, "{form:?}");
            assert!(out.len() <= form.most_text());
        }
        let std = std::str::from_utf8(text).ok().and_then(|text| text.parse::<std::net::Ipv4Addr>().ok()).map(u32::from);
        assert_eq!(ipv4(text), std);
    }

    #[test]
    fn only_the_one_way_of_writing_is_read() {
        for good in
            ["0", "7", "-7", "10", "0.0", "0.50", "-0.5", "9223372036854775807", "-9223372036854775808", "1.000000000000000000"]
        {
            assert!(number(good.as_bytes()).is_some(), "{good}");
            check(good.as_bytes());
        }
        let bad = [
            "",
            "-",
            "00",
            "-0",
            "-0.0",
            "007",
            "+7",
            " 1",
            "1 ",
            "1e5",
            "1.",
            ".5",
            "-.5",
            "1..2",
            "1.2.3",
            "0x1f",
            "9223372036854775808",
            "-9223372036854775809",
            "0.0000000000000000001",
            "inf",
            "nan",
            "1,5",
            "99999999999999999999999999",
            "\u{0663}",
            "1_000",
        ];
        for bad in bad {
            assert_eq!(number(bad.as_bytes()), None, "{bad}");
        }
        let forms = [
            ("00ff", Some(Form::Hex { width: 2 })),
            ("00FF", None),
            ("0ff", None),
            ("0x1f", None),
            ("", None),
            ("1.2.3.4", Some(Form::Ipv4)),
            ("1.2.3.04", None),
            ("256.1.1.1", None),
            ("1.2.3", None),
            ("1.2.3.4.5", None),
            ("1.2.3.4 ", None),
            ("00000000-0000-0000-0000-00000000abcd", Some(Form::Uuid)),
            ("00000000-0000-0000-0000-00000000ABCD", None),
            ("00000000_0000-0000-0000-00000000abcd", None),
        ];
        for (text, form) in forms {
            assert_eq!(Form::of(text.as_bytes()), form, "{text}");
            check(text.as_bytes());
        }
    }

    fn text() -> impl Strategy<Value = String> {
        prop_oneof![
            "-?[0-9]{0,21}",
            "-?[0-9]{1,4}[.][0-9]{0,19}",
            "[0-9a-f]{0,40}",
            "[0-9a-fA-F]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
            "[0-9]{1,3}[.][0-9]{1,3}[.][0-9]{1,3}[.][0-9]{1,4}",
            ".{0,8}",
            Just(String::new()),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn what_is_read_is_written_the_same(text in text()) {
            check(text.as_bytes());
        }

        #[test]
        fn every_value_is_written_so_that_it_is_read(value in any::<i64>(), shift in 0u32..64, places in 0u8..19) {
            let value = value >> shift;
            let mut text = Vec::new();
            put_number(&mut text, value, places);
            assert_eq!(number(&text), Some((value, places)), "{}", String::from_utf8_lossy(&text));
            assert_eq!(Number::parse(&text), Some(as_number(value, places)));
        }
    }
}
