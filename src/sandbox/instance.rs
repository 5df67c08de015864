//! One running filter: a module with its own memory, started with one configuration.
//!
//! Invariants: after an error the instance is not used again; nobody knows what its memory holds. Fuel is set anew for every
//! call. Reading an answer never follows a pointer of the guest's outside of its memory.
//! Limits: memory, stack, fuel to start, fuel per call, bytes of an answer; all from [`super::Config`].

use std::sync::Arc;

use sawbox_guest::abi::answer::Answer;
use sawbox_guest::abi::input::{Size, Writer};
use sawbox_guest::abi::{self, InitAnswer, export};
use wasmtime::{InstancePre, Memory, Store, Trap, TypedFunc};

use super::Config;
use super::host::{Compiled, Host};
use crate::base::limits::FIELD_NAME_BYTES;

/// What a filter wants to be given, as it said at its start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Needs {
    /// Whether it looks at payloads.
    pub(super) payload: bool,
    /// Whether it looks at every field.
    pub(super) all: bool,
    /// The fields it looks at, otherwise.
    pub(super) reads: Vec<Arc<str>>,
}

/// Why a filter did not start.
#[derive(Debug)]
pub(super) enum StartError {
    /// It does not like its configuration.
    Refused(String),
    /// It is broken.
    Broken(String),
}

/// Why a call gave nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CallError(
    /// A sentence about the filter: "trapped: …".
    pub(super) String,
);

/// A running filter.
pub(super) struct Instance {
    store: Store<Host>,
    memory: Memory,
    alloc: TypedFunc<i32, i32>,
    process: TypedFunc<(i32, i32), i64>,
    /// Whether it has answered a call before.
    pub(super) used: bool,
}

impl Instance {
    /// Starts a filter.
    pub(super) fn start(
        pre: &InstancePre<Host>,
        filter: &Arc<str>,
        config: &str,
        compiled: &Compiled,
        limits: &Config,
    ) -> Result<(Self, Needs), StartError> {
        let mut host = Host::new(Arc::clone(filter), Arc::clone(compiled), limits.memory.as_usize());
        host.quiet = limits.quiet;
        let mut store = Store::new(pre.module().engine(), host);
        store.limiter(|host| host);
        let broken = |store: &Store<Host>, error: &wasmtime::Error| {
            StartError::Broken(explain(error, store.data(), limits.fuel_to_start, limits))
        };
        store.set_fuel(limits.fuel_to_start).map_err(|error| broken(&store, &error))?;
        let instance = pre.instantiate(&mut store).map_err(|error| broken(&store, &error))?;
        let memory = instance
            .get_memory(&mut store, export::MEMORY)
            .ok_or_else(|| StartError::Broken("exports no memory".to_owned()))?;
        let version =
            instance.get_typed_func::<(), i32>(&mut store, export::VERSION).and_then(|function| function.call(&mut store, ()));
        match version {
            Ok(version) if version.cast_unsigned() == abi::VERSION => {}
            Ok(version) => {
                return Err(StartError::Broken(format!(
                    "speaks version {version} of the frame, but this box speaks {}; build it with the SDK of this release",
                    abi::VERSION
                )));
            }
            Err(error) => return Err(broken(&store, &error)),
        }
        let alloc = instance.get_typed_func(&mut store, export::ALLOC).map_err(|error| broken(&store, &error))?;
        let init =
            instance.get_typed_func::<(i32, i32), i64>(&mut store, export::INIT).map_err(|error| broken(&store, &error))?;
        let process = instance.get_typed_func(&mut store, export::PROCESS).map_err(|error| broken(&store, &error))?;

        let len = u32::try_from(config.len()).map_err(|_| StartError::Refused("the configuration is too long".into()))?;
        let mut this = Self { store, memory, alloc, process, used: false };
        let at = this.room(len, limits.fuel_to_start, limits).map_err(|error| StartError::Broken(error.0))?;
        this.bytes_mut(at, len).map_err(|error| StartError::Broken(error.0))?.copy_from_slice(config.as_bytes());
        let packed = init
            .call(&mut this.store, (at.cast_signed(), len.cast_signed()))
            .map_err(|error| broken(&this.store, &error))?
            .cast_unsigned();
        let answer = abi::slice(this.memory.data(&this.store), abi::low(packed), abi::high(packed))
            .ok_or_else(|| StartError::Broken("`init` gave back a pointer outside of its memory".to_owned()))?;
        let needs = needs(answer)?;
        Ok((this, needs))
    }

    /// Gives it an input frame and lets it work. `fuel` is for the whole call.
    ///
    /// The address and length of its answer's head come back.
    pub(super) fn call(
        &mut self,
        size: Size,
        fuel: u64,
        limits: &Config,
        fill: impl FnOnce(&mut Writer<'_>),
    ) -> Result<Called, CallError> {
        let room = size.frame_bytes().ok_or_else(|| CallError("the records are too large for one frame".to_owned()))?;
        self.store.data_mut().begin_call();
        self.store.set_fuel(fuel).map_err(|error| CallError(error.to_string()))?;
        let at = self.room(room, fuel, limits)?;
        let mut writer = Writer::new(self.bytes_mut(at, room)?, size)
            .ok_or_else(|| CallError("the frame does not fit its own size".to_owned()))?;
        fill(&mut writer);
        let len = writer.finish().map_err(|error| CallError(error.to_string()))?;
        let packed = self
            .process
            .call(&mut self.store, (at.cast_signed(), len.cast_signed()))
            .map_err(|error| CallError(explain(&error, self.store.data(), fuel, limits)))?;
        self.used = true;
        let left = self.store.get_fuel().unwrap_or(0);
        Ok(Called { packed: packed.cast_unsigned(), input_bytes: len, fuel: fuel.saturating_sub(left) })
    }

    /// The answer to the last call.
    pub(super) fn answer(&self, called: &Called, records: usize) -> Result<Answer<'_>, CallError> {
        // Cutting a field costs 16 bytes a value; whatever says eight times what it was told is not a filter.
        let limit = (called.input_bytes as usize).saturating_mul(8).saturating_add(64 * 1024);
        Answer::decode(self.memory.data(&self.store), called.packed, records, limit)
            .map_err(|error| CallError(format!("gave no answer: {error}")))
    }

    /// What the filter logged in the last call, where that is kept: level and text.
    pub(super) fn heard(&mut self) -> Vec<(i32, String)> {
        std::mem::take(&mut self.store.data_mut().heard)
    }

    /// Bytes of its memory.
    pub(super) fn memory_bytes(&self) -> usize {
        self.memory.data_size(&self.store)
    }

    fn room(&mut self, len: u32, fuel: u64, limits: &Config) -> Result<u32, CallError> {
        match self.alloc.call(&mut self.store, len.cast_signed()) {
            Ok(at) => Ok(at.cast_unsigned()),
            Err(error) => Err(CallError(explain(&error, self.store.data(), fuel, limits))),
        }
    }

    fn bytes_mut(&mut self, at: u32, len: u32) -> Result<&mut [u8], CallError> {
        let at = at as usize;
        self.memory
            .data_mut(&mut self.store)
            .get_mut(at..at.saturating_add(len as usize))
            .ok_or_else(|| CallError("`alloc` gave back a pointer outside of its memory".to_owned()))
    }
}

/// A call that came back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Called {
    packed: u64,
    input_bytes: u32,
    /// What it used.
    pub(super) fuel: u64,
}

fn needs(answer: &[u8]) -> Result<Needs, StartError> {
    match InitAnswer::decode(answer) {
        Ok(InitAnswer::Refused(reason)) => Err(StartError::Refused(String::from_utf8_lossy(reason).into_owned())),
        Ok(InitAnswer::Ready { needs_payload, reads_all, reads, .. }) => {
            let mut names = Vec::new();
            for name in abi::Names(reads) {
                let name = name.map_err(|error| StartError::Broken(error.to_string()))?;
                match std::str::from_utf8(name) {
                    Ok(name) if !name.is_empty() && name.len() <= FIELD_NAME_BYTES => names.push(Arc::from(name)),
                    Ok(_) | Err(_) => {
                        return Err(StartError::Broken(format!("reads a field whose name is none: {name:?}")));
                    }
                }
            }
            Ok(Needs { payload: needs_payload, all: reads_all, reads: names })
        }
        Err(error) => Err(StartError::Broken(format!("gave no answer to `init`: {error}"))),
    }
}

/// A trap in words that are the same on every machine and at every run.
fn explain(error: &wasmtime::Error, host: &Host, fuel: u64, limits: &Config) -> String {
    let mut text = match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => format!("used more than {fuel} units of fuel: an endless loop, or far too much work"),
        Some(Trap::StackOverflow) => "trapped: its calls are nested too deeply".to_owned(),
        Some(Trap::UnreachableCodeReached) => match &host.panic {
            Some(panic) => format!("panicked: {panic}"),
            None => "trapped: it reached what its compiler took for unreachable (a panic, in most languages)".to_owned(),
        },
        Some(trap) => format!("trapped: {trap}"),
        None => format!("trapped: it {}", error.root_cause()),
    };
    if host.memory_refused {
        text.push_str(&format!(" (it asked for more than {} of memory)", limits.memory));
    }
    text
}
