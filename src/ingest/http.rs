//! `POST /api/v1/ingest/{topic}`: lines of text, or JSON, from anything that can speak HTTP.
//!
//! ```text
//! curl --data-binary @access.log 'http://127.0.0.1:7800/api/v1/ingest/web?field.app=shop'
//! {"accepted":10000,"rejected":0}
//! ```
//! What comes in: a body, plain, gzip or zstd, each line a record whose payload is the line. A body that says it is JSON
//! (`application/json`, `application/x-ndjson` …) must have JSON in each line, where the elements of an array become
//! records, or be one array of any size.
//! `field.NAME=VALUE` puts a header on every record; `timestamp_field=NAME` takes the record's time from its document. `key=NAME`
//! takes its key from there: records with the same value of that field go to one partition, in order. Where the record is no
//! document that has it, the header of that name is the key, and where there is none either the record has none.
//! What goes out: how many records are durable, how many were wrong, and of the first few why, with their line numbers.
//!
//! Invariants: the answer comes after the fsync. Bodies are streamed: one line or element, and what is on its way, is all that is held.
//! A full queue stops the reading for `ingest.http.patience`, then the answer is 429 and says how many were accepted.
//! Crash story: no answer, nothing promised.

use std::borrow::Cow;
use std::sync::Arc;

use axum::extract::{Path, RawQuery, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};

use super::body::{self, Reader};
use super::buffer::SMALL;
use super::config;
use super::counters::Counters;
use super::door::{Door, Flight, Gather};
use super::pieces::{Piece, Pieces};
use super::{Ingest, query, route};
use crate::base::limits::{HEADERS, RECORD_BYTES};
use crate::base::record::header as own;
use crate::queue::QueueError;

/// How many wrong lines are told apart in the answer.
const ERRORS: usize = 10;
/// When to come back if nobody knows when there is room, seconds.
const RETRY_AFTER: u64 = 5;
const RECEIVER: &[u8] = b"http";

/// What all requests share.
pub struct Http {
    /// The door.
    pub door: Arc<Door>,
    /// The receiver's counters.
    pub counters: Arc<Counters>,
    /// Limits.
    pub config: config::Http,
}

/// The routes, for the server on the box's main port.
pub fn router(ingest: &Ingest) -> Router {
    Router::new().route("/api/v1/ingest/{topic}", post(take)).with_state(ingest.http())
}

async fn take(
    State(http): State<Arc<Http>>,
    Path(topic): Path<String>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Response {
    let _open = http.counters.open();
    let outcome = match Call::new(&http, &topic, query.as_deref(), &request) {
        Ok(call) => call.run(request).await,
        Err(reason) => Err(Failed { answer: Refusal::wrong(StatusCode::BAD_REQUEST, reason), tally: Tally::default() }),
    };
    match outcome {
        Ok(tally) => {
            Counters::add(&http.counters.rejected, tally.rejected);
            Json(tally.answer()).into_response()
        }
        Err(Failed { answer: Refusal { status, reason, after }, tally }) => {
            Counters::add(&http.counters.rejected, tally.rejected);
            Counters::add(&http.counters.errors, 1);
            let mut answer = tally.answer();
            answer["error"] = json!({ "message": reason });
            match after {
                Some(after) => (status, [(header::RETRY_AFTER, after)], Json(answer)).into_response(),
                None => (status, Json(answer)).into_response(),
            }
        }
    }
}

#[derive(Default)]
struct Tally {
    accepted: u64,
    rejected: u64,
    errors: Vec<(u64, String)>,
}

impl Tally {
    fn reject(&mut self, line: u64, reason: impl Into<String>) {
        self.rejected += 1;
        if self.errors.len() < ERRORS {
            self.errors.push((line, reason.into()));
        }
    }

    fn answer(&self) -> Value {
        let mut answer = json!({ "accepted": self.accepted, "rejected": self.rejected });
        if !self.errors.is_empty() {
            answer["errors"] = self.errors.iter().map(|(line, reason)| json!({ "line": line, "reason": reason })).collect();
        }
        answer
    }
}

struct Failed {
    answer: Refusal,
    tally: Tally,
}

/// What an HTTP client is told when its records are not taken.
pub struct Refusal {
    /// The status.
    pub status: StatusCode,
    /// Why.
    pub reason: String,
    /// When to come again, seconds, if that would help.
    pub after: Option<u64>,
}

impl Refusal {
    fn wrong(status: StatusCode, reason: String) -> Self {
        Self { status, reason, after: None }
    }
}

/// One request.
struct Call {
    http: Arc<Http>,
    topic: String,
    is_json: bool,
    timestamp_field: Option<String>,
    key_field: Option<String>,
    headers: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Call {
    fn new(http: &Arc<Http>, topic: &str, query: Option<&str>, request: &Request) -> Result<Self, String> {
        if !route::may_name(topic) {
            return Err(format!(
                "`{topic}` is no topic name: letters, digits, `.`, `_` and `-`, at most 249, and no `_` at the beginning"
            ));
        }
        let mut headers = vec![(own::RECEIVER.as_bytes().to_vec(), RECEIVER.to_vec())];
        headers.extend(body::peer(request.extensions()).map(|peer| (own::PEER.as_bytes().to_vec(), peer.into_bytes())));
        let (mut timestamp_field, mut key_field) = (None, None);
        for (name, value) in query::pairs(query.unwrap_or_default()) {
            match name.strip_prefix("field.") {
                Some(field) if field.is_empty() || field.starts_with('_') => {
                    return Err(format!("`{name}`: a field needs a name, and those that begin with `_` are the box's own"));
                }
                Some(field) => headers.push((field.as_bytes().to_vec(), value.into_bytes())),
                None if name == "timestamp_field" => timestamp_field = Some(value),
                None if name == "key" && !value.is_empty() => key_field = Some(value),
                None => {
                    return Err(format!(
                        "unknown parameter `{name}`; there are `field.NAME=VALUE`, `timestamp_field=NAME` and `key=NAME`"
                    ));
                }
            }
        }
        if headers.len() > HEADERS {
            return Err(format!("more than {HEADERS} fields"));
        }
        let is_json = is_json(request.headers());
        Ok(Self { http: http.clone(), topic: topic.to_owned(), is_json, timestamp_field, key_field, headers })
    }

    async fn run(&self, request: Request) -> Result<Tally, Failed> {
        let mut tally = Tally::default();
        let (parts, body) = request.into_parts();
        let mut reader = match Reader::new(&parts.headers, body, self.http.config.max_body.0) {
            Ok(reader) => reader,
            Err(error) => return Err(Failed { answer: Refusal::wrong(error.status(), error.to_string()), tally }),
        };
        let mut gather = self.http.door.gather(&self.http.counters, Some(self.http.config.patience.0));
        let mut flight = gather.flight();
        let mut pieces = Pieces::new(self.is_json);
        let mut room = None;
        let mut more = true;
        let mut broken = None;
        while more && broken.is_none() {
            if room.is_none() && pieces.pending() > SMALL {
                match self.http.door.large().take_within(self.http.config.patience.0, RECORD_BYTES).await {
                    Ok(taken) => room = Some(taken),
                    Err(error) => {
                        broken = Some(refusal(&error));
                        break;
                    }
                }
            }
            match reader.read_into(room.as_ref(), |count| pieces.space(count)).await {
                Ok(read) => more = read,
                Err(error) => broken = Some(Refusal::wrong(error.status(), error.to_string())),
            }
            let now_ms = self.http.door.now_ms();
            let end = !more && broken.is_none();
            let mut some = false;
            while let Some((number, piece)) = pieces.next(end) {
                some = true;
                if let Err(answer) = self.piece(&mut gather, &mut tally, number, piece, now_ms) {
                    broken = Some(answer);
                    break;
                }
                if gather.is_ripe() {
                    gather.send().await;
                    // One flight is gathered while the one before lands.
                    let before = std::mem::replace(&mut flight, gather.flight());
                    if let Err(error) = land(before, &mut tally).await {
                        broken = Some(refusal(&error));
                        break;
                    }
                }
            }
            // What was large is on its way, or too long to be kept: what comes now is another one.
            if room.is_some() && (some || pieces.pending() <= SMALL) {
                pieces.rest();
                room = None;
            }
        }
        drop((pieces, room));
        // What was read before the body broke is kept and counted: the sender is told.
        gather.send().await;
        flight.join(gather.flight());
        if let Err(error) = land(flight, &mut tally).await {
            broken = broken.or(Some(refusal(&error)));
        }
        match broken {
            Some(answer) => Err(Failed { answer, tally }),
            None => Ok(tally),
        }
    }

    fn piece(&self, gather: &mut Gather, tally: &mut Tally, number: u64, piece: Piece<'_>, now_ms: i64) -> Result<(), Refusal> {
        let one = match piece {
            Piece::Whole(one) => one,
            Piece::Again => return Ok(()),
            Piece::TooLong => {
                tally.reject(number, format!("longer than {RECORD_BYTES} bytes"));
                return Ok(());
            }
            Piece::Broken(why) => {
                let reason = format!("the JSON array makes no sense at element {number}: {why}");
                return Err(Refusal::wrong(StatusCode::BAD_REQUEST, reason));
            }
        };
        if one.iter().all(u8::is_ascii_whitespace) {
            return Ok(());
        }
        if self.is_json
            && let Err(error) = serde_json::from_slice::<serde::de::IgnoredAny>(one)
        {
            tally.reject(number, format!("no JSON: {error}"));
            return Ok(());
        }
        self.push(gather, tally, number, one, now_ms).map_err(|error| refusal(&error))
    }

    fn push(&self, gather: &mut Gather, tally: &mut Tally, number: u64, payload: &[u8], now_ms: i64) -> Result<(), QueueError> {
        let said = self.timestamp_field.as_ref().and_then(|field| route::json_field(payload, field));
        let timestamp_ms = said.and_then(|time| crate::base::time::parse(&time)).map_or(now_ms, |ns| ns / 1_000_000);
        let headers: Vec<(&[u8], &[u8])> =
            self.headers.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect();
        let key = self.key_field.as_ref().and_then(|field| {
            let said = route::json_field(payload, field).map(|key| match key {
                Cow::Borrowed(key) => Cow::Borrowed(key.as_bytes()),
                Cow::Owned(key) => Cow::Owned(key.into_bytes()),
            });
            let header = || headers.iter().find(|(name, _)| *name == field.as_bytes()).map(|(_, value)| Cow::Borrowed(*value));
            said.or_else(header)
        });
        match gather.push(&self.topic, key.as_deref(), timestamp_ms, payload, &headers) {
            Ok(_) => Ok(()),
            // The topic was taken, so it is this record that will not do.
            Err(QueueError::Refused(reason)) if !gather.is_empty() => {
                tally.reject(number, reason);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

async fn land(flight: Flight, tally: &mut Tally) -> Result<(), QueueError> {
    let mut outcome = Ok(());
    for landed in flight.each().await {
        match landed.base {
            Ok(_) => tally.accepted += landed.records,
            Err(error) => outcome = Err(error),
        }
    }
    outcome
}

/// What an HTTP client is told when the queue takes nothing.
pub fn refusal(error: &QueueError) -> Refusal {
    let status = match error {
        QueueError::Full(_) | QueueError::OverQuota { .. } => StatusCode::TOO_MANY_REQUESTS,
        QueueError::Refused(_) | QueueError::Malformed(_) | QueueError::BadRecord { .. } | QueueError::Beyond { .. } => {
            StatusCode::BAD_REQUEST
        }
        QueueError::OutOfOrderSequence | QueueError::ProducerFenced => StatusCode::CONFLICT,
        QueueError::NotDurable(_)
        | QueueError::Disk(_)
        | QueueError::Deleted { .. }
        | QueueError::Gone
        | QueueError::Closed => StatusCode::SERVICE_UNAVAILABLE,
    };
    let after = match error {
        QueueError::OverQuota { after, .. } => Some(after.as_secs() + 1),
        QueueError::Full(_) => Some(RETRY_AFTER),
        _ => None,
    };
    Refusal { status, reason: error.to_string(), after }
}

fn is_json(headers: &HeaderMap) -> bool {
    let named = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media = named.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    media.ends_with("json") || media.ends_with("jsonl") || media.ends_with("json-lines")
}
