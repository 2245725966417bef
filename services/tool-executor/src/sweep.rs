//! Ends what passed its deadline while nobody worked on it, and removes what has expired.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use futures::{StreamExt, stream};
use tokio::time::Instant;
use waybill_calls::{Call, CallState, Calls, Error, Stored};
use waybill_events::{Event, EventType};
use waybill_messaging::{Blobs, Context, Effects, Events, Failure, Handler, Ledger, Subscription};

use crate::{
    ending::tell,
    error::failure,
    limits::{EXPIRE_STEP, EXPIRE_STEPS, SWEEP_GRACE, SWEEP_STEP, SWEEP_TIME},
    plan::{expired, outcome_unknown},
};

const _: () = assert!(
    SWEEP_TIME.as_secs() + 5 < DeadlineSweep::SUBSCRIPTION.timeout.as_secs(),
    "a tick ends by itself"
);

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

    /// Looks at each overdue call once, as long as there is time. `first`: the shard to begin with.
    async fn end_overdue(&self, first: u8, until: Instant, cx: &Context) -> Result<(), Error> {
        for shard in 0..Calls::OPEN_SHARDS {
            let shard = first.wrapping_add(shard) % Calls::OPEN_SHARDS;
            let mut after = None;
            loop {
                if Instant::now() >= until || cx.shutdown.is_cancelled() {
                    return Ok(());
                }
                let page = self.calls.overdue(shard, SWEEP_STEP, after.take());
                let (overdue, next) = page.await?;
                stream::iter(overdue)
                    .for_each_concurrent(SWEEP_STEP, |seen| self.end(seen))
                    .await;
                after = next;
                if after.is_none() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Each in a commit of its own: one that cannot be ended keeps no other from it.
    async fn end(&self, seen: Stored) {
        let Call { tenant, id, .. } = &seen.call;
        // The index may trail behind the record, which is read again.
        let ended = self.calls.change(tenant, id, |call, now| {
            Ok(end(call, now).then(|| call.ended((0, false)).into_iter().collect()))
        });
        match ended.await {
            Ok(_) | Err(Error::Unknown) => {}
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, call.id = %id, "cannot end a call whose deadline passed");
            }
        }
    }

    /// In steps, so that others come between, and at least one. A store that cannot forget does not
    /// keep calls from ending.
    async fn forget(&self, until: Instant) {
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
            if !more || Instant::now() >= until {
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

    async fn handle(&self, tick: &Event, cx: &Context) -> Result<Effects, Failure> {
        let until = Instant::now() + SWEEP_TIME;
        // Another one each time, so that a tick whose time is up leaves none behind for good: the
        // id ends in a hash.
        let first = tick.id.as_str().bytes().last().unwrap_or(0);
        let ended = self.end_overdue(first, until, cx).await;
        self.forget(until).await;
        ended.map_err(failure)?;
        Ok(Effects::default())
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
