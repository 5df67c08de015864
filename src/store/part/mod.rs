//! A part: an immutable file of row groups of one topic, the only kind of data file the store has.
//!
//! ```text
//! store/<topic id>/<yyyymmdd>/<number, 16 hex digits>.part        one UTC day
//! store/<topic id>/late/<number>.part                             late rows of many days
//!
//!   0  magic "SWBPART1" | version u16 | flags u16 | 0 u32          16 bytes; all numbers little-endian
//!  16  COLUMN DATA    column after column, group after group: chunk | crc32c u32          chunk.rs
//!                     and behind a column its pairs                                      pairs/
//!      DICTIONARIES   of each column that has one, sorted, blocks of 4,096 entries: zstd frame | crc32c u32   dictionary.rs
//!      PAIR INDEX     where the pairs of words and groups lie; empty in version 1         pairs/
//!      TEMPLATES      how messages and payloads are made of fields; empty where they are not   template.rs
//!      GROUP TABLE    rows, time bounds, and where each column's chunk lies               directory.rs
//!      COLUMN DIR     names, kinds, and where dictionary blocks lie                       directory.rs
//!      LINEAGE        runs of (partition, offset range, generation) in row order          directory.rs
//!      FOOTER         section table, identity, counts | crc32c u32 | length u32 | magic   directory.rs
//! ```
//!
//! Column after column, not group after group: a query reads a few columns of many groups, and a writer holds one column's
//! dictionary at a time. Codes and bits are read from the mapping; compressed chunks are unpacked whole.
//!
//! Columns of numbers that have few values have these in a dictionary too, for its counts; their chunks do without it (`write/few.rs`).
//!
//! Invariants: written once, synced, named in its directory durably, then committed; never changed after. Groups have at most
//! 8,192 rows. Dictionary entries are sorted bytewise and each is used by `count` > 0 rows of the part.
//! What is damaged costs itself: a chunk its column in its group, a dictionary its column (of numbers only the counts), the directory
//! the part; each is an error to who reads it, and never a panic.
//!
//! # Where the bytes are drawn
//! | what | where |
//! | --- | --- |
//! | varints, zigzag, packed numbers | `bits.rs` |
//! | chunks: presence, and a body for each encoding by its number | `chunk.rs`, and what it names |
//! | dictionaries | `dictionary.rs` |
//! | payloads, and what their records had beside them | `payload.rs`, `envelope.rs` |
//! | templates, and messages made by them | `template.rs`, `derive.rs` |
//! | group table, column directory, lineage, footer | `directory.rs` |
//! | which parts count, and masks over their rows | `commits.rs`, `mask.rs` beside this folder |
//!
//! # Versions
//! The version behind the magic is that of the newest thing in the format, not in this file: every part is written with
//! [`VERSION`]. A Sawbox reads all versions up to its own; of a newer part it says so (`store verify`, `store repair`), and
//! `store repair` then touches nothing.
//! * An encoding, a kind, a sort of template piece, something in a section that was empty: each makes a new version, for a reader
//!   before it would take it for damage. Two that come in one release share one.
//! * A number never gets another meaning, and is not used again when nobody writes it any more; its reader stays.
//! * Sections are seven, in this order. What needs more room than they have is a new magic.
//! * Parts are not written anew because they are old: merges do that in passing, and read what they merge by its own version.
//! * Each version has a fixture (`tests/fixtures`), made before the next one is begun; what is in it is read for good.
//!
//! What goes through a whole part (`survey.rs`: `store verify`, `store stats`) goes by the directory and [`crate::store::source`],
//! so that it needs no change for a new encoding but its name.
//!
//! Why not Parquet or Arrow: no lineage, no sorted dictionary over a whole file with counts, and readers far larger than this.

pub mod bits;
pub mod cache;
pub mod chunk;
pub mod derive;
pub mod dictionary;
pub mod directory;
pub mod envelope;
pub mod free;
pub mod inherit;
pub mod job;
pub mod json;
pub mod learn;
pub mod mixed;
pub mod out;
pub mod packed;
pub mod pairs;
pub mod payload;
pub mod ranked;
pub mod read;
pub mod shape;
pub mod split;
pub mod strings;
pub mod survey;
pub mod tally;
pub mod template;
pub mod typed;
pub mod write;

/// First and last bytes of a part.
pub const MAGIC: [u8; 8] = *b"SWBPART1";
/// What this Sawbox writes, and the newest that it reads. Version 2 has the encodings 4, 31, 52, 60 and 100 to 118 (`chunk.rs`),
/// strings of one field in up to three columns (`mixed.rs`), texts as shapes (`split.rs`), dictionaries of numbers, bounds of
/// decimals, and pairs (`pairs/`); all else is as in version 1.
pub const VERSION: u16 = 2;
/// Bytes before the column data.
pub const HEAD_BYTES: u64 = 16;
/// Chunks of these numbers in the group table are the rows' times, offsets and n; fields follow.
pub const TIME_COLUMN: u32 = 0;
/// Offsets.
pub const OFFSET_COLUMN: u32 = 1;
/// Which of the record's rows.
pub const N_COLUMN: u32 = 2;
/// Number of the first field.
pub const FIRST_FIELD: u32 = 3;
