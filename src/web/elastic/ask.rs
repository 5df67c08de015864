//! What is asked: its topics, its parameters, its body; and how it is worked on, or refused.
//!
//! Work is done on a thread of its own, a bounded number at a time; a client that goes away ends it. What is missing from an answer
//! is gathered from all its queries and said in `timed_out` and `_shards`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use axum::Json;
use axum::extract::Query as Parameters;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value, json};

use super::dsl::read::{each, maybe_text};
use super::indices::Pattern;
use super::{dsl, lucene};
use crate::base::predicate::Predicate;
use crate::base::units::Span;
use crate::store::query::{self, Cancel, Go, OutRow, Query, Request};
use crate::web::Web;
use crate::web::error::Refusal;
use crate::web::rows::{CancelOnDrop, here};

/// Parameters of the URL.
pub type Params = BTreeMap<String, String>;

/// Most names and patterns that an index is named by; a scroll names each of its topics.
const PATTERNS: usize = 10_000;

/// How handlers take them.
pub type AskedParams = Parameters<Params>;

/// URL parameters that change nothing here and may be sent.
const HARMLESS: [&str; 16] = [
    // No wildcard that finds nothing: see `topics_for`.
    "allow_no_indices",
    "allow_partial_search_results",
    "error_trace",
    "expand_wildcards",
    "filter_path",
    "human",
    "ignore_throttled",
    "ignore_unavailable",
    "include_type_name",
    "local",
    "master_timeout",
    "max_concurrent_shard_requests",
    "preference",
    "pretty",
    "request_cache",
    "routing",
];

/// A refusal: status, the dialect's type of it, and a sentence.
#[derive(Debug)]
pub struct No(pub StatusCode, pub &'static str, pub String);

impl From<String> for No {
    fn from(why: String) -> Self {
        Self(StatusCode::BAD_REQUEST, "parsing_exception", why)
    }
}

impl No {
    /// Something that is not there.
    pub fn missing(kind: &'static str, why: String) -> Self {
        Self(StatusCode::NOT_FOUND, kind, why)
    }

    /// The failure of a thread.
    pub fn failed() -> Self {
        Self(StatusCode::INTERNAL_SERVER_ERROR, "exception", "the query failed; the log says why".to_owned())
    }

    /// As the dialect writes it.
    pub fn to_json(&self) -> Value {
        let Self(status, kind, why) = self;
        let cause = json!({ "type": kind, "reason": why });
        json!({ "error": { "root_cause": [cause], "type": kind, "reason": why }, "status": status.as_u16() })
    }
}

impl IntoResponse for No {
    fn into_response(self) -> Response {
        (self.0, Json(self.to_json())).into_response()
    }
}

/// Refuses URL parameters that would otherwise be ignored.
pub fn only_params(params: &Params, known: &[&str]) -> Result<(), String> {
    match params.keys().find(|name| !HARMLESS.contains(&name.as_str()) && !known.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) => Err(format!("the parameter `{name}` is not supported")),
    }
}

/// A parameter that says yes or no; by itself it says yes.
pub fn param_flag(params: &Params, name: &str) -> bool {
    params.get(name).is_some_and(|value| value != "false")
}

/// An object, or nothing.
pub fn body_of(body: &[u8]) -> Result<Map<String, Value>, String> {
    match body.trim_ascii() {
        b"" => Ok(Map::new()),
        body => match serde_json::from_slice(body) {
            Ok(Value::Object(mut members)) => {
                if members.get("sort").is_some_and(several_keys) {
                    let Sorted { sort: Keys(keys) } =
                        serde_json::from_slice(body).map_err(|error| format!("`sort`: {error}"))?;
                    members.insert("sort".to_owned(), keys.into());
                }
                Ok(members)
            }
            Ok(_) => Err("the body is an object".to_owned()),
            Err(error) => Err(format!("the body is no JSON: {error}")),
        },
    }
}

/// Whether the order of an object's members counts.
fn several_keys(sort: &Value) -> bool {
    each(sort).iter().any(|one| one.as_object().is_some_and(|one| one.len() > 1))
}

/// A body's `sort`, an object for each key. Grafana sends one object of two keys, of which the first counts first; an object
/// that is read as a `Value` does not keep which it was.
#[derive(Deserialize)]
struct Sorted {
    sort: Keys,
}

struct Keys(Vec<Value>);

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Keys;

            fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
                to.write_str("names, or objects of names")
            }

            fn visit_str<E>(self, name: &str) -> Result<Keys, E> {
                Ok(Keys(vec![name.into()]))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Keys, A::Error> {
                let mut keys = Vec::new();
                while let Some((name, how)) = members.next_entry::<String, Value>()? {
                    keys.push(json!({ name: how }));
                }
                Ok(Keys(keys))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Keys, A::Error> {
                let mut keys = Vec::new();
                while let Some(Keys(one)) = list.next_element()? {
                    keys.extend(one);
                }
                Ok(Keys(keys))
            }
        }
        from.deserialize_any(Each)
    }
}

/// What the box refuses on all its ports, as the dialect says it.
pub fn refused(Refusal { status, message, after, .. }: Refusal) -> Response {
    let kind = match status {
        StatusCode::FORBIDDEN => "security_exception",
        StatusCode::TOO_MANY_REQUESTS => "es_rejected_execution_exception",
        _ => "exception",
    };
    let mut response = No(status, kind, message).into_response();
    if let Some(seconds) = after {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// Works where nobody else waits for the thread.
pub async fn in_thread(web: Arc<Web>, work: impl FnOnce(&Web, Cancel) -> Result<Response, No> + Send + 'static) -> Response {
    let turn = match web.turn().await {
        Ok(turn) => turn,
        Err(refusal) => return refused(refusal),
    };
    let cancel = Cancel::new(web.clock.clone()).within(web.config.query_timeout.0);
    // A client that goes away drops this, which ends the queries.
    let guard = CancelOnDrop(cancel.clone());
    let done = here(move || {
        let _turn = turn;
        work(&web, cancel)
    })
    .await;
    drop(guard);
    done.unwrap_or_else(|_| Err(No::failed())).unwrap_or_else(IntoResponse::into_response)
}

/// The topics that an index pattern means; `lenient` where none is no error.
pub fn topics_of(web: &Web, index: &str, lenient: bool) -> Result<Vec<String>, No> {
    let mut names: Vec<String> = web.queue.topics().iter().map(|topic| topic.name().to_string()).collect();
    names.sort_unstable();
    let patterns = index.split(',').map(str::trim).filter(|pattern| !pattern.is_empty());
    if patterns.clone().nth(PATTERNS).is_some() {
        return Err(format!("at most {PATTERNS} names and patterns of indices in a request").into());
    }
    let (mut wanted, mut excluded) = (vec![false; names.len()], vec![false; names.len()]);
    for pattern in patterns {
        let (into, pattern) = match pattern.strip_prefix('-') {
            Some(pattern) if wanted.contains(&true) => (&mut excluded, pattern),
            _ => (&mut wanted, pattern),
        };
        let like = Pattern::new(pattern);
        let mut is_there = false;
        for (flag, _) in into.iter_mut().zip(&names).filter(|(_, name)| like.matches(name)) {
            (*flag, is_there) = (true, true);
        }
        if !is_there && !pattern.contains('*') && pattern != "_all" && !lenient {
            return Err(No::missing("index_not_found_exception", format!("no such index [{pattern}]")));
        }
    }
    let mut meant = wanted.into_iter().zip(excluded).map(|(wanted, excluded)| wanted && !excluded);
    names.retain(|_| meant.next().unwrap_or(false));
    Ok(names)
}

/// The topics that an index pattern means, as the parameters say what becomes of one that means none.
pub fn topics_for(web: &Web, index: &str, params: &Params) -> Result<Vec<String>, No> {
    if params.get("expand_wildcards").is_some_and(|how| how.split(',').any(|how| how == "none")) {
        return Err("`expand_wildcards` none is not supported".to_owned().into());
    }
    let topics = topics_of(web, index, param_flag(params, "ignore_unavailable"))?;
    if topics.is_empty() && params.get("allow_no_indices").is_some_and(|allow| allow == "false") {
        return Err(No::missing("index_not_found_exception", format!("no such index [{index}]")));
    }
    Ok(topics)
}

/// What was asked, ready to be worked on.
pub struct Asked {
    /// Of which topics.
    pub topics: Vec<String>,
    /// Of the URL.
    pub params: Params,
    /// The request.
    pub body: Map<String, Value>,
    /// What `now` means.
    pub now_ns: i64,
    /// When to stop.
    pub cancel: Cancel,
    missing: RefCell<Missing>,
}

/// What the answers so far lack.
#[derive(Clone, Copy, Debug, Default)]
struct Missing {
    late: bool,
    note: Option<&'static str>,
}

impl Asked {
    /// Of these topics.
    pub fn new(web: &Web, topics: Vec<String>, params: Params, body: Map<String, Value>, cancel: Cancel) -> Self {
        Self { topics, params, body, now_ns: web.clock.now_ns(), cancel, missing: RefCell::default() }
    }

    /// Ends sooner, if the request says so.
    pub fn within_its_time(&mut self, web: &Web) -> Result<(), String> {
        let written = maybe_text(&self.body, "timeout")?.or(self.params.get("timeout").map(String::as_str));
        if let Some(written) = written.filter(|written| *written != "-1") {
            let span: Span = written.parse().map_err(|why| format!("timeout: {why}"))?;
            self.cancel = self.cancel.clone().within(span.0.min(web.config.query_timeout.0));
        }
        Ok(())
    }

    /// Which rows: `q` of the URL, or else `query` of the body.
    pub fn predicate(&self) -> Result<Predicate, String> {
        if let Some(text) = self.params.get("q").filter(|text| !text.trim().is_empty()) {
            let mut defaults = lucene::Defaults::new(self.now_ns);
            defaults.all = lucene::operator(self.params.get("default_operator").map(String::as_str))?;
            if let Some(field) = self.params.get("df") {
                defaults.fields = vec![field.clone()];
            }
            return lucene::query(text, &mut defaults).map_err(|why| format!("q: {why}"));
        }
        match self.body.get("query").filter(|query| !query.is_null()) {
            Some(query) => dsl::predicate(query, self.now_ns),
            None => Ok(Predicate::All),
        }
    }

    /// A whole number of the URL, or else of the body.
    pub fn number(&self, name: &str) -> Result<Option<usize>, String> {
        let own = dsl::read::count(&self.body, name)?;
        match self.params.get(name) {
            Some(text) => text.parse().map(Some).map_err(|_| format!("`{name}` is a whole number")),
            None => Ok(own),
        }
    }

    /// A request to the engine.
    pub fn request(&self, query: Query) -> Request {
        let mut request = Request::new(query);
        request.topics = Some(self.topics.clone());
        request
    }

    /// Notes what an answer lacks.
    pub fn note(&self, stats: &query::Stats) {
        let mut missing = self.missing.borrow_mut();
        if let Some(note) = stats.note.filter(|_| stats.partial) {
            if note.starts_with("the time for") {
                missing.late = true;
            } else {
                missing.note = Some(note);
            }
        }
    }

    /// Runs a query.
    pub fn run(&self, web: &Web, query: Query, limit: usize, newest_first: bool) -> Result<Vec<OutRow>, String> {
        let mut request = self.request(query);
        request.limit = limit;
        request.newest_first = newest_first;
        self.run_request(web, &request)
    }

    /// Runs a request.
    pub fn run_request(&self, web: &Web, request: &Request) -> Result<Vec<OutRow>, String> {
        let mut rows = Vec::new();
        let stats = query::run(&web.store, request, &self.cancel, &mut |row| {
            rows.push(row);
            ControlFlow::Continue(())
        });
        self.note(&stats.map_err(|error| error.to_string())?);
        Ok(rows)
    }

    /// Whether to go on with work that is no query; if not, what is left of it is missing from the answer.
    pub fn goes_on(&self) -> bool {
        let go = self.cancel.go();
        self.missing.borrow_mut().late |= go == Go::Late;
        go == Go::On
    }

    /// Whether time was up.
    pub fn is_late(&self) -> bool {
        self.missing.borrow().late
    }

    /// One shard, which failed if something else is missing.
    pub fn shards(&self) -> Value {
        match self.missing.borrow().note {
            None => shards(),
            Some(note) => json!({
                "total": 1, "successful": 0, "skipped": 0, "failed": 1,
                "failures": [{ "shard": 0, "reason": { "type": "partial_answer", "reason": note } }],
            }),
        }
    }
}

/// One shard, which is well.
pub fn shards() -> Value {
    json!({ "total": 1, "successful": 1, "skipped": 0, "failed": 0 })
}
