//! What stands in front of an upstream, its bulkhead and its circuit breaker: through, parked or
//! refused.

use std::time::Duration;

use serde_json::json;
use waybill_calls::{Call, CallState, Problem, Stored};
use waybill_messaging::Failure;
use waybill_resilience::{Admission, Breakers, Permit, Sample};
use waybill_toolkit::ToolError;

use crate::{
    attempt::Stores,
    bulkhead::{Bulkheads, Slot},
    error::failure,
    limits::{MAX_IN_FLIGHT, PARK_MARGIN, least_park},
    run::{Verdict, Why},
};

/// The guards of the upstreams.
#[derive(Clone, Copy)]
pub(crate) struct Guards<'a> {
    pub(crate) breakers: &'a Breakers,
    pub(crate) bulkheads: &'a Bulkheads,
}

/// The right to call an upstream once, and whom to tell how it went.
pub(crate) struct Pass<'a> {
    breakers: &'a Breakers,
    upstream: &'a str,
    _slot: Slot,
    /// `None` where the breaker's own state is broken: better no guard than no service.
    permit: Option<Permit>,
}

pub(crate) enum Gate<'a> {
    /// With a pass when there is an upstream.
    Through(Option<Pass<'a>>),
    /// Come back later.
    Parked(Failure),
    Refused(Problem),
}

/// How a run went, as its upstream's breaker judges it.
pub(crate) struct Course<'a> {
    pub(crate) verdict: &'a Verdict,
    pub(crate) took: Duration,
    /// The call's own deadline ended the run before the tool's time was up. It is the client's
    /// choice, and says nothing about an upstream that others use too.
    pub(crate) cut_short: bool,
}

/// Asks the guards of `upstream` for one call.
pub(crate) async fn gate<'a>(
    stores: &Stores,
    guards: Guards<'a>,
    upstream: Option<&'a str>,
    stored: &Stored,
    receives: u32,
) -> Result<Gate<'a>, Failure> {
    let Some(upstream) = upstream else {
        return Ok(Gate::Through(None));
    };
    // First the slot, which is given back by itself when the breaker says no.
    let Some(slot) = guards.bulkheads.slot(upstream).await else {
        return full(stores, upstream, stored, receives).await;
    };
    let pass = |permit| Pass {
        breakers: guards.breakers,
        upstream,
        _slot: slot,
        permit,
    };
    let retry_at = match guards.breakers.admit(upstream).await {
        Ok(Admission::Permitted(permit)) => return Ok(Gate::Through(Some(pass(Some(permit))))),
        Ok(Admission::Refused { retry_at }) => retry_at,
        Err(waybill_resilience::Error::Port(error)) => return Err(error.into()),
        Err(error @ waybill_resilience::Error::Contended { .. }) => {
            return Err(Failure::retry(error));
        }
        Err(error @ waybill_resilience::Error::Corrupt { .. }) => {
            let error = &error as &dyn std::error::Error;
            tracing::error!(upstream, error, "no breaker guards this call");
            return Ok(Gate::Through(Some(pass(None))));
        }
    };
    let open = (retry_at - stores.clock.now()).to_std().unwrap_or_default();
    let why = format!("the circuit breaker of {upstream} is open");
    if let Some(parked) = park(stores, stored, receives, open, &why).await? {
        return Ok(Gate::Parked(parked));
    }
    let message = format!(
        "{upstream} is failing, so it is not called: its circuit breaker is open and lets the next \
         call through at {}, too late for this call's deadline.",
        retry_at.to_rfc3339()
    );
    let data = json!({ "breaker": upstream, "retryAt": retry_at });
    Ok(Gate::Refused(Problem {
        data: Some(data),
        ..Problem::new("upstream_unavailable", message)
    }))
}

/// All slots of `upstream` are taken, perhaps for long.
async fn full<'a>(
    stores: &Stores,
    upstream: &str,
    stored: &Stored,
    receives: u32,
) -> Result<Gate<'a>, Failure> {
    let why = format!("{MAX_IN_FLIGHT} calls of {upstream} are running");
    if let Some(parked) = park(stores, stored, receives, Duration::ZERO, &why).await? {
        return Ok(Gate::Parked(parked));
    }
    let message = format!("{why}, and none ended before this call's deadline was near.");
    let problem = Problem::new("upstream_unavailable", message);
    Ok(Gate::Refused(problem))
}

/// Leaves the call on the queue, as waiting, for at least `least`; `None` when its deadline is
/// sooner. Parking is no attempt: see the crate's documentation.
pub(crate) async fn park(
    stores: &Stores,
    stored: &Stored,
    receives: u32,
    least: Duration,
    why: &str,
) -> Result<Option<Failure>, Failure> {
    let call = &stored.call;
    let now = stores.clock.now();
    let after = least.max(least_park(receives)).saturating_add(spread(call));
    let left = (call.deadline - now).to_std().unwrap_or_default();
    if left < after + PARK_MARGIN {
        return Ok(None);
    }
    // A call that may have acted stays as it is: cancelling it must not hide that.
    if call.state != CallState::WaitingCapacity && call.intent.is_none() {
        let mut parked = stored.clone();
        let number = parked.call.attempt;
        if parked
            .call
            .park(number, CallState::WaitingCapacity, now)
            .is_ok()
        {
            match stores.calls.commit(&parked, Vec::new()).await {
                // Somebody changed it: the next delivery sees what.
                Ok(_)
                | Err(waybill_calls::Error::Port(waybill_messaging::Error::Conflict { .. })) => {}
                Err(error) => return Err(failure(error)),
            }
        }
    }
    Ok(Some(Failure::Retry {
        after: Some(after),
        source: why.into(),
    }))
}

/// Up to half a second, so that parked calls do not come back all at once.
fn spread(call: &Call) -> Duration {
    let last = call.id.as_str().bytes().last().unwrap_or(0);
    Duration::from_millis(u64::from(last % 32) * 16)
}

impl Pass<'_> {
    pub(crate) fn is_probe(&self) -> bool {
        self.permit.as_ref().is_some_and(Permit::is_probe)
    }

    /// Tells the breaker how the run went, as far as the upstream is to blame.
    pub(crate) async fn report(self, course: &Course<'_>) {
        let Some(permit) = self.permit else { return };
        let told = match blame(course) {
            Some(failed) => {
                let took = course.took;
                let sample = Sample { failed, took };
                self.breakers.report(self.upstream, permit, sample).await
            }
            None => self.breakers.give_back(self.upstream, permit).await,
        };
        if let Err(error) = told {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(upstream = self.upstream, error, "cannot tell the breaker");
        }
    }

    /// The call was not made.
    pub(crate) async fn give_back(self) {
        let course = Course {
            verdict: &Verdict::Stopped(Why::Lost),
            took: Duration::ZERO,
            cut_short: false,
        };
        self.report(&course).await;
    }
}

/// Whether the upstream failed; `None` when the run says nothing about it.
fn blame(course: &Course<'_>) -> Option<bool> {
    match course.verdict {
        Verdict::Told(Ok(_) | Err(ToolError::InputRequired(_) | ToolError::Protocol { .. })) => {
            Some(false)
        }
        Verdict::Told(Err(ToolError::Unavailable { .. } | ToolError::Unknown { .. }))
        | Verdict::Stopped(Why::Timeout | Why::Deadline) => (!course.cut_short).then_some(true),
        Verdict::Told(Err(ToolError::Invalid(_) | ToolError::Cancelled))
        | Verdict::Panicked(_)
        | Verdict::Stopped(Why::Cancelled | Why::Lost | Why::Shutdown) => None,
    }
}
