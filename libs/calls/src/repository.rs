//! Calls in the ledger.

mod listing;
mod placing;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde_json::{Value, value::to_raw_value};
use waybill_events::{
    CallId, Draft, Stamp, TenantId, ToolCallCancelRequested, ToolCallInputProvided,
};
use waybill_messaging::{
    BlobKey, Blobs, Clock, Commit, Expect, IndexEntry, Key, Ledger, Meter, Record, Write,
};

pub use self::{
    listing::CallFilter,
    placing::{NewCall, Submitted},
};
use crate::{Call, Fenced, INLINE_LIMIT, Outcome, Payload, budget::fits};

/// Conflicts that one change of a call may meet.
const MAX_CONFLICTS: usize = 8;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such call for this tenant.
    #[error("no such call")]
    Unknown,
    /// The idempotency key was used with other arguments.
    #[error("the idempotency key was used for call {call} with another tool or other arguments")]
    IdempotencyMismatch { call: CallId },
    /// What a client sent does not fit the call's record.
    #[error("{what} are {size} bytes; at most {limit} are kept")]
    TooLarge {
        what: &'static str,
        size: usize,
        limit: usize,
    },
    #[error(transparent)]
    Fenced(#[from] Fenced),
    #[error("cannot reach the ledger")]
    Port(#[from] waybill_messaging::Error),
    /// The commit of a new call gave no answer. The call may be there now or in a moment.
    #[error("it is not known whether the call was recorded")]
    Unclear(#[source] waybill_messaging::Error),
    #[error("the stored record of a call cannot be read")]
    Corrupt(#[source] serde_json::Error),
}

/// A call and the version it was read at.
#[derive(Clone, Debug)]
pub struct Stored {
    pub call: Call,
    pub version: u64,
}

/// The repository. Cheap to clone.
#[derive(Clone)]
pub struct Calls {
    ledger: Arc<dyn Ledger>,
    blobs: Arc<dyn Blobs>,
    clock: Clock,
    meter: Meter,
}

impl Calls {
    /// Partitions of the index of open calls: no single one takes every write.
    pub const OPEN_SHARDS: u8 = 8;

    pub fn new(ledger: Arc<dyn Ledger>, blobs: Arc<dyn Blobs>, clock: Clock) -> Self {
        Self {
            ledger,
            blobs,
            clock,
            meter: Meter::default(),
        }
    }

    /// Counts in `meter`.
    #[must_use]
    pub fn metered(mut self, meter: &Meter) -> Self {
        self.meter = meter.clone();
        self
    }

    pub async fn get(&self, tenant: &TenantId, id: &CallId) -> Result<Stored, Error> {
        let record = self
            .ledger
            .get(&key(tenant, id))
            .await?
            .ok_or(Error::Unknown)?;
        stored(&record)
    }

    /// Waits up to `wait` for a newer version; `None` when there was none.
    pub async fn changed(&self, seen: &Stored, wait: Duration) -> Result<Option<Stored>, Error> {
        let key = key(&seen.call.tenant, &seen.call.id);
        let record = self.ledger.changed(&key, seen.version, wait).await?;
        record.as_ref().map(stored).transpose()
    }

    /// Asks for the end of a call. One that has ended stays as it is: cancelling is idempotent.
    pub async fn cancel(
        &self,
        tenant: &TenantId,
        id: &CallId,
        principal: &str,
    ) -> Result<Stored, Error> {
        self.change(tenant, id, |call, now| {
            let mut drafts = Vec::new();
            match call.cancel(now) {
                Ok(ended) => {
                    let principal = principal.to_owned();
                    let data = ToolCallCancelRequested {
                        tool: call.tool.clone(),
                        principal,
                    };
                    drafts.push(call.draft(&data));
                    if ended {
                        drafts.extend(call.ended((0, false)));
                    }
                    Ok(Some(drafts))
                }
                Err(Fenced::Ended) => Ok(None),
                Err(fenced) => Err(fenced.into()),
            }
        })
        .await
    }

    /// Gives a waiting call its answers: key to MCP result. Keys that are not open are ignored.
    pub async fn answer(
        &self,
        tenant: &TenantId,
        id: &CallId,
        principal: &str,
        responses: BTreeMap<String, Value>,
    ) -> Result<Stored, Error> {
        self.answer_round(tenant, id, principal, None, responses)
            .await
    }

    /// The same for the questions of the attempt `round`: those of another one stay open, even
    /// under the same keys. `None`: whatever is open.
    pub async fn answer_round(
        &self,
        tenant: &TenantId,
        id: &CallId,
        principal: &str,
        round: Option<u32>,
        responses: BTreeMap<String, Value>,
    ) -> Result<Stored, Error> {
        self.change(tenant, id, |call, now| {
            if round.is_some_and(|round| round != call.attempt) {
                return Ok(None);
            }
            let keys = call.answer(responses.clone(), now)?;
            if keys.is_empty() {
                return Ok(None);
            }
            let given = &call.input_responses;
            fits("the answers", given, Call::MAX_ANSWERS)?;
            let (tool, principal) = (call.tool.clone(), principal.to_owned());
            let data = ToolCallInputProvided {
                tool,
                principal,
                keys,
            };
            Ok(Some(vec![call.draft(&data)]))
        })
        .await
    }

    /// Commits a call that was [opened again](Call::reopen). Its arguments are kept as long as it is.
    pub async fn reopened(&self, stored: &Stored) -> Result<Stored, Error> {
        if let Payload::Blob { key, .. } = &stored.call.arguments
            && let Some(body) = self.blobs.get(key).await?
        {
            self.blobs.put(key, body, stored.call.expires_at).await?;
        }
        self.commit(stored, Vec::new()).await
    }

    /// Reads, changes and commits, again when somebody else was faster. `None` from `transition`
    /// means that there is nothing to do.
    pub async fn change(
        &self,
        tenant: &TenantId,
        id: &CallId,
        transition: impl Fn(&mut Call, DateTime<Utc>) -> Result<Option<Vec<Draft>>, Error>,
    ) -> Result<Stored, Error> {
        let mut conflict = None;
        for _ in 0..MAX_CONFLICTS {
            let mut stored = self.get(tenant, id).await?;
            let now = self.clock.now();
            let Some(drafts) = transition(&mut stored.call, now)? else {
                return Ok(stored);
            };
            match self.commit(&stored, drafts).await {
                Ok(stored) => return Ok(stored),
                Err(Error::Port(error @ waybill_messaging::Error::Conflict { .. })) => {
                    conflict = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        Err(conflict.map_or(Error::Unknown, Error::Port))
    }

    /// Commits a changed call at the version it was read at, with events of its own.
    pub async fn commit(&self, stored: &Stored, drafts: Vec<Draft>) -> Result<Stored, Error> {
        let Stored { call, version } = stored;
        // The version makes the ids of these events new at every change, and the same for a repeat.
        let cause = format!("{}.{version}", call.id);
        let stamp = stamp("calls", call, &cause);
        let events = drafts.into_iter().enumerate();
        let commit = Commit {
            writes: vec![Self::write(call, Expect::Version(*version))],
            events: events
                .map(|(ordinal, draft)| draft.stamp(&stamp, ordinal))
                .collect(),
            seen: Vec::new(),
        };
        self.ledger.commit(commit).await?;
        Ok(Stored {
            call: call.clone(),
            version: version + 1,
        })
    }

    /// The write that stores `call`.
    pub fn write(call: &Call, expect: Expect) -> Write {
        let open = !call.state.is_terminal();
        let entry = || {
            let shard = call.id.as_str().bytes().last().unwrap_or(0) % Self::OPEN_SHARDS;
            let sort = format!("{}/{}", sortable(call.deadline), call.id);
            IndexEntry::new(open_partition(shard), sort)
        };
        Write::Put {
            key: key(&call.tenant, &call.id),
            expect,
            body: call.body().into(),
            index: open.then(entry),
            expires_at: Some(call.expires_at),
        }
    }

    /// Keeps a payload: in the record when it is small, as a blob named after the call otherwise.
    pub async fn keep(&self, call: &Call, what: &str, value: &Value) -> Result<Payload, Error> {
        let (tenant, id) = (&call.tenant, &call.id);
        self.store(tenant, id, what, value, call.expires_at).await
    }

    /// The JSON of a payload. `None` when its blob has expired.
    pub async fn load(&self, payload: &Payload) -> Result<Option<Value>, Error> {
        match payload {
            Payload::Inline(json) => serde_json::from_str(json.get())
                .map(Some)
                .map_err(Error::Corrupt),
            Payload::Blob { key, .. } => match self.blobs.get(key).await? {
                Some(body) => serde_json::from_slice(&body)
                    .map(Some)
                    .map_err(Error::Corrupt),
                None => Ok(None),
            },
        }
    }

    /// The result of a completed call.
    pub async fn result(&self, call: &Call) -> Result<Option<Value>, Error> {
        match &call.outcome {
            Some(Outcome::Result(payload)) => self.load(payload).await,
            _ => Ok(None),
        }
    }

    async fn store(
        &self,
        tenant: &TenantId,
        id: &CallId,
        what: &str,
        value: &Value,
        expires_at: DateTime<Utc>,
    ) -> Result<Payload, Error> {
        let raw = to_raw_value(value).map_err(Error::Corrupt)?;
        if raw.get().len() <= INLINE_LIMIT {
            return Ok(Payload::Inline(raw));
        }
        let key = BlobKey {
            tenant: tenant.clone(),
            name: format!("{id}-{what}"),
        };
        let body = Bytes::from(raw.get().to_owned());
        let bytes = body.len() as u64;
        self.blobs.put(&key, body, expires_at).await?;
        Ok(Payload::Blob { key, bytes })
    }
}

fn key(tenant: &TenantId, id: &CallId) -> Key {
    Key::new(format!("calls/{tenant}"), id.as_str())
}

fn open_partition(shard: u8) -> String {
    format!("calls-open/{shard}")
}

/// Milliseconds since 1970, of fixed width: sorts as text like the time it stands for.
fn sortable(time: DateTime<Utc>) -> String {
    format!("{:015}", time.timestamp_millis())
}

fn stored(record: &Record) -> Result<Stored, Error> {
    let call = serde_json::from_slice(&record.body).map_err(Error::Corrupt)?;
    Ok(Stored {
        call,
        version: record.version,
    })
}

fn uncommitted(error: waybill_messaging::Error) -> Error {
    match error {
        waybill_messaging::Error::Unavailable { .. } => Error::Unclear(error),
        refused => refused.into(),
    }
}

/// Without a story: a call's drafts bring theirs.
fn stamp<'a>(service: &'a str, call: &Call, cause: &'a str) -> Stamp<'a> {
    Stamp {
        service,
        now: call.updated_at,
        cause,
        correlation: None,
        causation: None,
        traceparent: None,
    }
}
