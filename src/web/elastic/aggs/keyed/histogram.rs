//! `date_histogram` and `histogram`: a bucket for each step of time, or of a number, and for those without rows between them.

use std::collections::BTreeMap;

use sawbox_guest::time::Zone;
use serde_json::{Map, Value, json};

use super::{Bucket, bucket};
use crate::base::row::TIME;
use crate::base::units::Span;
use crate::store::query::{Key, OutValue};
use crate::web::elastic::aggs::BUCKETS;
use crate::web::elastic::aggs::bins::{self, Step};
use crate::web::elastic::aggs::parse::field;
use crate::web::elastic::calendar::Unit;
use crate::web::elastic::dates::{self, Dates};
use crate::web::elastic::dsl::read::{count, flag, maybe_text, number, object, only, scalar};

/// First and last instant, where they are given.
type Ends = (Option<i64>, Option<i64>);

const MS: i64 = 1_000_000;

fn too_many() -> String {
    format!("there would be more than {BUCKETS} buckets; widen the interval or narrow the range")
}

/// In which order, by time or number: `_key` alone makes sense.
fn is_descending(body: &Map<String, Value>) -> Result<bool, String> {
    match body.get("order") {
        None | Some(Value::Null) => Ok(false),
        Some(order) => {
            let order = object(order, "order")?;
            only(order, "order", &["_key"])?;
            match maybe_text(order, "_key")?.map(str::to_ascii_lowercase).as_deref() {
                None | Some("asc") => Ok(false),
                Some("desc") => Ok(true),
                _ => Err("`order` is {\"_key\": \"asc\"} or {\"_key\": \"desc\"}".to_owned()),
            }
        }
    }
}

/// `date_histogram`.
#[derive(Clone, Debug)]
pub struct DateBuckets {
    /// Its steps.
    pub bins: bins::Dates,
    least: u64,
    extended: Option<(i64, i64)>,
    hard: (i64, i64),
    keyed: bool,
    descending: bool,
    shown: Dates,
}

/// `30s`, `5m`, `1h`, `1d`, perhaps with a sign.
fn span(text: &str) -> Result<i64, String> {
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let ns = rest.parse::<Span>().map_err(|why| format!("`{text}`: {why}"))?.as_ns();
    Ok(sign * ns)
}

/// Its steps: `fixed_interval`, `calendar_interval`, or `interval`, which is either.
pub fn date_bins(word: &str, body: &Map<String, Value>) -> Result<bins::Dates, String> {
    if field(word, body)? != TIME {
        return Err(format!("`{word}` is supported on @timestamp"));
    }
    let fixed = |text: &str| match span(text)? {
        step if step > 0 => Ok(Step::Fixed(step)),
        _ => Err(format!("the interval `{text}` is none")),
    };
    let step = match (maybe_text(body, "fixed_interval")?, maybe_text(body, "calendar_interval")?, body.get("interval")) {
        (Some(text), None, None) => fixed(text)?,
        (None, Some(text), None) => {
            let unit = Unit::of_interval(text);
            Step::of(
                unit.ok_or_else(|| format!("the calendar_interval `{text}` is not supported; one unit is, like 1d or month"))?,
            )
        }
        (None, None, Some(interval)) => {
            let text = scalar(interval, "interval")?;
            match Unit::of_interval(&text) {
                Some(unit) => Step::of(unit),
                // A number alone is milliseconds.
                None if text.bytes().all(|byte| byte.is_ascii_digit()) => fixed(&format!("{text}ms"))?,
                None => fixed(&text)?,
            }
        }
        _ => return Err(format!("`{word}` wants one of fixed_interval and calendar_interval")),
    };
    let offset = maybe_text(body, "offset")?.filter(|offset| !offset.is_empty()).map_or(Ok(0), span)?;
    let zone = maybe_text(body, "time_zone")?.map_or(Ok(Zone::utc()), dates::zone)?;
    Ok(bins::Dates { step, zone, offset })
}

impl DateBuckets {
    /// Reads one.
    pub fn read(body: &Map<String, Value>, now_ns: i64) -> Result<Self, String> {
        let known = [
            "field",
            "fixed_interval",
            "calendar_interval",
            "interval",
            "min_doc_count",
            "extended_bounds",
            "hard_bounds",
            "offset",
            "format",
            "time_zone",
            "keyed",
            "order",
            "script",
            // Every row has a time.
            "missing",
        ];
        only(body, "date_histogram", &known)?;
        let bins = date_bins("date_histogram", body)?;
        let mut shown = Dates::new(now_ns).format(maybe_text(body, "format")?)?;
        shown.zone = bins.zone.clone();
        let mut bounds = |name: &str| -> Result<Option<Ends>, String> {
            let Some(bounds) = body.get(name).filter(|bounds| !bounds.is_null()) else { return Ok(None) };
            let bounds = object(bounds, name)?;
            only(bounds, name, &["min", "max"])?;
            let mut end = |end: &str| -> Result<Option<i64>, String> {
                match bounds.get(end) {
                    None | Some(Value::Null) => Ok(None),
                    Some(Value::Number(ms)) => Ok(ms.as_i64().and_then(|ms| ms.checked_mul(MS))),
                    Some(text) => {
                        let text = scalar(text, end)?;
                        // Bounds come in milliseconds whatever the format.
                        shown.instant(&text).or_else(|why| Dates::new(now_ns).instant(&text).map_err(|_| why)).map(Some)
                    }
                }
            };
            Ok(Some((end("min")?, end("max")?)))
        };
        let extended = match bounds("extended_bounds")? {
            Some((Some(min), Some(max))) if min <= max => Some((min, max)),
            None => None,
            Some(_) => return Err("`extended_bounds` has `min` and `max`, the lesser first".to_owned()),
        };
        let hard = bounds("hard_bounds")?
            .map_or((i64::MIN, i64::MAX), |(min, max)| (min.unwrap_or(i64::MIN), max.unwrap_or(i64::MAX)));
        if let Some((min, max)) = extended
            && max.saturating_sub(min) / bins.length().max(1) >= i64::try_from(BUCKETS).unwrap_or(i64::MAX)
        {
            return Err(too_many());
        }
        let least = u64::try_from(count(body, "min_doc_count")?.unwrap_or(0)).unwrap_or(u64::MAX);
        let keyed = flag(body, "keyed")?.unwrap_or(false);
        Ok(Self { bins, least, extended, hard, keyed, descending: is_descending(body)?, shown })
    }

    /// Its steps without an offset.
    fn whole(&self) -> bins::Dates {
        bins::Dates { offset: 0, ..self.bins.clone() }
    }

    /// Whether a bucket begins within the hard bounds, which are rounded as buckets are; the greater one is no longer within.
    fn within(&self, start: i64) -> bool {
        let (min, max) = self.hard;
        let round = |ns: i64| self.whole().floor(ns).saturating_add(self.bins.offset);
        (min == i64::MIN || start >= round(min)) && (max == i64::MAX || start < round(max))
    }

    /// Kept buckets, in order, without gaps.
    pub fn arrange(&self, buckets: Vec<Bucket>, empty: &dyn Fn() -> Map<String, Value>) -> Result<Vec<Bucket>, String> {
        let mut at: BTreeMap<i64, Bucket> = BTreeMap::new();
        for bucket in buckets {
            if let Some(OutValue::Time(ns)) = bucket.key.first()
                && self.within(*ns)
            {
                at.insert(*ns, bucket);
            }
        }
        if self.least == 0 {
            // Bounds are rounded as if there were no offset, and moved by it then.
            let round = |ns: i64| self.whole().floor(ns).saturating_add(self.bins.offset);
            let extended = self.extended.map(|(min, max)| (round(min), round(max)));
            let first = at.keys().next().copied().into_iter().chain(extended.map(|(min, _)| min)).min();
            let last = at.keys().next_back().copied().into_iter().chain(extended.map(|(_, max)| max)).max();
            if let (Some(first), Some(last)) = (first, last) {
                let mut start = first;
                while start <= last {
                    if at.len() > BUCKETS {
                        return Err(too_many());
                    }
                    if self.within(start) {
                        at.entry(start).or_insert_with(|| Bucket { key: vec![OutValue::Time(start)], count: 0, out: empty() });
                    }
                    let next = self.bins.next(start);
                    if next <= start {
                        break;
                    }
                    start = next;
                }
            }
        }
        let kept = at.into_values().filter(|bucket| bucket.count >= self.least);
        Ok(if self.descending { kept.rev().collect() } else { kept.collect() })
    }

    /// As the dialect writes them.
    pub fn write(&self, buckets: Vec<Bucket>) -> Map<String, Value> {
        let mut shown = self.shown.clone();
        let written = buckets.into_iter().map(|own| {
            let ns = match own.key.first() {
                Some(OutValue::Time(ns)) => *ns,
                _ => 0,
            };
            let text = shown.write(ns);
            let mut start = Map::new();
            start.insert("key_as_string".to_owned(), text.clone().into());
            start.insert("key".to_owned(), ns.div_euclid(MS).into());
            (text, bucket(start, own.count, own.out))
        });
        listed(written, self.keyed)
    }
}

fn listed(buckets: impl Iterator<Item = (String, Value)>, keyed: bool) -> Map<String, Value> {
    let buckets = if keyed { Value::Object(buckets.collect()) } else { buckets.map(|(_, bucket)| bucket).collect() };
    let mut out = Map::new();
    out.insert("buckets".to_owned(), buckets);
    out
}

/// `histogram`.
#[derive(Clone, Debug)]
pub struct NumberBuckets {
    field: String,
    bins: bins::Numbers,
    least: u64,
    missing: Option<f64>,
    extended: Option<(f64, f64)>,
    hard: (f64, f64),
    keyed: bool,
    descending: bool,
}

/// Its steps.
pub fn number_bins(word: &str, body: &Map<String, Value>) -> Result<bins::Numbers, String> {
    let step = number(body, "interval")?.ok_or_else(|| format!("`{word}` wants `interval`"))?;
    if step <= 0.0 {
        return Err(format!("the interval {step} is not greater than 0"));
    }
    let offset = number(body, "offset")?.unwrap_or(0.0);
    Ok(bins::Numbers { step, offset: offset.rem_euclid(step) })
}

impl NumberBuckets {
    /// Reads one.
    pub fn read(body: &Map<String, Value>) -> Result<Self, String> {
        let known = [
            "field",
            "interval",
            "offset",
            "min_doc_count",
            "missing",
            "extended_bounds",
            "hard_bounds",
            "keyed",
            "order",
            "script",
        ];
        only(body, "histogram", &known)?;
        let bounds = |name: &str| -> Result<Option<(f64, f64)>, String> {
            let Some(bounds) = body.get(name).filter(|bounds| !bounds.is_null()) else { return Ok(None) };
            let bounds = object(bounds, name)?;
            only(bounds, name, &["min", "max"])?;
            Ok(Some((number(bounds, "min")?.unwrap_or(f64::NEG_INFINITY), number(bounds, "max")?.unwrap_or(f64::INFINITY))))
        };
        let extended = bounds("extended_bounds")?;
        if extended.is_some_and(|(min, max)| !min.is_finite() || !max.is_finite() || min > max) {
            return Err("`extended_bounds` has `min` and `max`, the lesser first".to_owned());
        }
        let field = field("histogram", body)?;
        if field == TIME {
            return Err("`histogram` of @timestamp is not supported; `date_histogram` is".to_owned());
        }
        Ok(Self {
            field,
            bins: number_bins("histogram", body)?,
            least: u64::try_from(count(body, "min_doc_count")?.unwrap_or(0)).unwrap_or(u64::MAX),
            missing: number(body, "missing")?,
            extended,
            hard: bounds("hard_bounds")?.unwrap_or((f64::NEG_INFINITY, f64::INFINITY)),
            keyed: flag(body, "keyed")?.unwrap_or(false),
            descending: is_descending(body)?,
        })
    }

    /// The key for the engine.
    pub fn key(&self, name: &str) -> Key {
        let key = self.bins.key(&self.field, name);
        match self.missing {
            Some(missing) => key.or(OutValue::Float(missing)),
            None => key,
        }
    }

    /// Kept buckets, in order, without gaps.
    pub fn arrange(&self, buckets: Vec<Bucket>, empty: &dyn Fn() -> Map<String, Value>) -> Result<Vec<Bucket>, String> {
        let mut at: BTreeMap<i64, Bucket> = BTreeMap::new();
        for bucket in buckets {
            let start = bucket.key.first().and_then(OutValue::number).map(|number| number.as_f64());
            if let Some(start) = start.filter(|start| (self.hard.0..=self.hard.1).contains(start)) {
                at.insert(self.bins.index(start), bucket);
            }
        }
        if self.least == 0 {
            let extended =
                self.extended.map(|(min, max)| (self.bins.index(min.max(self.hard.0)), self.bins.index(max.min(self.hard.1))));
            let first = at.keys().next().copied().into_iter().chain(extended.map(|(min, _)| min)).min();
            let last = at.keys().next_back().copied().into_iter().chain(extended.map(|(_, max)| max)).max();
            if let (Some(first), Some(last)) = (first, last) {
                if last.abs_diff(first) >= u64::try_from(BUCKETS).unwrap_or(u64::MAX) {
                    return Err(too_many());
                }
                for index in first..=last {
                    let key = || vec![OutValue::Float(self.bins.start(index))];
                    at.entry(index).or_insert_with(|| Bucket { key: key(), count: 0, out: empty() });
                }
            }
        }
        let kept = at.into_values().filter(|bucket| bucket.count >= self.least);
        Ok(if self.descending { kept.rev().collect() } else { kept.collect() })
    }

    /// As the dialect writes them.
    pub fn write(&self, buckets: Vec<Bucket>) -> Map<String, Value> {
        let written = buckets.into_iter().map(|own| {
            let start = own.key.first().and_then(OutValue::number).map_or(0.0, |number| number.as_f64());
            let mut first = Map::new();
            first.insert("key".to_owned(), json!(start));
            (format!("{start:?}"), bucket(first, own.count, own.out))
        });
        listed(written, self.keyed)
    }
}
