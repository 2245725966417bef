//! `/tools` and `/calls`: the same desk for programs that do not speak MCP.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension, Json, Router,
    extract::{Query, State, rejection::JsonRejection, rejection::QueryRejection},
    http::{Extensions, HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use waybill_calls::{CallFilter, CallState, Status, Stored};
use waybill_identity::{Principal, Scope};
use waybill_toolkit::{JsonObject, Tool};

use crate::{
    auth::require,
    desk::{Desk, PlaceRequest},
    mcp::McpSettings,
    problem::Problem,
    span,
    status::{mark, status},
};

const MAX_LIST: usize = 1_000;
/// Pages that one request reads through for a filter that fits few.
const MAX_PAGES: usize = 100;
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

#[derive(Clone)]
struct Counter {
    desk: Desk,
    settings: Arc<McpSettings>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[schemars(rename = "NewCall")]
pub(crate) struct NewCall {
    /// A name of `GET /tools`.
    tool: String,
    /// What the tool's `inputSchema` wants.
    #[serde(default)]
    arguments: Option<Value>,
    /// Seconds that it may take, waiting included.
    deadline_s: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Filter {
    tool: Option<String>,
    /// One of MCP's words (`working`), or a state (`running`), the finer word.
    status: Option<String>,
    since: Option<DateTime<Utc>>,
    limit: Option<usize>,
    after: Option<String>,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct ToolList {
    tools: Vec<ToolDocument>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Tool")]
struct ToolDocument {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    description: String,
    /// `readOnly`, `idempotent` or `once`.
    effect: &'static str,
    /// The external system behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream: Option<String>,
    #[schemars(with = "serde_json::Map<String, Value>")]
    input_schema: Arc<JsonObject>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<serde_json::Map<String, Value>>")]
    output_schema: Option<Arc<JsonObject>>,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct CallList {
    /// Newest first, without their results.
    calls: Vec<Status>,
    /// For `after`; absent on the last page. A page may have fewer than `limit` and a next.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

pub(crate) fn router(desk: Desk, settings: Arc<McpSettings>) -> Router {
    Router::new()
        .route("/tools", get(tools))
        .route("/calls", get(list).post(place))
        .with_state(Counter { desk, settings })
}

async fn tools(State(counter): State<Counter>) -> Json<ToolList> {
    let tools = counter.desk.registry().list();
    let tools = tools.iter().map(|tool| document(&**tool)).collect();
    Json(ToolList { tools })
}

fn document(tool: &dyn Tool) -> ToolDocument {
    let spec = tool.spec();
    ToolDocument {
        name: spec.name.clone(),
        title: spec.title.clone(),
        description: spec.description.clone(),
        effect: spec.effect.as_str(),
        upstream: spec.upstream.clone(),
        input_schema: Arc::clone(&spec.input_schema),
        output_schema: spec.output_schema.clone(),
    }
}

async fn place(
    State(counter): State<Counter>,
    Extension(principal): Extension<Principal>,
    extensions: Extensions,
    headers: HeaderMap,
    body: Result<Json<NewCall>, JsonRejection>,
) -> Result<Response, Problem> {
    require(&principal, Scope::ToolsCall)?;
    let Json(new) = body?;
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let request = PlaceRequest {
        tool: new.tool,
        arguments: new.arguments.unwrap_or_else(|| json!({})),
        // A quoted string in the IETF draft's form, or bare; the same key at every door.
        idempotency_key: text("idempotency-key").map(|key| key.trim().trim_matches('"').to_owned()),
        deadline: new.deadline_s.map(Duration::from_secs),
        traceparent: span::parent(&extensions, &headers, None),
        client_capabilities: None,
    };
    let submitted = counter.desk.place(&principal, request).await?;
    let prefer = Prefer::read(&headers);
    let wait = prefer.patience(&counter.settings);
    let accepted = submitted.stored;
    let mut response = match ended(&counter.desk, accepted.clone(), wait).await {
        Ok(response) => response,
        // It was accepted. A client that reads an error calls again.
        Err(_) => answer(&counter.desk, &accepted).await?,
    };
    if let Some(applied) = prefer.applied(wait) {
        response.headers_mut().insert(PREFERENCE_APPLIED, applied);
    }
    Ok(response)
}

async fn ended(desk: &Desk, stored: Stored, wait: Duration) -> Result<Response, Problem> {
    let stored = desk.outcome(stored, wait).await?;
    answer(desk, &stored).await
}

/// 200 when it has ended, 202 when there is more to come.
async fn answer(desk: &Desk, stored: &Stored) -> Result<Response, Problem> {
    let code = if stored.call.state.is_terminal() {
        StatusCode::OK
    } else {
        StatusCode::ACCEPTED
    };
    let mut response = (code, Json(status(desk, stored).await?)).into_response();
    mark(&mut response, stored);
    let url = format!("/mcp/status/{}", stored.call.id);
    let location = HeaderValue::from_str(&url).expect("a path of base 32");
    response.headers_mut().insert(header::LOCATION, location);
    Ok(response)
}

/// `Prefer: respond-async` and `Prefer: wait=SECONDS` (RFC 7240). Both: after that wait.
#[derive(Debug, Default, PartialEq, Eq)]
struct Prefer {
    respond_async: bool,
    wait: Option<Duration>,
}

impl Prefer {
    fn read(headers: &HeaderMap) -> Self {
        let values = headers.get_all("prefer").iter();
        let texts = values.filter_map(|value| value.to_str().ok());
        let mut prefer = Self::default();
        for preference in texts.flat_map(|text| text.split([',', ';'])) {
            let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
            if name.trim().eq_ignore_ascii_case("respond-async") {
                prefer.respond_async = true;
            } else if name.trim().eq_ignore_ascii_case("wait") {
                let seconds = value.trim().trim_matches('"').parse().ok();
                prefer.wait = seconds.map(Duration::from_secs).or(prefer.wait);
            }
        }
        prefer
    }

    fn patience(&self, settings: &McpSettings) -> Duration {
        match self.wait {
            Some(wait) => wait.min(settings.max_wait),
            None if self.respond_async => Duration::ZERO,
            None => settings.wait.min(settings.max_wait),
        }
    }

    fn applied(&self, wait: Duration) -> Option<HeaderValue> {
        let seconds = self.wait.map(|_| format!("wait={}", wait.as_secs()));
        let text = match (self.respond_async, seconds) {
            (true, Some(seconds)) => format!("respond-async, {seconds}"),
            (true, None) => "respond-async".to_owned(),
            (false, seconds) => seconds?,
        };
        HeaderValue::from_str(&text).ok()
    }
}

async fn list(
    State(counter): State<Counter>,
    Extension(principal): Extension<Principal>,
    query: Result<Query<Filter>, QueryRejection>,
) -> Result<Json<CallList>, Problem> {
    let Query(filter) = query?;
    let limit = filter.limit.unwrap_or(50).clamp(1, MAX_LIST);
    let states = filter.status.as_deref().map(states).transpose()?;
    let mut calls: Vec<Status> = Vec::new();
    let mut after = filter.after;
    // A filter leaves gaps in a page: read on until there are enough, within bounds.
    for _ in 0..MAX_PAGES {
        let page = CallFilter {
            tool: filter.tool.clone(),
            state: None,
            since: filter.since,
            limit: limit - calls.len(),
            after: after.take(),
            before: None,
        };
        let listed = counter.desk.calls().list(&principal.tenant, page).await;
        let (page, next) = listed.map_err(unreadable)?;
        let wanted = |call: &CallState| states.as_ref().is_none_or(|s| s.contains(call));
        let wanted = page.iter().filter(|stored| wanted(&stored.call.state));
        calls.extend(wanted.map(|stored| Status::new(&stored.call, None)));
        after = next;
        if calls.len() >= limit || after.is_none() {
            break;
        }
    }
    Ok(Json(CallList { calls, next: after }))
}

/// The states that a word names.
pub(crate) fn states(word: &str) -> Result<Vec<CallState>, Problem> {
    let fits = |state: &CallState| state.as_str() == word || mcp_word(*state) == word;
    let states: Vec<CallState> = CallState::ALL.into_iter().filter(fits).collect();
    if states.is_empty() {
        let known = CallState::ALL.map(CallState::as_str).join(", ");
        let message = format!("status takes working, input_required, {known}; not {word:?}");
        return Err(Problem::bad_request(message));
    }
    Ok(states)
}

const fn mcp_word(state: CallState) -> &'static str {
    match state {
        CallState::Completed => "completed",
        CallState::Failed | CallState::Expired => "failed",
        CallState::Cancelled => "cancelled",
        CallState::WaitingInput => "input_required",
        CallState::Accepted
        | CallState::Running
        | CallState::WaitingCredential
        | CallState::WaitingCapacity => "working",
    }
}

/// A position that we never gave.
fn unreadable(error: waybill_calls::Error) -> Problem {
    match error {
        waybill_calls::Error::Port(waybill_messaging::Error::Unknown(_)) => {
            Problem::bad_request("after takes what `next` of the page before says")
        }
        error => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use waybill_calls::McpStatus;

    use super::*;

    #[test]
    fn the_words_for_states_are_those_of_the_status_document() {
        for state in CallState::ALL {
            let word = serde_json::to_value(McpStatus::from(state)).unwrap();
            assert_eq!(word, mcp_word(state));
        }
        assert_eq!(
            states("failed").unwrap(),
            [CallState::Failed, CallState::Expired]
        );
        assert_eq!(states("expired").unwrap(), [CallState::Expired]);
        assert!(states("done").is_err());
    }

    #[test]
    fn a_wait_bounds_respond_async() {
        let prefer = |text| {
            let mut headers = HeaderMap::new();
            headers.append("prefer", HeaderValue::from_static("handling=lenient"));
            headers.append("prefer", HeaderValue::from_static(text));
            Prefer::read(&headers)
        };
        let settings = McpSettings::new(vec![0; 32]);
        let seconds = |text| prefer(text).patience(&settings).as_secs();
        assert_eq!(seconds("x"), settings.wait.as_secs());
        assert_eq!(seconds("Respond-Async"), 0);
        assert_eq!(seconds("respond-async, wait=7"), 7);
        assert_eq!(seconds("WAIT=\"900\""), settings.max_wait.as_secs());
        let both = prefer("respond-async; wait=7");
        let applied = both.applied(both.patience(&settings)).unwrap();
        assert_eq!(applied, "respond-async, wait=7");
    }
}
