//! The store as those who run the box look at it, and its rows as files.
//!
//! ```text
//! GET /api/v1/store/parts?topic=            which parts there are, and in which state
//! GET /api/v1/store/stats?topic=            what each column takes
//! GET /api/v1/export?q=&format=&from=&to=&topic=&limit=&partial=      NDJSON, CSV or Parquet
//! ```
//! An export streams as a query does, but has no end in time; two may run at once, and one that nobody reads for [`STALL`] ends.
//! What goes wrong before its first byte is a refusal; after that the connection breaks off, so that nobody takes half a file for a
//! whole one. The same where rows are missing (damage, or rows that are being made again), unless `partial=true` takes what there is.

use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::OwnedSemaphorePermit;

use crate::store::export::{ExportError, Exported, Format, export};
use crate::store::query::{Cancel, Request};
use crate::store::tools::Look;
use crate::web::Web;
use crate::web::error::{Parameters, Refusal};
use crate::web::pieces::{self, Maker, PIECE_BYTES, Patience};
use crate::web::rows::{self, CancelOnDrop};

/// Exports at a time: each holds a row group of values.
pub const EXPORTS: usize = 2;
/// How long a reader may take nothing: other exports wait for its place.
const STALL: Duration = Duration::from_secs(60);

/// The paths of this file.
pub fn routes() -> Router<Arc<Web>> {
    Router::new()
        .route("/api/v1/store/parts", get(parts))
        .route("/api/v1/store/stats", get(stats))
        .route("/api/v1/export", get(file))
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    topic: Option<String>,
}

impl Which {
    fn check(&self, web: &Web) -> Result<(), Refusal> {
        let Some(name) = &self.topic else { return Ok(()) };
        let known = web.queue.topic(name).is_some() || web.store.stats().iter().any(|topic| topic.name == *name);
        if known { Ok(()) } else { Err(Refusal::missing(format!("there is no topic `{name}`"))) }
    }
}

async fn compute(
    web: Arc<Web>,
    work: impl FnOnce(&Web) -> Result<Value, Refusal> + Send + 'static,
) -> Result<Json<Value>, Refusal> {
    let turn = web.turn().await?;
    let done = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        work(&web)
    });
    done.await.map_err(|_| Refusal::failed("it failed; the log says why"))?.map(Json)
}

/// `GET /api/v1/store/parts`
async fn parts(State(web): State<Arc<Web>>, Parameters(which): Parameters<Which>) -> Result<Json<Value>, Refusal> {
    which.check(&web)?;
    compute(web, move |web| {
        let mut parts = Look::of(&web.store).parts().map_err(|error| Refusal::failed(error.to_string()))?;
        parts.retain(|part| which.topic.as_ref().is_none_or(|topic| part.topic == *topic));
        Ok(json!({ "parts": parts }))
    })
    .await
}

/// `GET /api/v1/store/stats`
async fn stats(State(web): State<Arc<Web>>, Parameters(which): Parameters<Which>) -> Result<Json<Value>, Refusal> {
    which.check(&web)?;
    compute(web, move |web| {
        let mut topics = json!(Look::of(&web.store).columns(which.topic.as_deref()));
        let waiting = web.store.stats();
        for topic in topics.as_array_mut().into_iter().flatten() {
            let own = waiting.iter().find(|own| topic["topic"] == *own.name);
            topic["memtable_rows"] = own.map_or(0, |own| own.memtable_rows).into();
        }
        Ok(json!({ "topics": topics }))
    })
    .await
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    #[serde(default)]
    q: String,
    from: Option<String>,
    to: Option<String>,
    topic: Option<String>,
    limit: Option<usize>,
    format: Option<String>,
    #[serde(default)]
    partial: bool,
}

impl Asked {
    fn request(&self, web: &Web) -> Result<(Request, Format), Refusal> {
        let name = self.format.as_deref().unwrap_or("ndjson");
        let format = Format::named(name)
            .ok_or_else(|| Refusal::wrong(format!("there is no format `{name}`: ndjson, csv or parquet")))?;
        let mut request = rows::request(web, &self.q, self.from.as_deref(), self.to.as_deref())?;
        request.limit = self.limit.unwrap_or(usize::MAX);
        request.topics = self.topic.clone().map(|topic| vec![topic]);
        request.newest_first = false;
        Ok((request, format))
    }
}

/// `GET /api/v1/export`
async fn file(State(web): State<Arc<Web>>, Parameters(asked): Parameters<Asked>) -> Result<Response, Refusal> {
    let (request, format) = asked.request(&web)?;
    Which { topic: asked.topic.clone() }.check(&web)?;
    let permit =
        web.exports.clone().try_acquire_owned().map_err(|_| Refusal::busy("two exports are running; ask again later"))?;
    let cancel = Cancel::new(web.clock.clone());
    let guard = CancelOnDrop(cancel.clone());
    let (pieces, mut received) = pieces::channel(Patience { piece: STALL, until: None });
    tokio::task::spawn_blocking(move || run(&web, &request, &cancel, format, asked.partial, pieces, permit));
    let first = match received.next().await {
        Some(Err(ExportError::Refused(why))) => return Err(Refusal::wrong(why)),
        Some(Err(ExportError::Query(error))) => return Err(Refusal::wrong(error.to_string())),
        Some(Err(error)) => return Err(Refusal::failed(error.to_string())),
        first => first,
    };
    let name = format!("attachment; filename=\"sawbox.{}\"", format.extension());
    let headers = [(header::CONTENT_TYPE, format.media_type().to_owned()), (header::CONTENT_DISPOSITION, name)];
    Ok((headers, received.body(first, guard)).into_response())
}

fn run(
    web: &Web,
    request: &Request,
    cancel: &Cancel,
    format: Format,
    takes_partial: bool,
    mut pieces: Maker<ExportError>,
    _permit: OwnedSemaphorePermit,
) {
    let behind = web.store.lanes_behind() > 0;
    let sources = web.store.snapshot(request.from_ns, request.to_ns, request.topics.as_deref()).sources;
    let missing = "rows that were not on the disk before the restart are being made again";
    let done = if behind && !takes_partial {
        Err(ExportError::Refused(format!("{missing}; ask again in a moment, or for what there is (`partial`)")))
    } else {
        let out = BufWriter::with_capacity(PIECE_BYTES, Sending(&mut pieces));
        export(&sources, request, cancel, format, out)
    };
    let failed = match done {
        Ok(Exported { stats, .. }) if !takes_partial && (stats.partial || stats.damaged > 0) => {
            let why = stats.note.unwrap_or("some chunks are damaged (`sawbox store verify` says which)");
            Some(ExportError::Refused(format!("{why}; `partial` takes what there is")))
        }
        Ok(_) => None,
        Err(error) => Some(error),
    };
    match failed {
        None => pieces.end(),
        Some(error) => {
            tracing::warn!(%error, "an export broke off");
            pieces.fail(error);
        }
    }
}

struct Sending<'m>(&'m mut Maker<ExportError>);

impl Write for Sending<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.send(Bytes::copy_from_slice(bytes));
        if sent { Ok(bytes.len()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
