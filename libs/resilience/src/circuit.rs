//! The part of a breaker that every instance shares: its state and its transitions. Pure.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::{Sample, Settings, Tally};

/// A breaker's state, and how often it has changed: what was permitted under an older generation
/// no longer counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Circuit {
    pub generation: u64,
    pub state: State,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Calls pass and are judged.
    #[default]
    Closed,
    /// No call passes before `until`.
    Open {
        until: DateTime<Utc>,
        /// Openings in a row, this one included.
        openings: u32,
    },
    /// Exactly [`Settings::probes`] calls pass; their outcomes decide.
    HalfOpen {
        openings: u32,
        /// Probes under way: number and when they count as lost.
        pending: BTreeMap<u32, DateTime<Utc>>,
        /// The number of the next probe. A number is never given twice.
        next: u32,
        reported: Tally,
    },
}

/// The right to make one call. Report how it went, or give it back.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a permit is reported or given back: a probe that is lost keeps the breaker half-open"]
pub struct Permit {
    pub(crate) generation: u64,
    /// The probe's number, when it is one.
    pub(crate) probe: Option<u32>,
}

/// Whether a call may go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    Permitted(Permit),
    /// Not before `retry_at`; then it may be asked again, with no promise.
    Refused {
        retry_at: DateTime<Utc>,
    },
}

/// A transition that others want to hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Opened(Tally),
    Closed,
}

/// How soon to ask again when all probes are under way.
const PROBES_BUSY: TimeDelta = TimeDelta::seconds(1);

impl Permit {
    /// The call is let through to see whether the upstream is back.
    pub fn is_probe(&self) -> bool {
        self.probe.is_some()
    }
}

impl Circuit {
    /// Opens a closed circuit. Nothing when it is not closed, or has changed since `generation`.
    pub fn trip(
        &mut self,
        generation: u64,
        tally: Tally,
        settings: &Settings,
        now: DateTime<Utc>,
    ) -> Option<Change> {
        if self.generation != generation || self.state != State::Closed {
            return None;
        }
        self.open(1, settings, now);
        Some(Change::Opened(tally))
    }

    /// Asks for one call. Takes a probe when the wait is over.
    pub fn admit(
        &mut self,
        settings: &Settings,
        now: DateTime<Utc>,
    ) -> (Admission, Option<Change>) {
        let change = self.lose(settings, now);
        if let State::Open { until, openings } = self.state
            && until <= now
        {
            self.step(State::HalfOpen {
                openings,
                pending: BTreeMap::new(),
                next: 0,
                reported: Tally::default(),
            });
        }
        let generation = self.generation;
        let admission = match &mut self.state {
            State::Closed => Admission::Permitted(Permit {
                generation,
                probe: None,
            }),
            State::Open { until, .. } => Admission::Refused { retry_at: *until },
            State::HalfOpen {
                pending,
                next,
                reported,
                ..
            } => {
                let taken = reported.calls as usize + pending.len();
                if taken < settings.probes.max(1) as usize {
                    let probe = *next;
                    *next += 1;
                    pending.insert(probe, now + delta(settings.probe_wait));
                    Admission::Permitted(Permit {
                        generation,
                        probe: Some(probe),
                    })
                } else {
                    let retry_at = now + PROBES_BUSY;
                    Admission::Refused { retry_at }
                }
            }
        };
        (admission, change)
    }

    /// A probe has come back. The last one decides.
    pub fn report(
        &mut self,
        permit: &Permit,
        sample: Sample,
        settings: &Settings,
        now: DateTime<Utc>,
    ) -> Option<Change> {
        if let Some((pending, reported)) = self.probing(permit)
            && let Some(probe) = permit.probe
            && pending.remove(&probe).is_some()
        {
            reported.add(sample, settings);
        }
        self.decide(settings, now)
    }

    /// A probe was not used: another call may have it.
    pub fn give_back(&mut self, permit: &Permit) {
        if let Some((pending, _)) = self.probing(permit)
            && let Some(probe) = permit.probe
        {
            pending.remove(&probe);
        }
    }

    fn probing(
        &mut self,
        permit: &Permit,
    ) -> Option<(&mut BTreeMap<u32, DateTime<Utc>>, &mut Tally)> {
        if permit.generation != self.generation {
            return None;
        }
        match &mut self.state {
            State::HalfOpen {
                pending, reported, ..
            } => Some((pending, reported)),
            _ => None,
        }
    }

    /// Probes that are overdue have failed.
    fn lose(&mut self, settings: &Settings, now: DateTime<Utc>) -> Option<Change> {
        if let State::HalfOpen {
            pending, reported, ..
        } = &mut self.state
        {
            let before = pending.len();
            pending.retain(|_, lost_at| *lost_at > now);
            let lost = u32::try_from(before - pending.len()).unwrap_or(u32::MAX);
            reported.calls += lost;
            reported.failures += lost;
        }
        self.decide(settings, now)
    }

    fn decide(&mut self, settings: &Settings, now: DateTime<Utc>) -> Option<Change> {
        let State::HalfOpen {
            openings, reported, ..
        } = self.state
        else {
            return None;
        };
        if reported.calls < settings.probes.max(1) {
            return None;
        }
        if reported.is_bad(settings) {
            self.open(openings.saturating_add(1), settings, now);
            return Some(Change::Opened(reported));
        }
        self.step(State::Closed);
        Some(Change::Closed)
    }

    fn open(&mut self, openings: u32, settings: &Settings, now: DateTime<Utc>) {
        let until = now + delta(settings.wait(openings));
        self.step(State::Open { until, openings });
    }

    fn step(&mut self, state: State) {
        self.generation += 1;
        self.state = state;
    }
}

fn delta(duration: std::time::Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}
