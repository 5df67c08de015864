//! The host's functions for components: `guest-sdk/wit/sawbox.wit`. Lists and strings are copied in by the engine, at most
//! [`LIFTED_BYTES`] a call of the host, and then charged as for core modules.

use sawbox_guest::abi::Groups;
use sawbox_guest::abi::import::{NOTHING, pattern_kind};
use wasmtime::component::{Component, ComponentType, Lift, Linker, LinkerInstance, Lower, ResourceType, types::ComponentItem};
use wasmtime::{AsContext, AsContextMut, StoreContextMut};

use super::super::FilterError;
use super::super::grok::Found;
use super::super::lookup::Got;
use super::pattern::{COMPILE_FUEL, Search};
use super::{CALL_FUEL, Host, KEY_FUEL, OPEN_FUEL, charge, state, wasi_component};

/// The interface of the host's functions, before its version.
const HOST: &str = "sawbox:filter/host@";
/// Most bytes that the engine copies in for one call, of an import or back from an export.
pub(in super::super) const LIFTED_BYTES: usize = 1 << 20;

#[derive(ComponentType, Lift, Clone, Copy)]
#[allow(dead_code)] // the engine makes them out of numbers
#[component(enum)]
#[repr(u8)]
enum PatternKind {
    #[component(name = "grok")]
    Grok,
    #[component(name = "regex")]
    Regex,
    #[component(name = "grok-ecs")]
    GrokEcs,
}

#[derive(ComponentType, Lower, Clone, Copy)]
#[component(record)]
struct Span {
    group: u32,
    start: u32,
    end: u32,
}

/// What stands for every resource of WASI: nothing.
pub(super) struct Inert;

/// Makes the imports of this component, or says which of them there is not.
pub(in super::super) fn linker(component: &Component) -> Result<Linker<Host>, FilterError> {
    let engine = component.engine();
    let mut linker = Linker::new(engine);
    for (name, item) in component.component_type().imports(engine) {
        let refuse = |why: &str| FilterError::Refused(format!("the component imports `{name}`: {why}"));
        let ComponentItem::ComponentInstance(instance) = item.ty else {
            // A type that other imports speak of needs nobody.
            if matches!(item.ty, ComponentItem::Type(_)) {
                continue;
            }
            return Err(refuse("filters may import only `sawbox:filter/host@1.0.0`"));
        };
        let ours = name.starts_with(HOST);
        if !ours && !name.starts_with("wasi:") {
            return Err(refuse("filters may import only `sawbox:filter/host@1.0.0`, and an inert part of WASI"));
        }
        if ours && !name[HOST.len()..].starts_with("1.") {
            return Err(refuse("this box speaks version 1; build the filter with the SDK of this release"));
        }
        let mut links = linker.instance(name).map_err(|error| refuse(&format!("{error:#}")))?;
        for (function, item) in instance.exports(engine) {
            let linked = match item.ty {
                ComponentItem::ComponentFunc(_) if ours => match host(&mut links, function) {
                    Some(linked) => linked,
                    None => return Err(refuse(&format!("this box has no `{function}` there"))),
                },
                ComponentItem::ComponentFunc(_) => wasi_component::link(&mut links, name, function),
                ComponentItem::Resource(_) => links.resource(function, ResourceType::host::<Inert>(), |_, _| Ok(())),
                ComponentItem::Type(_) => Ok(()),
                ComponentItem::CoreFunc(_)
                | ComponentItem::Module(_)
                | ComponentItem::Component(_)
                | ComponentItem::ComponentInstance(_) => return Err(refuse(&format!("`{function}` is no function"))),
            };
            linked.map_err(|error| refuse(&format!("{error:#}")))?;
        }
    }
    Ok(linker)
}

/// What a component imports: the host's functions by the names that core modules know them by, and WASI's interfaces.
pub(in super::super) fn imports(component: &Component) -> Vec<String> {
    let engine = component.engine();
    let mut names = Vec::new();
    for (name, item) in component.component_type().imports(engine) {
        match item.ty {
            ComponentItem::ComponentInstance(instance) if name.starts_with(HOST) => {
                let functions = instance.exports(engine).filter(|(_, item)| matches!(item.ty, ComponentItem::ComponentFunc(_)));
                names.extend(functions.map(|(function, _)| function.replace('-', "_")));
            }
            _ => names.push(name.to_owned()),
        }
    }
    names
}

type Store<'s> = StoreContextMut<'s, Host>;

fn begin<'s>(store: &'s mut Store<'_>, rate: u64, bytes: usize) -> wasmtime::Result<&'s mut Host> {
    charge(store, rate.saturating_mul(bytes as u64).saturating_add(CALL_FUEL))?;
    Ok(store.data_mut())
}

/// Links one of the host's functions; `None` where there is none of this name.
fn host(links: &mut LinkerInstance<'_, Host>, name: &str) -> Option<wasmtime::Result<()>> {
    Some(match name {
        "log" => links.func_wrap(name, |mut store: Store<'_>, (level, text): (u8, String)| {
            begin(&mut store, 0, 0)?.log(i32::from(level), text.as_bytes());
            Ok(())
        }),
        "config" => links.func_wrap(name, |mut store: Store<'_>, (path,): (String,)| {
            let value = begin(&mut store, 1, path.len())?.config(path.as_bytes());
            let value = value.map(|value| String::from_utf8_lossy(value).into_owned());
            charge(&mut store, value.as_ref().map_or(0, |value| value.len() as u64))?;
            Ok((value,))
        }),
        "pattern-compile" => links.func_wrap(name, pattern_compile),
        "pattern-groups" => links.func_wrap(name, |mut store: Store<'_>, (pattern,): (u32,)| {
            let described = begin(&mut store, 0, 0)?.patterns.describe(pattern.cast_signed())?;
            let groups = Groups(described).map(|(group, name)| (group, String::from_utf8_lossy(name).into_owned()));
            Ok((groups.collect::<Vec<(u16, String)>>(),))
        }),
        "pattern-match" => links.func_wrap(name, pattern_match),
        "lookup-open" => links.func_wrap(name, |mut store: Store<'_>, (kind, argument): (String, String)| {
            let host = begin(&mut store, OPEN_FUEL, kind.len() + argument.len() + 1)?;
            let handle = host.lookup_open(format!("{kind}\0{argument}").as_bytes())?;
            Ok((handle_or_error(host, handle),))
        }),
        "lookup-get" => links.func_wrap(name, |mut store: Store<'_>, (lookup, record, key): (u32, u32, Vec<u8>)| {
            let host = begin(&mut store, KEY_FUEL, key.len())?;
            let got: Result<Option<Vec<u8>>, ()> = match host.lookup_get(lookup.cast_signed(), record, &key)? {
                Got::Value(value) => Ok(Some(value.to_vec())),
                Got::Nothing => Ok(None),
                Got::Late => Err(()),
            };
            if let Ok(Some(value)) = &got {
                charge(&mut store, value.len() as u64)?;
            }
            Ok((got,))
        }),
        _ => return state::link_component(links, name),
    })
}

fn handle_or_error(host: &Host, handle: i32) -> Result<u32, String> {
    if handle == NOTHING { Err(host.error.clone()) } else { Ok(handle.cast_unsigned()) }
}

type Compile = (PatternKind, String, Vec<(String, String)>);

fn pattern_compile(mut store: Store<'_>, (kind, expression, names): Compile) -> wasmtime::Result<(Result<u32, String>,)> {
    let mut text = expression;
    for part in names.iter().flat_map(|(name, definition)| [name, definition]) {
        text.push('\0');
        text.push_str(part);
    }
    let host = begin(&mut store, COMPILE_FUEL, text.len())?;
    let kind = match kind {
        PatternKind::Grok => pattern_kind::GROK,
        PatternKind::Regex => pattern_kind::REGEX,
        PatternKind::GrokEcs => pattern_kind::GROK_ECS,
    };
    let handle = host.pattern_compile(text.as_bytes(), kind);
    Ok((handle_or_error(host, handle),))
}

type Matched = (Result<Option<Vec<Span>>, ()>,);

fn pattern_match(mut store: Store<'_>, (pattern, text): (u32, Vec<u8>)) -> wasmtime::Result<Matched> {
    let pattern = pattern.cast_signed();
    begin(&mut store, 0, 0)?;
    let mut fuel = store.as_context().get_fuel()?;
    let small = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let span = |found: &Found| Span { group: small(found.field), start: small(found.start), end: small(found.end) };
    let matched = match store.data_mut().patterns.search(pattern, &text, &mut fuel)? {
        Search::Found(found) => Ok(Some(found.iter().map(span).collect())),
        Search::Nothing => Ok(None),
        Search::GaveUp => Err(()),
    };
    store.as_context_mut().set_fuel(fuel)?;
    Ok((matched,))
}
