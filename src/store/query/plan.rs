//! A query as data: a predicate and the pipes after it. Text parses to it, other dialects build it from its public parts, and it
//! prints itself ([`super::show`]) so that it parses to the same again.

use super::expr::Expr;
use super::extract::Extractor;
use super::out::{OutValue, SortView};
use super::pick::Pick;
use super::rounding::Rounding;
use super::view::Datum;
use crate::base::predicate::{Number, Predicate};

/// What is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// Which rows.
    pub predicate: Predicate,
    /// What is made of them, in order.
    pub pipes: Vec<Pipe>,
}

/// One step after the predicate.
#[derive(Clone, Debug, PartialEq)]
pub enum Pipe {
    /// `where predicate`: keeps some rows.
    Where(Predicate),
    /// `stats a, b by c`: one row for each distinct combination of the keys.
    Stats(Vec<Agg>, Vec<Key>),
    /// `sort -a, b`: orders rows; what is absent comes last.
    Sort(Vec<SortKey>),
    /// `limit n`: the first n.
    Limit(usize),
    /// `fields a, b`: what is shown. Pipes after it still see all; the last one counts.
    Fields(Vec<String>),
    /// `top n a, b`: the most frequent combinations of values.
    Top(usize, Vec<String>),
    /// `rare n a, b`: the least frequent.
    Rare(usize, Vec<String>),
    /// `dedup a, b`: of rows with the same values the first.
    Dedup(Vec<String>),
    /// `eval name = expression, …`: columns that are computed.
    Eval(Vec<(String, Expr)>),
    /// `extract "pattern" from field`: columns out of a text. Where it does not match, a column stays as it was.
    Extract(Extractor, String),
    /// `rename a as b, …`.
    Rename(Vec<(String, String)>),
    /// `lookup table on field …`: columns out of a table of the box.
    Lookup(Lookup),
    /// `timeseries span 5m count() by app`: `stats` by time, without gaps.
    Timeseries(Series),
    /// `patterns n of field`: texts clustered by their shape, the most frequent first.
    Patterns(usize, String),
}

/// What `timeseries` computes.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Figures.
    pub aggs: Vec<Agg>,
    /// Keys beside the time.
    pub by: Vec<Key>,
    /// Nanoseconds from one row to the next; chosen where nothing is said.
    pub step: Option<i64>,
}

/// What `lookup` takes out of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookup {
    /// The table.
    pub table: String,
    /// The field whose value is the key.
    pub on: String,
    /// What is taken.
    pub take: Take,
}

/// What is taken from a table's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Take {
    /// All of it, into this column.
    Whole(String),
    /// These members of a JSON object, and into which columns.
    Members(Vec<(String, String)>),
}

/// A figure over rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Agg {
    /// Which.
    pub function: Function,
    /// Name of its column.
    pub name: String,
}

/// What is computed. Numbers are those of the field's values and of strings that read as numbers; yes is 1 and no is 0.
#[derive(Clone, Debug, PartialEq)]
pub enum Function {
    /// `count()`: rows.
    Count,
    /// `count(f)`: rows that have the field.
    CountOf(String),
    /// `count_distinct(f)`: different values; beyond some thousands an estimate within about 1 %.
    Distinct(String),
    /// `sum(f)`.
    Sum(String),
    /// `avg(f)`.
    Avg(String),
    /// `min(f)`.
    Min(String),
    /// `max(f)`.
    Max(String),
    /// `rate()`: rows a second of the bin of time, or of the span that is asked; `rate(f)`: the sum of a field a second.
    Rate(Option<String>),
    /// `first(f)`: the value of the earliest row that has one.
    First(String),
    /// `last(f)`: of the latest.
    Last(String),
    /// `values(f)`: different values, at most so many (100, if nothing is said).
    Values(String, usize),
    /// `stddev(f)`: how far values lie from their mean (of the population).
    Deviation(String),
    /// `p99(f)`: the value below which so many hundredths of them are, between two where it falls between their
    /// places; beyond a thousand within 1 %.
    Percentile(String, f64),
    /// `count_numbers(f)`: numbers, those of lists one by one.
    Numbers(String),
    /// `sum_squares(f)`.
    Squares(String),
    /// `count_values(f)`: the different values of each row, those of lists one by one: as many rows as `by f` counts in all.
    Items(String),
}

/// By what rows are grouped.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    /// The field.
    pub field: String,
    /// Rounded down to multiples of a step.
    pub bin: Option<Bin>,
    /// Name of its column.
    pub name: String,
    /// Whether rows without the field are left out rather than counted under null.
    pub skip_missing: bool,
    /// Rounded down otherwise than by whole steps; only built by code.
    pub rounding: Option<Rounding>,
    /// What stands for the field in rows without it; only built by code.
    pub default: Option<OutValue>,
}

/// Rounding down to multiples of `step`, counted from `offset`. For `_time` both are nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bin {
    /// Greater than 0.
    pub step: i64,
    /// Where a multiple lies.
    pub offset: i64,
}

/// By what rows are sorted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SortKey {
    /// The field, or the name of a column of `stats`.
    pub field: String,
    /// Greatest first.
    pub descending: bool,
    /// What of a list; other than its first item only built by code.
    pub pick: Pick,
    /// Whole numbers and instants rounded down: what is rounded to the same is equal; only built by code.
    pub bin: Option<Bin>,
}

impl Query {
    /// A query without pipes.
    pub fn new(predicate: Predicate) -> Self {
        Self { predicate, pipes: Vec::new() }
    }

    /// The same with one more pipe.
    #[must_use]
    pub fn pipe(mut self, pipe: Pipe) -> Self {
        self.pipes.push(pipe);
        self
    }
}

impl Agg {
    /// A figure whose column is named as it is written.
    pub fn new(function: Function) -> Self {
        let name = function.to_string();
        Self { function, name }
    }

    /// Under another name.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }
}

impl Key {
    /// By a field's values.
    pub fn field(name: &str) -> Self {
        Self { field: name.into(), bin: None, name: name.into(), skip_missing: false, rounding: None, default: None }
    }

    /// By time, in steps of nanoseconds (at least 1).
    pub fn time(step: i64, offset: i64, name: &str) -> Self {
        Self { bin: Some(Bin { step: step.max(1), offset }), ..Self::field(crate::base::row::TIME) }.named(name)
    }

    /// Under another name.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// Rounded down.
    #[must_use]
    pub fn rounded(mut self, rounding: Rounding) -> Self {
        self.rounding = Some(rounding);
        self
    }

    /// With a value for rows that lack the field.
    #[must_use]
    pub fn or(mut self, default: OutValue) -> Self {
        self.default = Some(default);
        self
    }

    /// Whether its values are the field's own.
    pub(super) fn is_plain(&self) -> bool {
        self.bin.is_none() && self.rounding.is_none() && self.default.is_none()
    }

    /// Without the rows that lack the field.
    #[must_use]
    pub fn skip_missing(mut self) -> Self {
        self.skip_missing = true;
        self
    }
}

impl SortKey {
    /// By a field; a list by its first item.
    pub fn new(field: &str, descending: bool) -> Self {
        Self { field: field.to_owned(), descending, pick: Pick::First, bin: None }
    }

    /// How a stored value orders its row.
    pub fn of_datum<'a>(&self, datum: Datum<'a>) -> SortView<'a> {
        self.rounded(self.pick.of_datum(datum))
    }

    /// How a value of an answer orders its row.
    pub fn of_value<'a>(&self, value: &'a OutValue) -> SortView<'a> {
        self.rounded(self.pick.of_value(value))
    }

    fn rounded<'a>(&self, view: SortView<'a>) -> SortView<'a> {
        match (self.bin, view) {
            (Some(bin), SortView::Number(Number::Int(int))) => SortView::Number(Number::Int(bin.floor(int))),
            (_, view) => view,
        }
    }

    /// Of what is rounded to a value, that which would come last if it were not.
    pub(super) fn last_of<'a>(&self, rounded: SortView<'a>) -> SortView<'a> {
        match (self.bin, rounded) {
            (Some(bin), SortView::Number(Number::Int(int))) if !self.descending => {
                SortView::Number(Number::Int(bin.around(int).1.saturating_sub(1)))
            }
            (_, view) => view,
        }
    }
}

impl Bin {
    /// The multiple at or below a number.
    pub fn floor(&self, value: i64) -> i64 {
        self.around(value).0
    }

    /// The multiple at or below a number, and the next above it: where these lie beyond all numbers, the least and the greatest.
    pub fn around(&self, value: i64) -> (i64, i64) {
        let step = self.step.max(1);
        // Division of 128 bits costs ten times as much, and is needed at the ends of time only.
        if let Some(from) = value.checked_sub(self.offset)
            && let Some(floor) = value.checked_sub(from.rem_euclid(step))
        {
            return (floor, floor.saturating_add(step));
        }
        let (step, offset) = (i128::from(step), i128::from(self.offset));
        let floor = (i128::from(value) - offset).div_euclid(step) * step + offset;
        (i64::try_from(floor).unwrap_or(i64::MIN), i64::try_from(floor + step).unwrap_or(i64::MAX))
    }
}

impl Function {
    /// The field it is about.
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::Count => None,
            Self::Rate(field) => field.as_deref(),
            Self::CountOf(field)
            | Self::First(field)
            | Self::Last(field)
            | Self::Values(field, _)
            | Self::Deviation(field)
            | Self::Distinct(field)
            | Self::Sum(field)
            | Self::Avg(field)
            | Self::Min(field)
            | Self::Max(field)
            | Self::Percentile(field, _)
            | Self::Numbers(field)
            | Self::Squares(field)
            | Self::Items(field) => Some(field),
        }
    }
}
