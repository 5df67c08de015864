//! The dialect's aggregations, run as `stats … by …` of the native engine.
//!
//! * [`parse`] understands a request; what is not supported is a 400 that names it.
//! * [`level`] runs it: one native query for each level of buckets, grouped by the keys of all levels above, gives the rows of every
//!   bucket and all figures in them; `filters` and ranges are a query each. The first terms of the outermost level are chosen by
//!   the engine, and what is in them asked of them alone.
//! * [`keyed`], [`split`] and [`figures`] say what kinds there are, what of the engine each needs, and how each is written.
//! * [`mod@format`] puts texts beside values in the finished answer.
//! * [`pipeline`] works on finished buckets, with paths ([`path`]) and small expressions ([`script`]).
//!
//! Limits: [`DEPTH`], [`MOST`] aggregations, [`BUCKETS`] buckets of an answer, and as many queries as `level.rs` says: one a level
//! and part of a `filters`, one a value of `percentile_ranks`, one a `top_hits` or `top_metrics`; never one a bucket.

use serde_json::{Map, Value};

use super::ask::{Asked, No};
use crate::base::predicate::Predicate;
use crate::web::Web;

mod bins;
mod figures;
pub mod format;
mod keyed;
mod level;
mod parse;
mod path;
mod pipeline;
mod script;
mod split;

#[cfg(test)]
mod tests;

pub use parse::parse;

/// Deepest nesting.
const DEPTH: usize = 10;
/// Most aggregations of a request.
const MOST: usize = 200;
/// Most buckets of an answer.
const BUCKETS: usize = 65_536;
/// Most figures of buckets without rows.
const FIGURES: usize = 1_000_000;

/// An aggregation, understood.
#[derive(Clone, Debug)]
pub struct Agg {
    name: String,
    kind: Kind,
    inside: Vec<Agg>,
    meta: Option<Value>,
    /// What its values are shown as, beside themselves.
    format: Option<format::Format>,
}

#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "few, and short-lived")]
enum Kind {
    /// Buckets by values.
    Keyed(keyed::Keyed),
    /// Buckets by predicates.
    Split(split::Split),
    /// Figures over rows.
    Figure(figures::Figure),
    /// Figures over buckets.
    Pipeline(pipeline::Pipeline),
}

/// Runs aggregations over the rows of a predicate; also counts those.
///
/// # Errors
/// What the engine says, or that there are too many buckets.
pub fn run(web: &Web, asked: &Asked, predicate: &Predicate, aggs: &[Agg]) -> Result<(i64, Value), No> {
    let (count, mut out) = level::Runner::new(web, asked).run(aggs, predicate)?;
    if aggs.iter().any(has_format) {
        write_formats(aggs, &mut out);
    }
    Ok((i64::try_from(count).unwrap_or(i64::MAX), Value::Object(out)))
}

fn has_format(agg: &Agg) -> bool {
    agg.format.is_some() || agg.inside.iter().any(has_format)
}

/// Puts texts beside values that have a `format`, in all buckets.
fn write_formats(aggs: &[Agg], out: &mut Map<String, Value>) {
    for agg in aggs.iter().filter(|agg| has_format(agg)) {
        let Some(Value::Object(own)) = out.get_mut(&agg.name) else { continue };
        if let Some(format) = &agg.format {
            format.add(own);
        }
        let each = |bucket: &mut Value| {
            if let Value::Object(bucket) = bucket {
                write_formats(&agg.inside, bucket);
            }
        };
        match own.get_mut("buckets") {
            Some(Value::Array(buckets)) => buckets.iter_mut().for_each(each),
            Some(Value::Object(buckets)) => buckets.values_mut().for_each(each),
            Some(other) => each(other),
            None => write_formats(&agg.inside, own),
        }
    }
}

/// Names with the kind before them, as clients with types want: `sterms#apps`.
pub fn typed(aggs: &[Agg], answer: Value) -> Value {
    let Value::Object(mut answer) = answer else { return answer };
    let mut out = Map::new();
    for agg in aggs {
        let Some(value) = answer.remove(&agg.name) else { continue };
        let kind = match &agg.kind {
            Kind::Keyed(keyed) => keyed.typed(&value),
            Kind::Split(split) => split.typed(),
            Kind::Figure(figure) => figure.typed(),
            Kind::Pipeline(pipeline) => pipeline.typed(),
        };
        out.insert(format!("{kind}#{}", agg.name), inside(agg, value));
    }
    // What pipelines of the level above put in.
    out.extend(answer);
    Value::Object(out)
}

/// The same of what is in buckets.
fn inside(agg: &Agg, value: Value) -> Value {
    if agg.inside.is_empty() {
        return value;
    }
    match value {
        Value::Object(mut value) => match value.remove("buckets") {
            Some(Value::Array(buckets)) => {
                let buckets = buckets.into_iter().map(|bucket| members(agg, bucket)).collect();
                value.insert("buckets".to_owned(), buckets);
                Value::Object(value)
            }
            Some(Value::Object(buckets)) => {
                let buckets = buckets.into_iter().map(|(key, bucket)| (key, members(agg, bucket))).collect();
                value.insert("buckets".to_owned(), Value::Object(buckets));
                Value::Object(value)
            }
            _ => members(agg, Value::Object(value)),
        },
        other => other,
    }
}

fn members(agg: &Agg, bucket: Value) -> Value {
    let Value::Object(bucket) = bucket else { return bucket };
    let (own, rest): (Map<String, Value>, Map<String, Value>) =
        bucket.into_iter().partition(|(name, _)| agg.inside.iter().any(|inner| inner.name == *name));
    let Value::Object(mut own) = typed(&agg.inside, Value::Object(own)) else { return Value::Null };
    own.extend(rest);
    Value::Object(own)
}
