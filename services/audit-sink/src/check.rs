//! Looks at times whether the trail is still what was written.

use waybill_events::{Event, EventType};
use waybill_messaging::{Context, Effects, Events, Failure, Handler, Meter, Subscription};
use waybill_telemetry::metrics::AUDIT_PROBLEMS;

use crate::Trail;

/// A reconciler: verifies the recent part of the trail, and sets the gauge that an alarm watches.
pub struct AuditCheck {
    trail: Trail,
    meter: Meter,
}

impl AuditCheck {
    pub fn new(trail: Trail, meter: Meter) -> Self {
        Self { trail, meter }
    }
}

impl Handler for AuditCheck {
    const SUBSCRIPTION: Subscription = Subscription {
        concurrency: 1,
        ..Subscription::new("audit-check", Events::Only(&[EventType::ScheduleTicked]))
    };

    async fn handle(&self, _tick: &Event, _cx: &Context) -> Result<Effects, Failure> {
        let verified = self.trail.verify_recent().await.map_err(Failure::retry)?;
        if let Some(flaw) = &verified.flaw {
            tracing::error!(%flaw, "the audit trail is not what was written");
        }
        let problems = i64::from(verified.flaw.is_some());
        self.meter.set(&AUDIT_PROBLEMS, &[], problems);
        Ok(Effects::default())
    }
}
