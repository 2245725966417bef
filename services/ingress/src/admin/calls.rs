//! `/admin/calls`: every tenant's calls, for whoever is on duty. Their arguments and results are
//! their tenants' alone. Each look and each cancellation is audited.

use axum::{
    Extension, Json, Router,
    extract::{
        Path, Query, State,
        rejection::{PathRejection, QueryRejection},
    },
    http::StatusCode,
    routing::get,
};
use chrono::{DateTime, Utc};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use waybill_calls::{Call, CallFilter, Calls, Status};
use waybill_events::{CallId, TenantId};
use waybill_identity::{Audit, Note, Principal, Tenants};

use crate::{calls::states, problem::Problem};

const MAX_LIST: usize = 1_000;
/// Calls of each tenant that are read at a time.
const PAGE: usize = 100;
/// Pages that one request reads, of all tenants together; each tenant's first in any case.
const MAX_PAGES: usize = 200;
/// Tenants that are read at once.
const ABREAST: usize = 16;

#[derive(Clone)]
struct Desk {
    calls: Calls,
    tenants: Tenants,
    audit: Audit,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Filter {
    /// All tenants when it is left out.
    tenant: Option<String>,
    tool: Option<String>,
    /// One of MCP's words (`working`), or a state (`running`), the finer word.
    status: Option<String>,
    since: Option<DateTime<Utc>>,
    limit: Option<usize>,
    /// A call's id: only older ones.
    after: Option<String>,
}

/// A call and whose it is.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "CallOfTenant")]
pub(crate) struct CallOfTenant {
    tenant: TenantId,
    #[serde(flatten)]
    call: Status,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct CallsOfTenants {
    /// Newest first, without their results.
    calls: Vec<CallOfTenant>,
    /// For `after`; absent on the last page. A page may have fewer than `limit` and a next.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<CallId>,
}

pub(super) fn router(calls: Calls, tenants: Tenants, audit: Audit) -> Router {
    let desk = Desk {
        calls,
        tenants,
        audit,
    };
    Router::new()
        .route("/calls", get(list))
        .route("/calls/{tenant}/{id}", get(show).delete(cancel))
        .with_state(desk)
}

async fn list(
    State(desk): State<Desk>,
    Extension(principal): Extension<Principal>,
    query: Result<Query<Filter>, QueryRejection>,
) -> Result<Json<CallsOfTenants>, Problem> {
    let Query(filter) = query?;
    let states = filter.status.as_deref().map(states).transpose()?;
    let mut next = filter.after.as_deref().map(position).transpose()?;
    let tenants = desk.tenants(filter.tenant.as_deref()).await?;
    let whose = filter.tenant.as_deref().unwrap_or("*");
    desk.note("calls.listed", &principal, "calls", whose)
        .await?;
    let limit = filter.limit.unwrap_or(50).clamp(1, MAX_LIST);
    let mut calls = Vec::new();
    // A filter leaves gaps in a page: read on until there are enough, within bounds.
    for _ in 0..MAX_PAGES.div_ceil(tenants.len().max(1)) {
        let (page, more) = desk.page(&tenants, filter.since, next.take()).await?;
        for call in page {
            next = Some(call.id.clone());
            let of_tool = filter.tool.as_ref().is_none_or(|tool| *tool == call.tool);
            if of_tool && states.as_ref().is_none_or(|s| s.contains(&call.state)) {
                calls.push(CallOfTenant::new(&call));
            }
            if calls.len() == limit {
                return Ok(Json(CallsOfTenants { calls, next }));
            }
        }
        if !more {
            next = None;
            break;
        }
    }
    Ok(Json(CallsOfTenants { calls, next }))
}

async fn show(
    State(desk): State<Desk>,
    Extension(principal): Extension<Principal>,
    place: Result<Path<(String, String)>, PathRejection>,
) -> Result<Json<CallOfTenant>, Problem> {
    let call = desk.find(place).await?;
    desk.note(
        "call.read",
        &principal,
        call.id.as_str(),
        call.tenant.as_str(),
    )
    .await?;
    Ok(Json(CallOfTenant::new(&call)))
}

/// Written down before it happens: what is done is never missing from the trail.
async fn cancel(
    State(desk): State<Desk>,
    Extension(principal): Extension<Principal>,
    place: Result<Path<(String, String)>, PathRejection>,
) -> Result<(StatusCode, Json<CallOfTenant>), Problem> {
    let Call { id, tenant, .. } = desk.find(place).await?;
    desk.note(
        "call.cancel-requested",
        &principal,
        id.as_str(),
        tenant.as_str(),
    )
    .await?;
    let cancelled = desk.calls.cancel(&tenant, &id, &principal.key_id).await?;
    // A running tool is told; its end is seen by asking again.
    let code = if cancelled.call.state.is_terminal() {
        StatusCode::OK
    } else {
        StatusCode::ACCEPTED
    };
    Ok((code, Json(CallOfTenant::new(&cancelled.call))))
}

impl CallOfTenant {
    fn new(call: &Call) -> Self {
        Self {
            tenant: call.tenant.clone(),
            call: Status::new(call, None),
        }
    }
}

impl Desk {
    /// The one that is named, or all.
    async fn tenants(&self, named: Option<&str>) -> Result<Vec<TenantId>, Problem> {
        let tenants = self.tenants.list().await?.into_iter();
        let tenants = tenants.map(|tenant| tenant.id);
        let wanted = |id: &TenantId| named.is_none_or(|named| named == id.as_str());
        let found: Vec<_> = tenants.filter(wanted).collect();
        match named {
            Some(named) if found.is_empty() => {
                let message = format!("there is no tenant {named:?}");
                Err(Problem::new(
                    StatusCode::NOT_FOUND,
                    "unknown_tenant",
                    message,
                ))
            }
            _ => Ok(found),
        }
    }

    /// Up to [`PAGE`] of the newest calls of these tenants, or of those before `before`, and whether
    /// there are others.
    async fn page(
        &self,
        tenants: &[TenantId],
        since: Option<DateTime<Utc>>,
        before: Option<CallId>,
    ) -> Result<(Vec<Call>, bool), Problem> {
        let filter = CallFilter {
            since,
            limit: PAGE,
            before,
            ..CallFilter::default()
        };
        let lists = stream::iter(tenants.to_vec()).map(|tenant| {
            let (calls, filter) = (self.calls.clone(), filter.clone());
            async move { calls.list(&tenant, filter).await }
        });
        let mut lists = lists.buffer_unordered(ABREAST);
        let (mut newest, mut floor, mut cut) = (Vec::<Call>::new(), None, false);
        while let Some((calls, next)) = lists.try_next().await? {
            // What is older than a list's end may stand behind something that was not read.
            if next.is_some() {
                floor = floor.max(calls.last().map(|last| last.call.id.clone()));
            }
            newest.extend(calls.into_iter().map(|stored| stored.call));
            newest.sort_unstable_by(|a, b| b.id.cmp(&a.id));
            cut |= newest.len() > PAGE;
            newest.truncate(PAGE);
        }
        newest.retain(|call| floor.as_ref().is_none_or(|floor| call.id >= *floor));
        Ok((newest, cut || floor.is_some()))
    }

    /// What is no tenant and what is no id is as unknown as any other.
    async fn find(
        &self,
        place: Result<Path<(String, String)>, PathRejection>,
    ) -> Result<Call, Problem> {
        let Path((tenant, id)) = place.map_err(|_| Problem::no_such_call())?;
        let tenant = TenantId::parse(&tenant).map_err(|_| Problem::no_such_call())?;
        let id = CallId::parse(&id).map_err(|_| Problem::no_such_call())?;
        Ok(self.calls.get(&tenant, &id).await?.call)
    }

    async fn note(
        &self,
        action: &str,
        principal: &Principal,
        subject: &str,
        tenant: &str,
    ) -> Result<(), Problem> {
        let note = Note {
            action,
            actor: &principal.key_id,
            outcome: "allowed",
            subject,
            detail: Some(format!("tenant {tenant}")),
        };
        Ok(self.audit.record(note).await?)
    }
}

fn position(after: &str) -> Result<CallId, Problem> {
    let unreadable = |_| Problem::bad_request("after takes what `next` of the page before says");
    CallId::parse(after).map_err(unreadable)
}
