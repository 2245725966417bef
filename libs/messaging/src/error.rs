//! What a port can answer besides its result. Variants by what the caller does about it.

use crate::Key;

pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A condition of a write did not hold; nothing was written. Read again and decide anew.
    #[error("{key} was changed by somebody else")]
    Conflict { key: Key },
    /// This subscription has already committed this event; nothing was written. Settle as done.
    #[error("the event was already handled")]
    AlreadySeen,
    /// The lease ran out and the delivery may be with another consumer. Stop working on it.
    #[error("the lease on the delivery was lost")]
    LeaseLost,
    /// Nothing is known under this name.
    #[error("{0} is unknown")]
    Unknown(String),
    /// Over a named limit; the same request can never succeed.
    #[error("{what} is {size} bytes; the limit is {limit}")]
    TooLarge {
        what: &'static str,
        size: usize,
        limit: usize,
    },
    /// It may not have happened, and may later: throttling, a lost connection, a full disk.
    #[error("{what}")]
    Unavailable {
        what: &'static str,
        source: BoxError,
    },
    /// It did not happen, and will not before a person has mended something that is no part of the
    /// request: a permission, a name, a credential.
    #[error("{what}")]
    Refused {
        what: &'static str,
        source: BoxError,
    },
    /// It did not happen and will not by waiting: corrupt data, a refused key, a bug.
    #[error("{what}")]
    Broken {
        what: &'static str,
        source: BoxError,
    },
}

impl Error {
    pub fn unavailable(what: &'static str, source: impl Into<BoxError>) -> Self {
        Self::Unavailable {
            what,
            source: source.into(),
        }
    }

    pub fn refused(what: &'static str, source: impl Into<BoxError>) -> Self {
        Self::Refused {
            what,
            source: source.into(),
        }
    }

    pub fn broken(what: &'static str, source: impl Into<BoxError>) -> Self {
        Self::Broken {
            what,
            source: source.into(),
        }
    }
}
