//! How the box is: health, topics with their lanes, outputs, and the box itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::base::ids::PartitionId;
use crate::web::Web;

/// `GET /health/live`: the process answers.
pub async fn live() -> &'static str {
    "alive\n"
}

/// `GET /health/ready`: everything is open and bound, and shutdown has not begun.
pub async fn ready(State(web): State<Arc<Web>>) -> (StatusCode, &'static str) {
    if web.is_ready() { (StatusCode::OK, "ready\n") } else { (StatusCode::SERVICE_UNAVAILABLE, "not ready\n") }
}

/// `GET /api/v1/status`
pub async fn status(State(web): State<Arc<Web>>) -> Json<Value> {
    let listeners: Vec<Value> = web
        .listeners
        .read()
        .iter()
        .map(|listener| json!({ "name": listener.name, "address": listener.address, "url": listener.url() }))
        .collect();
    let space = web.disk.space().ok();
    let room = web.store.room();
    Json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_seconds": (web.clock.now_ns() - web.started_ns).max(0) / 1_000_000_000,
        "data_dir": std::path::absolute(&web.data_dir).unwrap_or_else(|_| web.data_dir.clone()),
        "listeners": listeners,
        "memory_bytes": memory_bytes(),
        "disk": { "available": space.map(|space| space.available), "total": space.map(|space| space.total) },
        // Past the limit the oldest day goes.
        "store": { "bytes": room.bytes, "limit": room.limit },
    }))
}

/// Anonymous resident memory of this process: what the box itself holds, without mapped files.
#[allow(clippy::disallowed_methods)] // the kernel's word about us, not a file of the box
pub fn memory_bytes() -> Option<u64> {
    let status = String::from_utf8(std::fs::read("/proc/self/status").ok()?).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    line.trim().trim_end_matches("kB").trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

/// `GET /api/v1/topics`
pub async fn topics(State(web): State<Arc<Web>>) -> Json<Value> {
    let stats: BTreeMap<_, _> = web.store.stats().into_iter().map(|stats| (stats.topic, stats)).collect();
    let mut lanes: BTreeMap<(String, PartitionId), _> =
        web.relay.lanes().into_iter().map(|lane| ((lane.topic.to_string(), lane.partition), lane)).collect();
    let chains: BTreeMap<_, _> = web.relay.chains().into_iter().map(|chain| (chain.topic.to_string(), chain)).collect();
    let mut topics = Vec::new();
    for topic in web.queue.topics() {
        let name = topic.name().to_string();
        let (mut records, mut stored, mut dropped, mut failed, mut queue_bytes) = (0, 0, 0, 0, 0);
        let mut partitions = Vec::new();
        for partition in topic.partitions() {
            queue_bytes += partition.size_bytes();
            let mut one = json!({
                "partition": partition.id(),
                "log_start": partition.log_start(),
                "high_watermark": partition.high_watermark(),
                "bytes": partition.size_bytes(),
                // Until its lane begins, everything waits.
                "lag_records": if name.starts_with("_out.") || !topic.settings().store { 0 } else { partition.high_watermark() - partition.log_start() },
            });
            if let Some(lane) = lanes.remove(&(name.clone(), partition.id())) {
                records += lane.records;
                stored += lane.stored;
                dropped += lane.dropped;
                failed += lane.failed;
                one["next"] = lane.next.into();
                one["committed"] = lane.committed.into();
                one["lag_records"] = lane.lag_records.into();
                one["generation"] = lane.generation.into();
                one["state"] = lane.state.into();
                one["last_error"] = lane.last_error.into();
            }
            partitions.push(one);
        }
        let stats = stats.get(&topic.id());
        let chain = chains.get(&name);
        topics.push(json!({
            "name": name,
            "id": topic.id(),
            "internal": name.starts_with('_'),
            "partitions": partitions,
            "rows": stats.map_or(0, |stats| stats.rows),
            "parts": stats.map_or(0, |stats| stats.parts),
            "store_bytes": stats.map_or(0, |stats| stats.disk_bytes),
            "memtable_bytes": stats.map_or(0, |stats| stats.memtable_bytes),
            "queue_bytes": queue_bytes,
            "generation": chain.map_or(0, |chain| chain.generation),
            "codec": chain.and_then(|chain| chain.codec.as_ref()).map(|codec| codec.codec),
            "chain": chain.map(|chain| &chain.chain),
            "counters": { "records": records, "stored": stored, "dropped": dropped, "failed": failed },
        }));
    }
    topics.sort_by_key(|topic| topic["name"].as_str().unwrap_or_default().to_owned());
    Json(json!({ "topics": topics }))
}

/// `GET /api/v1/outputs`
pub async fn outputs(State(web): State<Arc<Web>>) -> Json<Value> {
    Json(json!({ "outputs": web.relay.outputs() }))
}
