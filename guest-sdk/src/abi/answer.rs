//! The answer to `process`: a head that says where its sections lie in the guest's memory.
//!
//! ```text
//!  0  u32  version, 1
//!  4  u32  records: as many as the input frame had
//!  8  verdicts:  u32 address, u32 length in bytes
//! 16  values:    likewise
//! 24  names:     likewise
//! 32  emissions: likewise
//! 40  headers:   likewise
//! 48  arena:     likewise
//! 56  u64  0
//! ```
//! Sections lie anywhere in the guest's memory, so that nothing needs to be moved together; the host copies the arena and only
//! reads the others. An address of an empty section means nothing.
//! ```text
//! verdict, 24 bytes, one a record, in order:
//!    0  u8   0 store, 1 drop, 2 fail, 3 hold: no row of it now, the filter keeps it in its state
//!    1  u8   flags: 1 = the fields say all that the payload says (no message is made of it); 2 = joined
//!    2  u16  0
//!    4  u32  how many entries of `values` are this record's; they stand in the records' order
//!    8  u32  offset, 12 u32 length of the reason in the arena
//!   16  u32  how many entries of `emissions` are this record's
//!   20  u32  joined: how many offsets before this record the last one lies that the row is made of; else 0
//! Joined (with store): the row is not this record's but one that the filter made of records it held. It begins anew: its payload is
//! what 8 and 12 say, it has no fields but those of this verdict, and its origin is the record that lies so far back. This record
//! itself is among them (0 back) or is held.
//! value, 16 bytes: see [`super`]
//! names: each u16 length, bytes; numbered from 0
//! emission, 32 bytes:
//!    0  u32  offset, 4 u32 length of the topic in the arena
//!    8  u32  slot, 12 u32 offset, 16 u32 length of the payload; slot 0 with length 0xffff_ffff is the record's payload, whole
//!   20  u32  how many entries of `headers` are this emission's
//!   24  u32  flags: 1 = the record's own headers too, before these
//!   28  u32  0
//! header, 24 bytes:
//!    0  u32  offset, 4 u32 length of the name in the arena
//!    8  u32  slot, 12 u32 offset, 16 u32 length of the value
//!   20  u32  0
//! ```

use super::{FrameError, VALUE_BYTES, VERSION, slice, u32_at};

/// Bytes of the head.
pub const HEAD_BYTES: usize = 64;
/// Bytes of a verdict.
pub const VERDICT_BYTES: usize = 24;
/// Bytes of an emission.
pub const EMISSION_BYTES: usize = 32;
/// Bytes of an emission's header.
pub const HEADER_BYTES: usize = 24;
/// Flag of a verdict: no message is made of the payload.
pub const VERDICT_CONSUMED: u8 = 1;
/// Flag of a verdict: the row is made of records that were held.
pub const VERDICT_JOINED: u8 = 2;
/// Length that stands for the whole payload: a filter that does not see payloads can pass one on.
pub const WHOLE: u32 = u32::MAX;
/// Flag of an emission: with the record's own headers.
pub const EMISSION_HEADERS: u32 = 1;

/// What becomes of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// It goes on.
    Store = 0,
    /// It is left out.
    Drop = 1,
    /// It could not be handled.
    Fail = 2,
    /// The filter keeps it: no row is made of it now.
    Hold = 3,
}

/// A verdict entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerdictEntry {
    /// What becomes of the record.
    pub kind: Kind,
    /// Whether the fields say all that the payload says.
    pub consumed: bool,
    /// How many values.
    pub values: u32,
    /// Offset and length of the reason in the arena; of the new payload, where the row is joined.
    pub reason: (u32, u32),
    /// How many emissions.
    pub emissions: u32,
    /// The row is made of records that were held; the last of them lies so many offsets back.
    pub joined: Option<u32>,
}

impl VerdictEntry {
    /// As bytes.
    #[inline]
    pub fn encode(&self) -> [u8; VERDICT_BYTES] {
        let consumed = if self.consumed { VERDICT_CONSUMED } else { 0 };
        let joined = if self.joined.is_some() { VERDICT_JOINED } else { 0 };
        let kind = u32::from(self.kind as u8) | u32::from(consumed | joined) << 8;
        let words = [(kind, self.values), self.reason, (self.emissions, self.joined.unwrap_or(0))];
        let mut bytes = [0; VERDICT_BYTES];
        for (place, (low, high)) in bytes.as_chunks_mut().0.iter_mut().zip(words) {
            *place = super::pack(low, high).to_le_bytes();
        }
        bytes
    }

    /// From bytes.
    ///
    /// # Errors
    /// An unknown kind.
    #[inline]
    pub fn decode(bytes: &[u8; VERDICT_BYTES]) -> Result<Self, FrameError> {
        let kind = match bytes[0] {
            0 => Kind::Store,
            1 => Kind::Drop,
            2 => Kind::Fail,
            3 => Kind::Hold,
            _ => return Err(FrameError("has an unknown verdict")),
        };
        Ok(Self {
            kind,
            consumed: bytes[1] & VERDICT_CONSUMED != 0,
            values: u32_at(bytes, 4),
            reason: (u32_at(bytes, 8), u32_at(bytes, 12)),
            emissions: u32_at(bytes, 16),
            joined: (bytes[1] & VERDICT_JOINED != 0).then(|| u32_at(bytes, 20)),
        })
    }
}

/// An emission entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EmissionEntry {
    /// Offset and length of the topic in the arena.
    pub topic: (u32, u32),
    /// Slot, offset and length of the payload.
    pub payload: (u32, u32, u32),
    /// How many headers.
    pub headers: u32,
    /// Whether the record's own headers go before them.
    pub with_headers: bool,
}

impl EmissionEntry {
    /// As bytes.
    pub fn encode(&self) -> [u8; EMISSION_BYTES] {
        let flags = if self.with_headers { EMISSION_HEADERS } else { 0 };
        let (slot, at, len) = self.payload;
        words([self.topic.0, self.topic.1, slot, at, len, self.headers, flags, 0])
    }

    /// From bytes.
    pub fn decode(bytes: &[u8; EMISSION_BYTES]) -> Self {
        Self {
            topic: (u32_at(bytes, 0), u32_at(bytes, 4)),
            payload: (u32_at(bytes, 8), u32_at(bytes, 12), u32_at(bytes, 16)),
            headers: u32_at(bytes, 20),
            with_headers: u32_at(bytes, 24) & EMISSION_HEADERS != 0,
        }
    }
}

/// A header entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderEntry {
    /// Offset and length of the name in the arena.
    pub name: (u32, u32),
    /// Slot, offset and length of the value.
    pub value: (u32, u32, u32),
}

impl HeaderEntry {
    /// As bytes.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let (slot, at, len) = self.value;
        words([self.name.0, self.name.1, slot, at, len, 0])
    }

    /// From bytes.
    pub fn decode(bytes: &[u8; HEADER_BYTES]) -> Self {
        Self { name: (u32_at(bytes, 0), u32_at(bytes, 4)), value: (u32_at(bytes, 8), u32_at(bytes, 12), u32_at(bytes, 16)) }
    }
}

fn words<const N: usize, const B: usize>(words: [u32; N]) -> [u8; B] {
    let mut bytes = [0; B];
    for (place, word) in bytes.as_chunks_mut().0.iter_mut().zip(words) {
        *place = word.to_le_bytes();
    }
    bytes
}

/// Where the sections lie: address and length in bytes of each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Records.
    pub records: u32,
    /// One a record.
    pub verdicts: (u32, u32),
    /// Values.
    pub values: (u32, u32),
    /// Names.
    pub names: (u32, u32),
    /// Emissions.
    pub emissions: (u32, u32),
    /// Headers of emissions.
    pub headers: (u32, u32),
    /// What slot 1 means.
    pub arena: (u32, u32),
}

impl Head {
    fn sections(&self) -> [(u32, u32); 6] {
        [self.verdicts, self.values, self.names, self.emissions, self.headers, self.arena]
    }

    /// As bytes.
    pub fn encode(&self) -> [u8; HEAD_BYTES] {
        let [a, b, c, d, e, f] = self.sections();
        words([VERSION, self.records, a.0, a.1, b.0, b.1, c.0, c.1, d.0, d.1, e.0, e.1, f.0, f.1, 0, 0])
    }

    /// From bytes.
    ///
    /// # Errors
    /// Too few of them, or another version.
    pub fn decode(bytes: &[u8]) -> Result<Self, FrameError> {
        if bytes.len() < HEAD_BYTES {
            return Err(FrameError("ends early"));
        }
        if u32_at(bytes, 0) != VERSION {
            return Err(FrameError("is of another version"));
        }
        let pair = |at| (u32_at(bytes, at), u32_at(bytes, at + 4));
        Ok(Self {
            records: u32_at(bytes, 4),
            verdicts: pair(8),
            values: pair(16),
            names: pair(24),
            emissions: pair(32),
            headers: pair(40),
            arena: pair(48),
        })
    }
}

/// An answer whose sections are inside the guest's memory. What the entries say is not checked yet.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// One a record.
    pub verdicts: &'a [[u8; VERDICT_BYTES]],
    /// Values.
    pub values: &'a [[u8; VALUE_BYTES]],
    /// Names, to be read with [`super::Names`].
    pub names: &'a [u8],
    /// Emissions.
    pub emissions: &'a [[u8; EMISSION_BYTES]],
    /// Headers.
    pub headers: &'a [[u8; HEADER_BYTES]],
    /// Slot 1.
    pub arena: &'a [u8],
}

impl<'a> Answer<'a> {
    /// The answer that `process` pointed at, to an input frame of `records` records. `limit` is for all its sections together.
    ///
    /// # Errors
    /// A section outside of the memory, of a length that is no whole number of entries, or too long; another number of records.
    pub fn decode(memory: &'a [u8], packed: u64, records: usize, limit: usize) -> Result<Self, FrameError> {
        let outside = FrameError("points outside of the filter's memory");
        let head = Head::decode(slice(memory, super::low(packed), super::high(packed)).ok_or(outside)?)?;
        if head.records as usize != records {
            return Err(FrameError("answers for another number of records"));
        }
        let mut sum = 0usize;
        for (_, len) in head.sections() {
            sum = sum.saturating_add(len as usize);
        }
        if sum > limit {
            return Err(FrameError("is larger than an answer may be"));
        }
        let section = |(at, len)| if len == 0 { Some(&[] as &[u8]) } else { slice(memory, at, len) };
        let answer = Self {
            verdicts: entries(section(head.verdicts).ok_or(outside)?)?,
            values: entries(section(head.values).ok_or(outside)?)?,
            names: section(head.names).ok_or(outside)?,
            emissions: entries(section(head.emissions).ok_or(outside)?)?,
            headers: entries(section(head.headers).ok_or(outside)?)?,
            arena: section(head.arena).ok_or(outside)?,
        };
        if answer.verdicts.len() != records {
            return Err(FrameError("has more or fewer verdicts than records"));
        }
        Ok(answer)
    }
}

fn entries<const N: usize>(bytes: &[u8]) -> Result<&[[u8; N]], FrameError> {
    match bytes.as_chunks() {
        (entries, []) => Ok(entries),
        _ => Err(FrameError("has half an entry at the end of a section")),
    }
}
