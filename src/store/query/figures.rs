//! The figures of `stats`, one array each, indexed by the number of the row's group of rows.

use std::collections::BTreeSet;

use super::key_table::NONE;
use super::numbers::{Numbers, Parsed};
use super::out::{OutValue, SortView};
use super::plan::{Agg, Function};
use super::sketch::{Distinct, Quantiles, hash};
use super::sums::{Spread, Sum};
use super::view::{Datum, FieldReader, GroupView, each_number};
use crate::base::predicate::Number;
use crate::base::{row, time};
use crate::store::source::list_items;
use crate::store::typed::put_number;

/// What a value kept by `first`, `last` or `values` costs beside its bytes.
const BESIDE: usize = 64;
/// Longest value that these keep, in bytes.
const LONGEST: usize = 64 * 1024;

/// Which of two rows is the earlier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// Time.
    pub time: i64,
    /// Place of its topic among the topics' names.
    pub topic: u32,
    /// Partition.
    pub partition: u32,
    /// Offset.
    pub offset: u64,
    /// Which of the record's rows.
    pub n: u16,
}

/// One figure for every group of rows.
#[derive(Debug)]
pub struct Figure {
    state: State,
    /// Whether its numbers are instants, and so is the result.
    times: bool,
}

#[derive(Debug)]
enum State {
    Count(Vec<u64>),
    CountOf(Vec<u64>),
    Distinct(Vec<Distinct>),
    Sum(Vec<Sum>),
    Avg(Vec<Sum>),
    Least(Vec<Option<Number>>),
    Greatest(Vec<Option<Number>>),
    Percentile(Vec<Quantiles>, f64),
    Rate(Vec<u64>),
    SumRate(Vec<Sum>),
    First(Vec<Option<(Moment, OutValue)>>, usize),
    Last(Vec<Option<(Moment, OutValue)>>, usize),
    Values { sets: Vec<BTreeSet<Box<[u8]>>>, most: usize, bytes: usize, more: bool },
    Deviation(Vec<Spread>),
    Numbers(Vec<u64>),
    Squares(Vec<f64>),
}

/// A value as `values` shows it; its text tells it from others.
fn texts(datum: Datum<'_>, mut take: impl FnMut(&[u8])) {
    match datum {
        Datum::Missing => {}
        Datum::Str(bytes) => take(bytes),
        Datum::List(entry) => list_items(entry).for_each(take),
        Datum::Number(value, digits) => {
            let mut text = Vec::new();
            put_number(&mut text, value, digits);
            take(&text);
        }
        Datum::Int(int) => take(int.to_string().as_bytes()),
        Datum::Float(float) => take(float.to_string().as_bytes()),
        Datum::Bool(bool) => take(if bool { b"true" } else { b"false" }),
        Datum::Time(ns) => take(time::format(ns).as_bytes()),
    }
}

/// Keeps the least texts of a set, so that which are kept does not depend on their order of arrival. Gives the bytes it grew by.
fn keep(set: &mut BTreeSet<Box<[u8]>>, text: &[u8], most: usize, more: &mut bool) -> usize {
    if set.contains(text) {
        return 0;
    }
    if text.len() > LONGEST || (set.len() >= most && set.last().is_some_and(|last| **last < *text)) {
        *more = true;
        return 0;
    }
    set.insert(text.into());
    if set.len() <= most {
        return text.len() + BESIDE;
    }
    *more = true;
    set.pop_last();
    0
}

/// Keeps the better of two rows' values. Gives the bytes it grew by.
fn keep_one(
    own: &mut Option<(Moment, OutValue)>,
    moment: Moment,
    latest: bool,
    value: impl FnOnce() -> Option<OutValue>,
) -> usize {
    let better = |own: &Moment| if latest { moment > *own } else { moment < *own };
    if !own.as_ref().is_none_or(|(own, _)| better(own)) {
        return 0;
    }
    let Some(value) = value() else { return 0 };
    let size = |value: &OutValue| match value {
        OutValue::Str(bytes) => bytes.len(),
        OutValue::List(items) => items.iter().map(|item| item.len() + BESIDE).sum(),
        _ => 0,
    };
    if size(&value) > LONGEST {
        return 0;
    }
    let (before, after) = (own.as_ref().map_or(0, |(_, value)| size(value)), size(&value));
    *own = Some((moment, value));
    after.saturating_sub(before)
}

fn at<T: Default>(all: &mut Vec<T>, index: u32) -> &mut T {
    let index = index as usize;
    if index >= all.len() {
        all.resize_with(index + 1, T::default);
    }
    &mut all[index]
}

/// Keeps the better of two; of equals the whole number, so that the result does not depend on which came first. NaN is passed
/// over: nothing is better than it.
fn better(own: &mut Option<Number>, number: Number, wanted: std::cmp::Ordering) {
    if number.compare(number).is_none() {
        return;
    }
    let is_better = |own: Number| match number.compare(own) {
        Some(std::cmp::Ordering::Equal) => matches!(number, Number::Int(_)),
        order => order == Some(wanted),
    };
    if own.is_none_or(is_better) {
        *own = Some(number);
    }
}

impl Figure {
    /// An empty one.
    pub fn new(agg: &Agg) -> Self {
        let state = match &agg.function {
            Function::Count => State::Count(Vec::new()),
            Function::CountOf(_) => State::CountOf(Vec::new()),
            Function::Distinct(_) => State::Distinct(Vec::new()),
            Function::Sum(_) => State::Sum(Vec::new()),
            Function::Avg(_) => State::Avg(Vec::new()),
            Function::Min(_) => State::Least(Vec::new()),
            Function::Max(_) => State::Greatest(Vec::new()),
            Function::Percentile(_, hundredths) => State::Percentile(Vec::new(), *hundredths),
            Function::Rate(None) => State::Rate(Vec::new()),
            Function::Rate(Some(_)) => State::SumRate(Vec::new()),
            Function::First(_) => State::First(Vec::new(), 0),
            Function::Last(_) => State::Last(Vec::new(), 0),
            Function::Values(_, most) => State::Values { sets: Vec::new(), most: *most, bytes: 0, more: false },
            Function::Deviation(_) => State::Deviation(Vec::new()),
            Function::Numbers(_) => State::Numbers(Vec::new()),
            Function::Squares(_) => State::Squares(Vec::new()),
        };
        let times = agg.function.field() == Some(row::TIME);
        Self { state, times }
    }

    /// Counts rows of groups.
    pub fn count_rows(&mut self, groups: &[u32]) {
        if let State::Count(counts) | State::Rate(counts) = &mut self.state {
            let most = groups.iter().copied().filter(|&group| group != NONE).max();
            if let Some(most) = most {
                at(counts, most);
            }
            for &group in groups {
                if let Some(count) = counts.get_mut(group as usize) {
                    *count += 1;
                }
            }
        }
    }

    /// Counts so many rows of one group.
    pub fn count_many(&mut self, group: u32, rows: usize) {
        if let State::Count(counts) | State::Rate(counts) = &mut self.state {
            *at(counts, group) += rows as u64;
        }
    }

    /// Whether it wants to know which row is earlier.
    pub fn is_by_time(&self) -> bool {
        matches!(self.state, State::First(..) | State::Last(..))
    }

    /// Adds a row's value to a group, for figures that go by time.
    pub fn add_at(&mut self, group: u32, moment: Moment, datum: Datum<'_>) {
        match &mut self.state {
            State::First(all, bytes) => *bytes += keep_one(at(all, group), moment, false, || datum.to_out()),
            State::Last(all, bytes) => *bytes += keep_one(at(all, group), moment, true, || datum.to_out()),
            _ => self.add(group, datum),
        }
    }

    /// Adds a row's value to a group.
    pub fn add(&mut self, group: u32, datum: Datum<'_>) {
        match &mut self.state {
            State::Count(counts) | State::Rate(counts) => *at(counts, group) += 1,
            State::First(..) | State::Last(..) => self.add_at(group, Moment::default(), datum),
            State::Values { sets, most, bytes, more } => {
                let set = at(sets, group);
                texts(datum, |text| *bytes += keep(set, text, *most, more));
            }
            State::Deviation(all) => {
                let spread = at(all, group);
                each_number(datum, |number| spread.add(number.as_f64()));
            }
            State::CountOf(counts) => *at(counts, group) += u64::from(datum != Datum::Missing),
            State::Distinct(sets) => {
                let set = at(sets, group);
                match datum {
                    Datum::Missing => {}
                    Datum::Str(bytes) => set.add(hash(bytes)),
                    Datum::List(entry) => list_items(entry).for_each(|item| set.add(hash(item))),
                    Datum::Number(value, digits) => {
                        let mut text = Vec::with_capacity(24);
                        put_number(&mut text, value, digits);
                        set.add(hash(&text));
                    }
                    Datum::Int(int) => set.add(hash(int.to_string().as_bytes())),
                    Datum::Time(ns) => set.add(hash(&ns.to_le_bytes())),
                    Datum::Float(float) => set.add(hash(float.to_string().as_bytes())),
                    Datum::Bool(bool) => set.add(hash(if bool { b"true" } else { b"false" })),
                }
            }
            State::Sum(sums) | State::Avg(sums) | State::SumRate(sums) => {
                let sum = at(sums, group);
                each_number(datum, |number| sum.add(number));
            }
            State::Least(bests) => {
                let best = at(bests, group);
                each_number(datum, |number| better(best, number, std::cmp::Ordering::Less));
            }
            State::Greatest(bests) => {
                let best = at(bests, group);
                each_number(datum, |number| better(best, number, std::cmp::Ordering::Greater));
            }
            State::Percentile(all, _) => {
                let quantiles = at(all, group);
                each_number(datum, |number| quantiles.add(number.as_f64()));
            }
            State::Numbers(counts) => {
                let count = at(counts, group);
                each_number(datum, |_| *count += 1);
            }
            State::Squares(sums) => {
                let sum = at(sums, group);
                each_number(datum, |number| *sum += number.as_f64() * number.as_f64());
            }
        }
    }

    /// Whether it is made of a column's numbers.
    fn is_of_numbers(&self) -> bool {
        matches!(
            self.state,
            State::Sum(_)
                | State::Avg(_)
                | State::SumRate(_)
                | State::Least(_)
                | State::Greatest(_)
                | State::Percentile(..)
                | State::Deviation(_)
                | State::Numbers(_)
                | State::Squares(_)
        )
    }

    /// Adds the values of a field in rows to their groups.
    pub fn add_rows(&mut self, rows: &[u32], groups: &[u32], view: &GroupView<'_>, reader: &FieldReader, parsed: &mut Parsed) {
        if self.is_of_numbers()
            && let Some(columns) = Numbers::of(view, reader)
            && let Some(most) = groups.iter().copied().filter(|&group| group != NONE).max()
        {
            columns.iter().for_each(|numbers| self.add_numbers(rows, groups, most, numbers, parsed));
            return;
        }
        for (&row, &group) in rows.iter().zip(groups) {
            if group != NONE {
                self.add(group, view.get(reader, row as usize));
            }
        }
    }

    /// The same of a column of numbers. No group is above `most`, but for [`NONE`], which no array reaches.
    fn add_numbers(&mut self, rows: &[u32], groups: &[u32], most: u32, numbers: &Numbers<'_>, parsed: &mut Parsed) {
        use std::cmp::Ordering::{Greater, Less};
        macro_rules! each {
            ($all:expr, $add:expr) => {{
                at($all, most);
                numbers.each(rows, groups, parsed, |group, number| {
                    if let Some(own) = $all.get_mut(group as usize) {
                        $add(own, number);
                    }
                });
            }};
        }
        match &mut self.state {
            State::Sum(sums) | State::Avg(sums) | State::SumRate(sums) => each!(sums, Sum::add),
            State::Least(bests) => each!(bests, |best, number| better(best, number, Less)),
            State::Greatest(bests) => each!(bests, |best, number| better(best, number, Greater)),
            State::Percentile(all, _) => each!(all, |own: &mut Quantiles, number: Number| own.add(number.as_f64())),
            State::Deviation(all) => each!(all, |own: &mut Spread, number: Number| own.add(number.as_f64())),
            State::Numbers(counts) => each!(counts, |own: &mut u64, _| *own += 1),
            State::Squares(sums) => each!(sums, |own: &mut f64, number: Number| *own += number.as_f64() * number.as_f64()),
            _ => {}
        }
    }

    /// Adds another thread's figure, whose group g is this one's `groups[g]`.
    pub fn merge(&mut self, other: Self, groups: &[u32]) {
        fn both<T: Default>(own: &mut Vec<T>, theirs: Vec<T>, groups: &[u32], mut add: impl FnMut(&mut T, T)) {
            for (their, &group) in theirs.into_iter().zip(groups) {
                if group != NONE {
                    add(at(own, group), their);
                }
            }
        }
        match (&mut self.state, other.state) {
            (State::Squares(own), State::Squares(theirs)) => both(own, theirs, groups, |own, their| *own += their),
            (State::First(own, bytes), State::First(theirs, _)) => both(own, theirs, groups, |own, their| {
                if let Some((moment, value)) = their {
                    *bytes += keep_one(own, moment, false, || Some(value));
                }
            }),
            (State::Last(own, bytes), State::Last(theirs, _)) => both(own, theirs, groups, |own, their| {
                if let Some((moment, value)) = their {
                    *bytes += keep_one(own, moment, true, || Some(value));
                }
            }),
            (State::Values { sets: own, most, bytes, more }, State::Values { sets: theirs, more: also, .. }) => {
                *more |= also;
                both(own, theirs, groups, |own, their| {
                    their.iter().for_each(|text| *bytes += keep(own, text, *most, more));
                });
            }
            (State::Deviation(own), State::Deviation(theirs)) => both(own, theirs, groups, |own, their| own.merge(&their)),
            (State::Count(own), State::Count(theirs))
            | (State::CountOf(own), State::CountOf(theirs))
            | (State::Rate(own), State::Rate(theirs))
            | (State::Numbers(own), State::Numbers(theirs)) => {
                both(own, theirs, groups, |own, their| *own += their);
            }
            (State::Distinct(own), State::Distinct(theirs)) => both(own, theirs, groups, |own, their| own.merge(&their)),
            (State::Sum(own), State::Sum(theirs))
            | (State::Avg(own), State::Avg(theirs))
            | (State::SumRate(own), State::SumRate(theirs)) => both(own, theirs, groups, |own, their| own.merge(&their)),
            (State::Least(own), State::Least(theirs)) => both(own, theirs, groups, |own, their| {
                if let Some(number) = their {
                    better(own, number, std::cmp::Ordering::Less);
                }
            }),
            (State::Greatest(own), State::Greatest(theirs)) => both(own, theirs, groups, |own, their| {
                if let Some(number) = their {
                    better(own, number, std::cmp::Ordering::Greater);
                }
            }),
            (State::Percentile(own, _), State::Percentile(theirs, _)) => {
                both(own, theirs, groups, |own, their| own.merge(&their))
            }
            _ => {}
        }
    }

    /// Bytes of memory, about.
    pub fn bytes(&self) -> usize {
        match &self.state {
            State::Count(all) | State::CountOf(all) | State::Rate(all) | State::Numbers(all) => all.capacity() * 8,
            State::First(all, bytes) | State::Last(all, bytes) => all.capacity() * 80 + bytes,
            State::Values { sets, bytes, .. } => sets.capacity() * 24 + bytes,
            State::Deviation(all) => all.capacity() * size_of::<Spread>(),
            State::Squares(all) => all.capacity() * 8,
            State::Distinct(all) => all.iter().map(Distinct::bytes).sum::<usize>() + all.capacity() * 48,
            State::Sum(all) | State::Avg(all) | State::SumRate(all) => all.capacity() * size_of::<Sum>(),
            State::Least(all) | State::Greatest(all) => all.capacity() * 24,
            State::Percentile(all, _) => {
                all.iter().map(Quantiles::bytes).sum::<usize>() + all.capacity() * size_of::<Quantiles>()
            }
        }
    }

    /// Whether what it holds for a group can grow with its rows.
    pub fn grows(&self) -> bool {
        matches!(
            self.state,
            State::Distinct(_) | State::Percentile(..) | State::Values { .. } | State::First(..) | State::Last(..)
        )
    }

    /// Whether any result is an estimate.
    pub fn is_estimate(&self) -> bool {
        match &self.state {
            State::Distinct(all) => all.iter().any(Distinct::is_estimate),
            State::Percentile(all, _) => all.iter().any(Quantiles::is_estimate),
            State::Values { more, .. } => *more,
            _ => false,
        }
    }

    /// The result for a group; rates are of so many seconds.
    #[allow(clippy::cast_precision_loss)]
    pub fn value(&self, group: u32, seconds: f64) -> OutValue {
        let index = group as usize;
        let count =
            |counts: &[u64]| OutValue::Int(counts.get(index).map_or(0, |&count| i64::try_from(count).unwrap_or(i64::MAX)));
        let number = |number: Option<Number>| match number {
            None => OutValue::Null,
            Some(Number::Int(int)) if self.times => OutValue::Time(int),
            Some(Number::Int(int)) => OutValue::Int(int),
            Some(Number::Float(float)) => OutValue::Float(float),
        };
        match &self.state {
            State::Count(counts) | State::CountOf(counts) | State::Numbers(counts) => count(counts),
            State::Rate(counts) => OutValue::Float(counts.get(index).map_or(0.0, |&count| count as f64) / seconds),
            State::SumRate(sums) => OutValue::Float(sums.get(index).map_or(0.0, Sum::as_f64) / seconds),
            State::First(all, _) | State::Last(all, _) => {
                all.get(index).cloned().flatten().map_or(OutValue::Null, |(_, value)| value)
            }
            State::Values { sets, .. } => {
                let mut items: Vec<Box<[u8]>> = sets.get(index).into_iter().flatten().cloned().collect();
                items.sort_by(|a, b| SortView::of_bytes(a).order(&SortView::of_bytes(b)).then_with(|| a.cmp(b)));
                OutValue::List(items)
            }
            State::Deviation(all) => all.get(index).and_then(Spread::deviation).map_or(OutValue::Null, OutValue::Float),
            State::Squares(sums) => OutValue::Float(sums.get(index).copied().unwrap_or(0.0)),
            State::Distinct(sets) => {
                OutValue::Int(sets.get(index).map_or(0, |set| i64::try_from(set.count()).unwrap_or(i64::MAX)))
            }
            State::Sum(sums) => match sums.get(index).filter(|sum| sum.count > 0) {
                None => OutValue::Null,
                Some(sum) if sum.decimals => OutValue::Float(sum.as_f64()),
                Some(sum) => i64::try_from(sum.whole).map_or(OutValue::Float(sum.as_f64()), OutValue::Int),
            },
            State::Avg(sums) => match sums.get(index).filter(|sum| sum.count > 0) {
                None => OutValue::Null,
                Some(sum) if self.times => OutValue::Time(i64::try_from(sum.whole / i128::from(sum.count)).unwrap_or(i64::MAX)),
                #[allow(clippy::cast_precision_loss)]
                Some(sum) => OutValue::Float(sum.as_f64() / sum.count as f64),
            },
            State::Least(all) | State::Greatest(all) => number(all.get(index).copied().flatten()),
            State::Percentile(all, hundredths) => match all.get(index).and_then(|all| all.percentile(*hundredths)) {
                None => OutValue::Null,
                #[allow(clippy::cast_possible_truncation)]
                Some(value) if self.times => OutValue::Time(value as i64),
                Some(value) => OutValue::Float(value),
            },
        }
    }
}
