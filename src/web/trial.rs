//! Trials: what a chain would make of records that are there.
//!
//! A trial is a job in memory: begun by a POST, looked at by GETs (its report fills while it runs), ended by a DELETE.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::base::ids::{Offset, PartitionId};
use crate::base::units::Span;
use crate::relay::trial::{SAMPLE, TrialRequest};
use crate::relay::{Range, Which, Wish};
use crate::sandbox::ChainSpec;
use crate::web::Web;
use crate::web::control::blocking;
use crate::web::error::Refusal;
use crate::web::life::{dated, read, refusal};
use crate::web::metrics::Metric;

/// Records without a word about which.
const RECORDS: u64 = 100_000;

/// Which records.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Last {
    records: Option<u64>,
    seconds: Option<u64>,
    span: Option<Span>,
}

/// Offsets of a partition.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Offsets {
    partition: PartitionId,
    from: Offset,
    to: Offset,
}

/// What is to be tried, and on what.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    chain: Option<ChainSpec>,
    filter: Option<String>,
    version: Option<u32>,
    when: Option<String>,
    config: Option<Map<String, Value>>,
    last: Option<Last>,
    offsets: Option<Vec<Offsets>>,
    sample: Option<usize>,
}

impl Asked {
    fn request(self, now_ns: i64) -> Result<TrialRequest, Refusal> {
        let arrived = |ns: i64| Which::Arrived(Some(now_ns.saturating_sub(ns)), None);
        let which = match (self.last, self.offsets) {
            (None, None) => Which::Last(RECORDS),
            (None, Some(offsets)) => {
                let range = |one: Offsets| Range { partition: one.partition, first: one.from, end: one.to };
                Which::Offsets(offsets.into_iter().map(range).collect())
            }
            (Some(Last { records: Some(records), seconds: None, span: None }), None) => Which::Last(records),
            (Some(Last { records: None, seconds: Some(seconds), span: None }), None) => {
                arrived(i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000_000_000))
            }
            (Some(Last { records: None, seconds: None, span: Some(span) }), None) => arrived(span.as_ns()),
            _ => {
                let why = "say one of `\"last\": {\"records\": n}`, `{\"seconds\": n}`, `{\"span\": \"1h\"}`, or `offsets`";
                return Err(Refusal::wrong(why));
            }
        };
        let wish = Wish { chain: self.chain, filter: self.filter, version: self.version, when: self.when, config: self.config };
        Ok(TrialRequest { wish, which, sample: self.sample.unwrap_or(SAMPLE) })
    }
}

/// `POST /api/v1/topics/{topic}/trial`: begins one. The body names the chain as `POST …/promote` does (`chain`, or `filter` with
/// `version`, `when`, `config`), the records (`"last": {"records": n}`, about so many, evenly over the partitions; `{"seconds": n}`
/// or `{"span": "1h"}`; or `"offsets": [{"partition", "from", "to"}]`; else the last 100,000), and in `sample` how many examples of
/// each kind of difference are kept (5, at most 50).
///
/// 202 and the trial: `{"id", "topic", "what", "state", "error", "tried", "of", "at", "took_ms", "live", "candidate", "ranges",
/// "report"}`. `state` is `running`, `done`, `cancelled` or `failed`; `live` and `candidate` have `generation` and `chain`. The
/// `report` has the counts `records` = `same` + `changed` + `newly_dropped` + `newly_kept` + `newly_failed` + `mended`, beside them
/// `emissions_differ`, `unreadable`, `deleted` and `waited` (rows of filters that held records for a while); `fields` (by name: `added`, `removed`, `changed`, `examples` of `{"partition", "offset",
/// "old", "new"}`), `emissions` (by target: `live`, `candidate`), `drop_reasons`, `fail_reasons`, `examples` (`kind`, `partition`,
/// `offset`, `old`, `new`, `raw`), the costs `live` and `candidate` (`fuel`, `fuel_per_record`, `ns_per_record`, `calls`, `traps`),
/// and `unsteady`: null, or a record of which the candidate does not always say the same, and how (`before`, `now`).
///
/// 429 with `Retry-After` while as many run as may (`relay.at_once.trials`, 2).
pub async fn begin(
    State(web): State<Arc<Web>>,
    Path(topic): Path<String>,
    body: Bytes,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let asked: Asked =
        read(&body, r#"{"chain": […]} or {"filter", "version", "when", "config"}, perhaps with "last" or "offsets""#)?;
    let request = asked.request(web.clock.now_ns())?;
    let begun = blocking(move || {
        let status = web.relay.begin_trial(&topic, request).map_err(|error| refusal(&error))?;
        Ok(dated(&status))
    });
    Ok((StatusCode::ACCEPTED, begun.await?))
}

/// `GET /api/v1/trials`: all that are remembered, the oldest first, without their fields and examples.
pub async fn trials(State(web): State<Arc<Web>>) -> Result<Json<Value>, Refusal> {
    let brief = |status| {
        let mut shown = dated(&status);
        if let Some(report) = shown["report"].as_object_mut() {
            report.retain(|name, _| name != "fields" && name != "examples");
        }
        shown
    };
    blocking(move || {
        let shown: Vec<Value> = web.relay.trials().into_iter().map(brief).collect();
        Ok(json!({ "trials": shown }))
    })
    .await
}

/// `GET /api/v1/trials/{id}`: one, as far as it is; see [`begin`].
pub async fn trial(State(web): State<Arc<Web>>, Path(id): Path<String>) -> Result<Json<Value>, Refusal> {
    blocking(move || Ok(dated(&web.relay.trial(&id).map_err(|error| refusal(&error))?))).await
}

/// `DELETE /api/v1/trials/{id}`: ends one that runs, after the call it is at; forgets one that has ended.
pub async fn cancel(State(web): State<Arc<Web>>, Path(id): Path<String>) -> Result<Json<Value>, Refusal> {
    blocking(move || Ok(dated(&web.relay.cancel_trial(&id).map_err(|error| refusal(&error))?))).await
}

/// Figures of all trials.
pub(super) fn metrics(web: &Web) -> Vec<Metric> {
    let figures = web.relay.trial_figures();
    vec![
        Metric::counter("trials", "Trials begun", vec![], figures.begun),
        Metric::counter("trials_cut_short", "Trials that were cancelled or failed", vec![], figures.cut_short),
        Metric::gauge("trials_running", "Trials running now", vec![], figures.running),
        Metric::counter("trial_records", "Records that trials looked at", vec![], figures.records),
    ]
}
