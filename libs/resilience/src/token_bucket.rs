//! A token bucket as a pure state machine that is told the time.

use std::time::Duration;

/// The longest wait that is told: a bucket that is never refilled has no other answer.
const NEVER: Duration = Duration::from_hours(1);

/// A bucket's form.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Tokens that come back a second. 0, or what is no number: none ever do.
    pub per_second: f64,
    /// Tokens that it holds: what may be taken at once.
    pub burst: u32,
}

/// Full at its beginning. The time is what has passed since any fixed moment, by a clock that only
/// goes forward: a wall clock that is set back would stop the refill for as long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TokenBucket {
    tokens: f64,
    at: Duration,
}

impl TokenBucket {
    pub fn full(rate: &Rate, now: Duration) -> Self {
        Self {
            tokens: f64::from(rate.burst),
            at: now,
        }
    }

    /// Takes one token. `Err`: how long until there is one.
    pub fn take(&mut self, rate: &Rate, now: Duration) -> Result<(), Duration> {
        *self = self.refilled(rate, now);
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        let wait = Duration::try_from_secs_f64((1.0 - self.tokens) / rate.per_second);
        Err(wait.map_or(NEVER, |wait| wait.min(NEVER)))
    }

    /// Nothing would be lost by forgetting it.
    pub fn is_full(&self, rate: &Rate, now: Duration) -> bool {
        self.refilled(rate, now).tokens >= f64::from(rate.burst)
    }

    fn refilled(self, rate: &Rate, now: Duration) -> Self {
        let passed = now.saturating_sub(self.at).as_secs_f64();
        // `max` gives 0 for what is no number.
        let gained = (passed * rate.per_second).max(0.0);
        Self {
            tokens: (self.tokens + gained).min(f64::from(rate.burst)),
            at: self.at.max(now),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_burst_then_the_rate() {
        let rate = Rate {
            per_second: 2.0,
            burst: 3,
        };
        let mut bucket = TokenBucket::full(&rate, ms(0));
        for _ in 0..3 {
            assert_eq!(bucket.take(&rate, ms(0)), Ok(()));
        }
        assert_eq!(bucket.take(&rate, ms(0)), Err(ms(500)));
        assert!(!bucket.is_full(&rate, ms(1_499)));
        assert!(bucket.is_full(&rate, ms(1_500)));
        assert_eq!(bucket.take(&rate, ms(500)), Ok(()));
        assert_eq!(bucket.take(&rate, ms(500)), Err(ms(500)));
    }

    #[test]
    fn rates_that_refill_nothing_give_a_bounded_wait() {
        for per_second in [0.0, -1.0, f64::MIN_POSITIVE, f64::NAN] {
            let rate = Rate {
                per_second,
                burst: 1,
            };
            let mut bucket = TokenBucket::full(&rate, ms(0));
            assert_eq!(bucket.take(&rate, ms(0)), Ok(()), "{per_second}");
            assert_eq!(bucket.take(&rate, ms(9)), Err(NEVER), "{per_second}");
        }
        let rate = Rate {
            per_second: 5.0,
            burst: 0,
        };
        let mut none = TokenBucket::full(&rate, ms(0));
        assert!(none.take(&rate, ms(10_000)).is_err());
    }

    proptest! {
        /// Over any time, no more than the burst and what came back in that time; and whoever waits
        /// as told gets one.
        #[test]
        fn never_more_than_the_burst_and_the_rate(
            per_second in 0.1f64..1_000.0,
            burst in 1u32..100,
            steps in prop::collection::vec(0u64..200, 1..200),
        ) {
            let rate = Rate { per_second, burst };
            let mut bucket = TokenBucket::full(&rate, ms(0));
            let (mut now, mut taken) = (ms(0), 0u32);
            for step in steps {
                now += ms(step);
                match bucket.take(&rate, now) {
                    Ok(()) => taken += 1,
                    Err(wait) => {
                        let mut patient = bucket;
                        prop_assert!(patient.take(&rate, now + wait + ms(1)).is_ok());
                    }
                }
                let allowed = f64::from(burst) + now.as_secs_f64() * per_second;
                prop_assert!(f64::from(taken) <= allowed + 1e-6);
            }
        }
    }
}
