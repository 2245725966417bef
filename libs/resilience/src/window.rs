//! What a closed breaker remembers of the last calls.

use std::{collections::VecDeque, time::Duration};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{Settings, Span};

/// How a call went, as far as its upstream is to blame. An answer that reports an error of the
/// tool's own (`isError: true`) is no failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    pub failed: bool,
    pub took: Duration,
}

/// Counts of calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    pub calls: u32,
    pub failures: u32,
    pub slow: u32,
}

impl Tally {
    pub(crate) fn add(&mut self, sample: Sample, settings: &Settings) {
        self.calls += 1;
        self.failures += u32::from(sample.failed);
        self.slow += u32::from(sample.took >= settings.slow_call);
    }

    /// One of the two rates is at its limit or above it.
    pub(crate) fn is_bad(self, settings: &Settings) -> bool {
        let calls = f64::from(self.calls.max(1));
        let at = |count: u32, limit: f64| count > 0 && f64::from(count) / calls >= limit;
        at(self.failures, settings.failure_rate) || at(self.slow, settings.slow_call_rate)
    }

    fn take(&mut self, other: Self) {
        self.calls -= other.calls;
        self.failures -= other.failures;
        self.slow -= other.slow;
    }

    fn merge(&mut self, other: Self) {
        self.calls += other.calls;
        self.failures += other.failures;
        self.slow += other.slow;
    }
}

/// A sliding window. One step holds one call, or the calls of one second.
#[derive(Debug, Default)]
pub(crate) struct Window {
    /// The step's second (0 where steps are calls) and its counts, oldest first.
    steps: VecDeque<(i64, Tally)>,
    total: Tally,
}

impl Window {
    pub(crate) fn push(&mut self, sample: Sample, settings: &Settings, now: DateTime<Utc>) {
        let mut one = Tally::default();
        one.add(sample, settings);
        match settings.span {
            Span::Calls(calls) => {
                self.steps.push_back((0, one));
                if self.steps.len() > calls.max(1) as usize {
                    self.forget();
                }
            }
            Span::Seconds(seconds) => {
                let second = now.timestamp();
                while let Some((oldest, _)) = self.steps.front()
                    && *oldest <= second - i64::from(seconds.max(1))
                {
                    self.forget();
                }
                match self.steps.back_mut() {
                    Some((last, tally)) if *last >= second => tally.merge(one),
                    _ => self.steps.push_back((second, one)),
                }
            }
        }
        self.total.merge(one);
    }

    /// The counts, when there are enough of them to judge by.
    pub(crate) fn judged(&self, settings: &Settings) -> Option<Tally> {
        let most = match settings.span {
            Span::Calls(calls) => calls.max(1),
            Span::Seconds(_) => u32::MAX,
        };
        (self.total.calls >= settings.minimum_calls.min(most)).then_some(self.total)
    }

    pub(crate) fn total(&self) -> Tally {
        self.total
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    fn forget(&mut self) {
        if let Some((_, oldest)) = self.steps.pop_front() {
            self.total.take(oldest);
        }
    }
}
