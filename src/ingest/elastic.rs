//! The write half of the Elasticsearch dialect: `_bulk`, `_doc`, and the questions that clients ask before they send.
//!
//! What comes in: what Filebeat, Logstash, Fluent Bit, rsyslog and the official clients send to Elasticsearch 8 ([`bulk`],
//! [`setup`]). What goes out: records whose payload is the document as it came, into the topic that the index names.
//!
//! Invariants: every answer says `X-Elastic-Product: Elasticsearch`, or official clients refuse to talk; it comes in the media
//! type and compatibility version that was asked for. No batch is ever answered with 413: shippers drop it then.
//! Documents are appended, never replaced: an `_id` is kept as a header of the record, and does not make records equal.
//! Limits: `ingest.elastic`. Why no mapping, no type check: a document that a shipper sends is never refused for its types.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, RawQuery, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post, put};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::counters::Counters;
use super::door::Door;
use super::{Ingest, body, config, query};
use crate::base::limits::RECORD_BYTES;
use answer::FilterPath;
use bulk::Op;

pub mod answer;
pub mod bulk;
pub mod setup;

/// The version that clients are told.
pub const VERSION: &str = "8.17.0";
/// How long a request waits for a full queue: shippers have their own patience.
const PATIENCE: Duration = Duration::from_secs(2);

/// Most bytes of a question to the reading half, inflated.
const QUESTION: u64 = 2 << 20;

/// What all requests share.
pub struct Elastic {
    /// The door.
    pub door: Arc<Door>,
    /// The receiver's counters.
    pub counters: Arc<Counters>,
    /// Limits, and the topic if there is one for all.
    pub config: config::Elastic,
    /// What clients set up.
    pub setup: setup::Setup,
}

/// The routes, for the server on the Elasticsearch port; web's reading half is merged with them.
pub fn router(ingest: &Ingest) -> Router {
    let document = post(one).put(one);
    Router::new()
        .route("/_bulk", post(bulk_of_all).put(bulk_of_all))
        .route("/{index}/_bulk", post(bulk_of_one).put(bulk_of_one))
        .route("/{index}/_doc", post(one))
        .route("/{index}/_doc/{id}", document.clone())
        .route("/{index}/_create/{id}", document)
        .route("/{index}", put(setup::make_index))
        .route("/", get(setup::hello))
        .route("/_license", get(setup::license))
        .route("/_xpack", get(setup::xpack))
        .route("/_cluster/health", get(setup::health))
        .route("/_cluster/health/{index}", get(setup::health))
        .route("/_nodes", get(setup::nodes))
        .route("/_nodes/{what}", get(setup::nodes))
        .route("/_nodes/{which}/{what}", get(setup::nodes))
        .route("/_ilm/policy", get(setup::list))
        .route("/_ilm/policy/{name}", any(setup::keep))
        .route("/_index_template", get(setup::list))
        .route("/_index_template/{name}", any(setup::keep))
        .route("/_component_template", get(setup::list))
        .route("/_component_template/{name}", any(setup::keep))
        .route("/_template", get(setup::list))
        .route("/_template/{name}", any(setup::keep))
        .route("/_data_stream", get(setup::list))
        .route("/_data_stream/{name}", any(setup::keep))
        .route("/_ingest/pipeline", get(setup::list))
        .route("/_ingest/pipeline/{name}", any(setup::keep))
        .with_state(ingest.elastic())
}

/// Says on an answer what Elasticsearch's clients look for: the product, and the media type they asked for. The server puts
/// it around the whole port, so that the answers of the reading half, and those to unknown paths, have it too.
pub async fn stamp(request: Request, next: Next) -> Response {
    let media = media_type(request.headers());
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert("x-elastic-product", HeaderValue::from_static("Elasticsearch"));
    if let Some(media) = media.filter(|_| headers.get(header::CONTENT_TYPE).is_some_and(is_json)) {
        headers.insert(header::CONTENT_TYPE, media);
    }
    response
}

/// Inflates a body whole: clients that compress what they send compress their questions too. The server puts it around the
/// reading half, which takes small bodies as they are.
pub async fn plain(request: Request, next: Next) -> Response {
    if !request.headers().contains_key(header::CONTENT_ENCODING) {
        return next.run(request).await;
    }
    let (mut parts, body) = request.into_parts();
    let whole = match body::Reader::new(&parts.headers, body, QUESTION) {
        Ok(reader) => reader.whole().await,
        Err(error) => Err(error),
    };
    match whole {
        Ok(whole) => {
            parts.headers.remove(header::CONTENT_ENCODING);
            parts.headers.remove(header::CONTENT_LENGTH);
            next.run(Request::from_parts(parts, whole.into())).await
        }
        Err(error) => wrong(error.status(), "parse_exception", &error.to_string()),
    }
}

/// Leaves out of an answer of the reading half what `filter_path` does not want, on a thread of its own: it may be long. Errors stay
/// whole, as in Elasticsearch. The writing half does so as it writes.
pub async fn filtered(request: Request, next: Next) -> Response {
    let wanted = FilterPath::of(request.uri().query());
    let response = next.run(request).await;
    let kind = response.headers().get(header::CONTENT_TYPE);
    if wanted.is_empty() || !response.status().is_success() || !kind.is_some_and(is_json) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    // What a handler answers is in memory, whole, already.
    let pruned = match axum::body::to_bytes(body, usize::MAX).await {
        Ok(whole) if whole.is_empty() => return Response::from_parts(parts, whole.into()),
        Ok(whole) => tokio::task::spawn_blocking(move || wanted.prune_text(&whole).ok()).await.ok().flatten(),
        Err(_) => None,
    };
    let Some(pruned) = pruned else {
        return wrong(StatusCode::INTERNAL_SERVER_ERROR, "exception", "`filter_path` could not be followed");
    };
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, pruned.into())
}

fn is_json(value: &HeaderValue) -> bool {
    value.to_str().is_ok_and(|text| text.starts_with("application/json"))
}

/// `application/vnd.elasticsearch+json; compatible-with=9` is answered in kind.
fn media_type(headers: &HeaderMap) -> Option<HeaderValue> {
    let asked = [header::ACCEPT, header::CONTENT_TYPE].into_iter().filter_map(|name| headers.get(name)?.to_str().ok());
    let version = asked.filter(|text| text.contains("vnd.elasticsearch+")).find_map(|text| {
        let version = text.split("compatible-with=").nth(1)?;
        version.bytes().next().filter(u8::is_ascii_digit)
    })?;
    HeaderValue::from_str(&format!("application/vnd.elasticsearch+json;compatible-with={}", char::from(version))).ok()
}

/// An error as Elasticsearch writes it.
pub fn wrong(status: StatusCode, kind: &str, reason: &str) -> Response {
    let cause = json!({ "type": kind, "reason": reason });
    let mut error = cause.clone();
    error["root_cause"] = json!([cause]);
    (status, Json(json!({ "error": error, "status": status.as_u16() }))).into_response()
}

/// The queue takes nothing, or nothing from this sender, and when it may again.
fn rejected(refusal: super::http::Refusal) -> Response {
    let mut response = wrong(refusal.status, "es_rejected_execution_exception", &refusal.reason);
    if let Some(after) = refusal.after {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(after));
    }
    response
}

/// A small answer, as much of it as `filter_path` wants.
fn reply(status: StatusCode, value: Value, query: Option<&str>) -> Response {
    (status, Json(FilterPath::of(query).prune(value))).into_response()
}

async fn bulk_of_all(State(elastic): State<Arc<Elastic>>, RawQuery(query): RawQuery, request: Request) -> Response {
    bulk::take(&elastic, None, query.as_deref(), request).await
}

async fn bulk_of_one(
    State(elastic): State<Arc<Elastic>>,
    Path(index): Path<String>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Response {
    bulk::take(&elastic, Some(index), query.as_deref(), request).await
}

/// `POST /{index}/_doc`, with or without an id: a bulk of one.
async fn one(
    State(elastic): State<Arc<Elastic>>,
    Path(names): Path<Vec<(String, String)>>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Response {
    let find = |name: &str| names.iter().find(|(own, _)| own == name).map(|(_, value)| value.clone());
    let (index, mut id) = (find("index").unwrap_or_default(), find("id"));
    id = id.or_else(|| {
        query::pairs(query.as_deref().unwrap_or_default()).into_iter().find(|(name, _)| name == "id").map(|(_, id)| id)
    });
    let _open = elastic.counters.open();
    if let Some(refused) = bulk::refused(&elastic, query.as_deref()) {
        return refused;
    }
    let (parts, body) = request.into_parts();
    let whole = match body::Reader::new(&parts.headers, body, RECORD_BYTES as u64) {
        Ok(reader) => reader.whole().await,
        Err(error) => Err(error),
    };
    let document = match whole {
        Ok(document) => document,
        Err(error) => {
            Counters::add(&elastic.counters.errors, 1);
            return wrong(error.status(), "parse_exception", &error.to_string());
        }
    };
    let mut bulk = bulk::Bulk::new(&elastic, body::peer(&parts.extensions));
    if let Err(error) = bulk.add(Op::Index, &index, id.as_deref(), document.trim_ascii()) {
        return rejected(super::http::refusal(&error));
    }
    let items = bulk.land().await;
    Counters::add(&elastic.counters.rejected, items.rejected());
    match items.only() {
        Some((status, value)) => reply(status, value, query.as_deref()),
        None => wrong(StatusCode::BAD_REQUEST, "parse_exception", "request body is required"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_media_type_is_answered_in_kind() {
        for (name, value, answered) in [
            (
                "accept",
                "application/vnd.elasticsearch+json; compatible-with=9",
                Some("application/vnd.elasticsearch+json;compatible-with=9"),
            ),
            (
                "content-type",
                "application/vnd.elasticsearch+x-ndjson;compatible-with=8",
                Some("application/vnd.elasticsearch+json;compatible-with=8"),
            ),
            ("accept", "application/json", None),
            ("accept", "application/vnd.elasticsearch+json; compatible-with=", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static(value));
            assert_eq!(media_type(&headers).as_ref().map(|value| value.to_str().unwrap()), answered, "{value}");
        }
    }
}
