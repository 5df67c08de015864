//! The reading half of the Elasticsearch dialect: `_search` and `_count`, and what clients ask of indices ([`indices`]).
//!
//! Requests become the native query ([`dsl`], [`aggs`]) and answers are dressed as the dialect's. Topics are its indices; an index
//! pattern that ends in `-*` also finds the topic without the suffix, since the receiving half strips dates. Rows are documents
//! with their dotted field names; `_id` is the row's origin. Scores do not exist.
//!
//! What is not supported is a 400 that names it.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, Query as Parameters, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Map, Value, json};

use crate::base::predicate::{self, Predicate};
use crate::base::row::TIME;
use crate::store::query::{self, Agg, Cancel, Function, OutRow, OutValue, Pipe, Query, Request, SortKey};
use crate::web::Web;
use crate::web::rows::plain;

mod aggs;
mod dsl;
mod indices;

pub use indices::no_such_path;

/// Most documents of one answer, as in Elasticsearch.
const WINDOW: usize = 10_000;
/// URL parameters that change nothing here and may be sent.
const HARMLESS: [&str; 14] = [
    "allow_no_indices",
    "expand_wildcards",
    "filter_path",
    "human",
    "ignore_throttled",
    "ignore_unavailable",
    "max_concurrent_shard_requests",
    "preference",
    "pretty",
    "request_cache",
    "rest_total_hits_as_int",
    "track_total_hits",
    "typed_keys",
    "error_trace",
];

/// `_search` and `_count`.
pub fn router(web: Arc<Web>) -> Router {
    Router::new()
        .route("/_search", get(search_all).post(search_all))
        .route("/{index}/_search", get(search_one).post(search_one))
        .route("/_count", get(count_all).post(count_all))
        .route("/{index}/_count", get(count_one).post(count_one))
        .route("/{index}", get(indices::index))
        .route("/{index}/_mapping", get(indices::mapping))
        .route("/_refresh", get(indices::refresh_all).post(indices::refresh_all))
        .route("/{index}/_refresh", get(indices::refresh).post(indices::refresh))
        .route("/_cat/indices", get(indices::cat_all))
        .route("/_cat/indices/{index}", get(indices::cat))
        .with_state(web)
}

type Params = Parameters<BTreeMap<String, String>>;

async fn search_all(state: State<Arc<Web>>, params: Params, body: Bytes) -> Response {
    answer(state.0, "*".to_owned(), params.0, body, search).await
}

async fn search_one(state: State<Arc<Web>>, Path(index): Path<String>, params: Params, body: Bytes) -> Response {
    answer(state.0, index, params.0, body, search).await
}

async fn count_all(state: State<Arc<Web>>, params: Params, body: Bytes) -> Response {
    answer(state.0, "*".to_owned(), params.0, body, count).await
}

async fn count_one(state: State<Arc<Web>>, Path(index): Path<String>, params: Params, body: Bytes) -> Response {
    answer(state.0, index, params.0, body, count).await
}

/// What was asked, ready to be worked on.
struct Asked {
    topics: Vec<String>,
    params: BTreeMap<String, String>,
    body: Map<String, Value>,
    now_ns: i64,
    cancel: Cancel,
}

/// A refusal: status, the dialect's type of it, and a sentence.
struct No(StatusCode, &'static str, String);

impl From<String> for No {
    fn from(why: String) -> Self {
        Self(StatusCode::BAD_REQUEST, "parsing_exception", why)
    }
}

async fn answer(
    web: Arc<Web>,
    index: String,
    params: BTreeMap<String, String>,
    body: Bytes,
    work: fn(&Web, &Asked) -> Result<Value, No>,
) -> Response {
    let permit = web.queries.clone().acquire_owned().await;
    let done = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        let asked = understand(&web, &index, params, &body)?;
        work(&web, &asked)
    })
    .await;
    let done = done.unwrap_or_else(|_| {
        Err(No(StatusCode::INTERNAL_SERVER_ERROR, "exception", "the query failed; the log says why".to_owned()))
    });
    match done {
        Ok(value) => Json(value).into_response(),
        Err(no) => refuse(no),
    }
}

fn refuse(No(status, kind, why): No) -> Response {
    let cause = json!({ "type": kind, "reason": why });
    let value = json!({ "error": { "root_cause": [cause], "type": kind, "reason": why }, "status": status.as_u16() });
    (status, Json(value)).into_response()
}

/// The topics that an index pattern means; `lenient` where none is no error.
fn topics_of(web: &Web, index: &str, lenient: bool) -> Result<Vec<String>, No> {
    let names: Vec<String> = web.queue.topics().iter().map(|topic| topic.name().to_string()).collect();
    let mut topics = Vec::new();
    for pattern in index.split(',').map(str::trim) {
        let pattern = if pattern == "_all" { "*" } else { pattern };
        let before = topics.len();
        topics.extend(names.iter().filter(|name| indices::matches(pattern, name)).cloned());
        if topics.len() == before && !pattern.contains('*') && !lenient {
            return Err(No(StatusCode::NOT_FOUND, "index_not_found_exception", format!("no such index [{pattern}]")));
        }
    }
    Ok(topics)
}

fn understand(web: &Web, index: &str, params: BTreeMap<String, String>, body: &[u8]) -> Result<Asked, No> {
    let body = match body.trim_ascii() {
        b"" => Map::new(),
        body => match serde_json::from_slice(body) {
            Ok(Value::Object(body)) => body,
            Ok(_) => return Err("the body is an object".to_owned().into()),
            Err(error) => return Err(format!("the body is no JSON: {error}").into()),
        },
    };
    let known = |name: &str| HARMLESS.contains(&name) || matches!(name, "q" | "size" | "from" | "sort");
    if let Some(name) = params.keys().find(|name| !known(name)) {
        return Err(format!("the parameter `{name}` is not supported").into());
    }
    let lenient = params.get("ignore_unavailable").is_some_and(|value| value != "false");
    let topics = topics_of(web, index, lenient)?;
    let cancel = Cancel::new(web.clock.clone()).within(web.config.query_timeout.0);
    Ok(Asked { topics, params, body, now_ns: web.clock.now_ns(), cancel })
}

impl Asked {
    fn predicate(&self) -> Result<Predicate, No> {
        let mut all = Vec::new();
        if let Some(query) = self.body.get("query") {
            all.push(dsl::predicate(query, self.now_ns)?);
        }
        if let Some(text) = self.params.get("q") {
            all.push(predicate::parse_at(text, self.now_ns).map_err(|error| format!("q: {error}"))?);
        }
        Ok(Predicate::and(all))
    }

    /// A number of the body, or of the URL.
    fn number(&self, name: &str, default: usize) -> Result<usize, No> {
        let wrong = || No::from(format!("{name}: a whole number"));
        match (self.body.get(name), self.params.get(name)) {
            (Some(value), _) => value.as_u64().and_then(|value| usize::try_from(value).ok()).ok_or_else(wrong),
            (None, Some(text)) => text.parse().map_err(|_| wrong()),
            (None, None) => Ok(default),
        }
    }

    fn run(&self, web: &Web, query: Query, limit: usize, newest_first: bool) -> Result<(Vec<OutRow>, query::Stats), No> {
        let mut request = Request::new(query);
        request.limit = limit;
        request.newest_first = newest_first;
        request.topics = Some(self.topics.clone());
        let mut rows = Vec::new();
        let stats = query::run(&web.store, &request, &self.cancel, &mut |row| {
            rows.push(row);
            ControlFlow::Continue(())
        });
        Ok((rows, stats.map_err(|error| error.to_string())?))
    }

    fn total(&self, web: &Web, predicate: &Predicate) -> Result<(i64, bool), No> {
        let query = Query::new(predicate.clone()).pipe(Pipe::Stats(vec![Agg::new(Function::Count).named("c")], Vec::new()));
        let (rows, stats) = self.run(web, query, 1, true)?;
        let count = match rows.first().and_then(|row| row.get("c")) {
            Some(OutValue::Int(count)) => *count,
            _ => 0,
        };
        Ok((count, stats.partial))
    }
}

fn count(web: &Web, asked: &Asked) -> Result<Value, No> {
    dsl::only(&asked.body, "_count", &["query"])?;
    let (count, _) = asked.total(web, &asked.predicate()?)?;
    Ok(json!({ "count": count, "_shards": shards() }))
}

fn shards() -> Value {
    json!({ "total": 1, "successful": 1, "skipped": 0, "failed": 0 })
}

fn search(web: &Web, asked: &Asked) -> Result<Value, No> {
    let known = [
        "query",
        "size",
        "from",
        "sort",
        "aggs",
        "aggregations",
        "_source",
        "track_total_hits",
        "timeout",
        "version",
        "stored_fields",
    ];
    dsl::only(&asked.body, "_search", &known)?;
    let begun = web.clock.monotonic();
    let predicate = asked.predicate()?;
    let (size, from) = (asked.number("size", 10)?, asked.number("from", 0)?);
    if from.saturating_add(size) > WINDOW {
        return Err(format!("from + size is at most {WINDOW}; narrow the time, or use /api/v1/query, which streams").into());
    }
    let sort = sort(asked)?;
    let source = source(asked.body.get("_source"))?;
    let (total, mut partial) = asked.total(web, &predicate)?;
    let mut hits = Vec::new();
    if size > 0 {
        let mut query = Query::new(predicate.clone());
        let newest_first = match sort.as_slice() {
            [] => true,
            [key] if key.field == TIME => key.descending,
            keys => {
                query = query.pipe(Pipe::Sort(keys.to_vec()));
                true
            }
        };
        let (rows, stats) = asked.run(web, query.pipe(Pipe::Limit(from + size)), from + size, newest_first)?;
        partial |= stats.partial;
        hits.extend(rows.iter().skip(from).map(|row| hit(row, &sort, &source)));
    }
    let mut answer = json!({
        "took": u64::try_from((web.clock.monotonic() - begun).as_millis()).unwrap_or(0),
        "timed_out": partial,
        "_shards": shards(),
        "hits": { "total": { "value": total, "relation": "eq" }, "max_score": null, "hits": hits },
    });
    if asked.params.get("rest_total_hits_as_int").is_some_and(|value| value == "true") {
        answer["hits"]["total"] = total.into();
    }
    if let Some(written) = asked.body.get("aggs").or_else(|| asked.body.get("aggregations")) {
        let understood = aggs::parse(written, asked.now_ns)?;
        answer["aggregations"] = aggs::run(&understood, &predicate, &mut |query| {
            let (rows, _) = asked.run(web, query.clone(), usize::MAX, true).map_err(|No(_, _, why)| why)?;
            Ok(rows.into_iter().map(|row| row.fields.into_iter().map(|(_, value)| value).collect()).collect())
        })?;
    }
    Ok(answer)
}

/// `sort`: a list of names, `{name: "desc"}` or `{name: {"order": "desc", …}}`; or `name:desc,…` of the URL.
fn sort(asked: &Asked) -> Result<Vec<SortKey>, No> {
    let mut keys = Vec::new();
    let mut push = |name: &str, order: &str| {
        // What has no meaning without scores is the order there is anyway.
        if name != "_score" && name != "_doc" {
            keys.push(SortKey { field: dsl::field_name(name).to_owned(), descending: order == "desc" });
        }
    };
    for one in asked.params.get("sort").into_iter().flat_map(|text| text.split(',')) {
        let (name, order) = one.split_once(':').unwrap_or((one, "asc"));
        push(name, order);
    }
    let written = match asked.body.get("sort") {
        None => &[][..],
        Some(Value::Array(all)) => all,
        Some(one) => std::slice::from_ref(one),
    };
    for one in written {
        match one {
            Value::String(name) => push(name, "asc"),
            Value::Object(one) => {
                for (name, how) in one {
                    let order = match how {
                        Value::String(order) => order.as_str(),
                        Value::Object(how) => {
                            dsl::only(how, "sort", &["order", "unmapped_type", "missing", "format", "numeric_type", "mode"])?;
                            how.get("order").and_then(Value::as_str).unwrap_or("asc")
                        }
                        _ => return Err("sort: an order".to_owned().into()),
                    };
                    push(name, order);
                }
            }
            _ => return Err("sort: names, or objects of names".to_owned().into()),
        }
    }
    Ok(keys)
}

/// Which fields of a document are shown.
enum Shown {
    All,
    None,
    Like(Vec<predicate::Glob>),
}

fn source(written: Option<&Value>) -> Result<Shown, No> {
    let list = |names: &[Value]| names.iter().filter_map(Value::as_str).map(dsl::glob).collect();
    Ok(match written {
        None | Some(Value::Bool(true)) => Shown::All,
        Some(Value::Bool(false)) => Shown::None,
        Some(Value::String(name)) => Shown::Like(vec![dsl::glob(name)]),
        Some(Value::Array(names)) => Shown::Like(list(names)),
        Some(Value::Object(how)) => {
            dsl::only(how, "_source", &["includes", "include"])?;
            match how.get("includes").or_else(|| how.get("include")) {
                Some(Value::Array(names)) => Shown::Like(list(names)),
                _ => Shown::All,
            }
        }
        Some(_) => return Err("_source: true, false, names".to_owned().into()),
    })
}

fn hit(row: &OutRow, sort: &[SortKey], shown: &Shown) -> Value {
    let value = |name: &str| row.get(name).map(plain).unwrap_or_default();
    let mut document = Map::new();
    for (name, value) in &row.fields {
        let name = if **name == *TIME { "@timestamp" } else { name };
        let wanted = match shown {
            Shown::All => true,
            Shown::None => false,
            Shown::Like(globs) => globs.iter().any(|glob| glob.matches(name.as_bytes())),
        };
        if wanted && !name.starts_with('_') {
            document.insert(name.to_owned(), plain(value));
        }
    }
    let topic = value("_topic");
    let mut hit = json!({
        "_index": topic,
        "_id": format!("{}-{}-{}-{}", topic.as_str().unwrap_or_default(), value("_partition"), value("_offset"), value("_n")),
        "_score": null,
    });
    if !matches!(shown, Shown::None) {
        hit["_source"] = document.into();
    }
    if !sort.is_empty() {
        let keys = sort.iter().map(|key| match row.get(&key.field) {
            Some(OutValue::Time(ns)) => ns.div_euclid(1_000_000).into(),
            Some(value) => plain(value),
            None => Value::Null,
        });
        hit["sort"] = keys.collect();
    }
    hit
}
