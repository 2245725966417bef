//! What a crash left between commit and publication.

use std::time::Duration;

use waybill_events::{Event, EventType};
use waybill_messaging::{Context, Effects, Events, Failure, Handler, Meter, Subscription};
use waybill_telemetry::metrics::OUTBOX_OLDEST;

use crate::DynamoLedger;

/// Younger events are still being published by the process that committed them.
const LEFT_BEHIND: Duration = Duration::from_secs(10);
/// Of one tick: less than a schedule's shortest period of a minute, and than a function's timeout.
const LONGEST: Duration = Duration::from_secs(50);

/// A reconciler: publishes again what has been in the outbox for too long. Consumers know events
/// that they have seen.
pub struct OutboxSweep {
    ledger: DynamoLedger,
    meter: Meter,
}

impl OutboxSweep {
    pub fn new(ledger: DynamoLedger, meter: Meter) -> Self {
        Self { ledger, meter }
    }
}

impl Handler for OutboxSweep {
    const SUBSCRIPTION: Subscription = Subscription {
        concurrency: 1,
        ..Subscription::new("outbox-sweep", Events::Only(&[EventType::ScheduleTicked]))
    };

    async fn handle(&self, _tick: &Event, cx: &Context) -> Result<Effects, Failure> {
        let sweep = self.ledger.sweep_outbox(LEFT_BEHIND, LONGEST);
        let Some(swept) = cx.shutdown.run_until_cancelled(sweep).await else {
            return Ok(Effects::default());
        };
        let swept = swept?;
        self.meter.observe(&OUTBOX_OLDEST, &[], swept.oldest);
        let published = swept.published;
        if published > 0 {
            tracing::warn!(published, "events were left in the outbox by a crash");
        }
        match swept.stopped {
            Some(error) => Err(error.into()),
            None => Ok(Effects::default()),
        }
    }
}
