//! Data keys under a KMS key.

use async_trait::async_trait;
use aws_sdk_kms::{
    error::{ProvideErrorMetadata, SdkError},
    operation::decrypt::DecryptError,
    primitives::Blob,
};
use waybill_messaging::{DataKey, EncryptionContext, Error, KeyRing, Result};

pub use self::cache::{CacheBounds, CachedKeyRing};
use crate::{Clients, Names, error::port_error};

mod cache;

/// What KMS answers to bytes, a context or a key that do not belong together.
const DOES_NOT_OPEN: &[&str] = &["InvalidCiphertextException", "IncorrectKeyException"];

/// [`KeyRing`] over one customer master key, which never leaves KMS. Every wrap and unwrap is a
/// request; [`CachedKeyRing`] over it spares some.
#[derive(Clone, Debug)]
pub struct KmsKeyRing {
    kms: aws_sdk_kms::Client,
    key: String,
}

impl KmsKeyRing {
    pub fn new(clients: &Clients, names: &Names) -> Self {
        Self {
            kms: clients.kms.clone(),
            key: names.key_alias(),
        }
    }
}

#[async_trait]
impl KeyRing for KmsKeyRing {
    async fn wrap(&self, key: &DataKey, context: &EncryptionContext) -> Result<Vec<u8>> {
        let wrapped = self
            .kms
            .encrypt()
            .key_id(&self.key)
            .plaintext(Blob::new(key.0))
            .set_encryption_context(pairs(context))
            .send()
            .await
            .map_err(|error| port_error("KMS cannot wrap a key", error))?;
        let blob = wrapped.ciphertext_blob;
        blob.map(Blob::into_inner)
            .ok_or_else(|| Error::broken("KMS cannot wrap a key", "its answer is empty"))
    }

    async fn unwrap(&self, wrapped: &[u8], context: &EncryptionContext) -> Result<DataKey> {
        // Named, so that a key of another account that may decrypt here does not count as ours.
        let unwrapped = self
            .kms
            .decrypt()
            .key_id(&self.key)
            .ciphertext_blob(Blob::new(wrapped))
            .set_encryption_context(pairs(context))
            .send()
            .await
            .map_err(refused)?;
        let bytes = unwrapped.plaintext.map(Blob::into_inner);
        let key = bytes.and_then(|bytes| bytes.try_into().ok());
        key.map(DataKey)
            .ok_or_else(|| Error::broken("a wrapped key does not open", "it has another length"))
    }
}

/// `None` where there is none: KMS refuses an empty context.
fn pairs(context: &EncryptionContext) -> Option<std::collections::HashMap<String, String>> {
    let pairs = || context.clone().into_iter().collect();
    (!context.is_empty()).then(pairs)
}

fn refused(error: SdkError<DecryptError>) -> Error {
    let code = error.as_service_error().and_then(|error| error.code());
    if code.is_some_and(|code| DOES_NOT_OPEN.contains(&code)) {
        return Error::broken("a wrapped key does not open", error);
    }
    port_error("KMS cannot unwrap a key", error)
}
