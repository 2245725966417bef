//! How an attempt leaves its call, and the effects that make it so.

use std::{collections::BTreeMap, sync::Arc};

use chrono::{DateTime, Utc};
use serde_json::Value;
use waybill_calls::{Call, Calls, Fenced, Outcome, Problem, Said, Stored};
use waybill_events::{CallId, Draft, TenantId, ToolCallInputRequired};
use waybill_messaging::{Clock, Effects, Expect, Failure};

use crate::{error::failure, limits::LEASE};

/// What an attempt ends with.
#[derive(Debug)]
pub(crate) enum Ending {
    /// The call is over. `bytes` and `is_error` tell of a result.
    Outcome {
        outcome: Outcome,
        bytes: u64,
        is_error: bool,
    },
    /// The call waits for its client.
    Ask(BTreeMap<String, Value>),
}

/// Which claim an ending stands on.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    pub(crate) tenant: TenantId,
    pub(crate) id: CallId,
    pub(crate) number: u32,
    /// Whether this worker has committed it.
    pub(crate) committed: bool,
}

/// An ending with everything that goes into its commit.
#[derive(Debug)]
pub(crate) struct Parting {
    pub(crate) ending: Ending,
    pub(crate) claim: Claim,
    /// What the tool said last.
    pub(crate) said: Vec<Said>,
}

impl From<Problem> for Ending {
    fn from(problem: Problem) -> Self {
        Self::Outcome {
            outcome: Outcome::Error(problem),
            bytes: 0,
            is_error: false,
        }
    }
}

impl Ending {
    fn apply(
        &self,
        call: &mut Call,
        number: u32,
        now: DateTime<Utc>,
    ) -> Result<Option<Draft>, Fenced> {
        match self {
            Self::Outcome {
                outcome,
                bytes,
                is_error,
            } => {
                call.finish(number, outcome.clone(), now)?;
                Ok(call.ended((*bytes, *is_error)))
            }
            Self::Ask(requests) => {
                call.ask(number, requests.clone(), now)?;
                let data = ToolCallInputRequired {
                    tool: call.tool.clone(),
                    attempt: number,
                    keys: requests.keys().cloned().collect(),
                };
                Ok(Some(call.draft(&data)))
            }
        }
    }
}

impl Parting {
    /// The effects on `stored`, and how to make them again when it has moved.
    pub(crate) fn effects(
        self,
        stored: Stored,
        calls: &Calls,
        clock: &Clock,
    ) -> Result<Effects, Failure> {
        let (calls, clock) = (calls.clone(), clock.clone());
        let mut effects = self.on(stored, clock.now())?;
        let parting = Arc::new(self);
        effects.rebase = Some(Box::new(move || {
            let (parting, calls, clock) = (parting.clone(), calls.clone(), clock.clone());
            Box::pin(async move { parting.again(&calls, clock.now()).await })
        }));
        Ok(effects)
    }

    async fn again(&self, calls: &Calls, now: DateTime<Utc>) -> Result<Effects, Failure> {
        let fresh = match calls.get(&self.claim.tenant, &self.claim.id).await {
            Err(waybill_calls::Error::Unknown) => return Ok(Effects::default()),
            fresh => fresh.map_err(failure)?,
        };
        match self.claim.on(fresh, now) {
            Ok(stored) => self.on(stored, now),
            Err(Fenced::Ended) => Ok(Effects::default()),
            Err(Fenced::Overtaken) => Err(overtaken()),
        }
    }

    fn on(&self, mut stored: Stored, now: DateTime<Utc>) -> Result<Effects, Failure> {
        let event = match self.apply(&mut stored.call, now) {
            Ok(event) => event,
            Err(Fenced::Ended) => return Ok(Effects::default()),
            Err(Fenced::Overtaken) => return Err(overtaken()),
        };
        Ok(Effects {
            writes: vec![Calls::write(&stored.call, Expect::Version(stored.version))],
            events: event.into_iter().collect(),
            rebase: None,
        })
    }

    fn apply(&self, call: &mut Call, now: DateTime<Utc>) -> Result<Option<Draft>, Fenced> {
        let number = self.claim.number;
        call.report(number, self.said.iter().cloned(), now)?;
        self.ending.apply(call, number, now)
    }
}

impl Claim {
    /// The fresh record with this claim on it, if it is still the newest. One that was not
    /// committed is overtaken by a claim of the same number: that is somebody else's.
    pub(crate) fn on(&self, mut fresh: Stored, now: DateTime<Utc>) -> Result<Stored, Fenced> {
        if fresh.call.state.is_terminal() {
            return Err(Fenced::Ended);
        }
        let newest = if self.committed {
            fresh.call.attempt == self.number
        } else {
            fresh.call.claim(now)? == self.number
        };
        newest.then_some(fresh).ok_or(Fenced::Overtaken)
    }
}

/// The one line of a call that ends without an answer. Whoever looks into it begins here.
pub(crate) fn tell(call: &Call, problem: &Problem, now: DateTime<Utc>) {
    let duration_ms = (now - call.created_at).num_milliseconds();
    // Somebody wanted that: nothing is wrong.
    if problem.code == "cancelled" {
        tracing::info!(
            call.id = %call.id,
            call.tool = call.tool,
            tenant.id = %call.tenant,
            attempt = call.attempt,
            duration_ms,
            "a call was cancelled"
        );
    } else {
        tracing::warn!(
            call.id = %call.id,
            call.tool = call.tool,
            tenant.id = %call.tenant,
            code = problem.code,
            attempt = call.attempt,
            duration_ms,
            "a call ends without an answer"
        );
    }
}

/// Not done: the inbox mark belongs to the attempt that has the call, which may be of the same event.
pub(crate) fn overtaken() -> Failure {
    Failure::Retry {
        after: Some(LEASE),
        source: Fenced::Overtaken.into(),
    }
}
