//! Who wants which events, and within which limits.

use std::time::Duration;

use waybill_events::EventType;

/// A handler's place in the topology. Written once, as the handler's constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// The service's name; also its queue's.
    pub name: &'static str,
    pub events: Events,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// How long a delivery is leased; extended while the handler runs.
    pub lease: Duration,
    /// After so many receives the handler is asked to abandon the event, and it is dead-lettered.
    /// Nobody can tell those of a port's absence from others, so there are many.
    pub max_receives: u32,
    /// Handlers that run at once in one process.
    pub concurrency: usize,
    /// For [`BatchHandler`](crate::BatchHandler)s.
    pub batching: Batching,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Events {
    All,
    Only(&'static [EventType]),
}

/// How many events are handled together, and how long to wait for more of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batching {
    pub max: usize,
    pub window: Duration,
}

impl Subscription {
    /// 30 s of time, a lease of a minute, 900 receives (SQS counts to 1,000), 64 at once, no batching.
    /// With the pauses between, the receives last for two days without a port.
    pub const fn new(name: &'static str, events: Events) -> Self {
        Self {
            name,
            events,
            timeout: Duration::from_secs(30),
            lease: Duration::from_mins(1),
            max_receives: 900,
            concurrency: 64,
            batching: Batching {
                max: 1,
                window: Duration::ZERO,
            },
        }
    }

    pub fn wants(&self, kind: EventType) -> bool {
        match self.events {
            Events::All => true,
            Events::Only(kinds) => kinds.contains(&kind),
        }
    }
}
