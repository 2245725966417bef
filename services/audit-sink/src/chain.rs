//! The chain: how entries are bound to each other, and segments to the master key.

use std::{borrow::Cow, collections::BTreeMap};

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use waybill_messaging::{
    Commit, DataKey, EncryptionContext, Error, Expect, Key, KeyRing, Ledger, Write,
};

/// What the first entry has before it.
pub(crate) const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// One event in the trail.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// 1 for the first; no gaps.
    pub seq: u64,
    /// Hash of the entry before, in hex.
    pub prev: String,
    /// SHA-256, in hex, over `seq` (8 bytes, big endian), `prev` and the bytes of `event`.
    pub hash: String,
    /// The redacted `CloudEvent`.
    pub event: Box<RawValue>,
}

/// Entries that were committed together.
#[derive(Serialize, Deserialize)]
pub(crate) struct Segment {
    pub(crate) entries: Vec<Entry>,
    /// Over the last entry.
    pub(crate) signature: String,
}

/// The end of the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Head {
    pub(crate) seq: u64,
    pub(crate) hash: String,
    pub(crate) signature: String,
}

/// What a signature is for. The head has its own, so that a segment's cannot make an earlier end of
/// the chain look like the last.
#[derive(Clone, Copy)]
pub(crate) enum Seal {
    Segment,
    Head,
    /// How far the trail was verified.
    Pass,
}

/// Signs the chain. Random, kept wrapped in the ledger.
#[derive(Clone)]
pub struct ChainKey(pub(crate) DataKey);

impl Entry {
    pub(crate) fn new(seq: u64, prev: &str, event: Box<RawValue>) -> Self {
        let hash = entry_hash(seq, prev, &event);
        Self {
            seq,
            prev: prev.to_owned(),
            hash,
            event,
        }
    }

    pub(crate) fn is_about(&self, subject: &str) -> bool {
        #[derive(Deserialize)]
        struct About<'a> {
            #[serde(borrow)]
            subject: Option<Cow<'a, str>>,
        }
        let about = serde_json::from_str::<About<'_>>(self.event.get());
        about.is_ok_and(|about| about.subject.as_deref() == Some(subject))
    }

    pub(crate) fn recomputed(&self) -> String {
        entry_hash(self.seq, &self.prev, &self.event)
    }
}

fn entry_hash(seq: u64, prev: &str, event: &RawValue) -> String {
    let hash = Sha256::new()
        .chain_update(seq.to_be_bytes())
        .chain_update(prev)
        .chain_update(event.get());
    hex(&hash.finalize())
}

impl ChainKey {
    /// The key of this ledger; made at the first start.
    pub async fn open(ledger: &dyn Ledger, keyring: &dyn KeyRing) -> Result<Self, Error> {
        let key = Key::new("audit", "key");
        let context: EncryptionContext = BTreeMap::from([("purpose".into(), "audit-chain".into())]);
        if let Some(record) = ledger.get(&key).await? {
            return keyring.unwrap(&record.body, &context).await.map(Self);
        }
        let mut random = [0; 32];
        rand::fill(&mut random);
        let fresh = DataKey(random);
        let body = Bytes::from(keyring.wrap(&fresh, &context).await?);
        let write = Write::Put {
            key: key.clone(),
            expect: Expect::Absent,
            body,
            index: None,
            expires_at: None,
        };
        match ledger
            .commit(Commit {
                writes: vec![write],
                ..Commit::default()
            })
            .await
        {
            Ok(_) => Ok(Self(fresh)),
            // Another instance was first.
            Err(Error::Conflict { .. }) => {
                let record = ledger.get(&key).await?;
                let record = record.ok_or_else(|| Error::Unknown("the audit key".to_owned()))?;
                keyring.unwrap(&record.body, &context).await.map(Self)
            }
            Err(error) => Err(error),
        }
    }

    /// Another secret that stands and falls with this one: 32 bytes for `purpose`.
    pub fn derive(&self, purpose: &str) -> Vec<u8> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0.0).expect("HMAC takes any key length");
        mac.update(b"derive/");
        mac.update(purpose.as_bytes());
        mac.finalize().into_bytes().to_vec()
    }

    pub(crate) fn sign(&self, seal: Seal, seq: u64, hash: &str) -> String {
        hex(&self.mac(seal, seq, hash).finalize().into_bytes())
    }

    pub(crate) fn signed(&self, seal: Seal, seq: u64, hash: &str, signature: &str) -> bool {
        let mac = self.mac(seal, seq, hash);
        unhex(signature).is_some_and(|bytes| mac.verify_slice(&bytes).is_ok())
    }

    fn mac(&self, seal: Seal, seq: u64, hash: &str) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0.0).expect("HMAC takes any key length");
        mac.update(match seal {
            Seal::Segment => b"segment/",
            Seal::Head => b"head/",
            Seal::Pass => b"pass/",
        });
        mac.update(&seq.to_be_bytes());
        mac.update(hash.as_bytes());
        mac
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut hex, byte| {
            for nibble in [byte >> 4, byte & 15] {
                hex.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
            }
            hex
        })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let pair = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    (0..text.len()).step_by(2).map(pair).collect()
}
