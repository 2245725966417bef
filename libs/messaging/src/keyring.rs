//! The port to the master key.

use std::collections::BTreeMap;

use async_trait::async_trait;
use zeroize::Zeroize;

use crate::Result;

/// 256 bits of key material, wiped from memory when they are dropped. Not printable.
#[derive(Clone, PartialEq, Eq)]
pub struct DataKey(pub [u8; 32]);

impl Drop for DataKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl std::fmt::Debug for DataKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DataKey(..)")
    }
}

/// What a data key is for, such as `tenant` and `purpose`. Authenticated, not secret.
pub type EncryptionContext = BTreeMap<String, String>;

/// Wraps data keys under a master key that never leaves its keeper.
///
/// # Contract
///
/// - `unwrap(wrap(key, context), context)` gives the key. With another context, another master key
///   or any altered byte it is [`Error::Broken`](crate::Error::Broken), or
///   [`Error::Refused`](crate::Error::Refused) by a keeper that answers as to a missing permission.
/// - Wrapping twice gives different bytes.
#[async_trait]
pub trait KeyRing: Send + Sync + 'static {
    async fn wrap(&self, key: &DataKey, context: &EncryptionContext) -> Result<Vec<u8>>;

    async fn unwrap(&self, wrapped: &[u8], context: &EncryptionContext) -> Result<DataKey>;
}
