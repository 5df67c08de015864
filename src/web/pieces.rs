//! An answer in pieces, made on a thread and read by somebody who may be slow.
//!
//! Invariants: whatever makes an answer holds a place that others wait for, so its reader is waited for, but not for ever: who
//! takes no piece for a while, or has not taken all of them when the time for the whole is up, is let go, and the place is free.
//! An answer ends where its maker says so; every other end breaks the connection off, so that nobody takes a part for the whole.
//! Limits: [`WAITING`] pieces of about [`PIECE_BYTES`]. A reader that goes away ends the query by the guard that its body holds.

use std::time::Duration;

use axum::BoxError;
use axum::body::{Body, Bytes};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::SendTimeoutError;
use tokio::time::Instant;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

use super::rows::CancelOnDrop;

/// What a piece holds before it is sent.
pub const PIECE_BYTES: usize = 64 * 1024;
/// Pieces that may wait for their reader.
const WAITING: usize = 4;

/// Bytes, or the end, or why there is none.
pub type Piece<E> = Result<Option<Bytes>, E>;

/// How long a reader is waited for.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// With one piece.
    pub piece: Duration,
    /// With all, if they must be taken by some time.
    pub until: Option<Instant>,
}

/// The answer was not taken in time, or what made it failed.
#[derive(Debug, thiserror::Error)]
#[error("the answer was broken off")]
struct BrokenOff;

/// The end that pieces go into, for threads that may wait.
#[derive(Debug)]
pub struct Maker<E> {
    /// Nothing once nobody reads any more.
    to: Option<mpsc::Sender<Piece<E>>>,
    patience: Patience,
    runtime: Handle,
}

/// The end that pieces come out of.
#[derive(Debug)]
pub struct Reader<E>(mpsc::Receiver<Piece<E>>);

/// Both ends. To be called where requests are served.
pub fn channel<E>(patience: Patience) -> (Maker<E>, Reader<E>) {
    let (to, from) = mpsc::channel(WAITING);
    (Maker { to: Some(to), patience, runtime: Handle::current() }, Reader(from))
}

impl<E> Maker<E> {
    /// Hands a piece on, and waits while the reader is busy with those before it. False: nobody reads any more.
    pub fn send(&mut self, bytes: Bytes) -> bool {
        self.hand_on(Ok(Some(bytes)))
    }

    /// Says that this was all.
    pub fn end(mut self) {
        self.hand_on(Ok(None));
    }

    /// Says why there is no more.
    pub fn fail(mut self, why: E) {
        self.hand_on(Err(why));
    }

    fn hand_on(&mut self, piece: Piece<E>) -> bool {
        let Some(to) = &self.to else { return false };
        let left = self.patience.until.map_or(Duration::MAX, |until| until.saturating_duration_since(Instant::now()));
        let sent = self.runtime.block_on(to.send_timeout(piece, self.patience.piece.min(left)));
        if let Err(SendTimeoutError::Timeout(_)) = sent {
            tracing::warn!("an answer was broken off: its reader did not take it in time, and others wait for its place");
        }
        if sent.is_err() {
            self.to = None;
        }
        sent.is_ok()
    }
}

impl<E: Into<BoxError> + Send + 'static> Reader<E> {
    /// Waits for the next piece. Nothing: it was broken off.
    pub async fn next(&mut self) -> Option<Piece<E>> {
        self.0.recv().await
    }

    /// This piece and all that follow; `query` ends when nobody reads them any more.
    pub fn body(self, first: Option<Piece<E>>, query: CancelOnDrop) -> Body {
        let pieces = tokio_stream::iter(first).chain(ReceiverStream::new(self.0)).map(|piece| piece.map_err(Into::into));
        // Seen by those alone whom nobody told an end.
        let pieces = pieces.chain(tokio_stream::once(Err(BoxError::from(BrokenOff))));
        Body::from_stream(pieces.take_while(|piece| !matches!(piece, Ok(None))).map(move |piece| {
            let _held = &query;
            piece.map(Option::unwrap_or_default)
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Arc;

    use http_body_util::BodyExt;

    use super::*;
    use crate::base::clock::RealClock;
    use crate::store::query::Cancel;

    fn patience(piece: u64, until: Option<u64>) -> Patience {
        let until = until.map(|ms| Instant::now() + Duration::from_millis(ms));
        Patience { piece: Duration::from_millis(piece), until }
    }

    fn query() -> CancelOnDrop {
        CancelOnDrop(Cancel::new(Arc::new(RealClock::new())))
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn only_an_answer_with_an_end_is_whole() {
        for ends in [true, false] {
            let (mut maker, mut reader) = channel::<Infallible>(patience(10_000, None));
            let made = move || {
                let sent = (0..20).all(|_| maker.send(Bytes::from_static(b"piece ")));
                if ends {
                    maker.end();
                }
                sent
            };
            let made = tokio::task::spawn_blocking(made);
            let first = reader.next().await;
            let read = reader.body(first, query()).collect().await.map(|all| all.to_bytes().len());
            assert_eq!((made.await.unwrap(), read.ok()), (true, ends.then_some(120)), "{ends}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn who_does_not_read_keeps_nobody_waiting() {
        for patience in [patience(50, None), patience(60_000, Some(50))] {
            let (mut maker, reader) = channel::<Infallible>(patience);
            let made = move || {
                let sent = (0..20).take_while(|_| maker.send(Bytes::from_static(b"piece "))).count();
                // It is known by now, and not waited for again.
                maker.end();
                sent
            };
            let made = tokio::time::timeout(Duration::from_secs(20), tokio::task::spawn_blocking(made));
            assert_eq!(made.await.unwrap().unwrap(), WAITING);
            assert!(reader.body(None, query()).collect().await.is_err(), "a part is not taken for the whole");
        }
    }
}
