//! Searching: rows as an NDJSON stream, histograms, top values, fields.
//!
//! A query is parsed before anything is answered, so that what is wrong with it is a 400 that points at the character. It then
//! runs on a thread of its own and hands over pieces of about 64 KiB through a short channel ([`pieces`]): a slow reader holds its
//! own query back, and others only as long as [`STALL`] and the query's time allow; one that goes away ends it.

use std::convert::Infallible;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::base::time;
use crate::base::units::Span;
use crate::sandbox::{LookupTable, Sandbox};
use crate::store::query::{self, Cancel, OutValue, Request};
use crate::web::error::{Fields, Parameters, Refusal};
use crate::web::pieces::{self, PIECE_BYTES, Patience};
use crate::web::{Web, fresh};

/// How long a reader may take no rows: its query holds a turn that others wait for.
const STALL: Duration = Duration::from_secs(10);
/// Rows without a word about how many.
const DEFAULT_ROWS: usize = 1000;
/// Longest wait for rows.
const MOST_WAIT: Duration = Duration::from_secs(10);
/// Most bars of a histogram.
const MOST_BUCKETS: usize = 2000;

/// The parameters that all of these share.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    #[serde(default)]
    q: String,
    from: Option<String>,
    to: Option<String>,
    limit: Option<usize>,
    #[serde(default)]
    stats: bool,
    /// Answer with the plan and what came of it, instead of rows.
    #[serde(default)]
    explain: bool,
    /// How long to wait for the rows of what was acknowledged before.
    wait: Option<Span>,
    field: Option<String>,
    buckets: Option<usize>,
}

impl Asked {
    pub(super) fn request(&self, web: &Web) -> Result<Request, Refusal> {
        let mut request = request(web, &self.q, self.from.as_deref(), self.to.as_deref())?;
        request.limit = self.limit.unwrap_or(DEFAULT_ROWS).min(web.config.query_rows);
        Ok(request)
    }
}

/// A query with the box's own tables, over a span of time.
pub(super) fn request(web: &Web, q: &str, from: Option<&str>, to: Option<&str>) -> Result<Request, Refusal> {
    let parsed = query::parse_at(q, web.clock.now_ns()).map_err(|error| Refusal::wrong_at(error.message, error.position))?;
    let mut request = Request::new(parsed);
    (request.from_ns, request.to_ns) = span(web, from, to)?;
    request.tables = Some(Arc::new(BoxTables(Arc::clone(&web.sandbox))));
    Ok(request)
}

/// The span of time that is asked.
pub(super) fn span(web: &Web, from: Option<&str>, to: Option<&str>) -> Result<(Option<i64>, Option<i64>), Refusal> {
    let now = web.clock.now_ns();
    let instant = |name: &str, text: Option<&str>| match text.map(str::trim) {
        None | Some("") => Ok(None),
        Some(text) => time::parse_relative(text, now).map(Some).map_err(|why| Refusal::wrong(format!("{name}: {why}"))),
    };
    let (from, to) = (instant("from", from)?, instant("to", to)?);
    if let (Some(from), Some(to)) = (from, to)
        && from > to
    {
        return Err(Refusal::wrong("`from` is later than `to`: nothing can be between them"));
    }
    Ok((from, to))
}

/// The tables of the folder of lookups, as they are when a query begins.
#[derive(Debug)]
struct BoxTables(Arc<Sandbox>);

#[derive(Debug)]
struct BoxTable(LookupTable);

impl query::Table for BoxTable {
    fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.0.get(key)
    }
}

impl query::Tables for BoxTables {
    fn table(&self, name: &str) -> Result<Arc<dyn query::Table>, String> {
        let table = self.0.lookup_table(name).map_err(|error| error.to_string())?;
        Ok(Arc::new(BoxTable(table)))
    }
}

/// `GET /api/v1/query`; with `explain=true` the query is run and its plan is answered:
/// `{"query", "plan", "sources", "groups", "rows", "stats"}`. With `wait=2s` it first lets the rows come of what was acknowledged
/// before, at most so long, and never longer than [`MOST_WAIT`].
pub async fn query(State(web): State<Arc<Web>>, Parameters(asked): Parameters<Asked>) -> Result<Response, Refusal> {
    let request = asked.request(&web)?;
    if let Some(wait) = asked.wait {
        fresh::caught_up(&web, |_| true, wait.0.min(MOST_WAIT)).await;
    }
    if asked.explain {
        let explained = compute(web, move |web, cancel| {
            let explanation = query::explain(&web.store, &request, cancel).map_err(refuse)?;
            Ok(serde_json::to_value(explanation).unwrap_or_default())
        });
        return explained.await.map(IntoResponse::into_response);
    }
    let turn = web.turn().await?;
    let time = web.config.query_timeout.0;
    // The answer may take as long to be read as the query may to find it.
    let until = Instant::now().checked_add(time.saturating_mul(2));
    let (mut pieces, mut received) = pieces::channel::<Infallible>(Patience { piece: STALL, until });
    let cancel = Cancel::new(web.clock.clone()).within(time);
    let guard = CancelOnDrop(cancel.clone());
    here(move || {
        let _turn = turn;
        let mut piece = Vec::with_capacity(PIECE_BYTES + 4096);
        let ended = query::run(&web.store, &request, &cancel, &mut |row| {
            row.write_json(&mut piece);
            piece.push(b'\n');
            if piece.len() >= PIECE_BYTES && !pieces.send(Bytes::from(std::mem::take(&mut piece))) {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        });
        let last = match ended {
            Ok(stats) if asked.stats => {
                let mut told = json!({ "_stats": stats });
                // What it came to: less than was asked for, where the configuration allows no more.
                told["_stats"]["limit"] = request.limit.into();
                Some(told)
            }
            Ok(_) => None,
            Err(error) => Some(json!({ "error": { "message": error.to_string() } })),
        };
        if let Some(last) = last {
            piece.extend_from_slice(last.to_string().as_bytes());
            piece.push(b'\n');
        }
        pieces.send(Bytes::from(piece));
        pieces.end();
    });
    // All but the last piece are full: a short answer is one, and goes out in one write with its length.
    let body = match received.next().await {
        Some(Ok(Some(only))) if only.len() < PIECE_BYTES => Body::from(only),
        first => received.body(first, guard),
    };
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}

/// `POST /api/v1/query`: the same, for queries too long for a URL.
pub async fn query_form(state: State<Arc<Web>>, Fields(asked): Fields<Asked>) -> Result<Response, Refusal> {
    query(state, Parameters(asked)).await
}

/// Runs a query that is answered in one piece on a thread of its own.
pub(super) async fn compute(
    web: Arc<Web>,
    work: impl FnOnce(&Web, &Cancel) -> Result<Value, Refusal> + Send + 'static,
) -> Result<Json<Value>, Refusal> {
    let turn = web.turn().await?;
    let cancel = Cancel::new(web.clock.clone()).within(web.config.query_timeout.0);
    // A request that goes away drops this, which ends the query.
    let guard = CancelOnDrop(cancel.clone());
    let done = here(move || {
        let _turn = turn;
        work(&web, &cancel)
    });
    let done = done.await.map_err(|_| Refusal::failed("the query failed; the log says why"))?;
    drop(guard);
    done.map(Json)
}

/// Works on the thread that read the request, while another takes over its connections: on a busy machine a query's time is spent in
/// waiting for a core, and each thread that it passes through waits anew. The task is one of its own, so who asked may go away
/// meanwhile.
pub(super) fn here<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    tokio::spawn(async move { tokio::task::block_in_place(work) })
}

/// Ends a query when who asked is gone.
#[derive(Debug)]
pub(super) struct CancelOnDrop(pub(super) Cancel);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// A value as JSON.
pub fn plain(value: &OutValue) -> Value {
    let text = |bytes: &[u8]| Value::from(String::from_utf8_lossy(bytes));
    match value {
        OutValue::Null => Value::Null,
        OutValue::Str(bytes) => text(bytes),
        OutValue::List(items) => items.iter().map(|item| text(item)).collect(),
        OutValue::Int(int) => (*int).into(),
        // What JSON has no number for is null.
        OutValue::Float(float) => (*float).into(),
        OutValue::Bool(yes) => (*yes).into(),
        OutValue::Time(ns) => {
            let mut written = Vec::new();
            query::write_time(&mut written, *ns);
            text(&written)
        }
    }
}

pub(super) fn refuse(error: query::QueryError) -> Refusal {
    Refusal::wrong(error.to_string())
}

/// `GET /api/v1/histogram`
pub async fn histogram(State(web): State<Arc<Web>>, Parameters(asked): Parameters<Asked>) -> Result<Json<Value>, Refusal> {
    let request = asked.request(&web)?;
    let buckets = asked.buckets.unwrap_or(60).clamp(1, MOST_BUCKETS);
    compute(web, move |web, cancel| {
        let histogram = query::histogram(&web.store, &request, buckets, cancel).map_err(refuse)?;
        let bars: Vec<Value> =
            histogram.buckets.iter().map(|(start, count)| json!({ "time": time::format(*start), "count": count })).collect();
        Ok(json!({
            "from": time::format(histogram.from),
            "to": time::format(histogram.to),
            "step_ms": histogram.step / 1_000_000,
            "buckets": bars,
            "total": histogram.total,
            "stats": histogram.stats,
        }))
    })
    .await
}

/// `GET /api/v1/top`
pub async fn top(State(web): State<Arc<Web>>, Parameters(asked): Parameters<Asked>) -> Result<Json<Value>, Refusal> {
    let request = asked.request(&web)?;
    let field = asked
        .field
        .clone()
        .filter(|field| !field.is_empty())
        .ok_or_else(|| Refusal::wrong("`field` says which field's values"))?;
    let limit = asked.limit.unwrap_or(10).clamp(1, 1000);
    compute(web, move |web, cancel| {
        let top = query::top_values(&web.store, &request, &field, limit, cancel).map_err(refuse)?;
        let values: Vec<Value> =
            top.values.iter().map(|(value, count)| json!({ "value": plain(value), "count": count })).collect();
        Ok(json!({ "field": field, "total": top.total, "values": values, "stats": top.stats }))
    })
    .await
}

/// `GET /api/v1/fields`
pub async fn fields(State(web): State<Arc<Web>>, Parameters(asked): Parameters<Asked>) -> Result<Json<Value>, Refusal> {
    let request = asked.request(&web)?;
    compute(web, move |web, cancel| {
        let (fields, stats) = query::fields(&web.store, &request, cancel).map_err(refuse)?;
        Ok(json!({ "fields": fields, "stats": stats }))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_what_its_text_says() {
        let bytes = |text: &[u8]| -> Box<[u8]> { text.into() };
        for value in [
            OutValue::Null,
            OutValue::Str(bytes(b"a \"b\" \xff \x01 \xc3\xb6")),
            OutValue::List(vec![bytes(b"a"), bytes(b""), bytes(b"\xff")]),
            OutValue::Int(i64::MIN),
            OutValue::Float(1e300),
            OutValue::Float(-0.0),
            OutValue::Float(100.0),
            OutValue::Float(f64::NAN),
            OutValue::Float(f64::INFINITY),
            OutValue::Bool(true),
            OutValue::Time(1_431_857_103_005_000_001),
            OutValue::Time(-1),
        ] {
            let mut text = Vec::new();
            value.write_json(&mut text);
            assert_eq!(plain(&value), serde_json::from_slice::<Value>(&text).unwrap(), "{value:?}");
        }
    }
}
