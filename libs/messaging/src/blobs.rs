//! The port to large payloads: the claim check.

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use waybill_events::TenantId;

use crate::{Error, Result};

/// Names a blob: its tenant, then a name of `a-z 0-9 -`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BlobKey {
    pub tenant: TenantId,
    pub name: String,
}

impl BlobKey {
    /// A file name holds 255 bytes, an object's key 1,024.
    const MAX_NAME: usize = 200;

    /// Every backend begins with this: neither part can be anything but one plain file name.
    pub fn check(&self) -> Result<()> {
        let plain = |name: &str| {
            (1..=Self::MAX_NAME).contains(&name.len())
                && name
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        if plain(self.tenant.as_str()) && plain(&self.name) {
            return Ok(());
        }
        let (name, most) = (&self.name, Self::MAX_NAME);
        let expected = format!("{name:?}: 1 to {most} of a-z, 0-9 and '-'");
        Err(Error::broken("a blob has a bad name", expected))
    }
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
