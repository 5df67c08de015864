//! Scrolls and points in time, without memory of them: what a scroll needs to go on stands in its id.
//!
//! An id holds the request, the time at which it began (what `now` means), how many rows there were, and the place of the last row
//! that was shown. So nothing expires, nothing is freed, and a restart disturbs none. In turn rows that arrive while one scrolls
//! are shown, where they come after that place; none is shown twice. An id is the client's to make: what stands in it is read as
//! any request is. A point in time is its index pattern alone.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query as Parameters, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use super::ask::{Asked, AskedParams, No, Params, body_of, in_thread, only_params, topics_for, topics_of};
use super::dsl::read::{each, object, only, text};
use super::order::Order;
use super::search;
use crate::web::Web;

/// Longest id: the request in it may be this long.
const ID_BYTES: usize = 128 * 1024;

fn seal(value: &Value) -> Result<String, String> {
    let id = URL_SAFE_NO_PAD.encode(value.to_string());
    if id.len() > ID_BYTES { Err("this request is too long to scroll; go on with `search_after`".to_owned()) } else { Ok(id) }
}

fn open(id: &str) -> Result<Map<String, Value>, No> {
    let gone = || No::missing("search_context_missing_exception", "this is no id of a scroll or a point in time".to_owned());
    let bytes = URL_SAFE_NO_PAD.decode(id).map_err(|_| gone())?;
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(body)) if id.len() <= ID_BYTES => Ok(body),
        _ => Err(gone()),
    }
}

/// The first page of a scroll.
///
/// # Errors
/// What is not supported, by name.
pub fn begin(web: &Web, asked: Asked) -> Result<Value, No> {
    if asked.number("from")?.is_some_and(|from| from > 0) {
        return Err("`from` is not supported beside `scroll`".to_owned().into());
    }
    for name in ["search_after", "pit"] {
        if asked.body.contains_key(name) {
            return Err(format!("`{name}` is not supported beside `scroll`").into());
        }
    }
    if search::terminates_after(&asked)?.is_some() {
        return Err("`terminate_after` is not supported beside `scroll`".to_owned().into());
    }
    if asked.number("size")? == Some(0) {
        return Err("`size` is at least 1 in a scroll".to_owned().into());
    }
    let mut body = asked.body.clone();
    // Aggregations are told with the first page alone.
    for name in ["aggs", "aggregations", "post_filter"] {
        if name == "post_filter" && body.contains_key(name) {
            return Err("`post_filter` is not supported beside `scroll`".to_owned().into());
        }
        body.remove(name);
    }
    let params: Params =
        asked.params.iter().filter(|(name, _)| *name != "scroll").map(|(n, v)| (n.clone(), v.clone())).collect();
    let state = json!({ "topics": asked.topics, "body": body, "params": params, "now": asked.now_ns });
    page(web, asked, state)
}

fn page(web: &Web, asked: Asked, mut state: Value) -> Result<Value, No> {
    let mut order = Order::of(&asked)?;
    let shows_sort = !order.is_default();
    if order.is_default() {
        order = Order::by_row();
    }
    order.whole();
    order.refuse_sums()?;
    let total = state.get("total").cloned();
    let (mut answer, last) = search::search_in(web, asked, &order)?;
    if answer["timed_out"] == true {
        // Who scrolls asks for the page behind this one, and an empty one ends it: rows that are missing here never come.
        let why = "the time for a page of the scroll was up; ask for it again, or for smaller ones".to_owned();
        return Err(No(StatusCode::SERVICE_UNAVAILABLE, "timeout_exception", why));
    }
    match total {
        Some(total) => answer["hits"]["total"] = total,
        None => state["total"] = answer["hits"]["total"].clone(),
    }
    if let Some(last) = last {
        state["after"] = last;
    }
    if !shows_sort {
        for hit in answer["hits"]["hits"].as_array_mut().into_iter().flatten() {
            if let Some(hit) = hit.as_object_mut() {
                hit.remove("sort");
            }
        }
    }
    answer["_scroll_id"] = seal(&state)?.into();
    Ok(answer)
}

/// `/_search/scroll`: the next page.
pub async fn next(state: State<Arc<Web>>, params: AskedParams, body: Bytes) -> Response {
    next_of(state, None, params, body).await
}

/// `/_search/scroll/{id}`
pub async fn next_by_path(state: State<Arc<Web>>, Path(id): Path<String>, params: AskedParams, body: Bytes) -> Response {
    next_of(state, Some(id), params, body).await
}

async fn next_of(State(web): State<Arc<Web>>, id: Option<String>, params: AskedParams, body: Bytes) -> Response {
    in_thread(web, move |web, cancel| {
        let Parameters(params) = params;
        only_params(&params, &["scroll", "scroll_id", "rest_total_hits_as_int"])?;
        let body = body_of(&body)?;
        only(&body, "scroll", &["scroll", "scroll_id"])?;
        let id = match body.get("scroll_id") {
            Some(id) => text(Some(id), "scroll_id")?.to_owned(),
            None => params.get("scroll_id").cloned().or(id).ok_or("`scroll_id` is missing".to_owned())?,
        };
        let mut state = open(&id)?;
        let topics: Vec<&str> = state.get("topics").map_or(&[][..], each).iter().filter_map(Value::as_str).collect();
        // Topics that are gone since have no rows.
        let topics = if topics.is_empty() { Vec::new() } else { topics_of(web, &topics.join(","), true)? };
        let mut body = state.get("body").map_or(Ok(Map::new()), |body| object(body, "scroll_id").cloned())?;
        let own: Params = match state.get("params") {
            None => Params::new(),
            Some(own) => serde_json::from_value(own.clone()).map_err(|_| "this is no id of a scroll".to_owned())?,
        };
        search::refuse_params(&own)?;
        if let Some(after) = state.remove("after") {
            body.insert("search_after".to_owned(), after);
            if state.contains_key("total") {
                body.insert("track_total_hits".to_owned(), false.into());
            }
        }
        let mut asked = Asked::new(web, topics, own, body, cancel);
        asked.now_ns = state.get("now").and_then(Value::as_i64).unwrap_or(asked.now_ns);
        let after = asked.body.get("search_after").cloned();
        let mut state = Value::Object(state);
        if let Some(after) = after {
            state["after"] = after;
        }
        Ok(Json(page(web, asked, state)?).into_response())
    })
    .await
}

/// `DELETE /_search/scroll`, and of a point in time: there is nothing to free.
pub async fn free(body: Bytes) -> Response {
    let body = match body_of(&body) {
        Ok(body) => body,
        Err(why) => return No::from(why).into_response(),
    };
    let many = ["scroll_id", "id"].iter().filter_map(|name| body.get(*name)).map(|ids| each(ids).len()).sum::<usize>().max(1);
    Json(json!({ "succeeded": true, "num_freed": many })).into_response()
}

/// `/{index}/_pit`
pub async fn begin_pit(State(web): State<Arc<Web>>, Path(index): Path<String>, Parameters(params): AskedParams) -> Response {
    let pit = || -> Result<Value, No> {
        only_params(&params, &["keep_alive"])?;
        let topics = topics_for(&web, &index, &params)?;
        Ok(json!({ "id": seal(&json!({ "topics": topics }))?, "_shards": super::ask::shards() }))
    };
    pit().map(Json).into_response()
}

/// The index pattern of a point in time.
///
/// # Errors
/// It is none.
pub fn pit_index(pit: &Value) -> Result<String, No> {
    let pit = object(pit, "pit")?;
    let state = open(text(pit.get("id"), "pit.id")?)?;
    let topics = state.get("topics").map_or(&[][..], each).iter().filter_map(Value::as_str);
    let topics: Vec<&str> = topics.collect();
    // Without any a name that nothing has: no pattern would mean all.
    Ok(if topics.is_empty() { "-*".to_owned() } else { topics.join(",") })
}
