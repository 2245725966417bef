#![doc = include_str!("../README.md")]

mod blobs;
mod clock;
mod dispatch;
mod error;
mod handler;
mod held;
mod keyring;
mod ledger;
mod metered;
mod poll;
mod push;
mod queue;
mod retry;
mod secrets;
mod subscription;

pub use blobs::{BlobKey, Blobs};
pub use clock::Clock;
pub use dispatch::{Bus, Dispatched, dispatch, dispatch_batch, tick};
pub use error::{BoxError, Error, Result};
pub use handler::{BatchHandler, Context, Effects, Failure, Handler, Rebase};
pub use keyring::{DataKey, EncryptionContext, KeyRing};
pub use ledger::{
    Commit, Committed, Direction, Expect, IndexEntry, Key, Ledger, Page, Range, Record, Seen, Write,
};
pub use metered::metered;
pub use poll::{Driver, Limits};
pub use push::{Outcome, Pushed, push, push_batch};
pub use queue::{DeadLetter, DeadLetterId, Delivery, Depth, Queue, Receipt, Settlement};
pub use secrets::{ListedSecret, NoSecret, SecretName, SecretValue, Secrets};
pub use subscription::{Batching, Events, Subscription};
pub use waybill_telemetry::metrics::Meter;
