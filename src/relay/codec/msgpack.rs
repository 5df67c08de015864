//! MessagePack to JSON, in one pass, without a tree between.
//!
//! * A record is one value and nothing behind it.
//! * Maps become objects with their members in the order of the data, equal names too. Keys that are no strings become strings:
//!   numbers, booleans and nil as their JSON text, binary as its text if that is UTF-8 and else as base64, an array, map or
//!   extension as its JSON text.
//! * Extension -1 is an instant (RFC 3339, 9 digits if it has a fraction); another is `{"type":5,"data":"base64"}`, and so is an
//!   instant that is none (other lengths, more than 999,999,999 ns, years that have not four digits).
//!
//! Invariants: a length is believed only as far as there are bytes; nothing is allocated by it. Depth and size of the document
//! are bounded by [`super::document`].
//!
//! Why not `rmpv`: it builds a tree of vectors for every record, only to be walked once. The tests compare with it.

use super::document::{DEPTH, Writer, Wrong};

/// Writes a record's document. A string or binary that stands alone is not written: it is given back, for it is a message as it is.
pub(super) fn read<'p>(payload: &'p [u8], out: &mut Writer<'_>) -> Result<Option<&'p [u8]>, Wrong> {
    let mut input = Input { rest: payload };
    let alone = match input.rest.first() {
        Some(0xa0..=0xbf | 0xd9..=0xdb | 0xc4..=0xc6) => Some(input.text()?),
        _ => {
            input.value(out, 0)?;
            None
        }
    };
    match input.rest.len() {
        0 => Ok(alone),
        left => Err(Wrong::new(format!("{left} bytes stand behind the value: a record is one value"))),
    }
}

struct Input<'p> {
    rest: &'p [u8],
}

impl<'p> Input<'p> {
    fn take(&mut self, count: usize) -> Result<&'p [u8], Wrong> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or_else(|| Wrong::new("is cut off"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Wrong> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or_else(|| Wrong::new("is cut off"))?;
        self.rest = rest;
        Ok(*taken)
    }

    fn byte(&mut self) -> Result<u8, Wrong> {
        Ok(self.array::<1>()?[0])
    }

    fn length(&mut self, bytes: u8) -> Result<usize, Wrong> {
        Ok(match bytes {
            1 => self.byte()?.into(),
            2 => u16::from_be_bytes(self.array()?).into(),
            _ => usize::try_from(u32::from_be_bytes(self.array()?)).unwrap_or(usize::MAX),
        })
    }

    /// The bytes of a string or binary.
    fn text(&mut self) -> Result<&'p [u8], Wrong> {
        let length = match self.byte()? {
            marker @ 0xa0..=0xbf => usize::from(marker & 0x1f),
            marker @ 0xd9..=0xdb => self.length(1 << (marker - 0xd9))?,
            marker => self.length(1 << (marker & 3))?,
        };
        self.take(length)
    }

    fn value(&mut self, out: &mut Writer<'_>, depth: usize) -> Result<(), Wrong> {
        if depth > DEPTH {
            return Err(Wrong::new(format!("is nested deeper than {DEPTH}")));
        }
        let &marker = self.rest.first().ok_or_else(|| Wrong::new("is cut off"))?;
        match marker {
            0xa0..=0xbf | 0xd9..=0xdb => return out.string(self.text()?),
            0xc4..=0xc6 => return out.base64(self.text()?),
            _ => self.rest = &self.rest[1..],
        }
        match marker {
            0x00..=0x7f => out.uint(marker.into()),
            0xe0..=0xff => out.int(marker.cast_signed().into()),
            0x80..=0x8f => self.map(usize::from(marker & 15), out, depth),
            0xde => self.length(2).and_then(|count| self.map(count, out, depth)),
            0xdf => self.length(4).and_then(|count| self.map(count, out, depth)),
            0x90..=0x9f => self.list(usize::from(marker & 15), out, depth),
            0xdc => self.length(2).and_then(|count| self.list(count, out, depth)),
            0xdd => self.length(4).and_then(|count| self.list(count, out, depth)),
            0xc0 => out.null(),
            0xc2 => out.bool(false),
            0xc3 => out.bool(true),
            0xca => out.float(f32::from_be_bytes(self.array()?)),
            0xcb => out.double(f64::from_be_bytes(self.array()?)),
            0xcc => out.uint(self.byte()?.into()),
            0xcd => out.uint(u16::from_be_bytes(self.array()?).into()),
            0xce => out.uint(u32::from_be_bytes(self.array()?).into()),
            0xcf => out.uint(u64::from_be_bytes(self.array()?)),
            0xd0 => out.int(self.byte()?.cast_signed().into()),
            0xd1 => out.int(i16::from_be_bytes(self.array()?).into()),
            0xd2 => out.int(i32::from_be_bytes(self.array()?).into()),
            0xd3 => out.int(i64::from_be_bytes(self.array()?)),
            0xd4..=0xd8 => self.extension(1 << (marker - 0xd4), out),
            0xc7 => self.length(1).and_then(|length| self.extension(length, out)),
            0xc8 => self.length(2).and_then(|length| self.extension(length, out)),
            0xc9 => self.length(4).and_then(|length| self.extension(length, out)),
            // 0xc1, which the format leaves unused.
            _ => Err(Wrong::new("has the byte 0xc1 where a value should begin")),
        }
    }

    fn list(&mut self, count: usize, out: &mut Writer<'_>, depth: usize) -> Result<(), Wrong> {
        out.raw(b"[")?;
        for nth in 0..count {
            if nth > 0 {
                out.raw(b",")?;
            }
            self.value(out, depth + 1)?;
        }
        out.raw(b"]")
    }

    fn map(&mut self, count: usize, out: &mut Writer<'_>, depth: usize) -> Result<(), Wrong> {
        out.raw(b"{")?;
        for nth in 0..count {
            if nth > 0 {
                out.raw(b",")?;
            }
            self.key(out, depth + 1)?;
            out.raw(b":")?;
            self.value(out, depth + 1)?;
        }
        out.raw(b"}")
    }

    fn key(&mut self, out: &mut Writer<'_>, depth: usize) -> Result<(), Wrong> {
        match self.rest.first() {
            Some(0xa0..=0xbf | 0xd9..=0xdb) => out.string(self.text()?),
            Some(0xc4..=0xc6) => match self.text()? {
                text if simdutf8::basic::from_utf8(text).is_ok() => out.string(text),
                binary => out.base64(binary),
            },
            _ => {
                // Rare, so this may take memory of its own.
                let mut text = Vec::new();
                self.value(&mut Writer::new(&mut text, self.rest.len()), depth)?;
                // A NaN and an instant bring their quotes.
                let bare = text.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\"")).unwrap_or(&text);
                out.string(bare)
            }
        }
    }

    fn extension(&mut self, length: usize, out: &mut Writer<'_>) -> Result<(), Wrong> {
        let kind = self.byte()?.cast_signed();
        let data = self.take(length)?;
        let other = |out: &mut Writer<'_>| {
            out.raw(b"{\"type\":")?;
            out.int(kind.into())?;
            out.raw(b",\"data\":")?;
            out.base64(data)?;
            out.raw(b"}")
        };
        let instant = match data.len() {
            4 => data.first_chunk().map(|all| (i64::from(u32::from_be_bytes(*all)), 0)),
            8 => data.first_chunk().map(|all| {
                let both = u64::from_be_bytes(*all);
                // 34 bits of seconds.
                ((both & 0x3_ffff_ffff).cast_signed(), u32::try_from(both >> 34).unwrap_or(u32::MAX))
            }),
            12 => data
                .first_chunk()
                .zip(data.last_chunk())
                .map(|(nanos, seconds)| (i64::from_be_bytes(*seconds), u32::from_be_bytes(*nanos))),
            _ => None,
        };
        match instant {
            Some((seconds, 0)) if kind == -1 => out.seconds(seconds, 0, 1, "Z", other),
            Some((seconds, nanos @ ..1_000_000_000)) if kind == -1 => {
                out.seconds(seconds, nanos.into(), 1_000_000_000, "Z", other)
            }
            _ => other(out),
        }
    }
}
