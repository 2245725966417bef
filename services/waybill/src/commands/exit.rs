//! Exit codes, and errors that have one.

use std::{error::Error, io, process::ExitCode};

/// What a script learns from the exit code. The numbers are in `waybill help`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    Done = 0,
    Failed = 1,
    Usage = 2,
    NotFound = 3,
    Unauthorised = 4,
    /// The call failed, was cancelled or expired, or its tool reported an error.
    CallFailed = 5,
    StillRunning = 6,
    AuditFlaw = 7,
    /// An installation on AWS is not as this version describes it.
    #[cfg(feature = "aws")]
    Differs = 8,
    Conflict = 9,
}

/// An error that a script can tell from others.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(super) struct Failure {
    pub(super) exit: Exit,
    message: String,
}

impl Failure {
    pub(super) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
        }
    }

    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// What to exit with, and what to say; nothing when the reader of our output has gone, which is
/// how `waybill calls | head` ends.
pub(super) fn verdict(error: &anyhow::Error) -> (Exit, Option<String>) {
    if error.chain().any(is_broken_pipe) {
        return (Exit::Done, None);
    }
    let failure = error
        .chain()
        .find_map(<dyn Error + 'static>::downcast_ref::<Failure>);
    let exit = failure.map_or(Exit::Failed, |failure| failure.exit);
    (exit, Some(format!("error: {error:#}")))
}

fn is_broken_pipe(cause: &(dyn Error + 'static)) -> bool {
    let io = cause.downcast_ref::<io::Error>();
    io.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn the_exit_code_is_found_below_the_context() {
        let told: anyhow::Result<()> = Err(Failure::new(Exit::NotFound, "no such call").into());
        let (exit, text) = verdict(&told.context("cannot show it").unwrap_err());
        assert_eq!(exit, Exit::NotFound);
        assert_eq!(text.unwrap(), "error: cannot show it: no such call");
    }

    #[test]
    fn a_reader_that_has_gone_is_no_error() {
        let gone = io::Error::from(io::ErrorKind::BrokenPipe);
        let error = anyhow::Error::from(gone).context("cannot write to standard output");
        assert_eq!(verdict(&error), (Exit::Done, None));
    }

    #[test]
    fn any_other_error_is_one() {
        assert_eq!(verdict(&anyhow::anyhow!("lost")).0, Exit::Failed);
    }
}
