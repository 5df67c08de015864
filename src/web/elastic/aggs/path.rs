//! Paths to figures of finished buckets: `_count`, `price`, `spread.avg`, `load[99]`, `only_errors>price`, `apps['shop']>price`.

use std::fmt;

use serde_json::{Map, Value};

use super::figures::Figure;
use super::{Agg, Kind};

/// Longest path.
const BYTES: usize = 512;

/// A path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// Names of aggregations, the last of them a figure, perhaps with which of its numbers.
    names: Vec<String>,
}

impl Path {
    /// Reads one.
    pub fn read(written: &str) -> Result<Self, String> {
        // Of buckets it is written either way.
        let plain = written.strip_suffix("._count").map(|buckets| format!("{buckets}>_count"));
        let plain = plain.as_deref().unwrap_or(written);
        let names: Vec<String> = plain.split('>').map(|name| name.trim().to_owned()).collect();
        if written.len() > BYTES || names.iter().any(String::is_empty) {
            return Err(format!("the path `{written}` is not understood"));
        }
        Ok(Self { names })
    }

    /// The first name, without what is in brackets.
    pub fn first(&self) -> &str {
        let first = self.names.first().map_or("", String::as_str);
        first.split('[').next().unwrap_or(first)
    }

    /// What is left behind the first name.
    pub fn rest(&self) -> Self {
        Self { names: self.names.get(1..).unwrap_or_default().to_vec() }
    }

    /// Whether there is nothing left: a count of rows.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Whether it is the number of rows.
    pub fn is_count(&self) -> bool {
        self.names.last().is_none_or(|last| last == "_count")
    }

    /// Whether it leads to a number, in buckets that hold these aggregations.
    pub fn leads(&self, aggs: &[&Agg]) -> bool {
        let find = |name: &str| aggs.iter().find(|agg| agg.name == name);
        match self.names.split_first() {
            None => true,
            Some((name, [])) if name == "_count" => true,
            Some((name, [])) => parted(name, |own| find(own).is_some())
                .and_then(|(name, part)| find(name).map(|agg| agg.kind.has(part)))
                .unwrap_or(false),
            Some((name, rest)) => {
                let (name, key) = keyed(name);
                let through = |agg: &&&Agg| match agg.kind {
                    Kind::Keyed(_) | Kind::Split(_) => agg.kind.is_multiple() == key.is_some(),
                    Kind::Figure(_) | Kind::Pipeline(_) => false,
                };
                let rest = Self { names: rest.to_vec() };
                find(name).filter(through).is_some_and(|agg| rest.leads(&agg.inside.iter().collect::<Vec<_>>()))
            }
        }
    }

    /// Whether it leads to a number, from beside these aggregations through the buckets of one of them.
    pub fn leads_through(&self, aggs: &[Agg]) -> bool {
        let through = |agg: &&Agg| self.names.first() == Some(&agg.name) && agg.kind.is_multiple();
        aggs.iter().find(through).is_some_and(|agg| self.rest().leads(&agg.inside.iter().collect::<Vec<_>>()))
    }

    /// Where it leads, from what is in a bucket of so many rows.
    pub fn value(&self, out: &Map<String, Value>, count: u64) -> Option<f64> {
        let Some((name, rest)) = self.names.split_first() else { return Some(as_f64(count)) };
        if name == "_count" && rest.is_empty() {
            return Some(as_f64(count));
        }
        if rest.is_empty() {
            return figure(out, name);
        }
        // Through a bucket that is the only one, or one of several by its key.
        let (name, key) = keyed(name);
        let inner = match (out.get(name)?, key) {
            (Value::Object(only), None) => only,
            (Value::Object(several), Some(key)) => several.get("buckets").and_then(|buckets| bucket(buckets, key))?,
            _ => return None,
        };
        Self { names: rest.to_vec() }.value(inner, inner.get("doc_count").and_then(Value::as_u64).unwrap_or(0))
    }
}

#[allow(clippy::cast_precision_loss)]
fn as_f64(count: u64) -> f64 {
    count as f64
}

/// `name['key']`
fn keyed(name: &str) -> (&str, Option<&str>) {
    match name.split_once('[') {
        Some((name, key)) => (name, Some(key.trim_end_matches(']').trim_matches(['\'', '"']))),
        None => (name, None),
    }
}

fn bucket<'a>(buckets: &'a Value, key: &str) -> Option<&'a Map<String, Value>> {
    match buckets {
        Value::Object(named) => named.get(key)?.as_object(),
        Value::Array(all) => {
            let is_it = |bucket: &&Value| {
                let own = &bucket["key"];
                let shown = || *own.to_string() == *key || bucket["key_as_string"] == key;
                own.as_str().map_or_else(shown, |own| own == key)
            };
            all.iter().find(is_it)?.as_object()
        }
        _ => None,
    }
}

/// `name`, `name.avg`, `name[99]`: an aggregation that is there, and which of its numbers. Names may have dots, and so may numbers:
/// the first that fits.
fn parted(name: &str, is_there: impl Fn(&str) -> bool) -> Option<(&str, Option<&str>)> {
    if is_there(name) {
        return Some((name, None));
    }
    if let (own, Some(part)) = keyed(name) {
        return Some((own, Some(part)));
    }
    let mut dots = name.match_indices('.').map(|(at, _)| (&name[..at], &name[at + 1..]));
    dots.find(|(own, _)| is_there(own)).map(|(own, part)| (own, Some(part)))
}

fn figure(out: &Map<String, Value>, name: &str) -> Option<f64> {
    let (name, part) = parted(name, |own| out.contains_key(own))?;
    let own = out.get(name)?;
    match (part, own.get("buckets"), own.get("top")) {
        (Some("_bucket_count"), Some(Value::Object(named)), _) => Some(as_f64(named.len() as u64)),
        (Some("_bucket_count"), Some(Value::Array(all)), _) => Some(as_f64(all.len() as u64)),
        // A metric of the first of the top rows.
        (Some(part), _, Some(top)) => top.get(0)?.get("metrics")?.get(part)?.as_f64(),
        _ => number(own, part)?.as_f64(),
    }
}

/// Where a figure, as it is written, has the number that is meant: null, where there is none.
fn number<'v>(own: &'v Value, part: Option<&str>) -> Option<&'v Value> {
    let is_number = |value: &&Value| value.is_number() || value.is_null();
    let Some(part) = part else { return own.get("value").or_else(|| own.get("doc_count")).filter(is_number) };
    let within = |outer: &str, inner: &str| own.get(outer).and_then(|outer| outer.get(inner)).filter(is_number);
    if let Some(number) = own.get(part).filter(is_number) {
        return Some(number);
    }
    if let Some(number) = part.strip_prefix("std_").and_then(|bound| within("std_deviation_bounds", bound)) {
        return Some(number);
    }
    if let Some(number) = part.split_once('.').and_then(|(outer, inner)| within(outer, inner)) {
        return Some(number);
    }
    let wanted: f64 = part.parse().ok()?;
    match own.get("values")? {
        Value::Object(named) => named.iter().find(|(key, _)| key.parse() == Ok(wanted)).map(|(_, value)| value),
        Value::Array(listed) => listed.iter().find(|one| one["key"].as_f64() == Some(wanted))?.get("value"),
        _ => None,
    }
}

impl Kind {
    /// Whether it has a number, or this one of several.
    fn has(&self, part: Option<&str>) -> bool {
        match self {
            Self::Keyed(_) => part == Some("_bucket_count"),
            Self::Split(split) if split.is_multiple() => part == Some("_bucket_count"),
            Self::Split(_) => part.is_none_or(|part| part == "doc_count"),
            Self::Figure(Figure::Hits { .. }) => false,
            Self::Figure(figure @ Figure::Metrics { .. }) => part.is_some_and(|part| figure.shows(part)),
            Self::Figure(figure) => number(&figure.empty(), part).is_some(),
            Self::Pipeline(pipeline) => pipeline.has(part),
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names.join(">"))
    }
}
