//! The time, as a value that is passed: tests and the simulation move it.

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use tokio::time::Instant;

/// Where the wall-clock time comes from. Millisecond precision, because that is what is stored.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    /// Follows tokio's clock from a fixed beginning: stands still and jumps with paused time.
    Simulated {
        origin: DateTime<Utc>,
        began: Instant,
        skew: TimeDelta,
    },
}

impl Clock {
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// Begins at `origin` now and moves with tokio's clock.
    pub fn simulated(origin: DateTime<Utc>) -> Self {
        Self(Source::Simulated {
            origin,
            began: Instant::now(),
            skew: TimeDelta::zero(),
        })
    }

    /// The same clock, wrong by `skew`: another machine's. A system clock stays right.
    #[must_use]
    pub fn skewed(mut self, by: TimeDelta) -> Self {
        if let Source::Simulated { skew, .. } = &mut self.0 {
            *skew = by;
        }
        self
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the clock"
    )]
    pub fn now(&self) -> DateTime<Utc> {
        match &self.0 {
            Source::System => Utc::now().trunc_subsecs(3),
            Source::Simulated {
                origin,
                began,
                skew,
            } => {
                let passed = TimeDelta::from_std(began.elapsed()).unwrap_or(TimeDelta::MAX);
                (*origin + passed + *skew).trunc_subsecs(3)
            }
        }
    }
}
