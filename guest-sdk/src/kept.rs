//! A record kept for later: its line, its fields and its time as bytes, to be put into the state and made a row of again.
//!
//! ```text
//! u64 offset | i64 time, ns | u32 length of the fields, fields | the line
//! field: u8 length of the name, name | u8 kind | kind 1: u32 length, bytes; 2: i64; 3: bits of f64; 4: u8
//! ```
//! `message` is no field here: the line is. Fields past [`FIELD_BYTES`] are left out, as are names of more than 255 bytes.

use std::hash::{DefaultHasher, Hasher};

use crate::record::{Record, Value};
use crate::verdict::Verdict;

/// Most bytes of fields.
const FIELD_BYTES: usize = 32 * 1024;
/// Values up to this stand in a key as they are.
const KEY_BYTES: usize = 64;

/// A record that was kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// The offset that a row made of it has for its origin: that of the last record that went into it.
    pub offset: u64,
    /// The row's time: what a filter before said, else the arrival time.
    pub time_ns: i64,
    /// What it says.
    pub line: Vec<u8>,
    fields: Vec<u8>,
}

impl Kept {
    /// Keeps a record of a filter that reads every field.
    pub fn of(record: &Record<'_>) -> Self {
        let mut kept = Self {
            offset: record.offset(),
            time_ns: record.time_ns().unwrap_or(record.arrival_ns()),
            line: line(record).to_vec(),
            fields: Vec::new(),
        };
        for (name, value) in record.values() {
            let (Ok(len), false) = (u8::try_from(name.len()), name == b"message") else { continue };
            let start = kept.fields.len();
            kept.fields.push(len);
            kept.fields.extend_from_slice(name);
            match value {
                Value::Str(bytes) => {
                    kept.fields.push(1);
                    kept.fields.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
                    kept.fields.extend_from_slice(bytes);
                }
                Value::Int(number) => {
                    kept.fields.push(2);
                    kept.fields.extend_from_slice(&number.to_le_bytes());
                }
                Value::Float(number) => {
                    kept.fields.push(3);
                    kept.fields.extend_from_slice(&number.to_bits().to_le_bytes());
                }
                Value::Bool(yes) => kept.fields.extend_from_slice(&[4, u8::from(yes)]),
            }
            if kept.fields.len() > FIELD_BYTES {
                kept.fields.truncate(start);
            }
        }
        kept
    }

    /// As bytes, behind what is in `out` already.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.offset.to_le_bytes());
        out.extend_from_slice(&self.time_ns.to_le_bytes());
        out.extend_from_slice(&u32::try_from(self.fields.len()).unwrap_or(0).to_le_bytes());
        out.extend_from_slice(&self.fields);
        out.extend_from_slice(&self.line);
    }

    /// From bytes.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let (offset, bytes) = bytes.split_first_chunk()?;
        let (time, bytes) = bytes.split_first_chunk()?;
        let (fields, bytes) = bytes.split_first_chunk()?;
        let (fields, line) = bytes.split_at_checked(u32::from_le_bytes(*fields) as usize)?;
        Some(Self {
            offset: u64::from_le_bytes(*offset),
            time_ns: i64::from_le_bytes(*time),
            line: line.to_vec(),
            fields: fields.to_vec(),
        })
    }

    /// Makes the verdict's row of it: its line as the payload, its fields, its time.
    pub fn join(&self, verdict: &mut Verdict<'_>) {
        verdict.join(self.offset, &self.line);
        verdict.set_time(self.time_ns);
        let mut rest = self.fields.as_slice();
        while let Some((name, value, later)) = field(rest) {
            rest = later;
            verdict.add(name, value);
        }
    }
}

/// What a record says: the field `message` where an earlier filter or the receiver made one, else its payload.
pub fn line<'a>(record: &Record<'a>) -> &'a [u8] {
    let message = record.values().find(|(name, _)| *name == b"message");
    message.and_then(|(_, value)| value.as_bytes()).unwrap_or(record.payload())
}

fn field(bytes: &[u8]) -> Option<(&str, Value<'_>, &[u8])> {
    let (&len, bytes) = bytes.split_first()?;
    let (name, bytes) = bytes.split_at_checked(len.into())?;
    let (&kind, bytes) = bytes.split_first()?;
    let (value, bytes) = match kind {
        1 => {
            let (len, bytes) = bytes.split_first_chunk()?;
            let (value, bytes) = bytes.split_at_checked(u32::from_le_bytes(*len) as usize)?;
            (Value::Str(value), bytes)
        }
        2 | 3 => {
            let (number, bytes) = bytes.split_first_chunk()?;
            let value = match kind {
                2 => Value::Int(i64::from_le_bytes(*number)),
                _ => Value::Float(f64::from_le_bytes(*number)),
            };
            (value, bytes)
        }
        _ => {
            let (&yes, bytes) = bytes.split_first()?;
            (Value::Bool(yes != 0), bytes)
        }
    };
    Some((core::str::from_utf8(name).ok()?, value, bytes))
}

/// A key of the state made of values, each with its kind and length, so that no two lists of values have the same; values that are
/// long are hashed (128 bits).
pub fn key<'a>(out: &mut Vec<u8>, values: impl Iterator<Item = Option<Value<'a>>>) {
    out.clear();
    for value in values {
        match value {
            None => out.push(0),
            Some(Value::Str(bytes)) if bytes.len() <= KEY_BYTES => {
                out.push(1);
                out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(0).to_le_bytes());
                out.extend_from_slice(bytes);
            }
            Some(Value::Str(bytes)) => {
                out.push(2);
                out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
                for seed in 0u8..2 {
                    // SipHash with fixed keys: the same in every instance.
                    let mut hasher = DefaultHasher::new();
                    hasher.write_u8(seed);
                    hasher.write(bytes);
                    out.extend_from_slice(&hasher.finish().to_le_bytes());
                }
            }
            Some(Value::Int(number)) => {
                out.push(3);
                out.extend_from_slice(&number.to_le_bytes());
            }
            Some(Value::Float(number)) => {
                out.push(4);
                out.extend_from_slice(&number.to_bits().to_le_bytes());
            }
            Some(Value::Bool(yes)) => out.extend_from_slice(&[5, u8::from(yes)]),
        }
    }
}
