//! What clients and dashboards ask of indices: which are there, how large, under which names, have they caught up.
//!
//! `_refresh` is the dialect's word for "let me find what I have just written". Rows become searchable by themselves, a moment
//! after their records are durable; so it waits for the lanes of these topics to reach what was durable when it was asked, at most
//! [`PATIENCE`], and says so in `_shards.failed` if that was not enough.
//!
//! There are no aliases, and settings are those of an index that was never touched.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, Query as Parameters, Request, State};
use axum::http::{Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::ask::{AskedParams, No, Params, only_params, param_flag, shards, topics_for, topics_of};
use super::dsl::names::glob;
use crate::base::dated::without_date;
use crate::base::predicate::Glob;
use crate::base::time;
use crate::web::{Web, fresh};

/// How long `_refresh` waits.
const PATIENCE: Duration = Duration::from_secs(10);

/// What nothing answers to.
pub async fn no_such_path(method: Method, uri: Uri) -> Response {
    let why = format!("{method} {} is not supported: this is a log store that speaks a part of the dialect", uri.path());
    No::missing("illegal_argument_exception", why).into_response()
}

/// Columns of `_cat/indices`: names, and others for them.
const COLUMNS: [(&str, &[&str]); 13] = [
    ("health", &["h"]),
    ("status", &["s"]),
    ("index", &["i", "idx"]),
    ("uuid", &["id"]),
    ("pri", &["p", "shards.primary", "shardsPrimary"]),
    ("rep", &["r", "shards.replica", "shardsReplica"]),
    ("docs.count", &["dc", "docsCount"]),
    ("docs.deleted", &["dd", "docsDeleted"]),
    ("store.size", &["ss", "storeSize"]),
    ("pri.store.size", &[]),
    ("dataset.size", &[]),
    ("creation.date", &["cd"]),
    ("creation.date.string", &["cds"]),
];
/// Those that are shown without a word.
const USUAL: usize = 11;

/// `_cat/indices`: as a table, or with `format=json` as JSON.
pub async fn cat_all(state: State<Arc<Web>>, params: AskedParams) -> Response {
    cat(state, Path("*".to_owned()), params).await
}

/// `_cat/indices/{index}`
pub async fn cat(State(web): State<Arc<Web>>, Path(index): Path<String>, Parameters(params): AskedParams) -> Response {
    cat_of(&web, &index, &params).unwrap_or_else(IntoResponse::into_response)
}

/// A number of bytes, in a unit or in one that suits it.
#[allow(clippy::cast_precision_loss)]
fn size(bytes: u64, unit: Option<&str>) -> Result<String, String> {
    let units = [("b", 1u64), ("kb", 1 << 10), ("mb", 1 << 20), ("gb", 1 << 30), ("tb", 1 << 40)];
    if let Some(unit) = unit {
        let divisor = units
            .iter()
            .find(|(name, _)| *name == unit || name.strip_suffix('b').is_some_and(|short| short == unit && !short.is_empty()));
        return divisor
            .map(|(_, divisor)| (bytes / divisor).to_string())
            .ok_or_else(|| format!("the unit `{unit}` is not supported"));
    }
    let (name, divisor) = units.iter().rev().find(|(_, divisor)| bytes >= *divisor).unwrap_or(&units[0]);
    Ok(if *divisor == 1 {
        format!("{bytes}b")
    } else {
        let text = format!("{:.1}", bytes as f64 / *divisor as f64);
        format!("{}{name}", text.strip_suffix(".0").unwrap_or(&text))
    })
}

fn cat_of(web: &Web, index: &str, params: &Params) -> Result<Response, No> {
    let known = ["format", "h", "v", "s", "bytes", "time", "health", "pri", "help", "include_unloaded_segments"];
    only_params(params, &known)?;
    let topics = topics_of(web, index, false)?;
    let columns: Vec<usize> = match params.get("h") {
        None => (0..USUAL).collect(),
        Some(named) => {
            let mut columns = Vec::new();
            for name in named.split(',') {
                let like = glob(name);
                let before = columns.len();
                columns.extend(
                    (0..COLUMNS.len()).filter(|&at| like.matches(COLUMNS[at].0.as_bytes()) || COLUMNS[at].1.contains(&name)),
                );
                if columns.len() == before {
                    return Err(format!("`_cat/indices` has no column `{name}`").into());
                }
            }
            columns
        }
    };
    let stats = web.store.stats();
    let unit = params.get("bytes").map(String::as_str);
    let mut rows: Vec<[String; 13]> = Vec::new();
    if params.get("health").is_none_or(|health| health == "green") {
        for topic in topics {
            let own = stats.iter().find(|stats| *stats.name == *topic);
            let (documents, bytes) = own.map_or((0, 0), |own| (own.rows, own.disk_bytes));
            let size = size(bytes, unit)?;
            let cells = [
                "green",
                "open",
                &topic,
                &topic,
                "1",
                "0",
                &documents.to_string(),
                "0",
                &size,
                &size,
                &size,
                "0",
                &time::format(0),
            ];
            rows.push(cells.map(str::to_owned));
        }
    }
    for name in params.get("s").map(|names| names.rsplit(',')).into_iter().flatten() {
        let (name, way) = name.split_once(':').unwrap_or((name, "asc"));
        let at = COLUMNS.iter().position(|(own, others)| *own == name || others.contains(&name));
        let at = at.ok_or_else(|| format!("`_cat/indices` has no column `{name}`"))?;
        let number = |row: &[String; 13]| row[at].parse::<u64>().unwrap_or(0);
        rows.sort_by(|a, b| {
            let order = number(a).cmp(&number(b)).then_with(|| a[at].cmp(&b[at]));
            if way == "desc" { order.reverse() } else { order }
        });
    }
    Ok(if params.get("format").is_some_and(|format| format == "json") {
        let object = |row: &[String; 13]| -> Value {
            Value::Object(columns.iter().map(|&at| (COLUMNS[at].0.to_owned(), row[at].clone().into())).collect())
        };
        Json(rows.iter().map(object).collect::<Value>()).into_response()
    } else {
        let heads = COLUMNS.map(|(name, _)| name.to_owned());
        let shown: Vec<&[String; 13]> = param_flag(params, "v").then_some(&heads).into_iter().chain(&rows).collect();
        let width = |at: usize| shown.iter().map(|row| row[at].len()).max().unwrap_or(0);
        let mut text = String::new();
        for row in &shown {
            let cells: Vec<String> = columns.iter().map(|&at| format!("{:<width$}", row[at], width = width(at))).collect();
            text.push_str(cells.join(" ").trim_end());
            text.push('\n');
        }
        ([(header::CONTENT_TYPE, "text/plain; charset=UTF-8")], text).into_response()
    })
}

/// `/_cat/count`
pub async fn cat_count_of_all(state: State<Arc<Web>>, params: AskedParams) -> Response {
    cat_count(state, Path("*".to_owned()), params).await
}

/// `/_cat/count/{index}`
pub async fn cat_count(State(web): State<Arc<Web>>, Path(index): Path<String>, Parameters(params): AskedParams) -> Response {
    let answer = || -> Result<Response, No> {
        only_params(&params, &["format", "v", "h"])?;
        let topics = topics_for(&web, &index, &params)?;
        let counts = |name: &str| topics.iter().any(|topic| topic == name) && !name.starts_with('_');
        let rows: u64 = web.store.stats().iter().filter(|topic| counts(&topic.name)).map(|topic| topic.rows).sum();
        let seconds = web.clock.now_ns().div_euclid(1_000_000_000);
        let now = time::format(seconds * 1_000_000_000);
        let clock = now.get(11..19).unwrap_or_default();
        let all = [("epoch", seconds.to_string()), ("timestamp", clock.to_owned()), ("count", rows.to_string())];
        let wanted = params.get("h").map_or("epoch,timestamp,count", String::as_str).split(',').map(str::trim);
        let one = |name: &str| {
            let long = match name {
                "t" | "time" => "epoch",
                "ts" | "hms" | "hhmmss" => "timestamp",
                "dc" | "docs.count" | "docsCount" => "count",
                name => name,
            };
            all.iter().find(|(own, _)| *own == long).cloned().ok_or_else(|| format!("there is no column `{name}`"))
        };
        let shown = wanted.map(one).collect::<Result<Vec<_>, _>>()?;
        Ok(if params.get("format").is_some_and(|format| format == "json") {
            let row: Map<String, Value> = shown.into_iter().map(|(name, cell)| (name.to_owned(), cell.into())).collect();
            Json(json!([row])).into_response()
        } else {
            let heads = shown.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(" ");
            let cells = shown.iter().map(|(_, cell)| cell.as_str()).collect::<Vec<_>>().join(" ");
            let text = if param_flag(&params, "v") { format!("{heads}\n{cells}\n") } else { format!("{cells}\n") };
            ([(header::CONTENT_TYPE, "text/plain; charset=UTF-8")], text).into_response()
        })
    };
    answer().unwrap_or_else(IntoResponse::into_response)
}

/// `/_resolve/index/{name}`
pub async fn resolve(State(web): State<Arc<Web>>, Path(index): Path<String>, Parameters(params): AskedParams) -> Response {
    let answer = || -> Result<Value, No> {
        only_params(&params, &[])?;
        let topics = topics_for(&web, &index, &params)?;
        let named: Vec<Value> = topics.into_iter().map(|topic| json!({ "name": topic, "attributes": ["open"] })).collect();
        Ok(json!({ "indices": named, "aliases": [], "data_streams": [] }))
    };
    answer().map(Json).into_response()
}

/// `/_settings`
pub async fn settings_of_all(state: State<Arc<Web>>, params: AskedParams) -> Response {
    settings(state, Path("*".to_owned()), params).await
}

/// `/{index}/_settings`
pub async fn settings(State(web): State<Arc<Web>>, Path(index): Path<String>, Parameters(params): AskedParams) -> Response {
    let answer = || -> Result<Value, No> {
        only_params(&params, &["flat_settings", "include_defaults"])?;
        let topics = topics_for(&web, &index, &params)?;
        let flat = param_flag(&params, "flat_settings");
        Ok(Value::Object(
            topics.into_iter().map(|topic| (topic.clone(), json!({ "settings": settings_of(&topic, flat) }))).collect(),
        ))
    };
    answer().map(Json).into_response()
}

/// Settings of an index.
pub fn settings_of(topic: &str, flat: bool) -> Value {
    let own = [
        ("number_of_shards", "1"),
        ("number_of_replicas", "0"),
        ("provided_name", topic),
        ("uuid", topic),
        ("creation_date", "0"),
    ];
    if flat {
        return Value::Object(own.into_iter().map(|(name, value)| (format!("index.{name}"), value.into())).collect());
    }
    let own: Map<String, Value> = own.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
    json!({ "index": own })
}

/// `/_alias` and `/_aliases`: none.
pub async fn aliases_of_all(state: State<Arc<Web>>) -> Response {
    aliases(state, Path("*".to_owned())).await
}

/// `/{index}/_alias`
pub async fn aliases(State(web): State<Arc<Web>>, Path(index): Path<String>) -> Response {
    let none = |topics: Vec<String>| -> Value {
        Value::Object(topics.into_iter().map(|topic| (topic, json!({ "aliases": {} }))).collect())
    };
    topics_of(&web, &index, false).map(|topics| Json(none(topics))).into_response()
}

/// `/_alias/{name}`: there is none of this name.
pub async fn alias(method: Method, Path(name): Path<String>) -> Response {
    if method == Method::HEAD {
        return StatusCode::NOT_FOUND.into_response();
    }
    if name.contains('*') || name == "_all" {
        return Json(json!({})).into_response();
    }
    (StatusCode::NOT_FOUND, Json(json!({ "error": format!("alias [{name}] missing"), "status": 404 }))).into_response()
}

/// `_refresh` of everything.
pub async fn refresh_all(state: State<Arc<Web>>) -> Response {
    refresh(state, Path("*".to_owned())).await
}

/// `/{index}/_refresh`
pub async fn refresh(State(web): State<Arc<Web>>, Path(index): Path<String>) -> Response {
    match topics_of(&web, &index, false) {
        Err(no) => no.into_response(),
        Ok(topics) if caught_up(&web, &topics).await => Json(json!({ "_shards": shards() })).into_response(),
        Ok(_) => Json(json!({ "_shards": { "total": 1, "successful": 0, "failed": 1 } })).into_response(),
    }
}

/// What is written with `refresh=true` or `wait_for` is answered when it can be found, or after [`PATIENCE`].
pub async fn refreshed(State(web): State<Arc<Web>>, request: Request, next: Next) -> Response {
    let query = request.uri().query().unwrap_or_default();
    let waits = query.split('&').any(|pair| matches!(pair, "refresh" | "refresh=" | "refresh=true" | "refresh=wait_for"));
    let path = request.uri().path();
    let writes = ["/_bulk", "/_doc", "/_doc/", "/_create/"].iter().any(|word| path.contains(word));
    if !waits || !writes || request.method().is_safe() {
        return next.run(request).await;
    }
    let index = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    // A name is encoded where it has a date to be reckoned; then all topics are waited for.
    let index = if index.starts_with('_') || index.contains('%') { "*" } else { index }.to_owned();
    let response = next.run(request).await;
    if let Ok(topics) = topics_of(&web, &index, true) {
        caught_up(&web, &topics).await;
    }
    response
}

/// Waits for the rows of these topics; whether they are there.
async fn caught_up(web: &Web, topics: &[String]) -> bool {
    fresh::caught_up(web, |name| topics.iter().any(|topic| topic == name), PATIENCE).await
}

/// An index pattern: which topics it means. The box's own topics are found by their own names alone.
#[derive(Debug)]
pub struct Pattern {
    whole: Glob,
    /// Without what the receiving half takes off: `-*`, or a date.
    bare: Option<Glob>,
    hidden: bool,
}

impl Pattern {
    /// Of this text.
    pub fn new(pattern: &str) -> Self {
        let pattern = if pattern == "_all" { "*" } else { pattern };
        let bare = pattern.strip_suffix("-*").or_else(|| without_date(pattern));
        Self { whole: glob(pattern), bare: bare.map(glob), hidden: pattern.starts_with('_') }
    }

    /// Whether it means this topic.
    pub fn matches(&self, name: &str) -> bool {
        name.starts_with('_') == self.hidden
            && (self.whole.matches(name.as_bytes()) || self.bare.as_ref().is_some_and(|bare| bare.matches(name.as_bytes())))
    }
}

/// `/{index}/_alias/{name}`: there is none of this name.
pub async fn alias_of_one(method: Method, Path((_, name)): Path<(String, String)>) -> Response {
    alias(method, Path(name)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_topics() {
        for (pattern, name, is_meant) in [
            ("web", "web", true),
            ("web", "web2", false),
            ("web-*", "web", true),
            ("web-*", "web-shop", true),
            ("web-2026.11.22", "web", true),
            ("web-2026.11.22", "web-2026.11.22", true),
            ("<web-{now/d}>", "web", true),
            ("<web-{now/d}>", "shop", false),
            ("web-1", "web", false),
            ("*", "_dead.web", false),
            ("_all", "web", true),
            ("_dead.*", "_dead.web", true),
        ] {
            assert_eq!(Pattern::new(pattern).matches(name), is_meant, "{pattern} {name}");
        }
    }

    #[test]
    fn sizes_are_in_the_unit_that_suits_them() {
        assert_eq!(size(0, None), Ok("0b".to_owned()));
        assert_eq!(size(1536, None), Ok("1.5kb".to_owned()));
        assert_eq!(size(3 << 20, None), Ok("3mb".to_owned()));
        assert_eq!((size(3 << 20, Some("kb")), size(5, Some("b"))), (Ok("3072".to_owned()), Ok("5".to_owned())));
        assert!(size(1, Some("parsec")).is_err());
    }
}
