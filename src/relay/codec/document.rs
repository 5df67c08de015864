//! Writing a decoded record as JSON, with a limit on its size that holds before memory is taken.
//!
//! What comes in: values, in the order of the data. What goes out: one JSON text without spaces.
//! * Integers are digits, all 64 bits of them. Floats are the shortest text that reads back the same; NaN and the infinities,
//!   which JSON does not have, are the strings `NaN`, `Infinity` and `-Infinity`.
//! * Strings keep their bytes: what JSON must escape is escaped, everything else stands as it came, invalid UTF-8 too, which
//!   the box's own JSON filter keeps (strings are bytes). Binary is a string of base64 (standard alphabet, padded).
//! * Dates are `2026-11-20`, times of day `08:00:00.000001`, instants RFC 3339 in UTC with 3, 6 or 9 digits or none; what no
//!   calendar of four-digit years has stays a number.
//!
//! Invariant: every value writes at least one byte, so the limit also bounds the time that data of no bytes can cost.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Datelike, NaiveDate};

/// Why a record is no document; a sentence for its dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrong(pub(crate) String);

impl Wrong {
    pub(crate) fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

/// Deepest nesting of a document: what the JSON filter reads, with room around it.
pub(crate) const DEPTH: usize = 100;
/// Largest document. A filter's memory holds several.
pub(crate) const DOCUMENT_BYTES: usize = 4 * 1024 * 1024;
/// How many times its record a document may be: the names of fields are in an Avro schema, not in its data.
const GROWTH: usize = 64;
/// What a document may be in any case.
const SMALL_BYTES: usize = 64 * 1024;

/// Writes one document at the end of a buffer.
pub(crate) struct Writer<'o> {
    out: &'o mut Vec<u8>,
    /// Length of the buffer that may not be passed.
    most: usize,
}

impl<'o> Writer<'o> {
    /// For a record of so many bytes.
    pub(crate) fn new(out: &'o mut Vec<u8>, payload: usize) -> Self {
        let most = payload.saturating_mul(GROWTH).saturating_add(SMALL_BYTES).min(DOCUMENT_BYTES);
        let most = out.len().saturating_add(most);
        Self { out, most }
    }

    /// Bytes that are JSON already.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> Result<(), Wrong> {
        if bytes.len() > self.most.saturating_sub(self.out.len()) {
            return Err(Wrong::new("decodes to a document that is far larger than the record"));
        }
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    pub(crate) fn int(&mut self, value: i64) -> Result<(), Wrong> {
        self.digits(value < 0, value.unsigned_abs())
    }

    pub(crate) fn uint(&mut self, value: u64) -> Result<(), Wrong> {
        self.digits(false, value)
    }

    fn digits(&mut self, negative: bool, mut value: u64) -> Result<(), Wrong> {
        let mut text = [0; 20];
        let mut at = text.len();
        loop {
            at -= 1;
            text[at] = DIGITS[(value % 10) as usize];
            value /= 10;
            if value == 0 {
                break;
            }
        }
        if negative {
            at -= 1;
            text[at] = b'-';
        }
        self.raw(&text[at..])
    }

    pub(crate) fn bool(&mut self, value: bool) -> Result<(), Wrong> {
        self.raw(if value { b"true" } else { b"false" })
    }

    pub(crate) fn null(&mut self) -> Result<(), Wrong> {
        self.raw(b"null")
    }

    pub(crate) fn double(&mut self, value: f64) -> Result<(), Wrong> {
        if value.is_finite() { self.number(&value) } else { self.not_finite(value.is_nan(), value < 0.0) }
    }

    pub(crate) fn float(&mut self, value: f32) -> Result<(), Wrong> {
        if value.is_finite() { self.number(&value) } else { self.not_finite(value.is_nan(), value < 0.0) }
    }

    fn not_finite(&mut self, nan: bool, negative: bool) -> Result<(), Wrong> {
        self.raw(match (nan, negative) {
            (true, _) => b"\"NaN\"",
            (_, true) => b"\"-Infinity\"",
            _ => b"\"Infinity\"",
        })
    }

    fn number(&mut self, value: &impl serde::Serialize) -> Result<(), Wrong> {
        // No float is longer; the room is asked for first because this writer knows no limit.
        if self.most.saturating_sub(self.out.len()) < 32 {
            return self.raw(&[b'0'; 32]);
        }
        serde_json::to_writer(&mut *self.out, value).map_err(|error| Wrong::new(error.to_string()))
    }

    /// A string, quoted and escaped.
    pub(crate) fn string(&mut self, bytes: &[u8]) -> Result<(), Wrong> {
        self.raw(b"\"")?;
        self.escaped(bytes)?;
        self.raw(b"\"")
    }

    fn escaped(&mut self, mut rest: &[u8]) -> Result<(), Wrong> {
        while let Some(at) = rest.iter().position(|byte| *byte < 0x20 || matches!(byte, b'"' | b'\\')) {
            self.raw(&rest[..at])?;
            match rest[at] {
                b'"' => self.raw(b"\\\"")?,
                b'\\' => self.raw(b"\\\\")?,
                b'\n' => self.raw(b"\\n")?,
                b'\r' => self.raw(b"\\r")?,
                b'\t' => self.raw(b"\\t")?,
                0x08 => self.raw(b"\\b")?,
                0x0c => self.raw(b"\\f")?,
                control => {
                    let hex = |nibble: u8| b"0123456789abcdef"[usize::from(nibble)];
                    self.raw(&[b'\\', b'u', b'0', b'0', hex(control >> 4), hex(control & 15)])?;
                }
            }
            rest = &rest[at + 1..];
        }
        self.raw(rest)
    }

    /// Binary: a string of base64.
    pub(crate) fn base64(&mut self, bytes: &[u8]) -> Result<(), Wrong> {
        self.raw(b"\"")?;
        // By three: pieces that end in no padding but the last.
        let mut piece = [0; 1024];
        for part in bytes.chunks(768) {
            let written = STANDARD.encode_slice(part, &mut piece).map_err(|error| Wrong::new(error.to_string()))?;
            self.raw(&piece[..written])?;
        }
        self.raw(b"\"")
    }

    /// An instant: units since 1970, so many to a second (1, 1,000, a million or a billion).
    pub(crate) fn instant(&mut self, value: i64, per_second: i64, suffix: &str) -> Result<(), Wrong> {
        self.seconds(value.div_euclid(per_second), value.rem_euclid(per_second), per_second, suffix, |writer| writer.int(value))
    }

    /// An instant in seconds and a fraction of one; what no four-digit year has is written by `otherwise`.
    pub(crate) fn seconds(
        &mut self,
        seconds: i64,
        fraction: i64,
        per_second: i64,
        suffix: &str,
        otherwise: impl FnOnce(&mut Self) -> Result<(), Wrong>,
    ) -> Result<(), Wrong> {
        let time = DateTime::from_timestamp(seconds, 0).filter(|time| (0..10_000).contains(&time.year()));
        let Some(time) = time else { return otherwise(self) };
        let digits = fraction_digits(per_second);
        let text = time.format("%Y-%m-%dT%H:%M:%S");
        let text = if digits == 0 { format!("\"{text}{suffix}\"") } else { format!("\"{text}.{fraction:0digits$}{suffix}\"") };
        self.raw(text.as_bytes())
    }

    /// A day since 1970.
    pub(crate) fn date(&mut self, day: i32) -> Result<(), Wrong> {
        // The day number that chrono counts from the year 1.
        let date = day.checked_add(719_163).and_then(NaiveDate::from_num_days_from_ce_opt);
        match date.filter(|date| (0..10_000).contains(&date.year())) {
            Some(date) => self.raw(format!("\"{}\"", date.format("%Y-%m-%d")).as_bytes()),
            None => self.int(day.into()),
        }
    }

    /// A time of day, in units since midnight.
    pub(crate) fn time(&mut self, value: i64, per_second: i64) -> Result<(), Wrong> {
        if !(0..86_400 * per_second).contains(&value) {
            return self.int(value);
        }
        let (seconds, fraction, digits) = (value / per_second, value % per_second, fraction_digits(per_second));
        let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        self.raw(format!("\"{hours:02}:{minutes:02}:{seconds:02}.{fraction:0digits$}\"").as_bytes())
    }
}

const DIGITS: &[u8; 10] = b"0123456789";

fn fraction_digits(per_second: i64) -> usize {
    per_second.checked_ilog10().unwrap_or(0) as usize
}

/// A big-endian two's complement number with a decimal point: every digit of it, without quotes.
///
/// Quadratic in its length, which is why that is bounded.
pub(crate) fn decimal(unscaled: &[u8], scale: usize) -> Result<Vec<u8>, Wrong> {
    /// More than 300 digits.
    const BYTES: usize = 128;
    /// As many places as a schema may ask for.
    const SCALE: usize = 400;
    if unscaled.len() > BYTES || scale > SCALE {
        return Err(Wrong::new(format!(
            "a decimal of {} bytes and {scale} places; at most {BYTES} and {SCALE}",
            unscaled.len()
        )));
    }
    let negative = unscaled.first().is_some_and(|byte| byte & 0x80 != 0);
    let mut number: Vec<u8> = unscaled.to_vec();
    if negative {
        // The magnitude: invert and add one.
        let mut carry = true;
        for byte in number.iter_mut().rev() {
            let (sum, over) = (!*byte).overflowing_add(u8::from(carry));
            (*byte, carry) = (sum, over);
        }
    }
    let mut digits = Vec::new();
    while number.iter().any(|byte| *byte != 0) {
        let mut rest = 0u16;
        for byte in &mut number {
            let part = rest << 8 | u16::from(*byte);
            // Below 256: the rest is below ten.
            *byte = u8::try_from(part / 10).unwrap_or(u8::MAX);
            rest = part % 10;
        }
        digits.push(DIGITS[usize::from(rest)]);
    }
    while digits.len() <= scale {
        digits.push(b'0');
    }
    if scale > 0 {
        digits.insert(scale, b'.');
    }
    if negative {
        digits.push(b'-');
    }
    digits.reverse();
    Ok(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Writer<'_>) -> Result<(), Wrong>) -> String {
        let mut out = Vec::new();
        write(&mut Writer::new(&mut out, 1000)).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn scalars() {
        assert_eq!(written(|w| w.int(i64::MIN)), i64::MIN.to_string());
        assert_eq!(written(|w| w.uint(u64::MAX)), u64::MAX.to_string());
        assert_eq!(written(|w| w.int(0)), "0");
        for (value, text) in [(0.1, "0.1"), (-0.0, "-0.0"), (1e300, "1e300"), (3.0, "3.0")] {
            assert_eq!(written(|w| w.double(value)).parse::<f64>(), text.parse::<f64>(), "{text}");
        }
        assert_eq!(written(|w| w.float(0.1)), "0.1");
        assert_eq!(written(|w| w.double(f64::NAN)), "\"NaN\"");
        assert_eq!(written(|w| w.float(f32::NEG_INFINITY)), "\"-Infinity\"");
        assert_eq!(written(|w| w.string(b"a\"\\\n\x01\xc3\xa9")), "\"a\\\"\\\\\\n\\u0001é\"");
        assert_eq!(written(|w| w.base64(&[0xfb, 0xff])), "\"+/8=\"");
        let long: Vec<u8> = (0..2000u32).map(|n| n.to_le_bytes()[0]).collect();
        assert_eq!(written(|w| w.base64(&long)), format!("\"{}\"", STANDARD.encode(&long)), "pieces fit together");
    }

    #[test]
    fn times() {
        for (value, per_second, text) in [
            (0, 1, "\"1970-01-01T00:00:00Z\""),
            (-1, 1000, "\"1969-12-31T23:59:59.999Z\""),
            (1_763_625_600_000_001, 1_000_000, "\"2025-11-20T08:00:00.000001Z\""),
            (i64::MAX, 1000, "9223372036854775807"),
            (i64::MIN, 1, "-9223372036854775808"),
        ] {
            assert_eq!(written(|w| w.instant(value, per_second, "Z")), text);
        }
        for (day, text) in [(0, "\"1970-01-01\""), (-1, "\"1969-12-31\""), (20_000, "\"2024-10-04\""), (i32::MAX, "2147483647")]
        {
            assert_eq!(written(|w| w.date(day)), text);
        }
        assert_eq!(written(|w| w.time(86_399_999, 1000)), "\"23:59:59.999\"");
        assert_eq!(written(|w| w.time(86_400_000, 1000)), "86400000");
        assert_eq!(written(|w| w.time(1, 1_000_000)), "\"00:00:00.000001\"");
    }

    #[test]
    fn decimals_keep_every_digit() {
        for (bytes, scale, text) in [
            (&[0x04, 0xd2][..], 2, "12.34"),
            (&[0xfb, 0x2e], 2, "-12.34"),
            (&[0x00], 0, "0"),
            (&[], 3, "0.000"),
            (&[0xff], 3, "-0.001"),
            (&[0x80], 0, "-128"),
            (&[0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], 1, "236118324143482260684.7"),
        ] {
            assert_eq!(String::from_utf8(decimal(bytes, scale).unwrap()).unwrap(), text);
        }
        assert!(decimal(&[1; 200], 0).is_err());
    }

    #[test]
    fn the_limit_holds() {
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out, 0);
        assert!((0..1_000_000).try_for_each(|_| writer.null()).is_err());
        assert!(writer.double(1.5).is_ok() || out.len() <= SMALL_BYTES);
        assert!(out.len() <= SMALL_BYTES, "{}", out.len());
    }
}
