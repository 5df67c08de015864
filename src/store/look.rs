//! A look at a memtable: what queries and flushes read of it, which later rows do not change.
//!
//! Each group has a dictionary of its own; where they are small, their values are counted group by group, once. Looks share what full
//! groups have counted.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::column::SealedColumn;
use super::group::{Groups, SealedGroup};
use super::part::derive::Fields;
use super::part::envelope::Envelopes;
use super::part::template::Template;
use super::source::{Chunk, Column, Counted, Dict, Lineage, Source};
use super::{StoreError, bounds};
use crate::base::ids::TopicId;
use crate::base::predicate::{Needle, Number, Test, Wanted};

/// Most strings that are counted of all groups together, but for those of one: a megabyte or so.
const COUNTED: usize = 16 << 10;

/// Groups of a memtable that no longer change, in lane order.
#[derive(Debug)]
pub struct MemSource {
    topic: TopicId,
    topic_name: Arc<str>,
    columns: Vec<Column>,
    groups: Groups,
    payloads: Arc<[Template]>,
}

impl MemSource {
    pub(super) fn new(
        topic: TopicId,
        topic_name: Arc<str>,
        columns: Vec<Column>,
        mut groups: Groups,
        payloads: Arc<[Template]>,
    ) -> Self {
        groups.sort_by_key(|group| group.order());
        Self { topic, topic_name, columns, groups, payloads }
    }

    /// How payloads of its rows are made, of its own columns.
    pub fn payload_templates(&self) -> &[Template] {
        &self.payloads
    }

    /// One group.
    pub fn group(&self, group: usize) -> Option<&SealedGroup> {
        self.groups.get(group).map(|group| &**group)
    }

    /// Rows in all its groups.
    pub fn row_count(&self) -> u64 {
        self.groups.iter().map(|group| group.rows() as u64).sum()
    }
}

impl Source for MemSource {
    fn topic(&self) -> TopicId {
        self.topic
    }

    fn topic_name(&self) -> Arc<str> {
        self.topic_name.clone()
    }

    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn groups(&self) -> usize {
        self.groups.len()
    }

    fn rows(&self, group: usize) -> usize {
        self.group(group).map_or(0, SealedGroup::rows)
    }

    fn time_bounds(&self, group: usize) -> (i64, i64) {
        self.group(group).map_or((0, 0), SealedGroup::time_bounds)
    }

    fn times(&self, group: usize) -> Result<Vec<i64>, StoreError> {
        Ok(self.group(group).map(|group| group.times().to_vec()).unwrap_or_default())
    }

    fn column(&self, group: usize, column: usize) -> Result<Option<Chunk>, StoreError> {
        Ok(self.group(group).and_then(|group| group.chunk(column)))
    }

    fn bounds(&self, group: usize, column: usize) -> Option<(Number, Number)> {
        self.group(group)?.column(column).map_or(Some(bounds::NOWHERE), SealedColumn::bounds)
    }

    fn dict(&self, _column: usize) -> Result<Option<Arc<Dict>>, StoreError> {
        // Every group has its own.
        Ok(None)
    }

    fn value_counts(&self, column: usize) -> Result<Option<Counted>, StoreError> {
        // Before any are counted.
        if self.groups.iter().filter_map(|group| group.column(column)).any(|own| !own.is_counted()) {
            return Ok(None);
        }
        let (mut dict, mut counts) = (Dict::default(), Vec::new());
        let mut numbers: FxHashMap<&[u8], usize> = FxHashMap::default();
        for group in &self.groups {
            let Some(own) = group.column(column) else { continue };
            let Some((strings, rows)) = own.counts().filter(|_| counts.len() <= COUNTED) else { return Ok(None) };
            for (entry, rows) in rows.iter().enumerate().filter(|(_, rows)| **rows > 0) {
                let string = strings.entry(entry);
                let number = *numbers.entry(string).or_insert_with(|| {
                    dict.push(string);
                    counts.push(0);
                    counts.len() - 1
                });
                counts[number] += u64::from(*rows);
            }
        }
        Ok(Some(Counted { dict: Arc::new(dict), counts }))
    }

    /// There is no index here, but to search a group's strings where they lie costs less than to copy them.
    fn groups_with(&self, column: usize, test: &Test, _wanted: &Wanted) -> Result<Option<Vec<u64>>, StoreError> {
        let whole = match test {
            Test::Exact(exact) => Some(Needle::bytes(&exact.text)),
            _ => None,
        };
        let Some(needle) = whole.as_ref().or(test.needle()).filter(|needle| !needle.text().is_empty()) else { return Ok(None) };
        let mut words = vec![0u64; self.groups.len().div_ceil(64)];
        for (at, group) in self.groups.iter().enumerate() {
            if group.strings(column).is_some_and(|strings| needle.find(strings, 0).is_some()) {
                words[at / 64] |= 1 << (at % 64);
            }
        }
        Ok(Some(words))
    }

    fn lineage(&self, group: usize) -> Result<Lineage, StoreError> {
        Ok(self.group(group).map(SealedGroup::lineage).unwrap_or_default())
    }

    fn payload(&self, group: usize) -> Result<Option<Chunk>, StoreError> {
        let Some(of) = self.group(group).filter(|group| !group.payloads().is_empty()) else { return Ok(None) };
        let mut fields = Fields { columns: Vec::new(), times: of.times().to_vec() };
        for at in self.payloads.iter().filter(|one| !one.is_none()).flat_map(Template::columns).map(|number| number as usize) {
            if fields.columns.len() <= at {
                fields.columns.resize_with(at + 1, || None);
            }
            if fields.columns[at].is_none() {
                fields.columns[at] = of.chunk(at);
            }
        }
        let mut kept = of.payloads().clone();
        kept.drop_unsure(&self.payloads);
        Ok(kept.render(of.rows(), &self.payloads, &fields))
    }

    fn envelopes(&self, group: usize) -> Result<Option<Envelopes>, StoreError> {
        let Some(of) = self.group(group).filter(|group| !group.payloads().is_empty()) else { return Ok(None) };
        let unsure =
            |code: u8| code.checked_sub(2).is_some_and(|at| self.payloads.get(usize::from(at)).is_none_or(Template::is_none));
        let is_kept = |row: usize| of.payloads().codes.get(row).is_some_and(|code| *code > 0 && !unsure(*code));
        Ok(Some(of.payloads().envelopes.only(is_kept)))
    }

    fn deleted(&self, _group: usize) -> Option<Arc<[u64]>> {
        None
    }
}
