//! What keeps the executor from going on, and what the queue is told.

use waybill_calls::Fenced;
use waybill_messaging::Failure;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The call has ended or somebody else has it.
    #[error(transparent)]
    Fenced(#[from] Fenced),
    /// A store is away or broken.
    #[error("cannot go on with the call")]
    Calls(#[source] waybill_calls::Error),
}

impl From<waybill_calls::Error> for Error {
    fn from(error: waybill_calls::Error) -> Self {
        match error {
            waybill_calls::Error::Fenced(fenced) => Self::Fenced(fenced),
            other => Self::Calls(other),
        }
    }
}

/// What the queue does about a failure of the repository.
pub(crate) fn failure(error: waybill_calls::Error) -> Failure {
    match error {
        waybill_calls::Error::Port(error) => error.into(),
        waybill_calls::Error::Fenced(_) => Failure::retry(error),
        _ => Failure::reject(error),
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Fenced(fenced) => Self::retry(fenced),
            Error::Calls(error) => failure(error),
        }
    }
}
