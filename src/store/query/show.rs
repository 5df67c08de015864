//! Queries as text that parses to the same again.

use std::fmt;

use super::plan::{Agg, Function, Key, Pipe, Query, Take};
use crate::base::time;

/// Different values that `values(f)` gives where nothing else is said.
pub const VALUES: usize = 100;
/// Words that are not names where a name is expected.
const KEYWORDS: [&str; 9] = ["by", "as", "bin", "on", "of", "from", "span", "fields", "desc"];

/// A name as it is written in a pipe: bare where that reads the same.
fn name(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let plain = !text.is_empty()
        && !text.starts_with('-')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'@' | b'/'));
    if plain && !KEYWORDS.iter().any(|keyword| text.eq_ignore_ascii_case(keyword)) {
        return f.write_str(text);
    }
    quoted(text, f)
}

fn quoted(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn counted(pipe: &str, rows: usize, fields: &[String], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "{pipe} {rows} ")?;
    list(fields, f, |field, f| name(field, f))
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
            Self::Rate(None) => f.write_str("rate()"),
            Self::Rate(Some(field)) => write!(f, "rate({})", Name(field)),
            Self::First(field) => write!(f, "first({})", Name(field)),
            Self::Last(field) => write!(f, "last({})", Name(field)),
            Self::Values(field, VALUES) => write!(f, "values({})", Name(field)),
            Self::Values(field, most) => write!(f, "values({}, {most})", Name(field)),
            Self::Deviation(field) => write!(f, "stddev({})", Name(field)),
            Self::Numbers(field) => write!(f, "count_numbers({})", Name(field)),
            Self::Items(field) => write!(f, "count_values({})", Name(field)),
            Self::Squares(field) => write!(f, "sum_squares({})", Name(field)),
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
            Self::Top(rows, fields) => counted("top", *rows, fields, f),
            Self::Rare(rows, fields) => counted("rare", *rows, fields, f),
            Self::Dedup(fields) => {
                f.write_str("dedup ")?;
                list(fields, f, |field, f| name(field, f))
            }
            Self::Eval(columns) => {
                f.write_str("eval ")?;
                list(columns, f, |(column, expression), f| write!(f, "{} = {expression}", Name(column)))
            }
            Self::Extract(extractor, from) => {
                f.write_str("extract ")?;
                quoted(extractor.text(), f)?;
                if from == crate::base::row::MESSAGE { Ok(()) } else { write!(f, " from {}", Name(from)) }
            }
            Self::Rename(columns) => {
                f.write_str("rename ")?;
                list(columns, f, |(from, to), f| write!(f, "{} as {}", Name(from), Name(to)))
            }
            Self::Lookup(lookup) => {
                write!(f, "lookup {} on {}", Name(&lookup.table), Name(&lookup.on))?;
                match &lookup.take {
                    Take::Whole(column) => write!(f, " as {}", Name(column)),
                    Take::Members(members) => {
                        f.write_str(" fields ")?;
                        list(members, f, |(member, column), f| match member == column {
                            true => name(member, f),
                            false => write!(f, "{} as {}", Name(member), Name(column)),
                        })
                    }
                }
            }
            Self::Timeseries(series) => {
                f.write_str("timeseries ")?;
                if let Some(step) = series.step {
                    write!(f, "span {} ", Nanoseconds(step))?;
                }
                list(&series.aggs, f, fmt::Display::fmt)?;
                if series.by.is_empty() {
                    return Ok(());
                }
                f.write_str(" by ")?;
                list(&series.by, f, fmt::Display::fmt)
            }
            Self::Patterns(most, field) if field == crate::base::row::MESSAGE => write!(f, "patterns {most}"),
            Self::Patterns(most, field) => write!(f, "patterns {most} of {}", Name(field)),
        }
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.predicate)?;
        self.pipes.iter().try_for_each(|pipe| write!(f, " | {pipe}"))
    }
}
