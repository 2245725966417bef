//! `/tools` and `/calls`: the same desk for programs that do not speak MCP.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension, Json, Router,
    extract::{Query, State, rejection::JsonRejection, rejection::QueryRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Value, json};
use waybill_calls::{CallFilter, CallState, Status};
use waybill_identity::Principal;

use crate::{
    desk::{Desk, PlaceRequest, settled},
    mcp::McpSettings,
    problem::Problem,
    status::status,
};

const MAX_LIST: usize = 1_000;

#[derive(Clone)]
struct Counter {
    desk: Desk,
    settings: Arc<McpSettings>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct NewCall {
    tool: String,
    #[serde(default)]
    arguments: Option<Value>,
    /// Seconds that it may take, waiting included.
    deadline_s: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Filter {
    tool: Option<String>,
    /// A state (`running`), the finer word.
    status: Option<CallState>,
    since: Option<DateTime<Utc>>,
    limit: Option<usize>,
    after: Option<String>,
}

pub(crate) fn router(desk: Desk, settings: Arc<McpSettings>) -> Router {
    Router::new()
        .route("/tools", get(tools))
        .route("/calls", get(list).post(place))
        .with_state(Counter { desk, settings })
}

async fn tools(State(counter): State<Counter>) -> Json<Value> {
    let tools = counter.desk.registry().list();
    let tools = tools.iter().map(|tool| {
        let spec = tool.spec();
        json!({
            "name": spec.name,
            "title": spec.title,
            "description": spec.description,
            "effect": spec.effect,
            "upstream": spec.upstream,
            "inputSchema": spec.input_schema,
            "outputSchema": spec.output_schema,
        })
    });
    Json(json!({ "tools": tools.collect::<Vec<_>>() }))
}

async fn place(
    State(counter): State<Counter>,
    Extension(principal): Extension<Principal>,
    headers: HeaderMap,
    body: Result<Json<NewCall>, JsonRejection>,
) -> Result<Response, Problem> {
    let Json(new) = body.map_err(|error| Problem::bad_request(error.body_text()))?;
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let request = PlaceRequest {
        tool: new.tool,
        arguments: new.arguments.unwrap_or_else(|| json!({})),
        idempotency_key: text("idempotency-key").map(str::to_owned),
        deadline: new.deadline_s.map(Duration::from_secs),
        traceparent: text("traceparent").map(str::to_owned),
        client_capabilities: None,
    };
    let submitted = counter.desk.place(&principal, request).await?;
    let wait = wait(text("prefer").unwrap_or_default(), &counter.settings);
    let stored = counter.desk.outcome(submitted.stored, wait).await?;
    let url = format!("/mcp/status/{}", stored.call.id);
    let code = if settled(&stored.call) {
        StatusCode::OK
    } else {
        StatusCode::ACCEPTED
    };
    let mut response = (code, Json(status(&counter.desk, &stored).await?)).into_response();
    let location = HeaderValue::from_str(&url).expect("a path of base 32");
    response.headers_mut().insert(header::LOCATION, location);
    Ok(response)
}

/// `Prefer: respond-async` and `Prefer: wait=SECONDS` (RFC 7240).
fn wait(prefer: &str, settings: &McpSettings) -> Duration {
    let mut wait = settings.wait;
    for preference in prefer.split([',', ';']).map(str::trim) {
        if preference.eq_ignore_ascii_case("respond-async") {
            return Duration::ZERO;
        }
        if let Some(seconds) = preference
            .strip_prefix("wait=")
            .and_then(|s| s.parse().ok())
        {
            wait = Duration::from_secs(seconds).min(settings.max_wait);
        }
    }
    wait
}

async fn list(
    State(counter): State<Counter>,
    Extension(principal): Extension<Principal>,
    query: Result<Query<Filter>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let Query(filter) = query.map_err(|error| Problem::bad_request(error.body_text()))?;
    let limit = filter.limit.unwrap_or(50).clamp(1, MAX_LIST);
    let mut calls: Vec<Status> = Vec::new();
    let mut after = filter.after;
    // A filter leaves gaps in a page: read on until there are enough.
    loop {
        let filter = CallFilter {
            tool: filter.tool.clone(),
            state: filter.status,
            since: filter.since,
            limit: limit - calls.len(),
            after: after.take(),
        };
        let (page, next) = counter.desk.calls().list(&principal.tenant, filter).await?;
        calls.extend(page.iter().map(|stored| Status::new(&stored.call, None)));
        after = next;
        if calls.len() >= limit || after.is_none() {
            return Ok(Json(json!({ "calls": calls, "next": after })));
        }
    }
}
