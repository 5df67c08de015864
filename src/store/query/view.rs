//! One row group while it is being read: columns are decoded when they are first asked for, once.
//!
//! A damaged chunk is counted and then behaves as if no row had a value in it; the rest of the group is read on.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::out::{OutValue, SortView, virtual_field};
use crate::base::predicate::Number;
use crate::base::row;
use crate::store::StoreError;
use crate::store::source::{Chunk, Kind, Lineage, Source, list_items};
use crate::store::typed::{as_number, put_number};

/// A row group of a source.
#[derive(Debug)]
pub struct GroupView<'a> {
    /// The source.
    pub source: &'a dyn Source,
    /// The topic's name.
    pub topic: Arc<str>,
    /// Which of its groups.
    pub group: usize,
    /// How many rows it has.
    pub rows: usize,
    times: OnceCell<Vec<i64>>,
    lineage: OnceCell<Option<Lineage>>,
    /// By column: there may be thousands.
    chunks: RefCell<FxHashMap<usize, Option<Rc<Chunk>>>>,
    /// Chunks of raw bytes as text, once somebody asked for one as such.
    texts: Texts,
    /// Chunks that could not be read.
    pub damaged: Cell<u64>,
    /// Bytes of the columns that were decoded.
    pub bytes: Cell<u64>,
}

/// A value as it lies in a chunk.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Datum<'a> {
    /// The row has none.
    Missing,
    /// A string.
    Str(&'a [u8]),
    /// A list, as [`list_items`] reads it.
    List(&'a [u8]),
    /// A string that is this number divided by ten to the power of the second.
    Number(i64, u8),
    /// A whole number.
    Int(i64),
    /// A decimal number.
    Float(f64),
    /// Yes or no.
    Bool(bool),
    /// An instant.
    Time(i64),
}

impl<'a> Datum<'a> {
    /// What an entry of a dictionary is in a column of this kind; missing where it is nothing of it.
    pub fn of_entry(kind: Kind, entry: &'a [u8]) -> Self {
        let text = || std::str::from_utf8(entry).ok();
        let value = match kind {
            Kind::Str => Some(Self::Str(entry)),
            Kind::List => Some(Self::List(entry)),
            Kind::Int => text().and_then(|text| text.parse().ok()).map(Self::Int),
            Kind::Float => text().and_then(|text| text.parse().ok()).map(Self::Float),
            Kind::Bool => text().and_then(|text| text.parse().ok()).map(Self::Bool),
        };
        value.unwrap_or(Self::Missing)
    }
}

/// Texts of chunks, one after the other; they stay where they are while more come.
#[derive(Debug, Default)]
struct Texts(OnceCell<Box<Written>>);

/// A chunk, its text if it is not text itself, and the next ones.
#[derive(Debug)]
struct Written {
    chunk: Rc<Chunk>,
    text: Option<Chunk>,
    next: Texts,
}

impl Texts {
    /// A chunk with strings that can be pointed to.
    fn of<'a>(&'a self, chunk: &'a Rc<Chunk>) -> &'a Chunk {
        let write = || Box::new(Written { chunk: Rc::clone(chunk), text: chunk.to_text(), next: Self::default() });
        let own = self.0.get_or_init(write);
        if Rc::ptr_eq(&own.chunk, chunk) { own.text.as_ref().unwrap_or(chunk) } else { own.next.of(chunk) }
    }
}

/// Reads one field of a group, whatever kinds its chunks have.
#[derive(Clone, Debug)]
pub enum FieldReader {
    /// `_time`.
    Time,
    /// `_topic`.
    Topic,
    /// `_partition`.
    Partition,
    /// `_offset`.
    Offset,
    /// `_n`.
    N,
    /// `_generation`.
    Generation,
    /// Columns of this name; at most one has a value in any row.
    Chunks(Vec<(Kind, Rc<Chunk>)>),
}

/// The virtual field of this name.
pub fn virtual_reader(name: &str) -> Option<FieldReader> {
    Some(match name {
        row::TIME => FieldReader::Time,
        virtual_field::TOPIC => FieldReader::Topic,
        virtual_field::PARTITION => FieldReader::Partition,
        virtual_field::OFFSET => FieldReader::Offset,
        virtual_field::N => FieldReader::N,
        virtual_field::GENERATION => FieldReader::Generation,
        _ => return None,
    })
}

impl<'a> GroupView<'a> {
    /// Nothing decoded yet.
    pub fn new(source: &'a dyn Source, topic: Arc<str>, group: usize) -> Self {
        let rows = source.rows(group);
        let (times, lineage, chunks) = (OnceCell::new(), OnceCell::new(), RefCell::default());
        let texts = Texts::default();
        let (damaged, bytes) = (Cell::new(0), Cell::new(0));
        Self { source, topic, group, rows, times, lineage, chunks, texts, damaged, bytes }
    }

    fn sound<T>(&self, read: Result<T, StoreError>) -> Option<T> {
        match read {
            Ok(value) => Some(value),
            Err(_) => {
                self.damaged.set(self.damaged.get() + 1);
                None
            }
        }
    }

    /// The rows' times; where they are damaged, the group's earliest time for all.
    pub fn times(&self) -> &[i64] {
        self.times.get_or_init(|| {
            let read = self.sound(self.source.times(self.group)).filter(|times| times.len() == self.rows);
            read.unwrap_or_else(|| vec![self.source.time_bounds(self.group).0; self.rows])
        })
    }

    /// Where the rows came from; none where that is damaged.
    pub fn lineage(&self) -> Option<&Lineage> {
        let lineage = self.lineage.get_or_init(|| {
            let whole = |lineage: &Lineage| {
                lineage.partitions.len() == self.rows
                    && lineage.offsets.len() == self.rows
                    && lineage.ns.len() == self.rows
                    && lineage.generations.len() == self.rows
            };
            self.sound(self.source.lineage(self.group)).filter(whole)
        });
        lineage.as_ref()
    }

    /// A column's chunk; none where no row has a value.
    pub fn chunk(&self, column: usize) -> Option<Rc<Chunk>> {
        if let Some(chunk) = self.chunks.borrow().get(&column) {
            return chunk.clone();
        }
        let whole = |chunk: &Chunk| chunk.rows() >= self.rows;
        let chunk = self.sound(self.source.column(self.group, column)).flatten().filter(whole).map(Rc::new);
        self.bytes.set(self.bytes.get() + chunk.as_deref().map_or(0, chunk_bytes));
        self.chunks.borrow_mut().insert(column, chunk.clone());
        chunk
    }

    /// A field of this name.
    pub fn field(&self, name: &str) -> FieldReader {
        let columns = self.source.columns();
        self.field_of(name, (0..columns.len()).filter(|&index| *columns[index].name == *name))
    }

    /// A field, if it is known which columns have its name.
    pub fn field_of(&self, name: &str, columns: impl Iterator<Item = usize>) -> FieldReader {
        virtual_reader(name).unwrap_or_else(|| {
            if name == row::PAYLOAD {
                // Never a column of that name: nobody forges what a row was made of.
                let payload = self.sound(self.source.payload(self.group)).flatten();
                return FieldReader::Chunks(payload.map(|chunk| (Kind::Str, Rc::new(chunk))).into_iter().collect());
            }
            let kind = |index: usize| self.source.columns().get(index).map(|column| column.kind);
            FieldReader::Chunks(columns.filter_map(|index| Some((kind(index)?, self.chunk(index)?))).collect())
        })
    }

    /// A field's value in a row.
    pub fn get<'v>(&'v self, reader: &'v FieldReader, row: usize) -> Datum<'v> {
        let lineage = || self.lineage();
        let int = |value: Option<i64>| value.map_or(Datum::Missing, Datum::Int);
        match reader {
            FieldReader::Time => self.times().get(row).map_or(Datum::Missing, |&ns| Datum::Time(ns)),
            FieldReader::Topic => Datum::Str(self.topic.as_bytes()),
            FieldReader::Partition => int(lineage().and_then(|lineage| lineage.partitions.get(row)).map(|&n| i64::from(n))),
            FieldReader::Offset => {
                int(lineage().and_then(|lineage| lineage.offsets.get(row)).and_then(|&n| i64::try_from(n).ok()))
            }
            FieldReader::N => int(lineage().and_then(|lineage| lineage.ns.get(row)).map(|&n| i64::from(n))),
            FieldReader::Generation => int(lineage().and_then(|lineage| lineage.generations.get(row)).map(|&n| i64::from(n))),
            FieldReader::Chunks(chunks) => {
                for (kind, chunk) in chunks {
                    let pointed = if matches!(&**chunk, Chunk::Fixed { .. }) { self.texts.of(chunk) } else { chunk };
                    let datum = chunk_value(*kind, pointed, row);
                    if datum != Datum::Missing {
                        return datum;
                    }
                }
                Datum::Missing
            }
        }
    }
}

impl GroupView<'_> {
    /// A field's value in a row as one of an answer: for few rows, since it makes no text of the others.
    pub fn out(&self, reader: &FieldReader, row: usize) -> Option<OutValue> {
        if let FieldReader::Chunks(chunks) = reader
            && chunks.iter().any(|(_, chunk)| matches!(&**chunk, Chunk::Fixed { .. }))
        {
            let mut scratch = Vec::new();
            let mut values = chunks.iter();
            return values.find_map(|(kind, chunk)| match &**chunk {
                Chunk::Fixed { .. } => chunk.text_of(row, &mut scratch).map(|text| OutValue::Str(text.into())),
                other => chunk_value(*kind, other, row).to_out(),
            });
        }
        self.get(reader, row).to_out()
    }
}

/// Bytes of a decoded chunk; a dictionary is shared, and not counted.
pub fn chunk_bytes(chunk: &Chunk) -> u64 {
    let bytes = match chunk {
        Chunk::Dict { codes, .. } => codes.len() * 4,
        Chunk::Text { ends, bytes, .. } => ends.len() * 4 + bytes.len(),
        Chunk::Int { values, .. } | Chunk::Number { values, .. } => values.len() * 8,
        Chunk::Fixed { bytes, .. } => bytes.len(),
        Chunk::Float { values, .. } => values.len() * 8,
        Chunk::Bool { values, .. } => values.len(),
    };
    bytes as u64
}

/// The bytes of a row of a text chunk.
pub fn text_value<'a>(ends: &[u32], bytes: &'a [u8], row: usize) -> &'a [u8] {
    let start = if row == 0 { 0 } else { ends.get(row - 1).copied().unwrap_or(0) as usize };
    let end = ends.get(row).copied().unwrap_or(0) as usize;
    bytes.get(start..end).unwrap_or(&[])
}

/// A row's value in a chunk; none where it is raw bytes, which must be made text first.
pub fn chunk_value(kind: Kind, chunk: &Chunk, row: usize) -> Datum<'_> {
    let bytes = |bytes| if kind == Kind::List { Datum::List(bytes) } else { Datum::Str(bytes) };
    match chunk {
        Chunk::Dict { codes, dict } => match codes.get(row) {
            None | Some(0) => Datum::Missing,
            Some(code) => bytes(dict.entry(*code as usize - 1)),
        },
        Chunk::Text { ends, bytes: all, present } if present.has(row) => bytes(text_value(ends, all, row)),
        Chunk::Number { values, digits, present } if present.has(row) => {
            values.get(row).map_or(Datum::Missing, |&value| Datum::Number(value, *digits))
        }
        Chunk::Int { values, present } if present.has(row) => {
            values.get(row).map_or(Datum::Missing, |&value| Datum::Int(value))
        }
        Chunk::Float { values, present } if present.has(row) => {
            values.get(row).map_or(Datum::Missing, |&value| Datum::Float(value))
        }
        Chunk::Bool { values, present } if present.has(row) => {
            values.get(row).map_or(Datum::Missing, |&value| Datum::Bool(value))
        }
        _ => Datum::Missing,
    }
}

impl<'a> Datum<'a> {
    /// As a value of an answer; none if missing.
    pub fn to_out(self) -> Option<OutValue> {
        Some(match self {
            Self::Missing => return None,
            Self::Str(bytes) => OutValue::Str(bytes.into()),
            Self::List(entry) => OutValue::List(list_items(entry).map(Into::into).collect()),
            Self::Number(value, digits) => {
                let mut text = Vec::with_capacity(24);
                put_number(&mut text, value, digits);
                OutValue::Str(text.into())
            }
            Self::Int(int) => OutValue::Int(int),
            Self::Float(float) => OutValue::Float(float),
            Self::Bool(bool) => OutValue::Bool(bool),
            Self::Time(ns) => OutValue::Time(ns),
        })
    }

    /// As it is sorted: a list by its first item.
    pub fn sort_view(self) -> SortView<'a> {
        match self {
            Self::Missing => SortView::Missing,
            Self::Str(bytes) => SortView::of_bytes(bytes),
            Self::List(entry) => list_items(entry).next().map_or(SortView::Missing, SortView::of_bytes),
            Self::Number(value, digits) => SortView::Number(as_number(value, digits)),
            Self::Int(int) | Self::Time(int) => SortView::Number(Number::Int(int)),
            Self::Float(float) => SortView::Number(Number::Float(float)),
            Self::Bool(bool) => SortView::Bytes(if bool { b"true" } else { b"false" }),
        }
    }
}

/// The numbers in an answer's value or a stored one: of a list, each item that reads as one; yes is 1 and no is 0.
pub fn each_number(datum: Datum<'_>, mut see: impl FnMut(Number)) {
    match datum {
        Datum::Number(value, digits) => see(as_number(value, digits)),
        Datum::Int(int) | Datum::Time(int) => see(Number::Int(int)),
        Datum::Float(float) => see(Number::Float(float)),
        Datum::Str(bytes) => {
            if let Some(number) = Number::parse(bytes) {
                see(number);
            }
        }
        Datum::List(entry) => list_items(entry).filter_map(Number::parse).for_each(see),
        Datum::Bool(bool) => see(Number::Int(i64::from(bool))),
        Datum::Missing => {}
    }
}
