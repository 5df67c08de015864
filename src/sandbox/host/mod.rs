//! What a guest may ask of the host; the functions and their prices are told in `sawbox_guest::abi::import`.
//!
//! [`Host`] is what the host keeps for one instance, and does the work on slices; `module` and `component` are the two ways in, which
//! read a guest's memory, charge its fuel and write the answer back; `wasi` is the inert part of WASI for both.
//!
//! Invariants: every pointer and length of a guest is checked against its memory before anything is read or written, and no
//! address of the host's is ever derived from them; a wrong one traps. What the host does for a guest is charged to its fuel,
//! by the byte and before it is done, so a call stays bounded and repeatable.
//! Limits: [`LOG_LINES`] log lines a call of [`LOG_BYTES`] each, [`TABLE_ELEMENTS`], [`LOOKUPS`]; those of patterns in `pattern`.

mod component;
mod module;
mod pattern;
mod state;
mod wasi;
mod wasi_component;

use std::sync::Arc;
use std::time::Duration;

use sawbox_guest::abi::import;
use serde_json::Value;
use wasmtime::{AsContextMut, ResourceLimiter};

pub(super) use self::component::{LIFTED_BYTES, imports as component_imports, linker as component_linker};
pub(super) use self::module::linker;
pub(super) use self::pattern::Compiled;
use self::pattern::Patterns;
pub(super) use self::state::Lent;
use super::lookup::{Got, Lookup, LookupRecord, Lookups, dns};
use crate::base::units::Bytes;

/// Lines that a call may log.
const LOG_LINES: u32 = 4;
/// Longest of them.
const LOG_BYTES: usize = 1024;
/// Most elements of a guest's tables: indirect calls need some hundreds, those of interpreters some ten thousands.
const TABLE_ELEMENTS: usize = 65_536;
/// What an element of a table takes.
const TABLE_ELEMENT_BYTES: usize = 8;
/// Most lookups of an instance.
const LOOKUPS: usize = 16;
/// Fuel for any call of the host.
const CALL_FUEL: u64 = 100;
/// Fuel for opening a lookup, a byte of its argument: a table may stand in it.
const OPEN_FUEL: u64 = 100;
/// Fuel for asking a lookup, a byte of the key.
const KEY_FUEL: u64 = 10;

/// What instances of a box share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) compiled: Compiled,
    pub(super) lookups: Arc<Lookups>,
}

/// What the host keeps for one instance.
pub(super) struct Host {
    pub(super) filter: Arc<str>,
    shared: Shared,
    config: Config,
    patterns: Patterns,
    lookups: Vec<Arc<Lookup>>,
    /// When the call's records arrived, where a lookup wants to know.
    pub(super) arrivals: Vec<i64>,
    /// How long the call may still wait for lookups.
    patience: Duration,
    /// What was opened, as a generation keeps it.
    pub(super) opened: Vec<LookupRecord>,
    /// What may be opened; without it, whatever is in the box's folder now.
    pinned: Option<Arc<[LookupRecord]>>,
    /// A value that does not lie anywhere else.
    value: Vec<u8>,
    error: String,
    /// Keyed state, during a call.
    pub(super) lent: Option<Lent>,
    starting: bool,
    log_lines: u32,
    /// What the guest logged in this call goes here and nowhere else: level and text.
    pub(super) quiet: bool,
    pub(super) heard: Vec<(i32, String)>,
    /// What the guest said last before it trapped.
    panic: Option<String>,
    /// Lines that a runtime has begun on standard output and error.
    lines: [Vec<u8>; 2],
    /// Most bytes of all its memories and tables.
    pub(super) memory_limit: Bytes,
    /// Bytes of all its memories and tables.
    memory_used: usize,
    /// Whether the guest was refused memory since the call began.
    pub(super) memory_refused: bool,
}

/// The configuration, read when it is first asked for: most filters bring their own reader.
enum Config {
    Text(Arc<str>),
    Read(Value),
}

impl Host {
    pub(super) fn new(
        filter: Arc<str>,
        config: Arc<str>,
        shared: Shared,
        pinned: Option<Arc<[LookupRecord]>>,
        memory_limit: Bytes,
    ) -> Self {
        Self {
            filter,
            shared,
            config: Config::Text(config),
            patterns: Patterns::default(),
            lookups: Vec::new(),
            arrivals: Vec::new(),
            patience: dns::BUDGET,
            opened: Vec::new(),
            pinned,
            value: Vec::new(),
            error: String::new(),
            lent: None,
            starting: true,
            log_lines: 0,
            quiet: false,
            heard: Vec::new(),
            panic: None,
            lines: Default::default(),
            memory_limit,
            memory_used: 0,
            memory_refused: false,
        }
    }

    /// Forgets what belongs to the last call.
    pub(super) fn begin_call(&mut self) {
        self.starting = false;
        self.patience = dns::BUDGET;
        self.patterns.begin_call();
        self.log_lines = 0;
        self.heard.clear();
        self.panic = None;
        self.lines.iter_mut().for_each(Vec::clear);
        self.memory_refused = false;
    }

    /// Whether a memory or table may become so large; counted if so.
    fn grow(&mut self, current: usize, desired: usize, most: Option<usize>, each: usize) -> bool {
        // What it declared itself is not exceeded in any case, so it must not count.
        if most.is_some_and(|most| desired > most) {
            return false;
        }
        let used = self.memory_used.saturating_add(desired.saturating_sub(current).saturating_mul(each));
        let allowed = used <= self.memory_limit.as_usize();
        self.memory_refused |= !allowed;
        if allowed {
            self.memory_used = used;
        }
        allowed
    }

    /// Bytes of all its memories and tables.
    pub(super) fn memory_bytes(&self) -> usize {
        self.memory_used
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

    /// What a runtime writes to standard output (1) or error (2), in whatever pieces: whole lines go to the log, and the first line
    /// of standard error is taken for the reason of a trap, as that is where runtimes say why they give up.
    fn write(&mut self, error: bool, text: &[u8]) {
        for piece in text.split_inclusive(|&byte| byte == b'\n') {
            let line = &mut self.lines[usize::from(error)];
            let room = LOG_BYTES.saturating_sub(line.len());
            line.extend_from_slice(&piece[..piece.len().min(room)]);
            if piece.ends_with(b"\n") {
                self.end_line(error);
            }
        }
    }

    /// Ends a line that a runtime began.
    fn end_line(&mut self, error: bool) {
        let line = std::mem::take(&mut self.lines[usize::from(error)]);
        let text = line.trim_ascii_end();
        if error && self.panic.is_none() && !text.is_empty() {
            self.panic = Some(String::from_utf8_lossy(text).into_owned());
        }
        if !text.is_empty() {
            self.log(if error { 2 } else { 3 }, text);
        }
    }

    /// What the guest said last before it trapped.
    pub(super) fn panic(&mut self) -> Option<String> {
        self.end_line(true);
        self.panic.take()
    }

    /// Keeps the error for `last_error`.
    fn or_error(&mut self, result: Result<i32, String>) -> i32 {
        result.unwrap_or_else(|error| {
            self.error = error;
            import::NOTHING
        })
    }

    fn pattern_compile(&mut self, text: &[u8], kind: u32) -> i32 {
        let compiled = self.patterns.compile(&self.shared.compiled, kind, text);
        self.or_error(compiled)
    }

    fn pattern_describe(&self, handle: i32) -> wasmtime::Result<&[u8]> {
        if handle < 0 { Ok(self.error.as_bytes()) } else { self.patterns.describe(handle) }
    }

    fn config(&mut self, path: &[u8]) -> Option<&[u8]> {
        if let Config::Text(text) = &self.config {
            // It was JSON when the chain was made.
            self.config = Config::Read(serde_json::from_str(text).unwrap_or_default());
        }
        let Config::Read(config) = &self.config else { return None };
        let path = std::str::from_utf8(path).ok()?;
        let mut value = config;
        for step in path.split('.').filter(|_| !path.is_empty()) {
            value = match value {
                Value::Object(members) => members.get(step)?,
                Value::Array(elements) => elements.get(step.parse::<usize>().ok()?)?,
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return None,
            };
        }
        if let Value::String(text) = value {
            return Some(text.as_bytes());
        }
        self.value = value.to_string().into_bytes();
        Some(&self.value)
    }

    fn lookup_open(&mut self, text: &[u8]) -> wasmtime::Result<i32> {
        if !self.starting {
            return Err(wasmtime::Error::msg("opened a lookup after `init`"));
        }
        let opened = self.try_lookup_open(text);
        Ok(self.or_error(opened))
    }

    fn try_lookup_open(&mut self, text: &[u8]) -> Result<i32, String> {
        if self.lookups.len() >= LOOKUPS {
            return Err(format!("a filter may have at most {LOOKUPS} lookups"));
        }
        let text = std::str::from_utf8(text).map_err(|_| "what lookup is meant is not UTF-8".to_owned())?;
        let (kind, argument) =
            text.split_once('\0').ok_or_else(|| "a lookup is its kind, a zero byte and its argument".to_owned())?;
        let (lookup, record) = self.shared.lookups.open(kind, argument, self.pinned.as_deref())?;
        if let Some(record) = record
            && !self.opened.contains(&record)
        {
            self.opened.push(record);
        }
        self.lookups.push(lookup);
        i32::try_from(self.lookups.len() - 1).map_err(|_| "too many lookups".to_owned())
    }

    fn lookup_get(&mut self, handle: i32, record: u32, key: &[u8]) -> wasmtime::Result<Got<'_>> {
        let lookup = usize::try_from(handle).ok().and_then(|handle| self.lookups.get(handle));
        let lookup = lookup.ok_or_else(|| wasmtime::Error::msg("used a lookup it never opened"))?;
        let mut now_ns = 0;
        if lookup.is_dns() {
            let arrival = self.arrivals.get(record as usize);
            now_ns = *arrival.ok_or_else(|| wasmtime::Error::msg("named a record that the call does not have to a lookup"))?;
        }
        Ok(lookup.get(key, now_ns, &mut self.patience, &mut self.value))
    }

    /// Whether it must be told when a call's records arrived.
    pub(super) fn wants_arrivals(&self) -> bool {
        self.lookups.iter().any(|lookup| lookup.is_dns())
    }

    /// What has to be durable before the call's answer is taken becomes so.
    pub(super) fn settle(&self) {
        self.lookups.iter().for_each(|lookup| lookup.settle());
    }
}

impl ResourceLimiter for Host {
    fn memory_growing(&mut self, current: usize, desired: usize, most: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow(current, desired, most, 1))
    }

    fn table_growing(&mut self, current: usize, desired: usize, most: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_ELEMENTS && self.grow(current, desired, most, TABLE_ELEMENT_BYTES))
    }

    fn instances(&self) -> usize {
        // A component is several modules: the filter, and the adapters between it and the world.
        64
    }

    fn memories(&self) -> usize {
        8
    }

    fn tables(&self) -> usize {
        64
    }
}

/// Takes fuel for what the host does; traps when there is not enough.
fn charge(store: &mut impl AsContextMut, fuel: u64) -> wasmtime::Result<()> {
    let mut store = store.as_context_mut();
    match store.get_fuel()?.checked_sub(fuel) {
        Some(left) => store.set_fuel(left),
        None => {
            store.set_fuel(0)?;
            Err(wasmtime::Trap::OutOfFuel.into())
        }
    }
}
