//! The figures of `stats`, one array each, indexed by the number of the row's group of rows.

use super::key_table::NONE;
use super::numbers::{Numbers, Parsed};
use super::out::OutValue;
use super::plan::{Agg, Function};
use super::sketch::{Distinct, Quantiles, hash};
use super::view::{Datum, FieldReader, GroupView, each_number};
use crate::base::predicate::Number;
use crate::base::row;
use crate::store::source::list_items;
use crate::store::typed::put_number;

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
}

/// Whole numbers are added exactly, the others as doubles.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    whole: i128,
    rest: f64,
    decimals: bool,
    count: u64,
}

impl Sum {
    fn add(&mut self, number: Number) {
        self.count += 1;
        match number {
            Number::Int(int) => self.whole += i128::from(int),
            Number::Float(float) => {
                self.rest += float;
                self.decimals = true;
            }
        }
    }

    #[allow(clippy::cast_precision_loss)]
    fn as_f64(&self) -> f64 {
        self.whole as f64 + self.rest
    }
}

fn at<T: Default>(all: &mut Vec<T>, index: u32) -> &mut T {
    let index = index as usize;
    if index >= all.len() {
        all.resize_with(index + 1, T::default);
    }
    &mut all[index]
}

/// Keeps the better of two; of equals the whole number, so that the result does not depend on which came first.
fn better(own: &mut Option<Number>, number: Number, wanted: std::cmp::Ordering) {
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
        };
        let times = agg.function.field() == Some(row::TIME);
        Self { state, times }
    }

    /// Counts rows of groups.
    pub fn count_rows(&mut self, groups: &[u32]) {
        if let State::Count(counts) = &mut self.state {
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
        if let State::Count(counts) = &mut self.state {
            *at(counts, group) += rows as u64;
        }
    }

    /// Adds a row's value to a group.
    pub fn add(&mut self, group: u32, datum: Datum<'_>) {
        match &mut self.state {
            State::Count(counts) => *at(counts, group) += 1,
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
            State::Sum(sums) | State::Avg(sums) => {
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
        }
    }

    /// Adds the values of a field in rows to their groups.
    pub fn add_rows(&mut self, rows: &[u32], groups: &[u32], view: &GroupView<'_>, reader: &FieldReader, parsed: &mut Parsed) {
        if !matches!(self.state, State::Count(_) | State::CountOf(_) | State::Distinct(_))
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

    /// The same of a column of numbers, for figures of numbers. No group is above `most`, but for [`NONE`],
    /// which no array reaches.
    fn add_numbers(&mut self, rows: &[u32], groups: &[u32], most: u32, numbers: &Numbers<'_>, parsed: &mut Parsed) {
        match &mut self.state {
            State::Count(_) | State::CountOf(_) | State::Distinct(_) => {}
            State::Sum(sums) | State::Avg(sums) => {
                at(sums, most);
                numbers.each(rows, groups, parsed, |group, number| {
                    if let Some(sum) = sums.get_mut(group as usize) {
                        sum.add(number);
                    }
                });
            }
            State::Least(bests) => {
                at(bests, most);
                numbers.each(rows, groups, parsed, |group, number| {
                    if let Some(best) = bests.get_mut(group as usize) {
                        better(best, number, std::cmp::Ordering::Less);
                    }
                });
            }
            State::Greatest(bests) => {
                at(bests, most);
                numbers.each(rows, groups, parsed, |group, number| {
                    if let Some(best) = bests.get_mut(group as usize) {
                        better(best, number, std::cmp::Ordering::Greater);
                    }
                });
            }
            State::Percentile(all, _) => {
                at(all, most);
                numbers.each(rows, groups, parsed, |group, number| {
                    if let Some(quantiles) = all.get_mut(group as usize) {
                        quantiles.add(number.as_f64());
                    }
                });
            }
        }
    }

    /// Adds another thread's figure, whose group g is this one's `groups[g]`.
    pub fn merge(&mut self, other: Self, groups: &[u32]) {
        fn both<T: Default>(own: &mut Vec<T>, theirs: Vec<T>, groups: &[u32], add: impl Fn(&mut T, T)) {
            for (their, &group) in theirs.into_iter().zip(groups) {
                if group != NONE {
                    add(at(own, group), their);
                }
            }
        }
        match (&mut self.state, other.state) {
            (State::Count(own), State::Count(theirs)) | (State::CountOf(own), State::CountOf(theirs)) => {
                both(own, theirs, groups, |own, their| *own += their);
            }
            (State::Distinct(own), State::Distinct(theirs)) => both(own, theirs, groups, |own, their| own.merge(&their)),
            (State::Sum(own), State::Sum(theirs)) | (State::Avg(own), State::Avg(theirs)) => {
                both(own, theirs, groups, |own, their| {
                    own.whole += their.whole;
                    own.rest += their.rest;
                    own.decimals |= their.decimals;
                    own.count += their.count;
                })
            }
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
            State::Count(all) | State::CountOf(all) => all.capacity() * 8,
            State::Distinct(all) => all.iter().map(Distinct::bytes).sum::<usize>() + all.capacity() * 48,
            State::Sum(all) | State::Avg(all) => all.capacity() * size_of::<Sum>(),
            State::Least(all) | State::Greatest(all) => all.capacity() * 24,
            State::Percentile(all, _) => {
                all.iter().map(Quantiles::bytes).sum::<usize>() + all.capacity() * size_of::<Quantiles>()
            }
        }
    }

    /// Whether what it holds for a group can grow with its rows.
    pub fn grows(&self) -> bool {
        matches!(self.state, State::Distinct(_) | State::Percentile(..))
    }

    /// Whether any result is an estimate.
    pub fn is_estimate(&self) -> bool {
        match &self.state {
            State::Distinct(all) => all.iter().any(Distinct::is_estimate),
            State::Percentile(all, _) => all.iter().any(Quantiles::is_estimate),
            _ => false,
        }
    }

    /// The result for a group.
    pub fn value(&self, group: u32) -> OutValue {
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
            State::Count(counts) | State::CountOf(counts) => count(counts),
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
