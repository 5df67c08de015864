//! Quotas and routes over the API: who may send how much, and what goes to another topic.
//!
//! A rule that makes no sense is refused with the reason, and what holds goes on holding. Those of the configuration file are
//! listed (`fixed`) and cannot be changed here; one that was put and that the file contradicts is listed as `shadowed`.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::queue::QueueError;
use crate::queue::traffic::{Count, Listed, Quota, Route};
use crate::web::error::Refusal;
use crate::web::{Metric, Web};

/// `GET /api/v1/quotas`
pub async fn quotas(State(web): State<Arc<Web>>) -> Json<Value> {
    let all: Vec<Value> = web.queue.traffic().quotas().iter().map(listed).collect();
    Json(json!({ "quotas": all }))
}

/// `GET /api/v1/routes`
pub async fn routes(State(web): State<Arc<Web>>) -> Json<Value> {
    let all: Vec<Value> = web.queue.traffic().routes().iter().map(listed).collect();
    Json(json!({ "routes": all }))
}

/// `PUT /api/v1/quotas/{name}`
pub async fn put_quota(State(web): State<Arc<Web>>, Path(name): Path<String>, body: Bytes) -> Result<Json<Value>, Refusal> {
    let like = r#"{"topic":"web","principal":"*","bytes_per_second":"1MiB","burst":"4MiB","action":"throttle"}"#;
    let quota = Quota { name: name.clone(), ..read(&body, "quota", like)? };
    changed(move || web.queue.put_quota(quota).map(|()| json!({ "name": name }))).await
}

/// `PUT /api/v1/routes/{name}`
pub async fn put_route(State(web): State<Arc<Web>>, Path(name): Path<String>, body: Bytes) -> Result<Json<Value>, Refusal> {
    let route = Route { name, ..read_route(&body)? };
    changed(move || web.queue.put_route(route).map(|name| json!({ "name": name }))).await
}

/// `POST /api/v1/routes`: with a name that the box makes up.
pub async fn add_route(State(web): State<Arc<Web>>, body: Bytes) -> Result<Json<Value>, Refusal> {
    let route = read_route(&body)?;
    changed(move || web.queue.put_route(route).map(|name| json!({ "name": name }))).await
}

/// `DELETE /api/v1/quotas/{name}`
pub async fn remove_quota(State(web): State<Arc<Web>>, Path(name): Path<String>) -> Result<Json<Value>, Refusal> {
    let missing = Refusal::missing(format!("no quota `{name}`"));
    let removed = changed(move || web.queue.traffic().remove_quota(&name).map(Value::from)).await?;
    if removed.0 == json!(true) { Ok(Json(json!({ "removed": true }))) } else { Err(missing) }
}

/// `DELETE /api/v1/routes/{name}`
pub async fn remove_route(State(web): State<Arc<Web>>, Path(name): Path<String>) -> Result<Json<Value>, Refusal> {
    let missing = Refusal::missing(format!("no route `{name}`"));
    let removed = changed(move || web.queue.traffic().remove_route(&name).map(Value::from)).await?;
    if removed.0 == json!(true) { Ok(Json(json!({ "removed": true }))) } else { Err(missing) }
}

fn read_route(body: &[u8]) -> Result<Route, Refusal> {
    read(body, "route", r#"{"topic":"web","when":"host:web-7","to":"web.bursty"}"#)
}

fn read<T: DeserializeOwned>(body: &[u8], what: &str, like: &str) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| Refusal::wrong(format!("a {what} is JSON like {like}: {error}")))
}

/// Changes are fsynced; the network's threads must not wait for that.
async fn changed(change: impl FnOnce() -> Result<Value, QueueError> + Send + 'static) -> Result<Json<Value>, Refusal> {
    match tokio::task::spawn_blocking(change).await {
        Ok(Ok(value)) => Ok(Json(value)),
        Ok(Err(QueueError::Refused(why))) => Err(Refusal::wrong(why)),
        Ok(Err(error)) => Err(Refusal::busy(error.to_string())),
        Err(_) => Err(Refusal::failed("the change failed; the log says why")),
    }
}

fn listed<R: serde::Serialize>(one: &Listed<R>) -> Value {
    let mut value = json!(one.ruled.rule);
    value["fixed"] = one.ruled.fixed.into();
    value["shadowed"] = one.ruled.shadowed.into();
    let Count { throttled, refused_records, refused_bytes, diverted_records, diverted_bytes } = one.count;
    value["throttled_seconds"] = throttled.as_secs_f64().into();
    value["refused"] = json!({ "records": refused_records, "bytes": refused_bytes });
    value["diverted"] = json!({ "records": diverted_records, "bytes": diverted_bytes });
    value
}

/// What rules have done, for `/metrics`. Labels are the rules' own, as many as there are rules.
pub fn metrics(web: &Web, metrics: &mut Vec<Metric>) {
    let traffic = web.queue.traffic();
    let quotas = traffic.quotas().into_iter().filter(|one| !one.ruled.shadowed).map(|one| {
        let Quota { name, topic, principal, .. } = one.ruled.rule;
        let any = |pattern: Option<String>| pattern.unwrap_or_else(|| "*".to_owned());
        (vec![("rule", name), ("topic", any(topic)), ("principal", any(principal))], one.count)
    });
    let routes = traffic.routes().into_iter().filter(|one| !one.ruled.shadowed).map(|one| {
        let Route { name, topic, .. } = one.ruled.rule;
        (vec![("rule", name), ("topic", topic), ("principal", "*".to_owned())], one.count)
    });
    for (labels, count) in quotas.chain(routes) {
        let throttled = u64::try_from(count.throttled.as_millis()).unwrap_or(u64::MAX);
        for (name, help, value) in [
            ("traffic_throttled_milliseconds", "How long senders and consumers were told to wait", throttled),
            ("traffic_refused_records", "Records refused by a quota", count.refused_records),
            ("traffic_refused_bytes", "Bytes of records refused by a quota", count.refused_bytes),
            ("traffic_diverted_records", "Records sent to another topic by a quota or route", count.diverted_records),
            ("traffic_diverted_bytes", "Bytes of records sent to another topic", count.diverted_bytes),
        ] {
            metrics.push(Metric::counter(name, help, labels.clone(), value));
        }
    }
}
