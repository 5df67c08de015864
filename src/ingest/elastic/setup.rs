//! What clients ask before they send: who are you, may I, here is my template.
//!
//! What comes in: the start-up of Filebeat 8, Logstash, Fluent Bit and the official clients. What goes out: what a healthy
//! Elasticsearch 8 with a basic licence would say. Templates, policies, data streams and pipelines are kept and given back,
//! and mean nothing here.
//!
//! Invariants: what was put is found until memory for it runs out; then the oldest goes. A client whose things are gone finds
//! 404 and puts them again.
//! Limits: `ingest.elastic.setup_memory` in all, a quarter of it for one body.
//! Crash story: kept in memory alone; clients set up again when they reconnect.

use std::collections::VecDeque;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, RawQuery, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use super::answer::globs;
use super::{Elastic, VERSION, reply, wrong};
use crate::base::units::Bytes;
use crate::ingest::{body, route};

const CLUSTER: &str = "sawbox";
const NODE: &str = "sawbox-node-0";
const UUID: &str = "c2F3Ym94LWluLWEtYm94";
/// Longest name of anything kept.
const NAME_BYTES: usize = 512;

/// Kinds of things that clients put, in the paths they put them to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Policy,
    IndexTemplate,
    ComponentTemplate,
    Template,
    DataStream,
    Ingest,
}

impl Kind {
    fn of(path: &str) -> Option<Self> {
        let kinds = [
            ("/_ilm/policy", Self::Policy),
            ("/_index_template", Self::IndexTemplate),
            ("/_component_template", Self::ComponentTemplate),
            ("/_template", Self::Template),
            ("/_data_stream", Self::DataStream),
            ("/_ingest/pipeline", Self::Ingest),
        ];
        kinds.into_iter().find(|(prefix, _)| path.starts_with(prefix)).map(|(_, kind)| kind)
    }
}

/// What clients have put.
#[derive(Debug)]
pub struct Setup {
    kept: Mutex<VecDeque<Kept>>,
    memory: usize,
}

#[derive(Debug)]
struct Kept {
    kind: Kind,
    name: String,
    body: String,
}

impl Kept {
    fn size(&self) -> usize {
        self.name.len() + self.body.len() + size_of::<Self>()
    }
}

impl Setup {
    /// Keeps at most `memory` bytes.
    pub fn new(memory: Bytes) -> Self {
        Self { kept: Mutex::default(), memory: memory.as_usize() }
    }

    fn put(&self, kind: Kind, name: &str, body: String) {
        let mut kept = self.kept.lock();
        kept.retain(|own| own.kind != kind || own.name != name);
        kept.push_back(Kept { kind, name: name.to_owned(), body });
        let mut size: usize = kept.iter().map(Kept::size).sum();
        while size > self.memory {
            let Some(oldest) = kept.pop_front() else { break };
            size -= oldest.size();
        }
    }

    fn remove(&self, kind: Kind, pattern: &str) -> bool {
        let mut kept = self.kept.lock();
        let before = kept.len();
        kept.retain(|own| own.kind != kind || !names(pattern, &own.name));
        kept.len() < before
    }

    fn get(&self, kind: Kind, pattern: &str) -> Vec<(String, Value)> {
        let kept = self.kept.lock();
        let found = kept.iter().filter(|own| own.kind == kind && names(pattern, &own.name));
        found.map(|own| (own.name.clone(), serde_json::from_str(&own.body).unwrap_or(Value::Null))).collect()
    }
}

/// `a,b*` names what is called `a` or begins with `b`.
fn names(pattern: &str, name: &str) -> bool {
    pattern.split(',').any(|one| one == "_all" || globs(one, name))
}

/// `GET /`.
pub async fn hello(RawQuery(query): RawQuery) -> Response {
    let version = json!({
        "number": VERSION,
        "build_flavor": "default",
        "build_type": "tar",
        "build_hash": "0000000000000000000000000000000000000000",
        "build_date": "2024-12-11T12:08:05.663969764Z",
        "build_snapshot": false,
        "lucene_version": "9.12.0",
        "minimum_wire_compatibility_version": "7.17.0",
        "minimum_index_compatibility_version": "7.0.0",
    });
    let answer = json!({
        "name": NODE,
        "cluster_name": CLUSTER,
        "cluster_uuid": UUID,
        "version": version,
        "tagline": "You Know, for Search",
    });
    reply(StatusCode::OK, answer, query.as_deref())
}

fn licence() -> Value {
    json!({
        "status": "active",
        "uid": "00000000-0000-0000-0000-000000000000",
        "type": "basic",
        "mode": "basic",
        "issue_date": "2026-01-01T00:00:00.000Z",
        "issue_date_in_millis": 1_767_225_600_000_u64,
        "max_nodes": 1000,
        "max_resource_units": null,
        "issued_to": CLUSTER,
        "issuer": "elasticsearch",
        "start_date_in_millis": -1,
    })
}

/// `GET /_license`: without it Filebeat never sends.
pub async fn license(RawQuery(query): RawQuery) -> Response {
    reply(StatusCode::OK, json!({ "license": licence() }), query.as_deref())
}

/// `GET /_xpack`.
pub async fn xpack(RawQuery(query): RawQuery) -> Response {
    let on = json!({ "available": true, "enabled": true });
    let off = json!({ "available": false, "enabled": false });
    let answer = json!({
        "build": { "hash": "0000000000000000000000000000000000000000", "date": "2024-12-11T12:08:05.663969764Z" },
        "license": licence(),
        "features": { "ilm": on, "data_streams": on, "security": off, "monitoring": off, "ml": off, "watcher": off },
        "tagline": "You know, for X",
    });
    reply(StatusCode::OK, answer, query.as_deref())
}

/// `GET /_cluster/health`.
pub async fn health(RawQuery(query): RawQuery) -> Response {
    let answer = json!({
        "cluster_name": CLUSTER,
        "status": "green",
        "timed_out": false,
        "number_of_nodes": 1,
        "number_of_data_nodes": 1,
        "active_primary_shards": 1,
        "active_shards": 1,
        "relocating_shards": 0,
        "initializing_shards": 0,
        "unassigned_shards": 0,
        "delayed_unassigned_shards": 0,
        "number_of_pending_tasks": 0,
        "number_of_in_flight_fetch": 0,
        "task_max_waiting_in_queue_millis": 0,
        "active_shards_percent_as_number": 100.0,
    });
    reply(StatusCode::OK, answer, query.as_deref())
}

/// `GET /_nodes/http`, `/_nodes/ingest` and so on: one node, reached as the client reached it.
pub async fn nodes(headers: HeaderMap, RawQuery(query): RawQuery) -> Response {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("127.0.0.1:9200");
    let ip = host.rsplit_once(':').map_or(host, |(ip, _)| ip);
    let node = json!({
        "name": NODE,
        "transport_address": host,
        "host": ip,
        "ip": ip,
        "version": VERSION,
        "build_flavor": "default",
        "roles": ["data", "ingest", "master"],
        "http": { "bound_address": [host], "publish_address": host, "max_content_length_in_bytes": 104_857_600 },
        "ingest": { "processors": [{ "type": "geoip" }, { "type": "user_agent" }, { "type": "set" }, { "type": "pipeline" }] },
    });
    let answer = json!({
        "_nodes": { "total": 1, "successful": 1, "failed": 0 },
        "cluster_name": CLUSTER,
        "nodes": { NODE: node },
    });
    reply(StatusCode::OK, answer, query.as_deref())
}

/// `PUT /{index}`: its topic, unless one is configured for all records, or the name is only to be worked out.
pub async fn make_index(State(elastic): State<Arc<Elastic>>, Path(index): Path<String>) -> Response {
    match route::index_topic(&index) {
        None if index.starts_with('<') => {}
        None => {
            return wrong(StatusCode::BAD_REQUEST, "invalid_index_name_exception", &format!("invalid index name [{index}]"));
        }
        Some(name) => match elastic.door.make_topic(name) {
            // That of another day is not.
            Ok(false) if name == index => {
                let why = format!("index [{index}] already exists");
                return wrong(StatusCode::BAD_REQUEST, "resource_already_exists_exception", &why);
            }
            Ok(_) => {}
            Err(error) => return wrong(StatusCode::SERVICE_UNAVAILABLE, "exception", &error.to_string()),
        },
    }
    let answer = json!({ "acknowledged": true, "shards_acknowledged": true, "index": index });
    reply(StatusCode::OK, answer, None)
}

/// `GET` of all things of a kind.
pub async fn list(State(elastic): State<Arc<Elastic>>, uri: Uri, RawQuery(query): RawQuery) -> Response {
    let Some(kind) = Kind::of(uri.path()) else { return StatusCode::NOT_FOUND.into_response() };
    reply(StatusCode::OK, shape(kind, elastic.setup.get(kind, "*")), query.as_deref())
}

/// `GET`, `HEAD`, `PUT`, `POST` and `DELETE` of a thing by name.
pub async fn keep(
    State(elastic): State<Arc<Elastic>>,
    Path(name): Path<String>,
    uri: Uri,
    RawQuery(query): RawQuery,
    request: Request,
) -> Response {
    let Some(kind) = Kind::of(uri.path()) else { return StatusCode::NOT_FOUND.into_response() };
    let method = request.method().clone();
    if method == Method::GET || method == Method::HEAD {
        let found = elastic.setup.get(kind, &name);
        if found.is_empty() && !name.contains('*') {
            if method == Method::HEAD {
                return StatusCode::NOT_FOUND.into_response();
            }
            return wrong(StatusCode::NOT_FOUND, "resource_not_found_exception", &format!("[{name}] is not there"));
        }
        return reply(StatusCode::OK, shape(kind, found), query.as_deref());
    }
    if method == Method::DELETE {
        if elastic.setup.remove(kind, &name) {
            return reply(StatusCode::OK, json!({ "acknowledged": true }), None);
        }
        return wrong(StatusCode::NOT_FOUND, "resource_not_found_exception", &format!("[{name}] is not there"));
    }
    if method != Method::PUT && method != Method::POST {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    match text(&elastic, request).await {
        Ok(_) if name.len() > NAME_BYTES => {
            wrong(StatusCode::BAD_REQUEST, "illegal_argument_exception", "the name is too long")
        }
        Ok(text) => {
            elastic.setup.put(kind, &name, text);
            reply(StatusCode::OK, json!({ "acknowledged": true }), None)
        }
        Err(response) => response,
    }
}

/// The body, which must be JSON or nothing.
async fn text(elastic: &Elastic, request: Request<Body>) -> Result<String, Response> {
    let (parts, body) = request.into_parts();
    let refuse = |status, reason: &str| wrong(status, "parse_exception", reason);
    let reader = body::Reader::new(&parts.headers, body, elastic.setup.memory as u64 / 4);
    let whole = match reader {
        Ok(reader) => reader.whole().await,
        Err(error) => Err(error),
    };
    let bytes = whole.map_err(|error| refuse(error.status(), &error.to_string()))?;
    if bytes.is_empty() {
        return Ok("{}".into());
    }
    if let Err(error) = serde_json::from_slice::<serde::de::IgnoredAny>(&bytes) {
        return Err(refuse(StatusCode::BAD_REQUEST, &format!("the body is no JSON: {error}")));
    }
    String::from_utf8(bytes).map_err(|_| refuse(StatusCode::BAD_REQUEST, "the body is no UTF-8"))
}

/// Things of a kind, as Elasticsearch would list them.
fn shape(kind: Kind, found: Vec<(String, Value)>) -> Value {
    let named = |found: Vec<(String, Value)>| Value::Object(found.into_iter().collect::<Map<_, _>>());
    let listed = |outer: &str, inner: &str, found: Vec<(String, Value)>| {
        let all: Vec<Value> = found.into_iter().map(|(name, value)| json!({ "name": name, inner: value })).collect();
        json!({ outer: all })
    };
    match kind {
        Kind::Template | Kind::Ingest => named(found),
        Kind::IndexTemplate => listed("index_templates", "index_template", found),
        Kind::ComponentTemplate => listed("component_templates", "component_template", found),
        Kind::Policy => {
            let with_version = found.into_iter().map(|(name, value)| {
                let policy = value.get("policy").cloned().unwrap_or(value);
                (name, json!({ "version": 1, "modified_date": "2026-01-01T00:00:00.000Z", "policy": policy }))
            });
            named(with_version.collect())
        }
        Kind::DataStream => {
            let one = |name: String| {
                json!({
                    "name": name,
                    "timestamp_field": { "name": "@timestamp" },
                    "indices": [{ "index_name": format!(".ds-{name}-000001"), "index_uuid": UUID }],
                    "generation": 1,
                    "status": "GREEN",
                    "template": name,
                    "hidden": false,
                    "system": false,
                    "replicated": false,
                })
            };
            json!({ "data_streams": found.into_iter().map(|(name, _)| one(name)).collect::<Vec<_>>() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_are_kept_in_bounded_memory() {
        let setup = Setup::new(Bytes(4096));
        setup.put(Kind::Policy, "filebeat", r#"{"policy":{"phases":{}}}"#.into());
        setup.put(Kind::Policy, "filebeat", r#"{"policy":{"phases":{"hot":{}}}}"#.into());
        setup.put(Kind::Template, "filebeat", "{}".into());
        assert_eq!(setup.get(Kind::Policy, "file*").len(), 1);
        let shaped = shape(Kind::Policy, setup.get(Kind::Policy, "filebeat"));
        assert_eq!(shaped["filebeat"]["policy"], json!({ "phases": { "hot": {} } }));
        for number in 0..100 {
            setup.put(Kind::Ingest, &number.to_string(), format!("\"{}\"", "x".repeat(1000)));
        }
        assert!(setup.get(Kind::Policy, "filebeat").is_empty(), "the oldest goes");
        assert_eq!(setup.get(Kind::Ingest, "99").len(), 1);
        assert!(setup.kept.lock().iter().map(Kept::size).sum::<usize>() <= 4096);
        assert!(setup.remove(Kind::Ingest, "9*") && setup.get(Kind::Ingest, "99").is_empty());
        assert!(!setup.remove(Kind::Ingest, "none"));
    }

    #[test]
    fn kinds_are_told_by_path() {
        assert_eq!(Kind::of("/_ilm/policy/x"), Some(Kind::Policy));
        assert_eq!(Kind::of("/_index_template/x"), Some(Kind::IndexTemplate));
        assert_eq!(Kind::of("/_template"), Some(Kind::Template));
        assert_eq!(Kind::of("/else"), None);
    }
}
