//! `stats … by …` over stored rows.
//!
//! For every group of stored rows: the kept rows' keys are turned into numbers (through a table per dictionary, so that a string
//! is hashed once per source and not once per row), combinations of keys into further numbers, and figures are added up in
//! arrays by that number. A row whose key is a list counts once for each different item (rounded, where the key is), as far as
//! memory allows. Threads merge by value.

use std::sync::Arc;

use parking_lot::Mutex;

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
    /// What each figure is of.
    fields: Vec<Option<String>>,
    /// The figures of the answer: which serves for it, and how.
    pub(super) shown: Vec<(usize, Function)>,
    only_counts: bool,
    parsed: Parsed,
    /// What keys and figures may take together.
    bytes: usize,
    /// Rows that could not be counted for want of memory.
    pub lost: bool,
    /// The earliest and the latest row, where a rate needs to know.
    pub(super) span: Option<(i64, i64)>,
    rates: bool,
}

impl Grouping {
    /// Nothing yet; its keys and figures may take so many bytes.
    pub fn new(aggs: &[Agg], by: &[Key], limits: &Limits, bytes: usize) -> Self {
        let mut own: Vec<&Function> = Vec::new();
        let (mut figures, mut shown) = (Vec::new(), Vec::with_capacity(aggs.len()));
        for agg in aggs {
            let at = own.iter().position(|own| Figure::is_same(own, &agg.function)).unwrap_or_else(|| {
                own.push(&agg.function);
                figures.push(Figure::new(agg, bytes));
                own.len() - 1
            });
            shown.push((at, agg.function.clone()));
        }
        Self {
            keys: by.iter().map(|_| KeyTable::new(limits.groups, bytes)).collect(),
            translations: by.iter().map(|_| Vec::new()).collect(),
            pairs: by.iter().skip(1).map(|_| PairTable::new(limits.groups)).collect(),
            figures,
            fields: own.iter().map(|function| function.field().map(str::to_owned)).collect(),
            shown,
            only_counts: aggs.iter().all(|agg| agg.function == Function::Count),
            parsed: Parsed::default(),
            bytes,
            lost: false,
            span: None,
            rates: aggs.iter().any(|agg| matches!(agg.function, Function::Rate(_))),
        }
    }

    /// Bytes that it holds for keys and for figures that grow, about.
    pub(super) fn held(&self) -> usize {
        let figures = self.figures.iter().filter(|figure| figure.grows()).map(Figure::bytes);
        self.keys.iter().map(KeyTable::held).sum::<usize>() + figures.sum::<usize>()
    }

    /// Gives keys what is left of the budget.
    pub(super) fn share(&mut self) {
        let left = self.bytes.saturating_sub(self.held());
        self.keys.iter_mut().for_each(|keys| keys.allow(keys.held() + left));
    }

    /// What a figure of the answer is for a group; rates are of so many seconds.
    pub(super) fn value(&self, shown: usize, group: u32, seconds: f64) -> OutValue {
        let Some((figure, function)) = self.shown.get(shown) else { return OutValue::Null };
        self.figures.get(*figure).map_or(OutValue::Null, |figure| figure.value(function, group, seconds))
    }

    /// Rows from one instant to another were counted.
    pub(super) fn span_to(&mut self, least: i64, greatest: i64) {
        let (from, to) = self.span.unwrap_or((least, greatest));
        self.span = Some((from.min(least), to.max(greatest)));
    }

    /// Adds the kept rows of a group.
    pub fn see(&mut self, found: &Found<'_, '_>, by: &[Key], topic_ranks: &[u32]) {
        if self.rates {
            let times = found.view.times();
            let of_rows = found.rows.iter().filter_map(|row| times.get(row).copied());
            let (least, greatest) =
                of_rows.fold((i64::MAX, i64::MIN), |(least, greatest), ns| (least.min(ns), greatest.max(ns)));
            self.span_to(least, greatest);
        }
        if by.is_empty() && self.fields.iter().all(Option::is_none) {
            let rows = found.rows.count();
            self.figures.iter_mut().for_each(|figure| figure.count_many(0, rows));
            return;
        }
        let counted = match by {
            [key] => self.only_counts && self.see_codes(found, key),
            _ => self.only_counts && self.see_runs(found, by),
        };
        if counted {
            return;
        }
        let (rows, groups) = self.number_rows(found, by);
        // Figures that can grow are watched: past the budget new groups of rows are left out.
        if self.figures.iter().any(Figure::grows) && self.held() > self.bytes {
            self.lost = true;
            return;
        }
        for (figure, field) in self.figures.iter_mut().zip(&self.fields) {
            match field {
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
        self.share();
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
    pub fn add_row(&mut self, out: &OutRow, moment: Moment, by: &[Key]) {
        self.share();
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
            for (figure, field) in self.figures.iter_mut().zip(&self.fields) {
                let datum = match field.as_ref().and_then(|field| out.get(field)) {
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
        self.share();
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

    /// From now on keys and figures may take so many bytes.
    pub(super) fn allow(&mut self, bytes: usize) {
        self.bytes = bytes;
        self.figures.iter_mut().for_each(|figure| figure.allow(bytes));
        self.share();
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
    let mut whole = Grouping::new(aggs, by, limits, limits.bytes);
    let order = whole.count_sources(scan, aggs, by)?;
    // What is counted already goes on in one of the threads; they share what is left.
    let share = limits.bytes.saturating_sub(whole.held()) / scan.readers(&order);
    whole.allow(whole.held() + share);
    let begun = Mutex::new(Some(whole));
    let mut results = scan.each_of_all(
        &order,
        || begun.lock().take().unwrap_or_else(|| Grouping::new(aggs, by, limits, share)),
        |grouping, found| grouping.see(found, by, &scan.topic_ranks),
    )?;
    // The fewer groups join the more.
    results.sort_by_key(|result| std::cmp::Reverse(result.groups()));
    let mut results = results.into_iter();
    let Some(mut whole) = results.next() else { return Ok(Vec::new()) };
    whole.allow(limits.bytes);
    for result in results {
        scan.cancel.go_on(0)?;
        whole.merge(result);
    }
    whole.finish(aggs, by, first, request, stats, scan.cancel)
}
