//! `composite`: a bucket for each combination of several sources' values, page by page.
//!
//! A page is counted anew; what its first source shows to lie before it is not read again ([`Composite::narrowed`]). The order of
//! keys is total ([`key_order`]), so that a page begins where the last one ended. Limit: of strings that are no UTF-8 and are
//! written alike, the one behind a page's last is passed over.

use std::cmp::Ordering;

use serde_json::{Map, Value, json};

use super::histogram::{date_bins, number_bins};
use super::{Bucket, MS, bucket, in_milliseconds, key_order, out_value};
use crate::base::predicate::Predicate;
use crate::base::row::TIME;
use crate::store::query::{Key, OutValue};
use crate::web::elastic::aggs::BUCKETS;
use crate::web::elastic::aggs::bins;
use crate::web::elastic::aggs::parse::field;
use crate::web::elastic::beyond::may_reach;
use crate::web::elastic::dates::Dates;
use crate::web::elastic::dsl::read::{count, each, flag, maybe_text, object, only, single};
use crate::web::rows::plain;

/// Most sources.
const SOURCES: usize = 10;

/// `composite`.
#[derive(Clone, Debug)]
pub struct Composite {
    sources: Vec<Source>,
    size: usize,
    after: Option<Vec<OutValue>>,
}

#[derive(Clone, Debug)]
struct Source {
    name: String,
    field: String,
    by: By,
    descending: bool,
    missing: bool,
    format: Option<Dates>,
}

#[derive(Clone, Debug)]
enum By {
    Values,
    Numbers(bins::Numbers),
    Dates(bins::Dates),
}

impl Source {
    fn read(written: &Value, now_ns: i64) -> Result<Self, String> {
        let (name, kind) = single(written, "sources")?;
        let (word, body) = single(kind, name)?;
        let body = object(body, word)?;
        let shared = ["field", "order", "missing_bucket", "script"];
        let own: &[&str] = match word {
            "terms" => &[],
            "histogram" => &["interval", "offset"],
            "date_histogram" => &["fixed_interval", "calendar_interval", "interval", "offset", "time_zone", "format"],
            other => return Err(format!("the source `{other}` of `composite` is not supported")),
        };
        only(body, word, &shared.into_iter().chain(own.iter().copied()).collect::<Vec<_>>())?;
        let by = match word {
            "terms" => By::Values,
            "histogram" => By::Numbers(number_bins(word, body)?),
            _ => By::Dates(date_bins(word, body)?),
        };
        let mut format = maybe_text(body, "format")?.map(|format| Dates::new(now_ns).format(Some(format))).transpose()?;
        if let (Some(format), By::Dates(dates)) = (&mut format, &by) {
            format.zone = dates.zone.clone();
        }
        let descending = match maybe_text(body, "order")? {
            None | Some("asc") => false,
            Some("desc") => true,
            Some(other) => return Err(format!("the order `{other}` is not supported")),
        };
        let missing = flag(body, "missing_bucket")?.unwrap_or(false);
        Ok(Self { name: name.to_owned(), field: field(word, body)?, by, descending, missing, format })
    }

    fn after(&self, value: &Value) -> Result<OutValue, String> {
        let wrong = || format!("`after`: {value} is no value of `{}`", self.name);
        if matches!(self.by, By::Dates(_)) || self.field == TIME {
            return match (value, &self.format) {
                (Value::Number(ms), _) => ms.as_i64().and_then(|ms| ms.checked_mul(MS)).map(OutValue::Time).ok_or_else(wrong),
                (Value::String(text), Some(format)) => format.clone().instant(text).map(OutValue::Time),
                _ => Err(wrong()),
            };
        }
        out_value(value).ok_or_else(wrong)
    }

    fn written(&self, value: &OutValue) -> Value {
        match (value, &self.format) {
            (OutValue::Time(ns), Some(format)) => format.clone().write(*ns).into(),
            (OutValue::Time(ns), None) => ns.div_euclid(MS).into(),
            (value, _) if matches!(self.by, By::Numbers(_)) => {
                value.number().map_or(Value::Null, |number| json!(number.as_f64()))
            }
            (value, _) => plain(value),
        }
    }
}

impl Composite {
    /// Reads one.
    pub fn read(body: &Map<String, Value>, now_ns: i64) -> Result<Self, String> {
        only(body, "composite", &["sources", "size", "after"])?;
        let written = body.get("sources").map_or(&[][..], each);
        if written.is_empty() || written.len() > SOURCES {
            return Err(format!("`composite` has 1 to {SOURCES} `sources`"));
        }
        let sources = written.iter().map(|one| Source::read(one, now_ns)).collect::<Result<Vec<_>, _>>()?;
        let size = count(body, "size")?.unwrap_or(10);
        if size == 0 || size > BUCKETS {
            return Err(format!("`size` of `composite` is 1 to {BUCKETS}"));
        }
        let after = match body.get("after").filter(|after| !after.is_null()) {
            None => None,
            Some(after) => {
                let after = object(after, "after")?;
                let value = |source: &Source| {
                    source.after(after.get(&source.name).ok_or_else(|| format!("`after` lacks `{}`", source.name))?)
                };
                Some(sources.iter().map(value).collect::<Result<_, String>>()?)
            }
        };
        Ok(Self { sources, size, after })
    }

    /// Whether where the rows lie must be known to make the keys.
    pub fn needs_range(&self) -> bool {
        self.sources.iter().any(|source| matches!(&source.by, By::Dates(dates) if dates.needs_range()))
    }

    /// The keys for the engine.
    pub fn keys(&self, from: usize, range: (i64, i64)) -> Result<Vec<Key>, String> {
        let key = |(at, source): (usize, &Source)| {
            let name = format!("k{}", from + at);
            let mut key = match &source.by {
                By::Values => in_milliseconds(Key::field(&source.field).named(&name)),
                By::Numbers(numbers) => numbers.key(&source.field, &name),
                By::Dates(dates) => dates.key(&name, range)?,
            };
            key.skip_missing = !source.missing;
            Ok(key)
        };
        self.sources.iter().enumerate().map(key).collect()
    }

    /// Rows that can be part of the page, as far as that is plain from its first source: of what came before it there may be much.
    pub fn narrowed(&self) -> Option<Predicate> {
        let (source, after) = (self.sources.first()?, self.after.as_ref()?.first()?);
        if source.missing {
            return None;
        }
        let field = source.field.as_str();
        Some(match (&source.by, after, source.descending) {
            (By::Dates(_) | By::Values, OutValue::Time(ns), false) => Predicate::time(*ns, i64::MAX),
            (By::Dates(dates), OutValue::Time(ns), true) => Predicate::time(i64::MIN, dates.next(*ns)),
            (By::Numbers(numbers), value, descending) => {
                let start = value.number()?.as_f64();
                // A step more on both sides: multiples are rounded.
                let end = (if descending { start + 2.0 * numbers.step } else { start - numbers.step }).to_string();
                let open = Some((end.as_str(), true));
                if descending { Predicate::range(field, None, open) } else { Predicate::range(field, open, None) }
            }
            (By::Values, OutValue::Time(ns), true) => Predicate::time(i64::MIN, ns.saturating_add(MS - 1)),
            (By::Values, value, descending) => return may_reach(field, value.sort_view(), descending),
            (By::Dates(_), ..) => return None,
        })
    }

    fn order(&self, a: &[OutValue], b: &[OutValue]) -> Ordering {
        let orders = self.sources.iter().zip(a.iter().zip(b)).map(|(source, (a, b))| {
            // What is missing comes first.
            let missing = matches!(b, OutValue::Null).cmp(&matches!(a, OutValue::Null));
            let order = missing.then_with(|| key_order(a, b));
            if source.descending { order.reverse() } else { order }
        });
        orders.fold(Ordering::Equal, Ordering::then)
    }

    /// The page, in order.
    pub fn arrange(&self, mut buckets: Vec<Bucket>) -> Vec<Bucket> {
        if let Some(after) = &self.after {
            buckets.retain(|bucket| self.order(&bucket.key, after) == Ordering::Greater);
        }
        buckets.sort_by(|a, b| self.order(&a.key, &b.key));
        buckets.truncate(self.size);
        buckets
    }

    fn key(&self, values: &[OutValue]) -> Value {
        let named = self.sources.iter().zip(values).map(|(source, value)| (source.name.clone(), source.written(value)));
        Value::Object(named.collect())
    }

    /// Where the next page begins, behind all buckets of this one: also behind those that pipelines leave out of it.
    pub fn after_key(&self, buckets: &[Bucket]) -> Option<Value> {
        buckets.last().map(|last| self.key(&last.key))
    }

    /// As the dialect writes them.
    pub fn write(&self, buckets: Vec<Bucket>) -> Map<String, Value> {
        let mut out = Map::new();
        let written = buckets.into_iter().map(|own| {
            let mut start = Map::new();
            start.insert("key".to_owned(), self.key(&own.key));
            bucket(start, own.count, own.out)
        });
        out.insert("buckets".to_owned(), written.collect());
        out
    }
}
