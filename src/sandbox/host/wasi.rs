//! The inert part of WASI for core modules: what runtimes import before they run a line of the author's code.
//!
//! Invariant: nothing here differs from run to run, and nothing reaches out of the guest. The list with what each function does is
//! `sawbox_guest::abi::wasi`; what is not on it is refused when a module is loaded.

use sawbox_guest::abi::u32_at;
use sawbox_guest::abi::wasi::{CLOCK_NS, MODULE};
use wasmtime::{Caller, Linker};

use super::module::{guest_bytes, guest_room, memory};
use super::{CALL_FUEL, Host, charge};

/// Done.
const DONE: i32 = 0;
/// No such file descriptor.
const BAD_FILE: i32 = 8;
/// No such function.
const NO_FUNCTION: i32 = 52;
/// Most pieces of one `fd_write` that are looked at.
const PIECES: i32 = 16;

/// Links it.
pub(super) fn link(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    let none = |mut caller: Caller<'_, Host>, count: i32, bytes: i32| -> wasmtime::Result<i32> {
        put(&mut caller, count, &[0; 4])?;
        put(&mut caller, bytes, &[0; 4])?;
        Ok(DONE)
    };
    linker.func_wrap(MODULE, "args_sizes_get", none)?;
    linker.func_wrap(MODULE, "environ_sizes_get", none)?;
    linker.func_wrap(MODULE, "args_get", |_: i32, _: i32| DONE)?;
    linker.func_wrap(MODULE, "environ_get", |_: i32, _: i32| DONE)?;
    linker.func_wrap(MODULE, "clock_time_get", |mut caller: Caller<'_, Host>, _: i32, _: i64, out: i32| {
        put(&mut caller, out, &CLOCK_NS.to_le_bytes())
    })?;
    linker.func_wrap(MODULE, "clock_res_get", |mut caller: Caller<'_, Host>, _: i32, out: i32| {
        put(&mut caller, out, &1u64.to_le_bytes())
    })?;
    linker.func_wrap(MODULE, "random_get", |mut caller: Caller<'_, Host>, out: i32, len: i32| -> wasmtime::Result<i32> {
        charge(&mut caller, CALL_FUEL + u64::from(len.cast_unsigned()))?;
        let memory = memory(&mut caller)?.data_mut(&mut caller);
        guest_room(memory, out, len.cast_unsigned() as usize)?.fill(0);
        Ok(DONE)
    })?;
    linker.func_wrap(MODULE, "sched_yield", || DONE)?;
    linker.func_wrap(MODULE, "poll_oneoff", |_: i32, _: i32, _: i32, _: i32| NO_FUNCTION)?;
    linker.func_wrap(MODULE, "proc_exit", |code: i32| -> wasmtime::Result<()> {
        Err(wasmtime::Error::msg(format!("ended itself with code {code} (`proc_exit`)")))
    })?;

    linker.func_wrap(MODULE, "fd_write", fd_write)?;
    linker.func_wrap(
        MODULE,
        "fd_read",
        |mut caller: Caller<'_, Host>, file: i32, _: i32, _: i32, out: i32| {
            if file == 0 { put(&mut caller, out, &[0; 4]) } else { Ok(BAD_FILE) }
        },
    )?;
    linker.func_wrap(MODULE, "fd_fdstat_get", |mut caller: Caller<'_, Host>, file: i32, out: i32| {
        // filetype u8 (2 = character device), flags u16, rights u64, inheriting rights u64
        let mut stat = [0; 24];
        stat[0] = 2;
        if (0..=2).contains(&file) { put(&mut caller, out, &stat) } else { Ok(BAD_FILE) }
    })?;

    linker.func_wrap(MODULE, "fd_close", |_: i32| BAD_FILE)?;
    linker.func_wrap(MODULE, "fd_sync", |_: i32| BAD_FILE)?;
    linker.func_wrap(MODULE, "fd_tell", |_: i32, _: i32| BAD_FILE)?;
    linker.func_wrap(MODULE, "fd_fdstat_set_flags", |_: i32, _: i32| BAD_FILE)?;
    linker.func_wrap(MODULE, "fd_filestat_get", |_: i32, _: i32| BAD_FILE)?;
    linker.func_wrap(MODULE, "fd_prestat_get", |_: i32, _: i32| BAD_FILE)?;
    linker.func_wrap(MODULE, "fd_prestat_dir_name", |_: i32, _: i32, _: i32| BAD_FILE)?;
    linker.func_wrap(MODULE, "fd_seek", |_: i32, _: i64, _: i32, _: i32| BAD_FILE)?;
    for name in ["fd_pread", "fd_pwrite", "fd_readdir"] {
        linker.func_wrap(MODULE, name, |_: i32, _: i32, _: i32, _: i64, _: i32| BAD_FILE)?;
    }
    linker.func_wrap(MODULE, "path_filestat_get", |_: i32, _: i32, _: i32, _: i32, _: i32| BAD_FILE)?;
    linker.func_wrap(MODULE, "path_readlink", |_: i32, _: i32, _: i32, _: i32, _: i32, _: i32| BAD_FILE)?;
    linker.func_wrap(MODULE, "path_open", |_: i32, _: i32, _: i32, _: i32, _: i32, _: i64, _: i64, _: i32, _: i32| BAD_FILE)?;
    Ok(())
}

/// Writes a result.
fn put(caller: &mut Caller<'_, Host>, out: i32, bytes: &[u8]) -> wasmtime::Result<i32> {
    charge(caller, CALL_FUEL)?;
    let memory = memory(caller)?.data_mut(caller);
    guest_room(memory, out, bytes.len())?.copy_from_slice(bytes);
    Ok(DONE)
}

/// What goes to standard output and error goes to the log.
fn fd_write(mut caller: Caller<'_, Host>, file: i32, pieces: i32, count: i32, out: i32) -> wasmtime::Result<i32> {
    if file != 1 && file != 2 {
        return Ok(BAD_FILE);
    }
    charge(&mut caller, CALL_FUEL)?;
    let mut written = 0u32;
    for index in 0..count.clamp(0, PIECES) {
        let (memory, host) = memory(&mut caller)?.data_and_store_mut(&mut caller);
        let place = guest_bytes(memory, pieces.wrapping_add(index * 8), 8)?;
        let (at, len) = (u32_at(place, 0).cast_signed(), u32_at(place, 4).cast_signed());
        host.write(file == 2, guest_bytes(memory, at, len)?);
        written = written.saturating_add(len.cast_unsigned());
        charge(&mut caller, u64::from(len.cast_unsigned()))?;
    }
    put(&mut caller, out, &written.to_le_bytes())
}
