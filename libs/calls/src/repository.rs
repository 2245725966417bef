//! Calls in the ledger.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::to_raw_value};
use waybill_events::{
    CallId, Draft, Stamp, TenantId, ToolCallCancelRequested, ToolCallInputProvided,
    ToolCallRequested,
};
use waybill_messaging::{
    BlobKey, Blobs, Clock, Commit, Expect, IndexEntry, Key, Ledger, Meter, Range, Record, Write,
};
use waybill_telemetry::metrics::CALLS_UNREADABLE;

use crate::{
    Call, CallState, Fenced, INLINE_LIMIT, Outcome, Payload,
    budget::{fits, json},
    digest,
};

/// Conflicts that one change of a call may meet.
const MAX_CONFLICTS: usize = 8;
/// A hundred years, so that no time overflows.
const LONGEST: Duration = Duration::from_hours(100 * 366 * 24);

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

/// Which calls to list. Newest first.
#[derive(Clone, Debug, Default)]
pub struct CallFilter {
    pub tool: Option<String>,
    pub state: Option<CallState>,
    pub since: Option<DateTime<Utc>>,
    pub limit: usize,
    pub after: Option<String>,
}

/// The repository. Cheap to clone.
#[derive(Clone)]
pub struct Calls {
    ledger: Arc<dyn Ledger>,
    blobs: Arc<dyn Blobs>,
    clock: Clock,
    meter: Meter,
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

    /// A page of the tenant's calls, newest first, and where the next begins. A filter may leave
    /// fewer than `limit` on a page that has a next.
    pub async fn list(
        &self,
        tenant: &TenantId,
        filter: CallFilter,
    ) -> Result<(Vec<Stored>, Option<String>), Error> {
        let mut range = Range::last(filter.limit.clamp(1, Range::MAX_LIMIT)).after(filter.after);
        if let Some(since) = filter.since {
            range = range.from(CallId::new(since, 0).as_str());
        }
        let page = self.ledger.list(&format!("calls/{tenant}"), range).await?;
        let CallFilter { tool, state, .. } = filter;
        let fits = |call: &Call| {
            tool.as_ref().is_none_or(|tool| *tool == call.tool)
                && state.is_none_or(|state| state == call.state)
        };
        let calls = self.readable(&page.records);
        let calls = calls.filter(|stored| fits(&stored.call)).collect();
        Ok((calls, page.next))
    }

    /// A page of the open calls whose deadline has passed, up to `limit`, and where the next begins.
    /// `shard`: which of [`Self::OPEN_SHARDS`] parts of them. The longest overdue come first.
    pub async fn overdue(
        &self,
        shard: u8,
        limit: usize,
        after: Option<String>,
    ) -> Result<(Vec<Stored>, Option<String>), Error> {
        // An entry goes on after its time: the next millisecond is the first that is not due.
        let now = sortable(self.clock.now() + TimeDelta::milliseconds(1));
        let range = Range::first(limit).to(now).after(after);
        let page = self.ledger.query(&open_partition(shard), range).await?;
        Ok((self.readable(&page.records).collect(), page.next))
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

    /// Without those that are corrupt or of a newer version: one keeps no other from its reader.
    fn readable(&self, records: &[Record]) -> impl Iterator<Item = Stored> {
        records.iter().filter_map(|record| {
            let skip = |error: &Error| {
                self.meter.add(&CALLS_UNREADABLE, &[], 1);
                let error = error as &dyn std::error::Error;
                tracing::error!(error, key = %record.key, "skipped a call");
            };
            stored(record).inspect_err(skip).ok()
        })
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

fn span(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration.min(LONGEST)).unwrap_or_default()
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
