//! A query as data: a predicate and the pipes after it. Text parses to it, other dialects build it from its public parts, and it
//! prints itself so that it parses to the same again.

use std::fmt;

use crate::base::predicate::Predicate;
use crate::base::time;

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
    /// `top n field`: the most frequent values.
    Top(usize, String),
}

/// A figure over rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Agg {
    /// Which.
    pub function: Function,
    /// Name of its column.
    pub name: String,
}

/// What is computed. Numbers are those of the field's values and of strings that read as numbers.
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
    /// `p99(f)`: the least value that so many hundredths of the values do not exceed; beyond a thousand within 1 %.
    Percentile(String, f64),
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
}

/// Rounding down to multiples of `step`, counted from `offset`. For `_time` both are nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
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
        Self { field: name.into(), bin: None, name: name.into(), skip_missing: false }
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

    /// Without the rows that lack the field.
    #[must_use]
    pub fn skip_missing(mut self) -> Self {
        self.skip_missing = true;
        self
    }
}

impl Bin {
    /// The multiple at or below a number.
    pub fn floor(&self, value: i64) -> i64 {
        // Division of 128 bits costs ten times as much, and is needed at the ends of time only.
        if let Some(from) = value.checked_sub(self.offset)
            && let Some(floor) = value.checked_sub(from.rem_euclid(self.step.max(1)))
        {
            return floor;
        }
        let step = i128::from(self.step.max(1));
        let offset = i128::from(self.offset);
        let floor = (i128::from(value) - offset).div_euclid(step) * step + offset;
        i64::try_from(floor).unwrap_or(i64::MIN)
    }
}

impl Function {
    /// The field it is about.
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::Count => None,
            Self::CountOf(field)
            | Self::Distinct(field)
            | Self::Sum(field)
            | Self::Avg(field)
            | Self::Min(field)
            | Self::Max(field)
            | Self::Percentile(field, _) => Some(field),
        }
    }
}

/// A name as it is written in a pipe: bare where that reads the same.
fn name(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let plain = !text.is_empty()
        && !text.starts_with('-')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'@' | b'/'));
    if plain && !["by", "as", "bin"].iter().any(|keyword| text.eq_ignore_ascii_case(keyword)) {
        return f.write_str(text);
    }
    write!(f, "\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A list of things, with commas.
fn list<T>(all: &[T], f: &mut fmt::Formatter<'_>, one: impl Fn(&T, &mut fmt::Formatter<'_>) -> fmt::Result) -> fmt::Result {
    for (index, item) in all.iter().enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        one(item, f)?;
    }
    Ok(())
}

struct Name<'a>(&'a str);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        name(self.0, f)
    }
}

/// A span of nanoseconds in the greatest unit that divides it.
struct Nanoseconds(i64);

impl fmt::Display for Nanoseconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [
            ("d", time::DAY_NS),
            ("h", 3_600_000_000_000),
            ("m", 60_000_000_000),
            ("s", 1_000_000_000),
            ("ms", 1_000_000),
            ("us", 1000),
        ];
        let unit = units.iter().find(|(_, length)| self.0 % length == 0);
        match unit {
            Some((unit, length)) => write!(f, "{}{unit}", self.0 / length),
            None => write!(f, "{}ns", self.0),
        }
    }
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count => f.write_str("count()"),
            Self::CountOf(field) => write!(f, "count({})", Name(field)),
            Self::Distinct(field) => write!(f, "count_distinct({})", Name(field)),
            Self::Sum(field) => write!(f, "sum({})", Name(field)),
            Self::Avg(field) => write!(f, "avg({})", Name(field)),
            Self::Min(field) => write!(f, "min({})", Name(field)),
            Self::Max(field) => write!(f, "max({})", Name(field)),
            Self::Percentile(field, hundredths) => write!(f, "p{hundredths}({})", Name(field)),
        }
    }
}

impl fmt::Display for Agg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = self.function.to_string();
        f.write_str(&plain)?;
        if self.name == plain { Ok(()) } else { write!(f, " as {}", Name(&self.name)) }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = match &self.bin {
            None => self.field.clone(),
            Some(bin) if self.field == crate::base::row::TIME => {
                let offset = if bin.offset == 0 { String::new() } else { format!(", {}", Nanoseconds(bin.offset)) };
                format!("bin(_time, {}{offset})", Nanoseconds(bin.step))
            }
            Some(bin) => {
                let offset = if bin.offset == 0 { String::new() } else { format!(", {}", bin.offset) };
                format!("bin({}, {}{offset})", Name(&self.field), bin.step)
            }
        };
        if self.bin.is_some() {
            f.write_str(&plain)?
        } else {
            name(&plain, f)?
        }
        if self.name == plain { Ok(()) } else { write!(f, " as {}", Name(&self.name)) }
    }
}

impl fmt::Display for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Where(predicate) => write!(f, "where {predicate}"),
            Self::Stats(aggs, by) => {
                f.write_str("stats ")?;
                list(aggs, f, fmt::Display::fmt)?;
                if by.is_empty() {
                    return Ok(());
                }
                f.write_str(" by ")?;
                list(by, f, fmt::Display::fmt)
            }
            Self::Sort(keys) => {
                f.write_str("sort ")?;
                list(keys, f, |key, f| write!(f, "{}{}", if key.descending { "-" } else { "" }, Name(&key.field)))
            }
            Self::Limit(rows) => write!(f, "limit {rows}"),
            Self::Fields(fields) => {
                f.write_str("fields ")?;
                list(fields, f, |field, f| name(field, f))
            }
            Self::Top(rows, field) => write!(f, "top {rows} {}", Name(field)),
        }
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.predicate)?;
        self.pipes.iter().try_for_each(|pipe| write!(f, " | {pipe}"))
    }
}
