//! `stats … by …` over stored rows.
//!
//! For every group of stored rows: the kept rows' keys are turned into numbers (through a table per dictionary, so that a string
//! is hashed once per source and not once per row), combinations of keys into further numbers, and figures are added up in
//! arrays by that number. A row whose key is a list counts once for each different item (rounded, where the key is), as far as
//! memory allows. Threads merge by value.

use std::sync::Arc;

use super::figures::{Figure, Moment};
use super::key_table::{KeyTable, NONE, PairTable, Translation};
use super::numbering::{int_numbers, mixed_numbers, time_bins, translation, value_numbers};
use super::numbers::Parsed;
use super::out::{OutRow, OutValue};
use super::plan::{Agg, Function, Key, SortKey};
use super::scan::{Found, Scan};
use super::view::{Datum, FieldReader};
use super::{Limits, QueryError, Request, Stats};
use crate::base::row;
use crate::store::source::{Chunk, Dict, Kind, Present, push_list_item};

/// A group of rows may grow by its lists until it has one for so many bytes of the budget.
const EXPANDED_BYTES: usize = 8;

/// Rows grouped by keys, and their figures: a thread's own, or the whole.
#[derive(Debug)]
pub struct Grouping {
    pub(super) keys: Vec<KeyTable>,
    translations: Vec<Vec<Translation>>,
    pub(super) pairs: Vec<PairTable>,
    pub(super) figures: Vec<Figure>,
    parsed: Parsed,
    bytes: usize,
    /// Rows that could not be counted for want of memory.
    pub lost: bool,
    /// The earliest and the latest row, where a rate needs to know.
    pub(super) span: Option<(i64, i64)>,
    rates: bool,
}

impl Grouping {
    /// Nothing yet.
    pub fn new(aggs: &[Agg], by: &[Key], limits: &Limits, threads: usize) -> Self {
        let bytes = limits.bytes / threads.max(1);
        Self {
            keys: by.iter().map(|_| KeyTable::new(limits.groups, bytes)).collect(),
            translations: by.iter().map(|_| Vec::new()).collect(),
            pairs: by.iter().skip(1).map(|_| PairTable::new(limits.groups)).collect(),
            figures: aggs.iter().map(Figure::new).collect(),
            parsed: Parsed::default(),
            bytes,
            lost: false,
            span: None,
            rates: aggs.iter().any(|agg| matches!(agg.function, Function::Rate(_))),
        }
    }

    /// Rows from one instant to another were counted.
    fn span_to(&mut self, least: i64, greatest: i64) {
        let (from, to) = self.span.unwrap_or((least, greatest));
        self.span = Some((from.min(least), to.max(greatest)));
    }

    /// Adds the kept rows of a group.
    pub fn see(&mut self, found: &Found<'_, '_>, aggs: &[Agg], by: &[Key], topic_ranks: &[u32]) {
        if self.rates {
            let times = found.view.times();
            let of_rows = found.rows.iter().filter_map(|row| times.get(row).copied());
            let (least, greatest) =
                of_rows.fold((i64::MAX, i64::MIN), |(least, greatest), ns| (least.min(ns), greatest.max(ns)));
            self.span_to(least, greatest);
        }
        if by.is_empty() && aggs.iter().all(|agg| agg.function.field().is_none()) {
            let rows = found.rows.count();
            self.figures.iter_mut().for_each(|figure| figure.count_many(0, rows));
            return;
        }
        if aggs.iter().all(|agg| agg.function == Function::Count) && self.see_runs(found, by) {
            return;
        }
        let (rows, groups) = self.number_rows(found, by);
        // Figures that can grow are watched: past the budget new groups of rows are left out.
        if self.figures.iter().any(Figure::grows) && self.figures.iter().map(Figure::bytes).sum::<usize>() > self.bytes {
            self.lost = true;
            return;
        }
        for (figure, agg) in self.figures.iter_mut().zip(aggs) {
            match agg.function.field() {
                None => figure.count_rows(&groups),
                Some(field) if figure.is_by_time() => {
                    let reader = found.view.field(field);
                    let topic = topic_ranks.get(found.work.source).copied().unwrap_or(0);
                    for (&row, &group) in rows.iter().zip(&groups).filter(|(_, group)| **group != NONE) {
                        match found.view.get(&reader, row as usize) {
                            Datum::Missing => {}
                            datum => figure.add_at(group, found.moment(row as usize, topic), datum),
                        }
                    }
                }
                Some(field) => figure.add_rows(&rows, &groups, found.view, &found.view.field(field), &mut self.parsed),
            }
        }
    }

    /// The kept rows of a group of stored rows, a row of a list several times, and the number of each one's group; [`NONE`] where
    /// there is no memory for it.
    pub(super) fn number_rows(&mut self, found: &Found<'_, '_>, by: &[Key]) -> (Vec<u32>, Vec<u32>) {
        let mut rows: Vec<u32> = found.rows.to_rows();
        let mut groups: Vec<u32> = if by.is_empty() { vec![0; rows.len()] } else { Vec::new() };
        for (index, key) in by.iter().enumerate() {
            let reader = found.view.field(&key.field);
            let mut numbers = self.key_numbers(index, key, &reader, found, &mut rows, &mut groups);
            if index > 0
                && let Some(pairs) = self.pairs.get_mut(index - 1)
            {
                for (number, group) in numbers.iter_mut().zip(&groups) {
                    *number = if *number == NONE || *group == NONE { NONE } else { pairs.of(*group, *number) };
                }
            }
            groups = numbers;
        }
        self.lost |= groups.contains(&NONE);
        (rows, groups)
    }

    /// The number of a code of a dictionary.
    pub(super) fn number_of_code(&mut self, index: usize, dict: &Arc<Dict>, code: u32) -> u32 {
        translation(&mut self.translations[index], dict).number(code, &mut self.keys[index])
    }

    /// The number of each row's value. Rows may become several (lists) or be left out (`skip_missing`); `groups` follows them.
    fn key_numbers(
        &mut self,
        index: usize,
        key: &Key,
        reader: &FieldReader,
        found: &Found<'_, '_>,
        rows: &mut Vec<u32>,
        groups: &mut Vec<u32>,
    ) -> Vec<u32> {
        let table = &mut self.keys[index];
        if key.is_plain()
            && let FieldReader::Chunks(chunks) = reader
            && let [(kind, chunk)] = chunks.as_slice()
        {
            match (&**chunk, kind) {
                (Chunk::Dict { codes, dict }, Kind::Str) => {
                    let code = |row: u32| codes.get(row as usize).copied().unwrap_or(0);
                    if key.skip_missing && rows.iter().any(|&row| code(row) == 0) {
                        let mut kept = rows.iter().map(|&row| code(row) != 0);
                        groups.retain(|_| kept.next().unwrap_or(true));
                        rows.retain(|&row| code(row) != 0);
                    }
                    let translation = translation(&mut self.translations[index], dict);
                    return rows.iter().map(|&row| translation.number(code(row), table)).collect();
                }
                (Chunk::Int { values, present: Present::All }, _) => return int_numbers(values, rows, |int| table.of_int(int)),
                (Chunk::Number { values, digits, present: Present::All }, _) => {
                    return int_numbers(values, rows, |value| table.of_number(value, *digits));
                }
                _ => {}
            }
        }
        if key.is_plain()
            && let FieldReader::Chunks(chunks) = reader
            && let Some(numbers) = mixed_numbers(chunks, rows, groups, key, &mut self.translations[index], table)
        {
            return numbers;
        }
        if let (FieldReader::Time, Some(bin)) = (reader, &key.bin) {
            return time_bins(found, bin, rows, table);
        }
        let mut numbers = Vec::with_capacity(rows.len());
        let (mut out_rows, mut out_groups) = (Vec::with_capacity(rows.len()), Vec::with_capacity(groups.len()));
        let (most, mut own) = (rows.len().max(self.bytes / EXPANDED_BYTES), Vec::new());
        for (at, &row) in rows.iter().enumerate() {
            let datum = match (found.view.get(reader, row as usize), &key.default) {
                (Datum::Missing, Some(default)) => datum_of(default),
                (datum, _) => datum,
            };
            value_numbers(datum, key, table, &mut own);
            if numbers.len() + own.len() > most {
                self.lost = true;
                break;
            }
            numbers.extend_from_slice(&own);
            out_rows.extend(std::iter::repeat_n(row, own.len()));
            out_groups.extend(groups.get(at).into_iter().flat_map(|&group| std::iter::repeat_n(group, own.len())));
        }
        *rows = out_rows;
        *groups = out_groups;
        numbers
    }

    /// Adds a row of an answer (for pipes after pipes).
    pub fn add_row(&mut self, out: &OutRow, moment: Moment, aggs: &[Agg], by: &[Key]) {
        if self.rates
            && let Some(OutValue::Time(ns)) = out.get(row::TIME)
        {
            self.span_to(*ns, *ns);
        }
        let mut groups = vec![0u32];
        let (mut entry, mut numbers) = (Vec::new(), Vec::new());
        for (index, key) in by.iter().enumerate() {
            let value = out.get(&key.field).or(key.default.as_ref()).unwrap_or(&OutValue::Null);
            value_numbers(datum_in(value, &mut entry), key, &mut self.keys[index], &mut numbers);
            if groups.len() * numbers.len() > self.bytes / EXPANDED_BYTES {
                self.lost = true;
                return;
            }
            groups = groups
                .iter()
                .flat_map(|&group| numbers.iter().map(move |&number| (group, number)))
                .map(|(group, number)| match index.checked_sub(1).and_then(|before| self.pairs.get_mut(before)) {
                    _ if number == NONE || group == NONE => NONE,
                    None => number,
                    Some(pairs) => pairs.of(group, number),
                })
                .collect();
            if groups.is_empty() {
                // It has not what it must have: its other values are not seen either.
                return;
            }
        }
        for &group in &groups {
            if group == NONE {
                self.lost = true;
                continue;
            }
            for (figure, agg) in self.figures.iter_mut().zip(aggs) {
                let datum = match agg.function.field().and_then(|field| out.get(field)) {
                    None => Datum::Missing,
                    Some(value) => datum_in(value, &mut entry),
                };
                figure.add_at(group, moment, datum);
            }
        }
    }

    /// How many groups.
    pub(super) fn groups(&self) -> usize {
        match (self.pairs.last(), self.keys.last()) {
            (Some(pairs), _) => pairs.len(),
            (None, Some(keys)) => keys.len(),
            // Without keys there is one group, even of no rows.
            (None, None) => 1,
        }
    }

    /// The numbers of a group's values, key by key.
    pub(super) fn values_of(&self, group: u32) -> Vec<u32> {
        let mut values = Vec::with_capacity(self.keys.len());
        let mut group = group;
        for pairs in self.pairs.iter().rev() {
            let (before, value) = pairs.pair(group);
            values.push(value);
            group = before;
        }
        if !self.keys.is_empty() {
            values.push(group);
        }
        values.reverse();
        values
    }

    /// The values of a group's keys.
    pub(super) fn key_values(&self, group: u32) -> Vec<OutValue> {
        self.values_of(group).iter().zip(&self.keys).map(|(&value, keys)| keys.value(value)).collect()
    }

    /// Adds another thread's.
    fn merge(&mut self, other: Self) {
        let groups = self.adopt(&other);
        for (own, theirs) in self.figures.iter_mut().zip(other.figures) {
            own.merge(theirs, &groups);
        }
    }

    /// The number here of each of another's groups.
    pub(super) fn adopt(&mut self, other: &Self) -> Vec<u32> {
        let adopted: Vec<Vec<u32>> = self
            .keys
            .iter_mut()
            .zip(&other.keys)
            .map(|(own, theirs)| {
                (0..theirs.len()).map(|number| own.adopt(theirs, u32::try_from(number).unwrap_or(NONE))).collect()
            })
            .collect();
        let groups: Vec<u32> = (0..other.groups())
            .map(|group| {
                let values = other.values_of(u32::try_from(group).unwrap_or(NONE));
                let mut group = 0;
                for (index, value) in values.into_iter().enumerate() {
                    let value = adopted[index].get(value as usize).copied().unwrap_or(NONE);
                    group = match index.checked_sub(1).and_then(|before| self.pairs.get_mut(before)) {
                        _ if value == NONE || group == NONE => NONE,
                        None => value,
                        Some(pairs) => pairs.of(group, value),
                    };
                }
                group
            })
            .collect();
        self.lost |= other.lost || groups.contains(&NONE);
        if let Some((least, greatest)) = other.span {
            self.span_to(least, greatest);
        }
        groups
    }

    /// From now on keys may take so many bytes.
    pub(super) fn allow(&mut self, bytes: usize) {
        self.keys.iter_mut().for_each(|keys| keys.allow(bytes));
    }
}

/// A value of an answer as one that is stored; lists are the caller's.
pub fn datum_of(value: &OutValue) -> Datum<'_> {
    match value {
        OutValue::Null | OutValue::List(_) => Datum::Missing,
        OutValue::Str(bytes) => Datum::Str(bytes),
        OutValue::Int(int) => Datum::Int(*int),
        OutValue::Float(float) => Datum::Float(*float),
        OutValue::Bool(bool) => Datum::Bool(*bool),
        OutValue::Time(ns) => Datum::Time(*ns),
    }
}

/// The same, a list written to a buffer.
pub fn datum_in<'v>(value: &'v OutValue, entry: &'v mut Vec<u8>) -> Datum<'v> {
    let OutValue::List(items) = value else { return datum_of(value) };
    entry.clear();
    items.iter().for_each(|item| push_list_item(entry, item));
    Datum::List(entry)
}

/// A source of which every row is kept, and whose dictionary may tell how many rows have each value of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WholeSource {
    source: usize,
    column: usize,
    /// Its part of [`Scan::work`].
    pub work: std::ops::Range<usize>,
}

/// What a dictionary tells.
#[derive(Debug)]
pub struct Counted {
    /// The key's values.
    pub dict: Arc<Dict>,
    /// Rows that have each.
    pub counts: Vec<u64>,
    /// Rows that have none.
    pub missing: usize,
}

impl WholeSource {
    /// `None` if the source's rows must be read.
    fn of(scan: &Scan<'_>, index: usize, work: std::ops::Range<usize>, key: &Key) -> Option<Self> {
        let source = &scan.sources[index];
        if !key.is_plain() || super::view::virtual_reader(&key.field).is_some() || work.len() != source.groups() {
            return None;
        }
        let mut columns = source.columns().iter().enumerate().filter(|(_, column)| *column.name == *key.field);
        let (column, kind) = columns.next().map(|(column, own)| (column, own.kind))?;
        let is_whole = |work: &super::scan::Work| scan.keeps_all(work) && source.deleted(work.group).is_none();
        let whole = columns.next().is_none() && kind == Kind::Str && scan.work.get(work.clone())?.iter().all(is_whole);
        whole.then_some(Self { source: index, column, work })
    }

    /// Reads the dictionary; `None` if that can't be done, and the rows must be read. Not kept for all sources: there may be
    /// thousands of them.
    pub fn read(&self, scan: &Scan<'_>) -> Option<Counted> {
        let source = &scan.sources[self.source];
        let counts = source.dict_counts(self.column).ok().flatten()?;
        let dict = source.dict(self.column).ok().flatten().filter(|dict| dict.len() == counts.len())?;
        let rows: usize = self.work.clone().map(|at| source.rows(scan.work[at].group)).sum();
        let having = counts.iter().try_fold(0usize, |sum, &count| sum.checked_add(usize::try_from(count).ok()?))?;
        Some(Counted { dict, counts, missing: rows.checked_sub(having)? })
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

impl Grouping {
    /// Counts a source by its dictionary's counts; `None` if that can't be done.
    fn count_source(&mut self, scan: &Scan<'_>, own: &WholeSource, key: &Key) -> Option<()> {
        let counted = own.read(scan)?;
        let mut add = |number: u32, count: usize| {
            if number == NONE {
                self.lost = true;
            } else {
                self.figures.iter_mut().for_each(|figure| figure.count_many(number, count));
            }
        };
        for (entry, &count) in counted.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            add(self.keys[0].of_str(counted.dict.entry(entry)), usize::try_from(count).unwrap_or(usize::MAX));
        }
        if counted.missing > 0 && !key.skip_missing {
            add(self.keys[0].of_missing(), counted.missing);
        }
        own.note(scan);
        for work in scan.work.get(own.work.clone()).unwrap_or(&[]) {
            self.span_to(work.least, work.greatest);
        }
        Some(())
    }
}

/// The rows of `stats`. `first`: only so many are wanted, in this order.
pub fn grouped(
    scan: &Scan<'_>,
    (aggs, by): (&[Agg], &[Key]),
    first: Option<(&[SortKey], usize)>,
    request: &Request,
    stats: &mut Stats,
) -> Result<Vec<OutRow>, QueryError> {
    let limits = &request.limits;
    if let (Some(most), [key]) = (super::counts::wanted(scan, (aggs, by), first), by) {
        return super::counts::most_frequent(scan, (aggs, key), most, limits, stats);
    }
    let mut whole = Grouping::new(aggs, by, limits, 1);
    let order: Vec<usize> = match by {
        [key] if aggs.iter().all(|agg| agg.function.field().is_none()) => {
            let (sources, mut left) = whole_sources(scan, key);
            let unknown = sources.into_iter().filter(|own| whole.count_source(scan, own, key).is_none());
            left.extend(unknown.flat_map(|own| own.work));
            left
        }
        [] if aggs.iter().all(|agg| agg.function == Function::Count) => {
            let (rows, left) = scan.count_by_dictionaries();
            whole.figures.iter_mut().for_each(|figure| figure.count_many(0, rows));
            left
        }
        _ => (0..scan.work.len()).collect(),
    };
    let results = scan.each_of_all(
        &order,
        || Grouping::new(aggs, by, limits, limits.threads),
        |grouping, found| grouping.see(found, aggs, by, &scan.topic_ranks),
    )?;
    let mut results = results.into_iter();
    if order.len() == scan.work.len()
        && let Some(first) = results.next()
    {
        // Nothing was counted before: the others join the first.
        whole = first;
        whole.allow(limits.bytes);
    }
    results.for_each(|result| whole.merge(result));
    Ok(whole.finish(aggs, by, first, request, stats))
}
