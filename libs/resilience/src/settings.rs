//! When a breaker opens, for how long, and what closes it again.

use std::time::Duration;

/// Which calls a closed breaker judges by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// The last so many.
    Calls(u32),
    /// Those of the last so many seconds, in steps of one second.
    Seconds(u32),
}

/// Resilience4j's settings under plainer names, and one of `failsafe`'s: a run of failures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    pub span: Span,
    /// Below so many calls in the span no rate is looked at. At most the span's own number of calls.
    pub minimum_calls: u32,
    /// 0 to 1. At this share of failures or above it, the breaker opens.
    pub failure_rate: f64,
    /// A call that took so long or longer was slow.
    pub slow_call: Duration,
    /// 0 to 1. At this share of slow calls or above it, the breaker opens.
    pub slow_call_rate: f64,
    /// So many failures in a row open it too, even below `minimum_calls`: a quiet upstream that has
    /// died is not asked ten times. `u32::MAX` turns this off.
    pub consecutive_failures: u32,
    /// How long it stays open at first; doubled at each opening that no closing came between.
    /// Whole seconds, at least one.
    pub open_wait: Duration,
    pub open_wait_max: Duration,
    /// Calls that a half-open breaker admits before it decides.
    pub probes: u32,
    /// A probe that has not reported after so long counts as a failure: its process has died.
    pub probe_wait: Duration,
}

impl Default for Settings {
    /// 50 calls, at least 10, half of them failed or all slower than a minute, or 5 failures in a
    /// row; open for 5 s to 1 min; 3 probes of at most 2 min.
    fn default() -> Self {
        Self {
            span: Span::Calls(50),
            minimum_calls: 10,
            failure_rate: 0.5,
            slow_call: Duration::from_mins(1),
            slow_call_rate: 1.0,
            consecutive_failures: 5,
            open_wait: Duration::from_secs(5),
            open_wait_max: Duration::from_mins(1),
            probes: 3,
            probe_wait: Duration::from_mins(2),
        }
    }
}

impl Settings {
    /// How long the `openings`-th opening in a row lasts; 1 is the first.
    pub(crate) fn wait(&self, openings: u32) -> Duration {
        let first = self.open_wait.max(Duration::from_secs(1));
        let mut waits = failsafe::backoff::exponential(first, self.open_wait_max.max(first));
        let nth = openings.clamp(1, 30) - 1;
        waits.nth(nth as usize).unwrap_or(self.open_wait_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_its_limit() {
        let settings = Settings::default();
        let seconds = [1, 2, 3, 4, 5, 6, 100].map(|nth| settings.wait(nth).as_secs());
        assert_eq!(seconds, [5, 10, 20, 40, 60, 60, 60]);
    }
}
