//! Tests of the store as a whole, and what they share: rows that own their values, and a plain reading of a snapshot.

mod damage;
mod derived;
mod doubt;
mod envelope;
mod faults;
mod fixtures;
mod fuzz;
mod fuzz_queries;
mod keyed;
mod masks;
mod measure;
mod model;
mod pairs;
mod payload;
mod room;
mod schemas;
mod shapes;
mod split;
mod tools;
mod typed;
mod wide;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Snapshot;
use super::source::{Chunk, Counted, Source, list_items};
use crate::base::ids::{Generation, Offset, PartitionId, TopicId};
use crate::base::predicate::Number;
use crate::base::row::{Cell, RowHead, Rows, TIME_CLAIMED, Value, is_stores_own};
use crate::base::time::{self, DAY_NS};

/// 2026-11-20T00:00:00Z.
pub const TODAY: i64 = 1_795_132_800_000_000_000;

#[derive(Clone, Debug, PartialEq)]
pub enum Owned {
    Str(Vec<u8>),
    Int(i64),
    Float(f64),
    Bool(bool),
}

#[derive(Clone, Debug)]
pub struct TestRow {
    pub time_ns: i64,
    pub arrival_ns: i64,
    pub offset: Offset,
    pub n: u16,
    pub cells: Vec<(String, Owned)>,
}

/// A field as it must come back; floats by their bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    Str(Vec<u8>),
    List(Vec<Vec<u8>>),
    Int(i64),
    Float(u64),
    Bool(bool),
}

/// A row as it must come back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenRow {
    pub time_ns: i64,
    pub generation: Generation,
    pub fields: BTreeMap<String, Seen>,
}

pub type Place = (TopicId, PartitionId, Offset, u16);
pub type SeenRows = BTreeMap<Place, SeenRow>;

impl TestRow {
    /// What queries must see of it.
    pub fn seen(&self, generation: Generation) -> SeenRow {
        let mut grouped = BTreeMap::<String, Vec<Owned>>::new();
        for (name, value) in self.cells.iter().filter(|(name, _)| !is_stores_own(name)) {
            grouped.entry(name.clone()).or_default().push(value.clone());
        }
        let mut fields: BTreeMap<String, Seen> = grouped
            .into_iter()
            .map(|(name, mut values)| {
                let seen = match (values.len(), values.pop()) {
                    (1, Some(Owned::Str(bytes))) => Seen::Str(bytes),
                    (1, Some(Owned::Int(value))) => Seen::Int(value),
                    (1, Some(Owned::Float(value))) => Seen::Float(value.to_bits()),
                    (1, Some(Owned::Bool(value))) => Seen::Bool(value),
                    (_, last) => Seen::List(values.into_iter().chain(last).map(text).collect()),
                };
                (name, seen)
            })
            .collect();
        let mut time_ns = self.time_ns;
        if time_ns > self.arrival_ns + DAY_NS {
            fields.insert(TIME_CLAIMED.into(), Seen::Str(time::format(time_ns).into_bytes()));
            time_ns = self.arrival_ns;
        }
        SeenRow { time_ns, generation, fields }
    }
}

fn text(value: Owned) -> Vec<u8> {
    match value {
        Owned::Str(bytes) => bytes,
        Owned::Int(value) => value.to_string().into_bytes(),
        Owned::Float(value) => Number::text_of(value).into_bytes(),
        Owned::Bool(value) => value.to_string().into_bytes(),
    }
}

/// Rows as a lane gives them.
pub fn rows(of: &[TestRow]) -> Rows<'_> {
    let mut rows = Rows::default();
    let mut numbers = BTreeMap::<&str, u32>::new();
    for row in of {
        let start = u32::try_from(rows.cells.len()).unwrap();
        for (name, value) in &row.cells {
            let number = *numbers.entry(name).or_insert_with(|| {
                rows.names.push(Arc::from(name.as_str()));
                u32::try_from(rows.names.len() - 1).unwrap()
            });
            let value = match value {
                Owned::Str(bytes) => Value::Str(bytes),
                Owned::Int(value) => Value::Int(*value),
                Owned::Float(value) => Value::Float(*value),
                Owned::Bool(value) => Value::Bool(*value),
            };
            rows.cells.push(Cell { name: number, value });
        }
        let cells = (start, u32::try_from(rows.cells.len()).unwrap());
        rows.heads.push(RowHead { time_ns: row.time_ns, arrival_ns: row.arrival_ns, offset: row.offset, n: row.n, cells });
    }
    rows
}

/// Everything a snapshot shows; a row seen twice, or a field with two values in one row, fails the test.
pub fn read(snapshot: &Snapshot) -> SeenRows {
    let mut all = SeenRows::new();
    for source in &snapshot.sources {
        read_source(&**source, &mut all);
    }
    all
}

fn read_source(source: &dyn Source, all: &mut SeenRows) {
    let mut counted: Vec<BTreeMap<Vec<u8>, u64>> = vec![BTreeMap::new(); source.columns().len()];
    for group in 0..source.groups() {
        let count = source.rows(group);
        assert!((1..=8192).contains(&count));
        let times = source.times(group).unwrap();
        let lineage = source.lineage(group).unwrap();
        let (least, greatest) = source.time_bounds(group);
        assert_eq!(times.iter().min().copied(), Some(least));
        assert_eq!(times.iter().max().copied(), Some(greatest));
        assert_eq!((times.len(), lineage.generations.len(), lineage.partitions.len()), (count, count, count));
        let mut fields = vec![BTreeMap::new(); count];
        for (number, column) in source.columns().iter().enumerate() {
            let Some(chunk) = source.column(group, number).unwrap() else { continue };
            for (row, fields) in fields.iter_mut().enumerate() {
                let Some(value) = value(&chunk, row, column.kind) else { continue };
                let text = match &value {
                    Seen::Int(int) => Some(int.to_string().into_bytes()),
                    Seen::Bool(bool) => Some(bool.to_string().into_bytes()),
                    _ => chunk.text_of(row, &mut Vec::new()).map(<[u8]>::to_vec),
                };
                if let Some(text) = text {
                    *counted[number].entry(text).or_default() += 1;
                }
                let number_of = |value: &Seen| match value {
                    Seen::Int(int) => Some(Number::Int(*int)),
                    Seen::Float(bits) => Some(Number::Float(f64::from_bits(*bits))),
                    _ => None,
                };
                if let (Some(own), Some((least, greatest))) = (number_of(&value), source.bounds(group, number)) {
                    let order = (least.compare(own), own.compare(greatest));
                    assert!(order.0.is_some_and(|order| order.is_le()) && order.1.is_some_and(|order| order.is_le()));
                }
                let before = fields.insert(column.name.to_string(), value);
                assert_eq!(before, None, "{} twice in one row", column.name);
            }
        }
        for (row, fields) in fields.into_iter().enumerate() {
            let place = (source.topic(), lineage.partitions[row], lineage.offsets[row], lineage.ns[row]);
            let seen = SeenRow { time_ns: times[row], generation: lineage.generations[row], fields };
            assert!(all.insert(place, seen).is_none(), "{place:?} is seen twice");
        }
    }
    for (number, rows) in counted.into_iter().enumerate() {
        // What is known without reading rows is what they say.
        let Some(Counted { dict, counts }) = source.value_counts(number).unwrap() else { continue };
        let entries = counts.iter().enumerate().filter(|(_, count)| **count > 0);
        assert_eq!(entries.map(|(at, count)| (dict.entry(at).to_vec(), *count)).collect::<BTreeMap<_, _>>(), rows);
    }
}

/// One value of a chunk.
pub fn value(chunk: &Chunk, row: usize, kind: super::source::Kind) -> Option<Seen> {
    use super::source::Kind;
    let mut scratch = Vec::new();
    let bytes = match chunk {
        Chunk::Int { values, present } => return present.has(row).then(|| Seen::Int(values[row])),
        Chunk::Float { values, present } => return present.has(row).then(|| Seen::Float(values[row].to_bits())),
        Chunk::Bool { values, present } => return present.has(row).then(|| Seen::Bool(values[row])),
        strings => strings.text_of(row, &mut scratch)?,
    };
    Some(match kind {
        Kind::List => Seen::List(list_items(bytes).map(<[u8]>::to_vec).collect()),
        _ => Seen::Str(bytes.to_vec()),
    })
}
