//! Paths to figures of finished buckets: `_count`, `price`, `spread.avg`, `load[99]`, `only_errors>price`, `apps['shop']>price`.

use serde_json::{Map, Value};

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

/// `name`, `name.avg`, `name[99]`.
fn figure(out: &Map<String, Value>, name: &str) -> Option<f64> {
    if let Some(own) = out.get(name) {
        return own.get("value").or_else(|| own.get("doc_count")).and_then(Value::as_f64);
    }
    let (name, part) = match keyed(name) {
        (name, Some(part)) => (name, part),
        // Names may have dots, and so may numbers: the first that fits.
        (name, None) => {
            let dots = name.match_indices('.').map(|(at, _)| (&name[..at], &name[at + 1..]));
            dots.into_iter().find(|(own, _)| out.contains_key(*own))?
        }
    };
    let own = out.get(name)?;
    if part == "_bucket_count" {
        return own.get("buckets").map(|buckets| match buckets {
            Value::Object(named) => as_f64(named.len() as u64),
            Value::Array(all) => as_f64(all.len() as u64),
            _ => 0.0,
        });
    }
    if let Some(number) = own.get(part).and_then(Value::as_f64) {
        return Some(number);
    }
    if let Some(bound) = part.strip_prefix("std_") {
        return own.get("std_deviation_bounds")?.get(bound)?.as_f64();
    }
    if let Some((outer, inner)) = part.split_once('.')
        && let Some(number) = own.get(outer).and_then(|outer| outer.get(inner)).and_then(Value::as_f64)
    {
        return Some(number);
    }
    let wanted: Option<f64> = part.parse().ok();
    match own.get("values") {
        Some(Value::Object(named)) => named.iter().find(|(key, _)| key.parse().ok() == wanted)?.1.as_f64(),
        Some(Value::Array(listed)) => listed.iter().find(|one| one["key"].as_f64() == wanted)?["value"].as_f64(),
        // A metric of the first of the top rows.
        _ => own.get("top")?.get(0)?.get("metrics")?.get(part)?.as_f64(),
    }
}
