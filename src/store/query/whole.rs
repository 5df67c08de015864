//! Sources that are counted by their dictionaries: where every row is kept, the counts of a column's values tell how many rows have
//! each, and which there are, without reading any.

use super::QueryError;
use super::key_table::NONE;
use super::plan::{Agg, Function, Key};
use super::scan::{Scan, Work};
use super::stats::Grouping;
use super::view::{Datum, virtual_reader};
use crate::store::source::{Counted, Kind};

/// A source of which every row is kept, and whose dictionary may tell how many rows have each value of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WholeSource {
    source: usize,
    /// Those of the field: a row has a value in one of them at most.
    columns: Vec<(usize, Kind)>,
    /// Its part of [`Scan::work`].
    pub work: std::ops::Range<usize>,
}

impl WholeSource {
    /// `None` if the source's rows must be read.
    fn of(scan: &Scan<'_>, index: usize, work: std::ops::Range<usize>, key: &Key) -> Option<Self> {
        let source = &scan.sources[index];
        if !key.is_plain() || virtual_reader(&key.field).is_some() || work.len() != source.groups() {
            return None;
        }
        let columns = source.columns().iter().enumerate().filter(|(_, column)| *column.name == *key.field);
        let columns: Vec<(usize, Kind)> = columns.map(|(number, column)| (number, column.kind)).collect();
        let are_counted =
            columns.iter().all(|(_, kind)| matches!(kind, Kind::Str | Kind::Int | Kind::Bool)) && !columns.is_empty();
        let is_whole = |work: &Work| scan.keeps_all(work) && source.deleted(work.group).is_none();
        let whole = are_counted && scan.work.get(work.clone())?.iter().all(is_whole);
        whole.then_some(Self { source: index, columns, work })
    }

    /// Reads the key's values and how many rows have each, and says how many have none; `None` if that can't be done, and the rows
    /// must be read. Not kept for all sources: there may be thousands of them.
    pub fn read(&self, scan: &Scan<'_>) -> Option<(Vec<(Kind, Counted)>, usize)> {
        let source = &scan.sources[self.source];
        let counted = |&(column, kind): &(usize, Kind)| Some((kind, source.value_counts(column).ok().flatten()?));
        let counted = self.columns.iter().map(counted).collect::<Option<Vec<_>>>()?;
        let rows: usize = self.work.clone().map(|at| source.rows(scan.work[at].group)).sum();
        let mut counts = counted.iter().flat_map(|(_, own)| &own.counts);
        let having = counts.try_fold(0usize, |sum, &count| sum.checked_add(usize::try_from(count).ok()?))?;
        Some((counted, rows.checked_sub(having)?))
    }

    /// Says that its rows were counted.
    pub fn note(&self, scan: &Scan<'_>) {
        for work in scan.work.get(self.work.clone()).unwrap_or(&[]) {
            scan.note_unread(scan.sources[work.source].rows(work.group));
        }
    }
}

/// Sources whose dictionaries may tell how many rows have each value of a key, and what is left to be read.
pub fn whole_sources(scan: &Scan<'_>, key: &Key) -> (Vec<WholeSource>, Vec<usize>) {
    let (mut whole, mut left) = (Vec::new(), Vec::with_capacity(scan.work.len()));
    let mut from = 0;
    while from < scan.work.len() {
        let source = scan.work[from].source;
        // The list is in the order of sources.
        let to = from + scan.work[from..].iter().take_while(|work| work.source == source).count();
        match WholeSource::of(scan, source, from..to, key) {
            Some(own) => whole.push(own),
            None => left.extend(from..to),
        }
        from = to;
    }
    (whole, left)
}

/// The field that figures are of, if dictionaries with their counts tell all that they want to know.
fn counted_field(aggs: &[Agg], by: &[Key]) -> Option<Key> {
    let mut fields = aggs.iter().filter_map(|agg| agg.function.field());
    match by {
        [key] => fields.next().is_none().then(|| key.clone()),
        [] => {
            let field = fields.next()?;
            let is_counted = |agg: &Agg| match &agg.function {
                Function::Count => true,
                Function::CountOf(own)
                | Function::Items(own)
                | Function::Distinct(own)
                | Function::Values(own, _)
                | Function::Min(own)
                | Function::Max(own) => own == field,
                _ => false,
            };
            aggs.iter().all(is_counted).then(|| Key::field(field))
        }
        _ => None,
    }
}

impl Grouping {
    /// Counts sources as far as that can be done without reading their rows, and gives what is left to be read.
    pub(super) fn count_sources(&mut self, scan: &Scan<'_>, aggs: &[Agg], by: &[Key]) -> Result<Vec<usize>, QueryError> {
        if by.is_empty() && aggs.iter().all(|agg| agg.function == Function::Count) {
            let (rows, left) = scan.count_by_dictionaries();
            self.figures.iter_mut().for_each(|figure| figure.count_many(0, rows));
            return Ok(left);
        }
        let Some(key) = counted_field(aggs, by) else { return Ok((0..scan.work.len()).collect()) };
        let (sources, mut left) = whole_sources(scan, &key);
        for own in sources {
            // What there is no time for is left: reading ends at once, and says so.
            if !scan.go()? || self.count_source(scan, &own, &key, by.is_empty()).is_none() {
                left.extend(own.work);
            }
        }
        Ok(left)
    }

    /// Counts a source by its dictionary's counts; `None` if that can't be done. `one`: into one group.
    fn count_source(&mut self, scan: &Scan<'_>, own: &WholeSource, key: &Key, one: bool) -> Option<()> {
        let (counted, missing) = own.read(scan)?;
        self.share();
        let values = counted.iter().flat_map(|(kind, Counted { dict, counts })| {
            let values = counts.iter().enumerate().filter(|(_, count)| **count > 0);
            values.map(|(entry, &count)| {
                (Datum::of_entry(*kind, dict.entry(entry)), usize::try_from(count).unwrap_or(usize::MAX))
            })
        });
        let missing = (missing > 0 && !key.skip_missing).then_some((Datum::Missing, missing));
        for (entry, count) in values.chain(missing) {
            let number = match self.keys.first_mut() {
                None if one => 0,
                None => NONE,
                Some(keys) => keys.of(entry),
            };
            if number == NONE {
                self.lost = true;
            } else {
                self.figures.iter_mut().for_each(|figure| figure.count_entry(number, entry, count));
            }
        }
        own.note(scan);
        for work in scan.work.get(own.work.clone()).unwrap_or(&[]) {
            self.span_to(work.least, work.greatest);
        }
        Some(())
    }
}
