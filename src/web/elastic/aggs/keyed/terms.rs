//! `terms`: a bucket for each value of a field.
//!
//! Ordered by the number of rows, the value, or what is in the bucket. Values are those of whole fields; the message is one value,
//! not its words. Buckets of no rows (`min_doc_count: 0`) are not made up.

use std::cmp::Ordering;
use std::collections::HashSet;

use regex::bytes::Regex;
use serde_json::{Map, Value, json};

use super::{Bucket, bucket, key_of, out_value};
use crate::base::predicate::{Number, Predicate, REGEX_BYTES};
use crate::store::query::{Function, Key, OutValue};
use crate::web::elastic::aggs::parse::field;
use crate::web::elastic::aggs::path::Path;
use crate::web::elastic::aggs::{Agg, Kind};
use crate::web::elastic::dsl::leaf::from_lucene;
use crate::web::elastic::dsl::read::{count, each, object, one_key, only, scalar};

/// Most buckets without a word.
const USUAL: usize = 10;
/// Most values of `include` and `exclude`.
const VALUES: usize = 10_000;
/// Most of them that rows are asked for.
const CHOSEN: usize = 1000;

/// `terms`.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Of which field.
    pub field: String,
    /// How many buckets.
    pub size: usize,
    /// The least number of rows.
    pub least: u64,
    /// In which order; equal ones by value.
    pub order: Vec<(By, bool)>,
    missing: Option<OutValue>,
    include: Option<Names>,
    exclude: Option<Names>,
}

/// By what buckets are ordered; the flag beside it is whether the greatest come first.
#[derive(Clone, Debug)]
pub enum By {
    /// Rows.
    Count,
    /// The value.
    Key,
    /// What is in the bucket.
    Path(Path),
}

/// Values that are wanted or not.
#[derive(Clone, Debug)]
enum Names {
    Like(Regex),
    These {
        /// As they are written.
        texts: HashSet<String>,
        /// The numbers among them, in the one way of [`number`].
        numbers: HashSet<String>,
    },
}

/// A number as every spelling of it is told: `3`, `3.0` and `3e0` are one.
fn number(number: Number) -> String {
    #[allow(clippy::cast_possible_truncation)]
    match number {
        Number::Float(float) if float.fract() == 0.0 && float.abs() < 9e18 => (float as i64).to_string(),
        Number::Float(float) => Number::text_of(float),
        Number::Int(int) => int.to_string(),
    }
}

impl Names {
    fn read(written: &Value, what: &str) -> Result<Self, String> {
        match written {
            Value::String(expression) => {
                let inner = from_lucene(expression).map_err(|why| format!("`{what}`: {why}"))?;
                let whole = format!("^(?s:{inner})$");
                let regex = regex::bytes::RegexBuilder::new(&whole).size_limit(REGEX_BYTES).build();
                regex.map(Self::Like).map_err(|_| format!("the expression `{expression}` of `{what}` is not understood"))
            }
            Value::Array(values) if values.len() <= VALUES => {
                let texts = values.iter().map(|value| scalar(value, what)).collect::<Result<HashSet<_>, _>>()?;
                let numbers = texts.iter().filter_map(|text| Number::parse(text.as_bytes())).map(number).collect();
                Ok(Self::These { texts, numbers })
            }
            Value::Array(_) => Err(format!("`{what}` has at most {VALUES} values")),
            _ => Err(format!("`{what}` is an expression or a list of values; partitions are not supported")),
        }
    }

    fn has(&self, key: &OutValue) -> bool {
        let text = match key {
            OutValue::Str(bytes) => bytes.to_vec(),
            value => match super::plain(value) {
                Value::String(text) => text.into_bytes(),
                value => value.to_string().into_bytes(),
            },
        };
        match self {
            Self::Like(regex) => regex.is_match(&text),
            Self::These { texts, numbers } => match key {
                OutValue::Int(int) => numbers.contains(&number(Number::Int(*int))),
                OutValue::Float(float) => numbers.contains(&number(Number::Float(*float))),
                _ => std::str::from_utf8(&text).is_ok_and(|text| texts.contains(text)),
            },
        }
    }
}

impl Terms {
    /// Reads one.
    pub fn read(body: &Map<String, Value>) -> Result<Self, String> {
        let known = [
            "field",
            "size",
            "order",
            "min_doc_count",
            "missing",
            "include",
            "exclude",
            "script",
            // About shards, and ways to compute.
            "shard_size",
            "shard_min_doc_count",
            "show_term_doc_count_error",
            "execution_hint",
            "collect_mode",
            "value_type",
        ];
        only(body, "terms", &known)?;
        let size = count(body, "size")?.unwrap_or(USUAL);
        if size == 0 {
            return Err("`size` of `terms` is at least 1".to_owned());
        }
        let missing = match body.get("missing") {
            None | Some(Value::Null) => None,
            Some(value) => Some(out_value(value).ok_or("`missing` is a value")?),
        };
        let names =
            |what: &str| body.get(what).filter(|names| !names.is_null()).map(|names| Names::read(names, what)).transpose();
        let field = field("terms", body)?;
        Ok(Self {
            field,
            size,
            least: u64::try_from(count(body, "min_doc_count")?.unwrap_or(1)).unwrap_or(u64::MAX).max(1),
            order: order(body.get("order"))?,
            missing,
            include: names("include")?,
            exclude: names("exclude")?,
        })
    }

    /// Refuses an order by what is not in its buckets. Pipelines are not: they are worked out when the buckets are in order.
    pub fn check_order(&self, name: &str, inside: &[Agg]) -> Result<(), String> {
        let inside: Vec<&Agg> = inside.iter().filter(|agg| !matches!(agg.kind, Kind::Pipeline(_))).collect();
        let wrong = self.order.iter().find_map(|(by, _)| match by {
            By::Path(path) if !path.leads(&inside) => Some(path),
            _ => None,
        });
        wrong.map_or(Ok(()), |path| {
            Err(format!(
                "`{name}`: there is nothing to order by at `{path}`: `_count`, `_key` or a figure in its buckets, of several numbers \
                 one (`load.max`)"
            ))
        })
    }

    /// The key for the engine.
    pub fn key(&self, name: &str) -> Key {
        let key = Key::field(&self.field).named(name).skip_missing();
        match &self.missing {
            Some(missing) => key.or(missing.clone()),
            None => key,
        }
    }

    /// Rows that have one of the values that are wanted, where those are few.
    pub fn chosen(&self) -> Option<Predicate> {
        match (&self.include, &self.missing) {
            (Some(Names::These { texts, .. }), None) if texts.len() <= CHOSEN => {
                Some(Predicate::or(texts.iter().map(|value| Predicate::exact(self.field.as_str(), value)).collect()))
            }
            _ => None,
        }
    }

    /// Whether the engine can choose the first: nothing is left out afterwards.
    pub fn is_plain(&self) -> bool {
        !self.is_choosy() && self.least <= 1
    }

    /// Whether it says which values are wanted.
    fn is_choosy(&self) -> bool {
        self.include.is_some() || self.exclude.is_some()
    }

    /// Whether a value is wanted.
    pub fn wants(&self, key: &OutValue) -> bool {
        self.include.as_ref().is_none_or(|names| names.has(key)) && !self.exclude.as_ref().is_some_and(|names| names.has(key))
    }

    /// The functions whose results [`Terms::total`] wants.
    pub fn functions(&self) -> Vec<Function> {
        let field = || self.field.clone();
        match &self.missing {
            // Of others than the wanted ones nothing is said.
            _ if self.is_choosy() => Vec::new(),
            None => vec![Function::Items(field())],
            Some(_) => vec![Function::Items(field()), Function::CountOf(field())],
        }
    }

    /// What all buckets count together, of so many rows: one with a list is in several.
    pub fn total(columns: &[OutValue], rows: u64) -> u64 {
        let at = |index: usize| match columns.get(index) {
            Some(OutValue::Int(count)) => Some(count.unsigned_abs()),
            _ => None,
        };
        at(0).unwrap_or(0).saturating_add(at(1).map_or(0, |having| rows.saturating_sub(having)))
    }

    /// The first buckets, in order.
    pub fn arrange(&self, mut buckets: Vec<Bucket>) -> Vec<Bucket> {
        buckets.retain(|bucket| bucket.count >= self.least);
        let paths: Vec<Vec<f64>> = buckets
            .iter()
            .map(|bucket| {
                let value = |by: &By| match by {
                    By::Path(path) => path.value(&bucket.out, bucket.count),
                    By::Count | By::Key => None,
                };
                self.order.iter().map(|(by, _)| value(by).unwrap_or(f64::NAN)).collect()
            })
            .collect();
        let mut order: Vec<usize> = (0..buckets.len()).collect();
        order.sort_by(|&a, &b| {
            let keys = key_order(&buckets[a], &buckets[b]);
            let orders = self.order.iter().enumerate().map(|(at, (by, descending))| match by {
                By::Key if *descending => keys.reverse(),
                By::Key => keys,
                By::Count if *descending => buckets[b].count.cmp(&buckets[a].count),
                By::Count => buckets[a].count.cmp(&buckets[b].count),
                By::Path(_) => numbers(paths[a][at], paths[b][at], *descending),
            });
            // The last word as the engine has it, which may have chosen the first.
            let spelt = buckets[a].key.iter().zip(&buckets[b].key).map(|(a, b)| super::key_order(a, b));
            orders.chain(spelt).fold(Ordering::Equal, Ordering::then)
        });
        order.truncate(self.size);
        let mut slots: Vec<Option<Bucket>> = buckets.into_iter().map(Some).collect();
        order.into_iter().filter_map(|at| slots.get_mut(at)?.take()).collect()
    }

    /// As the dialect writes them.
    pub fn write(&self, buckets: Vec<Bucket>, others: u64) -> Map<String, Value> {
        let written: Vec<Value> = buckets
            .into_iter()
            .map(|own| bucket(key_of(own.key.first().unwrap_or(&OutValue::Null)), own.count, own.out))
            .collect();
        let mut out = Map::new();
        out.insert("doc_count_error_upper_bound".to_owned(), 0.into());
        out.insert("sum_other_doc_count".to_owned(), others.into());
        out.insert("buckets".to_owned(), json!(written));
        out
    }
}

fn key_order(a: &Bucket, b: &Bucket) -> Ordering {
    let orders = a.key.iter().zip(&b.key).map(|(a, b)| a.order(b));
    orders.fold(Ordering::Equal, Ordering::then)
}

/// Orders figures; what has none comes last.
pub fn numbers(a: f64, b: f64, descending: bool) -> Ordering {
    let missing = a.is_nan().cmp(&b.is_nan());
    missing.then_with(|| if descending { b.total_cmp(&a) } else { a.total_cmp(&b) })
}

fn order(order: Option<&Value>) -> Result<Vec<(By, bool)>, String> {
    let mut all = Vec::new();
    for one in order.map_or(&[][..], each) {
        let one = object(one, "order")?;
        one_key(one, "order")?;
        for (by, way) in one {
            let descending = match way.as_str() {
                Some(way) if way.eq_ignore_ascii_case("asc") => false,
                Some(way) if way.eq_ignore_ascii_case("desc") => true,
                _ => return Err(format!("the order {way} is not supported; asc and desc are")),
            };
            let by = match by.as_str() {
                "_count" => By::Count,
                "_key" | "_term" => By::Key,
                path => By::Path(Path::read(path)?),
            };
            all.push((by, descending));
        }
    }
    if all.is_empty() {
        all.push((By::Count, true));
    }
    Ok(all)
}
