//! Tenants in the ledger.

use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use waybill_events::TenantId;
use waybill_messaging::{Clock, Commit, Expect, Key, Ledger, Range, Write};

use crate::{
    Error,
    audit::{Audit, Note},
};

const PARTITION: &str = "tenants/all";
/// Made by the first key that is made for it.
const FIRST: &str = "default";

/// Whom calls, keys and limits belong to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tenant {
    pub id: TenantId,
    /// For people.
    pub name: String,
    pub created_at: DateTime<Utc>,
}

/// The repository. Cheap to clone.
#[derive(Clone)]
pub struct Tenants {
    ledger: Arc<dyn Ledger>,
    clock: Clock,
    audit: Audit,
}

impl Tenants {
    pub fn new(ledger: Arc<dyn Ledger>, clock: Clock) -> Self {
        let audit = Audit::new(Arc::clone(&ledger), clock.clone(), "identity");
        Self {
            ledger,
            clock,
            audit,
        }
    }

    /// Makes a tenant. `actor` is who asked for it. `system` is taken.
    pub async fn create(&self, actor: &str, id: TenantId, name: &str) -> Result<Tenant, Error> {
        if name.is_empty() || name.len() > 64 {
            return Err(Error::Name);
        }
        if id == TenantId::system() {
            return Err(Error::TenantExists(id));
        }
        let tenant = Tenant {
            id,
            name: name.to_owned(),
            created_at: self.clock.now(),
        };
        let commit = Commit {
            writes: vec![put(&tenant)?],
            events: vec![self.audit.event(created(actor, &tenant.id))],
            seen: Vec::new(),
        };
        match self.ledger.commit(commit).await {
            Ok(_) => Ok(tenant),
            Err(waybill_messaging::Error::Conflict { .. }) => Err(Error::TenantExists(tenant.id)),
            Err(error) => Err(error.into()),
        }
    }

    /// All of them, by id.
    pub async fn list(&self) -> Result<Vec<Tenant>, Error> {
        let mut tenants = Vec::new();
        let mut range = Range::first(Range::MAX_LIMIT);
        loop {
            let page = self.ledger.list(PARTITION, range).await?;
            for record in &page.records {
                tenants.push(serde_json::from_slice(&record.body).map_err(Error::Corrupt)?);
            }
            if page.next.is_none() {
                return Ok(tenants);
            }
            range = Range::first(Range::MAX_LIMIT).after(page.next);
        }
    }

    /// What a commit must carry so that it only happens for a tenant that is there. The first
    /// tenant comes to be by it.
    pub(crate) async fn required(
        &self,
        actor: &str,
        id: &TenantId,
    ) -> Result<(Write, Option<waybill_events::Event>), Error> {
        let key = Key::new(PARTITION, id.as_str());
        if let Some(record) = self.ledger.get(&key).await? {
            let expect = Expect::Version(record.version);
            return Ok((Write::Check { key, expect }, None));
        }
        if id.as_str() != FIRST {
            return Err(Error::UnknownTenant(id.clone()));
        }
        let first = Tenant {
            id: id.clone(),
            name: FIRST.to_owned(),
            created_at: self.clock.now(),
        };
        Ok((put(&first)?, Some(self.audit.event(created(actor, id)))))
    }
}

fn created<'a>(actor: &'a str, id: &'a TenantId) -> Note<'a> {
    Note {
        action: "tenant.created",
        actor,
        outcome: "allowed",
        subject: id.as_str(),
        detail: None,
    }
}

fn put(tenant: &Tenant) -> Result<Write, Error> {
    Ok(Write::Put {
        key: Key::new(PARTITION, tenant.id.as_str()),
        expect: Expect::Absent,
        body: Bytes::from(serde_json::to_vec(tenant).map_err(Error::Corrupt)?),
        index: None,
        expires_at: None,
    })
}
