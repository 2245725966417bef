#![doc = include_str!("../README.md")]

mod backend;
mod blobs;
mod engine;
mod error;
mod keyring;
mod ledger;
mod queue;
mod reader;
mod recent;
mod schema;
mod writer;

pub use backend::SqliteBackend;
pub use blobs::DirectoryBlobs;
pub use error::OpenError;
pub use keyring::{KeyFileError, LocalKeyRing};
