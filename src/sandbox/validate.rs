//! Whether a module is a filter, and if not, a sentence that says why and what to do.

use sawbox_guest::abi::{export, import, wasi};
use wasmtime::component::Component;
use wasmtime::component::types::{ComponentItem, Type};
use wasmtime::{ExternType, FuncType, Module};

use super::FilterError;

/// Looks at the bytes before anything is compiled.
pub(super) fn bytes(wasm: &[u8], limit: usize) -> Result<(), FilterError> {
    let refuse = |why: String| Err(FilterError::Refused(why));
    if wasm.len() > limit {
        return refuse(format!("the module has {} bytes; at most {limit} are allowed (`module`)", wasm.len()));
    }
    match (wasm.get(..4), wasm.get(4..8)) {
        (Some(b"\0asm"), Some([1, 0, 0, 0])) => Ok(()),
        (Some(b"\0asm"), Some([0x0d, 0, 1, 0])) => Ok(()),
        (Some(b"\0asm"), _) => refuse("this WebAssembly version is not known".into()),
        _ => refuse("this is no WebAssembly module".into()),
    }
}

/// Looks at what a compiled component exports; what it imports is looked at while it is linked.
pub(super) fn component(component: &Component) -> Result<(), FilterError> {
    let (engine, ty) = (component.engine(), component.component_type());
    // In the interface that the world exports.
    let guest = match ty.get_export(engine, export::GUEST).map(|export| export.ty) {
        Some(ComponentItem::ComponentInstance(guest)) => Some(guest),
        Some(_) | None => None,
    };
    let bytes = |ty: &Type| matches!(ty, Type::List(list) if list.ty() == Type::U8);
    for name in [export::INIT, export::PROCESS] {
        let export = match &guest {
            Some(guest) => guest.get_export(engine, name),
            None => ty.get_export(engine, name),
        };
        let right = match export.map(|export| export.ty) {
            Some(ComponentItem::ComponentFunc(function)) => {
                function.params().map(|(_, ty)| bytes(&ty)).eq([true]) && function.results().map(|ty| bytes(&ty)).eq([true])
            }
            Some(_) | None => false,
        };
        if !right {
            return Err(FilterError::Refused(format!(
                "the component exports no function `{name}: func(list<u8>) -> list<u8>` in `{}`; build it for the world \
                 `sawbox:filter/filter@1.0.0` (guest-sdk/wit)",
                export::GUEST
            )));
        }
    }
    Ok(())
}

/// Looks at what a compiled module imports and exports.
pub(super) fn module(module: &Module) -> Result<(), FilterError> {
    for wanted in module.imports() {
        let (from, name) = (wanted.module(), wanted.name());
        if let Some(why) = refused_import(from, name, &wanted.ty()) {
            return Err(FilterError::Refused(format!("the module imports `{name}` from `{from}`: {why}")));
        }
    }
    if module.resources_required().num_memories > 1 {
        return Err(FilterError::Refused("it has more than one memory; a filter has one".into()));
    }
    match module.get_export(export::MEMORY) {
        Some(ExternType::Memory(memory)) if memory.is_shared() || memory.is_64() => {
            return Err(FilterError::Refused("its memory must be a plain 32-bit one, not shared".into()));
        }
        Some(ExternType::Memory(_)) => {}
        Some(_) | None => {
            return Err(FilterError::Refused(format!("the module exports no memory named `{}`", export::MEMORY)));
        }
    }
    let wanted = [
        (export::VERSION, "() -> i32"),
        (export::ALLOC, "(i32) -> i32"),
        (export::INIT, "(i32 i32) -> i64"),
        (export::PROCESS, "(i32 i32) -> i64"),
    ];
    for (name, signature) in wanted {
        match module.get_export(name) {
            Some(ExternType::Func(function)) if shape(&function) == signature => {}
            Some(ExternType::Func(function)) => {
                let has = shape(&function);
                return Err(FilterError::Refused(format!("its function `{name}` is {has}, but must be {signature}")));
            }
            Some(_) | None => {
                return Err(FilterError::Refused(format!(
                    "the module exports no function `{name}` {signature}; in Rust, `sawbox_guest::filter!(…)` makes it"
                )));
            }
        }
    }
    Ok(())
}

/// Why this import is refused, if it is.
fn refused_import(from: &str, name: &str, ty: &ExternType) -> Option<String> {
    let inert = wasi::FUNCTIONS.iter().find(|(function, _)| from == wasi::MODULE && *function == name);
    if from.starts_with("wasi") && inert.is_none() {
        return Some(no_wasi(name).into());
    }
    if (from, name) == ("env", "abort") {
        return Some("that is AssemblyScript's; build with `--use abort=` and your own function, as its template does".into());
    }
    if from == "env" || from.starts_with("__wbindgen") {
        return Some("there is no such thing here; link everything the filter needs into the module".into());
    }
    let known = import::FUNCTIONS.iter().find(|(function, _)| from == import::MODULE && *function == name).or(inert);
    let Some((_, wanted)) = known else {
        let names: Vec<&str> = import::FUNCTIONS.iter().map(|(function, _)| *function).collect();
        return Some(format!("filters may import only these from `{}`: {}", import::MODULE, names.join(", ")));
    };
    match ty {
        ExternType::Func(function) if shape(function) == *wanted => None,
        ExternType::Func(function) => Some(format!("as {}, but it is {wanted}", shape(function))),
        _ => Some(format!("it is a function {wanted}")),
    }
}

/// Why a function of WASI is not here, and what to do instead.
fn no_wasi(name: &str) -> &'static str {
    if name.starts_with("sock_") || name.contains("socket") || name.contains("http") {
        "filters have no network; emit the record to a topic, and let an output send it"
    } else if name.starts_with("clock") {
        "filters have no clock; a record's arrival time is the time"
    } else if name.starts_with("proc_") || name.starts_with("thread") {
        "filters have no processes and no threads; the box runs as many instances as it needs"
    } else {
        "filters have no files; log with sawbox.log, remember with sawbox.state_put, look things up with sawbox.lookup_open"
    }
}

/// Whether a module brings a runtime with it.
pub(super) fn interpreter(module: &Module) -> bool {
    module.imports().any(|wanted| wanted.module() == wasi::MODULE)
}

/// A signature as text.
fn shape(function: &FuncType) -> String {
    let join = |types: Vec<String>| types.join(" ");
    let params = join(function.params().map(|ty| ty.to_string()).collect());
    let results = join(function.results().map(|ty| ty.to_string()).collect());
    format!("({params}) -> {}", if results.is_empty() { "nothing" } else { &results })
}
