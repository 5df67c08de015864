//! Every function that a guest may import, called with anything: it answers or traps, and nothing else is harmed.

use bolero::TypeGenerator;
use sawbox_guest::abi::{import, wasi};

use super::guests::guest;
use super::{Bench, bench, bench_with, plain, run};
use crate::sandbox::Config;

/// All functions: module, name, signature.
fn functions() -> Vec<(&'static str, &'static str, &'static str)> {
    let ours = import::FUNCTIONS.iter().map(|(name, signature)| (import::MODULE, *name, *signature));
    ours.chain(wasi::FUNCTIONS.iter().map(|(name, signature)| (wasi::MODULE, *name, *signature))).collect()
}

fn params(signature: &str) -> Vec<&str> {
    let inside = signature.trim_start_matches('(').split(')').next().unwrap();
    inside.split_whitespace().collect()
}

/// A guest that calls the function whose number is the payload's first byte, with arguments of 8 bytes each that follow from 8 on.
fn caller() -> String {
    let (mut imports, mut calls) = (String::new(), String::new());
    for (number, (module, name, signature)) in functions().into_iter().enumerate() {
        let params = params(signature);
        let gives = if signature.ends_with("nothing") { "" } else { "(result i32)" };
        imports.push_str(&format!("(import \"{module}\" \"{name}\" (func $f{number} (param {}) {gives}))", params.join(" ")));
        let arguments: String = params
            .iter()
            .enumerate()
            .map(|(index, ty)| format!("({ty}.load offset={} (local.get $record))", 8 + index * 8))
            .collect();
        let call = format!("(call $f{number} {arguments})");
        let call = if gives.is_empty() { call } else { format!("(drop {call})") };
        calls.push_str(&format!("(if (i32.eq (local.get $byte) (i32.const {number})) (then {call}))"));
    }
    let process = format!(
        "(local.set $record (i32.add (local.get $at) (i32.load offset=56 (local.get $at))))
         (local.set $byte (i32.load8_u (local.get $record))) {calls}"
    );
    guest(&process).replacen("(module", &format!("(module {imports}"), 1)
}

fn payload(number: usize, arguments: &[i64]) -> Vec<u8> {
    let mut payload = vec![0; 56];
    payload[0] = u8::try_from(number).unwrap();
    for (place, argument) in payload[8..].as_chunks_mut::<8>().0.iter_mut().zip(arguments) {
        *place = argument.to_le_bytes();
    }
    payload
}

fn number(name: &str) -> usize {
    functions().iter().position(|(_, known, _)| *known == name).unwrap()
}

thread_local! {
    static BENCH: Bench = {
        let bench = bench_with(Config { fuel_per_record: 300_000, ..Config::default() });
        bench.put("caller", &caller());
        bench
    };
}

fn call(name: &str, arguments: &[i64]) -> String {
    BENCH.with(|bench| {
        let chain = bench.chain(r#"[{"filter": "caller"}]"#);
        run(&chain, &plain(&[&payload(number(name), arguments)])).remove(0)
    })
}

#[test]
fn bad_pointers_and_handles_trap() {
    // The memory is 4 MiB.
    let (out, end) = (-8, 4 << 20);
    let outside = "gave the host a pointer outside of its memory";
    for (name, arguments, expected) in [
        ("log", &[1, out, 16][..], outside),
        ("log", &[0, end - 8, 9], outside),
        ("last_error", &[out, 16], outside),
        ("config", &[out, 16, 0, 0], outside),
        ("config", &[0, 0, end - 1, 2], outside),
        ("pattern_compile", &[end, 1, 0], outside),
        ("pattern_describe", &[0, 0, 100], "used a pattern it never compiled"),
        ("pattern_describe", &[-1, out, 100], outside),
        ("pattern_match", &[7, 0, 4, 0, 4], "used a pattern it never compiled"),
        ("pattern_match", &[0, out, 4, 0, 4], outside),
        ("lookup_open", &[0, 4], "opened a lookup after `init`"),
        ("lookup_get", &[0, 0, 0, 4, 0, 4], "used a lookup it never opened"),
        ("lookup_get", &[0, 0, out, 4, 0, 4], outside),
        ("fd_write", &[1, out, 1, 0], outside),
        ("fd_write", &[2, 0x10_0000, 1, out], outside),
        ("random_get", &[end - 1, 2], outside),
        ("clock_time_get", &[0, 0, end - 7], outside),
        ("clock_res_get", &[0, out], outside),
        ("args_sizes_get", &[out, 0], outside),
        ("fd_fdstat_get", &[1, end - 23], outside),
        ("fd_read", &[0, 0, 0, out], outside),
        ("proc_exit", &[3], "ended itself with code 3"),
        // What the host would do for it costs more than the call has.
        ("pattern_compile", &[0, -1, 0], "units of fuel"),
        ("pattern_compile", &[0, 2000, 0], "units of fuel"),
        ("log", &[1, 0, -1], outside),
        ("random_get", &[0, 1 << 20], "units of fuel"),
        ("lookup_get", &[0, 0, 0, 1 << 20, 0, 0], "units of fuel"),
    ] {
        let said = call(name, arguments);
        assert!(said.starts_with("fail caller: ") && said.contains(expected), "{name} {arguments:?}: {said}");
    }
    // Files, and what is right at the end of the memory.
    for (name, arguments) in [
        ("path_open", &[3, 0, out, 8, 0, 0, 0, 0, out][..]),
        ("fd_close", &[7]),
        ("fd_write", &[9, out, 1, out]),
        ("random_get", &[end - 2, 2]),
        ("clock_time_get", &[0, 0, end - 8]),
        ("config", &[0, 0, end - 2, 2]),
        ("config", &[0, 0, out, 1]),
        ("log", &[4, end - 3, 3]),
        ("log", &[4, end, 0]),
    ] {
        let said = call(name, arguments);
        assert!(said.starts_with("store "), "{name} {arguments:?}: {said}");
    }
}

#[derive(Clone, Debug, TypeGenerator)]
enum Argument {
    Small(u8),
    Negative(u8),
    NearTheEnd(u8),
    Inside(u16),
    Any(i64),
}

#[test]
fn fuzz_imports() {
    let count = functions().len();
    bolero::check!().with_iterations(800).with_type::<(u8, [Argument; 6])>().for_each(|(function, arguments)| {
        let arguments: Vec<i64> = arguments
            .iter()
            .map(|argument| match argument {
                Argument::Small(number) => i64::from(*number % 4),
                Argument::Negative(number) => -i64::from(*number),
                Argument::NearTheEnd(number) => (4 << 20) - i64::from(*number % 32),
                Argument::Inside(number) => i64::from(*number),
                Argument::Any(number) => *number,
            })
            .collect();
        BENCH.with(|bench| {
            let chain = bench.chain(r#"[{"filter": "caller"}]"#);
            let payload = payload(usize::from(*function) % count, &arguments);
            let said = run(&chain, &plain(&[&payload, b"none of them, which is long enough to be read as arguments"]));
            assert!(said[0].starts_with("store ") || said[0].starts_with("fail caller: "), "{}", said[0]);
            assert!(said[1].starts_with("store "), "{}", said[1]);
        });
    });
}

#[test]
fn a_runtime_finds_what_it_needs_and_its_last_words_are_told() {
    let bench = bench();
    let imports = r#"
        (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
        (import "wasi_snapshot_preview1" "path_open" (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_prestat_get" (func $prestat (param i32 i32) (result i32)))"#;
    // `_initialize` sets a flag that `process` looks for. The last words come in pieces, as Go writes them.
    let process = r#"
        (if (i32.eqz (i32.load (i32.const 1024))) (then unreachable))
        (if (call $clock (i32.const 0) (i64.const 0) (i32.const 2048)) (then unreachable))
        (if (i64.ne (i64.load (i32.const 2048)) (i64.const 946684800000000000)) (then unreachable))
        (if (i32.ne (call $prestat (i32.const 3) (i32.const 2048)) (i32.const 8)) (then unreachable))
        (if (i32.ne (call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i64.const 0) (i64.const 0)
            (i32.const 0) (i32.const 2048)) (i32.const 8)) (then unreachable))
        (if (i32.eq (i32.load8_u (i32.add (local.get $at) (i32.load offset=56 (local.get $at)))) (i32.const 120)) (then
            (i32.store (i32.const 2048) (i32.const 3000)) (i32.store (i32.const 2052) (i32.const 7))
            (drop (call $write (i32.const 2) (i32.const 2048) (i32.const 1) (i32.const 2056)))
            (if (i32.ne (i32.load (i32.const 2056)) (i32.const 7)) (then unreachable))
            (i32.store (i32.const 2048) (i32.const 3007)) (i32.store (i32.const 2052) (i32.const 20))
            (drop (call $write (i32.const 2) (i32.const 2048) (i32.const 1) (i32.const 2056)))
            (call $exit (i32.const 2))))"#;
    let more = r#"(func (export "_initialize") (i32.store (i32.const 1024) (i32.const 1)))
        (data (i32.const 3000) "panic: index is out\nand more")"#;
    let wat = super::guests::module(more, "\\00\\01\\00\\00", process).replacen("(module", &format!("(module {imports}"), 1);
    bench.put("runtime", &wat);
    let chain = bench.chain(r#"[{"filter": "runtime"}]"#);
    let said = run(&chain, &plain(&[b"a", b"b"]));
    assert_eq!(said, ["store message=\"a\"", "store message=\"b\""]);
    let said = run(&chain, &plain(&[b"x"]));
    let expected = "fail runtime: trapped: it ended itself with code 2 (`proc_exit`) after it said: panic: index is out";
    assert_eq!(said, [expected]);
    // A start of its own that never ends is bounded too.
    let endless = wat.replace("(i32.store (i32.const 1024) (i32.const 1))", "(loop $l (br $l))");
    bench.put("endless", &endless);
    assert!(bench.refused(r#"[{"filter": "endless"}]"#).contains("used more than 500000000 units of fuel"));
}
