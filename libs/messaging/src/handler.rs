//! What a service writes: a function from an event to effects.

use std::{fmt, future::Future, time::Duration};

use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use waybill_events::{Draft, Event};

use crate::{BoxError, Subscription, Write};

/// Handles one event at a time.
pub trait Handler: Send + Sync + 'static {
    const SUBSCRIPTION: Subscription;

    /// May run more than once for an event; only one run's effects are committed.
    fn handle(
        &self,
        event: &Event,
        cx: &Context,
    ) -> impl Future<Output = Result<Effects, Failure>> + Send;

    /// The event is about to be dead-lettered: what must be written so that nobody waits for it for
    /// ever. Committed before the dead letter.
    fn abandon(
        &self,
        _event: &Event,
        _reason: &str,
        _cx: &Context,
    ) -> impl Future<Output = Result<Effects, Failure>> + Send {
        std::future::ready(Ok(Effects::default()))
    }
}

/// Handles several events in one commit (an aggregator). Never more than one batch at a time.
pub trait BatchHandler: Send + Sync + 'static {
    const SUBSCRIPTION: Subscription;

    /// `events` are distinct and in the order of their receipt. A failure concerns all of them.
    fn handle(
        &self,
        events: &[&Event],
        cx: &Context,
    ) -> impl Future<Output = Result<Effects, Failure>> + Send;
}

/// What surrounds one run of a handler.
#[derive(Clone, Debug)]
pub struct Context {
    pub now: DateTime<Utc>,
    /// 1 at the first receive of the event.
    pub receives: u32,
    /// Fires when the process drains: stop early and retry elsewhere.
    pub shutdown: CancellationToken,
}

/// What a handler wants to happen: committed in one step, together with the inbox mark.
#[derive(Default)]
pub struct Effects {
    pub writes: Vec<Write>,
    pub events: Vec<Draft>,
    /// How to make the effects again from what is stored, when a version has moved. Without it the
    /// whole handler runs again, so a handler that has acted on the world must give one. With it the
    /// commit is also tried again for a while when the ledger is away.
    pub rebase: Option<Rebase>,
}

pub type Rebase = Box<dyn Fn() -> BoxFuture<'static, Result<Effects, Failure>> + Send + Sync>;

/// Why a handler has no effects.
#[derive(Debug)]
pub enum Failure {
    /// Later it may work. `after` overrides the backoff.
    Retry {
        after: Option<Duration>,
        source: BoxError,
    },
    /// It never will: dead-letter it.
    Reject { source: BoxError },
}

impl Failure {
    pub fn retry(source: impl Into<BoxError>) -> Self {
        Self::Retry {
            after: None,
            source: source.into(),
        }
    }

    pub fn reject(source: impl Into<BoxError>) -> Self {
        Self::Reject {
            source: source.into(),
        }
    }
}

impl From<crate::Error> for Failure {
    /// A port that is away comes back, and one that refuses is mended: neither is the event's fault.
    /// What is broken stays broken.
    fn from(error: crate::Error) -> Self {
        match error {
            crate::Error::Broken { .. } | crate::Error::TooLarge { .. } => Self::reject(error),
            _ => Self::retry(error),
        }
    }
}

impl fmt::Debug for Effects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Effects")
            .field("writes", &self.writes)
            .field("events", &self.events)
            .field("rebase", &self.rebase.is_some())
            .finish()
    }
}
