//! Buckets by predicates: `filter`, `filters`, `missing`, `global`, `range`, `date_range`. A row may be in several.

use serde_json::{Map, Value, json};

use super::parse::{Place, field};
use crate::base::predicate::Predicate;
use crate::base::row::TIME;
use crate::web::elastic::dates::Dates;
use crate::web::elastic::dsl;
use crate::web::elastic::dsl::leaf;
use crate::web::elastic::dsl::read::{each, flag, maybe_text, object, only, scalar, text};

/// Most buckets of one.
const PARTS: usize = 256;

/// Buckets by predicates.
#[derive(Clone, Debug)]
pub struct Split {
    /// One a bucket.
    pub parts: Vec<Part>,
    shape: Shape,
    word: String,
    /// Whether it looks past the query.
    pub global: bool,
}

/// A bucket.
#[derive(Clone, Debug)]
pub struct Part {
    key: String,
    extra: Map<String, Value>,
    /// Its rows.
    pub predicate: Predicate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// The only one.
    Single,
    /// By name.
    Named,
    /// One after the other.
    Listed,
    /// One after the other, with their names.
    ListedWithKeys,
}

impl Split {
    /// Reads one; none, if it is of another kind.
    pub fn read(word: &str, body: &Map<String, Value>, now_ns: i64, place: Place) -> Result<Option<Self>, String> {
        let single = |predicate: Predicate, global: bool| {
            let parts = vec![Part { key: String::new(), extra: Map::new(), predicate }];
            Some(Self { parts, shape: Shape::Single, word: word.to_owned(), global })
        };
        Ok(match word {
            "filter" => single(dsl::predicate(&Value::Object(body.clone()), now_ns)?, false),
            "missing" => {
                only(body, word, &["field"])?;
                single(leaf::exists(&field(word, body)?).negate(), false)
            }
            "global" => {
                only(body, word, &[])?;
                if place.depth > 0 {
                    return Err("`global` stands at the top alone".to_owned());
                }
                single(Predicate::All, true)
            }
            "filters" => Some(filters(word, body, now_ns)?),
            "range" | "date_range" => Some(ranges(word, body, now_ns)?),
            _ => None,
        })
    }

    /// Whether there is a list of buckets.
    pub fn is_multiple(&self) -> bool {
        self.shape != Shape::Single
    }

    /// Its kind, for clients with types.
    pub fn typed(&self) -> &str {
        &self.word
    }

    /// The start of each bucket.
    pub fn bucket(&self, part: usize) -> Map<String, Value> {
        let Some(own) = self.parts.get(part) else { return Map::new() };
        let mut bucket = own.extra.clone();
        if self.shape == Shape::ListedWithKeys {
            bucket.insert("key".to_owned(), own.key.clone().into());
        }
        bucket
    }

    /// Buckets, each with the number of its part, in order.
    pub fn write(&self, buckets: Vec<(usize, Map<String, Value>)>) -> Map<String, Value> {
        let mut out = Map::new();
        match self.shape {
            Shape::Single => return buckets.into_iter().next().unwrap_or_default().1,
            Shape::Named => {
                let key = |part: usize| self.parts.get(part).map(|part| part.key.clone()).unwrap_or_default();
                let named = buckets.into_iter().map(|(part, bucket)| (key(part), Value::Object(bucket)));
                out.insert("buckets".to_owned(), Value::Object(named.collect()));
            }
            Shape::Listed | Shape::ListedWithKeys => {
                out.insert("buckets".to_owned(), buckets.into_iter().map(|(_, bucket)| Value::Object(bucket)).collect());
            }
        }
        out
    }
}

fn filters(word: &str, body: &Map<String, Value>, now_ns: i64) -> Result<Split, String> {
    only(body, word, &["filters", "other_bucket", "other_bucket_key", "keyed"])?;
    let mut parts = Vec::new();
    let mut part = |key: &str, filter: &Value| -> Result<(), String> {
        parts.push(Part { key: key.to_owned(), extra: Map::new(), predicate: dsl::predicate(filter, now_ns)? });
        Ok(())
    };
    let written = body.get("filters").ok_or("`filters` wants `filters`")?;
    let mut shape = match written {
        Value::Object(named) => {
            named.iter().try_for_each(|(key, filter)| part(key, filter))?;
            Shape::Named
        }
        Value::Array(listed) => {
            listed.iter().try_for_each(|filter| part("", filter))?;
            Shape::Listed
        }
        _ => return Err("`filters` is an object or a list".to_owned()),
    };
    if shape == Shape::Named && flag(body, "keyed")? == Some(false) {
        shape = Shape::ListedWithKeys;
    }
    let other = maybe_text(body, "other_bucket_key")?;
    if flag(body, "other_bucket")?.unwrap_or(other.is_some()) {
        let any = Predicate::or(parts.iter().map(|part| part.predicate.clone()).collect());
        parts.push(Part { key: other.unwrap_or("_other_").to_owned(), extra: Map::new(), predicate: any.negate() });
    }
    check(parts, shape, word)
}

fn check(parts: Vec<Part>, shape: Shape, word: &str) -> Result<Split, String> {
    if parts.len() > PARTS {
        return Err(format!("`{word}` has at most {PARTS} buckets"));
    }
    Ok(Split { parts, shape, word: word.to_owned(), global: false })
}

fn ranges(word: &str, body: &Map<String, Value>, now_ns: i64) -> Result<Split, String> {
    let known: &[&str] = if word == "range" {
        &["field", "ranges", "keyed", "script"]
    } else {
        &["field", "ranges", "keyed", "format", "time_zone", "script"]
    };
    only(body, word, known)?;
    let name = field(word, body)?;
    if (word == "date_range") != (name == TIME) {
        return Err(format!("`{word}` of `{name}` is not supported: `date_range` is of @timestamp, `range` of numbers"));
    }
    let mut dates = Dates::new(now_ns).in_zone(maybe_text(body, "time_zone")?)?.format(maybe_text(body, "format")?)?;
    let mut parts = Vec::new();
    for range in body.get("ranges").map_or(&[][..], each) {
        let range = object(range, "ranges")?;
        only(range, "ranges", &["from", "to", "key"])?;
        let mut extra = Map::new();
        let (mut ends, mut shown) = ([None, None], [String::from("*"), String::from("*")]);
        for (at, end) in ["from", "to"].into_iter().enumerate() {
            let Some(value) = range.get(end).filter(|value| !value.is_null()) else { continue };
            let written = scalar(value, end)?;
            if word == "date_range" {
                let ns = dates.instant(&written)?;
                extra.insert(end.to_owned(), json!(ns.div_euclid(1_000_000)));
                shown[at] = dates.write(ns);
                extra.insert(format!("{end}_as_string"), shown[at].clone().into());
                ends[at] = Some(ns.to_string());
            } else {
                let number = dsl::read::as_number(value, end)?;
                extra.insert(end.to_owned(), json!(number));
                shown[at] = format!("{number:?}");
                ends[at] = Some(written);
            }
        }
        let key = match range.get("key") {
            Some(key) => text(Some(key), "key")?.to_owned(),
            None => format!("{}-{}", shown[0], shown[1]),
        };
        let predicate = if word == "date_range" {
            let at = |end: &Option<String>| end.as_ref().and_then(|ns| ns.parse::<i64>().ok());
            match (at(&ends[0]), at(&ends[1])) {
                (None, None) => Predicate::All,
                (from, to) => Predicate::time(from.unwrap_or(i64::MIN), to.map_or(i64::MAX, |to| to.saturating_sub(1))),
            }
        } else {
            let end = |at: usize, inclusive: bool| ends[at].as_deref().map(|text| (text, inclusive));
            leaf::range(&name, end(0, true), end(1, false), &mut dates)?
        };
        parts.push(Part { key, extra, predicate });
    }
    if parts.is_empty() {
        return Err(format!("`{word}` wants `ranges`"));
    }
    // By where they begin, then by where they end.
    let end = |part: &Part, name: &str, open: f64| part.extra.get(name).and_then(Value::as_f64).unwrap_or(open);
    parts.sort_by(|a, b| {
        let froms = end(a, "from", f64::NEG_INFINITY).total_cmp(&end(b, "from", f64::NEG_INFINITY));
        froms.then_with(|| end(a, "to", f64::INFINITY).total_cmp(&end(b, "to", f64::INFINITY)))
    });
    let shape = if flag(body, "keyed")? == Some(true) { Shape::Named } else { Shape::ListedWithKeys };
    check(parts, shape, word)
}
