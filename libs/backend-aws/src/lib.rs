#![doc = include_str!("../README.md")]

mod blobs;
mod clients;
mod cloudwatch;
mod coalesce;
mod error;
mod event_relay;
mod health;
mod keyring;
mod ledger;
mod names;
mod place;
pub mod provision;
mod queue;
#[cfg(test)]
mod script;
mod secrets;
mod sweep;
mod wire;

pub use blobs::{KEPT_DAYS, S3Blobs};
pub use clients::{Clients, Settings};
pub use cloudwatch::CloudWatchMetrics;
pub use event_relay::EventRelay;
pub use health::{Aspect, Finding, Health};
pub use keyring::{CacheBounds, CachedKeyRing, KmsKeyRing};
pub use ledger::{DynamoLedger, Swept};
pub use names::Names;
pub use place::Place;
pub use queue::{Arrived, SqsQueue};
pub use secrets::SecretsManager;
pub use sweep::OutboxSweep;
pub use wire::{Faults, Operation, Requests};
