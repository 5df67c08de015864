//! Templates: how a message is made of its row's other fields, so that it need not be stored.
//!
//! ```text
//! TEMPLATES: unpacked size u32 | zstd frame of: count, then each: pieces, then each piece:
//!   0 literal   length, bytes
//!   1 field     column (number in the column directory, from 0): a string as it is, a whole or decimal number as it is shown
//!   2 time      minutes east of UTC zigzag:                                              22/Nov/2026:00:56:46 +0000
//!   3 time      separator u8, decimal mark u8, digits u8, zone u8, minutes zigzag:       2026-11-22T00:56:46.123Z
//!               zone: 0 nothing (UTC), 1 `Z`, 2 `+hh:mm`, 3 `+hhmm`                      (all varints but where said)
//!   4 JSON      column: a string as JSON writes it between quotes                        since version 2
//! behind the templates of messages, where a part has any, as many of payloads (`payload.rs`)    since version 2
//! ```
//! Templates are learned (`derive.rs`), never configured, and used for a row only where what they give is the message, byte
//! for byte. Limits: [`TEMPLATES`] a part, [`PIECES`] each.

use super::bits::{Reader, put_bytes, put_varint, put_zigzag};
use super::directory::ColumnDir;
use super::payload::PAYLOADS;
use crate::base::time::DAY_NS;
use crate::store::source::Kind;

/// Most templates of a part.
pub const TEMPLATES: usize = 16;
/// Most pieces of a template.
pub const PIECES: usize = 128;
/// Bytes of a `22/Nov/2026:00:56:46 +0000`.
const CLF_BYTES: usize = 26;
/// Where the fraction of an ISO time begins.
const FRACTION: usize = 20;
const SECOND_NS: i64 = 1_000_000_000;
const MONTHS: [&[u8; 3]; 12] = [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

/// A piece of a message.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Piece {
    /// The same in every row.
    Literal(Vec<u8>),
    /// The row's value of this column.
    Field(u32),
    /// The row's value of this column as JSON writes it.
    Json(u32),
    /// The row's time.
    Time(Stamp),
}

/// How a message is made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Template {
    /// In order.
    pub pieces: Vec<Piece>,
}

impl Template {
    /// One that makes nothing: of a column that is nowhere.
    pub fn none() -> Self {
        Self { pieces: vec![Piece::Field(u32::MAX)] }
    }

    /// Whether it makes nothing.
    pub fn is_none(&self) -> bool {
        self.pieces == [Piece::Field(u32::MAX)]
    }

    /// The columns that it is made of.
    pub fn columns(&self) -> impl Iterator<Item = u32> + '_ {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Field(column) | Piece::Json(column) => Some(*column),
            Piece::Literal(_) | Piece::Time(_) => None,
        })
    }
}

/// What a part's rows make.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Templates {
    /// Their messages.
    pub messages: Vec<Template>,
    /// Their payloads.
    pub payloads: Vec<Template>,
}

/// A way to write a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stamp {
    /// As web servers do.
    Clf {
        /// East of UTC.
        minutes: i16,
    },
    /// As RFC 3339 and ISO 8601 do, more or less.
    Iso {
        /// Between date and time.
        separator: u8,
        /// Before the fraction.
        mark: u8,
        /// Of the fraction; none: no mark either.
        digits: u8,
        /// What stands behind it; see above.
        zone: u8,
        /// East of UTC.
        minutes: i16,
    },
}

impl Stamp {
    /// Makes a time that was written so one of the same second.
    pub fn put_fraction(self, written: &mut [u8], ns: i64) {
        let Self::Iso { digits, .. } = self else { return };
        let mut rest = ns.rem_euclid(SECOND_NS) / 10i64.pow(9 - u32::from(digits.min(9)));
        let fraction = written.get_mut(FRACTION..FRACTION + usize::from(digits.min(9))).unwrap_or_default();
        for place in fraction.iter_mut().rev() {
            *place = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
        }
    }

    /// Appends a time.
    pub fn put(self, out: &mut Vec<u8>, ns: i64) {
        let minutes = match self {
            Self::Clf { minutes } | Self::Iso { minutes, .. } => i64::from(minutes),
        };
        let local = ns.saturating_add(minutes * 60 * SECOND_NS);
        let (day, in_day) = (local.div_euclid(DAY_NS), local.rem_euclid(DAY_NS));
        let (second, fraction) = (in_day / SECOND_NS, in_day % SECOND_NS);
        let (year, month, date) = civil(day);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        match self {
            Self::Clf { .. } => {
                put_digits(out, date, 2);
                out.push(b'/');
                out.extend_from_slice(MONTHS.get(usize::try_from(month - 1).unwrap_or(0)).copied().unwrap_or(b"---"));
                out.push(b'/');
                put_digits(out, year, 4);
                for number in [hour, minute, second] {
                    out.push(b':');
                    put_digits(out, number, 2);
                }
                out.push(b' ');
                put_zone(out, minutes, false);
            }
            Self::Iso { separator, mark, digits, zone, .. } => {
                put_digits(out, year, 4);
                out.push(b'-');
                put_digits(out, month, 2);
                out.push(b'-');
                put_digits(out, date, 2);
                out.push(separator);
                put_digits(out, hour, 2);
                out.push(b':');
                put_digits(out, minute, 2);
                out.push(b':');
                put_digits(out, second, 2);
                if digits > 0 {
                    out.push(mark);
                    put_digits(out, fraction / 10i64.pow(9 - u32::from(digits.min(9))), usize::from(digits.min(9)));
                }
                match zone {
                    1 => out.push(b'Z'),
                    2 => put_zone(out, minutes, true),
                    3 => put_zone(out, minutes, false),
                    _ => {}
                }
            }
        }
    }

    /// The first place in a text where this time is written in a way known here: from, to, and the way.
    pub fn find(text: &[u8], ns: i64) -> Option<(usize, usize, Self)> {
        let mut written = Vec::new();
        (0..text.len()).find_map(|at| {
            let rest = text.get(at..)?;
            let (stamp, length) = Self::clf(rest).or_else(|| Self::iso(rest))?;
            written.clear();
            stamp.put(&mut written, ns);
            (rest.get(..length) == Some(&written[..])).then_some((at, at + length, stamp))
        })
    }

    fn clf(text: &[u8]) -> Option<(Self, usize)> {
        let text = text.get(..CLF_BYTES).filter(|text| text[2] == b'/' && text[6] == b'/' && text[11] == b':')?;
        Some((Self::Clf { minutes: zone(&text[21..])?.0 }, CLF_BYTES))
    }

    fn iso(text: &[u8]) -> Option<(Self, usize)> {
        let head = text.get(..19)?;
        let marks = [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')];
        if marks.iter().any(|(at, mark)| head[*at] != *mark) || !matches!(head[10], b'T' | b't' | b' ') {
            return None;
        }
        let (mut at, mut mark, mut digits) = (19, 0, 0u8);
        if let Some(found @ (b'.' | b',')) = text.get(19).copied() {
            let count = text[20..].iter().take(10).take_while(|byte| byte.is_ascii_digit()).count();
            if (1..=9).contains(&count) {
                (at, mark, digits) = (20 + count, found, u8::try_from(count).ok()?);
            }
        }
        let rest = text.get(at..)?;
        let (zone, minutes, length) = match rest.first() {
            Some(b'Z') => (1, 0, 1),
            _ => match zone(rest) {
                Some((minutes, 6)) => (2, minutes, 6),
                Some((minutes, length)) => (3, minutes, length),
                None => (0, 0, 0),
            },
        };
        Some((Self::Iso { separator: head[10], mark, digits, zone, minutes }, at + length))
    }
}

/// `+hh:mm` or `+hhmm` in front of a text: the minutes, and how long it is.
fn zone(text: &[u8]) -> Option<(i16, usize)> {
    let sign = match text.first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let colon = usize::from(text.get(3) == Some(&b':'));
    let digit = |at: usize| text.get(at).filter(|byte| byte.is_ascii_digit()).map(|byte| i16::from(byte - b'0'));
    let hours = digit(1)? * 10 + digit(2)?;
    let minutes = digit(3 + colon)? * 10 + digit(4 + colon)?;
    (hours < 24 && minutes < 60).then_some((sign * (hours * 60 + minutes), 5 + colon))
}

fn put_zone(out: &mut Vec<u8>, minutes: i64, colon: bool) {
    out.push(if minutes < 0 { b'-' } else { b'+' });
    put_digits(out, minutes.abs() / 60, 2);
    if colon {
        out.push(b':');
    }
    put_digits(out, minutes.abs() % 60, 2);
}

fn put_digits(out: &mut Vec<u8>, mut number: i64, width: usize) {
    let start = out.len();
    out.resize(start + width, b'0');
    for place in out[start..].iter_mut().rev() {
        *place = b'0' + u8::try_from(number.rem_euclid(10)).unwrap_or(0);
        number /= 10;
    }
}

/// Year, month and day of a number of days since 1970, by the proleptic Gregorian calendar.
fn civil(day: i64) -> (i64, i64, i64) {
    // Years that begin in March have their odd day at the end; 400 of them are 146,097 days.
    let shifted = day + 719_468;
    let (era, in_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (in_era - in_era / 1460 + in_era / 36_524 - in_era / 146_096) / 365;
    let in_year = in_era - (365 * year + year / 4 - year / 100);
    let month = (5 * in_year + 2) / 153;
    let date = in_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, date)
}

/// Templates as bytes; none where there are none.
pub fn encode(templates: &Templates) -> Vec<u8> {
    let mut out = Vec::new();
    if templates.messages.is_empty() && templates.payloads.is_empty() {
        return out;
    }
    put_list(&mut out, &templates.messages);
    if !templates.payloads.is_empty() {
        put_list(&mut out, &templates.payloads);
    }
    out
}

fn put_list(out: &mut Vec<u8>, templates: &[Template]) {
    put_varint(out, templates.len() as u64);
    for template in templates {
        put_varint(out, template.pieces.len() as u64);
        for piece in &template.pieces {
            match piece {
                Piece::Literal(bytes) => {
                    out.push(0);
                    put_bytes(out, bytes);
                }
                Piece::Field(column) => {
                    out.push(1);
                    put_varint(out, u64::from(*column));
                }
                Piece::Json(column) => {
                    out.push(4);
                    put_varint(out, u64::from(*column));
                }
                Piece::Time(Stamp::Clf { minutes }) => {
                    out.push(2);
                    put_zigzag(out, i64::from(*minutes));
                }
                Piece::Time(Stamp::Iso { separator, mark, digits, zone, minutes }) => {
                    out.extend_from_slice(&[3, *separator, *mark, *digits, *zone]);
                    put_zigzag(out, i64::from(*minutes));
                }
            }
        }
    }
}

/// Reads the templates of a part that has these columns.
pub fn decode(bytes: &[u8], columns: &[ColumnDir]) -> Option<Templates> {
    let mut reader = Reader(bytes);
    let messages = list(&mut reader, TEMPLATES, columns)?;
    let payloads = if reader.0.is_empty() { Vec::new() } else { list(&mut reader, PAYLOADS, columns)? };
    reader.0.is_empty().then_some(Templates { messages, payloads })
}

fn list(reader: &mut Reader<'_>, most: usize, columns: &[ColumnDir]) -> Option<Vec<Template>> {
    let count = reader.size().filter(|count| *count <= most)?;
    let mut templates = Vec::with_capacity(count);
    for _ in 0..count {
        let pieces = reader.size().filter(|pieces| *pieces <= PIECES)?;
        let mut template = Template::default();
        for _ in 0..pieces {
            let tag = reader.u8()?;
            template.pieces.push(match tag {
                0 => Piece::Literal(reader.bytes()?.to_vec()),
                1 | 4 => {
                    let column = reader.number()?;
                    let kind = columns.get(usize::try_from(column).ok()?)?.column.kind;
                    match (tag, kind) {
                        (4, Kind::Str) => Piece::Json(column),
                        (1, Kind::Str | Kind::Int | Kind::Float | Kind::Bool) => Piece::Field(column),
                        _ => return None,
                    }
                }
                2 => Piece::Time(Stamp::Clf { minutes: minutes(reader)? }),
                3 => {
                    let (separator, mark) = (reader.u8()?, reader.u8()?);
                    let digits = reader.u8().filter(|digits| *digits <= 9)?;
                    let zone = reader.u8().filter(|zone| *zone <= 3)?;
                    Piece::Time(Stamp::Iso { separator, mark, digits, zone, minutes: minutes(reader)? })
                }
                _ => return None,
            });
        }
        templates.push(template);
    }
    Some(templates)
}

fn minutes(reader: &mut Reader<'_>) -> Option<i16> {
    i16::try_from(reader.zigzag()?).ok().filter(|minutes| minutes.abs() < 24 * 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time;
    use crate::store::part::directory::Holds;

    #[test]
    fn times_are_found_and_written_as_they_stood() {
        for (text, utc) in [
            ("22/Nov/2026:00:56:46 +0000", "2026-11-22T00:56:46Z"),
            ("17/May/2015:10:05:03 +0200", "2015-05-17T08:05:03Z"),
            ("29/Feb/2024:23:59:59 -0330", "2024-03-01T03:29:59Z"),
            ("2026-11-22T00:56:46Z", "2026-11-22T00:56:46Z"),
            ("2026-11-22 00:56:46,123", "2026-11-22T00:56:46.123Z"),
            ("2026-11-22T00:56:46.123456+01:00", "2026-11-21T23:56:46.123456Z"),
            ("1969-12-31T23:00:00.5-0100", "1970-01-01T00:00:00.5Z"),
        ] {
            let ns = time::parse(utc).unwrap();
            let line = format!("a [{text}] b");
            let (from, to, stamp) = Stamp::find(line.as_bytes(), ns).unwrap();
            assert_eq!(&line[from..to], text);
            let mut written = Vec::new();
            stamp.put(&mut written, ns);
            assert_eq!(written, text.as_bytes());
            assert_eq!(Stamp::find(line.as_bytes(), ns + SECOND_NS), None, "another time");
        }
    }

    #[test]
    fn any_time_is_written_as_the_library_writes_it() {
        let stamp = Stamp::Iso { separator: b'T', mark: b'.', digits: 9, zone: 1, minutes: 0 };
        for step in -2000..4000i64 {
            let ns = step * 2_000_003_000_000_007;
            let mut written = Vec::new();
            stamp.put(&mut written, ns);
            assert_eq!(time::parse(std::str::from_utf8(&written).unwrap()), Some(ns));
            let other = ns.div_euclid(SECOND_NS) * SECOND_NS + step.rem_euclid(1000) * 1_000_003;
            stamp.put_fraction(&mut written, other);
            assert_eq!(time::parse(std::str::from_utf8(&written).unwrap()), Some(other));
        }
    }

    #[test]
    fn templates_come_back_and_noise_does_not() {
        let columns = |kind| ColumnDir {
            column: crate::store::source::Column { name: "a".into(), kind },
            blocks: Vec::new(),
            holds: Holds::Values,
        };
        let pieces = vec![
            Piece::Literal(b"GET ".to_vec()),
            Piece::Field(1),
            Piece::Time(Stamp::Clf { minutes: -90 }),
            Piece::Time(Stamp::Iso { separator: b' ', mark: b',', digits: 3, zone: 2, minutes: 60 }),
        ];
        let templates = Templates { messages: vec![Template { pieces }, Template::default()], payloads: Vec::new() };
        let bytes = encode(&templates);
        let dirs = [columns(Kind::List), columns(Kind::Int)];
        assert_eq!(decode(&bytes, &dirs), Some(templates));
        assert_eq!(decode(&bytes, &dirs[..1]), None, "a column that is not there");
        assert_eq!(decode(&bytes, &[columns(Kind::Int), columns(Kind::List)]), None, "a column that has no one text");
        for cut in 0..bytes.len() {
            assert_eq!(decode(&bytes[..cut], &dirs), None);
        }
        let payloads = vec![Template { pieces: vec![Piece::Literal(b"{".to_vec()), Piece::Json(0), Piece::Field(1)] }];
        let both = Templates { messages: Vec::new(), payloads };
        let bytes = encode(&both);
        let dirs = [columns(Kind::Str), columns(Kind::Bool)];
        assert_eq!(decode(&bytes, &dirs), Some(both));
        assert_eq!(decode(&bytes, &[columns(Kind::Int), columns(Kind::Bool)]), None, "JSON writes strings");
    }
}
