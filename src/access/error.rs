//! Why the house says no: a variant for each thing the caller can do about it.

use std::io;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The request is wrong, or over a cap: change it.
    #[error("{0}")]
    Refused(String),
    /// There is no such user.
    #[error("no user `{0}`")]
    Missing(String),
    /// The disk failed: nothing changed for those who are running, ask again. After a crash the change may be there.
    #[error("access/USERS could not be written: {0}")]
    Disk(#[from] io::Error),
}

/// Why somebody is not signed in. What the stranger is told must not say more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignInError {
    /// The bytes are no message of the mechanism.
    #[error("malformed sign-in message")]
    Malformed,
    /// No such user, a wrong password, or no credential of this mechanism: nobody learns which.
    #[error("wrong user or password")]
    Denied,
}
