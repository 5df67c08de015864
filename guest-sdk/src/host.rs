//! What the host does for a filter: logging, the configuration, and patterns (grok, regular expressions). See also
//! [`crate::Lookup`] and [`crate::State`].
//!
//! In Wasm these are imports. Natively (tests) log lines go to standard error and patterns to whatever
//! `testing::set_patterns` was given.

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use native as raw;
#[cfg(target_arch = "wasm32")]
pub(crate) use wasm as raw;

use crate::abi::{Groups, NO_MATCH, SPAN_BYTES, pattern_kind, u32_at};

/// How much a log line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Something is wrong.
    Error = 1,
    /// Something may be.
    Warn = 2,
    /// Good to know.
    Info = 3,
    /// For the filter's author.
    Debug = 4,
}

/// Writes a line to the box's log. The host keeps only a few a call.
pub fn log(level: Level, text: &str) {
    raw::log(level as i32, text.as_bytes());
}

#[cfg(target_arch = "wasm32")]
pub(crate) fn log_panic(text: &str) {
    raw::log(0, text.as_bytes());
}

/// How a pattern is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatternKind {
    /// Logstash's grok: `%{IP:client} %{NUMBER:bytes:int}`.
    Grok,
    /// The same, with the Elastic Common Schema's field names.
    GrokEcs,
    /// A regular expression with named groups.
    Regex,
}

/// A pattern that the host compiled.
#[derive(Debug)]
pub struct Pattern {
    handle: i32,
    groups: Vec<(u16, String)>,
    spans: Vec<u8>,
}

/// What came of trying a pattern.
#[derive(Debug)]
pub enum Match<'p> {
    /// It matched. Spans of the named groups that captured something, in the expression's order.
    Found(Spans<'p>),
    /// It does not match.
    NotFound,
    /// The engine gave up: too much backtracking. Not the same as no match: fail or tag the record.
    GaveUp,
}

/// Captures: (group, start, end).
#[derive(Clone, Debug)]
pub struct Spans<'p>(core::slice::Iter<'p, [u8; SPAN_BYTES]>);

impl Iterator for Spans<'_> {
    type Item = (u16, usize, usize);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let span = self.0.next()?;
        let group = u16::try_from(u32_at(span, 0)).unwrap_or(u16::MAX);
        Some((group, u32_at(span, 4) as usize, u32_at(span, 8) as usize))
    }
}

impl Pattern {
    /// Compiles an expression, with the names that it adds to the standard ones: (name, what it stands for).
    /// In `init`, please: the host counts them.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn compile(kind: PatternKind, expression: &str, names: &[(&str, &str)]) -> Result<Self, String> {
        let kind = match kind {
            PatternKind::Grok => pattern_kind::GROK,
            PatternKind::GrokEcs => pattern_kind::GROK_ECS,
            PatternKind::Regex => pattern_kind::REGEX,
        };
        let mut text = expression.to_owned();
        for part in names.iter().flat_map(|(name, definition)| [name, definition]) {
            text.push('\0');
            text.push_str(part);
        }
        let handle = raw::pattern_compile(text.as_bytes(), kind.cast_signed());
        if handle < 0 {
            return Err(last_error());
        }
        let described = read(|out| raw::pattern_describe(handle, out));
        let groups: Vec<_> =
            Groups(&described).map(|(group, name)| (group, String::from_utf8_lossy(name).into_owned())).collect();
        let spans = vec![0; groups.len() * SPAN_BYTES];
        Ok(Self { handle, groups, spans })
    }

    /// The named groups by number. A name keeps its type: `bytes:int`.
    pub fn groups(&self) -> &[(u16, String)] {
        &self.groups
    }

    /// Tries the pattern anywhere in the bytes.
    pub fn find(&mut self, bytes: &[u8]) -> Match<'_> {
        match raw::pattern_match(self.handle, bytes, &mut self.spans) {
            NO_MATCH => Match::NotFound,
            count => match usize::try_from(count) {
                Ok(count) => {
                    let spans = self.spans.as_chunks::<SPAN_BYTES>().0;
                    Match::Found(Spans(spans[..count.min(spans.len())].iter()))
                }
                Err(_) => Match::GaveUp,
            },
        }
    }
}

/// Why the last import gave an error.
pub(crate) fn last_error() -> String {
    String::from_utf8_lossy(&read(raw::last_error)).into_owned()
}

/// Calls an import that gives a length and writes nothing where there is too little room.
fn read(ask: impl Fn(&mut [u8]) -> i32) -> Vec<u8> {
    let mut text = vec![0; 1024];
    // Twice at most: the second time there is room.
    for _ in 0..2 {
        let len = usize::try_from(ask(&mut text)).unwrap_or(0);
        if len <= text.len() {
            text.truncate(len);
            return text;
        }
        text.resize(len, 0);
    }
    Vec::new()
}

#[cfg(target_arch = "wasm32")]
#[allow(unsafe_code)]
pub(crate) mod wasm {
    use crate::state::State;

    mod import {
        #[link(wasm_import_module = "sawbox")]
        unsafe extern "C" {
            pub fn log(level: i32, at: *const u8, len: usize);
            pub fn pattern_compile(at: *const u8, len: usize, kind: i32) -> i32;
            pub fn pattern_describe(handle: i32, at: *mut u8, cap: usize) -> i32;
            pub fn pattern_match(handle: i32, at: *const u8, len: usize, out: *mut u8, cap: usize) -> i32;
            pub fn last_error(at: *mut u8, cap: usize) -> i32;
            pub fn lookup_open(at: *const u8, len: usize) -> i32;
            pub fn lookup_get(handle: i32, record: u32, at: *const u8, len: usize, out: *mut u8, cap: usize) -> i32;
            pub fn state_get(record: u32, at: *const u8, len: usize, out: *mut u8, cap: usize) -> i32;
            pub fn state_put(record: u32, at: *const u8, len: usize, value: *const u8, value_len: usize, ttl_ms: i64) -> i32;
            pub fn state_remove(record: u32, at: *const u8, len: usize) -> i32;
        }
    }

    // SAFETY of all: the host reads and writes only between the address and the length it is given, and both come from a
    // slice that is borrowed for the call.
    pub fn log(level: i32, text: &[u8]) {
        unsafe { import::log(level, text.as_ptr(), text.len()) }
    }

    pub fn pattern_compile(text: &[u8], kind: i32) -> i32 {
        unsafe { import::pattern_compile(text.as_ptr(), text.len(), kind) }
    }

    pub fn pattern_describe(handle: i32, out: &mut [u8]) -> i32 {
        unsafe { import::pattern_describe(handle, out.as_mut_ptr(), out.len()) }
    }

    pub fn pattern_match(handle: i32, bytes: &[u8], out: &mut [u8]) -> i32 {
        let cap = out.len() / super::SPAN_BYTES;
        unsafe { import::pattern_match(handle, bytes.as_ptr(), bytes.len(), out.as_mut_ptr(), cap) }
    }

    pub fn last_error(out: &mut [u8]) -> i32 {
        unsafe { import::last_error(out.as_mut_ptr(), out.len()) }
    }

    pub fn lookup_open(text: &[u8]) -> i32 {
        unsafe { import::lookup_open(text.as_ptr(), text.len()) }
    }

    pub fn lookup_get(handle: i32, record: u32, key: &[u8], out: &mut [u8]) -> i32 {
        unsafe { import::lookup_get(handle, record, key.as_ptr(), key.len(), out.as_mut_ptr(), out.len()) }
    }

    pub fn state_get(state: &State, key: &[u8], out: &mut [u8]) -> i32 {
        unsafe { import::state_get(state.record, key.as_ptr(), key.len(), out.as_mut_ptr(), out.len()) }
    }

    pub fn state_put(state: &State, key: &[u8], value: &[u8], ttl_ms: i64) -> i32 {
        unsafe { import::state_put(state.record, key.as_ptr(), key.len(), value.as_ptr(), value.len(), ttl_ms) }
    }

    pub fn state_remove(state: &State, key: &[u8]) -> i32 {
        unsafe { import::state_remove(state.record, key.as_ptr(), key.len()) }
    }
}

#[cfg(not(target_arch = "wasm32"))]
pub(crate) mod native {
    use crate::state::State;
    use crate::testing::{self, with_patterns};

    pub fn log(level: i32, text: &[u8]) {
        eprintln!("filter log {level}: {}", String::from_utf8_lossy(text));
    }

    pub fn pattern_compile(text: &[u8], kind: i32) -> i32 {
        with_patterns(|patterns| patterns.compile(kind.cast_unsigned(), &String::from_utf8_lossy(text)))
    }

    pub fn pattern_describe(handle: i32, out: &mut [u8]) -> i32 {
        with_patterns(|patterns| patterns.describe(handle, out))
    }

    pub fn pattern_match(handle: i32, bytes: &[u8], out: &mut [u8]) -> i32 {
        with_patterns(|patterns| patterns.find(handle, bytes, out))
    }

    pub fn last_error(out: &mut [u8]) -> i32 {
        testing::last_error(out)
    }

    pub fn lookup_open(text: &[u8]) -> i32 {
        testing::lookup_open(text)
    }

    pub fn lookup_get(handle: i32, _record: u32, key: &[u8], out: &mut [u8]) -> i32 {
        testing::lookup_get(handle, key, out)
    }

    pub fn state_get(state: &State, key: &[u8], out: &mut [u8]) -> i32 {
        testing::state_get(state.arrival_ns, key, out)
    }

    pub fn state_put(state: &State, key: &[u8], value: &[u8], ttl_ms: i64) -> i32 {
        testing::state_put(state.arrival_ns, key, value, ttl_ms)
    }

    pub fn state_remove(_state: &State, key: &[u8]) -> i32 {
        testing::state_remove(key)
    }
}
