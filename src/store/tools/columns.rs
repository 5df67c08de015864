//! What the columns of each topic take: bytes, encodings, distinct values, rows that have one.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::Look;
use crate::store::open::part_path;

/// A column of a topic, over all its live parts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ColumnStats {
    /// Field name; those of times and lineage begin with `_`.
    pub name: Arc<str>,
    /// What its values are; a field that is a number here and a string there has a column for each.
    pub kind: &'static str,
    /// Rows that have a value.
    pub rows: u64,
    /// Bytes of chunks and dictionaries.
    pub bytes: u64,
    /// Bytes of dictionaries alone.
    pub dictionary_bytes: u64,
    /// Bytes of pairs alone.
    pub pair_bytes: u64,
    /// Parts in which it has a dictionary.
    pub dictionaries: u64,
    /// Distinct values in the part that has most; none where no part has a dictionary.
    pub distinct: Option<u64>,
    /// Bytes of its chunks by encoding.
    pub encodings: BTreeMap<&'static str, u64>,
}

/// What a topic takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TopicColumns {
    /// Its name.
    pub topic: String,
    /// Live parts.
    pub parts: u64,
    /// Parts that could not be opened and are not counted below.
    pub unreadable: u64,
    /// Rows in them.
    pub rows: u64,
    /// Bytes of their files.
    pub bytes: u64,
    /// Bytes of what their rows were made of.
    pub raw_bytes: u64,
    /// Bytes by section of the files.
    pub sections: BTreeMap<&'static str, u64>,
    /// Columns, the largest first.
    pub columns: Vec<ColumnStats>,
}

impl Look {
    /// What each topic takes, or the one of this name. Rows that are not in a part yet are not counted.
    pub fn columns(&self, topic: Option<&str>) -> Vec<TopicColumns> {
        let mut all = Vec::new();
        for (id, state) in self.topics.iter().filter(|(_, state)| topic.is_none_or(|topic| state.name == topic)) {
            let mut one = TopicColumns { topic: state.name.clone(), ..TopicColumns::default() };
            let mut columns = BTreeMap::<(Arc<str>, &'static str), ColumnStats>::new();
            for meta in state.parts.values() {
                one.parts += 1;
                one.rows += meta.rows;
                one.bytes += meta.bytes;
                one.raw_bytes += meta.raw_bytes;
                let source = self.part(*id, &state.name, meta.clone(), part_path(*id, meta.day, meta.id));
                let (Ok(sections), Ok(sizes)) = (source.sections(), source.column_sizes()) else {
                    one.unreadable += 1;
                    continue;
                };
                for (name, bytes) in sections {
                    let own = one.sections.entry(name).or_default();
                    *own = own.saturating_add(bytes);
                }
                for ((name, kind), size) in sizes {
                    let fresh = || ColumnStats { name: name.clone(), kind, ..ColumnStats::default() };
                    let column = columns.entry((name.clone(), kind)).or_insert_with(fresh);
                    column.rows += size.rows;
                    let bytes =
                        [size.chunk_bytes, size.dictionary_bytes, size.pair_bytes].into_iter().fold(0, u64::saturating_add);
                    column.bytes = column.bytes.saturating_add(bytes);
                    column.dictionary_bytes = column.dictionary_bytes.saturating_add(size.dictionary_bytes);
                    column.pair_bytes = column.pair_bytes.saturating_add(size.pair_bytes);
                    if size.entries > 0 {
                        column.dictionaries += 1;
                        column.distinct = column.distinct.max(Some(size.entries));
                    }
                    for (encoding, (_, bytes)) in size.encodings {
                        let own = column.encodings.entry(encoding).or_default();
                        *own = own.saturating_add(bytes);
                    }
                }
            }
            one.columns = columns.into_values().collect();
            one.columns.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.name.cmp(&b.name)));
            all.push(one);
        }
        all.sort_by(|a, b| a.topic.cmp(&b.topic));
        all
    }
}
