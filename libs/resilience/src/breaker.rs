//! A whole breaker: the shared circuit and this instance's window. Pure.

use chrono::{DateTime, Utc};
use failsafe::{
    FailurePolicy,
    backoff::Constant,
    failure_policy::{ConsecutiveFailures, consecutive_failures},
};

use crate::{Admission, Change, Circuit, Permit, Sample, Settings, State, Tally, window::Window};

/// Resilience4j's circuit breaker as a state machine that is told the time.
///
/// [`Breakers`](crate::Breakers) keeps one per name and shares its circuit through the ledger; alone
/// it is a breaker for one process.
#[derive(Debug)]
pub struct CircuitBreaker {
    settings: Settings,
    circuit: Circuit,
    window: Window,
    /// `failsafe`'s view of the same calls: failures in a row.
    run: ConsecutiveFailures<Constant>,
}

impl CircuitBreaker {
    pub fn new(settings: Settings) -> Self {
        let never_used = failsafe::backoff::constant(settings.open_wait);
        let run = consecutive_failures(settings.consecutive_failures.max(1), never_used);
        Self {
            settings,
            circuit: Circuit::default(),
            window: Window::default(),
            run,
        }
    }

    pub fn circuit(&self) -> &Circuit {
        &self.circuit
    }

    /// Takes over what another instance knows. A new generation starts with an empty window.
    pub fn adopt(&mut self, circuit: Circuit) {
        if circuit.generation != self.circuit.generation {
            self.window.clear();
            self.run.revived();
        }
        self.circuit = circuit;
    }

    /// Asks for one call.
    pub fn admit(&mut self, now: DateTime<Utc>) -> (Admission, Option<Change>) {
        let mut circuit = self.circuit.clone();
        let answer = circuit.admit(&self.settings, now);
        self.adopt(circuit);
        answer
    }

    /// Tells how a permitted call went.
    pub fn report(
        &mut self,
        permit: &Permit,
        sample: Sample,
        now: DateTime<Utc>,
    ) -> Option<Change> {
        let mut circuit = self.circuit.clone();
        let change = if permit.probe.is_some() {
            circuit.report(permit, sample, &self.settings, now)
        } else {
            let tally = self.judge(permit, sample, now)?;
            circuit.trip(permit.generation, tally, &self.settings, now)
        };
        self.adopt(circuit);
        change
    }

    /// A permitted call was not made.
    pub fn give_back(&mut self, permit: &Permit) {
        self.circuit.give_back(permit);
    }

    /// Adds a call to the window of a closed breaker. Some: it is time to trip, because of these.
    pub(crate) fn judge(
        &mut self,
        permit: &Permit,
        sample: Sample,
        now: DateTime<Utc>,
    ) -> Option<Tally> {
        if self.circuit.state != State::Closed || permit.generation != self.circuit.generation {
            return None;
        }
        self.window.push(sample, &self.settings, now);
        let run = if sample.failed {
            self.run.mark_dead_on_failure().is_some()
        } else {
            self.run.record_success();
            false
        };
        let judged = self.window.judged(&self.settings);
        let bad = judged.is_some_and(|tally| tally.is_bad(&self.settings));
        (run || bad).then(|| self.window.total())
    }
}
