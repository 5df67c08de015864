//! The host's functions for core modules: pointers and lengths in the guest's memory.

use sawbox_guest::abi::import::{self, GAVE_UP, NO_ANSWER, NO_MATCH, NOTHING};
use sawbox_guest::abi::{self, SPAN_BYTES};
use wasmtime::{Caller, Engine, Extern, Linker, Memory};

use super::super::FilterError;
use super::super::grok::Found;
use super::super::lookup::Got;
use super::pattern::{COMPILE_FUEL, Search};
use super::{CALL_FUEL, Host, KEY_FUEL, OPEN_FUEL, charge, state, wasi};

pub(super) fn memory(caller: &mut Caller<'_, Host>) -> wasmtime::Result<Memory> {
    caller
        .get_export(abi::export::MEMORY)
        .and_then(Extern::into_memory)
        .ok_or_else(|| wasmtime::Error::msg("called the host before it has a memory"))
}

pub(super) fn outside() -> wasmtime::Error {
    wasmtime::Error::msg("gave the host a pointer outside of its memory")
}

/// The bytes a guest points at.
pub(super) fn guest_bytes(memory: &[u8], at: i32, len: i32) -> wasmtime::Result<&[u8]> {
    abi::slice(memory, at.cast_unsigned(), len.cast_unsigned()).ok_or_else(outside)
}

/// Where the host may write.
pub(super) fn guest_room(memory: &mut [u8], at: i32, len: usize) -> wasmtime::Result<&mut [u8]> {
    let at = at.cast_unsigned() as usize;
    memory.get_mut(at..at.saturating_add(len)).ok_or_else(outside)
}

/// Writes a value where there is room for it; gives its length.
pub(super) fn give(memory: &mut [u8], value: &[u8], out: i32, cap: i32) -> wasmtime::Result<i32> {
    if value.len() <= cap.cast_unsigned() as usize {
        guest_room(memory, out, value.len())?.copy_from_slice(value);
    }
    Ok(i32::try_from(value.len()).unwrap_or(i32::MAX))
}

/// Makes the imports.
pub(in super::super) fn linker(engine: &Engine) -> Result<Linker<Host>, FilterError> {
    let mut linker = Linker::new(engine);
    let mut link = || -> wasmtime::Result<()> {
        linker.func_wrap(import::MODULE, import::LOG, log)?;
        linker.func_wrap(import::MODULE, import::LAST_ERROR, last_error)?;
        linker.func_wrap(import::MODULE, import::CONFIG, config)?;
        linker.func_wrap(import::MODULE, import::PATTERN_COMPILE, pattern_compile)?;
        linker.func_wrap(import::MODULE, import::PATTERN_DESCRIBE, pattern_describe)?;
        linker.func_wrap(import::MODULE, import::PATTERN_MATCH, pattern_match)?;
        linker.func_wrap(import::MODULE, import::LOOKUP_OPEN, lookup_open)?;
        linker.func_wrap(import::MODULE, import::LOOKUP_GET, lookup_get)?;
        state::link(&mut linker)?;
        wasi::link(&mut linker)
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

fn last_error(mut caller: Caller<'_, Host>, out: i32, cap: i32) -> wasmtime::Result<i32> {
    pattern_describe_of(&mut caller, -1, out, cap)
}

fn config(mut caller: Caller<'_, Host>, at: i32, len: i32, out: i32, cap: i32) -> wasmtime::Result<i32> {
    charge(&mut caller, CALL_FUEL + u64::from(len.cast_unsigned()))?;
    let (memory, host) = memory(&mut caller)?.data_and_store_mut(&mut caller);
    let path = guest_bytes(memory, at, len)?;
    let Some(value) = host.config(path) else { return Ok(NOTHING) };
    let len = give(memory, value, out, cap)?;
    charge(&mut caller, u64::from(len.cast_unsigned()))?;
    Ok(len)
}

fn pattern_compile(mut caller: Caller<'_, Host>, at: i32, len: i32, kind: i32) -> wasmtime::Result<i32> {
    charge(&mut caller, COMPILE_FUEL.saturating_mul(u64::from(len.cast_unsigned())).saturating_add(CALL_FUEL))?;
    let (memory, host) = memory(&mut caller)?.data_and_store_mut(&mut caller);
    let text = guest_bytes(memory, at, len)?;
    Ok(host.pattern_compile(text, kind.cast_unsigned()))
}

fn pattern_describe(mut caller: Caller<'_, Host>, handle: i32, out: i32, cap: i32) -> wasmtime::Result<i32> {
    pattern_describe_of(&mut caller, handle, out, cap)
}

fn pattern_describe_of(caller: &mut Caller<'_, Host>, handle: i32, out: i32, cap: i32) -> wasmtime::Result<i32> {
    charge(caller, CALL_FUEL)?;
    let (memory, host) = memory(caller)?.data_and_store_mut(caller);
    give(memory, host.pattern_describe(handle)?, out, cap)
}

fn pattern_match(mut caller: Caller<'_, Host>, handle: i32, at: i32, len: i32, out: i32, cap: i32) -> wasmtime::Result<i32> {
    charge(&mut caller, CALL_FUEL)?;
    let mut fuel = caller.get_fuel()?;
    let (memory, host) = memory(&mut caller)?.data_and_store_mut(&mut caller);
    let text = guest_bytes(memory, at, len)?;
    let count = match host.patterns.search(handle, text, &mut fuel)? {
        Search::Found(found) => give_spans(memory, found, out, cap)?,
        Search::Nothing => NO_MATCH,
        Search::GaveUp => GAVE_UP,
    };
    caller.set_fuel(fuel)?;
    Ok(count)
}

/// Writes the first spans into the room that there is for them; how many.
fn give_spans(memory: &mut [u8], found: &[Found], out: i32, cap: i32) -> wasmtime::Result<i32> {
    let count = found.len().min(cap.cast_unsigned() as usize);
    let place = guest_room(memory, out, count * SPAN_BYTES)?;
    for (place, found) in place.as_chunks_mut::<SPAN_BYTES>().0.iter_mut().zip(found) {
        for (word, number) in place.as_chunks_mut::<4>().0.iter_mut().zip([found.field, found.start, found.end]) {
            // The text is within a 32-bit memory.
            *word = u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes();
        }
    }
    Ok(i32::try_from(count).unwrap_or(i32::MAX))
}

fn lookup_open(mut caller: Caller<'_, Host>, at: i32, len: i32) -> wasmtime::Result<i32> {
    charge(&mut caller, OPEN_FUEL.saturating_mul(u64::from(len.cast_unsigned())).saturating_add(CALL_FUEL))?;
    let (memory, host) = memory(&mut caller)?.data_and_store_mut(&mut caller);
    host.lookup_open(guest_bytes(memory, at, len)?)
}

fn lookup_get(
    mut caller: Caller<'_, Host>,
    handle: i32,
    record: i32,
    at: i32,
    len: i32,
    out: i32,
    cap: i32,
) -> wasmtime::Result<i32> {
    charge(&mut caller, KEY_FUEL * u64::from(len.cast_unsigned()) + CALL_FUEL)?;
    let (memory, host) = memory(&mut caller)?.data_and_store_mut(&mut caller);
    let key = guest_bytes(memory, at, len)?;
    match host.lookup_get(handle, record.cast_unsigned(), key)? {
        Got::Value(value) => {
            let len = give(memory, value, out, cap)?;
            charge(&mut caller, u64::from(len.cast_unsigned()))?;
            Ok(len)
        }
        Got::Nothing => Ok(NOTHING),
        Got::Late => Ok(NO_ANSWER),
    }
}
