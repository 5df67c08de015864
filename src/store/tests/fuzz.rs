//! Fuzz targets: what nobody vouches for, made by chance from what is almost right, so that it comes past the checksums.
//!
//! `cargo test` runs each for a moment; `tests/README.md` says how to run one for an hour, or with libFuzzer.
//! * **parts**: a part whose chunks, dictionaries, sections or footer were changed and whose checksums were made to fit again is read,
//!   queried and merged: nothing panics, and what comes out has the shape that queries rely on;
//! * **templates and dictionaries**: any bytes; what is read writes itself again;
//! * **commits**: a log whose entries were changed opens, and the store goes on.
//!
//! `fuzz_queries.rs` has the query language's.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bolero::TypeGenerator;

use super::super::part::bits::Reader;
use super::super::part::chunk::{CHUNK_BYTES, encoding};
use super::super::part::dictionary::{DICT_BYTES, Entries, encode_block, unpack_block};
use super::super::part::directory::{
    ChunkRef, ColumnDir, Holds, Span, decode_columns, decode_footer, decode_groups, encode_columns, encode_footer,
    encode_groups, pack_section, unpack_section,
};
use super::super::part::{derive, template};
use super::super::query::{Cancel, Limits, Request, parse, run};
use super::super::source::{Chunk, Column, Dict, Kind, Present, Source};
use super::super::tools::{Look, repair};
use super::super::{Config, Store};
use super::fixtures::{bytes_of, fill};
use super::{Owned, TODAY, TestRow, rows};
use crate::base::clock::SimClock;
use crate::base::disk::Disk;
use crate::base::disk::sim::SimDisk;
use crate::base::ids::TopicId;
use crate::base::journal::{Journal, Look as JournalLook};
use crate::base::row::KeepPayload;

/// A change to bytes.
#[derive(Clone, Debug, TypeGenerator)]
pub enum Edit {
    Set(u16, u8),
    Cut(u16),
    Zero(u16, u8),
    Copy(u16, u16, u8),
    Insert(u16, Vec<u8>),
}

/// Places are taken modulo the length, so that every edit hits.
pub fn edit(bytes: &mut Vec<u8>, edits: &[Edit]) {
    for edit in edits.iter().take(6) {
        let len = bytes.len();
        if len == 0 {
            return;
        }
        let place = |at: &u16| usize::from(*at) % len;
        match edit {
            Edit::Set(at, byte) => bytes[place(at)] = *byte,
            Edit::Cut(at) => bytes.truncate(place(at)),
            Edit::Zero(at, count) => {
                let end = (place(at) + usize::from(*count)).min(len);
                bytes[place(at)..end].fill(0);
            }
            Edit::Copy(from, to, count) => {
                let count = usize::from(*count).min(len - place(from)).min(len - place(to));
                bytes.copy_within(place(from)..place(from) + count, place(to));
            }
            Edit::Insert(at, some) => {
                let at = place(at);
                bytes.splice(at..at, some.iter().copied().take(300));
            }
        }
    }
}

pub fn open(disk: &Arc<SimDisk>) -> Arc<Store> {
    let config = Config { merge_parts: 2, ..Config::default() };
    Store::open_idle(disk.clone(), Arc::new(SimClock::at(TODAY)), config).unwrap().0
}

fn put(disk: &SimDisk, path: &Path, bytes: &[u8]) {
    disk.create_dir_all(path.parent().unwrap()).unwrap();
    let file = disk.open(path, true).unwrap();
    file.set_len(0).unwrap();
    file.write_at(bytes, 0).unwrap();
    file.sync_data().unwrap();
    disk.sync_dir(path.parent().unwrap()).unwrap();
}

pub type Files = Vec<(PathBuf, Vec<u8>)>;

/// Files of a store that has everything (see `fixtures.rs`), made once.
pub fn everything() -> &'static Files {
    static FILES: OnceLock<Files> = OnceLock::new();
    FILES.get_or_init(|| {
        let disk = SimDisk::new(1);
        let store = open(&disk);
        fill(&store);
        // Payloads, those made of their rows and those that no row gives.
        let texts: Vec<String> =
            (0..40).map(|i| format!("{{\"app\":\"shop-{}\",\"n\":{i},\"x\":[{}]}}", i % 3, i / 30)).collect();
        let row = |i: u64| TestRow {
            time_ns: TODAY,
            arrival_ns: TODAY,
            offset: i,
            n: 0,
            cells: vec![
                ("app".into(), Owned::Str(format!("shop-{}", i % 3).into_bytes())),
                ("n".into(), Owned::Int(i.cast_signed())),
            ],
        };
        let made: Vec<TestRow> = (0..40).map(row).collect();
        let mut kept = rows(&made);
        (kept.payloads, kept.keep) = (texts.iter().map(|text| Some(text.as_bytes())).collect(), KeepPayload::Always);
        kept.records = super::envelope::some_records(40);
        store.append(TopicId::from_bytes([4; 16]), "kept", 0, 1, &kept, 40).unwrap();
        store.flush_all().unwrap();
        drop(store);
        disk.files().into_iter().map(|(path, _)| (path.clone(), bytes_of(&*disk, &path))).collect()
    })
}

pub fn disk_of(files: &Files) -> Arc<SimDisk> {
    let disk = SimDisk::new(1);
    files.iter().for_each(|(path, bytes)| put(&disk, path, bytes));
    disk
}

/// What is changed of a part.
#[derive(Clone, Debug, TypeGenerator)]
enum Change {
    /// A chunk's bytes, perhaps its encoding.
    Chunk(u8, u8, Option<u8>, Vec<Edit>),
    /// A block of a dictionary.
    Block(u8, Vec<Edit>),
    Templates(Vec<Edit>),
    Groups(Vec<Edit>),
    Columns(Vec<Edit>),
    Lineage(Vec<Edit>),
    /// Where a section lies.
    Section(u8, u64, u64),
    /// How many rows the footer says.
    Rows(u8),
    /// Any byte, and no checksum fits.
    Raw(Vec<Edit>),
}

#[derive(Clone, Debug, TypeGenerator)]
struct FuzzPart {
    which: u8,
    change: Change,
    also: Option<Change>,
}

impl FuzzPart {
    /// A part with changes, whose checksums fit all the same, but where the change is one of raw bytes.
    fn bytes(&self, of: &[u8]) -> Vec<u8> {
        let mut footer = decode_footer(of).unwrap();
        let body = |span: Span| &of[range(span.offset, span.length)];
        let unpacked = |at: usize| match footer.sections[at].length {
            0 => Vec::new(),
            _ => unpack_section(body(footer.sections[at])).unwrap(),
        };
        let [mut templates, mut groups, mut columns, mut lineage] = [3, 4, 5, 6].map(unpacked);
        let mut out = of[..range(0, footer.sections[3].offset).end].to_vec();
        let mut dirs = decode_columns(&columns).unwrap();
        let mut table = decode_groups(&groups, dirs.len()).unwrap();
        let changes = || [&self.change].into_iter().chain(&self.also);
        for change in changes() {
            match change {
                Change::Chunk(group, which, as_encoding, edits) => {
                    let at = usize::from(*group) % table.len();
                    let chunks = &mut table[at].chunks;
                    let at = usize::from(*which) % chunks.len();
                    let chunk: &mut ChunkRef = &mut chunks[at];
                    let mut bytes = out[range(chunk.offset, chunk.length)].to_vec();
                    edit(&mut bytes, edits);
                    (chunk.offset, chunk.length) = append(&mut out, &bytes);
                    // Mostly an encoding that there is.
                    let all =
                        [encoding::CONST, encoding::FRAME, encoding::DELTA, encoding::CODES, encoding::ZSTD, encoding::DERIVED];
                    if let Some(number) = as_encoding {
                        chunk.encoding = all.get(usize::from(*number) % 16).copied().unwrap_or(*number);
                    }
                    groups = encode_groups(&table);
                }
                Change::Block(which, edits) => {
                    let mut blocks: Vec<_> = dirs.iter_mut().flat_map(|dir| dir.blocks.iter_mut()).collect();
                    let count = blocks.len().max(1);
                    let Some(block) = blocks.get_mut(usize::from(*which) % count) else { continue };
                    let frame = &out[range(block.span.offset, block.span.length)];
                    let mut raw = unpack_block(frame, block).unwrap();
                    edit(&mut raw, edits);
                    let frame = zstd::bulk::compress(&raw, 1).unwrap();
                    (block.span.offset, block.span.length) = append(&mut out, &frame);
                    block.unpacked = raw.len() as u64;
                    columns = encode_columns(&dirs);
                }
                _ => {}
            }
        }
        for change in changes() {
            match change {
                Change::Templates(edits) => edit(&mut templates, edits),
                Change::Groups(edits) => edit(&mut groups, edits),
                Change::Columns(edits) => edit(&mut columns, edits),
                Change::Lineage(edits) => edit(&mut lineage, edits),
                _ => {}
            }
        }
        for (at, section) in (3..).zip([templates, groups, columns, lineage]) {
            let packed = if section.is_empty() { Vec::new() } else { pack_section(&section).unwrap() };
            footer.sections[at] = Span { offset: out.len() as u64, length: packed.len() as u64, crc: crc32c::crc32c(&packed) };
            out.extend_from_slice(&packed);
        }
        for change in changes() {
            match change {
                Change::Section(which, offset, length) => {
                    let span = &mut footer.sections[usize::from(*which) % 7];
                    (span.offset, span.length) = (*offset, *length);
                }
                Change::Rows(rows) => footer.rows = footer.rows.wrapping_add(u64::from(*rows)).wrapping_sub(100),
                _ => {}
            }
        }
        out.extend_from_slice(&encode_footer(&footer));
        for change in changes() {
            if let Change::Raw(edits) = change {
                edit(&mut out, edits);
            }
        }
        out
    }
}

fn range(offset: u64, length: u64) -> std::ops::Range<usize> {
    usize::try_from(offset).unwrap()..usize::try_from(offset + length).unwrap()
}

/// Adds bytes with their checksum; where, and how many.
fn append(out: &mut Vec<u8>, bytes: &[u8]) -> (u64, u64) {
    let offset = out.len() as u64;
    out.extend_from_slice(bytes);
    out.extend_from_slice(&crc32c::crc32c(bytes).to_le_bytes());
    (offset, bytes.len() as u64)
}

/// What queries rely on, whatever the bytes are.
fn is_well_shaped(chunk: &Chunk, rows: usize) {
    let words = |present: &Present| match present {
        Present::All => {}
        Present::Some(words) => assert_eq!(words.len(), rows.div_ceil(64)),
    };
    match chunk {
        Chunk::Dict { codes, dict } => {
            assert_eq!(codes.len(), rows);
            assert!(codes.iter().all(|code| *code as usize <= dict.len()));
            assert!(dict.bytes.len() <= DICT_BYTES && dict.ends.is_sorted());
        }
        Chunk::Text { ends, bytes, present } => {
            words(present);
            assert_eq!(ends.len(), rows);
            assert!(ends.is_sorted() && ends.last().is_none_or(|end| *end as usize == bytes.len()));
            assert!(bytes.len() <= CHUNK_BYTES * 2);
        }
        Chunk::Int { values, present } => {
            words(present);
            assert_eq!(values.len(), rows);
        }
        Chunk::Float { values, present } => {
            words(present);
            assert_eq!(values.len(), rows);
        }
        Chunk::Bool { values, present } => {
            words(present);
            assert_eq!(values.len(), rows);
        }
        // What other kinds of chunks there may be is for their own tests.
        #[allow(unreachable_patterns)]
        _ => {}
    }
}

fn read_all(source: &dyn Source) -> u64 {
    let mut good = 0;
    for group in 0..source.groups().min(100) {
        let rows = source.rows(group);
        assert!(rows <= 8192);
        let _any = (source.time_bounds(group), source.deleted(group));
        if let Ok(times) = source.times(group) {
            assert_eq!(times.len(), rows);
        }
        if let Ok(runs) = source.runs(group) {
            assert!(runs.iter().map(|run| run.rows).sum::<usize>() <= rows);
        }
        if let Ok(lineage) = source.lineage(group) {
            assert_eq!((lineage.offsets.len(), lineage.ns.len()), (rows, rows));
        }
        if let Ok(Some(payloads)) = source.payload(group) {
            is_well_shaped(&payloads, rows);
        }
        if let Ok(Some(envelopes)) = source.envelopes(group) {
            let _listed = envelopes.listed(rows);
        }
        for column in 0..source.columns().len() {
            let _bounds = source.bounds(group, column);
            if let Ok(Some(chunk)) = source.column(group, column) {
                is_well_shaped(&chunk, rows);
                good += 1;
            }
        }
    }
    for column in 0..source.columns().len() {
        if let (Ok(Some(dict)), Ok(Some(counts))) = (source.dict(column), source.dict_counts(column)) {
            assert_eq!(dict.len(), counts.len());
        }
    }
    good
}

pub const QUERIES: [&str; 7] = [
    "*",
    "shop-1 status>=300",
    "message:~\"item.*4\" | sort -size | limit 5",
    "tags:web or ids:x* | stats count(), sum(size), p90(took), count_distinct(clientip) by bin(1m), status",
    "* | top 5 request",
    "ok:true took<2.5 -rare:*",
    "clientip:10.0.0.0/29 | fields clientip, message, far",
];

pub fn ask(store: &Store, text: &str) -> bool {
    let Ok(query) = parse(text) else { return false };
    let limits = Limits { threads: 1, alone: Duration::ZERO, groups: 10_000, bytes: 4 << 20, sorted: 1000, page: 500 };
    let request = Request { limit: 700, limits, ..Request::new(query) };
    let cancel = Cancel::new(Arc::new(SimClock::at(TODAY)));
    let mut rows = 0;
    let done = run(store, &request, &cancel, &mut |row| {
        let _json = row.to_json();
        rows += 1;
        ControlFlow::Continue(())
    });
    done.is_ok()
}

#[test]
fn fuzz_parts() {
    let files = everything();
    let parts: Vec<usize> = (0..files.len()).filter(|at| files[*at].0.extension().is_some_and(|kind| kind == "part")).collect();
    let hits = std::sync::Mutex::new([0u32; 2]);
    bolero::check!().with_iterations(150).with_type::<FuzzPart>().for_each(|fuzz| {
        let mut own = files.clone();
        let at = parts[usize::from(fuzz.which) % parts.len()];
        own[at].1 = fuzz.bytes(&files[at].1);
        let disk = disk_of(&own);
        let store = open(&disk);
        let mut good = 0;
        for source in store.snapshot(None, None, None).sources {
            good += read_all(&*source);
        }
        assert!(good > 0, "the other parts are there");
        assert!(QUERIES.iter().all(|query| ask(&store, query)));
        let merged = store.merge_all();
        assert!(merged.is_ok(), "{merged:?}");
        drop(store);
        let look = Look::at(disk.clone()).unwrap();
        let findings = look.verify(&mut |_| {}).unwrap().findings;
        let is_lost = findings.iter().any(|finding| finding.costs.starts_with("all of its"));
        hits.lock().unwrap()[usize::from(is_lost)] += 1;
        let _any = (look.parts().unwrap(), look.columns(None));
        if let Ok(plan) = look.plan_repair(true, TODAY, &mut |_| {}) {
            let _done = repair::apply(&look, plan);
        }
        let store = open(&disk);
        store.snapshot(None, None, None).sources.iter().for_each(|source| {
            read_all(&**source);
        });
    });
    let hits = hits.into_inner().unwrap(); // parts that can still be opened, and others
    assert!(hits.iter().all(|count| *count > 5), "the target does not hit: {hits:?}");
}

#[test]
fn fuzz_templates() {
    let kinds = [Kind::Str, Kind::Int, Kind::Float, Kind::List, Kind::Bool];
    let dirs =
        kinds.map(|kind| ColumnDir { column: Column { name: "f".into(), kind }, blocks: Vec::new(), holds: Holds::Values });
    let seed = {
        use template::{Piece, Stamp, Template, Templates};
        let iso = Stamp::Iso { separator: b'T', mark: b'.', digits: 3, zone: 2, minutes: -90 };
        let pieces = vec![
            Piece::Literal(b"from ".to_vec()),
            Piece::Field(0),
            Piece::Time(iso),
            Piece::Field(2),
            Piece::Time(Stamp::Clf { minutes: 60 }),
            Piece::Field(1),
        ];
        let shape = Template { pieces: vec![Piece::Literal(b"{".to_vec()), Piece::Json(3)] };
        template::encode(&Templates { messages: vec![Template { pieces }, Template::default()], payloads: vec![shape] })
    };
    let chunk_seed = [&[3u8, 0, 2, 0b10_01_00][..], &[40, 1, 1, 4, b'a', b'b']].concat();
    bolero::check!().with_iterations(4_000).with_type::<(Vec<Edit>, Vec<Edit>, Vec<u8>, u8)>().for_each(
        |(edits, chunk_edits, any, rows)| {
            let _any = template::decode(any, &dirs);
            let mut bytes = seed.clone();
            edit(&mut bytes, edits);
            let Some(templates) = template::decode(&bytes, &dirs) else { return };
            // Of none nothing is written.
            if templates != template::Templates::default() {
                assert_eq!(template::decode(&template::encode(&templates), &dirs).as_ref(), Some(&templates));
            }
            let rows = usize::from(*rows % 9);
            let text = Chunk::Text { ends: vec![2; rows], bytes: b"ab".to_vec(), present: Present::All };
            let int = Chunk::Int { values: vec![i64::MIN; rows], present: Present::All };
            let float = Chunk::Float { values: vec![f64::NAN; rows], present: Present::Some(vec![5]) };
            let fields = derive::Fields { columns: vec![Some(text), Some(int), Some(float)], times: vec![i64::MAX; rows] };
            let mut chunk = chunk_seed.clone();
            edit(&mut chunk, chunk_edits);
            for bytes in [&chunk, any] {
                if let Some(made) = derive::decode(&mut Reader(bytes), rows, Present::All, &templates.messages, &fields) {
                    is_well_shaped(&made, rows);
                }
            }
        },
    );
}

#[test]
fn fuzz_dictionaries() {
    bolero::check!().with_iterations(4_000).with_type::<(Vec<(Vec<u8>, u8)>, Vec<Edit>, u8)>().for_each(
        |(entries, edits, more)| {
            let mut sorted: Vec<(&[u8], u64)> = entries.iter().map(|(entry, count)| (&entry[..], u64::from(*count))).collect();
            sorted.sort_unstable();
            let whole = encode_block(sorted.iter().copied());
            let (mut dict, mut counts) = (Dict::default(), Vec::new());
            Entries::of(&whole, sorted.len()).unwrap().add_to(&mut dict, &mut counts, 2).unwrap();
            assert!((0..dict.len()).map(|at| (dict.entry(at), counts[at])).eq(sorted.iter().copied()));
            let mut wrong = whole.clone();
            edit(&mut wrong, edits);
            let (mut dict, mut counts) = (Dict::default(), Vec::new());
            let count = sorted.len() + usize::from(*more);
            let entries = Entries::of(&wrong, count);
            let bytes = entries.as_ref().map_or(0, |entries| entries.bytes);
            if entries.and_then(|entries| entries.add_to(&mut dict, &mut counts, 1)).is_some() {
                assert_eq!(dict.bytes.len(), bytes);
                assert_eq!((dict.len(), counts.len()), (count, count));
                assert!(dict.ends.is_sorted());
            }
        },
    );
}

#[test]
fn fuzz_commits() {
    let files = everything();
    let log = files.iter().position(|(path, _)| path.ends_with("COMMITS")).unwrap();
    type Changes = (Vec<(u8, Vec<Edit>)>, Vec<Edit>, Option<Vec<u8>>);
    bolero::check!().with_iterations(250).with_type::<Changes>().for_each(|(entries, raw, own)| {
        let mut all = files.clone();
        let disk = disk_of(files);
        let path = all[log].0.clone();
        let mut payloads: Vec<Vec<u8>> =
            JournalLook::at(&*disk, &path).unwrap().entries.into_iter().map(|(_, payload)| payload).collect();
        let count = payloads.len();
        for (which, edits) in entries.iter().take(4) {
            edit(&mut payloads[usize::from(*which) % count], edits);
        }
        payloads.extend(own.clone());
        disk.remove_file(&path).unwrap();
        let (mut journal, ..) = Journal::open(disk.clone(), &path).unwrap();
        payloads.iter().for_each(|payload| journal.append(payload).unwrap());
        all[log].1 = bytes_of(&*disk, &path);
        edit(&mut all[log].1, raw);
        let disk = disk_of(&all);
        let look = Look::at(disk.clone());
        let opened = Store::open_idle(disk.clone(), Arc::new(SimClock::at(TODAY)), Config::default());
        let (Ok(look), Ok((store, _))) = (look, opened) else { return };
        let _any = look.verify(&mut |_| {}).unwrap();
        store.snapshot(None, None, None).sources.iter().for_each(|source| {
            read_all(&**source);
        });
        let _any: Vec<_> = store.stats().iter().map(|topic| store.keyed(topic.topic, 1)).collect();
        let row = TestRow {
            time_ns: TODAY,
            arrival_ns: TODAY,
            offset: 0,
            n: 0,
            cells: vec![("message".into(), Owned::Str(b"after".to_vec()))],
        };
        store.append(TopicId::new(), "fresh", 0, 1, &rows(&[row]), 1).unwrap();
        store.flush_all().unwrap();
        store.merge_all().unwrap();
        drop(store);
        let store = open(&disk);
        assert_eq!(store.stats().iter().filter(|topic| topic.name == "fresh").map(|topic| topic.rows).sum::<u64>(), 1);
    });
}
