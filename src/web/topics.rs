//! Topics by people's hands: one of them in full, making, setting, growing, deleting, trimming.
//!
//! Invariants: what is answered with success is durable. The box's own topics (`_…`) are not made or set here; those that nobody
//! needs any more (dead letters that were looked at, an output that was taken out of the configuration) can be deleted.
//! All of it waits for the disk, and growth for lanes, so it runs on threads that may.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::base::ids::Offset;
use crate::base::limits::is_topic_name;
use crate::base::units::Span;
use crate::queue::settings::Key;
use crate::queue::{Partition, QueueError, Topic, TopicSettings};
use crate::web::control::blocking;
use crate::web::error::Refusal;
use crate::web::{Metric, Web, status};

/// `GET /api/v1/topics/{topic}`
pub async fn topic(State(web): State<Arc<Web>>, Path(name): Path<String>) -> Result<Json<Value>, Refusal> {
    shown(&web, &name).await.map(Json)
}

async fn shown(web: &Arc<Web>, name: &str) -> Result<Value, Refusal> {
    let topic = known(web, name)?;
    let Json(mut all) = status::topics(State(web.clone())).await;
    let found = all["topics"].as_array_mut().and_then(|all| all.iter_mut().find(|one| one["name"] == *name));
    let mut one = found.map(Value::take).ok_or_else(|| missing(name))?;
    let settings = topic.settings();
    let (config, defaults) = (web.queue.config(), TopicSettings::of(web.queue.config()));
    let shown: Map<String, Value> =
        Key::ALL.into_iter().map(|key| (key.name().to_owned(), settings.in_force(key, config).into())).collect();
    let own = Key::ALL.into_iter().filter(|key| settings.get(*key) != defaults.get(*key)).map(Key::name);
    one["settings"] = shown.into();
    one["set"] = own.collect();
    one["shadowed"] = topic.shadowed().into_iter().map(Key::name).collect();
    Ok(one)
}

/// `POST /api/v1/topics/{topic}`: makes it. The body may hold `partitions` and settings.
pub async fn create(
    State(web): State<Arc<Web>>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    may_change(&name)?;
    if !is_topic_name(&name) {
        return Err(Refusal::wrong("a topic's name is 1 to 249 letters, digits, `.`, `_` and `-`"));
    }
    let changes = Changes::read(&body)?;
    let (own, made) = (web.clone(), name.clone());
    blocking(move || {
        let mut settings = TopicSettings::of(own.queue.config());
        changes.apply(&mut settings, own.queue.config()).map_err(|error| refusal(&error, &made))?;
        if own.queue.topic(&made).is_some() {
            return Err(Refusal::conflict(format!("there is a topic `{made}` already; PATCH changes it")));
        }
        own.queue.create_topic(&made, settings).map_err(|error| refusal(&error, &made))?;
        Ok(Value::Null)
    })
    .await
    .map(drop)?;
    Ok((StatusCode::CREATED, Json(shown(&web, &name).await?)))
}

/// `PATCH /api/v1/topics/{topic}`: changes settings, and grows it. What is not in the body stays; `null` is the default again.
pub async fn change(State(web): State<Arc<Web>>, Path(name): Path<String>, body: Bytes) -> Result<Json<Value>, Refusal> {
    may_change(&name)?;
    known(&web, &name)?;
    let changes = Changes::read(&body)?;
    let (own, changed) = (web.clone(), name.clone());
    blocking(move || {
        let applied = own.queue.change_topic(&changed, |settings| changes.apply(settings, own.queue.config()));
        applied.map_err(|error| refusal(&error, &changed))?;
        Ok(Value::Null)
    })
    .await
    .map(drop)?;
    shown(&web, &name).await.map(Json)
}

/// `DELETE /api/v1/topics/{topic}`
pub async fn delete(State(web): State<Arc<Web>>, Path(name): Path<String>) -> Result<Json<Value>, Refusal> {
    let topic = known(&web, &name)?;
    if let Some(output) = name.strip_prefix("_out.") {
        if web.relay.outputs().iter().any(|known| known.name == output) {
            let why =
                format!("`{name}` belongs to the output `{output}`; take that out of the configuration and start again first");
            return Err(Refusal::conflict(why));
        }
    } else if name.starts_with('_') && !name.starts_with("_dead.") && !name.starts_with("_lost.") {
        return Err(Refusal::wrong(format!("`{name}` is the box's own and cannot be deleted")));
    }
    blocking(move || {
        web.queue.delete(&topic).map_err(|error| refusal(&error, &name))?;
        let mut answer = json!({ "deleted": name, "id": topic.id() });
        if web.relay.is_configured(&name) {
            answer["note"] = "the configuration names this topic: the next start makes it again, empty".into();
        }
        Ok(answer)
    })
    .await
}

/// Sums over the partitions of each topic.
pub fn metrics(web: &Web) -> Vec<Metric> {
    let mut metrics = Vec::new();
    for topic in web.queue.topics() {
        let labels = || vec![("topic", topic.name().to_string())];
        let partitions = topic.partitions();
        let sum = |of: fn(&Partition) -> u64| partitions.iter().map(|partition| of(partition)).sum::<u64>();
        let retained = sum(|partition| partition.high_watermark().saturating_sub(partition.log_start()));
        let bytes = sum(Partition::size_bytes);
        metrics.push(Metric::gauge("topic_partitions", "Partitions of the topic", labels(), partitions.len() as u64));
        metrics.push(Metric::gauge("topic_records", "Records the queue retains", labels(), retained));
        metrics.push(Metric::gauge("topic_bytes", "Bytes the queue retains, over all partitions", labels(), bytes));
    }
    metrics
}

fn known(web: &Web, name: &str) -> Result<Arc<Topic>, Refusal> {
    web.queue.topic(name).ok_or_else(|| missing(name))
}

fn missing(name: &str) -> Refusal {
    Refusal::missing(format!("there is no topic `{name}`"))
}

fn may_change(name: &str) -> Result<(), Refusal> {
    if name.starts_with('_') {
        return Err(Refusal::wrong(format!("`{name}`: topics that begin with `_` are the box's own")));
    }
    Ok(())
}

fn refusal(error: &QueueError, name: &str) -> Refusal {
    match error {
        QueueError::Refused(why) => Refusal::wrong(why.clone()),
        QueueError::Gone => missing(name),
        QueueError::Full(_) | QueueError::Closed => Refusal::busy(error.to_string()),
        _ => Refusal::failed(error.to_string()),
    }
}

/// What a body says: the number of partitions, and settings by name.
struct Changes {
    partitions: Option<u32>,
    settings: Vec<(String, Option<String>)>,
}

impl Changes {
    fn read(body: &[u8]) -> Result<Self, Refusal> {
        let wrong = |why: String| Refusal::wrong(format!("the body is a JSON object of settings: {why}"));
        let mut object: Map<String, Value> = match body.trim_ascii() {
            [] => Map::new(),
            body => serde_json::from_slice(body).map_err(|error| wrong(error.to_string()))?,
        };
        let partitions = match object.remove("partitions") {
            None => None,
            Some(count) => {
                let count = count.as_u64().and_then(|count| u32::try_from(count).ok());
                Some(count.ok_or_else(|| wrong("`partitions` is a whole number".into()))?)
            }
        };
        let text = |(name, value)| match value {
            Value::Null => Ok((name, None)),
            Value::String(text) => Ok((name, Some(text))),
            Value::Bool(_) | Value::Number(_) => Ok((name, Some(value.to_string()))),
            _ => Err(wrong(format!("`{name}` is a text, a number, true, false or null"))),
        };
        Ok(Self { partitions, settings: object.into_iter().map(text).collect::<Result<_, _>>()? })
    }

    fn apply(&self, settings: &mut TopicSettings, config: &crate::queue::Config) -> Result<(), QueueError> {
        let defaults = TopicSettings::of(config);
        for (name, value) in &self.settings {
            settings.set(name, value.as_deref(), &defaults)?;
        }
        if let Some(partitions) = self.partitions {
            settings.partitions = partitions;
        }
        Ok(())
    }
}

/// Up to where records are to go.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trim {
    /// Only this partition's.
    partition: Option<u32>,
    /// Those below this offset, or `"latest"`: all that there are.
    before: Option<Value>,
    /// Those that came longer ago than this.
    older_than: Option<Span>,
}

/// `POST /api/v1/topics/{topic}/trim`: deletes records from the queue, durably. Rows in the store stay.
pub async fn trim(State(web): State<Arc<Web>>, Path(name): Path<String>, body: Bytes) -> Result<Json<Value>, Refusal> {
    may_change(&name)?;
    let topic = known(&web, &name)?;
    let trim: Trim = serde_json::from_slice(&body).map_err(|error| {
        Refusal::wrong(format!(
            "the body is {{\"before\": offset or \"latest\"}} or {{\"older_than\": \"2h\"}}, perhaps with \"partition\": {error}"
        ))
    })?;
    let now_ns = web.clock.now_ns();
    blocking(move || {
        let mut done = Vec::new();
        let partitions = topic.partitions();
        let wanted: Vec<_> = partitions.iter().filter(|one| trim.partition.is_none_or(|number| one.id() == number)).collect();
        if wanted.is_empty() {
            return Err(Refusal::wrong(format!("`{name}` has {} partitions, counted from 0", partitions.len())));
        }
        for partition in wanted {
            let (was, before) = (partition.log_start(), trim.target(partition, now_ns)?);
            let start =
                partition.delete_records(before.min(partition.high_watermark())).map_err(|error| refusal(&error, &name))?;
            done.push(json!({ "partition": partition.id(), "log_start": start, "deleted": start.saturating_sub(was) }));
        }
        Ok(json!({ "topic": name, "partitions": done }))
    })
    .await
}

impl Trim {
    fn target(&self, partition: &Partition, now_ns: i64) -> Result<Offset, Refusal> {
        match (&self.before, self.older_than) {
            (Some(Value::Number(offset)), None) if offset.is_u64() => Ok(offset.as_u64().unwrap_or(0)),
            (Some(Value::String(word)), None) if word == "latest" => Ok(partition.high_watermark()),
            (None, Some(age)) => Ok(partition.offset_at(now_ns.saturating_sub(age.as_ns()))),
            _ => {
                Err(Refusal::wrong("say either \"before\" (an offset, or \"latest\") or \"older_than\" (a span, like \"2h\")"))
            }
        }
    }
}
