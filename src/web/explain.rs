//! What became of one record.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use serde_json::Value;

use crate::base::ids::{Offset, PartitionId};
use crate::base::time;
use crate::web::Web;
use crate::web::control::blocking;
use crate::web::error::Refusal;
use crate::web::life::refusal;

/// `GET /api/v1/explain/{topic}/{partition}/{offset}`; the topic is a name or an id.
///
/// `{"topic", "topic_id", "partition", "offset", "summary", "record", "generation", "chain", "codec", "document", "call", "before",
/// "steps", "ended", "sent", "notes"}`.
/// * `record`: `payload` and `key` (`text`, `bytes`, and `base64` where they are not UTF-8), `headers` (each `[name, value]`),
///   `arrival`, `arrival_ns`, `timestamp_ms`, `receiver`, `peer`; null where the queue has it no more.
/// * `document`: what the codec made of the payload; `call`: the first and last offset it was handled with, and how many; `before`:
///   the fields before the first filter.
/// * `steps`, one a filter of the generation's chain: `filter`, `version`, `when`, `outcome` (`passed`, `dropped`, `failed`, `held`,
///   `not_selected` by its `when`, `not_reached`), `reason`, the fields that it `added`, `changed` (each `{"old", "new"}`) and
///   `removed`, its `emissions` and `log`, `fuel` and `time_ns` of this record alone, and `records` and `call_fuel` of its call.
/// * `ended.kind`: `stored` (`row` as the chain makes it, `stored` as the store has it, `differences`, and `is`: `same`, `pending`,
///   `missing`, `different`), `dropped` (`filter`, `reason`), `failed` (`filter`, `reason`, the dead letters' `topic`, and the
///   `letter`), or `gone` (`stored`: the rows that are left), or `held` by a filter that remembers.
/// * `sent`: what went to other topics (`topic`, `payload`, `row`); `notes`: what is approximate, and what is a bug in the box.
///
/// 429 with `Retry-After` while as many are made as may (`relay.at_once.explains`, 4).
pub async fn explain(
    State(web): State<Arc<Web>>,
    Path((topic, partition, offset)): Path<(String, String, String)>,
) -> Result<Json<Value>, Refusal> {
    let wrong = || Refusal::wrong("a record is TOPIC/PARTITION/OFFSET; partition and offset are whole numbers");
    let partition: PartitionId = partition.parse().map_err(|_| wrong())?;
    let offset: Offset = offset.parse().map_err(|_| wrong())?;
    blocking(move || {
        let explanation = web.relay.explain(&topic, partition, offset).map_err(|error| refusal(&error))?;
        let mut shown = serde_json::to_value(explanation).unwrap_or_default();
        if let Some(arrival_ns) = shown["record"]["arrival_ns"].as_i64() {
            shown["record"]["arrival"] = time::format(arrival_ns).into();
        }
        Ok(shown)
    })
    .await
}
