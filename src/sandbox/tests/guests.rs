//! Guests written by hand, most of them with bad intentions.

/// A guest around the body of `process`: `$at` is the input frame, `$n` its records. `$head` tells the host where the verdicts
/// are (at 4096, all zero: store). The memory has 64 pages, frames lie from 1 MiB on.
pub(super) fn guest(process: &str) -> String {
    module("", "\\00\\01\\00\\00", process)
}

/// The same with further definitions, and another answer to `init`.
pub(super) fn module(more: &str, init: &str, process: &str) -> String {
    format!(
        r#"(module
            (memory (export "memory") 64)
            (data (i32.const 16) "{init}")
            (func (export "sawbox_abi") (result i32) i32.const 1)
            (func (export "alloc") (param i32) (result i32) i32.const 0x100000)
            (func (export "init") (param i32 i32) (result i64)
                (i64.or (i64.const 16) (i64.shl (i64.const {len}) (i64.const 32))))
            (func $head (param $n i32)
                (i32.store (i32.const 64) (i32.const 1))
                (i32.store (i32.const 68) (local.get $n))
                (i32.store (i32.const 72) (i32.const 4096))
                (i32.store (i32.const 76) (i32.mul (local.get $n) (i32.const 24))))
            {more}
            (func (export "process") (param $at i32) (param $len i32) (result i64)
                (local $n i32) (local $i i32) (local $record i32) (local $byte i32)
                (local.set $n (i32.load offset=4 (local.get $at)))
                (call $head (local.get $n))
                {process}
                (i64.const 0x4000000040)))"#,
        len = init_len(init),
    )
}

fn init_len(init: &str) -> usize {
    init.len() - 2 * init.matches('\\').count()
}

/// Does to each record what its first byte says, and stores the others.
pub(in crate::sandbox) fn choosy() -> String {
    let more = r#"
        (func $deep (param i32) (result i32)
            (i32.add (call $deep (i32.add (local.get 0) (i32.const 1))) (local.get 0)))"#;
    let process = r#"
        (loop $records
            (if (i32.lt_u (local.get $i) (local.get $n)) (then
                (local.set $record (i32.add (local.get $at) (i32.add (i32.const 24) (i32.mul (local.get $i) (i32.const 48)))))
                (local.set $byte (i32.load8_u (i32.add (local.get $at) (i32.load offset=32 (local.get $record)))))
                (if (i32.eq (local.get $byte) (i32.const 76)) (then (loop $for_ever (br $for_ever))))
                (if (i32.eq (local.get $byte) (i32.const 85)) (then unreachable))
                (if (i32.eq (local.get $byte) (i32.const 82)) (then (drop (call $deep (i32.const 0)))))
                (if (i32.eq (local.get $byte) (i32.const 79)) (then (drop (i32.load (i32.const -4)))))
                (if (i32.eq (local.get $byte) (i32.const 90)) (then (drop (i32.div_u (i32.const 1) (i32.const 0)))))
                (if (i32.eq (local.get $byte) (i32.const 70)) (then
                    (loop $fill (memory.fill (i32.const 0x200000) (i32.const 0) (i32.const 0x100000)) (br $fill))))
                (if (i32.eq (local.get $byte) (i32.const 77)) (then
                    (loop $grow (br_if $grow (i32.ne (memory.grow (i32.const 100)) (i32.const -1))))
                    unreachable))
                (local.set $i (i32.add (local.get $i) (i32.const 1)))
                (br $records))))"#;
    module(more, "\\00\\01\\00\\00", process)
}

/// Takes the first record's payload for its answer: what the test writes is what the host reads.
pub(super) fn parrot() -> String {
    guest(
        r#"(return (i64.or
            (i64.extend_i32_u (i32.add (local.get $at) (i32.load offset=56 (local.get $at))))
            (i64.shl (i64.extend_i32_u (i32.load offset=60 (local.get $at))) (i64.const 32))))"#,
    )
}
