//! A row of an answer, and how it is written as JSON.
//!
//! `{"_time":"2015-05-17T10:05:03Z","_topic":"access",…,"message":"…"}`. Strings are bytes: one that is not UTF-8 is shown with
//! replacement characters and followed by its bytes, `"<name>_base64"`. NaN and infinities are null, as JSON has none.

use std::cmp::Ordering;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::base::predicate::{Field, Leaf, Number, Predicate, Test};
use crate::base::row;
use crate::base::time::{self, DAY_NS};

/// One row of an answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OutRow {
    /// Its columns in the order in which they are written; absent ones are left out.
    pub fields: Vec<(Arc<str>, OutValue)>,
}

/// A value of an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum OutValue {
    /// None: a group of rows without the key, a figure over no value.
    Null,
    /// A string, as bytes.
    Str(Box<[u8]>),
    /// Several strings.
    List(Vec<Box<[u8]>>),
    /// A whole number.
    Int(i64),
    /// A decimal number.
    Float(f64),
    /// Yes or no.
    Bool(bool),
    /// An instant, nanoseconds since 1970.
    Time(i64),
}

impl OutRow {
    /// The value of a column.
    pub fn get(&self, name: &str) -> Option<&OutValue> {
        self.fields.iter().find(|(own, _)| **own == *name).map(|(_, value)| value)
    }

    /// Writes it as one JSON object, without a line's end.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        for (index, (name, value)) in self.fields.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            write_string(out, name.as_bytes());
            out.push(b':');
            value.write_json(out);
            value.write_base64(name, out);
        }
        out.push(b'}');
    }

    /// As a JSON text, for tests and small answers.
    pub fn to_json(&self) -> String {
        let mut out = Vec::new();
        self.write_json(&mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    /// Whether a predicate keeps it.
    pub fn passes(&self, predicate: &Predicate) -> bool {
        predicate.decide(&mut |leaf: &Leaf| match &leaf.field {
            Field::Named(name) => self.get(name).is_some_and(|value| value.passes(&leaf.test)),
            Field::Like(_) => self.fields.iter().any(|(name, value)| leaf.field.is(name) && value.passes(&leaf.test)),
        })
    }
}

impl OutValue {
    /// Whether a test keeps it; null passes none.
    pub fn passes(&self, test: &Test) -> bool {
        match self {
            Self::Null => false,
            Self::Str(bytes) => test.matches_str(bytes),
            Self::List(items) => items.iter().any(|item| test.matches_str(item)),
            Self::Int(int) => test.matches_number(Number::Int(*int)),
            Self::Float(float) => test.matches_number(Number::Float(*float)),
            Self::Bool(bool) => test.matches_bool(*bool),
            Self::Time(ns) => match test {
                Test::Exists | Test::Time(_) => test.matches_time(*ns),
                // A computed time is compared as it is shown.
                _ => test.matches_str(time::format(*ns).as_bytes()),
            },
        }
    }

    /// As a number, where it is or reads as one.
    pub fn number(&self) -> Option<Number> {
        match self {
            Self::Int(int) | Self::Time(int) => Some(Number::Int(*int)),
            Self::Float(float) => Some(Number::Float(*float)),
            Self::Str(bytes) => Number::parse(bytes),
            Self::List(items) => items.first().and_then(|item| Number::parse(item)),
            Self::Null | Self::Bool(_) => None,
        }
    }

    /// Orders values: numbers (and strings that read as such) by size, then all else by bytes, then null.
    pub fn order(&self, other: &Self) -> Ordering {
        self.sort_view().order(&other.sort_view())
    }

    /// As it is sorted.
    pub fn sort_view(&self) -> SortView<'_> {
        match self {
            Self::Null => SortView::Missing,
            Self::Bool(bool) => SortView::Bytes(if *bool { b"true" } else { b"false" }),
            Self::Str(bytes) => SortView::of_bytes(bytes),
            Self::List(items) => items.first().map_or(SortView::Missing, |item| SortView::of_bytes(item)),
            Self::Int(int) | Self::Time(int) => SortView::Number(Number::Int(*int)),
            Self::Float(float) => SortView::Number(Number::Float(*float)),
        }
    }

    /// Writes it as JSON.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => out.extend_from_slice(b"null"),
            Self::Str(bytes) => write_string(out, bytes),
            Self::List(items) => {
                out.push(b'[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    write_string(out, item);
                }
                out.push(b']');
            }
            Self::Int(int) => write_int(out, *int),
            Self::Float(float) if float.is_finite() => {
                let _ = std::io::Write::write_fmt(out, format_args!("{float:?}"));
            }
            Self::Float(_) => out.extend_from_slice(b"null"),
            Self::Bool(bool) => out.extend_from_slice(if *bool { b"true" } else { b"false" }),
            Self::Time(ns) => {
                out.push(b'"');
                write_time(out, *ns);
                out.push(b'"');
            }
        }
    }

    fn write_base64(&self, name: &str, out: &mut Vec<u8>) {
        let broken = |bytes: &[u8]| simdutf8::basic::from_utf8(bytes).is_err();
        let key = |out: &mut Vec<u8>| {
            out.push(b',');
            write_string(out, format!("{name}_base64").as_bytes());
            out.push(b':');
        };
        match self {
            Self::Str(bytes) if broken(bytes) => {
                key(out);
                out.push(b'"');
                out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
                out.push(b'"');
            }
            Self::List(items) if items.iter().any(|item| broken(item)) => {
                key(out);
                out.push(b'[');
                for (index, item) in items.iter().enumerate() {
                    out.extend_from_slice(if index > 0 { b",\"" } else { b"\"" });
                    out.extend_from_slice(STANDARD.encode(item).as_bytes());
                    out.push(b'"');
                }
                out.push(b']');
            }
            _ => {}
        }
    }
}

/// A value as it is sorted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SortView<'a> {
    /// By size.
    Number(Number),
    /// By bytes, after numbers.
    Bytes(&'a [u8]),
    /// Last.
    Missing,
}

impl<'a> SortView<'a> {
    /// A string, which may read as a number.
    pub fn of_bytes(bytes: &'a [u8]) -> Self {
        Number::parse(bytes).map_or(Self::Bytes(bytes), Self::Number)
    }

    /// Orders two, ascending.
    pub fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Number(a), Self::Number(b)) => a.order(*b),
            (Self::Bytes(a), Self::Bytes(b)) => a.cmp(b),
            _ => self.class().cmp(&other.class()),
        }
    }

    /// Orders two in a direction; what is missing is last in both.
    pub fn order_in(&self, other: &Self, descending: bool) -> Ordering {
        let missing = matches!(self, Self::Missing).cmp(&matches!(other, Self::Missing));
        missing.then_with(|| if descending { other.order(self) } else { self.order(other) })
    }

    fn class(&self) -> u8 {
        match self {
            Self::Number(_) => 0,
            Self::Bytes(_) => 1,
            Self::Missing => 2,
        }
    }
}

/// Writes bytes as a JSON string, invalid UTF-8 as replacement characters.
pub fn write_string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    match simdutf8::basic::from_utf8(bytes) {
        Ok(_) => write_escaped(out, bytes),
        Err(_) => write_escaped(out, String::from_utf8_lossy(bytes).as_bytes()),
    }
    out.push(b'"');
}

fn write_escaped(out: &mut Vec<u8>, bytes: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut plain = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&bytes[plain..at]);
        plain = at + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            other => {
                out.extend_from_slice(b"\\u00");
                out.push(HEX[usize::from(other >> 4)]);
                out.push(HEX[usize::from(other & 15)]);
            }
        }
    }
    out.extend_from_slice(&bytes[plain..]);
}

fn write_int(out: &mut Vec<u8>, int: i64) {
    if int < 0 {
        out.push(b'-');
    }
    write_padded(out, int.unsigned_abs(), 1);
}

/// Decimal digits, with zeros before them to this width.
fn write_padded(out: &mut Vec<u8>, mut number: u64, width: usize) {
    let mut digits = [b'0'; 20];
    let mut start = digits.len();
    while number > 0 || digits.len() - start < width {
        start -= 1;
        digits[start] = b'0' + u8::try_from(number % 10).unwrap_or(0);
        number /= 10;
    }
    out.extend_from_slice(&digits[start..]);
}

/// RFC 3339 in UTC, with as many fraction digits (0, 3, 6 or 9) as it needs: what [`crate::base::time::format`] gives, faster.
pub fn write_time(out: &mut Vec<u8>, ns: i64) {
    let (day, rest) = (ns.div_euclid(DAY_NS), ns.rem_euclid(DAY_NS));
    // Days since 1970 to a date of the Gregorian calendar, by eras of 400 years that begin in March.
    let shifted = day + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    let (seconds, fraction) = (rest / 1_000_000_000, rest % 1_000_000_000);
    let mut part = |number: i64, width: usize, before: &[u8]| {
        out.extend_from_slice(before);
        write_padded(out, number.unsigned_abs(), width);
    };
    part(year, 4, b"");
    part(month, 2, b"-");
    part(day_of_month, 2, b"-");
    part(seconds / 3600, 2, b"T");
    part(seconds / 60 % 60, 2, b":");
    part(seconds % 60, 2, b":");
    match fraction {
        0 => {}
        _ if fraction % 1_000_000 == 0 => part(fraction / 1_000_000, 3, b"."),
        _ if fraction % 1000 == 0 => part(fraction / 1000, 6, b"."),
        _ => part(fraction, 9, b"."),
    }
    out.push(b'Z');
}

/// Names of the columns that every row has beside its fields.
pub mod virtual_field {
    /// Its topic.
    pub const TOPIC: &str = "_topic";
    /// Partition of its record.
    pub const PARTITION: &str = "_partition";
    /// Offset of its record.
    pub const OFFSET: &str = "_offset";
    /// Which of the record's rows.
    pub const N: &str = "_n";
    /// Which generation made it.
    pub const GENERATION: &str = "_generation";
    /// All of them, in the order in which they are shown, the time first.
    pub const ALL: [&str; 6] = [super::row::TIME, TOPIC, PARTITION, OFFSET, N, GENERATION];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_valid_json() {
        let row = OutRow {
            fields: vec![
                ("_time".into(), OutValue::Time(1_431_857_103_005_000_000)),
                ("m".into(), OutValue::Str((*b"a\"b\\c\n\x01").into())),
                ("bad".into(), OutValue::Str((*b"\xffok").into())),
                ("tags".into(), OutValue::List(vec![(*b"x").into(), (*b"\xfe").into()])),
                ("i".into(), OutValue::Int(i64::MIN)),
                ("f".into(), OutValue::Float(1.0)),
                ("nan".into(), OutValue::Float(f64::NAN)),
                ("b".into(), OutValue::Bool(true)),
                ("none".into(), OutValue::Null),
            ],
        };
        let expected = concat!(
            r#"{"_time":"2015-05-17T10:05:03.005Z","m":"a\"b\\c\n\u0001","bad":"�ok","bad_base64":"/29r","tags":["x","�"],"#,
            r#""tags_base64":["eA==","/g=="],"i":-9223372036854775808,"f":1.0,"nan":null,"b":true,"none":null}"#
        );
        assert_eq!(row.to_json(), expected);
        assert!(serde_json::from_str::<serde_json::Value>(&row.to_json()).is_ok());
    }

    proptest::proptest! {
        #[test]
        fn times_are_written_as_the_calendar_library_does(ns in proptest::num::i64::ANY, scale in 0u32..10) {
            let ns = ns / 10i64.pow(scale) * 10i64.pow(scale);
            let mut out = Vec::new();
            write_time(&mut out, ns);
            proptest::prop_assert_eq!(String::from_utf8_lossy(&out).into_owned(), crate::base::time::format(ns));
        }
    }
}
