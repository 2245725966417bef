#![doc = include_str!("../README.md")]

mod blobs;
mod clients;
mod coalesce;
mod error;
mod keyring;
mod ledger;
mod names;
pub mod provision;
mod queue;
mod sweep;
mod wire;

pub use blobs::S3Blobs;
pub use clients::{Clients, Settings};
pub use keyring::KmsKeyRing;
pub use ledger::DynamoLedger;
pub use names::Names;
pub use queue::SqsQueue;
pub use sweep::OutboxSweep;
pub use wire::{Faults, Operation, Requests};
