//! Components: the same frames, limits and refusals as core modules.

use super::{Bench, bench_with, plain, run};
use crate::base::units::Bytes;
use crate::sandbox::{Config, FilterError};

/// A component around the body of `process`: `$at` is the frame, `$n` its records. It answers a list at 64 KiB whose head is
/// written already: the verdicts follow it, all zero. `imports` come before, `lowered` are core functions made of them, which
/// `imported` brings into the core module.
fn component(imports: &str, lowered: &str, imported: &str, more: &str, process: &str) -> String {
    let exports = lowered
        .match_indices("(core func $")
        .map(|(at, _)| lowered[at + 11..].split_whitespace().next().unwrap())
        .map(|name| format!("(export \"{0}\" (func {name}))", &name[1..]))
        .collect::<String>();
    format!(
        r#"(component
            {imports}
            (core module $libc
                (memory (export "memory") 16)
                (global $next (mut i32) (i32.const 0x20000))
                (func (export "realloc") (param i32 i32 i32 i32) (result i32)
                    (local $at i32)
                    (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
                    (global.set $next (i32.add (local.get $at) (local.get 3)))
                    (if (i32.gt_u (global.get $next) (i32.const 0xf0000)) (then (global.set $next (i32.const 0x20000))))
                    (local.get $at)))
            (core instance $libc (instantiate $libc))
            (alias core export $libc "memory" (core memory $memory))
            (alias core export $libc "realloc" (core func $realloc))
            {lowered}
            (core module $filter
                (import "libc" "memory" (memory 16))
                {imported}
                {more}
                (data (i32.const 16) "\00\01\00\00")
                (func (export "init") (param $at i32) (param $len i32) (result i32)
                    (i32.store (i32.const 0) (i32.const 16))
                    (i32.store (i32.const 4) (i32.const 4))
                    (i32.const 0))
                (func (export "process") (param $at i32) (param $len i32) (result i32)
                    (local $n i32) (local $byte i32)
                    (local.set $n (i32.load offset=4 (local.get $at)))
                    (local.set $byte (i32.load8_u (i32.add (local.get $at) (i32.load offset=56 (local.get $at)))))
                    (memory.fill (i32.const 0x10000) (i32.const 0) (i32.const 0x1000))
                    (i32.store (i32.const 0x10000) (i32.const 1))
                    (i32.store (i32.const 0x10004) (local.get $n))
                    (i32.store (i32.const 0x10008) (i32.const 64))
                    (i32.store (i32.const 0x1000c) (i32.mul (local.get $n) (i32.const 24)))
                    (i32.store (i32.const 0) (i32.const 0x10000))
                    (i32.store (i32.const 4) (i32.add (i32.const 64) (i32.mul (local.get $n) (i32.const 24))))
                    {process}
                    (i32.const 0)))
            (core instance $filter (instantiate $filter
                (with "libc" (instance $libc))
                (with "host" (instance {exports}))))
            (func (export "init") (param "config" (list u8)) (result (list u8))
                (canon lift (core func $filter "init") (memory $memory) (realloc $realloc)))
            (func (export "process") (param "frame" (list u8)) (result (list u8))
                (canon lift (core func $filter "process") (memory $memory) (realloc $realloc))))"#
    )
}

fn plain_component(process: &str) -> String {
    component("", "", "", "", process)
}

fn small() -> Bench {
    let config = Config {
        fuel_per_record: 300_000,
        fuel_to_start: 5_000_000,
        memory: Bytes(2 << 20),
        memory_interpreter: Bytes(4 << 20),
        ..Config::default()
    };
    bench_with(config)
}

fn refusal(bench: &Bench, wat: &str) -> String {
    match bench.sandbox.put("bad", &wat::parse_str(wat).unwrap()) {
        Err(FilterError::Refused(why)) => why,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn a_component_is_a_filter() {
    let bench = small();
    // Drops what begins with `d`, without a reason.
    let wat = plain_component(
        "(if (i32.eq (local.get $byte) (i32.const 100)) (then (i32.store8 (i32.const 0x10040) (i32.const 1))))",
    );
    bench.put("made", &wat);
    let chain = bench.chain(r#"[{"filter": "made"}, {"filter": "tag", "config": {"add": ["seen"]}}]"#);
    for _ in 0..3 {
        assert_eq!(
            run(&chain, &plain(&[b"fine", b"too"])),
            ["store message=\"fine\" tags=\"seen\"", "store message=\"too\" tags=\"seen\""]
        );
        assert_eq!(run(&chain, &plain(&[b"drop"])), ["drop \"\""]);
    }
    let report = bench.sandbox.check(&wat::parse_str(&wat).unwrap()).unwrap();
    assert!(report.needs_payload && report.imports.is_empty(), "{report:?}");
    // Found compiled after a restart.
    let record = chain.record().clone();
    let again = super::open(bench.directory.path(), Config::default());
    assert_eq!(run(&again.chain(&record).unwrap(), &plain(&[b"drop"])), ["drop \"\""]);
}

#[test]
fn components_call_the_host_with_types() {
    let bench = small();
    // The configuration's `name` becomes the arena, and the field `a` of the first record; its length is checked by reading the
    // option's case first. A lookup of it in a table is the field `b`.
    let imports = r#"(import "sawbox:filter/host@1.0.0" (instance $host
        (export "config" (func (param "path" string) (result (option string))))
        (export "log" (func (param "level" u8) (param "text" string)))
        (export "lookup-open" (func (param "kind" string) (param "argument" string) (result (result u32 (error string)))))
        (export "lookup-get" (func (param "lookup" u32) (param "record" u32) (param "key" (list u8))
            (result (result (option (list u8))))))))"#;
    let canon = |name: &str, import: &str| {
        format!("(core func ${name} (canon lower (func $host \"{import}\") (memory $memory) (realloc $realloc)))")
    };
    let lowered = [canon("config", "config"), canon("log", "log"), canon("open", "lookup-open"), canon("get", "lookup-get")];
    let imported = r#"
        (import "host" "config" (func $config (param i32 i32 i32)))
        (import "host" "log" (func $log (param i32 i32 i32)))
        (import "host" "open" (func $open (param i32 i32 i32 i32 i32)))
        (import "host" "get" (func $get (param i32 i32 i32 i32 i32)))
        (data (i32.const 512) "name") (data (i32.const 520) "table") (data (i32.const 528) "{\"web\": \"a table\"}")
        (data (i32.const 600) "\01\00a\01\00b")"#;
    // Values: (name 0, Str, len, slot 1, offset 0), (name 1, Str, len, slot 1, offset 16).
    let process = r#"
        (call $config (i32.const 512) (i32.const 4) (i32.const 256))
        (if (i32.ne (i32.load8_u (i32.const 256)) (i32.const 1)) (then unreachable))
        (call $log (i32.const 3) (i32.load (i32.const 260)) (i32.load (i32.const 264)))
        (memory.copy (i32.const 0x10200) (i32.load (i32.const 260)) (i32.load (i32.const 264)))
        (call $get (i32.const 0) (i32.const 0) (i32.load (i32.const 260)) (i32.load (i32.const 264)) (i32.const 280))
        (if (i32.load8_u (i32.const 280)) (then unreachable))
        (if (i32.load8_u (i32.const 284)) (then
            (memory.copy (i32.const 0x10210) (i32.load (i32.const 288)) (i32.load (i32.const 292)))
            (i32.store (i32.const 0x10114) (i32.load (i32.const 292)))
            (i32.store (i32.const 0x10110) (i32.const 0x01000001))
            (i32.store (i32.const 0x10118) (i32.const 1))
            (i32.store (i32.const 0x1011c) (i32.const 16))))
        (i32.store (i32.const 0x10100) (i32.const 0x01000000))
        (i32.store (i32.const 0x10104) (i32.load (i32.const 264)))
        (i32.store (i32.const 0x10108) (i32.const 1))
        (memory.copy (i32.const 0x10180) (i32.const 600) (i32.const 6))
        (i32.store (i32.const 0x10044) (i32.const 2))
        (i32.store (i32.const 0x10010) (i32.const 0x100)) (i32.store (i32.const 0x10014) (i32.const 32))
        (i32.store (i32.const 0x10018) (i32.const 0x180)) (i32.store (i32.const 0x1001c) (i32.const 6))
        (i32.store (i32.const 0x10030) (i32.const 0x200)) (i32.store (i32.const 0x10034) (i32.const 64))
        (i32.store (i32.const 4) (i32.const 0x240))"#;
    let wat = component(imports, &lowered.concat(), imported, "", process).replace(
        "(i32.store (i32.const 0) (i32.const 16))\n",
        "(call $open (i32.const 520) (i32.const 5) (i32.const 528) (i32.const 18) (i32.const 256))
         (if (i32.load8_u (i32.const 256)) (then unreachable))
         (i32.store (i32.const 0) (i32.const 16))\n",
    );
    bench.put("typed", &wat);
    let chain = bench.chain(r#"[{"filter": "typed", "config": {"name": "web"}}]"#);
    assert_eq!(run(&chain, &plain(&[b"x"])), ["store message=\"x\" a=\"web\" b=\"a table\""]);
}

#[test]
fn components_that_ask_for_more_are_refused() {
    let bench = small();
    let import = |import: &str| component(&format!("(import {import})"), "", "", "", "");
    let cases = [
        (
            import(r#""acme:db/store@1.0.0" (instance (export "get" (func)))"#),
            "filters may import only `sawbox:filter/host@1.0.0`",
        ),
        (import(r#""read" (func)"#), "imports `read`: filters may import only"),
        (import(r#""sawbox:filter/host@1.0.0" (instance (export "shell" (func)))"#), "this box has no `shell` there"),
        (import(r#""sawbox:filter/host@2.0.0" (instance (export "log" (func)))"#), "this box speaks version 1"),
        (import(r#""sawbox:filter/host@1.0.0" (instance (export "log" (func (param "text" string))))"#), "log"),
        (
            plain_component("")
                .replace("(func (export \"process\") (param \"frame\"", "(func (export \"proces\") (param \"frame\""),
            "exports no function `process: func(list<u8>)",
        ),
        (
            plain_component("").replace("(param \"config\" (list u8))", "(param \"config\" string)"),
            "exports no function `init: func(list<u8>)",
        ),
        ("(component (core module (memory i64 1)))".to_owned(), "memory64"),
    ];
    for (wat, expected) in cases {
        let why = refusal(&bench, &wat);
        assert!(why.contains(expected), "{why}\nshould say: {expected}");
    }
    assert!(bench.sandbox.filters().iter().all(|filter| filter.stock), "nothing of it was kept");
}

#[test]
fn components_that_mean_harm_harm_only_their_records() {
    let bench = small();
    let cases = [
        ("loop", "(loop $l (br $l))", "units of fuel: an endless loop"),
        ("trap", "unreachable", "reached what its compiler took for unreachable"),
        ("deep", "(call $deep)", "nested too deeply"),
        (
            "grow",
            "(if (i32.eq (memory.grow (i32.const 60)) (i32.const -1)) (then unreachable))",
            "asked for more than 4MiB of memory",
        ),
        ("fill", "(loop $l (memory.fill (i32.const 0x80000) (i32.const 0) (i32.const 0x70000)) (br $l))", "units of fuel"),
        // The answer's list: outside, huge, of nothing, of another version.
        ("far", "(i32.store (i32.const 0) (i32.const -8))", "trapped"),
        ("long", "(i32.store (i32.const 4) (i32.const -1))", "trapped"),
        ("large", "(i32.store (i32.const 4) (i32.const 0xe0000))", "larger than an answer may be"),
        ("lying", "(i32.store (i32.const 0x1000c) (i32.const 4800))", "points outside of the filter's memory"),
        ("none", "(i32.store (i32.const 4) (i32.const 0))", "ends early"),
        ("other", "(i32.store (i32.const 0x10000) (i32.const 2))", "is of another version"),
    ];
    for (name, harm, expected) in cases {
        // Only records that begin with `x`.
        let process = format!("(if (i32.eq (local.get $byte) (i32.const 120)) (then {harm}))");
        bench.put(name, &component("", "", "", "(func $deep (call $deep))", &process));
        let chain = bench.chain(&format!(r#"[{{"filter": "{name}"}}]"#));
        for _ in 0..2 {
            let said = run(&chain, &plain(&[b"a", b"x", b"c"]));
            // The guest looks at the first record of a call only: in one call of three it sees none.
            assert_eq!(said, ["store message=\"a\"", "store message=\"x\"", "store message=\"c\""], "{name}");
            let said = run(&chain, &plain(&[b"x", b"a"]));
            assert!(said[0].starts_with(&format!("fail {name}: ")) && said[0].contains(expected), "{name}: {}", said[0]);
            assert_eq!(said[1], "store message=\"a\"", "{name}");
        }
    }
    // Lies of its allocator, and a start that never ends.
    let wat = plain_component("")
        .replace("(local.get $at)))\n            (core instance $libc", "(i32.const -8)))\n            (core instance $libc");
    bench.put("bad", &wat);
    assert!(bench.refused(r#"[{"filter": "bad"}]"#).contains("does not start: trapped"));
    let wat = component("", "", "", "(func $start (loop $l (br $l))) (start $start)", "");
    bench.put("bad", &wat);
    assert!(bench.refused(r#"[{"filter": "bad"}]"#).contains("used more than 5000000 units of fuel"));
    // Many memories, each within bounds, are too much together.
    let many: String = (0..3).map(|n| format!("(core module $m{n} (memory 20)) (core instance (instantiate $m{n}))")).collect();
    bench.put("bad", &plain_component("").replacen("(component", &format!("(component {many}"), 1));
    let why = bench.refused(r#"[{"filter": "bad"}]"#);
    assert!(why.contains("does not start") && why.contains("4MiB of memory"), "{why}");
}

#[test]
fn wasi_is_there_and_inert() {
    let bench = small();
    let imports = r#"
        (import "wasi:clocks/wall-clock@0.2.3" (instance $clock
            (type $t (record (field "seconds" u64) (field "nanoseconds" u32)))
            (export "datetime" (type $datetime (eq $t)))
            (export "now" (func (result $datetime)))))
        (import "wasi:random/random@0.2.3" (instance $random
            (export "get-random-bytes" (func (param "len" u64) (result (list u8))))
            (export "get-random-u64" (func (result u64)))))
        (import "wasi:io/error@0.2.3" (instance $error (export "error" (type (sub resource)))))
        (alias export $error "error" (type $error-type))
        (import "wasi:io/streams@0.2.3" (instance $streams
            (export "output-stream" (type $out (sub resource)))
            (alias outer 1 $error-type (type $outer))
            (export "error" (type $e (eq $outer)))
            (type $v (variant (case "last-operation-failed" (own $e)) (case "closed")))
            (export "stream-error" (type $stream-error (eq $v)))
            (export "[method]output-stream.blocking-write-and-flush"
                (func (param "self" (borrow $out)) (param "contents" (list u8)) (result (result (error $stream-error)))))))
        (alias export $streams "output-stream" (type $stream))
        (import "wasi:cli/stderr@0.2.3" (instance $stderr
            (alias outer 1 $stream (type $outer))
            (export "output-stream" (type $out (eq $outer)))
            (export "get-stderr" (func (result (own $out))))))
        (import "wasi:sockets/tcp@0.2.3" (instance $tcp (export "connect" (func))))
        (import "wasi:cli/exit@0.2.3" (instance $exit (export "exit" (func (param "status" (result))))))"#;
    let opts = "(memory $memory) (realloc $realloc)";
    let lowered = [
        ("now", "$clock", "now"),
        ("bytes", "$random", "get-random-bytes"),
        ("u64", "$random", "get-random-u64"),
        ("write", "$streams", "[method]output-stream.blocking-write-and-flush"),
        ("stderr", "$stderr", "get-stderr"),
        ("connect", "$tcp", "connect"),
        ("exit", "$exit", "exit"),
    ]
    .map(|(name, instance, function)| format!("(core func ${name} (canon lower (func {instance} \"{function}\") {opts}))"));
    let imported = r#"
        (import "host" "now" (func $now (param i32)))
        (import "host" "bytes" (func $bytes (param i64 i32)))
        (import "host" "u64" (func $u64 (result i64)))
        (import "host" "write" (func $write (param i32 i32 i32 i32)))
        (import "host" "stderr" (func $stderr (result i32)))
        (import "host" "connect" (func $connect))
        (import "host" "exit" (func $exit (param i32)))
        (data (i32.const 512) "no memory for that\n")"#;
    let process = r#"
        (call $now (i32.const 256))
        (if (i64.ne (i64.load (i32.const 256)) (i64.const 946684800)) (then unreachable))
        (call $bytes (i64.const 8) (i32.const 256))
        (if (i64.ne (i64.load (i32.load (i32.const 256))) (i64.const 0)) (then unreachable))
        (if (i64.ne (call $u64) (i64.const 0)) (then unreachable))
        (if (i32.eq (local.get $byte) (i32.const 99)) (then (call $connect)))
        (if (i32.eq (local.get $byte) (i32.const 114)) (then (call $bytes (i64.const -1) (i32.const 256))))
        (if (i32.eq (local.get $byte) (i32.const 101)) (then
            (call $write (call $stderr) (i32.const 512) (i32.const 19) (i32.const 256))
            (if (i32.load8_u (i32.const 256)) (then unreachable))
            (call $exit (i32.const 1))))"#;
    bench.put("runtime", &component(imports, &lowered.concat(), imported, "", process));
    let chain = bench.chain(r#"[{"filter": "runtime"}]"#);
    assert_eq!(run(&chain, &plain(&[b"a"])), ["store message=\"a\""]);
    let fails = [
        (b"c", "called `sockets/tcp#connect` of WASI: filters have no network"),
        (b"r", "units of fuel"),
        (b"e", "ended itself (`exit`) after it said: no memory for that"),
    ];
    for (record, expected) in fails {
        let said = run(&chain, &plain(&[record]));
        assert!(said[0].starts_with("fail runtime: ") && said[0].contains(expected), "{}\nshould say: {expected}", said[0]);
    }
}
