//! The test vectors of `guest-sdk/vectors`: each is written down here piece by piece, as the ABI's page draws it, and must be what
//! this crate's encoders write and its decoders read. Whoever writes an SDK in another language holds it against the files.
//!
//! `SAWBOX_WRITE_VECTORS=1 cargo test -p sawbox-guest vectors` writes the files and the listing anew.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use super::answer::{Answer, EmissionEntry, Head, HeaderEntry, Kind, VerdictEntry, WHOLE};
use super::input::{Reader, RecordEntry, Size, Writer};
use super::{Body, FrameError, InitAnswer, Names, Operation, StrEntry, ValueEntry, pack};

struct Vector {
    name: &'static str,
    what: &'static str,
    pieces: Vec<(Vec<u8>, &'static str)>,
}

impl Vector {
    fn bytes(&self) -> Vec<u8> {
        self.pieces.iter().flat_map(|(bytes, _)| bytes.clone()).collect()
    }
}

/// Little-endian numbers and bytes, back to back.
macro_rules! bytes {
    ($($part:expr),+) => {{
        let mut bytes: Vec<u8> = Vec::new();
        $(bytes.extend_from_slice(&Part::part(&$part));)+
        bytes
    }};
}

trait Part {
    fn part(&self) -> Vec<u8>;
}

macro_rules! parts {
    ($($ty:ty),+) => {$(
        impl Part for $ty {
            fn part(&self) -> Vec<u8> {
                self.to_le_bytes().to_vec()
            }
        }
    )+};
}
parts!(u8, u16, u32, u64, i64);

impl Part for &str {
    fn part(&self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }
}

const ARRIVAL: i64 = 1_700_000_000_000_000_000;
const SET_TIME: i64 = 1_699_999_999_000_000_000;

fn vectors() -> Vec<Vector> {
    vec![
        Vector {
            name: "init-ready",
            what: "An answer to `init`: ready, needs payloads, reads `level` and `host`.",
            pieces: vec![
                (bytes![0u8, 1u8, 2u16], "ready; flags: needs the payload; 2 names"),
                (bytes![5u16, "level"], "the field that is number 0 in frames"),
                (bytes![4u16, "host"], "number 1"),
            ],
        },
        Vector {
            name: "init-state",
            what: "An answer to `init`: ready, reads every field, needs no payloads, understands state of schema 3.",
            pieces: vec![
                (bytes![0u8, 6u8, 0u16], "ready; flags: reads every field, a schema follows"),
                (bytes![3u32], "schema"),
            ],
        },
        Vector {
            name: "init-refused",
            what: "An answer to `init`: the configuration is refused.",
            pieces: vec![(bytes![1u8, 0u8, 0u16], "refused"), (bytes!["`field` must be a string"], "why")],
        },
        Vector {
            name: "input-empty",
            what: "An input frame without records. The host never sends it; a guest that gets it answers with no verdicts.",
            pieces: vec![(bytes![1u32, 0u32, 0u32, 0u32, 24u32, 0u32], "version, records, values, names, length, 0")],
        },
        Vector {
            name: "input-reads",
            what: "An input frame of two records for a filter that declared `level`, `took`, `ok`, `tags`. The first value was cut \
                   from the payload: it points into it. `tags` is a list: two values of one name.",
            pieces: vec![
                (bytes![1u32, 2u32, 6u32, 0u32, 230u32, 0u32], "version, 2 records, 6 values, no names, length, none expired"),
                (bytes![41u64, ARRIVAL, 1_700_000_000_000i64, i64::MIN], "record 0: offset, arrival, timestamp, no time yet"),
                (bytes![216u32, 10u32, 0u32, 2u32], "payload at 216, 10 bytes; values 0 and 1"),
                (bytes![42u64, ARRIVAL + 1_000_000_000, 1_700_000_000_500i64, SET_TIME], "record 1; its time was set before"),
                (bytes![226u32, 2u32, 2u32, 4u32], "payload at 226, 2 bytes; values 2 to 5"),
                (bytes![0x0100_0000u32, 4u32, 0u32, 216u32], "`level` (0), Str, 4 bytes at 216: `warn`"),
                (bytes![0x0200_0001u32, 0u32, -5i64], "`took` (1), Int -5"),
                (bytes![0x0300_0001u32, 0u32, 0x3fd0_0000_0000_0000u64], "`took`, Float 0.25"),
                (bytes![0x0400_0002u32, 0u32, 1u64], "`ok` (2), Bool true"),
                (bytes![0x0100_0003u32, 1u32, 0u32, 228u32], "`tags` (3), Str at 228: `a`"),
                (bytes![0x0100_0003u32, 1u32, 0u32, 229u32], "`tags` again: `b`"),
                (bytes!["warn: disk"], "216: payload of record 0"),
                (bytes!["ok"], "226: payload of record 1"),
                (bytes!["ab"], "228: the list's strings"),
            ],
        },
        Vector {
            name: "input-all",
            what: "An input frame of one record for a filter that reads every field: the frame has its own names.",
            pieces: vec![
                (bytes![1u32, 1u32, 2u32, 2u32, 131u32, 0u32], "version, 1 record, 2 values, 2 names, length, 0"),
                (bytes![0u64, ARRIVAL, 0i64, i64::MIN], "record 0"),
                (bytes![127u32, 1u32, 0u32, 2u32], "payload at 127, 1 byte; values 0 and 1"),
                (bytes![0x0100_0000u32, 3u32, 0u32, 128u32], "name 0, Str at 128: `web`"),
                (bytes![0x0200_0001u32, 0u32, i64::MAX], "name 1, Int: the greatest"),
                (bytes![120u32, 4u32], "name 0 at 120"),
                (bytes![124u32, 3u32], "name 1 at 124"),
                (bytes!["hosta.b"], "120: `host`, 124: `a.b`"),
                (bytes!["x"], "127: the payload"),
                (bytes!["web"], "128"),
            ],
        },
        Vector {
            name: "answer-values",
            what: "An answer to input-reads, as a component gives it (addresses count from the list's start; a core module's count \
                   from its memory's). Every kind, every operation and every sort of slot.",
            pieces: vec![
                (bytes![1u32, 2u32], "version, 2 records"),
                (bytes![64u32, 48u32, 112u32, 128u32, 240u32, 38u32], "verdicts, values, names: address, length"),
                (bytes![0u32, 0u32, 0u32, 0u32, 278u32, 5u32, 0u64], "no emissions, no headers; the arena; 0"),
                (bytes![0u8, 1u8, 0u16, 5u32, 0u32, 0u32, 0u32, 0u32], "store; the fields say all; 5 values"),
                (bytes![0u8, 0u8, 0u16, 3u32, 0u32, 0u32, 0u32, 0u32], "store; 3 values"),
                (bytes![0x0100_0000u32, 4u32, 0u32, 6u32], "Set `what`, Str, 4 bytes of slot 0 (the payload) from 6: `disk`"),
                (bytes![0x1100_0001u32, 5u32, 1u32, 0u32], "Add to `list`, Str, 5 bytes of slot 1 (the arena) from 0: `built`"),
                (bytes![0x3100_0001u32, 2u32, 2u32, 1u32], "AddNew to `list`, Str, 2 bytes of slot 2 (value 0, `warn`) from 1"),
                (bytes![0x0200_0002u32, 0u32, -1i64], "Set `number`, Int -1"),
                (bytes![0x2000_0003u32, 0u32, 0u64], "Remove `gone`"),
                (bytes![0x0300_0002u32, 0u32, 0x3ff8_0000_0000_0000u64], "Set `number`, Float 1.5"),
                (bytes![0x0400_0004u32, 0u32, 1u64], "Set `yes`, Bool true"),
                (bytes![0x0200_0005u32, 0u32, SET_TIME], "Set `_time`: the row's time, ns"),
                (bytes![4u16, "what", 4u16, "list", 6u16, "number"], "names 0, 1, 2"),
                (bytes![4u16, "gone", 3u16, "yes", 5u16, "_time"], "names 3, 4, 5"),
                (bytes!["built"], "278: the arena"),
            ],
        },
        Vector {
            name: "answer-reasons",
            what: "An answer to two records: one is dropped, one fails, each with its reason.",
            pieces: vec![
                (bytes![1u32, 2u32], "version, 2 records"),
                (bytes![64u32, 48u32, 0u32, 0u32, 0u32, 0u32], "verdicts; no values, no names"),
                (bytes![0u32, 0u32, 0u32, 0u32, 112u32, 13u32, 0u64], "no emissions, no headers; the arena; 0"),
                (bytes![1u8, 0u8, 0u16, 0u32, 0u32, 5u32, 0u32, 0u32], "drop; reason: 5 bytes of the arena from 0"),
                (bytes![2u8, 0u8, 0u16, 0u32, 5u32, 8u32, 0u32, 0u32], "fail; reason: 8 bytes from 5"),
                (bytes!["noiseno colon"], "112: the arena"),
            ],
        },
        Vector {
            name: "answer-joined",
            what: "An answer to three records: the first two are kept by the filter, in its state; of the third it makes a row of its \
                   own, whose payload is all three and whose origin is the third.",
            pieces: vec![
                (bytes![1u32, 3u32], "version, 3 records"),
                (bytes![64u32, 72u32, 0u32, 0u32, 0u32, 0u32], "verdicts; no values, no names"),
                (bytes![0u32, 0u32, 0u32, 0u32, 136u32, 5u32, 0u64], "no emissions, no headers; the arena; 0"),
                (bytes![3u8, 0u8, 0u16, 0u32, 0u32, 0u32, 0u32, 0u32], "hold"),
                (bytes![3u8, 0u8, 0u16, 0u32, 0u32, 0u32, 0u32, 0u32], "hold"),
                (
                    bytes![0u8, 2u8, 0u16, 0u32, 0u32, 5u32, 0u32, 0u32],
                    "store; joined, its payload: 5 bytes of the arena; 0 back",
                ),
                (bytes!["a b c"], "136: the arena"),
            ],
        },
        Vector {
            name: "answer-emissions",
            what: "An answer to one record, which is stored and emitted twice: as it came, with its headers and one more; and built.",
            pieces: vec![
                (bytes![1u32, 1u32], "version, 1 record"),
                (bytes![64u32, 24u32, 0u32, 0u32, 0u32, 0u32], "verdicts; no values, no names"),
                (bytes![88u32, 64u32, 152u32, 24u32, 176u32, 17u32, 0u64], "emissions, headers, the arena; 0"),
                (bytes![0u8, 0u8, 0u16, 0u32, 0u32, 0u32, 2u32, 0u32], "store; 2 emissions"),
                (
                    bytes![0u32, 5u32, 0u32, 0u32, 0xffff_ffffu32, 1u32, 1u32, 0u32],
                    "to `audit`: the payload, whole; 1 header after its own",
                ),
                (
                    bytes![0u32, 5u32, 1u32, 12u32, 5u32, 0u32, 0u32, 0u32],
                    "to `audit`: 5 bytes of the arena from 12; no headers",
                ),
                (bytes![5u32, 3u32, 1u32, 8u32, 4u32, 0u32], "header `why`: 4 bytes of the arena from 8"),
                (bytes!["auditwhytestbuilt"], "176: the arena"),
            ],
        },
        Vector {
            name: "refused-version",
            what: "To be refused: an answer of version 2.",
            pieces: vec![(bytes![2u32, 0u32], "version, records"), (vec![0; 56], "nothing")],
        },
        Vector {
            name: "refused-outside",
            what: "To be refused: verdicts that lie outside of the list.",
            pieces: vec![
                (bytes![1u32, 1u32], "version, 1 record"),
                (bytes![0xffff_fff0u32, 24u32], "verdicts at the end of 32 bits"),
                (vec![0; 48], "nothing"),
            ],
        },
        Vector {
            name: "refused-half",
            what: "To be refused: a section that is no whole number of entries.",
            pieces: vec![
                (bytes![1u32, 1u32], "version, 1 record"),
                (bytes![64u32, 25u32], "verdicts: 25 bytes"),
                (vec![0; 48], "nothing"),
                (vec![0; 25], "a verdict and a byte"),
            ],
        },
        Vector {
            name: "refused-verdict",
            what: "To be refused: a verdict of kind 4.",
            pieces: vec![
                (bytes![1u32, 1u32], "version, 1 record"),
                (bytes![64u32, 24u32], "verdicts"),
                (vec![0; 48], "nothing"),
                (bytes![4u8, 0u8, 0u16, 0u32, 0u32, 0u32, 0u32, 0u32], "kind 4"),
            ],
        },
    ]
}

fn folder() -> PathBuf {
    PathBuf::from("vectors")
}

/// All vectors with their bytes and what these mean.
fn listing(all: &[Vector]) -> String {
    let mut text = "# Test vectors of the ABI, version 1.0\n\nEach file holds one frame; `guest-sdk/src/abi` says what the bytes \
                    mean. An SDK must write the answers and read the input frames alike; a host must read the answers and refuse \
                    the `refused-…`.\nWritten and checked by `guest-sdk/src/abi/vectors.rs`.\n"
        .to_owned();
    for vector in all {
        text.push_str(&format!("\n## {}.bin\n{}\n```text\n", vector.name, vector.what));
        let mut at = 0;
        for (bytes, meaning) in &vector.pieces {
            for (index, line) in bytes.chunks(16).enumerate() {
                let hex: Vec<String> = line.iter().map(|byte| format!("{byte:02x}")).collect();
                let meaning = if index == 0 { *meaning } else { "" };
                text.push_str(format!("{:4}  {:<47}  {meaning}", at + index * 16, hex.join(" ")).trim_end());
                text.push('\n');
            }
            at += bytes.len();
        }
        text.push_str("```\n");
    }
    text
}

#[test]
#[allow(clippy::disallowed_methods)] // the repository's own files
fn the_files_are_as_they_are_told() {
    let all = vectors();
    if std::env::var_os("SAWBOX_WRITE_VECTORS").is_some() {
        std::fs::create_dir_all(folder()).unwrap();
        for vector in &all {
            std::fs::write(folder().join(format!("{}.bin", vector.name)), vector.bytes()).unwrap();
        }
        std::fs::write(folder().join("README.md"), listing(&all)).unwrap();
    }
    for vector in &all {
        let file = std::fs::read(folder().join(format!("{}.bin", vector.name))).unwrap();
        assert_eq!(file, vector.bytes(), "{}", vector.name);
    }
    assert_eq!(std::fs::read_to_string(folder().join("README.md")).unwrap(), listing(&all));
}

fn vector(name: &str) -> Vec<u8> {
    vectors().iter().find(|vector| vector.name == name).unwrap().bytes()
}

fn text(slot: u32, at: u32, len: u32) -> Body {
    Body::Str { slot, at, len }
}

fn entry(name: u32, operation: Operation, body: Body) -> ValueEntry {
    ValueEntry { name, operation, body }
}

#[test]
fn encoders_write_the_input_frames() {
    let set = |name, body| entry(name, Operation::Set, body);
    let size = Size { records: 2, values: 6, names: 0, bytes: 14, expired: 0 };
    let mut frame = vec![0xff; 230];
    let mut writer = Writer::new(&mut frame, size).unwrap();
    let at = writer.bytes(b"warn: disk");
    writer.value(&set(0, text(0, at, 4)));
    writer.value(&set(1, Body::Int(-5)));
    let first = RecordEntry {
        offset: 41,
        arrival_ns: ARRIVAL,
        timestamp_ms: 1_700_000_000_000,
        time_ns: None,
        payload: (at, 10),
        values: (0, 2),
    };
    writer.record(&first);
    let at = writer.bytes(b"ok");
    writer.value(&set(1, Body::Float(0.25)));
    writer.value(&set(2, Body::Bool(true)));
    for element in [b"a", b"b"] {
        let at = writer.bytes(element);
        writer.value(&set(3, text(0, at, 1)));
    }
    let second = RecordEntry {
        offset: 42,
        arrival_ns: ARRIVAL + 1_000_000_000,
        timestamp_ms: 1_700_000_000_500,
        time_ns: Some(SET_TIME),
        payload: (at, 2),
        values: (2, 4),
    };
    writer.record(&second);
    assert_eq!(writer.finish(), Ok(230));
    assert_eq!(frame, vector("input-reads"));

    let frame = vector("input-reads");
    let reader = Reader::new(&frame).unwrap();
    assert_eq!((reader.len(), reader.record(0), reader.record(1)), (2, Some(first), Some(second)));
    assert_eq!(reader.bytes(second.payload.0, second.payload.1), b"ok");
    let values: Vec<_> = reader.values(&second).iter().map(|value| ValueEntry::decode(value).unwrap().body).collect();
    assert_eq!(values, [Body::Float(0.25), Body::Bool(true), text(0, 228, 1), text(0, 229, 1)]);

    let all = vector("input-all");
    let reader = Reader::new(&all).unwrap();
    let record = reader.record(0).unwrap();
    assert_eq!((reader.names(), reader.name(0), reader.name(1), reader.name(2)), (2, &b"host"[..], &b"a.b"[..], &b""[..]));
    assert_eq!(reader.values(&record).len(), 2);
    let mut frame = vec![0xff; 131];
    let mut writer = Writer::new(&mut frame, Size { records: 1, values: 2, names: 2, bytes: 11, expired: 0 }).unwrap();
    writer.name(b"host");
    writer.name(b"a.b");
    writer.bytes(b"x");
    let at = writer.bytes(b"web");
    writer.value(&set(0, text(0, at, 3)));
    writer.value(&set(1, Body::Int(i64::MAX)));
    writer.record(&record);
    assert_eq!(writer.finish(), Ok(131));
    assert_eq!(frame, all);
    assert!(Reader::new(&vector("input-empty")).unwrap().is_empty());
}

/// An answer in the layout of the vectors.
fn answer(records: u32, sections: [Vec<u8>; 6]) -> Vec<u8> {
    let mut bytes = vec![0; 64];
    let [verdicts, values, names, emissions, headers, arena] = sections.map(|section| {
        let at = if section.is_empty() { 0 } else { u32::try_from(bytes.len()).unwrap() };
        bytes.extend_from_slice(&section);
        (at, u32::try_from(section.len()).unwrap())
    });
    let head = Head { records, verdicts, values, names, emissions, headers, arena };
    bytes[..64].copy_from_slice(&head.encode());
    bytes
}

#[test]
fn encoders_write_the_answers_and_decoders_read_them() {
    let store = VerdictEntry { kind: Kind::Store, consumed: false, values: 0, reason: (0, 0), emissions: 0, joined: None };
    let verdicts = [VerdictEntry { consumed: true, values: 5, ..store }, VerdictEntry { values: 3, ..store }];
    let values = [
        entry(0, Operation::Set, text(0, 6, 4)),
        entry(1, Operation::Add, text(1, 0, 5)),
        entry(1, Operation::AddNew, text(2, 1, 2)),
        entry(2, Operation::Set, Body::Int(-1)),
        entry(3, Operation::Remove, Body::None),
        entry(2, Operation::Set, Body::Float(1.5)),
        entry(4, Operation::Set, Body::Bool(true)),
        entry(5, Operation::Set, Body::Int(SET_TIME)),
    ];
    let names = bytes![4u16, "what", 4u16, "list", 6u16, "number", 4u16, "gone", 3u16, "yes", 5u16, "_time"];
    let flat = |verdicts: &[VerdictEntry]| verdicts.iter().flat_map(VerdictEntry::encode).collect::<Vec<u8>>();
    let written = answer(
        2,
        [flat(&verdicts), values.iter().flat_map(ValueEntry::encode).collect(), names, vec![], vec![], b"built".to_vec()],
    );
    assert_eq!(written, vector("answer-values"));
    let read = decode("answer-values", 2).unwrap();
    assert_eq!(read.values.iter().map(|value| ValueEntry::decode(value).unwrap()).collect::<Vec<_>>(), values);
    assert_eq!(read.verdicts.iter().map(|verdict| VerdictEntry::decode(verdict).unwrap()).collect::<Vec<_>>(), verdicts);

    let verdicts = [
        VerdictEntry { kind: Kind::Drop, reason: (0, 5), ..store },
        VerdictEntry { kind: Kind::Fail, reason: (5, 8), ..store },
    ];
    let written = answer(2, [flat(&verdicts), vec![], vec![], vec![], vec![], b"noiseno colon".to_vec()]);
    assert_eq!(written, vector("answer-reasons"));
    let read = decode("answer-reasons", 2).unwrap();
    assert_eq!(read.verdicts.iter().map(|verdict| VerdictEntry::decode(verdict).unwrap()).collect::<Vec<_>>(), verdicts);

    let verdicts = [
        VerdictEntry { kind: Kind::Hold, ..store },
        VerdictEntry { kind: Kind::Hold, ..store },
        VerdictEntry { reason: (0, 5), joined: Some(0), ..store },
    ];
    let written = answer(3, [flat(&verdicts), vec![], vec![], vec![], vec![], b"a b c".to_vec()]);
    assert_eq!(written, vector("answer-joined"));
    let read = decode("answer-joined", 3).unwrap();
    assert_eq!(read.verdicts.iter().map(|verdict| VerdictEntry::decode(verdict).unwrap()).collect::<Vec<_>>(), verdicts);

    let emissions = [
        EmissionEntry { topic: (0, 5), payload: (0, 0, WHOLE), headers: 1, with_headers: true },
        EmissionEntry { topic: (0, 5), payload: (1, 12, 5), headers: 0, with_headers: false },
    ];
    let header = HeaderEntry { name: (5, 3), value: (1, 8, 4) };
    let verdicts = [VerdictEntry { emissions: 2, ..store }];
    let written = answer(
        1,
        [
            flat(&verdicts),
            vec![],
            vec![],
            emissions.iter().flat_map(EmissionEntry::encode).collect(),
            header.encode().to_vec(),
            b"auditwhytestbuilt".to_vec(),
        ],
    );
    assert_eq!(written, vector("answer-emissions"));
    let read = decode("answer-emissions", 1).unwrap();
    assert_eq!(read.emissions.iter().map(EmissionEntry::decode).collect::<Vec<_>>(), emissions);
    assert_eq!(read.headers.iter().map(HeaderEntry::decode).collect::<Vec<_>>(), [header]);

    for (name, expected) in [
        ("refused-version", "is of another version"),
        ("refused-outside", "points outside of the filter's memory"),
        ("refused-half", "has half an entry at the end of a section"),
    ] {
        assert_eq!(decode(name, 1).err(), Some(FrameError(expected)), "{name}");
    }
    let verdict = decode("refused-verdict", 1).unwrap().verdicts[0];
    assert_eq!(VerdictEntry::decode(&verdict), Err(FrameError("has an unknown verdict")));
}

fn decode(name: &str, records: usize) -> Result<Answer<'static>, FrameError> {
    let bytes: &'static [u8] = Box::leak(vector(name).into_boxed_slice());
    Answer::decode(bytes, pack(0, u32::try_from(bytes.len()).unwrap()), records, 1000)
}

#[test]
fn answers_to_init_are_read() {
    let ready = vector("init-ready");
    let Ok(InitAnswer::Ready { needs_payload: true, reads_all: false, count: 2, reads, schema: 0 }) =
        InitAnswer::decode(&ready)
    else {
        panic!()
    };
    assert_eq!(Names(reads).collect::<Result<Vec<_>, _>>(), Ok(vec![&b"level"[..], b"host"]));
    assert!(matches!(
        InitAnswer::decode(&vector("init-state")),
        Ok(InitAnswer::Ready { needs_payload: false, reads_all: true, count: 0, reads: [], schema: 3 })
    ));
    assert!(matches!(InitAnswer::decode(&vector("init-refused")), Ok(InitAnswer::Refused(b"`field` must be a string"))));
}

/// The short way says what the long one says, and says nothing of entries that set no string.
#[test]
fn an_entry_that_sets_a_string_is_read_either_way() {
    let (name, slot, at, len) = (0x00ab_cdef, 2, 7, u32::MAX);
    let bodies = [Body::Str { slot, at, len }, Body::None, Body::Int(-1), Body::Float(0.5), Body::Bool(true)];
    for body in bodies {
        for operation in [Operation::Set, Operation::Add, Operation::Remove, Operation::AddNew] {
            let entry = ValueEntry { name, operation, body };
            let bytes = entry.encode();
            assert_eq!(ValueEntry::decode(&bytes), Ok(entry));
            let is_set_str = operation == Operation::Set && matches!(body, Body::Str { .. });
            assert_eq!(StrEntry::decode(&bytes), is_set_str.then_some(StrEntry { name, slot, at, len }));
        }
    }
}
