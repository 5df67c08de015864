//! Replays and deletions of rows by people's hands.
//!
//! ```text
//! POST /api/v1/topics/{topic}/replay        {"from": "-2h", "to": "-1h"} | {"last": 10000} | {"offsets": [{"partition", "first", "end"}]}
//!                                           and perhaps "partitions", "chain" or "generation", "throttle", "dry_run"
//! GET  /api/v1/replays, /api/v1/replays/{id}           POST /api/v1/replays/{id}/pause|resume|cancel
//! POST /api/v1/topics/{topic}/delete-rows   {"offsets": [{"partition", "offset"}, {"partition", "first", "end"}]} | {"query": "user:alice"}
//! ```
//! A replay takes the records that the queue has, and past its retention those that rows kept (`keep_payload`): `plan.past` of a
//! `dry_run` says which, what stays as it is, and why. That is answered by 429 with `Retry-After` while as many are made as may
//! (`relay.at_once.explains`).
//! A query's rows are deleted whichever topic of that name they are of: `of_before` counts those of deleted ones.
//! A replay is durable when it is answered and goes on by itself; its rows take the old ones' place all at once when it is done.

use std::ops::ControlFlow;
use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::body::Bytes as Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::base::ids::{Generation, Offset, PartitionId, TopicId};
use crate::base::time;
use crate::base::units::Bytes;
use crate::relay::{NamedRows, Range, ReplayChain, ReplayRequest, ReplayState, ReplayStatus, Which};
use crate::sandbox::ChainSpec;
use crate::store::query::{self, Cancel, OutValue, Pipe, Request, virtual_field};
use crate::web::control::blocking;
use crate::web::error::Refusal;
use crate::web::life::refusal;
use crate::web::{Metric, Web};

/// Rows that a query may delete at once; more are deleted by more queries.
const MOST_ROWS: usize = 500_000;

/// The routes of this file.
pub fn routes() -> Router<Arc<Web>> {
    Router::new()
        .route("/api/v1/topics/{topic}/replay", post(start))
        .route("/api/v1/topics/{topic}/delete-rows", post(delete_rows))
        .route("/api/v1/replays", get(all))
        .route("/api/v1/replays/{id}", get(one))
        .route("/api/v1/replays/{id}/{action}", post(act))
}

/// What a replay is asked for with. Without `from`, `to`, `last` and `offsets` it is everything that the queue retains or rows kept.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// Records that arrived then or later: RFC 3339, an epoch, or relative to now (`-2h`).
    from: Option<String>,
    /// Records that arrived before.
    to: Option<String>,
    /// About the last so many records.
    last: Option<u64>,
    offsets: Option<Vec<Stretch>>,
    partitions: Option<Vec<PartitionId>>,
    /// Another chain than the topic has.
    chain: Option<ChainSpec>,
    /// Or that of an older generation.
    generation: Option<Generation>,
    /// Most bytes of records a second, like `10MiB`.
    throttle: Option<Bytes>,
    /// Only say what would be done.
    #[serde(default)]
    dry_run: bool,
}

/// One offset, or `[first, end)`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stretch {
    partition: PartitionId,
    offset: Option<Offset>,
    first: Option<Offset>,
    end: Option<Offset>,
}

impl Stretch {
    fn range(&self) -> Result<Range, Refusal> {
        let partition = self.partition;
        match (self.offset, self.first, self.end) {
            (Some(offset), None, None) => Ok(Range { partition, first: offset, end: offset.saturating_add(1) }),
            (None, Some(first), Some(end)) if first < end => Ok(Range { partition, first, end }),
            (None, Some(_), Some(_)) => {
                Err(Refusal::wrong("offsets: `end` is the offset after the last, so it is greater than `first`"))
            }
            _ => Err(Refusal::wrong("offsets: each is {\"partition\", \"offset\"} or {\"partition\", \"first\", \"end\"}")),
        }
    }
}

pub(super) fn ranges(stretches: &[Stretch]) -> Result<Vec<Range>, Refusal> {
    stretches.iter().map(Stretch::range).collect()
}

impl Asked {
    fn request(self, now_ns: i64) -> Result<ReplayRequest, Refusal> {
        let instant = |name: &str, text: Option<String>| match text {
            None => Ok(None),
            Some(text) => time::parse_relative(&text, now_ns).map(Some).map_err(|why| Refusal::wrong(format!("{name}: {why}"))),
        };
        let (from, to) = (instant("from", self.from)?, instant("to", self.to)?);
        if let (Some(from), Some(to)) = (from, to)
            && from >= to
        {
            return Err(Refusal::wrong("`from` is not before `to`: nothing can be between them"));
        }
        let which = match (from.is_some() || to.is_some(), self.last, self.offsets) {
            (false, None, None) => Which::All,
            (true, None, None) => Which::Arrived(from, to),
            (false, Some(count), None) => Which::Last(count),
            (false, None, Some(offsets)) => Which::Offsets(ranges(&offsets)?),
            _ => return Err(Refusal::wrong("say which records in one way: `from` and `to`, or `last`, or `offsets`")),
        };
        let chain = match (self.chain, self.generation) {
            (None, None) => ReplayChain::Newest,
            (Some(spec), None) => ReplayChain::Given(spec),
            (None, Some(generation)) => ReplayChain::Generation(generation),
            (Some(_), Some(_)) => return Err(Refusal::wrong("`chain` or `generation`, not both")),
        };
        let throttle = self.throttle.map(|throttle| throttle.0);
        if throttle == Some(0) {
            return Err(Refusal::wrong("throttle: 0 bytes a second is never; pause it instead"));
        }
        Ok(ReplayRequest { which, partitions: self.partitions, chain, throttle })
    }
}

/// `POST /api/v1/topics/{topic}/replay`
async fn start(
    State(web): State<Arc<Web>>,
    Path(topic): Path<String>,
    body: Body,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let body: &[u8] = if body.trim_ascii().is_empty() { b"{}" } else { &body };
    let asked: Asked = serde_json::from_slice(body).map_err(|error| {
        Refusal::wrong(format!(
            "the body is a JSON object of `from` and `to`, or `last`, or `offsets`, and perhaps `partitions`, `chain` or `generation`, `throttle`, `dry_run`: {error}"
        ))
    })?;
    let dry_run = asked.dry_run;
    let request = asked.request(web.clock.now_ns())?;
    let answer = blocking(move || {
        if dry_run {
            let plan = web.relay.plan_replay(&topic, &request).map_err(|error| refusal(&error))?;
            return Ok(json!({ "topic": topic, "plan": plan }));
        }
        Ok(shown(&web.relay.replay(&topic, &request).map_err(|error| refusal(&error))?))
    })
    .await?;
    Ok((if dry_run { StatusCode::OK } else { StatusCode::ACCEPTED }, answer))
}

/// `GET /api/v1/replays`
async fn all(State(web): State<Arc<Web>>) -> Result<Json<Value>, Refusal> {
    blocking(move || {
        let replays: Vec<Value> = web.relay.replays().iter().map(shown).collect();
        Ok(json!({ "replays": replays }))
    })
    .await
}

fn number(id: &str) -> Result<u64, Refusal> {
    id.parse().map_err(|_| Refusal::missing(format!("a replay is named by its number, not `{id}`; /api/v1/replays lists them")))
}

/// `GET /api/v1/replays/{id}`
async fn one(State(web): State<Arc<Web>>, Path(id): Path<String>) -> Result<Json<Value>, Refusal> {
    let id = number(&id)?;
    blocking(move || Ok(shown(&web.relay.replay_status(id).map_err(|error| refusal(&error))?))).await
}

/// `POST /api/v1/replays/{id}/pause`, `resume`, `cancel`
async fn act(State(web): State<Arc<Web>>, Path((id, action)): Path<(String, String)>) -> Result<Json<Value>, Refusal> {
    let id = number(&id)?;
    let state = match action.as_str() {
        "pause" => ReplayState::Paused,
        "resume" => ReplayState::Running,
        "cancel" => ReplayState::Cancelled,
        _ => return Err(Refusal::missing(format!("a replay can be told to pause, resume or cancel, not to `{action}`"))),
    };
    blocking(move || Ok(shown(&web.relay.set_replay(id, state).map_err(|error| refusal(&error))?))).await
}

/// With times as people write them.
fn shown(status: &ReplayStatus) -> Value {
    let mut value = json!(status);
    if let Some(fields) = value.as_object_mut() {
        fields.remove("began_ns");
        fields.remove("ended_ns");
        fields.insert("began".into(), time::format(status.began_ns).into());
        fields.insert("ended".into(), status.ended_ns.map(time::format).into());
    }
    value
}

/// Which rows are to be deleted.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Delete {
    offsets: Option<Vec<Stretch>>,
    /// Of the rows that this keeps, the whole records.
    query: Option<String>,
    from: Option<String>,
    to: Option<String>,
    /// Only say how many it would be.
    #[serde(default)]
    dry_run: bool,
}

/// `POST /api/v1/topics/{topic}/delete-rows`: for good, whatever is replayed later.
async fn delete_rows(State(web): State<Arc<Web>>, Path(topic): Path<String>, body: Body) -> Result<Json<Value>, Refusal> {
    let asked: Delete = serde_json::from_slice(&body).map_err(|error| {
        Refusal::wrong(format!(
            "the body is {{\"offsets\": [{{\"partition\", \"offset\"}}, …]}} or {{\"query\": \"user:alice\"}}, perhaps with \"from\" and \"to\": {error}"
        ))
    })?;
    blocking(move || {
        let missing = || Refusal::missing(format!("there is no topic `{topic}`"));
        let live = web.queue.topic(&topic).map(|live| live.id());
        let rows = match (&asked.offsets, &asked.query) {
            (Some(offsets), None) => NamedRows::from([(live.ok_or_else(missing)?, ranges(offsets)?)]),
            (None, Some(text)) => {
                let mut topics = web.store.topics_named(&topic);
                topics.extend(live.filter(|live| !topics.contains(live)));
                if topics.is_empty() {
                    return Err(missing());
                }
                found(&web, &topics, text, &asked)?
            }
            _ => return Err(Refusal::wrong("say which rows in one way: `offsets` or `query`")),
        };
        if asked.dry_run || rows.values().all(Vec::is_empty) {
            let all = web.relay.to_delete(&topic, &rows).map_err(|error| refusal(&error))?;
            let count = |(id, ranges): (&TopicId, &Vec<Range>)| (*id, ranges.iter().map(Range::len).sum::<u64>());
            let offsets: u64 = all.iter().map(count).map(|(_, count)| count).sum();
            let of_before: u64 = all.iter().map(count).filter(|(id, _)| live != Some(*id)).map(|(_, count)| count).sum();
            return Ok(json!({ "topic": topic, "offsets": offsets, "of_before": of_before, "deleted": false }));
        }
        let deleted = web.relay.delete_named(&topic, &rows).map_err(|error| refusal(&error))?;
        let until = |ns: Option<i64>| ns.map(time::format);
        Ok(json!({
            "topic": topic,
            "deleted": true,
            "offsets": deleted.offsets,
            "of_before": deleted.of_before,
            "queue_keeps_until": until(deleted.queue_until_ns),
            "has_dead_letters": deleted.has_dead_letters,
            "dead_letters_keep_until": until(deleted.dead_letters_until_ns),
            "note": deleted.note,
        }))
    })
    .await
}

/// The records whose rows a query keeps, of each of these topics.
fn found(web: &Web, topics: &[TopicId], text: &str, asked: &Delete) -> Result<NamedRows, Refusal> {
    let now_ns = web.clock.now_ns();
    let parsed = query::parse_at(text, now_ns).map_err(|error| Refusal::wrong_at(error.message, error.position))?;
    if !parsed.pipes.is_empty() {
        return Err(Refusal::wrong("the query says which rows, and has no pipes"));
    }
    let instant = |name: &str, text: &Option<String>| match text {
        None => Ok(None),
        Some(text) => time::parse_relative(text, now_ns).map(Some).map_err(|why| Refusal::wrong(format!("{name}: {why}"))),
    };
    let fields = [virtual_field::PARTITION, virtual_field::OFFSET].map(str::to_owned).to_vec();
    let mut request = Request::new(parsed.pipe(Pipe::Fields(fields)));
    request.from_ns = instant("from", &asked.from)?;
    request.to_ns = instant("to", &asked.to)?;
    let cancel = Cancel::new(web.clock.clone()).within(web.config.query_timeout.0);
    let mut rows = NamedRows::new();
    let mut left = MOST_ROWS;
    for topic in topics {
        // A row names its topic, but one of that name may have been deleted, whose offsets were others.
        request.topic_id = Some(*topic);
        request.limit = left + 1;
        let mut ranges = Vec::new();
        let stats = query::run(&web.store, &request, &cancel, &mut |row| {
            let number = |name: &str| {
                let value = row.fields.iter().find(|(own, _)| **own == *name);
                value.and_then(|(_, value)| if let OutValue::Int(number) = value { u64::try_from(*number).ok() } else { None })
            };
            if let (Some(partition), Some(first)) = (number(virtual_field::PARTITION), number(virtual_field::OFFSET))
                && let Ok(partition) = PartitionId::try_from(partition)
            {
                ranges.push(Range { partition, first, end: first.saturating_add(1) });
            }
            ControlFlow::Continue(())
        });
        let stats = stats.map_err(|error| Refusal::failed(error.to_string()))?;
        left = left
            .checked_sub(ranges.len())
            .ok_or_else(|| Refusal::wrong(format!("more than {MOST_ROWS} rows at once; ask for less with `from` and `to`")))?;
        if stats.partial {
            let why = stats.note.unwrap_or("not all rows could be read");
            return Err(Refusal::failed(format!("{why}; nothing was deleted. Ask for less with `from` and `to`")));
        }
        if !ranges.is_empty() {
            rows.insert(*topic, ranges);
        }
    }
    Ok(rows)
}

/// What monitoring asks of replays.
pub fn metrics(web: &Web) -> Vec<Metric> {
    let mut metrics = Vec::new();
    for status in web.relay.replays().into_iter().filter(|status| status.state.is_open()) {
        let labels = || vec![("topic", status.topic.clone()), ("replay", status.id.to_string())];
        let is_running = u64::from(status.state == ReplayState::Running);
        metrics.push(Metric::gauge("replay_running", "1 while the replay runs, 0 while it is paused", labels(), is_running));
        metrics.push(Metric::gauge("replay_offsets", "Offsets that the replay makes anew", labels(), status.offsets));
        metrics.push(Metric::gauge("replay_offsets_done", "Of these so many are done", labels(), status.offsets_done));
    }
    metrics
}
