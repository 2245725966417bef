//! API keys in the ledger.

use std::{
    collections::{BTreeSet, HashSet},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use quick_cache::sync::Cache;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use waybill_events::{AuditRecorded, Draft, Stamp, TenantId};
use waybill_messaging::{Clock, Commit, Expect, Key, Ledger, Range, Write};

use crate::{
    Principal, Scope,
    secret::{Secret, same},
};

/// How long a checked key is believed without asking the ledger.
const FRESH: Duration = Duration::from_secs(1);
/// Keys remembered.
const REMEMBERED: usize = 1_024;
/// Refused authentications that are audited per minute; more are only counted.
const AUDITED_REFUSALS: u32 = 10;
const PARTITION: &str = "keys/all";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("there is no key {0}")]
    Unknown(String),
    #[error("a key needs a name of 1 to 64 characters")]
    Name,
    #[error("a key needs at least one scope")]
    NoScope,
    #[error("cannot reach the ledger")]
    Port(#[from] waybill_messaging::Error),
    #[error("the stored record of a key cannot be read")]
    Corrupt(#[source] serde_json::Error),
}

/// Why a request is not let in. The first two say the same to the client.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    #[error("the API key is not valid")]
    Invalid,
    #[error("the API key was revoked or has expired")]
    Ended,
    #[error("the API key cannot be checked now")]
    Unavailable(#[source] Error),
}

/// What is known about a key. Its secret is not.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiKey {
    pub id: String,
    pub name: String,
    pub tenant: TenantId,
    pub scopes: BTreeSet<Scope>,
    pub created_at: DateTime<Utc>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<DateTime<Utc>>,
}

/// A key that was just made: the only time its secret is seen.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NewKey {
    #[serde(flatten)]
    pub key: ApiKey,
    /// `wbk_ID_SECRET`: what goes behind `Authorization: Bearer`.
    pub secret: String,
}

#[derive(Clone, Serialize, Deserialize)]
struct Stored {
    #[serde(flatten)]
    key: ApiKey,
    digest: [u8; 32],
}

/// The repository. Cheap to clone.
#[derive(Clone)]
pub struct Keys(Arc<Inner>);

struct Inner {
    ledger: Arc<dyn Ledger>,
    clock: Clock,
    /// Checked lately: by id, with the time of the look.
    checked: Cache<String, (Arc<Stored>, DateTime<Utc>)>,
    /// Ids that were revoked through this process. A check whose read is older than the revocation
    /// may remember the key after it; this is what counts.
    revoked: RwLock<HashSet<String>>,
    /// Refusals audited in the current minute.
    refusals: Mutex<(DateTime<Utc>, u32)>,
}

impl Keys {
    pub fn new(ledger: Arc<dyn Ledger>, clock: Clock) -> Self {
        let refusals = Mutex::new((clock.now(), 0));
        Self(Arc::new(Inner {
            ledger,
            clock,
            checked: Cache::new(REMEMBERED),
            revoked: RwLock::default(),
            refusals,
        }))
    }

    /// Makes a key. `actor` is who asked for it, for the audit trail.
    pub async fn create(
        &self,
        actor: &str,
        tenant: TenantId,
        name: &str,
        scopes: BTreeSet<Scope>,
        lifetime: Option<Duration>,
    ) -> Result<NewKey, Error> {
        if name.is_empty() || name.len() > 64 {
            return Err(Error::Name);
        }
        if scopes.is_empty() {
            return Err(Error::NoScope);
        }
        let secret = Secret::random();
        let now = self.0.clock.now();
        let key = ApiKey {
            id: secret.id.clone(),
            name: name.to_owned(),
            tenant,
            scopes,
            created_at: now,
            expires_at: lifetime.map(|l| now + TimeDelta::from_std(l).unwrap_or(TimeDelta::MAX)),
            revoked_at: None,
        };
        let listed = key
            .scopes
            .iter()
            .map(|scope| scope.as_str())
            .collect::<Vec<_>>()
            .join(" ");
        let stored = Stored {
            key,
            digest: secret.digest(),
        };
        self.commit(&stored, Expect::Absent, "key.created", actor, Some(listed))
            .await?;
        Ok(NewKey {
            key: stored.key,
            secret: secret.text,
        })
    }

    /// The keys of a tenant, or of all, by id.
    pub async fn list(&self, tenant: Option<&TenantId>) -> Result<Vec<ApiKey>, Error> {
        let mut keys = Vec::new();
        let mut range = Range::first(Range::MAX_LIMIT);
        loop {
            let page = self.0.ledger.list(PARTITION, range).await?;
            for record in &page.records {
                let stored: Stored =
                    serde_json::from_slice(&record.body).map_err(Error::Corrupt)?;
                if tenant.is_none_or(|tenant| *tenant == stored.key.tenant) {
                    keys.push(stored.key);
                }
            }
            if page.next.is_none() {
                return Ok(keys);
            }
            range = Range::first(Range::MAX_LIMIT).after(page.next);
        }
    }

    /// Ends a key. One that has ended stays as it is.
    pub async fn revoke(&self, actor: &str, id: &str) -> Result<ApiKey, Error> {
        loop {
            let (mut stored, version) = self
                .read(id)
                .await?
                .ok_or_else(|| Error::Unknown(id.to_owned()))?;
            if stored.key.revoked_at.is_some() {
                return Ok(stored.key);
            }
            stored.key.revoked_at = Some(self.0.clock.now());
            let expect = Expect::Version(version);
            match self
                .commit(&stored, expect, "key.revoked", actor, None)
                .await
            {
                Ok(()) => {
                    let mut revoked = self
                        .0
                        .revoked
                        .write()
                        .unwrap_or_else(PoisonError::into_inner);
                    revoked.insert(id.to_owned());
                    drop(revoked);
                    self.0.checked.remove(id);
                    return Ok(stored.key);
                }
                Err(Error::Port(waybill_messaging::Error::Conflict { .. })) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Whose key this is. `bearer` is what stood behind `Authorization: Bearer`.
    pub async fn authenticate(&self, bearer: &str) -> Result<Principal, AuthError> {
        let secret = Secret::parse(bearer).ok_or(AuthError::Invalid)?;
        let now = self.0.clock.now();
        let fresh = self
            .0
            .checked
            .get(&secret.id)
            .filter(|(_, at)| (now - *at).to_std().is_ok_and(|age| age < FRESH));
        let stored = if let Some((stored, _)) = fresh {
            stored
        } else {
            let read = self.read(&secret.id).await;
            let (stored, _) = read
                .map_err(AuthError::Unavailable)?
                .ok_or(AuthError::Invalid)?;
            let stored = Arc::new(stored);
            let remembered = (Arc::clone(&stored), now);
            self.0.checked.insert(secret.id.clone(), remembered);
            stored
        };
        if !same(&stored.digest, &secret.digest()) {
            return Err(AuthError::Invalid);
        }
        let key = &stored.key;
        let ended = key.revoked_at.is_some() || key.expires_at.is_some_and(|at| at <= now);
        if ended || self.was_revoked(&secret.id) {
            return Err(AuthError::Ended);
        }
        Ok(Principal {
            key_id: secret.id,
            tenant: key.tenant.clone(),
            scopes: key.scopes.clone(),
        })
    }

    /// Audits a refused authentication, at a bounded rate. `reason` must not repeat the key.
    pub async fn refused(&self, reason: &str) -> Result<(), Error> {
        let now = self.0.clock.now();
        {
            let mut refusals = self
                .0
                .refusals
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if now - refusals.0 > TimeDelta::minutes(1) {
                *refusals = (now, 0);
            }
            refusals.1 += 1;
            if refusals.1 > AUDITED_REFUSALS {
                return Ok(());
            }
        }
        let event = self.audit(
            "auth.refused",
            "unknown",
            "denied",
            "door",
            Some(reason.to_owned()),
        );
        self.0
            .ledger
            .commit(Commit {
                events: vec![event],
                ..Commit::default()
            })
            .await?;
        Ok(())
    }

    fn was_revoked(&self, id: &str) -> bool {
        let revoked = self
            .0
            .revoked
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        revoked.contains(id)
    }

    async fn read(&self, id: &str) -> Result<Option<(Stored, u64)>, Error> {
        let Some(record) = self.0.ledger.get(&Key::new(PARTITION, id)).await? else {
            return Ok(None);
        };
        let stored = serde_json::from_slice(&record.body).map_err(Error::Corrupt)?;
        Ok(Some((stored, record.version)))
    }

    async fn commit(
        &self,
        stored: &Stored,
        expect: Expect,
        action: &str,
        actor: &str,
        detail: Option<String>,
    ) -> Result<(), Error> {
        let body = Bytes::from(serde_json::to_vec(stored).map_err(Error::Corrupt)?);
        let key = Key::new(PARTITION, stored.key.id.as_str());
        let write = Write::Put {
            key,
            expect,
            body,
            index: Vec::new(),
            expires_at: None,
        };
        let event = self.audit(action, actor, "allowed", &stored.key.id, detail);
        let commit = Commit {
            writes: vec![write],
            events: vec![event],
            seen: Vec::new(),
        };
        self.0.ledger.commit(commit).await?;
        Ok(())
    }

    fn audit(
        &self,
        action: &str,
        actor: &str,
        outcome: &str,
        subject: &str,
        detail: Option<String>,
    ) -> waybill_events::Event {
        let now = self.0.clock.now();
        let data = AuditRecorded {
            action: action.to_owned(),
            actor: actor.to_owned(),
            outcome: outcome.to_owned(),
            detail,
        };
        let mut random = [0; 16];
        rand::fill(&mut random);
        let cause = waybill_events::EventId::root(now, u128::from_ne_bytes(random));
        let stamp = Stamp {
            service: "identity",
            now,
            cause: cause.as_str(),
            correlation: None,
            causation: None,
            traceparent: None,
        };
        Draft::new(TenantId::system(), subject, &data).stamp(&stamp, 0)
    }
}
