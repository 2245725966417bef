//! The port to leased, at-least-once deliveries.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::Serialize;
use waybill_events::Event;

use crate::Result;

/// One delivery of an event to one subscription.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub event: Arc<Event>,
    /// 1 at the first receive.
    pub receives: u32,
    pub receipt: Receipt,
}

/// Names a lease. Void once the lease is lost.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Receipt {
    pub subscription: &'static str,
    /// The backend's own handle.
    pub handle: Arc<str>,
}

/// How a delivery ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    Done,
    /// Deliver again, not before `after` from now.
    Retry {
        after: Duration,
    },
    /// Keep it aside for a person.
    DeadLetter {
        reason: String,
    },
}

/// Names a dead letter within its subscription.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct DeadLetterId(pub String);

#[derive(Clone, Debug)]
pub struct DeadLetter {
    pub id: DeadLetterId,
    /// As it was received; `None` in `event` when it could not be parsed.
    pub body: String,
    pub event: Option<Event>,
    pub reason: String,
    pub receives: u32,
    pub died_at: DateTime<Utc>,
}

/// How full a subscription is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Depth {
    /// Waiting, deliverable now.
    pub ready: u64,
    /// Waiting for their time.
    pub delayed: u64,
    /// Leased to a consumer.
    pub leased: u64,
    pub dead: u64,
    /// Age of the oldest one that is ready, in milliseconds.
    pub oldest_ms: u64,
}

/// Leased, at-least-once deliveries.
///
/// # Contract
///
/// - Every committed event reaches every subscription that wants its type, at least once, until a
///   settlement ends it. No order is promised.
/// - A lease lasts the subscription's `lease` from the receive or the last `extend`; after that the
///   delivery may be given to another consumer, and the old receipt answers
///   [`Error::LeaseLost`](crate::Error::LeaseLost) to `extend` and `settle`.
/// - `receives` counts every receive. After the subscription's `max_receives` plus one (which
///   `dispatch` uses to abandon it properly) the backend itself dead-letters a delivery.
/// - A body that is not an [`Event`] is dead-lettered with its reason and never delivered.
/// - `receive` waits up to `wait` and returns between 0 and `max` deliveries, as soon as there is
///   one. Dropping its future loses nothing.
#[async_trait]
pub trait Queue: Send + Sync + 'static {
    async fn receive(
        &self,
        subscription: &str,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery>>;

    /// The lease lasts its full length again from now.
    async fn extend(&self, receipt: &Receipt) -> Result<()>;

    async fn settle(&self, receipt: &Receipt, settlement: Settlement) -> Result<()>;

    async fn depth(&self, subscription: &str) -> Result<Depth>;

    /// The newest dead letters, up to `limit`.
    async fn dead_letters(&self, subscription: &str, limit: usize) -> Result<Vec<DeadLetter>>;

    /// Delivers a dead letter again, as new.
    async fn redrive(&self, subscription: &str, id: &DeadLetterId) -> Result<()>;

    /// Delivers every dead letter again, as new, and tells how many that were. Some may still be on
    /// their way when this returns. One that dies again meanwhile stays dead.
    async fn redrive_all(&self, subscription: &str) -> Result<u64>;
}
