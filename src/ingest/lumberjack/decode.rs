//! Lumberjack's frames, from bytes that anybody may have sent.
//!
//! On the wire, integers big-endian u32; `v` is the version byte, `1` or `2`:
//! ```text
//! v W count                                          a window: so many records follow
//! 1 D sequence pairs (length key length value)*      a record of v1; the pair `line` is its payload
//! 2 J sequence length document                       a record of v2, JSON
//! v C length zlib                                    compressed frames, no `C` and no `W` among them
//! v A sequence                                       what we answer; never comes in
//! ```
//! Invariants: bytes go in anywhere they happen to be cut, frames come out the same. Nothing is allocated by a length that was
//! not checked. Compressed frames are inflated as they are read, a step at a time; what a window may inflate to is capped.
//! Limits: below, and [`Limits`] by configuration. A document over the record limit is cut there and says so, because closing
//! the connection would make the shipper send it again for ever.
//! Why a decoder that is asked ([`Decoder::next`]) and not one that calls back: whoever asks can stop to wait for the queue.

use crate::base::limits::{HEADERS, RECORD_BYTES};
use crate::ingest::buffer::{Roll, SMALL};
use crate::ingest::inflate::{Encoding, Inflate, InflateError};

/// Longest name of a v1 pair: field names are words.
pub const NAME_BYTES: usize = 1024;
/// Longest `D` frame: a line at its limit and some pairs.
pub const LINE_BYTES: usize = RECORD_BYTES + 256 * 1024;
/// Longest document that is taken and cut. Filebeat's own limit for a line is 10 MiB.
pub const DOCUMENT_BYTES: usize = 16 * 1024 * 1024;
/// How much is inflated at a time.
const STEP: usize = 32 * 1024;

/// Limits of one connection.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most records a window may announce.
    pub window: u32,
    /// Largest compressed frame.
    pub compressed: usize,
    /// Most that a window's compressed frames may inflate to.
    pub inflated: u64,
}

/// Protocol version, which decides how one may answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// logstash-forwarder: one answer a window, at its end.
    V1,
    /// Beats: keep-alives and partial answers are understood.
    V2,
}

impl Version {
    /// The byte that stands for it.
    pub fn byte(self) -> u8 {
        match self {
            Self::V1 => b'1',
            Self::V2 => b'2',
        }
    }
}

/// Bytes that are no Lumberjack, or more of it than is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Neither `1` nor `2`.
    #[error("no Lumberjack: a frame begins with byte {0:#04x}{hint}", hint = if *.0 == 0x16 { " (TLS on a plaintext port)" } else { "" })]
    Version(u8),
    /// No frame type of ours.
    #[error("unknown frame type {0:#04x}")]
    Type(u8),
    /// A `C` or `W` inside of `C`.
    #[error("frame type {0:?} inside a compressed frame")]
    Nested(char),
    /// A length over its cap.
    #[error("{what} of {length} is over the limit of {limit}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// What was announced.
        length: u64,
        /// What is allowed.
        limit: u64,
    },
    /// The compressed frame is broken or inflates to too much.
    #[error("compressed frame: {0}")]
    Inflate(#[from] InflateError),
    /// A compressed frame that does not end where its frames end.
    #[error("compressed frame does not hold whole frames")]
    Ragged,
    /// A record that no window announced.
    #[error("record outside of a window")]
    NoWindow,
    /// Frames of both versions in one window.
    #[error("frames of both versions in one window")]
    Mixed,
}

/// What the bytes say.
#[derive(Clone, Copy, Debug)]
pub enum Frame<'a> {
    /// So many records follow.
    Window(Version, u32),
    /// A record of v1.
    Line {
        /// Version byte of the frame.
        version: Version,
        /// Its number.
        sequence: u32,
        /// Its pairs.
        pairs: Pairs<'a>,
    },
    /// A record of v2.
    Json {
        /// Version byte of the frame.
        version: Version,
        /// Its number.
        sequence: u32,
        /// The document, or as much of it as a record may hold.
        document: &'a [u8],
        /// How long it was.
        length: usize,
    },
}

/// The pairs of a v1 record: an iterator over (name, value) whose lengths were checked.
#[derive(Clone, Copy, Debug)]
pub struct Pairs<'a>(&'a [u8]);

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (name, rest) = counted(self.0)?;
        let (value, rest) = counted(rest)?;
        self.0 = rest;
        Some((name, value))
    }
}

fn counted(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(u32::from_be_bytes(*length) as usize)
}

/// What [`Decoder::next`] found.
#[derive(Debug)]
pub enum Next<'a> {
    /// A frame.
    Frame(Frame<'a>),
    /// Nothing until there is more input.
    Input,
    /// A large record begins: nothing until [`Decoder::grant`] allowed buffers of this size.
    Room(usize),
}

/// Cuts a connection's bytes into frames.
pub struct Decoder {
    limits: Limits,
    raw: Roll,
    inner: Roll,
    packed: Option<Packed>,
    /// Bytes of the current layer that the frame given last used up.
    taken: usize,
    /// Bytes of the current layer to pass over: the rest of a document that was cut.
    skip: usize,
    /// What this window's earlier compressed frames inflated to.
    inflated: u64,
    granted: usize,
    wanted: usize,
}

struct Packed {
    stream: Inflate,
    left: usize,
}

#[derive(Clone, Copy)]
enum Parsed {
    Need(usize),
    Compressed(usize),
    Window(Version, u32),
    Line(Version, u32, usize),
    Json(Version, u32, usize),
}

impl Decoder {
    /// A decoder at the beginning of a connection.
    pub fn new(limits: Limits) -> Self {
        let (raw, inner) = (Roll::default(), Roll::default());
        Self { limits, raw, inner, packed: None, taken: 0, skip: 0, inflated: 0, granted: SMALL, wanted: 0 }
    }

    /// Where to append what was read.
    pub fn input(&mut self) -> &mut Vec<u8> {
        self.settle();
        let missing = if self.packed.is_none() { self.wanted.saturating_sub(self.raw.data().len()) } else { 0 };
        self.raw.space(missing.clamp(SMALL / 2, self.granted.max(SMALL)))
    }

    /// Allows buffers of this size until the decoder [rests](Decoder::rest).
    pub fn grant(&mut self, size: usize) {
        self.granted = self.granted.max(size);
    }

    /// Between two frames with nothing in the buffers.
    pub fn is_clean(&self) -> bool {
        self.packed.is_none() && self.raw.data().len() <= self.taken && self.skip == 0
    }

    /// Gives back what memory it can, and the grant with it: between windows, and after what is large.
    pub fn rest(&mut self) {
        self.settle();
        self.raw.rest();
        self.inner.rest();
        self.granted = SMALL;
    }

    fn settle(&mut self) {
        let taken = std::mem::take(&mut self.taken);
        if self.packed.is_some() { self.inner.consume(taken) } else { self.raw.consume(taken) }
    }

    /// The next frame.
    ///
    /// # Errors
    /// The connection is then of no more use.
    #[allow(clippy::should_implement_trait)] // it lends
    pub fn next(&mut self) -> Result<Next<'_>, Malformed> {
        self.settle();
        let parsed = loop {
            if self.skip > 0 && !self.pass_over()? {
                return Ok(Next::Input);
            }
            let bytes = if self.packed.is_some() { self.inner.data() } else { self.raw.data() };
            match parse(bytes, self.packed.is_some(), &self.limits)? {
                Parsed::Need(size) if size > self.granted => return Ok(Next::Room(size)),
                Parsed::Need(size) if self.packed.is_none() => {
                    self.wanted = size;
                    return Ok(Next::Input);
                }
                Parsed::Need(size) => {
                    if !self.inflate(size)? {
                        return Ok(Next::Input);
                    }
                }
                Parsed::Compressed(length) => {
                    self.raw.consume(6);
                    let cap = self.limits.inflated.saturating_sub(self.inflated);
                    self.packed = Some(Packed { stream: Inflate::new(Encoding::Zlib, cap)?, left: length });
                }
                found => break found,
            }
        };
        let bytes = if self.packed.is_some() { self.inner.data() } else { self.raw.data() };
        let (taken, skip, frame) = match parsed {
            Parsed::Window(version, count) => (6, 0, Frame::Window(version, count)),
            Parsed::Line(version, sequence, end) => {
                (end, 0, Frame::Line { version, sequence, pairs: Pairs(bytes.get(10..end).unwrap_or_default()) })
            }
            Parsed::Json(version, sequence, length) => {
                let kept = length.min(RECORD_BYTES);
                let document = bytes.get(10..10 + kept).unwrap_or_default();
                (10 + kept, length - kept, Frame::Json { version, sequence, document, length })
            }
            // The loop above goes on for these.
            Parsed::Need(_) | Parsed::Compressed(_) => return Ok(Next::Input),
        };
        if matches!(frame, Frame::Window(..)) {
            self.inflated = 0;
        }
        (self.taken, self.skip) = (taken, skip);
        Ok(Next::Frame(frame))
    }

    fn pass_over(&mut self) -> Result<bool, Malformed> {
        loop {
            let layer = if self.packed.is_some() { &mut self.inner } else { &mut self.raw };
            let passed = layer.data().len().min(self.skip);
            layer.consume(passed);
            self.skip -= passed;
            if self.skip == 0 {
                return Ok(true);
            }
            if self.packed.is_none() || !self.inflate(0)? {
                return Ok(false);
            }
        }
    }

    /// Inflates a step, or ends the compressed frame. False: there is no input for it.
    fn inflate(&mut self, wanted: usize) -> Result<bool, Malformed> {
        let Some(packed) = &mut self.packed else { return Ok(true) };
        if packed.stream.at_rest() {
            if packed.left > 0 || !self.inner.data().is_empty() || self.skip > 0 {
                return Err(Malformed::Ragged);
            }
            self.inflated += packed.stream.given();
            self.packed = None;
            return Ok(true);
        }
        let available = self.raw.data();
        let input = &available[..available.len().min(packed.left)];
        let room = STEP.max(wanted.saturating_sub(self.inner.data().len()));
        let step = packed.stream.step(input, self.inner.space(room), room)?;
        self.raw.consume(step.taken);
        packed.left -= step.taken;
        if step.taken == 0 && step.given == 0 && !packed.stream.at_rest() {
            return if packed.left == 0 { Err(Malformed::Ragged) } else { Ok(false) };
        }
        Ok(true)
    }
}

fn parse(bytes: &[u8], packed: bool, limits: &Limits) -> Result<Parsed, Malformed> {
    let version = match bytes.first() {
        None => return Ok(Parsed::Need(2)),
        Some(b'1') => Version::V1,
        Some(b'2') => Version::V2,
        Some(other) => return Err(Malformed::Version(*other)),
    };
    let Some(kind) = bytes.get(1) else { return Ok(Parsed::Need(2)) };
    if packed && matches!(kind, b'C' | b'W') {
        return Err(Malformed::Nested(char::from(*kind)));
    }
    match kind {
        b'W' => match number(bytes, 2) {
            None => Ok(Parsed::Need(6)),
            Some(count) => at_most("window", count, limits.window as usize).map(|_| Parsed::Window(version, count)),
        },
        b'C' => match number(bytes, 2) {
            None => Ok(Parsed::Need(6)),
            Some(length) => at_most("compressed frame", length, limits.compressed).map(Parsed::Compressed),
        },
        b'J' => {
            let (Some(sequence), Some(length)) = (number(bytes, 2), number(bytes, 6)) else { return Ok(Parsed::Need(10)) };
            let length = at_most("document", length, DOCUMENT_BYTES)?;
            let end = 10 + length.min(RECORD_BYTES);
            Ok(if bytes.len() < end { Parsed::Need(end) } else { Parsed::Json(version, sequence, length) })
        }
        b'D' => {
            let (Some(sequence), Some(pairs)) = (number(bytes, 2), number(bytes, 6)) else { return Ok(Parsed::Need(10)) };
            line(bytes, version, sequence, at_most("number of pairs", pairs, HEADERS)?)
        }
        other => Err(Malformed::Type(*other)),
    }
}

fn line(bytes: &[u8], version: Version, sequence: u32, pairs: usize) -> Result<Parsed, Malformed> {
    let mut at = 10;
    for half in 0..pairs * 2 {
        let Some(length) = number(bytes, at) else { return Ok(Parsed::Need(at + 4)) };
        let (what, limit) = if half % 2 == 0 { ("name", NAME_BYTES) } else { ("record", LINE_BYTES - at.min(LINE_BYTES)) };
        at += 4 + at_most(what, length, limit)?;
    }
    Ok(if bytes.len() < at { Parsed::Need(at) } else { Parsed::Line(version, sequence, at) })
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk::<4>().map(|four| u32::from_be_bytes(*four))
}

fn at_most(what: &'static str, length: u32, limit: usize) -> Result<usize, Malformed> {
    match usize::try_from(length) {
        Ok(length) if length <= limit => Ok(length),
        _ => Err(Malformed::TooLarge { what, length: u64::from(length), limit: limit as u64 }),
    }
}
