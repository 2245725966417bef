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
use waybill_events::TenantId;
use waybill_messaging::{Clock, Commit, Expect, Key, Ledger, Range, Write};

use crate::{
    Audit, Note, Principal, Scope, Tenants,
    refusals::Refusals,
    secret::{Secret, same},
};

/// How long a checked key is believed without asking the ledger.
const FRESH: Duration = Duration::from_secs(1);
/// Keys remembered.
const REMEMBERED: usize = 1_024;
/// Conflicts that one change of a key may meet.
const MAX_CONFLICTS: usize = 8;
/// A key for longer is one without an end.
const MAX_LIFETIME: Duration = Duration::from_hours(100 * 366 * 24);
const PARTITION: &str = "keys/all";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("there is no key {0}")]
    Unknown(String),
    #[error("there is no tenant {0}; tenants are made first")]
    UnknownTenant(TenantId),
    #[error("there is a tenant {0} already")]
    TenantExists(TenantId),
    #[error("a name has 1 to 64 characters")]
    Name,
    #[error("a key needs at least one scope")]
    NoScope,
    #[error("a lifetime is at most a hundred years: {} s", MAX_LIFETIME.as_secs())]
    Lifetime,
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
    refusals: Mutex<Refusals>,
    tenants: Tenants,
    audit: Audit,
}

impl Keys {
    pub fn new(ledger: Arc<dyn Ledger>, clock: Clock) -> Self {
        let refusals = Mutex::new(Refusals::new(clock.now()));
        let tenants = Tenants::new(Arc::clone(&ledger), clock.clone());
        let audit = Audit::new(Arc::clone(&ledger), clock.clone(), "identity");
        Self(Arc::new(Inner {
            ledger,
            clock,
            checked: Cache::new(REMEMBERED),
            revoked: RwLock::default(),
            refusals,
            tenants,
            audit,
        }))
    }

    /// The tenants that keys are made for.
    pub fn tenants(&self) -> &Tenants {
        &self.0.tenants
    }

    /// Makes a key for a tenant that is there; the tenant `default` is made with its first key.
    /// `actor` is who asked for it, for the audit trail.
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
            expires_at: lifetime.map(|l| end(now, l)).transpose()?,
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
        self.commit_new(&stored, actor, &listed).await?;
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
        let mut conflicts = 0;
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
            let commit = self.change(&stored, expect, "key.revoked", actor, None)?;
            match self.0.ledger.commit(commit).await {
                Ok(_) => {
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
                Err(waybill_messaging::Error::Conflict { .. }) if conflicts < MAX_CONFLICTS => {
                    conflicts += 1;
                }
                Err(error) => return Err(error.into()),
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

    /// Audits a refused authentication, at a bounded rate per source and altogether. `reason` must
    /// not repeat the key; `source` only counts, and is not written down.
    pub async fn refused_from(&self, source: &str, reason: &str) -> Result<(), Error> {
        let now = self.0.clock.now();
        let refusals = &self.0.refusals;
        let admitted = refusals
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .admit(source, now);
        let Some(silent) = admitted else {
            return Ok(());
        };
        let detail = match silent {
            0 => reason.to_owned(),
            silent => format!("{reason}; {silent} more before it were only counted"),
        };
        let note = Note {
            action: "auth.refused",
            actor: "unknown",
            outcome: "denied",
            subject: "door",
            detail: Some(detail),
        };
        Ok(self.0.audit.record(note).await?)
    }

    /// [`refused_from`](Self::refused_from) a source that is not known.
    pub async fn refused(&self, reason: &str) -> Result<(), Error> {
        self.refused_from("", reason).await
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

    /// The key, and the check that its tenant is there, in one step.
    async fn commit_new(&self, stored: &Stored, actor: &str, scopes: &str) -> Result<(), Error> {
        let mut conflicts = 0;
        loop {
            let (tenant, made) = self.0.tenants.required(actor, &stored.key.tenant).await?;
            let detail = Some(scopes.to_owned());
            let mut commit = self.change(stored, Expect::Absent, "key.created", actor, detail)?;
            commit.writes.push(tenant);
            commit.events.splice(0..0, made);
            match self.0.ledger.commit(commit).await {
                Ok(_) => return Ok(()),
                // Somebody made the first tenant at the same time.
                Err(waybill_messaging::Error::Conflict { .. }) if conflicts < MAX_CONFLICTS => {
                    conflicts += 1;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The key as it is to be stored, and the note of it.
    fn change(
        &self,
        stored: &Stored,
        expect: Expect,
        action: &str,
        actor: &str,
        detail: Option<String>,
    ) -> Result<Commit, Error> {
        let write = Write::Put {
            key: Key::new(PARTITION, stored.key.id.as_str()),
            expect,
            body: Bytes::from(serde_json::to_vec(stored).map_err(Error::Corrupt)?),
            index: None,
            expires_at: None,
        };
        let note = Note {
            action,
            actor,
            outcome: "allowed",
            subject: &stored.key.id,
            detail,
        };
        Ok(Commit {
            writes: vec![write],
            events: vec![self.0.audit.event(note)],
            seen: Vec::new(),
        })
    }
}

/// When a key of this lifetime ends.
fn end(now: DateTime<Utc>, lifetime: Duration) -> Result<DateTime<Utc>, Error> {
    let span = Some(lifetime)
        .filter(|lifetime| *lifetime <= MAX_LIFETIME)
        .and_then(|lifetime| TimeDelta::from_std(lifetime).ok());
    span.and_then(|span| now.checked_add_signed(span))
        .ok_or(Error::Lifetime)
}
