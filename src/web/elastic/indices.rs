//! What clients and dashboards ask of indices: is it there, what is in it, has it caught up.
//!
//! `_refresh` is the dialect's word for "let me find what I have just written". Rows become searchable by themselves, a moment
//! after their records are durable; so it waits for the lanes of these topics to reach what was durable when it was asked, at most
//! [`PATIENCE`], and says so in `_shards.failed` if that was not enough.
//!
//! `_mapping` names the fields of rows that are there (a sample of them where there are many), with the type of what they hold: a
//! field has no type of its own here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, Query as Parameters, State};
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::{No, dsl, refuse, shards, topics_of};
use crate::store::query::{self, Cancel, Query, Request};
use crate::web::Web;

/// How long `_refresh` waits.
const PATIENCE: Duration = Duration::from_secs(10);

type Params = Parameters<BTreeMap<String, String>>;

/// What nothing answers to.
pub async fn no_such_path(method: Method, uri: Uri) -> Response {
    let why = format!("{method} {} is not supported: this is a log store that speaks a part of the dialect", uri.path());
    refuse(No(StatusCode::NOT_FOUND, "illegal_argument_exception", why))
}

/// `HEAD /{index}` and `GET /{index}`: whether it is there, and its mapping.
pub async fn index(state: State<Arc<Web>>, index: Path<String>) -> Response {
    mapping(state, index).await
}

/// `GET /{index}/_mapping`
pub async fn mapping(State(web): State<Arc<Web>>, Path(index): Path<String>) -> Response {
    let permit = web.queries.clone().acquire_owned().await;
    let done = tokio::task::spawn_blocking(move || -> Result<Value, No> {
        let _permit = permit;
        let mut answer = Map::new();
        for topic in topics_of(&web, &index, false)? {
            answer.insert(topic.clone(), json!({ "aliases": {}, "mappings": { "properties": properties(&web, topic)? } }));
        }
        Ok(answer.into())
    });
    match done.await {
        Ok(Ok(value)) => Json(value).into_response(),
        Ok(Err(no)) => refuse(no),
        Err(_) => refuse(No(StatusCode::INTERNAL_SERVER_ERROR, "exception", "the log says why".to_owned())),
    }
}

fn properties(web: &Web, topic: String) -> Result<Value, String> {
    let parsed: Query = query::parse_at("*", web.clock.now_ns()).map_err(|error| error.to_string())?;
    let mut request = Request::new(parsed);
    request.topics = Some(vec![topic]);
    let cancel = Cancel::new(web.clock.clone()).within(web.config.query_timeout.0);
    let (fields, _) = query::fields(&web.store, &request, &cancel).map_err(|error| error.to_string())?;
    let mut properties = Map::new();
    properties.insert("@timestamp".to_owned(), json!({ "type": "date" }));
    for field in fields.iter().filter(|field| !field.name.starts_with('_')) {
        let kind = match field.types.first().copied() {
            Some("integer") => "long",
            Some("decimal") => "double",
            Some("boolean") => "boolean",
            _ if *field.name == *"message" => "text",
            _ => "keyword",
        };
        properties.insert(field.name.to_string(), json!({ "type": kind }));
    }
    Ok(properties.into())
}

/// `_cat/indices`: as a table, or with `format=json` as JSON.
pub async fn cat_all(state: State<Arc<Web>>, params: Params) -> Response {
    cat(state, Path("*".to_owned()), params).await
}

/// `_cat/indices/{index}`
pub async fn cat(State(web): State<Arc<Web>>, Path(index): Path<String>, Parameters(params): Params) -> Response {
    let topics = match topics_of(&web, &index, true) {
        Ok(topics) => topics,
        Err(no) => return refuse(no),
    };
    let columns = ["health", "status", "index", "uuid", "pri", "rep", "docs.count", "docs.deleted", "store.size"];
    let stats = web.store.stats();
    let mut rows: Vec<[String; 9]> = Vec::new();
    for topic in topics {
        let own = stats.iter().find(|stats| *stats.name == *topic);
        let (documents, bytes) = own.map_or((0, 0), |own| (own.rows, own.disk_bytes));
        let [zero, one] = ["0", "1"].map(str::to_owned);
        let size = format!("{bytes}b");
        let row =
            ["green".to_owned(), "open".to_owned(), topic.clone(), topic, one, zero.clone(), documents.to_string(), zero, size];
        rows.push(row);
    }
    if params.get("format").is_some_and(|format| format == "json") {
        let objects = rows
            .into_iter()
            .map(|row| Value::Object(columns.into_iter().map(str::to_owned).zip(row.into_iter().map(Value::String)).collect()));
        return Json(objects.collect::<Value>()).into_response();
    }
    let heads = columns.map(str::to_owned);
    let shown: Vec<&[String; 9]> = params.contains_key("v").then_some(&heads).into_iter().chain(&rows).collect();
    let width = |n: usize| shown.iter().map(|row| row[n].len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let mut text = String::new();
    for row in shown {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(cells.join(" ").trim_end());
        text.push('\n');
    }
    ([(header::CONTENT_TYPE, "text/plain; charset=UTF-8")], text).into_response()
}

/// `_refresh` of everything.
pub async fn refresh_all(state: State<Arc<Web>>) -> Response {
    refresh(state, Path("*".to_owned())).await
}

/// `/{index}/_refresh`
pub async fn refresh(State(web): State<Arc<Web>>, Path(index): Path<String>) -> Response {
    let topics = match topics_of(&web, &index, false) {
        Ok(topics) => topics,
        Err(no) => return refuse(no),
    };
    let mut sought = Vec::new();
    for topic in web.queue.topics().iter().filter(|topic| topics.iter().any(|name| **name == **topic.name())) {
        sought.extend(topic.partitions().iter().map(|one| (topic.name().to_string(), one.id(), one.high_watermark())));
    }
    let deadline = web.clock.monotonic() + PATIENCE;
    loop {
        let lanes = web.relay.lanes();
        sought.retain(|(topic, partition, end)| {
            // A topic whose lane has not begun has everything before it.
            *end > 0 && !lanes.iter().any(|lane| *lane.topic == **topic && lane.partition == *partition && lane.next >= *end)
        });
        if sought.is_empty() {
            return Json(json!({ "_shards": shards() })).into_response();
        }
        if web.clock.monotonic() > deadline {
            return Json(json!({ "_shards": { "total": 1, "successful": 0, "failed": 1 } })).into_response();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Whether an index pattern means this topic; the box's own topics are found by their own names alone.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    let (whole, bare) = (dsl::glob(pattern), pattern.strip_suffix("-*").map(dsl::glob));
    name.starts_with('_') == pattern.starts_with('_')
        && (whole.matches(name.as_bytes()) || bare.is_some_and(|bare| bare.matches(name.as_bytes())))
}
