//! `_bulk`: pairs of lines, an action and a document.
//!
//! ```text
//! {"create":{"_index":"logs","_id":"7"}}
//! {"@timestamp":"2026-11-20T08:00:00Z","message":"hello"}
//! ```
//! Invariants: items are answered in the order of their actions, each for itself. An action line that cannot be read ends the
//! request with 400, as with Elasticsearch, for nobody knows which line is which from there on; what a long body held before
//! it may have been taken. A document is kept as it came, whatever it is, as long as it begins like an object.
//! Limits: `ingest.elastic.max_items`, `max_body`; a document may be as large as a record.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Deserialize;
use serde_json::Value;

use super::answer::{FilterPath, Item, Items, Outcome};
use super::{Elastic, PATIENCE, rejected, wrong};
use crate::base::limits::RECORD_BYTES;
use crate::base::record::header as own;
use crate::ingest::body::{self, BodyError, Reader};
use crate::ingest::buffer::SMALL;
use crate::ingest::counters::Counters;
use crate::ingest::door::{Flight, Gather, Landed, Seat};
use crate::ingest::http::{Refusal, refusal};
use crate::ingest::lines::{Line, Lines};
use crate::ingest::query;
use crate::ingest::route;
use crate::queue::QueueError;

const RECEIVER: &[u8] = b"elastic";
/// The record's header that keeps a document's id.
const ID: &[u8] = b"_id";
/// Longest id, as with Elasticsearch.
const ID_BYTES: usize = 512;

/// What an action line asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Append.
    Create,
    /// Append, too: nothing is ever replaced.
    Index,
    /// Not possible.
    Update,
    /// Not possible.
    Delete,
}

impl Op {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Index => "index",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }

    fn read(name: &str) -> Option<Self> {
        [Self::Create, Self::Index, Self::Update, Self::Delete].into_iter().find(|op| op.name() == name)
    }
}

/// What an action line says beside the action, and the query string of a request.
#[derive(Default, Deserialize)]
struct Meta {
    #[serde(rename = "_index")]
    index: Option<String>,
    #[serde(rename = "_id")]
    id: Option<Value>,
    // What cannot be promised here: nothing is replaced, and there are no aliases.
    if_seq_no: Option<Value>,
    if_primary_term: Option<Value>,
    version: Option<Value>,
    version_type: Option<Value>,
    require_alias: Option<Value>,
}

impl Meta {
    /// The first thing asked that cannot be promised.
    fn unkept(&self) -> Option<&'static str> {
        let all = [
            ("if_seq_no", &self.if_seq_no),
            ("if_primary_term", &self.if_primary_term),
            ("version", &self.version),
            ("version_type", &self.version_type),
            ("require_alias", &self.require_alias),
        ];
        // What is so anyway may be asked.
        let is_asked = |value: &Value| *value != false && value != "false" && value != "internal";
        all.into_iter().find(|(_, value)| value.as_ref().is_some_and(is_asked)).map(|(name, _)| name)
    }
}

/// What a query string asks that cannot be promised.
fn unkept_of(query: &str) -> Option<&'static str> {
    let pairs = query::pairs(query).into_iter();
    let asked: serde_json::Map<String, Value> = pairs.map(|(name, value)| (name, Value::String(value))).collect();
    serde_json::from_value::<Meta>(Value::Object(asked)).unwrap_or_default().unkept()
}

/// Why a write that asks for this is refused.
fn not_kept(name: &str) -> String {
    format!("`{name}` is not supported: documents are appended, none is replaced, and there are no aliases")
}

/// Why a write with this query string is refused, if it is.
pub fn refused(elastic: &Elastic, query: Option<&str>) -> Option<Response> {
    let name = unkept_of(query.unwrap_or_default())?;
    Counters::add(&elastic.counters.errors, 1);
    Some(wrong(StatusCode::BAD_REQUEST, "illegal_argument_exception", &not_kept(name)))
}

/// An action line, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// What it asks.
    pub op: Op,
    /// Of which index, if it says.
    pub index: Option<String>,
    /// With which id, if it says.
    pub id: Option<String>,
    /// What it asks that cannot be promised.
    pub unkept: Option<&'static str>,
}

/// Reads an action line.
///
/// # Errors
/// The sentence that Elasticsearch would say.
pub fn action(line: &[u8], number: u64) -> Result<Action, String> {
    let malformed = |what: &str| format!("Malformed action/metadata line [{number}], {what}");
    let map: BTreeMap<String, Meta> = serde_json::from_slice(line)
        .map_err(|error| malformed(&format!("expected an object with one action and its metadata: {error}")))?;
    let mut entries = map.into_iter();
    let (Some((name, meta)), None) = (entries.next(), entries.next()) else {
        return Err(malformed("expected exactly one action"));
    };
    let expected = || malformed(&format!("expected field [create], [delete], [index] or [update] but found [{name}]"));
    let op = Op::read(&name).ok_or_else(expected)?;
    let unkept = meta.unkept();
    let id = match meta.id {
        None | Some(Value::Null) => None,
        Some(Value::String(id)) => Some(id),
        Some(other) => Some(other.to_string()),
    };
    Ok(Action { op, index: meta.index, id, unkept })
}

/// A bulk on its way.
pub struct Bulk<'e> {
    elastic: &'e Elastic,
    gather: Gather,
    flight: Flight,
    items: Items,
    seats: Vec<Option<Seat>>,
    /// Index name to its number and its topic.
    topics: HashMap<Box<str>, (u32, Option<Arc<str>>)>,
    peer: Option<String>,
    now_ms: i64,
}

impl<'e> Bulk<'e> {
    /// An empty one.
    pub fn new(elastic: &'e Elastic, peer: Option<String>) -> Self {
        let mut gather = elastic.door.gather(&elastic.counters, Some(PATIENCE));
        let flight = gather.flight();
        let (items, seats, topics) = (Items::default(), Vec::new(), HashMap::new());
        Self { elastic, gather, flight, items, seats, topics, peer, now_ms: elastic.door.now_ms() }
    }

    /// Adds a record, or the item that says why not.
    ///
    /// # Errors
    /// If the queue is in no state to take any.
    pub fn add(&mut self, op: Op, index: &str, id: Option<&str>, document: &[u8]) -> Result<(), QueueError> {
        let (number, topic) = self.topic(index);
        let Some(topic) = topic else {
            let reason = format!(
                "invalid index name [{index}]: letters, digits, `.`, `_` and `-`, at most 249, and no `_` at the beginning"
            );
            self.refuse(op, number, id, "invalid_index_name_exception", reason);
            return Ok(());
        };
        if document.first() != Some(&b'{') {
            self.refuse(op, number, id, "document_parsing_exception", "the document must be a JSON object".into());
            return Ok(());
        }
        if id.is_some_and(|id| id.len() > ID_BYTES) {
            self.refuse(op, number, None, "illegal_argument_exception", format!("an id of more than {ID_BYTES} bytes"));
            return Ok(());
        }
        let mut headers: Vec<(&[u8], &[u8])> = Vec::with_capacity(3);
        headers.push((own::RECEIVER.as_bytes(), RECEIVER));
        headers.extend(self.peer.as_ref().map(|peer| (own::PEER.as_bytes(), peer.as_bytes())));
        headers.extend(id.map(|id| (ID, id.as_bytes())));
        let key = self.elastic.config.key_field.as_ref().and_then(|field| route::json_field(document, field));
        match self.gather.push(&topic, key.as_deref().map(str::as_bytes), self.now_ms, document, &headers) {
            Ok(seat) => {
                // Until it has landed it is not known to be anything.
                let outcome = Outcome::Wrong(503, "unavailable_shards_exception", "not durable".into());
                self.items.items.push(Item { op, index: number, id: id.unwrap_or_default().into(), outcome });
                self.seats.push(Some(seat));
                Ok(())
            }
            Err(QueueError::Refused(reason)) => {
                self.refuse(op, number, id, "illegal_argument_exception", reason);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn refuse(&mut self, op: Op, index: u32, id: Option<&str>, kind: &'static str, reason: String) {
        let outcome = Outcome::Wrong(400, kind, reason.into());
        self.items.items.push(Item { op, index, id: id.unwrap_or_default().into(), outcome });
        self.seats.push(None);
    }

    fn topic(&mut self, index: &str) -> (u32, Option<Arc<str>>) {
        if let Some(known) = self.topics.get(index) {
            return known.clone();
        }
        let number = u32::try_from(self.items.indices.len()).unwrap_or(u32::MAX);
        self.items.indices.push(index.into());
        let topic = self.elastic.config.topic.as_deref().or_else(|| route::index_topic(index)).map(Arc::from);
        self.topics.insert(index.into(), (number, topic.clone()));
        (number, topic)
    }

    /// Sends off what is ripe, so that a long body does not pile up.
    pub async fn relieve(&mut self) {
        if self.gather.is_ripe() {
            self.gather.send().await;
            self.flight.join(self.gather.flight());
        }
    }

    /// Waits until every record is durable or known not to be.
    pub async fn land(mut self) -> Items {
        self.gather.send().await;
        self.flight.join(self.gather.flight());
        let landed: HashMap<u32, Landed> = self.flight.each().await.into_iter().map(|landed| (landed.batch, landed)).collect();
        for (item, seat) in self.items.items.iter_mut().zip(&self.seats) {
            let Some((seat, landed)) = seat.and_then(|seat| Some((seat, landed.get(&seat.batch)?))) else { continue };
            match &landed.base {
                Ok(base) => {
                    let offset = base + u64::from(seat.n);
                    if item.id.is_empty() {
                        item.id = format!("{}-{}-{offset}-0", landed.topic, landed.partition).into();
                    }
                    item.outcome = Outcome::Created(offset);
                }
                Err(error) => {
                    let Refusal { status, reason, after } = refusal(error);
                    self.items.after = self.items.after.max(after);
                    item.outcome = Outcome::Wrong(status.as_u16(), "es_rejected_execution_exception", reason.into());
                }
            }
        }
        self.items
    }
}

enum Broken {
    Action(String),
    Body(BodyError),
    Queue(QueueError),
}

/// Takes a whole bulk and answers it.
pub async fn take(elastic: &Arc<Elastic>, index: Option<String>, query: Option<&str>, request: Request) -> Response {
    let _open = elastic.counters.open();
    if let Some(refused) = refused(elastic, query) {
        return refused;
    }
    let began = elastic.door.clock().monotonic();
    let mut bulk = Bulk::new(elastic, body::peer(request.extensions()));
    if let Err(broken) = read(&mut bulk, index.as_deref(), request).await {
        Counters::add(&elastic.counters.errors, 1);
        return match broken {
            Broken::Action(reason) => wrong(StatusCode::BAD_REQUEST, "illegal_argument_exception", &reason),
            Broken::Body(error) => wrong(error.status(), "parse_exception", &error.to_string()),
            Broken::Queue(error) => rejected(refusal(&error)),
        };
    }
    let items = bulk.land().await;
    Counters::add(&elastic.counters.rejected, items.rejected());
    if items.items.is_empty() {
        return wrong(
            StatusCode::BAD_REQUEST,
            "action_request_validation_exception",
            "Validation Failed: 1: no requests added;",
        );
    }
    let status = items.status();
    if status != StatusCode::OK {
        let reason = items.items.iter().find_map(|item| match &item.outcome {
            Outcome::Wrong(own, _, reason) if *own == status.as_u16() => Some(reason),
            _ => None,
        });
        let reason = reason.map_or("the queue takes nothing now", |reason| reason).to_owned();
        return rejected(Refusal { status, reason, after: items.after });
    }
    let took = elastic.door.clock().monotonic().saturating_sub(began).as_millis();
    let mut response = Response::new(Body::from(items.write(took, &FilterPath::of(query))));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

async fn read(bulk: &mut Bulk<'_>, default: Option<&str>, request: Request) -> Result<(), Broken> {
    let (parts, body) = request.into_parts();
    let config = &bulk.elastic.config;
    let (most, door) = (config.max_items as usize, bulk.elastic.door.clone());
    let mut reader = Reader::new(&parts.headers, body, config.max_body.0).map_err(Broken::Body)?;
    let mut lines = Lines::new(RECORD_BYTES);
    let mut room = None;
    // Shippers write the same action line over and over: it is read once.
    let mut known: (Vec<u8>, Option<Action>) = (Vec::new(), None);
    let mut asked = false;
    let mut more = true;
    while more {
        if room.is_none() && lines.pending().len() > SMALL {
            room = Some(door.large().take_within(PATIENCE, RECORD_BYTES).await.map_err(Broken::Queue)?);
        }
        more = reader.read_into(room.as_ref(), |count| lines.space(count)).await.map_err(Broken::Body)?;
        let before = lines.number();
        loop {
            let number = lines.number() + 1;
            let Some(line) = lines.next(!more) else { break };
            if asked {
                asked = false;
                let (op, index, id) = parts_of(known.1.as_ref(), default, number)?;
                match (op, line) {
                    _ if let Some(name) = known.1.as_ref().and_then(|action| action.unkept) => {
                        let at = bulk.topic(index).0;
                        bulk.refuse(op, at, id, "illegal_argument_exception", not_kept(name));
                    }
                    (Op::Update, _) => {
                        let at = bulk.topic(index).0;
                        bulk.refuse(op, at, id, "illegal_argument_exception", "documents are never changed: no update".into());
                    }
                    (_, Line::TooLong) => {
                        let at = bulk.topic(index).0;
                        let reason = format!("a document of more than {RECORD_BYTES} bytes");
                        bulk.refuse(op, at, id, "illegal_argument_exception", reason);
                    }
                    (_, Line::Whole(document)) => bulk.add(op, index, id, document).map_err(Broken::Queue)?,
                }
                bulk.relieve().await;
                continue;
            }
            let Line::Whole(line) = line else {
                return Err(Broken::Action(format!(
                    "Malformed action/metadata line [{number}], longer than {RECORD_BYTES} bytes"
                )));
            };
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            if bulk.items.items.len() >= most {
                return Err(Broken::Action(format!("more than {most} items: send smaller bulks")));
            }
            if known.1.is_none() || known.0 != line {
                known = (line.to_vec(), Some(action(line, number).map_err(Broken::Action)?));
            }
            let (op, index, id) = parts_of(known.1.as_ref(), default, number)?;
            if op == Op::Delete {
                let at = bulk.topic(index).0;
                bulk.refuse(op, at, id, "illegal_argument_exception", "documents are never changed: no delete".into());
            } else {
                asked = true;
            }
        }
        // What was large is on its way, or too long to be kept: what comes now is another one.
        if room.is_some() && (lines.number() > before || lines.pending().len() <= SMALL) {
            lines.rest();
            room = None;
        }
    }
    if asked {
        return Err(Broken::Action(format!("Malformed action/metadata line [{}], no document follows it", lines.number())));
    }
    Ok(())
}

fn parts_of<'a>(
    action: Option<&'a Action>,
    default: Option<&'a str>,
    number: u64,
) -> Result<(Op, &'a str, Option<&'a str>), Broken> {
    let missing = || Broken::Action(format!("Validation Failed: {number}: index is missing;"));
    let action = action.ok_or_else(missing)?;
    let index = action.index.as_deref().or(default).ok_or_else(missing)?;
    Ok((action.op, index, action.id.as_deref()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn action_lines() {
        let read = |op, index: Option<&str>, id: Option<&str>| {
            Ok(Action { op, index: index.map(Into::into), id: id.map(Into::into), unkept: None })
        };
        for (line, wanted) in [
            (r#"{"create":{}}"#, read(Op::Create, None, None)),
            (r#"{"index":{"_index":"a","_id":"7","routing":"x"}}"#, read(Op::Index, Some("a"), Some("7"))),
            (r#"{ "index" : { "_index" : "a", "_id" : 7 } }"#, read(Op::Index, Some("a"), Some("7"))),
            (r#"{"delete":{"_id":null}}"#, read(Op::Delete, None, None)),
            (r#"{"update":{"_id":"1"}}"#, read(Op::Update, None, Some("1"))),
        ] {
            assert_eq!(action(line.as_bytes(), 1), wanted, "{line}");
        }
        for line in [
            "",
            "{}",
            "[]",
            "\"create\"",
            r#"{"create":[]}"#,
            r#"{"create":5}"#,
            r#"{"upsert":{}}"#,
            r#"{"create":{},"index":{}}"#,
            r#"{"create":{}"#,
        ] {
            let reason = action(line.as_bytes(), 3).unwrap_err();
            assert!(reason.starts_with("Malformed action/metadata line [3], "), "{line}: {reason}");
        }
    }

    #[test]
    fn what_cannot_be_promised_is_named() {
        for (meta, url, name) in [
            (r#""if_seq_no":3,"if_primary_term":1"#, "if_seq_no=3&if_primary_term=1", Some("if_seq_no")),
            (r#""if_primary_term":1"#, "refresh=true&if_primary_term=1", Some("if_primary_term")),
            (r#""version":7"#, "version=7", Some("version")),
            (r#""version_type":"external""#, "version_type=external", Some("version_type")),
            (r#""require_alias":true"#, "require_alias", Some("require_alias")),
            (r#""require_alias":false,"if_seq_no":null"#, "require_alias=false", None),
            (r#""version_type":"internal""#, "version_type=internal", None),
            (r#""routing":"a","pipeline":"b""#, "routing=a&pipeline=b&timeout=1m&refresh", None),
        ] {
            assert_eq!(action(format!(r#"{{"index":{{{meta}}}}}"#).as_bytes(), 1).unwrap().unkept, name, "{meta}");
            assert_eq!(unkept_of(url), name, "{url}");
        }
    }

    proptest! {
        #[test]
        fn noise_is_refused(line in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = action(&line, 1);
        }
    }
}
