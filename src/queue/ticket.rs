//! What an append gives back at once: a claim on its becoming durable.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use super::error::QueueError;
use crate::base::ids::Offset;

/// Where an append went, once it is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Offset of its first record.
    pub base_offset: Offset,
    /// Offset behind its last; equal to `base_offset` if the emissions were there already.
    pub next_offset: Offset,
    /// It was there already, and nothing was written: for a producer's batch the offsets are those of the first time.
    pub duplicate: bool,
}

/// Resolves when the append is durable, or is known not to be. Dropping it takes nothing back.
#[derive(Debug)]
#[must_use = "an append is acknowledged only when its ticket says so"]
pub struct Ticket(Claim);

#[derive(Debug)]
enum Claim {
    Settled(Option<Result<Appended, QueueError>>),
    Waiting(oneshot::Receiver<Result<Appended, QueueError>>),
}

impl Ticket {
    pub(super) fn failed(error: QueueError) -> Self {
        Self(Claim::Settled(Some(Err(error))))
    }

    pub(super) fn waiting() -> (oneshot::Sender<Result<Appended, QueueError>>, Self) {
        let (sender, receiver) = oneshot::channel();
        (sender, Self(Claim::Waiting(receiver)))
    }

    /// Blocks the thread until it is settled. For plain threads: inside an async task await the ticket instead.
    ///
    /// # Errors
    /// See [`QueueError`]; after any of them the append must count as not made.
    pub fn wait(self) -> Result<Appended, QueueError> {
        match self.0 {
            Claim::Settled(result) => result.unwrap_or(Err(QueueError::Closed)),
            Claim::Waiting(receiver) => receiver.blocking_recv().unwrap_or(Err(QueueError::Closed)),
        }
    }
}

impl Future for Ticket {
    type Output = Result<Appended, QueueError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Claim::Settled(result) => Poll::Ready(result.take().unwrap_or(Err(QueueError::Closed))),
            Claim::Waiting(receiver) => Pin::new(receiver).poll(cx).map(|result| result.unwrap_or(Err(QueueError::Closed))),
        }
    }
}
