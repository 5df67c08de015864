//! The log store: columns, dictionaries, groups, parts, merges, days, and the queries over them.

pub mod source;

/// What can go wrong in the store; a variant is the caller's reaction.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Bytes on the disk are not what was written. Costs the chunk they are in.
    #[error("{path} is damaged at byte {at}: {what}")]
    Damaged {
        /// The file.
        path: String,
        /// Where.
        at: u64,
        /// What does not fit.
        what: String,
    },
    /// The disk refused.
    #[error("{path}: {error}")]
    Disk {
        /// The file.
        path: String,
        /// What the disk said.
        error: std::io::Error,
    },
    /// The store is closing.
    #[error("the store is shutting down")]
    Closed,
}
