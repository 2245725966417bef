//! Data keys kept for a while, so that not every use is a request to KMS.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use tokio::time::Instant;
use waybill_messaging::{DataKey, EncryptionContext, KeyRing, Result};
use zeroize::Zeroizing;

/// How long an unwrapped key is kept, how often it is given out, and how many there are.
#[derive(Clone, Copy, Debug)]
pub struct CacheBounds {
    /// From its unwrapping, however often it is used: so long may a revoked master key still work.
    pub age: Duration,
    pub uses: u32,
    pub entries: usize,
}

impl Default for CacheBounds {
    /// 5 minutes, 1,000 uses, 1,000 keys.
    fn default() -> Self {
        Self {
            age: Duration::from_mins(5),
            uses: 1_000,
            entries: 1_000,
        }
    }
}

/// A [`KeyRing`] that remembers what `inner` has unwrapped, under the wrapped bytes and the context
/// together: another context, or an altered byte, is `inner`'s to refuse. Keys are wiped when they
/// are forgotten.
///
/// It is here and not beside the port, because only KMS has its reasons: a price, a quota and a
/// round trip for each unwrapping.
pub struct CachedKeyRing<K> {
    inner: K,
    bounds: CacheBounds,
    kept: Mutex<HashMap<Wrapped, Kept>>,
}

#[derive(PartialEq, Eq, Hash)]
struct Wrapped {
    bytes: Vec<u8>,
    context: EncryptionContext,
}

struct Kept {
    key: Zeroizing<[u8; 32]>,
    since: Instant,
    uses: u32,
}

impl<K> CachedKeyRing<K> {
    pub fn new(inner: K, bounds: CacheBounds) -> Self {
        Self {
            inner,
            bounds,
            kept: Mutex::default(),
        }
    }

    fn kept(&self, wrapped: &Wrapped) -> Option<DataKey> {
        let mut all = self.lock();
        let found = all.get_mut(wrapped)?;
        if self.is_over(found) {
            all.remove(wrapped);
            return None;
        }
        found.uses += 1;
        Some(DataKey(*found.key))
    }

    fn keep(&self, wrapped: Wrapped, key: &DataKey) {
        let mut all = self.lock();
        if all.len() >= self.bounds.entries {
            all.retain(|_, kept| !self.is_over(kept));
        }
        if all.len() < self.bounds.entries {
            let kept = Kept {
                key: Zeroizing::new(key.0),
                since: Instant::now(),
                // This one.
                uses: 1,
            };
            all.insert(wrapped, kept);
        }
    }

    fn is_over(&self, kept: &Kept) -> bool {
        kept.uses >= self.bounds.uses || kept.since.elapsed() >= self.bounds.age
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Wrapped, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl<K: KeyRing> KeyRing for CachedKeyRing<K> {
    async fn wrap(&self, key: &DataKey, context: &EncryptionContext) -> Result<Vec<u8>> {
        self.inner.wrap(key, context).await
    }

    async fn unwrap(&self, wrapped: &[u8], context: &EncryptionContext) -> Result<DataKey> {
        let asked = Wrapped {
            bytes: wrapped.to_vec(),
            context: context.clone(),
        };
        if let Some(key) = self.kept(&asked) {
            return Ok(key);
        }
        let key = self.inner.unwrap(wrapped, context).await?;
        self.keep(asked, &key);
        Ok(key)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::time::advance;
    use waybill_messaging::Error;

    use super::*;

    const BOUNDS: CacheBounds = CacheBounds {
        age: Duration::from_mins(1),
        uses: 3,
        entries: 2,
    };

    /// Opens under the context `a`, and counts.
    #[derive(Default)]
    struct Counting(AtomicU32);

    #[async_trait]
    impl KeyRing for Counting {
        async fn wrap(&self, key: &DataKey, _: &EncryptionContext) -> Result<Vec<u8>> {
            Ok(key.0.to_vec())
        }

        async fn unwrap(&self, wrapped: &[u8], context: &EncryptionContext) -> Result<DataKey> {
            self.0.fetch_add(1, Ordering::Relaxed);
            if *context != named("a") {
                return Err(Error::broken(
                    "a wrapped key does not open",
                    "another context",
                ));
            }
            Ok(DataKey([wrapped[0]; 32]))
        }
    }

    fn named(name: &str) -> EncryptionContext {
        EncryptionContext::from([("name".to_owned(), name.to_owned())])
    }

    fn ring() -> CachedKeyRing<Counting> {
        CachedKeyRing::new(Counting::default(), BOUNDS)
    }

    impl CachedKeyRing<Counting> {
        /// How often the ring within had been asked after unwrapping this byte.
        async fn after(&self, byte: u8) -> u32 {
            let key = self.unwrap(&[byte], &named("a")).await.unwrap();
            assert!(key == DataKey([byte; 32]), "another key came back");
            self.inner.0.load(Ordering::Relaxed)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_is_kept_for_its_uses() {
        let ring = ring();
        let mut asked = Vec::new();
        for _ in 0..7 {
            asked.push(ring.after(1).await);
        }
        assert_eq!(asked, [1, 1, 1, 2, 2, 2, 3]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_is_kept_for_its_time_and_use_does_not_prolong_it() {
        let ring = ring();
        assert_eq!(ring.after(1).await, 1);
        advance(Duration::from_secs(59)).await;
        assert_eq!(ring.after(1).await, 1);
        advance(Duration::from_secs(1)).await;
        assert_eq!(ring.after(1).await, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_are_kept_than_allowed_and_old_ones_make_room() {
        let ring = ring();
        for (byte, asked) in [(1, 1), (2, 2), (3, 3), (3, 4), (1, 4), (2, 4)] {
            assert_eq!(ring.after(byte).await, asked, "{byte}");
        }
        advance(BOUNDS.age).await;
        for (byte, asked) in [(3, 5), (3, 5)] {
            assert_eq!(ring.after(byte).await, asked, "{byte}");
        }
        assert_eq!(ring.lock().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn another_context_is_refused_however_well_the_key_is_known() {
        let ring = ring();
        assert_eq!(ring.after(1).await, 1);
        for context in [named("b"), EncryptionContext::new()] {
            let refused = ring.unwrap(&[1], &context).await;
            assert!(matches!(refused, Err(Error::Broken { .. })));
        }
        assert_eq!(ring.after(1).await, 3, "refusals are not kept");
    }
}
