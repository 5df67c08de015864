//! What a filter sees of a record: borrowed from the input frame.

use crate::abi::input::{Reader, RecordEntry};
use crate::abi::{Body, StrEntry, VALUE_BYTES, ValueEntry};
use crate::state::State;

/// A field that was declared as read; see [`crate::Setup::reads`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Read(pub(crate) u32);

/// One value of a field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// A string, as bytes; not always UTF-8.
    Str(&'a [u8]),
    /// A whole number.
    Int(i64),
    /// A decimal number.
    Float(f64),
    /// Yes or no.
    Bool(bool),
}

impl<'a> Value<'a> {
    /// The bytes of a string.
    pub fn as_bytes(&self) -> Option<&'a [u8]> {
        match *self {
            Value::Str(bytes) => Some(bytes),
            Value::Int(_) | Value::Float(_) | Value::Bool(_) => None,
        }
    }
}

impl<'a> From<&'a [u8]> for Value<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Value::Str(bytes)
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Value<'a> {
    fn from(bytes: &'a [u8; N]) -> Self {
        Value::Str(bytes)
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Value::Str(text.as_bytes())
    }
}

impl<'a> From<&'a String> for Value<'a> {
    fn from(text: &'a String) -> Self {
        Value::Str(text.as_bytes())
    }
}

impl<'a> From<&'a Vec<u8>> for Value<'a> {
    fn from(bytes: &'a Vec<u8>) -> Self {
        Value::Str(bytes)
    }
}

impl From<i64> for Value<'_> {
    fn from(value: i64) -> Self {
        Value::Int(value)
    }
}

impl From<f64> for Value<'_> {
    fn from(value: f64) -> Self {
        Value::Float(value)
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Value::Bool(value)
    }
}

/// One record, and the fields that it has so far.
///
/// The record's headers are fields: a receiver that knows the sending host gave it as `host`.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    pub(crate) index: u32,
    pub(crate) frame: Reader<'a>,
    pub(crate) entry: RecordEntry,
    pub(crate) payload: &'a [u8],
    pub(crate) values: &'a [[u8; VALUE_BYTES]],
    pub(crate) reads_all: bool,
    pub(crate) reads: &'a [String],
}

impl<'a> Record<'a> {
    /// The bytes that arrived; empty where the filter said that it does not need them.
    #[inline]
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// Its place in the partition.
    pub fn offset(&self) -> u64 {
        self.entry.offset
    }

    /// When it arrived, nanoseconds since 1970: the only clock there is.
    pub fn arrival_ns(&self) -> i64 {
        self.entry.arrival_ns
    }

    /// The producer's own time, milliseconds since 1970.
    pub fn timestamp_ms(&self) -> i64 {
        self.entry.timestamp_ms
    }

    /// The row's time, nanoseconds since 1970, where a filter before this one set it.
    pub fn time_ns(&self) -> Option<i64> {
        self.entry.time_ns
    }

    /// Whether it is no record, but an entry of the filter's state whose wait is over ([`State::wait`]): its payload is the value.
    pub fn is_expired(&self) -> bool {
        self.index < self.frame.expired()
    }

    /// What this filter remembers from record to record; what it writes stands only if it handles this record.
    pub fn state(&self) -> State {
        State { record: self.index, arrival_ns: self.entry.arrival_ns, offset: self.entry.offset }
    }

    /// The (first) value of a declared field.
    #[inline]
    pub fn get(&self, field: Read) -> Option<Value<'a>> {
        if self.reads_all {
            return self.all(field).next();
        }
        let entries = self.values.iter().map_while(|value| ValueEntry::decode(value).ok());
        entries.filter(|entry| entry.name == field.0).find_map(|entry| self.value_of(entry.body))
    }

    /// The bytes of a declared field, where it is a string.
    #[inline]
    pub fn bytes(&self, field: Read) -> Option<&'a [u8]> {
        // Mostly it is the first, which is told without a loop.
        match self.values.first().and_then(StrEntry::decode) {
            Some(first) if first.name == field.0 && !self.reads_all => Some(self.frame.bytes(first.at, first.len)),
            _ => self.bytes_behind(field),
        }
    }

    #[inline(never)]
    fn bytes_behind(&self, field: Read) -> Option<&'a [u8]> {
        self.get(field)?.as_bytes()
    }

    /// All values of a declared field: more than one where it is a list.
    pub fn all(&self, field: Read) -> impl Iterator<Item = Value<'a>> + use<'a> {
        let mut values = self.values();
        if self.reads_all {
            // Then the frame has its own numbers: find this field's.
            let wanted = self.reads.get(field.0 as usize).map_or("", String::as_str);
            let mut numbers = (0u32..).take(self.frame.names());
            values.only = Some(numbers.find(|&number| self.frame.name(number) == wanted.as_bytes()).unwrap_or(u32::MAX));
        } else {
            values.only = Some(field.0);
        }
        values.map(|(_, value)| value)
    }

    /// Every field with its name, in the order they were set.
    pub fn values(&self) -> Values<'a> {
        Values { record: *self, at: 0, only: None }
    }

    #[inline]
    fn value_of(&self, body: Body) -> Option<Value<'a>> {
        Some(match body {
            Body::Str { at, len, .. } => Value::Str(self.frame.bytes(at, len)),
            Body::Int(value) => Value::Int(value),
            Body::Float(value) => Value::Float(value),
            Body::Bool(value) => Value::Bool(value),
            Body::None => return None,
        })
    }

    /// The bytes of value `index`, where it is a string.
    pub(crate) fn str_at(&self, index: usize) -> Option<&'a [u8]> {
        match ValueEntry::decode(self.values.get(index)?).ok()?.body {
            Body::Str { at, len, .. } => Some(self.frame.bytes(at, len)),
            Body::None | Body::Int(_) | Body::Float(_) | Body::Bool(_) => None,
        }
    }
}

/// Fields of a record.
#[derive(Clone, Debug)]
pub struct Values<'a> {
    record: Record<'a>,
    at: usize,
    only: Option<u32>,
}

impl<'a> Iterator for Values<'a> {
    type Item = (&'a [u8], Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let entry = ValueEntry::decode(self.record.values.get(self.at)?).ok()?;
            self.at += 1;
            if self.only.is_some_and(|only| only != entry.name) {
                continue;
            }
            let name = if self.record.reads_all {
                self.record.frame.name(entry.name)
            } else {
                self.record.reads.get(entry.name as usize).map_or(&[] as &[u8], |name| name.as_bytes())
            };
            if let Some(value) = self.record.value_of(entry.body) {
                return Some((name, value));
            }
        }
    }
}
