//! The port to large payloads: the claim check.

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use waybill_events::TenantId;

use crate::Result;

/// Names a blob: its tenant, then a name of `a-z 0-9 -`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BlobKey {
    pub tenant: TenantId,
    pub name: String,
}

/// Payloads over [`Record::MAX_BODY`](crate::Record::MAX_BODY).
///
/// # Contract
///
/// - When `put` returns `Ok` the blob survives a crash. Putting the same key again replaces it
///   whole; a reader sees the old or the new, never a mixture.
/// - From `expires_at` on it may be gone; `get` then gives `None`.
/// - A name outside its alphabet is [`Error::Broken`](crate::Error::Broken): it never becomes a path.
#[async_trait]
pub trait Blobs: Send + Sync + 'static {
    async fn put(&self, key: &BlobKey, body: Bytes, expires_at: DateTime<Utc>) -> Result<()>;

    async fn get(&self, key: &BlobKey) -> Result<Option<Bytes>>;

    async fn delete(&self, key: &BlobKey) -> Result<()>;

    /// Removes what has expired, up to `limit`; how many.
    async fn expire(&self, limit: usize) -> Result<usize>;
}
