//! Looks at times whether the trail is still what was written.

use std::time::Duration;

use tokio::time::Instant;
use waybill_events::{Event, EventType};
use waybill_messaging::{Context, Effects, Events, Failure, Handler, Meter, Subscription};
use waybill_telemetry::metrics::{AUDIT_PASS_AGE, AUDIT_PROBLEMS};

use crate::Trail;

/// How long one tick verifies; well within the subscription's time.
const CHECK_TIME: Duration = Duration::from_secs(20);

/// A reconciler: verifies the recent part of the trail and goes on with the pass over the whole, and
/// sets the gauges that alarms watch.
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

    async fn handle(&self, _tick: &Event, cx: &Context) -> Result<Effects, Failure> {
        let until = Instant::now() + CHECK_TIME;
        let recent = self.trail.verify_recent().await.map_err(Failure::retry)?;
        let step = self.trail.go_on(cx, until).await;
        let older = step.as_ref().ok().and_then(|step| step.flaw.as_ref());
        let older = older.filter(|older| recent.flaw.as_ref() != Some(older));
        let mut problems = 0;
        for flaw in recent.flaw.iter().chain(older) {
            tracing::error!(%flaw, "the audit trail is not what was written");
            problems += 1;
        }
        self.meter.set(&AUDIT_PROBLEMS, &[], problems);
        let step = step.map_err(Failure::retry)?;
        let age = step.age.num_seconds();
        self.meter.set(&AUDIT_PASS_AGE, &[], age);
        Ok(Effects {
            writes: step.write.into_iter().collect(),
            ..Effects::default()
        })
    }
}
