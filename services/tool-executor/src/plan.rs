//! What to do about a delivery, by the record alone. Pure.

use std::time::Duration;

use chrono::{DateTime, Utc};
use waybill_calls::{Call, CallState, Outcome, Problem};
use waybill_events::{Event, EventType};

use crate::limits::{MAX_ATTEMPTS, MAX_DEATHS, least_park};

#[derive(Debug, PartialEq)]
pub(crate) enum Plan {
    /// It has ended for good, or waits for its client.
    Nothing,
    /// It was given up, for this reason, and this delivery with it.
    GivenUp(String),
    /// It ends without running.
    End(Problem),
    /// Somebody else is at it: come back.
    ComeBack(Duration),
    /// It ended more than one process, so it seems: put it aside.
    PutAside,
    /// It may have acted: find out.
    Reconcile,
    Run,
}

/// For a call as it is after [`Call::reopen`]. `tried` is how many attempts count.
pub(crate) fn plan(
    call: &Call,
    event: &Event,
    receives: u32,
    tried: u32,
    now: DateTime<Utc>,
) -> Plan {
    let overdue = call.deadline <= now;
    if call.state.is_terminal() {
        return given_up(call).map_or(Plan::Nothing, Plan::GivenUp);
    }
    if let Some(until) = call.held(now) {
        let left = (until - now).to_std().unwrap_or_default();
        return Plan::ComeBack(left.max(least_park(receives)));
    }
    if call.intent.is_some() {
        return if overdue {
            Plan::End(outcome_unknown(call, "its deadline passed"))
        } else {
            Plan::Reconcile
        };
    }
    if call.cancel_requested {
        return Plan::End(cancelled());
    }
    if overdue {
        return Plan::End(expired());
    }
    match call.state {
        CallState::WaitingInput => Plan::Nothing,
        _ if is_answered_by_another(call, event) => Plan::Nothing,
        _ if receives > MAX_DEATHS && tried >= MAX_DEATHS => Plan::PutAside,
        _ => Plan::Run,
    }
}

/// The reason, where it ended as a dead letter. A redrive has opened it by now: this is the delivery
/// that was to be put aside, whose settlement was lost.
fn given_up(call: &Call) -> Option<String> {
    match &call.outcome {
        Some(Outcome::Error(problem)) if call.is_dead_lettered() => Some(problem.message.clone()),
        _ => None,
    }
}

/// A call goes on in the name of the event that brought its last answer. Its other events have had
/// their run: acting for one of them would end in an inbox mark that is already there.
fn is_answered_by_another(call: &Call, event: &Event) -> bool {
    match event.kind {
        EventType::ToolCallInputProvided => {
            call.state == CallState::Accepted && event.time < call.updated_at
        }
        _ => !call.input_responses.is_empty(),
    }
}

/// Whether the `tried`-th attempt was the last one. The first may not have been counted, because a quick
/// attempt is not; each answer of the client opens a new round; receives that were parked are none.
pub(crate) fn exhausted(call: &Call, tried: u32, receives: u32) -> bool {
    let answers = u32::try_from(call.input_responses.len()).unwrap_or(u32::MAX);
    receives >= MAX_ATTEMPTS && tried + 1 >= MAX_ATTEMPTS.saturating_add(answers)
}

pub(crate) fn cancelled() -> Problem {
    Problem::new("cancelled", "The call was cancelled.")
}

pub(crate) fn expired() -> Problem {
    Problem::new("expired", "The call passed its deadline without an answer.")
}

/// `why` completes "..., because".
pub(crate) fn outcome_unknown(call: &Call, why: &str) -> Problem {
    let message = format!(
        "{} may or may not have acted, because {why}. It will not be tried again. Check with the \
         provider whether it happened before you repeat it; the idempotency key was {}.",
        call.tool, call.id
    );
    Problem::new("outcome_unknown", message)
}
