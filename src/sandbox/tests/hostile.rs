//! Modules that are no filters, filters that trap, loop, grow and lie.

use super::guests::{choosy, guest, module};
use super::{Bench, bench, bench_with, plain, run};
use crate::sandbox::{Arena, Config, FilterError, State};

fn refusal(bench: &Bench, wat: &str) -> String {
    match bench.sandbox.put("bad", &wat::parse_str(wat).unwrap()) {
        Err(FilterError::Refused(why)) => why,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn what_is_no_filter_is_refused_with_a_sentence() {
    let bench = bench();
    let good = guest("");
    let import = |import: &str| good.replacen("(module", &format!("(module (import {import})"), 1);
    let cases = [
        (
            import(r#""wasi_snapshot_preview1" "path_unlink_file" (func)"#),
            "imports `path_unlink_file` from `wasi_snapshot_preview1`: filters have no files; log with sawbox.log",
        ),
        (import(r#""wasi_snapshot_preview1" "sock_send" (func)"#), "filters have no network; emit the record to a topic"),
        (import(r#""wasi_snapshot_preview1" "fd_write" (func)"#), "as () -> nothing, but it is (i32 i32 i32 i32) -> i32"),
        (import(r#""wasi_unstable" "fd_write" (func)"#), "filters have no files"),
        (import(r#""env" "abort" (func)"#), "imports `abort` from `env`: that is AssemblyScript's; build with `--use abort=`"),
        (import(r#""env" "malloc" (func)"#), "imports `malloc` from `env`: there is no such thing"),
        (import(r#""sawbox" "shell" (func)"#), "may import only these from `sawbox`: log, last_error"),
        (import(r#""sawbox" "log" (func (param i64))"#), "as (i64) -> nothing, but it is (i32 i32 i32) -> nothing"),
        (import(r#""sawbox" "log" (global i32)"#), "it is a function"),
        (good.replace("\"process\"", "\"proces\""), "exports no function `process` (i32 i32) -> i64"),
        (good.replace("\"alloc\") (param i32)", "\"alloc\") (param i64)"), "`alloc` is (i64) -> i32, but must be (i32) -> i32"),
        (good.replace("(export \"memory\")", ""), "exports no memory"),
        ("(module (memory (export \"memory\") i64 1))".to_owned(), "memory64"),
        ("(module (memory (export \"memory\") 1 2 shared))".to_owned(), "threads"),
        ("(module (memory 1) (memory (export \"memory\") 1))".to_owned(), "more than one memory"),
        (
            "(module (func (result v128) (i8x16.relaxed_swizzle (v128.const i64x2 0 0) (v128.const i64x2 0 0))))".to_owned(),
            "relaxed SIMD",
        ),
        ("(component)".to_owned(), "the component exports no function `init: func(list<u8>) -> list<u8>`"),
    ];
    for (wat, expected) in cases {
        let why = refusal(&bench, &wat);
        assert!(why.contains(expected), "{why}\nshould say: {expected}");
    }
    for (bytes, expected) in [
        (&b"hello"[..], "no WebAssembly module"),
        (b"\0asm\x01\0\0\0\xff", "failed to parse"),
        (b"\0asm\x02\0\0\0", "version is not known"),
    ] {
        let why = bench.sandbox.put("bad", bytes).unwrap_err().to_string();
        assert!(why.contains(expected), "{why}");
    }
    assert!(bench.sandbox.put("Bad Name", b"").is_err());
    assert!(bench.sandbox.filters().iter().all(|filter| filter.stock), "nothing of it was kept");
}

#[test]
fn filters_that_do_not_start_are_refused() {
    let bench = bench();
    let start = |body: &str| module(&format!("(func $start {body}) (start $start)"), "\\00\\01\\00\\00", "");
    let cases = [
        (start("(loop $l (br $l))"), "used more than 500000000 units of fuel"),
        (start("unreachable"), "unreachable"),
        (
            start("(drop (memory.grow (i32.const 60000))) (drop (i32.load (i32.const -1)))"),
            "it asked for more than 64MiB of memory",
        ),
        (module("", "\\01\\00\\00\\00no such thing", ""), "`bad`: no such thing"),
        (module("", "\\07\\00\\00\\00", ""), "unknown status"),
        (module("", "\\00\\01\\05\\00", ""), "names more or fewer fields"),
        (
            guest("")
                .replace("(i32.const 16) \"", "(i32.const 16) \"\\00\\01\\00\\00\") (data (i32.const 0) \"")
                .replace("(i64.const 16) (i64.shl", "(i64.const -1) (i64.shl"),
            "pointer outside",
        ),
        (guest("").replace("(result i32) i32.const 1)", "(result i32) i32.const 9)"), "speaks version 9"),
        (guest("").replace("i32.const 0x100000", "i32.const -1"), "`alloc` gave back a pointer outside"),
    ];
    for (wat, expected) in cases {
        bench.put("bad", &wat);
        let why = bench.refused(r#"[{"filter": "bad"}]"#);
        assert!(why.contains(expected), "{why}\nshould say: {expected}");
    }
}

#[test]
fn bad_records_harm_only_themselves_and_always_the_same_way() {
    let bench = bench();
    bench.put("choosy", &choosy());
    let chain = bench.chain(r#"[{"filter": "choosy"}, {"filter": "tag", "config": {"add": ["seen"]}}]"#);
    let bad = [(3, b'L'), (4, b'U'), (50, b'R'), (51, b'O'), (99, b'Z'), (150, b'F'), (199, b'M')];
    let mut payloads = vec![b"fine".to_vec(); 200];
    for (index, byte) in bad {
        payloads[index] = vec![byte; 10];
    }
    let payloads: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
    let records = plain(&payloads);
    let first = run(&chain, &records);
    for (index, line) in first.iter().enumerate() {
        let expected = match bad.iter().find(|(bad, _)| *bad == index).map_or(0, |(_, byte)| *byte) {
            b'L' | b'F' => "fail choosy: used more than 302000 units of fuel: an endless loop, or far too much work",
            b'U' => "fail choosy: trapped: it reached what its compiler took for unreachable (a panic, in most languages)",
            b'R' => "fail choosy: trapped: its calls are nested too deeply",
            b'O' => "fail choosy: trapped: wasm trap: out of bounds memory access",
            b'Z' => "fail choosy: trapped: wasm trap: integer divide by zero",
            b'M' => {
                "fail choosy: trapped: it reached what its compiler took for unreachable (a panic, in most languages) (it asked \
                 for more than 64MiB of memory)"
            }
            _ => "store message=\"fine\" tags=\"seen\"",
        };
        assert_eq!(line, expected, "record {index}");
    }
    for call_records in [1, 7, 1024] {
        let arena = super::Arena::new();
        let output = chain.run_cut(&records, &arena, &mut crate::sandbox::State::default(), call_records);
        let again: Vec<String> = (0..200).map(|index| super::line(&output, index)).collect();
        assert_eq!(again, first, "calls of {call_records}");
    }
    // The pool holds no instance that trapped: the next batch is as good as the first.
    assert_eq!(run(&chain, &plain(&[b"x"])), ["store message=\"x\" tags=\"seen\""]);
    let counters = bench.sandbox.counters();
    let choosy = counters.iter().find(|counters| counters.filter == "choosy").unwrap();
    assert_eq!((choosy.records, choosy.failed), (801, 28));
    assert!(choosy.traps >= 28 && choosy.fuel > 0 && choosy.memory_bytes > 0, "{choosy:?}");
}

#[test]
fn a_filter_that_grows_is_started_afresh_and_loses_nothing() {
    let bench = bench();
    // Each call takes 2 MiB more and gives nothing back; at its limit it traps.
    let grow = guest("(if (i32.eq (memory.grow (i32.const 32)) (i32.const -1)) (then unreachable))");
    bench.put("grows", &grow);
    let chain = bench.chain(r#"[{"filter": "grows"}]"#);
    for round in 0..100 {
        assert_eq!(run(&chain, &plain(&[b"a", b"b"])), ["store message=\"a\"", "store message=\"b\""], "round {round}");
    }
    let counters = bench.sandbox.counters();
    assert!(counters[0].starts > 5 && counters[0].memory_bytes <= 22 << 20, "{counters:?}");
}

#[test]
fn lies_about_the_answer_are_seen() {
    let bench = bench();
    // Each runs after `$head`; verdict 0 is at 4096, the head at 64.
    let cases = [
        ("(return (i64.const -1))", "points outside of the filter's memory"),
        ("(return (i64.const 0x1000000040))", "ends early"),
        ("(i32.store (i32.const 64) (i32.const 2))", "is of another version"),
        ("(i32.store (i32.const 68) (i32.const 2))", "answers for another number of records"),
        ("(i32.store (i32.const 76) (i32.const 23))", "half an entry"),
        ("(i32.store (i32.const 76) (i32.const 48))", "more or fewer verdicts"),
        ("(i32.store (i32.const 72) (i32.const -8))", "points outside of the filter's memory"),
        ("(i32.store8 (i32.const 4096) (i32.const 4))", "unknown verdict"),
        ("(i32.store (i32.const 4100) (i32.const 1))", "fewer values than its verdicts say"),
        (
            "(i32.store (i32.const 80) (i32.const 8192)) (i32.store (i32.const 84) (i32.const 16))",
            "more values than its verdicts say",
        ),
        // One value, of name 0, that is not told.
        (
            "(i32.store (i32.const 4100) (i32.const 1)) (i32.store (i32.const 80) (i32.const 8192)) (i32.store (i32.const 84) (i32.const 16))",
            "a name it does not tell",
        ),
        // One name of 100 bytes in a section of 2.
        (
            "(i32.store (i32.const 88) (i32.const 8192)) (i32.store (i32.const 92) (i32.const 2)) (i32.store8 (i32.const 8192) (i32.const 100))",
            "names that end early",
        ),
        // Drop, with a reason of 5 bytes in an arena of none.
        (
            "(i32.store8 (i32.const 4096) (i32.const 1)) (i32.store (i32.const 4108) (i32.const 5))",
            "points outside of its record",
        ),
        ("(i32.store (i32.const 4112) (i32.const 1))", "fewer emissions than its verdicts say"),
        // An emission to the topic without a name.
        (
            "(i32.store (i32.const 4112) (i32.const 1)) (i32.store (i32.const 96) (i32.const 8192)) (i32.store (i32.const 100) (i32.const 32))",
            "emitted to what is no topic's name",
        ),
        // 70,000 bytes of arena for a record of one.
        (
            "(i32.store (i32.const 112) (i32.const 0)) (i32.store (i32.const 116) (i32.const 70000))",
            "larger than an answer may be",
        ),
    ];
    for (index, (lie, expected)) in cases.iter().enumerate() {
        let name = format!("liar-{index}");
        bench.put(&name, &guest(lie));
        let chain = bench.chain(&format!(r#"[{{"filter": "{name}"}}]"#));
        let said = run(&chain, &plain(&[b"x"]));
        assert!(said[0].starts_with("fail ") && said[0].contains(expected), "{lie}\n{}\nshould say: {expected}", said[0]);
    }
}

#[test]
fn modules_that_claim_too_much_do_not_start() {
    let bench = bench();
    let good = guest("");
    // 4 GiB from the start; a table of ten million; what its tables hold may be filled only within them.
    for (wat, expected) in [
        (good.replace("(export \"memory\") 64)", "(export \"memory\") 65536)"), "64MiB of memory"),
        (good.replace("(data (i32.const 16)", "(table 10000000 funcref) (data (i32.const 16)"), "table"),
        (
            good.replace("(data (i32.const 16)", "(table 1 funcref) (elem (i32.const 7) func $head) (data (i32.const 16)"),
            "trapped",
        ),
        (good.replace("(data (i32.const 16)", "(data (i32.const 0x400000) \"x\") (data (i32.const 16)"), "trapped"),
    ] {
        bench.put("greedy", &wat);
        let why = bench.refused(r#"[{"filter": "greedy"}]"#);
        assert!(why.contains("does not start") && why.contains(expected), "{why}\nshould say: {expected}");
    }
    // Shapes that are large but harmless work, or are refused; nothing else.
    let exports: String = (0..20_000).map(|n| format!("(export \"e{n}\" (func $head))")).collect();
    let data: String = (0..20_000).map(|n| format!("(data (i32.const {}) \"x\")", 0x20_0000 + n)).collect();
    for more in [exports, data] {
        bench.put("large", &module(&more, "\\00\\01\\00\\00", ""));
        let chain = bench.chain(r#"[{"filter": "large"}]"#);
        assert_eq!(run(&chain, &plain(&[b"x"])), ["store message=\"x\""]);
    }
    let why = bench.sandbox.put("huge", &vec![0; (32 << 20) + 1]).unwrap_err().to_string();
    assert!(why.contains("the module has 33554433 bytes; at most 33554432 are allowed"), "{why}");
}

#[test]
fn bulk_work_costs_fuel_by_the_byte() {
    let bench = bench();
    let table = "(table $t 60000 funcref) (elem declare func $head)";
    for (more, work) in [
        ("", "(memory.fill (i32.const 0) (i32.const 0) (i32.const 0x400000))"),
        ("", "(memory.copy (i32.const 0) (i32.const 1) (i32.const 0x3fffff))"),
        ("", "(loop $l (memory.copy (i32.const 0) (i32.const 0x100000) (i32.const 0x1000)) (br $l))"),
        (table, "(loop $l (table.fill $t (i32.const 0) (ref.func $head) (i32.const 60000)) (br $l))"),
        (table, "(loop $l (table.copy (i32.const 0) (i32.const 1) (i32.const 50000)) (br $l))"),
        (table, "(loop $l (drop (table.grow $t (ref.null func) (i32.const 1))) (br $l))"),
        ("", "(loop $l (drop (memory.grow (i32.const 0))) (br $l))"),
    ] {
        bench.put("bulk", &module(more, "\\00\\01\\00\\00", work));
        let chain = bench.chain(r#"[{"filter": "bulk"}]"#);
        let said = run(&chain, &plain(&[b"x"]));
        assert!(said[0].contains("units of fuel"), "{work}: {}", said[0]);
    }
    // A table grows to its limit and no further; a guest that lives with that is none the worse.
    let grow = "(if (i32.ne (table.grow $t (ref.null func) (i32.const 100000)) (i32.const -1)) (then unreachable))";
    bench.put("table", &module(table, "\\00\\01\\00\\00", grow));
    let chain = bench.chain(r#"[{"filter": "table"}]"#);
    assert_eq!(run(&chain, &plain(&[b"x"])), ["store message=\"x\""]);
}

#[test]
fn searches_that_are_dear_cost_fuel() {
    let bench = bench_with(Config { fuel_per_record: 2_000_000, ..Config::default() });
    // Compiles the pattern and searches the text with it: once, or until the fuel is used up.
    let searcher = |text: &str, pattern: &str, again: &str| {
        let more = format!("(data (i32.const 0x2000) \"{pattern}\") (data (i32.const 0x3000) \"{text}\")");
        let body = format!(
            "(local.set $i (call $compile (i32.const 0x2000) (i32.const {}) (i32.const 0)))
             (loop $l (drop (call $match (local.get $i) (i32.const 0x3000) (i32.const {}) (i32.const 0) (i32.const 0))) {again})",
            pattern.len(),
            text.len(),
        );
        let imports = r#"(module
            (import "sawbox" "pattern_compile" (func $compile (param i32 i32 i32) (result i32)))
            (import "sawbox" "pattern_match" (func $match (param i32 i32 i32 i32 i32) (result i32)))"#;
        module(&more, "\\00\\01\\00\\00", &body).replacen("(module", imports, 1)
    };
    let pattern = "(?:(?<x>a|aa)+)+(?=y)(?!y)";
    let hard = format!("{}yzb", "a".repeat(30));
    let fuel = |text: &str| {
        bench.put("once", &searcher(text, pattern, ""));
        let chain = bench.chain(r#"[{"filter": "once"}]"#);
        let (records, arena) = (plain(&[b"x"]), Arena::new());
        chain.run(&records, &arena, &mut State::default()).stats.fuel
    };
    let (easy, hard_one) = (fuel("zzz"), fuel(&hard));
    assert!(hard_one > easy + 600_000, "{easy} and {hard_one}");
    bench.put("often", &searcher(&hard, pattern, "(br $l)"));
    let said = run(&bench.chain(r#"[{"filter": "often"}]"#), &plain(&[b"x"]));
    assert!(said[0].contains("units of fuel"), "{}", said[0]);
}

#[test]
fn an_allocator_may_lie_and_a_guest_may_call_itself() {
    let bench = bench();
    // Frames over the head and the verdicts, at odd places, at the memory's very end: the guest's own loss, if any.
    for (at, fails) in [("0", true), ("64", true), ("4095", true), ("0x1000001", true), ("0x100001", false)] {
        bench.put("lies", &guest("").replace("i32.const 0x100000)", &format!("i32.const {at})")));
        let spec: crate::sandbox::ChainSpec = serde_json::from_str(r#"[{"filter": "lies"}]"#).unwrap();
        let Ok(record) = bench.sandbox.resolve(&spec) else {
            assert!(fails, "{at}");
            continue;
        };
        let chain = bench.sandbox.chain(&record).unwrap();
        let said = run(&chain, &plain(&[b"x"]));
        assert!(said[0].starts_with("fail lies: ") || said[0].starts_with("store "), "{at}: {}", said[0]);
        assert!(fails || said[0] == "store message=\"x\"", "{at}: {}", said[0]);
    }
    let endless = guest("").replace("(result i32) i32.const 0x100000)", "(result i32) (loop $l (br $l)) i32.const 0)");
    bench.put("endless", &endless);
    assert!(bench.refused(r#"[{"filter": "endless"}]"#).contains("units of fuel"));
    // `process` calls `process` until the stack ends.
    let again = guest("(drop (call $again (local.get $at) (local.get $len)))")
        .replace("(func (export \"process\")", "(func $again (export \"process\")");
    bench.put("again", &again);
    let chain = bench.chain(r#"[{"filter": "again"}]"#);
    assert_eq!(run(&chain, &plain(&[b"x"])), ["fail again: trapped: its calls are nested too deeply"]);
    // A start function that calls the host, with a pointer that is none.
    let start =
        module("(func $start (call $log (i32.const 1) (i32.const -1) (i32.const 5))) (start $start)", "\\00\\01\\00\\00", "");
    let start = start.replacen("(module", "(module (import \"sawbox\" \"log\" (func $log (param i32 i32 i32)))", 1);
    bench.put("start", &start);
    assert!(bench.refused(r#"[{"filter": "start"}]"#).contains("pointer outside of its memory"));
}

#[test]
fn memories_tables_and_globals_are_not_imported() {
    let bench = bench();
    let good = guest("");
    for (import, expected) in [
        (r#"(import "sawbox" "memory" (memory 1))"#, "may import only these from `sawbox`"),
        (r#"(import "sawbox" "log" (memory 1))"#, "it is a function"),
        (r#"(import "sawbox" "log" (table 1 funcref))"#, "it is a function"),
        (r#"(import "wasi_snapshot_preview1" "fd_write" (global i32))"#, "it is a function"),
        (r#"(import "js" "mem" (memory 1))"#, "may import only these from `sawbox`"),
        (r#"(import "" "" (global (mut i64)))"#, "may import only these from `sawbox`"),
    ] {
        let wat = good.replacen("(module", &format!("(module {import}"), 1);
        let why = match bench.sandbox.put("bad", &wat::parse_str(&wat).unwrap()) {
            Err(FilterError::Refused(why)) => why,
            other => panic!("not refused: {other:?}"),
        };
        assert!(why.contains(expected), "{import}: {why}");
    }
}

#[test]
fn not_a_number_is_one_thing() {
    let bench = bench();
    // A Float whose bits are a NaN with a payload, made without arithmetic.
    let nan = guest(
        "(i32.store (i32.const 4100) (i32.const 1))
         (i32.store (i32.const 80) (i32.const 8192)) (i32.store (i32.const 84) (i32.const 16))
         (i32.store (i32.const 8192) (i32.const 0x03000000)) (i64.store (i32.const 8200) (i64.const 0xfff4dead0000beef))
         (i32.store (i32.const 88) (i32.const 8300)) (i32.store (i32.const 92) (i32.const 3))
         (i32.store8 (i32.const 8300) (i32.const 1)) (i32.store8 (i32.const 8302) (i32.const 97))",
    );
    bench.put("nan", &nan);
    let chain = bench.chain(r#"[{"filter": "nan"}]"#);
    let arena = super::Arena::new();
    let records = plain(&[b"x"]);
    let output = chain.run(&records, &arena, &mut crate::sandbox::State::default());
    assert_eq!(super::line(&output, 0), "store message=\"x\" a=NaN");
    let crate::base::row::Value::Float(value) = output.cells_of(&output.verdicts[0])[1].value else { panic!() };
    assert_eq!(value.to_bits(), f64::NAN.to_bits());
}

#[test]
fn an_answer_cannot_say_a_payload_without_end() {
    let bench = bench();
    // So many emissions of the whole payload, of 32 bytes each, to the topic `a`.
    let echo = |name: &str, times: u32| {
        let process = format!(
            r#"(i32.store8 (i32.const 8192) (i32.const 97))
            (i32.store (i32.const 112) (i32.const 8192)) (i32.store (i32.const 116) (i32.const 1))
            (i32.store (i32.const 4112) (i32.const {times}))
            (i32.store (i32.const 96) (i32.const 0x10000)) (i32.store (i32.const 100) (i32.const {bytes}))
            (loop $each (if (i32.lt_u (local.get $i) (i32.const {bytes})) (then
                (i32.store (i32.add (i32.const 0x10004) (local.get $i)) (i32.const 1))
                (i32.store (i32.add (i32.const 0x10010) (local.get $i)) (i32.const -1))
                (local.set $i (i32.add (local.get $i) (i32.const 32)))
                (br $each))))"#,
            bytes = times * 32
        );
        bench.put(name, &guest(&process));
        run(&bench.chain(&format!(r#"[{{"filter": "{name}"}}]"#)), &plain(&[&[b'x'; 1000]])).remove(0)
    };
    let few = echo("few", 50);
    assert_eq!(few.matches(" -> a ").count(), 50, "{few}");
    let many = echo("many", 2000);
    assert_eq!(many, "fail many: gave an answer that says far more than it was told, over and over");
}
