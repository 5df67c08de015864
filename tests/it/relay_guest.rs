//! A filter for tests, in WebAssembly text: what it does with a record is said by the record's first byte.
//!
//! `d` drop, `f` fail, `t` trap, `l` loop for ever, `e` store and emit to `side`, `m` emit to `side` and drop, else store.
//! A row gets the field `mark` with the filter's mark, so that a test sees which filter made it.

/// The module with this mark (one letter).
pub fn wasm(mark: char) -> Vec<u8> {
    wat::parse_str(TEXT.replace("MARK", &mark.to_string())).expect("the text above")
}

/// As [`wasm`], but a `t` is stored like anything else.
pub fn mended(mark: char) -> Vec<u8> {
    let traps = "(if (i32.eq (local.get $byte) (i32.const 116)) (then (unreachable)))";
    assert!(TEXT.contains(traps));
    wat::parse_str(TEXT.replace(traps, "").replace("MARK", &mark.to_string())).expect("the text above")
}

// Addresses: 512 init's answer, 1024 the head of an answer, 2048 the arena (side, mark, reason), 3072 names,
// 64 KiB verdicts, 128 KiB values, 192 KiB emissions, 1 MiB the input frame.
const TEXT: &str = r#"
(module
  (memory (export "memory") 80)
  (data (i32.const 512) "\00\01\00\00")
  (data (i32.const 2048) "sideMARKasked to fail")
  (data (i32.const 3072) "\04\00mark")
  (func (export "sawbox_abi") (result i32) (i32.const 1))
  (func (export "alloc") (param i32) (result i32) (i32.const 1048576))
  (func (export "init") (param i32 i32) (result i64) (i64.const 0x400000200))
  (func (export "process") (param $at i32) (param $len i32) (result i64)
    (local $n i32) (local $i i32) (local $rec i32) (local $v i32) (local $values i32) (local $emissions i32)
    (local $byte i32) (local $e i32)
    (local.set $n (i32.load offset=4 (local.get $at)))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $i) (local.get $n)))
        (local.set $rec (i32.add (local.get $at) (i32.add (i32.const 24) (i32.mul (local.get $i) (i32.const 48)))))
        (local.set $v (i32.add (i32.const 65536) (i32.mul (local.get $i) (i32.const 24))))
        (memory.fill (local.get $v) (i32.const 0) (i32.const 24))
        (local.set $byte (i32.const 0))
        (if (i32.load offset=36 (local.get $rec))
          (then (local.set $byte (i32.load8_u (i32.add (local.get $at) (i32.load offset=32 (local.get $rec)))))))
        (if (i32.eq (local.get $byte) (i32.const 116)) (then (unreachable)))
        (if (i32.eq (local.get $byte) (i32.const 108)) (then (loop $ever (br $ever))))
        (if (i32.eq (local.get $byte) (i32.const 102))
          (then
            (i32.store8 (local.get $v) (i32.const 2))
            (i32.store offset=8 (local.get $v) (i32.const 5))
            (i32.store offset=12 (local.get $v) (i32.const 13)))
          (else
            (if (i32.or (i32.eq (local.get $byte) (i32.const 100)) (i32.eq (local.get $byte) (i32.const 109)))
              (then (i32.store8 (local.get $v) (i32.const 1)))
              (else
                (i32.store offset=4 (local.get $v) (i32.const 1))
                (local.set $e (i32.add (i32.const 131072) (i32.mul (local.get $values) (i32.const 16))))
                (i32.store (local.get $e) (i32.const 0x01000000))
                (i32.store offset=4 (local.get $e) (i32.const 1))
                (i64.store offset=8 (local.get $e) (i64.const 0x400000001))
                (local.set $values (i32.add (local.get $values) (i32.const 1)))))
            (if (i32.or (i32.eq (local.get $byte) (i32.const 101)) (i32.eq (local.get $byte) (i32.const 109)))
              (then
                (i32.store offset=16 (local.get $v) (i32.const 1))
                (local.set $e (i32.add (i32.const 196608) (i32.mul (local.get $emissions) (i32.const 32))))
                (memory.fill (local.get $e) (i32.const 0) (i32.const 32))
                (i32.store offset=4 (local.get $e) (i32.const 4))
                (i32.store offset=16 (local.get $e) (i32.load offset=36 (local.get $rec)))
                (i32.store offset=24 (local.get $e) (i32.const 1))
                (local.set $emissions (i32.add (local.get $emissions) (i32.const 1)))))))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $next)))
    (memory.fill (i32.const 1024) (i32.const 0) (i32.const 64))
    (i32.store (i32.const 1024) (i32.const 1))
    (i32.store (i32.const 1028) (local.get $n))
    (i32.store (i32.const 1032) (i32.const 65536))
    (i32.store (i32.const 1036) (i32.mul (local.get $n) (i32.const 24)))
    (i32.store (i32.const 1040) (i32.const 131072))
    (i32.store (i32.const 1044) (i32.mul (local.get $values) (i32.const 16)))
    (i32.store (i32.const 1048) (i32.const 3072))
    (i32.store (i32.const 1052) (i32.const 6))
    (i32.store (i32.const 1056) (i32.const 196608))
    (i32.store (i32.const 1060) (i32.mul (local.get $emissions) (i32.const 32)))
    (i32.store (i32.const 1072) (i32.const 2048))
    (i32.store (i32.const 1076) (i32.const 18))
    (i64.const 0x4000000400)))
"#;
