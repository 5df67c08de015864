//! Keyed state as a guest reaches it: the imports `state_get`, `state_put`, `state_wait` and `state_remove`.
//!
//! For a call the state is lent to the host and comes back with it, whatever became of the call. "Now" is the arrival time of
//! the record that the guest names. Fuel: [`KEY_FUEL`] a byte of keys, 1 a byte of values.

use wasmtime::{Caller, Linker};

use super::host::{Host, charge, guest_bytes, memory};
use super::state::{Scope, State};
use sawbox_guest::abi::import;

const KEY_FUEL: u64 = 10;
const CALL_FUEL: u64 = 100;
/// Longest key of a filter.
const KEY_BYTES: usize = 4096;
/// Longest value.
const VALUE_BYTES: usize = 1 << 20;
/// Longest wait, milliseconds: a day.
const WAIT_MS: i64 = 86_400_000;

/// The state of a partition, lent for a call.
pub(super) struct Lent {
    pub(super) state: State,
    pub(super) scope: Scope,
    /// Offset and arrival time of the call's records.
    pub(super) records: Vec<(u64, i64)>,
    /// How many of them are expired entries.
    pub(super) expired: usize,
    /// Most bytes of the state.
    pub(super) limit: usize,
    /// Of which records the guest wrote.
    pub(super) wrote: Vec<usize>,
}

impl Lent {
    fn record(&self, record: i32) -> Option<(usize, (u64, i64))> {
        let index = usize::try_from(record).ok()?;
        Some((index, *self.records.get(index)?))
    }

    fn put(&mut self, record: i32, key: &[u8], value: &[u8], ms: i64, waits: bool) -> wasmtime::Result<Result<(), String>> {
        let (index, (offset, now_ns)) = self.record(record).ok_or_else(no_record)?;
        if key.len() > KEY_BYTES || value.len() > VALUE_BYTES {
            return Ok(Err(format!("a key of the state has at most {KEY_BYTES} bytes, a value {VALUE_BYTES}")));
        }
        if waits && index < self.expired {
            return Ok(Err("what was given back after its wait cannot wait again".to_owned()));
        }
        let ms = if waits { ms.clamp(1, WAIT_MS) } else { ms };
        let deadline_ns = if ms < 0 { i64::MAX } else { now_ns.saturating_add(ms.saturating_mul(1_000_000)) };
        let limit = self.limit;
        let waits = waits.then_some(offset);
        if !self.state.put(&self.scope, key, value, (now_ns, deadline_ns), waits, limit) {
            return Ok(Err(format!("the state of this partition is full: {limit} bytes (`[sandbox] state`)")));
        }
        self.wrote.push(index);
        Ok(Ok(()))
    }
}

fn no_record() -> wasmtime::Error {
    wasmtime::Error::msg("named a record that the call does not have to its keyed state")
}

fn not_lent() -> wasmtime::Error {
    wasmtime::Error::msg("asked for keyed state outside of `process`")
}

/// Adds the imports.
pub(super) fn link(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    linker.func_wrap(import::MODULE, import::STATE_GET, get)?;
    linker.func_wrap(import::MODULE, import::STATE_PUT, put)?;
    linker.func_wrap(import::MODULE, import::STATE_WAIT, wait)?;
    linker.func_wrap(import::MODULE, import::STATE_REMOVE, remove)?;
    Ok(())
}

fn charge_for(caller: &mut Caller<'_, Host>, key: i32, value: i32) -> wasmtime::Result<()> {
    let bytes = |len: i32| u64::from(len.cast_unsigned());
    charge(caller, CALL_FUEL.saturating_add(bytes(key).saturating_mul(KEY_FUEL)).saturating_add(bytes(value)))
}

fn get(mut caller: Caller<'_, Host>, record: i32, at: i32, len: i32, out: i32, cap: i32) -> wasmtime::Result<i32> {
    charge_for(&mut caller, len, 0)?;
    let memory = memory(&mut caller)?;
    let (bytes, host) = memory.data_and_store_mut(&mut caller);
    let lent = host.lent.as_ref().ok_or_else(not_lent)?;
    let (_, (_, now_ns)) = lent.record(record).ok_or_else(no_record)?;
    // The key and the place of the value may overlap: found first, then written.
    let value = lent.state.get(&lent.scope, guest_bytes(bytes, at, len)?, now_ns);
    let Some(value) = value else { return Ok(import::NOTHING) };
    let given = i32::try_from(value.len()).unwrap_or(i32::MAX);
    if value.len() <= cap.cast_unsigned() as usize {
        let out = out.cast_unsigned() as usize;
        bytes
            .get_mut(out..out.saturating_add(value.len()))
            .ok_or_else(|| wasmtime::Error::msg("gave the host a pointer outside of its memory"))?
            .copy_from_slice(value);
        charge(&mut caller, u64::from(given.unsigned_abs()))?;
    }
    Ok(given)
}

fn put(caller: Caller<'_, Host>, record: i32, at: i32, len: i32, value: i32, value_len: i32, ms: i64) -> wasmtime::Result<i32> {
    put_or_wait(caller, record, (at, len), (value, value_len), (ms, false))
}

fn wait(
    caller: Caller<'_, Host>,
    record: i32,
    at: i32,
    len: i32,
    value: i32,
    value_len: i32,
    ms: i64,
) -> wasmtime::Result<i32> {
    put_or_wait(caller, record, (at, len), (value, value_len), (ms, true))
}

fn put_or_wait(
    mut caller: Caller<'_, Host>,
    record: i32,
    key: (i32, i32),
    value: (i32, i32),
    (ms, waits): (i64, bool),
) -> wasmtime::Result<i32> {
    charge_for(&mut caller, key.1, value.1)?;
    let (bytes, host) = memory(&mut caller)?.data_and_store_mut(&mut caller);
    let lent = host.lent.as_mut().ok_or_else(not_lent)?;
    let (key, value) = (guest_bytes(bytes, key.0, key.1)?, guest_bytes(bytes, value.0, value.1)?);
    match lent.put(record, key, value, ms, waits)? {
        Ok(()) => Ok(0),
        Err(why) => {
            host.say(why);
            Ok(import::NOTHING)
        }
    }
}

fn remove(mut caller: Caller<'_, Host>, record: i32, at: i32, len: i32) -> wasmtime::Result<i32> {
    charge_for(&mut caller, len, 0)?;
    let (bytes, host) = memory(&mut caller)?.data_and_store_mut(&mut caller);
    let lent = host.lent.as_mut().ok_or_else(not_lent)?;
    let (index, _) = lent.record(record).ok_or_else(no_record)?;
    lent.state.remove(&lent.scope, guest_bytes(bytes, at, len)?);
    lent.wrote.push(index);
    Ok(0)
}
