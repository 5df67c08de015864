//! Following rows as they are stored: an endless NDJSON stream of those that a predicate keeps.
//!
//! The predicate is tried on the rows while the lane adds them; what passes goes into a bounded channel. A reader that is too slow
//! misses rows, and is told how many: `{"_missed": 12}`. An empty line every few seconds shows that the box is there.
//! Limits: [`TAILS`] at a time, each with [`WAITING`] pieces that wait, and [`WAITING_BYTES`] and one piece more. One whose reader
//! takes nothing of what waits for [`STALL`] ends.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

use crate::base::ids::Offset;
use crate::base::predicate;
use crate::base::row::{Cell, RowHead, TIME, Value as Cellular};
use crate::base::time;
use crate::store::watch::Added;
use crate::web::error::{Parameters, Refusal};
use crate::web::{AGAIN, Web};

/// Tails at a time.
pub const TAILS: usize = 32;
/// Pieces that may wait for a slow reader,
const WAITING: usize = 256;
/// and their bytes when one more is added.
const WAITING_BYTES: usize = 2 * 1024 * 1024;
/// How long pieces may wait, and none be taken.
const STALL: Duration = Duration::from_secs(60);
/// How often a sign of life is sent.
const ALIVE: Duration = Duration::from_secs(5);

/// Parameters of `GET /api/v1/tail`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    #[serde(default)]
    q: String,
}

/// `GET /api/v1/tail`
pub async fn tail(State(web): State<Arc<Web>>, Parameters(asked): Parameters<Asked>) -> Result<Response, Refusal> {
    let predicate =
        predicate::parse_at(&asked.q, web.clock.now_ns()).map_err(|error| Refusal::wrong_at(error.message, error.position))?;
    let place = web.tails.clone().try_acquire_owned();
    let place = place.map_err(|_| Refusal::crowded(format!("{TAILS} tails are being followed: end one of them"), AGAIN))?;
    let (pieces, received) = mpsc::channel::<Bytes>(WAITING);
    let signs = pieces.clone();
    let backlog = Arc::new(Backlog::default());
    let (added_to, looked_at) = (backlog.clone(), backlog.clone());
    let missed = AtomicU64::new(0);
    let watch = web.store.watchers().watch(move |added| {
        let mut piece = Vec::new();
        let mut rows = 0;
        for_each_kept(&predicate, added, |object| {
            rows += 1;
            piece.extend_from_slice(object.to_string().as_bytes());
            piece.push(b'\n');
        });
        let late = missed.swap(0, Ordering::Relaxed);
        if late > 0 {
            piece.extend_from_slice(json!({ "_missed": late }).to_string().as_bytes());
            piece.push(b'\n');
        }
        if !piece.is_empty() && !added_to.add(piece.len(), || pieces.try_send(Bytes::from(piece)).is_ok()) {
            missed.fetch_add(late + rows, Ordering::Relaxed);
        }
    });
    tokio::spawn(async move {
        let (_watch, _place) = (watch, place);
        let mut still = Duration::ZERO;
        let mut taken = 0;
        while web.is_ready() && still < STALL {
            // A slow reader needs none: rows wait for it.
            let _ = looked_at.add(1, || signs.try_send(Bytes::from_static(b"\n")).is_ok());
            tokio::select! {
                () = tokio::time::sleep(ALIVE) => {}
                // Ends when the reader is gone, and with it the watch.
                () = signs.closed() => return,
            }
            let now = looked_at.taken.load(Ordering::Relaxed);
            still = if now == taken && looked_at.bytes.load(Ordering::Relaxed) > 0 { still + ALIVE } else { Duration::ZERO };
            taken = now;
        }
    });
    let stream = ReceiverStream::new(received).map(move |piece| {
        backlog.took(piece.len());
        Ok::<_, Infallible>(piece)
    });
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(stream)).into_response())
}

/// What waits for a reader.
#[derive(Debug, Default)]
struct Backlog {
    bytes: AtomicUsize,
    /// Pieces that it took.
    taken: AtomicU64,
}

impl Backlog {
    /// Adds a piece, if there is room. A piece is never too large for who waits for it.
    fn add(&self, size: usize, send: impl FnOnce() -> bool) -> bool {
        // Before it can be taken, or less than nothing would wait.
        let added = self.bytes.fetch_add(size, Ordering::Relaxed) < WAITING_BYTES && send();
        if !added {
            self.bytes.fetch_sub(size, Ordering::Relaxed);
        }
        added
    }

    fn took(&self, size: usize) {
        self.bytes.fetch_sub(size, Ordering::Relaxed);
        self.taken.fetch_add(1, Ordering::Relaxed);
    }
}

/// Calls `take` with every row that the predicate keeps. The box's own fields are cells like others here.
fn for_each_kept(predicate: &predicate::Predicate, added: &Added<'_>, mut take: impl FnMut(Value)) {
    let rows = added.rows;
    let own: [Arc<str>; 5] = ["_topic", "_partition", "_offset", "_n", "_generation"].map(Arc::from);
    let first = u32::try_from(rows.names.len()).unwrap_or(u32::MAX);
    let mut names = rows.names.clone();
    names.extend(own);
    let bound = predicate.bind(&names);
    let mut cells = Vec::new();
    for head in &rows.heads {
        cells.clear();
        cells.extend_from_slice(rows.cells_of(head));
        let whole = |offset: Offset| Cellular::Int(i64::try_from(offset).unwrap_or(i64::MAX));
        let values = [
            Cellular::Str(added.topic.as_bytes()),
            Cellular::Int(i64::from(added.partition)),
            whole(head.offset),
            Cellular::Int(i64::from(head.n)),
            Cellular::Int(i64::from(added.generation)),
        ];
        cells.extend((first..).zip(values).map(|(name, value)| Cell { name, value }));
        if bound.matches(&cells, head.time_ns) {
            take(object(&names, &cells, head));
        }
    }
}

fn object(names: &[Arc<str>], cells: &[Cell<'_>], head: &RowHead) -> Value {
    let mut object = Map::new();
    object.insert(TIME.to_owned(), time::format(head.time_ns).into());
    for cell in cells {
        let Some(name) = names.get(cell.name as usize) else { continue };
        let value = match cell.value {
            Cellular::Int(int) => int.into(),
            Cellular::Float(float) => float.into(),
            Cellular::Bool(yes) => yes.into(),
            Cellular::Str(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => text.into(),
                Err(_) => {
                    let exact = base64::engine::general_purpose::STANDARD.encode(bytes);
                    object.insert(format!("{name}_base64"), exact.into());
                    String::from_utf8_lossy(bytes).into()
                }
            },
        };
        // A name that occurs twice is a list.
        match object.get_mut(&**name) {
            None => {
                object.insert(name.to_string(), value);
            }
            Some(Value::Array(list)) => list.push(value),
            Some(one) => *one = Value::Array(vec![one.take(), value]),
        }
    }
    Value::Object(object)
}
