//! Dead letters: what there is, one of them as a file that fails anywhere, and trying them again.
//!
//! ```text
//! GET  /api/v1/dead                                            topics that have letters: how many, since when, why
//! GET  /api/v1/dead/{topic}?limit=100                          its last letters that are not resolved, and the same overview
//! GET  /api/v1/dead/{topic}/{partition}/{offset}               one letter; the place is the letter's own, in `_dead.{topic}`
//! GET  /api/v1/dead/{topic}/{partition}/{offset}/bundle        a JSON file: `sawbox filter reproduce FILE` runs it anywhere
//! POST /api/v1/dead/{topic}/retry   {"filter": "parse", "reason": "part of it", "offsets": [{"partition", "offset"} | {"partition",
//!                                    "first", "end"}], "dry_run": true}          without any of them, all letters
//! ```
//! A letter: `partition`, `offset`, `buried`, `origin` (`<topic id>/<partition>@<offset>`), `filter` (empty: the record has its row,
//! only what a filter emitted could not be sent), `reason`, `generation`, `arrival`, `key`, `payload` (`text`, `bytes`, and `base64`
//! where it is not UTF-8), `headers`.
//! A bundle is answered by 429 with `Retry-After` while as many are made as may (`relay.at_once.explains`).
//! A retry answers when it is durable: `tried`, `stored`, `dropped`, `deleted`, `failed`, `failures` (each with its new reason),
//! `of_emissions`, `not_now`, `left`, `emissions` (sent to other topics), `unsent`, `generation`, `notes`. With `dry_run` nothing is changed.

use std::sync::Arc;

use axum::body::Bytes as Body;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::base::ids::{Offset, PartitionId};
use crate::base::time;
use crate::relay::dead::RetryRequest;
use crate::web::Web;
use crate::web::control::blocking;
use crate::web::error::{Parameters, Refusal};
use crate::web::life::refusal;
use crate::web::replay::{Stretch, ranges};

/// Letters of a list, where nobody says how many.
const LETTERS: usize = 100;
/// And at most.
const MOST_LETTERS: usize = 10_000;

/// The routes of this file.
pub fn routes() -> Router<Arc<Web>> {
    Router::new()
        .route("/api/v1/dead", get(all))
        .route("/api/v1/dead/{topic}", get(letters))
        .route("/api/v1/dead/{topic}/retry", post(retry))
        .route("/api/v1/dead/{topic}/{partition}/{offset}", get(letter))
        .route("/api/v1/dead/{topic}/{partition}/{offset}/bundle", get(bundle))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Limit {
    limit: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    filter: Option<String>,
    reason: Option<String>,
    offsets: Option<Vec<Stretch>>,
    #[serde(default)]
    dry_run: bool,
}

/// Times as people write them.
fn dated(status: &impl Serialize) -> Value {
    let mut shown = json!(status);
    if let Some(fields) = shown.as_object_mut() {
        for name in ["buried", "arrival", "oldest", "newest"] {
            if let Some(ns) = fields.remove(&format!("{name}_ns")) {
                fields.insert(name.to_owned(), ns.as_i64().map(time::format).into());
            }
        }
    }
    shown
}

/// `GET /api/v1/dead`
async fn all(State(web): State<Arc<Web>>) -> Result<Json<Value>, Refusal> {
    blocking(move || {
        let all = web.relay.dead().map_err(|error| refusal(&error))?;
        Ok(json!({ "topics": all.iter().map(dated).collect::<Vec<_>>() }))
    })
    .await
}

/// `GET /api/v1/dead/{topic}`
async fn letters(
    State(web): State<Arc<Web>>,
    Path(topic): Path<String>,
    Parameters(limit): Parameters<Limit>,
) -> Result<Json<Value>, Refusal> {
    blocking(move || {
        let most = limit.limit.unwrap_or(LETTERS).min(MOST_LETTERS);
        let mut shown = dated(&web.relay.graveyard(&topic).map_err(|error| refusal(&error))?);
        let last = web.relay.dead_letters(&topic, most).map_err(|error| refusal(&error))?;
        shown["last"] = last.iter().map(dated).collect();
        Ok(shown)
    })
    .await
}

fn place(partition: &str, offset: &str) -> Result<(PartitionId, Offset), Refusal> {
    match (partition.parse(), offset.parse()) {
        (Ok(partition), Ok(offset)) => Ok((partition, offset)),
        _ => Err(Refusal::wrong("a letter is TOPIC/PARTITION/OFFSET; partition and offset are whole numbers")),
    }
}

/// `GET /api/v1/dead/{topic}/{partition}/{offset}`
async fn letter(
    State(web): State<Arc<Web>>,
    Path((topic, partition, offset)): Path<(String, String, String)>,
) -> Result<Json<Value>, Refusal> {
    let (partition, offset) = place(&partition, &offset)?;
    blocking(move || {
        let letter = web.relay.dead_letter(&topic, partition, offset);
        Ok(dated(&letter.map_err(|error| refusal(&error))?))
    })
    .await
}

/// `GET /api/v1/dead/{topic}/{partition}/{offset}/bundle`
async fn bundle(
    State(web): State<Arc<Web>>,
    Path((topic, partition, offset)): Path<(String, String, String)>,
) -> Result<Response, Refusal> {
    let (partition, offset) = place(&partition, &offset)?;
    let made = tokio::task::spawn_blocking(move || web.relay.bundle(&topic, partition, offset)).await;
    let bytes = made.map_err(|_| Refusal::failed("the bundle could not be made; the log says why"))?;
    let bytes = bytes.map_err(|error| refusal(&error))?;
    Ok(([(header::CONTENT_TYPE, "application/json")], bytes).into_response())
}

/// `POST /api/v1/dead/{topic}/retry`
async fn retry(State(web): State<Arc<Web>>, Path(topic): Path<String>, body: Body) -> Result<Json<Value>, Refusal> {
    let body: &[u8] = if body.trim_ascii().is_empty() { b"{}" } else { &body };
    let asked: Asked = serde_json::from_slice(body).map_err(|error| {
        Refusal::wrong(format!("the body is a JSON object of perhaps `filter`, `reason`, `offsets`, `dry_run`: {error}"))
    })?;
    let offsets = asked.offsets.as_deref().map(ranges).transpose()?;
    let request = RetryRequest { filter: asked.filter, reason: asked.reason, offsets, dry_run: asked.dry_run };
    blocking(move || Ok(json!(web.relay.retry(&topic, &request).map_err(|error| refusal(&error))?))).await
}
