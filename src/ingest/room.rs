//! Room for what is larger than any connection may hold without asking, and how soon that must have arrived.
//!
//! Invariants: room is had before the memory is. Who has it must make use of it: what it was had for arrives in its time
//! ([`in_time`]), or who sends a byte now and then would hold what all others need; and it is given back with the memory.
//! Limits: a quarter of `ingest.memory`; `ingest.arrival`.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::door::{KIB, permits};
use crate::queue::QueueError;

/// KiB that arrive in the time once; each as many more have it again.
const STRIDE: u32 = 2048;

/// How soon what is large must have arrived.
#[derive(Clone, Copy, Debug)]
pub struct Arrival(pub Duration);

impl Arrival {
    /// The time that so many bytes have.
    pub fn of(self, size: usize) -> Duration {
        let kib = u32::try_from(size / KIB).unwrap_or(u32::MAX);
        self.0.saturating_add(self.0.saturating_mul(kib) / STRIDE)
    }
}

/// It did not arrive in its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a large record took longer than {0:?} to arrive (`ingest.arrival`): others wait for its room")]
pub struct Late(Duration);

/// All the room there is.
#[derive(Debug)]
pub struct Rooms {
    free: Arc<Semaphore>,
    kib: usize,
    arrival: Arrival,
}

/// Room for a buffer; hold it as long as the buffer.
#[derive(Debug)]
pub struct Room {
    _permit: Option<OwnedSemaphorePermit>,
    time: Duration,
    until: Instant,
}

impl Rooms {
    /// For so many KiB at a time.
    pub fn new(kib: usize, arrival: Arrival) -> Self {
        Self { free: Arc::new(Semaphore::new(kib)), kib, arrival }
    }

    /// How soon what is large must have arrived.
    pub fn arrival(&self) -> Arrival {
        self.arrival
    }

    /// Waits until there is room for a buffer of `size` bytes.
    pub async fn take(&self, size: usize) -> Room {
        self.exchange(None, size).await
    }

    /// The same for what turns out to be larger than it seemed, or who grows bit by bit would begin anew each time. What was had
    /// is given back first: two who wait for each other's would wait for ever.
    pub async fn exchange(&self, before: Option<Room>, size: usize) -> Room {
        let spent = before.map_or(Duration::ZERO, |room| room.spent());
        let permit = permits(&self.free, size, self.kib).await;
        let time = self.arrival.of(size);
        Room { _permit: permit, time, until: Instant::now() + time.saturating_sub(spent) }
    }

    /// The same, as long as `patience` lasts.
    ///
    /// # Errors
    /// [`QueueError::Full`]: there was none.
    pub async fn take_within(&self, patience: Duration, size: usize) -> Result<Room, QueueError> {
        let full = QueueError::Full("its memory for large records is taken (a quarter of `ingest.memory`)");
        tokio::time::timeout(patience, self.take(size)).await.map_err(|_| full)
    }
}

impl Room {
    fn spent(&self) -> Duration {
        self.time.saturating_sub(self.until.saturating_duration_since(Instant::now()))
    }
}

/// What `read` gives, if that comes while its room may be held.
///
/// # Errors
/// It does not.
pub async fn in_time<T>(room: Option<&Room>, read: impl Future<Output = T>) -> Result<T, Late> {
    match room {
        None => Ok(read.await),
        Some(room) => tokio::time::timeout_at(room.until, read).await.map_err(|_| Late(room.time)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_larger_has_more_time() {
        let arrival = Arrival(Duration::from_secs(30));
        for (size, seconds) in [(0, 30), (1 << 20, 45), (2 << 20, 60), (20 << 20, 330)] {
            assert_eq!(arrival.of(size), Duration::from_secs(seconds), "{size}");
        }
        assert_eq!(Arrival(Duration::MAX).of(usize::MAX), Duration::MAX);
    }

    #[tokio::test]
    async fn what_grows_does_not_begin_anew() {
        let rooms = Rooms::new(1024, Arrival(Duration::from_secs(30)));
        let mut room = rooms.take(100 * KIB).await;
        room.until -= Duration::from_secs(20);
        // All there is: what was had before is free by then.
        let room = rooms.exchange(Some(room), 1 << 20).await;
        assert!(room.spent() >= Duration::from_secs(20), "{room:?}");
        assert!(rooms.take_within(Duration::from_millis(1), 1).await.is_err(), "all is taken");
        let mut room = Some(room);
        assert_eq!(in_time(room.as_ref(), std::future::ready(1)).await, Ok(1));
        room.iter_mut().for_each(|room| room.until = Instant::now());
        assert_eq!(in_time(room.as_ref(), std::future::pending::<()>()).await, Err(Late(Duration::from_secs(45))));
        drop(room);
        assert!(rooms.take_within(Duration::from_millis(1), 1).await.is_ok());
    }
}
