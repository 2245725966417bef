//! The operator's secrets.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use waybill_messaging::{
    Clock, Commit, EncryptionContext, Error, Expect, Key, KeyRing, Ledger, ListedSecret, Range,
    Record, Result, SecretName, SecretValue, Secrets, Write,
};
use zeroize::Zeroizing;

use crate::seal::Sealed;

const PARTITION: &str = "secrets/all";
const PAGE: usize = 100;
const NOT_READABLE: &str = "the record of a secret cannot be read";

/// [`Secrets`] as records of a ledger, each sealed under a data key of its own. A put or a remove is
/// one commit. Cheap to clone.
#[derive(Clone)]
pub struct SealedSecrets {
    ledger: Arc<dyn Ledger>,
    keyring: Arc<dyn KeyRing>,
    clock: Clock,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stored {
    changed_at: DateTime<Utc>,
    #[serde(flatten)]
    sealed: Sealed,
}

impl SealedSecrets {
    pub fn new(ledger: Arc<dyn Ledger>, keyring: Arc<dyn KeyRing>, clock: Clock) -> Self {
        Self {
            ledger,
            keyring,
            clock,
        }
    }

    async fn commit(&self, write: Write) -> Result<()> {
        let commit = Commit {
            writes: vec![write],
            ..Commit::default()
        };
        self.ledger.commit(commit).await.map(drop)
    }
}

#[async_trait]
impl Secrets for SealedSecrets {
    async fn get(&self, name: &SecretName) -> Result<Option<SecretValue>> {
        let Some(record) = self.ledger.get(&key(name)).await? else {
            return Ok(None);
        };
        let sealed = read(&record)?.sealed;
        let opened = sealed.open(&context(name), &*self.keyring).await?;
        let text = str::from_utf8(&opened).map_err(|error| Error::broken(NOT_READABLE, error))?;
        let value = SecretValue::new(Zeroizing::new(text.to_owned()));
        value
            .map(Some)
            .map_err(|error| Error::broken(NOT_READABLE, error))
    }

    async fn put(&self, name: &SecretName, value: &SecretValue) -> Result<()> {
        let value = value.expose().as_bytes();
        let stored = Stored {
            changed_at: self.clock.now(),
            sealed: Sealed::seal(value, &context(name), &*self.keyring).await?,
        };
        let body = serde_json::to_vec(&stored)
            .map_err(|error| Error::broken("the record of a secret cannot be written", error))?;
        self.commit(Write::Put {
            key: key(name),
            expect: Expect::Any,
            body: Bytes::from(body),
            index: None,
            expires_at: None,
        })
        .await
    }

    async fn remove(&self, name: &SecretName) -> Result<bool> {
        let key = key(name);
        if self.ledger.get(&key).await?.is_none() {
            return Ok(false);
        }
        let expect = Expect::Any;
        self.commit(Write::Delete { key, expect }).await?;
        Ok(true)
    }

    async fn list(&self) -> Result<Vec<ListedSecret>> {
        let mut listed = Vec::new();
        let mut range = Range::first(PAGE);
        loop {
            let page = self.ledger.list(PARTITION, range).await?;
            for record in &page.records {
                listed.push(listing(record)?);
            }
            if page.next.is_none() {
                return Ok(listed);
            }
            range = Range::first(PAGE).after(page.next);
        }
    }
}

fn key(name: &SecretName) -> Key {
    Key::new(PARTITION, name.as_str())
}

fn context(name: &SecretName) -> EncryptionContext {
    let pairs = [("purpose", "secret"), ("name", name.as_str())];
    let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
    EncryptionContext::from(pairs)
}

fn read(record: &Record) -> Result<Stored> {
    serde_json::from_slice(&record.body).map_err(|error| Error::broken(NOT_READABLE, error))
}

fn listing(record: &Record) -> Result<ListedSecret> {
    let name = SecretName::parse(&record.key.sort);
    Ok(ListedSecret {
        name: name.map_err(|error| Error::broken(NOT_READABLE, error))?,
        changed_at: read(record)?.changed_at,
    })
}
