//! What a crash left between commit and publication.

use std::time::Duration;

use waybill_events::{Event, EventType};
use waybill_messaging::{Context, Effects, Events, Failure, Handler, Subscription};

use crate::DynamoLedger;

/// Younger events are still being published by the process that committed them.
const LEFT_BEHIND: Duration = Duration::from_secs(10);
/// Events of one tick.
const STEP: usize = 500;

/// A reconciler: publishes again what has been in the outbox for too long. Consumers know events
/// that they have seen.
pub struct OutboxSweep(DynamoLedger);

impl OutboxSweep {
    pub fn new(ledger: DynamoLedger) -> Self {
        Self(ledger)
    }
}

impl Handler for OutboxSweep {
    const SUBSCRIPTION: Subscription = Subscription {
        concurrency: 1,
        ..Subscription::new("outbox-sweep", Events::Only(&[EventType::ScheduleTicked]))
    };

    async fn handle(&self, _tick: &Event, _cx: &Context) -> Result<Effects, Failure> {
        let published = self.0.sweep_outbox(LEFT_BEHIND, STEP).await?;
        if published > 0 {
            tracing::warn!(published, "events were left in the outbox by a crash");
        }
        Ok(Effects::default())
    }
}
