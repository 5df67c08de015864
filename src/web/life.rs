//! The life of a version: what versions a filter has, what generations a topic has, promoting, rolling back.
//!
//! Times are RFC 3339, null where nobody noted them. A promotion answers when it is durable, with the first offset of each
//! partition that the new generation handles; on an error nothing has changed.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::base::ids::Generation;
use crate::base::time;
use crate::relay::{RelayError, Wish};
use crate::sandbox::{ChainSpec, FilterError};
use crate::web::Web;
use crate::web::control::blocking;
use crate::web::error::{Parameters, Refusal};

/// A body of JSON; an empty one is an empty object.
pub(super) fn read<T: DeserializeOwned>(body: &[u8], form: &str) -> Result<T, Refusal> {
    let body = if body.trim_ascii().is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| Refusal::wrong(format!("the body is {form}: {error}")))
}

/// How the relay's refusals are answered.
pub(super) fn refusal(error: &RelayError) -> Refusal {
    let why = error.to_string();
    match error {
        RelayError::NoTopic(_)
        | RelayError::NoReplay(_)
        | RelayError::Missing(_)
        | RelayError::Filter(FilterError::Missing(_)) => Refusal::missing(why),
        RelayError::Crowded { seconds, .. } => Refusal::crowded(why, *seconds),
        RelayError::Busy(_) | RelayError::Closed => Refusal::busy(why),
        RelayError::Config(_) | RelayError::Filter(FilterError::Refused(_)) => Refusal::wrong(why),
        _ => Refusal::failed(why),
    }
}

/// As JSON, with `at` instead of `at_ns`.
pub(super) fn dated(status: &impl Serialize) -> Value {
    let mut shown = serde_json::to_value(status).unwrap_or_default();
    if let Some(at_ns) = shown.as_object_mut().and_then(|object| object.remove("at_ns")) {
        shown["at"] = at_ns.as_i64().map_or(Value::Null, |at_ns| time::format(at_ns).into());
    }
    shown
}

/// `GET /api/v1/filters/{name}/versions`
///
/// `{"name", "current", "versions": [{"version", "sha256", "bytes", "stock", "current", "at", "by", "compile_ns", "used_by"}]}`, the
/// oldest first. Version 0 is the box's own; `by` is `api`, `cli` or `folder`; `used_by` is a list of `{"topic", "generations",
/// "live"}`: the topic's generations that were made of it, and whether the live one is among them. A chain says `NAME` for the
/// current version, whichever that is, and `NAME@3` for version 3 and no other.
pub async fn versions(State(web): State<Arc<Web>>, Path(name): Path<String>) -> Result<Json<Value>, Refusal> {
    blocking(move || {
        let versions = web.sandbox.versions(&name);
        if versions.is_empty() {
            return Err(Refusal::missing(format!("there is no filter `{name}`")));
        }
        let chains = web.relay.chains();
        let users = web.relay.users(&name);
        let shown = versions.iter().map(|version| {
            let mut one = dated(version);
            let of_version = users.get(&version.sha256).map_or(&[][..], Vec::as_slice);
            let used = of_version.iter().map(|(topic, generations)| {
                let live = chains.iter().any(|chain| chain.topic == *topic && generations.contains(&chain.generation));
                json!({ "topic": topic, "generations": generations, "live": live })
            });
            one["used_by"] = used.collect();
            one
        });
        let shown: Vec<Value> = shown.collect();
        let current = versions.iter().find(|version| version.current).map(|version| version.version);
        Ok(json!({ "name": name, "current": current, "versions": shown }))
    })
    .await
}

/// Which version's fixtures.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Of {
    /// Without it, the newest.
    version: Option<u32>,
}

/// `POST /api/v1/filters/{name}/fixtures?version=3` (without it, the newest): runs a version over fixtures, which are the body, in
/// TOML. Nothing of it is kept.
///
/// `{"name", "version", "passed", "cases": [{"name", "differences": [text], "fuel"}]}`
pub async fn fixtures(
    State(web): State<Arc<Web>>,
    Path(name): Path<String>,
    Parameters(of): Parameters<Of>,
    body: String,
) -> Result<Json<Value>, Refusal> {
    blocking(move || {
        let (version, report) = web.sandbox.run_fixtures(&name, of.version, &body).map_err(|error| refusal(&error.into()))?;
        Ok(json!({ "name": name, "version": version, "passed": report.passed(), "cases": report.cases }))
    })
    .await
}

/// What [`promote_version`] is told.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Version {
    /// Which; without it, the newest.
    version: Option<u32>,
}

/// `POST /api/v1/filters/{name}/promote` with `{"version": 3}` (without it, the newest): the name stands for that version, and
/// every chain that says the plain name goes over to it at its next batch.
///
/// `{"filter", "version", "generations": [{"topic", "generation", "from": [{"partition", "offset"}]}], "kept": [{"topic", "version"}]}`;
/// `kept` are topics that use the filter and stay with another version: their chain names it, or the new one refuses its
/// configuration there.
pub async fn promote_version(
    State(web): State<Arc<Web>>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, Refusal> {
    let Version { version } = read(&body, r#"{"version": number}"#)?;
    blocking(move || {
        let promoted = web.relay.promote_version(&name, version).map_err(|error| refusal(&error))?;
        Ok(serde_json::to_value(promoted).unwrap_or_default())
    })
    .await
}

/// `GET /api/v1/topics/{topic}/generations`
///
/// `{"topic", "generations": [{"generation", "live", "made_by", "why", "at", "from": [{"partition", "offset"}], "codec", "chain":
/// [{"filter", "version", "when", "sha256", "config"}], "ranges": [{"partition", "first", "end"}]}]}`, the oldest first. A partition
/// that `from` does not name began with the generation. `ranges` are the offsets that a replay or a retry made anew; it is never
/// `live`, and has no `from`.
pub async fn generations(State(web): State<Arc<Web>>, Path(topic): Path<String>) -> Result<Json<Value>, Refusal> {
    blocking(move || {
        let generations = web.relay.generations(&topic).map_err(|error| refusal(&error))?;
        let shown: Vec<Value> = generations.iter().map(dated).collect();
        Ok(json!({ "topic": topic, "generations": shown }))
    })
    .await
}

/// A chain that is wished for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wished {
    chain: Option<ChainSpec>,
    filter: Option<String>,
    version: Option<u32>,
    when: Option<String>,
    config: Option<Map<String, Value>>,
}

impl Wished {
    pub(super) fn wish(self) -> Wish {
        let Self { chain, filter, version, when, config } = self;
        Wish { chain, filter, version, when, config }
    }
}

/// `POST /api/v1/topics/{topic}/promote` with `{"chain": […]}`, or `{"filter", "version", "when", "config"}`: the live chain with
/// that filter in that version (without a number, the newest), and last in it if it is not there; `when` and `config` stay as they
/// are where they are left out. Where the chain has several of that name, `when` and `config` need `NAME#2`: the second of them alone;
/// the number after the last is another one. The topic then stays with the version, unless it is the current one.
///
/// `{"topic", "generation", "from": [{"partition", "offset"}]}`
pub async fn promote(State(web): State<Arc<Web>>, Path(topic): Path<String>, body: Bytes) -> Result<Json<Value>, Refusal> {
    own(&topic)?;
    let wished: Wished = read(&body, r#"{"chain": […]} or {"filter", "version", "when", "config"}"#)?;
    blocking(move || {
        let opened = web.relay.promote_wish(&topic, wished.wish()).map_err(|error| refusal(&error))?;
        Ok(serde_json::to_value(opened).unwrap_or_default())
    })
    .await
}

/// What [`roll_back`] is told.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Back {
    /// A generation; without it, the last one with another chain.
    to: Option<Generation>,
}

/// `POST /api/v1/topics/{topic}/rollback` with `{"to": generation}` (without it, the last one that had another chain): its chain
/// and codec, with the very modules it had, as a new generation from the next batch on. Rows that are there stay.
///
/// `{"topic", "generation", "from": [{"partition", "offset"}]}`
pub async fn roll_back(State(web): State<Arc<Web>>, Path(topic): Path<String>, body: Bytes) -> Result<Json<Value>, Refusal> {
    own(&topic)?;
    let Back { to } = read(&body, r#"{"to": generation}"#)?;
    blocking(move || {
        let opened = web.relay.go_back(&topic, to).map_err(|error| refusal(&error))?;
        Ok(serde_json::to_value(opened).unwrap_or_default())
    })
    .await
}

fn own(topic: &str) -> Result<(), Refusal> {
    if topic.starts_with('_') {
        return Err(Refusal::wrong(format!("`{topic}`: topics that begin with `_` are the box's own")));
    }
    Ok(())
}
