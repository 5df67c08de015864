//! The inert part of WASI for components: what the runtimes of JavaScript and Python import, whether they use it or not.
//!
//! Invariant: nothing here differs from run to run, and nothing reaches out of the guest. Clocks stand still, randomness is zeros,
//! there are no arguments, variables, files or sockets; what is printed goes to the log. Of these worlds every function can be
//! imported, because tools import them all; one that is not told here traps with a sentence when it is called.

use sawbox_guest::abi::wasi::CLOCK_NS;
use wasmtime::StoreContextMut;
use wasmtime::component::{LinkerInstance, Resource, ResourceAny, Val};

use super::component::Inert;
use super::{CALL_FUEL, Host, charge};

/// What handles stand for. Standard output and error are 1 and 2.
const NOBODY: u32 = 0;
/// Most bytes that are given at once where the guest says how many.
const BYTES: u64 = 64 * 1024;
/// Bytes that a stream takes at once.
const STREAM_BYTES: u64 = 4096;

type Store<'s> = StoreContextMut<'s, Host>;

/// A handle that stands for this.
fn handle(store: &mut Store<'_>, rep: u32) -> wasmtime::Result<Val> {
    Ok(Val::Resource(Resource::<Inert>::new_own(rep).try_into_resource_any(store)?))
}

/// What a handle stands for.
fn rep(store: &mut Store<'_>, handle: Option<&Val>) -> wasmtime::Result<u32> {
    match handle {
        Some(Val::Resource(any)) => Ok(ResourceAny::try_into_resource::<Inert>(*any, store)?.rep()),
        Some(_) | None => Ok(NOBODY),
    }
}

fn bytes_of(list: Option<&Val>) -> Vec<u8> {
    let Some(Val::List(list)) = list else { return Vec::new() };
    list.iter().map(|byte| if let Val::U8(byte) = byte { *byte } else { 0 }).collect()
}

/// Links one function of one of WASI's interfaces.
pub(super) fn link(links: &mut LinkerInstance<'_, Host>, interface: &str, function: &str) -> wasmtime::Result<()> {
    let place = interface.split_once('@').map_or(interface, |(place, _)| place);
    let place = place.strip_prefix("wasi:").unwrap_or(place);
    if let ("random/random" | "random/insecure", "get-random-bytes" | "get-insecure-random-bytes") = (place, function) {
        return links.func_wrap(function, |mut store: Store<'_>, (len,): (u64,)| -> wasmtime::Result<(Vec<u8>,)> {
            charge(&mut store, CALL_FUEL.saturating_add(len))?;
            if len > BYTES {
                return Err(wasmtime::Error::msg(format!("asked for {len} random bytes; at most {BYTES} at once")));
            }
            Ok((vec![0; usize::try_from(len).unwrap_or(0)],))
        });
    }
    let what = format!("{place}#{function}");
    links.func_new(function, move |mut store, _, given, answers| {
        charge(&mut store, CALL_FUEL)?;
        let answer = answer(&mut store, &what, given)?;
        if let (Some(place), Some(answer)) = (answers.first_mut(), answer) {
            *place = answer;
        }
        Ok(())
    })
}

/// What a function answers.
fn answer(store: &mut Store<'_>, what: &str, given: &[Val]) -> wasmtime::Result<Option<Val>> {
    let done = || Val::Result(Ok(None));
    let closed = || Val::Result(Err(Some(Box::new(Val::Variant("closed".to_owned(), None)))));
    Ok(Some(match what {
        "cli/environment#get-environment" | "cli/environment#get-arguments" | "filesystem/preopens#get-directories" => {
            Val::List(Vec::new())
        }
        "cli/environment#initial-cwd"
        | "cli/environment#get-initial-cwd"
        | "cli/terminal-stdin#get-terminal-stdin"
        | "cli/terminal-stdout#get-terminal-stdout"
        | "cli/terminal-stderr#get-terminal-stderr"
        | "filesystem/types#filesystem-error-code" => Val::Option(None),
        "cli/stdin#get-stdin" => handle(store, NOBODY)?,
        "cli/stdout#get-stdout" => handle(store, 1)?,
        "cli/stderr#get-stderr" => handle(store, 2)?,
        "cli/exit#exit" | "cli/exit#exit-with-code" => {
            return Err(wasmtime::Error::msg("ended itself (`exit`)"));
        }
        "clocks/monotonic-clock#now" => Val::U64(CLOCK_NS),
        "clocks/monotonic-clock#resolution" => Val::U64(1),
        "clocks/wall-clock#now" => datetime(CLOCK_NS / 1_000_000_000, 0),
        "clocks/wall-clock#resolution" => datetime(0, 1),
        "clocks/monotonic-clock#subscribe-duration"
        | "clocks/monotonic-clock#subscribe-instant"
        | "io/streams#[method]output-stream.subscribe"
        | "io/streams#[method]input-stream.subscribe" => handle(store, NOBODY)?,
        "random/random#get-random-u64" | "random/insecure#get-insecure-random-u64" => Val::U64(0),
        "random/insecure-seed#insecure-seed" | "random/insecure-seed#get-insecure-seed" => {
            Val::Tuple(vec![Val::U64(0), Val::U64(0)])
        }
        "io/error#[method]error.to-debug-string" => Val::String(String::new()),
        "io/poll#[method]pollable.ready" => Val::Bool(true),
        "io/poll#[method]pollable.block" => return Ok(None),
        "io/poll#poll" => match given.first() {
            Some(Val::List(list)) => Val::List((0u32..).zip(list).map(|(index, _)| Val::U32(index)).collect()),
            Some(_) | None => Val::List(Vec::new()),
        },
        "io/streams#[method]output-stream.check-write" => Val::Result(Ok(Some(Box::new(Val::U64(STREAM_BYTES))))),
        "io/streams#[method]output-stream.write" | "io/streams#[method]output-stream.blocking-write-and-flush" => {
            let stream = rep(store, given.first())?;
            let text = bytes_of(given.get(1));
            charge(store, text.len() as u64)?;
            if stream == 1 || stream == 2 {
                store.data_mut().write(stream == 2, &text);
            }
            done()
        }
        "io/streams#[method]output-stream.flush"
        | "io/streams#[method]output-stream.blocking-flush"
        | "io/streams#[method]output-stream.write-zeroes"
        | "io/streams#[method]output-stream.blocking-write-zeroes-and-flush" => done(),
        "io/streams#[method]input-stream.read"
        | "io/streams#[method]input-stream.blocking-read"
        | "io/streams#[method]input-stream.skip"
        | "io/streams#[method]input-stream.blocking-skip" => closed(),
        _ => {
            let why = if what.starts_with("sockets/") || what.starts_with("http/") {
                "filters have no network; emit the record to a topic, and let an output send it"
            } else if what.starts_with("filesystem/") {
                "filters have no files; log with the host's `log`, remember with `state-put`, look things up with `lookup-open`"
            } else {
                "there is no such thing in a filter"
            };
            return Err(wasmtime::Error::msg(format!("called `{what}` of WASI: {why}")));
        }
    }))
}

fn datetime(seconds: u64, nanoseconds: u32) -> Val {
    Val::Record(vec![("seconds".to_owned(), Val::U64(seconds)), ("nanoseconds".to_owned(), Val::U32(nanoseconds))])
}
