//! The frame between host and guest, byte by byte. Host and SDK both use this module, so they cannot drift.
//!
//! Everything is little-endian. Nothing here allocates, needs `std`, or panics on any bytes: whoever reads a frame gets an error
//! or a value inside the frame's bounds.
//!
//! # The world of a filter (version 1)
//! A core module that exports
//! ```text
//! memory                                  one 32-bit memory
//! sawbox_abi() -> i32                     the version of this page that it speaks: 1
//! alloc(len: i32) -> i32                  room for a frame; it is the host's until the call that takes it returns
//! init(at: i32, len: i32) -> i64          the configuration, JSON text; once, before anything else
//! process(at: i32, len: i32) -> i64       an input frame; gives back an answer
//! ```
//! The two `i64` are an address in the low and a length in the high 32 bits. What they point at stays as it is until the next
//! call. A module may import the functions of [`import`], and nothing else but the inert part of WASI that [`wasi`] tells.
//!
//! The same world as a component (`guest-sdk/wit/sawbox.wit`): there frames are `list<u8>`, addresses count from a list's start,
//! and the answer to `process` is one list that begins with the head of [`answer`].
//!
//! # Versions
//! This page is version 1.0. The number that `sawbox_abi` gives and that frames carry is its first half, 1; it changes only when a
//! guest that was built before would be misunderstood. The second half counts additions: new imports, new flags whose bits were
//! 0. So:
//! * a guest of 1 runs on every box of 1.x whose imports it knows; one that imports what its box does not have yet is refused
//!   when it is loaded, with the name, and not when it is called;
//! * a box that speaks 2 goes on running guests of 1, because generations in its store refer to them; a box that speaks 1 refuses a
//!   guest of 2 when it is loaded, with both numbers;
//! * bits and numbers that are 0 here are written as 0 and not looked at; unknown kinds, operations and verdicts are errors, never
//!   skipped. `guest-sdk/vectors` has frames that every host and every SDK must read and write alike.
//!
//! # Answer to `init`
//! ```text
//!  0  u8   0 = ready, 1 = refused
//!  1  u8   flags: 1 = needs the payload, 2 = reads every field, 4 = a state schema follows
//!  2  u16  number of fields that it reads
//!  4  u32  (with flag 4) state schema: state that was kept under another one is not given to this filter; without it, 0
//!  4 or 8  those names, each: u16 length, bytes     (refused: the reason, UTF-8, from 4 to the end)
//! ```
//!
//! # Input frame, answer to `process`
//! See [`input`] and [`answer`].
//!
//! # Values
//! An entry of 16 bytes, the same in both directions:
//! ```text
//!  0  u32  name number in the low 24 bits; kind in the next 4; operation in the top 4
//!  4  u32  Str: length; else 0
//!  8  u64  Str: slot in the low, offset in the high 32 bits; in an input frame the slot is 0 and the offset is an address from
//!          the frame's start. Int: i64. Float: bits of f64. Bool: 0 or 1. None: 0
//! ```
//! Kinds: 0 None (only with operation Remove), 1 Str, 2 Int, 3 Float, 4 Bool.
//! Operations (answers only): 0 Set replaces whatever the field held; 1 Add makes it one more element of a list; 2 Remove;
//! 3 AddNew is Add unless an equal element is there.
//! Slots: 0 the record's payload; 1 the arena of this answer; 2 + k the k-th value of this record in the input frame.

pub mod answer;
pub mod import;
pub mod input;
pub mod wasi;

#[cfg(test)]
mod vectors;

pub use import::{GAVE_UP, NO_MATCH, pattern_kind};

/// The version that this page describes.
pub const VERSION: u32 = 1;

/// Names that a guest exports.
pub mod export {
    /// The interface in which a component has `init` and `process`.
    pub const GUEST: &str = "sawbox:filter/guest@1.0.0";
    /// The memory.
    pub const MEMORY: &str = "memory";
    /// The version it speaks.
    pub const VERSION: &str = "sawbox_abi";
    /// Room for a frame.
    pub const ALLOC: &str = "alloc";
    /// Takes the configuration.
    pub const INIT: &str = "init";
    /// Takes a batch.
    pub const PROCESS: &str = "process";
}

/// Bytes of a span that `pattern_match` writes.
pub const SPAN_BYTES: usize = 12;
/// Bytes of a value entry.
pub const VALUE_BYTES: usize = 16;
/// Greatest name number: 24 bits.
pub const MAX_NAME: u32 = (1 << 24) - 1;
/// Slot of the payload.
pub const SLOT_PAYLOAD: u32 = 0;
/// Slot of the answer's arena.
pub const SLOT_ARENA: u32 = 1;
/// Slot of the first value of the record in the input frame.
pub const SLOT_VALUES: u32 = 2;

/// A frame that does not hold what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameError(
    /// What does not fit, to be read after "the frame ".
    pub &'static str,
);

impl core::fmt::Display for FrameError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "the frame {}", self.0)
    }
}

impl core::error::Error for FrameError {}

/// What a value entry does to its field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Operation {
    /// Replaces what the field held.
    Set = 0,
    /// One more element.
    Add = 1,
    /// Takes the field away.
    Remove = 2,
    /// One more element, unless an equal one is there.
    AddNew = 3,
}

/// What a value entry holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Body {
    /// Nothing.
    None,
    /// Bytes that lie elsewhere. `slot` is 0 in input frames, where `at` counts from the frame's start.
    Str {
        /// In which bytes.
        slot: u32,
        /// From where.
        at: u32,
        /// How many.
        len: u32,
    },
    /// A whole number.
    Int(i64),
    /// A decimal number.
    Float(f64),
    /// Yes or no.
    Bool(bool),
}

/// A value entry.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ValueEntry {
    /// Number of the name.
    pub name: u32,
    /// What it does.
    pub operation: Operation,
    /// What it holds.
    pub body: Body,
}

/// A value entry that sets a string, which is what most do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StrEntry {
    /// Number of the name.
    pub name: u32,
    /// In which bytes the string lies.
    pub slot: u32,
    /// From where.
    pub at: u32,
    /// How many.
    pub len: u32,
}

impl StrEntry {
    /// From bytes, where they are such an entry: told by one comparison, and never put together in memory first.
    #[inline]
    pub fn decode(bytes: &[u8; VALUE_BYTES]) -> Option<Self> {
        let (head, len, body) = (u32_at(bytes, 0), u32_at(bytes, 4), u64_at(bytes, 8));
        (head >> 24 == 1).then_some(Self { name: head & MAX_NAME, slot: low(body), at: high(body), len })
    }
}

impl ValueEntry {
    /// As bytes.
    #[inline]
    pub fn encode(&self) -> [u8; VALUE_BYTES] {
        let (kind, len, body) = match self.body {
            Body::None => (0, 0, 0),
            Body::Str { slot, at, len } => (1, len, pack(slot, at)),
            Body::Int(value) => (2, 0, value.cast_unsigned()),
            Body::Float(value) => (3, 0, value.to_bits()),
            Body::Bool(value) => (4, 0, u64::from(value)),
        };
        Self::words(self.name, self.operation, kind, len, body)
    }

    /// The bytes of a string's entry, which is what most entries are; `place` is its slot and its offset, packed.
    #[inline]
    pub fn encode_str(name: u32, operation: Operation, place: u64, len: u32) -> [u8; VALUE_BYTES] {
        Self::words(name, operation, 1, len, place)
    }

    #[inline]
    fn words(name: u32, operation: Operation, kind: u32, len: u32, body: u64) -> [u8; VALUE_BYTES] {
        let head = (name & MAX_NAME) | kind << 24 | (operation as u32) << 28;
        // In one piece: a processor waits where it reads at once what was just written in several.
        (u128::from(pack(head, len)) | u128::from(body) << 64).to_le_bytes()
    }

    /// From bytes.
    ///
    /// # Errors
    /// An unknown kind or operation.
    #[inline]
    pub fn decode(bytes: &[u8; VALUE_BYTES]) -> Result<Self, FrameError> {
        let head = u32_at(bytes, 0);
        let len = u32_at(bytes, 4);
        let body = u64_at(bytes, 8);
        let body = match head >> 24 & 0xf {
            0 => Body::None,
            1 => Body::Str { slot: low(body), at: high(body), len },
            2 => Body::Int(body.cast_signed()),
            3 => Body::Float(f64::from_bits(body)),
            4 => Body::Bool(body != 0),
            _ => return Err(FrameError("has a value of an unknown kind")),
        };
        let operation = match head >> 28 {
            0 => Operation::Set,
            1 => Operation::Add,
            2 => Operation::Remove,
            3 => Operation::AddNew,
            _ => return Err(FrameError("has an unknown operation")),
        };
        Ok(Self { name: head & MAX_NAME, operation, body })
    }
}

/// The low half.
#[inline]
pub fn low(packed: u64) -> u32 {
    (packed & 0xffff_ffff) as u32
}

/// The high half.
#[inline]
pub fn high(packed: u64) -> u32 {
    (packed >> 32) as u32
}

/// Address and length in one number, as `init` and `process` give them back.
#[inline]
pub fn pack(at: u32, len: u32) -> u64 {
    u64::from(at) | u64::from(len) << 32
}

/// The number at `at`; 0 past the end.
#[inline]
pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    match bytes.get(at..).and_then(<[u8]>::first_chunk) {
        Some(four) => u32::from_le_bytes(*four),
        None => 0,
    }
}

/// The number at `at`; 0 past the end.
#[inline]
pub fn u64_at(bytes: &[u8], at: usize) -> u64 {
    match bytes.get(at..).and_then(<[u8]>::first_chunk) {
        Some(eight) => u64::from_le_bytes(*eight),
        None => 0,
    }
}

/// The slice `at..at + len`, where it is inside.
#[inline]
pub fn slice(bytes: &[u8], at: u32, len: u32) -> Option<&[u8]> {
    let at = at as usize;
    bytes.get(at..at.checked_add(len as usize)?)
}

/// Names, each `u16 length, bytes`, back to back; also the groups of a pattern after their number.
#[derive(Clone, Debug)]
pub struct Names<'a>(
    /// What is left.
    pub &'a [u8],
);

impl<'a> Iterator for Names<'a> {
    type Item = Result<&'a [u8], FrameError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let name =
            self.0.split_first_chunk::<2>().and_then(|(len, rest)| rest.split_at_checked(u16::from_le_bytes(*len).into()));
        let Some((name, rest)) = name else {
            self.0 = &[];
            return Some(Err(FrameError("has names that end early")));
        };
        self.0 = rest;
        Some(Ok(name))
    }
}

/// What `pattern_describe` writes: the named groups, each `u16 group, u16 length, name`. A name keeps its
/// type: `bytes:int`, `seconds:float`. A name may occur twice.
#[derive(Clone, Debug)]
pub struct Groups<'a>(
    /// What is left.
    pub &'a [u8],
);

impl<'a> Iterator for Groups<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (group, rest) = self.0.split_first_chunk::<2>()?;
        let (len, rest) = rest.split_first_chunk::<2>()?;
        let (name, rest) = rest.split_at_checked(u16::from_le_bytes(*len).into())?;
        self.0 = rest;
        Some((u16::from_le_bytes(*group), name))
    }
}

/// What a guest said to its configuration.
#[derive(Clone, Copy, Debug)]
pub enum InitAnswer<'a> {
    /// It is ready.
    Ready {
        /// Whether it looks at payloads.
        needs_payload: bool,
        /// Whether it looks at every field.
        reads_all: bool,
        /// How many names follow.
        count: u16,
        /// The fields that it reads, as [`Names`].
        reads: &'a [u8],
        /// Which state it understands.
        schema: u32,
    },
    /// It refuses the configuration.
    Refused(
        /// Why.
        &'a [u8],
    ),
}

/// Flag of an init answer.
pub const INIT_NEEDS_PAYLOAD: u8 = 1;
/// Flag of an init answer.
pub const INIT_READS_ALL: u8 = 2;
/// Flag of an init answer.
pub const INIT_SCHEMA: u8 = 4;

impl<'a> InitAnswer<'a> {
    /// From bytes.
    ///
    /// # Errors
    /// Where they are none.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, FrameError> {
        let Some((&[status, flags, count @ ..], rest)) = bytes.split_first_chunk::<4>() else {
            return Err(FrameError("ends early"));
        };
        match status {
            0 => {
                let count = u16::from_le_bytes(count);
                let (schema, rest) = match rest.split_first_chunk::<4>() {
                    Some((schema, rest)) if flags & INIT_SCHEMA != 0 => (u32::from_le_bytes(*schema), rest),
                    None if flags & INIT_SCHEMA != 0 => return Err(FrameError("ends early")),
                    Some(_) | None => (0, rest),
                };
                let mut names = 0;
                for name in Names(rest) {
                    name?;
                    names += 1;
                }
                if names != usize::from(count) {
                    return Err(FrameError("names more or fewer fields than it says"));
                }
                let (needs_payload, reads_all) = (flags & INIT_NEEDS_PAYLOAD != 0, flags & INIT_READS_ALL != 0);
                Ok(Self::Ready { needs_payload, reads_all, count, reads: rest, schema })
            }
            1 => Ok(Self::Refused(rest)),
            _ => Err(FrameError("has an unknown status")),
        }
    }
}
