//! An event that is not complete yet, as the state keeps it.
//!
//! ```text
//! u32 lines | u64 offset of the first line | the first line as `Kept` writes it, its line grown to all lines and its offset the last
//! ```

use sawbox_guest::{Kept, Record, kept};

/// An event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) lines: u32,
    pub(crate) first: u64,
    pub(crate) kept: Kept,
}

impl Event {
    pub(crate) fn of(kept: Kept) -> Self {
        Self { lines: 1, first: kept.offset, kept }
    }

    pub(crate) fn add(&mut self, offset: u64, separator: &[u8], line: &[u8]) {
        self.lines = self.lines.saturating_add(1);
        self.kept.offset = offset;
        self.kept.line.extend_from_slice(separator);
        self.kept.line.extend_from_slice(line);
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.lines.to_le_bytes());
        out.extend_from_slice(&self.first.to_le_bytes());
        self.kept.write(out);
    }

    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let (lines, bytes) = bytes.split_first_chunk()?;
        let (first, bytes) = bytes.split_first_chunk()?;
        Some(Self { lines: u32::from_le_bytes(*lines), first: u64::from_le_bytes(*first), kept: Kept::read(bytes)? })
    }
}

/// What tells a record's source: the values of these fields.
pub(crate) fn source(out: &mut Vec<u8>, record: &Record<'_>, key: &[String]) {
    let value = |name: &String| record.values().find(|(field, _)| *field == name.as_bytes()).map(|(_, value)| value);
    kept::key(out, key.iter().map(value));
}
