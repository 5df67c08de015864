//! Exports: what every format says is what the query says.

use std::collections::BTreeMap;
use std::sync::Arc;

use ::parquet::basic::{ConvertedType, Type as Physical};
use ::parquet::file::reader::{FileReader, SerializedFileReader};
use ::parquet::record::Field;
use bytes::Bytes;
use proptest::prelude::*;

use super::{ExportError, Format, export};
use crate::base::clock::SimClock;
use crate::base::disk::sim::SimDisk;
use crate::base::ids::TopicId;
use crate::store::query::{Cancel, OutValue, Request, parse, search};
use crate::store::tests::{Owned, TODAY, TestRow, rows};
use crate::store::{Config, Store};

fn cancel() -> Cancel {
    Cancel::new(Arc::new(SimClock::at(TODAY)))
}

fn filled(all: &[TestRow]) -> Arc<Store> {
    let store = Store::open_idle(SimDisk::new(1), Arc::new(SimClock::at(TODAY)), Config::default()).unwrap().0;
    let topic = TopicId::new();
    let half = all.len() / 2;
    if half > 0 {
        store.append(topic, "web", 0, 1, &rows(&all[..half]), all[half - 1].offset + 1).unwrap();
        store.flush_all().unwrap();
    }
    store.append(topic, "web", 0, 1, &rows(&all[half..]), all.len() as u64).unwrap();
    store
}

fn request(text: &str) -> Request {
    Request { limit: usize::MAX, newest_first: false, ..Request::new(parse(text).unwrap()) }
}

fn written(store: &Store, text: &str, format: Format) -> Vec<u8> {
    let mut out = Vec::new();
    let sources = store.snapshot(None, None, None).sources;
    export(&sources, &request(text), &cancel(), format, &mut out).unwrap();
    out
}

fn answer(store: &Store, text: &str) -> Vec<BTreeMap<String, OutValue>> {
    let mut all = Vec::new();
    let sources = store.snapshot(None, None, None).sources;
    search(&sources, &request(text), &cancel(), &mut |row| {
        let present = row.fields.into_iter().filter(|(_, value)| *value != OutValue::Null);
        all.push(present.map(|(name, value)| (name.to_string(), value)).collect());
        std::ops::ControlFlow::Continue(())
    })
    .unwrap();
    all
}

fn str(text: impl Into<Vec<u8>>) -> Owned {
    Owned::Str(text.into())
}

fn a_row(i: u64) -> TestRow {
    let mut cells = vec![
        ("message".to_owned(), str(format!("line {i}, \"quoted\"\nand on"))),
        ("int".to_owned(), Owned::Int(i64::MIN + i as i64)),
        ("float".to_owned(), Owned::Float(i as f64 / 8.0)),
        ("ok".to_owned(), Owned::Bool(i.is_multiple_of(2))),
        ("a.b".to_owned(), str("nested")),
        ("raw".to_owned(), str([0xff, u8::try_from(i % 256).unwrap()])),
        ("empty".to_owned(), str("")),
        ("number".to_owned(), if i.is_multiple_of(3) { Owned::Float(0.5) } else { Owned::Int(3) }),
        ("mixed".to_owned(), if i.is_multiple_of(3) { Owned::Bool(true) } else { Owned::Int(i64::MAX) }),
    ];
    if i % 4 == 1 {
        cells.push(("rare".to_owned(), str("x,y")));
    }
    if i.is_multiple_of(2) {
        cells.extend(["a", "b,\"c\""].map(|tag| ("tags".to_owned(), str(tag))));
    } else if i.is_multiple_of(3) {
        cells.push(("tags".to_owned(), str("alone")));
    }
    TestRow { time_ns: TODAY + i as i64 * 1_000_001, arrival_ns: TODAY, offset: i, n: 0, cells }
}

#[test]
fn parquet_has_the_types_and_the_values() {
    let store = filled(&(0..500).map(a_row).collect::<Vec<_>>());
    let reader = SerializedFileReader::new(Bytes::from(written(&store, "*", Format::Parquet))).unwrap();
    let schema = reader.metadata().file_metadata().schema_descr_ptr();
    let kinds: BTreeMap<String, (Physical, ConvertedType)> = schema
        .columns()
        .iter()
        .map(|column| (column.path().string(), (column.physical_type(), column.converted_type())))
        .collect();
    for (name, physical, converted) in [
        ("_time", Physical::INT64, ConvertedType::NONE),
        ("_offset", Physical::INT64, ConvertedType::NONE),
        ("int", Physical::INT64, ConvertedType::NONE),
        ("float", Physical::DOUBLE, ConvertedType::NONE),
        ("number", Physical::DOUBLE, ConvertedType::NONE),
        ("mixed", Physical::BYTE_ARRAY, ConvertedType::UTF8),
        ("ok", Physical::BOOLEAN, ConvertedType::NONE),
        ("message", Physical::BYTE_ARRAY, ConvertedType::UTF8),
        ("raw", Physical::BYTE_ARRAY, ConvertedType::NONE),
        ("tags.list.element", Physical::BYTE_ARRAY, ConvertedType::UTF8),
    ] {
        assert_eq!(kinds.get(name), Some(&(physical, converted)), "{name}");
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut count = 0;
    for (row, expected) in reader.get_row_iter(None).unwrap().zip(answer(&store, "*")) {
        count += 1;
        let row = row.unwrap();
        for (name, field) in row.get_column_iter() {
            let wanted = expected.get(name);
            match (field, wanted) {
                (Field::Null, None) => {}
                (Field::Long(int), Some(OutValue::Int(wanted) | OutValue::Time(wanted))) => assert_eq!(int, wanted, "{name}"),
                (Field::Double(float), Some(OutValue::Float(wanted))) => assert_eq!(float, wanted, "{name}"),
                (Field::Double(float), Some(OutValue::Int(wanted))) => assert_eq!(*float, *wanted as f64, "{name}"),
                (Field::Bool(bool), Some(OutValue::Bool(wanted))) => assert_eq!(bool, wanted, "{name}"),
                (Field::Str(own), Some(OutValue::Str(wanted))) => assert_eq!(*own, text(wanted), "{name}"),
                (Field::Str(own), Some(OutValue::Int(wanted))) => assert_eq!(*own, wanted.to_string(), "{name}"),
                (Field::Str(own), Some(OutValue::Bool(wanted))) => assert_eq!(*own, wanted.to_string(), "{name}"),
                (Field::Bytes(own), Some(OutValue::Str(wanted))) => assert_eq!(own.data(), &wanted[..], "{name}"),
                (Field::ListInternal(own), Some(wanted)) => {
                    let items: Vec<String> = own
                        .elements()
                        .iter()
                        .map(|item| if let Field::Str(item) = item { item.clone() } else { panic!("{item:?}") })
                        .collect();
                    let wanted: Vec<String> = match wanted {
                        OutValue::List(items) => items.iter().map(|item| text(item)).collect(),
                        OutValue::Str(one) => vec![text(one)],
                        other => panic!("{other:?}"),
                    };
                    assert_eq!(items, wanted, "{name}");
                }
                other => panic!("{name}: {other:?}"),
            }
        }
        let named: Vec<&String> = row.get_column_iter().map(|(name, _)| name).collect();
        assert!(expected.keys().all(|name| named.contains(&name)), "{named:?} lacks some of {expected:?}");
    }
    assert_eq!(count, 500);
}

/// Reads CSV as RFC 4180 says; whether each field was quoted stands beside it.
fn read_csv(bytes: &[u8]) -> Vec<Vec<(Vec<u8>, bool)>> {
    let (mut records, mut record, mut field) = (Vec::new(), Vec::new(), Vec::new());
    let (mut quoted, mut inside) = (false, false);
    let mut bytes = bytes.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' if inside && bytes.next_if_eq(&b'"').is_some() => field.push(b'"'),
            b'"' => (inside, quoted) = (!inside, true),
            b',' | b'\n' if !inside => {
                record.push((std::mem::take(&mut field), std::mem::take(&mut quoted)));
                if byte == b'\n' {
                    records.push(std::mem::take(&mut record));
                }
            }
            byte => field.push(byte),
        }
    }
    assert!(record.is_empty() && field.is_empty() && !inside);
    records
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn csv_and_ndjson_say_what_the_query_says(
        cells in prop::collection::vec(
            prop::collection::vec((0usize..6, prop::option::of(prop::collection::vec(prop::sample::select(b"a,\"\n\r \xff1".to_vec()), 0..6))), 0..6),
            1..30,
        )
    ) {
        let all: Vec<TestRow> = (0u64..).zip(&cells).map(|(offset, cells)| {
            let cells = cells.iter().map(|(name, value)| {
                (format!("f,{name}"), value.clone().map_or(Owned::Int(name.cast_signed() as i64), Owned::Str))
            });
            TestRow { time_ns: TODAY, arrival_ns: TODAY, offset, n: 0, cells: cells.collect() }
        }).collect();
        let store = filled(&all);
        let expected = answer(&store, "*");
        let csv = read_csv(&written(&store, "*", Format::Csv));
        prop_assert_eq!(csv.len(), expected.len() + 1);
        let names: Vec<String> = csv[0].iter().map(|(name, _)| String::from_utf8(name.clone()).unwrap()).collect();
        prop_assert_eq!(&names[..6], &["_time", "_topic", "_partition", "_offset", "_n", "_generation"]);
        for (record, row) in csv[1..].iter().zip(&expected) {
            prop_assert_eq!(record.len(), names.len());
            for ((field, quoted), name) in record.iter().zip(&names) {
                match row.get(name) {
                    None => prop_assert!(field.is_empty() && !quoted),
                    Some(OutValue::Str(bytes)) => prop_assert_eq!(&field[..], &bytes[..]),
                    Some(other) => {
                        let mut json = Vec::new();
                        other.write_json(&mut json);
                        let plain = String::from_utf8_lossy(field).into_owned();
                        let json = String::from_utf8(json).unwrap();
                        prop_assert!(plain == json || format!("\"{plain}\"") == json, "{} {}", plain, json);
                    }
                }
            }
            prop_assert!(row.keys().all(|name| names.contains(name)));
        }
        let lines = written(&store, "*", Format::Ndjson);
        let lines: Vec<serde_json::Value> = String::from_utf8(lines).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        prop_assert_eq!(lines.len(), expected.len());
    }
}

#[test]
fn what_pipes_made_is_written_in_their_order() {
    let store = filled(&(0..40).map(a_row).collect::<Vec<_>>());
    let csv = written(&store, "* | stats count(), max(float) by ok | sort ok", Format::Csv);
    assert_eq!(String::from_utf8(csv).unwrap(), "ok,count(),max(float)\nfalse,20,4.875\ntrue,20,4.75\n");
    let csv = written(&store, "ok:true | fields ok, int | limit 1", Format::Csv);
    assert!(String::from_utf8(csv).unwrap().starts_with("ok,int\ntrue,"));
    assert_eq!(written(&store, "nothing_like_this", Format::Csv), b"\n");
    let nothing = SerializedFileReader::new(Bytes::from(written(&store, "nothing_like_this", Format::Parquet))).unwrap();
    assert_eq!(nothing.metadata().file_metadata().num_rows(), 0);
}

#[test]
fn who_goes_away_ends_the_query() {
    struct Gone(usize);
    impl std::io::Write for Gone {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 = self.0.checked_sub(1).ok_or(std::io::ErrorKind::BrokenPipe)?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let store = filled(&(0..3000).map(a_row).collect::<Vec<_>>());
    let sources = store.snapshot(None, None, None).sources;
    for format in [Format::Ndjson, Format::Csv, Format::Parquet] {
        let ended = export(&sources, &request("*"), &cancel(), format, Gone(1));
        assert!(matches!(ended, Err(ExportError::Write(_))), "{format:?}: {ended:?}");
    }
}
