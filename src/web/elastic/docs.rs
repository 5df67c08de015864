//! Documents by id: `_doc`, `_source` and `_mget`. An id is a row's origin, `topic-partition-offset-n`.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query as Parameters, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::ask::{Asked, AskedParams, No, body_of, in_thread, only_params, topics_of};
use super::dsl::names::row_of;
use super::dsl::read::{each, object, only, text};
use super::indices::Pattern;
use super::order::Order;
use super::search;
use super::shown::{Shown, id};
use crate::base::predicate::Predicate;
use crate::store::query::{Cancel, OutRow};
use crate::web::Web;
use crate::web::rows::plain;

/// Most documents of `_mget`.
const DOCUMENTS: usize = 1000;
/// Parameters of the URL.
const PARAMS: [&str; 6] = ["_source", "_source_includes", "_source_excludes", "stored_fields", "realtime", "refresh"];

/// `GET /{index}/_doc/{id}`
pub async fn get(State(web): State<Arc<Web>>, Path((index, own)): Path<(String, String)>, params: AskedParams) -> Response {
    in_thread(web, move |web, cancel| {
        let (row, shown) = one(web, cancel, &index, &own, params)?;
        let status = if row.is_none() { StatusCode::NOT_FOUND } else { StatusCode::OK };
        Ok((status, Json(document(row.as_ref(), &index, &own, &shown))).into_response())
    })
    .await
}

/// `GET /{index}/_source/{id}`
pub async fn source(State(web): State<Arc<Web>>, Path((index, own)): Path<(String, String)>, params: AskedParams) -> Response {
    in_thread(web, move |web, cancel| match one(web, cancel, &index, &own, params)? {
        (Some(row), shown) => Ok(Json(Value::Object(shown.source(&row))).into_response()),
        (None, _) => Err(No::missing("resource_not_found_exception", format!("Document not found [{index}]/[{own}]"))),
    })
    .await
}

/// The row of an id, if it is there, and what is shown of it.
fn one(web: &Web, cancel: Cancel, index: &str, own: &str, params: AskedParams) -> Result<(Option<OutRow>, Shown), No> {
    let Parameters(params) = params;
    only_params(&params, &PARAMS)?;
    let topics = topics_of(web, index, false)?;
    let asked = Asked::new(web, topics, params, Map::new(), cancel);
    let shown = Shown::read(&asked.body, &asked.params, asked.now_ns)?;
    let rows = search::rows(web, &asked, &row_of(own), &Order::by_row(), 1)?;
    Ok((rows.into_iter().next(), shown))
}

/// `/_mget`
pub async fn many_of_all(state: State<Arc<Web>>, params: AskedParams, body: Bytes) -> Response {
    many(state, Path("*".to_owned()), params, body).await
}

/// `/{index}/_mget`
pub async fn many(State(web): State<Arc<Web>>, Path(index): Path<String>, params: AskedParams, body: Bytes) -> Response {
    in_thread(web, move |web, cancel| {
        let Parameters(params) = params;
        only_params(&params, &PARAMS)?;
        let body = body_of(&body)?;
        only(&body, "_mget", &["docs", "ids"])?;
        let mut wanted: Vec<(Option<String>, String, Map<String, Value>)> = Vec::new();
        for one in body.get("ids").map_or(&[][..], each) {
            wanted.push((None, text(Some(one), "ids")?.to_owned(), Map::new()));
        }
        for one in body.get("docs").map_or(&[][..], each) {
            let one = object(one, "docs")?;
            only(one, "docs", &["_index", "_id", "_source", "stored_fields", "routing"])?;
            let named = one.get("_index").map(|name| text(Some(name), "_index").map(str::to_owned)).transpose()?;
            wanted.push((named, text(one.get("_id"), "_id")?.to_owned(), one.clone()));
        }
        if wanted.is_empty() || wanted.len() > DOCUMENTS {
            return Err(format!("`docs` or `ids` name 1 to {DOCUMENTS} documents").into());
        }
        let asked = Asked::new(web, topics_of(web, &index, true)?, params, Map::new(), cancel);
        let any = Predicate::or(wanted.iter().map(|(_, own, _)| row_of(own)).collect());
        let rows = search::rows(web, &asked, &any, &Order::by_row(), wanted.len())?;
        let by_id: HashMap<String, &OutRow> = rows.iter().map(|row| (id(row), row)).collect();
        let mut docs = Vec::with_capacity(wanted.len());
        for (named, own, options) in wanted {
            let named = named.as_deref().unwrap_or(&index);
            let options: Map<String, Value> =
                options.into_iter().filter(|(name, _)| !matches!(name.as_str(), "_index" | "_id" | "routing")).collect();
            let shown = Shown::read(&options, &asked.params, asked.now_ns)?;
            let row = by_id.get(&own).copied().filter(|row| is_in(row, named));
            docs.push(document(row, named, &own, &shown));
        }
        Ok(Json(json!({ "docs": docs })).into_response())
    })
    .await
}

fn is_in(row: &OutRow, index: &str) -> bool {
    let topic = row.get("_topic").map(plain).unwrap_or_default();
    index.split(',').any(|pattern| Pattern::new(pattern).matches(topic.as_str().unwrap_or_default()))
}

fn document(row: Option<&OutRow>, index: &str, own: &str, shown: &Shown) -> Value {
    let Some(row) = row else { return json!({ "_index": index, "_id": own, "found": false }) };
    let mut hit = shown.hit(row, &Order::by_row());
    if let Some(hit) = hit.as_object_mut() {
        hit.remove("_score");
        hit.remove("sort");
        hit.insert("_version".to_owned(), 1.into());
        hit.insert("_seq_no".to_owned(), row.get("_offset").map(plain).unwrap_or_default());
        hit.insert("_primary_term".to_owned(), 1.into());
        hit.insert("found".to_owned(), true.into());
    }
    hit
}
