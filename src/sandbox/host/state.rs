//! Keyed state as a guest reaches it, by either carriage: `state_get`, `state_put`, `state_wait` and `state_remove`.
//!
//! For a call the state is lent to the host and comes back with it, whatever became of the call. "Now" is the arrival time of
//! the record that the guest names.
//! Limits: keys of [`KEY_BYTES`], values of [`VALUE_BYTES`], waits of [`WAIT_MS`], and the state's own.

use sawbox_guest::abi::import;
use wasmtime::component::LinkerInstance;
use wasmtime::{Caller, Linker, StoreContextMut};

use super::module::{give, guest_bytes, memory};
use super::{CALL_FUEL, Host, KEY_FUEL, charge};
use crate::sandbox::state::{Scope, State};

/// Values are copied, some ten bytes an instruction.
const VALUE_BYTES_A_FUEL: u64 = 16;
/// Longest key of a filter.
const KEY_BYTES: usize = 4096;
/// Longest value.
const VALUE_BYTES: usize = 1 << 20;
/// Longest wait, milliseconds: a day.
const WAIT_MS: i64 = 86_400_000;

/// The state of a partition, lent for a call.
pub(in super::super) struct Lent {
    pub(in super::super) state: State,
    pub(in super::super) scope: Scope,
    /// Offset and arrival time of the call's records.
    pub(in super::super) records: Vec<(u64, i64)>,
    /// How many of them are expired entries.
    pub(in super::super) expired: usize,
    /// Most bytes of the state.
    pub(in super::super) limit: usize,
    /// For which of them the guest wrote.
    pub(in super::super) wrote: Vec<bool>,
    /// Bytes of values that the guest was given: it may answer with them. At most `limit`, which is all that there can be.
    pub(in super::super) given: usize,
}

impl Lent {
    fn record(&self, record: u32) -> wasmtime::Result<(usize, (u64, i64))> {
        let index = record as usize;
        let record = self.records.get(index);
        let none = || wasmtime::Error::msg("named a record that the call does not have to its keyed state");
        Ok((index, *record.ok_or_else(none)?))
    }

    fn note(&mut self, index: usize) {
        if let Some(wrote) = self.wrote.get_mut(index) {
            *wrote = true;
        }
    }
}

/// How long an entry stays, and what then.
#[derive(Clone, Copy)]
enum Stays {
    /// It is forgotten; negative is never.
    Ms(i64),
    /// It is given back.
    Waits(i64),
}

impl Host {
    fn lent(&mut self) -> wasmtime::Result<&mut Lent> {
        self.lent.as_mut().ok_or_else(|| wasmtime::Error::msg("asked for keyed state outside of `process`"))
    }

    fn state_get(&mut self, record: u32, key: &[u8]) -> wasmtime::Result<Option<&[u8]>> {
        let lent = self.lent()?;
        let (_, (_, now_ns)) = lent.record(record)?;
        let value = lent.state.get(&lent.scope, key, now_ns);
        lent.given = lent.given.saturating_add(value.map_or(0, <[u8]>::len)).min(lent.limit);
        Ok(value)
    }

    fn state_put(&mut self, record: u32, key: &[u8], value: &[u8], stays: Stays) -> wasmtime::Result<Result<(), String>> {
        let lent = self.lent()?;
        let (index, (offset, now_ns)) = lent.record(record)?;
        if key.len() > KEY_BYTES || value.len() > VALUE_BYTES {
            return Ok(Err(format!("a key of the state has at most {KEY_BYTES} bytes, a value {VALUE_BYTES}")));
        }
        let (ms, waits) = match stays {
            Stays::Waits(_) if index < lent.expired => {
                return Ok(Err("what was given back after its wait cannot wait again".to_owned()));
            }
            Stays::Waits(ms) => (ms.clamp(1, WAIT_MS), Some(offset)),
            Stays::Ms(ms) => (ms, None),
        };
        let deadline_ns = if ms < 0 { i64::MAX } else { now_ns.saturating_add(ms.saturating_mul(1_000_000)) };
        let limit = lent.limit;
        if !lent.state.put(&lent.scope, key, value, (now_ns, deadline_ns), waits, limit) {
            return Ok(Err(format!("the keyed state of this partition is full: {limit} bytes (`[sandbox] state`)")));
        }
        lent.note(index);
        Ok(Ok(()))
    }

    fn state_remove(&mut self, record: u32, key: &[u8]) -> wasmtime::Result<()> {
        let lent = self.lent()?;
        let (index, _) = lent.record(record)?;
        lent.state.remove(&lent.scope, key);
        lent.note(index);
        Ok(())
    }
}

/// What a key and a value cost.
fn price(key: usize, value: usize) -> u64 {
    KEY_FUEL.saturating_mul(key as u64).saturating_add(value as u64 / VALUE_BYTES_A_FUEL).saturating_add(CALL_FUEL)
}

fn length(len: i32) -> usize {
    len.cast_unsigned() as usize
}

/// Adds the imports of core modules.
pub(super) fn link(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    linker.func_wrap(import::MODULE, import::STATE_GET, get)?;
    linker.func_wrap(import::MODULE, import::STATE_PUT, put)?;
    linker.func_wrap(import::MODULE, import::STATE_WAIT, wait)?;
    linker.func_wrap(import::MODULE, import::STATE_REMOVE, remove)?;
    Ok(())
}

fn get(mut caller: Caller<'_, Host>, record: i32, at: i32, len: i32, out: i32, cap: i32) -> wasmtime::Result<i32> {
    charge(&mut caller, price(length(len), 0))?;
    let (memory, host) = memory(&mut caller)?.data_and_store_mut(&mut caller);
    let Some(value) = host.state_get(record.cast_unsigned(), guest_bytes(memory, at, len)?)? else {
        return Ok(import::NOTHING);
    };
    let len = give(memory, value, out, cap)?;
    charge(&mut caller, price(0, length(len)))?;
    Ok(len)
}

fn put(caller: Caller<'_, Host>, record: i32, at: i32, len: i32, value: i32, value_len: i32, ms: i64) -> wasmtime::Result<i32> {
    keep(caller, record, (at, len), (value, value_len), Stays::Ms(ms))
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
    keep(caller, record, (at, len), (value, value_len), Stays::Waits(ms))
}

fn keep(mut caller: Caller<'_, Host>, record: i32, key: (i32, i32), value: (i32, i32), stays: Stays) -> wasmtime::Result<i32> {
    charge(&mut caller, price(length(key.1), length(value.1)))?;
    let (memory, host) = memory(&mut caller)?.data_and_store_mut(&mut caller);
    let (key, value) = (guest_bytes(memory, key.0, key.1)?, guest_bytes(memory, value.0, value.1)?);
    let put = host.state_put(record.cast_unsigned(), key, value, stays)?;
    Ok(host.or_error(put.map(|()| 0)))
}

fn remove(mut caller: Caller<'_, Host>, record: i32, at: i32, len: i32) -> wasmtime::Result<i32> {
    charge(&mut caller, price(length(len), 0))?;
    let (memory, host) = memory(&mut caller)?.data_and_store_mut(&mut caller);
    host.state_remove(record.cast_unsigned(), guest_bytes(memory, at, len)?)?;
    Ok(0)
}

type Store<'a> = StoreContextMut<'a, Host>;
type Put = (u32, Vec<u8>, Vec<u8>, i64);

/// Links one of the functions of components; `None` where there is none of this name.
pub(super) fn link_component(links: &mut LinkerInstance<'_, Host>, name: &str) -> Option<wasmtime::Result<()>> {
    Some(match name {
        "state-get" => links.func_wrap(name, |mut store: Store<'_>, (record, key): (u32, Vec<u8>)| {
            charge(&mut store, price(key.len(), 0))?;
            let value = store.data_mut().state_get(record, &key)?.map(<[u8]>::to_vec);
            charge(&mut store, price(0, value.as_ref().map_or(0, Vec::len)))?;
            Ok((value,))
        }),
        "state-put" => links.func_wrap(name, |mut store: Store<'_>, (record, key, value, ms): Put| {
            charge(&mut store, price(key.len(), value.len()))?;
            Ok((store.data_mut().state_put(record, &key, &value, Stays::Ms(ms))?,))
        }),
        "state-wait" => links.func_wrap(name, |mut store: Store<'_>, (record, key, value, ms): Put| {
            charge(&mut store, price(key.len(), value.len()))?;
            Ok((store.data_mut().state_put(record, &key, &value, Stays::Waits(ms))?,))
        }),
        "state-remove" => links.func_wrap(name, |mut store: Store<'_>, (record, key): (u32, Vec<u8>)| {
            charge(&mut store, price(key.len(), 0))?;
            store.data_mut().state_remove(record, &key)
        }),
        _ => return None,
    })
}
