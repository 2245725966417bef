//! What SQLite says, in the ports' words.

use std::{io, path::PathBuf};

use rusqlite::ErrorCode;
use waybill_messaging::Error;

/// Why a data directory cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{path} is in use by another waybill process; stop it, or use another --data-dir")]
    InUse { path: PathBuf },
    #[error(
        "the database was written by a newer waybill (schema {found}; this one knows {known}); \
         install that version or newer"
    )]
    Newer { found: usize, known: usize },
    #[error("the file is a database of another program")]
    Foreign,
    #[error("cannot use {path}")]
    Io { path: PathBuf, source: io::Error },
    #[error("the database cannot be opened; if it is damaged, restore a backup")]
    Database(#[from] rusqlite::Error),
}

/// Inside the engine: the port's answer, or a failure that voids the whole batch.
pub(crate) enum Fault {
    Port(Error),
    Sql(rusqlite::Error),
}

pub(crate) type Outcome<T> = Result<T, Fault>;

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Port(error)
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Port(error) => error,
            Fault::Sql(error) => port_error(error),
        }
    }
}

/// Sorted by what the caller can do: wait, or call a person.
pub(crate) fn port_error(error: rusqlite::Error) -> Error {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Error::unavailable("the disk is full", error),
        Some(ErrorCode::SystemIoFailure) => {
            Error::unavailable("the disk failed to read or write", error)
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            Error::broken("the database is damaged; restore a backup", error)
        }
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
            Error::unavailable("the database file cannot be written", error)
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            Error::unavailable("the database is locked by another program", error)
        }
        _ => Error::broken("the database refused", error),
    }
}
