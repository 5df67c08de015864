//! Figures, keys and widths of `stats` and `timeseries`.

use super::cursor::Cursor;
use crate::base::predicate::ParseError;
use crate::base::row;
use crate::base::units::Span;
use crate::store::query::near::meant;
use crate::store::query::plan::{Agg, Bin, Function, Key};
use crate::store::query::show::VALUES;

/// Figures and how they are used, for people.
pub const FIGURES: [(&str, &str); 19] = [
    ("count", "count(): rows; count(f): rows that have f"),
    ("count_distinct", "count_distinct(f): different values"),
    ("sum", "sum(f)"),
    ("avg", "avg(f)"),
    ("min", "min(f)"),
    ("max", "max(f)"),
    ("median", "median(f)"),
    ("p50", "p50(f): percentile, p0 to p100"),
    ("p90", "p90(f)"),
    ("p95", "p95(f)"),
    ("p99", "p99(f)"),
    ("rate", "rate(): rows a second; rate(f): the sum of f a second"),
    ("first", "first(f): the earliest row's"),
    ("last", "last(f): the latest row's"),
    ("values", "values(f): different values, at most 100; values(f, 10)"),
    ("stddev", "stddev(f)"),
    ("count_numbers", "count_numbers(f): numbers, those of lists one by one"),
    ("count_values", "count_values(f): different values of each row, those of lists one by one"),
    ("sum_squares", "sum_squares(f)"),
];
/// Most values that `values(f, n)` may give.
const MOST_VALUES: usize = 10_000;

impl Cursor<'_> {
    /// A figure.
    pub fn agg(&mut self) -> Result<Agg, ParseError> {
        self.blanks();
        let start = self.at;
        let name = self.name()?.to_ascii_lowercase();
        let (mut field, mut most) = (None, VALUES);
        if self.take("(") {
            if !self.take(")") {
                field = Some(self.column()?);
                if name == "values" && self.take(",") {
                    self.blanks();
                    let at = self.at;
                    most = self.whole_number()?;
                    if !(1..=MOST_VALUES).contains(&most) {
                        return Err(self.error(at, format!("at least 1 and at most {MOST_VALUES} values can be listed")));
                    }
                }
                if !self.take(")") {
                    return Err(self.error(self.at, "here `)` is expected"));
                }
            }
        } else if name != "count" {
            if !is_figure(&name) {
                return Err(
                    self.error(start, format!("`{name}` is no figure{}", meant(&name, FIGURES.iter().map(|(name, _)| *name))))
                );
            }
            return Err(self.error(self.at, "here `(` and a field are expected, as in `avg(reqtime)`"));
        }
        let end = self.at;
        let function = match (name.as_str(), field) {
            ("count", None) => Function::Count,
            ("count", Some(field)) => Function::CountOf(field),
            ("rate", field) => Function::Rate(field),
            (name, None) if is_figure(name) => {
                return Err(self.error(end.saturating_sub(1), format!("`{name}` needs a field, as in `{name}(reqtime)`")));
            }
            ("count_distinct", Some(field)) => Function::Distinct(field),
            ("sum", Some(field)) => Function::Sum(field),
            ("avg", Some(field)) => Function::Avg(field),
            ("min", Some(field)) => Function::Min(field),
            ("max", Some(field)) => Function::Max(field),
            ("median", Some(field)) => Function::Percentile(field, 50.0),
            ("first", Some(field)) => Function::First(field),
            ("last", Some(field)) => Function::Last(field),
            ("values", Some(field)) => Function::Values(field, most),
            ("stddev", Some(field)) => Function::Deviation(field),
            ("count_numbers", Some(field)) => Function::Numbers(field),
            ("count_values", Some(field)) => Function::Items(field),
            ("sum_squares", Some(field)) => Function::Squares(field),
            (other, field) => match (percentile(other), field) {
                (Some(hundredths), Some(field)) => Function::Percentile(field, hundredths),
                _ => {
                    let names = FIGURES.iter().map(|(name, _)| *name);
                    let message = format!(
                        "`{name}` is no figure{}; there are count, count_distinct, sum, avg, min, max, p0 to p100, median, stddev, \
                         rate, first, last, values, count_numbers, count_values and sum_squares",
                        meant(&name, names)
                    );
                    return Err(self.error(start, message));
                }
            },
        };
        let written = &self.text[start..end];
        let written = if function == Function::Count && !written.contains('(') { "count()" } else { written };
        let name = self.alias(written)?;
        Ok(Agg { function, name })
    }

    /// A key.
    pub fn key(&mut self) -> Result<Key, ParseError> {
        self.blanks();
        let start = self.at;
        let field = self.name()?;
        if !(field.eq_ignore_ascii_case("bin") && self.rest().starts_with('(')) {
            self.at = start;
            let field = self.column()?;
            let name = self.alias(&field)?;
            return Ok(Key::field(&field).named(&name));
        }
        self.take("(");
        self.blanks();
        let first = self.at;
        let mut field = row::TIME.to_owned();
        if !self.rest().starts_with(|next: char| next.is_ascii_digit()) {
            field = self.name()?;
            if !self.take(",") {
                return Err(self.error(first, "a bin has a width, as in `bin(5m)` or `bin(bytes, 1000)`"));
            }
        }
        let step = self.amount(&field)?;
        if step <= 0 {
            return Err(self.error(first, "a bin is at least 1 wide"));
        }
        let offset = if self.take(",") { self.amount(&field)? } else { 0 };
        if !self.take(")") {
            return Err(self.error(self.at, "here `)` is expected"));
        }
        let written = &self.text[start..self.at];
        let name = self.alias(written)?;
        Ok(Key { bin: Some(Bin { step, offset }), ..Key::field(&field).named(&name) })
    }

    /// A width: a span of time for `_time`, else a whole number.
    pub fn amount(&mut self, field: &str) -> Result<i64, ParseError> {
        self.blanks();
        let start = self.at;
        let negative = self.take("-");
        self.blanks();
        let length = self.rest().find(|next: char| !(next.is_ascii_alphanumeric() || next == '.')).unwrap_or(self.rest().len());
        let text = &self.rest()[..length];
        let amount = if field == row::TIME {
            let small = [("us", 1000), ("ns", 1)].iter().find_map(|(unit, length)| {
                text.strip_suffix(unit)
                    .and_then(|number| number.parse::<i64>().ok())
                    .and_then(|number| number.checked_mul(*length))
            });
            small
                .or_else(|| text.parse::<Span>().ok().map(Span::as_ns))
                .ok_or("here a span of time is expected, like `30s`, `5m`, `1h` or `1d`")
        } else {
            text.parse::<i64>().map_err(|_| "here a whole number is expected")
        };
        let amount = amount.map_err(|message| self.error(start, message))?;
        self.at += length;
        Ok(if negative { -amount } else { amount })
    }
}

/// `p99` of `p99(reqtime)`.
fn percentile(name: &str) -> Option<f64> {
    let hundredths = name.strip_prefix('p')?.parse::<f64>().ok()?;
    (0.0..=100.0).contains(&hundredths).then_some(hundredths)
}

/// Whether it is a figure over a field.
pub fn is_figure(name: &str) -> bool {
    name != "count" && FIGURES.iter().any(|(figure, _)| *figure == name) || percentile(name).is_some()
}
