//! Ends what passed its deadline while nobody worked on it, and removes what has expired.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use waybill_calls::{Call, CallState, Calls};
use waybill_events::{Event, EventType};
use waybill_messaging::{
    Blobs, Commit, Context, Effects, Events, Expect, Failure, Handler, Ledger, Subscription, Write,
};

use crate::{
    ending::tell,
    error::failure,
    limits::{EXPIRE_STEP, EXPIRE_STEPS, SWEEP_GRACE, SWEEP_STEP},
    plan::{expired, outcome_unknown},
};

/// A reconciler: each tick takes the next step, and no tick is missed when one is lost.
pub struct DeadlineSweep {
    calls: Calls,
    ledger: Arc<dyn Ledger>,
    blobs: Arc<dyn Blobs>,
}

impl DeadlineSweep {
    pub fn new(calls: Calls, ledger: Arc<dyn Ledger>, blobs: Arc<dyn Blobs>) -> Self {
        Self {
            calls,
            ledger,
            blobs,
        }
    }

    /// In steps, so that others come between. A store that cannot forget does not keep calls from
    /// ending.
    async fn forget(&self) {
        for _ in 0..EXPIRE_STEPS {
            let steps = [
                self.ledger.expire(EXPIRE_STEP).await,
                self.blobs.expire(EXPIRE_STEP).await,
            ];
            let more = steps.iter().any(|removed| {
                removed
                    .as_ref()
                    .is_ok_and(|removed| *removed >= EXPIRE_STEP)
            });
            for error in steps.into_iter().filter_map(Result::err) {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(
                    error,
                    "cannot remove what has expired; the next tick tries again"
                );
            }
            if !more {
                return;
            }
        }
    }
}

impl Handler for DeadlineSweep {
    const SUBSCRIPTION: Subscription = Subscription {
        concurrency: 1,
        ..Subscription::new(
            "tool-executor-sweep",
            Events::Only(&[EventType::ScheduleTicked]),
        )
    };

    async fn handle(&self, _tick: &Event, cx: &Context) -> Result<Effects, Failure> {
        self.forget().await;
        let (mut effects, mut bytes) = (Effects::default(), 0);
        for seen in self.calls.overdue(SWEEP_STEP).await.map_err(failure)? {
            // The index may trail behind the record.
            let mut stored = match self.calls.get(&seen.call.tenant, &seen.call.id).await {
                Err(waybill_calls::Error::Unknown) => continue,
                stored => stored.map_err(failure)?,
            };
            if end(&mut stored.call, cx.now) {
                let write = Calls::write(&stored.call, Expect::Version(stored.version));
                bytes += body_len(&write);
                if bytes > Commit::MAX_BYTES {
                    // The next tick takes the rest.
                    break;
                }
                effects.writes.push(write);
                effects.events.extend(stored.call.ended((0, false)));
            }
        }
        Ok(effects)
    }
}

fn body_len(write: &Write) -> usize {
    match write {
        Write::Put { body, .. } => body.len(),
        Write::Delete { .. } | Write::Check { .. } => 0,
    }
}

/// False when it is not the sweep's.
fn end(call: &mut Call, now: DateTime<Utc>) -> bool {
    let grace = if call.state == CallState::Running {
        TimeDelta::from_std(SWEEP_GRACE).unwrap_or_default()
    } else {
        TimeDelta::zero()
    };
    if call.deadline + grace > now {
        return false;
    }
    let problem = if call.intent.is_some() {
        outcome_unknown(call, "its deadline passed")
    } else {
        expired()
    };
    let ended = call.give_up(problem.clone(), now).is_ok();
    if ended {
        tell(call, &problem, now);
    }
    ended
}
