//! Avro: tables, data that `apache-avro` wrote by schemas that were made up, and any bytes.

use apache_avro::Schema;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::json;

use super::{document, float, joined, text};
use crate::relay::codec::avro::Plan;
use crate::relay::codec::datum::read;

fn decoded(plan: &Plan, data: &[u8]) -> Result<String, String> {
    document(data, |data, out| read(plan, data, out))
}

fn plan(schema: &serde_json::Value) -> Plan {
    Plan::new(&schema.to_string(), &[]).unwrap()
}

/// A schema, a value of it, and what that should become.
type Case = (serde_json::Value, Value, String);

fn scalar() -> impl Strategy<Value = Case> {
    let of = |name: &str| json!(name);
    let logical = |of: &str, name: &str| json!({ "type": of, "logicalType": name });
    prop_oneof![
        Just((of("null"), Value::Null, "null".to_owned())),
        any::<bool>().prop_map(move |v| (of("boolean"), Value::Boolean(v), v.to_string())),
        any::<i32>().prop_map(move |v| (of("int"), Value::Int(v), v.to_string())),
        any::<i64>().prop_map(move |v| (of("long"), Value::Long(v), v.to_string())),
        any::<f32>().prop_map(move |v| (of("float"), Value::Float(v), float(v.into(), text(v)))),
        any::<f64>().prop_map(move |v| (of("double"), Value::Double(v), float(v, text(v)))),
        ".{0,30}".prop_map(move |v| (of("string"), Value::String(v.clone()), text(v))),
        proptest::collection::vec(any::<u8>(), 0..30).prop_map(move |v| (
            of("bytes"),
            Value::Bytes(v.clone()),
            text(STANDARD.encode(v))
        )),
        proptest::collection::vec(any::<u8>(), 0..20).prop_map(|v| {
            let schema = json!({ "type": "fixed", "name": "N", "size": v.len() });
            (schema, Value::Fixed(v.len(), v.clone()), text(STANDARD.encode(v)))
        }),
        (0u32..3).prop_map(|at| {
            let symbols = ["RED", "GREEN", "BLUE"];
            let symbol = symbols[at as usize];
            let schema = json!({ "type": "enum", "name": "N", "symbols": symbols });
            (schema, Value::Enum(at, symbol.to_owned()), text(symbol))
        }),
        (0i32..20_000).prop_map(move |day| {
            let date = chrono::NaiveDate::from_ymd_opt(1970, 1, 1).unwrap() + chrono::Days::new(day.unsigned_abs().into());
            (logical("int", "date"), Value::Date(day), text(date.to_string()))
        }),
        (0i64..4_000_000_000_000).prop_map(move |ms| {
            let time = chrono::DateTime::from_timestamp_millis(ms).unwrap();
            let shown = time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
            (logical("long", "timestamp-millis"), Value::TimestampMillis(ms), text(shown))
        }),
        (-4_000_000_000_000_000i64..4_000_000_000_000_000).prop_map(move |us| {
            let time = chrono::DateTime::from_timestamp_micros(us).unwrap();
            let shown = time.to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
            (logical("long", "timestamp-micros"), Value::TimestampMicros(us), text(shown))
        }),
        any::<u128>().prop_map(move |number| {
            let uuid = uuid::Uuid::from_u128(number);
            (logical("string", "uuid"), Value::Uuid(uuid), text(uuid.to_string()))
        }),
        any::<i64>().prop_map(|unscaled| {
            let schema = json!({ "type": "bytes", "logicalType": "decimal", "precision": 20, "scale": 3 });
            let digits = format!("{:04}", unscaled.unsigned_abs());
            let (whole, rest) = digits.split_at(digits.len() - 3);
            let sign = if unscaled < 0 { "-" } else { "" };
            let value = Value::Decimal(apache_avro::Decimal::from(unscaled.to_be_bytes()));
            (schema, value, text(format!("{sign}{whole}.{rest}")))
        }),
    ]
}

fn case() -> impl Strategy<Value = Case> {
    scalar().prop_recursive(5, 40, 8, |inner| {
        prop_oneof![
            (inner.clone(), 0usize..5).prop_map(|((schema, value, shown), count)| {
                let value = Value::Array(vec![value; count]);
                (json!({ "type": "array", "items": schema }), value, joined('[', vec![shown; count], ']'))
            }),
            (inner.clone(), "[a-z]{1,9}").prop_map(|((schema, value, shown), key)| {
                let map = Value::Map([(key.clone(), value)].into());
                (json!({ "type": "map", "values": schema }), map, format!("{{{}:{shown}}}", text(key)))
            }),
            proptest::collection::vec(inner.clone(), 0..8).prop_map(|fields| {
                let name = |at: usize| format!("f{at}");
                let schema: Vec<_> =
                    fields.iter().enumerate().map(|(at, field)| json!({ "name": name(at), "type": field.0 })).collect();
                let value = fields.iter().enumerate().map(|(at, field)| (name(at), field.1.clone())).collect();
                let shown = fields.iter().enumerate().map(|(at, field)| format!("{}:{}", text(name(at)), field.2));
                let shown = joined('{', shown, '}');
                (json!({ "type": "record", "name": "N", "fields": schema }), Value::Record(value), shown)
            }),
            (inner, any::<bool>()).prop_filter_map("a union of unions, or of null twice", |((schema, value, shown), some)| {
                if schema.is_array() || schema == "null" {
                    return None;
                }
                let union = json!(["null", schema]);
                Some(if some {
                    (union, Value::Union(1, Box::new(value)), shown)
                } else {
                    (union, Value::Union(0, Box::new(Value::Null)), "null".to_owned())
                })
            }),
        ]
    })
}

/// Gives every named type a name of its own.
fn named(schema: &mut serde_json::Value, count: &mut usize) {
    match schema {
        serde_json::Value::Array(all) => all.iter_mut().for_each(|one| named(one, count)),
        serde_json::Value::Object(object) => {
            if object.get("name").is_some_and(|name| name == "N") {
                *count += 1;
                object.insert("name".to_owned(), json!(format!("N{count}")));
            }
            object.iter_mut().filter(|(key, _)| *key != "name").for_each(|(_, one)| named(one, count));
        }
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn data_become_their_json((mut schema, value, shown) in case(), cut in any::<prop::sample::Index>()) {
        named(&mut schema, &mut 0);
        let parsed = Schema::parse(&schema).map_err(|error| TestCaseError::fail(format!("{schema}: {error}")))?;
        let writer = GenericDatumWriter::builder(&parsed).build();
        let data = writer.and_then(|writer| writer.write_value_to_vec(value.clone()));
        let data = data.map_err(|error| TestCaseError::fail(format!("{schema}: {error}")))?;
        let plan = plan(&schema);
        let made = decoded(&plan, &data).map_err(TestCaseError::fail)?;
        match &value {
            Value::String(text) => prop_assert_eq!(made, text.as_str()),
            Value::Uuid(uuid) => prop_assert_eq!(made, uuid.to_string()),
            Value::Bytes(bytes) => prop_assert_eq!(made, String::from_utf8_lossy(bytes)),
            _ => prop_assert_eq!(&made, &shown),
        }
        if !data.is_empty() {
            prop_assert!(decoded(&plan, &data[..cut.index(data.len())]).is_err(), "{}", schema);
        }
        prop_assert!(decoded(&plan, &[data, vec![0]].concat()).unwrap_err().contains("behind"));
    }
}

#[test]
fn what_made_up_schemas_do_not_have() {
    let fixed =
        |name: &str, size: usize, logical: &str| json!({ "type": "fixed", "name": name, "size": size, "logicalType": logical });
    for (schema, data, shown) in [
        (json!({ "type": "int", "logicalType": "time-millis" }), vec![2], "\"00:00:00.001\""),
        (json!({ "type": "long", "logicalType": "time-micros" }), vec![2], "\"00:00:00.000001\""),
        (json!({ "type": "long", "logicalType": "timestamp-nanos" }), vec![2], "\"1970-01-01T00:00:00.000000001Z\""),
        (json!({ "type": "long", "logicalType": "local-timestamp-millis" }), vec![1], "\"1969-12-31T23:59:59.999\""),
        (json!({ "type": "bytes", "logicalType": "decimal", "precision": 15, "scale": 2 }), vec![4, 0x04, 0xd2], "12.34"),
        (json!({ "type": "bytes", "logicalType": "decimal", "precision": 16, "scale": 2 }), vec![4, 0x04, 0xd2], "\"12.34\""),
        (
            json!({ "type": "fixed", "name": "d", "size": 2, "logicalType": "decimal", "precision": 4, "scale": 0 }),
            vec![0xff, 0xff],
            "-1",
        ),
        (fixed("u", 16, "uuid"), vec![0; 16], "\"00000000-0000-0000-0000-000000000000\""),
        (fixed("t", 12, "duration"), vec![1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0], r#"{"months":1,"days":2,"millis":3}"#),
        // Blocks, one of them with its size before it.
        (json!({ "type": "array", "items": "int" }), vec![2, 2, 3, 4, 4, 6, 0], "[1,2,3]"),
        // A logical type that does not fit is none.
        (json!({ "type": "string", "logicalType": "date" }), vec![2, b'a'], "a"),
        // A type that holds itself, and a name in its own namespace.
        (
            json!({ "type": "record", "name": "a.b.List", "fields": [
                { "name": "value", "type": "long" }, { "name": "next", "type": ["null", "List"] } ] }),
            vec![2, 2, 4, 0],
            r#"{"value":1,"next":{"value":2,"next":null}}"#,
        ),
        (
            json!({ "type": "record", "name": "Twice", "fields": [
                { "name": "a", "type": { "type": "enum", "name": "x.E", "symbols": ["P", "Q"] } },
                { "name": "b", "type": "x.E" } ] }),
            vec![0, 2],
            r#"{"a":"P","b":"Q"}"#,
        ),
    ] {
        assert_eq!(decoded(&plan(&schema), &data), Ok(shown.to_owned()), "{schema}");
    }
}

#[test]
fn schemas_that_refer_to_others() {
    let main = r#"{"type":"record","name":"m.Order","fields":[{"name":"who","type":"c.Customer"},{"name":"n","type":"int"}]}"#;
    let customer = r#"{"type":"record","name":"c.Customer","fields":[{"name":"at","type":"c.Address"}]}"#;
    let address = r#"{"type":"record","name":"Address","namespace":"c","fields":[{"name":"city","type":"string"}]}"#;
    for order in [[customer, address], [address, customer]] {
        let plan = Plan::new(main, &order.map(str::to_owned)).unwrap();
        assert_eq!(decoded(&plan, b"\x06Ulm\x02"), Ok(r#"{"who":{"at":{"city":"Ulm"}},"n":1}"#.to_owned()));
    }
    let error = Plan::new(main, &[customer.to_owned()]).unwrap_err();
    assert!(error.contains("Address"), "{error}");
    assert!(Plan::new(main, &["\"int\"".to_owned()]).is_err());
    assert!(Plan::new(&" ".repeat(2 << 20), &[]).unwrap_err().contains("bytes"));
}

#[test]
fn hostile_data_cost_nothing() {
    let long = |value: u64| {
        let (mut bytes, mut rest) = (Vec::new(), value);
        while rest > 0x7f {
            bytes.push(rest.to_le_bytes()[0] | 0x80);
            rest >>= 7;
        }
        bytes.push(rest.to_le_bytes()[0]);
        bytes
    };
    let list = json!({ "type": "record", "name": "L", "fields": [{ "name": "n", "type": ["null", "L"] }] });
    let nulls = json!({ "type": "array", "items": "null" });
    let empty = json!({ "type": "array", "items": { "type": "record", "name": "E", "fields": [] } });
    let endless = json!({ "type": "record", "name": "R", "fields": [{ "name": "r", "type": "R" }] });
    for (schema, data, why) in [
        (&nulls, long(u64::MAX - 1), "larger"),
        (&nulls, [long(u64::MAX), long(0)].concat(), "larger"),
        (&empty, long(1 << 50), "larger"),
        (&list, vec![2; 1_000_000], "deeper"),
        (&endless, vec![], "deeper"),
        (&json!("string"), long(u64::MAX - 1), "cut off"),
        (&json!("string"), long(1), "length"),
        (&json!("long"), vec![0xff; 11], "64 bits"),
        (&json!("int"), long(u64::MAX - 1), "32 bits"),
        (&json!("boolean"), vec![2], "boolean"),
        (&json!({ "type": "enum", "name": "e", "symbols": ["A"] }), vec![2], "symbol 1"),
        (&json!(["null", "int"]), vec![4], "type 2"),
        (&json!(["null", "int"]), vec![1], "type -1"),
        (&json!({ "type": "fixed", "name": "f", "size": 1_000_000_000 }), vec![0; 10], "cut off"),
    ] {
        let error = decoded(&plan(schema), &data).unwrap_err();
        assert!(error.contains(why), "{schema}: {error}");
    }
}

/// Nothing panics and nothing grows past its bound, by a schema that has some of everything.
#[test]
fn any_bytes() {
    let schema = json!({ "type": "record", "name": "R", "fields": [
        { "name": "self", "type": ["null", "R", { "type": "array", "items": "R" }] },
        { "name": "map", "type": { "type": "map", "values": ["int", "string", "null"] } },
        { "name": "dec", "type": { "type": "bytes", "logicalType": "decimal", "precision": 10, "scale": 2 } },
        { "name": "big", "type": { "type": "bytes", "logicalType": "big-decimal" } },
        { "name": "at", "type": { "type": "long", "logicalType": "timestamp-micros" } },
        { "name": "day", "type": { "type": "int", "logicalType": "date" } },
        { "name": "nulls", "type": { "type": "array", "items": "null" } },
        { "name": "f", "type": "double" } ] });
    let plan = plan(&schema);
    let others =
        [json!({ "type": "array", "items": "null" }), json!(["string", "bytes", "float"])].map(|schema| self::plan(&schema));
    bolero::check!().with_iterations(1_000).for_each(|data: &[u8]| {
        for plan in others.iter().chain([&plan]) {
            if let Ok(made) = decoded(plan, data) {
                assert!(made.len() <= data.len() * 64 + 64 * 1024);
            }
        }
    });
}

/// Schemas come from registries.
#[test]
fn any_schema() {
    bolero::check!().with_iterations(2_000).for_each(|text: &[u8]| {
        if let Ok(text) = std::str::from_utf8(text) {
            let _ = Plan::new(text, &[]);
            let _ = Plan::new(&format!("{{\"type\":\"record\",\"name\":{text:?},\"fields\":[{text}]}}"), &[text.to_owned()]);
        }
    });
}
