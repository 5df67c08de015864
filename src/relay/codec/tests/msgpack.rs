//! MessagePack: tables, trees that `rmpv` wrote, and any bytes, which `rmpv` judges too.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use rmpv::Value;

use super::{document, float, joined, text};
use crate::relay::codec::document::{DEPTH, DOCUMENT_BYTES};
use crate::relay::codec::msgpack::read;

fn decoded(payload: &[u8]) -> Result<String, String> {
    document(payload, read)
}

/// What a tree should become. Extensions of type -1 are not for this: the table has them.
fn expected(value: &Value) -> String {
    match value {
        Value::Nil => "null".to_owned(),
        Value::Boolean(value) => value.to_string(),
        Value::Integer(value) => value.to_string(),
        Value::F32(value) => float(f64::from(*value), text(value)),
        Value::F64(value) => float(*value, text(value)),
        Value::String(value) => text(String::from_utf8_lossy(value.as_bytes())),
        Value::Binary(value) => text(STANDARD.encode(value)),
        Value::Array(items) => joined('[', items.iter().map(expected), ']'),
        Value::Map(members) => joined('{', members.iter().map(|(k, v)| format!("{}:{}", key(k), expected(v))), '}'),
        Value::Ext(kind, data) => format!("{{\"type\":{kind},\"data\":{}}}", text(STANDARD.encode(data))),
    }
}

fn key(value: &Value) -> String {
    match value {
        Value::String(_) => expected(value),
        Value::Binary(bytes) => std::str::from_utf8(bytes).map_or_else(|_| expected(value), text),
        other => text(expected(other).trim_matches('"')),
    }
}

fn alone(value: &Value) -> Option<&[u8]> {
    match value {
        Value::String(value) => Some(value.as_bytes()),
        Value::Binary(value) => Some(value),
        _ => None,
    }
}

fn encode(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    rmpv::encode::write_value(&mut out, value).unwrap();
    out
}

fn tree() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Nil),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-200i64..200).prop_map(Value::from),
        any::<f32>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,40}".prop_map(Value::from),
        proptest::collection::vec(any::<u8>(), 0..300).prop_map(Value::from),
        (0i8..9, proptest::collection::vec(any::<u8>(), 0..20)).prop_map(|(kind, data)| Value::Ext(kind, data)),
    ];
    let keyed = prop_oneof![
        8 => "[a-z]{1,20}".prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        1 => proptest::collection::vec(any::<u8>(), 0..8).prop_map(Value::from),
        1 => Just(Value::Nil),
    ];
    scalar.prop_recursive(6, 64, 20, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..20).prop_map(Value::Array),
            proptest::collection::vec((keyed.clone(), inner), 0..20).prop_map(Value::Map),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn trees_become_their_json(value in tree()) {
        let made = decoded(&encode(&value)).map_err(TestCaseError::fail)?;
        match alone(&value) {
            Some(bytes) => prop_assert_eq!(made, String::from_utf8_lossy(bytes)),
            None => {
                prop_assert_eq!(&made, &expected(&value));
                prop_assert!(serde_json::from_str::<serde::de::IgnoredAny>(&made).is_ok(), "{}", made);
            }
        }
    }

    #[test]
    fn what_is_cut_off_is_wrong_and_what_is_too_much_too(value in tree(), cut in any::<prop::sample::Index>()) {
        let mut bytes = encode(&value);
        prop_assert!(decoded(&bytes[..cut.index(bytes.len())]).is_err());
        bytes.push(0xc0);
        prop_assert!(decoded(&bytes).unwrap_err().contains("behind"));
    }
}

#[test]
fn what_the_format_has_beside_trees() {
    let secs = 1_763_625_600u32.to_be_bytes();
    let at = |nanos: u64, seconds: u64| (nanos << 34 | seconds).to_be_bytes();
    let far = |nanos: u32, seconds: i64| [&nanos.to_be_bytes()[..], &seconds.to_be_bytes()].concat();
    for (payload, json) in [
        (b"\x82\xa1b\x01\xa1a\xa1x".to_vec(), r#"{"b":1,"a":"x"}"#.to_owned()),
        (b"\x82\xa1a\x01\xa1a\x02".to_vec(), r#"{"a":1,"a":2}"#.to_owned()),
        (b"\x83\x01\x02\xc3\x03\xc0\x04".to_vec(), r#"{"1":2,"true":3,"null":4}"#.to_owned()),
        (b"\x81\x91\xa1a\x01".to_vec(), r#"{"[\"a\"]":1}"#.to_owned()),
        (b"\x81\xc4\x02ab\xc4\x01\xff".to_vec(), r#"{"ab":"/w=="}"#.to_owned()),
        ([&b"\x91\xd6\xff"[..], &secs].concat(), r#"["2025-11-20T08:00:00Z"]"#.to_owned()),
        ([&b"\x91\xd7\xff"[..], &at(5, 1)].concat(), r#"["1970-01-01T00:00:01.000000005Z"]"#.to_owned()),
        ([&b"\x91\xc7\x0c\xff"[..], &far(999_999_999, -1)].concat(), r#"["1969-12-31T23:59:59.999999999Z"]"#.to_owned()),
        // No instants.
        (
            [&b"\x91\xd7\xff"[..], &at(1_000_000_000, 1)].concat(),
            format!(r#"[{{"type":-1,"data":"{}"}}]"#, STANDARD.encode(at(1_000_000_000, 1))),
        ),
        (
            [&b"\x91\xc7\x0c\xff"[..], &far(0, i64::MAX)].concat(),
            format!(r#"[{{"type":-1,"data":"{}"}}]"#, STANDARD.encode(far(0, i64::MAX))),
        ),
        (b"\x91\xd5\x05\x01\x02".to_vec(), r#"[{"type":5,"data":"AQI="}]"#.to_owned()),
        (b"\xa5hello".to_vec(), "hello".to_owned()),
        (b"\xc4\x02hi".to_vec(), "hi".to_owned()),
        (b"\x07".to_vec(), "7".to_owned()),
    ] {
        assert_eq!(decoded(&payload), Ok(json), "{payload:02x?}");
    }
    // Strings are bytes.
    let mut out = Vec::new();
    read(b"\x91\xa2\xff\xfe", &mut super::Writer::new(&mut out, 4)).unwrap();
    assert_eq!(out, b"[\"\xff\xfe\"]");
}

#[test]
fn hostile_lengths_cost_nothing() {
    for payload in [
        b"\xdd\xff\xff\xff\xff".to_vec(),
        b"\xdf\xff\xff\xff\xff\xc0".to_vec(),
        b"\xdb\xff\xff\xff\xffabc".to_vec(),
        b"\xc9\xff\xff\xff\xff\x05abc".to_vec(),
        vec![0x91; DEPTH + 2],
        vec![0x91; 1_000_000],
        vec![0x81; 1_000_000],
        vec![0xc1],
        vec![],
    ] {
        assert!(decoded(&payload).is_err(), "{:02x?}", payload.get(..8));
    }
    let deep = [vec![0x91; DEPTH], vec![0xc0]].concat();
    assert!(decoded(&deep).is_ok());
}

/// Keys within keys escape each other's quotes: what grows with every level stays within the document's bound.
#[test]
fn keys_of_keys_are_bounded() {
    let mut value = Value::from("\"\\");
    for _ in 0..60 {
        value = Value::Map(vec![(value, Value::Nil)]);
    }
    match decoded(&encode(&value)) {
        Ok(made) => assert!(made.len() <= DOCUMENT_BYTES),
        Err(why) => assert!(why.contains("larger"), "{why}"),
    }
}

/// Nothing panics, nothing grows past its bound, and what `rmpv` reads whole is read the same.
#[test]
fn any_bytes() {
    bolero::check!().with_iterations(30_000).for_each(|payload: &[u8]| {
        let made = decoded(payload);
        if let Ok(made) = &made {
            assert!(made.len() <= payload.len() * 64 + 64 * 1024);
        }
        let mut rest = payload;
        if let Ok(value) = rmpv::decode::read_value_with_max_depth(&mut rest, DEPTH)
            && rest.is_empty()
            && !has_instant(&value)
            // It reads the byte that the format leaves unused as nil.
            && !payload.contains(&0xc1)
        {
            let should = alone(&value).map_or_else(|| expected(&value), |bytes| String::from_utf8_lossy(bytes).into_owned());
            assert_eq!(made, Ok(should), "{payload:02x?}");
        }
    });
}

fn has_instant(value: &Value) -> bool {
    match value {
        Value::Ext(-1, _) => true,
        Value::Array(items) => items.iter().any(has_instant),
        Value::Map(members) => members.iter().any(|(key, value)| {
            // Keys that are no scalars are shown by the table.
            has_instant(value) || matches!(key, Value::Array(_) | Value::Map(_) | Value::Ext(..))
        }),
        _ => false,
    }
}
