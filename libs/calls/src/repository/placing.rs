//! How a call comes to be.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use waybill_events::{CallId, TenantId, ToolCallRequested};
use waybill_messaging::{Commit, Expect, Key, Write};

use super::{Calls, Error, Stored, stamp, uncommitted};
use crate::{
    Call, CallState,
    budget::{fits, json},
    digest,
};

/// A hundred years, so that no time overflows.
const LONGEST: Duration = Duration::from_hours(100 * 366 * 24);

/// What a client asks for, checked and authorised.
#[derive(Clone, Debug)]
pub struct NewCall {
    pub id: CallId,
    pub tenant: TenantId,
    pub principal: String,
    pub tool: String,
    pub effect: &'static str,
    /// The arguments object.
    pub arguments: Value,
    /// How long it may take, waiting included.
    pub deadline: Duration,
    /// How long its record is kept after that.
    pub retention: Duration,
    pub idempotency_key: Option<String>,
    pub traceparent: Option<String>,
    pub client_capabilities: Option<Value>,
}

#[derive(Clone, Debug)]
pub struct Submitted {
    pub stored: Stored,
    /// False when the idempotency key named a call that was there.
    pub fresh: bool,
}

/// The record behind an idempotency key.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Idempotent {
    call: CallId,
    tool: String,
    arguments_sha256: String,
}

impl Calls {
    /// Commits the call and its event in one step. The call exists when this returns, even if the
    /// client has left.
    pub async fn submit(&self, new: NewCall) -> Result<Submitted, Error> {
        let (call, idempotency) = self.accept(new).await?;
        let requested = ToolCallRequested {
            tool: call.tool.clone(),
            effect: call.effect.clone(),
            principal: call.principal.clone(),
            arguments_sha256: call.arguments_sha256.clone(),
            deadline: call.deadline,
        };
        let stamp = stamp("ingress", &call, call.id.as_str());
        let mut commit = Commit {
            writes: vec![Self::write(&call, Expect::Absent)],
            events: vec![call.draft(&requested).stamp(&stamp, 0)],
            seen: Vec::new(),
        };
        let Some(key) = idempotency else {
            self.ledger.commit(commit).await.map_err(uncommitted)?;
            return Ok(Submitted {
                stored: Stored { call, version: 1 },
                fresh: true,
            });
        };
        commit.writes.push(Write::Put {
            key: key.clone(),
            expect: Expect::Absent,
            body: Bytes::from(json(&Idempotent {
                call: call.id.clone(),
                tool: call.tool.clone(),
                arguments_sha256: call.arguments_sha256.clone(),
            })),
            index: None,
            expires_at: Some(call.expires_at),
        });
        match self.ledger.commit(commit).await {
            Ok(_) => Ok(Submitted {
                stored: Stored { call, version: 1 },
                fresh: true,
            }),
            Err(waybill_messaging::Error::Conflict { .. }) => self.repeated(&key, &call).await,
            Err(error) => Err(uncommitted(error)),
        }
    }

    async fn accept(&self, new: NewCall) -> Result<(Call, Option<Key>), Error> {
        let declared = &new.client_capabilities;
        fits(
            "the client's capabilities",
            declared,
            Call::MAX_CAPABILITIES,
        )?;
        let now = self.clock.now();
        let deadline = now + span(new.deadline);
        let expires_at = deadline + span(new.retention);
        let arguments = self
            .store(
                &new.tenant,
                &new.id,
                "arguments",
                &new.arguments,
                expires_at,
            )
            .await?;
        let idempotency = new.idempotency_key.map(|key| {
            // The tenant's, whichever of its API keys asks: one may be rotated between two tries.
            let partition = format!("idempotency/{}", new.tenant);
            Key::new(partition, digest(&Value::String(key)))
        });
        let call = Call {
            id: new.id,
            tenant: new.tenant,
            principal: new.principal,
            tool: new.tool,
            effect: new.effect.to_owned(),
            arguments,
            arguments_sha256: digest(&new.arguments),
            state: CallState::Accepted,
            attempt: 0,
            created_at: now,
            updated_at: now,
            deadline,
            claimed_until: None,
            reopened_at: None,
            expires_at,
            progress: None,
            reports: Vec::new(),
            checkpoint: None,
            intent: None,
            cancel_requested: false,
            input_requests: BTreeMap::new(),
            input_responses: BTreeMap::new(),
            outcome: None,
            traceparent: new.traceparent,
            client_capabilities: new.client_capabilities,
        };
        Ok((call, idempotency))
    }

    async fn repeated(&self, key: &Key, call: &Call) -> Result<Submitted, Error> {
        let record = self.ledger.get(key).await?.ok_or(Error::Unknown)?;
        let known: Idempotent = serde_json::from_slice(&record.body).map_err(Error::Corrupt)?;
        if known.tool != call.tool || known.arguments_sha256 != call.arguments_sha256 {
            return Err(Error::IdempotencyMismatch { call: known.call });
        }
        let stored = self.get(&call.tenant, &known.call).await?;
        Ok(Submitted {
            stored,
            fresh: false,
        })
    }
}

fn span(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration.min(LONGEST)).unwrap_or_default()
}
