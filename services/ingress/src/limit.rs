//! How much one tenant may ask for.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Utc};
use waybill_events::TenantId;
use waybill_messaging::Clock;

/// Tenants whose buckets are kept; beyond it, full ones are forgotten.
const MAX_BUCKETS: usize = 10_000;

/// A token bucket's form.
#[derive(Clone, Copy, Debug)]
pub struct RateLimit {
    /// Requests a second for long.
    pub per_second: f64,
    /// Requests at once.
    pub burst: u32,
}

/// One bucket per tenant. Per process: a limit against mistakes, not an account.
pub(crate) struct Limiter {
    rate: RateLimit,
    clock: Clock,
    buckets: Mutex<HashMap<TenantId, Bucket>>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Bucket {
    tokens: f64,
    at: DateTime<Utc>,
}

impl Limiter {
    pub(crate) fn new(rate: RateLimit, clock: Clock) -> Self {
        Self {
            rate,
            clock,
            buckets: Mutex::default(),
        }
    }

    /// `Err`: how long until there is room for one more.
    pub(crate) fn take(&self, tenant: &TenantId) -> Result<(), Duration> {
        let now = self.clock.now();
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MAX_BUCKETS && !buckets.contains_key(tenant) {
            let rate = self.rate;
            buckets.retain(|_, bucket| !bucket.refilled(&rate, now).is_full(&rate));
        }
        if let Some(bucket) = buckets.get_mut(tenant) {
            *bucket = bucket.refilled(&self.rate, now);
            return bucket.take(&self.rate);
        }
        let mut fresh = Bucket {
            tokens: f64::from(self.rate.burst),
            at: now,
        };
        let taken = fresh.take(&self.rate);
        buckets.insert(tenant.clone(), fresh);
        taken
    }
}

impl Bucket {
    fn refilled(self, rate: &RateLimit, now: DateTime<Utc>) -> Self {
        let passed = (now - self.at).to_std().unwrap_or_default().as_secs_f64();
        let tokens = (self.tokens + passed * rate.per_second).min(f64::from(rate.burst));
        Self {
            tokens,
            at: self.at.max(now),
        }
    }

    fn is_full(&self, rate: &RateLimit) -> bool {
        self.tokens >= f64::from(rate.burst)
    }

    fn take(&mut self, rate: &RateLimit) -> Result<(), Duration> {
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64(
            (1.0 - self.tokens) / rate.per_second.max(f64::MIN_POSITIVE),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_tenant_waits_for_its_own_tokens_only() {
        let clock = Clock::simulated(DateTime::UNIX_EPOCH);
        let limiter = Limiter::new(
            RateLimit {
                per_second: 2.0,
                burst: 3,
            },
            clock,
        );
        let [a, b] = ["a", "b"].map(|name| TenantId::parse(name).unwrap());
        for _ in 0..3 {
            assert_eq!(limiter.take(&a), Ok(()));
        }
        assert_eq!(limiter.take(&a), Err(Duration::from_millis(500)));
        assert_eq!(limiter.take(&b), Ok(()));
        tokio::time::advance(Duration::from_millis(500)).await;
        assert_eq!(limiter.take(&a), Ok(()));
        assert!(limiter.take(&a).is_err());
    }
}
