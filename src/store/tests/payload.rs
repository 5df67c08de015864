//! Payloads come back byte for byte or not at all, from memory, parts and merged parts; `always` loses none.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use memchr::memmem;
use proptest::collection::vec;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof, proptest};

use super::super::tools::verify::Finding;
use super::super::{Config, Snapshot, Store};
use super::TODAY;
use super::damage::every_bit_is_somebodys;
use super::tools::{content, look, put, repaired};
use crate::base::clock::SimClock;
use crate::base::disk::Disk as _;
use crate::base::disk::sim::SimDisk;
use crate::base::ids::{Offset, TopicId};
use crate::base::row::{Cell, KeepPayload, RowHead, Rows, Value};
use crate::base::time::DAY_NS;
use crate::store::source::Chunk;

/// Where a value of a row comes from.
#[derive(Clone, Debug)]
enum From {
    /// Cut out of the payload.
    Cut(Range<usize>),
    /// Written by a filter.
    Made(Vec<u8>),
    Int(i64),
    Float(f64),
    Bool(bool),
}

#[derive(Clone, Debug)]
struct Record {
    payload: Vec<u8>,
    cells: Vec<(String, From)>,
    time_ns: i64,
}

/// The payload that each row is said to have had.
type Seen = BTreeMap<Offset, Vec<u8>>;

fn append(store: &Store, topic: TopicId, from: usize, records: &[Record], keep: KeepPayload) {
    let mut rows = Rows { keep, ..Rows::default() };
    for (at, record) in records.iter().enumerate() {
        let start = u32::try_from(rows.cells.len()).unwrap();
        for (name, from) in &record.cells {
            let number = rows.names.iter().position(|own| **own == **name).unwrap_or_else(|| {
                rows.names.push(name.as_str().into());
                rows.names.len() - 1
            });
            let value = match from {
                From::Cut(range) => Value::Str(&record.payload[range.clone()]),
                From::Made(bytes) => Value::Str(bytes),
                From::Int(value) => Value::Int(*value),
                From::Float(value) => Value::Float(*value),
                From::Bool(value) => Value::Bool(*value),
            };
            rows.cells.push(Cell { name: u32::try_from(number).unwrap(), value });
        }
        let cells = (start, u32::try_from(rows.cells.len()).unwrap());
        let (time_ns, offset) = (record.time_ns, (from + at) as u64);
        rows.heads.push(RowHead { time_ns, arrival_ns: TODAY, offset, n: 0, cells });
        rows.payloads.push(Some(&record.payload));
    }
    store.append(topic, "t", 0, 1, &rows, (from + records.len()) as u64).unwrap();
}

fn seen(snapshot: &Snapshot) -> Seen {
    let mut all = Seen::new();
    for source in &snapshot.sources {
        assert!(source.columns().iter().all(|column| &*column.name != "_payload"), "payloads are no field");
        for group in 0..source.groups() {
            let offsets = source.lineage(group).unwrap().offsets;
            let Some(chunk) = source.payload(group).unwrap() else { continue };
            let mut scratch = Vec::new();
            for (row, offset) in offsets.iter().enumerate() {
                if let Some(text) = Chunk::text_of(&chunk, row, &mut scratch) {
                    assert!(all.insert(*offset, text.to_vec()).is_none());
                }
            }
        }
    }
    all
}

/// What is seen in memory, in parts and merged, which is the same; and the bytes of the parts when merged.
fn kept(records: &[Record], keep: KeepPayload) -> (Seen, u64) {
    let disk = SimDisk::new(1);
    let config = Config { merge_parts: 2, ..Config::default() };
    let store = Store::open_idle(disk.clone(), Arc::new(SimClock::at(TODAY)), config).unwrap().0;
    let topic = TopicId::new();
    let half = records.len() / 2 + 1;
    append(&store, topic, 0, &records[..half], keep);
    store.flush_all().unwrap();
    append(&store, topic, half, &records[half..], keep);
    let in_memory = seen(&store.snapshot(None, None, None));
    store.flush_all().unwrap();
    let in_parts = seen(&store.snapshot(None, None, None));
    store.merge_all().unwrap();
    let merged = seen(&store.snapshot(None, None, None));
    assert_eq!(in_memory, in_parts);
    assert_eq!(in_parts, merged);
    let raw: usize = records.iter().map(|record| record.payload.len()).sum();
    let said = store.stats()[0].raw_bytes;
    // A group that is cut by days is shared out by rows, rounded.
    assert!(said.abs_diff(raw as u64) < 16, "rows were made of {raw} bytes, kept or not, not of {said}");
    for (offset, payload) in &merged {
        assert_eq!(payload, &records[usize::try_from(*offset).unwrap()].payload, "of row {offset}");
    }
    let bytes = disk.files().iter().filter(|(path, _)| path.extension().is_some()).map(|(_, bytes)| *bytes).sum();
    (merged, bytes)
}

/// A member of an object, as it is written and what it is in a row.
fn json(members: &[(String, String)], between: &str, behind_colon: &str, time_ns: i64) -> Record {
    let (mut payload, mut cells) = (b"{".to_vec(), Vec::new());
    for (at, (name, token)) in members.iter().enumerate() {
        if at > 0 {
            payload.extend_from_slice(between.as_bytes());
        }
        payload.extend_from_slice(format!("\"{name}\":{behind_colon}").as_bytes());
        let start = payload.len();
        payload.extend_from_slice(token.as_bytes());
        let from = match serde_json::from_str::<serde_json::Value>(token) {
            Ok(serde_json::Value::String(text)) if text.len() + 2 == token.len() => From::Cut(start + 1..payload.len() - 1),
            Ok(serde_json::Value::String(text)) => From::Made(text.into_bytes()),
            Ok(serde_json::Value::Bool(value)) => From::Bool(value),
            Ok(serde_json::Value::Number(number)) => {
                number.as_i64().map_or_else(|| From::Float(number.as_f64().unwrap()), From::Int)
            }
            // Arrays, objects and what is null are in the payload alone.
            _ => continue,
        };
        cells.push((name.clone(), from));
    }
    payload.push(b'}');
    Record { payload, cells, time_ns }
}

fn noise(i: u64) -> u64 {
    (i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ i.wrapping_mul(0xc2b2_ae3d_27d4_eb4f) >> 7
}

fn application(i: u64) -> Record {
    let text = if i.is_multiple_of(10) { "said \\\"no\\\"\\n" } else { "all is well" };
    let members = [
        ("level", format!("\"{}\"", ["info", "warn"][(i % 2) as usize])),
        ("msg", format!("\"{text} {}\"", noise(i) % 1000)),
        ("id", format!("\"{:016x}\"", noise(i))),
        ("took", (noise(i) % 977).to_string()),
        ("share", format!("{}.5", noise(i) % 20)),
        ("ok", (i.is_multiple_of(3)).to_string()),
    ];
    json(&members.map(|(name, token)| (name.to_owned(), token)), ",", "", TODAY)
}

#[test]
fn records_of_one_shape_cost_next_to_nothing() {
    let records: Vec<Record> = (0..12_000).map(application).collect();
    let (without, bytes) = kept(&records, KeepPayload::Never);
    assert!(without.is_empty());
    let (derived, more) = kept(&records, KeepPayload::Derived);
    assert_eq!(derived.len(), records.len(), "every payload is made of its row");
    assert!(more < bytes + bytes / 100, "{more} with payloads, {bytes} without");
}

#[test]
fn fields_that_the_store_writes_itself_are_not_what_a_payload_is_made_of() {
    let record = |i: u64| {
        let (claim, message) = (format!("\"x{}\"", i % 4), format!("\"A{i}\""));
        let names = ["_time_claimed", "_payload", "message"].map(str::to_owned);
        let members: Vec<_> = names.into_iter().zip([claim, "\"forged\"".to_owned(), message]).collect();
        json(&members, ",", "", TODAY + 3 * DAY_NS)
    };
    let records: Vec<Record> = (0..40).map(record).collect();
    assert_eq!(kept(&records, KeepPayload::Always).0.len(), records.len());
    kept(&records, KeepPayload::Derived);
}

#[test]
fn a_payload_that_is_the_message_costs_next_to_nothing() {
    let record = |i: u64| {
        let payload = format!("<13>worker {} of {i}: \u{fffd}", noise(i) % 100).into_bytes();
        Record { cells: vec![("message".into(), From::Cut(0..payload.len()))], payload, time_ns: TODAY }
    };
    let records: Vec<Record> = (0..3000).map(record).collect();
    let bytes = kept(&records, KeepPayload::Never).1;
    let (derived, more) = kept(&records, KeepPayload::Derived);
    assert_eq!(derived.len(), records.len());
    assert!(more < bytes + 300, "{more} with payloads, {bytes} without");
}

#[test]
fn more_shapes_than_a_part_has_room_for_lose_no_payload() {
    let record = |i: u64| {
        let shape = i / 5;
        let members = [
            (format!("id{shape}"), format!("\"{:016x}\"", noise(i))),
            ("level".to_owned(), ["\"info\"", "\"warn\"", "\"a\\\"b\""][(i % 3) as usize].to_owned()),
            (format!("took{shape}"), (noise(i) % 977).to_string()),
        ];
        json(&members, [",", ", "][(shape % 2) as usize], "", TODAY)
    };
    let records: Vec<Record> = (0..2000).map(record).collect();
    assert_eq!(kept(&records, KeepPayload::Always).0.len(), records.len());
    let derived = kept(&records, KeepPayload::Derived).0.len();
    assert!(derived >= records.len() * 4 / 5, "{derived} of {} are made of their rows before the merge", records.len());

    // Deletions leave templates and texts of others as they are.
    let disk = SimDisk::new(6);
    let config = Config { merge_parts: 2, ..Config::default() };
    let store = Store::open_idle(disk.clone(), Arc::new(SimClock::at(TODAY)), config).unwrap().0;
    let topic = TopicId::new();
    for half in 0..2 {
        append(&store, topic, half * 1000, &records[half * 1000..][..1000], KeepPayload::Always);
        store.flush_all().unwrap();
    }
    store.delete_rows(topic, "t", &[(0, 100, 300), (0, 1500, 1600)]).unwrap();
    store.merge_all().unwrap();
    assert_eq!(store.stats()[0].parts, 1);
    let left = seen(&store.snapshot(None, None, None));
    assert_eq!(left.len(), records.len() - 300);
    assert!(left.iter().all(|(offset, payload)| *payload == records[usize::try_from(*offset).unwrap()].payload));
}

#[test]
fn what_no_row_says_is_kept_only_where_it_is_wanted() {
    // A filter took the secret away, and it differs each time.
    let record = |i: u64| {
        let payload = format!("{{\"secret\":\"{:016x}\",\"user\":\"u{}\"}}", noise(i), i % 7).into_bytes();
        let user = payload.len() - 4..payload.len() - 2;
        Record { payload, cells: vec![("user".into(), From::Cut(user))], time_ns: TODAY }
    };
    let records: Vec<Record> = (0..5000).map(record).collect();
    let derived = kept(&records, KeepPayload::Derived).0;
    assert!(derived.is_empty(), "{} secrets came back", derived.len());
    assert_eq!(kept(&records, KeepPayload::Always).0.len(), records.len());
}

/// Minutes, if every place of every value were looked at for every row.
#[test]
fn a_value_that_stands_everywhere_is_not_looked_for_everywhere() {
    let record = |cells: u64| {
        let cells = (0..cells).map(|at| (format!("f{at}"), From::Made(b"1".to_vec()))).collect();
        Record { payload: vec![b'1'; 60_000], cells, time_ns: TODAY }
    };
    let records: Vec<Record> = (0..300).map(|i| record(if i % 2 == 0 { 250 } else { 3000 })).collect();
    assert!(kept(&records, KeepPayload::Derived).0.is_empty());
}

#[test]
fn flipped_bits_make_no_payload_that_was_not_there() {
    let disk = SimDisk::new(3);
    let store = super::damage::open(&disk);
    let records: Vec<Record> = (0..600).map(application).collect();
    append(&store, TopicId::new(), 0, &records, KeepPayload::Always);
    store.flush_all().unwrap();
    drop(store);
    every_bit_is_somebodys(&disk, 17, 3);
}

#[test]
fn parts_with_payloads_are_sound_and_what_a_repair_makes_of_damaged_ones_is_too() {
    let disk = SimDisk::new(5);
    let store = super::damage::open(&disk);
    let records: Vec<Record> = (0..600).map(application).collect();
    append(&store, TopicId::new(), 0, &records, KeepPayload::Derived);
    store.flush_all().unwrap();
    drop(store);
    assert_eq!(look(&disk).verify(&mut |_| {}).unwrap().findings, []);
    let (whole, path) = (content(&disk), look(&disk).parts().unwrap().remove(0).path);
    let (mut lost, mut kept) = (0, 0);
    for at in (16..whole[Path::new(&path)].len()).step_by(97) {
        let mut bytes = whole[Path::new(&path)].clone();
        bytes[at] ^= 4;
        put(&disk, Path::new(&path), &bytes);
        let found = look(&disk).verify(&mut |_| {}).unwrap().findings;
        if found.iter().all(|one| one.rows_lost == 0) {
            let named = |one: &Finding| one.field.as_ref().is_some_and(|(name, _)| &**name == "_payload");
            let is_payload = found.iter().any(named);
            repaired(&disk, true);
            assert_eq!(look(&disk).verify(&mut |_| {}).unwrap().findings, [], "at {at}");
            let left = seen(&super::damage::open(&disk).snapshot(None, None, None));
            assert!(left.iter().all(|(offset, payload)| *payload == records[usize::try_from(*offset).unwrap()].payload));
            assert_eq!(left.len(), if is_payload { 0 } else { records.len() }, "at {at}");
            lost += u32::from(is_payload);
            kept += u32::from(!is_payload);
        }
        for (file, _) in disk.files() {
            disk.remove_file(&file).unwrap();
        }
        whole.iter().for_each(|(path, bytes)| put(&disk, path, bytes));
    }
    assert!(lost > 0 && kept > 0, "{lost} without payloads, {kept} with them");
}

/// Whether a part has this anywhere, packed or not.
pub fn is_on_disk(disk: &Arc<SimDisk>, wanted: &[u8]) -> bool {
    let parts = disk.files().into_iter().filter(|(path, _)| path.extension().is_some_and(|end| end == "part"));
    parts.into_iter().any(|(path, length)| {
        let mut bytes = vec![0; usize::try_from(length).unwrap()];
        disk.open(&path, false).unwrap().read_at(&mut bytes, 0).unwrap();
        let frames = memmem::find_iter(&bytes, &[0x28, 0xb5, 0x2f, 0xfd]).any(|at| {
            let mut out = Vec::new();
            let frame = zstd::stream::read::Decoder::new(&bytes[at..]).unwrap().single_frame();
            let _ = frame.take(64 << 20).read_to_end(&mut out);
            memmem::find(&out, wanted).is_some()
        });
        frames || memmem::find(&bytes, wanted).is_some()
    })
}

#[test]
fn what_is_deleted_leaves_nothing_in_shapes_and_templates() {
    // The same words in many rows: a shape of texts, a literal of payloads that no field gives, a literal of messages.
    let secret = "the password was hunter2hunter2 after all";
    let record = |i: u64| {
        let id = noise(i) % 100_000;
        let note = if i < 500 { format!("{secret}, {}", id % 3) } else { format!("worker {id} is idle since {} s", id % 977) };
        let hidden = if i < 500 { "\"hidden\":\"hunter2hunter2\"," } else { "" };
        let payload = format!("{{{hidden}\"note\":\"{note}\",\"id\":{id}}}").into_bytes();
        let cells = vec![("note".to_owned(), From::Made(note.into_bytes())), ("id".to_owned(), From::Int(id as i64))];
        let message = if i < 500 { format!("hunter2hunter2 {id}") } else { format!("id {id}") };
        let cells = cells.into_iter().chain([("message".to_owned(), From::Made(message.into_bytes()))]).collect();
        Record { payload, cells, time_ns: TODAY }
    };
    let disk = SimDisk::new(4);
    let store = super::damage::open(&disk);
    let topic = TopicId::new();
    let records: Vec<Record> = (0..6000).map(record).collect();
    append(&store, topic, 0, &records, KeepPayload::Derived);
    store.flush_all().unwrap();
    assert_eq!(seen(&store.snapshot(None, None, None)).len(), records.len());
    assert!(is_on_disk(&disk, b"hunter2"));
    store.delete_rows(topic, "t", &[(0, 0, 500)]).unwrap();
    store.merge_all().unwrap();
    let left = seen(&store.snapshot(None, None, None));
    assert_eq!(left.len(), records.len() - 500);
    assert!(left.iter().all(|(offset, payload)| *payload == records[usize::try_from(*offset).unwrap()].payload));
    drop(store);
    assert!(!is_on_disk(&disk, b"hunter2"));
}

fn token() -> impl Strategy<Value = String> {
    prop_oneof![
        prop_oneof![
            Just("1"),
            Just("-0"),
            Just("1e5"),
            Just("1.0"),
            Just("0.090"),
            Just("true"),
            Just("null"),
            Just("\"\""),
            Just("\"\\u0041\""),
            Just("\"\\/\""),
            Just("\"a\\\"b\""),
            Just("\"\\n\\u001f\""),
            Just("\"\u{e9}\""),
            Just("[1,\"a\"]"),
            Just("{\"x\" : 1}"),
            Just("-9223372036854775808"),
            Just("18446744073709551615"),
        ]
        .prop_map(str::to_owned),
        any::<i16>().prop_map(|value| value.to_string()),
        "[a-c1]{0,3}".prop_map(|text| format!("\"{text}\"")),
    ]
}

/// A payload, what is cut out of it (which field, from where, how long), and a number.
type Cut = (Vec<u8>, Vec<(usize, usize, usize)>, i8);

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn json_comes_back_as_it_was_written_or_not_at_all(
        documents in vec((vec(("[a-d]", token()), 0..7), 0usize..3, any::<bool>()), 2..120),
    ) {
        let records: Vec<Record> = documents
            .iter()
            .map(|(members, between, space)| json(members, [",", ", ", " ,\n"][*between], if *space { " " } else { "" }, TODAY))
            .collect();
        kept(&records, KeepPayload::Derived);
        assert_eq!(kept(&records, KeepPayload::Always).0.len(), records.len());
    }

    #[test]
    fn any_bytes_come_back_as_they_were_or_not_at_all(
        records in vec((vec(any::<u8>(), 0..60), vec((0usize..4, 0usize..60, 0usize..20), 0..5), any::<i8>()), 2..80),
    ) {
        let record = |(payload, cuts, number): &Cut| {
            let cut = |(name, from, length): &(usize, usize, usize)| {
                let from = (*from).min(payload.len());
                (["a", "b", "c", "message"][*name].to_owned(), From::Cut(from..(from + length).min(payload.len())))
            };
            let mut cells: Vec<(String, From)> = cuts.iter().map(cut).collect();
            cells.push(("number".to_owned(), From::Int(i64::from(*number))));
            let stamp = i64::from(*number) * 1_000_000_000;
            Record { payload: payload.clone(), cells, time_ns: TODAY + stamp }
        };
        let records: Vec<Record> = records.iter().map(record).collect();
        kept(&records, KeepPayload::Derived);
        assert_eq!(kept(&records, KeepPayload::Always).0.len(), records.len());
    }

    #[test]
    fn times_in_payloads_come_back(seconds in vec(0i64..86_400 * 3, 12..200), digits in 0usize..4) {
        let records: Vec<Record> = seconds
            .iter()
            .map(|second| {
                let ns = TODAY - 86_400_000_000_000 * 2 + second * 1_000_000_000 + 120_000_000 * i64::from(digits > 1);
                let text = crate::base::time::format(ns);
                let text = text.get(..19).unwrap();
                let fraction = [String::new(), ".0".into(), ".12".into(), ".120".into()][digits].clone();
                let payload = format!("{{\"t\":\"{text}{fraction}Z\",\"n\":{}}}", second % 10).into_bytes();
                Record { payload, cells: vec![("n".into(), From::Int(second % 10))], time_ns: ns }
            })
            .collect();
        assert_eq!(kept(&records, KeepPayload::Derived).0.len(), records.len());
    }
}
