//! How much one tenant may ask for.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use waybill_events::TenantId;
use waybill_resilience::TokenBucket;

/// Tenants whose buckets are kept; beyond it, full ones are forgotten.
const MAX_BUCKETS: usize = 10_000;

/// Requests of one tenant.
pub type RateLimit = waybill_resilience::Rate;

/// One bucket per tenant. Per process: a limit against mistakes, not an account.
pub(crate) struct Limiter {
    rate: RateLimit,
    began: Instant,
    buckets: Mutex<HashMap<TenantId, TokenBucket>>,
}

impl Limiter {
    pub(crate) fn new(rate: RateLimit) -> Self {
        Self {
            rate,
            began: Instant::now(),
            buckets: Mutex::default(),
        }
    }

    /// `Err`: how long until there is room for one more.
    pub(crate) fn take(&self, tenant: &TenantId) -> Result<(), Duration> {
        let now = self.began.elapsed();
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = buckets.get_mut(tenant) {
            return bucket.take(&self.rate, now);
        }
        if buckets.len() >= MAX_BUCKETS {
            buckets.retain(|_, bucket| !bucket.is_full(&self.rate, now));
        }
        let mut fresh = TokenBucket::full(&self.rate, now);
        let taken = fresh.take(&self.rate, now);
        buckets.insert(tenant.clone(), fresh);
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_tenant_waits_for_its_own_tokens_only() {
        let limiter = Limiter::new(RateLimit {
            per_second: 2.0,
            burst: 3,
        });
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
