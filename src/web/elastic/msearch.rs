//! `_msearch`: several searches in one request, lines of header and body by turns; each is answered or refused by itself.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, Query as Parameters, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};

use super::ask::{Asked, AskedParams, No, Params, body_of, in_thread, only_params, topics_of};
use super::dsl::read::{each, flag, only, text};
use super::search;
use crate::store::query::Cancel;
use crate::web::Web;

/// Most searches of a request.
const SEARCHES: usize = 200;
/// Bytes of answers behind which searches of a request are refused: all of them are in memory until the last one is there.
const ANSWER_BYTES: usize = 128 << 20;
/// Parameters of the URL that searches take over.
const SHARED: [&str; 3] = ["rest_total_hits_as_int", "typed_keys", "search_type"];

/// `/_msearch`
pub async fn all(state: State<Arc<Web>>, params: AskedParams, body: Bytes) -> Response {
    one(state, Path("*".to_owned()), params, body).await
}

/// `/{index}/_msearch`: for headers that name no index.
pub async fn one(State(web): State<Arc<Web>>, Path(index): Path<String>, params: AskedParams, body: Bytes) -> Response {
    in_thread(web, move |web, cancel| {
        let Parameters(params) = params;
        let known: Vec<&str> =
            SHARED.into_iter().chain(["max_concurrent_searches", "pre_filter_shard_size", "ccs_minimize_roundtrips"]).collect();
        only_params(&params, &known)?;
        let begun = web.clock.monotonic();
        // An empty line is an empty header or body; what follows the last newline is nothing.
        let mut lines: Vec<&[u8]> = body.split(|byte| *byte == b'\n').collect();
        if lines.last().is_some_and(|last| last.trim_ascii().is_empty()) {
            lines.pop();
        }
        if lines.is_empty() || lines.len() % 2 == 1 {
            return Err("the body is lines: a header and a search by turns".to_owned().into());
        }
        if lines.len() / 2 > SEARCHES {
            return Err(format!("at most {SEARCHES} searches in a request").into());
        }
        let shared: Params = params.into_iter().filter(|(name, _)| SHARED.contains(&name.as_str())).collect();
        // As text, which takes a fraction of what the values do.
        let mut answers = br#"{"responses":["#.to_vec();
        for (at, pair) in lines.chunks(2).enumerate() {
            let answer = match answers.len() {
                0..ANSWER_BYTES => one_search(web, &index, &shared, pair, &cancel),
                _ => Err(too_large()),
            };
            let answer = match answer {
                Ok(mut answer) => {
                    answer["status"] = StatusCode::OK.as_u16().into();
                    answer
                }
                Err(no) => no.to_json(),
            };
            answers.extend_from_slice(if at > 0 { b"," } else { b"" });
            answers.extend_from_slice(answer.to_string().as_bytes());
        }
        let took = u64::try_from((web.clock.monotonic() - begun).as_millis()).unwrap_or(0);
        answers.extend_from_slice(format!(r#"],"took":{took}}}"#).as_bytes());
        Ok(([(header::CONTENT_TYPE, "application/json")], answers).into_response())
    })
    .await
}

fn too_large() -> No {
    let why = format!("the answers before this one have {} MiB; ask for it by itself", ANSWER_BYTES >> 20);
    No(StatusCode::TOO_MANY_REQUESTS, "circuit_breaking_exception", why)
}

fn one_search(web: &Web, index: &str, shared: &Params, pair: &[&[u8]], cancel: &Cancel) -> Result<Value, No> {
    let [header, body] = pair else { return Err("a header without a search".to_owned().into()) };
    let header = body_of(header)?;
    let known = [
        "index",
        "indices",
        "ignore_unavailable",
        "search_type",
        "allow_no_indices",
        "allow_partial_search_results",
        "expand_wildcards",
        "ignore_throttled",
        "preference",
        "request_cache",
        "routing",
        "ccs_minimize_roundtrips",
    ];
    only(&header, "header", &known)?;
    let named = match header.get("index").or_else(|| header.get("indices")) {
        None | Some(Value::Null) => index.to_owned(),
        Some(names) => index_list(names)?,
    };
    let lenient = flag(&header, "ignore_unavailable")?.unwrap_or(false);
    let mut params = shared.clone();
    if let Some(kind) = header.get("search_type") {
        params.insert("search_type".to_owned(), text(Some(kind), "search_type")?.to_owned());
    }
    let body: Map<String, Value> = body_of(body)?;
    let topics = topics_of(web, if named.is_empty() { "*" } else { &named }, lenient)?;
    search::search(web, Asked::new(web, topics, params, body, cancel.clone()))
}

fn index_list(names: &Value) -> Result<String, String> {
    let names = each(names).iter().map(|name| text(Some(name), "index"));
    Ok(names.collect::<Result<Vec<_>, _>>()?.join(","))
}
