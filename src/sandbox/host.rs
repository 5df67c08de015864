//! What a guest may ask of the host: to log, and to compile and try patterns. Nothing else is imported by any filter.
//!
//! Invariants: every pointer and length of a guest is checked against its memory before anything is read or written, and no
//! address of the host's is ever derived from them; a wrong one traps. What the host does for a guest is charged to its fuel,
//! by the byte, so a call stays bounded and repeatable.
//! Limits: [`PATTERNS`] patterns an instance, [`PATTERN_TEXT_BYTES`] each, [`LOG_LINES`] log lines a call of [`LOG_BYTES`] each.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use sawbox_guest::abi::{GAVE_UP, NO_MATCH, SPAN_BYTES, import, pattern_kind};
use wasmtime::{Caller, Engine, Extern, Linker, Memory, ResourceLimiter};

use super::FilterError;
use super::grok::{self, Grok};

/// Most patterns of one instance.
const PATTERNS: usize = 128;
/// Longest pattern, with the names it adds.
const PATTERN_TEXT_BYTES: usize = 256 * 1024;
/// Lines that a call may log.
const LOG_LINES: u32 = 4;
/// Longest of them.
const LOG_BYTES: usize = 1024;
/// Most elements of a guest's tables: indirect calls need some hundreds.
const TABLE_ELEMENTS: usize = 65_536;
/// Fuel for compiling a pattern, per byte of its text: expanding and compiling is slow.
const COMPILE_FUEL: u64 = 10_000;
/// Fuel for a search on the linear engine, per byte: about ten instructions each.
const LINEAR_FUEL: u64 = 10;
/// Fuel for a search on the backtracking engine, per byte.
const BOUNDED_FUEL: u64 = 100;
/// Fuel for any call of the host.
const CALL_FUEL: u64 = 100;

/// Patterns that are in use, by kind and text: instances of one filter share them.
pub(super) type Compiled = Arc<Mutex<HashMap<(u32, String), Weak<Grok>>>>;

/// What the host keeps for one instance.
pub(super) struct Host {
    pub(super) filter: Arc<str>,
    compiled: Compiled,
    patterns: Vec<Pattern>,
    pattern_error: Vec<u8>,
    found: Vec<grok::Found>,
    log_lines: u32,
    /// What the guest logged in this call goes here and nowhere else: level and text.
    pub(super) quiet: bool,
    pub(super) heard: Vec<(i32, String)>,
    /// What the guest said last before it trapped.
    pub(super) panic: Option<String>,
    memory_limit: usize,
    /// Whether the guest was refused memory since the call began.
    pub(super) memory_refused: bool,
}

struct Pattern {
    grok: Arc<Grok>,
    scratch: grok::Scratch,
    described: Vec<u8>,
}

impl Host {
    pub(super) fn new(filter: Arc<str>, compiled: Compiled, memory_limit: usize) -> Self {
        Self {
            filter,
            compiled,
            patterns: Vec::new(),
            pattern_error: Vec::new(),
            found: Vec::new(),
            log_lines: 0,
            quiet: false,
            heard: Vec::new(),
            panic: None,
            memory_limit,
            memory_refused: false,
        }
    }

    /// Forgets what belongs to the last call.
    pub(super) fn begin_call(&mut self) {
        self.log_lines = 0;
        self.heard.clear();
        self.panic = None;
        self.memory_refused = false;
    }

    fn log(&mut self, level: i32, text: &[u8]) {
        let text = String::from_utf8_lossy(&text[..text.len().min(LOG_BYTES)]);
        if level == 0 {
            self.panic = Some(text.into_owned());
            return;
        }
        self.log_lines = self.log_lines.saturating_add(1);
        if self.log_lines > LOG_LINES {
            return;
        }
        if self.quiet {
            self.heard.push((level, text.into_owned()));
            return;
        }
        let filter = &*self.filter;
        match level {
            1 => tracing::error!(filter, "{text}"),
            2 => tracing::warn!(filter, "{text}"),
            3 => tracing::info!(filter, "{text}"),
            _ => tracing::debug!(filter, "{text}"),
        }
    }

    fn compile(&mut self, kind: u32, text: &str) -> Result<i32, String> {
        if self.patterns.len() >= PATTERNS {
            return Err(format!("a filter may have at most {PATTERNS} patterns"));
        }
        let key = (kind, text.to_owned());
        let known = self.compiled.lock().get(&key).and_then(Weak::upgrade);
        let grok = match known {
            Some(grok) => grok,
            None => {
                let grok = Arc::new(compile(kind, text)?);
                let mut compiled = self.compiled.lock();
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
        self.patterns.push(Pattern { scratch: grok.scratch(), grok, described });
        i32::try_from(self.patterns.len() - 1).map_err(|_| "too many patterns".to_owned())
    }
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

impl ResourceLimiter for Host {
    fn memory_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let allowed = desired <= self.memory_limit;
        self.memory_refused |= !allowed;
        Ok(allowed)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_ELEMENTS)
    }

    fn instances(&self) -> usize {
        1
    }

    fn memories(&self) -> usize {
        1
    }

    fn tables(&self) -> usize {
        8
    }
}

fn memory(caller: &mut Caller<'_, Host>) -> wasmtime::Result<Memory> {
    caller
        .get_export(sawbox_guest::abi::export::MEMORY)
        .and_then(Extern::into_memory)
        .ok_or_else(|| wasmtime::Error::msg("called the host before it has a memory"))
}

/// Takes fuel for what the host does; traps when there is not enough.
fn charge(caller: &mut Caller<'_, Host>, fuel: u64) -> wasmtime::Result<()> {
    match caller.get_fuel()?.checked_sub(fuel) {
        Some(left) => caller.set_fuel(left),
        None => {
            caller.set_fuel(0)?;
            Err(wasmtime::Trap::OutOfFuel.into())
        }
    }
}

/// The bytes a guest points at.
fn guest_bytes(memory: &[u8], at: i32, len: i32) -> wasmtime::Result<&[u8]> {
    sawbox_guest::abi::slice(memory, at.cast_unsigned(), len.cast_unsigned())
        .ok_or_else(|| wasmtime::Error::msg("gave the host a pointer outside of its memory"))
}

/// Makes the imports.
pub(super) fn linker(engine: &Engine) -> Result<Linker<Host>, FilterError> {
    let mut linker = Linker::new(engine);
    let mut link = || -> wasmtime::Result<()> {
        linker.func_wrap(import::MODULE, import::LOG, log)?;
        linker.func_wrap(import::MODULE, import::PATTERN_COMPILE, pattern_compile)?;
        linker.func_wrap(import::MODULE, import::PATTERN_DESCRIBE, pattern_describe)?;
        linker.func_wrap(import::MODULE, import::PATTERN_MATCH, pattern_match)?;
        Ok(())
    };
    link().map_err(|error| FilterError::Engine(format!("{error:#}")))?;
    Ok(linker)
}

fn log(mut caller: Caller<'_, Host>, level: i32, at: i32, len: i32) -> wasmtime::Result<()> {
    charge(&mut caller, CALL_FUEL)?;
    let (memory, host) = memory(&mut caller)?.data_and_store_mut(&mut caller);
    host.log(level, guest_bytes(memory, at, len)?);
    Ok(())
}

fn pattern_compile(mut caller: Caller<'_, Host>, at: i32, len: i32, kind: i32) -> wasmtime::Result<i32> {
    charge(&mut caller, COMPILE_FUEL.saturating_mul(u64::from(len.cast_unsigned())).saturating_add(CALL_FUEL))?;
    let (memory, host) = memory(&mut caller)?.data_and_store_mut(&mut caller);
    let text = guest_bytes(memory, at, len)?;
    let compiled = match std::str::from_utf8(text) {
        Ok(text) if text.len() <= PATTERN_TEXT_BYTES => host.compile(kind.cast_unsigned(), text),
        Ok(_) => Err(format!("the pattern is longer than {PATTERN_TEXT_BYTES} bytes")),
        Err(_) => Err("the pattern is not UTF-8".to_owned()),
    };
    Ok(compiled.unwrap_or_else(|error| {
        host.pattern_error = error.into_bytes();
        -1
    }))
}

fn pattern_describe(mut caller: Caller<'_, Host>, handle: i32, at: i32, cap: i32) -> wasmtime::Result<i32> {
    charge(&mut caller, CALL_FUEL)?;
    let (memory, host) = memory(&mut caller)?.data_and_store_mut(&mut caller);
    let text = match usize::try_from(handle) {
        Ok(handle) => {
            &host.patterns.get(handle).ok_or_else(|| wasmtime::Error::msg("used a pattern it never compiled"))?.described
        }
        Err(_) => &host.pattern_error,
    };
    if text.len() <= cap.cast_unsigned() as usize {
        let at = at.cast_unsigned() as usize;
        memory
            .get_mut(at..at.saturating_add(text.len()))
            .ok_or_else(|| wasmtime::Error::msg("gave the host a pointer outside of its memory"))?
            .copy_from_slice(text);
    }
    Ok(i32::try_from(text.len()).unwrap_or(i32::MAX))
}

fn pattern_match(mut caller: Caller<'_, Host>, handle: i32, at: i32, len: i32, out: i32, cap: i32) -> wasmtime::Result<i32> {
    let handle = usize::try_from(handle).unwrap_or(usize::MAX);
    let linear = caller.data().patterns.get(handle).is_some_and(|pattern| pattern.grok.is_linear());
    let rate = if linear { LINEAR_FUEL } else { BOUNDED_FUEL };
    charge(&mut caller, rate * u64::from(len.cast_unsigned()) + CALL_FUEL)?;
    let (memory, host) = memory(&mut caller)?.data_and_store_mut(&mut caller);
    let text = guest_bytes(memory, at, len)?;
    let Host { patterns, found, .. } = host;
    let pattern = patterns.get_mut(handle).ok_or_else(|| wasmtime::Error::msg("used a pattern it never compiled"))?;
    found.clear();
    match pattern.grok.search(text, &mut pattern.scratch, found) {
        Ok(true) => {}
        Ok(false) => return Ok(NO_MATCH),
        Err(_) => return Ok(GAVE_UP),
    }
    let count = found.len().min(cap.cast_unsigned() as usize);
    let out = out.cast_unsigned() as usize;
    let place = memory
        .get_mut(out..out.saturating_add(count * SPAN_BYTES))
        .ok_or_else(|| wasmtime::Error::msg("gave the host a pointer outside of its memory"))?;
    for (place, found) in place.as_chunks_mut::<SPAN_BYTES>().0.iter_mut().zip(&*found) {
        for (word, number) in place.as_chunks_mut::<4>().0.iter_mut().zip([found.field, found.start, found.end]) {
            // The text is within a 32-bit memory.
            *word = u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes();
        }
    }
    Ok(i32::try_from(count).unwrap_or(i32::MAX))
}
