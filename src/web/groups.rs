//! Consumer groups over the API: which there are, how far each is behind, setting one elsewhere, deleting it.
//!
//! The lanes (`_lane`) and outputs (`_out.…`) are listed among them and cannot be changed here. A reset is a plan first; only
//! `"apply": true` carries it out, and only while the group has no members. Lag takes reads of the queue, so all of it runs on
//! threads that may wait, and looks into a bounded number of partitions at a time.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::base::ids::{Offset, PartitionId};
use crate::base::time;
use crate::queue::coordinator::{CommitError, GroupError, GroupView, MemberView, State as GroupState, assigned_partitions};
use crate::queue::groups::{LANES, OUTPUT, is_own};
use crate::queue::lag::{Move, PartitionLag, To};
use crate::queue::{Queue, QueueError};
use crate::web::control::blocking;
use crate::web::error::Refusal;
use crate::web::{Metric, Web};

/// Partitions that are looked into for one answer; the others' seconds are not known.
const LOOKS: usize = 5000;
/// Series of lag in `/metrics`: a client that makes up groups must not fill a monitoring system.
const SERIES: usize = 1000;
/// Members that a sentence names.
const NAMED: usize = 3;

/// `GET /api/v1/groups`
pub async fn groups(State(web): State<Arc<Web>>) -> Result<Json<Value>, Refusal> {
    blocking(move || {
        let mut looks = LOOKS;
        let now_ns = web.clock.now_ns();
        let views = web.queue.groups_seen();
        let all: Vec<Value> = views.iter().map(|view| summary(view, &lag(&web, &view.group, &mut looks), now_ns)).collect();
        Ok(json!({ "groups": all }))
    })
    .await
}

/// How far a group is behind. What a lane has handled can be searched, though it is committed only when it is in a part.
fn lag(web: &Web, group: &str, looks: &mut usize) -> Vec<PartitionLag> {
    if group != LANES {
        return web.queue.group_lag(group, looks, |_, _| None);
    }
    let lanes = web.relay.lanes().into_iter();
    let handled: HashMap<(Arc<str>, PartitionId), Offset> =
        lanes.map(|lane| ((lane.topic, lane.partition), lane.next)).collect();
    web.queue.group_lag(group, looks, |topic, number| handled.get(&(topic.name().clone(), number)).copied())
}

fn kind(group: &str) -> &'static str {
    match group {
        LANES => "lanes",
        _ if group.starts_with(OUTPUT) => "output",
        _ => "consumers",
    }
}

fn seconds(oldest_ns: Option<i64>, now_ns: i64) -> Option<f64> {
    #[allow(clippy::cast_precision_loss)]
    oldest_ns.map(|oldest| (now_ns.saturating_sub(oldest).max(0) / 1_000_000) as f64 / 1000.0)
}

/// Seconds of all: the longest. None if something waits that nobody looked at.
fn longest<'l>(lags: impl Iterator<Item = &'l PartitionLag>, now_ns: i64) -> Option<f64> {
    let mut longest = 0.0_f64;
    for lag in lags.filter(|lag| lag.backlog.records > 0) {
        longest = longest.max(seconds(lag.backlog.oldest_ns, now_ns)?);
    }
    Some(longest)
}

fn summary(view: &GroupView, lags: &[PartitionLag], now_ns: i64) -> Value {
    let mut topics: Vec<&str> = lags.iter().map(|lag| &**lag.topic.name()).collect();
    topics.dedup();
    json!({
        "group": view.group,
        "kind": kind(&view.group),
        "state": view.state.name(),
        "protocol_type": view.protocol_type,
        "protocol": view.protocol,
        "generation": view.generation,
        "members": view.size,
        "topics": topics,
        "partitions": lags.len(),
        "lag_records": lags.iter().map(|lag| lag.backlog.records).sum::<u64>(),
        "lag_bytes": lags.iter().map(|lag| lag.backlog.bytes).sum::<u64>(),
        "lag_seconds": longest(lags.iter(), now_ns),
    })
}

/// `GET /api/v1/groups/{group}`
pub async fn group(State(web): State<Arc<Web>>, Path(group): Path<String>) -> Result<Json<Value>, Refusal> {
    blocking(move || {
        let view = seen(&web.queue, &group)?;
        let now_ns = web.clock.now_ns();
        let lags = lag(&web, &group, &mut LOOKS.clone());
        let assigned: Vec<_> = view.members.iter().map(|member| (member, assigned_partitions(&member.assignment))).collect();
        let owner = |lag: &PartitionLag| {
            let own = |(name, numbers): &(String, Vec<u32>)| **name == **lag.topic.name() && numbers.contains(&lag.partition);
            assigned.iter().find(|(_, assigned)| assigned.iter().any(own)).map(|(member, _)| member.member.clone())
        };
        let offset = |lag: &PartitionLag| {
            json!({
                "topic": lag.topic.name(),
                "partition": lag.partition,
                "committed": lag.committed.as_ref().map(|committed| committed.offset),
                "metadata": lag.committed.as_ref().map(|committed| committed.metadata.clone()),
                "log_start": lag.start,
                "end": lag.end,
                "lag_records": lag.backlog.records,
                "lag_bytes": lag.backlog.bytes,
                "lag_seconds": if lag.backlog.records == 0 { Some(0.0) } else { seconds(lag.backlog.oldest_ns, now_ns) },
                "owner": owner(lag),
            })
        };
        let member = |(member, assigned): &(&MemberView, Vec<(String, Vec<u32>)>)| {
            let partitions: Vec<Value> =
                assigned.iter().map(|(topic, numbers)| json!({ "topic": topic, "partitions": numbers })).collect();
            json!({
                "member": member.member,
                "instance": member.instance,
                "client_id": member.client_id,
                "host": member.host,
                "assigned": partitions,
            })
        };
        let mut answer = summary(&view, &lags, now_ns);
        answer["offsets"] = lags.iter().map(offset).collect();
        answer["member_list"] = assigned.iter().map(member).collect();
        Ok(answer)
    })
    .await
}

fn seen(queue: &Queue, group: &str) -> Result<GroupView, Refusal> {
    let view = queue.group_seen(group);
    if view.state == GroupState::Dead {
        return Err(Refusal::missing(format!("there is no group `{group}`")));
    }
    Ok(view)
}

/// Who reads, in a sentence; nothing if nobody does.
fn live(queue: &Queue, group: &str) -> Option<String> {
    if is_own(group) {
        return Some(format!("`{group}` is the box's own and never rests; it can be looked at, not changed"));
    }
    if !queue.coordinator().is_live(group) {
        return None;
    }
    let members = queue.group_seen(group).members;
    let mut named: Vec<String> = members
        .iter()
        .take(NAMED)
        .map(|member| match &member.instance {
            Some(instance) => format!("{instance} at {}", member.host.trim_start_matches('/')),
            None => format!("{} at {}", member.client_id, member.host.trim_start_matches('/')),
        })
        .collect();
    if members.len() > NAMED {
        named.push(format!("{} more", members.len() - NAMED));
    }
    let who = if named.is_empty() { "a consumer is joining it".to_owned() } else { named.join(", ") };
    Some(format!(
        "group `{group}` is live: {who}. Stop its consumers first (a crashed one is missed after its session timeout)"
    ))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reset {
    topic: Option<String>,
    partitions: Option<Vec<u32>>,
    to: Value,
    #[serde(default)]
    apply: bool,
}

const RESET: &str = "the body is {\"to\": \"earliest\" | \"latest\" | {\"offset\": 5} | {\"time\": \"-1h\"} | {\"shift\": -100}, \
                     perhaps with \"topic\", \"partitions\" and \"apply\": true";

fn target(to: &Value, now_ns: i64) -> Result<To, Refusal> {
    let wrong = || Refusal::wrong(RESET);
    if let Some(word) = to.as_str() {
        return match word {
            "earliest" => Ok(To::Earliest),
            "latest" => Ok(To::Latest),
            _ => Err(wrong()),
        };
    }
    let (name, value) =
        to.as_object().filter(|fields| fields.len() == 1).and_then(|fields| fields.iter().next()).ok_or_else(wrong)?;
    match name.as_str() {
        "offset" => value.as_u64().map(To::Offset).ok_or_else(wrong),
        "shift" => value.as_i64().map(To::Shift).ok_or_else(wrong),
        "time" => {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let ns = time::parse_relative(&text, now_ns).map_err(Refusal::wrong)?;
            Ok(To::Time(ns.div_euclid(1_000_000)))
        }
        _ => Err(wrong()),
    }
}

/// `POST /api/v1/groups/{group}/reset`
pub async fn reset(State(web): State<Arc<Web>>, Path(group): Path<String>, body: Bytes) -> Result<Json<Value>, Refusal> {
    let reset: Reset = serde_json::from_slice(&body).map_err(|error| Refusal::wrong(format!("{RESET}: {error}")))?;
    let to = target(&reset.to, web.clock.now_ns())?;
    blocking(move || {
        let moves = web.queue.plan_reset(&group, reset.topic.as_deref(), reset.partitions.as_deref(), to).map_err(refusal)?;
        let live = live(&web.queue, &group);
        if reset.apply {
            if let Some(why) = &live {
                return Err(Refusal::conflict(why.clone()));
            }
            web.queue.apply_reset(&group, &moves).map_err(|error| match error {
                CommitError::Group(error) => no(&error, &web.queue, &group),
                CommitError::Queue(error) => refusal(error),
            })?;
        }
        let step =
            |step: &Move| json!({ "topic": step.topic.name(), "partition": step.partition, "from": step.from, "to": step.to });
        let steps: Vec<Value> = moves.iter().map(step).collect();
        Ok(json!({ "group": group, "applied": reset.apply, "live": live, "offsets": steps }))
    })
    .await
}

/// `DELETE /api/v1/groups/{group}`
pub async fn delete(State(web): State<Arc<Web>>, Path(group): Path<String>) -> Result<Json<Value>, Refusal> {
    blocking(move || {
        let done = web.queue.coordinator().delete(&group).map_err(|error| no(&error, &web.queue, &group))?;
        done.blocking_recv().unwrap_or(Err(QueueError::Closed)).map_err(refusal)?;
        Ok(json!({ "deleted": group }))
    })
    .await
}

fn no(error: &GroupError, queue: &Queue, group: &str) -> Refusal {
    match error {
        GroupError::NotFound => Refusal::missing(format!("there is no group `{group}`")),
        GroupError::NotEmpty | GroupError::ReadOnly => {
            Refusal::conflict(live(queue, group).unwrap_or_else(|| format!("group `{group}` was live a moment ago; try again")))
        }
        other => Refusal::wrong(other.to_string()),
    }
}

fn refusal(error: QueueError) -> Refusal {
    match error {
        QueueError::Refused(why) => Refusal::wrong(why),
        QueueError::Full(_) | QueueError::Closed => Refusal::busy(error.to_string()),
        other => Refusal::failed(other.to_string()),
    }
}

/// Lag by group and topic, and what groups do. Reads the queue: not for a network thread.
pub fn metrics(web: &Web) -> Vec<Metric> {
    let stats = web.queue.coordinator().stats();
    let size = |number: usize| number as u64;
    let mut metrics = vec![
        Metric::gauge("groups_live", "Consumer groups with members", vec![], size(stats.live)),
        Metric::gauge("groups_members", "Members of all consumer groups", vec![], size(stats.members)),
        Metric::gauge("groups_bytes", "Bytes kept of what members said and were assigned", vec![], size(stats.bytes)),
        Metric::counter("groups_rebalances", "Rounds of joining begun", vec![], stats.rebalances),
        Metric::counter("groups_commits", "Times that offsets were committed", vec![], web.queue.groups().commits()),
    ];
    let (mut looks, now_ns) = (SERIES, web.clock.now_ns());
    let (mut series, mut hidden) = (0, 0);
    for view in web.queue.groups_seen() {
        if series >= SERIES {
            hidden += 1;
            continue;
        }
        let lags = lag(web, &view.group, &mut looks);
        for topic in lags.chunk_by(|a, b| a.topic.id() == b.topic.id()) {
            let Some(name) = topic.first().map(|lag| lag.topic.name().to_string()) else { continue };
            let labels = || vec![("group", view.group.to_string()), ("topic", name.clone())];
            let sum = |of: fn(&PartitionLag) -> u64| topic.iter().map(of).sum();
            let records = sum(|lag| lag.backlog.records);
            let bytes = sum(|lag| lag.backlog.bytes);
            metrics.push(Metric::gauge(
                "group_lag_records",
                "Durable records that the group has not committed",
                labels(),
                records,
            ));
            metrics.push(Metric::gauge("group_lag_bytes", "Bytes of these, about", labels(), bytes));
            if let Some(longest) = longest(topic.iter(), now_ns) {
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // not negative, and far from u64's end
                let whole = longest as u64;
                metrics.push(Metric::gauge("group_lag_seconds", "Since when the oldest of these waits", labels(), whole));
            }
            series += 1;
        }
    }
    metrics.push(Metric::gauge("groups_not_shown", "Groups whose lag is left out here, for their number", vec![], hidden));
    metrics
}
