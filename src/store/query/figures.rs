//! The figures of `stats`, one array each, indexed by the number of the row's group of rows.

use std::collections::BTreeSet;

use super::distinct::{Known, Repeating, each_hash, values_in};
use super::kept::{Kept, Room, keep, keep_one, texts};
use super::key_table::NONE;
use super::numbers::{Numbers, Parsed};
use super::out::{OutValue, SortView};
use super::plan::{Agg, Function};
use super::sketch::{Distinct, Quantiles};
use super::sums::{Spread, Sum};
use super::view::{Datum, FieldReader, GroupView, each_number};
use crate::base::predicate::Number;
use crate::base::row;

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

/// One figure for every group of rows: or several, where what they are made of is the same (`p50(f)` and `p99(f)`).
#[derive(Debug)]
pub struct Figure {
    state: State,
    /// Whether its numbers are instants, and so is the result.
    times: bool,
    /// For what its groups hold beside the arrays.
    room: Room,
    /// Of dictionaries: what is known of their entries.
    known: Known,
}

#[derive(Debug)]
enum State {
    Count(Vec<u64>),
    CountOf(Vec<u64>),
    Distinct(Vec<Distinct>),
    Sum(Vec<Sum>),
    Least(Vec<Option<Number>>),
    Greatest(Vec<Option<Number>>),
    Percentile(Vec<Quantiles>),
    Rate(Vec<u64>),
    First(Vec<Option<(Moment, Kept)>>),
    Last(Vec<Option<(Moment, Kept)>>),
    Values { sets: Vec<BTreeSet<Box<[u8]>>>, most: usize, more: bool },
    Deviation(Vec<Spread>),
    Numbers(Vec<u64>),
    Items(Vec<u64>),
    Squares(Vec<f64>),
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
    /// An empty one; values that it keeps may take so many bytes.
    pub fn new(agg: &Agg, most: usize) -> Self {
        let state = match &agg.function {
            Function::Count => State::Count(Vec::new()),
            Function::CountOf(_) => State::CountOf(Vec::new()),
            Function::Distinct(_) => State::Distinct(Vec::new()),
            Function::Sum(_) | Function::Avg(_) | Function::Rate(Some(_)) => State::Sum(Vec::new()),
            Function::Min(_) => State::Least(Vec::new()),
            Function::Max(_) => State::Greatest(Vec::new()),
            Function::Percentile(..) => State::Percentile(Vec::new()),
            Function::Rate(None) => State::Rate(Vec::new()),
            Function::First(_) => State::First(Vec::new()),
            Function::Last(_) => State::Last(Vec::new()),
            Function::Values(_, most) => State::Values { sets: Vec::new(), most: *most, more: false },
            Function::Deviation(_) => State::Deviation(Vec::new()),
            Function::Numbers(_) => State::Numbers(Vec::new()),
            Function::Items(_) => State::Items(Vec::new()),
            Function::Squares(_) => State::Squares(Vec::new()),
        };
        let times = agg.function.field() == Some(row::TIME);
        Self { state, times, room: Room::new(most), known: Known::default() }
    }

    /// Whether two are made of the same, and one serves for both.
    pub fn is_same(a: &Function, b: &Function) -> bool {
        use Function::{Avg, Percentile, Rate, Sum};
        match (a, b) {
            (Percentile(a, _), Percentile(b, _)) => a == b,
            (Sum(a) | Avg(a) | Rate(Some(a)), Sum(b) | Avg(b) | Rate(Some(b))) => a == b,
            _ => a == b,
        }
    }

    /// From now on the values that it keeps may take so many bytes.
    pub fn allow(&mut self, most: usize) {
        self.room.most = most;
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

    /// Counts so many rows of one group that have this one value, or nothing, as the field's value.
    pub fn count_entry(&mut self, group: u32, entry: Datum<'_>, rows: usize) {
        match (&mut self.state, entry) {
            (State::CountOf(_) | State::Items(_) | State::Distinct(_), Datum::Missing) => {}
            (State::CountOf(counts) | State::Items(counts), _) => *at(counts, group) += rows as u64,
            (State::Distinct(sets), entry) => {
                self.room.grown(at(sets, group), Distinct::bytes, |set| each_hash(entry, |hash| set.add(hash)));
            }
            // To them a value says the same however often it is met.
            (State::Values { .. } | State::Least(_) | State::Greatest(_), entry) => self.add(group, entry),
            _ => self.count_many(group, rows),
        }
    }

    /// Whether it wants to know which row is earlier.
    pub fn is_by_time(&self) -> bool {
        matches!(self.state, State::First(..) | State::Last(..))
    }

    /// Adds a row's value to a group, for figures that go by time.
    pub fn add_at(&mut self, group: u32, moment: Moment, datum: Datum<'_>) {
        let of_datum = |datum: Datum<'_>| datum.to_out().map(Kept::Value);
        match &mut self.state {
            State::First(all) => keep_one(at(all, group), moment, false, &mut self.room, || of_datum(datum)),
            State::Last(all) => keep_one(at(all, group), moment, true, &mut self.room, || of_datum(datum)),
            _ => self.add(group, datum),
        }
    }

    /// Adds a row's value to a group.
    pub fn add(&mut self, group: u32, datum: Datum<'_>) {
        match &mut self.state {
            State::Count(counts) | State::Rate(counts) => *at(counts, group) += 1,
            State::First(..) | State::Last(..) => self.add_at(group, Moment::default(), datum),
            State::Values { sets, most, more } => {
                let set = at(sets, group);
                texts(datum, |text| keep(set, text, *most, more, &mut self.room));
            }
            State::Deviation(all) => {
                let spread = at(all, group);
                each_number(datum, |number| spread.add(number.as_f64()));
            }
            State::CountOf(counts) => *at(counts, group) += u64::from(datum != Datum::Missing),
            State::Items(counts) => *at(counts, group) += values_in(datum),
            State::Distinct(sets) => {
                self.room.grown(at(sets, group), Distinct::bytes, |set| each_hash(datum, |hash| set.add(hash)));
            }
            State::Sum(sums) => {
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
            State::Percentile(all) => self.room.grown(at(all, group), Quantiles::bytes, |own| {
                each_number(datum, |number| own.add(number.as_f64()));
            }),
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
                | State::Least(_)
                | State::Greatest(_)
                | State::Percentile(_)
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
        if let State::Distinct(sets) = &mut self.state
            && let FieldReader::Chunks(chunks) = reader
            && let Some(most) = groups.iter().copied().filter(|&group| group != NONE).max()
            && let Some(columns) = chunks.iter().map(Repeating::of).collect::<Option<Vec<_>>>()
        {
            at(sets, most);
            for column in columns {
                self.known.each_new(column, (rows, groups), |group, hash| {
                    if let Some(set) = sets.get_mut(group as usize) {
                        self.room.grown(set, Distinct::bytes, |set| set.add(hash));
                    }
                });
            }
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
            State::Sum(sums) => each!(sums, Sum::add),
            State::Least(bests) => each!(bests, |best, number| better(best, number, Less)),
            State::Greatest(bests) => each!(bests, |best, number| better(best, number, Greater)),
            State::Percentile(all) => each!(all, |own: &mut Quantiles, number: Number| {
                self.room.grown(own, Quantiles::bytes, |own| own.add(number.as_f64()));
            }),
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
        let room = &mut self.room;
        room.cut |= other.room.cut;
        match (&mut self.state, other.state) {
            (State::Squares(own), State::Squares(theirs)) => both(own, theirs, groups, |own, their| *own += their),
            (State::First(own), State::First(theirs)) => both(own, theirs, groups, |own, their| {
                if let Some((moment, value)) = their {
                    keep_one(own, moment, false, room, || Some(value));
                }
            }),
            (State::Last(own), State::Last(theirs)) => both(own, theirs, groups, |own, their| {
                if let Some((moment, value)) = their {
                    keep_one(own, moment, true, room, || Some(value));
                }
            }),
            (State::Values { sets: own, most, more }, State::Values { sets: theirs, more: also, .. }) => {
                *more |= also;
                both(own, theirs, groups, |own, their| their.iter().for_each(|text| keep(own, text, *most, more, room)));
            }
            (State::Deviation(own), State::Deviation(theirs)) => both(own, theirs, groups, |own, their| own.merge(&their)),
            (State::Count(own), State::Count(theirs))
            | (State::CountOf(own), State::CountOf(theirs))
            | (State::Items(own), State::Items(theirs))
            | (State::Rate(own), State::Rate(theirs))
            | (State::Numbers(own), State::Numbers(theirs)) => {
                both(own, theirs, groups, |own, their| *own += their);
            }
            (State::Distinct(own), State::Distinct(theirs)) => both(own, theirs, groups, |own, their| {
                room.grown(own, Distinct::bytes, |own| own.merge(&their));
            }),
            (State::Sum(own), State::Sum(theirs)) => both(own, theirs, groups, |own, their| own.merge(&their)),
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
            (State::Percentile(own), State::Percentile(theirs)) => both(own, theirs, groups, |own, their| {
                room.grown(own, Quantiles::bytes, |own| own.merge(&their));
            }),
            _ => {}
        }
    }

    /// Bytes of memory, about.
    pub fn bytes(&self) -> usize {
        let arrays = match &self.state {
            State::Count(all) | State::CountOf(all) | State::Rate(all) | State::Numbers(all) | State::Items(all) => {
                all.capacity() * 8
            }
            State::First(all) | State::Last(all) => all.capacity() * 80,
            State::Values { sets, .. } => sets.capacity() * 24,
            State::Deviation(all) => all.capacity() * size_of::<Spread>(),
            State::Squares(all) => all.capacity() * 8,
            State::Distinct(all) => all.capacity() * size_of::<Distinct>(),
            State::Sum(all) => all.capacity() * size_of::<Sum>(),
            State::Least(all) | State::Greatest(all) => all.capacity() * 24,
            State::Percentile(all) => all.capacity() * size_of::<Quantiles>(),
        };
        arrays + self.room.held
    }

    /// Whether there was no memory for a value that belongs to a result.
    pub fn is_cut(&self) -> bool {
        match &self.state {
            State::First(all) | State::Last(all) => all.iter().any(|kept| matches!(kept, Some((_, Kept::TooLong)))),
            _ => self.room.cut,
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
            State::Percentile(all) => all.iter().any(Quantiles::is_estimate),
            State::Values { more, .. } => *more,
            _ => false,
        }
    }

    /// What one of the functions that it serves is for a group; rates are of so many seconds.
    #[allow(clippy::cast_precision_loss)]
    pub fn value(&self, function: &Function, group: u32, seconds: f64) -> OutValue {
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
            State::Count(counts) | State::CountOf(counts) | State::Numbers(counts) | State::Items(counts) => count(counts),
            State::Rate(counts) => OutValue::Float(counts.get(index).map_or(0.0, |&count| count as f64) / seconds),
            State::First(all) | State::Last(all) => match all.get(index) {
                Some(Some((_, Kept::Value(value)))) => value.clone(),
                _ => OutValue::Null,
            },
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
            State::Sum(sums) => match (function, sums.get(index).filter(|sum| sum.count > 0)) {
                (Function::Rate(_), sum) => OutValue::Float(sum.map_or(0.0, Sum::as_f64) / seconds),
                (_, None) => OutValue::Null,
                (Function::Avg(_), Some(sum)) if self.times => {
                    OutValue::Time(i64::try_from(sum.whole / i128::from(sum.count)).unwrap_or(i64::MAX))
                }
                (Function::Avg(_), Some(sum)) => OutValue::Float(sum.as_f64() / sum.count as f64),
                (_, Some(sum)) if sum.decimals => OutValue::Float(sum.as_f64()),
                (_, Some(sum)) => i64::try_from(sum.whole).map_or(OutValue::Float(sum.as_f64()), OutValue::Int),
            },
            State::Least(all) | State::Greatest(all) => number(all.get(index).copied().flatten()),
            State::Percentile(all) => {
                let Function::Percentile(_, hundredths) = function else { return OutValue::Null };
                match all.get(index).and_then(|all| all.percentile(*hundredths)) {
                    None => OutValue::Null,
                    #[allow(clippy::cast_possible_truncation)]
                    Some(value) if self.times => OutValue::Time(value as i64),
                    Some(value) => OutValue::Float(value),
                }
            }
        }
    }
}
