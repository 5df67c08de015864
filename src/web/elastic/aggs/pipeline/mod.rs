//! Figures over finished buckets. Those of the level above a list of buckets (`avg_bucket` …) put one figure beside it; those within
//! (`derivative`, `bucket_script` …) put one into each bucket, or choose among buckets.
//!
//! A bucket without rows, or without the figure that is asked, is a gap: passed over, or 0 with `insert_zeros`.

use serde_json::{Map, Value, json};

use super::Agg;
use super::figures::finite;
use super::keyed::{Bucket, key_order, numbers};
use super::parse::Place;
use super::path::Path;
use super::script::Script;
use crate::store::query::OutValue;
use crate::web::elastic::calendar::Unit;
use crate::web::elastic::dsl::read::{as_number, count, each, maybe_text, object, one_key, only, text, whole};

mod moving;

use moving::Moving;

/// Longest window.
const WINDOW: usize = 10_000;

/// A pipeline aggregation.
#[derive(Clone, Debug)]
pub struct Pipeline {
    word: String,
    paths: Vec<(String, Path)>,
    gaps: Gaps,
    what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gaps {
    Skip,
    Zero,
    Keep,
}

#[derive(Clone, Debug)]
enum What {
    Derivative { unit: Option<i64> },
    Sum,
    Moving { window: usize, shift: i64, how: Moving },
    Difference { lag: usize },
    Script(Script),
    Select(Script),
    Sort { keys: Vec<(Path, bool)>, from: usize, size: Option<usize> },
    Siblings,
}

impl Pipeline {
    /// Reads one; none, if it is of another kind.
    pub fn read(word: &str, body: &Map<String, Value>, place: Place) -> Result<Option<Self>, String> {
        let shared = ["buckets_path", "gap_policy", "format"];
        let check = |own: &[&'static str]| only(body, word, &shared.iter().chain(own).copied().collect::<Vec<_>>());
        let script = || -> Result<Script, String> {
            match body.get("script") {
                Some(Value::Object(script)) => {
                    only(script, "script", &["source", "inline", "lang", "params"])?;
                    if script.get("params").and_then(Value::as_object).is_some_and(|params| !params.is_empty()) {
                        return Err(format!("`params` of the script of `{word}` is not supported; write the numbers into it"));
                    }
                    Script::read(text(script.get("source").or_else(|| script.get("inline")), "script")?)
                }
                script => Script::read(text(script, "script")?),
            }
        };
        let what = match word {
            "derivative" => {
                check(&["unit"])?;
                let unit = maybe_text(body, "unit")?.map(|unit| match Unit::of_interval(unit) {
                    Some(unit) => Ok(unit.length()),
                    None => unit.parse::<crate::base::units::Span>().map(|span| span.as_ns()),
                });
                What::Derivative { unit: unit.transpose().map_err(|why| format!("`unit`: {why}"))?.filter(|unit| *unit > 0) }
            }
            "cumulative_sum" => {
                check(&[])?;
                What::Sum
            }
            "moving_fn" => {
                check(&["window", "shift", "script"])?;
                let window = count(body, "window")?.ok_or("`moving_fn` wants `window`")?;
                What::Moving { window, shift: whole(body, "shift")?.unwrap_or(0), how: Moving::of_script(body.get("script"))? }
            }
            "moving_avg" => {
                check(&["window", "model", "settings", "predict", "minimize"])?;
                if count(body, "predict")?.is_some_and(|predict| predict > 0) {
                    return Err("`predict` of `moving_avg` is not supported".to_owned());
                }
                What::Moving { window: count(body, "window")?.unwrap_or(5), shift: 0, how: Moving::of_model(body)? }
            }
            "serial_diff" => {
                check(&["lag"])?;
                What::Difference { lag: count(body, "lag")?.unwrap_or(1) }
            }
            "bucket_script" => {
                check(&["script"])?;
                What::Script(script()?)
            }
            "bucket_selector" => {
                check(&["script"])?;
                What::Select(script()?)
            }
            "bucket_sort" => {
                only(body, word, &["sort", "from", "size", "gap_policy"])?;
                What::Sort { keys: sort_keys(body)?, from: count(body, "from")?.unwrap_or(0), size: count(body, "size")? }
            }
            "avg_bucket" | "sum_bucket" | "max_bucket" | "min_bucket" | "stats_bucket" => {
                check(&[])?;
                What::Siblings
            }
            _ => return Ok(None),
        };
        if let What::Moving { window, .. } | What::Difference { lag: window } = &what
            && (*window == 0 || *window > WINDOW)
        {
            return Err(format!("the window or lag of `{word}` is 1 to {WINDOW}"));
        }
        if !matches!(what, What::Siblings) && !place.in_buckets {
            return Err(format!("`{word}` stands within buckets, such as a `date_histogram`"));
        }
        let gaps = match maybe_text(body, "gap_policy")? {
            None | Some("skip") => Gaps::Skip,
            Some("insert_zeros") => Gaps::Zero,
            Some("keep_values") => Gaps::Keep,
            Some(other) => return Err(format!("the gap_policy `{other}` is not supported")),
        };
        let many = matches!(what, What::Script(_) | What::Select(_));
        let paths = match body.get("buckets_path") {
            Some(Value::Object(paths)) if many => paths
                .iter()
                .map(|(name, path)| Ok((name.clone(), Path::read(text(Some(path), "buckets_path")?)?)))
                .collect::<Result<_, String>>()?,
            Some(path @ (Value::String(_) | Value::Array(_))) => {
                let one = each(path).first();
                vec![("_value".to_owned(), Path::read(text(one, "buckets_path")?)?)]
            }
            _ if matches!(what, What::Sort { .. }) => Vec::new(),
            _ => return Err(format!("`{word}` wants `buckets_path`")),
        };
        Ok(Some(Self { word: word.to_owned(), paths, gaps, what }))
    }

    /// Whether it stands beside the buckets that it is about.
    pub fn is_sibling(&self) -> bool {
        matches!(self.what, What::Siblings)
    }

    /// The paths that it goes.
    fn paths(&self) -> impl Iterator<Item = &Path> {
        let keys = match &self.what {
            What::Sort { keys, .. } => keys.as_slice(),
            _ => &[],
        };
        let keys = keys.iter().map(|(path, _)| path).filter(|path| path.first() != "_key");
        self.paths.iter().map(|(_, path)| path).chain(keys)
    }

    /// Whether it puts a number into a bucket, or this one of several.
    pub fn has(&self, part: Option<&str>) -> bool {
        match (&self.what, part.unwrap_or("value")) {
            (What::Select(_) | What::Sort { .. }, _) => false,
            (What::Siblings, part) if self.word == "stats_bucket" => ["count", "min", "max", "avg", "sum"].contains(&part),
            (What::Derivative { unit: Some(_) }, "normalized_value") => true,
            (_, part) => part == "value",
        }
    }

    /// Its kind, for clients with types.
    pub fn typed(&self) -> &'static str {
        match (&self.what, self.word.as_str()) {
            (What::Derivative { .. }, _) => "derivative",
            (What::Siblings, "stats_bucket") => "stats_bucket",
            (What::Siblings, "max_bucket" | "min_bucket") => "bucket_metric_value",
            _ => "simple_value",
        }
    }

    fn one(&self, bucket: &Bucket, path: &Path) -> f64 {
        let value = path.value(&bucket.out, bucket.count).unwrap_or(f64::NAN);
        self.gap(value, bucket.count == 0 && !path.is_count())
    }

    fn gap(&self, value: f64, empty: bool) -> f64 {
        match self.gaps {
            Gaps::Keep if value.is_finite() => value,
            _ if value.is_finite() && !empty => value,
            Gaps::Zero => 0.0,
            Gaps::Skip | Gaps::Keep => f64::NAN,
        }
    }
}

fn sort_keys(body: &Map<String, Value>) -> Result<Vec<(Path, bool)>, String> {
    let mut keys = Vec::new();
    for one in body.get("sort").map_or(&[][..], each) {
        if let Value::String(path) = one {
            keys.push((Path::read(path)?, false));
            continue;
        }
        let one = object(one, "sort")?;
        one_key(one, "sort")?;
        for (path, how) in one {
            let order = match how {
                Value::Object(how) => {
                    only(how, "sort", &["order"])?;
                    maybe_text(how, "order")?.unwrap_or("asc")
                }
                how => text(Some(how), "sort")?,
            };
            keys.push((Path::read(path)?, order.eq_ignore_ascii_case("desc")));
        }
    }
    Ok(keys)
}

/// Puts the pipelines of a level behind its other aggregations, in the order in which they are worked out: each after those that it is
/// about; those that choose buckets last.
///
/// # Errors
/// One is about something that is not there, or they wait for one another.
pub fn in_order(aggs: Vec<Agg>) -> Result<Vec<Agg>, String> {
    let is_about = |pipeline: &Pipeline, name: &str| {
        let behind = |path: &Path| path.first().strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        pipeline.paths.iter().any(|(_, path)| behind(path))
    };
    let beside: Vec<&Agg> = aggs.iter().collect();
    for (name, pipeline) in pipelines(&aggs, false).chain(pipelines(&aggs, true)) {
        let leads = |path: &&Path| if pipeline.is_sibling() { path.leads_through(&aggs) } else { path.leads(&beside) };
        if let Some(path) = pipeline.paths().find(|path| !leads(path)) {
            let what = if pipeline.is_sibling() { "a figure in the buckets of an" } else { "a figure of an" };
            return Err(format!("`{name}`: `{path}` does not lead to {what} aggregation beside it, of several numbers to one"));
        }
    }
    let rank = |agg: &Agg| match &agg.kind {
        super::Kind::Pipeline(pipeline) => match pipeline.what {
            What::Siblings => 3,
            What::Select(_) | What::Sort { .. } => 2,
            _ => 1,
        },
        _ => 0,
    };
    let (mut left, mut done): (Vec<Agg>, Vec<Agg>) = aggs.into_iter().partition(|agg| rank(agg) > 0);
    left.sort_by_key(rank);
    while !left.is_empty() {
        let is_sibling = |agg: &Agg| rank(agg) == 3;
        let waits = |agg: &Agg| match &agg.kind {
            super::Kind::Pipeline(pipeline) => {
                left.iter().any(|other| is_sibling(other) == is_sibling(agg) && is_about(pipeline, &other.name))
            }
            _ => false,
        };
        let Some(at) = left.iter().position(|agg| !waits(agg)) else {
            return Err("the pipelines wait for one another: their `buckets_path` go in a circle".to_owned());
        };
        done.push(left.remove(at));
    }
    Ok(done)
}

fn pipelines(aggs: &[Agg], sibling: bool) -> impl Iterator<Item = (&str, &Pipeline)> {
    aggs.iter().filter_map(move |agg| match &agg.kind {
        super::Kind::Pipeline(pipeline) if pipeline.is_sibling() == sibling => Some((agg.name.as_str(), pipeline)),
        _ => None,
    })
}

/// Works out the pipelines within a list of buckets, while there is time.
pub fn within(aggs: &[Agg], mut buckets: Vec<Bucket>, goes_on: impl Fn() -> bool) -> Vec<Bucket> {
    for (name, pipeline) in pipelines(aggs, false).take_while(|_| goes_on()) {
        pipeline.each(name, &mut buckets);
    }
    buckets
}

/// Works out the pipelines beside lists of buckets.
pub fn beside(aggs: &[Agg], out: &mut Map<String, Value>) -> Result<(), String> {
    for (name, pipeline) in pipelines(aggs, true) {
        let value = pipeline.sibling(out).map_err(|why| format!("`{name}`: {why}"))?;
        out.insert(name.to_owned(), value);
    }
    Ok(())
}

impl Pipeline {
    fn each(&self, name: &str, buckets: &mut Vec<Bucket>) {
        let none = Path::read("_count");
        let path = self.paths.first().map(|(_, path)| path.clone()).or(none.ok());
        let values: Vec<f64> =
            buckets.iter().map(|bucket| path.as_ref().map_or(f64::NAN, |path| self.one(bucket, path))).collect();
        let mut put = |at: usize, value: Value| {
            if let Some(bucket) = buckets.get_mut(at) {
                bucket.out.insert(name.to_owned(), value);
            }
        };
        match &self.what {
            What::Siblings => {}
            What::Derivative { unit } => {
                let starts: Vec<Option<f64>> =
                    buckets.iter().map(|bucket| bucket.key.first().and_then(OutValue::number).map(|n| n.as_f64())).collect();
                let mut last: Option<(f64, Option<f64>)> = None;
                for (at, value) in values.iter().enumerate() {
                    let start = starts.get(at).copied().flatten();
                    if let Some((before, begun)) = last {
                        // Neither a gap nor what comes behind one has a difference.
                        let mut out = json!({ "value": finite(value - before) });
                        if let (Some(unit), Some(start), Some(begun)) = (unit, start, begun) {
                            #[allow(clippy::cast_precision_loss)]
                            let units = (start - begun) / *unit as f64;
                            out["normalized_value"] = finite((value - before) / units);
                        }
                        if let Some(bucket) = buckets.get_mut(at) {
                            bucket.out.insert(name.to_owned(), out);
                        }
                    }
                    last = Some((*value, start));
                }
            }
            What::Sum => {
                let mut sum = 0.0;
                for (at, value) in values.iter().enumerate() {
                    sum += if value.is_nan() { 0.0 } else { *value };
                    put(at, json!({ "value": finite(sum) }));
                }
            }
            What::Moving { window, shift, how } => {
                let there: Vec<f64> = values.iter().copied().filter(|value| !value.is_nan()).collect();
                let len = i64::try_from(there.len()).unwrap_or(i64::MAX);
                let clamp = |at: i64| usize::try_from(at.clamp(0, len)).unwrap_or(0);
                let width = i64::try_from(*window).unwrap_or(i64::MAX);
                let numbers = values.iter().enumerate().filter(|(_, value)| !value.is_nan());
                for (index, (at, _)) in (0i64..).zip(numbers) {
                    let end = index.saturating_add(*shift);
                    let part = there.get(clamp(end.saturating_sub(width))..clamp(end)).unwrap_or_default();
                    if !part.is_empty() || !how.is_model() {
                        put(at, json!({ "value": finite(how.value(part)) }));
                    }
                }
            }
            What::Difference { lag } => {
                for (at, value) in values.iter().enumerate().skip(*lag) {
                    let difference = value - values[at - lag];
                    if !difference.is_nan() {
                        put(at, json!({ "value": finite(difference) }));
                    }
                }
            }
            What::Script(script) => {
                for bucket in buckets.iter_mut() {
                    if let Some(params) = self.params(bucket) {
                        bucket.out.insert(name.to_owned(), json!({ "value": finite(run(script, &params)) }));
                    }
                }
            }
            // A gap compares with nothing, and is left out.
            What::Select(script) => buckets.retain(|bucket| {
                let params: Vec<(String, f64)> =
                    self.paths.iter().map(|(name, path)| (name.clone(), self.one(bucket, path))).collect();
                run(script, &params) != 0.0
            }),
            What::Sort { keys, from, size } => {
                let by_key = |path: &Path| path.first() == "_key";
                if !keys.is_empty() {
                    let mut ranked: Vec<(Vec<f64>, Bucket)> = std::mem::take(buckets)
                        .into_iter()
                        .map(|bucket| (keys.iter().map(|(path, _)| self.one(&bucket, path)).collect(), bucket))
                        .collect();
                    // What has no place in the order is left out.
                    ranked.retain(|(values, _)| {
                        keys.iter().zip(values).any(|((path, _), value)| by_key(path) || !value.is_nan())
                    });
                    ranked.sort_by(|(a, one), (b, other)| {
                        let orders = keys.iter().enumerate().map(|(at, (path, descending))| match (&*one.key, &*other.key) {
                            ([one, ..], [other, ..]) if by_key(path) => {
                                let order = key_order(one, other);
                                if *descending { order.reverse() } else { order }
                            }
                            _ => numbers(a[at], b[at], *descending),
                        });
                        orders.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then)
                    });
                    *buckets = ranked.into_iter().map(|(_, bucket)| bucket).collect();
                }
                buckets.drain(..(*from).min(buckets.len()));
                buckets.truncate(size.unwrap_or(usize::MAX));
            }
        }
    }

    /// The values of its names; none, if one is a gap that is passed over.
    fn params(&self, bucket: &Bucket) -> Option<Vec<(String, f64)>> {
        let value = |(name, path): &'_ (String, Path)| {
            let value = self.one(bucket, path);
            (!value.is_nan()).then_some((name.clone(), value))
        };
        self.paths.iter().map(value).collect()
    }

    fn sibling(&self, out: &Map<String, Value>) -> Result<Value, String> {
        let Some((_, path)) = self.paths.first() else { return Err("`buckets_path` is missing".to_owned()) };
        let name = path.first();
        let list = out.get(name).and_then(|own| own.get("buckets")).ok_or_else(|| format!("`{name}` has no buckets"))?;
        let buckets: Vec<(String, &Map<String, Value>)> = match list {
            Value::Object(named) => named.iter().filter_map(|(key, bucket)| Some((key.clone(), bucket.as_object()?))).collect(),
            list => each(list).iter().filter_map(Value::as_object).map(|bucket| (key_text(bucket), bucket)).collect(),
        };
        let rest = path.rest();
        let mut values = Vec::new();
        for (key, bucket) in buckets {
            let count = bucket.get("doc_count").and_then(Value::as_u64).unwrap_or(0);
            let value = rest.value(bucket, count).unwrap_or(f64::NAN);
            let value = self.gap(value, count == 0 && !rest.is_count() && !rest.is_empty());
            if !value.is_nan() {
                values.push((key, value));
            }
        }
        #[allow(clippy::cast_precision_loss)]
        let count = values.len() as f64;
        let sum: f64 = values.iter().map(|(_, value)| value).sum();
        let min = values.iter().map(|(_, value)| *value).fold(f64::INFINITY, f64::min);
        let max = values.iter().map(|(_, value)| *value).fold(f64::NEG_INFINITY, f64::max);
        let keys =
            |wanted: f64| values.iter().filter(|(_, value)| *value == wanted).map(|(key, _)| key.clone()).collect::<Vec<_>>();
        Ok(match self.word.as_str() {
            "sum_bucket" => json!({ "value": finite(sum) }),
            "max_bucket" => json!({ "value": finite(max), "keys": keys(max) }),
            "min_bucket" => json!({ "value": finite(min), "keys": keys(min) }),
            "stats_bucket" => {
                json!({ "count": finite(count), "min": finite(min), "max": finite(max), "avg": finite(sum / count), "sum": finite(sum) })
            }
            _ => json!({ "value": finite(sum / count) }),
        })
    }
}

fn run(script: &Script, params: &[(String, f64)]) -> f64 {
    script.value(&|name| params.iter().find(|(own, _)| *own == name).map_or(f64::NAN, |(_, value)| *value))
}

fn key_text(bucket: &Map<String, Value>) -> String {
    match bucket.get("key_as_string").or_else(|| bucket.get("key")) {
        Some(Value::String(text)) => text.clone(),
        Some(key) => key.to_string(),
        None => String::new(),
    }
}

/// A number of `settings`.
fn setting(body: &Map<String, Value>, name: &str, usual: f64) -> Result<f64, String> {
    let Some(settings) = body.get("settings").filter(|settings| !settings.is_null()) else { return Ok(usual) };
    match object(settings, "settings")?.get(name) {
        None | Some(Value::Null) => Ok(usual),
        Some(value) => as_number(value, name),
    }
}
