//! What can go wrong in the relay; a variant is the caller's reaction.

use crate::queue::QueueError;
use crate::sandbox::FilterError;
use crate::store::StoreError;

/// Why the relay did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// Name one that is there.
    #[error("there is no topic `{0}`")]
    NoTopic(String),
    /// Name one that is there.
    #[error("there is no replay {0}")]
    NoReplay(u64),
    /// Mend the chain; the running one stays in place.
    #[error("{0}")]
    Filter(#[from] FilterError),
    /// The queue's reaction holds.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// The store's reaction holds.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Mend the configuration.
    #[error("{0}")]
    Config(String),
    /// Answers of schema registries cannot be read; trying again later may help.
    #[error("{0}")]
    Schemas(String),
    /// Ask again later: a schema is not known yet.
    #[error("{0}")]
    Busy(String),
    /// Ask again after so many seconds: as much is under way as may be.
    #[error("{why}")]
    Crowded {
        /// What, and how much.
        why: String,
        /// When it is worth to ask again.
        seconds: u64,
    },
    /// There is no such thing, or not any more.
    #[error("{0}")]
    Missing(String),
    /// The operating system gave no thread.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
    /// The relay is closing.
    #[error("the relay is shutting down")]
    Closed,
}
