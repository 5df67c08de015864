//! A source made of rows in memory, in any of the encodings that a stored one may have.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::base::ids::TopicId;
use crate::base::predicate::Number;
use crate::store::StoreError;
use crate::store::part::bits::Reader;
use crate::store::part::typed::{self, Class, Values};
use crate::store::query::OutValue;
use crate::store::source::{Chunk, Column, Dict, Kind, Lineage, Present, Source, push_list_item};

/// A row.
#[derive(Clone, Debug)]
pub struct TestRow {
    pub time: i64,
    pub partition: u32,
    pub offset: u64,
    pub n: u16,
    pub fields: Vec<(&'static str, OutValue)>,
}

/// How strings are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// One sorted dictionary a column.
    Sorted,
    /// A dictionary a group, in order of arrival.
    PerGroup,
    /// As text.
    Text,
    /// As numbers or raw bytes where most are such, the others as text in a column of their own.
    Typed,
}

#[derive(Debug)]
pub struct MemorySource {
    topic: Arc<str>,
    columns: Vec<Column>,
    groups: Vec<Vec<TestRow>>,
    style: Style,
    dicts: Vec<Option<Arc<Dict>>>,
    pub deleted: BTreeSet<u64>,
    pub damaged: Option<&'static str>,
    /// Whether it keeps what rows were made of.
    pub payloads: bool,
}

fn kind_of(value: &OutValue) -> Kind {
    match value {
        OutValue::List(_) => Kind::List,
        OutValue::Int(_) => Kind::Int,
        OutValue::Float(_) => Kind::Float,
        OutValue::Bool(_) => Kind::Bool,
        OutValue::Str(_) | OutValue::Null | OutValue::Time(_) => Kind::Str,
    }
}

fn entry_of(value: &OutValue) -> Vec<u8> {
    match value {
        OutValue::Str(bytes) => bytes.to_vec(),
        OutValue::List(items) => {
            let mut entry = Vec::new();
            items.iter().for_each(|item| push_list_item(&mut entry, item));
            entry
        }
        OutValue::Int(int) => int.to_string().into_bytes(),
        OutValue::Bool(bool) => bool.to_string().into_bytes(),
        other => panic!("no string: {other:?}"),
    }
}

fn dict_of(entries: impl Iterator<Item = Vec<u8>>, sorted: bool) -> Dict {
    let mut dict = Dict { sorted, ..Dict::default() };
    for entry in entries {
        dict.bytes.extend_from_slice(&entry);
        dict.ends.push(u32::try_from(dict.bytes.len()).unwrap());
    }
    dict
}

impl MemorySource {
    pub fn new(topic: &str, rows: Vec<TestRow>, group_rows: usize, style: Style) -> Self {
        let mut columns: Vec<Column> = Vec::new();
        for (name, value) in rows.iter().flat_map(|row| &row.fields) {
            let column = Column { name: Arc::from(*name), kind: kind_of(value) };
            if !columns.contains(&column) {
                columns.push(column);
            }
        }
        if style == Style::Typed {
            let copies = |column: Column| vec![column.clone(); 1 + usize::from(column.kind == Kind::Str)];
            columns = columns.into_iter().flat_map(copies).collect();
        }
        let groups: Vec<Vec<TestRow>> = rows.chunks(group_rows).map(<[TestRow]>::to_vec).collect();
        let (topic, dicts, deleted) = (topic.into(), Vec::new(), BTreeSet::new());
        let mut source = Self { topic, columns, groups, style, dicts, deleted, damaged: None, payloads: false };
        source.dicts = (0..source.columns.len())
            .map(|column| {
                let kind = source.columns[column].kind;
                if style != Style::Sorted || kind == Kind::Float {
                    return None;
                }
                let all: BTreeSet<Vec<u8>> =
                    source.groups.iter().flatten().filter_map(|row| source.value(row, column)).map(entry_of).collect();
                Some(Arc::new(dict_of(all.into_iter(), true)))
            })
            .collect();
        source
    }

    /// The strings of a group in the columns of [`Style::Typed`]: those that are what most are, and whose rows they are.
    fn typed(&self, group: usize, column: usize) -> (Option<Values>, Vec<bool>) {
        let strings: Vec<Option<Vec<u8>>> =
            self.groups[group].iter().map(|row| self.value(row, column).map(entry_of)).collect();
        let mut values = Class::of_most(strings.iter().flatten().map(Vec::as_slice)).map(|(class, _)| Values::new(class));
        let taken = strings
            .iter()
            .map(|string| string.as_ref().is_some_and(|string| values.as_mut().is_some_and(|values| values.take(string))));
        let taken = taken.collect();
        (values, taken)
    }

    fn typed_chunk(&self, group: usize, column: usize) -> Option<Chunk> {
        let rows = self.groups[group].len();
        let (values, taken) = self.typed(group, column);
        if column > 0 && self.columns[column - 1] == self.columns[column] {
            let rest = |(row, taken): (&TestRow, &bool)| self.value(row, column).filter(|_| !taken).map(entry_of);
            let rest: Vec<Option<Vec<u8>>> = self.groups[group].iter().zip(&taken).map(rest).collect();
            let present = Present::Some(bits(rest.iter().map(Option::is_some)));
            let all = dict_of(rest.iter().map(|entry| entry.clone().unwrap_or_default()), false);
            return (present.count(rows) > 0).then_some(Chunk::Text { ends: all.ends, bytes: all.bytes, present });
        }
        let present = Present::Some(bits(taken.iter().copied()));
        if present.count(rows) == 0 {
            return None;
        }
        let mut out = Vec::new();
        let encoding = values.unwrap().put(&mut out);
        typed::decode(&mut Reader(&out), encoding, present.count(rows), present, rows)
    }

    fn value<'r>(&self, row: &'r TestRow, column: usize) -> Option<&'r OutValue> {
        let column = &self.columns[column];
        row.fields.iter().find(|(name, value)| **name == *column.name && kind_of(value) == column.kind).map(|(_, value)| value)
    }
}

fn bits(set: impl Iterator<Item = bool>) -> Vec<u64> {
    let mut words = Vec::new();
    for (row, yes) in set.enumerate() {
        if row % 64 == 0 {
            words.push(0);
        }
        words[row / 64] |= u64::from(yes) << (row % 64);
    }
    words
}

impl Source for MemorySource {
    fn topic(&self) -> TopicId {
        TopicId::from_bytes([7; 16])
    }

    fn topic_name(&self) -> Arc<str> {
        Arc::clone(&self.topic)
    }

    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn groups(&self) -> usize {
        self.groups.len()
    }

    fn rows(&self, group: usize) -> usize {
        self.groups[group].len()
    }

    fn time_bounds(&self, group: usize) -> (i64, i64) {
        let times = || self.groups[group].iter().map(|row| row.time);
        (times().min().unwrap(), times().max().unwrap())
    }

    fn times(&self, group: usize) -> Result<Vec<i64>, StoreError> {
        Ok(self.groups[group].iter().map(|row| row.time).collect())
    }

    fn column(&self, group: usize, column: usize) -> Result<Option<Chunk>, StoreError> {
        if self.damaged == Some(&*self.columns[column].name) {
            return Err(StoreError::Damaged { path: "x.part".into(), at: 0, what: "checksum".into() });
        }
        if self.style == Style::Typed && self.columns[column].kind == Kind::Str {
            return Ok(self.typed_chunk(group, column));
        }
        let values: Vec<Option<&OutValue>> = self.groups[group].iter().map(|row| self.value(row, column)).collect();
        if values.iter().all(Option::is_none) {
            return Ok(None);
        }
        let present = if values.iter().all(Option::is_some) {
            Present::All
        } else {
            Present::Some(bits(values.iter().map(Option::is_some)))
        };
        let strings = || values.iter().map(|value| value.map(entry_of));
        Ok(Some(match (self.columns[column].kind, self.style) {
            (Kind::Int, _) => {
                let int = |value: &Option<&OutValue>| if let Some(OutValue::Int(int)) = value { *int } else { 99 };
                Chunk::Int { values: values.iter().map(int).collect(), present }
            }
            (Kind::Float, _) => {
                let float = |value: &Option<&OutValue>| if let Some(OutValue::Float(float)) = value { *float } else { 99.0 };
                Chunk::Float { values: values.iter().map(float).collect(), present }
            }
            (Kind::Bool, _) => {
                Chunk::Bool { values: values.iter().map(|value| value == &Some(&OutValue::Bool(true))).collect(), present }
            }
            (Kind::Str | Kind::List, Style::Text | Style::Typed) => {
                let all = dict_of(strings().map(Option::unwrap_or_default), false);
                Chunk::Text { ends: all.ends, bytes: all.bytes, present }
            }
            (Kind::Str | Kind::List, style) => {
                let dict = if style == Style::Sorted {
                    Arc::clone(self.dicts[column].as_ref().unwrap())
                } else {
                    let mut seen = Vec::new();
                    strings().flatten().for_each(|entry| {
                        if !seen.contains(&entry) {
                            seen.push(entry)
                        }
                    });
                    Arc::new(dict_of(seen.into_iter(), false))
                };
                let code = |entry: Option<Vec<u8>>| {
                    entry.map_or(0, |entry| (0..dict.len()).find(|&at| dict.entry(at) == entry).unwrap() + 1)
                };
                Chunk::Dict {
                    codes: strings().map(code).map(|code| u32::try_from(code).unwrap()).collect(),
                    dict: Arc::clone(&dict),
                }
            }
        }))
    }

    fn bounds(&self, group: usize, column: usize) -> Option<(Number, Number)> {
        let numbers = self.groups[group].iter().filter_map(|row| match self.value(row, column) {
            Some(OutValue::Int(int)) => Some(Number::Int(*int)),
            Some(OutValue::Float(float)) => Some(Number::Float(*float)),
            _ => None,
        });
        let mut numbers: Vec<Number> = numbers.collect();
        if numbers.iter().any(|number| number.as_f64().is_nan()) {
            return None;
        }
        numbers.sort_by(|a, b| a.compare(*b).unwrap());
        Some((*numbers.first()?, *numbers.last()?))
    }

    fn number_bounds(&self, group: usize, column: usize) -> Option<(i64, i64, u8)> {
        let first = column == 0 || self.columns[column - 1] != self.columns[column];
        if self.style != Style::Typed || self.columns[column].kind != Kind::Str || !first {
            return None;
        }
        let values = self.typed(group, column).0?;
        let Values::Number(digits, _) = values else { return None };
        let (least, greatest) = values.bounds()?;
        Some((least, greatest, digits))
    }

    fn dict(&self, column: usize) -> Result<Option<Arc<Dict>>, StoreError> {
        Ok(self.dicts[column].clone())
    }

    fn dict_counts(&self, column: usize) -> Result<Option<Vec<u64>>, StoreError> {
        let Some(dict) = &self.dicts[column] else { return Ok(None) };
        let all: Vec<Vec<u8>> = self.groups.iter().flatten().filter_map(|row| self.value(row, column)).map(entry_of).collect();
        Ok(Some((0..dict.len()).map(|at| all.iter().filter(|entry| **entry == dict.entry(at)).count() as u64).collect()))
    }

    fn lineage(&self, group: usize) -> Result<Lineage, StoreError> {
        let rows = &self.groups[group];
        Ok(Lineage {
            partitions: rows.iter().map(|row| row.partition).collect(),
            offsets: rows.iter().map(|row| row.offset).collect(),
            ns: rows.iter().map(|row| row.n).collect(),
            generations: rows.iter().map(|_| 3).collect(),
        })
    }

    fn payload(&self, group: usize) -> Result<Option<Chunk>, StoreError> {
        let all = dict_of(self.groups[group].iter().map(|row| format!("raw {}", row.offset).into_bytes()), false);
        Ok(self.payloads.then_some(Chunk::Text { ends: all.ends, bytes: all.bytes, present: Present::All }))
    }

    fn deleted(&self, group: usize) -> Option<Arc<[u64]>> {
        let gone = || self.groups[group].iter().map(|row| self.deleted.contains(&row.offset));
        gone().any(|gone| gone).then(|| bits(gone()).into())
    }
}
