//! Changing what decides: filters and chains, while records flow.
//!
//! A module or chain that does not hold up is refused with the reason, and what runs goes on running.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, header};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use crate::base::limits::is_topic_name;
use crate::relay::codec::spec::{AvroSpec, CodecName, CodecSpec};
use crate::relay::{Change, RelayError};
use crate::sandbox::{ChainSpec, PutBy};
use crate::web::Web;
use crate::web::error::{Parameters, Refusal};
use crate::web::life::refusal;

/// `GET /api/v1/filters`: `version` is the one that the name stands for (0 is the box's own); null where all of them wait.
///
/// `counters`, since the box's start and over all topics, are null of one that was given nothing: `records`, the verdicts `stored`,
/// `dropped`, `held` and `failed`, `emissions`, `calls`, `traps`, `fuel`, `time_ns`, `memory_bytes` (the largest), `starts`, `crowded`
/// (not kept ready because others take all of `sandbox.idle_memory`).
pub async fn filters(State(web): State<Arc<Web>>) -> Json<Value> {
    let chains = web.relay.chains();
    let counters = web.sandbox.counters();
    let filters: Vec<Value> = web
        .sandbox
        .filters()
        .into_iter()
        .map(|filter| {
            let users: Vec<&str> = chains
                .iter()
                .filter(|chain| chain.chain.iter().any(|entry| entry.filter == filter.name))
                .map(|chain| &*chain.topic)
                .collect();
            json!({
                "name": filter.name,
                "version": filter.version,
                "sha256": filter.sha256,
                "stock": filter.stock,
                "bytes": filter.bytes,
                "used_by": users,
                "counters": counters.iter().find(|one| one.filter == filter.name),
            })
        })
        .chain(
            web.sandbox
                .waiting()
                .into_iter()
                .map(|name| json!({ "name": name, "version": null, "stock": false, "used_by": [] })),
        )
        .collect();
    Json(json!({ "filters": filters }))
}

/// How a filter is put.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Put {
    /// Whether it is used at once wherever its name is; else it waits to be tried and promoted.
    #[serde(default = "yes")]
    promote: bool,
}

fn yes() -> bool {
    true
}

/// `PUT /api/v1/filters/{name}?promote=true|false`: the body is a Wasm module. It is validated, compiled (at low priority) and kept
/// as a version of the name; the same bytes again are the same version. With `promote` (the default) every chain that says the
/// plain name goes over to it at its next batch; without, nothing that runs changes.
///
/// `{"name", "version", "sha256", "current", "compile_ns", "generations": [{"topic", "generation"}]}`
pub async fn put_filter(
    State(web): State<Arc<Web>>,
    Path(name): Path<String>,
    Parameters(put): Parameters<Put>,
    headers: HeaderMap,
    wasm: Bytes,
) -> Result<Json<Value>, Refusal> {
    if !is_topic_name(&name) || name.starts_with('_') {
        return Err(Refusal::wrong(
            "a filter's name is made of letters, digits, `.`, `_` and `-`, and does not begin with `_`",
        ));
    }
    let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    let by = if agent.starts_with("sawbox/") { PutBy::Cli } else { PutBy::Api };
    blocking(move || {
        let version = web.sandbox.put_version(&name, &wasm, by, put.promote).map_err(|error| refusal(&error.into()))?;
        let opened = if put.promote { web.relay.filter_replaced(&name) } else { Vec::new() };
        let generations: Vec<Value> =
            opened.into_iter().map(|(topic, generation)| json!({ "topic": topic, "generation": generation })).collect();
        Ok(json!({
            "name": name,
            "version": version.version,
            "sha256": version.sha256,
            "current": version.current,
            "compile_ns": version.compile_ns,
            "generations": generations,
        }))
    })
    .await
}

/// `GET /api/v1/topics/{topic}/chain`
pub async fn chain(State(web): State<Arc<Web>>, Path(topic): Path<String>) -> Result<Json<Value>, Refusal> {
    let chains = web.relay.chains();
    let chain =
        chains.iter().find(|chain| *chain.topic == *topic).ok_or_else(|| Refusal::missing(format!("no topic `{topic}`")))?;
    let mut answer = json!({ "topic": topic, "generation": chain.generation, "codec": null, "chain": chain.chain });
    if let Some(codec) = &chain.codec {
        answer["codec"] = json!(codec.codec);
        if let Some(avro) = &codec.avro {
            answer["avro"] = json!(avro);
        }
    }
    Ok(Json(answer))
}

/// What a topic gets: its filters alone, or what its records are too. What is left out stays; `null` is as nobody had said it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    #[serde(default, deserialize_with = "said")]
    codec: Option<Option<CodecName>>,
    #[serde(default)]
    avro: Option<AvroSpec>,
    #[serde(default, deserialize_with = "said")]
    chain: Option<Option<ChainSpec>>,
}

/// Tells `null` from what is left out.
fn said<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

fn wanted(body: &[u8]) -> Result<Change, Refusal> {
    if body.trim_ascii_start().first() == Some(&b'[') {
        let chain = serde_json::from_slice(body).map_err(|error| {
            Refusal::wrong(format!("the chain is a JSON list of {{\"filter\", \"when\", \"config\"}}: {error}"))
        })?;
        return Ok(Change { chain: Some(Some(chain)), codec: None });
    }
    let Wanted { codec, avro, chain } = serde_json::from_slice(body).map_err(|error| {
        Refusal::wrong(format!(
            "a JSON list of {{\"filter\", \"when\", \"config\"}}, or an object {{\"codec\", \"avro\", \"chain\"}}: {error}"
        ))
    })?;
    if avro.is_some() && codec.is_none() {
        return Err(Refusal::wrong("avro: needs `\"codec\": \"avro\"` beside it"));
    }
    Ok(Change { chain, codec: codec.map(|codec| codec.map(|codec| CodecSpec { codec, avro })) })
}

/// `PUT /api/v1/topics/{topic}/chain`
pub async fn put_chain(State(web): State<Arc<Web>>, Path(topic): Path<String>, body: Bytes) -> Result<Json<Value>, Refusal> {
    if !is_topic_name(&topic) || topic.starts_with('_') {
        return Err(Refusal::wrong("a topic's name is made of letters, digits, `.`, `_` and `-`, and does not begin with `_`"));
    }
    let change = wanted(&body)?;
    blocking(move || {
        let wrong = |error: RelayError| Refusal::wrong(error.to_string());
        if web.queue.topic(&topic).is_none() {
            web.relay.check_change(&topic, change.clone()).map_err(wrong)?;
        }
        // A chain may be there before the first record.
        web.queue.ensure_topic(&topic).map_err(|error| Refusal::wrong(error.to_string()))?;
        let generation = web.relay.change(&topic, change).map_err(wrong)?;
        Ok(json!({ "topic": topic, "generation": generation }))
    })
    .await
}

/// Compiling, committing and showing what is long block; the network's threads must not.
pub(super) async fn blocking(work: impl FnOnce() -> Result<Value, Refusal> + Send + 'static) -> Result<Json<Value>, Refusal> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| Refusal::failed("this could not be done; the log says why"))?.map(Json)
}
