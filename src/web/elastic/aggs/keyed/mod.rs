//! Buckets by values: `terms`, `date_histogram`, `histogram`, `composite`. Each says by which keys the engine groups rows, and
//! makes the list of buckets of what comes back.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::{Map, Value};

use super::bins;
use super::parse::Place;
use crate::base::predicate::Number;
use crate::base::row::TIME;
use crate::store::query::{Bin, Key, OutValue};
use crate::web::rows::plain;

mod composite;
mod histogram;
mod terms;

pub use composite::Composite;
pub use histogram::{DateBuckets, NumberBuckets};
pub use terms::{By, Terms, numbers};

const MS: i64 = 1_000_000;

/// A bucket that is not written yet.
#[derive(Clone, Debug)]
pub struct Bucket {
    /// The values of its own keys.
    pub key: Vec<OutValue>,
    /// How many rows.
    pub count: u64,
    /// What is in it.
    pub out: Map<String, Value>,
}

/// Buckets by values.
#[derive(Clone, Debug)]
pub enum Keyed {
    /// `terms`.
    Terms(Terms),
    /// `date_histogram`.
    Dates(DateBuckets),
    /// `histogram`.
    Numbers(NumberBuckets),
    /// `composite`.
    Composite(Composite),
}

impl Keyed {
    /// Reads one; none, if it is of another kind.
    pub fn read(word: &str, body: &Map<String, Value>, now_ns: i64, place: Place) -> Result<Option<Self>, String> {
        Ok(Some(match word {
            "terms" => Self::Terms(Terms::read(body)?),
            "date_histogram" => Self::Dates(DateBuckets::read(body, now_ns)?),
            "histogram" => Self::Numbers(NumberBuckets::read(body)?),
            "composite" if place.depth > 0 => return Err("`composite` stands at the top alone".to_owned()),
            "composite" => Self::Composite(Composite::read(body, now_ns)?),
            _ => return Ok(None),
        }))
    }

    /// The steps of time, if it counts by them.
    pub fn dates(&self) -> Option<&bins::Dates> {
        match self {
            Self::Dates(dates) => Some(&dates.bins),
            _ => None,
        }
    }

    /// Whether where the rows lie must be known to make the keys.
    pub fn needs_range(&self) -> bool {
        match self {
            Self::Dates(dates) => dates.bins.needs_range(),
            Self::Composite(composite) => composite.needs_range(),
            _ => false,
        }
    }

    /// The keys for the engine, numbered from `from` on.
    pub fn keys(&self, from: usize, range: (i64, i64)) -> Result<Vec<Key>, String> {
        let name = format!("k{from}");
        Ok(match self {
            Self::Terms(terms) => vec![in_milliseconds(terms.key(&name))],
            Self::Dates(dates) => vec![dates.bins.key(&name, range)?],
            Self::Numbers(numbers) => vec![numbers.key(&name)],
            Self::Composite(composite) => composite.keys(from, range)?,
        })
    }

    /// Kept buckets, in order, without gaps. `empty` is what is in a bucket without rows.
    pub fn arrange(&self, buckets: Vec<Bucket>, empty: &dyn Fn() -> Map<String, Value>) -> Result<Vec<Bucket>, String> {
        match self {
            Self::Terms(terms) => Ok(terms.arrange(buckets)),
            Self::Dates(dates) => dates.arrange(buckets, empty),
            Self::Numbers(numbers) => numbers.arrange(buckets, empty),
            Self::Composite(composite) => Ok(composite.arrange(buckets)),
        }
    }

    /// As the dialect writes them; `others` counts rows of buckets that are not among them.
    pub fn write(&self, buckets: Vec<Bucket>, others: u64) -> Map<String, Value> {
        match self {
            Self::Terms(terms) => terms.write(buckets, others),
            Self::Dates(dates) => dates.write(buckets),
            Self::Numbers(numbers) => numbers.write(buckets),
            Self::Composite(composite) => composite.write(buckets),
        }
    }

    /// Its kind, for clients with types.
    pub fn typed(&self, answer: &Value) -> &'static str {
        match self {
            Self::Terms(_) => match &answer["buckets"][0]["key"] {
                Value::Number(number) if number.is_f64() => "dterms",
                Value::Number(_) => "lterms",
                _ => "sterms",
            },
            Self::Dates(_) => "date_histogram",
            Self::Numbers(_) => "histogram",
            Self::Composite(_) => "composite",
        }
    }
}

/// A key by values: the time's are milliseconds, as they are written.
fn in_milliseconds(key: Key) -> Key {
    if key.field == TIME { Key { bin: Some(Bin { step: MS, offset: 0 }), ..key } } else { key }
}

/// Orders keys: as their values are ordered, equal ones by how they are spelt. None are equal but the same.
pub fn key_order(a: &OutValue, b: &OutValue) -> Ordering {
    a.order(b).then_with(|| spelling(a).cmp(&spelling(b)))
}

/// What the engine tells keys apart by, where they are equal.
fn spelling(key: &OutValue) -> Cow<'_, [u8]> {
    match key {
        OutValue::Str(bytes) => Cow::Borrowed(bytes),
        OutValue::Int(int) => Cow::Owned(int.to_string().into_bytes()),
        OutValue::Float(float) => Cow::Owned(Number::text_of(*float).into_bytes()),
        OutValue::Bool(_) | OutValue::List(_) | OutValue::Null | OutValue::Time(_) => Cow::Borrowed(b""),
    }
}

/// Writes a bucket behind what says which it is.
fn bucket(mut start: Map<String, Value>, count: u64, out: Map<String, Value>) -> Value {
    start.insert("doc_count".to_owned(), count.into());
    start.extend(out);
    Value::Object(start)
}

/// A value as a key: the dialect's booleans are 0 and 1, spelt beside; times are milliseconds.
fn key_of(value: &OutValue) -> Map<String, Value> {
    let mut key = Map::new();
    match value {
        OutValue::Bool(yes) => {
            key.insert("key".to_owned(), u8::from(*yes).into());
            key.insert("key_as_string".to_owned(), yes.to_string().into());
        }
        OutValue::Time(ns) => {
            key.insert("key".to_owned(), ns.div_euclid(MS).into());
            let text = crate::web::elastic::calendar::iso(*ns, &mut sawbox_guest::time::Zone::utc(), false);
            key.insert("key_as_string".to_owned(), text.into());
        }
        value => {
            key.insert("key".to_owned(), plain(value));
        }
    }
    key
}

/// A value of a request as one of an answer.
fn out_value(value: &Value) -> Option<OutValue> {
    Some(match value {
        Value::Null => OutValue::Null,
        Value::Bool(yes) => OutValue::Bool(*yes),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(int), _) => OutValue::Int(int),
            (None, float) => OutValue::Float(float?),
        },
        Value::String(text) => OutValue::Str(text.as_bytes().into()),
        Value::Array(_) | Value::Object(_) => return None,
    })
}
