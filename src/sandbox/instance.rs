//! One running filter: a module or a component with its own memory, started with one configuration.
//!
//! Invariants: after an error the instance is not used again; nobody knows what its memory holds. Fuel is set anew for every
//! call. Reading an answer never follows a pointer of the guest's outside of its memory.
//! Limits: memory, stack, fuel to start, fuel per call, bytes of an answer; all from [`super::Config`].

use std::sync::Arc;

use sawbox_guest::abi::answer::Answer;
use sawbox_guest::abi::input::{Size, Writer};
use sawbox_guest::abi::{self, InitAnswer, export};
use wasmtime::{InstancePre, Memory, Store, Trap, TypedFunc, component};

use super::Config;
use super::host::{Host, LIFTED_BYTES, Lent, Shared};
use super::lookup::LookupRecord;
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
    /// Which keyed state it understands.
    pub(super) schema: u32,
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

/// A filter that is compiled and linked.
pub(super) enum Pre {
    /// A core module.
    Module(InstancePre<Host>),
    /// A component.
    Component(component::InstancePre<Host>),
}

/// What is started.
pub(super) struct Start<'s> {
    pub(super) pre: &'s Pre,
    pub(super) filter: &'s Arc<str>,
    /// The configuration, JSON text.
    pub(super) config: &'s Arc<str>,
    /// The lookups that it may open; without it, whatever is there now.
    pub(super) pinned: Option<&'s Arc<[LookupRecord]>>,
    /// Whether it may have the memory of an interpreter.
    pub(super) interpreter: bool,
}

/// A running filter.
pub(super) struct Instance {
    store: Store<Host>,
    carriage: Carriage,
    /// Bytes of its memory when it was ready.
    start_bytes: usize,
    /// Whether it has answered a call before.
    pub(super) used: bool,
    /// Fuel that the last call used, whatever became of it.
    pub(super) spent: u64,
}

/// How frames come to it.
enum Carriage {
    /// Through its memory.
    Module { memory: Memory, alloc: TypedFunc<i32, i32>, process: TypedFunc<(i32, i32), i64> },
    /// As lists of bytes; with the last answer.
    Component { process: component::TypedFunc<(Vec<u8>,), (Vec<u8>,)>, answer: Vec<u8> },
}

impl Instance {
    /// Starts a filter.
    pub(super) fn start(start: &Start<'_>, shared: &Shared, limits: &Config) -> Result<(Self, Needs), StartError> {
        let memory = if start.interpreter { limits.memory_interpreter } else { limits.memory };
        let (filter, config) = (Arc::clone(start.filter), Arc::clone(start.config));
        let mut host = Host::new(filter, config, shared.clone(), start.pinned.cloned(), memory);
        host.quiet = limits.quiet;
        let engine = match start.pre {
            Pre::Module(pre) => pre.module().engine(),
            Pre::Component(pre) => pre.engine(),
        };
        let mut store = Store::new(engine, host);
        store.limiter(|host| host);
        let len = u32::try_from(start.config.len()).map_err(|_| StartError::Refused("the configuration is too long".into()))?;
        let fuel = limits.fuel_to_start;
        let started = store.set_fuel(fuel).map_err(Broken::Engine).and_then(|()| match start.pre {
            Pre::Module(pre) => start_module(&mut store, pre, start.config, len),
            Pre::Component(pre) => start_component(&mut store, pre, start.config),
        });
        let (carriage, needs) = match started {
            Ok(started) => started,
            Err(Broken::Sentence(error)) => return Err(error),
            Err(Broken::Engine(error)) => return Err(StartError::Broken(explain(&error, store.data_mut(), fuel))),
        };
        let start_bytes = store.data().memory_bytes();
        Ok((Self { store, carriage, start_bytes, used: false, spent: 0 }, needs))
    }

    /// Tells it when the records of the next call arrived, if it wants to know.
    pub(super) fn arrived(&mut self, times: impl Iterator<Item = i64>) {
        let host = self.store.data_mut();
        if host.wants_arrivals() {
            host.arrivals.clear();
            host.arrivals.extend(times);
        }
    }

    /// Gives it an input frame and lets it work. `fuel` is for the whole call.
    ///
    /// The address and length of its answer's head come back.
    pub(super) fn call(&mut self, size: Size, fuel: u64, fill: impl FnOnce(&mut Writer<'_>)) -> Result<Called, CallError> {
        let room = size.frame_bytes().ok_or_else(|| CallError("the records are too large for one frame".to_owned()))?;
        self.store.data_mut().begin_call();
        self.spent = 0;
        let called = self.try_call(size, room, fuel, fill);
        self.spent = fuel.saturating_sub(self.store.get_fuel().unwrap_or(0));
        let (packed, input_bytes) = called.map_err(|error| match error {
            Broken::Sentence(StartError::Refused(why) | StartError::Broken(why)) => CallError(why),
            Broken::Engine(error) => CallError(explain(&error, self.store.data_mut(), fuel)),
        })?;
        self.store.data().settle();
        self.used = true;
        Ok(Called { packed, input_bytes, fuel: self.spent })
    }

    fn try_call(&mut self, size: Size, room: u32, fuel: u64, fill: impl FnOnce(&mut Writer<'_>)) -> Result<(u64, u32), Broken> {
        let store = &mut self.store;
        store.set_fuel(fuel)?;
        let write = |frame: &mut [u8]| -> Result<u32, StartError> {
            let mut writer = Writer::new(frame, size).ok_or_else(|| broken("the frame does not fit its own size"))?;
            fill(&mut writer);
            writer.finish().map_err(|error| broken(error.to_string()))
        };
        match &mut self.carriage {
            Carriage::Module { memory, alloc, process } => {
                let at = alloc.call(&mut *store, room.cast_signed())?.cast_unsigned();
                let len = write(room_in(memory.data_mut(&mut *store), at, room).ok_or_else(|| broken(OUTSIDE))?)?;
                let packed = process.call(&mut *store, (at.cast_signed(), len.cast_signed()))?;
                Ok((packed.cast_unsigned(), len))
            }
            Carriage::Component { process, answer } => {
                let mut frame = vec![0; room as usize];
                let len = write(&mut frame)?;
                frame.truncate(len as usize);
                // What is longer is refused before it is copied.
                store.set_hostcall_fuel(answer_bytes(len).saturating_add(LIFTED_BYTES));
                (*answer,) = process.call(&mut *store, (frame,))?;
                Ok((abi::pack(0, u32::try_from(answer.len()).unwrap_or(u32::MAX)), len))
            }
        }
    }

    /// Lends the host the keyed state for the calls that follow.
    pub(super) fn lend(&mut self, lent: Lent) {
        self.store.data_mut().lent = Some(lent);
    }

    /// Takes it back.
    pub(super) fn take_back(&mut self) -> Option<Lent> {
        self.store.data_mut().lent.take()
    }

    /// The answer to the last call, for which it was given so many bytes besides its frame.
    pub(super) fn answer(&self, called: &Called, records: usize, read: usize) -> Result<Answer<'_>, CallError> {
        let memory = match &self.carriage {
            Carriage::Module { memory, .. } => memory.data(&self.store),
            // What lies around the sections counts too: it was copied.
            Carriage::Component { answer, .. } if answer.len() > answer_bytes(called.input_bytes) => {
                return Err(CallError("gave no answer: the frame is larger than an answer may be".to_owned()));
            }
            Carriage::Component { answer, .. } => answer,
        };
        Answer::decode(memory, called.packed, records, called.answer_bytes(read))
            .map_err(|error| CallError(format!("gave no answer: {error}")))
    }

    /// What the filter logged in the last call, where that is kept: level and text.
    pub(super) fn heard(&mut self) -> Vec<(i32, String)> {
        std::mem::take(&mut self.store.data_mut().heard)
    }

    /// Bytes of its memory.
    pub(super) fn memory_bytes(&self) -> usize {
        self.store.data().memory_bytes()
    }

    /// Whether it took so much memory since its start that it is better started afresh.
    pub(super) fn has_grown(&self, limits: &Config) -> bool {
        self.memory_bytes() > self.start_bytes.saturating_add(limits.recycle_above.as_usize())
    }

    /// The lookups that it opened.
    pub(super) fn lookups(&self) -> &[LookupRecord] {
        &self.store.data().opened
    }
}

/// Most bytes of an answer. Cutting a field costs 16 bytes a value; whatever says eight times what it was told is not a filter.
fn answer_bytes(input_bytes: u32) -> usize {
    (input_bytes as usize).saturating_mul(8).saturating_add(64 * 1024)
}

/// Why a start went wrong, before it is told.
enum Broken {
    Engine(wasmtime::Error),
    Sentence(StartError),
}

impl From<wasmtime::Error> for Broken {
    fn from(error: wasmtime::Error) -> Self {
        Self::Engine(error)
    }
}

impl From<StartError> for Broken {
    fn from(error: StartError) -> Self {
        Self::Sentence(error)
    }
}

fn broken(why: impl Into<String>) -> StartError {
    StartError::Broken(why.into())
}

type Started = Result<(Carriage, Needs), Broken>;

fn start_module(store: &mut Store<Host>, pre: &InstancePre<Host>, config: &str, len: u32) -> Started {
    let instance = pre.instantiate(&mut *store)?;
    if let Ok(initialize) = instance.get_typed_func::<(), ()>(&mut *store, abi::wasi::INITIALIZE) {
        initialize.call(&mut *store, ())?;
    }
    let memory = instance.get_memory(&mut *store, export::MEMORY);
    let memory = memory.ok_or_else(|| broken("exports no memory"))?;
    let version = instance.get_typed_func::<(), i32>(&mut *store, export::VERSION)?.call(&mut *store, ())?;
    if version.cast_unsigned() != abi::VERSION {
        return Err(Broken::Sentence(broken(format!(
            "speaks version {version} of the frame, but this box speaks {}; build it with the SDK of this release",
            abi::VERSION
        ))));
    }
    let alloc = instance.get_typed_func::<i32, i32>(&mut *store, export::ALLOC)?;
    let init = instance.get_typed_func::<(i32, i32), i64>(&mut *store, export::INIT)?;
    let process = instance.get_typed_func(&mut *store, export::PROCESS)?;
    let at = alloc.call(&mut *store, len.cast_signed())?.cast_unsigned();
    room_in(memory.data_mut(&mut *store), at, len).ok_or_else(|| broken(OUTSIDE))?.copy_from_slice(config.as_bytes());
    let packed = init.call(&mut *store, (at.cast_signed(), len.cast_signed()))?.cast_unsigned();
    let answer = abi::slice(memory.data(&*store), abi::low(packed), abi::high(packed));
    let needs = needs(answer.ok_or_else(|| broken("`init` gave back a pointer outside of its memory"))?)?;
    Ok((Carriage::Module { memory, alloc, process }, needs))
}

fn start_component(store: &mut Store<Host>, pre: &component::InstancePre<Host>, config: &str) -> Started {
    store.set_hostcall_fuel(LIFTED_BYTES);
    let instance = pre.instantiate(&mut *store)?;
    // In the interface that the world exports; or, in a component that was made by hand, its own.
    let guest = instance.get_export_index(&mut *store, None, export::GUEST);
    let mut index = |name: &str| {
        let found = instance.get_export_index(&mut *store, guest.as_ref(), name);
        found.ok_or_else(|| broken(format!("exports no function `{name}`")))
    };
    let (init, process) = (index(export::INIT)?, index(export::PROCESS)?);
    let init = instance.get_typed_func::<(Vec<u8>,), (Vec<u8>,)>(&mut *store, init)?;
    let process = instance.get_typed_func(&mut *store, process)?;
    let (answer,) = init.call(&mut *store, (config.as_bytes().to_vec(),))?;
    Ok((Carriage::Component { process, answer: Vec::new() }, needs(&answer)?))
}

/// What is wrong where [`room_in`] gives nothing.
const OUTSIDE: &str = "`alloc` gave back a pointer outside of its memory";

fn room_in(memory: &mut [u8], at: u32, len: u32) -> Option<&mut [u8]> {
    let at = at as usize;
    memory.get_mut(at..at.saturating_add(len as usize))
}

/// A call that came back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Called {
    packed: u64,
    input_bytes: u32,
    /// What it used.
    pub(super) fuel: u64,
}

impl Called {
    /// Most bytes of its answer, if it was given so many bytes besides its frame.
    pub(super) fn answer_bytes(&self, read: usize) -> usize {
        answer_bytes(self.input_bytes).saturating_add(read)
    }
}

fn needs(answer: &[u8]) -> Result<Needs, StartError> {
    match InitAnswer::decode(answer) {
        Ok(InitAnswer::Refused(reason)) => Err(StartError::Refused(String::from_utf8_lossy(reason).into_owned())),
        Ok(InitAnswer::Ready { needs_payload, reads_all, reads, schema, .. }) => {
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
            Ok(Needs { payload: needs_payload, all: reads_all, reads: names, schema })
        }
        Err(error) => Err(StartError::Broken(format!("gave no answer to `init`: {error}"))),
    }
}

/// Frames of a backtrace that are told.
const FRAMES: usize = 16;

/// A trap in words that are the same on every machine and at every run.
fn explain(error: &wasmtime::Error, host: &mut Host, fuel: u64) -> String {
    let mut text = match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => format!("used more than {fuel} units of fuel: an endless loop, or far too much work"),
        Some(Trap::StackOverflow) => "trapped: its calls are nested too deeply".to_owned(),
        Some(Trap::UnreachableCodeReached) => match host.panic() {
            Some(panic) => format!("panicked: {panic}"),
            None => "trapped: it reached what its compiler took for unreachable (a panic, in most languages)".to_owned(),
        },
        Some(trap) => format!("trapped: {trap}"),
        None => match host.panic() {
            Some(panic) => format!("trapped: it {} after it said: {panic}", error.root_cause()),
            None => format!("trapped: it {}", error.root_cause()),
        },
    };
    if host.memory_refused {
        text.push_str(&format!(" (it asked for more than {} of memory)", host.memory_limit));
    }
    if host.quiet
        && let Some(backtrace) = error.downcast_ref::<wasmtime::WasmBacktrace>()
    {
        let name = |frame: &wasmtime::FrameInfo| match frame.func_name() {
            Some(name) => name.to_owned(),
            None => format!("function {}", frame.func_index()),
        };
        let frames: Vec<String> = backtrace.frames().iter().take(FRAMES).map(name).collect();
        host.heard.push((1, format!("backtrace: {}", frames.join(" < "))));
    }
    text
}
