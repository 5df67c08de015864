//! The patterns of an instance: grok and regular expressions that the host compiles and searches with.
//!
//! Limits: [`PATTERNS`] an instance, [`PATTERN_TEXT_BYTES`] each. Instances of one filter share what is compiled.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use sawbox_guest::abi::import::pattern_kind;
use wasmtime::Trap;

use super::super::grok::{self, Grok, GrokError};

/// Most patterns of one instance.
const PATTERNS: usize = 128;
/// Longest pattern, with the names it adds.
const PATTERN_TEXT_BYTES: usize = 256 * 1024;
/// Fuel for compiling a pattern, per byte of its text: expanding and compiling is slow.
pub(super) const COMPILE_FUEL: u64 = 10_000;
/// Fuel for a search, per byte: about ten instructions each. What is dear about a search costs more: [`grok::Scratch::fuel`].
const SEARCH_FUEL: u64 = 10;

/// Patterns that are in use, by kind and text.
pub(in super::super) type Compiled = Arc<Mutex<HashMap<(u32, String), Weak<Grok>>>>;

/// The patterns of one instance.
#[derive(Default)]
pub(super) struct Patterns {
    all: Vec<Pattern>,
    found: Vec<grok::Found>,
}

struct Pattern {
    grok: Arc<Grok>,
    scratch: grok::Scratch,
    described: Vec<u8>,
}

/// What came of a search.
pub(super) enum Search<'p> {
    /// Spans of named groups.
    Found(&'p [grok::Found]),
    /// No match.
    Nothing,
    /// Too much backtracking.
    GaveUp,
}

impl Patterns {
    /// Compiles the text of `pattern_compile`; gives its handle.
    pub(super) fn compile(&mut self, compiled: &Compiled, kind: u32, text: &[u8]) -> Result<i32, String> {
        if text.len() > PATTERN_TEXT_BYTES {
            return Err(format!("the pattern is longer than {PATTERN_TEXT_BYTES} bytes"));
        }
        if self.all.len() >= PATTERNS {
            return Err(format!("a filter may have at most {PATTERNS} patterns"));
        }
        let text = std::str::from_utf8(text).map_err(|_| "the pattern is not UTF-8".to_owned())?;
        let key = (kind, text.to_owned());
        let known = compiled.lock().get(&key).and_then(Weak::upgrade);
        let grok = match known {
            Some(grok) => grok,
            None => {
                let grok = Arc::new(compile(kind, text)?);
                let mut compiled = compiled.lock();
                compiled.retain(|_, grok| grok.strong_count() > 0);
                compiled.insert(key, Arc::downgrade(&grok));
                grok
            }
        };
        let mut described = Vec::new();
        for (group, field) in (0u16..).zip(grok.fields()) {
            let name = match field.kind {
                grok::Kind::Text => field.name.clone(),
                grok::Kind::Int => format!("{}:int", field.name),
                grok::Kind::Float => format!("{}:float", field.name),
            };
            let name = &name.as_bytes()[..name.len().min(usize::from(u16::MAX))];
            described.extend_from_slice(&group.to_le_bytes());
            described.extend_from_slice(&u16::try_from(name.len()).unwrap_or(u16::MAX).to_le_bytes());
            described.extend_from_slice(name);
        }
        self.all.push(Pattern { scratch: grok.scratch(), grok, described });
        i32::try_from(self.all.len() - 1).map_err(|_| "too many patterns".to_owned())
    }

    /// The groups of a pattern.
    pub(super) fn describe(&self, handle: i32) -> wasmtime::Result<&[u8]> {
        let pattern = usize::try_from(handle).ok().and_then(|handle| self.all.get(handle));
        pattern.map(|pattern| &*pattern.described).ok_or_else(never)
    }

    /// What comes belongs to another call.
    pub(super) fn begin_call(&mut self) {
        self.all.iter_mut().for_each(|pattern| pattern.scratch.begin());
    }

    /// Searches, and takes from the fuel what that costs.
    pub(super) fn search(&mut self, handle: i32, text: &[u8], fuel: &mut u64) -> wasmtime::Result<Search<'_>> {
        let pattern = usize::try_from(handle).ok().and_then(|handle| self.all.get_mut(handle));
        let pattern = pattern.ok_or_else(never)?;
        self.found.clear();
        let bytes = SEARCH_FUEL.saturating_mul(text.len() as u64);
        pattern.scratch.fuel = fuel.checked_sub(bytes).ok_or(Trap::OutOfFuel)?;
        let searched = pattern.grok.search(text, &mut pattern.scratch, &mut self.found);
        *fuel = pattern.scratch.fuel;
        Ok(match searched {
            Ok(true) => Search::Found(&self.found),
            Ok(false) => Search::Nothing,
            Err(GrokError::Unpaid) => return Err(Trap::OutOfFuel.into()),
            Err(_) => Search::GaveUp,
        })
    }
}

fn never() -> wasmtime::Error {
    wasmtime::Error::msg("used a pattern it never compiled")
}

/// Compiles the text of `pattern_compile`: the expression, then names and what they stand for, with zero bytes between.
fn compile(kind: u32, text: &str) -> Result<Grok, String> {
    let mut parts = text.split('\0');
    let expression = parts.next().unwrap_or_default();
    let mut custom = BTreeMap::new();
    while let (Some(name), Some(definition)) = (parts.next(), parts.next()) {
        custom.insert(name.to_owned(), definition.to_owned());
    }
    let compiled = match kind {
        pattern_kind::GROK => grok::compile(expression, &custom),
        pattern_kind::GROK_ECS => grok::compile_as(expression, &custom, grok::Flavour::Ecs),
        // In a plain regular expression `%{` is no reference.
        pattern_kind::REGEX => grok::compile(&expression.replace("%{", "%\\{"), &BTreeMap::new()),
        _ => return Err(format!("there is no pattern kind {kind}")),
    };
    compiled.map_err(|error| error.to_string())
}
