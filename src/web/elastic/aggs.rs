//! The dialect's aggregations, run as `stats … by …` of the native engine.
//!
//! Each bucket aggregation is one run over the rows, grouped by its own key behind those of the aggregations it is nested in; the
//! tree of buckets is put together from the resulting tables. So an aggregation of depth three costs three scans and no more memory
//! than its buckets.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use crate::base::predicate::Predicate;
use crate::base::row::TIME;
use crate::base::time;
use crate::store::query::{Agg as Figure, Function, Key, OutValue, Pipe, Query};
use crate::web::elastic::dsl::{field_name, instant, object, only};
use crate::web::rows::plain;

/// Deepest nesting.
const DEPTH: usize = 8;
/// Most aggregations of a request.
const MOST: usize = 64;
/// Most buckets of one histogram.
const BUCKETS: i64 = 65_536;

/// An aggregation, understood.
#[derive(Debug)]
pub struct Agg {
    name: String,
    kind: Kind,
    inside: Vec<Agg>,
}

#[derive(Debug)]
enum Kind {
    Terms { field: String, size: usize, order: Order, least: u64 },
    Histogram { step: i64, offset: i64, least: u64, bounds: Option<(i64, i64)> },
    Figure(Function),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Count { descending: bool },
    Key { descending: bool },
}

/// Understands `aggs`.
///
/// # Errors
/// What is not supported, by name.
pub fn parse(aggs: &Value, now_ns: i64) -> Result<Vec<Agg>, String> {
    let mut left = MOST;
    level(aggs, now_ns, 0, &mut left)
}

fn level(aggs: &Value, now_ns: i64, depth: usize, left: &mut usize) -> Result<Vec<Agg>, String> {
    if depth > DEPTH {
        return Err(format!("aggregations nest at most {DEPTH} deep"));
    }
    let mut all = Vec::new();
    for (name, body) in object(aggs, "aggs")? {
        *left = left.checked_sub(1).ok_or_else(|| format!("at most {MOST} aggregations"))?;
        let (mut kind, mut inside) = (None, Vec::new());
        for (word, body) in object(body, name)? {
            match word.as_str() {
                "aggs" | "aggregations" => inside = level(body, now_ns, depth + 1, left)?,
                "meta" => {}
                _ if kind.is_none() => kind = Some(one(word, object(body, word)?, now_ns)?),
                _ => return Err(format!("`{name}` is two aggregations at once")),
            }
        }
        let kind = kind.ok_or_else(|| format!("`{name}` is no aggregation"))?;
        if matches!(kind, Kind::Figure(_)) && !inside.is_empty() {
            return Err(format!("`{name}` is a figure and holds no aggregations"));
        }
        all.push(Agg { name: name.clone(), kind, inside });
    }
    Ok(all)
}

fn one(word: &str, body: &Map<String, Value>, now_ns: i64) -> Result<Kind, String> {
    let field = || {
        let field = body.get("field").and_then(Value::as_str).ok_or_else(|| format!("`{word}` wants `field`"))?;
        Ok::<_, String>(field_name(field).to_owned())
    };
    let figure = |make: fn(String) -> Function| {
        only(body, word, &["field", "precision_threshold"])?;
        Ok(Kind::Figure(make(field()?)))
    };
    let least = |default: u64| {
        body.get("min_doc_count").map_or(Ok(default), |n| n.as_u64().ok_or("min_doc_count: a whole number".to_owned()))
    };
    match word {
        "terms" => {
            only(body, word, &["field", "size", "order", "min_doc_count", "shard_size"])?;
            let size = body.get("size").map_or(Some(10), Value::as_u64).ok_or("size: a whole number")?;
            Ok(Kind::Terms {
                field: field()?,
                size: usize::try_from(size).unwrap_or(usize::MAX),
                order: order(body.get("order"))?,
                least: least(1)?.max(1),
            })
        }
        "date_histogram" => {
            only(
                body,
                word,
                &[
                    "field",
                    "fixed_interval",
                    "calendar_interval",
                    "interval",
                    "min_doc_count",
                    "extended_bounds",
                    "offset",
                    "format",
                    "time_zone",
                    "keyed",
                ],
            )?;
            if field()? != TIME {
                return Err("date_histogram is supported on @timestamp".to_owned());
            }
            if body.get("time_zone").is_some_and(|zone| !matches!(zone.as_str(), Some("UTC" | "Z" | "+00:00"))) {
                return Err("date_histogram counts in UTC; another `time_zone` is not supported".to_owned());
            }
            if body.get("keyed") == Some(&Value::Bool(true)) {
                return Err("`keyed` of `date_histogram` is not supported".to_owned());
            }
            let written = ["fixed_interval", "calendar_interval", "interval"]
                .iter()
                .find_map(|name| body.get(*name))
                .and_then(Value::as_str);
            let step = span(written.ok_or("date_histogram wants `fixed_interval`")?)?;
            let offset = body.get("offset").and_then(Value::as_str).map_or(Ok(0), span)?;
            let bounds = match body.get("extended_bounds") {
                None => None,
                Some(bounds) => {
                    let end = |name: &str| -> Result<i64, String> {
                        match &bounds[name] {
                            Value::Number(ms) => instant(&ms.to_string(), now_ns),
                            Value::String(text) => instant(text, now_ns),
                            _ => Err(format!("extended_bounds wants `{name}`")),
                        }
                    };
                    Some((end("min")?, end("max")?))
                }
            };
            Ok(Kind::Histogram { step, offset, least: least(0)?, bounds })
        }
        "avg" => figure(Function::Avg),
        "sum" => figure(Function::Sum),
        "min" => figure(Function::Min),
        "max" => figure(Function::Max),
        "value_count" => figure(Function::CountOf),
        "cardinality" => figure(Function::Distinct),
        other => Err(format!("the aggregation `{other}` is not supported")),
    }
}

fn order(order: Option<&Value>) -> Result<Order, String> {
    let Some(order) = order else { return Ok(Order::Count { descending: true }) };
    let first = match order {
        Value::Array(orders) => orders.first().unwrap_or(&Value::Null),
        one => one,
    };
    let (by, way) = object(first, "order")?.iter().next().ok_or("order names what to order by")?;
    let descending = way.as_str() == Some("desc");
    match by.as_str() {
        "_count" => Ok(Order::Count { descending }),
        "_key" | "_term" => Ok(Order::Key { descending }),
        other => Err(format!("ordering by `{other}` is not supported; _count and _key are")),
    }
}

/// `30s`, `5m`, `1h`, `1d`, and the calendar's words for those of fixed length.
fn span(text: &str) -> Result<i64, String> {
    let text = match text {
        "second" => "1s",
        "minute" => "1m",
        "hour" => "1h",
        "day" => "1d",
        "week" | "month" | "quarter" | "year" | "1M" | "1q" | "1y" => {
            return Err(format!("the interval `{text}` is not supported; fixed ones up to days are"));
        }
        other => other,
    };
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let ns = text.parse::<crate::base::units::Span>()?.as_ns();
    if ns == 0 {
        return Err("an interval of nothing".to_owned());
    }
    Ok(if negative { -ns } else { ns })
}

/// Runs a query and gives its rows, each a list of values in the order of the query's columns.
pub type Run<'a> = dyn FnMut(&Query) -> Result<Vec<Vec<OutValue>>, String> + 'a;

/// Runs aggregations over the rows of a predicate.
///
/// # Errors
/// What the engine says.
pub fn run(aggs: &[Agg], predicate: &Predicate, run: &mut Run<'_>) -> Result<Value, String> {
    let mut results = under(aggs, &[], predicate, run)?;
    Ok(Value::Object(complete(aggs, results.remove(&String::new()).unwrap_or_default())))
}

/// A bucket: its key, its rows, and what is in it.
type Bucket = (OutValue, u64, Map<String, Value>);

/// Results of sibling aggregations for each combination of the keys they are under.
type Results = HashMap<String, Map<String, Value>>;

fn under(aggs: &[Agg], keys: &[Key], predicate: &Predicate, run: &mut Run<'_>) -> Result<Results, String> {
    let mut results = Results::new();
    let figures: Vec<(&str, &Function)> = aggs
        .iter()
        .filter_map(|agg| match &agg.kind {
            Kind::Figure(function) => Some((agg.name.as_str(), function)),
            _ => None,
        })
        .collect();
    if !figures.is_empty() {
        let columns = figures
            .iter()
            .enumerate()
            .map(|(n, (_, function))| Figure::new((*function).clone()).named(&format!("m{n}")))
            .collect();
        let query = Query::new(predicate.clone()).pipe(Pipe::Stats(columns, keys.to_vec()));
        for row in run(&query)? {
            let (path, values) = row.split_at(keys.len());
            let into = results.entry(path_name(path)).or_default();
            for ((name, _), value) in figures.iter().zip(values) {
                into.insert((*name).to_owned(), json!({ "value": plain(value) }));
            }
        }
    }
    for agg in aggs {
        let own = match &agg.kind {
            Kind::Figure(_) => continue,
            Kind::Terms { field, .. } => Key::field(field).skip_missing().named(&format!("k{}", keys.len())),
            Kind::Histogram { step, offset, .. } => Key::time(*step, *offset, &format!("k{}", keys.len())),
        };
        let keys: Vec<Key> = keys.iter().cloned().chain([own]).collect();
        let mut inside = under(&agg.inside, &keys, predicate, run)?;
        let query =
            Query::new(predicate.clone()).pipe(Pipe::Stats(vec![Figure::new(Function::Count).named("c")], keys.clone()));
        let mut buckets: HashMap<String, Vec<Bucket>> = HashMap::new();
        for row in run(&query)? {
            let (path, count) = row.split_at(keys.len());
            let (Some((own, above)), Some(OutValue::Int(count))) = (path.split_last(), count.first()) else { continue };
            let nested = complete(&agg.inside, inside.remove(&path_name(path)).unwrap_or_default());
            buckets.entry(path_name(above)).or_default().push((own.clone(), count.unsigned_abs(), nested));
        }
        for (path, buckets) in buckets {
            results.entry(path).or_default().insert(agg.name.clone(), finish(agg, buckets));
        }
    }
    Ok(results)
}

/// Aggregations that had no rows are there all the same, empty.
fn complete(aggs: &[Agg], mut found: Map<String, Value>) -> Map<String, Value> {
    for agg in aggs {
        if !found.contains_key(&agg.name) {
            let empty = match &agg.kind {
                Kind::Figure(Function::CountOf(_) | Function::Distinct(_)) => json!({ "value": 0 }),
                Kind::Figure(Function::Sum(_)) => json!({ "value": 0.0 }),
                Kind::Figure(_) => json!({ "value": null }),
                _ => finish(agg, Vec::new()),
            };
            found.insert(agg.name.clone(), empty);
        }
    }
    found
}

/// Orders, cuts and fills the buckets of one aggregation.
fn finish(agg: &Agg, mut buckets: Vec<Bucket>) -> Value {
    match &agg.kind {
        Kind::Terms { size, order, least, .. } => {
            let total: u64 = buckets.iter().map(|(_, count, _)| count).sum();
            buckets.retain(|(_, count, _)| count >= least);
            buckets.sort_by(|a, b| {
                let keys = a.0.order(&b.0);
                match order {
                    Order::Count { descending: true } => b.1.cmp(&a.1).then(keys),
                    Order::Count { descending: false } => a.1.cmp(&b.1).then(keys),
                    Order::Key { descending } => {
                        if *descending {
                            keys.reverse()
                        } else {
                            keys
                        }
                    }
                }
            });
            buckets.truncate(*size);
            let shown: u64 = buckets.iter().map(|(_, count, _)| count).sum();
            let buckets: Vec<Value> =
                buckets.into_iter().map(|(key, count, inside)| bucket(json!({}), &key, count, inside)).collect();
            json!({ "doc_count_error_upper_bound": 0, "sum_other_doc_count": total - shown, "buckets": buckets })
        }
        Kind::Histogram { step, offset, least, bounds } => {
            let mut at: std::collections::BTreeMap<i64, (u64, Map<String, Value>)> =
                buckets.into_iter().filter_map(|(key, count, inside)| Some((instant_of(&key)?, (count, inside)))).collect();
            let bin = crate::store::query::Bin { step: *step, offset: *offset };
            let first = at.keys().next().copied().into_iter().chain(bounds.map(|(min, _)| bin.floor(min))).min();
            let last = at.keys().next_back().copied().into_iter().chain(bounds.map(|(_, max)| bin.floor(max))).max();
            if let (0, Some(first), Some(last)) = (*least, first, last)
                && (last - first) / step < BUCKETS
            {
                let mut time = first;
                while time <= last {
                    at.entry(time).or_insert_with(|| (0, complete(&agg.inside, Map::new())));
                    time += step;
                }
            }
            let buckets: Vec<Value> = at
                .into_iter()
                .filter(|(_, (count, _))| count >= least)
                .map(|(ns, (count, inside))| {
                    let key = OutValue::Int(ns.div_euclid(1_000_000));
                    bucket(json!({ "key_as_string": time::format(ns) }), &key, count, inside)
                })
                .collect();
            json!({ "buckets": buckets })
        }
        Kind::Figure(_) => Value::Null,
    }
}

fn bucket(mut start: Value, key: &OutValue, count: u64, inside: Map<String, Value>) -> Value {
    if let OutValue::Bool(yes) = key {
        // The dialect's booleans are 0 and 1, spelt beside.
        start["key_as_string"] = yes.to_string().into();
        start["key"] = u8::from(*yes).into();
    } else {
        start["key"] = plain(key);
    }
    start["doc_count"] = count.into();
    if let Value::Object(start) = &mut start {
        start.extend(inside);
    }
    start
}

fn instant_of(key: &OutValue) -> Option<i64> {
    match key {
        OutValue::Time(ns) => Some(*ns),
        _ => None,
    }
}

fn path_name(path: &[OutValue]) -> String {
    path.iter().map(|value| plain(value).to_string()).collect::<Vec<_>>().join("\u{1f}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_supported_is_named() {
        for (aggs, name) in [
            (json!({ "a": { "significant_terms": { "field": "x" } } }), "significant_terms"),
            (json!({ "a": { "terms": { "field": "x", "missing": "?" } } }), "missing"),
            (json!({ "a": { "date_histogram": { "field": "@timestamp", "calendar_interval": "month" } } }), "month"),
            (json!({ "a": { "terms": { "field": "x", "order": { "b": "desc" } } } }), "`b`"),
        ] {
            assert!(parse(&aggs, 0).is_err_and(|why| why.contains(name)), "{aggs}");
        }
    }

    #[test]
    fn buckets_nest_and_gaps_are_filled() {
        let aggs = parse(
            &json!({ "over_time": {
                "date_histogram": { "field": "@timestamp", "fixed_interval": "1m" },
                "aggs": { "apps": { "terms": { "field": "app", "size": 1 }, "aggs": { "b": { "sum": { "field": "bytes" } } } } },
            } }),
            0,
        )
        .unwrap();
        const MINUTE: i64 = 60_000_000_000;
        let text = |text: &str| OutValue::Str(text.as_bytes().into());
        let mut tables = |query: &Query| {
            let Some(Pipe::Stats(figures, keys)) = query.pipes.first() else { return Err("no stats".to_owned()) };
            let mut rows = Vec::new();
            for (minute, app, count, bytes) in [(0, "shop", 2, 20), (0, "api", 1, 5), (2, "api", 3, 9)] {
                let mut row = vec![OutValue::Time(minute * MINUTE), text(app), OutValue::Int(count)];
                if figures[0].function != Function::Count {
                    row[2] = OutValue::Int(bytes);
                }
                rows.push(row);
            }
            if keys.len() == 1 {
                rows = vec![vec![OutValue::Time(0), OutValue::Int(3)], vec![OutValue::Time(2 * MINUTE), OutValue::Int(3)]];
            }
            Ok(rows)
        };
        let answer = run(&aggs, &Predicate::All, &mut tables).unwrap();
        let buckets = &answer["over_time"]["buckets"];
        let counts: Vec<_> = buckets.as_array().unwrap().iter().map(|bucket| bucket["doc_count"].as_u64().unwrap()).collect();
        assert_eq!(counts, [3, 0, 3]);
        assert_eq!(buckets[0]["apps"]["buckets"], json!([{ "key": "shop", "doc_count": 2, "b": { "value": 20 } }]));
        assert_eq!(buckets[0]["apps"]["sum_other_doc_count"], 1);
        assert_eq!(buckets[1]["apps"]["buckets"], json!([]));
        assert_eq!(buckets[2]["key"], 120_000);
    }
}
