//! Queries against a small fixed set of rows, against a plain model over random ones, and for speed.

mod bounds;
mod counts;
mod lists;
mod memory;
mod model;
mod model_after;
mod model_pipes;
mod pipes;
mod speed;
mod stored;
mod tables;
mod tops;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use super::{
    Around, Cancel, Limits, OutRow, QueryError, Request, Stats, Why, complete_of, context_of, explain_of, parse_at, search,
};
use crate::base::clock::SimClock;
use crate::store::source::Source;

/// 2015-05-17T10:00:00Z.
const TEN: i64 = 1_431_856_800_000_000_000;
const SECOND: i64 = 1_000_000_000;

fn cancel() -> Cancel {
    Cancel::new(Arc::new(SimClock::at(TEN)))
}

/// On several threads from the beginning, however little there is to read.
fn request(query: &str) -> Request {
    let query = parse_at(query, TEN + 3600 * SECOND).unwrap_or_else(|error| panic!("{query}: {error}"));
    Request { limits: Limits { alone: Duration::ZERO, ..Limits::default() }, ..Request::new(query) }
}

fn rows_of(sources: &[Arc<dyn Source>], request: &Request) -> (Vec<OutRow>, Stats) {
    let mut rows = Vec::new();
    let stats = search(sources, request, &cancel(), &mut |row| {
        rows.push(row);
        ControlFlow::Continue(())
    });
    (rows, stats.unwrap())
}
