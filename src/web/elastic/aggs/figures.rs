//! Figures over the rows of a bucket: which functions of the engine each needs, and how it is written.

use serde_json::{Map, Value, json};

use super::bins::{Dates as Bins, Step};
use super::parse::{Place, field};
use crate::base::row::TIME;
use crate::store::query::{Function, Key, OutRow, OutValue, SortKey, Top};
use crate::web::elastic::calendar::{Unit, iso};
use crate::web::elastic::dsl::names::field_name;
use crate::web::elastic::dsl::read::{as_number, count, each, flag, maybe_text, number, object, only, text};
use crate::web::elastic::order::{self, Order};
use crate::web::elastic::shown::Shown;
use crate::web::rows::plain;

/// Most percents, or values of ranks.
const PERCENTS: usize = 50;
/// Most rows of a bucket.
const TOPS: usize = 100;

/// A figure.
#[derive(Clone, Debug)]
pub enum Figure {
    /// `avg`, `sum`, `min`, `max`, `value_count`.
    Simple { word: &'static str, field: String, missing: Option<f64> },
    /// `cardinality`.
    Cardinality { field: String },
    /// `stats` and, with a number of standard deviations, `extended_stats`.
    Stats { field: String, missing: Option<f64>, sigma: Option<f64> },
    /// `percentiles`.
    Percentiles { field: String, percents: Vec<f64>, keyed: bool },
    /// `percentile_ranks`.
    Ranks { field: String, values: Vec<f64>, keyed: bool },
    /// `top_hits`.
    Hits { order: Order, from: usize, size: usize, shown: Box<Shown> },
    /// `top_metrics`.
    Metrics { order: Order, size: usize, fields: Vec<String> },
    /// `rate`.
    Rate { function: Function, unit: Option<Unit> },
}

impl Figure {
    /// Reads one; none, if it is of another kind.
    pub fn read(word: &str, body: &Map<String, Value>, now_ns: i64, place: Place) -> Result<Option<Self>, String> {
        let on_time = body.get("field").and_then(Value::as_str).is_some_and(|name| field_name(name) == TIME);
        if on_time && matches!(word, "sum" | "stats" | "extended_stats" | "percentile_ranks") {
            return Err(format!("`{word}` of @timestamp is not supported; min, max, avg and percentiles are"));
        }
        if word == "value_count" && body.get("missing").is_some_and(|missing| !missing.is_null()) {
            return Err("`missing` of `value_count` is not supported".to_owned());
        }
        let missing = || number(body, "missing");
        let percents = |name: &str| -> Result<Option<Vec<f64>>, String> {
            let Some(written) = body.get(name).filter(|written| !written.is_null()) else { return Ok(None) };
            let all = each(written);
            if all.len() > PERCENTS {
                return Err(format!("`{name}` has at most {PERCENTS} values"));
            }
            all.iter().map(|one| as_number(one, name)).collect::<Result<_, _>>().map(Some)
        };
        // What chooses between ways to estimate.
        let ways = ["precision_threshold", "tdigest", "hdr", "execution_hint"];
        let known = |own: &[&'static str]| -> Vec<&'static str> {
            ["field", "script"].iter().chain(own).chain(&ways).copied().collect()
        };
        Ok(Some(match word {
            "avg" | "sum" | "min" | "max" | "value_count" => {
                only(body, word, &known(&["missing", "format"]))?;
                let words = ["avg", "sum", "min", "max", "value_count"];
                let word = words.into_iter().find(|own| *own == word).unwrap_or("avg");
                let missing = missing()?;
                let field = field(word, body)?;
                if missing.is_some() && field == TIME {
                    return Err(format!("`missing` of `{word}` of @timestamp is not supported: every row has it"));
                }
                Self::Simple { word, field, missing }
            }
            "cardinality" => {
                only(body, word, &known(&[]))?;
                Self::Cardinality { field: field(word, body)? }
            }
            "stats" | "extended_stats" => {
                only(
                    body,
                    word,
                    &known(if word == "stats" { &["missing", "format"] } else { &["missing", "format", "sigma"] }),
                )?;
                let sigma = if word == "stats" { None } else { Some(number(body, "sigma")?.unwrap_or(2.0)) };
                Self::Stats { field: field(word, body)?, missing: missing()?, sigma }
            }
            "percentiles" => {
                only(body, word, &known(&["percents", "keyed", "format"]))?;
                let percents = percents("percents")?.unwrap_or_else(|| vec![1.0, 5.0, 25.0, 50.0, 75.0, 95.0, 99.0]);
                if percents.iter().any(|percent| !(0.0..=100.0).contains(percent)) {
                    return Err("`percents` are 0 to 100".to_owned());
                }
                Self::Percentiles { field: field(word, body)?, percents, keyed: flag(body, "keyed")?.unwrap_or(true) }
            }
            "percentile_ranks" => {
                only(body, word, &known(&["values", "keyed", "format"]))?;
                let values = percents("values")?.ok_or("`percentile_ranks` wants `values`")?;
                Self::Ranks { field: field(word, body)?, values, keyed: flag(body, "keyed")?.unwrap_or(true) }
            }
            "top_hits" => hits(body, now_ns)?,
            "top_metrics" => metrics(body, now_ns)?,
            "rate" => rate(body, place)?,
            _ => return Ok(None),
        }))
    }

    /// The functions whose results [`Figure::write`] wants.
    pub fn functions(&self) -> Vec<Function> {
        match self {
            Self::Simple { word, field, missing: None } => vec![match *word {
                "sum" => Function::Sum(field.clone()),
                "min" => Function::Min(field.clone()),
                "max" => Function::Max(field.clone()),
                "value_count" => Function::Items(field.clone()),
                _ => Function::Avg(field.clone()),
            }],
            Self::Simple { field, .. } | Self::Stats { field, .. } => vec![
                Function::Numbers(field.clone()),
                Function::Sum(field.clone()),
                Function::Min(field.clone()),
                Function::Max(field.clone()),
                Function::CountOf(field.clone()),
                Function::Squares(field.clone()),
            ],
            Self::Cardinality { field } => vec![Function::Distinct(field.clone())],
            Self::Percentiles { field, percents, .. } => {
                percents.iter().map(|percent| Function::Percentile(field.clone(), *percent)).collect()
            }
            Self::Ranks { field, .. } => vec![Function::Numbers(field.clone())],
            Self::Rate { function: Function::Count, .. } | Self::Hits { .. } | Self::Metrics { .. } => Vec::new(),
            Self::Rate { function, .. } => vec![function.clone()],
        }
    }

    /// Whether its values are instants.
    pub fn is_of_time(&self) -> bool {
        match self {
            Self::Simple { word, field, .. } => field == TIME && *word != "value_count",
            Self::Percentiles { field, .. } => field == TIME,
            _ => false,
        }
    }

    /// Whether a single function of the engine is its value, by which the engine can order.
    pub fn is_single(&self) -> bool {
        matches!(self, Self::Simple { missing: None, .. } | Self::Cardinality { .. })
    }

    /// How it is written, given the functions' results, the number of rows, and the step of time that they are of.
    pub fn write(&self, columns: &[OutValue], rows: u64, step: Option<(&Bins, i64)>) -> Value {
        let at = |index: usize| columns.get(index).unwrap_or(&OutValue::Null);
        match self {
            Self::Simple { word, missing: None, .. } => match (at(0), *word) {
                (OutValue::Null, "sum" | "value_count") => json!({ "value": 0 }),
                (value, _) => single(value),
            },
            Self::Simple { word, missing, .. } => {
                let all = Moments::new(columns, rows, *missing);
                json!({ "value": finite(match *word {
                    "sum" => all.sum,
                    "min" => all.min,
                    "max" => all.max,
                    "value_count" => all.count,
                    _ => all.sum / all.count,
                }) })
            }
            Self::Cardinality { .. } => json!({ "value": finite(at(0).number().map_or(0.0, |number| number.as_f64())) }),
            Self::Stats { missing, sigma, .. } => Moments::new(columns, rows, *missing).write(*sigma),
            Self::Percentiles { percents, keyed, .. } => {
                listed(percents, &columns.iter().map(plain_ms).collect::<Vec<_>>(), *keyed)
            }
            Self::Ranks { .. } | Self::Hits { .. } | Self::Metrics { .. } => Value::Null,
            Self::Rate { function, unit } => {
                let number = match function {
                    Function::Count => count_f64(rows),
                    _ => at(0).number().map_or(0.0, |number| number.as_f64()),
                };
                json!({ "value": step.map_or_else(|| json!(0), |(bins, start)| finite(number * ratio(*unit, bins, start))) })
            }
        }
    }

    /// How it is written where there are no rows.
    pub fn empty(&self) -> Value {
        let nothing = |function: &Function| match function {
            Function::Items(_) | Function::CountOf(_) | Function::Distinct(_) | Function::Numbers(_) => OutValue::Int(0),
            _ => OutValue::Null,
        };
        match self {
            Self::Ranks { .. } => self.write_ranks(0, &[]),
            Self::Hits { .. } | Self::Metrics { .. } => self.write_tops(&[], 0),
            _ => self.write(&self.functions().iter().map(nothing).collect::<Vec<_>>(), 0, None),
        }
    }

    /// Ranks: how many numbers there are, and how many of them each value is not exceeded by.
    pub fn write_ranks(&self, numbers: u64, below: &[u64]) -> Value {
        let Self::Ranks { values, keyed, .. } = self else { return Value::Null };
        let ranks: Vec<Value> = below.iter().map(|below| finite(count_f64(*below) / count_f64(numbers) * 100.0)).collect();
        listed(values, &ranks, *keyed)
    }

    /// Which rows it shows, of groups by these keys, and whether the newest come first among equals.
    pub fn tops(&self, by: &[Key]) -> Option<(Top, bool)> {
        let (order, rows, fields) = match self {
            Self::Hits { order, from, size, .. } => (order, from + size, None),
            Self::Metrics { order, size, fields } => {
                let sort = order.sort_keys().into_iter().map(|key| key.field);
                (order, *size, Some(fields.iter().cloned().chain(sort).collect()))
            }
            _ => return None,
        };
        let mut sort = order.sort_keys();
        if matches!(sort.as_slice(), [SortKey { field, .. }] if field == TIME) {
            sort.clear();
        }
        Some((Top { by: by.to_vec(), sort, rows, fields }, order.newest_first()))
    }

    /// Whether it shows this field of rows.
    pub fn shows(&self, name: &str) -> bool {
        matches!(self, Self::Metrics { fields, .. } if fields.iter().any(|field| shown_name(field) == name))
    }

    /// How rows are written, of so many.
    pub fn write_tops(&self, found: &[OutRow], rows: u64) -> Value {
        match self {
            Self::Hits { order, from, shown, .. } => {
                let hits: Vec<Value> = found.iter().skip(*from).map(|row| shown.hit(row, order)).collect();
                json!({ "hits": { "total": { "value": rows, "relation": "eq" }, "max_score": null, "hits": hits } })
            }
            Self::Metrics { order, fields, .. } => {
                let top = |row: &OutRow| {
                    let sort: Vec<Value> =
                        order.sort_keys().iter().map(|key| row.get(&key.field).map_or(Value::Null, shown_value)).collect();
                    let metrics: Map<String, Value> = fields
                        .iter()
                        .map(|field| (shown_name(field), row.get(field).map_or(Value::Null, shown_value)))
                        .collect();
                    json!({ "sort": sort, "metrics": metrics })
                };
                json!({ "top": found.iter().map(top).collect::<Vec<_>>() })
            }
            _ => Value::Null,
        }
    }

    /// Its kind, for clients with types.
    pub fn typed(&self) -> &'static str {
        match self {
            Self::Simple { word, .. } => word,
            Self::Cardinality { .. } => "cardinality",
            Self::Stats { sigma: None, .. } => "stats",
            Self::Stats { .. } => "extended_stats",
            Self::Percentiles { .. } => "tdigest_percentiles",
            Self::Ranks { .. } => "tdigest_percentile_ranks",
            Self::Hits { .. } => "top_hits",
            Self::Metrics { .. } => "top_metrics",
            Self::Rate { .. } => "rate",
        }
    }
}

fn shown_name(field: &str) -> String {
    crate::web::elastic::dsl::names::shown_name(field).to_owned()
}

fn hits(body: &Map<String, Value>, now_ns: i64) -> Result<Figure, String> {
    let shared = ["_source", "fields", "docvalue_fields", "stored_fields", "version", "seq_no_primary_term"];
    let own = ["size", "from", "sort", "track_scores"];
    only(body, "top_hits", &own.into_iter().chain(shared).collect::<Vec<_>>())?;
    let (size, from) = (count(body, "size")?.unwrap_or(3), count(body, "from")?.unwrap_or(0));
    if from.saturating_add(size) > TOPS {
        return Err(format!("from + size of `top_hits` is at most {TOPS}"));
    }
    let order = order::of_value(body.get("sort").unwrap_or(&Value::Null), now_ns)?;
    order.refuse_missing_first()?;
    let shown = Box::new(Shown::read(body, &Default::default(), now_ns)?);
    Ok(Figure::Hits { order, from, size, shown })
}

fn metrics(body: &Map<String, Value>, now_ns: i64) -> Result<Figure, String> {
    only(body, "top_metrics", &["metrics", "sort", "size"])?;
    let metric = |one: &Value| -> Result<String, String> {
        let one = object(one, "metrics")?;
        only(one, "metrics", &["field"])?;
        Ok(field_name(text(one.get("field"), "metrics.field")?).to_owned())
    };
    let fields: Vec<String> = body.get("metrics").map_or(&[][..], each).iter().map(metric).collect::<Result<_, _>>()?;
    if fields.is_empty() || fields.len() > TOPS {
        return Err(format!("`top_metrics` has 1 to {TOPS} `metrics`"));
    }
    let size = count(body, "size")?.unwrap_or(1);
    if size == 0 || size > TOPS {
        return Err(format!("`size` of `top_metrics` is 1 to {TOPS}"));
    }
    let order = order::of_value(body.get("sort").unwrap_or(&Value::Null), now_ns)?;
    order.refuse_missing_first()?;
    if order.sort_keys().is_empty() {
        return Err("`top_metrics` wants `sort` by a field".to_owned());
    }
    Ok(Figure::Metrics { order, size, fields })
}

fn rate(body: &Map<String, Value>, place: Place) -> Result<Figure, String> {
    only(body, "rate", &["field", "unit", "mode", "script", "format"])?;
    if !place.in_dates {
        return Err("`rate` stands within a `date_histogram`".to_owned());
    }
    let unit = maybe_text(body, "unit")?;
    let unit = unit.map(|unit| Unit::of_interval(unit).ok_or_else(|| format!("the unit `{unit}` of `rate` is not supported")));
    let function = match (body.contains_key("field"), maybe_text(body, "mode")?) {
        (false, None) => Function::Count,
        (true, None | Some("sum")) => Function::Sum(field("rate", body)?),
        (true, Some("value_count")) => Function::Items(field("rate", body)?),
        (_, Some(other)) => return Err(format!("the mode `{other}` of `rate` is not supported")),
    };
    Ok(Figure::Rate { function, unit: unit.transpose()? })
}

/// What a step's number is multiplied by, to be a unit's.
#[allow(clippy::cast_precision_loss)]
fn ratio(unit: Option<Unit>, bins: &Bins, start: i64) -> f64 {
    let months = |unit: Unit| match unit {
        Unit::Month => Some(1.0),
        Unit::Quarter => Some(3.0),
        Unit::Year => Some(12.0),
        _ => None,
    };
    let Some(unit) = unit else { return 1.0 };
    if let Step::Calendar(step) = bins.step
        && let (Some(unit), Some(step)) = (months(unit), months(step))
    {
        return unit / step;
    }
    let width = bins.next(start).saturating_sub(start).max(1);
    unit.length() as f64 / width as f64
}

/// Count, sum and so on, with what stands in for rows without the field.
struct Moments {
    count: f64,
    sum: f64,
    min: f64,
    max: f64,
    squares: f64,
}

#[allow(clippy::cast_precision_loss)]
fn count_f64(count: u64) -> f64 {
    count as f64
}

impl Moments {
    fn new(columns: &[OutValue], rows: u64, missing: Option<f64>) -> Self {
        let at = |index: usize| columns.get(index).and_then(OutValue::number).map(|number| number.as_f64());
        let mut all = Self {
            count: at(0).unwrap_or(0.0),
            sum: at(1).unwrap_or(0.0),
            min: at(2).unwrap_or(f64::INFINITY),
            max: at(3).unwrap_or(f64::NEG_INFINITY),
            squares: at(5).unwrap_or(0.0),
        };
        let without = count_f64(rows) - at(4).unwrap_or(0.0);
        if let Some(missing) = missing.filter(|_| without > 0.0) {
            all.count += without;
            all.sum += missing * without;
            all.squares += missing * missing * without;
            all.min = all.min.min(missing);
            all.max = all.max.max(missing);
        }
        all
    }

    fn write(&self, sigma: Option<f64>) -> Value {
        let avg = self.sum / self.count;
        let mut out = json!({
            "count": finite(self.count), "min": finite(self.min), "max": finite(self.max), "avg": finite(avg), "sum": finite(self.sum),
        });
        let (Some(sigma), Value::Object(members)) = (sigma, &mut out) else { return out };
        // Rounding must not make it negative.
        let spread = (self.squares - self.sum * avg).max(0.0);
        let variances = [("population", spread / self.count), ("sampling", spread / (self.count - 1.0))];
        members.insert("sum_of_squares".to_owned(), if self.count > 0.0 { finite(self.squares) } else { Value::Null });
        let mut bounds = Map::new();
        for (kind, variance) in variances {
            let deviation = variance.sqrt();
            members.insert(format!("variance_{kind}"), finite(variance));
            members.insert(format!("std_deviation_{kind}"), finite(deviation));
            bounds.insert(format!("upper_{kind}"), finite(avg + sigma * deviation));
            bounds.insert(format!("lower_{kind}"), finite(avg - sigma * deviation));
        }
        let [(_, variance), _] = variances;
        members.insert("variance".to_owned(), finite(variance));
        members.insert("std_deviation".to_owned(), finite(variance.sqrt()));
        bounds.insert("upper".to_owned(), finite(avg + sigma * variance.sqrt()));
        bounds.insert("lower".to_owned(), finite(avg - sigma * variance.sqrt()));
        members.insert("std_deviation_bounds".to_owned(), bounds.into());
        out
    }
}

/// A number, whole where it is; null where it is none.
#[allow(clippy::cast_possible_truncation)]
pub fn finite(number: f64) -> Value {
    if !number.is_finite() {
        return Value::Null;
    }
    if number.fract() == 0.0 && number.abs() < 9e15 { json!(number as i64) } else { json!(number) }
}

fn single(value: &OutValue) -> Value {
    match value {
        OutValue::Time(ns) => {
            let text = iso(*ns, &mut sawbox_guest::time::Zone::utc(), false);
            json!({ "value": ns.div_euclid(1_000_000), "value_as_string": text })
        }
        value => json!({ "value": plain(value) }),
    }
}

fn plain_ms(value: &OutValue) -> Value {
    match value {
        OutValue::Time(ns) => ns.div_euclid(1_000_000).into(),
        value => plain(value),
    }
}

fn shown_value(value: &OutValue) -> Value {
    match value {
        OutValue::Time(ns) => iso(*ns, &mut sawbox_guest::time::Zone::utc(), false).into(),
        OutValue::List(items) => items.first().map_or(Value::Null, |item| plain(&OutValue::Str(item.clone()))),
        value => plain(value),
    }
}

/// Values under numbers.
fn listed(numbers: &[f64], values: &[Value], keyed: bool) -> Value {
    let pairs = numbers.iter().enumerate().map(|(at, number)| (number, values.get(at).cloned().unwrap_or_default()));
    if keyed {
        let named: Map<String, Value> = pairs.map(|(number, value)| (format!("{number:?}"), value)).collect();
        return json!({ "values": named });
    }
    json!({ "values": pairs.map(|(number, value)| json!({ "key": number, "value": value })).collect::<Vec<_>>() })
}
