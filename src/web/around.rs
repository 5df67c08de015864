//! What a page asks beside answers: what could be typed next, and the rows around a row.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::base::predicate::Predicate;
use crate::store::query::{self, Around, OutRow, Query, Request};
use crate::web::Web;
use crate::web::error::{Parameters, Refusal};
use crate::web::rows::{compute, plain, refuse, span};

/// Proposals without a word about how many.
const PROPOSALS: usize = 10;
/// Rows on either side without a word about how many.
const BESIDE: usize = 10;
/// Most rows on either side.
const MOST_BESIDE: usize = 1000;

/// Parameters of `GET /api/v1/complete`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Typed {
    #[serde(default)]
    q: String,
    at: Option<usize>,
    from: Option<String>,
    to: Option<String>,
    limit: Option<usize>,
}

/// `GET /api/v1/complete?q=…&at=BYTE`: what could stand at a byte of a query (without `at`, its end), best first.
///
/// `{"kind", "field", "start", "end", "items": [{"text", "insert", "count", "about"}], "partial"}`; `insert` takes the place of the
/// bytes from `start` to `end`.
pub async fn complete(State(web): State<Arc<Web>>, Parameters(typed): Parameters<Typed>) -> Result<Json<Value>, Refusal> {
    let mut request = Request::new(Query::new(Predicate::All));
    (request.from_ns, request.to_ns) = span(&web, typed.from.as_deref(), typed.to.as_deref())?;
    request.limit = typed.limit.unwrap_or(PROPOSALS).clamp(1, 1000);
    compute(web, move |web, cancel| {
        let at = typed.at.unwrap_or(typed.q.len());
        let found = query::complete(&web.store, &request, &typed.q, at, cancel).map_err(refuse)?;
        Ok(serde_json::to_value(found).unwrap_or_default())
    })
    .await
}

/// Parameters of `GET /api/v1/context`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    topic: String,
    #[serde(default)]
    partition: u32,
    offset: u64,
    #[serde(default)]
    n: u16,
    before: Option<usize>,
    after: Option<usize>,
    /// Fields, with commas between them.
    #[serde(default)]
    same: String,
}

/// `GET /api/v1/context?topic=&partition=&offset=&n=&before=&after=&same=host,app`: the rows before and after one in its partition,
/// in the order in which they arrived: `{"before": […], "row": …, "after": […], "stats"}`; `row` is null where it is gone.
pub async fn context(State(web): State<Arc<Web>>, Parameters(asked): Parameters<Asked>) -> Result<Json<Value>, Refusal> {
    let beside = |rows: Option<usize>| rows.unwrap_or(BESIDE).min(MOST_BESIDE);
    let around = Around {
        before: beside(asked.before),
        after: beside(asked.after),
        same: asked.same.split(',').map(str::trim).filter(|field| !field.is_empty()).map(str::to_owned).collect(),
        topic: asked.topic,
        partition: asked.partition,
        offset: asked.offset,
        n: asked.n,
    };
    compute(web, move |web, cancel| {
        let request = Request::new(Query::new(Predicate::All));
        let found = query::context(&web.store, &request, &around, cancel).map_err(refuse)?;
        let shown =
            |row: &OutRow| -> Value { row.fields.iter().map(|(name, value)| (name.to_string(), plain(value))).collect() };
        Ok(json!({
            "before": found.before.iter().map(shown).collect::<Vec<_>>(),
            "row": found.row.as_ref().map(shown),
            "after": found.after.iter().map(shown).collect::<Vec<_>>(),
            "stats": found.stats,
        }))
    })
    .await
}
